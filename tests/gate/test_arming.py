"""Arming: a grant lives in memory only, every boot disarms, and each thing that must be true for new risk is refused by its own name."""

import ast
import copy
import pickle
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from tests.gate.arming_world import (
    BOOT_NS,
    NONCES,
    SYMBOL,
    WALL_NS,
    armed_machine,
    binding,
    boot,
    ceremony,
    challenged,
    foreign,
    journals,
    level_set,
    reconciled,
    reply,
    situation,
)

import interlock.gate
from interlock.gate import arming, lattice, records
from interlock.gate.arming import (
    Arming,
    CeremonyFailed,
    Challenged,
    DrillMinted,
    DrillSpent,
    Event,
    LiveGrant,
    Machine,
    Minted,
    Phase,
    Purpose,
    phase,
    step,
)
from interlock.gate.ceremony import NS_PER_HOUR, answer
from interlock.gate.lattice import Lattice, effective_level
from interlock.gate.permission import NS_PER_MINUTE, Denial, May, Permission, drill_permission, permission, warnings_due
from interlock.gate.records import Endpoint, Level, Record


def asks(machine: Machine, now: int = BOOT_NS, symbol: str = SYMBOL, read_only: bool = False, **parts: object) -> Permission:
    level = effective_level(machine.lattice, symbol=symbol, strategy="making", account="desk", order="cid")
    return permission(machine.live, machine.arming, level, now, binding(**parts), symbol, read_only=read_only)  # type: ignore[arg-type]


def disarmed(**parts: object) -> records.Disarmed:
    return records.Disarmed(boot_ns=BOOT_NS, **{"reason": "asked", "actor": "ann", **parts})  # type: ignore[arg-type]


def kill_requested() -> records.KillRequested:
    return records.KillRequested(boot_ns=BOOT_NS, source="ann", wall_ns=WALL_NS)


# A journal arms nothing


@given(journals)
def test_any_journal_and_then_a_boot_is_disarmed_and_halted(journal: list[Record]) -> None:
    machine = Machine()
    folded, levels = Arming(), Lattice()
    for record in journal:
        machine = step(machine, record)
        folded, levels = arming.apply(folded, record), lattice.apply(levels, record)
        assert machine.live is None
        assert (machine.arming, machine.lattice) == (folded, levels)
        booted = step(machine, boot("life-c"))
        assert booted.arming == Arming(incarnation="life-c", used=folded.used)
        assert booted.lattice.base is Level.HALT
        assert phase(booted, BOOT_NS) is Phase.DISARMED
        assert asks(booted).may is May.NOTHING
    assert folded.digest_parts() == machine.arming.digest_parts()
    hash((folded, levels))


def test_a_boot_disarms_what_was_armed() -> None:
    machine, _ = armed_machine()
    assert asks(machine) == Permission(May.NEW_RISK, None)
    again = step(machine, boot("life-b"))
    assert again.live is None
    assert phase(again, BOOT_NS) is Phase.DISARMED
    assert asks(again) == Permission(May.NOTHING, Denial.NOT_ARMED)


def test_the_record_of_a_grant_read_back_arms_nothing() -> None:
    asked, minted = ceremony()
    live: tuple[Event, ...] = (boot(), reconciled(), level_set(Level.RUN), asked, minted)
    old: tuple[Event, ...] = (boot(), reconciled(), level_set(Level.RUN), asked, records.decode(records.encode(minted.record)))
    by_ceremony, by_record = Machine(), Machine()
    for event, read_back in zip(live, old, strict=True):
        by_ceremony, by_record = step(by_ceremony, event), step(by_record, read_back)
    assert by_ceremony.arming == by_record.arming
    assert by_ceremony.lattice == by_record.lattice
    assert asks(by_ceremony).may is May.NEW_RISK
    assert asks(by_record) == Permission(May.NOTHING, Denial.NOT_ARMED)
    # Nor does it when somebody kept the object of a grant that the fold says has ended, in this life or another.
    ended = step(by_ceremony, disarmed(mandate_ends=True))
    later: tuple[Record, ...] = (minted.record, boot("life-b"), boot("life-a"))
    for record in later:
        ended = step(ended, record)
        held = Machine(arming=ended.arming, lattice=by_ceremony.lattice, live=minted.live)
        assert asks(held).may is May.NOTHING


def test_the_record_of_a_grant_of_another_life_is_no_evidence_in_this() -> None:
    _, minted = ceremony()
    for life, armed in (("life-a", minted.record.grant.grant_id), ("life-b", "")):
        assert arming.apply(arming.apply(Arming(), boot(life)), minted.record).armed == armed


