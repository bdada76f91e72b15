"""One decision of a run that is over, as it was: decided again up to it, what the kernel saw is looked at while it still stands.

Everything comes out of the log of inputs and the code that runs live (`again.core_of`); what the log has no answer to is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from interlock.engine.again import core_of
from interlock.engine.core import Core, answers, told_actions
from interlock.engine.edge import EdgeRule
from interlock.engine.inputs import Header, Input, InputsRead, Kind, begun
from interlock.engine.side import Action, Place
from interlock.simulate.settings import ReplaySettings
from interlock.simulate.world import Strategy
from interlock.venues.hot import Columns

LEVELS: Final = 5
"""How many prices of each side of a book are told."""


@dataclass(frozen=True, slots=True)
class BookInput:
    """An input that changed a book: its number in the log, and what it said (the venue's time and update number; 0 where it has none)."""

    number: int
    one: Input
    what: str
    venue_ns: int
    update: int


@dataclass(frozen=True, slots=True)
class Moment:
    """A decision. `books`, `depth` and `state` are copies of what the kernel had; `levels` the best prices of each side, ticks and lots.

    `same`: the log says that exactly this was wanted then. `answered` is the input that told what became of it, None if none did; `client_id` is
    what the gate gave it, empty for a denial.
    """

    header: Header
    number: int
    trigger: Input
    said: Columns | None
    place: Place
    beside: tuple[Action, ...]
    same: bool
    tag: int
    books: np.ndarray
    depth: np.ndarray
    params: np.ndarray
    state: np.ndarray
    levels: tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]
    book_input: BookInput | None
    book_ns: int
    answered: Input | None = None
    client_id: str = ""


def log_of(folder: Path, pattern: str, strategy: str, sequence: int) -> Path | None:
    """The log of the engine life that can have made a proposal: the latest of the strategy that began below its number. Raises DamagedState."""
    found: tuple[int, Path] | None = None
    for path in begun(folder, pattern):
        header = InputsRead(path).header
        if strategy in ("", header.strategy) and header.sequence_base < sequence and (found is None or header.sequence_base > found[0]):
            found = (header.sequence_base, path)
    return None if found is None else found[1]


def moment_of(path: Path, settings: ReplaySettings, strategy: Strategy, sequence: int, *, edge: EdgeRule | None = None) -> Moment | None:
    """The decision behind a proposal's number; None where the log has none of it. Raises DamagedState for a log that is damaged."""
    read = InputsRead(path)
    header = read.header
    core = core_of(header, settings, strategy, edge)
    wanted = sequence - header.sequence_base
    last: dict[int, BookInput] = {}
    inputs = iter(read)
    number = -1
    for one in inputs:
        if one.kind is Kind.ACTIONS:
            continue
        if one.kind is Kind.END:
            return None
        number += 1
        actions = core.take(one)
        said = core.said if one.kind in (Kind.FRAME, Kind.ANSWER) and isinstance(core.said, Columns) else None
        if said is not None and said.rows:
            k = _book_changed(core, one)
            if k is not None:
                last[k] = BookInput(number, one, said.what, said.venue_ns, said.last_update)
        place = next((each for each in actions if isinstance(each, Place) and each.seq == wanted), None)
        if place is not None:
            return _seen(header, core, number, one, said, place, actions, last.get(place.instrument), inputs)
    return None


def _book_changed(core: Core, one: Input) -> int | None:
    """Which instrument's book an input changed, told by the time that the side keeps of it."""
    return next((k for k in range(len(core.side.instruments)) if core.side.book_ns(k) == one.now_ns), None)


def _seen(
    header: Header,
    core: Core,
    number: int,
    trigger: Input,
    said: Columns | None,
    place: Place,
    actions: list[Action],
    book_input: BookInput | None,
    rest: Iterator[Input],
) -> Moment:
    side = core.side
    world = side.world
    # Looked at before anything else is consumed: an input changes books first, then the kernel decides, and then they stand until the next.
    seen: dict[str, Any] = {
        "tag": int(world.orders[place.slot]["tag"]),
        "books": world.books.copy(),
        "depth": world.depth.copy(),
        "params": world.params.copy(),
        "state": world.state.copy(),
        "levels": levels_of(world.books[place.instrument], world.depth),
        "book_ns": side.book_ns(place.instrument),
    }
    following = next(rest, None)
    same = following is not None and following.kind is Kind.ACTIONS and following.data == told_actions(actions)
    answered, client_id = _answer(rest, place.seq)
    return Moment(
        header=header,
        number=number,
        trigger=trigger,
        said=said,
        place=place,
        beside=tuple(each for each in actions if each is not place),
        same=same,
        book_input=book_input,
        answered=answered,
        client_id=client_id,
        **seen,
    )


def levels_of(book: Any, depth: np.ndarray) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """The best prices of a book's ladder with their sizes, ticks and lots: bids from the highest down, asks from the lowest up."""

    def side(at: int, cells: range) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        for cell in cells:
            lots = int(depth[at + cell])
            if lots:
                found.append((int(book["base_ticks"]) + cell * int(book["cell_ticks"]), lots))
                if len(found) == LEVELS:
                    break
        return tuple(found)

    bids = side(int(book["bids_at"]), range(int(book["bid_cell"]), -1, -1)) if book["bid_lots"] else ()
    asks = side(int(book["asks_at"]), range(int(book["ask_cell"]), int(book["cells"]))) if book["ask_lots"] else ()
    return bids, asks


def _answer(rest: Iterator[Input], seq: int) -> tuple[Input | None, str]:
    for one in rest:
        if one.kind is Kind.DECIDED:
            for number, client_id in answers(one):
                if number == seq:
                    return one, client_id
    return None, ""
