"""Arming: the one way from a person at a terminal to a grant.

Two steps. `ask` looks at everything that could forbid arming and, if nothing does, puts a phrase to the person; `answer` compares what was typed,
looks at everything once more and makes the grant. Each is a pure function of what the gate knows at that moment; chance comes in as a nonce.

A kill drill goes the same way. Its grant holds for the drilled symbol alone, at most a minute, for one permit, and leaves no mandate to reduce.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from interlock.gate.arming import LONGEST_DRILL_NS, CeremonyFailed, Challenge, Challenged, LiveGrant, Minted
from interlock.gate.attested import Leaning
from interlock.gate.checks import Check, Evidence, OwnCheck, only_loopback, refuse_checks
from interlock.gate.conditions import ACKNOWLEDGEMENT, LARGEST_CAP_USD, SMALLEST_CAP_USD, Conditions, read_conditions, refuse_time
from interlock.gate.lattice import refuse_nonce, refuse_version
from interlock.gate.records import Armed, Binding, Endpoint, Grant, Purpose
from interlock.gate.refusal import Refusal
from interlock.gate.venue_reads import KeyScope

NS_PER_S = 1_000_000_000
NS_PER_HOUR = 3600 * NS_PER_S
CHALLENGE_LIVES_NS = 120 * NS_PER_S
LONGEST_LIFETIME_NS = 24 * NS_PER_HOUR
MANDATE_AFTER_NS = 24 * NS_PER_HOUR
"""How long the reduce mandate outlives a grant unless less is asked for."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asks for, having seen the state `seen_version`. A drill names the "venue/symbol" of its one order.

    `mandate_after_ns` is how long the reduce mandate outlives the grant; a drill has none, whatever is asked.
    """

    lifetime_ns: int
    seen_version: int
    scripted: bool
    mandate_after_ns: int = MANDATE_AFTER_NS
    purpose: Purpose = Purpose.TRADE
    drill_symbol: str = ""


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate knows now. `endpoints` are those of every venue that an order could be sent to by this process.

    `minimums` are by "venue/symbol": the smallest order that the venue takes, in USD, converted against us. `used_nonces` are all ever used.
    """

    binding: Binding
    endpoints: tuple[Endpoint, ...]
    checks: tuple[Check, ...]
    evidence: Evidence | None
    minimums: Mapping[str, Decimal]
    read_only: bool
    read_only_said: Refusal | None = None
    """What exactly READ_ONLY_ENFORCED was found to be, where orders are forbidden by it."""
    killed: bool
    lease_held: bool
    """Whether this process has the account to itself."""
    state_version: int
    used_nonces: frozenset[str]
    boot_ns: int
    wall_ns: int
    keys: Mapping[str, KeyScope] = {}
    """By venue: what each that answered tells of the key just now."""
    leanings: tuple[Leaning, ...] = ()
    """What of the keys is known by attestations only."""


class Reply(msgspec.Struct, frozen=True):
    """What the person typed: the acknowledgement and the gate's phrase."""

    acknowledgement: str
    phrase: str


def ask(wish: Wish, environ: Mapping[str, str], situation: Situation, nonce: str) -> Challenged | CeremonyFailed:
    """Put a challenge to the person, or say everything that stands against it. `environ` is that of the person's terminal."""
    conditions = read_conditions(environ, situation.wall_ns)
    if not isinstance(conditions, Conditions):
        return CeremonyFailed((conditions, *_refuse(wish, None, situation)))
    malformed = refuse_nonce(nonce, situation.used_nonces)
    refusals = (*((malformed,) if malformed else ()), *_refuse(wish, conditions.cap_usd, situation))
    if refusals:
        return CeremonyFailed(refusals)
    what = f"drill on {wish.drill_symbol}" if wish.purpose is Purpose.DRILL else "arm"
    return Challenged(
        Challenge(
            nonce=nonce,
            phrase=f"{what} {situation.binding.account} for {conditions.cap_usd} USD {nonce[:8]}",
            purpose=wish.purpose,
            binding=_bound(wish, situation.binding),
            cap_usd=conditions.cap_usd,
            armed_at_wall_s=conditions.armed_at_wall_s,
            lifetime_ns=wish.lifetime_ns,
            mandate_after_ns=wish.mandate_after_ns,
            scripted=wish.scripted,
            state_version=wish.seen_version,
            issued_boot_ns=situation.boot_ns,
            expires_boot_ns=situation.boot_ns + CHALLENGE_LIVES_NS,
            drill_symbol=wish.drill_symbol,
        )
    )


