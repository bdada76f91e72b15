"""What was sent lately, and streaks: messages, cancels, orders of a strategy, identical orders, rejections, losing round trips. A fold of records.

Times are CLOCK_BOOTTIME of the current boot of the host. A new process life of the gate forgets nothing. When the host itself has restarted, its
clock began anew, so that all that was remembered counts as having just happened. Every message counts from its permit on, before its first byte.

An order that is rejected for resting (`POST_ONLY`, by a code that the sheet expects) and an order that expires are no errors. One whose outcome was
unknown is an error when it turns out that the venue never had it, or when nobody finds out; an answer alone that was lost is none. What was not sent
is none either: the gate itself kept it back. A round trip ends
when a strategy's position in one instrument returns to zero; one that gains nothing counts as lost. Fees are not part of it: they are in the daily
loss.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import OrderState, TimeInForce
from interlock.gate import records
from interlock.gate.limit_sheet import LONGEST_WINDOW_NS, LimitSheet, Strategy
from interlock.gate.retention import KEPT, LEAST_NS, fingerprint

REJECT_STREAK = "reject_streak"
LOSS_STREAK = "loss_streak"
ORDERS_RATE = "order_burst"
IDENTICAL_ORDERS = "repeated_order"
"""Names of the latches that these throttles ask for; a person who clears one begins its count anew."""

_REMEMBERED_NS = (60 * NS_PER_S, 600 * NS_PER_S, LONGEST_WINDOW_NS)
_TRIM_AT = 512
_FILLS_REMEMBERED = 4096
ABSENT, QUARANTINED = "interlock: absent", "interlock: quarantined"
"""In the place of a venue's code, for orders of which the venue said nothing."""
EVERYWHERE = ""
"""The venue of a cancel whose order is not known any more: it counts on every venue."""

Signature = tuple[str, str, str, int, int, int]
"""(strategy, venue, symbol, side, ticks, lots)."""


