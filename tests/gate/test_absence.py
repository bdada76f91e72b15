"""When absence is proven: every part of the proof is needed, and nothing proves it where requests do not expire."""

from collections.abc import Sequence

import msgspec
import pytest
from tests.gate.order_records import (
    LOST,
    OPENED,
    absent,
    answer,
    boot,
    fill,
    fold,
    intent,
    permit,
    quarantined,
    report,
    sent,
    unknown,
    wire,
)

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.absence import HOUR_NS, AbsenceRule, Aftermath, Expiry, Missing, Proven, blocks_placement, judge, rule_for
from interlock.gate.order_state import Orders
from interlock.gate.orders import apply

SIGNED, WINDOW, LAG, CLOCK = 1_000, 100, 50, 25
LAST = SIGNED + WINDOW + LAG + CLOCK
LATER = (intent("b"), permit("b"), wire("b"), sent("b", sign_wall_ns=SIGNED + 1))
LOST_AND_LATER = (*LOST, *LATER)
BYBIT, BINANCE = rule_for("bybit", LAG, WINDOW), rule_for("binance_usdm", LAG, WINDOW)
UPBIT = rule_for("upbit", LAG, WINDOW)


def read(source: str, after: int, later: str = "b", cursor: int = LAST + 1) -> r.Sighting:
    return r.Sighting(source=source, venue_ns=LAST + after, later_client_id=later, execution_cursor_ns=cursor)


READS = (read("open", 1), read("open", 2), read("history", 1), read("history", 2))


def verdict(
    orders: Orders, reads: Sequence[r.Sighting] = READS, rule: AbsenceRule = BYBIT, clock: int = CLOCK, aftermath: Aftermath | None = None
) -> Proven | Missing:
    return judge(orders, orders.by_id["a"], rule, reads, clock, aftermath)


@pytest.mark.parametrize("rule", [BYBIT, BINANCE])
@pytest.mark.parametrize("more", [(), (quarantined(),)])
def test_a_whole_proof(rule: AbsenceRule, more: tuple[r.Record, ...]) -> None:
    assert verdict(fold(*LOST_AND_LATER, *more), rule=rule) == Proven(LAST, READS)


def without(i: int) -> tuple[r.Sighting, ...]:
    return READS[:i] + READS[i + 1 :]


INCOMPLETE = [
    (),
    *(without(i) for i in range(4)),
    # one read told twice is one read
    (READS[0], READS[0], *READS[2:]),
    # at the last moment is not after it
    (read("open", 0), *READS[1:]),
    (*READS[:3], read("history", 0)),
    # the lists must have caught up, both
    tuple(msgspec.structs.replace(s, later_client_id="") if s.source == "open" else s for s in READS),
    tuple(msgspec.structs.replace(s, later_client_id="") if s.source == "history" else s for s in READS),
    tuple(msgspec.structs.replace(s, later_client_id="nobody") for s in READS),
    tuple(msgspec.structs.replace(s, later_client_id="a") for s in READS),
]


@pytest.mark.parametrize("reads", INCOMPLETE)
def test_every_read_is_needed(reads: tuple[r.Sighting, ...]) -> None:
    for rule in (BYBIT, BINANCE):
        found = verdict(fold(*LOST_AND_LATER), reads, rule)
        assert isinstance(found, Missing)
        assert found.what
        assert not found.hopeless


def test_the_execution_cursor_counts_where_the_venue_has_one() -> None:
    stale = tuple(msgspec.structs.replace(s, execution_cursor_ns=LAST) for s in READS)
    assert isinstance(verdict(fold(*LOST_AND_LATER), stale, BYBIT), Missing)
    assert isinstance(verdict(fold(*LOST_AND_LATER), stale, BINANCE), Proven)


def test_a_later_order_of_another_market_or_an_earlier_one_shows_nothing() -> None:
    other = (intent("b", symbol="ETHUSDT"), permit("b"), wire("b"), sent("b", sign_wall_ns=SIGNED + 1))
    earlier = (intent("b"), permit("b"), wire("b"), sent("b", sign_wall_ns=SIGNED))
    assert isinstance(verdict(fold(*LOST, *other)), Missing)
    assert isinstance(verdict(fold(*LOST, *earlier)), Missing)
    assert isinstance(verdict(fold(*LOST_AND_LATER)), Proven)


@pytest.mark.parametrize(("lag", "clock"), [(0, CLOCK), (LAG, -1), (-1, CLOCK)])
def test_what_was_not_measured_proves_nothing(lag: int, clock: int) -> None:
    assert isinstance(verdict(fold(*LOST_AND_LATER), rule=rule_for("bybit", lag, WINDOW), clock=clock), Missing)