def answer(challenge: Challenge, reply: Reply, situation: Situation) -> Minted | CeremonyFailed:
    """Judge an answer. Right and still true makes the grant; anything else spends the challenge and says everything that was wrong."""
    wish = Wish(
        lifetime_ns=challenge.lifetime_ns,
        seen_version=challenge.state_version,
        scripted=challenge.scripted,
        mandate_after_ns=challenge.mandate_after_ns,
        purpose=challenge.purpose,
        drill_symbol=challenge.drill_symbol,
    )
    refusals = (*_refuse_reply(challenge, reply, wish, situation), *_refuse(wish, challenge.cap_usd, situation))
    if refusals:
        return CeremonyFailed(refusals)
    now = situation.boot_ns
    expires = now + challenge.lifetime_ns
    grant = Grant(
        grant_id=challenge.nonce,
        binding=challenge.binding,
        cap_usd=challenge.cap_usd,
        scripted=challenge.scripted,
        minted_boot_ns=now,
        expires_boot_ns=expires,
        mandate_until_boot_ns=expires + (0 if challenge.purpose is Purpose.DRILL else challenge.mandate_after_ns),
        purpose=challenge.purpose,
    )
    return Minted(LiveGrant(grant), Armed(boot_ns=now, grant=grant, wall_ns=situation.wall_ns))


def _bound(wish: Wish, binding: Binding) -> Binding:
    """What the grant will be good for: all that is configured, or for a drill its one symbol."""
    if wish.purpose is not Purpose.DRILL:
        return binding
    return msgspec.structs.replace(binding, symbols=tuple(t for t in binding.symbols if f"{t[0]}/{t[1]}" == wish.drill_symbol))


def _refuse_reply(challenge: Challenge, reply: Reply, wish: Wish, situation: Situation) -> list[Refusal]:
    refusals = []
    if not challenge.alive(situation.boot_ns):
        refusals.append(Refusal("challenge_expired", "expected an answer within 120 s, found it late; ask for a new challenge"))
    if reply.acknowledgement != ACKNOWLEDGEMENT:
        refusals.append(Refusal("answer_acknowledgement", f"expected {ACKNOWLEDGEMENT}, found {reply.acknowledgement!r}; begin again"))
    if reply.phrase != challenge.phrase:
        refusals.append(Refusal("answer_phrase", f"expected the phrase {challenge.phrase!r}, found {reply.phrase!r}; begin again"))
    if challenge.binding != _bound(wish, situation.binding):
        refusals.append(Refusal("binding_changed", "expected what the challenge was made for, found it changed meanwhile; begin again"))
    late = refuse_time(str(challenge.armed_at_wall_s), situation.wall_ns)
    used = refuse_nonce(challenge.nonce, situation.used_nonces)
    return [*refusals, *(refusal for refusal in (late, used) if refusal is not None)]


def _refuse(wish: Wish, cap_usd: Decimal | None, situation: Situation) -> tuple[Refusal, ...]:
    """Everything but the environment and the answer that stands against arming."""
    refusals = []
    if situation.killed is not False:
        refusals.append(Refusal("killed", "expected a gate that was not killed, found KILL in this process life; start the gate anew"))
    if situation.read_only is not False:
        generic = Refusal(
            "read_only", "expected READ_ONLY_ENFORCED=false in the gate's own environment, found otherwise; orders are forbidden"
        )
        refusals.append(situation.read_only_said or generic)
    if situation.lease_held is not True:
        told = "expected the account's lock to be held by this process, found it lost; end this gate, see who else is at the account, start anew"
        refusals.append(Refusal("lease", told))
    stale = refuse_version(wish.seen_version, situation.state_version)
    if stale is not None:
        refusals.append(stale)
    refusals += _refuse_endpoints(wish, situation)
    longest, told = (LONGEST_DRILL_NS, "60 s for a drill") if wish.purpose is Purpose.DRILL else (LONGEST_LIFETIME_NS, "24 h")
    if not 0 < wish.lifetime_ns <= longest:
        refusals.append(Refusal("lifetime", f"expected a lifetime above 0 and at most {told}, found {wish.lifetime_ns} ns; ask for less"))
    if not 0 <= wish.mandate_after_ns <= MANDATE_AFTER_NS:
        refusals.append(Refusal("mandate", f"expected a reduce mandate of 0 to 24 h more, found {wish.mandate_after_ns} ns; ask for less"))
    refusals += _refuse_leanings(wish, situation)
    if cap_usd is not None:
        refusals += _refuse_cap(cap_usd, wish, situation)
    refusals += _refuse_drill(wish, situation)
    checks = refuse_checks(situation.checks, situation.evidence, situation.binding, situation.endpoints, situation.boot_ns)
    of_a_drill = wish.purpose is Purpose.DRILL
    # A drill cannot wait for the drill that it is.
    refusals += [r for r in checks if not (of_a_drill and r.rule.startswith(f"check_{OwnCheck.DRILL.value}"))]
    return tuple(refusals)


