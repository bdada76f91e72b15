"""Orders over HTTP without a network: the bytes of a request, and what each venue's answers, byte by byte, are taken for."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.venues.binance_usdm import talks as binance
from tests.venues.bybit import talks as bybit
from tests.venues.contract.traits import VENUES
from tests.venues.upbit import talks as upbit

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.ids import ClientId
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.domain.price_rules import PriceBand, PriceRule, PriceTable
from interlock.gate import records as r
from interlock.gate.order_wire import AnswerTrouble, ToCancel
from interlock.gate.venue_http_wire import HttpAnswers, HttpOrderWire
from interlock.venues.budget import GATE, Meter, Spend
from interlock.venues.bybit.trade import Trade
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.metering import metering_of
from interlock.venues.port import Accepted, Heard
from interlock.venues.request import Key
from interlock.venues.trouble import Doing, Explained, Trouble

KEY = Key("an-access-key", "a-secret-0123456789-0123456789-0123456789-0123456789-0123456789")
HOST = "127.0.0.1:8080"
ENDPOINT = Endpoint(Where.LOOPBACK, "127.0.0.1", 8080, tls=False)
WINDOW_NS = 5_000_000_000
SIGN_NS = 1_795_000_000_123_456_789
BOOT_NS = 77
ID = str(ClientId("line", 1_800_000_001, 3, 5))
OTHER = str(ClientId("line", 1_800_000_001, 4, 5))
THIRD = str(ClientId("line", 1_800_000_001, 5, 5))


@dataclass(frozen=True)
class Venue:
    """What differs: where an order goes, what it looks like when the venue has it, and how the venue refuses."""

    name: str
    symbol: str
    path: str
    ticks: int
    lots: int
    cost: Mapping[str, int]
    at_once: int
    expires: bool
    zone: timezone
    instruments: Mapping[str, Any]

    def taken(self, client_id: str, venue_order_id: str = "") -> Heard:
        """The answer to a placement that was taken."""
        if self.name == "upbit":
            return upbit.ok(upbit.ORDER | {"identifier": client_id, "uuid": venue_order_id or upbit.ORDER["uuid"]}, 201)
        if self.name == "bybit":
            return bybit.ok({"orderId": venue_order_id or "13", "orderLinkId": client_id})
        return binance.ok(
            binance.PLACED | {"clientOrderId": client_id, "origQty": "0.010", "orderId": int(venue_order_id or 13), "executedQty": "0"}
        )

    def refused(self, code: str, status: int = 400, **headers: str) -> Heard:
        """A refusal with the venue's own code."""
        if self.name == "upbit":
            return upbit.no(code, status, **headers)
        return bybit.no(int(code), status, **headers) if self.name == "bybit" else binance.no(int(code), status, **headers)

    def ended(self, client_id: str) -> Heard:
        """The answer to a cancel that was taken."""
        if self.name == "binance_usdm":
            return binance.ok(binance.PLACED | {"clientOrderId": client_id, "origQty": "0.010", "orderId": 13, "status": "CANCELED"})
        return self.taken(client_id) if self.name == "bybit" else upbit.ok(upbit.ORDER | {"identifier": client_id})

    def batch(self, taken: str, *more: str) -> Heard:
        """The answer to a batch of cancels: one was taken, and the others were refused."""
        if self.name == "upbit":
            orders = [{"uuid": "u1", "market": self.symbol, "identifier": taken}]
            failed = [{"uuid": "u2", "market": self.symbol, "identifier": one} for one in more]
            return upbit.ok({"success": {"count": 1, "orders": orders}, "failed": {"count": len(more), "orders": failed}})
        if self.name == "bybit":
            named = [{"orderId": "", "orderLinkId": one} for one in more] + [{"orderId": "13", "orderLinkId": taken}]
            codes = [{"code": 110001, "msg": "no"} for _ in more] + [{"code": 0, "msg": "OK"}]
            return bybit.ok({"list": named}, retExtInfo={"list": codes})
        whole = binance.PLACED | {"clientOrderId": taken, "origQty": "0.010", "orderId": 13, "status": "CANCELED"}
        return binance.ok([{"code": -2011, "msg": "no"} for _ in more] + [whole])


