"""What a process says of itself is written by other threads: a slow disk or terminal holds nobody up, and a reader never finds half of it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.gate.serving import until
from tests.run.small_disk import full

from interlock.run.log_lines import MOST_LINES_A_SECOND, Log
from interlock.run.status_file import StatusFile


class SlowDisk:
    """Stands in for the rename: held up until it is let go; which threads came by."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.threads: list[str] = []
        self.seen: list[bytes] = []
        self._replace = os.replace

    def replace(self, part: Path, path: Path) -> None:
        self.threads.append(threading.current_thread().name)
        self.let_go.wait(10)
        self.seen.append(Path(part).read_bytes())
        self._replace(part, path)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    found = SlowDisk()
    monkeypatch.setattr(os, "replace", found.replace)
    return found


def test_it_is_written_by_another_thread_and_only_the_newest_of_what_waits(tmp_path: Path, disk: SlowDisk) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(b"before")
    status = StatusFile(path)
    status.put(b"first")
    until(lambda: disk.threads != [])
    for number in range(1_000):
        status.put(b"%d" % number)  # nobody waits for the disk, which stands still
    assert path.read_bytes() == b"before", "whole, until the next is"
    disk.let_go.set()
    status.close(b"last")
    assert path.read_bytes() == b"last"
    assert set(disk.threads) == {"status file"}
    assert disk.seen[0] == b"first"
    assert len(disk.seen) <= 3


def test_a_disk_that_refuses_is_told_and_tried_again_and_the_last_word_is_not_taken_for_said(tmp_path: Path) -> None:
    path, part = tmp_path / "status.json", tmp_path / "status.json.part"
    status = StatusFile(path)
    status.put(b"good")
    until(path.exists)
    assert (status.unwritten, status.trouble) == (0, "")
    part.mkdir()
    status.put(b"bad")
    until(lambda: status.unwritten == 1)
    assert ("Is a directory" in status.trouble, path.read_bytes()) == (True, b"good")
    part.rmdir()
    status.put(b"better")
    until(lambda: path.read_bytes() == b"better")
    assert status.unwritten == 1, "it stays known"
    status.close(b"last")
    assert path.read_bytes() == b"last"
    status = StatusFile(path)
    part.mkdir()
    with pytest.raises(IsADirectoryError):
        status.close(b"never said")


def test_a_full_disk_ends_nobody_who_says_how_it_stands(small_disk: Path) -> None:
    path = small_disk / "status.json"
    status = StatusFile(path)
    full(small_disk)
    status.put(b"x" * 10_000)
    until(lambda: status.unwritten == 1)
    assert "No space left on device" in status.trouble
    (small_disk / "full").unlink()
    status.put(b"y" * 10_000)
    until(lambda: path.exists() and path.read_bytes() == b"y" * 10_000)
    status.close(b"last")


class Terminal:
    """A stderr that takes a line only when it is let."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.text: list[str] = []

    def write(self, text: str) -> None:
        self.let_go.wait(10)
        self.text.append(text)

    def flush(self) -> None:
        pass


def test_whoever_says_something_does_not_wait_for_a_terminal_and_what_is_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    log = Log("engine")
    for number in range(10 * MOST_LINES_A_SECOND):
        log(f"line {number}")
    assert terminal.text == []
    terminal.let_go.set()
    told: Callable[[], bool] = lambda: "".join(terminal.text).count("engine: line ") >= MOST_LINES_A_SECOND  # noqa: E731
    until(told)
    log.flush()
    assert terminal.text[0].endswith("engine: line 0\n")
    assert "lines were left out" in "".join(terminal.text)
