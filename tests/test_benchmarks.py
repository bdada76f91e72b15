"""The benchmarks are run by hand; that they can begin is checked with every run of the tests."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
MODULES = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_finds_what_it_uses(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__


def test_there_are_benchmarks() -> None:
    assert {"run", "gate", "live", "live_engine", "replay", "venues"} <= set(MODULES)
