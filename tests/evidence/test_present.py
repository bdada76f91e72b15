"""The report of a run against the records that it is made of."""

import dataclasses
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evidence.runs import BTC, ETH, KRW_BTC, KRW_USDT, SECOND, START, Trade, run, with_fees, without_tape

from interlock.domain.instruments import Instrument
from interlock.evidence.build import build_evidence
from interlock.evidence.facts import Pair, RunFacts
from interlock.evidence.present import report_data
from interlock.evidence.report import render_report
from interlock.evidence.report_data import KeyFigure, ReportData, Table
from interlock.evidence.report_numbers import NONE
from interlock.simulate.layout import FINAL_CANCELLED, FINAL_EXPIRED, FINAL_FILLED
from interlock.simulate.reasons import Reason
from interlock.strategies.tags import EDGE_OFFSET, Leg

PATH = [600_000, 600_010, 600_020, 600_030, 600_020, 600_010, 600_000, 599_990, 600_000, 600_010]
COINS = {"upbit": Decimal(100_000_000), "binance_usdm": Decimal(10_000)}


def made(facts: RunFacts, lines: tuple[tuple[str, str], ...] = (("seed", "1"),)) -> ReportData:
    data = report_data(facts, build_evidence(facts), lines)
    page = render_report(data)
    assert "do not add up" not in page
    assert page.startswith("<!DOCTYPE html>")
    return data


def tile(data: ReportData, label: str) -> KeyFigure:
    return next(f for f in data.key_figures if f.label == label)


def table(data: ReportData, title: str) -> Table:
    return next(t for t in data.tables if t.title.startswith(title))


def maker(**changes: Any) -> RunFacts:
    """Two round trips of 0.01 BTC: +2 USDT and -1 USDT of price; a third purchase stays open."""
    trades = [
        Trade(1.5, 0, 1, 600_000, 10, True, 600_000 * 2 + 10),
        Trade(2.5, 0, -1, 602_000, 10, True, 602_000 * 2 - 10),
        Trade(3.5, 0, 1, 600_000, 10),
        Trade(4.5, 0, -1, 599_000, 10, False),
        Trade(6.5, 0, 1, 600_000, 4),
    ]
    return run([BTC], [PATH], trades, cash={"binance_usdm": Decimal(10_000)}, **changes)


def arbitrage(fx: bool = False, tagged: bool = True, **changes: Any) -> RunFacts:
    """One trip of 0.01 BTC: bought on Upbit and sold on Binance, closed 4 s later when the premium is 100 bp higher."""
    krw = [84_000_000] * 5 + [84_840_000] * 5
    instruments: list[Instrument] = [KRW_BTC, BTC]
    ticks = [[int(p / KRW_BTC.quantum) for p in krw], [600_000] * 10]
    if fx:
        instruments.append(KRW_USDT)
        ticks.append([int(1400 / KRW_USDT.quantum)] * 10)
    coin = int(Decimal("0.01") / KRW_BTC.lot)
    trades = [
        Trade(2.5, 0, 1, ticks[0][2], coin, False),
        Trade(2.6, 1, -1, 600_000, 10, False),
        Trade(6.5, 0, -1, ticks[0][6], coin, False),
        Trade(6.6, 1, 1, 600_000, 10, False),
    ]
    facts = run(instruments, ticks, trades, pairs=(Pair(0, 1),), cash=COINS, spreads=[2] * len(ticks), **changes)
    if tagged:
        legs = (Leg.ENTRY, Leg.ENTRY, Leg.TAKE_PROFIT, Leg.HEDGE)
        facts.outcome.fills["tag"] = [((EDGE_OFFSET + 1000) << 16) | int(leg) for leg in legs]
        facts.outcome.fills["decided_ns"] = START + SECOND * np.array([2, 2, 6, 6]) + SECOND // 4
    return facts


