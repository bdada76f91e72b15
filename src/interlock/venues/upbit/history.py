"""Lists of Upbit's orders, and the executions that can be told from them: it has no list of executions, each order has its own.

Orders that ended are found by when they were created, in windows of at most 7 days; one that rested for longer is known from before, because a cursor
names every order that was open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import msgspec

from interlock.domain.errors import UsageError
from interlock.venues.feed import NS_PER_MS
from interlock.venues.port import Ask, FillSeen, Nonsense, Page, Refused, Talk
from interlock.venues.trouble import Trouble
from interlock.venues.upbit.budgets import DEFAULT
from interlock.venues.upbit.replies import Name, Number, Text, amount, ask, decoded, nonsense, read, text_of, time_ns
from interlock.venues.upbit.seen import Instruments, OrderRow, fills_of, order_row

OPEN_PAGE: Final = 100
MOST_OPEN_PAGES: Final = 100
MOST_PASSES: Final = 3
CLOSED_PAGE: Final = 1000
WINDOW_MS: Final = 7 * 86_400_000
MOST_QUESTIONS: Final = 200
"""A list of orders that ended is given up after so many requests."""
MOST_ORDERS_READ: Final = 100
"""So many orders are asked for their executions at once; the rest is for the next time."""

MARGIN_MS: Final = 600_000
"""How long an order may take to show in a list."""
STEP_MS: Final = 3_600_000
"""The beginning of what is read moves in steps, so that a cursor stays as it is while nothing happens."""


class _Head(msgspec.Struct, frozen=True):
    uuid: Name
    created_at: Text
    executed_volume: Number


@dataclass(frozen=True, slots=True)
class Listed:
    """An order of a list: its bytes, when it was created, how much of it is filled."""

    data: bytes
    created_ms: int
    executed: Decimal


_decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_head = msgspec.json.Decoder(_Head).decode


def rows(body: bytes, what: str) -> list[bytes]:
    """The rows of a list, undecoded. Raises Nonsense."""
    return [bytes(row) for row in decoded(_decode_rows, body, what)]


def _listed(data: bytes) -> tuple[str, Listed]:
    head = decoded(_decode_head, data, "order")
    created_ms = time_ns(head.created_at, "created_at") // NS_PER_MS
    return head.uuid, Listed(data, created_ms, amount(head.executed_volume, "executed_volume"))


# Lists


def open_orders() -> Talk[tuple[dict[str, Listed], bool]]:
    """Every open order of the account by its uuid, reserved ones included, and whether the list held still while it was read.

    Pages are counted, so an order that ends between two of them moves another one past us: more than one page is read until it comes alike twice.
    """
    found, pages = yield from _open_pass()
    everything = dict(found)
    for _ in range(MOST_PASSES - 1):
        if pages == 1:
            return everything, True
        again, pages = yield from _open_pass()
        everything |= again
        if again.keys() == found.keys():
            return again, True
        found = again
    return everything, False


def _open_pass() -> Talk[tuple[dict[str, Listed], int]]:
    found: dict[str, Listed] = {}
    for page in range(1, MOST_OPEN_PAGES + 1):
        query = f"states[]=wait&states[]=watch&page={page}&limit={OPEN_PAGE}&order_by=asc"
        listed = rows(read((yield ask("/v1/orders/open", query, DEFAULT))), "open orders")
        new = dict(_listed(row) for row in listed)
        if new and new.keys() <= found.keys():
            raise nonsense("open orders", f"expected other orders on page {page}, found those of the pages before")
        found |= new
        if len(listed) < OPEN_PAGE:
            return found, page
    raise nonsense("open orders", f"expected at most {MOST_OPEN_PAGES} pages, found more")


def closed_orders(from_ms: int, to_ms: int) -> Talk[dict[str, Listed]]:
    """Every order that was created in a time and has ended, by its uuid. A window with more than a page of them is asked in halves."""
    found: dict[str, Listed] = {}
    windows = [(start, min(start + WINDOW_MS, to_ms)) for start in range(from_ms, to_ms, WINDOW_MS)]
    for _ in range(MOST_QUESTIONS):
        if not windows:
            return found
        start, end = windows.pop()
        query = f"states[]=done&states[]=cancel&start_time={start}&end_time={end}&limit={CLOSED_PAGE}&order_by=asc"
        listed = rows(read((yield ask("/v1/orders/closed", query, DEFAULT))), "closed orders")
        found |= dict(_listed(row) for row in listed)
        if len(listed) >= CLOSED_PAGE:
            if end - start < 2_000:
                raise nonsense("closed orders", f"expected fewer than {CLOSED_PAGE} of one second, found more than can be told")
            middle = (start + end) // 2
            windows += [(start, middle), (middle, end)]
    raise nonsense("closed orders", f"expected them within {MOST_QUESTIONS} answers, found more")


def one_order(query: str) -> Talk[bytes | None]:
    """An order with its trades; None where the venue does not find it."""
    return (yield from found_or_none(ask("/v1/order", query, DEFAULT)))


def found_or_none(asked: Ask) -> Talk[bytes | None]:
    """The answer to a read; None where it is the venue's plain "not found"."""
    try:
        return read((yield asked))
    except Refused as refused:
        if refused.explained.trouble is Trouble.ORDER_NOT_FOUND:
            return None
        raise


