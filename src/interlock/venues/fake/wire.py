"""The fake venue's protocol: framing, requests, answers, and what its private stream pushes.

A frame is a length (u32, big endian, counting all that follows), one byte of version, and one msgpack map with its kind under "k". The orders port
takes every request but `Subscribe`; the stream port takes `Subscribe` and reads, so that an order can never travel where nobody looks for it.

Units: `_ns` are nanoseconds since the Unix epoch by the venue's clock (`countdown_ns` is a span); `ticks` and `lots` are whole quanta of the
instrument; money is decimal text beside its currency, because a venue may send text that is no number and the reader has to notice.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from hashlib import sha256

import msgspec

from interlock.domain.orders import Liquidity, OrderState, OrderType, Side, TimeInForce

VERSION = 1
MAX_FRAME_BYTES = 1 << 24
TRADING = "trading"
"""The only status of an instrument that takes orders."""
_HEAD = struct.Struct(">IB")
_LENGTH_BYTES = 4


class WireError(ValueError):
    """Bytes that are no frame of this protocol; nothing may be concluded from them."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", forbid_unknown_fields=True):
    """The base of everything that is sent; unknown kinds and fields do not decode."""


class VerbClass(StrEnum):
    """What a request can do to exposure. Whatever is not known to be harmless counts as raising it."""

    RISK_RAISING = "RISK+"
    RISK_LOWERING = "RISK-"
    READ = "READ"


class Code(StrEnum):
    """Every code that an honest answer of this venue carries. Any other is unlisted and proves nothing."""

    OK = ""
    BAD_FRAME = "bad_frame"
    BAD_REQUEST = "bad_request"
    WRONG_PORT = "wrong_port"
    UNKNOWN_SYMBOL = "unknown_symbol"
    DUPLICATE_CLIENT_ID = "duplicate_client_id"
    POST_ONLY_WOULD_TAKE = "post_only_would_take"
    REDUCE_ONLY_REJECTED = "reduce_only_rejected"
    INSUFFICIENT_MARGIN = "insufficient_margin"
    NOT_PERMITTED = "not_permitted"
    REQUEST_EXPIRED = "request_expired"
    REQUEST_FROM_FUTURE = "request_from_future"
    NONCE_USED = "nonce_used"
    STALE_REVISION = "stale_revision"
    AMEND_BELOW_FILLED = "amend_below_filled"
    TOO_MANY_ORDERS = "too_many_orders"
    NOT_SUPPORTED = "not_supported"
    NOT_TRADING = "not_trading"
    RATE_LIMITED = "rate_limited"
    BANNED = "banned"
    ORDER_NOT_FOUND = "order_not_found"
    INTERNAL_ERROR = "internal_error"


class EndCode(StrEnum):
    """Why an order ended without being filled or cancelled by request; told by stream and queries."""

    POST_ONLY = "post_only_would_take"
    IOC_REMAINDER = "ioc_remainder"
    FOK_UNFILLABLE = "fok_unfillable"
    REDUCE_ONLY = "reduce_only_no_position"
    DEAD_MAN = "dead_man"


DEFINITIVE_CODES = frozenset(Code) - {Code.OK, Code.ORDER_NOT_FOUND, Code.INTERNAL_ERROR}
"""After one of these, this very request was not taken. A duplicate client id says so of the request, not of the order that has the id."""


# Requests


class Request(Message, frozen=True, kw_only=True):
    """What every request carries. The answer repeats `request_id`; 0 is also what bytes that are no request are answered with.

    `receive_window_ns` of 0: no bound, which a venue with expiry does not accept of what raises risk.
    """

    request_id: int = 0
    sign_ns: int = 0
    receive_window_ns: int = 0
    nonce: str = ""


class NewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order as a placement names it. A market order has `ticks` 0."""

    client_id: str
    revision: int = 0
    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    reduce_only: bool
    ticks: int
    lots: int


class Place(Request, frozen=True, kw_only=True, tag="place"):
    """Place one order."""

    order: NewOrder


class PlaceBatch(Request, frozen=True, kw_only=True, tag="place_batch"):
    """Place several orders; each has an outcome of its own."""

    orders: tuple[NewOrder, ...]


class Amend(Request, frozen=True, kw_only=True, tag="amend"):
    """Give an open order a new price and a new total size, filled part included. The revision must rise."""

    client_id: str
    revision: int
    ticks: int
    lots: int


class Cancel(Request, frozen=True, kw_only=True, tag="cancel"):
    """Cancel one order by its client id."""

    client_id: str


class CancelBatch(Request, frozen=True, kw_only=True, tag="cancel_batch"):
    """Cancel several orders; each has an outcome of its own."""

    client_ids: tuple[str, ...]


class CancelAll(Request, frozen=True, kw_only=True, tag="cancel_all"):
    """Cancel open orders of a symbol and a client id prefix; empty means any. A venue may take fewer than there are: look again."""

    symbol: str = ""
    prefix: str = ""


class Heartbeat(Request, frozen=True, kw_only=True, tag="heartbeat"):
    """Arm the dead-man of a symbol: its open orders are cancelled `countdown_ns` from now unless renewed. 0 disarms."""

    symbol: str
    countdown_ns: int


class QueryOrder(Request, frozen=True, kw_only=True, tag="query_order"):
    """Look one order up, by client id or, where that is empty, by the venue's id."""

    client_id: str = ""
    venue_order_id: str = ""


