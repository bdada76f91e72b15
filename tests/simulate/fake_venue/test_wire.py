"""The fake's protocol: frames go there and back, and bytes that are none are told from those that are."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulate.fake_venue.builders import cancel, order, place

from interlock.venues.fake.wire import (
    DEFINITIVE_CODES,
    MAX_FRAME_BYTES,
    Amend,
    Answer,
    AnyRequest,
    Assembler,
    CancelAll,
    CancelBatch,
    Code,
    Message,
    PlaceBatch,
    QueryOrder,
    ReadIndex,
    ReadTime,
    VerbClass,
    WireError,
    body_hash,
    class_of,
    decode_message,
    decode_request,
    encode,
    ids_of,
    pack,
    unpack,
    verb_of,
)

ANSWER = Answer(request_id=1, status=200, code="", text="", venue_ns=1, limit=1, remaining=1, reset_ns=1)


def test_a_request_and_an_answer_go_there_and_back() -> None:
    assert decode_request(encode(place("a"))) == place("a")
    assert decode_message(encode(ANSWER)) == ANSWER
    assert encode(place("a")) == encode(place("a"))
    assert body_hash(encode(place("a"))) != body_hash(encode(place("b")))


def test_only_two_hundred_without_a_code_is_a_yes() -> None:
    assert ANSWER.ok
    assert not msgspec.structs.replace(ANSWER, code="x").ok
    assert not msgspec.structs.replace(ANSWER, status=500).ok


@pytest.mark.parametrize(
    "frame",
    [b"", b"\0\0\0\x02\x01", b"\0\0\0\x02\x02\x80", b"\0\0\0\x02\x01\xc1", pack(msgspec.msgpack.encode({"k": "place", "more": 1}))],
)
def test_other_bytes_are_no_message(frame: bytes) -> None:
    with pytest.raises(WireError):
        decode_request(frame)
    with pytest.raises(WireError):
        decode_message(frame)


def test_a_frame_has_a_greatest_length() -> None:
    assert unpack(pack(b"x")) == b"x"
    with pytest.raises(WireError, match="at most"):
        pack(bytes(MAX_FRAME_BYTES))
    for length in (0, MAX_FRAME_BYTES + 1):
        assembler = Assembler()
        assembler.feed(length.to_bytes(4, "big"))
        with pytest.raises(WireError, match="length"):
            assembler.take()


@given(st.lists(st.integers(1, 30), max_size=30))
def test_frames_are_found_however_the_stream_is_cut(cuts: list[int]) -> None:
    sent = [encode(place(name)) for name in "abc"]
    stream = b"".join(sent) + b"\0\0"
    assembler, found = Assembler(), []
    for size in [*cuts, len(stream)]:
        assembler.feed(stream[:size])
        stream = stream[size:]
        while (frame := assembler.take()) is not None:
            found.append(frame)
    assert found == sent
    assert assembler.pending == b"\0\0"


@pytest.mark.parametrize(
    ("request_", "verb", "verb_class", "ids"),
    [
        (place("a", revision=2), "place", VerbClass.RISK_RAISING, (("a", 2),)),
        (PlaceBatch(orders=(order("a"), order("b"))), "place_batch", VerbClass.RISK_RAISING, (("a", 0), ("b", 0))),
        (Amend(client_id="a", revision=1, ticks=1, lots=1), "amend", VerbClass.RISK_RAISING, (("a", 1),)),
        (cancel("a"), "cancel", VerbClass.RISK_LOWERING, (("a", 0),)),
        (CancelBatch(client_ids=("a", "b")), "cancel_batch", VerbClass.RISK_LOWERING, (("a", 0), ("b", 0))),
        (CancelAll(), "cancel_all", VerbClass.RISK_LOWERING, ()),
        (QueryOrder(client_id="a"), "query_order", VerbClass.READ, (("a", 0),)),
        (ReadTime(), "server_time", VerbClass.READ, ()),
        (ReadIndex(currency="USDT"), "index", VerbClass.READ, ()),
    ],
)
def test_every_verb_has_its_class_and_ids(request_: AnyRequest, verb: str, verb_class: VerbClass, ids: tuple[tuple[str, int], ...]) -> None:
    assert verb_of(request_) == verb
    assert class_of(verb) is verb_class
    assert ids_of(request_) == ids


def test_an_unknown_verb_has_the_worst_class() -> None:
    assert class_of("transfer") is VerbClass.RISK_RAISING


def test_what_proves_nothing_is_not_definitive() -> None:
    assert {Code.DUPLICATE_CLIENT_ID, Code.NOT_TRADING} <= DEFINITIVE_CODES
    assert not {Code.OK, Code.INTERNAL_ERROR, Code.ORDER_NOT_FOUND} & DEFINITIVE_CODES
    assert issubclass(Answer, Message)
