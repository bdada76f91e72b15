"""The tables of levels cell by cell, as the rules have them, and interlocks where two conditions meet."""

from __future__ import annotations

import pytest
from tests.gate.arming_world import boot, level_set, reconciled

from interlock.domain.errors import UsageError
from interlock.gate import records
from interlock.gate.interlocks import InterlockRule, interlock_records
from interlock.gate.lattice import MOST_TRIPS_COUNTED, Lattice, apply
from interlock.gate.records import Level, Scope
from interlock.gate.verbs import LEVEL_OF, SELF_CLEARING, Cause, lower, rank

S = 1_000_000_000

INTEGRITY = {
    Cause.JOURNAL,
    Cause.DUPLICATE_CLIENT_ID,
    Cause.OVERFILL,
    Cause.LATE_FILL,
    Cause.REVERSAL,
    Cause.SECOND_WRITER,
    Cause.OWN_PREFIX_UNKNOWN,
    Cause.FOREIGN_ACTIVITY,
    Cause.UNEXPLAINED,
    Cause.INTERNAL_ERROR,
    Cause.KILL,
    Cause.OPERATOR,
}
"""The account of what was done cannot be trusted, or a person said stop."""

BLIND = {Cause.NO_CONSISTENT_CUT, Cause.CHECKER_SILENT, Cause.CLOCK}
"""It is not known what there is: nothing but cancels."""


@pytest.mark.parametrize("cause", list(Cause))
def test_each_cause_holds_down_to_the_level_of_its_kind(cause: Cause) -> None:
    expected = Level.HALT if cause in INTEGRITY else Level.CANCEL_ONLY if cause in BLIND else Level.REDUCE_ONLY
    assert LEVEL_OF[cause] is expected


def test_which_causes_clear_themselves() -> None:
    assert (
        frozenset({Cause.FEED_STALE, Cause.RECONNECT, Cause.CLOCK, Cause.RATE_LIMIT, Cause.SENTINEL_SILENT, Cause.DISK_ROOM})
        == SELF_CLEARING
    )


@pytest.mark.parametrize("cause", list(Cause))
def test_a_rule_for_an_interlock_is_taken_for_exactly_the_causes_that_clear_themselves(cause: Cause) -> None:
    def make() -> InterlockRule:
        return InterlockRule(cause=cause, quarantine_ns=1, latch_at_trips_an_hour=2, latch_after_ns=2)

    if cause in SELF_CLEARING:
        assert make().cause is cause
    else:
        with pytest.raises(UsageError, match="other causes latch at once"):
            make()


def test_what_is_no_level_lets_nothing_through_wherever_it_stands() -> None:
    wrong: Level = "loud"  # type: ignore[assignment]
    assert lower(wrong, Level.RUN) is lower(Level.RUN, wrong) is lower(wrong, wrong) is Level.HALT
    assert lower(Level.RUN, Level.RUN) is Level.RUN
    assert rank(wrong) == rank(Level.HALT) == 0


@pytest.mark.parametrize(
    ("quarantine_ns", "latch_after_ns", "trips", "fits"),
    [
        (1, 2, 2, True),
        (1, 2, MOST_TRIPS_COUNTED, True),
        (0, 2, 2, False),
        (2, 2, 2, False),
        (1, 2, 1, False),
        (1, 2, MOST_TRIPS_COUNTED + 1, False),
    ],
)
def test_the_figures_of_an_interlock_at_their_bounds(quarantine_ns: int, latch_after_ns: int, trips: int, fits: bool) -> None:
    def make() -> InterlockRule:
        return InterlockRule(cause=Cause.CLOCK, quarantine_ns=quarantine_ns, latch_at_trips_an_hour=trips, latch_after_ns=latch_after_ns)

    if fits:
        assert make().latch_at_trips_an_hour == trips
    else:
        with pytest.raises(UsageError):
            make()


@pytest.mark.parametrize("subject", ["bybit/BTCUSDT", "bybit/ETHUSDT"])
def test_an_interlock_of_one_symbol_is_none_of_another(subject: str) -> None:
    """The feed of one symbol is old; the other's is asked about as if nothing had been."""
    rule = InterlockRule(cause=Cause.FEED_STALE, quarantine_ns=5 * S, latch_at_trips_an_hour=3, latch_after_ns=60 * S)
    state = Lattice()
    tripped = records.InterlockTripped(
        boot_ns=S, name=Cause.FEED_STALE.value, scope=Scope.SYMBOL, subject="bybit/BTCUSDT", level=Level.REDUCE_ONLY, reason="old"
    )
    for record in (boot(), reconciled(), level_set(Level.RUN), tripped):
        state = apply(state, record)
    made = interlock_records(state, rule, scope=Scope.SYMBOL, subject=subject, true_since_boot_ns=None, boot_ns=2 * S, reason="old")
    assert [type(record) for record in made] == ([] if subject == "bybit/BTCUSDT" else [records.InterlockTripped])
    clear = interlock_records(state, rule, scope=Scope.SYMBOL, subject=subject, true_since_boot_ns=S, boot_ns=9 * S, reason="old")
    assert [type(record) for record in clear] == ([records.InterlockCleared] if subject == "bybit/BTCUSDT" else [])
