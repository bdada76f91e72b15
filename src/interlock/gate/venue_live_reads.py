"""What the gate reads from a real venue, in the gate's own terms.

A number that makes no sense fails the read, or leaves the row out where the list can be read again; only a crossed or empty book of a rate is passed
on, because the references judge it. What a venue does not tell of a key is told as not known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from msgspec.structs import replace

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.fx import FxSource
from interlock.domain.instruments import Kind, MarginTier, Status
from interlock.gate import records as r
from interlock.gate.clock_watch import SkewSample
from interlock.gate.limit_sheet import LARGEST
from interlock.gate.references import Quote, Rate
from interlock.gate.venue_live import LONGEST_TEXT, LiveAccess, entered, is_amount, is_short, shown, told
from interlock.gate.venue_reads import (
    Executions,
    Holding,
    Holdings,
    KeyScope,
    LedgerPage,
    Listing,
    OrderList,
    ReadFailed,
    ShownOrder,
    fingerprint_of,
)
from interlock.venues.port import AccountMode, FeeRates, KeyFacts, Listed, Nonsense, OrderSeen, Page, PositionSeen, Talk
from interlock.venues.tiering import share_of

HISTORY_NS: Final = 4 * 86_400 * NS_PER_S
"""How far back orders that ended are listed: a day longer than any venue lists those without a fill."""
SPOT: Final = "spot"
MOST_READS: Final = 1_000


ROUNDS_EVERY_NS: Final = {"upbit": NS_PER_S, "binance_usdm": NS_PER_S, "bybit": 200 * NS_PER_MS}
"""How often a venue's share for reads bears the quotes of a few instruments. Figures of what each read costs are in docs/venues.md."""


class _Ways(NamedTuple):
    """What is different at a venue. `clock_step_ns`: how much later than the time that it tells it may be.

    `statuses_apart`: the listings do not tell which symbols take orders.
    """

    clock_step_ns: int
    statuses_apart: bool = False


_WAYS: Final = {
    # Its time is the date of an answer, in whole seconds, or the time of a book, which is earlier.
    "upbit": _Ways(NS_PER_S, statuses_apart=True),
    "binance_usdm": _Ways(NS_PER_MS),
    "bybit": _Ways(0),
}


