"""`interlock replay --from-run DIR`: decide a live run again from what its engine wrote down, and hold it against the gate's journal.

Nothing but the engine's logs of inputs, the copy of the configuration beside them and the journal is read. Each engine life of the run has a log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.domain.errors import BadInput
from interlock.domain.instruments import Instrument
from interlock.engine.again import DecidedAgain, decide_again
from interlock.engine.engine import PROPOSED_TIFS, TAKEN_BACK
from interlock.engine.inputs import Header, InputsRead
from interlock.engine.side import Place
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk, recover
from interlock.run.config import load_config
from interlock.run.folder_names import CONFIG_FILE, ENGINE_FOLDER, INPUTS, gate_folder_of
from interlock.run.live_plan import file_digest, live_plan

ENGINE_ACTOR = "engine"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first decision that is not what the journal has; `journal` and `again` say the same thing, field by field."""

    log: str
    what: str
    journal: dict[str, Any]
    again: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FromRun:
    """What came of deciding a run again. `intents` are those of the journal that were held against decisions; `mismatch` is None where all agree."""

    logs: int
    inputs: int
    frames: int
    decisions: int
    proposals: int
    cancels: int
    intents: int
    cut: int
    mismatch: Mismatch | None


@dataclass
class _Journal:
    intents: dict[tuple[str, int], r.Intent]
    cancels: dict[str, int]
    """By client id: when the engine wanted it, CLOCK_BOOTTIME."""
    drills: set[str]
    """Grants for a kill drill: their orders are the gate's own."""


def decide_run_again(folder: Path, say: Callable[[str], None]) -> FromRun:
    """Decide every engine life of a run again. Raises BadInput for a folder that holds no run, DamagedState for damaged files."""
    config_path = folder / CONFIG_FILE
    logs = sorted((folder / ENGINE_FOLDER).glob(INPUTS))
    if not config_path.exists() or not logs:
        raise BadInput(folder, "", f"expected a run with {CONFIG_FILE} and {ENGINE_FOLDER}/{INPUTS}, found none; give the folder of a run")
    config = load_config(config_path)
    # Of the result; before there were layers it was that of the file.
    digests = (config.digest, file_digest(config_path))
    journal = _journal(gate_folder_of(folder) / "journal")
    seen = [0] * 6
    cut = 0
    mismatch: Mismatch | None = None
    for log in logs:
        header = InputsRead(log).header
        if header.config not in digests:
            raise BadInput(config_path, "", f"expected the configuration that {log.name} was made with, found another one")
        plan = live_plan(config, config_path, header.instruments)
        say(f"deciding {log.name} again")
        header, found = decide_again(log, plan.settings, plan.strategy, lambda inputs: say(f"{inputs} inputs"))
        cut += found.cut
        mismatch = _difference(log, found) or _held_against(log, header, found, plan.instruments, journal)
        intents = sum(1 for strategy, number in journal.intents if strategy == header.strategy and number in found.proposals)
        for at, more in enumerate((found.inputs, found.frames, found.decisions, len(found.proposals), len(found.taken_back), intents)):
            seen[at] += more
        if mismatch is not None:
            break
    inputs, frames, decisions, proposals, cancels, intents = seen
    return FromRun(len(logs), inputs, frames, decisions, proposals, cancels, intents, cut, mismatch)


def _journal(folder: Path) -> _Journal:
    found = _Journal({}, {}, set())

    def take(_lsn: int, payload: bytes) -> None:
        record = r.decode(payload)
        if isinstance(record, r.Intent):
            found.intents[record.strategy, record.sequence] = record
        elif isinstance(record, r.Armed) and record.grant.purpose is r.Purpose.DRILL:
            found.drills.add(record.grant.grant_id)
        elif isinstance(record, r.Permit) and record.grant_id in found.drills:
            own = next(key for key, intent in found.intents.items() if intent.client_id == record.client_id)
            del found.intents[own]
        elif isinstance(record, r.CancelWanted) and record.actor == ENGINE_ACTOR and record.reason == TAKEN_BACK:
            found.cancels.setdefault(record.client_id, record.boot_ns)

    recover(SystemDisk(), folder, schema=r.SCHEMA, consume=take)
    return found


def _difference(log: Path, found: DecidedAgain) -> Mismatch | None:
    one = found.difference
    if one is None:
        return None
    return Mismatch(log.name, f"input {one.input} ({one.kind}) at {one.now_ns}", {"wanted": one.then}, {"wanted": one.again})


def _held_against(
    log: Path, header: Header, found: DecidedAgain, instruments: tuple[Instrument, ...], journal: _Journal
) -> Mismatch | None:
    """Each intent that the journal has of this engine's life against the decision of that number."""
    last = max(found.proposals, default=header.sequence_base)
    for (strategy, number), intent in sorted(journal.intents.items(), key=lambda one: one[0]):
        if strategy != header.strategy or not header.sequence_base < number <= last:
            continue
        place = found.proposals.get(number)
        was = _of_journal(intent)
        again = {} if place is None else _of_decision(place, instruments)
        if was != again:
            return Mismatch(log.name, f"sequence {number}, client id {intent.client_id}", was, again)
    # The other way round proves nothing: an order that has ended meanwhile is not cancelled any more.
    taken_back = set(found.taken_back)
    mine = {
        one.client_id for (strategy, number), one in journal.intents.items() if strategy == header.strategy and number in found.proposals
    }
    until_boot_ns = found.last_ns - header.boot_offset_ns if found.cut else None
    for client_id in sorted(set(journal.cancels) & mine - taken_back):
        if until_boot_ns is not None and journal.cancels[client_id] > until_boot_ns:
            continue
        return Mismatch(log.name, f"cancel of {client_id}", {"cancel": "wanted by the engine"}, {"cancel": "not wanted"})
    return None


def _of_journal(intent: r.Intent) -> dict[str, Any]:
    return {
        "venue": intent.venue,
        "symbol": intent.symbol,
        "side": int(intent.side),
        "tif": intent.tif.value,
        "ticks": intent.ticks,
        "lots": intent.lots,
        "reduce_only": intent.reduce_only,
    }


def _of_decision(place: Place, instruments: tuple[Instrument, ...]) -> dict[str, Any]:
    return {
        "venue": instruments[place.instrument].venue,
        "symbol": instruments[place.instrument].symbol,
        "side": place.side,
        "tif": PROPOSED_TIFS[place.tif].value,
        "ticks": place.ticks,
        "lots": place.lots,
        "reduce_only": place.reduce_only,
    }
