"""The tables of a report: maker rates, markouts, how orders ended, refusals, results by instrument and pair, exits, deciles, rates, notes.

Money is in the currency of the report unless a column says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import numpy as np

from interlock.evidence.accounting import InstrumentAccount
from interlock.evidence.exact import decimal_sum, exact
from interlock.evidence.execution import HORIZONS_S, weights
from interlock.evidence.facts import RunFacts
from interlock.evidence.present_series import EXIT_LEGS, decisions
from interlock.evidence.present_words import EXITS, FINAL_STATES, GATE_RULE, REFUSALS
from interlock.evidence.report_data import Count, MakerRate, Markout, Table
from interlock.evidence.report_numbers import Number, utc
from interlock.evidence.result import Evidence
from interlock.simulate.reasons import GATE_DENIAL, Reason
from interlock.strategies.tags import Leg

Row = tuple[str | Number | None, ...]

BPS = 10_000
RATE_NAMES = {"base": "Base", "profile": "Profile", "zero": "Zero"}


@exact
def maker_rates(evidence: Evidence) -> tuple[MakerRate, ...]:
    """Net of trading at the base, the profile's and a zero maker rate, fills held fixed; nothing where no resting order was filled.

    Of several instruments the rate is the mean by maker turnover. A base rate that is the profile's is shown once.
    """
    found: Mapping[str, Mapping[str, object]] | None = evidence.kpi["net_at_maker_rates"]
    accounts, into = evidence.ledger.instruments, evidence.into
    turnover = {a.instrument.key: into.factors[a.currency] * a.maker_turnover for a in accounts}
    total = decimal_sum(turnover.values())
    if found is None or total == 0:
        return ()
    net = evidence.traded
    paid = -into.sum(evidence.ledger.by_currency(lambda a: a.fees + a.rebates))
    rows = []
    for name, title in RATE_NAMES.items():
        rates, text = found[name]["rates_bps"], found[name]["exact"]
        if not isinstance(rates, Mapping) or not isinstance(text, str) or (name == "base" and rates == found["profile"]["rates_bps"]):
            continue
        then = Decimal(text)
        rate = sum(float(turnover[key] / total) * float(value) for key, value in rates.items())
        rows.append(MakerRate(title, rate, paid + net - then, then, _rate_source(name, accounts)))
    return tuple(rows)


def _rate_source(name: str, accounts: tuple[InstrumentAccount, ...]) -> str:
    if name == "base":
        return "without any programme"
    if name == "zero":
        return "for comparison"
    profiles = sorted({(a.instrument.fees.profile, a.instrument.fees.condition) for a in accounts})
    return "in force: " + "; ".join(profile if condition == "none" else f"{profile}, {condition}" for profile, condition in profiles)


def markouts(evidence: Evidence, fills: np.ndarray) -> tuple[Markout, ...]:
    """By horizon: the mean of the maker fills with its standard error, both weighted by size. fills: in the order of `later_twice`."""
    weight = weights(evidence.ledger.instruments, evidence.into)
    rows = []
    for name, later in zip(HORIZONS_S, evidence.later_twice, strict=True):
        mean = evidence.markouts_bps.get(name)
        known = (fills["maker"] > 0) & (fills["mid_twice"] > 0) & (later > 0)
        if mean is None or not known.any():
            continue
        own = fills[known]
        moved = BPS * own["side"] * (later[known] - own["mid_twice"]) / own["mid_twice"]
        size = weight[own["instrument"]] * own["lots"] * own["mid_twice"]
        count = len(own)
        error = None
        if count > 1:
            error = float(np.sqrt(count / (count - 1) * np.sum((size * (moved - mean)) ** 2)) / size.sum())
        rows.append(Markout(float(name), mean, error, count))
    return tuple(rows)


def orders(facts: RunFacts) -> tuple[Count, ...]:
    """Orders by how they ended; those that ended otherwise after a part was filled are said beside."""
    records = facts.outcome.orders
    rows = []
    for code, name, meaning in FINAL_STATES:
        own = records[records["final_state"] == code]
        partly = int(np.count_nonzero((own["filled_lots"] > 0) & (own["filled_lots"] < own["lots"])))
        if len(own):
            rows.append(Count(name, len(own), meaning + _why(own) + (f"; {partly:,} after a part was filled" if partly else "")))
    return tuple(rows)


def _why(records: np.ndarray) -> str:
    """The venue's reasons for ending these orders, the most frequent first."""
    codes = {reason.value: reason.name.lower().replace("_", " ") for reason in Reason if reason not in (Reason.NONE, Reason.CANCELLED)}
    values, counts = np.unique(records["reason"], return_counts=True)
    found = sorted(((int(n), codes[int(v)]) for v, n in zip(values, counts, strict=True) if int(v) in codes), reverse=True)
    return "".join(f"; {name} {n:,}" for n, name in found[:3])


def refusals(facts: RunFacts) -> tuple[Count, ...]:
    """Refusals by reason, the most frequent first. What we cancelled ourselves was not refused."""
    found = [(n, name) for name, n in facts.outcome.counts.items() if n and name not in ("none", "cancelled")]
    return tuple(
        Count(name.replace("_", " "), n, REFUSALS.get(name, GATE_RULE if name.startswith(GATE_DENIAL) else ""))
        for n, name in sorted(found, key=lambda f: (-f[0], f[1]))
    )


