"""One client of the live benchmark's exchange: hears a frame, and writes an order for each.

`python -m benchmarks.live_engine WAY PORT COUNT [INTENT_SOCKET]` prints one JSON line. WAY is

- `floor`: picows, msgspec with types, a book of two dicts, an order of text with an HMAC. The least that does the work; it checks nothing.
- `one`: our engine with its log of inputs, and the gate's own wire of Bybit in the same process, without the gate's checks and its journal. No such
  composition trades; it shows what the engine costs.
- `gate`: our engine, which proposes to a gate in another process by its socket.

Times are nanoseconds of CLOCK_BOOTTIME. `floor` and `one` tell when each frame was handed to us and when the call that wrote the order came back.
"""

import asyncio
import gc
import hashlib
import hmac
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.live_exchange import CENTRE_TICKS, now_ns
from interlock.domain.clock import NS_PER_S, SystemClock
from interlock.domain.orders import OrderState
from interlock.engine.engine import Engine
from interlock.engine.gate_line import GateLine
from interlock.engine.inputs import VERSION, Header, InputLog
from interlock.engine.lines import hot_lines
from interlock.gate import records
from interlock.gate.frames import Decided, Decision, Followed, OrderNow, Proposal
from interlock.gate.records import Level
from interlock.gate.venue_socket_wire import SocketOrderWire
from interlock.market.compiled import compiled
from interlock.market.shipped import SHIPPED
from interlock.simulate.settings import InstrumentSettings, ReplaySettings, VenueSettings
from interlock.simulate.world import Strategy
from interlock.strategies.contract import KERNEL, PLACE, TIF_IOC, WAKE_PRICE, WAKE_SIZE
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.hosts import Hosts
from interlock.venues.order_parts import verbs_at
from interlock.venues.request import Key
from interlock.venues.socket import Socket, connect_picows

INSTRUMENT = SHIPPED["bybit:BTCUSDT"]
SECRET = "k" * 40
ORDER_TICKS = CENTRE_TICKS - 500
"""Below every ask of both books, so that an order ends at once."""
END_S = 60.0


@compiled(KERNEL)
def answer_each(view: Any, books: Any, depth: Any, orders: Any, params: Any, state: Any, now_ns: int, intents: Any) -> int:
    """One order for each change of the best levels, while none is open; no way to earn money."""
    book = books[0]
    if book.bid_ticks == 0 or view[0].orders_high > 0:
        return 0
    intent = intents[0]
    intent.kind = PLACE
    intent.slot = -1
    intent.instrument = 0
    intent.side = 1
    intent.tif = TIF_IOC
    intent.ticks = int(params[0])
    intent.lots = 1
    intent.tag = 0
    intent.reduce_only = 0
    return 1


class Times:
    """When frames came and orders went."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.frame_ns: list[int] = []
        self.written_ns: list[int] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wrote(self, frame_ns: int) -> None:
        """An order went out for the frame of that time."""
        self.written_ns.append(now_ns())
        self.frame_ns.append(frame_ns)
        if len(self.frame_ns) >= self.count and not self.over.done():
            self.over.set_result(None)


# The floor


class _Data(msgspec.Struct):
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: int
    seq: int


class _Message(msgspec.Struct):
    topic: str
    type: str
    ts: int
    data: _Data
    cts: int


class _Floor(WSListener):
    """Decode, keep a book, decide, sign, write."""

    def __init__(self, trade: WSTransport, times: Times) -> None:
        super().__init__()
        self._decode = msgspec.json.Decoder(_Message).decode
        self._trade = trade
        self._times = times
        self._bids: dict[int, float] = {}
        self._asks: dict[int, float] = {}
        self._begun = False

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame of the book, and the order for it."""
        came_ns = now_ns()
        if frame.msg_type is not WSMsgType.TEXT:
            return
        data = self._decode(frame.get_payload_as_bytes()).data
        for side, levels in ((self._bids, data.b), (self._asks, data.a)):
            for price, size in levels:
                ticks = int(price.replace(".", ""))
                if size == "0":
                    side.pop(ticks, None)
                else:
                    side[ticks] = float(size)
        bid = max(self._bids)
        if not self._begun:
            self._begun = True
            return
        body = (
            f'{{"reqId":"r{data.u}","header":{{"X-BAPI-TIMESTAMP":"{time.time_ns() // 1_000_000}","X-BAPI-RECV-WINDOW":"5000"}},'
            f'"op":"order.create","args":[{{"symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"{bid / 100}",'
            f'"category":"linear","timeInForce":"IOC","orderLinkId":"floor-{data.u}"}}]'
        ).encode()
        sign = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
        self._trade.send(WSMsgType.TEXT, body + b',"sign":"' + sign.encode() + b'"}')
        self._times.wrote(came_ns)


