"""A person tightens the limits of a running gate: what is refused, what is in force from then on, and what becomes of orders at rest."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.gate import limit_cases as lc
from tests.gate.flip_ports import BID, PLACE, until
from tests.gate.flip_world import FlipWorld

import interlock.gate
from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.orders import Liquidity, Side, TimeInForce
from interlock.gate import commands, report
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.core import PERMIT
from interlock.gate.exposure import Burden
from interlock.gate.frames import Role
from interlock.gate.limit_sheet import parse, sheet_hash

MS, S = NS_PER_MS, NS_PER_S


def text(*changes: tuple[str, str], of: str = lc.TEXT) -> str:
    for old, new in changes:
        assert of.count(old) >= 1, old
        of = of.replace(old, new)
    return of


SMALLER = ("max_order_lots = 2", "max_order_lots = 1")
LARGER = ("max_order_lots = 2", "max_order_lots = 3")


def using(use: Callable[[FlipWorld], Awaitable[None]]) -> None:
    async def run() -> None:
        world = FlipWorld()
        try:
            await world.begin()
            await use(world)
        finally:
            world.close()

    asyncio.run(run())


async def arm(world: FlipWorld) -> None:
    challenge = await world.ask_to_arm()
    assert isinstance(challenge, f.Challenge), challenge
    assert isinstance(await world.answer(challenge), f.Done)


async def tighten(world: FlipWorld, *changes: tuple[str, str], **more: Any) -> f.Frame:
    return await world.say(Role.LOWER, f.Tighten(limits=text(*changes, **more), reason="less for today"))


async def done(world: FlipWorld, *changes: tuple[str, str]) -> dict[str, Any]:
    answer = await tighten(world, *changes)
    assert isinstance(answer, f.Done), answer
    return answer.report


async def refused(world: FlipWorld, *changes: tuple[str, str], **more: Any) -> f.Refusal:
    before = (world.keeper.state.limits, world.keeper.state.records)
    answer = await tighten(world, *changes, **more)
    assert isinstance(answer, f.Refusal), answer
    assert (world.keeper.state.limits, world.keeper.state.records) == before
    return answer


async def sent(world: FlipWorld, **order: Any) -> str:
    """The client id of an order that was permitted and written."""
    decision = await world.propose(**order)
    assert decision.result == PERMIT, decision
    await until(lambda: decision.client_id not in world.keeper.state.permits)
    world.taps.seen()  # the venue reads, so that the next order finds nothing of this one in its way
    assert world.keeper.state.orders.by_id[decision.client_id].sent, [one for one in world.keeper.given if isinstance(one, r.NotSent)]
    return decision.client_id


def test_tighter_limits_are_in_force_at_once_and_the_grant_stays_good() -> None:
    async def use(world: FlipWorld) -> None:
        await arm(world)
        before = world.keeper.state.limits.hash
        assert (await world.propose(lots=2, tif=TimeInForce.IOC)).result == PERMIT
        told = await done(world, SMALLER, ("max_daily_loss_usd = 10", "max_daily_loss_usd = 5"))
        after = sheet_hash(parse(text(SMALLER, ("max_daily_loss_usd = 10", "max_daily_loss_usd = 5")), "the file"))
        assert (told["before"], told["after"], told["journaled"]) == (before, after, True)
        assert told["changed"] == [
            {"key": "account.max_daily_loss_usd", "was": "10", "now": "5"},
            {"key": "symbols.bybit:BTCUSDT.max_order_lots", "was": "2", "now": "1"},
        ]
        assert (await world.propose(lots=2, tif=TimeInForce.IOC)).rule == "max_order_lots"
        (record,) = [one for one in world.keeper.given if isinstance(one, r.LimitsTightened)]
        assert (record.before, record.after, record.actor, record.reason) == (before, after, "user 1000", "less for today")
        stands = report.report(world.parts, (), (), ())["limits"]
        assert stands == {"hash": after, "began_with": before, "tightened_at": stands["tightened_at"], "looser_than_before": []}
        assert stands["tightened_at"].startswith("20")
        world.keeper.state.apply(r.Tick(boot_ns=world.clock.boot_ns, wall_ns=1))
        assert world.keeper.state.live is not None
        assert not world.keeper.state.arming.ended

    using(use)


def test_what_is_looser_anywhere_is_refused_whole_and_by_name() -> None:
    async def use(world: FlipWorld) -> None:
        answer = await refused(world, LARGER, ("max_daily_loss_usd = 10", "max_daily_loss_usd = 5"))
        assert answer.rule == "looser"
        assert answer.detail == "symbols.bybit:BTCUSDT.max_order_lots: expected at most 2, which is in force, found 3; nothing was changed"
        await done(world, SMALLER)
        # Neither back to the file of the start, nor by small steps.
        assert (await refused(world)).rule == "looser"
        assert (
            "expected at most 1, which is in force, found 2"
            in (await refused(world, ("max_drawdown_usd = 10", "max_drawdown_usd = 9"))).detail
        )
        assert (await done(world, SMALLER, ("max_drawdown_usd = 10", "max_drawdown_usd = 9")))["changed"][0][
            "key"
        ] == "account.max_drawdown_usd"

    using(use)


def test_every_looser_key_is_told_up_to_twenty() -> None:
    async def use(world: FlipWorld) -> None:
        doubled = []
        for line in lc.TEXT.splitlines():
            key, _, number = line.partition(" = ")
            if key.startswith("max_") and number.isdecimal() and f"{key} = {number}\n" in lc.TEXT:
                doubled.append((f"{line}\n", f"{key} = {int(number) * 2}\n"))
        answer = await refused(world, *dict.fromkeys(doubled))
        assert answer.detail.count("expected") == commands.MOST_TOLD
        assert "; and " in answer.detail
        assert answer.detail.endswith("more; nothing was changed")

    using(use)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("max_order_lots = 2\n", "")], "symbols.bybit:BTCUSDT.max_order_lots: expected a value, found none"),
        ([SMALLER, ("[account]", "[account]\nmax_luck_usd = 1")], "account.max_luck_usd"),
        ([("max_order_lots = 2", "max_order_lots = 0")], "above 0"),
        ([("max_order_lots = 2", "max_order_lots = -1")], "above 0"),
        ([("max_order_lots = 2", "max_order_lots = 0.5")], "max_order_lots"),
        ([("[account]", "[account")], "expected TOML"),
        ([("max_order_lots = 2", f"max_order_lots = {'9' * 5_000}")], "expected TOML"),
        ([("peer = ", f"peer = {'[' * 3_000}")], "expected TOML"),
        ([("[account]", f"a{'.a' * 300} = 1\n[account]")], "at most 200 dots in a line, found 300"),
        ([("[account]", '"\u2028"' + '."\u2028"' * 300 + " = 1\n[account]")], "at most 200 dots in a line, found 300"),
    ],
)
def test_what_is_no_sheet_is_refused_by_file_and_key(changes: list[tuple[str, str]], said: str) -> None:
    async def use(world: FlipWorld) -> None:
        answer = await refused(world, *changes)
        assert answer.rule == "limits"
        assert "the limits that were sent" in answer.detail
        assert said in answer.detail

    using(use)


def test_a_text_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(world: FlipWorld) -> None:
        long = lc.TEXT + "#" * (commands.LONGEST_SHEET - len(lc.TEXT))
        assert isinstance(await tighten(world, of=long), f.Done)
        assert (await refused(world, of=long + "#")).rule == "limits"
        monkeypatch.setattr(commands, "LARGEST_TIGHTENING", 1_000)
        assert (await refused(world, SMALLER)).rule == "too_large"
        monkeypatch.setattr(commands, "LARGEST_TIGHTENING", 1 << 17)
        assert (await done(world, SMALLER))["changed"]

    using(use)


def test_the_same_limits_again_change_nothing() -> None:
    async def use(world: FlipWorld) -> None:
        await arm(world)
        resting = await sent(world)
        records = world.keeper.state.records
        told = await done(world)
        assert (told["changed"], told["cancelling"], told["before"]) == ([], 0, told["after"])
        assert world.keeper.state.records == records
        assert world.keeper.state.orders.by_id[resting].cancel is None
        assert (await done(world, SMALLER))["changed"]

    using(use)


def test_orders_that_could_raise_risk_are_cancelled_and_what_brings_home_stays() -> None:
    async def use(world: FlipWorld) -> None:
        await arm(world)
        bought = await sent(world, ticks=BID + 1, tif=TimeInForce.IOC)
        world.parts.take(_filled(bought, world.clock.boot_ns))
        entry = await sent(world, ticks=BID - 10)
        exit_ = await sent(world, side=Side.SELL, ticks=BID + 1, tif=TimeInForce.IOC, reduce_only=True)
        assert (await done(world, ("max_position_lots = 2", "max_position_lots = 1")))["cancelling"] == 1
        orders = world.keeper.state.orders
        cancel = orders.by_id[entry].cancel
        assert cancel is not None
        assert orders.by_id[exit_].cancel is None
        (wanted,) = [one for one in world.keeper.given if isinstance(one, r.CancelWanted)]
        assert (wanted.client_id, wanted.reason) == (entry, "the limits were tightened")
        assert any(b"cancel" in data for name, data in world.taps.seen().items() if ".cancel." in name)

    using(use)


def _filled(client_id: str, boot_ns: int) -> r.Filled:
    return r.Filled(
        boot_ns=boot_ns,
        venue="bybit",
        account="main",
        symbol=PLACE[1],
        trade_id="t1",
        client_id=client_id,
        side=Side.BUY,
        ticks=BID + 1,
        lots=1,
        liquidity=Liquidity.TAKER,
        fee=Decimal(0),
        fee_currency="USDT",
        venue_ns=1,
    )


def test_a_killed_gate_and_one_whose_journal_failed_are_tightened_too() -> None:
    async def use(world: FlipWorld) -> None:
        await world.fail_journal()
        told = await done(world, SMALLER)
        assert (told["journaled"], world.keeper.state.sheet.symbols["bybit:BTCUSDT"].max_order_lots) == (False, 1)
        await world.say(Role.LOWER, f.Kill(source="test"))
        assert (await done(world, SMALLER, ("max_drawdown_usd = 10", "max_drawdown_usd = 9")))["cancelling"] == 0

    using(use)


def test_two_at_once_are_compared_with_what_is_in_force_when_they_are_put_in_force() -> None:
    async def use(world: FlipWorld) -> None:
        key = "max_order_notional_usd = "
        answers = await asyncio.gather(*(tighten(world, (f"{key}100", f"{key}{usd}")) for usd in (50, 60)))
        # Whichever was read first: the looser of the two is never in force after the tighter one.
        assert world.keeper.state.sheet.account.max_order_notional_micro_usd == 50_000_000
        taken = [one for one in world.keeper.given if isinstance(one, r.LimitsTightened)]
        assert len(taken) + sum(isinstance(one, f.Refusal) for one in answers) == 2

    using(use)


def test_the_watches_read_the_new_limits() -> None:
    """The market, rates, equity, naked time and marks: each is good before, and not by the new limit."""

    async def use(world: FlipWorld) -> None:
        await arm(world)
        place, boot_ns = PLACE, world.clock.boot_ns
        assert world.market.problem(place, boot_ns + 900 * MS) == ""
        assert world.market.minimums(boot_ns)
        await done(world, ("freshness_reference_ms = 1000", "freshness_reference_ms = 800"))
        assert "allowed 800000000" in world.market.problem(place, boot_ns + 900 * MS)
        assert world.market.problem(place, boot_ns + 800 * MS) == ""
        assert world.market.minimums(boot_ns)
        await done(
            world,
            ("freshness_reference_ms = 1000", "freshness_reference_ms = 800"),
            ('lowest_rate_usd = "0.97"', 'lowest_rate_usd = "1.01"'),
        )
        assert world.market.minimums(boot_ns) == {}
        worth = world.readings.equity
        world.clock.pass_(2 * S)
        await world.market.round(world.venue)
        await world.money.round(world.venue)
        assert world.readings.equity == worth
        assert world.money.missing

    using(use)


def test_a_burden_under_a_smaller_shock_is_not_known_any_more() -> None:
    async def use(world: FlipWorld) -> None:
        theirs = {("bybit", "main"): Burden(1, 1, 1, 1, 1, 1, world.clock.boot_ns)}
        world.readings.burdens = dict(theirs)
        await done(world, SMALLER)
        assert world.readings.burdens == theirs
        await done(world, SMALLER, ("shock_bps = 3000", "shock_bps = 3001"))
        assert world.readings.burdens == {}

    using(use)


def test_how_long_a_coin_was_naked_and_when_marks_are_due_follow_the_new_limits() -> None:
    async def use(world: FlipWorld) -> None:
        await arm(world)
        bought = await sent(world, ticks=BID + 1, tif=TimeInForce.IOC)
        world.parts.take(_filled(bought, world.clock.boot_ns))
        await world.turn()
        assert world.readings.naked_since_boot_ns["BTC"] is None
        await done(world, ("naked_tolerance_usd = 100", "naked_tolerance_usd = 10"))
        await world.turn()
        assert world.readings.naked_since_boot_ns["BTC"] == world.clock.boot_ns

    using(use)


def test_nothing_in_the_gate_keeps_a_sheet_of_its_own() -> None:
    """Whoever kept one would go on by it after a tightening. The sheet of the start and the one in force stand in the state, and nowhere else."""
    keepers = set()
    root = Path(str(interlock.gate.__file__)).parent
    for file in (*root.glob("**/*.py"), *(root.parent / "run").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                keepers |= {
                    f"{file.name}: {node.name}" for one in node.body if isinstance(one, ast.AnnAssign) and _is_sheet(one.annotation)
                }
            taken = isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute) and node.value.attr == "sheet"
            if isinstance(node, ast.Assign) and any(isinstance(one, ast.Attribute) for one in node.targets):
                names = {one.id for one in ast.walk(node.value) if isinstance(one, ast.Name)}
                if taken or {"sheet", "given"} & names:
                    keepers.add(f"{file.name}: {ast.unparse(node.targets[0])}")
    assert keepers == {
        "records.py: LimitsTightened",
        "in_force.py: InForce",
        "state.py: self.given",
        "state.py: self.throttles",  # the longest window, which no tightening changes
        "evaluate.py: _Subject",  # lives for one decision
        "observer_process.py: self._sheet",  # it watches an account and permits nothing
        "observer_process.py: self._observers",
        "why_journal.py: self._sheet",  # what a journal is folded with that is read afterwards
        "replay_gate.py: Limits",  # what a replay begins with, whose limits nobody tightens
    }


def _is_sheet(annotation: ast.expr) -> bool:
    return "LimitSheet" in {one.id for one in ast.walk(annotation) if isinstance(one, ast.Name)}
