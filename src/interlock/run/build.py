"""What was built: a digest of the sources that touch an order or an account."""

from __future__ import annotations

import hashlib
from pathlib import Path

import interlock

_BUILD = ("domain", "gate", "run", "sentinel", "venues")
"""The rooms whose sources a grant is bound to."""


def build_hash() -> str:
    """SHA-256 over the sources of the rooms that touch an order, by name and content."""
    base = Path(interlock.__file__).parent
    digest = hashlib.sha256()
    for room in _BUILD:
        for file in sorted((base / room).rglob("*.py")):
            digest.update(f"{file.relative_to(base)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
