"""What must hold in every replay: conservation, caps, and a kernel that sees only its own side of the wire."""

from collections import defaultdict
from decimal import Decimal

import numpy as np
from hypothesis import given
from tests.simulate.markets import INSTRUMENTS, Case, cases
from tests.simulate.test_fast_full import busy
from tests.simulate.worlds import Rows, Setup, script_strategy

from interlock.market.book import BOOK
from interlock.simulate.fast import replay_fast
from interlock.simulate.full import EventClass, replay_full
from interlock.simulate.layout import FINAL_FILLED, FINAL_OPEN_AT_END, RESTING, World
from interlock.simulate.outcome import Outcome
from interlock.simulate.world import fee_rates
from interlock.strategies.contract import KERNEL, ORDER, STATUS_FREE


def run(case: Case) -> tuple[World, Outcome]:
    world = case.setup.world(case.strategy)
    return world, replay_fast(world, case.strategy.kernel)


def start_lots(setup: Setup) -> list[int]:
    return [setup.own[i.key].start_lots for i in setup.instruments]


@given(cases())
def test_positions_and_orders_are_the_sum_of_their_fills(case: Case) -> None:
    world, out = run(case)
    signed = out.fills["side"].astype(np.int64) * out.fills["lots"]
    held = [start + int(signed[out.fills["instrument"] == k].sum()) for k, start in enumerate(start_lots(case.setup))]
    assert world.exchange_books["position_lots"].tolist() == held
    assert (out.fills["lots"] > 0).all()
    for k in range(len(INSTRUMENTS)):
        mine = out.fills["instrument"] == k
        assert np.array_equal(out.fills["position_lots"][mine], start_lots(case.setup)[k] + np.cumsum(signed[mine]))
    by_order: defaultdict[int, int] = defaultdict(int)
    for fill in out.fills:
        by_order[int(fill["seq"])] += int(fill["lots"])
    assert len({int(o["seq"]) for o in out.orders}) == len(out.orders) == out.submitted
    for order in out.orders:
        filled = by_order.pop(int(order["seq"]), 0)
        assert filled <= order["lots"]
        if order["final_state"] == FINAL_OPEN_AT_END:
            assert order["filled_lots"] <= filled  # the rest is on its way to us
        else:
            assert order["filled_lots"] == filled
        assert (order["final_state"] == FINAL_FILLED) == (order["filled_lots"] == order["lots"])
    assert not by_order


@given(cases())
def test_no_fill_is_worse_than_its_limit_on_a_book(case: Case) -> None:
    _, out = run(case)
    limits = {int(o["seq"]): int(o["ticks"]) for o in out.orders}
    for fill in out.fills:
        assert (limits[int(fill["seq"])] - int(fill["ticks"])) * int(fill["side"]) >= 0


@given(cases())
def test_caps_hold_at_every_instant_and_promises_end_with_their_orders(case: Case) -> None:
    world = case.setup.world(case.strategy)
    most = case.setup.more["max_open_orders"]
    caps = [case.setup.own[i.key].max_position_lots for i in INSTRUMENTS]
    starts = start_lots(case.setup)

    def watch(happening: EventClass, now_ns: int, world: World) -> None:
        assert (world.books["open_orders"] <= most).all()
        for k, book in enumerate(world.books):
            longest = int(book["position_lots"]) + int(book["open_buy_lots"])
            shortest = int(book["position_lots"]) - int(book["open_sell_lots"])
            assert longest <= max(caps[k], starts[k])
            assert shortest >= min(-caps[k], starts[k])
        resting = world.resting["leaves_lots"] > 0
        for k, book in enumerate(world.exchange_books):
            if not (resting & (world.orders["instrument"] == k)).any():
                assert book["live_n"] == 0
                assert book["reserved_lots"] == 0
        if not resting.any():
            assert np.allclose(world.venues["reserved_cash"], 0.0, atol=1e-6)

    replay_full(world, case.strategy.kernel, watch)


@given(cases())
def test_the_cash_of_a_venue_is_the_exact_sum_of_what_was_traded_and_paid(case: Case) -> None:
    world, out = run(case)
    for number, venue in enumerate(("binance", "bybit", "upbit")):
        cash = case.setup.venues[venue].cash
        scale = abs(cash) + 1
        for k, instrument in enumerate(INSTRUMENTS):
            if instrument.venue != venue:
                continue
            maker, taker = fee_rates(instrument, case.setup.settings())
            for fill in out.fills[out.fills["instrument"] == k]:
                notional = instrument.notional(int(fill["ticks"]), int(fill["lots"]))
                cash -= int(fill["side"]) * notional + notional * (maker if fill["maker"] else taker)
                scale += notional
            for paid in out.fundings[out.fundings["instrument"] == k]:
                value = instrument.notional(int(paid["mark_twice"]), int(paid["position_lots"])) / 2
                cash -= value * int(paid["rate"]) * Decimal("1e-12")
        assert abs(Decimal(float(world.venues["cash"][number])) - cash) <= scale * Decimal("1e-6")


# Fields of the book record that only the exchange's copy uses.
EXCHANGE_ONLY = ("live_n", "own_bid_low", "own_bid_high", "own_ask_low", "own_ask_high", "taken_n", "reserved_lots")


def test_nothing_that_a_kernel_receives_shows_the_exchange_side() -> None:
    setup, strategy = busy()
    world = setup.world(strategy)
    assert BOOK.names is not None
    facts = list(EXCHANGE_ONLY)
    at_start = world.books[facts].copy()
    before: list[bytes] = []
    changes: defaultdict[EventClass, int] = defaultdict(int)

    def seen() -> bytes:
        return bytes(world.books.tobytes() + world.orders.tobytes() + world.moment.tobytes() + world.depth.tobytes())

    def watch(happening: EventClass, now_ns: int, world: World) -> None:
        now = seen()
        changes[happening] += now != before[-1]
        before[:] = [now]

    before.append(seen())
    out = replay_full(world, strategy.kernel, watch)
    assert len(out.fills) > 100
    assert changes[EventClass.EXCHANGE] == changes[EventClass.REQUEST] == 0
    # Our own side did change, and the exchange's books hold what ours must not show.
    assert min(changes[EventClass.LOCAL], changes[EventClass.RESPONSE], changes[EventClass.TIMER]) > 100
    assert np.array_equal(world.books[facts], at_start)
    assert not np.array_equal(world.exchange_books[facts], at_start)


def test_the_records_of_a_kernel_have_no_field_of_the_queue() -> None:
    assert ORDER.names is not None
    assert RESTING.names is not None
    assert set(ORDER.names) & set(RESTING.names) == {"leaves_lots"}
    world = busy()[0].world(script_strategy([]))
    for given_to_kernel in world.kernel_side:
        assert not np.shares_memory(given_to_kernel, world.exchange_books)
        assert not np.shares_memory(given_to_kernel, world.resting)
    assert len(KERNEL.args) == len(world.kernel_side) + 2  # and the ladders, and the time


def test_slots_are_free_again_when_their_orders_have_ended() -> None:
    setup, strategy = busy()
    world = setup.world(strategy)
    out = replay_fast(world, strategy.kernel)
    still: Rows = out.orders[out.orders["final_state"] == FINAL_OPEN_AT_END]
    assert int((world.orders["status"] != STATUS_FREE).sum()) == len(still) == int(world.books["open_orders"].sum())
    assert out.submitted > 10 * len(world.orders)
