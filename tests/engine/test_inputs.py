"""The log of what an engine consumed: whole, cut off anywhere, or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.errors import DamagedState
from interlock.engine.inputs import FLUSH_EVERY_NS, VERSION, Header, Input, InputLog, InputsRead, Kind
from interlock.market.shipped import SHIPPED

T0 = 1_700_000_000_000_000_000
INPUTS = [Input(Kind.FRAME, T0 + n * FLUSH_EVERY_NS, n % 3, bytes([n % 256]) * n) for n in range(40)]


def header(**changes: object) -> Header:
    told: dict[str, object] = {
        "version": VERSION,
        "epoch_ns": T0,
        "boot_offset_ns": 5,
        "sequence_base": 7,
        "strategy": "making",
        "config": "c",
        "source": "s",
        "instruments": (SHIPPED["bybit:BTCUSDT"],),
        "state": (0.0, 1.5),
    }
    return Header(**{**told, **changes})  # type: ignore[arg-type]


def written(path: Path, inputs: list[Input] = INPUTS, **changes: object) -> Path:
    log = InputLog(path, header(**changes))
    for one in inputs:
        log.write(one)
    log.close()
    return path


def test_what_was_written_is_read_in_order_with_its_end(tmp_path: Path) -> None:
    read = InputsRead(written(tmp_path / "log"))
    assert read.header == header()
    *inputs, end = read
    assert inputs == INPUTS
    assert (end.kind, read.torn) == (Kind.END, False)


def test_a_log_that_is_cut_anywhere_gives_the_inputs_before_it_and_no_others(tmp_path: Path) -> None:
    data = written(tmp_path / "log").read_bytes()
    lengths = set()
    headless: list[int] = []
    for cut in range(len(data) - 1, 0, -7):
        path = tmp_path / "cut"
        path.write_bytes(data[:cut])
        try:
            inputs = list(InputsRead(path))
        except DamagedState:
            headless.append(cut)
            continue
        assert inputs == INPUTS[: len(inputs)], cut
        lengths.add(len(inputs))
    assert 0 < max(headless) < 1_000, "nothing but the header is needed"
    assert 0 in lengths
    assert max(lengths) >= len(INPUTS) - 1


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    folder = tmp_path_factory.mktemp("flip")
    data = bytearray(written(folder / "log").read_bytes())
    data[at % len(data)] ^= 1 << bit
    path = folder / "flipped"
    path.write_bytes(data)
    try:
        read = InputsRead(path)
        inputs = [one for one in read if one.kind is not Kind.END]
    except DamagedState:
        return
    # A length that grew looks like a file that ends too early; the padding behind the last bits of a block says nothing.
    assert read.torn or inputs == INPUTS
    assert inputs == INPUTS[: len(inputs)]


def test_another_version_is_refused_by_name(tmp_path: Path) -> None:
    path = written(tmp_path / "log", version=VERSION + 1)
    with pytest.raises(DamagedState, match=f"expected version {VERSION}, found {VERSION + 1}"):
        InputsRead(path)


def test_a_log_is_never_written_over(tmp_path: Path) -> None:
    path = written(tmp_path / "log")
    with pytest.raises(FileExistsError):
        InputLog(path, header())
