"""The gate of a replay, put together from a configuration and a sheet of limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from interlock.domain.errors import BadInput, UsageError
from interlock.domain.instruments import Instrument, Kind
from interlock.gate.coverage import uncovered
from interlock.gate.limit_sheet import LimitSheet, load, sheet_hash
from interlock.market.columns import RowKind
from interlock.run.config import RateConfig, RunConfig
from interlock.simulate.gated.gate import Opening, ReplayGate
from interlock.simulate.gated.judge import GatedOrders
from interlock.simulate.gated.prices import Prices, UsdPer, needed_currencies
from interlock.simulate.layout import World
from interlock.simulate.settings import ReplaySettings
from interlock.simulate.world import fee_rates

_PRICES = (int(RowKind.TRADE), int(RowKind.BAR_CLOSE), int(RowKind.DEPTH))


@dataclass(frozen=True, slots=True)
class Limits:
    """A sheet, and the file that it was read from."""

    path: Path
    sheet: LimitSheet
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 over the values, as a live gate tells it."""
        return sheet_hash(self.sheet)


def load_limits(path: Path) -> Limits:
    """Read a sheet for a replay. Raises BadInput."""
    sheet = load(path)
    return Limits(path, sheet, path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class GateParts:
    """What every gate of one replay and of its other worlds is made of. `pairs` are (spot, perpetual) by number."""

    limits: Limits
    config: RunConfig
    instruments: tuple[Instrument, ...]
    pairs: tuple[tuple[int, int], ...]
    strategy: str
    accounts: dict[str, str]

    def judge(self, world: World, settings: ReplaySettings) -> GatedOrders:
        """A gate at its beginning, before the world's first event. Raises UsageError for a position at the start that the tape has no price for."""
        rows = world.rows
        start_ns, end_ns = int(rows["receive_ns"][0]), int(rows["receive_ns"].max())
        gate = ReplayGate(
            self.limits.sheet,
            self.instruments,
            self.accounts,
            self.strategy,
            self.config.tag,
            [fee_rates(one, settings) for one in self.instruments],
            self._opening(rows, settings),
            seed=settings.seed,
            start_ns=start_ns,
            # The last event at the latest is still within the grant.
            until_ns=max(end_ns, int(rows["exchange_ns"].max()), start_ns) + 1,
        )
        usd = {code: self._usd_per(code, world) for code in sorted(needed_currencies(self.instruments))}
        prices = Prices(world, self.instruments, gate.readings, self.limits.sheet, usd)
        return GatedOrders(world, gate, prices)

    def _opening(self, rows: np.ndarray, settings: ReplaySettings) -> Opening:
        held = {}
        for k, one in enumerate(self.instruments):
            lots = settings.instruments[one.key].start_lots
            if lots:
                held[k] = (lots, _first_price(rows, k, one))
        return Opening({name: venue.cash for name, venue in settings.venues.items()}, held)

    def _usd_per(self, code: str, world: World) -> UsdPer:
        rates = self.config.reporting
        usdt = rates.usd_per_usdt
        assert usdt is not None
        dollars = usdt.value
        if code == "USDT":
            return lambda: dollars
        won = rates.krw_per_usdt
        if isinstance(won, RateConfig):
            fixed = dollars / won.value
            return lambda: fixed

        def implied() -> Decimal | None:
            found = sorted(
                rate for spot, perp in self.pairs if (rate := _implied(world, self.instruments[spot], spot, self.instruments[perp], perp))
            )
            return dollars / found[len(found) // 2] if found else None

        return implied


def gate_parts(
    limits: Limits, config: RunConfig, config_path: Path, instruments: Sequence[Instrument], pairs: Sequence[tuple[int, int]], strategy: str
) -> GateParts:
    """Bring limits and replay together. Raises BadInput where the sheet does not cover what is replayed, or a rate is missing for it."""
    name = strategy if config.live is None else config.live.strategy
    venues = sorted({one.venue for one in instruments})
    accounts = {venue: limits.sheet.venues[venue].accounts[0] for venue in venues if venue in limits.sheet.venues}
    wanted = [(one.venue, accounts.get(one.venue, ""), one.symbol, name, one.base, one.quote) for one in instruments]
    if missing := uncovered(limits.sheet, wanted):
        raise BadInput(limits.path, missing[0], f"expected limits for all that is replayed, found none for {', '.join(missing)}; add them")
    for one in instruments:
        if one.kind is Kind.PERPETUAL and not one.margin_tiers:
            raise BadInput(
                limits.path, one.key, "expected an instrument with margin tiers, found none on the tape; without them no margin is judged"
            )
    needed = needed_currencies(instruments)
    if needed and config.reporting.usd_per_usdt is None:
        raise BadInput(
            config_path, "reporting.usd_per_usdt", "expected a rate, found none; the limits are in US dollars and no tape holds any"
        )
    unknown = sorted(needed - {"USDT", "KRW"})
    if unknown or ("KRW" in needed and config.reporting.krw_per_usdt is None):
        code = unknown[0] if unknown else "KRW"
        raise BadInput(config_path, "reporting", f"expected a rate of {code}, found none; the limits are in US dollars")
    return GateParts(limits, config, tuple(instruments), tuple(pairs), name, accounts)


def _first_price(rows: np.ndarray, k: int, instrument: Instrument) -> int:
    mine = rows[rows["instrument"] == k]
    for kind in _PRICES:
        found = mine[(mine["kind"] == kind) & (mine["ticks"] > 0)]
        if len(found):
            return int(found["ticks"][0])
    raise UsageError(f"{instrument.key}: start_lots is not 0, but the tape has no price to book that position at")


def _implied(world: World, spot: Instrument, spot_number: int, perp: Instrument, perp_number: int) -> Decimal | None:
    """Won per USDT as one coin's two prices imply it; the coin's own premium is in it."""
    twice = [int(world.books[k]["bid_ticks"]) + int(world.books[k]["ask_ticks"]) for k in (spot_number, perp_number)]
    if min(twice) <= 0 or any(int(world.books[k]["bid_ticks"]) <= 0 for k in (spot_number, perp_number)):
        return None
    return (spot.price(twice[0]) / spot.multiplier) / (perp.price(twice[1]) / perp.multiplier)
