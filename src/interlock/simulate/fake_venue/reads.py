"""The answers to reads: what the venue truly holds, as it was `lag_ns` ago, and what a broken venue would say instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from interlock.domain.orders import Liquidity, OrderState, OrderType, Side, TimeInForce
from interlock.simulate.fake_venue.account import Account
from interlock.simulate.fake_venue.matching import Matching, Rejection
from interlock.venues.fake.wire import (
    AnyBody,
    Balance,
    Balances,
    Code,
    Execution,
    Executions,
    IndexPrice,
    Instruments,
    LedgerPage,
    Orders,
    OrderView,
    Page,
    Positions,
    QueryOrder,
    ReadExecutions,
    ReadLedger,
    ReadOpenOrders,
    ReadOrderHistory,
    Top,
)

T = TypeVar("T")


def order_page(matching: Matching, request: ReadOpenOrders | ReadOrderHistory, steady_ns: int, lag_ns: int) -> Orders:
    """A page of open orders, or of history, as of `lag_ns` ago."""
    after, limit = _window(request, matching.account)
    history = isinstance(request, ReadOrderHistory)
    keeps_ns = matching.account.flavour.keeps_unfilled_ns
    found: list[tuple[int, OrderView]] = []
    for order in matching.orders:
        seen = order.view_at(steady_ns - lag_ns)
        if order.number <= after or seen is None or request.symbol not in ("", order.symbol):
            continue
        since_ns, view = seen
        if view.state.final is not history or (history and not view.filled_lots and since_ns < steady_ns - keeps_ns):
            continue
        found.append((order.number, view))
    more = len(found) > limit
    found = found[:limit]
    return Orders(orders=tuple(view for _, view in found), cursor=str(found[-1][0]) if more else "")


def query(matching: Matching, request: QueryOrder, steady_ns: int, lag_ns: int) -> OrderView:
    """One order as of `lag_ns` ago. Raises Rejection when there was none."""
    order = matching.find(request.client_id, request.venue_order_id)
    seen = None if order is None else order.view_at(steady_ns - lag_ns)
    if seen is None:
        raise Rejection(Code.ORDER_NOT_FOUND, f"no order {request.client_id or request.venue_order_id!r}")
    return seen[1]


def execution_page(account: Account, request: ReadExecutions) -> Executions:
    """A page of executions after the cursor."""
    items, cursor = _page(account.executions, request, account)
    return Executions(executions=tuple(items), cursor=cursor)


def ledger_page(account: Account, request: ReadLedger) -> LedgerPage:
    """A page of the ledger after the cursor."""
    items, cursor = _page(account.ledger, request, account)
    return LedgerPage(entries=tuple(items), cursor=cursor)


def positions(account: Account) -> Positions:
    """All positions; a spot venue has none."""
    return Positions(positions=() if account.flavour.spot else tuple(account.position(symbol) for symbol in account.infos))


def balances(account: Account) -> Balances:
    """All balances by currency."""
    return Balances(balances=tuple(account.balance(currency) for currency in sorted(account.balances)))


def nonsense(body: AnyBody | None) -> AnyBody | None:
    """The same kind of answer with a number in it that makes no sense; None where there is nothing to spoil."""
    replace = msgspec.structs.replace
    match body:
        case OrderView():
            return replace(body, lots=-body.lots, filled_lots=-1)
        case Orders():
            orders = body.orders or (_NO_ORDER,)
            return replace(body, orders=(replace(orders[0], lots=-orders[0].lots, filled_lots=-1), *orders[1:]))
        case Executions():
            executions = body.executions or (_NO_EXECUTION,)
            return replace(body, executions=(replace(executions[0], lots=-executions[0].lots, fee="NaN"), *executions[1:]))
        case Positions():
            return replace(body, positions=tuple(replace(position, entry_price="NaN") for position in body.positions))
        case Balances():
            return replace(body, balances=tuple(Balance(currency=balance.currency, amount="NaN") for balance in body.balances))
        case Top():
            return replace(body, bid_ticks=-body.bid_ticks)
        case IndexPrice():
            return replace(body, bid="NaN")
        case Instruments():
            return replace(body, instruments=tuple(replace(info, tick="NaN", lot="-1") for info in body.instruments))
    return None


def _page(items: Sequence[T], request: Page, account: Account) -> tuple[Sequence[T], str]:
    after, limit = _window(request, account)
    chosen = items[after : after + limit]
    last = after + len(chosen)
    return chosen, str(last) if last else ""


def _window(request: Page, account: Account) -> tuple[int, int]:
    try:
        after = int(request.cursor or "0")
    except ValueError:
        after = -1
    if after < 0 or not 1 <= request.limit <= account.flavour.page_max:
        raise Rejection(
            Code.BAD_REQUEST,
            f"expected a cursor that was given and 1..{account.flavour.page_max}, found {request.cursor!r} and {request.limit}",
        )
    return after, request.limit


_NO_ORDER = OrderView(
    client_id="",
    revision=0,
    venue_order_id="",
    symbol="",
    side=Side.BUY,
    type=OrderType.LIMIT,
    tif=TimeInForce.GTC,
    reduce_only=False,
    ticks=0,
    lots=1,
    filled_lots=0,
    state=OrderState.OPEN,
    code="",
    updated_ns=0,
)
_NO_EXECUTION = Execution(
    trade_id="",
    client_id="",
    venue_order_id="",
    symbol="",
    side=Side.BUY,
    ticks=0,
    lots=1,
    liquidity=Liquidity.MAKER,
    fee="0",
    fee_currency="",
    venue_ns=0,
)
