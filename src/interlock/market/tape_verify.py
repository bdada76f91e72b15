"""Does a tape say what its raw frames say? Checks that share no code with the importer where that matters.

The frames are decoded again from the raw bytes by a plain reader (a port, one a venue), the book is rebuilt with
dicts and heaps, and the venue's own best levels are held against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from interlock.market.columns import RowKind
from interlock.market.plain_book import PlainBook
from interlock.market.tape import Rows, Tape

EXCHANGE_TOLERANCE_NS = 0
"""Rows carry exchange times that were put in order; recorded ones may not go back at all within a stream."""


class FrameFacts(NamedTuple):
    """What the raw bytes of a frame say. kind: depth, top, trade, snapshot or other; ids are 0 where there are none.
    `symbol` names the stream whose ids these are; of a snapshot only where the depth
    events count on from it. `rows` is how many rows it must have given if it gave any."""

    recorded_ns: int
    kind: str
    symbol: str = ""
    first: int = 0
    last: int = 0
    previous: int = 0
    trade_id: int = 0
    rows: int = 0


FrameReader = Callable[[bytes], FrameFacts]
"""Reads a recorded line. Raises ValueError for one that it cannot read."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check: how many things were looked at, how many were wrong, and the first of those with its place.
    `applies` is False where the tape has nothing to look at."""

    name: str
    applies: bool
    checked: int
    defects: int
    first: str | None = None


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """All checks of a tape; `passed` if none found a defect."""

    tape: str
    digest: str
    passed: bool
    checks: tuple[Check, ...]


class _Tally:
    """A check being made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.checked = 0
        self.defects = 0
        self.first: str | None = None

    def defect(self, message: str, count: int = 1) -> None:
        self.defects += count
        if self.first is None:
            self.first = message

    def expect(self, good: npt.NDArray[np.bool_], describe: Callable[[int], str]) -> None:
        """Count an array of answers; `describe` says what is wrong with an index."""
        self.checked += len(good)
        bad = np.flatnonzero(~good)
        if len(bad):
            self.defect(describe(int(bad[0])), len(bad))

    def done(self) -> Check:
        return Check(name=self.name, applies=self.checked > 0, checked=self.checked, defects=self.defects, first=self.first)


def verify(path: Path, readers: Mapping[str, FrameReader]) -> VerifyReport:
    """Check a tape. `readers` goes by venue; frames of a tape whose venue has none are not read again.

    Raises what `Tape.open` raises, DamagedState for a digest that does not fit among it.
    """
    with Tape.open(path, verify_digests=True) as tape:
        digests = _Tally("digests")
        digests.checked = len(tape.info.files)
        checks = [digests, *_order(tape), _counts(tape), _receive_times(tape)]
        venues = {instrument.venue for instrument in tape.instruments}
        if len(tape.frames) and len(venues) == 1 and (reader := readers.get(venues.pop())):
            checks += _raw(tape, reader)
        checks += _books(tape)
        done = tuple(check.done() for check in checks)
        return VerifyReport(tape=path.name, digest=tape.digest, passed=not any(check.defects for check in done), checks=done)


def place(tape: Tape, frame: int) -> str:
    """Where a frame was recorded: `file, line n`."""
    entry = tape.frames[frame]
    return f"{tape.info.sources[int(entry['file'])].name}, line {int(entry['line'])}"


def _row_place(tape: Tape, row: int) -> str:
    if len(tape.frames):
        return f"row {row} ({place(tape, int(tape.rows['frame'][row]))})"
    return f"row {row}"


def _order(tape: Tape) -> Iterator[_Tally]:
    rows = tape.rows
    receive, instrument = rows["receive_ns"], rows["instrument"]
    tally = _Tally("receive_order")
    same = (receive[1:] == receive[:-1]) & (instrument[1:] >= instrument[:-1])
    tally.expect(
        (receive[1:] > receive[:-1]) | same,
        lambda i: f"{_row_place(tape, i + 1)}: received before the row in front of it",
    )
    yield tally

    tally = _Tally("exchange_order")
    order = np.arange(len(rows)) if tape.exchange_order is None else np.asarray(tape.exchange_order)
    seen = np.zeros(len(rows), bool)
    seen[order[order < len(rows)]] = True
    tally.expect(seen, lambda i: f"{_row_place(tape, i)}: missing from the exchange order")
    time, number = rows["exchange_ns"][order], instrument[order]
    tied = (time[1:] == time[:-1]) & ((number[1:] > number[:-1]) | ((number[1:] == number[:-1]) & (order[1:] > order[:-1])))
    tally.expect(
        (time[1:] > time[:-1]) | tied,
        lambda i: f"{_row_place(tape, int(order[i + 1]))}: out of place in the exchange order",
    )
    yield tally

    tally = _Tally("exchange_time")
    for n in range(len(tape.instruments)):
        for kinds in _STREAMS:
            at = np.flatnonzero((instrument == n) & np.isin(rows["kind"], kinds))
            times = rows["exchange_ns"][at]
            tally.expect(
                times[1:] >= times[:-1] - EXCHANGE_TOLERANCE_NS,
                lambda i, at=at: (  # type: ignore[misc]
                    f"{_row_place(tape, int(at[i + 1]))}: the venue's time goes back within a stream"
                ),
            )
    yield tally


