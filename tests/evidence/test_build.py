"""Evidence as a whole: fragility by re-running, what the verdict reads from records, and a result that passes."""

import dataclasses
import time
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.evidence.runs import BTC, ETH, KRW_BTC, SECOND, START, Trade, orders_of, run, settings_of, with_fees

from interlock.evidence import checks
from interlock.evidence.build import build_evidence, findings
from interlock.evidence.edge_making import MAKING_PARTS
from interlock.evidence.facts import Pair, RunFacts, StrategyKind, Variation
from interlock.evidence.verdict import Verdict
from interlock.evidence.verdict_input import verdict_input
from interlock.simulate.layout import FILL
from interlock.simulate.outcome import Ending, Outcome
from interlock.simulate.settings import QueueModel

HOUR = 3600
FLAT = [600_000] * 20


def four_hours(**changes: Any) -> RunFacts:
    """A maker over four hours: buys at the bid, sells at the ask; most trips win, some lose more; the market moves against it a little."""
    seconds = 4 * HOUR
    draw = np.random.default_rng(3)
    path = (600_000 + np.cumsum(draw.integers(-1, 2, seconds))).tolist()
    trades = []
    for i in range(400):
        at = 10 + i * 35
        size = int(draw.integers(1, 10))
        for j, side in ((0, 1), (12, -1)):
            bid = path[at + j]
            won = draw.random() < 0.75
            edge = 560 if won else -620
            trades.append(Trade(at + j + 0.5, 0, side, bid + 1 - side * edge, size, True, 2 * bid + 2 + 2 * side))
    return run([BTC], [path], trades, unfilled=2000, cash={"binance_usdm": Decimal(10_000)}, **changes)


def same(facts: RunFacts) -> RunFacts:
    """Every world gives the same decisions and fills, and runs to its end."""
    again = dataclasses.replace(facts.outcome, ending=Ending.COMPLETE)
    return dataclasses.replace(facts, rerun=lambda variation: again)


def test_a_sound_run_passes_from_records_to_verdict() -> None:
    evidence = build_evidence(same(four_hours()))
    assert [str(r) for r in evidence.judgement.reasons] == []
    assert evidence.judgement.verdict is Verdict.PASS
    assert evidence.kpi["verdict"] == "PASS"
    assert set(evidence.kpi["edge"]) == set(MAKING_PARTS)
    assert sum(evidence.kpi["edge"].values()) == pytest.approx(evidence.kpi["edge_net"], abs=1e-9)
    assert sum(v["net"] for v in evidence.kpi["pnl_by_symbol"].values()) == pytest.approx(evidence.kpi["edge_net"])


@pytest.mark.parametrize(
    ("changes", "verdict", "rule"),
    [
        ({"ending": Ending.INTERRUPTED}, Verdict.INDICATIVE, "interrupted"),
        ({"ending": Ending.LIQUIDATED}, Verdict.FAIL, "liquidated"),
        ({"bars": True}, Verdict.INDICATIVE, "bars"),
        ({"provenance": "constructed"}, Verdict.INDICATIVE, "data_not_real"),
        ({"fx_source": "implied"}, Verdict.INDICATIVE, "implied_fx"),
        ({"fee_venue": "bybit"}, Verdict.INDICATIVE, "flow_venue_is_not_fee_venue"),
        ({"rate_limits_on": False}, Verdict.SUSPECT, "no_rate_limits"),
        ({"broken_invariants": ("a gap in the tape",)}, Verdict.FAIL, "invariant_broken"),
        ({"inferred_instruments": True}, Verdict.INDICATIVE, "inferred_instruments"),
    ],
)
def test_what_the_facts_say_reaches_the_verdict(changes: dict[str, Any], verdict: Verdict, rule: str) -> None:
    judgement = build_evidence(same(four_hours(**changes))).judgement
    assert [r.rule for r in judgement.reasons] == [rule]
    assert judgement.verdict is verdict


def test_without_a_replay_to_run_again_nothing_passes() -> None:
    evidence = build_evidence(four_hours())
    assert evidence.judgement.verdict is Verdict.INDICATIVE
    assert [w.method for w in evidence.fragility.worlds if w.name in ("queue_other", "fee_plus_1bp")] == ["not run", "fills fixed"]
    assert evidence.fragility.as_json()["summary"] == "positive in 4 of 4 worlds, 4 not run"


