"""Where a venue cancels by itself when all of us are gone: which instruments that holds for now, as the sentinel confirms it.

The sentinel alone beats the dead-man, and only for instruments with resting orders. So the first order that is to rest waits until the venue has
confirmed it, and from then on the sentinel's own account of its beats is read again and again; what it no longer confirms is not attended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from interlock.gate.exposure import Place
from interlock.gate.readings import Now, Readings

Ask = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Ask the sentinel one question; the last event of its answer, empty if it did not answer."""


class DeadMan:
    """Keeps `readings.attended`. `places` are the instruments of venues that have a dead-man; `good_for_ns` is how long one beat counts."""

    def __init__(self, places: Iterable[Place], readings: Readings, ask: Ask, clock: Callable[[], Now], good_for_ns: int) -> None:
        self._places = frozenset(places)
        self._readings = readings
        self._ask = ask
        self._clock = clock
        self._good_for_ns = good_for_ns

    async def assure(self, place: Place) -> bool:
        """Before an order is to rest: whether the venue will cancel it by itself, asking for that where it is not so yet."""
        if place not in self._places:
            return False
        if place in self._readings.attended:
            return True
        told = await self._ask({"verb": "rest", "venue": place[0], "symbol": place[1]})
        if told.get("event") != "ARMED":
            return False
        self._readings.attended.add(place)
        return True

    async def refresh(self) -> None:
        """Read which beats the sentinel has confirmed lately."""
        if not self._places:
            return
        before = self._places & self._readings.attended
        told = await self._ask({"verb": "status"})
        now = self._clock().boot_ns
        confirmed = {place for place in self._places if 0 <= now - _confirmed_ns(told, place) <= self._good_for_ns}
        # What was assured while this was asked is newer than the answer; what others attend is theirs.
        self._readings.attended = confirmed | (self._readings.attended - before)


def _confirmed_ns(told: Mapping[str, Any], place: Place) -> int:
    """When the venue last confirmed a beat of an instrument, boot time; far in the future, which counts as never, where that is not told."""
    venue, symbol = place
    beats = told.get("beats")
    part = beats.get(venue) if isinstance(beats, dict) else None
    confirmed = part.get("confirmed_ns") if isinstance(part, dict) else None
    when = confirmed.get(symbol) if isinstance(confirmed, dict) else None
    return when if isinstance(when, int) and not isinstance(when, bool) else 1 << 62
