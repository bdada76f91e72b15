"""A pair in every state that executions, ends, time and latches can bring it to, and what the reduce mandate permits there.

The gate's own decision is asked about every small order in every state; what it permits under the mandate is followed further. What such an order
can come to is reckoned here by going through all executions that may still happen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import NOW, S, proposal
from tests.gate.pair_world import LONGEST_NAKED_NS, SYMBOLS, facts_of_two, fills, legs, pair, plan
from tests.gate.pair_world import SHEET as PAIR_SHEET

from interlock.domain.orders import Side, TimeInForce
from interlock.gate import core, mandate, reduction
from interlock.gate import records as r
from interlock.gate.ceremony import NS_PER_HOUR
from interlock.gate.exposure import Equity, universe_of
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.mandate import Claim, Clause, MandateBounds, MandateRule
from interlock.gate.permission import Permission
from interlock.gate.readings import Now
from interlock.gate.state import GateState

LOTS = 2
"""Of each leg of the pair."""
MOST_ALIVE = 2
MOST_LOTS = 4
"""Of all orders together, those that are asked for excepted: bounds the search, not what is checked."""
NAKED_USD = 65
"""What may be naked of the coin: three lots at the price there is. Of the group two."""
GRANT_NS = 20 * S
AFTER_NS = (0, GRANT_NS, LONGEST_NAKED_NS + 1, 30 * NS_PER_HOUR)
"""When the grant holds; when it has expired; when the time of the group is over too; and when the mandate is."""
ROOM: dict[str, Any] = {
    "max_order_lots": 9,
    "max_position_lots": 9,
    "max_position_notional_micro_usd": 1 << 40,
    "max_open_orders_count": 99,
}
MANY: dict[str, Any] = {"max_orders_count": 9_999, "max_identical_orders_count": 9_999}
LEAVES = (
    (0, r.Level.RUN),
    (0, r.Level.REDUCE_ONLY),
    (1, r.Level.RUN),
    (2, r.Level.REDUCE_ONLY),
    (1, r.Level.HALT),
    (3, r.Level.RUN),
)
"""Which of AFTER_NS it is, and the level: from new risk to nothing, never back."""


class Small(NamedTuple):
    """An order that is asked about in every state."""

    leg: int
    side: Side
    lots: int
    group: str
    reduce_only: bool


SMALL = tuple(
    Small(leg, side, lots, group, reduce_only)
    for leg, side, lots in product((0, 1), (Side.BUY, Side.SELL), (1, LOTS))
    for group, reduce_only in (("p", False), ("p", True), ("", True), *((("another", False),) * (lots == 1)))
)
ENTRY = Small(0, Side.BUY, LOTS, "p", False)
BESIDE = Small(1, Side.SELL, 1, "", False)
"""An order that the grant lets through and that is nobody's leg."""
ANSWERS = tuple(Small(1, Side.SELL, lots, "p", False) for lots in (1, LOTS))


class Alive(NamedTuple):
    """An order that may still be executed."""

    order: Small
    filled: int


class Situation(NamedTuple):
    """What there is: orders that are alive, what those that ended had executed, the time, and the level that latches hold at."""

    alive: tuple[Alive, ...]
    ended: tuple[Small, ...]
    time: int
    level: r.Level

    def of(self, alive: list[Alive], ended: list[Small]) -> Situation:
        """The same with other orders, of those that ended all of one kind as one."""
        lots: dict[tuple[int, Side, str], int] = {}
        for one in ended:
            lots[one.leg, one.side, one.group] = lots.get((one.leg, one.side, one.group), 0) + one.lots
        merged = sorted(Small(leg, side, count, group, False) for (leg, side, group), count in lots.items() if count)
        return self._replace(alive=tuple(sorted(alive)), ended=tuple(merged))

    def steps(self) -> list[Situation]:
        """What can happen without anybody asking for it."""
        found = [self._replace(time=time, level=level) for time, level in LEAVES[LEAVES.index((self.time, self.level)) + 1 :]]
        for index, one in enumerate(self.alive):
            others = [*self.alive[:index], *self.alive[index + 1 :]]
            if one.filled + 1 < one.order.lots:
                found.append(self.of([*others, one._replace(filled=one.filled + 1)], [*self.ended]))
            else:
                found.append(self.of(others, [*self.ended, one.order]))
            found.append(self.of(others, [*self.ended, one.order._replace(lots=one.filled)]))
        return found

    @property
    def lots(self) -> int:
        return sum(one.order.lots for one in self.alive) + sum(one.lots for one in self.ended)

    def with_order(self, small: Small) -> Situation:
        return self.of([*self.alive, Alive(small, 0)], [*self.ended])


START = Situation((Alive(ENTRY, 0),), (), 0, r.Level.RUN)


