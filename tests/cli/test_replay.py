"""`interlock replay` and `interlock demo` as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from interlock.cli import exit_codes
from interlock.cli.main import main
from interlock.evidence.manifest import read_manifest, verify_files
from interlock.gate.limit_sheet import load, sheet_hash
from interlock.market.shipped import SHIPPED
from interlock.market.tape_write import write_tape
from interlock.run.demo import EXAMPLES
from interlock.simulate.synthetic import generate

MAKING = EXAMPLES / "making-synthetic.toml"


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic tape of BTCUSDT, 400 seconds of market."""
    out = tmp_path_factory.mktemp("tapes") / "synthetic"
    write_tape(out, generate(80_000, 5), (SHIPPED["binance_usdm:BTCUSDT"],), "synthetic")
    return out


def run_folders(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.glob("*/kpi.json"))


def test_a_replay_leaves_one_whole_folder(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(MAKING), "--tape", str(tape), "--out", str(tmp_path), "--json"]) == exit_codes.DONE
    (told,) = json.loads(capsys.readouterr().out)["runs"]
    (folder,) = run_folders(tmp_path)
    assert told["folder"] == str(folder)
    assert {p.name for p in folder.iterdir()} == {
        "config.json",
        "fills.parquet",
        "kpi.json",
        "manifest.json",
        "orders.parquet",
        "report.html",
    }
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    kpi = json.loads((folder / "kpi.json").read_text())
    assert kpi["run_id"] == manifest.run_id == folder.name
    assert kpi["data_provenance"] == manifest.model.provenance == "synthetic"
    assert kpi["verdict"] != "PASS"  # a synthetic market proves nothing
    assert pq.read_table(folder / "fills.parquet").num_rows == kpi["fills"] > 0
    assert abs(sum(kpi["edge"].values()) - kpi["edge_net"]) < 1e-9
    assert kpi["verdict"] in (folder / "report.html").read_text()


def test_full_and_fast_leave_the_same_fills_and_orders(tape: Path, tmp_path: Path) -> None:
    tables = []
    for flag in ([], ["--full"]):
        out = tmp_path / ("full" if flag else "fast")
        assert main(["replay", str(MAKING), "--tape", str(tape), "--out", str(out), *flag]) == exit_codes.DONE
        (folder,) = run_folders(out)
        tables.append([pq.read_table(folder / name) for name in ("fills.parquet", "orders.parquet")])
    for fast, full in zip(*tables, strict=True):
        assert fast.num_rows > 0
        assert fast.equals(full)


LIMITS = EXAMPLES / "limits" / "making-btcusdt.toml"


