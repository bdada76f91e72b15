"""The account's own fee rates against what its executions are charged: as told nothing, off by more than a tenth of a basis point a latch."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.gate import limit_cases as lc
from tests.gate.core_world import armed_state
from tests.gate.watch_venue import Clock

from interlock.domain.orders import Liquidity, Side
from interlock.gate import fee_watch as fw
from interlock.gate import records as r
from interlock.gate.fee_watch import AGAIN_NS, COMPARABLE_NS, EVERY_NS, MOST_HELD, FeeWatch
from interlock.gate.lattice import Lattice, effective_level
from interlock.gate.profit import Worth
from interlock.gate.state import GateState
from interlock.venues.port import FeeRates

USDT = Worth(currency="USDT", tick_lot=Decimal("0.0001"), base="BTC", lot=Decimal("0.001"), spot=False)
KRW = Worth(currency="KRW", tick_lot=Decimal("0.00001"), base="BTC", lot=Decimal("0.00000001"), spot=True)
BYBIT, OTHER, UPBIT, SILENT = ("bybit", "BTCUSDT"), ("bybit", "ETHUSDT"), ("upbit", "KRW-BTC"), ("fake", "BTCUSDT")
RATES = FeeRates(Decimal("0.0002"), Decimal("0.00055"))
VALUE = Decimal(40)
"""USDT of the executions here."""


class World:
    """A watch over three venues, the last of which tells no rates, and what the gate folds of its latches."""

    def __init__(self) -> None:
        self.clock = Clock()
        worths = {BYBIT: USDT, OTHER: USDT, UPBIT: KRW, SILENT: USDT}
        self.watch = FeeWatch(worths, ["bybit", "upbit"], self.clock)
        self.state = GateState(lc.SHEET)
        self.trades = 0

    def knowing(self) -> World:
        for place in (BYBIT, OTHER, UPBIT):
            self.watch.asked(place)
            self.watch.take(place, RATES)
        return self

    def fill(self, rate: str, maker: bool = False, **more: Any) -> World:
        """An execution of 40 USDT, charged at a rate."""
        self.trades += 1
        given: dict[str, Any] = {
            "venue": "bybit",
            "account": "main",
            "symbol": "BTCUSDT",
            "trade_id": f"t{self.trades}",
            "client_id": "ours",
            "side": Side.BUY,
            "ticks": 400_000,
            "lots": 1,
            "liquidity": Liquidity.MAKER if maker else Liquidity.TAKER,
            "fee": VALUE * Decimal(rate),
            "fee_currency": "USDT",
            "venue_ns": self.clock.wall_ns,
        }
        self.watch.note(r.Filled(boot_ns=self.clock.boot_ns, **{**given, **more}))
        return self

    def latches(self) -> list[r.LatchSet]:
        found = list(self.watch.turn(self.state))
        for record in found:
            self.state.apply(record)
        return found

    def told(self, place: tuple[str, str] = BYBIT) -> dict[str, Any]:
        (found,) = (one for one in self.watch.told() if (one["venue"], one["symbol"]) == place)
        return found


@pytest.mark.parametrize(
    ("rate", "maker", "off"),
    [
        ("0.00055", False, False),
        ("0.0002", True, False),
        ("0.00056", False, False),
        ("0.00054", False, False),
        ("0.000560001", False, True),
        ("0.000539999", False, True),
        ("0.0002", False, True),
        ("0.00055", True, True),
        ("-0.0002", True, True),
        ("0", False, True),
    ],
)
def test_off_by_more_than_a_tenth_of_a_basis_point_latches_and_by_less_does_not(rate: str, maker: bool, off: bool) -> None:
    world = World().knowing().fill(rate, maker)
    assert bool(world.latches()) is off
    assert (world.told()["compared"], world.told()["off"]) == (1, int(off))


def test_the_latch_holds_the_account_to_reducing_and_says_what_was_measured_and_expected() -> None:
    world = World().knowing()
    world.clock.pass_(90 * lc.S)
    (latch,) = world.fill("0.001").latches()
    assert (latch.name, latch.scope, latch.subject, latch.level) == ("fee", r.Scope.ACCOUNT, "bybit/main", r.Level.REDUCE_ONLY)
    assert latch.evidence == {
        "symbol": "BTCUSDT",
        "trade_id": "t1",
        "liquidity": "taker",
        "measured": "0.001",
        "expected": "0.00055",
        "fee": "0.040 USDT",
        "read_s_ago": "90",
    }
    assert all(word in latch.reason for word in ("0.001", "0.00055", "BTCUSDT"))
    assert r.decode(r.encode(latch)) == latch
    for where, level in (("bybit/main", r.Level.REDUCE_ONLY), ("upbit/main", r.Level.RUN)):
        assert effective_level(running(latch), symbol="", strategy="", account=where, order="-") is level


def running(latch: r.LatchSet) -> Lattice:
    """A gate that may take new risk, but for this latch."""
    state = armed_state()
    state.apply(latch)
    return state.lattice


def test_an_account_that_is_held_for_it_is_not_held_again_until_a_person_has_cleared_it() -> None:
    world = World().knowing()
    (latch,) = world.fill("0.001").fill("0.001").latches()
    assert latch.evidence["trade_id"] == "t1"
    assert world.fill("0.001").latches() == []
    cleared = r.LatchCleared(
        boot_ns=1,
        name="fee",
        scope=r.Scope.ACCOUNT,
        subject="bybit/main",
        actor="ann",
        nonce="n",
        state_version=world.state.lattice.version,
    )
    world.state.apply(cleared)
    assert len(world.fill("0.001").latches()) == 1
    assert world.told()["off"] == 4


@pytest.mark.parametrize(
    ("name", "scope", "subject", "held"),
    [
        ("fee", r.Scope.ACCOUNT, "bybit/main", True),
        ("unexplained", r.Scope.ACCOUNT, "bybit/main", False),
        ("fee", r.Scope.SYMBOL, "bybit/main", False),
        ("fee", r.Scope.ACCOUNT, "bybit/other", False),
    ],
)
def test_only_a_latch_of_fees_on_the_same_account_holds_it_for_them(name: str, scope: r.Scope, subject: str, held: bool) -> None:
    world = World().knowing()
    world.state.apply(
        r.LatchSet(
            boot_ns=1, name=name, scope=scope, subject=subject, level=r.Level.REDUCE_ONLY, reason="a test", actor="gate", evidence={}
        )
    )
    assert bool(world.fill("0.001").latches()) is not held


def test_a_record_that_is_no_execution_is_nothing_to_compare() -> None:
    world = World().knowing()
    (latch,) = world.fill("0.001").latches()
    world.watch.note(latch)
    assert world.latches() == []
    assert world.told()["compared"] == 1


def test_an_execution_waits_for_the_rates_and_is_compared_as_soon_as_they_were_read() -> None:
    world = World().fill("0.001").fill("0.00055")
    assert world.latches() == []
    assert (world.told()["waiting"], world.told()["maker"], world.told()["problem"]) == (2, "not known", "not read yet")
    assert world.told()["read_s_ago"] is None
    assert world.told(OTHER)["waiting"] == world.told(UPBIT)["waiting"] == 0
    world.knowing()
    world.clock.pass_(90 * lc.S)
    assert [latch.evidence["trade_id"] for latch in world.latches()] == ["t1"]
    assert (world.told()["waiting"], world.told()["maker"], world.told()["taker"], world.told()["problem"]) == (0, "0.0002", "0.00055", "")
    assert world.told()["read_s_ago"] == 90


def test_what_cannot_be_compared_is_counted_by_its_reason_and_holds_nothing() -> None:
    world = World().knowing()
    world.fill("0.001", fee_currency="BNB")
    world.fill("0.001", venue_ns=world.clock.wall_ns - COMPARABLE_NS - 1)
    world.fill("0.001", venue="fake")
    world.fill("0.001", client_id="")
    world.fill("0.001", symbol="DOGEUSDT")
    assert world.latches() == []
    assert world.told()["not_compared"] == ["1 charged in BNB", "1 of another time than the rates"]
    assert world.told(SILENT)["not_compared"] == ["1 the venue tells no rates"]
    assert world.told(SILENT)["problem"] == "the venue tells none"
    # Nor is a fee of nothing in no other currency, where none is what was told.
    world.watch.take(BYBIT, FeeRates(Decimal(0), Decimal(0)))
    assert world.fill("0", fee_currency="BNB").latches() == []
    assert (world.told()["compared"], world.told()["not_compared"]) == (1, ["1 charged in BNB", "1 of another time than the rates"])
    assert len(world.fill("0.001", venue_ns=world.clock.wall_ns - COMPARABLE_NS).latches()) == 1


@pytest.mark.parametrize(
    "senseless", [{"ticks": 0}, {"lots": 0}, {"fee": Decimal("NaN")}, {"fee": Decimal("sNaN")}, {"fee": Decimal("Infinity")}]
)
def test_an_execution_that_makes_no_sense_is_counted_and_stops_nothing(senseless: dict[str, Any]) -> None:
    """It is folded before, and what follows from it has still to be recorded when it is noted here."""
    world = World().knowing().fill("0.0006", **senseless)
    assert world.latches() == []
    assert (world.told()["not_compared"], world.told()["compared"]) == (["1 of a size, price or fee that makes no sense"], 0)
    # The control: one that does make sense, charged otherwise than told.
    assert len(world.fill("0.01").latches()) == 1


def test_rates_that_are_too_old_are_none() -> None:
    world = World().knowing()
    world.clock.pass_(COMPARABLE_NS)
    assert len(world.fill("0.001").latches()) == 1
    world = World().knowing()
    world.clock.pass_(COMPARABLE_NS + 1)
    assert world.fill("0.001").latches() == []
    assert (world.told()["taker"], world.told()["waiting"]) == ("not known", 1)


def test_where_nobody_tells_who_made_either_rate_is_right() -> None:
    def upbit(rate: str) -> list[r.LatchSet]:
        world = World().knowing()
        fee = Decimal(10_000) * Decimal(rate)
        parts: dict[str, Any] = {
            "venue": "upbit",
            "symbol": "KRW-BTC",
            "ticks": 1_000_000,
            "lots": 1_000,
            "fee_currency": "KRW",
            "fee": fee,
        }
        return world.fill("0", maker=False, **parts).latches()

    assert upbit("0.0002") == upbit("0.00055") == []
    (latch,) = upbit("0.0003")
    assert (latch.subject, latch.evidence["measured"], latch.evidence["expected"]) == ("upbit/main", "0.0003", "0.00055")


def test_no_more_executions_wait_than_are_kept() -> None:
    world = World()
    for _ in range(MOST_HELD + 2):
        world.fill("0.00055")
    assert (world.told()["waiting"], world.told()["not_compared"]) == (MOST_HELD, ["2 no rates were read"])


def test_rates_are_read_one_after_the_other_and_again_every_hour() -> None:
    world = World()
    asked = []

    def ask(venue: str = "bybit") -> str:
        symbol = world.watch.due(venue)
        if symbol:
            asked.append(symbol)
            world.watch.asked((venue, symbol))
        return symbol

    assert ask() == "BTCUSDT"
    world.watch.take(BYBIT, RATES)
    assert ask() == ""
    assert ask("upbit") == "KRW-BTC"
    assert ask("fake") == ""
    world.clock.pass_(AGAIN_NS)
    assert ask() == "ETHUSDT"
    world.watch.failed(OTHER, "the venue refused")
    assert world.told(OTHER)["problem"] == "the venue refused"
    world.clock.pass_(AGAIN_NS)
    assert ask() == "ETHUSDT"
    world.watch.take(OTHER, RATES)
    world.clock.pass_(AGAIN_NS)
    assert ask() == ""
    world.clock.pass_(EVERY_NS - 3 * AGAIN_NS)
    assert ask() == "BTCUSDT"
    assert asked == ["BTCUSDT", "KRW-BTC", "ETHUSDT", "ETHUSDT", "BTCUSDT"]


def test_an_execution_is_compared_as_soon_as_it_is_noted_where_rates_are_known() -> None:
    world = World().knowing().fill("0.00055")
    assert (world.told()["compared"], world.told()["waiting"]) == (1, 0)


def test_rates_that_were_read_are_good_for_an_hour_however_long_the_host_has_run() -> None:
    world = World()
    world.clock.boot_ns = 10 * EVERY_NS
    world.knowing()
    for passed_ns, due in ((EVERY_NS - 1, ""), (1, "BTCUSDT")):
        world.clock.pass_(passed_ns)
        assert world.watch.due("bybit") == due


def test_a_read_that_fails_leaves_what_was_read_before_and_is_tried_again() -> None:
    world = World().knowing()
    world.watch.failed(BYBIT, "no answer")
    world.clock.pass_(AGAIN_NS)
    assert world.watch.due("bybit") == "BTCUSDT"
    assert (world.told()["taker"], world.told()["problem"]) == ("0.00055", "no answer")
    assert len(world.fill("0.001").latches()) == 1


def test_the_bound_is_that_of_the_specification() -> None:
    assert Decimal("0.1") / 10_000 == fw.MOST_OFF


def test_how_often_rates_are_read_and_how_long_they_are_good_for() -> None:
    assert (EVERY_NS, AGAIN_NS, COMPARABLE_NS, MOST_HELD) == (3_600 * lc.S, 10 * lc.S, 7_200 * lc.S, 1_000)


def test_a_venue_without_instruments_of_ours_is_asked_for_no_rates() -> None:
    watch = FeeWatch({BYBIT: USDT}, ["bybit", "upbit"], Clock())
    assert (watch.due("upbit"), watch.due("bybit")) == ("", "BTCUSDT")


def test_on_a_host_that_has_just_started_rates_are_read_at_once() -> None:
    world = World()
    world.clock.boot_ns = 1
    assert world.watch.due("bybit") == "BTCUSDT"
    world.watch.asked(BYBIT)
    assert world.watch.due("bybit") == ""
