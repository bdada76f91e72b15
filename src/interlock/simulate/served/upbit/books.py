"""The public shapes of a market: its book whole, its trades, its ticker, its candles; for REST and for the stream alike.

Source: the venue's reference pages. A book is told whole every time, up to 30 pairs of levels, prices put together where a level is asked for.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

from interlock.domain.instruments import Instrument
from interlock.domain.orders import Side
from interlock.simulate.floor import Levels
from interlock.simulate.served.upbit.statistics import Candle, History
from interlock.simulate.served.upbit.texts import MS, moment, number
from interlock.simulate.served.venue import PublicTrade, SimVenue

ZERO = Decimal(0)
UNITS_MAX: Final = 30
_DEEP: Final = 500
_LEVEL_POWERS: Final = (1, 2, 3, 4, 5)


def supported_levels(venue: SimVenue, instrument: Instrument) -> list[Decimal]:
    """By what prices of a market can be put together: 0 for not at all, then tens of its price unit."""
    return [ZERO, *(tick_size(venue, instrument) * 10**power for power in _LEVEL_POWERS)]


def tick_size(venue: SimVenue, instrument: Instrument) -> Decimal:
    """The price unit in force at the best bid, at the mark without one."""
    bids, _ = venue.levels(instrument.symbol, 1)
    price = instrument.price(bids[0][0]) if bids else venue.market(instrument.symbol).mark
    return instrument.price_step(price, venue.day)


def book(venue: SimVenue, symbol: str, units: int, level: Decimal) -> dict[str, Any]:
    """Both sides of a book by long names, without what says for whom it is. The shorter side is filled up with zeros."""
    instrument = venue.market(symbol).instrument
    bids, asks = venue.levels(symbol, units if not level else _DEEP)
    below = grouped(instrument, bids, level, Side.BUY)[:units]
    above = grouped(instrument, asks, level, Side.SELL)[:units]
    count = max(len(below), len(above))
    none = (ZERO, ZERO)
    pairs = [(above[i] if i < len(above) else none, below[i] if i < len(below) else none) for i in range(count)]
    return {
        "total_ask_size": number(sum((size for _, size in above), ZERO)),
        "total_bid_size": number(sum((size for _, size in below), ZERO)),
        "orderbook_units": [
            {"ask_price": number(ask[0]), "bid_price": number(bid[0]), "ask_size": number(ask[1]), "bid_size": number(bid[1])}
            for ask, bid in pairs
        ],
        "level": int(level) if level == level.to_integral_value() else number(level),
    }


def grouped(instrument: Instrument, levels: Levels, level: Decimal, side: Side) -> list[tuple[Decimal, Decimal]]:
    """(price, size) with prices put together by `level`: bids down, asks up."""
    found: dict[Decimal, Decimal] = {}
    for ticks, lots in levels:
        price = instrument.price(ticks)
        if level:
            price = (price / level).to_integral_value(ROUND_FLOOR if side is Side.BUY else ROUND_CEILING) * level
        found[price] = found.get(price, ZERO) + instrument.quantity(lots)
    return list(found.items())


def sequential_id(trade: PublicTrade) -> int:
    """The venue's number of a trade: milliseconds and a count."""
    return trade.venue_ns // MS * 10_000 + trade.number % 10_000


def change(price: Decimal, before: Decimal) -> str:
    """The word for a price against yesterday's close."""
    return "EVEN" if price == before else "RISE" if price > before else "FALL"


def trade_message(venue: SimVenue, history: History, trade: PublicTrade, now_ns: int) -> dict[str, Any]:
    """A trade as the stream tells it, without its stream type."""
    instrument, before = history.instrument, history.day.previous_close
    price = instrument.price(trade.ticks)
    bids, asks = venue.levels(instrument.symbol, 1)
    best_bid = bids[0] if bids else (0, 0)
    best_ask = asks[0] if asks else (0, 0)
    return {
        "type": "trade",
        "code": instrument.symbol,
        "timestamp": now_ns // MS,
        "trade_date": moment(trade.venue_ns, form="%Y-%m-%d"),
        "trade_time": moment(trade.venue_ns, form="%H:%M:%S"),
        "trade_timestamp": trade.venue_ns // MS,
        "trade_price": number(price),
        "trade_volume": number(instrument.quantity(trade.lots)),
        "ask_bid": "BID" if trade.side is Side.BUY else "ASK",
        "prev_closing_price": number(before),
        "change": change(price, before),
        "change_price": number(abs(price - before)),
        "sequential_id": sequential_id(trade),
        "best_ask_price": number(instrument.price(best_ask[0])),
        "best_ask_size": number(instrument.quantity(best_ask[1])),
        "best_bid_price": number(instrument.price(best_bid[0])),
        "best_bid_size": number(instrument.quantity(best_bid[1])),
    }


