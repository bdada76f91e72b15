"""A gate in the moment before its first order: everything in order, exactly one order's worth of room; tests change one thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc

from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate.absence import rule_for
from interlock.gate.core import Effects, Planned, decide, recheck
from interlock.gate.exposure import Equity
from interlock.gate.frames import Proposal
from interlock.gate.limit_sheet import LimitSheet, sheet_hash
from interlock.gate.readings import Now, Readings, Setup
from interlock.gate.records import Book, Epoch, Intent, Level, LimitsTightened, Purpose, Record
from interlock.gate.state import GateState
from interlock.gate.tightening import changes
from interlock.gate.venue_bounds import Standing

LIFE = "0123456789abcdef" * 2
NOW = Now(aw.BOOT_NS, aw.WALL_NS)
S = 1_000_000_000


class PlainWire:
    """A venue that is told by plain text."""

    receive_window_ns = 2 * S

    def objection(self, intent: Intent, wall_ns: int) -> str:
        return ""

    def forbidden_now(self, intent: Intent, wall_ns: int, standing: Standing) -> str:
        return ""

    def body(self, frame: bytes) -> bytes:
        return frame

    def least_order(self, symbol: str, side: Side, ticks: int, wall_ns: int) -> tuple[int, int]:
        return ticks, 1

    def placement(self, intent: Intent, sign_wall_ns: int) -> bytes:
        return f"place {intent.client_id} {intent.side.name} {intent.lots}@{intent.ticks} {sign_wall_ns}".encode()

    def amendment(self, intent: Intent, sign_wall_ns: int) -> bytes:
        return f"amend {intent.client_id} {intent.revision} {intent.lots}@{intent.ticks} {sign_wall_ns}".encode()


def under(state: GateState, sheet: LimitSheet) -> GateState:
    """The same state with another sheet in force, as if its life had begun with it."""
    state.limits = msgspec.structs.replace(state.limits, tightened=sheet)
    return state


def tightening(state: GateState, sheet: LimitSheet) -> LimitsTightened:
    """The record that puts a tighter sheet in force after the one that is."""
    return LimitsTightened(
        boot_ns=NOW.boot_ns,
        before=state.limits.hash,
        after=sheet_hash(sheet),
        sheet=sheet,
        changes=tuple(change.recorded for change in changes(state.sheet, sheet)),
        actor="ann",
        reason="r",
        wall_ns=NOW.wall_ns,
    )


def references(at_boot_ns: int = NOW.boot_ns, **quote: Any) -> Any:
    return lc.seen(lc.SHEET, lc.UNIVERSE, *lc.steady(lc.quote(400_000, 400_001, at_boot_ns, **quote)), lc.rate(at=at_boot_ns))


def records_until_run(incarnation: str = LIFE) -> list[Record]:
    """A boot, its epoch, a reconciliation and a person's RUN."""
    return [aw.boot(incarnation), Epoch(boot_ns=2, number=1_800_000_000), aw.reconciled(), aw.level_set(Level.RUN)]


def armed_state(sheet: LimitSheet = lc.SHEET, **wishes: Any) -> GateState:
    """A state with a living grant, reached the way a person would; `wishes` may ask for a drill's."""
    state = GateState(sheet)
    for record in records_until_run():
        state.apply(record)
    state.apply(_mark())
    asked, minted = aw.ceremony(aw.situation(binding=binding()), **wishes)
    state.happen(asked)
    state.happen(minted)
    assert state.live is minted.live
    return state


def _mark() -> Record:
    from decimal import Decimal

    from interlock.gate.records import Marked

    return Marked(boot_ns=NOW.boot_ns - 1, realised_usd=Decimal(0), unrealised_usd=Decimal(0), equity_usd=Decimal(1_000))


def binding(**parts: object) -> Any:
    return aw.binding(**{"incarnation": LIFE, **parts})  # type: ignore[arg-type]


def proposal(**more: Any) -> Proposal:
    given: dict[str, Any] = {
        "venue": "bybit",
        "symbol": "BTCUSDT",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "tif": TimeInForce.POST_ONLY,
        "ticks": 400_000,
        "lots": 1,
        "strategy": "demo",
        "sequence": 1,
        "created_boot_ns": NOW.boot_ns,
        "deadline_boot_ns": NOW.boot_ns + S,
        "books": (Book(venue="bybit", symbol="BTCUSDT", bid_ticks=400_000, ask_ticks=400_001, boot_ns=NOW.boot_ns),),
        **more,
    }
    return Proposal(**given)


@dataclass
class World:
    """State, readings and one proposal, to be changed before `decide` is asked."""

    state: GateState = field(default_factory=armed_state)
    setup: Setup = field(
        default_factory=lambda: Setup(
            accounts={"bybit": "main"},
            wires={"bybit": PlainWire()},
            absence={"bybit": rule_for("bybit", S, 5 * S)},
            tags={"demo": "demo"},
        )
    )
    readings: Readings = field(
        default_factory=lambda: Readings(
            references=references(),
            binding=binding(),
            read_only=False,
            equity={("bybit", "main"): Equity(1_000_000_000, NOW.boot_ns)},
            naked_since_boot_ns={"BTC": None},
            lease_held=True,
            stopped=False,
            sentinel_alive=True,
            checker_alive=True,
        )
    )
    proposal: Proposal = field(default_factory=proposal)
    now: Now = NOW

    def decide(self) -> Effects:
        """Ask, and fold what follows. Under a drill's grant the proposal is the drill's own."""
        drill = self.state.live is not None and self.state.live.grant.purpose is Purpose.DRILL
        effects = decide(self.setup, self.state, self.readings, self.proposal, self.now, drill=drill)
        for record in effects.records:
            self.state.apply(record)
        return effects

    def next(self, **more: Any) -> Effects:
        """Decide about one more proposal."""
        self.proposal = proposal(**{"sequence": self.proposal.sequence + 1, **more})
        return self.decide()

    def recheck(self, planned: Planned, *, stopped: bool = False, lease_held: bool = True) -> str:
        return recheck(self.setup, self.state, self.readings, planned, self.now, stopped=stopped, lease_held=lease_held)


Change = Callable[[World], None]
