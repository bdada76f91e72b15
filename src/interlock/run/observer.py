"""Watching accounts without a way to touch them: what they hold, whether the journal explains it, and what was never sent to them.

The journal is one of the gate's own kind. It holds what the venues tell of the accounts, and of each permit that the counterfactual gate gave that
nobody sent it here (`Unsent`). Nothing in this module or below it can make the bytes of an order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import UsageError
from interlock.gate import records as r
from interlock.gate.account_watch import AccountWatch, holds_nothing
from interlock.gate.foreign import unmanaged_of
from interlock.gate.journal import Disk, Follower
from interlock.gate.keeper import Keeper
from interlock.gate.market_watch import listing_worth
from interlock.gate.readings import Now
from interlock.gate.reconcile import Managed
from interlock.gate.reconciler import Reconciler, opening
from interlock.gate.record_reading import read_record
from interlock.gate.venue_live import LiveAccess
from interlock.gate.venue_live_reads import LiveReads
from interlock.gate.venue_live_stream import LiveStream
from interlock.gate.venue_reads import Holding, KeyScope, Listing, ReadFailed
from interlock.run.observed import Observed, require_reading_only
from interlock.venues.account_parts import feed_at, reads_at

READ_NS: Final = 2 * NS_PER_S
WINDOW_NS: Final = 5 * NS_PER_S
LISTS_NS: Final = 20 * NS_PER_S
SILENCE_NS: Final = 2 * NS_PER_S
BEGINS_NS: Final = 86_400 * NS_PER_S
RECONCILE_S: Final = 10.0
RECONCILE_AT_S: Final = {"binance_usdm": 30.0}
"""How often an account is held against the journal; at Binance a list of all open orders costs a thirtieth of the weight of a minute."""
KEY_EVERY_S: Final = 10.0
"""How often it is asked whether the key still only reads."""
REST_S: Final = 1.0
_ROUNDING: Final = {"USDT": Decimal("0.000001")}
"""By how much a venue's own rounding of realised profit may move a balance."""


class AccountObserver:
    """One account: `meet` it, `begin`, then `follow`, `reconcile` and `look_at_key` side by side until cancelled.

    Times are those of `now`; `nonce` gives 32 hexadecimal digits that never come again.
    """

    def __init__(
        self, account: Observed, tags: tuple[str, ...], now: Callable[[], Now], nonce: Callable[[], str], key_every_s: float = KEY_EVERY_S
    ) -> None:
        self.account = account
        self._key_every_s = key_every_s
        self._keeper: Keeper | None = None
        self._tags = tags
        self._now = now
        self._nonce = nonce
        reads, feed = reads_at(account.venue, {}, wallet=account.hosts.wallet is not None), feed_at(account.venue, {})
        access = LiveAccess(
            account.venue,
            account.account,
            reads,
            account.hosts,
            account.key,
            now,
            lambda: str(UUID(hex=nonce())),
            timeout_ns=READ_NS,
            receive_window_ns=WINDOW_NS,
        )
        self._reads = LiveReads(access, symbol_of=lambda _id: None, lists_ns=LISTS_NS, begins_venue_ns=now().wall_ns - BEGINS_NS)
        self._port, self._feed = reads, feed
        self._stream = LiveStream(access, feed, silence_ns=SILENCE_NS)
        self._watch: AccountWatch | None = None
        self._reconciler: Reconciler | None = None
        self._managed = Managed(tags=tags, worths={}, rounding=_ROUNDING)
        self._listings: dict[str, Listing] = {}
        self._gap = asyncio.Event()
        self.key: KeyScope | None = None
        self.trouble = ""

    async def meet(self) -> KeyScope:
        """Ask whose key it is and what it may do. Raises UsageError unless it only reads, and where the venue does not answer."""
        venue = self.account.venue
        try:
            await self._reads.know(self.account.symbols)
            self._feed.instruments = self._port.instruments
            self.key = await self._reads.key()
        except ReadFailed as error:
            raise UsageError(
                f"venue {venue}: expected an answer, found: {error.reason}; see whether it is there and takes key {self._reads.fingerprint}"
            ) from error
        require_reading_only(venue, self.key)
        return self.key

    async def begin(self, keeper: Keeper, actor: str, unmanaged_assets: Collection[str]) -> None:
        """Take the account over as it is found, if the journal holds nothing of it. Raises ReadFailed."""
        one, self._keeper = self.account, keeper
        listed = await self._reads.listings()
        self._listings = {each.symbol: each for each in listed}
        worths = {(one.venue, symbol): listing_worth(self._listings[symbol]) for symbol in one.symbols}
        unmanaged = unmanaged_of(unmanaged_assets, listed, one.symbols)
        theirs = {(one.venue, symbol): listing_worth(each) for symbol, each in unmanaged.listings.items()}
        self._managed = Managed(tags=self._tags, worths=worths, rounding=_ROUNDING, unmanaged=unmanaged.assets, foreign=theirs)
        watch = AccountWatch(keeper, one.venue, one.account, self._tags, self._now, unmanaged=unmanaged)
        self._watch, self._reconciler = watch, Reconciler(keeper, watch, self._reads, self._managed, self._now)
        while holds_nothing(keeper.state.ledger, one.venue, one.account):
            await watch.begin(self._reads)
            first, held = await self._reconciler.first_cut(), await self._reads.holdings()
            if first is None:
                continue  # it did not hold still
            found = opening(
                keeper.state.ledger,
                first,
                self._managed,
                entry_ticks={each.symbol: self._entry_ticks(each) for each in held.positions},
                actor=actor,
                nonce=self._nonce(),
                boot_ns=self._now().boot_ns,
            )
            if found:
                keeper.take(*found, now=self._now())
            return

    async def follow(self) -> None:
        """Take what the private stream tells, until cancelled."""
        assert self._watch is not None
        while True:
            await self._stream.run(self._watch.take, lambda _why: self._gap.set())

    async def reconcile(self) -> None:
        """Hold the account against the journal, now and then and after each gap of the stream, until cancelled."""
        assert self._reconciler is not None
        while True:
            self._gap.clear()
            try:
                await self._reconciler.round()
                self.trouble = ""
            except ReadFailed as error:
                self.trouble = error.reason
                await asyncio.sleep(max(error.retry_after_ns / NS_PER_S, REST_S))
                continue
            try:
                async with asyncio.timeout(RECONCILE_AT_S.get(self.account.venue, RECONCILE_S)):
                    await self._gap.wait()
                await asyncio.sleep(REST_S)
            except TimeoutError:
                pass

    async def look_at_key(self) -> None:
        """Ask again what the key may do, until cancelled. Raises UsageError as soon as it may more than look."""
        while True:
            await asyncio.sleep(self._key_every_s)
            try:
                self.key = await self._reads.key()
            except ReadFailed as error:
                self.trouble = error.reason
                continue
            require_reading_only(self.account.venue, self.key)

    def standing(self) -> dict[str, Any]:
        """How the account stands, as plain data."""
        one, key = self.account, self.key
        return {
            "venue": one.venue,
            "account": one.account,
            "key": self._reads.fingerprint,
            "reads_only": None if key is None else key.reads_only,
            "withdraws": None if key is None else key.withdraw,
            "stream": self._stream.connected_since_boot_ns is not None,
            "explained": self._keeper is not None and (one.venue, one.account) in self._keeper.state.lattice.reconciled,
            "trouble": self.trouble,
        }

    def close(self) -> None:
        """Give the connections up."""
        self._reads.close()

    def _entry_ticks(self, holding: Holding) -> int:
        listing = self._listings.get(holding.symbol)
        return 0 if listing is None else int((holding.entry_price / listing.tick).to_integral_value())


