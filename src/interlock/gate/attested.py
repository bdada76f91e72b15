"""What persons attest of keys where the venues do not tell it, as a fold of the journal, and what of a key is known now.

A key outlives the process, and so does what was said of it; it ages on the wall clock. What the venue tells always counts, whatever was attested;
an attestation counts only for the key that it names, and only in its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from interlock.gate.frames import Attest
from interlock.gate.records import KeyAttested, Record
from interlock.gate.venue_reads import KeyScope

NS_PER_S: Final = 1_000_000_000
NS_PER_DAY: Final = 86_400 * NS_PER_S
LONGEST_NS: Final = 30 * NS_PER_DAY
"""How long one attestation holds at most."""
_RIGHTS: Final = {"trade": "trades", "withdraw": "withdraws", "transfer": "transfers", "address_bound": "bound to an address"}
ENDS: Final = "expires_wall_ns"
FACTS: Final = (*_RIGHTS, ENDS)
"""What has to be known of a key, by the names in `KeyScope` and `KeyAttested`."""


Said = KeyScope | KeyAttested | Attest
"""Whatever says something of a key, None where it does not: the venue, a person's record, their request."""


class Attestations(msgspec.Struct, frozen=True):
    """The fold: what was attested last of each account, in order of venue and account. A newer one replaces the older one whole."""

    newest: tuple[KeyAttested, ...] = ()

    def of(self, venue: str, account: str) -> KeyAttested | None:
        """What was attested last of an account."""
        return next((one for one in self.newest if (one.venue, one.account) == (venue, account)), None)

    def digest_parts(self) -> tuple[object, ...]:
        """The whole state as plain data, in one order."""
        return ("attestations", *(msgspec.to_builtins(one) for one in self.newest))


def apply(state: Attestations, record: Record) -> Attestations:
    """Fold one record; kinds other than `KeyAttested` leave the state as it is. What comes later in the journal is newer, whatever its time says."""
    if not isinstance(record, KeyAttested):
        return state
    others = [one for one in state.newest if (one.venue, one.account) != (record.venue, record.account)]
    return Attestations(tuple(sorted((*others, record), key=lambda one: (one.venue, one.account))))


def lapse(one: KeyAttested, fingerprint: str, wall_ns: int) -> str:
    """Why an attestation does not hold for the key with this fingerprint now; empty if it does."""
    if not fingerprint or one.fingerprint != fingerprint:
        return f"it is of the key {one.fingerprint}, and the one in use is {fingerprint or 'not known'}"
    if wall_ns < one.wall_ns:
        return "it begins later than the clock says it is now"
    if not one.until_wall_ns - one.wall_ns <= LONGEST_NS:
        return "it was made for more than 30 days"
    return "" if wall_ns <= one.until_wall_ns else "it has run out"


class Leaning(NamedTuple):
    """Facts of a venue's key that are known by an attestation only, and until when that holds."""

    venue: str
    facts: tuple[str, ...]
    until_wall_ns: int


class Known(NamedTuple):
    """What is known of a key: None in `key` is what neither the venue nor a person tells. `lapsed` is why what was attested is not used."""

    key: KeyScope
    leaning: Leaning | None = None
    lapsed: str = ""


def known(venue: str, key: KeyScope, one: KeyAttested | None, wall_ns: int) -> Known:
    """Put what was attested where the venue tells nothing, and nowhere else."""
    if one is None:
        return Known(key)
    if lapsed := lapse(one, key.fingerprint, wall_ns):
        return Known(key, None, lapsed)
    taken = {name: getattr(one, name) for name in FACTS if getattr(key, name) is None and getattr(one, name) is not None}
    leaning = Leaning(venue, tuple(taken), one.until_wall_ns) if taken else None
    return Known(msgspec.structs.replace(key, **taken), leaning)


def leanings(state: Attestations, accounts: Mapping[str, str], keys: Mapping[str, KeyScope], wall_ns: int) -> tuple[Leaning, ...]:
    """What is known of these keys by attestations only; `accounts` and `keys` are by venue."""
    found = [known(venue, keys[venue], state.of(venue, account), wall_ns) for venue, account in sorted(accounts.items()) if venue in keys]
    return tuple(one.leaning for one in found if one.leaning is not None)


def untold(key: Said) -> tuple[str, ...]:
    """The facts that are not said of a key."""
    return tuple(name for name in FACTS if getattr(key, name) is None)


def words(said: Said) -> tuple[str, ...]:
    """What is said of a key, one fact after the other, the end in UTC."""
    rights: Iterable[tuple[str, bool | None]] = ((name, getattr(said, fact)) for fact, name in _RIGHTS.items())
    told = [f"{name} {'yes' if value else 'no'}" for name, value in rights if value is not None]
    return (*told, *(() if said.expires_wall_ns is None else (f"ends {day(said.expires_wall_ns)}",)))


def day(expires_wall_ns: int) -> str:
    """The day of a key's end in UTC; 0 is never."""
    return datetime.fromtimestamp(expires_wall_ns // NS_PER_S, UTC).date().isoformat() if expires_wall_ns else "never"


def phrase(fingerprint: str, venue: str, said: Said) -> str:
    """What whoever attests it has to type."""
    return f"I HAVE CHECKED KEY {fingerprint} AT {venue.upper()}: {', '.join(words(said))}"
