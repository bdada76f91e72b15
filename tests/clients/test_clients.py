"""Clients that others wrote, unmodified and in their own environment, against the simulators over the wire; each script says what it expects."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.simulate.served.process import simulators

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent.parent / ".venv-clients" / "bin" / "python"
SCRIPTS = sorted(path for path in HERE.glob("*_*.py") if not path.name.startswith("test_"))


def test_there_is_a_script_for_every_venue() -> None:
    for venue in ("upbit", "binance_usdm", "bybit"):
        assert [path for path in SCRIPTS if path.stem.endswith(venue) and path.stem.startswith("ccxt")], venue
        assert len([path for path in SCRIPTS if path.stem.endswith(venue)]) >= 2, venue


def told_by(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a client's script says of simulators of its own."""
    folder.mkdir()
    with simulators(folder) as places:
        where = folder / "where.json"
        where.write_text(json.dumps(places), encoding="utf-8")
        return subprocess.run([str(PYTHON), str(script), str(where)], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_client_finds_what_it_expects(script: Path, tmp_path: Path) -> None:
    assert PYTHON.exists(), "expected the clients' environment; make it with `make clients`"
    done = told_by(script, tmp_path / "1")
    steps: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"{[step for step in steps if step.get('ok') is False]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert len(steps) >= 8
