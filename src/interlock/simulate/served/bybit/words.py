"""Bybit's words: what each refusal is as `retCode` and `retMsg`, and how an order's state and end are named.

Source: the venue's error code and enum pages (v5). Where the documentation has a description and no literal text, the text is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from interlock.domain.orders import OrderState, TimeInForce
from interlock.simulate.served.orders import EndReason, Origin, Refusal, Refused, SelfMatch, SimOrder


class Failed(Exception):
    """A request that is answered with an error: `retCode`, `retMsg`, and the HTTP status, which is 200 for almost every one."""

    def __init__(self, code: int, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status


OK: Final = 0
PARAMS: Final = 10001
EXPIRED: Final = 10002
BAD_KEY: Final = 10003
BAD_SIGN: Final = 10004
NO_PERMISSION: Final = 10005
OVER_LIMIT: Final = 10006
UNKNOWN_IP: Final = 10010
NO_ROUTE: Final = 10017
NOT_FOUND: Final = 110001
PROCESSING: Final = 110079

_REFUSALS: Final[Mapping[Refusal, tuple[int, str]]] = {
    Refusal.UNKNOWN_SYMBOL: (PARAMS, "params error: symbol invalid"),
    Refusal.HALTED: (110074, "This contract is not live"),
    Refusal.BAD_REQUEST: (PARAMS, "params error: "),
    Refusal.PRICE_STEP: (PARAMS, "Price invalid: "),
    Refusal.PRICE_RANGE: (110003, "Order price exceeds the allowable range."),
    Refusal.PRICE_BAND_HIGH: (30208, "The order price is higher than the maximum buying price."),
    Refusal.PRICE_BAND_LOW: (30209, "The order price is lower than the minimum selling price."),
    Refusal.LOT_STEP: (PARAMS, "Qty invalid: "),
    Refusal.QUANTITY_LOW: (PARAMS, "The number of contracts exceeds minimum limit allowed: "),
    Refusal.QUANTITY_HIGH: (PARAMS, "The number of contracts exceeds maximum limit allowed: "),
    Refusal.MIN_NOTIONAL: (110094, "Order does not meet minimum order value: "),
    Refusal.MAX_NOTIONAL: (PARAMS, "Order exceeds maximum order value: "),
    Refusal.BALANCE: (110007, "ab not enough for new order"),
    Refusal.MARGIN: (110007, "ab not enough for new order"),
    Refusal.REDUCE_ONLY: (110017, "Reduce-only rule not satisfied: "),
    Refusal.DUPLICATE_CLIENT_ID: (110072, "OrderLinkedID is duplicate"),
    Refusal.OPEN_ORDERS: (110020, "Not allowed to have more than 500 active orders"),
    Refusal.ONLY_POST_ONLY: (110103, "Only Post-Only orders are available"),
    Refusal.FOK: (PARAMS, "params error: "),
    Refusal.NOT_FOUND: (NOT_FOUND, "order not exists or too late to cancel"),
    Refusal.UNCHANGED: (PARAMS, "The order remains unchanged as the parameters entered match the existing ones."),
    Refusal.AMEND_BELOW_FILLED: (PARAMS, "Qty invalid: "),
}
"""A text that ends in a colon is followed by what the core says of the refusal."""


def failure(refused: Refused) -> Failed:
    """What Bybit answers to what the core refused."""
    code, text = _REFUSALS[refused.refusal]
    return Failed(code, text + refused.text if text.endswith(": ") else text)


TIMES_IN_FORCE: Final[Mapping[str, TimeInForce]] = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "PostOnly": TimeInForce.POST_ONLY,
}
SELF_MATCHES: Final[Mapping[str, SelfMatch]] = {
    "None": SelfMatch.NONE,
    "CancelMaker": SelfMatch.CANCEL_MAKER,
    "CancelTaker": SelfMatch.CANCEL_TAKER,
    "CancelBoth": SelfMatch.CANCEL_BOTH,
}
TIF_NAMES: Final = {tif: name for name, tif in TIMES_IN_FORCE.items()}
SELF_MATCH_NAMES: Final = {kind: name for name, kind in SELF_MATCHES.items()}

STATUSES: Final[Mapping[OrderState, str]] = {
    OrderState.OPEN: "New",
    OrderState.PARTIAL: "PartiallyFilled",
    OrderState.FILLED: "Filled",
    OrderState.CANCELLED: "Cancelled",
    OrderState.EXPIRED: "Cancelled",
}
"""Derivatives have no `PartiallyFilledCanceled`: what was cancelled may have executed in part."""

_ENDS: Final[Mapping[EndReason, tuple[str, str]]] = {
    EndReason.NONE: ("UNKNOWN", "EC_NoError"),
    EndReason.USER: ("CancelByUser", "EC_PerCancelRequest"),
    EndReason.POST_ONLY: ("UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
    EndReason.IOC_REST: ("UNKNOWN", "EC_NoImmediateQtyToFill"),
    EndReason.MARKET_REST: ("UNKNOWN", "EC_NoImmediateQtyToFill"),
    EndReason.FOK: ("UNKNOWN", "EC_NoEnoughQtyToFill"),
    EndReason.SELF_MATCH: ("CancelBySmp", "EC_NoError"),
    EndReason.REDUCE_ONLY: ("CancelByReduceOnly", "EC_NoError"),
    EndReason.DEAD_MAN: ("CancelByDCP", "EC_NoError"),
    EndReason.LIQUIDATION: ("CancelAllBeforeLiq", "EC_NoError"),
    EndReason.ADL: ("CancelAllBeforeAdl", "EC_NoError"),
}


def end_of(order: SimOrder) -> tuple[str, str]:
    """`cancelType` and `rejectReason` of an order that is over."""
    return _ENDS[order.reason]


def exec_type(order: SimOrder) -> str:
    """What kind of execution an order makes: a trade, taken over by the venue in a liquidation, or by ADL."""
    return _EXECUTIONS[order.origin]


_EXECUTIONS: Final[Mapping[Origin, str]] = {Origin.CLIENT: "Trade", Origin.LIQUIDATION: "BustTrade", Origin.ADL: "AdlTrade"}
