"""The served face: the same answers as in memory, a witness that outlives everything, and clients that may do what they like."""

import contextlib
import json
import os
import resource
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.simulate.fake_venue.builders import ASK, BID, WINDOW_NS, cancel, drain, order, place, taking

from interlock.domain.clock import NS_PER_MS, NS_PER_S, SystemClock
from interlock.domain.errors import DamagedState, Refused
from interlock.domain.orders import OrderState
from interlock.simulate.fake_venue.__main__ import main
from interlock.simulate.fake_venue.client import ControlClient, SocketLink, VenueClient
from interlock.simulate.fake_venue.control import ArmFault, AskTruth, Done, DropConnections, Failed, SetBook, Truth, encode_control
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.launch import served
from interlock.simulate.fake_venue.memory import MemoryNetwork
from interlock.simulate.fake_venue.server import Addresses, Server
from interlock.simulate.fake_venue.witness import LineFile, Witness, read_lines
from interlock.venues.fake.wire import (
    Amend,
    Answer,
    AnyRequest,
    CancelAll,
    PlaceBatch,
    QueryOrder,
    ReadBalances,
    ReadExecutions,
    ReadOpenOrders,
    ReadOrderHistory,
    ReadPositions,
    ReadTime,
    Subscribe,
    encode,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Addresses]:
    """The server in a thread of this process."""
    made = Server(tmp_path / "fake", ("bybit", "binance_usdm"), SystemClock())
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made.addresses(os.getpid())
    made.stop()
    thread.join(10)
    assert not thread.is_alive()


@contextlib.contextmanager
def connected(port: int) -> Iterator[VenueClient]:
    link = SocketLink(port)
    try:
        yield VenueClient(link)
    finally:
        link.close()


@contextlib.contextmanager
def commanding(addresses: Addresses) -> Iterator[ControlClient]:
    control = ControlClient(addresses.control)
    try:
        yield control
    finally:
        control.close()


def truth(addresses: Addresses, venue: str = "bybit") -> Truth:
    with commanding(addresses) as control:
        reply = control.command(AskTruth(venue=venue))
    assert isinstance(reply, Truth)
    return reply


def fresh(client_id: str, **changes: object) -> AnyRequest:
    return place(client_id, sign_ns=time.time_ns(), **changes)  # type: ignore[arg-type]


def witnessed(addresses: Addresses) -> list[dict[str, object]]:
    return read_lines(Path(addresses.witness))


