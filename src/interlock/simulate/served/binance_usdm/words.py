"""The venue's words: its error codes with text and HTTP status, and its names for why a request is refused and how an order stands.

Source of codes and texts: the venue's error code page; the HTTP status of a code is 400 unless practice knows another.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderState
from interlock.simulate.served.orders import EndReason, Refusal, Refused, SimOrder

_TEXTS: Final = {
    1: ("System is under maintenance.", 503),
    -1001: ("Internal error; unable to process your request. Please try again.", 503),
    -1002: ("You are not authorized to execute this request.", 401),
    -1003: ("{}", 429),
    -1007: ("Timeout waiting for response from backend server. Send status unknown; execution status unknown.", 504),
    -1008: ("Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again.", 503),
    -1015: ("Too many new orders; current limit is {} orders per {}.", 429),
    -1021: ("{}", 400),
    -1022: ("Signature for this request is not valid.", 400),
    -1100: ("Illegal characters found in parameter '{}'; legal range is '{}'.", 400),
    -1101: ("Duplicate values for parameter '{}' detected.", 400),
    -1102: ("Mandatory parameter '{}' was not sent, was empty/null, or malformed.", 400),
    -1103: ("An unknown parameter was sent.", 400),
    -1105: ("Parameter '{}' was empty.", 400),
    -1106: ("Parameter '{}' sent when not required.", 400),
    -1111: ("Precision is over the maximum defined for this asset.", 400),
    -1115: ("Invalid timeInForce.", 400),
    -1116: ("Invalid orderType.", 400),
    -1117: ("Invalid side.", 400),
    -1120: ("Invalid interval.", 400),
    -1121: ("Invalid symbol.", 400),
    -1125: ("This listenKey does not exist. Please use `POST /fapi/v1/listenKey` to recreate `listenKey`", 400),
    -1127: ("More than {} hours between startTime and endTime.", 400),
    -1128: ("Combination of optional parameters invalid.", 400),
    -1130: ("Data sent for parameter '{}' is not valid.", 400),
    -2011: ("Unknown order sent.", 400),
    -2013: ("Order does not exist.", 400),
    -2014: ("API-key format invalid.", 401),
    -2015: ("Invalid API-key, IP, or permissions for action.", 401),
    -2017: ("API Keys are locked on this account.", 400),
    -2018: ("Balance is insufficient.", 400),
    -2019: ("Margin is insufficient.", 400),
    -2021: ("Order would immediately trigger.", 400),
    -2022: ("ReduceOnly Order is rejected.", 400),
    -2025: ("Reach max open order limit.", 400),
    -2027: ("Exceeded the maximum allowable position at current leverage.", 400),
    -2028: ("Leverage is smaller than permitted: insufficient margin balance.", 400),
    -4001: ("Price less than 0.", 400),
    -4002: ("Price greater than max price.", 400),
    -4003: ("Quantity less than zero.", 400),
    -4004: ("Quantity less than min quantity.", 400),
    -4005: ("Quantity greater than max quantity.", 400),
    -4013: ("Price less than min price.", 400),
    -4014: ("Price not increased by tick size.", 400),
    -4015: ("Client order id is not valid.", 400),
    -4016: ("Limit price can't be higher than {}.", 400),
    -4023: ("Quantity not increased by step size.", 400),
    -4024: ("Limit price can't be lower than {}.", 400),
    -4028: ("Leverage {} is not valid", 400),
    -4045: ("Reach max stop order limit.", 400),
    -4046: ("No need to change margin type.", 400),
    -4047: ("Margin type cannot be changed if there exists open orders.", 400),
    -4048: ("Margin type cannot be changed if there exists position.", 400),
    -4056: ("HMAC_SHA256 API key is not supported.", 401),
    -4059: ("No need to change position side.", 400),
    -4061: ("Order's position side does not match user's setting.", 400),
    -4082: ("Invalid number of batch place orders.", 400),
    -4116: ("ClientOrderId is duplicated.", 400),
    -4120: ("Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.", 400),
    -4131: ("The counterparty's best price does not meet the PERCENT_PRICE filter limit.", 400),
    -4140: ("Invalid symbol status for opening position.", 400),
    -4164: ("Order's notional must be no smaller than {} (unless you choose reduce only).", 400),
    -4171: ("No need to change multi-assets mode.", 400),
    -5000: ("Path {}, Method {} is invalid", 404),
    -5021: ("Due to the order could not be filled immediately, the FOK order has been rejected.", 400),
    -5022: ("Due to the order could not be executed as maker, the Post Only order will be rejected.", 400),
    -5025: ("Only limit order is supported.", 400),
    -5026: ("Exceed maximum modify order limit.", 400),
    -5027: ("No need to modify the order.", 400),
    -5028: ("Timestamp for this request is outside of the ME recvWindow.", 400),
    -5037: ("Invalid price match", 400),
    -5038: ("Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT", 400),
    -5039: ("Invalid self trade prevention mode", 400),
    -5040: ("The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than 253402300799000", 400),
    -5041: ("No depth matches this BBO order", 400),
    -5043: ("A pending modification already exists for this order.", 400),
}


class Wrong(Exception):
    """A request that the venue refuses. `words` fill the gaps of the code's text."""

    def __init__(self, code: int, *words: object) -> None:
        text, self.status = _TEXTS[code]
        self.code = code
        self.text = text.format(*words)
        super().__init__(f"{code} {self.text}")

    @property
    def body(self) -> dict[str, Any]:
        """What the venue answers."""
        return {"code": self.code, "msg": self.text}


