"""Every record that the gate's journal may hold. The state of the gate is a fold of these and of nothing else.

A record says what happened or was decided, never what is to be concluded. Units: `_boot_ns` is CLOCK_BOOTTIME of the host, `_wall_ns` the wall
clock since the Unix epoch, `_venue_ns` the venue's own time; `ticks` and `lots` are whole price quanta and quantity lots of the instrument; amounts
of money are decimals and stand next to their currency. Text in `reason` and `rule` is for people; `rule` names come from the room that decides.

Encoding is msgpack through msgspec, one map a record with its kind under "k". Unknown kinds and unknown fields refuse to decode: a reader must not
skip what it does not understand.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from interlock.domain.orders import Liquidity, OrderState, OrderType, Side, TimeInForce
from interlock.gate.limit_sheet import LimitSheet

DUPLICATE_ID = "duplicate client id"
"""The reason of a `SendUnknown` whose id the venue already knows: somebody has sent it before."""

SCHEMA = 5
"""Raised when a kind or field is added or changed; segments carry it."""


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", forbid_unknown_fields=True):
    """The base of all records: when it was made, on the clock that the gate measures durations with."""

    boot_ns: int


class Level(StrEnum):
    """The lattice: what the gate lets through. Automation only lowers it, only a person raises it."""

    RUN = "run"
    REDUCE_ONLY = "reduce_only"
    CANCEL_ONLY = "cancel_only"
    HALT = "halt"


class Scope(StrEnum):
    """What a latch or interlock holds for; `ALL` has the empty name."""

    ORDER = "order"
    SYMBOL = "symbol"
    STRATEGY = "strategy"
    ACCOUNT = "account"
    ALL = "all"


class Endpoint(StrEnum):
    """Where a venue is spoken to; never a free address."""

    REAL = "real"
    TESTNET = "testnet"
    LOOPBACK = "loopback"


class Purpose(StrEnum):
    """What a grant is for. TRADE: whatever the limits allow. DRILL: exactly one permit, for the sentinel to cancel."""

    TRADE = "trade"
    DRILL = "drill"


class DrillKind(StrEnum):
    """SWEEP: the sentinel lists and cancels where nothing rests. ORDER: it cancels what the drill placed, with the gate stopped."""

    SWEEP = "sweep"
    ORDER = "order"


class Book(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A best bid and ask that somebody decided on, ticks, with the time of its receipt."""

    venue: str
    symbol: str
    bid_ticks: int
    ask_ticks: int
    boot_ns: int


