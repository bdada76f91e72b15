"""What persons attest of a key: what is kept of it, when it holds, and that it never stands before what the venue tells."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc

from interlock.gate import attested, snapshot
from interlock.gate import records as r
from interlock.gate.arming import CeremonyFailed, Challenged
from interlock.gate.attested import FACTS, LONGEST_NS, NS_PER_DAY, Attestations, Known, Leaning, known
from interlock.gate.ceremony import Wish, ask
from interlock.gate.own_checks import key_problems
from interlock.gate.state import GateState
from interlock.gate.venue_reads import KeyScope, fingerprint_of

WALL = aw.WALL_NS
KEY = fingerprint_of("the access key")
GOOD: dict[str, Any] = {"trade": True, "withdraw": False, "transfer": False, "address_bound": True, "expires_wall_ns": 0}
BAD: dict[str, Any] = {"trade": False, "withdraw": True, "transfer": True, "address_bound": False, "expires_wall_ns": WALL + NS_PER_DAY - 1}
NOTHING: dict[str, Any] = dict.fromkeys(FACTS)


def scope(**facts: Any) -> KeyScope:
    return KeyScope(**{"account": "a", "fingerprint": KEY, "position_mode": "", "margin_mode": "cash", **GOOD, **facts})


def attestation(**changes: Any) -> r.KeyAttested:
    about = {"venue": "upbit", "account": "main", "fingerprint": KEY, "statement": "s", "actor": "ann", "scripted": False, "nonce": "n"}
    times = {"boot_ns": 1, "wall_ns": WALL, "until_wall_ns": WALL + LONGEST_NS}
    return r.KeyAttested(**{**about, **times, **GOOD, **changes})


def verdict(key: KeyScope, one: r.KeyAttested | None, wall_ns: int = WALL) -> tuple[list[str], list[str]]:
    return key_problems("upbit", known("upbit", key, one, wall_ns), wall_ns)


# The fingerprint


def test_a_fingerprint_is_of_the_whole_key_and_is_not_part_of_it() -> None:
    # SHA-256 of "abc", from FIPS 180-2.
    assert fingerprint_of("abc") == "ba7816bf8f01cfea"
    assert fingerprint_of("abd") != fingerprint_of("abc")


# The fold


def test_the_newest_of_an_account_counts_and_outlives_the_process() -> None:
    state = GateState(lc.SHEET)
    first, second = attestation(nonce="n1"), attestation(nonce="n2", wall_ns=WALL - 5, withdraw=None)
    other, elsewhere = attestation(account="second", nonce="n3"), attestation(venue="bybit", nonce="n4")
    for record in (aw.boot("life-a"), first, other, elsewhere, second):
        before = state.lattice.version
        state.apply(record)
        assert state.lattice.version > before, "whoever raises something next must have seen it"
    kept = (elsewhere, second, other)
    assert state.attestations.newest == kept
    assert state.attestations.of("upbit", "main") == second
    assert state.attestations.of("upbit", "third") is None
    assert {"n1", "n2", "n3", "n4"} <= state.lattice.nonces
    state.apply(aw.boot("life-b"))
    assert state.attestations.newest == kept
    again = snapshot.decode(snapshot.encode(state), lc.SHEET)
    assert again.attestations == state.attestations
    assert again.digest() == state.digest()
    state.apply(attestation(nonce="n5"))
    assert again.digest() != state.digest()


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_is_in_the_digest(name: str) -> None:
    said, unsaid = Attestations((attestation(),)), Attestations((attestation(**{name: None}),))
    assert said.digest_parts() == Attestations((attestation(),)).digest_parts()
    assert said.digest_parts() != unsaid.digest_parts()


# When it holds


def test_thirty_days_are_the_most() -> None:
    assert LONGEST_NS == 30 * 24 * 3_600 * 1_000_000_000


@pytest.mark.parametrize(
    ("changes", "fingerprint", "at_ns", "why"),
    [
        ({}, KEY, 0, ""),
        ({}, KEY, LONGEST_NS, ""),
        ({}, KEY, LONGEST_NS + 1, "it has run out"),
        ({}, KEY, -1, "it begins later than the clock says it is now"),
        ({"until_wall_ns": WALL + LONGEST_NS + 1}, KEY, 0, "it was made for more than 30 days"),
        ({"until_wall_ns": WALL - 1}, KEY, 0, "it has run out"),
        ({"until_wall_ns": WALL}, KEY, 0, ""),
        ({}, fingerprint_of("another"), 0, f"it is of the key {KEY}, and the one in use is {fingerprint_of('another')}"),
        ({}, "", 0, f"it is of the key {KEY}, and the one in use is not known"),
        ({"fingerprint": ""}, "", 0, "it is of the key , and the one in use is not known"),
    ],
)
def test_it_holds_for_its_key_in_its_time(changes: dict[str, Any], fingerprint: str, at_ns: int, why: str) -> None:
    one = attestation(**changes)
    assert attested.lapse(one, fingerprint, WALL + at_ns) == why
    bad, unknown = verdict(scope(**NOTHING, fingerprint=fingerprint), one, WALL + at_ns)
    assert (bad, len(unknown)) == ([], len(FACTS) if why else 0)
    assert all(why in text for text in unknown)


# Told, attested, unknown


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("told", ["good", "bad", "nothing"])
@pytest.mark.parametrize("said", ["good", "bad", "nothing", "lapsed", "never"])
def test_what_the_venue_tells_counts_and_else_what_is_attested(name: str, told: str, said: str) -> None:
    values: dict[str, dict[str, Any]] = {"good": GOOD, "bad": BAD, "nothing": NOTHING, "lapsed": GOOD, "never": GOOD}
    key = scope(**{name: values[told][name]})
    one = attestation(**{name: values[said][name]}, **({"fingerprint": fingerprint_of("x")} if said == "lapsed" else {}))
    bad, unknown = verdict(key, None if said == "never" else one)
    counts = told if told != "nothing" else said if said in ("good", "bad") else "unknown"
    assert (len(bad), len(unknown)) == {"good": (0, 0), "bad": (1, 0), "unknown": (0, 1)}[counts]


def test_no_attestation_makes_good_what_the_venue_tells() -> None:
    """Over all facts at once: with everything attested as good, exactly what is told as bad is refused."""
    for told in itertools.product((GOOD, BAD, NOTHING), repeat=len(FACTS)):
        key = scope(**{name: values[name] for name, values in zip(FACTS, told, strict=True)})
        bad, unknown = verdict(key, attestation())
        assert len(bad) == sum(values is BAD for values in told)
        assert unknown == []
        assert len(verdict(key, None)[1]) == sum(values is NOTHING for values in told)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("trade", "upbit: not known whether the key may trade; look there, and `interlock attest --venue upbit --trade yes`"),
        ("withdraw", "upbit: not known whether the key may withdraw; look there, and `interlock attest --venue upbit --withdraw no`"),
        ("transfer", "upbit: not known whether the key may transfer; look there, and `interlock attest --venue upbit --transfer no`"),
        (
            "address_bound",
            "upbit: not known whether the key is bound to an address; look there, and `interlock attest --venue upbit --address-bound yes`",
        ),
        ("expires_wall_ns", "upbit: not known when the key ends; look there, and `interlock attest --venue upbit --expires YYYY-MM-DD`"),
    ],
)
def test_what_nobody_tells_is_told_with_the_command(name: str, said: str) -> None:
    assert verdict(scope(**{name: None}), None) == ([], [said])


def test_a_key_that_is_attested_to_end_within_a_day_is_refused_like_one_that_is_told_to() -> None:
    assert verdict(scope(expires_wall_ns=None), attestation(expires_wall_ns=WALL + NS_PER_DAY)) == ([], [])
    assert verdict(scope(expires_wall_ns=None), attestation(expires_wall_ns=BAD["expires_wall_ns"]))[0] == [
        "upbit: the key expires within a day"
    ]


# What is leaned on


def test_only_what_is_not_told_is_leaned_on() -> None:
    until = WALL + LONGEST_NS
    state = Attestations((attestation(venue="bybit"), attestation(transfer=None)))
    accounts = {"upbit": "main", "bybit": "main", "binance_usdm": "main"}
    keys = {"bybit": scope(), "upbit": scope(**NOTHING), "binance_usdm": scope(**NOTHING)}
    leaned = Leaning("upbit", ("trade", "withdraw", "address_bound", "expires_wall_ns"), until)
    assert attested.leanings(state, accounts, keys, WALL) == (leaned,)
    assert attested.leanings(state, accounts, {"bybit": scope()}, WALL) == ()
    assert known("upbit", scope(withdraw=None), attestation(), WALL) == Known(scope(), Leaning("upbit", ("withdraw",), until))
    assert known("upbit", scope(withdraw=None), None, WALL) == Known(scope(withdraw=None))


@pytest.mark.parametrize("name", FACTS)
def test_no_grant_outlives_what_it_leans_on(name: str) -> None:
    wish = Wish(lifetime_ns=600 * aw.NS_PER_S, seen_version=aw.situation().state_version, scripted=True)

    def asked(left_ns: int) -> Challenged | CeremonyFailed:
        leaning = Leaning("upbit", (name,), WALL + left_ns)
        return ask(wish, aw.ENVIRON, msgspec.structs.replace(aw.situation(), leanings=(leaning,)), "a" * 32)

    assert isinstance(asked(600 * aw.NS_PER_S), Challenged)
    refused = asked(600 * aw.NS_PER_S - 1)
    assert isinstance(refused, CeremonyFailed)
    assert [one.rule for one in refused.refusals] == ["attestation_ends"]
    assert f"the key at upbit ({name})" in refused.refusals[0].message


# Words


def test_the_words_say_what_is_attested_and_nothing_else() -> None:
    ends = 1_801_353_600 * 10**9  # 2027-01-31T00:00:00Z
    assert attested.phrase(KEY, "upbit", attestation(expires_wall_ns=ends)) == (
        f"I HAVE CHECKED KEY {KEY} AT UPBIT: trades yes, withdraws no, transfers no, bound to an address yes, ends 2027-01-31"
    )
    assert attested.words(attestation(**{**NOTHING, "withdraw": True})) == ("withdraws yes",)
    assert attested.words(attestation(**{**NOTHING, "expires_wall_ns": 0})) == ("ends never",)
    phrases = {attested.phrase(KEY, "upbit", attestation(**dict(zip(FACTS, some, strict=True)))) for some in _every()}
    assert len(phrases) == len(list(_every())), "two that differ are typed differently"


def _every() -> Any:
    return itertools.product(*((None, True, False),) * 4, (None, 0, 1_801_353_600 * 10**9))
