"""The client's side of WebSocket, held against another implementation of the protocol (wsproto) in the role of the server."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage

from interlock.gate.web_socket import Came, Incoming, Opcode, SocketTrouble, Upgrade, frame_of
from interlock.venues.feed import MAX_FRAME_BYTES

KEY = bytes(range(16))
SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, MAX_FRAME_BYTES)


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """The same bytes in pieces."""
    places = sorted({place % (len(data) + 1) for place in at} | {0, len(data)})
    return [data[one:other] for one, other in pairwise(places)]


def came(pieces: Iterable[bytes]) -> list[Came]:
    incoming = Incoming()
    return [one for piece in pieces for one in incoming.feed(piece)]


# What goes out


@given(payload=st.binary(max_size=300), mask=st.binary(min_size=4, max_size=4), places=st.lists(st.integers(0, 400), max_size=5))
def test_a_frame_of_ours_is_the_message_that_it_was_made_of(payload: bytes, mask: bytes, places: list[int]) -> None:
    server = Connection(ConnectionType.SERVER)
    for piece in cut(frame_of(Opcode.BINARY, payload, mask), places):
        server.receive_data(piece)
    found = list(server.events())
    assert b"".join(bytes(event.data) for event in found if isinstance(event, BytesMessage)) == payload
    assert isinstance(found[-1], BytesMessage)
    assert found[-1].message_finished


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
@pytest.mark.parametrize("size", SIZES)
def test_frames_of_every_length_are_understood(size: int, opcode: Opcode) -> None:
    server = Connection(ConnectionType.SERVER)
    server.receive_data(frame_of(opcode, b"x" * size, b"\1\2\3\4"))
    found = [event for event in server.events() if isinstance(event, TextMessage if opcode is Opcode.TEXT else BytesMessage)]
    whole = "".join(event.data if isinstance(event.data, str) else event.data.decode() for event in found)
    assert whole == "x" * size
    assert found[-1].message_finished, "and it is one message"


def test_control_frames_of_ours_are_understood() -> None:
    server = Connection(ConnectionType.SERVER)
    server.receive_data(frame_of(Opcode.PING, b"a", b"abcd") + frame_of(Opcode.PONG, b"b", b"abcd"))
    assert [(type(event), bytes(event.payload)) for event in server.events() if isinstance(event, Ping | Pong)] == [
        (Ping, b"a"),
        (Pong, b"b"),
    ]


def test_each_mask_makes_other_bytes_of_the_same_message() -> None:
    one, other = (frame_of(Opcode.TEXT, b"{}", mask) for mask in (b"abcd", b"abce"))
    assert one != other
    assert len(one) == len(other) == 2 + 4 + 2


# What comes


MESSAGES = st.lists(st.one_of(st.text(max_size=200), st.binary(max_size=200)), max_size=5)


@given(messages=MESSAGES, parts=st.integers(1, 4), pings=st.booleans(), places=st.lists(st.integers(0, 2_000), max_size=20))
def test_messages_are_whole_however_they_were_cut_and_whatever_came_between(
    messages: list[str | bytes], parts: int, pings: bool, places: list[int]
) -> None:
    server = Connection(ConnectionType.SERVER)
    sent, expected = bytearray(), []
    for message in messages:
        step = max(1, -(-len(message) // parts))
        pieces = [message[at : at + step] for at in range(0, len(message), step)] or [message]
        for number, piece in enumerate(pieces):
            is_last = number == len(pieces) - 1
            sent += server.send(
                TextMessage(data=piece, message_finished=is_last)
                if isinstance(piece, str)
                else BytesMessage(data=piece, message_finished=is_last)
            )
            if pings:
                sent += server.send(Ping(payload=b"alive"))
                expected.append(Came(Opcode.PING, b"alive"))
        told = Came(Opcode.TEXT, message.encode("utf-8")) if isinstance(message, str) else Came(Opcode.BINARY, message)
        expected.insert(len(expected) - (1 if pings else 0), told)
    assert came(cut(bytes(sent), places)) == expected


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_every_length_up_to_the_longest_are_taken(size: int) -> None:
    server = Connection(ConnectionType.SERVER)
    data = server.send(BytesMessage(data=b"y" * size))
    assert came([data]) == came(cut(data, range(20))) == [Came(Opcode.BINARY, b"y" * size)]


def test_a_message_in_parts_is_of_the_kind_of_its_first() -> None:
    data = b"\x01\x01a" + b"\x89\x00" + b"\x00\x01b" + b"\x00\x00" + b"\x80\x01c" + b"\x82\x01d"
    assert came([data]) == [Came(Opcode.PING, b""), Came(Opcode.TEXT, b"abc"), Came(Opcode.BINARY, b"d")]


@pytest.mark.parametrize("size", [0, 1, 2, 124, 125])
@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CLOSE])
def test_control_frames_of_every_length_are_taken_and_no_code_is_one_byte_long(opcode: Opcode, size: int) -> None:
    data = bytes((0x80 | opcode, size)) + b"\3" * size
    if (opcode, size) == (Opcode.CLOSE, 1):
        with pytest.raises(SocketTrouble, match="two bytes or none"):
            came([data])
    else:
        assert came([data]) == [Came(opcode, b"\3" * size)]


def test_nothing_is_told_after_the_close_and_its_code_is() -> None:
    server = Connection(ConnectionType.SERVER)
    data = server.send(TextMessage(data="last")) + server.send(CloseConnection(code=1001, reason="bye"))
    incoming = Incoming()
    assert [one.opcode for one in incoming.feed(data + b"\x81\x00")] == [Opcode.TEXT, Opcode.CLOSE]
    assert list(incoming.feed(b"\x81\x00")) == []


WRONG = {
    "a mask": frame_of(Opcode.TEXT, b"x", b"abcd"),
    "a reserved bit": b"\xc1\x00",
    "an unknown kind": b"\x83\x00",
    "an unknown control frame": b"\x8b\x00",
    "a ping in parts": b"\x09\x00",
    "a long ping": b"\x89\x7e\x00\x7e",
    "a close in parts": b"\x08\x00",
    "a long close": b"\x88\x7e\x00\x7e",
    "a part of nothing": b"\x80\x00",
    "a message within a message": b"\x01\x01a\x81\x01b",
    "a short length written long": b"\x81\x7e\x00\x7d",
    "a middle length written longer": b"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff",
    "a message that is too long": b"\x82\x7f" + (MAX_FRAME_BYTES + 1).to_bytes(8, "big"),
    "parts that are too long together": b"\x01\x7e\xff\xff" + bytes(65_535) + b"\x80\x7f" + (MAX_FRAME_BYTES - 65_534).to_bytes(8, "big"),
    "half a code": b"\x88\x01\x03",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_no_server_may_send_is_trouble_after_what_came_before_it(wrong: bytes) -> None:
    telling = Incoming().feed(b"\x81\x02ok" + wrong)
    assert next(telling) == Came(Opcode.TEXT, b"ok")
    with pytest.raises(SocketTrouble, match=r"expected .* found"):
        next(telling)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_bytes_of_any_kind_are_messages_or_trouble_and_the_cuts_make_no_difference(data: bytes, places: list[int]) -> None:
    def told(pieces: list[bytes]) -> tuple[list[Came], bool]:
        incoming, found = Incoming(), []
        try:
            for piece in pieces:
                for one in incoming.feed(piece):
                    found.append(one)
        except SocketTrouble:
            return found, True
        return found, False

    assert told([data]) == told(cut(data, places))


# The beginning


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", "expected the status 101, found 429"),
        (b"HTTP/1.1 103 Early Hints\r\nlocation: /x\r\n\r\n", "expected the status 101, found 103"),
        (b"HTTP/1.1 299 Odd\r\nlocation: /x\r\n\r\n", "expected the status 101, found 299"),
        (
            b"HTTP/1.1 300 Choices\r\nLocation: /x\r\n\r\n",
            "expected the status 101, found a redirect (300) to '/x', which is not followed; look who",
        ),
        (b"HTTP/1.1 399 Odd\r\n\r\n", "expected the status 101, found a redirect (399) to '', which is not followed; look who"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "expected the status 101, found 400"),
    ],
)
def test_what_is_said_instead_of_a_yes_is_told(said: bytes, found: str) -> None:
    with pytest.raises(SocketTrouble) as trouble:
        Upgrade("127.0.0.1:1", "/v5/trade", KEY).take(said)
    assert str(trouble.value).startswith(found)
    assert str(trouble.value) == found or "look who" in found


def answered(upgrade: Upgrade) -> bytes:
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(upgrade.request)
    (asked,) = list(server.events())
    assert isinstance(asked, Request)
    assert (asked.host, asked.target, asked.extensions, asked.subprotocols) == ("127.0.0.1:1", "/v5/trade", [], [])
    return bytes(server.send(AcceptConnection()))


@pytest.mark.parametrize("places", [(), range(200), (17,)], ids=["whole", "byte by byte", "in two"])
def test_a_server_that_accepts_is_taken_and_what_it_says_next_is_kept(places: Iterable[int]) -> None:
    upgrade = Upgrade("127.0.0.1:1", "/v5/trade", KEY)
    yes = answered(upgrade)
    *before, last = cut(yes, places)
    assert [upgrade.take(piece) for piece in before] == [None] * len(before)
    assert upgrade.take(last + b"\x81\x02{}") == b"\x81\x02{}"


def test_what_is_no_acceptance_of_this_request_is_trouble() -> None:
    yes = answered(Upgrade("127.0.0.1:1", "/v5/trade", KEY))
    wrong = (
        b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
        b"\x16\x03\x01 what is this\r\n\r\n",
        answered(Upgrade("127.0.0.1:1", "/v5/trade", bytes(16))),
        yes.replace(b"Upgrade: websocket", b"Upgrade: other"),
        yes.replace(b"Connection: Upgrade", b"Connection: keep-alive"),
        yes.replace(b"101 Switching Protocols", b"103 Early Hints"),
        yes.replace(b"101 Switching Protocols", b"100 Continue"),
        yes.replace(b"\r\n\r\n", b"\r\nsec-websocket-protocol: chat\r\n\r\n"),
        yes.replace(b"\r\n\r\n", b"\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n"),
        b"HTTP/1.1 101 Switching Protocols\r\nx: " + b"y" * 20_000,
    )
    for one in wrong:
        assert one != yes
        with pytest.raises(SocketTrouble):
            Upgrade("127.0.0.1:1", "/v5/trade", KEY).take(one)
    assert Upgrade("127.0.0.1:1", "/v5/trade", KEY).take(yes) == b"", "and the right one is taken"
