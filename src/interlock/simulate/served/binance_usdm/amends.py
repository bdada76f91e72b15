"""The amends that were done, on disk: how each changed its order, found by symbol and order, the latest first."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from interlock.simulate.served.scratch import blob, scratch

_CACHE_KIB: Final = 64
_LARGEST: Final = (1 << 63) - 1
_TABLES: Final = """
CREATE TABLE amends (number INTEGER PRIMARY KEY, symbol TEXT, order_id INTEGER, client_id BLOB, at_ms INTEGER, row BLOB);
CREATE INDEX amends_by_symbol ON amends (symbol);
CREATE INDEX amends_by_order ON amends (order_id);
CREATE INDEX amends_by_client_id ON amends (client_id);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """One amend that was done: its own number, the order's ids, price and size before and after, and the name that the client gave it, if any."""

    number: int
    symbol: str
    order_id: int
    client_id: str
    at_ms: int
    price: tuple[Decimal, Decimal]
    quantity: tuple[Decimal, Decimal]
    count: int
    modify_id: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Amendment).decode


class Amends:
    """The amends of one account. `count` is also the latest number; `latest` is None before the first."""

    def __init__(self) -> None:
        self.count = 0
        self.latest: Amendment | None = None
        self._before: Amendment | None = None
        self._base: sqlite3.Connection | None = None

    def add(self, one: Amendment) -> None:
        """Remember an amend; its number is the next one."""
        self._base = self._base if self._base is not None else scratch(self, _TABLES, cache_kib=_CACHE_KIB)
        values = (one.number, one.symbol, one.order_id, blob(one.client_id), one.at_ms, _encode(one))
        self._base.execute("INSERT INTO amends VALUES (?, ?, ?, ?, ?, ?)", values)
        self._before, self.latest, self.count = self.latest, one, one.number

    def take_back(self) -> None:
        """Forget the latest, which was not done after all."""
        assert self._base is not None, "expected an amend to take back, found none"
        self._base.execute("DELETE FROM amends WHERE number = ?", [self.count])
        self.latest, self.count = self._before, self.count - 1

    def newest(self, symbol: str, *, order_id: int | None, client_id: str) -> Iterator[Amendment]:
        """The amends of a symbol, the latest first, of one order if it is named by either id; read as they are taken."""
        # A client may ask for a number that no column could hold.
        if self._base is None or (order_id or 0) > _LARGEST:
            return
        terms, values = ["symbol = ?"], list[str | int | bytes]((symbol,))
        for column, wanted in (("order_id", order_id), ("client_id", blob(client_id) or None)):
            if wanted is not None:
                terms[0] = "+symbol = ?"
                terms.append(f"{column} = ?")
                values.append(wanted)
        sql = f"SELECT row FROM amends WHERE {' AND '.join(terms)} ORDER BY number DESC"
        with contextlib.closing(self._base.execute(sql, values)) as cursor:
            for (row,) in cursor:
                yield _decode(row)
