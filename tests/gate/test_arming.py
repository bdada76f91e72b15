"""Arming: a grant lives in memory only, every boot disarms, and each thing that must be true for new risk is refused by its own name."""

import ast
import copy
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from tests.gate.arming_world import (
    BOOT_NS,
    DRILL,
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
    permit,
    reconciled,
    reply,
    situation,
)

import interlock.gate
from interlock.gate import arming, lattice, records
from interlock.gate.arming import (
    Arming,
    CeremonyFailed,
    Event,
    LiveGrant,
    Machine,
    Minted,
    Phase,
    phase,
    step,
)
from interlock.gate.ceremony import NS_PER_HOUR, answer
from interlock.gate.lattice import Lattice, effective_level
from interlock.gate.permission import NS_PER_MINUTE, Denial, May, Permission, permission, warnings_due
from interlock.gate.records import Endpoint, Level, Record, Scope


def asks(
    machine: Machine,
    now: int = BOOT_NS,
    symbol: str = SYMBOL,
    read_only: bool = False,
    client_id: str = "",
    revision: int = 0,
    **parts: object,
) -> Permission:
    level = effective_level(machine.lattice, symbol=symbol, strategy="making", account="desk", order="cid")
    bound = binding(**parts)  # type: ignore[arg-type]
    return permission(machine.live, machine.arming, level, now, bound, symbol, read_only=read_only, client_id=client_id, revision=revision)


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
        if name in ("LiveGrant", "Minted")
    }
    # A replay has no person to ask, no key and no venue; who may use it stands in the next test.
    assert makers == {(place, name) for place in ("gate/ceremony.py", "simulate/gated/beginning.py") for name in ("LiveGrant", "Minted")}


def test_nobody_but_a_replay_uses_what_arms_itself() -> None:
    assert interlock.gate.__file__ is not None
    package = Path(interlock.gate.__file__).parent.parent
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom | ast.Import)
        for name in [f"{getattr(node, 'module', '') or ''}.{alias.name}" for alias in node.names]
        if "simulate.gated" in name
    }
    inside = {place for place in users if place.startswith("simulate/gated/")}
    assert inside, "the control: imports are found"
    assert users - inside == {"run/replay_gate.py"}


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
def test_a_grant_for_anything_else_grants_nothing(parts: dict[str, Any], denial: Denial) -> None:
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
        (foreign(tolerated=True), Permission(May.NEW_RISK, None), Phase.ARMED),
        (permit("cid", NONCES[5]), Permission(May.NEW_RISK, None), Phase.ARMED),
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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("foreign_activity", Permission(May.NOTHING, Denial.NOT_ARMED)),
        ("own_prefix_unknown", Permission(May.NOTHING, Denial.NOT_ARMED)),
        ("unexplained", Permission(May.NOTHING, Denial.NOT_ARMED)),
        ("second_writer", Permission(May.NOTHING, Denial.NOT_ARMED)),
        ("overfill", Permission(May.NEW_RISK, None)),
        ("edge", Permission(May.NEW_RISK, None)),
    ],
)
def test_whoever_clears_a_latch_that_tells_of_somebody_else_arms_anew(name: str, expected: Permission) -> None:
    machine, _ = armed_machine()
    latched = step(
        machine,
        records.LatchSet(boot_ns=BOOT_NS, name=name, scope=Scope.ALL, subject="", level=Level.HALT, reason="r", actor="gate"),
    )
    assert asks(latched).may is May.NOTHING
    cleared = step(
        latched,
        records.LatchCleared(
            boot_ns=BOOT_NS,
            name=name,
            scope=Scope.ALL,
            subject="",
            actor="ann",
            nonce=NONCES[1],
            state_version=latched.lattice.version,
        ),
    )
    assert cleared.lattice.latches == machine.lattice.latches
    assert asks(cleared) == expected


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


def test_a_tolerated_stranger_changes_nothing_at_all() -> None:
    machine, _ = armed_machine()
    assert step(machine, foreign(tolerated=True)) == machine
    assert step(machine, foreign()) != machine


# The grant of a drill


def test_a_drill_is_good_for_one_permit() -> None:
    machine, minted = armed_machine(**DRILL)
    grant_id = minted.record.grant.grant_id
    assert asks(machine) == Permission(May.NEW_RISK, None)
    spent = step(machine, permit("order-1", grant_id))
    assert spent.live is minted.live
    assert asks(spent) == Permission(May.NOTHING, Denial.DRILL_SPENT)
    assert asks(spent, client_id="order-2") == Permission(May.NOTHING, Denial.DRILL_SPENT)
    assert asks(spent, client_id="order-1") == Permission(May.NEW_RISK, None), "asked again before its first byte"
    # A second permit, which nothing gives, takes nothing over.
    twice = step(spent, permit("order-2", grant_id))
    assert asks(twice, client_id="order-2") == Permission(May.NOTHING, Denial.DRILL_SPENT)
    # A permit by another grant spends nothing, and one that names no order leaves nothing to anybody.
    assert asks(step(machine, permit("order-1", "another"))) == Permission(May.NEW_RISK, None)
    assert asks(step(machine, permit("", grant_id))) == Permission(May.NOTHING, Denial.DRILL_SPENT)


def test_a_drill_amends_nothing() -> None:
    machine, minted = armed_machine(**DRILL)
    assert asks(machine, revision=1) == Permission(May.NOTHING, Denial.DRILL_AMEND)
    spent = step(machine, permit("order-1", minted.record.grant.grant_id))
    assert asks(spent, client_id="order-1", revision=1) == Permission(May.NOTHING, Denial.DRILL_AMEND)
    trading, _ = armed_machine()
    assert asks(trading, client_id="order-1", revision=1).may is May.NEW_RISK


