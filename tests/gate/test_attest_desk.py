"""A person says what a venue does not tell of the key: every way of being almost attested is refused, and what becomes of the grant that lives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from tests.gate.flip_world import FlipWorld
from tests.gate.watch_venue import KEY

from interlock.domain.clock import NS_PER_S
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate import report
from interlock.gate.attested import FACTS, LONGEST_NS, NS_PER_DAY
from interlock.gate.frames import Role
from interlock.gate.venue_reads import KeyScope, ReadFailed

ENDS = 1_801_353_600 * NS_PER_S
"""2027-01-31T00:00:00Z; the world's clock begins on the 15th."""
UNTOLD: dict[str, Any] = dict.fromkeys(FACTS)
WORDS = f"I HAVE CHECKED KEY {KEY} AT BYBIT: trades yes, withdraws no, transfers no, bound to an address yes, ends 2027-01-31"
NONCE = "e" * 32


def using(use: Callable[[FlipWorld], Awaitable[None]], **fields: Any) -> None:
    async def run() -> None:
        world = FlipWorld(**fields)
        world.venue.scope = msgspec.structs.replace(world.venue.scope, **UNTOLD)
        try:
            await world.begin()
            await use(world)
        finally:
            world.close()

    asyncio.run(run())


def request(world: FlipWorld, **changes: Any) -> f.Attest:
    about: dict[str, Any] = {
        "venue": "bybit",
        "account": "main",
        "fingerprint": KEY,
        "trade": True,
        "withdraw": False,
        "transfer": False,
        "address_bound": True,
        "expires_wall_ns": ENDS,
        "for_ns": LONGEST_NS,
        "statement": WORDS,
        "scripted": True,
        "state_version": world.keeper.state.lattice.version,
        "nonce": NONCE,
    }
    return f.Attest(**{**about, **changes})


async def say(world: FlipWorld, **changes: Any) -> f.Frame:
    return await world.say(Role.RAISE, request(world, **changes))


def rules(answer: f.Frame) -> list[str]:
    assert isinstance(answer, f.Refusal), answer
    return [one["rule"] for one in json.loads(answer.detail)]


async def attested(world: FlipWorld, nonce: str = NONCE, **changes: Any) -> dict[str, Any]:
    """Attest in the words that the gate dictates for it."""
    dictated = await say(world, nonce=nonce, statement="", fingerprint="", **changes)
    assert isinstance(dictated, f.Dictated), dictated
    answer = await say(world, nonce=nonce, statement=dictated.phrase, **changes)
    assert isinstance(answer, f.Done), answer
    return answer.report


async def arm(world: FlipWorld) -> f.Frame:
    challenge = await world.ask_to_arm()
    return await world.answer(challenge) if isinstance(challenge, f.Challenge) else challenge


def written(world: FlipWorld) -> list[r.KeyAttested]:
    return [one for one in world.keeper.given if isinstance(one, r.KeyAttested)]


