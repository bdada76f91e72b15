"""Who the gate is, and that nobody else is killed."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.sentinel.world import until

from interlock.sentinel.gate_process import GateIdentity, Life, identity_of, kernel_boot_id, kill, look


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        yield process
        process.kill()


def test_it_is_seen_running_stopped_and_gone(sleeper: subprocess.Popen[bytes]) -> None:
    gate = identity_of(sleeper.pid)
    assert look(gate) is Life.RUNS
    sleeper.send_signal(signal.SIGSTOP)
    until(lambda: look(gate) is Life.STOPPED)
    assert kill(gate, 2) == ""
    assert look(gate) is Life.GONE  # a zombie sends nothing any more
    assert sleeper.wait() == -signal.SIGKILL
    assert look(gate) is Life.GONE
    assert kill(gate, 2) == ""


def test_a_process_with_another_start_is_not_killed(sleeper: subprocess.Popen[bytes]) -> None:
    gate = identity_of(sleeper.pid)
    other = replace(gate, start_ticks=gate.start_ticks + 1)
    assert look(other) is Life.GONE
    assert kill(other, 0.1) == ""
    assert sleeper.poll() is None
    # The control: by its right start it is.
    assert kill(gate, 2) == ""
    assert sleeper.wait(5) == -signal.SIGKILL


def test_a_process_of_another_namespace_cannot_be_told(sleeper: subprocess.Popen[bytes]) -> None:
    gate = identity_of(sleeper.pid)
    other = replace(gate, pid_namespace=gate.pid_namespace + 1)
    assert look(other) is Life.UNSEEN
    assert "cannot be seen" in kill(other, 0.1)
    assert sleeper.poll() is None
    # Where it is not known, it is taken as ours.
    assert look(replace(gate, pid_namespace=0)) is Life.RUNS


def test_a_process_of_another_boot_of_the_host_is_gone_and_whoever_has_its_number_lives(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    gate = identity_of(sleeper.pid)
    other = replace(gate, kernel_boot_id="of yesterday")
    assert look(other) is Life.GONE
    assert look(replace(other, pid_namespace=gate.pid_namespace + 1)) is Life.GONE
    assert kill(other, 0.1) == ""
    assert sleeper.poll() is None
    # Where this boot has no name, nothing follows from the other one's.
    assert kernel_boot_id(tmp_path) == ""
    assert look(other, tmp_path) is Life.UNSEEN
    # The control: of this boot it is the process that is meant.
    assert kill(replace(gate, kernel_boot_id=kernel_boot_id()), 2) == ""
    assert sleeper.wait(5) == -signal.SIGKILL


def test_a_hidden_process_is_unseen_until_the_kernel_says_that_it_is_gone(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    gate = identity_of(sleeper.pid)
    assert look(gate, tmp_path) is Life.UNSEEN
    sleeper.kill()
    sleeper.wait()
    assert look(gate, tmp_path) is Life.GONE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_process_of_another_user_lives_on_and_that_is_said() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True, user=65533) as process:
        gate = identity_of(process.pid)
        os.seteuid(65534)
        try:
            told = kill(gate, 1)
        finally:
            os.seteuid(0)
        assert "could not be killed from here" in told
        assert process.poll() is None
        # The control: with the right to it, it ends.
        assert kill(gate, 1) == ""


def test_our_own_group_is_spared() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        assert os.getpgid(child.pid) == os.getpgrp()
        assert kill(identity_of(child.pid), 2) == ""
        assert child.wait() == -signal.SIGKILL


def test_the_group_that_it_leads_dies_with_it_and_one_that_it_was_started_in_lives() -> None:
    script = "sleep 600 & echo $!; wait"
    with subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True) as leader:
        assert leader.stdout is not None
        member = identity_of(int(leader.stdout.readline()))
        assert kill(member, 2) == ""
        assert look(member) is Life.GONE
        leader.wait()
        assert leader.returncode != -signal.SIGKILL  # a stranger: it only found its child gone
    with subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True) as leader:
        assert leader.stdout is not None
        member = identity_of(int(leader.stdout.readline()))
        assert kill(identity_of(leader.pid), 2) == ""
        assert leader.wait() == -signal.SIGKILL
        deadline = time.monotonic() + 5
        while look(member) is not Life.GONE and time.monotonic() < deadline:
            time.sleep(0.01)
        assert look(member) is Life.GONE


@pytest.mark.parametrize(("pid", "start", "namespace"), [(0, 1, 0), (1, 1, 0), (-5, 1, 0), (2, -1, 0), (2, 1, -1)])
def test_what_names_no_process_or_all_of_them_is_refused(pid: int, start: int, namespace: int) -> None:
    with pytest.raises(ValueError, match="gate process"):
        GateIdentity(pid, start, namespace)


def test_no_identity_of_one_that_is_not_there(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(FileNotFoundError):
        identity_of(sleeper.pid)
