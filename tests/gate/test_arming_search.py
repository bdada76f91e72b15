"""Every state that the arming machine can reach through a small alphabet of events, by the production `step`, and what holds in each of them."""

from collections import deque
from collections.abc import Iterator

from tests.gate.arming_world import (
    BOOT_NS,
    DRILL,
    NONCES,
    SYMBOL,
    binding,
    boot,
    ceremony,
    foreign,
    level_set,
    permit,
    reconciled,
    situation,
)

from interlock.gate import records
from interlock.gate.arming import CeremonyFailed, Event, Machine, step
from interlock.gate.lattice import Kill, effective_level
from interlock.gate.permission import May, permission
from interlock.gate.records import Level, Scope
from interlock.gate.verbs import rank

ASKED_A, MINTED_A = ceremony(nonce=NONCES[5])
ASKED_B, MINTED_B = ceremony(situation(binding=binding(incarnation="life-b"), evidence=None), nonce=NONCES[6])
ASKED_DRILL, MINTED_DRILL = ceremony(nonce=NONCES[7], **DRILL)
LIVES = {"": (), "life-a": (MINTED_A, MINTED_DRILL), "life-b": (MINTED_B,)}
ORDERS = ("order-1", "order-2")
PERMITS = tuple(permit(client_id, MINTED_DRILL.record.grant.grant_id) for client_id in ORDERS)
RAISE_NONCE = NONCES[0]
CLEAR_NONCE = NONCES[1]

LOWERING: tuple[Event, ...] = (
    CeremonyFailed(()),
    records.Disarmed(boot_ns=BOOT_NS, reason="asked", actor="ann"),
    records.Disarmed(boot_ns=BOOT_NS, reason="asked", actor="ann", mandate_ends=True),
    records.Disarmed(boot_ns=BOOT_NS, reason="metadata", actor="gate", symbol=SYMBOL),
    records.KillRequested(boot_ns=BOOT_NS, source="ann", wall_ns=0),
    records.KillEffective(boot_ns=BOOT_NS),
    foreign(),
    reconciled(False),
    level_set(Level.REDUCE_ONLY, human=False, nonce="", actor="gate"),
)
TRADING: tuple[Event, ...] = (
    boot("life-a"),
    boot("life-b"),
    ASKED_A,
    ASKED_B,
    MINTED_A,
    MINTED_B,
    MINTED_A.record,
    *LOWERING,
    reconciled(True),
    level_set(Level.RUN, human=True, nonce=RAISE_NONCE),
    level_set(Level.RUN, human=False, nonce=CLEAR_NONCE, actor="gate"),
    records.LatchSet(boot_ns=BOOT_NS, name="overfill", scope=Scope.ALL, subject="", level=Level.HALT, reason="r", actor="gate"),
    records.InterlockTripped(boot_ns=BOOT_NS, name="feed_stale", scope=Scope.SYMBOL, subject=SYMBOL, level=Level.REDUCE_ONLY, reason="r"),
    records.InterlockCleared(boot_ns=BOOT_NS, name="feed_stale", scope=Scope.SYMBOL, subject=SYMBOL),
)
DRILLING: tuple[Event, ...] = (
    boot("life-a"),
    boot("life-b"),
    ASKED_A,
    MINTED_A,
    ASKED_DRILL,
    MINTED_DRILL,
    MINTED_DRILL.record,
    *PERMITS,
    *LOWERING,
    foreign(tolerated=True),
    reconciled(True),
    level_set(Level.RUN, human=True, nonce=RAISE_NONCE),
)
"""Drills beside a grant to trade; with latches, interlocks and their clearing besides, the states would be too many."""
TIMES = tuple(
    ns
    for edge in (
        BOOT_NS,
        MINTED_DRILL.record.grant.expires_boot_ns,
        MINTED_A.record.grant.expires_boot_ns,
        MINTED_A.record.grant.mandate_until_boot_ns,
    )
    for ns in (edge - 1, edge)
)


def events(alphabet: tuple[Event, ...], machine: Machine) -> Iterator[Event]:
    """The alphabet in a state: clearing a latch names the version that was seen, the right one or one that is past."""
    yield from alphabet
    if alphabet is DRILLING:
        return
    for seen in (machine.lattice.version, machine.lattice.version - 1):
        for name in ("kill", "overfill"):
            yield records.LatchCleared(
                boot_ns=BOOT_NS, name=name, scope=Scope.ALL, subject="", actor="ann", nonce=CLEAR_NONCE, state_version=seen
            )


def shape(machine: Machine) -> tuple[object, ...]:
    """A machine without what counts on for ever and decides nothing: the version and the times of past trips."""
    levels = machine.lattice
    return (
        machine.arming,
        (levels.base, levels.kill, levels.latches, levels.trips, levels.reconciled, levels.unexplained, levels.nonces),
        machine.challenge,
        machine.live,
        machine.asked,
    )


def level_of(machine: Machine) -> Level:
    return effective_level(machine.lattice, symbol=SYMBOL, strategy="making", account="desk", order="cid")


NOW = {life: binding(incarnation=life) for life in LIVES}


