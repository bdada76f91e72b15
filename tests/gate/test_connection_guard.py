"""What the gate's own private stream protects: only while it is connected, and only what the venue confirms."""

from __future__ import annotations

import asyncio

import pytest
from tests.gate.core_world import World

from interlock.gate.connection_guard import GOOD_FOR_NS, READ_EVERY_NS, ConnectionGuard, require_protection
from interlock.gate.readings import Now
from interlock.gate.venue_reads import ReadFailed

PLACE, ELSEWHERE = ("bybit", "BTCUSDT"), ("binance_usdm", "BTCUSDT")


class Venue:
    """An account's protection, by script."""

    window_s = 10

    def __init__(self) -> None:
        self.now_ns = 100_000_000_000
        self.told: int | ReadFailed = 10
        self.refuses = False
        self.asked = self.set_ups = 0
        self.late = 1 << 30
        self.connected = True
        self.readings = World().readings
        self.readings.attended = {ELSEWHERE}
        self.guard = ConnectionGuard(self, [PLACE], self.readings, lambda: self.connected, lambda: Now(self.now_ns, 1))

    async def set_up(self) -> None:
        self.set_ups += 1
        if self.refuses:
            raise ReadFailed("the venue refused", refused=True)

    async def told_s(self) -> int:
        self.asked += 1
        if isinstance(self.told, ReadFailed):
            raise self.told
        if self.set_ups and self.asked > self.late:
            return self.window_s
        return self.told

    def attended(self) -> bool:
        asyncio.run(self.guard.look())
        assert ELSEWHERE in self.readings.attended, "what others attend is theirs"
        return PLACE in self.readings.attended

    def after(self, ns: int) -> bool:
        self.now_ns += ns
        asyncio.run(self.guard.read_back())
        return self.attended()


def test_it_holds_while_the_stream_is_connected() -> None:
    venue = Venue()
    assert venue.attended()
    venue.connected = False
    assert not venue.attended()
    venue.connected = True
    assert venue.attended()


def test_the_venue_is_asked_again_now_and_then_and_another_window_is_none() -> None:
    venue = Venue()
    assert venue.after(READ_EVERY_NS - 1)
    assert venue.asked == 0
    assert venue.after(1)
    assert venue.asked == 1
    for told in (0, 300):
        venue.told = told
        assert not venue.after(READ_EVERY_NS)
        venue.told = 10
        assert venue.after(READ_EVERY_NS), "as it was asked for again"


def test_the_last_word_of_a_venue_that_does_not_answer_counts_for_a_while() -> None:
    venue = Venue()
    venue.told = ReadFailed("no answer")
    assert venue.after(GOOD_FOR_NS)
    assert not venue.after(1)
    venue.told = 10
    assert venue.after(READ_EVERY_NS)


def test_a_venue_that_refuses_to_tell_protects_nothing() -> None:
    venue = Venue()
    venue.told = ReadFailed("not granted", refused=True)
    assert not venue.after(READ_EVERY_NS)
    venue.told = 10
    assert venue.after(READ_EVERY_NS)


async def no_pause(_seconds: float) -> None:
    """Time passes."""


def test_a_window_that_takes_a_while_to_be_in_force_is_waited_for_and_one_that_stands_is_left_alone() -> None:
    venue = Venue()
    asyncio.run(require_protection(venue, no_pause))
    assert (venue.asked, venue.set_ups) == (1, 0)
    venue.told, venue.late = 300, 6
    asyncio.run(require_protection(venue, no_pause))
    assert (venue.asked, venue.set_ups) == (7, 1)


@pytest.mark.parametrize(
    ("refuses", "told", "said"),
    [
        (True, 0, "the venue refused"),
        (False, 0, "expected a disconnection window of 10 s, which was asked for 20 s ago, found none"),
        (False, 300, "found 300"),
        (False, ReadFailed("no answer"), "no answer"),
    ],
)
def test_a_gate_begins_only_where_the_window_is_set_and_told_back(refuses: bool, told: int | ReadFailed, said: str) -> None:
    venue = Venue()
    venue.refuses, venue.told = refuses, told
    with pytest.raises(ReadFailed, match=said):
        asyncio.run(require_protection(venue, no_pause))
