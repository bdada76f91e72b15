"""Keeping the note: in memory at once, on disk when the disk can, and nobody waits for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sentinel.note_disks import RefusingDisk, StalledDisk
from tests.sentinel.world import until

from interlock.sentinel.note import UNKNOWN, Disk, HostDisk, Stop, encoded, read_note, replace
from interlock.sentinel.note_keeper import NoteKeeper
from interlock.sentinel.sweep import Scope

ONE = Stop(scope=Scope.OWN, client_ids={"bybit": ("a", "b")})
TWO = Stop(scope=Scope.ALL, client_ids={"bybit": ("b",)})


@contextmanager
def keeping(folder: Path, disk: Disk) -> Iterator[NoteKeeper]:
    (folder / "m").mkdir(exist_ok=True)
    keeper = NoteKeeper(folder / "m" / "note", folder / "disk", disk)
    thread = threading.Thread(target=keeper.work)
    thread.start()
    try:
        yield keeper
    finally:
        keeper.stop()
        thread.join(20)
        assert not thread.is_alive()


def on_disk(folder: Path) -> Stop | None:
    return read_note(HostDisk(), folder / "disk")


def in_memory(folder: Path) -> Stop | None:
    return read_note(HostDisk(), folder / "m" / "note")


def test_a_disk_that_stands_still_holds_up_no_note_in_memory_and_gets_the_newest_in_the_end(tmp_path: Path) -> None:
    disk = StalledDisk()
    with keeping(tmp_path, disk) as keeper:
        keeper.keep(ONE)
        assert disk.asked.wait(10)
        keeper.keep(TWO)
        assert in_memory(tmp_path) == TWO
        assert keeper.status() == {"on_disk": False, "memory": "", "disk": "", "unreadable": ""}
        assert not (tmp_path / "disk").exists()
        # The control: the same disk, once it goes on.
        disk.stall.set()
        until(lambda: keeper.status()["on_disk"] is True)
        assert on_disk(tmp_path) == TWO


def test_a_disk_that_refuses_is_named_and_tried_again(tmp_path: Path) -> None:
    disk = RefusingDisk()
    with keeping(tmp_path, disk) as keeper:
        keeper.keep(ONE)
        until(lambda: "no space left" in str(keeper.status()["disk"]))
        assert in_memory(tmp_path) == ONE
        disk.full = False
        until(lambda: keeper.status()["on_disk"] is True)
        assert (keeper.status()["disk"], on_disk(tmp_path)) == ("", ONE)


def test_what_is_due_is_written_before_the_end_and_a_disk_that_refuses_delays_no_end(tmp_path: Path) -> None:
    with keeping(tmp_path, HostDisk()) as keeper:
        keeper.keep(ONE)
    assert on_disk(tmp_path) == ONE
    with keeping(tmp_path, RefusingDisk()) as keeper:
        keeper.keep(None)
        until(lambda: keeper.status()["disk"] != "")
    assert on_disk(tmp_path) == ONE


def test_a_full_memory_leaves_no_older_note_there_and_the_disk_has_it(tmp_path: Path) -> None:
    with keeping(tmp_path, HostDisk()) as keeper:
        keeper.keep(ONE)
        assert in_memory(tmp_path) == ONE
        (tmp_path / "m" / "note.new").mkdir()
        keeper.keep(TWO)
        assert not (tmp_path / "m" / "note").exists()
        assert "Is a directory" in str(keeper.status()["memory"])
        until(lambda: keeper.status()["on_disk"] is True)
    assert on_disk(tmp_path) == TWO
    with keeping(tmp_path, HostDisk()) as keeper:
        assert keeper.read() == TWO
        (tmp_path / "m" / "note.new").rmdir()
        keeper.keep(ONE)
        assert (in_memory(tmp_path), keeper.status()["memory"]) == (ONE, "")


def test_an_older_note_that_cannot_be_removed_is_said(tmp_path: Path) -> None:
    with keeping(tmp_path, HostDisk()) as keeper:
        (tmp_path / "m" / "note").mkdir()
        keeper.keep(ONE)
        assert "an older one stays" in str(keeper.status()["memory"])


def test_a_note_that_cannot_be_read_is_a_stop_of_which_nothing_is_known(tmp_path: Path) -> None:
    with keeping(tmp_path, HostDisk()) as keeper:
        assert keeper.read() is None
        replace(HostDisk(), tmp_path / "disk", encoded(ONE)[:-1])
        assert keeper.read() == UNKNOWN
        assert "its checksum" in str(keeper.status()["unreadable"])
        keeper.keep(ONE)
        assert keeper.status()["unreadable"] != ""
        keeper.keep(None)
        assert keeper.status()["unreadable"] == ""
        assert keeper.read() is None
