"""Every documented example that we read: those of our notes and of a library's test data decode, or are refused by name."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.venues.scripted import scripted
from tests.venues.upbit.talks import BOOK, BTC, clock, ok

from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.market.shipped import SHIPPED
from interlock.venues.feed import Taken
from interlock.venues.port import Accepted, BalanceSeen, End, FillSeen, Heard, KeyFacts, OrderSeen, OrderWanted
from interlock.venues.trouble import Doing, Explained, Trouble
from interlock.venues.upbit import seen
from interlock.venues.upbit.account import Account
from interlock.venues.upbit.account_stream import AccountStream
from interlock.venues.upbit.public import Feed, instrument
from interlock.venues.upbit.trade import Trade

INSTRUMENTS: dict[str, Instrument] = {"KRW-BTC": BTC}
READS, TRADE, FEED = Account(INSTRUMENTS), Trade(INSTRUMENTS), AccountStream(INSTRUMENTS)


# Our notes


def note_examples() -> dict[str, list[Any]]:
    note = Path(__file__).resolve().parents[3] / "../shared/venues/upbit.md"
    if not note.is_file():
        pytest.skip(f"{note.name} is not beside the repository")
    part = note.read_text(encoding="utf-8").partition("## 10.")[2].partition("## 11.")[0]
    titled = re.findall(r"^(\d+) [^\n]*\n((?:```json\n.*?\n```\n)+)", part, re.DOTALL | re.MULTILINE)
    return {
        number: [json.loads(text, parse_float=Decimal) for text in re.findall(r"```json\n(.*?)\n```", blocks)] for number, blocks in titled
    }


def raw_examples() -> dict[str, list[bytes]]:
    """As they stand there: a number that went through a float is another one."""
    note_examples()
    note = (Path(__file__).resolve().parents[3] / "../shared/venues/upbit.md").read_text(encoding="utf-8")
    part = note.partition("## 10.")[2].partition("## 11.")[0]
    titled = re.findall(r"^(\d+) [^\n]*\n((?:```json\n.*?\n```\n)+)", part, re.DOTALL | re.MULTILINE)
    return {number: [text.encode() for text in re.findall(r"```json\n(.*?)\n```", blocks)] for number, blocks in titled}


def heard(body: bytes, status: int = 200) -> Heard:
    return Heard(status, {}, body)


def test_there_are_the_examples_that_are_read_here() -> None:
    assert {number: len(found) for number, found in raw_examples().items()} == {
        **dict.fromkeys(("1", "2", "3", "4", "6", "7", "8", "9", "10", "11"), 1),
        "5": 2,
        "12": 5,
    }


def test_the_events_of_the_notes() -> None:
    examples = raw_examples()
    # Its price is none of a bitcoin in won, as the notes say of it: with our instrument it is a gap, with a fine one it decodes.
    assert FEED.take(examples["4"][0]).gap
    (fill,) = AccountStream({"KRW-BTC": instrument("KRW-BTC")}).take(examples["4"][0]).events
    assert isinstance(fill, FillSeen)
    assert (fill.ticks, fill.lots, fill.client_id, fill.fee_currency) == (145_300, 3_092_589_129_839_369, "test-1", "KRW")
    assert abs(fill.fee - Decimal("22.467660028283017")) < Decimal("1e-12")
    opened, ended = (FEED.take(each).events[0] for each in examples["5"])
    assert isinstance(opened, OrderSeen)
    assert isinstance(ended, OrderSeen)
    assert (opened.state, opened.end, opened.ticks, opened.lots) == (OrderState.OPEN, End.NONE, 50_000_000, 100_000)
    assert (ended.state, ended.end, ended.client_id) == (OrderState.CANCELLED, End.POST_ONLY, "arb-0002")
    (balance,) = FEED.take(examples["9"][0]).events
    assert isinstance(balance, BalanceSeen)
    assert balance.free == Decimal("1386929.37231066771348207123")
    assert FEED.take(examples["12"][2]).what == "greeted"
    refused = FEED.take(examples["12"][4])
    assert (refused.what, refused.over) == ("refused", True)


def test_the_answers_of_the_notes() -> None:
    examples = raw_examples()
    # Its order had no identifier: it decodes, and says nothing of an order of ours.
    told = TRADE.answered(heard(examples["6"][0], 201), Doing.PLACE)
    assert isinstance(told, Explained)
    assert told.trouble is Trouble.UNKNOWN_OUTCOME
    with_ours = examples["6"][0][:-1] + b',"identifier":"arb-0001"}'
    assert TRADE.answered(heard(with_ours, 201), Doing.PLACE) == Accepted(
        "arb-0001", "cdd92199-2897-4e14-9448-f923320408ad", OrderState.OPEN
    )
    found, _ = scripted(READS.order("KRW-BTC", "arb-0001"), [heard(examples["8"][0])])
    assert found is not None
    assert (found.state, found.filled_lots) == (OrderState.FILLED, 100_000)
    (fill,) = seen.fills_of(seen.order_row(examples["8"][0]), INSTRUMENTS)
    assert (fill.trade_id, fill.fee, fill.ticks, fill.lots) == ("795dff29-bba6-49b2-baab-63473ab7931c", Decimal(25), 50_000_000, 100_000)
    assert scripted(READS.balances(), [heard(examples["10"][0])])[0] == (
        BalanceSeen("KRW", Decimal(1_000_000), Decimal(1_000_000)),
        BalanceSeen("BTC", Decimal(2), Decimal(2)),
    )
    fees, _ = scripted(READS.fees("KRW-BTC"), [heard(examples["11"][0])])
    assert (fees.maker, fees.taker) == (Decimal("0.0005"), Decimal("0.0005"))
    listed, _ = scripted(READS.listings(), [clock(), ok([{"market": "KRW-BTC"}]), heard(examples["12"][0]), ok([BOOK])])
    assert [each.price_step(Decimal(148_490_000), each.valid_from) for each in listed] == [Decimal(1000)]
    key, _ = scripted(READS.key("a7Xd92LmQW3vBtRzYpMj5CxNKeT1HuVs0fFgJcAw"), [heard(examples["12"][1])])
    assert isinstance(key, KeyFacts)
    assert key.expires_ms == 1_811_808_000_000
    refused = TRADE.answered(heard(examples["12"][3], 400), Doing.PLACE)
    assert isinstance(refused, Explained)
    assert (refused.trouble, refused.settled) == (Trouble.INSUFFICIENT_BALANCE, True)


def test_the_bodies_of_the_notes_are_ours_but_for_self_match() -> None:
    written = note_examples()["7"][0]
    order = OrderWanted(
        instrument=BTC,
        client_id=written["identifier"],
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.POST_ONLY,
        ticks=BTC.ticks(Decimal(written["price"])),
        lots=BTC.lots(Decimal(written["volume"])),
    )
    ours = json.loads(TRADE.place(order).call.body)
    assert ours.pop("smp_type") == "none"
    assert list(ours.items()) == list(written.items())
    vector = {"market": "KRW-BTC", "side": "bid", "volume": "0.001", "price": "50000000", "ord_type": "limit", "identifier": "arb-0001"}
    ours = json.loads(TRADE.place(replace(order, client_id="arb-0001", tif=TimeInForce.GTC)).call.body)
    assert ours.pop("smp_type") == "cancel_taker"
    assert list(ours.items()) == list(vector.items())


# A library's test data


def fixtures(data_dir: Path) -> dict[str, bytes]:
    archive = data_dir / "fixtures" / "jkorf_upbit.tar.gz"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not among the recorded data")
    found = {}
    with tarfile.open(archive) as packed:
        for member in packed:
            content = packed.extractfile(member)
            if content is not None:
                found[member.name.rpartition("Upbit.Net.UnitTests/")[2]] = content.read()
    return found


def answer_of(text: bytes) -> Heard:
    """The answer of a script: method, path, whether it is signed, body."""
    return Heard(200, {}, text.decode("utf-8-sig").split("\n", 3)[3].encode())


@pytest.mark.data("fixtures")
def test_the_endpoints_of_a_library_s_data(data_dir: Path) -> None:
    spot = "Endpoints/Spot/ExchangeData"
    packed = fixtures(data_dir)
    markets, units, book = (answer_of(packed[f"{spot}/{name}.txt"]) for name in ("GetSymbols", "GetSymbolConfig", "GetOrderBook"))
    top, _ = scripted(READS.top("KRW-BTC"), [book])
    assert (top.bid_ticks, top.ask_ticks) == (148_490_000, 148_520_000)
    assert scripted(READS.clock(), [book])[0] == 1_751_606_867_762_000_000
    # Their book has one market, so the other has no price and is left out.
    listed, _ = scripted(READS.listings(), [clock(), markets, units, book])
    assert [each.symbol for each in listed] == ["KRW-BTC"]
    assert SHIPPED["upbit:KRW-BTC"].quantum == listed[0].quantum


PUBLIC = {
    "Concurrent": ["ignored candle.5m", "ignored candle.60m"],
    "Kline": ["ignored candle.1m"],
    "OrderBook": ["malformed: Object missing required field `stream_type`"],
    "Tickers": ["ignored ticker"],
    "Trades": ["trade"],
}
"""What comes of each message of the public streams: what it is, or the reason for which it is refused."""


def frames(text: bytes) -> Iterator[bytes]:
    """The events of a script, each after a line that begins with `=`."""
    for part in re.split(r"^=[ 0-9]*", text.decode("utf-8-sig").replace("\r", ""), flags=re.MULTILINE)[1:]:
        value, _ = json.JSONDecoder().raw_decode(part.strip())
        yield json.dumps(value).encode()


@pytest.mark.data("fixtures")
def test_the_streams_of_a_library_s_data_are_none_of_the_account(data_dir: Path) -> None:
    packed = fixtures(data_dir)
    for name, expected in PUBLIC.items():
        events = list(frames(packed[f"Subscriptions/Spot/{name}.txt"]))
        assert all(FEED.take(frame).gap for frame in events)
        said = [Feed(instrument).take(frame) for frame in events]
        assert [one.what if isinstance(one, Taken) else f"{one.reason.value}: {one.detail}" for one in said] == expected


NOT_ASKED = {"GetKlines", "GetTickers", "GetTradeHistory"}
"""Answers to requests that we never make."""


@pytest.mark.data("fixtures")
def test_there_is_no_file_that_nobody_reads(data_dir: Path) -> None:
    names = {Path(name).stem for name in fixtures(data_dir)}
    assert names == PUBLIC.keys() | NOT_ASKED | {"GetSymbols", "GetSymbolConfig", "GetOrderBook"}
