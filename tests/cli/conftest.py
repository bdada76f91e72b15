"""A gate that answers by script, venues in a process of their own, and a terminal's environment for arming."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.gate_world import ENVIRONMENT, Gate, listening
from tests.sentinel.world import VENUES

from interlock.simulate.fake_venue.launch import served
from interlock.simulate.fake_venue.server import Addresses


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with listening(tmp_path / "run") as made:
        yield made


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Addresses]:
    with served(tmp_path / "fake", VENUES) as addresses:
        yield addresses


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
