"""One simulated Bybit for each module, calmed before each test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.simulate.served.bybit.wire import Bench


@pytest.fixture(scope="module")
def served() -> Iterator[Bench]:
    # Sockets have short names only, so not pytest's folder.
    with tempfile.TemporaryDirectory(prefix="bybit-") as folder:
        made = Bench(Path(folder))
        made.open()
        yield made
        made.close()


@pytest.fixture
def bench(served: Bench) -> Bench:
    served.calm()
    return served
