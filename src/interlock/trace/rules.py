"""The invariants that a journal alone can prove or break: one function each, asked before the record is folded.

A rule gives findings and changes nothing. Rules about the moment of the wire are in `rules_wire`, those that need the venue's side in `joined`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Final

from interlock.trace.facts import Facts
from interlock.trace.rules_limits import s4_tighten, s11_bounds, s11_tighten, s11_wire
from interlock.trace.rules_pair import answers_a_pair, s11_group, s11_pair, s20_pair
from interlock.trace.rules_wire import s2_wire, s3_drill_wire, s3_wire, s4_wire, s8_wire, s16_wire, s17_wire, s20_wire
from interlock.trace.state import INCARNATION_WIDTH, RANK, State
from interlock.trace.values import Entry, Finding
from interlock.trace.vocabulary import BOUNDS, LATER_LIMITS, REQUIRED_LIMITS

Rule = Callable[[State, Entry, Facts], Iterator[Finding]]

_ID_WIDTH, _EPOCH_AT, _SEQUENCE_AT = 27, 4, 11
_DIGITS: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyz")
_LONGEST_DRILL_NS: Final = 60_000_000_000
_LONGEST_ATTESTATION_NS: Final = 30 * 86_400_000_000_000
_KEY_FACTS: Final = ("trade", "withdraw", "transfer", "address_bound", "expires_wall_ns")
_MICRO: Final = Decimal("0.000001")


def s2(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A permit answers an intent that was recorded before it, under the epoch of its own process life."""
    request = state.requests.get(entry.key)
    if request is None:
        yield Finding("S2", f"expected an intent before the permit of {entry.key}, found none", lsn=entry.lsn)
    elif request.life != state.life:
        yield Finding("S2", f"expected an intent of this process life for the permit of {entry.key}, found an older one", lsn=entry.lsn)
    if entry.fields["epoch"] != state.epoch:
        yield Finding("S2", f"expected the epoch of this process life, {state.epoch}, found {entry.fields['epoch']}", lsn=entry.lsn)


