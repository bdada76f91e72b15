"""The engine without its connections: every input goes in here, live and when a run is decided again, and what comes out is what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from interlock.domain.errors import DamagedState
from interlock.domain.instruments import Instrument
from interlock.engine.edge import EdgeCollapse, EdgeFold, EdgeRule
from interlock.engine.inputs import Input, Kind
from interlock.engine.side import Action, Bar, OurSide, Place, TakeBack
from interlock.gate.frames import Followed
from interlock.gate.frames import decode as decode_frame
from interlock.market.columns import RowKind
from interlock.simulate.settings import ReplaySettings
from interlock.simulate.world import Strategy
from interlock.venues.feed import Reject, Taken, is_apart
from interlock.venues.hot import Columns, HotFeed

Said = Columns | Reject
OnSnapshot = Callable[[str, bytes], Taken | Reject]
_ANSWERS = msgspec.msgpack.Decoder(list[tuple[int, str]])
_OF_BOOKS = (int(RowKind.DEPTH), int(RowKind.CLEAR))
_ACTIONS = msgspec.msgpack.Encoder()


class Reading(msgspec.Struct, frozen=True):
    """One connection's reader: its compiled feed, the number of its first instrument, and what takes the books that are asked for."""

    feed: HotFeed
    first: int
    on_snapshot: OnSnapshot


class Core:
    """`take` every input in the order in which it came. `said` is what the last frame said; `edge` is None where no rule asks for it."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        settings: ReplaySettings,
        strategy: Strategy,
        readings: Sequence[Reading],
        books: Sequence[int],
        epoch_ns: int,
        edge: EdgeRule | None = None,
    ) -> None:
        self._readings = tuple(readings)
        self._instruments = tuple(instruments)
        self._books = tuple(books)
        self.said: Said = Columns("nothing")
        self._lost = False
        self.side = OurSide(instruments, settings, strategy, self._levels, epoch_ns)
        self.edge = None if edge is None else EdgeFold(instruments, edge, self._mid_twice)

    def take(self, one: Input) -> list[Action]:
        """What is to be done after an input. Raises DamagedState for one that no engine can have written."""
        if self.edge is None or self.edge.due_ns > one.now_ns:
            return self._take(one)
        # By the books as they stood until now.
        collapsed: list[Action] = [*self.edge.due(one.now_ns)]
        return collapsed + self._take(one)

    def _take(self, one: Input) -> list[Action]:
        side, now_ns = self.side, one.now_ns
        match one.kind:
            case Kind.FRAME:
                reading = self._readings[one.number]
                self.said = reading.feed.columns(one.data, now_ns)
                return self._bar_lost(one.number, now_ns) + self._rows(reading, now_ns)
            case Kind.ANSWER:
                return self._answer(self._readings[one.number], one.data, now_ns) + self._bar_lost(one.number, now_ns)
            case Kind.LOST:
                self._lose(self._readings[one.number].feed)
                return self._bar_lost(one.number, now_ns)
            case Kind.FRESH:
                return side.fresh(one.number, one.data == b"1", now_ns)
            case Kind.GATE:
                return side.gate_trades(one.number == 1, now_ns)
            case Kind.TOLD:
                told = decode_frame(one.data)
                if not isinstance(told, Followed):
                    raise DamagedState(f"expected what a gate tells of orders, found {type(told).__name__}")
                if self.edge is not None:
                    self.edge.told(told.orders, now_ns)
                return side.told(told, now_ns)
            case Kind.DECIDED:
                found: list[Action] = []
                for seq, client_id in answers(one):
                    if client_id and self.edge is not None:
                        self.edge.permitted(client_id, now_ns)
                    found += side.permitted(seq, client_id, now_ns) if client_id else side.denied_by_gate(seq, now_ns)
                return found
            case Kind.UNDECIDED:
                return side.forget_undecided(now_ns)
            case Kind.TIMER:
                return side.timer(now_ns)
        raise DamagedState(f"expected an input, found kind {one.kind}")

    def _rows(self, reading: Reading, now_ns: int) -> list[Action]:
        said = self.said
        if isinstance(said, Reject) or said.rows == 0:
            return []
        rows = reading.feed.rows
        if reading.first:
            rows["instrument"][: said.rows] += reading.first
        found: list[Action] = []
        if is_apart(said.venue_ns, now_ns) and int(rows["kind"][said.rows - 1]) in _OF_BOOKS:
            # The levels are kept, for the next frame tells what is different from them; but nothing is decided on them.
            found = self.side.fresh(int(rows["instrument"][0]), False, now_ns)
        return found + self.side.rows(rows, said.rows, now_ns)

    def _answer(self, reading: Reading, data: bytes, now_ns: int) -> list[Action]:
        symbol, _, body = data.partition(b"\n")
        taken = reading.on_snapshot(symbol.decode(), body)
        self.said = taken if isinstance(taken, Reject) else reading.feed.put(taken, now_ns)
        return self._rows(reading, now_ns)

    def _lose(self, feed: Any) -> None:
        feed.lose()
        self._lost = True

    def _bar_lost(self, number: int, now_ns: int) -> list[Action]:
        """What a frame or a break has made of the books of a connection: one that is not whole any more is not quoted on from now on.

        That it may be again is told as FRESH, by whoever knows its age.
        """
        found: list[Action] = []
        if isinstance(self.said, Reject) or self._lost:
            self._lost = False
            for k, carrier in enumerate(self._books):
                if carrier == number and not self._levels(k)[0]:
                    found += self.side.fresh(k, False, now_ns)
        return found

    def _mid_twice(self, k: int) -> int:
        bid, ask = self.side.top(k)
        return bid + ask if bid and ask and Bar.NO_BOOK not in self.side.bars(k) else 0

    def _levels(self, k: int) -> tuple[dict[int, int], dict[int, int]]:
        feed: Any = self._readings[self._books[k]].feed
        book = feed.book(self._instruments[k].symbol)
        return ({}, {}) if book is None or not book.usable else (book.levels(1), book.levels(-1))


def answers(one: Input) -> list[tuple[int, str]]:
    """What an input of kind DECIDED tells of proposals: our number and the client id, which is empty for a denial."""
    return _ANSWERS.decode(one.data)


def told_actions(actions: Sequence[Action]) -> bytes:
    """What was wanted, as the log keeps it."""
    return _ACTIONS.encode([_plain(one) for one in actions])


def _plain(action: Action) -> list[Any]:
    if isinstance(action, TakeBack):
        return ["cancel", action.client_id]
    if isinstance(action, EdgeCollapse):
        return ["edge", action.measured_bps, action.threshold_bps]
    assert isinstance(action, Place)
    return ["place", action.seq, action.instrument, action.side, action.tif, action.ticks, action.lots, action.reduce_only]