def test_a_living_grant_cannot_be_changed_copied_or_stored() -> None:
    _, minted = ceremony()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps, msgspec.msgpack.encode, msgspec.json.encode):
        with pytest.raises(TypeError):
            attempt(minted.live)
    with pytest.raises(AttributeError):
        minted.live.grant = minted.record.grant
    assert LiveGrant(minted.record.grant) != minted.live


def test_only_the_ceremony_makes_living_grants() -> None:
    assert interlock.gate.__file__ is not None
    package = Path(interlock.gate.__file__).parent.parent
    makers = {
        (path.relative_to(package).as_posix(), name)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for name in [getattr(node.func, "id", getattr(node.func, "attr", ""))]
        if name in ("LiveGrant", "LiveDrill", "Minted", "DrillMinted")
    }
    assert makers == {("gate/ceremony.py", name) for name in ("LiveGrant", "LiveDrill", "Minted", "DrillMinted")}


def test_a_mint_needs_the_challenge_that_it_answers() -> None:
    asked, minted = ceremony()
    ready = Machine()
    for event in (boot(), reconciled(), level_set(Level.RUN)):
        ready = step(ready, event)
    waiting = step(ready, asked)
    assert phase(waiting, BOOT_NS) is Phase.CHALLENGED
    assert phase(waiting, BOOT_NS + 120_000_000_000) is Phase.DISARMED
    assert step(waiting, minted).live is minted.live
    late = Minted(minted.live, msgspec.structs.replace(minted.record, boot_ns=BOOT_NS + 120_000_000_000))
    other = ceremony(nonce=NONCES[6])[1]
    failed = step(waiting, CeremonyFailed(()))
    refused: tuple[tuple[Machine, Minted], ...] = (
        (ready, minted),
        (waiting, late),
        (waiting, other),
        (waiting, Minted(minted.live, other.record)),
        (failed, minted),
        (step(waiting, boot("life-b")), minted),
        (step(waiting, kill_requested()), minted),
        (step(waiting, minted.record), minted),
    )
    for machine, answered in refused:
        after = step(machine, answered)
        assert after.live is None
        assert after.challenge is None
    # A challenge is put once, and never in another life or after a kill.
    assert step(failed, asked).challenge is None
    assert step(step(ready, boot("life-b")), asked).challenge is None
    assert step(step(ready, kill_requested()), asked).challenge is None
    # What is unexplained arms nothing, even with the right answer.
    assert step(step(waiting, reconciled(False)), minted).live is None


# What an order may do now

OTHER = [
    ({"incarnation": "life-b"}, Denial.OTHER_INCARNATION),
    ({"incarnation": ""}, Denial.OTHER_INCARNATION),
    ({"host": "host-b"}, Denial.OTHER_HOST),
    ({"account": "other"}, Denial.OTHER_ACCOUNT),
    ({"endpoint": Endpoint.REAL}, Denial.OTHER_ENDPOINT),
    ({"build": "b2"}, Denial.OTHER_BUILD),
    ({"config": "c2"}, Denial.OTHER_CONFIG),
    ({"strategy": "s2"}, Denial.OTHER_STRATEGY),
    ({"limits": "l2"}, Denial.OTHER_LIMITS),
    ({"symbols": (("bybit", "BTCUSDT", "m9"),)}, Denial.METADATA_CHANGED),
    ({"symbols": (("bybit", "ETHUSDT", "m2"),)}, Denial.SYMBOL_NOT_CONFIGURED),
]


@pytest.mark.parametrize(("parts", "denial"), OTHER)
def test_a_grant_for_anything_else_grants_nothing(parts: dict[str, object], denial: Denial) -> None:
    machine, _ = armed_machine()
    assert asks(machine).may is May.NEW_RISK
    assert asks(machine, BOOT_NS, SYMBOL, False, **parts) == Permission(May.NOTHING, denial)


def test_a_changed_symbol_leaves_the_others() -> None:
    machine, _ = armed_machine()
    changed = (("bybit", "BTCUSDT", "m1"), ("bybit", "ETHUSDT", "m9"))
    assert asks(machine, symbols=changed).may is May.NEW_RISK
    assert asks(machine, symbol="bybit/ETHUSDT", symbols=changed) == Permission(May.NOTHING, Denial.METADATA_CHANGED)
    assert asks(machine, symbol="bybit/ETHUSDT").may is May.NEW_RISK
    assert asks(machine, symbol="bybit/XRPUSDT") == Permission(May.NOTHING, Denial.SYMBOL_NOT_GRANTED)


