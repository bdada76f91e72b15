"""The verdict: what a result may claim, by named rules with thresholds in one table (docs/model.md, verdict).

Precedence FAIL > SUSPECT > INSUFFICIENT > INDICATIVE > PASS: the worst rule that holds gives the verdict, and every rule that holds is
listed. A result that lost is a fact whatever else is wrong with it; a result that looks too good is not excused by being short; a short
one is not excused by clean data. PASS needs every rule to stay silent, so what was not measured caps at INDICATIVE.

Where the data cannot show breadth (under three symbols and under three hours) "one symbol or hour" would hold for every result; the
concentration rules then stay silent and `breadth_unmeasured` caps instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from interlock.evidence.facts import StrategyKind
from interlock.evidence.report_numbers import MINUS, figure, money

Z_95 = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""

THRESHOLDS: Mapping[str, float] = {
    "win_rate_lower_bound": 0.8,
    "win_rate_trips": 8,
    "taker_fill_ratio": 0.98,
    "maker_fill_ratio": 0.9,
    "symbol_share": 0.5,
    "hour_share": 0.5,
    "breadth": 3,
    "at_mid_share": 0.05,
    "identical_edge_spread": 0.05,
    "identical_edge_symbols": 3,
    "round_trips": 30,
}
"""Every number that a rule compares with. Shares and ratios between 0 and 1; identical_edge_spread: (max - min) / |mean|."""

FLIP_WORLDS: Mapping[str, str] = {
    "queue_other": "the other queue model",
    "latency_x2": "latency x 2",
    "fee_plus_1bp": "fees + 1 bp",
}
"""The worlds of the fragility card in which the sign must hold, and their names in words."""


class Verdict(StrEnum):
    """From the worst to the best."""

    FAIL = "FAIL"
    SUSPECT = "SUSPECT"
    INSUFFICIENT = "INSUFFICIENT"
    INDICATIVE = "INDICATIVE"
    PASS = "PASS"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictInput:
    """What the rules read. None or empty means not measured, which never helps.

    net, worlds (by world of the fragility card): of trading, without `held`, which merely holding the opening position gave; in
    `currency`. symbol_share, hour_share: the largest part of what trading gave that one symbol or UTC hour gave. symbol_edges_bps: net of
    trading over turnover by symbol. one_venue_pairs, missing_costs, limit_breaches and
    broken_invariants name what they found.
    """

    kind: StrategyKind
    net: Decimal
    trips: int
    wins: int
    held: Decimal = Decimal(0)
    currency: str = "USD"
    interrupted: bool = False
    liquidated: bool = False
    limit_breaches: tuple[str, ...] = ()
    broken_invariants: tuple[str, ...] = ()
    maker_fills: int = 0
    markouts_bps: Mapping[str, float | None] = field(default_factory=dict)
    taker_fill_ratio: float | None = None
    maker_fill_ratio: float | None = None
    symbols: int = 1
    symbol_share: float | None = None
    hours: int = 1
    hour_share: float | None = None
    worlds: Mapping[str, Decimal | None] = field(default_factory=dict)
    at_mid_share: float | None = None
    one_venue_pairs: tuple[str, ...] = ()
    missing_costs: tuple[str, ...] = ()
    symbol_edges_bps: tuple[float, ...] = ()
    rate_limits_on: bool = False
    bars: bool = False
    inferred_instruments: bool = False
    assumed_rebates: tuple[str, ...] = ()
    implied_fx: bool = False
    flow_venue: str = ""
    fee_venue: str = ""
    provenance: str = "synthetic"


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule that held: its name, what it costs, and in plain sentences what was found."""

    rule: str
    verdict: Verdict
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict and every reason, the worst first."""

    verdict: Verdict
    reasons: tuple[Reason, ...]


def wilson_lower_bound(wins: int, trips: int) -> float:
    """The lower end of Wilson's 95 % interval for a rate (Wilson 1927); 0 without trips."""
    if trips == 0:
        return 0.0
    rate, z2 = wins / trips, Z_95 * Z_95
    middle = rate + z2 / (2 * trips)
    return (middle - Z_95 * math.sqrt((rate * (1 - rate) + z2 / (4 * trips)) / trips)) / (1 + z2 / trips)


Rule = Callable[[VerdictInput], str | None]
"""What was found, in sentences for a person, where the rule holds; else None."""


def _net_not_positive(run: VerdictInput) -> str | None:
    if run.net > 0:
        return None
    held = ""
    if run.held:
        held = f" Holding the opening inventory gave {_money(run, run.held, plus=True)}, which is no result of trading."
    return f"Net of trading is {_money(run, run.net)}: not above zero.{held}"


