"""The fragility card: how much worse the world may be before the result is gone (docs/model.md, fragility).

Every net here is of trading: what merely holding the opening position would have given in that world is taken off (`Ledger.traded`).
Each world is replayed again with decisions free. Where nothing can be replayed, worlds of other fees are computed with the fills held
fixed, and the rest says "not run". The break-even fee and maker rate are exact, from turnover, with fills held fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from interlock.evidence.accounting import Ledger
from interlock.evidence.exact import exact, plain
from interlock.evidence.facts import Rerun, StrategyKind, Variation
from interlock.evidence.translate import Translation
from interlock.simulate.outcome import Ending, Outcome
from interlock.simulate.settings import QueueModel, ReplaySettings

BP = Decimal("0.0001")
FX_SHIFT = Decimal("0.001")
LATENCY_FACTORS = (2, 4, 8)

NetOf = Callable[[Outcome, ReplaySettings], Decimal]
"""Net of trading of an outcome in the currency of the report."""


@dataclass(frozen=True, slots=True)
class WorldResult:
    """Net of trading in one world; None where it was not run. method: "base", "rerun", "fills fixed" or "not run"."""

    name: str
    net: Decimal | None
    method: str


@dataclass(frozen=True)
class FragilityCard:
    """Net of trading by world, and where it breaks even.

    break_even_fee: the rate that could be added to every fee that trading pays; break_even_maker_rate: one maker rate for all;
    break_even_latency_factor: the last of 1, 2, 4, 8 up to which every world earned; break_even_fx_error: the relative change of
    KRW per USDT that takes net to 0. None where there is no such point, or it was not run.
    """

    worlds: tuple[WorldResult, ...]
    break_even_fee: Decimal | None
    break_even_maker_rate: Decimal | None
    break_even_latency_factor: int | None
    break_even_fx_error: Decimal | None

    @property
    def positive(self) -> int:
        """Worlds with a net above zero."""
        return sum(w.net is not None and w.net > 0 for w in self.worlds)

    @property
    def run(self) -> int:
        """Worlds whose net is known."""
        return sum(w.net is not None for w in self.worlds)

    def net(self, name: str) -> Decimal | None:
        """Net in the world of that name."""
        return next((w.net for w in self.worlds if w.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """The card for the KPI file: numbers, with exact text beside the nets."""
        return {
            "worlds": [
                {
                    "name": w.name,
                    "net": None if w.net is None else float(w.net),
                    "exact": None if w.net is None else plain(w.net),
                    "method": w.method,
                }
                for w in self.worlds
            ],
            "positive": self.positive,
            "of": self.run,
            "summary": f"positive in {self.positive} of {self.run} worlds"
            + ("" if self.run == len(self.worlds) else f", {len(self.worlds) - self.run} not run"),
            "break_even_fee_bps": _bps(self.break_even_fee),
            "break_even_maker_rate_bps": _bps(self.break_even_maker_rate),
            "break_even_latency_factor": self.break_even_latency_factor,
            "break_even_fx_error": None if self.break_even_fx_error is None else float(self.break_even_fx_error),
        }


def _bps(rate: Decimal | None) -> float | None:
    return None if rate is None else float(rate / BP)


def variations(kind: StrategyKind, queue: QueueModel) -> tuple[Variation, ...]:
    """The worlds beside the base."""
    other = QueueModel.POWER if queue is QueueModel.RISK_AVERSE else QueueModel.RISK_AVERSE
    worlds = [
        Variation("queue_other", queue=other),
        *(Variation(f"latency_x{factor}", latency_factor=float(factor)) for factor in LATENCY_FACTORS),
        Variation("fee_plus_1bp", maker_fee_add=BP, taker_fee_add=BP),
        Variation("fee_plus_2bp", maker_fee_add=2 * BP, taker_fee_add=2 * BP),
        Variation("maker_rate_zero", maker_fee_set=Decimal(0)),
    ]
    if kind is StrategyKind.ARBITRAGE:
        worlds += [Variation("fx_plus_0.1pct", fx_shift=FX_SHIFT), Variation("fx_minus_0.1pct", fx_shift=-FX_SHIFT)]
    return tuple(worlds)


def fragility_card(
    kind: StrategyKind,
    outcome: Outcome,
    settings: ReplaySettings,
    ledger: Ledger,
    into: Translation,
    net_of: NetOf,
    rerun: Rerun | None,
) -> FragilityCard:
    """Run every world and solve the break-evens."""
    base = into.sum(ledger.traded)
    worlds = [WorldResult("base", base, "base")]
    for variation in variations(kind, settings.queue):
        worlds.append(_world(variation, outcome, settings, net_of, rerun))
    by_name = {w.name: w.net for w in worlds}
    return FragilityCard(
        tuple(worlds),
        break_even_fee(ledger, into),
        break_even_maker_rate(ledger, into),
        _last_positive_factor(by_name),
        break_even_fx_error(ledger, into),
    )


def _world(variation: Variation, outcome: Outcome, settings: ReplaySettings, net_of: NetOf, rerun: Rerun | None) -> WorldResult:
    changed = variation.apply(settings)
    if rerun is not None:
        again = rerun(variation)
        if again.ending is Ending.INTERRUPTED:
            return WorldResult(variation.name, None, "not run")
        return WorldResult(variation.name, net_of(again, changed), "rerun")
    if variation.queue is None and variation.latency_factor == 1.0 and variation.fx_shift == 0:
        return WorldResult(variation.name, net_of(outcome, changed), "fills fixed")
    return WorldResult(variation.name, None, "not run")


def _last_positive_factor(net: Mapping[str, Decimal | None]) -> int | None:
    last = None
    for factor, name in ((1, "base"), *((f, f"latency_x{f}") for f in LATENCY_FACTORS)):
        found = net.get(name)
        if found is None or found <= 0:
            return last
        last = factor
    return last


@exact
def break_even_fee(ledger: Ledger, into: Translation) -> Decimal | None:
    """traded / (turnover of fills + closing turnover - closing turnover of the opening position): the fees that trading pays.

    None where that turnover is not above zero: nothing was traded, or trading only sold out what had to be closed anyhow.
    """
    turnover = into.sum(ledger.by_currency(lambda a: a.fee_turnover))
    return into.sum(ledger.traded) / turnover if turnover > 0 else None


@exact
def break_even_maker_rate(ledger: Ledger, into: Translation) -> Decimal | None:
    """The single maker rate at which trading gives 0: (traded + maker costs) / maker turnover; None without maker turnover."""
    turnover = into.sum(ledger.by_currency(lambda a: a.maker_turnover))
    if turnover == 0:
        return None
    paid = into.sum(ledger.by_currency(lambda a: a.maker_rate * a.maker_turnover))
    return (into.sum(ledger.traded) + paid) / turnover


@exact
def net_at_maker_rates(ledger: Ledger, into: Translation, rates: Mapping[str, Decimal]) -> Decimal:
    """Net of trading with other maker rates by instrument key, fills held fixed."""
    change = ledger.by_currency(lambda a: (a.maker_rate - rates[a.instrument.key]) * a.maker_turnover)
    return into.sum(ledger.traded) + into.sum(change)


@exact
def break_even_fx_error(ledger: Ledger, into: Translation) -> Decimal | None:
    """r' / r - 1 where traded_USDT + traded_KRW / r' = 0; None unless trading gave amounts of opposite sign in the two currencies."""
    krw, usdt = ledger.traded.get("KRW", Decimal(0)), ledger.traded.get("USDT", Decimal(0))
    if krw * usdt >= 0 or not into.knows(("KRW", "USDT")):
        return None
    return (-krw / usdt) * (into.factors["KRW"] / into.factors["USDT"]) - 1
