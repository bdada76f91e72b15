"""A database on disk without a name: nobody else sees it, and it is gone with whoever it is for and with the process, whatever ends that."""

from __future__ import annotations

import sqlite3
import weakref


def scratch(owner: object, tables: str, *, cache_kib: int) -> sqlite3.Connection:
    """A database with these tables, closed when its owner is gone. What is not in `cache_kib` of memory is in SQLite's folder for temporary files.

    Whoever writes several rows at once begins and commits; nothing can be rolled back.
    """
    # Threads take turns: those of tests look at what a venue's own has written.
    base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    weakref.finalize(owner, base.close)
    # What is gone with the process need not outlive a crash.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{cache_kib}"):
        base.execute(f"PRAGMA {pragma}")
    base.executescript(tables)
    return base


def blob(text: str) -> bytes:
    """Text to be kept or looked for; what a client sends is not always such as SQLite would take for text."""
    return text.encode("utf-8", "surrogatepass")
