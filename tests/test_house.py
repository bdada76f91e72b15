"""House rules as checks: each looks at the tracked files and names the line that breaks a rule.

A line that must break a rule of wording carries `house: allows <rule>` with a reason.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# Written in pieces so that this file keeps the rules that it checks.
MACHINE_FOLDERS = ("home", "root", "work", "opt", "Users")
MACHINE_PATH = re.compile(r"(?<![\w.:/*$}\-])/(?:" + "|".join(MACHINE_FOLDERS) + r")/[\w.]")
INDEX_HOST = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("".join(("python", "hosted")), "org"),
            ("registry", "npmjs"),
            ("registry", "yarnpkg"),
            ("deb", "debian", "org"),
        )
    )
)

# Where the world comes in: the clock, and the modules that put the parts together.
COMPOSITION = (
    "src/interlock/domain/clock.py",
    "src/interlock/cli/",
    "src/interlock/run/",
    # the sentinel is a process that needs nothing of `run`, and puts itself together
    "src/interlock/sentinel/process.py",
    # numba fixes its cache folder when a function is decorated, so this one reads the environment at import
    "src/interlock/market/compiled.py",
)

AMBIENT_MODULES = {"random", "secrets", "uuid"}
AMBIENT_NAMES = {
    *(("time", name) for name in ("time", "time_ns")),
    *(("datetime", name) for name in ("now", "utcnow", "today")),
    *(("date", name) for name in ("today",)),
    *(("os", name) for name in ("environ", "getenv", "environb", "urandom")),
}


def tracked_files() -> list[Path]:
    """Return the files that git tracks and that are there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip(f"the house rules look at a git checkout: {listed.stderr.strip()}")
    names = [name for name in listed.stdout.split("\0") if name]
    assert names, "git tracks no files here"
    return [REPOSITORY / name for name in names if (REPOSITORY / name).is_file()]


def relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def lines_with(pattern: re.Pattern[str], rule: str) -> list[str]:
    """Return `file:line: text` for the lines of tracked text files that match and carry no exception."""
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if pattern.search(line) and f"house: allows {rule}" not in line:
                found.append(f"{relative(path)}:{number}: {line.strip()[:120]}")
    return found


def python_trees(*under: str) -> Iterator[tuple[str, ast.Module]]:
    for path in tracked_files():
        name = relative(path)
        if path.suffix == ".py" and name.startswith(under):
            yield name, ast.parse(path.read_text(encoding="utf-8"), filename=name)


def locks() -> list[Path]:
    found = sorted((REPOSITORY / "requirements").glob("*.txt"))
    assert found, "expected hashed locks in requirements/, found none: run make lock"
    return found


def test_no_file_names_a_path_of_one_machine() -> None:
    found = lines_with(MACHINE_PATH, "machine-path")
    assert not found, "write the path relative to the repository, or take it as an option:\n" + "\n".join(found)


def test_no_file_names_a_package_index() -> None:
    found = lines_with(INDEX_HOST, "index-host")
    assert not found, "which index serves a package is the reader's choice; leave it out:\n" + "\n".join(found)


@pytest.mark.parametrize("text", ["cd /" + "home/me/x", "'/" + "work/a'", "see https://pypi." + "org/x"])
def test_the_patterns_find_what_they_are_for(text: str) -> None:
    assert MACHINE_PATH.search(text) or INDEX_HOST.search(text)


@pytest.mark.parametrize("text", ["../work/a", "https://example.invalid/home/x", "tests/work/a", "a / work / b"])
def test_the_patterns_leave_other_text_alone(text: str) -> None:
    assert not MACHINE_PATH.search(text)


def test_locks_hold_no_address_and_a_hash_for_every_requirement() -> None:
    for lock in locks():
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text, f"{relative(lock)} holds an address: run make lock"
        assert not re.search(r"^\s*(-i|-f|--index|--extra-index|--find-links|--trusted)", text, re.MULTILINE), (
            f"{relative(lock)} holds an option that names an index: run make lock"
        )
        for requirement in re.sub(r"\\\n", " ", text).splitlines():
            if requirement and not requirement.startswith("#"):
                assert re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement), (
                    f"{relative(lock)}: expected name==version with hashes, found {requirement[:80]!r}"
                )


def test_locks_agree_with_each_other() -> None:
    versions: dict[str, tuple[str, str]] = {}
    # The clients have an environment of their own, and pin what they like.
    for lock in (lock for lock in locks() if lock.name != "clients.txt"):
        for line in lock.read_text(encoding="utf-8").splitlines():
            pinned = re.match(r"([\w.-]+)==(\S+)( ;.*?)?(?: \\)?$", line)
            if not pinned:
                continue
            key = pinned[1] + (pinned[3] or "").rstrip()
            version, first = versions.setdefault(key, (pinned[2], relative(lock)))
            assert version == pinned[2], f"{key} is {version} in {first}, {pinned[2]} in {relative(lock)}"