UPBIT = Venue(
    "upbit", "KRW-BTC", "/v1/orders", 50_000_000, 100_000, {"order": 1}, 20, False, timezone(timedelta(hours=9)), upbit.INSTRUMENTS
)
BINANCE = Venue("binance_usdm", "BTCUSDT", "/fapi/v1/order", 300_000, 10, {"orders": 1}, 10, True, UTC, binance.INSTRUMENTS)
BYBIT = Venue("bybit", "BTCUSDT", "/v5/order/create", 300_000, 10, {"ip": 1, "create": 1}, 10, True, UTC, bybit.INSTRUMENTS)
each = pytest.mark.parametrize("venue", [UPBIT, BINANCE, BYBIT], ids=lambda venue: venue.name)
amending = pytest.mark.parametrize("venue", [BINANCE, BYBIT], ids=lambda venue: venue.name)


def wire_of(venue: Venue, **instead: Any) -> HttpOrderWire:
    """A wire whose instrument has these changes."""
    instruments = {venue.symbol: msgspec.structs.replace(venue.instruments[venue.symbol], **instead)}
    return HttpOrderWire(venue.name, VENUES[venue.name].trade(instruments), KEY, ENDPOINT, WINDOW_NS)


def intent(venue: Venue, **instead: Any) -> r.Intent:
    given: dict[str, Any] = {
        "boot_ns": 1,
        "client_id": ID,
        "revision": 0,
        "group": "",
        "strategy": "s",
        "venue": venue.name,
        "account": "main",
        "symbol": venue.symbol,
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "tif": TimeInForce.GTC,
        "reduce_only": False,
        "ticks": venue.ticks,
        "lots": venue.lots,
        "sequence": 1,
        "created_boot_ns": 1,
        "deadline_boot_ns": 2,
        "books": (),
    }
    return r.Intent(**{**given, **instead})


def response(heard: Heard) -> bytes:
    """An answer as it stands on the wire."""
    head = [f"HTTP/1.1 {heard.status} Said", *(f"{name}: {value}" for name, value in heard.headers.items())]
    return "\r\n".join([*head, f"Content-Length: {len(heard.body)}", "", ""]).encode() + heard.body


def told(frame: bytes, heard: Heard, number: int = 1) -> object:
    """What a reader makes of an answer to a frame."""
    reader = HttpAnswers()
    reader.expect(number, frame)
    (said,) = reader.feed(response(heard))
    assert said.number == number
    return said.answer


def answered(venue: Venue, heard: Heard, revision: int = 0) -> r.Record:
    """The record of an answer to our order."""
    wire = wire_of(venue)
    wanted = intent(venue, revision=revision)
    frame = wire.amendment(wanted, SIGN_NS) if revision else wire.placement(wanted, SIGN_NS)
    return wire.answered(told(frame, heard), ID, revision, BOOT_NS)


# Requests


@each
def test_what_a_venue_is(venue: Venue) -> None:
    wire = wire_of(venue)
    assert (wire.connections, wire.idle_ns) == (2, 20 * NS_PER_S)
    assert wire.receive_window_ns == (WINDOW_NS if venue.expires else 0)
    assert wire.cancels_at_once == venue.at_once
    assert wire.placement_cost == venue.cost


@each
def test_the_number_of_a_request_is_its_own(venue: Venue) -> None:
    wire = wire_of(venue)
    assert wire.number(ID, 0) == 3 << 20
    assert wire.number(OTHER, 7) == (4 << 20) + 7
    assert wire.number(str(ClientId("line", 1_800_000_001, 36**2 + 1, 9)), 1) == ((36**2 + 1) << 20) + 1


