"""Faults on demand: what a simulated venue can be told to do wrong, when, and how often it did.

A fault of a **request** waits for one that fits it. A fault of a **stream** holds for so many messages or so long. A fault of the **world** happens
at once. Formats: docs/venues.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from interlock.domain.errors import UsageError


class Fault(StrEnum):
    """Every fault. The comment says what `ms`, `count` and the others mean for it."""

    # of a request
    RESET_BEFORE = "reset_before"
    """The connection is reset; the request has no effect."""
    ERROR_WITHOUT_ACCEPTING = "error_without_accepting"
    """A server error, without effect."""
    ACCEPT_THEN_ERROR = "accept_then_error"
    """The request has its effect and is answered with a server error (504)."""
    LOSE_ACK = "lose_ack"
    """The request has its effect and is never answered."""
    LATE_ACK = "late_ack"
    """The answer comes `ms` late."""
    RESET_AT_BYTE = "reset_at_byte"
    """The request has its effect; the connection is reset after `count` bytes of the answer."""
    STALL = "stall"
    """The request has its effect; from then on nothing more is sent on this connection."""
    GARBAGE = "garbage"
    """The request has its effect; the answer's body is no JSON."""
    RATE_LIMITED = "rate_limited"
    """Refused as over the limit, without effect."""
    BAN = "ban"
    """Refused, and everything after it for `ms`."""
    MAINTENANCE = "maintenance"
    """Refused as the venue does while it is closed; with `ms`, everything that is no read for so long."""
    LATE_TO_MATCH = "late_to_match"
    """Refused because its receive window was over when it reached matching, without effect. Binance only: the others have no word for it."""
    PARTIAL_BATCH = "partial_batch"
    """Of a batch only the first `count` are done; the others are refused one by one."""
    LATE_FILL = "late_fill"
    """An order that is cancelled executes all the same, `ms` later."""
    IGNORE_CANCEL = "ignore_cancel"
    """A cancel is answered as if it was done, and nothing is cancelled."""
    HIDE_ORDERS = "hide_orders"
    """A list of open orders leaves out the newest `count` of them; asked for by name they are there."""
    ERROR_PAGE = "error_page"
    """Over HTTP: a page of HTML with the status `count` instead of an answer, without effect."""
    HISTORY_LAG = "history_lag"
    """Reads show what was `ms` ago, for as long as it is in force."""
    # of a stream
    GAP = "gap"
    """The next `count` messages of `symbol` (of every one, if empty) are left out; of the private stream if `private`."""
    DUPLICATE = "duplicate"
    """The next `count` messages come twice; of the private stream if `private`."""
    REORDER = "reorder"
    """The next two messages change places, `count` times; of the private stream if `private`."""
    STALE_BOOK = "stale_book"
    """The public stream of `symbol` is silent for `ms`; the market goes on."""
    SILENCE = "silence"
    """The private stream is silent for `ms`, and what happened meanwhile is never told."""
    DROP_SOCKETS = "drop_sockets"
    """Every WebSocket connection is reset."""
    SERVER_SHUTDOWN = "server_shutdown"
    """Every WebSocket connection is told that the server goes down, and closed `ms` later. Binance only: the others have no word for it."""
    # of the world
    CLOCK_SKEW = "clock_skew"
    """The venue's clock is `ms` ahead (negative: behind) from now on."""
    FUNDING = "funding"
    """Funding at `rate` settles now in `symbol`."""
    DEPOSIT = "deposit"
    """`amount` of `currency` arrives; negative leaves."""
    LIQUIDATION = "liquidation"
    """The position in `symbol` is closed by the venue."""
    ADL = "adl"
    """The venue takes `amount` (all, if empty) off the position in `symbol` to cover what somebody else lost."""
    FOREIGN_ORDER = "foreign_order"
    """Somebody else places in our account: `symbol`, `side`, `price`, `amount`; at Upbit a `reserved` order if that is said."""
    FILL = "fill"
    """An open order (`client_id`, else the oldest) executes `amount`, or all."""
    REVERSE_FILL = "reverse_fill"
    """The last execution is taken back."""
    ONLY_POST_ONLY = "only_post_only"
    """`symbol` takes only post-only orders for `ms`, or until `ms` 0 lets it take all again. Bybit only: the others have no word for it."""
    FEE = "fee"
    """Executions in `symbol` (if empty, in all) are charged `rate` from now on, whatever the account is told; without a rate, what it is told."""
    HALT = "halt"
    """`symbol` takes no orders for `ms`, or until `ms` 0 opens it again."""
    DISLOCATE = "dislocate"
    """The price of `symbol` is `rate` (a fraction, negative: below) apart from where the other venues have the coin, and comes back by itself, two
    thirds of the way in ten seconds. Seeded markets only: whoever follows or replays another has its prices."""
    GRANT_DEAD_MAN = "grant_dead_man"
    """The account is granted disconnection protection, with `count` 0 it is taken away. Bybit only: the others have no word for it."""


