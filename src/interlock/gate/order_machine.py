"""The order machine: which evidence moves an order from which state to which, as one table.

Every edge is evidence that somebody authored: the gate about its own writes, the venue about the order, a person about a quarantined one. There is
no edge by timeout. A final state is left only together with a violation: the venue is then believed and everything stops. The fold of the journal
and the exhaustive search of the tests use this same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from interlock.domain.orders import OrderState

INTENDED, PERMITTED, NOT_SENT, SENT = OrderState.INTENDED, OrderState.PERMITTED, OrderState.NOT_SENT, OrderState.SENT
ACKED, OPEN, PARTIAL, FILLED = OrderState.ACKED, OrderState.OPEN, OrderState.PARTIAL, OrderState.FILLED
CANCELLED, EXPIRED, REJECTED = OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED
UNKNOWN, QUARANTINED, ABSENT = OrderState.UNKNOWN, OrderState.QUARANTINED, OrderState.ABSENT

EXPOSED = frozenset({PERMITTED, SENT, ACKED, OPEN, PARTIAL, UNKNOWN, QUARANTINED})
"""States in which what is left of an order counts as filled in the worse direction."""

UNRESOLVED = frozenset({PERMITTED, SENT, ACKED, UNKNOWN, QUARANTINED})
"""States in which the venue has not yet said whether it took the order."""

RESTING = frozenset({OPEN, PARTIAL})
"""States in which the venue has shown the order as accepted and not ended."""


class Evidence(StrEnum):
    """What can be learnt about an order. `SEEN` is a report of the venue by stream or query, `ANSWER` its answer to the request itself."""

    PERMITTED = "permitted"
    DENIED = "denied"
    WIRE_BEGUN = "wire_begun"
    """No more certainty that the venue cannot have it: SENT from here on."""
    WIRE_AGAIN = "wire_again"
    """A second wire write of one (client id, revision)."""
    NOT_SENT = "not_sent"
    """No byte was written, said before all bytes were said to be."""
    NOT_SENT_LATE = "not_sent_late"
    """No byte was written, said after all bytes were said to be."""
    SENT = "sent"
    SEND_UNKNOWN = "send_unknown"
    ANSWER_ACKED = "answer_acked"
    ANSWER_OPEN = "answer_open"
    ANSWER_REJECTED = "answer_rejected"
    SEEN_OPEN = "seen_open"
    SEEN_PARTIAL = "seen_partial"
    SEEN_FILLED = "seen_filled"
    SEEN_CANCELLED = "seen_cancelled"
    SEEN_EXPIRED = "seen_expired"
    SEEN_REJECTED = "seen_rejected"
    SEEN_UNCLEAR = "seen_unclear"
    """The venue shows it in a state that is not on our list, or that contradicts its own figures."""
    SEEN_MORE = "seen_more"
    """After its end the venue reports more filled than at its end."""
    SEEN_OVER = "seen_over"
    """The venue reports more filled than was ordered."""
    FILL_PART = "fill_part"
    FILL_ALL = "fill_all"
    FILL_OVER = "fill_over"
    FILL_EXPECTED = "fill_expected"
    """An execution that the report of the order's end had already counted."""
    REVERSAL = "reversal"
    ABSENCE = "absence"
    QUARANTINE = "quarantine"
    RELEASED_FILLED = "released_filled"
    RELEASED_CANCELLED = "released_cancelled"
    RELEASED_EXPIRED = "released_expired"
    RELEASED_REJECTED = "released_rejected"
    RELEASED_ABSENT = "released_absent"
    CANCEL_ACCEPTED = "cancel_accepted"
    """The venue will try; the order ends when the venue reports its end."""
    CANCEL_REFUSED = "cancel_refused"
    """Also "not found", which proves nothing."""
    LIFE_ENDED = "life_ended"
    """The process that was waiting for an answer is gone."""


class Violation(StrEnum):
    """What must not happen; each one stops everything until a person has looked."""

    LATE_FILL = "late_fill"
    OVERFILL = "overfill"
    REVERSAL = "reversal"
    UNSENT_SEEN = "unsent_seen"
    """The venue shows an order that was certainly not sent."""
    ABSENT_SEEN = "absent_seen"
    """The venue shows an order whose absence had been proven."""
    REOPENED = "reopened"
    """The venue shows an order as open after it had shown its end."""
    CONTRADICTED = "contradicted"
    """Two pieces of evidence that cannot both be true."""
    DUPLICATE_SEND = "duplicate_send"
    UNEXPECTED = "unexpected"
    """A record of our own that does not belong here: a defect of the gate."""
    STRANGER = "stranger"
    """Evidence about a client id that the journal does not know."""
    OVERSIZE = "oversize"
    """The venue holds the order at a larger size than was ever asked for."""


