"""Frames of Upbit and Bybit as tests make them, and the real ones out of the recordings."""

import ast
import gzip
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from interlock.domain.instruments import Instrument
from interlock.market.plain_book import PlainBook
from interlock.market.shipped import SHIPPED
from interlock.venues.feed import BookChange, Event, Reject, Taken
from interlock.venues.held_book import HeldBook

BASE_MS = 1_700_000_000_000

Levels = list[tuple[Any, Any]]

SHORT = {
    "type": "ty",
    "code": "cd",
    "timestamp": "tms",
    "total_ask_size": "tas",
    "total_bid_size": "tbs",
    "orderbook_units": "obu",
    "stream_type": "st",
    "level": "lv",
    "ask_price": "ap",
    "bid_price": "bp",
    "ask_size": "as",
    "bid_size": "bs",
    "trade_timestamp": "ttms",
    "trade_price": "tp",
    "trade_volume": "tv",
    "ask_bid": "ab",
    "sequential_id": "sid",
}


def upbit_resolve(symbol: str) -> Instrument:
    found = SHIPPED.get(f"upbit:{symbol}")
    if found is None:
        raise ValueError(f"unknown symbol {symbol}")
    return found


def bybit_resolve(symbol: str) -> Instrument:
    found = SHIPPED.get(f"bybit:{symbol}")
    if found is None:
        raise ValueError(f"unknown symbol {symbol}")
    return found


def upbit_book(at: int, bids: Levels, asks: Levels, *, code: str = "KRW-BTC", stream: str = "REALTIME", **more: Any) -> dict[str, Any]:
    """A whole book in DEFAULT; the shorter side is filled with zeros."""
    longest = max(len(bids), len(asks))
    bids, asks = ([*side, *[(0, 0)] * (longest - len(side))] for side in (bids, asks))
    units = [{"ask_price": a[0], "bid_price": b[0], "ask_size": a[1], "bid_size": b[1]} for b, a in zip(bids, asks, strict=True)]
    return {
        "type": "orderbook",
        "code": code,
        "timestamp": BASE_MS + at,
        "orderbook_units": units,
        "stream_type": stream,
        "level": 0,
        **more,
    }


def upbit_trade(number: int, price: Any, size: Any, at: int, *, side: str = "BID", stream: str = "REALTIME", **more: Any) -> dict[str, Any]:
    """A trade in DEFAULT, told 5 ms after it happened."""
    return {
        "type": "trade",
        "code": "KRW-BTC",
        "timestamp": BASE_MS + at + 5,
        "trade_timestamp": BASE_MS + at,
        "trade_price": price,
        "trade_volume": size,
        "ask_bid": side,
        "sequential_id": number,
        "stream_type": stream,
        **more,
    }


def simple(message: Any) -> Any:
    """A message of Upbit with the short key names."""
    if isinstance(message, list):
        return [simple(item) for item in message]
    if isinstance(message, dict):
        return {SHORT.get(key, key): simple(value) for key, value in message.items()}
    return message


def bybit_book(
    kind: str, update: int, bids: Levels, asks: Levels, at: int, *, depth: int = 50, symbol: str = "BTCUSDT", **more: Any
) -> dict[str, Any]:
    """A book message; the gateway's time is 2 ms after the matching engine's."""
    return {
        "topic": f"orderbook.{depth}.{symbol}",
        "type": kind,
        "ts": BASE_MS + at + 2,
        "data": {"s": symbol, "b": bids, "a": asks, "u": update, "seq": 1000 + update},
        "cts": BASE_MS + at,
        **more,
    }