def test_what_nobody_tells_stops_arming_and_what_is_attested_lets_it_through() -> None:
    async def use(world: FlipWorld) -> None:
        refused = await arm(world)
        assert rules(refused) == ["check_key_scope"]
        assert isinstance(refused, f.Refusal)
        assert "found unknown: bybit: not known whether the key may trade" in refused.detail
        assert refused.detail.count("interlock attest --venue bybit") == len(FACTS)

        before = world.keeper.state.records
        dictated = await say(world, statement="", fingerprint="")
        assert dictated == f.Dictated(fingerprint=KEY, phrase=WORDS, untold=FACTS)
        assert world.keeper.state.records == before, "nothing is attested by asking"
        now, version = world.clock(), world.keeper.state.lattice.version
        answer = await say(world)
        assert isinstance(answer, f.Done)
        (record,) = written(world)
        assert record == r.KeyAttested(
            boot_ns=now.boot_ns,
            venue="bybit",
            account="main",
            fingerprint=KEY,
            trade=True,
            withdraw=False,
            transfer=False,
            address_bound=True,
            expires_wall_ns=ENDS,
            statement=WORDS,
            actor="user 1000",
            scripted=True,
            nonce=NONCE,
            wall_ns=now.wall_ns,
            until_wall_ns=now.wall_ns + LONGEST_NS,
        )
        facts = ["trades yes", "withdraws no", "transfers no", "bound to an address yes", "ends 2027-01-31"]
        told = {"fingerprint": KEY, "facts": facts, "until_wall_ns": record.until_wall_ns, "disarmed": False}
        assert answer.report == {"state_version": version + 1, **told}
        assert isinstance(await arm(world), f.Done)
        assert (await world.propose()).result == "PERMIT"

    using(use)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("account", {"venue": "upbit"}),
        ("account", {"account": "second"}),
        ("fingerprint", {"fingerprint": "0" * 16}),
        ("fingerprint", {"fingerprint": ""}),
        ("statement", {"statement": WORDS.lower()}),
        ("statement", {"statement": f"{WORDS} "}),
        ("statement", {"statement": WORDS, "expires_wall_ns": ENDS + NS_PER_DAY}),
        ("statement", {"statement": WORDS, "withdraw": True}),
        ("statement", {"statement": WORDS, "transfer": None}),
        ("attests_nothing", dict.fromkeys(FACTS)),
        ("attest_ends", {"expires_wall_ns": ENDS + 1}),
        ("attest_ends", {"expires_wall_ns": 1_799_971_200 * NS_PER_S}),
        ("attest_ends", {"expires_wall_ns": -NS_PER_DAY}),
        ("attest_ends", {"expires_wall_ns": (1 << 63) // NS_PER_DAY * NS_PER_DAY + NS_PER_DAY}),
        ("attest_for", {"for_ns": 0}),
        ("attest_for", {"for_ns": -1}),
        ("attest_for", {"for_ns": LONGEST_NS + 1}),
        ("stale_version", {"state_version": 0}),
        ("nonce", {"nonce": "e"}),
    ],
)
def test_what_is_almost_an_attestation_is_refused_by_name(rule: str, changes: dict[str, Any]) -> None:
    async def use(world: FlipWorld) -> None:
        before = world.keeper.state.records
        answer = await say(world, **changes)
        assert [one.partition("_")[0] if rule == "nonce" else one for one in rules(answer)] == [rule]
        assert world.keeper.state.records == before
        assert rules(await arm(world)) == ["check_key_scope"]
        assert isinstance(await say(world), f.Done)

    using(use)


def test_everything_against_it_is_told_at_once_and_before_anything_is_typed() -> None:
    async def use(world: FlipWorld) -> None:
        asked = await say(world, statement="", account="second", for_ns=0, state_version=0)
        assert rules(asked) == ["account", "attest_for", "stale_version"]
        assert rules(await say(world, statement="x", fingerprint="y")) == ["fingerprint", "statement"]

    using(use)


@pytest.mark.parametrize("endpoints", [(r.Endpoint.TESTNET,), (r.Endpoint.LOOPBACK, r.Endpoint.REAL), ()])
def test_a_script_attests_on_loopback_only(endpoints: tuple[r.Endpoint, ...]) -> None:
    async def use(world: FlipWorld) -> None:
        assert rules(await say(world)) == ["scripted"]
        assert isinstance(await say(world, scripted=False), f.Done)
        assert [one.scripted for one in written(world)] == [False]

    using(use, endpoints=endpoints)


def test_a_nonce_and_a_version_are_good_for_one() -> None:
    async def use(world: FlipWorld) -> None:
        version = world.keeper.state.lattice.version
        assert isinstance(await say(world), f.Done)
        again = rules(await say(world, state_version=version))
        assert again[0] == "stale_version"
        assert len(again) == 2
        assert len(rules(await say(world))) == 1, "the nonce was used"
        assert rules(await say(world, state_version=version, nonce="d" * 32)) == ["stale_version"]
        assert isinstance(await say(world, nonce="d" * 32), f.Done)

    using(use)


