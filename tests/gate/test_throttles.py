"""What was sent lately, and streaks, as a fold of records."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.limit_cases import SHEET, changed
from tests.gate.limit_cases import intent as make_intent

from interlock.domain.orders import Liquidity, OrderState, Side, TimeInForce
from interlock.gate import records, throttles
from interlock.gate.limit_sheet import LONGEST_WINDOW_NS
from interlock.gate.records import Endpoint, Record, Scope
from interlock.gate.retention import KEPT, LEAST_NS
from interlock.gate.throttles import Throttles

S = 1_000_000_000
V = "bybit"


def fold(*given: Record) -> Throttles:
    state = Throttles()
    for record in given:
        state = throttles.apply(state, record)
    return state


def boot(at: int = 0, kernel: str = "k1", incarnation: str = "i1") -> records.Boot:
    return records.Boot(
        boot_ns=at,
        incarnation=incarnation,
        kernel_boot_id=kernel,
        host="h",
        user="u",
        endpoint=Endpoint.LOOPBACK,
        accounts=("main",),
        build="b",
        config="c",
        limits="l",
        wall_ns=0,
    )


def intent(cid: str, at: int = 0, **more: Any) -> records.Intent:
    return msgspec.structs.replace(make_intent(client_id=cid, **more), boot_ns=at)


def permit(cid: str, at: int, revision: int = 0) -> records.Permit:
    return records.Permit(
        boot_ns=at,
        client_id=cid,
        revision=revision,
        grant_id="g",
        epoch=1,
        mandate="",
        cap_usd=Decimal(1),
        notional_usd=Decimal(1),
        evaluations=(),
        books=(),
        usd_rates=(),
        body_hash="",
        deadline_boot_ns=at,
        wall_ns=0,
    )


def wire(cid: str, at: int, revision: int = 0) -> records.WireBegin:
    return records.WireBegin(boot_ns=at, client_id=cid, revision=revision, connection="c")


def sent(cid: str, at: int, **more: Any) -> list[Record]:
    return [intent(cid, at, **more), permit(cid, at), wire(cid, at)]


def cancel(cid: str, at: int) -> records.CancelSent:
    return records.CancelSent(boot_ns=at, client_id=cid, attempt=1)


def answer(cid: str, at: int, state: OrderState, code: str = "") -> records.Answered:
    return records.Answered(boot_ns=at, client_id=cid, revision=0, state=state, venue_order_id="v", code=code)


def report(cid: str, at: int, state: OrderState, code: str = "") -> records.Reported:
    return records.Reported(
        boot_ns=at, client_id=cid, venue_order_id="v", state=state, filled_lots=0, lots=1, source="stream", code=code, venue_ns=0
    )


def fill(cid: str, trade: str, side: Side, ticks: int, lots: int = 1, at: int = 0) -> records.Filled:
    return records.Filled(
        boot_ns=at,
        venue=V,
        account="main",
        symbol="BTCUSDT",
        trade_id=trade,
        client_id=cid,
        side=side,
        ticks=ticks,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=Decimal(0),
        fee_currency="USDT",
        venue_ns=0,
    )


def cleared(name: str, scope: Scope = Scope.STRATEGY) -> records.LatchCleared:
    return records.LatchCleared(boot_ns=0, name=name, scope=scope, subject="demo", actor="person", nonce="n", state_version=1)


def names(state: Throttles, at: int, sheet: Any = SHEET) -> list[str]:
    return [request.name for request in throttles.latch_requests(state, sheet, at)]


def test_a_message_counts_from_its_permit_until_its_window_has_passed() -> None:
    state = fold(boot(), intent("a"), permit("a", S))
    assert throttles.messages_used(state, V, 100 * S, S) == 1  # it may still be written at any time
    throttles.apply(state, wire("a", 200 * S))
    assert throttles.messages_used(state, V, 200 * S, 10 * S) == 1
    assert throttles.messages_used(state, V, 210 * S - 1, 10 * S) == 1
    assert throttles.messages_used(state, V, 210 * S, 10 * S) == 0
    assert throttles.messages_used(state, "other", 200 * S, 10 * S) == 0


@pytest.mark.parametrize("kind", ["not_sent", "unknown"])
def test_what_was_certainly_not_sent_is_released_and_what_is_unknown_is_not(kind: str) -> None:
    state = fold(boot(), intent("a"), permit("a", S))
    if kind == "not_sent":
        throttles.apply(state, records.NotSent(boot_ns=S, client_id="a", revision=0, reason=""))
        assert throttles.messages_used(state, V, S, S) == 0
    else:
        throttles.apply(state, records.SendUnknown(boot_ns=S, client_id="a", revision=0, reason=""))
        assert throttles.messages_used(state, V, S, S) == 1


def test_a_second_revision_counts_on_its_own() -> None:
    state = fold(*sent("a", S), intent("a", 2 * S, revision=1, lots=2), permit("a", 2 * S, 1))
    assert throttles.messages_used(state, V, 2 * S, 10 * S) == 2
    throttles.apply(state, records.NotSent(boot_ns=2 * S, client_id="a", revision=1, reason=""))
    assert throttles.messages_used(state, V, 2 * S, 10 * S) == 1
    assert not state.tickets["a"].ended
    throttles.apply(state, wire("a", 2 * S))
    throttles.apply(state, wire("nobody", 2 * S))
    assert throttles.messages_used(state, V, 2 * S, 10 * S) == 1
    # A permit that replaces one which never began is counted once.
    state = fold(intent("a"), permit("a", S), permit("a", S, 1))
    assert throttles.messages_used(state, V, S, S) == 1


def test_cancels_count_on_their_venue_and_everywhere_when_nobody_knows_it() -> None:
    state = fold(*sent("a", S), cancel("a", S), cancel("stranger", S))
    assert throttles.messages_used(state, V, S, S) == 3
    assert throttles.cancels_used(state, V, S, S) == 2
    assert throttles.cancels_used(state, "other", S, S) == 1
    assert throttles.may_cancel(state, SHEET, V, S) == 197
    assert throttles.may_cancel(state, SHEET, "other", S) == 0
    tight = changed(SHEET, "venues", V, max_messages_count=2)
    assert throttles.may_cancel(state, tight, V, S) == 0


def test_a_restart_of_the_gate_forgets_nothing_and_one_of_the_host_counts_all_as_just_now() -> None:
    before = [boot(), *sent("a", 5 * S), cancel("a", 6 * S), answer("a", 6 * S, OrderState.REJECTED, "x")]
    same = fold(*before, boot(9 * S, "k1", "i2"))
    assert same.incarnation == "i2"
    assert throttles.messages_used(same, V, 14 * S, 10 * S) == 2
    assert throttles.messages_used(same, V, 16 * S, 10 * S) == 0
    host = fold(*before, boot(S, "k2", "i3"))
    assert throttles.messages_used(host, V, 10 * S, 10 * S) == 2
    assert throttles.orders_used(host, "demo", 10 * S, 10 * S) == 1
    assert throttles.messages_used(host, V, 11 * S, 10 * S) == 0


def test_two_lives_on_a_boot_of_the_host_that_nobody_could_read_count_as_on_two_boots() -> None:
    unreadable = boot(kernel="")
    state = fold(unreadable, *sent("a", 50 * S), boot(S, "", "i2"))
    assert throttles.messages_used(state, V, 10 * S, 10 * S) == 1
    assert throttles.messages_used(state, V, 11 * S, 10 * S) == 0


def test_orders_and_identical_orders_of_a_strategy_latch() -> None:
    sheet = changed(SHEET, "strategies", "demo", max_orders_count=3, max_identical_orders_count=2)
    state = fold(*sent("a", S), *sent("b", S, lots=2))
    assert names(state, S, sheet) == []
    throttles.apply(state, intent("c", S, lots=3))
    throttles.apply(state, permit("c", S))
    assert names(state, S, sheet) == ["order_burst"]
    assert names(state, S + 61 * S, sheet) == []
    for record in sent("d", S):
        throttles.apply(state, record)
    assert names(state, S, sheet) == ["order_burst", "repeated_order"]
    throttles.apply(state, cleared("order_burst", Scope.ALL))
    throttles.apply(state, cleared("another"))
    assert names(state, S, sheet) == ["order_burst", "repeated_order"]
    throttles.apply(state, cleared("order_burst"))
    throttles.apply(state, cleared("repeated_order"))
    assert names(state, S, sheet) == []


def test_identical_means_strategy_instrument_side_price_and_size() -> None:
    state = fold(*sent("a", S), *sent("b", S), *sent("c", S, ticks=7), *sent("d", S, side=Side.SELL), *sent("e", S, strategy="other"))
    signature = ("demo", V, "BTCUSDT", 1, 500_000, 1)
    assert throttles.identical_used(state, signature, S, S) == 2
    assert throttles.identical_used(state, (*signature[:4], 8, 1), S, S) == 0


def test_rejections_in_a_row_latch_and_expected_ones_do_not_count() -> None:
    post = TimeInForce.POST_ONLY
    state = fold(*sent("a", S), *sent("p", S, tif=post), *sent("q", S, tif=post), *sent("r", S))
    throttles.apply(state, answer("p", S, OrderState.REJECTED, "170193"))
    assert throttles.reject_streak(state, SHEET, "demo") == 0
    throttles.apply(state, answer("a", S, OrderState.REJECTED, "170193"))
    throttles.apply(state, report("a", S, OrderState.REJECTED, "170193"))
    assert throttles.reject_streak(state, SHEET, "demo") == 1
    throttles.apply(state, report("q", S, OrderState.REJECTED, "170131"))
    assert throttles.reject_streak(state, SHEET, "demo") == 2
    assert throttles.reject_streak(state, SHEET, "nobody") == 0
    tight = changed(SHEET, "strategies", "demo", max_reject_streak_count=2)
    assert names(state, S, tight) == ["reject_streak"]
    throttles.apply(state, answer("r", S, OrderState.ACKED))
    assert names(state, S, tight) == ["reject_streak"]  # receipt is not acceptance
    throttles.apply(state, answer("r", S, OrderState.OPEN))
    assert names(state, S, tight) == []


def test_an_expired_order_is_no_rejection_and_a_person_resets_the_streak() -> None:
    state = fold(*sent("a", S, tif=TimeInForce.IOC), *sent("b", S))
    throttles.apply(state, report("a", S, OrderState.EXPIRED))
    assert throttles.reject_streak(state, SHEET, "demo") == 0
    throttles.apply(state, answer("b", S, OrderState.REJECTED, "x"))
    assert throttles.reject_streak(state, SHEET, "demo") == 1
    throttles.apply(state, cleared("reject_streak"))
    assert throttles.reject_streak(state, SHEET, "demo") == 0


def unknown(cid: str, at: int) -> list[Record]:
    """An order whose outcome is not known."""
    return [*sent(cid, at), records.SendUnknown(boot_ns=at, client_id=cid, revision=0, reason="lost")]


def absent(cid: str, at: int) -> records.Absent:
    return records.Absent(boot_ns=at, client_id=cid, sightings=(), not_before_venue_ns=0)


def test_orders_that_the_venue_never_had_or_that_nobody_finds_count_and_a_lost_answer_does_not() -> None:
    tight = changed(SHEET, "strategies", "demo", max_reject_streak_count=2)
    state = fold(*unknown("a", S), *unknown("b", S), *unknown("c", S))
    assert (throttles.reject_streak(state, tight, "demo"), names(state, S, tight)) == (0, []), "any of them may be at the venue"
    throttles.apply(state, report("a", S, OrderState.OPEN))
    throttles.apply(state, absent("b", S))
    throttles.apply(state, absent("b", S))
    assert (throttles.reject_streak(state, tight, "demo"), names(state, S, tight)) == (1, []), "one that was lost stops nothing"
    quarantined = records.Quarantined(boot_ns=S, client_id="c", reason="unknown for 60 s")
    throttles.apply(state, quarantined)
    assert names(state, S, tight) == ["reject_streak"]
    throttles.apply(state, absent("c", S))
    throttles.apply(state, absent("nobody", S))
    assert throttles.reject_streak(state, tight, "demo") == 2, "an order counts once"
    throttles.apply(state, report("c", S, OrderState.OPEN))
    assert (throttles.reject_streak(state, tight, "demo"), names(state, S, tight)) == (0, []), "it was found after all"


def test_what_the_gate_itself_did_not_send_is_no_error() -> None:
    never = [records.NotSent(boot_ns=S, client_id=cid, revision=0, reason="deadline") for cid in "abc"]
    state = fold(*(one for told in never for one in (intent(told.client_id, S), permit(told.client_id, S), told)))
    assert throttles.reject_streak(state, SHEET, "demo") == 0
    assert throttles.reject_streak(fold(*sent("a", S), absent("a", S)), SHEET, "demo") == 1


def test_losing_round_trips_in_a_row() -> None:
    buy, sell = Side.BUY, Side.SELL
    state = fold(*sent("a", S))
    trips = [(buy, 100, 2), (sell, 99, 1), (sell, 101, 1)]  # nothing gained: lost
    for number, (side, ticks, lots) in enumerate(trips):
        throttles.apply(state, fill("a", f"t{number}", side, ticks, lots))
        throttles.apply(state, fill("a", f"t{number}", side, ticks, lots))  # told twice
    assert throttles.losing_streak(state, "demo") == 1
    assert state.trips == {}
    throttles.apply(state, fill("a", "t3", sell, 100, 1))
    throttles.apply(state, fill("a", "t4", buy, 110, 3))  # closes at a loss and turns round
    assert throttles.losing_streak(state, "demo") == 2
    assert names(state, S, changed(SHEET, "strategies", "demo", max_losing_streak_count=2)) == ["loss_streak"]
    throttles.apply(state, fill("a", "t5", sell, 111, 1))
    assert throttles.losing_streak(state, "demo") == 2  # still open by one
    throttles.apply(state, fill("a", "t6", sell, 111, 1))
    assert throttles.losing_streak(state, "demo") == 0
    throttles.apply(state, fill("stranger", "t7", sell, 111, 1))
    throttles.apply(state, fill("", "t8", sell, 111, 1))
    assert state.trips == {}


def test_a_person_resets_the_losing_streak() -> None:
    state = fold(*sent("a", S), fill("a", "1", Side.BUY, 100), fill("a", "2", Side.SELL, 90))
    assert throttles.losing_streak(state, "demo") == 1
    throttles.apply(state, cleared("loss_streak"))
    assert throttles.losing_streak(state, "demo") == 0


def test_what_is_over_is_forgotten_after_the_longest_window_and_not_before() -> None:
    state = fold(
        *sent("a", S),
        *sent("a2", S),
        report("a", S, OrderState.CANCELLED),
        intent("b", S),
        records.Deny(boot_ns=S, client_id="b", strategy="demo", rule="r", detail="d"),
        records.Deny(boot_ns=S, client_id="a2", strategy="demo", rule="r", detail="d"),
        records.Deny(boot_ns=S, client_id="nobody", strategy="demo", rule="r", detail="d"),
        intent("c", S),
        permit("c", S),
        records.NotSent(boot_ns=S, client_id="c", revision=0, reason=""),
        records.NotSent(boot_ns=S, client_id="nobody", revision=0, reason=""),
        *sent("d", S),
        records.Absent(boot_ns=S, client_id="d", sightings=(), not_before_venue_ns=0),
        records.Absent(boot_ns=S, client_id="d", sightings=(), not_before_venue_ns=0),
        *sent("e", S),
        report("e", S, OrderState.CANCELLED),
        intent("e", S, revision=1),
        permit("e", S, 1),
        report("nobody", S, OrderState.OPEN),
        permit("nobody", S),
    )
    assert set(state.tickets) == {"a", "a2", "b", "c", "d", "e"}
    throttles.apply(state, records.Tick(boot_ns=S + LONGEST_WINDOW_NS - 1, wall_ns=0))
    assert set(state.tickets) == {"a", "a2", "b", "c", "d", "e"}
    assert state.identical
    throttles.apply(state, records.Tick(boot_ns=S + LONGEST_WINDOW_NS, wall_ns=0))
    assert set(state.tickets) == {"a2", "e"}
    assert not state.identical
    assert not state.identical_order
    assert not state.ended


def test_an_identical_order_that_is_repeated_in_time_is_kept() -> None:
    state = fold(*sent("a", S), *sent("b", 100 * S))
    throttles.apply(state, records.Tick(boot_ns=S + LONGEST_WINDOW_NS, wall_ns=0))
    assert throttles.identical_used(state, ("demo", V, "BTCUSDT", 1, 500_000, 1), S + LONGEST_WINDOW_NS, LONGEST_WINDOW_NS) == 1
    throttles.apply(state, cleared("repeated_order"))
    throttles.apply(state, records.Tick(boot_ns=101 * S + LONGEST_WINDOW_NS, wall_ns=0))
    assert not state.identical


def test_memory_is_bounded() -> None:
    state = fold(intent("a", lots=10_000), permit("a", 0), wire("a", 0))
    step = LONGEST_WINDOW_NS // 300
    for number in range(3_000):
        throttles.apply(state, cancel("a", number * step))
        throttles.apply(state, fill("a", f"{number}", Side.BUY if number % 2 else Side.SELL, 100, at=number * step))
    for number in range(3_000, 5_000):
        throttles.apply(state, fill("a", f"{number}", Side.BUY if number % 2 else Side.SELL, 100, at=3_000 * step))
    assert len(state.cancels[V]) <= 812
    assert len(state.fills) == 4_096
    now = 2_999 * step
    assert throttles.cancels_used(state, V, now, LONGEST_WINDOW_NS) == 300


def test_an_order_that_is_filled_or_was_not_sent_is_forgotten_without_a_report_of_its_end() -> None:
    state = fold(
        *(step for cid in ("whole", "part") for step in sent(cid, S)),
        fill("whole", "1", Side.BUY, 100, at=S),
        *(intent("big", S, lots=5), permit("big", S), wire("big", S), fill("big", "2", Side.BUY, 100, at=S)),
        *(intent("local", S), permit("local", S), wire("local", S)),
        records.NotSent(boot_ns=S, client_id="local", revision=0, reason=""),
        records.Tick(boot_ns=S + LONGEST_WINDOW_NS, wall_ns=0),
    )
    assert set(state.tickets) == {"part", "big"}


def test_of_many_orders_that_ended_the_newest_are_remembered() -> None:
    state = Throttles()
    for number in range(KEPT + 2):
        for step in (intent(f"a{number}", 0), records.Deny(boot_ns=0, client_id=f"a{number}", strategy="demo", rule="r", detail="d")):
            throttles.apply(state, step)
    throttles.apply(state, records.Tick(boot_ns=LEAST_NS - 1, wall_ns=0))
    assert len(state.tickets) == KEPT + 2
    throttles.apply(state, records.Tick(boot_ns=LEAST_NS, wall_ns=0))
    assert (len(state.tickets), "a1" in state.tickets, "a2" in state.tickets) == (KEPT, False, True)


def test_what_the_sheet_cannot_ask_for_is_not_remembered() -> None:
    state = throttles.begin(SHEET)
    longest_ns = max(strategy.identical_orders_window_ns for strategy in SHEET.strategies.values())
    assert state.window_ns == longest_ns < LONGEST_WINDOW_NS
    for step in sent("a", S):
        throttles.apply(state, step)
    throttles.apply(state, records.Tick(boot_ns=S + longest_ns - 1, wall_ns=0))
    assert state.identical
    throttles.apply(state, records.Tick(boot_ns=S + longest_ns, wall_ns=0))
    assert (state.identical, state.identical_order) == ({}, [])


def test_a_clock_that_goes_back_only_lengthens_what_counts() -> None:
    state = fold(*sent("a", 100 * S), cancel("a", 50 * S))
    assert throttles.messages_used(state, V, 105 * S, 10 * S) == 2
    assert throttles.messages_used(state, V, 90 * S, S) == 2  # from the future: counts


kinds = st.sampled_from(["sent", "cancel", "open", "reject", "final", "fill", "deny", "not_sent", "boot", "unlatch", "unknown"])
histories = st.lists(st.tuples(kinds, st.integers(0, 4), st.integers(0, 2_000)), max_size=40)


def history(steps: list[tuple[str, int, int]]) -> list[Record]:
    found: list[Record] = [boot()]
    now = 0
    for number, (kind, who, later) in enumerate(steps):
        now += later * S
        cid = f"c{who}"
        many: dict[str, list[Record]] = {
            "sent": sent(cid, now),
            "cancel": [cancel(cid, now)],
            "open": [answer(cid, now, OrderState.OPEN)],
            "reject": [answer(cid, now, OrderState.REJECTED, "x")],
            "final": [report(cid, now, OrderState.CANCELLED)],
            "fill": [fill(cid, str(number), Side.BUY if number % 2 else Side.SELL, 100 + who, 1 + who % 2, now)],
            "deny": [intent(cid, now), records.Deny(boot_ns=now, client_id=cid, strategy="demo", rule="r", detail="d")],
            "not_sent": [intent(cid, now), permit(cid, now), records.NotSent(boot_ns=now, client_id=cid, revision=0, reason="")],
            "boot": [boot(now, f"k{who}", str(number))],
            "unlatch": [cleared(("reject_streak", "loss_streak", "order_burst", "repeated_order", "x")[who])],
            "unknown": [intent(cid, now), permit(cid, now), records.SendUnknown(boot_ns=now, client_id=cid, revision=0, reason="")],
        }
        found += many[kind]
    return found


@given(histories)
def test_the_fold_is_total_and_deterministic(steps: list[tuple[str, int, int]]) -> None:
    given_records = history(steps)
    one, two = fold(*given_records), fold(*given_records)
    assert one == two
    assert one.digest_parts() == two.digest_parts()
    assert msgspec.msgpack.encode(one.digest_parts()) == msgspec.msgpack.encode(two.digest_parts())
    assert all(count >= 0 for count in one.pending.values())


@given(histories, st.integers(1, 3_600))
def test_every_write_within_a_window_is_counted(steps: list[tuple[str, int, int]], window_s: int) -> None:
    steps = [step for step in steps if step[0] != "boot"]
    given_records = history(steps)
    now = max(record.boot_ns for record in given_records)
    state = fold(*given_records)
    since = now - window_s * S
    writes = sum(
        isinstance(record, (records.WireBegin, records.CancelSent, records.SendUnknown)) and record.boot_ns > since
        for record in given_records
    )
    assert throttles.messages_used(state, V, now, window_s * S) == writes


def test_the_digest_tells_states_apart() -> None:
    state = fold(*sent("a", S), fill("a", "1", Side.BUY, 100), answer("a", S, OrderState.REJECTED, "x"))
    other = fold(*sent("a", S), fill("a", "1", Side.BUY, 101), answer("a", S, OrderState.REJECTED, "x"))
    assert state.digest_parts() != other.digest_parts()
