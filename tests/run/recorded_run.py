"""The folder of a run without its processes: the engine that runs live hears a scripted market, and a gate that permits all writes a journal.

What the engine wants goes its whole way, to the proposals that it makes; the journal is written from those, so that log and journal know nothing of
each other. Both can be written again with something else in them.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
from tests.run.live_ground import example

from interlock.domain.clock import ManualClock
from interlock.domain.orders import OrderState
from interlock.engine.engine import Engine
from interlock.engine.gate_line import GateLine
from interlock.engine.inputs import MAGIC, VERSION, Header, Input, InputLog, InputsRead, Kind
from interlock.engine.lines import hot_lines
from interlock.gate import records as r
from interlock.gate.condition_watch import edge_collapse
from interlock.gate.frames import Decided, Decision, Edge, Executed, Followed, OrderNow, Proposal
from interlock.gate.journal import Options, SystemDisk, open_journal
from interlock.market.compiled import source_digest
from interlock.market.shipped import SHIPPED
from interlock.run.config import load_config
from interlock.run.live_plan import live_plan
from interlock.venues.endpoint import Where
from interlock.venues.hosts import Hosts, hosts_of

MS = 1_000_000
S = 1_000_000_000
EPOCH_NS = 1_700_000_000 * S
BOOT_NS = 5_000 * S
"""CLOCK_BOOTTIME at the start of the first life."""
BTC = SHIPPED["bybit:BTCUSDT"]
SMALL = Options(segment_bytes=1 << 20, batch_bytes=1 << 16, reserve_bytes=1 << 16)
PLAN = live_plan(load_config(example()), example(), (BTC,))


def frame(update: int, bid: int, boot_ns: int) -> bytes:
    """A whole book of one level a side, a tick wide."""
    prices = [f"{ticks // 10}.{ticks % 10}" for ticks in (bid, bid + 1)]
    at_ms = (EPOCH_NS - BOOT_NS + boot_ns) // MS
    data = {"s": "BTCUSDT", "b": [[prices[0], "1"]], "a": [[prices[1], "1"]], "u": update, "seq": update}
    kind = {"topic": "orderbook.50.BTCUSDT", "type": "snapshot", "ts": at_ms, "data": data, "cts": at_ms}
    return json.dumps(kind, separators=(",", ":")).encode()


@dataclass
class YesGate:
    """Permits whatever is proposed at once, writes it down, and tells that it rests, or that it is cancelled."""

    engine: list[Engine] = field(default_factory=list)
    records: list[r.Record] = field(default_factory=list)
    orders: dict[str, Proposal] = field(default_factory=dict)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    there: bool = True
    fills: bool = False
    """Every order is filled as soon as it rests, at its price; what it costs goes to the venue."""

    def propose(self, numbers: Sequence[int], proposals: Sequence[Proposal]) -> bool:
        ids = [f"mkb1{one.sequence:024d}" for one in proposals]
        for client_id, one in zip(ids, proposals, strict=True):
            self.orders[client_id] = one
            self.records += [intent_of(client_id, one), permit_of(client_id, one.created_boot_ns)]
        decided = Decided(decisions=tuple(Decision(result="PERMIT", rule="", client_id=client_id) for client_id in ids))
        self.waiting.append(lambda: self.engine[0].on_decided(numbers, decided))
        self.waiting.append(lambda: self.tell(ids, OrderState.OPEN))
        if self.fills:
            self.waiting.append(lambda: self.tell(ids, OrderState.FILLED))
        return True

    def tell_edge(self, edge: Edge) -> None:
        latch = edge_collapse(
            Decimal(edge.measured_bps),
            Decimal(edge.threshold_bps),
            scope=r.Scope.STRATEGY,
            subject=edge.strategy,
            boot_ns=self.engine[0].now_ns() - EPOCH_NS + BOOT_NS,
        )
        assert latch is not None
        self.records.append(latch)

    def take_back(self, client_ids: Sequence[str], reason: str) -> bool:
        boot_ns = self.engine[0].now_ns() - EPOCH_NS + BOOT_NS
        self.records += [r.CancelWanted(boot_ns=boot_ns, client_id=one, reason=reason, actor="engine") for one in client_ids]
        self.waiting.append(lambda: self._cancelled(client_ids))
        return True

    def _cancelled(self, client_ids: Sequence[str]) -> None:
        self.tell(client_ids, OrderState.CANCELLED)
        for one in client_ids:
            del self.orders[one]

    def tell(self, client_ids: Sequence[str], state: OrderState) -> None:
        told = Followed(
            version=1, whole=False, level=r.Level.RUN, armed=True, orders=tuple(self._now(one, state) for one in client_ids), positions=()
        )
        self.engine[0].on_followed(told, msgspec.msgpack.encode(told))

    def answer(self) -> None:
        """What has been asked is answered, and whatever that leads to."""
        while self.waiting:
            self.waiting.pop(0)()

    def _now(self, client_id: str, state: OrderState) -> OrderNow:
        one = self.orders[client_id]
        filled = one.lots if state is OrderState.FILLED else 0
        return OrderNow(
            client_id=client_id,
            strategy=one.strategy,
            venue=one.venue,
            symbol=one.symbol,
            side=one.side,
            ticks=one.ticks,
            lots=one.lots,
            filled_lots=filled,
            state=state,
            owed=False,
            executed=Executed(tick_lots=Decimal(one.ticks * filled), fees=(("USDT", Decimal("0.01")),)) if filled else None,
        )


def intent_of(client_id: str, one: Proposal) -> r.Intent:
    """As the gate writes a proposal down."""
    return r.Intent(
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


def permit_of(client_id: str, boot_ns: int, grant_id: str = "g") -> r.Permit:
    """A yes to it."""
    return r.Permit(
        boot_ns=boot_ns,
        client_id=client_id,
        revision=0,
        grant_id=grant_id,
        epoch=1,
        mandate="",
        cap_usd=Decimal(100),
        notional_usd=Decimal(10),
        evaluations=(),
        books=(),
        usd_rates=(),
        body_hash="",
        deadline_boot_ns=boot_ns + S,
        wall_ns=EPOCH_NS,
    )


@dataclass
class RecordedRun:
    """A folder, and the records of its journal."""

    folder: Path
    records: list[r.Record] = field(default_factory=list)
    more: str = ""
    """Beside what the example says."""
    fills: bool = False

    def live(self, began_s: float = 0.0, frames: int = 160) -> Path:
        """One engine's life over so many frames, 50 ms apart; its log."""
        gate = YesGate(fills=self.fills)
        clock = ManualClock(EPOCH_NS + round(began_s * S))
        began_ns = clock.now_ns()
        (self.folder / "engine").mkdir(parents=True, exist_ok=True)
        config = self.folder / "config.toml"
        config.write_text(example().read_text(encoding="utf-8") + self.more, encoding="utf-8")
        plan = live_plan(load_config(config), config, (BTC,)) if self.more else PLAN
        path = self.folder / "engine" / f"inputs-{began_ns}.log"
        base = (began_ns - EPOCH_NS + BOOT_NS) // 1_000
        log = InputLog(path, header(began_ns, base, config))
        hosts: Hosts = hosts_of("bybit", Where.TESTNET)
        engine = Engine(
            PLAN.instruments,
            PLAN.settings,
            PLAN.strategy,
            "making",
            hot_lines(PLAN.instruments),
            {"bybit": hosts},
            _line(gate),
            log,
            clock=clock,
            boot_ns=lambda: clock.now_ns() - EPOCH_NS + BOOT_NS,
            epoch_ns=began_ns,
            boot_offset_ns=EPOCH_NS - BOOT_NS,
            sequence_base=base,
            connect=_no_connection,
            chance=lambda: 0.5,
            say=lambda _text: None,
            edge=plan.edge,
        )
        gate.engine.append(engine)
        clock.advance(S // 2)  # until something is heard
        engine.take(Kind.FRAME, 0, frame(1, 600_000, clock.now_ns() - EPOCH_NS + BOOT_NS))
        engine.take(Kind.FRESH, 0, b"1")
        gate.tell((), OrderState.OPEN)
        bid = 600_000
        for number in range(frames):
            clock.advance(50 * MS)
            if number % 30 == 0:
                # Far enough that quotes are moved, seldom enough that the venue's budget of messages lasts.
                bid += (30, -45, 60, -50)[number // 30 % 4]
            engine.take(Kind.FRAME, 0, frame(2 + number, bid, clock.now_ns() - EPOCH_NS + BOOT_NS))
            if number % 2:
                engine.take(Kind.TIMER)
            gate.answer()
        log.flush()
        log.close()
        self.records += gate.records
        return path

    def write_journal(self) -> None:
        """Put the records down, in place of a journal that is there."""
        shutil.rmtree(self.folder / "journal", ignore_errors=True)
        journal, _ = open_journal(SystemDisk(), self.folder / "journal", schema=r.SCHEMA, incarnation=b"i" * 16, options=SMALL)
        try:
            for one in self.records:
                journal.append(r.encode(one))
            journal.commit()
        finally:
            journal.close()


def header(began_ns: int, base: int, config: Path | None = None) -> Header:
    """What the log of a life begins with."""
    return Header(
        version=VERSION,
        epoch_ns=began_ns,
        boot_offset_ns=EPOCH_NS - BOOT_NS,
        sequence_base=base,
        strategy="making",
        config=load_config(config or example()).digest,
        source=source_digest(),
        instruments=PLAN.instruments,
        state=(0.0,) * max(PLAN.strategy.state_size, 1),
    )


def rewrite(log: Path, change: Callable[[list[Input]], list[Input]], *, end: bool = True) -> None:
    """Write a log again with other inputs, checksums and all; without `end` as one that was cut off."""
    read = InputsRead(log)
    inputs = change([one for one in read if one.kind is not Kind.END])
    log.unlink()
    again = InputLog(log, read.header)
    for one in inputs:
        again.write(one)
    again.flush()
    again.close()
    if not end:
        os.truncate(log, blocks(log)[-1])


def blocks(log: Path) -> list[int]:
    """Where the blocks of a log begin; the last holds nothing but that the engine ended in order."""
    data, at = log.read_bytes(), len(MAGIC)
    found = []
    while at < len(data):
        found.append(at)
        at += 12 + int(struct.unpack_from("<I", data, at)[0])
    return found


def _line(gate: YesGate) -> GateLine:
    return cast(GateLine, gate)  # it has what the engine asks of a line


async def _no_connection(*_: Any) -> Any:
    raise AssertionError("nobody connects here")
