"""Reading from the fake venue: what it holds is told as it is, and whatever is uncertain fails, once, without a second request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.fake_servers import MS, Hand, Speaker, SteppedClock, answer, fake, full_listener, now, run, scripted, settle

from interlock.domain.fx import FxSource
from interlock.domain.instruments import Kind
from interlock.domain.orders import Liquidity, OrderState, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate import venue_fake_reads as v
from interlock.gate.clock_watch import SkewDenial, skew_denial
from interlock.gate.connection import OrderConnection, Write
from interlock.gate.exposure import InstrumentFacts
from interlock.gate.readings import Now
from interlock.gate.venue_fake_line import Line, connect
from interlock.gate.venue_reads import Holding, ReadFailed, VenueReads, fingerprint_of
from interlock.simulate.fake_venue.control import (
    Ban,
    ClearFaults,
    DropConnections,
    FillOrder,
    MoveBalance,
    ReverseFill,
    SetBook,
    SetClock,
    SetIndex,
    SetLag,
    SetPermissions,
    SetStatus,
)
from interlock.simulate.fake_venue.faults import Fault
from interlock.simulate.fake_venue.launch import served
from interlock.simulate.fake_venue.witness import read_lines
from interlock.venues.fake import wire

BID, ASK = 500_000, 500_001
Use = Callable[[v.FakeReads], Awaitable[object]]


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[Hand]:
    with fake(tmp_path) as addresses:
        made = Hand(addresses)
        yield made
        made.close()


def reader(port: int, venue: str = "bybit", clock: Callable[[], Now] = now, timeout_ns: int = 2_000 * MS) -> v.FakeReads:
    return v.FakeReads(venue, "main", port, clock, timeout_ns=timeout_ns, receive_window_ns=5_000 * MS)


def reading(hand: Hand, use: Use, **more: Any) -> Any:
    """What comes out of a use of a reader of the served fake."""
    found: list[object] = []

    async def whole() -> None:
        reads = reader(hand.ports.orders, hand.venue, **more)
        try:
            found.append(await use(reads))
        finally:
            reads.close()

    run(whole())
    return found[0]


READS: dict[str, Use] = {
    "top": lambda reads: reads.quote("BTCUSDT"),
    "index": lambda reads: reads.rate("USDT"),
    "server_time": lambda reads: reads.clock(),
    "instruments": lambda reads: reads.listings(),
    "permissions": lambda reads: reads.key(),
    "query_order": lambda reads: reads.order("resting"),
    "open_orders": lambda reads: reads.open_orders(),
    "order_history": lambda reads: reads.history(),
    "executions": lambda reads: reads.executions(""),
    "ledger": lambda reads: reads.ledger(""),
    "positions": lambda reads: reads.holdings(),
    "balances": lambda reads: reads.holdings(),
}
every_read = pytest.mark.parametrize("verb", list(READS))


def filled_market(hand: Hand) -> None:
    """An order that rests, one that was filled, and money that came."""
    hand.place("resting")
    hand.buy("taken", lots=4)
    hand.do(MoveBalance, kind="deposit", currency="USDT", amount="500")


# What the venue holds


def test_the_reader_is_what_the_gate_asks_for(hand: Hand) -> None:
    reads: VenueReads = reader(hand.ports.orders)
    assert (reads.venue, reads.account) == ("bybit", "main")


def test_a_quote_is_the_top_of_the_book_with_mark_and_status(hand: Hand) -> None:
    before = now().boot_ns
    quote = reading(hand, lambda reads: reads.quote("BTCUSDT"))
    assert (quote.venue, quote.symbol, quote.bid_ticks, quote.ask_ticks, quote.mark_ticks, quote.trading) == (
        "bybit",
        "BTCUSDT",
        BID,
        ASK,
        0,
        True,
    )
    assert before <= quote.boot_ns <= now().boot_ns
    hand.do(SetBook, symbol="BTCUSDT", bid_ticks=7, ask_ticks=9, mark_ticks=8)
    hand.do(SetStatus, symbol="BTCUSDT", status="cancel_only")
    quote = reading(hand, lambda reads: reads.quote("BTCUSDT"))
    assert (quote.bid_ticks, quote.ask_ticks, quote.mark_ticks, quote.trading) == (7, 9, 8, False)


def test_a_quote_that_makes_no_book_is_left_to_the_references(hand: Hand) -> None:
    hand.arm(Fault.NONSENSE_READ, verb="top")
    assert reading(hand, lambda reads: reads.quote("BTCUSDT")).bid_ticks == -BID


@pytest.mark.parametrize(("venue", "currency"), [("bybit", "USDT"), ("binance_usdm", "USDT"), ("upbit", "KRW")])
def test_a_rate_is_the_index_of_the_venue(hand: Hand, venue: str, currency: str) -> None:
    there = Hand(hand.addresses, venue)
    rate = reading(there, lambda reads: reads.rate(currency))
    assert (rate.currency, rate.source, rate.name) == (currency, FxSource.BOOK, f"{venue} index")
    assert 0 < rate.bid < rate.ask < rate.bid * Decimal("1.001")
    there.do(SetIndex, currency=currency, bid="0", ask="2")
    rate = reading(there, lambda reads: reads.rate(currency))
    assert (rate.bid, rate.ask) == (Decimal(0), Decimal(2))
    there.close()


def test_the_clock_is_asked_when_the_connection_stands_and_shows_the_skew(hand: Hand) -> None:
    def sample(skew_ns: int) -> SkewDenial | None:
        hand.do(SetClock, skew_ns=skew_ns)
        found = reading(hand, lambda reads: reads.clock())
        low, high = found.interval_ns
        assert low <= skew_ns <= high + MS  # the fake's clock is the host's at its start, and what has passed since
        return skew_denial(found, receive_window_ns=5_000 * MS, now_boot_ns=found.boot_ns, max_age_ns=0)

    assert sample(0) is None
    assert sample(600 * MS) is SkewDenial.OUTSIDE
    assert sample(-600 * MS) is SkewDenial.OUTSIDE
    # Reads that are signed are not taken any more by a venue whose clock is so far off; the clock itself can still be asked.
    hand.do(SetClock, skew_ns=3_600_000 * MS)
    with pytest.raises(ReadFailed, match="request_expired"):
        reading(hand, lambda reads: reads.open_orders())
    assert reading(hand, lambda reads: reads.clock()).venue_ns > now().wall_ns


def test_listings_have_what_the_gate_needs_of_an_instrument(hand: Hand) -> None:
    found = reading(hand, lambda reads: reads.listings())
    assert [
        (one.symbol, one.base, one.quote, one.kind, one.tick, one.lot, one.min_lots, one.min_notional, one.trading) for one in found
    ] == [
        ("BTCUSDT", "BTC", "USDT", Kind.PERPETUAL, Decimal("0.1"), Decimal("0.001"), 1, Decimal(5), True),
        ("ETHUSDT", "ETH", "USDT", Kind.PERPETUAL, Decimal("0.01"), Decimal("0.01"), 1, Decimal(5), True),
    ]
    for one in found:
        InstrumentFacts(
            venue="bybit",
            symbol=one.symbol,
            asset=one.base,
            quote=one.quote,
            kind=one.kind,
            quote_per_tick_lot=one.tick * one.lot,
            asset_per_lot=one.lot,
            tiers=one.tiers,
        )
    hand.do(SetStatus, symbol="ETHUSDT", status="delisted")
    assert [one.trading for one in reading(hand, lambda reads: reads.listings())] == [True, False]
    there = Hand(hand.addresses, "upbit")
    (spot,) = reading(there, lambda reads: reads.listings())
    assert (spot.kind, spot.tiers) == (Kind.SPOT, ())
    there.close()


def test_the_key_is_told_as_it_is(hand: Hand) -> None:
    key = reading(hand, lambda reads: reads.key())
    assert (key.account, key.trade, key.withdraw, key.transfer, key.address_bound) == ("bybit-1", True, False, False, True)
    assert (key.expires_wall_ns, key.position_mode, key.margin_mode) == (0, "one_way", "cross")
    may = hand.request(wire.ReadPermissions()).body
    hand.do(SetPermissions, permissions=msgspec.structs.replace(may, withdraw=True, expires_ns=7))  # type: ignore[type-var]
    key = reading(hand, lambda reads: reads.key())
    assert (key.withdraw, key.expires_wall_ns) == (True, 7)
    untold = dict.fromkeys(("trade", "withdraw", "transfer", "address_bound", "expires_ns"))
    hand.do(SetPermissions, permissions=msgspec.structs.replace(may, **untold))  # type: ignore[type-var]
    key = reading(hand, lambda reads: reads.key())
    assert (key.account, key.fingerprint) == ("bybit-1", fingerprint_of("main"))
    assert {key.trade, key.withdraw, key.transfer, key.address_bound, key.expires_wall_ns} == {None}


def test_one_order_is_found_by_its_id_or_not_known(hand: Hand) -> None:
    hand.place("a", lots=10)
    hand.do(FillOrder, client_id="a", lots=4)
    found = reading(hand, lambda reads: reads.order("a"))
    assert (found.symbol, found.open_lots, found.report.client_id, found.report.venue_order_id) == ("BTCUSDT", 6, "a", "bybit-o1")
    assert (found.report.state, found.report.filled_lots, found.report.lots) == (OrderState.PARTIAL, 4, 10)
    hand.request(wire.Cancel(client_id="a"))
    found = reading(hand, lambda reads: reads.order("a"))
    assert (found.report.state, found.report.filled_lots, found.open_lots) == (OrderState.CANCELLED, 4, 0)
    assert reading(hand, lambda reads: reads.order("b")) is None


def test_lists_are_read_to_their_end(hand: Hand) -> None:
    for start in range(0, 420, 20):
        orders = tuple(_new(f"n{start + child}") for child in range(20))
        hand.request(wire.PlaceBatch(orders=orders, sign_ns=now().wall_ns, receive_window_ns=10**12))
    before = now().wall_ns
    shown = reading(hand, lambda reads: reads.open_orders())
    assert [one.report.client_id for one in shown.orders] == [f"n{number}" for number in range(420)]
    assert {one.report.source for one in shown.orders} == {"open"}
    assert abs(shown.venue_ns - before) < 5_000 * MS
    assert hand.witnessed("open_orders") == 3
    assert reading(hand, lambda reads: reads.history()).orders == ()
    hand.request(wire.CancelAll())
    ended = reading(hand, lambda reads: reads.history())
    assert len(ended.orders) == 420
    assert {(one.report.state, one.open_lots, one.report.source) for one in ended.orders} == {(OrderState.CANCELLED, 0, "history")}
    assert reading(hand, lambda reads: reads.open_orders()).orders == ()


def _new(client_id: str) -> wire.NewOrder:
    return wire.NewOrder(
        client_id=client_id,
        symbol="BTCUSDT",
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.GTC,
        reduce_only=False,
        ticks=1,
        lots=1,
    )


def test_executions_are_read_to_their_end_and_from_where_one_was(hand: Hand) -> None:
    none = reading(hand, lambda reads: reads.executions(""))
    assert (none.events, none.cursor, none.unreadable) == ((), "", False)
    hand.do(SetBook, symbol="BTCUSDT", bid_ticks=BID, ask_ticks=ASK, lots=401, parts=401)
    hand.buy("a", lots=401)
    first = reading(hand, lambda reads: reads.executions(""))
    assert [event.trade_id for event in first.events] == [f"bybit-t{number}" for number in range(1, 402)]
    fill = first.events[0]
    assert isinstance(fill, r.Filled)
    assert (fill.venue, fill.account, fill.client_id, fill.side, fill.ticks, fill.lots) == ("bybit", "main", "a", Side.BUY, ASK, 1)
    assert (fill.liquidity, fill.fee, fill.fee_currency) == (Liquidity.TAKER, Decimal("0.02750006"), "USDT")
    hand.do(ReverseFill, trade_id="bybit-t7")
    rest = reading(hand, lambda reads: reads.executions(first.cursor))
    assert [(type(event), event.trade_id) for event in rest.events] == [(r.FillReversed, "bybit-t7")]
    again = reading(hand, lambda reads: reads.executions(rest.cursor))
    assert (again.events, again.cursor) == ((), rest.cursor)
    assert again.venue_ns >= rest.venue_ns


def test_an_execution_that_makes_no_sense_is_left_out_and_read_again(hand: Hand) -> None:
    hand.buy("a", lots=1)
    first = reading(hand, lambda reads: reads.executions(""))
    hand.do(SetBook, symbol="BTCUSDT", bid_ticks=BID, ask_ticks=ASK, lots=250, parts=250)
    hand.buy("b", lots=250)
    hand.arm(Fault.NONSENSE_READ, verb="executions")
    spoiled = reading(hand, lambda reads: reads.executions(first.cursor))
    assert (spoiled.unreadable, spoiled.cursor) == (True, first.cursor)
    assert [event.trade_id for event in spoiled.events] == [f"bybit-t{number}" for number in range(3, 252)]
    whole = reading(hand, lambda reads: reads.executions(spoiled.cursor))
    assert (whole.unreadable, len(whole.events)) == (False, 250)


def test_ledger_events_are_read_and_one_of_an_unknown_kind_is_unreadable(hand: Hand) -> None:
    hand.do(MoveBalance, kind="funding", currency="USDT", amount="-1.5", symbol="BTCUSDT")
    page = reading(hand, lambda reads: reads.ledger(""))
    (event,) = page.events
    assert (event.kind, event.venue_id, event.currency, event.amount, event.symbol) == (
        r.LedgerKind.FUNDING,
        "bybit-l1",
        "USDT",
        Decimal("-1.5"),
        "BTCUSDT",
    )
    assert not page.unreadable
    hand.do(MoveBalance, kind="windfall", currency="USDT", amount="1")
    hand.do(MoveBalance, kind="deposit", currency="USDT", amount="2")
    spoiled = reading(hand, lambda reads: reads.ledger(page.cursor))
    assert (spoiled.unreadable, spoiled.cursor, [event.amount for event in spoiled.events]) == (True, page.cursor, [Decimal(2)])


def test_holdings_are_positions_and_balances(hand: Hand) -> None:
    hand.buy("a", lots=4)
    found = reading(hand, lambda reads: reads.holdings())
    assert found.positions == (Holding("BTCUSDT", 4, Decimal("50000.1")), Holding("ETHUSDT", 0, Decimal(0)))
    assert dict(found.balances) == {"USDT": Decimal("9999.88999978")}
    there = Hand(hand.addresses, "upbit")
    found = reading(there, lambda reads: reads.holdings())
    assert (found.positions, dict(found.balances)) == ((), {"BTC": Decimal(0), "KRW": Decimal(15_000_000)})
    there.close()


def test_lists_that_lag_are_told_as_they_are_with_their_time(hand: Hand) -> None:
    hand.place("a")
    hand.buy("t")
    hand.do(SetLag, history_ns=3_600_000 * MS, open_ns=3_600_000 * MS)
    assert reading(hand, lambda reads: reads.open_orders()).orders == ()
    assert reading(hand, lambda reads: reads.history()).orders == ()
    assert reading(hand, lambda reads: reads.order("a")) is None
    hand.do(ClearFaults)
    assert [one.report.client_id for one in reading(hand, lambda reads: reads.open_orders()).orders] == ["a"]
    assert [one.report.client_id for one in reading(hand, lambda reads: reads.history()).orders] == ["t"]
    assert reading(hand, lambda reads: reads.order("a")) is not None


# What fails


def failing(hand: Hand, verb: str, **more: Any) -> ReadFailed:
    """How one read fails; and that it works right afterwards, on the same reader, with one request for each."""
    before = hand.witnessed(verb)

    async def use(reads: v.FakeReads) -> ReadFailed:
        with pytest.raises(ReadFailed) as caught:
            await READS[verb](reads)
        assert hand.witnessed(verb) == before + 1
        hand.do(ClearFaults)
        await READS[verb](reads)
        return caught.value

    found = reading(hand, use, **more)
    assert isinstance(found, ReadFailed)
    return found


@every_read
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.LOSE_ACK, "no answer in time"),
        (Fault.RESET_AFTER_ACCEPTING, "closed the connection"),
        (Fault.GARBAGE_FRAME, "no message"),
        (Fault.ERROR_WITHOUT_ACCEPTING, "internal_error"),
    ],
)
def test_a_read_without_a_certain_answer_fails_once_and_the_next_one_works(hand: Hand, verb: str, fault: Fault, reason: str) -> None:
    filled_market(hand)
    hand.arm(fault, verb=verb)
    failed = failing(hand, verb, timeout_ns=150 * MS)
    assert reason in failed.reason
    assert not failed.limited


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.LOSE_REQUEST, "no answer in time"),
        (Fault.LATE_ACK, "no answer in time"),
        (Fault.REORDER_ANSWERS, "no answer in time"),
        (Fault.RESET_BEFORE_ACCEPTING, "closed the connection"),
        (Fault.PARTIAL_FRAME, "closed the connection"),
    ],
)
def test_every_other_way_to_lose_an_answer_fails_too(hand: Hand, fault: Fault, reason: str) -> None:
    hand.arm(fault, delay_ns=400 * MS)
    assert reason in failing(hand, "server_time", timeout_ns=150 * MS).reason


@pytest.mark.parametrize("verb", ["index", "instruments", "query_order", "open_orders", "order_history", "positions", "balances"])
def test_numbers_without_sense_fail(hand: Hand, verb: str) -> None:
    filled_market(hand)
    hand.arm(Fault.NONSENSE_READ, verb=verb)
    failing(hand, verb)


@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.BAN])
def test_after_a_limit_reads_fail_without_a_byte_until_the_time_that_was_named(hand: Hand, fault: Fault) -> None:
    clock = SteppedClock()
    hand.arm(fault, verb="top", delay_ns=10_000 * MS)

    async def use(reads: v.FakeReads) -> None:
        with pytest.raises(ReadFailed, match="limits the rate") as first:
            await reads.quote("BTCUSDT")
        assert first.value.limited
        assert 0 < first.value.retry_after_ns <= 10_000 * MS
        seen = hand.truth().requests
        with pytest.raises(ReadFailed, match="left alone") as second:
            await reads.holdings()
        assert second.value.limited
        assert 0 < second.value.retry_after_ns <= first.value.retry_after_ns
        assert hand.truth().requests == seen
        hand.do(ClearFaults)
        with pytest.raises(ReadFailed, match="left alone"):
            await reads.clock()
        clock.ahead_ns += first.value.retry_after_ns
        await reads.quote("BTCUSDT")

    reading(hand, use, clock=clock)


def test_a_ban_holds_for_every_read_of_the_account(hand: Hand) -> None:
    hand.do(Ban, for_ns=3_600_000 * MS)

    async def use(reads: v.FakeReads) -> None:
        results = await asyncio.gather(*(read(reads) for read in READS.values()), return_exceptions=True)
        assert all(isinstance(result, ReadFailed) and result.limited for result in results)

    reading(hand, use)


def test_a_limited_venue_is_left_alone_for_a_moment_however_odd_its_times_are() -> None:
    async def script(speaker: Speaker, _: int) -> None:
        speaker.answer(await speaker.hear(), status=429, code="rate_limited", venue_ns=10**18, reset_ns=5)
        await speaker.stay()

    async def use() -> None:
        async with scripted(script) as venue:
            reads = reader(venue.port)
            with pytest.raises(ReadFailed) as caught:
                await reads.clock()
            assert (caught.value.limited, caught.value.retry_after_ns) == (True, 100 * MS)
            reads.close()

    run(use())


# Several at once


def test_answers_find_their_reads_in_any_order_and_however_often_they_come(hand: Hand) -> None:
    hand.place("a")
    hand.arm(Fault.REORDER_ANSWERS, verb="top", delay_ns=1_000 * MS)
    hand.arm(Fault.ANSWER_TWICE, times=50)

    async def use(reads: v.FakeReads) -> None:
        for _ in range(3):
            top, index, _, order = await asyncio.gather(reads.quote("BTCUSDT"), reads.rate("USDT"), reads.clock(), reads.order("a"))
            assert (top.symbol, index.currency) == ("BTCUSDT", "USDT")
            assert order is not None

    reading(hand, use)
    assert hand.witnessed("top") == 3
    assert hand.truth().faults[Fault.ANSWER_TWICE] >= 9


def test_one_late_answer_fails_all_that_is_in_flight_and_cannot_be_taken_for_another(hand: Hand) -> None:
    hand.arm(Fault.LATE_ACK, verb="top", delay_ns=400 * MS)
    hand.arm(Fault.LATE_ACK, verb="index", delay_ns=400 * MS)

    async def use(reads: v.FakeReads) -> None:
        first = asyncio.create_task(reads.quote("BTCUSDT"))
        await settle(lambda: hand.witnessed("top") == 1)
        second = asyncio.create_task(reads.rate("USDT"))
        assert all(isinstance(failed, ReadFailed) for failed in await asyncio.gather(first, second, return_exceptions=True))
        # What the venue says late goes nowhere: these answers are those of these requests.
        assert (await reads.quote("ETHUSDT")).bid_ticks == 250_000
        await asyncio.sleep(0.45)
        assert (await reads.quote("BTCUSDT")).bid_ticks == BID

    reading(hand, use, timeout_ns=250 * MS)


def test_a_read_that_nobody_waits_for_any_more_disturbs_no_other(hand: Hand) -> None:
    hand.arm(Fault.LATE_ACK, verb="top", delay_ns=100 * MS)

    async def use(reads: v.FakeReads) -> None:
        given_up = asyncio.create_task(reads.quote("BTCUSDT"))
        await settle(lambda: hand.witnessed("top") == 1)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        await reads.rate("USDT")
        await asyncio.sleep(0.15)  # the answer comes now
        await reads.rate("USDT")

    reading(hand, use)
    assert _connections(hand, "index") == _connections(hand, "top")


def _connections(hand: Hand, verb: str) -> set[str]:
    return {line["connection"] for line in read_lines(Path(hand.addresses.witness)) if line["verb"] == verb}


def test_one_connection_serves_many_reads_and_a_new_one_comes_after_it_was_lost(hand: Hand) -> None:
    async def use(reads: v.FakeReads) -> None:
        await asyncio.gather(*(reads.quote("BTCUSDT") for _ in range(20)))
        assert len(_connections(hand, "top")) == 1
        hand.do(DropConnections)
        with contextlib.suppress(ReadFailed):  # the loss may show only when it is asked
            await reads.rate("USDT")
        await reads.clock()
        assert not _connections(hand, "top") & _connections(hand, "server_time")

    reading(hand, use)


def test_closing_fails_what_is_in_flight_and_the_next_read_connects_again(hand: Hand) -> None:
    hand.arm(Fault.LATE_ACK, verb="top", delay_ns=5_000 * MS)

    async def use(reads: v.FakeReads) -> None:
        reads.close()
        waiting = asyncio.create_task(reads.quote("BTCUSDT"))
        await settle(lambda: hand.witnessed("top") == 1)
        reads.close()
        with pytest.raises(ReadFailed, match="closed"):
            await waiting
        await reads.quote("BTCUSDT")

    reading(hand, use)


def test_a_venue_that_dies_fails_reads_and_nothing_listens_any_more(tmp_path: Path) -> None:
    async def use(reads: v.FakeReads, pid: int) -> None:
        await reads.quote("BTCUSDT")
        os.kill(pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(ReadFailed):
                await reads.quote("BTCUSDT")
        with pytest.raises(ReadFailed, match="no connection"):
            await reads.quote("BTCUSDT")
        reads.close()

    with served(tmp_path, ["bybit"], retire_after_s=60) as addresses:
        run(use(reader(addresses.venues["bybit"].orders), addresses.pid))


# Connecting


@pytest.fixture
def deaf_listener() -> Iterator[socket.socket]:
    """A listener that is full: connecting neither succeeds nor fails until it accepts."""
    with full_listener() as listener:
        yield listener


@pytest.fixture
def deaf_port(deaf_listener: socket.socket) -> int:
    return int(deaf_listener.getsockname()[1])


def test_connecting_takes_no_longer_than_a_read_may(deaf_port: int) -> None:
    async def use() -> None:
        reads = reader(deaf_port, timeout_ns=100 * MS)
        results = await asyncio.gather(reads.clock(), reads.quote("BTCUSDT"), return_exceptions=True)
        assert [str(result) for result in results] == ["no connection in time"] * 2
        reads.close()

    run(use())


def test_a_reader_that_is_closed_while_it_connects_fails_its_reads(deaf_port: int) -> None:
    async def use() -> None:
        reads = reader(deaf_port, timeout_ns=300 * MS)
        waiting = asyncio.gather(reads.clock(), reads.quote("BTCUSDT"), return_exceptions=True)
        await asyncio.sleep(0.02)
        reads.close()
        assert all(isinstance(result, ReadFailed) for result in await waiting)
        given_up = asyncio.create_task(reads.clock())
        await asyncio.sleep(0.02)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        reads.close()

    run(use())


def test_a_connection_that_comes_after_the_close_is_cut_and_no_further_one_is_made(deaf_listener: socket.socket) -> None:
    async def use() -> None:
        loop = asyncio.get_running_loop()
        reads = reader(deaf_listener.getsockname()[1], timeout_ns=8_000 * MS)
        waiting = asyncio.gather(reads.clock(), reads.quote("BTCUSDT"), return_exceptions=True)
        await asyncio.sleep(0.02)
        reads.close()
        deaf_listener.setblocking(False)
        (await loop.sock_accept(deaf_listener))[0].close()  # there is room now, when the kernel tries again
        assert [str(failed) for failed in await waiting] == ["the reader was closed"] * 2
        late, _ = await loop.sock_accept(deaf_listener)
        with late, pytest.raises(ConnectionResetError):
            await loop.sock_recv(late, 1)
        with pytest.raises(BlockingIOError):
            deaf_listener.accept()

    run(use())


def test_a_read_from_before_the_close_gets_no_connection_of_a_later_one(hand: Hand) -> None:
    async def use(reads: v.FakeReads) -> None:
        early = [asyncio.create_task(reads.clock()) for _ in range(3)]
        await asyncio.sleep(0)
        reads.close()
        late = asyncio.create_task(reads.quote("BTCUSDT"))
        assert all(str(failed) == "the reader was closed" for failed in await asyncio.gather(*early, return_exceptions=True))
        assert (await late).bid_ticks == BID

    reading(hand, use)
    assert hand.witnessed("server_time") == 0


# A venue whose every byte is written by hand


def against(script: Callable[[Speaker, int], Awaitable[None]], use: Use, **more: Any) -> Any:
    found: list[object] = []

    async def whole() -> None:
        async with scripted(script) as venue:
            reads = reader(venue.port, **more)
            try:
                found.append(await use(reads))
            finally:
                reads.close()

    run(whole())
    return found[0]


TOP = wire.Top(symbol="BTCUSDT", bid_ticks=1, ask_ticks=2)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (None, ""),  # the control: an answer as it should be
        (b"\0\0\0\0", "length"),
        (b"\xff\xff\xff\xff", "length"),
        (b"\0\0\0\x02\x02\x80", "version"),
        (b"\0\0\0\x02\x01\xc1", "no message"),
        (wire.encode(answer(0, None, status=400, code="bad_frame")), "not asked"),
        (wire.encode(answer(99, TOP)), "not asked"),
        (wire.encode(wire.Push(sequence=1, venue_ns=1, event=wire.Balance(currency="USDT", amount="1"))), "event"),
        (wire.encode(answer(1, TOP))[:-1], "no answer in time"),
        (b"", "no answer in time"),
    ],
)
def test_bytes_that_are_no_answer_cost_the_connection(said: bytes | None, reason: str) -> None:
    async def script(speaker: Speaker, number: int) -> None:
        request = await speaker.hear()
        if number == 1 and said is not None:
            speaker.say(said)
        else:
            speaker.answer(request, TOP)
        await speaker.stay()

    async def use(reads: v.FakeReads) -> None:
        if said is not None:
            with pytest.raises(ReadFailed, match=reason):
                await reads.quote("BTCUSDT")
        assert (await reads.quote("BTCUSDT")).ask_ticks == 2

    against(script, use, timeout_ns=150 * MS)


def test_numbers_of_requests_rise_over_connections_so_that_no_answer_fits_twice() -> None:
    numbers: list[int] = []

    async def script(speaker: Speaker, number: int) -> None:
        request = await speaker.hear()
        numbers.append(request.request_id)
        if number == 2:
            speaker.say(wire.encode(answer(numbers[0], TOP)))  # the answer to a request of the connection before
        if number == 3:
            speaker.answer(request, TOP)
        await speaker.stay()

    async def use(reads: v.FakeReads) -> None:
        for reason in ("no answer in time", "not asked"):
            with pytest.raises(ReadFailed, match=reason):
                await reads.quote("BTCUSDT")
        await reads.quote("BTCUSDT")

    against(script, use, timeout_ns=150 * MS)
    assert numbers == [1, 2, 3]


def test_an_answer_from_before_the_host_slept_is_too_late() -> None:
    clock = SteppedClock()

    async def script(speaker: Speaker, _: int) -> None:
        while True:
            speaker.answer(await speaker.hear(), TOP)
            clock.ahead_ns += sleeps.pop()

    sleeps = [0, 0, 60_000 * MS]

    async def use(reads: v.FakeReads) -> None:
        with pytest.raises(ReadFailed, match="too late"):
            await reads.quote("BTCUSDT")
        await reads.quote("BTCUSDT")

    # The clock moves before the answer is read here, because the venue runs in the same loop.
    against(script, use, clock=clock)


@pytest.mark.parametrize(
    ("use", "body"),
    [
        (lambda reads: reads.quote("BTCUSDT"), wire.Top(symbol="ETHUSDT", bid_ticks=1, ask_ticks=2)),
        (lambda reads: reads.quote("BTCUSDT"), None),
        (lambda reads: reads.quote("BTCUSDT"), wire.Balances(balances=())),
        (lambda reads: reads.rate("USDT"), wire.IndexPrice(currency="KRW", bid="1", ask="1")),
        (lambda reads: reads.rate("USDT"), wire.IndexPrice(currency="USDT", bid="1", ask="1E+999999")),
        (lambda reads: reads.rate("USDT"), wire.IndexPrice(currency="USDT", bid="1E-999999", ask="1")),
        (lambda reads: reads.rate("USDT"), wire.IndexPrice(currency="USDT", bid="1" * 65, ask="1")),
        (lambda reads: reads.key(), wire.Positions(positions=())),
        (lambda reads: reads.holdings(), wire.Balances(balances=())),
        (lambda reads: reads.open_orders(), None),
        (lambda reads: reads.executions(""), wire.LedgerPage(entries=(), cursor="")),
        (lambda reads: reads.ledger(""), wire.Executions(executions=(), cursor="")),
        (lambda reads: reads.executions(""), wire.Executions(executions=(), cursor="7")),
        (lambda reads: reads.ledger("7"), wire.LedgerPage(entries=(), cursor="")),
    ],
)
def test_a_body_that_does_not_fit_the_question_fails(use: Use, body: wire.AnyBody | None) -> None:
    async def script(speaker: Speaker, _: int) -> None:
        speaker.answer(await speaker.hear(), body)
        speaker.answer(await speaker.hear(), TOP)
        await speaker.stay()

    async def both(reads: v.FakeReads) -> None:
        with pytest.raises(ReadFailed):
            await use(reads)
        await reads.quote("BTCUSDT")  # the connection itself is in order

    against(script, both)


def test_an_answer_without_the_venues_time_fails() -> None:
    async def script(speaker: Speaker, _: int) -> None:
        for venue_ns in (0, -5, 5):
            speaker.answer(await speaker.hear(), venue_ns=venue_ns)

    async def use(reads: v.FakeReads) -> None:
        for _ in range(2):
            with pytest.raises(ReadFailed, match="time"):
                await reads.clock()
        assert (await reads.clock()).venue_ns == 5

    against(script, use)


@pytest.mark.parametrize(
    ("status", "code", "known"), [(404, "order_not_found", False), (200, "order_not_found", None), (404, "gone", None)]
)
def test_only_a_plain_not_found_says_that_an_order_is_not_known(status: int, code: str, known: bool | None) -> None:
    async def script(speaker: Speaker, _: int) -> None:
        speaker.answer(await speaker.hear(), status=status, code=code)
        await speaker.stay()

    async def use(reads: v.FakeReads) -> None:
        if known is None:
            with pytest.raises(ReadFailed, match="refused"):
                await reads.order("a")
        else:
            assert await reads.order("a") is None

    against(script, use)


def view(**more: Any) -> wire.OrderView:
    given_: dict[str, Any] = {
        "client_id": "a",
        "revision": 0,
        "venue_order_id": "v1",
        "symbol": "BTCUSDT",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "tif": TimeInForce.GTC,
        "reduce_only": False,
        "ticks": 1,
        "lots": 5,
        "filled_lots": 2,
        "state": OrderState.PARTIAL,
        "code": "",
        "updated_ns": 9,
        **more,
    }
    return wire.OrderView(**given_)


ENDLESS = "x" * 65


@pytest.mark.parametrize(
    ("more", "open_lots"),
    [
        ({}, 3),
        ({"state": OrderState.CANCELLED}, 0),
        ({"filled_lots": 7}, 0),  # more than there is of it: the orders must hear of it
        ({"state": OrderState.ACKED}, 3),  # a state that proves nothing, so the rest may still be there
        ({"client_id": ""}, 3),
        ({"lots": 0}, None),
        ({"lots": -5}, None),
        ({"lots": 1 << 53}, None),
        ({"filled_lots": -1}, None),
        ({"filled_lots": 1 << 53}, None),
        ({"updated_ns": -1}, None),
        ({"symbol": ""}, None),
        ({"symbol": ENDLESS}, None),
        ({"client_id": ENDLESS}, None),
        ({"venue_order_id": ENDLESS}, None),
        ({"code": ENDLESS}, None),
    ],
)
def test_what_an_order_must_be_to_be_shown(more: dict[str, Any], open_lots: int | None) -> None:
    found = v.shown(view(**more), "open", 5)
    assert (None if found is None else found.open_lots) == open_lots


def execution(**more: Any) -> wire.Execution:
    given_: dict[str, Any] = {
        "trade_id": "t1",
        "client_id": "a",
        "venue_order_id": "v1",
        "symbol": "BTCUSDT",
        "side": Side.SELL,
        "ticks": 10,
        "lots": 3,
        "liquidity": Liquidity.TAKER,
        "fee": "0.25",
        "fee_currency": "USDT",
        "venue_ns": 9,
        **more,
    }
    return wire.Execution(**given_)


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ({}, r.Filled),
        ({"client_id": ""}, r.Filled),
        ({"fee": "-0.25"}, r.Filled),
        ({"reversed": True}, r.FillReversed),
        ({"reversed": True, "fee": "NaN", "lots": 0}, r.FillReversed),
        ({"reversed": True, "trade_id": ""}, None),
        ({"reversed": True, "symbol": ENDLESS}, None),
        ({"trade_id": ""}, None),
        ({"trade_id": ENDLESS}, None),
        ({"symbol": ""}, None),
        ({"client_id": ENDLESS}, None),
        ({"fee_currency": ""}, None),
        ({"fee_currency": ENDLESS}, None),
        ({"fee": "NaN"}, None),
        ({"fee": "1E+999999"}, None),
        ({"lots": 0}, None),
        ({"lots": -3}, None),
        ({"lots": 1 << 53}, None),
        ({"ticks": 0}, None),
        ({"ticks": 1 << 53}, None),
        ({"venue_ns": -1}, None),
    ],
)
def test_what_an_execution_must_be_to_be_told(more: dict[str, Any], known: type | None) -> None:
    found = v.told(execution(**more), "bybit", "main", 5)
    assert (None if found is None else type(found)) is known


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ({}, True),
        ({"symbol": ""}, True),
        ({"kind": "windfall"}, False),
        ({"kind": ENDLESS}, False),
        ({"venue_id": ""}, False),
        ({"venue_id": ENDLESS}, False),
        ({"currency": ""}, False),
        ({"symbol": ENDLESS}, False),
        ({"amount": "Infinity"}, False),
        ({"amount": "1E+999999"}, False),
        ({"venue_ns": -1}, False),
    ],
)
def test_what_a_ledger_entry_must_be_to_be_told(more: dict[str, Any], known: bool) -> None:
    given_ = {"venue_id": "l1", "kind": "funding", "currency": "USDT", "amount": "-1.5", "symbol": "BTCUSDT", "venue_ns": 9, **more}
    assert (v.entered(wire.LedgerEntry(**given_), "bybit", "main", 5) is not None) is known


@given(st.decimals(allow_nan=True, allow_infinity=True) | st.integers(-(10**40), 10**40).map(Decimal))
def test_a_number_is_exact_and_of_a_size_that_arithmetic_can_bear(value: Decimal) -> None:
    found = v.number(str(value))
    if found is None:
        assert not value.is_finite() or len(str(value)) > 64 or value.adjusted() > 30 or int(value.as_tuple().exponent) < -30
    else:
        assert found == value
        assert abs(found) < Decimal(10) ** 31


@pytest.mark.parametrize("text", ["", "a lot", "NaN", "-Infinity", "0E+31", "0E-31", "1E+31", "1E-31"])
def test_texts_that_are_no_number(text: str) -> None:
    assert v.number(text) is None
    assert v.number("-1E-30") == Decimal("-1E-30")


INFO = wire.InstrumentInfo(
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick="0.1",
    lot="0.001",
    min_lots=1,
    min_notional="5",
    status="trading",
    kind="perpetual",
    tiers=(("100", "0.1", "0.05"),),
)
MAY = wire.Permissions(
    account="x",
    trade=True,
    withdraw=False,
    transfer=False,
    address_bound=True,
    expires_ns=0,
    position_mode="one_way",
    margin_mode="cross",
)


@pytest.mark.parametrize(
    ("make", "more"),
    [
        ("listing", {}),
        ("listing", {"kind": "future"}),
        ("listing", {"tick": "0"}),
        ("listing", {"tick": "-0.1"}),
        ("listing", {"lot": "NaN"}),
        ("listing", {"lot": "0"}),
        ("listing", {"min_lots": 0}),
        ("listing", {"min_lots": 1 << 53}),
        ("listing", {"min_notional": "-1"}),
        ("listing", {"symbol": ""}),
        ("listing", {"base": ENDLESS}),
        ("listing", {"quote": ""}),
        ("listing", {"tiers": (("100", "0.1", "-0.05"),)}),
        ("listing", {"tiers": (("many", "0.1", "0.05"),)}),
        ("twice", {}),
        ("key", {}),
        ("key", {"account": ""}),
        ("key", {"account": ENDLESS}),
        ("key", {"expires_ns": -1}),
        ("key", {"margin_mode": ENDLESS}),
        ("position", {}),
        ("position", {"lots": 1 << 53}),
        ("position", {"entry_price": "0"}),
        ("position", {"entry_price": "-1"}),
        ("position", {"entry_price": "NaN"}),
        ("position", {"symbol": ""}),
        ("balance", {"currency": ""}),
        ("balance", {"amount": "1E+999999"}),
        ("balance", {"twice": True}),
    ],
)
def test_a_list_in_which_one_makes_no_sense_fails(make: str, more: dict[str, Any]) -> None:
    """Those without a change are the control."""
    replace = msgspec.structs.replace
    twice = 2 if more.pop("twice", False) or make == "twice" else 1
    fails = bool(more) or twice == 2

    async def script(speaker: Speaker, _: int) -> None:
        request = await speaker.hear()
        if make in ("listing", "twice"):
            speaker.answer(request, wire.Instruments(instruments=(replace(INFO, **more),) * twice))
        elif make == "key":
            speaker.answer(request, replace(MAY, **more))
        else:
            held = wire.Position(symbol="BTCUSDT", lots=-4, entry_price="5")
            speaker.answer(request, wire.Positions(positions=(replace(held, **more) if make == "position" else held,)))
            balance = wire.Balance(currency="USDT", amount="-1")
            balances = (replace(balance, **more) if make == "balance" else balance,) * twice
            speaker.answer(await speaker.hear(), wire.Balances(balances=balances), venue_ns=7)
        await speaker.stay()

    async def use(reads: v.FakeReads) -> object:
        if make in ("listing", "twice"):
            return await reads.listings()
        return await (reads.key() if make == "key" else reads.holdings())

    if fails:
        with pytest.raises(ReadFailed):
            against(script, use)
        return
    found = against(script, use)
    if make in ("position", "balance"):
        assert (found.positions, found.balances, found.venue_ns) == ((Holding("BTCUSDT", -4, Decimal(5)),), (("USDT", Decimal(-1)),), 1)


# Pages


def paging(pages: Callable[[int, str], wire.AnyBody], use: Use) -> Any:
    """A use of a reader whose venue makes up its pages: given how many went before, and the cursor that was asked for."""

    async def script(speaker: Speaker, _: int) -> None:
        asked = 0
        while True:
            request = await speaker.hear()
            speaker.answer(request, pages(asked, request.cursor), venue_ns=100 + asked)
            asked += 1

    return against(script, use, timeout_ns=15_000 * MS)


def test_a_list_bears_the_time_of_its_first_page_and_a_feed_that_of_its_last() -> None:
    orders = paging(
        lambda asked, _: wire.Orders(orders=(view(),), cursor=str(asked) if asked < 3 else ""), lambda reads: reads.open_orders()
    )
    assert (len(orders.orders), orders.venue_ns) == (4, 100)

    def executions(asked: int, cursor: str) -> wire.AnyBody:
        events = (execution(trade_id=f"t{asked}"),) if asked < 3 else ()
        return wire.Executions(executions=events, cursor=str(asked) if events else cursor)

    feed = paging(executions, lambda reads: reads.executions(""))
    assert (len(feed.events), feed.cursor, feed.venue_ns) == (3, "2", 103)


@pytest.mark.parametrize("cursor", ["same", "", ENDLESS])
def test_a_page_whose_cursor_stands_still_fails(cursor: str) -> None:
    def orders(asked: int, _: str) -> wire.AnyBody:
        return wire.Orders(orders=(view(),), cursor="same" if asked == 0 else cursor)

    def executions(asked: int, _: str) -> wire.AnyBody:
        return wire.Executions(executions=(execution(),), cursor="same" if asked == 0 else cursor)

    def ledger(asked: int, _: str) -> wire.AnyBody:
        entry = wire.LedgerEntry(venue_id="l1", kind="funding", currency="USDT", amount="1", symbol="", venue_ns=9)
        return wire.LedgerPage(entries=(entry,), cursor="same" if asked == 0 else cursor)

    if cursor:  # an empty one is how a list of orders ends
        for use in (lambda reads: reads.open_orders(), lambda reads: reads.history()):
            with pytest.raises(ReadFailed, match="cursor"):
                paging(orders, use)
    with pytest.raises(ReadFailed, match="cursor"):
        paging(executions, lambda reads: reads.executions(""))
    with pytest.raises(ReadFailed, match="cursor"):
        paging(ledger, lambda reads: reads.ledger(""))


def test_a_list_without_an_end_fails_after_a_thousand_pages() -> None:
    seen: list[int] = []

    def orders(asked: int, _: str) -> wire.AnyBody:
        seen.append(asked)
        return wire.Orders(orders=(), cursor=str(asked))

    def executions(asked: int, _: str) -> wire.AnyBody:
        return wire.Executions(executions=(execution(),), cursor=str(asked))

    with pytest.raises(ReadFailed, match="end"):
        paging(orders, lambda reads: reads.open_orders())
    assert len(seen) == v.MOST_PAGES == 1_000
    with pytest.raises(ReadFailed, match="end"):
        paging(executions, lambda reads: reads.executions(""))


def test_the_time_limit_is_one_for_all_pages() -> None:
    async def script(speaker: Speaker, _: int) -> None:
        asked = 0
        while True:
            request = await speaker.hear()
            await asyncio.sleep(0.04)
            asked += 1
            speaker.answer(request, wire.Orders(orders=(), cursor=str(asked)))

    async def use(reads: v.FakeReads) -> None:
        with pytest.raises(ReadFailed, match="time"):
            await reads.open_orders()

    against(script, use, timeout_ns=150 * MS)


def test_a_list_whose_time_is_over_between_two_pages_asks_no_further() -> None:
    clock = SteppedClock()
    asked: list[str] = []

    def now_and_later() -> Now:
        reading_ = clock()
        clock.ahead_ns += 400 * MS  # each look at the clock
        return reading_

    async def script(speaker: Speaker, _: int) -> None:
        while True:
            request = await speaker.hear()
            asked.append(request.cursor)
            speaker.answer(request, wire.Orders(orders=(), cursor=str(len(asked))))

    async def use(reads: v.FakeReads) -> None:
        with pytest.raises(ReadFailed, match="time"):
            await reads.open_orders()

    against(script, use, clock=now_and_later, timeout_ns=3_000 * MS)
    assert asked == [""]


def test_a_line_that_was_lost_cannot_be_asked() -> None:
    async def script(speaker: Speaker, _: int) -> None:
        speaker.answer(await speaker.hear())
        await speaker.stay()

    async def use() -> None:
        async with scripted(script) as venue:
            line = Line(await connect(venue.port, "line"), now, iter(range(1, 9)))
            until_boot_ns = now().boot_ns + 1_000 * MS
            assert (await line.ask(wire.ReadTime(), until_boot_ns)).answer.ok
            with pytest.raises(ReadFailed, match="no time"):
                await line.ask(wire.ReadTime(), now().boot_ns)
            line.abort("a test")
            with pytest.raises(ReadFailed, match="lost"):
                await line.ask(wire.ReadTime(), until_boot_ns)
            line.abort("twice")

    run(use())


# Writing


class CountedConnection(OrderConnection):
    """Counts how often it is told to write on."""

    flushed = 0

    def flush(self) -> Write:
        self.flushed += 1
        return super().flush()


def test_what_was_written_whole_is_not_written_on() -> None:
    async def script(speaker: Speaker, _: int) -> None:
        await asyncio.sleep(0.02)
        speaker.answer(await speaker.hear())
        await speaker.stay()

    async def use() -> None:
        async with scripted(script) as venue:
            connection = CountedConnection(socket.create_connection(("127.0.0.1", venue.port)), "line")
            line = Line(connection, now, iter(range(1, 9)))
            await line.ask(wire.QueryOrder(client_id="x" * 12_000_000), now().boot_ns + 5_000 * MS)
            flushed = connection.flushed
            assert flushed > 1
            await asyncio.sleep(0.03)
            assert connection.flushed == flushed
            line.abort("the test is over")

    run(use())


@pytest.mark.parametrize("reads_on", [True, False])
def test_a_request_that_the_kernel_takes_in_parts_is_written_on(reads_on: bool) -> None:
    long = "x" * 12_000_000

    async def script(speaker: Speaker, _: int) -> None:
        await asyncio.sleep(0.05)
        if reads_on:
            request = await speaker.hear()
            assert request.client_id == long
            speaker.answer(request, status=404, code="order_not_found")
            speaker.answer(await speaker.hear())
            await speaker.stay()

    async def use(reads: v.FakeReads) -> None:
        if reads_on:
            found, _ = await asyncio.gather(reads.order(long), reads.clock())
            assert found is None
        else:
            with pytest.raises(ReadFailed, match="given up"):
                await reads.order(long)

    against(script, use, timeout_ns=5_000 * MS)
