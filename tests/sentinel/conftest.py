"""Two venues in a process of their own, and a hand on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sentinel.world import VENUES, Hand

from interlock.simulate.fake_venue.launch import served
from interlock.simulate.fake_venue.server import Addresses


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Addresses]:
    with served(tmp_path / "fake", VENUES) as addresses:
        yield addresses


@pytest.fixture
def hand(fake: Addresses) -> Iterator[Hand]:
    made = Hand(fake)
    yield made
    made.close()