def check_state(machine: Machine, level: Level, seen: set[object]) -> None:
    now_binding = NOW[machine.arming.incarnation]
    for now in TIMES:
        answer = permission(machine.live, machine.arming, level, now, now_binding, SYMBOL, read_only=False).may
        seen.add(answer)
        if answer is May.NOTHING:
            continue
        (minted,) = (one for one in LIVES[machine.arming.incarnation] if one.live is machine.live)
        assert machine.arming.armed == minted.record.grant.grant_id
        assert not machine.arming.mandate_over
        assert not machine.arming.unexplained
        assert machine.lattice.kill is Kill.NONE
        assert not any(latch.level is Level.HALT for latch in machine.lattice.latches)
        assert BOOT_NS <= now < minted.record.grant.mandate_until_boot_ns
        assert level in (Level.RUN, Level.REDUCE_ONLY)
        if answer is May.NEW_RISK:
            assert now < minted.record.grant.expires_boot_ns
            assert not machine.arming.ended
            assert SYMBOL not in machine.arming.symbols_out
            assert machine.lattice.base is Level.RUN
            assert not machine.lattice.latches
            assert not machine.lattice.trips
    check_drill(machine, level, seen)


def check_drill(machine: Machine, level: Level, seen: set[object]) -> None:
    """A drill's grant lets one order through: before its permit whoever asks, after it that order alone, and never an amend or a reduction."""
    if machine.live is not MINTED_DRILL.live:
        return
    bound, spent_by = NOW[machine.arming.incarnation], machine.arming.spent_by
    for now in TIMES:
        for client_id in ("", *ORDERS):
            for revision in (0, 1):
                answer = permission(
                    machine.live, machine.arming, level, now, bound, SYMBOL, read_only=False, client_id=client_id, revision=revision
                ).may
                assert answer is not May.REDUCE
                seen.add(("drill", bool(spent_by), client_id == spent_by, answer))
                if answer is May.NEW_RISK:
                    assert revision == 0
                    assert spent_by in ("", client_id)
                    assert now < MINTED_DRILL.record.grant.expires_boot_ns


def check_drill_edge(before: Machine, event: Event, after: Machine) -> None:
    """So two orders are never permitted: a permit spends the grant, nothing gives it back, and a grant's id counts once."""
    drill = MINTED_DRILL.record.grant.grant_id
    if event in PERMITS and before.arming.armed == drill:
        assert after.arming.spent_by == (before.arming.spent_by or event.client_id)
    if before.arming.spent_by and after.arming.armed == drill:
        assert after.arming.spent_by == before.arming.spent_by
    if before.arming.armed != drill and after.arming.armed == drill:
        assert drill not in before.arming.used
    if before.live is MINTED_DRILL.live:
        ends = records.Boot | records.KillRequested | records.KillEffective | records.Foreign | records.Disarmed
        assert not (isinstance(event, ends) and after.live is not None)
    elif after.live is MINTED_DRILL.live:
        assert event is MINTED_DRILL
        assert before.challenge == ASKED_DRILL.challenge


def check_edge(before: Machine, level_before: Level, event: Event, after: Machine) -> None:
    level = level_of(after)
    if isinstance(event, records.Boot):
        assert after.live is None
        assert after.challenge is None
        assert not after.arming.armed
        assert level is Level.HALT
        assert before.lattice.latches == after.lattice.latches
        return
    if before.live is not after.live and after.live is not None:
        assert event in (MINTED_A, MINTED_B, MINTED_DRILL), "only a ceremony's answer puts a grant in place"
        assert before.challenge is not None
    if before.lattice.kill is not Kill.NONE:
        assert after.lattice.kill is not Kill.NONE, "a kill is final in its process life"
        assert after.live is None
        assert level is Level.HALT
    if before.arming.mandate_over and after.live is not None:
        assert event in (MINTED_A, MINTED_B, MINTED_DRILL), "a mandate that is over does not come back"
    if rank(level) > rank(level_before):
        by_a_person = (isinstance(event, records.LevelSet) and event.human) or isinstance(event, records.LatchCleared)
        assert by_a_person or isinstance(event, records.InterlockCleared)
        if by_a_person:
            assert isinstance(event, records.LevelSet | records.LatchCleared)
            assert event.nonce not in before.lattice.nonces
            assert event.nonce in after.lattice.nonces


def search(alphabet: tuple[Event, ...]) -> tuple[int, set[object]]:
    """Visit every reachable state; return how many there are and what orders may do in them."""
    start = Machine()
    seen, queue = {shape(start)}, deque([start])
    answers: set[object] = set()
    while queue:
        machine = queue.popleft()
        level = level_of(machine)
        check_state(machine, level, answers)
        for event in events(alphabet, machine):
            after = step(machine, event)
            if after == machine:
                continue
            check_edge(machine, level, event, after)
            check_drill_edge(machine, event, after)
            if (key := shape(after)) not in seen:
                seen.add(key)
                queue.append(after)
    return len(seen), answers


def test_every_reachable_state() -> None:
    states, answers = search(TRADING)
    assert states > 10_000
    assert answers == set(May), "the search must reach what it forbids elsewhere"


def test_every_reachable_state_with_drills() -> None:
    states, answers = search(DRILLING)
    assert states > 10_000
    assert answers >= set(May)
    drills = {(spent, own) for kind, spent, own, may in (one for one in answers if isinstance(one, tuple)) if may is May.NEW_RISK}
    assert drills == {(False, True), (False, False), (True, True)}, "whoever asks before the permit, its own order after it, nobody else"
