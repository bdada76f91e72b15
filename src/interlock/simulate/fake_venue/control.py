"""What a test may tell the fake to do, and what it may ask of the truth: control frames, apart from the venue's own protocol.

They travel in the same framing, on a port of their own. Every command names its venue; spans are nanoseconds, prices ticks, sizes lots.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from interlock.domain.orders import Liquidity, Side
from interlock.simulate.fake_venue.engine import Venue
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.matching import Book
from interlock.venues.fake.wire import (
    Balance,
    Execution,
    IndexPrice,
    LedgerEntry,
    OrderView,
    Permissions,
    Position,
    WireError,
    pack,
    unpack,
)


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", forbid_unknown_fields=True):
    """The base of all commands: which venue it is for."""

    venue: str


class ArmFault(Command, frozen=True, kw_only=True, tag="arm_fault"):
    """Let a fault wait for its requests."""

    spec: FaultSpec


class SeedFaults(Command, frozen=True, kw_only=True, tag="seed_faults"):
    """Strike every request with these odds from now on."""

    seed: int
    per_mille: dict[Fault, int]


class ClearFaults(Command, frozen=True, kw_only=True, tag="clear_faults"):
    """No more faults, lags, skew, or silence."""


class Strike(Command, frozen=True, kw_only=True, tag="strike"):
    """Let a fault of the world (foreign orders, ledger, reversal, liquidation) happen now."""

    spec: FaultSpec


class SetBook(Command, frozen=True, kw_only=True, tag="set_book"):
    """Move the best bid and ask; resting orders that it moves through fill. `lots` is what one order can take, in `parts` executions.

    `mark_ticks` is the mark price that is told, 0 for none.
    """

    symbol: str
    bid_ticks: int
    ask_ticks: int
    lots: int | None = None
    parts: int = 1
    mark_ticks: int = 0


class SetIndex(Command, frozen=True, kw_only=True, tag="set_index"):
    """What a unit of a currency is worth in USD, decimal text; the sides may be 0 or cross, which makes no sense on purpose."""

    currency: str
    bid: str
    ask: str


class SetStatus(Command, frozen=True, kw_only=True, tag="set_status"):
    """The status of a symbol; orders are taken while it is "trading"."""

    symbol: str
    status: str


class FillOrder(Command, frozen=True, kw_only=True, tag="fill_order"):
    """Fill an order at its own price, also one that is over."""

    client_id: str
    lots: int


class ForeignOrder(Command, frozen=True, kw_only=True, tag="foreign_order"):
    """An order that came by another way; it fills if it crosses."""

    symbol: str
    side: Side
    ticks: int
    lots: int
    client_id: str = ""


class ReverseFill(Command, frozen=True, kw_only=True, tag="reverse_fill"):
    """Take an execution back."""

    trade_id: str


class MoveBalance(Command, frozen=True, kw_only=True, tag="move_balance"):
    """A ledger entry of any kind and currency; `amount` is signed decimal text."""

    kind: str
    currency: str
    amount: str
    symbol: str = ""


class TakeOver(Command, frozen=True, kw_only=True, tag="take_over"):
    """Close a position by the venue's hand; `kind` is "liquidation" or "adl"."""

    symbol: str
    kind: str


class SetClock(Command, frozen=True, kw_only=True, tag="set_clock"):
    """The skew of the venue's clock against the host's."""

    skew_ns: int


class SetLag(Command, frozen=True, kw_only=True, tag="set_lag"):
    """How far every read of history and of open orders lags from now on."""

    history_ns: int = 0
    open_ns: int = 0


class Silence(Command, frozen=True, kw_only=True, tag="silence"):
    """Tell nothing on the stream for a while; its numbers go on."""

    for_ns: int


class Ban(Command, frozen=True, kw_only=True, tag="ban"):
    """Refuse every request for a while."""

    for_ns: int


class SetRate(Command, frozen=True, kw_only=True, tag="set_rate"):
    """The rate limit: requests a window, and after how many refusals in one it bans. `orders` a window; as before where it is None."""

    requests: int
    window_ns: int
    ban_after: int
    orders: int | None = None


class SetPermissions(Command, frozen=True, kw_only=True, tag="set_permissions"):
    """What the key may do, as the venue tells it."""

    permissions: Permissions


class DropConnections(Command, frozen=True, kw_only=True, tag="drop_connections"):
    """Reset every connection to the venue."""


class AskTruth(Command, frozen=True, kw_only=True, tag="ask_truth"):
    """What is truly there, and which faults happened."""


AnyCommand = (
    ArmFault
    | SeedFaults
    | ClearFaults
    | Strike
    | SetBook
    | SetIndex
    | SetStatus
    | FillOrder
    | ForeignOrder
    | ReverseFill
    | MoveBalance
    | TakeOver
    | SetClock
    | SetLag
    | Silence
    | Ban
    | SetRate
    | SetPermissions
    | DropConnections
    | AskTruth
)


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done", tag_field="k"):
    """The command was carried out; `count` says on how many things (lots filled, entries made), 0 when there was nothing to do."""

    count: int


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed", tag_field="k"):
    """The command makes no sense; nothing was changed."""

    problem: str


class Truth(msgspec.Struct, frozen=True, kw_only=True, tag="truth", tag_field="k"):
    """Everything that the venue truly holds."""

    orders: tuple[OrderView, ...]
    executions: tuple[Execution, ...]
    positions: tuple[Position, ...]
    balances: tuple[Balance, ...]
    ledger: tuple[LedgerEntry, ...]
    requests: int
    faults: dict[Fault, int]


