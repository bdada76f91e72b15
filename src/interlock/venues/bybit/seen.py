"""Bybit's orders, executions, positions and coins, as lists and the private stream show them alike, in the vocabulary of `port`.

A row that makes no sense raises Nonsense. What is not linear has `category:symbol` for its symbol, because spot and perpetual share names. Of
symbols that are not among the instruments it is told that there is something, and ticks and lots are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, Literal

import msgspec

from interlock.domain.instruments import Instrument
from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.venues.bybit.replies import MaybeName, Name, Number, amount, count_of, decoded, nonsense, time_ns
from interlock.venues.port import BalanceSeen, End, FillKind, FillSeen, LedgerSeen, OrderSeen, PositionSeen

Instruments = Mapping[str, Instrument]
_SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}


class OrderRow(msgspec.Struct, frozen=True, gc=False):
    """An order.

    {"category":"linear","symbol":"BTCUSDT","orderId":"5cf98598-39a7-459e-97bf-76ca765ee020","orderLinkId":"arb-0001","side":"Buy",
     "cancelType":"UNKNOWN","price":"30000.50","qty":"0.100","timeInForce":"GTC","orderStatus":"PartiallyFilled","reduceOnly":false,
     "cumExecQty":"0.040","updatedTime":"1672364262457","rejectReason":"EC_NoError","createType":"CreateByUser"}

    Lists do not name the category in each row.
    """

    symbol: Name
    orderId: Name
    side: Literal["Buy", "Sell"]
    price: Number
    qty: Number
    cumExecQty: Number
    orderStatus: MaybeName
    reduceOnly: bool
    updatedTime: MaybeName
    orderLinkId: MaybeName = ""
    timeInForce: MaybeName = ""
    cancelType: MaybeName = ""
    rejectReason: MaybeName = ""
    createType: MaybeName = ""
    category: MaybeName = ""


class ExecutionRow(msgspec.Struct, frozen=True, gc=False):
    """An execution, or a payment of funding.

    {"category":"linear","symbol":"XRPUSDT","execFee":"0.005061","execId":"7e2ae69c-4edf-5800-a352-893d52b446aa","execPrice":"0.3374",
     "execQty":"25","execType":"Trade","isMaker":false,"orderId":"f6e324ff-99c2-4e89-9739-3086e47f9381","orderLinkId":"","side":"Sell",
     "execTime":"1672364174443","feeCurrency":"","createType":"CreateByUser"}
    """

    symbol: Name
    execId: Name
    side: MaybeName
    execPrice: Number
    execQty: Number
    execFee: Number
    execType: MaybeName
    execTime: MaybeName
    orderId: MaybeName = ""
    orderLinkId: MaybeName = ""
    isMaker: bool = False
    feeCurrency: MaybeName = ""
    createType: MaybeName = ""
    category: MaybeName = ""


class PositionRow(msgspec.Struct, frozen=True, gc=False):
    """A position; its mean price is `avgPrice` in the list and `entryPrice` in the stream.

    {"positionIdx":0,"symbol":"ETHUSDT","side":"Sell","size":"0.01","entryPrice":"3641.075","leverage":"30","category":"linear"}
    """

    positionIdx: int
    symbol: Name
    side: MaybeName
    size: Number
    avgPrice: Number = ""
    entryPrice: Number = ""
    leverage: Number = ""
    category: MaybeName = ""


class CoinRow(msgspec.Struct, frozen=True, gc=False):
    """What a unified account has of a coin; `walletBalance` is without unrealised profit. Portfolio margin leaves the margins empty.

    {"coin":"USDT","equity":"10226.20575506","walletBalance":"9647.75537647","locked":"0","totalOrderIM":"0",
     "totalPositionIM":"127.8573161","totalPositionMM":"12.78573161"}
    """

    coin: Name
    walletBalance: Number
    equity: Number = ""
    locked: Number = ""
    totalOrderIM: Number = ""
    totalPositionIM: Number = ""
    totalPositionMM: Number = ""


_decode_order = msgspec.json.Decoder(OrderRow).decode
_decode_execution = msgspec.json.Decoder(ExecutionRow).decode
_decode_position = msgspec.json.Decoder(PositionRow).decode


def _named(category: str, symbol: str) -> str:
    return symbol if category in ("", "linear") else f"{category}:{symbol}"


# Who made it

_CREATED: Final = {
    "CreateByLiq": FillKind.LIQUIDATION,
    "CreateByTakeOver_PassThrough": FillKind.LIQUIDATION,
    "CreateByAdl_PassThrough": FillKind.ADL,
    "CreateBySettle": FillKind.SETTLEMENT,
}
"""By `createType`: what the venue itself made. All else, and what it does not say of, somebody placed."""


# Orders

_OPEN: Final = {
    "New": OrderState.OPEN,
    "PartiallyFilled": OrderState.PARTIAL,
    "Untriggered": OrderState.OPEN,
    "Triggered": OrderState.OPEN,
}
_OVER: Final = frozenset({"Cancelled", "PartiallyFilledCanceled", "Deactivated", "Rejected"})

_BY_CANCEL: Final = {
    "CancelByReduceOnly": End.REDUCE_ONLY,
    "CancelBySmp": End.SELF_MATCH,
    "CancelByDCP": End.DEAD_MAN,
    "CancelByPrepareLiq": End.LIQUIDATION,
    "CancelAllBeforeLiq": End.LIQUIDATION,
    "CancelByPrepareAdl": End.LIQUIDATION,
    "CancelAllBeforeAdl": End.LIQUIDATION,
}
_BY_REASON: Final = {
    "EC_PostOnlyWillTakeLiquidity": End.POST_ONLY,
    "EC_BySelfMatch": End.SELF_MATCH,
    "EC_StopBySelfMatch": End.SELF_MATCH,
}
_LEFTOVERS: Final = frozenset({"EC_NoImmediateQtyToFill", "EC_NoEnoughQtyToFill", "EC_CancelForNoFullFill"})
_OURS: Final = frozenset({"", "UNKNOWN", "CancelByUser"})
_NO_REASON: Final = frozenset({"", "EC_NoError", "EC_PerCancelRequest"})


def order_seen(data: bytes, instruments: Instruments) -> OrderSeen:
    """An order of a list or of the stream. Raises Nonsense."""
    row = decoded(_decode_order, data, "order")
    symbol = _named(row.category, row.symbol)
    what = f"order {row.orderId}"
    instrument = instruments.get(symbol)
    ticks = lots = filled = 0
    if instrument is not None:
        ticks = count_of(row.price or "0", instrument.quantum, f"{what} price")
        lots = count_of(row.qty, instrument.lot, f"{what} qty")
        filled = count_of(row.cumExecQty or "0", instrument.lot, f"{what} cumExecQty")
        _fits(row, lots, filled)
    state, end = _state(row, filled)
    return OrderSeen(
        symbol=symbol,
        client_id=row.orderLinkId,
        venue_order_id=row.orderId,
        side=_SIDES[row.side],
        ticks=ticks,
        lots=lots,
        filled_lots=filled,
        state=state,
        end=end,
        reduce_only=row.reduceOnly,
        venue_ns=time_ns(row.updatedTime, f"{what} updatedTime"),
        kind=_CREATED.get(row.createType, FillKind.TRADE),
    )


def _fits(row: OrderRow, lots: int, filled: int) -> None:
    most = {"New": 0, "Untriggered": 0, "PartiallyFilled": lots - 1}.get(row.orderStatus, lots)
    least = {"PartiallyFilled": 1, "Filled": lots}.get(row.orderStatus, 0)
    if not least <= filled <= most:
        raise nonsense(f"order {row.orderId}", f"expected {least} to {most} lots filled of {lots} when {row.orderStatus}, found {filled}")


def _state(row: OrderRow, filled: int) -> tuple[OrderState, End]:
    if row.orderStatus in _OPEN:
        return _OPEN[row.orderStatus], End.NONE
    if row.orderStatus == "Filled":
        # A cancel that met the fill may be told with it (CancelByUser, EC_OrigClOrdIDDoesNotExist): the fill holds.
        return OrderState.FILLED, End.FILLED
    if row.orderStatus not in _OVER:
        raise nonsense(f"order {row.orderId}", f"expected a known orderStatus, found {row.orderStatus[:40]!r}")
    end = _end(row)
    if end in (End.IOC, End.FOK):
        return OrderState.EXPIRED, end
    # One that traded was in the book, whatever ended it: what is filled of it is booked, and the rest was cancelled.
    rejected = end in (End.REJECTED, End.POST_ONLY) and not filled
    return (OrderState.REJECTED if rejected else OrderState.CANCELLED), end


def _end(row: OrderRow) -> End:
    """Why an order is over. The venue's lists of reasons are open: one that is not known was a reason of its own, never our cancel."""
    if row.rejectReason in _BY_REASON:
        return _BY_REASON[row.rejectReason]
    if row.orderStatus == "Rejected":
        return End.REJECTED
    if row.cancelType in _BY_CANCEL:
        return _BY_CANCEL[row.cancelType]
    if row.rejectReason in _LEFTOVERS:
        return End.FOK if row.timeInForce == "FOK" else End.IOC
    if row.cancelType in _OURS and (row.cancelType == "CancelByUser" or row.rejectReason in _NO_REASON):
        return End.CANCELLED
    return End.VENUE


