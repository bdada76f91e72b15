"""What one life of a gate uses of the machine, by name, so that a test can give each of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.gate.clock_watch import ClockReading
from interlock.gate.connection import OrderConnection
from interlock.gate.journal import Disk
from interlock.gate.readings import Now
from interlock.gate.sockets import Listen, listen
from interlock.run.gate_kits import MakeKit, kit_of
from interlock.venues.endpoint import Endpoint

AskSentinel = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Ask the sentinel one question; the last event of its answer, empty if it did not answer."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Disk, network, clocks, chance, the sentinel and a person to tell. Nothing else of the machine is read while the gate lives."""

    disk: Disk
    connect: Callable[[Endpoint, str], Awaitable[OrderConnection]]
    """(endpoint, name of the connection). Raises OSError and TimeoutError."""
    now: Callable[[], Now]
    clocks: Callable[[], ClockReading]
    nonce: Callable[[], str]
    """32 hexadecimal digits that never come again."""
    ask_sentinel: AskSentinel
    log: Callable[[str], None]
    kit: MakeKit = kit_of
    """How each venue is spoken with."""
    listen: Listen = listen
    """Where whoever speaks to the gate connects."""
