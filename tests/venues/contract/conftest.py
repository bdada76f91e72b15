"""One simulated venue with our client for each module, calmed before each test. Tests here are coroutines, which run where the venue lives."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.venues.contract.truth")

from tests.venues.contract.place import Place  # noqa: E402 - after its assertions were made to tell more
from tests.venues.contract.traits import VENUES  # noqa: E402


@pytest.fixture(scope="module", params=list(VENUES))
def opened(request: pytest.FixtureRequest) -> Iterator[Place]:
    # Sockets have short names only, so not pytest's folder.
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        made = Place(VENUES[request.param], Path(folder))
        made.open()
        yield made
        made.close()


@pytest.fixture
def place(opened: Place) -> Place:
    opened.calm()
    return opened


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Run a coroutine on the loop of its venue."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    place = pyfuncitem.funcargs["place"]
    assert isinstance(place, Place)
    place.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