def _refuse_endpoints(wish: Wish, situation: Situation) -> list[Refusal]:
    refusals = []
    names = sorted({endpoint.value for endpoint in situation.endpoints})
    if names != [situation.binding.endpoint.value]:
        found = ", ".join(names) or "none"
        refusals.append(
            Refusal("endpoints_mixed", f"expected every order endpoint to be {situation.binding.endpoint.value}, found {found}; choose one")
        )
    if wish.scripted is not False and not only_loopback(situation.binding, situation.endpoints):
        refusals.append(
            Refusal("scripted", "expected a person at a terminal, found a script; a script may arm only where every endpoint is loopback")
        )
    return refusals


def _refuse_leanings(wish: Wish, situation: Situation) -> list[Refusal]:
    """A grant must not outlive what a person attested of its keys; the leave to reduce may."""
    return [
        Refusal(
            "attestation_ends",
            f"expected what is attested of the key at {one.venue} ({', '.join(one.facts)}) to hold as long as the grant, {wish.lifetime_ns} ns, "
            f"found {one.until_wall_ns - situation.wall_ns} ns left of it; ask for less, or attest it anew",
        )
        for one in situation.leanings
        if not situation.wall_ns + wish.lifetime_ns <= one.until_wall_ns
    ]


def _refuse_cap(cap_usd: Decimal, wish: Wish, situation: Situation) -> list[Refusal]:
    refusals = []
    if not (cap_usd.is_finite() and SMALLEST_CAP_USD <= cap_usd <= LARGEST_CAP_USD):
        refusals.append(Refusal("cap", f"expected a cap from {SMALLEST_CAP_USD} to {LARGEST_CAP_USD} USD, found {cap_usd}; correct it"))
        return refusals
    if not situation.binding.symbols:
        refusals.append(Refusal("no_symbols", "expected at least one symbol to trade, found none; configure one"))
    for venue, symbol, _ in _bound(wish, situation.binding).symbols:
        name = f"{venue}/{symbol}"
        least = situation.minimums.get(name)
        if least is None or not least.is_finite() or not least > 0:
            refusals.append(
                Refusal("minimum_unknown", f"expected the venue's smallest order for {name}, found {least}; read the venue's rules again")
            )
        elif not least <= cap_usd:
            refusals.append(
                Refusal(
                    "minimum_above_cap",
                    f"expected a smallest order of at most {cap_usd} USD, found {least} for {name}; leave it out or raise the cap",
                )
            )
    return refusals


def _refuse_drill(wish: Wish, situation: Situation) -> list[Refusal]:
    known = {f"{venue}/{symbol}" for venue, symbol, _ in situation.binding.symbols}
    if wish.purpose is Purpose.DRILL and wish.drill_symbol not in known:
        return [
            Refusal(
                "drill_symbol", f"expected one of {', '.join(sorted(known))}, found {wish.drill_symbol!r}; name where the drill may place"
            )
        ]
    if wish.purpose is not Purpose.DRILL and wish.drill_symbol:
        return [Refusal("drill_symbol", f"expected no symbol of a drill, found {wish.drill_symbol!r}; ask for a drill or leave it out")]
    return []