@each
def test_an_order_is_one_whole_request_and_what_is_hashed_of_it_is_what_the_venue_reads(venue: Venue) -> None:
    wire = wire_of(venue)
    frame = wire.placement(intent(venue), SIGN_NS)
    head, _, body = frame.partition(b"\r\n\r\n")
    assert head.startswith(f"POST {venue.path} HTTP/1.1\r\nHost: {HOST}\r\n".encode())
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    assert ID.encode() in body
    assert wire.body(frame) == venue.path.encode() + b"\n" + body
    cancel = wire.cancellation([ToCancel(ID, venue.symbol)], 1, SIGN_NS).frame
    hashed = wire.body(cancel)
    assert hashed == cancel.split(b" ")[1] + b"\n" + cancel.partition(b"\r\n\r\n")[2]
    assert ID.encode() in hashed


@each
def test_a_request_bears_the_time_of_its_signing_and_how_long_it_is_good(venue: Venue) -> None:
    frame = wire_of(venue).placement(intent(venue), SIGN_NS).decode()
    if venue is UPBIT:
        assert str(SIGN_NS // NS_PER_MS) not in frame
        return
    expected = {
        "binance_usdm": ("recvWindow=5000", f"timestamp={SIGN_NS // NS_PER_MS}&"),
        "bybit": ("X-BAPI-RECV-WINDOW: 5000\r\n", f"X-BAPI-TIMESTAMP: {SIGN_NS // NS_PER_MS}\r\n"),
    }
    assert [text for text in expected[venue.name] if text not in frame] == []


def nonce_of(frame: bytes) -> str:
    (header,) = [line for line in frame.split(b"\r\n") if line.startswith(b"Authorization: Bearer ")]
    claims = header.split(b".")[1]
    nonce = json.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))["nonce"]
    assert isinstance(nonce, str)
    return nonce


def test_the_nonce_comes_from_the_order_alone_and_is_a_uuid() -> None:
    wire = wire_of(UPBIT)
    seen = set()
    for sequence in range(1, 200):
        client_id = str(ClientId("line", 1_800_000_001, sequence, 5))
        nonce = nonce_of(wire.placement(intent(UPBIT, client_id=client_id), SIGN_NS + sequence))
        assert nonce == str(UUID(bytes=hashlib.sha256(f"{client_id}.0".encode()).digest()[:16], version=4))
        assert nonce == nonce_of(wire.placement(intent(UPBIT, client_id=client_id, ticks=49_000_000), SIGN_NS))
        seen.add(nonce)
    assert len(seen) == 199


def test_every_cancellation_has_a_nonce_of_its_own() -> None:
    wire = wire_of(UPBIT)
    asked = [([ID], 1, SIGN_NS), ([ID], 2, SIGN_NS), ([OTHER], 1, SIGN_NS), ([ID], 1, SIGN_NS + 1), ([ID, OTHER], 3, SIGN_NS)]
    made = [wire.cancellation([ToCancel(one, "KRW-BTC") for one in ids], number, at).frame for ids, number, at in asked]
    assert len({nonce_of(frame) for frame in made}) == len(asked)
    assert nonce_of(made[0]) == nonce_of(wire.cancellation([ToCancel(ID, "KRW-BTC")], 1, SIGN_NS).frame)


@each
def test_one_cancel_names_one_order_and_several_are_one_request(venue: Venue) -> None:
    wire = wire_of(venue)
    single = wire.cancellation([ToCancel(ID, venue.symbol)], 1, SIGN_NS)
    several = wire.cancellation([ToCancel(one, venue.symbol) for one in (ID, OTHER)], 2, SIGN_NS)
    assert (ID.encode() in single.frame, OTHER.encode() in single.frame) == (True, False)
    assert (ID.encode() in several.frame, OTHER.encode() in several.frame) == (True, True)
    assert wire.body(single.frame).partition(b"?")[0] != wire.body(several.frame).partition(b"?")[0]
    expected = {
        "upbit": ({"default": 1}, {"default": 1}),
        "binance_usdm": ({"weight": 1}, {"weight": 1}),
        "bybit": ({"ip": 1, "cancel": 1}, {"ip": 1, "cancel-batch": 2}),
    }
    assert (single.cost, several.cost) == expected[venue.name]