_STREAMS = (
    (RowKind.DEPTH, RowKind.CLEAR),
    (RowKind.TRADE, RowKind.BLOCK_TRADE),
    (RowKind.TOP,),
    (RowKind.MARK, RowKind.FUNDING_NEXT),
    (RowKind.FUNDING,),
    (RowKind.BAR_OPEN, RowKind.BAR_HIGH, RowKind.BAR_LOW, RowKind.BAR_CLOSE),
)


def _counts(tape: Tape) -> _Tally:
    tally = _Tally("counts")
    rows, frames = tape.rows, tape.frames
    found = np.bincount(rows["kind"], minlength=len(RowKind))
    for kind in RowKind:
        tally.checked += 1
        if found[kind] != tape.info.kinds.get(kind.name, 0):
            tally.defect(f"{kind.name}: expected {tape.info.kinds.get(kind.name, 0)} rows, found {int(found[kind])}")
    if len(frames):
        given = np.bincount(rows["frame"], minlength=len(frames))
        tally.expect(
            given == frames["rows"],
            lambda i: f"{place(tape, i)}: expected {int(frames['rows'][i])} rows, found {int(given[i])}",
        )
        some = np.flatnonzero(frames["rows"] > 0)
        first, count = frames["first_row"][some].astype(np.int64), frames["rows"][some].astype(np.int64)
        last = np.minimum(first + count, len(rows)) - 1
        tally.expect(
            (rows["frame"][np.minimum(first, len(rows) - 1)] == some) & (rows["frame"][last] == some),
            lambda i: f"{place(tape, int(some[i]))}: its rows are not where the frame index says",
        )
    return tally


def _receive_times(tape: Tape) -> _Tally:
    """A row was received when its frame was, corrected; later only by the clamp, or with the snapshot it waited for."""
    tally = _Tally("receive_times")
    if len(tape.frames):
        rows, clock = tape.rows, tape.info.clock
        late = rows["receive_ns"] - tape.frames["receive_ns"][rows["frame"]] - clock.offset_ns
        clamped = (late > 0) & (late <= clock.tolerance_ns)
        bridged = np.isin(rows["receive_ns"], rows["receive_ns"][rows["kind"] == RowKind.CLEAR]) & (late > 0)
        tally.expect(
            (late == 0) | (clamped if clock.clamped else False) | bridged,
            lambda i: f"{_row_place(tape, i)}: received {int(late[i])} ns after its frame",
        )
    return tally


def _raw(tape: Tape, reader: FrameReader) -> list[_Tally]:
    content, chain, trades = _Tally("frame_content"), _Tally("depth_sequence"), _Tally("trade_ids")
    clock = _Tally("recorded_time")
    last_update: dict[str, tuple[int, int]] = {}
    last_trade: dict[str, int] = {}
    last_time: dict[int, int] = {}
    frames = tape.frames.tolist()
    names = {name: at for at, name in enumerate(tape.frames.dtype.names or ())}
    for number, entry in enumerate(frames):
        content.checked += 1
        try:
            facts = reader(tape.raw_frame(number))
        except ValueError as error:
            content.defect(f"{place(tape, number)}: cannot be read: {error}")
            continue
        indexed = tuple(entry[names[name]] for name in ("receive_ns", "first_update", "last_update", "previous_update"))
        if indexed != (facts.recorded_ns, facts.first, facts.last, facts.previous):
            content.defect(
                f"{place(tape, number)}: the frame index says {indexed}, the frame says "
                f"{(facts.recorded_ns, facts.first, facts.last, facts.previous)}"
            )
        if entry[names["rows"]] not in (0, facts.rows):
            content.defect(f"{place(tape, number)}: expected {facts.rows} rows, found {entry[names['rows']]}")
        clock.checked += 1
        file = entry[names["file"]]
        if facts.recorded_ns < last_time.get(file, 0) - tape.info.clock.tolerance_ns:
            clock.defect(f"{place(tape, number)}: recorded before the line in front of it")
        last_time[file] = facts.recorded_ns
        if facts.kind == "depth":
            chain.checked += 1
            before = last_update.get(facts.symbol)
            if before is not None and facts.previous != before[0]:
                chain.defect(f"{place(tape, number)}: expected pu {before[0]} (the u of {place(tape, before[1])}), found {facts.previous}")
            last_update[facts.symbol] = (facts.last, number)
        elif facts.kind == "snapshot" and facts.symbol:
            last_update[facts.symbol] = (facts.last, number)  # the chain begins anew
        elif facts.kind == "trade":
            trades.checked += 1
            if facts.trade_id <= last_trade.get(facts.symbol, -1):
                trades.defect(f"{place(tape, number)}: expected a trade id above {last_trade[facts.symbol]}, found {facts.trade_id}")
            last_trade[facts.symbol] = facts.trade_id
    return [content, clock, chain, trades]


