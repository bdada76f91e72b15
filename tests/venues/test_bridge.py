import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.venues.binance_usdm.public import DepthBridge, Gap, SnapshotTooOld
from interlock.venues.binance_usdm.wire import DepthUpdate, Snapshot


def event(first: int, last: int, previous: int) -> DepthUpdate:
    return DepthUpdate(s="BTCUSDT", E=0, T=0, U=first, u=last, pu=previous, b=[], a=[])


def snapshot(last: int) -> Snapshot:
    return Snapshot(lastUpdateId=last, E=0, T=0, bids=[], asks=[])


def test_events_wait_for_the_snapshot_and_the_old_ones_are_dropped() -> None:
    bridge = DepthBridge()
    events = [event(10, 12, 9), event(14, 20, 12), event(21, 25, 20)]
    assert [bridge.diff(e) for e in events] == [False, False, False]
    assert bridge.snapshot(snapshot(17)) == events[1:]
    assert bridge.diff(event(27, 30, 25))
    assert (bridge.synced, bridge.last_update) == (True, 30)


@pytest.mark.parametrize("last", [12, 13, 14, 20])
def test_the_first_event_spans_the_snapshot(last: int) -> None:
    bridge = DepthBridge()
    bridge.diff(event(10, 12, 9))
    bridge.diff(event(14, 20, 12))
    # ids between 12 and 14 are of other symbols: nothing is missing at 13
    assert [e.u for e in bridge.snapshot(snapshot(last))][-1] == 20


def test_a_snapshot_from_before_the_first_event_is_too_old() -> None:
    bridge = DepthBridge()
    bridge.diff(event(10, 12, 9))
    with pytest.raises(SnapshotTooOld, match="lastUpdateId >= 9, found 8"):
        bridge.snapshot(snapshot(8))
    assert not bridge.synced
    assert len(bridge.snapshot(snapshot(9))) == 1


def test_a_snapshot_ahead_of_every_event_waits_for_the_one_that_spans_it() -> None:
    bridge = DepthBridge()
    bridge.diff(event(10, 12, 9))
    assert bridge.snapshot(snapshot(18)) == []
    assert not bridge.diff(event(14, 16, 12))
    assert bridge.diff(event(17, 20, 16))


def test_a_snapshot_before_any_event() -> None:
    bridge = DepthBridge()
    assert bridge.snapshot(snapshot(18)) == []
    with pytest.raises(SnapshotTooOld):
        bridge.diff(event(21, 25, 20))


@pytest.mark.parametrize("synced", [False, True])
def test_a_gap_names_both_ids(synced: bool) -> None:
    bridge = DepthBridge()
    bridge.diff(event(10, 12, 9))
    if synced:
        bridge.snapshot(snapshot(11))
    with pytest.raises(Gap, match="expected pu 12, found 13") as caught:
        bridge.diff(event(14, 20, 13))
    assert (caught.value.expected, caught.value.found) == (12, 13)


@pytest.mark.parametrize(("first", "last", "previous"), [(10, 9, 8), (10, 12, 11)])
def test_an_event_whose_own_ids_are_wrong(first: int, last: int, previous: int) -> None:
    with pytest.raises(ValueError, match="pu <= U <= u"):
        DepthBridge().diff(event(first, last, previous))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=2, max_size=20), st.data())
def test_wherever_the_snapshot_falls_nothing_is_missed(chain: list[tuple[int, int]], data: st.DataObject) -> None:
    last, events = 100, []
    for skip, length in chain:
        first = last + 1 + skip
        events.append(event(first, first + length, last))
        last = first + length
    taken_at = data.draw(st.integers(100, last))
    arrives = data.draw(st.integers(0, len(events)))
    bridge = DepthBridge()
    applied: list[DepthUpdate] = []
    for i, e in enumerate(events):
        if i == arrives:
            applied += bridge.snapshot(snapshot(taken_at))
        if bridge.diff(e):
            applied.append(e)
    if arrives == len(events):
        applied += bridge.snapshot(snapshot(taken_at))
    assert applied == [e for e in events if e.u >= taken_at]
