"""The ruler of the soak test: a line through samples, and the kernel's account of a process."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.run.memory_slope import HOUR_S, MB, Course, private_bytes, slope


@pytest.mark.parametrize("mb_an_hour", [0.0, 0.5, 2.0, -3.0])
def test_the_slope_is_that_of_the_line_beneath_the_noise(mb_an_hour: float) -> None:
    chance = random.Random(7)
    course = Course()
    course.points["a"] = [(s, 80 * MB + mb_an_hour * MB * s / HOUR_S + chance.gauss(0, 4096)) for s in range(0, 1_200, 5)]
    assert course.mb_an_hour(0) == {"a": pytest.approx(mb_an_hour, abs=0.02)}
    assert (course.mb_an_hour(0)["a"] < 1.0) is (mb_an_hour < 1.0)


def test_what_was_before_the_warm_up_does_not_count() -> None:
    course = Course()
    course.points["a"] = [(s, min(s, 100) * MB) for s in range(0, 600, 5)]
    assert course.mb_an_hour(100) == {"a": pytest.approx(0)}
    assert course.mb_an_hour(0)["a"] > 100, "the control: the warm-up is a slope of its own"


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 3.0)]])
def test_no_slope_is_told_of_one_moment(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="at least two different times"):
        slope(points)


GROWS = """
import sys
held = bytearray(0)
print("ready", flush=True)
for line in sys.stdin:
    held += bytes(b"x" * int(line))
    print("grown", flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs /proc/PID/smaps_rollup")
def test_a_process_that_grows_is_seen_to_grow_and_one_that_does_not_is_not() -> None:
    course = Course()
    with subprocess.Popen([sys.executable, "-c", GROWS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for at_s in range(8):
            # First it stands still, then it takes two megabytes at every look.
            process.stdin.write(f"{0 if at_s < 4 else 2 * MB}\n")
            assert process.stdout.readline() == "grown\n"
            course.look(float(at_s), {"it": process.pid})
        process.stdin.close()
    still, growing = (Course({"it": course.points["it"][part]}).mb_an_hour(0)["it"] / HOUR_S for part in (slice(4), slice(4, 8)))
    assert abs(still) < 0.2
    assert growing == pytest.approx(2, abs=1)
    assert private_bytes(process.pid) is None, "and then it is gone"
