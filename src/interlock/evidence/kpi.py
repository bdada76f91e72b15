"""The one schema of `kpi.json`: every key with type, unit, formula, reference price and sampling. docs/kpi.md is made from it, and every
file of figures is checked against it before it is written.

Every key is always present. A key that makes no sense for a run is null and its name stands in `not_applicable`; it is never 0.

    python -m interlock.evidence.kpi docs/kpi.md     writes the document
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interlock.evidence.kpi_fields import KPI_SCHEMA, SCHEMA, Field

_TYPES: Mapping[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "text": (str,),
    "object": (dict,),
    "list": (list,),
}


NAMES: tuple[str, ...] = tuple(f.name for f in SCHEMA)


def complete(values: Mapping[str, Any]) -> dict[str, Any]:
    """The figures in the schema's order, `not_applicable` filled in from what is null, checked.

    Raises ValueError as `validate` does.
    """
    kpi = {name: values[name] for name in NAMES if name in values}
    kpi["not_applicable"] = [name for name, value in kpi.items() if value is None]
    kpi.update({name: value for name, value in values.items() if name not in kpi})
    validate(kpi)
    return kpi


def validate(kpi: Mapping[str, Any]) -> None:
    """Raise ValueError that lists every key that is missing, unknown, of the wrong type, not finite, or null without a right to be."""
    problems = [f"{name}: missing" for name in NAMES if name not in kpi]
    problems += [f"{name}: unknown key" for name in kpi if name not in NAMES]
    absent = kpi.get("not_applicable")
    named = set(absent) if isinstance(absent, list) else set()
    for field in SCHEMA:
        if field.name in kpi:
            problems += _problems(field, kpi[field.name], field.name in named, str(kpi.get("strategy_kind")))
    if problems:
        raise ValueError(f"kpi: expected the schema of docs/kpi.md (version {KPI_SCHEMA}), found " + "; ".join(problems))


def _problems(field: Field, value: Any, named: bool, kind: str) -> list[str]:
    if value is None:
        if not named:
            return [f"{field.name}: null but not in not_applicable"]
        if not field.optional and field.strategies in ("both", kind):
            return [f"{field.name}: null, but it always has a value"]
        return []
    if named:
        return [f"{field.name}: in not_applicable but not null"]
    if field.strategies not in ("both", kind):
        return [f"{field.name}: only for {field.strategies}, expected null"]
    if not isinstance(value, _TYPES[field.type]) or isinstance(value, bool):
        return [f"{field.name}: expected {field.type}, found {type(value).__name__}"]
    return _not_finite(field.name, value)


def _not_finite(name: str, value: Any) -> list[str]:
    """Numbers that JSON cannot hold, at any depth."""
    if isinstance(value, float):
        return [] if math.isfinite(value) else [f"{name}: {value} is not a number"]
    if isinstance(value, dict):
        return [p for key, inner in value.items() for p in _not_finite(f"{name}.{key}", inner)]
    if isinstance(value, list):
        return [p for i, inner in enumerate(value) for p in _not_finite(f"{name}[{i}]", inner)]
    return []


_HEAD = f"""# KPI

Generated from `interlock.evidence.kpi` (`python -m interlock.evidence.kpi docs/kpi.md`); do not edit. Schema version {KPI_SCHEMA}.

Every key is always present. A key that makes no sense for a run is `null` and its name stands in `not_applicable`; it is never 0.
Money is signed as it changes the account: what is paid is negative. Numbers are JSON numbers; the exact decimals stand in `exact`.
`start_time` and `end_time` are unix seconds of the market's window, not of the process.

| key | type | unit | formula | reference price | sampling | strategies | may be null |
|---|---|---|---|---|---|---|---|
"""


def kpi_markdown() -> str:
    """docs/kpi.md."""
    rows = [
        f"| `{f.name}` | {f.type} | {f.unit} | {f.formula} | {f.reference} | {f.sampling} | {f.strategies} | {_yes(f.optional)} |"
        for f in SCHEMA
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def main(arguments: list[str]) -> int:
    """Write the document to the path given."""
    if len(arguments) != 1:
        sys.stderr.write("expected one argument, the file to write: python -m interlock.evidence.kpi docs/kpi.md\n")
        return 2
    Path(arguments[0]).write_text(kpi_markdown(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