def test_each_world_is_run_and_accounted_under_its_own_fees() -> None:
    facts = four_hours()
    asked: list[Variation] = []

    def rerun(variation: Variation) -> Outcome:
        asked.append(variation)
        if variation.latency_factor > 2:
            return dataclasses.replace(facts.outcome, fills=np.zeros(0, FILL))
        return facts.outcome

    card = findings(dataclasses.replace(facts, rerun=rerun)).fragility
    assert [v.name for v in asked] == [w.name for w in card.worlds[1:]]
    base, one, two = (card.net(name) for name in ("base", "fee_plus_1bp", "fee_plus_2bp"))
    assert base is not None
    assert one is not None
    assert two is not None
    assert base > one > two
    assert base - one == pytest.approx(one - two)
    assert card.net("latency_x4") == 0
    assert card.break_even_latency_factor == 2
    assert (card.positive, card.run) == (6, 8)
    assert card.break_even_fee is not None
    changed = dataclasses.replace(facts.settings, maker_fee_add=card.break_even_fee, taker_fee_add=card.break_even_fee)
    assert findings(dataclasses.replace(facts, settings=changed)).edge.net == pytest.approx(Decimal(0), abs=Decimal("1e-20"))


def test_a_variation_changes_what_it_names_and_nothing_else() -> None:
    settings = settings_of([BTC], [0])
    changed = Variation("x", maker_fee_add=Decimal("0.0001"), latency_factor=2.0, queue=QueueModel.POWER).apply(settings)
    assert (changed.maker_fee_add, changed.latency_factor, changed.queue) == (Decimal("0.0001"), 2.0, QueueModel.POWER)
    assert Variation("none").apply(settings) == settings


def test_a_liquidated_world_is_closed_at_its_own_end() -> None:
    path = [600_000] * 10 + [500_000] * 10
    facts = run([BTC], [path], [Trade(1, 0, 1, 600_000, 10)])
    early = dataclasses.replace(facts.outcome, ending=Ending.LIQUIDATED, end_ns=START + 5 * SECOND, rows=5)
    card = findings(dataclasses.replace(facts, rerun=lambda v: early)).fragility
    assert card.net("latency_x2") == pytest.approx(Decimal("-0.42") * Decimal("0.9995"))


def test_break_even_fx_error_takes_net_to_zero() -> None:
    trades = [
        Trade(1, 0, 1, 84_001_000, 10**8, False),
        Trade(1, 1, -1, 600_000, 1000, False),
        Trade(9, 0, -1, 85_400_000, 10**8, False),
        Trade(9, 1, 1, 605_000, 1000, False),
    ]
    facts = run([KRW_BTC, BTC], [[84_000_000] * 20, FLAT], trades, spreads=[1000, 2], pairs=(Pair(0, 1),))
    error = findings(facts).fragility.break_even_fx_error
    assert error is not None
    assert facts.reporting.krw_per_usdt is not None
    moved = dataclasses.replace(facts.reporting.krw_per_usdt, value=facts.reporting.krw_per_usdt.value * (1 + error))
    at_break_even = dataclasses.replace(facts, reporting=dataclasses.replace(facts.reporting, krw_per_usdt=moved))
    assert findings(at_break_even).edge.net == pytest.approx(Decimal(0), abs=Decimal("1e-9"))


def test_costs_that_are_missing_are_found() -> None:
    trades = [Trade(1, 0, 1, 600_000, 10), Trade(2, 1, 1, 600_000, 10, maker=False)]
    facts = run([with_fees(BTC, "0", "0.0005"), with_fees(ETH, "0.0002", "0")], [FLAT, FLAT], trades)
    settings = dataclasses.replace(facts.settings, latency_factor=0.0, partial_fills=False)
    facts = dataclasses.replace(facts, settings=settings)
    found = checks.missing_costs(facts, findings(facts).ledger)
    assert [text.split(" of ")[0] for text in found] == ["maker fee", "taker fee", "latency", "depth"]
    assert checks.missing_costs(four_hours(), findings(four_hours()).ledger) == ()