class Group:
    """A gate that folded a situation."""

    def __init__(self, now: Situation) -> None:
        self.now = now
        self.world = pair(lifetime_ns=GRANT_NS)
        self.world.state.given = SHEET
        whole = plan(self.world, *legs(lots=LOTS), naked_cap_usd=Decimal(45))
        begun = r.GroupReserved(
            boot_ns=NOW.boot_ns,
            group="p",
            client_ids=(),
            naked_cap_usd=whole.naked_cap_usd,
            loss_bound_usd=whole.loss_bound_usd,
            deadline_boot_ns=NOW.boot_ns + LONGEST_NAKED_NS,
            reserved_until_boot_ns=whole.deadline_boot_ns,
            legs=tuple(
                r.ReservedLeg(
                    venue=leg.venue,
                    account="main",
                    symbol=leg.symbol,
                    side=leg.side,
                    ticks=leg.ticks,
                    lots=leg.lots,
                    units_per_lot=1,
                    notional_usd=Decimal(40),
                )
                for leg in whole.legs
            ),
        )
        self.state.apply(begun)
        for number, (order, filled) in enumerate([*now.alive, *((one, one.lots) for one in now.ended)]):
            self.fold(f"order-{number}", order, filled)
        if now.level is not r.Level.RUN:
            latch = r.LatchSet(boot_ns=NOW.boot_ns, name="held", scope=r.Scope.ALL, subject="", level=now.level, reason="test", actor="ann")
            self.state.apply(latch)
        self.refresh()

    @property
    def state(self) -> GateState:
        return self.world.state

    def fold(self, client_id: str, order: Small, filled: int) -> None:
        venue, symbol, _ = SYMBOLS[order.leg]
        wanted = lc.intent(
            order.side,
            order.lots,
            200_000,
            venue=venue,
            symbol=symbol,
            client_id=client_id,
            reduce_only=order.reduce_only,
        )
        self.state.apply(msgspec.structs.replace(wanted, boot_ns=NOW.boot_ns, group=order.group))
        self.state.apply(msgspec.structs.replace(aw.permit(client_id, "g"), boot_ns=NOW.boot_ns))
        self.state.apply(r.WireBegin(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, connection="c"))
        self.state.apply(r.Sent(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, sign_wall_ns=NOW.wall_ns, receive_window_ns=2 * S))
        if filled:
            fills(self.world, client_id, filled)

    def refresh(self) -> None:
        """Readings are as fresh as the moment."""
        at = NOW.boot_ns + AFTER_NS[self.now.time]
        self.world.now = Now(at, NOW.wall_ns)
        quotes = [lc.quote(200_000, 200_001, at, venue=venue, symbol=symbol) for venue, symbol, _ in SYMBOLS]
        self.world.readings.references = lc.seen(SHEET, universe_of(facts_of_two()), *lc.steady(*quotes), lc.rate(at=at))
        self.world.readings.equity = {(venue, "main"): Equity(1_000_000_000, at) for venue in ("bybit", "other")}
        zero = Decimal(0)
        self.state.apply(r.Marked(boot_ns=at, realised_usd=zero, unrealised_usd=zero, equity_usd=Decimal(1_000)))

    def decide(self, small: Small) -> core.Effects:
        at = self.world.now.boot_ns
        venue, symbol, _ = SYMBOLS[small.leg]
        wanted = proposal(
            venue=venue,
            symbol=symbol,
            side=small.side,
            tif=TimeInForce.IOC if small.reduce_only else TimeInForce.GTC,
            reduce_only=small.reduce_only,
            ticks=200_000,
            lots=small.lots,
            group=small.group,
            sequence=1_000,
            created_boot_ns=at,
            deadline_boot_ns=at + S,
            books=tuple(r.Book(venue=name, symbol=coin, bid_ticks=200_000, ask_ticks=200_001, boot_ns=at) for name, coin, _ in SYMBOLS),
        )
        return core.decide(self.world.setup, self.state, self.world.readings, wanted, self.world.now)


def sheet() -> LimitSheet:
    found = PAIR_SHEET
    for name in ("bybit:BTCUSDT", "other:BTC"):
        found = lc.changed(found, "symbols", name, **ROOM)
    found = lc.changed(found, "assets", "BTC", max_naked_notional_micro_usd=NAKED_USD * 1_000_000)
    return lc.changed(found, "strategies", "demo", **MANY)


SHEET = sheet()


def outcomes(now: Situation, adding: Small | None = None, group: str | None = None) -> set[tuple[int, int]]:
    """What may be held of both legs once everything has ended, each order executed as far as it may be; of one group alone if it is named."""
    held = [0, 0]
    still: list[tuple[int, int, int]] = []
    for order, filled in [*((one.order, one.filled) for one in now.alive), *((one, one.lots) for one in now.ended)]:
        if group in (None, order.group):
            held[order.leg] += order.side * filled
            still.append((order.leg, order.side, order.lots - filled))
    if adding is not None:
        still.append((adding.leg, adding.side, adding.lots))
    found = set()
    for executed in product(*[range(lots + 1) for _, _, lots in still]):
        after = list(held)
        for (leg, side, _), lots in zip(still, executed, strict=True):
            after[leg] += side * lots
        found.add((after[0], after[1]))
    return found


