"""What a venue's `account`, `trade` and `rules` give, in one vocabulary, so that whoever uses them knows no venue's messages.

Nothing here sends. What takes more than one request is a *talk*: a generator that yields what to ask and is sent what was heard, and returns what
came of it; whoever runs it signs, sends each request once, and decides about time. A talk raises `Refused` when the venue says no and `Nonsense`
when what it says makes no sense; nothing is invented, and nothing is known then that was not known before.

Units: `_ticks` and `_lots` of the instrument, `_ms` and `_ns` of the venue's clock, amounts in the currency named beside them.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from interlock.domain.instruments import Instrument, MarginTier, Status
from interlock.domain.orders import Liquidity, OrderState, OrderType, Side, TimeInForce
from interlock.venues.request import Call, Key, SignedCall
from interlock.venues.trouble import Doing, Explained

T = TypeVar("T")


class Access(StrEnum):
    """What a request must carry."""

    PUBLIC = "public"
    KEYED = "keyed"
    """The key's name, without a signature (Binance's listen keys)."""
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a talk; `weight` is what it uses of the venue's budget `budget` (names in the venue's `budgets`)."""

    call: Call
    access: Access = Access.SIGNED
    budget: str = ""
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back: HTTP status, headers with names in lower case, the body's bytes."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Talk = Generator[Ask, Heard, T]
"""Yields requests, is sent answers, returns what came of it."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes one signed request unlike every other: the time by the venue's clock as we know it, and a UUID that was never used."""

    timestamp_ms: int
    nonce: str
    receive_window_ms: int


class Refused(Exception):
    """The venue refused; `explained` says what that means. `retry_after_ms` is how long it asked to be left alone, 0 where it did not."""

    def __init__(self, explained: Explained, retry_after_ms: int = 0) -> None:
        super().__init__(
            f"{explained.trouble.value} (HTTP {explained.status}, code {explained.code or 'none'}): {explained.hint}; {explained.action}"
        )
        self.explained = explained
        self.retry_after_ms = retry_after_ms


class Nonsense(Exception):
    """The venue answered what it cannot mean; the text says what was expected and found."""


class End(StrEnum):
    """Why an order is over, where it did not fill whole; NONE while it is open."""

    NONE = ""
    FILLED = "filled"
    CANCELLED = "cancelled"
    POST_ONLY = "post_only"
    IOC = "ioc"
    FOK = "fok"
    SELF_MATCH = "self_match"
    REDUCE_ONLY = "reduce_only"
    DEAD_MAN = "dead_man"
    LIQUIDATION = "liquidation"
    VENUE = "venue"
    """The venue ended it for a reason of its own: settlement, delisting, a manager."""
    REJECTED = "rejected"


class FillKind(StrEnum):
    """What made an execution or its order: who trades, or the venue itself."""

    TRADE = "trade"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    SETTLEMENT = "settlement"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSeen:
    """An order as the venue shows it. `state` is one that an order at a venue can have. `client_id` is empty where it has none.

    `kind` tells orders of the venue's own making from those that somebody placed.
    """

    symbol: str
    client_id: str
    venue_order_id: str
    side: Side
    ticks: int
    lots: int
    filled_lots: int
    state: OrderState
    end: End
    reduce_only: bool
    venue_ns: int
    kind: FillKind = FillKind.TRADE


@dataclass(frozen=True, slots=True, kw_only=True)
class FillSeen:
    """An execution. `fee` positive is paid, negative a rebate; `trade_id` is the venue's, unique within the symbol."""

    symbol: str
    trade_id: str
    client_id: str
    venue_order_id: str
    side: Side
    ticks: int
    lots: int
    liquidity: Liquidity
    fee: Decimal
    fee_currency: str
    kind: FillKind
    venue_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSeen:
    """A change of a balance that is no execution. `kind` as in the gate's ledger: funding, fee, rebate, interest, deposit, withdrawal, transfer, adl,
    liquidation, settlement, airdrop, adjust."""

    kind: str
    venue_id: str
    currency: str
    amount: Decimal
    symbol: str
    venue_ns: int


@dataclass(frozen=True, slots=True)
class BalanceSeen:
    """What an account has of a currency: all of it, and what of it orders and positions leave free (None where the venue does not say)."""

    currency: str
    total: Decimal
    free: Decimal | None


@dataclass(frozen=True, slots=True)
class PositionSeen:
    """A position in signed lots, with its mean entry price in the quote currency, 0 when flat."""

    symbol: str
    lots: int
    entry_price: Decimal


