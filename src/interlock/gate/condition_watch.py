"""Watching the conditions: feeds, streams, clocks, rates, disk, sentinel and checker become interlocks and latches, and those become cancels.

Whoever looks tells what is wrong as text, and the empty text is the only yes. A condition that was not looked at is not true. Nothing here reads
anything itself: each question is given what was seen, and answers with the records that are due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.domain.instruments import Kind
from interlock.gate import clock_watch
from interlock.gate.clock_watch import ClockReading, SkewSample, skew_denial
from interlock.gate.core import LONGEST_DETAIL
from interlock.gate.exposure import NOTHING, Key, Load, Place, Universe, asset_interval, shrinks
from interlock.gate.interlocks import InterlockRule, interlock_records
from interlock.gate.journal import Room
from interlock.gate.lattice import NS_PER_HOUR, Lattice, effective_level
from interlock.gate.limits import widest
from interlock.gate.order_state import Order
from interlock.gate.readings import Now, Readings
from interlock.gate.records import CancelWanted, InterlockCleared, LatchSet, Level, Record, Scope
from interlock.gate.state import NOTED, NOTED_COUNT, GateState
from interlock.gate.venue_reads import ReadFailed
from interlock.gate.verbs import Cause, latch_for, lower

_MINUTE_NS = 60 * NS_PER_S

RULES: Mapping[Cause, InterlockRule] = {
    rule.cause: rule
    for rule in (
        # Two seconds are twenty rounds of reading: the feed is back, not flickering. A feed that was lost twelve times in an hour, or for ten
        # minutes, is a fault of ours or an outage of the venue, and somebody should know before it trades again.
        InterlockRule(cause=Cause.FEED_STALE, quarantine_ns=2 * NS_PER_S, latch_at_trips_an_hour=12, latch_after_ns=10 * _MINUTE_NS),
        # Five seconds from when everything was read again. Venues cut streams once a day, so six in an hour are a fault.
        InterlockRule(cause=Cause.RECONNECT, quarantine_ns=5 * NS_PER_S, latch_at_trips_an_hour=6, latch_after_ns=10 * _MINUTE_NS),
        # A clock that jumped is watched for half a minute, fifteen samples of the venue's. Time daemons do not step three times in an hour.
        InterlockRule(cause=Cause.CLOCK, quarantine_ns=30 * NS_PER_S, latch_at_trips_an_hour=3, latch_after_ns=10 * _MINUTE_NS),
        # Limits are counted over windows of up to ten seconds, which must be empty again. Venues ban for longer each time that they must
        # repeat themselves, from two minutes on: the third refusal in an hour, or one of a quarter of an hour, is a defect of ours.
        InterlockRule(cause=Cause.RATE_LIMIT, quarantine_ns=10 * NS_PER_S, latch_at_trips_an_hour=3, latch_after_ns=15 * _MINUTE_NS),
        # The sentinel looks a hundred times a second. One that stood still and goes on was starved; three times in an hour the host is too small.
        InterlockRule(cause=Cause.SENTINEL_SILENT, quarantine_ns=5 * NS_PER_S, latch_at_trips_an_hour=3, latch_after_ns=_MINUTE_NS),
        # The checker beats twice a second; the same holds of it.
        InterlockRule(cause=Cause.CHECKER_SILENT, quarantine_ns=5 * NS_PER_S, latch_at_trips_an_hour=3, latch_after_ns=_MINUTE_NS),
        # The rate is that of the last ten minutes, so a minute shows that room was made. After an hour nobody is making any.
        InterlockRule(cause=Cause.DISK_ROOM, quarantine_ns=_MINUTE_NS, latch_at_trips_an_hour=6, latch_after_ns=60 * _MINUTE_NS),
    )
}
"""Every interlock: for how long its condition must be true again, at which trip of an hour and after which time a person must look."""

SKEW_MAX_AGE_NS = 10 * NS_PER_S
"""Five samples missed."""
LEAST_LIMITED_NS = NS_PER_S
"""How long a refusal for the rate counts when the venue does not say."""
DISK_LASTS_NS = 48 * NS_PER_HOUR
DISK_WINDOW_NS = 10 * _MINUTE_NS
"""Over which the rate of writing is taken."""
SHORTEST_DISK_WINDOW_NS = _MINUTE_NS
"""What a process has written since its start counts as at least this long, since starting writes more than working."""


class Beats(Protocol):
    """What is known of the checker. `violations` in words, `count` of all that it ever told."""

    @property
    def first_boot_ns(self) -> int | None:
        """When it was first heard."""
        ...

    @property
    def violations(self) -> Sequence[str]:
        """What it found, oldest first."""
        ...

    @property
    def count(self) -> int:
        """How many violations it has counted."""
        ...

    def alive(self, boot_ns: int) -> bool:
        """Whether somebody looks, and has found nothing."""
        ...


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen at one turn. `feeds` by "venue/symbol", `skews` and `can_cancel` by venue, `connected_since_boot_ns` by (venue, account).

    `unread`, by (venue, account) too, says what of an account is not known as it should be; empty where everything was read.
    """

    clock: ClockReading
    feeds: Mapping[str, str]
    skews: Mapping[str, SkewSample]
    connected_since_boot_ns: Mapping[tuple[str, str], int | None]
    can_cancel: Mapping[str, bool]
    unread: Mapping[tuple[str, str], str]
    sentinel_beat: int


