"""The closed list of lies, and when each is told: at the n-th request that it fits, or by a seed.

Nothing here changes the venue; it only says which faults strike a request. A fault counts as happened when the engine carried it out, because
one that found nothing to act on (a reversal before any fill) has proved nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

import msgspec

from interlock.domain.clock import NS_PER_MS
from interlock.venues.fake.wire import AnyRequest, VerbClass, class_of, ids_of, verb_of


class Fault(StrEnum):
    """Everything that the fake can do to its clients."""

    # the request is not taken
    LOSE_REQUEST = "lose_request"
    RESET_BEFORE_ACCEPTING = "reset_before_accepting"
    ERROR_WITHOUT_ACCEPTING = "error_without_accepting"
    DEFINITIVE_REJECT = "definitive_reject"
    RATE_LIMITED = "rate_limited"
    BAN = "ban"
    # the request is taken, the answer lies
    ACCEPT_THEN_ERROR = "accept_then_error"
    UNLISTED_CODE = "unlisted_code"
    LOSE_ACK = "lose_ack"
    LATE_ACK = "late_ack"
    ANSWER_TWICE = "answer_twice"
    REORDER_ANSWERS = "reorder_answers"
    RESET_AFTER_ACCEPTING = "reset_after_accepting"
    PARTIAL_FRAME = "partial_frame"
    GARBAGE_FRAME = "garbage_frame"
    # orders
    BATCH_IN_PART = "batch_in_part"
    BATCH_UNTOLD = "batch_untold"
    FILL_DURING_CANCEL = "fill_during_cancel"
    FILL_AFTER_CANCEL = "fill_after_cancel"
    # what is read
    HISTORY_LAG = "history_lag"
    OPEN_ORDERS_LAG = "open_orders_lag"
    NONSENSE_READ = "nonsense_read"
    # the stream
    LATE_FILL = "late_fill"
    STREAM_GAP = "stream_gap"
    STREAM_SILENCE = "stream_silence"
    STREAM_REORDER = "stream_reorder"
    STREAM_TWICE = "stream_twice"
    # the world
    CLOCK_SKEW = "clock_skew"
    FOREIGN_ORDER = "foreign_order"
    FOREIGN_FILL = "foreign_fill"
    FILL_REVERSAL = "fill_reversal"
    FUNDING = "funding"
    DEPOSIT = "deposit"
    AIRDROP = "airdrop"
    THIRD_ASSET_FEE = "third_asset_fee"
    LIQUIDATION = "liquidation"
    ADL = "adl"


class FaultSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault and when it strikes: at the `nth` request that it fits, and the `times` - 1 that follow.

    `verb` and `prefix` (of the client id) narrow what fits; empty means any. What else is needed depends on the fault: `delay_ns` is how late or
    how long (a signed skew for the clock), `count` how many (bytes, children, events, lots), `amount` money as text, `code` an answer's code,
    `client_id` the id of a foreign order, `symbol` an instrument (empty: the venue's first).
    """

    fault: Fault
    verb: str = ""
    prefix: str = ""
    nth: int = 1
    times: int = 1
    delay_ns: int = 200 * NS_PER_MS
    count: int = 1
    amount: str = "1"
    code: str = ""
    client_id: str = ""
    symbol: str = ""


_ONLY = {
    Fault.BATCH_IN_PART: frozenset({"place_batch", "cancel_batch"}),
    Fault.BATCH_UNTOLD: frozenset({"place_batch", "cancel_batch"}),
    Fault.FILL_DURING_CANCEL: frozenset({"cancel"}),
    Fault.FILL_AFTER_CANCEL: frozenset({"cancel"}),
    Fault.HISTORY_LAG: frozenset({"order_history"}),
    Fault.OPEN_ORDERS_LAG: frozenset({"open_orders", "query_order"}),
}
_ORDERS_ONLY = frozenset({Fault.ACCEPT_THEN_ERROR, Fault.DEFINITIVE_REJECT, Fault.UNLISTED_CODE})


def fits(fault: Fault, verb: str) -> bool:
    """Whether the fault means anything for requests of this verb."""
    if fault in _ONLY:
        return verb in _ONLY[fault]
    if fault is Fault.NONSENSE_READ:
        return class_of(verb) is VerbClass.READ
    return fault not in _ORDERS_ONLY or class_of(verb) is not VerbClass.READ


@dataclass(slots=True)
class _Armed:
    spec: FaultSpec
    seen: int = 0


class FaultPlan:
    """The faults that wait, and how often each happened."""

    def __init__(self) -> None:
        self.happened: Counter[Fault] = Counter()
        self._armed: list[_Armed] = []
        self._seed = 0
        self._per_mille: dict[Fault, int] = {}
        self._requests = 0

    def arm(self, spec: FaultSpec) -> None:
        """Let a fault wait for its requests. Raises ValueError for a count below one, which could never strike."""
        if spec.nth < 1 or spec.times < 1:
            raise ValueError(f"fault {spec.fault}: expected nth >= 1 and times >= 1, found {spec.nth} and {spec.times}")
        self._armed.append(_Armed(spec))

    def seed(self, seed: int, per_mille: dict[Fault, int]) -> None:
        """From the next request on, strike each with these odds; the same seed and requests give the same faults."""
        self._seed, self._per_mille = seed, dict(per_mille)

    def clear(self) -> None:
        """Tell no more lies. What happened stays counted."""
        self._armed.clear()
        self._per_mille = {}

    def strike(self, request: AnyRequest) -> dict[Fault, FaultSpec]:
        """The faults that strike this request; asking counts it as seen."""
        self._requests += 1
        verb, ids = verb_of(request), ids_of(request)
        struck: dict[Fault, FaultSpec] = {}
        for armed in self._armed:
            spec = armed.spec
            if not fits(spec.fault, verb) or spec.verb not in ("", verb):
                continue
            if spec.prefix and not any(client_id.startswith(spec.prefix) for client_id, _ in ids):
                continue
            armed.seen += 1
            if spec.nth <= armed.seen < spec.nth + spec.times:
                struck[spec.fault] = spec
        self._armed = [armed for armed in self._armed if armed.seen < armed.spec.nth + armed.spec.times - 1]
        for fault in Fault:
            odds = self._per_mille.get(fault, 0)
            if odds and fits(fault, verb) and self._draw(fault) < odds:
                struck.setdefault(fault, FaultSpec(fault=fault))
        return struck

    def _draw(self, fault: Fault) -> int:
        digest = blake2b(f"{self._seed}/{self._requests}/{fault}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % 1000
