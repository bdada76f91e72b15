"""The configuration of a run: one TOML file, every key known, every unit in a name.

An unknown key, a missing one or a value out of range is one error that names file and key (exit code 2). The digest of a configuration is
taken over the parsed result, so that comments and order do not change it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from interlock.domain.errors import BadInput, UsageError
from interlock.domain.ids import TAG_WIDTH
from interlock.domain.instruments import Fees
from interlock.evidence.manifest import digest_of


def _decimal(value: object) -> object:
    if isinstance(value, float):
        raise ValueError(f'write amounts as text to keep them exact: "{value}"')
    return value


Exact = Annotated[Decimal, BeforeValidator(_decimal)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BudgetConfig(_Section):
    """A message budget of a venue: `messages` in each `window_s` seconds, `cancel_reserve` of them for cancels alone."""

    messages: int = Field(gt=0)
    window_s: float = Field(gt=0)
    cancel_reserve: int = Field(ge=0)

    @model_validator(mode="after")
    def _reserve(self) -> BudgetConfig:
        if self.cancel_reserve >= self.messages:
            raise ValueError("cancel_reserve: expected less than messages; nothing would be left for orders")
        return self


class OverloadConfig(_Section):
    """Above `events_per_s` the venue refuses with probability slope x (rate / events_per_s - 1), at most `most`."""

    events_per_s: float = Field(gt=0)
    slope: float = Field(ge=0)
    most: float = Field(ge=0, le=1)


class FeesConfig(_Section):
    """Another fee profile than the instrument's own. `condition` names the programme that grants it."""

    profile: str
    maker: Exact
    taker: Exact
    source: str
    as_of: date
    condition: str

    @property
    def fees(self) -> Fees:
        """The profile as an instrument holds it."""
        return Fees(
            maker=self.maker, taker=self.taker, profile=self.profile, source=self.source, as_of=self.as_of, condition=self.condition
        )

    @model_validator(mode="after")
    def _sound(self) -> FeesConfig:
        _ = self.fees  # which refuses what no venue charges
        return self


class VenueConfig(_Section):
    """A venue: one-way delays in milliseconds, message budgets ("off" caps the verdict), opening balance in the quote currency."""

    order_latency_ms: float = Field(ge=0)
    cancel_latency_ms: float = Field(ge=0)
    response_latency_ms: float = Field(ge=0)
    latency: Literal["constant", "feed", "bootstrap"] = "constant"
    feed_multiple: float = Field(default=1.0, ge=0)
    rate_limits: Annotated[
        Annotated[Literal["off"], Tag("word")] | Annotated[tuple[BudgetConfig, ...], Tag("windows")],
        Discriminator(lambda given: "word" if isinstance(given, str) else "windows"),
    ]
    place_weight: int = Field(default=1, gt=0)
    cancel_weight: int = Field(default=1, ge=0)
    overload: OverloadConfig | None = None
    cash: Exact = Field(ge=0)
    funds_checked: bool = True
    margined: bool = True

    @model_validator(mode="after")
    def _windows(self) -> VenueConfig:
        if self.rate_limits != "off" and not 1 <= len(self.rate_limits) <= 2:
            raise ValueError('rate_limits: give one or two windows, or "off"')
        return self


class InstrumentConfig(_Section):
    """Our limits on an instrument and its opening position, in lots."""

    max_position_lots: int = Field(gt=0)
    collar_bps: float = Field(ge=0)
    bar_participation: float = Field(default=0.05, gt=0, le=1)
    start_lots: int = 0
    fees: FeesConfig | None = None


class RateConfig(_Section):
    """A rate for reports: what it is, who says so, since when."""

    value: Exact = Field(gt=0)
    source: str
    as_of: datetime

    @model_validator(mode="after")
    def _zone(self) -> RateConfig:
        if self.as_of.tzinfo is None:
            raise ValueError("as_of: expected a time with its zone, such as 2024-08-08T23:54:00Z")
        return self


class ReportingConfig(_Section):
    """Rates into which results are translated. Without them the figures in that currency are null."""

    usd_per_usdt: RateConfig | None = None
    krw_per_usdt: RateConfig | Literal["implied"] | None = None


class ModelConfig(_Section):
    """The matching model's choices."""

    queue: Literal["risk_averse", "power", "trade_through"] = "risk_averse"
    queue_power: float = Field(default=2.0, gt=0)
    partial_fills: bool = True
    max_open_orders: int = Field(default=32, gt=0, le=48)
    sample_period_s: float = Field(default=1.0, gt=0)
    timer_ms: float = Field(default=0.0, ge=0)


class MakingConfig(_Section):
    """The making strategy; see `interlock.strategies.making` for each parameter."""

    instrument: str
    params: dict[str, float] = Field(default_factory=dict)


class PairConfig(_Section):
    """One pair of the arbitrage: `trade_lots` are the perpetual's lots of one trade."""

    spot: str
    perp: str
    trade_lots: int = Field(gt=0)


