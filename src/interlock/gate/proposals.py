"""What the engine asks for: orders to decide on, and cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from interlock.domain.orders import TimeInForce
from interlock.gate import core
from interlock.gate.core import DENY, Effects
from interlock.gate.exposure import Place
from interlock.gate.following import ENGINE_GONE, Following
from interlock.gate.frames import CancelOwn, Decided, Decision, Done, Frame, Proposal, Propose, Refusal
from interlock.gate.journal import JournalFailed, JournalFull
from interlock.gate.parts import Parts

MOST_PROPOSALS = 256
BREATHE_EVERY = 8
_NEVER_REST = frozenset({TimeInForce.IOC, TimeInForce.FOK})


class Proposals:
    """Answers the intent socket. `assure` is asked before an order that may rest (see `DeadMan.assure`).

    A permit is answered when it is on disk; what becomes of the write is told by the order's records.
    """

    def __init__(self, parts: Parts, assure: Callable[[Place], Awaitable[bool]]) -> None:
        self._parts = parts
        self._assure = assure

    async def propose(self, request: Propose) -> Frame:
        """One decision for each proposal, in order, later ones against the reservations of earlier ones."""
        parts, proposals = self._parts, request.proposals
        if len(proposals) > MOST_PROPOSALS:
            return Refusal(rule="batch", detail=f"expected at most {MOST_PROPOSALS} proposals at once, found {len(proposals)}; send fewer")
        if parts.leaving:
            return Decided(decisions=tuple(_no("leaving", "the gate is about to end") for _ in proposals))
        now = parts.look()
        whole = core.deny_batch(parts.setup, parts.keeper.state, parts.readings, proposals, now)
        if whole is not None:
            if whole.repeats is not None:
                parts.denials[whole.repeats] += len(proposals)
            parts.take(*whole.records)
            return Decided(decisions=tuple(whole.decision for _ in proposals))
        if parts.keeper.state.live is not None:
            for place in sorted({(one.venue, one.symbol) for one in proposals if one.tif not in _NEVER_REST}):
                await self._assure(place)
        decided = []
        for number, proposal in enumerate(proposals, start=1):
            decided.append(self.decide(proposal))
            if number % BREATHE_EVERY == 0:
                await asyncio.sleep(0)  # whoever reads the stop word does not wait for the end of a batch
        last = max((lsn for _, lsn in decided), default=0)
        try:
            await parts.keeper.durable(last)
        except JournalFailed as error:
            # What was durable before may be on the wire already: it stays what it is, with its id.
            known = parts.keeper.journal.durable_lsn
            return Decided(
                decisions=tuple(one if one.result == DENY or lsn <= known else _no("journal", str(error)) for one, lsn in decided)
            )
        return Decided(decisions=tuple(one for one, _ in decided))

    def decide(self, proposal: Proposal, *, drill: bool = False) -> tuple[Decision, int]:
        """Decide about one, journal it, and queue the write if it is permitted; the decision, and the record it must wait for (0: none)."""
        parts = self._parts
        now = parts.look()
        effects = core.decide(parts.setup, parts.keeper.state, parts.readings, proposal, now, drill=drill)
        if effects.repeats is not None:
            parts.denials[effects.repeats] += 1
        try:
            lsn = parts.keeper.take(*effects.records, now=now) if effects.records else 0
        except (JournalFailed, JournalFull) as error:
            parts.log(f"journal: {error}")
            return _no("journal", str(error)), 0
        if effects.planned is None:
            return effects.decision, 0
        self._write(effects)
        return effects.decision, lsn

    def _write(self, effects: Effects) -> None:
        planned = effects.planned
        assert planned is not None
        done = self._parts.egresses[planned.venue].send(planned)
        done.add_done_callback(self._written)

    def _written(self, done: asyncio.Future[str]) -> None:
        """The order's own records say what became of it; only what nobody foresaw is to be acted on here."""
        if done.cancelled():
            return
        error = done.exception()
        if error is not None and not isinstance(error, JournalFailed | JournalFull | OSError):
            self._parts.broke("egress", error)
        elif error is not None:
            self._parts.log(f"not sent: {error}")

    def cancel_own(self, request: CancelOwn) -> Frame:
        """Cancel orders of ours. Never refused; ids that are not ours or have ended are left out, and the answer says how many are owed."""
        return Done(report={"cancelling": self.cancel(request.client_ids, request.reason or "asked for", "engine")})

    async def cancel_if_gone(self, following: Following) -> None:
        """Owe cancels for everything once the engine that followed its orders does so no more: a duty, done again and again."""
        if following.gone:
            following.forget()
            if self._parts.keeper.state.orders.live:
                self._parts.log(ENGINE_GONE + ": its orders are cancelled")
                self.cancel((), ENGINE_GONE, "gate")

    def cancel(self, client_ids: Sequence[str], reason: str, actor: str) -> int:
        """Owe cancels for these orders, or for all that are alive, and send them now; how many are owed in all."""
        parts = self._parts
        parts.take(
            *core.want_cancels(parts.keeper.state, tuple(dict.fromkeys(client_ids)), reason[: core.LONGEST_DETAIL], actor, parts.clock())
        )
        parts.send_cancels()
        return len(parts.keeper.state.orders.cancelling)


def _no(rule: str, detail: str) -> Decision:
    return Decision(result=DENY, rule=rule, client_id="", detail=detail[: core.LONGEST_DETAIL])
