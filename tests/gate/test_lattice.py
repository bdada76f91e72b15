"""Levels, latches and the table of verbs: automation only lowers, a person raises, a latch outlives the process."""

import itertools
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.arming_world import NONCES, boot, ceremony, foreign, journals, level_set, lowering, reconciled

from interlock.domain.orders import OrderState
from interlock.gate import records
from interlock.gate.lattice import (
    Kill,
    Lattice,
    apply,
    clear_latch,
    common_level,
    effective_level,
    freezes_by_cause,
    raise_level,
)
from interlock.gate.records import Level, LevelSet, Record, Scope
from interlock.gate.refusal import Refusal
from interlock.gate.verbs import LEVEL_OF, SELF_CLEARING, Cause, Process, Verb, allows, latch_for, lower, rank

PLACES = [
    dict(zip(("symbol", "strategy", "account", "order"), parts, strict=True))
    for parts in itertools.product(("bybit/BTCUSDT", "other"), ("loss", ""), ("desk", "other"), ("cid",))
]


def fold(*events: Record) -> Lattice:
    state = Lattice()
    for record in events:
        state = apply(state, record)
    return state


def running() -> Lattice:
    return fold(boot(), reconciled(), level_set(Level.RUN))


def at(state: Lattice, **parts: str) -> Level:
    return effective_level(state, **{"symbol": "bybit/BTCUSDT", "strategy": "making", "account": "desk", "order": "cid", **parts})


def latch(scope: Scope = Scope.ALL, subject: str = "", level: Level = Level.HALT, name: str = "overfill") -> records.LatchSet:
    return records.LatchSet(boot_ns=5, name=name, scope=scope, subject=subject, level=level, reason="r", actor="gate")


def cleared(state: Lattice, name: str = "overfill", **parts: object) -> records.LatchCleared:
    fields: dict[str, object] = {
        "scope": Scope.ALL,
        "subject": "",
        "actor": "ann",
        "nonce": NONCES[9],
        "state_version": state.version,
        **parts,
    }
    return records.LatchCleared(boot_ns=6, name=name, **fields)  # type: ignore[arg-type]


def trip(
    scope: Scope = Scope.SYMBOL, subject: str = "bybit/BTCUSDT", level: Level = Level.REDUCE_ONLY, boot_ns: int = 7
) -> records.InterlockTripped:
    return records.InterlockTripped(boot_ns=boot_ns, name="feed_stale", scope=scope, subject=subject, level=level, reason="r")


UNTRIP = records.InterlockCleared(boot_ns=8, name="feed_stale", scope=Scope.SYMBOL, subject="bybit/BTCUSDT")

# The table of verbs, written out a second time

GATE_MAY = {
    Level.RUN: {Verb.NEW_RISK, Verb.REDUCE, Verb.CANCEL_OWN, Verb.READ},
    Level.REDUCE_ONLY: {Verb.REDUCE, Verb.CANCEL_OWN, Verb.READ},
    Level.CANCEL_ONLY: {Verb.CANCEL_OWN, Verb.READ},
    Level.HALT: {Verb.CANCEL_OWN, Verb.READ},
}
SENTINEL_MAY = {Verb.CANCEL_OWN, Verb.CANCEL_ALL, Verb.READ}


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("level", Level)
def test_every_cell_of_the_table(level: Level, killed: bool, verb: Verb) -> None:
    assert allows(level, killed, verb) == (verb is Verb.READ if killed else verb in GATE_MAY[level])
    assert allows(level, killed, verb, Process.SENTINEL) == (verb in SENTINEL_MAY)


def test_what_is_in_no_table_is_not_allowed() -> None:
    assert allows(Level.RUN, False, Verb.NEW_RISK)
    assert not allows("RUN", False, Verb.NEW_RISK)  # type: ignore[arg-type]
    assert not allows(Level.RUN, False, "everything")  # type: ignore[arg-type]
    assert not allows(Level.RUN, None, Verb.NEW_RISK)  # type: ignore[arg-type]
    assert not allows(Level.RUN, False, Verb.NEW_RISK, "console")  # type: ignore[arg-type]
    assert rank("go") == 0  # type: ignore[arg-type]
    assert lower(Level.RUN, "go") is Level.HALT  # type: ignore[arg-type]
    assert [rank(level) for level in Level] == [3, 2, 1, 0]