# What the venue would refuse


@each
def test_an_objection_names_what_is_wrong_before_anything_is_signed(venue: Venue) -> None:
    wire = wire_of(venue)
    assert wire.objection(intent(venue), SIGN_NS) == ""
    assert wire.objection(intent(venue, symbol="NONE"), SIGN_NS) == "NONE is not listed"
    assert "min_lots is broken" in wire_of(venue, min_lots=venue.lots + 1).objection(intent(venue), SIGN_NS)
    assert "expected" in wire.objection(intent(venue, client_id="no such id"), SIGN_NS)
    if venue is UPBIT:
        assert "sale to reduce" in wire.objection(intent(venue, reduce_only=True), SIGN_NS)
        assert "amends nothing" in wire.objection(intent(venue, revision=1), SIGN_NS)
    else:
        assert wire.objection(intent(venue, reduce_only=True), SIGN_NS) == ""
        assert wire.objection(intent(venue, revision=1), SIGN_NS) == ""


@each
def test_the_price_rule_is_that_of_the_venues_own_day(venue: Venue) -> None:
    step = venue.instruments[venue.symbol].price_step(venue.instruments[venue.symbol].price(venue.ticks), date(2026, 11, 1))
    tables = tuple(
        PriceTable(valid_from=day, bands=(PriceBand(Decimal(0), size),))
        for day, size in ((date(2026, 1, 1), step), (date(2026, 11, 19), step * 7))
    )
    wire = wire_of(venue, price_rule=PriceRule(name="changes", source="a test", tables=tables))
    turn_ns = int(datetime(2026, 11, 19, tzinfo=venue.zone).timestamp()) * NS_PER_S
    assert venue.ticks % 7, "the price is on the old grid alone"
    assert wire.objection(intent(venue), turn_ns - 1) == ""
    assert "price_step is broken" in wire.objection(intent(venue), turn_ns)
    instrument = venue.instruments[venue.symbol]
    grid = int(step * 7 / instrument.quantum)
    assert wire.least_order(venue.symbol, Side.BUY, venue.ticks, turn_ns - 1)[0] == venue.ticks
    for side in Side:
        ticks, _ = wire.least_order(venue.symbol, side, venue.ticks, turn_ns)
        assert ticks % grid == 0
        assert 0 < (venue.ticks - ticks if side is Side.BUY else ticks - venue.ticks) < grid


@each
def test_the_least_order_is_worth_the_least_and_one_lot_less_is_not(venue: Venue) -> None:
    listed = venue.instruments[venue.symbol]
    worth = listed.notional(venue.ticks, 1)
    for minimum, lots in ((worth * 10, 10), (worth * 10 + worth / 2, 11), (worth * 10 - worth / 2, 10), (worth / 2, 3)):
        wire = wire_of(venue, min_notional=minimum, min_lots=3)
        assert wire.least_order(venue.symbol, Side.BUY, venue.ticks, SIGN_NS) == (venue.ticks, lots)
    with pytest.raises(KeyError):
        wire_of(venue).least_order("NONE", Side.BUY, venue.ticks, SIGN_NS)


# Answers


@each
def test_an_order_that_was_taken(venue: Venue) -> None:
    said = answered(venue, venue.taken(ID))
    assert isinstance(said, r.Answered)
    state = OrderState.ACKED if venue is BYBIT else OrderState.OPEN
    assert (said.boot_ns, said.client_id, said.revision, said.state, said.code) == (BOOT_NS, ID, 0, state, "")
    assert said.venue_order_id == (upbit.ORDER["uuid"] if venue is UPBIT else "13")