class Binding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a grant is good for; every part must still be true when an order is decided. Hashes are SHA-256, hexadecimal.

    `limits` is the sheet that the process life began with; in that life only recorded tightenings replace it, and a grant stays good under them.
    """

    incarnation: str
    host: str
    account: str
    endpoint: Endpoint
    build: str
    config: str
    strategy: str
    limits: str
    symbols: tuple[tuple[str, str, str], ...]
    """(venue, symbol, hash of the metadata that prices and sizes depend on)."""


class Grant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Leave to take new risk until `expires_boot_ns`, and to reduce it until `mandate_until_boot_ns`. Lives in memory only.

    One for a drill is good for a single permit, and leaves nothing to reduce with: its two ends are the same.
    """

    grant_id: str
    binding: Binding
    cap_usd: Decimal
    scripted: bool
    minted_boot_ns: int
    expires_boot_ns: int
    mandate_until_boot_ns: int
    purpose: Purpose = Purpose.TRADE


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit as it was evaluated for a permit: a value, and the bound that it must not exceed.

    For most the value is what the order would bring about; for margins, distances and the cancel reserve it is what is asked for, and the bound what
    would be there.
    """

    limit: str
    value: str
    bound: str


# Life of the process


class Boot(Record, frozen=True, kw_only=True, tag="boot"):
    """A process life of the gate begins: disarmed and halted, whatever stands before."""

    incarnation: str
    kernel_boot_id: str
    host: str
    user: str
    endpoint: Endpoint
    accounts: tuple[str, ...]
    build: str
    config: str
    limits: str
    wall_ns: int


class Epoch(Record, frozen=True, kw_only=True, tag="epoch"):
    """The epoch of the client ids that follow; durable before the first of them is used."""

    number: int


class Tick(Record, frozen=True, kw_only=True, tag="tick"):
    """Time passed and nothing else; the fold knows no other time than that of records."""

    wall_ns: int


# Arming


class Armed(Record, frozen=True, kw_only=True, tag="arm"):
    """A grant was minted. Evidence only: reading it back arms nothing."""

    grant: Grant
    wall_ns: int


class Disarmed(Record, frozen=True, kw_only=True, tag="disarm"):
    """The grant ended, for one symbol ("venue/symbol") or, with an empty `symbol`, altogether."""

    reason: str
    actor: str
    symbol: str = ""
    mandate_ends: bool = False


class Drilled(Record, frozen=True, kw_only=True, tag="drill"):
    """What a kill drill showed at one venue, as the sentinel read it back. `wall_ns` is when it ended.

    `key` and `sentinel_build` identify what was proven. `verdict` is "pass", "fail" or "unknown"; it can only make what the figures say worse.
    """

    drill_id: str
    kind: DrillKind
    venue: str
    endpoint: Endpoint
    key: str
    sentinel_build: str
    authenticated: bool
    placed: int
    cancelled: int
    remaining: int
    verdict: str
    wall_ns: int


class KillRequested(Record, frozen=True, kw_only=True, tag="kill_req"):
    """Somebody wants everything stopped."""

    source: str
    wall_ns: int


class KillEffective(Record, frozen=True, kw_only=True, tag="kill"):
    """No new risk leaves this gate any more in this process life."""


class KeyAttested(Record, frozen=True, kw_only=True, tag="attest"):
    """A person says, in the words that the gate dictated (`statement`), what a venue does not tell of a key; None is what they did not say.

    It holds for the key with this fingerprint (`venue_reads.fingerprint_of`) and no other, from `wall_ns` to `until_wall_ns`. `expires_wall_ns` is
    when the key ends, 0 for never. `scripted`: no person typed it, which is taken on loopback only.
    """

    venue: str
    account: str
    fingerprint: str
    trade: bool | None
    withdraw: bool | None
    transfer: bool | None
    address_bound: bool | None
    expires_wall_ns: int | None
    statement: str
    actor: str
    scripted: bool
    nonce: str
    wall_ns: int
    until_wall_ns: int


# Limits


class LimitChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit that was tightened: an attribute of a table of the sheet, and what it was, as JSON. `name` is empty for the account's table."""

    table: str
    name: str
    attribute: str
    was: str


class LimitsTightened(Record, frozen=True, kw_only=True, tag="tighten"):
    """From now on `sheet`, which is nowhere looser than what was in force, judges everything; `before` and `after` are the hashes of the two.

    With `changes` undone it is the sheet before, so that an auditor can tell that none is looser without knowing more than the hash of that one.
    """

    before: str
    after: str
    sheet: LimitSheet
    changes: tuple[LimitChange, ...]
    actor: str
    reason: str
    wall_ns: int


# Lattice


class LatchSet(Record, frozen=True, kw_only=True, tag="latch"):
    """Denies down to `level` within its scope until a person clears it."""

    name: str
    scope: Scope
    subject: str
    level: Level
    reason: str
    actor: str
    evidence: dict[str, str] = {}


class LatchCleared(Record, frozen=True, kw_only=True, tag="unlatch"):
    """A person cleared a latch. `nonce` is fresh; `state_version` is the state the person saw."""

    name: str
    scope: Scope
    subject: str
    actor: str
    nonce: str
    state_version: int


class InterlockTripped(Record, frozen=True, kw_only=True, tag="trip"):
    """A condition became false; denies down to `level` until it has been true again for its quarantine."""

    name: str
    scope: Scope
    subject: str
    level: Level
    reason: str
    evidence: dict[str, str] = {}


class InterlockCleared(Record, frozen=True, kw_only=True, tag="untrip"):
    """The condition was true throughout its quarantine."""

    name: str
    scope: Scope
    subject: str


class LevelSet(Record, frozen=True, kw_only=True, tag="level"):
    """The base level that was commanded. Upward only with a person's ceremony, whose fresh nonce it carries."""

    level: Level
    reason: str
    actor: str
    human: bool
    nonce: str = ""