_REFUSALS: Final = {
    Refusal.UNKNOWN_SYMBOL: -1121,
    Refusal.HALTED: -4140,
    Refusal.PRICE_STEP: -4014,
    Refusal.LOT_STEP: -4023,
    Refusal.QUANTITY_LOW: -4004,
    Refusal.QUANTITY_HIGH: -4005,
    Refusal.BALANCE: -2018,
    Refusal.MARGIN: -2019,
    Refusal.POSITION_MAX: -2027,
    Refusal.REDUCE_ONLY: -2022,
    Refusal.DUPLICATE_CLIENT_ID: -4116,
    Refusal.OPEN_ORDERS: -2025,
    Refusal.MARKET_BAND: -4131,
    Refusal.POST_ONLY: -5022,
    Refusal.FOK: -5021,
    Refusal.NOT_FOUND: -2011,
    Refusal.UNCHANGED: -5027,
}


def worded(refused: Refused, instrument: Instrument, mark: Decimal, band: Decimal, price: Decimal | None) -> Wrong:
    """The venue's words for a refusal of the core."""
    match refused.refusal:
        case Refusal.PRICE_RANGE:
            if price is None or price <= 0:
                return Wrong(-4001)
            return Wrong(-4002 if price > instrument.max_price else -4013)
        case Refusal.PRICE_BAND_HIGH:
            return Wrong(-4016, plain(mark * (1 + band)))
        case Refusal.PRICE_BAND_LOW:
            return Wrong(-4024, plain(mark * (1 - band)))
        case Refusal.MIN_NOTIONAL:
            return Wrong(-4164, plain(instrument.min_notional))
    return Wrong(_REFUSALS[refused.refusal])


_STATES: Final = {
    OrderState.OPEN: "NEW",
    OrderState.PARTIAL: "PARTIALLY_FILLED",
    OrderState.FILLED: "FILLED",
    OrderState.CANCELLED: "CANCELED",
    OrderState.EXPIRED: "EXPIRED",
}
EXPIRE_REASONS: Final = {
    EndReason.SELF_MATCH: "1",
    EndReason.IOC_REST: "2",
    EndReason.FOK: "2",
    EndReason.REDUCE_ONLY: "4",
    EndReason.LIQUIDATION: "5",
    EndReason.MARKET_REST: "9",
}
"""`er` of the private stream; 0 for every other end."""


def status_of(order: SimOrder) -> str:
    """How an order stands. What self-match, time or a liquidation ended is expired, whatever ended it inside."""
    if order.reason is EndReason.SELF_MATCH:
        return "EXPIRED_IN_MATCH"
    return "EXPIRED" if order.reason in (EndReason.TIME, EndReason.LIQUIDATION) else _STATES[order.state]


def plain(value: Decimal) -> str:
    """A number without exponent and without zeros at its end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def mean(price: Decimal) -> str:
    """A price that was worked out, such as a mean: eight decimals [inferred], without zeros at its end."""
    return plain(round(price, 8))


def eight(value: Decimal) -> str:
    """An amount of money as the venue prints it, eight decimals."""
    return f"{value:.8f}"


def decimals(step: Decimal) -> int:
    """How many decimals a step has."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def price_precision(instrument: Instrument) -> int:
    """The decimals with which prices are printed; not the tick."""
    return max(2, decimals(instrument.quantum))


def price_text(instrument: Instrument, price: Decimal) -> str:
    """A price as the venue prints it."""
    return f"{price:.{price_precision(instrument)}f}"


def size_text(instrument: Instrument, size: Decimal) -> str:
    """A size as the venue prints it."""
    return f"{size:.{decimals(instrument.lot)}f}"
