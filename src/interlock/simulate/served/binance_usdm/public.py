"""Public REST: the time, what is listed, books, trades, prices, funding, candles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from interlock.simulate.served import dollars
from interlock.simulate.served.binance_usdm.auth import Security
from interlock.simulate.served.binance_usdm.candles import INTERVALS, candles, day_ticker
from interlock.simulate.served.binance_usdm.limits import limit_rows
from interlock.simulate.served.binance_usdm.listed import listed
from interlock.simulate.served.binance_usdm.params import Params
from interlock.simulate.served.binance_usdm.routes import Route, Routes, by_symbol
from interlock.simulate.served.binance_usdm.taking import instrument_of
from interlock.simulate.served.binance_usdm.words import Wrong, eight, plain, price_text, size_text
from interlock.simulate.served.venue import Market, PublicTrade, SimVenue

DEPTHS: Final = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
"""Levels that can be asked for, and what they weigh."""
FUNDING_INTERVAL_MS: Final = 8 * 3_600_000


class PublicRest:
    """What anybody may read."""

    def __init__(self, venue: SimVenue) -> None:
        self._venue = venue

    def routes(self) -> Routes:
        """Its paths."""
        reads: dict[str, tuple[Callable[[Params], Any], int | Callable[[Params], int]]] = {
            "ping": (lambda _: {}, 1),
            "time": (lambda _: {"serverTime": self._venue.now_ms()}, 1),
            "exchangeInfo": (self.exchange_info, 1),
            "depth": (self.depth, _depth_weight),
            "trades": (self.trades, 5),
            "historicalTrades": (self.historical, 20),
            "aggTrades": (self.agg_trades, 20),
            "klines": (self.klines, 1),
            "premiumIndex": (self.premium, by_symbol(1, 10)),
            "ticker/price": (self.ticker_price, by_symbol(1, 2)),
            "ticker/bookTicker": (self.book_ticker, by_symbol(2, 5)),
            "ticker/24hr": (self.day, by_symbol(1, 40)),
            "openInterest": (self.open_interest, 1),
            "symbolAdlRisk": (lambda _: [], 1),
            "constituents": (lambda p: {"symbol": p.text("symbol"), "time": self._venue.now_ms(), "constituents": []}, 2),
        }
        found = {("GET", f"/fapi/v1/{path}"): Route(handler=h, security=Security.NONE, weight=w) for path, (h, w) in reads.items()}
        found["GET", "/fapi/v2/ticker/price"] = found["GET", "/fapi/v1/ticker/price"]
        found["GET", "/fapi/v1/historicalTrades"] = Route(handler=self.historical, security=Security.KEY, weight=20)
        for path, handler in (("fundingRate", self.funding_rate), ("fundingInfo", self.funding_info)):
            found["GET", f"/fapi/v1/{path}"] = Route(handler=handler, security=Security.NONE, weight=0, funding=True)
        found["GET", "/sapi/v1/system/status"] = Route(handler=lambda _: {"status": 0, "msg": "normal"}, security=Security.NONE)
        return found

    def exchange_info(self, _params: Params) -> dict[str, Any]:
        """Everything that is listed, and the limits."""
        venue = self._venue
        symbols = [listed(m.instrument, m.trading, venue.rules) for m in venue.markets.values()]
        assets = [{"asset": a, "marginAvailable": True, "autoAssetExchange": "0"} for a in venue.account.balances()]
        return {
            "timezone": "UTC",
            "serverTime": venue.now_ms(),
            "futuresType": "U_MARGINED",
            "rateLimits": limit_rows(),
            "exchangeFilters": [],
            "assets": assets,
            "symbols": symbols,
        }

    def depth(self, params: Params) -> dict[str, Any]:
        """The book, with the id of the last update in it."""
        market = self._market(params)
        count = params.integer("limit") or 500
        if count not in DEPTHS:
            raise Wrong(-1130, "limit")
        bids, asks = self._venue.levels(market.instrument.symbol, count)
        now_ms = self._venue.now_ms()
        return {
            "lastUpdateId": wire_id(market.last_id),
            "E": now_ms,
            "T": now_ms,
            "bids": levels_text(market, bids),
            "asks": levels_text(market, asks),
        }

    def trades(self, params: Params) -> list[dict[str, Any]]:
        """The last trades, oldest first."""
        market = self._market(params)
        return [_trade(market, trade) for trade in market.trades[-params.limit(500, 1000) :]]

    def historical(self, params: Params) -> list[dict[str, Any]]:
        """Trades from an id on, as far back as they are kept."""
        market, first = self._market(params), params.integer("fromId")
        limit = params.limit(100, 500)
        if first is None:
            return [_trade(market, trade) for trade in market.trades[-limit:]]
        return [_trade(market, trade) for trade in market.trades if trade.number >= first][:limit]

    def agg_trades(self, params: Params) -> list[dict[str, Any]]:
        """Trades, each of which is its own aggregate here."""
        market, limit = self._market(params), params.limit(500, 1000)
        first, start, end = params.integer("fromId"), params.integer("startTime") or 0, params.integer("endTime")
        rows = [agg_trade(market, trade) for trade in market.trades]
        if first is not None:
            return [row for row in rows if row["a"] >= first][:limit]
        rows = [row for row in rows if row["T"] >= start and (end is None or row["T"] <= end)]
        return rows[:limit] if start else rows[-limit:]

    def klines(self, params: Params) -> list[list[Any]]:
        """Candles of the trades that are kept."""
        market = self._market(params)
        interval = params.choice("interval", INTERVALS, -1120)
        start, end = params.integer("startTime") or 0, params.integer("endTime")
        limit = params.limit(500, 1500)
        found = [c for c in candles(market, INTERVALS[interval]) if c.open_ms >= start and (end is None or c.open_ms <= end)]
        rows = [c.row(market.instrument) for c in found]
        return rows[:limit] if start else rows[-limit:]

    def premium(self, params: Params) -> Any:
        """Mark price and funding, of a symbol or of all."""
        return self._one_or_all(params, lambda m: premium_row(m, self._venue.now_ms()))

    def funding_rate(self, params: Params) -> list[dict[str, Any]]:
        """The last settlement of a symbol or of each; earlier ones are not kept."""
        symbol = params.maybe("symbol")
        if symbol:
            instrument_of(self._venue, symbol)
        limit, start, end = params.limit(100, 1000), params.integer("startTime") or 0, params.integer("endTime")
        rows: list[dict[str, Any]] = []
        for market in self._markets(symbol):
            settled_ms = market.next_funding_ns // 1_000_000 - FUNDING_INTERVAL_MS
            row = {"symbol": market.instrument.symbol, "fundingTime": settled_ms, "fundingRate": eight(market.funding_rate)}
            rows.append(row | {"markPrice": eight(market.mark)})
        return [r for r in rows if r["fundingTime"] >= start and (end is None or r["fundingTime"] <= end)][:limit]

    def funding_info(self, _params: Params) -> list[dict[str, Any]]:
        """The symbols whose funding differs from the usual: none."""
        return []

    def ticker_price(self, params: Params) -> Any:
        """The last price, of a symbol or of all."""
        return self._one_or_all(params, lambda m: price_row(m, self._venue.now_ms()))

    def book_ticker(self, params: Params) -> Any:
        """Best bid and ask, of a symbol or of all that are listed; of USDC too, which is not."""
        if params.maybe("symbol") == dollars.SYMBOL and dollars.SYMBOL not in self._venue.markets:
            row = {
                "symbol": dollars.SYMBOL,
                "bidPrice": dollars.BID,
                "bidQty": dollars.SIZE,
                "askPrice": dollars.ASK,
                "askQty": dollars.SIZE,
            }
            return row | {"time": self._venue.now_ms(), "lastUpdateId": 1}
        return self._one_or_all(params, lambda m: book_row(self._venue, m))

    def day(self, params: Params) -> Any:
        """The last day, as far as its trades are kept, of a symbol or of all."""
        return self._one_or_all(params, lambda m: day_ticker(m, self._venue.now_ms()))

    def open_interest(self, params: Params) -> dict[str, Any]:
        """Nobody's positions but the account's are known: none are told."""
        market = self._market(params)
        return {"symbol": market.instrument.symbol, "openInterest": size_text(market.instrument, Decimal(0)), "time": self._venue.now_ms()}

    def _market(self, params: Params) -> Market:
        return self._venue.markets[instrument_of(self._venue, params.text("symbol")).symbol]

    def _markets(self, symbol: str) -> Iterable[Market]:
        return [self._venue.markets[symbol]] if symbol else self._venue.markets.values()

    def _one_or_all(self, params: Params, shape: Callable[[Market], dict[str, Any]]) -> Any:
        if params.maybe("symbol"):
            return shape(self._market(params))
        return [shape(market) for market in self._venue.markets.values()]


def wire_id(number: int) -> int:
    """An id of a book update as it is told. The venue numbers all symbols together, so that one symbol's ids have gaps: here they go by threes."""
    return 3 * number


