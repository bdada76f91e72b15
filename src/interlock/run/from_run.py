"""`interlock replay --from-run DIR`: decide a live run again from what its engine wrote down, and hold it against the gate's journal.

Nothing but the engine's logs of inputs, the copy of the configuration beside them and the journal is read. Each engine life of the run has a log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import BadInput
from interlock.domain.instruments import Instrument
from interlock.engine.again import DecidedAgain, decide_again
from interlock.engine.engine import PROPOSED_TIFS, TAKEN_BACK
from interlock.engine.inputs import Header, InputsRead, NotBegun
from interlock.engine.side import Place
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk, recover, require_journal
from interlock.gate.proposals import MOST_PROPOSALS
from interlock.gate.record_reading import read_record
from interlock.gate.verbs import Cause
from interlock.market.compiled import source_digest
from interlock.run.config import load_config
from interlock.run.folder_names import CONFIG_FILE, ENGINE_FOLDER, INPUTS, gate_folder_of
from interlock.run.live_plan import file_digest, live_plan

ENGINE_ACTOR = "engine"
MOST_LOST_NS: Final = 5 * NS_PER_S
"""How much a log that was cut off may lack. Half a second is buffered; the rest is for a machine on which the thread that writes had to wait."""
NS_PER_US: Final = 1_000


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first decision that is not what the journal has; `journal` and `again` say the same thing, field by field."""

    log: str
    what: str
    journal: dict[str, Any]
    again: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FromRun:
    """What came of deciding a run again. `intents` are those of the journal that were held against decisions; `mismatch` is None where all agree.

    `cut` counts the logs that were cut off, and `beyond` the intents that such engines made after what is left of their logs. `other_code`: the
    compiled code that decided then was not this.
    """

    logs: int
    inputs: int
    frames: int
    decisions: int
    proposals: int
    cancels: int
    intents: int
    cut: int
    beyond: int
    other_code: bool
    mismatch: Mismatch | None


@dataclass
class _Journal:
    intents: dict[tuple[str, int], r.Intent]
    permitted: set[str]
    cancels: dict[str, int]
    """By client id: when the engine wanted it, CLOCK_BOOTTIME."""
    edges: list[r.LatchSet]
    """What collapses of a measured edge were latched."""


@dataclass(frozen=True)
class _Life:
    """One engine's log, decided again."""

    log: Path
    header: Header
    found: DecidedAgain

    @property
    def until_boot_ns(self) -> int:
        """CLOCK_BOOTTIME of the last input."""
        return max(self.found.last_ns, self.header.epoch_ns) - self.header.boot_offset_ns


def decide_run_again(folder: Path, say: Callable[[str], None]) -> FromRun:
    """Decide every engine life of a run again. Raises BadInput for a folder that holds no run, DamagedState for damaged files."""
    config_path, kept = folder / CONFIG_FILE, gate_folder_of(folder) / "journal"
    logs = sorted((folder / ENGINE_FOLDER).glob(INPUTS))
    if not config_path.exists() or not logs:
        raise BadInput(folder, "", f"expected a run with {CONFIG_FILE} and {ENGINE_FOLDER}/{INPUTS}, found none; give the folder of a run")
    config = load_config(config_path)
    # Of the result; before there were layers it was that of the file.
    digests = (config.digest, file_digest(config_path))
    require_journal(SystemDisk(), kept)
    journal = _journal(kept)
    lives: list[_Life] = []
    compared = cut = 0
    mismatch: Mismatch | None = None
    for log in logs:
        try:
            header = InputsRead(log).header
        except NotBegun:
            say(f"{log.name}: its engine was killed before it began, nothing is in it")
            cut += 1
            continue
        if header.config not in digests:
            raise BadInput(config_path, "", f"expected the configuration that {log.name} was made with, found another one")
        plan = live_plan(config, config_path, header.instruments)
        say(f"deciding {log.name} again")
        header, found = decide_again(log, plan.settings, plan.strategy, lambda inputs: say(f"{inputs} inputs"), edge=plan.edge)
        lives.append(_Life(log, header, found))
        cut += found.cut
        compared += sum(1 for strategy, number in journal.intents if strategy == header.strategy and number in found.proposals)
        mismatch = _difference(log, found) or _held_against(lives[-1], plan.instruments, journal)
        if mismatch is not None:
            break
    beyond = 0
    if mismatch is None:
        beyond, mismatch = _of_nobody(lives, journal)
        mismatch = mismatch or _measured_by_nobody(lives, journal)
    return FromRun(
        logs=len(logs),
        inputs=sum(life.found.inputs for life in lives),
        frames=sum(life.found.frames for life in lives),
        decisions=sum(life.found.decisions for life in lives),
        proposals=sum(len(life.found.proposals) for life in lives),
        cancels=sum(len(life.found.taken_back) for life in lives),
        intents=compared,
        cut=cut,
        beyond=beyond,
        other_code=any(life.header.source != source_digest() for life in lives),
        mismatch=mismatch,
    )


