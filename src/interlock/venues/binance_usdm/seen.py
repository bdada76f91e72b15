"""Binance's orders, executions, positions and balances, as lists and the private stream show them, in the vocabulary of `port`.

A row that makes no sense raises Nonsense. Of symbols that are not among the instruments it is told that there is something, and ticks and lots are 0.
Of all prices those of orders of the venue's own alone may lie between ticks: such a fill must not be lost over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, Literal

import msgspec

from interlock.domain.instruments import Instrument
from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.venues.binance_usdm.replies import MaybeName, Name, Number, amount, count_of, decoded, nonsense, time_ns
from interlock.venues.feed import Count
from interlock.venues.port import BalanceSeen, End, FillKind, FillSeen, OrderSeen, PositionSeen

Instruments = Mapping[str, Instrument]
_SIDES: Final = {"BUY": Side.BUY, "SELL": Side.SELL}
SideName = Literal["BUY", "SELL"]

LIQUIDATION: Final = "LIQUIDATION"
"""The type of an order by which the venue closes a position (documents, "Order Update")."""
ALGO: Final = "algo:"
"""Before the venue's number of a conditional order: those are counted apart from orders."""


class OrderRow(msgspec.Struct, frozen=True, gc=False):
    """An order in a list or in the answer to one of the order's own requests; answers have no `time`.

    {"avgPrice":"0.00","clientOrderId":"arb-0001","cumQuote":"0","executedQty":"0","orderId":22542179,"origQty":"10","price":"0.50","reduceOnly":false,
     "side":"BUY","positionSide":"BOTH","status":"NEW","symbol":"BTCUSDT","timeInForce":"GTX","type":"LIMIT","updateTime":1566818724722}
    """

    symbol: Name
    orderId: Count
    clientOrderId: MaybeName
    side: SideName
    status: MaybeName
    price: Number
    origQty: Number
    executedQty: Number
    reduceOnly: bool
    updateTime: Count
    timeInForce: MaybeName
    type: MaybeName


class AlgoRow(msgspec.Struct, frozen=True, gc=False):
    """A conditional order in a list.

    {"algoId":2148719,"clientAlgoId":"Q5xaq5EGKgXXa0fD7fs0Ip","algoType":"CONDITIONAL","symbol":"BNBUSDT","side":"SELL","quantity":"0.01",
     "algoStatus":"NEW","triggerPrice":"750","price":"750","reduceOnly":false,"updateTime":1750515742297}
    """

    symbol: Name
    algoId: Count
    clientAlgoId: MaybeName
    side: SideName
    algoStatus: MaybeName
    quantity: Number = "0"
    price: Number = "0"
    reduceOnly: bool = False
    updateTime: Count = 0
    createTime: Count = 0


class TradeRow(msgspec.Struct, frozen=True, gc=False):
    """An execution in the list of them, which names neither the client id of the order nor what made it.

    {"buyer":false,"commission":"0.07819010","commissionAsset":"USDT","id":698759,"maker":false,"orderId":25851813,"price":"7819.01","qty":"0.002",
     "quoteQty":"15.63802","realizedPnl":"-0.91539999","side":"SELL","positionSide":"SHORT","symbol":"BTCUSDT","time":1569514978020}
    """

    symbol: Name
    id: Count
    orderId: Count
    side: SideName
    price: Number
    qty: Number
    commission: Number
    commissionAsset: MaybeName
    maker: bool
    time: Count


class PositionRow(msgspec.Struct, frozen=True, gc=False):
    """A position in the list of them.

    {"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"0.001","entryPrice":"50000.0","markPrice":"51000.0","updateTime":1625474304765}
    """

    symbol: Name
    positionSide: MaybeName
    positionAmt: Number
    entryPrice: Number


class BalanceRow(msgspec.Struct, frozen=True, gc=False):
    """A balance in the list of them; `balance` is the wallet's, without unrealised profit.

    {"accountAlias":"SgsR","asset":"USDT","balance":"122607.35137903","availableBalance":"23.72469206","updateTime":1617939110373}
    """

    asset: Name
    balance: Number
    availableBalance: Number
    accountAlias: MaybeName = ""


_decode_order = msgspec.json.Decoder(OrderRow).decode
_decode_algo = msgspec.json.Decoder(AlgoRow).decode
_decode_trade = msgspec.json.Decoder(TradeRow).decode
_decode_position = msgspec.json.Decoder(PositionRow).decode
_decode_balance = msgspec.json.Decoder(BalanceRow).decode


# Orders

_OPEN: Final = frozenset({"NEW", "NEW_INSURANCE", "NEW_ADL"})

