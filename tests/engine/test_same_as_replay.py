"""Our side of a live engine and the full replay, fed with one recorded market and the same fills: every decision of the maker is the same.

The replay's matching model plays the venue for both. What it answers the replay is told to our side in the gate's words, as a live engine hears it:
how an order stands, and what is held. What a feed has shown comes frame by frame.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from interlock.domain.orders import OrderState, Side
from interlock.engine.side import Action, OurSide, Place, TakeBack
from interlock.gate.frames import Followed, OrderNow, PositionNow
from interlock.gate.records import Level
from interlock.market.columns import RowKind
from interlock.market.tape import Tape
from interlock.run.config import load_config
from interlock.run.demo import EXAMPLES
from interlock.run.replay import Plan, make_plan
from interlock.simulate.full import EventClass, replay_full
from interlock.simulate.layout import (
    RESPONSE_ACCEPTED,
    RESPONSE_CANCELLED,
    RESPONSE_EXPIRED,
    RESPONSE_FILL,
    RESPONSE_REJECTED,
    World,
)
from interlock.simulate.outcome import Outcome
from interlock.simulate.world import build_world

pytestmark = pytest.mark.data("binance_usdm")

LINES = 9_000
STATES = {
    RESPONSE_ACCEPTED: OrderState.OPEN,
    RESPONSE_FILL: OrderState.PARTIAL,
    RESPONSE_CANCELLED: OrderState.CANCELLED,
    RESPONSE_EXPIRED: OrderState.EXPIRED,
    RESPONSE_REJECTED: OrderState.REJECTED,
}


@pytest.fixture(scope="module")
def tape(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first part of the BTCUSDT capture."""
    from interlock.venues.formats import import_tape

    folder = tmp_path_factory.mktemp("stretch")
    with gzip.open(data_dir / "binance_usdm" / "hft_usdm_btcusdt_20240808.gz", "rb") as whole, gzip.open(folder / "part.gz", "wb") as part:
        part.writelines(islice(whole, LINES))
    return import_tape("binance-usdm-raw", [folder / "part.gz"], folder / "tape")


Decision = tuple[int, tuple[int, int, int], bytes]
"""When, (position, best bid, best ask), and the intents."""


def noted(kernel: Any, into: list[Decision]) -> Any:
    """A kernel that writes down what it was asked and what it wanted."""

    def decide(view: Any, books: Any, depth: Any, orders: Any, params: Any, state: Any, now_ns: int, intents: Any) -> int:
        count = int(kernel(view, books, depth, orders, params, state, now_ns, intents))
        book = books[0]
        seen = (int(book["position_lots"]), int(book["bid_ticks"]), int(book["ask_ticks"]))
        into.append((now_ns, seen, intents[:count].tobytes()))
        return count

    return decide


@dataclass
class Order:
    """An order as the gate would tell it."""

    client_id: str
    side: int
    ticks: int
    lots: int
    filled: int = 0


