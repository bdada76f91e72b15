"""One calm moment in which an order passes every limit, with a way to change any part of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

import interlock.gate
from interlock.domain.fx import FxSource
from interlock.domain.instruments import Kind
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate import limit_sheet, references
from interlock.gate.evaluate import Allowed, Denied, evaluate
from interlock.gate.exposure import Equity, InstrumentFacts, Key, OpenOrder, Universe, exposure_of, universe_of
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.losses import Losses
from interlock.gate.records import Book, Intent
from interlock.gate.references import Quote, Rate, References
from interlock.gate.throttles import Throttles

assert interlock.gate.__file__ is not None
EXAMPLE = Path(interlock.gate.__file__).parent / "examples" / "limits.toml"
TEXT = EXAMPLE.read_text(encoding="utf-8")
EXAMPLE_SHEET = limit_sheet.load(EXAMPLE)
# What may rest unattended has cases of its own; elsewhere it is not what denies.
_BYBIT = msgspec.structs.replace(EXAMPLE_SHEET.venues["bybit"], max_unattended_resting_micro_usd=1 << 50)
SHEET = msgspec.structs.replace(EXAMPLE_SHEET, venues={"bybit": _BYBIT})
MS = 1_000_000
S = 1_000 * MS
NOW = 1_000 * S
CAP = 1_000 * 1_000_000
BTC: Key = ("bybit", "main", "BTCUSDT")
TIERS = ((Decimal(10_000), Decimal("0.1"), Decimal("0.05")), (Decimal(1_000_000), Decimal("0.2"), Decimal("0.1")))
NAKED: dict[str, int | None] = {"BTC": None}


def facts(
    venue: str = "bybit",
    symbol: str = "BTCUSDT",
    kind: Kind = Kind.PERPETUAL,
    quote: str = "USDT",
    per_tick_lot: str = "0.0001",
    per_lot: str = "0.001",
    asset: str = "BTC",
    tiers: tuple[tuple[Decimal, Decimal, Decimal], ...] = TIERS,
) -> InstrumentFacts:
    return InstrumentFacts(
        venue=venue,
        symbol=symbol,
        asset=asset,
        quote=quote,
        kind=kind,
        quote_per_tick_lot=Decimal(per_tick_lot),
        asset_per_lot=Decimal(per_lot),
        tiers=tiers if kind is Kind.PERPETUAL else (),
    )


def quote(bid: int = 500_000, ask: int = 500_001, at: int = NOW, venue: str = "bybit", symbol: str = "BTCUSDT", **more: Any) -> Quote:
    given: dict[str, Any] = {"mark_ticks": 0, "trading": True, **more}
    return Quote(venue=venue, symbol=symbol, bid_ticks=bid, ask_ticks=ask, boot_ns=at, **given)


def rate(currency: str = "USDT", bid: str = "1", ask: str = "1", at: int = NOW, name: str = "a", source: FxSource = FxSource.BOOK) -> Rate:
    return Rate(currency=currency, source=source, name=name, bid=Decimal(bid), ask=Decimal(ask), boot_ns=at)


def seen(sheet: LimitSheet, universe: Universe, *readings: Quote | Rate) -> References:
    found = references.nothing_seen(universe)
    for reading in readings:
        if isinstance(reading, Quote):
            found = references.with_quote(found, sheet, reading)
        else:
            found = references.with_rate(found, sheet, reading)
    return found


def steady(*quotes: Quote, window_ns: int = 500 * MS) -> list[Quote]:
    """Each quote, and the same one a drift window earlier."""
    return [msgspec.structs.replace(one, boot_ns=one.boot_ns - window_ns) for one in quotes] + list(quotes)


def intent(side: Side = Side.BUY, lots: int = 1, ticks: int = 500_000, **more: Any) -> Intent:
    given: dict[str, Any] = {
        "strategy": "demo",
        "venue": "bybit",
        "account": "main",
        "symbol": "BTCUSDT",
        "type": OrderType.LIMIT,
        "tif": TimeInForce.GTC,
        "reduce_only": False,
        "client_id": "demo-1",
        "revision": 0,
        **more,
    }
    if "books" not in given:
        given["books"] = (Book(venue=given["venue"], symbol=given["symbol"], bid_ticks=500_000, ask_ticks=500_001, boot_ns=NOW),)
    return Intent(
        boot_ns=NOW, group="g", side=side, ticks=ticks, lots=lots, sequence=1, created_boot_ns=NOW, deadline_boot_ns=NOW + S, **given
    )


def changed(sheet: LimitSheet, table: str, name: str = "", **values: Any) -> LimitSheet:
    """The sheet with other values in one table."""
    part = getattr(sheet, table)
    if name:
        new: Any = {**part, name: msgspec.structs.replace(part[name], **values)}
    else:
        new = msgspec.structs.replace(part, **values)
    return msgspec.structs.replace(sheet, **{table: new})


UNIVERSE = universe_of([facts()])
CALM = Losses(marked_boot_ns=NOW)


def judge(
    order: Intent | None = None,
    *,
    sheet: LimitSheet = SHEET,
    positions: Mapping[Key, int] | None = None,
    orders: Iterable[OpenOrder] = (),
    refs: References | None = None,
    equity_usd: int | None = 1_000,
    equity_at: int = NOW,
    naked: Mapping[str, int | None] | None = None,
    throttle: Throttles | None = None,
    losses: Losses = CALM,
    now: int = NOW,
    cap: int = CAP,
    attended: Iterable[Key] = (),
    ahead: str = "",
) -> Allowed | Denied:
    """`evaluate` in the calm moment but for what is given."""
    equity = {} if equity_usd is None else {("bybit", "main"): Equity(equity_usd * 1_000_000, equity_at)}
    return evaluate(
        sheet,
        intent() if order is None else order,
        exposure_of(positions or {}, orders, equity, NAKED if naked is None else naked, [(key[0], key[2]) for key in attended]),
        seen(sheet, UNIVERSE, *steady(quote()), rate()) if refs is None else refs,
        Throttles() if throttle is None else throttle,
        losses,
        now,
        cap,
        ahead,
    )


def rule(answer: Allowed | Denied) -> str:
    """The denying rule; empty for a yes."""
    return answer.rule if isinstance(answer, Denied) else ""
