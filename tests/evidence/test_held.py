"""What merely holding the opening position gave is no result of trading: neither the verdict nor the fragility card may count it."""

import dataclasses
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evidence.runs import BTC, ETH, KRW_BTC, KRW_USDT, SECOND, START, Trade, run, with_fees, without_tape

from interlock.evidence import checks
from interlock.evidence.build import build_evidence, findings
from interlock.evidence.exact import exact
from interlock.evidence.facts import Pair, RunFacts
from interlock.evidence.present import report_data
from interlock.evidence.report import render_report
from interlock.evidence.settlements import tape_settlements
from interlock.evidence.verdict import Verdict
from interlock.market.columns import ROW, RowKind
from interlock.simulate.layout import FUNDING_PAYMENT

Settlement = tuple[float, int, int, int]
"""Seconds after the start, instrument, price in ticks (0: none of its own), rate in 1e-12."""

WON = 84_000_000
KRW_ETH = type(KRW_BTC)(**{n: getattr(KRW_BTC, n) for n in KRW_BTC.__struct_fields__} | {"symbol": "KRW-ETH", "base": "ETH"})


def with_settlements(facts: RunFacts, settlements: list[Settlement], marks: list[tuple[float, int, int]] = ()) -> RunFacts:  # type: ignore[assignment]
    """FUNDING (and MARK) rows in the tape, and the payments that the matching model makes of them: none where nothing is held."""
    events = [(at, k, ticks, rate, RowKind.FUNDING) for at, k, ticks, rate in settlements]
    events += [(at, k, ticks, 0, RowKind.MARK) for at, k, ticks in marks]
    more = np.zeros(len(events), ROW)
    for i, (at, k, ticks, lots, kind) in enumerate(events):
        ns = START + int(at * SECOND)
        more[i] = (ns, ns, ticks, lots, 0, k, int(kind), 0)
    rows = np.concatenate([facts.rows, more])
    rows = rows[np.argsort(rows["exchange_ns"], kind="stable")]
    paid = []
    for at, k, ticks, rate in settlements:
        ns = START + int(at * SECOND)
        own = facts.outcome.fills[(facts.outcome.fills["instrument"] == k) & (facts.outcome.fills["exchange_ns"] < ns)]
        start = facts.settings.instruments[facts.instruments[k].key].start_lots
        position = int(own["position_lots"][-1]) if len(own) else start
        if position:
            paid.append((ns, k, position, 2 * ticks, rate))
    outcome = dataclasses.replace(facts.outcome, fundings=np.array(paid, FUNDING_PAYMENT))
    return dataclasses.replace(facts, rows=rows, outcome=outcome)


def hedged(trades: list[Trade], spot: list[int], perp: list[int], **changes: Any) -> RunFacts:
    """Opens with 1 BTC on Upbit and 1 BTC short on Binance."""
    values: dict[str, Any] = {"start_lots": [10**8, -1000], "spreads": [1000, 2], "pairs": (Pair(0, 1),)}
    values |= {"cash": {"upbit": Decimal(10**8), "binance_usdm": Decimal(10**5)}}
    return run([KRW_BTC, BTC], [spot, perp], trades, **(values | changes))


def trip(at: float, spot: int, perp: int, lots: int = 100, end: float = 4) -> list[Trade]:
    """0.1 BTC sold on Upbit and bought back on Binance, and both closed at the same prices `end` seconds later."""
    return [
        Trade(at, 0, -1, spot, lots * 10**5, False, 2 * spot + 1000),
        Trade(at + 0.1, 1, 1, perp + 2, lots, False, 2 * perp + 2),
        Trade(at + end, 0, 1, spot + 1000, lots * 10**5, False, 2 * spot + 1000),
        Trade(at + end + 0.1, 1, -1, perp, lots, False, 2 * perp + 2),
    ]


RISING = [WON] * 10 + [WON + 1_400_000] * 10
FLAT = [600_000] * 20