_REASONS: Final = {
    "1": End.SELF_MATCH,
    "2": End.IOC,
    "3": End.SELF_MATCH,
    "4": End.REDUCE_ONLY,
    "5": End.LIQUIDATION,
    "6": End.VENUE,
    "7": End.VENUE,
    "8": End.VENUE,
    "9": End.IOC,
}
"""`er`, why an order expired: 1 self-match, 2 IOC or FOK, 3 self-match of an IOC, 4 a reduction that came first, 5 liquidation, 6 GTE, 7 delisting,
8 after a trigger, 9 a market order."""


def state_of(
    status: str, *, tif: str, type_: str, lots: int, filled: int, reason: str = "0", what: str = "order"
) -> tuple[OrderState, End]:
    """What a status says, and why an order is over. Lots of 0 are not known. Raises Nonsense.

    `reason` is told by the stream alone. One that is not on our list was the venue's own: that the order is over does not hang on it.
    """
    if lots and not (filled == 0 if status in _OPEN else 0 < filled < lots if status == "PARTIALLY_FILLED" else True):
        raise nonsense(what, f"expected a part of {lots} lots filled that fits {status}, found {filled}")
    if status in _OPEN:
        return OrderState.OPEN, End.NONE
    if status == "PARTIALLY_FILLED":
        return OrderState.PARTIAL, End.NONE
    if status == "FILLED" and filled >= lots:
        return OrderState.FILLED, End.FILLED
    if status == "CANCELED":
        return OrderState.CANCELLED, End.CANCELLED if reason in ("", "0") else _REASONS.get(reason, End.VENUE)
    if status == "EXPIRED":
        return OrderState.EXPIRED, _expiry(reason, tif, type_, filled)
    if status == "EXPIRED_IN_MATCH":
        return OrderState.EXPIRED, End.SELF_MATCH
    if status == "REJECTED" and not filled:
        return OrderState.REJECTED, End.REJECTED
    raise nonsense(what, f"expected a known status that fits, found {status!r} with {filled} of {lots} lots filled")


def _expiry(reason: str, tif: str, type_: str, filled: int) -> End:
    if reason in _REASONS:
        return End.FOK if reason == "2" and tif == "FOK" else _REASONS[reason]
    if reason not in ("", "0"):
        return End.VENUE
    if tif == "GTX" and not filled and type_ == "LIMIT":
        return End.POST_ONLY
    if type_ == "MARKET":
        return End.IOC
    return {"IOC": End.IOC, "FOK": End.FOK}.get(tif, End.VENUE)


def kind_of(client_id: str, *, liquidation: bool = False) -> FillKind:
    """What made an execution or order, by the client id that the venue gives to orders of its own, and by what else it says of them."""
    if client_id.startswith("adl_autoclose"):
        return FillKind.ADL
    if client_id.startswith("settlement_autoclose-"):
        return FillKind.SETTLEMENT
    return FillKind.LIQUIDATION if liquidation or client_id.startswith("autoclose-") else FillKind.TRADE


def ticks_of(price: str, instrument: Instrument, side: Side, kind: FillKind, what: str) -> int:
    """Ticks of a price. One of the venue's own orders that lies between two is the next against us. Raises Nonsense."""
    if kind is FillKind.TRADE:
        return count_of(price, instrument.quantum, what)
    steps = amount(price, what) / instrument.quantum
    if not 0 <= steps < 2**62:
        raise nonsense(what, f"expected a price, found {price}")
    return int(steps.to_integral_value(ROUND_CEILING if side is Side.BUY else ROUND_FLOOR))


def order_row(data: bytes) -> OrderRow:
    """An order, undigested. Raises Nonsense."""
    return decoded(_decode_order, data, "order")


def order_seen(row: OrderRow, instruments: Instruments) -> OrderSeen:
    """An order of a list. Raises Nonsense."""
    what = f"order {row.orderId}"
    side = _SIDES[row.side]
    instrument = instruments.get(row.symbol)
    kind = kind_of(row.clientOrderId, liquidation=row.type == LIQUIDATION)
    ticks = lots = filled = 0
    if instrument is not None:
        ticks = ticks_of(row.price, instrument, side, kind, f"{what} price")
        lots = count_of(row.origQty, instrument.lot, f"{what} origQty")
        filled = count_of(row.executedQty, instrument.lot, f"{what} executedQty")
    state, end = state_of(row.status, tif=row.timeInForce, type_=row.type, lots=lots, filled=filled, what=what)
    return OrderSeen(
        symbol=row.symbol,
        client_id=row.clientOrderId,
        venue_order_id=str(row.orderId),
        side=side,
        ticks=ticks,
        lots=lots,
        filled_lots=filled,
        state=state,
        end=end,
        reduce_only=row.reduceOnly,
        venue_ns=time_ns(row.updateTime, f"{what} updateTime"),
        kind=kind,
    )


