"""An account's orders and books, folded from records, and what its venue might show of them: for the tests of reconciliation."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from tests.gate.order_records import ACCOUNT, SYMBOL, VENUE

from interlock.gate import ledger as books
from interlock.gate import orders as machine
from interlock.gate import records as r
from interlock.gate.ledger import Ledger
from interlock.gate.order_state import Orders
from interlock.gate.profit import Worth
from interlock.gate.reconcile import Managed

NOW = 100
ETH = "ETHUSDT"
PERPETUAL = Worth(currency="USDT", tick_lot=Decimal("0.01"), base="BTC", lot=Decimal("0.1"), spot=False)
SPOT = Worth(currency="USDT", tick_lot=Decimal("0.01"), base="ETH", lot=Decimal("0.1"), spot=True)
MANAGED = Managed(tags=("aaaa",), worths={(VENUE, SYMBOL): PERPETUAL, (VENUE, ETH): SPOT})


def fold(*records: r.Record) -> tuple[Orders, Ledger]:
    orders, ledger = Orders(), Ledger()
    for record in records:
        machine.apply(orders, record)
        books.apply(ledger, record)
    return orders, ledger


def snapshot(
    positions: Mapping[str, int] | None = None,
    balances: Mapping[str, str] | None = None,
    open_orders: tuple[tuple[str, str, str, int], ...] = (),
    cursors: tuple[str, str] = ("c", "c"),
    venue_ns: int = NOW,
) -> r.Snapshot:
    return r.Snapshot(
        boot_ns=1,
        venue=VENUE,
        account=ACCOUNT,
        cursor_before=cursors[0],
        cursor_after=cursors[1],
        positions=tuple((positions or {}).items()),
        balances=tuple((currency, Decimal(amount)) for currency, amount in (balances or {}).items()),
        open_orders=open_orders,
        venue_ns=venue_ns,
    )


def row(lots: int, client_id: str = "a", symbol: str = SYMBOL) -> tuple[str, str, str, int]:
    return (client_id, "v", symbol, lots)