@pytest.fixture(scope="module")
def short_tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few seconds of market, since every world of a replay with the gate goes event by event."""
    out = tmp_path_factory.mktemp("tapes") / "short"
    write_tape(out, generate(1_500, 5), (SHIPPED["binance_usdm:BTCUSDT"],), "synthetic")
    return out


@pytest.mark.parametrize("most", ["150", "20"])
def test_what_the_gate_denies_is_in_the_evidence(most: str, short_tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text(LIMITS.read_text(encoding="utf-8").replace("max_order_lots = 150", f"max_order_lots = {most}"), encoding="utf-8")
    arguments = ["replay", str(MAKING), "--tape", str(short_tape), "--out", str(tmp_path / "runs"), "--gate", str(limits), "--json"]
    assert main(arguments) == exit_codes.DONE
    (told,) = json.loads(capsys.readouterr().out)["runs"]
    folder = Path(told["folder"])
    kpi, manifest = json.loads((folder / "kpi.json").read_bytes()), read_manifest(folder)
    denied = {name: n for name, n in kpi["reject_reasons"].items() if name.startswith("gate:")}
    verify_files(folder, manifest)
    assert manifest.model.gate == f"limits {sheet_hash(load(limits))}"
    assert (folder / "limits.toml").read_bytes() == limits.read_bytes()
    assert ("gate:max_order_lots" in denied) is (most == "20")
    assert ("gate:max order lots" in (folder / "report.html").read_text(encoding="utf-8")) is (most == "20")
    assert (kpi["fills"] > 0) is (most != "20")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("[strategies.making]", "[strategies.other]"), "[strategies.making]"),
        (('[symbols."binance_usdm:BTCUSDT"]', '[symbols."binance_usdm:ETHUSDT"]'), '[symbols."binance_usdm:BTCUSDT"]'),
        (("[assets.BTC]", "[assets.ETH]"), "[assets.BTC]"),
        (("max_order_lots = 150", "max_order_lots = 0"), "max_order_lots"),
    ],
)
def test_limits_that_do_not_cover_the_replay_are_one_error_and_no_output(
    change: tuple[str, str], told: str, short_tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = tmp_path / "wrong.toml"
    limits.write_text(LIMITS.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    out = tmp_path / "runs"
    assert main(["replay", str(MAKING), "--tape", str(short_tape), "--out", str(out), "--gate", str(limits)]) == exit_codes.USAGE
    error = capsys.readouterr().err
    assert "wrong.toml" in error
    assert told in error
    assert not out.exists()


def test_a_gate_needs_a_rate_for_its_dollars(short_tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "rateless.toml"
    config.write_text("\n".join(line for line in MAKING.read_text().splitlines() if "usd_per_usdt" not in line), encoding="utf-8")
    arguments = ["replay", str(config), "--tape", str(short_tape), "--out", str(tmp_path / "runs")]
    assert main([*arguments, "--gate", str(LIMITS)]) == exit_codes.USAGE
    assert "reporting.usd_per_usdt" in capsys.readouterr().err
    assert main(arguments) == exit_codes.DONE, "the control: without a gate it is not asked for"


def test_require_pass_turns_the_verdict_into_the_exit_code(tape: Path, tmp_path: Path) -> None:
    arguments = ["replay", str(MAKING), "--tape", str(tape), "--out", str(tmp_path), "--require-pass"]
    assert main(arguments) == exit_codes.REFUSED
    assert main(arguments[:-1]) == exit_codes.DONE


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("seed = 1", "seed = 1\nspeed = 9"), "speed"),
        (("tag = ", "tga = "), "tga"),
        (('cash = "10000"', "cash = 10000.5"), "cash"),
        (('"binance_usdm:BTCUSDT"', '"binance_usdm:DOGEUSDT"'), "DOGEUSDT"),
        (("order_lots = 30", "order_lots = -30"), "order_lots"),
        (("order_latency_ms = 5.0", "order_latency_ms = nan"), "order_latency_ms"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_error_and_no_output(
    change: tuple[str, str], told: str, tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text(MAKING.read_text().replace(*change))
    out = tmp_path / "runs"
    assert main(["replay", str(config), "--tape", str(tape), "--out", str(out)]) == exit_codes.USAGE
    error = capsys.readouterr().err
    assert "wrong.toml" in error
    assert told in error
    assert not out.exists()


def test_a_missing_tape_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "runs"
    assert main(["replay", str(MAKING), "--tape", str(tmp_path / "nowhere"), "--out", str(out)]) == exit_codes.USAGE
    assert "nowhere" in capsys.readouterr().err
    assert not out.exists()


def started(tape: Path, out: Path) -> subprocess.Popen[str]:
    """A full replay in a process of its own, told to stop only once it is under way."""
    command = [sys.executable, "-m", "interlock", "replay", str(MAKING), "--tape", str(tape), "--out", str(out), "--full", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not _mapped(process.pid, tape / "rows.npy"):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    return process


def _mapped(pid: int, file: Path) -> bool:
    return file.name in Path(f"/proc/{pid}/maps").read_text()


@pytest.fixture(scope="module")
def long_tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough that a full replay takes many seconds."""
    out = tmp_path_factory.mktemp("tapes") / "long"
    write_tape(out, generate(1_500_000, 6), (SHIPPED["binance_usdm:BTCUSDT"],), "synthetic")
    return out


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to see when the replay is under way")
def test_ctrl_c_seals_an_honest_partial_run(long_tape: Path, tmp_path: Path) -> None:
    process = started(long_tape, tmp_path / "runs")
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=120)
    assert process.returncode == exit_codes.INTERRUPTED, error
    (told,) = json.loads(out)["runs"]
    assert told["ending"] == "interrupted"
    (folder,) = run_folders(tmp_path / "runs")
    verify_files(folder, read_manifest(folder))
    kpi = json.loads((folder / "kpi.json").read_text())
    assert kpi["exit_code"] == exit_codes.INTERRUPTED
    assert kpi["verdict"] != "PASS"
    rows = np.load(long_tape / "rows.npy", mmap_mode="r")
    assert kpi["end_time"] < rows["receive_ns"][-1] / 1e9


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to see when the replay is under way")
def test_kill_leaves_no_folder_that_looks_finished(long_tape: Path, tmp_path: Path) -> None:
    process = started(long_tape, tmp_path / "runs")
    process.kill()
    process.communicate(timeout=60)
    assert run_folders(tmp_path / "runs") == []


def test_the_demo_without_recordings_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "INTERLOCK_DATA", str(tmp_path / "no such folder"))
    assert main(["demo", "--replay", "--out", str(tmp_path / "runs"), "--json"]) == exit_codes.DONE
    told = json.loads(capsys.readouterr().out)
    assert "SYNTHETIC" in told["data"]
    folders = run_folders(tmp_path / "runs")
    assert len(folders) == len(told["runs"]) == 2
    for folder in folders:
        assert json.loads((folder / "kpi.json").read_text())["data_provenance"] == "synthetic"


@pytest.mark.data("both_legs")
@pytest.mark.data("binance_usdm")
def test_the_demo_replays_the_recordings(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "INTERLOCK_DATA", str(data_dir))
    for _ in range(2):  # the second time on the tapes of the first
        assert main(["demo", "--replay", "--out", str(tmp_path / "runs"), "--json"]) == exit_codes.DONE
        told = json.loads(capsys.readouterr().out)
    making, arbitrage = (run["kpi"] for run in told["runs"])
    assert (making["data_provenance"], arbitrage["data_provenance"]) == ("real", "constructed")
    assert making["fills"] > 100
    assert arbitrage["round_trips_completed"] > 0
    assert "PASS" not in (making["verdict"], arbitrage["verdict"])
    assert len(run_folders(tmp_path / "runs")) == 4


def test_an_import_makes_the_folders_on_the_way_and_takes_them_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.gz"
    wrong.write_bytes(b"no gzip")
    out = tmp_path / "a" / "b" / "tape"
    assert main(["tape", "import", "binance-usdm-raw", str(wrong), "--out", str(out)]) == exit_codes.USAGE
    assert "wrong.gz" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    write_tape(out, generate(100, 1), (SHIPPED["binance_usdm:BTCUSDT"],), "synthetic")
    assert main(["tape", "info", str(out)]) == exit_codes.DONE
    assert [p.name for p in out.parent.iterdir()] == ["tape"]
    # A file where a folder should be is one error.
    assert main(["tape", "import", "binance-usdm-raw", str(wrong), "--out", str(wrong / "tape")]) == exit_codes.USAGE
