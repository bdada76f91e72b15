"""Every kind of refusal that the simulated venues can be brought to, over the wire: the client calls each by its kind, and settled means no order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from tests.venues.contract.place import Place
from tests.venues.contract.traits import DERIVATIVES, VENUES, at

from interlock.domain.clock import NS_PER_S
from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.market.columns import ROW, RowKind
from interlock.simulate.served.faults import Fault
from interlock.venues.port import Accepted, Ask, OrderWanted, Refused
from interlock.venues.request import Call, Key, Method
from interlock.venues.talking import Talker
from interlock.venues.trouble import Doing, Explained, Trouble

KEY, IP, CLOCK, RATE = Trouble.INVALID_KEY, Trouble.IP_RESTRICTION, Trouble.CLOCK_SKEW, Trouble.RATE_LIMIT
DENIED, INVALID, POOR, DOUBLE = Trouble.PERMISSION_DENIED, Trouble.INVALID_ORDER, Trouble.INSUFFICIENT_BALANCE, Trouble.DUPLICATE_CLIENT_ID
CLOSED, UNKNOWN, TAKES = Trouble.MAINTENANCE, Trouble.UNKNOWN_OUTCOME, Trouble.POST_ONLY_REJECT
UPBIT, BINANCE, BYBIT = "upbit", "binance_usdm", "bybit"


@dataclass(frozen=True)
class Case:
    """A placement that is refused: what is sent over which connection, and what the refusal is called at each venue; None: it is taken."""

    name: str
    arrange: Callable[[Place], Awaitable[tuple[OrderWanted, Talker | None]]]
    kinds: dict[str, Trouble | None]
    settled: bool = True


def key_case(name: str, kinds: dict[str, Trouble | None], **facts: object) -> Case:
    async def arrange(place: Place) -> tuple[OrderWanted, Talker | None]:
        asked = {what: value(place) if callable(value) else value for what, value in facts.items()}
        return place.wanted(), place.talker(place.verbs.sign, place.add_key(**asked))

    return Case(name, arrange, kinds)


def order_case(
    name: str, kinds: Trouble | dict[str, Trouble | None], make: Callable[[Place], OrderWanted], *, settled: bool = True
) -> Case:
    async def arrange(place: Place) -> tuple[OrderWanted, Talker | None]:
        return make(place), None

    return Case(name, arrange, everywhere(kinds) if isinstance(kinds, Trouble) else kinds, settled)


def fault_case(name: str, kinds: dict[str, Trouble | None], fault: Fault, *, settled: bool = True, **more: int) -> Case:
    async def arrange(place: Place) -> tuple[OrderWanted, Talker | None]:
        assert place.strike(fault, verb="place", **more)
        return place.wanted(), None

    return Case(name, arrange, kinds, settled)


def everywhere(kind: Trouble) -> dict[str, Trouble | None]:
    return dict.fromkeys((UPBIT, BINANCE, BYBIT), kind)


def otherwise(place: Place, **changes: object) -> Instrument:
    """The instrument with some of its facts wrong, so that an order can be written that breaks the venue's."""
    return msgspec.structs.replace(place.instrument(), **changes)


def off_the_step(place: Place) -> OrderWanted:
    want = place.wanted()
    finer = otherwise(place, quantum=place.instrument().quantum / 10)
    return replace(want, instrument=finer, ticks=want.ticks * 10 + 1)


def off_the_lot(place: Place) -> OrderWanted:
    want = place.wanted()
    finer = otherwise(place, lot=place.instrument().lot / 10)
    return replace(want, instrument=finer, lots=want.lots * 10 + 1)


def too_small(place: Place) -> OrderWanted:
    want = place.wanted(symbol=place.traits.symbols[-1])
    worth = want.instrument.notional(want.ticks, want.instrument.min_lots)
    assert worth < want.instrument.min_notional
    return replace(want, lots=want.instrument.min_lots)


def too_dear(place: Place) -> OrderWanted:
    """More than the account has, and no more than the venue takes."""
    if not place.traits.derivatives:
        account, want = place.sim.account.balances(), place.wanted(Side.SELL)
        return replace(want, lots=want.instrument.floor_lots(account[want.instrument.base].total) + 1)
    want = place.wanted()
    return replace(want, lots=want.instrument.max_lots)


