"""The archive of a simulated venue: orders that are over, with all that they executed, as rows on disk, found by number, name and time.

A row becomes the same order again, exactly; while somebody has that order, everybody who asks for it is given that one.
"""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.simulate.served.orders import EndReason, Executed, Execution, Origin, SelfMatch, SimOrder
from interlock.simulate.served.scratch import blob, scratch
from interlock.simulate.served.span import EARLIEST, LATEST, Orders, Span

_CACHE_KIB: Final = 512
_READ_AT_ONCE: Final = 64
"""Rows that are fetched in one go: who reads on is given more, who stops has cost no more than these."""
# What is empty is NULL and in no index: an index leads to the few that have something there.
_TABLES: Final = """
CREATE TABLE orders (
    number INTEGER PRIMARY KEY, symbol INTEGER, created_ns INTEGER, updated_ns INTEGER, state TEXT, executed INTEGER,
    by_venue INTEGER, closed_ns INTEGER, client_id BLOB, name BLOB, row BLOB
);
CREATE INDEX orders_by_time ON orders (created_ns);
CREATE INDEX orders_by_symbol ON orders (symbol, created_ns);
CREATE INDEX orders_by_change ON orders (updated_ns);
CREATE INDEX orders_by_client_id ON orders (client_id) WHERE client_id IS NOT NULL;
CREATE INDEX orders_by_name ON orders (name) WHERE name IS NOT NULL;
CREATE INDEX few_by_venue ON orders (number) WHERE by_venue IS NOT NULL;
CREATE INDEX few_closed_ns ON orders (number) WHERE closed_ns IS NOT NULL;
CREATE TABLE executions (number INTEGER PRIMARY KEY, symbol INTEGER, venue_ns INTEGER, of INTEGER);
CREATE INDEX executions_by_time ON executions (venue_ns);
CREATE INDEX executions_by_symbol ON executions (symbol, venue_ns);
"""


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """An order. What sums up its executions is left out: it is summed up again."""

    symbol: int
    side: Side
    type: OrderType
    tif: TimeInForce
    ticks: int
    lots: int
    client_id: str
    reduce_only: bool
    self_match: SelfMatch
    words: dict[str, str]
    created_ns: int
    updated_ns: int
    foreign: bool
    origin: Origin
    state: OrderState
    reason: EndReason
    revision: int
    prevented_lots: int
    cost: Decimal | None
    fee_currency: str
    name: str
    executed: list[Executed]
    undone: list[Executed]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode


