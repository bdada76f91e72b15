"""Messages of Upbit's public WebSocket as they come off the wire, in both of its formats.

DEFAULT has long key names, SIMPLE short ones; a type here has the long names as fields and exists once a format. Prices and sizes are JSON
numbers, plain or with an exponent (`1.16539E8`, `9.9E-7`): they become Decimal from their text, never a float. Fields not listed are
skipped by the decoder. Times are milliseconds since the Unix epoch.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from interlock.venues.feed import Count

MAX_UNITS = 1000
"""Upbit sends up to 30 levels a side; far more is no book."""

StreamType = Literal["SNAPSHOT", "REALTIME"]
"""SNAPSHOT: the state at the subscription, sent once. REALTIME: as it happened."""


class Unit(msgspec.Struct, frozen=True, gc=False):
    """Level i of both sides in DEFAULT, the best first.

    {"ask_price":109950000.0,"bid_price":109880000.0,"ask_size":0.00342134,"bid_size":0.18819864}
    """

    ask_price: Decimal
    bid_price: Decimal
    ask_size: Decimal
    bid_size: Decimal


class SimpleUnit(msgspec.Struct, frozen=True, gc=False, rename={"ask_price": "ap", "bid_price": "bp", "ask_size": "as", "bid_size": "bs"}):
    """Level i of both sides in SIMPLE.

    {"ap":127.0,"bp":126.0,"as":280460.37885666,"bs":688682.44561413}
    """

    ask_price: Decimal
    bid_price: Decimal
    ask_size: Decimal
    bid_size: Decimal


class Orderbook(msgspec.Struct, frozen=True, gc=False):
    """A whole book in DEFAULT, type `orderbook`. There are no changes, and no sequence number.

    {"type":"orderbook","code":"KRW-BTC","timestamp":1787727947526,"total_ask_size":18.93431797,"total_bid_size":11.48721726,
     "orderbook_units":[{"ask_price":109950000.0,"bid_price":109880000.0,"ask_size":0.00342134,"bid_size":0.18819864}],
     "stream_type":"SNAPSHOT","level":0}

    level: how wide prices were put together, 0 for not at all; recordings of 2021 lack it.
    """

    code: str
    timestamp: Count
    orderbook_units: Annotated[list[Unit], msgspec.Meta(max_length=MAX_UNITS)]
    stream_type: StreamType
    level: Decimal = Decimal(0)


class SimpleOrderbook(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={"code": "cd", "timestamp": "tms", "orderbook_units": "obu", "stream_type": "st", "level": "lv"},
):
    """A whole book in SIMPLE.

    {"ty":"orderbook","cd":"KRW-BTC","tms":1787727947526,"tas":18.93431797,"tbs":11.48721726,
     "obu":[{"ap":109950000.0,"bp":109880000.0,"as":0.00342134,"bs":0.18819864}],"lv":0,"st":"REALTIME"}
    """

    code: str
    timestamp: Count
    orderbook_units: Annotated[list[SimpleUnit], msgspec.Meta(max_length=MAX_UNITS)]
    stream_type: StreamType
    level: Decimal = Decimal(0)


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One trade in DEFAULT, type `trade`.

    {"type":"trade","code":"KRW-BTC","timestamp":1730336862082,"trade_timestamp":1730336862047,"trade_price":100473000.0,
     "trade_volume":0.00014208,"ask_bid":"BID","sequential_id":17303368620470000,"stream_type":"SNAPSHOT"}

    ask_bid: the taker's side, ASK when the seller hit a bid. sequential_id is unique, but does not always rise. trade_timestamp is the
    time of the match (whole seconds in recordings of 2021), timestamp that of the message.
    """

    code: str
    timestamp: Count
    trade_timestamp: Count
    trade_price: Decimal
    trade_volume: Decimal
    ask_bid: Literal["ASK", "BID"]
    sequential_id: Count
    stream_type: StreamType


class SimpleTrade(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "code": "cd",
        "timestamp": "tms",
        "trade_timestamp": "ttms",
        "trade_price": "tp",
        "trade_volume": "tv",
        "ask_bid": "ab",
        "sequential_id": "sid",
        "stream_type": "st",
    },
):
    """One trade in SIMPLE.

    {"ty":"trade","cd":"KRW-LAMB","tms":1618678262712,"td":"2021-04-17","ttm":"16:51:02","ttms":1618678262000,"tp":127.0,
     "tv":46.48838371,"ab":"BID","pcp":123.00000000,"c":"RISE","cp":4.00000000,"sid":1618678262000003,"st":"REALTIME"}
    """

    code: str
    timestamp: Count
    trade_timestamp: Count
    trade_price: Decimal
    trade_volume: Decimal
    ask_bid: Literal["ASK", "BID"]
    sequential_id: Count
    stream_type: StreamType


class Problem(msgspec.Struct, frozen=True, gc=False):
    """What is in `error`.

    {"name":"INVALID_PARAM","message":"…"}
    """

    name: str


class Head(msgspec.Struct, frozen=True, gc=False):
    """The part of a frame that tells what it is: `type` in DEFAULT, `ty` in SIMPLE, `method` for the list of subscriptions, `status`
    for the answer to PING, `error` for a refused request.

    {"error":{"name":"WRONG_FORMAT","message":"Format이 맞지 않습니다."}}
    """

    type: str = ""
    ty: str = ""
    method: str = ""
    status: str = ""
    error: Problem | None = None


class OrderbookInstrument(msgspec.Struct, frozen=True):
    """One entry of the body of GET /v1/orderbook/instruments: a market and the price unit at its present price
    (as text in the documentation, as a number in a client's recording).

    {"market":"KRW-BTC","quote_currency":"KRW","tick_size":"1000","supported_levels":["0","10000","100000"]}
    """

    market: str
    quote_currency: str
    tick_size: Decimal


decode_head = msgspec.json.Decoder(Head).decode
decode_orderbook = msgspec.json.Decoder(Orderbook).decode
decode_simple_orderbook = msgspec.json.Decoder(SimpleOrderbook).decode
decode_trade = msgspec.json.Decoder(Trade).decode
decode_simple_trade = msgspec.json.Decoder(SimpleTrade).decode
decode_instruments = msgspec.json.Decoder(list[OrderbookInstrument]).decode
