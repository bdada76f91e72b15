"""Twenty minutes of every process of a run on paper with ten symbols: none of them grows."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from tests.gate.serving import command
from tests.run.live_ground import LiveGround, live_ground
from tests.run.memory_slope import MB, Course
from tests.run.ten_symbols import symbols, write_run
from tests.run.venues_world import UNTOLD

from interlock.gate import frames as f
from interlock.gate.arming import Phase

MINUTES = float(os.environ.get("INTERLOCK_SOAK_MINUTES", "20"))
WARM_UP_PART = 0.5
"""Of the time: what every process takes once, tables of numbers and histories of markets, is taken then. At twenty minutes they are full by then."""
EVERY_S = 3.0
MOST_MB_AN_HOUR = 1.0
WORDS = {
    "gate": (b"interlock.run.gate_process",),
    "paper venue": (b"venues", b"serve"),
    "sentinel": (b"interlock.sentinel",),
    "checker": (b"interlock.trace",),
    "engine": (b"interlock.run.engine_process",),
    "supervisor": (b"run", b"--mode"),
}
"""What the arguments of each process hold."""


def processes(out: Path) -> dict[str, int]:
    """The processes of the run in a folder, by name."""
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(str(out).encode() in word for word in words):
            for name, wanted in WORDS.items():
                if all(word in words for word in wanted):
                    found[name] = int(entry.name)
                    break
    return found


def attest(ground: LiveGround, venue: str) -> bool:
    """Say by a script what a venue does not tell of its key, once the gate is there to hear it."""
    socket = ground.out / "run" / "raise.sock"
    if not socket.exists():
        return False
    given = ("attest", "--socket", str(socket), "--venue", venue, "--for", "30d", "--scripted", *UNTOLD[venue])
    _, told = command(*given, "--statement", "nothing yet")
    words = [one["message"].split("'")[1] for one in told.get("refusals", []) if one["rule"] == "statement"]
    return bool(words) and command(*given, "--statement", words[0])[1].get("result") == "ATTESTED"


def armed(ground: LiveGround) -> bool:
    """Whether the gate holds a grant to trade, and not that of the drill before it."""
    stands = ground.ask(f.Role.READ, f.GetStatus())
    return isinstance(stands, f.Status) and stands.armed and stands.report["phase"] == Phase.ARMED.value


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs /proc/PID/smaps_rollup")
def test_no_process_of_a_run_with_ten_symbols_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = MINUTES * 60
    with live_ground(tmp_path, mode="paper") as ground:
        # The supervisor arms by itself; what has to be attested before that is said from here as soon as there is a gate.
        run = ground.start("--for", f"{round(seconds + 600)}s", config=write_run(tmp_path))
        ground.until(lambda: attest(ground, "upbit"))
        ground.until(lambda: ground.sees_books() and armed(ground), within_s=300)
        assert len(ground.engine()["books"]) == len(symbols()) == 10
        course, began = Course(), time.monotonic()
        pids = processes(ground.out)
        assert set(pids) == set(WORDS), pids
        while (passed := time.monotonic() - began) < seconds:
            course.look(passed, pids)
            assert run.poll() is None, ground.said()
            time.sleep(EVERY_S)
        assert processes(ground.out) == pids, "none of them was started anew"
        stands = ground.engine()
        frames = sum(feed["frames"] for feed in stands["feeds"])
        found = course.mb_an_hour(WARM_UP_PART * seconds)
        told = {
            "MB an hour": found,
            "MB": {
                name: [round(bytes_ / MB, 1) for _, bytes_ in points[:: max(1, round(60 / EVERY_S))]]
                for name, points in course.points.items()
            },
            "frames": frames,
            "proposals": stands["counts"],
        }
        with capsys.disabled():
            print(f"\n{json.dumps(told)}")  # noqa: T201 - the figures are what it was run for
    assert frames > 10 * seconds
    assert set(found) == set(WORDS)
    assert max(found.values()) < MOST_MB_AN_HOUR, found
