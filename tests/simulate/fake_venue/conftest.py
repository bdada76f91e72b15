"""The fake in both faces."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.simulate.fake_venue.builders import Bench

from interlock.simulate.fake_venue.launch import served
from interlock.simulate.fake_venue.server import Addresses
from interlock.venues.fake.wire import Subscribe


@pytest.fixture
def bench() -> Bench:
    """A `bybit` in memory whose stream is listened to."""
    made = Bench()
    assert made.stream.request(Subscribe()).ok
    return made


@pytest.fixture
def served_fake(tmp_path: Path) -> Iterator[Addresses]:
    """Two venues served by a process of their own."""
    with served(tmp_path / "fake", ("bybit", "binance_usdm")) as addresses:
        yield addresses
