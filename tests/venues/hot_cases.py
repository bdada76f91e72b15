"""The hot feeds beside the decoding ones: made-up streams of the three venues, damaged in every way that comes to mind, read by both.

All chance comes from a `random.Random` of the caller, so that a property test can shrink it and a long run can repeat it.
`python -m tests.venues.hot_cases SEED ROUNDS` runs without pytest; the test with bounds checked starts it so.
"""

import gzip
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Protocol

import msgspec
import numpy as np
from tests.venues.feeds import (
    BASE_MS,
    bybit_book,
    bybit_trades,
    real_bybit_frames,
    real_upbit_books_of_2026,
    real_upbit_frames,
    simple,
    upbit_book,
    upbit_trade,
)

from interlock.domain.instruments import Instrument
from interlock.market.columns import ROW, RowKind
from interlock.market.shipped import SHIPPED
from interlock.venues.binance_usdm import hot as binance_hot
from interlock.venues.binance_usdm import public as binance_public
from interlock.venues.binance_usdm import rules as binance_rules
from interlock.venues.binance_usdm import wire as binance_wire
from interlock.venues.bybit import hot as bybit_hot
from interlock.venues.bybit import public as bybit_public
from interlock.venues.feed import BookChange, FundingNext, Mark, PriceLimits, Reject, Taken, Trade
from interlock.venues.held_book import HeldBook
from interlock.venues.hot import Columns, among
from interlock.venues.upbit import hot as upbit_hot
from interlock.venues.upbit import public as upbit_public

RECEIVED_NS = 77


class DecodingFeed(Protocol):
    def take(self, frame: bytes) -> Taken | Reject: ...

    def book(self, symbol: str) -> HeldBook | None: ...


class HotFeed(DecodingFeed, Protocol):
    rows: np.ndarray[tuple[int], np.dtype[np.void]]
    scanned: int
    decoded: int

    def columns(self, frame: bytes, receive_ns: int) -> Columns | Reject: ...

    def put(self, taken: Taken, receive_ns: int) -> Columns: ...


FEEDS: dict[str, tuple[Any, Any]] = {
    "bybit": (bybit_hot.Feed, bybit_public.Feed),
    "binance_usdm": (binance_hot.Feed, binance_public.Feed),
    "upbit": (upbit_hot.Feed, upbit_public.Feed),
}


def rows_of(taken: Taken, symbols: Sequence[str]) -> list[tuple[int, ...]]:
    """What a decoded frame says, as rows, written plainly."""
    found = []
    for event in taken.events:
        number = symbols.index(event.symbol)

        def row(ticks: int, lots: int, kind: RowKind, side: int, at: int = event.exchange_ns, number: int = number) -> tuple[int, ...]:
            return (at, RECEIVED_NS, ticks, lots, 0, number, int(kind), side)

        if isinstance(event, BookChange):
            found += [row(0, 0, RowKind.CLEAR, 0)] if event.whole else []
            found += [row(ticks, lots, RowKind.DEPTH, 1) for ticks, lots in event.bids]
            found += [row(ticks, lots, RowKind.DEPTH, -1) for ticks, lots in event.asks]
        elif isinstance(event, Trade):
            found.append(row(event.ticks, event.lots, RowKind.TRADE if event.in_book else RowKind.BLOCK_TRADE, event.side))
        elif isinstance(event, Mark):
            found.append(row(event.ticks, 0, RowKind.MARK, 0))
        elif isinstance(event, PriceLimits):
            continue  # for orders, and no row of a trace
        else:
            assert isinstance(event, FundingNext)
            found.append(row(0, event.rate, RowKind.FUNDING_NEXT, 0))
    return found


