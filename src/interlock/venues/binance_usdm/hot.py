"""The hot path of Binance's public feed: depth events scanned, raw or combined, everything else as `public` takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from interlock.domain.instruments import Instrument
from interlock.market.compiled import compiled
from interlock.venues import hot
from interlock.venues.binance_usdm import public
from interlock.venues.feed import MAX_FRAME_BYTES, NS_PER_MS
from interlock.venues.row_book import RowBook
from interlock.venues.scanning import CLOSE_OBJECT, COMMA, NO_FACTS, NOT_MINE, QUOTE, Facts, byte, facts, integer, levels, match

_NAME_KEY = b'"s":"'

_SENT, _TIME, _NAME, _FIRST, _LAST, _PREVIOUS, _BIDS, _ASKS, _ALL = 1, 2, 4, 8, 16, 32, 64, 128, 255
_BLANK, _BACKSLASH, _DELETE = 0x20, 0x5C, 0x7F


class _Known(NamedTuple):
    """A symbol whose depth events are scanned."""

    symbol: public.SymbolState
    book: RowBook
    facts: Facts


class Feed(hot.HotFeed, public.Feed):
    """Binance's public WebSocket as rows. Until a symbol's book is known its events go the way of `take`, which keeps them for the snapshot."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        hot.HotFeed.__init__(self, instruments)
        public.Feed.__init__(self, hot.among(instruments), RowBook)
        self._known: dict[bytes, _Known] = {}
        RowBook("")
        scan_depth(b"", 0, 0, NO_FACTS, self.rows)

    take = public.Feed.take

    def _scan(self, frame: bytes, receive_ns: int) -> hot.Columns | None:
        name_at = frame.find(_NAME_KEY) + len(_NAME_KEY)
        name_end = frame.find(b'"', name_at)
        name = frame[name_at:name_end]
        known = self._known.get(name) or self._learn(name)
        if known is None or not known.book.usable or len(frame) > MAX_FRAME_BYTES:
            return None
        rows = self.rows
        count, venue_ms, first, last, previous = scan_depth(frame, name_at, name_end, known.facts, rows)
        if count == NOT_MINE:
            return None
        symbol = known.symbol

        def apply(exchange_ns: int) -> bool:
            known.book.apply_rows(rows, 0, count, False, exchange_ns, receive_ns)
            return True

        applied = symbol.follow(last, lambda: symbol.bridge.follow(first, last, previous), venue_ms, apply)
        what = "depth" if applied else "depth before the snapshot"
        return hot.Columns(what, count if applied else 0, venue_ms * NS_PER_MS, first, last, previous)

    def _learn(self, name: bytes) -> _Known | None:
        """A symbol of which something came before."""
        symbol = self._symbols.get(name.decode()) if name.replace(b"_", b"").isalnum() else None
        found = facts(symbol.instrument, self._numbers[symbol.instrument.symbol]) if symbol is not None else None
        if symbol is None or found is None:
            return None
        assert isinstance(symbol.book, RowBook)
        known = self._known[name] = _Known(symbol, symbol.book, found)
        return known


@compiled()
def scan_depth(frame: Any, name_at: int, name_end: int, of: Any, rows: Any) -> tuple[int, int, int, int, int]:
    """(rows, T, U, u, pu) of a depth event whose symbol is the text from name_at to name_end; the first value is NOT_MINE for another frame.

    The members may stand in any order, but `e` comes first and bids before asks.
    """
    nothing = (NOT_MINE, 0, 0, 0, 0)
    at = 0
    wrapped = match(frame, 0, b'{"stream":"')
    if wrapped:
        at = _after_text(frame, 11)
        if at == 12 or not match(frame, at, b',"data":'):  # a stream without a name is none
            return nothing
        at += 8
    if not match(frame, at, b'{"e":"depthUpdate"'):
        return nothing
    at += 18
    seen = 0
    count = 0
    sent = time = first = last = previous = 0
    while byte(frame, at) == COMMA:
        at += 1
        if match(frame, at, b'"E":'):
            member = _SENT
            sent, at = integer(frame, at + 4)
        elif match(frame, at, b'"T":'):
            member = _TIME
            time, at = integer(frame, at + 4)
        elif match(frame, at, b'"U":'):
            member = _FIRST
            first, at = integer(frame, at + 4)
        elif match(frame, at, b'"u":'):
            member = _LAST
            last, at = integer(frame, at + 4)
        elif match(frame, at, b'"pu":'):
            member = _PREVIOUS
            previous, at = integer(frame, at + 5)
        elif match(frame, at, b'"s":"') and at + 5 == name_at:
            member = _NAME
            at = name_end + 1
        elif match(frame, at, b'"b":') and seen & _ASKS == 0:
            member = _BIDS
            at, count = levels(frame, at + 4, of[0], rows, count, 1)
        elif match(frame, at, b'"a":') and seen & _BIDS != 0:
            member = _ASKS
            at, count = levels(frame, at + 4, of[0], rows, count, -1)
        else:
            return nothing
        if seen & member != 0 or at == NOT_MINE:
            return nothing
        seen |= member
    ends = 2 if wrapped else 1
    if at + ends != len(frame) or byte(frame, at) != CLOSE_OBJECT or byte(frame, at + ends - 1) != CLOSE_OBJECT or seen != _ALL:
        return nothing
    if min(sent, time, first, last, previous) < 0 or not previous <= first <= last:
        return nothing
    return count, time, first, last, previous


@compiled()
def _after_text(frame: Any, at: int) -> int:
    """The position behind the quote that ends a plain text; that of whatever is not plain, where something is not."""
    while True:
        letter = byte(frame, at)
        if letter == QUOTE:
            return at + 1
        if letter < _BLANK or letter == _BACKSLASH or letter >= _DELETE:
            return at
        at += 1
