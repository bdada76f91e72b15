"""Taking a person's word for what a venue does not tell of the key in use: every reason against it at once, and the record if there is none.

Whoever attests types what the gate dictates, which names the key that the gate itself uses. It can never make good what the venue tells is bad, and
one that would no longer carry the grant that lives ends that grant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from interlock.gate import records as r
from interlock.gate.arm_desk import LEAVING, Look, refused
from interlock.gate.attested import ENDS, FACTS, LONGEST_NS, NS_PER_DAY, day, known, phrase, untold, words
from interlock.gate.ceremony import Situation
from interlock.gate.checks import only_loopback
from interlock.gate.frames import Attest, Dictated, Done, Frame
from interlock.gate.lattice import refuse_nonce, refuse_version
from interlock.gate.own_checks import key_problems
from interlock.gate.parts import Parts
from interlock.gate.refusal import Refusal as No
from interlock.gate.venue_reads import KeyScope

LATEST_WALL_NS: Final = 1 << 63
"""No time of a record is as late as this."""


class AttestDesk:
    """Answers `Attest`. `look` reads the keys afresh, `decided` journals what a person decided and answers when it is on disk."""

    def __init__(self, parts: Parts, look: Look, decided: Callable[[r.Record], Awaitable[Frame]]) -> None:
        self._parts = parts
        self._look = look
        self._decided = decided

    async def attest(self, request: Attest, actor: str) -> Frame:
        """Without a statement say what has to be typed; with the right one record it. Else say everything that stands against it."""
        # What changes while the keys are read, which takes its time, is nothing that the person could have seen.
        version = self._parts.keeper.state.lattice.version
        situation = msgspec.structs.replace(await self._look(), state_version=version)
        if self._parts.leaving:
            return refused((LEAVING,))
        key = situation.keys.get(request.venue)
        against = refusals(request, key, self._parts.setup.accounts.get(request.venue), situation)
        if against or key is None:
            return refused(against)
        wanted = phrase(key.fingerprint, request.venue, request)
        if not request.statement:
            return Dictated(fingerprint=key.fingerprint, phrase=wanted, untold=untold(key))
        if against := _misquoted(request, key, wanted):
            return refused(against)
        record = r.KeyAttested(
            boot_ns=situation.boot_ns,
            venue=request.venue,
            account=request.account,
            fingerprint=key.fingerprint,
            trade=request.trade,
            withdraw=request.withdraw,
            transfer=request.transfer,
            address_bound=request.address_bound,
            expires_wall_ns=request.expires_wall_ns,
            statement=request.statement,
            actor=actor,
            scripted=request.scripted,
            nonce=request.nonce,
            wall_ns=situation.wall_ns,
            until_wall_ns=situation.wall_ns + request.for_ns,
        )
        # Before the record that the grant could not have been minted with: at no moment it lives on that.
        disarmed = self._disarm(record, key)
        answer = await self._decided(record)
        if not isinstance(answer, Done):
            return answer
        told = {"fingerprint": key.fingerprint, "facts": list(words(record)), "until_wall_ns": record.until_wall_ns, "disarmed": disarmed}
        return Done(report={**answer.report, **told})

    def _disarm(self, record: r.KeyAttested, key: KeyScope) -> bool:
        """End the grant that lives if it could not be minted by this attestation; whether it was ended. The leave to reduce lives on."""
        state = self._parts.keeper.state
        if state.live is None or state.arming.ended:
            return False
        grant = state.live.grant
        found = known(record.venue, key, record, record.wall_ns)
        ends_wall_ns = record.wall_ns + grant.expires_boot_ns - record.boot_ns
        carried = found.leaning is not None and ends_wall_ns <= found.leaning.until_wall_ns
        if carried and not any(key_problems(record.venue, found, record.wall_ns)):
            return False
        self._parts.take(r.Disarmed(boot_ns=record.boot_ns, reason="attested anew, and by less", actor=record.actor))
        return True


def refusals(request: Attest, key: KeyScope | None, account: str | None, situation: Situation) -> tuple[No, ...]:
    """Everything but the words that stands against an attestation; `account` is the gate's own at that venue."""
    found = []
    if request.account != account:
        own = account or "none there"
        found.append(
            No("account", f"expected the gate's own account at {request.venue!r} ({own}), found {request.account!r}; look at the status")
        )
    elif key is None:
        found.append(No("key_unknown", f"expected {request.venue} to tell whose key it is, found no answer just now; try again"))
    else:
        found += _refuse_facts(request, key, situation.wall_ns)
    if not 0 < request.for_ns <= LONGEST_NS:
        found.append(
            No("attest_for", f"expected a time above 0 and at most 30 days, found {request.for_ns} ns; attest it anew when it has run out")
        )
    if request.scripted is not False and not only_loopback(situation.binding, situation.endpoints):
        found.append(
            No("scripted", "expected a person at a terminal, found a script; a script may attest only where every endpoint is loopback")
        )
    late, used = refuse_version(request.state_version, situation.state_version), refuse_nonce(request.nonce, situation.used_nonces)
    return (*found, *(one for one in (late, used) if one is not None))


def _refuse_facts(request: Attest, key: KeyScope, wall_ns: int) -> list[No]:
    found = []
    if not set(untold(key)) - set(untold(request)):
        nobody = ", ".join(untold(key)) or "nothing"
        found.append(
            No("attests_nothing", f"expected something that the venue does not tell of the key ({nobody}), found none of it; leave it")
        )
    ends = request.expires_wall_ns
    if ends and not (wall_ns < ends < LATEST_WALL_NS and ends % NS_PER_DAY == 0):
        found.append(
            No("attest_ends", f"expected the midnight (UTC) of a day to come, or 0 for never, found {ends} ns; a key that ended is none")
        )
    for name in FACTS:
        said, told = getattr(request, name), getattr(key, name)
        if said is None or told is None or said == told or (name == ENDS and said and (not told or said < told)):
            continue
        # What the venue stops telling one day must not have been attested against its word.
        found.append(
            No("told_otherwise", f"expected of {name} what the venue tells, {_shown(name, told)}, found {_shown(name, said)}; look again")
        )
    return found


def _shown(name: str, value: int) -> str:
    """A fact as it is told to a person; the end of a key may be any number that a frame carries."""
    if name != ENDS:
        return "yes" if value else "no"
    return day(value) if 0 <= value < LATEST_WALL_NS else f"{value} ns"


def _misquoted(request: Attest, key: KeyScope, wanted: str) -> tuple[No, ...]:
    found = []
    if request.fingerprint != key.fingerprint:
        found.append(No("fingerprint", f"expected the key in use, {key.fingerprint}, found {request.fingerprint!r}; begin again"))
    if request.statement != wanted:
        found.append(No("statement", f"expected {wanted!r}, found {request.statement!r}; type it as it stands there"))
    return tuple(found)