class Both:
    """A hot feed and a decoding one that are given the same frames: they must say the same and hold the same books (compared every few frames)."""

    def __init__(self, venue: str, instruments: Sequence[Instrument], *, look_every: int = 1) -> None:
        self._look_every = look_every
        hot, decoding = FEEDS[venue]
        self.symbols = [instrument.symbol for instrument in instruments]
        self.hot: HotFeed = hot(instruments)
        self.decoding: DecodingFeed = decoding(among(instruments))

    def take(self, frame: bytes) -> Taken | Reject:
        """Give both a frame; returns what the decoding one said."""
        said, columns = self.decoding.take(frame), self.hot.columns(frame, RECEIVED_NS)
        self._same(said, columns, frame)
        return said

    def snapshot(self, symbol: str, body: bytes) -> Taken | Reject:
        """Give both the answer to a snapshot call (Binance); returns what the decoding one said."""
        said: Taken | Reject = self.decoding.snapshot(symbol, body)  # type: ignore[attr-defined]
        taken: Taken | Reject = self.hot.snapshot(symbol, body)  # type: ignore[attr-defined]
        self._same(said, taken if isinstance(taken, Reject) else self.hot.put(taken, RECEIVED_NS), body)
        return said

    def lose(self) -> None:
        """Both lost their connection."""
        self.decoding.lose()  # type: ignore[attr-defined]
        self.hot.lose()  # type: ignore[attr-defined]

    def _same(self, said: Taken | Reject, columns: Columns | Reject, frame: bytes) -> None:
        if isinstance(said, Reject) or isinstance(columns, Reject):
            assert said == columns, frame
        else:
            rows = rows_of(said, self.symbols)
            assert self.hot.rows[: columns.rows].tolist() == rows, frame
            assert columns == Columns(said.what, len(rows), said.venue_ns, said.first_update, said.last_update, said.previous_update), frame
        for symbol in self.symbols:
            plain, fast = self.decoding.book(symbol), self.hot.book(symbol)
            assert (plain is None) == (fast is None), frame
            if plain is not None and fast is not None:
                assert top_of(plain) == top_of(fast), frame
                if (self.hot.scanned + self.hot.decoded) % self._look_every == 0:
                    assert (plain.levels(1), plain.levels(-1)) == (fast.levels(1), fast.levels(-1)), frame


def top_of(book: HeldBook) -> tuple[bool, int, int]:
    return book.usable, book.best_bid, book.best_ask


# ---------------------------------------------------------------- streams that a venue might send


Level = tuple[int, int]
Sides = tuple[list[Level], list[Level]]