def tables(facts: RunFacts, evidence: Evidence, fills: np.ndarray) -> tuple[Table, ...]:
    """Every further table that has something to say."""
    found = (
        _by_pair(facts, evidence),
        _by_instrument(evidence),
        _exits(facts, evidence, fills),
        _deciles(evidence),
        _rates(facts, evidence),
        _notes(evidence),
    )
    return tuple(table for table in found if table is not None)


@exact
def _by_pair(facts: RunFacts, evidence: Evidence) -> Table | None:
    if not facts.pairs:
        return None
    rows = []
    for symbol in evidence.symbols:
        trips = [t for t in evidence.trips.closed if t.label == symbol.name]
        edge = BPS * symbol.traded / symbol.turnover if symbol.turnover else None
        amounts = (symbol.turnover, symbol.traded, edge, symbol.held, symbol.net)
        rows.append((symbol.name, len(trips), sum(t.net > 0 for t in trips), *amounts))
    code = evidence.into.into
    money = (("Turnover", code), ("Traded", code), ("Traded over turnover", "bp"), ("Held opening inventory", code), ("Net", code))
    columns = (("Pair", ""), ("Round trips", ""), ("Won", ""), *money)
    return Table("By pair", columns, tuple(rows), "Net is what trading gave and what the opening inventory gave by being held.")


@exact
def _by_instrument(evidence: Evidence) -> Table:
    code = evidence.into.into
    rows: list[Row] = []
    for a in evidence.ledger.instruments:
        rate = evidence.into.factors[a.currency]
        amounts = (a.maker_turnover + a.taker_turnover, a.price_move, a.fees + a.rebates, a.funding, a.liquidation, a.held, a.net)
        rows.append((a.instrument.key, a.fills, f"{a.instrument.quantity(a.closing_lots).normalize():f}", *(rate * v for v in amounts)))
    names = (
        "Instrument",
        "Fills",
        "Held at the end",
        "Turnover",
        "Price moves",
        "Fees, rebates",
        "Funding",
        "Closing",
        "Of which held",
        "Net",
    )
    note = (
        "Net is price moves, fees and rebates, funding and the closing of what is held at the end. "
        "Of which held: the part that merely holding the opening inventory would have given."
    )
    return Table(f"By instrument, in {code}", tuple((name, "") for name in names), tuple(rows), note)


@exact
def _exits(facts: RunFacts, evidence: Evidence, fills: np.ndarray) -> Table | None:
    """Exits by their reason: as the fills' tags tell, else as the strategy counted them."""
    counts = {leg: sum(len(decisions(fills, pair, (leg,))) for pair in facts.pairs) for leg in EXIT_LEGS}
    if not any(counts.values()):
        given = tuple((name.replace("_", " "), n) for name, n in sorted(facts.exit_reasons.items()) if n)
        return Table("Exits by reason", (("Reason", ""), ("Exits", "")), given, "As the strategy counted them.") if given else None
    leaving = fills[np.isin(fills["tag"] & 0xFF, [int(leg) for leg in EXIT_LEGS])]
    reason = dict(zip(leaving["seq"].tolist(), (leaving["tag"] & 0xFF).tolist(), strict=True))
    closed: dict[Leg, list[Decimal]] = {leg: [] for leg in EXIT_LEGS}
    for trip in evidence.trips.closed:
        last = max((seq for seq in trip.orders if seq in reason), default=None)
        if last is not None:
            closed[Leg(reason[last])].append(trip.net)
    rows = []
    for leg, (name, meaning) in EXITS.items():
        if counts[leg]:
            net = closed[leg]
            rows.append((name, meaning, counts[leg], len(net), sum(n > 0 for n in net), decimal_sum(net)))
    columns = (("Reason", ""), ("Meaning", ""), ("Exits", ""), ("Round trips closed", ""), ("Won", ""), ("Their net", evidence.into.into))
    return Table("Exits by reason", columns, tuple(rows), "A round trip counts under its last exit.")


def _deciles(evidence: Evidence) -> Table | None:
    if not evidence.deciles:
        return None
    columns = (("Decile of expected edge", ""), ("Trips", ""), ("Expected", "bp"), ("Realised", "bp"))
    rows = tuple((str(d.number), d.trips, d.expected_bps, d.realised_bps) for d in evidence.deciles)
    return Table("Realised against expected edge", columns, rows, "Without skill the right column does not rise.")


def _rates(facts: RunFacts, evidence: Evidence) -> Table | None:
    """The rates that the figures of this report rest on."""
    used = {a.currency for a in evidence.ledger.instruments} | {evidence.into.into}
    rows = []
    for needs, name, rate in (
        ("USD", "USD per USDT", facts.reporting.usd_per_usdt),
        ("KRW", "KRW per USDT", facts.reporting.krw_per_usdt),
    ):
        if needs in used and rate is not None:
            rows.append((name, f"{rate.value:f}" if rate.value == rate.value.to_integral_value() else f"{rate.value:.8g}", rate.source,
                         f"{utc(rate.as_of_ns)} UTC"))  # fmt: skip
    columns = (("Rate", ""), ("Value", ""), ("Source", ""), ("As of", ""))
    return Table("Rates of translation", columns, tuple(rows), "For this report only; no decision rests on them.") if rows else None


def _notes(evidence: Evidence) -> Table | None:
    if not evidence.edge.notes:
        return None
    return Table("Limits of the attribution", (("Note", ""),), tuple((note,) for note in evidence.edge.notes))
