"""An order connection's options on the socket, as the kernel has them, and writes that must neither wait nor raise a signal."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from interlock.gate.connection import OrderConnection, Wrote

FAMILIES = [socket.AF_INET, socket.AF_INET6]


def pair(family: socket.AddressFamily) -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1" if family is socket.AF_INET else "::1", 0), family=family) as server:
        ours = socket.socket(family)
        ours.connect(server.getsockname())
        return ours, server.accept()[0]


@pytest.fixture(params=FAMILIES, ids=["IPv4", "IPv6"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, OrderConnection, socket.socket]]:
    """Our socket, the order connection over it, and the venue's end."""
    try:
        ours, venue = pair(request.param)
    except OSError as error:
        pytest.skip(f"this machine has no loopback of that family: {error}")
    connection = OrderConnection(ours, "orders")
    yield ours, connection, venue
    connection.abort()
    venue.close()


def test_what_the_kernel_is_told_about_the_socket(ends: tuple[socket.socket, OrderConnection, socket.socket]) -> None:
    ours, _, _ = ends
    assert ours.getblocking() is False
    assert struct.unpack("ii", ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) == (1, 0)
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2_000


def test_a_cancel_that_waits_with_us_counts_as_unsent(ends: tuple[socket.socket, OrderConnection, socket.socket]) -> None:
    _, connection, _ = ends
    assert connection.unsent_bytes() == 0
    length = 64 << 20  # more than any buffer of the kernel takes
    assert connection.lower(b"c" * length).wrote is Wrote.PART
    assert connection.unsent_bytes() > length // 2
    connection.abort()
    assert connection.unsent_bytes() == 0


def test_bytes_that_lie_in_the_kernel_hold_up_a_placement(ends: tuple[socket.socket, OrderConnection, socket.socket]) -> None:
    ours, connection, _ = ends
    assert connection.place(b"p", lambda: "").wrote is Wrote.WHOLE
    deadline = time.monotonic() + 5
    while connection.unsent_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    try:
        while True:  # past the connection, so that none of it waits with us
            ours.send(b"x" * 4096)
    except BlockingIOError:
        pass
    assert connection.unsent_bytes() > 0
    assert connection.place(b"p", lambda: "") == (Wrote.NOTHING, "earlier bytes have not left yet")


def test_what_did_not_fit_is_a_part_until_it_has_followed(ends: tuple[socket.socket, OrderConnection, socket.socket]) -> None:
    _, connection, venue = ends
    venue.settimeout(5)
    length = 16 << 20
    assert connection.lower(b"c" * length) == (Wrote.PART, "the kernel took a part")
    got, deadline = 0, time.monotonic() + 10
    while got < length:
        assert time.monotonic() < deadline
        got += len(venue.recv(1 << 20))
        last = connection.flush()
    assert last == (Wrote.WHOLE, "")


def test_an_aborted_connection_writes_and_reads_nothing(ends: tuple[socket.socket, OrderConnection, socket.socket]) -> None:
    _, connection, _ = ends
    assert connection.lower(b"c").wrote is Wrote.WHOLE
    connection.abort()
    closed = (Wrote.NOTHING, "the connection is closed")
    assert (connection.place(b"p", lambda: ""), connection.lower(b"c"), connection.flush()) == (closed, closed, closed)
    assert connection.receive() is None
    connection.abort()
    assert (connection.is_open, connection.fileno()) == (False, -1)


def test_bytes_on_their_way_to_a_local_socket_hold_up_a_placement() -> None:
    """A local socket has no send queue of its own, so that what the peer has not read counts."""
    ours, venue = socket.socketpair()
    connection = OrderConnection(ours, "local")
    try:
        assert connection.lower(b"c").wrote is Wrote.WHOLE
        assert connection.unsent_bytes() > 0
        assert connection.place(b"p", lambda: "") == (Wrote.NOTHING, "earlier bytes have not left yet")
        assert venue.recv(10) == b"c"
        assert connection.unsent_bytes() == 0
        assert connection.place(b"p", lambda: "").wrote is Wrote.WHOLE
    finally:
        connection.abort()
        venue.close()
