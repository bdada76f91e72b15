"""interlock itself: the compiled functions that `interlock replay` calls.

Modes: `risk` and `power` replay the stream with the compiled quoting kernel and that queue model (decisions as in `hftbacktest_engine`, whose
orders, fills and position they must give); `python` does the same as `risk` with a strategy written in Python; `book` keeps one book up to
date and does nothing else. Fees, position limits, a price collar, message budgets and the instrument index are active in all replays.
"""

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from benchmarks.engines import protocol
from interlock.domain.instruments import Fees, Instrument, Kind
from interlock.domain.price_rules import fixed_step
from interlock.market.book import BOOK, FAR, cell_of, set_level
from interlock.market.compiled import compiled
from interlock.simulate.fast import replay_fast, replay_python
from interlock.simulate.layout import ORDER_SLOTS, World, word_of
from interlock.simulate.outcome import Outcome
from interlock.simulate.settings import Budget, InstrumentSettings, QueueModel, ReplaySettings, VenueSettings
from interlock.simulate.world import Strategy, build_world
from interlock.strategies import touch
from interlock.strategies.contract import PLACE, REPLACE, STATUS_OPEN, STATUS_SENT, TIF_POST_ONLY, WAKE_ACCEPTED

INSTRUMENT = Instrument(
    venue="bench",
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    settle="USDT",
    kind=Kind.PERPETUAL,
    quantum=Decimal("0.1"),
    lot=Decimal("0.001"),
    price_rule=fixed_step("bench", Decimal("0.1"), "made up"),
    min_price=Decimal(1),
    max_price=Decimal(100_000),
    fees=Fees(maker=Decimal("0.0002"), taker=Decimal("0.0005"), profile="base", source="made up", as_of=date(2026, 1, 1)),
)


def settings(queue: QueueModel) -> ReplaySettings:
    """Everything switched on that a replay has, wide enough not to change what hftbacktest does, which has none of it."""
    return ReplaySettings(
        venues={
            "bench": VenueSettings(
                order_ns=protocol.ENTRY_LATENCY_NS,
                cancel_ns=protocol.ENTRY_LATENCY_NS,
                response_ns=protocol.RESPONSE_LATENCY_NS,
                budgets=(Budget(10_000, 10_000_000_000, 1_000), Budget(60_000, 60_000_000_000, 6_000)),
                cash=Decimal(1_000_000_000),
            )
        },
        instruments={INSTRUMENT.key: InstrumentSettings(max_position_lots=1_000_000, collar_millionths=100_000)},
        queue=queue,
        queue_power=2.0,
        # What parity asks for: hftbacktest's exchange fills whole orders, knows no self-match, and its strategy wakes with the feed only.
        partial_fills=False,
        self_match_refused=False,
        decide_on_feed_only=True,
    )


STRATEGY = Strategy("touch", touch.touch, np.array([float(protocol.ORDER_LOTS)]), 1, touch.WAKES)


class PythonTouch:
    """`interlock.strategies.touch` in plain Python, over the words of the world's memory."""

    def __init__(self, world: World) -> None:
        self.words = world.words
        self.high_at = word_of("moment", 0, "orders_high")
        self.also_wake_at = word_of("moment", 0, "also_wake")
        self.best_at = {1: word_of("books", 0, "bid_ticks"), -1: word_of("books", 0, "ask_ticks")}
        self.slots = [tuple(word_of("orders", i, name) for name in ("status", "side", "ticks")) for i in range(ORDER_SLOTS)]
        names = ("kind", "slot", "instrument", "side", "tif", "ticks", "lots", "tag", "reduce_only")
        self.intents = [tuple(word_of("intents", i, name) for name in names) for i in range(2)]

    def __call__(self, world: World, now_ns: int) -> int:
        """Decide; returns the number of intents."""
        words = self.words
        present: dict[int, tuple[int, int, int]] = {}
        for slot in range(words[self.high_at]):
            status_at, side_at, ticks_at = self.slots[slot]
            status = words[status_at]
            if status in (STATUS_SENT, STATUS_OPEN):
                present[words[side_at]] = (slot, status, words[ticks_at])
        n = 0
        for side in (1, -1):
            best = words[self.best_at[side]]
            kind, slot = PLACE, -1
            if side in present:
                slot, status, ticks = present[side]
                if ticks == best:
                    continue
                if status != STATUS_OPEN:
                    words[self.also_wake_at] |= WAKE_ACCEPTED
                    continue
                kind = REPLACE
            if best == 0:
                continue
            values = (kind, slot, 0, side, TIF_POST_ONLY, best, protocol.ORDER_LOTS, side, 0)
            for at, value in zip(self.intents[n], values, strict=True):
                words[at] = value
            n += 1
        return n


@compiled()
def keep_book(rows: Any, book: Any, depth: Any) -> int:
    """Apply every depth row to one book; returns how often a best price changed."""
    changes = 0
    b = book[0]
    for i in range(rows.shape[0]):
        row = rows[i]
        if row.kind == 0 and set_level(b, depth, row.side, cell_of(b, row.ticks), row.lots) == 2:
            changes += 1
    return changes


def new_book(rows: protocol.Rows) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """An empty book and ladder that hold every level of the stream."""
    ticks = rows["ticks"][rows["kind"] == protocol.DEPTH]
    book = np.zeros(1, BOOK)
    cells = int(ticks.max() - ticks.min()) + 1
    book["base_ticks"], book["cell_ticks"], book["cells"], book["asks_at"] = ticks.min(), 1, cells, cells
    book["bid_cell"], book["ask_cell"] = -FAR, FAR
    return book, np.zeros(2 * cells, np.int64)


def measured(result: Outcome) -> protocol.Outcome:
    """What the comparison looks at."""
    return protocol.Outcome(orders=result.submitted, fills=result.local_fills, position=result.position_lots[0])


def main() -> None:
    """Measure one mode."""
    asked = protocol.arguments(["risk", "power", "python", "book"])
    rows = np.load(asked.stream, mmap_mode="r")
    rows = rows[: asked.limit] if asked.limit else rows[:]
    if asked.mode == "book":
        keep_book(np.asarray(rows[:10]).copy(), *new_book(np.asarray(rows)))
        loaded = np.asarray(rows).copy()
        first_event_s = protocol.since(asked.spawned_ns)
        run_s, outcome = protocol.timed_runs(
            asked.runs, lambda: new_book(loaded), lambda state: keep_book(loaded, *state), lambda *_: protocol.Outcome()
        )
    else:
        chosen = settings(QueueModel.POWER if asked.mode == "power" else QueueModel.RISK_AVERSE)

        done: list[World] = []

        def prepare() -> World:
            # The memory of the run before is used again, as `interlock replay` does for the worlds of its fragility card.
            world = build_world(np.asarray(rows), None, (INSTRUMENT,), chosen, STRATEGY, recycle=done.pop() if done else None)
            done.append(world)
            return world

        def run(world: World) -> Outcome:
            if asked.mode == "python":
                return replay_python(world, PythonTouch(world))
            return replay_fast(world, touch.touch)

        prepare()
        first_event_s = protocol.since(asked.spawned_ns)
        run_s, outcome = protocol.timed_runs(asked.runs, prepare, run, lambda _, result: measured(result))
    protocol.report(
        asked,
        engine="interlock",
        events=len(rows),
        run_s=run_s,
        outcome=outcome,
        first_event_s=first_event_s,
        packages=["interlock", "numpy", "numba"],
    )


if __name__ == "__main__":
    main()
