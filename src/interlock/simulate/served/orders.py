"""Orders and executions as a simulated venue keeps them, and why it refuses or ends one; every face words these in its venue's way."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

import msgspec

from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce


class Refusal(StrEnum):
    """Why a request changes nothing."""

    UNKNOWN_SYMBOL = "unknown_symbol"
    HALTED = "halted"
    BAD_REQUEST = "bad_request"
    PRICE_STEP = "price_step"
    PRICE_RANGE = "price_range"
    PRICE_BAND_HIGH = "price_band_high"
    PRICE_BAND_LOW = "price_band_low"
    MARKET_BAND = "market_band"
    LOT_STEP = "lot_step"
    QUANTITY_LOW = "quantity_low"
    QUANTITY_HIGH = "quantity_high"
    MIN_NOTIONAL = "min_notional"
    MAX_NOTIONAL = "max_notional"
    BALANCE = "balance"
    MARGIN = "margin"
    POSITION_MAX = "position_max"
    REDUCE_ONLY = "reduce_only"
    DUPLICATE_CLIENT_ID = "duplicate_client_id"
    OPEN_ORDERS = "open_orders"
    POST_ONLY = "post_only"
    ONLY_POST_ONLY = "only_post_only"
    FOK = "fok"
    NOT_FOUND = "not_found"
    UNCHANGED = "unchanged"
    AMEND_BELOW_FILLED = "amend_below_filled"


class Refused(Exception):
    """A request that changed nothing, and why."""

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(text)
        self.refusal = refusal
        self.text = text


class EndReason(StrEnum):
    """Why an order is over that did not fill whole."""

    NONE = ""
    USER = "user"
    POST_ONLY = "post_only"
    IOC_REST = "ioc_rest"
    FOK = "fok"
    SELF_MATCH = "self_match"
    REDUCE_ONLY = "reduce_only"
    DEAD_MAN = "dead_man"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    """Before the venue took of the position to cover what somebody else lost."""
    MARKET_REST = "market_rest"
    TIME = "time"
    """Its own time was over (good till a date)."""


class Origin(StrEnum):
    """Who made an order: somebody with a key of the account, or the venue itself."""

    CLIENT = ""
    LIQUIDATION = "liquidation"
    ADL = "adl"


class SelfMatch(StrEnum):
    """What happens when an order would meet one of the same account."""

    NONE = "none"
    CANCEL_MAKER = "cancel_maker"
    CANCEL_TAKER = "cancel_taker"
    CANCEL_BOTH = "cancel_both"
    REDUCE = "reduce"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """What a face asks the venue to do. `price` and `quantity` as the client wrote them; None where the order has none.

    `cost` is the quote amount of a market order by value. `client_id` is empty where the client gave none. `words` are what the face wants to
    remember of the request (its own names of type, time in force, self-match).
    """

    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    price: Decimal | None = None
    quantity: Decimal | None = None
    cost: Decimal | None = None
    client_id: str = ""
    reduce_only: bool = False
    self_match: SelfMatch = SelfMatch.NONE
    words: dict[str, str] = field(default_factory=dict)
    foreign: bool = False
    origin: Origin = Origin.CLIENT


class Executed(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One execution as its order keeps it.

    `number` rises by one over the whole venue; `pnl` is what was realised, quote currency; `fee` positive is paid. `mark` is the mark that it met,
    `closed_lots` how much of a position it closed. `moved` is what all executions so far, this one included, moved of its fee currency in a
    derivatives account: what was realised less the fees.
    """

    number: int
    ticks: int
    lots: int
    maker: bool
    fee: Decimal
    fee_currency: str
    pnl: Decimal
    venue_ns: int
    reverses: int = 0
    mark: Decimal = Decimal(0)
    closed_lots: int = 0
    moved: Decimal = Decimal(0)


class Execution(Executed, frozen=True, kw_only=True, gc=True):
    """One execution with its order. The order does not know of it, or both would stay in memory until cycles are looked for."""

    order: SimOrder

    @classmethod
    def of(cls, order: SimOrder, executed: Executed) -> Execution:
        """An execution of an order."""
        return cls(order=order, **{name: getattr(executed, name) for name in Executed.__struct_fields__})


@dataclass(slots=True, kw_only=True, weakref_slot=True)
class SimOrder:
    """An order as it truly is. `revision` counts amends; `paid_ticks_lots` sums ticks times lots of what executed.

    `prevented_lots` were taken off because they would have met an order of the same account: by a reduction, which makes `lots` smaller too, or by
    the end that a self-match brought. `name` is what the face calls the order, where its number does not say it. `executed` is all that it executed,
    what was taken back included; `undone` are those that took it back.
    """

    number: int
    instrument: Instrument
    side: Side
    type: OrderType
    tif: TimeInForce
    ticks: int
    lots: int
    client_id: str
    reduce_only: bool
    self_match: SelfMatch
    words: dict[str, str]
    created_ns: int
    updated_ns: int
    slot: int = -1
    foreign: bool = False
    origin: Origin = Origin.CLIENT
    state: OrderState = OrderState.OPEN
    reason: EndReason = EndReason.NONE
    revision: int = 0
    filled_lots: int = 0
    prevented_lots: int = 0
    paid_ticks_lots: int = 0
    cost: Decimal | None = None
    fee: Decimal = Decimal(0)
    fee_currency: str = ""
    pnl: Decimal = Decimal(0)
    name: str = ""
    executed: list[Executed] = field(default_factory=list)
    undone: list[Executed] = field(default_factory=list)

    @property
    def executions(self) -> list[Execution]:
        """What it executed, oldest first."""
        return [Execution.of(self, executed) for executed in self.executed]

    @property
    def closed_ns(self) -> int:
        """When it last closed something of a position, venue time; 0 if it never did."""
        return max((one.venue_ns for one in self.executed if one.closed_lots), default=0)

    def add_up(self, executed: Executed) -> None:
        """Count an execution in what sums them up."""
        self.filled_lots += executed.lots
        self.paid_ticks_lots += executed.ticks * executed.lots
        self.fee += executed.fee
        self.pnl += executed.pnl

    @property
    def symbol(self) -> str:
        """The venue's name of the instrument."""
        return self.instrument.symbol

    @property
    def open(self) -> bool:
        """Whether it can still execute."""
        return not self.state.final

    @property
    def remaining_lots(self) -> int:
        """What has not executed."""
        return self.lots - self.filled_lots

    @property
    def price(self) -> Decimal:
        """The limit price, quote currency; of a market order the worst it would have paid."""
        return self.instrument.price(self.ticks)

    @property
    def quantity(self) -> Decimal:
        """The whole size, instrument units."""
        return self.instrument.quantity(self.lots)

    @property
    def filled(self) -> Decimal:
        """The executed size, instrument units."""
        return self.instrument.quantity(self.filled_lots)

    @property
    def remaining(self) -> Decimal:
        """The size that has not executed, instrument units."""
        return self.instrument.quantity(self.remaining_lots)

    @property
    def filled_value(self) -> Decimal:
        """What the executed part was worth, quote currency."""
        return self.instrument.quantum * self.instrument.lot * self.paid_ticks_lots

    @property
    def average_price(self) -> Decimal:
        """The mean price of what executed; 0 if nothing did."""
        return self.filled_value / self.filled if self.filled_lots else Decimal(0)
