import numpy as np
import numpy.typing as npt

from interlock.market.bars import NS_PER_S, Candles, bar_rows, join, resample
from interlock.market.columns import RowKind

MINUTE = 60 * NS_PER_S


def candles(*minutes: int, volume: int = 1) -> Candles:
    """One candle for each minute, its prices derived from the minute."""
    times = np.array(minutes, np.int64)
    price: npt.NDArray[np.int64] = 100 + times
    return Candles(times * MINUTE, price, price + 2, price - 2, price + 1, np.full(len(times), volume, np.int64))


def test_five_minutes_from_one() -> None:
    bars = resample(candles(*range(10)), MINUTE, 5 * MINUTE)
    assert bars.times_ns.tolist() == [0, 5 * MINUTE]
    assert bars.open.tolist() == [100, 105]
    assert bars.high.tolist() == [106, 111]
    assert bars.low.tolist() == [98, 103]
    assert bars.close.tolist() == [105, 110]
    assert bars.volume.tolist() == [5, 5]


def test_minutes_without_a_trade_are_no_outage_and_add_no_volume() -> None:
    bars = resample(candles(0, 3, 7, 20, 24), MINUTE, 5 * MINUTE)
    assert (bars.times_ns // MINUTE).tolist() == [0, 5, 20]
    assert bars.volume.tolist() == [2, 1, 2]
    assert (bars.open.tolist(), bars.close.tolist()) == ([100, 107, 120], [104, 108, 125])


def test_bars_that_a_recording_cuts_are_left_out() -> None:
    bars = resample(candles(2, 3, 4, 5, 6, 7, 8, 9, 100, 101, 102, 103, 104, 105, 106), MINUTE, 5 * MINUTE)
    # 0 begins late, 105 ends early; the hole of 90 minutes is the recorder's
    assert (bars.times_ns // MINUTE).tolist() == [5, 100]


def test_a_bar_that_holds_two_recordings_is_left_out() -> None:
    bars = resample(candles(*range(58), *range(119, 180)), MINUTE, 120 * MINUTE)
    assert len(bars) == 0
    bars = resample(candles(*range(60), *range(119, 240)), MINUTE, 120 * MINUTE)
    assert (bars.times_ns // MINUTE).tolist() == [0, 120]


def test_the_same_interval_is_left_alone() -> None:
    one = candles(2, 3)
    assert resample(one, MINUTE, MINUTE) is one


def test_recordings_that_overlap_and_agree_are_one() -> None:
    both, differ = join([candles(5, 6, 7), candles(1, 2, 5, 6)])
    assert (both.times_ns // MINUTE).tolist() == [1, 2, 5, 6, 7]
    assert differ is None
    _, differ = join([candles(5, 6, 7), candles(6, volume=2)])
    assert differ == 6 * MINUTE


def test_rows_of_a_bar_are_dated_at_its_end() -> None:
    rows = bar_rows(candles(0, 1), MINUTE, 3)
    assert rows["kind"].tolist()[:4] == [RowKind.BAR_OPEN, RowKind.BAR_HIGH, RowKind.BAR_LOW, RowKind.BAR_CLOSE]
    assert rows["receive_ns"].tolist() == [MINUTE] * 4 + [2 * MINUTE] * 4
    assert np.array_equal(rows["receive_ns"], rows["exchange_ns"])
    assert rows["ticks"].tolist()[:4] == [100, 102, 98, 101]
    assert rows["lots"].tolist()[:4] == [0, 0, 0, 1]
    assert set(rows["instrument"].tolist()) == {3}
