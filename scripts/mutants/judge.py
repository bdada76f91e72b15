"""Which tests run for a mutant, and what follows from how they end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from scripts.mutants.operators import Mutant
from scripts.mutants.rooms import ONLY_COLD
from scripts.mutants.trees import Nursery, Outcome, Tree

NEAREST_FILES = 6
"""A fresh process collects so many files of tests, those that run most of the source, and besides them those that import it by name."""


MOST_UNSTEADY = 3
SLOW_S = 0.5


class Survey(NamedTuple):
    """How long each test takes, and which tests run which line of which source: measured once, without any mutant. `unsteady` are left out."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]
    unsteady: tuple[str, ...] = ()

    def of_lines(self, file: str, first: int, last: int) -> set[str]:
        """The tests that run one of these lines."""
        found = self.lines.get(file, {})
        return {name for line in range(first, last + 1) for name in found.get(line, ())}

    def ordered(self, names: Iterable[str]) -> list[str]:
        """File by file, so that what a file's tests share is made once; the quick files and tests first, and the slow ones of all files last."""
        by_file: dict[tuple[str, bool], list[str]] = {}
        for name in names:
            by_file.setdefault((_file(name), self.seconds[name] > SLOW_S), []).append(name)
        groups = sorted(by_file.values(), key=lambda group: (self.total_s(group), group[0]))
        return [name for group in groups for name in sorted(group, key=lambda name: (self.seconds[name], name))]

    def total_s(self, names: Iterable[str]) -> float:
        """How long these tests take one after the other."""
        return sum(self.seconds[name] for name in names)

    def within(self, names: list[str], seconds: float) -> list[str]:
        """The quickest of these tests that take no longer than so many seconds together, in the order given; at least one."""
        chosen, left = set[str](), seconds
        for name in sorted(names, key=lambda name: self.seconds[name]):
            left -= self.seconds[name]
            if left < 0 and chosen:
                break
            chosen.add(name)
        return [name for name in names if name in chosen]

    def nearest(self, file: str) -> list[str]:
        """The files of tests, beginning with the one that runs most lines of a source; among equals with the quickest."""
        counts = dict.fromkeys(map(_file, self.seconds), 0)
        seconds = dict.fromkeys(counts, 0.0)
        for name, taken in self.seconds.items():
            seconds[_file(name)] += taken
        for names in self.lines.get(file, {}).values():
            for path in {_file(name) for name in names}:
                counts[path] += 1
        return sorted(counts, key=lambda path: (-counts[path], seconds[path], path))


def _file(test: str) -> str:
    return test.partition("::")[0]


def timeout_s(seconds: float) -> float:
    """How long a test, or several, may take that take so long without a mutant; what takes longer does not end, and has been noticed."""
    return 5 * seconds + 5


def surveyed(tree: Tree, warm: Nursery, cold: Nursery, sources: list[str]) -> Survey:
    """Run every test unchanged, in the running process and in a fresh one, and measure.

    A test that fails once and not again is left out, and named: what it says about a mutant could as well be chance. Raises RuntimeError when more
    than `MOST_UNSTEADY` fail: then the tree is not sound, and a mutant could not be told from that.
    """
    into, unsteady = tree.temporary / "survey.json", list[str]()
    paths = [str(tree.path / source) for source in sources]
    while True:
        outcome = warm.run(task="survey", sources=paths, into=str(into), without=unsteady, timeout_s=1_800)
        said = warm.said()
        if outcome.outcome == "survived":
            found = json.loads(into.read_text(encoding="utf-8"))
            lines = {file: {int(line): names for line, names in of.items()} for file, of in found["lines"].items()}
            survey = Survey(found["seconds"], lines, tuple(unsteady))
            outcome = cold.run(tests=survey.ordered(survey.seconds), timeout_s=1_800, bytecode=True)
            said = cold.said()
        if outcome.outcome == "survived":
            return survey
        if not outcome.by or outcome.by in unsteady or len(unsteady) == MOST_UNSTEADY:
            raise RuntimeError(f"the unchanged tree does not pass: {outcome.outcome} {outcome.by} {unsteady}\n{said}")
        unsteady.append(outcome.by)


class Judge:
    """Judges mutants in one copy of the tree."""

    def __init__(self, tree: Tree, warm: Nursery, cold: Nursery, survey: Survey, budget_s: float = float("inf")) -> None:
        """`budget_s`: how long the tests of one mutant may take together; the slowest are left out."""
        self._tree, self._warm, self._cold, self.survey, self._budget_s = tree, warm, cold, survey, budget_s

    def judge(self, file: str, source: str, mutant: Mutant) -> Outcome:
        """Try a mutant in the running process where that is possible, otherwise in a fresh one, with the tests that run its lines."""
        survey, changed = self.survey, mutant.applied(source)
        running = survey.of_lines(file, *mutant.lines) if mutant.function else set()
        tests = survey.within(survey.ordered(running or survey.seconds), self._budget_s)
        if running and file not in ONLY_COLD:
            bounds = self._bounds(tests)
            outcome = self._warm.run(file=file, source=changed, function=mutant.function, tests=tests, **bounds)
            if outcome.outcome != "no place":
                return outcome
        near = self._near(file)
        chosen = [test for test in tests if _file(test) in near]
        # Whole files for a table: it may say what cases there are.
        run = chosen if mutant.function else sorted(set(map(_file, chosen)), key=near.index)
        with self._tree.changed(file, changed):
            return self._cold.run(tests=run, **self._bounds(chosen))

    def _near(self, file: str) -> list[str]:
        """The files of tests for a fresh process: those that run most of a source, and those that name it."""
        module = file.removeprefix("src/").removesuffix(".py").replace("/", ".")
        room, _, name = module.rpartition(".")
        names = re.compile(rf"from {re.escape(module)} import|from {re.escape(room)} import .*\b{name}\b")
        nearest = self.survey.nearest(file)
        return nearest[:NEAREST_FILES] + [
            test for test in nearest[NEAREST_FILES:] if names.search((self._tree.path / test).read_text(encoding="utf-8"))
        ]

    def _bounds(self, tests: list[str]) -> dict[str, Any]:
        """How long these tests may take, each and together with an import."""
        limits = {name: timeout_s(self.survey.seconds[name]) for name in tests}
        return {"limits": limits, "timeout_s": timeout_s(self.survey.total_s(tests)) + 10}

    def semantic(self, file: str, changed: str, tests: list[str]) -> Outcome:
        """Run the files of tests that must notice a semantic mutant."""
        with self._tree.changed(file, changed):
            return self._cold.run(tests=tests, timeout_s=300.0)
