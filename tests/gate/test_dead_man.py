"""Where a venue's dead-man holds, as the sentinel confirms it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tests.gate.core_world import World

from interlock.gate.dead_man import DeadMan
from interlock.gate.readings import Now, Readings

PLACE = ("binance_usdm", "BTCUSDT")
S = 1_000_000_000


class Sentinel:
    """Answers by script."""

    def __init__(self, **answer: Any) -> None:
        self.answer: Mapping[str, Any] = answer
        self.asked: list[Mapping[str, Any]] = []

    async def __call__(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(request)
        return self.answer


def dead_man(sentinel: Sentinel) -> tuple[DeadMan, Readings]:
    readings = World().readings
    return DeadMan((PLACE,), readings, sentinel, lambda: Now(100 * S, 1), 20 * S), readings


def test_the_first_order_that_is_to_rest_waits_for_the_confirmation_and_the_next_does_not() -> None:
    sentinel = Sentinel(event="ARMED")
    made, readings = dead_man(sentinel)
    assert asyncio.run(made.assure(PLACE))
    assert sentinel.asked == [{"verb": "rest", "venue": PLACE[0], "symbol": PLACE[1]}]
    assert asyncio.run(made.assure(PLACE))
    assert len(sentinel.asked) == 1
    assert readings.attended == {PLACE}


@pytest.mark.parametrize("answer", [{}, {"event": "NOT_ARMED"}, {"event": "REFUSED"}])
def test_without_it_nothing_is_attended(answer: dict[str, str]) -> None:
    made, readings = dead_man(Sentinel(**answer))
    assert not asyncio.run(made.assure(PLACE))
    assert readings.attended == set()


def test_a_venue_without_a_dead_man_is_not_asked_about() -> None:
    sentinel = Sentinel(event="ARMED")
    made, _ = dead_man(sentinel)
    assert not asyncio.run(made.assure(("bybit", "BTCUSDT")))
    assert sentinel.asked == []
    none = DeadMan((), World().readings, sentinel, lambda: Now(1, 1), S)
    asyncio.run(none.refresh())
    assert sentinel.asked == []


@pytest.mark.parametrize(
    ("beats", "holds"),
    [
        ({PLACE[0]: {"confirmed_ns": {PLACE[1]: 80 * S}}}, True),
        ({PLACE[0]: {"confirmed_ns": {PLACE[1]: 80 * S - 1}}}, False),
        ({PLACE[0]: {"confirmed_ns": {PLACE[1]: 101 * S}}}, False),
        ({PLACE[0]: {"confirmed_ns": {PLACE[1]: True}}}, False),
        ({PLACE[0]: {"confirmed_ns": {}}}, False),
        ({PLACE[0]: {"confirmed_ns": None}}, False),
        ({PLACE[0]: None}, False),
        ({}, False),
        (None, False),
    ],
)
def test_what_the_sentinel_no_longer_confirms_is_not_attended(beats: object, holds: bool) -> None:
    sentinel = Sentinel(event="ARMED", beats=beats)
    made, readings = dead_man(sentinel)
    asyncio.run(made.assure(PLACE))
    asyncio.run(made.refresh())
    assert readings.attended == ({PLACE} if holds else set())


def test_what_others_attend_is_left_to_them() -> None:
    made, readings = dead_man(Sentinel(beats={}))
    other = ("bybit", "BTCUSDT")
    readings.attended = {PLACE, other}
    asyncio.run(made.refresh())
    assert readings.attended == {other}
