"""What was built: a digest of the sources that touch an order or an account, and one of those that decide what to propose."""

from __future__ import annotations

import hashlib
from pathlib import Path

import interlock

_BUILD = ("domain", "gate", "run", "sentinel", "venues")
"""The rooms whose sources a grant is bound to."""

_STRATEGY = ("engine", "market", "simulate", "strategies")
"""The rooms of which an engine is made, with those of which kernels are compiled."""


def build_hash() -> str:
    """SHA-256 over the sources of the rooms that touch an order, by name and content."""
    return _sources(_BUILD, Path(interlock.__file__).parent)


def strategy_digest(config_digest: str, base: Path | None = None) -> str:
    """SHA-256 over what an engine decides by: the sources of kernels and engine, and the configuration of a run with its parameters.

    `base` is the package's folder, by default the one that runs.
    """
    sources = _sources(_STRATEGY, Path(interlock.__file__).parent if base is None else base)
    return hashlib.sha256(f"{sources}\0{config_digest}".encode()).hexdigest()


def _sources(rooms: tuple[str, ...], base: Path) -> str:
    digest = hashlib.sha256()
    for room in rooms:
        for file in sorted((base / room).rglob("*.py")):
            digest.update(f"{file.relative_to(base)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
