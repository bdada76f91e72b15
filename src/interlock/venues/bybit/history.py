"""What has happened in an account, read in windows of 7 days, which is the most that Bybit shows at once.

Lists may lag, so each read begins a little before its cursor and tells that part again; trade and ledger ids show what is known. A cursor is
`<ms>-<count>`: the time of the newest row, whether it is told or left out, and how many rows there are in the part that is read again. It depends on
nothing but the rows and the day, so that two reads with nothing between them have the same one.

Left out of the ledger, because executions tell it: fees and profit of trades, liquidations, deleveraging and deliveries, and funding, which is an
execution of type Funding in the list as in the stream, with one id in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from interlock.domain.errors import UsageError
from interlock.venues.bybit.replies import MaybeName, Name, Number, amount, decoded, listed, nonsense, time_ns
from interlock.venues.bybit.seen import Instruments, execution_seen, order_seen
from interlock.venues.feed import NS_PER_MS, Count
from interlock.venues.port import FillSeen, LedgerSeen, Nonsense, OrderSeen, Page, Talk

T = TypeVar("T")
E = TypeVar("E", FillSeen, LedgerSeen)

_DAY_MS: Final = 86_400_000
WINDOW_MS: Final = 7 * _DAY_MS
SETTLED_IN: Final = ("USDT", "USDC")
"""The currencies of linear contracts; the venue lists orders and positions by them."""

KEPT_MS: Final = 730 * _DAY_MS
"""How far back the venue tells: two years."""

FILLS_AGAIN_MS: Final = 60_000
ORDERS_AGAIN_MS: Final = 60_000
LEDGER_AGAIN_MS: Final = 300_000
_CURSOR = re.compile(r"([0-9]{1,14})-([0-9]{1,9})", re.ASCII)


def readable(rows: Sequence[bytes], row_seen: Callable[[bytes], T]) -> tuple[list[T], list[bytes]]:
    """The rows that make sense, read, and the others."""
    found: list[T] = []
    others: list[bytes] = []
    for row in rows:
        try:
            found.append(row_seen(row))
        except Nonsense:
            others.append(row)
    return found, others


def _windows(start_ms: int, now_ms: int) -> Iterator[tuple[int, int]]:
    start_ms = max(start_ms, now_ms - KEPT_MS)
    while True:
        yield start_ms, start_ms + WINDOW_MS
        start_ms += WINDOW_MS
        if start_ms > now_ms:
            return


def _listed(path: str, query: str, budget: str, start_ms: int, now_ms: int) -> Talk[tuple[list[bytes], int]]:
    """The rows of all windows from a time on, and the time of the venue before which nothing is missing."""
    rows: list[bytes] = []
    venue_ms = 0
    for start, end in _windows(start_ms, now_ms):
        page = yield from listed(path, f"{query}&startTime={start}&endTime={end}", budget)
        rows.extend(page.rows)
        venue_ms = min(page.venue_ms, end)
    return rows, venue_ms


def ended_orders(instruments: Instruments, since_ns: int, now_ms: int) -> Talk[Page[OrderSeen]]:
    """Orders that ended since then: of those placed since then all, by the history, and of older ones the latest 500 that ended."""
    rows: list[bytes] = []
    stamps: list[int] = []
    for coin in SETTLED_IN:
        lately = yield from listed("/v5/order/realtime", f"category=linear&settleCoin={coin}&openOnly=1&limit=50", "realtime")
        rows.extend(lately.rows)
        stamps.append(lately.venue_ms)
    start_ms = since_ns // NS_PER_MS - ORDERS_AGAIN_MS
    placed, venue_ms = yield from _listed("/v5/order/history", "category=linear&limit=50", "history", start_ms, now_ms)
    orders, others = readable(rows + placed, lambda row: order_seen(row, instruments))
    newest: dict[tuple[str, str], OrderSeen] = {}
    for order in orders:
        at = (order.symbol, order.venue_order_id)
        if order.end and order.venue_ns >= since_ns and (at not in newest or newest[at].venue_ns <= order.venue_ns):
            newest[at] = order
    found = sorted(newest.values(), key=lambda order: (order.venue_ns, order.venue_order_id))
    return Page(tuple(found), "", min(*stamps, venue_ms) * NS_PER_MS, bool(others))


def fills(instruments: Instruments, cursor: str, now_ms: int) -> Talk[Page[FillSeen]]:
    """Executions that are fills. Raises UsageError for a cursor that is none of ours."""
    start_ms = _start_ms(cursor, FILLS_AGAIN_MS, now_ms)
    rows, venue_ms = yield from _listed("/v5/execution/list", "category=linear&limit=100", "execution", start_ms, now_ms)
    seen, others = readable(rows, lambda row: execution_seen(row, instruments))
    found = {(each.symbol, each.trade_id): each for each in reversed(seen) if isinstance(each, FillSeen)}
    return Page(_in_order(found), _cursor(cursor, FILLS_AGAIN_MS, now_ms, rows, others), venue_ms * NS_PER_MS, bool(others))


def ledger(instruments: Instruments, cursor: str, now_ms: int) -> Talk[Page[LedgerSeen]]:
    """Funding from the executions, everything else from the transaction log."""
    start_ms = _start_ms(cursor, LEDGER_AGAIN_MS, now_ms)
    paid, paid_ms = yield from _listed("/v5/execution/list", "category=linear&execType=Funding&limit=100", "execution", start_ms, now_ms)
    logged, logged_ms = yield from _listed("/v5/account/transaction-log", "accountType=UNIFIED&limit=50", "log", start_ms, now_ms)
    seen, first = readable(paid, lambda row: execution_seen(row, instruments))
    told, second = readable(logged, log_seen)
    events = [each for each in told if each is not None] + [each for each in seen if isinstance(each, LedgerSeen)]
    found = {("", each.venue_id): each for each in reversed(events)}
    others = first + second
    return Page(
        _in_order(found),
        _cursor(cursor, LEDGER_AGAIN_MS, now_ms, paid + logged, others),
        min(paid_ms, logged_ms) * NS_PER_MS,
        bool(others),
    )


def _in_order(found: dict[tuple[str, str], E]) -> tuple[E, ...]:
    """The oldest first. Given with the newest last, as the lists have them turned round: what shares a millisecond keeps that order."""
    return tuple(sorted(found.values(), key=lambda each: each.venue_ns))


# Cursors


def cursor_at(venue_ns: int) -> str:
    """The cursor that stands at a time."""
    return f"{max(venue_ns, 0) // NS_PER_MS}-0"


def _cursor_ms(cursor: str) -> int:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise UsageError(f"cursor: expected one that Bybit's reads gave, found {cursor[:40]!r}")
    return int(match[1])


def _start_ms(cursor: str, again_ms: int, now_ms: int) -> int:
    return max(0, _cursor_ms(cursor) - again_ms) if cursor else now_ms - KEPT_MS


def _cursor(cursor: str, again_ms: int, now_ms: int, rows: list[bytes], others: list[bytes]) -> str:
    """The cursor after these rows, of which `others` make no sense: it stands before those."""
    oldest_ms = _cursor_ms(cursor) if cursor else 0
    times = [_row_ms(row) for row in set(rows)]
    # Without rows the cursor moves once a day, so that an account at rest is not read from long ago each time.
    newest_ms = max([oldest_ms, now_ms - now_ms % _DAY_MS - _DAY_MS, *times])
    # A row from the future must not hide what comes before it: the next read begins now at the latest.
    newest_ms = min(newest_ms, now_ms + again_ms)
    if others:
        newest_ms = max(oldest_ms, min(newest_ms, *(_row_ms(row) for row in others)))
    return f"{newest_ms}-{sum(at >= newest_ms - again_ms for at in times)}" if newest_ms else ""


class _Timed(msgspec.Struct, frozen=True):
    execTime: MaybeName = ""
    transactionTime: Count | MaybeName = ""


_decode_timed = msgspec.json.Decoder(_Timed).decode


def _row_ms(row: bytes) -> int:
    """When a row that makes no sense came about, 0 where not even that is told."""
    try:
        times = decoded(_decode_timed, row, "row")
        return time_ns(times.execTime or str(times.transactionTime), "row") // NS_PER_MS
    except Nonsense:
        return 0


# The transaction log


class _LogRow(msgspec.Struct, frozen=True, gc=False):
    """An entry of the transaction log: `change` = `cashFlow` + `funding` - `fee`, and moves the wallet's balance.

    {"id":"592324_XRPUSDT_161440249321","symbol":"XRPUSDT","funding":"-0.003676","change":"-0.003676","cashFlow":"0",
     "transactionTime":"1672128000000","type":"SETTLEMENT","currency":"USDT","tradeId":"534c0003-4bf7-486f-aa02-78cee36825e4"}
    """

    id: Name
    type: Name
    currency: Name
    change: Number
    transactionTime: Count | MaybeName
    symbol: MaybeName = ""
    cashFlow: Number = ""
    tradeId: MaybeName = ""


_decode_log = msgspec.json.Decoder(_LogRow).decode

_BY_EXECUTION: Final = {"TRADE": "fee", "LIQUIDATION": "liquidation", "ADL": "adl", "DELIVERY": "settlement"}
"""Told by executions; an entry without an execution's id is told here, under this kind."""

