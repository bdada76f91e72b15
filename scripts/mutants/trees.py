"""A copy of the checkout in which sources may be broken, and the two processes that run tests in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
NURSERY = Path(__file__).with_name("nursery.py")


class Outcome(NamedTuple):
    """What became of one run: `survived` (all tests passed), `killed`, `timed out`; `by` is the test that failed first."""

    outcome: str
    by: str
    seconds: float


class Nursery:
    """A process that runs tests in a copy; a child for each task. Stopped by its process id when the block ends."""

    def __init__(self, tree: Path, temporary: Path, mode: str, paths: Sequence[str]) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(tree / "src"),
            "INTERLOCK_CACHE_DIR": str(temporary / "cache"),
            "MUTANTS_TMP": str(temporary),
        }
        self._said = temporary / f"{mode}.txt"
        command = [sys.executable, str(NURSERY), mode, *paths]
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                command, cwd=tree, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
            )
        self._mode = mode
        self._answer()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, **task: Any) -> Outcome:
        """Give it a task and wait for the answer. Raises RuntimeError when the process or the task is broken."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"task": "mutant", "source": "", **task}) + "\n")
        self._process.stdin.flush()
        outcome = Outcome(**self._answer())
        if outcome.outcome == "broken":
            raise self._broken("is at fault, not a mutant")
        return outcome

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._broken(f"has ended with exit code {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def _broken(self, what: str) -> RuntimeError:
        return RuntimeError(f"the {self._mode} process of the tests {what}; it said:\n{self.said()}")

    def said(self) -> str:
        """The end of what its tests printed."""
        return self._said.read_text(encoding="utf-8", errors="replace")[-4000:]


class Tree:
    """One copy. `temporary` is where its tests may write."""

    def __init__(self, path: Path, temporary: Path) -> None:
        self.path = path
        self.temporary = temporary

    @contextmanager
    def changed(self, file: str, source: str) -> Iterator[None]:
        """Have another source in a file while the block runs. The old one gets its old time back, by which its compiled form is known."""
        path = self.path / file
        text, stamp = path.read_bytes(), path.stat()
        path.write_text(source, encoding="utf-8")
        try:
            yield
        finally:
            path.write_bytes(text)
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def copied(folder: Path, number: int) -> Tree:
    """Copy what git tracks, and what it would, into a new folder below this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src", "tests", "benchmarks", "docs", "scripts", "*.toml"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    tree, temporary = folder / f"tree{number}", folder / str(number)
    temporary.mkdir()
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, tree / name)
    return Tree(tree, temporary)


def revision() -> tuple[str, bool]:
    """The commit, and whether sources and tests are as it has them."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "HEAD"), not git("status", "--porcelain", "src", "tests", "scripts")
