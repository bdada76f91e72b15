"""No order by accident: from a way that sends exactly one order, every condition is made bad, alone, in pairs, and at random.

Each flip says who must refuse it and by which rule. What counts at the end is what arrived on the order line: nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Any

import msgspec
import pytest
from tests.gate import limit_cases as lc
from tests.gate.core_world import tightening
from tests.gate.flip_ports import ASK, BID, PLACE
from tests.gate.flip_world import ARM_NONCE, BEAT, OLD_NONCE, Flip, FlipWorld, Moment, Outcome, Step

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.orders import OrderType, TimeInForce
from interlock.gate import core
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.checks import OwnCheck, Verdict
from interlock.gate.clock_watch import ClockFault, ClockReading
from interlock.gate.frames import Role
from interlock.gate.records import Level, Scope
from interlock.gate.venue_reads import ReadFailed

Do = Callable[[FlipWorld], Awaitable[None] | None]
FLIPS: list[Flip] = []
"""Every flip that there is."""
OUTSIDE = frozenset({"evidence_missing", "check_databases_missing", "check_git_missing", "check_channels_missing"})
"""What is missing besides where an order could leave this host."""
WALL_S = 1_800_000_000


def flip(name: str, slot: str, moment: Moment, step: Step, rules: str | Iterable[str], do: Do, later: Iterable[str] = ()) -> None:
    named = frozenset({rules} if isinstance(rules, str) else rules)
    if slot in ("check drill", "late drill", "lifetime", "mandate"):
        later = (*later, "drill_only")  # a drill needs no drill, lives a minute at most and leaves no mandate, whatever is asked
    FLIPS.append(Flip(name, slot, moment, step, named, do, frozenset(later)))


def puts(attribute: str, **values: Any) -> Do:
    """Put entries into one of the world's tables; None takes one out."""

    def do(world: FlipWorld) -> None:
        table = getattr(world, attribute)
        for key, value in values.items():
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value

    return do


def sets(**values: Any) -> Do:
    def do(world: FlipWorld) -> None:
        for name, value in values.items():
            assert hasattr(world, name), name
            setattr(world, name, value)

    return do


def takes(make: Callable[[FlipWorld], r.Record]) -> Do:
    """Journal a record as a part of the gate would."""

    def do(world: FlipWorld) -> None:
        world.parts.take(make(world))

    return do


def says(role: Role, make: Callable[[FlipWorld], f.Frame]) -> Do:
    async def do(world: FlipWorld) -> None:
        await world.say(role, make(world))

    return do


def in_turn(*steps: Do) -> Do:
    async def do(world: FlipWorld) -> None:
        for step in steps:
            done = step(world)
            if done is not None:
                await done

    return do


# The terminal's environment, and what is asked for


def _terminal() -> None:
    def bad(variable: str, name: str, value: str | None, rule: str) -> None:
        flip(f"{variable} {name}", variable, Moment.ASK, Step.ASK, rule, puts("terminal", **{variable: value}))

    for variable, rule, good in (
        ("LIVE_ARM_ACK", "ack", "I_UNDERSTAND_LIVE_RISK"),
        ("LIVE_ARM_AT", "at", str(WALL_S)),
        ("LIVE_MAX_NOTIONAL_USD", "cap", "100"),
    ):
        bad(variable, "missing", None, f"{rule}_missing")
        bad(variable, "empty", "", f"{rule}_empty")
        bad(variable, "with a trailing blank", good + " ", f"{rule}_blank")
        renamed = in_turn(puts("terminal", **{variable: None}), puts("terminal", **{variable.lower(): good}))
        flip(f"{variable} in lower case", variable, Moment.ASK, Step.ASK, f"{rule}_missing", renamed)
    bad("LIVE_ARM_ACK", "of the wrong case", "i_understand_live_risk", "ack_case")
    bad("LIVE_ARM_ACK", "of other words", "YES", "ack_wrong")
    for name, value, rule in (
        ("a second ahead", str(WALL_S + 2), "at_future"),
        ("an hour ahead", str(WALL_S + 3_600), "at_future"),
        ("601 s old", str(WALL_S - 600), "at_stale"),
        ("zero", "0", "at_stale"),
        ("with a point", f"{WALL_S}.0", "at_malformed"),
        ("with an exponent", "1e9", "at_malformed"),
        ("with a sign", f"+{WALL_S}", "at_malformed"),
        ("no number", "now", "at_malformed"),
    ):
        bad("LIVE_ARM_AT", name, value, rule)
    for value, rule in (
        ("9.99", "cap_too_small"),
        ("0", "cap_too_small"),
        ("1000.01", "cap_too_large"),
        ("NaN", "cap_malformed"),
        ("1e2", "cap_malformed"),
        ("-100", "cap_malformed"),
        ("Infinity", "cap_malformed"),
        ("100,0", "cap_malformed"),
        ("39", "minimum_above_cap"),
    ):
        bad("LIVE_MAX_NOTIONAL_USD", value, value, rule)
    for value, rule in (("100.01", "cap_above_environment"), ("9.99", "cap_too_small"), ("1e1", "cap_malformed"), ("NaN", "cap_malformed")):
        flip(f"asked for {value} USD", "asked cap", Moment.ASK, Step.ASK, rule, puts("wish", max_notional_usd=value))


