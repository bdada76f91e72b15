"""What has happened in an account, read in windows of 7 days, which is the most that Binance shows at once, and of the symbols we have.

A window that comes back full is halved until it does not, so that no order of its rows is leaned on. Lists may lag, so each read begins a little
before its cursor and tells that part again; trade and ledger ids show what is known. A cursor is `<ms>-<count>`: the time of the newest event, and
how many there are in the part that is read again. It depends on nothing but the events and the day, so that two reads with nothing between them have
the same one.

The list of executions names no client id, so the order of each is looked up, once. Left out of the ledger, because executions tell it: the commission
and the realised profit of trades. The stream tells funding and transfers as balances only, because it does not tell their ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.venues.binance_usdm.market_reads import clock_ms
from interlock.venues.binance_usdm.replies import (
    MaybeName,
    Name,
    Number,
    amount,
    ask,
    decoded,
    nonsense,
    read,
    readable,
    rows,
    text,
    time_ns,
)
from interlock.venues.binance_usdm.seen import TradeRow, fill_seen, order_row, order_seen, trade_row
from interlock.venues.feed import NS_PER_MS, Count
from interlock.venues.port import FillSeen, LedgerSeen, Nonsense, OrderSeen, Page, Refused, Talk
from interlock.venues.trouble import Trouble

E = TypeVar("E", FillSeen, LedgerSeen)
Instruments = Mapping[str, Instrument]

_DAY_MS: Final = 86_400_000
WINDOW_MS: Final = 7 * _DAY_MS
KEPT_MS: Final = 89 * _DAY_MS
"""How far back is read: the venue tells three months of executions and income, and 90 days of orders."""

FILLS_AGAIN_MS: Final = 60_000
LEDGER_AGAIN_MS: Final = 600_000
FRESH_MS: Final = 600_000
"""The order of an execution may be missing for so long; after that its client id stays unknown, which makes it a stranger's."""

MOST_ROWS: Final = 1_000
MOST_ASKS: Final = 2_000
"""More requests for one list make no sense: thirteen windows a symbol, and halves of those that are full."""

_MOST_NAMES: Final = 4_096
_CURSOR = re.compile(r"([0-9]{1,14})-([0-9]{1,9})", re.ASCII)


# Windows


def _windows(start_ms: int, now_ms: int) -> Iterator[tuple[int, int]]:
    start_ms = max(start_ms, now_ms - KEPT_MS)
    while True:
        yield start_ms, start_ms + WINDOW_MS - 1
        start_ms += WINDOW_MS
        if start_ms > now_ms:
            return


def _listed(path: str, query: str, weight: int, start_ms: int, now_ms: int) -> Talk[list[bytes]]:
    """The rows of all windows from a time on. Raises Nonsense where one millisecond is full, or the list does not end."""
    found: list[bytes] = []
    left = list(_windows(start_ms, now_ms))[::-1]
    for _ in range(MOST_ASKS):
        if not left:
            return found
        start, end = left.pop()
        heard = yield ask(path, f"{query}startTime={start}&endTime={end}&limit={MOST_ROWS}", weight=weight)
        told = rows(read(heard), path)
        if len(told) < MOST_ROWS:
            found.extend(told)
        elif start == end or len(told) > MOST_ROWS:
            raise nonsense(path, f"expected fewer than {MOST_ROWS} rows from {start} to {end}, found {len(told)}")
        else:
            middle = (start + end) // 2
            left += [(middle + 1, end), (start, middle)]
    raise nonsense(path, f"expected a list that ends, found none after {MOST_ASKS} requests")


# Orders


