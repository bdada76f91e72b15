"""Deposits and withdrawals as ledger events: what is done is told once it is, whatever the pages do meanwhile, and nothing is hidden by a cursor."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from tests.venues.scripted import finish, query, scripted
from tests.venues.upbit.talks import INSTRUMENTS, MS, NOW_MS, clock, no, ok, seoul

from interlock.domain.errors import UsageError
from interlock.venues.port import Ask, Heard, LedgerSeen, Nonsense, Page, Refused
from interlock.venues.upbit.account import Account
from interlock.venues.upbit.history import MARGIN_MS, STEP_MS, WINDOW_MS
from interlock.venues.upbit.transfers import MOST_PAGES, PAGE

ACCOUNT = Account(INSTRUMENTS)
DAY_MS = 86_400_000
ROW: dict[str, Any] = {
    "type": "deposit",
    "uuid": "94332e99-3a87-4a35-ad98-28b0c969f830",
    "currency": "KRW",
    "net_type": None,
    "txid": "9e37c537-6849-4c8b-a134-57313f5dfc5a",
    "state": "ACCEPTED",
    "created_at": seoul(NOW_MS - 60_000),
    "done_at": seoul(NOW_MS - 50_000),
    "amount": "100000.0",
    "fee": "0.0",
    "transaction_type": "default",
}
WITHDRAWAL = ROW | {"type": "withdraw", "state": "DONE", "currency": "BTC", "amount": "0.5", "fee": "0.0008"}


def began(before_ms: int, uuid: str, state: str = "ACCEPTED", **more: Any) -> dict[str, Any]:
    """A row that began so long ago."""
    at = seoul(NOW_MS - before_ms)
    return ROW | {"uuid": uuid, "state": state, "created_at": at, "done_at": at if state in ("ACCEPTED", "DONE") else None} | more


@dataclass
class Lists:
    """A venue with both lists, newest first, in pages; `meanwhile` comes in before the next page is asked for."""

    deposits: list[dict[str, Any]] = field(default_factory=list)
    withdrawals: list[dict[str, Any]] = field(default_factory=list)
    meanwhile: list[dict[str, Any]] = field(default_factory=list)
    now_ms: int = NOW_MS
    asked: list[Ask] = field(default_factory=list)

    def __call__(self, ask: Ask) -> Heard:
        self.asked.append(ask)
        if ask.call.path == "/v1/orderbook":
            return clock(self.now_ms)
        rows = self.deposits if ask.call.path == "/v1/deposits" else self.withdrawals
        assert ask.call.path in ("/v1/deposits", "/v1/withdraws")
        about = query(ask)
        assert about["order_by"] == "desc"
        if about["page"] != "1" and self.meanwhile:
            rows[:0] = [self.meanwhile.pop()]
        start = (int(about["page"]) - 1) * int(about["limit"])
        return ok(rows[start : start + int(about["limit"])])


def read(venue: Lists, cursor: str = "") -> Page[LedgerSeen]:
    return finish(ACCOUNT.ledger(cursor), venue)


def test_what_came_and_what_went_is_told_with_its_sign_and_its_fee() -> None:
    page = read(Lists([ROW], [WITHDRAWAL]))
    done_ns = (NOW_MS - 50_000) * MS
    assert page.found == (
        LedgerSeen(kind="deposit", venue_id=f"deposit-{ROW['uuid']}", currency="KRW", amount=Decimal(100_000), symbol="", venue_ns=done_ns),
        LedgerSeen(
            kind="withdrawal", venue_id=f"withdrawal-{ROW['uuid']}", currency="BTC", amount=Decimal("-0.5008"), symbol="", venue_ns=done_ns
        ),
    )
    assert (page.unreadable, page.venue_ns) == (False, NOW_MS * MS)


@pytest.mark.parametrize("state", ["PROCESSING", "TRAVEL_RULE_SUSPECTED", "REFUNDING", "CANCELLED", "REJECTED", "REFUNDED"])
def test_a_deposit_that_is_not_there_is_no_event(state: str) -> None:
    page = read(Lists([began(5_000, "a", state)]))
    assert (page.found, page.unreadable) == ((), False)


@pytest.mark.parametrize("state", ["WAITING", "PROCESSING", "FAILED", "CANCELLED", "REJECTED"])
def test_a_withdrawal_that_is_not_done_is_no_event(state: str) -> None:
    page = read(Lists(withdrawals=[WITHDRAWAL | {"state": state, "done_at": None}]))
    assert (page.found, page.unreadable) == ((), False)


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "PERHAPS"},
        {"state": "DONE"},
        {"done_at": None},
        {"done_at": "soon"},
        {"amount": "-1"},
        {"amount": "1e3"},
        {"currency": "K W"},
        {"created_at": "2025-07-04"},
        {"uuid": ""},
    ],
    ids=str,
)
def test_what_makes_no_sense_holds_the_cursor_and_hides_no_other(changed: dict[str, Any]) -> None:
    venue = Lists([ROW | changed, began(70_000, "b")])
    first = read(venue)
    assert ([each.venue_id for each in first.found], first.unreadable) == (["deposit-b"], True)
    venue.now_ms += 2 * STEP_MS
    later = read(venue, first.cursor)
    assert (later.cursor, later.unreadable) == (first.cursor, True)
    venue.deposits[0] = ROW
    assert f"deposit-{ROW['uuid']}" in {each.venue_id for each in read(venue, first.cursor).found}
    assert not read(Lists([ROW])).unreadable


def test_one_that_takes_days_is_told_when_it_is_done() -> None:
    venue = Lists([began(1_000, "slow", "TRAVEL_RULE_SUSPECTED")])
    cursor = read(venue).cursor
    for _ in range(20):
        venue.now_ms += DAY_MS
        venue.deposits.insert(0, began(NOW_MS - venue.now_ms + 1_000, f"quick-{venue.now_ms}"))
        page = read(venue, cursor)
        assert "deposit-slow" not in {each.venue_id for each in page.found}
        assert f"deposit-quick-{venue.now_ms}" in {each.venue_id for each in page.found}
        cursor = page.cursor
    venue.deposits[-1] |= {"state": "ACCEPTED", "done_at": seoul(venue.now_ms)}
    assert read(venue, cursor).found[-1].venue_id == "deposit-slow"


def test_one_that_is_listed_late_is_told_after_the_cursor() -> None:
    venue = Lists()
    cursor = read(venue).cursor
    venue.deposits = [began(MARGIN_MS - 2_000, "late")]
    assert [each.venue_id for each in read(venue, cursor).found] == ["deposit-late"]


def test_the_cursor_stays_while_nothing_happens_and_moves_on_in_steps() -> None:
    venue = Lists([ROW])
    first = read(venue)
    assert read(venue, first.cursor).cursor == first.cursor
    venue.now_ms += STEP_MS - 1_000
    assert read(venue, first.cursor).cursor == first.cursor
    venue.now_ms += 2_000
    moved = read(venue, first.cursor)
    assert moved.cursor != first.cursor
    assert read(venue, moved.cursor).found == ()


def test_pages_are_read_until_what_began_before_the_cursor() -> None:
    old = [began(WINDOW_MS + DAY_MS, f"old-{number}") for number in range(3 * PAGE)]
    venue = Lists([began(number * 1_000, f"new-{number}") for number in range(PAGE + 5)] + old)
    page = read(venue)
    assert {each.venue_id for each in page.found} == {f"deposit-new-{number}" for number in range(PAGE + 5)}
    assert len([ask for ask in venue.asked if ask.call.path == "/v1/deposits"]) == 2


def test_what_comes_between_two_pages_hides_none_and_doubles_none() -> None:
    venue = Lists([began(10_000 + number * 1_000, f"{number}") for number in range(2 * PAGE + 5)])
    venue.meanwhile = [began(number, f"meanwhile-{number}") for number in range(4)]
    page = read(venue)
    ids = [each.venue_id for each in page.found]
    assert len(set(ids)) == len(ids)
    assert {f"deposit-{number}" for number in range(2 * PAGE + 5)} <= set(ids)


def test_more_pages_than_can_be_read_make_no_sense() -> None:
    row = began(1_000, "same")
    with pytest.raises(Nonsense, match=f"at most {MOST_PAGES} pages"):
        read(Lists([row] * (MOST_PAGES * PAGE)))


def test_what_the_key_may_not_see_is_not_told_and_other_refusals_are() -> None:
    page, _ = scripted(ACCOUNT.ledger(""), [clock(NOW_MS), no("out_of_scope", 401), ok([WITHDRAWAL])])
    assert ([each.kind for each in page.found], page.unreadable) == (["withdrawal"], False)
    with pytest.raises(Refused):
        scripted(ACCOUNT.ledger(""), [clock(NOW_MS), no("invalid_access_key", 401)])


@pytest.mark.parametrize("cursor", ["x", "1", "2 5", "1 -5", "1 5 5", "1 " + "9" * 17])
def test_a_cursor_of_somebody_else_is_refused(cursor: str) -> None:
    with pytest.raises(UsageError, match="given out here"):
        read(Lists(), cursor)