class LiveReads:
    """Reads one account. `lists_ns` is the limit of one read of a list with all its pages, and of the listings.

    `symbol_of` tells the symbol of an order of ours; one that it does not know is looked for in every symbol. Executions and ledger events "from the
    beginning" are those since `begins_venue_ns`, and 0 is as far back as the venue tells, which for Bybit takes minutes.
    """

    def __init__(
        self,
        access: LiveAccess,
        *,
        symbol_of: Callable[[str], str | None],
        lists_ns: int,
        history_ns: int = HISTORY_NS,
        begins_venue_ns: int = 0,
    ) -> None:
        self.venue = access.venue
        self.account = access.account
        self.fingerprint = fingerprint_of(access.key.access)
        self.meter = access.meter
        self._access = access
        self._reads = access.reads
        self._symbol_of = symbol_of
        self._lists_ns = lists_ns
        self._history_ns = history_ns
        self._begins_venue_ns = begins_venue_ns
        self._ways = _WAYS[access.venue]
        self._trading: dict[str, bool] = {}
        """By symbol, as the listings said last: some venues do not tell it with the book."""

    async def know(self, symbols: Collection[str]) -> None:
        """Take the instruments of these symbols, as the venue lists them, for those whose ticks and lots are known. Raises ReadFailed."""
        listed = {each.symbol: each for each in await self._access.hold(self._reads.listings(), timeout_ns=self._lists_ns)}
        if missing := sorted(set(symbols) - set(listed)):
            raise ReadFailed(f"expected {', '.join(missing)} to be listed, found {len(listed)} others")
        self._reads.instruments = {symbol: listed[symbol] for symbol in symbols}

    # The market

    async def quote(self, symbol: str) -> Quote:
        """Best bid and ask, and the mark to the nearest tick. Of a read of several requests the time is that at which the first went out."""
        sent: list[int] = []
        top = await self._access.hold(self._reads.top(symbol), on_send=lambda: sent.append(self._access.clock().boot_ns))
        heard_ns = self._access.clock().boot_ns
        _same(top.symbol, symbol)
        mark = top.mark / self._reads.instruments[symbol].quantum
        if not (is_amount(mark) and mark < LARGEST and top.bid_ticks < LARGEST and top.ask_ticks < LARGEST):
            raise ReadFailed(f"a book makes no sense: bid {top.bid_ticks}, ask {top.ask_ticks}, mark {top.mark}"[:LONGEST_TEXT])
        trading = top.trading and self.trading(symbol)
        return Quote(
            venue=self.venue,
            symbol=symbol,
            bid_ticks=top.bid_ticks,
            ask_ticks=top.ask_ticks,
            mark_ticks=int(mark.to_integral_value()),
            trading=trading,
            boot_ns=heard_ns if len(sent) == 1 else sent[0],
            halted=not trading,
        )

    def trading(self, symbol: str) -> bool:
        """Whether a symbol takes orders, as the listings said last. Where the book does not say it, nothing trades before the venue has said so."""
        return self._trading.get(symbol, not self._ways.statuses_apart)

    async def rate(self, currency: str) -> Rate:
        """What a unit of a currency is worth by this venue's own book, also when its sides make no rate: `references.with_rate` judges it."""
        seen = await self._access.hold(self._reads.dollars(currency))
        _same(seen.currency, currency)
        return Rate(
            currency=currency, source=FxSource.BOOK, name=seen.name, bid=seen.bid, ask=seen.ask, boot_ns=self._access.clock().boot_ns
        )

    async def clock(self) -> SkewSample:
        """The venue's clock against ours. The connection is open before the question is asked. What the venue rounds off widens the interval."""
        asked = []
        venue_ns = await self._access.hold(self._reads.clock(), on_send=lambda: asked.append(self._access.clock()))
        heard_ns, step_ns = self._access.clock().boot_ns, self._ways.clock_step_ns
        return SkewSample(
            asked_wall_ns=asked[0].wall_ns,
            venue_ns=venue_ns + step_ns,
            round_trip_ns=heard_ns - asked[0].boot_ns + step_ns,
            boot_ns=heard_ns,
        )

    async def listings(self) -> tuple[Listing, ...]:
        """Every instrument. Of those of the account the venue is asked for what it tells apart: margin tiers, and which take orders.

        The initial margin of these is no less than the leverage that is set asks for. The margin tiers of all others are assumed.
        """
        book = await self._access.hold(self._reads.rulebook(), timeout_ns=self._lists_ns)
        trading = {each.instrument.symbol: each.instrument.status is Status.TRADING for each in book}
        if self._ways.statuses_apart and self._reads.instruments:
            statuses = await self._access.hold(self._reads.statuses(), timeout_ns=self._lists_ns)
            trading |= {symbol: statuses.get(symbol) is Status.TRADING for symbol in self._reads.instruments if symbol in trading}
        tiers = await self._tiers()
        found = tuple(_listing(each, tiers.get(each.instrument.symbol), trading=trading[each.instrument.symbol]) for each in book)
        _once(each.symbol for each in found)
        self._trading = dict.fromkeys(self._reads.instruments, False) | trading
        return found

    async def _tiers(self) -> Mapping[str, tuple[MarginTier, ...]]:
        tiers = await self._access.hold(self._reads.tiers(), timeout_ns=self._lists_ns)
        if not tiers:
            return {}
        mode = await self._access.hold(self._reads.mode(), timeout_ns=self._lists_ns)
        return {symbol: _at_leverage(found, mode.leverage.get(symbol)) for symbol, found in tiers.items()}

    # The account

    async def key(self) -> KeyScope:
        """Whose key it is and what it may do, as far as the venue tells it."""
        facts = await self._access.hold(self._reads.key(self._access.key.access), timeout_ns=self._lists_ns)
        mode = await self._access.hold(self._reads.mode(), timeout_ns=self._lists_ns)
        if not (facts.account and is_short(facts.account, mode.position, mode.margin)):
            raise ReadFailed(f"what the key may do makes no sense: account {facts.account[:LONGEST_TEXT]!r}")
        return self._scope(facts, mode)

    def _scope(self, facts: KeyFacts, mode: AccountMode) -> KeyScope:
        return KeyScope(
            account=facts.account,
            fingerprint=self.fingerprint,
            trade=facts.trade,
            withdraw=facts.withdraw,
            transfer=facts.transfer,
            address_bound=facts.address_bound,
            expires_wall_ns=None if facts.expires_ms is None else facts.expires_ms * NS_PER_MS,
            # At a spot venue there is no mode of positions, and what is there is paid in full.
            position_mode="" if mode.position == SPOT else mode.position,
            margin_mode="cash" if mode.margin == SPOT else mode.margin,
            reads_only=facts.reads_only,
        )

    async def fees(self, symbol: str) -> FeeRates:
        """The account's own fee rates in a symbol, fractions of what is traded."""
        rates = await self._access.hold(self._reads.fees(symbol))
        if not (is_amount(rates.maker) and is_amount(rates.taker) and abs(rates.maker) < 1 and abs(rates.taker) < 1):
            raise ReadFailed(f"fee rates of {symbol} make no sense: {rates.maker} and {rates.taker}"[:LONGEST_TEXT])
        return rates

    async def order(self, client_id: str) -> ShownOrder | None:
        """One order by its client id, its source told as "open". None is only the venue's plain "not found" wherever it was looked for."""
        symbol = self._symbol_of(client_id)
        seen = await self._access.hold(self._reads.order(symbol or "", client_id), timeout_ns=0 if symbol else self._lists_ns)
        if seen is None:
            return None
        _same(seen.client_id, client_id)
        return self._shown(seen, "open")

    async def open_orders(self, symbols: Sequence[str] = ()) -> OrderList:
        """All open orders. Fails when one of them makes no sense, or the list did not hold still."""
        return await self._orders(self._reads.open_orders(symbols), "open")

    async def history(self, symbols: Sequence[str] = ()) -> OrderList:
        """The orders that ended since `history_ns` ago. Fails as `open_orders`."""
        since_ns = self._access.clock().wall_ns - self._history_ns
        return await self._orders(self._reads.ended_orders(max(since_ns, 0), symbols), "history")

    async def executions(self, cursor: str) -> Executions:
        """All executions after a cursor; those of the venue's own making are ledger events."""
        until_ns = self._access.clock().boot_ns + self._lists_ns
        found: dict[tuple[str, str], r.Filled | r.LedgerEvent] = {}
        at, unreadable, venue_ns = cursor or self._begin(), False, 0
        for _ in range(MOST_READS):
            page = await self._access.hold(self._reads.fills(at), timeout_ns=max(until_ns - self._access.clock().boot_ns, NS_PER_MS))
            boot_ns, venue_ns = self._access.clock().boot_ns, page.venue_ns
            for seen in page.found:
                event = told(seen, self.venue, self.account, boot_ns)
                unreadable |= event is None
                if event is not None:
                    found[seen.symbol, seen.trade_id] = event
            if not page.unreadable or page.cursor == at:
                break
            at = page.cursor  # there is more than one read shows
        else:
            raise ReadFailed(f"expected an end of the executions after {MOST_READS} reads, found none")
        unreadable |= page.unreadable
        return Executions(tuple(found.values()), cursor if unreadable else page.cursor, venue_ns, unreadable)

    async def ledger(self, cursor: str) -> LedgerPage:
        """All ledger events after a cursor. Of a venue that tells none the stamp is that of its clock: what it will not show never happened."""
        at = cursor or self._begin()
        page = await self._access.hold(self._reads.ledger(at), timeout_ns=self._lists_ns)
        boot_ns = self._access.clock().boot_ns
        events = [entered(seen, self.venue, self.account, boot_ns) for seen in page.found]
        unreadable = page.unreadable or None in events
        venue_ns = page.venue_ns or await self._access.hold(self._reads.clock())
        return LedgerPage(
            tuple(event for event in events if event is not None), cursor if unreadable else page.cursor, venue_ns, unreadable
        )

    async def holdings(self) -> Holdings:
        """Positions and balances, one after the other; their stamp is the venue's time before both. Fails when one of them is told twice.

        A position in a symbol that is none of ours is told as one lot: how large it is is not known, and it must be a difference.
        """
        venue_ns = await self._access.hold(self._reads.clock())
        positions = tuple(_holding(seen) for seen in await self._access.hold(self._reads.positions(), timeout_ns=self._lists_ns))
        balances = tuple((seen.currency, seen.total) for seen in await self._access.hold(self._reads.balances(), timeout_ns=self._lists_ns))
        _once(position.symbol for position in positions)
        _once(currency for currency, _ in balances)
        if not all(currency and is_short(currency) and is_amount(total) for currency, total in balances):
            raise ReadFailed("a balance makes no sense")
        return Holdings(positions, balances, venue_ns)

    def close(self) -> None:
        """Give the connections up; the next read makes new ones."""
        self._access.close()

    # How it is read

    def _begin(self) -> str:
        return self._reads.cursor_at(self._begins_venue_ns) if self._begins_venue_ns else ""

    async def _orders(self, talk: Talk[Page[OrderSeen]], source: str) -> OrderList:
        page = await self._access.hold(talk, timeout_ns=self._lists_ns)
        if page.unreadable:
            raise ReadFailed(f"{source} orders: one of them makes no sense, or the list did not hold still")
        return OrderList(tuple(self._shown(seen, source) for seen in page.found), page.venue_ns)

    def _shown(self, seen: OrderSeen, source: str) -> ShownOrder:
        order = shown(seen, source, self._access.clock().boot_ns)
        if order is None:
            raise ReadFailed(f"order {seen.client_id[:LONGEST_TEXT]!r} makes no sense: {seen.filled_lots} of {seen.lots} lots filled")
        return order


