"""One simulated day of the whole live loop in one process: gate, engine, the simulated Bybit, a person, and faults.

Time is virtual and every connection is in memory. The faults are drawn from a seed, which a failure names: `Settings(seed=...)` lives that day again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.day.day import Outcome, Settings, live
from tests.day.faults import KINDS
from tests.day.loop import S
from tests.day.verdict import booked_once, missing, problems, sent_while_disarmed

from interlock.gate import records as r

NONE: tuple[str, ...] = ()
CALM = Settings(seed=1, hours=0.6, busy_s=1_800, rounds=0, only=NONE, night=(0.0, 0.0))
PLAIN = ("orders are taken back", "both sides are filled")


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return live(CALM, tmp_path_factory.mktemp("calm"))


def test_without_a_fault_it_trades_and_nothing_stops_it(calm: Outcome) -> None:
    assert problems(calm) == []
    assert missing(calm, PLAIN) == []
    assert calm.of(r.LatchSet) == []
    assert {one.name for one in calm.of(r.InterlockTripped)} <= {"reconnect"}, "the beginning of a connection, and nothing else"


def test_a_day_that_is_lived_again_is_the_same(calm: Outcome, tmp_path: Path) -> None:
    again = live(CALM, tmp_path)
    assert [one for one in again.records if isinstance(one, r.Permit)] == calm.of(r.Permit)
    assert again.truth == calm.truth


def test_what_must_not_be_at_the_end_is_found_where_it_is(calm: Outcome) -> None:
    fills = calm.of(r.Filled)
    assert booked_once(calm.records, calm.truth) == []
    assert booked_once([*calm.records, fills[0]], calm.truth) == [f"expected execution {fills[0].trade_id} once, found it 2 times"]
    without = [one for one in calm.records if one is not fills[0]]
    assert booked_once(without, calm.truth) == [f"expected execution {fills[0].trade_id} to be booked, found that it was not"]
    assert "in the journal alone" in booked_once(calm.records, [])[0]
    assert sent_while_disarmed(calm.records) == []
    unarmed = [one for one in calm.records if not isinstance(one, r.Armed)]
    assert len(sent_while_disarmed(unarmed)) == len(calm.of(r.WireBegin)) > 0
    for changed in (replace(calm, position_lots=calm.position_lots + 1), replace(calm, left=1), replace(calm, open_at_venue=1)):
        assert len(problems(changed)) == 1
    assert missing(replace(calm, records=[]), PLAIN) == [f"never so: {name}" for name in PLAIN]


def test_the_day(tmp_path: Path) -> None:
    day = live(Settings(seed=1, hours=24, rounds=1, night=(8.0, 22.0)), tmp_path)
    assert problems(day) == [], day.settings
    assert missing(day) == [], day.settings


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 8))
def test_days_that_are_busier(tmp_path: Path, seed: int) -> None:
    dense = Settings(seed=seed, hours=24, rounds=3, busy_s=7_200, slack_ns=S, night=(20.0, 21.0))
    day = live(dense, tmp_path)
    assert problems(day) == [], day.settings
    assert missing(day) == [], day.settings


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.soak
def test_each_fault_alone(tmp_path: Path, name: str) -> None:
    day = live(Settings(seed=11, hours=0.25, rounds=2, only=(name,), night=(0.0, 0.0)), tmp_path)
    assert problems(day) == [], day.settings
    assert missing(day, NONE) == [], day.settings
