"""What is said on the gate's sockets: one versioned set of frames for every role, length first, then msgpack.

A frame is a length (4 bytes, big endian, at most MAX_FRAME_BYTES) and a msgpack map with its kind under "k". A connection begins with
`Hello` and is answered with `Welcome` or `Refusal`; after that every request gets exactly one answer, in order. Unknown kinds and fields are
refused, not skipped.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate.records import Book, Level, Scope

PROTOCOL = 6
"""Raised when a frame is added or changed; both sides must speak the same."""

MAX_FRAME_BYTES = 1 << 20
_LENGTH = struct.Struct(">I")
LENGTH_BYTES = _LENGTH.size


class Role(StrEnum):
    """The sockets, by what a peer may do there."""

    INTENT = "intent"
    """The engine: propose orders, cancel own ones."""
    READ = "read"
    """Anyone allowed: look."""
    LOWER = "lower"
    """Stop, freeze, disarm, tighten limits: nothing that raises."""
    RAISE = "raise"
    """A person's ceremonies: arm, resume, adopt, attest."""


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", forbid_unknown_fields=True):
    """The base of all frames."""


class Hello(Frame, frozen=True, kw_only=True, tag="hello"):
    """The first frame of a client. `strategy`: of an engine, the digest of what it decides by; empty of a person, who is no engine."""

    protocol: int
    role: Role
    strategy: str = ""


class Welcome(Frame, frozen=True, kw_only=True, tag="welcome"):
    """The gate's answer to it: which process life answers."""

    protocol: int
    incarnation: str


class Refusal(Frame, frozen=True, kw_only=True, tag="refusal"):
    """A request was not understood or not allowed here; nothing was changed. `rule` is a short name, `detail` a sentence."""

    rule: str
    detail: str


class PlannedLeg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One leg of a pair as the engine wants it: at most `lots`, at no worse a price than `ticks`."""

    venue: str
    symbol: str
    side: Side
    tif: TimeInForce
    ticks: int
    lots: int
    reduce_only: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first order of a pair says of the whole pair. It can only be stricter than the limits: of each bound the smaller one holds."""

    legs: tuple[PlannedLeg, PlannedLeg]
    """The first is that of the order that carries the plan; the second hedges what the first was proven to have filled."""
    deadline_boot_ns: int
    """Until when the legs may be entered."""
    naked_cap_usd: Decimal
    loss_bound_usd: Decimal


class Proposal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order as the engine wants it. Times are CLOCK_BOOTTIME nanoseconds; `books` are the tops it was decided on."""

    venue: str
    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    ticks: int
    lots: int
    strategy: str
    sequence: int
    created_boot_ns: int
    deadline_boot_ns: int
    group: str = ""
    reduce_only: bool = False
    amends: str = ""
    """Client id of the order to change; the gate gives the next revision."""
    books: tuple[Book, ...] = ()
    plan: Plan | None = None
    """Makes the group a pair that is reserved with this order, its first; `group` names it, and has to be a new name."""


class Propose(Frame, frozen=True, kw_only=True, tag="propose"):
    """Orders to decide on, in this order; later ones against the reservations of earlier ones."""

    proposals: tuple[Proposal, ...]


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of one proposal. `result` is PERMIT or DENY; `rule` names what denied it and is empty for a permit."""

    result: str
    rule: str
    client_id: str
    detail: str = ""


class Decided(Frame, frozen=True, kw_only=True, tag="decided"):
    """The answer to `Propose`: one decision a proposal, in their order."""

    decisions: tuple[Decision, ...]


class CancelOwn(Frame, frozen=True, kw_only=True, tag="cancel_own"):
    """Cancel orders of our own by client id; an empty tuple is all of them."""

    client_ids: tuple[str, ...]
    reason: str


class Edge(Frame, frozen=True, kw_only=True, tag="edge"):
    """The edge that the engine measures for a strategy, and the least that it trades on; both decimals, basis points.

    One below the other latches the strategy at reduce_only. It can only lower; telling it again changes nothing.
    """

    strategy: str
    measured_bps: str
    threshold_bps: str