REQUESTS: Final = frozenset(list(Fault)[: list(Fault).index(Fault.GAP)])
STREAMS: Final = frozenset(list(Fault)[list(Fault).index(Fault.GAP) : list(Fault).index(Fault.CLOCK_SKEW)])
WORLD: Final = frozenset(Fault) - REQUESTS - STREAMS


class FaultSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault as it is asked for. `after` requests that fit are let pass first, then it strikes `times` times (0: always).

    `verb` is one of the witness's (place, cancel, read, ...); empty fits every verb, as an empty venue, symbol or client id fits every one.
    """

    fault: Fault
    venue: str = ""
    verb: str = ""
    symbol: str = ""
    client_id: str = ""
    after: int = 0
    times: int = 1
    ms: int = 0
    count: int = 1
    currency: str = ""
    amount: str = ""
    rate: str = ""
    side: str = ""
    price: str = ""
    private: bool = False
    reserved: bool = False


@dataclass(slots=True)
class _Waiting:
    spec: FaultSpec
    passed: int = 0
    struck: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request fault is held against. `socket`: whether it came over a WebSocket, where there are no pages."""

    venue: str
    verb: str
    symbol: str = ""
    client_id: str = ""
    socket: bool = False


class FaultPlan:
    """The faults that wait for requests, and how often each kind of fault happened."""

    def __init__(self) -> None:
        self.happened: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []

    def add(self, spec: FaultSpec) -> None:
        """Let a fault wait. Raises UsageError for one that does not wait for requests, and for a page without a status."""
        if spec.fault not in REQUESTS:
            raise UsageError(f"{spec.fault.value}: expected a fault of a request, found one that happens at once")
        if spec.fault is Fault.ERROR_PAGE and not 200 <= spec.count <= 599:
            raise UsageError(f"{spec.fault.value}: expected as `count` an HTTP status from 200 to 599, found {spec.count}")
        self._waiting.append(_Waiting(spec))

    def clear(self) -> None:
        """Forget every fault that waits."""
        self._waiting.clear()

    def strike(self, asked: Asked) -> dict[Fault, FaultSpec]:
        """The faults that strike a request, at most one of a kind."""
        found: dict[Fault, FaultSpec] = {}
        for waiting in list(self._waiting):
            spec = waiting.spec
            if spec.fault in found or not _fits(spec, asked):
                continue
            if waiting.passed < spec.after:
                waiting.passed += 1
                continue
            found[spec.fault] = spec
            self.happened[spec.fault.value] += 1
            waiting.struck += 1
            if spec.times and waiting.struck >= spec.times:
                self._waiting.remove(waiting)
        return found


def _fits(spec: FaultSpec, asked: Asked) -> bool:
    if spec.fault is Fault.ERROR_PAGE and asked.socket:
        return False
    pairs = ((spec.venue, asked.venue), (spec.verb, asked.verb), (spec.symbol, asked.symbol), (spec.client_id, asked.client_id))
    return all(not wanted or wanted == found for wanted, found in pairs)


def read_faults(data: bytes) -> list[FaultSpec]:
    """Faults from JSON, one or a list. Raises UsageError naming what is wrong."""
    try:
        found = msgspec.json.decode(data, type=FaultSpec | list[FaultSpec])
    except msgspec.DecodeError as error:
        raise UsageError(f"faults: expected one fault or a list of them as JSON: {error}") from error
    return found if isinstance(found, list) else [found]