class Ticket(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What later records of an order, which carry only its client id, need to be counted."""

    strategy: str
    venue: str
    tif: TimeInForce
    signature: Signature
    pending: int = -1
    """The revision that is permitted and has not begun its write; -1 for none."""
    permitted: bool = False
    begun: bool = False
    rejected: bool = False
    ended: bool = False
    filled_lots: int = 0


class Trip(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A strategy's open round trip in one instrument: signed lots, and ticks x lots received less paid."""

    lots: int = 0
    cash_tick_lots: int = 0


class Throttles(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The state of the fold. Times are in rising order; those older than `window_ns` may be dropped."""

    window_ns: int = LONGEST_WINDOW_NS
    """How long what was sent is remembered: no window that may be asked about is longer; `begin` knows it."""
    kernel_boot_id: str = ""
    incarnation: str = ""
    tickets: dict[str, Ticket] = {}
    ended: list[tuple[int, str]] = []
    pending: dict[str, int] = {}
    """Permits by venue that have not begun their write: they count as messages until they are known not to be sent."""
    messages: dict[str, list[int]] = {}
    cancels: dict[str, list[int]] = {}
    orders: dict[str, list[int]] = {}
    identical: dict[Signature, list[int]] = {}
    identical_order: list[tuple[int, Signature]] = []
    rejects: dict[str, dict[tuple[str, str, str], int]] = {}
    """By strategy, since the last order that was accepted: how often orders came to nothing, by (venue, time in force, code)."""
    trips: dict[tuple[str, str, str, str], Trip] = {}
    losing: dict[str, int] = {}
    fills: dict[tuple[str, str, str, str], None] = {}

    def digest_parts(self) -> tuple[object, ...]:
        """The state as plain data, for hashing. Two folds of one journal give equal parts."""
        return (fingerprint(self),)


class LatchRequest(msgspec.Struct, frozen=True):
    """A throttle that tripped: the latch that should hold `subject`, a strategy, until a person clears it."""

    name: str
    subject: str
    reason: str


def begin(sheet: LimitSheet) -> Throttles:
    """The state before the first record, which remembers what this sheet can ask for and not much more."""
    return Throttles(window_ns=remembered_ns(sheet))


def remembered_ns(sheet: LimitSheet) -> int:
    """How long a fold under this sheet remembers what was sent: a minute, ten or an hour, the shortest that its windows fit in.

    All that a sheet has to say in this fold. In few steps, so that under most sheets it is the same fold.
    """
    windows = [strategy.orders_window_ns for strategy in sheet.strategies.values()]
    windows += [strategy.identical_orders_window_ns for strategy in sheet.strategies.values()]
    windows += [venue.messages_window_ns for venue in sheet.venues.values()]
    return next(span_ns for span_ns in _REMEMBERED_NS if max(windows) <= span_ns)


def apply(state: Throttles, record: records.Record) -> Throttles:
    """Fold one record in. The given state is changed and returned; records that do not concern it change nothing."""
    _forget(state, record.boot_ns)
    match record:
        case records.Boot():
            _booted(state, record)
        case records.Intent():
            _intended(state, record)
        case records.Deny():
            _denied(state, record)
        case records.Permit():
            _permitted(state, record)
        case records.WireBegin() | records.SendUnknown():
            _begun(state, record.client_id, record.revision, record.boot_ns)
        case records.NotSent():
            _not_sent(state, record)
        case records.CancelSent():
            ticket = state.tickets.get(record.client_id)
            venue = EVERYWHERE if ticket is None else ticket.venue
            _note(state, state.messages.setdefault(venue, []), record.boot_ns)
            _note(state, state.cancels.setdefault(venue, []), record.boot_ns)
        case records.Answered() | records.Reported():
            _told(state, record)
        case records.Quarantined():
            _failed(state, record.client_id, QUARANTINED)
        case records.Absent():
            _failed(state, record.client_id, ABSENT)
            _ended(state, record.client_id, record.boot_ns)
        case records.Released():
            _ended(state, record.client_id, record.boot_ns)
        case records.Filled():
            _filled(state, record)
        case records.LatchCleared():
            _cleared(state, record)
        case _:
            pass
    return state


def _booted(state: Throttles, boot: records.Boot) -> None:
    # A boot of the host that could not be read is the same as none.
    if not boot.kernel_boot_id or boot.kernel_boot_id != state.kernel_boot_id:
        for times in _all_times(state):
            times[:] = [boot.boot_ns] * len(times)
        state.ended = [(boot.boot_ns, client_id) for _, client_id in state.ended]
        state.identical_order = [(boot.boot_ns, signature) for _, signature in state.identical_order]
    state.kernel_boot_id = boot.kernel_boot_id
    state.incarnation = boot.incarnation


def _all_times(state: Throttles) -> Iterator[list[int]]:
    for by_name in (state.messages, state.cancels, state.orders):
        yield from by_name.values()
    yield from state.identical.values()


def _intended(state: Throttles, intent: records.Intent) -> None:
    signature = (intent.strategy, intent.venue, intent.symbol, int(intent.side), intent.ticks, intent.lots)
    before = state.tickets.get(intent.client_id)
    if before is None:
        state.tickets[intent.client_id] = Ticket(intent.strategy, intent.venue, intent.tif, signature)
    else:
        before.signature = signature


def _denied(state: Throttles, deny: records.Deny) -> None:
    ticket = state.tickets.get(deny.client_id)
    # A denied amend leaves its order as it was, and that one may still be told about.
    if ticket is not None and not ticket.permitted:
        _ended(state, deny.client_id, deny.boot_ns)


def _not_sent(state: Throttles, record: records.NotSent) -> None:
    _release(state, record.client_id, record.revision)
    ticket = state.tickets.get(record.client_id)
    # Of an amend it says nothing about the order, which may have been at the venue since its placement.
    if ticket is not None and (record.revision == 0 or not ticket.begun):
        _ended(state, record.client_id, record.boot_ns)


def _permitted(state: Throttles, permit: records.Permit) -> None:
    ticket = state.tickets.get(permit.client_id)
    if ticket is None:
        return
    _release(state, permit.client_id, ticket.pending)
    ticket.pending = permit.revision
    ticket.permitted = True
    ticket.ended = False
    state.pending[ticket.venue] = state.pending.get(ticket.venue, 0) + 1
    _note(state, state.orders.setdefault(ticket.strategy, []), permit.boot_ns)
    _note(state, state.identical.setdefault(ticket.signature, []), permit.boot_ns)
    state.identical_order.append((permit.boot_ns, ticket.signature))


def _begun(state: Throttles, client_id: str, revision: int, boot_ns: int) -> None:
    ticket = state.tickets.get(client_id)
    if ticket is not None and ticket.pending == revision:
        _release(state, client_id, revision)
        ticket.begun = True
        _note(state, state.messages.setdefault(ticket.venue, []), boot_ns)


def _release(state: Throttles, client_id: str, revision: int) -> None:
    ticket = state.tickets.get(client_id)
    if ticket is not None and revision >= 0 and ticket.pending == revision:
        ticket.pending = -1
        state.pending[ticket.venue] -= 1


def _told(state: Throttles, record: records.Answered | records.Reported) -> None:
    ticket = state.tickets.get(record.client_id)
    if ticket is None:
        return
    if record.state is OrderState.REJECTED:
        _failed(state, record.client_id, record.code)
    elif record.state in (OrderState.OPEN, OrderState.PARTIAL, OrderState.FILLED):
        state.rejects.pop(ticket.strategy, None)
    if record.state.final:
        _ended(state, record.client_id, record.boot_ns)


def _failed(state: Throttles, client_id: str, code: str) -> None:
    """Count an order that came to nothing, once."""
    ticket = state.tickets.get(client_id)
    if ticket is not None and not ticket.rejected:
        ticket.rejected = True
        counts = state.rejects.setdefault(ticket.strategy, {})
        cause = (ticket.venue, ticket.tif.value, code)
        counts[cause] = counts.get(cause, 0) + 1


def _ended(state: Throttles, client_id: str, boot_ns: int) -> None:
    ticket = state.tickets.get(client_id)
    if ticket is not None and not ticket.ended:
        ticket.ended = True
        state.ended.append((boot_ns, client_id))


def _filled(state: Throttles, fill: records.Filled) -> None:
    ticket = state.tickets.get(fill.client_id)
    identity = (fill.venue, fill.account, fill.symbol, fill.trade_id)
    if ticket is None or identity in state.fills:
        return
    state.fills[identity] = None
    if len(state.fills) > _FILLS_REMEMBERED:
        del state.fills[next(iter(state.fills))]
    ticket.filled_lots += fill.lots
    if ticket.filled_lots >= ticket.signature[-1]:
        _ended(state, fill.client_id, fill.boot_ns)
    state.rejects.pop(ticket.strategy, None)
    key = (ticket.strategy, fill.venue, fill.account, fill.symbol)
    trip = state.trips.setdefault(key, Trip())
    signed = int(fill.side) * fill.lots
    closing = min(fill.lots, abs(trip.lots)) if trip.lots * signed < 0 else 0
    trip.cash_tick_lots -= int(fill.side) * fill.ticks * (closing or fill.lots)
    trip.lots += int(fill.side) * (closing or fill.lots)
    if trip.lots == 0:
        state.losing[ticket.strategy] = 0 if trip.cash_tick_lots > 0 else state.losing.get(ticket.strategy, 0) + 1
        del state.trips[key]
        beyond = fill.lots - closing
        if beyond > 0:
            state.trips[key] = Trip(int(fill.side) * beyond, -int(fill.side) * fill.ticks * beyond)


def _cleared(state: Throttles, cleared: records.LatchCleared) -> None:
    strategy = cleared.subject
    if cleared.scope is not records.Scope.STRATEGY:
        return
    if cleared.name == REJECT_STREAK:
        state.rejects.pop(strategy, None)
    elif cleared.name == LOSS_STREAK:
        state.losing.pop(strategy, None)
    elif cleared.name == ORDERS_RATE:
        state.orders.pop(strategy, None)
    elif cleared.name == IDENTICAL_ORDERS:
        for signature in [one for one in state.identical if one[0] == strategy]:
            del state.identical[signature]
        state.identical_order = [entry for entry in state.identical_order if entry[1][0] != strategy]


def _note(state: Throttles, times: list[int], boot_ns: int) -> None:
    # Never earlier than what is there, so that the list stays in order; later only lengthens what counts.
    times.append(max(boot_ns, times[-1]) if times else boot_ns)
    if len(times) >= _TRIM_AT and times[_TRIM_AT // 2] <= boot_ns - state.window_ns:
        del times[: bisect_right(times, boot_ns - state.window_ns)]


def _forget(state: Throttles, boot_ns: int) -> None:
    gone = 0
    for since_ns, client_id in state.ended:
        if since_ns > boot_ns - LONGEST_WINDOW_NS and (since_ns > boot_ns - LEAST_NS or len(state.ended) - gone <= KEPT):
            break
        gone += 1
        ticket = state.tickets.get(client_id)
        if ticket is not None and ticket.ended:
            del state.tickets[client_id]
    if gone:
        del state.ended[:gone]
    gone = 0
    before = boot_ns - state.window_ns
    for since_ns, signature in state.identical_order:
        if since_ns > before:
            break
        gone += 1
        times = state.identical.get(signature)
        if times and times[-1] <= before:
            del state.identical[signature]
    if gone:
        del state.identical_order[:gone]


# Questions


def _within(times: list[int] | None, boot_ns: int, window_ns: int) -> int:
    # What carries a time in the future counts too.
    return 0 if not times else len(times) - bisect_right(times, boot_ns - window_ns)


def messages_used(state: Throttles, venue: str, boot_ns: int, window_ns: int) -> int:
    """Placements, amends and cancels that count against a venue's window now; a permit that has not begun its write counts at any age."""
    sent = _within(state.messages.get(venue), boot_ns, window_ns) + _within(state.messages.get(EVERYWHERE), boot_ns, window_ns)
    return sent + state.pending.get(venue, 0)


def cancels_used(state: Throttles, venue: str, boot_ns: int, window_ns: int) -> int:
    """Cancels that count against a venue's window now."""
    return _within(state.cancels.get(venue), boot_ns, window_ns) + _within(state.cancels.get(EVERYWHERE), boot_ns, window_ns)


def orders_used(state: Throttles, strategy: str, boot_ns: int, window_ns: int) -> int:
    """Permits of a strategy within a window."""
    return _within(state.orders.get(strategy), boot_ns, window_ns)


def identical_used(state: Throttles, signature: Signature, boot_ns: int, window_ns: int) -> int:
    """Permits of one strategy, instrument, side, price and size within a window."""
    return _within(state.identical.get(signature), boot_ns, window_ns)


def reject_streak(state: Throttles, sheet: LimitSheet, strategy: str) -> int:
    """Orders of a strategy that came to nothing since its last accepted one, without the rejections that a post-only order is expected to meet."""
    streak = 0
    for (venue, tif, code), count in state.rejects.get(strategy, {}).items():
        limit = sheet.venues.get(venue)
        if not (limit is not None and tif == TimeInForce.POST_ONLY.value and code in limit.expected_reject_codes):
            streak += count
    return streak


def losing_streak(state: Throttles, strategy: str) -> int:
    """Round trips of a strategy in a row that gained nothing."""
    return state.losing.get(strategy, 0)


def may_cancel(state: Throttles, sheet: LimitSheet, venue: str, boot_ns: int) -> int:
    """How many cancels the venue's own window has room for now; the gate sends the most urgent first and never drops one."""
    limit = sheet.venues.get(venue)
    if limit is None:
        return 0
    messages = limit.max_messages_count - messages_used(state, venue, boot_ns, limit.messages_window_ns)
    cancels = limit.max_cancels_count - cancels_used(state, venue, boot_ns, limit.messages_window_ns)
    return max(0, min(messages, cancels))


def latch_requests(state: Throttles, sheet: LimitSheet, boot_ns: int) -> tuple[LatchRequest, ...]:
    """The latches that should be set now, in the order of the sheet; the same answer until a person clears them or their window has passed."""
    found = []
    for strategy, limit in sorted(sheet.strategies.items()):
        found += [LatchRequest(name, strategy, reason) for name, reason in _trips(state, sheet, strategy, limit, boot_ns)]
    return tuple(found)


def _trips(state: Throttles, sheet: LimitSheet, strategy: str, limit: Strategy, boot_ns: int) -> Iterator[tuple[str, str]]:
    orders = orders_used(state, strategy, boot_ns, limit.orders_window_ns)
    if not (orders < limit.max_orders_count):
        yield ORDERS_RATE, f"{orders} orders in {limit.orders_window_ns} ns, the most allowed is {limit.max_orders_count}"
    for signature, times in state.identical.items():
        if signature[0] != strategy or len(times) < limit.max_identical_orders_count:
            continue
        same = _within(times, boot_ns, limit.identical_orders_window_ns)
        if not (same < limit.max_identical_orders_count):
            yield IDENTICAL_ORDERS, f"{same} times {signature[1:]} in {limit.identical_orders_window_ns} ns"
            break
    rejects = reject_streak(state, sheet, strategy)
    if not (rejects < limit.max_reject_streak_count):
        yield (
            REJECT_STREAK,
            f"{rejects} orders in a row rejected, absent or in quarantine, the most allowed is {limit.max_reject_streak_count}",
        )
    losing = losing_streak(state, strategy)
    if not (losing < limit.max_losing_streak_count):
        yield LOSS_STREAK, f"{losing} losing round trips in a row, the most allowed is {limit.max_losing_streak_count}"