class Follow(Frame, frozen=True, kw_only=True, tag="follow"):
    """Ask for what changed of our orders and positions since `after`, a version that was told; 0 asks for everything that is alive.

    Answered as soon as there is something, at the latest `wait_ns` later, with nothing. Whoever asks once and then no more counts as an engine
    that is gone: its orders are cancelled.
    """

    after: int
    wait_ns: int


class Executed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At which prices and fees an order was filled so far: the sum of ticks times lots, and what was charged by currency, below zero for a rebate."""

    tick_lots: Decimal
    fees: tuple[tuple[str, Decimal], ...]


class OrderNow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order of ours as the gate has it now; `lots` is the whole of it, `owed` whether a cancel of it is owed.

    `executed` is None where nothing is filled, and where not every execution that was counted is remembered.
    """

    client_id: str
    strategy: str
    venue: str
    symbol: str
    side: Side
    ticks: int
    lots: int
    filled_lots: int
    state: OrderState
    owed: bool
    executed: Executed | None = None


class PositionNow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What we hold of a market, in signed lots."""

    venue: str
    symbol: str
    lots: int


class Followed(Frame, frozen=True, kw_only=True, tag="followed"):
    """The answer to `Follow`: how what changed stands now, all of one moment. `whole`: everything that is alive, and not what changed.

    `version` is what to ask after next. It belongs to the process life of the gate that told it.
    """

    version: int
    whole: bool
    level: Level
    armed: bool
    orders: tuple[OrderNow, ...]
    positions: tuple[PositionNow, ...]


class GetStatus(Frame, frozen=True, kw_only=True, tag="status"):
    """Ask how things stand."""


class Status(Frame, frozen=True, kw_only=True, tag="stands"):
    """How things stand, as plain data for people and pages. `state_version` is what a raising request has to name."""

    incarnation: str
    state_version: int
    level: Level
    armed: bool
    report: dict[str, Any]


class Kill(Frame, frozen=True, kw_only=True, tag="kill"):
    """Stop everything now."""

    source: str


class Freeze(Frame, frozen=True, kw_only=True, tag="freeze"):
    """Set a latch by hand."""

    scope: Scope
    subject: str
    level: Level
    reason: str


class Disarm(Frame, frozen=True, kw_only=True, tag="disarm"):
    """End the grant. With `mandate` also the leave to reduce."""

    reason: str
    mandate: bool = False


class Tighten(Frame, frozen=True, kw_only=True, tag="tighten"):
    """Put tighter limits in force now. `limits` is the text of a whole file of limits; refused whole if any key of it is looser."""

    limits: str
    reason: str


class ArmBegin(Frame, frozen=True, kw_only=True, tag="arm_begin"):
    """Begin the ceremony. `conditions` are the environment variables as the person's terminal has them, by name.

    `max_notional_usd` may ask for less than the environment allows, and is empty where it does not. A drill names "venue/symbol".
    """

    conditions: dict[str, str]
    max_notional_usd: str
    lifetime_ns: int
    mandate_ns: int
    scripted: bool
    state_version: int
    nonce: str
    drill_symbol: str = ""


class Challenge(Frame, frozen=True, kw_only=True, tag="challenge"):
    """What the person has to type."""

    challenge_id: str
    phrase: str


class ArmAnswer(Frame, frozen=True, kw_only=True, tag="arm_answer"):
    """What the person typed. `level_nonce` is for the raise of the level that comes with a grant."""

    challenge_id: str
    acknowledgement: str
    phrase: str
    level_nonce: str


class DrillEnd(Frame, frozen=True, kw_only=True, tag="drill_end"):
    """What the sentinel told of a drill that `ArmAnswer` began: its verdict (PASS, FAIL, UNKNOWN) and what it cancelled, by venue."""

    drill_id: str
    verdict: str
    cancelled: dict[str, int]


class Resume(Frame, frozen=True, kw_only=True, tag="resume"):
    """Raise the base level, or with `latch` clear one latch."""

    level: Level
    latch: str
    scope: Scope
    subject: str
    state_version: int
    nonce: str


class Expect(Frame, frozen=True, kw_only=True, tag="expect"):
    """Announce an owner's transfer. `amount` is a decimal, `within_ns` counts from now."""

    event: str
    venue: str
    amount: str
    currency: str
    within_ns: int
    nonce: str