# Executions

_CURSOR = re.compile(r"1 ([0-9]{1,16})((?: [0-9A-Za-z-]{1,64}=[0-9.]{1,64})*)", re.ASCII)
_UUID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cursor:
    """What of executions was told: all of orders created before `from_ms`, but for those in `told`, and of these so much."""

    from_ms: int
    told: Mapping[str, Decimal] = field(default_factory=dict)

    def text(self) -> str:
        """The cursor as it is handed out."""
        return " ".join((f"1 {self.from_ms}", *(f"{uuid}={text_of(self.told[uuid])}" for uuid in sorted(self.told))))


def cursor_of(text: str, now_ms: int) -> Cursor:
    """A cursor from its text; "" begins 7 days ago. Raises UsageError for a text that never was a cursor."""
    if not text:
        return Cursor(max(now_ms - WINDOW_MS, 0))
    match = _CURSOR.fullmatch(text)
    try:
        if match is None:
            raise Nonsense("other words")
        pairs = (pair.split("=") for pair in match[2].split())
        return Cursor(int(match[1]), {uuid: amount(told, "cursor") for uuid, told in pairs})
    except Nonsense as error:
        raise UsageError(f"cursor of executions: expected one that was given out here, found {text[:40]!r}") from error


def fills(text: str, now_ns: int, instruments: Instruments) -> Talk[Page[FillSeen]]:
    """Executions after a cursor, oldest first; of an order that traded again all of them, the older ones once more.

    First what is open, then what ended: an order that ends in between is in one of them, or was open before and is asked for by itself.
    """
    now_ms = now_ns // NS_PER_MS
    cursor = cursor_of(text, now_ms)
    opened, steady = yield from open_orders()
    ended = yield from closed_orders(cursor.from_ms, max(now_ms, cursor.from_ms) + MARGIN_MS)
    seen = opened | ended
    missing = [uuid for uuid in cursor.told if uuid not in seen]
    changed = [uuid for uuid, each in seen.items() if each.executed != cursor.told.get(uuid, 0)]
    told = {uuid: each.executed for uuid, each in seen.items()}
    found: list[FillSeen] = []
    still_open = set(opened)
    wanted = sorted({*missing, *changed})
    left_out = set(wanted[MOST_ORDERS_READ:])
    for uuid in wanted[:MOST_ORDERS_READ]:
        try:
            row, mine = yield from _fills_of(uuid, instruments)
        except Nonsense:
            left_out.add(uuid)
            continue
        told[uuid] = amount(row.executed_volume, "executed_volume")
        if told[uuid] != cursor.told.get(uuid, 0):
            found.extend(mine)
        if row.state in ("wait", "watch"):
            still_open.add(uuid)
    told |= {uuid: cursor.told.get(uuid, Decimal(0)) for uuid in left_out}
    whole = steady and not left_out
    if found or missing or not text or (whole and now_ms - MARGIN_MS - cursor.from_ms >= STEP_MS):
        from_ms = max(cursor.from_ms, now_ms - MARGIN_MS) if whole else cursor.from_ms
        kept = {
            uuid: told[uuid]
            for uuid in told
            if uuid in still_open or uuid in left_out or (told[uuid] and uuid in seen and seen[uuid].created_ms >= from_ms)
        }
        text = Cursor(from_ms, kept).text()
    found.sort(key=lambda each: (each.venue_ns, each.trade_id))
    return Page(tuple(found), text, now_ns, unreadable=not whole)


def _fills_of(uuid: str, instruments: Instruments) -> Talk[tuple[OrderRow, tuple[FillSeen, ...]]]:
    if _UUID.fullmatch(uuid) is None:
        raise nonsense("order", f"expected the venue's id, found {uuid[:40]!r}")
    body = yield from one_order(f"uuid={uuid}")
    if body is None:
        raise nonsense("order", f"expected {uuid}, which was listed, found none")
    row = order_row(body)
    if row.uuid != uuid:
        raise nonsense("order", f"expected {uuid}, found {row.uuid}")
    return row, fills_of(row, instruments)
