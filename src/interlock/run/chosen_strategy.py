"""Which strategy a configuration names: its kernel with its parameters, over instruments by their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interlock.domain.clock import NS_PER_MS
from interlock.domain.errors import BadInput
from interlock.domain.instruments import Instrument, Kind
from interlock.run.config import ArbitrageConfig, MakingConfig, RunConfig
from interlock.simulate.world import Strategy
from interlock.strategies import arbitrage, making
from interlock.strategies.params import index_of


def strategy_of(config: RunConfig, path: Path, instruments: Sequence[Instrument]) -> tuple[Strategy, tuple[tuple[int, int], ...]]:
    """The kernel that a configuration names with its parameters, and the pairs of instruments that it trades. Raises BadInput."""
    numbers = {i.key: n for n, i in enumerate(instruments)}
    if config.making is not None:
        return _making(config, path, config.making, numbers), ()
    assert config.arbitrage is not None
    return _arbitrage(config, path, config.arbitrage, numbers, tuple(instruments))


def _checked_params(kind: type[Any], given: Mapping[str, float], path: Path, section: str, **fixed: float) -> Any:
    known = index_of(kind)
    for name in given:
        if name not in known or name in fixed:
            raise BadInput(
                path, f"{section}.params.{name}", f"unknown parameter; known are {', '.join(n for n in known if n not in fixed)}"
            )
    try:
        return kind(**given, **fixed)
    except ValueError as error:
        raise BadInput(path, f"{section}.params", str(error)) from error


def _number(numbers: Mapping[str, int], key: str, path: Path, place: str) -> int:
    if key not in numbers:
        raise BadInput(path, place, f"{key!r} is none of the instruments here: {', '.join(sorted(numbers))}")
    return numbers[key]


def _making(config: RunConfig, path: Path, section: MakingConfig, numbers: Mapping[str, int]) -> Strategy:
    if _number(numbers, section.instrument, path, "making.instrument") != 0 or len(numbers) != 1:
        raise BadInput(path, "making.instrument", f"making quotes one instrument, on a tape of its own; found {len(numbers)}")
    params = _checked_params(making.MakingParams, section.params, path, "making")
    limit = config.instruments[section.instrument].max_position_lots
    if params.max_inventory_lots > limit:
        raise BadInput(
            path,
            "making.params.max_inventory_lots",
            f"expected at most max_position_lots of {section.instrument} ({limit}), found {params.max_inventory_lots}",
        )
    return Strategy(
        name="making",
        kernel=making.making,
        params=params.pack(),
        state_size=making.STATE_SIZE,
        wakes=making.WAKES,
        timer_period_ns=round((config.model.timer_ms or 100.0) * NS_PER_MS),
    )


def _arbitrage(
    config: RunConfig, path: Path, section: ArbitrageConfig, numbers: Mapping[str, int], instruments: tuple[Instrument, ...]
) -> tuple[Strategy, tuple[tuple[int, int], ...]]:
    pairs: list[tuple[int, int]] = []
    packed: list[arbitrage.PairParams] = []
    for n, pair in enumerate(section.pairs):
        spot = _number(numbers, pair.spot, path, f"arbitrage.pairs.{n}.spot")
        perp = _number(numbers, pair.perp, path, f"arbitrage.pairs.{n}.perp")
        if instruments[spot].kind is not Kind.SPOT or instruments[perp].kind is not Kind.PERPETUAL:
            raise BadInput(path, f"arbitrage.pairs.{n}", "expected a spot instrument in `spot` and a perpetual in `perp`")
        if instruments[spot].base != instruments[perp].base:
            raise BadInput(
                path, f"arbitrage.pairs.{n}", f"the legs are not one coin: {instruments[spot].base} and {instruments[perp].base}"
            )
        pairs.append((spot, perp))
        starts = (config.instruments[pair.spot].start_lots, config.instruments[pair.perp].start_lots)
        packed.append(arbitrage.PairParams(spot, perp, pair.trade_lots, *starts))
    fx = -1 if section.fx_instrument is None else _number(numbers, section.fx_instrument, path, "arbitrage.fx_instrument")
    if fx < 0 and len(pairs) < 2:
        raise BadInput(path, "arbitrage", "implied FX leaves out the pair being judged: give fx_instrument or at least two pairs")
    params = _checked_params(arbitrage.ArbitrageParams, section.params, path, "arbitrage", fx_instrument=fx)
    strategy = Strategy(
        name="arbitrage",
        kernel=arbitrage.arbitrage,
        params=arbitrage.pack(params, packed),
        state_size=arbitrage.state_size(len(packed)),
        wakes=arbitrage.WAKES,
        timer_period_ns=round(config.model.timer_ms * NS_PER_MS),
    )
    return strategy, tuple(pairs)