def test_an_order_that_filled_at_once_is_open_until_its_executions_are_told() -> None:
    filled = binance.PLACED | {"clientOrderId": ID, "origQty": "0.010", "executedQty": "0.010", "orderId": 13, "status": "FILLED"}
    said = answered(BINANCE, binance.ok(filled))
    assert isinstance(said, r.Answered)
    assert said.state is OrderState.OPEN


@amending
def test_a_change_that_was_taken(venue: Venue) -> None:
    said = answered(venue, venue.taken(ID), revision=2)
    assert isinstance(said, r.Answered)
    assert (said.revision, said.state) == (2, OrderState.ACKED if venue is BYBIT else OrderState.OPEN)


@each
def test_an_answer_about_another_order_decides_nothing(venue: Venue) -> None:
    said = answered(venue, venue.taken(OTHER))
    assert isinstance(said, r.SendUnknown)
    assert (said.boot_ns, said.client_id, said.revision) == (BOOT_NS, ID, 0)
    assert OTHER in said.reason


class Wordy(Trade):
    """A venue whose names have no end; what it says of an order is set by hand, and what it was asked for noted."""

    says: Accepted | Explained = Accepted(ID, "13", OrderState.ACKED)
    done: Doing = Doing.READ

    def answered(self, heard: Heard, doing: Doing) -> Accepted | Explained:
        self.done = doing
        return self.says


def test_the_venue_is_told_whether_its_answer_is_to_an_order_or_to_its_change() -> None:
    verbs = Wordy(bybit.INSTRUMENTS)
    wire = HttpOrderWire("bybit", verbs, KEY, ENDPOINT, WINDOW_NS)
    answer = told(wire.placement(intent(BYBIT), SIGN_NS), Heard(200))
    for revision, doing in ((0, Doing.PLACE), (1, Doing.AMEND), (2, Doing.AMEND)):
        wire.answered(answer, ID, revision, BOOT_NS)
        assert verbs.done is doing
    wire.cancels_answered(answer, [ID], BOOT_NS)
    assert verbs.done is Doing.CANCEL


def of_many_words(says: Accepted | Explained) -> r.Record:
    verbs = Wordy(bybit.INSTRUMENTS)
    verbs.says = says
    wire = HttpOrderWire("bybit", verbs, KEY, ENDPOINT, WINDOW_NS)
    return wire.answered(told(wire.placement(intent(BYBIT), SIGN_NS), Heard(200)), ID, 0, BOOT_NS)


def test_what_goes_into_a_record_has_an_end() -> None:
    whole, over = (of_many_words(Accepted(ID, "7" * length, OrderState.ACKED)) for length in (64, 65))
    assert isinstance(whole, r.Answered)
    assert whole.venue_order_id == "7" * 64
    assert isinstance(over, r.SendUnknown)
    stranger = of_many_words(Accepted("x" * 100, "13", OrderState.ACKED))
    assert isinstance(stranger, r.SendUnknown)
    assert stranger.reason == f"accepted another order, {'x' * 64!r}"
    refused = of_many_words(Explained(Trouble.INVALID_ORDER, 400, "x" * 100, True, "", ""))
    assert isinstance(refused, r.Answered)
    assert refused.code == "INVALID_ORDER " + "x" * 50
    unclear = of_many_words(Explained(Trouble.UNKNOWN_OUTCOME, 400, "x" * 100, False, "", ""))
    assert isinstance(unclear, r.SendUnknown)
    assert unclear.reason == f"status 400, code {'x' * 64!r}: not on the list of answers that decide"


REFUSALS = [
    (UPBIT, "insufficient_funds_bid", 400, "INSUFFICIENT_BALANCE insufficient_funds_bid"),
    (BINANCE, "-2019", 400, "INSUFFICIENT_BALANCE -2019"),
    (BINANCE, "-5022", 400, "post_only"),
    (BYBIT, "110007", 200, "INSUFFICIENT_BALANCE 110007"),
    (BYBIT, "170218", 200, "post_only"),
]


