"""Lists with many pages, cursors, the ledger: everything once, nothing twice that was not known, and the right sign."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.venues.contract.follower import Follower
from tests.venues.contract.place import Place
from tests.venues.contract.traits import at
from tests.venues.contract.truth import check_fills, check_order, totals

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.orders import Side
from interlock.simulate.served.faults import Fault
from interlock.simulate.served.orders import Execution
from interlock.venues.port import FillSeen, LedgerSeen, Page


async def all_fills(place: Place, cursor: str) -> tuple[dict[str, FillSeen], str]:
    """Everything after a cursor by id, read until a page leaves nothing out; and the cursor after it."""
    found: dict[str, FillSeen] = {}
    for _ in range(20):
        page: Page[FillSeen] = await place.ask(place.reads.fills(cursor))
        for each in page.found:
            assert found.setdefault(each.trade_id, each) == each
        cursor = page.cursor
        if not page.unreadable:
            return found, cursor
    raise AssertionError("expected executions that end")


async def executed(place: Place, orders: int, each: int) -> list[Execution]:
    """Executions of several orders, a few milliseconds from one to the next."""
    found = []
    for order in place.rest_truly(orders, lots=place.lots() + each):
        for _ in range(each):
            place.clock.advance(3 * NS_PER_MS)
            execution = place.sim.fill(order, 1)
            assert execution is not None
            found.append(execution)
    return found


async def test_executions_over_many_pages_are_all_told_once(place: Place) -> None:
    many = max(place.traits.fills_page + 30, 230) if place.traits.derivatives else 0
    # A venue without a list of executions has pages of orders instead.
    orders, each = (2, many // 2) if many else (place.traits.open_page + 30, 2)
    _, cursor = await all_fills(place, place.cursor)
    true = await executed(place, orders, each)
    found, after = await all_fills(place, cursor)
    mine = {execution.order.client_id for execution in true}
    check_fills(place, [each for each in found.values() if each.client_id in mine], true, makers=place.traits.tells_makers)
    again, _ = await all_fills(place, after)
    assert again.keys() <= found.keys(), "nothing new"
    later = await executed(place, 1, 3)
    more, _ = await all_fills(place, after)
    assert {place.face.trade_name(e.number) for e in later} <= more.keys()
    assert more.keys() - found.keys() == {place.face.trade_name(e.number) for e in later}


async def test_a_cursor_from_long_ago_leaves_nothing_out(place: Place) -> None:
    _, cursor = await all_fills(place, place.cursor)
    first = await executed(place, 2, 2)
    place.clock.advance(9 * 86_400 * NS_PER_S)
    second = await executed(place, 2, 2)
    found, _ = await all_fills(place, cursor)
    assert {place.face.trade_name(e.number) for e in (*first, *second)} <= found.keys()


async def test_a_second_read_from_the_beginning_is_the_first(place: Place) -> None:
    await executed(place, 1, 2)
    (one, cursor), (two, _) = [await all_fills(place, "") for _ in range(2)]
    assert one == two
    assert one
    (three, same), (four, again) = [await all_fills(place, cursor) for _ in range(2)]
    assert three == four
    assert same == again


async def test_open_orders_over_many_pages_are_all_told(place: Place) -> None:
    orders = [*place.rest_truly(place.traits.open_page + 30), *place.rest_truly(40, place.traits.symbols[1])]
    page = await place.ask(place.reads.open_orders())
    assert not page.unreadable
    assert len(page.found) == len(orders)
    seen = {each.client_id: each for each in page.found}
    for order in orders:
        check_order(place, seen[order.client_id], order)


async def test_ended_orders_over_many_pages_are_all_told(place: Place) -> None:
    since_ns = place.sim.now_ns()
    orders = [*place.rest_truly(place.traits.open_page + 30), *place.rest_truly(20, place.traits.symbols[1])]
    for number, order in enumerate(orders):
        place.clock.advance(NS_PER_MS)
        if number % 3:
            place.sim.cancel(order)
        else:
            place.sim.fill(order, order.lots)
    page = await place.ask(place.reads.ended_orders(since_ns))
    assert not page.unreadable
    seen = {each.client_id: each for each in page.found}
    assert {order.client_id for order in orders} <= seen.keys()
    for order in orders:
        check_order(place, seen[order.client_id], order)


async def test_orders_that_end_while_the_pages_are_read_hide_no_other(place: Place) -> None:
    orders = place.rest_truly(place.traits.open_page * 2 + 30)
    going = iter([orders[0], orders[-1], orders[1], orders[-2]])

    def between() -> None:
        order = next(going, None)
        if order is not None:
            place.sim.cancel(order)

    page = await place.ask(place.reads.open_orders(), between=between)
    seen = {each.client_id for each in page.found}
    assert page.unreadable or {order.client_id for order in orders if order.open} <= seen
    again = await place.ask(place.reads.open_orders())
    assert not again.unreadable
    assert {each.client_id for each in again.found} == {order.client_id for order in orders if order.open}


async def test_executions_that_a_lagging_list_shows_late_are_told_after_the_cursor(place: Place) -> None:
    _, cursor = await all_fills(place, place.cursor)
    first = await executed(place, 1, 2)
    place.clock.advance(40 * NS_PER_S)
    assert place.strike(Fault.HISTORY_LAG, verb="read", ms=30_000, times=0)
    second = await executed(place, 2, 2)
    found: set[str] = set()
    for _ in range(3):
        page = await place.ask(place.reads.fills(cursor))
        found |= {each.trade_id for each in page.found}
        cursor = page.cursor
    assert {place.face.trade_name(e.number) for e in first} <= found
    assert not {place.face.trade_name(e.number) for e in second} & found
    place.face.parts.faults.clear()
    more, _ = await all_fills(place, cursor)
    assert {place.face.trade_name(e.number) for e in second} <= more.keys()


async def test_ledger_events_that_a_lagging_list_shows_late_are_told_after_the_cursor(place: Place) -> None:
    seen_at_once, seen_late = Decimal("0.00011"), Decimal("0.00013")
    _, cursor = await known_events(place)
    # Longer than a read of many pages takes, where other tests have left so many.
    place.sim.book("deposit", place.traits.settle, seen_at_once)
    place.clock.advance(610 * NS_PER_S)
    assert place.strike(Fault.HISTORY_LAG, verb="read", ms=600_000, times=0)
    place.sim.book("deposit", place.traits.settle, seen_late)
    early, cursor = await all_events(place, cursor)
    place.face.parts.faults.clear()
    late, _ = await all_events(place, cursor)
    assert seen_at_once in {each.amount for each in early.values()}
    assert seen_late not in {each.amount for each in early.values()}
    assert seen_late in {each.amount for each in late.values()}


async def all_events(place: Place, cursor: str) -> tuple[dict[str, LedgerSeen], str]:
    page = await place.ask(place.reads.ledger(cursor))
    assert not page.unreadable
    found = {each.venue_id: each for each in page.found}
    assert len(found) == len(page.found)
    return found, page.cursor


async def known_events(place: Place) -> tuple[dict[str, LedgerSeen], str]:
    """What was told lately, and the cursor after it; the first time, everything."""
    found, place.ledger_cursor = await all_events(place, place.ledger_cursor)
    return found, place.ledger_cursor


@pytest.mark.parametrize("side", list(Side), ids=lambda side: str(side.name.lower()))
@pytest.mark.parametrize("rate", ["0.0001", "-0.0003"])
async def test_funding_is_in_the_ledger_and_the_stream_with_its_sign(place: Place, side: Side, rate: str) -> None:
    if not place.traits.derivatives:
        assert not place.strike(Fault.FUNDING, symbol=place.symbol, rate=rate)
        return
    before, cursor = await known_events(place)
    async with Follower(place) as follower:
        order = await place.placed(place.taking(side))
        assert place.strike(Fault.FUNDING, symbol=place.symbol, rate=rate)
        market = place.sim.markets[place.symbol]
        true = -side * market.mark * order.filled * Decimal(rate)
        after, _ = await all_events(place, cursor)
        (event,) = [each for name, each in after.items() if name not in before]
        assert (event.kind, event.currency, event.symbol) == ("funding", place.traits.settle, place.symbol)
        assert event.amount == true.quantize(Decimal("0.00000001"))
        assert event.venue_ns == place.sim.bookings[-1].venue_ns // NS_PER_MS * NS_PER_MS
        await follower.caught_up()
        assert follower.gaps == []
        # Whoever tells an id tells the same in both.
        assert follower.payments() in ([], [event])
        assert not [each for each in follower.fills() if each.client_id != order.client_id]


@pytest.mark.parametrize("amount", ["250.5", "-100.25"])
async def test_what_comes_and_goes_is_in_the_ledger_and_the_balance(place: Place, amount: str) -> None:
    before, cursor = await known_events(place)
    currency = place.traits.settle
    async with Follower(place) as follower:
        assert place.strike(Fault.DEPOSIT, currency=currency, amount=amount)
        await place.until(lambda: (seen := follower.balance(currency)) is not None and seen.total == totals(place)[currency])
        after, _ = await all_events(place, cursor)
        (event,) = [each for name, each in after.items() if name not in before]
        assert event.kind in ("transfer", "deposit", "withdrawal")
        assert (event.currency, event.amount, event.symbol) == (currency, Decimal(amount), "")


@at("upbit")
@pytest.mark.parametrize(
    ("rights", "told"), [((False, True), ["-3"]), ((True, False), ["5"]), ((False, False), []), ((True, True), ["5", "-3"])]
)
async def test_what_a_key_may_not_see_is_not_told(place: Place, rights: tuple[bool, bool], told: list[str]) -> None:
    before, cursor = await known_events(place)
    for amount in ("5", "-3"):
        place.clock.advance(NS_PER_S)
        assert place.strike(Fault.DEPOSIT, currency="KRW", amount=amount)
    key = place.add_key(sees_deposits=rights[0], sees_withdrawals=rights[1])
    page = await place.ask(place.reads.ledger(cursor), place.talker(place.reads.sign, key))
    assert not page.unreadable
    assert [str(each.amount) for each in page.found if each.venue_id not in before] == told


async def test_the_ledger_over_many_pages_is_told_once_and_its_cursor_holds_still(place: Place) -> None:
    before, cursor = await known_events(place)
    amounts = [Decimal(number) / 4 for number in range(1, place.traits.ledger_page + 60)]
    for amount in amounts:
        # What one moment of the venue's lists holds comes in no order.
        place.clock.advance(max(7 * NS_PER_MS, place.traits.resolution_ns))
        place.sim.book("deposit", place.traits.settle, amount)
    after, next_cursor = await all_events(place, cursor)
    new = [each for name, each in after.items() if name not in before]
    assert [each.amount for each in new] == amounts
    again, same = await all_events(place, next_cursor)
    assert again.keys() <= after.keys()
    assert same == next_cursor


async def test_fees_and_profit_of_executions_are_no_ledger_events(place: Place) -> None:
    before, cursor = await known_events(place)
    opening = await place.placed(place.taking(Side.BUY))
    closing = await place.placed(place.taking(Side.SELL, lots=opening.filled_lots))
    assert closing.fee > 0
    after, _ = await all_events(place, cursor)
    assert after.keys() <= before.keys()