_KINDS: Final = {
    "TRANSFER_IN": "transfer",
    "TRANSFER_OUT": "transfer",
    "TRANSFER_IN_INS_LOAN": "transfer",
    "TRANSFER_OUT_INS_LOAN": "transfer",
    "BONUS_TRANSFER_IN": "transfer",
    "BONUS_TRANSFER_OUT": "transfer",
    "AIRDROP": "airdrop",
    "BONUS": "airdrop",
    "FEE_REFUND": "rebate",
    "INTEREST": "interest",
    "INTEREST_REPAYMENT_INS_LOAN": "interest",
    "AUTO_INTEREST_REPAYMENT_INS_LOAN": "interest",
}


def log_seen(data: bytes) -> LedgerSeen | None:
    """An entry of the transaction log, None for one that an execution tells. Raises Nonsense.

    The venue's list of types is open: one that is not known is an adjustment of the amount that it says. An id may stand in entries of different
    types, so type and currency are part of ours.
    """
    row = decoded(_decode_log, data, "transaction log")
    what = f"entry {row.id}"
    if row.type in _BY_EXECUTION and row.tradeId:
        return None
    if row.type == "SETTLEMENT":
        # The funding in it is told by an execution; what is left is the session settlement of contracts in USDC.
        kind, change = "settlement", amount(row.cashFlow or "0", f"{what} cashFlow")
    else:
        kind, change = _BY_EXECUTION.get(row.type) or _KINDS.get(row.type, "adjust"), amount(row.change, f"{what} change")
    at_ns = time_ns(str(row.transactionTime), f"{what} transactionTime")
    if change == Decimal(0):
        return None
    if not row.currency.isalnum():
        raise nonsense(what, f"expected a currency, found {row.currency[:40]!r}")
    return LedgerSeen(
        kind=kind, venue_id=f"{row.type}-{row.currency}-{row.id}", currency=row.currency, amount=change, symbol=row.symbol, venue_ns=at_ns
    )