async def _use_a_nonce(world: FlipWorld) -> None:
    """An earlier command of a person, with its nonce."""
    await world.say(Role.LOWER, f.Freeze(scope=Scope.STRATEGY, subject="demo", level=Level.HALT, reason="flip"))
    version = world.keeper.state.lattice.version
    await world.say(
        Role.RAISE,
        f.Resume(level=Level.RUN, latch="operator", scope=Scope.STRATEGY, subject="demo", state_version=version, nonce=OLD_NONCE),
    )


def _version(by: int) -> Do:
    return lambda world: world.wish.update(state_version=world.keeper.state.lattice.version + by)


def _wishes() -> None:
    def wish(name: str, slot: str, rule: str, do: Do) -> None:
        flip(name, slot, Moment.ASK, Step.ASK, rule, do)

    wish("a version from before", "version", "stale_version", _version(-1))
    wish("a version from nowhere", "version", "stale_version", _version(1_000))
    for name, value in (("short", ARM_NONCE[1:]), ("in capitals", ARM_NONCE.upper()), ("of no hexadecimal", "g" * 32), ("empty", "")):
        wish(f"a nonce {name}", "nonce", "nonce_malformed", puts("wish", nonce=value))
    wish("a nonce used before", "nonce", "nonce_used", in_turn(_use_a_nonce, puts("wish", nonce=OLD_NONCE)))
    wish("no lifetime", "lifetime", "lifetime", puts("wish", lifetime_ns=0))
    wish("a lifetime before it began", "lifetime", "lifetime", puts("wish", lifetime_ns=-1))
    wish("a lifetime above a day", "lifetime", "lifetime", puts("wish", lifetime_ns=86_401 * NS_PER_S))
    wish("a mandate above a day", "mandate", "mandate", puts("wish", mandate_ns=86_401 * NS_PER_S))
    wish("a mandate before it began", "mandate", "mandate", puts("wish", mandate_ns=-1))
    wish("a drill elsewhere", "purpose", "drill_symbol", puts("wish", drill_symbol="bybit/ETHUSDT"))
    # A drill ends with whatever ends anything of its grant, and needs its one symbol.
    spent = puts("wish", drill_symbol="bybit/BTCUSDT")
    flip(
        "a drill's grant, which is for its own order", "purpose", Moment.ASK, Step.ORDER, "drill_only", spent, ("not_armed", "drill_symbol")
    )


# What the gate's process was started with, and what it finds


def _beginnings() -> None:
    def begin(name: str, slot: str, rules: str | Iterable[str], do: Do) -> None:
        flip(name, slot, Moment.BEGIN, Step.ASK, rules, do)

    begin("READ_ONLY_ENFORCED missing", "read-only", "read_only", puts("environ", READ_ONLY_ENFORCED=None))
    for value in ("False", "FALSE", "0", "no", "yes", "true", "false ", " false", "", "off"):
        begin(f"READ_ONLY_ENFORCED={value!r}", "read-only", "read_only", puts("environ", READ_ONLY_ENFORCED=value))
    loop, test, real = r.Endpoint.LOOPBACK, r.Endpoint.TESTNET, r.Endpoint.REAL
    for other in (test, real):
        mixed = {"endpoints_mixed", "scripted", *OUTSIDE}
        begin(f"scripted, and one endpoint {other.value}", "endpoints", mixed, sets(endpoints=(loop, other)))
        begin(f"scripted on {other.value}", "endpoints", {"scripted", *OUTSIDE}, sets(endpoint=other, endpoints=(other,)))
    begin("scripted without an endpoint", "endpoints", {"endpoints_mixed", "scripted", *OUTSIDE}, sets(endpoints=()))
    begin("not reconciled", "check reconciliation", "check_reconciliation", sets(explained=None))
    begin("unexplained", "check reconciliation", "check_reconciliation", sets(explained=False))
    begin("no drill", "check drill", "check_drill", sets(drills=()))
    begin("a drill of nothing", "check drill", "check_drill", sets(drills=((0, 0),)))
    begin("a drill that failed after one that passed", "check drill", "check_drill", sets(drills=((1, 1), (1, 0))))
    begin("worth never read", "check margin", "check_margin", sets(valued=False))
    begin("the sentinel never looked", "check sentinel", "check_sentinel", sets(sentinel_looks=False))
    begin("the checker was never heard", "checker", "check_sentinel", sets(checker_looks=False))
    begin("no quote ever", "quotes", "minimum_unknown", sets(quoted=False))
    begin("no rate ever", "rates", {"minimum_unknown", "check_margin"}, sets(rated=False))
    asked = {"check_key_scope", "check_venue_clock", "check_account_mode"}
    begin("the venue was not asked", "asked venues", asked, sets(asked_venues=()))


def _scope(**parts: Any) -> Do:
    def do(world: FlipWorld) -> None:
        world.venue.scope = msgspec.structs.replace(world.venue.scope, **parts)

    return do


def _fails(what: str) -> Do:
    return lambda world: world.venue.failing.update({what: ReadFailed("no answer")})


async def _no_room(world: FlipWorld) -> None:
    world.disk.free = 0
    for record in world.conditions.disk(world.keeper.state.lattice, world.journal.room(), world.clock.boot_ns):
        world.parts.take(record)


async def _journal_holds_back(world: FlipWorld) -> None:
    """Nothing fits any more, and so a latch waits beside the journal."""
    await world.fill_journal(reserve=True)
    world.latch(Scope.ORDER, "nobody", Level.HALT)


async def _heed_a_stop(world: FlipWorld) -> None:
    world.word.set = True
    world.attendant.look()


