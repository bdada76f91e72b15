"""kill -9 of engine, gate and sentinel of a market maker with orders at the venue: nothing is doubled, orphaned or lost.

In CI twenty deaths of each in twenty rounds: in every round all three die, in an order and at instants that are drawn, and everything recovers and is
judged before the next; one and a half to three minutes. `make soak` has two hundred such rounds, and fifty with the death of one alone (an hour).
The seed is said when something is found; `CRASH_SEED=7` sets it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.gate.serving import command
from tests.run.crash_ground import Tree, Who, crashing, deaths_of, judged

MOST_S = {Who.ENGINE: 0.6, Who.SENTINEL: 0.6, Who.GATE: 0.6}
"""By how much one death comes after the one before, at most."""


def seed(drawn: bool) -> int:
    """What everything is drawn from: what was asked for, else the same each time, or in the long test another one."""
    return int(os.environ.get("CRASH_SEED", time.time_ns() % 1_000_000 if drawn else 20261122))


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    with crashing(tmp_path) as found:
        yield found


def rounds(tree: Tree, count: int, chance: random.Random, told: str, whom: Sequence[Who] = tuple(Who)) -> None:
    """So many rounds in which each of these dies once."""
    for number in range(count):
        try:
            tree.begin()
            tree.armed()
            tree.quoting()
            tree.die(deaths_of(chance, whom, MOST_S))
            tree.begin()
            tree.disarmed()
            tree.at_rest()
            tree.judge()
        except AssertionError as error:
            error.add_note(f"{told}, round {number + 1}")
            raise


def test_whoever_dies_nothing_is_doubled_orphaned_or_lost(tree: Tree, tmp_path: Path) -> None:
    told = f"CRASH_SEED={seed(False)}"
    rounds(tree, 20, random.Random(seed(False)), told)
    assert tree.deaths == dict.fromkeys(Who, 20)
    # Deaths at which nothing was at the venue would show little.
    assert all(tree.with_orders[who] >= 10 for who in Who), (told, tree.with_orders)
    journal, witness = tree.journal_now(), Path(tree.ground.where["witness"])
    code, report = command("trace", "check", str(journal), "--witness", str(witness))
    assert (code, report["violations"]) == (0, []), told
    assert report["lives"] >= 20
    # The control, by the same judge: a write that came twice, and a journal in which an order is missing.
    copy = tmp_path / "witness.jsonl"
    shutil.copy(witness.with_name("truth.jsonl"), copy.with_name("truth.jsonl"))
    lines = witness.read_text(encoding="utf-8").splitlines()
    raising = [line for line in lines if json.loads(line).get("class") == "RISK+"]
    copy.write_text("\n".join([*lines, raising[-1]]) + "\n", encoding="utf-8")
    found = judged(tree.ground.out, copy, journal).problems
    assert any("reached the venue 2 times" in problem for problem in found)
    assert any(problem.startswith(("S8", "S1")) for problem in found), found
    stranger = json.loads(raising[-1])
    stranger["client_id"] = stranger["client_id"][:-1] + ("a" if stranger["client_id"][-1] != "a" else "b")
    copy.write_text("\n".join([*lines, json.dumps(stranger)]) + "\n", encoding="utf-8")
    assert any(stranger["client_id"] in problem for problem in judged(tree.ground.out, copy, journal).problems)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("whom", "count"),
    [(tuple(Who), 200), *(((who,), 50) for who in Who)],
    ids=["all", *Who],
)
def test_whoever_dies_many_times(tree: Tree, whom: Sequence[Who], count: int, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = seed(True)
    with capsys.disabled():
        print(f"\nCRASH_SEED={drawn}")  # noqa: T201 - whoever runs for an hour wants to run it again
    rounds(tree, count, random.Random(drawn), f"CRASH_SEED={drawn}", whom)
    assert tree.deaths == dict.fromkeys(whom, count)
    assert all(tree.with_orders[who] >= count // 2 for who in whom), tree.with_orders
