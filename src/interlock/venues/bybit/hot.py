"""The hot path of Bybit's public feed: book frames scanned, everything else as `public` takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from interlock.domain.instruments import Instrument
from interlock.market.compiled import compiled
from interlock.venues import hot
from interlock.venues.bybit import public
from interlock.venues.feed import MAX_FRAME_BYTES, NS_PER_MS
from interlock.venues.row_book import RowBook
from interlock.venues.scanning import (
    CLOSE_OBJECT,
    COMMA,
    NO_FACTS,
    NOT_MINE,
    QUOTE,
    Facts,
    byte,
    facts,
    integer,
    levels,
    match,
    put_clear,
    same,
)

_HEAD = b'{"topic":"orderbook.'
_TOPIC_AT = len(b'{"topic":"')

_TYPE, _TS, _DATA, _CTS = 1, 2, 4, 8
_NAME, _BIDS, _ASKS, _UPDATE, _SEQUENCE = 1, 2, 4, 8, 16


class _Known(NamedTuple):
    """A topic whose frames are scanned."""

    symbol: public.SymbolState
    book: RowBook
    facts: Facts


class Feed(hot.HotFeed, public.Feed):
    """Bybit's public WebSocket as rows. The first book of a symbol goes the way of `take`, the frames after it are scanned."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        hot.HotFeed.__init__(self, instruments)
        public.Feed.__init__(self, hot.among(instruments), RowBook)
        self._known: dict[bytes, _Known] = {}
        RowBook("")
        scan_book(b"", 0, NO_FACTS, self.rows)

    take = public.Feed.take

    def _scan(self, frame: bytes, receive_ns: int) -> hot.Columns | None:
        head = frame[: frame.find(b'"', _TOPIC_AT) + 1]
        known = self._known.get(head) or self._learn(head)
        if known is None or len(frame) > MAX_FRAME_BYTES:
            return None
        rows = self.rows
        count, first, update, venue_ms = scan_book(frame, len(head), known.facts, rows)
        # A delta with the number of a restart is a whole book: rare, and left to the decoder.
        if count == NOT_MINE or update == public.RESTARTED:
            return None
        whole = first == 1
        known.symbol.follow(
            whole, update, venue_ms, lambda exchange_ns: known.book.apply_rows(rows, first, count, whole, exchange_ns, receive_ns)
        )
        if whole:
            return hot.Columns("orderbook snapshot", count, venue_ms * NS_PER_MS, update, update, 0)
        return hot.Columns("orderbook delta", count, venue_ms * NS_PER_MS, update, update, update - 1)

    def _learn(self, head: bytes) -> _Known | None:
        """The topic that a frame begins with, if it is that of a symbol's book."""
        if not (head.startswith(_HEAD) and head.isascii()):
            return None
        depth, _, name = head[len(_HEAD) : -1].decode().partition(".")
        symbol = self._symbols.get(name)
        if symbol is None or depth != str(symbol.depth) or not name.replace("-", "").isalnum():
            return None
        found = facts(symbol.instrument, self._numbers[name], len(_HEAD) + len(depth) + 1, len(head) - 1)
        if found is None:
            return None
        assert isinstance(symbol.book, RowBook)
        known = self._known[head] = _Known(symbol, symbol.book, found)
        return known


@compiled()
def scan_book(frame: Any, at: int, of: Any, rows: Any) -> tuple[int, int, int, int]:
    """(rows, the first of them that is a level, u, time in ms) of a book frame from behind its topic; the first value is NOT_MINE for another.

    The members may stand in any order but these: `type` before `data`, as it decides where the rows begin, and bids before asks.
    """
    nothing = (NOT_MINE, 0, 0, 0)
    seen = 0
    first = 0
    sent = 0
    matched = 0
    count = 0
    update = 0
    while byte(frame, at) == COMMA:
        at += 1
        if match(frame, at, b'"type":"delta"'):
            member = _TYPE
            at += 14
        elif match(frame, at, b'"type":"snapshot"'):
            member = _TYPE
            first = 1
            at += 17
        elif match(frame, at, b'"ts":'):
            member = _TS
            sent, at = integer(frame, at + 5)
            if sent == NOT_MINE:
                return nothing
        elif match(frame, at, b'"cts":'):
            member = _CTS
            matched, at = integer(frame, at + 6)
            if matched == NOT_MINE:
                return nothing
        elif match(frame, at, b'"data":{') and seen & _TYPE != 0 and seen & _DATA == 0:
            member = _DATA
            at, count, update = _data(frame, at + 8, of[0], rows, first)
            if at == NOT_MINE:
                return nothing
        else:
            return nothing
        if seen & member != 0:
            return nothing
        seen |= member
    if byte(frame, at) != CLOSE_OBJECT or at + 1 != len(frame) or seen | _CTS != _TYPE | _TS | _DATA | _CTS:
        return nothing
    if first == 1:
        put_clear(rows[0], of[0].instrument)
    return count, first, update, matched if seen & _CTS != 0 else sent


@compiled()
def _data(frame: Any, at: int, of: Any, rows: Any, count: int) -> tuple[int, int, int]:
    """(position after it, rows, u) of what is in `data`; the position is NOT_MINE where it is not as expected."""
    nothing = (NOT_MINE, 0, 0)
    seen = 0
    update = 0
    length = of.name_end - of.name_at
    while True:
        if match(frame, at, b'"s":"'):
            member = _NAME
            at += 5
            if not same(frame, at, of.name_at, length) or byte(frame, at + length) != QUOTE:
                return nothing
            at += length + 1
        elif match(frame, at, b'"b":') and seen & _ASKS == 0:
            member = _BIDS
            at, count = levels(frame, at + 4, of, rows, count, 1)
            if at == NOT_MINE:
                return nothing
        elif match(frame, at, b'"a":') and seen & _BIDS != 0:
            member = _ASKS
            at, count = levels(frame, at + 4, of, rows, count, -1)
            if at == NOT_MINE:
                return nothing
        elif match(frame, at, b'"u":'):
            member = _UPDATE
            update, at = integer(frame, at + 4)
            if update == NOT_MINE:
                return nothing
        elif match(frame, at, b'"seq":'):
            member = _SEQUENCE
            sequence, at = integer(frame, at + 6)
            if sequence == NOT_MINE:
                return nothing
        else:
            return nothing
        if seen & member != 0:
            return nothing
        seen |= member
        separator = byte(frame, at)
        at += 1
        if separator == CLOSE_OBJECT:
            break
        if separator != COMMA:
            return nothing
    if seen | _SEQUENCE != _NAME | _BIDS | _ASKS | _UPDATE | _SEQUENCE:
        return nothing
    return at, count, update
