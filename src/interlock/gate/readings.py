"""What the gate knows that no journal may bring back: markets, clocks, and whether it is still alone.

The permits that were decided on a reading carry what they used of it. Nothing here outlives the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from interlock.domain.orders import Side
from interlock.gate.absence import AbsenceRule
from interlock.gate.exposure import Burden, Equity, Place
from interlock.gate.records import Binding, Intent
from interlock.gate.references import References
from interlock.gate.venue_bounds import PriceLimits, Published, Standing


class Now(NamedTuple):
    """The two clocks at the moment of a decision, nanoseconds."""

    boot_ns: int
    wall_ns: int


class Wire(Protocol):
    """How one venue wants to be told: pure functions from an intent to the bytes that will be written, signature included."""

    receive_window_ns: int
    """How long after its signature the venue takes a request; 0 where it has no such bound."""

    def objection(self, intent: Intent, wall_ns: int) -> str:
        """Why the venue would refuse an order for certain, by its own rules as far as they are known; empty if nothing is known against it."""
        ...

    def forbidden_now(self, intent: Intent, wall_ns: int, standing: Standing) -> str:
        """The name of the venue's rule that an order breaks as things stand now, where `objection` has none; empty if nothing is known against it."""
        ...

    def least_order(self, symbol: str, side: Side, ticks: int, wall_ns: int) -> tuple[int, int]:
        """The nearest price in ticks that the venue takes, not beyond `ticks` for the side, and the fewest lots that it takes there."""
        ...

    def placement(self, intent: Intent, sign_wall_ns: int) -> bytes:
        """The whole frame of a new order."""
        ...

    def amendment(self, intent: Intent, sign_wall_ns: int) -> bytes:
        """The whole frame of a change of price and total size."""
        ...

    def body(self, frame: bytes) -> bytes:
        """What of a frame says what is ordered: the bytes that a permit is for, and that whoever watches the venue sees arrive."""
        ...


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is fixed for a process life; limits are not. `accounts`, `wires` and `absence` are by venue, `tags` by strategy."""

    accounts: Mapping[str, str]
    wires: Mapping[str, Wire]
    absence: Mapping[str, AbsenceRule]
    tags: Mapping[str, str]
    longest_age_ns: int = 500_000_000
    """An intent that was made longer ago than this is old."""
    longest_deadline_ns: int = 5_000_000_000
    """No entry may wait longer than this."""


@dataclass(kw_only=True)
class Readings:
    """What is so now. Everything begins as not known, which denies."""

    references: References
    binding: Binding
    read_only: bool = True
    equity: dict[Place, Equity] = field(default_factory=dict)
    burdens: dict[Place, Burden] = field(default_factory=dict)
    """By (venue, account) of those that are shared: what others hold and have open there."""
    naked_since_boot_ns: dict[str, int | None] = field(default_factory=dict)
    budgets: Mapping[str, Callable[[int, int], int]] = field(default_factory=dict)
    """By venue: given how many placements are under way and the boot time, how long until one more has room in its limits; 0: now. A venue that is
    not here has declared none. Egress asks again itself."""
    attended: set[Place] = field(default_factory=set)
    """Instruments whose orders the venue would cancel by itself: its dead-man was confirmed and is kept armed."""
    published: dict[Place, Published] = field(default_factory=dict)
    """What venues publish of their orders besides the rules of an instrument, as their listings said last."""
    price_limits: dict[Place, PriceLimits] = field(default_factory=dict)
    """Where a venue tells them by itself."""
    lease_held: bool = False
    stopped: bool = True
    """The stop word, as it was read last; egress reads it again itself."""
    sentinel_alive: bool = False
    checker_alive: bool = False