def _checks() -> None:
    def found(name: str, check: OwnCheck, do: Do, more: Iterable[str] = ()) -> None:
        flip(name, f"check {check.value}", Moment.ASK, Step.ASK, {f"check_{check.value}", *more}, do)

    for part, value in (("trade", False), ("withdraw", True), ("transfer", True), ("address_bound", False), ("expires_wall_ns", 1)):
        found(f"a key with {part} {value}", OwnCheck.KEY_SCOPE, _scope(**{part: value}))
        found(f"a key of which nobody tells {part}", OwnCheck.KEY_SCOPE, _scope(**{part: None}))
    found("hedge mode", OwnCheck.ACCOUNT_MODE, _scope(position_mode="hedge"))
    found("a margin mode that nobody knows", OwnCheck.ACCOUNT_MODE, _scope(margin_mode="portfolio"))
    for ahead_ns in (300 * NS_PER_MS, -300 * NS_PER_MS):
        found(
            f"the venue's clock off by {ahead_ns} ns",
            OwnCheck.VENUE_CLOCK,
            lambda world, off=ahead_ns: setattr(world.venue, "skew_ns", off),  # type: ignore[misc]
        )
    found("the venue is silent", OwnCheck.KEY_SCOPE, _fails("key"), ("check_venue_clock", "check_account_mode"))
    found("no room on the disk", OwnCheck.DISK, _no_room)
    found("the journal failed", OwnCheck.JOURNAL, FlipWorld.fail_journal)
    found("the journal holds back", OwnCheck.JOURNAL, _journal_holds_back)
    for check in OwnCheck:
        name = check.value
        for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
            found(f"{name} says {verdict.value}", check, puts("verdicts", **{name: verdict}))
            bad_now = puts("verdicts", **{name: verdict})
            flip(f"{name} says {verdict.value} at the answer", f"late {name}", Moment.ANSWER, Step.ANSWER, f"check_{name}", bad_now)
        unsaid: Do = lambda world, name=name: world.verdicts.update({name: None})  # type: ignore[misc] # noqa: E731
        flip(f"{name} says nothing", f"check {name}", Moment.ASK, Step.ASK, f"check_{name}_missing", unsaid)
    kill = says(Role.LOWER, lambda _: f.Kill(source="flip"))
    flip("killed before", "kill", Moment.ASK, Step.ASK, "killed", kill)
    flip("stopped before", "stop word", Moment.ASK, Step.ASK, "killed", _heed_a_stop)
    flip("the lease lost before", "lease", Moment.ASK, Step.ASK, "lease", lambda world: world.lease.release())


# The answer


def _bound(**parts: Any) -> Do:
    def do(world: FlipWorld) -> None:
        world.readings.binding = msgspec.structs.replace(world.readings.binding, **parts)

    return do


BOUND: dict[str, tuple[str, Any]] = {
    "incarnation": ("grant_other_incarnation", "f" * 32),
    "host": ("grant_other_host", "host-b"),
    "account": ("grant_other_account", "bybit/other"),
    "endpoint": ("grant_other_endpoint", r.Endpoint.TESTNET),
    "build": ("grant_other_build", "b2"),
    "config": ("grant_other_config", "c2"),
    "strategy": ("grant_other_strategy", "s2"),
    "limits": ("grant_other_limits", "l2"),
}
"""Everything that a grant is bound to besides its symbols: by which rule another value is refused, and one."""
OTHER_METADATA = ((*PLACE, "m2"),)
OTHER_SYMBOL = (("bybit", "ETHUSDT", "m1"),)


async def _wrong_first(world: FlipWorld) -> None:
    await world.answer(world.challenge, phrase="no")


async def _asked_again(world: FlipWorld) -> None:
    world.wish["nonce"] = "d" * 32
    await world.ask_to_arm()


async def _late(world: FlipWorld) -> None:
    await world.leap(120 * NS_PER_S)


def _answers() -> None:
    def answer(name: str, slot: str, rules: str | Iterable[str], do: Do, later: Iterable[str] = ()) -> None:
        flip(name, slot, Moment.ANSWER, Step.ANSWER, rules, do, later)

    for value in ("", "no", "ARM bybit/main for 100 USD aaaaaaaa", "arm bybit/main for 100 USD aaaaaaaa "):
        answer(f"the phrase {value!r}", "phrase", "answer_phrase", puts("reply", phrase=value))
    for value in ("", "yes", "i_understand_live_risk", "I_UNDERSTAND_LIVE_RISK "):
        answer(f"the acknowledgement {value!r}", "acknowledgement", "answer_acknowledgement", puts("reply", acknowledgement=value))
    answer("another challenge", "challenge", "challenge", puts("reply", challenge_id="e" * 32))
    answer("a challenge that a wrong answer spent", "challenge", "challenge", _wrong_first)
    answer("a challenge that another one replaced", "challenge", "challenge", _asked_again)
    answer("an answer after 121 s", "late", "challenge_expired", _late)
    for name, value in (("short", "b" * 31), ("empty", ""), ("in capitals", "B" * 32)):
        answer(f"a level nonce {name}", "level nonce", "nonce_malformed", puts("reply", level_nonce=value))
    answer("the challenge's nonce again", "level nonce", "nonce_used", puts("reply", level_nonce=ARM_NONCE))
    for part, (_, value) in BOUND.items():
        more = {"endpoints_mixed", "scripted", *OUTSIDE} if part == "endpoint" else set()
        answer(f"another {part} at the answer", f"bound {part}", {"binding_changed", *more}, _bound(**{part: value}))
    answer("other metadata at the answer", "bound symbols", "binding_changed", _bound(symbols=OTHER_METADATA))
    answer("no symbol at the answer", "bound symbols", {"binding_changed", "no_symbols"}, _bound(symbols=()))
    unknown = {"binding_changed", "minimum_unknown"}
    answer("another symbol at the answer", "bound symbols", unknown, _bound(symbols=OTHER_SYMBOL))
    answer("something changed meanwhile", "meanwhile", "stale_version", lambda world: world.latch(Scope.ORDER, "nobody", Level.HALT))
    kill = says(Role.LOWER, lambda _: f.Kill(source="flip"))
    # A kill takes the challenge away, so that nothing is left to answer.
    answer("killed meanwhile", "kill", "challenge", kill)
    answer("stopped meanwhile", "stop word", "challenge", _heed_a_stop)
    answer("the lease lost meanwhile", "lease", "lease", lambda world: world.lease.release())
    read_only: Do = lambda world: setattr(world.readings, "read_only", True)  # noqa: E731
    answer("read-only meanwhile", "read-only", "read_only", read_only)
    answer("the disk fails under the grant", "disk", "journal", FlipWorld.refuse_disk, ("check_journal",))
    answer("the grant does not fit the journal", "journal", "journal", FlipWorld.fill_journal, ("check_journal",))


