"""The watcher: sees a violation soon after its record, beats while it sees, and is silent when it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.trace import journals as j
from tests.trace.journals import LIFE, S, Writer, boot, cid

from interlock.domain.clock import NS_PER_MS, ManualClock
from interlock.domain.errors import DamagedState
from interlock.trace.watch import HOLD_NS, Beat, Watcher


def living(folder: Path) -> Writer:
    writer = Writer(folder / "journal")
    writer.segment(LIFE[0])
    for one in j.opening():
        writer.batch([one])
    return writer


def test_a_violation_is_told_with_the_next_beat(tmp_path: Path) -> None:
    writer, clock = living(tmp_path), ManualClock(j.WALL)
    watcher = Watcher(tmp_path / "journal", clock)
    first = watcher.step()
    assert (first.number, first.lsn, first.violations, first.new) == (1, 5, 0, ())
    for one in j.placed(cid(1), 2):
        writer.batch([one])
    assert watcher.step().violations == 0
    writer.batch([j.wire(cid(1), 2.5)])
    beat = watcher.step()
    assert [one.invariant for one in beat.new] == ["S8"]
    assert beat.as_map()["new"][0]["lsn"] == 10
    after = watcher.step()
    assert (after.violations, after.new) == (1, ()), "it is told once and counted on"
    watcher.close()


def test_what_was_wrong_with_a_write_is_told_within_a_second_if_nothing_calls_it_off(tmp_path: Path) -> None:
    writer, clock = living(tmp_path), ManualClock(j.WALL)
    writer.batch(j.placed(cid(1), 2)[:2])
    writer.batch([j.latch("operator", 2.015)])
    writer.batch([j.wire(cid(1), 2.02)])
    writer.batch([j.intent(cid(2), 3), j.permit(cid(2), 3)])
    watcher = Watcher(tmp_path / "journal", clock)
    assert watcher.step().new == ()
    clock.advance(HOLD_NS - NS_PER_MS)
    assert watcher.step().new == ()
    clock.advance(NS_PER_MS)
    assert [one.invariant for one in watcher.step().new] == ["S3"]
    writer.batch([j.wire(cid(2), 3.1)])
    assert watcher.step().new == ()
    writer.batch([j.r("not_sent", 3.1, client_id=cid(2), revision=0, reason="latched")])
    clock.advance(S)
    assert watcher.step().new == (), "it was called off"
    watcher.close()


def test_the_witness_is_followed(tmp_path: Path) -> None:
    writer, path = living(tmp_path), tmp_path / "w"
    watcher = Watcher(tmp_path / "journal", ManualClock(), witness=path)
    assert watcher.step().new == (), "not there yet"
    steps = j.placed(cid(1), 2)
    for one in steps:
        writer.batch([one])
    lines = j.lines_of(steps)
    j.save(path, lines)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"half a line')
    assert watcher.step().new == ()
    j.save(path, [*lines, j.line("RISK+", "place", cid(9), 0, 3 * S, "h", [])])
    assert [(one.invariant, one.witness_line) for one in watcher.step().new] == [("S1", 2)]
    watcher.close()


@pytest.mark.parametrize(("again", "found"), [(False, []), (True, ["S1"])])
def test_a_send_without_its_beginning_that_was_there_before_is_of_another_life_unless_another_looked_before(
    tmp_path: Path, again: bool, found: list[str]
) -> None:
    """A checker in the place of one that died has no past of its own: what its own life sent it tells at once."""
    writer, path, clock = living(tmp_path), tmp_path / "w", ManualClock(j.WALL)
    steps = j.placed(cid(1), 2)
    for one in steps[:2]:
        writer.batch([one])
    j.save(path, j.lines_of(steps))
    watcher = Watcher(tmp_path / "journal", clock, witness=path, again=again)
    assert watcher.step().new == ()
    clock.advance(HOLD_NS)
    assert [one.invariant for one in watcher.step().new] == found
    watcher.close()


def test_a_broken_chain_is_told_once(tmp_path: Path) -> None:
    writer = living(tmp_path)
    watcher = Watcher(tmp_path / "journal", ManualClock())
    watcher.step()
    writer.chain = bytes(32)
    writer.batch([j.recon(3)])
    assert [one.invariant for one in watcher.step().new] == ["S13"]
    assert watcher.step().new == ()
    watcher.close()


def test_run_beats_and_pauses_until_it_is_told_to_stop(tmp_path: Path) -> None:
    living(tmp_path)
    beats: list[Beat] = []
    pauses: list[int] = []
    watcher = Watcher(tmp_path / "journal", ManualClock())
    watcher.run(beats.append, lambda: pauses.append(len(beats)), until=lambda: len(beats) == 3)
    assert [one.number for one in beats] == [1, 2, 3]
    assert pauses == [1, 2]


def test_a_journal_that_cannot_be_read_any_more_ends_the_beat(tmp_path: Path) -> None:
    writer = living(tmp_path)
    beats: list[Beat] = []

    def damage() -> None:
        writer.segment(LIFE[1], first=99)

    with pytest.raises(DamagedState, match="as the next segment says"):
        Watcher(tmp_path / "journal", ManualClock()).run(beats.append, damage)
    assert len(beats) == 1


def test_a_new_life_is_followed(tmp_path: Path) -> None:
    writer = living(tmp_path)
    watcher = Watcher(tmp_path / "journal", ManualClock())
    watcher.step()
    writer.segment(LIFE[1])
    writer.batch([boot(10, 1)])
    assert (watcher.step().lsn, watcher.violations) == (6, 0)
    watcher.close()


def test_a_checker_ends_at_once_when_nobody_can_hear_it_also_while_it_waits_for_a_journal(tmp_path: Path) -> None:
    """It must not outlive its gate, which may die before it has begun a journal; while the gate lives it waits, and beats when there is one."""
    with subprocess.Popen(
        [sys.executable, "-m", "interlock.trace", str(tmp_path / "journal"), "--beat-ms", "10"], stdout=subprocess.PIPE
    ) as waiting:
        assert waiting.stdout is not None
        living(tmp_path)
        assert b'"violations": 0' in waiting.stdout.readline()
    assert waiting.wait(20) == 0
    with subprocess.Popen([sys.executable, "-m", "interlock.trace", str(tmp_path / "none")], stdout=subprocess.PIPE) as unheard:
        assert unheard.stdout is not None
        unheard.stdout.close()
        try:
            assert unheard.wait(20) == 0
        finally:
            unheard.kill()
