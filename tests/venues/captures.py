"""A small made-up capture in a recorder's shape: a book in step, its tops, trades, and the snapshot inside the stream."""

import gzip
import json
from pathlib import Path
from typing import Any

BASE_MS = 1_700_000_000_000
BEHIND_NS = 1_272_000_000
"""How far the made-up recorder's clock is behind the venue's, as a real one was."""

Levels = list[tuple[str, str]]


def depth(first: int, last: int, previous: int, bids: Levels, asks: Levels, at: int, symbol: str = "BTCUSDT") -> Any:
    data = {
        "e": "depthUpdate",
        "E": BASE_MS + at + 1,
        "T": BASE_MS + at,
        "s": symbol,
        "U": first,
        "u": last,
        "pu": previous,
        "b": bids,
        "a": asks,
    }
    return {"stream": f"{symbol.lower()}@depth@0ms", "data": data}


def trade(number: int, price: str, size: str, at: int, *, sold: bool = False, kind: str = "MARKET") -> Any:
    data = {
        "e": "trade",
        "E": BASE_MS + at,
        "T": BASE_MS + at,
        "s": "BTCUSDT",
        "t": number,
        "p": price,
        "q": size,
        "X": kind,
        "m": sold,
    }
    return {"stream": "btcusdt@trade", "data": data}


def top(update: int, bid: tuple[str, str], ask: tuple[str, str], at: int) -> Any:
    data = {
        "e": "bookTicker",
        "u": update,
        "s": "BTCUSDT",
        "b": bid[0],
        "B": bid[1],
        "a": ask[0],
        "A": ask[1],
        "T": BASE_MS + at,
        "E": BASE_MS + at,
    }
    return {"stream": "btcusdt@bookTicker", "data": data}


def snapshot(last: int, bids: Levels, asks: Levels, at: int) -> Any:
    return {"lastUpdateId": last, "E": BASE_MS + at, "T": BASE_MS + at, "bids": bids, "asks": asks}


def good() -> list[Any]:
    """Messages by receive order: two diffs before the snapshot (the second spans it), then a chain with tops and trades."""
    return [
        depth(90, 95, 89, [("99.9", "1")], [], 0),
        trade(1, "100.1", "0.004", 5),
        depth(98, 105, 95, [("100.0", "2")], [("100.2", "0.000")], 10),
        snapshot(100, [("100.0", "1.5"), ("99.0", "7")], [("100.1", "3"), ("100.2", "1")], 8),
        top(105, ("100.0", "2.000"), ("100.1", "3.000"), 11),
        depth(107, 110, 105, [], [("100.1", "2.5")], 20),
        trade(2, "100.1", "0.5", 19),
        top(110, ("100.0", "2.000"), ("100.1", "2.500"), 20),
        trade(3, "100.0", "0.25", 25, sold=True),
        depth(111, 118, 110, [("100.0", "1.75")], [("100.3", "9")], 30),
        top(117, ("100.0", "1.750"), ("100.1", "2.500"), 30),
    ]


def recorded(messages: list[Any], *, behind_ns: int = BEHIND_NS, step_ns: int = 10_000_000) -> list[bytes]:
    """The messages as recorder lines, one every `step_ns`, about 30 ms after their time, on a clock that is behind."""
    start = BASE_MS * 1_000_000 + 30_000_000 - behind_ns
    return [b"%d %s" % (start + i * step_ns, json.dumps(message, separators=(",", ":")).encode()) for i, message in enumerate(messages)]


def save(path: Path, lines: list[bytes]) -> Path:
    """Write lines to a file, compressed where the name ends in .gz (the same bytes every time)."""
    text = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path
