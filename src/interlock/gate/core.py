"""The decision: `decide(setup, state, readings, event, now)` gives the records to append and what to write to the wire once they are durable.

Nothing here changes the state, reads a clock or does I/O. Every proposal ends in exactly one PERMIT or DENY with a named rule; an exception on the
way is a DENY and a latch. The caller folds the records before it asks again, so that later proposals of a batch are decided against the
reservations of earlier ones, and asks `recheck` with nothing in between before the first byte of each write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from interlock.domain.ids import INCARNATION_BITS, ClientId, parse_client_id
from interlock.domain.orders import OrderState
from interlock.gate import absence, orders, pairs, reservation, throttles, venue_bounds
from interlock.gate.evaluate import Allowed, Denied, evaluate
from interlock.gate.exposure import Exposure, OpenOrder, exposure_of
from interlock.gate.frames import Decision, Plan, Proposal
from interlock.gate.lattice import effective_level
from interlock.gate.ledger import Flag
from interlock.gate.limit_sheet import LARGEST
from interlock.gate.mandate import Clause, MandateRule
from interlock.gate.order_machine import RESTING, Violation
from interlock.gate.order_state import Order, violations_after
from interlock.gate.own_crossing import OWN_CROSSING, crossed_by
from interlock.gate.permission import May, Permission, permission
from interlock.gate.readings import Now, Readings, Setup
from interlock.gate.records import CancelWanted, Deny, GroupReserved, Intent, LatchSet, Permit, Purpose, Record, Scope
from interlock.gate.reduction import Unfit, clause_of
from interlock.gate.state import DUPLICATES, FOREIGNERS, NOTED, NOTED_COUNT, VIOLATIONS, GateState
from interlock.gate.verbs import Cause, latch_for

PERMIT, DENY = "PERMIT", "DENY"
MICRO = 1_000_000
LONGEST_TEXT = 64
LONGEST_DETAIL = 500
MOST_BOOKS = 16
VENUE_BUDGET = "venue_budget"
"""The rule by which nothing new goes to a venue while what placements may use of its limits is used up."""
NO_ORDER = "none"
"""Of an order that has no id yet: no latch on an order is about it."""
LARGEST_TIME_NS = 1 << 63

_NOT_KNOWN = frozenset({OrderState.UNKNOWN, OrderState.QUARANTINED})

_CAUSES = {
    Violation.LATE_FILL: Cause.LATE_FILL,
    Violation.OVERFILL: Cause.OVERFILL,
    Violation.OVERSIZE: Cause.OVERFILL,
    Violation.REVERSAL: Cause.REVERSAL,
    Violation.DUPLICATE_SEND: Cause.DUPLICATE_CLIENT_ID,
    Violation.STRANGER: Cause.OWN_PREFIX_UNKNOWN,
    Violation.UNSENT_SEEN: Cause.UNEXPLAINED,
    Violation.ABSENT_SEEN: Cause.UNEXPLAINED,
    Violation.REOPENED: Cause.UNEXPLAINED,
    Violation.CONTRADICTED: Cause.UNEXPLAINED,
}
_FLAG_CAUSES = {
    Flag.FOREIGN_FILL: Cause.FOREIGN_ACTIVITY,
    Flag.REVERSAL: Cause.REVERSAL,
    Flag.ADL: Cause.ADL,
    Flag.LIQUIDATION: Cause.LIQUIDATION,
    Flag.CONFLICT: Cause.UNEXPLAINED,
    Flag.UNPRICED: Cause.UNEXPLAINED,
    Flag.TOO_OLD: Cause.UNEXPLAINED,
}
"""What is in neither table is a defect of the gate and halts as one."""


class Planned(NamedTuple):
    """A write to the wire that was permitted. It happens at most once, after its permit is durable, and only if `recheck` still has no objection."""

    venue: str
    client_id: str
    revision: int
    frame: bytes
    sign_wall_ns: int
    receive_window_ns: int
    deadline_boot_ns: int


class Effects(NamedTuple):
    """What follows from an event: records in their order, the write that they permit, and the answer to whoever asked.

    `repeats` names the (strategy, rule) of a denial that is not recorded, because one of its kind was within the last second; it is to be counted.
    """

    records: tuple[Record, ...]
    planned: Planned | None
    decision: Decision
    repeats: tuple[str, str] | None = None


class _No(Exception):
    """A rule that says no; private, so that nothing else is taken for one."""

    def __init__(self, rule: str, detail: str) -> None:
        self.rule, self.detail = rule, detail


def decide(setup: Setup, state: GateState, readings: Readings, proposal: Proposal, now: Now, *, drill: bool = False) -> Effects:
    """Decide about one proposal. `drill`: it is the gate's own order for a kill drill, for which alone a drill's grant is good."""
    intent: Intent | None = None
    if problem := _malformed(proposal):
        clipped = msgspec.structs.replace(proposal, strategy=proposal.strategy[:LONGEST_TEXT], sequence=-1)
        return _denied(setup, state, None, clipped, "malformed", problem, now)
    if problem := _out_of_range(proposal):
        return _denied(setup, state, None, msgspec.structs.replace(proposal, sequence=-1), "quantities", problem, now)
    try:
        _refuse_timing(setup, state, proposal, now)
        intent = _intent(setup, state, proposal, now)
        if drill is not (state.live is not None and state.live.grant.purpose is Purpose.DRILL):
            raise _No("drill_only", "a drill's grant is for the drill's own order, and that order for no other grant")
        return _judge(setup, state, readings, intent, proposal.plan, now)
    except _No as no:
        effects = _denied(setup, state, intent, proposal, no.rule, no.detail, now)
        return effects if no.rule != MandateRule.LOSS else _at_loss_bound(state, effects, proposal, no.detail, now)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong here must deny and stop, not escape
        said = f"{type(error).__name__}: {error}"[:LONGEST_DETAIL]
        effects = _denied(setup, state, intent, proposal, "internal_error", said, now)
        latch = latch_for(Cause.INTERNAL_ERROR, scope=Scope.ALL, subject="", reason=said, actor="gate", boot_ns=now.boot_ns)
        return effects._replace(records=(*effects.records, latch))


def deny_batch(setup: Setup, state: GateState, readings: Readings, proposals: Sequence[Proposal], now: Now) -> Effects | None:
    """One denial for a whole batch of which none can pass, whatever the orders say; None if each must be looked at."""
    if len(proposals) < 2:
        return None
    kinds = set()
    for proposal in proposals:
        if _malformed(proposal) or _out_of_range(proposal):
            return None
        account = setup.accounts.get(proposal.venue, "")
        answer = _permission(state, readings, proposal.venue, proposal.symbol, proposal.strategy, account, now)
        if answer.may is not May.NOTHING:
            return None
        kinds.add((proposal.strategy, str(answer.denial)))
    if len(kinds) != 1:
        return None
    ((strategy, rule),) = kinds
    record = Deny(
        boot_ns=now.boot_ns,
        client_id="",
        strategy=strategy,
        rule=rule,
        detail=f"a batch of {len(proposals)} was denied whole",
        count=len(proposals),
        sequence=max(proposal.sequence for proposal in proposals),
    )
    decision = Decision(result=DENY, rule=rule, client_id="", detail=record.detail)
    if strategy not in setup.tags or state.denied_lately(strategy, rule, now.boot_ns):
        return Effects((), None, decision, (strategy if strategy in setup.tags else "", rule))
    return Effects((record,), None, decision)


def repeated(state: GateState, counts: Mapping[tuple[str, str], int], now: Now) -> tuple[Deny, ...]:
    """The records of denials that were held back: one for each (strategy, rule) of which none was recorded within the last second.

    `counts` says how often each was named by `Effects.repeats`; the caller keeps it, and takes out what is told here once it is recorded.
    """
    return tuple(
        Deny(boot_ns=now.boot_ns, client_id="", strategy=strategy, rule=rule, detail=f"{count} more of these", count=count)
        for (strategy, rule), count in sorted(counts.items())
        if count > 0 and not state.denied_lately(strategy, rule, now.boot_ns)
    )


def recheck(
    setup: Setup, state: GateState, readings: Readings, planned: Planned, now: Now, *, stopped: bool, lease_held: bool, begun: bool = False
) -> str:
    """Why a permitted write must not happen after all, or an empty text. Asked right before the first byte, and cheap.

    `begun`: its WireBegin is in the journal already, so that the order counts as sent until the opposite is recorded.
    """
    order = state.orders.by_id.get(planned.client_id)
    if stopped is not False:
        return "stop word"
    if lease_held is not True:
        return "lease"
    if order is None or not (
        _begun(order, planned.revision) if begun else orders.may_send(state.orders, planned.client_id, planned.revision)
    ):
        return "order state"
    permitted = state.permits.get(planned.client_id)
    if permitted is None or permitted.revision != planned.revision:
        return "permit"
    if permitted.body_hash != hashlib.sha256(setup.wires[planned.venue].body(planned.frame)).hexdigest():
        return "other bytes than permitted"
    if not now.boot_ns < permitted.deadline_boot_ns:
        return "deadline"
    if _epoch_of(planned.client_id, setup.tags.get(order.strategy, "")) != state.epoch:
        return "epoch"
    may = _permission(
        state, readings, order.venue, order.symbol, order.strategy, order.account, now, planned.client_id, revision=planned.revision
    )
    if may.may is May.NOTHING or (may.may is May.REDUCE and not permitted.mandate):
        return str(may.denial)
    if permitted.limits != state.limits.hash:
        return "limits"
    if state.live is None or state.live.grant.grant_id != permitted.grant_id:
        return "another grant"
    for name, alive in (("sentinel", readings.sentinel_alive), ("checker", readings.checker_alive)):
        if alive is not True:
            return name
    return ""


def want_cancels(state: GateState, client_ids: Sequence[str], reason: str, actor: str, now: Now) -> tuple[Record, ...]:
    """The obligations to cancel own orders: those named, or all that may still be alive. Nothing can disarm it; unknown ids are left out."""
    names = client_ids or sorted(state.orders.live)
    found = []
    for client_id in names:
        order = state.orders.by_id.get(client_id)
        if order is not None and order.cancel is None and not order.state.final:
            found.append(CancelWanted(boot_ns=now.boot_ns, client_id=client_id, reason=reason, actor=actor))
    return tuple(found)


def consequences(state: GateState, now: Now) -> tuple[Record, ...]:
    """The latches that what was folded calls for and that are not set yet. Asked after every event, until there are none."""
    found: list[Record] = []
    for number, violation in violations_after(state.orders, state.noted.get(VIOLATIONS, 0)):
        cause = _CAUSES.get(violation.violation, Cause.INTERNAL_ERROR)
        found.append(_latch(cause, f"{violation.subject}: {violation.detail}", VIOLATIONS, number, now))
    for (flag, subject), count in sorted(state.ledger.flags.items()):
        what = f"{flag} {subject}"
        if count > state.noted.get(what, 0):
            found.append(_latch(_FLAG_CAUSES.get(Flag(flag), Cause.INTERNAL_ERROR), what, what, count, now))
    if state.foreigners > state.noted.get(FOREIGNERS, 0):
        found.append(_latch(Cause.FOREIGN_ACTIVITY, "an order or execution that is not ours", FOREIGNERS, state.foreigners, now))
    if state.duplicates > state.noted.get(DUPLICATES, 0):
        found.append(
            _latch(Cause.DUPLICATE_CLIENT_ID, "the venue knows an id that was sent for the first time", DUPLICATES, state.duplicates, now)
        )
    held = {(hold.name, hold.scope, hold.subject) for hold in state.lattice.latches}
    for request in throttles.latch_requests(state.throttles, state.sheet, now.boot_ns):
        cause = Cause(request.name)
        if (cause.value, Scope.STRATEGY, request.subject) not in held:
            found.append(
                latch_for(cause, scope=Scope.STRATEGY, subject=request.subject, reason=request.reason, actor="gate", boot_ns=now.boot_ns)
            )
    if state.losses.latched and (Cause.LOSS.value, Scope.ALL, "") not in held:
        found.append(latch_for(Cause.LOSS, scope=Scope.ALL, subject="", reason=_lost(state), actor="gate", boot_ns=now.boot_ns))
    return tuple(found)


def _lost(state: GateState) -> str:
    losses = state.losses
    amounts = [f"{losses.worst_micro_usd} micro-USD lost at worst", f"{losses.drawdown_micro_usd} below the peak"]
    amounts += [
        f"{one.worst_realised_micro} millionths of a {one.currency} for good" for one in losses.by_currency if one.worst_realised_micro > 0
    ]
    return f"{', '.join(amounts)}, on {losses.day}"


def _begun(order: Order, revision: int) -> bool:
    """Whether a wire write has begun for exactly this revision, and nothing has been heard or wanted since."""
    request = order if revision == 0 else order.amend
    begun = request is not None and request.state is OrderState.SENT and not request.sent
    return begun and order.cancel is None and order.wired_revision == revision


# One proposal


def _refuse_timing(setup: Setup, state: GateState, proposal: Proposal, now: Now) -> None:
    if not proposal.created_boot_ns <= now.boot_ns:
        raise _No("created_in_future", f"made {proposal.created_boot_ns - now.boot_ns} ns from now")
    if not now.boot_ns - proposal.created_boot_ns <= setup.longest_age_ns:
        raise _No("too_old", f"made {now.boot_ns - proposal.created_boot_ns} ns ago, allowed {setup.longest_age_ns}")
    if not now.boot_ns < proposal.deadline_boot_ns:
        raise _No("deadline_passed", f"{now.boot_ns - proposal.deadline_boot_ns} ns ago")
    if not proposal.deadline_boot_ns - now.boot_ns <= setup.longest_deadline_ns:
        raise _No("deadline_too_far", f"in {proposal.deadline_boot_ns - now.boot_ns} ns, allowed {setup.longest_deadline_ns}")
    last = state.sequences.get(proposal.strategy, -1)
    if not proposal.sequence > last:
        raise _No("repeated", f"sequence {proposal.sequence} of {proposal.strategy!r} after {last}")


def _intent(setup: Setup, state: GateState, proposal: Proposal, now: Now) -> Intent:
    tag = setup.tags.get(proposal.strategy)
    account = setup.accounts.get(proposal.venue)
    if tag is None or account is None or proposal.venue not in setup.wires:
        raise _No("known", f"strategy {proposal.strategy!r} on venue {proposal.venue!r} is not configured")
    if not state.epoch:
        raise _No("epoch", "this process life has no epoch yet")
    revision = 0
    if proposal.amends:
        order = state.orders.by_id.get(proposal.amends)
        if order is None or not orders.may_amend(state.orders, proposal.amends, order.revision + 1):
            raise _No("not_amendable", f"{proposal.amends!r} is not an order at rest without another change under way")
        same = (order.venue, order.account, order.symbol, order.side, order.type, order.tif, order.reduce_only, order.strategy)
        asked = (
            proposal.venue,
            account,
            proposal.symbol,
            proposal.side,
            proposal.type,
            proposal.tif,
            proposal.reduce_only,
            proposal.strategy,
        )
        if same != asked:
            raise _No("not_amendable", f"{proposal.amends!r} is another kind of order: only price and size can change")
        client_id, revision = proposal.amends, order.revision + 1
    else:
        random_bits = int(state.incarnation, 16) & ((1 << INCARNATION_BITS) - 1)
        client_id = str(ClientId(tag, state.epoch, state.sequence + 1, random_bits))
    return Intent(
        boot_ns=now.boot_ns,
        client_id=client_id,
        revision=revision,
        group=proposal.group,
        strategy=proposal.strategy,
        venue=proposal.venue,
        account=account,
        symbol=proposal.symbol,
        side=proposal.side,
        type=proposal.type,
        tif=proposal.tif,
        reduce_only=proposal.reduce_only,
        ticks=proposal.ticks,
        lots=proposal.lots,
        sequence=proposal.sequence,
        created_boot_ns=proposal.created_boot_ns,
        deadline_boot_ns=proposal.deadline_boot_ns,
        books=proposal.books,
    )


def _judge(setup: Setup, state: GateState, readings: Readings, intent: Intent, plan: Plan | None, now: Now) -> Effects:
    may = _permission(
        state, readings, intent.venue, intent.symbol, intent.strategy, intent.account, now, revision=intent.revision, order=intent.client_id
    )
    live = state.live
    if live is None or may.may is May.NOTHING:
        raise _No(str(may.denial), "")
    for name, alive in (
        ("stop_word", readings.stopped is False),
        ("lease", readings.lease_held is True),
        ("sentinel", readings.sentinel_alive),
        ("checker", readings.checker_alive),
    ):
        if alive is not True:
            raise _No(name, "not known to be in order")
    cap = int(live.grant.cap_usd * MICRO)
    # Where no new risk may be, nothing enters a pair: what is reserved must not stand in the way of what brings its legs home.
    kept = pairs.reserved(state, now.boot_ns, pairs.adding_of(intent, state.orders)) if may.may is May.NEW_RISK else []
    exposure = _exposure(state, readings, kept)
    begun: GroupReserved | None = None
    if plan is not None:
        _refuse_legs(setup, state, readings, intent, plan, now)
        pair = reservation.of_pair(setup, state, readings, intent, plan, exposure, now, cap)
        if isinstance(pair, Denied):
            raise _No(pair.rule, pair.detail)
        begun, exposure = pair, reservation.beside(exposure, pair, intent)
    mandate = _mandate(may, state, readings, intent, exposure, now)
    _refuse_unresolved(setup, state, intent, mandate, now)
    _refuse_full(state, readings, intent.venue, now)
    held = state.group(intent.group, now.boot_ns)
    # What brings a position or a leg home is not held up: the venue keeps it from trading with ours, and the rest of it may trade.
    second = held.legs[1] if held is not None and held.legs else None
    comes_home = bool(mandate) or (
        second is not None and (second.venue, second.symbol, second.side) == (intent.venue, intent.symbol, intent.side)
    )
    if not comes_home and (crossed := crossed_by(state.orders, intent)):
        raise _No(OWN_CROSSING, f"it could trade with {crossed}, which is ours; cancel that first, and wait for its end")
    found = evaluate(state.sheet, intent, exposure, readings.references, state.throttles, state.losses, now.boot_ns, cap)
    if isinstance(found, Denied):
        raise _No(found.rule, found.detail)
    wire = setup.wires[intent.venue]
    if unfit := wire.objection(intent, now.wall_ns):
        raise _No("venue_rules", unfit)
    # What brings a position or a leg home is sent all the same: how things stand is never known to the last moment, and then the venue decides.
    standing = _standing(state, readings, intent, now)
    if not comes_home and (broken := wire.forbidden_now(intent, now.wall_ns, standing)):
        raise _No(f"{venue_bounds.RULE}{broken}", standing.said(broken))
    encode = wire.amendment if intent.revision else wire.placement
    frame = encode(intent, now.wall_ns)
    permit = _permit(intent, found, live.grant.grant_id, live.grant.cap_usd, mandate, state.epoch, wire.body(frame), now)
    planned = Planned(intent.venue, intent.client_id, intent.revision, frame, now.wall_ns, wire.receive_window_ns, intent.deadline_boot_ns)
    # A mandate begins no group, or it could go on for ever.
    if begun is None and intent.group and not mandate and state.group(intent.group, now.boot_ns) is None:
        begun = reservation.of_one(state, readings, intent, now)
    # A group that begins lets those be forgotten whose time is over, and with them what is still to be called back.
    records = (intent, permit) if begun is None else (*pairs.overdue(state, now.boot_ns), intent, begun, permit)
    return Effects(records, planned, Decision(result=PERMIT, rule="", client_id=intent.client_id))


def _mandate(may: Permission, state: GateState, readings: Readings, intent: Intent, exposure: Exposure, now: Now) -> str:
    """The clause of the reduce mandate that an order comes under; empty for one under the grant.

    In a pair that was reserved the grant is good for what takes from the reservation, and all else must fit the mandate. Raises _No.
    """
    rule, detail = str(may.denial), ""
    group = state.group(intent.group, now.boot_ns) if intent.group else None
    objection = pairs.objection(group, state.orders, intent, now.boot_ns) if group is not None and group.legs else None
    if objection is not None and objection.rule is pairs.PairRule.OTHER_MARKET:
        raise _No(objection.rule.value, objection.detail)
    if may.may is May.NEW_RISK:
        if objection is None:
            return ""
        rule, detail = objection.rule.value, f"{objection.detail}; "
    clause = clause_of(may, state, readings.references, intent, exposure, now)
    if isinstance(clause, Unfit):
        said = f"{detail}and it does not fit the reduce mandate: {clause}"
        raise _No(MandateRule.LOSS.value if clause.at_loss_bound else rule, said)
    return clause.value


def _refuse_legs(setup: Setup, state: GateState, readings: Readings, intent: Intent, plan: Plan, now: Now) -> None:
    """Both legs of a pair must be allowed new risk, and neither venue may owe an answer that holds up its orders, or want none for their rate."""
    for leg in plan.legs:
        account = setup.accounts.get(leg.venue)
        if account is None or leg.venue not in setup.absence:
            raise _No("known", f"venue {leg.venue!r} is not configured")
        may = _permission(state, readings, leg.venue, leg.symbol, intent.strategy, account, now)
        if may.may is not May.NEW_RISK:
            raise _No(str(may.denial), f"{leg.venue}:{leg.symbol}: a pair is new risk on both its legs")
        _refuse_venue(setup, state, leg.venue)
        _refuse_full(state, readings, leg.venue, now)


def _at_loss_bound(state: GateState, effects: Effects, proposal: Proposal, detail: str, now: Now) -> Effects:
    """A group that may lose no more stops its strategy until a person has looked: what it holds can still be reduced, instrument by instrument."""
    held = {(hold.name, hold.scope, hold.subject) for hold in state.lattice.latches}
    if (Cause.GROUP_LOSS.value, Scope.STRATEGY, proposal.strategy) in held:
        return effects
    reason = f"group {proposal.group!r} is at its loss bound: {detail}"[:LONGEST_DETAIL]
    latch = latch_for(Cause.GROUP_LOSS, scope=Scope.STRATEGY, subject=proposal.strategy, reason=reason, actor="gate", boot_ns=now.boot_ns)
    return effects._replace(records=(*effects.records, latch))


def _permit(intent: Intent, found: Allowed, grant_id: str, cap_usd: Decimal, mandate: str, epoch: int, body: bytes, now: Now) -> Permit:
    return Permit(
        boot_ns=now.boot_ns,
        wall_ns=now.wall_ns,
        client_id=intent.client_id,
        revision=intent.revision,
        grant_id=grant_id,
        epoch=epoch,
        mandate=mandate,
        cap_usd=cap_usd,
        notional_usd=found.notional_usd,
        evaluations=found.evaluations,
        books=found.books,
        usd_rates=found.usd_rates,
        body_hash=hashlib.sha256(body).hexdigest(),
        deadline_boot_ns=intent.deadline_boot_ns,
    )


def _refuse_unresolved(setup: Setup, state: GateState, intent: Intent, mandate: str, now: Now) -> None:
    """Nothing new beside a leg whose fate is not known, nor where the venue can never prove that an order was not taken.

    The hedge of what is proven is not new in its group, nor is the second leg of a pair: what is not known was taken off it.
    """
    group = state.group(intent.group, now.boot_ns)
    answers = mandate == Clause.HEDGE.value or (not mandate and group is not None and pairs.is_second(group, intent))
    if intent.group and not answers:
        for client_id in state.orders.live:
            other = state.orders.by_id[client_id]
            changing = other.amend is not None and other.amend.state in _NOT_KNOWN
            if other.group == intent.group and (changing or other.state in _NOT_KNOWN):
                raise _No("group_unresolved", f"the fate of {client_id} is not known")
    _refuse_venue(setup, state, intent.venue)


def _refuse_full(state: GateState, readings: Readings, venue: str, now: Now) -> None:
    left_ns = 0 if (room := readings.budgets.get(venue)) is None else room(state.throttles.pending.get(venue, 0), now.boot_ns)
    if left_ns:
        raise _No(VENUE_BUDGET, f"what placements may use of the limits of {venue} is used up for {left_ns} ns at least")


def _refuse_venue(setup: Setup, state: GateState, venue: str) -> None:
    blocked = absence.blocks_placement(state.orders, venue, setup.absence[venue])
    if blocked:
        raise _No("venue_unresolved", blocked)


def _permission(
    state: GateState,
    readings: Readings,
    venue: str,
    symbol: str,
    strategy: str,
    account: str,
    now: Now,
    client_id: str = "",
    *,
    revision: int = 0,
    order: str = "",
) -> Permission:
    """`client_id` only of an order that has its permit; `order` of one that is being judged, which a latch on an order may be about."""
    name = f"{venue}/{symbol}"
    where = f"{venue}/{account}" if account else ""
    level = effective_level(state.lattice, symbol=name, strategy=strategy, account=where, order=client_id or order or NO_ORDER)
    return permission(
        state.live,
        state.arming,
        level,
        now.boot_ns,
        readings.binding,
        name,
        read_only=readings.read_only,
        client_id=client_id,
        revision=revision,
    )


def _standing(state: GateState, readings: Readings, intent: Intent, now: Now) -> venue_bounds.Standing:
    """What the venue's own rules say of an order as things stand now, as far as that is known."""
    place = (intent.venue, intent.symbol)
    reference = readings.references.references.get(place)
    quote = None if reference is None else reference.quote
    found = venue_bounds.bounds_now(readings.published.get(place), readings.price_limits.get(place), quote, now.boot_ns)
    market = (intent.venue, intent.account, intent.symbol)
    if found.most_open and not intent.revision:
        mine = [state.orders.by_id[client_id] for client_id in state.orders.live]
        resting = sum(order.market == market and order.state in RESTING and order.cancel is None for order in mine)
        found = found._replace(open_orders=resting)
    if intent.reduce_only:
        position = state.ledger.positions.get(market)
        found = found._replace(position_lots=0 if position is None else position.lots)
    return found