class Permits:
    """Reads along with the journal of the counterfactual gate, and writes down of each permit that nobody sent it to the account.

    `accounts` are those that are watched, by venue; `after_lsn` is the last permit of which that was said already.
    """

    def __init__(
        self, keeper: Keeper, disk: Disk, journal: Path, accounts: Mapping[str, str], now: Callable[[], Now], after_lsn: int
    ) -> None:
        self._keeper = keeper
        self._disk = disk
        self._journal = journal
        self._accounts = accounts
        self._now = now
        self._follower = Follower(disk, journal, schema=r.SCHEMA)
        self._intents: dict[tuple[str, int], r.Intent] = {}
        self.last_lsn = after_lsn
        self.unsent = 0
        """In this process life."""

    def take(self) -> int:
        """Take what is new there; how many records. Raises like `Follower.poll`."""
        if not self._journal.is_dir():
            return 0  # the gate has not begun
        seen = 0
        while found := self._follower.poll():
            seen += len(found)
            for lsn, payload in found:
                self._one(lsn, read_record(self._disk, self._journal, lsn, payload))
        return seen

    def close(self) -> None:
        """Let go of the journal."""
        self._follower.close()

    def _one(self, lsn: int, record: r.Record) -> None:
        if isinstance(record, r.Intent):
            self._intents[record.client_id, record.revision] = record
        elif isinstance(record, r.Deny):
            self._intents.pop((record.client_id, record.revision), None)
        elif isinstance(record, r.Permit):
            intent = self._intents.pop((record.client_id, record.revision))
            if lsn > self.last_lsn:
                self._keeper.take(self._of(intent, record, lsn), now=self._now())
                self.last_lsn = lsn
                self.unsent += 1

    def _of(self, intent: r.Intent, permit: r.Permit, lsn: int) -> r.Unsent:
        return r.Unsent(
            boot_ns=self._now().boot_ns,
            client_id=intent.client_id,
            revision=intent.revision,
            strategy=intent.strategy,
            venue=intent.venue,
            account=self._accounts.get(intent.venue, intent.account),
            symbol=intent.symbol,
            side=intent.side,
            type=intent.type,
            tif=intent.tif,
            reduce_only=intent.reduce_only,
            ticks=intent.ticks,
            lots=intent.lots,
            notional_usd=permit.notional_usd,
            permitted_boot_ns=permit.boot_ns,
            permit_lsn=lsn,
        )
