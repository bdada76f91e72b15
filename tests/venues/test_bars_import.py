from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather
from tests.venues.captures import save

from interlock.domain.errors import BadInput, UsageError
from interlock.market.bars import NS_PER_S
from interlock.market.columns import RowKind
from interlock.market.shipped import SHIPPED
from interlock.market.tape import Tape
from interlock.market.tape_verify import verify
from interlock.venues.bar_files import classify
from interlock.venues.bars import import_bars

START = int(datetime(2025, 9, 1, 7, 30, tzinfo=UTC).timestamp())
HEADER = b"timestamp,open,high,low,close,volume"


def upbit_line(minute: int, price: int = 150_000_000, volume: str = "0.5") -> bytes:
    moment = datetime.fromtimestamp(START + 60 * minute, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S},{price}.0,{price + 1000}.0,{price - 1000}.0,{price}.0,{volume}".encode()


def upbit(folder: Path, lines: list[bytes] | None = None, name: str = "upbit_BTCKRW_1m_a.csv.gz") -> Path:
    return save(folder / name, [HEADER, *(lines or [upbit_line(m) for m in range(60)])])


def table(times_s: list[int], values: list[list[float]]) -> pa.Table:
    """A feather table: open, high, low, close, volume by column."""
    columns = dict(zip(("open", "high", "low", "close", "volume"), zip(*values, strict=True), strict=True))
    stamps = pa.array(np.array(times_s) * NS_PER_S, pa.timestamp("ns", "UTC"))
    return pa.table({"date": stamps, **{name: pa.array(column) for name, column in columns.items()}})


def binance(folder: Path, bars: pa.Table | None = None, name: str = "binance_usdm_BTCUSDT_5m_a.feather") -> Path:
    if bars is None:
        times = [START + 300 * i for i in range(-2, 14)]
        bars = table(times, [[108_000.1, 108_100.0, 107_900.5, 108_050.3, 12.345]] * len(times))
    feather.write_feather(bars, str(folder / name))
    return folder / name


def funding(folder: Path, rates: dict[int, float]) -> Path:
    rows = table(list(rates), [[rate, 0.0, 0.0, 0.0, 0.0] for rate in rates.values()])
    return binance(folder, rows, "binance_usdm_BTCUSDT_funding8h_a.feather")


def marks(folder: Path, prices: dict[int, float]) -> Path:
    rows = table(list(prices), [[price, price, price, price, 0.0] for price in prices.values()])
    return binance(folder, rows, "binance_usdm_BTCUSDT_mark1h_a.feather")


def test_two_venues_with_funding_and_marks(tmp_path: Path) -> None:
    settle = START + 1800  # 08:00
    paths = [
        upbit(tmp_path),
        binance(tmp_path),
        funding(tmp_path, {settle - 28_800: 9e-5, settle: -1.871e-05, settle + 28_800: 1e-4}),
        marks(tmp_path, {settle - 3600: 1.0, settle: 92_760.05741135, settle + 3600: 1.0}),
    ]
    out = import_bars(paths, tmp_path / "t")
    with Tape.open(out, verify_digests=True) as tape:
        assert [i.key for i in tape.instruments] == ["binance_usdm:BTCUSDT", "upbit:KRW-BTC"]
        assert (tape.info.bars, tape.info.bar_interval_s, tape.info.provenance) == (True, 300, "constructed")
        assert tape.info.clock.feed_latency == "none"
        assert tape.info.kinds["BAR_CLOSE"] == 24
        assert "FUNDING_NEXT" not in tape.info.kinds
        assert "joint bars BTC: 12" in tape.info.notes
        first = tape.rows[:8]
        assert set(first["receive_ns"].tolist()) == {(START + 300) * NS_PER_S}
        assert first["instrument"].tolist() == [0] * 4 + [1] * 4
        assert first["ticks"].tolist()[:4] == [1_080_001, 1_081_000, 1_079_005, 1_080_503]
        assert first["lots"].tolist() == [0, 0, 0, 12_345, 0, 0, 0, 250_000_000]
        at_eight = tape.rows[tape.rows["receive_ns"] == settle * NS_PER_S]
        assert [RowKind(kind).name for kind in at_eight["kind"]] == [
            "BAR_OPEN",
            "BAR_HIGH",
            "BAR_LOW",
            "BAR_CLOSE",
            "MARK",
            "FUNDING",
            "BAR_OPEN",
            "BAR_HIGH",
            "BAR_LOW",
            "BAR_CLOSE",
        ]
        settled = at_eight[at_eight["kind"] == RowKind.FUNDING]
        assert (settled["lots"].tolist(), settled["ticks"].tolist()) == ([-18_710_000], [927_601])
        assert tape.info.kinds["FUNDING"] == tape.info.kinds["MARK"] == 1
    assert verify(out, {}).passed


