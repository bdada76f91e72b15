"""The parameters of the strategies by the section of a configuration, with what they are when nobody says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

FIXED = frozenset({"fx_instrument"})
"""Parameters that a section says in another key."""


def parameters(section: str) -> dict[str, float]:
    """Each parameter of a strategy's section with its default; nothing for a section that is no strategy's."""
    kind = _kinds().get(section)
    if kind is None:
        return {}
    usual: dict[str, float] = asdict(kind())
    return {name: value for name, value in usual.items() if name not in FIXED}


def problem(section: str, given: Mapping[str, float]) -> tuple[str, str] | None:
    """The first parameter that is wrong and why; an empty name where it is several together. None where all is right."""
    known = parameters(section)
    for name in given:
        if name not in known:
            return name, f"unknown key, a parameter that {section} does not have; known are {', '.join(known)}"
    try:
        _kinds()[section](**given)
    except ValueError as error:
        return "", str(error)
    return None


def _kinds() -> dict[str, Any]:
    # Late: the records stand beside kernels, which only a run needs.
    from interlock.strategies.arbitrage import ArbitrageParams
    from interlock.strategies.making import MakingParams

    return {"making": MakingParams, "arbitrage": ArbitrageParams}