@pytest.mark.parametrize("value", [True, None, 0, "", "false", 1])
def test_read_only_is_anything_but_false(value: object) -> None:
    machine, _ = armed_machine()
    assert asks(machine, read_only=value).denial is Denial.READ_ONLY  # type: ignore[arg-type]


def test_the_lifetime_ends_both_ways() -> None:
    machine, minted = armed_machine()
    grant = minted.record.grant
    assert asks(machine, grant.minted_boot_ns).may is May.NEW_RISK
    assert asks(machine, grant.expires_boot_ns - 1).may is May.NEW_RISK
    assert asks(machine, grant.expires_boot_ns) == Permission(May.REDUCE, Denial.EXPIRED)
    assert asks(machine, grant.mandate_until_boot_ns - 1) == Permission(May.REDUCE, Denial.EXPIRED)
    assert asks(machine, grant.mandate_until_boot_ns) == Permission(May.NOTHING, Denial.MANDATE_OVER)
    assert asks(machine, grant.minted_boot_ns - 1) == Permission(May.NOTHING, Denial.MANDATE_OVER)
    assert grant.mandate_until_boot_ns - grant.expires_boot_ns == 24 * NS_PER_HOUR
    shown = [
        phase(machine, ns) for ns in (grant.minted_boot_ns - 1, grant.minted_boot_ns, grant.expires_boot_ns, grant.mandate_until_boot_ns)
    ]
    assert shown == [Phase.DISARMED, Phase.ARMED, Phase.MANDATE, Phase.DISARMED]


@pytest.mark.parametrize(
    ("event", "expected", "shown"),
    [
        (disarmed(), Permission(May.REDUCE, Denial.DISARMED), Phase.MANDATE),
        (disarmed(reason=""), Permission(May.REDUCE, Denial.DISARMED), Phase.MANDATE),
        (disarmed(mandate_ends=True), Permission(May.NOTHING, Denial.NOT_ARMED), Phase.DISARMED),
        (disarmed(symbol=SYMBOL), Permission(May.REDUCE, Denial.SYMBOL_DISARMED), Phase.ARMED),
        (disarmed(symbol=SYMBOL, mandate_ends=True), Permission(May.NOTHING, Denial.MANDATE_OVER), Phase.ARMED),
        (level_set(Level.REDUCE_ONLY, human=False, nonce=""), Permission(May.REDUCE, Denial.LEVEL_REDUCES), Phase.MANDATE),
        (level_set(Level.CANCEL_ONLY, human=False, nonce=""), Permission(May.NOTHING, Denial.LEVEL_FORBIDS), Phase.ARMED),
        (level_set(Level.HALT, human=False, nonce=""), Permission(May.NOTHING, Denial.LEVEL_FORBIDS), Phase.ARMED),
        (foreign(), Permission(May.NOTHING, Denial.NOT_ARMED), Phase.DISARMED),
        (reconciled(False), Permission(May.NOTHING, Denial.UNEXPLAINED), Phase.DISARMED),
        (kill_requested(), Permission(May.NOTHING, Denial.KILLED), Phase.KILLED),
        (records.KillEffective(boot_ns=BOOT_NS), Permission(May.NOTHING, Denial.KILLED), Phase.KILLED),
        (records.Tick(boot_ns=BOOT_NS, wall_ns=WALL_NS), Permission(May.NEW_RISK, None), Phase.ARMED),
    ],
)
def test_what_ends_a_grant_and_what_its_mandate(event: Record, expected: Permission, shown: Phase) -> None:
    machine, _ = armed_machine()
    assert asks(machine).may is May.NEW_RISK
    after = step(machine, event)
    assert asks(after) == expected
    assert phase(after, BOOT_NS) is shown
    other = asks(after, symbol="bybit/ETHUSDT")
    assert other == expected or (isinstance(event, records.Disarmed) and event.symbol and other.may is May.NEW_RISK)


def test_a_grant_without_a_symbol_disarm_returns_after_an_explanation() -> None:
    machine, _ = armed_machine()
    stopped = step(machine, reconciled(False))
    explained = step(stopped, reconciled(True))
    assert asks(explained) == Permission(May.NOTHING, Denial.NOT_ARMED)
    # A second difference changes nothing more, and an account that was never wrong neither.
    assert step(explained, reconciled(True, "other")).arming == explained.arming