def beyond_the_band(place: Place) -> OrderWanted:
    return place.wanted(Side.BUY, ticks=place.ticks(Side.BUY, "1.2"))


def elsewhere(place: Place) -> OrderWanted:
    name = "KRW-NOWHERE" if not place.traits.derivatives else "NOWHEREUSDT"
    return replace(place.wanted(), instrument=otherwise(place, symbol=name))


def reducing_nothing(place: Place) -> OrderWanted:
    return place.wanted(Side.BUY, reduce_only=True)


def halted(place: Place) -> OrderWanted:
    assert place.strike(Fault.HALT, symbol=place.symbol, ms=600_000)
    return place.wanted()


def crowded(place: Place) -> OrderWanted:
    place.rest_truly(place.sim.rules.open_max - len(place.sim.open_orders(place.symbol)), tif=TimeInForce.GTC)
    return place.wanted()


def too_much(place: Place) -> OrderWanted:
    want = place.wanted()
    return replace(want, instrument=otherwise(place, max_lots=10**15), lots=place.instrument().max_lots + 1)


def too_much_at_market(place: Place) -> OrderWanted:
    want = place.wanted(Side.SELL, type=OrderType.MARKET, tif=TimeInForce.IOC, ticks=0)
    return replace(want, lots=place.instrument().max_market_lots + 1)


async def used_before(place: Place) -> tuple[OrderWanted, Talker | None]:
    order = await place.placed(place.wanted())
    return place.wanted(Side.SELL, client_id=order.client_id), None


async def wrong_secret(place: Place) -> tuple[OrderWanted, Talker | None]:
    return place.wanted(), place.talker(place.verbs.sign, Key(place.key.access, "another" + place.key.secret[7:]))


async def unknown_key(place: Place) -> tuple[OrderWanted, Talker | None]:
    return place.wanted(), place.talker(place.verbs.sign, Key("nobody" + place.key.access[6:], place.key.secret))


def skewed(ms: int) -> Callable[[Place], Awaitable[tuple[OrderWanted, Talker | None]]]:
    async def arrange(place: Place) -> tuple[OrderWanted, Talker | None]:
        return place.wanted(), place.talker(place.verbs.sign, skew_ms=ms)

    return arrange


BREAKS_A_RULE: dict[str, Trouble | None] = {BINANCE: INVALID, BYBIT: INVALID}
CASES = (
    Case("wrong secret", wrong_secret, everywhere(KEY)),
    Case("unknown key", unknown_key, everywhere(KEY)),
    Case("clock behind", skewed(-60_000), {UPBIT: None, BINANCE: CLOCK, BYBIT: CLOCK}),
    Case("clock ahead", skewed(60_000), {UPBIT: None, BINANCE: CLOCK, BYBIT: CLOCK}),
    key_case("expired key", everywhere(KEY), expires_ns=NS_PER_S),
    key_case("locked key", everywhere(KEY), locked=True),
    key_case("read-only key", {UPBIT: DENIED, BINANCE: KEY, BYBIT: DENIED}, trade=False),
    key_case("another address", {UPBIT: IP, BINANCE: KEY, BYBIT: IP}, addresses=("192.0.2.1",)),
    fault_case("rate", everywhere(RATE), Fault.RATE_LIMITED),
    fault_case("maintenance", {UPBIT: CLOSED, BINANCE: UNKNOWN, BYBIT: CLOSED}, Fault.MAINTENANCE, ms=1000),
    order_case("price step", INVALID, off_the_step),
    order_case("lot step", INVALID, off_the_lot),
    order_case("too small", INVALID, too_small),
    order_case("too dear", POOR, too_dear),
    order_case("price band", BREAKS_A_RULE, beyond_the_band),
    order_case("unknown symbol", INVALID, elsewhere),
    order_case("reducing nothing", BREAKS_A_RULE, reducing_nothing),
    order_case("halted", CLOSED, halted),
    order_case("too many open", BREAKS_A_RULE, crowded),
    order_case("too much", BREAKS_A_RULE, too_much),
    order_case("too much at market", BREAKS_A_RULE, too_much_at_market),
    Case("used client id", used_before, everywhere(DOUBLE), settled=False),
    order_case("post-only", {BINANCE: TAKES}, lambda place: place.taking(tif=TimeInForce.POST_ONLY)),
    order_case("fok", {BINANCE: INVALID}, lambda place: place.wanted(tif=TimeInForce.FOK)),
)


