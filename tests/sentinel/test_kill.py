"""A person's KILL and a trip, with a served venue and a gate that is a process of its own."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from tests.sentinel.world import (
    MS,
    OURS,
    VENUES,
    Hand,
    config_of,
    follow,
    gate,
    names,
    ports_of,
    running,
    until,
)

from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import Side
from interlock.sentinel.process import boot_ns
from interlock.sentinel.sweep import Scope
from interlock.simulate.fake_venue.control import Ban, ForeignOrder, SetRate
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.server import Addresses
from interlock.simulate.fake_venue.witness import read_lines
from interlock.venues.budget import GATE, Meter, Part, Spend
from interlock.venues.fake import budget
from interlock.venues.fake.wire import ReadTime


def first_cancel_ns(fake: Addresses) -> int:
    """When the first cancel was seen by the venue, by the monotonic clock."""
    return min(int(line["monotonic_ns"]) for line in read_lines(Path(fake.witness)) if line["verb"].startswith("cancel"))


def fill_up(hand: Hand, count: int = 30) -> None:
    for venue in VENUES:
        hand.place(venue, count)
        assert len(hand.open(venue)) == count


@pytest.mark.parametrize("how", ["fine", "deaf", "regex", "product", "stopped"])
def test_a_kill_ends_at_zero_whatever_the_gate_does(tmp_path: Path, fake: Addresses, hand: Hand, how: str) -> None:
    fill_up(hand)
    with gate(tmp_path / "stop", "deaf" if how == "stopped" else how) as process, running(config_of(tmp_path, ports_of(fake))) as sentinel:
        if how == "stopped":
            os.kill(process.pid, signal.SIGSTOP)
        asked_ns = time.monotonic_ns()
        events = follow(sentinel.path, source="person")
        told = names(events)
        assert first_cancel_ns(fake) - asked_ns < 250 * MS
        assert told[:2] == ["REQUESTED", "STOP_WORD_SET"]
        assert events[1]["boot_ns"] - events[0]["boot_ns"] < 50 * MS
        assert ("STOPPED" in told, "GATE_KILLED" in told) == (how == "fine", how != "fine")
        assert told.index("SWEPT") < told.index("FINAL") == len(told) - 1
        assert all(told.index("SWEPT") > at for at, name in enumerate(told) if name == "CANCELLING")
        assert not any(hand.open(venue) for venue in VENUES)
        assert (process.poll() is None) == (how == "fine")
        assert sentinel.sentinel.word is not None
        assert (sentinel.sentinel.word.stopped, sentinel.sentinel.word.unfinished) == (True, 0)


def test_a_thousand_orders_are_swept_within_the_time(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    fill_up(hand, 500)
    with gate(tmp_path / "stop", "fine"), running(config_of(tmp_path, ports_of(fake))) as sentinel:
        start = time.monotonic()
        follow(sentinel.path, ("SWEPT",))
        assert time.monotonic() - start < 5
        assert not any(hand.open(venue) for venue in VENUES)


def test_strangers_survive_a_trip_and_not_a_persons_kill(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    fill_up(hand, 5)
    hand.place("bybit", 3, prefix="hand")
    hand.command(ForeignOrder(venue="bybit", symbol="BTCUSDT", side=Side.BUY, ticks=100_000, lots=1))
    bounds: dict[str, Any] = {"worst_stall_ns": 50 * MS, "stall_bound_ns": 200 * MS}
    with gate(tmp_path / "stop", "deaf") as process, running(config_of(tmp_path, ports_of(fake), **bounds)) as sentinel:
        until(lambda: sentinel.sentinel.gate_is_fresh)
        time.sleep(0.5)
        # The control: while it works, nothing happens to anybody.
        assert len(hand.open("bybit")) == 9
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: sentinel.sentinel.current is not None and sentinel.sentinel.current.over)
        assert process.wait(5) == -signal.SIGKILL
        assert not hand.open("binance_usdm")
        left = hand.open("bybit")
        assert sorted(order.client_id[:4] for order in left) == ["", "hand", "hand", "hand"]
        trip = sentinel.sentinel.current
        assert trip is not None
        assert (trip.scope, names(trip.events)[-1]) == (Scope.OWN, "FINAL")
        assert not any(event.get("everything") for event in trip.events)
        # The dead gate stands still for ever; that is no second trip.
        time.sleep(0.5)
        assert sentinel.sentinel.current is trip
        follow(sentinel.path)
        assert not hand.open("bybit")


def test_an_order_that_lands_late_is_found_before_final(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 2)
    late = []
    with gate(tmp_path / "stop", "fine"), running(config_of(tmp_path, ports_of(fake), expiry_bybit=1_500 * MS)) as sentinel:
        operation = sentinel.sentinel.kill(Scope.ALL, "test", {})
        for event in operation.follow(5):
            late.append(event["event"] if event else "nothing")
            if late[-1] == "SWEPT" and late.count("SWEPT") == 1:
                hand.place("bybit", 1, prefix=OURS + "late")
    assert late.count("SWEPT") == 2
    assert late[-1] == "FINAL"
    assert "LATE" in late
    assert not hand.open("bybit")
    assert len(hand.truth("bybit").orders) == 3


def test_a_dead_venue_delays_no_other_and_is_swept_when_it_comes_back(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    fill_up(hand, 10)
    ports = ports_of(fake)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It accepts and never answers.
        config = config_of(tmp_path, {"dead": silent.getsockname()[1], **ports}, request_timeout_ns=400 * MS)
        with gate(tmp_path / "stop", "fine"), running(config) as sentinel:
            start = time.monotonic()
            told: list[dict[str, Any]] = []
            operation = sentinel.sentinel.kill(Scope.ALL, "test", {})
            for event in operation.follow(5):
                told += [event] if event else []
                if {e["venue"] for e in told if e["event"] == "VENUE_SWEPT"} == set(VENUES):
                    break
            assert time.monotonic() - start < 2
            assert not any(hand.open(venue) for venue in VENUES)
            until(lambda: any(e["event"] == "TROUBLE" and e["venue"] == "dead" for e in operation.events))
            assert "SWEPT" not in names(operation.events)


@pytest.mark.parametrize(("fault", "count"), [(Fault.RATE_LIMITED, 3), (Fault.BAN, 1)])
def test_a_ban_is_obeyed_and_outlasted(tmp_path: Path, fake: Addresses, hand: Hand, fault: Fault, count: int) -> None:
    hand.place("bybit", 30)
    hand.command(SetRate(venue="bybit", requests=3_000, window_ns=300 * MS, ban_after=20))
    hand.arm("bybit", FaultSpec(fault=fault, nth=1, times=count, delay_ns=800 * MS))
    with gate(tmp_path / "stop", "fine"), running(config_of(tmp_path, ports_of(fake))) as sentinel:
        before = hand.truth("bybit").requests
        start = time.monotonic()
        events = follow(sentinel.path, ("SWEPT",))
        assert not hand.open("bybit")
        assert any(event["event"] == "TROUBLE" and event["venue"] == "bybit" for event in events)
        if fault is Fault.BAN:
            assert time.monotonic() - start > 0.75
            verbs = [line["verb"] for line in read_lines(Path(fake.witness)) if line["venue"] == "bybit" and "place" not in line["verb"]]
            # One request met the ban; the first one after it is a cancel again.
            assert verbs[:2] == ["cancel_all", "cancel_all"]
        assert hand.truth("bybit").requests - before < 30


def test_a_ban_outlives_the_change_to_a_wider_stop(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 3)
    hand.command(Ban(venue="bybit", for_ns=900 * MS))
    with gate(tmp_path / "stop", "fine"), running(config_of(tmp_path, ports_of(fake))) as sentinel:
        narrow = sentinel.sentinel.kill(Scope.OWN, "trip", {})
        until(lambda: any(event["event"] == "TROUBLE" for event in narrow.events))
        wide = sentinel.sentinel.kill(Scope.ALL, "person", {})
        assert sentinel.sentinel.kill(Scope.OWN, "another trip", {}) is wide
        told = [event["event"] for event in narrow.follow(5) if event]
        assert "SUPERSEDED" in told
        assert told[-1] == "FINAL"
        banned = [line for line in read_lines(Path(fake.witness)) if line["venue"] == "bybit" and line["verb"] != "place_batch"]
        assert [line["verb"] for line in banned[:2]] == ["open_orders", "cancel_all"]
        assert banned[1]["monotonic_ns"] - banned[0]["monotonic_ns"] > 600 * MS


def test_every_lie_of_the_venue_ends_at_zero(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    fill_up(hand, 20)
    for fault in (
        Fault.LOSE_REQUEST,
        Fault.RESET_BEFORE_ACCEPTING,
        Fault.LOSE_ACK,
        Fault.RESET_AFTER_ACCEPTING,
        Fault.PARTIAL_FRAME,
        Fault.GARBAGE_FRAME,
        Fault.ANSWER_TWICE,
        Fault.ERROR_WITHOUT_ACCEPTING,
    ):
        hand.arm("binance_usdm", FaultSpec(fault=fault, verb="cancel_all", nth=1))
        hand.arm("binance_usdm", FaultSpec(fault=fault, verb="open_orders", nth=2))
    hand.arm("bybit", FaultSpec(fault=Fault.OPEN_ORDERS_LAG, verb="open_orders", nth=1, times=3, delay_ns=5 * NS_PER_S))
    hand.arm("bybit", FaultSpec(fault=Fault.BATCH_IN_PART, nth=1, count=3))
    config = config_of(tmp_path, ports_of(fake), request_timeout_ns=200 * MS)
    with gate(tmp_path / "stop", "fine"), running(config) as sentinel:
        assert names(follow(sentinel.path))[-1] == "FINAL"
        assert not any(hand.open(venue) for venue in VENUES)


def burnt(hand: Hand, of: Meter) -> int:
    """Ask as a gate would, until it may not any more; the status of the last answer."""
    status = 200
    while status == 200 and not of.wait_ns(Spend.PLACE, budget.REQUEST, boot_ns()):
        asked_ns = boot_ns()
        of.spent(budget.REQUEST, asked_ns)
        answer = hand.clients["bybit"].request(ReadTime())
        budget.take(of, Spend.PLACE, answer, asked_ns=asked_ns, now_ns=boot_ns())
        status = answer.status
    return status


@pytest.mark.parametrize("keeps_its_part", [True, False])
def test_a_gate_that_has_used_its_whole_part_leaves_the_sentinel_enough_to_sweep(
    tmp_path: Path, fake: Addresses, hand: Hand, keeps_its_part: bool
) -> None:
    hand.place("bybit", 60)
    # A window that no test outlasts, and a ban for the first request beyond it.
    hand.command(SetRate(venue="bybit", requests=200, window_ns=3_600 * NS_PER_S, ban_after=1))
    status = burnt(hand, Meter(budget.LIMITS, GATE if keeps_its_part else Part(read=1_000, place=2_000)))
    assert status == (200 if keeps_its_part else 418)
    with gate(tmp_path / "stop", "fine"), running(config_of(tmp_path, ports_of(fake))) as sentinel:
        if keeps_its_part:
            events = follow(sentinel.path)
            assert names(events)[-1] == "FINAL"
            assert not [event for event in events if event["event"] == "TROUBLE"]
            assert hand.open("bybit") == []
        else:
            # The control: where nothing was kept, the venue refuses the sentinel as well, and the orders stay.
            events = follow(sentinel.path, ("TROUBLE",))
            assert events[-1]["venue"] == "bybit"
            assert len(hand.open("bybit")) == 60
