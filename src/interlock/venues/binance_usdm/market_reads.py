"""What Binance tells everybody, as talks: its clock, its contracts, the best prices of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Status
from interlock.venues.binance_usdm.replies import Name, Number, amount, count_of, decoded, nonsense, public, read, server_ms, text, time_ns
from interlock.venues.binance_usdm.rules import day_of, listing, ours
from interlock.venues.binance_usdm.wire import ExchangeInfo, SymbolInfo
from interlock.venues.dollars import inverted
from interlock.venues.feed import Count
from interlock.venues.port import Heard, Listed, Nonsense, RateSeen, Talk, TopSeen
from interlock.venues.request import Call

DOLLAR_SYMBOL: Final = "USDCUSDT"


class _Info(msgspec.Struct, frozen=True):
    serverTime: Count
    symbols: list[msgspec.Raw]


class _Named(msgspec.Struct, frozen=True):
    symbol: Name


class _Top(msgspec.Struct, frozen=True):
    """{"lastUpdateId":1027024,"symbol":"BTCUSDT","bidPrice":"4.00000000","bidQty":"431.00000000","askPrice":"4.00000200","askQty":"9.00000000",
    "time":1589437530011}"""

    symbol: Name
    bidPrice: Number
    askPrice: Number


class _Mark(msgspec.Struct, frozen=True):
    """{"symbol":"BTCUSDT","markPrice":"11793.63104562","indexPrice":"11781.80495970","lastFundingRate":"0.00038246","time":1597370495002}"""

    symbol: Name
    markPrice: Number


_decode_info: Final[Callable[[bytes], _Info]] = msgspec.json.Decoder(_Info).decode
_decode_named = msgspec.json.Decoder(_Named).decode
_decode_symbol = msgspec.json.Decoder(SymbolInfo).decode
_decode_top = msgspec.json.Decoder(_Top).decode
_decode_mark = msgspec.json.Decoder(_Mark).decode


def clock_ms() -> Talk[int]:
    """The venue's time, ms."""
    heard = yield public("/fapi/v1/time")
    return server_ms(heard)


def rulebook(known: Mapping[str, Instrument]) -> Talk[tuple[Listed, ...]]:
    """Every perpetual in USDT or USDC with its rules.

    A contract that makes no sense is left out, so that another's new kind of filter stops nobody. Raises Nonsense where it is one of `known`.
    """
    heard = yield public("/fapi/v1/exchangeInfo")
    info = decoded(_decode_info, read(heard), "exchangeInfo")
    time_ns(info.serverTime, "serverTime")
    on = day_of(ExchangeInfo(info.serverTime, []))
    found: dict[str, Listed] = {}
    for raw in info.symbols:
        name = decoded(_decode_named, bytes(raw), "exchangeInfo").symbol
        if name in found:
            raise nonsense("exchangeInfo", f"expected each symbol once, found {name} twice")
        try:
            symbol = decoded(_decode_symbol, bytes(raw), name)
            if ours(symbol):
                found[name] = listing(symbol, on)
        except Nonsense:
            if name in known:
                raise
    return tuple(found.values())


def statuses(known: Mapping[str, Instrument]) -> Talk[Mapping[str, Status]]:
    """Which symbols take orders. One of `known` that is not listed any more does not."""
    found = yield from rulebook(known)
    return dict.fromkeys(known, Status.HALTED) | {each.instrument.symbol: each.instrument.status for each in found}


def dollars(currency: str) -> Talk[RateSeen]:
    """USDT in USD, by the perpetual of USDC. Raises UsageError for any other currency."""
    if currency != "USDT":
        raise UsageError(f"rate: expected USDT, which a contract of this venue tells, found {currency!r}")
    heard = yield public("/fapi/v1/ticker/bookTicker", f"symbol={DOLLAR_SYMBOL}", weight=2)
    best = decoded(_decode_top, read(heard), "bookTicker")
    if best.symbol != DOLLAR_SYMBOL:
        raise nonsense("bookTicker", f"expected {DOLLAR_SYMBOL}, found {best.symbol}")
    return inverted(
        currency,
        amount(best.bidPrice, "bid"),
        amount(best.askPrice, "ask"),
        f"binance_usdm {DOLLAR_SYMBOL} perpetual inverted, USDC as USD",
    )


def whole_book(call: Call) -> Talk[Heard]:
    """The answer to a request for the levels of a book, which weighs 20 for a thousand of them. Raises Refused."""
    heard = yield public(call.path, call.query, weight=20)
    read(heard)
    return heard


def top(instrument: Instrument) -> Talk[TopSeen]:
    """Best bid and ask and the mark price. Neither tells whether it trades: that is as the instrument has it. Raises Nonsense for a crossed book."""
    symbol = instrument.symbol
    heard = yield public("/fapi/v1/ticker/bookTicker", f"symbol={text(symbol)}", weight=2)
    best = decoded(_decode_top, read(heard), "bookTicker")
    heard = yield public("/fapi/v1/premiumIndex", f"symbol={text(symbol)}")
    marked = decoded(_decode_mark, read(heard), "premiumIndex")
    if best.symbol != symbol or marked.symbol != symbol:
        raise nonsense("top", f"expected {symbol}, found {best.symbol} and {marked.symbol}")
    bid = count_of(best.bidPrice, instrument.quantum, f"{symbol} bid")
    ask = count_of(best.askPrice, instrument.quantum, f"{symbol} ask")
    mark = amount(marked.markPrice, f"{symbol} mark")
    if (ask and bid >= ask) or mark <= 0:
        raise nonsense("top", f"expected a bid below the ask and a mark, found {bid}, {ask} and {mark}")
    return TopSeen(symbol, bid, ask, mark, instrument.status is Status.TRADING)