class ConditionWatch:
    """Remembers since when each condition has been true, and tells the records that are due.

    `accounts` are by venue, `receive_windows_ns` too, 0 for a venue whose requests carry no signed time. `sentinel_silent_ns` is how long the
    sentinel's beat may stand still, twice the time between its looks or more. `disk_problem` is what the last look at the disk
    gave.
    """

    def __init__(
        self,
        readings: Readings,
        accounts: Mapping[str, str],
        symbols: Iterable[Place],
        receive_windows_ns: Mapping[str, int],
        first: ClockReading,
        *,
        sentinel_silent_ns: int,
        rules: Mapping[Cause, InterlockRule] = RULES,
    ) -> None:
        self._readings = readings
        self._accounts = dict(accounts)
        self._symbols = tuple(symbols)
        self._windows = dict(receive_windows_ns)
        self._clock = clock_watch.begin(first)
        self._sentinel_silent_ns = sentinel_silent_ns
        self._rules = rules
        self._true_since: dict[tuple[Cause, Scope, str], int] = {}
        self._connected: dict[tuple[str, str], int] = {}
        self._limited_until: dict[tuple[str, str], int] = {}
        self._beat: int | None = None
        self._beat_moved_ns: int | None = None
        self._written: deque[tuple[int, int]] = deque([(first.boot_ns, 0)])
        self.disk_problem = "the disk was not looked at"

    def turn(self, lattice: Lattice, seen: Seen) -> tuple[Record, ...]:
        """All conditions that are looked at every turn. What clears comes last: a full journal refuses that, and must not keep out the rest."""
        boot_ns = seen.clock.boot_ns
        found = (
            *self.clocks(lattice, seen.clock),
            *self.feeds(lattice, seen.feeds, boot_ns),
            *self.venue_clocks(lattice, seen.skews, boot_ns),
            *self.connections(lattice, seen.connected_since_boot_ns, seen.can_cancel, seen.unread, boot_ns),
            *self.limited(lattice, boot_ns),
            *self.sentinel(lattice, seen.sentinel_beat, boot_ns),
        )
        return tuple(sorted(found, key=lambda record: isinstance(record, InterlockCleared)))

    def look(self, lattice: Lattice, cause: Cause, scope: Scope, subject: str, problem: str, boot_ns: int) -> tuple[Record, ...]:
        """What is to be recorded about one condition; true if `problem` is empty. Raises KeyError for a cause without a rule."""
        key = (cause, scope, subject)
        since = None
        if problem:
            self._true_since.pop(key, None)
        else:
            # A clock that went back must not leave a condition true since the future.
            since = self._true_since[key] = min(self._true_since.get(key, boot_ns), boot_ns)
        return interlock_records(
            lattice,
            self._rules[cause],
            scope=scope,
            subject=subject,
            true_since_boot_ns=since,
            boot_ns=boot_ns,
            reason=problem[:LONGEST_DETAIL],
        )

    def clocks(self, lattice: Lattice, reading: ClockReading) -> tuple[Record, ...]:
        """The clocks of the host: every fault ends the grant by name, and trips."""
        self._clock, faults = clock_watch.observe(self._clock, reading)
        problem = ", ".join(fault.value for fault in faults)
        ends = clock_watch.disarm_records(faults, reading.boot_ns)
        return (*ends, *self.look(lattice, Cause.CLOCK, Scope.ALL, "", problem, reading.boot_ns))

    def venue_clocks(self, lattice: Lattice, samples: Mapping[str, SkewSample], boot_ns: int) -> tuple[Record, ...]:
        """The clock of each venue, for each of its instruments."""
        said = {}
        for venue in {place[0] for place in self._symbols}:
            window = self._windows.get(venue, -1)
            denial = skew_denial(samples.get(venue), receive_window_ns=window or None, now_boot_ns=boot_ns, max_age_ns=SKEW_MAX_AGE_NS)
            said[venue] = "" if denial is None else denial.value
        found: list[Record] = []
        for venue, symbol in self._symbols:
            found += self.look(lattice, Cause.CLOCK, Scope.SYMBOL, f"{venue}/{symbol}", said[venue], boot_ns)
        return tuple(found)

    def feeds(self, lattice: Lattice, problems: Mapping[str, str], boot_ns: int) -> tuple[Record, ...]:
        """The gate's own market of each instrument, by "venue/symbol"."""
        found: list[Record] = []
        for venue, symbol in self._symbols:
            name = f"{venue}/{symbol}"
            found += self.look(lattice, Cause.FEED_STALE, Scope.SYMBOL, name, problems.get(name, "nobody looked"), boot_ns)
        return tuple(found)

    def connections(
        self,
        lattice: Lattice,
        connected_since_boot_ns: Mapping[tuple[str, str], int | None],
        can_cancel: Mapping[str, bool],
        unread: Mapping[tuple[str, str], str],
        boot_ns: int,
    ) -> tuple[Record, ...]:
        """The private stream of each account, what is read of the account besides, and its line for cancels.

        A stream that was lost and is back between two looks was lost.
        """
        problems: dict[tuple[str, str], str] = {}
        for where in self._accounts.items():
            problem = unread.get(where, f"nobody looked at what was read of {'/'.join(where)}")
            if problem:
                problems[where] = problem
            if can_cancel.get(where[0]) is not True:
                problems[where] = f"the line for cancels to {where[0]} is not connected"
            since = connected_since_boot_ns.get(where)
            before = self._connected.get(where)
            if since is None or since > boot_ns:
                problems[where] = f"the private stream of {'/'.join(where)} is not connected, or what it may have missed was not read yet"
                self._connected.pop(where, None)
                continue
            if before is not None and before != since:
                problems[where] = f"the private stream of {'/'.join(where)} was connected anew"
            self._connected[where] = since
        return self._by_account(lattice, Cause.RECONNECT, problems, boot_ns)

    def refused(self, venue: str, account: str, error: ReadFailed, boot_ns: int) -> None:
        """Take note of a read that failed: if the venue refused it because of the rate, of how long it wants to be left alone."""
        if error.limited:
            until = boot_ns + max(error.retry_after_ns, LEAST_LIMITED_NS)
            where = (venue, account)
            self._limited_until[where] = max(until, self._limited_until.get(where, until))

    def limited(self, lattice: Lattice, boot_ns: int) -> tuple[Record, ...]:
        """The rates of each account."""
        problems = {
            where: f"{'/'.join(where)} refuses because of the rate for {until - boot_ns} ns more"
            for where, until in self._limited_until.items()
            if boot_ns < until
        }
        return self._by_account(lattice, Cause.RATE_LIMIT, problems, boot_ns)

    def _by_account(self, lattice: Lattice, cause: Cause, problems: Mapping[tuple[str, str], str], boot_ns: int) -> tuple[Record, ...]:
        found: list[Record] = []
        for where in sorted(self._accounts.items()):
            found += self.look(lattice, cause, Scope.ACCOUNT, "/".join(where), problems.get(where, ""), boot_ns)
        return tuple(found)

    def sentinel(self, lattice: Lattice, beat: int, boot_ns: int) -> tuple[Record, ...]:
        """The sentinel, by its beat in the stop word; says in the readings whether it looks. Until it was seen to move it does not."""
        if self._beat is not None and beat > self._beat:
            self._beat_moved_ns = boot_ns
        self._beat = beat
        moved = self._beat_moved_ns
        alive = moved is not None and 0 <= boot_ns - moved <= self._sentinel_silent_ns
        self._readings.sentinel_alive = alive
        problem = "" if alive else f"its beat has not moved from {beat} within {self._sentinel_silent_ns} ns"
        return self.look(lattice, Cause.SENTINEL_SILENT, Scope.ALL, "", problem, boot_ns)

    def disk(self, lattice: Lattice, room: Room | None, boot_ns: int) -> tuple[Record, ...]:
        """The journal's disk; `room` is None if it could not be found out. To be looked at every few seconds."""
        self.disk_problem = "the room on the disk is not known"
        if room is not None:
            self._written.append((boot_ns, room.written_bytes))
            while len(self._written) > 2 and self._written[1][0] <= boot_ns - DISK_WINDOW_NS:
                self._written.popleft()
            since_ns, written = self._written[0]
            window = max(boot_ns - since_ns, SHORTEST_DISK_WINDOW_NS)
            self.disk_problem = disk_problem(room, room.written_bytes - written, window)
        return self.look(lattice, Cause.DISK_ROOM, Scope.ALL, "", self.disk_problem, boot_ns)

    def checker(self, state: GateState, beats: Beats, boot_ns: int) -> tuple[Record, ...]:
        """The checker: everything that it finds latches, and silence after it was heard trips. Says in the readings whether it looks.

        One that was never heard trips nothing: it denies by itself, and no gate can be armed without it. Behind a violation it denies for the rest
        of the process life, heard or not.
        """
        alive = beats.alive(boot_ns)
        self._readings.checker_alive = alive
        if beats.count > 0:
            return violation_latches(state, beats, boot_ns)
        if beats.first_boot_ns is None:
            return ()
        problem = "" if alive is True else "the checker has fallen silent"
        return self.look(state.lattice, Cause.CHECKER_SILENT, Scope.ALL, "", problem, boot_ns)


