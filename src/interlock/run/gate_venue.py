"""The duties of one venue's account: its markets and its worth, its private stream, its books, the fate of its orders, and a line for cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.gate import records as r
from interlock.gate.account_watch import AccountWatch, holds_nothing
from interlock.gate.condition_watch import ConditionWatch
from interlock.gate.exposure import Place
from interlock.gate.fee_watch import FeeWatch
from interlock.gate.foreign import Unmanaged
from interlock.gate.market_watch import MarketWatch
from interlock.gate.money_watch import MoneyWatch
from interlock.gate.parts import Parts
from interlock.gate.reconcile import Managed
from interlock.gate.reconciler import Reconciler, opening
from interlock.gate.resolver import Resolver
from interlock.gate.venue_reads import Holding, Listing, ReadFailed
from interlock.run.gate_config import VenuePart
from interlock.run.gate_kits import VenueKit

SKEW_GOOD_FOR_NS = 10 * NS_PER_S
LEAST_REST_NS = 200 * NS_PER_MS
"""After a read that failed, unless the venue asks for more."""


def take_in_order(parts: Parts, found: tuple[r.Record, ...]) -> None:
    """Journal and fold records one by one, up to the first that the journal does not take."""
    for record in found:
        if not parts.take(record):
            return


class VenueDesk:
    """What keeps one account true. Each duty is to be done again and again; `market`, `money`, `conditions` and `fees` are the whole gate's."""

    def __init__(
        self,
        part: VenuePart,
        parts: Parts,
        kit: VenueKit,
        *,
        market: MarketWatch,
        money: MoneyWatch,
        conditions: ConditionWatch,
        fees: FeeWatch,
        managed: Managed,
        unmanaged: Unmanaged,
        listings: Mapping[Place, Listing],
        nonce: Callable[[], str],
    ) -> None:
        self.part = part
        self.kit = kit
        self.reads = reads = kit.reads
        self._parts = parts
        self._market = market
        self._money = money
        self._conditions = conditions
        self._fees = fees
        self._since_boot_ns = parts.clock().boot_ns
        self._managed = managed
        self._listings = listings
        self._nonce = nonce
        keeper, now = parts.keeper, parts.clock
        self._watch = watch = AccountWatch(keeper, part.venue, part.account, tuple(parts.setup.tags.values()), now, unmanaged=unmanaged)
        self._reconciler = reconciler = Reconciler(keeper, watch, reads, managed, now)
        self._resolver = Resolver(
            keeper,
            watch,
            reads,
            parts.setup.absence[part.venue],
            now,
            skew_hi_ns=self._skew_hi_ns,
            aftermath=lambda: reconciler.aftermath,
            answer_ns=part.answer_ns,
        )
        self._stream = kit.stream
        self._begun = False
        self._gaps = True
        """Something may have been missed and is to be read again."""
        self._missed = 1
        """How often something may have been missed; the time before the beginning is the first."""
        self._missed_reason = "the gate began"
        self._made_up = 0
        """How many of those times the last consistent cut came after."""
        self._cut_boot_ns = self._since_boot_ns
        """When the last consistent cut was begun; before the first, when the gate began."""
        self._orders_boot_ns = self._since_boot_ns
        """When a round about the fate of orders was last over, however it ended."""
        self._orders_rest_until_ns = 0
        self._read_since_boot_ns: int | None = None
        """The beginning of the connection since which everything was read."""
        self._reconcile_at_ns = 0

    @property
    def connected_since_boot_ns(self) -> int | None:
        """Since when the private stream is connected; None while it is not, or has been for so short that not everything was read since.

        What a connection that was lost did not tell is known only then: until it is, nothing new may be permitted on the account.
        """
        since_ns = self._stream.connected_since_boot_ns
        return since_ns if since_ns == self._read_since_boot_ns else None

    @property
    def unread(self) -> str:
        """What of the account is not known as it should be, for which nothing new may be permitted; empty if nothing.

        What may have been missed within a connection counts until a consistent cut came after it. So does a cut that is too old, whatever keeps
        the next one away, and a search for lost orders that has come to no end.
        """
        where, now_ns = f"{self.part.venue}/{self.part.account}", self._parts.clock().boot_ns
        if self._missed != self._made_up:
            return f"what the private stream of {where} may have missed was not read yet: {self._missed_reason}"
        good_for_ns = self.kit.paces.cut_good_for_ns
        for what, since_ns in (
            ("the last consistent cut", self._cut_boot_ns),
            ("the last look at orders of unknown fate", self._orders_boot_ns),
        ):
            if not 0 <= now_ns - since_ns <= good_for_ns:
                return f"{what} of {where} is {(now_ns - since_ns) // NS_PER_S} s old, expected at most {good_for_ns // NS_PER_S} s"
        return ""

    # Duties

    async def markets(self) -> None:
        """Prices, rates and the venue's clock, then what the account is worth at them. None of it waits for a longer read."""
        parts = self._parts
        if not self._market.due(self.part.venue, parts.clock().boot_ns):
            return
        found = await self._market.round(self.reads)
        for _, error in found.failures:
            self._refused(error)
        take_in_order(parts, self._money.turn(parts.keeper.state, parts.clock()))

    async def rules(self) -> None:
        """The rules of the venue's instruments."""
        for _, error in (await self._market.rules(self.reads)).failures:
            self._refused(error)

    async def holdings(self) -> None:
        """What the account holds, for what it is worth."""
        if self._market.left_alone(self.part.venue, self._parts.clock().boot_ns):
            return
        try:
            await self._money.round(self.reads, self._watch.others)
        except ReadFailed as error:
            self._refused(error)

    async def fees(self) -> None:
        """What the account pays, as the venue tells it: of one instrument after the other, and again every hour."""
        read, venue, now_ns = self.kit.fees, self.part.venue, self._parts.clock().boot_ns
        early = not self._begun or now_ns - self._since_boot_ns < self.kit.paces.fees_after_ns
        symbol = "" if read is None or early or self._market.left_alone(venue, now_ns) else self._fees.due(venue)
        if read is None or not symbol:
            return
        self._fees.asked((venue, symbol))
        try:
            self._fees.take((venue, symbol), await read(symbol))
        except ReadFailed as error:
            self._fees.failed((venue, symbol), error.reason)
            self._refused(error)

    async def hear_prices(self) -> None:
        """Take the prices that the venue tells by itself into what orders are held against."""
        if self.kit.prices is not None:
            self._market.hear(self.part.venue)

    async def follow_prices(self) -> None:
        """Be told of prices by the venue, where it does so; until cancelled."""
        if self.kit.prices is not None:
            await self.kit.prices.run()

    async def stream(self) -> None:
        """Take what the venue tells by itself, from when the account has been begun with; returns when the connection is lost."""
        if self._begun:
            await self._stream.run(self._watch.take, self._gap)

    async def account(self) -> None:
        """Take the account over once, catch up after a gap, and reconcile: at once when there is a reason, else now and then."""
        now_ns = self._parts.clock().boot_ns
        try:
            if not self._begun:
                self._begun = await self._take_over()
            since_ns = self._stream.connected_since_boot_ns
            if self._begun and (self._gaps or since_ns not in (None, self._read_since_boot_ns)):
                self._gaps = False
                self._reconcile_at_ns = 0
                if self.kit.paces.catches_up:
                    await self._watch.catch_up(self.reads)
                    self._read_since_boot_ns = since_ns
            if self._begun and now_ns >= self._reconcile_at_ns:
                self._reconcile_at_ns = now_ns + self.kit.paces.reconcile_ns
                since_ns, missed, begun_ns = self._stream.connected_since_boot_ns, self._missed, self._parts.clock().boot_ns
                if await self._reconciler.round() is not None:
                    self._made_up, self._cut_boot_ns = missed, begun_ns
                self._read_since_boot_ns = since_ns
        except ReadFailed as error:
            self._refused(error)
            self._gaps = True
            await asyncio.sleep(_rest_ns(error) / NS_PER_S)

    async def orders(self) -> None:
        """Find out about orders whose fate is not known."""
        now_ns = self._parts.clock().boot_ns
        if now_ns >= self._orders_rest_until_ns:
            try:
                await self._resolver.round()
            except ReadFailed as error:
                self._refused(error)
                self._orders_rest_until_ns = self._parts.clock().boot_ns + _rest_ns(error)
        self._orders_boot_ns = self._parts.clock().boot_ns

    async def lines(self) -> None:
        """Keep the line for cancels open, also when nothing is to be cancelled yet."""
        with suppress(OSError, TimeoutError):  # that it is lost is a condition, which is looked at
            await self._parts.egresses[self.part.venue].restore()

    # Beginning with the account

    async def _take_over(self) -> bool:
        """Begin with the account; whether that is done. A journal that knows nothing of it takes it over as it is found.

        On loopback that is signed by whoever started the gate. Elsewhere nothing is: the difference is for a person to adopt, by name.
        """
        parts, part = self._parts, self.part
        keeper = parts.keeper
        if not holds_nothing(keeper.state.ledger, part.venue, part.account):
            return True
        await self._watch.begin(self.reads)
        if part.endpoint is not r.Endpoint.LOOPBACK:
            return True
        first, held = await self._reconciler.first_cut(), await self.reads.holdings()
        if first is None:
            return False
        records = opening(
            keeper.state.ledger,
            first,
            self._managed,
            entry_ticks={one.symbol: self._entry_ticks(one) for one in held.positions},
            actor=f"{parts.life.user}, by starting on loopback",
            nonce=self._nonce(),
            boot_ns=parts.clock().boot_ns,
        )
        if records:
            keeper.take(*records, now=parts.clock())
        return True

    def _entry_ticks(self, holding: Holding) -> int:
        """The price at which a position that was there before is taken over: the venue's own average, to the nearest tick."""
        listing = self._listings.get((self.part.venue, holding.symbol)) or self._watch.unmanaged.listings.get(holding.symbol)
        return 0 if listing is None else int((holding.entry_price / listing.tick).to_integral_value())

    # What the duties share

    def _gap(self, reason: str) -> None:
        """Something may have been missed on the stream."""
        self._gaps = True
        self._missed += 1
        self._missed_reason = reason

    def _refused(self, error: ReadFailed) -> None:
        self._conditions.refused(self.part.venue, self.part.account, error, self._parts.clock().boot_ns)

    def _skew_hi_ns(self) -> int | None:
        """The far end of the interval that the venue's clock less ours lies in, 0 at least; None while it is not known."""
        sample = self._market.skews.get(self.part.venue)
        if sample is None or not 0 <= self._parts.clock().boot_ns - sample.boot_ns <= SKEW_GOOD_FOR_NS:
            return None
        return max(0, sample.interval_ns[1])


def _rest_ns(error: ReadFailed) -> int:
    return max(error.retry_after_ns, LEAST_REST_NS)