def test_what_trips_while_the_keys_are_read_spends_no_words() -> None:
    async def use(world: FlipWorld) -> None:
        read = world.venue.key

        async def tripping() -> KeyScope:
            now = world.clock()
            trip = r.InterlockTripped(
                boot_ns=now.boot_ns,
                name="feed_stale",
                scope=r.Scope.SYMBOL,
                subject="bybit/BTCUSDT",
                level=r.Level.REDUCE_ONLY,
                reason="old",
                evidence={},
            )
            world.keeper.take(trip, now=now)
            return await read()

        seen = world.keeper.state.lattice.version
        world.venue.key = tripping  # type: ignore[method-assign]
        assert isinstance(await say(world, state_version=seen), f.Done)
        assert world.keeper.state.lattice.version > seen + 1
        assert rules(await say(world, state_version=seen, nonce="d" * 32)) == ["stale_version"]

    using(use)


def test_a_venue_that_does_not_answer_is_asked_again_later() -> None:
    async def use(world: FlipWorld) -> None:
        world.venue.failing["key"] = ReadFailed("no answer")
        assert rules(await say(world)) == ["key_unknown"]
        del world.venue.failing["key"]
        assert isinstance(await say(world), f.Done)

    using(use)


def test_another_key_than_the_one_that_was_read_is_refused() -> None:
    async def use(world: FlipWorld) -> None:
        dictated = await say(world, statement="", fingerprint="")
        assert isinstance(dictated, f.Dictated)
        world.venue.scope = msgspec.structs.replace(world.venue.scope, fingerprint="fedcba9876543210")
        assert rules(await say(world)) == ["fingerprint", "statement"]
        world.venue.scope = msgspec.structs.replace(world.venue.scope, fingerprint=KEY)
        assert isinstance(await say(world), f.Done)
        world.venue.scope = msgspec.structs.replace(world.venue.scope, fingerprint="fedcba9876543210")
        refused = await arm(world)
        assert rules(refused) == ["check_key_scope"]
        assert isinstance(refused, f.Refusal)
        assert f"what was attested does not hold: it is of the key {KEY}" in refused.detail

    using(use)


@pytest.mark.parametrize(
    ("told", "said", "refused"),
    [
        ({"withdraw": True}, {}, ["told_otherwise"]),
        ({"trade": False}, {}, ["told_otherwise"]),
        ({"transfer": False}, {}, []),
        ({"transfer": True}, {"transfer": None}, []),
        ({"expires_wall_ns": ENDS - 1}, {}, ["told_otherwise"]),
        ({"expires_wall_ns": ENDS + 1}, {}, []),
        ({"expires_wall_ns": 0}, {}, []),
        ({"expires_wall_ns": ENDS}, {"expires_wall_ns": 0}, ["told_otherwise"]),
        ({"expires_wall_ns": -1}, {"expires_wall_ns": 0}, ["told_otherwise"]),
        ({"withdraw": True, "trade": False}, {}, ["told_otherwise", "told_otherwise"]),
        ({"trade": True, "withdraw": False, "transfer": False, "address_bound": True, "expires_wall_ns": 0}, {}, ["attests_nothing"]),
        ({"trade": True}, {**UNTOLD, "trade": True}, ["attests_nothing"]),
    ],
)
def test_nothing_is_attested_against_what_the_venue_tells(told: dict[str, Any], said: dict[str, Any], refused: list[str]) -> None:
    async def use(world: FlipWorld) -> None:
        world.venue.scope = msgspec.structs.replace(world.venue.scope, **told)
        asked = await say(world, statement="", fingerprint="", **said)
        if refused:
            assert rules(asked) == refused
        else:
            assert isinstance(asked, f.Dictated)
            assert set(asked.untold) == set(FACTS) - set(told)
        world.venue.scope = msgspec.structs.replace(world.venue.scope, **UNTOLD)
        assert isinstance(await say(world), f.Done)

    using(use)


def test_what_the_venue_tells_later_counts_more() -> None:
    async def use(world: FlipWorld) -> None:
        await attested(world)
        world.venue.scope = msgspec.structs.replace(world.venue.scope, withdraw=True)
        refused = await arm(world)
        assert rules(refused) == ["check_key_scope"]
        assert isinstance(refused, f.Refusal)
        assert "found fail: bybit: the key may withdraw; make one that may not;" in refused.detail
        world.venue.scope = msgspec.structs.replace(world.venue.scope, withdraw=False)
        assert isinstance(await arm(world), f.Done)

    using(use)


