"""The disk port: the few operations by which evidence reaches a disk, so that tests can make each of them fail."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """Every operation raises OSError when the disk refuses."""

    def exists(self, path: Path) -> bool:
        """Whether anything has that name."""
        ...

    def make_folder(self, path: Path) -> None:
        """Create one folder; raises FileExistsError if the name is taken."""
        ...

    def write(self, path: Path, data: bytes) -> None:
        """Create a file with that content; raises FileExistsError if the name is taken. Not on disk before `sync`."""
        ...

    def sync(self, path: Path) -> None:
        """Return when the content of a file, or the names in a folder, are on disk."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give a folder another name in one step; raises OSError if a folder with content has it."""
        ...

    def remove(self, folder: Path) -> None:
        """Remove a folder with everything in it."""
        ...


class SystemDisk:
    """The machine's file system."""

    def exists(self, path: Path) -> bool:
        """Whether anything has that name, a dangling link included."""
        return os.path.lexists(path)

    def make_folder(self, path: Path) -> None:
        """`mkdir`."""
        path.mkdir()

    def write(self, path: Path, data: bytes) -> None:
        """Create exclusively, write all, close."""
        with path.open("xb") as file:
            file.write(data)

    def sync(self, path: Path) -> None:
        """`fsync` of a file or folder."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """`rename`."""
        source.rename(target)

    def remove(self, folder: Path) -> None:
        """Remove the tree."""
        shutil.rmtree(folder)