def _holding(seen: PositionSeen) -> Holding:
    held = bool(seen.lots or seen.entry_price)
    sound = -LARGEST < seen.lots < LARGEST and is_amount(seen.entry_price) and (seen.entry_price > 0 or not held)
    if not (sound and seen.symbol and is_short(seen.symbol)):
        raise ReadFailed(
            f"a position makes no sense: {seen.lots} lots of {seen.symbol[:LONGEST_TEXT]} at {seen.entry_price}"[:LONGEST_TEXT]
        )
    return Holding(symbol=seen.symbol, lots=seen.lots or int(held), entry_price=seen.entry_price if held else Decimal(0))


def _at_leverage(tiers: tuple[MarginTier, ...], leverage: Decimal | None) -> tuple[MarginTier, ...]:
    """The tiers as they hold at a leverage: the account sets aside at least what that asks for. A leverage that is not told is taken for none."""
    try:
        least = share_of(Decimal(1) if leverage is None else leverage)
    except Nonsense as error:
        raise ReadFailed(str(error)) from error
    return tuple(replace(tier, initial=max(tier.initial, least)) for tier in tiers)


def _listing(listed: Listed, margins: tuple[MarginTier, ...] | None, *, trading: bool) -> Listing:
    instrument = listed.instrument
    known = instrument.margin_tiers if margins is None else margins
    steps = tuple((band.from_price, band.step) for band in instrument.price_rule.tables[-1].bands)
    tiers = tuple((tier.max_notional, tier.initial, tier.maintenance) for tier in known)
    if not (instrument.min_lots < LARGEST and is_short(instrument.symbol, instrument.base, instrument.quote)):
        raise ReadFailed(f"an instrument makes no sense: {instrument.symbol[:LONGEST_TEXT]!r}, at least {instrument.min_lots} lots")
    # A unit that is many coins is a coin of its own here: what it is worth in single ones is for a person to say.
    many = "" if instrument.multiplier == 1 else f"{instrument.multiplier:f}"
    return Listing(
        symbol=instrument.symbol,
        base=f"{many}{instrument.base}",
        quote=instrument.quote,
        kind=Kind(instrument.kind),
        tick=instrument.quantum,
        lot=instrument.lot,
        min_lots=instrument.min_lots,
        min_notional=instrument.min_notional,
        trading=trading,
        bid_most=listed.bid_most,
        ask_least=listed.ask_least,
        most_open=listed.most_open,
        steps=steps if len(steps) > 1 else (),
        tiers=tiers,
    )


def _same(found: str, asked: str) -> None:
    if found != asked:
        raise ReadFailed(f"asked for {asked!r}, told of {found[:LONGEST_TEXT]!r}")


def _once(names: Iterable[str]) -> None:
    listed = list(names)
    if len(set(listed)) != len(listed):
        raise ReadFailed(f"expected each once, found {', '.join(listed)[:LONGEST_TEXT]}")