@pytest.mark.parametrize(("venue", "code", "status", "told_as"), REFUSALS, ids=lambda one: getattr(one, "name", str(one)))
def test_a_definitive_no_is_a_rejection(venue: Venue, code: str, status: int, told_as: str) -> None:
    for revision in (0,) if venue is UPBIT else (0, 1):
        said = answered(venue, venue.refused(code, status), revision)
        assert isinstance(said, r.Answered)
        assert (said.boot_ns, said.client_id, said.revision) == (BOOT_NS, ID, revision)
        assert (said.state, said.venue_order_id, said.code) == (OrderState.REJECTED, "", told_as)


@pytest.mark.parametrize(
    ("venue", "code", "status"),
    [(UPBIT, "duplicated_identifier", 400), (BINANCE, "-4116", 400), (BYBIT, "110072", 200)],
    ids=lambda one: getattr(one, "name", str(one)),
)
def test_an_id_that_is_taken_already_is_told_by_its_name(venue: Venue, code: str, status: int) -> None:
    said = answered(venue, venue.refused(code, status))
    assert said == r.SendUnknown(boot_ns=BOOT_NS, client_id=ID, revision=0, reason=r.DUPLICATE_ID)


@each
def test_what_is_on_no_list_decides_nothing_and_is_told(venue: Venue) -> None:
    code = "a_new_word_of_the_venue" if venue is UPBIT else "-987654" if venue is BINANCE else "987654"
    said = answered(venue, venue.refused(code, 400))
    assert said == r.SendUnknown(
        boot_ns=BOOT_NS, client_id=ID, revision=0, reason=f"status 400, code {code!r}: not on the list of answers that decide"
    )


def cancelled(venue: Venue, heard: Heard, ids: list[str]) -> list[tuple[str, bool, str]]:
    wire = wire_of(venue)
    frame = wire.cancellation([ToCancel(one, venue.symbol) for one in ids], 1, SIGN_NS).frame
    said = wire.cancels_answered(told(frame, heard), ids, BOOT_NS)
    assert {one.boot_ns for one in said} == {BOOT_NS}
    return [(one.client_id, one.accepted, one.code) for one in said]


@each
def test_the_answer_to_one_cancel(venue: Venue) -> None:
    assert cancelled(venue, venue.ended(ID), [ID]) == [(ID, True, "")]
    code = {"upbit": "order_not_found", "binance_usdm": "-2011", "bybit": "110001"}[venue.name]
    assert cancelled(venue, venue.refused(code, 200 if venue is BYBIT else 400), [ID]) == [(ID, False, f"ORDER_NOT_FOUND {code}")]


@each
def test_in_a_batch_of_cancels_only_a_name_tells_which_was_taken(venue: Venue) -> None:
    said = cancelled(venue, venue.batch(OTHER, ID, THIRD), [ID, OTHER, THIRD])
    code = {"upbit": "UNKNOWN", "binance_usdm": "ORDER_NOT_FOUND -2011", "bybit": "ORDER_NOT_FOUND 110001"}[venue.name]
    assert said == [(ID, False, code), (OTHER, True, ""), (THIRD, False, code)]
    assert cancelled(venue, venue.batch(THIRD, ID), [ID, OTHER]) == [(ID, False, code), (OTHER, False, code)]


def test_a_batch_of_which_the_venue_names_others_only_says_nothing_of_ours() -> None:
    said = cancelled(UPBIT, UPBIT.batch(THIRD), [ID, OTHER])
    assert [accepted for _, accepted, _ in said] == [False, False]
    orders = [{"uuid": str(at), "market": "KRW-BTC", "identifier": f"other-{at}"} for at in range(2)]
    whole = upbit.ok({"success": {"count": 2, "orders": orders}, "failed": {"count": 0, "orders": []}})
    assert cancelled(UPBIT, whole, [ID, OTHER]) == [(ID, False, ""), (OTHER, False, "")]


# Bytes of a connection