def test_a_making_run_shows_its_figures() -> None:
    facts = maker()
    evidence = build_evidence(facts)
    data = made(facts)
    assert data.title == "Market making: BTCUSDT on binance_usdm"
    assert data.net == evidence.edge.net
    assert data.currency == tile(data, "Net").unit == evidence.edge.currency
    assert tile(data, "Net").value == f"{evidence.edge.net:+,.3f}"
    assert tile(data, "Round trips").value == "2"
    assert tile(data, "Win rate").value == "50.0"
    assert tile(data, "Time quoting").value == "100.0"
    assert float(tile(data, "Fees paid").value) == pytest.approx(-evidence.kpi["fees"], abs=0.005)
    assert tile(data, "Turnover").value == f"{evidence.kpi['volume']:,.2f}"
    assert tile(data, "Maker share").value == f"{100 * evidence.kpi['maker_share']:.1f}"
    assert data.summary.startswith("Strategy touch: replay of 10 s of recorded order books; binance_usdm:BTCUSDT;")
    assert data.manifest == (("seed", "1"),)
    assert data.orders == ()  # the records say of no order how it ended
    assert [(c.name, c.count) for c in data.refusals] == [("rate budget", 3)]
    assert data.refusals[0].meaning
    row = table(data, "By instrument").rows[0]
    assert (row[0], row[1], row[2]) == ("binance_usdm:BTCUSDT", 5, "0.004")
    assert isinstance(row[-1], Decimal)
    assert abs(row[-1] - data.net) < Decimal("1e-20")


def test_prices_and_inventory_are_in_units_of_the_instrument() -> None:
    data = made(maker())
    panel = data.prices[0]
    assert (panel.currency, panel.quantity_unit) == ("USDT", "BTC")
    assert panel.fills.prices == pytest.approx([60_000.0, 60_200.0, 60_000.0, 59_900.0, 60_000.0])
    assert panel.fills.quantities == pytest.approx([0.01, 0.01, 0.01, 0.01, 0.004])
    assert panel.fills.is_maker.tolist() == [True, True, True, False, True]
    assert panel.mid == pytest.approx([(p + 1) / 10 for p in PATH])
    assert panel.own_bid == pytest.approx([p / 10 for p in PATH])
    assert data.inventories[0].values[-1] == pytest.approx(0.004)
    assert data.equity is not None
    assert data.equity.values[0] == pytest.approx(10_000 * 0.9995)


def test_where_nothing_rested_no_quote_is_drawn() -> None:
    facts = maker()
    facts.outcome.samples["own_bid_ticks"][3] = 0
    panel = made(facts).prices[0]
    assert np.flatnonzero(np.isnan(panel.own_bid)).tolist() == [3]
    barred = made(maker(bars=True)).prices[0]
    assert np.isnan(barred.own_bid).all()
    assert np.isnan(barred.own_ask).all()


def test_contracts_of_several_coins_are_counted_as_contracts() -> None:
    names = BTC.__struct_fields__
    thousand = Instrument(**{name: getattr(BTC, name) for name in names} | {"multiplier": Decimal(1000)})
    facts = maker()
    facts = dataclasses.replace(facts, instruments=(thousand,))
    assert made(facts).inventories[0].unit == "contracts"


def test_markouts_have_standard_errors_of_maker_fills() -> None:
    facts = maker()
    evidence = build_evidence(facts)
    data = made(facts)
    fills = facts.outcome.fills
    own = fills["maker"] > 0
    moved = 1e4 * fills["side"][own] * (evidence.later_twice[1][own] - fills["mid_twice"][own]) / fills["mid_twice"][own]
    weight = (fills["lots"] * fills["mid_twice"])[own].astype(float)
    shown = data.markouts[1]
    assert shown.horizon_s == 1.0
    assert shown.fills == 4
    assert shown.mean_bps == pytest.approx(np.average(moved, weights=weight), rel=1e-9)
    assert shown.mean_bps == evidence.markouts_bps["1"]
    expected = np.sqrt(4 / 3 * np.sum((weight * (moved - shown.mean_bps)) ** 2)) / weight.sum()
    assert shown.error_bps == pytest.approx(expected)