# Between the grant and the order


def _now_and(make: Callable[[int], r.Record]) -> Do:
    return takes(lambda world: make(world.clock.boot_ns))


def _foreign(boot_ns: int) -> r.Record:
    return r.Foreign(boot_ns=boot_ns, venue="bybit", account="main", symbol=PLACE[1], client_id="x", venue_order_id="1", own_prefix=False)


def _unexplained(boot_ns: int) -> r.Record:
    return r.Reconciled(boot_ns=boot_ns, venue="bybit", account="main", explained=False, differences=())


def _disarmed(boot_ns: int, **more: Any) -> r.Record:
    return r.Disarmed(boot_ns=boot_ns, reason="flip", actor="gate", **more)


def _marked(realised: str, unrealised: str) -> Do:
    def make(world: FlipWorld) -> r.Record:
        lost = Decimal(realised) + Decimal(unrealised)
        return r.Marked(
            boot_ns=world.clock.boot_ns, realised_usd=Decimal(realised), unrealised_usd=Decimal(unrealised), equity_usd=1_000 + lost
        )

    return takes(make)


def _clock_fault(**moved: int) -> Do:
    def do(world: FlipWorld) -> None:
        true = world.clock.all_three()
        reading = ClockReading(
            boot_ns=true.boot_ns, mono_ns=true.mono_ns + moved.get("mono", 0), wall_ns=true.wall_ns + moved.get("wall", 0)
        )
        for record in world.conditions.clocks(world.keeper.state.lattice, reading):
            world.parts.take(record)

    return do


def _limited(world: FlipWorld) -> None:
    world.conditions.refused("bybit", "main", ReadFailed("too many", retry_after_ns=NS_PER_S, limited=True), world.clock.boot_ns)
    for record in world.conditions.limited(world.keeper.state.lattice, world.clock.boot_ns):
        world.parts.take(record)


def _waits(ns: int, *, look: bool, **changes: Any) -> Do:
    """Something stops, and time passes."""

    async def do(world: FlipWorld) -> None:
        for name, value in changes.items():
            setattr(world, name, value)
        await world.wait(ns, look=look)

    return do


def _leaps(ns: int) -> Do:
    async def do(world: FlipWorld) -> None:
        await world.leap(ns)

    return do


async def _stood_still(world: FlipWorld) -> None:
    """Prices were away for longer than they stay fresh, and have just come back."""
    world.clock.pass_(2 * NS_PER_S)
    await world.turn(look=False)


async def _other_rules(world: FlipWorld) -> None:
    """The venue changes the tick, and the gate reads it."""
    world.venue.listed = tuple(msgspec.structs.replace(one, tick=Decimal("0.5")) for one in world.venue.listed)
    await world.leap(30 * NS_PER_S)


async def _other_clock(world: FlipWorld) -> None:
    world.venue.skew_ns = 300 * NS_PER_MS
    await world.wait(2_100 * NS_PER_MS)


def _heard(data: bytes) -> Do:
    def do(world: FlipWorld) -> None:
        world.beats.feed(data, world.clock.boot_ns)
        for record in world.conditions.checker(world.keeper.state, world.beats, world.clock.boot_ns):
            world.parts.take(record)

    return do


LEVELS = {Level.HALT: "level_forbids", Level.CANCEL_ONLY: "level_forbids", Level.REDUCE_ONLY: "level_reduces"}
SCOPES = {Scope.ALL: "", Scope.ACCOUNT: "bybit/main", Scope.STRATEGY: "demo", Scope.SYMBOL: "bybit/BTCUSDT"}
WENT_ON = ("level_forbids",)
"""A gate that did not look for five seconds finds that its loop stood still, as soon as it looks."""


SECOND_WRITER = ("not_armed", "order state")
"""A lease that was lost ends the grant, whatever becomes of it, as soon as a watch has looked."""


async def _loses_the_lease(world: FlipWorld) -> None:
    world.lease.release()
    await world.turn()


async def _loses_the_lease_for_a_moment(world: FlipWorld) -> None:
    world.lease.is_held = False
    assert not world.parts.guard.lease_held()
    world.lease.is_held = True
    await world.turn()


