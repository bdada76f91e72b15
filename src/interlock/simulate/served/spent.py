"""Words that are good for one use, such as a nonce: the latest are in memory, all others on disk, so that none is ever good again."""

from __future__ import annotations

import sqlite3
import weakref
from typing import Final

LATEST: Final = 512
"""Words in memory; so many are written to disk at once."""
_CACHE_KIB: Final = 64


class Spent:
    """The words that were used. The file on disk has no name and is gone with the process."""

    def __init__(self) -> None:
        self._latest: set[bytes] = set()
        self._base: sqlite3.Connection | None = None

    def use(self, word: str) -> bool:
        """Use up a word; False if it was before."""
        # What a client sends is not always text that can be written.
        raw = word.encode("utf-8", "surrogatepass")
        if raw in self._latest or self._written(raw):
            return False
        self._latest.add(raw)
        if len(self._latest) >= LATEST:
            self._write()
        return True

    def _written(self, raw: bytes) -> bool:
        return self._base is not None and self._base.execute("SELECT 1 FROM spent WHERE word = ?", [raw]).fetchone() is not None

    def _write(self) -> None:
        base = self._base if self._base is not None else self._open()
        base.execute("BEGIN")
        base.executemany("INSERT INTO spent VALUES (?)", ([raw] for raw in sorted(self._latest)))
        base.execute("COMMIT")
        self._latest.clear()

    def _open(self) -> sqlite3.Connection:
        base = self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, base.close)
        for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", f"PRAGMA cache_size = -{_CACHE_KIB}"):
            base.execute(statement)
        base.execute("CREATE TABLE spent (word BLOB PRIMARY KEY) WITHOUT ROWID")
        return base