# Conditions as pure functions


def disk_problem(room: Room, written_bytes: int, window_ns: int) -> str:
    """Why the disk has no room for 48 h at the rate of `written_bytes` in `window_ns`; empty if it has. What is kept in reserve does not count."""
    if room.spare_problem:
        return f"the next segment could not be allocated: {room.spare_problem}"
    if not (written_bytes >= 0 and window_ns > 0):
        return f"the rate is not known: {written_bytes} bytes in {window_ns} ns"
    left = max(room.allocated_bytes - room.reserve_bytes, 0) + max(room.free_bytes, 0)
    if left <= 0 or left * window_ns < written_bytes * DISK_LASTS_NS:
        return f"{left} bytes are left, {written_bytes} were written in {window_ns} ns; make room for 48 h"
    return ""


def violation_latches(state: GateState, beats: Beats, boot_ns: int) -> tuple[LatchSet, ...]:
    """A latch for violations beyond those noted in this process life."""
    what = f"checker {state.incarnation}"
    if beats.count <= state.noted.get(what, 0):
        return ()
    last = beats.violations[-1] if beats.violations else "it did not say which"
    latch = latch_for(
        Cause.VIOLATION,
        scope=Scope.ALL,
        subject="",
        reason=f"the checker counts {beats.count} violations: {last}"[:LONGEST_DETAIL],
        actor="gate",
        boot_ns=boot_ns,
        evidence={NOTED: what, NOTED_COUNT: str(beats.count)},
    )
    return (latch,)