def test_a_drill_leaves_nothing_to_reduce_and_no_other_symbol() -> None:
    machine, minted = armed_machine(**DRILL)
    grant = minted.record.grant
    assert grant.binding.symbols == (("bybit", "BTCUSDT", "m1"),)
    assert grant.mandate_until_boot_ns == grant.expires_boot_ns == BOOT_NS + 60_000_000_000
    assert asks(machine, grant.expires_boot_ns - 1).may is May.NEW_RISK
    assert asks(machine, grant.expires_boot_ns) == Permission(May.NOTHING, Denial.MANDATE_OVER)
    assert asks(machine, symbol="bybit/ETHUSDT") == Permission(May.NOTHING, Denial.SYMBOL_NOT_GRANTED)
    assert asks(machine, read_only=True) == Permission(May.NOTHING, Denial.READ_ONLY)
    assert asks(machine, host="host-b") == Permission(May.NOTHING, Denial.OTHER_HOST)
    assert asks(machine, symbols=(("bybit", "BTCUSDT", "m9"),)) == Permission(May.NOTHING, Denial.METADATA_CHANGED)
    assert asks(step(machine, level_set(Level.REDUCE_ONLY, False, ""))) == Permission(May.NOTHING, Denial.LEVEL_REDUCES)
    assert asks(step(machine, level_set(Level.CANCEL_ONLY, False, ""))) == Permission(May.NOTHING, Denial.LEVEL_FORBIDS)
    assert phase(machine, BOOT_NS) is Phase.DRILL
    assert phase(machine, grant.expires_boot_ns) is Phase.DISARMED


@pytest.mark.parametrize(
    "event",
    [
        boot("life-a"),
        kill_requested(),
        records.KillEffective(boot_ns=BOOT_NS),
        foreign(),
        reconciled(False),
        disarmed(),
        disarmed(reason=""),
        disarmed(symbol=SYMBOL),
        disarmed(symbol="bybit/ETHUSDT"),
    ],
)
def test_a_drill_survives_nothing_that_lowers(event: Record) -> None:
    machine, minted = armed_machine(**DRILL)
    assert step(machine, records.Tick(boot_ns=BOOT_NS, wall_ns=WALL_NS)).live is minted.live
    after = step(machine, event)
    assert after.live is None
    held = Machine(arming=after.arming, lattice=machine.lattice, live=minted.live)
    assert asks(held).may is May.NOTHING


def test_a_fold_that_knows_only_of_an_ended_drill_still_leaves_nothing_to_reduce() -> None:
    machine, _ = armed_machine(**DRILL)
    odd = msgspec.structs.replace(machine.arming, ended="asked")
    assert asks(Machine(arming=odd, lattice=machine.lattice, live=machine.live)) == Permission(May.NOTHING, Denial.DISARMED)
    trade, _ = armed_machine()
    odd = msgspec.structs.replace(trade.arming, ended="asked")
    assert asks(Machine(arming=odd, lattice=trade.lattice, live=trade.live)) == Permission(May.REDUCE, Denial.DISARMED)


def test_a_drill_and_a_grant_to_trade_replace_each_other() -> None:
    machine, _ = armed_machine()
    asked, drill = ceremony(nonce=NONCES[7], **DRILL)
    drilling = step(step(machine, asked), drill)
    assert drilling.live is drill.live
    assert asks(drilling, symbol="bybit/ETHUSDT").may is May.NOTHING
    spent = step(drilling, permit("order-1", drill.record.grant.grant_id))
    asked, again = ceremony(nonce=NONCES[8])
    trading = step(step(spent, asked), again)
    assert asks(trading) == Permission(May.NEW_RISK, None)
    assert trading.arming.spent_by == ""


def test_a_drill_needs_its_own_challenge_and_no_more_than_it_asks_for() -> None:
    ready = Machine()
    for event in (boot(), reconciled(), level_set(Level.RUN)):
        ready = step(ready, event)
    asked, minted = ceremony(**DRILL)
    waiting = step(ready, asked)
    assert step(waiting, minted).live is minted.live
    trade, traded = ceremony()
    other = challenged(**{**DRILL, "drill_symbol": "bybit/ETHUSDT"})
    assert step(step(ready, trade), minted).live is None
    assert step(waiting, traded).live is None
    assert step(step(ready, other), minted).live is None
    challenge = asked.challenge
    wider = {
        "symbols": msgspec.structs.replace(challenge, binding=binding()),
        "other symbol": msgspec.structs.replace(challenge, drill_symbol="bybit/ETHUSDT"),
        "longer": msgspec.structs.replace(challenge, lifetime_ns=60_000_000_001),
    }
    for name, changed in wider.items():
        grant = minted.record.grant
        bent = msgspec.structs.replace(grant, binding=changed.binding, expires_boot_ns=BOOT_NS + changed.lifetime_ns)
        bent = msgspec.structs.replace(bent, mandate_until_boot_ns=bent.expires_boot_ns)
        made = Minted(LiveGrant(bent), msgspec.structs.replace(minted.record, grant=bent))
        assert step(step(ready, arming.Challenged(changed)), made).live is None, name
    lasting = msgspec.structs.replace(minted.record.grant, mandate_until_boot_ns=minted.record.grant.expires_boot_ns + 1)
    made = Minted(LiveGrant(lasting), msgspec.structs.replace(minted.record, grant=lasting))
    assert step(waiting, made).live is None
