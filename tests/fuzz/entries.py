"""Every place where bytes of a venue come in, as a function of bytes that holds what it must hold whatever they are, and bytes to begin with.

An input holds several frames or answers, one a line. `tests/fuzz/run.py` lets atheris look for one that breaks an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from tests.venues.binance_usdm import talks as binance
from tests.venues.binance_usdm.test_account import TALKS as BINANCE_READS
from tests.venues.bybit import talks as bybit
from tests.venues.bybit.test_fuzz import FRAMES as BYBIT_FRAMES
from tests.venues.bybit.test_fuzz import TALKS as BYBIT_TALKS
from tests.venues.captures import depth
from tests.venues.feeds import BASE_MS, bybit_book, bybit_ticker, bybit_trades, simple, upbit_book, upbit_trade
from tests.venues.hot_cases import Both, shipped
from tests.venues.upbit import talks as upbit
from tests.venues.upbit.test_account import UNITS as UPBIT_UNITS
from tests.venues.upbit.test_fuzz import FRAMES as UPBIT_FRAMES
from tests.venues.upbit.test_fuzz import TALKS as UPBIT_TALKS

from interlock.gate.web_socket import Came, Incoming, Opcode, SocketTrouble
from interlock.venues.binance_usdm import rules as binance_rules
from interlock.venues.binance_usdm import socket_entry as binance_socket
from interlock.venues.binance_usdm.account import Account as BinanceAccount
from interlock.venues.binance_usdm.account_stream import AccountStream as BinanceStream
from interlock.venues.binance_usdm.trade import Trade as BinanceTrade
from interlock.venues.binance_usdm.wire import decode_exchange_info
from interlock.venues.bybit import rules as bybit_rules
from interlock.venues.bybit import socket_entry as bybit_socket
from interlock.venues.bybit.account_stream import AccountStream as BybitStream
from interlock.venues.bybit.trade import Trade as BybitTrade
from interlock.venues.feed import MAX_FRAME_BYTES
from interlock.venues.http_wire import Answers, HttpTrouble
from interlock.venues.port import Accepted, AccountFeed, Ask, Heard, Nonsense, OrderVerbs, Refused, Talk, Told
from interlock.venues.trouble import Doing, Explained
from interlock.venues.upbit import public as upbit_public
from interlock.venues.upbit.account_stream import AccountStream as UpbitStream
from interlock.venues.upbit.trade import Trade as UpbitTrade
from interlock.venues.upbit.wire import decode_instruments

MOST_FRAMES = 12
MOST_ASKED = 300
STATUSES = (200, 200, 200, 201, 400, 403, 404, 418, 429, 500, 503, 0)
READS_NS = 1_746_270_300_000_000_000
Script = Sequence[bytes]


@dataclass(frozen=True)
class Entry:
    """`hold` takes any bytes and raises if what must hold does not; it says whether they made sense. `seeds` all do."""

    hold: Callable[[bytes], bool]
    seeds: tuple[bytes, ...]


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


def lines(*values: Any) -> bytes:
    return b"\n".join(value if isinstance(value, bytes) else encoded(value) for value in values)


def sound(value: Any) -> None:
    """No number in a value is NaN or infinite, and every count fits into 64 bits."""
    if isinstance(value, Decimal):
        assert value.is_finite()
    elif isinstance(value, int):
        assert abs(value) < 2**63
    elif isinstance(value, float):
        raise AssertionError("expected no float")
    elif isinstance(value, Mapping):
        sound(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for each in value:
            sound(each)
    elif is_dataclass(value):
        sound(tuple(getattr(value, each.name) for each in fields(value)))
    elif isinstance(value, msgspec.Struct):
        sound(tuple(getattr(value, name) for name in value.__struct_fields__))


# Public feeds: scanned and decoded, they say the same and hold the same books

BINANCE_BOOK = {"lastUpdateId": 98, "E": BASE_MS, "T": BASE_MS, "bids": [("100.0", "1"), ("99.5", "2")], "asks": [("100.1", "3")]}
SNAPSHOT = b"\x01"
"""Before a line that is the answer to a snapshot call, and no frame."""

PUBLIC: dict[str, tuple[bytes, ...]] = {
    "binance_usdm": (
        lines(
            depth(95, 100, 90, [("99.0", "1")], [], 0),
            SNAPSHOT + encoded(BINANCE_BOOK),
            depth(101, 105, 100, [("100.0", "0")], [("100.2", "3")], 20),
        ),
        lines(
            {
                "stream": "btcusdt@aggTrade",
                "data": {"e": "aggTrade", "E": BASE_MS, "s": "BTCUSDT", "a": 1, "p": "1.0", "q": "1", "T": 1, "m": False},
            }
        ),
        lines({"e": "markPriceUpdate", "E": BASE_MS, "s": "BTCUSDT", "p": "11794.1", "P": "1", "r": "0.00038167", "T": BASE_MS}),
        lines({"result": None, "id": 1}, {"error": {"code": 2, "msg": ""}, "id": 1}, {"e": "serverShutdown", "E": 1}),
    ),
    "bybit": (
        lines(
            bybit_book("snapshot", 100, [("100.0", "1"), ("99.5", "2")], [("100.1", "3")], 0),
            bybit_book("delta", 101, [("100.0", "0")], [("100.1", "2.5")], 20),
        ),
        lines(bybit_trades(("a", "Buy", "100.0", "1", 0))),
        lines(bybit_ticker("snapshot", 0, markPrice="100.0", fundingRate="0.0001", nextFundingTime=str(BASE_MS)), bybit_ticker("delta", 1)),
        lines({"topic": "priceLimit.BTCUSDT", "data": {"symbol": "BTCUSDT", "buyLmt": "114450.0", "sellLmt": "103550.0"}, "ts": BASE_MS}),
        lines({"success": True, "ret_msg": "", "conn_id": "1", "op": "subscribe"}, {"success": False, "ret_msg": "x", "op": "subscribe"}),
    ),
    "upbit": (
        lines(upbit_book(0, [(1000.0, 1.5)], [(1001.0, 2.0)]), upbit_book(20, [(999.0, 1.5)], [(1002.0, 2.0)])),
        lines(simple(upbit_book(0, [(1000.0, 1.5)], [(1001.0, 2.0)]))),
        # Found by a search: a time of telling that no clock has.
        lines(upbit_trade(3, 1000.0, 0.5, 0) | {"timestamp": 1 << 60}, upbit_trade(3, 1000.0, 0.5, 0)),
        lines(upbit_trade(1, 1000.0, 0.5, 0), simple(upbit_trade(2, 1000.0, 0.5, 1))),
        lines({"status": "UP"}, {"error": {"name": "WRONG_FORMAT", "message": ""}}),
    ),
}


def public(venue: str) -> Entry:
    def hold(data: bytes) -> bool:
        both, understood = Both(venue, shipped(venue)), False
        for frame in data.split(b"\n")[:MOST_FRAMES]:
            if frame.startswith(SNAPSHOT) and venue == "binance_usdm":
                sound(both.snapshot("BTCUSDT", frame[1:]))
                continue
            taken = both.take(frame)
            sound(taken)
            understood = understood or hasattr(taken, "what")
        return understood

    return Entry(hold, PUBLIC[venue])


# Private streams

BINANCE_FRAMES: list[Any] = [
    *(binance.FILLED, binance.LIQUIDATED, binance.ACCOUNT, binance.ALGO_UPDATE, binance.EXPIRED, binance.LITE),
    {"stream": "a", "data": binance.FILLED},
    {"result": ["x"], "id": 1},
]


def private(make: Callable[[], AccountFeed], frames: Iterable[Any]) -> Entry:
    def hold(data: bytes) -> bool:
        feed, understood = make(), False
        for frame in data.split(b"\n")[:MOST_FRAMES]:
            told = feed.take(frame)
            assert isinstance(told, Told)
            assert told.what or told.gap
            sound(told.events)
            understood = understood or bool(told.what and told.what not in ("malformed", "oversized"))
        return understood

    return Entry(hold, tuple(lines(frame) for frame in frames))


# Orders: what an answer says of one

DOINGS = (Doing.PLACE, Doing.AMEND, Doing.CANCEL)
EVERY = PLACED, AMENDED, CANCELLED = range(3)


def orders(verbs: OrderVerbs, answers: Iterable[tuple[Any, int, Sequence[int]]]) -> Entry:
    """The first byte of an input is what was done, the second the status."""

    def hold(data: bytes) -> bool:
        doing, heard = DOINGS[data[:1][0] % len(DOINGS)] if data else DOINGS[0], heard_of(data[1:])
        said = verbs.answered(heard, doing)
        assert isinstance(said, Accepted | Explained)
        sound(said)
        if isinstance(said, Accepted) and doing.raises_risk:
            assert said.client_id
            assert 200 <= heard.status < 300
        batch = verbs.batch_answered(heard, doing, 2)
        assert len(batch) == 2
        sound(batch)
        return isinstance(said, Accepted) or bool(said.code) or any(isinstance(each, Accepted) or each.code for each in batch)

    return Entry(hold, tuple(bytes((place, status)) + encoded(answer) for answer, status, places in answers for place in places))


def heard_of(data: bytes) -> Heard:
    return Heard(STATUSES[data[0] % len(STATUSES)] if data else 0, {}, data[1:])


def socket(verbs: OrderVerbs, take: Callable[[bytes], Any], frames: Iterable[Any]) -> Entry:
    def hold(data: bytes) -> bool:
        replied = take(data)
        assert replied.what
        assert replied.what != "malformed" or replied.over
        if replied.heard is not None:
            for doing in DOINGS:
                sound(verbs.answered(replied.heard, doing))
        return bool(replied.what not in ("malformed", "unknown op"))

    return Entry(hold, tuple(encoded(frame) for frame in frames))


# Reads

Read = tuple[Callable[[], Talk[Any]], Script]


def reads(talks: Sequence[Read], empty: bytes) -> Entry:
    """The first byte of an input is what is read, the second the status of its answers, of which one stands in each line."""

    def hold(data: bytes) -> bool:
        talk, _ = talks[data[0] % len(talks)] if data else talks[0]
        status = STATUSES[data[1] % len(STATUSES)] if len(data) > 1 else 200
        left = data[2:].split(b"\n")
        asked = 0

        def answer(_: Ask) -> Heard:
            nonlocal asked
            asked += 1
            assert asked < MOST_ASKED, "expected a read that ends"
            return Heard(status, {}, left.pop(0)) if left else Heard(200, {}, empty)

        with suppress(Nonsense, Refused):
            sound(finish(talk(), answer))
            return True
        return False

    return Entry(hold, tuple(bytes((at, 0)) + b"\n".join(script) for at, (_, script) in enumerate(talks)))


def finish(talk: Talk[Any], answer: Callable[[Ask], Heard]) -> Any:
    """What comes of a talk."""
    try:
        asked = next(talk)
        while True:
            asked = talk.send(answer(asked))
    except StopIteration as end:
        return end.value


def scripts(talks: Iterable[tuple[Callable[[], Talk[Any]], Iterable[Heard]]]) -> list[Read]:
    """Talks with the bodies that answer them, those that are all said by a yes."""
    found = [(talk, list(answers)) for talk, answers in talks]
    return [(talk, [heard.body for heard in answers]) for talk, answers in found if all(heard.status == 200 for heard in answers)]


def binance_reads() -> list[Read]:
    def of(talk: Callable[[BinanceAccount], Talk[Any]]) -> Callable[[], Talk[Any]]:
        return lambda: talk(BinanceAccount(binance.INSTRUMENTS))

    cursor = f"{binance.NOW_MS}-0"
    more: list[tuple[Callable[[BinanceAccount], Talk[Any]], list[Heard]]] = [
        (lambda each: each.listings(), [binance.info(binance.SYMBOL)]),
        (lambda each: each.fills(cursor), [binance.clock(), binance.ok([binance.TRADE]), binance.ok(binance.ORDER)]),
        (lambda each: each.ledger(cursor), [binance.clock(), binance.ok([binance.INCOME])]),
        (lambda each: each.ended_orders(READS_NS), [binance.clock(), binance.ok([binance.ORDER])]),
        # A row that makes no sense but for its time.
        (lambda each: each.ledger(cursor), [binance.clock(), binance.ok([binance.INCOME | {"income": "x"}])]),
    ]
    return scripts((of(talk), answers) for talk, answers in [*BINANCE_READS, *more])


# Listings that anybody is told, before there is an account

LISTINGS: tuple[tuple[Callable[[bytes], object], Any], ...] = (
    (lambda body: binance_rules.instruments(decode_exchange_info(body)), msgspec.json.decode(binance.info(binance.SYMBOL).body)),
    (bybit_rules.instruments, msgspec.json.decode(bybit.rows(bybit.ENTRY).body)),
    (lambda body: upbit_public.instruments(decode_instruments(body), date(2026, 1, 1)), UPBIT_UNITS),
)


def listing(data: bytes) -> bool:
    """The first byte of an input is the venue."""
    read, _ = LISTINGS[data[0] % len(LISTINGS)] if data else LISTINGS[0]
    with suppress(ValueError, ArithmeticError, msgspec.DecodeError, Nonsense):
        sound(read(data[1:]))
        return True
    return False


LISTED = Entry(listing, tuple(bytes((at,)) + encoded(said) for at, (_, said) in enumerate(LISTINGS)))


# HTTP


def http(data: bytes) -> bool:
    """An answer is the same whole and in pieces, and anything else is trouble."""
    step = data[0] % 16 + 1 if data else 1
    whole, parts = heard_in((data[1:],)), heard_in(data[at : at + step] for at in range(1, len(data), step))
    assert whole is None or whole == parts
    return whole is not None


def heard_in(parts: Iterable[bytes]) -> Heard | None:
    answers = Answers()
    answers.expect("GET")
    with suppress(HttpTrouble):
        for part in (*parts, b""):
            heard = answers.feed(part)
            if heard is not None:
                assert 0 <= heard.status <= 999
                return heard
    return None


HTTP = (
    b"\x03HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Used: 7\r\n\r\n{}",
    b"\x01HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"\x07HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n\r\n{",
)


# WebSocket itself: in one piece and byte by byte it says the same


def frames(data: bytes) -> bool:
    """Whether anything was told. No message is longer than may be, and the end of a connection is the last that is told."""
    whole, cut = frames_of((data,)), frames_of(data[at : at + 1] for at in range(len(data)))
    assert whole == cut
    told = whole[0]
    assert all(len(one.payload) <= MAX_FRAME_BYTES for one in told)
    assert all(one.opcode is not Opcode.CLOSE for one in told[:-1])
    return bool(told)


def frames_of(pieces: Iterable[bytes]) -> tuple[list[Came], bool]:
    """What is told, and whether trouble came after it."""
    incoming, found = Incoming(), []
    try:
        for piece in pieces:
            for one in incoming.feed(piece):
                found.append(one)
    except SocketTrouble:
        return found, True
    return found, False


FRAMES = (
    b"\x81\x02{}\x89\x05alive\x88\x02\x03\xe9",
    b"\x01\x01{\x8a\x00\x00\x00\x80\x01}",
    b"\x82\x7e\x00\x7e" + b"y" * 126,
)


# Defects made on purpose, which a search has to find


def planted(data: bytes) -> bool:
    """Breaks at a frame of a topic that is not known."""
    told = BybitStream(bybit.INSTRUMENTS).take(data)
    if told.what == "unknown topic":
        raise KeyError(told.what)
    return bool(told.what)


def hanging(data: bytes) -> bool:
    """Never ends at a frame of a topic that is not known."""
    told = BybitStream(bybit.INSTRUMENTS).take(data)
    while told.what == "unknown topic":
        pass
    return bool(told.what)


PLANTED, HANGING = (Entry(hold, tuple(lines(frame) for frame in BYBIT_FRAMES)) for hold in (planted, hanging))
DEFECTS = {"planted": PLANTED, "hanging": HANGING}

# All of them

BINANCE_YES = {"id": "x", "status": 200, "result": binance.PLACED, "rateLimits": []}
BINANCE_NO = {"id": "x", "status": 400, "error": {"code": -5022, "msg": "x"}, "rateLimits": []}
BYBIT_TAKEN = {"orderId": "1321003749386327552", "orderLinkId": "arb-0001"}
BYBIT_YES = {"retCode": 0, "retMsg": "OK", "result": BYBIT_TAKEN, "retExtInfo": {}, "time": 1}
BYBIT_NO = {"retCode": 110007, "retMsg": "x", "result": {}, "retExtInfo": {}, "time": 1}
BYBIT_BATCH = BYBIT_YES | {
    "result": {"list": [BYBIT_TAKEN, BYBIT_TAKEN]},
    "retExtInfo": {"list": [{"code": 0, "msg": ""}, {"code": 1, "msg": ""}]},
}
BYBIT_REPLY = {
    "reqId": "x",
    "retCode": 0,
    "retMsg": "OK",
    "op": "order.create",
    "data": BYBIT_TAKEN,
    "header": {"X-Bapi-Limit": "1"},
    "connId": "c",
}
UPBIT_NO = {"error": {"name": "insufficient_funds_bid", "message": "x"}}
UPBIT_GONE = {"success": {"count": 1, "orders": [{"uuid": "u", "identifier": "a"}]}, "failed": {"count": 0, "orders": []}}

BINANCE_VERBS, BYBIT_VERBS, UPBIT_VERBS = BinanceTrade(binance.INSTRUMENTS), BybitTrade(bybit.INSTRUMENTS), UpbitTrade(upbit.INSTRUMENTS)

ENTRIES: dict[str, Entry] = {
    **{f"{venue}_public": public(venue) for venue in PUBLIC},
    "binance_usdm_private": private(lambda: BinanceStream(binance.INSTRUMENTS), BINANCE_FRAMES),
    "bybit_private": private(lambda: BybitStream(bybit.INSTRUMENTS), BYBIT_FRAMES),
    "upbit_private": private(lambda: UpbitStream(upbit.INSTRUMENTS), UPBIT_FRAMES),
    "binance_usdm_orders": orders(
        BINANCE_VERBS,
        [
            (binance.PLACED, 0, (PLACED, AMENDED)),
            (binance.PLACED | {"status": "CANCELED"}, 0, (CANCELLED,)),
            ([binance.PLACED, binance.PLACED], 0, (PLACED, AMENDED)),
            ({"code": -5022, "msg": ""}, 4, EVERY),
            ({"code": 200, "msg": "The operation of cancel all open order is done."}, 0, (CANCELLED,)),
        ],
    ),
    "bybit_orders": orders(BYBIT_VERBS, [(BYBIT_YES, 0, EVERY), (BYBIT_NO, 0, EVERY), (BYBIT_BATCH, 0, EVERY)]),
    "upbit_orders": orders(UPBIT_VERBS, [(upbit.ORDER, 3, EVERY), (UPBIT_GONE, 0, (CANCELLED,)), (UPBIT_NO, 4, EVERY)]),
    "binance_usdm_socket": socket(
        BINANCE_VERBS, binance_socket.take, [BINANCE_YES, BINANCE_NO, {"event": {"e": "serverShutdown", "E": 1}}]
    ),
    "bybit_socket": socket(BYBIT_VERBS, bybit_socket.take, [BYBIT_REPLY, BYBIT_REPLY | {"retCode": 110007}, {"op": "auth", "retCode": 0}]),
    "binance_usdm_reads": reads(binance_reads(), b"[]"),
    "bybit_reads": reads(scripts(BYBIT_TALKS.values()), bybit.rows().body),
    "upbit_reads": reads(scripts(UPBIT_TALKS.values()), b"[]"),
    "listings": LISTED,
    "http": Entry(http, HTTP),
    "web_socket": Entry(frames, FRAMES),
}
