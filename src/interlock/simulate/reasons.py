"""Why an order was denied before the wire, or refused or ended by the exchange: one closed list of codes with names."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Codes below 32 are denials on our side (nothing was sent); from 32 on they are the exchange's answers."""

    NONE = 0
    BAD_INTENT = 1
    ORDER_SIZE = 2
    POSITION_CAP = 3
    OPEN_ORDERS = 4
    COLLAR = 5
    RATE_BUDGET = 6
    NO_SLOT = 7
    NOT_CANCELLABLE = 8
    NOT_TRADING = 9
    PRICE_STEP = 33
    QUANTITY = 34
    MIN_NOTIONAL = 35
    POST_ONLY_WOULD_TAKE = 36
    IOC_REST = 37
    FOK_NOT_FILLABLE = 38
    SELF_MATCH = 39
    INSUFFICIENT_BALANCE = 40
    INSUFFICIENT_MARGIN = 41
    OVERLOAD = 42
    HALTED = 43
    CANCELLED = 44
    CANCEL_TOO_LATE = 45
    REDUCE_ONLY = 46
    BAR_NOT_REACHED = 47
    PRICE_BAND = 48


REASONS = 64
"""The size of the table of counts."""

GATE_DENIAL = "gate:"
"""How the name of a count begins that is of a rule of the gate, in a replay in which the gate decides; what follows is the rule."""