def test_equal_fills_give_the_usual_standard_error() -> None:
    trades = [Trade(i + 0.5, 0, 1, 600_000, 10, True, 1_200_000) for i in range(8)]
    data = made(run([BTC], [PATH], trades))
    later = np.array([2 * p + 2 for p in PATH])[1:9]
    moved = 1e4 * (later - 1_200_000) / 1_200_000
    shown = data.markouts[1]
    assert shown.error_bps == pytest.approx(moved.std(ddof=1) / np.sqrt(8), rel=1e-3)


def test_maker_rates_are_base_profile_and_zero() -> None:
    same = made(maker()).maker_rates
    assert [r.name for r in same] == ["Profile", "Zero"]
    rebate = with_fees(BTC, "-0.0001", "0.0005", "tier2", "market maker programme")
    facts = dataclasses.replace(maker(), instruments=(rebate,), base_maker_rate={BTC.key: Decimal("0.0002")})
    data = made(facts)
    assert [(r.name, r.rate_bps) for r in data.maker_rates] == [("Base", 2.0), ("Profile", -1.0), ("Zero", 0.0)]
    assert "market maker programme" in data.maker_rates[1].source
    for rate in data.maker_rates:
        assert rate.net + rate.fees == pytest.approx(data.net + data.maker_rates[1].fees)
    assert data.maker_rates[1].net == data.net
    turnover = Decimal("0.9995") * sum((Decimal(p) for p in (600, 602, 600, 240)), Decimal(0))
    assert data.maker_rates[0].fees - data.maker_rates[2].fees == pytest.approx(Decimal("0.0002") * turnover)
    assert tile(data, "Rebates").note == "condition: market maker programme"


def test_orders_are_counted_by_how_they_ended() -> None:
    facts = maker(unfilled=4)
    orders = facts.outcome.orders
    orders["final_state"] = [FINAL_FILLED] * 5 + [FINAL_CANCELLED] * 2 + [FINAL_EXPIRED] * 2
    orders["lots"][5], orders["filled_lots"][5] = 5, 2
    orders["reason"][7:] = int(Reason.POST_ONLY_WOULD_TAKE)
    facts.outcome.counts["cancelled"] = 2
    data = made(facts)
    assert [(c.name, c.count) for c in data.orders] == [("filled", 5), ("cancelled", 2), ("expired", 2)]
    assert data.orders[1].meaning == "taken back by us; 1 after a part was filled"
    assert data.orders[2].meaning == "ended by the venue; post only would take 2"
    assert [c.name for c in data.refusals] == ["rate budget"]


def test_fragility_lists_the_run_first_and_says_what_was_not_run() -> None:
    data = made(maker())
    worlds = data.fragility.worlds
    assert worlds[0].base
    assert (worlds[0].net, worlds[0].round_trips) == (data.net, 2)
    by_name = {w.name: w for w in worlds}
    assert (by_name["Latency x 2"].net, by_name["Latency x 2"].note, by_name["Latency x 2"].round_trips) == (None, "not run", None)
    assert by_name["Fees + 1 bp"].round_trips == 2
    assert [b.name for b in data.fragility.break_evens] == ["Fees", "Maker rate"]
    again = made(dataclasses.replace(maker(), rerun=lambda variation: maker().outcome))
    assert {w.round_trips for w in again.fragility.worlds[1:]} == {None}
    assert "Latency" in [b.name for b in again.fragility.break_evens]


def test_reasons_are_sentences_and_name_worlds_in_words() -> None:
    data = made(maker())
    assert all(r[0].isupper() or r[0].isdigit() for r in data.verdict_reasons)
    assert all(r.endswith(".") for r in data.verdict_reasons)
    assert any("latency x 2" in r for r in data.verdict_reasons)
    assert not any("latency_x2" in r for r in data.verdict_reasons)
    assert sum("(alone: " in r for r in data.verdict_reasons) < len(data.verdict_reasons)