def _granted() -> None:
    def then(name: str, slot: str, rule: str, do: Do, later: Iterable[str] = ()) -> None:
        flip(name, slot, Moment.GRANTED, Step.ORDER, rule, do, later)

    then("the grant has expired", "time", "grant_expired", _leaps(600 * NS_PER_S), WENT_ON)
    then("the mandate has expired too", "time", "mandate_over", _leaps(4_200 * NS_PER_S), WENT_ON)
    then("prices have just come back", "steady", "max_drift", _stood_still)
    then("disarmed", "disarm", "disarmed", says(Role.LOWER, lambda _: f.Disarm(reason="flip")))
    then("disarmed with the mandate", "disarm", "not_armed", says(Role.LOWER, lambda _: f.Disarm(reason="flip", mandate=True)))
    then("the symbol disarmed", "symbol", "symbol_disarmed", _now_and(lambda ns: _disarmed(ns, symbol="bybit/BTCUSDT")))
    then("the symbol over", "symbol", "mandate_over", _now_and(lambda ns: _disarmed(ns, symbol="bybit/BTCUSDT", mandate_ends=True)))
    for level, rule in LEVELS.items():
        then(f"level {level.value}", "level", rule, lambda world, level=level: world.lower(level))  # type: ignore[misc]
        for scope, subject in SCOPES.items():
            freeze = says(
                Role.LOWER,
                lambda _, scope=scope, subject=subject, level=level: f.Freeze(  # type: ignore[misc]
                    scope=scope, subject=subject, level=level, reason="flip"
                ),
            )
            then(f"{scope.value} latched at {level.value}", f"latch {scope.value}", rule, freeze)
    for fault, moved in ((ClockFault.SUSPENDED, {"mono": -2 * NS_PER_S}), (ClockFault.WALL_JUMPED, {"wall": 2 * NS_PER_S})):
        then(f"the host's clock: {fault.value}", "clock", "level_forbids", _clock_fault(**moved))
    then("the feed stale, and looked at", "quotes", "level_reduces", _waits(1_100 * NS_PER_MS, look=True, quoted=False))
    then("the stream lost", "stream", "level_reduces", _waits(100 * NS_PER_MS, look=True, streaming=False))
    then("the line for cancels lost", "stream", "level_reduces", _waits(100 * NS_PER_MS, look=True, cancelling=False))
    then("the venue's clock off", "check venue_clock", "level_forbids", _other_clock)
    then("limited by the rate", "rate limit", "level_reduces", _limited)
    then("no room on the disk for two days", "check disk", "level_reduces", _no_room)
    for name, look in (("the sentinel silent, and looked at", True), ("the sentinel silent", False)):
        silent = _waits(1_100 * NS_PER_MS, look=look, sentinel_looks=False)
        then(name, "check sentinel", "sentinel", silent, ("level_reduces",))
    then("the checker silent, and looked at", "checker", "level_forbids", _waits(1_100 * NS_PER_MS, look=True, checker_looks=False))
    then("the checker silent", "checker", "checker", _waits(1_100 * NS_PER_MS, look=False, checker_looks=False), WENT_ON)
    violation = BEAT.replace(b'"violations": 0', b'"violations": 1')
    then("the checker found a violation", "checker", "level_forbids", _heard(violation))
    then("the checker gone", "checker", "level_forbids", _heard(b""))
    then("killed", "kill", "killed", says(Role.LOWER, lambda _: f.Kill(source="flip")))
    then("stopped, and not noticed", "stop word", "stop_word", lambda world: setattr(world.word, "set", True), ("killed",))
    then("stopped", "stop word", "killed", _heed_a_stop)
    then("the lease lost", "lease", "lease", lambda world: world.lease.release(), SECOND_WRITER)
    then("the lease lost, and looked at", "lease", "not_armed", _loses_the_lease)
    then("the lease lost for a moment, and looked at", "lease", "not_armed", _loses_the_lease_for_a_moment)
    then("unexplained again", "check reconciliation", "unexplained", _now_and(_unexplained))
    then("foreign activity", "foreign", "not_armed", _now_and(_foreign))
    for part, (rule, value) in BOUND.items():
        then(f"another {part}", f"bound {part}", rule, _bound(**{part: value}))
    then("other metadata", "bound symbols", "metadata_changed", _bound(symbols=OTHER_METADATA))
    then("no symbol", "bound symbols", "symbol_not_configured", _bound(symbols=()))
    then("the venue changed its rules", "bound symbols", "metadata_changed", _other_rules, WENT_ON)
    then("read-only now", "read-only", "read_only", lambda world: setattr(world.readings, "read_only", True))
    then("the journal failed, and noticed", "disk", "journal", FlipWorld.fail_journal)
    then("the disk fails under the order", "disk", "journal", FlipWorld.refuse_disk, WENT_ON)
    then("the order does not fit the journal", "journal", "journal", FlipWorld.fill_journal, WENT_ON)
    stale: dict[str, tuple[str, int, str, tuple[str, ...]]]
    stale = {"quotes": ("quoted", 1_100, "freshness_reference", ("level_reduces", *WENT_ON))}
    stale["rates"] = ("rated", 5_100, "usd_rates", WENT_ON)
    stale["check margin"] = ("valued", 5_100, "freshness_equity", WENT_ON)
    stale["marks"] = ("marked", 5_100, "freshness_mark", WENT_ON)
    for slot, (switch, ms, rule, later) in stale.items():
        then(f"{switch} no more", slot, rule, _waits(ms * NS_PER_MS, look=False, **{switch: False}), later)
    small = "max_order_notional_usd = 1"
    then("limits tightened below the order", "limits", "max_order_notional_usd", _tightens(f"{small}00", small))
    then("11 USD lost for good", "loss", "level_reduces", _marked("-11", "0"))
    then("11 USD lost for now", "loss", "max_daily_loss_usd", _marked("0", "-11"), ("max_drawdown_usd", "level_reduces"))