def test_funding_without_marks_names_no_price(tmp_path: Path) -> None:
    out = import_bars([binance(tmp_path), funding(tmp_path, {START + 1800: 1e-4})], tmp_path / "t")
    with Tape.open(out) as tape:
        rows = tape.rows[tape.rows["kind"] == RowKind.FUNDING]
        assert (rows["lots"].tolist(), rows["ticks"].tolist()) == ([100_000_000], [0])


def test_small_volumes_in_exponent_form_and_bars_without_volume(tmp_path: Path) -> None:
    lines = [upbit_line(m, volume="0.0" if 5 <= m < 10 else "7e-08") for m in range(60)]
    out = import_bars([upbit(tmp_path, lines)], tmp_path / "t")
    with Tape.open(out) as tape:
        assert (tape.info.kinds["BAR_OPEN"], tape.info.bar_interval_s) == (55, 60)
        assert tape.rows["lots"][3] == 7
        assert "bars without volume left out: 5" in tape.info.notes


GOOD = [upbit_line(m) for m in range(60)]
BAD_CSV = {
    "a missing column": (b"timestamp,open,high,low,close", GOOD, "header", "volume missing"),
    "a short record": (HEADER, [*GOOD[:5], b"2025-09-01 07:35:00,1.0"], "record 6 (line 7)", "expected 6 fields"),
    "a bad time": (HEADER, [*GOOD[:5], b"never,1,1,1,1,1"], "record 6 (line 7)", "expected a time and numbers"),
    "NaN": (HEADER, [*GOOD[:5], upbit_line(5, volume="nan")], "record 6", "found 'nan'"),
    "a negative volume": (HEADER, [*GOOD[:5], upbit_line(5, volume="-1.0")], "record 6", "found '-1.0'"),
    "a minute twice": (HEADER, [*GOOD[:5], GOOD[4]], "record 6", "the same time twice"),
    "time going back": (HEADER, [*GOOD[:5], GOOD[2]], "record 6", "time goes back"),
    "off the grid": (HEADER, [GOOD[0].replace(b":00,", b":07,", 1)], "record 1", "on the grid of 60 s"),
    "a low above the open": (HEADER, [b"2025-09-01 07:30:00,5.0,9.0,6.0,7.0,1.0"], "record 1", "a low above"),
    "a high below the close": (HEADER, [b"2025-09-01 07:30:00,5.0,6.0,5.0,7.0,1.0"], "record 1", "a high below"),
    "a price of zero": (HEADER, [b"2025-09-01 07:30:00,5.0,6.0,0.0,5.0,1.0"], "record 1", "not positive"),
    "no records": (HEADER, [], "", "found none"),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_a_wrong_csv_is_named_with_its_record(tmp_path: Path, name: str) -> None:
    header, lines, place, problem = BAD_CSV[name]
    path = save(tmp_path / "upbit_BTCKRW_1m_a.csv", [header, *lines])
    with pytest.raises(BadInput) as caught:
        import_bars([path], tmp_path / "t")
    assert caught.value.place == place
    assert problem in caught.value.problem
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def five(index: int, value: float) -> pa.Table:
    rows = [[108_000.1, 108_100.0, 107_900.5, 108_050.3, 12.345] for _ in range(6)]
    rows[3][index] = value
    return table([START + 300 * i for i in range(6)], rows)


BAD_FEATHER = {
    "NaN": (five(0, float("nan")), "record 4", "found nan"),
    "infinity": (five(1, float("inf")), "record 4", "found inf"),
    "between two ticks": (five(0, 108_000.15), "record 4", "expected a multiple of 0.1"),
    "a negative volume": (five(4, -1.0), "record 4", "0 or more"),
    "a missing column": (five(0, 1.0).drop_columns(["low"]), "header", "low missing"),
    "a hole": (five(0, 108_000.1).set_column(2, "high", pa.array([1.0, None, 1, 1, 1, 1])), "record 2", "high"),
    "text": (five(0, 1.0).set_column(2, "high", pa.array(["x"] * 6)), "", "expected a time and numbers"),
}


@pytest.mark.parametrize("name", BAD_FEATHER)
def test_a_wrong_feather_is_named_with_its_record(tmp_path: Path, name: str) -> None:
    bars, place, problem = BAD_FEATHER[name]
    path = binance(tmp_path, bars)
    with pytest.raises(BadInput) as caught:
        import_bars([path], tmp_path / "t")
    assert caught.value.place == place
    assert problem in caught.value.problem


def test_a_file_that_is_no_feather_or_cut_short(tmp_path: Path) -> None:
    path = binance(tmp_path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(BadInput, match="expected a feather file"):
        import_bars([path], tmp_path / "t")
    zipped = upbit(tmp_path)
    zipped.write_bytes(zipped.read_bytes()[:-5])
    with pytest.raises(BadInput, match="cut short"):
        import_bars([zipped], tmp_path / "t")


@settings(max_examples=150)
@given(st.data())
def test_any_one_changed_byte_of_a_csv_imports_or_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("byte")
    path = upbit(folder, GOOD, "upbit_BTCKRW_1m_a.csv")
    text = bytearray(path.read_bytes())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from(b"0123456789.-eE, :n\x00\xff\n"))
    path.write_bytes(text)
    try:
        import_bars([path], folder / "t")
    except BadInput:
        assert [p.name for p in folder.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["BTCUSDT.csv", "binance_SPOT_BTCUSDT_5m.csv.gz", "upbit_BTCKRW_funding8h.feather", "upbit_BTCKRW_0m.csv"])
def test_a_name_that_says_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="expected a name like"):
        classify(tmp_path / name)


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    rates = funding(tmp_path, {START: 1e-4})
    with pytest.raises(BadInput, match="expected candles of binance_usdm:BTCUSDT as well"):
        import_bars([rates], tmp_path / "t")
    with pytest.raises(UsageError, match="expected candle files"):
        import_bars([], tmp_path / "t")
    one, late = upbit(tmp_path), table([START + 10**6 + 200], [[1.0] * 5])
    with pytest.raises(UsageError, match="no time in common"):
        import_bars([one, binance(tmp_path, late)], tmp_path / "t")
    three = upbit(tmp_path, [upbit_line(m) for m in range(0, 60, 3)], name="upbit_BTCKRW_3m_a.csv")
    with pytest.raises(BadInput, match="one interval"):
        import_bars([one, three], tmp_path / "t")
    with pytest.raises(BadInput, match="unknown instrument upbit:KRW-NEW"):
        import_bars([upbit(tmp_path, name="upbit_NEWKRW_1m.csv")], tmp_path / "t")
    with pytest.raises(BadInput, match="unknown instrument upbit:KRW-BTC: expected one of bybit"):
        import_bars([one], tmp_path / "t", given={"bybit:BTCUSDT": SHIPPED["bybit:BTCUSDT"]})