def test_every_cause_has_a_level() -> None:
    assert set(LEVEL_OF) == set(Cause)
    assert set(Cause) >= SELF_CLEARING
    assert all(level is not Level.RUN for level in LEVEL_OF.values())
    for cause in Cause:
        record = latch_for(cause, scope=Scope.ALL, subject="", reason="r", actor="gate", boot_ns=1)
        assert at(fold(boot(), reconciled(), level_set(Level.RUN), record)) is LEVEL_OF[cause]


# What holds for an order


@pytest.mark.parametrize(
    ("scope", "subject", "elsewhere"),
    [
        (Scope.SYMBOL, "bybit/BTCUSDT", {"symbol": "bybit/ETHUSDT"}),
        (Scope.STRATEGY, "making", {"strategy": "arbitrage"}),
        (Scope.ACCOUNT, "desk", {"account": "other"}),
        (Scope.ORDER, "cid", {"order": "cid2"}),
    ],
)
def test_a_latch_holds_for_its_scope(scope: Scope, subject: str, elsewhere: dict[str, str]) -> None:
    state = apply(running(), latch(scope, subject, Level.REDUCE_ONLY))
    assert at(running()) is Level.RUN
    assert at(state) is Level.REDUCE_ONLY
    assert at(state, **elsewhere) is Level.RUN
    assert at(state, **dict.fromkeys(elsewhere, "")) is Level.REDUCE_ONLY, "where is not known, it holds"
    assert common_level(state) is Level.RUN
    nameless = apply(running(), latch(scope, "", Level.REDUCE_ONLY))
    assert at(nameless, **elsewhere) is Level.REDUCE_ONLY, "a latch without a subject holds for all"
    assert common_level(nameless) is Level.REDUCE_ONLY


def test_the_lowest_counts() -> None:
    state = fold(boot(), reconciled(), level_set(Level.RUN), latch(level=Level.REDUCE_ONLY), trip(level=Level.CANCEL_ONLY))
    assert at(state) is Level.CANCEL_ONLY
    assert at(state, symbol="other") is Level.REDUCE_ONLY
    assert at(apply(state, UNTRIP)) is Level.REDUCE_ONLY
    assert at(apply(state, level_set(Level.HALT, False, ""))) is Level.HALT


def test_a_level_that_is_none_halts() -> None:
    strange = msgspec.structs.replace(level_set(Level.HALT, False, ""), level="go")
    assert apply(running(), strange).base is Level.HALT


def test_a_repeated_latch_changes_nothing_and_a_milder_one_neither() -> None:
    once = apply(running(), latch(level=Level.CANCEL_ONLY))
    assert apply(once, latch(level=Level.CANCEL_ONLY)) is once
    assert apply(once, latch(level=Level.REDUCE_ONLY)) is once
    deeper = apply(once, latch(level=Level.HALT))
    assert at(deeper) is Level.HALT
    assert len(deeper.latches) == 1
    assert len(apply(once, latch(name="loss")).latches) == 2


def test_a_repeated_trip_keeps_its_beginning() -> None:
    once = apply(running(), trip())
    assert apply(once, trip(boot_ns=9)) is once
    deeper = apply(apply(once, trip(subject="other")), trip(level=Level.HALT, boot_ns=9))
    assert at(deeper) is Level.HALT
    assert {t.since_boot_ns for t in deeper.trips} == {7}
    assert apply(running(), UNTRIP) == running()


def test_latches_outlive_a_boot_and_interlocks_do_not() -> None:
    state = fold(boot(), reconciled(), level_set(Level.RUN), latch(), trip())
    later = apply(state, boot("life-b"))
    assert later.latches == state.latches
    assert later.trips == ()
    assert later.base is Level.HALT
    up = apply(apply(later, reconciled()), level_set(Level.RUN, nonce=NONCES[8]))
    assert up.base is Level.RUN
    assert at(up) is Level.HALT
    assert at(apply(up, cleared(up))) is Level.RUN


# Raising


@pytest.mark.parametrize(
    "record",
    [
        level_set(Level.RUN, human=False, nonce=NONCES[1]),
        level_set(Level.RUN, nonce=""),
        level_set(Level.RUN, nonce=NONCES[0]),
        level_set(Level.RUN, nonce=NONCES[1], actor=""),
        msgspec.structs.replace(level_set(Level.RUN, nonce=NONCES[1]), human=1),
        level_set(Level.REDUCE_ONLY, human=False, nonce=""),
        level_set(Level.HALT, nonce=NONCES[1]),
    ],
)
def test_only_a_person_with_a_new_nonce_raises(record: LevelSet) -> None:
    halted = apply(running(), level_set(Level.HALT, False, ""))
    assert apply(halted, level_set(Level.RUN, nonce=NONCES[1])).base is Level.RUN
    assert apply(halted, record) == halted


