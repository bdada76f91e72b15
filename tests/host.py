"""Whether the host ran the test, or kept its processors for others while the test counted real time.

Many tests run real processes against real deadlines: a heartbeat of a second, a permit of 50 ms. A host that stands still for longer makes such a
test fail, and its failure says nothing of interlock. A failure while the host stood still is therefore no verdict: the test is repeated, once,
and its second failure counts whatever the host does. On a host that ran, the first one counts. The end of the output names every test that was
repeated, with what the host had done.

Of many thousand tests that race with real processes one may lose on a host that ran, too. A developer wants to see that at once; where a whole run
decides whether work goes on, `--second-chances N` lets each worker repeat so many of them. One that passes then is a race, of the test or of what it
tests, that is to be found and mended; the output names it. More of them, or a second failure, fail the run.

Stood still is one of: a process that sleeps for 20 ms woke 100 ms late or later; the hypervisor kept a tenth of the processors' time; somebody waited
for a processor in two fifths of the test's time (the first line of `/proc/pressure/cpu`, which counts what our own workers take from each other);
either for half a second at least. In four minutes of the long tests, in two workers on two processors, it was 37 ms at most, a twentieth, and an
eighth at the median; three workers were not measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

SECTION = "the host"
RAN = "it ran"
RACE = "it ran; where the repetition passed this is a race, of the test or of what it tests: find it"
LATE_S = 0.1
STOLEN_SHARE = 0.1
WAITING_SHARE = 0.4
LEAST_S = 0.5
"""Of stolen or waited time: in less, a share is noise of the kernel's ticks, and no deadline of a test is at stake."""

# Another process, not a thread: whatever the test's own interpreter computes must not count as the host's doing.
PULSE = f"""
import os, time
parent = os.getppid()
while os.getppid() == parent:
    asleep = time.monotonic()
    time.sleep(0.02)
    late = time.monotonic() - asleep - 0.02
    if late >= {LATE_S}:
        os.write(1, b"%f %f\\n" % (time.monotonic(), late))
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the host had told of itself at a moment; the sums since it started, in seconds."""

    at_s: float
    stolen_s: float
    waited_s: float


class Host(Protocol):
    """What tells of the host."""

    def reading(self) -> Reading:
        """Return its sums now."""
        ...

    def latest_since(self, at_s: float) -> float:
        """Return how late the pulse woke at worst since a moment of `Reading.at_s`, in seconds; 0 where never late."""
        ...


def why_no_verdict(begin: Reading, end: Reading, late_s: float, processors: int) -> str:
    """Return what the host did between two readings that leaves a failure without meaning, or nothing where it ran."""
    took_s = max(end.at_s - begin.at_s, 1e-9)
    stolen = (end.stolen_s - begin.stolen_s) / (took_s * processors)
    waiting = (end.waited_s - begin.waited_s) / took_s
    found = []
    if late_s >= LATE_S:
        found.append(f"a process woke {late_s * 1000:.0f} ms late")
    if stolen >= STOLEN_SHARE and end.stolen_s - begin.stolen_s >= LEAST_S:
        found.append(f"{stolen:.0%} of the processors' time was taken by the hypervisor")
    if waiting >= WAITING_SHARE and end.waited_s - begin.waited_s >= LEAST_S:
        found.append(f"a processor was waited for in {waiting:.0%} of the time")
    return ", ".join(found)


class LinuxHost:
    """The pulse in a process of its own, and the kernel's sums where it tells them; elsewhere they stay 0."""

    def __init__(self) -> None:
        self._pulse = subprocess.Popen([sys.executable, "-I", "-S", "-c", PULSE], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self._pulse.stdout is not None
        self._told = self._pulse.stdout.fileno()
        self.pulse_pid = self._pulse.pid
        os.set_blocking(self._told, False)
        self._late: list[tuple[float, float]] = []
        self._rest = b""

    def reading(self) -> Reading:
        return Reading(time.monotonic(), _stolen_s(), _waited_s())

    def latest_since(self, at_s: float) -> float:
        while True:
            try:
                piece = os.read(self._told, 65536)
            except BlockingIOError:
                break
            if not piece:
                break
            self._rest += piece
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            woke, late = line.split()
            self._late.append((float(woke), float(late)))
        self._late = [(woke, late) for woke, late in self._late if woke >= at_s]
        return max((late for _, late in self._late), default=0.0)

    def close(self) -> None:
        """End the pulse."""
        self._pulse.kill()
        self._pulse.wait()
        assert self._pulse.stdout is not None
        self._pulse.stdout.close()


def _stolen_s() -> float:
    """The ninth word of the first line of /proc/stat, in ticks (proc_stat(5))."""
    try:
        words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return 0.0
    return int(words[8]) / os.sysconf("SC_CLK_TCK") if len(words) > 8 else 0.0


def _waited_s() -> float:
    """The sum of the `some` line, in microseconds (Documentation/accounting/psi.rst of the kernel)."""
    try:
        return int(Path("/proc/pressure/cpu").read_text().split("\n", 1)[0].rpartition("=")[2]) / 1e6
    except OSError:
        return 0.0


class Verdicts:
    """The plugin: a test that fails while the host does not run it is repeated once, by pytest-rerunfailures, whose condition this is.

    `second_chances` is how many that fail while it runs are repeated too.
    """

    def __init__(self, host: Host, processors: int, second_chances: int = 0) -> None:
        self._host = host
        self._processors = processors
        self._second_chances = second_chances
        self._begin = host.reading()
        self._test = self._had_one = ""
        self._why = ""

    def no_verdict(self) -> bool:
        """Whether the failure of the test that runs says nothing."""
        return bool(self._why)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            item.add_marker(pytest.mark.flaky(reruns=1, condition=self.no_verdict))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins, the first or the second time."""
        self._test = nodeid
        self._begin = self._host.reading()
        self._why = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed:
            late_s = self._host.latest_since(self._begin.at_s)
            self._why = why_no_verdict(self._begin, self._host.reading(), late_s, self._processors)
            if not self._why and self._second_chances and self._had_one != self._test:
                self._second_chances -= 1
                self._had_one = self._test
                self._why = RACE
            report.sections.append((SECTION, self._why or RAN))
        return report


def repeated(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return a line for each test that was repeated, with what the host had done."""
    return [f"{report.nodeid}: {dict(report.sections)[SECTION]}" for report in reports if SECTION in dict(report.sections)]
