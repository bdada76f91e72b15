"""`interlock record` against `interlock venues serve`, each a process of its own: what was recorded imports and verifies without a defect."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.simulate.served.process import simulators

from interlock.cli import exit_codes
from interlock.cli.main import main

SYMBOLS = {"upbit": ("KRW-BTC", "KRW-ETH"), "binance_usdm": ("BTCUSDT", "ETHUSDT"), "bybit": ("BTCUSDT", "ETHUSDT")}
FORMS = {"upbit": "upbit-raw", "binance_usdm": "binance-usdm-raw", "bybit": "bybit-v5-raw"}
SECONDS = 3


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """A recording of each venue, made at the same time: its folder, and what the command said."""
    folder = tmp_path_factory.mktemp("record")
    with simulators(folder) as where, ExitStack() as open_ones:
        (folder / "where.json").write_text(json.dumps(where) + "\n", encoding="utf-8")
        running = {}
        for venue, symbols in SYMBOLS.items():
            command = ["record", "--venue", venue, "--symbols", *symbols, "--for", f"{SECONDS}s", "--out", str(folder / venue), "--json"]
            command += ["--endpoint", "loopback", "--venues", str(folder / "where.json")]
            process = subprocess.Popen([sys.executable, "-m", "interlock", *command], stdout=subprocess.PIPE)
            running[venue] = open_ones.enter_context(process)
            open_ones.callback(process.kill)
        found = {}
        for venue, process in running.items():
            said, _ = process.communicate(timeout=60)
            assert process.returncode == 0, venue
            found[venue] = (folder / venue, json.loads(said))
    return found


@pytest.mark.parametrize("venue", list(SYMBOLS))
def test_a_recording_imports_and_verifies(
    recorded: dict[str, tuple[Path, dict[str, Any]]], venue: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, said = recorded[venue]
    assert all((one["connections"], one["rejected"]) == (1, {}) for one in said["streams"].values()), said
    files = [str(folder / name) for name in said["files"]]
    tape = tmp_path / "tape"
    arguments = ["tape", "import", FORMS[venue], *files, "--out", str(tape), "--instrument", str(folder / "instruments.json"), "--json"]
    assert main(arguments) == exit_codes.DONE
    made = json.loads(capsys.readouterr().out)
    assert {each["symbol"] for each in made["instruments"]} == set(SYMBOLS[venue])
    assert min(made["kinds"][kind] for kind in ("DEPTH", "TRADE")) > 0
    assert made["rows"] > 100
    assert main(["tape", "verify", str(tape), "--json"]) == exit_codes.DONE
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert {each["name"]: each["defects"] for each in checks} == dict.fromkeys((each["name"] for each in checks), 0)
    assert [each for each in checks if each["applies"] and each["checked"]]