@each
def test_an_answer_in_pieces_is_one_answer_and_its_connection_is_kept(venue: Venue) -> None:
    wire = wire_of(venue)
    reader = wire.reader()
    assert (reader.at_once, reader.keeps) == (1, True)
    for number, client_id in ((5, ID), (6, OTHER)):
        frame = wire.placement(intent(venue, client_id=client_id), SIGN_NS)
        reader.expect(number, frame)
        data = response(venue.taken(client_id))
        assert [reader.feed(data[at : at + 1]) for at in range(len(data) - 1)] == [[]] * (len(data) - 1)
        (said,) = reader.feed(data[-1:])
        assert said.number == number
        record = wire.answered(said.answer, client_id, 0, BOOT_NS)
        assert isinstance(record, r.Answered)
        assert reader.keeps
    reader.expect(7, wire.cancellation([ToCancel(ID, venue.symbol)], 1, SIGN_NS).frame)
    heard = venue.ended(ID)
    (said,) = reader.feed(response(replace(heard, headers={**heard.headers, "Connection": "close"})))
    assert said.number == 7
    assert not reader.keeps


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_what_is_no_answer_is_trouble(data: bytes) -> None:
    wire = wire_of(BYBIT)
    reader = wire.reader()
    reader.expect(1, wire.placement(intent(BYBIT), SIGN_NS))
    with pytest.raises(AnswerTrouble):
        reader.feed(data)


def test_an_answer_to_nothing_is_trouble() -> None:
    with pytest.raises(AnswerTrouble, match="found bytes"):
        HttpAnswers().feed(response(Heard(200)))


# The venue's limits