async def floor(port: int, times: Times) -> None:
    """The floor."""
    trade, _ = await ws_connect(WSListener, f"ws://127.0.0.1:{port}/trade")
    feed, _ = await ws_connect(lambda: _Floor(trade, times), f"ws://127.0.0.1:{port}/feed")
    feed.send(WSMsgType.TEXT, b'{"op":"subscribe"}')
    await asyncio.sleep(0.5)
    begin(feed.send)
    await times.over
    feed.disconnect()


def begin(send: Any) -> None:
    """From here on what is there stays, and the first frame may come."""
    gc.collect()
    gc.freeze()
    gc.disable()
    send(WSMsgType.TEXT, b"next")


# Our engine


class OwnWay:
    """Stands in for the line to the gate: makes the order by the gate's wire and writes it at once, and it ends at once."""

    there = True

    def __init__(self, trade: WSTransport, endpoint: Endpoint, times: Times, engine: "list[Engine]") -> None:
        verbs = verbs_at("bybit", {INSTRUMENT.symbol: INSTRUMENT})
        self._wire = SocketOrderWire("bybit", verbs, Key("key", SECRET), endpoint, 2 * NS_PER_S, random.randbytes)
        self._trade = trade
        self._times = times
        self._engine = engine
        self._version = 0

    async def run(self) -> None:
        """Say that the gate trades, and stay."""
        self._tell(())
        await asyncio.get_running_loop().create_future()

    def _tell(self, orders: tuple[OrderNow, ...]) -> None:
        self._version += 1
        told = Followed(version=self._version, whole=not orders, level=Level.RUN, armed=True, orders=orders, positions=())
        self._engine[0].on_followed(told, msgspec.msgpack.encode(told))

    def propose(self, numbers: Sequence[int], proposals: Sequence[Proposal]) -> bool:
        """Write the order."""
        (one,) = proposals
        client_id = f"b{one.sequence:020d}"
        intent = records.Intent(
            boot_ns=one.created_boot_ns,
            client_id=client_id,
            revision=0,
            group="",
            strategy=one.strategy,
            venue=one.venue,
            account="main",
            symbol=one.symbol,
            side=one.side,
            type=one.type,
            tif=one.tif,
            reduce_only=one.reduce_only,
            ticks=one.ticks,
            lots=one.lots,
            sequence=one.sequence,
            created_boot_ns=one.created_boot_ns,
            deadline_boot_ns=one.deadline_boot_ns,
            books=one.books,
        )
        self._trade.send(WSMsgType.TEXT, self._wire.placement(intent, time.time_ns()))
        self._times.wrote(one.created_boot_ns)
        asyncio.get_running_loop().call_soon(self._ended, numbers, client_id, one)
        return True

    def _ended(self, numbers: Sequence[int], client_id: str, one: Proposal) -> None:
        (engine,) = self._engine
        engine.on_decided(numbers, Decided(decisions=(Decision(result="PERMIT", rule="", client_id=client_id),)))
        self._tell(
            (
                OrderNow(
                    client_id=client_id,
                    strategy=one.strategy,
                    venue=one.venue,
                    symbol=one.symbol,
                    side=one.side,
                    ticks=one.ticks,
                    lots=one.lots,
                    filled_lots=0,
                    state=OrderState.EXPIRED,
                    owed=False,
                ),
            )
        )

    def take_back(self, _client_ids: Sequence[str], _reason: str) -> bool:
        """Nothing rests."""
        return True