class Page(Request, frozen=True, kw_only=True):
    """A read in pages: `cursor` is what the last page gave, empty at first."""

    cursor: str = ""
    limit: int = 100


class ReadOpenOrders(Page, frozen=True, kw_only=True, tag="open_orders"):
    """The open orders, oldest first."""

    symbol: str = ""


class ReadOrderHistory(Page, frozen=True, kw_only=True, tag="order_history"):
    """The orders that ended, oldest first. May lag behind."""

    symbol: str = ""


class ReadExecutions(Page, frozen=True, kw_only=True, tag="executions"):
    """Executions and their reversals in the order in which they happened; the last page's cursor asks for later ones."""


class ReadLedger(Page, frozen=True, kw_only=True, tag="ledger"):
    """What changed balances besides executions, in order; cursors as of executions."""


class ReadPositions(Request, frozen=True, kw_only=True, tag="positions"):
    """The position of every instrument, flat ones included; nothing on a spot venue."""


class ReadBalances(Request, frozen=True, kw_only=True, tag="balances"):
    """The balance of every currency."""


class ReadTime(Request, frozen=True, kw_only=True, tag="server_time"):
    """The venue's clock, which every answer carries; this asks for nothing else."""


class ReadTop(Request, frozen=True, kw_only=True, tag="top"):
    """The best bid and ask of a symbol."""

    symbol: str


class ReadIndex(Request, frozen=True, kw_only=True, tag="index"):
    """What a unit of a currency is worth in USD."""

    currency: str


class ReadInstruments(Request, frozen=True, kw_only=True, tag="instruments"):
    """What can be traded, with its quanta."""


class ReadPermissions(Request, frozen=True, kw_only=True, tag="permissions"):
    """Whose key this is and what it may do."""


class Subscribe(Request, frozen=True, kw_only=True, tag="subscribe"):
    """Receive the private stream on this connection from now on; nothing is repeated."""


AnyRequest = (
    Place
    | PlaceBatch
    | Amend
    | Cancel
    | CancelBatch
    | CancelAll
    | Heartbeat
    | QueryOrder
    | ReadOpenOrders
    | ReadOrderHistory
    | ReadExecutions
    | ReadLedger
    | ReadPositions
    | ReadBalances
    | ReadTime
    | ReadTop
    | ReadIndex
    | ReadInstruments
    | ReadPermissions
    | Subscribe
)


# Bodies of answers


class OrderView(Message, frozen=True, kw_only=True, tag="order"):
    """An order as the venue shows it. `filled_lots` is cumulative, less what was reversed; `code` says why it ended."""

    client_id: str
    revision: int
    venue_order_id: str
    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    reduce_only: bool
    ticks: int
    lots: int
    filled_lots: int
    state: OrderState
    code: str
    updated_ns: int


class Outcome(Message, frozen=True, kw_only=True, tag="outcome"):
    """What became of one placement, amend or cancel. ACKED is a receipt: the stream tells the rest."""

    client_id: str
    revision: int
    venue_order_id: str
    state: OrderState
    status: int = 200
    code: str = ""


class Outcomes(Message, frozen=True, kw_only=True, tag="outcomes"):
    """The outcomes of a batch. A child that is missing has an unknown one."""

    children: tuple[Outcome, ...]


class CancelledAll(Message, frozen=True, kw_only=True, tag="cancelled_all"):
    """What a cancel-all took, by client id; orders without one are counted only."""

    client_ids: tuple[str, ...]
    count: int


class BeatTaken(Message, frozen=True, kw_only=True, tag="beat"):
    """The dead-man is armed until `until_ns`, or disarmed where that is 0."""

    until_ns: int