class Market:
    """A book in ticks and lots that moves."""

    def __init__(self, chance: Random, *, levels: int = 8) -> None:
        self.chance = chance
        self.middle = 1000
        self.wanted = levels
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.fill()

    def fill(self) -> Sides:
        """Levels that were missing."""
        came: Sides = ([], [])
        for index, sign in ((0, -1), (1, 1)):
            at = self.middle + (sign if sign > 0 else 0)
            while len(self.sides[index]) < self.wanted:
                at += sign * self.chance.randint(1, 3)
                if at > 0 and at not in self.sides[index]:
                    self.sides[index][at] = self.chance.randint(1, 10**6)
                    came[index].append((at, self.sides[index][at]))
        return came

    def move(self) -> Sides:
        """A few levels change, go or come; returns what changed, bids falling and asks rising."""
        changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for side, said in zip(self.sides, changed, strict=True):
            for ticks in self.chance.sample(sorted(side), self.chance.randint(0, len(side) // 2)):
                lots = self.chance.choice([0, self.chance.randint(1, 10**6)])
                said[ticks] = lots
                if lots:
                    side[ticks] = lots
                else:
                    del side[ticks]
        for said, came in zip(changed, self.fill(), strict=True):
            said.update(came)
        return sorted(changed[0].items(), reverse=True), sorted(changed[1].items())

    def whole(self) -> Sides:
        return sorted(self.sides[0].items(), reverse=True), sorted(self.sides[1].items())


def price(ticks: int, chance: Random, unit: int = 1) -> str:
    """Ticks of 10**-unit as text, with or without zeros at the end."""
    text = f"{ticks // 10**unit}.{ticks % 10**unit:0{unit}d}"
    return chance.choice([text, text, text + "0", text.rstrip("0").rstrip(".")])


def size(lots: int, chance: Random) -> str:
    return chance.choice(["0", "0.000"]) if lots == 0 else price(lots, chance, 3)


def texts(sides: Sides, chance: Random) -> tuple[list[Any], list[Any]]:
    bids, asks = ([(price(ticks, chance), size(lots, chance)) for ticks, lots in side] for side in sides)
    if chance.random() < 0.3:
        bids.reverse()  # rising, as Binance sends them
    return bids, asks


def encoded(message: Any) -> bytes:
    """As the venues write it; an exponent as Upbit writes it."""
    return re.sub(rb"e-0*([0-9])", rb"E-\1", json.dumps(message, separators=(",", ":")).encode())


def bybit_stream(chance: Random) -> list[Any]:
    """Messages of one topic, two symbols in turn, and a few of another kind."""
    found = []
    for symbol in chance.choice([("BTCUSDT",), ("BTCUSDT", "ETHUSDT")]):
        market, update = Market(chance), chance.choice([1, 5, 10**12])
        found.append(bybit_book("snapshot", update, *texts(market.whole(), chance), 0, symbol=symbol))
        for at in range(chance.randint(1, 10)):
            update = 1 if chance.random() < 0.05 else update + 1
            kind = "snapshot" if chance.random() < 0.1 else "delta"
            sides = market.move() if kind == "delta" and update > 1 else (market.move(), market.whole())[1]
            message = bybit_book(kind, update, *texts(sides, chance), at, symbol=symbol)
            if chance.random() < 0.3:
                message = {name: message[name] for name in ("topic", "ts", "type", "data", "cts")}
            if chance.random() < 0.2:
                del message["cts"]
            found.append(message)
        found.insert(chance.randint(0, len(found)), bybit_trades(("a", "Buy", "100.1", "0.5", 5), symbol=symbol))
    return found


def binance_stream(chance: Random) -> list[Any]:
    """Diffs of one or two symbols, each with its snapshot (a pair of symbol and body) among the first of them."""
    found: list[Any] = []
    for symbol in chance.choice([("BTCUSDT",), ("BTCUSDT", "ETHUSDT")]):
        market, last = Market(chance), chance.choice([7, 10**12])
        wait, wrapped = chance.randint(1, 3), chance.random() < 0.5
        bids, asks = texts(market.whole(), chance)
        body = encoded({"lastUpdateId": last + 2, "E": BASE_MS, "T": BASE_MS, "bids": bids, "asks": asks})
        for at in range(chance.randint(4, 20)):
            bids, asks = texts(market.move(), chance)
            first = last + chance.randint(0, 3)
            data = {"e": "depthUpdate", "E": BASE_MS + at + 1, "T": BASE_MS + at, "s": symbol, "U": first, "u": first + 5, "pu": last}
            last = first + 5
            data |= {"b": bids, "a": asks}
            found.append({"stream": f"{symbol.lower()}@depth@100ms", "data": data} if wrapped else data)
            if at == wait:
                found.append((symbol, body))
    return found


def upbit_stream(chance: Random) -> list[Any]:
    """Whole books of one market in one of the formats, and a trade."""
    short = chance.random() < 0.5
    market = Market(chance)
    found = []
    at = 0
    for _ in range(chance.randint(2, 10)):
        market.move()
        sides = [[(float(ticks), float(f"{lots / 10**8:.8f}")) for ticks, lots in side] for side in market.whole()]
        if chance.random() < 0.2:
            del sides[chance.randint(0, 1)][chance.randint(0, 7) :]
        at += chance.choice([0, 1, 1, 1, 1])
        message = upbit_book(
            at, *sides, stream=chance.choice(["REALTIME", "REALTIME", "SNAPSHOT"]), total_ask_size=25752275.55420627, total_bid_size=1e-8
        )
        order = ["type", "code", "timestamp", "total_ask_size", "total_bid_size", "orderbook_units", "stream_type", "level"]
        message = {name: message[name] for name in order[: chance.choice([7, 8, 8, 8])]}
        found.append(simple(message) if short else message)
    found.append(simple(upbit_trade(1, 1000.0, 0.5, 3)) if short else upbit_trade(1, 1000.0, 0.5, 3))
    return found


STREAMS: dict[str, Callable[[Random], list[Any]]] = {"bybit": bybit_stream, "binance_usdm": binance_stream, "upbit": upbit_stream}


def shipped(venue: str) -> list[Instrument]:
    """The instruments of the streams above, and one that does not come."""
    names = ("KRW-XRP", "KRW-BTC") if venue == "upbit" else ("ETHUSDT", "BTCUSDT", "XRPUSDT")
    model = SHIPPED["upbit:KRW-BTC" if venue == "upbit" else f"{venue}:BTCUSDT"]
    return [msgspec.structs.replace(model, symbol=name) for name in names]


# ---------------------------------------------------------------- damage


PIECES = [
    *(b'- + . , : " \\ { } [ ] 0 9 00 1 e E e5 E-7 E8 1e999 1E+2 .0 .5 0.10 0.05 0.0001 -1 -0 NaN Infinity null true {} []'.split(b" ")),
    *(
        b" ",
        b"\n",
        b"\t",
        b"\x00",
        b"\xff",
        b"\x7f",
        b"\\u0041",
        b"\\u0000",
        b'\\"',
        b"\xc3\xa9",
        b"9" * 19,
        b"0." + b"0" * 30,
        b"1" + b"0" * 18,
    ),
    *(b'"b":[]', b'"u":5,', b'"x":1,', b',"x":{}', b'["100.0","1"],', b'["0","1"],', b'"ts":-1,', b'"type":"delta",', b'"e":"trade",'),
]
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    1.5,
    2**63,
    2**62,
    10**17,
    10**18,
    10**30,
    "",
    "1",
    "x",
    "NaN",
    "-1",
    "1e5",
    "00.5",
    ".5",
    "5.",
    [],
    {},
    [[]],
    [["1"]],
]


def damaged(frame: bytes, chance: Random) -> bytes:
    """A frame changed in its bytes or in its meaning."""
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        frame = reworded(frame, chance) if chance.random() < 0.5 else bruised(frame, chance)
    return frame


def bruised(frame: bytes, chance: Random) -> bytes:
    data = bytearray(frame)
    at = chance.randint(0, len(data))
    piece = chance.choice(PIECES)
    match chance.choice(["insert", "change", "drop", "cut", "double", "end", "flip"]):
        case "insert":
            data[at:at] = piece
        case "change":
            data[at : at + len(piece)] = piece
        case "drop":
            del data[at : at + chance.randint(1, 8)]
        case "cut":
            del data[at:]
        case "double":
            data[at:at] = data[at : at + chance.randint(1, 40)]
        case "end":
            data += piece
        case _:
            if data:
                data[at % len(data)] ^= 1 << chance.randint(0, 7)
    return bytes(data)


def reworded(frame: bytes, chance: Random) -> bytes:
    """The same JSON with another order, a value of another kind, a member more or less, blanks, or another level."""
    try:
        message = json.loads(frame)
    except ValueError:
        return frame
    places = list(containers(message))
    if not places:
        return frame
    place = chance.choice(places)
    if isinstance(place, dict):
        name = chance.choice(sorted(place)) if place else "x"
        match chance.choice(["order", "value", "less", "more", "near"]):
            case "order":
                items = list(place.items())
                chance.shuffle(items)
                place.clear()
                place.update(items)
            case "value":
                place[name] = chance.choice(ODD)
            case "less":
                place.pop(name, None)
            case "more":
                place[chance.choice(["x", "cts", "seq", "E", "stream", "level", "lv"])] = chance.choice(ODD)
            case _:
                value = place.get(name)
                if isinstance(value, int):
                    place[name] = value + chance.choice([-1, 1, 2000, -2000, 10**6])
    elif place:
        at = chance.randrange(len(place))
        match chance.choice(["value", "double", "drop", "swap"]):
            case "value":
                place[at] = chance.choice([*ODD, *place])
            case "double":
                place.insert(at, place[chance.randrange(len(place))])
            case "drop":
                del place[at]
            case _:
                chance.shuffle(place)
    return json.dumps(message, separators=(",", ":") if chance.random() < 0.9 else (", ", ": ")).encode()


def containers(value: Any) -> Any:
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


# ---------------------------------------------------------------- a round


def run(venue: str, chance: Random, *, harm: float = 0.3) -> Counter[str]:
    """One stream through both feeds, with frames that are damaged, lost, late or come twice. Returns how many were scanned and decoded."""
    both = Both(venue, shipped(venue))
    late: list[bytes] = []
    for message in STREAMS[venue](chance):
        if isinstance(message, tuple):
            symbol, body = message
            both.snapshot(symbol, damaged(body, chance) if chance.random() < harm / 2 else body)
            continue
        frame = encoded(message)
        fate = chance.choice(["lost", "late", "twice", "damaged", "damaged", "damaged after it came"]) if chance.random() < harm else ""
        if fate.startswith("damaged"):
            if fate == "damaged after it came":
                both.take(frame)
            both.take(damaged(frame, chance))
        elif fate == "late":
            late.append(frame)
        elif fate != "lost":
            for _ in range(2 if fate == "twice" else 1):
                both.take(frame)
            while late:
                both.take(late.pop())
        if chance.random() < harm / 30:
            both.lose()
    return Counter(scanned=both.hot.scanned, decoded=both.hot.decoded)


def main(seed: int, rounds: int) -> Counter[str]:
    """Rounds of every venue; every fifth without damage, so that books live. Raises AssertionError where the two ways differ."""
    counts: Counter[str] = Counter()
    for number in range(rounds):
        for venue in STREAMS:
            found = run(venue, Random(f"{seed} {number} {venue}"), harm=0.0 if number % 5 == 0 else 0.3)
            counts.update({f"{venue} {name}": count for name, count in found.items()})
    return counts


# ---------------------------------------------------------------- recorded frames


@dataclass(frozen=True)
class Recording:
    """What was recorded of a venue, in order: frames, and answers to snapshot calls with their symbols."""

    venue: str
    instruments: list[Instrument]
    frames: Sequence[bytes | tuple[str, bytes]]


def recordings(data_dir: Path) -> Iterator[Recording]:
    """Every frame of the recorded data that one of the hot feeds is for."""
    usdm = data_dir / "binance_usdm"
    for name in ("hft_usdm_btcusdt_20240808.gz", "collect_btcusdt_20220811.dat.gz"):
        with gzip.open(usdm / name) as lines:
            frames = [line.split(b" ", 1)[1].strip() for line in lines]
        yield Recording(
            "binance_usdm",
            [SHIPPED["binance_usdm:BTCUSDT"]],
            [("BTCUSDT", frame) if b'"lastUpdateId"' in frame[:60] else frame for frame in frames],
        )
    yield _four_symbols(usdm)
    upbit_codes = {json.loads(frame).get("cd") for frame in real_upbit_frames(data_dir)}
    yield Recording("upbit", [upbit_public.instrument(code) for code in sorted(upbit_codes - {None})], list(real_upbit_frames(data_dir)))
    books = list(real_upbit_books_of_2026(data_dir))
    codes = sorted({book["code"] for book in books})
    yield Recording("upbit", [upbit_public.instrument(code) for code in codes], [msgspec.json.encode(book) for book in books])
    fine = msgspec.structs.replace(SHIPPED["bybit:BTCUSDT"], symbol="XRPUSDT", quantum=Decimal("0.0001"), lot=Decimal(1))
    yield Recording("bybit", [fine], [frame.rstrip(b"\r") for frame in real_bybit_frames(data_dir)])
    spot = msgspec.structs.replace(SHIPPED["bybit:BTCUSDT"], quantum=Decimal("0.01"), lot=Decimal("0.000001"))
    yield Recording("bybit", [spot], (data_dir / "bybit" / "gct_v5_frames_embedded_20241108.jsonl").read_bytes().splitlines())


def _four_symbols(usdm: Path) -> Recording:
    """Streams, snapshots and listing of one recorder, in files of their own."""
    stream, requests, listing = (usdm / f"cryptofeed_BINANCE_FUTURES.{part}" for part in ("ws.1.0", "http.0.0", "0"))
    played: list[tuple[float, bytes | tuple[str, bytes]]] = []
    for line in stream.read_bytes().splitlines():
        time, _, frame = line.partition(b": ")
        if time[:1].isdigit():
            played.append((float(time), frame))
    for line in requests.read_bytes().splitlines():
        url, _, rest = line.partition(b" -> ")
        time, _, body = rest.partition(b": ")
        if b"symbol=" in url:
            played.append((float(time), (url.partition(b"symbol=")[2].partition(b"&")[0].decode(), body)))
    told = next(line.partition(b" -> ")[2].partition(b": ")[2] for line in listing.read_bytes().splitlines() if b"exchangeInfo" in line)
    known = {one.symbol: one for one in binance_rules.instruments(binance_wire.decode_exchange_info(told))}
    symbols = sorted({item[0] for _, item in played if isinstance(item, tuple)})
    return Recording("binance_usdm", [known[symbol] for symbol in symbols], [item for _, item in sorted(played, key=lambda pair: pair[0])])


class Damaging:
    """Gives a recording to both feeds, and after each frame damaged ones. What they did to the books is put right by a third, honest feed."""

    def __init__(self, recording: Recording, chance: Random) -> None:
        self._recording = recording
        self._chance = chance
        self._instruments = {instrument.symbol: instrument for instrument in recording.instruments}
        self._honest: DecodingFeed = FEEDS[recording.venue][1](among(recording.instruments))
        self._last: dict[str, bytes] = {}
        self.both = Both(recording.venue, recording.instruments, look_every=50)
        self.damaged = 0

    def run(self, *, every: int) -> Counter[str]:
        """All of it, with a damaged frame after each that changes a book, and after one in `every` of the others."""
        for item in self._recording.frames:
            if isinstance(item, tuple):
                self._honest.snapshot(*item)  # type: ignore[attr-defined]
                self.both.snapshot(*item)
                self._harmed(self.both.snapshot(item[0], damaged(item[1], self._chance)))
                continue
            said = self._honest.take(item)
            self.both.take(item)
            changes = isinstance(said, Taken) and any(isinstance(event, BookChange) for event in said.events)
            if isinstance(said, Taken):
                self._last.update({event.symbol: item for event in said.events if isinstance(event, BookChange)})
            if changes or self._chance.randrange(every) == 0:
                self._harmed(self.both.take(damaged(item, self._chance)))
                self.damaged += 1
        return Counter(scanned=self.both.hot.scanned, decoded=self.both.hot.decoded, damaged=self.damaged)

    def _harmed(self, said: Taken | Reject) -> None:
        """Put the books right if a damaged frame was taken, or has cost one of them."""
        taken = isinstance(said, Taken) and bool(said.events)
        if taken or any((book := self.both.decoding.book(symbol)) is None or not book.usable for symbol in self._last):
            self._put_right()

    def _put_right(self) -> None:
        """Begin every book anew from the honest one. Upbit sends whole books by itself."""
        venue = self._recording.venue
        if venue == "upbit":
            return
        self.both.lose()
        for symbol, frame in self._last.items():
            book = self._honest.book(symbol)
            if book is None:
                continue
            bids, asks = (self._texts(symbol, book.levels(side)) for side in (1, -1))
            message = json.loads(frame)
            if venue == "bybit":
                message["type"] = "snapshot"
                message["data"] |= {"b": bids, "a": asks}
                self.both.take(encoded(message))
            else:
                # The last frame spans its own end, so that a snapshot of then bridges to the next one.
                self.both.take(frame)
                of = message.get("data", message)
                self.both.snapshot(symbol, encoded({"lastUpdateId": of["u"], "E": of["E"], "T": of["T"], "bids": bids, "asks": asks}))

    def _texts(self, symbol: str, levels: dict[int, int]) -> list[tuple[str, str]]:
        instrument = self._instruments[symbol]
        return [(f"{instrument.quantum * ticks:f}", f"{instrument.lot * lots:f}") for ticks, lots in levels.items()]


def recorded(data_dir: str, seed: int) -> dict[str, int]:
    """Every recording with its damaged frames: how many were scanned, decoded and damaged, by venue. Raises AssertionError where the ways differ."""
    counts: Counter[str] = Counter()
    for number, recording in enumerate(recordings(Path(data_dir))):
        found = Damaging(recording, Random(f"{seed} {number}")).run(every=20)
        counts.update({f"{recording.venue} {name}": count for name, count in found.items()})
    return counts


assert ROW.names is not None
assert ROW.names[:4] == ("exchange_ns", "receive_ns", "ticks", "lots")

if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
