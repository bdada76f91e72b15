"""What tests of runs are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.run.small_disk import small_disk as made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    with made(tmp_path) as disk:
        yield disk
