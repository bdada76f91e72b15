"""NautilusTrader: its `BacktestEngine` on L2 deltas and trades, one callback an event.

Modes: `deltas` only counts the callbacks; `quote` keeps the same two quotes as the other engines, decided on every
delta. Turning rows into Nautilus' objects and adding them to the engine is not timed.

What differs from the other engines: one clock (the receive time), order latency in one direction, and no queue
position in the releases that Python 3.11 can install, so its fills cannot be compared with theirs.
"""

import gc
from typing import Any

from nautilus_trader.backtest.engine import (  # type: ignore[import-not-found]
    BacktestEngine,
    BacktestEngineConfig,
)
from nautilus_trader.backtest.models import FillModel, LatencyModel  # type: ignore[import-not-found]
from nautilus_trader.config import LoggingConfig, RiskEngineConfig  # type: ignore[import-not-found]
from nautilus_trader.model.currencies import BTC, USDT  # type: ignore[import-not-found]
from nautilus_trader.model.data import (  # type: ignore[import-not-found]
    BookOrder,
    OrderBookDelta,
    TradeTick,
)
from nautilus_trader.model.enums import (  # type: ignore[import-not-found]
    AccountType,
    AggressorSide,
    BookAction,
    BookType,
    OmsType,
    OrderSide,
    RecordFlag,
)
from nautilus_trader.model.identifiers import (  # type: ignore[import-not-found]
    InstrumentId,
    Symbol,
    TradeId,
    TraderId,
    Venue,
)
from nautilus_trader.model.instruments import CryptoPerpetual  # type: ignore[import-not-found]
from nautilus_trader.model.objects import Money, Price, Quantity  # type: ignore[import-not-found]
from nautilus_trader.trading.strategy import Strategy, StrategyConfig  # type: ignore[import-not-found]

from benchmarks.engines import protocol

VENUE = Venue("SIM")
INSTRUMENT = InstrumentId(Symbol("BTCUSDT-PERP"), VENUE)
PRICE_DECIMALS, SIZE_DECIMALS = 1, 3
QUANTITY = Quantity(protocol.ORDER_LOTS * protocol.LOT, SIZE_DECIMALS)
_NO_RATE_LIMIT = "10000000/00:00:01"


def instrument() -> Any:
    """Make the perpetual that the stream quotes: tick 0.1, lot 0.001."""
    return CryptoPerpetual(
        instrument_id=INSTRUMENT,
        raw_symbol=INSTRUMENT.symbol,
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=PRICE_DECIMALS,
        size_precision=SIZE_DECIMALS,
        price_increment=Price(protocol.TICK, PRICE_DECIMALS),
        size_increment=Quantity(protocol.LOT, SIZE_DECIMALS),
        ts_event=0,
        ts_init=0,
    )


def convert(rows: protocol.Rows) -> tuple[list[Any], list[Any]]:
    """Turn rows of the stream into deltas and trades; each row after the snapshot closes its own event."""
    snapshot = protocol.snapshot_length(rows)
    deltas: list[Any] = []
    trades: list[Any] = []
    for number, row in enumerate(rows.tolist()):
        exchange_ns, receive_ns, ticks, lots, _, _, kind, side = row
        price = Price(ticks * protocol.TICK, PRICE_DECIMALS)
        size = Quantity(lots * protocol.LOT, SIZE_DECIMALS)
        if kind == protocol.TRADE:
            aggressor = AggressorSide.BUYER if side > 0 else AggressorSide.SELLER
            trade_id = TradeId(str(number))
            trades.append(TradeTick(INSTRUMENT, price, size, aggressor, trade_id, exchange_ns, receive_ns))
            continue
        action = BookAction.UPDATE if lots else BookAction.DELETE
        order = BookOrder(OrderSide.BUY if side > 0 else OrderSide.SELL, price, size, 0)
        flags = 0 if number < snapshot - 1 else RecordFlag.F_LAST
        deltas.append(OrderBookDelta(INSTRUMENT, action, order, flags, number, exchange_ns, receive_ns))
    return deltas, trades


