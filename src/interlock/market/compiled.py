"""One way to compile: numba with a persistent cache, no fastmath, no parallelism, the same result every time.

numba checks a cached function only against the one file it stands in, so a change in a function that was inlined from another file
would go unnoticed. The cache therefore lies in a folder named by a digest of every source that holds compiled code. Its base is
`INTERLOCK_CACHE_DIR`, else the user's cache folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

_SOURCES = (
    "engine/side.py",
    "gate/limits.py",
    "market/book.py",
    "market/ladders.py",
    "evidence/mids.py",
    "market/columns.py",
    "market/compiled.py",
    "simulate/*.py",
    "strategies/*.py",
    "venues/scanning.py",
    "venues/row_book.py",
    "venues/*/hot.py",
    "venues/upbit/wire.py",
)


def source_digest() -> str:
    """SHA-256 over every source that holds compiled code, and the compiler's version."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256(f"{numba.__version__}".encode())
    for pattern in _SOURCES:
        for path in sorted(package.glob(pattern)):
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def cache_dir() -> Path:
    """The folder of compiled functions for exactly these sources."""
    # The environment is read here because numba fixes the folder when a function is decorated, at import.
    base = os.environ.get("INTERLOCK_CACHE_DIR")
    if base is None:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "interlock")
    return Path(base) / "compiled" / source_digest()[:16]


numba.config.CACHE_DIR = str(cache_dir())  # type: ignore[attr-defined]


def compiled(signature: Any = None, *, inline: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function to machine code, cached on disk.

    `signature` (a numba signature or list) compiles at import and makes the function usable as a first-class function value; without it
    compilation happens at the first call. `inline` asks LLVM to inline it where it is called; it is always said, because numba otherwise hands the
    wish of a caller down to whatever it calls, rare paths included.
    """
    options: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True, "_nrt": False, "forceinline": inline}
    args = () if signature is None else (signature,)
    return numba.njit(*args, **options)  # type: ignore[no-any-return]


unsigned = np.uint64
"""Marks an index that cannot be negative: without it every access first asks whether to count from the end."""