def _journal(folder: Path) -> _Journal:
    disk, found = SystemDisk(), _Journal({}, set(), {}, [])
    drill_until_ns = -1

    def take(lsn: int, payload: bytes) -> None:
        nonlocal drill_until_ns
        match record := read_record(disk, folder, lsn, payload):
            case r.Armed():
                drill_until_ns = record.grant.expires_boot_ns if record.grant.purpose is r.Purpose.DRILL else -1
            case r.Disarmed(symbol="") | r.Boot():
                drill_until_ns = -1
            case r.Intent() if record.boot_ns > drill_until_ns:
                # Under the grant of a kill drill the gate's own order is decided, which may be denied some times, and no other is permitted.
                found.intents[record.strategy, record.sequence] = record
            case r.Permit():
                found.permitted.add(record.client_id)
            case r.CancelWanted() if record.actor == ENGINE_ACTOR and record.reason == TAKEN_BACK:
                found.cancels.setdefault(record.client_id, record.boot_ns)
            case r.LatchSet(name=Cause.EDGE.value, scope=r.Scope.STRATEGY):
                found.edges.append(record)

    recover(disk, folder, schema=r.SCHEMA, consume=take)
    return found


def _difference(log: Path, found: DecidedAgain) -> Mismatch | None:
    one = found.difference
    if one is None:
        return None
    return Mismatch(log.name, f"input {one.input} ({one.kind}) at {one.now_ns}", {"wanted": one.then}, {"wanted": one.again})


def _held_against(life: _Life, instruments: tuple[Instrument, ...], journal: _Journal) -> Mismatch | None:
    """Each decision of this engine's life against the intent of that number in the journal.

    What the engine was told to be permitted has to be there. Of what was denied the gate need not keep the intent.
    """
    header, found, strategy = life.header, life.found, life.header.strategy
    for number, place in sorted(found.proposals.items()):
        intent, told = journal.intents.get((strategy, number)), found.permitted.get(number)
        again = _of_decision(place, instruments)
        if intent is None and told is None:
            continue
        was = {} if intent is None else _of_journal(intent)
        if told is not None:
            again |= {"client_id": told, "permitted": True}
            if intent is not None:
                was |= {"client_id": intent.client_id, "permitted": intent.client_id in journal.permitted}
        if was != again:
            return Mismatch(life.log.name, f"sequence {number}, client id {told if intent is None else intent.client_id}", was, again)
    # The other way round proves nothing: an order that has ended meanwhile is not cancelled any more.
    taken_back = set(found.taken_back)
    mine = {one.client_id for (name, number), one in journal.intents.items() if name == strategy and number in found.proposals}
    until_boot_ns = found.last_ns - header.boot_offset_ns if found.cut else None
    for client_id in sorted(set(journal.cancels) & mine - taken_back):
        if until_boot_ns is not None and journal.cancels[client_id] > until_boot_ns:
            continue
        return Mismatch(life.log.name, f"cancel of {client_id}", {"cancel": "wanted by the engine"}, {"cancel": "not wanted"})
    return None


def _of_nobody(lives: Sequence[_Life], journal: _Journal) -> tuple[int, Mismatch | None]:
    """The intents that no life decided: how many are from just after the end of a log that was cut off, and the first that is not.

    Whoever else proposes in the strategy's name (a person, the reduction at the stop) numbers an order by the microsecond in which it is made. An
    engine counts on from the microsecond in which it began, which lies behind.
    """
    decided = {(life.header.strategy, number) for life in lives for number in life.found.proposals}
    strategies = {strategy for strategy, _ in decided} | {life.header.strategy for life in lives}
    beyond = 0
    for (strategy, number), intent in sorted(journal.intents.items(), key=lambda one: one[0]):
        if strategy not in strategies or (strategy, number) in decided or _by_hand(intent):
            continue
        before = [life for life in lives if life.header.strategy == strategy and life.header.sequence_base < number]
        life = max(before, key=lambda one: one.header.sequence_base, default=None)
        name = f"sequence {number}, client id {intent.client_id}"
        if life is None or not life.found.cut or intent.created_boot_ns <= life.until_boot_ns:
            log = "no log" if life is None else life.log.name
            return beyond, Mismatch(log, f"{name}, which no engine proposed", _of_journal(intent), {})
        late_ns = intent.created_boot_ns - life.until_boot_ns
        if late_ns > MOST_LOST_NS:
            what = f"{name}, {late_ns / NS_PER_S:.1f} s after the log's end: more is missing than a kill takes away"
            return beyond, Mismatch(life.log.name, what, _of_journal(intent), {})
        beyond += 1
    return beyond, None


def _measured_by_nobody(lives: Sequence[_Life], journal: _Journal) -> Mismatch | None:
    """The first latch of an edge that no engine of its strategy measured.

    The other way round proves nothing: what is latched already is not latched again.
    """
    for latch in journal.edges:
        mine = [life for life in lives if life.header.strategy == latch.subject]
        was = {name: latch.evidence.get(name, "") for name in ("measured_bps", "threshold_bps")}
        measured = [{"measured_bps": one.measured_bps, "threshold_bps": one.threshold_bps} for life in mine for one in life.found.collapses]
        cut = any(life.found.cut and 0 <= latch.boot_ns - life.until_boot_ns <= MOST_LOST_NS for life in mine)
        if mine and was not in measured and not cut:
            return Mismatch(mine[-1].log.name, f"edge of {latch.subject}, which no engine measured", was, {"measured": measured})
    return None


def _by_hand(intent: r.Intent) -> bool:
    return 0 <= intent.sequence - intent.created_boot_ns // NS_PER_US < MOST_PROPOSALS


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
