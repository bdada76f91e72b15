"""Clients that others wrote, unmodified and in their own environment, against the simulators over the wire; each script says what it expects."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.simulate.served.process import simulators

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent.parent / ".venv-clients" / "bin" / "python"
SCRIPTS = sorted(path for path in HERE.glob("*_*.py") if not path.name.startswith("test_"))


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file with the first line of `interlock venues serve`, while it runs."""
    folder = tmp_path_factory.mktemp("clients")
    with simulators(folder) as places:
        (folder / "where.json").write_text(json.dumps(places), encoding="utf-8")
        yield folder / "where.json"


def test_there_is_a_script_for_every_venue() -> None:
    for venue in ("upbit", "binance_usdm", "bybit"):
        assert [path for path in SCRIPTS if path.stem.endswith(venue) and path.stem.startswith("ccxt")], venue
        assert len([path for path in SCRIPTS if path.stem.endswith(venue)]) >= 2, venue


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_client_finds_what_it_expects(script: Path, where: Path) -> None:
    assert PYTHON.exists(), "expected the clients' environment; make it with `make clients`"
    done = subprocess.run([str(PYTHON), str(script), str(where)], capture_output=True, text=True, timeout=240, check=False)
    steps: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"{[step for step in steps if step.get('ok') is False]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert len(steps) >= 8
