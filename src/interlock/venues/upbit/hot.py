"""The hot path of Upbit's feed: whole books scanned, in either format, everything else as `public` takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from interlock.domain.instruments import Instrument
from interlock.market.compiled import compiled, unsigned
from interlock.venues import hot
from interlock.venues.feed import MAX_FRAME_BYTES, NS_PER_MS, BookChange
from interlock.venues.recorded import LATEST_NS
from interlock.venues.row_book import RowBook
from interlock.venues.scanning import (
    CLOSE_LIST,
    CLOSE_OBJECT,
    COMMA,
    NO_FACTS,
    NOT_MINE,
    Facts,
    byte,
    decimal,
    facts,
    integer,
    match,
    number,
    put_clear,
    put_level,
)
from interlock.venues.upbit import public, wire

_HEADS = (b'{"type":"orderbook","code":"', b'{"ty":"orderbook","cd":"')
_NAME_AT = max(len(head) for head in _HEADS)

_TIME, _UNITS, _STREAM, _LEVEL, _ASK_TOTAL, _BID_TOTAL = 1, 2, 4, 8, 16, 32


class _Known(NamedTuple):
    """A market whose books are scanned in one of the formats."""

    market: public.MarketState
    book: RowBook
    facts: Facts
    simple: bool


class Feed(hot.HotFeed, public.Feed):
    """Upbit's WebSocket as rows. The first book of a market goes the way of `take`, and so does one that may be a repetition."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        hot.HotFeed.__init__(self, instruments)
        public.Feed.__init__(self, hot.among(instruments), RowBook)
        self._known: dict[bytes, _Known] = {}
        RowBook("")
        scan_book(b"", 0, False, NO_FACTS, self.rows)

    take = public.Feed.take

    def _scan(self, frame: bytes, receive_ns: int) -> hot.Columns | None:
        # In the short format the search begins within the name, which is always longer than what the two heads differ by.
        head = frame[: frame.find(b'"', _NAME_AT) + 1]
        known = self._known.get(head) or self._learn(head)
        if known is None or len(frame) > MAX_FRAME_BYTES:
            return None
        market, rows = known.market, self.rows
        count, venue_ms = scan_book(frame, len(head), known.simple, known.facts, rows)
        exchange_ns = venue_ms * NS_PER_MS
        # One that is not later than the last may be late or a repetition: that is for the decoder to say, and so is an impossible time.
        if count == NOT_MINE or not market.book_time.latest_ns < exchange_ns < LATEST_NS:
            return None
        known.book.apply_rows(rows, 1, count, True, exchange_ns, receive_ns)
        market.book_time.keep(exchange_ns)
        market.latest = lambda: self._decoded(frame, market, exchange_ns)
        return hot.Columns("orderbook", count, exchange_ns)

    @staticmethod
    def _decoded(frame: bytes, market: public.MarketState, exchange_ns: int) -> BookChange:
        """The book of a frame that was scanned, for a comparison with a frame of the same time."""
        decode = wire.decode_orderbook if frame.startswith(_HEADS[0]) else wire.decode_simple_orderbook
        return BookChange(market.instrument.symbol, exchange_ns, True, *market.sides(decode(frame).orderbook_units))

    def _learn(self, head: bytes) -> _Known | None:
        """The market that a frame begins with, if a book of it came before."""
        simple = head.startswith(_HEADS[1])
        name = head[len(_HEADS[simple]) : -1]
        if not (head.startswith(_HEADS) and name.replace(b"-", b"").isalnum()):
            return None
        market = self._markets.get(name.decode())
        found = facts(market.instrument, self._numbers[market.instrument.symbol]) if market is not None else None
        if market is None or found is None:
            return None
        assert isinstance(market.book, RowBook)
        known = self._known[head] = _Known(market, market.book, found, simple)
        return known