class Counter(Strategy):  # type: ignore[misc]
    """Count the callbacks, and note the time of the first."""

    def __init__(self, spawned_ns: int) -> None:
        super().__init__(StrategyConfig(strategy_id="bench-001"))
        self.spawned_ns = spawned_ns
        self.first_event_s = 0.0
        self.events = 0
        self.orders = 0
        self.fills = 0
        self.lots = 0

    def on_start(self) -> None:
        """Subscribe to the book and the trades."""
        self.subscribe_order_book_deltas(INSTRUMENT, BookType.L2_MBP)
        self.subscribe_trade_ticks(INSTRUMENT)

    def on_order_book_deltas(self, deltas: Any) -> None:
        """Count one book event."""
        if not self.events:
            self.first_event_s = protocol.since(self.spawned_ns)
        self.events += 1

    def on_trade_tick(self, tick: Any) -> None:
        """Count one trade."""
        self.events += 1


class Quoter(Counter):
    """Keep one post-only quote on either side, at the best price."""

    def __init__(self, spawned_ns: int) -> None:
        super().__init__(spawned_ns)
        self.bid: Any = None
        self.ask: Any = None

    def on_order_book_deltas(self, deltas: Any) -> None:
        """Decide on both quotes."""
        super().on_order_book_deltas(deltas)
        book = self.cache.order_book(INSTRUMENT)
        best_bid, best_ask = book.best_bid_price(), book.best_ask_price()
        if best_bid is None or best_ask is None:
            return
        self.bid = self.renew(self.bid, OrderSide.BUY, best_bid)
        self.ask = self.renew(self.ask, OrderSide.SELL, best_ask)

    def renew(self, order: Any, side: Any, best: Any) -> Any:
        """Return the quote to keep: the present one, or a new one where it is gone or no longer at the best."""
        if order is not None and not order.is_closed:
            if order.price == best or not order.is_open or order.is_pending_cancel:
                return order
            self.cancel_order(order)
        self.orders += 1
        new = self.order_factory.limit(INSTRUMENT, side, QUANTITY, best, post_only=True)
        self.submit_order(new)
        return new

    def on_order_filled(self, event: Any) -> None:
        """Count a fill and add it to the position."""
        self.fills += 1
        lots = round(event.last_qty.as_double() / protocol.LOT)
        self.lots += lots if event.order_side == OrderSide.BUY else -lots


def main() -> None:
    """Measure one mode."""
    asked = protocol.arguments(["deltas", "quote"])
    rows = protocol.load(asked)
    deltas, trades = convert(rows)
    strategies: list[Counter] = []

    def prepare() -> Any:
        gc.collect()
        engine = BacktestEngine(
            BacktestEngineConfig(
                trader_id=TraderId("BENCH-001"),
                logging=LoggingConfig(bypass_logging=True),
                run_analysis=False,
                risk_engine=RiskEngineConfig(max_order_submit_rate=_NO_RATE_LIMIT, max_order_modify_rate=_NO_RATE_LIMIT),
            )
        )
        engine.add_venue(
            venue=VENUE,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            # 1e9 trips a rounding check of its account balances.
            starting_balances=[Money(1_000_000, USDT)],
            book_type=BookType.L2_MBP,
            latency_model=LatencyModel(base_latency_nanos=protocol.ENTRY_LATENCY_NS),
            fill_model=FillModel(),
            trade_execution=True,
        )
        engine.add_instrument(instrument())
        engine.add_data(deltas, sort=False)
        engine.add_data(trades, sort=True)
        strategies.append((Quoter if asked.mode == "quote" else Counter)(asked.spawned_ns))
        engine.add_strategy(strategies[-1])
        return engine

    def finish(engine: Any, _: None) -> protocol.Outcome:
        engine.dispose()
        last = strategies[-1]
        if last.events != len(rows):
            raise SystemExit(f"expected {len(rows)} callbacks, found {last.events}")
        if asked.mode == "deltas":
            return protocol.Outcome()
        return protocol.Outcome(last.orders, last.fills, last.lots)

    run_s, outcome = protocol.timed_runs(asked.runs, prepare, lambda engine: engine.run(), finish)
    protocol.report(
        asked,
        engine="nautilus_trader",
        events=len(rows),
        run_s=run_s,
        outcome=outcome,
        first_event_s=strategies[0].first_event_s,
        packages=["nautilus_trader", "numpy"],
    )


if __name__ == "__main__":
    main()