@pytest.mark.parametrize("facts", [run([BTC], [PATH], []), without_tape(run([BTC], [PATH], []))])
def test_a_run_without_fills_shows_what_there_is(facts: RunFacts) -> None:
    data = made(facts)
    assert data.net == 0
    assert (data.parts, data.maker_rates, data.markouts, data.inventories, data.premiums) == ((), (), (), (), ())
    assert tile(data, "Win rate") == KeyFigure("Win rate", NONE, "", "no round trip was completed")
    assert tile(data, "Maker share").value == NONE
    assert tile(data, "Fill ratio, buy / sell").note == "no order was sent"
    assert tile(data, "Capital employed").value == NONE
    assert data.prices[0].fills.ns.tolist() == []


def test_a_run_without_samples_or_fills_shows_no_series() -> None:
    facts = maker()
    bare = dataclasses.replace(
        facts.outcome, fills=facts.outcome.fills[:0], orders=facts.outcome.orders[:0], samples=facts.outcome.samples[:0]
    )
    data = made(dataclasses.replace(facts, outcome=bare))
    assert data.equity is None
    assert (data.prices, data.inventories) == ((), ())
    assert tile(data, "Largest drawdown").value == NONE


def test_fills_out_of_order_are_put_in_order() -> None:
    facts = maker()
    turned = dataclasses.replace(facts, outcome=dataclasses.replace(facts.outcome, fills=facts.outcome.fills[::-1].copy()))
    assert made(turned).markouts == made(facts).markouts
    assert np.all(np.diff(made(turned).prices[0].fills.ns) > 0)


