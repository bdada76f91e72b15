"""Facts of the machine and the checkout that a figure means nothing without."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent


def facts() -> dict[str, Any]:
    """Return the processor, memory, system, versions, commit and present load, ready for JSON."""
    return {
        "cpu": _first_value(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "cores": len(cores()),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "numba": version("numba"),
        "numpy": version("numpy"),
        "commit": _git("rev-parse", "HEAD"),
        "commit_is_clean": _git("status", "--porcelain") == "",
        "load_1min": round(os.getloadavg()[0], 2),
    }


def cores() -> list[int]:
    """Return the processors that this process may use, in order."""
    return sorted(os.sched_getaffinity(0))


def bench_core() -> int | None:
    """Return the processor that engines are pinned to, None where taskset is not installed.

    It is the last: the first ones serve interrupts and whatever else runs.
    """
    return cores()[-1] if shutil.which("taskset") else None


def pinned(command: list[str]) -> list[str]:
    """Return `command`, pinned to the bench's processor where that can be done."""
    core = bench_core()
    return command if core is None else ["taskset", "-c", str(core), *command]


def _first_value(path: Path, key: str) -> str | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
