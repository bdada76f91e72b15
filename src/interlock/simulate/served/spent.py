"""Words that are good for one use, such as a nonce: the latest are in memory, all others on disk, so that none is ever good again."""

from __future__ import annotations

import sqlite3
from typing import Final

from interlock.simulate.served.scratch import blob, scratch

LATEST: Final = 512
"""Words in memory; so many are written to disk at once."""
_CACHE_KIB: Final = 64
_TABLES: Final = "CREATE TABLE spent (word BLOB PRIMARY KEY) WITHOUT ROWID"


class Spent:
    """The words that were used."""

    def __init__(self) -> None:
        self._latest: set[bytes] = set()
        self._base: sqlite3.Connection | None = None

    def use(self, word: str) -> bool:
        """Use up a word; False if it was before."""
        raw = blob(word)
        if raw in self._latest or self._written(raw):
            return False
        self._latest.add(raw)
        if len(self._latest) >= LATEST:
            self._write()
        return True

    def _written(self, raw: bytes) -> bool:
        return self._base is not None and self._base.execute("SELECT 1 FROM spent WHERE word = ?", [raw]).fetchone() is not None

    def _write(self) -> None:
        base = self._base = self._base if self._base is not None else scratch(self, _TABLES, cache_kib=_CACHE_KIB)
        base.execute("BEGIN")
        base.executemany("INSERT INTO spent VALUES (?)", ([raw] for raw in sorted(self._latest)))
        base.execute("COMMIT")
        self._latest.clear()
