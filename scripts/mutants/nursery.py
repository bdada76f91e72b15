"""Where the tests of a mutant run: a process in a copy of the tree that has imported everything once and gives every mutant a child of its own.

A program: it is started with the copy as its working directory, takes tasks as lines of JSON on standard input and answers each with one on standard
output. Its first argument is the mode. `warm`: the tests are collected, and a mutant is the new code of one function,
put in place of the old in a child; nothing is imported again, so that this takes milliseconds. `cold`: pytest and its kin are imported and nothing of
ours; a child imports the changed file as any process would. Warm is for what happens in functions; only cold sees what happens at import, in other
processes and in compiled code.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FunctionType
from typing import IO, Any, NamedTuple

import coverage
import hypothesis
import pytest

LONGEST_MEMORY_BYTES = 4 << 30
"""What a mutant may allocate: one that never stops collecting is killed by it rather than by the machine."""

PASSED, FAILED, NO_PLACE, BROKEN = 0, 1, 98, 99
"""How a child ends: all tests passed, one failed, the mutant cannot be put in place in a running process, or this program is at fault."""

Task = dict[str, Any]


class Line(NamedTuple):
    """Where tasks come from and answers go."""

    tasks: IO[str]
    answers: IO[str]


class Outcomes:
    """A plugin: notes the first failed test, how long each took, and whether any ran."""

    def __init__(self) -> None:
        self.failed = ""
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's set-up, call or tear-down is over."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid
            os.write(2, report.longreprtext[-2000:].encode())

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file was collected; one that cannot be imported is a failure."""
        if report.failed and not self.failed:
            self.failed = report.nodeid or "collection"


class Alarm:
    """A plugin: a test that takes longer than it may ends its process, by a signal that nothing can catch up with."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """A test begins."""
        signal.setitimer(signal.ITIMER_REAL, self._seconds.get(item.nodeid, 0.0))


class Chosen:
    """A plugin: of what was collected, only these tests, in this order."""

    def __init__(self, names: Iterable[str]) -> None:
        self.order = {name: number for number, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the others out."""
        items[:] = sorted((item for item in items if item.nodeid in self.order), key=lambda item: self.order[item.nodeid])


