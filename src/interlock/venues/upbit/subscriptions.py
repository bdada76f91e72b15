"""How Upbit's public stream is opened and kept. Source: the venue's WebSocket guide."""

from __future__ import annotations

from typing import Final

import msgspec

from interlock.venues.feed import Reason, Reject, Taken
from interlock.venues.request import Call

PATH: Final = "/websocket/v1"


class PublicWire:
    """Order book of some markets, and their trades if they are wanted.

    A request replaces the one before it on a connection, so that everything is asked for in one.

    `units`: how many levels a side (1, 5, 15 or 30).
    """

    path = PATH
    # Closed after 120 s without traffic; a ping makes the venue tell every 10 s that it is up.
    ping_every_s = 50.0
    lives_s = 0.0
    silent_s = 70.0

    def __init__(self, symbols: tuple[str, ...], units: int = 15, ticket: str = "interlock", *, trades: bool = True) -> None:
        if units not in (1, 5, 15, 30):
            raise ValueError(f"expected 1, 5, 15 or 30 levels a side, found {units}")
        self._request = msgspec.json.encode(
            [
                {"ticket": ticket},
                {"type": "orderbook", "codes": [f"{symbol}.{units}" for symbol in symbols], "level": 0},
                *([{"type": "trade", "codes": list(symbols)}] if trades else []),
                {"format": "DEFAULT"},
            ]
        )

    def hello(self) -> tuple[bytes, ...]:
        """One request for everything."""
        return (self._request,)

    def ping(self) -> bytes:
        """The venue's own ping."""
        return b"PING"

    def renewal(self, symbol: str) -> tuple[bytes, ...]:
        """Nothing: every message is a whole book."""
        return ()

    def snapshot_call(self, symbol: str) -> Call | None:
        """None: every message is a whole book."""
        return None

    def on_snapshot(self, symbol: str, body: bytes) -> Taken | Reject:
        """Refused: nothing is asked for."""
        return Reject(Reason.NO_SNAPSHOT, "expected no answer over HTTP on this stream, found one", symbol)