@pytest.mark.parametrize(
    ("opened", "case"),
    [pytest.param(venue, case, id=f"{venue}-{case.name.replace(' ', '-')}") for venue in VENUES for case in CASES if venue in case.kinds],
    indirect=["opened"],
    scope="module",
)
async def test_a_refused_placement_is_called_by_its_kind_and_leaves_no_order(place: Place, case: Case) -> None:
    kind = case.kinds[place.traits.venue]
    want, talker = await case.arrange(place)
    before = place.sim.history.taken
    said = await place.do(place.verbs.place(want), Doing.PLACE, talker)
    if kind is None:
        assert isinstance(said, Accepted), said
        assert place.sim.history.taken == before + 1
        return
    assert isinstance(said, Explained), said
    assert (said.trouble, said.settled) == (kind, case.settled and kind is not UNKNOWN), said
    assert place.sim.history.taken == before
    assert place.copies(want.client_id) <= 2 if case.name == "used client id" else place.copies(want.client_id) <= 1


async def test_a_ban_is_called_so_for_orders_and_reads_until_it_ends(place: Place) -> None:
    assert place.strike(Fault.BAN, verb="place", ms=600_000)
    said = await place.do(place.verbs.place(place.wanted()), Doing.PLACE)
    assert isinstance(said, Explained)
    assert said.trouble is (UNKNOWN if place.traits.venue == BYBIT else RATE)
    with pytest.raises(Refused) as refused:
        await place.ask(place.reads.balances())
    assert refused.value.explained.trouble is RATE
    assert refused.value.retry_after_ms > 0
    place.clock.advance(600 * NS_PER_S)
    assert await place.ask(place.reads.balances())


@pytest.mark.parametrize("by_venue", [False, True])
async def test_a_cancel_of_what_is_over_or_unknown_finds_no_order(place: Place, by_venue: bool) -> None:
    want = place.wanted()
    said = await place.accepted(place.verbs.place(want))
    name = {"venue_order_id": said.venue_order_id} if by_venue else {"client_id": want.client_id}
    await place.accepted(place.verbs.cancel(place.symbol, **name), Doing.CANCEL)
    again = await place.do(place.verbs.cancel(place.symbol, **name), Doing.CANCEL)
    assert isinstance(again, Explained)
    assert (again.trouble, again.settled) == (Trouble.ORDER_NOT_FOUND, False)
    never = await place.do(place.verbs.cancel(place.symbol, client_id=place.link()), Doing.CANCEL)
    assert isinstance(never, Explained)
    assert never.trouble is Trouble.ORDER_NOT_FOUND


@DERIVATIVES
async def test_an_amend_of_what_is_over_or_to_nothing_new_says_which(place: Place) -> None:
    want = place.wanted()
    order = await place.placed(want)
    same = await place.do(place.verbs.amend(want, ""), Doing.AMEND)
    assert isinstance(same, Explained)
    assert (same.trouble, same.settled) == (INVALID, True)
    place.sim.cancel(order)
    over = await place.do(place.verbs.amend(replace(want, lots=want.lots + 1), ""), Doing.AMEND)
    assert isinstance(over, Explained)
    assert (over.trouble, over.settled) == (UNKNOWN, False)
    assert order.price == want.instrument.price(want.ticks)
    assert order.fee == Decimal(0)


async def test_a_read_is_refused_by_kind_too(place: Place) -> None:
    bad = place.talker(place.reads.sign, Key(place.key.access, "another" + place.key.secret[7:]))
    with pytest.raises(Refused) as refused:
        await place.ask(place.reads.balances(), bad)
    assert refused.value.explained.trouble is KEY
    assert await place.ask(place.reads.balances())
    assert place.strike(Fault.RATE_LIMITED, verb="read")
    with pytest.raises(Refused) as refused:
        await place.ask(place.reads.balances())
    assert refused.value.explained.trouble is RATE


# What only one venue refuses, by its code


