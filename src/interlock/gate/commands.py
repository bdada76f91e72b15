"""What people ask for besides arming: to stop, freeze, disarm and tighten limits, and with a fresh nonce and the state they saw, to resume, adopt and
announce.

Lowering is never refused but for a subject that nobody knows, and limits that are somewhere looser are no lowering. Whoever asks is known by the user
that the kernel names.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal, InvalidOperation

import msgspec

from interlock.domain.errors import BadInput
from interlock.domain.orders import OrderState
from interlock.gate import lattice
from interlock.gate import records as r
from interlock.gate.arming import CeremonyFailed
from interlock.gate.condition_watch import cancels_called_for, edge_collapse
from interlock.gate.core import LONGEST_DETAIL
from interlock.gate.frames import Adjust, Disarm, Done, Edge, Expect, Frame, Freeze, Kill, Refusal, Release, Resume, Tighten
from interlock.gate.journal import JournalFailed, JournalFull
from interlock.gate.lattice import refuse_nonce, refuse_version
from interlock.gate.limit_sheet import LimitSheet, parse, sheet_hash
from interlock.gate.parts import Parts
from interlock.gate.proposals import Proposals
from interlock.gate.refusal import Refusal as No
from interlock.gate.tightening import Change, changes
from interlock.gate.verbs import Cause

LONGEST_NAME = 64
MOST_DIGITS = 30
LONGEST_SHEET = 1 << 16
"""Characters of a file of limits: enough for fifty instruments, and read in a moment."""
LARGEST_TIGHTENING = 1 << 17
"""Bytes of its record: half of what a batch of the journal can hold."""
MOST_TOLD = 20
LONGEST_WITHIN_NS = 7 * 86_400 * 1_000_000_000


class Commands:
    """Answers the lower socket, and the plain requests of the raise socket."""

    def __init__(self, parts: Parts, proposals: Proposals) -> None:
        self._parts = parts
        self._proposals = proposals

    # Lowering

    def kill(self, request: Kill, actor: str) -> Frame:
        """No new risk from here on, and every order is to be cancelled: by this gate until the sentinel has taken over."""
        self.killed(f"{request.source[:LONGEST_NAME]} ({actor})")
        self._proposals.cancel((), "kill", actor)
        live = self._parts.live()
        self._parts.tell_sentinel("kill", live)
        return Done(
            report={"killed": True, "live": {venue: list(ids) for venue, ids in live.items()}, "sentinel": self._parts.word.stopped}
        )

    def killed(self, source: str) -> None:
        """Record that everything is to stop, once."""
        state, now = self._parts.keeper.state, self._parts.clock()
        if state.lattice.kill is lattice.Kill.NONE:
            self._parts.take(r.KillRequested(boot_ns=now.boot_ns, source=source, wall_ns=now.wall_ns))

    def freeze(self, request: Freeze, actor: str) -> Frame:
        """Set a latch by hand. What it calls for is cancelled at once."""
        if request.level is r.Level.RUN:
            return Refusal(rule="level", detail="expected halt, cancel_only or reduce_only, found run: a freeze holds something back")
        known = self._subjects(request.scope)
        if request.subject not in known:
            there = ", ".join(sorted(known)[:20]) or "none"
            detail = f"expected a subject that a latch on {request.scope.value} can hold ({there}), found {request.subject!r}; nothing was frozen"
            return Refusal(rule="subject", detail=detail)
        latch = r.LatchSet(
            boot_ns=self._parts.clock().boot_ns,
            name=Cause.OPERATOR.value,
            scope=request.scope,
            subject=request.subject[:LONGEST_NAME],
            level=request.level,
            reason=request.reason[:LONGEST_DETAIL],
            actor=actor,
        )
        written = self._parts.take(latch)
        return Done(report={"frozen": True, "journaled": written, "state_version": self._parts.keeper.state.lattice.version})

    def _subjects(self, scope: r.Scope) -> set[str]:
        """What a latch of this scope can hold."""
        parts = self._parts
        match scope:
            case r.Scope.SYMBOL:
                return {f"{venue}/{symbol}" for venue, symbol in parts.min_lots}
            case r.Scope.ACCOUNT:
                return {f"{venue}/{account}" for venue, account in parts.setup.accounts.items()}
            case r.Scope.STRATEGY:
                return set(parts.setup.tags)
            case r.Scope.ORDER:
                return set(parts.keeper.state.orders.live)
        return {""}

    def disarm(self, request: Disarm, actor: str) -> Frame:
        """End the grant, and with `mandate` the leave to reduce as well. Where nothing is left to end nothing is written."""
        arming = self._parts.keeper.state.arming
        # Whoever is asked for a phrase at this moment is not to be armed by it.
        self._parts.keeper.state.happen(CeremonyFailed(()))
        if not arming.armed or arming.mandate_over or (arming.ended and not request.mandate):
            return Done(report={"disarmed": True, "journaled": True, "state_version": self._parts.keeper.state.lattice.version})
        now, reason = self._parts.clock(), request.reason[:LONGEST_DETAIL] or "disarmed"
        written = self._parts.take(r.Disarmed(boot_ns=now.boot_ns, reason=reason, actor=actor, mandate_ends=request.mandate))
        return Done(report={"disarmed": True, "journaled": written, "state_version": self._parts.keeper.state.lattice.version})

    async def tighten(self, request: Tighten, actor: str) -> Frame:
        """Put a sheet in force that is nowhere looser than the one that is, for everything that is judged from here on.

        Orders at rest were judged by the sheet before, and nothing judges them again: those that could raise risk are cancelled.
        """
        if len(request.limits) > LONGEST_SHEET:
            detail = f"expected at most {LONGEST_SHEET} characters, found {len(request.limits)}; leave the comments out"
            return Refusal(rule="limits", detail=detail)
        try:
            # In a thread: while a long text is read the stop word must be looked at.
            wanted = await asyncio.to_thread(parse, request.limits, "the limits that were sent")
        except BadInput as error:
            return Refusal(rule="limits", detail=str(error)[:LONGEST_DETAIL])
        # From here on nothing is awaited, so that the sheet compared with is the one that is replaced.
        found = changes(self._parts.keeper.state.sheet, wanted)
        looser = [change.looser for change in found if change.looser]
        if looser:
            more = f"; and {len(looser) - MOST_TOLD} more" if len(looser) > MOST_TOLD else ""
            return Refusal(rule="looser", detail=f"{'; '.join(looser[:MOST_TOLD])}{more}; nothing was changed")
        return self._tightened(wanted, found, request.reason[:LONGEST_DETAIL], actor)

    def _tightened(self, sheet: LimitSheet, found: tuple[Change, ...], reason: str, actor: str) -> Frame:
        parts, now = self._parts, self._parts.clock()
        state = parts.keeper.state
        told = {
            "before": state.limits.hash,
            "changed": [{"key": change.key, "was": change.before, "now": change.after} for change in found],
        }
        if not found:
            return Done(report={**told, "after": state.limits.hash, "journaled": True, "cancelling": 0})
        record = r.LimitsTightened(
            boot_ns=now.boot_ns,
            before=state.limits.hash,
            after=sheet_hash(sheet),
            sheet=sheet,
            changes=tuple(change.recorded for change in found),
            actor=actor,
            reason=reason,
            wall_ns=now.wall_ns,
        )
        if (size := len(r.encode(record))) > LARGEST_TIGHTENING:
            detail = f"expected a record of at most {LARGEST_TIGHTENING} bytes, found {size}; change fewer limits at once"
            return Refusal(rule="too_large", detail=detail)
        if sheet.account.shock_millionths != state.sheet.account.shock_millionths:
            parts.readings.burdens = {}  # reckoned with the smaller shock: what others have open is to be read anew
        written = parts.take(record)
        universe = parts.readings.references.universe
        stale = cancels_called_for(state, now, universe=universe, leave=lambda _symbol: False)
        written = parts.take(*[msgspec.structs.replace(one, reason="the limits were tightened") for one in stale]) and written
        parts.send_cancels()
        return Done(report={**told, "after": state.limits.hash, "journaled": written, "cancelling": len(stale)})

    def edge(self, request: Edge) -> Frame:
        """Take the edge that the engine measures: one that has collapsed, or is no number, holds its strategy at reduce_only."""
        measured, threshold = _amount(request.measured_bps), _amount(request.threshold_bps)
        nothing = Decimal("NaN")
        if request.strategy not in self._parts.setup.tags:
            return Refusal(rule="known", detail=f"strategy {request.strategy[:LONGEST_NAME]!r} is not configured")
        latch = edge_collapse(
            nothing if measured is None else measured,
            nothing if threshold is None else threshold,
            scope=r.Scope.STRATEGY,
            subject=request.strategy,
            boot_ns=self._parts.clock().boot_ns,
        )
        held = {(hold.name, hold.scope, hold.subject) for hold in self._parts.keeper.state.lattice.latches}
        if latch is not None and (latch.name, latch.scope, latch.subject) not in held:
            self._parts.take(latch)
        return Done(report={"collapsed": latch is not None})

    # Raising

    async def resume(self, request: Resume, actor: str) -> Frame:
        """Clear one latch, or raise the base level."""
        state, now = self._parts.keeper.state.lattice, self._parts.clock()
        found: r.LatchCleared | r.LevelSet | No
        if request.latch:
            found = lattice.clear_latch(
                state,
                request.latch,
                request.scope,
                request.subject,
                actor=actor,
                seen_version=request.state_version,
                nonce=request.nonce,
                boot_ns=now.boot_ns,
            )
        else:
            found = lattice.raise_level(
                state,
                request.level,
                actor=actor,
                reason="resume",
                seen_version=request.state_version,
                nonce=request.nonce,
                boot_ns=now.boot_ns,
            )
        return await self.decided(found)

    async def release(self, request: Release, actor: str) -> Frame:
        """Take a person's word for what became of a quarantined order."""
        state, now = self._parts.keeper.state, self._parts.clock()
        refused = self._stale(request.state_version, request.nonce)
        order = state.orders.by_id.get(request.client_id)
        if refused is None and (order is None or order.state is not OrderState.QUARANTINED):
            found = "no such order" if order is None else order.state.value
            refused = No("not_quarantined", f"expected an order in quarantine, found {found}; only what nobody can find out is released")
        if refused is not None:
            return _refusal(refused)
        record = r.Released(
            boot_ns=now.boot_ns,
            client_id=request.client_id,
            state=request.state,
            filled_lots=request.filled_lots,
            actor=actor,
            nonce=request.nonce,
        )
        answer = await self.decided(record)
        after = state.orders.by_id[request.client_id].state
        if after is OrderState.QUARANTINED and isinstance(answer, Done):
            return Refusal(rule="release", detail=f"expected an end that fits what is known of the order, found {request.state.value}")
        return answer

    async def adjust(self, request: Adjust, actor: str) -> Frame:
        """Take a difference into the books under a person's name."""
        now = self._parts.clock()
        refused = self._stale(request.state_version, request.nonce)
        account = self._parts.setup.accounts.get(request.venue)
        amount = _amount(request.amount)
        if refused is None and (account is None or amount is None or not (request.currency or request.lots)):
            refused = No(
                "adjust", "expected a configured venue, a currency and a finite decimal amount, found otherwise; look at the status"
            )
        if refused is None and request.lots and not (request.symbol and request.ticks > 0):
            refused = No("adjust", "expected a symbol and a price in ticks for lots, found none: lots without a price would be a gift")
        if refused is not None or account is None or amount is None:
            return _refusal(refused or No("adjust", "nonsense"))
        return await self.decided(
            r.LedgerEvent(
                boot_ns=now.boot_ns,
                kind=r.LedgerKind.ADJUST,
                venue=request.venue,
                account=account,
                venue_id="",
                currency=request.currency[:16],
                amount=amount,
                symbol=request.symbol[:LONGEST_NAME],
                lots=request.lots,
                ticks=request.ticks,
                actor=actor,
                nonce=request.nonce,
                venue_ns=now.wall_ns,
            )
        )

    async def expect(self, request: Expect, actor: str) -> Frame:
        """Take note of a transfer that the owner announces."""
        now = self._parts.clock()
        refused = refuse_nonce(request.nonce, self._parts.keeper.state.lattice.nonces)
        account = self._parts.setup.accounts.get(request.venue)
        amount = _amount(request.amount)
        moves = {kind.value: kind for kind in (r.LedgerKind.DEPOSIT, r.LedgerKind.WITHDRAWAL, r.LedgerKind.TRANSFER)}
        if refused is None and (request.event not in moves or account is None or amount is None or amount == 0):
            refused = No("expect", f"expected one of {', '.join(moves)} of an amount on a configured venue, found {request.event!r}")
        if refused is None and not 0 < request.within_ns <= LONGEST_WITHIN_NS:
            refused = No("expect_within", f"expected a time of at most 7 days, found {request.within_ns} ns; say by when it comes")
        if refused is not None or account is None or amount is None:
            return _refusal(refused or No("expect", "nonsense"))
        kind = moves[request.event]
        signed = -abs(amount) if kind is r.LedgerKind.WITHDRAWAL else amount
        return await self.decided(
            r.LedgerExpected(
                boot_ns=now.boot_ns,
                kind=kind,
                venue=request.venue,
                account=account,
                currency=request.currency[:16],
                amount=signed,
                until_wall_ns=now.wall_ns + request.within_ns,
                actor=actor,
                nonce=request.nonce,
            )
        )

    def _stale(self, seen_version: int, nonce: str) -> No | None:
        state = self._parts.keeper.state.lattice
        return refuse_version(seen_version, state.version) or refuse_nonce(nonce, state.nonces)

    async def decided(self, found: r.Record | No) -> Frame:
        """Journal what a person decided, and answer when it is on disk."""
        if isinstance(found, No):
            return _refusal(found)
        try:
            lsn = self._parts.keeper.take(found, now=self._parts.clock())
            if self._parts.keeper.unwritten:
                return Refusal(rule="journal", detail="it counts, and is not on disk: the journal takes no records now; look at the status")
            await self._parts.keeper.durable(lsn)
        except (JournalFailed, JournalFull) as error:
            return Refusal(rule="journal", detail=str(error))
        return Done(report={"state_version": self._parts.keeper.state.lattice.version})


def _refusal(no: No) -> Refusal:
    return Refusal(rule=no.rule, detail=no.message)


def _amount(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    digits = len(value.as_tuple().digits)
    return value if value.is_finite() and len(text) <= 64 and digits <= MOST_DIGITS and abs(value.adjusted()) <= MOST_DIGITS else None