# Intents and their answers


class Intent(Record, frozen=True, kw_only=True, tag="intent"):
    """A proposal of one order as the engine made it; the client id is the gate's."""

    client_id: str
    revision: int
    group: str
    strategy: str
    venue: str
    account: str
    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    reduce_only: bool
    ticks: int
    lots: int
    sequence: int
    created_boot_ns: int
    deadline_boot_ns: int
    books: tuple[Book, ...]


class Permit(Record, frozen=True, kw_only=True, tag="permit"):
    """A durable yes. `mandate` says under which clause of the reduce mandate, empty for one under the grant."""

    client_id: str
    revision: int
    grant_id: str
    epoch: int
    mandate: str
    cap_usd: Decimal
    notional_usd: Decimal
    evaluations: tuple[Evaluation, ...]
    books: tuple[Book, ...]
    usd_rates: tuple[tuple[str, Decimal], ...]
    body_hash: str
    deadline_boot_ns: int
    wall_ns: int


class Deny(Record, frozen=True, kw_only=True, tag="deny"):
    """A no, by a named rule. `count` intents of one (strategy, rule) are told at once when they repeat, or when a batch was denied whole.

    `sequence` is the highest number of the proposals that it answers, so that none is taken again; -1 where they had none. `revision` is that of
    the intent of `client_id` that is denied. A count without a client id is of proposals that left no intent.
    """

    client_id: str
    strategy: str
    rule: str
    detail: str
    count: int = 1
    sequence: int = -1
    revision: int = 0


class ReservedLeg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One leg of a pair as it is reserved: at most `lots`, at no worse a price than `ticks`.

    `units_per_lot` is what one lot is of the coin, in units that both legs of the pair are whole multiples of. `notional_usd` is what the whole leg
    was judged to be worth.
    """

    venue: str
    account: str
    symbol: str
    side: Side
    ticks: int
    lots: int
    units_per_lot: int
    notional_usd: Decimal


class GroupReserved(Record, frozen=True, kw_only=True, tag="group"):
    """A group begins with the first of its orders that is permitted under the grant; recorded before that permit.

    Until `deadline_boot_ns` what its orders filled may be hedged under the reduce mandate, and both its legs shrunk with at most
    `naked_cap_usd` of net exposure and `loss_bound_usd` of loss. After it a new order under the grant begins the group anew.

    With two `legs` the group is a pair: the worst case of both is reserved by this one record, for entries until `reserved_until_boot_ns`.
    """

    group: str
    client_ids: tuple[str, ...]
    naked_cap_usd: Decimal
    deadline_boot_ns: int
    loss_bound_usd: Decimal = Decimal(0)
    legs: tuple[ReservedLeg, ...] = ()
    reserved_until_boot_ns: int = 0


# Orders


class WireBegin(Record, frozen=True, kw_only=True, tag="wire"):
    """Written before the first byte of a placement or amend is handed to the kernel; one for each (client id, revision), over all process lives.

    The signature's time and window are those of `Sent`, told here already for a send of which nothing more is heard; 0 where not known.
    """

    client_id: str
    revision: int
    connection: str
    sign_wall_ns: int = 0
    receive_window_ns: int = 0


class NotSent(Record, frozen=True, kw_only=True, tag="not_sent"):
    """No byte was written, and that is certain; releases the reservation."""

    client_id: str
    revision: int
    reason: str


class Unsent(Record, frozen=True, kw_only=True, tag="unsent"):
    """A gate permitted this, and nobody sent it to the account: the run is in shadow. It is no order of the account: no state, no reservation.

    `permit_lsn` is where the permit stands in the journal of that gate; `permitted_boot_ns` and the rest are what it and its intent say.
    """

    client_id: str
    revision: int
    strategy: str
    venue: str
    account: str
    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    reduce_only: bool
    ticks: int
    lots: int
    notional_usd: Decimal
    permitted_boot_ns: int
    permit_lsn: int


class Sent(Record, frozen=True, kw_only=True, tag="sent"):
    """All bytes were handed to the kernel. `sign_wall_ns` + `receive_window_ns` bounds when the venue can still take it; a window of 0: no bound."""

    client_id: str
    revision: int
    sign_wall_ns: int
    receive_window_ns: int


class SendUnknown(Record, frozen=True, kw_only=True, tag="unknown"):
    """The outcome of a send is not known: timeout, reset, unlisted answer, damage, death of the process."""

    client_id: str
    revision: int
    reason: str


class Answered(Record, frozen=True, kw_only=True, tag="answer"):
    """The venue answered the request itself. `state` is ACKED, OPEN or REJECTED; a rejection carries a code of the venue's definitive table."""

    client_id: str
    revision: int
    state: OrderState
    venue_order_id: str
    code: str


