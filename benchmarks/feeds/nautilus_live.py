"""NautilusTrader's live way from a book frame to an order handed to its venue's client.

`PYTHON -m benchmarks.feeds.nautilus_live FILE` in the environment that `benchmarks.peers` makes; the file is that of `interlock_feed.py`, one set.
One JSON object on stdout: version and nanoseconds of every message. It is its live data, risk and execution engines and its own reader of Bybit's
book frames, with an execution client that only notes the time: neither its socket, nor signing, nor sending are in the figure.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import nautilus_trader  # type: ignore[import-not-found]
from nautilus_trader.adapters.bybit.schemas.ws import (  # type: ignore[import-not-found]
    BybitWsMessageGeneral,
    decoder_ws_orderbook,
)
from nautilus_trader.cache.cache import Cache  # type: ignore[import-not-found]
from nautilus_trader.common.component import (  # type: ignore[import-not-found]
    LiveClock,
    MessageBus,
    init_logging,
)
from nautilus_trader.common.enums import LogLevel  # type: ignore[import-not-found]
from nautilus_trader.common.providers import InstrumentProvider  # type: ignore[import-not-found]
from nautilus_trader.live.config import (  # type: ignore[import-not-found]
    LiveExecEngineConfig,
    LiveRiskEngineConfig,
)
from nautilus_trader.live.data_client import LiveMarketDataClient  # type: ignore[import-not-found]
from nautilus_trader.live.data_engine import LiveDataEngine  # type: ignore[import-not-found]
from nautilus_trader.live.execution_client import LiveExecutionClient  # type: ignore[import-not-found]
from nautilus_trader.live.execution_engine import LiveExecutionEngine  # type: ignore[import-not-found]
from nautilus_trader.live.risk_engine import LiveRiskEngine  # type: ignore[import-not-found]
from nautilus_trader.model.currencies import USDT  # type: ignore[import-not-found]
from nautilus_trader.model.enums import (  # type: ignore[import-not-found]
    AccountType,
    BookType,
    OmsType,
    OrderSide,
)
from nautilus_trader.model.identifiers import (  # type: ignore[import-not-found]
    AccountId,
    ClientId,
    TraderId,
)
from nautilus_trader.model.objects import AccountBalance, Money, Quantity  # type: ignore[import-not-found]
from nautilus_trader.portfolio.portfolio import Portfolio  # type: ignore[import-not-found]
from nautilus_trader.trading.strategy import Strategy, StrategyConfig  # type: ignore[import-not-found]

from benchmarks.engines.nautilus_engine import INSTRUMENT, PRICE_DECIMALS, SIZE_DECIMALS, VENUE, instrument

_CLIENT = ClientId("SIM")
_NO_RATE_LIMIT = "10000000/00:00:01"
_PURGE_EVERY = 500


class Noted(LiveExecutionClient):  # type: ignore[misc]
    """Where an order leaves the engines."""

    written_ns = 0
    command: Any = None

    async def _submit_order(self, command: Any) -> None:
        self.written_ns = time.perf_counter_ns()
        self.command = command
        self.came.set()

    async def _cancel_order(self, command: Any) -> None:
        """Nothing rests."""


class Data(LiveMarketDataClient):  # type: ignore[misc]
    """Subscriptions are taken; the frames come from us."""

    async def _subscribe_order_book_deltas(self, command: Any) -> None:
        """Taken."""


class Quoting(Strategy):  # type: ignore[misc]
    """One bid at the best bid for each change of the book."""

    places = False

    def __init__(self) -> None:
        super().__init__(StrategyConfig(strategy_id="bench-001"))
        self.heard = asyncio.Event()
        self.quantity = Quantity(0.01, SIZE_DECIMALS)

    def on_start(self) -> None:
        """Subscribe."""
        self.subscribe_order_book_deltas(INSTRUMENT, BookType.L2_MBP)

    def on_order_book_deltas(self, deltas: Any) -> None:
        """Place."""
        book = self.cache.order_book(INSTRUMENT)
        if self.places:
            self.submit_order(self.order_factory.limit(INSTRUMENT, OrderSide.BUY, self.quantity, book.best_bid_price(), post_only=True))
        else:
            self.heard.set()


async def measure(frames: dict[str, Any]) -> list[int]:
    """Nanoseconds of each frame."""
    loop = asyncio.get_running_loop()
    clock, trader = LiveClock(), TraderId("BENCH-001")
    bus, cache = MessageBus(trader_id=trader, clock=clock), Cache()
    portfolio = Portfolio(bus, cache, clock)
    data = LiveDataEngine(loop, bus, cache, clock)
    limits = LiveRiskEngineConfig(max_order_submit_rate=_NO_RATE_LIMIT, max_order_modify_rate=_NO_RATE_LIMIT)
    risk = LiveRiskEngine(loop, portfolio, bus, cache, clock, limits)
    execution = LiveExecutionEngine(loop, bus, cache, clock, LiveExecEngineConfig(reconciliation=False))
    cache.add_instrument(instrument())
    given = {"loop": loop, "client_id": _CLIENT, "venue": VENUE, "msgbus": bus, "cache": cache, "clock": clock}
    client = Noted(
        oms_type=OmsType.NETTING, account_type=AccountType.MARGIN, base_currency=None, instrument_provider=InstrumentProvider(), **given
    )
    client.came = asyncio.Event()
    client._set_account_id(AccountId("SIM-001"))
    client._set_connected(True)
    execution.register_client(client)
    data.register_client(Data(instrument_provider=InstrumentProvider(), **given))
    million = Money(1_000_000, USDT)
    client.generate_account_state([AccountBalance(million, Money(0, USDT), million)], [], True, clock.timestamp_ns())
    strategy = Quoting()
    strategy.register(trader_id=trader, portfolio=portfolio, msgbus=bus, cache=cache, clock=clock)
    for engine in (data, risk, execution):
        engine.start()
    await asyncio.sleep(0.05)
    strategy.start()
    await asyncio.sleep(0.05)
    general, decoder = msgspec.json.Decoder(BybitWsMessageGeneral), decoder_ws_orderbook()

    def parse(raw: bytes) -> Any:
        general.decode(raw)  # its client looks at the topic first
        said = decoder.decode(raw)
        now_ns = clock.timestamp_ns()
        return said.data.parse_to_deltas(
            INSTRUMENT, PRICE_DECIMALS, SIZE_DECIMALS, said.ts * 1_000_000, now_ns, snapshot=said.type == "snapshot"
        )

    data.process(parse(frames["begin"].encode()))
    await strategy.heard.wait()
    strategy.places = True
    found = []
    gc.collect()
    for number, text in enumerate(frames["frames"], start=1):
        raw = text.encode()
        client.came.clear()
        began_ns = time.perf_counter_ns()
        data.process(parse(raw))
        await client.came.wait()
        found.append(client.written_ns - began_ns)
        order, now_ns = client.command.order, clock.timestamp_ns()
        client.generate_order_submitted(order.strategy_id, INSTRUMENT, order.client_order_id, now_ns)
        await _settled()
        client.generate_order_rejected(order.strategy_id, INSTRUMENT, order.client_order_id, "bench", now_ns)
        await _settled()
        if number % _PURGE_EVERY == 0:
            cache.purge_closed_orders(ts_now=clock.timestamp_ns() + 10**12, buffer_secs=0)
    return found


async def _settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def main(frames: dict[str, Any]) -> None:
    """One set."""
    guard = init_logging(level_stdout=LogLevel.OFF)
    times = await measure(frames)
    print(json.dumps({"version": nautilus_trader.__version__, "times_ns": times}), flush=True)
    del guard


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()[0])))
    sys.stdout.flush()
