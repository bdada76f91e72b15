"""Public REST: time, instruments, books, tickers, trades, funding. Categories that the simulator lists nothing of are truthfully empty."""

from __future__ import annotations

from typing import Any, Final

from interlock.simulate.served import dollars
from interlock.simulate.served.bybit.ask import Ask
from interlock.simulate.served.bybit.books import REST_DEPTH
from interlock.simulate.served.bybit.desk import Desk
from interlock.simulate.served.bybit.envelope import Done, shown
from interlock.simulate.served.bybit.paging import page
from interlock.simulate.served.bybit.public_views import (
    dollar_ticker_view,
    instrument_view,
    price_limit_view,
    rest_ticker_view,
    status_of,
    trade_view,
)
from interlock.simulate.served.bybit.words import PARAMS, Failed
from interlock.simulate.served.venue import Market

DEPTH_DEFAULTS: Final = {"linear": 25, "inverse": 25, "spot": 1, "option": 1}


def time(desk: Desk, ask: Ask) -> Done:
    """The venue's clock."""
    now_ns = desk.venue.now_ns()
    return Done({"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)})


def instruments(desk: Desk, ask: Ask) -> Done:
    """What is listed: by default what trades; a symbol that is named, whatever its state."""
    category, symbol = ask.category(), ask.text("symbol")
    status = ask.choice("status", ("", "PreLaunch", "Trading", "Delivering", "Closed"))
    markets = list(desk.venue.markets.values()) if category == "linear" else []
    if symbol and category == "linear" and symbol not in desk.venue.markets:
        raise Failed(PARAMS, "params error: symbol invalid")
    base = ask.text("baseCoin")
    found = [
        m
        for m in markets
        if (not symbol or m.instrument.symbol == symbol)
        and (not base or m.instrument.base == base)
        and (status_of(m) == (status or "Trading") or (symbol and not status))
    ]
    rows, cursor = page(ask, found, lambda m: len(markets) - m.number, default=500, most=1000)
    result: dict[str, Any] = {"category": category, "list": [instrument_view(m) for m in rows]}
    return Done(result if category == "spot" else result | {"nextPageCursor": cursor})


def orderbook(desk: Desk, ask: Ask) -> Done:
    """The book, with the update id of the 1000-level stream."""
    market = _market(desk, ask)
    book = desk.books.book(market.instrument.symbol, REST_DEPTH)
    levels = desk.books.whole(book, ask.whole("limit", DEPTH_DEFAULTS[ask.category()], 1, REST_DEPTH))
    return Done(levels | {"ts": desk.venue.now_ms(), "cts": book.matched_ms})


def tickers(desk: Desk, ask: Ask) -> Done:
    """The ticker of a symbol, or of all; of spot that of USDC alone, when it is named."""
    category, symbol = ask.category(), ask.text("symbol")
    if category == "spot" and symbol == dollars.SYMBOL:
        return Done({"category": category, "list": [dollar_ticker_view()]})
    markets = [_market(desk, ask)] if symbol else list(desk.venue.markets.values()) if category == "linear" else []
    base = ask.text("baseCoin")
    rows = [rest_ticker_view(desk, m) for m in markets if not base or m.instrument.base == base]
    return Done({"category": category, "list": rows})


def trades(desk: Desk, ask: Ask) -> Done:
    """The latest trades, newest first."""
    market = _market(desk, ask)
    limit = ask.whole("limit", 500, 1, 1000)
    rows = [trade_view(market, trade, desk.books.seq) for trade in reversed(market.trades[-limit:])]
    return Done({"category": ask.category(), "list": rows})


def funding_history(desk: Desk, ask: Ask) -> Done:
    """The settlements of funding since the simulator began, newest first."""
    symbol = _market(desk, ask).instrument.symbol
    start, end = ask.whole("startTime", -1, 0, 1 << 60), ask.whole("endTime", -1, 0, 1 << 60)
    if start >= 0 and end < 0:
        raise Failed(PARAMS, "params error: startTime without endTime")
    limit = ask.whole("limit", 200, 1, 200)
    found = [s for s in reversed(desk.settled) if s.symbol == symbol and start <= s.venue_ms and (end < 0 or s.venue_ms <= end)]
    rows = [{"symbol": symbol, "fundingRate": shown(s.rate), "fundingRateTimestamp": str(s.venue_ms)} for s in found[:limit]]
    return Done({"category": ask.category(), "list": rows})


def price_limit(desk: Desk, ask: Ask) -> Done:
    """The highest bid and the lowest ask that are taken."""
    return Done(price_limit_view(desk, _market(desk, ask)) | {"ts": str(desk.venue.now_ms())})


def risk_limit(desk: Desk, ask: Ask) -> Done:
    """The margin tiers of a symbol, or of all."""
    category = ask.category()
    markets = [_market(desk, ask)] if ask.text("symbol") else list(desk.venue.markets.values()) if category == "linear" else []
    rows = [
        {
            "id": number,
            "symbol": market.instrument.symbol,
            "riskLimitValue": shown(tier.max_notional),
            "maintenanceMargin": shown(tier.maintenance),
            "initialMargin": shown(tier.initial),
            "isLowestRisk": 1 if number == 1 else 0,
            "maxLeverage": shown(round(1 / tier.initial, 2)),
            "mmDeduction": "",
        }
        for market in markets
        for number, tier in enumerate(market.instrument.margin_tiers, start=1)
    ]
    return Done({"category": category, "list": rows, "nextPageCursor": ""})


def bars(desk: Desk, ask: Ask) -> Done:
    """No bars are kept."""
    market = _market(desk, ask)
    ask.need("interval")
    return Done({"category": ask.category(), "symbol": market.instrument.symbol, "list": []})


def open_interest(desk: Desk, ask: Ask) -> Done:
    """Nobody holds anything here, at no time."""
    market = _market(desk, ask)
    ask.need("intervalTime")
    return Done({"category": ask.category(), "symbol": market.instrument.symbol, "list": [], "nextPageCursor": ""})


def system_status(desk: Desk, ask: Ask) -> Done:
    """A closure that is on now, if there is one."""
    until_ms, now_ms = desk.parts.closed_until_ms, desk.venue.now_ms()
    rows = [status_view(until_ms, now_ms)] if now_ms < until_ms else []
    return Done({"list": rows})


def status_view(until_ms: int, now_ms: int) -> dict[str, Any]:
    """A closure of the venue."""
    return {
        "id": str(until_ms),
        "title": "simulated maintenance",
        "state": "ongoing" if now_ms < until_ms else "completed",
        "begin": str(min(now_ms, until_ms)),
        "end": str(until_ms),
        "href": "",
        "serviceTypes": [2, 3, 4],
        "product": [1, 2],
        "uidSuffix": [],
        "maintainType": 2,
        "env": 1,
    }


def coins(desk: Desk, ask: Ask) -> Done:
    """No coin can be paid in or out here, so there are no chains to name."""
    return Done({"rows": []})


def _market(desk: Desk, ask: Ask) -> Market:
    symbol = ask.need("symbol")
    if ask.category() != "linear" or symbol not in desk.venue.markets:
        raise Failed(PARAMS, "params error: symbol invalid")
    return desk.venue.markets[symbol]
