"""What `build_evidence` hands on: findings, and the evidence that is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from interlock.evidence.accounting import Ledger
from interlock.evidence.curve import EquityCurve
from interlock.evidence.deciles import Decile
from interlock.evidence.edge import Edge
from interlock.evidence.execution import Execution
from interlock.evidence.fragility import FragilityCard
from interlock.evidence.translate import Translation
from interlock.evidence.trips import Trips
from interlock.evidence.verdict import Judgement


@dataclass(frozen=True, slots=True)
class SymbolResult:
    """One instrument (making) or pair (arbitrage), in the currency of the report: turnover, and net = traded + held (see `accounting`)."""

    name: str
    net: Decimal
    turnover: Decimal
    traded: Decimal
    held: Decimal


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the records say. Money is Decimal in the currency `into.into`.

    traded: what trading gave, by which the run is judged; held: what merely holding the opening position gave; their sum is `edge.net`.
    later_twice: mids (twice) after each fill, shape (horizons of `execution.HORIZONS_S`, fills), for drawing markouts.
    """

    into: Translation
    ledger: Ledger
    traded: Decimal
    held: Decimal
    trips: Trips
    edge: Edge
    curve: EquityCurve
    execution: Execution
    markouts_bps: Mapping[str, float | None]
    later_twice: np.ndarray
    symbols: tuple[SymbolResult, ...]
    deciles: tuple[Decile, ...] | None
    fragility: FragilityCard
    broken_invariants: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evidence(Findings):
    """Findings with their verdict and the figures of kpi.json, which are checked against their schema."""

    judgement: Judgement
    kpi: Mapping[str, Any]
