"""What must be true when a placement or amend is about to be written. A write that was called off before its first byte breaks only S2 and S8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from interlock.trace.facts import Facts
from interlock.trace.state import RANK, Request, State
from interlock.trace.values import Entry, Finding

CLAUSES: Final = frozenset({"hedge", "shrink_pair", "reduce_only"})


def s2_wire(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A permit of this process life stands in an earlier batch: it was durable when the beginning of the write was recorded."""
    request = state.requests.get(entry.key)
    permit = None if request is None else request.permit
    if request is None or permit is None:
        yield Finding("S2", f"expected a permit before the write of {entry.key}, found none", lsn=entry.lsn)
        return
    if request.permit_life != state.life:
        yield Finding("S2", f"expected a permit of this process life for {entry.key}, found one that was read back", lsn=entry.lsn)
    elif permit.batch >= entry.batch:
        yield Finding("S2", f"expected the permit of {entry.key} in a batch synced before the write, found both in one", lsn=entry.lsn)
    if request.denied:
        yield Finding("S2", f"expected no write of {entry.key}, which was denied, found one", lsn=entry.lsn)


def s3_wire(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """The grant of the permit lives: minted in this life, not expired, not ended, nothing latched below what the order needs."""
    request = state.requests.get(entry.key)
    if request is None or request.permit is None:
        return
    for why in _dead(state, request, request.permit, entry.boot_ns):
        yield Finding("S3", f"expected a living grant at the write of {entry.key}, found {why}", lsn=entry.lsn)


def s3_drill_wire(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """Under a drill's grant there is one write and no more."""
    request = state.requests.get(entry.key)
    grant_id = "" if request is None or request.permit is None else request.permit.fields["grant_id"]
    first = state.drill_wires.get(grant_id)
    if first is not None and first != entry.key:
        yield Finding("S3", f"expected one write under the drill's grant {grant_id!r}, found {entry.key} after {first}", lsn=entry.lsn)


def _dead(state: State, request: Request, permit: Entry, boot_ns: int) -> Iterator[str]:
    about, grant = permit.fields, state.grant
    symbol = f"{request.intent.fields['venue']}/{request.intent.fields['symbol']}"
    mandate = bool(about["mandate"])
    if grant is None or grant["grant_id"] != about["grant_id"]:
        yield f"no grant {about['grant_id']!r} in this process life"
        return
    until = grant["mandate_until_boot_ns" if mandate else "expires_boot_ns"]
    if not grant["minted_boot_ns"] <= boot_ns < until:
        yield "it expired"
    if not boot_ns <= about["deadline_boot_ns"]:
        yield "the permit's deadline passed"
    if state.killing_lsn:
        if not state.kill_lsn:  # after the kill took effect it is S17
            yield f"a kill wanted since record {state.killing_lsn}"
        return
    ended = state.mandate_over if mandate else state.ended
    if ended and not state.owed:  # what ended it and was not latched is told by its own rule
        yield f"it ended: {ended}"
    if symbol in (state.symbols_over if mandate else state.symbols_out):
        yield f"{symbol} was disarmed"
    level, latched = state.level_of(request)
    if RANK[level] < RANK["reduce_only"] and not any(latch.life != state.life for latch in latched):
        yield f"the level {level}"


def s4_wire(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """The order's symbol is one that the grant is bound to."""
    request = state.requests.get(entry.key)
    if request is None or state.grant is None:
        return
    about = request.intent.fields
    bound = [(venue, symbol) for venue, symbol, _digest in state.grant["binding"]["symbols"]]
    if (about["venue"], about["symbol"]) not in bound:
        yield Finding("S4", f"expected a symbol of the grant, found {about['venue']}/{about['symbol']}", lsn=entry.lsn)


def s8_wire(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A (client id, revision) is begun once, over all process lives."""
    request = state.requests.get(entry.key)
    if request is not None and request.wires:
        yield Finding("S8", f"expected one write of {entry.key}, found another", lsn=entry.lsn)


def s16_wire(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A latch of an earlier process life still holds, unless a person cleared it."""
    request = state.requests.get(entry.key)
    if request is None or state.killing_lsn:
        return
    _level, latched = state.level_of(request)
    for latch in latched:
        if latch.life != state.life and RANK[latch.level] < RANK["reduce_only"]:
            sentence = f"expected the latch at {latch.level} of an earlier process life to hold, found a write of {entry.key}"
            yield Finding("S16", sentence, lsn=entry.lsn)
            return


def s17_wire(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """After a kill took effect nothing new is written in this process life."""
    if state.kill_lsn:
        yield Finding("S17", f"expected no write after the kill of record {state.kill_lsn}, found {entry.key}", lsn=entry.lsn)


def s20_wire(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """At REDUCE_ONLY only an order under a clause of the reduce mandate is written."""
    request = state.requests.get(entry.key)
    if request is None or request.permit is None:
        return
    mandate = request.permit.fields["mandate"]
    level, _latched = state.level_of(request)
    if mandate and mandate not in CLAUSES:
        yield Finding("S20", f"expected a clause of the mandate, found {mandate!r}", lsn=entry.lsn)
    elif level == "reduce_only" and not mandate:
        yield Finding("S20", f"expected only reductions at {level}, found {entry.key} under the grant", lsn=entry.lsn)