def said_no(said: Accepted | Explained, code: str) -> None:
    """It is settled, for a rule of the venue, by this code."""
    assert isinstance(said, Explained), said
    assert (said.code, said.trouble, said.settled) == (code, INVALID, True)


@at(BINANCE)
async def test_only_a_limit_order_is_amended(place: Place) -> None:
    market = place.market(Side.BUY)
    taken = await place.accepted(place.verbs.place(market))
    limit = place.wanted(client_id=market.client_id)
    said_no(await place.do(place.verbs.amend(limit, taken.venue_order_id), Doing.AMEND), "-5025")
    resting = await place.accepted(place.verbs.place(place.wanted()))
    await place.accepted(place.verbs.amend(place.wanted(lots=place.lots() + 1), resting.venue_order_id), Doing.AMEND)


@at(BINANCE)
async def test_an_order_is_amended_ten_thousand_times_and_no_more(place: Place) -> None:
    want = place.wanted()
    order = await place.placed(want)
    order.revision = 9_999
    last = replace(want, lots=want.lots + 1)
    await place.accepted(place.verbs.amend(last, ""), Doing.AMEND)
    said_no(await place.do(place.verbs.amend(replace(want, lots=want.lots + 2), ""), Doing.AMEND), "-5026")
    assert (order.lots, order.revision) == (last.lots, 10_000)


@at(BINANCE, BYBIT)
async def test_an_amend_while_another_is_under_way_is_refused(place: Place) -> None:
    want = place.wanted()
    order = await place.placed(want)
    first, second = (replace(want, lots=want.lots + more) for more in (1, 2))
    assert place.strike(Fault.LATE_ACK, verb="amend", ms=700)
    under_way = asyncio.create_task(place.do(place.verbs.amend(first, ""), Doing.AMEND))
    await place.until(lambda: order.revision)
    other = place.talker(place.verbs.sign)
    said = await place.do(place.verbs.amend(second, ""), Doing.AMEND, other)
    assert isinstance(said, Explained)
    # What Bybit says may also be said of an amend that is done after all, so nothing is settled by it.
    assert (said.code, said.settled) == {BINANCE: ("-5043", True), BYBIT: ("110079", False)}[place.traits.venue]
    assert isinstance(await under_way, Accepted)
    assert order.lots == first.lots
    await place.accepted(place.verbs.amend(second, ""), Doing.AMEND)
    assert order.lots == second.lots


