"""Messages of Binance USDⓈ-M futures as they come off the wire.

Field names are the venue's one-letter names, given field by field. Prices and sizes stay text here; `public` scales them to ticks
and lots. Fields not listed are skipped by the decoder. Times are milliseconds since the Unix epoch.
"""

from __future__ import annotations

import msgspec

Level = tuple[str, str]
"""[price, size] as text; the size is the level's whole new size, "0" (or "0.000") deletes it."""


class DepthUpdate(msgspec.Struct, frozen=True, gc=False, tag_field="e", tag="depthUpdate"):
    """A diff of the order book, stream `<symbol>@depth[@0ms|@100ms|@500ms]`.

    {"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":5123107832006,"u":5123107837557,
     "pu":5123107831937,"b":[["58710.20","0.014"]],"a":[["61825.00","0.000"]]}

    E event time, T transaction time; U first and u last update id in this event; pu is u of the event before.
    """

    s: str
    E: int
    T: int
    U: int
    u: int
    pu: int
    b: list[Level]
    a: list[Level]


class Trade(msgspec.Struct, frozen=True, gc=False, tag_field="e", tag="trade"):
    """One trade, stream `<symbol>@trade`.

    {"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006",
     "X":"MARKET","m":false}

    m: the buyer was the maker, so the aggressor sold. X: MARKET for a trade through the book, INSURANCE_FUND or ADL
    for one beside it, NA for a placeholder with price and size 0.
    """

    s: str
    E: int
    T: int
    t: int
    p: str
    q: str
    m: bool
    X: str = "MARKET"


class AggTrade(msgspec.Struct, frozen=True, gc=False, tag_field="e", tag="aggTrade"):
    """Trades of one taker order at one price within 100 ms, stream `<symbol>@aggTrade`.

    {"e":"aggTrade","E":1626992741575,"a":16599292,"s":"CTKUSDT","p":"1.01100","q":"10","f":23961322,"l":23961322,
     "T":1626992741421,"m":false}

    a aggregate id; f and l first and last trade id.
    """

    s: str
    E: int
    T: int
    a: int
    p: str
    q: str
    m: bool


class BookTicker(msgspec.Struct, frozen=True, gc=False, tag_field="e", tag="bookTicker"):
    """Best bid and ask, stream `<symbol>@bookTicker`.

    {"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510",
     "T":1723161256313,"E":1723161256313}

    u: the update id of the book at which this was the top.
    """

    s: str
    E: int
    T: int
    u: int
    b: str
    B: str
    a: str
    A: str


class MarkPrice(msgspec.Struct, frozen=True, gc=False, tag_field="e", tag="markPriceUpdate"):
    """Mark price and predicted funding, stream `<symbol>@markPrice[@1s]`.

    {"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15000000","i":"11784.62659091",
     "P":"11784.25641265","r":"0.00038167","T":1562306400000}

    p mark price, r predicted funding rate (empty for delivery contracts), T the next settlement. There is no transaction
    time: E is the time of the event.
    """

    s: str
    E: int
    T: int
    p: str
    r: str


class Kline(msgspec.Struct, frozen=True, gc=False, tag_field="e", tag="kline"):
    """A candle in progress, stream `<symbol>@kline_<interval>`; recorded beside the book, not used.

    {"e":"kline","E":1626992741424,"s":"CTKUSDT","k":{"t":1626992700000,"T":1626992759999}}
    """

    s: str
    E: int


Message = DepthUpdate | Trade | AggTrade | BookTicker | MarkPrice | Kline


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A frame of a combined stream.

    {"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate"}}
    """

    stream: str
    data: Message


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """The body of GET /fapi/v1/depth.

    {"lastUpdateId":5123107852948,"E":1723161256501,"T":1723161256493,"bids":[["61800.20","2.909"]],
     "asks":[["61800.30","2.510"]]}

    Names no symbol: it is in the request.
    """

    lastUpdateId: int
    E: int
    T: int
    bids: list[Level]
    asks: list[Level]


class Filter(msgspec.Struct, frozen=True):
    """One entry of `filters` in exchangeInfo; which fields it has depends on its type.

    {"filterType":"PRICE_FILTER","minPrice":"556.80","maxPrice":"4529764","tickSize":"0.10"}
    """

    filterType: str
    minPrice: str = ""
    maxPrice: str = ""
    tickSize: str = ""
    minQty: str = ""
    maxQty: str = ""
    stepSize: str = ""
    notional: str = ""
    multiplierUp: str = ""
    multiplierDown: str = ""
    limit: int = 0


class SymbolInfo(msgspec.Struct, frozen=True):
    """One entry of `symbols` in exchangeInfo. pricePrecision is the digits of a printed price, not the tick.

    {"symbol":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",
     "marginAsset":"USDT","pricePrecision":2,"filters":[{"filterType":"LOT_SIZE","minQty":"0.001","maxQty":"1000","stepSize":"0.001"}]}
    """

    symbol: str
    contractType: str
    status: str
    baseAsset: str
    quoteAsset: str
    marginAsset: str
    pricePrecision: int
    filters: list[Filter]


class ExchangeInfo(msgspec.Struct, frozen=True):
    """The body of GET /fapi/v1/exchangeInfo.

    {"timezone":"UTC","serverTime":1626858243909,"symbols":[]}
    """

    serverTime: int
    symbols: list[SymbolInfo]


class OtherEvent(msgspec.Struct, frozen=True):
    """The part that tells what an event is, for streams this module has no type for.

    {"stream":"btcusdt@forceOrder","data":{"e":"forceOrder"}}
    """

    class Data(msgspec.Struct, frozen=True):
        e: str

    stream: str
    data: Data


class Head(msgspec.Struct, frozen=True, gc=False):
    """The part of any frame that tells what it is: an event, a combined stream's, or the answer to a request.

    {"result":null,"id":1}
    """

    class Error(msgspec.Struct, frozen=True):
        code: int

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    e: str = ""
    id: int | str | None = None
    error: Error | None = None


class EventHead(msgspec.Struct, frozen=True, gc=False):
    """The kind of an event.

    {"e":"depthUpdate","E":1723161256299}
    """

    e: str


SHUTDOWN = "serverShutdown"
"""The venue will close this connection: connect anew (the official connector knows the event; no page of the venue describes it)."""

decode_head = msgspec.json.Decoder(Head).decode
decode_event_head = msgspec.json.Decoder(EventHead).decode
decode_depth = msgspec.json.Decoder(DepthUpdate).decode
decode_agg_trade = msgspec.json.Decoder(AggTrade).decode
decode_mark_price = msgspec.json.Decoder(MarkPrice).decode
decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_snapshot = msgspec.json.Decoder(Snapshot).decode
decode_exchange_info = msgspec.json.Decoder(ExchangeInfo).decode
decode_other = msgspec.json.Decoder(OtherEvent).decode
