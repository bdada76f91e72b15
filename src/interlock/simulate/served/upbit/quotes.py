"""REST without keys: markets, books, trades, tickers, candles.

A refusal here has the HTTP status as its name. Source: the venue's reference pages; the two sentences are those that clients have recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from interlock.simulate.served.upbit import books
from interlock.simulate.served.upbit.params import Params
from interlock.simulate.served.upbit.statistics import SECOND_NS, History
from interlock.simulate.served.upbit.texts import KST, number, text
from interlock.simulate.served.upbit.words import Wrong
from interlock.simulate.served.venue import SimVenue

_NAMES: Final = {
    "BTC": ("비트코인", "Bitcoin"),
    "ETH": ("이더리움", "Ethereum"),
    "XRP": ("엑스알피(리플)", "XRP"),
    "SOL": ("솔라나", "Solana"),
    "DOGE": ("도지코인", "Dogecoin"),
    "ADA": ("에이다", "Cardano"),
    "USDT": ("테더", "Tether"),
}
_CAUTIONS: Final = (
    "PRICE_FLUCTUATIONS",
    "TRADING_VOLUME_SOARING",
    "DEPOSIT_AMOUNT_SOARING",
    "GLOBAL_PRICE_DIFFERENCES",
    "CONCENTRATION_OF_SMALL_ACCOUNTS",
)
MINUTES: Final = ("1", "3", "5", "10", "15", "30", "60", "240")
CANDLES_MAX: Final = 200
TRADES_MAX: Final = 500
_LONG: Final = ("days", "weeks", "months", "years")


class Quotes:
    """The public endpoints of one venue; `histories` by symbol."""

    def __init__(self, venue: SimVenue, histories: Mapping[str, History]) -> None:
        self._venue = venue
        self._histories = histories
        self._calls: dict[str, tuple[str, Callable[[Params], Any]]] = {
            "/v1/market/all": ("market", self._markets),
            "/v1/ticker": ("ticker", self._tickers),
            "/v1/ticker/all": ("ticker", self._all_tickers),
            "/v1/orderbook": ("orderbook", self._books),
            "/v1/orderbook/instruments": ("orderbook", self._instruments),
            "/v1/orderbook/supported_levels": ("orderbook", self._levels),
            "/v1/trades/ticks": ("trade", self._trades),
            "/v1/candles/seconds": ("candle", lambda params: self._candles("1s", params)),
        }
        for unit in MINUTES:
            self._calls[f"/v1/candles/minutes/{unit}"] = ("candle", self._candle_call(f"{unit}m"))
        for unit in _LONG:
            self._calls[f"/v1/candles/{unit}"] = ("candle", self._candle_call(unit))
        self._calls["/v1/candles/minutes"] = self._calls["/v1/candles/minutes/1"]

    def find(self, path: str) -> tuple[str, Callable[[Params], Any]] | None:
        """(the rate limit's group, what answers) of a path."""
        return self._calls.get(path)

    def _markets(self, params: Params) -> list[dict[str, Any]]:
        detailed = "true" in (params.get("is_details").lower(), params.get("isDetails").lower())
        event = {"market_event": {"warning": False, "caution": dict.fromkeys(_CAUTIONS, False)}} if detailed else {}
        found = []
        for symbol, market in self._venue.markets.items():
            korean, english = _NAMES.get(market.instrument.base, (market.instrument.base, market.instrument.base))
            found.append({"market": symbol, "korean_name": korean, "english_name": english, **event})
        return found

    def _tickers(self, params: Params) -> list[dict[str, Any]]:
        now_ns = self._venue.now_ns()
        return [books.ticker_row(self._histories[symbol], now_ns) for symbol in self._symbols(params)]

    def _all_tickers(self, params: Params) -> list[dict[str, Any]]:
        quotes = params.list("quote_currencies") or params.list("quoteCurrencies")
        if not quotes:
            raise _missing()
        now_ns = self._venue.now_ns()
        return [books.ticker_row(history, now_ns) for history in self._histories.values() if history.instrument.quote in quotes]

    def _books(self, params: Params) -> list[dict[str, Any]]:
        symbols = self._symbols(params)
        try:
            count = params.count("count", books.UNITS_MAX, books.UNITS_MAX)
            level = params.decimal("level") if params.get("level") not in ("", "0") else None
        except Wrong as wrong:
            raise Wrong(400, text=wrong.text) from wrong
        now_ms = self._venue.now_ms()
        return [
            {"market": symbol, "timestamp": now_ms, **books.book(self._venue, symbol, count, level or Decimal(0))}
            for symbol in symbols
            if level is None or level in books.supported_levels(self._venue, self._venue.markets[symbol].instrument)
        ]

    def _instruments(self, params: Params) -> list[dict[str, Any]]:
        return [
            {
                "market": symbol,
                "quote_currency": self._venue.markets[symbol].instrument.quote,
                "tick_size": text(books.tick_size(self._venue, self._venue.markets[symbol].instrument)),
                "supported_levels": [text(level) for level in self._supported(symbol)],
            }
            for symbol in self._symbols(params)
        ]

    def _levels(self, params: Params) -> list[dict[str, Any]]:
        return [{"market": symbol, "supported_levels": [number(n) for n in self._supported(symbol)]} for symbol in self._symbols(params)]

    def _trades(self, params: Params) -> list[dict[str, Any]]:
        symbol = self._symbol(params)
        count = _count(params, TRADES_MAX)
        cursor = params.get("cursor")
        trades = [
            trade
            for trade in reversed(self._venue.markets[symbol].trades)
            if not cursor.isdigit() or books.sequential_id(trade) < int(cursor)
        ]
        return [books.trade_row(self._histories[symbol], trade) for trade in trades[:count]]

    def _candle_call(self, unit: str) -> Callable[[Params], Any]:
        return lambda params: self._candles(unit, params)

    def _candles(self, unit: str, params: Params) -> list[dict[str, Any]]:
        symbol = self._symbol(params)
        count = _count(params, CANDLES_MAX)
        before_ns = _until(params.get("to"))
        found = self._histories[symbol].candles(unit)
        shown = [candle for candle in reversed(found) if before_ns is None or candle.start_ns < before_ns][:count]
        closes = {candle.start_ns: before.close for before, candle in pairwise(found)}
        rows = []
        for candle in shown:
            row = books.candle_row(symbol, candle)
            if unit.endswith("m"):
                row["unit"] = int(unit[:-1])
            elif unit == "days":
                close = closes.get(candle.start_ns, candle.opening)
                row |= {
                    "prev_closing_price": number(close),
                    "change_price": number(candle.close - close),
                    "change_rate": number(((candle.close - close) / close).quantize(Decimal("0.0000000001"))),
                }
            elif unit in _LONG:
                row["first_day_of_period"] = row["candle_date_time_utc"][:10]
            rows.append(row)
        return rows

    def _supported(self, symbol: str) -> list[Decimal]:
        return books.supported_levels(self._venue, self._venue.markets[symbol].instrument)

    def _symbols(self, params: Params) -> list[str]:
        found = params.list("markets")
        if not found:
            raise _missing()
        for symbol in found:
            if symbol not in self._venue.markets:
                raise Wrong(404, status=404, text="Code not found")
        return found

    def _symbol(self, params: Params) -> str:
        symbol = params.get("market")
        if not symbol:
            raise _missing()
        if symbol not in self._venue.markets:
            raise Wrong(404, status=404, text="Code not found")
        return symbol


def _missing() -> Wrong:
    return Wrong(400, text="Missing request parameter error. Check the required parameters!")


def _count(params: Params, most: int) -> int:
    try:
        return params.count("count", 1, most)
    except Wrong as wrong:
        raise Wrong(400, text=wrong.text) from wrong


def _until(given: str) -> int | None:
    """A time in ISO 8601, UTC where it names no zone, as nanoseconds."""
    if not given:
        return None
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise Wrong(400, text="to does not have a valid value") from error
    return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp()) * SECOND_NS


def closed_time(given: str) -> int | None:
    """A bound of closed orders: ISO 8601, Korea's zone where it names none (chosen), or milliseconds; as nanoseconds. Raises Wrong."""
    if not given:
        return None
    if given.isascii() and given.isdigit() and len(given) <= 15:
        return int(given) * 1_000_000
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise Wrong("validation_error", text="expected ISO 8601 or milliseconds") from error
    return int(at.replace(tzinfo=at.tzinfo or KST).timestamp()) * SECOND_NS