def test_an_arbitrage_shows_premium_entry_and_exit() -> None:
    data = made(arbitrage(fx=True))
    assert data.title == "Arbitrage: BTC, upbit spot against binance_usdm perpetual"
    panel = data.premiums[0]
    assert panel.pair == "upbit:KRW-BTC / binance_usdm:BTCUSDT, at the rate of upbit:KRW-USDT"
    assert panel.ns.tolist() == [START + i * SECOND for i in range(10)]
    assert panel.premium_bps[-1] - panel.premium_bps[0] == pytest.approx(1e4 * np.log(1.01), abs=0.01)
    assert abs(panel.premium_bps[0]) < 10
    # The hedge that followed marks nothing, and the two legs of the entry are one decision.
    assert panel.entry_ns.tolist() == [START + 2 * SECOND + SECOND // 4]
    assert panel.exit_ns.tolist() == [START + 6 * SECOND + SECOND // 4]
    assert panel.entry_bps == pytest.approx([panel.premium_bps[2]])
    assert panel.exit_bps == pytest.approx([panel.premium_bps[6]])
    assert [p.instrument for p in data.prices] == ["upbit:KRW-BTC", "binance_usdm:BTCUSDT", "upbit:KRW-USDT"]
    assert data.maker_rates == ()
    exits = table(data, "Exits by reason").rows
    assert [(r[0], r[2], r[3], r[4]) for r in exits] == [("take profit", 1, 1, 1)]
    pairs = table(data, "By pair").rows
    assert (pairs[0][0], pairs[0][1], pairs[0][2]) == ("upbit:KRW-BTC/binance_usdm:BTCUSDT", 1, 1)
    assert {r[0] for r in table(data, "Rates").rows} >= {"KRW per USDT"}


def test_a_single_pair_without_a_rate_is_shown_relative_to_its_mean() -> None:
    data = made(arbitrage())
    panel = data.premiums[0]
    assert "relative to its own mean" in panel.pair
    assert np.mean(panel.premium_bps) == pytest.approx(0, abs=1e-6)
    assert table(data, "Limits").rows == (("fx: one rate for the whole run",),)
    assert [r[0] for r in table(data, "Rates").rows] == ["USD per USDT", "KRW per USDT"]


def test_of_two_pairs_each_takes_the_rate_of_the_other() -> None:
    krw_eth = Instrument(**{n: getattr(KRW_BTC, n) for n in KRW_BTC.__struct_fields__} | {"symbol": "KRW-ETH", "base": "ETH"})
    won = [int(84_000_000 / KRW_BTC.quantum)] * 10
    higher = [int(4_200_000 / KRW_BTC.quantum)] * 5 + [int(4_242_000 / KRW_BTC.quantum)] * 5
    facts = run(
        [KRW_BTC, BTC, krw_eth, ETH],
        [won, [600_000] * 10, higher, [300_000] * 10],
        [],
        pairs=(Pair(0, 1), Pair(2, 3)),
        cash=COINS,
    )
    first, second = made(facts).premiums
    assert "the other pair implies" in first.pair
    assert first.premium_bps == pytest.approx(-second.premium_bps)
    assert second.premium_bps[-1] - second.premium_bps[0] == pytest.approx(1e4 * np.log(1.01), abs=0.01)
    assert len(first.entry_ns) == len(second.exit_ns) == 0


def test_exits_are_as_the_strategy_counted_them_where_tags_say_nothing() -> None:
    data = made(arbitrage(tagged=False, exit_reasons={"take_profit": 2, "health_exit": 0}))
    assert table(data, "Exits by reason").rows == (("take profit", 2),)
    assert len(data.premiums[0].entry_ns) == 0
    assert not [t for t in made(arbitrage(tagged=False)).tables if t.title == "Exits by reason"]


def test_expected_edges_are_set_against_realised_ones() -> None:
    data = made(arbitrage(expected_edge_bps={1: Decimal("8.5")}))
    rows = table(data, "Realised against expected").rows
    assert [(r[1], r[2]) for r in rows] == [(1, Decimal("8.5"))]


def test_without_a_tape_the_samples_tell_the_premium_of_decisions() -> None:
    data, bare = made(arbitrage(fx=True)), made(without_tape(arbitrage(fx=True)))
    assert bare.premiums[0].exit_bps == pytest.approx(data.premiums[0].exit_bps)


def test_measured_latency_is_shown_and_only_then() -> None:
    assert not [f for f in made(maker()).key_figures if f.label == "Frame to intent"]
    data = made(maker(loop_latency_ns=np.full(100, 25_000, np.int64)))
    assert (tile(data, "Frame to intent").value, tile(data, "Frame to intent").unit) == ("25", "µs")


TRADES = st.lists(
    st.tuples(
        st.integers(1, 9),
        st.sampled_from([-1, 1]),
        st.integers(-2000, 2000),
        st.integers(1, 50),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(TRADES, st.booleans())
def test_parts_always_sum_to_net(drawn: list[tuple[int, int, int, int, bool]], pair: bool) -> None:
    if pair:
        won = int(84_000_000 / KRW_BTC.quantum)
        trades = [
            Trade(at + i / 100, i % 2, side, (600_000 if i % 2 else won) + move, size * (1 if i % 2 else 1000), maker)
            for i, (at, side, move, size, maker) in enumerate(drawn)
        ]
        facts = run([KRW_BTC, BTC], [[won] * 10, PATH], trades, pairs=(Pair(0, 1),), cash=COINS)
    else:
        trades = [Trade(at + i / 100, 0, side, 600_000 + move, size, maker) for i, (at, side, move, size, maker) in enumerate(drawn)]
        facts = run([BTC], [PATH], trades, cash={"binance_usdm": Decimal(10_000)})
    data = made(facts)
    assert abs(sum((p.value for p in data.parts), Decimal(0)) - data.net) < Decimal("1e-9")
    nets = [row[-1] for row in table(data, "By instrument").rows]
    assert abs(sum((n for n in nets if isinstance(n, Decimal)), Decimal(0)) - data.net) < Decimal("1e-9")
