"""The market as Bybit shows it to everyone: instruments, tickers, trades, price limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from interlock.domain.orders import Side
from interlock.simulate.served import dollars
from interlock.simulate.served.bybit.desk import Desk
from interlock.simulate.served.bybit.envelope import ms, shown, trimmed
from interlock.simulate.served.bybit.ids import Of, id_of
from interlock.simulate.served.bybit.views import side_name
from interlock.simulate.served.venue import Market, PublicTrade

FUNDING_CAP: Final = "0.005"
ZERO: Final = Decimal(0)


def instrument_view(market: Market) -> dict[str, Any]:
    """The filters of a symbol."""
    instrument = market.instrument
    interval_h = instrument.funding_interval_h or 8
    return {
        "symbol": instrument.symbol,
        "contractType": "LinearPerpetual",
        "status": status_of(market),
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(max(0, -int(instrument.quantum.as_tuple().exponent))),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100", "leverageStep": "1"},
        "priceFilter": {
            "minPrice": shown(instrument.min_price),
            "maxPrice": shown(instrument.max_price),
            "tickSize": shown(instrument.quantum),
        },
        "lotSizeFilter": {
            "maxOrderQty": shown(instrument.quantity(instrument.max_lots)),
            "minOrderQty": shown(instrument.quantity(instrument.min_lots)),
            "qtyStep": shown(instrument.lot),
            "postOnlyMaxOrderQty": shown(instrument.quantity(instrument.max_lots)),
            "maxMktOrderQty": shown(instrument.quantity(instrument.max_market_lots)),
            "minNotionalValue": shown(instrument.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 60 * interval_h,
        "settleCoin": instrument.settle,
        "copyTrading": "none",
        "upperFundingRate": FUNDING_CAP,
        "lowerFundingRate": f"-{FUNDING_CAP}",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.05"},
        "displayName": "",
        "symbolType": "",
        "symbolId": market.number + 1,
    }


def status_of(market: Market) -> str:
    """Whether orders are taken."""
    return "Trading" if market.trading else "Closed"


def ticker_view(desk: Desk, market: Market) -> dict[str, Any]:
    """Prices and figures of a symbol. Trades older than the last thousand do not count; nobody holds an open interest here."""
    instrument, trades = market.instrument, market.trades
    bids, asks = desk.venue.levels(instrument.symbol, 1)
    figures = market.figures()
    first = last = high = low = market.mark
    volume = turnover = ZERO
    if figures is not None:
        first, last, high, low = map(instrument.price, (figures.first, figures.last, figures.high, figures.low))
        volume, turnover = instrument.quantity(figures.lots), instrument.notional(1, 1) * figures.ticks_lots

    def best(levels: list[tuple[int, int]]) -> tuple[str, str]:
        return (shown(instrument.price(levels[0][0])), shown(instrument.quantity(levels[0][1]))) if levels else ("", "")

    bid, ask = best(bids), best(asks)
    return {
        "symbol": instrument.symbol,
        "tickDirection": direction(trades, len(trades) - 1),
        "price24hPcnt": trimmed(last / first - 1, 6),
        "lastPrice": shown(last),
        "prevPrice24h": shown(first),
        "highPrice24h": shown(high),
        "lowPrice24h": shown(low),
        "prevPrice1h": shown(first),
        "markPrice": shown(market.mark),
        "indexPrice": shown(market.index),
        "openInterest": "0",
        "openInterestValue": "0",
        "turnover24h": trimmed(turnover),
        "volume24h": shown(volume),
        "fundingIntervalHour": str(instrument.funding_interval_h or 8),
        "fundingCap": FUNDING_CAP,
        "nextFundingTime": ms(market.next_funding_ns),
        "fundingRate": trimmed(market.funding_rate),
        "bid1Price": bid[0],
        "bid1Size": bid[1],
        "ask1Price": ask[0],
        "ask1Size": ask[1],
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }


def rest_ticker_view(desk: Desk, market: Market) -> dict[str, Any]:
    """A ticker as REST has it."""
    unset = ("predictedDeliveryPrice", "basisRate", "deliveryFeeRate", "basis", "basisRateYear")
    found = ticker_view(desk, market) | dict.fromkeys(unset, "") | {"deliveryTime": "0"}
    del found["tickDirection"]
    return found


def dollar_ticker_view() -> dict[str, Any]:
    """The ticker of USDC as REST has it for spot."""
    return {
        "symbol": dollars.SYMBOL,
        "bid1Price": dollars.BID,
        "bid1Size": dollars.SIZE,
        "ask1Price": dollars.ASK,
        "ask1Size": dollars.SIZE,
        "lastPrice": dollars.BID,
        "prevPrice24h": dollars.BID,
        "price24hPcnt": "0",
        "highPrice24h": dollars.ASK,
        "lowPrice24h": dollars.BID,
        "turnover24h": "0",
        "volume24h": "0",
        "usdIndexPrice": "1",
    }


def trade_view(market: Market, trade: PublicTrade, seq: int) -> dict[str, Any]:
    """A public trade as REST has it."""
    instrument = market.instrument
    return {
        "execId": id_of(Of.PUBLIC_TRADE, trade.number),
        "symbol": instrument.symbol,
        "price": shown(instrument.price(trade.ticks)),
        "size": shown(instrument.quantity(trade.lots)),
        "side": side_name(trade.side),
        "time": ms(trade.venue_ns),
        "isBlockTrade": False,
        "isRPITrade": False,
        "seq": str(seq),
    }


def stream_trade_view(market: Market, trade: PublicTrade, seq: int) -> dict[str, Any]:
    """A public trade as the stream has it."""
    instrument = market.instrument
    at = next((k for k in range(len(market.trades) - 1, -1, -1) if market.trades[k].number == trade.number), 0)
    return {
        "T": trade.venue_ns // 1_000_000,
        "s": instrument.symbol,
        "S": side_name(trade.side),
        "v": shown(instrument.quantity(trade.lots)),
        "p": shown(instrument.price(trade.ticks)),
        "L": direction(market.trades, at),
        "i": id_of(Of.PUBLIC_TRADE, trade.number),
        "BT": False,
        "RPI": False,
        "seq": seq,
    }


def direction(trades: list[PublicTrade], at: int) -> str:
    """How the price of a trade lies to the one before, and if it is the same, to the last one that differed."""
    if at < 1:
        return "ZeroPlusTick"
    now, before = trades[at].ticks, trades[at - 1].ticks
    if now != before:
        return "PlusTick" if now > before else "MinusTick"
    earlier = next((t.ticks for t in reversed(trades[:at]) if t.ticks != now), now)
    return "ZeroPlusTick" if now >= earlier else "ZeroMinusTick"


def price_limit_view(desk: Desk, market: Market) -> dict[str, str]:
    """The highest bid and the lowest ask that are taken."""
    instrument, day, band = market.instrument, desk.venue.day, desk.venue.rules.band
    high, low = market.mark * (1 + band), market.mark * (1 - band)
    buy = instrument.price(instrument.round_price(high, Side.BUY, day))
    sell = instrument.price(instrument.round_price(low, Side.SELL, day))
    return {"symbol": instrument.symbol, "buyLmt": shown(buy), "sellLmt": shown(sell)}