class Reported(Record, frozen=True, kw_only=True, tag="report"):
    """The venue reported an order by stream or query. `source` is "stream", "open" or "history"; `filled_lots` is cumulative."""

    client_id: str
    venue_order_id: str
    state: OrderState
    filled_lots: int
    lots: int
    source: str
    code: str
    venue_ns: int


class Sighting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One read of the venue that did not show an order. `source` is "open" or "history"; `venue_ns` is stamped by the venue."""

    source: str
    venue_ns: int
    later_client_id: str
    """An own order sent later that the same read showed, so that the index had caught up; empty if none."""
    execution_cursor_ns: int


class Absent(Record, frozen=True, kw_only=True, tag="absent"):
    """Proof that the venue never took an order and cannot any more.

    After an outage longer than the venue lists ended orders: all executions up to `fills_complete_venue_ns` are in the ledger, and the venue's
    position was found to be the ledger's. 0 and false where no such evidence was needed.
    """

    client_id: str
    sightings: tuple[Sighting, ...]
    not_before_venue_ns: int
    """Signature time + receive window + visibility lag + clock interval."""
    fills_complete_venue_ns: int = 0
    position_explained: bool = False


class Quarantined(Record, frozen=True, kw_only=True, tag="quarantine"):
    """Not to be resolved by waiting; its worst case stays reserved until a person signs it off or the venue shows it."""

    client_id: str
    reason: str


class Released(Record, frozen=True, kw_only=True, tag="release"):
    """A person states, signed, what became of a quarantined order."""

    client_id: str
    state: OrderState
    filled_lots: int
    actor: str
    nonce: str


class CancelWanted(Record, frozen=True, kw_only=True, tag="cancel"):
    """From now on this order is to be cancelled, until a final state discharges it."""

    client_id: str
    reason: str
    actor: str


class CancelSent(Record, frozen=True, kw_only=True, tag="cancel_sent"):
    """A cancel was written to the venue; may repeat."""

    client_id: str
    attempt: int


class CancelAnswered(Record, frozen=True, kw_only=True, tag="cancel_answer"):
    """The venue's answer to a cancel. `accepted` is not the end of the order, and "not found" proves nothing."""

    client_id: str
    accepted: bool
    code: str


# Ledger


class Filled(Record, frozen=True, kw_only=True, tag="fill"):
    """One execution as the venue tells it; identity is (venue, account, symbol, trade_id). An empty client id is an execution that is not ours."""

    venue: str
    account: str
    symbol: str
    trade_id: str
    client_id: str
    side: Side
    ticks: int
    lots: int
    liquidity: Liquidity
    fee: Decimal
    fee_currency: str
    venue_ns: int


class FillReversed(Record, frozen=True, kw_only=True, tag="reversal"):
    """The venue took an execution back."""

    venue: str
    account: str
    symbol: str
    trade_id: str


class LedgerKind(StrEnum):
    """What besides a fill changes a balance or a position."""

    FUNDING = "funding"
    FEE = "fee"
    REBATE = "rebate"
    INTEREST = "interest"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    TRANSFER = "transfer"
    ADL = "adl"
    LIQUIDATION = "liquidation"
    SETTLEMENT = "settlement"
    AIRDROP = "airdrop"
    ADJUST = "adjust"
    FOREIGN = "foreign"
    """What others did in an unmanaged asset of a shared account: an execution with its fee, its reversal, or any of the kinds above."""


