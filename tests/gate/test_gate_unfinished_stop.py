"""A kill that is interrupted by the end of everything, and started again: `interlock gate serve` in the same folder, with its processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.gate.serving import INTERLOCK, Serving, bare_environment, serving, start, until

from interlock.run.gate_config import GateConfig, read_gate_config
from interlock.sentinel import control
from interlock.sentinel.gate_process import GateIdentity, Life, look
from interlock.sentinel.note import HostDisk, read_note

OLD_WORD = """
import sys
from pathlib import Path
from interlock.sentinel.stop_word import StopWord
word = StopWord.create(Path(sys.argv[1]), "0" * 32)
word.begin_sweep(2)
word.stop(1)
"""
US = frozenset({os.geteuid()})


def told(folder: Path) -> GateConfig:
    return read_gate_config(folder / "run" / "gate.json")


def sentinel_status(folder: Path) -> dict[str, Any]:
    (status,) = control.ask(folder / "run" / control.NAME, {"verb": "status"}, US, 5.0)
    return status


def kill_everything(gate: Serving) -> None:
    """Gate, checker and sentinel, at once; the venue lives."""
    gate.die()
    for pid, start_ticks, _ in told(gate.folder).children[:2]:
        with suppress(ProcessLookupError):  # a checker ends by itself with its gate
            os.kill(pid, signal.SIGKILL)
        who = GateIdentity(pid, start_ticks)
        until(lambda who=who: look(who) is Life.GONE)  # type: ignore[misc]


@contextmanager
def interrupted(folder: Path) -> Iterator[Serving]:
    """An order is open, a person has asked for a kill, the venue does not answer, and everything of ours dies."""
    with serving(folder) as gate:
        gate.armed()
        assert gate.intent()[0] == 0
        until(lambda: len(gate.open_at_venue()) == 1)
        (client_id,) = gate.open_at_venue()
        venue = gate.addresses.pid
        os.kill(venue, signal.SIGSTOP)
        try:
            request = {"verb": "kill", "source": "test", "client_ids": {"bybit": [client_id]}}
            for event in control.ask(folder / "run" / control.NAME, request, US, 5.0):
                if event["event"] == "STOP_WORD_SET":
                    break
            until(lambda: sentinel_status(folder)["note"]["on_disk"])
            kill_everything(gate)
        finally:
            os.kill(venue, signal.SIGCONT)
        yield gate


@pytest.mark.parametrize("host", ["goes on", "boots"])
def test_a_kill_that_was_interrupted_is_brought_to_its_end_by_the_next_start(tmp_path: Path, host: str) -> None:
    with interrupted(tmp_path) as gate:
        config = told(tmp_path)
        stop = read_note(HostDisk(), config.stop_note)
        assert stop is not None
        assert stop.client_ids["bybit"] == (gate.raising()[-1][0],)
        if host == "boots":
            shutil.rmtree(config.memory)
        again = start(tmp_path)
        try:
            # The start waited for it: the new life is not stopped, and nothing of the old one is open.
            assert again.open_at_venue() == []
            assert read_note(HostDisk(), config.stop_note) is None
            assert sentinel_status(tmp_path)["stopped"] is False
            assert told(tmp_path).memory == config.memory
        finally:
            again.die()


def test_a_note_that_cannot_be_read_keeps_the_sentinel_of_a_start_that_fails(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        kill_everything(gate)
        config = told(tmp_path)
        shutil.rmtree(config.memory)
        config.stop_note.write_bytes(b"torn")
        config.stop_note.chmod(0o600)
        os.kill(gate.addresses.pid, signal.SIGSTOP)
        try:
            done = subprocess.run(
                [*INTERLOCK, "gate", "serve", "--dir", str(tmp_path)],
                env=bare_environment(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 2
            assert "its sentinel goes on" in done.stderr
            status = sentinel_status(tmp_path)
            assert (status["under_way"], "expected version" in status["note"]["unreadable"]) == ("own", True)
        finally:
            os.kill(gate.addresses.pid, signal.SIGCONT)
        until(lambda: sentinel_status(tmp_path)["under_way"] is None or bool(sentinel_status(tmp_path)["stuck"]))


def test_a_copy_of_a_folder_touches_neither_word_nor_sentinel_of_the_original(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as gate:
        pid = int((tmp_path / "a" / "run" / "sentinel.pid").read_text(encoding="ascii"))
        shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns("*.sock"))
        try:
            # The account is held by the original, so this start fails, and ends what it started.
            done = subprocess.run(
                [*INTERLOCK, "gate", "serve", "--dir", str(tmp_path / "b")],
                env=bare_environment(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 2, done.stderr
            assert told(tmp_path / "b").memory != told(tmp_path / "a").memory
            assert json.loads((tmp_path / "b" / "run" / "sentinel.json").read_text(encoding="utf-8"))["stop_word"] == str(
                told(tmp_path / "b").stop_word
            )
            assert int((tmp_path / "a" / "run" / "sentinel.pid").read_text(encoding="ascii")) == pid
            status = sentinel_status(tmp_path / "a")
            assert (status["stopped"], status["gate"]) == (False, "runs")
            assert gate.process.poll() is None
        finally:
            shutil.rmtree(told(tmp_path / "b").memory, ignore_errors=True)
        # The control: the original can still be stopped by its own sentinel.
        assert gate.kill()[1]["result"] == "FINAL"


def test_a_kill_that_an_earlier_version_left_is_brought_to_its_end(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        assert gate.intent()[0] == 0
        until(lambda: len(gate.open_at_venue()) == 1)
        kill_everything(gate)
        config = told(tmp_path)
        shutil.rmtree(config.memory)
        # By a process of its own, which is the gate that will be killed if it lives.
        subprocess.run([sys.executable, "-c", OLD_WORD, str(tmp_path / "run" / "stop-word")], timeout=60, check=True)
        again = start(tmp_path)
        try:
            assert not (tmp_path / "run" / "stop-word").exists()
            until(lambda: again.open_at_venue() == [])
            assert config.stop_note.exists()
        finally:
            again.die()
