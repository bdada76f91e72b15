"""How Binance's public streams of USDⓈ-M futures are opened and kept: books on one connection, trades and marks on another.

The venue serves them under different paths since April 2026; a stream that is asked for under the wrong one is silent.
"""

from __future__ import annotations

from typing import Final

from interlock.venues.binance_usdm.public import Feed
from interlock.venues.feed import Reason, Reject, Taken
from interlock.venues.request import Call, Method

STREAMS_MAX: Final = 1024
"""Of one connection (documented)."""
LIVES_S: Final = 23.5 * 3600
"""A connection is ended by the venue after 24 hours."""


class _Streams:
    ping_every_s = 170.0
    lives_s = LIVES_S
    silent_s = 60.0

    def __init__(self, base: str, streams: list[str]) -> None:
        if len(streams) > STREAMS_MAX:
            raise ValueError(f"expected at most {STREAMS_MAX} streams on one connection, found {len(streams)}; use several connections")
        self.path = f"/{base}/stream?streams={'/'.join(streams)}"

    def hello(self) -> tuple[bytes, ...]:
        """Nothing: the path names the streams."""
        return ()

    def ping(self) -> bytes:
        """Empty: the protocol's ping."""
        return b""

    def renewal(self, symbol: str) -> tuple[bytes, ...]:
        """Nothing: a book is asked for over HTTP."""
        return ()


class BooksWire(_Streams):
    """The order books of some symbols, a diff every 100 ms."""

    def __init__(self, feed: Feed, symbols: tuple[str, ...]) -> None:
        super().__init__("public", [f"{symbol.lower()}@depth@100ms" for symbol in symbols])
        self._feed = feed

    def snapshot_call(self, symbol: str) -> Call | None:
        """The whole book to 1000 levels, once diffs wait for it."""
        if symbol not in self._feed.wants_snapshot():
            return None
        return Call(Method.GET, "/fapi/v1/depth", f"symbol={symbol}&limit=1000")

    def on_snapshot(self, symbol: str, body: bytes) -> Taken | Reject:
        """Hand it to the feed."""
        return self._feed.snapshot(symbol, body)


class MarketWire(_Streams):
    """Mark prices of some symbols, and their trades if they are wanted."""

    def __init__(self, symbols: tuple[str, ...], *, trades: bool = True) -> None:
        streams = ("aggTrade", "markPrice@1s") if trades else ("markPrice@1s",)
        super().__init__("market", [f"{symbol.lower()}@{stream}" for symbol in symbols for stream in streams])

    def snapshot_call(self, symbol: str) -> Call | None:
        """None: there is no book here."""
        return None

    def on_snapshot(self, symbol: str, body: bytes) -> Taken | Reject:
        """Refused: nothing is asked for."""
        return Reject(Reason.NO_SNAPSHOT, "expected no answer over HTTP on this stream, found one", symbol)