@compiled()
def scan_book(frame: Any, at: int, simple: bool, of: Any, rows: Any) -> tuple[int, int]:
    """(rows with the CLEAR before them, time in ms) of a book frame from behind its market; the first value is NOT_MINE for another.

    The members may stand in any order.
    """
    nothing = (NOT_MINE, 0)
    seen = 0
    time = 0
    count = 0
    while byte(frame, at) == COMMA:
        at += 1
        if match(frame, at, b'"tms":' if simple else b'"timestamp":'):
            member = _TIME
            time, at = integer(frame, at + (6 if simple else 12))
            if time == NOT_MINE:
                return nothing
        elif match(frame, at, b'"obu":[' if simple else b'"orderbook_units":['):
            member = _UNITS
            at, count = _units(frame, at + (7 if simple else 19), simple, of[0], rows)
        elif match(frame, at, b'"st":"' if simple else b'"stream_type":"'):
            member = _STREAM
            at = _after_stream(frame, at + (6 if simple else 15))
        elif match(frame, at, b'"lv":0' if simple else b'"level":0'):
            member = _LEVEL
            at += 6 if simple else 9
            at += 2 if match(frame, at, b".0") else 0
        elif match(frame, at, b'"tas":' if simple else b'"total_ask_size":'):
            member = _ASK_TOTAL
            at = _after_number(frame, at + (6 if simple else 17))
        elif match(frame, at, b'"tbs":' if simple else b'"total_bid_size":'):
            member = _BID_TOTAL
            at = _after_number(frame, at + (6 if simple else 17))
        else:
            return nothing
        if seen & member != 0 or at == NOT_MINE:
            return nothing
        seen |= member
    if byte(frame, at) != CLOSE_OBJECT or at + 1 != len(frame) or seen & (_TIME | _UNITS | _STREAM) != _TIME | _UNITS | _STREAM:
        return nothing
    put_clear(rows[0], of[0].instrument)
    return count, time


@compiled(inline=True)
def _after_stream(frame: Any, at: int) -> int:
    if match(frame, at, b'REALTIME"') or match(frame, at, b'SNAPSHOT"'):
        return at + 9
    return NOT_MINE


@compiled(inline=True)
def _after_number(frame: Any, at: int) -> int:
    value, _, at = decimal(frame, at, True)
    return NOT_MINE if value == NOT_MINE else at


@compiled()
def _units(frame: Any, at: int, simple: bool, of: Any, rows: Any) -> tuple[int, int]:
    """(position after it, rows) of the levels: bids from rows[1] on, then the asks; the position is NOT_MINE for others."""
    nothing = (NOT_MINE, 0)
    room = min((len(rows) - 1) // 2, wire.MAX_UNITS)
    bids = 0
    if byte(frame, at) == CLOSE_LIST:
        return at + 1, 1
    while True:
        if bids >= room or not match(frame, at, b'{"ap":' if simple else b'{"ask_price":'):
            return nothing
        ask_ticks, at = number(frame, at + (6 if simple else 13), of.price_places, of.price_step, True)
        if ask_ticks == NOT_MINE or not match(frame, at, b',"bp":' if simple else b',"bid_price":'):
            return nothing
        bid_ticks, at = number(frame, at + (6 if simple else 13), of.price_places, of.price_step, True)
        if bid_ticks == NOT_MINE or not match(frame, at, b',"as":' if simple else b',"ask_size":'):
            return nothing
        ask_lots, at = number(frame, at + (6 if simple else 12), of.size_places, of.size_step, True)
        if ask_lots == NOT_MINE or not match(frame, at, b',"bs":' if simple else b',"bid_size":'):
            return nothing
        bid_lots, at = number(frame, at + (6 if simple else 12), of.size_places, of.size_step, True)
        if bid_lots == NOT_MINE or byte(frame, at) != CLOSE_OBJECT:
            return nothing
        # The asks wait in the other half of the rows until it is known how many bids there are.
        put_level(rows[unsigned(1 + bids)], of.instrument, 1, bid_ticks, bid_lots)
        put_level(rows[unsigned(1 + room + bids)], of.instrument, -1, ask_ticks, ask_lots)
        bids += 1
        separator = byte(frame, at + 1)
        at += 2
        if separator == CLOSE_LIST:
            break
        if separator != COMMA:
            return nothing
    asks = _outward(rows, 1 + room, bids, 1)
    bids = _outward(rows, 1, bids, -1)
    if asks == NOT_MINE or bids == NOT_MINE:
        return nothing
    for i in range(asks):
        ask = rows[unsigned(1 + room + i)]
        put_level(rows[unsigned(1 + bids + i)], of.instrument, -1, ask.ticks, ask.lots)
    return at, 1 + bids + asks


@compiled()
def _outward(rows: Any, first: int, count: int, outward: int) -> int:
    """How many of `count` rows are levels, from the best outward and the last ones being filled up with zeros; NOT_MINE where they are not so."""
    while count > 0 and rows[unsigned(first + count - 1)].ticks == 0 and rows[unsigned(first + count - 1)].lots == 0:
        count -= 1
    before = 0
    for i in range(first, first + count):
        row = rows[unsigned(i)]
        if row.ticks == 0 or row.lots == 0 or (i > first and (row.ticks - before) * outward <= 0):
            return NOT_MINE
        before = row.ticks
    return count
