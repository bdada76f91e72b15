"""The order machine, exhaustively: every state, every evidence, every sequence up to a depth."""

import itertools

import pytest

from interlock.domain.orders import OrderState
from interlock.gate.order_machine import EXPOSED, TABLE, Evidence, Violation, step

E, S, V = Evidence, OrderState, Violation
FINAL = [s for s in S if s.final]
LIVE = [s for s in S if not s.final]
FILLS = [E.FILL_PART, E.FILL_ALL, E.FILL_OVER]
SEEN = [e for e in E if e.startswith("seen_")]
BY_VENUE = {e for e in E if e.startswith(("seen_", "fill_"))} | {E.ANSWER_REJECTED}
BY_PERSON = {e for e in E if e.startswith("released_")}
BY_US = {E.NOT_SENT, E.DENIED}


def test_the_table_is_total() -> None:
    assert set(TABLE) == set(E)
    for evidence in E:
        assert set(TABLE[evidence]) == set(S)


@pytest.mark.parametrize(("state", "evidence"), list(itertools.product(FINAL, E)))
def test_a_final_state_is_left_only_with_a_violation(state: OrderState, evidence: Evidence) -> None:
    after, violation = step(state, evidence)
    assert after is state or violation is not None


@pytest.mark.parametrize(("state", "evidence"), list(itertools.product(LIVE, E)))
def test_an_order_ends_only_by_evidence_of_the_venue_a_person_or_of_our_own_silence(state: OrderState, evidence: Evidence) -> None:
    after, violation = step(state, evidence)
    if not after.final:
        return
    if evidence in BY_US:
        assert (after, violation) == (S.NOT_SENT, None)
        assert state in (S.INTENDED, S.PERMITTED, S.SENT)
    elif evidence is E.ABSENCE:
        assert state in (S.UNKNOWN, S.QUARANTINED)
        assert after is S.ABSENT
    elif evidence in BY_PERSON:
        assert state is S.QUARANTINED
    else:
        assert evidence in BY_VENUE


def test_no_evidence_is_a_timeout_and_losing_an_answer_ends_nothing() -> None:
    for state in LIVE:
        for evidence in (E.SEND_UNKNOWN, E.LIFE_ENDED, E.CANCEL_ACCEPTED, E.CANCEL_REFUSED, E.QUARANTINE):
            assert not step(state, evidence)[0].final
    # The control: an answer that was not lost does.
    assert step(S.SENT, E.ANSWER_REJECTED) == (S.REJECTED, None)


@pytest.mark.parametrize("state", FINAL)
@pytest.mark.parametrize("evidence", FILLS)
def test_a_late_execution_is_a_violation(state: OrderState, evidence: Evidence) -> None:
    assert step(state, evidence)[1] is (V.OVERFILL if evidence is E.FILL_OVER else V.LATE_FILL)
    # The control: on an open order the same execution is none, unless it is too large.
    assert step(S.OPEN, evidence)[1] is (V.OVERFILL if evidence is E.FILL_OVER else None)


@pytest.mark.parametrize("state", list(S))
def test_too_much_and_reversals_are_always_violations(state: OrderState) -> None:
    assert step(state, E.FILL_OVER) == (S.FILLED, V.OVERFILL)
    assert step(state, E.SEEN_OVER) == (S.FILLED, V.OVERFILL)
    assert step(state, E.REVERSAL) == (state, V.REVERSAL)


def test_a_refused_cancel_makes_an_open_order_unknown_and_never_final() -> None:
    assert step(S.OPEN, E.CANCEL_REFUSED) == (S.UNKNOWN, None)
    assert step(S.PARTIAL, E.CANCEL_REFUSED) == (S.UNKNOWN, None)
    for state in set(S) - {S.OPEN, S.PARTIAL}:
        assert step(state, E.CANCEL_REFUSED) == (state, None)


@pytest.mark.parametrize(("evidence", "after"), [
    (E.ANSWER_OPEN, S.OPEN), (E.ANSWER_REJECTED, S.REJECTED), (E.SEEN_OPEN, S.OPEN), (E.SEEN_PARTIAL, S.PARTIAL), (E.SEEN_FILLED, S.FILLED),
    (E.SEEN_CANCELLED, S.CANCELLED), (E.SEEN_EXPIRED, S.EXPIRED), (E.SEEN_REJECTED, S.REJECTED), (E.FILL_PART, S.PARTIAL), (E.FILL_ALL, S.FILLED),
])  # fmt: skip
def test_an_acknowledged_order_may_still_become_anything(evidence: Evidence, after: OrderState) -> None:
    assert step(S.ACKED, evidence) == (after, None)
    assert S.ACKED in EXPOSED


@pytest.mark.parametrize("evidence", SEEN)
@pytest.mark.parametrize("state", [S.NOT_SENT, S.ABSENT])
def test_what_cannot_be_there_and_is_seen_stops_everything(state: OrderState, evidence: Evidence) -> None:
    if (state, evidence) == (S.ABSENT, E.SEEN_REJECTED):
        assert step(state, evidence) == (S.ABSENT, None)  # a rejection agrees with absence
    else:
        assert step(state, evidence)[1] is not None


def test_the_second_write_to_the_wire_is_a_violation_in_every_state() -> None:
    for state in S:
        after, violation = step(state, E.WIRE_AGAIN)
        assert violation is V.DUPLICATE_SEND
        assert after in EXPOSED
    assert step(S.PERMITTED, E.WIRE_BEGUN) == (S.SENT, None)


def test_after_a_wire_write_only_evidence_takes_the_exposure_away() -> None:
    """All sequences from SENT: while there is no violation, exposure ends by what ends an order, and never comes back after it."""
    ends = BY_VENUE | BY_PERSON | BY_US | {E.ABSENCE}
    frontier: set[OrderState] = {S.SENT}
    reached = set(frontier)
    for _ in range(6):
        following: set[OrderState] = set()
        for state, evidence in itertools.product(frontier, E):
            after, violation = step(state, evidence)
            if violation is not None:
                continue
            if state in EXPOSED and after not in EXPOSED:
                assert evidence in ends
            assert not (state.final and after in EXPOSED)
            assert after not in (S.INTENDED, S.PERMITTED)
            following.add(after)
        frontier = following - reached
        reached |= following
    assert frontier == set()
    assert reached == set(S) - {S.INTENDED, S.PERMITTED}