def _exposure(state: GateState, readings: Readings, reserved: list[OpenOrder]) -> Exposure:
    """What is held, open or reserved, without the order that is judged."""
    book = state.orders.by_id
    open_orders = [*reserved]
    for client_id in (*state.orders.live, *state.orders.owing):
        order = book[client_id]
        lots = order.reserved_lots
        if lots:
            open_orders.append(OpenOrder(order.venue, order.account, order.symbol, order.side, order.ticks, lots))
            if order.amend is not None:
                # The other price that it may have, without its size a second time.
                open_orders.append(OpenOrder(order.venue, order.account, order.symbol, order.side, order.amend.ticks, 0))
    positions = {market: position.lots for market, position in state.ledger.positions.items()}
    return exposure_of(positions, open_orders, readings.equity, readings.naked_since_boot_ns, readings.attended, readings.burdens)


def _malformed(proposal: Proposal) -> str:
    """What of a proposal no record should hold: texts without end."""
    texts = (proposal.venue, proposal.symbol, proposal.strategy, proposal.group, proposal.amends)
    if any(len(text) > LONGEST_TEXT for text in texts) or len(proposal.books) > MOST_BOOKS:
        return f"a text of more than {LONGEST_TEXT} characters, or more than {MOST_BOOKS} books"
    if any(len(book.venue) > LONGEST_TEXT or len(book.symbol) > LONGEST_TEXT for book in proposal.books):
        return f"a text of more than {LONGEST_TEXT} characters in a book"
    legs = () if proposal.plan is None else proposal.plan.legs
    if any(len(leg.venue) > LONGEST_TEXT or len(leg.symbol) > LONGEST_TEXT for leg in legs):
        return f"a text of more than {LONGEST_TEXT} characters in a plan"
    bounds = () if proposal.plan is None else (proposal.plan.naked_cap_usd, proposal.plan.loss_bound_usd)
    if any(len(str(bound)) > LONGEST_TEXT for bound in bounds):
        # The smaller bound stands in the record, which the journal would not take.
        return f"an amount of more than {LONGEST_TEXT} characters in a plan"
    return ""


