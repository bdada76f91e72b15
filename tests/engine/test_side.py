"""Our side while it is live: what is wanted after what is heard, and what is made of what the gate tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.simulate.kernels import Act, buy, cancel, script_params, scripted, sell

from interlock.domain.orders import OrderState, Side
from interlock.engine.side import UNKNOWN_HOLD_NS, Action, Bar, OurSide, Place, TakeBack
from interlock.gate.frames import Followed, OrderNow, PositionNow
from interlock.gate.records import Level
from interlock.market.columns import ROW, RowKind
from interlock.market.shipped import SHIPPED
from interlock.simulate.hold import FIRST_HOLD_NS
from interlock.simulate.settings import InstrumentSettings, ReplaySettings, VenueSettings
from interlock.simulate.world import Strategy
from interlock.strategies.contract import STATUS_OPEN, WAKE_PRICE, WAKE_RESPONSES, WAKE_SIZE, WAKE_TIMER

MS = 1_000_000
T0 = 1_700_000_000_000_000_000
BTC = SHIPPED["bybit:BTCUSDT"]
MID = 600_000
START = T0 + MS
"""When a script begins: a strategy that is woken before it may trade has nothing to say yet."""


@dataclass
class Ground:
    """A side with a scripted strategy, and the book that its feed holds."""

    acts: tuple[Act, ...] = ()
    book: dict[int, tuple[dict[int, int], dict[int, int]]] = field(default_factory=lambda: {0: ({}, {})})
    max_position_lots: int = 1_000

    def __post_init__(self) -> None:
        settings = ReplaySettings(
            venues={"bybit": VenueSettings(0, 0, 0)}, instruments={BTC.key: InstrumentSettings(self.max_position_lots)}, max_open_orders=32
        )
        wakes = WAKE_PRICE | WAKE_SIZE | WAKE_TIMER | WAKE_RESPONSES
        strategy = Strategy("scripted", scripted, script_params(self.acts), 4, wakes)
        self.side = OurSide((BTC,), settings, strategy, lambda k: self.book[k], T0)

    def quote(self, bid: int, ask: int, lots: int = 100, at_ns: int = T0) -> list[Action]:
        """The whole book is now one level a side."""
        bids, asks = self.book[0]
        changes = [(1, t, 0) for t in bids if t != bid] + [(-1, t, 0) for t in asks if t != ask] + [(1, bid, lots), (-1, ask, lots)]
        self.book[0] = ({bid: lots}, {ask: lots})
        rows = np.zeros(len(changes), ROW)
        rows["kind"], rows["exchange_ns"], rows["receive_ns"] = RowKind.DEPTH, at_ns, at_ns
        rows["side"], rows["ticks"], rows["lots"] = zip(*changes, strict=True)
        return self.side.rows(rows, len(rows), at_ns)

    def trading(self, at_ns: int = T0) -> list[Action]:
        """A fresh book, a gate that trades, and a timer at the start of the script."""
        found = self.quote(MID - 1, MID + 1, at_ns=at_ns)
        found += self.side.fresh(0, True, at_ns)
        found += self.side.gate_trades(True, at_ns)
        return found + self.side.timer(at_ns + MS)

    def told(self, *orders: OrderNow, lots: int | None = None, whole: bool = False, at_ns: int = T0) -> list[Action]:
        positions = () if lots is None else (PositionNow(venue="bybit", symbol=BTC.symbol, lots=lots),)
        told = Followed(version=1, whole=whole, level=Level.RUN, armed=True, orders=orders, positions=positions)
        return self.side.told(told, at_ns)

    def order(self, slot: int) -> Any:
        return self.side.world.orders[slot]


def now(client_id: str, state: OrderState, filled: int = 0, lots: int = 5, *, owed: bool = False) -> OrderNow:
    return OrderNow(
        client_id=client_id,
        strategy="s",
        venue="bybit",
        symbol=BTC.symbol,
        side=Side.BUY,
        ticks=MID - 5,
        lots=lots,
        filled_lots=filled,
        state=state,
        owed=owed,
    )


def placed(actions: list[Action]) -> Place:
    (one,) = actions
    assert isinstance(one, Place)
    return one


@pytest.mark.parametrize("missing", list(Bar))
def test_nothing_is_wanted_while_anything_forbids_it(missing: Bar) -> None:
    ground = Ground((buy(START, MID - 5, 5),))
    side = ground.side
    if missing is not Bar.NO_PRICE:
        assert ground.quote(MID - 1, MID + 1) == []
    if missing is not Bar.NO_BOOK:
        assert side.fresh(0, True, T0) == []
    if missing is not Bar.GATE:
        assert side.gate_trades(True, T0) == []
    assert side.bars(0) == (missing,)
    assert side.timer(START) == []


def test_what_a_strategy_wants_is_wanted_once_everything_allows_it() -> None:
    """The control of the test above."""
    ground = Ground((buy(START, MID - 5, 5),))
    one = placed(ground.trading())
    assert (one.side, one.ticks, one.lots, one.instrument, one.reduce_only) == (1, MID - 5, 5, 0, False)
    assert ground.side.bars(0) == ()
    assert ground.side.timer(T0) == [], "and not again"


def test_an_order_lives_by_what_the_gate_tells() -> None:
    ground = Ground((buy(START, MID - 5, 5),))
    one = placed(ground.trading())
    ground.side.permitted(one.seq, "a", T0)
    ground.told(now("a", OrderState.SENT))
    assert ground.order(one.slot)["status"] != STATUS_OPEN
    ground.told(now("a", OrderState.OPEN))
    assert ground.order(one.slot)["status"] == STATUS_OPEN
    ground.told(now("a", OrderState.PARTIAL, 2), lots=2)
    assert (ground.order(one.slot)["leaves_lots"], ground.side.position_lots(0)) == (3, 2)
    ground.told(now("a", OrderState.PARTIAL, 2), lots=2)
    assert (ground.order(one.slot)["leaves_lots"], ground.side.position_lots(0)) == (3, 2), "the same again changes nothing"
    ground.told(now("a", OrderState.FILLED, 5), lots=5)
    assert (ground.side.open_orders, ground.side.position_lots(0)) == (0, 5)


@pytest.mark.parametrize(
    "state", [OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED, OrderState.NOT_SENT, OrderState.ABSENT, OrderState.FILLED]
)
def test_an_order_that_has_ended_is_over(state: OrderState) -> None:
    ground = Ground((buy(START, MID - 5, 5),))
    one = placed(ground.trading())
    ground.side.permitted(one.seq, "a", T0)
    assert ground.side.open_orders == 1
    ground.told(now("a", state))
    assert ground.side.open_orders == 0
    assert ground.side.world.books[0]["open_buy_lots"] == 0


@pytest.mark.parametrize("state", [OrderState.PERMITTED, OrderState.SENT, OrderState.ACKED, OrderState.UNKNOWN, OrderState.QUARANTINED])
def test_an_order_whose_outcome_is_open_still_counts(state: OrderState) -> None:
    ground = Ground((buy(START, MID - 5, 5),))
    one = placed(ground.trading())
    ground.side.permitted(one.seq, "a", T0)
    ground.told(now("a", state))
    assert ground.side.open_orders == 1
    assert ground.side.world.books[0]["open_buy_lots"] == 5


@pytest.mark.parametrize("state", [OrderState.UNKNOWN, OrderState.QUARANTINED])
def test_an_order_of_unknown_outcome_loses_its_place_after_a_while_and_is_taken_back_if_it_stands(state: OrderState) -> None:
    ground = Ground((buy(START, MID - 5, 5),))
    one = placed(ground.trading())
    ground.side.permitted(one.seq, "a", T0)
    ground.told(now("a", state), at_ns=START)
    ground.told(now("a", state), at_ns=START + MS)
    ground.side.timer(START + UNKNOWN_HOLD_NS - 1)
    assert ground.side.open_orders == 1, "the control: it still counts"
    ground.side.timer(START + UNKNOWN_HOLD_NS)
    assert ground.side.open_orders == 0
    assert ground.side.world.books[0]["open_buy_lots"] == 0
    assert ground.told(now("a", state), at_ns=START + UNKNOWN_HOLD_NS) == [], "there is nothing to take back yet"
    assert ground.told(now("a", OrderState.OPEN), at_ns=START + UNKNOWN_HOLD_NS) == [TakeBack("a")]
    assert ground.told(now("a", OrderState.OPEN, owed=True), at_ns=START + UNKNOWN_HOLD_NS) == []
    assert ground.told(now("a", OrderState.CANCELLED), at_ns=START + UNKNOWN_HOLD_NS) == []


def test_an_order_that_is_known_again_keeps_its_place() -> None:
    ground = Ground((buy(START, MID - 5, 5),))
    one = placed(ground.trading())
    ground.side.permitted(one.seq, "a", T0)
    ground.told(now("a", OrderState.UNKNOWN), at_ns=START)
    ground.told(now("a", OrderState.OPEN), at_ns=START + MS)
    ground.side.timer(START + UNKNOWN_HOLD_NS + MS)
    assert ground.side.open_orders == 1


def test_what_is_told_of_an_order_before_its_permit_comes_is_not_lost() -> None:
    ground = Ground((buy(START, MID - 5, 5),))
    one = placed(ground.trading())
    assert ground.told(now("a", OrderState.OPEN)) == []
    ground.side.permitted(one.seq, "a", T0)
    assert ground.order(one.slot)["status"] == STATUS_OPEN


def test_a_cancel_that_is_wanted_before_the_permit_comes_follows_it() -> None:
    ground = Ground((buy(START, MID - 5, 5), cancel(START + MS, 1)))
    one = placed(ground.trading())
    assert ground.side.timer(START + MS) == [], "there is no id to cancel yet"
    assert ground.side.permitted(one.seq, "a", START + MS) == [TakeBack("a")]
    ground.told(now("a", OrderState.CANCELLED))
    assert ground.side.open_orders == 0


def test_a_denial_ends_the_order_and_holds_new_ones_back_for_a_while() -> None:
    ground = Ground((buy(START, MID - 5, 5), buy(START + MS, MID - 6, 5, tag=2), buy(START + FIRST_HOLD_NS, MID - 7, 5, tag=3)))
    one = placed(ground.trading())
    assert ground.side.denied_by_gate(one.seq, START) == []
    assert ground.side.open_orders == 0
    assert ground.side.timer(START + MS) == [], "held back"
    assert placed(ground.side.timer(START + FIRST_HOLD_NS)).ticks == MID - 7


def test_orders_of_an_engine_before_this_one_are_taken_back() -> None:
    ground = Ground()
    ground.trading()
    assert ground.told(now("old", OrderState.OPEN), now("gone", OrderState.CANCELLED), whole=True) == [TakeBack("old")]
    assert ground.told(now("old", OrderState.OPEN, owed=True), whole=True) == [], "which is under way already"


def test_an_order_that_a_gate_knows_nothing_of_any_more_has_ended() -> None:
    ground = Ground((buy(START, MID - 5, 5),))
    one = placed(ground.trading())
    ground.side.permitted(one.seq, "a", T0)
    ground.told(now("a", OrderState.OPEN))
    ground.told(whole=True)
    assert ground.side.open_orders == 0


def test_proposals_whose_answer_was_lost_are_forgotten_and_taken_back_when_they_show() -> None:
    ground = Ground((buy(START, MID - 5, 5),))
    one = placed(ground.trading())
    ground.side.forget_undecided(T0)
    assert ground.side.open_orders == 0
    assert ground.side.permitted(one.seq, "late", T0) == [TakeBack("late")]
    assert ground.told(now("late", OrderState.OPEN), whole=True) == [TakeBack("late")]


def test_the_position_is_the_gates_also_where_no_order_of_ours_explains_it() -> None:
    ground = Ground()
    ground.trading()
    ground.told(lots=-7)
    assert ground.side.position_lots(0) == -7


def test_our_own_limits_hold_before_anything_is_proposed() -> None:
    acts = (buy(START, MID - 5, 5), sell(START, MID + 5, 3, tag=2))
    assert [one.side for one in Ground(acts, max_position_lots=4).trading() if isinstance(one, Place)] == [-1]
    assert [one.side for one in Ground(acts, max_position_lots=5).trading() if isinstance(one, Place)] == [1, -1]


def test_a_book_that_runs_far_away_is_still_ours() -> None:
    ground = Ground()
    ground.trading()
    price = MID
    for step in range(1, 60):
        # Fifteen per cent in a jump, then on: no ladder that was made before reaches there.
        price = round(price * (1.15 if step % 20 == 0 else 1.01))
        ground.quote(price - 1, price + 1, at_ns=T0 + step * MS)
        assert ground.side.top(0) == (price - 1, price + 1), step
        assert ground.side.bars(0) == ()


def test_a_stale_book_takes_the_quotes_back_and_a_fresh_one_lets_them_out_again() -> None:
    ground = Ground((buy(START, MID - 5, 5), buy(T0 + 3 * MS, MID - 6, 5, tag=2)))
    one = placed(ground.trading())
    ground.side.permitted(one.seq, "a", T0)
    ground.side.fresh(0, False, T0 + 2 * MS)
    assert ground.side.bars(0) == (Bar.NO_BOOK,)
    ground.side.fresh(0, True, T0 + 3 * MS - MS // 2)
    assert placed(ground.side.timer(T0 + 3 * MS)).ticks == MID - 6


def test_orders_at_two_venues_are_proposed_in_the_order_of_their_numbers() -> None:
    """The gate takes the numbers of one strategy's proposals only as they rise, whichever venue they are for."""
    won = SHIPPED["upbit:KRW-BTC"]
    bid, ask = (won.ticks(Decimal(price)) for price in (80_000_000, 80_001_000))
    acts = (Act(START, instrument=1, side=1, ticks=bid, lots=1_000), buy(START, MID - 5, 5, tag=2))
    settings = ReplaySettings(
        venues={name: VenueSettings(0, 0, 0) for name in ("bybit", "upbit")},
        instruments={one.key: InstrumentSettings(1 << 50) for one in (BTC, won)},
    )
    books = [({MID - 1: 9}, {MID + 1: 9}), ({bid: 9}, {ask: 9})]
    side = OurSide((BTC, won), settings, Strategy("scripted", scripted, script_params(acts), 4, WAKE_TIMER), lambda k: books[k], T0)
    for k, sides in enumerate(books):
        rows = np.zeros(2, ROW)
        rows["kind"], rows["exchange_ns"], rows["receive_ns"], rows["instrument"], rows["lots"] = RowKind.DEPTH, T0, T0, k, 9
        rows["side"], rows["ticks"] = (1, -1), [tick for one in sides for tick in one]
        side.rows(rows, 2, T0)
        side.fresh(k, True, T0)
    side.gate_trades(True, T0)
    wanted = [one for one in side.timer(START) if isinstance(one, Place)]
    assert [(one.seq, one.instrument) for one in wanted] == [(1, 1), (2, 0)]
