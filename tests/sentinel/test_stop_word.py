"""The stop word between two processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from interlock.domain.errors import DamagedState, Refused
from interlock.sentinel.stop_word import SIZE_BYTES, StopWord

LIFE = "0123456789abcdef" * 2

# A gate whose interpreter is busy for ever: no thread, signal handler or loop of it gets a turn.
BUSY = """
import sys
from pathlib import Path
from interlock.sentinel.stop_word import StopWord
word = StopWord.create(Path(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
while not word.stopped:
    word.advance()
word.acknowledge(7)
print("stopped", flush=True)
"""


def test_a_new_word_stops_nothing_and_a_stop_is_for_good(tmp_path: Path) -> None:
    word = StopWord.create(tmp_path / "stop", LIFE)
    seen = StopWord.attach(tmp_path / "stop")
    assert (seen.incarnation, seen.stopped, seen.acknowledged, seen.progress) == (LIFE, False, False, 0)
    word.advance()
    assert seen.progress == 1
    seen.stop(0)
    seen.stop(99)
    assert word.stopped
    word.acknowledge(5)
    word.acknowledge(6)
    assert seen.acknowledged
    word.close()
    seen.close()


def test_a_new_life_begins_with_a_new_word(tmp_path: Path) -> None:
    first = StopWord.create(tmp_path / "stop", LIFE)
    first.stop(1)
    second = StopWord.create(tmp_path / "stop", LIFE[::-1])
    assert (first.stopped, second.stopped) == (True, False)
    attached = StopWord.attach(tmp_path / "stop")
    assert attached.incarnation == LIFE[::-1]
    for word in (first, second, attached):
        word.close()


def test_it_stops_another_process_that_never_rests(tmp_path: Path) -> None:
    path = tmp_path / "stop"
    with subprocess.Popen([sys.executable, "-c", BUSY, str(path), LIFE], stdout=subprocess.PIPE, text=True) as gate:
        assert gate.stdout
        assert gate.stdout.readline() == "ready\n"
        word = StopWord.attach(path)
        before = word.progress
        while word.progress == before:
            time.sleep(0.001)
        assert not word.acknowledged
        word.stop(1)
        assert gate.stdout.readline() == "stopped\n"
        assert word.acknowledged
        word.close()
    assert gate.returncode == 0


def test_a_stopped_process_does_not_acknowledge(tmp_path: Path) -> None:
    path = tmp_path / "stop"
    with subprocess.Popen([sys.executable, "-c", BUSY, str(path), LIFE], stdout=subprocess.PIPE, text=True) as gate:
        assert gate.stdout
        assert gate.stdout.readline() == "ready\n"
        os.kill(gate.pid, signal.SIGSTOP)
        word = StopWord.attach(path)
        word.stop(1)
        time.sleep(0.1)
        assert not word.acknowledged
        os.kill(gate.pid, signal.SIGCONT)
        assert gate.stdout.readline() == "stopped\n"
        assert word.acknowledged
        word.close()


def test_what_is_no_stop_word_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="is the gate running"):
        StopWord.attach(tmp_path / "none")
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(DamagedState, match="expected 4096 bytes, found 1"):
        StopWord.attach(tmp_path / "short")
    (tmp_path / "other").write_bytes(bytes(SIZE_BYTES))
    with pytest.raises(DamagedState, match="it is not one"):
        StopWord.attach(tmp_path / "other")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    with pytest.raises(Refused):
        StopWord.attach(tmp_path / "link")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DamagedState, match="expected a file of user"):
        StopWord.attach(tmp_path / "fifo")


def test_a_word_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    StopWord.create(tmp_path / "stop", LIFE).close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.stat(tmp_path / "stop").st_uid + 1)
        with pytest.raises(DamagedState, match="expected a file of user"):
            StopWord.attach(tmp_path / "stop")
    StopWord.attach(tmp_path / "stop").close()


# A file may have no more than this many bytes, as in a memory that is full.
FULL = """
import resource, sys
from pathlib import Path
from interlock.sentinel.stop_word import StopWord
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
StopWord.create(Path(sys.argv[1]), "0" * 32)
"""


@pytest.mark.parametrize(("room", "code"), [(SIZE_BYTES - 1, 1), (SIZE_BYTES, 0)])
def test_where_there_is_no_room_for_it_there_is_no_life(tmp_path: Path, room: int, code: int) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "stop"), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert ("expected room for 4096 bytes, found: File too large" in done.stderr) == (code == 1)
    assert (tmp_path / "stop").exists() == (code == 0)