# In the order itself


def _book(**parts: Any) -> Do:
    def do(world: FlipWorld) -> None:
        given = {"bid_ticks": BID, "ask_ticks": ASK, "boot_ns": world.clock.boot_ns - parts.get("age_ns", 0), **parts}
        given.pop("age_ns", None)
        world.order["books"] = (r.Book(venue="bybit", symbol=PLACE[1], **given),)

    return do


def _times(**ahead_ns: int) -> Do:
    """Times of the order, told by how far they lie from now."""
    return lambda world: world.order.update({name: world.clock.boot_ns + ns for name, ns in ahead_ns.items()})


def _orders() -> None:
    def order(name: str, slot: str, rule: str, do: Do) -> None:
        flip(name, f"order {slot}", Moment.ORDER, Step.ORDER, rule, do)

    order("no lots", "lots", "quantities", puts("order", lots=0))
    order("a sell of less than nothing", "lots", "quantities", puts("order", lots=-1))
    order("three lots of two", "lots", "max_order_lots", puts("order", lots=3))
    order("no price", "ticks", "quantities", puts("order", ticks=0))
    order("a price too high", "ticks", "collar_reference", puts("order", ticks=403_000))
    order("fill or kill", "tif", "allow", puts("order", tif=TimeInForce.FOK))
    order("a market order", "type", "allow", puts("order", type=OrderType.MARKET))
    order("a flag that is not on the list", "reduce only", "allow", puts("order", reduce_only=True))
    order("a symbol that is not granted", "symbol", "symbol_not_granted", puts("order", symbol="ETHUSDT"))
    order("another venue", "venue", "known", puts("order", venue="upbit"))
    order("a strategy that nobody knows", "strategy", "known", puts("order", strategy="other"))
    order("a text without end", "group", "malformed", puts("order", group="x" * 65))
    order("an order that is not there to amend", "amends", "not_amendable", puts("order", amends="nobody"))
    order("no book", "books", "engine_books", puts("order", books=()))
    order("an old book", "books", "engine_books", _book(age_ns=600 * NS_PER_MS))
    order("a book from ahead", "books", "engine_books", _book(age_ns=-NS_PER_MS))
    order("a book far off", "books", "engine_books", _book(bid_ticks=BID + 1_000, ask_ticks=ASK + 1_000))
    order("a crossed book", "books", "engine_books", _book(bid_ticks=ASK, ask_ticks=BID))
    order("a number from before", "sequence", "repeated", puts("order", sequence=-1))
    order("the deadline passed", "times", "deadline_passed", _times(deadline_boot_ns=-1))
    order("a deadline at this very moment", "times", "deadline_passed", _times(deadline_boot_ns=0))
    order("a deadline too far", "times", "deadline_too_far", _times(deadline_boot_ns=5_001 * NS_PER_MS))
    order("made in the future", "times", "created_in_future", _times(created_boot_ns=1))
    order("made too long ago", "times", "too_old", _times(created_boot_ns=-501 * NS_PER_MS))
    order("under way for too long", "times", "too_old", puts("order", late_ns=501 * NS_PER_MS))


# Between the permit and the write


def _client_id(world: FlipWorld) -> str:
    return next(iter(world.keeper.state.orders.live))


def _wants_cancel(world: FlipWorld) -> None:
    world.parts.take(*core.want_cancels(world.keeper.state, (), "flip", "ann", world.clock()))


async def _armed_anew(world: FlipWorld) -> None:
    await world.say(Role.LOWER, f.Disarm(reason="flip"))
    world.wish["nonce"], world.reply["level_nonce"] = "d" * 32, "e" * 32
    challenge = await world.ask_to_arm()
    if isinstance(challenge, f.Challenge):
        await world.answer(challenge)


def _sees(name: str, value: bool) -> Do:
    return lambda world: setattr(world.readings, name, value)


def _tightened(world: FlipWorld) -> r.Record:
    """Under these limits the order would be permitted as well; it was judged by others."""
    sheet = lc.changed(world.keeper.state.sheet, "account", max_drawdown_micro_usd=9_000_000)
    return msgspec.structs.replace(tightening(world.keeper.state, sheet), boot_ns=world.clock.boot_ns)


def _tightens(old: str, new: str) -> Do:
    assert old in lc.TEXT
    return says(Role.LOWER, lambda _: f.Tighten(limits=lc.TEXT.replace(old, new), reason="flip"))


