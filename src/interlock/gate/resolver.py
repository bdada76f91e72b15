"""What became of orders of which the gate does not know: asked for by name with growing pauses, until the venue shows them or absence is proven.

An order that was acknowledged is not known to be taken. One that nothing shows for longer than `SHOWN_AFTER_NS` is UNKNOWN again, whatever was
acknowledged: so it can come to quarantine, and a person can say how it ended. That ends nothing by itself.

"Not found" by itself ends nothing either. It is followed by reads of the lists, which together may prove that the venue never took the order
(`absence`); what cannot be proven, or not in time, is quarantined with its worst case reserved, and asked for further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.orders import OrderState
from interlock.gate import absence
from interlock.gate import records as r
from interlock.gate.absence import AbsenceRule, Aftermath, Expiry, Proven
from interlock.gate.account_watch import AccountWatch
from interlock.gate.keeper import Keeper
from interlock.gate.order_machine import RESTING
from interlock.gate.order_state import Market, Order
from interlock.gate.readings import Now
from interlock.gate.venue_reads import OrderList, VenueReads

MOST_SIGHTINGS = 4
"""So many are kept of one order from each list with a later order of ours on it, and so many without."""
LONGEST_REASON = 500
SHOWN_AFTER_NS = 30 * NS_PER_S
"""How long an order may stay acknowledged and be shown by no stream, query or list: some times as long as a stream's break and the lag of lists."""

_LOST = frozenset({OrderState.UNKNOWN, OrderState.QUARANTINED})
_WAITING = frozenset({OrderState.SENT, OrderState.ACKED})


@dataclass
class _Trail:
    """What is remembered of one order while it is asked for: the state that it is asked for in, and since when it was seen here to be unknown."""

    state: OrderState
    next_boot_ns: int
    pause_ns: int
    begun_boot_ns: int
    looked: bool = False
    """Whether the lists were looked through for it."""
    unknown_since_boot_ns: int | None = None
    acked_since_boot_ns: int | None = None
    """Since when it was seen here to be acknowledged and no more."""
    not_found: bool = False
    sightings: dict[str, list[r.Sighting]] = field(default_factory=dict)


