"""The schema of figures: the document is current, every key is present, nothing is invented."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evidence.runs import BTC, KRW_BTC, Trade, run, with_fees

from interlock.evidence.build import build_evidence
from interlock.evidence.facts import Pair, Reporting
from interlock.evidence.kpi import NAMES, kpi_markdown, main, validate
from interlock.evidence.kpi_fields import SCHEMA
from interlock.simulate.outcome import Ending

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "kpi.md"
FLAT = [600_000] * 20
TRADES = [Trade(1, 0, 1, 600_000, 10), Trade(2, 0, -1, 600_002, 10)]

# What operators of earlier systems read, and what the model requires beside it.
REQUIRED = frozenset(
    re.findall(
        r"\w+",
        """
        run_id start_time end_time start_timestamp end_timestamp duration_seconds exit_code universe_mode environment config_digest
        round_trips_completed entry_trades exit_trades wins losses win_rate total_pnl_usd total_pnl_krw initial_equity_usd
        final_equity_usd roi_pct exit_reasons avg_loop_latency_ms avg_cpu_percent avg_memory_mb session_id win_rate_pct
        loop_latency_p99_ms avg_buy_slippage_bps avg_sell_slippage_bps avg_buy_fill_ratio avg_sell_fill_ratio kpi_schema mode
        data_provenance max_drawdown fees rebates funding fx_rate_source fx_rate_age_sec reject_reasons maker_share time_quoting_pct
        capital_employed edge not_applicable verdict verdict_reasons peak_margin_used time_inventory_blocked_pct markouts_bps flow_venue
        fee_venue latency_source volume fragility pnl_held pnl_traded verdict_rules
        """,
    )
)


def making(**changes: Any) -> dict[str, Any]:
    return dict(build_evidence(run([BTC], [FLAT], TRADES, cash={"binance_usdm": Decimal(1000)}, **changes)).kpi)


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == kpi_markdown(), "run python -m interlock.evidence.kpi docs/kpi.md"


def test_the_document_is_written_where_asked(tmp_path: Path) -> None:
    assert main([str(tmp_path / "kpi.md")]) == 0
    assert (tmp_path / "kpi.md").read_text(encoding="utf-8") == kpi_markdown()
    assert main([]) == 2


def test_every_required_key_has_a_place_and_a_formula() -> None:
    assert set(NAMES) >= REQUIRED
    assert all(field.formula and field.unit and field.sampling for field in SCHEMA)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("reporting", [None, Reporting()])
def test_all_keys_are_present_and_null_is_named(reporting: Reporting | None) -> None:
    kpi = making() if reporting is None else making(reporting=reporting)
    assert tuple(kpi) == NAMES
    assert kpi["not_applicable"] == [name for name in NAMES if kpi[name] is None]
    assert json.loads(json.dumps(kpi, allow_nan=False)) == kpi
    assert (kpi["total_pnl_usd"] is None) == (reporting is not None)
    assert "time_inventory_blocked_pct" in kpi["not_applicable"]


def test_a_run_without_trades_has_no_win_rate_rather_than_zero() -> None:
    kpi = build_evidence(run([BTC], [FLAT], [])).kpi
    assert (kpi["round_trips_completed"], kpi["win_rate"], kpi["roi_pct"], kpi["avg_buy_slippage_bps"]) == (0, None, None, None)
    assert kpi["verdict"] == "FAIL"


def test_figures_of_an_arbitrage() -> None:
    trades = [Trade(1, 0, 1, 84_001_000, 10**7, False), Trade(1, 1, -1, 600_000, 100, False)]
    facts = run(
        [KRW_BTC, BTC],
        [[84_000_000] * 20, FLAT],
        trades,
        spreads=[1000, 2],
        pairs=(Pair(0, 1),),
        cash={"upbit": Decimal(10**8)},
        fx_age_s=0.5,
    )
    kpi = build_evidence(facts).kpi
    assert kpi["strategy_kind"] == "arbitrage"
    assert kpi["net_at_maker_rates"] is None
    assert kpi["time_quoting_pct"] is None
    assert kpi["time_inventory_blocked_pct"] == pytest.approx(10.0)
    assert set(kpi["pnl_by_currency"]) == {"KRW", "USDT"}
    assert kpi["total_pnl_krw"] == pytest.approx(kpi["total_pnl_usd"] / 0.9995 * 1400)
    assert kpi["fx_rate_age_sec"] == 0.5


def test_times_are_of_the_markets_window() -> None:
    kpi = making()
    assert kpi["end_time"] - kpi["start_time"] == kpi["duration_seconds"] == 20
    assert kpi["start_timestamp"] == "2023-11-14T22:13:20.000000Z"
    assert kpi["wall_seconds"] == 2


@pytest.mark.parametrize(("ending", "code"), [(Ending.COMPLETE, 0), (Ending.LIQUIDATED, 1), (Ending.INTERRUPTED, 130)])
def test_the_exit_code_says_how_the_run_ended(ending: Ending, code: int) -> None:
    assert making(ending=ending)["exit_code"] == code


def test_loop_latency_and_maker_rates() -> None:
    kpi = making(loop_latency_ns=np.array([1_000_000, 3_000_000]))
    assert kpi["avg_loop_latency_ms"] == 2.0
    rates = kpi["net_at_maker_rates"]
    assert rates["base"] == rates["profile"]
    assert rates["zero"]["net"] > rates["base"]["net"]
    turnover = kpi["volume"]
    assert rates["zero"]["net"] - kpi["break_even_maker_rate_bps"] / 1e4 * turnover == pytest.approx(0, abs=1e-12)
    programme = with_fees(BTC, "-0.0001", "0.0005", profile="mm", condition="a programme")
    assert build_evidence(run([programme], [FLAT], TRADES)).kpi["net_at_maker_rates"]["base"]["net"] is None
    known = build_evidence(run([programme], [FLAT], TRADES, base_maker_rate={programme.key: Decimal("0.0002")}))
    assert known.kpi["net_at_maker_rates"]["base"]["net"] == pytest.approx(rates["base"]["net"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"win_rate": None}, "win_rate: null but not in not_applicable"),
        ({"surprise": 1}, "surprise: unknown key"),
        ({"wins": 1.5}, "wins: expected integer, found float"),
        ({"wins": True}, "wins: expected integer, found bool"),
        ({"fees": float("nan")}, "fees: nan is not a number"),
        ({"edge": {"fees": float("inf")}}, r"edge.fees: inf is not a number"),
        ({"time_inventory_blocked_pct": 0.0, "not_applicable": []}, "only for arbitrage"),
    ],
)
def test_figures_that_break_the_schema_are_refused(change: dict[str, Any], problem: str) -> None:
    kpi = making()
    validate(kpi)
    with pytest.raises(ValueError, match=problem):
        validate(kpi | change)


def test_a_figure_that_always_has_a_value_cannot_be_declared_not_applicable() -> None:
    kpi = making()
    with pytest.raises(ValueError, match="fees: null, but it always has a value"):
        validate(kpi | {"fees": None, "not_applicable": [*kpi["not_applicable"], "fees"]})
    del kpi["fees"]
    with pytest.raises(ValueError, match="fees: missing"):
        validate(kpi)
