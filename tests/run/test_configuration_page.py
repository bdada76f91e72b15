"""The page of the configuration names every key that there is, with its default, and none that there is not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from interlock.run import config as c
from interlock.run.strategy_params import parameters

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
SECTIONS = {"venues", "instruments", "model", "reporting", "making", "arbitrage", "live", "edge"}
ROW = re.compile(r"^\| (`[^|]+`) \| ([^|]+) \|")
ELSEWHERE = {"making": {"instrument", "params"}, "arbitrage": {"pairs", "fx_instrument", "params"}}
"""What a text tells of a section, above the table of its parameters."""


def page() -> dict[str, str]:
    """The text under each heading of the second order."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def told(text: str) -> dict[str, str]:
    """Each key of a part's tables with what is said of its default; keys that share a row have defaults in turn, or one for all."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        row = ROW.match(line)
        if row is None:
            continue
        keys = re.findall(r"`([^`]+)`", row[1])
        defaults = re.findall(r"`([^`]+)`", row[2])
        if len(defaults) not in (len(keys), 1):
            defaults = [row[2].strip()]
        found |= dict(zip(keys, defaults if len(defaults) == len(keys) else defaults * len(keys), strict=True))
    return found


def usual(kind: type[BaseModel]) -> dict[str, Any]:
    return {name: field.default for name, field in kind.model_fields.items()}


def check(said: Mapping[str, str], known: Mapping[str, Any]) -> None:
    assert set(said) == set(known)
    for name, default in known.items():
        if default is PydanticUndefined:
            assert said[name].startswith("required"), name
        elif isinstance(default, bool):
            assert said[name] == str(default).lower(), name
        elif isinstance(default, int | float):
            assert said[name] == str(default), name
        elif isinstance(default, str):
            assert said[name] == f'"{default}"', name
        else:
            assert said[name] == "none" or not said[name].startswith("required"), name


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("`[venues.VENUE]`", c.VenueConfig),
        ('`[instruments."VENUE:SYMBOL"]`', c.InstrumentConfig),
        ("`[model]`: the matching model", c.ModelConfig),
        ("`[reporting]`", c.ReportingConfig),
    ],
)
def test_every_key_of_a_section_stands_there_with_its_default(heading: str, kind: type[BaseModel]) -> None:
    check(told(page()[heading]), usual(kind))


def test_every_key_of_the_top_stands_there() -> None:
    known = usual(c.RunConfig)
    assert set(known) >= SECTIONS
    check(told(page()["Top level"]), {name: default for name, default in known.items() if name not in SECTIONS})
    for section in SECTIONS:
        assert any(f"`[{section}" in heading for heading in page()), section


@pytest.mark.parametrize("section", ["making", "arbitrage"])
def test_every_parameter_of_a_strategy_stands_there_with_its_default(section: str) -> None:
    text = page()[f"`[{section}]`"]
    check(told(text), parameters(section))
    kinds: dict[str, type[BaseModel]] = {"making": c.MakingConfig, "arbitrage": c.ArbitrageConfig}
    kind = kinds[section]
    assert set(usual(kind)) == ELSEWHERE[section]
    assert all(f"`{name}`" in text or f".{name}]`" in text for name in ELSEWHERE[section])


def test_what_a_run_needs_besides_stands_there() -> None:
    known = {f"live.{name}": value for name, value in usual(c.LiveConfig).items()}
    known |= {f"edge.{name}": value for name, value in usual(c.EdgeConfig).items()}
    check(told(page()["`[live]` and `[edge]`: what a run against venues needs besides"]), known)


def test_what_stands_in_a_value_is_named_too() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for kind in (c.BudgetConfig, c.OverloadConfig, c.FeesConfig, c.RateConfig, c.PairConfig):
        assert f"{{ {', '.join(kind.model_fields)} }}" in text, kind.__name__


def test_a_key_that_is_missing_or_has_another_default_is_found() -> None:
    text = page()["`[model]`: the matching model"]
    check(told(text), usual(c.ModelConfig))
    for harmed in (
        text.replace("| `queue_power` | `2.0` |", "| `queue_power` | `3.0` |"),
        text.replace("| `queue_power` | `2.0` | of `power` |\n", ""),
    ):
        assert harmed != text
        with pytest.raises(AssertionError):
            check(told(harmed), usual(c.ModelConfig))
