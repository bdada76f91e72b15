"""The drill, the dead-man, the sentinel's own beat and the outbound heartbeat."""

import http.server
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.sentinel.world import LIFE, MS, OURS, VENUES, Hand, config_of, follow, gate, heartbeat_part, ports_of, running, until

from interlock.domain.errors import Refused
from interlock.domain.orders import OrderState
from interlock.sentinel import control
from interlock.sentinel.beats import Beats
from interlock.sentinel.config import VenuePart
from interlock.sentinel.gate_process import Life, identity_of, look
from interlock.sentinel.process import boot_ns
from interlock.sentinel.sweep import Scope
from interlock.simulate.fake_venue.control import FillOrder
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.server import Addresses
from interlock.simulate.fake_venue.witness import read_lines
from interlock.venues.cancel_only import OpenOrder


def stop_now(pid: int) -> None:
    """Stop the gate, and wait until it stands: a drill that begins before that proves nothing."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: look(identity_of(pid)) is Life.STOPPED)


def drill(path: Path) -> dict[str, Any]:
    return follow(path, ("DRILLED", "REFUSED"), verb="drill")[-1]


def test_a_drill_counts_what_it_cancelled_and_stops_nothing(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    bounds: dict[str, Any] = {"worst_stall_ns": 100 * MS, "stall_bound_ns": 600 * MS}
    with gate(tmp_path / "stop", "deaf") as process, running(config_of(tmp_path, ports_of(fake), **bounds)) as sentinel:
        for venue, count in zip(VENUES, (1, 2), strict=True):
            hand.place(venue, count)
        hand.place("bybit", 1, prefix="hand")
        until(lambda: sentinel.sentinel.gate_is_fresh)
        stop_now(process.pid)
        told = drill(sentinel.path)
        os.kill(process.pid, signal.SIGCONT)
        assert (told["verdict"], told["cancelled"]) == ("PASS", {"bybit": 1, "binance_usdm": 2})
        assert told["gate"] == ["stopped", "stopped"]
        assert [order.client_id[:4] for order in hand.open("bybit")] == ["hand"]
        time.sleep(0.8)
        assert sentinel.sentinel.gate_is_fresh
        assert process.poll() is None


@pytest.mark.parametrize(("counts", "stop", "verdict"), [((0, 0), True, "UNKNOWN"), ((1, 0), True, "UNKNOWN"), ((1, 1), False, "FAIL")])
def test_a_drill_that_proves_less_says_so(
    tmp_path: Path, fake: Addresses, hand: Hand, counts: tuple[int, int], stop: bool, verdict: str
) -> None:
    with gate(tmp_path / "stop", "deaf") as process, running(config_of(tmp_path, ports_of(fake))) as sentinel:
        for venue, count in zip(VENUES, counts, strict=True):
            hand.place(venue, count)
        if stop:
            stop_now(process.pid)
        told = drill(sentinel.path)
        assert (told["verdict"], tuple(told["cancelled"].values())) == (verdict, counts)


def test_an_order_that_filled_was_not_cancelled(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    with gate(tmp_path / "stop", "deaf") as process, running(config_of(tmp_path, ports_of(fake))) as sentinel:
        for venue in VENUES:
            hand.place(venue, 1)
        hand.arm("bybit", FaultSpec(fault=Fault.LOSE_REQUEST, verb="cancel_batch"))
        stop_now(process.pid)
        operation = sentinel.sentinel.drill("test")
        until(lambda: any(event["event"] == "CANCELLING" and event["venue"] == "bybit" for event in operation.events))
        hand.command(FillOrder(venue="bybit", client_id=f"{OURS}000000", lots=1))
        last = [event for event in operation.follow(5) if event][-1]
        assert (last["verdict"], last["cancelled"]) == ("FAIL", {"bybit": 0, "binance_usdm": 1})


def test_a_drill_has_its_time_and_a_stop_goes_before_it(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = config_of(
            tmp_path, {"dead": silent.getsockname()[1], **ports_of(fake)}, drill_bound_ns=300 * MS, request_timeout_ns=100 * MS
        )
        with gate(tmp_path / "stop", "fine"), running(config) as sentinel:
            told = drill(sentinel.path)
            assert (told["verdict"], told["finished"]) == ("FAIL", False)
            first = sentinel.sentinel.drill("test")
            with pytest.raises(Refused, match="a drill; wait"):
                sentinel.sentinel.drill("test")
            stop = sentinel.sentinel.kill(Scope.ALL, "person", {})
            assert first.successor is stop
            assert "a stop; wait" in drill(sentinel.path)["reason"]


def beating(fake: Addresses, venue: str = "binance_usdm", symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> tuple[VenuePart, ...]:
    return (
        VenuePart(
            venue=venue,
            endpoint="loopback",
            port=ports_of(fake)[venue],
            expiry_ns=300 * MS,
            dead_man_symbols=symbols,
            countdown_ns=1_200 * MS,
            beat_every_ns=100 * MS,
        ),
    )


def beats_of(fake: Addresses) -> list[str]:
    return [line["verb"] for line in read_lines(Path(fake.witness)) if line["verb"] == "heartbeat"]


def test_only_symbols_with_resting_orders_are_beaten_and_only_while_the_gate_works(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    config = config_of(tmp_path, {}, venues=beating(fake))
    with gate(tmp_path / "stop", "deaf") as process, running(config) as sentinel:
        hand.place("binance_usdm", 2, prefix="hand", symbol="ETHUSDT")
        time.sleep(0.4)
        assert not beats_of(fake)
        hand.place("binance_usdm", 2)
        until(lambda: len(beats_of(fake)) > 3)
        assert set(sentinel.beats["binance_usdm"].confirmed_ns) == {"BTCUSDT"}
        time.sleep(1.5)
        # The control: longer than the countdown, and the orders are still there.
        assert len(hand.open("binance_usdm")) == 4
        # A gate that hangs gets no beats, long before it counts as dead; the venue cancels by itself.
        sentinel.sentinel.progress.bounds = type(sentinel.sentinel.progress.bounds)(1 * MS, 50 * MS, 60_000 * MS)
        sentinel.sentinel.drill("no trip while this lasts")
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: not sentinel.sentinel.gate_is_fresh)


class Slow:
    """A venue that takes so long to list that the gate has stopped meanwhile."""

    def __init__(self, *, stalls: bool) -> None:
        self.fresh = True
        self.stalls = stalls
        self.beaten: list[str] = []

    def open_pages(self, *, ours: bool = False) -> Iterator[tuple[OpenOrder, ...]]:
        self.fresh = not self.stalls
        yield (OpenOrder("v", f"{OURS}1", "BTCUSDT"), OpenOrder("w", f"{OURS}2", "BTCUSDT"), OpenOrder("x", f"{OURS}3", "XRPUSDT"))

    def cancel(self, orders: Sequence[OpenOrder]) -> None:
        raise AssertionError("nothing is cancelled by a beat")

    def cancel_everything(self) -> None:
        raise AssertionError("nothing is cancelled by a beat")

    def state_of(self, client_id: str) -> OrderState | None:
        return None

    def beat(self, symbol: str, countdown_ns: int) -> None:
        self.beaten.append(symbol)

    def close(self) -> None:
        self.fresh = False


@pytest.mark.parametrize("stalls", [True, False])
def test_a_gate_that_stops_while_the_venue_is_slow_gets_no_beat(fake: Addresses, stalls: bool) -> None:
    venue = Slow(stalls=stalls)
    beats = Beats(beating(fake)[0], (OURS,), lambda: venue, lambda: venue.fresh, boot_ns)
    thread = threading.Thread(target=beats.work)
    thread.start()
    time.sleep(0.05)
    beats.stop()
    thread.join()
    assert venue.beaten == ([] if stalls else ["BTCUSDT"])


def test_the_dead_man_fires_when_the_sentinel_is_gone(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    with gate(tmp_path / "stop", "deaf"), running(config_of(tmp_path, {}, venues=beating(fake))) as sentinel:
        hand.place("binance_usdm", 2)
        until(lambda: bool(sentinel.beats["binance_usdm"].confirmed_ns))
        assert len(hand.open("binance_usdm")) == 2
    until(lambda: not hand.open("binance_usdm"), 3)


def test_an_order_that_is_going_to_rest_waits_for_its_beat(tmp_path: Path, fake: Addresses) -> None:
    config = config_of(tmp_path, {}, venues=beating(fake))
    with running(config) as sentinel:
        # No gate works, so nothing is armed.
        assert follow(sentinel.path, verb="rest", venue="binance_usdm", symbol="BTCUSDT")[-1]["event"] == "NOT_ARMED"
        with gate(tmp_path / "stop", "deaf"):
            until(lambda: sentinel.sentinel.gate_is_fresh)
            assert follow(sentinel.path, verb="rest", venue="binance_usdm", symbol="BTCUSDT")[-1]["event"] == "ARMED"
            assert follow(sentinel.path, verb="rest", venue="binance_usdm", symbol="XRPUSDT")[-1]["event"] == "NOT_ARMED"
            assert follow(sentinel.path, verb="rest", venue="bybit", symbol="BTCUSDT")[-1]["event"] == "NOT_ARMED"


def test_a_venue_that_refuses_beats_is_told_and_nothing_is_armed(tmp_path: Path, fake: Addresses) -> None:
    config = config_of(tmp_path, {}, venues=beating(fake, "bybit"))
    with gate(tmp_path / "stop", "deaf"), running(config) as sentinel:
        assert follow(sentinel.path, verb="rest", venue="bybit", symbol="BTCUSDT")[-1]["event"] == "NOT_ARMED"
        until(lambda: "not_supported" in sentinel.beats["bybit"].trouble)
        (status,) = follow(sentinel.path, verb="status")
        assert status["beats"]["bybit"]["trouble"]


def test_the_beat_stands_still_while_a_part_of_the_sentinel_is_missing(
    tmp_path: Path, fake: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A thread that dies is reported by the interpreter; here it is meant to.
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    with gate(tmp_path / "stop", "deaf"), running(config_of(tmp_path, ports_of(fake))) as sentinel:
        inner = sentinel.sentinel
        until(lambda: inner.status()["beat"] != 0)
        before = inner.status()["beat"]
        until(lambda: inner.status()["beat"] != before)
        made = inner.drill("test")
        until(lambda: made.over)
        # A venue thread that meets a defect dies, is replaced a while later, and ends the work then.
        broken = threading.Event()

        def note(*args: object) -> None:
            broken.set()
            raise RuntimeError("a defect")

        monkeypatch.setattr(type(made), "note", note)
        made = inner.drill("test")
        until(broken.is_set)
        until(lambda: bool(inner.status()["missing"]))
        still = inner.status()["beat"]
        time.sleep(0.1)
        assert inner.status()["beat"] == still
        monkeypatch.undo()
        monkeypatch.setattr(threading, "excepthook", lambda args: None)
        until(lambda: not inner.status()["missing"])
        until(lambda: made.all_final)
        until(lambda: inner.status()["beat"] != still)


class Listener(http.server.BaseHTTPRequestHandler):
    """Somebody who hears heartbeats, and answers each as told: 204, or a redirect, or an error."""

    answers: ClassVar[list[int]]
    heard: ClassVar[list[tuple[str, dict[str, Any]]]]

    def do_POST(self) -> None:
        self.heard.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.send_response(self.answers[0] if len(self.answers) == 1 else self.answers.pop(0))
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


def test_the_world_hears_that_it_lives(tmp_path: Path, fake: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(Listener, "answers", [204, 204, 302, 500, 204], raising=False)
    monkeypatch.setattr(Listener, "heard", [], raising=False)
    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        config = config_of(tmp_path, ports_of(fake), heartbeat=heartbeat_part(server.server_port, 50), build="b7")
        with gate(tmp_path / "stop", "deaf"), running(config) as sentinel:
            pulse = sentinel.pulse
            assert pulse is not None
            for trouble in ("302 Found", "500 Internal Server Error"):
                until(lambda trouble=trouble: pulse.trouble == f"the address answered {trouble}")  # type: ignore[misc]
            until(lambda: pulse.sent >= 3)
            assert pulse.trouble == ""
            assert {path for path, _ in Listener.heard} == {"/alive?of=desk"}  # a redirect is not followed
            assert (Listener.heard[-1][1]["incarnation"], Listener.heard[-1][1]["build"]) == (LIFE, "b7")
            server.shutdown()
            thread.join()
            server.server_close()
            until(lambda: "refused" in pulse.trouble)
            (status,) = follow(sentinel.path, verb="status")
            assert "refused" in status["pulse"]["trouble"]
            assert (status["gate"], status["missing"]) == ("runs", [])


def test_a_frame_of_status_is_one_object(tmp_path: Path, fake: Addresses) -> None:
    with running(config_of(tmp_path, ports_of(fake))) as sentinel:
        (status,) = control.ask(sentinel.path, {"verb": "status"}, frozenset({os.geteuid()}), 5)
        assert (status["event"], status["gate"], status["under_way"], status["pulse"]) == ("STATUS", "unseen", None, None)
