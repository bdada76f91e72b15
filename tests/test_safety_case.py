"""The safety case names every id once, and every test that it names is there: a test that is renamed or removed takes its row with it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "safety-case.md"
OF_SEVERITY_B = frozenset({9, 25, 31, 40, 57, 59, 63})
IDS = (
    *(f"E{n}" for n in range(1, 16)),
    *(f"S{n}" for n in range(1, 31)),
    *(f"L{n}" for n in range(1, 13)),
    *(f"H{n}" for n in range(1, 67) if n not in OF_SEVERITY_B),
)
NO_TEST = "no test: "
SHORTEST_REASON = 20
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def problems(text: str, wanted: Iterable[str], exists: Callable[[str], bool]) -> list[str]:
    """Everything that is wrong with the tables in `text`, in words. `exists` says whether there is a test of that node id, parameters left out."""
    found, seen = [], Counter[str]()
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells or not cells[0][1:].isdecimal() or not cells[0][0].isupper():
            continue
        seen[cells[0]] += 1
        if len(cells) != 4:
            found.append(f"{cells[0]}: expected four cells, found {len(cells)}")
            continue
        found += [f"{cells[0]}: {problem}" for problem in _row(cells[1], cells[2], exists)]
    ids = tuple(wanted)
    found += [f"{name}: expected one row, found {seen[name]}" for name in ids if seen[name] != 1]
    found += [f"{name}: expected no such row" for name in seen if name not in ids]
    return found


def _row(what: str, shown_by: str, exists: Callable[[str], bool]) -> Iterable[str]:
    if not what:
        yield "expected what it is about, found nothing"
    if shown_by.startswith(NO_TEST):
        if len(shown_by) < len(NO_TEST) + SHORTEST_REASON:
            yield f"expected a reason for having no test, found {shown_by!r}"
        return
    names = [part.strip() for part in shown_by.split(", ")]
    for name in names:
        if not (name.startswith("`tests/") and name.endswith("`") and "::" in name):
            yield f"expected the node id of a test in backticks, or {NO_TEST!r} and why, found {name!r}"
        elif not exists(name.strip("`").partition("[")[0]):
            yield f"expected {name} to be a test, found none; was it renamed?"
    if len(set(names)) != len(names):
        yield "expected each test once, found one twice"


class Sources:
    """Which tests the files of a folder hold, read as source."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[str, frozenset[str]] = {}

    def exists(self, node_id: str) -> bool:
        """Whether there is such a test: a function, a method of a test class, or a state machine's test case."""
        file, _, name = node_id.partition("::")
        if file not in self._read:
            self._read[file] = _names(self._root / file)
        return name in self._read[file]


def _names(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, _FUNCTION) and node.name.startswith("test_"):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            inner = [one.name for one in node.body if isinstance(one, _FUNCTION)]
            found |= {f"{node.name}::{name}" for name in inner if name.startswith("test_")}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute) and node.value.attr == "TestCase":
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


def test_every_id_has_its_row_and_every_test_that_is_named_exists() -> None:
    assert problems(DOCUMENT.read_text(encoding="utf-8"), IDS, Sources(ROOT).exists) == []


SOUND = """
| id | what | shown by | not shown |
|---|---|---|---|
| S1 | one thing | `tests/test_a.py::test_one`, `tests/test_a.py::test_two[case-1]` | |
| S2 | another | no test: there is nothing of it yet | |
| S3 | a third | `tests/test_a.py::TestMany::test_three`, `tests/test_a.py::TestMachine` | a part |
"""
SOURCE = """
import pytest
def test_one(): ...
@pytest.mark.parametrize("x", [1])
async def test_two(x): ...
def ordinary(): ...
class TestMany:
    def test_three(self): ...
    def other(self): ...
class Machine: ...
TestMachine = Machine.TestCase
test_value = 3
"""


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def test_a_sound_table_has_no_problems(made_up: Path) -> None:
    assert problems(SOUND, ("S1", "S2", "S3"), Sources(made_up).exists) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("def test_one", "def test_renamed", "S1: expected `tests/test_a.py::test_one` to be a test, found none; was it renamed?"),
        ("def test_two", "def two", "S1: expected `tests/test_a.py::test_two[case-1]` to be a test, found none; was it renamed?"),
        ("test_three", "three", "S3: expected `tests/test_a.py::TestMany::test_three` to be a test, found none; was it renamed?"),
        ("TestMachine =", "machine =", "S3: expected `tests/test_a.py::TestMachine` to be a test, found none; was it renamed?"),
    ],
)
def test_a_test_that_was_renamed_is_told(made_up: Path, old: str, new: str, problem: str) -> None:
    file = made_up / "tests" / "test_a.py"
    file.write_text(SOURCE.replace(old, new), encoding="utf-8")
    assert problems(SOUND, ("S1", "S2", "S3"), Sources(made_up).exists) == [problem]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("| S2 |", "| S1 |", "S1: expected one row, found 2"),
        ("| S2 |", "| S9 |", "S9: expected no such row"),
        ("| S2 | another | no test: there is nothing of it yet | |\n", "", "S2: expected one row, found 0"),
        ("there is nothing of it yet", "later", "S2: expected a reason for having no test"),
        ("no test: there is nothing of it yet", "", "S2: expected the node id of a test in backticks"),
        ("tests/test_a.py::test_one", "tests/test_b.py::test_one", "S1: expected `tests/test_b.py::test_one` to be a test"),
        ("::test_one", "::ordinary", "S1: expected `tests/test_a.py::ordinary` to be a test"),
        ("::test_one", "::test_value", "S1: expected `tests/test_a.py::test_value` to be a test"),
        ("`tests/test_a.py::test_one`", "test_one", "S1: expected the node id of a test in backticks"),
        ("test_two[case-1]", "test_one", "S1: expected each test once, found one twice"),
        ("| one thing |", "| |", "S1: expected what it is about, found nothing"),
        ("| a part |", "|", "S3: expected four cells, found 3"),
    ],
)
def test_what_is_wrong_with_a_row_is_told(made_up: Path, old: str, new: str, problem: str) -> None:
    assert old in SOUND
    found = problems(SOUND.replace(old, new), ("S1", "S2", "S3"), Sources(made_up).exists)
    assert any(one.startswith(problem) for one in found), found