class LedgerEvent(Record, frozen=True, kw_only=True, tag="ledger"):
    """A change of a balance or position that is no fill, by the venue's own id. `amount` is signed, in `currency`; ADJUST is a person's and signed.

    `lots` is the signed change of the position in `symbol` that no execution tells, at `ticks`; 0 where only a balance changed.
    """

    kind: LedgerKind
    venue: str
    account: str
    venue_id: str
    currency: str
    amount: Decimal
    symbol: str = ""
    lots: int = 0
    ticks: int = 0
    actor: str = ""
    nonce: str = ""
    venue_ns: int


class LedgerExpected(Record, frozen=True, kw_only=True, tag="expect"):
    """The owner announced a transfer of their own."""

    kind: LedgerKind
    venue: str
    account: str
    currency: str
    amount: Decimal
    until_wall_ns: int
    actor: str
    nonce: str = ""


class Foreign(Record, frozen=True, kw_only=True, tag="foreign"):
    """An order or execution on our account that is not ours. `own_prefix`: its id looks like ours but is not in the journal.

    `tolerated`: it is in an unmanaged asset of an account that is shared on purpose; then it is only written down.
    """

    venue: str
    account: str
    symbol: str
    client_id: str
    venue_order_id: str
    own_prefix: bool
    tolerated: bool = False


class DayRolled(Record, frozen=True, kw_only=True, tag="day"):
    """The loss day began anew; the baseline is fixed here and kept over boots. Amounts by currency, and the converted total in USD."""

    day: str
    baseline: tuple[tuple[str, Decimal], ...]
    baseline_usd: Decimal
    wall_ns: int
    marks: tuple[tuple[str, str, str, int], ...] = ()
    """(venue, account, symbol, ticks): at what each position went into the baseline; journals before schema 5 have none."""


class Marked(Record, frozen=True, kw_only=True, tag="mark"):
    """Profit and loss since the day's baseline: longs at bid, shorts at ask, in USD and by currency."""

    realised_usd: Decimal
    unrealised_usd: Decimal
    equity_usd: Decimal
    by_currency: tuple[tuple[str, Decimal, Decimal], ...] = ()
    """(currency, realised, unrealised), each in that currency; journals before schema 5 have none."""


# Reconciliation


class Snapshot(Record, frozen=True, kw_only=True, tag="snap"):
    """What a venue says an account holds, taken between two equal cursors."""

    venue: str
    account: str
    cursor_before: str
    cursor_after: str
    positions: tuple[tuple[str, int], ...]
    """(symbol, signed lots)."""
    balances: tuple[tuple[str, Decimal], ...]
    open_orders: tuple[tuple[str, str, str, int], ...]
    """(client id, venue order id, symbol, open lots)."""
    venue_ns: int


class Reconciled(Record, frozen=True, kw_only=True, tag="recon"):
    """The verdict on a snapshot: how often each class of difference was found, and whether all is explained."""

    venue: str
    account: str
    explained: bool
    differences: tuple[tuple[str, str], ...]
    """(class, what)."""


AnyRecord = (
    Boot
    | Epoch
    | Tick
    | Armed
    | Disarmed
    | Drilled
    | KeyAttested
    | LimitsTightened
    | KillRequested
    | KillEffective
    | LatchSet
    | LatchCleared
    | InterlockTripped
    | InterlockCleared
    | LevelSet
    | Intent
    | Permit
    | Deny
    | GroupReserved
    | WireBegin
    | NotSent
    | Unsent
    | Sent
    | SendUnknown
    | Answered
    | Reported
    | Absent
    | Quarantined
    | Released
    | CancelWanted
    | CancelSent
    | CancelAnswered
    | Filled
    | FillReversed
    | LedgerEvent
    | LedgerExpected
    | Foreign
    | DayRolled
    | Marked
    | Snapshot
    | Reconciled
)

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[AnyRecord] = msgspec.msgpack.Decoder(AnyRecord)


def encode(record: Record) -> bytes:
    """The bytes of a record, as the journal keeps them."""
    return _ENCODER.encode(record)


def decode(data: bytes) -> AnyRecord:
    """The record that `encode` made. Raises msgspec.DecodeError or ValidationError for anything else."""
    return _DECODER.decode(data)