class Orders(Message, frozen=True, kw_only=True, tag="orders"):
    """A page of orders; an empty cursor ends the list."""

    orders: tuple[OrderView, ...]
    cursor: str


class Execution(Message, frozen=True, kw_only=True, tag="execution"):
    """One execution, or with `reversed` the taking back of the one with the same trade id. An empty client id: not placed by request."""

    trade_id: str
    client_id: str
    venue_order_id: str
    symbol: str
    side: Side
    ticks: int
    lots: int
    liquidity: Liquidity
    fee: str
    fee_currency: str
    venue_ns: int
    reversed: bool = False


class Executions(Message, frozen=True, kw_only=True, tag="execution_page"):
    """A page of executions; the cursor never is empty once there was one."""

    executions: tuple[Execution, ...]
    cursor: str


class LedgerEntry(Message, frozen=True, kw_only=True, tag="ledger_entry"):
    """One change of a balance that is no execution. `amount` is signed."""

    venue_id: str
    kind: str
    currency: str
    amount: str
    symbol: str
    venue_ns: int


class LedgerPage(Message, frozen=True, kw_only=True, tag="ledger_page"):
    """A page of the ledger."""

    entries: tuple[LedgerEntry, ...]
    cursor: str


class Position(Message, frozen=True, kw_only=True, tag="position"):
    """A signed position and its average entry price as text ("0" when flat)."""

    symbol: str
    lots: int
    entry_price: str


class Positions(Message, frozen=True, kw_only=True, tag="position_list"):
    """All positions."""

    positions: tuple[Position, ...]


class Balance(Message, frozen=True, kw_only=True, tag="balance"):
    """The balance of one currency."""

    currency: str
    amount: str


class Balances(Message, frozen=True, kw_only=True, tag="balance_list"):
    """All balances."""

    balances: tuple[Balance, ...]


class Top(Message, frozen=True, kw_only=True, tag="top_of_book"):
    """The best bid and ask. `mark_ticks` is 0 where there is no mark price; `trading` says whether orders are taken."""

    symbol: str
    bid_ticks: int
    ask_ticks: int
    mark_ticks: int = 0
    trading: bool = True


class IndexPrice(Message, frozen=True, kw_only=True, tag="index_price"):
    """What a unit of a currency is worth in USD, to sell and to buy; decimal text."""

    currency: str
    bid: str
    ask: str


class InstrumentInfo(Message, frozen=True, kw_only=True, tag="instrument"):
    """What prices and sizes of a symbol depend on; `tick` and `lot` are decimal text. Orders are taken while `status` is TRADING.

    `kind` is "spot" or "perpetual". `tiers`: (up to this notional in the quote currency, initial, maintenance margin as fractions), decimal text.
    """

    symbol: str
    base: str
    quote: str
    tick: str
    lot: str
    min_lots: int
    min_notional: str
    status: str
    kind: str
    tiers: tuple[tuple[str, str, str], ...] = ()


class Instruments(Message, frozen=True, kw_only=True, tag="instrument_list"):
    """All instruments."""

    instruments: tuple[InstrumentInfo, ...]


class Permissions(Message, frozen=True, kw_only=True, tag="key"):
    """Whose key it is and what it may do. `expires_ns` of 0: never; None of anything: this venue does not tell it."""

    account: str
    trade: bool | None
    withdraw: bool | None
    transfer: bool | None
    address_bound: bool | None
    expires_ns: int | None
    position_mode: str
    margin_mode: str


class Subscribed(Message, frozen=True, kw_only=True, tag="subscribed"):
    """The next pushed event will carry this number."""

    next_sequence: int


AnyBody = (
    OrderView
    | Outcome
    | Outcomes
    | CancelledAll
    | BeatTaken
    | Orders
    | Executions
    | LedgerPage
    | Positions
    | Balances
    | Top
    | IndexPrice
    | Instruments
    | Permissions
    | Subscribed
)


class Answer(Message, frozen=True, kw_only=True, tag="answer"):
    """The answer to one request, with the rate limits as they stand. `status` reads like HTTP; only 200 without a code is a yes.

    `limit`, `remaining` and `reset_ns` are of requests; those of orders are beside them, 0 where an answer does not say.
    """

    request_id: int
    status: int
    code: str
    text: str
    venue_ns: int
    limit: int
    remaining: int
    reset_ns: int
    orders_limit: int = 0
    orders_remaining: int = 0
    orders_reset_ns: int = 0
    body: AnyBody | None = None

    @property
    def ok(self) -> bool:
        """Whether the venue says that it did what was asked."""
        return self.status == 200 and self.code == ""