class ArbitrageConfig(_Section):
    """The arbitrage strategy; see `interlock.strategies.arbitrage` for each parameter."""

    pairs: tuple[PairConfig, ...] = Field(min_length=1)
    fx_instrument: str | None = None
    params: dict[str, float] = Field(default_factory=dict)


class LiveConfig(_Section):
    """What a run against venues needs besides: the gate's file of limits, beside this file, and the strategy's name in it.

    `spin`: the engine never sleeps while it waits, which takes a core; at most one process of two cores of the host may.
    """

    limits: Path
    strategy: str = Field(min_length=1)
    spin: bool = False


class EdgeConfig(_Section):
    """The least edge, basis points, that the strategy trades on, and how it is measured (`interlock.engine.edge`).

    Each fill is judged `horizon_s` after it was heard of; over the last `window_fills` of them, and not before there are `least_fills`.
    """

    threshold_bps: Exact = Field(gt=-10_000, lt=10_000, decimal_places=4)
    horizon_s: float = Field(gt=0, le=3_600)
    window_fills: int = Field(gt=0, le=100_000)
    least_fills: int = Field(gt=0)

    @model_validator(mode="after")
    def _window(self) -> EdgeConfig:
        if self.least_fills > self.window_fills:
            raise ValueError("least_fills: expected at most window_fills; there would never be enough of them")
        return self


class RunConfig(_Section):
    """A whole configuration. Exactly one strategy section.

    `fee_venue` is to be named where the fees are not those of the venue whose flow is replayed; it then caps the verdict.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    tag: str = Field(pattern=rf"^[0-9a-z]{{{TAG_WIDTH}}}$")
    environment: str = "local"
    seed: int = Field(default=1, ge=0)
    universe_mode: Literal["single", "fixed_list"] = "single"
    fee_venue: str | None = None
    venues: dict[str, VenueConfig]
    instruments: dict[str, InstrumentConfig]
    model: ModelConfig = ModelConfig()
    reporting: ReportingConfig = ReportingConfig()
    making: MakingConfig | None = None
    arbitrage: ArbitrageConfig | None = None
    live: LiveConfig | None = None
    edge: EdgeConfig | None = None

    @model_validator(mode="after")
    def _one_strategy(self) -> RunConfig:
        if (self.making is None) == (self.arbitrage is None):
            raise ValueError("expected exactly one of the sections [making] and [arbitrage]")
        if self.edge is not None and (self.making is None or self.live is None):
            raise ValueError("edge: expected the sections [making] and [live] beside it; it is measured of a maker that runs")
        return self

    def canonical(self) -> dict[str, Any]:
        """The parsed values as plain JSON types; what the digest is taken over."""
        said = self.model_dump(mode="json")
        if self.live is None:
            del said["live"]  # a replay's digest is what it was before there was such a section
        elif not self.live.spin:
            del said["live"]["spin"]  # and that of a run, before it could spin
        if self.edge is None:
            del said["edge"]
        return said

    @property
    def digest(self) -> str:
        """SHA-256 over the parsed values, hexadecimal."""
        return digest_of(self.canonical())


def read_raw(path: Path) -> dict[str, Any]:
    """The parsed TOML of a configuration, unchecked. Raises BadInput."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(path, "", "expected a configuration file, found none; the README names a complete one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(path, "", f"expected a readable text file: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(path, "", f"expected TOML: {error}") from error


def load_config(path: Path) -> RunConfig:
    """Read a configuration as its file says it; `layers.resolve` lays profile, environment and arguments over it. Raises BadInput."""
    raw = read_raw(path)
    raw.pop("profiles", None)
    return parse_config(raw, path)


def parse_config(raw: dict[str, Any], path: Path) -> RunConfig:
    """Check parsed TOML. Raises BadInput for the first thing that is not right, and counts the others."""
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        loc, message = told_problem(error)
        raise BadInput(path, ".".join(loc) or "top level", message) from error


def told_problem(error: ValidationError, may_show: Callable[[tuple[str, ...]], bool] = lambda _: True) -> tuple[tuple[str, ...], str]:
    """Where the first thing is that is not right, and what; the others are counted. `may_show`: whether a value that was found there is told."""
    # A misspelt key makes two errors, one unknown and one missing: the unknown one shows the misspelling.
    first, *others = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    loc = tuple(str(part) for part in first["loc"])
    message = "unknown key; remove it or correct its name" if first["type"] == "extra_forbidden" else first["msg"]
    if first["type"] not in ("extra_forbidden", "missing") and may_show(loc):
        message += f", found {first['input']!r:.80}"
    if others:
        message += f" (and {len(others)} more)"
    return loc, message


def require(condition: bool, message: str) -> None:
    """Raise UsageError unless the condition holds."""
    if not condition:
        raise UsageError(message)