@pytest.mark.parametrize("tape", [True, False])
def test_without_fills_everything_is_held_and_nothing_traded(tape: bool) -> None:
    facts = with_settlements(hedged([], RISING, FLAT), [(5, 1, 600_000, 10**8), (15, 1, 601_000, -(10**7))])
    evidence = build_evidence(facts if tape else without_tape(facts))
    assert evidence.traded == 0
    assert evidence.held == evidence.edge.net
    # 1000 USDT of premium, funding received (1 bp of 60000) and paid (0.1 bp of 60100), closing: 500 KRW and 0.1 USDT of half spreads, fees.
    closing = (Decimal(500) + (WON + 1_400_000) * KRW_BTC.fees.taker) / 1400 + Decimal("0.1") + Decimal("60000.2") * BTC.fees.taker
    expected = (1000 + Decimal(6) - Decimal("0.601") - closing) * Decimal("0.9995")
    assert abs(evidence.held - expected) < Decimal("1e-20")
    assert {n for n, v in evidence.edge.parts.items() if v} <= {"opening_inventory", "residual"}
    assert (evidence.kpi["pnl_traded"], evidence.kpi["exact"]["pnl_traded"]) == (0.0, "0")
    assert evidence.kpi["pnl_held"] == evidence.kpi["total_pnl_usd"]
    assert evidence.judgement.reasons[0].rule == "net_not_positive"
    assert not np.any(evidence.curve.points["traded"])
    assert evidence.fragility.positive == 0
    assert evidence.fragility.break_even_fee is None


def losing() -> RunFacts:
    """Four trips that only pay spreads and fees, while the premium on what is held rises by 1000 USDT."""
    trades = [t for at in (1, 11) for t in trip(at, RISING[int(at)], 600_000)]
    facts = hedged(trades, RISING, FLAT)
    return dataclasses.replace(facts, rerun=lambda variation: facts.outcome)


def test_losing_trips_beside_a_favourable_drift_fail_in_every_world() -> None:
    evidence = build_evidence(losing())
    assert evidence.kpi["wins"] == 0
    assert evidence.edge.net > 800 > 0 > evidence.traded
    assert evidence.kpi["total_pnl_usd"] == pytest.approx(evidence.kpi["pnl_held"] + evidence.kpi["pnl_traded"])
    assert evidence.judgement.verdict is Verdict.FAIL
    assert evidence.kpi["verdict_rules"][0] == {"rule": "net_not_positive", "verdict": "FAIL"}
    reason = evidence.kpi["verdict_reasons"][0]
    assert reason.startswith(f"Net of trading is {evidence.traded:.2f} USD: not above zero. Holding the opening inventory gave +")
    card = evidence.fragility
    assert (card.positive, card.run) == (0, 10)
    assert card.net("base") == evidence.traded
    assert all(w.net is not None and w.net < 0 for w in card.worlds)
    assert card.break_even_latency_factor is None
    # The trips end where they began, so that trading changes nothing about the closing: only its fills pay fees.
    assert card.break_even_fee is not None
    assert float(card.break_even_fee) * evidence.kpi["volume"] == pytest.approx(float(evidence.traded))
    assert evidence.edge.parts["liquidation"] == 0
    assert evidence.edge.parts["hedge_residual"] == 0
    assert evidence.kpi["roi_pct"] == pytest.approx(100 * evidence.kpi["edge_net"] / evidence.kpi["capital_employed"])


def test_trips_and_trading_agree_where_trips_are_all_that_was_traded() -> None:
    evidence = build_evidence(losing())
    assert evidence.traded == pytest.approx(sum((t.net for t in evidence.trips.closed), Decimal(0)))


def test_the_report_shows_what_was_traded_before_what_was_held() -> None:
    data = report_data(losing(), build_evidence(losing()), ())
    assert [f.label for f in data.key_figures[:3]] == ["Traded", "Held opening inventory", "Net"]
    assert data.key_figures[0].value.startswith("\N{MINUS SIGN}")
    assert data.key_figures[1].value.startswith("+")
    assert "Held opening inventory" in [p.name for p in data.parts]
    assert abs(sum((p.value for p in data.parts), Decimal(0)) - data.net) < Decimal("1e-9")
    assert data.fragility.worlds[0].net is not None
    assert data.fragility.worlds[0].net < 0 < data.net
    assert "net of trading alone" in data.fragility.worlds[0].note
    page = render_report(data)
    assert "Positive in 0 of 10 worlds" in page
    assert "do not add up" not in page


def test_without_an_opening_position_the_report_speaks_of_net_alone() -> None:
    facts = run([BTC], [FLAT], [Trade(1, 0, 1, 600_000, 10)])
    data = report_data(facts, build_evidence(facts), ())
    assert data.key_figures[0].label == "Net"
    assert data.fragility.worlds[0].note == ""


def fills() -> st.SearchStrategy[list[Trade]]:
    return st.lists(
        st.builds(
            Trade,
            at_s=st.floats(0.5, 18),
            instrument=st.integers(0, 1),
            side=st.sampled_from([-1, 1]),
            ticks=st.integers(590_000, 610_000),
            lots=st.integers(1, 10**4),
            maker=st.booleans(),
        ),
        max_size=10,
    )


