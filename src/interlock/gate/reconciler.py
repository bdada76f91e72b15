"""An account held against its venue: one consistent cut, every difference named, and a stop for what nobody can explain.

A cut reads the executions and the ledger to their ends, then what is held and what is open, then both ends again. Only if nothing moved meanwhile
are the two compared (`reconcile`). What executions under way explain, they explain for a moment: the time since a difference was first found is
kept by its kind and subject, and begins anew only when a cut does not find it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.gate import reconcile
from interlock.gate import records as r
from interlock.gate.absence import Aftermath
from interlock.gate.account_watch import OPENING, AccountWatch, holds_nothing
from interlock.gate.keeper import Keeper
from interlock.gate.ledger import Ledger, exact_sum
from interlock.gate.readings import Now
from interlock.gate.reconcile import Cut, Difference, Kind, Managed, expected_balances
from interlock.gate.venue_reads import Executions, Holdings, LedgerPage, OrderList, VenueReads
from interlock.gate.verbs import Cause, latch_for

MOST_TOLD = 64
"""So many differences are recorded word for word, and the rest counted."""
LONGEST_TEXT = 300
NO_CURSOR = "none"
"""The cursor of a list that was read and is empty."""
UNREADABLE = "unreadable"
"""The class of difference of an execution or ledger event that makes no sense."""

_MOVED = frozenset({Kind.ORDER_MISSING, Kind.ORDER_SIZE})
_MONEY = frozenset({Kind.POSITION, Kind.BALANCE, Kind.FILL_MISSING})
_NEVER_BOOT_NS = -(1 << 62)


class _Ends(msgspec.Struct, frozen=True):
    """The ends of the two lists as they were read."""

    executions: Executions
    entries: LedgerPage

    @property
    def unreadable(self) -> bool:
        return self.executions.unreadable or self.entries.unreadable

    @property
    def cursors(self) -> tuple[str, str]:
        return self.executions.cursor, self.entries.cursor


class Reconciler:
    """Reconciles one account, one round at a time.

    `tell_every_ns`: an explained verdict that repeats the last, on an account that holds what it held, is recorded no more often than this.
    `patience_ns`: how long executions under way may explain a difference. `visible_ns`: how long the venue's list of open orders may lag behind
    what else is known of an order; a difference about an order that changed more recently says nothing yet.
    """

    def __init__(
        self,
        keeper: Keeper,
        watch: AccountWatch,
        reads: VenueReads,
        managed: Managed,
        clock: Callable[[], Now],
        *,
        most_tries: int = 5,
        tell_every_ns: int = 60 * NS_PER_S,
        patience_ns: int = 30 * NS_PER_S,
        visible_ns: int = 3 * NS_PER_S,
    ) -> None:
        self._keeper = keeper
        self._watch = watch
        self._reads = reads
        self._managed = managed
        self._clock = clock
        self._most_tries = most_tries
        self._tell_every_ns = tell_every_ns
        self._patience_ns = patience_ns
        self._visible_ns = visible_ns
        self._where = (watch.venue, watch.account)
        self._since_boot_ns: dict[tuple[Kind, str], int] = {}
        self._figures: dict[str, tuple[object, ...]] = {}
        self._changed_boot_ns: dict[str, int] = {}
        self._told: tuple[object, ...] = ()
        self._told_boot_ns = 0
        self.snapshot: r.Snapshot | None = None
        """The last consistent cut, recorded or not."""
        self.aftermath: Aftermath | None = None
        """What the last cut that found nothing different in money or positions proves; None while the last verdict is not explained."""

    async def round(self) -> r.Reconciled | None:
        """One cut and its verdict; None when no cut was consistent, and then the account is latched to come to rest.

        Raises ReadFailed, and JournalFailed or JournalFull where an explained verdict cannot be recorded. Whatever was read until then is taken.
        """
        found = await self._cut()
        if found is None:
            self._latch_cut()
            return None
        return self._judge(*found)

    async def first_cut(self) -> r.Snapshot | None:
        """What the account holds, without a verdict, for its `opening`; None when no cut was consistent and readable. Raises ReadFailed."""
        found = await self._cut()
        return None if found is None or found[1] else found[0]

    async def _cut(self) -> tuple[r.Snapshot, bool, Now, dict[str, Decimal]] | None:
        """A consistent cut, whether something in it stayed unreadable, the time of it, and the entries of its positions.

        Nothing is waited for after it is made.
        """
        before = await self._read_ends()
        for number in range(1, self._most_tries + 1):
            moves = self._watch.moves
            self._note_changes(self._clock().boot_ns)
            held = await self._reads.holdings()
            opened = await self._reads.open_orders()
            self._note_changes(self._clock().boot_ns)
            listed = self._watch.take_open(opened)
            self._note_changes(_NEVER_BOOT_NS)  # what the list itself told excuses nothing that is on it
            await self._watch.look_up(self._reads, [name for name in self._watch.at_venue() if name not in listed])
            after = await self._read_ends()
            now = self._clock()
            self._note_changes(now.boot_ns)
            snapshot = self._snapshot(before, held, opened, after, now)
            quiet = moves == self._watch.moves and before.cursors == after.cursors and _reaches(after, snapshot.venue_ns)
            if after.unreadable and number < self._most_tries:
                quiet = False  # it is read again, and may make sense then
            if quiet and reconcile.cut(snapshot, number, self._most_tries) is Cut.CONSISTENT:
                return snapshot, after.unreadable, now, {one.symbol: one.entry_price for one in held.positions if one.lots}
            before = after
        return None

    async def _read_ends(self) -> _Ends:
        entries = await self._watch.read_ledger(self._reads)
        return _Ends(await self._watch.read_executions(self._reads), entries)

    def _snapshot(self, before: _Ends, held: Holdings, opened: OrderList, after: _Ends, now: Now) -> r.Snapshot:
        return r.Snapshot(
            boot_ns=now.boot_ns,
            venue=self._watch.venue,
            account=self._watch.account,
            cursor_before=before.executions.cursor or NO_CURSOR,
            cursor_after=after.executions.cursor or NO_CURSOR,
            positions=tuple(sorted((one.symbol, one.lots) for one in held.positions if one.lots)),
            balances=tuple(sorted((currency, amount) for currency, amount in held.balances if amount)),
            open_orders=tuple(
                (one.report.client_id, one.report.venue_order_id, one.symbol, one.open_lots) for one in opened.orders if one.open_lots
            ),
            venue_ns=min(held.venue_ns, opened.venue_ns),
        )

    def _note_changes(self, boot_ns: int) -> None:
        """Note at which time our orders were found changed. One that an earlier process life left is not new for being seen first."""
        orders = self._keeper.state.orders
        figures: dict[str, tuple[object, ...]] = {}
        for client_id in self._watch.at_venue():
            order = orders.by_id[client_id]
            amend = None if order.amend is None else (order.amend.state, order.amend.lots)
            figures[client_id] = (order.state, order.lots, order.filled_lots, order.reported_lots, amend)
            if client_id not in self._figures and order.life != orders.life:
                self._changed_boot_ns[client_id] = _NEVER_BOOT_NS
            elif figures[client_id] != self._figures.get(client_id):
                self._changed_boot_ns[client_id] = max(boot_ns, self._changed_boot_ns.get(client_id, boot_ns))
        for client_id in self._figures.keys() - figures.keys():
            self._changed_boot_ns[client_id] = max(boot_ns, self._changed_boot_ns[client_id])
        self._figures = figures
        self._changed_boot_ns = {name: at for name, at in self._changed_boot_ns.items() if name in figures or self._is_fresh(at, boot_ns)}

    def _is_fresh(self, changed_boot_ns: int, boot_ns: int) -> bool:
        return boot_ns - changed_boot_ns < self._visible_ns

    # The verdict

    def _judge(self, snapshot: r.Snapshot, unreadable: bool, now: Now, entries: Mapping[str, Decimal]) -> r.Reconciled:
        state = self._keeper.state
        found = reconcile.compare(state.orders, state.ledger, snapshot, self._managed, entries)
        found = self._without_patience([self._excused(one, now.boot_ns) for one in found], now.boot_ns)
        verdict = _worded(reconcile.verdict(snapshot, found, now.boot_ns), unreadable)
        self.snapshot = snapshot
        if not verdict.explained:
            self.aftermath = None
        self._record(snapshot, verdict, now)
        if verdict.explained and not any(one.kind in _MONEY and not (one.theirs or one.lasting) for one in found):
            self.aftermath = Aftermath(fills_complete_venue_ns=snapshot.venue_ns, position_explained=True)
        return verdict

    def _record(self, snapshot: r.Snapshot, verdict: r.Reconciled, now: Now) -> None:
        told = (verdict.differences, snapshot.positions, snapshot.balances, snapshot.open_orders)
        lately = now.boot_ns - self._told_boot_ns < self._tell_every_ns and self._where in self._keeper.state.lattice.reconciled
        if verdict.explained and lately and told == self._told:
            return
        latches: tuple[r.LatchSet, ...] = ()
        if not verdict.explained:
            evidence = {f"{number:02} {kind}": what for number, (kind, what) in enumerate(verdict.differences, 1)}
            latches = self._latch(Cause.UNEXPLAINED, f"{'/'.join(self._where)}: differences that nothing under way explains", evidence, now)
        self._keeper.take(snapshot, verdict, *latches, now=now)
        self._told, self._told_boot_ns = told, now.boot_ns

    def _excused(self, one: Difference, boot_ns: int) -> Difference:
        """An order that changed while the lists were read, or a moment before, need not stand in them as it is now."""
        changed = self._changed_boot_ns.get(one.subject)
        if one.explained or one.kind not in _MOVED or changed is None or not self._is_fresh(changed, boot_ns):
            return one
        return msgspec.structs.replace(one, explained=True, why="the order changed while the lists were read, or a moment before")

    def _without_patience(self, found: Sequence[Difference], boot_ns: int) -> list[Difference]:
        """What executions under way have explained for too long is explained no more, until a cut does not find it."""
        waiting: dict[tuple[Kind, str], int] = {}
        judged = []
        for one in found:
            fresh = one.kind in _MOVED and self._is_fresh(self._changed_boot_ns.get(one.subject, _NEVER_BOOT_NS), boot_ns)
            if not one.explained or fresh or one.theirs or one.lasting:
                judged.append(one)
                continue
            key = (one.kind, one.subject)
            waiting[key] = self._since_boot_ns.get(key, boot_ns)
            waited_ns = boot_ns - waiting[key]
            if waited_ns > self._patience_ns:
                why = f"{one.why}, but for {waited_ns // NS_PER_S} s, longer than {self._patience_ns // NS_PER_S} s"
                judged.append(msgspec.structs.replace(one, explained=False, why=why))
            else:
                judged.append(one)
        self._since_boot_ns = waiting
        return judged

    def _latch_cut(self) -> None:
        now = self._clock()
        reason = f"{'/'.join(self._where)}: something moved during each of {self._most_tries} readings; nothing new until it comes to rest"
        latches = self._latch(Cause.NO_CONSISTENT_CUT, reason, {}, now)
        if latches:
            self._keeper.take(*latches, now=now)

    def _latch(self, cause: Cause, reason: str, evidence: dict[str, str], now: Now) -> tuple[r.LatchSet, ...]:
        """The latch, unless it stands."""
        subject = "/".join(self._where)
        held = {(hold.name, hold.scope, hold.subject) for hold in self._keeper.state.lattice.latches}
        if (cause.value, r.Scope.ACCOUNT, subject) in held:
            return ()
        return (
            latch_for(cause, scope=r.Scope.ACCOUNT, subject=subject, reason=reason, actor="gate", boot_ns=now.boot_ns, evidence=evidence),
        )


def opening(
    ledger: Ledger,
    snapshot: r.Snapshot,
    managed: Managed,
    *,
    entry_ticks: Mapping[str, int],
    actor: str,
    nonce: str,
    boot_ns: int,
) -> tuple[r.LedgerEvent, ...] | None:
    """The adjustments by which a person takes an account over as a first cut found it; None if the journal holds anything of it already.

    `entry_ticks` are the prices at which positions are taken over, by symbol. All carry the same fresh nonce, each an id of its own. Raises
    ValueError for a position without a price, or without an actor or a nonce.
    """
    venue, account = snapshot.venue, snapshot.account
    if not holds_nothing(ledger, venue, account):
        return None
    if not (actor and nonce):
        raise ValueError("opening: expected the name of the person who takes the account over, and a nonce; found none")
    found: list[r.LedgerEvent] = []

    def adjust(name: str, currency: str, amount: Decimal, symbol: str = "", lots: int = 0, ticks: int = 0) -> None:
        theirs = (venue, symbol) in managed.foreign
        found.append(
            r.LedgerEvent(
                boot_ns=boot_ns,
                kind=r.LedgerKind.FOREIGN if theirs else r.LedgerKind.ADJUST,
                venue=venue,
                account=account,
                venue_id=f"{OPENING}{nonce}.{name}",
                currency=currency,
                amount=amount,
                symbol=symbol,
                lots=lots,
                ticks=ticks,
                actor=actor,
                nonce=nonce,
                venue_ns=snapshot.venue_ns,
            )
        )

    expected = expected_balances(ledger, venue, account, managed, snapshot.venue_ns)
    for currency, amount in snapshot.balances:
        if amount and currency not in managed.unmanaged:
            adjust(f"balance.{currency}", currency, exact_sum(amount, -expected.get(currency, Decimal(0))))
    for symbol, lots in snapshot.positions:
        worth = managed.worths.get((venue, symbol)) or managed.foreign.get((venue, symbol))
        if not lots or (worth is not None and worth.spot):
            continue  # what is held of spot is a balance
        ticks = entry_ticks.get(symbol, 0)
        if not ticks > 0:
            raise ValueError(
                f"opening: expected a price above 0 for {lots} lots of {symbol}, found {ticks}; say at which price they are taken over"
            )
        adjust(f"position.{symbol}", "" if worth is None else worth.currency, Decimal(0), symbol, lots, ticks)
    return tuple(found)


def _reaches(ends: _Ends, venue_ns: int) -> bool:
    return min(ends.executions.venue_ns, ends.entries.venue_ns) >= venue_ns


def _worded(verdict: r.Reconciled, unreadable: bool) -> r.Reconciled:
    """The verdict in bounded words; not explained if something could not be read."""
    told = [(kind, what[:LONGEST_TEXT]) for kind, what in verdict.differences[:MOST_TOLD]]
    if len(verdict.differences) > MOST_TOLD:
        told.append(("more", f"{len(verdict.differences) - MOST_TOLD} more differences"))
    if unreadable:
        told.append((UNREADABLE, "an execution or ledger event makes no sense and was left out"))
    return msgspec.structs.replace(verdict, explained=verdict.explained and not unreadable, differences=tuple(told))