def test_the_project_and_the_lock_ask_for_the_same_packages() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (REPOSITORY / "requirements" / "runtime.in").read_text(encoding="utf-8").splitlines()
    wanted = sorted(line for line in lines if line and not line.startswith("#"))
    assert sorted(project["dependencies"]) == wanted


def test_no_uv_lock_is_tracked() -> None:
    found = [relative(path) for path in tracked_files() if path.name == "uv.lock"]
    assert not found, f"uv.lock records addresses; the locks are requirements/*.txt: git rm {' '.join(found)}"


def ambient_uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, what) for every use of the machine's clock, chance or environment."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    if alias.name.partition(".")[0] in AMBIENT_MODULES:
                        yield node.lineno, f"import {alias.name}"
            case ast.ImportFrom(module=str(module), names=names, level=0):
                for alias in names:
                    if module in AMBIENT_MODULES or (module, alias.name) in AMBIENT_NAMES:
                        yield node.lineno, f"from {module} import {alias.name}"
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=attr):
                if (owner, attr) in AMBIENT_NAMES:
                    yield node.lineno, f"{owner}.{attr}"
            case ast.Call(func=ast.Attribute(attr="default_rng"), args=[], keywords=[]):
                yield node.lineno, "default_rng() without a seed"


def test_time_chance_and_environment_come_in_through_ports() -> None:
    found = [
        f"{name}:{line}: {what}"
        for name, tree in python_trees("src/interlock/")
        if not name.startswith(COMPOSITION)
        for line, what in ambient_uses(tree)
    ]
    assert not found, "take a Clock, a seed or a configuration value from the caller, so that a replay repeats:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "import time; time.time()",
        "from time import time_ns",
        "import datetime; datetime.datetime.now()",
        "from datetime import datetime; datetime.now(tz=UTC)",
        "import random",
        "from uuid import uuid4",
        "import os; os.environ['A']",
        "import os; os.getenv('A')",
        "np.random.default_rng()",
    ],
)
def test_ambient_uses_are_found(source: str) -> None:
    assert list(ambient_uses(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "clock.now()",
        "event.time",
        "np.random.default_rng(7)",
        "'os.environ'",
        "import os.path",
        "self.time()",
    ],
)
def test_other_uses_are_left_alone(source: str) -> None:
    assert not list(ambient_uses(ast.parse(source)))


def test_tests_use_fakes_not_mocks() -> None:
    found = []
    for name, tree in python_trees("tests/"):
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=names) if any(alias.name.startswith("unittest") for alias in names):
                    found.append(f"{name}:{node.lineno}")
                case ast.ImportFrom(module=str(module)) if module.startswith("unittest"):
                    found.append(f"{name}:{node.lineno}")
                case ast.arg(arg="mocker"):
                    found.append(f"{name}:{node.lineno}")
    assert not found, "write a fake at the seam (Clock, Venue, disk, Random ...):\n" + "\n".join(found)


def test_shell_scripts_stop_at_the_first_error() -> None:
    for path in tracked_files():
        if path.suffix == ".sh" or relative(path) == ".ci/run":
            assert "set -euo pipefail" in path.read_text(encoding="utf-8"), f"{relative(path)}: set -euo pipefail"


TESTS_THAT_READ_DATA = """
import pytest

@pytest.mark.data("books")
def test_reads(data_dir):
    assert data_dir.name == "recorded"

@pytest.mark.data("books", "trades")
def test_looks_in_the_wrong_place(data_dir):
    pytest.skip("no such file")
"""


@pytest.mark.parametrize(
    ("present", "required", "exit_code", "books", "trades"),
    [
        (False, False, 0, "0 passed, 2 skipped, 0 failed", "0 passed, 1 skipped, 0 failed"),
        (False, True, 0, "0 passed, 2 skipped, 0 failed", "0 passed, 1 skipped, 0 failed"),
        (True, False, 0, "1 passed, 1 skipped, 0 failed", "0 passed, 1 skipped, 0 failed"),
        (True, True, 1, "1 passed, 0 skipped, 1 failed", "0 passed, 0 skipped, 1 failed"),
    ],
)
def test_the_summary_accounts_for_every_data_set(
    tmp_path: Path, present: bool, required: bool, exit_code: int, books: str, trades: str
) -> None:
    shutil.copy(REPOSITORY / "tests" / "conftest.py", tmp_path)
    (tmp_path / "tests").mkdir()
    shutil.copy(REPOSITORY / "tests" / "host.py", tmp_path / "tests")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = data(name)\n", encoding="utf-8")
    (tmp_path / "test_it.py").write_text(TESTS_THAT_READ_DATA, encoding="utf-8")
    if present:
        (tmp_path / "recorded").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "."],
        cwd=tmp_path,
        env={
            **os.environ,
            "INTERLOCK_DATA": str(tmp_path / "recorded"),
            "INTERLOCK_REQUIRE_DATA": "1" if required else "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    shown = done.stdout.splitlines()
    assert done.returncode == exit_code, done.stdout + done.stderr
    assert f"data books: {books}" in shown
    assert f"data trades: {trades}" in shown
    assert re.search(r" in \d", shown[-1]), "the closing summary must stay the last line"