def _liquidated(run: VerdictInput) -> str | None:
    return "An account fell to its maintenance margin and the run ended there." if run.liquidated else None


def _limit_breached(run: VerdictInput) -> str | None:
    return f"A limit was passed: {', '.join(run.limit_breaches)}." if run.limit_breaches else None


def _invariant_broken(run: VerdictInput) -> str | None:
    return f"The run's records contradict themselves: {', '.join(run.broken_invariants)}." if run.broken_invariants else None


def _win_rate_too_good(run: VerdictInput) -> str | None:
    bound = wilson_lower_bound(run.wins, run.trips)
    if run.trips >= THRESHOLDS["win_rate_trips"] and bound > THRESHOLDS["win_rate_lower_bound"]:
        return (
            f"{run.wins} of {run.trips} round trips won: with 95 % confidence above {100 * bound:.1f} %, "
            f"and more than {100 * THRESHOLDS['win_rate_lower_bound']:g} % is not believed."
        )
    return None


def _no_adverse_selection(run: VerdictInput) -> str | None:
    known = [v for v in run.markouts_bps.values() if v is not None]
    if known and len(known) == len(run.markouts_bps) and all(v >= 0 for v in known):
        return f"On average the market did not move against resting fills at any horizon ({', '.join(run.markouts_bps)} s)."
    return None


def _taker_fills_too_good(run: VerdictInput) -> str | None:
    return _above(run.taker_fill_ratio, "taker_fill_ratio", "Taking orders were filled to {share}")


def _maker_fills_too_good(run: VerdictInput) -> str | None:
    return _above(run.maker_fill_ratio, "maker_fill_ratio", "Resting orders were filled to {share}")


def _one_symbol(run: VerdictInput) -> str | None:
    return (
        _above(run.symbol_share, "symbol_share", "One symbol gave {share} of the net of trading")
        if run.symbols >= THRESHOLDS["breadth"]
        else None
    )


def _one_hour(run: VerdictInput) -> str | None:
    return (
        _above(run.hour_share, "hour_share", "One hour gave {share} of what trading gained at mid")
        if run.hours >= THRESHOLDS["breadth"]
        else None
    )


def _sign_flips(run: VerdictInput) -> str | None:
    flipped = [
        f"{words} ({_money(run, net)})" for name, words in FLIP_WORLDS.items() if (net := run.worlds.get(name)) is not None and net <= 0
    ]
    return f"Net of trading is not above zero any more under {', '.join(flipped)}." if run.net > 0 and flipped else None


def _fills_at_mid(run: VerdictInput) -> str | None:
    return _above(run.at_mid_share, "at_mid_share", "{share} of the fills are at the mid or better")


def _one_venue(run: VerdictInput) -> str | None:
    return f"Both legs trade on one venue: {', '.join(run.one_venue_pairs)}." if run.one_venue_pairs else None


def _cost_missing(run: VerdictInput) -> str | None:
    return f"Costs were not charged: {', '.join(run.missing_costs)}." if run.missing_costs else None


def _identical_edges(run: VerdictInput) -> str | None:
    edges = run.symbol_edges_bps
    if len(edges) < THRESHOLDS["identical_edge_symbols"]:
        return None
    mean = sum(edges) / len(edges)
    spread = max(edges) - min(edges)
    if spread <= THRESHOLDS["identical_edge_spread"] * abs(mean):
        return f"{len(edges)} symbols earn {figure(min(edges))} to {figure(max(edges))} bp of turnover, closer than markets are."
    return None


def _no_rate_limits(run: VerdictInput) -> str | None:
    return None if run.rate_limits_on else "The venues' message budgets were not applied."


def _too_few_trips(run: VerdictInput) -> str | None:
    if run.trips >= THRESHOLDS["round_trips"]:
        return None
    return f"{_count(run.trips, 'round trip')} {_were(run.trips)} completed, under {THRESHOLDS['round_trips']:.0f}."


def _interrupted(run: VerdictInput) -> str | None:
    return "The run was interrupted before the end of its tape." if run.interrupted else None


def _bars(run: VerdictInput) -> str | None:
    return "Fills were modelled on bars, which are not quotes." if run.bars else None


def _inferred(run: VerdictInput) -> str | None:
    return "Price step and lot were read off the data." if run.inferred_instruments else None


def _assumed_rebates(run: VerdictInput) -> str | None:
    return f"Rebates of a programme that no account is shown to have: {', '.join(run.assumed_rebates)}." if run.assumed_rebates else None