class Push(Message, frozen=True, kw_only=True, tag="push"):
    """One event of the private stream. Numbers rise by one for each event of the venue, whether or not anybody was told."""

    sequence: int
    venue_ns: int
    event: OrderView | Execution | Position | Balance | LedgerEntry


_RAISING = frozenset({"place", "place_batch", "amend"})
_LOWERING = frozenset({"cancel", "cancel_batch", "cancel_all", "heartbeat"})
_ENCODER = msgspec.msgpack.Encoder()
_REQUESTS: msgspec.msgpack.Decoder[AnyRequest] = msgspec.msgpack.Decoder(AnyRequest)
_MESSAGES: msgspec.msgpack.Decoder[Answer | Push] = msgspec.msgpack.Decoder(Answer | Push)


def verb_of(request: AnyRequest) -> str:
    """The name of a request's kind, as it stands in its frame."""
    return str(type(request).__struct_config__.tag)


def class_of(verb: str) -> VerbClass:
    """What requests of this verb can do; verbs that are not known count as raising."""
    if verb in _LOWERING:
        return VerbClass.RISK_LOWERING
    return VerbClass.READ if verb in _READS else VerbClass.RISK_RAISING


def ids_of(request: AnyRequest) -> tuple[tuple[str, int], ...]:
    """The (client id, revision) pairs that a request names; cancels name revision 0."""
    match request:
        case Place():
            return ((request.order.client_id, request.order.revision),)
        case PlaceBatch():
            return tuple((order.client_id, order.revision) for order in request.orders)
        case Amend():
            return ((request.client_id, request.revision),)
        case Cancel() | QueryOrder():
            return ((request.client_id, 0),)
        case CancelBatch():
            return tuple((client_id, 0) for client_id in request.client_ids)
    return ()


def pack(payload: bytes) -> bytes:
    """Put a msgpack payload into a frame. Raises WireError when it is longer than a frame may be."""
    if len(payload) + 1 > MAX_FRAME_BYTES:
        raise WireError(f"frame: expected at most {MAX_FRAME_BYTES} bytes, found {len(payload) + 1}")
    return _HEAD.pack(len(payload) + 1, VERSION) + payload


def unpack(frame: bytes) -> bytes:
    """The msgpack payload of one whole frame. Raises WireError for anything else."""
    if len(frame) < _HEAD.size:
        raise WireError(f"frame: expected at least {_HEAD.size} bytes, found {len(frame)}")
    length, version = _HEAD.unpack_from(frame)
    if length != len(frame) - _LENGTH_BYTES:
        raise WireError(f"frame: expected {length} bytes after the length, found {len(frame) - _LENGTH_BYTES}")
    if version != VERSION:
        raise WireError(f"frame: expected version {VERSION}, found {version}")
    return frame[_HEAD.size :]


def encode(message: Message) -> bytes:
    """The frame of a request, answer or pushed event. The same message gives the same bytes."""
    return pack(_ENCODER.encode(message))


def decode_request(frame: bytes) -> AnyRequest:
    """Read a request. Raises WireError for bytes that are not exactly one known request."""
    try:
        return _REQUESTS.decode(unpack(frame))
    except msgspec.DecodeError as error:
        raise WireError(f"request: {error}") from error


def decode_message(frame: bytes) -> Answer | Push:
    """Read what the venue sent. Raises WireError for bytes that are not exactly one known message."""
    try:
        return _MESSAGES.decode(unpack(frame))
    except msgspec.DecodeError as error:
        raise WireError(f"message: {error}") from error


def body_hash(frame: bytes) -> str:
    """SHA-256 of a whole frame as it stands on the wire, hexadecimal."""
    return sha256(frame).hexdigest()


class Assembler:
    """Cuts a stream of bytes into whole frames; what is left waits for more."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> bytes:
        """The bytes that are no whole frame yet."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._buffer += data

    def take(self) -> bytes | None:
        """The next whole frame, or None. Raises WireError when the length can be none of a frame; the stream is lost then."""
        if len(self._buffer) < _LENGTH_BYTES:
            return None
        length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
        if not 1 <= length <= MAX_FRAME_BYTES:
            raise WireError(f"frame: expected a length of 1 to {MAX_FRAME_BYTES}, found {length}")
        if len(self._buffer) < _LENGTH_BYTES + length:
            return None
        frame = bytes(self._buffer[: _LENGTH_BYTES + length])
        del self._buffer[: _LENGTH_BYTES + length]
        return frame


_READS = frozenset(str(kind.__struct_config__.tag) for kind in AnyRequest.__args__) - _RAISING - _LOWERING
