"""Requests as bytes and answers from bytes; a connection that sends each request once, whatever the server does with it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import UsageError
from interlock.simulate.served.tls import make_authority
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.http_blocking import BlockingBroken, BlockingHttp
from interlock.venues.http_reader import HttpReader, ReadBroken
from interlock.venues.http_wire import Answers, HttpTrouble, frame_of
from interlock.venues.port import Heard
from interlock.venues.request import Method, SignedCall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Used: 7\r\n\r\n{}"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def call(method: Method = Method.GET, body: bytes = b"", path: str = "/a") -> SignedCall:
    return SignedCall(method, path, "x=1", (("X-Key", "k"),), body)


def test_a_request_is_one_frame_with_its_body() -> None:
    frame = frame_of(call(Method.POST, b'{"a":"1"}'), "venue.example:8443")
    head, _, body = frame.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /a?x=1 HTTP/1.1"
    assert {"Host: venue.example:8443", "X-Key: k", "Content-Length: 9", "Accept-Encoding: identity"} <= set(lines)
    assert body == b'{"a":"1"}'


@pytest.mark.parametrize("path", ["/a\r\nX: y", "/a\nb", "/ä", "/a\x00"])
def test_what_would_be_more_than_one_line_is_not_written(path: str) -> None:
    with pytest.raises(UsageError, match="one line of ASCII"):
        frame_of(call(path=path), "h")


@given(st.lists(st.integers(1, 40), max_size=8))
def test_an_answer_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    answers, left, heard = Answers(), OK, None
    answers.expect("GET")
    for cut in [*cuts, len(OK)]:
        part, left = left[:cut], left[cut:]
        if part:
            heard = answers.feed(part)
        if not left:
            break
    assert heard == Heard(200, {"content-length": "2", "x-used": "7"}, b"{}")
    assert answers.keeps
    assert not answers.waits


def test_chunks_and_a_body_that_ends_with_the_connection() -> None:
    answers = Answers()
    answers.expect("GET")
    heard = answers.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    assert heard is not None
    assert heard.body == b"{}"
    answers.expect("GET")
    assert answers.feed(b"HTTP/1.1 200 OK\r\n\r\n{") is None
    assert answers.feed(b"}") is None
    ended = answers.feed(b"")
    assert ended is not None
    assert ended.body == b"{}"
    assert not answers.keeps


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        OK + b"more",
        OK + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (9 << 20),
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * (1 << 17),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"",
    ],
)
def test_what_is_no_answer_is_trouble(data: bytes) -> None:
    answers = Answers()
    answers.expect("GET")
    with pytest.raises(HttpTrouble):
        answers.feed(data)


@given(st.binary(max_size=200))
def test_bytes_are_an_answer_or_trouble(data: bytes) -> None:
    answers = Answers()
    answers.expect("GET")
    try:
        answers.feed(b"HTTP/1.1 " + data)
        answers.feed(data)
    except HttpTrouble:
        pass


def test_bytes_that_nobody_asked_for_are_trouble_and_one_request_is_under_way() -> None:
    answers = Answers()
    with pytest.raises(HttpTrouble, match="expected nothing"):
        answers.feed(b"x")
    answers.expect("GET")
    with pytest.raises(UsageError, match="no request under way"):
        answers.expect("GET")


@asynccontextmanager
async def server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    found = await asyncio.start_server(come, "127.0.0.1", 0, ssl=tls)
    async with found:
        yield found.sockets[0].getsockname()[1]


def loopback(port: int, *, authority: Path | None = None) -> Endpoint:
    return Endpoint(Where.LOOPBACK, "127.0.0.1", port, tls=authority is not None, authority=authority)


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("first", [True, False], ids=["fresh", "reused"])
def test_a_server_that_closes_without_an_answer_has_seen_one_copy(method: Method, first: bool) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"warm" in head:
                writer.write(OK)
                continue
            seen.append(head)
            return

    async def story() -> None:
        async with server(serve) as port:
            reader = HttpReader(loopback(port))
            if not first:
                assert (await reader.ask(call(path="/warm"), 2)).status == 200
            with pytest.raises(ReadBroken):
                await reader.ask(call(method), 2)
            await asyncio.sleep(0.05)
            assert len(seen) == 1
            # And it is the server that made the difference: the same reader asks again on a new connection.
            assert (await reader.ask(call(path="/warm"), 2)).body == b"{}"
            reader.close()

    asyncio.run(story())


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("first", [True, False], ids=["fresh", "reused"])
@pytest.mark.parametrize("silent", [False, True], ids=["closed", "silent"])
def test_whoever_stops_everything_writes_each_request_once_too(method: Method, first: bool, silent: bool) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            seen.append(head.split(b" ", 1)[0])
            if b"warm" in head:
                seen.pop()
                writer.write(OK)
            elif silent:
                await reader.read()
                return
            else:
                return

    async def story() -> None:
        async with server(serve) as port:
            client = BlockingHttp(loopback(port))
            if not first:
                assert (await asyncio.to_thread(client.ask, call(path="/warm"), 5 * NS_PER_S)).status == 200
            with pytest.raises(BlockingBroken, match=f"{method.value} /a: "):
                await asyncio.to_thread(client.ask, call(method), NS_PER_S // 5)
            await asyncio.sleep(0.05)
            assert seen == [method.value.encode()]
            # And it is the server that made the difference: the same client asks again on a new connection.
            assert (await asyncio.to_thread(client.ask, call(path="/warm"), 5 * NS_PER_S)).body == b"{}"
            with pytest.raises(BlockingBroken):
                await asyncio.to_thread(client.ask, call(method), NS_PER_S // 5)
            assert seen == [method.value.encode()] * 2
            client.close()

    asyncio.run(story())


def test_a_redirect_is_no_answer_and_not_followed() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async def story() -> None:
        async with server(serve) as port:
            reader = HttpReader(loopback(port))
            with pytest.raises(ReadBroken, match=r"found a redirect \(307\) to '/elsewhere', which is not followed"):
                await reader.ask(call(), 2)
            assert len(asked) == 1
            reader.close()

    asyncio.run(story())


def test_an_answer_that_is_late_is_none_and_is_not_taken_for_the_next() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"slow" in head:
                await asyncio.sleep(0.3)
            body = b'"slow"' if b"slow" in head else b'"fast"'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + body)

    async def story() -> None:
        async with server(serve) as port:
            reader = HttpReader(loopback(port))
            with pytest.raises(ReadBroken, match="no answer within"):
                await reader.ask(call(path="/slow"), 0.1)
            heard = await asyncio.gather(*(reader.ask(call(path="/fast"), 5) for _ in range(3)))
            assert [one.body for one in heard] == [b'"fast"'] * 3
            reader.close()

    asyncio.run(story())


def test_who_waited_too_long_for_a_turn_does_not_break_the_answer_of_another() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"held" in head:
                await asked.wait()
            writer.write(OK)

    async def story() -> None:
        async with server(serve) as port:
            reader = HttpReader(loopback(port))
            first = asyncio.ensure_future(reader.ask(call(path="/held"), 10))
            await asyncio.sleep(0.05)
            with pytest.raises(ReadBroken, match="no answer within"):
                await reader.ask(call(), 0.05)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.ask(call(), 10), 0.05)
            asked.set()
            assert (await first).body == b"{}"
            assert (await reader.ask(call(), 10)).body == b"{}"
            reader.close()

    asked = asyncio.Event()
    asyncio.run(story())


def test_a_request_is_made_when_it_is_its_turn_and_the_connection_stands() -> None:
    made: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append("connected")
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            made.append(f"heard {head.split()[1].decode()}")
            await asyncio.sleep(0.02)
            writer.write(OK)

    def make(name: str) -> Callable[[], SignedCall]:
        def signed() -> SignedCall:
            made.append(f"made {name}")
            return SignedCall(Method.GET, name, "", ())

        return signed

    def refuse() -> SignedCall:
        raise UsageError("nothing to say")

    async def story() -> None:
        async with server(serve) as port:
            reader = HttpReader(loopback(port))
            await asyncio.gather(reader.ask_made(make("/a"), 10), reader.ask_made(make("/b"), 10))
            assert [one for one in made if one != "connected"] == ["made /a", "heard /a", "made /b", "heard /b"]
            # What cannot be made was not sent, and breaks nothing.
            with pytest.raises(UsageError):
                await reader.ask_made(refuse, 10)
            assert (await reader.ask_made(make("/c"), 10)).status == 200
            assert made.count("connected") == 1
            reader.close()

    asyncio.run(story())


def test_a_host_whose_certificate_is_not_of_the_authority_is_not_asked(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await reader.read()

    for name in ("ours", "other"):
        (tmp_path / name).mkdir()
    context, authority = make_authority(tmp_path / "ours", datetime.now(UTC))
    _, stranger = make_authority(tmp_path / "other", datetime.now(UTC))

    async def story() -> None:
        async with server(serve, context) as port:
            wrong = HttpReader(loopback(port, authority=stranger))
            with pytest.raises(ReadBroken, match=r"certificate|CERTIFICATE"):
                await wrong.ask(call(), 2)
            assert asked == []
            right = HttpReader(loopback(port, authority=authority))
            assert (await right.ask(call(), 2)).status == 200
            assert len(asked) == 1
            right.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("where", "host", "port", "tls", "said"),
    [
        (Where.LOOPBACK, "api.bybit.com", 443, True, "loopback: expected"),
        (Where.REAL, "api.bybit.com", 443, False, "expected TLS"),
        (Where.TESTNET, "api-testnet.bybit.com", 443, False, "expected TLS"),
        (Where.LOOPBACK, "127.0.0.1", 0, False, "expected a port"),
    ],
)
def test_an_endpoint_that_cannot_be(where: Where, host: str, port: int, tls: bool, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Endpoint(where, host, port, tls)


@pytest.mark.parametrize("pin", ["", "A" * 64, "0" * 63, "0" * 65, "g" * 64])
def test_what_cannot_be_a_pin_is_refused(pin: str) -> None:
    with pytest.raises(UsageError, match="expected pins of 64 hexadecimal digits"):
        Endpoint(Where.TESTNET, "api-testnet.bybit.com", 443, pins=(pin,))
    with pytest.raises(UsageError, match="with TLS"):
        Endpoint(Where.LOOPBACK, "127.0.0.1", 80, tls=False, pins=("0" * 64,))
    assert Endpoint(Where.TESTNET, "api-testnet.bybit.com", 443, pins=("0" * 64,)).context() is not None


def test_the_host_header_names_a_port_that_is_not_the_usual() -> None:
    assert Endpoint(Where.REAL, "api.bybit.com", 443).authority_host == "api.bybit.com"
    assert Endpoint(Where.LOOPBACK, "127.0.0.1", 8080, tls=False).authority_host == "127.0.0.1:8080"
    assert Endpoint(Where.LOOPBACK, "::1", 80, tls=False).authority_host == "[::1]"