def counted(venue: Venue, heard: Heard, spend: Spend = Spend.PLACE, now_ns: int = NS_PER_S) -> Meter:
    """A meter after one answer to a placement of ours, or to a cancel."""
    wire, meter = wire_of(venue), Meter(metering_of(venue.name).limits, GATE)
    frame = wire.placement(intent(venue), SIGN_NS)
    if spend is Spend.LOWER:
        frame = wire.cancellation([ToCancel(ID, venue.symbol)], 1, SIGN_NS).frame
    wire.count(meter, spend, told(frame, heard), asked_ns=now_ns // 2, now_ns=now_ns)
    return meter


TOLD = [
    (UPBIT, {"remaining-req": "group=order; min=1800; sec=5"}, "order", 7),
    (BINANCE, {"x-mbx-order-count-10s": "9", "x-mbx-used-weight-1m": "3"}, "orders", 9),
    (BYBIT, {"x-bapi-limit": "10", "x-bapi-limit-status": "6"}, "create", 4),
]


@pytest.mark.parametrize(("venue", "headers", "limit", "used"), TOLD, ids=lambda one: getattr(one, "name", str(one)))
def test_what_an_answer_says_of_a_limit_is_kept(venue: Venue, headers: dict[str, str], limit: str, used: int) -> None:
    before = counted(venue, venue.taken(ID)).standing(NS_PER_S)
    assert before[limit][0] == 0
    now = counted(venue, replace(venue.taken(ID), headers=headers)).standing(NS_PER_S)
    assert now[limit][0] == used
    units = 10 if venue is BYBIT else before[limit][1]
    assert now[limit][1] == units


def test_what_a_limit_speaks_of_is_what_was_asked() -> None:
    """Bybit's headers do not name their limit: the request does, also a cancel that has its parameters behind its path."""
    headers = {"x-bapi-limit": "10", "x-bapi-limit-status": "6"}
    standing = counted(BYBIT, replace(BYBIT.ended(ID), headers=headers), Spend.LOWER).standing(NS_PER_S)
    assert (standing["cancel"][0], standing["create"][0]) == (4, 0)
    weighed = counted(BINANCE, replace(BINANCE.ended(ID), headers={"x-mbx-used-weight-1m": "30"}), Spend.LOWER)
    assert weighed.standing(NS_PER_S)["weight"][0] == 30


def test_what_went_out_since_an_answer_was_asked_for_counts_besides() -> None:
    wire, meter = wire_of(UPBIT), Meter(metering_of("upbit").limits, GATE)
    answer = told(wire.placement(intent(UPBIT), SIGN_NS), replace(UPBIT.taken(ID), headers={"remaining-req": "group=order; min=1; sec=5"}))
    for at_ns in (NS_PER_S, NS_PER_S + 10, NS_PER_S + 20):
        meter.spent({"order": 1}, at_ns)
    wire.count(meter, Spend.PLACE, answer, asked_ns=NS_PER_S + 10, now_ns=NS_PER_S + 30)
    assert meter.standing(NS_PER_S + 31)["order"][0] == 7 + 1


def bybit_refusal(venue_ms: int, reset: str) -> Heard:
    """A refusal at a time of the venue, whose window begins anew at `reset`."""
    heard = BYBIT.refused("10006", 200, x_bapi_limit_reset_timestamp=reset)
    return replace(heard, body=json.dumps({**json.loads(heard.body), "time": venue_ms}).encode())


TOO_MANY = [
    (UPBIT, UPBIT.refused("too_many_requests", 429), 1_000, False),
    (UPBIT, UPBIT.refused("too_many_requests", 429, retry_after="7"), 7_000, False),
    (UPBIT, UPBIT.refused("too_many_requests", 418), 60_000, True),
    (BINANCE, BINANCE.refused("-1003", 429, retry_after="7"), 7_000, False),
    (BINANCE, BINANCE.refused("-1003", 429), 1_000, False),
    (BINANCE, BINANCE.refused("-1003", 418), 120_000, True),
    (BYBIT, bybit_refusal(1_000, "3500"), 2_500, False),
    (BYBIT, bybit_refusal(0, "3500"), 1_000, False),
    (BYBIT, bybit_refusal(1_000, "35 00"), 1_000, False),
    (BYBIT, bybit_refusal(10**15, "3500"), 100, False),
    (BYBIT, BYBIT.refused("10006", 200), 1_000, False),
    (BYBIT, BYBIT.refused("10006", 403), 600_000, True),
]


@pytest.mark.parametrize(("venue", "heard", "for_ms", "banned"), TOO_MANY, ids=lambda one: getattr(one, "name", None))
def test_a_refusal_because_of_the_rate_stops_its_kind_for_as_long_as_the_venue_says(
    venue: Venue, heard: Heard, for_ms: int, banned: bool
) -> None:
    meter = counted(venue, heard)
    left = {spend: meter.refused_ns(spend, NS_PER_S) for spend in Spend}
    assert left[Spend.PLACE] == left[Spend.READ] == for_ms * NS_PER_MS
    assert left[Spend.LOWER] == (for_ms * NS_PER_MS if banned else 0)
    cancels = counted(venue, heard, Spend.LOWER)
    assert {cancels.refused_ns(spend, NS_PER_S) for spend in Spend} == {for_ms * NS_PER_MS}


def test_a_time_in_digits_of_another_script_is_none() -> None:
    heard = bybit_refusal(1_000, "3500")
    wire, meter = wire_of(BYBIT), Meter(metering_of("bybit").limits, GATE)
    frame = wire.placement(intent(BYBIT), SIGN_NS)
    reader = HttpAnswers()
    reader.expect(1, frame)
    (said,) = reader.feed(response(heard).replace(b"3500", b"35\xb20"))
    wire.count(meter, Spend.PLACE, said.answer, asked_ns=1, now_ns=NS_PER_S)
    assert meter.refused_ns(Spend.PLACE, NS_PER_S) == NS_PER_S


@each
def test_another_refusal_stops_nothing(venue: Venue) -> None:
    code = {"upbit": "insufficient_funds_bid", "binance_usdm": "-2019", "bybit": "110007"}[venue.name]
    for heard in (venue.refused(code, 400), venue.taken(ID)):
        meter = counted(venue, heard)
        assert [meter.refused_ns(spend, NS_PER_S) for spend in Spend] == [0, 0, 0]
