"""What the parts of Bybit's face share: the venue, its account, and the few things that only Bybit remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.bybit.ask import Ask
from interlock.simulate.served.bybit.books import Books
from interlock.simulate.served.bybit.dead_man import DeadMan
from interlock.simulate.served.bybit.envelope import Done
from interlock.simulate.served.face import Parts
from interlock.simulate.served.venue import Booking, SimVenue


@dataclass(frozen=True, slots=True)
class FundingPaid:
    """A settlement of funding on what was held: signed size, the mark and the rate."""

    booking: Booking
    size: Decimal
    mark: Decimal
    rate: Decimal


@dataclass(frozen=True, slots=True)
class FundingSettled:
    """A settlement of funding of a symbol that everybody saw."""

    symbol: str
    rate: Decimal
    venue_ms: int


@dataclass(slots=True, kw_only=True)
class Desk:
    """The venue behind the wire. `messages` numbers what the private stream tells; `amending` has the orders of which a change is under way."""

    venue: SimVenue
    account: MarginAccount
    parts: Parts
    books: Books
    dead_man: DeadMan
    paid: list[FundingPaid] = field(default_factory=list)
    settled: list[FundingSettled] = field(default_factory=list)
    began_ns: int = 0
    messages: int = 0
    amending: set[int] = field(default_factory=set)


Handler = Callable[[Desk, Ask], Done]
