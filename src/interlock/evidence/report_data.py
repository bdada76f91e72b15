"""What a report shows: plain values, units in the field descriptions. The caller computes; the report only draws.

Times are int64 nanoseconds since the Unix epoch, UTC, not decreasing within a series. Float series hold nan where there is no value; a gap
is drawn there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from interlock.evidence.report_numbers import Number

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

VERDICTS = ("PASS", "FAIL", "INDICATIVE", "INSUFFICIENT", "SUSPECT")


def _lengths(what: str, ns: Times, *others: npt.NDArray[np.generic]) -> None:
    for other in others:
        if other.shape != ns.shape or ns.ndim != 1:
            raise ValueError(f"{what}: expected one-dimensional arrays of one length, found {ns.shape} and {other.shape}")


def _series(what: str, ns: Times, *values: Floats) -> None:
    _lengths(what, ns, *values)
    if ns.dtype != np.int64:
        raise ValueError(f"{what}: expected times as int64 nanoseconds, found {ns.dtype}")
    if len(ns) > 1 and np.any(ns[1:] < ns[:-1]):
        raise ValueError(f"{what}: expected times that do not decrease")


@dataclass(frozen=True, slots=True)
class Origin:
    """The report's first line, each in the manifest's words: whose order flow, whose fees, where latencies were measured, what data."""

    flow_venue: str
    fee_venue: str
    latency_source: str
    provenance: str


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One tile. `value` is text ready to read (see `report_numbers`), `unit` may be empty for counts named by the label, `note` says how
    to read it."""

    label: str
    value: str
    unit: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """One re-run of the replay under another assumption. `net` in the report's currency; None where the run did not end regularly.

    `base` marks the assumptions of the run itself; it counts as a world. `round_trips` is None where unknown.
    """

    name: str
    net: Decimal | None
    round_trips: int | None = None
    note: str = ""
    base: bool = False

    @property
    def positive(self) -> bool:
        """Whether this world earned money."""
        return self.net is not None and self.net > 0


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where net becomes zero: `value` in `unit` (bp, ms ...), None where no value within the range tried does; `note` says against what."""

    name: str
    value: float | None
    unit: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Fragility:
    """The fragility card: worlds in the order to show, break-even values beside them."""

    worlds: tuple[World, ...]
    break_evens: tuple[BreakEven, ...]


@dataclass(frozen=True, slots=True)
class Equity:
    """Equity or cumulated P&L over time, `values` in `currency`; the first value is the reference line."""

    ns: Times
    values: Floats
    currency: str

    def __post_init__(self) -> None:
        _series("equity", self.ns, self.values)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Signed position of one instrument, `values` in `unit` (coins or contracts)."""

    instrument: str
    unit: str
    ns: Times
    values: Floats

    def __post_init__(self) -> None:
        _series(f"inventory of {self.instrument}", self.ns, self.values)


@dataclass(frozen=True, slots=True)
class Fills:
    """Executions of one instrument. `prices` in the quote currency, `quantities` positive in the panel's `quantity_unit`."""

    ns: Times
    prices: Floats
    quantities: Floats
    is_buy: Bools
    is_maker: Bools

    def __post_init__(self) -> None:
        _series("fills", self.ns, self.prices, self.quantities)
        _lengths("fills", self.ns, self.is_buy, self.is_maker)


NO_FILLS = Fills(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.bool_), np.zeros(0, np.bool_))


@dataclass(frozen=True, slots=True)
class PricePanel:
    """Mid and our best quotes of one instrument, all in `currency` (its quote currency), and the fills there."""

    instrument: str
    currency: str
    quantity_unit: str
    ns: Times
    mid: Floats
    own_bid: Floats
    own_ask: Floats
    fills: Fills = NO_FILLS

    def __post_init__(self) -> None:
        _series(f"prices of {self.instrument}", self.ns, self.mid, self.own_bid, self.own_ask)


@dataclass(frozen=True, slots=True)
class PremiumPanel:
    """The premium of one pair in basis points, with the premiums at which trades were entered and left.

    `levels` are dashed lines, (name, bp), such as an entry threshold.
    """

    pair: str
    ns: Times
    premium_bps: Floats
    entry_ns: Times
    entry_bps: Floats
    exit_ns: Times
    exit_bps: Floats
    levels: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        _series(f"premium of {self.pair}", self.ns, self.premium_bps)
        _series(f"entries of {self.pair}", self.entry_ns, self.entry_bps)
        _series(f"exits of {self.pair}", self.exit_ns, self.exit_bps)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of net, in the report's currency, and in a sentence what it is."""

    name: str
    value: Decimal
    explanation: str


@dataclass(frozen=True, slots=True)
class MakerRate:
    """Net at one maker fee rate. `rate_bps` positive is paid, negative a rebate; `fees` (positive is paid) and `net` in the report's
    currency; `source` names the profile or says why this rate."""

    name: str
    rate_bps: float
    fees: Decimal
    net: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class Markout:
    """Mean move of the mid after our fills, in our favour, in basis points of the fill price; `error_bps` is its standard error or None."""

    horizon_s: float
    mean_bps: float
    error_bps: float | None
    fills: int


@dataclass(frozen=True, slots=True)
class Count:
    """How often something happened; `meaning` in a few words."""

    name: str
    count: int
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Any further table. `columns` are (name, unit), unit empty for text; a cell is text, a number, or None where it makes no sense."""

    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str | Number | None, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title}: expected {len(self.columns)} cells a row, found {len(row)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """All that a report shows. Empty tuples and None leave their section out.

    `title` in words; `summary` is the line below it (strategy, venues, instruments). `verdict` is one of VERDICTS, `verdict_reasons` plain
    sentences. `net` in `currency`, which also is the unit of worlds, parts and maker rates. `start_ns`, `end_ns`: the
    data's span. `traded` is the part of net that trading gave, where an opening inventory gave another; it is what the verdict judges.
    `parts` must sum to `net`; the report adds them up and says so where they do not. `orders` counts orders by how they ended, `refusals`
    by reason. `manifest` is (name, text), as `manifest.facts` gives it. Raises ValueError for an unknown verdict.
    """

    title: str
    run_id: str
    summary: str
    origin: Origin
    start_ns: int
    end_ns: int
    verdict: str
    verdict_reasons: tuple[str, ...]
    net: Decimal
    currency: str
    key_figures: tuple[KeyFigure, ...]
    fragility: Fragility
    equity: Equity | None = None
    inventories: tuple[Inventory, ...] = ()
    prices: tuple[PricePanel, ...] = ()
    premiums: tuple[PremiumPanel, ...] = ()
    traded: Decimal | None = None
    parts: tuple[Part, ...] = ()
    maker_rates: tuple[MakerRate, ...] = ()
    markouts: tuple[Markout, ...] = ()
    orders: tuple[Count, ...] = ()
    refusals: tuple[Count, ...] = ()
    tables: tuple[Table, ...] = ()
    manifest: tuple[tuple[str, str], ...] = field(default=())

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict: expected one of {', '.join(VERDICTS)}, found {self.verdict!r}")