def edge_collapse(measured_bps: Decimal, threshold_bps: Decimal, *, scope: Scope, subject: str, boot_ns: int) -> LatchSet | None:
    """The latch of a strategy or symbol whose measured edge, basis points, is below its threshold; None if it is not. No number is below."""
    if measured_bps.is_finite() and threshold_bps.is_finite() and measured_bps >= threshold_bps:
        return None
    return latch_for(
        Cause.EDGE,
        scope=scope,
        subject=subject,
        reason=f"measured edge {measured_bps} bps, expected at least {threshold_bps}"[:LONGEST_DETAIL],
        actor="gate",
        boot_ns=boot_ns,
        evidence={"measured_bps": str(measured_bps), "threshold_bps": str(threshold_bps)},
    )


def second_writers(lattice: Lattice, lost: Iterable[tuple[str, str]], boot_ns: int) -> tuple[LatchSet, ...]:
    """The latches of accounts, by (venue, account), whose lease was found lost, where none stands: another gate may write there."""
    standing = {hold.subject for hold in lattice.latches if hold.name == Cause.SECOND_WRITER.value and hold.scope is Scope.ACCOUNT}
    return tuple(
        latch_for(
            Cause.SECOND_WRITER,
            scope=Scope.ACCOUNT,
            subject="/".join(where),
            reason="the lease of the account was found lost: another gate may write there; find out who, then start this one anew",
            actor="gate",
            boot_ns=boot_ns,
        )
        for where in lost
        if "/".join(where) not in standing
    )