def test_nothing_rises_before_the_accounts_are_explained() -> None:
    assert fold(boot(), level_set(Level.RUN)).base is Level.HALT
    assert fold(boot(), reconciled(), reconciled(False), level_set(Level.RUN)).base is Level.HALT
    assert fold(boot(), reconciled(), reconciled(False, "other"), level_set(Level.RUN)).base is Level.HALT
    assert fold(boot(), reconciled(False), reconciled(), level_set(Level.RUN)).base is Level.RUN
    assert fold(boot(), reconciled(), boot("life-b"), level_set(Level.RUN)).base is Level.HALT
    assert apply(running(), reconciled()) == running()


@pytest.mark.parametrize(
    "parts",
    [
        {"actor": ""},
        {"nonce": ""},
        {"nonce": NONCES[0]},
        {"state_version": 0},
        {"name": "loss"},
        {"scope": Scope.SYMBOL},
        {"subject": "desk"},
    ],
)
def test_only_a_person_who_saw_the_state_clears_a_latch(parts: dict[str, object]) -> None:
    state = apply(running(), latch())
    assert at(apply(state, cleared(state))) is Level.RUN
    assert apply(state, cleared(state, **parts)) == state  # type: ignore[arg-type]
    changed = apply(state, latch(name="loss"))
    assert apply(changed, cleared(state)) == changed, "what changed meanwhile was not seen"


def test_a_person_is_told_why_not() -> None:
    ready = apply(running(), level_set(Level.HALT, False, ""))
    good = {"actor": "ann", "reason": "r", "seen_version": ready.version, "nonce": NONCES[1], "boot_ns": 9}

    def asked(state: Lattice, **parts: object) -> str:
        outcome = raise_level(state, Level.RUN, **{**good, **parts})  # type: ignore[arg-type]
        return outcome.rule if isinstance(outcome, Refusal) else "raised"

    record = raise_level(ready, Level.RUN, **good)  # type: ignore[arg-type]
    assert isinstance(record, LevelSet)
    assert apply(ready, record).base is Level.RUN
    assert asked(ready, seen_version=ready.version - 1) == "stale_version"
    assert asked(ready, nonce="1234") == "nonce_malformed"
    assert asked(ready, nonce=NONCES[0]) == "nonce_used"
    assert asked(ready, actor="") == "no_actor"
    assert asked(fold(boot())) == "not_reconciled"
    assert asked(apply(ready, reconciled(False))) == "unexplained"
    assert asked(apply(ready, records.KillRequested(boot_ns=1, source="ann", wall_ns=1))) == "killed"


def test_a_person_is_told_why_a_latch_stands() -> None:
    state = apply(running(), latch())
    good = {"actor": "ann", "seen_version": state.version, "nonce": NONCES[1], "boot_ns": 9}

    def asked(state: Lattice, name: str = "overfill", **parts: object) -> str:
        outcome = clear_latch(state, name, Scope.ALL, "", **{**good, **parts})  # type: ignore[arg-type]
        return outcome.rule if isinstance(outcome, Refusal) else "cleared"

    record = clear_latch(state, "overfill", Scope.ALL, "", **good)  # type: ignore[arg-type]
    assert isinstance(record, records.LatchCleared)
    assert at(apply(state, record)) is Level.RUN
    assert asked(state, "loss") == "no_such_latch"
    assert asked(state, seen_version=0) == "stale_version"
    assert asked(state, nonce=NONCES[0]) == "nonce_used"
    assert asked(state, actor="") == "no_actor"
    assert asked(apply(state, records.KillEffective(boot_ns=1))) == "killed"


def test_a_nonce_is_good_once_over_all_verbs() -> None:
    _, minted = ceremony(nonce=NONCES[1])
    released = records.Released(boot_ns=1, client_id="c", state=OrderState.FILLED, filled_lots=1, actor="ann", nonce=NONCES[1])
    adjusted = records.LedgerEvent(
        boot_ns=1,
        kind=records.LedgerKind.ADJUST,
        venue="bybit",
        account="desk",
        venue_id="1",
        currency="USDT",
        amount=Decimal(1),
        actor="ann",
        nonce=NONCES[1],
        venue_ns=1,
    )
    raised = level_set(Level.RUN, nonce=NONCES[1])
    assert fold(boot(), reconciled(), raised).base is Level.RUN
    for record in (minted.record, released, adjusted):
        assert fold(boot(), record, reconciled(), raised).base is Level.HALT
    state = fold(boot(), msgspec.structs.replace(released, nonce=""))
    assert state == fold(boot())