# Executions

_KINDS: Final = {
    "AdlTrade": FillKind.ADL,
    "BustTrade": FillKind.LIQUIDATION,
    "Delivery": FillKind.SETTLEMENT,
    "Settle": FillKind.SETTLEMENT,
    "BlockTrade": FillKind.TRADE,
    "MovePosition": FillKind.TRADE,
    "FutureSpread": FillKind.TRADE,
}


def execution_seen(data: bytes, instruments: Instruments) -> FillSeen | LedgerSeen:
    """An execution of a list or of the stream: a fill, or funding. Raises Nonsense, also for a kind that is not known."""
    row = decoded(_decode_execution, data, "execution")
    symbol = _named(row.category, row.symbol)
    what = f"execution {row.execId}"
    fee = amount(row.execFee, f"{what} execFee")
    at_ns = time_ns(row.execTime, f"{what} execTime")
    instrument = instruments.get(symbol)
    # The venue leaves the currency of a linear contract's fee empty: it is what the contract settles in.
    currency = row.feeCurrency or (instrument.settle if instrument else "")
    if row.execType == "Funding":
        if not currency:
            raise nonsense(what, f"expected the currency of funding, found none for {symbol}")
        paid = fee.copy_negate() if fee else Decimal(0)
        return LedgerSeen(kind="funding", venue_id=row.execId, currency=currency, amount=paid, symbol=symbol, venue_ns=at_ns)
    kind = _CREATED.get(row.createType, FillKind.TRADE) if row.execType == "Trade" else _KINDS.get(row.execType)
    side = _SIDES.get(row.side)
    if kind is None or side is None:
        raise nonsense(what, f"expected a known execType and a side, found {row.execType[:40]!r} and {row.side[:40]!r}")
    ticks = lots = 0
    if instrument is not None:
        ticks, lots = _traded(row, instrument, side, kind, what)
    return FillSeen(
        symbol=symbol,
        trade_id=row.execId,
        client_id=row.orderLinkId,
        venue_order_id=row.orderId,
        side=side,
        ticks=ticks,
        lots=lots,
        liquidity=Liquidity.MAKER if row.isMaker else Liquidity.TAKER,
        fee=fee,
        fee_currency=currency,
        kind=kind,
        venue_ns=at_ns,
    )


