"""One venue a module for tests that need no limits; each test begins honest, without open orders and with the first balances."""

from collections.abc import Iterator

import pytest
from tests.simulate.served.upbit.bench import Bench


@pytest.fixture(scope="module")
def shared() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def bench(shared: Bench) -> Bench:
    shared.calm()
    return shared
