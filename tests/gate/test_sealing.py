"""TLS of an order connection over real sockets: who is spoken to, what a cut leaves behind, and that nothing is written once it has ended."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.gate.fake_servers import run
from tests.gate.tls_venue import HOST, Papers, VenueEnd, connected, met

from interlock.gate.connection import OrderConnection, Write, Wrote
from interlock.gate.sealing import TlsSeal

ORDER = b"POST /order HTTP/1.1\r\n\r\none whole order"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
ALERT = 21
"""The type of a record that says what is wrong (RFC 8446, 5.1)."""
RESET = b"\x01\0\0\0\0\0\0\0"


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path / "ours")


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def client(papers: Papers, request: pytest.FixtureRequest) -> ssl.SSLContext:
    """A client that speaks one version of TLS."""
    context = papers.client()
    context.minimum_version = context.maximum_version = request.param
    return context


def placed(connection: OrderConnection) -> Write:
    return connection.place(ORDER, lambda: "")


async def arrived(connection: OrderConnection) -> bytes | None:
    """What is read once something is there."""
    await asyncio.to_thread(select.select, [connection], [], [], 5)
    return connection.receive()


async def opened(connection: OrderConnection, length: int) -> bytes:
    """So many bytes of what the venue says, in however many reads."""
    found = b""
    while len(found) < length:
        data = await arrived(connection)
        assert data is not None
        found += data
    return found


# Between frames and bytes


def test_a_frame_is_sealed_in_one_piece_and_what_comes_is_opened(papers: Papers, client: ssl.SSLContext) -> None:
    async def use() -> None:
        async with connected(papers.server) as (ours, venue):
            connection = await met(ours, venue, client)
            assert placed(connection).wrote is Wrote.WHOLE
            assert await venue.hear(len(ORDER)) == ORDER
            assert ORDER not in venue.raw
            assert connection.lower(b"cancel").wrote is Wrote.WHOLE
            assert await venue.hear(6) == b"cancel"
            answers = venue.sealed(b"one ") + venue.sealed(b"answer")
            await venue.write(answers[:7])
            assert await arrived(connection) == b"", "not a whole record yet"
            await venue.write(answers[7:])
            assert await opened(connection, 10) == b"one answer"
            assert placed(connection).wrote is Wrote.WHOLE
            connection.abort()

    run(use())


def test_a_frame_of_many_records_is_sealed_whole(papers: Papers, client: ssl.SSLContext) -> None:
    async def use() -> None:
        async with connected(papers.server) as (ours, venue):
            connection = await met(ours, venue, client)
            frame = bytes(range(256)) * 200  # more than three records hold
            assert connection.place(frame, lambda: "").wrote is Wrote.WHOLE
            assert await venue.hear(len(frame)) == frame
            connection.abort()

    run(use())


def test_a_handshake_that_comes_byte_by_byte_is_one(papers: Papers, client: ssl.SSLContext) -> None:
    async def use() -> None:
        async with connected(papers.server) as (ours, venue):

            async def drop_by_drop(data: bytes) -> None:
                for at in range(len(data)):
                    await venue.write(data[at : at + 1])
                    await asyncio.sleep(0)

            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            venue.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            seal = TlsSeal(client, HOST)
            await asyncio.gather(seal.handshake(ours), venue.meet(drop_by_drop))
            connection = OrderConnection(ours, "orders", seal)
            assert placed(connection).wrote is Wrote.WHOLE
            assert await venue.hear(len(ORDER)) == ORDER
            connection.abort()

    run(use())


# Who is not who it should be


async def refused(papers: Papers, client: ssl.SSLContext, host: str) -> VenueEnd:
    """A handshake that our end refuses: the error says so, the venue is told, and hears no request."""
    async with connected(papers.server) as (ours, venue):
        told = asyncio.gather(venue.meet(), return_exceptions=True)
        with pytest.raises(ssl.SSLCertVerificationError):
            await TlsSeal(client, host).handshake(ours)
        ours.close()
        (said,) = await told
        if said is None:  # TLS 1.2 and an end of the handshake that was on its way
            assert await venue.hear(1) == b""
        assert isinstance(said, ssl.SSLError | EOFError), said
        return venue


def test_another_host_than_the_one_that_was_asked_for_is_refused(papers: Papers, client: ssl.SSLContext) -> None:
    async def use() -> None:
        await refused(papers, client, "api.venue.example")
        await refused(papers, client, "127.0.0.2")
        for host in (HOST, "localhost"):
            async with connected(papers.server) as (ours, venue):
                connection = await met(ours, venue, client, host)
                assert placed(connection).wrote is Wrote.WHOLE
                assert await venue.hear(len(ORDER)) == ORDER
                connection.abort()

    run(use())


def test_an_authority_that_is_not_the_one_that_is_trusted_is_refused_and_told_why(papers: Papers, tmp_path: Path) -> None:
    async def use() -> None:
        stranger = Papers(tmp_path / "another")
        async with connected(stranger.server) as (ours, venue):
            told = asyncio.gather(venue.meet(), return_exceptions=True)
            with pytest.raises(ssl.SSLCertVerificationError):
                await TlsSeal(papers.client(), HOST).handshake(ours)
            (said,) = await told
            assert isinstance(said, ssl.SSLError)
            assert "ALERT" in str(said.reason)
        async with connected(stranger.server) as (ours, venue):
            (await met(ours, venue, stranger.client())).abort()

    run(use())


# A handshake that does not come to its end


async def cut(papers: Papers, spoil: Callable[[VenueEnd], Awaitable[None]]) -> tuple[OSError, bytes]:
    """What the handshake says when the venue does something else after the greeting, and what the venue heard behind the greeting."""
    async with connected(papers.server) as (ours, venue):

        async def other() -> None:
            greeting = await venue.read()
            assert greeting[0] == 22, "a handshake"
            venue.raw = b""
            await spoil(venue)

        with pytest.raises(OSError) as found:
            await asyncio.gather(TlsSeal(papers.client(), HOST).handshake(ours), other())
        ours.close()
        heard = b""
        try:
            while venue.socket.fileno() >= 0 and (data := await venue.read()):
                heard += data
        except ConnectionResetError:
            pass
        return found.value, heard


def test_a_venue_that_goes_in_the_middle_of_the_handshake_is_not_met(papers: Papers) -> None:
    async def ends(venue: VenueEnd) -> None:
        venue.socket.shutdown(socket.SHUT_WR)

    async def resets(venue: VenueEnd) -> None:
        venue.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        venue.socket.close()

    async def use() -> None:
        error, _ = await cut(papers, ends)
        assert isinstance(error, ConnectionError)
        assert "handshake" in str(error)
        error, _ = await cut(papers, resets)
        assert isinstance(error, ConnectionResetError)

    run(use())


def test_a_venue_that_refuses_the_handshake_is_told_nothing_more(papers: Papers) -> None:
    async def refuses(venue: VenueEnd) -> None:
        await venue.write(bytes((ALERT, 3, 3, 0, 2, 2, 40)))  # fatal: handshake_failure

    async def use() -> None:
        error, heard = await cut(papers, refuses)
        assert isinstance(error, ssl.SSLError)
        assert "HANDSHAKE_FAILURE" in str(error.reason)
        assert heard == b""

    run(use())


def test_what_is_too_old_or_no_tls_at_all_is_refused(papers: Papers) -> None:
    async def old(venue: VenueEnd) -> None:
        hello = b"\x03\x02" + bytes(32) + b"\0" + b"\xc0\x0a" + b"\0"  # TLS 1.1, no session, a cipher, no compression
        body = b"\x02" + len(hello).to_bytes(3, "big") + hello
        await venue.write(b"\x16\x03\x02" + len(body).to_bytes(2, "big") + body)

    async def plain(venue: VenueEnd) -> None:
        await venue.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async def use() -> None:
        error, heard = await cut(papers, old)
        assert isinstance(error, ssl.SSLError)
        assert (heard[0], heard[-1]) == (ALERT, 70), "protocol_version"
        error, heard = await cut(papers, plain)
        assert isinstance(error, ssl.SSLError)
        assert heard[:1] in (b"", bytes((ALERT,)))

    run(use())


# The end, and what was changed on the way


@pytest.mark.parametrize("how", ["ended", "changed"])
def test_an_end_or_a_changed_record_ends_the_connection(papers: Papers, client: ssl.SSLContext, how: str) -> None:
    async def use() -> None:
        async with connected(papers.server) as (ours, venue):
            connection = await met(ours, venue, client)
            await venue.write(venue.sealed(b"fine"))
            assert await opened(connection, 4) == b"fine"
            await venue.write(venue.ended() if how == "ended" else changed(venue.sealed(b"not as it was")))
            assert await arrived(connection) is None
            assert not connection.is_open
            assert placed(connection) == (Wrote.NOTHING, "the connection is closed")

    run(use())


@pytest.mark.parametrize("write", ["place", "lower"])
@pytest.mark.parametrize("how", ["ended", "changed"])
def test_behind_an_answer_the_end_lets_the_answer_count_and_nothing_more_be_written(
    papers: Papers, client: ssl.SSLContext, how: str, write: str
) -> None:
    async def use() -> None:
        async with connected(papers.server) as (ours, venue):
            connection = await met(ours, venue, client)
            assert placed(connection).wrote is Wrote.WHOLE
            assert await venue.hear(len(ORDER)) == ORDER
            answer = venue.sealed(b"an answer")
            await venue.write(answer + (venue.ended() if how == "ended" else changed(venue.sealed(b"more"))))
            assert await opened(connection, 9) == b"an answer"
            known = len(venue.raw)
            said = placed(connection) if write == "place" else connection.lower(b"cancel")
            assert said.wrote is Wrote.NOTHING
            assert "TLS" in said.reason
            assert not connection.is_open
            with pytest.raises(ConnectionResetError):
                await venue.read()
            assert len(venue.raw) == known

    run(use())


def test_a_read_behind_the_end_is_the_end(papers: Papers, client: ssl.SSLContext) -> None:
    async def use() -> None:
        for spoilt in ("ended", "changed"):
            async with connected(papers.server) as (ours, venue):
                connection = await met(ours, venue, client)
                await venue.write(venue.sealed(b"an answer") + (venue.ended() if spoilt == "ended" else changed(venue.sealed(b"more"))))
                assert await opened(connection, 9) == b"an answer"
                await venue.write(b"whatever")
                assert await arrived(connection) is None
                assert not connection.is_open

    run(use())


def test_a_line_that_is_cut_in_the_middle_of_a_record_gives_nothing_of_it(papers: Papers, client: ssl.SSLContext) -> None:
    async def use() -> None:
        async with connected(papers.server) as (ours, venue):
            connection = await met(ours, venue, client)
            await venue.write(venue.sealed(b"first") + venue.sealed(b"second")[:-3])
            assert await opened(connection, 5) == b"first"
            venue.socket.shutdown(socket.SHUT_WR)
            assert await arrived(connection) is None
            assert not connection.is_open

    run(use())


@pytest.mark.parametrize("write", ["place", "lower"])
def test_without_a_handshake_nothing_is_written(papers: Papers, write: str) -> None:
    ours, theirs = socket.socketpair()
    connection = OrderConnection(ours, "orders", TlsSeal(papers.client(), HOST))
    said = placed(connection) if write == "place" else connection.lower(b"cancel")
    assert (said.wrote, connection.is_open) == (Wrote.NOTHING, False)
    assert "TLS" in said.reason
    with theirs:
        assert theirs.recv(100) == b""


def changed(records: bytes) -> bytes:
    """The same records with one bit of the last turned."""
    return records[:-1] + bytes((records[-1] ^ 1,))