class Resolver:
    """Resolves the orders of one account, one bounded round at a time.

    `skew_hi_ns` is the far end of the interval that the venue's clock less ours lies in, None while that is not known: then nothing is proven.
    `aftermath` is what reconciliation has proven since. An order without an answer is asked for after `answer_ns`; one that is acknowledged and not
    shown within `shown_after_ns` is unknown, and one that stays unknown longer than `quarantine_after_ns` is quarantined. What is remembered here
    ends with the process: a new one begins its proofs anew.
    """

    def __init__(
        self,
        keeper: Keeper,
        watch: AccountWatch,
        reads: VenueReads,
        rule: AbsenceRule,
        clock: Callable[[], Now],
        *,
        skew_hi_ns: Callable[[], int | None],
        aftermath: Callable[[], Aftermath | None],
        answer_ns: int = 2 * NS_PER_S,
        shown_after_ns: int = SHOWN_AFTER_NS,
        quarantine_after_ns: int = 60 * NS_PER_S,
        first_pause_ns: int = 250 * NS_PER_MS,
        longest_pause_ns: int = 10 * NS_PER_S,
        most_queries: int = 16,
    ) -> None:
        self._keeper = keeper
        self._watch = watch
        self._reads = reads
        self._rule = rule
        self._clock = clock
        self._skew_hi_ns = skew_hi_ns
        self._aftermath = aftermath
        self._answer_ns = answer_ns
        self._shown_after_ns = shown_after_ns
        self._quarantine_after_ns = quarantine_after_ns
        self._first_pause_ns = first_pause_ns
        self._longest_pause_ns = longest_pause_ns
        self._most_queries = most_queries
        self._trails: dict[str, _Trail] = {}
        self._owed: frozenset[str] = frozenset()
        self._owed_next_boot_ns = 0
        self._owed_pause_ns = first_pause_ns

    async def round(self) -> None:
        """Ask for what is due, at most `most_queries` orders and three lists, and judge what is then known. Raises ReadFailed.

        A round in which nothing is due reads nothing. Each question counts as asked when it is asked, so that a failed read is not repeated at once.
        """
        self._follow()
        await self._fetch_owed()
        if await self._ask() and self._rule.expiry is Expiry.WITH:
            await self._look_through_lists()
        self._judge()

    # Which orders

    def _follow(self) -> None:
        """Begin and end trails as orders change, and quarantine what stayed unknown for too long."""
        now = self._clock()
        trails: dict[str, _Trail] = {}
        for client_id in self._watch.at_venue():
            order = self._keeper.state.orders.by_id[client_id]
            trail = self._trails.get(client_id)
            if trail is not None:
                self._doubt(order, trail, now)
            state = _concern(order)
            if state is None:
                continue
            if trail is None or (trail.state is not state and state is OrderState.UNKNOWN):
                wait_ns = 0 if state in _LOST else self._answer_ns
                trail = _Trail(state, now.boot_ns + wait_ns, self._first_pause_ns, now.boot_ns)
            trail.state = state
            trails[client_id] = trail
            if order.state is not OrderState.UNKNOWN:
                trail.unknown_since_boot_ns = None
                continue
            if trail.unknown_since_boot_ns is None:
                trail.unknown_since_boot_ns = now.boot_ns
            unknown_ns = now.boot_ns - trail.unknown_since_boot_ns
            if unknown_ns > self._quarantine_after_ns:
                self._quarantine(client_id, trail, f"unknown for {unknown_ns // NS_PER_S} s", now)
        self._trails = trails

    def _doubt(self, order: Order, trail: _Trail, now: Now) -> None:
        """Take back what was made of an acknowledgement, where nothing has shown the order for too long."""
        if order.state is not OrderState.ACKED:
            trail.acked_since_boot_ns = None
            return
        if trail.acked_since_boot_ns is None:
            trail.acked_since_boot_ns = now.boot_ns
        if now.boot_ns - trail.acked_since_boot_ns > self._shown_after_ns:
            reason = f"acknowledged, not shown within {self._shown_after_ns // NS_PER_S} s"
            self._keeper.take(r.SendUnknown(boot_ns=now.boot_ns, client_id=order.client_id, revision=0, reason=reason), now=now)

    async def _fetch_owed(self) -> None:
        """Read the executions that orders were reported to have had and that were not seen."""
        orders, now = self._keeper.state.orders, self._clock()
        where = (self._watch.venue, self._watch.account)
        names = (*orders.owing, *self._watch.at_venue())
        owed = frozenset(name for name in names if orders.by_id[name].market[:2] == where and orders.by_id[name].missing_lots)
        if owed - self._owed:
            self._owed_next_boot_ns, self._owed_pause_ns = now.boot_ns, self._first_pause_ns
        self._owed = owed
        if owed and now.boot_ns >= self._owed_next_boot_ns:
            self._owed_next_boot_ns = now.boot_ns + self._owed_pause_ns
            self._owed_pause_ns = min(2 * self._owed_pause_ns, self._longest_pause_ns)
            await self._watch.read_executions(self._reads)

    # What the venue says

    async def _ask(self) -> bool:
        """Ask for the orders that are due, the longest overdue first; whether the lists may tell of one of them that was not found."""
        now = self._clock()
        due = sorted((trail.next_boot_ns, name) for name, trail in self._trails.items() if trail.next_boot_ns <= now.boot_ns)
        found_missing = False
        for _, client_id in due[: self._most_queries]:
            trail = self._trails[client_id]
            trail.next_boot_ns = self._clock().boot_ns + trail.pause_ns
            trail.pause_ns = min(2 * trail.pause_ns, self._longest_pause_ns)
            shown = await self._reads.order(client_id)
            if shown is not None:
                self._watch.take_shown(shown)
            elif self._lost(client_id) is not None:
                trail.not_found = True
                found_missing |= self._may_tell(client_id, trail)
        return found_missing

    def _may_tell(self, client_id: str, trail: _Trail) -> bool:
        """Whether to look through the lists for an order: once at once, because they may show it, and again when their silence counts.

        Between the two they cost of the venue's limits what the reads that count will need.
        """
        order, now, skew_hi_ns = self._keeper.state.orders.by_id[client_id], self._clock(), self._skew_hi_ns()
        if not trail.looked or skew_hi_ns is None:
            return True
        counts_ns = absence.counts_after_ns(order, self._rule, skew_hi_ns)
        # By the clock that cannot be set too: a wall clock that went back would put it off.
        return now.wall_ns > order.sign_wall_ns + counts_ns or now.boot_ns - trail.begun_boot_ns > counts_ns

    async def _look_through_lists(self) -> None:
        """One read of executions, of open and of ended orders, for all orders that are lost, and of their symbols alone: that costs less."""
        names = [name for name in self._trails if self._lost(name) is not None]
        if not names:
            return  # the stream told of them meanwhile
        symbols = sorted({self._keeper.state.orders.by_id[name].symbol for name in names})
        await self._watch.read_executions(self._reads)
        until_venue_ns = self._watch.executions_until_venue_ns
        opened = await self._reads.open_orders(symbols)
        self._watch.take_open(opened, symbols)
        self._sight("open", opened, names, until_venue_ns)
        ended = await self._reads.history(symbols)
        self._watch.take_history(ended)
        self._sight("history", ended, names, until_venue_ns)
        for name in names:
            self._trails[name].looked = True

    def _sight(self, source: str, listed: OrderList, names: Iterable[str], executions_until_venue_ns: int) -> None:
        """Keep that a list did not show an order, with the last of our own orders on the same market that it did show."""
        shown = {one.report.client_id for one in listed.orders}
        latest = self._latest_signed(listed)
        for name in names:
            order = self._lost(name)
            if order is None or name in shown:
                continue
            later = latest.get(order.market)
            sighting = r.Sighting(
                source=source,
                venue_ns=listed.venue_ns,
                later_client_id="" if later is None or not later.sign_wall_ns > order.sign_wall_ns else later.client_id,
                execution_cursor_ns=executions_until_venue_ns,
            )
            kept = self._trails[name].sightings
            kept[source] = _newest([*kept.get(source, []), sighting])

    def _latest_signed(self, listed: OrderList) -> dict[Market, Order]:
        """By market: of our orders on a list the one that was signed last."""
        latest: dict[Market, Order] = {}
        for one in listed.orders:
            order = self._keeper.state.orders.by_id.get(one.report.client_id)
            if order is None or order.market != (self._watch.venue, self._watch.account, one.symbol):
                continue
            if order.market not in latest or order.sign_wall_ns > latest[order.market].sign_wall_ns:
                latest[order.market] = order
        return latest

    # What follows

    def _judge(self) -> None:
        """Take what is proven, and quarantine what no reading can prove."""
        now, skew_hi_ns = self._clock(), self._skew_hi_ns()
        # A venue whose clock is behind ours by no less than some time would end the wait earlier: none of that is taken for granted.
        clock_ns = -1 if skew_hi_ns is None else max(skew_hi_ns, 0)
        for client_id, trail in self._trails.items():
            order = self._lost(client_id)
            if order is None or not trail.not_found:
                continue
            sightings = [one for source in absence.SOURCES for one in trail.sightings.get(source, [])]
            aftermath = self._aftermath()
            found = absence.judge(self._keeper.state.orders, order, self._rule, sightings, clock_ns, aftermath)
            if isinstance(found, Proven):
                self._keeper.take(self._absent(order, found, aftermath, now), now=now)
            elif found.hopeless and order.state is OrderState.UNKNOWN:
                self._quarantine(client_id, trail, "; ".join(found.what), now)

    def _absent(self, order: Order, found: Proven, aftermath: Aftermath | None, now: Now) -> r.Absent:
        late = max(one.venue_ns for one in found.sightings) - order.sign_wall_ns > self._rule.retention_ns
        return r.Absent(
            boot_ns=now.boot_ns,
            client_id=order.client_id,
            sightings=found.sightings,
            not_before_venue_ns=found.not_before_venue_ns,
            fills_complete_venue_ns=aftermath.fills_complete_venue_ns if late and aftermath is not None else 0,
            position_explained=late and aftermath is not None and aftermath.position_explained,
        )

    def _quarantine(self, client_id: str, trail: _Trail, reason: str, now: Now) -> None:
        self._keeper.take(r.Quarantined(boot_ns=now.boot_ns, client_id=client_id, reason=reason[:LONGEST_REASON]), now=now)
        trail.state, trail.unknown_since_boot_ns = OrderState.QUARANTINED, None

    def _lost(self, client_id: str) -> Order | None:
        """The order, if it is not known whether the venue took it or what became of it."""
        order = self._keeper.state.orders.by_id.get(client_id)
        return order if order is not None and order.state in _LOST else None


def _concern(order: Order) -> OrderState | None:
    """The state that an order is asked for in: its own, or that of an amend under way; None if it is known how it stands."""
    if order.state in _LOST or order.state in _WAITING:
        return order.state
    if order.state in RESTING and order.amend is not None and order.amend.state in _LOST | _WAITING:
        return order.amend.state
    return None


def _newest(sightings: list[r.Sighting]) -> list[r.Sighting]:
    """The newest sightings with and without a later order of ours, so that many of one kind do not push out those of the other."""
    with_later = [one for one in sightings if one.later_client_id][-MOST_SIGHTINGS:]
    without = [one for one in sightings if not one.later_client_id][-MOST_SIGHTINGS:]
    return sorted(with_later + without, key=lambda one: one.venue_ns)
