"""How Bybit's public stream of linear perpetuals is opened and kept. Source: the venue's pages on connecting, order book, trade and ticker."""

from __future__ import annotations

from typing import Final

import msgspec

from interlock.venues.bybit.public import Feed
from interlock.venues.feed import Reason, Reject, Taken
from interlock.venues.request import Call

PATH: Final = "/v5/public/linear"
ARGS_MAX: Final = 21_000
"""Characters of all `args` of a connection (documented)."""


class PublicWire:
    """Order book at `depth` and tickers of some symbols, and their trades and price limits if they are wanted."""

    path = PATH
    ping_every_s = 20.0
    lives_s = 0.0
    # A ping is answered, so that a connection is never silent for longer than two of them.
    silent_s = 45.0

    def __init__(self, feed: Feed, symbols: tuple[str, ...], depth: int = 50, *, trades: bool = True, limits: bool = False) -> None:
        self._feed = feed
        self._books = {symbol: f"orderbook.{depth}.{symbol}" for symbol in symbols}
        streams = (*(("publicTrade",) if trades else ()), "tickers", *(("priceLimit",) if limits else ()))
        self._others = [f"{stream}.{symbol}" for symbol in symbols for stream in streams]

    def hello(self) -> tuple[bytes, ...]:
        """One request for everything. Raises ValueError for more topics than a connection takes."""
        topics = [*self._books.values(), *self._others]
        if sum(map(len, topics)) > ARGS_MAX:
            raise ValueError(f"expected topics of at most {ARGS_MAX} characters on one connection, found more; use several connections")
        return (_request("subscribe", topics),)

    def ping(self) -> bytes:
        """The venue's own ping."""
        return b'{"op":"ping"}'

    def renewal(self, symbol: str) -> tuple[bytes, ...]:
        """A new subscription begins with a snapshot."""
        topics = [self._books[symbol]]
        return _request("unsubscribe", topics), _request("subscribe", topics)

    def snapshot_call(self, symbol: str) -> Call | None:
        """None: the REST book is numbered as another stream."""
        return None

    def on_snapshot(self, symbol: str, body: bytes) -> Taken | Reject:
        """Refused: nothing is asked for."""
        return Reject(Reason.NO_SNAPSHOT, "expected no answer over HTTP on this stream, found one", symbol)


def _request(op: str, topics: list[str]) -> bytes:
    return msgspec.json.encode({"op": op, "args": topics})
