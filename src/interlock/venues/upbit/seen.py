"""Upbit's orders and executions, as lists show them and the private stream tells them, in the vocabulary of `port`.

Of symbols that are not among the instruments it is told that there is something, and ticks and lots are 0. One trade is told alike by both, because
whoever books it holds the two against each other: its time is cut to whole seconds, all that the lists have, and its fee is taken at the rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final, Literal

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.domain.instruments import Instrument
from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.venues.feed import Count
from interlock.venues.port import End, FillKind, FillSeen, OrderSeen
from interlock.venues.upbit.replies import Name, Number, Text, amount, decoded, lots, nonsense, plus, ticks, time_ns, times

Instruments = Mapping[str, Instrument]
OrdType = Literal["limit", "price", "market", "best"]
Tif = Literal["ioc", "fok", "post_only"]
SmpType = Literal["cancel_maker", "cancel_taker", "reduce", "none"]

MOST_TRADES: Final = 5_000
"""An order with more trades makes no sense."""

_RATE_UNIT = Decimal("0.000001")
_FEE_TOLERANCE = Decimal("1e-9")
_FEE_UNIT = Decimal("1e-18")
_DIGITS = 400
_ZERO = Decimal(0)


class TradeRow(msgspec.Struct, frozen=True, gc=False):
    """One of `trades` of an order.

    {"market":"KRW-BTC","uuid":"795dff29-bba6-49b2-baab-63473ab7931c","price":"50000000","volume":"0.001","funds":"50000","trend":"up",
     "created_at":"2025-07-04T15:00:01+09:00","side":"bid"}
    """

    market: Name
    uuid: Name
    price: Number
    volume: Number
    created_at: Text


class OrderRow(msgspec.Struct, frozen=True, gc=False):
    """An order of any REST answer; `trades` is in that of GET /v1/order alone.

    {"market":"KRW-BTC","uuid":"9e8f8eba-7050-4837-8969-cfc272cbe083","side":"bid","ord_type":"limit","price":"50000000","state":"done",
     "created_at":"2025-07-04T15:00:00+09:00","volume":"0.001","remaining_volume":"0","paid_fee":"25","executed_volume":"0.001",
     "trades_count":1,"identifier":"arb-0001","smp_type":"cancel_maker","prevented_volume":"0"}

    A market buy by cost has the cost as `price` and no volume.
    """

    market: Name
    uuid: Name
    side: Literal["bid", "ask"]
    ord_type: OrdType
    state: Literal["wait", "watch", "done", "cancel"]
    created_at: Text
    executed_volume: Number
    price: Number | None = None
    volume: Number | None = None
    paid_fee: Number | None = None
    prevented_volume: Number | None = None
    time_in_force: Tif | None = None
    smp_type: SmpType | None = None
    identifier: Text | None = None
    trades_count: Count = 0
    trades: list[TradeRow] | None = None


_decode_order = msgspec.json.Decoder(OrderRow).decode


@dataclass(frozen=True, slots=True)
class Amounts:
    """What decides how an order stands. `volume` None: it was placed by cost, and how much it would be is not known."""

    ord_type: OrdType
    tif: Tif | None
    smp: SmpType | None
    volume: Decimal | None
    executed: Decimal
    prevented: Decimal


def order_row(data: bytes) -> OrderRow:
    """Decode an order. Raises Nonsense."""
    return decoded(_decode_order, data, "order")


def order_seen(row: OrderRow, instruments: Instruments) -> OrderSeen:
    """An order of a list. Its time is that of its creation: a list tells no other. Raises Nonsense."""
    what = f"order {row.uuid}"
    prevented = amount(row.prevented_volume, f"{what} prevented") if row.prevented_volume else _ZERO
    volume = amount(row.volume, f"{what} volume") if row.volume else None
    amounts = Amounts(row.ord_type, row.time_in_force, row.smp_type, volume, amount(row.executed_volume, f"{what} executed"), prevented)
    state, end = standing(row.state, amounts, what)
    at, size, filled = measured(instruments.get(row.market), amounts, amount(row.price, f"{what} price") if row.price else None, what)
    return OrderSeen(
        symbol=row.market,
        client_id=row.identifier or "",
        venue_order_id=row.uuid,
        side=Side.BUY if row.side == "bid" else Side.SELL,
        ticks=at,
        lots=size,
        filled_lots=filled,
        state=state,
        end=end,
        reduce_only=False,
        venue_ns=time_ns(row.created_at, f"{what} created_at"),
    )


def measured(instrument: Instrument | None, amounts: Amounts, price: Decimal | None, what: str) -> tuple[int, int, int]:
    """(ticks, lots, filled lots): ticks 0 but for a limit order; lots are what is filled where the order was placed by cost."""
    if instrument is None:
        return 0, 0, 0
    at = 0
    if amounts.ord_type == "limit":
        if not price or not amounts.volume:
            raise nonsense(what, "expected a limit order with a price and a volume, found one without")
        at = ticks(instrument, price, what)
    filled = lots(instrument, amounts.executed, what)
    return at, filled if amounts.volume is None else lots(instrument, amounts.volume, what), filled


# How an order stands


def standing(state: str, amounts: Amounts, what: str) -> tuple[OrderState, End]:
    """The state of an order, and why it is over. Raises Nonsense for what cannot be filled so far in that state."""
    volume, executed = amounts.volume, amounts.executed
    if volume is not None and executed > volume:
        raise nonsense(what, f"expected at most {volume} filled, found {executed}")
    if state in ("wait", "watch", "prevented"):
        return (OrderState.PARTIAL if executed else OrderState.OPEN), End.NONE
    if executed and executed == volume:
        return OrderState.FILLED, End.FILLED
    return _done(amounts, what) if state == "done" else _cancelled(amounts)


def _done(amounts: Amounts, what: str) -> tuple[OrderState, End]:
    if amounts.volume is None and amounts.executed:
        return OrderState.FILLED, End.FILLED
    if amounts.prevented:
        return OrderState.CANCELLED, End.SELF_MATCH
    raise nonsense(what, f"expected {amounts.volume} filled when done, found {amounts.executed}")


def _cancelled(amounts: Amounts) -> tuple[OrderState, End]:
    """What `cancel` means. Our own cancel of a post-only order without fills looks like the venue's: whoever asked for it knows better."""
    volume, executed, prevented = amounts.volume, amounts.executed, amounts.prevented
    if prevented and (amounts.smp in ("cancel_maker", "cancel_taker") or plus(executed, prevented) == volume):
        return OrderState.CANCELLED, End.SELF_MATCH
    if volume is None:
        # A market buy leaves less than a lot's worth of won, with which it is cancelled.
        return (OrderState.FILLED, End.FILLED) if executed else (OrderState.EXPIRED, End.IOC)
    if amounts.tif == "post_only" and not executed:
        return OrderState.CANCELLED, End.POST_ONLY
    if amounts.tif == "fok":
        return OrderState.EXPIRED, End.FOK
    if amounts.tif == "ioc" or amounts.ord_type in ("market", "best"):
        return OrderState.EXPIRED, End.IOC
    return OrderState.CANCELLED, End.CANCELLED


