"""A failure counts where the host ran the test; where it stood still, the second one does."""

import os
import signal
import time
from pathlib import Path

import pytest
from tests.host import RACE, LinuxHost, Reading, Verdicts, repeated, why_no_verdict

CALM = Reading(at_s=100.0, stolen_s=7.0, waited_s=50.0)

pytest_plugins = ["pytester"]


class ToldHost:
    """A host that tells what it is given: how late the pulse was during each attempt."""

    def __init__(self, *late_s: float) -> None:
        self._late_s = list(late_s)

    def reading(self) -> Reading:
        return CALM

    def latest_since(self, at_s: float) -> float:
        assert at_s == CALM.at_s
        return self._late_s.pop(0)


FAILS_FIRST = """
tries = []

def test_it():
    tries.append(1)
    assert len(tries) == 2
"""
FAILS = """
def test_it():
    assert False
"""


def ran(pytester: pytest.Pytester, source: str, host: ToldHost, second_chances: int = 0) -> pytest.HookRecorder:
    """Run a file of tests with the plugin, in this process."""
    pytester.makepyfile(source)
    return pytester.inline_run("-p", "no:randomly", "-p", "no:cacheprovider", plugins=[Verdicts(host, 2, second_chances)])


def outcomes(result: pytest.HookRecorder) -> list[str]:
    return [report.outcome for report in result.getreports("pytest_runtest_logreport") if report.when == "call"]


def test_a_failure_on_a_host_that_ran_counts(pytester: pytest.Pytester) -> None:
    assert outcomes(ran(pytester, FAILS_FIRST, ToldHost(0.0))) == ["failed"]


def test_a_failure_on_a_host_that_stood_still_is_repeated(pytester: pytest.Pytester) -> None:
    result = ran(pytester, FAILS_FIRST, ToldHost(0.25))
    assert outcomes(result) == ["rerun", "passed"]
    assert repeated(result.getreports("pytest_runtest_logreport")) == [
        "test_a_failure_on_a_host_that_stood_still_is_repeated.py::test_it: a process woke 250 ms late"
    ]


def test_a_race_has_a_second_chance_where_that_is_asked_for(pytester: pytest.Pytester) -> None:
    result = ran(pytester, FAILS_FIRST, ToldHost(0.0), second_chances=1)
    assert outcomes(result) == ["rerun", "passed"]
    assert repeated(result.getreports("pytest_runtest_logreport")) == [
        f"test_a_race_has_a_second_chance_where_that_is_asked_for.py::test_it: {RACE}"
    ]


def test_what_is_broken_fails_whatever_chances_it_has(pytester: pytest.Pytester) -> None:
    assert outcomes(ran(pytester, FAILS, ToldHost(0.0, 0.0), second_chances=5)) == ["rerun", "failed"]


def test_of_many_races_only_so_many_have_a_second_chance(pytester: pytest.Pytester) -> None:
    many = FAILS_FIRST + FAILS_FIRST.replace("tries", "again").replace("test_it", "test_other")
    assert outcomes(ran(pytester, many, ToldHost(0.0, 0.0), second_chances=1)) == ["rerun", "passed", "failed"]


def test_the_second_failure_counts_whatever_the_host_does(pytester: pytest.Pytester) -> None:
    assert outcomes(ran(pytester, FAILS, ToldHost(0.25, 0.25))) == ["rerun", "failed"]


@pytest.mark.parametrize(
    ("end", "late_s", "why"),
    [
        (Reading(110.0, 8.9, 53.9), 0.099, ""),
        (Reading(110.0, 8.9, 53.9), 0.1, "a process woke 100 ms late"),
        (Reading(110.0, 9.0, 53.9), 0.0, "10% of the processors' time was taken by the hypervisor"),
        (Reading(100.1, 7.15, 50.09), 0.0, ""),  # three quarters and nine tenths of a tenth of a second: noise
        (Reading(110.0, 8.9, 54.0), 0.0, "a processor was waited for in 40% of the time"),
    ],
)
def test_what_leaves_a_failure_without_meaning(end: Reading, late_s: float, why: str) -> None:
    assert why_no_verdict(CALM, end, late_s, 2) == why


def test_the_pulse_tells_of_a_process_that_stood_still() -> None:
    host = LinuxHost()
    try:
        time.sleep(0.3)  # it starts
        before = host.reading()
        os.kill(host.pulse_pid, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(host.pulse_pid, signal.SIGCONT)
        time.sleep(0.3)
        assert host.latest_since(before.at_s) >= 0.3
        assert host.reading().at_s > before.at_s
        assert host.latest_since(host.reading().at_s) == 0.0
    finally:
        host.close()
    assert not Path(f"/proc/{host.pulse_pid}").exists()