PATH = st.lists(st.integers(590_000, 610_000), min_size=20, max_size=20)
SETTLEMENTS: list[Settlement] = [(3.25, 0, 600_123, 123_456_789), (6.25, 1, 599_321, -77), (9.25, 0, 601_000, -(10**9))]


@settings(max_examples=60, deadline=None)
@given(trades=fills(), paths=st.tuples(PATH, PATH), start=st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
def test_held_does_not_depend_on_fills(trades: list[Trade], paths: tuple[list[int], list[int]], start: tuple[int, int]) -> None:
    still = findings(with_settlements(run([BTC, ETH], paths, [], start_lots=list(start)), SETTLEMENTS))
    busy = findings(with_settlements(run([BTC, ETH], paths, trades, start_lots=list(start)), SETTLEMENTS))
    assert busy.held == still.held == still.edge.net
    assert still.traded == 0
    check_sums(busy)


@settings(max_examples=60, deadline=None)
@given(trades=fills(), start=st.integers(-9, 9), drift=PATH, rates=st.lists(st.integers(-(10**9), 10**9), min_size=2, max_size=2))
def test_traded_does_not_depend_on_a_coin_that_nobody_traded(trades: list[Trade], start: int, drift: list[int], rates: list[int]) -> None:
    trades = [dataclasses.replace(t, instrument=0) for t in trades]
    calm = findings(run([BTC, ETH], [FLAT, FLAT], trades, start_lots=[3, start]))
    wild_facts = with_settlements(
        run([BTC, ETH], [FLAT, drift], trades, start_lots=[3, start]), [(4.5 + i, 1, 600_000, rate) for i, rate in enumerate(rates)]
    )
    wild = findings(wild_facts)
    assert wild.traded == calm.traded
    assert wild.symbols[1].traded == 0
    assert wild.fragility.break_even_fee == calm.fragility.break_even_fee
    assert [w.net for w in wild.fragility.worlds] == [w.net for w in calm.fragility.worlds]
    check_sums(wild)


@exact
def check_sums(found: Any) -> None:
    assert abs(sum(found.edge.parts.values(), Decimal(0)) - found.edge.net) < Decimal("1e-30")
    assert abs(found.edge.residual) < Decimal("1e-9")
    assert found.edge.parts["opening_inventory"] == found.held
    assert abs(found.traded + found.held - found.edge.net) < Decimal("1e-30")
    assert abs(sum((s.traded for s in found.symbols), Decimal(0)) - found.traded) < Decimal("1e-30")


def test_a_pair_that_was_not_traded_adds_nothing() -> None:
    facts = run(
        [KRW_BTC, BTC, KRW_ETH, ETH],
        [[WON] * 20, FLAT, RISING, FLAT],
        trip(1, WON, 600_000),
        start_lots=[10**8, -1000, 10**8, -1000],
        spreads=[1000, 2, 1000, 2],
        pairs=(Pair(0, 1), Pair(2, 3)),
    )
    found = findings(facts)
    assert found.symbols[1].traded == 0
    assert found.symbols[1].net == found.symbols[1].held > 900
    check_sums(found)


def test_a_held_drift_makes_no_hour_and_no_symbol_large() -> None:
    seconds = 3 * 3600 + 10
    path = list(range(600_000, 600_000 + seconds))
    evidence = build_evidence(run([BTC], [path], [Trade(1, 0, 1, 600_000, 1), Trade(2, 0, -1, 600_100, 1)], start_lots=[5]))
    assert evidence.edge.net > 5
    gained = evidence.curve.points["traded"]
    assert gained[-1] == pytest.approx(float(evidence.traded))
    assert gained[-1] < 0.01


def test_a_settlement_at_which_nothing_was_held_is_read_from_the_tape() -> None:
    trades = [Trade(1, 0, 1, 600_000, 10), Trade(18, 0, -1, 600_000, 10)]
    plain = {"instruments": [with_fees(BTC, "0", "0")], "paths": [[600_000] * 10 + [600_100] * 10], "start_lots": [-10]}
    values: list[Settlement] = [(5.5, 0, 610_000, 10**8), (6.5, 0, 0, 10**8), (12.5, 0, 0, 10**8)]
    facts = run(plain["instruments"], plain["paths"], trades, start_lots=plain["start_lots"])  # type: ignore[arg-type]
    marked = with_settlements(facts, values, [(5.75, 0, 620_000)])
    assert len(marked.outcome.fundings) == 0
    found = findings(marked)
    # 0.01 BTC short receives 1 bp of 61000 (the row's own price) and of 62000 (the last mark) twice.
    assert found.ledger.instruments[0].held_funding == Decimal("0.001") * 10 * (61_000 + 62_000 + 62_000) / 10_000
    assert found.edge.parts["funding"] == -found.ledger.instruments[0].held_funding * Decimal("0.9995")
    check_sums(found)
    # Without a mark the mid of the instant serves: 60000.1, then 60010.1.
    unmarked = tape_settlements(with_settlements(facts, values).rows, None, facts.instruments)
    assert unmarked["mark_twice"].tolist() == [1_220_000, 1_200_002, 1_200_202]
    # Without rows there is nothing to take the missing settlements from.
    assert findings(without_tape(marked)).ledger.instruments[0].held_funding == 0


def test_settlements_follow_the_order_of_the_exchange() -> None:
    facts = with_settlements(run([BTC], [FLAT], [], start_lots=[-10]), [(7.5, 0, 0, 5)], [(5.5, 0, 610_000), (8.5, 0, 650_000)])
    turned = facts.rows[::-1].copy()
    order = np.arange(len(turned), dtype=np.uint32)[::-1].copy()
    assert tape_settlements(turned, order, facts.instruments)["mark_twice"].tolist() == [1_220_000]


def test_settlements_after_an_early_end_are_not_counted() -> None:
    facts = with_settlements(run([BTC], [FLAT], [], start_lots=[-10]), SETTLEMENTS[:1] + SETTLEMENTS[2:])
    early = dataclasses.replace(facts.outcome, end_ns=START + 5 * SECOND, fundings=facts.outcome.fundings[:1])
    found = findings(dataclasses.replace(facts, outcome=early))
    assert found.traded == 0
    assert found.ledger.instruments[0].held_funding == found.ledger.instruments[0].funding


def test_selling_out_the_opening_position_saves_its_closing() -> None:
    # Sold at the bid as a taker when it began: holding would have paid the same at the end.
    facts = run([BTC], [FLAT], [Trade(1, 0, -1, 600_000, 10, False, 1_200_002)], start_lots=[10])
    found = findings(facts)
    assert found.traded == 0
    assert found.edge.parts["liquidation"] == -found.edge.parts["fees"] + Decimal("0.001") * Decimal("0.9995")
    assert found.fragility.break_even_fee is None


HOUR = 3600
TO_SETTLEMENT = 8 * HOUR - START // SECOND % (8 * HOUR)


def crossing(seconds: int, settlements: list[Settlement], trades: list[Trade] | None = None) -> tuple[str, ...]:
    path = [600_000] * (seconds - 1) + [600_001]
    facts = run([BTC], [path], [Trade(1, 0, 1, 600_000, 10)] if trades is None else trades)
    # Everything arrives two seconds late: the run's clock passes the settlement, the exchange's does not.
    late = dataclasses.replace(facts.outcome, start_ns=START + 2 * SECOND, end_ns=facts.outcome.end_ns + 2 * SECOND)
    facts = with_settlements(dataclasses.replace(facts, outcome=late), settlements)
    rows = facts.rows.copy()
    rows["receive_ns"] += 2 * SECOND
    facts = dataclasses.replace(facts, rows=rows)
    return checks.missing_costs(facts, findings(facts).ledger)


def test_funding_is_missing_only_where_a_settlement_lies_within_the_exchanges_own_window() -> None:
    assert crossing(TO_SETTLEMENT, []) == ()  # the last event is one second before
    assert crossing(TO_SETTLEMENT + 1, []) == ("funding of binance_usdm:BTCUSDT settled at 2023-11-15 00:00:00 UTC",)
    assert crossing(TO_SETTLEMENT + 10, [(TO_SETTLEMENT + 0.003, 0, 600_000, 10**8)]) == ()
    flat_again = [Trade(1, 0, 1, 600_000, 10), Trade(2, 0, -1, 600_000, 10)]
    assert crossing(TO_SETTLEMENT + 10, [], flat_again) == ()


def test_one_known_settlement_does_not_excuse_another() -> None:
    found = crossing(TO_SETTLEMENT + 16 * HOUR + 10, [(TO_SETTLEMENT + 8 * HOUR, 0, 600_000, 10**8)])
    assert found == ("funding of binance_usdm:BTCUSDT settled at 2023-11-15 00:00:00 UTC and 1 more",)


def test_an_fx_book_does_not_move_the_opening_position_into_other_parts() -> None:
    paths = [[WON] * 20, [2799] * 10 + [2999] * 10, FLAT]
    facts = run([KRW_BTC, KRW_USDT, BTC], paths, [], start_lots=[10**8, 0, -1000], spreads=[1000, 2, 2], pairs=(Pair(0, 2),))
    found = findings(facts)
    assert found.edge.parts["fx"] == found.edge.parts["premium"] == found.edge.parts["hedge_residual"] == 0
    check_sums(found)