@pytest.mark.parametrize(
    ("told", "said", "detail"),
    [
        ({}, {"account": "second"}, "expected the gate's own account at 'bybit' (main), found 'second'; look at the status"),
        ({}, {"venue": "upbit"}, "expected the gate's own account at 'upbit' (none there), found 'main'; look at the status"),
        ({"withdraw": True}, {}, "expected of withdraw what the venue tells, yes, found no; look again"),
        ({"trade": False}, {}, "expected of trade what the venue tells, no, found yes; look again"),
        (
            {"expires_wall_ns": ENDS},
            {"expires_wall_ns": 0},
            "expected of expires_wall_ns what the venue tells, 2027-01-31, found never; look again",
        ),
        (
            {"expires_wall_ns": -1},
            {"expires_wall_ns": 0},
            "expected of expires_wall_ns what the venue tells, -1 ns, found never; look again",
        ),
        ({}, dict(UNTOLD), f"expected something that the venue does not tell of the key ({', '.join(FACTS)}), found none of it; leave it"),
        ({"trade": True}, {**UNTOLD, "trade": True}, "(withdraw, transfer, address_bound, expires_wall_ns), found none of it"),
        (
            {"trade": True, "withdraw": False, "transfer": False, "address_bound": True, "expires_wall_ns": 0},
            {},
            "expected something that the venue does not tell of the key (nothing), found none of it; leave it",
        ),
        ({}, {"fingerprint": "x"}, f"expected the key in use, {KEY}, found 'x'; begin again"),
        ({}, {"statement": "x"}, f"expected '{WORDS}', found 'x'; type it as it stands there"),
    ],
)
def test_a_refusal_says_what_was_expected_and_found(told: dict[str, Any], said: dict[str, Any], detail: str) -> None:
    async def use(world: FlipWorld) -> None:
        world.venue.scope = msgspec.structs.replace(world.venue.scope, **told)
        answer = await say(world, **said)
        assert isinstance(answer, f.Refusal)
        assert detail in "; ".join(one["message"] for one in json.loads(answer.detail))

    using(use)


def test_a_key_that_ends_now_has_ended() -> None:
    async def use(world: FlipWorld) -> None:
        world.clock.wall_ns = ENDS
        assert rules(await say(world)) == ["attest_ends"]
        world.clock.wall_ns = ENDS - 1
        assert isinstance(await say(world), f.Done)

    using(use)


# While a grant lives


def test_a_grant_does_not_outlive_what_it_leans_on() -> None:
    async def use(world: FlipWorld) -> None:
        await attested(world, for_ns=599 * NS_PER_S)
        assert rules(await arm(world)) == ["attestation_ends"]
        world.wish["lifetime_ns"] = 500 * NS_PER_S
        assert isinstance(await arm(world), f.Done)

    using(use)


def test_an_attestation_that_ends_between_challenge_and_answer_arms_nothing() -> None:
    async def use(world: FlipWorld) -> None:
        await attested(world, for_ns=602 * NS_PER_S)
        challenge = await world.ask_to_arm()
        assert isinstance(challenge, f.Challenge)
        await world.wait(3 * NS_PER_S)
        assert rules(await world.answer(challenge)) == ["attestation_ends"]

    using(use)


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({}, False),
        ({"for_ns": 3_600 * NS_PER_S}, False),
        ({"for_ns": 60 * NS_PER_S}, True),
        ({"withdraw": True}, True),
        ({"withdraw": None}, True),
        ({"trade": False}, True),
        ({"expires_wall_ns": 1_800_057_600 * NS_PER_S}, True),
        ({"expires_wall_ns": 0}, False),
    ],
)
def test_a_weaker_attestation_ends_the_grant_and_leaves_the_leave_to_reduce(changes: dict[str, Any], ended: bool) -> None:
    async def use(world: FlipWorld) -> None:
        await attested(world)
        assert isinstance(await arm(world), f.Done)
        assert (await attested(world, "d" * 32, **changes))["disarmed"] is ended
        assert bool(world.keeper.state.arming.ended) is ended
        assert world.keeper.state.live is not None, "the leave to reduce"
        assert (await world.propose()).result == ("DENY" if ended else "PERMIT")
        kinds = [type(one) for one in world.keeper.given if isinstance(one, r.KeyAttested | r.Disarmed)]
        assert kinds[1:] == ([r.Disarmed, r.KeyAttested] if ended else [r.KeyAttested])
        # What has ended is not ended again.
        if ended:
            assert (await attested(world, "9" * 32, for_ns=1))["disarmed"] is False

    using(use)


