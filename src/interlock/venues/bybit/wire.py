"""Messages of Bybit's v5 public WebSocket as they come off the wire, categories linear and spot.

Field names are the venue's. Prices, sizes and rates stay text here; `public` scales them. Fields not listed are skipped by the decoder,
and the order of keys means nothing (`ts` comes before or after `type`). Times are milliseconds since the Unix epoch.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from interlock.venues.feed import MAX_LEVELS, Count

Level = tuple[str, str]
"""[price, size] as text; the size is the level's whole new size, "0" deletes it."""

Kind = Literal["snapshot", "delta"]
"""snapshot: all of it, in place of what was known. delta: what changed."""


class BookLevels(msgspec.Struct, frozen=True, gc=False):
    """What is in `data` of a book message.

    {"s":"BTCUSDT","b":[["30247.20","30.028"],["30240.00","0"]],"a":[["30248.70","0"]],"u":177400507,"seq":66544703342}

    u: update id, one more with each message of a topic; 1 after a restart of the service, with a whole book. seq orders messages across
    depths.
    """

    s: str
    b: Annotated[list[Level], msgspec.Meta(max_length=MAX_LEVELS)]
    a: Annotated[list[Level], msgspec.Meta(max_length=MAX_LEVELS)]
    u: Count
    seq: Count = 0


class Orderbook(msgspec.Struct, frozen=True, gc=False):
    """A book or a change of it, topic `orderbook.{depth}.{symbol}`.

    {"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["30247.20","30.028"]],
     "a":[["30248.70","0"]],"u":177400507,"seq":66544703342},"cts":1687940967464}

    ts: the gateway's time; cts: the matching engine's, absent in old recordings.
    """

    topic: str
    type: Kind
    ts: Count
    data: BookLevels
    cts: Count | None = None


class PublicTrade(msgspec.Struct, frozen=True, gc=False):
    """One entry of `data` of a trade message.

    {"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick",
     "i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"RPI":false,"seq":1783284617}

    T time of the match, S the taker's side, v size, p price, i trade id, BT block trade, RPI retail price improvement.
    """

    T: Count
    s: str
    S: Literal["Buy", "Sell"]
    v: str
    p: str
    i: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    BT: bool = False
    RPI: bool = False


class PublicTrades(msgspec.Struct, frozen=True, gc=False):
    """Up to 1024 trades, the oldest first, topic `publicTrade.{symbol}`.

    {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy",
     "v":"0.001","p":"16578.50","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}]}
    """

    topic: str
    ts: Count
    data: Annotated[list[PublicTrade], msgspec.Meta(min_length=1, max_length=1024)]


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """What is in `data` of a ticker message; a field that is not there has not changed. Spot has no mark price and no funding.

    {"symbol":"BTCUSDT","markPrice":"61875.25","indexPrice":"61903.73","nextFundingTime":"1715760000000","fundingRate":"0.00008055"}

    fundingRate: predicted for nextFundingTime (ms as text). Empty text stands for nothing.
    """

    symbol: str
    markPrice: str | None = None
    indexPrice: str | None = None
    nextFundingTime: str | None = None
    fundingRate: str | None = None


class Tickers(msgspec.Struct, frozen=True, gc=False):
    """A ticker or a change of it, topic `tickers.{symbol}`.

    {"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"61875.06","indexPrice":"61903.59"},
     "cs":176530004279,"ts":1715748763063}

    cs: cross sequence.
    """

    topic: str
    type: Kind
    ts: Count
    data: Ticker
    cs: Count = 0


class PriceLimit(msgspec.Struct, frozen=True, gc=False):
    """What is in `data` of a price limit message: the highest bid and the lowest ask that are taken now.

    {"symbol":"BTCUSDT","buyLmt":"114450.00","sellLmt":"103550.00"}
    """

    symbol: str
    buyLmt: str = ""
    sellLmt: str = ""


class PriceLimitMessage(msgspec.Struct, frozen=True, gc=False):
    """The price limits of a symbol, topic `priceLimit.{symbol}`, every 300 ms.

    {"topic":"priceLimit.BTCUSDT","data":{"symbol":"BTCUSDT","buyLmt":"114450.00","sellLmt":"103550.00"},"ts":1750059683782}
    """

    topic: str
    ts: Count
    data: PriceLimit


class Head(msgspec.Struct, frozen=True, gc=False):
    """The part of a frame that tells what it is: `topic` of data, `op` of an answer to a request, with `success` where it may fail.

    {"success":true,"ret_msg":"","conn_id":"3cd84cb1-4d06-4a05-930a-2efe5fc70f0f","req_id":"test","op":"subscribe"}
    """

    topic: str = ""
    op: str = ""
    success: bool = True


decode_head = msgspec.json.Decoder(Head).decode
decode_orderbook = msgspec.json.Decoder(Orderbook).decode
decode_trades = msgspec.json.Decoder(PublicTrades).decode
decode_price_limit = msgspec.json.Decoder(PriceLimitMessage).decode
decode_tickers = msgspec.json.Decoder(Tickers).decode