AccountEvent = OrderSeen | FillSeen | LedgerSeen | BalanceSeen | PositionSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """Whose key it is and what it may do. None: the venue does not tell, which is neither yes nor no. `expires_ms` 0: never; None: not told.

    `trade` is about orders in our markets, `reads_only` about everything that a key can be good for at the venue: nothing but looking.
    """

    account: str
    trade: bool | None
    withdraw: bool | None
    transfer: bool | None
    address_bound: bool | None
    expires_ms: int | None
    reads_only: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMode:
    """How the account is set: `position` "one_way" or "hedge", `margin` "cross", "isolated" or "portfolio"; "spot" for both where there is neither.

    `leverage` by symbol, as far as the venue was asked.
    """

    position: str
    margin: str
    leverage: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Listed:
    """An instrument as it is listed, and what a venue publishes of its orders that an instrument does not hold.

    A bid may be at most `bid_most` of the mark price and an ask at least `ask_least` of it, 0 where the venue sets neither or tells its limits in
    another way; `most_open` orders may be open, 0 for any number.
    """

    instrument: Instrument
    bid_most: Decimal = Decimal(0)
    ask_least: Decimal = Decimal(0)
    most_open: int = 0


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Fee rates of a symbol as fractions of notional; a negative maker rate is a rebate."""

    maker: Decimal
    taker: Decimal


@dataclass(frozen=True, slots=True)
class MarginSeen:
    """What the venue says of margin, in the settle currency."""

    equity: Decimal
    available: Decimal
    maintenance: Decimal


@dataclass(frozen=True, slots=True)
class TopSeen:
    """Best bid and ask in ticks, 0 where a side is empty; `mark` in the quote currency, 0 where there is none; whether it takes orders."""

    symbol: str
    bid_ticks: int
    ask_ticks: int
    mark: Decimal
    trading: bool


@dataclass(frozen=True, slots=True)
class RateSeen:
    """What a unit of a currency is worth in USD, to sell and to buy, 0 where a side of the book is empty. `name` says what it was taken from."""

    currency: str
    bid: Decimal
    ask: Decimal
    name: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Everything after a cursor, all pages of it, and the cursor after it. `unreadable`: something made no sense, was left out, and the cursor stands
    before it, so that it is read again. `venue_ns` is the venue's time of the last answer, 0 where it tells none."""

    found: tuple[T, ...]
    cursor: str
    venue_ns: int
    unreadable: bool = False


class AccountReads(Protocol):
    """The reads of one account at one venue, as talks. `instruments` gives ticks and lots their meaning; what is in others is told without them."""

    instruments: Mapping[str, Instrument]

    def sign(self, key: Key, ask: Ask, stamp: Stamp) -> SignedCall:
        """Sign a request of a talk. Raises UsageError for anything that is no read: whoever may only look can sign nothing else."""
        ...

    def clock(self) -> Talk[int]:
        """The venue's time, nanoseconds."""
        ...

    def listings(self) -> Talk[tuple[Instrument, ...]]:
        """Every instrument that is ours to trade by kind, with its status, filters and price rule as the venue tells them now."""
        ...

    def rulebook(self) -> Talk[tuple[Listed, ...]]:
        """What `listings` tells, with what the venue publishes besides: the same requests."""
        ...

    def top(self, symbol: str) -> Talk[TopSeen]:
        """Best bid and ask, mark, status."""
        ...

    def statuses(self) -> Talk[Mapping[str, Status]]:
        """Which symbols take orders, and wallets where the venue has a state of them (keys like "wallet:BTC")."""
        ...

    def dollars(self, currency: str) -> Talk[RateSeen]:
        """What a unit of a currency is worth in USD by a book of this venue. Raises UsageError for one that none of its books tells."""
        ...

    def key(self, access: str) -> Talk[KeyFacts]:
        """What the key may do."""
        ...

    def mode(self) -> Talk[AccountMode]:
        """Position mode, margin mode, leverage: read, never assumed."""
        ...

    def fees(self, symbol: str) -> Talk[FeeRates]:
        """The account's own fee rates."""
        ...

    def tiers(self) -> Talk[Mapping[str, tuple[MarginTier, ...]]]:
        """The margin tiers of `instruments` as the venue tells them now, the lowest first; nothing at a spot venue.

        What the account's own leverage asks for above them is not in them.
        """
        ...

    def margin(self) -> Talk[MarginSeen]:
        """Equity and margin; of a spot account equity is what is free of the quote currency."""
        ...

    def order(self, symbol: str, client_id: str) -> Talk[OrderSeen | None]:
        """One order by its client id, wherever the venue keeps it; None is the venue's plain "not found" everywhere, which proves nothing.

        With the symbol "" it is looked for in every one of `instruments`.
        """
        ...

    def open_orders(self, symbols: Sequence[str] = ()) -> Talk[Page[OrderSeen]]:
        """All open orders of the account, whoever placed them, all pages, reserved and conditional ones included. The cursor is unused.

        With `symbols` those in others may be left out, where asking for less costs less of the venue's limits.
        """
        ...

    def ended_orders(self, since_ns: int, symbols: Sequence[str] = ()) -> Talk[Page[OrderSeen]]:
        """Orders that ended since then, as far back as the venue tells; `symbols` as of `open_orders`."""
        ...

    def fills(self, cursor: str) -> Talk[Page[FillSeen]]:
        """Executions after a cursor; "" is from as far back as the venue tells."""
        ...

    def ledger(self, cursor: str) -> Talk[Page[LedgerSeen]]:
        """Ledger events after a cursor, as `fills`."""
        ...

    def cursor_at(self, venue_ns: int) -> str:
        """A cursor, of executions and of the ledger, that stands at a time: what came about since then is behind it."""
        ...

    def balances(self) -> Talk[tuple[BalanceSeen, ...]]:
        """Every currency that the account has or had."""
        ...

    def positions(self) -> Talk[tuple[PositionSeen, ...]]:
        """Every position that is not flat; none at a spot venue."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderWanted:
    """An order to be written. For a market buy by value, `cost` in the quote currency and `lots` 0. `ticks` 0 for a market order."""

    instrument: Instrument
    client_id: str
    side: Side
    type: OrderType
    tif: TimeInForce
    ticks: int
    lots: int
    reduce_only: bool = False
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue took it: ACKED is an acknowledgement of receipt (Bybit), OPEN one of acceptance. `end` is not NONE where it is over already."""

    client_id: str
    venue_order_id: str
    state: OrderState
    filled_lots: int = 0
    end: End = End.NONE