def _books(tape: Tape) -> list[_Tally]:
    crossed, tops = _Tally("book_not_crossed"), _Tally("venue_top_agrees")
    for n in range(len(tape.instruments)):
        rows = tape.rows[tape.rows["instrument"] == n]
        depth = rows[(rows["kind"] == RowKind.DEPTH) | (rows["kind"] == RowKind.CLEAR)]
        states = _rebuild(depth, len(tape.frames) > 0)
        at = states[:, 0]
        good = (states[:, 1] < states[:, 3]) | (states[:, 1] == 0) | (states[:, 3] == 0)
        crossed.expect(
            good,
            lambda i, states=states, at=at: (  # type: ignore[misc]
                f"{tape.instruments[n].key}: bid {states[i, 1]} ticks is not below ask {states[i, 3]} after "  # noqa: B023
                + (place(tape, int(at[i])) if len(tape.frames) else f"its depth row {at[i]}")
            ),
        )
        if len(tape.frames):
            _compare_tops(tape, tops, rows[rows["kind"] == RowKind.TOP], states)
    return [crossed, tops]


def _rebuild(depth: Rows, framed: bool) -> npt.NDArray[np.int64]:
    """(frame, bid ticks, bid lots, ask ticks, ask lots) after the rows of each frame; without frames, after those of each receive time
    (then the row's position instead of the frame)."""
    book = PlainBook()
    states: list[tuple[int, int, int, int, int]] = []
    marks = (depth["frame"] if framed else depth["receive_ns"]).tolist()
    ends = [*(a != b for a, b in pairwise(marks)), True]
    # A snapshot and the diffs that were kept for it become a book only together.
    times = depth["receive_ns"].tolist()
    bridging = -1
    columns = (depth[name].tolist() for name in ("kind", "side", "ticks", "lots"))
    for i, (kind, side, ticks, lots) in enumerate(zip(*columns, strict=True)):
        if kind == RowKind.CLEAR:
            book.clear()
            bridging = times[i]
        else:
            book.set(side, ticks, lots)
        if ends[i] and (times[i] != bridging or i + 1 == len(times) or times[i + 1] != bridging):
            states.append((marks[i] if framed else i, *book.top()))
    return np.array(states, np.int64).reshape(-1, 5)


def _compare_tops(tape: Tape, tally: _Tally, top: Rows, states: npt.NDArray[np.int64]) -> None:
    """The book after a depth frame that ends at update id u must have the top of the last bookTicker with an id <= u.

    Frames before the first ticker are left out: whether an earlier one is missing cannot be known.
    """
    if not len(top) or not len(states):
        return
    ids = tape.frames["last_update"]
    bids, asks = top[top["side"] > 0], top[top["side"] < 0]
    top_ids = ids[bids["frame"]].astype(np.int64)
    if not len(bids) or len(bids) != len(asks) or np.any(top_ids[1:] < top_ids[:-1]):
        tally.checked += 1
        tally.defect("bookTicker rows: expected a bid and an ask each, by rising update id")
        return
    book_ids = ids[states[:, 0]].astype(np.int64)
    at = np.searchsorted(top_ids, book_ids, side="right") - 1
    states, at = states[at >= 0], at[at >= 0]
    told = np.column_stack((bids["ticks"][at], bids["lots"][at], asks["ticks"][at], asks["lots"][at]))
    tally.expect(
        np.all(told == states[:, 1:], axis=1),
        lambda i: (
            f"{place(tape, int(states[i, 0]))}: the book's top (bid, lots, ask, lots) is {states[i, 1:].tolist()}, the "
            f"venue says {told[i].tolist()} ({place(tape, int(bids['frame'][at[i]]))})"
        ),
    )
