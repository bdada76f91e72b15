"""What makes a stop final and what keeps it from being so: the gate's end, client ids, a sentinel or gate that begins anew."""

import signal
import sys
from pathlib import Path

from tests.sentinel.world import (
    LIFE,
    MS,
    OURS,
    Hand,
    config_of,
    follow,
    gate,
    gate_part,
    names,
    ports_of,
    running,
    until,
)

from interlock.domain.orders import OrderState
from interlock.sentinel.gate_process import Life, identity_of, look
from interlock.sentinel.process import boot_ns
from interlock.sentinel.stop_word import StopWord
from interlock.sentinel.sweep import Scope
from interlock.simulate.fake_venue.server import Addresses


def test_client_ids_are_brought_to_their_end(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 2)
    ids = {"bybit": [f"{OURS}000000", f"{OURS}000001"]}
    with gate(tmp_path / "stop", "fine"), running(config_of(tmp_path, ports_of(fake))) as sentinel:
        events = follow(sentinel.path, client_ids=ids)
        (final,) = [event for event in events if event["event"] == "VENUE_FINAL" and event["venue"] == "bybit"]
        assert final["ended"] == dict.fromkeys(ids["bybit"], OrderState.CANCELLED)


def test_not_found_is_no_end(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 1)
    with gate(tmp_path / "stop", "fine"), running(config_of(tmp_path, ports_of(fake))) as sentinel:
        events = follow(sentinel.path, ("UNRESOLVED", "FINAL"), client_ids={"bybit": [f"{OURS}lost"]})
        assert names(events)[-1] == "UNRESOLVED"
        assert f"{OURS}lost" in events[-1]["reason"]
        assert "SWEPT" in names(events)
        assert sentinel.sentinel.status()["under_way"] == "all"