Step = tuple[OrderState, Violation | None]

_FINAL = tuple(s for s in OrderState if s.final)
_AT_VENUE = (SENT, ACKED, OPEN, PARTIAL, UNKNOWN, QUARANTINED)
_UNSENT = (INTENDED, PERMITTED, NOT_SENT)
_ENDED = (FILLED, CANCELLED, EXPIRED, REJECTED)


def _row(
    *rules: tuple[Iterable[OrderState], OrderState | None, Violation | None], rest: Violation | None = None
) -> Mapping[OrderState, Step]:
    """One evidence's edges: (from, to, violation), `None` for staying; what no rule names stays, with `rest`. The first rule that fits counts."""
    row: dict[OrderState, Step] = {}
    for states, target, violation in rules:
        for state in states:
            row.setdefault(state, (state if target is None else target, violation))
    for state in OrderState:
        row.setdefault(state, (state, rest))
    return row


_V = Violation


def _ended(target: OrderState, *agreeing: OrderState) -> Mapping[OrderState, Step]:
    """The venue shows an end without more filled than known; an order that has ended stays as it ended."""
    return _row((_AT_VENUE, target, None), (_UNSENT, target, _V.UNSENT_SEEN), (agreeing, None, None), ([ABSENT], target, _V.ABSENT_SEEN))


def _released(target: OrderState) -> Mapping[OrderState, Step]:
    return _row(([QUARANTINED], target, None))


