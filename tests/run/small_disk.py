"""A disk of one MiB, and what fills it. `tests/run/conftest.py` gives it to the tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """One in `folder` while the block runs."""
    if os.geteuid() != 0:
        pytest.skip("a disk of its own takes root")
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def full(disk: Path) -> None:
    """Fill it to the last block, with the file `full`."""
    subprocess.run(["dd", "if=/dev/zero", f"of={disk / 'full'}", "bs=4096"], check=False, stderr=subprocess.DEVNULL)
    assert os.statvfs(disk).f_bavail == 0