def bybit_trades(*trades: tuple[str, str, str, str, int], symbol: str = "BTCUSDT") -> dict[str, Any]:
    """A message of trades (id, side, price, size, time)."""
    data = [{"T": BASE_MS + at, "s": symbol, "S": side, "v": size, "p": price, "i": i} for i, side, price, size, at in trades]
    return {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": BASE_MS + trades[-1][4] + 3, "data": data}


def bybit_ticker(kind: str, at: int, *, symbol: str = "BTCUSDT", **data: str) -> dict[str, Any]:
    return {
        "topic": f"tickers.{symbol}",
        "type": kind,
        "data": {"symbol": symbol, **data},
        "cs": 5000 + at,
        "ts": BASE_MS + at,
    }


def encoded(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def recorded_at(frames: list[bytes], *, latency_ms: int = 30, step_ms: int = 10) -> list[bytes]:
    """Frames as recorder lines, one every `step_ms`."""
    start = (BASE_MS + latency_ms) * 1_000_000
    return [b"%d %s" % (start + i * step_ms * 1_000_000, frame) for i, frame in enumerate(frames)]


def real_upbit_lines(data_dir: Path) -> list[bytes]:
    return (data_dir / "upbit" / "cryptofeed_UPBIT.ws.62.0").read_bytes().split(b"\n")


def real_upbit_frames(data_dir: Path) -> list[bytes]:
    """The frames of the one raw capture of Upbit there is, taken out of their literals by Python itself."""
    bodies = (line.split(b": ", 1)[1] for line in real_upbit_lines(data_dir) if line[:1].isdigit())
    frames: list[bytes] = [ast.literal_eval(body.decode()) for body in bodies]
    return frames


def real_upbit_books_of_2026(data_dir: Path) -> Iterator[dict[str, Any]]:
    """Real books as the venue would frame them: the recorder kept code, timestamp and units, the rest is ours."""
    with gzip.open(data_dir / "upbit" / "jys_upbit_books15_krw_usdt_triples_2026.jsonl.gz") as lines:
        for line in lines:
            for leg in json.loads(line, parse_float=str, parse_int=str)["legs"]:
                units = [{name: msgspec.Raw(number.encode()) for name, number in unit.items()} for unit in leg["units"]]
                yield {
                    "type": "orderbook",
                    "code": leg["code"],
                    "timestamp": int(leg["timestamp"]),
                    "orderbook_units": units,
                    "stream_type": "SNAPSHOT",
                    "level": 0,
                }


def real_bybit_frames(data_dir: Path) -> list[bytes]:
    """Bybit's own archive of five seconds of XRPUSDT."""
    with zipfile.ZipFile(data_dir / "bybit" / "nautilus_2024-12-01_XRPUSDT_ob500.data.zip") as archive:
        return archive.read(archive.namelist()[0]).split(b"\n")[:-1]


def events(taken: Taken | Reject) -> tuple[Event, ...]:
    """The events of a frame that must have been taken."""
    assert isinstance(taken, Taken), taken
    return taken.events


def rejected(taken: Taken | Reject) -> Reject:
    """The refusal of a frame that must have been refused."""
    assert isinstance(taken, Reject), taken
    return taken


def put(book: PlainBook, change: BookChange) -> None:
    """Apply a change to a book that is plainly right."""
    if change.whole:
        book.clear()
    for side, levels in ((1, change.bids), (-1, change.asks)):
        for ticks, lots in levels:
            book.set(side, ticks, lots)


def assert_same(held: HeldBook | None, book: PlainBook) -> None:
    assert held is not None
    assert (held.levels(1), held.levels(-1)) == (book.levels(1), book.levels(-1))
    bid, _, ask, _ = book.top()
    assert (held.best_bid, held.best_ask) == (bid, ask)


def damage(frame: bytes, draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """A frame that was cut, lengthened, or changed in a few bytes."""
    data = bytearray(frame)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        what = draw(st.sampled_from(["cut", "change", "insert", "drop"]))
        piece = draw(
            st.sampled_from([b"-", b"9", b"e", b"E9", b".", b'"', b"{", b"}", b"[", b",", b"null", b"\x00", b"\xff", b"1e999", b"NaN"])
        )
        if what == "cut":
            del data[at:]
        elif what == "change":
            data[at : at + len(piece)] = piece
        elif what == "insert":
            data[at:at] = piece
        else:
            del data[at : at + draw(st.integers(1, 8))]
    return bytes(data)
