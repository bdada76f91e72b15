"""Deposits and withdrawals at Upbit as ledger events: two lists by when each began, told once it is done.

A key may be made without the right to see one list or both (입금조회, 출금조회). What it may not see tells nothing, and such a change of a balance is
one that nobody explains. Airdrops and what support books are in neither list. Source: the venue's reference pages of both lists, and its own client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

import msgspec

from interlock.domain.errors import UsageError
from interlock.venues.feed import NS_PER_MS
from interlock.venues.port import LedgerSeen, Nonsense, Page, Refused, Talk
from interlock.venues.upbit.budgets import DEFAULT
from interlock.venues.upbit.history import MARGIN_MS, STEP_MS, WINDOW_MS, rows
from interlock.venues.upbit.replies import Name, Number, Text, amount, ask, decoded, nonsense, plus, read, time_ns

PAGE: Final = 100
MOST_PAGES: Final = 100
_TOLD_MS: Final = 1_000
"""The lists tell whole seconds."""
_NOT_SEEN: Final = "out_of_scope"
_CURSOR = re.compile(r"1 ([0-9]{1,16})", re.ASCII)
_CURRENCY = re.compile(r"[0-9A-Za-z]{1,20}", re.ASCII)


class _Row(msgspec.Struct, frozen=True, gc=False):
    """{"type":"deposit","uuid":"94332e99-3a87-4a35-ad98-28b0c969f830","currency":"KRW","net_type":null,"txid":"9e37c537","state":"ACCEPTED",
    "created_at":"2025-07-04T15:00:00+09:00","done_at":"2025-07-04T15:00:10+09:00","amount":"100000.0","fee":"0.0","transaction_type":"default"}

    `done_at` is null until it is done.
    """

    uuid: Name
    currency: Name
    state: Text
    created_at: Text
    amount: Number
    fee: Number
    done_at: Text | None = None


_decode_row = msgspec.json.Decoder(_Row).decode

Event = tuple[int, bool, LedgerSeen | None]
"""When it began (ms), whether it is over, and what it did to a balance."""


def transfers(cursor: str, now_ns: int) -> Talk[Page[LedgerSeen]]:
    """What was done after a cursor, oldest first; "" begins with what began in the last 7 days. What is told again has the same id.

    The cursor stands before whatever began and is not over, and is held where something makes no sense. Raises UsageError for none of ours.
    """
    now_ms = now_ns // NS_PER_MS
    from_ms = _from_ms(cursor, now_ms)
    found: list[Event] = []
    whole = True
    for path, seen in (("/v1/deposits", deposit_seen), ("/v1/withdraws", withdrawal_seen)):
        listed, readable = yield from _listed(path, from_ms, seen)
        found += listed
        whole = whole and readable
    told = {event.venue_id: event for _, _, event in found if event is not None}
    next_ms = max(from_ms, min([now_ms - MARGIN_MS, *(began_ms for began_ms, over, _ in found if not over)]))
    next_ms -= next_ms % _TOLD_MS
    # It moves in steps, so that a cursor stays as it is while nothing happens.
    if whole and (not cursor or next_ms - from_ms >= STEP_MS):
        cursor = f"1 {next_ms}"
    events = sorted(told.values(), key=lambda each: (each.venue_ns, each.venue_id))
    return Page(tuple(events), cursor or f"1 {from_ms}", now_ns, unreadable=not whole)


def _from_ms(cursor: str, now_ms: int) -> int:
    if not cursor:
        return max(now_ms - WINDOW_MS, 0)
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise UsageError(f"cursor of the ledger: expected one that was given out here, found {cursor[:40]!r}")
    return int(match[1])


def _listed(path: str, from_ms: int, seen: Callable[[bytes], Event]) -> Talk[tuple[list[Event], bool]]:
    """What of one list began since then, each once, and whether all of it makes sense. Newest first, so that what comes meanwhile hides nothing."""
    found: dict[bytes, Event] = {}
    whole = True
    for page in range(1, MOST_PAGES + 1):
        try:
            listed = rows(read((yield ask(path, f"page={page}&limit={PAGE}&order_by=desc", DEFAULT))), path)
        except Refused as refused:
            if refused.explained.code == _NOT_SEEN:
                return [], True
            raise
        events, readable = _read(listed, seen)
        found |= events
        whole = whole and readable
        if len(listed) < PAGE or min((began_ms for began_ms, _, _ in events.values()), default=0) < from_ms:
            return [event for event in found.values() if event[0] >= from_ms], whole
    raise nonsense(path, f"expected at most {MOST_PAGES} pages since the cursor, found more")


def _read(listed: Iterable[bytes], seen: Callable[[bytes], Event]) -> tuple[dict[bytes, Event], bool]:
    found, whole = {}, True
    for row in listed:
        try:
            found[row] = seen(row)
        except Nonsense:
            whole = False
    return found, whole


_DEPOSITS: Final = {
    "ACCEPTED": True,
    "CANCELLED": False,
    "REJECTED": False,
    "REFUNDED": False,
}
_WITHDRAWALS: Final = {"DONE": True, "FAILED": False, "CANCELLED": False, "REJECTED": False}
"""The states that are final, and whether something was moved. What a withdrawal takes is locked until then, so that the whole balance stays."""

_UNDER_WAY: Final = {
    "deposit": frozenset({"PROCESSING", "TRAVEL_RULE_SUSPECTED", "REFUNDING"}),
    "withdrawal": frozenset({"WAITING", "PROCESSING"}),
}


def deposit_seen(data: bytes) -> Event:
    """A deposit. Raises Nonsense, also for a state that is not known."""
    row = decoded(_decode_row, data, "deposit")
    return _event(row, "deposit", _DEPOSITS, amount(row.amount, "deposit amount"))


def withdrawal_seen(data: bytes) -> Event:
    """A withdrawal, which takes its fee as well. Raises Nonsense, also for a state that is not known."""
    row = decoded(_decode_row, data, "withdrawal")
    taken = plus(amount(row.amount, "withdrawal amount"), amount(row.fee, "withdrawal fee"))
    return _event(row, "withdrawal", _WITHDRAWALS, taken.copy_negate())


def _event(row: _Row, kind: str, finals: dict[str, bool], change: Decimal) -> Event:
    what = f"{kind} {row.uuid}"
    began_ms = time_ns(row.created_at, f"{what} created_at") // NS_PER_MS
    if row.state in _UNDER_WAY[kind]:
        return began_ms, False, None
    if row.state not in finals:
        raise nonsense(what, f"expected a known state, found {row.state[:40]!r}")
    if not finals[row.state] or not change:
        return began_ms, True, None
    if _CURRENCY.fullmatch(row.currency) is None:
        raise nonsense(what, f"expected a currency, found {row.currency[:40]!r}")
    if row.done_at is None:
        raise nonsense(what, "expected the time at which it was done, found none")
    done_ns = time_ns(row.done_at, f"{what} done_at")
    return (
        began_ms,
        True,
        LedgerSeen(kind=kind, venue_id=f"{kind}-{row.uuid}", currency=row.currency, amount=change, symbol="", venue_ns=done_ns),
    )