def eventually(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


SEQUENCE: tuple[AnyRequest, ...] = (
    place("a"),
    place("a"),
    taking("b", lots=7),
    Amend(client_id="a", revision=1, ticks=BID - 7, lots=12),
    PlaceBatch(orders=(order("c"), order("d", lots=0))),
    cancel("c"),
    cancel("c"),
    QueryOrder(client_id="b"),
    ReadOpenOrders(),
    ReadOrderHistory(),
    ReadExecutions(),
    ReadPositions(),
    ReadBalances(),
    CancelAll(),
)


@pytest.mark.parametrize("venue", ["bybit", "binance_usdm"])
def test_both_faces_answer_alike(server: Addresses, venue: str) -> None:
    network = MemoryNetwork((venue,))

    def without_time(answer: Answer) -> object:
        text = msgspec.json.decode(msgspec.json.encode(answer))
        for name in ("venue_ns", "reset_ns", "orders_reset_ns"):
            del text[name]
        return json.loads(json.dumps(text), object_hook=lambda part: {k: v for k, v in part.items() if k not in ("venue_ns", "updated_ns")})

    def ask(client: VenueClient, now_ns: int) -> list[object]:
        return [
            without_time(client.request(msgspec.structs.replace(request, sign_ns=now_ns, receive_window_ns=WINDOW_NS)))
            for request in SEQUENCE
        ]

    with connected(server.venues[venue].orders) as client:
        over_socket = ask(client, time.time_ns())
    assert over_socket == ask(network.connect(venue, "orders"), network.hub.now_ns())
    assert len(witnessed(server)) == len(SEQUENCE)


def test_the_stream_tells_what_orders_do(server: Addresses) -> None:
    ports = server.venues["bybit"]
    with connected(ports.orders) as orders, connected(ports.stream) as stream:
        assert stream.request(Subscribe()).ok
        assert orders.request(fresh("a", ticks=ASK)).ok
        eventually(lambda: stream.poll(NS_PER_MS) and len(stream.pushed) >= 5)
        assert [push.sequence for push in stream.pushed] == [1, 2, 3, 4, 5]


def test_two_venues_share_one_witness_and_nothing_else(server: Addresses) -> None:
    for name in ("bybit", "binance_usdm"):
        with connected(server.venues[name].orders) as client:
            assert client.request(fresh("same")).ok
            client.request(cancel("same"))
            client.request(ReadTime())
    lines = witnessed(server)
    assert [(line["venue"], line["verb"], line["class"]) for line in lines] == [
        (venue, verb, verb_class)
        for venue in ("bybit", "binance_usdm")
        for verb, verb_class in (("place", "RISK+"), ("cancel", "RISK-"), ("server_time", "READ"))
    ]
    assert [line["client_id"] for line in lines] == ["same", "same", ""] * 2
    assert all(line["received"] == line["bytes"] for line in lines)
    assert lines[0]["orders"] == [msgspec.to_builtins(order("same"))]
    said = read_lines(Path(server.truth))
    assert [(line["venue"], line["is"]["state"]) for line in said] == [
        (venue, state) for venue in ("bybit", "binance_usdm") for state in ("open", "cancelled")
    ]


def test_the_witness_is_written_before_the_answer(server: Addresses) -> None:
    with connected(server.venues["bybit"].orders) as client:
        for number in range(1, 30):
            client.request(ReadTime())
            assert len(witnessed(server)) == number


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE_ACCEPTING, Fault.RESET_AFTER_ACCEPTING, Fault.PARTIAL_FRAME])
def test_a_reset_is_a_reset_on_the_socket_too(server: Addresses, fault: Fault) -> None:
    with commanding(server) as control:
        assert control.command(ArmFault(venue="bybit", spec=FaultSpec(fault=fault))) == Done(count=1)
    with connected(server.venues["bybit"].orders) as client, pytest.raises(ConnectionResetError):
        client.request(fresh("a"))
    assert len(truth(server).orders) == int(fault is not Fault.RESET_BEFORE_ACCEPTING)
    assert [line["client_id"] for line in witnessed(server)] == ["a"]


def test_what_would_come_after_a_reset_does_not(server: Addresses) -> None:
    network = MemoryNetwork(("bybit",))
    faults = [ArmFault(venue="bybit", spec=FaultSpec(fault=fault)) for fault in (Fault.FUNDING, Fault.RESET_AFTER_ACCEPTING)]
    with commanding(server) as control, connected(server.venues["bybit"].stream) as over_socket:
        in_memory = network.connect("bybit", "stream")
        for client in (over_socket, in_memory):
            assert client.request(Subscribe()).ok
        for fault in faults:
            assert control.command(fault) == network.command(fault) == Done(count=1)
        for client in (over_socket, in_memory):
            with pytest.raises(ConnectionResetError):
                client.request(ReadTime())
            assert not client.pushed
    assert len(truth(server).ledger) == 1


def test_a_late_answer_comes_without_another_request(server: Addresses) -> None:
    with commanding(server) as control, connected(server.venues["bybit"].orders) as client:
        control.command(ArmFault(venue="bybit", spec=FaultSpec(fault=Fault.LATE_ACK, delay_ns=50 * NS_PER_MS)))
        start = time.monotonic_ns()
        assert client.request(fresh("a")).ok
        assert time.monotonic_ns() - start >= 50 * NS_PER_MS


def test_no_answer_is_a_timeout_and_other_answers_are_kept(server: Addresses) -> None:
    with commanding(server) as control, connected(server.venues["bybit"].orders) as client:
        control.command(ArmFault(venue="bybit", spec=FaultSpec(fault=Fault.LOSE_ACK)))
        with pytest.raises(TimeoutError):
            client.request(fresh("a"), 50 * NS_PER_MS)
        first = client.send(ReadTime())
        assert client.request(ReadTime()).ok
        drain(client)
        assert [answer.request_id for answer in client.answers] == [first]


