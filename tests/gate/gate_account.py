"""One account in the state machine: what the gate's process keeps about it (watch, reconciler, resolver), and the machine that it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from tests.gate.gate_ground import SteppedDisk
from tests.gate.gate_reads import Ear, MemoryReads

from interlock.gate import records as r
from interlock.gate.account_watch import AccountWatch, holds_nothing
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.parts import Parts
from interlock.gate.profit import Worth
from interlock.gate.readings import Now
from interlock.gate.reconcile import Managed
from interlock.gate.reconciler import Reconciler, opening
from interlock.gate.resolver import Resolver
from interlock.gate.state import GateState
from interlock.simulate.fake_venue.memory import MemoryNetwork

MS = 1_000_000
S = 1_000 * MS
SKEW_NS = 500 * MS
"""How far the venue's clock may be from ours: what the proof of absence is given."""


class Host(Protocol):
    """What a life has of the machine that it runs on, and what outlives it."""

    venue: str
    network: MemoryNetwork
    disk: SteppedDisk
    folder: Path
    sheet: LimitSheet
    host_boot: str
    connects: bool

    def now(self) -> Now:
        """The host's clocks."""
        ...

    def mono_ns(self) -> int:
        """The host's clock that stands still while it sleeps."""
        ...

    def nonce(self) -> str:
        """Chance: never the same twice."""
        ...

    def took(self, payload: bytes) -> None:
        """The journal has taken a record."""
        ...

    def recovered(self, payloads: list[bytes], state: GateState) -> None:
        """A new life has read the journal and folded it."""
        ...

    def leaves(self, data: bytes, taken: bytes) -> None:
        """Bytes are about to be handed to the kernel, which takes `taken` of them."""
        ...


class Account:
    """What keeps one account true. `gaps`: something may have been missed."""

    def __init__(self, host: Host, parts: Parts, account: str, tag: str, worths: Mapping[tuple[str, str], Worth]) -> None:
        self._host = host
        self._parts = parts
        self.gaps = False
        self.begun = False
        """Whether it was taken over: until then the stream is not followed and nothing is compared."""
        keeper, clock, venue = parts.keeper, parts.clock, host.venue
        self.where = (venue, account)
        self.reads = MemoryReads(host, account)
        self.watch = AccountWatch(keeper, venue, account, (tag,), clock)
        self.managed = Managed(tags=(tag,), worths=worths, rounding={"USDT": Decimal("0.0001")})
        self.reconciler = Reconciler(keeper, self.watch, self.reads, self.managed, clock, visible_ns=S)
        self.resolver = Resolver(
            keeper,
            self.watch,
            self.reads,
            parts.setup.absence[venue],
            clock,
            skew_hi_ns=lambda: SKEW_NS,
            aftermath=lambda: self.reconciler.aftermath,
        )
        self._ear = Ear(host, account, self.watch.take, self._gap)

    def _gap(self, _reason: str) -> None:
        self.gaps = True

    def hear(self, most: int) -> int:
        """Events of the private stream; how many."""
        return self._ear.hear(most) if self.begun else 0

    async def catch_up(self) -> bool:
        """Take it over where that was not done yet, read what may have been missed, and find out about lost orders. Raises ReadFailed."""
        if not self.begun:
            self.begun = await self._take_over()
        if not self.begun:
            return False
        self._ear.follow()
        self.gaps = False
        await self.watch.catch_up(self.reads)
        await self.resolver.round()
        return True

    async def _take_over(self) -> bool:
        """As the process does it on loopback."""
        keeper = self._parts.keeper
        if not holds_nothing(keeper.state.ledger, *self.where):
            return True
        await self.watch.begin(self.reads)
        first = await self.reconciler.first_cut()
        if first is None:
            return False
        now = self._parts.clock()
        found = opening(
            keeper.state.ledger, first, self.managed, entry_ticks={}, actor="ann", nonce=self._host.nonce(), boot_ns=now.boot_ns
        )
        if found:
            keeper.take(*found, now=now)
        return True

    async def compare(self) -> r.Reconciled | None:
        """Compare with the venue; None where there was no cut. Raises ReadFailed."""
        return await self.reconciler.round() if self.begun else None