@at(BINANCE)
async def test_a_position_may_be_worth_no_more_than_its_leverage_allows(place: Place) -> None:
    most = place.sim.rules.position_max
    assert most is not None
    want = place.wanted()
    whole = int(most // want.instrument.notional(want.ticks, 1))
    half = replace(want, lots=whole // 2)
    await place.accepted(place.verbs.place(half))
    said_no(await place.do(place.verbs.place(place.wanted(lots=whole - half.lots + 1)), Doing.PLACE), "-2027")
    await place.accepted(place.verbs.place(place.wanted(lots=whole - half.lots)))
    said_no(await place.do(place.verbs.amend(replace(half, lots=half.lots + 1), ""), Doing.AMEND), "-2027")
    await place.accepted(place.verbs.place(place.wanted(Side.SELL)))


def form(path: str, **fields: object) -> Ask:
    """A request that our client never makes."""
    body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    return Ask(Call(Method.POST, path, "", body))


@at(BINANCE)
async def test_so_many_conditional_orders_wait_and_no_more(place: Place) -> None:
    fields = {"algoType": "CONDITIONAL", "symbol": place.symbol, "side": "SELL", "type": "STOP_MARKET", "quantity": "0.01"}
    asked = form("/fapi/v1/algoOrder", triggerPrice="30000", **fields)
    for _ in range(200):
        assert (await place.heard(asked)).status == 200
    said_no(await place.do(asked, Doing.PLACE), "-4045")
    gone = Ask(Call(Method.DELETE, "/fapi/v1/algoOpenOrders", f"symbol={place.symbol}"))
    assert (await place.heard(gone)).status == 200
    assert (await place.heard(asked)).status == 200
    assert (await place.heard(gone)).status == 200


@at(BINANCE)
async def test_a_price_that_is_to_match_a_level_needs_that_level(place: Place) -> None:
    want, market = place.wanted(), place.sim.markets[place.symbol]
    fields = {"symbol": place.symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    asked = form("/fapi/v1/order", quantity=want.instrument.quantity(want.lots), priceMatch="QUEUE_20", **fields)
    assert isinstance(await place.do(asked, Doing.PLACE), Accepted)
    bids, _ = place.sim.levels(place.symbol, 100)

    def quote(lots: list[int]) -> None:
        rows = np.zeros(len(lots), ROW)
        rows["instrument"], rows["kind"], rows["side"] = market.number, int(RowKind.DEPTH), 1
        rows["ticks"], rows["lots"] = [ticks for ticks, _ in bids[-len(lots) :]], lots
        place.face.on_market(place.sim.step(rows))

    quote([0] * (len(bids) - 19))
    said_no(await place.do(asked, Doing.PLACE), "-5041")
    quote([lots for _, lots in bids])
    assert isinstance(await place.do(asked, Doing.PLACE), Accepted)


@at(BINANCE)
async def test_a_request_that_reaches_matching_when_its_time_is_over_leaves_the_outcome_open(place: Place) -> None:
    assert place.strike(Fault.LATE_TO_MATCH, verb="place")
    before = place.sim.history.taken
    said = await place.do(place.verbs.place(place.wanted()), Doing.PLACE)
    assert isinstance(said, Explained)
    assert (said.code, said.trouble, said.settled) == ("-5028", UNKNOWN, False)
    assert place.sim.history.taken == before
    assert isinstance(await place.do(place.verbs.place(place.wanted()), Doing.PLACE), Accepted)


@at(BINANCE)
async def test_a_market_order_that_would_meet_a_price_beyond_the_band_is_refused(place: Place) -> None:
    market = place.sim.markets[place.symbol]
    true, best = market.mark, place.best(Side.SELL)
    try:
        # A mark of which the best ask is more than a twentieth away, and one of which it is not.
        market.mark = best / Decimal("1.051")
        said_no(await place.do(place.verbs.place(place.market(Side.BUY)), Doing.PLACE), "-4131")
        assert isinstance(await place.do(place.verbs.place(place.market(Side.SELL)), Doing.PLACE), Accepted)
        market.mark = best / Decimal("1.049")
        assert isinstance(await place.do(place.verbs.place(place.market(Side.BUY)), Doing.PLACE), Accepted)
    finally:
        market.mark = true


@at(BYBIT)
async def test_a_market_that_takes_only_post_only_orders_says_so(place: Place) -> None:
    assert place.strike(Fault.ONLY_POST_ONLY, symbol=place.symbol, ms=600_000)
    said_no(await place.do(place.verbs.place(place.wanted()), Doing.PLACE), "110103")
    assert isinstance(await place.do(place.verbs.place(place.wanted(tif=TimeInForce.POST_ONLY)), Doing.PLACE), Accepted)
    assert place.strike(Fault.ONLY_POST_ONLY, symbol=place.symbol, ms=0)
    assert isinstance(await place.do(place.verbs.place(place.wanted()), Doing.PLACE), Accepted)


@at(UPBIT)
async def test_parameters_that_exclude_each_other_are_called_so(place: Place) -> None:
    order = await place.placed(place.wanted())

    def sweep(query: str) -> Ask:
        return Ask(Call(Method.DELETE, "/v1/orders/open", query), budget="order")

    said = await place.do(sweep(f"quote_currencies=KRW&pairs={place.symbol}"), Doing.CANCEL)
    assert isinstance(said, Explained)
    assert (said.code, said.trouble, order.open) == ("invalid_parameter", INVALID, True)
    place.clock.advance(3 * NS_PER_S)  # one cancel of everything in two seconds
    assert (await place.heard(sweep(f"pairs={place.symbol}"))).status == 200
    assert not order.open


@at(UPBIT)
async def test_a_size_beyond_all_measure_is_called_so(place: Place) -> None:
    most = place.instrument().max_lots
    want = replace(place.wanted(), instrument=otherwise(place, max_lots=most + 1), lots=most + 1)
    said_no(await place.do(place.verbs.place(want), Doing.PLACE), "volume_too_large")
    said_no(await place.do(place.verbs.place(replace(want, lots=most, client_id=place.link())), Doing.PLACE), "over_krw_funds_bid")