def _out_of_range(proposal: Proposal) -> str:
    """What of a proposal's figures no record should hold; evaluation says what else an order may not be."""
    books = [(book.bid_ticks, book.ask_ticks) for book in proposal.books]
    if not (0 < proposal.ticks < LARGEST and 0 < proposal.lots < LARGEST):
        return f"expected ticks and lots from 1 and below 2^53, found {proposal.ticks} and {proposal.lots}"
    legs = () if proposal.plan is None else proposal.plan.legs
    if not all(0 < leg.ticks < LARGEST and 0 < leg.lots < LARGEST for leg in legs):
        return "expected ticks and lots from 1 and below 2^53 in both legs of a plan"
    quantities = (abs(proposal.sequence), *(ticks for book in books for ticks in book))
    until = () if proposal.plan is None else (proposal.plan.deadline_boot_ns,)
    times = (proposal.created_boot_ns, proposal.deadline_boot_ns, *until, *(book.boot_ns for book in proposal.books))
    if all(0 <= figure < LARGEST for figure in quantities) and all(0 <= time_ns < LARGEST_TIME_NS for time_ns in times):
        return ""
    return "expected a sequence and books of figures below 2^53, and times that a clock can show"


def _denied(setup: Setup, state: GateState, intent: Intent | None, proposal: Proposal, rule: str, detail: str, now: Now) -> Effects:
    client_id = "" if intent is None else intent.client_id
    detail = detail[:LONGEST_DETAIL]
    # A name that nobody configured is told under none: or else its author could fill the journal with fresh ones.
    strategy, sequence = (proposal.strategy, proposal.sequence) if proposal.strategy in setup.tags else ("", -1)
    if state.denied_lately(strategy, rule, now.boot_ns):
        # Not recorded, so that a loop of refused orders does not fill the journal: no intent of it exists either.
        return Effects((), None, Decision(result=DENY, rule=rule, client_id="", detail=detail), (strategy, rule))
    record = Deny(
        boot_ns=now.boot_ns,
        client_id=client_id,
        strategy=strategy,
        rule=rule,
        detail=detail,
        sequence=sequence,
        revision=0 if intent is None else intent.revision,
    )
    return Effects(
        (record,) if intent is None else (intent, record),
        None,
        Decision(result=DENY, rule=rule, client_id=client_id, detail=detail),
    )


def _epoch_of(client_id: str, tag: str) -> int | None:
    parsed = parse_client_id(client_id, tag) if tag else None
    return None if parsed is None else parsed.epoch


def _latch(cause: Cause, reason: str, what: str, count: int, now: Now) -> LatchSet:
    evidence = {NOTED: what, NOTED_COUNT: str(count)}
    return latch_for(
        cause, scope=Scope.ALL, subject="", reason=reason[:LONGEST_DETAIL], actor="gate", boot_ns=now.boot_ns, evidence=evidence
    )