def test_where_orders_never_expire_nobody_says_final(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    with gate(tmp_path / "stop", "fine"), running(config_of(tmp_path, ports_of(fake), expiry_bybit=None)) as sentinel:
        events = follow(sentinel.path, ("UNRESOLVED", "FINAL"))
        assert names(events)[-1] == "UNRESOLVED"
        assert "do not expire" in events[-1]["reason"]
        # Named ids make the difference, also when there are none of them.
        assert names(follow(sentinel.path, client_ids={"bybit": []}))[-1] == "FINAL"


def test_without_a_gate_it_sweeps_and_says_what_it_cannot_know(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 5)
    with running(config_of(tmp_path, ports_of(fake))) as sentinel:
        events = follow(sentinel.path, ("UNRESOLVED", "FINAL"))
        assert {"NO_STOP_WORD", "GATE_UNCONFIRMED"} <= set(names(events))
        assert names(events)[-1] == "UNRESOLVED"
        assert "not certain that the gate has stopped" in events[-1]["reason"]
        assert not hand.open("bybit")
        # A new life of the gate begins disarmed; the stop that cannot end makes room for it.
        until(lambda: sentinel.sentinel.current is not None and sentinel.sentinel.current.stuck)
        with gate(tmp_path / "stop", "fine"):
            until(lambda: sentinel.sentinel.current is not None and sentinel.sentinel.current.over)
            assert sentinel.sentinel.word is not None
            assert not sentinel.sentinel.word.stopped


def test_a_damaged_stop_word_does_not_save_the_gate(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 5)
    with gate(tmp_path / "stop", "deaf") as process:
        (tmp_path / "stop").unlink()
        (tmp_path / "stop").write_bytes(b"x")
        with running(config_of(tmp_path, ports_of(fake), gate=gate_part(process.pid))) as sentinel:
            told = names(follow(sentinel.path))
            assert {"NO_STOP_WORD", "FINAL"} <= set(told)
            # By this stop, or already by the one that the damage is taken for.
            assert {"GATE_KILLED", "GATE_GONE"} & set(told)
            assert process.wait(5) == -signal.SIGKILL


def put(path: Path, word: int, value: int) -> None:
    """Change one word of a stop word, as no gate would."""
    with path.open("r+b") as file:
        file.seek(8 * word)
        file.write(value.to_bytes(8, sys.byteorder))


def test_a_gate_that_cannot_be_killed_keeps_it_from_being_final(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 5)
    with gate(tmp_path / "stop", "deaf") as process, running(config_of(tmp_path, ports_of(fake))) as sentinel:
        namespace = identity_of(process.pid).pid_namespace
        put(tmp_path / "stop", 8, namespace + 1)
        events = follow(sentinel.path, ("UNRESOLVED", "FINAL"))
        assert "cannot be seen" in next(event["reason"] for event in events if event["event"] == "GATE_UNCONFIRMED")
        assert not hand.open("bybit")
        assert process.poll() is None
        operation = sentinel.sentinel.current
        assert operation is not None
        assert not operation.over
        # The control: once it can be seen, it is killed, and the same stop comes to its end.
        put(tmp_path / "stop", 8, namespace)
        assert [event["event"] for event in operation.follow(20) if event][-1] == "FINAL"
        assert process.wait(5) == -signal.SIGKILL


def test_a_stop_word_that_names_no_process_leaves_the_configured_one(tmp_path: Path, fake: Addresses) -> None:
    with gate(tmp_path / "stop", "deaf") as process:
        put(tmp_path / "stop", 6, 0)
        with running(config_of(tmp_path, ports_of(fake), gate=gate_part(process.pid))) as sentinel:
            assert "GATE_KILLED" in names(follow(sentinel.path))
        assert process.wait(5) == -signal.SIGKILL


def test_a_gate_that_is_gone_already_is_not_killed_but_swept_after(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 5)
    with gate(tmp_path / "stop", "deaf") as process:
        process.kill()
        process.wait()
        with running(config_of(tmp_path, ports_of(fake))) as sentinel:
            assert {"GATE_GONE", "FINAL"} <= set(names(follow(sentinel.path)))
            assert not hand.open("bybit")


def test_a_gate_that_begins_in_the_middle_of_a_stop_begins_stopped(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    config = config_of(tmp_path, ports_of(fake), expiry_bybit=4_000 * MS)
    with gate(tmp_path / "stop", "fine"), running(config) as sentinel:
        sentinel.sentinel.kill(Scope.ALL, "test", {})
        with gate(tmp_path / "stop", "fine", LIFE[::-1]):
            until(lambda: sentinel.sentinel.word is not None and sentinel.sentinel.word.incarnation == LIFE[::-1])
            word = StopWord.attach(tmp_path / "stop")
            until(lambda: word.stopped)
            assert word.unfinished == 2
            word.close()


def test_a_sentinel_that_begins_anew_goes_on_with_the_stop(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    with gate(tmp_path / "stop", "fine"):
        word = StopWord.attach(tmp_path / "stop")
        for what, scope in ((1, Scope.OWN), (2, Scope.ALL)):
            hand.place("bybit", 5, prefix=f"{OURS}{what}")
            word.begin_sweep(what)
            word.stop(boot_ns())
            with running(config_of(tmp_path, ports_of(fake))) as sentinel:
                current = sentinel.sentinel.current
                until(lambda: sentinel.sentinel.current is not None and sentinel.sentinel.current.over)
                current = sentinel.sentinel.current
                assert current is not None
                assert (current.scope, current.source) == (scope, "resumed")
            assert not hand.open("bybit")
            assert word.unfinished == 0
        # The control: what is final is not begun again.
        with running(config_of(tmp_path, ports_of(fake))) as sentinel:
            until(lambda: sentinel.sentinel.status()["beat"] != 0)
            assert sentinel.sentinel.current is None
        word.close()


def test_the_child_processes_of_the_gate_die_with_it(tmp_path: Path, fake: Addresses) -> None:
    with gate(tmp_path / "stop", "parent") as process:
        assert process.stdout is not None
        child = identity_of(int(process.stdout.readline()))
        with running(config_of(tmp_path, ports_of(fake))) as sentinel:
            assert look(child) is Life.RUNS
            follow(sentinel.path)
        until(lambda: look(child) is Life.GONE)
