"""Executions, which Upbit tells order by order: every one is told, whatever happens between two reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.scripted import finish, query
from tests.venues.upbit.talks import INSTRUMENTS, MS, NOW_MS, Order, SmallVenue, clock, no, ok

from interlock.domain.errors import UsageError
from interlock.venues.port import Ask, FillSeen, Heard, Nonsense, Page, Refused
from interlock.venues.upbit import history
from interlock.venues.upbit.account import Account

ACCOUNT = Account(INSTRUMENTS)
MINUTE_MS = 60_000
DAY_MS = 86_400_000


def read(venue: Callable[[Ask], Heard], cursor: str = "") -> Page[FillSeen]:
    return finish(ACCOUNT.fills(cursor), venue)


def ids(page: Page[FillSeen]) -> list[str]:
    return sorted(each.trade_id for each in page.found)


def test_executions_of_open_and_ended_orders_are_told_once_and_again_when_there_is_more() -> None:
    venue = SmallVenue()
    venue.orders["a"] = Order("a", NOW_MS - MINUTE_MS, 1_000, trades=[("a1", 400)])
    venue.orders["b"] = Order("b", NOW_MS - MINUTE_MS, 1_000, "done", [("b1", 400), ("b2", 600)])
    venue.orders["c"] = Order("c", NOW_MS - MINUTE_MS, 1_000, "cancel")
    first = read(venue)
    assert (ids(first), first.unreadable, first.venue_ns) == (["a1", "b1", "b2"], False, NOW_MS * MS)
    assert read(venue, first.cursor) == Page((), first.cursor, NOW_MS * MS)
    venue.orders["a"].trades.append(("a2", 600))
    venue.orders["a"].ended = "done"
    second = read(venue, first.cursor)
    assert ids(second) == ["a1", "a2"]
    assert second.cursor != first.cursor
    assert read(venue, second.cursor).found == ()


def test_executions_come_in_the_order_of_their_time() -> None:
    venue = SmallVenue()
    for number, uuid in enumerate(("z", "a", "m")):
        venue.orders[uuid] = Order(uuid, NOW_MS - 10_000 + 1_000 * number, 1_000, "done", [(f"{uuid}1", 1_000)])
    assert [each.trade_id for each in read(venue).found] == ["z1", "a1", "m1"]


def test_nothing_that_happened_leaves_the_cursor_as_it_is_for_an_hour() -> None:
    venue = SmallVenue()
    first = read(venue)
    venue.now_ms += 40 * MINUTE_MS
    venue.orders["a"] = Order("a", venue.now_ms, 1_000)
    assert read(venue, first.cursor).cursor == first.cursor
    venue.now_ms += 60 * MINUTE_MS
    later = read(venue, first.cursor)
    assert later.cursor != first.cursor
    assert " a=0" in later.cursor


def test_an_order_that_rested_for_weeks_is_not_forgotten() -> None:
    venue = SmallVenue()
    venue.orders["a"] = Order("a", NOW_MS - 20 * DAY_MS, 1_000)
    cursor = read(venue).cursor
    for _ in range(3):
        venue.now_ms += 9 * DAY_MS
        cursor = read(venue, cursor).cursor
    venue.orders["a"].trades, venue.orders["a"].ended = [("a1", 1_000)], "done"
    page = read(venue, cursor)
    assert (ids(page), page.unreadable) == (["a1"], False)
    assert "a=" not in page.cursor


def test_an_order_that_a_list_leaves_out_while_it_is_open_stays_known() -> None:
    venue = SmallVenue()
    venue.orders["a"] = Order("a", NOW_MS - 20 * DAY_MS, 1_000)
    cursor = read(venue).cursor

    def forgetful(ask: Ask) -> Heard:
        return ok([]) if ask.call.path == "/v1/orders/open" else venue(ask)

    cursor = read(forgetful, cursor).cursor
    venue.orders["a"].trades, venue.orders["a"].ended = [("a1", 1_000)], "done"
    assert ids(read(venue, cursor)) == ["a1"]


def test_an_order_that_makes_no_sense_is_told_of_and_read_again() -> None:
    venue = SmallVenue()
    venue.orders["a"] = Order("a", NOW_MS - MINUTE_MS, 1_000, "done", [("a1", 1_000)])
    venue.orders["b"] = Order("b", NOW_MS - MINUTE_MS, 1_000, "done", [("b1", 1_000)])
    answers: list[Callable[[dict[str, Any]], Heard]] = [
        lambda row: ok(row | {"trades": []}),
        lambda row: ok(row | {"uuid": "b"}),
        lambda row: ok([row]),
        lambda row: no("order_not_found", 404),
    ]
    for answer in answers:

        def spoiled(ask: Ask, answer: Callable[[dict[str, Any]], Heard] = answer) -> Heard:
            spoil = ask.call.path == "/v1/order" and query(ask)["uuid"] == "a"
            return answer(venue.orders["a"].row(whole=True)) if spoil else venue(ask)

        page = read(spoiled)
        assert (ids(page), page.unreadable) == (["b1"], True)
        again = read(venue, page.cursor)
        assert (ids(again), again.unreadable) == (["a1"], False)


def test_a_refusal_ends_the_read() -> None:
    venue = SmallVenue()
    venue.orders["a"] = Order("a", NOW_MS, 1_000, "done", [("a1", 1_000)])
    with pytest.raises(Refused):
        read(lambda ask: no("too_many_requests", 429) if ask.call.path == "/v1/order" else venue(ask))


def test_an_id_that_could_be_no_query_is_not_asked_for() -> None:
    venue = SmallVenue()
    venue.orders["a&b"] = Order("a&b", NOW_MS, 1_000, "done", [("a1", 1_000)])
    page = read(venue)
    assert (page.found, page.unreadable) == ((), True)
    assert "/v1/order" not in [ask.call.path for ask in venue.asked]


def test_many_orders_are_read_in_parts() -> None:
    venue = SmallVenue()
    for number in range(250):
        venue.orders[f"o{number}"] = Order(f"o{number}", NOW_MS - 1_000 * number, 100, "done", [(f"t{number}", 100)])
    seen: set[str] = set()
    cursor, unreadable = "", True
    for _ in range(3):
        page = read(venue, cursor)
        assert unreadable
        assert len(page.found) <= history.MOST_ORDERS_READ
        seen |= {each.trade_id for each in page.found}
        cursor, unreadable = page.cursor, page.unreadable
    assert (len(seen), unreadable) == (250, False)


@pytest.mark.parametrize("cursor", ["x", "1", "2 5", "1 -5", "1 5 a", "1 5 a=", "1 5 a=1.2.3", "1 5 a=b", "1 5 a=1\n", "1 5  a=1"])
def test_what_is_no_cursor(cursor: str) -> None:
    with pytest.raises(UsageError, match="cursor"):
        finish(ACCOUNT.fills(cursor), lambda ask: clock())
    assert history.cursor_of("1 5 a=0.5", 0).text() == "1 5 a=0.5"


def test_a_list_that_does_not_end_is_nonsense() -> None:
    row = Order("a", NOW_MS, 1).row()
    with pytest.raises(Nonsense):
        read(lambda ask: clock() if ask.call.path == "/v1/orderbook" else ok([row] * 100))


STEPS = st.one_of(
    st.tuples(st.just("place"), st.integers(1, 1_000)),
    st.tuples(st.just("trade"), st.integers(0, 50)),
    st.tuples(st.just("end"), st.integers(0, 50)),
    st.tuples(st.just("wait"), st.sampled_from([1_000, MINUTE_MS, 30 * MINUTE_MS, DAY_MS, 8 * DAY_MS])),
    st.tuples(st.just("read"), st.integers(0, 12)),
)


@given(st.lists(STEPS, max_size=40))
def test_every_execution_is_told_whatever_happens_between_and_during_reads(steps: list[tuple[str, int]]) -> None:
    venue = SmallVenue()
    told: dict[str, FillSeen] = {}
    counter = iter(range(10_000))
    cursor = ""

    def trade(which: int) -> None:
        opened = [each for each in venue.orders.values() if not each.ended]
        if opened:
            order = opened[which % len(opened)]
            left = order.lots - sum(lots for _, lots in order.trades)
            order.trades.append((f"t{next(counter)}", max(1, left // 2)))
            if left <= 1:
                order.ended = "done"

    def during(moment: int, ask: Ask) -> Heard:
        if len(venue.asked) == moment:
            trade(moment)
        return venue(ask)

    # The first read begins the account; whatever trades from then on must come.
    cursor = read(venue, cursor).cursor
    for what, much in [*steps, ("read", 99)]:
        if what == "place":
            name = f"o{next(counter)}"
            venue.orders[name] = Order(name, venue.now_ms, much)
        elif what == "trade":
            trade(much)
        elif what == "end":
            for order in [each for each in venue.orders.values() if not each.ended][much : much + 1]:
                order.ended = "cancel"
        elif what == "wait":
            venue.now_ms += much
        else:
            venue.asked.clear()
            page = finish(ACCOUNT.fills(cursor), partial(during, much))
            cursor = page.cursor
            for fill in page.found:
                assert told.setdefault(fill.trade_id, fill) == fill
    traded = {uuid: lots for order in venue.orders.values() for uuid, lots in order.trades}
    assert {uuid: fill.lots for uuid, fill in told.items()} == traded
    assert read(venue, cursor).found == ()
