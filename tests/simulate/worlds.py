"""Small markets for tests: instruments, tapes from tuples, and a run that always uses both drivers and compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
from tests.simulate.kernels import Act, script_params, scripted

from interlock.domain.instruments import Fees, Instrument, Kind, MarginTier
from interlock.domain.price_rules import PriceRule, fixed_step
from interlock.market.columns import ROW, RowKind
from interlock.market.tape_write import exchange_order, receive_order
from interlock.simulate.fast import replay_fast
from interlock.simulate.full import Observer, replay_full
from interlock.simulate.layout import World
from interlock.simulate.outcome import Outcome
from interlock.simulate.reasons import Reason
from interlock.simulate.settings import InstrumentSettings, ReplaySettings, VenueSettings
from interlock.simulate.world import Strategy, build_world
from interlock.strategies.contract import WAKE_FRAME, WAKE_TIMER

Rows = np.ndarray[Any, np.dtype[np.void]]

FEED_NS = 20
"""How much later than the exchange our feed is, unless a row says otherwise."""
ORDER_NS, CANCEL_NS, RESPONSE_NS = 10, 10, 10
TICK_NS = 5
"""The period of the timer on which scripts are played."""


def fees(maker: str = "0", taker: str = "0") -> Fees:
    return Fees(Decimal(maker), Decimal(taker), "test", "made up", date(2026, 1, 1), "made up")


def perpetual(symbol: str = "AUSDT", venue: str = "binance", **changes: Any) -> Instrument:
    """A linear perpetual with price unit 1, lot 1, no fees, no minimum and no margin tiers."""
    base = Instrument(
        venue=venue,
        symbol=symbol,
        base="A",
        quote="USDT",
        settle="USDT",
        kind=Kind.PERPETUAL,
        quantum=Decimal(1),
        lot=Decimal(1),
        price_rule=fixed_step("one", Decimal(1), "made up"),
        min_price=Decimal(1),
        max_price=Decimal(1_000_000),
        fees=fees(),
        max_lots=1_000_000,
    )
    return changed(base, **changes)


def spot(symbol: str = "KRW-A", venue: str = "upbit", **changes: Any) -> Instrument:
    """A spot market like `perpetual`."""
    return changed(perpetual(symbol, venue), kind=Kind.SPOT, quote="KRW", settle="KRW", **changes)


def changed(instrument: Instrument, **changes: Any) -> Instrument:
    values = {name: getattr(instrument, name) for name in instrument.__struct_fields__} | changes
    return Instrument(**values)


def stepped(rule: PriceRule, quantum: str = "1") -> dict[str, Any]:
    """What an instrument with a price rule of several bands needs."""
    return {"price_rule": rule, "quantum": Decimal(quantum)}


TIERS = (MarginTier(Decimal(10_000), Decimal("0.1"), Decimal("0.05")), MarginTier(Decimal(1_000_000), Decimal("0.5"), Decimal("0.25")))

Line = tuple[int, int, RowKind, int, int, int]
"""(exchange_ns, instrument, kind, side, ticks, lots)"""


def depth(at_ns: int, side: int, ticks: int, lots: int, instrument: int = 0) -> Line:
    return (at_ns, instrument, RowKind.DEPTH, side, ticks, lots)


def trade(at_ns: int, side: int, ticks: int, lots: int, instrument: int = 0) -> Line:
    """`side` is the aggressor's."""
    return (at_ns, instrument, RowKind.TRADE, side, ticks, lots)


def event(at_ns: int, kind: RowKind, ticks: int = 0, lots: int = 0, instrument: int = 0) -> Line:
    return (at_ns, instrument, kind, 0, ticks, lots)


def bar(at_ns: int, low: int, high: int, close: int, lots: int, instrument: int = 0) -> list[Line]:
    """The four rows of a bar that ends at `at_ns` and opened where it closed."""
    kinds = ((RowKind.BAR_OPEN, close), (RowKind.BAR_HIGH, high), (RowKind.BAR_LOW, low), (RowKind.BAR_CLOSE, close))
    return [event(at_ns, kind, ticks, lots if kind is RowKind.BAR_CLOSE else 0, instrument) for kind, ticks in kinds]


