"""The sentinel as a process of its own, as a person and a supervisor meet it."""

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.sentinel.world import COMMAND, MS, VENUES, Hand, ask, config_json, config_of, gate, names, ports_of, spawned, until

from interlock.sentinel.process import main
from interlock.sentinel.stop_word import StopWord
from interlock.simulate.fake_venue.control import SetRate
from interlock.simulate.fake_venue.server import Addresses


def test_a_kill_from_the_shell_is_json_lines_and_ends_with_zero(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    for venue in VENUES:
        hand.place(venue, 30)
    with gate(tmp_path / "stop", "deaf") as stand_in, spawned(config_of(tmp_path, ports_of(fake))) as (process, path):
        os.kill(stand_in.pid, signal.SIGSTOP)
        until(lambda: ask(path, "status")[1][0]["gate"] == "stopped")
        code, events = ask(path, "drill")
        assert (code, events[-1]["verdict"]) == (0, "PASS")
        code, events = ask(path, "drill")
        assert (code, events[-1]["verdict"]) == (1, "UNKNOWN")
        code, events = ask(path, "kill")
        assert (code, names(events)[-1]) == (0, "FINAL")
        process.terminate()
        assert process.wait(10) == 0
        assert not path.exists()


def test_one_that_is_killed_in_the_middle_is_finished_by_the_next(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    for venue in VENUES:
        hand.place(venue, 400)
        # So few requests a window that a sweep takes a while.
        hand.command(SetRate(venue=venue, requests=3, window_ns=400 * MS, ban_after=1_000))
    with gate(tmp_path / "stop", "fine"):
        word = StopWord.attach(tmp_path / "stop")
        config = config_of(tmp_path, ports_of(fake))
        with (
            spawned(config) as (process, path),
            subprocess.Popen([*COMMAND, "--socket", str(path), "kill"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asker,
        ):
            assert asker.stdout is not None
            for line in asker.stdout:
                if json.loads(line)["event"] == "CANCELLING":
                    break
            process.kill()
            asker.communicate()
            assert asker.returncode == 1
        assert word.stopped
        assert word.unfinished == 2
        with spawned(config) as (process, path):
            until(lambda: word.unfinished == 0)
            assert not any(hand.open(venue) for venue in VENUES)
        word.close()


def test_it_runs_and_asks_in_one_process_too(tmp_path: Path, fake: Addresses, hand: Hand, capfd: pytest.CaptureFixture[str]) -> None:
    hand.place("bybit", 3)
    config = config_of(tmp_path, ports_of(fake))
    path = config.folder / "sentinel.sock"
    codes: list[int] = []

    def ask_it() -> None:
        until(path.is_socket)
        time.sleep(0.1)
        codes.extend((main(["--socket", str(path), "kill"]), main(["--config", config_json(config)])))
        os.kill(os.getpid(), signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    thread = threading.Thread(target=ask_it)
    try:
        with gate(tmp_path / "stop", "fine"):
            thread.start()
            assert main(["--config", config_json(config)]) == 0
            thread.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert codes == [0, 1]
    assert not hand.open("bybit")
    captured = capfd.readouterr()
    assert [json.loads(line)["event"] for line in captured.out.splitlines()[1:]][-1] == "FINAL"
    assert "another sentinel" in captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--config", "{"], 2, "compare it with"),
        (["--config", "none.json"], 2, "No such file"),
        (["--socket", "none", "kill"], 1, "Is it running"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["kill"], ["--socket", "s"], ["--config", "{}", "kill"], ["--config", "{}", "--socket", "s"]])
def test_half_a_command_is_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_the_module_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["sentinel", "--config", "none.json"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("interlock.sentinel", run_name="__main__")
    assert caught.value.code == 2
    assert "none.json" in capsys.readouterr().err


def test_it_needs_nothing_of_the_gate_and_nothing_heavy() -> None:
    program = "import sys, interlock.sentinel.process; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "numba", "asyncio", "pydantic", "psutil"} & set(loaded)
    assert not [name for name in loaded if name.startswith(("interlock.gate", "interlock.strategies", "interlock.market"))]
    assert "interlock.sentinel.sweep" in loaded


def test_at_the_real_venues_it_needs_nothing_of_the_gate_and_nothing_heavy_either() -> None:
    program = "import sys, interlock.sentinel.process, interlock.venues.cancel_only_at; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "numba", "asyncio", "pydantic", "psutil", "aiohttp"} & set(loaded)
    assert not [name for name in loaded if name.startswith(("interlock.gate", "interlock.strategies", "interlock.simulate"))]
    assert {f"interlock.venues.{venue}.trade" for venue in ("upbit", "binance_usdm", "bybit")} <= set(loaded)


@pytest.mark.parametrize("retires", [True, False])
def test_on_loopback_it_may_end_after_the_gate_did(tmp_path: Path, fake: Addresses, retires: bool) -> None:
    config = config_of(
        tmp_path, ports_of(fake), retire_after_ns=500 * MS if retires else None, stall_bound_ns=900 * MS, worst_stall_ns=300 * MS
    )
    with gate(tmp_path / "stop", "fine") as stand_in, spawned(config) as (process, path):
        until(lambda: ask(path, "status")[1][0]["gate"] == "runs")
        assert process.poll() is None
        stand_in.kill()
        stand_in.wait()
        if retires:
            assert process.wait(20) == 0
            assert not path.exists()
        else:
            until(lambda: ask(path, "status")[1][0]["gate"] == "gone")
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(2)
