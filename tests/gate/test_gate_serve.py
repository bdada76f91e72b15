"""The gate as processes, from the commands of the README: it boots halted, sends what was permitted, and stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from tests.gate.serving import INTERLOCK, bare_environment, command, conditions, end_all, serving, start, until

from interlock.domain.orders import OrderState
from interlock.gate import frames as f
from interlock.gate.frames import Role
from interlock.gate.journal import Options, SystemDisk, open_journal
from interlock.gate.limit_sheet import load
from interlock.gate.records import SCHEMA, Level, Scope, decode
from interlock.gate.snapshot import snapshot_file
from interlock.gate.state import GateState
from interlock.run.children import SENTINEL_PID
from interlock.run.gate_config import read_gate_config
from interlock.run.gate_launch import example_limits


def test_from_boot_to_one_order_to_an_orderly_end(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        assert set(gate.paths) == {"intent", "read", "lower", "raise", "journal", "witness"}
        stands = gate.stands()
        assert (stands.level, stands.armed) == (Level.HALT, False)
        assert gate.intent()[1]["rule"] == "not_armed"
        assert gate.raising() == []

        gate.armed()
        drilled = gate.raising()
        assert len(drilled) == 1, "the drill's one order"
        code, told = gate.intent()
        assert (code, told["result"], told["rule"], set(told)) == (0, "PERMIT", "", {"result", "rule", "client_id"})
        until(lambda: gate.open_at_venue() == [told["client_id"]])
        assert gate.raising() == [*drilled, (told["client_id"], 0)]

        assert gate.stop() == 0
        assert gate.process.stdout is not None
        assert gate.process.stdout.read() == "", "one line and nothing else"
    assert [line["verb"] for line in gate.witness() if line["client_id"] == told["client_id"]] == ["place", "cancel"]
    code, found = gate.checked()
    assert (code, found["violations"]) == (0, [])
    assert command("journal", "verify", gate.paths["journal"])[0] == 0


@pytest.mark.parametrize("read_only", [None, "False", "0", "yes"])
def test_a_gate_that_may_only_read_sends_nothing(tmp_path: Path, read_only: str | None) -> None:
    with serving(tmp_path, read_only=read_only) as gate:
        code, told = gate.arm()
        assert code == 1
        assert "read_only" in str(told)
        assert gate.intent()[1]["rule"] == "read_only"
        assert gate.raising() == []


def test_two_gates_do_not_share_a_folder_and_the_first_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        second = subprocess.run(
            [*INTERLOCK, "gate", "serve", "--dir", str(tmp_path)],
            env=bare_environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 2
        assert second.stdout == ""
        assert "another gate has it" in second.stderr
        gate.armed()
        assert gate.intent()[0] == 0


def test_a_gate_that_was_killed_goes_on_disarmed_and_cancels_what_it_left(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        client_id = gate.intent()[1]["client_id"]
        until(lambda: gate.open_at_venue() == [client_id])
        first = gate.stands().incarnation
        gate.die()
        again = start(tmp_path)
        try:
            stands = again.stands()
            assert stands.incarnation != first
            assert (stands.armed, stands.level) == (False, Level.HALT)
            assert again.intent()[1]["rule"] == "not_armed"
            until(lambda: not again.open_at_venue())
            until(lambda: not again.report()["orders"]["live"])
            assert [order.state for order in again.truth().orders if order.client_id == client_id] == [OrderState.CANCELLED]
            assert again.raising().count((client_id, 0)) == 1
            again.armed()
            assert again.intent()[0] == 0
            assert again.stop() == 0
            assert again.checked()[1]["violations"] == []
        finally:
            again.die()


def test_a_sentinel_that_nobody_wrote_down_is_found(tmp_path: Path) -> None:
    """A gate that dies while it starts one leaves one behind that no file names."""
    with serving(tmp_path) as gate:
        config = read_gate_config(tmp_path / "run" / "gate.json")
        gate.die()
        (config.sockets / SENTINEL_PID).write_text("", encoding="ascii")
        again = start(tmp_path)
        try:
            assert read_gate_config(tmp_path / "run" / "gate.json").sentinel_pid == config.sentinel_pid
            again.armed()
        finally:
            again.die()


def test_a_sentinel_that_is_there_a_moment_before_ours_is_taken(tmp_path: Path) -> None:
    """It was started by a gate that died meanwhile, and gets the lock between the look and the start."""
    with serving(tmp_path) as gate:
        config = read_gate_config(tmp_path / "run" / "gate.json")
        gate.die()
        # It stands still while it is looked for, and nothing tells of it: ours is started and refused. Then it answers again.
        (config.sockets / SENTINEL_PID).write_text("", encoding="ascii")
        os.kill(config.sentinel_pid, signal.SIGSTOP)
        log = tmp_path / "log" / "sentinel.log"

        def wake() -> None:
            try:
                until(lambda: "another sentinel" in log.read_text(encoding="utf-8"), 60)
            finally:
                os.kill(config.sentinel_pid, signal.SIGCONT)

        waker = threading.Thread(target=wake)
        waker.start()
        again = start(tmp_path)
        try:
            waker.join()
            assert read_gate_config(tmp_path / "run" / "gate.json").sentinel_pid == config.sentinel_pid
        finally:
            again.die()


def test_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        gate.intent()
        assert gate.stop(signal.SIGINT) == 130
    assert gate.checked()[0] == 0


def test_a_kill_ends_every_order_and_outlasts_the_life(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        gate.intent()
        until(lambda: len(gate.open_at_venue()) == 1)
        code, told = gate.kill()
        assert (code, told["result"]) == (0, "FINAL")
        assert gate.open_at_venue() == []
        assert gate.intent()[1]["rule"] == "killed"
        assert gate.arm()[0] == 1
        gate.die()
        again = start(tmp_path)
        try:
            assert [latch["name"] for latch in again.report()["latches"]] == ["kill"]
            again.arm()
            assert again.intent()[1]["rule"] == "level_forbids"
            code, _ = command("resume", "--socket", again.paths["raise"], "--latch", "kill", "--scope", "all")
            assert code == 0
            assert again.intent()[0] == 0
        finally:
            again.die()


def test_a_gate_that_stands_still_is_stopped_and_swept_all_the_same(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        gate.intent()
        until(lambda: len(gate.open_at_venue()) == 1)
        gate.process.send_signal(signal.SIGSTOP)
        code, told = gate.kill()
        assert (code, told["result"]) == (0, "FINAL")
        assert gate.open_at_venue() == []
        assert gate.process.wait(10) == -signal.SIGKILL


def test_freeze_and_disarm_by_command(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        gate.intent()
        until(lambda: len(gate.open_at_venue()) == 1)
        assert command("freeze", "--socket", gate.paths["lower"], "--reason", "look")[0] == 0
        until(lambda: gate.open_at_venue() == [])
        assert gate.intent()[1]["rule"] == "level_forbids"
        assert command("resume", "--socket", gate.paths["raise"], "--latch", "operator", "--scope", "all")[0] == 0
        assert gate.intent()[0] == 0
        assert command("disarm", "--socket", gate.paths["lower"], "--reason", "enough")[0] == 0
        assert gate.intent()[1]["rule"] == "disarmed"


def test_the_commands_that_were_refused_changed_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        version = gate.stands().state_version
        for environ in (
            conditions(LIVE_ARM_ACK=None),
            conditions(LIVE_ARM_AT="0"),
            conditions(LIVE_MAX_NOTIONAL_USD="9.99"),
            conditions(LIVE_MAX_NOTIONAL_USD="NaN"),
            {},
        ):
            assert gate.arm(env=environ)[0] == 1
        assert gate.arm("--max-notional-usd", "1000.01")[0] != 0
        answer = gate.ask(Role.LOWER, f.Freeze(scope=Scope.ALL, subject="", level=Level.RUN, reason="upward"))
        assert isinstance(answer, f.Refusal)
        assert gate.stands().state_version == version
        assert gate.raising() == []
        gate.armed()


def test_what_makes_a_start_impossible_is_said_and_leaves_nothing_behind(tmp_path: Path) -> None:
    sheet = tmp_path / "limits.toml"
    sheet.write_text("[account]\nmax_order_notional_usd = 100\n", encoding="utf-8")
    code, told = command("gate", "serve", "--dir", str(tmp_path / "g"), "--limits", str(sheet))
    assert code == 2
    assert "limits.toml" in str(told)
    assert not (tmp_path / "g").exists()
    assert command("gate", "serve", "--dir", str(tmp_path / "g"), "--venue", "real")[0] == 2


def test_a_damaged_journal_is_not_run_on(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        for _ in range(3):
            gate.intent()
        gate.die()
        segment = sorted(Path(gate.paths["journal"]).glob("*.seg"))[0]
        data = bytearray(segment.read_bytes())
        data[600] ^= 0xFF
        segment.write_bytes(data)
        with pytest.raises(AssertionError, match="exit 3"):
            start(tmp_path)
        data[600] ^= 0xFF
        segment.write_bytes(data)
        again = start(tmp_path)
        again.die()


def test_a_snapshot_shortens_the_boot_and_changes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        assert gate.intent(tif="ioc", ticks=500_001)[0] == 0
        until(lambda: gate.report()["positions"] != [])
        held = gate.report()["positions"]
        gate.die()
        directory, sheet = Path(gate.paths["journal"]), load(example_limits())
        state = GateState(sheet)
        journal, found = open_journal(
            SystemDisk(),
            directory,
            schema=SCHEMA,
            incarnation=bytes(15) + b"1",
            options=Options(1 << 20, 1 << 16, 1 << 16),
            consume=lambda _lsn, payload: state.apply(decode(payload)),
        )
        file = snapshot_file(state, found.mark, SCHEMA)
        journal.write_snapshot(file.mark, file.state_hash, file.blob)
        journal.close()
        verify = ("journal", "verify", str(directory), "--limits", str(example_limits()))
        assert command(*verify)[0] == 0
        other = tmp_path / "other.toml"
        other.write_text(example_limits().read_text(encoding="utf-8").replace("max_daily_loss_usd = 10", "max_daily_loss_usd = 9"), "utf-8")
        code, told = command("journal", "verify", str(directory), "--limits", str(other))
        assert (code, "--limits: expected the limits that the snapshot of record" in str(told)) == (2, True)
        again = start(tmp_path)
        try:
            assert "snapshot" not in (tmp_path / "gate.stderr").read_text(encoding="utf-8")
            assert again.report()["positions"] == held
            assert again.intent()[1]["rule"] == "not_armed"
            again.armed()
            until(lambda: again.intent(side="sell", ticks=500_001)[0] == 0)
        finally:
            again.die()
        (snap,) = directory.glob("*.snap")
        snap.write_bytes(snap.read_bytes()[:-1])
        third = start(tmp_path)
        try:
            assert "snapshot ignored" in (tmp_path / "gate.stderr").read_text(encoding="utf-8")
            assert third.report()["positions"] == held
        finally:
            third.die()


def test_the_environment_of_the_gate_is_a_short_list(tmp_path: Path) -> None:
    words = (*INTERLOCK, "gate", "serve", "--dir", str(tmp_path))
    environ = {**bare_environment(), "READ_ONLY_ENFORCED": "false", **conditions(), "BYBIT_API_SECRET": "canary"}
    process = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        pids = [process.pid, *(pid for pid, *_ in json.loads((tmp_path / "run" / "gate.json").read_text())["children"])]
        for pid in pids:
            seen = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8")
            assert "LIVE_" not in seen
            assert "canary" not in seen
        assert "READ_ONLY_ENFORCED=false" in Path(f"/proc/{process.pid}/environ").read_text(encoding="utf-8")
        assert os.getpgid(process.pid) == process.pid
    finally:
        process.kill()
        process.communicate()
        end_all(tmp_path)


def test_a_gate_that_has_lost_the_accounts_lock_sends_nothing_and_is_not_armed_again(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        client_id = gate.intent()[1]["client_id"]
        until(lambda: gate.open_at_venue() == [client_id])
        sent = gate.raising()
        assert (client_id, 0) in sent, "the control"
        open_files = [fd.readlink() for fd in Path(f"/proc/{gate.process.pid}/fd").iterdir()]
        (lock,) = [file for file in open_files if file.name.startswith("interlock-bybit-")]
        lock.rename(tmp_path / "taken away")
        try:
            until(lambda: "second_writer" in [one["name"] for one in gate.report()["latches"]])
            until(lambda: not gate.open_at_venue())
            assert gate.intent()[1]["result"] == "DENY"
            code, told = gate.arm()
            assert code == 1
            assert "lease" in [one["rule"] for one in told["refusals"]]
            assert "lease" in [one["rule"] for one in gate.report()["why_not"]]
            assert gate.raising() == sent
        finally:
            (tmp_path / "taken away").rename(lock)
