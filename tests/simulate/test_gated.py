"""The gate's decision inside a replay: nothing changes where no limit binds, and what binds shows, on the replay's own clock."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.simulate.gated_worlds import CASH, MS, NAME, A, S, play, sheet, with_account, with_venue
from tests.simulate.kernels import buy, cancel, sell
from tests.simulate.kernels import replace as replaced
from tests.simulate.worlds import assert_equal, endings, event, fees, fills, quotes, trade, venue_settings

from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.records import Scope
from interlock.market.columns import RowKind
from interlock.market.shipped import SHIPPED
from interlock.market.tape import Tape
from interlock.market.tape_write import write_tape
from interlock.run.config import load_config
from interlock.run.demo import EXAMPLES
from interlock.run.replay import Plan, make_plan
from interlock.run.replay_gate import load_limits
from interlock.simulate.hold import FIRST_HOLD_NS
from interlock.simulate.outcome import Outcome
from interlock.simulate.settings import InstrumentSettings
from interlock.simulate.synthetic import generate

EXAMPLE = EXAMPLES / "making-synthetic.toml"
LIMITS = load_limits(EXAMPLES / "limits" / "making-btcusdt.toml")
BTC = "binance_usdm:BTCUSDT"


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tapes") / "synthetic"
    write_tape(out, generate(5_000, 5), (SHIPPED[BTC],), "synthetic")
    return out


def run_with(tape: Path, limits: LimitSheet | None, **run: Any) -> Outcome:
    """The shipped example over the tape, with these limits or none."""
    with Tape.open(tape) as opened:
        given = None if limits is None else replace(LIMITS, sheet=limits)
        plan: Plan = make_plan(load_config(EXAMPLE), EXAMPLE, opened, given)
        return plan.run(**run)


def test_the_shipped_example_gives_the_same_with_the_gate_where_no_limit_binds(tape: Path) -> None:
    gated = run_with(tape, LIMITS.sheet)
    assert_equal(gated, run_with(tape, None, full=True))
    assert_equal(gated, run_with(tape, None))
    assert len(gated.fills) > 20


def of_symbol(**changes: Any) -> LimitSheet:
    found = LIMITS.sheet
    return msgspec.structs.replace(found, symbols={BTC: msgspec.structs.replace(found.symbols[BTC], **changes)})


def of_strategy(**changes: Any) -> LimitSheet:
    found = LIMITS.sheet
    return msgspec.structs.replace(found, strategies={"making": msgspec.structs.replace(found.strategies["making"], **changes)})


@pytest.mark.parametrize(
    ("rule", "limits"),
    [
        ("max_order_lots", of_symbol(max_order_lots=29)),
        ("max_position_lots", of_symbol(max_position_lots=45)),
        ("max_open_orders", of_symbol(max_open_orders_count=1)),
        ("collar_reference", of_symbol(collar_reference_millionths=1)),
        ("max_gross_notional_usd", msgspec.structs.replace(
            LIMITS.sheet, account=msgspec.structs.replace(LIMITS.sheet.account, max_gross_notional_micro_usd=2_000_000_000)
        )),
        ("level_reduces", of_strategy(max_orders_count=9)),
    ],
)  # fmt: skip
def test_a_limit_that_binds_shows_in_the_result(rule: str, limits: LimitSheet, tape: Path) -> None:
    bare, gated = run_with(tape, None), run_with(tape, limits)
    told = {name: n for name, n in gated.counts.items() if name.startswith("gate:")}
    assert told[f"gate:{rule}"] > 0, told
    assert gated.submitted < bare.submitted
    assert len(gated.fills) < len(bare.fills)
    if rule == "max_order_lots":
        assert np.all(gated.orders["lots"] <= 29)
    if rule == "max_position_lots":
        assert np.abs(gated.fills["position_lots"]).max() <= 45 < np.abs(bare.fills["position_lots"]).max()


BOOK = quotes(MS, 100, 50, 102, 50)


def test_what_the_gate_denies_never_leaves_and_is_no_order() -> None:
    played = play(BOOK, [buy(10 * MS, 100, 5)], sheet(max_order_lots=4), 100 * MS)
    assert (played.bare.submitted, played.gated.submitted) == (1, 0), "the control: without the gate it is sent"
    assert len(played.gated.orders) == 0
    assert played.counts == {"gate:max_order_lots": 1}
    assert played.gated.counts == {}


def test_fills_and_reports_are_folded_back() -> None:
    lines = [*BOOK, trade(200 * MS, -1, 100, 60), *quotes(210 * MS, 100, 50, 102, 50)]
    acts = [buy(10 * MS, 102, 7, tag=1), buy(20 * MS, 100, 5, tag=2), buy(30 * MS, 99, 5, tag=3), sell(300 * MS, 100, 2, tag=4)]
    played = play(lines, acts, sheet(), 400 * MS, instruments=[msgspec.structs.replace(A, fees=fees("-0.001", "0.01"))])
    assert_equal(played.bare, played.gated)
    assert played.counts == {}
    assert fills(played.gated) == [(1, 102, 7, 0), (2, 100, 5, 1), (4, 100, 2, 0)]
    state = played.gate.state
    position = state.ledger.positions[A.venue, "main", A.symbol]
    assert (position.lots,) == played.gated.position_lots == (10,)
    assert position.cash == -7 * 102 - 5 * 100 + 2 * 100
    paid = Decimal("-0.01") * (7 * 102 + 2 * 100) + Decimal("0.001") * 500
    assert state.ledger.flows == {(A.venue, "main", "USDT", "fill_fee"): paid}
    assert [state.orders.by_id[one].ticks for one in state.orders.live] == [99], "one rests"
    assert state.orders.violation_count == 0
    assert state.lattice.latches == ()


def test_later_intents_of_a_batch_are_decided_against_the_earlier_ones() -> None:
    acts = [buy(10 * MS, 100, 5, tag=1), buy(10 * MS, 99, 5, tag=2)]
    played = play(BOOK, acts, sheet(max_position_lots=9), 100 * MS)
    assert list(endings(played.gated)) == [1]
    assert played.counts == {"gate:max_position_lots": 1}
    assert list(endings(play(BOOK, acts, sheet(max_position_lots=10), 100 * MS).gated)) == [1, 2]


def test_after_a_denial_nothing_is_proposed_for_a_while() -> None:
    acts = [
        buy(10 * MS, 100, 5, tag=1),
        buy(20 * MS, 100, 3, tag=2),
        buy(10 * MS + FIRST_HOLD_NS, 100, 3, tag=3),
    ]
    played = play(BOOK, acts, sheet(max_order_lots=4), S)
    assert list(endings(played.gated)) == [3]
    assert played.counts == {"gate:max_order_lots": 1, "gate:held_after_denial": 1}
    assert list(endings(played.bare)) == [1, 2, 3]


def test_a_denied_replacement_still_gives_up_the_old_order_as_it_would_live() -> None:
    acts = [buy(10 * MS, 100, 3, tag=1), replaced(50 * MS, 1, buy(0, 99, 5, tag=2))]
    played = play(BOOK, acts, sheet(max_order_lots=4), 200 * MS)
    assert endings(played.gated) == {1: ("cancelled", "CANCELLED", 0)}
    assert played.counts == {"gate:max_order_lots": 1}
    assert not played.gate.state.orders.live


def test_a_cancel_that_overtook_its_order_is_sent_again() -> None:
    slow: dict[str, Any] = {"venues": {A.venue: venue_settings(order_ns=50 * MS, cancel_ns=MS, cash=CASH)}}
    played = play(BOOK, [buy(10 * MS, 100, 3), cancel(15 * MS, 1)], sheet(), S, **slow)
    assert endings(played.bare) == {1: ("open", "NONE", 0)}, "the control: a strategy alone forgets it"
    assert endings(played.gated) == {1: ("cancelled", "CANCELLED", 0)}
    assert not played.gate.state.orders.live


def test_a_cancel_waits_for_the_window_of_its_venue() -> None:
    """Every open order finds room for one cancel, so that it takes a second one to wait."""
    slow: dict[str, Any] = {"venues": {A.venue: venue_settings(order_ns=50 * MS, cancel_ns=MS, cash=CASH)}}
    acts = [buy(10 * MS, 100, 3), cancel(15 * MS, 1)]
    window_ns = S
    limits = with_venue(sheet(), max_cancels_count=1, messages_window_ns=window_ns)
    played = play(BOOK, acts, limits, 3 * S, **slow)
    assert played.counts == {"gate:cancel_waited": 1}
    assert endings(played.gated) == {1: ("cancelled", "CANCELLED", 0)}
    (waited,), (at_once,) = (one.orders["final_ns"] for one in (played.gated, play(BOOK, acts, sheet(), 3 * S, **slow).gated))
    assert at_once < window_ns < waited


FALL = [*quotes(MS, 100, 50, 102, 50), *quotes(2 * S, 60, 50, 62, 50)]
FALL = [*FALL[:2], *[(2 * S, 0, RowKind.CLEAR, 0, 0, 0)], *FALL[2:]]


@pytest.mark.parametrize(("most_usd", "rest"), [(1_000, ["open", "open"]), (100, ["cancelled"])])
def test_a_loss_that_latches_denies_what_follows_and_takes_the_resting_orders_back(most_usd: int, rest: list[str]) -> None:
    acts = [buy(10 * MS, 102, 5, tag=1), buy(20 * MS, 50, 5, tag=2), buy(4 * S, 51, 5, tag=3)]
    limits = with_account(sheet(), max_daily_loss_micro_usd=most_usd * 1_000_000)
    played = play(FALL, acts, limits, 5 * S)
    assert [state for tag, (state, _, _) in sorted(endings(played.gated).items()) if tag > 1] == rest
    latched = [(one.name, one.scope) for one in played.gate.state.lattice.latches]
    assert latched == ([] if most_usd > 500 else [("loss", Scope.ALL)])
    assert bool(played.counts) is (most_usd < 500)


def test_positions_at_the_start_and_fundings_are_in_the_books() -> None:
    lines = [*BOOK, event(S, RowKind.MARK, ticks=101), event(2 * S, RowKind.FUNDING, ticks=101, lots=10**9)]
    own = {NAME: InstrumentSettings(max_position_lots=1_000_000, start_lots=40)}
    venues = {A.venue: venue_settings(cash=Decimal(1_000), opening_cost=Decimal(4_000), margined=False)}
    played = play(lines, [sell(3 * S, 100, 15)], sheet(), 5 * S, own=own, venues=venues)
    assert_equal(played.bare, played.gated)
    assert len(played.gated.fundings) == 1
    state = played.gate.state
    assert (state.ledger.positions[A.venue, "main", A.symbol].lots,) == played.gated.position_lots == (25,)
    paid = Decimal(40 * 101) * Decimal("0.001")
    assert state.ledger.flows[A.venue, "main", "USDT", "funding"] == -paid
    # Opened at 100, marked at 101, and what was sold at 100 has gained nothing.
    worth = played.gate.readings.equity[A.venue, "main"].micro_usd
    assert worth == int((Decimal(1_000) + 25 - paid) * 1_000_000)


def test_the_grant_lasts_for_the_tape_and_the_market_is_read_ten_times_a_second() -> None:
    """Also over a day in which nothing happens at all: nothing of what is read grows old."""
    day = 30 * 3_600 * S
    played = play([*BOOK, *quotes(day, 100, 51, 102, 50)], [buy(day + MS, 100, 5)], sheet(), day + S, tick_ns=3_600 * S)
    assert_equal(played.bare, played.gated)
    reference = played.gate.readings.references.references[A.venue, A.symbol]
    assert 0 <= day + S - reference.quote.boot_ns <= 100 * MS
    assert reference.range_millionths == 0


def test_a_market_that_moved_too_far_lately_denies() -> None:
    moved = [*BOOK, event(2 * S, RowKind.CLEAR), *quotes(2 * S, 110, 50, 112, 50)]
    acts = [buy(2 * S + 300 * MS, 110, 5, tag=1), buy(4 * S, 110, 5, tag=2)]
    played = play(moved, acts, sheet(max_drift_millionths=50_000, drift_window_ns=S), 5 * S)
    assert played.counts == {"gate:max_drift": 1}
    assert list(endings(played.gated)) == [2], "and no more once that lies behind"