class Archive:
    """Orders that are over. Nothing is on disk before the first is written; `close` ends it, as the end of the archive itself does."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(instruments)
        self._symbols = {instrument.symbol: k for k, instrument in enumerate(self._instruments)}
        self._lent: weakref.WeakValueDictionary[int, SimOrder] = weakref.WeakValueDictionary()
        self._base: sqlite3.Connection | None = None

    def close(self) -> None:
        """Let go of the file; nothing is found any more."""
        if self._base is not None:
            self._base.close()
        self._base = None

    def write(self, orders: Iterable[SimOrder]) -> None:
        """Keep orders as they are now, also ones that are here already."""
        base = self._base = self._base if self._base is not None else scratch(self, _TABLES, cache_kib=_CACHE_KIB)
        written = list(orders)
        base.execute("BEGIN")
        base.executemany("REPLACE INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(self._columns, written))
        done = ((e.number, self._symbols[o.symbol], e.venue_ns, o.number) for o in written for e in (*o.executed, *o.undone))
        base.executemany("REPLACE INTO executions VALUES (?, ?, ?, ?)", done)
        base.execute("COMMIT")
        for order in written:
            self._lent[order.number] = order

    # one order

    def numbered(self, number: int) -> SimOrder | None:
        """The order of a number."""
        return self._one("number = ?", _bounded(number))

    def of_client(self, client_id: str) -> SimOrder | None:
        """The latest order of a client id."""
        return self._one("client_id = ?", blob(client_id))

    def named(self, name: str) -> SimOrder | None:
        """The order that the face calls so."""
        return self._one("name = ?", blob(name))

    def _one(self, term: str, value: int | bytes) -> SimOrder | None:
        found = self._rows(f"SELECT number, row FROM orders WHERE {term} ORDER BY number DESC LIMIT 1", [value])
        return next((self._order(*row) for row in found), None)

    # several

    def orders(self, wanted: Orders, *, newest_first: bool, rising: bool) -> Iterator[SimOrder]:
        """Orders by their numbers, read as they are taken. `rising`: numbers rise with time, so that a window of time is quick to find."""
        if self._nothing(wanted.symbols, wanted.states):
            return
        timed = rising and wanted.timed
        terms, values = self._within("orders", "created_ns", wanted, timed=timed, rising=rising)
        if wanted.states is not None:
            terms.append(f"state IN ({', '.join('?' * len(wanted.states))})")
            values += [state.value for state in wanted.states]
        if wanted.empty_since_ns > EARLIEST:
            terms.append("(executed OR updated_ns >= ?)")
            values.append(_bounded(wanted.empty_since_ns))
        # What few orders have leads by itself.
        few = [name for name, asked in (("by_venue", wanted.by_venue), ("closed_ns", wanted.closed_since_ns is not None)) if asked]
        table = f"orders INDEXED BY few_{few[0]}" if few and not timed else "orders"
        terms += [f"{name} IS NOT NULL" for name in few]
        if wanted.closed_since_ns is not None:
            terms.append("closed_ns >= ?")
            values.append(_bounded(wanted.closed_since_ns))
        along = _along("created_ns" if timed else "", newest_first=newest_first)
        for number, row in self._rows(f"SELECT number, row FROM {table} WHERE {' AND '.join(terms)} ORDER BY {along}", values):
            yield self._order(number, row)

    def executions(self, wanted: Span, *, newest_first: bool, by_time: bool, rising: bool) -> Iterator[Execution]:
        """Executions by their numbers, or by time and then number; read as they are taken. `rising` as for orders."""
        if self._nothing(wanted.symbols):
            return
        timed = by_time or (rising and wanted.timed)
        terms, values = self._within("executions", "venue_ns", wanted, timed=timed, rising=rising)
        along = _along("venue_ns" if timed else "", newest_first=newest_first)
        for number, of in self._rows(f"SELECT number, of FROM executions WHERE {' AND '.join(terms)} ORDER BY {along}", values):
            order = self.numbered(of)
            assert order is not None, f"execution {number}: expected its order {of} beside it, found none"
            yield next(Execution.of(order, one) for one in (*order.executed, *order.undone) if one.number == number)

    def changed_after(self, venue_ns: int) -> Iterator[SimOrder]:
        """The orders that changed after a time, in no order."""
        for number, row in self._rows("SELECT number, row FROM orders WHERE updated_ns > ?", [_bounded(venue_ns)]):
            yield self._order(number, row)

    def changed_until(self, venue_ns: int) -> Iterator[SimOrder]:
        """The orders that last changed at a time or before, the latest change first; at one time the highest number."""
        sql = "SELECT number, row FROM orders WHERE updated_ns <= ? ORDER BY updated_ns DESC, number DESC"
        for number, row in self._rows(sql, [_bounded(venue_ns)]):
            yield self._order(number, row)

    # inside

    def _rows(self, sql: str, values: Sequence[int | str | bytes]) -> Iterator[Any]:
        if self._base is None:
            return
        with contextlib.closing(self._base.execute(sql, values)) as cursor:
            while rows := cursor.fetchmany(_READ_AT_ONCE):
                yield from rows

    @staticmethod
    def _nothing(*choices: Collection[object] | None) -> bool:
        """Whether one of the choices leaves nothing, for which SQLite would look with no index that it was told to use."""
        return any(choice is not None and not choice for choice in choices)

    def _within(self, table: str, column: str, wanted: Span, *, timed: bool, rising: bool) -> tuple[list[str], list[int | str]]:
        """The terms of the bounds. With `timed` times lead and a number is only looked at; numbers lead otherwise."""
        begin_ns, end_ns = _bounded(wanted.begin_ns), _bounded(wanted.end_ns)
        if timed and rising:
            # A bound of the numbers is one of the times.
            nearest = f"SELECT {column} FROM {table} WHERE number"
            if wanted.first > EARLIEST:
                for (found_ns,) in self._rows(f"{nearest} >= ? ORDER BY number LIMIT 1", [_bounded(wanted.first)]):
                    begin_ns = max(begin_ns, found_ns)
            if wanted.last < LATEST:
                for (found_ns,) in self._rows(f"{nearest} <= ? ORDER BY number DESC LIMIT 1", [_bounded(wanted.last)]):
                    end_ns = min(end_ns, found_ns)
        times, numbers = (column, "+number") if timed else (f"+{column}", "number")
        terms, values = [f"{times} BETWEEN ? AND ?"], list[int | str]((begin_ns, end_ns))
        terms.append(f"{numbers} BETWEEN ? AND ?")
        values += [_bounded(wanted.first), _bounded(wanted.last)]
        if wanted.symbols is not None:
            known = [self._symbols[symbol] for symbol in wanted.symbols]
            # One symbol has an index by time; of several the time alone leads, and by numbers the number.
            terms.append("symbol = ?" if timed and len(known) == 1 else f"+symbol IN ({', '.join('?' * len(known))})")
            values += known
        return terms, values

    def _columns(self, order: SimOrder) -> tuple[Any, ...]:
        return (
            order.number,
            self._symbols[order.symbol],
            order.created_ns,
            order.updated_ns,
            order.state.value,
            int(bool(order.filled_lots)),
            None if order.origin is Origin.CLIENT else 1,
            order.closed_ns or None,
            blob(order.client_id) or None,
            blob(order.name) or None,
            _encode(self._row(order)),
        )

    def _row(self, order: SimOrder) -> _Row:
        return _Row(
            symbol=self._symbols[order.symbol],
            side=order.side,
            type=order.type,
            tif=order.tif,
            ticks=order.ticks,
            lots=order.lots,
            client_id=order.client_id,
            reduce_only=order.reduce_only,
            self_match=order.self_match,
            words=order.words,
            created_ns=order.created_ns,
            updated_ns=order.updated_ns,
            foreign=order.foreign,
            origin=order.origin,
            state=order.state,
            reason=order.reason,
            revision=order.revision,
            prevented_lots=order.prevented_lots,
            cost=order.cost,
            fee_currency=order.fee_currency,
            name=order.name,
            executed=order.executed,
            undone=order.undone,
        )

    def _order(self, number: int, row: bytes) -> SimOrder:
        lent = self._lent.get(number)
        if lent is not None:
            return lent
        kept = _decode(row)
        order = SimOrder(
            number=number,
            instrument=self._instruments[kept.symbol],
            side=kept.side,
            type=kept.type,
            tif=kept.tif,
            ticks=kept.ticks,
            lots=kept.lots,
            client_id=kept.client_id,
            reduce_only=kept.reduce_only,
            self_match=kept.self_match,
            words=kept.words,
            created_ns=kept.created_ns,
            updated_ns=kept.updated_ns,
            foreign=kept.foreign,
            origin=kept.origin,
            state=kept.state,
            reason=kept.reason,
            revision=kept.revision,
            prevented_lots=kept.prevented_lots,
            cost=kept.cost,
            fee_currency=kept.fee_currency,
            name=kept.name,
            executed=kept.executed,
            undone=kept.undone,
        )
        for one in kept.executed:
            order.add_up(one)
        self._lent[number] = order
        return order


def _along(time_column: str, *, newest_first: bool) -> str:
    down = " DESC" if newest_first else ""
    return f"{time_column}{down}, number{down}" if time_column else f"number{down}"


def _bounded(value: int) -> int:
    """A time or a number that a column can hold; clients ask for whatever they like."""
    return max(EARLIEST, min(value, LATEST))
