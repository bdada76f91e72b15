"""One venue for all tests of a module that leave it as they found it, and a fresh one for those that do not."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.simulate.served.binance_usdm.bench import Bench


@pytest.fixture(scope="module")
def shared() -> Iterator[Bench]:
    # Not pytest's own folder: the path of a Unix socket must be short.
    with tempfile.TemporaryDirectory(prefix="il-") as folder:
        made = Bench(Path(folder), strict=False)
        yield made
        made.close()


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    """The module's venue; without orders, positions and faults afterwards."""
    yield shared
    shared.clean()


@pytest.fixture
def fresh() -> Iterator[Bench]:
    """A venue of the test's own."""
    with tempfile.TemporaryDirectory(prefix="il-") as folder:
        made = Bench(Path(folder), strict=True)
        yield made
        made.close()