class OrderVerbs(Protocol):
    """The orders of one account at one venue: each is one request, written once. Raises UsageError for what the venue does not have.

    The body that is signed is the body that is sent. `answered` reads the answer to any of them: `Accepted`, or what a refusal means.
    """

    instruments: Mapping[str, Instrument]

    def sign(self, key: Key, ask: Ask, stamp: Stamp) -> SignedCall:
        """Sign any of these requests for one sending."""
        ...

    def place(self, order: OrderWanted) -> Ask:
        """A new order. Self-match prevention is always named."""
        ...

    def amend(self, order: OrderWanted, venue_order_id: str) -> Ask:
        """Price and whole size of an order that is open, in place. Raises UsageError where the venue cannot."""
        ...

    def cancel(self, symbol: str, *, client_id: str = "", venue_order_id: str = "") -> Ask:
        """End one order, by the venue's id if it is given."""
        ...

    def cancel_all(self, symbol: str) -> Ask:
        """End every order of a symbol, or of the whole account with "" where the venue can; one page of them where it does it by pages."""
        ...

    def place_batch(self, orders: tuple[OrderWanted, ...]) -> Ask:
        """Several new orders in one request. Raises UsageError where the venue cannot, or for too many."""
        ...

    def cancel_batch(self, symbol: str, client_ids: tuple[str, ...]) -> Ask:
        """End several orders in one request."""
        ...

    def beat(self, symbol: str, countdown_ms: int) -> Ask:
        """Arm the dead-man switch: what rests in the symbol (the account, where the venue has no finer one) is cancelled unless it is armed again.

        0 disarms it. Raises UsageError where the venue has none.
        """
        ...

    def set_mode(self, mode: AccountMode) -> tuple[Ask, ...]:
        """The requests that bring the account into a mode; what is so already is answered with a refusal that means nothing to change."""
        ...

    def answered(self, heard: Heard, doing: Doing) -> Accepted | Explained:
        """What the answer to one order says. Anything but a clear yes or a definitive no to a placement is UNKNOWN_OUTCOME."""
        ...

    def batch_answered(self, heard: Heard, doing: Doing, count: int) -> tuple[Accepted | Explained, ...]:
        """One by one what the answer to a batch says, in its order; what it leaves out is of unknown outcome."""
        ...


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a client sends on a socket after connecting, in order.

    Each is sent when the one before was answered with a yes, which `take` tells as `what` "greeted". `pinged`: the venue answers none of them
    (Upbit), so a ping follows each at once, and the answer to that is the yes.
    """

    frames: tuple[bytes, ...]
    pinged: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What one frame of the private stream says. `gap` is why something may have been missed, empty if nothing was; `over`: connect anew.

    `what` names the kind of frame for a count.
    """

    what: str
    events: tuple[AccountEvent, ...] = ()
    gap: str = ""
    over: bool = False


class AccountFeed(Protocol):
    """The private stream of one account, frame by frame. Nothing of it is repeated by the venue: after every connect everything is read again."""

    instruments: Mapping[str, Instrument]
    ping_every_s: float
    lives_s: float
    """Connect anew before so long; 0 where the venue does not say."""

    def opening(self) -> Talk[str]:
        """What must be asked first, and the path with query to connect to (a listen key)."""
        ...

    def keeping(self) -> Talk[None]:
        """What must be asked every half of an hour; asks nothing where nothing must be."""
        ...

    def headers(self, key: Key, stamp: Stamp) -> tuple[tuple[str, str], ...]:
        """Headers of the handshake that prove who asks; empty where a frame does."""
        ...

    def greeting(self, key: Key, stamp: Stamp) -> Greeting:
        """What is sent after connecting."""
        ...

    def ping(self) -> bytes:
        """The venue's own ping as a text frame; empty where the protocol's ping frame serves."""
        ...

    def take(self, frame: bytes) -> Told:
        """What a frame says. Never raises: one that makes no sense is a gap with its reason."""
        ...
