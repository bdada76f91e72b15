"""What the gate reads from a venue: one port, in the gate's own terms, so that whoever reads knows no venue's messages.

A read ends within the reader's time limit or raises `ReadFailed`; nothing is sent twice by the reader itself, and no read can change anything at the
venue. Times: `_boot_ns` CLOCK_BOOTTIME of the host, `_venue_ns` the venue's own clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from interlock.domain.instruments import Kind
from interlock.domain.orders import Side
from interlock.gate import records as r
from interlock.gate.clock_watch import SkewSample
from interlock.gate.references import Quote, Rate
from interlock.gate.venue_bounds import PriceLimits
from interlock.venues import request
from interlock.venues.live import Stale


class ReadFailed(Exception):
    """A read had no usable answer; nothing is known that was not known before.

    `retry_after_ns` is how long the venue asked to be left alone, 0 where it did not; `limited`: it refused because of the rate. `unasked`: the venue
    was not asked, because our share of its limits has no room for this read for so long; it says nothing of others. `refused`: it answered, and
    the answer was no, for another reason than the rate.
    """

    def __init__(
        self, reason: str, *, retry_after_ns: int = 0, limited: bool = False, unasked: bool = False, refused: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_ns = retry_after_ns
        self.limited = limited
        self.unasked = unasked
        self.refused = refused


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument as the venue describes it now. `tiers`: (up to this notional in the quote currency, initial, maintenance), fractions."""

    symbol: str
    base: str
    quote: str
    kind: Kind
    tick: Decimal
    lot: Decimal
    min_lots: int
    min_notional: Decimal
    trading: bool
    bid_most: Decimal = Decimal(0)
    """A bid may be at most so much of the mark price, and an ask at least `ask_least`; 0 where the venue publishes no such bound."""
    ask_least: Decimal = Decimal(0)
    most_open: int = 0
    """So many orders may be open in it, 0 where nothing is published."""
    steps: tuple[tuple[Decimal, Decimal], ...] = ()
    """(from this price on, prices are multiples of this step), from 0 upward; empty where one step, the tick, is that of every price."""
    tiers: tuple[tuple[Decimal, Decimal, Decimal], ...]


class KeyScope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose key it is and what it may do. None: the venue does not tell, which is neither yes nor no. `expires_wall_ns` of 0: never."""

    account: str
    fingerprint: str
    trade: bool | None
    withdraw: bool | None
    transfer: bool | None
    address_bound: bool | None
    expires_wall_ns: int | None
    position_mode: str
    margin_mode: str
    reads_only: bool | None = None
    """Whether it is good for nothing but looking, in our markets and in all others."""


fingerprint_of = request.fingerprint_of


class ShownOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as a list or the stream shows it; `open_lots` is what is left of it at the venue, 0 when it has ended."""

    report: r.Reported
    symbol: str
    side: Side
    ticks: int
    open_lots: int


class OrderList(msgspec.Struct, frozen=True):
    """All pages of a list of orders; `venue_ns` is the stamp of the first of them: nothing in it is older knowledge than that."""

    orders: tuple[ShownOrder, ...]
    venue_ns: int


class Executions(msgspec.Struct, frozen=True):
    """Executions and reversals after a cursor, all pages of them. `venue_ns` is the stamp of the last page: what it does not show had not happened.

    A change of a position that the venue made itself (a liquidation, deleveraging, settlement) is a ledger event where the venue lists it among
    executions. `unreadable`: one of them made no sense and was left out; it must be read again.
    """

    events: tuple[r.Filled | r.FillReversed | r.LedgerEvent, ...]
    cursor: str
    venue_ns: int
    unreadable: bool = False


class LedgerPage(msgspec.Struct, frozen=True):
    """Ledger events after a cursor, all pages of them; as `Executions`."""

    events: tuple[r.LedgerEvent, ...]
    cursor: str
    venue_ns: int
    unreadable: bool = False


class Holding(msgspec.Struct, frozen=True):
    """A position: signed lots and the average entry price in the quote currency, 0 when flat."""

    symbol: str
    lots: int
    entry_price: Decimal


class Holdings(msgspec.Struct, frozen=True):
    """Positions and balances; `venue_ns` is the earlier stamp of the two reads."""

    positions: tuple[Holding, ...]
    balances: tuple[tuple[str, Decimal], ...]
    venue_ns: int


class VenueReads(Protocol):
    """One account at one venue, read only. Every method raises `ReadFailed`. `fingerprint` is that of the key in use (`fingerprint_of`)."""

    venue: str
    account: str
    fingerprint: str

    async def quote(self, symbol: str) -> Quote:
        """Best bid and ask, mark where there is one, and whether it trades; stamped with the time of receipt."""
        ...

    async def rate(self, currency: str) -> Rate:
        """What a unit of a currency is worth in USD, from a book or index of this venue."""
        ...

    async def clock(self) -> SkewSample:
        """The venue's clock against ours."""
        ...

    async def listings(self) -> tuple[Listing, ...]:
        """Every instrument."""
        ...

    async def key(self) -> KeyScope:
        """Whose key it is and what it may do."""
        ...

    async def order(self, client_id: str) -> ShownOrder | None:
        """One order by its client id; None when the venue does not know it, which proves nothing."""
        ...

    async def open_orders(self, symbols: Sequence[str] = ()) -> OrderList:
        """All open orders of the account, whoever placed them. With `symbols` those in others may be left out, where that costs less to ask."""
        ...

    async def history(self, symbols: Sequence[str] = ()) -> OrderList:
        """The orders that ended, as far back as the venue lists them; `symbols` as of `open_orders`."""
        ...

    async def executions(self, cursor: str) -> Executions:
        """All executions after a cursor; "" is from the beginning."""
        ...

    async def ledger(self, cursor: str) -> LedgerPage:
        """All ledger events after a cursor; "" is from the beginning."""
        ...

    async def holdings(self) -> Holdings:
        """Positions and balances."""
        ...

    def close(self) -> None:
        """Give the connection up; the next read makes a new one."""
        ...


class VenuePrices(Protocol):
    """The prices of some symbols of one venue, as it tells them by itself."""

    venue: str

    async def run(self) -> None:
        """Follow until cancelled."""
        ...

    def quote(self, symbol: str) -> Quote | Stale:
        """The prices of a symbol, stamped with the last change that was heard of, or why they may not be used. Raises KeyError for another symbol."""
        ...

    def limits(self, symbol: str) -> PriceLimits | None:
        """The price limits of a symbol as the venue told them last; None where it tells none. Raises KeyError for another symbol."""
        ...

    def asks(self, symbol: str) -> bool:
        """Whether the venue is to be asked for the prices of a symbol now, because the stream says too little; whoever is told so asks."""
        ...

    def take(self, quote: Quote) -> None:
        """Take what the venue answered."""
        ...


StreamEvent = ShownOrder | r.Filled | r.FillReversed | r.LedgerEvent


class VenueStream(Protocol):
    """The private stream of one account. Nothing of it is repeated by the venue."""

    venue: str
    account: str

    async def run(self, on_event: Callable[[StreamEvent], None], on_gap: Callable[[str], None]) -> None:
        """Follow until cancelled: connect, tell every event, connect again when it was lost (with a growing pause).

        `on_gap` is told, with a reason, whenever something may have been missed, also after the first connect and every reconnect: whoever listens
        reads the lists again. An event that makes no sense is a gap. What the callbacks raise ends it.
        """
        ...

    @property
    def connected_since_boot_ns(self) -> int | None:
        """Since when it has been connected without a break; None while it is not."""
        ...