def _depth_weight(params: Params) -> int:
    text = params.values.get("limit", "500")
    return DEPTHS.get(int(text), 1) if text.isdigit() else 1


def levels_text(market: Market, levels: Iterable[tuple[int, int]]) -> list[list[str]]:
    """Levels as the venue prints them."""
    i = market.instrument
    return [[price_text(i, i.price(ticks)), size_text(i, i.quantity(lots))] for ticks, lots in levels]


def _trade(market: Market, trade: PublicTrade) -> dict[str, Any]:
    i = market.instrument
    return {
        "id": trade.number,
        "price": price_text(i, i.price(trade.ticks)),
        "qty": size_text(i, i.quantity(trade.lots)),
        "quoteQty": plain(i.notional(trade.ticks, trade.lots)),
        "time": trade.venue_ns // 1_000_000,
        "isBuyerMaker": trade.side < 0,
        "isRPITrade": False,
    }


def agg_trade(market: Market, trade: PublicTrade) -> dict[str, Any]:
    """A trade as an aggregate of one; `m` says that the buyer rested, so that the taker sold."""
    i = market.instrument
    size = size_text(i, i.quantity(trade.lots))
    return {
        "a": trade.number,
        "p": price_text(i, i.price(trade.ticks)),
        "q": size,
        "nq": size,
        "f": trade.number,
        "l": trade.number,
        "T": trade.venue_ns // 1_000_000,
        "m": trade.side < 0,
    }