def _traded(row: ExecutionRow, instrument: Instrument, side: Side, kind: FillKind, what: str) -> tuple[int, int]:
    if kind is FillKind.TRADE:
        ticks = count_of(row.execPrice, instrument.quantum, f"{what} execPrice")
    else:
        # A bankruptcy or settlement price lies between ticks, and such a fill must not be lost over it: the next tick against us stands for it.
        steps = amount(row.execPrice, f"{what} execPrice") / instrument.quantum
        ticks = int(steps.to_integral_value(ROUND_CEILING if side is Side.BUY else ROUND_FLOOR)) or 1
    lots = count_of(row.execQty, instrument.lot, f"{what} execQty")
    if not (0 < ticks < 2**62 and lots > 0):
        raise nonsense(what, f"expected a positive price and size, found {row.execPrice} and {row.execQty}")
    return ticks, lots


# Positions and coins


def position_row(data: bytes) -> PositionRow:
    """A position, undigested. Raises Nonsense."""
    return decoded(_decode_position, data, "position")


def position_seen(row: PositionRow, instruments: Instruments) -> PositionSeen:
    """A position in one-way mode. Raises Nonsense for one of hedge mode, which is two of a symbol, and for a size without a side."""
    symbol = _named(row.category, row.symbol)
    what = f"position {symbol}"
    size = amount(row.size, f"{what} size")
    entry = amount(row.entryPrice or row.avgPrice or "0", f"{what} entry price")
    side = _SIDES.get(row.side)
    if row.positionIdx or size < 0 or entry < 0 or bool(size) != (side is not None):
        raise nonsense(
            what, f"expected one position with a side unless it is flat, found {row.side!r} {size} at {entry}, {row.positionIdx}"
        )
    instrument = instruments.get(symbol)
    if side is None or instrument is None:
        return PositionSeen(symbol, 0, entry if size else Decimal(0))
    return PositionSeen(symbol, side * count_of(row.size, instrument.lot, f"{what} size"), entry)


def balance_seen(row: CoinRow) -> BalanceSeen:
    """What there is of a coin. What of it is free is not told: the venue's figure for that is out of use. Raises Nonsense."""
    return BalanceSeen(row.coin, amount(row.walletBalance, f"{row.coin} walletBalance"), None)
