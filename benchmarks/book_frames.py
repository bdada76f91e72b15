"""Book frames as the three venues write them, made from a seed: the same bytes every time.

A market of whole levels moves; of each side the best level and others chosen by chance change in every message, some go and as many come at the
far end. Bybit and Binance send what changed, Upbit the whole book.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

SEED = 20_261_121
BEGIN_MS = 1_767_225_600_000
DEPTH = 50
Levels = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of one symbol. `begin`: what comes first (Binance: a body of its REST snapshot), then `frames`, each with `levels` levels."""

    venue: str
    symbol: str
    levels: int
    begin: str
    frames: list[str]

    @property
    def name(self) -> str:
        """What the set is called."""
        return f"{self.venue} {self.levels}"


class Market:
    """A book in ticks and lots, 50 levels a side."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.sides = [{1_180_000 + sign * (at + 1): self._lots() for at in range(DEPTH)} for sign in (-1, 1)]

    def _lots(self) -> int:
        return int(self.chance.lognormvariate(6, 1.5)) + 1

    def changed(self, count: int) -> tuple[Levels, Levels]:
        """`count` levels of each side change, the best first."""
        return self._changed(0, -1, count), self._changed(1, 1, count)

    def _changed(self, index: int, outward: int, count: int) -> Levels:
        side = self.sides[index]
        inward = sorted(side, key=lambda ticks: ticks * outward)
        chosen = [inward[0], *self.chance.sample(inward[1:], count - 1)]
        gone = set(self.chance.sample(chosen, self.chance.randint(0, count // 2)))
        said = {ticks: 0 if ticks in gone else self._lots() for ticks in chosen}
        # For one that goes a better price comes, where there is room for it before the other side; another level then stays as it is.
        room = (min(self.sides[1]) - max(self.sides[0])) // 2
        if gone and room > 1 and self.chance.random() < 0.5:
            del said[next(ticks for ticks in chosen if ticks not in gone)]
            said[inward[0] - outward * self.chance.randint(1, room - 1)] = self._lots()
        for ticks in gone:
            del side[ticks]
        side.update({ticks: lots for ticks, lots in said.items() if lots})
        last = max(side, key=lambda ticks: ticks * outward)
        for _ in range(DEPTH - len(side)):
            last += outward * self.chance.randint(1, 2)
            side[last] = self._lots()
        return sorted(said.items(), key=lambda level: level[0] * outward)

    def whole(self, units: int) -> tuple[Levels, Levels]:
        """The best levels of each side, from the best outward."""
        bids = sorted(self.sides[0].items(), reverse=True)
        return bids[:units], sorted(self.sides[1].items())[:units]


def _text(message: Any) -> str:
    return json.dumps(message, separators=(",", ":"))


def _pairs(levels: Levels, zero: str) -> list[list[str]]:
    return [[f"{ticks / 10:.2f}", f"{lots / 1000:.3f}" if lots else zero] for ticks, lots in levels]


def bybit(count: int, levels: int, chance: Random) -> Frames:
    """Topic orderbook.50 of a linear perpetual, every 20 ms."""
    market = Market(chance)
    frames = []
    sequence = 88_000_000_000
    for number in range(count + 1):
        bids, asks = market.whole(DEPTH) if number == 0 else market.changed(levels // 2)
        sequence += chance.randint(3, 90)
        at = BEGIN_MS + 20 * number
        data = {"s": "BTCUSDT", "b": _pairs(bids, "0"), "a": _pairs(asks, "0"), "u": 4_100_000 + number, "seq": sequence}
        kind = "delta" if number else "snapshot"
        frames.append(_text({"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": at + 3, "data": data, "cts": at}))
    return Frames("bybit", "BTCUSDT", levels, frames[0], frames[1:])


def binance(count: int, levels: int, chance: Random) -> Frames:
    """The raw stream btcusdt@depth@100ms."""
    market = Market(chance)
    last = 9_200_000_000_000
    bids, asks = market.whole(DEPTH)
    body = {"lastUpdateId": last, "E": BEGIN_MS, "T": BEGIN_MS, "bids": _pairs(bids, ""), "asks": _pairs(asks, "")}
    frames = []
    for number in range(1, count + 1):
        bids, asks = market.changed(levels // 2)
        first, before = last + chance.randint(1, 500), last
        last = first + chance.randint(levels, 9000)
        at = BEGIN_MS + 100 * number
        head = {"e": "depthUpdate", "E": at + 2, "T": at, "s": "BTCUSDT", "U": first, "u": last, "pu": before}
        frames.append(_text({**head, "b": _pairs(sorted(bids), "0.000"), "a": _pairs(asks, "0.000")}))
    return Frames("binance_usdm", "BTCUSDT", levels, _text(body), frames)


def upbit(count: int, levels: int, chance: Random) -> Frames:
    """KRW-BTC in DEFAULT; `levels` of both sides together are in every message."""
    market = Market(chance)
    frames = []
    for number in range(count + 1):
        market.changed(levels // 2)
        bids, asks = market.whole(levels // 2)
        units = [
            {
                "ask_price": ask[0] * 100.0,
                "bid_price": bid[0] * 100.0,
                "ask_size": (ask[1] * 100_003 + 7) / 10**8,
                "bid_size": (bid[1] * 100_003 + 7) / 10**8,
            }
            for bid, ask in zip(bids, asks, strict=True)
        ]
        message = {
            "type": "orderbook",
            "code": "KRW-BTC",
            "timestamp": BEGIN_MS + 50 * number,
            "total_ask_size": sum(unit["ask_size"] for unit in units),
            "total_bid_size": sum(unit["bid_size"] for unit in units),
            "orderbook_units": units,
            "stream_type": "REALTIME" if number else "SNAPSHOT",
            "level": 0,
        }
        frames.append(_text(message))
    return Frames("upbit", "KRW-BTC", levels, frames[0], frames[1:])


_MAKERS: tuple[tuple[Callable[[int, int, Random], Frames], int], ...] = (
    (bybit, 8),
    (bybit, 36),
    (binance, 8),
    (binance, 36),
    (upbit, 30),
    (upbit, 60),
)


def sets(count: int) -> Iterator[Frames]:
    """Every set, of `count` frames after the first. Upbit's are its books of 15 and 30 levels a side."""
    for make, levels in _MAKERS:
        yield make(count, levels, Random(f"{SEED} {make.__name__} {levels}"))