TABLE: Mapping[Evidence, Mapping[OrderState, Step]] = {
    Evidence.PERMITTED: _row(([INTENDED], PERMITTED, None), rest=_V.UNEXPECTED),
    Evidence.DENIED: _row(([INTENDED], NOT_SENT, None), rest=_V.UNEXPECTED),
    # Bytes may be under way whatever the order's state was: it must count as exposure again.
    Evidence.WIRE_BEGUN: _row(
        ([PERMITTED], SENT, None), ([INTENDED], SENT, _V.UNEXPECTED), (_FINAL, UNKNOWN, _V.UNEXPECTED), rest=_V.UNEXPECTED
    ),
    Evidence.WIRE_AGAIN: _row((_FINAL, UNKNOWN, _V.DUPLICATE_SEND), (_UNSENT, UNKNOWN, _V.DUPLICATE_SEND), rest=_V.DUPLICATE_SEND),
    Evidence.NOT_SENT: _row(([PERMITTED, SENT], NOT_SENT, None), ([NOT_SENT], None, None), rest=_V.UNEXPECTED),
    Evidence.NOT_SENT_LATE: _row(([SENT], UNKNOWN, _V.CONTRADICTED), rest=_V.CONTRADICTED),
    Evidence.SENT: _row(
        (_AT_VENUE, None, None),
        (_ENDED, None, None),
        ([INTENDED, PERMITTED], SENT, _V.UNEXPECTED),
        ([NOT_SENT, ABSENT], UNKNOWN, _V.CONTRADICTED),
    ),
    # What the venue has shown outlives the loss of an answer.
    Evidence.SEND_UNKNOWN: _row(
        ([PERMITTED, SENT, ACKED], UNKNOWN, None),
        ([INTENDED], UNKNOWN, _V.UNEXPECTED),
        ([NOT_SENT], UNKNOWN, _V.CONTRADICTED),
    ),
    # An acknowledgement of receipt is no acceptance: UNKNOWN stays UNKNOWN.
    Evidence.ANSWER_ACKED: _row(([SENT], ACKED, None), (_UNSENT, ACKED, _V.UNSENT_SEEN), ([ABSENT], UNKNOWN, _V.ABSENT_SEEN)),
    # An answer may be overtaken by the stream, so that it changes nothing after the end.
    Evidence.ANSWER_OPEN: _row(
        ([PARTIAL], None, None), (_AT_VENUE, OPEN, None), (_UNSENT, OPEN, _V.UNSENT_SEEN), ([ABSENT], OPEN, _V.ABSENT_SEEN)
    ),
    Evidence.ANSWER_REJECTED: _row(
        ([OPEN, PARTIAL], UNKNOWN, _V.CONTRADICTED),
        (_AT_VENUE, REJECTED, None),
        (_UNSENT, REJECTED, _V.UNSENT_SEEN),
        ([FILLED], None, _V.CONTRADICTED),
    ),
    Evidence.SEEN_OPEN: _row(
        ([PARTIAL], None, None),
        (_AT_VENUE, OPEN, None),
        (_UNSENT, OPEN, _V.UNSENT_SEEN),
        ([ABSENT], OPEN, _V.ABSENT_SEEN),
        ([FILLED], None, _V.CONTRADICTED),
        (_ENDED, UNKNOWN, _V.REOPENED),
    ),
    Evidence.SEEN_PARTIAL: _row(
        (_AT_VENUE, PARTIAL, None),
        (_UNSENT, PARTIAL, _V.UNSENT_SEEN),
        ([ABSENT], PARTIAL, _V.ABSENT_SEEN),
        ([FILLED], None, _V.CONTRADICTED),
        (_ENDED, UNKNOWN, _V.REOPENED),
    ),
    Evidence.SEEN_FILLED: _ended(FILLED, *_ENDED),
    Evidence.SEEN_CANCELLED: _ended(CANCELLED, *_ENDED),
    Evidence.SEEN_EXPIRED: _ended(EXPIRED, *_ENDED),
    # A rejection agrees with absence, and contradicts fills.
    Evidence.SEEN_REJECTED: _row(
        ([PARTIAL], UNKNOWN, _V.CONTRADICTED),
        (_AT_VENUE, REJECTED, None),
        (_UNSENT, REJECTED, _V.UNSENT_SEEN),
        ([FILLED], None, _V.CONTRADICTED),
    ),
    Evidence.SEEN_UNCLEAR: _row(
        ([QUARANTINED], None, None),
        (_AT_VENUE, UNKNOWN, None),
        (_UNSENT, UNKNOWN, _V.UNSENT_SEEN),
        ([ABSENT], UNKNOWN, _V.ABSENT_SEEN),
    ),
    Evidence.SEEN_MORE: _row((_ENDED, None, _V.LATE_FILL), rest=_V.UNEXPECTED),
    Evidence.SEEN_OVER: _row((OrderState, FILLED, _V.OVERFILL)),
    # A fill proves that the venue took the order, not that the rest still stands: UNKNOWN is resolved by a report.
    Evidence.FILL_PART: _row(
        ([UNKNOWN, QUARANTINED], UNKNOWN, None),
        (_AT_VENUE, PARTIAL, None),
        ([INTENDED, PERMITTED], PARTIAL, _V.UNSENT_SEEN),
        ([NOT_SENT, ABSENT, REJECTED], UNKNOWN, _V.LATE_FILL),
        (_ENDED, None, _V.LATE_FILL),
    ),
    Evidence.FILL_ALL: _row((_AT_VENUE, FILLED, None), ([INTENDED, PERMITTED], FILLED, _V.UNSENT_SEEN), (_FINAL, FILLED, _V.LATE_FILL)),
    Evidence.FILL_OVER: _row((OrderState, FILLED, _V.OVERFILL)),
    Evidence.FILL_EXPECTED: _row((_ENDED, None, None), rest=_V.UNEXPECTED),
    Evidence.REVERSAL: _row((OrderState, None, _V.REVERSAL)),
    Evidence.ABSENCE: _row(([UNKNOWN, QUARANTINED, ABSENT], ABSENT, None), rest=_V.CONTRADICTED),
    Evidence.QUARANTINE: _row(([UNKNOWN, QUARANTINED], QUARANTINED, None), rest=_V.UNEXPECTED),
    Evidence.RELEASED_FILLED: _released(FILLED),
    Evidence.RELEASED_CANCELLED: _released(CANCELLED),
    Evidence.RELEASED_EXPIRED: _released(EXPIRED),
    Evidence.RELEASED_REJECTED: _released(REJECTED),
    Evidence.RELEASED_ABSENT: _released(ABSENT),
    Evidence.CANCEL_ACCEPTED: _row(),
    Evidence.CANCEL_REFUSED: _row(([OPEN, PARTIAL], UNKNOWN, None)),
    Evidence.LIFE_ENDED: _row(([SENT, ACKED], UNKNOWN, None)),
}


def step(state: OrderState, evidence: Evidence) -> Step:
    """The state after a piece of evidence, and the violation that it is, if it is one. Total over all states and evidence."""
    return TABLE[evidence][state]
