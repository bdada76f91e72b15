"""A gate with a living grant for one coin on two venues, and what can happen to the orders of a group there."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import NOW, PlainWire, S, World, binding, records_until_run

from interlock.domain.instruments import Kind
from interlock.domain.orders import Liquidity, OrderState, Side, TimeInForce
from interlock.gate import pairs
from interlock.gate import records as r
from interlock.gate.absence import rule_for
from interlock.gate.core import DENY, PERMIT, Effects
from interlock.gate.exposure import Equity, InstrumentFacts, universe_of
from interlock.gate.frames import Plan, PlannedLeg
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.readings import Readings, Setup
from interlock.gate.references import References
from interlock.gate.state import GateState

SYMBOLS = (("bybit", "BTCUSDT", "m1"), ("other", "BTC", "m2"))
LONGEST_NAKED_NS = lc.SHEET.assets["BTC"].max_naked_ns
FLAGGED: dict[str, Any] = {"reduce_only": True, "tif": TimeInForce.IOC}
HERE: dict[str, Any] = {"venue": "bybit", "symbol": "BTCUSDT", "ticks": 200_000, "tif": TimeInForce.IOC}
THERE: dict[str, Any] = {"venue": "other", "symbol": "BTC", "ticks": 200_000, "tif": TimeInForce.IOC}


def sheet_of_two() -> LimitSheet:
    symbols = {**lc.SHEET.symbols, "other:BTC": lc.SHEET.symbols["bybit:BTCUSDT"]}
    return msgspec.structs.replace(lc.SHEET, symbols=symbols, venues={**lc.SHEET.venues, "other": lc.SHEET.venues["bybit"]})


SHEET = sheet_of_two()


def facts_of_two(kind: Kind = Kind.PERPETUAL) -> list[InstrumentFacts]:
    return [lc.facts(), lc.facts(venue="other", symbol="BTC", kind=kind)]


def references(kind: Kind = Kind.PERPETUAL, at: int = NOW.boot_ns) -> References:
    quotes = lc.steady(lc.quote(200_000, 200_001, at), lc.quote(200_000, 200_001, at, venue="other", symbol="BTC"))
    return lc.seen(SHEET, universe_of(facts_of_two(kind)), *quotes, lc.rate(at=at))


def pair(kind: Kind = Kind.PERPETUAL, **wishes: Any) -> World:
    """A gate with a living grant, of which `wishes` may ask for more or less, for the same coin on two venues."""
    bound = binding(symbols=SYMBOLS)
    state = GateState(SHEET)
    for record in records_until_run():
        state.apply(record)
    zero = Decimal(0)
    state.apply(r.Marked(boot_ns=NOW.boot_ns - 1, realised_usd=zero, unrealised_usd=zero, equity_usd=Decimal(1_000)))
    minimums = {"bybit/BTCUSDT": Decimal(5), "other/BTC": Decimal(5)}
    for event in aw.ceremony(aw.situation(binding=bound, minimums=minimums), **wishes):
        state.happen(event)
    assert state.live is not None
    return World(
        state=state,
        setup=Setup(
            accounts={"bybit": "main", "other": "main"},
            wires={"bybit": PlainWire(), "other": PlainWire()},
            absence={"bybit": rule_for("bybit", S, 5 * S), "other": rule_for("bybit", S, 5 * S)},
            tags={"demo": "demo"},
        ),
        readings=Readings(
            references=references(kind),
            binding=bound,
            read_only=False,
            equity={(venue, "main"): Equity(1_000_000_000, NOW.boot_ns) for venue in ("bybit", "other")},
            naked_since_boot_ns={"BTC": None},
            lease_held=True,
            stopped=False,
            sentinel_alive=True,
            checker_alive=True,
        ),
    )


def ask(world: World, side: Side, **more: Any) -> Effects:
    place = {"venue": more.get("venue", "bybit"), "symbol": more.get("symbol", "BTCUSDT")}
    book = r.Book(**place, bid_ticks=200_000, ask_ticks=200_001, boot_ns=world.now.boot_ns)
    times = {"created_boot_ns": world.now.boot_ns, "deadline_boot_ns": world.now.boot_ns + S}
    return world.next(side=side, books=(book,), **times, **more)


def legs(first: Side = Side.BUY, lots: int = 2, **second: Any) -> tuple[PlannedLeg, PlannedLeg]:
    """The first leg here and the second there, IOC and a tick of room in the price."""
    worst = {Side.BUY: 200_002, Side.SELL: 199_999}
    here: dict[str, Any] = {
        "venue": "bybit",
        "symbol": "BTCUSDT",
        "side": first,
        "tif": TimeInForce.IOC,
        "ticks": worst[first],
        "lots": lots,
    }
    there = {**here, "venue": "other", "symbol": "BTC", "side": Side(-first), "ticks": worst[Side(-first)], **second}
    return PlannedLeg(**here), PlannedLeg(**there)


def plan(world: World, *planned: PlannedLeg, **more: Any) -> Plan:
    """A plan that a minute is enough for."""
    first, second = planned or legs()
    given: dict[str, Any] = {
        "deadline_boot_ns": world.now.boot_ns + 60 * S,
        "naked_cap_usd": Decimal(90),
        "loss_bound_usd": Decimal(10),
        **more,
    }
    return Plan(legs=(first, second), **given)


def enter(world: World, whole: Plan | None = None, **more: Any) -> Effects:
    """Propose the first order of a pair, by default for all of its first leg."""
    whole = plan(world) if whole is None else whole
    first = whole.legs[0]
    seen_at = world.now.boot_ns
    given: dict[str, Any] = {
        "venue": first.venue,
        "symbol": first.symbol,
        "side": first.side,
        "tif": first.tif,
        "reduce_only": first.reduce_only,
        "ticks": first.ticks,
        "lots": first.lots,
        "group": "p",
        "plan": whole,
        "books": tuple(
            r.Book(venue=venue, symbol=symbol, bid_ticks=200_000, ask_ticks=200_001, boot_ns=seen_at) for venue, symbol, _ in SYMBOLS
        ),
        "created_boot_ns": seen_at,
        "deadline_boot_ns": seen_at + S,
        **more,
    }
    return world.next(**given)


def answer(world: World, lots: int = 2, ticks: int = 200_000, **more: Any) -> Effects:
    """Propose an order of the second leg."""
    return ask(world, Side.SELL, **{**THERE, "ticks": ticks, "lots": lots, "group": "p", **more})


def left(world: World, group: str = "p") -> tuple[int, int]:
    """What of the legs of a pair is reserved and not permitted yet, lots."""
    return pairs.rests(world.state.groups[group], world.state.orders, world.now.boot_ns)


def sent(world: World, effects: Effects) -> str:
    client_id = effects.decision.client_id
    assert effects.decision.result == PERMIT, effects.decision
    assert effects.planned is not None
    assert world.recheck(effects.planned) == ""
    world.state.apply(r.WireBegin(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, connection="c"))
    world.state.apply(r.Sent(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, sign_wall_ns=NOW.wall_ns, receive_window_ns=2 * S))
    return client_id


def fills(world: World, client_id: str, lots: int = 1, trade_id: str = "", **more: Any) -> None:
    order = world.state.orders.by_id[client_id]
    given: dict[str, Any] = {
        "venue": order.venue,
        "account": order.account,
        "symbol": order.symbol,
        "trade_id": trade_id or f"t-{client_id}",
        "client_id": client_id,
        "side": order.side,
        "ticks": 200_000,
        "lots": lots,
        "liquidity": Liquidity.TAKER,
        "fee": Decimal(0),
        "fee_currency": "USDT",
        "venue_ns": 1,
        **more,
    }
    world.state.apply(r.Filled(boot_ns=NOW.boot_ns, **given))


def unknown(world: World, client_id: str) -> None:
    world.state.apply(r.SendUnknown(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, reason="timeout"))
    assert world.state.orders.by_id[client_id].state is OrderState.UNKNOWN


def hold_at_reduce_only(world: World) -> None:
    world.state.apply(
        r.LatchSet(
            boot_ns=NOW.boot_ns, name="operator", scope=r.Scope.ALL, subject="", level=r.Level.REDUCE_ONLY, reason="test", actor="ann"
        )
    )


def mandate_of(effects: Effects) -> str:
    """The clause of a permit; for a denial its rule and what was said."""
    if effects.decision.result == DENY:
        return f"{effects.decision.rule}: {effects.decision.detail}"
    (permit,) = (record for record in effects.records if isinstance(record, r.Permit))
    return permit.mandate