class Release(Frame, frozen=True, kw_only=True, tag="release"):
    """A person says what became of a quarantined order."""

    client_id: str
    state: OrderState
    filled_lots: int
    state_version: int
    nonce: str


class Adjust(Frame, frozen=True, kw_only=True, tag="adjust"):
    """A person takes a difference into the books: an amount of money (decimal), or signed lots of a symbol at a price in ticks."""

    venue: str
    currency: str
    amount: str
    symbol: str
    lots: int
    ticks: int
    state_version: int
    nonce: str


class Attest(Frame, frozen=True, kw_only=True, tag="attest"):
    """A person says what a venue does not tell of the key in use; None is what they do not say. `expires_wall_ns` is a midnight in UTC, 0 for never.

    With an empty `statement` nothing is attested: the answer is what has to be typed, and of which key.
    """

    venue: str
    account: str
    fingerprint: str
    trade: bool | None
    withdraw: bool | None
    transfer: bool | None
    address_bound: bool | None
    expires_wall_ns: int | None
    for_ns: int
    statement: str
    scripted: bool
    state_version: int
    nonce: str


class Dictated(Frame, frozen=True, kw_only=True, tag="dictated"):
    """What has to be typed, word for word, of the key with this fingerprint; `untold` are the facts that the venue does not tell of it."""

    fingerprint: str
    phrase: str
    untold: tuple[str, ...]


class Done(Frame, frozen=True, kw_only=True, tag="done"):
    """It was done; what came of it, as plain data."""

    report: dict[str, Any] = {}


Request = (
    Propose
    | CancelOwn
    | Edge
    | Follow
    | GetStatus
    | Kill
    | Freeze
    | Disarm
    | Tighten
    | ArmBegin
    | ArmAnswer
    | DrillEnd
    | Resume
    | Expect
    | Release
    | Adjust
    | Attest
)
Answer = Decided | Followed | Status | Challenge | Dictated | Done | Refusal
AnyFrame = Hello | Welcome | Request | Answer

ALLOWED: dict[Role, tuple[type[Frame], ...]] = {
    Role.INTENT: (Propose, CancelOwn, Edge, Follow, GetStatus),
    Role.READ: (GetStatus,),
    Role.LOWER: (Kill, Freeze, Disarm, Tighten, GetStatus),
    Role.RAISE: (ArmBegin, ArmAnswer, DrillEnd, Resume, Expect, Release, Adjust, Attest, GetStatus),
}
"""Which requests a socket takes. None of them raises anything but those of RAISE; all may look."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)


def encode(frame: Frame) -> bytes:
    """A whole frame with its length. Raises ValueError if it is too long."""
    body = _ENCODER.encode(frame)
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"frame: expected at most {MAX_FRAME_BYTES} bytes, found {len(body)}; send fewer at once")
    return _LENGTH.pack(len(body)) + body


def body_length(prefix: bytes) -> int:
    """The length that a frame's first 4 bytes announce. Raises ValueError if no frame may be that long or is empty."""
    (length,) = _LENGTH.unpack(prefix)
    if not 0 < length <= MAX_FRAME_BYTES:
        raise ValueError(f"frame: expected a length of 1 to {MAX_FRAME_BYTES}, found {length}; this does not speak our protocol")
    return int(length)


def decode(body: bytes) -> AnyFrame:
    """The frame in a body. Raises ValueError for anything that is none of ours."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"frame: expected one of protocol {PROTOCOL}, found something else ({error})") from error