def _written() -> None:
    kill = _now_and(lambda ns: r.KillRequested(boot_ns=ns, source="flip", wall_ns=1))
    both: list[tuple[str, str, str, Do]] = [
        ("stopped", "stop word", "stop word", lambda world: setattr(world.word, "set", True)),
        ("the lease lost", "lease", "lease", lambda world: world.lease.release()),
        ("to be cancelled", "cancel", "order state", _wants_cancel),
        ("its deadline over", "time", "deadline", lambda world: world.clock.pass_(NS_PER_S)),
        ("another epoch", "epoch", "epoch", takes(lambda world: r.Epoch(boot_ns=1, number=world.keeper.state.last_epoch + 1))),
        ("killed", "kill", "killed", kill),
        ("disarmed", "disarm", "disarmed", _now_and(_disarmed)),
        ("disarmed with the mandate", "disarm", "not_armed", _now_and(lambda ns: _disarmed(ns, mandate_ends=True))),
        ("the symbol disarmed", "symbol", "symbol_disarmed", _now_and(lambda ns: _disarmed(ns, symbol="bybit/BTCUSDT"))),
        ("unexplained", "check reconciliation", "unexplained", _now_and(_unexplained)),
        ("foreign activity", "foreign", "not_armed", _now_and(_foreign)),
        ("read-only", "read-only", "read_only", _sees("read_only", True)),
        ("the sentinel silent", "check sentinel", "sentinel", _sees("sentinel_alive", False)),
        ("the checker silent", "checker", "checker", _sees("checker_alive", False)),
        ("other metadata", "bound symbols", "metadata_changed", _bound(symbols=OTHER_METADATA)),
        ("no symbol", "bound symbols", "symbol_not_configured", _bound(symbols=())),
        ("the limits tightened", "limits", "limits", takes(_tightened)),
    ]
    both += [(f"another {part}", f"bound {part}", rule, _bound(**{part: value})) for part, (rule, value) in BOUND.items()]
    for level, rule in LEVELS.items():
        both.append((f"level {level.value}", "level", rule, lambda world, level=level: world.lower(level)))  # type: ignore[misc]
        for scope, subject in SCOPES.items():
            latch: Do = lambda world, scope=scope, subject=subject, level=level: world.latch(scope, subject, level)  # type: ignore[misc] # noqa: E731
            both.append((f"{scope.value} latched at {level.value}", f"latch {scope.value}", rule, latch))
        own: Do = lambda world, level=level: world.latch(Scope.ORDER, _client_id(world), level)  # type: ignore[misc] # noqa: E731
        both.append((f"the order latched at {level.value}", "latch order", rule, own))
    # What a level calls for is cancelled as soon as somebody looks, and then that is what stands in the way.
    for moment in (Moment.PERMITTED, Moment.WIRED):
        for name, slot, rule, do in both:
            flip(f"{name}, {moment.name.lower()}", slot, moment, Step.WRITE, rule, do, ("order state",))
    # The end of its grant takes the order back, whatever is granted next.
    flip("armed anew", "disarm", Moment.PERMITTED, Step.WRITE, "order state", _armed_anew, ("another grant", "disarmed"))
    flip("the disk fails before the write", "disk", Moment.PERMITTED, Step.WRITE, "journal", FlipWorld.refuse_disk)
    flip("nobody listens", "connection", Moment.PERMITTED, Step.WRITE, "no connection", sets(reachable=False))


for _part in (_terminal, _wishes, _beginnings, _checks, _answers, _granted, _orders, _written):
    _part()
SLOTS: dict[str, list[Flip]] = {}
for _flip in FLIPS:
    SLOTS.setdefault(_flip.slot, []).append(_flip)


def walk(*flips: Flip) -> Outcome:
    return asyncio.run(FlipWorld().walk(flips))


async def _refused(flips: Sequence[Flip]) -> str:
    """What is wrong with how these flips were refused; empty if nothing is."""
    outcome = await FlipWorld().walk(flips)
    first = min(flip.step for flip in flips)
    allowed = frozenset().union(*(flip.rules | flip.later for flip in flips))
    right = outcome.step == first or (outcome.step > first and any(flip.step == first and flip.later & outcome.rules for flip in flips))
    if outcome.raising or outcome.bytes_out or not right or not outcome.rules or not outcome.rules <= allowed:
        return f"{list(flips)}: {outcome}, expected {first!r} by {sorted(allowed)}"
    return ""


def combined(flips: Sequence[Flip]) -> bool:
    """Whether these can all be so at once."""
    return len({flip.slot for flip in flips}) == len(flips)


async def _all_refused(many: Iterable[Sequence[Flip]]) -> None:
    wrong, count = [], 0
    for flips in many:
        count += 1
        wrong += [said for said in [await _refused(flips)] if said]
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:20])
    assert count


def test_the_way_with_nothing_flipped_sends_exactly_one_order() -> None:
    for _ in range(3):
        outcome = walk()
        assert outcome.step is Step.NOBODY
        assert len(outcome.raising) == 1
        assert outcome.bytes_out > 100


def test_every_flip_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(flip.name for flip in FLIPS).items() if count > 1] == []
    assert len(FLIPS) > 200


@pytest.mark.parametrize("moment", Moment)
def test_every_single_flip_is_refused_by_its_rule_and_nothing_is_sent(moment: Moment) -> None:
    async def run() -> None:
        wrong = []
        for one in [flip for flip in FLIPS if flip.moment is moment]:
            outcome = await FlipWorld().walk([one])
            # Between the record of the write and the last check the desk may have looked already: its answer to the engine is under way.
            looked = frozenset(one.later) if moment is Moment.WIRED else frozenset()
            named = outcome.rules in (one.rules, looked)
            if not named or (outcome.step, outcome.raising, outcome.bytes_out) != (one.step, (), 0):
                wrong.append(f"{one}: expected {one.step!r} by {sorted(one.rules)}, found {outcome}")
        assert not wrong, "\n".join(wrong)

    asyncio.run(run())


def pairs_of_conditions(seed: int) -> list[tuple[Flip, Flip]]:
    """For every two conditions one flip of each, by chance."""
    chance = random.Random(seed)
    return [(chance.choice(SLOTS[one]), chance.choice(SLOTS[other])) for one, other in combinations(sorted(SLOTS), 2)]