class _Told:
    """The line to the gate, which besides asks for the next frame when the order for the last one has ended."""

    def __init__(self, path: Path, engine: "list[Engine]", times: Times, ask: Any) -> None:
        self._engine = engine
        self._times = times
        self._ask = ask
        self._open = 0
        self.line = GateLine(
            path,
            on_followed=self._followed,
            on_decided=self._decided,
            on_lost=lambda why, under_way: engine[0].on_lost(why, under_way),
        )

    def _decided(self, numbers: Sequence[int], decided: Decided) -> None:
        self._engine[0].on_decided(numbers, decided)
        for one in decided.decisions:
            if one.result != "PERMIT":
                raise RuntimeError(f"expected a permit, found {one}")
        self._count()

    def _followed(self, told: Followed, body: bytes) -> None:
        self._engine[0].on_followed(told, body)
        self._count()

    def _count(self) -> None:
        """An order has ended when none is open any more and another was proposed since."""
        engine = self._engine[0]
        proposed = engine.counts["proposed"]
        if proposed > len(self._times.frame_ns) and engine.core.side.open_orders == 0:
            self._times.wrote(now_ns())
            self._ask()


async def ours(port: int, times: Times, intent: Path | None) -> None:
    """Our engine; with a socket of a gate, through that."""
    socket: list[Socket] = []

    async def connect(endpoint: Endpoint, path: str, headers: Any, on_frame: Any, on_end: Any) -> Socket:
        found = await connect_picows(endpoint, path, headers, on_frame, on_end)
        socket[:] = [found]
        return found

    public = Endpoint(Where.LOOPBACK, "127.0.0.1", port, tls=False)
    hosts = Hosts(rest=public, public=public, private=public, trade=public, wallet=None)
    engines: list[Engine] = []
    if intent is None:
        trade, _ = await ws_connect(WSListener, f"ws://127.0.0.1:{port}/trade")
        line: Any = OwnWay(trade, public, times, engines)
    else:
        line = _Told(intent, engines, times, lambda: socket[0].send(b"next")).line
    strategy = Strategy("answer_each", answer_each, np.array([float(ORDER_TICKS)]), 1, WAKE_PRICE | WAKE_SIZE)
    settings = ReplaySettings(venues={"bybit": VenueSettings(0, 0, 0)}, instruments={INSTRUMENT.key: InstrumentSettings(1_000_000)})
    lines = hot_lines((INSTRUMENT,))
    boot_ns, wall_ns = now_ns(), time.time_ns()
    with tempfile.TemporaryDirectory() as folder:
        header = Header(
            version=VERSION,
            epoch_ns=wall_ns,
            boot_offset_ns=wall_ns - boot_ns,
            sequence_base=boot_ns // 1000,
            strategy="demo",
            config="",
            source="",
            instruments=(INSTRUMENT,),
            state=(0.0,),
        )
        log = InputLog(Path(folder) / "inputs.log", header)
        engine = Engine(
            (INSTRUMENT,),
            settings,
            strategy,
            "demo",
            lines,
            {"bybit": hosts},
            line,
            log,
            clock=SystemClock(),
            boot_ns=now_ns,
            epoch_ns=wall_ns,
            boot_offset_ns=wall_ns - boot_ns,
            sequence_base=boot_ns // 1000,
            connect=connect,
            chance=random.random,
            say=lambda text: None,
        )
        engines.append(engine)
        work = asyncio.create_task(engine.run())
        await _until_ready(engine, work)
        begin(lambda _kind, text: socket[0].send(text))
        await asyncio.wait((times.over, work), return_when=asyncio.FIRST_COMPLETED, timeout=END_S)
        if work.done():
            work.result()
        if not times.over.done():
            raise RuntimeError(
                f"{len(times.frame_ns)} of {times.count} orders in {END_S} s: {dict(engine.counts)}, {engine.core.side.bars(0)}"
            )
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        log.close()


async def _until_ready(engine: Engine, work: "asyncio.Task[None]") -> None:
    """Until the book is whole and the gate trades."""
    for _ in range(2_000):
        if not engine.core.side.bars(0):
            return
        if work.done():
            work.result()
        await asyncio.sleep(0.01)
    raise RuntimeError(f"expected a book and a gate that trades, found {engine.core.side.bars(0)}, {engine.feeds[0].counts}")


async def main(way: str, port: int, count: int, intent: Path | None) -> None:
    """Run one way and tell its times."""
    times = Times(count)
    if way == "floor":
        await floor(port, times)
    else:
        await ours(port, times, intent)
    print(json.dumps({"frame_ns": times.frame_ns, "written_ns": times.written_ns}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]) if len(sys.argv) > 4 else None))
