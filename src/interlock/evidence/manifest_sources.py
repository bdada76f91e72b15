"""What the machine says about code and environment, through a port, so that a manifest can be made from known answers in a test."""

from __future__ import annotations

import hashlib
import importlib
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import msgspec

LOCK = "requirements/runtime.txt"


class CodeStamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which code ran. `git_commit` and `git_dirty` are null where the package is no part of a git checkout.

    `git_dirty`: a file of the package differs from the commit, or is not in it.
    """

    version: str
    git_commit: str | None
    git_dirty: bool | None


class MachineStamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What it ran on. `dependency_lock_of` says what `dependency_lock_sha256` was taken of: the lock file, or the installed packages."""

    python: str
    dependency_lock_sha256: str
    dependency_lock_of: str
    numba: str
    llvm: str
    cpu: str
    platform: str


class Surroundings(Protocol):
    """The questions that a manifest asks the machine."""

    def git(self, folder: Path, *arguments: str) -> str | None:
        """The output of a git command in a folder, or None if it fails or there is no git."""
        ...

    def read(self, path: Path) -> bytes | None:
        """A file's content, or None if there is none."""
        ...

    def distributions(self) -> list[tuple[str, str]]:
        """Name and version of every installed distribution."""
        ...

    def version(self) -> str:
        """This package's version."""
        ...

    def python(self) -> str:
        """Implementation and version of Python."""
        ...

    def compiler(self) -> tuple[str, str, str]:
        """Versions of numba and LLVM, and the CPU that numba compiles for."""
        ...

    def platform(self) -> str:
        """System and architecture."""
        ...


class SystemSurroundings:
    """The machine's own answers."""

    def git(self, folder: Path, *arguments: str) -> str | None:
        """Ask git with an empty environment, so that no GIT_DIR points it elsewhere.

        `safe.directory` is opened because this checkout's code is running already; fsmonitor stays off because it would start a program.
        """
        command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20, env={"GIT_OPTIONAL_LOCKS": "0"})
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
            return None
        return done.stdout if done.returncode == 0 else None

    def read(self, path: Path) -> bytes | None:
        """A file's content, or None if it cannot be read."""
        try:
            return path.read_bytes()
        except OSError:
            return None

    def distributions(self) -> list[tuple[str, str]]:
        """By `importlib.metadata`."""
        return [(found.name, found.version) for found in metadata.distributions()]

    def version(self) -> str:
        """The installed distribution's version."""
        return metadata.version("interlock")

    def python(self) -> str:
        """Such as `CPython 3.11.7`."""
        return f"{platform.python_implementation()} {platform.python_version()}"

    def compiler(self) -> tuple[str, str, str]:
        """numba's own setting of the CPU wins over what LLVM detects."""
        numba: Any = importlib.import_module("numba")
        llvm: Any = importlib.import_module("llvmlite.binding")
        version = ".".join(str(part) for part in llvm.llvm_version_info)
        return numba.__version__, version, numba.config.CPU_NAME or llvm.get_host_cpu_name()

    def platform(self) -> str:
        """Such as `Linux x86_64`."""
        return f"{platform.system()} {platform.machine()}"


def code_stamp(package: Path, ask: Surroundings) -> CodeStamp:
    """Which code is in `package` (the folder of `interlock/__init__.py`).

    A checkout counts only if it tracks the package: an environment that lies inside somebody's repository is not that repository's code.
    """
    commit = dirty = None
    if ask.git(package, "ls-files", "--error-unmatch", "__init__.py") is not None:
        head = (ask.git(package, "rev-parse", "--verify", "HEAD") or "").strip()
        if re.fullmatch(r"[0-9a-f]{40,64}", head):
            commit = head
        changes = ask.git(package, "status", "--porcelain", "--untracked-files=normal", "--", ".")
        dirty = None if changes is None else bool(changes.strip())
    return CodeStamp(version=ask.version(), git_commit=commit, git_dirty=dirty)


def machine_stamp(package: Path, ask: Surroundings) -> MachineStamp:
    """What the machine is. The lock counts where it lies in the checkout that `package` belongs to (`src/interlock`)."""
    lock = ask.read(package.parent.parent / LOCK)
    if lock is not None:
        of = LOCK
    else:
        of = "installed distributions"
        # Names are compared the way the package index does.
        listed = sorted({f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}" for name, version in ask.distributions()})
        lock = "".join(f"{line}\n" for line in listed).encode()
    numba, llvm, cpu = ask.compiler()
    return MachineStamp(
        python=ask.python(),
        dependency_lock_sha256=hashlib.sha256(lock).hexdigest(),
        dependency_lock_of=of,
        numba=numba,
        llvm=llvm,
        cpu=cpu,
        platform=ask.platform(),
    )