def test_every_pair_of_conditions_is_refused_by_the_rule_of_one_of_them() -> None:
    pairs = pairs_of_conditions(seed=11)
    assert len(pairs) > 3_000
    asyncio.run(_all_refused(pairs))


@pytest.mark.soak
@pytest.mark.parametrize("part", range(8))
def test_every_pair_of_flips_is_refused_by_the_rule_of_one_of_them(part: int) -> None:
    pairs = [pair for pair in combinations(FLIPS, 2) if combined(pair)]
    assert len(pairs) > 50_000
    asyncio.run(_all_refused(pairs[part::8]))


def draw(chance: random.Random) -> list[Flip]:
    """Every condition good or bad by itself, with odds at which all are good about as often as not."""
    odds = 0.7 / len(SLOTS)
    return [chance.choice(SLOTS[slot]) for slot in sorted(SLOTS) if chance.random() < odds]


async def _at_random(seed: int, count: int) -> Counter[str]:
    """How often nothing was bad and one order went out, and how often something was and none did."""
    chance = random.Random(seed)
    found: Counter[str] = Counter()
    for _ in range(count):
        flips = draw(chance)
        outcome = await FlipWorld().walk(flips)
        if flips:
            assert (outcome.raising, outcome.bytes_out) == ((), 0), (flips, outcome)
            assert outcome.step is not Step.NOBODY, (flips, outcome)
            found["refused"] += 1
            found[f"{min(len(flips), 3)} bad"] += 1
        else:
            assert (outcome.step, len(outcome.raising)) == (Step.NOBODY, 1), outcome
            found["sent"] += 1
    return found


# Ten times as many and more run in the long tests; these are what a test run has time for.
def test_at_random_an_order_goes_out_if_and_only_if_everything_is_good() -> None:
    found = asyncio.run(_at_random(seed=1, count=2_000))
    assert found["sent"] > 800, found
    assert found["refused"] > 800, found
    assert found["3 bad"] > 30, found


@pytest.mark.soak
@pytest.mark.parametrize("part", range(10))
def test_a_hundred_thousand_at_random(part: int) -> None:
    found = asyncio.run(_at_random(seed=100 + part, count=10_000))
    assert min(found["sent"], found["refused"]) > 4_000, found


# Conditions that are good by themselves


def also(name: str, moment: Moment, do: Do) -> Flip:
    """A change that is no reason to refuse."""
    return Flip(name, name, moment, Step.NOBODY, frozenset(), do)


GOOD = (
    also("LIVE_ARM_AT 598 s old", Moment.ASK, puts("terminal", LIVE_ARM_AT=str(WALL_S - 598))),
    also("the smallest cap that fits", Moment.ASK, puts("terminal", LIVE_MAX_NOTIONAL_USD="40.01")),
    also("the largest cap", Moment.ASK, puts("terminal", LIVE_MAX_NOTIONAL_USD="1000")),
    also("less than the environment allows", Moment.ASK, puts("wish", max_notional_usd="99.99")),
    also("a whole day", Moment.ASK, puts("wish", lifetime_ns=86_400 * NS_PER_S)),
    also("an answer after 118 s", Moment.ANSWER, _leaps(116_800 * NS_PER_MS)),
    also("limits tightened before the answer", Moment.ANSWER, _tightens("max_drawdown_usd = 10", "max_drawdown_usd = 9")),
    also(
        "limits tightened, and the order within", Moment.GRANTED, _tightens("max_order_notional_usd = 100", "max_order_notional_usd = 50")
    ),
    also("limits that are looser, refused", Moment.PERMITTED, _tightens("max_order_lots = 2", "max_order_lots = 3")),
    also("598 s after the grant", Moment.GRANTED, _leaps(597 * NS_PER_S)),
    also("a latch on something else", Moment.GRANTED, lambda world: world.latch(Scope.SYMBOL, "bybit/ETHUSDT", Level.HALT)),
    also("another symbol disarmed", Moment.GRANTED, _now_and(lambda ns: _disarmed(ns, symbol="bybit/ETHUSDT"))),
    also("everybody looked", Moment.GRANTED, _waits(2 * NS_PER_S, look=True)),
    also("two lots", Moment.ORDER, puts("order", lots=2)),
    also("499 ms under way", Moment.ORDER, puts("order", late_ns=499 * NS_PER_MS)),
    also("a deadline of five seconds", Moment.ORDER, _times(deadline_boot_ns=5 * NS_PER_S)),
    also("half a second until it is written", Moment.PERMITTED, lambda world: world.clock.pass_(500 * NS_PER_MS)),
    also("a latch on another strategy", Moment.WIRED, lambda world: world.latch(Scope.STRATEGY, "other", Level.HALT)),
)


@pytest.mark.parametrize("good", GOOD, ids=repr)
def test_what_is_just_good_enough_sends_one_order(good: Flip) -> None:
    outcome = walk(good)
    assert (outcome.step, len(outcome.raising)) == (Step.NOBODY, 1), outcome


@pytest.mark.parametrize(
    ("one", "other", "step", "rule"),
    [
        ("LIVE_ARM_AT 598 s old", "an answer after 118 s", Step.ANSWER, "at_stale"),
        ("the smallest cap that fits", "two lots", Step.ORDER, "max_order_notional_usd"),
    ],
)
def test_two_conditions_that_are_good_alone_can_be_bad_together(one: str, other: str, step: Step, rule: str) -> None:
    by_name = {good.name: good for good in GOOD}
    outcome = walk(by_name[one], by_name[other])
    assert (outcome.step, outcome.rules, outcome.bytes_out) == (step, frozenset({rule}), 0)