def run_items(
    session: pytest.Session, items: list[pytest.Item], outcomes: Outcomes, before: Callable[[pytest.Item], object] | None = None
) -> bool:
    """Run these tests up to the first that fails; whether all passed."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        if before is not None:
            before(item)
        try:
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except (KeyboardInterrupt, SystemExit, pytest.exit.Exception):
            outcomes.failed = outcomes.failed or item.nodeid
        if outcomes.failed:
            return False
    return True


class Warm:
    """A plugin: instead of running what was collected, serves tasks from it."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._outcomes = Outcomes()
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve until there are no more tasks."""
        session.config.pluginmanager.register(self._outcomes)
        items = {item.nodeid: item for item in session.items}
        for function in [found for found in gc.get_objects() if isinstance(found, FunctionType)]:
            code = function.__code__
            self._functions.setdefault((os.path.realpath(code.co_filename), code.co_qualname, code.co_firstlineno), []).append(function)
        gc.freeze()

        def child(task: Task, tell: Callable[[str], None]) -> int:
            if task["task"] == "survey":
                return self._survey(session, task, tell)
            if task["source"] and not self._put(task):
                return NO_PLACE
            session.config.pluginmanager.register(Alarm(task.get("limits", {})))
            passed = run_items(session, [items[name] for name in task["tests"]], self._outcomes)
            tell(self._outcomes.failed)
            return PASSED if passed else FAILED

        serve(self._line, child)
        return True

    def _survey(self, session: pytest.Session, task: Task, tell: Callable[[str], None]) -> int:
        """Run everything, and write down how long each test takes and which lines of the sources it runs."""
        measure = coverage.Coverage(data_file=None, include=task["sources"], config_file=False)
        measure.start()
        items = [item for item in session.items if item.nodeid not in task["without"]]
        passed = run_items(session, items, self._outcomes, before=lambda item: measure.switch_context(item.nodeid))
        measure.stop()
        tell(self._outcomes.failed)
        if not passed:
            return FAILED
        data = measure.get_data()
        lines = {
            os.path.relpath(path): {line: sorted(set(names) - {""}) for line, names in data.contexts_by_lineno(path).items()}
            for path in data.measured_files()
        }
        Path(task["into"]).write_text(json.dumps({"seconds": self._outcomes.seconds, "lines": lines}), encoding="utf-8")
        return PASSED

    def _put(self, task: Task) -> bool:
        """Give every function object of the changed function the new code."""
        path = os.path.realpath(task["file"])
        for code in _codes(compile(task["source"], path, "exec", dont_inherit=True)):
            if code.co_qualname == task["function"]:
                same = self._functions.get((path, code.co_qualname, code.co_firstlineno), [])
                changed = [function for function in same if function.__code__ != code]
                for function in changed:
                    if len(code.co_freevars) != len(function.__code__.co_freevars):
                        return False
                    function.__code__ = code
                if changed:
                    return True
        return False


def _codes(code: CodeType) -> Iterable[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def cold(task: Task, tell: Callable[[str], None]) -> int:
    """Run tests in this process, which imports them and everything they need."""
    outcomes = Outcomes()
    files = list(dict.fromkeys(name.partition("::")[0] for name in task["tests"]))
    plugins: list[object] = [outcomes, Alarm(task.get("limits", {}))]
    if all("::" in name for name in task["tests"]):
        plugins.append(Chosen(task["tests"]))
    code = pytest.main([*OPTIONS, "-x", *files], plugins=plugins)
    tell(outcomes.failed)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return BROKEN
    return PASSED if code == pytest.ExitCode.OK else FAILED


OPTIONS = [
    *("-q", "--capture=sys", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
    *("-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:cov", "-p", "no:faulthandler"),
]
"""Stable order; nothing is left behind; output kept in memory, because children would share a file. Hypothesis is imported before pytest looks."""


def serve(line: Line, child: Callable[[Task, Callable[[str], None]], int]) -> None:
    """Take tasks until there are no more; each runs in a child and is answered with how that ended."""
    print("{}", file=line.answers, flush=True)
    for text in line.tasks:
        task = json.loads(text)
        started = time.monotonic()
        outcome, said = _in_child(task, child)
        print(json.dumps({"outcome": outcome, "by": said, "seconds": time.monotonic() - started}), file=line.answers, flush=True)


def _in_child(task: Task, child: Callable[[Task, Callable[[str], None]], int]) -> tuple[str, str]:
    temporary = os.path.join(os.environ["MUTANTS_TMP"], str(os.getpid()))  # short: the names of sockets must fit below it
    os.mkdir(temporary)
    hear, say = os.pipe()
    pid = os.fork()
    if not pid:
        code = BROKEN

        def tell(text: str) -> None:
            os.write(say, text.encode()[:4000])

        try:
            os.setsid()
            os.close(hear)
            os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = temporary
            tempfile.tempdir = None
            resource.setrlimit(resource.RLIMIT_DATA, (LONGEST_MEMORY_BYTES, LONGEST_MEMORY_BYTES))
            sys.dont_write_bytecode = not task.get("bytecode")
            code = child(task, tell)
        except BaseException:  # noqa: BLE001 - said, and answered as broken
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(say)
    descriptor = os.pidfd_open(pid)
    ended = select.select([descriptor], [], [], task["timeout_s"])[0]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(descriptor)
    with open(hear, "rb") as told:
        said = told.read().decode()
    shutil.rmtree(temporary, ignore_errors=True)
    if not ended or os.waitstatus_to_exitcode(status) == -signal.SIGALRM:
        return "timed out", said
    code = os.waitstatus_to_exitcode(status)
    return {PASSED: "survived", NO_PLACE: "no place", BROKEN: "broken"}.get(code, "killed"), said


def main(mode: str, paths: list[str]) -> None:
    """Serve until standard input ends. The tests get none of its descriptors: what they read and print is nobody's."""
    # Looking for the smallest example that fails takes long, and any will do.
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile(
        "mutants", max_examples=50, deadline=None, derandomize=True, phases=phases, report_multiple_bugs=False
    )
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    line = Line(os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w"))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    if mode == "warm":
        pytest.main([*OPTIONS, *paths], plugins=[Warm(line)])
    else:
        import msgspec  # noqa: F401 - so that no child need
        import numba  # noqa: F401

        serve(line, cold)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