def naked(found: set[tuple[int, int]]) -> int:
    return max(abs(here + there) for here, there in found)


def widest(found: set[tuple[int, int]], leg: int) -> int:
    return max(abs(one[leg]) for one in found)


def check(now: Situation, small: Small, effects: core.Effects) -> str:
    """What holds of every order that the gate permits; the clause of the mandate that it is under."""
    (permit,) = (record for record in effects.records if isinstance(record, r.Permit))
    if not permit.mandate:
        assert (now.time, now.level) == (0, r.Level.RUN), "new risk without a grant"
        return ""
    assert now.time < len(AFTER_NS) - 1, "the mandate is over"
    assert now.level is not r.Level.HALT, "nothing is reduced at HALT"
    assert not any(isinstance(record, r.GroupReserved) for record in effects.records), "a mandate begins no group"
    if permit.mandate != Clause.REDUCE_ONLY:
        assert small.group == "p", "a hedge or a pair of no group"
        assert AFTER_NS[now.time] <= LONGEST_NAKED_NS, "the time of the group is over"
    before, after, leg = outcomes(now), outcomes(now, small), small.leg
    if permit.mandate == Clause.HEDGE:
        assert naked(after) <= naked(before), "a hedge adds to what is naked"
        assert naked(outcomes(now, small, "p")) <= naked(outcomes(now, None, "p")), "a hedge adds to what is naked of its group"
        assert widest(outcomes(now, small, "p"), leg) <= LOTS, "a leg of the group is more than was planned"
        executed = sum(one.order.side * one.filled for one in now.alive if one.order.group == "p")
        executed += sum(one.side * one.lots for one in now.ended if one.group == "p")
        answers = [one for one in now.alive if one.order.group == "p" and one.order.side is small.side]
        answered = sum(one.order.lots - one.filled for one in answers)
        assert small.lots <= -small.side * executed - answered, "a hedge of what was not executed"
        return permit.mandate
    held = sum(one.side * one.lots for one in now.ended if one.leg == leg) + sum(
        one.order.side * one.filled for one in now.alive if one.order.leg == leg
    )
    assert all(held * one[leg] >= 0 and abs(one[leg]) <= abs(held) for one in after), "a reduction may do more than reduce"
    most = LOTS if permit.mandate == Clause.SHRINK_PAIR else LOTS + 1
    assert naked(after) <= max(naked(before), most), "more is naked than may be"
    return permit.mandate


def search() -> tuple[int, set[tuple[str, int, int]]]:
    """Visit every situation; how many there are, and which clauses permitted what."""
    seen, queue = {START}, deque([START])
    clauses: set[tuple[str, int, int]] = set()
    while queue:
        now = queue.popleft()
        group = Group(now)
        further = now.steps()
        for small in SMALL:
            effects = group.decide(small)
            if effects.decision.result != core.PERMIT:
                continue
            clause = check(now, small, effects)
            clauses.add((clause, small.leg, int(small.side)))
            # Of what the grant lets through an answer is followed, and one order that stands beside the group.
            if len(now.alive) < MOST_ALIVE and now.lots + small.lots <= MOST_LOTS and (clause or small in ANSWERS):
                further.append(now.with_order(small))
        if (now.time, now.level, len(now.alive)) == (0, r.Level.RUN, 1) and all(one.group for one in now.ended):
            further.append(now.with_order(BESIDE))
        if now.level is r.Level.HALT or now.time == len(AFTER_NS) - 1:
            continue  # nothing is permitted any more, which was just seen
        for after in further:
            if after not in seen:
                seen.add(after)
                queue.append(after)
    return len(seen), clauses


def test_the_mandate_never_adds_to_a_pair_in_any_situation() -> None:
    states, clauses = search()
    assert states > 100
    assert {clause for clause, _, _ in clauses} == {"", *Clause}, "the search must reach each clause"


Refuse = Callable[[Permission, Claim, MandateBounds, int], MandateRule | None]


def without(*rules: MandateRule) -> Refuse:
    """A mandate that does not know some of its rules."""

    def refuse(may: Permission, claim: Claim, bounds: MandateBounds, now_boot_ns: int) -> MandateRule | None:
        said = mandate.refuse_reduction(may, claim, bounds, now_boot_ns)
        return None if said in rules else said

    return refuse


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ((MandateRule.NOT_PROVEN,), "a hedge of what was not executed|a leg of the group is more than was planned"),
        ((MandateRule.NAKED,), "a hedge adds to what is naked"),
        ((MandateRule.NOT_SHRINKING,), "a reduction may do more than reduce"),
    ],
    ids=["hedges what is not proven", "adds to what is naked", "reduces beyond nothing"],
)
def test_the_search_finds_a_mandate_that_permits_more(rules: tuple[MandateRule, ...], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduction, "refuse_reduction", without(*rules))
    with pytest.raises(AssertionError, match=found):
        search()