def test_clients_may_die_at_any_byte(server: Addresses) -> None:
    frame = encode(fresh("a"))
    port = server.venues["bybit"].orders
    for cut in (0, 3, len(frame) - 1, len(frame)):
        for abrupt in (False, True):
            raw = socket.create_connection(("127.0.0.1", port))
            raw.sendall(frame[:cut])
            time.sleep(0.01)
            if abrupt:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
    eventually(lambda: len(witnessed(server)) == 6)
    assert sorted(str(line["verb"]) for line in witnessed(server)) == ["place"] * 2 + ["unreadable"] * 4
    assert all(line["class"] == "RISK+" for line in witnessed(server))
    assert len(truth(server).orders) == 1


def test_a_frame_may_arrive_byte_by_byte(server: Addresses) -> None:
    with connected(server.venues["bybit"].orders) as client:
        for byte in encode(fresh("a")):
            client.link.send(bytes([byte]))
        assert client.poll(NS_PER_S)
        assert client.answers[0].ok


def test_a_client_that_does_not_read_is_cut_off_and_holds_up_nobody(server: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.simulate.fake_venue.server.BACKLOG_BYTES", 1 << 20)
    with connected(server.venues["bybit"].stream) as deaf:
        with connected(server.venues["bybit"].orders) as client:
            for number in range(200):
                assert client.request(fresh(f"n{number}")).ok
        request = encode(ReadOpenOrders(limit=200))

        def shout() -> None:
            for _ in range(2_000):
                deaf.link.send(request)
                time.sleep(0.001)

        with pytest.raises(ConnectionError):
            shout()
        with connected(server.venues["bybit"].orders) as client:
            assert client.request(ReadTime()).ok


def test_a_client_that_reads_late_gets_everything(server: Addresses) -> None:
    with connected(server.venues["bybit"].orders) as client:
        for number in range(200):
            client.request(fresh(f"n{number}"))
        # More than the buffers of the sockets hold, less than the server keeps.
        asked = [client.send(ReadOpenOrders(limit=200)) for _ in range(400)]
        eventually(lambda: len(witnessed(server)) == 600)
        while len(client.answers) < len(asked):
            assert client.poll(NS_PER_S)
        assert [answer.request_id for answer in client.answers] == asked


def test_a_client_that_dies_with_answers_waiting_hurts_nobody(server: Addresses) -> None:
    with connected(server.venues["bybit"].orders) as client:
        for number in range(200):
            client.request(fresh(f"n{number}"))
    link = SocketLink(server.venues["bybit"].orders)
    for _ in range(400):
        link.send(encode(ReadOpenOrders(limit=200)))
    eventually(lambda: len(witnessed(server)) == 600)
    # Another's answer: the server has done what it was asked, and waits for somebody to read.
    assert truth(server).requests == 600
    link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()
    assert truth(server).requests == 600


def test_a_connection_torn_while_it_has_something_to_say_hurts_nobody(server: Addresses) -> None:
    for _ in range(20):
        with commanding(server) as control, connected(server.venues["bybit"].orders) as client:
            client.request(ReadTime())
            control.link.send(encode_control(DropConnections(venue="bybit")))
            with contextlib.suppress(ConnectionError):
                client.link.send(encode(ReadTime()))
    assert not truth(server).orders


def test_a_fake_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.simulate.fake_venue.launch.STOP_S", 0.2)
    with served(tmp_path, ("bybit",)) as addresses:
        os.kill(addresses.pid, signal.SIGSTOP)
    with pytest.raises(ProcessLookupError):
        os.kill(addresses.pid, 0)


def test_control_can_tear_everything_and_refuses_nonsense(server: Addresses) -> None:
    with commanding(server) as control, connected(server.venues["bybit"].stream) as client:
        assert client.request(Subscribe()).ok
        assert control.command(SetBook(venue="bybit", symbol="BTCUSDT", bid_ticks=1, ask_ticks=2)) == Done(count=0)
        assert control.command(DropConnections(venue="bybit")) == Done(count=1)
        with pytest.raises(ConnectionResetError):
            client.request(ReadTime())
        assert isinstance(control.command(AskTruth(venue="kraken")), Failed)
        control.link.send(b"\xff\xff\xff\xff")
        with pytest.raises(ConnectionResetError):
            control.command(AskTruth(venue="bybit"))
    assert truth(server).requests == 1


def test_a_control_that_says_nothing_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.simulate.fake_venue.client.TIMEOUT_NS", 20 * NS_PER_MS)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        control = ControlClient(mute.getsockname()[1])
        with pytest.raises(TimeoutError):
            control.command(AskTruth(venue="bybit"))
        control.close()


def test_an_orderly_end_is_told_as_one_too(tmp_path: Path) -> None:
    ended = Server(tmp_path, ("bybit",), SystemClock())
    thread = threading.Thread(target=ended.serve)
    thread.start()
    with connected(ended.addresses(0).venues["bybit"].orders) as client:
        assert client.request(ReadTime()).ok
        ended.stop()
        thread.join(10)
        with pytest.raises(ConnectionResetError, match="closed"):
            client.request(ReadTime())


def test_the_process_outlives_its_clients_and_its_witness_outlives_it(served_fake: Addresses) -> None:
    for name in ("a", "b"):
        with connected(served_fake.venues["binance_usdm"].orders) as client:
            assert client.request(fresh(name)).ok
    assert [shown.state for shown in truth(served_fake, "binance_usdm").orders] == [OrderState.OPEN] * 2
    assert Path(served_fake.witness).with_name("addresses.json").read_bytes() == msgspec.json.encode(served_fake) + b"\n"
    os.kill(served_fake.pid, signal.SIGKILL)
    assert [line["client_id"] for line in witnessed(served_fake)] == ["a", "b"]


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "fake"

    def stop() -> None:
        eventually((folder / "addresses.json").exists)
        os.kill(os.getpid(), signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    thread = threading.Thread(target=stop)
    thread.start()
    try:
        assert main(["--dir", str(folder), "--venues", "bybit"]) == 0
    finally:
        thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert msgspec.json.decode(capfd.readouterr().out, type=Addresses).pid == os.getpid()


def test_an_unknown_venue_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--dir", str(tmp_path), "--venues", "kraken"]) == 2
    assert "kraken" in capfd.readouterr().err
    with pytest.raises(Refused, match="did not start"), served(tmp_path, ("kraken",)):
        pass


def test_a_fake_that_was_forgotten_retires_and_one_that_is_used_does_not(tmp_path: Path) -> None:
    made = Server(tmp_path, ("bybit",), SystemClock(), retire_after_ns=150 * NS_PER_MS)
    addresses = made.addresses(os.getpid())
    thread = threading.Thread(target=made.serve)
    thread.start()
    with commanding(addresses) as control:
        # Connected, if only to the control port, and silent for longer than it would stay alone.
        thread.join(0.4)
        assert thread.is_alive()
        assert isinstance(control.command(AskTruth(venue="bybit")), Truth)
    left = time.monotonic_ns()
    thread.join(10)
    assert not thread.is_alive()
    assert time.monotonic_ns() - left >= 140 * NS_PER_MS


def test_the_forgotten_process_ends_without_complaint(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert main(["--dir", str(tmp_path), "--retire-after-s", "0.05"]) == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capfd.readouterr().err == ""
    with served(tmp_path / "process", ("bybit",), retire_after_s=0.05) as addresses:
        eventually(lambda: _refused(addresses.control))


def _refused(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
        time.sleep(0.2)
        return False
    return True


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_to_retire_that_makes_no_sense_is_refused(tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--dir", str(tmp_path), "--retire-after-s", text])
    assert "retire-after-s" in capfd.readouterr().err


def test_a_torn_line_is_no_line_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b'{"a":1}\n{"a":2')
    assert read_lines(path) == [{"a": 1}]
    again = LineFile(path)
    again.write(b'{"a":3}\n')
    again.close()
    assert read_lines(path) == [{"a": 1}, {"a": 3}]
    LineFile(path).close()
    assert read_lines(path) == [{"a": 1}, {"a": 3}]
    path.write_bytes(b"no line\n")
    with pytest.raises(DamagedState, match="line 1"):
        read_lines(path)


def test_a_line_that_does_not_fit_stops_the_fake_before_it_answers(tmp_path: Path) -> None:
    lines = LineFile(tmp_path / "lines")
    witness = Witness(SystemClock(), lines.write, lines.write)
    witness.request("bybit", "c", encode(ReadTime()), ReadTime())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (lines.path.stat().st_size + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="make room"):
            witness.request("bybit", "c", encode(ReadTime()), ReadTime())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        lines.close()
    assert len(read_lines(lines.path)) == 1