def _implied_fx(run: VerdictInput) -> str | None:
    return "FX was implied from coin prices, not read from a book." if run.implied_fx else None


def _foreign_flow(run: VerdictInput) -> str | None:
    if run.flow_venue and run.flow_venue == run.fee_venue:
        return None
    return f"Order flow of {run.flow_venue or 'an unnamed venue'} was traded under the fees of {run.fee_venue or 'an unnamed venue'}."


def _data_not_real(run: VerdictInput) -> str | None:
    return f"The data is {run.provenance}, no recording of a venue's order book." if run.provenance != "real" else None


def _worlds_not_run(run: VerdictInput) -> str | None:
    missing = [words for name, words in FLIP_WORLDS.items() if run.worlds.get(name) is None]
    return f"Net of trading is not known under {', '.join(missing)}." if missing else None


def _markouts_unmeasured(run: VerdictInput) -> str | None:
    if run.maker_fills == 0 or (run.markouts_bps and all(v is not None for v in run.markouts_bps.values())):
        return None
    return "Resting orders were filled, but their markouts are not known at every horizon."


def _breadth_unmeasured(run: VerdictInput) -> str | None:
    if max(run.symbols, run.hours) >= THRESHOLDS["breadth"]:
        return None
    return f"{_count(run.symbols, 'symbol')} over {_count(run.hours, 'hour')} cannot show that no single one gives the result."


def _above(value: float | None, threshold: str, what: str) -> str | None:
    if value is not None and value > THRESHOLDS[threshold]:
        return f"{what.format(share=f'{100 * value:.1f} %')}, above {100 * THRESHOLDS[threshold]:g} %."
    return None


def _money(run: VerdictInput, amount: Decimal, *, plus: bool = False) -> str:
    """An amount with its currency; an ASCII minus, as the sentence may go to any terminal or log."""
    return f"{money(amount, run.currency, plus=plus).replace(MINUS, '-')} {run.currency}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


RULES: tuple[tuple[str, Verdict, Rule], ...] = (
    ("net_not_positive", Verdict.FAIL, _net_not_positive),
    ("liquidated", Verdict.FAIL, _liquidated),
    ("limit_breached", Verdict.FAIL, _limit_breached),
    ("invariant_broken", Verdict.FAIL, _invariant_broken),
    ("win_rate_too_good", Verdict.SUSPECT, _win_rate_too_good),
    ("no_adverse_selection", Verdict.SUSPECT, _no_adverse_selection),
    ("taker_fill_ratio_too_good", Verdict.SUSPECT, _taker_fills_too_good),
    ("maker_fill_ratio_too_good", Verdict.SUSPECT, _maker_fills_too_good),
    ("one_symbol_gives_it", Verdict.SUSPECT, _one_symbol),
    ("one_hour_gives_it", Verdict.SUSPECT, _one_hour),
    ("sign_flips", Verdict.SUSPECT, _sign_flips),
    ("fills_at_mid", Verdict.SUSPECT, _fills_at_mid),
    ("legs_on_one_venue", Verdict.SUSPECT, _one_venue),
    ("cost_missing", Verdict.SUSPECT, _cost_missing),
    ("identical_edges", Verdict.SUSPECT, _identical_edges),
    ("no_rate_limits", Verdict.SUSPECT, _no_rate_limits),
    ("too_few_trips", Verdict.INSUFFICIENT, _too_few_trips),
    ("interrupted", Verdict.INDICATIVE, _interrupted),
    ("bars", Verdict.INDICATIVE, _bars),
    ("inferred_instruments", Verdict.INDICATIVE, _inferred),
    ("assumed_rebates", Verdict.INDICATIVE, _assumed_rebates),
    ("implied_fx", Verdict.INDICATIVE, _implied_fx),
    ("flow_venue_is_not_fee_venue", Verdict.INDICATIVE, _foreign_flow),
    ("data_not_real", Verdict.INDICATIVE, _data_not_real),
    ("worlds_not_run", Verdict.INDICATIVE, _worlds_not_run),
    ("markouts_unmeasured", Verdict.INDICATIVE, _markouts_unmeasured),
    ("breadth_unmeasured", Verdict.INDICATIVE, _breadth_unmeasured),
)
"""Every rule: name, the verdict it gives at least, the test; the worst first."""


def judge(run: VerdictInput) -> Judgement:
    """Apply every rule."""
    reasons = tuple(Reason(name, verdict, text) for name, verdict, rule in RULES if (text := rule(run)) is not None)
    return Judgement(reasons[0].verdict if reasons else Verdict.PASS, reasons)
