"""Positions and money as the journal's executions and ledger events have made them.

Positions and what was traded are whole lots and tick-lots (one lot at one tick), so that every sum is exact whatever the order of delivery; what a
tick-lot is worth, and in which currency, is told by the caller who asks for money. Amounts of other flows are exact decimals by currency.

Average cost, and with it the split of a result into realised and not realised, follows the order of the journal; a late execution moves the
split and never the sum. Cost that leaves with a part of a position is rounded down to a billionth of a tick-lot, and the rest stays with the rest: a
venue pays by the average itself, and a tick-lot too many or too few in its balance would be a difference that nothing explains.

Single executions and events are forgotten after a while (`retention`); sums never are. What was forgotten cannot be told from what was never seen, so
nothing that the venue stamped at or before the latest forgotten one is booked any more: it is flagged, and halts.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from decimal import Context, Decimal
from enum import StrEnum
from typing import Final

import msgspec

from interlock.domain.errors import Refused
from interlock.gate import records as r
from interlock.gate.order_state import Account, Market, TradeKey
from interlock.gate.retention import Queue, fingerprint

FILL_FEE = "fill_fee"
"""The kind of flow that fees of executions are summed up under; amounts are negative when paid."""
EXTERNAL = frozenset(
    {
        r.LedgerKind.DEPOSIT,
        r.LedgerKind.WITHDRAWAL,
        r.LedgerKind.TRANSFER,
        r.LedgerKind.AIRDROP,
        r.LedgerKind.ADJUST,
        r.LedgerKind.FOREIGN,
    }
)
"""Flows that are no result of our trading: they move balances, never profit or loss."""
TRANSFERS = frozenset({r.LedgerKind.DEPOSIT, r.LedgerKind.WITHDRAWAL, r.LedgerKind.TRANSFER})
"""Flows that the owner is to announce."""
FLAGS_KEPT = 1_000
"""How many (flag, subject) are told apart; what is noticed about older ones counts on from the highest of them."""
NO_FLOOR = -(1 << 63)
"""Where nothing was forgotten yet."""
_DROP_AT = 256

EventKey = tuple[str, str, str, str]
"""(venue, account, kind, the venue's id): the identity of a ledger event. A person's adjustment without one goes by its nonce."""


Change = tuple[int, str, int, int]
"""(venue time, symbol, signed lots, ticks) of a change of a position."""


class Flag(StrEnum):
    """What the ledger has noticed and somebody must act on."""

    FOREIGN_FILL = "foreign_fill"
    REVERSAL = "reversal"
    ADL = "adl"
    LIQUIDATION = "liquidation"
    CONFLICT = "conflict"
    """The venue told one execution or event twice, with different content."""
    REFUSED = "refused"
    """A record that cannot be booked: no positive size, no finite amount, or an adjustment without a signature."""
    UNPRICED = "unpriced"
    """The venue changed a position and told no price; it was booked at average cost."""
    TOO_OLD = "too_old"
    """An execution or event from a time of which not everything is remembered: it may have been booked already, and was not booked."""


class Forgotten(Refused):
    """A question about a time of which the ledger no longer remembers everything."""


PARTS: Final = 10**9
"""How many parts a tick-lot of cost has."""


def _tick_lots(parts: int) -> Decimal:
    return Decimal(f"{parts}e-9")  # the constructor is exact; arithmetic would round


class Position(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A market's position. `lots` signed; `cash` in tick-lots, paid (-) and received (+); cost, signed as the position, is `cost_floor` tick-lots
    and `cost_parts` billionths of one, so that each of the numbers has room in 64 bits.
    """

    lots: int = 0
    cash: int = 0
    cost_floor: int = 0
    cost_parts: int = 0
    day_floor: int = 0
    day_parts: int = 0

    @property
    def day_cost(self) -> Decimal:
        """As `cost`, what was held when the loss day began at the price at which it went into the day's baseline."""
        return _tick_lots(self.day_floor * PARTS + self.day_parts)

    @property
    def cost(self) -> Decimal:
        """What is held has cost this, in tick-lots."""
        return _tick_lots(self.all_cost_parts)

    @property
    def realised(self) -> Decimal:
        """What was closed has brought this, in tick-lots."""
        return _tick_lots(self.cash * PARTS + self.all_cost_parts)

    @property
    def all_cost_parts(self) -> int:
        """The cost in billionths of a tick-lot."""
        return self.cost_floor * PARTS + self.cost_parts


class Booked(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An execution as it was booked; `signed_lots` is positive for a buy."""

    client_id: str
    signed_lots: int
    ticks: int
    fee: Decimal
    fee_currency: str
    venue_ns: int


class Event(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A ledger event as it was booked."""

    kind: r.LedgerKind
    currency: str
    amount: Decimal
    symbol: str
    lots: int
    ticks: int
    venue_ns: int


class Expected(msgspec.Struct, frozen=True, order=True, array_like=True, forbid_unknown_fields=True):
    """A transfer that the owner announced; `until_wall_ns` comes first because the most urgent is matched first."""

    until_wall_ns: int
    kind: r.LedgerKind
    venue: str
    account: str
    currency: str
    amount: Decimal


class Day(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The loss day: its baseline as it was fixed at the roll, and the largest loss since, which only a new day resets."""

    name: str = ""
    baseline: tuple[tuple[str, Decimal], ...] = ()
    baseline_usd: Decimal = Decimal(0)
    max_loss_usd: Decimal = Decimal(0)


class Ledger(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The state. Compare with `==`."""

    positions: dict[Market, Position] = {}
    flows: dict[tuple[str, str, str, str], Decimal] = {}
    """Sum by (venue, account, currency, kind)."""
    fills: dict[TradeKey, Booked] = {}
    events: dict[EventKey, Event] = {}
    reversals: dict[TradeKey, bool] = {}
    """Whether the execution that was taken back had been booked."""
    timeline: dict[Account, list[Change]] = {}
    """By (venue, account): changes of positions, by venue time."""
    expected: list[Expected] = []
    flags: dict[tuple[str, str], int] = {}
    """How often by (flag, subject), at most FLAGS_KEPT of them, the newest last."""
    flags_gone: dict[str, int] = {}
    """By flag: the highest count of those that are not told apart any more. A new one counts on from there, and so above what any of them had."""
    day: Day = Day()
    duplicates: int = 0
    booked: Queue[TradeKey] = msgspec.field(default_factory=Queue)
    entered: Queue[EventKey] = msgspec.field(default_factory=Queue)
    fill_floors: dict[Account, int] = {}
    """By (venue, account): the latest venue time of an execution that was forgotten."""
    event_floors: dict[tuple[str, str, str], int] = {}
    """The same for events, by (venue, account, kind)."""
    dropped: dict[Account, int] = {}
    """By (venue, account): up to which venue time changes were taken out of the timeline."""
    theirs: dict[Market, Position] = {}
    """What others hold in unmanaged assets: never a position of ours, and part of what the account's balances come to."""

    def digest_parts(self) -> tuple[object, ...]:
        """The state as plain data, for hashing. Two folds of one journal give equal parts."""
        return (fingerprint(self),)


def apply(ledger: Ledger, record: r.Record) -> Ledger:
    """Fold one record into `ledger`, which is changed and returned; kinds that move no money only move the time on."""
    match record:
        case r.Boot():
            ledger.booked.restart(record.boot_ns)
            ledger.entered.restart(record.boot_ns)
        case r.Filled():
            _filled(ledger, record)
        case r.FillReversed():
            _reversed(ledger, record)
        case r.LedgerEvent():
            _event(ledger, record)
        case r.LedgerExpected():
            insort(
                ledger.expected,
                Expected(record.until_wall_ns, record.kind, record.venue, record.account, record.currency, record.amount),
            )
        case r.DayRolled():
            # ISO dates sort as days do. A day that is told again keeps the baseline that it began with.
            if record.day > ledger.day.name:
                ledger.day = Day(record.day, record.baseline, record.baseline_usd)
                for venue, account, symbol, ticks in record.marks:
                    position = ledger.positions.setdefault((venue, account, symbol), Position())
                    position.day_floor, position.day_parts = position.lots * ticks, 0
        case r.Marked():
            loss = -exact_sum(record.realised_usd, record.unrealised_usd)
            ledger.day = msgspec.structs.replace(ledger.day, max_loss_usd=max(ledger.day.max_loss_usd, loss))
        case _:
            pass
    _forget(ledger, record.boot_ns)
    return ledger


# Questions


def position_lots(ledger: Ledger, venue: str, account: str, symbol: str, until_venue_ns: int | None = None) -> int:
    """The signed position in lots, or as it was at a venue time. Raises Forgotten as `changes_after`."""
    position = ledger.positions.get((venue, account, symbol))
    if position is None:
        return 0
    if until_venue_ns is None:
        return position.lots
    later = changes_after(ledger, venue, account, until_venue_ns)
    return position.lots - sum(lots for _, name, lots, _ in later if name == symbol)


def changes_after(ledger: Ledger, venue: str, account: str, venue_ns: int) -> list[Change]:
    """The changes of positions of an account later than a venue time. Raises Forgotten for a time from which not all are remembered."""
    _require(ledger.dropped.get((venue, account), venue_ns), venue_ns, "changes of positions", venue, account)
    changes = ledger.timeline.get((venue, account), [])
    return changes[bisect_right(changes, venue_ns, key=_venue_ns) :]


def cash(ledger: Ledger, venue: str, account: str, until_venue_ns: int | None = None) -> dict[str, Decimal]:
    """The sum of all flows by currency, external ones included and what was traded left out; events later than `until_venue_ns` left out too.

    Raises Forgotten for a time from which not all events are remembered.
    """
    found: dict[str, Decimal] = {}
    if until_venue_ns is not None:
        floor = max((ns for key, ns in ledger.event_floors.items() if key[:2] == (venue, account)), default=until_venue_ns)
        _require(floor, until_venue_ns, "events", venue, account)
        for event_key, event in ledger.events.items():
            if event_key[:2] == (venue, account) and event.venue_ns > until_venue_ns:
                found[event.currency] = exact_sum(found.get(event.currency, Decimal(0)), -event.amount)
    for (of_venue, of_account, currency, _), amount in ledger.flows.items():
        if (of_venue, of_account) == (venue, account):
            found[currency] = exact_sum(found.get(currency, Decimal(0)), amount)
    return found


def unexpected_transfers(ledger: Ledger) -> list[EventKey]:
    """Deposits, withdrawals and transfers that nobody announced, by (kind, venue, account, currency, amount) and time; each notice serves once.

    Both sides are taken by time, so that a later transfer never takes the notice that only an earlier one could have used. One that nobody
    announced is remembered until somebody has; one that was announced is forgotten in time, with its notice.
    """
    announced = _announced(ledger)
    return [key for key, _ in _transfers(ledger) if key not in announced]


def exact_sum(a: Decimal, b: Decimal) -> Decimal:
    """a + b without rounding, whatever the caller's decimal context."""
    return Context(prec=400, traps=[]).add(a, b)


# The fold


def _venue_ns(change: Change) -> int:
    return change[0]


def _require(floor_venue_ns: int, venue_ns: int, what: str, venue: str, account: str) -> None:
    if venue_ns < floor_venue_ns:
        raise Forgotten(
            f"{what} of {venue}/{account} after {venue_ns}: expected a venue time from {floor_venue_ns} on, what is older was forgotten; "
            "take a newer snapshot"
        )


def _transfers(ledger: Ledger) -> list[tuple[EventKey, Event]]:
    """The transfers that are remembered, by time."""
    found = [(key, event) for key, event in ledger.events.items() if event.kind in TRANSFERS]
    return sorted(found, key=lambda item: (item[1].venue_ns, item[0]))


def _announced(ledger: Ledger) -> dict[EventKey, Expected]:
    """Which notice each transfer that was announced has used."""
    open_notices = list(ledger.expected)
    found = {}
    for key, event in _transfers(ledger):
        for notice in open_notices:
            same = (notice.kind, notice.venue, notice.account, notice.currency) == (event.kind, key[0], key[1], event.currency)
            if same and notice.amount == event.amount and event.venue_ns <= notice.until_wall_ns:
                open_notices.remove(notice)
                found[key] = notice
                break
    return found


def _flag(ledger: Ledger, flag: Flag, subject: str) -> None:
    count = ledger.flags.pop((flag, subject), None)
    ledger.flags[flag, subject] = 1 + (ledger.flags_gone.get(flag, 0) if count is None else count)
    if len(ledger.flags) > FLAGS_KEPT:
        oldest = next(iter(ledger.flags))
        gone = ledger.flags.pop(oldest)
        ledger.flags_gone[oldest[0]] = max(gone, ledger.flags_gone.get(oldest[0], 0))


def _flow(ledger: Ledger, venue: str, account: str, currency: str, kind: str, amount: Decimal) -> None:
    key = (venue, account, currency, kind)
    ledger.flows[key] = exact_sum(ledger.flows.get(key, Decimal(0)), amount)


def _trade(position: Position, signed_lots: int, ticks: int) -> None:
    """Move a position at a price: the part that shrinks it realises, the rest joins at cost."""
    position.cash -= signed_lots * ticks
    held = position.lots
    position.lots += signed_lots
    closing = 0
    if held * signed_lots < 0:
        sign = 1 if signed_lots > 0 else -1
        closing = sign * min(abs(signed_lots), abs(held))
    joining = (signed_lots - closing) * ticks * PARTS
    cost, day_cost = position.all_cost_parts, position.day_floor * PARTS + position.day_parts
    if closing:
        cost -= cost * abs(closing) // abs(held)
        day_cost -= day_cost * abs(closing) // abs(held)
    position.cost_floor, position.cost_parts = divmod(cost + joining, PARTS)
    position.day_floor, position.day_parts = divmod(day_cost + joining, PARTS)


def _change(ledger: Ledger, market: Market, signed_lots: int, ticks: int, venue_ns: int, *, theirs: bool = False) -> None:
    positions = ledger.theirs if theirs else ledger.positions
    _trade(positions.setdefault(market, Position()), signed_lots, ticks)
    venue, account, symbol = market
    insort(ledger.timeline.setdefault((venue, account), []), (venue_ns, symbol, signed_lots, ticks))


def _filled(ledger: Ledger, record: r.Filled) -> None:
    key = (record.venue, record.account, record.symbol, record.trade_id)
    booked = Booked(record.client_id, record.side * record.lots, record.ticks, record.fee, record.fee_currency, record.venue_ns)
    known = ledger.fills.get(key)
    if known is not None:
        ledger.duplicates += 1
        if known != booked:
            _flag(ledger, Flag.CONFLICT, record.trade_id)
        return
    if not (record.lots > 0 and record.ticks > 0 and record.fee.is_finite()):
        _flag(ledger, Flag.REFUSED, record.trade_id)
        return
    if record.venue_ns <= ledger.fill_floors.get(key[:2], NO_FLOOR):
        _flag(ledger, Flag.TOO_OLD, record.trade_id)
        return
    ledger.fills[key] = booked
    ledger.booked.add(record.boot_ns, key)
    market = key[:3]
    _change(ledger, market, booked.signed_lots, booked.ticks, booked.venue_ns)
    _flow(ledger, record.venue, record.account, record.fee_currency, FILL_FEE, -record.fee)
    if not record.client_id:
        _flag(ledger, Flag.FOREIGN_FILL, record.trade_id)
    if key in ledger.reversals:
        ledger.reversals[key] = True
        _change(ledger, market, -booked.signed_lots, booked.ticks, booked.venue_ns)


def _reversed(ledger: Ledger, record: r.FillReversed) -> None:
    """Undo an execution. Its fee stays paid until the venue returns it by an event of its own."""
    key = (record.venue, record.account, record.symbol, record.trade_id)
    if key in ledger.reversals:
        ledger.duplicates += 1
        return
    booked = ledger.fills.get(key)
    ledger.reversals[key] = booked is not None
    _flag(ledger, Flag.REVERSAL, record.trade_id)
    if booked is not None:
        _change(ledger, key[:3], -booked.signed_lots, booked.ticks, booked.venue_ns)


def _event(ledger: Ledger, record: r.LedgerEvent) -> None:
    signed = bool(record.actor and record.nonce)
    adjust = record.kind is r.LedgerKind.ADJUST
    name = record.venue_id or (record.nonce if adjust else "")
    key = (record.venue, record.account, str(record.kind), name)
    event = Event(record.kind, record.currency, record.amount, record.symbol, record.lots, record.ticks, record.venue_ns)
    known = ledger.events.get(key)
    if known is not None:
        ledger.duplicates += 1
        if known != event:
            _flag(ledger, Flag.CONFLICT, name)
        return
    moves = record.lots != 0
    if not (name and record.amount.is_finite()) or (adjust and not signed) or (moves and not (record.symbol and record.ticks >= 0)):
        _flag(ledger, Flag.REFUSED, name)
        return
    if adjust and moves and record.ticks == 0:
        _flag(ledger, Flag.REFUSED, name)  # lots without a price would be a gift to the day's profit
        return
    if not adjust:
        # A person's adjustment goes by its nonce, which serves once for good.
        if record.venue_ns <= ledger.event_floors.get(key[:3], NO_FLOOR):
            _flag(ledger, Flag.TOO_OLD, name)
            return
        ledger.entered.add(record.boot_ns, key)
    ledger.events[key] = event
    if record.kind is r.LedgerKind.ADL:
        _flag(ledger, Flag.ADL, name)
    elif record.kind is r.LedgerKind.LIQUIDATION:
        _flag(ledger, Flag.LIQUIDATION, name)
    _flow(ledger, record.venue, record.account, record.currency, record.kind, record.amount)
    if moves:
        market = (record.venue, record.account, record.symbol)
        ticks = record.ticks
        if record.kind is r.LedgerKind.FOREIGN:
            _change(ledger, market, record.lots, ticks, record.venue_ns, theirs=True)
            return
        if ticks == 0:
            position = ledger.positions.get(market, Position())
            ticks = position.all_cost_parts // (position.lots * PARTS) if position.lots else 0
            _flag(ledger, Flag.UNPRICED, name)
        _change(ledger, market, record.lots, ticks, record.venue_ns)


# Forgetting


def read_after_venue_ns(ledger: Ledger, floors: Mapping[Account, int], venue: str, account: str) -> int:
    """The venue time after which executions are to be read when an earlier process life's cursor is lost; 0 is from the beginning.

    `floors` are those of the orders. Every later execution is new, or known and only counted as told twice; earlier ones would halt.
    """
    return max(ledger.fill_floors.get((venue, account), 0), floors.get((venue, account), 0))


def events_after_venue_ns(ledger: Ledger, venue: str, account: str) -> int:
    """The same for ledger events."""
    return max((ns for key, ns in ledger.event_floors.items() if key[:2] == (venue, account)), default=0)


def _forget(ledger: Ledger, boot_ns: int) -> None:
    while (found := ledger.booked.take(boot_ns)) is not None:
        key = found[1]
        where = key[:2]
        ledger.fill_floors[where] = max(ledger.fills.pop(key).venue_ns, ledger.fill_floors.get(where, NO_FLOOR))
        ledger.reversals.pop(key, None)
        _drop_changes(ledger, where, ledger.fill_floors[where])
    while (due := ledger.entered.take(boot_ns)) is not None:
        _forget_event(ledger, due[1])


def _forget_event(ledger: Ledger, key: EventKey) -> None:
    event = ledger.events[key]
    if event.kind in TRANSFERS:
        notice = _announced(ledger).get(key)
        if notice is None:
            return  # it stays until somebody has looked
        ledger.expected.remove(notice)
    del ledger.events[key]
    ledger.event_floors[key[:3]] = max(event.venue_ns, ledger.event_floors.get(key[:3], NO_FLOOR))
    if event.kind is r.LedgerKind.FOREIGN and event.lots:
        # Others may trade for days in which no fill of ours is forgotten.
        _drop_changes(ledger, key[:2], ledger.event_floors[key[:3]])


def _drop_changes(ledger: Ledger, where: Account, floor_venue_ns: int) -> None:
    """Take changes out that are older than everything that may be asked for, many at a time."""
    changes = ledger.timeline[where]
    if len(changes) > _DROP_AT and changes[_DROP_AT - 1][0] <= floor_venue_ns:
        ledger.dropped[where] = max(changes[_DROP_AT - 1][0], ledger.dropped.get(where, NO_FLOOR))
        del changes[:_DROP_AT]