@dataclass
class Live:
    """Our side beside a replay, told all that the replay hears. `tells` may keep something from it."""

    plan: Plan
    tells: Callable[[int, int], bool] = lambda _kind, _number: True
    decided: list[Decision] = field(default_factory=list)
    book: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    orders: dict[int, Order] = field(default_factory=dict)
    taken_back: list[str] = field(default_factory=list)
    answers: int = 0
    row: int = 0
    frame_from: int = 0

    def __post_init__(self) -> None:
        rows = self.plan.tape.rows
        self.instrument, self.epoch_ns = self.plan.instruments[0], int(rows["receive_ns"][0])
        frames = zip(rows["receive_ns"].tolist(), rows["frame"].tolist(), strict=True)
        self.lines = list(zip(*(rows[name].tolist() for name in ("kind", "side", "ticks", "lots")), frames, strict=True))
        strategy = replace(self.plan.strategy, kernel=noted(self.plan.strategy.kernel, self.decided))
        self.side = OurSide((self.instrument,), self.plan.settings, strategy, lambda _k: self.book, self.epoch_ns)
        self.do(self.side.fresh(0, True, self.epoch_ns), self.epoch_ns)
        self.do(self.side.gate_trades(True, self.epoch_ns), self.epoch_ns)
        self.decided.clear()

    def do(self, actions: list[Action], now_ns: int) -> None:
        """What is proposed is permitted at once; what is taken back the replay takes back by itself."""
        for one in actions:
            if isinstance(one, Place):
                self.orders[one.seq] = Order(f"c{one.seq}", one.side, one.ticks, one.lots)
                self.do(self.side.permitted(one.seq, f"c{one.seq}", now_ns), now_ns)
            elif isinstance(one, TakeBack):
                self.taken_back.append(one.client_id)

    def happened(self, happening: EventClass, now_ns: int, world: World) -> None:
        """The observer of the replay."""
        if happening is EventClass.LOCAL:
            self.fed(world, now_ns)
        elif happening is EventClass.TIMER:
            self.do(self.side.timer(now_ns), now_ns)
        elif happening is EventClass.RESPONSE:
            head = int(world.control[0]["response_head"]) - 1
            self.answered(world.responses[head % len(world.responses)], int(world.books[0]["position_lots"]), now_ns)

    def fed(self, world: World, now_ns: int) -> None:
        kind, side, ticks, lots, frame = self.lines[self.row]
        if kind == RowKind.DEPTH:
            levels = self.book[0 if side > 0 else 1]
            if lots:
                levels[ticks] = lots
            else:
                levels.pop(ticks, None)
        elif kind == RowKind.CLEAR:
            self.book[0].clear()
            self.book[1].clear()
        self.row += 1
        if self.row < len(self.lines) and self.lines[self.row][-1] == frame:
            return
        rows = world.rows[self.frame_from : self.row].copy()
        self.frame_from = self.row
        self.do(self.side.rows(rows, len(rows), now_ns), now_ns)

    def answered(self, message: Any, position_lots: int, now_ns: int) -> None:
        self.answers += 1
        kind, order = int(message["kind"]), self.orders.get(int(message["seq"]))
        if order is None or kind not in STATES or not self.tells(kind, self.answers):
            return
        state = STATES[kind]
        if kind == RESPONSE_FILL:
            order.filled += int(message["lots"])
            state = OrderState.FILLED if order.filled == order.lots else state
        now = OrderNow(
            client_id=order.client_id,
            strategy="making",
            venue=self.instrument.venue,
            symbol=self.instrument.symbol,
            side=Side(order.side),
            ticks=order.ticks,
            lots=order.lots,
            filled_lots=order.filled,
            state=state,
            owed=order.client_id in self.taken_back,
        )
        held = PositionNow(venue=self.instrument.venue, symbol=self.instrument.symbol, lots=position_lots)
        told = Followed(version=self.answers, whole=False, level=Level.RUN, armed=True, orders=(now,), positions=(held,))
        self.do(self.side.told(told, now_ns), now_ns)


def side_by_side(tape: Path, tells: Callable[[int, int], bool] | None = None) -> tuple[list[Decision], Live, Outcome]:
    """The decisions of the replay, and our side beside it."""
    config = EXAMPLES / "making-btcusdt.toml"
    replayed: list[Decision] = []
    with Tape.open(tape) as opened:
        plan = make_plan(load_config(config), config, opened)
        world = build_world(opened.rows, opened.exchange_order, plan.instruments, plan.settings, plan.strategy)
        live = Live(plan) if tells is None else Live(plan, tells)
        outcome = replay_full(world, noted(plan.strategy.kernel, replayed), live.happened)
    return replayed, live, outcome


def test_our_side_decides_what_a_full_replay_decides(tape: Path) -> None:
    replayed, live, outcome = side_by_side(tape)
    different = next(((n, a, b) for n, (a, b) in enumerate(zip(replayed, live.decided, strict=False)) if a != b), None)
    assert different is None, different
    assert len(replayed) == len(live.decided) == outcome.decisions
    assert [order.client_id for order in live.orders.values()] == [f"c{seq}" for seq in range(1, outcome.submitted + 1)]
    # It was a stretch in which something happened: quotes that moved, fills on both sides, cancels.
    wanted = [one for one in replayed if one[2]]
    assert len(wanted) > 50
    assert len(live.taken_back) > 50
    assert set(outcome.fills["side"]) == {-1, 1}
    assert len({position for _, (position, _, _), _ in replayed}) > 3


@pytest.mark.parametrize("kind", [RESPONSE_FILL, RESPONSE_ACCEPTED])
def test_one_answer_that_our_side_is_not_told_of_shows(kind: int, tape: Path) -> None:
    """The control: decisions do depend on what is told, and this would notice a single thing that is not."""
    missed: list[int] = []

    def tells(told: int, number: int) -> bool:
        if told == kind and not missed:
            missed.append(number)
        return number not in missed

    replayed, live, _ = side_by_side(tape, tells)
    assert missed
    assert replayed != live.decided
