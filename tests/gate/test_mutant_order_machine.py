"""The order machine cell by cell: every state, every piece of evidence, where it leads and whether it stops everything."""

from __future__ import annotations

import pytest

from interlock.domain.orders import OrderState
from interlock.gate.order_machine import EXPOSED, RESTING, TABLE, UNRESOLVED, Evidence, Violation, step

S, V = OrderState, Violation

STATES = {
    "I": S.INTENDED,
    "P": S.PERMITTED,
    "N": S.NOT_SENT,
    "S": S.SENT,
    "A": S.ACKED,
    "O": S.OPEN,
    "T": S.PARTIAL,
    "F": S.FILLED,
    "C": S.CANCELLED,
    "E": S.EXPIRED,
    "R": S.REJECTED,
    "U": S.UNKNOWN,
    "Q": S.QUARANTINED,
    "X": S.ABSENT,
}

VIOLATIONS = {
    "": None,
    "u": V.UNEXPECTED,
    "d": V.DUPLICATE_SEND,
    "c": V.CONTRADICTED,
    "n": V.UNSENT_SEEN,
    "a": V.ABSENT_SEEN,
    "l": V.LATE_FILL,
    "o": V.OVERFILL,
    "r": V.REOPENED,
    "t": V.REVERSAL,
}

SHEET = """
                    I  P  N  S  A  O  T  F  C  E  R  U  Q  X

permitted           P  .u .u .u .u .u .u .u .u .u .u .u .u .u
denied              N  .u .u .u .u .u .u .u .u .u .u .u .u .u
wire_begun          Su S  Uu .u .u .u .u Uu Uu Uu Uu .u .u Uu
wire_again          Ud Ud Ud .d .d .d .d Ud Ud Ud Ud .d .d Ud
not_sent            .u N  .  N  .u .u .u .u .u .u .u .u .u .u
not_sent_late       .c .c .c Uc .c .c .c .c .c .c .c .c .c .c
sent                Su Su Uc .  .  .  .  .  .  .  .  .  .  Uc
send_unknown        Uu U  Uc U  U  .  .  .  .  .  .  .  .  .
answer_acked        An An An A  .  .  .  .  .  .  .  .  .  Ua
answer_open         On On On O  O  .  .  .  .  .  .  O  O  Oa
answer_rejected     Rn Rn Rn R  R  Uc Uc .c .  .  .  R  R  .
seen_open           On On On O  O  .  .  .c Ur Ur Ur O  O  Oa
seen_partial        Tn Tn Tn T  T  T  .  .c Ur Ur Ur T  T  Ta
seen_filled         Fn Fn Fn F  F  F  F  .  .  .  .  F  F  Fa
seen_cancelled      Cn Cn Cn C  C  C  C  .  .  .  .  C  C  Ca
seen_expired        En En En E  E  E  E  .  .  .  .  E  E  Ea
seen_rejected       Rn Rn Rn R  R  R  Uc .c .  .  .  R  R  .
seen_unclear        Un Un Un U  U  U  U  .  .  .  .  .  .  Ua
seen_more           .u .u .u .u .u .u .u .l .l .l .l .u .u .u
seen_over           Fo Fo Fo Fo Fo Fo Fo .o Fo Fo Fo Fo Fo Fo
fill_part           Tn Tn Ul T  T  T  .  .l .l .l Ul .  U  Ul
fill_all            Fn Fn Fl F  F  F  F  .l Fl Fl Fl F  F  Fl
fill_over           Fo Fo Fo Fo Fo Fo Fo .o Fo Fo Fo Fo Fo Fo
fill_expected       .u .u .u .u .u .u .u .  .  .  .  .u .u .u
reversal            .t .t .t .t .t .t .t .t .t .t .t .t .t .t
absence             .c .c .c .c .c .c .c .c .c .c .c X  X  .
quarantine          .u .u .u .u .u .u .u .u .u .u .u Q  .  .u
released_filled     .  .  .  .  .  .  .  .  .  .  .  .  F  .
released_cancelled  .  .  .  .  .  .  .  .  .  .  .  .  C  .
released_expired    .  .  .  .  .  .  .  .  .  .  .  .  E  .
released_rejected   .  .  .  .  .  .  .  .  .  .  .  .  R  .
released_absent     .  .  .  .  .  .  .  .  .  .  .  .  X  .
cancel_accepted     .  .  .  .  .  .  .  .  .  .  .  .  .  .
cancel_refused      .  .  .  .  .  U  U  .  .  .  .  .  .  .
life_ended          .  .  .  U  U  .  .  .  .  .  .  .  .  .
"""
"""The state after it, `.` for the same, and the violation that it is. Written out as a sheet of its own: the sources say it by rules."""


def rows() -> dict[str, list[str]]:
    lines = [line.split() for line in SHEET.splitlines() if line.strip()]
    assert lines[0] == list(STATES)
    return {name: cells for name, *cells in lines[1:]}


def test_the_sheet_has_a_row_for_each_kind_of_evidence_and_a_column_for_each_state() -> None:
    assert set(rows()) == {str(evidence) for evidence in Evidence}
    assert list(STATES.values()) == list(OrderState)
    assert {len(cells) for cells in rows().values()} == {len(STATES)}


@pytest.mark.parametrize("evidence", list(Evidence))
def test_where_each_piece_of_evidence_leads_from_each_state(evidence: Evidence) -> None:
    expected = {
        state: (state if cell[0] == "." else STATES[cell[0]], VIOLATIONS[cell[1:]])
        for state, cell in zip(STATES.values(), rows()[str(evidence)], strict=True)
    }
    assert {state: step(state, evidence) for state in OrderState} == expected
    assert TABLE[evidence] == expected


def test_what_counts_as_exposure_as_unresolved_and_as_resting() -> None:
    assert {S.PERMITTED, S.SENT, S.ACKED, S.OPEN, S.PARTIAL, S.UNKNOWN, S.QUARANTINED} == EXPOSED
    assert {S.PERMITTED, S.SENT, S.ACKED, S.UNKNOWN, S.QUARANTINED} == UNRESOLVED
    assert {S.OPEN, S.PARTIAL} == RESTING


@pytest.mark.parametrize("state", list(OrderState))
def test_which_states_are_final(state: OrderState) -> None:
    assert state.final is (state in {S.NOT_SENT, S.FILLED, S.CANCELLED, S.EXPIRED, S.REJECTED, S.ABSENT})