def premium_row(market: Market, now_ms: int) -> dict[str, Any]:
    """Mark, index (the same here) and funding of a symbol."""
    mark = eight(market.mark)
    return {
        "symbol": market.instrument.symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": eight(market.funding_rate),
        "interestRate": "0.00010000",
        "nextFundingTime": market.next_funding_ns // 1_000_000,
        "time": now_ms,
    }


def price_row(market: Market, now_ms: int) -> dict[str, Any]:
    """The last price of a symbol; the mark until there was a trade."""
    i = market.instrument
    last = market.trades[-1] if market.trades else None
    price = i.price(last.ticks) if last else market.mark
    return {"symbol": i.symbol, "price": price_text(i, price), "time": last.venue_ns // 1_000_000 if last else now_ms}


def book_row(venue: SimVenue, market: Market) -> dict[str, Any]:
    """Best bid and ask of a symbol; zero where a side is empty."""
    sides = []
    for levels in venue.levels(market.instrument.symbol, 1):
        text = levels_text(market, levels)
        sides.append(text[0] if text else ["0", "0"])
    (bid, bid_size), (ask, ask_size) = sides
    row = {"symbol": market.instrument.symbol, "bidPrice": bid, "bidQty": bid_size, "askPrice": ask, "askQty": ask_size}
    return row | {"time": venue.now_ms(), "lastUpdateId": wire_id(market.last_id)}