@pytest.mark.parametrize(("less_ns", "ended"), [(0, False), (1, True)])
def test_a_newer_attestation_carries_the_grant_to_its_end_or_ends_it(less_ns: int, ended: bool) -> None:
    async def use(world: FlipWorld) -> None:
        await attested(world)
        assert isinstance(await arm(world), f.Done)
        live = world.keeper.state.live
        assert live is not None
        left_ns = live.grant.expires_boot_ns - world.clock.boot_ns
        assert (await attested(world, "d" * 32, for_ns=left_ns - less_ns))["disarmed"] is ended

    using(use)


def test_a_grant_that_leans_on_nothing_lives_on() -> None:
    async def use(world: FlipWorld) -> None:
        told = {"trade": True, "withdraw": False, "transfer": False, "address_bound": True, "expires_wall_ns": 0}
        world.venue.scope = msgspec.structs.replace(world.venue.scope, **told)
        assert isinstance(await arm(world), f.Done)
        world.venue.scope = msgspec.structs.replace(world.venue.scope, withdraw=None)
        assert (await attested(world, for_ns=3_600 * NS_PER_S))["disarmed"] is False
        assert (await attested(world, "d" * 32, for_ns=1))["disarmed"] is True

    using(use)


# The journal, and the end


def test_what_the_journal_does_not_take_is_not_attested() -> None:
    async def use(world: FlipWorld) -> None:
        await world.fail_journal()
        answer = await say(world)
        assert isinstance(answer, f.Refusal), answer
        assert answer.rule == "journal"
        assert world.keeper.state.attestations.newest == ()

    using(use)


def test_a_gate_that_is_about_to_end_takes_none() -> None:
    async def use(world: FlipWorld) -> None:
        world.parts.leaving = True
        assert rules(await say(world)) == ["leaving"]
        world.parts.leaving = False
        assert isinstance(await say(world), f.Done)

    using(use)


# The status


def test_the_status_shows_what_is_attested_and_whether_it_holds() -> None:
    async def use(world: FlipWorld) -> None:
        assert report.attestations(world.parts, {"bybit": KEY}) == []
        await attested(world, for_ns=8 * NS_PER_DAY, withdraw=None)
        facts = ["trades yes", "transfers no", "bound to an address yes", "ends 2027-01-31"]
        about = {"venue": "bybit", "account": "main", "fingerprint": KEY, "facts": facts, "by": "user 1000", "scripted": True}
        (shown,) = report.attestations(world.parts, {"bybit": KEY})
        assert shown == {**about, "until": shown["until"], "holds": True, "reason": "", "warning": ""}
        assert shown["until"].startswith("2027-01-23T08:00:0")

        def now(fingerprint: str = KEY) -> tuple[bool, str, str]:
            (one,) = report.attestations(world.parts, {"bybit": fingerprint})
            return one["holds"], one["reason"], one["warning"]

        assert now("fedcba9876543210") == (False, f"it is of the key {KEY}, and the one in use is fedcba9876543210", "")
        world.clock.wall_ns += NS_PER_DAY
        assert now() == (True, "", "ends in 168 h: attest it anew")
        world.clock.wall_ns -= 1
        assert now() == (True, "", "")
        world.clock.wall_ns += 7 * NS_PER_DAY + 2
        assert now() == (False, "it has run out", "")
        world.clock.wall_ns -= 9 * NS_PER_DAY
        assert now() == (False, "it begins later than the clock says it is now", "")
        world.keeper.state.apply(msgspec.structs.replace(written(world)[0], account="old"))
        assert [one["reason"] for one in report.attestations(world.parts, {"bybit": KEY})][
            1
        ] == "it is of an account that is not the gate's"

    using(use)


def test_only_the_raise_socket_takes_it() -> None:
    assert [role for role, kinds in f.ALLOWED.items() if f.Attest in kinds] == [Role.RAISE]