# What levels mean for orders that are out


def may_rest(state: GateState, symbol: str, boot_ns: int) -> bool:
    """Whether an order that raises risk may rest on "venue/symbol" now: its leave must live as long as it does."""
    live, arming = state.live, state.arming
    if live is None or symbol not in live.triples or arming.ended or symbol in arming.symbols_out:
        return False
    return live.grant.minted_boot_ns <= boot_ns < live.grant.expires_boot_ns


def _always(_symbol: str) -> bool:
    return True


def cancels_called_for(
    state: GateState, now: Now, *, universe: Universe | None = None, leave: Callable[[str], bool] = _always
) -> tuple[CancelWanted, ...]:
    """The cancels that the levels in force call for and that are not wanted yet.

    Where `leave` says of a symbol that nothing that raises risk may rest there, its orders are held to REDUCE_ONLY at least. At HALT and
    CANCEL_ONLY every order goes. At REDUCE_ONLY those stay which together can only shrink a position, and with a `universe`, within the time of
    its group, also an order that cannot make its coin more naked: a hedge. After KILL the sentinel cancels.
    """
    orders, lattice = state.orders, state.lattice
    if lattice.killed or len(orders.cancelling) == len(orders.live):
        return ()
    free = {symbol: leave(symbol) for symbol in {f"{orders.by_id[name].venue}/{orders.by_id[name].symbol}" for name in orders.live}}
    if lattice.base is Level.RUN and not lattice.latches and not lattice.trips and all(free.values()):
        return ()
    wanted: dict[str, Level] = {}
    judged: list[Order] = []
    loads: dict[Key, Load] = {}
    for client_id in orders.live:
        order = orders.by_id[client_id]
        if order.cancel is not None:
            continue
        level = effective_level(
            lattice,
            symbol=f"{order.venue}/{order.symbol}",
            strategy=order.strategy,
            account=f"{order.venue}/{order.account}",
            order=client_id,
        )
        if not free[f"{order.venue}/{order.symbol}"]:
            level = lower(level, Level.REDUCE_ONLY)
        if level is Level.REDUCE_ONLY:
            judged.append(order)
        elif level is Level.RUN:
            _join(loads, order)
        else:
            wanted[client_id] = level
    if judged:
        for market, position in state.ledger.positions.items():
            loads[market] = msgspec.structs.replace(loads.get(market, NOTHING), position=position.lots)
    # Orders that are to be cancelled are left out of the loads: what brings a position home must not go because of what is going anyway.
    for order in sorted(judged, key=lambda one: (not one.reduce_only, not one.group, one.created_boot_ns, one.client_id)):
        hedging = bool(order.group) and state.group(order.group, now.boot_ns) is not None
        if _lowers(loads, order, universe, hedging):
            _join(loads, order)
        else:
            wanted[order.client_id] = Level.REDUCE_ONLY
    return tuple(
        CancelWanted(boot_ns=now.boot_ns, client_id=client_id, reason=f"the level is {level.value}", actor="gate")
        for client_id, level in wanted.items()
    )


def _lots(order: Order) -> int:
    """What can still fill; an order that has no permit yet counts whole."""
    return order.reserved_lots or order.largest_lots


def _join(loads: dict[Key, Load], order: Order) -> None:
    loads[order.market] = loads.get(order.market, NOTHING).with_order(order.side, order.ticks, _lots(order))


def _lowers(loads: Mapping[Key, Load], order: Order, universe: Universe | None, hedging: bool) -> bool:
    load = loads.get(order.market, NOTHING)
    facts = None if universe is None else universe.facts.get((order.venue, order.symbol))
    if shrinks(load, order.side, _lots(order)):
        return True
    # Of a derivative the venue itself keeps a reduce-only order from doing more than that.
    spot = facts is not None and facts.kind is Kind.SPOT
    if order.reduce_only and not spot and load.position * order.side < 0:
        return True
    if not hedging or universe is None or facts is None or any((venue, symbol) not in universe.facts for venue, _, symbol in loads):
        return False
    after = {**loads, order.market: load.with_order(order.side, order.ticks, _lots(order))}
    return widest(*asset_interval(after, universe, facts.asset)) <= widest(*asset_interval(loads, universe, facts.asset))
