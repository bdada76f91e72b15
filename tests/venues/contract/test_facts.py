"""What the client reads of a venue and an account, held against the simulated venue: listings, time, fees, keys, modes, margin, balances."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.venues.contract.place import Place
from tests.venues.contract.traits import DERIVATIVES
from tests.venues.contract.truth import totals

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.domain.instruments import Status
from interlock.domain.orders import Side
from interlock.simulate.served import dollars
from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.faults import Fault
from interlock.venues.dollars import inverted
from interlock.venues.port import AccountMode, Nonsense, PositionSeen
from interlock.venues.tiering import in_order, share_of
from interlock.venues.trouble import Doing, Explained


async def test_the_listings_are_what_the_venue_lists(place: Place) -> None:
    listed = {each.symbol: each for each in await place.ask(place.reads.listings())}
    assert listed.keys() == place.sim.markets.keys()
    for symbol, market in place.sim.markets.items():
        true, seen, day = market.instrument, listed[symbol], place.sim.day
        for side in Side:
            price = place.best(side, symbol)
            assert seen.price_step(price, day) == true.price_step(price, day), symbol
        assert (seen.lot, seen.base, seen.quote, seen.settle, seen.kind) == (true.lot, true.base, true.quote, true.settle, true.kind)
        assert (seen.min_notional, seen.multiplier) == (true.min_notional, true.multiplier), symbol
        assert seen.quantity(seen.min_lots) == true.quantity(true.min_lots), symbol
        assert seen.status is Status.TRADING


@DERIVATIVES
async def test_limits_of_price_and_size_are_the_listing_s(place: Place) -> None:
    for symbol, market in place.sim.markets.items():
        true, seen = market.instrument, place.instrument(symbol)
        assert (seen.min_price, seen.max_price) == (true.min_price, true.max_price), symbol
        assert seen.quantity(seen.max_lots) == true.quantity(true.max_lots), symbol
        assert seen.quantity(seen.max_market_lots) == true.quantity(min(true.max_market_lots, true.max_lots)), symbol


async def test_a_halted_symbol_is_halted_and_the_others_are_not(place: Place) -> None:
    assert place.strike(Fault.HALT, symbol=place.symbol, ms=60_000)
    found = await place.ask(place.reads.statuses())
    assert found[place.symbol] is Status.HALTED
    assert {found[symbol] for symbol in place.reads.instruments if symbol != place.symbol} == {Status.TRADING}
    assert place.strike(Fault.HALT, symbol=place.symbol, ms=0)
    assert (await place.ask(place.reads.statuses()))[place.symbol] is Status.TRADING


async def test_the_clock_is_the_venue_s(place: Place) -> None:
    await place.step(20)
    seen_ns = await place.ask(place.reads.clock())
    assert place.sim.now_ns() - place.traits.clock_late_ns <= seen_ns <= place.sim.now_ns()


async def test_the_top_is_the_book_s(place: Place) -> None:
    await place.step(3)
    for symbol in place.traits.symbols:
        seen, instrument = await place.ask(place.reads.top(symbol)), place.instrument(symbol)
        assert instrument.price(seen.bid_ticks) == place.best(Side.BUY, symbol)
        assert instrument.price(seen.ask_ticks) == place.best(Side.SELL, symbol)
        assert seen.trading
        assert seen.mark == (place.sim.markets[symbol].mark if place.traits.derivatives else 0)


async def test_a_dollar_s_worth_is_the_inverse_of_a_book_and_says_of_which(place: Place) -> None:
    derivatives = place.traits.derivatives
    currency, other = ("USDT", "KRW") if derivatives else ("KRW", "USDT")
    seen = await place.ask(place.reads.dollars(currency))
    bid, ask = (
        (Decimal(dollars.BID), Decimal(dollars.ASK))
        if derivatives
        else (place.best(Side.BUY, "KRW-USDT"), place.best(Side.SELL, "KRW-USDT"))
    )
    assert seen.currency == currency
    # To sell is worth no more, and to buy costs no less, than the book says.
    assert 0 < seen.bid < seen.ask
    assert 0 <= 1 / ask - seen.bid < Decimal("1e-17")
    assert 0 <= seen.ask - 1 / bid < Decimal("1e-17")
    assert place.traits.venue in seen.name
    assert ("USDCUSDT" if derivatives else "KRW-USDT") in seen.name
    with pytest.raises(UsageError, match=f"expected {currency}"):
        await place.ask(place.reads.dollars(other))


@pytest.mark.parametrize(
    ("bid", "ask", "worth"),
    [
        ("2", "4", ("0.25", "0.5")),
        ("0", "4", ("0.25", "0")),
        ("2", "0", ("0", "0.5")),
        ("4", "2", ("0.5", "0.25")),
        ("-1", "-1", ("0", "0")),
    ],
)
def test_what_is_no_book_is_no_rate(bid: str, ask: str, worth: tuple[str, str]) -> None:
    seen = inverted("X", Decimal(bid), Decimal(ask), "a name")
    assert (seen.bid, seen.ask) == (Decimal(worth[0]), Decimal(worth[1]))


async def test_margin_tiers_are_the_venue_s(place: Place) -> None:
    seen = await place.ask(place.reads.tiers())
    if not place.traits.derivatives:
        assert seen == {}
        return
    assert seen.keys() == place.reads.instruments.keys()
    for symbol, tiers in seen.items():
        assert tiers == place.sim.markets[symbol].instrument.margin_tiers


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("10", "0.1", "0.2")],
        [("10", "1.1", "0.2")],
        [("10", "0.1", "0")],
        [("0", "0.1", "0.05")],
        [("10", "0.1", "0.05"), ("10", "0.2", "0.1")],
    ],
    ids=str,
)
def test_margin_tiers_that_cannot_be_make_no_sense(rows: list[tuple[str, str, str]]) -> None:
    good = in_order("X", [(Decimal(20), Decimal("0.2"), Decimal("0.1")), (Decimal(10), Decimal("0.1"), Decimal("0.05"))])
    assert [tier.max_notional for tier in good] == [10, 20]
    with pytest.raises(Nonsense, match="margin tiers of X"):
        in_order("X", [(Decimal(top), Decimal(initial), Decimal(kept)) for top, initial, kept in rows])


@pytest.mark.parametrize(("leverage", "share"), [("1", "1"), ("2", "0.5"), ("3", "0.333333334"), ("125", "0.008"), ("0", ""), ("NaN", "")])
def test_a_leverage_is_a_share_that_is_never_too_small(leverage: str, share: str) -> None:
    if not share:
        with pytest.raises(Nonsense, match="leverage"):
            share_of(Decimal(leverage))
        return
    assert share_of(Decimal(leverage)) == Decimal(share)


async def test_an_order_is_found_without_its_symbol(place: Place) -> None:
    for symbol in place.traits.symbols[:2]:
        (order,) = place.rest_truly(1, symbol)
        named = await place.ask(place.reads.order(symbol, order.client_id))
        assert named is not None
        assert await place.ask(place.reads.order("", order.client_id)) == named
    assert await place.ask(place.reads.order("", place.link())) is None


async def test_a_cursor_at_a_time_leaves_out_what_came_about_long_before(place: Place) -> None:
    (early,) = place.rest_truly(1)
    assert place.sim.fill(early, 1) is not None
    place.sim.cancel(early)
    place.clock.advance(8 * 86_400 * NS_PER_S)
    since_ns = place.sim.now_ns()
    (late,) = place.rest_truly(1)
    assert place.sim.fill(late, 1) is not None
    names = {each.client_id for each in (await place.ask(place.reads.fills(place.reads.cursor_at(since_ns)))).found}
    assert late.client_id in names
    assert early.client_id not in names
    before_ns = since_ns - 9 * 86_400 * NS_PER_S
    names = {each.client_id for each in (await place.ask(place.reads.fills(place.reads.cursor_at(before_ns)))).found}
    assert {early.client_id, late.client_id} <= names
    assert not (await place.ask(place.reads.ledger(place.reads.cursor_at(since_ns)))).unreadable


async def test_fees_are_the_account_s(place: Place) -> None:
    for symbol in place.traits.symbols:
        fees, true = await place.ask(place.reads.fees(symbol)), place.sim.markets[symbol].instrument.fees
        assert (fees.maker, fees.taker) == (true.maker, true.taker)


@pytest.mark.parametrize("facts", [{}, {"trade": False}, {"withdraw": True}, {"addresses": ()}, {"transfer": True}], ids=str)
async def test_key_facts_are_the_key_s_or_not_told(place: Place, facts: dict[str, object]) -> None:
    key = place.add_key(**facts)
    seen = await place.ask(place.reads.key(key.access), place.talker(place.reads.sign, key))
    told = (seen.trade, seen.withdraw, seen.transfer, seen.address_bound)
    if not place.traits.tells_rights:
        assert told[:3] == (None, None, None)
        return
    assert told == (
        facts.get("trade", True),
        facts.get("withdraw", False),
        facts.get("transfer", False),
        bool(facts.get("addresses", (1,))),
    )
    assert seen.account == (await place.ask(place.reads.key(place.key.access))).account


@pytest.mark.parametrize("bound", [True, False])
async def test_the_end_of_a_key_is_told_or_not_known(place: Place, bound: bool) -> None:
    expires_ns = place.clock.now_ns() // NS_PER_S * NS_PER_S + 30 * 86_400 * NS_PER_S
    key = place.add_key(expires_ns=expires_ns, **({} if bound else {"addresses": ()}))
    seen = await place.ask(place.reads.key(key.access), place.talker(place.reads.sign, key))
    assert seen.expires_ms == (expires_ns // NS_PER_MS if place.traits.tells_key_ends else None)


async def test_a_mode_that_was_set_is_read_back(place: Place) -> None:
    before = await place.ask(place.reads.mode())
    if not place.traits.derivatives:
        assert before == AccountMode(position="spot", margin="spot", leverage={})
        assert place.verbs.set_mode(before) == ()
        return
    leverage = {symbol: Decimal(3 + number) for number, symbol in enumerate(place.traits.symbols)}
    for margin in ("isolated", "cross"):
        refused = False
        for asked in place.verbs.set_mode(AccountMode(position="one_way", margin=margin, leverage=leverage)):
            said = await place.do(asked, Doing.CANCEL)
            refused = refused or (isinstance(said, Explained) and "so already" not in said.hint)
        seen = await place.ask(place.reads.mode())
        assert seen.position == "one_way"
        assert {symbol: seen.leverage[symbol] for symbol in leverage} == leverage
        # Whoever is refused finds the mode as it was; the mode that the account began with is never refused.
        assert place.traits.margin_of_some(seen.margin, margin) == ("cross" if refused else margin), seen
        assert not (refused and margin == "cross")
    restored = AccountMode(position="one_way", margin="cross", leverage={symbol: before.leverage[symbol] for symbol in leverage})
    for asked in place.verbs.set_mode(restored):
        await place.do(asked, Doing.CANCEL)


async def test_margin_and_positions_are_the_account_s(place: Place) -> None:
    account = place.sim.account
    await place.placed(place.taking())
    await place.placed(place.wanted())
    seen = await place.ask(place.reads.margin())
    if not isinstance(account, MarginAccount):
        assert seen.equity == seen.available == account.balances()["KRW"].free
        assert await place.ask(place.reads.positions()) == ()
        return
    held = account.positions[place.symbol]
    assert held.lots
    assert (seen.equity, seen.maintenance) == (account.equity(), account.maintenance_margin(place.symbol))
    assert abs(seen.available - account.available()) < Decimal("0.000001")
    entry = held.entry_price(place.sim.markets[place.symbol].instrument)
    (position,) = await place.ask(place.reads.positions())
    assert (position.symbol, position.lots) == (place.symbol, held.lots)
    assert abs(position.entry_price - entry) < Decimal("0.00001")
    assert isinstance(position, PositionSeen)


async def test_balances_are_the_account_s(place: Place) -> None:
    await place.placed(place.taking())
    await place.placed(place.wanted())
    seen = await place.ask(place.reads.balances())
    assert {each.currency: each.total for each in seen} == {currency: total for currency, total in totals(place).items() if total}
    free = {each.currency: each.free for each in seen}
    if not place.traits.derivatives:
        assert free == {currency: balance.free for currency, balance in place.sim.account.balances().items() if balance.total}


async def test_a_clock_that_is_ahead_is_read_as_it_is(place: Place) -> None:
    await place.step()
    before_ns = await place.ask(place.reads.clock())
    assert place.strike(Fault.CLOCK_SKEW, ms=90_000)
    await place.step()
    assert await place.ask(place.reads.clock()) - before_ns >= 80 * NS_PER_S
