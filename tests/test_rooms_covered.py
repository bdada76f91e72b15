"""The gate of `make test` on the rooms that an order passes through."""

from __future__ import annotations

from pathlib import Path

from scripts.mutants.rooms import ROOMS, path_of
from scripts.rooms_covered import short_of

WHOLE: dict[str, list[object]] = {"missing_lines": [], "missing_branches": []}


def test_what_was_taken_whole_is_not_told_and_what_was_not_is() -> None:
    files = {
        "whole.py": WHOLE,
        "lines.py": {"missing_lines": [3, 9], "missing_branches": []},
        "branches.py": {"missing_lines": [], "missing_branches": [[4, 7], [8, -2]]},
        "elsewhere.py": {"missing_lines": [1], "missing_branches": []},
    }
    assert short_of(files, ["whole.py"]) == []
    assert short_of(files, ["lines.py", "whole.py", "branches.py", "away.py"]) == [
        "lines.py: lines [3, 9], branches []",
        "branches.py: lines [], branches [4->7, 8->exit]",
        "away.py: not measured at all",
    ]


def test_every_module_that_is_named_is_there() -> None:
    modules = [module for room in ROOMS.values() for module in room]
    assert len(modules) == len(set(modules)) > 40
    assert [path for path in map(path_of, modules) if not Path(__file__).parents[1].joinpath(path).exists()] == []
