"""The peers' own environments: each is made once from its hashed lock, and made anew when the lock changes."""

import hashlib
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_UV = Path(sys.prefix) / "bin" / "uv"
_LATER_PYTHON = "3.13"
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Peer:
    """An engine that interlock is measured against."""

    name: str
    """Names the lock, requirements/<name>.txt, and the environment, .envs/<name>."""
    package: str


HFTBACKTEST = Peer("hftbacktest", "hftbacktest")
NAUTILUS = Peer("nautilus", "nautilus_trader")


def environment(peer: Peer) -> Path:
    """Return the Python of the peer's environment, which holds exactly what its lock says."""
    lock = _HERE / "requirements" / f"{peer.name}.txt"
    folder = _HERE / ".envs" / peer.name
    stamp = folder / ".lock"
    python = folder / "bin" / "python"
    wanted = f"{platform.python_version()} {hashlib.sha256(lock.read_bytes()).hexdigest()}\n"
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return python
    print(f"bench: installing {peer.package} from {lock.relative_to(_HERE.parent)}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    if _UV.exists():
        _run(_UV, "venv", "--quiet", "--python", sys.executable, folder)
        _run(_UV, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock)
    else:
        _run(sys.executable, "-m", "venv", folder)
        _run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", lock)
    stamp.write_text(wanted, encoding="ascii")
    return python


def standing(peer: Peer, measured: str | None) -> dict[str, str | None]:
    """Hold the release that was measured against the index, and say why it is not a newer one.

    "unknown" where the index does not answer: the measurement does not depend on it.
    """
    own = ".".join(platform.python_version_tuple()[:2])
    here, later = _newest(peer.package, own), _newest(peer.package, _LATER_PYTHON)
    if "unknown" in (here, later):
        why = "unknown: the index did not answer"
    elif measured != here:
        why = f"the lock is older than the index: recompile requirements/{peer.name}.txt"
    elif here != later:
        why = f"{later} has no wheel for Python {own}, which this ran on"
    else:
        why = "it is the newest"
    return {
        "measured": measured,
        f"newest_for_python_{own}": here,
        f"newest_for_python_{_LATER_PYTHON}": later,
        "why_not_newer": why,
    }


def _newest(package: str, python: str) -> str:
    if _UV.exists():
        command = [str(_UV), "pip", "compile", "-", "--quiet", "--no-deps", "--no-header", "--no-annotate"]
        command += ["--only-binary", ":all:", "--python-version", python]
    else:
        command = [sys.executable, "-m", "pip", "index", "versions", "--only-binary=:all:"]
        command += ["--python-version", python, package]
    try:
        answer = subprocess.run(command, input=package, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S).stdout
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return "unknown"
    # uv answers "package==version", pip "package (version)" and then a list.
    found = re.match(r"[\w.-]+(?:==| \()([\w.]+)", answer)
    return found[1] if found else "unknown"


def _run(*command: str | Path) -> None:
    try:
        subprocess.run(list(map(str, command)), check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"expected the peer's environment to install, found exit {error.returncode}") from None
