"""The tool that makes mutants: what it changes, that it tells the noticed from the unnoticed, and that its lists still fit the sources."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from scripts.mutants.__main__ import onto
from scripts.mutants.judge import Judge, surveyed
from scripts.mutants.kept import Keeper, Kept, Names, read
from scripts.mutants.operators import Mutant, candidates, compiles, mutants
from scripts.mutants.rooms import ROOMS, path_of
from scripts.mutants.trees import REPOSITORY, Nursery, Outcome, Tree, copied
from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.semantic import SEMANTIC, Semantic


def source_of(file: str) -> str:
    return (REPOSITORY / file).read_text(encoding="utf-8")


# The lists


@pytest.mark.parametrize("mutant", SEMANTIC, ids=lambda mutant: mutant.name)
def test_every_semantic_mutant_still_has_its_place(mutant: Semantic) -> None:
    changed = mutant.applied(source_of(mutant.file))
    compile(changed, mutant.file, "exec", dont_inherit=True)
    assert changed != source_of(mutant.file)
    assert mutant.tests
    assert [name for name in mutant.tests if not (REPOSITORY / name).is_file()] == []


def test_a_semantic_mutant_whose_text_has_changed_is_refused() -> None:
    gone = SEMANTIC[0]._replace(old="no such text")
    with pytest.raises(ValueError, match="found it 0 times"):
        gone.applied(source_of(gone.file))


def test_every_mutant_that_is_justified_is_still_made() -> None:
    justified = {e[:5] for e in EQUIVALENT}
    made = set()
    for file in {e.file for e in EQUIVALENT}:
        source = source_of(file)
        for m in candidates(source):
            key = (file, m.function, m.at, m.before, m.after)
            # Only what is justified is compiled: to compile all ten thousand takes half a minute.
            if key in justified and key not in made and compiles(m.applied(source)):
                made.add(key)
    assert justified - made == set()
    assert len({e[:5] for e in EQUIVALENT}) == len(EQUIVALENT)


def test_every_module_that_is_named_exists_and_has_mutants() -> None:
    for modules in ROOMS.values():
        for module in modules:
            assert (REPOSITORY / path_of(module)).is_file()
    assert len(mutants(source_of(path_of("limits")))) > 100


def test_what_is_told_of_the_last_result_is_what_it_says() -> None:
    result = json.loads(source_of("tests/mutants/result.json"))
    text = " ".join(source_of("docs/mutants.md").split())
    total = Counter[str]()
    for counts in result["modules"].values():
        total.update(counts)
    assert f"**{total['mutants']:,} mutants, {total['killed']:,} killed, {total['timed_out']} not ended in time, " in text
    assert f"{total['justified']} justified, none left**; all of the {len(result['semantic'])} named defects killed" in text
    assert (result["survivors"], result["not_judged"], {one["outcome"] for one in result["semantic"]}) == ([], {}, {"killed"})
    rows = re.findall(r"\| `(\w+\.py)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", text)
    told = {name: tuple(map(int, figures)) for name, *figures in rows}
    assert told
    for name, figures in told.items():
        counts = result["modules"][f"src/interlock/gate/{name}"]
        assert figures == (counts["mutants"], counts["killed"], counts["timed_out"], counts["justified"])


def test_what_was_not_judged_again_is_told_as_the_earlier_result_has_it_and_from_when_that_is() -> None:
    def told(commit: str, modules: dict[str, int], survivors: list[str] | None = None, semantic: str = "") -> dict[str, Any]:
        return {
            "commit": commit,
            "judged_at": {commit: sum(modules.values())},
            "modules": {file: {"mutants": count} for file, count in modules.items()},
            "survivors": [{"file": file} for file in survivors or []],
            "semantic": [{"name": semantic}] if semantic else [],
            "not_judged": dict.fromkeys(survivors or [], 1),
            "unsteady": [],
        }

    first = told("1", {"a": 1, "b": 2, "c": 3}, ["a", "b"], "one")
    second = onto(first, told("2", {"b": 20}))
    assert second["modules"] == {"a": {"mutants": 1}, "b": {"mutants": 20}, "c": {"mutants": 3}}
    assert (second["survivors"], second["not_judged"], second["semantic"]) == ([{"file": "a"}], {"a": 1}, [{"name": "one"}])
    assert (second["commit"], second["judged_at"]) == ("2", {"2": 20})
    assert second["earlier"] == [{"commit": "1", "judged_at": {"1": 6}, "modules": ["a", "c"]}]
    third = onto(second, told("3", {"a": 10}, semantic="two"))
    assert third["earlier"] == [
        {"commit": "1", "judged_at": {"1": 6}, "modules": ["c"]},
        {"commit": "2", "judged_at": {"2": 20}, "modules": ["b"]},
    ]
    assert (third["survivors"], third["not_judged"], third["semantic"]) == ([], {}, [{"name": "two"}])


# What is changed


def changes(source: str) -> list[str]:
    return [mutant.applied(source) for mutant in mutants(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b < c", ["a = (b <= c)", "a = (b >= c)"]),
        ("a = b == 0", ["a = (b != 0)", "a = b == 1"]),
        ("a = b is None", ["a = (b is not None)"]),
        ("a = b and c", ["a = (b or c)", "a = (b)", "a = (c)"]),
        ("a = not b", ["a = (b)"]),
        ("a = b + 1", ["a = (b - 1)", "a = b + 0", "a = b + 2"]),
        ("a = min(b)", ["a = max(b)"]),
        ("a = True", ["a = False"]),
        ("a = 'text' + b", []),
        ("a = f'{b + 1}'", []),
        ("a: int | None = c", []),
        ("def f(b: int | None) -> int | None: f()", ["def f(b: int | None) -> int | None: pass"]),
        ("def f(): return b", ["def f(): return None"]),
        ("if b: c()", ["if False: c()", "if True: c()", "if b: pass"]),
        ("for a in b:\n    continue", ["for a in b:\n    break"]),
        ("a.b = c", ["pass"]),
        ("a = {b, c}", ["a = {b}", "a = {c}"]),
        ("a = b in (c, d)", ["a = (b not in (c, d))", "a = b in (c,)", "a = b in (d,)"]),
        ("a = {1: b, 2: c}", ["a = {1: b}", "a = {1: b, 2: b}", "a = {1: b, 3: c}", "a = {1: c, 2: c}", "a = {2: b, 2: c}", "a = {2: c}"]),
        ("a = isinstance(b, c | d)", ["a = isinstance(b, (c))", "a = isinstance(b, (d))"]),
        ("if TYPE_CHECKING:\n    a = 1", []),
    ],
)
def test_what_is_changed(source: str, expected: list[str]) -> None:
    found = set(changes(source))
    assert found >= set(expected)
    if not expected:
        assert not found


def test_a_mutant_says_where_it_is() -> None:
    source = "class A:\n    def b(self):\n        def c():\n            return (\n                d < e)\n"
    (mutant, *_) = [found for found in mutants(source) if found.before == "d < e"]
    assert (mutant.function, mutant.line, mutant.lines, mutant.at) == ("A.b", 5, (4, 5), "d < e)")


# That it tells the noticed from the unnoticed


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    with tempfile.TemporaryDirectory(prefix="m-") as folder:
        yield copied(Path(folder), 0)


CONNECTION = "tests/gate/test_connection.py"
CANCELS = "tests/gate/test_cancels.py"


def test_a_semantic_mutant_is_killed_and_the_unchanged_tree_passes(tree: Tree) -> None:
    (mutant,) = [mutant for mutant in SEMANTIC if mutant.name == "close for abort"]
    with Nursery(tree.path, tree.temporary, "cold", []) as cold:
        assert cold.run(tests=[CONNECTION], timeout_s=60).outcome == "survived"
        with tree.changed(mutant.file, mutant.applied(source_of(mutant.file))):
            outcome = cold.run(tests=[CONNECTION], timeout_s=60)
        assert (outcome.outcome, outcome.by.partition("::")[0]) == ("killed", CONNECTION)
        assert cold.run(tests=[CONNECTION], timeout_s=60).outcome == "survived"
    assert (tree.path / mutant.file).read_text(encoding="utf-8") == source_of(mutant.file)


def test_in_a_running_process_the_noticed_is_killed_and_the_unnoticed_survives(tree: Tree) -> None:
    file = path_of("cancels")
    source = source_of(file)
    made = {(mutant.function, mutant.before, mutant.after): mutant for mutant in mutants(source)}
    with Nursery(tree.path, tree.temporary, "warm", [CANCELS]) as warm, Nursery(tree.path, tree.temporary, "cold", []) as cold:
        judge = Judge(tree, warm, cold, surveyed(tree, warm, cold, [file]))

        def outcome(mutant: Mutant) -> str:
            return judge.judge(file, source, mutant).outcome

        assert outcome(made["due", "when <= boot_ns", "(when < boot_ns)"]) == "killed"
        assert outcome(made["_repeat_boot_ns", "40", "41"]) == "survived"
        assert outcome(made["", "250", "251"]) == "killed"  # made when the module is imported
        source = made["due", "when <= boot_ns", "(when > boot_ns)"]._replace(text="[1 for _ in iter(int, 1)]").applied(source)
        tests = list(judge.survey.seconds)
        for bounds in ({"limits": dict.fromkeys(tests, 0.3), "timeout_s": 60}, {"timeout_s": 0.3}):
            assert warm.run(file=file, source=source, function="due", tests=tests, **bounds).outcome == "timed out"


# What is kept from run to run


def names(source: str) -> list[str]:
    return [Names("a.py", source).of(mutant) for mutant in mutants(source)]


def test_a_mutant_keeps_its_name_while_other_functions_change() -> None:
    both = "class A:\n    def b(self):\n        return c < d\n\n    def e(self):\n        return f + 1\n"
    longer = both.replace("class A:\n", "class A:\n    new = 1\n\n").replace("f + 1", "f + 2")
    kept = [name.partition(" ")[2].split(" ", 2)[2] for name in names(both) if name in names(longer)]
    assert kept == ["(c <= d)", "(c >= d)", "None"]
    assert len(set(names(both))) == len(names(both)) > len(kept)


def test_kills_are_read_back_and_survivors_are_not(tmp_path: Path) -> None:
    kill, survivor = Outcome("killed", "a test", 0.5), Outcome("survived", "", 1.5)
    file = tmp_path / "kept.jsonl"
    assert read(file) == {}
    with closing(Keeper(file, "abc")) as keeper:
        for name, outcome in (("one", kill), ("two", survivor), ("three", kill), ("four", kill)):
            keeper.add(name, outcome)
    assert read(file, survivors=True)["two"] == Kept(survivor, "abc")
    file.write_bytes(file.read_bytes()[:-3])
    assert read(file) == {"one": Kept(kill, "abc"), "three": Kept(kill, "abc")}
    with closing(Keeper(file, "def")) as keeper:
        keeper.add("three", survivor)
        keeper.add("four", kill)
    assert read(file) == {"one": Kept(kill, "abc"), "four": Kept(kill, "def")}
