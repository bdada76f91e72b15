"""The ceremony: every way of being almost armed is refused by its own name, and one way arms."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.arming_world import (
    BOOT_NS,
    DRILL,
    ENVIRON,
    NONCES,
    NS_PER_S,
    SYMBOL,
    WALL_NS,
    binding,
    challenged,
    evidence,
    own_checks,
    reply,
    situation,
    wish,
)

from interlock.gate import drill as drills
from interlock.gate.arming import LONGEST_DRILL_NS, CeremonyFailed, Challenged, Minted
from interlock.gate.ceremony import CHALLENGE_LIVES_NS, LONGEST_LIFETIME_NS, NS_PER_HOUR, Reply, Situation, answer, ask
from interlock.gate.checks import NEVER_UNUSED, Check, OutsideCheck, OwnCheck, Verdict
from interlock.gate.conditions import ACKNOWLEDGEMENT, ConditionRefusal, Conditions, read_conditions, read_only, read_only_refusal
from interlock.gate.drill import DrillNeed, Drills, drill_check, drill_verdict, undrilled
from interlock.gate.records import Drilled, DrillKind, Endpoint, Purpose, Tick

# The environment

ALMOST = [
    ("LIVE_ARM_ACK", None, "ack_missing"),
    ("LIVE_ARM_ACK", "", "ack_empty"),
    ("LIVE_ARM_ACK", "i_understand_live_risk", "ack_case"),
    ("LIVE_ARM_ACK", "I_Understand_Live_Risk", "ack_case"),
    ("LIVE_ARM_ACK", " I_UNDERSTAND_LIVE_RISK", "ack_blank"),
    ("LIVE_ARM_ACK", "I_UNDERSTAND_LIVE_RISK ", "ack_blank"),
    ("LIVE_ARM_ACK", "I_UNDERSTAND_LIVE_RISK\n", "ack_blank"),
    ("LIVE_ARM_ACK", "true", "ack_wrong"),
    ("LIVE_ARM_ACK", "I_UNDERSTAND_LIVE_RISKS", "ack_wrong"),
    ("LIVE_ARM_AT", None, "at_missing"),
    ("LIVE_ARM_AT", "", "at_empty"),
    ("LIVE_ARM_AT", " 1800000000", "at_blank"),
    ("LIVE_ARM_AT", "1800000000 ", "at_blank"),
    ("LIVE_ARM_AT", "1800000001", "at_future"),
    ("LIVE_ARM_AT", "1799999399", "at_stale"),
    ("LIVE_ARM_AT", "0", "at_stale"),
    ("LIVE_ARM_AT", "1.8e9", "at_malformed"),
    ("LIVE_ARM_AT", "1800000000.0", "at_malformed"),
    ("LIVE_ARM_AT", "+1800000000", "at_malformed"),
    ("LIVE_ARM_AT", "-1", "at_malformed"),
    ("LIVE_ARM_AT", "1_800_000_000", "at_malformed"),
    ("LIVE_ARM_AT", "01800000000", "at_malformed"),
    ("LIVE_ARM_AT", "١٨٠٠٠٠٠٠٠٠", "at_malformed"),
    ("LIVE_ARM_AT", "now", "at_malformed"),
    ("LIVE_MAX_NOTIONAL_USD", None, "cap_missing"),
    ("LIVE_MAX_NOTIONAL_USD", "", "cap_empty"),
    ("LIVE_MAX_NOTIONAL_USD", "10 ", "cap_blank"),
    ("LIVE_MAX_NOTIONAL_USD", " 10", "cap_blank"),
    ("LIVE_MAX_NOTIONAL_USD", "9.99", "cap_too_small"),
    ("LIVE_MAX_NOTIONAL_USD", "0", "cap_too_small"),
    ("LIVE_MAX_NOTIONAL_USD", "1000.01", "cap_too_large"),
    ("LIVE_MAX_NOTIONAL_USD", "1000.00000001", "cap_too_large"),
    *(
        ("LIVE_MAX_NOTIONAL_USD", text, "cap_malformed")
        for text in (
            "NaN",
            "nan",
            "sNaN",
            "inf",
            "Infinity",
            "-inf",
            "1e2",
            "1E2",
            "+10",
            "-10",
            "٣٠",
            "0x64",
            "1,000",
            "1_00",
            "10.",
            ".5",
            "010",
        )
    ),
]


@pytest.mark.parametrize(("name", "value", "rule"), ALMOST)
def test_an_environment_that_is_almost_right(name: str, value: str | None, rule: str) -> None:
    environ = {key: text for key, text in {**ENVIRON, name: value}.items() if text is not None}
    refused = read_conditions(environ, WALL_NS)
    assert isinstance(refused, ConditionRefusal)
    assert refused.rule == rule
    assert name in refused.message
    assert "expected" in refused.message
    asked = ask(wish(), environ, situation(), NONCES[5])
    assert asked == CeremonyFailed((refused,))
    assert isinstance(ask(wish(), ENVIRON, situation(), NONCES[5]), Challenged)


@pytest.mark.parametrize("cap", ["10", "10.0", "10.00000000", "99.5", "1000", "1000.00"])
@pytest.mark.parametrize("age_s", [0, 1, 600])
def test_an_environment_that_is_right(cap: str, age_s: int) -> None:
    environ = {**ENVIRON, "LIVE_MAX_NOTIONAL_USD": cap, "LIVE_ARM_AT": str(1_800_000_000 - age_s), "OTHER": "x"}
    assert read_conditions(environ, WALL_NS) == Conditions(cap_usd=Decimal(cap), armed_at_wall_s=1_800_000_000 - age_s)
    assert isinstance(read_conditions(environ, WALL_NS + (600 - age_s) * NS_PER_S + 1), ConditionRefusal)


@given(st.text(max_size=12) | st.decimals().map(str))
def test_whatever_text_is_accepted_is_a_cap_within_its_bounds(text: str) -> None:
    read = read_conditions({**ENVIRON, "LIVE_MAX_NOTIONAL_USD": text}, WALL_NS)
    if isinstance(read, Conditions):
        assert 10 <= read.cap_usd <= 1000
        assert text.isascii()


READ_ONLY = [
    (None, "read_only_missing"),
    ("", "read_only_empty"),
    *((text, "read_only_case") for text in ("False", "FALSE", "faLse")),
    *((text, "read_only_blank") for text in ("false ", " false", "false\n", " ")),
    ("true", "read_only_set"),
    *((text, "read_only_unknown") for text in ("0", "no", "off", "yes", "1", "flase", "True", "'false'", "false;", "\u0444alse")),
]


@pytest.mark.parametrize(("value", "rule"), READ_ONLY)
def test_read_only_unless_exactly_false(value: str | None, rule: str) -> None:
    environ = {} if value is None else {"READ_ONLY_ENFORCED": value}
    assert read_only(environ)
    refused = read_only_refusal(environ)
    assert refused is not None
    assert refused.rule == rule
    assert not read_only({"READ_ONLY_ENFORCED": "false"})
    assert read_only_refusal({"READ_ONLY_ENFORCED": "false"}) is None


@given(st.text(max_size=8))
def test_no_other_text_allows_orders(text: str) -> None:
    assert read_only({"READ_ONLY_ENFORCED": text}) == (text != "false")


# What else stands against arming


def rules(outcome: object) -> set[str]:
    assert isinstance(outcome, CeremonyFailed)
    assert all(refusal.message.startswith("expected") for refusal in outcome.refusals)
    return {refusal.rule for refusal in outcome.refusals}


def changed(name: str, **parts: object) -> tuple[Check, ...]:
    return tuple(msgspec.structs.replace(c, **parts) if c.name == name else c for c in own_checks())


def without(name: str) -> tuple[Check, ...]:
    return tuple(c for c in own_checks() if c.name != name)


def outside(name: str, **parts: object) -> tuple[Check, ...]:
    return tuple(msgspec.structs.replace(c, **parts) if c.name == name else c for c in evidence().checks)


ON_REAL: list[tuple[dict[str, object], dict[str, object], set[str]]] = [
    ({}, {"killed": True}, {"killed"}),
    ({}, {"lease_held": False}, {"lease"}),
    ({}, {"lease_held": None}, {"lease"}),
    ({}, {"read_only": True}, {"read_only"}),
    ({}, {"read_only": None}, {"read_only"}),
    ({"seen_version": 3}, {}, {"stale_version"}),
    ({"lifetime_ns": 0}, {}, {"lifetime"}),
    ({"lifetime_ns": -1}, {}, {"lifetime"}),
    ({"lifetime_ns": LONGEST_LIFETIME_NS + 1}, {}, {"lifetime"}),
    ({"mandate_after_ns": -1}, {}, {"mandate"}),
    ({"mandate_after_ns": 24 * NS_PER_HOUR + 1}, {}, {"mandate"}),
    ({"scripted": True}, {}, {"scripted"}),
    ({"drill_symbol": SYMBOL}, {}, {"drill_symbol"}),
    ({**DRILL, "drill_symbol": ""}, {}, {"drill_symbol"}),
    ({**DRILL, "drill_symbol": "bybit/XRPUSDT"}, {}, {"drill_symbol"}),
    ({**DRILL, "lifetime_ns": LONGEST_DRILL_NS + 1}, {}, {"lifetime"}),
    ({**DRILL, "lifetime_ns": 0}, {}, {"lifetime"}),
    (DRILL, {"minimums": {"bybit/ETHUSDT": Decimal(5)}}, {"minimum_unknown"}),
    (DRILL, {"minimums": {SYMBOL: Decimal("100.01")}}, {"minimum_above_cap"}),
    ({}, {"endpoints": ()}, {"endpoints_mixed"}),
    ({}, {"endpoints": (Endpoint.REAL, Endpoint.LOOPBACK)}, {"endpoints_mixed"}),
    ({}, {"endpoints": (Endpoint.TESTNET,)}, {"endpoints_mixed"}),
    ({}, {"binding": binding(Endpoint.REAL, symbols=())}, {"no_symbols"}),
    ({}, {"minimums": {SYMBOL: Decimal(50)}}, {"minimum_unknown"}),
    ({}, {"minimums": {SYMBOL: Decimal(50), "bybit/ETHUSDT": Decimal("NaN")}}, {"minimum_unknown"}),
    ({}, {"minimums": {SYMBOL: Decimal(50), "bybit/ETHUSDT": Decimal(0)}}, {"minimum_unknown"}),
    ({}, {"minimums": {SYMBOL: Decimal("100.01"), "bybit/ETHUSDT": Decimal(100)}}, {"minimum_above_cap"}),
    ({}, {"evidence": None}, {"evidence_missing", *(f"check_{c}_missing" for c in OutsideCheck)}),
    ({}, {"evidence": evidence(incarnation="life-b")}, {"evidence_other_incarnation"}),
    ({}, {"evidence": evidence(config="c2")}, {"evidence_other_config"}),
    ({}, {"evidence": evidence(build="b2")}, {"evidence_other_build"}),
    ({}, {"evidence": evidence(boot_ns=BOOT_NS + 1)}, {"evidence_future"}),
    ({}, {"evidence": evidence(boot_ns=BOOT_NS - 60 * NS_PER_S - 1)}, {"evidence_stale"}),
    ({}, {"evidence": evidence(checks=(*evidence().checks, Check("extra", Verdict.UNKNOWN, "", BOOT_NS)))}, {"check_extra"}),
]
ON_REAL += [({}, {"checks": changed(n, verdict=v)}, {f"check_{n}"}) for n in OwnCheck for v in (Verdict.FAIL, Verdict.UNKNOWN)]
ON_REAL += [({}, {"checks": without(n)}, {f"check_{n}_missing"}) for n in OwnCheck]
ON_REAL += [({}, {"checks": changed(n, configured=False)}, {f"check_{n}_not_configured"}) for n in sorted(NEVER_UNUSED)]
ON_REAL += [({}, {"checks": changed(n, boot_ns=BOOT_NS - 60 * NS_PER_S - 1)}, {f"check_{n}_stale"}) for n in OwnCheck]
ON_REAL += [
    ({}, {"evidence": evidence(checks=outside(n, verdict=v))}, {f"check_{n}"})
    for n in OutsideCheck
    for v in (Verdict.FAIL, Verdict.UNKNOWN)
]


def passes(now: Situation, **wishes: object) -> Minted:
    asked = ask(wish(**wishes), ENVIRON, now, NONCES[5])
    assert isinstance(asked, Challenged), asked
    minted = answer(asked.challenge, reply(asked), now)
    assert isinstance(minted, Minted), minted
    return minted


@pytest.mark.parametrize(("wishes", "parts", "expected"), ON_REAL)
def test_whatever_stands_against_arming_is_named_before_and_after_the_question(
    wishes: dict[str, object], parts: dict[str, object], expected: set[str]
) -> None:
    passes(situation(Endpoint.REAL))
    now = situation(Endpoint.REAL, **parts)
    assert rules(ask(wish(**wishes), ENVIRON, now, NONCES[5])) == expected
    # The same, had it come to be between the question and the answer.
    asked = challenged(situation(Endpoint.REAL))
    later = msgspec.structs.replace(asked.challenge, **{{"seen_version": "state_version"}.get(k, k): v for k, v in wishes.items()})
    found = rules(answer(later, reply(asked), now))
    assert found >= expected
    assert found - expected <= {"binding_changed"}


def test_what_the_configuration_does_not_use_is_no_obstacle() -> None:
    passes(situation(Endpoint.REAL, checks=changed("margin", configured=False)))
    passes(situation(Endpoint.REAL, checks=changed("drill", configured=False)))
    passes(situation(Endpoint.REAL, evidence=evidence(checks=outside("databases", configured=False))))
    passes(situation(Endpoint.LOOPBACK, checks=tuple(msgspec.structs.replace(c, configured=False) for c in own_checks())))


def test_ages_at_their_bounds() -> None:
    old = BOOT_NS - 60 * NS_PER_S
    passes(situation(Endpoint.REAL, checks=own_checks(old), evidence=evidence(boot_ns=old)))
    passes(situation(), lifetime_ns=LONGEST_LIFETIME_NS, mandate_after_ns=0)


def test_on_loopback_the_own_checks_suffice_and_a_script_may_arm() -> None:
    assert passes(situation(), scripted=True).record.grant.scripted is True
    assert passes(situation()).record.grant.scripted is False
    for n in OwnCheck:
        assert rules(ask(wish(), ENVIRON, situation(checks=without(n)), NONCES[5])) == {f"check_{n}_missing"}
    # Evidence that is there must be good, even where none is needed.
    assert rules(ask(wish(), ENVIRON, situation(evidence=evidence(build="b2")), NONCES[5])) == {"evidence_other_build"}
    mixed = situation(endpoints=(Endpoint.LOOPBACK, Endpoint.REAL), evidence=evidence())
    assert rules(ask(wish(scripted=True), ENVIRON, mixed, NONCES[5])) == {"endpoints_mixed", "scripted"}
    nowhere = situation(endpoints=(), evidence=evidence())
    assert rules(ask(wish(scripted=True), ENVIRON, nowhere, NONCES[5])) == {"endpoints_mixed", "scripted"}


@pytest.mark.parametrize("endpoint", [Endpoint.REAL, Endpoint.TESTNET])
def test_a_script_arms_nothing_that_leaves_the_host(endpoint: Endpoint) -> None:
    assert rules(ask(wish(scripted=True), ENVIRON, situation(endpoint), NONCES[5])) == {"scripted"}
    assert rules(ask(wish(scripted=None), ENVIRON, situation(endpoint), NONCES[5])) == {"scripted"}
    passes(situation(endpoint))


@pytest.mark.parametrize(
    ("nonce", "used", "rule"),
    [
        ("", frozenset(), "nonce_malformed"),
        ("abc", frozenset(), "nonce_malformed"),
        ("A" * 32, frozenset(), "nonce_malformed"),
        ("g" * 32, frozenset(), "nonce_malformed"),
        (NONCES[5], frozenset({NONCES[5]}), "nonce_used"),
    ],
)
def test_a_nonce_is_random_and_new(nonce: str, used: frozenset[str], rule: str) -> None:
    assert rules(ask(wish(), ENVIRON, situation(used_nonces=used), nonce)) == {rule}
    passes(situation(used_nonces=frozenset({NONCES[6]})))


def test_every_obstacle_is_told_at_once() -> None:
    found = ask(wish(lifetime_ns=0), {}, situation(killed=True, read_only=True), "")
    assert rules(found) == {"ack_missing", "killed", "read_only", "lifetime"}


# The answer


def test_the_right_answer_makes_the_grant() -> None:
    asked = challenged()
    challenge = asked.challenge
    assert challenge.phrase == f"arm desk for 100 USD {NONCES[5][:8]}"
    later = situation(boot_ns=BOOT_NS + CHALLENGE_LIVES_NS - 1)
    later = msgspec.structs.replace(later, checks=own_checks(later.boot_ns))
    minted = answer(challenge, reply(asked), later)
    assert isinstance(minted, Minted)
    grant = minted.record.grant
    assert minted.live.grant == grant
    assert grant.grant_id == NONCES[5]
    assert grant.binding == binding()
    assert grant.cap_usd == Decimal(100)
    assert grant.minted_boot_ns == later.boot_ns
    assert grant.expires_boot_ns == later.boot_ns + NS_PER_HOUR
    assert grant.mandate_until_boot_ns == grant.expires_boot_ns + 24 * NS_PER_HOUR


@pytest.mark.parametrize(
    ("typed", "parts", "rule"),
    [
        ({"acknowledgement": ""}, {}, "answer_acknowledgement"),
        ({"acknowledgement": ACKNOWLEDGEMENT.lower()}, {}, "answer_acknowledgement"),
        ({"acknowledgement": ACKNOWLEDGEMENT + " "}, {}, "answer_acknowledgement"),
        ({"phrase": ""}, {}, "answer_phrase"),
        ({"phrase": "ARM DESK FOR 100 USD 00000000"}, {}, "answer_phrase"),
        ({"phrase": " arm desk for 100 USD 00000000"}, {}, "answer_phrase"),
        ({"phrase": "arm desk for 100 USD 00000000\n"}, {}, "answer_phrase"),
        ({}, {"boot_ns": BOOT_NS + CHALLENGE_LIVES_NS, "checks": own_checks(BOOT_NS + 100 * NS_PER_S)}, "challenge_expired"),
        ({}, {"boot_ns": BOOT_NS - 1, "checks": own_checks(BOOT_NS - 1)}, "challenge_expired"),
        ({}, {"wall_ns": WALL_NS + 600 * NS_PER_S + 1}, "at_stale"),
        ({}, {"wall_ns": WALL_NS - 1}, "at_future"),
        ({}, {"used_nonces": frozenset({NONCES[5]})}, "nonce_used"),
        ({}, {"state_version": 1}, "stale_version"),
        ({}, {"binding": binding(limits="l2")}, "binding_changed"),
        ({}, {"binding": binding(incarnation="life-b")}, "binding_changed"),
        ({}, {"binding": binding(symbols=(("bybit", "BTCUSDT", "m9"),))}, "binding_changed"),
        ({}, {"killed": True}, "killed"),
        ({}, {"lease_held": False}, "lease"),
    ],
)
def test_a_wrong_answer_makes_none(typed: dict[str, str], parts: dict[str, object], rule: str) -> None:
    asked = challenged()
    assert isinstance(answer(asked.challenge, reply(asked), situation()), Minted)
    said = msgspec.structs.replace(Reply(ACKNOWLEDGEMENT, asked.challenge.phrase), **typed)
    assert rules(answer(asked.challenge, said, situation(Endpoint.LOOPBACK, **parts))) == {rule}


@pytest.mark.parametrize("cap", ["9.99", "1000.01", "NaN", "Infinity"])
def test_a_cap_is_judged_again_with_the_answer(cap: str) -> None:
    asked = challenged()
    bent = msgspec.structs.replace(asked.challenge, cap_usd=Decimal(cap))
    assert rules(answer(bent, reply(asked), situation())) == {"cap"}


# The drill


def test_a_drill_does_not_wait_for_itself() -> None:
    undrilled = situation(Endpoint.REAL, checks=changed("drill", verdict=Verdict.UNKNOWN))
    assert rules(ask(wish(), ENVIRON, undrilled, NONCES[5])) == {"check_drill"}
    asked = ask(wish(**DRILL), ENVIRON, undrilled, NONCES[5])
    assert isinstance(asked, Challenged)
    assert asked.challenge.phrase.startswith(f"drill on {SYMBOL} desk")
    unwell = situation(Endpoint.REAL, checks=changed("sentinel", verdict=Verdict.FAIL))
    assert rules(ask(wish(**DRILL), ENVIRON, unwell, NONCES[5])) == {"check_sentinel"}


def test_a_drill_is_granted_its_symbol_for_a_minute_and_nothing_after() -> None:
    now = situation(Endpoint.REAL, minimums={SYMBOL: Decimal(50)})
    grant = passes(now, **DRILL, mandate_after_ns=NS_PER_HOUR).record.grant
    assert grant.purpose is Purpose.DRILL
    assert grant.binding == binding(Endpoint.REAL, symbols=(("bybit", "BTCUSDT", "m1"),))
    assert grant.mandate_until_boot_ns == grant.expires_boot_ns == BOOT_NS + LONGEST_DRILL_NS
    assert passes(situation(Endpoint.REAL)).record.grant.purpose is Purpose.TRADE


def test_a_drill_feels_a_change_of_its_symbol_and_of_no_other() -> None:
    asked = challenged(**DRILL)
    other = situation(binding=binding(symbols=(("bybit", "BTCUSDT", "m1"), ("bybit", "ETHUSDT", "m9"))))
    assert isinstance(answer(asked.challenge, reply(asked), other), Minted)
    own = situation(binding=binding(symbols=(("bybit", "BTCUSDT", "m9"), ("bybit", "ETHUSDT", "m2"))))
    assert rules(answer(asked.challenge, reply(asked), own)) == {"binding_changed"}
    gone = situation(binding=binding(symbols=(("bybit", "ETHUSDT", "m2"),)))
    assert "binding_changed" in rules(answer(asked.challenge, reply(asked), gone))


def result(kind: DrillKind, **parts: object) -> Drilled:
    fields: dict[str, object] = {
        "boot_ns": 1,
        "drill_id": "d",
        "venue": "bybit",
        "endpoint": Endpoint.REAL,
        "key": "k1",
        "sentinel_build": "s1",
        "wall_ns": WALL_NS,
        "authenticated": True,
        "placed": 1 if kind is DrillKind.ORDER else 0,
        "cancelled": 1 if kind is DrillKind.ORDER else 0,
        "remaining": 0,
        "verdict": "pass",
        **parts,
    }
    return Drilled(kind=kind, **fields)  # type: ignore[arg-type]


def folded(*results: Drilled) -> Drills:
    state = Drills()
    for one in results:
        state = drills.apply(state, one)
    return state


SWEEP, ORDER = result(DrillKind.SWEEP), result(DrillKind.ORDER)
NEED = DrillNeed(venue="bybit", endpoint=Endpoint.REAL, key="k1", sentinel_build="s1")


@pytest.mark.parametrize(
    ("drill", "verdict"),
    [
        (SWEEP, Verdict.PASS),
        (ORDER, Verdict.PASS),
        (result(DrillKind.ORDER, placed=0, cancelled=0), Verdict.UNKNOWN),
        (result(DrillKind.ORDER, placed=2), Verdict.FAIL),
        (result(DrillKind.ORDER, cancelled=2), Verdict.FAIL),
        (result(DrillKind.ORDER, placed=-1, cancelled=-1), Verdict.FAIL),
        (result(DrillKind.SWEEP, cancelled=-1), Verdict.FAIL),
        (result(DrillKind.SWEEP, remaining=1), Verdict.FAIL),
        (result(DrillKind.ORDER, remaining=1), Verdict.FAIL),
        (result(DrillKind.SWEEP, authenticated=False), Verdict.FAIL),
        (result(DrillKind.ORDER, authenticated=None), Verdict.FAIL),
        (result(DrillKind.ORDER, verdict="fail"), Verdict.FAIL),
        (result(DrillKind.ORDER, verdict="unknown"), Verdict.UNKNOWN),
        (result(DrillKind.ORDER, verdict="PASS"), Verdict.FAIL),
        (result(DrillKind.ORDER, placed=0, cancelled=0, verdict="fail"), Verdict.FAIL),
        (result(DrillKind.ORDER, remaining=1, verdict="unknown"), Verdict.FAIL),
        (result(DrillKind.SWEEP, verdict="unknown"), Verdict.UNKNOWN),
    ],
)
def test_what_a_drill_shows(drill: Drilled, verdict: Verdict) -> None:
    assert drill_verdict(drill) is verdict


HOUR = NS_PER_HOUR


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ((SWEEP, ORDER), Verdict.PASS),
        ((result(DrillKind.SWEEP, wall_ns=WALL_NS - 24 * HOUR), result(DrillKind.ORDER, wall_ns=WALL_NS - 168 * HOUR)), Verdict.PASS),
        ((), Verdict.UNKNOWN),
        ((SWEEP,), Verdict.UNKNOWN),
        ((ORDER,), Verdict.UNKNOWN),
        ((result(DrillKind.SWEEP, wall_ns=WALL_NS - 24 * HOUR - 1), ORDER), Verdict.UNKNOWN),
        ((SWEEP, result(DrillKind.ORDER, wall_ns=WALL_NS - 168 * HOUR - 1)), Verdict.UNKNOWN),
        ((result(DrillKind.SWEEP, wall_ns=WALL_NS + 1), ORDER), Verdict.UNKNOWN),
        ((SWEEP, result(DrillKind.ORDER, key="k2")), Verdict.UNKNOWN),
        ((SWEEP, result(DrillKind.ORDER, sentinel_build="s2")), Verdict.UNKNOWN),
        ((SWEEP, result(DrillKind.ORDER, venue="upbit")), Verdict.UNKNOWN),
        ((SWEEP, result(DrillKind.ORDER, endpoint=Endpoint.LOOPBACK)), Verdict.UNKNOWN),
        ((SWEEP, result(DrillKind.ORDER, placed=0, cancelled=0)), Verdict.UNKNOWN),
        ((SWEEP, result(DrillKind.ORDER, remaining=1)), Verdict.FAIL),
        ((result(DrillKind.SWEEP, remaining=1),), Verdict.FAIL),
        ((SWEEP, result(DrillKind.ORDER, wall_ns=WALL_NS - HOUR), result(DrillKind.ORDER, remaining=1)), Verdict.FAIL),
        # The clock may have gone back: what was recorded last counts.
        ((SWEEP, ORDER, result(DrillKind.ORDER, remaining=1, wall_ns=WALL_NS - HOUR)), Verdict.FAIL),
        ((SWEEP, result(DrillKind.ORDER, remaining=1), result(DrillKind.ORDER, wall_ns=WALL_NS - HOUR)), Verdict.PASS),
        ((ORDER, SWEEP, result(DrillKind.SWEEP, venue="upbit", remaining=1)), Verdict.PASS),
    ],
)
def test_what_must_be_proven_to_arm_on_real(results: tuple[Drilled, ...], verdict: Verdict) -> None:
    assert drill_check(folded(*results), (NEED,), wall_ns=WALL_NS, boot_ns=BOOT_NS).verdict is verdict
    second = DrillNeed(venue="upbit", endpoint=Endpoint.REAL, key="u", sentinel_build="s1")
    assert drill_check(folded(*results), (NEED, second), wall_ns=WALL_NS, boot_ns=BOOT_NS).verdict is not Verdict.PASS


def test_only_the_last_drill_of_a_venue_and_kind_is_kept() -> None:
    again = result(DrillKind.ORDER, drill_id="e")
    assert folded(ORDER, SWEEP, again) == Drills((again, SWEEP))
    assert folded(ORDER, SWEEP).digest_parts() == folded(SWEEP, ORDER).digest_parts()
    assert folded(ORDER, SWEEP).digest_parts() != folded(again, SWEEP).digest_parts()
    assert drills.apply(folded(ORDER), Tick(boot_ns=1, wall_ns=1)) == folded(ORDER)


@pytest.mark.parametrize("endpoint", [Endpoint.LOOPBACK, Endpoint.TESTNET])
@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.PASS),
        ({"wall_ns": WALL_NS - 24 * HOUR}, Verdict.PASS),
        ({"wall_ns": WALL_NS - 24 * HOUR - 1}, Verdict.UNKNOWN),
        ({"wall_ns": WALL_NS + 1}, Verdict.UNKNOWN),
        ({"endpoint": Endpoint.REAL}, Verdict.UNKNOWN),
        ({"key": "k2"}, Verdict.UNKNOWN),
        ({"sentinel_build": "s2"}, Verdict.UNKNOWN),
        ({"remaining": 1}, Verdict.FAIL),
        ({"kind": DrillKind.SWEEP}, Verdict.UNKNOWN),
    ],
)
def test_elsewhere_an_order_drill_is_asked_for_every_day(endpoint: Endpoint, changes: dict[str, object], verdict: Verdict) -> None:
    need = DrillNeed(venue="bybit", endpoint=endpoint, key="k1", sentinel_build="s1")
    proven = folded(msgspec.structs.replace(result(DrillKind.ORDER, endpoint=endpoint), **changes))
    check = drill_check(proven, (need,), wall_ns=WALL_NS, boot_ns=BOOT_NS)
    assert (check.verdict, check.configured) == (verdict, True)
    assert (undrilled(proven, (need,), WALL_NS) == {}) is (verdict is Verdict.PASS)
    assert drill_check(Drills(), (need,), wall_ns=WALL_NS, boot_ns=BOOT_NS).verdict is Verdict.UNKNOWN
    assert drill_check(proven, (), wall_ns=WALL_NS, boot_ns=BOOT_NS).verdict is Verdict.UNKNOWN


def test_the_venues_that_are_due_are_named_with_what_is_known_of_them() -> None:
    other = DrillNeed(venue="upbit", endpoint=Endpoint.REAL, key="u", sentinel_build="s1")
    found = undrilled(folded(SWEEP, ORDER), (NEED, other), WALL_NS)
    assert found == {"upbit": "upbit sweep: none; upbit order: none"}