# The kill


def test_a_kill_is_final_in_its_life_and_latched_after_it() -> None:
    requested = apply(running(), records.KillRequested(boot_ns=1, source="ann", wall_ns=1))
    effective = apply(requested, records.KillEffective(boot_ns=1))
    assert (requested.kill, effective.kill) == (Kill.REQUESTED, Kill.EFFECTIVE)
    assert (requested.killed, effective.killed) == (False, True)
    for state in (requested, effective):
        assert at(state) is Level.HALT
        assert at(apply(state, level_set(Level.RUN, nonce=NONCES[1]))) is Level.HALT
        assert apply(state, cleared(state, "kill")) == state
    assert apply(effective, records.KillRequested(boot_ns=1, source="bob", wall_ns=1)) == effective
    later = fold(boot(), records.KillEffective(boot_ns=1), boot("life-b"), reconciled(), level_set(Level.RUN))
    assert later.kill is Kill.NONE
    assert at(later) is Level.HALT
    assert at(apply(later, cleared(later, "kill"))) is Level.RUN


def test_what_a_person_must_have_seen_moves_the_version() -> None:
    _, minted = ceremony()
    for record in (minted.record, foreign(), latch(), trip(), boot(), reconciled(False)):
        assert apply(running(), record).version > running().version
    for other in (records.Tick(boot_ns=1, wall_ns=1), level_set(Level.RUN, nonce=NONCES[1])):
        assert apply(running(), other) == running()


# Properties


@given(journals, lowering)
def test_automation_never_raises(journal: list[Record], record: Record) -> None:
    state = fold(*journal)
    after = apply(state, record)
    for place in PLACES:
        assert rank(effective_level(after, **place)) <= rank(effective_level(state, **place))
    assert after.version >= state.version
    assert after.nonces >= state.nonces


@given(journals)
def test_a_latch_stands_until_a_person_clears_it(journal: list[Record]) -> None:
    state = Lattice()
    for record in journal:
        after = apply(state, record)
        gone = {(h.name, h.scope, h.subject) for h in state.latches} - {(h.name, h.scope, h.subject) for h in after.latches}
        assert not gone or (isinstance(record, records.LatchCleared) and record.actor and record.nonce not in state.nonces)
        state = after
    assert state == fold(*journal)
    assert state.digest_parts() == fold(*journal).digest_parts()
    hash(state)


@given(st.permutations([latch(), latch(name="loss"), trip(), trip(subject="x"), latch(Scope.SYMBOL, "x")]))
def test_the_order_of_latches_does_not_show(order: list[Record]) -> None:
    assert fold(boot(), *order) == fold(boot(), *sorted(order, key=repr))


def test_freezes_are_counted_by_cause() -> None:
    records_ = [latch(), latch(), latch(name="loss", level=Level.REDUCE_ONLY), latch(name="loss"), boot(), latch()]
    assert freezes_by_cause(records_) == {"overfill": 1, "loss": 2}
    state = fold(*records_)
    assert freezes_by_cause([*records_, cleared(state), latch()]) == {"overfill": 2, "loss": 2}
    assert freezes_by_cause([]) == {}


def test_interlocks_are_freezes_too_and_one_that_becomes_a_latch_is_counted_once() -> None:
    assert freezes_by_cause([boot(), trip(), trip(), trip(subject="bybit/ETHUSDT")]) == {"feed_stale": 2}
    assert freezes_by_cause([boot(), trip(), UNTRIP]) == {"feed_stale": 1}
    assert freezes_by_cause([boot(), trip(), UNTRIP, trip(boot_ns=9)]) == {"feed_stale": 2}
    stays = latch(Scope.SYMBOL, "bybit/BTCUSDT", Level.REDUCE_ONLY, name="feed_stale")
    assert freezes_by_cause([boot(), trip(), stays, UNTRIP, trip(boot_ns=9)]) == {"feed_stale": 1}
    deeper = latch(Scope.SYMBOL, "bybit/BTCUSDT", Level.HALT, name="feed_stale")
    assert freezes_by_cause([boot(), trip(), deeper]) == {"feed_stale": 2}
    assert freezes_by_cause([boot(), trip(), boot(), trip()]) == {"feed_stale": 2}, "a boot forgets what is tripped, and not that it was"
