from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.market.tapes import BTC, KRW_BTC, edit_description, random_rows, rows_of

from interlock.domain.errors import BadInput, DamagedState, UsageError
from interlock.market.columns import ROW, TAPE_VERSION, RowKind
from interlock.market.tape import Tape
from interlock.market.tape_write import exchange_order, new_folder, receive_order, write_tape

SOME = rows_of(
    (10, 20, RowKind.CLEAR, 0, 0, 0),
    (10, 20, RowKind.DEPTH, 1, 100, 5),
    (11, 21, RowKind.DEPTH, -1, 101, 6),
    (12, 22, RowKind.TRADE, 1, 101, 2),
)


def test_a_tape_reads_back_as_written(tmp_path: Path) -> None:
    write_tape(tmp_path / "t", SOME, [BTC], "synthetic", notes=["made up"])
    with Tape.open(tmp_path / "t", verify_digests=True) as tape:
        assert np.array_equal(tape.rows, SOME)
        assert tape.exchange_order is None
        assert tape.instruments == (BTC,)
        assert tape.info.kinds == {"DEPTH": 2, "TRADE": 1, "CLEAR": 1}
        assert (tape.info.first_exchange_ns, tape.info.last_receive_ns) == (10, 22)
        assert tape.info.provenance == "synthetic"
        assert tape.info.notes == ("made up",)
        assert not tape.info.bars
        with pytest.raises(ValueError, match="read-only"):
            tape.rows["ticks"][0] = 1
        with pytest.raises(IndexError):
            tape.raw_frame(0)
        view = tape.rows["ticks"]
    assert view.tolist() == [0, 100, 101, 101]


def test_the_same_rows_give_the_same_digest(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        write_tape(tmp_path / name, SOME, [BTC], "synthetic")
        with Tape.open(tmp_path / name) as tape:
            digests.add(tape.digest)
    assert len(digests) == 1
    write_tape(tmp_path / "c", SOME[:-1], [BTC], "synthetic")
    with Tape.open(tmp_path / "c") as tape:
        assert tape.digest not in digests


def test_a_tape_may_be_empty(tmp_path: Path) -> None:
    write_tape(tmp_path / "t", np.zeros(0, ROW), [BTC], "synthetic")
    with Tape.open(tmp_path / "t", verify_digests=True) as tape:
        assert (len(tape.rows), tape.info.first_receive_ns) == (0, None)


@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(1, 3))
def test_both_orders_are_stable_sorts(seed: int, count: int, instruments: int) -> None:
    given_rows = random_rows(seed, count, instruments)
    rows = receive_order(given_rows)
    by_receive = sorted(range(count), key=lambda i: (given_rows["receive_ns"][i], given_rows["instrument"][i]))
    assert rows["ticks"].tolist() == given_rows["ticks"][by_receive].tolist()
    assert receive_order(rows) is rows
    by_exchange = sorted(range(count), key=lambda i: (rows["exchange_ns"][i], rows["instrument"][i]))
    order = exchange_order(rows)
    assert (list(range(count)) if order is None else order.tolist()) == by_exchange
    assert (order is None) == (by_exchange == list(range(count)))


def test_the_exchange_order_is_stored_where_it_differs(tmp_path: Path) -> None:
    rows = rows_of((12, 20, RowKind.TRADE, 1, 5, 1), (11, 21, RowKind.TRADE, 1, 6, 1))
    write_tape(tmp_path / "t", rows, [BTC], "synthetic")
    with Tape.open(tmp_path / "t", verify_digests=True) as tape:
        assert tape.exchange_order is not None
        assert tape.exchange_order.tolist() == [1, 0]
        assert tape.exchange_order.dtype == np.dtype("<u4")


def test_rows_that_do_not_fit_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    beyond = SOME.copy()
    beyond["instrument"] = 1
    for rows, instruments, problem in (
        (beyond, [BTC], "instrument numbers below 1"),
        (SOME, [KRW_BTC, BTC], "sorted by"),
        (SOME, [BTC, BTC], "distinct"),
        (SOME["ticks"], [BTC], "array of ROW"),
    ):
        with pytest.raises(ValueError, match=problem):
            write_tape(tmp_path / "t", rows, instruments, "synthetic")
    assert list(tmp_path.iterdir()) == []
    write_tape(tmp_path / "t", beyond, [BTC, KRW_BTC], "synthetic")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, stop: type[BaseException]) -> None:
    def interrupted() -> None:
        with new_folder(tmp_path / "t") as folder:
            (folder / "rows.npy").write_bytes(b"half")
            raise stop

    with pytest.raises(stop):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for out in (tmp_path / "full", tmp_path / "file", tmp_path / "file" / "t"):
        with pytest.raises(UsageError):
            write_tape(out, SOME, [BTC], "synthetic")
    assert (tmp_path / "full" / "mine").read_text() == "keep"
    (tmp_path / "empty").mkdir()
    write_tape(tmp_path / "empty", SOME, [BTC], "synthetic")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "full"]


def test_a_folder_that_is_no_tape(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a tape"):
        Tape.open(tmp_path)
    with pytest.raises(BadInput, match="expected a tape"):
        Tape.open(tmp_path / "absent")


def test_a_tape_of_another_version(tmp_path: Path) -> None:
    write_tape(tmp_path / "t", SOME, [BTC], "synthetic")
    edit_description(tmp_path / "t", lambda text: text.update(version=TAPE_VERSION + 1, novelty=1))
    with pytest.raises(BadInput, match=f"expected tape version {TAPE_VERSION}, found {TAPE_VERSION + 1}"):
        Tape.open(tmp_path / "t")


def test_damage_is_told_from_a_wrong_path(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "t", SOME, [BTC], "synthetic")
    rows = (path / "rows.npy").read_bytes()
    (path / "rows.npy").write_bytes(rows[:-1] + bytes([rows[-1] ^ 1]))
    with Tape.open(path):
        pass  # the size fits; only the digest tells
    with pytest.raises(DamagedState, match="expected sha256"):
        Tape.open(path, verify_digests=True)
    (path / "rows.npy").write_bytes(rows[:-1])
    with pytest.raises(DamagedState, match="bytes"):
        Tape.open(path)
    (path / "rows.npy").unlink()
    with pytest.raises(DamagedState, match="no file"):
        Tape.open(path)
    (path / "rows.npy").write_bytes(rows)
    Tape.open(path, verify_digests=True).close()
    text = (path / "tape.json").read_bytes()
    for damaged in (text[:-20], b"[]", text.replace(b'"notes"', b'"nodes"')):
        (path / "tape.json").write_bytes(damaged)
        with pytest.raises(DamagedState):
            Tape.open(path)


def test_a_description_that_does_not_fit_its_arrays(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "t", SOME, [BTC], "synthetic")
    edit_description(path, lambda text: text.update(rows=3))
    with pytest.raises(DamagedState, match="expected 3 entries"):
        Tape.open(path)


def test_instruments_are_stored_whole(tmp_path: Path) -> None:
    write_tape(tmp_path / "t", SOME, [BTC, KRW_BTC], "synthetic")
    with Tape.open(tmp_path / "t") as tape:
        assert tape.instruments == (BTC, KRW_BTC)
        assert msgspec.json.encode(tape.instruments) == msgspec.json.encode((BTC, KRW_BTC))
