"""What the engine is told of its orders: how each stands now, as soon as anything changed, and never what happened on the way there.

The engine asks after a version and is answered with the present state of whatever changed since, so that nothing is lost between two questions, and
an answer that did not arrive is made good by the next one. Whoever has asked and then asks no more is gone: nobody is left who would take its orders
back, so the gate does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from itertools import takewhile
from typing import Final, TypeVar

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.gate import records as r
from interlock.gate.frames import Executed, Follow, Followed, OrderNow, PositionNow
from interlock.gate.lattice import common_level
from interlock.gate.ledger import exact_sum
from interlock.gate.order_state import Order
from interlock.gate.state import GateState

LONGEST_WAIT_NS: Final = NS_PER_S
GONE_NS: Final = 3 * NS_PER_S
"""An engine that has not asked for so long is gone. It asks at least once a second, however little there is to do."""
ENGINE_GONE: Final = "the engine is gone"
FOLLOW_EVERY_NS: Final = 250 * NS_PER_MS
"""What an engine is to ask for as `wait_ns`: so old can a level that it knows become."""
MARKS_KEPT: Final = 4_096
"""How many changes are remembered one by one; whoever is further behind is told everything."""

K = TypeVar("K")

_LEVELS: Final = (
    r.Armed,
    r.Disarmed,
    r.LatchSet,
    r.LatchCleared,
    r.InterlockTripped,
    r.InterlockCleared,
    r.LevelSet,
    r.KillRequested,
    r.KillEffective,
)


class Following:
    """Answers `Follow`. `boot_ns` is the time since the machine's boot; `note` is to be told each record that was folded."""

    def __init__(self, state: Callable[[], GateState], boot_ns: Callable[[], int]) -> None:
        self._state = state
        self._boot_ns = boot_ns
        # Versions of another process life lie below: who names one is told everything.
        self._version = self._floor = max(boot_ns(), 1)
        self._orders: dict[str, int] = {}
        self._positions: dict[tuple[str, str], int] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._under_way = 0
        self._heard_ns: int | None = None

    @property
    def gone(self) -> bool:
        """Whether somebody followed, and does so no more."""
        return self._heard_ns is not None and self._under_way == 0 and self._boot_ns() - self._heard_ns > GONE_NS

    def forget(self) -> None:
        """What was to be done about an engine that is gone was done."""
        self._heard_ns = None

    def note(self, record: r.Record) -> None:
        """Take in what a record changed."""
        client_id: str | None = getattr(record, "client_id", None)
        if client_id:
            self._mark(self._orders, client_id)
        if isinstance(record, r.Filled | r.FillReversed | r.LedgerEvent) and record.symbol:
            self._mark(self._positions, (record.venue, record.symbol))
        elif isinstance(record, _LEVELS):
            self._version += 1
            self._wake()

    async def follow(self, request: Follow) -> Followed:
        """How everything stands that changed after the version that is named. Waits for something, but not longer than is asked."""
        self._under_way += 1
        try:
            if request.after == self._version:
                await self._wait(min(request.wait_ns, LONGEST_WAIT_NS))
            return self._answer(request.after)
        finally:
            self._under_way -= 1
            self._heard_ns = self._boot_ns()

    def _mark(self, marks: dict[K, int], key: K) -> None:
        self._version += 1
        marks.pop(key, None)
        marks[key] = self._version
        while len(marks) > MARKS_KEPT:
            # The oldest first: a mark that is set again moves to the end.
            self._floor = marks.pop(next(iter(marks)))
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def _wait(self, wait_ns: int) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=wait_ns / NS_PER_S)
        finally:
            self._waiting.discard(waiter)

    def _answer(self, after: int) -> Followed:
        state = self._state()
        whole = not self._floor <= after <= self._version
        held = state.ledger.positions
        if whole:
            ids = [*state.orders.live, *(one for one in self._orders if one not in state.orders.live)]
            places = list(dict.fromkeys((venue, symbol) for venue, _, symbol in held))
        else:
            ids = _since(self._orders, after)
            places = _since(self._positions, after)
        found = [state.orders.by_id.get(one) for one in ids]
        lots = dict.fromkeys(places, 0)
        for (venue, _, symbol), position in held.items():
            if (venue, symbol) in lots:
                lots[venue, symbol] += position.lots
        return Followed(
            version=self._version,
            whole=whole,
            level=common_level(state.lattice),
            armed=_armed(state),
            orders=tuple(_now(state, order) for order in found if order is not None),
            positions=tuple(PositionNow(venue=venue, symbol=symbol, lots=held_lots) for (venue, symbol), held_lots in lots.items()),
        )


def _since(marks: dict[K, int], after: int) -> list[K]:
    """What was marked after a version, the newest first; a mark that is set again moves to the end, so that those before need not be looked at."""
    return [key for key, _ in takewhile(lambda mark: mark[1] > after, reversed(marks.items()))]


def _armed(state: GateState) -> bool:
    """Whether there is leave to trade. A drill's grant is for the gate's own order alone."""
    return state.live is not None and not state.arming.ended and state.live.grant.purpose is r.Purpose.TRADE


def _now(state: GateState, order: Order) -> OrderNow:
    return OrderNow(
        client_id=order.client_id,
        strategy=order.strategy,
        venue=order.venue,
        symbol=order.symbol,
        side=order.side,
        ticks=order.ticks,
        lots=order.lots,
        filled_lots=order.filled_lots,
        state=order.state,
        owed=order.cancel is not None,
        executed=_executed(state, order) if order.filled_lots else None,
    )


def _executed(state: GateState, order: Order) -> Executed | None:
    """Prices and fees of what was counted as filled; None unless the ledger remembers all of it."""
    tick_lots = lots = 0
    fees: dict[str, Decimal] = {}
    for trade_id in order.trade_ids:
        key = (*order.market, trade_id)
        booked = state.ledger.fills.get(key)
        if booked is not None and key not in state.ledger.reversals:
            lots += abs(booked.signed_lots)
            tick_lots += abs(booked.signed_lots) * booked.ticks
            fees[booked.fee_currency] = exact_sum(fees.get(booked.fee_currency, Decimal(0)), booked.fee)
    if lots != order.filled_lots:
        return None
    return Executed(tick_lots=Decimal(tick_lots), fees=tuple(fees.items()))