# Executions


def fills_of(row: OrderRow, instruments: Instruments) -> tuple[FillSeen, ...]:
    """All executions of an order that GET /v1/order showed. Raises Nonsense where they are not all there.

    Who made and who took is not told: a post-only order made, any other is taken to have taken. The fee of each is its part of what was paid.
    """
    what = f"order {row.uuid}"
    found = [(trade, amount(trade.price, what), amount(trade.volume, what)) for trade in row.trades or ()]
    executed, funds = _ZERO, _ZERO
    for trade, price, volume in found:
        if trade.market != row.market or not price or not volume:
            raise nonsense(what, f"expected trades of {row.market} at a price and a size, found another")
        executed, funds = plus(executed, volume), plus(funds, times(price, volume))
    if len(found) > MOST_TRADES or executed != amount(row.executed_volume, what) or len({trade.uuid for trade, _, _ in found}) < len(found):
        raise nonsense(what, f"expected each trade of {row.executed_volume} once, found {len(found)} of {executed}")
    paid = amount(row.paid_fee, f"{what} paid_fee")
    maker = row.time_in_force == "post_only"
    return tuple(
        fill(
            instruments,
            symbol=row.market,
            trade_id=trade.uuid,
            client_id=row.identifier or "",
            venue_order_id=row.uuid,
            side=Side.BUY if row.side == "bid" else Side.SELL,
            price=price,
            volume=volume,
            fee=fee_at_rate(times(price, volume), paid, funds),
            maker=maker,
            venue_ns=time_ns(trade.created_at, f"{what} trade"),
        )
        for trade, price, volume in found
    )


def fill(
    instruments: Instruments,
    *,
    symbol: str,
    trade_id: str,
    client_id: str,
    venue_order_id: str,
    side: Side,
    price: Decimal,
    volume: Decimal,
    fee: Decimal,
    maker: bool,
    venue_ns: int,
) -> FillSeen:
    """An execution. The fee is in the quote currency, the first part of a symbol. Raises Nonsense for what lies between two ticks or lots."""
    instrument = instruments.get(symbol)
    what = f"trade {trade_id}"
    return FillSeen(
        symbol=symbol,
        trade_id=trade_id,
        client_id=client_id,
        venue_order_id=venue_order_id,
        side=side,
        ticks=ticks(instrument, price, what) if instrument else 0,
        lots=lots(instrument, volume, what) if instrument else 0,
        liquidity=Liquidity.MAKER if maker else Liquidity.TAKER,
        fee=fee,
        fee_currency=symbol.partition("-")[0],
        kind=FillKind.TRADE,
        venue_ns=venue_ns // NS_PER_S * NS_PER_S,
    )


def fee_at_rate(funds: Decimal, paid: Decimal, paid_for: Decimal) -> Decimal:
    """The fee of a trade of `funds`, when `paid` was the fee of trades of `paid_for` together.

    Rates are whole millionths, so a fee that was cut on its way through a stream comes back whole; where the rate is near none, what was told
    stays.
    """
    with localcontext(prec=_DIGITS):
        share = paid * funds / paid_for
        whole = (paid / paid_for).quantize(_RATE_UNIT) * funds
        fee = whole if abs(whole - share) <= funds * _FEE_TOLERANCE else share.quantize(_FEE_UNIT)
        fee = fee.normalize()
        return fee.quantize(Decimal(1)) if fee == fee.to_integral_value() else fee