_ALGO_STATES: Final = {
    "NEW": (OrderState.OPEN, End.NONE),
    "TRIGGERING": (OrderState.OPEN, End.NONE),
    "TRIGGERED": (OrderState.OPEN, End.NONE),
    "FINISHED": (OrderState.EXPIRED, End.VENUE),
    "CANCELED": (OrderState.CANCELLED, End.CANCELLED),
    "EXPIRED": (OrderState.EXPIRED, End.VENUE),
    "REJECTED": (OrderState.REJECTED, End.REJECTED),
}
"""Of a conditional order; what became of the order that it placed is that order's own."""


def algo_seen(row: AlgoRow, instruments: Instruments) -> OrderSeen:
    """A conditional order. It fills nothing itself: the order that it places does. Raises Nonsense."""
    what = f"conditional order {row.algoId}"
    if row.algoStatus not in _ALGO_STATES:
        raise nonsense(what, f"expected a known status, found {row.algoStatus!r}")
    state, end = _ALGO_STATES[row.algoStatus]
    instrument = instruments.get(row.symbol)
    return OrderSeen(
        symbol=row.symbol,
        client_id=row.clientAlgoId,
        venue_order_id=f"{ALGO}{row.algoId}",
        side=_SIDES[row.side],
        ticks=count_of(row.price or "0", instrument.quantum, f"{what} price") if instrument else 0,
        lots=count_of(row.quantity or "0", instrument.lot, f"{what} quantity") if instrument else 0,
        filled_lots=0,
        state=state,
        end=end,
        reduce_only=row.reduceOnly,
        venue_ns=time_ns(row.updateTime or row.createTime, f"{what} updateTime"),
    )


def algo_row(data: bytes) -> AlgoRow:
    """A conditional order, undigested. Raises Nonsense."""
    return decoded(_decode_algo, data, "conditional order")


# Executions


def trade_row(data: bytes) -> TradeRow:
    """An execution, undigested. Raises Nonsense."""
    return decoded(_decode_trade, data, "execution")


def fill_seen(row: TradeRow, client_id: str, instrument: Instrument | None, *, liquidation: bool = False) -> FillSeen:
    """An execution of an order with this client id. Raises Nonsense."""
    what = f"execution {row.id}"
    side, kind = _SIDES[row.side], kind_of(client_id, liquidation=liquidation)
    ticks = lots = 0
    if instrument is not None:
        ticks = _positive(ticks_of(row.price, instrument, side, kind, f"{what} price"), what)
        lots = _positive(count_of(row.qty, instrument.lot, f"{what} qty"), what)
    return FillSeen(
        symbol=row.symbol,
        trade_id=str(row.id),
        client_id=client_id,
        venue_order_id=str(row.orderId),
        side=side,
        ticks=ticks,
        lots=lots,
        liquidity=Liquidity.MAKER if row.maker else Liquidity.TAKER,
        fee=amount(row.commission, f"{what} commission"),
        fee_currency=row.commissionAsset or (instrument.settle if instrument else ""),
        kind=kind,
        venue_ns=time_ns(row.time, f"{what} time"),
    )


def _positive(count: int, what: str) -> int:
    if count <= 0:
        raise nonsense(what, "expected a positive price and size, found 0")
    return count


# Positions and balances


def position_seen(symbol: str, side: str, size: str, entry: str, instruments: Instruments) -> PositionSeen | None:
    """A position in one-way mode; None for one of hedge mode that is flat. Raises Nonsense for one of hedge mode that is not: there are two then."""
    what = f"position {symbol}"
    held, price = amount(size, f"{what} size"), amount(entry, f"{what} entry price")
    if side != "BOTH":
        if side not in ("LONG", "SHORT") or held:
            raise nonsense(what, f"expected a position in one-way mode, found {side!r} of {held}; close it and leave hedge mode")
        return None
    if price < 0:
        raise nonsense(what, f"expected an entry price, found {price}")
    instrument = instruments.get(symbol)
    if instrument is None or not held:
        return PositionSeen(symbol, 0, price if held else Decimal(0))
    lots = count_of(size.removeprefix("-"), instrument.lot, f"{what} size")
    return PositionSeen(symbol, -lots if held < 0 else lots, price)


def position_row(data: bytes) -> PositionRow:
    """A position, undigested. Raises Nonsense."""
    return decoded(_decode_position, data, "position")


def balance_row(data: bytes) -> BalanceRow:
    """A balance, undigested. Raises Nonsense."""
    return decoded(_decode_balance, data, "balance")


def balance_seen(row: BalanceRow) -> BalanceSeen:
    """What there is of a currency. Raises Nonsense."""
    return BalanceSeen(
        row.asset, amount(row.balance, f"{row.asset} balance"), amount(row.availableBalance, f"{row.asset} availableBalance")
    )
