"""The exchange of the live benchmark: Bybit's public stream with prepared frames on one socket, whatever comes as orders on another.

`python -m benchmarks.live_exchange LEVELS COUNT GAP_MS`: one JSON line with the port, then it serves until its feed's client leaves, and ends with
one JSON line: when each frame was written and when each order came, CLOCK_BOOTTIME in nanoseconds. The next frame goes out `GAP_MS` after the order
to the last one came, or after the word `next` on the feed's socket, which a client says whose orders go elsewhere. It is no venue: it answers
nothing.
"""

import asyncio
import json
import sys
import time
from random import Random

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

SEED = 20_261_122
CENTRE_TICKS = 500_000
DEPTH = 50
BEGIN_MS = 1_767_225_600_000


def now_ns() -> int:
    """The clock that every process of a host shares."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def frames_of(levels: int, count: int) -> list[bytes]:
    """Topic orderbook.50 of Bybit: the whole book, then `count` frames of so many levels.

    The best prices stay, their sizes change with every frame; of the other levels some go and those that are gone come back. Bids fall and asks rise,
    as the venue sends them.
    """
    chance = Random(f"{SEED} {levels}")
    sides = [{CENTRE_TICKS + sign * (at + 1): 1_000 for at in range(DEPTH)} for sign in (-1, 1)]
    best = (CENTRE_TICKS - 1, CENTRE_TICKS + 1)
    found = [_frame(0, "snapshot", [list(side.items()) for side in sides])]
    for number in range(1, count + 1):
        said = []
        for side, first in zip(sides, best, strict=True):
            changed = [first, *chance.sample(sorted(set(side) - {first}), levels // 2 - 1)]
            for ticks in changed:
                gone = ticks != first and side[ticks] and chance.random() < 0.2
                side[ticks] = 0 if gone else side[ticks] % 9_000 + chance.randint(1, 900)
            said.append([(ticks, side[ticks]) for ticks in sorted(changed, key=lambda ticks: abs(ticks - CENTRE_TICKS))])
        found.append(_frame(number, "delta", said))
    return found


def _frame(number: int, kind: str, sides: list[list[tuple[int, int]]]) -> bytes:
    bids, asks = ([[f"{ticks / 10:.2f}", f"{lots / 1000:.3f}" if lots else "0"] for ticks, lots in side] for side in sides)
    at = BEGIN_MS + 20 * number
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": 4_100_000 + number, "seq": 88_000_000_000 + 7 * number}
    message = {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": at + 3, "data": data, "cts": at}
    return json.dumps(message, separators=(",", ":")).encode()


def _stamped(frame: bytes) -> bytes:
    """The frame with the time that it is: one that is far from that is used for nothing."""
    now_ms = b"%d" % (time.time_ns() // 1_000_000)
    for name in (b'"ts":', b'"cts":'):
        at = frame.rindex(name) + len(name)
        frame = frame[:at] + now_ms + frame[at + len(now_ms) :]
    return frame


class Exchange:
    """Frames out, orders in."""

    def __init__(self, levels: int, count: int, gap_s: float) -> None:
        self.begin, *self.frames = frames_of(levels, count)
        self.gap_s = gap_s
        self.feed: WSTransport | None = None
        self.sent_ns: list[int] = []
        self.came_ns: list[int] = []
        self.over = asyncio.get_running_loop().create_future()

    def begins(self, feed: WSTransport) -> None:
        """A subscriber is there: the whole book, as after every subscription."""
        self.feed = feed
        feed.send(WSMsgType.TEXT, _stamped(self.begin))

    def ask_next(self) -> None:
        """Send the next frame, after the gap."""
        if self.gap_s:
            asyncio.get_running_loop().call_later(self.gap_s, self._next)
        else:
            self._next()

    def _next(self) -> None:
        if self.feed is not None and len(self.sent_ns) < len(self.frames):
            frame = _stamped(self.frames[len(self.sent_ns)])
            self.sent_ns.append(now_ns())
            self.feed.send(WSMsgType.TEXT, frame)

    def order(self) -> None:
        """An order came."""
        self.came_ns.append(now_ns())
        self.ask_next()

    def leave(self) -> None:
        """The subscriber left."""
        if not self.over.done():
            self.over.set_result(None)


class Feed(WSListener):
    """A subscriber."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """The subscription, pings, and the word for the next frame."""
        if frame.msg_type is not WSMsgType.TEXT:
            return
        if frame.get_payload_as_bytes() == b"next":
            self._exchange.ask_next()
        elif self._exchange.feed is None:
            self._exchange.begins(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """It left."""
        self._exchange.leave()


class Trade(WSListener):
    """Where orders come in."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """An order."""
        if frame.msg_type is WSMsgType.TEXT:
            self._exchange.order()


async def main(levels: int, count: int, gap_s: float) -> None:
    """Serve until the subscriber leaves."""
    exchange = Exchange(levels, count, gap_s)

    def listener(request: WSUpgradeRequest) -> WSListener:
        return Trade(exchange) if b"trade" in request.path else Feed(exchange)

    server = await ws_create_server(listener, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await exchange.over
    print(json.dumps({"sent_ns": exchange.sent_ns, "came_ns": exchange.came_ns}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