def quotes(at_ns: int, bid: int, bid_lots: int, ask: int, ask_lots: int, instrument: int = 0) -> list[Line]:
    return [depth(at_ns, 1, bid, bid_lots, instrument), depth(at_ns, -1, ask, ask_lots, instrument)]


def tape(lines: Sequence[Line], feed_ns: int = FEED_NS, until_ns: int = 0) -> Rows:
    """Rows in receive order, a frame each; a last row that changes nothing keeps the replay going until `until_ns`."""
    rows = np.zeros(len(lines) + (until_ns > 0), ROW)
    for i, (at_ns, instrument, kind, side, ticks, lots) in enumerate(lines):
        rows[i] = (at_ns, at_ns + feed_ns, ticks, lots, i, instrument, kind, side)
    if until_ns:
        rows[-1] = (until_ns, until_ns, 0, 0, len(lines), 0, RowKind.TOP, 1)
    return receive_order(rows)


def venue_settings(**changes: Any) -> VenueSettings:
    base = VenueSettings(order_ns=ORDER_NS, cancel_ns=CANCEL_NS, response_ns=RESPONSE_NS, cash=Decimal(10**12))
    return replace(base, **changes)


@dataclass
class Setup:
    """A replay to be: the tape, the instruments, the assumptions."""

    rows: Rows
    instruments: Sequence[Instrument] = field(default_factory=lambda: [perpetual()])
    venues: dict[str, VenueSettings] = field(default_factory=dict)
    own: dict[str, InstrumentSettings] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> ReplaySettings:
        own = {i.key: self.own.get(i.key, InstrumentSettings(max_position_lots=1_000_000)) for i in self.instruments}
        venues = {i.venue: self.venues.get(i.venue, venue_settings()) for i in self.instruments}
        return ReplaySettings(venues=venues, instruments=own, **self.more)

    def world(self, strategy: Strategy) -> World:
        return build_world(self.rows, exchange_order(self.rows), self.instruments, self.settings(), strategy)


def script_strategy(acts: Sequence[Act], tick_ns: int = TICK_NS) -> Strategy:
    return Strategy("scripted", scripted, script_params(acts), 1, WAKE_FRAME | WAKE_TIMER, tick_ns)


def both(setup: Setup, strategy: Strategy, observer: Observer | None = None, block_rows: int = 7) -> Outcome:
    """Run with both drivers, check that nothing differs, and return what came out."""
    fast = replay_fast(setup.world(strategy), strategy.kernel, block_rows=block_rows)
    full = replay_full(setup.world(strategy), strategy.kernel, observer)
    assert_equal(fast, full)
    return full


def play(
    lines: Sequence[Line],
    acts: Sequence[Act],
    until_ns: int = 2_000,
    feed_ns: int = FEED_NS,
    tick_ns: int = TICK_NS,
    **setup: Any,
) -> Outcome:
    """Play a script over lines of a tape, with both drivers."""
    return both(Setup(tape(lines, feed_ns, until_ns), **setup), script_strategy(acts, tick_ns))


def assert_equal(a: Outcome, b: Outcome) -> None:
    """Every record and figure of two outcomes is the same."""
    for part in fields(Outcome):
        one, other = getattr(a, part.name), getattr(b, part.name)
        if isinstance(one, np.ndarray):
            assert np.array_equal(one, other), f"{part.name}: {first_difference(one, other)}"
        else:
            assert one == other, f"{part.name}: {one} and {other}"


def first_difference(a: Rows, b: Rows) -> str:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return f"record {i}: {x} and {y}"
    return f"{len(a)} and {len(b)} records"


def fills(outcome: Outcome) -> list[tuple[int, int, int, int]]:
    """(tag, ticks, lots, maker) of each fill."""
    return [(int(f["tag"]), int(f["ticks"]), int(f["lots"]), int(f["maker"])) for f in outcome.fills]


def endings(outcome: Outcome) -> dict[int, tuple[str, str, int]]:
    """By tag: (final state, reason, filled lots) of each order."""
    names = {1: "filled", 2: "cancelled", 3: "expired", 4: "rejected", 5: "open"}
    return {int(o["tag"]): (names[int(o["final_state"])], Reason(int(o["reason"])).name, int(o["filled_lots"])) for o in outcome.orders}
