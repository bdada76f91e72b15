"""The power goes: what no sync had covered is kept, lost, torn or garbled, and the next life runs on another boot of the host.

The process is killed for real; what its disk would have lost is then taken out of the journal's folder by the list that the dying process left.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest
from tests.gate.crash_driver import Change, Way, lost
from tests.gate.test_crash import Scene, Scenes

from interlock.cli.gate_client import draw_nonce
from interlock.gate import records as r
from interlock.gate.journal.format import BLOCK


class Fate(StrEnum):
    """What became of the sectors that no sync had covered."""

    KEPT = "kept"
    DROPPED = "dropped"
    CORRUPT = "corrupt"
    TORN = "torn"
    """Of each write the first sector is kept and the rest is lost."""


def power_goes(changes: list[Change], fate: Fate) -> None:
    """Make of the files what the disk has of them."""
    for change in reversed(changes):
        if change.is_name:
            if fate is not Fate.KEPT and not Path(change.source).exists():
                Path(change.path).rename(change.source)
            continue
        left = {
            Fate.KEPT: change.after,
            Fate.DROPPED: change.before,
            Fate.CORRUPT: bytes(byte ^ 0xA5 for byte in change.after),
            Fate.TORN: change.after[:BLOCK] + change.before[BLOCK:],
        }[fate]
        with Path(change.path).open("r+b") as file:
            file.seek(change.offset)
            file.write(left)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    found = Scenes(tmp_path_factory.mktemp("power"))
    try:
        yield found
    finally:
        found.close()


def lose_power(scene: Scene, at: str, how: Way, fate: Fate, *, holding: str = "") -> list[Change]:
    """Run the scenario until the power goes; what was at stake."""
    scene.run(at, how, holding=holding)
    assert scene.gate.struck() == {at}
    assert scene.gate.process.wait(5) == -signal.SIGKILL
    changes = lost(scene.folder)
    power_goes(changes, fate)
    return changes


def about(scene: Scene, client_id: str) -> list[r.AnyRecord]:
    """What the newest life recorded about an order."""
    return [record for record in scene.records_of_life() if getattr(record, "client_id", "") == client_id]


def on_another_boot() -> tuple[str, str]:
    """For a life on a boot of the host that no life before had."""
    return "--kernel-boot-id", draw_nonce()


UNSYNCED = (
    ("sync arm", Way.BEFORE, ""),
    ("sync permit of rest", Way.BEFORE, ""),
    ("send of rest", Way.BEFORE, "sync wire of rest"),
    ("send of take", Way.AFTER, "sync wire of take"),
    ("send of amend", Way.AFTER, "sync wire of amend"),
    ("sync sent of lost", Way.BEFORE, ""),
    ("sync fill of take", Way.BEFORE, ""),
    ("sync cancel_sent of cancel", Way.BEFORE, ""),
)
"""(place, way, sync that never returns): always with something that was written and is not on disk."""
SHORT = {
    ("sync permit of rest", Fate.KEPT),
    ("sync permit of rest", Fate.TORN),
    ("send of rest", Fate.DROPPED),
    ("send of take", Fate.KEPT),
    ("send of take", Fate.DROPPED),
    ("send of take", Fate.CORRUPT),
    ("send of amend", Fate.DROPPED),
    ("sync fill of take", Fate.DROPPED),
    ("sync cancel_sent of cancel", Fate.CORRUPT),
}


@pytest.mark.parametrize(
    ("at", "how", "holding", "fate"),
    [
        pytest.param(*case, fate, id=f"{case[0]}, {fate}", marks=() if (case[0], fate) in SHORT else pytest.mark.soak)
        for case in UNSYNCED
        for fate in Fate
    ],
)
def test_a_power_loss_leaves_nothing_doubled_orphaned_or_lost(scenes: Scenes, at: str, how: Way, holding: str, fate: Fate) -> None:
    scene = scenes.scene()
    changes = lose_power(scene, at, how, fate, holding=holding)
    assert any(not change.is_name for change in changes), "something was at stake"
    scene.fill_what_rests()
    before = scene.gate.raising()
    scene.again(*on_another_boot())
    scene.settled()
    scene.judge()
    assert scene.gate.raising() == before
    assert not any(isinstance(record, r.NotSent) for record in scene.records_of_life())
    scene.whole = True


def test_a_permit_whose_write_may_be_lost_is_unknown_and_is_found_at_the_venue(scenes: Scenes) -> None:
    scene = scenes.scene()
    lose_power(scene, "send of take", Way.AFTER, Fate.DROPPED, holding="sync wire of take")
    taken = scene.orders.get("take") or scene.gate.raising()[-1][0]
    scene.again(*on_another_boot())
    scene.settled()
    kinds = [type(record) for record in about(scene, taken)]
    assert kinds[0] is r.SendUnknown
    assert r.NotSent not in kinds
    assert r.Filled in kinds
    scene.judge()
    scene.whole = True


def test_the_same_loss_on_what_is_taken_for_the_same_boot_is_found_out_and_stops_everything(scenes: Scenes) -> None:
    scene = scenes.scene()
    scene.again()
    scene.settled()
    lose_power(scene, "send of take", Way.AFTER, Fate.DROPPED, holding="sync wire of take")
    taken = scene.gate.raising()[-1][0]
    believing = scene.again("--die-at", "write latch", "--how", Way.AFTER)
    assert believing.process.wait(15) == -signal.SIGKILL
    assert isinstance(about(scene, taken)[0], r.NotSent), "the page cache is believed where nothing says that it was lost"
    assert [(latch.name, latch.level) for latch in scene.records_of_life() if isinstance(latch, r.LatchSet)] == [
        ("late_fill", r.Level.HALT)
    ]


@pytest.mark.parametrize("fate", [Fate.DROPPED, Fate.CORRUPT])
@pytest.mark.parametrize(("at", "how"), [("sync boot", Way.BEFORE), ("sync names", Way.BEFORE), ("sync fill", Way.BEFORE)])
def test_the_power_goes_again_while_a_gate_recovers(scenes: Scenes, at: str, how: Way, fate: Fate) -> None:
    scene = scenes.scene()
    lose_power(scene, "send of take", Way.AFTER, Fate.DROPPED, holding="sync wire of take")
    scene.fill_what_rests()
    before = scene.gate.raising()
    second = scene.again(*on_another_boot(), "--die-at", at, "--how", how)
    assert second.process.wait(15) == -signal.SIGKILL
    assert second.struck() == {at}
    power_goes(lost(scene.folder), fate)
    scene.again(*on_another_boot())
    scene.settled()
    scene.judge()
    assert scene.gate.raising() == before
    assert not any(isinstance(record, r.NotSent) for record in scene.records_of_life())
    scene.whole = True
