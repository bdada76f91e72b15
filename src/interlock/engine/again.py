"""Decide a run again from its log of inputs alone, and hold each decision against what the engine wanted then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from interlock.domain.errors import DamagedState
from interlock.engine.core import Core, answers, told_actions
from interlock.engine.edge import EdgeCollapse, EdgeRule
from interlock.engine.inputs import Header, Input, InputsRead, Kind
from interlock.engine.lines import hot_lines
from interlock.engine.side import Action, Place, TakeBack
from interlock.simulate.settings import ReplaySettings
from interlock.simulate.world import Strategy

OnProgress = Callable[[int], None]
"""Told the number of inputs that were consumed so far."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first decision that came out otherwise."""

    input: int
    """Its number in the log, from 0."""
    kind: str
    now_ns: int
    then: list[Any]
    again: list[Any]


@dataclass
class DecidedAgain:
    """What came of it. `proposals` are by the sequence number that the gate saw, `taken_back` and `collapses` in order.

    `permitted`: by the same numbers, the client ids that the gate gave to what it permitted, as the engine was told.
    """

    inputs: int = 0
    frames: int = 0
    decisions: int = 0
    actions: int = 0
    last_ns: int = 0
    """The now of the last input."""
    cut: bool = True
    """Whether the log was cut off: the engine was killed, and what it consumed last is not there."""
    difference: Difference | None = None
    proposals: dict[int, Place] = field(default_factory=dict)
    taken_back: list[str] = field(default_factory=list)
    collapses: list[EdgeCollapse] = field(default_factory=list)
    permitted: dict[int, str] = field(default_factory=dict)


def decide_again(
    path: Path,
    settings: ReplaySettings,
    strategy: Strategy,
    on_progress: OnProgress | None = None,
    *,
    edge: EdgeRule | None = None,
) -> tuple[Header, DecidedAgain]:
    """Read a log to its end or to the first difference. Raises DamagedState for a log that is damaged, NotBegun for one without a header.

    The last input of a log that was cut off may lack what the engine wanted after it: that is not counted as a difference.
    """
    read = InputsRead(path)
    header, found = read.header, DecidedAgain()
    core = core_of(header, settings, strategy, edge)
    before: tuple[Input, list[Action]] | None = None
    for one in read:
        if one.kind is Kind.ACTIONS:
            wanted = before
            before = None
            if not _same(found, wanted, one):
                return header, found
            continue
        if one.kind is Kind.END:
            found.cut = False
            break
        found.last_ns = one.now_ns
        if before is not None and not _same(found, before, None):
            return header, found
        try:
            actions = core.take(one)
            if one.kind is Kind.DECIDED:
                found.permitted.update((header.sequence_base + number, client_id) for number, client_id in answers(one) if client_id)
        except (IndexError, ValueError, msgspec.MsgspecError) as error:
            # The engine would have fallen over it, and what it falls over it does not write down.
            raise DamagedState(
                f"{path}: input {found.inputs} ({one.kind.name.lower()}) is none that an engine consumed ({error}); the file is damaged"
            ) from error
        before = (one, actions)
        found.inputs += 1
        found.frames += one.kind is Kind.FRAME
        found.decisions = core.side.decisions
        if on_progress is not None and found.inputs % 10_000 == 0:
            on_progress(found.inputs)
        for action in actions:
            found.actions += 1
            if isinstance(action, Place):
                found.proposals[header.sequence_base + action.seq] = action
            elif isinstance(action, EdgeCollapse):
                found.collapses.append(action)
            else:
                assert isinstance(action, TakeBack)
                found.taken_back.append(action.client_id)
    if before is not None and not found.cut:
        _same(found, before, None)
    return header, found


def core_of(header: Header, settings: ReplaySettings, strategy: Strategy, edge: EdgeRule | None = None) -> Core:
    """An engine's core as it was at the start."""
    lines = hot_lines(header.instruments)
    carrier = {k: number for number, line in enumerate(lines) for k in line.books}
    books = [carrier[k] for k in range(len(header.instruments))]
    core = Core(header.instruments, settings, strategy, [line.reading for line in lines], books, header.epoch_ns, edge)
    core.side.world.state[:] = header.state
    return core


def _same(found: DecidedAgain, again: tuple[Input, list[Action]] | None, then: Input | None) -> bool:
    """Whether an input led to the same then and now; notes the difference if not."""
    actions = [] if again is None else again[1]
    said = told_actions(actions) if actions else b""
    was = b"" if then is None else then.data
    if said == was:
        return True
    one = again[0] if again is not None else then
    assert one is not None
    found.difference = Difference(max(found.inputs - 1, 0), one.kind.name.lower(), one.now_ns, _plain(was), _plain(said))
    return False


def _plain(data: bytes) -> list[Any]:
    return list(msgspec.msgpack.decode(data)) if data else []