def s3(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A grant is minted once, by the process life that it names, and never after a kill."""
    grant = entry.fields["grant"]
    if not grant["grant_id"] or grant["grant_id"] in state.grants:
        yield Finding("S3", f"expected a grant that was never seen, found {grant['grant_id']!r} again", lsn=entry.lsn)
    if state.killing_lsn:
        yield Finding("S3", f"expected no grant after the kill of record {state.killing_lsn}, found one", lsn=entry.lsn)
    if not grant["minted_boot_ns"] <= entry.boot_ns < grant["expires_boot_ns"] <= grant["mandate_until_boot_ns"]:
        yield Finding(
            "S3", "expected a grant that lives when it is recorded and expires before its mandate, found other times", lsn=entry.lsn
        )
    if grant["purpose"] == "drill":
        lives_ns = grant["expires_boot_ns"] - grant["minted_boot_ns"]
        if lives_ns > _LONGEST_DRILL_NS or grant["mandate_until_boot_ns"] != grant["expires_boot_ns"]:
            yield Finding("S3", "expected a drill's grant of at most 60 s and no mandate after it, found a longer one", lsn=entry.lsn)
        if len(grant["binding"]["symbols"]) != 1:
            yield Finding("S3", f"expected a drill's grant for one symbol, found {len(grant['binding']['symbols'])}", lsn=entry.lsn)


def s3_drill(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A drill's grant gives one permit, for a placement, and none to reduce."""
    grant_id = entry.fields["grant_id"]
    if grant_id not in state.drills:
        return
    first = state.drill_permits.get(grant_id)
    if first is not None and first != entry.key:
        yield Finding("S3", f"expected one permit under the drill's grant {grant_id!r}, found {entry.key} after {first}", lsn=entry.lsn)
    if entry.fields["revision"] or entry.fields["mandate"]:
        yield Finding("S3", f"expected a drill to place and nothing else, found an amend or a reduction, {entry.key}", lsn=entry.lsn)


def s4(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A grant is bound to what its process said of itself when it began."""
    binding = entry.fields["grant"]["binding"]
    for name in ("incarnation", "host", "endpoint", "build", "config", "limits"):
        if binding[name] != state.boot.get(name):
            yield Finding("S4", f"expected a grant for {name} {state.boot.get(name)!r}, found {binding[name]!r}", lsn=entry.lsn)


def s5(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """Only a person raises the level: by name, with a fresh nonce, after a reconciliation of this life, and never after a kill."""
    about = entry.fields
    if RANK[about["level"]] <= RANK[state.base]:
        return
    if not (about["human"] and about["actor"] and about["nonce"]) or about["nonce"] in state.nonces:
        yield Finding(
            "S5", f"expected a person with a fresh nonce to raise the level to {about['level']}, found {about['actor']!r}", lsn=entry.lsn
        )
    wanted, explained = set(state.boot.get("accounts", ())), {"/".join(where) for where in state.explained}
    if not state.explained or state.unexplained or wanted - explained:
        yield Finding("S5", "expected every account explained in this process life before the level rises, found otherwise", lsn=entry.lsn)
    if state.killing_lsn:
        yield Finding("S5", f"expected no raise after the kill of record {state.killing_lsn}, found one", lsn=entry.lsn)


def s5_attest(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """What a venue does not tell of a key, a person says: by name, with a fresh nonce, in words, for 30 days at most. A script may on loopback."""
    about = entry.fields
    if not (about["actor"] and about["nonce"] and about["statement"]) or about["nonce"] in state.nonces:
        yield Finding("S5", f"expected a person with a fresh nonce to attest in words, found {about['actor']!r}", lsn=entry.lsn)
    lives_ns = about["until_wall_ns"] - about["wall_ns"]
    if not 0 < lives_ns <= _LONGEST_ATTESTATION_NS:
        yield Finding("S5", f"expected an attestation for 30 days at most, found one for {lives_ns} ns", lsn=entry.lsn)
    if not about["fingerprint"] or all(about[name] is None for name in _KEY_FACTS):
        yield Finding("S5", "expected an attestation of something and of a key, found one of nothing", lsn=entry.lsn)
    if about["scripted"] and state.boot.get("endpoint") != "loopback":
        yield Finding("S5", "expected a person to attest where an endpoint is not loopback, found a script", lsn=entry.lsn)


def s7_epoch(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """Epochs rise strictly over all process lives."""
    if entry.fields["number"] <= state.last_epoch:
        yield Finding("S7", f"expected an epoch above {state.last_epoch}, found {entry.fields['number']}", lsn=entry.lsn)


def s7(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A client id is proposed once for each revision, parses, and carries the epoch that was recorded before it."""
    client_id, revision = entry.key
    if entry.key in state.requests:
        yield Finding("S7", f"expected {entry.key} to be proposed once, found it again", lsn=entry.lsn)
        return
    if client_id in state.orders:
        if revision != state.revisions[client_id] + 1:
            yield Finding("S7", f"expected revision {state.revisions[client_id] + 1} of {client_id}, found {revision}", lsn=entry.lsn)
        return
    if revision:
        yield Finding("S7", f"expected revision 0 of {client_id} first, found {revision}", lsn=entry.lsn)
    if len(client_id) != _ID_WIDTH or not _DIGITS.issuperset(client_id):
        yield Finding("S7", f"expected a client id of {_ID_WIDTH} of [0-9a-z], found {client_id!r}", lsn=entry.lsn)
        return
    epoch = int(client_id[_EPOCH_AT:_SEQUENCE_AT], 36)
    if epoch != state.epoch:
        yield Finding("S7", f"expected epoch {state.epoch}, recorded before its ids, in {client_id}, found {epoch}", lsn=entry.lsn)
    if state.id_incarnation and client_id[-INCARNATION_WIDTH:] != state.id_incarnation:
        yield Finding("S7", f"expected ids of one process life to end in {state.id_incarnation}, found {client_id}", lsn=entry.lsn)


def s8(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """Nothing new in a group while the outcome of one of its sends is unknown; the hedge of what is proven is not new, nor a pair's second leg."""
    order = state.orders.get(entry.key[0])
    if order is None or not order.group or entry.fields["mandate"] == "hedge" or answers_a_pair(state, entry):
        return
    for other_id in sorted(state.live):
        other = state.orders[other_id]
        if other.unknown and other.group == order.group and other_id != entry.key[0]:
            yield Finding(
                "S8", f"expected nothing new in group {order.group} while {other_id} is unknown, found {entry.key}", lsn=entry.lsn
            )


def s9_absent(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """Absence needs two reads of both lists, stamped by the venue after the request could have been taken, each list showing a later own order."""
    about, order = entry.fields, state.orders.get(entry.fields["client_id"])
    if order is None or order.final or order.shown or not (order.unknown or order.quarantined):
        yield Finding("S9", f"expected an unknown order that the venue never showed, found {about['client_id']!r} otherwise", lsn=entry.lsn)
        return
    if order.signed_wall_ns:
        least = order.signed_wall_ns + order.window_ns
        if not order.window_ns or about["not_before_venue_ns"] <= least:
            sentence = f"expected a receive window and a lag beyond {least} before absence is proven, found {about['not_before_venue_ns']}"
            yield Finding("S9", sentence, lsn=entry.lsn)
    for source in ("open", "history"):
        reads = [s for s in about["sightings"] if s["source"] == source and s["venue_ns"] > about["not_before_venue_ns"]]
        if len({s["venue_ns"] for s in reads}) < 2:
            sentence = f"expected two reads of {source} after {about['not_before_venue_ns']}, found {len(reads)}"
            yield Finding("S9", sentence, lsn=entry.lsn)
        if not any(s["later_client_id"] != about["client_id"] and s["later_client_id"] in state.orders for s in reads):
            yield Finding("S9", f"expected a read of {source} that shows an own order sent later, found none", lsn=entry.lsn)
    if about["position_explained"] and order.market[:2] not in state.explained:
        sentence = f"expected {order.market[0]} {order.market[1]} explained in this process life, as is said, found no such verdict"
        yield Finding("S9", sentence, lsn=entry.lsn)


def s9_local(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """What was handed to the kernel or begun in an earlier life is never called not sent, and nothing ends twice."""
    request = state.requests.get(entry.key)
    if request is None or request.permit is None:
        yield Finding("S9", f"expected a permit before {entry.key} is said not to be sent, found none", lsn=entry.lsn)
    elif request.sent is not None or request.unknown or request.answered or request.not_sent:
        yield Finding(
            "S9", f"expected {entry.key} to be resolved by the venue, found it called not sent after a send or an end", lsn=entry.lsn
        )
    elif request.wire is not None and request.wire_life != state.life:
        yield Finding(
            "S9", f"expected {entry.key}, begun in an earlier process life, to be unknown, found it called not sent", lsn=entry.lsn
        )


def s9_sent(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A send is told once, after its beginning, and an answer belongs to a send."""
    request = state.requests.get(entry.key)
    begun = request is not None and request.wire is not None
    if entry.kind == "sent" and (not begun or (request is not None and request.sent is not None)):
        yield Finding("S9", f"expected one send of {entry.key} after its beginning was recorded, found another", lsn=entry.lsn)
    if entry.kind == "answer":
        if request is None or not (request.sent is not None or request.unknown):
            yield Finding("S9", f"expected a send of {entry.key} before its answer, found none", lsn=entry.lsn)
        if entry.fields["state"] not in ("acked", "open", "rejected") or (entry.fields["state"] == "rejected" and not entry.fields["code"]):
            yield Finding(
                "S9", f"expected a listed answer with its code, found {entry.fields['state']} {entry.fields['code']!r}", lsn=entry.lsn
            )


def s9_release(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """Only a person, named and with a fresh nonce, ends a quarantine."""
    about, order = entry.fields, state.orders.get(entry.fields["client_id"])
    if order is None or not order.quarantined or order.final:
        yield Finding("S9", f"expected a quarantined order to be released, found {about['client_id']!r} otherwise", lsn=entry.lsn)
    if not about["actor"] or not about["nonce"] or about["nonce"] in state.nonces:
        yield Finding("S9", f"expected a person with a fresh nonce to release {about['client_id']!r}, found none", lsn=entry.lsn)


def s9_report(_: State, entry: Entry, __: Facts) -> Iterator[Finding]:
    """A report is the venue's own: it has the venue's time and came by stream or from a list."""
    if entry.fields["source"] not in ("stream", "open", "history") or not entry.fields["venue_ns"]:
        yield Finding("S9", f"expected a report with the venue's time and source, found {entry.fields['source']!r}", lsn=entry.lsn)


def s10(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """An order is filled for no more than was permitted, and only on its own market and side."""
    about, order = entry.fields, state.orders.get(entry.fields["client_id"])
    if order is None:
        return
    if entry.kind == "report":
        if about["filled_lots"] > order.lots:
            yield Finding(
                "S10", f"expected at most {order.lots} lots of {about['client_id']}, found {about['filled_lots']} reported", lsn=entry.lsn
            )
        return
    market = (about["venue"], about["account"], about["symbol"])
    if (*market, about["trade_id"]) in state.fills:
        return
    if (market, about["side"]) != (order.market, order.side):
        yield Finding("S10", f"expected executions of {about['client_id']} on {order.market}, found another market or side", lsn=entry.lsn)
    if order.filled + about["lots"] > order.lots:
        sentence = f"expected at most {order.lots} lots of {about['client_id']}, found {order.filled + about['lots']} executed"
        yield Finding("S10", sentence, lsn=entry.lsn)


def s11(state: State, entry: Entry, facts: Facts) -> Iterator[Finding]:
    """The worth of the order is recomputed, and with every open and unknown order filled the worse way it stays within the grant's cap.

    Orders are valued as they were permitted, positions at the lowest value of this journal, so that what is found is certain.
    """
    request, about = state.requests.get(entry.key), entry.fields
    if request is None:
        return
    intent, cap, worth = request.intent.fields, Decimal(about["cap_usd"]), Decimal(about["notional_usd"])
    market = (intent["venue"], intent["account"], intent["symbol"])
    if not worth > 0:
        yield Finding("S11", f"expected an order that is worth something, found {worth} USD", lsn=entry.lsn)
    evaluated = {one["limit"]: one["value"] for one in about["evaluations"]}
    if evaluated.get("max_order_lots", str(intent["lots"])) != str(intent["lots"]):
        yield Finding(
            "S11", f"expected max_order_lots judged for {intent['lots']} lots, found {evaluated['max_order_lots']}", lsn=entry.lsn
        )
    least = facts.worth_usd(intent, about)
    if isinstance(least, str):
        yield Finding("S11", least, lsn=entry.lsn)
    elif worth + _MICRO < least:
        yield Finding("S11", f"expected the order to be valued at {least} USD or more, found {worth}", lsn=entry.lsn)
    granted = None if state.grant is None or state.grant["grant_id"] != about["grant_id"] else Decimal(state.grant["cap_usd"])
    if granted is not None and cap > granted:
        yield Finding("S11", f"expected the grant's cap of {granted} USD, found {cap}", lsn=entry.lsn)
    if worth > cap:
        yield Finding("S11", f"expected no order above the cap of {cap} USD, found {worth}", lsn=entry.lsn)
    elif not about["mandate"]:
        gross = _gross_usd(state, entry.key[0], market, intent["side"], intent["lots"], worth)
        before = _gross_usd(state, entry.key[0], market, intent["side"], 0, Decimal(0))
        if gross > cap and gross > before:  # what cannot worsen a worst case that a lower cap found there is no reason against it
            yield Finding("S11", f"expected a worst case of at most {cap} USD, found {gross}", lsn=entry.lsn)


def _gross_usd(state: State, client_id: str, market: tuple[str, str, str], side: int, lots: int, worth: Decimal) -> Decimal:
    """The worst case over all markets, USD: of what is held and what may still fill, the larger side of each market."""
    zero = Decimal(0)
    sides: dict[tuple[str, str, str], dict[int, tuple[int, Decimal]]] = {market: {side: (lots, worth)}}
    for other_id in state.live:
        other = state.orders[other_id]
        if other_id == client_id:
            continue
        left = max(0, other.lots - other.filled)
        had_lots, had = sides.setdefault(other.market, {}).get(other.side, (0, zero))
        sides[other.market][other.side] = (had_lots + left, had + left * other.unit_usd)
    total = zero
    for place in {*sides, *state.positions}:
        position, unit = state.positions.get(place, 0), state.lowest_unit_usd.get(place, zero)
        worst = zero
        for sign in (1, -1):
            open_lots, value = sides.get(place, {}).get(sign, (0, zero))
            held = position * sign
            if held >= 0:
                worst = max(worst, held * unit + value)
            elif open_lots + held > 0:
                worst = max(worst, value * (open_lots + held) / open_lots)
        total += worst
    return total


def owed(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """S10, S14, S15: foreign activity, a difference nobody explained or a reversal latches before the next new risk."""
    for invariant, (lsn, why) in state.owed.items():
        yield Finding(invariant, f"expected a latch after record {lsn} ({why}) before new risk, found none", lsn=entry.lsn)


def s16_clear(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A latch is cleared by a person, by name and with a fresh nonce."""
    about = entry.fields
    if not about["actor"] or not about["nonce"] or about["nonce"] in state.nonces:
        yield Finding("S16", f"expected a person with a fresh nonce to clear {about['name']!r}, found {about['actor']!r}", lsn=entry.lsn)


def s16_day(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """The loss day goes forward, and its baseline never changes."""
    about = entry.fields
    known = state.days.get(about["day"])
    if about["day"] < state.newest_day:
        yield Finding("S16", f"expected a day from {state.newest_day} on, found {about['day']}", lsn=entry.lsn)
    elif known is not None and any(known[name] != about[name] for name in ("baseline", "baseline_usd", "marks")):
        yield Finding("S16", f"expected the baseline of {about['day']} as it was fixed, found another one", lsn=entry.lsn)


def s18(_: State, entry: Entry, __: Facts) -> Iterator[Finding]:
    """The books that a permit was decided on are two-sided and not crossed, and none is from the future."""
    for book in entry.fields["books"]:
        if not 0 < book["bid_ticks"] < book["ask_ticks"] or book["boot_ns"] > entry.boot_ns:
            sentence = f"expected a two-sided book of {book['venue']} {book['symbol']}, found {book['bid_ticks']} and {book['ask_ticks']}"
            yield Finding("S18", sentence, lsn=entry.lsn)


def s24(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """The gate cancels orders of ours whose end was wanted, and once a kill took effect none: from then on the sentinel alone does."""
    client_id = entry.fields["client_id"]
    order = state.orders.get(client_id)
    if state.kill_lsn:
        yield Finding(
            "S24", f"expected no cancel by the gate after the kill of record {state.kill_lsn}, found {client_id!r}", lsn=entry.lsn
        )
    elif order is None or not (order.cancel_wanted or state.killing_lsn):
        why = "is not ours" if order is None else "nobody wanted cancelled"
        yield Finding("S24", f"expected a cancel of an own order that was to be cancelled, found {client_id!r}, which {why}", lsn=entry.lsn)


def s27(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """An intent is answered once."""
    request = state.requests.get(entry.key)
    if request is not None and request.answers:
        yield Finding("S27", f"expected one answer to the intent {request.key}, found another", lsn=entry.lsn)


def s28_boot(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """Process lives follow each other: a fresh incarnation each, the one that its segment names, and not before the last one's records."""
    about, last = entry.fields, state.last
    if about["incarnation"] in state.incarnations:
        yield Finding("S28", f"expected a new incarnation, found {about['incarnation']} again", lsn=entry.lsn)
    kernel = about["kernel_boot_id"]
    same_host = bool(kernel) and (state.boot.get("kernel_boot_id"), state.boot.get("host")) == (kernel, about["host"])
    if last is not None and same_host and entry.boot_ns < last.boot_ns:
        yield Finding("S28", "expected a boot after the last record of the life before it, found an earlier one", lsn=entry.lsn)


def s28(state: State, entry: Entry) -> Iterator[Finding]:
    """Each record is written by the life that booted last, as far as the segment tells who wrote it."""
    booted = entry.fields["incarnation"] if entry.kind == "boot" else state.boot.get("incarnation")
    if booted is None:
        yield Finding("S28", "expected a boot as the first record, found none before this one", lsn=entry.lsn)
    elif entry.incarnation not in ("", booted.replace("-", "")):
        yield Finding("S28", f"expected a boot of the writer {entry.incarnation} before its records, found {booted!r}", lsn=entry.lsn)


def s29(_: State, entry: Entry, __: Facts) -> Iterator[Finding]:
    """Every required limit was evaluated, once, and its value lies from 0 to its bound: an unknown value is no pass."""
    names = [one["limit"] for one in entry.fields["evaluations"]]
    not_yet = {name for name, schema in LATER_LIMITS.items() if entry.schema < schema}
    missing = sorted(REQUIRED_LIMITS.difference(names, not_yet))
    if missing or len(set(names)) != len(names):
        yield Finding("S29", f"expected every limit evaluated once, found missing {missing or 'none, but one twice'}", lsn=entry.lsn)
    for one in entry.fields["evaluations"]:
        value, bound = one["value"], one["bound"]
        if not (value.isascii() and value.isdecimal() and bound.isascii() and bound.isdecimal() and int(value) <= int(bound)):
            yield Finding("S29", f"expected {one['limit']} from 0 to {bound}, found {value}", lsn=entry.lsn)
        if bound != BOUNDS.get(one["limit"], bound):
            yield Finding("S29", f"expected {one['limit']} judged by {BOUNDS[one['limit']]}, found {bound}", lsn=entry.lsn)


def s29_drill(_: State, entry: Entry, __: Facts) -> Iterator[Finding]:
    """A drill passed only if what it tried was cancelled whole, by a key that the venue took; nothing tried is unknown for an order's drill."""
    about = entry.fields
    well = about["authenticated"] and not about["remaining"]
    tried = about["kind"] == "sweep" or 0 < about["placed"] == about["cancelled"]
    if about["verdict"] == "pass" and not (well and tried):
        yield Finding("S29", f"expected no pass of drill {about['drill_id']!r} by its figures, found one", lsn=entry.lsn)


def s1_unsent(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """Nothing is known of an order that was not sent to this account but that it was not sent: no write, no answer, no execution."""
    client_id = entry.fields["client_id"]
    if client_id in state.unsent:
        yield Finding(
            "S1", f"expected nothing of {client_id}, not sent as record {state.unsent[client_id]} says, found {entry.kind}", lsn=entry.lsn
        )


def s1_said(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """Each permit of another gate is said once not to have been sent, in the order of its journal, and of no order of this one."""
    client_id, permit_lsn = entry.fields["client_id"], entry.fields["permit_lsn"]
    if client_id in state.orders:
        yield Finding("S1", f"expected {client_id} not to be an order of this journal, found it said to be not sent", lsn=entry.lsn)
    if permit_lsn <= state.unsent_permits:
        yield Finding(
            "S1", f"expected a permit after record {state.unsent_permits} of the other journal, found {permit_lsn}", lsn=entry.lsn
        )


RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "boot": (s28_boot,),
    "epoch": (s7_epoch,),
    "attest": (s5_attest,),
    "arm": (s3, s4),
    "tighten": (s4_tighten, s11_tighten),
    "drill": (s29_drill,),
    "level": (s5,),
    "unlatch": (s16_clear,),
    "day": (s16_day,),
    "intent": (s1_unsent, s7),
    "group": (s11_group,),
    "permit": (s2, s3_drill, s8, s11, s11_bounds, s11_pair, s20_pair, owed, s18, s27, s29),
    "deny": (s27,),
    "wire": (s1_unsent, s2_wire, s8_wire),
    "not_sent": (s9_local,),
    "unsent": (s1_said,),
    "sent": (s1_unsent, s9_sent),
    "answer": (s1_unsent, s9_sent),
    "report": (s1_unsent, s9_report, s10),
    "absent": (s9_absent,),
    "release": (s9_release,),
    "fill": (s1_unsent, s10),
    "cancel_sent": (s24,),
}
"""What is asked before a record of each kind."""

WIRE_RULES: Final[tuple[Rule, ...]] = (s3_wire, s3_drill_wire, s4_wire, s11_wire, s16_wire, s17_wire, s20_wire, owed)
"""What is asked at the wire and holds only if the write was not called off."""
