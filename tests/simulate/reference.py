"""A second matching model for resting quotes, slow and plain, written from the prose alone.

One instrument, orders that only rest, constant delays, two books (the exchange's, and ours behind the feed). The queue models are the ones
that hftbacktest documents: in RiskAdverseQueueModel an order starts behind all that its level shows, trades at its price take lots off the
front, and the front is never more than the level shows; in PowerProbQueueModel a level that shrinks by more than was traded loses the
difference partly ahead of us and partly behind, the part behind having probability back^n / (back^n + front^n).

Nothing here is shared with `interlock.simulate`; quantities are lots, times nanoseconds.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

DEPTH, TRADE = 0, 1
EXCHANGE, REQUEST, RESPONSE, LOCAL = 0, 1, 2, 3

Event = tuple[int, int, int, int, int, int]
"""(exchange_ns, receive_ns, kind, side, ticks, lots)"""


@dataclass
class Level:
    """One side of a book: what each price shows."""

    side: int
    shown: dict[int, int] = field(default_factory=dict)

    def set(self, ticks: int, lots: int) -> None:
        if lots:
            self.shown[ticks] = lots
        else:
            self.shown.pop(ticks, None)

    def best(self) -> int | None:
        if not self.shown:
            return None
        return max(self.shown) if self.side > 0 else min(self.shown)


@dataclass
class Order:
    """One of our quotes, as both sides of the wire know it."""

    number: int
    side: int
    ticks: int
    lots: int
    # ours
    state: str = "sent"
    # the exchange's
    open_lots: int = 0
    front: float = 0.0
    traded: float = 0.0


@dataclass(frozen=True)
class Fill:
    """An execution, as the exchange knows it."""

    exchange_ns: int
    number: int
    side: int
    ticks: int
    lots: int


class Reference:
    """Replays events against the quoting rule: one post-only order at each best price, replaced when the best moves away from it."""

    def __init__(self, *, order_ns: int, cancel_ns: int, response_ns: int, lots: int, power: float | None, partial: bool) -> None:
        self.delay = {"place": order_ns, "cancel": cancel_ns, "response": response_ns}
        self.lots = lots
        self.power = power
        self.partial = partial
        self.true_book = {1: Level(1), -1: Level(-1)}
        self.our_book = {1: Level(1), -1: Level(-1)}
        self.resting: list[Order] = []
        self.known: list[Order] = []
        self.fills: list[Fill] = []
        self.numbers = itertools.count(1)
        self.agenda: list[tuple[int, int, int, str, Order, int]] = []
        self.sequence = itertools.count()

    def run(self, events: Iterable[Event]) -> list[Fill]:
        """Replay events that lie in order of both times, and stop with the last one that reaches us."""
        listed = list(events)
        at_exchange, at_home = 0, 0
        while at_home < len(listed):
            # What is next: the earliest time, and at one instant the exchange, then requests, then answers, then our feed.
            choices = [(listed[at_home][1], LOCAL)]
            if at_exchange < len(listed):
                choices.append((listed[at_exchange][0], EXCHANGE))
            if self.agenda:
                choices.append(self.agenda[0][:2])
            now, what = min(choices)
            if what == EXCHANGE:
                self.market(now, listed[at_exchange])
                at_exchange += 1
            elif what == LOCAL:
                _, _, kind, side, ticks, lots = listed[at_home]
                before = (self.our_book[1].best(), self.our_book[-1].best())
                if kind == DEPTH:
                    self.our_book[side].set(ticks, lots)
                at_home += 1
                if before != (self.our_book[1].best(), self.our_book[-1].best()):
                    self.quote(now)
            else:
                _, _, _, message, order, amount = heapq.heappop(self.agenda)
                if what == REQUEST:
                    self.arrive(now, message, order)
                else:
                    self.learn(message, order, amount)
                    self.quote(now)
        return self.fills

    # the exchange

    def market(self, now: int, event: Event) -> None:
        _, _, kind, side, ticks, lots = event
        if kind == DEPTH:
            before = self.true_book[side].shown.get(ticks, 0)
            self.true_book[side].set(ticks, lots)
            for order in [o for o in self.resting if o.side == side and o.ticks == ticks]:
                self.level_changed(order, before, lots)
            best = self.true_book[side].best()
            for order in [o for o in self.resting if o.side == -side]:
                # The other side's best price came to ours or beyond it: whoever stands there trades with us first.
                if best is not None and (order.ticks - best) * order.side >= 0:
                    self.execute(now, order, order.open_lots)
        elif kind == TRADE:
            had = 0
            for order in [o for o in self.resting if o.side == -side]:
                better = (order.ticks - ticks) * order.side
                if better > 0:
                    self.execute(now, order, order.open_lots)
                elif better == 0:
                    had += self.traded(now, order, lots, had)

    def level_changed(self, order: Order, before: int, after: int) -> None:
        if self.power is None:
            order.front = min(order.front, after)
            return
        gone = before - after - order.traded
        order.traded = 0.0
        if gone < 0:
            order.front = min(order.front, after)
            return
        front = order.front
        back = before - front
        weight_back = max(back, 0.0) ** self.power
        weight_front = max(front, 0.0) ** self.power
        behind = weight_back / (weight_back + weight_front) if weight_back + weight_front > 0 else 1.0
        # More cannot leave behind us than stands there: the rest of it leaves ahead.
        estimate = front - (1.0 - behind) * gone + min(max(back, 0.0) - behind * gone, 0.0)
        order.front = min(estimate, after)

    def traded(self, now: int, order: Order, lots: int, had: int) -> int:
        order.front -= lots
        order.traded += lots
        past = int(-order.front + 0.5) if order.front < 0 else 0
        if past == 0:
            return 0
        order.front = 0.0
        if not self.partial:
            self.execute(now, order, order.open_lots)
            return 0
        ours = min(order.open_lots, max(past - had, 0))
        if ours:
            self.execute(now, order, ours)
        return ours

    def execute(self, now: int, order: Order, lots: int) -> None:
        self.fills.append(Fill(now, order.number, order.side, order.ticks, lots))
        order.open_lots -= lots
        if order.open_lots == 0:
            self.resting.remove(order)
        self.answer(now, "fill", order, lots)

    def arrive(self, now: int, message: str, order: Order) -> None:
        if message == "cancel":
            if order in self.resting:
                self.resting.remove(order)
                self.answer(now, "ended", order, 0)
            return
        best = self.true_book[-order.side].best()
        if best is not None and (order.ticks - best) * order.side >= 0:
            self.answer(now, "ended", order, 0)
            return
        order.open_lots = order.lots
        order.front = self.true_book[order.side].shown.get(order.ticks, 0)
        self.resting.append(order)
        self.answer(now, "accepted", order, 0)

    def answer(self, now: int, message: str, order: Order, amount: int) -> None:
        self.send(now + self.delay["response"], RESPONSE, message, order, amount)

    def send(self, due: int, what: int, message: str, order: Order, amount: int) -> None:
        heapq.heappush(self.agenda, (due, what, next(self.sequence), message, order, amount))

    # our side

    def learn(self, message: str, order: Order, amount: int) -> None:
        if message == "accepted":
            if order.state == "sent":
                order.state = "open"
        elif message == "fill":
            order.lots -= amount
            if order.lots == 0:
                self.known.remove(order)
        else:
            self.known.remove(order)

    def quote(self, now: int) -> None:
        for side in (1, -1):
            best = self.our_book[side].best()
            mine = next((o for o in self.known if o.side == side and o.state != "cancelling"), None)
            if best is None or (mine is not None and (mine.state == "sent" or mine.ticks == best)):
                continue
            if mine is not None:
                mine.state = "cancelling"
                self.send(now + self.delay["cancel"], REQUEST, "cancel", mine, 0)
            order = Order(next(self.numbers), side, best, self.lots)
            self.known.append(order)
            self.send(now + self.delay["place"], REQUEST, "place", order, 0)
