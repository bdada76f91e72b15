"""Every state that the arming machine can reach through a small alphabet of events, by the production `step`, and what holds in each of them."""

from collections import deque
from collections.abc import Iterator

from tests.gate.arming_world import BOOT_NS, NONCES, SYMBOL, binding, boot, ceremony, foreign, level_set, reconciled, situation

from interlock.gate import records
from interlock.gate.arming import CeremonyFailed, Event, Machine, step
from interlock.gate.lattice import Kill, effective_level
from interlock.gate.permission import May, permission
from interlock.gate.records import Level, Scope
from interlock.gate.verbs import rank

ASKED_A, MINTED_A = ceremony(nonce=NONCES[5])
ASKED_B, MINTED_B = ceremony(situation(binding=binding(incarnation="life-b"), evidence=None), nonce=NONCES[6])
LIVES = {"": None, "life-a": MINTED_A, "life-b": MINTED_B}
RAISE_NONCE = NONCES[0]
CLEAR_NONCE = NONCES[1]

ALWAYS: tuple[Event, ...] = (
    boot("life-a"),
    boot("life-b"),
    ASKED_A,
    ASKED_B,
    MINTED_A,
    MINTED_B,
    MINTED_A.record,
    CeremonyFailed(()),
    records.Disarmed(boot_ns=BOOT_NS, reason="asked", actor="ann"),
    records.Disarmed(boot_ns=BOOT_NS, reason="asked", actor="ann", mandate_ends=True),
    records.Disarmed(boot_ns=BOOT_NS, reason="metadata", actor="gate", symbol=SYMBOL),
    records.KillRequested(boot_ns=BOOT_NS, source="ann", wall_ns=0),
    records.KillEffective(boot_ns=BOOT_NS),
    foreign(),
    reconciled(True),
    reconciled(False),
    level_set(Level.RUN, human=True, nonce=RAISE_NONCE),
    level_set(Level.RUN, human=False, nonce=CLEAR_NONCE, actor="gate"),
    level_set(Level.REDUCE_ONLY, human=False, nonce="", actor="gate"),
    records.LatchSet(boot_ns=BOOT_NS, name="overfill", scope=Scope.ALL, subject="", level=Level.HALT, reason="r", actor="gate"),
    records.InterlockTripped(boot_ns=BOOT_NS, name="feed_stale", scope=Scope.SYMBOL, subject=SYMBOL, level=Level.REDUCE_ONLY, reason="r"),
    records.InterlockCleared(boot_ns=BOOT_NS, name="feed_stale", scope=Scope.SYMBOL, subject=SYMBOL),
)
TIMES = tuple(
    ns for edge in (BOOT_NS, MINTED_A.record.grant.expires_boot_ns, MINTED_A.record.grant.mandate_until_boot_ns) for ns in (edge - 1, edge)
)


def events(machine: Machine) -> Iterator[Event]:
    """The alphabet in a state: clearing a latch names the version that was seen, the right one or one that is past."""
    yield from ALWAYS
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


def check_state(machine: Machine, level: Level, seen: set[May]) -> None:
    now_binding = NOW[machine.arming.incarnation]
    for now in TIMES:
        answer = permission(machine.live, machine.arming, level, now, now_binding, SYMBOL, read_only=False).may
        seen.add(answer)
        if answer is May.NOTHING:
            continue
        minted = LIVES[machine.arming.incarnation]
        assert minted is not None
        assert machine.live is minted.live
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
        assert event in (MINTED_A, MINTED_B), "only a ceremony's answer puts a grant in place"
        assert before.challenge is not None
    if before.lattice.kill is not Kill.NONE:
        assert after.lattice.kill is not Kill.NONE, "a kill is final in its process life"
        assert after.live is None
        assert level is Level.HALT
    if before.arming.mandate_over and after.live is not None:
        assert event in (MINTED_A, MINTED_B), "a mandate that is over does not come back"
    if rank(level) > rank(level_before):
        by_a_person = (isinstance(event, records.LevelSet) and event.human) or isinstance(event, records.LatchCleared)
        assert by_a_person or isinstance(event, records.InterlockCleared)
        if by_a_person:
            assert isinstance(event, records.LevelSet | records.LatchCleared)
            assert event.nonce not in before.lattice.nonces
            assert event.nonce in after.lattice.nonces


def search() -> tuple[int, set[May]]:
    """Visit every reachable state; return how many there are and what orders may do in them."""
    start = Machine()
    seen, queue = {shape(start)}, deque([start])
    answers: set[May] = set()
    while queue:
        machine = queue.popleft()
        level = level_of(machine)
        check_state(machine, level, answers)
        for event in events(machine):
            after = step(machine, event)
            if after == machine:
                continue
            check_edge(machine, level, event, after)
            if (key := shape(after)) not in seen:
                seen.add(key)
                queue.append(after)
    return len(seen), answers


def test_every_reachable_state() -> None:
    states, answers = search()
    assert states > 10_000
    assert answers == set(May), "the search must reach what it forbids elsewhere"
