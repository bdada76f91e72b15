"""`interlock run` end to end: gate, sentinel, checker and engine as processes, market making at a simulated Bybit over the wire."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import time
from decimal import Decimal
from pathlib import Path

import pytest
from tests.gate.serving import INTERLOCK, bare_environment, command, end_all, until
from tests.run.live_ground import environment_of, example, judged_on, live_ground

from interlock.cli.main import main
from interlock.run.gate_config import read_gate_config
from interlock.sentinel.gate_process import GateIdentity, Life, look

LOT = Decimal("0.001")
"""Of BTCUSDT at Bybit."""


def test_an_armed_run_quotes_until_its_end_and_leaves_nothing(tmp_path: Path) -> None:
    with live_ground(tmp_path) as ground:
        run = ground.start("--for", "25s")
        ground.until(ground.sees_books)
        assert not {name for name in environment_of(ground.engine_pid()) if "KEY" in name or "LIVE" in name}
        ground.arm()
        ground.until(lambda: ground.engine()["counts"].get("permitted", 0) > 3)
        assert ground.told_of([b"BTCUSDT"]), "the control: what is to be found is found"
        assert ground.told_of(ground.secrets()) == []
        code, kpi = ground.end(run)
        assert ground.told_of(ground.secrets()) == []
        assert (code, kpi["verdict"], kpi["failed"]) == (0, "PASS", []), kpi
        assert kpi["permits"] > 3
        assert judged_on(kpi, "simulated against venue fills") == "PASS"
        assert ground.risk_written() >= kpi["permits"] - 1
        assert ground.hand.open_ids("bybit") == set()
        assert json.loads((ground.out / "kpi.json").read_bytes()) == kpi
        held = Decimal(ground.hand.state("bybit")["positions"].get("BTCUSDT", "0"))
        assert held == kpi["net_lots_traded"].get("bybit:BTCUSDT", 0) * LOT
        assert ground.checked() == (0, [])
        code, again = ground.decided_again()
        assert (code, again["result"]) == (0, "SAME"), again
        assert again["intents"] >= kpi["permits"] - 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_nobody_arms_writes_nothing_and_ends_in_order_when_it_is_asked_to(number: int, tmp_path: Path) -> None:
    """The control is the run above, with the same configuration and market."""
    with live_ground(tmp_path) as ground:
        run = ground.start("--for", "10m")
        ground.until(ground.sees_books)
        ground.until(lambda: ground.engine()["decisions"] > 20)
        assert ground.engine()["books"][0]["bars"] == ["the gate does not trade"]
        code, kpi = ground.end(run, number)
        assert (code, kpi["verdict"], kpi["interrupted"], kpi["permits"], kpi["intents"]) == (130, "PASS", True, 0, 0), kpi["invariants"]
        assert ground.risk_written() == 0
        assert ground.witness(), "the gate reads the account all the same"
        ground.until_any(lambda: ground.children() == {})


def test_an_engine_that_is_killed_is_started_anew_and_its_orders_are_taken_back(tmp_path: Path) -> None:
    seed = 20261122
    instants = random.Random(seed)
    with live_ground(tmp_path) as ground:
        run = ground.start("--for", "10m")
        ground.until(ground.sees_books)
        ground.arm()
        for _ in range(3):
            ground.until(lambda: ground.engine().get("open_orders", 0) > 0)
            life = ground.engine()["started_ns"]
            time.sleep(instants.uniform(0.0, 1.5))
            os.kill(ground.engine_pid(), signal.SIGKILL)
            ground.until(lambda life=life: ground.engine().get("started_ns", life) != life)  # type: ignore[misc]
            # The grant lives on: the new one is warm before it hears of it.
            stands = ground.engine()
            assert (stands["warmed"]["placed"] > 0, stands["warmed_ns"] <= stands["started_ns"]) == (True, True)
        ground.until(lambda: ground.engine().get("open_orders", 0) > 0)
        code, kpi = ground.end(run, signal.SIGINT)
        assert code == 130
        assert (kpi["verdict"], kpi["engine_restarts"], kpi["gate_lives"]) == ("PASS", 3, 1), (seed, kpi)
        assert ground.hand.open_ids("bybit") == set()
        assert ground.checked() == (0, []), seed
        code, again = ground.decided_again()
        assert (code, again["result"], again["logs"]) == (0, "SAME", 4), (seed, again["mismatch"])


def test_a_run_whose_supervisor_is_killed_ends_by_itself(tmp_path: Path) -> None:
    with live_ground(tmp_path) as ground:
        run = ground.start("--for", "10m")
        ground.until(ground.sees_books)
        ground.arm()
        ground.until(lambda: ground.hand.open_ids("bybit"))
        engine = ground.engine_pid()
        ground.processes.remove(run)
        run.kill()
        run.communicate()
        ground.until(lambda: not Path(f"/proc/{engine}").exists())
        ground.until(lambda: not ground.hand.open_ids("bybit"))
        ground.until(lambda: not (ground.out / "run" / "raise.sock").exists())
        # And it is gone on with, by the same command.
        again = ground.start("--for", "5s")
        code, kpi = ground.end(again)
        assert (code, kpi["verdict"], kpi["gate_lives"]) == (0, "PASS", 2), kpi["invariants"]


@pytest.mark.parametrize(
    ("options", "environ", "said"),
    [
        ((), {}, "expected one of replay, paper, shadow, testnet, live, found none"),
        (("--mode", "Live"), {}, "found 'Live'"),
        (("--mode", "live"), {}, "--places: expected the first line"),
        (("--mode", "replay"), {}, "use `interlock replay"),
        (("--mode", "live", "--places", "p"), {"ARBITRAGE_ENV": "paper"}, "ARBITRAGE_ENV: expected 'live'"),
        (("--mode", "live", "--places", "p"), {"DRY_RUN": "0"}, "DRY_RUN: '0' allows at most --mode shadow"),
        (("--mode", "live", "--places", "p"), {"MM_LIVE_ENABLE": "1"}, "MM_LIVE_ENABLE: this engine does not know it"),
        (("--mode", "live", "--places", "p"), {"UPBIT_API_KEY": "x"}, "UPBIT_API_KEY: renamed to"),
        (("--mode", "live", "--places", "p", "--for", "5"), {}, "--for: expected a duration"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(
    options: tuple[str, ...],
    environ: dict[str, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["run", str(example()), "--out", str(tmp_path / "run"), *options, "--json"]) == 2
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (tmp_path / "run").exists()


PLACES = {
    "bybit": {"rest": "http://127.0.0.1:9", "ws_public": "ws://127.0.0.1:9", "ws_private": "ws://127.0.0.1:9", "key": "k", "secret": "s"}
}


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (None, "found: No such file or directory"),
        ("not yet", "found no JSON"),
        (json.dumps([1]), "with bybit, found none"),
        (json.dumps({"upbit": {}}), "with bybit, found none"),
    ],
)
def test_places_that_are_none_are_refused_before_anything_starts(
    places: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "places.json", tmp_path / "run"
    if places is not None:
        file.write_text(places, encoding="utf-8")
    assert main(["run", str(example()), "--out", str(out), "--mode", "live", "--places", str(file), "--json"]) == 2
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not out.exists()


def test_a_disk_without_room_is_refused_before_anything_starts(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "places.json"
    file.write_text(json.dumps(PLACES), encoding="utf-8")
    given = ["run", str(example()), "--mode", "live", "--places", str(file), "--json", "--out"]
    assert main([*given, str(small_disk / "run")]) == 2
    assert "expected 64 MiB free on its disk, found 1" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("file", "expected a folder, found something else"),
        ("others", "expected a new or empty folder"),
        ("another run", "expected a run of this configuration"),
        ("taken", "another run has it (pid 4711)"),
    ],
)
def test_a_folder_that_is_not_for_this_run_is_left_as_it_is(
    made: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "places.json", tmp_path / "run"
    file.write_text(json.dumps(PLACES), encoding="utf-8")
    lock = -1
    if made == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        if made == "others":
            (out / "mine").write_text("mine")
        elif made == "another run":
            (out / "config.toml").write_text("name = 'other'")
        else:
            (out / "run.lock").write_text("4711\n")
            lock = os.open(out / "run.lock", os.O_RDWR)
            fcntl.flock(lock, fcntl.LOCK_EX)
    before = sorted((one.name, one.read_bytes()) for one in tmp_path.rglob("*") if one.is_file())
    try:
        assert main(["run", str(example()), "--out", str(out), "--mode", "live", "--places", str(file), "--json"]) == 2
    finally:
        if lock >= 0:
            os.close(lock)
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]
    assert sorted((one.name, one.read_bytes()) for one in tmp_path.rglob("*") if one.is_file()) == before


def test_a_lock_that_a_dead_process_left_holds_nobody_up_and_venues_that_do_not_answer_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "places.json", tmp_path / "run"
    file.write_text(json.dumps(PLACES), encoding="utf-8")
    out.mkdir()
    (out / "run.lock").write_text("4711\n")
    assert main(["run", str(example()), "--out", str(out), "--mode", "live", "--places", str(file), "--json"]) == 2
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "the gate did not start (exit code 2)" in message
    assert "bybit" in message
    # Nothing is left of what was started for it.
    config = out / "run" / "gate.json"
    assert not config.exists() or all(look(GateIdentity(pid, ticks)) is Life.GONE for pid, ticks, _ in read_gate_config(config).children)


def test_the_demo_runs_the_whole_system_and_what_it_says_can_be_checked(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    code, told = command("demo", "--seconds", "22", "--out", str(out), timeout_s=400)
    assert isinstance(told, dict), told
    assert (code, told["result"]) == (0, "PASS"), told
    assert (len(list(out.glob("**/journal"))), len(list(out.glob("**/witness.jsonl"))), len(list(out.glob("**/kpi.json")))) == (1, 1, 1)
    assert (out / "report.html").read_text(encoding="utf-8").count("PASS") >= 6
    assert {one["fault"]: one["happened"] > 0 for one in told["faults"]} == {"lose_ack": True, "gap": True}
    assert told["signals"]["signals"] > 0, told["signals"]
    assert told["apart"]["symbols"] == ["KRW-BTC", "KRW-ETH"], (
        "without it there is nothing to signal: fees are wider than what lies between the venues"
    )
    assert told["kpi"]["permits"] > 3
    assert told["kpi"]["orders_of_unknown_outcome"] >= 1
    assert (told["kill"]["result"], told["venue"]["open_orders"]) == ("FINAL", 0)
    code, checked = command("trace", "check", str(out / "journal"), "--witness", str(out / "witness.jsonl"))
    assert (code, checked["violations"]) == (0, [])


def test_a_demo_that_is_held_goes_on_until_it_is_interrupted_and_ends_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--seconds", "1", "--out", str(tmp_path / "short"), "--json"]) == 2, (
        "the control: without --hold the seconds count"
    )
    assert "expected at least 20, found 1" in json.loads(capsys.readouterr().out)["error"]["message"]
    out = tmp_path / "demo"
    process = subprocess.Popen(
        [*INTERLOCK, "demo", "--hold", "--seconds", "1", "--out", str(out), "--json"],
        env=bare_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:

        def permitted() -> int:
            assert process.poll() is None, "it ended by itself"
            try:
                found: int = json.loads((out / "engine" / "engine.json").read_bytes())["counts"].get("permitted", 0)
            except (OSError, ValueError):
                return 0
            return found

        until(lambda: permitted() > 0, within_s=180)
        since = permitted()
        held = time.monotonic()
        # Longer than the seconds that it was given, also where the first orders came before anybody looked at the time.
        until(lambda: permitted() > since and time.monotonic() - held > 4, within_s=60)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=120)
        end_all(out)
    told = json.loads(printed)
    assert (process.returncode, told["result"]) == (130, "INTERRUPTED"), told
    kpi = told["kpi"]
    assert (kpi["verdict"], kpi["interrupted"], kpi["planned_s"], kpi["gate_exit_code"]) == ("PASS", True, None, 0)
    assert kpi["ran_s"] > 1
    assert (told["kill"], told["venue"]["open_orders"], told["checked"]["violations"]) == ({}, 0, [])
    assert told["decided_again"]["result"] == "SAME"


@pytest.mark.parametrize(
    ("made", "words", "said"),
    [
        ("file", (), "expected a folder"),
        ("nowhere", (), "/proc/nope/x"),
        ("others", (), "expected a new or empty folder"),
        ("file", ("--replay", "--synthetic"), "expected a folder"),
        ("nowhere", ("--replay", "--synthetic"), "/proc/nope/x"),
    ],
)
def test_a_demo_refuses_a_folder_that_is_of_no_use_before_anything_starts(
    made: str, words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path("/proc/nope/x") if made == "nowhere" else tmp_path / "out"
    if made == "file":
        out.write_text("mine")
    elif made == "others":
        out.mkdir()
        (out / "mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["demo", *words, "--out", str(out), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert (told["kind"], said in told["message"], str(out) in told["message"]) == ("UsageError", True, True), told
    assert sorted(tmp_path.rglob("*")) == before


def test_a_demo_on_a_disk_without_room_starts_no_venue(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(small_disk / "demo"), "--json"]) == 2
    assert "expected 64 MiB free on its disk, found 1" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert list(small_disk.iterdir()) == []