def test_two_files_of_one_instrument_must_agree(tmp_path: Path) -> None:
    first = upbit(tmp_path, [upbit_line(m) for m in range(40)])
    second = upbit(tmp_path, [upbit_line(m) for m in range(20, 60)], "upbit_BTCKRW_1m_b.csv.gz")
    out = import_bars([second, first], tmp_path / "t")
    with Tape.open(out) as tape:
        assert tape.info.kinds["BAR_OPEN"] == 60
    other = upbit(tmp_path, [upbit_line(m, volume="9") for m in range(20, 60)], "upbit_BTCKRW_1m_b.csv.gz")
    with pytest.raises(BadInput, match="found two candles at 2025-09-01T07:50:00"):
        import_bars([first, other], tmp_path / "u")


@pytest.mark.data("both_legs")
def test_three_coins_on_two_venues(bars_tape: Path) -> None:
    with Tape.open(bars_tape, verify_digests=True) as tape:
        assert len(tape.instruments) == 6
        assert [f"joint bars {coin}: 9520" in tape.info.notes for coin in ("BTC", "ETH", "XRP")] == [True] * 3
        assert tape.info.kinds["BAR_CLOSE"] == 6 * 9_520
        assert (tape.info.kinds["FUNDING"], tape.info.kinds["MARK"]) == (300, 794)
        assert tape.info.bar_interval_s == 300
        first = datetime.fromtimestamp(tape.rows["receive_ns"][0] / 1e9, UTC)
        last = datetime.fromtimestamp(tape.rows["receive_ns"][-1] / 1e9, UTC)
        assert (first, last) == (
            datetime(2025, 9, 1, tzinfo=UTC),
            datetime(2025, 10, 4, 1, 20, tzinfo=UTC),
        )
        closes = {
            i.key: tape.rows["ticks"][(tape.rows["instrument"] == n) & (tape.rows["kind"] == RowKind.BAR_CLOSE)]
            for n, i in enumerate(tape.instruments)
        }
        implied = np.median(closes["upbit:KRW-BTC"] / (closes["binance_usdm:BTCUSDT"] * 0.1))
        assert 1_399.0 < implied < 1_399.3
    assert verify(bars_tape, {}).passed


@pytest.mark.data("both_legs")
def test_minutes_in_chunks_on_both_venues(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "both_legs"
    chunks = folder / "upbit_BTCKRW_1m_chunks_20240824_20250824.csv.gz"
    spans = ("20250504_20250603", "20250525_20250624", "20250706_20250717")
    paths = [chunks, *(folder / f"binance_usdm_BTCUSDT_1m_{span}.feather" for span in spans)]
    with Tape.open(import_bars(paths, tmp_path / "t")) as tape:
        assert tape.info.bar_interval_s == 60
        assert "joint bars BTC: 18128" in tape.info.notes
    paths = [chunks, folder / "binance_usdm_BTCUSDT_5m_20241231_20260219.feather"]
    with Tape.open(import_bars(paths, tmp_path / "u")) as tape:
        # 13,981 five-minute bars have some minute on both venues; 681 of them are cut by a chunk's edge
        assert "joint bars BTC: 13299" in tape.info.notes
