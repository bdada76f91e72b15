"""Where a venue cancels by itself when the gate's own private stream falls silent: set at the start, read back, and held against the stream.

No sentinel beats this one. It holds for an account whose configuration asks for it, while the venue says that it is in force and the stream, which
alone subscribes to it, is connected. A window that the venue tells otherwise, or has not confirmed for long, is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from interlock.domain.clock import NS_PER_S
from interlock.gate.exposure import Place
from interlock.gate.readings import Now, Readings
from interlock.gate.venue_reads import ReadFailed

READ_EVERY_NS: Final = 30 * NS_PER_S
LOOKS: Final = 10
LOOK_EVERY_S: Final = 2.0
GOOD_FOR_NS: Final = 120 * NS_PER_S
"""How long the venue's word counts when it does not answer."""


class Protection(Protocol):
    """An account's protection at its venue. Both raise ReadFailed."""

    @property
    def window_s(self) -> int:
        """The window that is wanted."""
        ...

    async def set_up(self) -> None:
        """Ask the venue for the window."""
        ...

    async def told_s(self) -> int:
        """The window that the venue says is in force, 0 for none."""
        ...


async def require_protection(wanted: Protection, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Set the window, unless it stands, and read it back. Raises ReadFailed unless the venue tells the one that is wanted.

    The venue says that a window takes some ten seconds to be in force, and so long tells the one before.
    """
    found = await wanted.told_s()
    if found == wanted.window_s:
        return
    await wanted.set_up()
    for _ in range(LOOKS):
        found = await wanted.told_s()
        if found == wanted.window_s:
            return
        await pause(LOOK_EVERY_S)
    raise ReadFailed(
        f"expected a disconnection window of {wanted.window_s} s, which was asked for {LOOKS * LOOK_EVERY_S:.0f} s ago, found {found or 'none'}"
    )


class ConnectionGuard:
    """Keeps `places`, the instruments of one account, in `readings.attended` while they are protected. `connected` says whether the stream is
    subscribed.

    What begins with it was protected a moment ago (`require_protection`).
    """

    def __init__(
        self,
        wanted: Protection,
        places: Iterable[Place],
        readings: Readings,
        connected: Callable[[], bool],
        clock: Callable[[], Now],
    ) -> None:
        self._wanted = wanted
        self._places = frozenset(places)
        self._readings = readings
        self._connected = connected
        self._clock = clock
        self._confirmed_ns: int | None = clock().boot_ns
        self._asked_ns = clock().boot_ns

    async def look(self) -> None:
        """Whether it holds now; the venue is not asked."""
        confirmed_ns = self._confirmed_ns
        known = confirmed_ns is not None and 0 <= self._clock().boot_ns - confirmed_ns <= GOOD_FOR_NS
        others = self._readings.attended - self._places
        self._readings.attended = others | self._places if known and self._connected() else others

    async def read_back(self) -> None:
        """Ask the venue again when that is due."""
        now_ns = self._clock().boot_ns
        if now_ns - self._asked_ns < READ_EVERY_NS:
            return
        self._asked_ns = now_ns
        try:
            found = await self._wanted.told_s()
        except ReadFailed as error:
            if not error.refused:
                return  # its last word counts until it is too old
            found = 0
        self._confirmed_ns = now_ns if found == self._wanted.window_s else None
        await self.look()
