"""The tables of levels cell by cell, as the rules have them, and arming where two conditions meet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.gate import limit_cases as lc
from tests.gate.arming_world import (
    BOOT_NS,
    DRILL,
    ENVIRON,
    NONCES,
    SYMBOL,
    WALL_NS,
    armed_machine,
    binding,
    boot,
    ceremony,
    challenged,
    evidence,
    foreign,
    level_set,
    permit,
    reconciled,
    situation,
    wish,
)

from interlock.domain.errors import UsageError
from interlock.gate import arming, records
from interlock.gate.arming import Arming, Challenged, LiveGrant, Machine, Minted, Phase, phase, step
from interlock.gate.ceremony import ask
from interlock.gate.clock_watch import ClockFault, ClockReading, SkewDenial, SkewSample, begin, observe, skew_denial
from interlock.gate.interlocks import InterlockRule, interlock_records
from interlock.gate.lattice import (
    MOST_TRIPS_COUNTED,
    Hold,
    Kill,
    Lattice,
    Trip,
    TripTimes,
    apply,
    clear_latch,
    common_level,
    effective_level,
    raise_level,
    refuse_nonce,
    trip_times,
)
from interlock.gate.permission import Denial, May, Permission, permission, warnings_due
from interlock.gate.records import Endpoint, Level, Purpose, Scope
from interlock.gate.refusal import Refusal
from interlock.gate.state import GateState
from interlock.gate.verbs import LEVEL_OF, SELF_CLEARING, Cause, lower, rank

S = 1_000_000_000
MINUTE = 60_000_000_000
HOUR = 3_600_000_000_000

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

BLIND = {Cause.NO_CONSISTENT_CUT, Cause.VIOLATION, Cause.CHECKER_SILENT, Cause.CLOCK}
"""It is not known what there is: nothing but cancels."""


@pytest.mark.parametrize("cause", list(Cause))
def test_each_cause_holds_down_to_the_level_of_its_kind(cause: Cause) -> None:
    expected = Level.HALT if cause in INTEGRITY else Level.CANCEL_ONLY if cause in BLIND else Level.REDUCE_ONLY
    assert LEVEL_OF[cause] is expected


def test_which_causes_clear_themselves() -> None:
    assert (
        frozenset(
            {
                Cause.FEED_STALE,
                Cause.RECONNECT,
                Cause.CLOCK,
                Cause.RATE_LIMIT,
                Cause.CHECKER_SILENT,
                Cause.SENTINEL_SILENT,
                Cause.DISK_ROOM,
            }
        )
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


# Holds, and what a person may raise


def tripped(subject: str, level: Level, boot_ns: int) -> records.InterlockTripped:
    return records.InterlockTripped(boot_ns=boot_ns, name="feed_stale", scope=Scope.SYMBOL, subject=subject, level=level, reason="old")


def latched(name: str, scope: Scope = Scope.ALL, subject: str = "") -> records.LatchSet:
    return records.LatchSet(boot_ns=5, name=name, scope=scope, subject=subject, level=Level.HALT, reason="r", actor="gate")


def folded(*given: records.Record) -> Lattice:
    state = Lattice()
    for record in given:
        state = apply(state, record)
    return state


def running() -> Lattice:
    return folded(boot(), reconciled(), level_set(Level.RUN))


def test_an_interlock_that_goes_deeper_leaves_those_of_others_and_stands_once() -> None:
    """The trip of another symbol must not be lost with the old one, nor the old one stay beside the new."""
    state = running()
    for record in (
        tripped("bybit/BTCUSDT", Level.REDUCE_ONLY, 7),
        tripped("bybit/ETHUSDT", Level.REDUCE_ONLY, 8),
        tripped("bybit/BTCUSDT", Level.HALT, 9),
    ):
        state = apply(state, record)
    assert state.trips == (
        Trip("feed_stale", Scope.SYMBOL, "bybit/BTCUSDT", Level.HALT, 7),
        Trip("feed_stale", Scope.SYMBOL, "bybit/ETHUSDT", Level.REDUCE_ONLY, 8),
    )
    levels = [effective_level(state, symbol=s, strategy="", account="", order="") for s in ("bybit/BTCUSDT", "bybit/ETHUSDT", "bybit/X")]
    assert levels == [Level.HALT, Level.REDUCE_ONLY, Level.RUN]


@pytest.mark.parametrize(("later_ns", "kept"), [(HOUR - 1, (7, 7 + HOUR - 1)), (HOUR, (7 + HOUR,)), (HOUR + 1, (7 + HOUR + 1,))])
def test_trips_are_remembered_for_less_than_an_hour(later_ns: int, kept: tuple[int, ...]) -> None:
    cleared = records.InterlockCleared(boot_ns=8, name="feed_stale", scope=Scope.SYMBOL, subject=SYMBOL)
    state = running()
    for record in (tripped(SYMBOL, Level.REDUCE_ONLY, 7), cleared, tripped(SYMBOL, Level.REDUCE_ONLY, 7 + later_ns)):
        state = apply(state, record)
    assert trip_times(state, "feed_stale", Scope.SYMBOL, SYMBOL) == kept


@pytest.mark.parametrize(("trips", "fits"), [(32, True), (33, False)])
def test_no_rule_asks_for_more_trips_than_the_32_that_are_remembered(trips: int, fits: bool) -> None:
    def make() -> InterlockRule:
        return InterlockRule(cause=Cause.FEED_STALE, quarantine_ns=1, latch_at_trips_an_hour=trips, latch_after_ns=2)

    if fits:
        assert make().latch_at_trips_an_hour == trips
    else:
        with pytest.raises(UsageError, match="from 2 to 32"):
            make()


@pytest.mark.parametrize(
    ("scope", "subject", "level"),
    [(Scope.ALL, "", Level.HALT), (Scope.ALL, "bybit/BTCUSDT", Level.HALT), (Scope.SYMBOL, "bybit/BTCUSDT", Level.RUN)],
)
def test_a_latch_for_all_holds_for_all_whatever_subject_it_names(scope: Scope, subject: str, level: Level) -> None:
    state = apply(running(), latched("overfill", scope, subject))
    assert common_level(state) is level
    assert effective_level(state, symbol="bybit/ETHUSDT", strategy="making", account="desk", order="cid") is level


@pytest.mark.parametrize(
    ("accounts", "explained", "missing"),
    [
        (("bybit/desk",), ("desk",), None),
        (("bybit/desk", "bybit/spare"), ("desk", "spare"), None),
        (("bybit/desk", "bybit/spare"), ("desk",), "bybit/spare"),
        (("bybit/desk", "bybit/spare"), (), "bybit/desk, bybit/spare"),
        ((), (), "any account"),
        ((), ("desk",), None),
    ],
)
def test_every_account_and_at_least_one_is_explained_before_a_raise(
    accounts: tuple[str, ...], explained: tuple[str, ...], missing: str | None
) -> None:
    """One account of two, or none of none, is not all: what is at the venue might be anything."""
    state = apply(Lattice(), msgspec.structs.replace(boot(), accounts=accounts))
    for account in explained:
        state = apply(state, reconciled(account=account))
    asked = raise_level(state, Level.RUN, actor="ann", reason="r", seen_version=state.version, nonce=NONCES[0], boot_ns=9)
    base = apply(state, level_set(Level.RUN)).base
    if missing is None:
        assert base is Level.RUN
        assert isinstance(asked, records.LevelSet)
    else:
        assert base is Level.HALT
        assert isinstance(asked, Refusal)
        assert asked.rule == "not_reconciled"
        assert f"a reconciliation of {missing} in this process life" in asked.message


def test_an_account_with_a_difference_is_no_longer_among_the_reconciled() -> None:
    state, desk = running(), frozenset({("bybit", "desk")})
    assert state.reconciled == desk
    wrong = apply(state, reconciled(False))
    assert (wrong.reconciled, wrong.unexplained) == (frozenset(), desk)
    right = apply(wrong, reconciled())
    assert (right.reconciled, right.unexplained) == (desk, frozenset())


@pytest.mark.parametrize("nonce", ["0" * 31 + "g", "g" * 31 + "0", "0" * 31 + "A", "0" * 31, ""])
def test_a_nonce_is_hexadecimal_throughout(nonce: str) -> None:
    assert refuse_nonce("0" * 31 + "a", frozenset()) is None
    refused = refuse_nonce(nonce, frozenset())
    assert refused is not None
    assert refused.rule == "nonce_malformed"


def test_one_of_two_latches_can_be_cleared() -> None:
    state = apply(apply(running(), latched("overfill")), latched("loss"))
    asked = clear_latch(state, "loss", Scope.ALL, "", actor="ann", seen_version=state.version, nonce=NONCES[1], boot_ns=9)
    assert isinstance(asked, records.LatchCleared)
    assert apply(state, asked).latches == (Hold("overfill", Scope.ALL, "", Level.HALT),)


def test_a_kill_that_is_requested_again_leaves_the_state_that_a_person_saw() -> None:
    request = records.KillRequested(boot_ns=BOOT_NS, source="ann", wall_ns=WALL_NS)
    requested = apply(running(), request)
    assert requested.version > running().version
    assert apply(requested, request) == requested
    effective = apply(requested, records.KillEffective(boot_ns=BOOT_NS))
    assert (effective.kill, effective.version > requested.version) == (Kill.EFFECTIVE, True)


def test_the_version_counts_changes_one_by_one_from_nothing() -> None:
    """An old journal must fold to the state hash that it had, and the version is part of that."""
    versions = [Lattice().version]
    state = Lattice()
    for record in (boot(), reconciled(), level_set(Level.RUN), latched("loss"), latched("loss"), boot("life-b")):
        state = apply(state, record)
        versions.append(state.version)
    assert versions == [0, 1, 2, 3, 4, 4, 5]


ARMINGS: dict[str, object] = {
    "incarnation": "life-a",
    "killed": True,
    "armed": "g",
    "purpose": Purpose.DRILL,
    "spent_by": "c",
    "ended": "asked",
    "mandate_over": "kill",
    "symbols_out": frozenset({SYMBOL}),
    "symbols_over": frozenset({SYMBOL}),
    "unexplained": frozenset({("bybit", "desk")}),
    "used": frozenset({"g"}),
}
LATTICES: dict[str, object] = {
    "base": Level.RUN,
    "kill": Kill.REQUESTED,
    "latches": (Hold("loss", Scope.ALL, "", Level.HALT),),
    "trips": (Trip("clock", Scope.ALL, "", Level.HALT, 1),),
    "tripped": (TripTimes("clock", Scope.ALL, "", (1,)),),
    "reconciled": frozenset({("bybit", "desk")}),
    "unexplained": frozenset({("bybit", "desk")}),
    "nonces": frozenset({"n"}),
    "accounts": frozenset({"bybit/desk"}),
    "version": 1,
}


def test_states_that_differ_anywhere_in_arming_or_levels_have_different_digests() -> None:
    """By its digest a snapshot is believed; a part that were not in it could come back as something else."""
    assert set(ARMINGS) == set(Arming.__struct_fields__)
    assert set(LATTICES) == set(Lattice.__struct_fields__)
    machines = [
        Machine(),
        *(Machine(arming=msgspec.structs.replace(Arming(), **{name: value})) for name, value in ARMINGS.items()),
        *(Machine(lattice=msgspec.structs.replace(Lattice(), **{name: value})) for name, value in LATTICES.items()),
    ]
    digests = set()
    for machine in machines:
        state = GateState(lc.SHEET)
        state.machine = machine
        digests.add(state.digest())
    assert len(digests) == len(machines)
    again = GateState(lc.SHEET)
    assert again.digest() in digests, "and equal states have the same"


# The fold of grants


def disarmed(**parts: object) -> records.Disarmed:
    return records.Disarmed(boot_ns=BOOT_NS, **{"reason": "asked", "actor": "ann", **parts})  # type: ignore[arg-type]


KILL = records.KillRequested(boot_ns=BOOT_NS, source="ann", wall_ns=WALL_NS)


def waiting_machine() -> tuple[Machine, Challenged, Minted]:
    """A machine at RUN whose challenge waits for its answer, and the answer."""
    asked, minted = ceremony()
    machine = Machine()
    for event in (boot(), reconciled(), level_set(Level.RUN), asked):
        machine = step(machine, event)
    return machine, asked, minted


def asks(machine: Machine, symbol: str = SYMBOL, client_id: str = "", now: int = BOOT_NS, **parts: object) -> Permission:
    bound = binding(**parts)  # type: ignore[arg-type]
    return permission(machine.live, machine.arming, Level.RUN, now, bound, symbol, read_only=False, client_id=client_id)


def held(machine: Machine, **fields: object) -> Machine:
    """The same grant beside a fold that says something else than an honest one: what is compared must not lean on the other."""
    return Machine(arming=msgspec.structs.replace(machine.arming, **fields), lattice=machine.lattice, live=machine.live)


def test_a_tolerated_stranger_ends_no_grant_in_the_fold() -> None:
    state = armed_machine()[0].arming
    assert arming.apply(state, foreign(tolerated=True)) is state
    assert arming.apply(state, foreign()).mandate_over == "foreign_activity"


def test_a_record_of_a_grant_without_a_name_leaves_the_grant_that_stands() -> None:
    machine, minted = armed_machine()
    grant = minted.record.grant

    def armed_by(grant_id: str) -> str:
        record = msgspec.structs.replace(minted.record, grant=msgspec.structs.replace(grant, grant_id=grant_id))
        return arming.apply(machine.arming, record).armed

    assert armed_by("") == grant.grant_id
    assert armed_by("another") == "another"


@pytest.mark.parametrize(
    "record",
    [
        disarmed(),
        disarmed(mandate_ends=True),
        foreign(),
        KILL,
        records.KillEffective(boot_ns=BOOT_NS),
    ],
)
def test_without_a_grant_there_is_nothing_to_end(record: records.Record) -> None:
    before = arming.apply(Arming(), boot())
    after = arming.apply(before, record)
    assert (after.ended, after.mandate_over) == ("", "")
    armed = arming.apply(armed_machine()[0].arming, record)
    assert armed.ended


def test_a_grant_ends_for_the_first_reason_and_its_mandate_for_its_own_first() -> None:
    state = armed_machine()[0].arming
    reasons = []
    for record in (
        disarmed(reason="clock_loop_gap"),
        disarmed(reason="asked"),
        disarmed(reason="", mandate_ends=True),
        foreign(),
        KILL,
    ):
        state = arming.apply(state, record)
        reasons.append((state.ended, state.mandate_over))
    assert reasons == [("clock_loop_gap", "")] * 2 + [("clock_loop_gap", "disarmed")] * 3


def test_after_a_kill_no_record_of_a_grant_arms() -> None:
    """A kill ends a life: the record of a grant behind it is none that could be answered."""
    state = Arming()
    for record in (boot(), reconciled(True)):
        state = arming.apply(state, record)
    _, minted = ceremony()
    assert arming.apply(state, minted.record).armed
    killed = arming.apply(state, records.KillEffective(boot_ns=BOOT_NS))
    assert not arming.apply(killed, minted.record).armed


def test_a_grant_to_trade_is_not_spent_by_its_permits() -> None:
    machine, minted = armed_machine()
    permitted = step(machine, permit("cid", minted.record.grant.grant_id))
    assert permitted.arming == machine.arming


def test_the_mandates_of_one_symbol_after_the_other_end() -> None:
    machine, _ = armed_machine()
    for symbol in (SYMBOL, "bybit/ETHUSDT"):
        machine = step(machine, records.Disarmed(boot_ns=BOOT_NS, reason="r", actor="ann", symbol=symbol, mandate_ends=True))
    assert machine.arming.symbols_over == {SYMBOL, "bybit/ETHUSDT"}


def test_what_ends_grant_and_mandate_at_once_is_named_for_both() -> None:
    after = arming.apply(armed_machine()[0].arming, foreign())
    assert (after.ended, after.mandate_over) == ("foreign_activity", "foreign_activity")


@pytest.mark.parametrize(("reason", "told"), [("clock_suspended", "clock_suspended"), ("", "disarmed")])
def test_a_drill_that_is_ended_says_why(reason: str, told: str) -> None:
    after = arming.apply(armed_machine(**DRILL)[0].arming, disarmed(reason=reason))
    assert (after.ended, after.mandate_over) == (told, told)


def test_a_challenge_is_not_put_twice_though_another_came_between() -> None:
    """Two answers to one challenge would be two chances to guess, and two grants of one name."""
    machine, asked, minted = waiting_machine()
    between = challenged(nonce=NONCES[6])
    machine = step(machine, between)
    assert machine.challenge == between.challenge
    again = step(machine, asked)
    assert again.challenge is None
    assert step(again, minted).live is None


@pytest.mark.parametrize("record", [boot("life-a"), boot("life-b"), KILL, records.KillEffective(boot_ns=BOOT_NS)])
def test_no_challenge_outlives_its_process_life_or_a_kill(record: records.Record) -> None:
    machine, _, _ = waiting_machine()
    assert phase(machine, BOOT_NS) is Phase.CHALLENGED
    assert step(machine, records.Tick(boot_ns=BOOT_NS, wall_ns=WALL_NS)).challenge == machine.challenge
    after = step(machine, record)
    assert after.challenge is None
    assert phase(after, BOOT_NS) is (Phase.DISARMED if isinstance(record, records.Boot) else Phase.KILLED)


def test_a_mint_is_for_the_cap_the_symbols_and_the_times_that_are_on_record() -> None:
    """A grant that were wider than its challenge or its record would let more through than a person agreed to, or than an auditor reads."""
    machine, _, minted = waiting_machine()
    assert step(machine, minted).live is minted.live
    grant = minted.record.grant
    richer = msgspec.structs.replace(grant, cap_usd=grant.cap_usd + 1)
    wider = msgspec.structs.replace(grant, binding=binding(symbols=(*grant.binding.symbols, ("bybit", "XRPUSDT", "m3"))))
    longer = msgspec.structs.replace(grant, expires_boot_ns=grant.expires_boot_ns + 1)
    refused = {
        "cap": Minted(LiveGrant(richer), msgspec.structs.replace(minted.record, grant=richer)),
        "symbols": Minted(LiveGrant(wider), msgspec.structs.replace(minted.record, grant=wider)),
        "record": Minted(LiveGrant(longer), minted.record),
    }
    for name, made in refused.items():
        after = step(machine, made)
        assert (after.live, after.arming.armed) == (None, ""), name


def drilling() -> tuple[Machine, Minted]:
    """A machine at RUN whose challenge is for a drill, and the right answer."""
    asked, minted = ceremony(**DRILL)
    machine = Machine()
    for event in (boot(), reconciled(), level_set(Level.RUN), asked):
        machine = step(machine, event)
    return machine, minted


@pytest.mark.parametrize(
    ("bent", "mints"),
    [
        ({}, True),
        ({"expires_boot_ns": BOOT_NS + 1, "mandate_until_boot_ns": BOOT_NS + 1}, True),
        ({"expires_boot_ns": BOOT_NS, "mandate_until_boot_ns": BOOT_NS}, False),
        ({"purpose": Purpose.TRADE}, False),
    ],
)
def test_the_challenge_of_a_drill_makes_a_drill_that_lives(bent: dict[str, object], mints: bool) -> None:
    machine, minted = drilling()
    grant = msgspec.structs.replace(minted.record.grant, **bent)
    made = Minted(LiveGrant(grant), msgspec.structs.replace(minted.record, grant=grant))
    assert step(machine, made).live is (made.live if mints else None)


# What an order may do


def test_a_grant_without_a_name_is_none_where_the_fold_knows_of_none() -> None:
    _, minted = armed_machine()
    nameless = LiveGrant(msgspec.structs.replace(minted.record.grant, grant_id=""))
    nothing = arming.apply(Arming(), boot())
    named = Machine(arming=msgspec.structs.replace(nothing, armed=minted.live.grant.grant_id), live=minted.live)
    assert asks(named).may is May.NEW_RISK
    assert asks(Machine(arming=nothing, live=nameless)) == Permission(May.NOTHING, Denial.NOT_ARMED)


@pytest.mark.parametrize(
    ("of_the_grant", "in_the_fold", "more"),
    [
        ({}, Purpose.TRADE, May.REDUCE),
        ({}, Purpose.DRILL, May.NOTHING),
        (DRILL, Purpose.TRADE, May.NOTHING),
        (DRILL, Purpose.DRILL, May.NOTHING),
    ],
)
def test_what_either_side_calls_a_drill_leaves_nothing_to_reduce(of_the_grant: dict[str, Any], in_the_fold: Purpose, more: May) -> None:
    machine, _ = armed_machine(**of_the_grant)
    assert asks(held(machine, purpose=in_the_fold)).may is May.NEW_RISK
    assert asks(held(machine, purpose=in_the_fold, ended="asked")) == Permission(more, Denial.DISARMED)


def test_a_drill_that_is_not_spent_refuses_no_order_by_its_name() -> None:
    machine, minted = armed_machine(**DRILL)
    assert asks(machine, client_id="order-1") == Permission(May.NEW_RISK, None)
    spent = step(machine, permit("order-2", minted.record.grant.grant_id))
    assert asks(spent, client_id="order-1") == Permission(May.NOTHING, Denial.DRILL_SPENT)


def test_an_order_whose_revision_is_not_named_is_the_first_one_and_no_amend() -> None:
    machine, _ = armed_machine(**DRILL)

    def may(**more: Any) -> Permission:
        return permission(machine.live, machine.arming, Level.RUN, BOOT_NS, binding(), SYMBOL, read_only=False, **more)

    assert may() == may(revision=0) == Permission(May.NEW_RISK, None)
    assert may(revision=1) == Permission(May.NOTHING, Denial.DRILL_AMEND)


def test_a_gate_that_wrote_no_boot_has_no_process_life_to_be_armed_in() -> None:
    """Nothing equals nothing, but it is no identity."""

    def ready(life: str) -> Machine:
        now = situation(binding=binding(incarnation=life))
        asked, minted = ceremony(now)
        machine = step(Machine(), boot(life)) if life else Machine()
        for event in (reconciled(), level_set(Level.RUN), asked, minted):
            machine = step(machine, event)
        return machine

    assert asks(ready("life-a"), incarnation="life-a") == Permission(May.NEW_RISK, None)
    assert asks(ready(""), incarnation="") == Permission(May.NOTHING, Denial.OTHER_INCARNATION)


def test_a_grant_of_another_life_is_refused_though_fold_and_moment_agree() -> None:
    machine, _ = armed_machine()
    assert asks(held(machine, incarnation="life-a"), incarnation="life-a") == Permission(May.NEW_RISK, None)
    assert asks(held(machine, incarnation="life-b"), incarnation="life-b") == Permission(May.NOTHING, Denial.OTHER_INCARNATION)


def test_warnings_come_at_the_minute_exactly() -> None:
    _, minted = armed_machine()
    end = minted.record.grant.expires_boot_ns
    for minutes in (30, 10, 2):
        at = end - minutes * MINUTE
        assert warnings_due(minted.live, at - 1, at) == (minutes,)
        assert warnings_due(minted.live, at - 2, at - 1) == ()
        assert warnings_due(minted.live, at, at + 1) == ()


# The ceremony


def refusals(asked: object) -> dict[str, str]:
    return {refusal.rule: refusal.message for refusal in getattr(asked, "refusals", ())}


@pytest.mark.parametrize(("lifetime_ns", "fits"), [(1, True), (86_400 * S, True), (86_400 * S + 1, False), (0, False)])
def test_a_grant_lives_24_hours_at_most(lifetime_ns: int, fits: bool) -> None:
    asked = ask(wish(lifetime_ns=lifetime_ns), ENVIRON, situation(), NONCES[5])
    assert set(refusals(asked)) == (set() if fits else {"lifetime"})


def test_read_only_is_told_as_it_was_found() -> None:
    said = Refusal("read_only", "found it unset")
    assert refusals(ask(wish(), ENVIRON, situation(read_only_said=said), NONCES[5])) == {}
    assert refusals(ask(wish(), ENVIRON, situation(read_only=True, read_only_said=said), NONCES[5])) == {"read_only": "found it unset"}
    generic = refusals(ask(wish(), ENVIRON, situation(read_only=True), NONCES[5]))
    assert "READ_ONLY_ENFORCED=false" in generic["read_only"]


@pytest.mark.parametrize(
    ("endpoints", "found"),
    [
        ((Endpoint.LOOPBACK,), None),
        ((Endpoint.TESTNET, Endpoint.LOOPBACK), "loopback, testnet"),
        ((Endpoint.TESTNET,), "testnet"),
        ((), "none"),
    ],
)
def test_endpoints_that_do_not_fit_are_named(endpoints: tuple[Endpoint, ...], found: str | None) -> None:
    told = refusals(ask(wish(), ENVIRON, situation(endpoints=endpoints, evidence=evidence()), NONCES[5]))
    if found is None:
        assert told == {}
    else:
        assert f"expected every order endpoint to be loopback, found {found}; choose one" in told["endpoints_mixed"]


@pytest.mark.parametrize(("cap", "least"), [("10", "9.99"), ("10", "10"), ("1000", "1000"), ("99.5", "99.5")])
def test_the_smallest_and_the_largest_cap_and_a_minimum_that_is_the_cap_fit(cap: str, least: str) -> None:
    environ = {**ENVIRON, "LIVE_MAX_NOTIONAL_USD": cap}

    def asked(minimum: Decimal) -> object:
        return ask(wish(), environ, situation(minimums={"bybit/BTCUSDT": minimum, "bybit/ETHUSDT": Decimal(5)}), NONCES[5])

    fitting = asked(Decimal(least))
    assert isinstance(fitting, Challenged)
    assert fitting.challenge.cap_usd == Decimal(cap)
    assert set(refusals(asked(Decimal(cap) + Decimal("0.01")))) == {"minimum_above_cap"}


@pytest.mark.parametrize("part", ["incarnation", "config", "build"])
def test_evidence_for_nothing_is_no_evidence_for_a_gate_without_a_name(part: str) -> None:
    def told(value: str) -> set[str]:
        parts: dict[str, Any] = {part: value}
        now = situation(binding=binding(**parts), evidence=evidence(**parts))
        return set(refusals(ask(wish(), ENVIRON, now, NONCES[5])))

    assert told("same") == set()
    assert told("") == {f"evidence_other_{part}"}


# Time


def reading(boot_ns: int, mono_ns: int | None = None, wall_ns: int | None = None) -> ClockReading:
    """So much after a beginning; what is not given keeps pace with the first."""
    return ClockReading(
        boot_ns=BOOT_NS + boot_ns,
        mono_ns=BOOT_NS + (boot_ns if mono_ns is None else mono_ns),
        wall_ns=WALL_NS + (boot_ns if wall_ns is None else wall_ns),
    )


@pytest.mark.parametrize(
    ("later", "faults"),
    [
        (reading(0), ()),
        (reading(-1, mono_ns=0), (ClockFault.WENT_BACK,)),
        (reading(0, mono_ns=-1), (ClockFault.WENT_BACK,)),
        (reading(0, mono_ns=S), ()),
        (reading(0, mono_ns=S + 1), (ClockFault.SUSPENDED,)),
    ],
)
def test_either_clock_of_the_host_may_stand_but_not_go_back(later: ClockReading, faults: tuple[ClockFault, ...]) -> None:
    assert observe(begin(reading(0)), later)[1] == faults


@pytest.mark.parametrize(("second_move_s", "faults"), [(65, ()), (60, (ClockFault.WALL_JUMPED,)), (55, (ClockFault.WALL_JUMPED,))])
def test_moves_of_the_wall_clock_add_up_to_a_jump_within_a_minute_and_no_longer(second_move_s: int, faults: tuple[ClockFault, ...]) -> None:
    """Two moves of 0.6 s: the first in the first turn, the second a minute or more after the beginning, or before that."""
    watch = begin(reading(0))
    for turn_s in range(5, second_move_s + 1, 5):
        moved_ns = 600_000_000 * (2 if turn_s == second_move_s else 1)
        watch, found = observe(watch, reading(turn_s * S, wall_ns=turn_s * S + moved_ns))
        assert found == (faults if turn_s == second_move_s else ())


@pytest.mark.parametrize(
    ("ahead_ns", "denial"),
    [
        (250_000_000, None),
        (250_000_001, SkewDenial.OUTSIDE),
        (-250_000_000, None),
        (-250_000_001, SkewDenial.OUTSIDE),
    ],
)
def test_the_clock_of_a_venue_is_a_quarter_of_a_second_off_at_most(ahead_ns: int, denial: SkewDenial | None) -> None:
    sample = SkewSample(asked_wall_ns=WALL_NS, venue_ns=WALL_NS + ahead_ns, round_trip_ns=0, boot_ns=BOOT_NS)
    assert skew_denial(sample, receive_window_ns=S, now_boot_ns=BOOT_NS, max_age_ns=S) is denial