Reply = Done | Failed | Truth
_ENCODER = msgspec.msgpack.Encoder()
_COMMANDS: msgspec.msgpack.Decoder[AnyCommand] = msgspec.msgpack.Decoder(AnyCommand)
_REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode_control(message: AnyCommand | Reply) -> bytes:
    """The frame of a command or a reply."""
    return pack(_ENCODER.encode(message))


def decode_command(frame: bytes) -> AnyCommand:
    """Read a command. Raises WireError for anything else."""
    try:
        return _COMMANDS.decode(unpack(frame))
    except msgspec.DecodeError as error:
        raise WireError(f"command: {error}") from error


def decode_reply(frame: bytes) -> Reply:
    """Read a reply. Raises WireError for anything else."""
    try:
        return _REPLIES.decode(unpack(frame))
    except msgspec.DecodeError as error:
        raise WireError(f"reply: {error}") from error


def truth_of(venue: Venue) -> Truth:
    """What the venue truly holds, however little of it anybody was told."""
    account, matching = venue.account, venue.matching
    return Truth(
        orders=tuple(order.views[-1][1] for order in matching.orders),
        executions=tuple(account.executions),
        positions=tuple(account.position(symbol) for symbol in account.infos),
        balances=tuple(account.balance(currency) for currency in sorted(account.balances)),
        ledger=tuple(account.ledger),
        requests=venue.requests,
        faults=dict(venue.faults.happened),
    )


def carry_out(venue: Venue, command: AnyCommand) -> Reply:
    """Do what a command says; what the venue sends because of it waits in the venue. Nonsense changes nothing and is told."""
    try:
        return _carry_out(venue, command)
    except (ValueError, InvalidOperation) as error:
        return Failed(problem=f"{type(command).__name__}: {error}")


def _carry_out(venue: Venue, command: AnyCommand) -> Reply:
    match command:
        case AskTruth():
            return truth_of(venue)
        case Strike():
            return Done(count=int(venue.strike_now(command.spec)))
        case SetBook():
            _listed(venue, command.symbol)
            sized = command.parts >= 1 and (command.lots is None or command.lots >= 0) and command.mark_ticks >= 0
            if not (0 < command.bid_ticks < command.ask_ticks and sized):
                raise ValueError("expected 0 < bid < ask, parts >= 1, lots >= 0 and mark >= 0")
            before = len(venue.account.executions)
            book = Book(command.bid_ticks, command.ask_ticks, command.lots, command.parts, command.mark_ticks)
            venue.matching.move_book(command.symbol, book)
            return Done(count=len(venue.account.executions) - before)
        case SetIndex():
            if not all(Decimal(side).is_finite() for side in (command.bid, command.ask)):
                raise ValueError(f"expected two numbers, found {command.bid!r} and {command.ask!r}")
            venue.desk.indices[command.currency] = IndexPrice(currency=command.currency, bid=command.bid, ask=command.ask)
        case SetStatus():
            _listed(venue, command.symbol)
            venue.account.set_status(command.symbol, command.status)
        case FillOrder():
            order = venue.matching.find(command.client_id) if command.client_id else None
            if order is None:
                raise ValueError(f"expected an order of the venue, found {command.client_id!r}")
            return Done(count=venue.matching.fill(order, command.lots, order.ticks, Liquidity.MAKER))
        case ForeignOrder():
            _listed(venue, command.symbol)
            if command.ticks < 1 or command.lots < 1:
                raise ValueError("expected ticks and lots >= 1")
            placed = venue.world.foreign_order(command.symbol, command.side, command.ticks, command.lots, command.client_id)
            return Done(count=int(placed is not None))
        case ReverseFill():
            return Done(count=int(venue.world.reverse(command.trade_id)))
        case MoveBalance():
            return Done(count=int(venue.world.ledger(command.kind, command.currency, Decimal(command.amount), command.symbol)))
        case SetPermissions():
            venue.desk.permissions = command.permissions
            return Done(count=1)
        case DropConnections():
            dropped = len(venue.ports)
            venue.reset_all()
            return Done(count=dropped)
        case TakeOver():
            _listed(venue, command.symbol)
            if command.kind not in ("liquidation", "adl"):
                raise ValueError(f"expected liquidation or adl, found {command.kind!r}")
            return Done(count=int(venue.world.take_over(command.symbol, command.kind)))
        case ArmFault():
            venue.faults.arm(command.spec)
        case SeedFaults():
            venue.faults.seed(command.seed, command.per_mille)
        case ClearFaults():
            venue.calm()
        case _:
            _set(venue, command)
    return Done(count=1)


def _set(venue: Venue, command: SetClock | SetLag | Silence | Ban | SetRate) -> None:
    if isinstance(command, SetClock):
        venue.skew_ns = command.skew_ns
    elif isinstance(command, SetLag):
        venue.desk.history_lag_ns, venue.desk.open_lag_ns = command.history_ns, command.open_ns
    elif isinstance(command, Silence):
        venue.stream.silent_until_ns = venue.steady_ns() + command.for_ns
    elif isinstance(command, Ban):
        venue.rates.ban(venue.steady_ns(), command.for_ns)
    else:
        venue.rates.limit, venue.rates.window_ns, venue.rates.ban_after = command.requests, command.window_ns, command.ban_after
        if command.orders is not None:
            orders = venue.order_rates
            orders.limit, orders.window_ns, orders.ban_after = command.orders, command.window_ns, command.ban_after


def _listed(venue: Venue, symbol: str) -> None:
    if symbol not in venue.matching.books:
        raise ValueError(f"expected one of {', '.join(venue.matching.books)}, found {symbol!r}")
