"""What a simulated venue remembers: every order with its executions, by number, by the client's name and the face's, and by time.

In memory is what is open and what ended lately; all else is in the archive, on disk. Who asks is told the same wherever it is: it is found by an
index and read as it is taken, so that what is asked costs what is told and not what there is. Both keep an order whole, with all that it executed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Reversible, Sequence
from typing import Final

from interlock.domain.instruments import Instrument
from interlock.simulate.served.archive import Archive
from interlock.simulate.served.orders import Execution, SimOrder
from interlock.simulate.served.span import EARLIEST, Orders, Span

ENDED_KEPT: Final = 512
"""Orders that are over and still in memory: those of the last minutes, which are what is asked for most, and Bybit's last 500."""


class History:
    """The orders of one venue. `ended_kept` is how many that are over stay in memory.

    `taken` and `executed` count orders and executions: each is also the latest number. `taken_back` are the executions that were taken back.
    """

    def __init__(self, instruments: Sequence[Instrument], ended_kept: int = ENDED_KEPT) -> None:
        self.taken = 0
        self.executed = 0
        self.taken_back: set[int] = set()
        self._archive = Archive(instruments)
        self._ended_kept = ended_kept
        # Writing many at once costs little more than writing one.
        self._batch = 1 + ended_kept // 8
        self._orders: dict[int, SimOrder] = {}
        self._executions: dict[int, Execution] = {}
        self._by_client_id: dict[str, SimOrder] = {}
        self._by_name: dict[str, SimOrder] = {}
        self._between_ns: dict[str, tuple[int, int]] = {}
        self._last_taken_ns = self._last_executed_ns = EARLIEST
        self._taken_in_time = self._executed_in_time = True

    @property
    def held(self) -> int:
        """How many orders are in memory."""
        return len(self._orders)

    @property
    def in_time(self) -> bool:
        """Whether executions are numbered as they follow each other in time, as they are unless the clock was set back."""
        return self._executed_in_time

    def close(self) -> None:
        """Let go of what is on disk."""
        self._archive.close()

    # what happens

    def take(self, order: SimOrder) -> None:
        """Remember a new order; its number is the next one. What ended long before it may go to the archive now."""
        self.taken = order.number
        self._orders[order.number] = order
        if order.client_id:
            self._by_client_id[order.client_id] = order
        self._taken_in_time &= order.created_ns >= self._last_taken_ns
        self._last_taken_ns = order.created_ns
        if order.number % self._batch == 0:
            self._put_away()

    def name(self, order: SimOrder, name: str) -> None:
        """Remember what the face calls an order."""
        order.name = name
        if order.number in self._orders:
            self._by_name[name] = order
        else:
            self._archive.write([order])

    def execute(self, execution: Execution) -> None:
        """Remember a new execution, which its order has already; also of an order that ended long ago."""
        order = execution.order
        self.executed = execution.number
        if execution.reverses:
            self.taken_back.add(execution.reverses)
        first_ns, _ = self._between_ns.get(order.symbol, (execution.venue_ns, 0))
        self._between_ns[order.symbol] = first_ns, execution.venue_ns
        self._executed_in_time &= execution.venue_ns >= self._last_executed_ns
        self._last_executed_ns = execution.venue_ns
        if order.number in self._orders:
            self._executions[execution.number] = execution
        else:
            self._archive.write([order])

    def _put_away(self) -> None:
        """Hand the oldest of those that are over to the archive, but for so many as are kept."""
        ended = [order for order in self._orders.values() if not order.open]
        if leaving := ended[: max(0, len(ended) - self._ended_kept)]:
            self._archive.write(leaving)
            for order in leaving:
                self._forget(order)

    def _forget(self, order: SimOrder) -> None:
        del self._orders[order.number]
        for executed in (*order.executed, *order.undone):
            self._executions.pop(executed.number, None)
        # A client id that was used again is the later order's.
        if self._by_client_id.get(order.client_id) is order:
            del self._by_client_id[order.client_id]
        self._by_name.pop(order.name, None)

    # one order

    def numbered(self, number: int) -> SimOrder | None:
        """The order of a number."""
        return self._orders.get(number) or (self._archive.numbered(number) if 0 < number <= self.taken else None)

    def of_client(self, client_id: str) -> SimOrder | None:
        """The latest order of a client id."""
        return self._by_client_id.get(client_id) or self._archive.of_client(client_id)

    def named(self, name: str) -> SimOrder | None:
        """The order that the face calls so."""
        return self._by_name.get(name) or self._archive.named(name)

    # many orders

    def orders(self, wanted: Orders, *, newest_first: bool) -> Iterator[SimOrder]:
        """Orders by their numbers, read as they are taken. What was read says nothing any more once something happens."""
        held = reversed(self._orders.values()) if newest_first else iter(self._orders.values())
        here = (order for order in held if wanted.holds_order(order))
        there = self._archive.orders(wanted, newest_first=newest_first, rising=self._taken_in_time)
        return heapq.merge(here, there, key=lambda order: order.number, reverse=newest_first)

    def unsettled(self, venue_ns: int) -> list[SimOrder]:
        """The orders that were not over at a time, oldest first: those that are open, and those that changed since."""
        here = [order for order in self._orders.values() if order.open or order.updated_ns > venue_ns]
        return sorted([*here, *self._archive.changed_after(venue_ns)], key=lambda order: order.number)

    def settled(self, venue_ns: int) -> Iterator[SimOrder]:
        """The orders that were over at a time and did not change since, the latest change first; read as they are taken."""
        here = sorted((o for o in self._orders.values() if not o.open and o.updated_ns <= venue_ns), key=_change, reverse=True)
        return heapq.merge(here, self._archive.changed_until(venue_ns), key=_change, reverse=True)

    # executions

    def executions(self, wanted: Span, *, newest_first: bool) -> Iterator[Execution]:
        """Executions by their numbers, those that took another back among them; read as they are taken."""
        there = self._archive.executions(wanted, newest_first=newest_first, by_time=False, rising=self._executed_in_time)
        return self._merged(wanted, self._executions.values(), there, newest_first=newest_first, by_time=False)

    def executions_by_time(self, wanted: Span, *, newest_first: bool) -> Iterator[Execution]:
        """Executions by time, at one time by number, those that took another back among them; read as they are taken."""
        there = self._archive.executions(wanted, newest_first=newest_first, by_time=True, rising=self._executed_in_time)
        here = self._executions.values() if self._executed_in_time else sorted(self._executions.values(), key=_moment)
        return self._merged(wanted, here, there, newest_first=newest_first, by_time=True)

    def between_ns(self, symbol: str) -> tuple[int, int]:
        """The times of the first and of the latest execution of a symbol; zeros without any."""
        return self._between_ns.get(symbol, (0, 0))

    def _merged(
        self, wanted: Span, held: Reversible[Execution], there: Iterator[Execution], *, newest_first: bool, by_time: bool
    ) -> Iterator[Execution]:
        along = reversed(held) if newest_first else iter(held)
        here = (execution for execution in along if wanted.holds_execution(execution))
        return heapq.merge(here, there, key=_moment if by_time else _number, reverse=newest_first)


def _change(order: SimOrder) -> tuple[int, int]:
    return order.updated_ns, order.number


def _moment(execution: Execution) -> tuple[int, int]:
    return execution.venue_ns, execution.number


def _number(execution: Execution) -> tuple[int, int]:
    return execution.number, 0