def test_a_renewal_replaces_the_grant_without_a_restart() -> None:
    machine, first = armed_machine()
    later = situation(boot_ns=BOOT_NS + 1, state_version=0)
    asked, second = ceremony(later, NONCES[7])
    machine = step(step(machine, disarmed()), asked)
    assert asks(machine).may is May.REDUCE
    renewed = step(machine, second)
    assert renewed.live is second.live
    assert asks(renewed, BOOT_NS + 1) == Permission(May.NEW_RISK, None)
    kept = Machine(arming=renewed.arming, lattice=renewed.lattice, live=first.live)
    assert asks(kept, BOOT_NS + 1) == Permission(May.NOTHING, Denial.NOT_ARMED)


def test_warnings_come_once_each() -> None:
    _, minted = ceremony()
    end = minted.record.grant.expires_boot_ns
    assert warnings_due(minted.live, BOOT_NS, end - 31 * NS_PER_MINUTE) == ()
    assert warnings_due(minted.live, BOOT_NS, end - 30 * NS_PER_MINUTE) == (30,)
    assert warnings_due(minted.live, end - 30 * NS_PER_MINUTE, end - 3 * NS_PER_MINUTE) == (10,)
    assert warnings_due(minted.live, end - 3 * NS_PER_MINUTE, end) == (2,)
    assert warnings_due(minted.live, 0, end) == (30, 10, 2)
    asked = challenged(lifetime_ns=5 * NS_PER_MINUTE)
    short = answer(asked.challenge, reply(asked), situation())
    assert isinstance(short, Minted)
    assert warnings_due(short.live, 0, BOOT_NS + 5 * NS_PER_MINUTE) == (2,)


# The drill's own grant


def drill_machine() -> tuple[Machine, DrillMinted]:
    asked = challenged(purpose=Purpose.DRILL, drill_symbol=SYMBOL)
    minted = answer(asked.challenge, reply(asked), situation())
    assert isinstance(minted, DrillMinted)
    machine = Machine()
    for event in (boot(), reconciled(), level_set(Level.RUN), asked, minted):
        machine = step(machine, event)
    return machine, minted


def drills(machine: Machine, now: int = BOOT_NS, symbol: str = SYMBOL, read_only: bool = False, **parts: object) -> Denial | None:
    level = effective_level(machine.lattice, symbol=symbol, strategy="drill", account="desk", order="cid")
    return drill_permission(machine.drill, machine.arming, level, now, binding(**parts), symbol, read_only=read_only)  # type: ignore[arg-type]


def test_a_drill_is_good_for_one_order_and_never_for_trading() -> None:
    machine, minted = drill_machine()
    assert drills(machine) is None
    assert asks(machine) == Permission(May.NOTHING, Denial.NOT_ARMED)
    assert drills(step(machine, DrillSpent())) is Denial.NOT_ARMED
    assert drills(machine, symbol="bybit/ETHUSDT") is Denial.DRILL_SYMBOL
    assert drills(machine, read_only=True) is Denial.READ_ONLY
    assert drills(machine, host="host-b") is Denial.OTHER_HOST
    assert drills(machine, symbols=(("bybit", "BTCUSDT", "m9"),)) is Denial.METADATA_CHANGED
    assert drills(machine, minted.live.grant.expires_boot_ns) is Denial.EXPIRED
    assert drills(step(machine, level_set(Level.REDUCE_ONLY, False, ""))) is Denial.LEVEL_FORBIDS
    for event in (boot("life-a"), kill_requested(), foreign(), disarmed(), reconciled(False)):
        assert step(machine, event).drill is None
    with pytest.raises(TypeError):
        copy.copy(minted.live)


def test_a_drill_needs_its_own_challenge() -> None:
    machine, minted = drill_machine()
    fresh = step(step(Machine(), boot()), reconciled())
    trade, traded = ceremony()
    asked = challenged(purpose=Purpose.DRILL, drill_symbol=SYMBOL)
    late = DrillMinted(minted.live, BOOT_NS + 120_000_000_000)
    assert step(step(fresh, asked), minted).drill is minted.live
    assert step(fresh, minted).drill is None
    assert step(step(fresh, trade), minted).drill is None
    assert step(step(fresh, asked), late).drill is None
    assert step(step(fresh, asked), traded).live is None
    other = challenged(purpose=Purpose.DRILL, drill_symbol="bybit/ETHUSDT")
    assert step(step(fresh, other), minted).drill is None
    assert isinstance(other, Challenged)
    assert machine.drill is minted.live