def trade_row(history: History, trade: PublicTrade) -> dict[str, Any]:
    """A trade as REST tells it; the change has a sign here."""
    instrument, before = history.instrument, history.day.previous_close
    price = instrument.price(trade.ticks)
    return {
        "market": instrument.symbol,
        "trade_date_utc": moment(trade.venue_ns, form="%Y-%m-%d"),
        "trade_time_utc": moment(trade.venue_ns, form="%H:%M:%S"),
        "timestamp": trade.venue_ns // MS,
        "trade_price": number(price),
        "trade_volume": number(instrument.quantity(trade.lots)),
        "prev_closing_price": number(before),
        "change_price": number(price - before),
        "ask_bid": "BID" if trade.side is Side.BUY else "ASK",
        "sequential_id": sequential_id(trade),
    }


def ticker_row(history: History, now_ns: int) -> dict[str, Any]:
    """The ticker as REST tells it."""
    traded_ns = history.latest.venue_ns if history.latest else history.day.start_ns
    return {
        "market": history.instrument.symbol,
        "trade_date": moment(traded_ns, form="%Y%m%d"),
        "trade_time": moment(traded_ns, form="%H%M%S"),
        "trade_date_kst": moment(traded_ns, korea=True, form="%Y%m%d"),
        "trade_time_kst": moment(traded_ns, korea=True, form="%H%M%S"),
        "trade_timestamp": traded_ns // MS,
        **_prices(history, now_ns),
        "timestamp": now_ns // MS,
    }


def ticker_message(history: History, now_ns: int, state: str) -> dict[str, Any]:
    """The ticker as the stream tells it, without its stream type."""
    latest, day = history.latest, history.day
    traded_ns = latest.venue_ns if latest else day.start_ns
    return {
        "type": "ticker",
        "code": history.instrument.symbol,
        **_prices(history, now_ns),
        "trade_date": moment(traded_ns, form="%Y%m%d"),
        "trade_time": moment(traded_ns, form="%H%M%S"),
        "trade_timestamp": traded_ns // MS,
        "ask_bid": "BID" if latest is None or latest.side is Side.BUY else "ASK",
        "acc_ask_volume": number(day.ask_volume),
        "acc_bid_volume": number(day.bid_volume),
        "market_state": state,
        "delisting_date": None,
        "timestamp": now_ns // MS,
    }


def _prices(history: History, now_ns: int) -> dict[str, Any]:
    day, last = history.day, history.last
    before = day.previous_close
    rate = ((last - before) / before).quantize(Decimal("0.0000000001"))
    volume_24h, value_24h = history.sums_24h(now_ns)
    date = moment(now_ns, form="%Y-%m-%d")
    volume = history.instrument.quantity(history.latest.lots) if history.latest else ZERO
    return {
        "opening_price": number(day.opening),
        "high_price": number(day.high),
        "low_price": number(day.low),
        "trade_price": number(last),
        "prev_closing_price": number(before),
        "change": change(last, before),
        "change_price": number(abs(last - before)),
        "change_rate": number(abs(rate)),
        "signed_change_price": number(last - before),
        "signed_change_rate": number(rate),
        "trade_volume": number(volume),
        "acc_trade_price": number(day.value),
        "acc_trade_price_24h": number(value_24h),
        "acc_trade_volume": number(day.volume),
        "acc_trade_volume_24h": number(volume_24h),
        "highest_52_week_price": number(history.highest),
        "highest_52_week_date": date,
        "lowest_52_week_price": number(history.lowest),
        "lowest_52_week_date": date,
    }


def candle_row(symbol: str, candle: Candle) -> dict[str, Any]:
    """What the candles of every length and of both ways have in common."""
    return {
        "market": symbol,
        "candle_date_time_utc": moment(candle.start_ns),
        "candle_date_time_kst": moment(candle.start_ns, korea=True),
        "opening_price": number(candle.opening),
        "high_price": number(candle.high),
        "low_price": number(candle.low),
        "trade_price": number(candle.close),
        "timestamp": candle.last_ns // MS,
        "candle_acc_trade_price": number(candle.value),
        "candle_acc_trade_volume": number(candle.volume),
    }
