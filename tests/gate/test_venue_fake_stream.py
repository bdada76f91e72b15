"""The private stream of the fake venue: every event once, and a gap whenever one may have been missed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.fake_servers import MS, Hand, Speaker, SteppedClock, fake, full_listener, now, run, scripted, settle

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate import venue_fake_stream as v
from interlock.gate.venue_reads import ShownOrder, StreamEvent, VenueStream
from interlock.simulate.fake_venue.control import Ban, ClearFaults, DropConnections, FillOrder, MoveBalance, ReverseFill, Silence
from interlock.simulate.fake_venue.faults import Fault
from interlock.simulate.fake_venue.launch import served
from interlock.venues.fake import wire

QUIET_NS = 60_000 * MS


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[Hand]:
    with fake(tmp_path) as addresses:
        made = Hand(addresses)
        yield made
        made.close()


class Listener:
    """A stream that is followed, and what it told."""

    def __init__(self, port: int, **more: Any) -> None:
        given_: dict[str, Any] = {"timeout_ns": 2_000 * MS, "receive_window_ns": 5_000 * MS, "silence_ns": QUIET_NS, **more}
        clock = given_.pop("clock", now)
        self.stream = v.FakeStream("bybit", "main", port, clock, **given_)
        self.events: list[StreamEvent] = []
        self.gaps: list[str] = []
        self.task = asyncio.get_running_loop().create_task(self.stream.run(self.events.append, self.gaps.append))

    async def connected(self, times: int = 1) -> None:
        await settle(lambda: self.gaps.count("connected") == times)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert self.stream.connected_since_boot_ns is None


def listening(port: int, use: Callable[[Listener], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        listener = Listener(port, **more)
        try:
            await use(listener)
        finally:
            await listener.stop()

    run(whole())


def kinds(listener: Listener) -> list[type]:
    return [type(event) for event in listener.events]


# What is told


def test_orders_executions_and_ledger_are_told_once_and_holdings_are_not(hand: Hand) -> None:
    async def use(listener: Listener) -> None:
        stream: VenueStream = listener.stream
        assert (stream.venue, stream.account, stream.connected_since_boot_ns) == ("bybit", "main", None)
        before = now().boot_ns
        await listener.connected()
        since = stream.connected_since_boot_ns
        assert since is not None
        assert before <= since <= now().boot_ns
        hand.place("a", lots=10)
        hand.do(FillOrder, client_id="a", lots=4)
        hand.do(MoveBalance, kind="funding", currency="USDT", amount="-1.5", symbol="BTCUSDT")
        hand.do(ReverseFill, trade_id="bybit-t1")
        await settle(lambda: len(listener.events) == 6)
        assert kinds(listener) == [ShownOrder, r.Filled, ShownOrder, r.LedgerEvent, r.FillReversed, ShownOrder]
        first, fill, part, _, _, undone = listener.events
        assert isinstance(first, ShownOrder)
        assert (first.symbol, first.open_lots, first.report.state, first.report.source) == ("BTCUSDT", 10, OrderState.OPEN, "stream")
        assert isinstance(fill, r.Filled)
        assert (fill.venue, fill.account, fill.client_id, fill.lots) == ("bybit", "main", "a", 4)
        assert isinstance(part, ShownOrder)
        assert (part.open_lots, part.report.filled_lots) == (6, 4)
        assert isinstance(undone, ShownOrder)
        assert undone.report.filled_lots == 0
        assert since <= fill.boot_ns <= now().boot_ns
        assert listener.gaps == ["connected"]
        assert stream.connected_since_boot_ns == since

    listening(hand.ports.stream, use)


# What is a gap


@pytest.mark.parametrize(
    ("fault", "fields", "gaps", "told"),
    [
        (None, {}, [], [OrderState.OPEN, "fill", OrderState.FILLED]),
        (Fault.STREAM_TWICE, {"count": 5}, [], [OrderState.OPEN, "fill", OrderState.FILLED]),
        (Fault.STREAM_GAP, {"count": 2}, ["events 1 to 2 did not come"], [OrderState.FILLED]),
        (
            Fault.STREAM_REORDER,
            {"delay_ns": 1_000 * MS},
            ["events 1 to 1 did not come", "event 1 came behind event 2"],
            ["fill", OrderState.OPEN, OrderState.FILLED],
        ),
        (
            Fault.LATE_FILL,
            {"delay_ns": 20 * MS},
            ["events 2 to 2 did not come", "event 2 came behind event 5"],
            [OrderState.OPEN, OrderState.FILLED, "fill"],
        ),
    ],
)
def test_numbers_that_do_not_rise_by_one_are_a_gap_and_repetitions_are_dropped(
    hand: Hand, fault: Fault | None, fields: dict[str, int], gaps: list[str], told: list[object]
) -> None:
    async def use(listener: Listener) -> None:
        await listener.connected()
        if fault is not None:
            hand.arm(fault, verb="place", **fields)
        hand.buy("a")
        await settle(lambda: len(listener.events) == len(told))
        await asyncio.sleep(0.02)
        shown = [event.report.state if isinstance(event, ShownOrder) else "fill" for event in listener.events]
        assert (listener.gaps[1:], shown) == (gaps, told)
        assert listener.stream.connected_since_boot_ns is not None

    listening(hand.ports.stream, use)


@pytest.mark.parametrize("kind", ["funding", "windfall"])
def test_an_event_that_makes_no_sense_is_a_gap(hand: Hand, kind: str) -> None:
    async def use(listener: Listener) -> None:
        await listener.connected()
        hand.do(MoveBalance, kind=kind, currency="USDT", amount="1")
        hand.place("a")
        await settle(lambda: ShownOrder in kinds(listener))
        assert listener.gaps[1:] == ([] if kind == "funding" else ["event 1 makes no sense"])
        assert kinds(listener) == ([r.LedgerEvent, ShownOrder] if kind == "funding" else [ShownOrder])

    listening(hand.ports.stream, use)


def test_a_lost_connection_is_a_gap_and_so_is_the_next(hand: Hand) -> None:
    async def use(listener: Listener) -> None:
        await listener.connected()
        hand.do(DropConnections)
        await settle(lambda: len(listener.gaps) == 2)
        assert "closed the connection" in listener.gaps[1]
        assert listener.stream.connected_since_boot_ns is None
        again = Hand(hand.addresses)
        again.place("missed")
        await listener.connected(2)
        again.place("told")
        await settle(lambda: bool(listener.events))
        (event,) = listener.events
        assert isinstance(event, ShownOrder)
        assert event.report.client_id == "told"
        again.close()

    listening(hand.ports.stream, use)


def test_a_venue_that_is_gone_stays_a_gap(tmp_path: Path) -> None:
    async def use(port: int, pid: int) -> None:
        listener = Listener(port)
        await listener.connected()
        os.kill(pid, signal.SIGKILL)
        await settle(lambda: len(listener.gaps) >= 4)
        assert listener.stream.connected_since_boot_ns is None
        assert all(gap.startswith("no connection") for gap in listener.gaps[2:])
        await listener.stop()

    with served(tmp_path, ["bybit"], retire_after_s=60) as addresses:
        run(use(addresses.venues["bybit"].stream, addresses.pid))


# Silence


def test_a_silent_venue_is_asked_and_nothing_missed_is_no_gap(hand: Hand) -> None:
    async def use(listener: Listener) -> None:
        await listener.connected()
        hand.place("a")
        await settle(lambda: hand.witnessed("subscribe") >= 5)
        hand.place("b")
        await settle(lambda: len(listener.events) == 2)
        assert listener.gaps == ["connected"]

    listening(hand.ports.stream, use, silence_ns=30 * MS)


def test_what_went_by_in_silence_is_a_gap_before_the_next_event(hand: Hand) -> None:
    async def use(listener: Listener) -> None:
        await listener.connected()
        hand.do(Silence, for_ns=3_600_000 * MS)
        hand.buy("a")
        await settle(lambda: len(listener.gaps) == 2)
        assert (listener.gaps[1], listener.events) == ("events 1 to 5 went by in silence", [])
        hand.do(ClearFaults)
        hand.place("b")
        await settle(lambda: len(listener.events) == 1)
        assert len(listener.gaps) == 2

    listening(hand.ports.stream, use, silence_ns=30 * MS)


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_ACK, Fault.GARBAGE_FRAME, Fault.ERROR_WITHOUT_ACCEPTING])
def test_a_venue_that_does_not_answer_in_its_silence_is_connected_to_again(hand: Hand, fault: Fault) -> None:
    async def use(listener: Listener) -> None:
        await listener.connected()
        hand.arm(fault, verb="subscribe")
        await listener.connected(2)
        assert len(listener.gaps) == 3
        hand.place("a")
        await settle(lambda: len(listener.events) == 1)

    listening(hand.ports.stream, use, silence_ns=30 * MS, timeout_ns=100 * MS)


def test_events_are_told_while_the_venue_is_asked(hand: Hand) -> None:
    async def use(listener: Listener) -> None:
        await listener.connected()
        await settle(lambda: hand.witnessed("subscribe") == 2)
        hand.buy("a")
        await settle(lambda: len(listener.events) == 3)
        assert hand.witnessed("subscribe") == 2
        await settle(lambda: hand.witnessed("subscribe") == 3)
        assert listener.gaps == ["connected"]

    hand.arm(Fault.LATE_ACK, verb="subscribe", nth=2, delay_ns=600 * MS)
    listening(hand.ports.stream, use, silence_ns=30 * MS)


def test_a_venue_that_wants_no_questions_is_believed_to_be_there_but_the_silence_is_a_gap(hand: Hand) -> None:
    async def use(listener: Listener) -> None:
        await listener.connected()
        hand.do(Ban, for_ns=600 * MS)
        await settle(lambda: len(listener.gaps) == 2)
        assert "limits the rate" in listener.gaps[1]
        asked = hand.witnessed("subscribe")
        hand.do(FillOrder, client_id="resting", lots=1)
        await settle(lambda: len(listener.events) == 2)
        assert listener.stream.connected_since_boot_ns is not None
        assert hand.witnessed("subscribe") == asked
        await settle(lambda: hand.witnessed("subscribe") >= asked + 3)
        assert len(listener.gaps) == 2

    hand.place("resting")
    listening(hand.ports.stream, use, silence_ns=50 * MS)


def test_a_venue_that_is_silent_and_limits_us_is_left_alone(hand: Hand) -> None:
    async def use(listener: Listener) -> None:
        await listener.connected()
        hand.do(Ban, for_ns=3_600_000 * MS)
        await settle(lambda: len(listener.gaps) == 2)
        asked = hand.witnessed("subscribe")
        await asyncio.sleep(0.2)
        assert hand.witnessed("subscribe") == asked
        assert len(listener.gaps) == 2

    listening(hand.ports.stream, use, silence_ns=30 * MS)


# Connecting


def test_a_refused_subscription_waits_as_long_as_the_venue_asks(hand: Hand) -> None:
    async def use(listener: Listener) -> None:
        began = time.monotonic_ns()
        await settle(lambda: len(listener.gaps) == 1)
        assert "limits the rate" in listener.gaps[0]
        assert listener.stream.connected_since_boot_ns is None
        await listener.connected()
        assert time.monotonic_ns() - began >= 380 * MS
        assert hand.witnessed("subscribe") == 2

    hand.do(Ban, for_ns=450 * MS)
    listening(hand.ports.stream, use)


def test_connecting_takes_no_longer_than_it_may() -> None:
    async def use(listener: Listener) -> None:
        await settle(lambda: len(listener.gaps) >= 2)
        assert set(listener.gaps) == {"no connection in time"}

    with full_listener() as listener:
        listening(listener.getsockname()[1], use, timeout_ns=50 * MS)


def against(script: Callable[[Speaker, int], Awaitable[None]], use: Callable[[Listener], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        async with scripted(script) as venue:
            listener = Listener(venue.port, **more)
            try:
                await use(listener)
            finally:
                await listener.stop()

    run(whole())


def test_the_pause_between_connections_grows_until_one_has_stood_for_long() -> None:
    clock = SteppedClock()
    came: list[int] = []

    async def script(speaker: Speaker, number: int) -> None:
        came.append(time.monotonic_ns())
        if number == 3:
            speaker.answer(await speaker.hear(), wire.Subscribed(next_sequence=1))
            await asyncio.sleep(0.02)
            clock.ahead_ns += v.LONGEST_PAUSE_NS

    async def use(listener: Listener) -> None:
        await settle(lambda: len(came) == 5)
        pauses = [later - earlier for earlier, later in pairwise(came)]
        for pause, least in zip(pauses, (100, 200, 100, 200), strict=True):
            assert pause >= least * MS * 0.95
        assert pauses[2] < 390 * MS  # the third would be twice the second

    against(script, use, clock=clock)


def test_the_pause_has_a_longest() -> None:
    assert v.SHORTEST_PAUSE_NS == 100 * MS
    assert v.LONGEST_PAUSE_NS == 5_000 * MS


# A venue whose every byte is written by hand

BALANCE = wire.Balance(currency="USDT", amount="1")


def entry(amount: str) -> wire.LedgerEntry:
    return wire.LedgerEntry(venue_id=f"l{amount}", kind="funding", currency="USDT", amount=amount, symbol="", venue_ns=9)


def amounts(listener: Listener) -> list[int]:
    return [int(event.amount) for event in listener.events if isinstance(event, r.LedgerEvent)]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"\0\0\0\0", "length"),
        (b"\0\0\0\x02\x02\x80", "version"),
        (b"\0\0\0\x02\x01\xc1", "no message"),
        (b"\0\0\0\x09\x01\xc1garbage" * 2, "no message"),
        (b"\0\0\1\0\x01", "no answer in time"),  # half a frame, and what follows belongs to it
    ],
)
def test_bytes_that_are_no_event_cost_the_connection(said: bytes, reason: str) -> None:
    async def script(speaker: Speaker, number: int) -> None:
        speaker.answer(await speaker.hear(), wire.Subscribed(next_sequence=1))
        speaker.push(1, entry(str(number)))
        if number == 1:
            speaker.say(said)
        await speaker.stay()

    async def use(listener: Listener) -> None:
        await listener.connected(2)
        await settle(lambda: amounts(listener) == [1, 2])
        assert reason in listener.gaps[1]

    against(script, use, silence_ns=50 * MS, timeout_ns=50 * MS)


@pytest.mark.parametrize("body", [None, wire.BeatTaken(until_ns=0)])
def test_a_subscription_without_a_number_is_none(body: wire.AnyBody | None) -> None:
    async def script(speaker: Speaker, number: int) -> None:
        speaker.answer(await speaker.hear(), body if number == 1 else wire.Subscribed(next_sequence=7))
        await speaker.stay()

    async def use(listener: Listener) -> None:
        await listener.connected()
        assert "expected the number" in listener.gaps[0]

    against(script, use)


def test_events_that_overtake_the_answer_to_the_subscription_are_held_against_it() -> None:
    async def script(speaker: Speaker, _: int) -> None:
        request = await speaker.hear()
        speaker.push(8, entry("8"))
        speaker.push(9, entry("9"))
        await asyncio.sleep(0.02)
        speaker.answer(request, wire.Subscribed(next_sequence=8))
        speaker.push(10, entry("10"))
        await speaker.stay()

    async def use(listener: Listener) -> None:
        await settle(lambda: amounts(listener) == [8, 9, 10])
        assert listener.gaps == ["connected"]

    against(script, use)


def test_another_event_under_a_number_that_was_told_is_a_gap() -> None:
    async def script(speaker: Speaker, _: int) -> None:
        speaker.answer(await speaker.hear(), wire.Subscribed(next_sequence=1))
        for number, amount in ((1, "1"), (2, "2"), (1, "1"), (2, "3"), (3, "4")):
            speaker.push(number, entry(amount))
        await speaker.stay()

    async def use(listener: Listener) -> None:
        await settle(lambda: amounts(listener) == [1, 2, 3, 4])
        assert listener.gaps[1:] == ["event 2 came again and says something else"]

    against(script, use)


def test_so_many_events_are_remembered_and_an_older_repetition_is_a_gap() -> None:
    async def script(speaker: Speaker, _: int) -> None:
        speaker.answer(await speaker.hear(), wire.Subscribed(next_sequence=1))
        for number in (*range(1, v.REMEMBERED + 2), 2, 1):
            speaker.push(number, BALANCE)
        speaker.push(v.REMEMBERED + 2, entry("1"))
        await speaker.stay()

    async def use(listener: Listener) -> None:
        await settle(lambda: amounts(listener) == [1])
        assert listener.gaps[1:] == [f"event 1 came behind event {v.REMEMBERED + 1}"]

    against(script, use)


def test_a_venue_that_counts_back_is_connected_to_again() -> None:
    async def script(speaker: Speaker, number: int) -> None:
        speaker.answer(await speaker.hear(), wire.Subscribed(next_sequence=5))
        speaker.push(5, entry(str(number)))
        while number > 1:
            speaker.answer(await speaker.hear(), wire.Subscribed(next_sequence=6))
        speaker.answer(await speaker.hear(), wire.Subscribed(next_sequence=5))
        await speaker.stay()

    async def use(listener: Listener) -> None:
        await listener.connected(2)
        await asyncio.sleep(0.1)
        assert listener.gaps == ["connected", "the venue counts back, from event 6 to 5", "connected"]
        assert amounts(listener) == [1, 2]

    against(script, use, silence_ns=30 * MS)


@pytest.mark.parametrize("which", ["event", "gap", "connected"])
def test_what_a_callback_raises_ends_it_and_leaves_nothing_behind(which: str) -> None:
    async def script(speaker: Speaker, _: int) -> None:
        speaker.answer(await speaker.hear(), wire.Subscribed(next_sequence=1))
        speaker.push(1, entry("1"))
        speaker.push(3, entry("3"))
        await speaker.stay()

    async def use() -> None:
        def on_event(_: StreamEvent) -> None:
            if which == "event":
                raise KeyError(which)

        def on_gap(reason: str) -> None:
            if (reason == "connected") is (which == "connected"):
                raise KeyError(which)

        async with scripted(script) as venue:
            stream = v.FakeStream("bybit", "main", venue.port, now, timeout_ns=500 * MS, receive_window_ns=0, silence_ns=QUIET_NS)
            with pytest.raises(KeyError, match=which):
                await stream.run(on_event, on_gap)
            assert stream.connected_since_boot_ns is None
            assert venue.connections == 1

    run(use())


def test_it_can_be_ended_while_it_asks_and_while_it_pauses() -> None:
    async def script(speaker: Speaker, number: int) -> None:
        speaker.answer(await speaker.hear(), wire.Subscribed(next_sequence=1))
        if number == 1:
            await speaker.hear()
            asked.set()
            await speaker.stay()

    async def while_it_asks(listener: Listener) -> None:
        await asked.wait()

    async def while_it_pauses(listener: Listener) -> None:
        await asked.wait()
        await settle(lambda: len(listener.gaps) == 2)

    for use, timeout_ns in ((while_it_asks, 5_000 * MS), (while_it_pauses, 50 * MS)):
        asked = asyncio.Event()
        against(script, use, silence_ns=20 * MS, timeout_ns=timeout_ns)


STEP = st.sampled_from(["next", "next", "skip", "again", "late"])


@given(st.lists(STEP, max_size=25))
def test_every_event_is_told_once_and_a_gap_is_told_if_and_only_if_the_numbers_are_not_whole(steps: list[str]) -> None:
    pushed: list[int] = []
    skipped: list[int] = []
    top = 3
    whole = True
    for step in steps:
        if step == "next":
            pushed.append(top)
            top += 1
        elif step == "skip":
            skipped.append(top)
            top += 1
        elif step == "again" and pushed:
            pushed.append(pushed[len(pushed) // 2])
        elif step == "late" and skipped and pushed and max(pushed) > skipped[0]:
            pushed.append(skipped.pop(0))
    pushed.append(top)
    whole = sorted(set(pushed)) == list(range(3, top + 1)) and list(dict.fromkeys(pushed)) == sorted(set(pushed))

    async def script(speaker: Speaker, _: int) -> None:
        speaker.answer(await speaker.hear(), wire.Subscribed(next_sequence=3))
        for number in pushed:
            speaker.push(number, entry(str(number)))
        await speaker.stay()

    async def use(listener: Listener) -> None:
        await settle(lambda: top in amounts(listener))
        assert amounts(listener) == list(dict.fromkeys(pushed))
        assert (listener.gaps == ["connected"]) is whole

    against(script, use)