def ended_orders(instruments: Instruments, since_ns: int, symbols: Sequence[str] = ()) -> Talk[Page[OrderSeen]]:
    """Orders of our symbols, or of some of them, that ended since then. Windows are by the time of placement, so it begins 7 days earlier.

    Of an order that was cancelled without a fill the venue tells for three days.
    """
    now_ms = yield from clock_ms()
    newest: dict[tuple[str, str], OrderSeen] = {}
    unreadable = False
    for symbol in symbols or instruments:
        told = yield from _listed("/fapi/v1/allOrders", f"symbol={text(symbol)}&", 5, since_ns // NS_PER_MS - WINDOW_MS, now_ms)
        orders, others = readable(told, lambda row: order_seen(order_row(row), instruments))
        unreadable = unreadable or bool(others)
        for order in orders:
            at = (order.symbol, order.venue_order_id)
            if order.state.final and order.venue_ns >= since_ns and (at not in newest or newest[at].venue_ns <= order.venue_ns):
                newest[at] = order
    found = sorted(newest.values(), key=lambda order: (order.venue_ns, order.venue_order_id))
    return Page(tuple(found), "", now_ms * NS_PER_MS, unreadable)


# Executions


class _Named(msgspec.Struct, frozen=True):
    """What of an order is the same for ever. {"symbol":"BTCUSDT","orderId":25851813,"clientOrderId":"arb-0001"}"""

    symbol: Name
    orderId: Count
    clientOrderId: MaybeName


_decode_named = msgspec.json.Decoder(_Named).decode


class Fills:
    """The executions of an account. Remembers the client ids of some thousands of orders, which never change."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, int], str] = {}

    def read(self, instruments: Instruments, cursor: str) -> Talk[Page[FillSeen]]:
        """Executions after a cursor. Raises UsageError for one that is none of ours."""
        again_ms = _cursor_ms(cursor) - FILLS_AGAIN_MS if cursor else 0
        now_ms = yield from clock_ms()
        found: dict[tuple[str, str], FillSeen] = {}
        others: list[int] = []
        for symbol, instrument in instruments.items():
            told = yield from _listed("/fapi/v1/userTrades", f"symbol={text(symbol)}&", 5, again_ms, now_ms)
            trades, unread = readable(told, trade_row)
            others += [_row_ms(row) for row in unread]
            for trade in trades:
                fill = yield from self._fill(trade, instrument, now_ms)
                if fill is None:
                    others.append(trade.time)
                else:
                    found[fill.symbol, fill.trade_id] = fill
        return _page(found, cursor, FILLS_AGAIN_MS, now_ms, others)

    def _fill(self, trade: TradeRow, instrument: Instrument, now_ms: int) -> Talk[FillSeen | None]:
        """None for an execution that makes no sense, or whose order is not shown yet."""
        if trade.symbol != instrument.symbol:
            return None
        client_id = yield from self._client_id(trade)
        if client_id is None and now_ms - trade.time < FRESH_MS:
            return None
        try:
            return fill_seen(trade, client_id or "", instrument)
        except Nonsense:
            return None

    def _client_id(self, trade: TradeRow) -> Talk[str | None]:
        at = (trade.symbol, trade.orderId)
        if at in self._names:
            return self._names[at]
        heard = yield ask("/fapi/v1/order", f"symbol={text(trade.symbol)}&orderId={trade.orderId}")
        try:
            order = decoded(_decode_named, read(heard), "order")
        except Refused as refused:
            if refused.explained.trouble is Trouble.ORDER_NOT_FOUND:
                return None
            raise
        if (order.symbol, order.orderId) != at:
            raise nonsense("order", f"expected {trade.orderId} of {trade.symbol}, found {order.orderId} of {order.symbol}")
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        self._names[at] = order.clientOrderId
        return order.clientOrderId


# The ledger

_LEFT_OUT: Final = frozenset({"COMMISSION", "REALIZED_PNL"})
"""Executions tell these: fees as their commission, and profit follows from their prices."""

_KINDS: Final[Mapping[str, str]] = {
    "FUNDING_FEE": "funding",
    "TRANSFER": "transfer",
    "INTERNAL_TRANSFER": "transfer",
    "CROSS_COLLATERAL_TRANSFER": "transfer",
    "STRATEGY_UMFUTURES_TRANSFER": "transfer",
    "COIN_SWAP_DEPOSIT": "deposit",
    "COIN_SWAP_WITHDRAW": "withdrawal",
    "REFERRAL_KICKBACK": "rebate",
    "COMMISSION_REBATE": "rebate",
    "API_REBATE": "rebate",
    "FEE_RETURN": "rebate",
    "POSITION_LIMIT_INCREASE_FEE": "fee",
    "OPTIONS_PREMIUM_FEE": "fee",
    "BFUSD_REWARD": "interest",
    "WELCOME_BONUS": "airdrop",
    "CONTEST_REWARD": "airdrop",
    "INSURANCE_CLEAR": "liquidation",
    "DELIVERED_SETTELMENT": "settlement",
    "DELIVERED_SETTLEMENT": "settlement",
    "OPTIONS_SETTLE_PROFIT": "settlement",
    "AUTO_EXCHANGE": "adjust",
    "ADJUSTMENT": "adjust",
}
"""By the venue's `incomeType` (one of them is spelt wrong there)."""


class _Income(msgspec.Struct, frozen=True, gc=False):
    """{"symbol":"","incomeType":"TRANSFER","income":"-0.37500000","asset":"USDT","info":"TRANSFER","time":1570608000000,"tranId":"9689322392",
    "tradeId":""}"""

    incomeType: MaybeName
    income: Number
    asset: Name
    time: Count
    tranId: Count | Name
    symbol: MaybeName = ""


_decode_income = msgspec.json.Decoder(_Income).decode


def ledger(cursor: str) -> Talk[Page[LedgerSeen]]:
    """Ledger events of the whole account after a cursor. Raises UsageError for one that is none of ours."""
    again_ms = _cursor_ms(cursor) - LEDGER_AGAIN_MS if cursor else 0
    now_ms = yield from clock_ms()
    told = yield from _listed("/fapi/v1/income", "", 30, again_ms, now_ms)
    events, unread = readable(told, income_seen)
    found = {("", event.venue_id): event for event in events if event is not None}
    return _page(found, cursor, LEDGER_AGAIN_MS, now_ms, [_row_ms(row) for row in unread])


def income_seen(data: bytes) -> LedgerSeen | None:
    """A ledger event; None for what executions tell. Raises Nonsense, also for a kind that is not known.

    The venue's number is unique within a kind; an exchange of currencies is two events of one number.
    """
    row = decoded(_decode_income, data, "income")
    change, at_ns = amount(row.income, "income"), time_ns(row.time, "income time")
    if row.incomeType in _LEFT_OUT:
        return None
    if row.incomeType not in _KINDS:
        raise nonsense("income", f"expected a known incomeType, found {row.incomeType!r}")
    venue_id = ":".join(filter(None, (row.incomeType, str(row.tranId), row.asset, row.symbol)))
    return LedgerSeen(
        kind=_KINDS[row.incomeType],
        venue_id=venue_id,
        currency=row.asset,
        amount=change or Decimal(0),
        symbol=row.symbol,
        venue_ns=at_ns,
    )


# Cursors


def cursor_at(venue_ns: int) -> str:
    """The cursor that stands at a time."""
    return f"{max(venue_ns, 0) // NS_PER_MS}-0"


def _cursor_ms(cursor: str) -> int:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise UsageError(f"cursor: expected one that Binance's reads gave, found {cursor[:40]!r}")
    return int(match[1])


def _page(found: Mapping[tuple[str, str], E], cursor: str, again_ms: int, now_ms: int, others: Sequence[int]) -> Page[E]:
    """`others`: when what makes no sense came about. The time of the clock was asked for first: what came about later may be missing."""
    events: list[E] = sorted(found.values(), key=lambda each: each.venue_ns)
    oldest_ms = _cursor_ms(cursor) if cursor else 0
    # Without events the cursor moves once a day, so that an account at rest is not read from long ago each time.
    newest_ms = max([oldest_ms, now_ms - now_ms % _DAY_MS - _DAY_MS, *(each.venue_ns // NS_PER_MS for each in events)])
    # A row from the future must not hide what comes before it: the next read begins now at the latest.
    newest_ms = min(newest_ms, now_ms + again_ms)
    if others:
        newest_ms = max(oldest_ms, min(newest_ms, *others))
    if newest_ms:
        count = sum(each.venue_ns // NS_PER_MS >= newest_ms - again_ms for each in events)
        cursor = f"{newest_ms}-{count}"
    return Page(tuple(events), cursor, now_ms * NS_PER_MS, bool(others))


class _Timed(msgspec.Struct, frozen=True):
    time: Count


_decode_timed: Final[Callable[[bytes], _Timed]] = msgspec.json.Decoder(_Timed).decode


def _row_ms(row: bytes) -> int:
    """When a row that makes no sense came about, 0 where not even that is told."""
    try:
        return time_ns(decoded(_decode_timed, row, "row").time, "row") // NS_PER_MS
    except Nonsense:
        return 0