def test_funding_is_missing_where_a_position_crosses_a_settlement_that_the_tape_does_not_have() -> None:
    to_settlement = 8 * HOUR - START // SECOND % (8 * HOUR)
    seconds = to_settlement + 10
    held = run([BTC], [[600_000] * seconds], [Trade(1, 0, 1, 600_000, 10)])
    assert checks.missing_costs(held, findings(held).ledger) == ("funding of binance_usdm:BTCUSDT settled at 2023-11-15 00:00:00 UTC",)
    paid = run([BTC], [[600_000] * seconds], [Trade(1, 0, 1, 600_000, 10)], fundings=[(to_settlement, 0, 10, 1_200_000, 10**8)])
    assert checks.missing_costs(paid, findings(paid).ledger) == ()


def test_limits_and_legs_on_one_venue() -> None:
    facts = run([BTC, ETH], [FLAT, FLAT], [Trade(1, 0, 1, 600_000, 10)], pairs=(Pair(0, 1),))
    settings = facts.settings
    tight = {key: dataclasses.replace(own, max_position_lots=9) for key, own in settings.instruments.items()}
    facts = dataclasses.replace(facts, settings=dataclasses.replace(settings, instruments=tight))
    reads = verdict_input(facts, findings(facts))
    assert reads.one_venue_pairs == ("binance_usdm:BTCUSDT/ETHUSDT",)
    assert reads.limit_breaches == ("binance_usdm:BTCUSDT: a position of 10 lots beyond the limit of 9",)


@pytest.mark.parametrize(
    ("table", "field", "value", "says"),
    [
        ("fills", "position_lots", 99, "positions are not the sum"),
        ("fills", "seq", 77, "never recorded"),
        ("fills", "lots", 0, "without positive"),
        ("orders", "filled_lots", 99, "beyond its size"),
        ("orders", "seq", 2, "share a number"),
    ],
)
def test_broken_records_are_noticed(table: str, field: str, value: int, says: str) -> None:
    facts = run([BTC], [FLAT], [Trade(1, 0, 1, 600_000, 10), Trade(2, 0, -1, 600_000, 10)])
    assert checks.broken_invariants(facts.instruments, facts.settings, facts.outcome) == ()
    getattr(facts.outcome, table)[field][0] = value
    assert any(says in text for text in checks.broken_invariants(facts.instruments, facts.settings, facts.outcome))


def test_facts_refuse_pairs_that_are_none() -> None:
    with pytest.raises(ValueError, match="needs its pairs"):
        run([BTC], [FLAT], [], kind=StrategyKind.ARBITRAGE)
    with pytest.raises(ValueError, match="one pair at most"):
        run([BTC, ETH, KRW_BTC], [FLAT] * 3, [], pairs=(Pair(0, 1), Pair(2, 1)))
    with pytest.raises(ValueError, match="pairs of two of 1 instruments"):
        run([BTC], [FLAT], [], pairs=(Pair(0, 1),))


def test_a_long_run_is_accounted_in_seconds() -> None:
    count, unfilled, seconds = 40_000, 160_000, 10 * HOUR
    draw = np.random.default_rng(1)
    facts = run([BTC], [FLAT], [Trade(1, 0, 1, 600_000, 10)])
    fills = np.zeros(count, FILL)
    fills["exchange_ns"] = START + np.sort(draw.integers(0, seconds, count)) * SECOND
    fills["seq"], fills["side"], fills["maker"] = np.arange(count) + 1, draw.choice([-1, 1], count), 1
    fills["ticks"], fills["lots"] = 600_000 + draw.integers(-40, 40, count), draw.integers(1, 20, count)
    fills["position_lots"] = np.cumsum(fills["side"].astype(np.int64) * fills["lots"])
    for name in ("mid_twice", "arrival_twice", "decision_twice"):
        fills[name] = 2 * fills["ticks"] + fills["side"]
    samples = np.repeat(facts.outcome.samples[:1], seconds)
    samples["exchange_ns"] = START + np.arange(seconds) * SECOND
    outcome = dataclasses.replace(
        facts.outcome, fills=fills, orders=orders_of(fills, unfilled), samples=samples, end_ns=START + seconds * SECOND
    )
    facts = dataclasses.replace(facts, outcome=outcome)
    build_evidence(facts)  # compiles
    started = time.perf_counter()
    evidence = build_evidence(facts)
    assert time.perf_counter() - started < 5  # 0.15 s on a quiet machine
    assert evidence.kpi["fills"] == count
    assert abs(evidence.edge.residual) < Decimal("1e-9")