def test_a_wider_clock_interval_moves_the_moment() -> None:
    assert isinstance(verdict(fold(*LOST_AND_LATER), clock=CLOCK + 1), Missing)
    assert isinstance(verdict(fold(*LOST_AND_LATER), clock=CLOCK - 1), Proven)


def test_an_order_without_bound_is_never_proven_absent() -> None:
    unbounded = (intent(), permit(), wire(), sent(window_ns=0), unknown(), *LATER)
    unsigned = (intent(), permit(), wire(), unknown(), *LATER)
    for records in (unbounded, unsigned):
        assert isinstance(verdict(fold(*records)), Missing)
    # After a boot the lost signature is known to be older than the boot, and its window no longer than the longest.
    bounded = fold(intent(), permit(), wire(), boot(wall_ns=SIGNED), *LATER)
    assert isinstance(verdict(bounded), Proven)
    assert isinstance(verdict(bounded, rule=rule_for("bybit", LAG, 0)), Missing)


@pytest.mark.parametrize(
    ("more", "hopeless"),
    [((answer(OrderState.ACKED), boot()), True), ((answer(OrderState.OPEN),), False), ((fill(1),), True), ((absent(),), False)],
)
def test_what_the_venue_had_shown_is_not_absent(more: tuple[r.Record, ...], hopeless: bool) -> None:
    start = LOST_AND_LATER if not isinstance(more[-1], r.Boot) else (*LOST_AND_LATER[:4], *LATER)
    found = verdict(fold(*start, *more))
    assert isinstance(found, Missing)
    assert found.hopeless is hopeless


def test_a_shown_order_whose_cancel_was_refused_is_unknown_and_not_absent() -> None:
    refused = r.CancelAnswered(boot_ns=1, client_id="a", accepted=False, code="not found")
    orders = fold(*OPENED, *LATER, refused)
    assert orders.by_id["a"].state is OrderState.UNKNOWN
    assert isinstance(verdict(orders), Missing)


@pytest.mark.parametrize(("rule", "retention"), [(BYBIT, 24 * HOUR_NS), (BINANCE, 72 * HOUR_NS)])
def test_after_a_long_outage_executions_and_position_must_speak(rule: AbsenceRule, retention: int) -> None:
    orders = fold(*LOST_AND_LATER)
    inside = tuple(msgspec.structs.replace(s, venue_ns=SIGNED + retention - 2 + i) for i, s in enumerate((READS[0], READS[2], READS[1])))
    inside = (*inside, msgspec.structs.replace(READS[3], venue_ns=SIGNED + retention))
    beyond = (*inside, msgspec.structs.replace(READS[3], venue_ns=SIGNED + retention + 1))
    assert isinstance(verdict(orders, inside, rule), Proven)
    assert isinstance(verdict(orders, beyond, rule), Missing)
    assert isinstance(verdict(orders, beyond, rule, aftermath=Aftermath(LAST, True)), Missing)
    assert isinstance(verdict(orders, beyond, rule, aftermath=Aftermath(LAST + 1, False)), Missing)
    assert isinstance(verdict(orders, beyond, rule, aftermath=Aftermath(LAST + 1, True)), Proven)


@pytest.mark.parametrize("venue", ["upbit", "bibyt", ""])
def test_where_requests_do_not_expire_nothing_proves_absence(venue: str) -> None:
    rule = rule_for(venue, LAG, WINDOW)
    assert rule.expiry is Expiry.WITHOUT
    found = verdict(fold(*LOST_AND_LATER), rule=rule)
    assert isinstance(found, Missing)
    assert found.hopeless


def test_found_is_final_where_requests_do_not_expire() -> None:
    orders = fold(*LOST, quarantined())
    apply(orders, report(OrderState.CANCELLED))
    assert orders.by_id["a"].state is OrderState.CANCELLED


@pytest.mark.parametrize("tail", [(), (wire("u"),), (wire("u"), unknown("u")), (wire("u"), unknown("u"), quarantined("u"))])
def test_one_unresolved_placement_blocks_the_next_where_requests_do_not_expire(tail: tuple[r.Record, ...]) -> None:
    orders = fold(intent("u", venue="upbit"), permit("u"), *tail)
    assert blocks_placement(orders, "upbit", UPBIT) == "u"
    assert blocks_placement(orders, "bybit", BYBIT) == ""
    assert blocks_placement(orders, "other", UPBIT) == ""


def test_a_resolved_placement_blocks_nothing() -> None:
    orders = fold(intent("u", venue="upbit"), permit("u"), wire("u"), sent("u"), answer(OrderState.OPEN, "u"))
    assert blocks_placement(orders, "upbit", UPBIT) == ""
