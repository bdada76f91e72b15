"""A stop whose sentinel, gate or host goes away in the middle, and a disk that stands still all the while."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.sentinel import note_driver
from tests.sentinel.note_disks import StalledDisk
from tests.sentinel.test_kill import first_cancel_ns
from tests.sentinel.world import LIFE, MS, OURS, VENUES, Hand, config_json, config_of, follow, gate, names, ports_of, running, until

from interlock.domain.errors import InterlockError
from interlock.domain.orders import OrderState
from interlock.sentinel import control
from interlock.sentinel.config import Config
from interlock.sentinel.gate_process import kernel_boot_id
from interlock.sentinel.note import HostDisk, Stop, encoded, note_beside, read_note, replace, unfinished
from interlock.sentinel.operation import Operation
from interlock.sentinel.process import Process
from interlock.sentinel.stop_word import StopWord
from interlock.sentinel.sweep import Scope
from interlock.simulate.fake_venue.server import Addresses

IDS = {"bybit": [f"{OURS}{number:06}" for number in range(3)]}
US = frozenset({os.geteuid()})


def endless(tmp_path: Path, fake: Addresses, **changes: Any) -> Config:
    """At this bybit a request never expires: a stop is final there only for a sentinel that knows the client ids."""
    return config_of(tmp_path, ports_of(fake), expiry_bybit=None, **changes)


@contextmanager
def driven(config: Config, way: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    command = [sys.executable, str(Path(note_driver.__file__)), config_json(config), way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}) as process:
        try:
            assert process.stdout is not None
            yield process, Path(json.loads(process.stdout.readline())["socket"])
        finally:
            process.kill()


def status(path: Path) -> dict[str, Any]:
    (found,) = control.ask(path, {"verb": "status"}, US, 5.0)
    return found


def begin(path: Path, last: str, **request: Any) -> None:
    """Ask for a kill and hear it up to one event, or until whoever is asked is gone."""
    try:
        for event in control.ask(path, {"verb": "kill", "client_ids": IDS, **request}, US, 20.0):
            if event["event"] == last:
                return
    except InterlockError:
        return


@contextmanager
def held(fake: Addresses, hand: Hand) -> Iterator[None]:
    """Orders, and venues that answer nothing while the block runs: no stop comes to its end there."""
    for venue in VENUES:
        hand.place(venue, 60)
    os.kill(fake.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(fake.pid, signal.SIGCONT)


def forget_memory(config: Config) -> None:
    """What a boot of the host, or a new container, leaves of the memory."""
    config.stop_word.unlink(missing_ok=True)
    note_beside(config.stop_word).unlink(missing_ok=True)


def finished(process: Process) -> Operation:
    """The operation that the sentinel began with, at its end."""
    until(lambda: process.sentinel.current is not None and process.sentinel.current.over, 30)
    assert process.sentinel.current is not None
    return process.sentinel.current


def ended(operation: Operation) -> dict[str, Any]:
    return next(event["ended"] for event in operation.events if event["event"] == "VENUE_FINAL" and event["venue"] == "bybit")


@pytest.mark.parametrize("how", ["fine", "deaf"])
def test_a_disk_that_stands_still_delays_neither_word_nor_gate_nor_cancel_nor_sweep(
    tmp_path: Path, fake: Addresses, hand: Hand, how: str
) -> None:
    hand.place("bybit", 3)
    disk = StalledDisk()
    config = endless(tmp_path, fake)
    with gate(config.stop_word, how) as process, running(config, disk=disk) as sentinel:
        asked_ns = time.monotonic_ns()
        events = follow(sentinel.path, client_ids=IDS)
        told = names(events)
        assert told[-1] == "FINAL"
        assert {"STOP_WORD_SET", "STOPPED" if how == "fine" else "GATE_KILLED"} <= set(told)
        assert events[1]["boot_ns"] - events[0]["boot_ns"] < 50 * MS
        assert first_cancel_ns(fake) - asked_ns < 250 * MS
        assert not hand.open("bybit")
        assert (process.poll() is None) == (how == "fine")
        # The control: the disk was asked, and has not come back from its first note.
        assert disk.asked.is_set()
        assert sentinel.status()["note"] == {"on_disk": False, "memory": "", "disk": "", "unreadable": ""}
        assert not config.stop_note.exists()
        disk.stall.set()
        until(config.stop_note.exists)
        until(lambda: read_note(HostDisk(), config.stop_note) is None)


def test_the_note_says_what_is_left_while_it_is_left(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 3)
    config = endless(tmp_path, fake)
    lost = {"bybit": [*IDS["bybit"], f"{OURS}lost"]}
    with gate(config.stop_word, "fine") as process, running(config) as sentinel:
        follow(sentinel.path, ("UNRESOLVED",), client_ids=lost)

        def noted() -> Stop | None:
            return read_note(HostDisk(), config.stop_note)

        # Those whose end is known need not be asked about again; a venue may have forgotten them by then.
        until(lambda: (stop := noted()) is not None and stop.client_ids == {"bybit": (f"{OURS}lost",)})
        stop = noted()
        assert stop is not None
        assert (stop.scope, stop.kernel_boot_id) == (Scope.ALL, kernel_boot_id())
        assert stop.gate is not None
        assert stop.gate[0] == process.pid
        # A new life of the gate makes room for itself, and the stop that cannot end is over.
        until(lambda: sentinel.sentinel.current is not None and sentinel.sentinel.current.stuck)
        with gate(config.stop_word, "fine", LIFE[::-1]):
            finished(sentinel)
            until(lambda: noted() is None)


@pytest.mark.parametrize("when", ["stalled", "first cancel", "noted"])
def test_a_stop_whose_sentinel_is_killed_is_brought_to_its_end_with_the_same_orders(
    tmp_path: Path, fake: Addresses, hand: Hand, when: str
) -> None:
    config = endless(tmp_path, fake)
    way = "stalled" if when == "stalled" else "plain"
    with held(fake, hand), gate(config.stop_word, "fine"), driven(config, way) as (process, path):
        begin(path, "CANCELLING" if when == "first cancel" else "STOP_WORD_SET")
        if when == "noted":
            until(lambda: status(path)["note"]["on_disk"])
        process.kill()
        process.wait(10)
        assert config.stop_note.exists() or when != "noted"
    left = unfinished(note_beside(config.stop_word), config.stop_note, HostDisk())
    assert left is not None
    assert {venue: list(ids) for venue, ids in left.client_ids.items()} == IDS
    with running(config) as sentinel:
        operation = finished(sentinel)
        assert (operation.source, operation.scope) == ("resumed", Scope.ALL)
        assert names(operation.events)[-1] == "FINAL"
        assert ended(operation) == dict.fromkeys(IDS["bybit"], OrderState.CANCELLED)
        assert not any(hand.open(venue) for venue in VENUES)
        # A life of the gate that begins after it is none of its.
        with gate(config.stop_word, "fine", LIFE[::-1]):
            until(lambda: sentinel.sentinel.gate_is_fresh)
    # And the next sentinel has nothing to go on with.
    with gate(config.stop_word, "fine"), running(config) as sentinel:
        until(lambda: sentinel.sentinel.gate_is_fresh)
        assert sentinel.sentinel.current is None


def test_one_that_is_killed_right_after_the_word_leaves_the_word(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    """Nobody was told yet that the stop had begun. It goes on, over all orders; what was named has to be named again."""
    hand.place("bybit", 3)
    config = endless(tmp_path, fake)
    with gate(config.stop_word, "fine"), driven(config, "word") as (process, path):
        begin(path, "REQUESTED")
        assert process.wait(10) == -signal.SIGKILL
        word = StopWord.attach(config.stop_word)
        assert (word.stopped, word.unfinished) == (True, 2)
        word.close()
        assert not note_beside(config.stop_word).exists()
        with running(config) as sentinel:
            until(lambda: sentinel.sentinel.current is not None and sentinel.sentinel.current.stuck)
            assert not hand.open("bybit")
            assert names(follow(sentinel.path, client_ids=IDS))[-1] == "FINAL"


@pytest.mark.parametrize("boot", ["this boot", "another boot"])
def test_after_the_memory_was_lost_the_note_on_disk_goes_on(tmp_path: Path, fake: Addresses, hand: Hand, boot: str) -> None:
    """A boot of the host, a container that began anew: no word, no note in memory, and a gate that is gone for certain."""
    config = endless(tmp_path, fake)
    with gate(config.stop_word, "fine") as process:
        with held(fake, hand), driven(config, "plain") as (sentinel_process, path):
            begin(path, "STOP_WORD_SET")
            until(lambda: status(path)["note"]["on_disk"])
            sentinel_process.kill()
            sentinel_process.wait(10)
        forget_memory(config)
        stop = read_note(HostDisk(), config.stop_note)
        assert stop is not None
        if boot == "another boot":
            # The same numbers are of another process by now: it must live.
            replace(HostDisk(), config.stop_note, encoded(msgspec.structs.replace(stop, kernel_boot_id="of yesterday")))
        with running(config) as sentinel:
            operation = finished(sentinel)
            assert operation.scope is Scope.ALL
            assert {"NO_STOP_WORD", "FINAL"} <= set(names(operation.events))
            assert ("GATE_GONE" if boot == "another boot" else "GATE_KILLED") in names(operation.events)
            assert ended(operation) == dict.fromkeys(IDS["bybit"], OrderState.CANCELLED)
            assert not any(hand.open(venue) for venue in VENUES)
        assert (process.poll() is None) == (boot == "another boot")
    # The control: what is at its end is not begun again, also without memory.
    forget_memory(config)
    with running(config) as sentinel:
        until(lambda: "note" not in sentinel.sentinel.status()["missing"])  # type: ignore[operator]
        assert sentinel.sentinel.current is None


def test_a_stop_that_outlived_its_word_does_not_take_the_process_of_the_next_life_for_its_gate(tmp_path: Path, fake: Addresses) -> None:
    config = config_of(tmp_path, ports_of(fake))
    config.folder.mkdir(mode=0o750)
    replace(HostDisk(), config.stop_note, encoded(Stop(scope=Scope.OWN, client_ids={}, gate=(2**22 + 5, 7, 0))))
    with gate(config.stop_word, "deaf") as process, running(config) as sentinel:
        operation = finished(sentinel)
        assert {"GATE_KILLED", "FINAL"} <= set(names(operation.events))
        assert process.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_note_that_cannot_be_read_is_a_stop_and_is_named(tmp_path: Path, fake: Addresses, hand: Hand, where: str) -> None:
    hand.place("bybit", 2)
    hand.place("bybit", 1, prefix="hand")
    config = config_of(tmp_path, ports_of(fake))
    config.folder.mkdir(mode=0o750)
    path = note_beside(config.stop_word) if where == "memory" else config.stop_note
    path.write_bytes(b"interlock-stop-note-0 of another version")
    path.chmod(0o600)
    with gate(config.stop_word, "fine"), running(config) as sentinel:
        operation = finished(sentinel)
        assert {"UNREADABLE", "STOPPED", "FINAL"} <= set(names(operation.events))
        assert operation.scope is Scope.OWN
        # Whether a person asked for the orders of strangers cannot be read either.
        assert [order.client_id[:4] for order in hand.open("bybit")] == ["hand"]
        assert any("expected version" in str(event.get("reason")) for event in operation.events)
    with gate(config.stop_word, "fine"), running(config) as sentinel:
        until(lambda: sentinel.sentinel.gate_is_fresh)
        assert sentinel.sentinel.current is None


def test_a_word_that_cannot_be_read_is_a_stop_and_is_named(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 2)
    config = config_of(tmp_path, ports_of(fake))
    config.stop_word.write_bytes(b"x")
    with running(config) as sentinel:
        until(lambda: sentinel.sentinel.current is not None and sentinel.sentinel.current.stuck)
        operation = sentinel.sentinel.current
        assert operation is not None
        assert any("expected 4096 bytes" in str(event.get("reason")) for event in operation.events if event["event"] == "UNREADABLE")
        assert not hand.open("bybit")
        # A new life of the gate makes room for itself.
        with gate(config.stop_word, "fine"):
            assert names(finished(sentinel).events)[-1] == "ENDED_UNRESOLVED"
            until(lambda: sentinel.sentinel.gate_is_fresh)


def test_gate_and_sentinel_keep_the_word_whose_name_is_gone_and_one_without_it_does_not_beat(
    tmp_path: Path, fake: Addresses, hand: Hand
) -> None:
    hand.place("bybit", 2)
    config = config_of(tmp_path, ports_of(fake))
    with gate(config.stop_word, "fine") as process:
        word = StopWord.attach(config.stop_word)
        with running(config) as sentinel:
            until(lambda: word.sentinel_beat > 0)
            config.stop_word.unlink()
            seen = word.sentinel_beat
            until(lambda: word.sentinel_beat > seen)
            assert {"STOP_WORD_SET", "STOPPED", "FINAL"} <= set(names(follow(sentinel.path)))
        seen = word.sentinel_beat
        with running(config) as sentinel:
            until(lambda: sentinel.sentinel.current is None)
            time.sleep(0.2)
            assert (word.sentinel_beat, sentinel.status()["incarnation"]) == (seen, "")
        assert process.poll() is None
        word.close()


def test_an_id_that_no_venue_could_have_is_told_and_holds_up_no_stop(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 1)
    config = config_of(tmp_path, ports_of(fake))
    with gate(config.stop_word, "fine"), running(config) as sentinel:
        wrongs: tuple[dict[str, list[str]], ...] = ({"bybit": ["\ud800"]}, {"\ud800": []})
        for wrong in wrongs:
            told = names(follow(sentinel.path, client_ids=wrong))
            assert (told[0], told[-1]) == ("IGNORED", "FINAL")
        assert not hand.open("bybit")
        assert "IGNORED" not in names(follow(sentinel.path, client_ids={"bybit": [f"{OURS}000000"]}))


def test_a_wider_stop_and_named_orders_are_noted_as_they_come(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    config = endless(tmp_path, fake)

    def noted() -> Stop | None:
        return read_note(HostDisk(), note_beside(config.stop_word))

    with held(fake, hand), gate(config.stop_word, "fine"), running(config) as sentinel:
        sentinel.sentinel.kill(Scope.OWN, "trip", {})
        assert (stop := noted()) is not None
        assert (stop.scope, stop.client_ids) == (Scope.OWN, {})
        sentinel.sentinel.name({"bybit": ("x",)})
        assert (stop := noted()) is not None
        assert (stop.scope, stop.client_ids) == (Scope.OWN, {"bybit": ("x",)})
        sentinel.sentinel.kill(Scope.ALL, "person", {"bybit": ("y",)})
        assert (stop := noted()) is not None
        assert (stop.scope, stop.client_ids) == (Scope.ALL, {"bybit": ("x", "y")})
    # An end in order is no end of the stop.
    assert noted() is not None
    assert read_note(HostDisk(), config.stop_note) == noted()


def test_a_drill_is_no_stop_and_leaves_no_note(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 1)
    config = config_of(tmp_path, ports_of(fake))
    with gate(config.stop_word, "fine"), running(config) as sentinel:
        follow(sentinel.path, ("DRILLED",), verb="drill")
        assert not note_beside(config.stop_word).exists()
        assert sentinel.status()["note"] == {"on_disk": True, "memory": "", "disk": "", "unreadable": ""}
        # The control.
        follow(sentinel.path)
        assert note_beside(config.stop_word).exists()
