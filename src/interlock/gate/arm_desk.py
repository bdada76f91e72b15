"""The ceremony as a conversation: a challenge, an answer, a grant; and the kill drill, which is a grant for one order that the sentinel must cancel.

Everything that decides is in `ceremony`; here is what surrounds it: fresh readings of the venue for the checks, the raise of the level that
comes with a person's grant, the one order of a drill, and its verdict, which the gate gives by its own eyes and not by what it is told.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from types import MappingProxyType

from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import ceremony, lattice
from interlock.gate import records as r
from interlock.gate.arming import CeremonyFailed, Minted
from interlock.gate.ceremony import NS_PER_S, Reply, Situation, Wish
from interlock.gate.conditions import CAP_NAME, Conditions, read_conditions
from interlock.gate.core import PERMIT
from interlock.gate.frames import ArmAnswer, ArmBegin, Challenge, Done, DrillEnd, Frame, Proposal, Refusal
from interlock.gate.journal import JournalFailed, JournalFull
from interlock.gate.lattice import refuse_nonce
from interlock.gate.parts import Parts
from interlock.gate.proposals import Proposals
from interlock.gate.records import DrillKind, Purpose
from interlock.gate.refusal import Refusal as No

DRILL_WAITS_NS = 5 * NS_PER_S
DRILL_LIVES_NS = 60 * NS_PER_S
_LOOK_S = 0.01

LEAVING = No("leaving", "expected a gate that goes on, found one that is about to end; start it anew")

Look = Callable[[], Awaitable[Situation]]
"""Read afresh everything that could forbid arming."""


class ArmDesk:
    """Answers the requests of the ceremony. `sentinel` is where the sentinel listens, for whoever runs the drill.

    `keys` are by venue what a drill calls the key that it proves; without one it is the account.
    """

    def __init__(
        self, parts: Parts, proposals: Proposals, look: Look, sentinel: str, build: str, keys: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._parts = parts
        self._proposals = proposals
        self.look = look
        self._sentinel = sentinel
        self._sentinel_build = build
        self._keys = keys
        self._drill: tuple[str, str] | None = None
        """(drill id, client id) of the drill under way."""

    async def begin(self, request: ArmBegin) -> Frame:
        """Put a challenge to the person, or say everything that stands against arming."""
        situation = await self.look()
        if self._parts.leaving:
            return refused((LEAVING,))
        wish = Wish(
            lifetime_ns=min(request.lifetime_ns, DRILL_LIVES_NS) if request.drill_symbol else request.lifetime_ns,
            seen_version=request.state_version,
            scripted=request.scripted,
            mandate_after_ns=0 if request.drill_symbol else request.mandate_ns,
            purpose=Purpose.DRILL if request.drill_symbol else Purpose.TRADE,
            drill_symbol=request.drill_symbol,
        )
        environ = _with_cap(request, situation.wall_ns)
        if isinstance(environ, No):
            return refused((environ,))
        asked = ceremony.ask(wish, environ, situation, request.nonce)
        self._parts.keeper.state.happen(asked)
        if isinstance(asked, CeremonyFailed):
            return refused(asked.refusals)
        return Challenge(challenge_id=asked.challenge.nonce, phrase=asked.challenge.phrase)

    async def answer(self, request: ArmAnswer, actor: str) -> Frame:
        """Judge the answer; a right one is a grant, and for a drill its order at the venue."""
        situation = await self.look()
        if self._parts.leaving:
            return refused((LEAVING,))
        state = self._parts.keeper.state
        challenge = state.machine.challenge
        if challenge is None or challenge.nonce != request.challenge_id:
            return refused((No("challenge", "expected the challenge that was put last, found another or none; begin again"),))
        judged = ceremony.answer(challenge, Reply(request.acknowledgement, request.phrase), situation)
        bad_nonce = refuse_nonce(request.level_nonce, situation.used_nonces | {challenge.nonce})
        if bad_nonce is not None and isinstance(judged, Minted):
            judged = CeremonyFailed((bad_nonce,))
        if not isinstance(judged, Minted):
            state.happen(judged)
            return refused(judged.refusals)
        try:
            lsn = self._mint(judged, request.level_nonce, actor)
            await self._parts.keeper.durable(lsn)
        except (JournalFailed, JournalFull) as error:
            # A grant that the person was not given must not live.
            now = self._parts.clock()
            self._parts.take(r.Disarmed(boot_ns=now.boot_ns, reason="the journal did not take it", actor="gate", mandate_ends=True))
            return Refusal(rule="journal", detail=str(error))
        grant = judged.record.grant
        if grant.purpose is Purpose.DRILL:
            return await self._begin_drill(grant)
        return Done(
            report={
                "grant_id": grant.grant_id,
                "cap_usd": str(grant.cap_usd),
                "expires_in_s": (grant.expires_boot_ns - grant.minted_boot_ns) // NS_PER_S,
                "mandate_until_in_s": (grant.mandate_until_boot_ns - grant.minted_boot_ns) // NS_PER_S,
                "scripted": grant.scripted,
                "symbols": [f"{venue}/{symbol}" for venue, symbol, _ in grant.binding.symbols],
            }
        )

    def _mint(self, minted: Minted, level_nonce: str, actor: str) -> int:
        """Journal the grant, and raise the base level, which the same ceremony entitles to. Raises JournalFailed or JournalFull."""
        parts = self._parts
        lsn = parts.keeper.mint(minted)
        state = parts.keeper.state.lattice
        if state.base is r.Level.RUN:
            return lsn
        raised = lattice.raise_level(
            state,
            r.Level.RUN,
            actor=actor,
            reason="armed",
            seen_version=state.version,
            nonce=level_nonce,
            boot_ns=parts.clock().boot_ns,
        )
        if isinstance(raised, No):
            # The grant alone lets nothing through; a person sees why in the status.
            parts.log(f"armed, and the level stays {state.base.value}: {raised.message}")
            return lsn
        return parts.keeper.take(raised, now=parts.clock())

    # The drill

    async def _begin_drill(self, grant: r.Grant) -> Frame:
        """Place the drill's one order and wait until the venue shows it; whatever fails ends the drill."""
        ((venue, symbol, _),) = grant.binding.symbols
        orders = self._parts.keeper.state.orders
        until_ns = self._parts.clock().boot_ns + DRILL_WAITS_NS
        said = "no reference to price it by"
        client_id = ""
        while self._parts.clock().boot_ns < until_ns:
            proposal = self._far_order(venue, symbol)
            if proposal is not None and not client_id:
                decision, _ = self._proposals.decide(proposal, drill=True)
                said = f"{decision.rule} {decision.detail}"
                if decision.result == PERMIT:
                    client_id = decision.client_id
                    said = f"an order that the venue did not show within {DRILL_WAITS_NS // NS_PER_S} s"
            order = orders.by_id.get(client_id)
            if order is not None and order.state in (OrderState.OPEN, OrderState.PARTIAL):
                self._drill = (grant.grant_id, client_id)
                report = {"drill_id": grant.grant_id, "client_id": client_id, "pid": self._parts.life.pid, "sentinel": self._sentinel}
                return Done(report=report)
            if order is not None and order.state.final:
                said = f"its order ended as {order.state.value} before the sentinel could cancel it"
                break
            await asyncio.sleep(_LOOK_S if client_id else 0.2)
        if client_id:
            self._proposals.cancel((client_id,), "the drill failed", "gate")
        self._over(grant.grant_id, venue, placed=int(bool(client_id)), cancelled=0, remaining=int(bool(client_id)), verdict="fail")
        return refused((No("drill", f"expected the drill's order to rest at {venue}, found: {said}"),))

    def _far_order(self, venue: str, symbol: str) -> Proposal | None:
        """A post-only order of the smallest size, half the collar below the bid: real, and unlikely to fill while it waits to be cancelled."""
        parts, now = self._parts, self._parts.clock()
        reference = parts.readings.references.references.get((venue, symbol))
        sheet = parts.keeper.state.sheet.symbols.get(f"{venue}:{symbol}")
        strategy = min(parts.setup.tags, default="")
        if reference is None or sheet is None or not strategy:
            return None
        quote = reference.quote
        away = quote.bid_ticks * sheet.collar_reference_millionths // 2_000_000
        ticks, lots = parts.setup.wires[venue].least_order(symbol, Side.BUY, max(1, quote.bid_ticks - away), now.wall_ns)
        return Proposal(
            venue=venue,
            symbol=symbol,
            side=Side.BUY,
            type=OrderType.LIMIT,
            tif=TimeInForce.POST_ONLY,
            ticks=ticks,
            lots=max(lots, parts.min_lots.get((venue, symbol), 1)),
            strategy=strategy,
            sequence=parts.keeper.state.sequences.get(strategy, 0) + 1,
            created_boot_ns=now.boot_ns,
            deadline_boot_ns=now.boot_ns + NS_PER_S,
            books=(r.Book(venue=venue, symbol=symbol, bid_ticks=quote.bid_ticks, ask_ticks=quote.ask_ticks, boot_ns=quote.boot_ns),),
        )

    async def end_drill(self, request: DrillEnd) -> Frame:
        """Close the drill. It has passed only if the sentinel says so and the gate sees the order cancelled by somebody else than itself."""
        if self._drill is None or self._drill[0] != request.drill_id:
            return refused((No("drill", "expected the drill that is under way, found another or none; begin again"),))
        drill_id, client_id = self._drill
        self._drill = None
        order = self._parts.keeper.state.orders.by_id[client_id]
        until_ns = self._parts.clock().boot_ns + DRILL_WAITS_NS
        # The venue's report comes by the stream or by a read; nobody can say which, so the order is looked at.
        while not order.state.final and self._parts.clock().boot_ns < until_ns:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        cancelled = int(order.state is OrderState.CANCELLED and order.cancel is None)
        # UNKNOWN is also what the sentinel says of other venues, where a drill at one has nothing to cancel.
        seen = request.verdict in ("PASS", "UNKNOWN") and request.cancelled.get(order.venue, 0) == 1
        verdict = "pass" if cancelled and seen else "fail"
        if not order.state.final:
            self._proposals.cancel((client_id,), "the drill left it", "gate")
        self._over(drill_id, order.venue, placed=1, cancelled=cancelled, remaining=int(not order.state.final), verdict=verdict)
        detail = f"sentinel: {request.verdict}, cancelled {request.cancelled}; the order is {order.state.value}"
        report = {
            "verdict": verdict.upper(),
            "placed": 1,
            "cancelled": cancelled,
            "remaining": int(not order.state.final),
            "detail": detail,
        }
        return Done(report=report)

    def _over(self, drill_id: str, venue: str, *, placed: int, cancelled: int, remaining: int, verdict: str) -> None:
        """Record what the drill showed, and end its grant."""
        now = self._parts.clock()
        self._parts.take(
            r.Drilled(
                boot_ns=now.boot_ns,
                drill_id=drill_id,
                kind=DrillKind.ORDER,
                venue=venue,
                endpoint=self._parts.life.endpoint,
                key=self._keys.get(venue) or self._parts.setup.accounts[venue],
                sentinel_build=self._sentinel_build,
                authenticated=True,
                placed=placed,
                cancelled=cancelled,
                remaining=remaining,
                verdict=verdict,
                wall_ns=now.wall_ns,
            )
        )
        if self._parts.keeper.state.arming.armed == drill_id:  # another grant may have been minted meanwhile
            self._parts.take(r.Disarmed(boot_ns=now.boot_ns, reason="the drill is over", actor="gate", mandate_ends=True))


def _with_cap(request: ArmBegin, wall_ns: int) -> dict[str, str] | No:
    """The environment with the cap that was asked for, which may be less than it allows and not more."""
    environ = dict(request.conditions)
    allowed = read_conditions(environ, wall_ns)
    if not request.max_notional_usd or not isinstance(allowed, Conditions):
        return environ
    asked = read_conditions({**environ, CAP_NAME: request.max_notional_usd}, wall_ns)
    if isinstance(asked, Conditions) and asked.cap_usd > allowed.cap_usd:
        message = f"expected at most the {allowed.cap_usd} USD of {CAP_NAME}, found {Decimal(request.max_notional_usd)}; ask for less"
        return No("cap_above_environment", message)
    return {**environ, CAP_NAME: request.max_notional_usd}


def refused(refusals: tuple[No, ...]) -> Refusal:
    """All reasons at once: the first one's rule, and every one in the detail, as a JSON list."""
    told = [{"rule": one.rule, "message": one.message} for one in refusals]
    return Refusal(rule=refusals[0].rule if refusals else "refused", detail=json.dumps(told))
