"""What a gate does by itself when the world turns: it freezes by name, takes its orders back, and goes on only where it may.

A collapse of the edge with sixty orders open over two venues, and every automatic freeze that a venue can bring about. Times are read from what
the venue saw and did; each freeze has beside it what is just no reason for one, after which the gate trades on.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tests.gate.serving import ACK, Serving, command, conditions, serving, until

from interlock.cli.gate_client import boot_ns
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.frames import Role
from interlock.gate.journal import SystemDisk, recover
from interlock.gate.lattice import freezes_by_cause
from interlock.gate.sockets import Client
from interlock.gate.verbs import SELF_CLEARING
from interlock.run.gate_launch import example_limits
from interlock.simulate.fake_venue.control import (
    ClearFaults,
    DropConnections,
    ForeignOrder,
    MoveBalance,
    SetBook,
    SetClock,
    SetStatus,
    Silence,
)
from interlock.simulate.fake_venue.faults import Fault

S = 1_000_000_000
VENUES = ("binance_usdm", "bybit")
EACH = 30
BID = 250_000
"""The best bid of ETHUSDT at both venues, ticks of a cent; a lot is worth 25 USD."""
US = frozenset({os.geteuid()})
PASSING = frozenset({"engine_books", "max_drift", "max_order_lots", "max_position_lots"})
"""Rules that hold an order up for the half second in which a price that moved is not known to the gate, or not steady yet."""


def two_venues() -> str:
    """Limits for thirty small orders on each of two venues."""
    text = example_limits().read_text(encoding="utf-8").replace("BTCUSDT", "ETHUSDT").replace("assets.BTC", "assets.ETH")
    for name, value in {
        "max_gross_notional_usd": 1_000,
        "max_unattended_resting_usd": 1_000,
        "max_position_lots": 40,
        "max_position_notional_usd": 1_000,
        "max_open_orders_count": 40,
        "max_messages_count": 400,
        "max_orders_count": 200,
        "max_naked_notional_usd": 1_000,
        "naked_tolerance_usd": 1_000,
        "freshness_engine_book_ms": 2_000,
        "max_leg_skew_ms": 2_000,
    }.items():
        lines = [f"{name} = {value}" if line.startswith(f"{name} =") else line for line in text.splitlines()]
        text = "\n".join(lines) + "\n"
    head, venue, rest = text.partition("[venues.bybit]")
    venue_part, symbol, rest = rest.partition('[symbols."bybit:ETHUSDT"]')
    symbol_part, assets, rest = rest.partition("[assets.ETH]")
    for name in ("bybit", "binance_usdm"):
        head += f"[venues.{name}]{venue_part}"
    for name in ("bybit", "binance_usdm"):
        head += f'[symbols."{name}:ETHUSDT"]{symbol_part}'
    assert venue, "a sheet without a venue"
    assert symbol, "a sheet without a symbol"
    return head + assets + rest


def journaled(gate: Serving) -> list[r.Record]:
    found: list[r.Record] = []
    recover(SystemDisk(), Path(gate.paths["journal"]), schema=r.SCHEMA, consume=lambda _lsn, payload: found.append(r.decode(payload)))
    return found


def proposals(venue: str, count: int, first: int) -> tuple[f.Proposal, ...]:
    """Orders on both sides of the market, each at a price of its own, that rest."""
    now_ns = boot_ns()
    book = r.Book(venue=venue, symbol="ETHUSDT", bid_ticks=BID, ask_ticks=BID + 1, boot_ns=now_ns)
    return tuple(
        f.Proposal(
            venue=venue,
            symbol="ETHUSDT",
            side=Side.BUY if number % 2 else Side.SELL,
            type=OrderType.LIMIT,
            tif=TimeInForce.POST_ONLY,
            ticks=BID - number if number % 2 else BID + 1 + number,
            lots=1,
            strategy="demo",
            sequence=first + number,
            created_boot_ns=now_ns,
            deadline_boot_ns=now_ns + 4 * S,
            books=(book,),
        )
        for number in range(count)
    )


def test_a_collapse_of_the_edge_takes_sixty_orders_back_within_a_second(tmp_path: Path) -> None:
    sheet = tmp_path / "limits.toml"
    sheet.write_text(two_venues(), encoding="utf-8")
    with serving(tmp_path / "gate", limits=sheet) as gate:
        given = ("arm", "--socket", gate.paths["raise"], "--scripted", "--ack", ACK, "--for", "10m")
        code, told = command(*given, env=conditions(LIVE_MAX_NOTIONAL_USD="1000"))
        assert (code, told["result"]) == (0, "ARMED"), told
        assert len(told["drill"]["runs"]) == 2
        with Client(Path(gate.paths["intent"]), Role.INTENT, US) as engine:
            decisions: list[f.Decision] = []
            for venue in VENUES:
                answer = engine.request(f.Propose(proposals=proposals(venue, EACH, boot_ns())))
                assert isinstance(answer, f.Decided)
                decisions += answer.decisions
            assert {decision.rule for decision in decisions} == {""}
            ids = {decision.client_id for decision in decisions}
            assert len(ids) == 2 * EACH
            until(lambda: sum(len(gate.open_at_venue(venue)) for venue in VENUES) == 2 * EACH)
            calm = engine.request(f.Edge(strategy="demo", measured_bps="2.0", threshold_bps="2.0"))
            assert isinstance(calm, f.Done)
            assert calm.report == {"collapsed": False}
            assert sum(len(gate.open_at_venue(venue)) for venue in VENUES) == 2 * EACH

            began_ns = time.time_ns()
            collapsed = engine.request(f.Edge(strategy="demo", measured_bps="1.9", threshold_bps="2.0"))
            assert isinstance(collapsed, f.Done)
            assert collapsed.report == {"collapsed": True}
            until(lambda: not any(gate.open_at_venue(venue) for venue in VENUES))
            told_again = engine.request(f.Edge(strategy="demo", measured_bps="1.8", threshold_bps="2.0"))
            assert isinstance(told_again, f.Done)
            refused = engine.request(f.Propose(proposals=proposals("bybit", 1, boot_ns())))
            assert isinstance(refused, f.Decided)
            assert [decision.rule for decision in refused.decisions] == ["level_reduces"]
        cancels = {line["client_id"]: line["wall_ns"] for line in reversed(gate.witness()) if line["verb"] == "cancel"}
        assert ids <= set(cancels)
        on_the_wire_ms = (max(cancels[client_id] for client_id in ids) - began_ns) / 1e6
        views = [order for venue in VENUES for order in gate.truth(venue).orders if order.client_id in ids]
        assert {order.state for order in views} == {OrderState.CANCELLED}
        zero_ms = (max(order.updated_ns for order in views) - began_ns) / 1e6
        times = f"the last cancel was on the wire after {on_the_wire_ms:.1f} ms, nothing was open after {zero_ms:.1f} ms"
        assert 0 < on_the_wire_ms <= 1_000, times
        assert 0 < zero_ms <= 1_000, times
        until(lambda: not gate.report()["orders"]["live"])
        assert latched(gate) == {"edge": 1}
        assert [latch["name"] for latch in gate.report()["latches"]] == ["edge"]
        code, _ = command("resume", "--socket", gate.paths["raise"], "--latch", "edge", "--scope", "strategy", "--subject", "demo")
        assert code == 0
        again = gate.ask(Role.INTENT, f.Propose(proposals=proposals("bybit", 1, boot_ns())))
        assert isinstance(again, f.Decided)
        assert again.decisions[0].result == "PERMIT", again
        assert gate.checked()[1]["violations"] == []


# Freezes that nobody asks for


class Trader:
    """An engine beside a gate on bybit: it knows the market that it has set."""

    def __init__(self, gate: Serving) -> None:
        self.gate = gate
        self.bid_ticks = 500_000

    def order(self, below: int = 0, **changes: Any) -> f.Decision:
        """One order of a lot, at the bid or below it."""
        now_ns = boot_ns()
        top = {"bid_ticks": self.bid_ticks, "ask_ticks": self.bid_ticks + 1}
        given: dict[str, Any] = {
            "venue": "bybit",
            "symbol": "BTCUSDT",
            "side": Side.BUY,
            "type": OrderType.LIMIT,
            "tif": TimeInForce.POST_ONLY,
            "ticks": self.bid_ticks - below,
            "lots": 1,
            "strategy": "demo",
            "sequence": now_ns,
            "created_boot_ns": now_ns,
            "deadline_boot_ns": now_ns + S,
            "books": (r.Book(venue="bybit", symbol="BTCUSDT", boot_ns=now_ns, **top),),
            **changes,
        }
        answer = self.gate.ask(Role.INTENT, f.Propose(proposals=(f.Proposal(**given),)))
        assert isinstance(answer, f.Decided), answer
        return answer.decisions[0]

    def trades(self, below: int = 0) -> str:
        """Place an order that rests, however long prices need to be steady before; its client id."""
        found: list[f.Decision] = []

        def permitted() -> bool:
            found.append(self.order(below))
            return found[-1].rule not in PASSING

        until(permitted)
        assert found[-1].result == "PERMIT", found[-1]
        until(lambda: found[-1].client_id in self.gate.open_at_venue())
        return found[-1].client_id

    def takes_back(self) -> None:
        self.gate.ask(Role.INTENT, f.CancelOwn(client_ids=(), reason="enough"))
        self.is_flat()

    def is_flat(self) -> None:
        """Nothing of ours is open, at the venue and in the books."""
        until(lambda: not self.ours_open() and not self.gate.report()["orders"]["live"])

    def ours_open(self) -> list[str]:
        return [client_id for client_id in self.gate.open_at_venue() if client_id.startswith("demo")]

    def moves(self, bid_ticks: int) -> None:
        self.bid_ticks = bid_ticks
        self.gate.tell(SetBook(venue="bybit", symbol="BTCUSDT", bid_ticks=bid_ticks, ask_ticks=bid_ticks + 1))

    def held(self) -> dict[str, tuple[str, str]]:
        """By name: (scope and subject, level) of everything that holds now."""
        report = self.gate.report()
        return {one["name"]: (f"{one['scope']} {one['subject']}".rstrip(), one["level"]) for one in (*report["latches"], *report["trips"])}

    def resumes(self, latch: str, scope: str, subject: str = "") -> None:
        more = ("--subject", subject) if subject else ()
        assert command("resume", "--socket", self.gate.paths["raise"], "--latch", latch, "--scope", scope, *more)[0] == 0


def frozen(gate: Serving) -> dict[str, int]:
    """What `freeze_triggered_total` counts, from the journal."""
    return freezes_by_cause(journaled(gate))


def latched(gate: Serving) -> dict[str, int]:
    """The same of what only a person clears: on a busy host interlocks may trip besides."""
    return {cause: count for cause, count in frozen(gate).items() if cause not in SELF_CLEARING}


def test_a_streak_of_rejections_freezes_its_strategy(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        trader = Trader(gate)
        for times, held in ((4, {}), (5, {"reject_streak": ("strategy demo", "reduce_only")})):
            gate.fault(Fault.DEFINITIVE_REJECT, verb="place", times=times)
            for _ in range(times):
                assert trader.order(below=200).result == "PERMIT"
                until(lambda: not gate.report()["orders"]["live"])
            until(lambda held=held: trader.held() == held)  # type: ignore[misc]
            if not held:
                trader.trades()
                trader.takes_back()
        assert trader.order().rule == "level_reduces"
        assert latched(gate) == {"reject_streak": 1}
        trader.resumes("reject_streak", "strategy", "demo")
        trader.trades()


def test_a_feed_that_is_lost_or_a_market_that_halts_takes_the_orders_back_until_it_is_steady_again(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        trader = Trader(gate)
        client_id = trader.trades()
        gate.fault(Fault.LATE_ACK, verb="top", delay_ns=S // 4)
        until(lambda: Fault.LATE_ACK in gate.truth().faults)
        assert (trader.ours_open(), trader.held()) == ([client_id], {})
        gate.fault(Fault.LOSE_REQUEST, verb="top", times=1_000_000)
        until(lambda: trader.held().get("feed_stale") == ("symbol bybit/BTCUSDT", "reduce_only"))
        assert trader.order(below=1).rule == "level_reduces"
        trader.is_flat()
        gate.tell(ClearFaults(venue="bybit"))
        until(lambda: trader.held() == {})
        trader.trades()
        gate.tell(SetStatus(venue="bybit", symbol="BTCUSDT", status="halted"))
        until(lambda: trader.held().get("feed_stale") == ("symbol bybit/BTCUSDT", "reduce_only"))
        assert trader.order(below=1).rule == "level_reduces"
        trader.is_flat()
        gate.tell(SetStatus(venue="bybit", symbol="BTCUSDT", status="trading"))
        until(lambda: trader.held() == {})
        trader.trades()
        assert latched(gate) == {}
        assert frozen(gate)["feed_stale"] >= 2, "once for the feed, once for the halt of the market"


def test_a_private_stream_that_is_cut_takes_the_orders_back_until_it_has_stayed(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        trader = Trader(gate)
        client_id = trader.trades()
        gate.tell(Silence(venue="bybit", for_ns=S // 4))
        time.sleep(0.5)
        assert (trader.ours_open(), trader.held()) == ([client_id], {})
        gate.tell(DropConnections(venue="bybit"))
        until(lambda: trader.held().get("reconnect") == ("account bybit/main", "reduce_only"))
        assert trader.order(below=1).rule == "level_reduces"
        trader.is_flat()
        until(lambda: trader.held() == {})
        trader.trades()


def test_a_gap_in_the_stream_that_cannot_be_read_takes_the_orders_back_until_it_is(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        trader = Trader(gate)
        gate.fault(Fault.ERROR_WITHOUT_ACCEPTING, verb="executions", times=1_000_000)
        until(lambda: Fault.ERROR_WITHOUT_ACCEPTING in gate.truth().faults)
        client_id = trader.trades()
        assert (trader.ours_open(), trader.held()) == ([client_id], {}), "a read that fails while nothing was missed is tried again"
        trader.takes_back()
        gate.fault(Fault.STREAM_GAP, verb="place")
        trader.trades(below=1)
        until(lambda: trader.held().get("reconnect") == ("account bybit/main", "reduce_only"))
        assert trader.order(below=2).rule == "level_reduces"
        trader.is_flat()
        assert {order.state for order in gate.truth().orders if order.client_id.startswith("demo")} == {OrderState.CANCELLED}
        assert set(trader.held()) == {"reconnect"}, "it stays for as long as the reads fail"
        gate.tell(ClearFaults(venue="bybit"))
        until(lambda: trader.held() == {})
        trader.trades(below=3)
        trader.takes_back()
        # The same gap with reads that answer: it may hold trading up for a moment, and no longer.
        gate.fault(Fault.STREAM_GAP, verb="place")
        trader.trades(below=4)
        trader.takes_back()
        until(lambda: trader.order(below=5).result == "PERMIT")
        assert gate.report()["latches"] == []
        assert frozen(gate)["reconnect"] in {1, 2}


def test_a_venue_whose_clock_is_off_gets_no_orders(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        trader = Trader(gate)
        gate.tell(SetClock(venue="bybit", skew_ns=100_000_000))
        client_id = trader.trades()
        gate.tell(SetClock(venue="bybit", skew_ns=400_000_000))
        until(lambda: trader.held().get("clock") == ("symbol bybit/BTCUSDT", "cancel_only"))
        assert trader.order(below=1).rule == "level_forbids"
        trader.is_flat()
        assert [order.state for order in gate.truth().orders if order.client_id == client_id] == [OrderState.CANCELLED]


def test_a_loss_freezes_new_risk_for_the_day(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        trader = Trader(gate)
        trader.trades()
        trader.moves(495_000)  # through the order, which fills: half a dollar lost
        until(lambda: [one["lots"] for one in gate.report()["positions"]] == [1])
        client_id = trader.trades(below=1_000)
        assert trader.held() == {}
        trader.moves(494_500)
        trader.moves(370_000)
        until(lambda: trader.held().get("loss") == ("all", "reduce_only"))
        assert trader.order(below=1).rule == "level_reduces"
        trader.is_flat()
        assert client_id not in gate.open_at_venue()
        assert latched(gate) == {"loss": 1}


def test_a_balance_that_nobody_explains_ends_the_grant(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        trader = Trader(gate)
        gate.tell(MoveBalance(venue="bybit", kind="funding", currency="USDT", amount="-0.25", symbol="BTCUSDT"))
        client_id = trader.trades()
        gate.tell(MoveBalance(venue="bybit", kind="mystery", currency="USDT", amount="5"))
        until(lambda: trader.order(below=1).rule in ("unexplained", "not_armed"), within_s=20)
        assert trader.order(below=1).rule == "unexplained"
        held = trader.held()
        # The event that nobody can read is a gap of the stream too.
        assert (held.pop("unexplained"), set(held) - {"reconnect"}) == (("account bybit/main", "halt"), set())
        assert latched(gate) == {"unexplained": 1}
        trader.is_flat()
        assert client_id not in gate.open_at_venue()
        assert gate.arm()[0] == 1


def test_a_strangers_order_halts_and_is_left_alone(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        trader = Trader(gate)
        trader.trades()
        gate.tell(ForeignOrder(venue="bybit", symbol="BTCUSDT", side=Side.BUY, ticks=400_000, lots=1, client_id="somebody"))
        until(lambda: trader.held().get("foreign_activity") == ("all", "halt"))
        assert trader.order(below=1).rule == "not_armed"
        trader.is_flat()
        assert gate.open_at_venue() == ["somebody"]
        assert frozen(gate)["foreign_activity"] == 1
