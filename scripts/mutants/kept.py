"""Outcomes that last: one line of JSON for each judged mutant, so that a run that was cut off goes on, and only survivors are tried again.

A mutant is known by the text of the function, or of the statement at module level, that it changes and by the place in it: another function of the
file may change meanwhile. A kill stays one while that text stays, because tests are added and seldom taken away; a survivor is judged anew each time.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.mutants.operators import Mutant
from scripts.mutants.trees import Outcome


class Kept(NamedTuple):
    """What became of a mutant, and at which commit that was seen."""

    outcome: Outcome
    commit: str


class Names:
    """Names of the mutants of one source, the same wherever its text stands in the file."""

    def __init__(self, file: str, source: str) -> None:
        self._file = file
        self._bytes = source.encode()
        starts = [0]
        for line in self._bytes.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self._spans = sorted(
            (starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset)
            for node in _pieces(ast.parse(source).body)
            if node.end_lineno is not None and node.end_col_offset is not None
        )

    def of(self, mutant: Mutant) -> str:
        """The name of a mutant."""
        first, last = next((span for span in self._spans if span[0] <= mutant.start and mutant.end <= span[1]), (0, len(self._bytes)))
        text = hashlib.sha256(self._bytes[first:last]).hexdigest()[:16]
        return f"{self._file} {text} {mutant.start - first}-{mutant.end - first} {mutant.text}"


def _pieces(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _pieces(node.body)
        else:
            yield node


def read(path: Path, *, survivors: bool = False) -> dict[str, Kept]:
    """The kills of earlier runs, and the survivors if asked; none if there is no such file. A line that broke off in the middle is left out."""
    found: dict[str, Kept] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                one = json.loads(line)
                found[one["name"]] = Kept(Outcome(one["outcome"], one["by"], one["seconds"]), one["commit"])
    return {name: kept for name, kept in found.items() if survivors or kept.outcome.outcome != "survived"}


class Keeper:
    """Adds outcomes to a file, each at once. Used from several threads."""

    def __init__(self, path: Path, commit: str) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._commit = commit
        if self._file.tell():
            self._file.write("\n")  # after a line that broke off

    def add(self, name: str, outcome: Outcome) -> None:
        """Keep one outcome."""
        self._file.write(json.dumps({"name": name, **outcome._asdict(), "commit": self._commit}) + "\n")

    def close(self) -> None:
        """Nothing more is added."""
        self._file.close()
