"""The order connection against real sockets: nothing half, nothing late."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

import pytest

from interlock.gate.connection import OrderConnection, Wrote

FRAME = b"one whole order"


def fine() -> str:
    return ""


@pytest.fixture
def ends() -> Iterator[tuple[OrderConnection, socket.socket]]:
    """An order connection over TCP and the venue's end of it, both with small buffers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ours = socket.socket()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.connect(server.getsockname())
        venue, _ = server.accept()
        venue.settimeout(5)
        connection = OrderConnection(ours, "orders")
        yield connection, venue
        connection.abort()
        venue.close()


def settle(connection: OrderConnection) -> None:
    deadline = time.monotonic() + 5
    while connection.unsent_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def fill_up(connection: OrderConnection) -> None:
    """Lowering frames until the kernel takes no more."""
    while connection.lower(b"c" * 4096).wrote is Wrote.WHOLE:
        pass


def read_until_reset(venue: socket.socket) -> int:
    """Read on until the connection is reset; how many bytes arrived before. Fails if it ends in an orderly way."""
    got = 0
    try:
        while piece := venue.recv(1 << 16):
            got += len(piece)
    except ConnectionResetError:
        return got
    raise AssertionError("closed, not reset")


def test_a_placement_is_written_whole(ends: tuple[OrderConnection, socket.socket]) -> None:
    connection, venue = ends
    assert connection.place(FRAME, fine) == (Wrote.WHOLE, "")
    assert venue.recv(100) == FRAME
    settle(connection)
    assert connection.place(FRAME, fine).wrote is Wrote.WHOLE
    assert venue.recv(100) == FRAME


def test_an_objection_in_the_last_check_leaves_no_byte(ends: tuple[OrderConnection, socket.socket]) -> None:
    connection, venue = ends
    assert connection.place(FRAME, lambda: "stop word") == (Wrote.NOTHING, "stop word")

    def fails() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        connection.place(FRAME, fails)
    assert connection.lower(b"cancel").wrote is Wrote.WHOLE
    assert venue.recv(100) == b"cancel"


def test_a_placement_waits_for_no_byte_before_it(ends: tuple[OrderConnection, socket.socket]) -> None:
    connection, venue = ends
    fill_up(connection)
    asked = []

    def recheck() -> str:
        asked.append(1)
        return ""

    assert connection.place(FRAME, recheck) == (Wrote.NOTHING, "earlier bytes have not left yet")
    assert asked == []
    got = b""
    while connection.unsent_bytes():
        connection.flush()
        if select.select([venue], [], [], 0.01)[0]:
            got += venue.recv(1 << 16)
    assert connection.place(FRAME, recheck).wrote is Wrote.WHOLE
    while not got.endswith(FRAME):
        got += venue.recv(1 << 16)
    assert set(got[: -len(FRAME)]) == {ord("c")}
    assert asked == [1]


def test_a_frame_that_the_kernel_takes_in_part_is_unknown_and_the_rest_never_follows(ends: tuple[OrderConnection, socket.socket]) -> None:
    connection, venue = ends
    huge = b"p" * (8 << 20)
    result = connection.place(huge, fine)
    assert result.wrote is Wrote.PART
    assert not connection.is_open
    assert connection.fileno() == -1
    assert read_until_reset(venue) < len(huge)
    assert connection.place(FRAME, fine) == (Wrote.NOTHING, "the connection is closed")


def test_an_abort_discards_what_has_not_left(ends: tuple[OrderConnection, socket.socket]) -> None:
    connection, venue = ends
    fill_up(connection)
    waiting = connection.unsent_bytes()
    assert waiting > 0
    connection.abort()
    assert connection.unsent_bytes() == 0
    read_until_reset(venue)
    for write in (connection.lower(b"x"), connection.flush()):
        assert write == (Wrote.NOTHING, "the connection is closed")
    assert connection.receive() is None
    connection.abort()


def test_a_close_in_place_of_an_abort_would_deliver_what_waits() -> None:
    """The reason for the abort, and the control of the test above."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain = socket.create_connection(server.getsockname())
        venue, _ = server.accept()
        plain.setblocking(False)
        sent = 0
        try:
            while True:
                sent += plain.send(b"p" * 4096)
        except BlockingIOError:
            plain.close()
        venue.settimeout(5)
        got = 0
        while piece := venue.recv(1 << 16):
            got += len(piece)
        venue.close()
    assert got == sent


def test_answers_arrive_and_a_peer_that_is_gone_is_noticed(ends: tuple[OrderConnection, socket.socket]) -> None:
    connection, venue = ends
    assert connection.receive() == b""
    venue.sendall(b"ack")
    select.select([connection], [], [], 5)
    assert connection.receive() == b"ack"
    venue.close()
    select.select([connection], [], [], 5)
    assert connection.receive() is None
    assert not connection.is_open


@pytest.mark.parametrize("write", ["place", "lower"])
def test_a_connection_that_was_reset_takes_nothing(ends: tuple[OrderConnection, socket.socket], write: str) -> None:
    connection, venue = ends
    venue.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    venue.close()
    select.select([connection], [], [], 5)
    result = connection.place(FRAME, fine) if write == "place" else connection.lower(FRAME)
    assert result.wrote is Wrote.NOTHING
    assert "the connection failed" in result.reason
    assert not connection.is_open


def test_a_reset_while_reading_is_the_end(ends: tuple[OrderConnection, socket.socket]) -> None:
    connection, venue = ends
    venue.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    venue.close()
    select.select([connection], [], [], 5)
    assert connection.receive() is None


def test_a_full_pipe_takes_no_placement() -> None:
    """Over a Unix socket nothing is counted as unsent, so that the kernel itself has to say no."""
    ours, venue = socket.socketpair()
    connection = OrderConnection(ours, "local")
    assert connection.place(FRAME, fine).wrote is Wrote.WHOLE
    venue.recv(100)
    big = b"q" * 100_000
    reasons = {connection.place(big, fine).reason for _ in range(3)}
    assert reasons & {"earlier bytes have not left yet"}
    connection.abort()
    venue.close()


def test_a_connection_that_is_not_there_yet_takes_no_byte() -> None:
    """A server whose queue is full answers nobody: the connection stays in the making, and the kernel takes nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(server.getsockname())
            waiting.append(one)
        connection = OrderConnection(waiting.pop(), "orders")
        assert connection.place(FRAME, fine) == (Wrote.NOTHING, "the kernel takes no bytes")
        assert connection.lower(FRAME) == (Wrote.PART, "the kernel takes no bytes now")
        connection.abort()
        for one in waiting:
            one.close()
