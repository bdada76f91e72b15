"""The engine with its connections: what is heard becomes an input, what the core wants goes to the gate."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from interlock.domain.clock import NS_PER_MS, NS_PER_S, Clock
from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.engine.core import Core, Said, told_actions
from interlock.engine.edge import EdgeCollapse, EdgeRule
from interlock.engine.gate_line import GateLine
from interlock.engine.inputs import Input, InputLog, Kind
from interlock.engine.lines import HotLine, consumed
from interlock.engine.side import Action, Bar, Place, TakeBack
from interlock.gate.frames import Decided, Edge, Followed, Proposal
from interlock.gate.records import Book, Level
from interlock.simulate.settings import ReplaySettings
from interlock.simulate.world import Strategy
from interlock.strategies.contract import TIF_FOK, TIF_GTC, TIF_IOC, TIF_POST_ONLY
from interlock.venues.feed import Reject, Taken
from interlock.venues.hosts import Hosts
from interlock.venues.http_reader import HttpReader
from interlock.venues.live import Fresh, LiveFeed
from interlock.venues.port import Heard
from interlock.venues.request import Call, SignedCall
from interlock.venues.socket import Connect

LOOK_S: Final = 0.02
STALE_NS: Final = 2 * NS_PER_S
DEADLINE_NS: Final = 500 * NS_PER_MS
"""A proposal that is not on the wire so long after its decision is not sent any more."""
READ_S: Final = 5.0
PERMIT: Final = "PERMIT"
TAKEN_BACK: Final = "the strategy"
"""The reason of a cancel that a decision asked for."""

PROPOSED_TIFS: Final = {
    TIF_GTC: TimeInForce.GTC,
    TIF_IOC: TimeInForce.IOC,
    TIF_FOK: TimeInForce.FOK,
    TIF_POST_ONLY: TimeInForce.POST_ONLY,
}


class Engine:
    """`run` until cancelled. `clock` is the wall's only for the time of the start; everything after is counted by CLOCK_BOOTTIME (`boot_ns`)."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        settings: ReplaySettings,
        strategy: Strategy,
        strategy_name: str,
        lines: Sequence[HotLine],
        hosts: Mapping[str, Hosts],
        gate: GateLine | None,
        log: InputLog | None,
        *,
        clock: Clock,
        boot_ns: Callable[[], int],
        epoch_ns: int,
        boot_offset_ns: int,
        sequence_base: int,
        connect: Connect,
        chance: Callable[[], float],
        say: Callable[[str], None],
        edge: EdgeRule | None = None,
    ) -> None:
        self._instruments = tuple(instruments)
        self._name = strategy_name
        self._log = log
        self._boot_ns = boot_ns
        self._offset_ns = boot_offset_ns
        self._base = sequence_base
        self._say = say
        self._timer_ns = strategy.timer_period_ns
        self.gate = gate
        self.counts: Counter[str] = Counter()
        carrier = {k: number for number, line in enumerate(lines) for k in line.books}
        self.core = Core(
            instruments, settings, strategy, [line.reading for line in lines], [carrier[k] for k in range(len(instruments))], epoch_ns, edge
        )
        self._gate_trades = False
        self._carrier = carrier
        self._readers = {venue: HttpReader(one.public_rest) for venue, one in hosts.items()}
        self.feeds: list[LiveFeed] = []
        for number, line in enumerate(lines):
            symbols = [one.symbol for one in self._instruments if one.venue == line.venue]
            wire, feed = consumed(number, line, symbols, self._consume)
            self.feeds.append(
                LiveFeed(
                    hosts[line.venue].public,
                    wire,
                    feed,
                    tuple(self._instruments[k].symbol for k in line.books),
                    connect=connect,
                    ask=self._asker(line.venue),
                    clock=clock,
                    chance=chance,
                    stale_ns=STALE_NS,
                    on_frame=self._ignore,
                )
            )

    # Inputs

    def now_ns(self) -> int:
        """The kernel's now: wall time at the start, and on by CLOCK_BOOTTIME."""
        return self._boot_ns() + self._offset_ns

    def take(self, kind: Kind, number: int = 0, data: bytes = b"") -> None:
        """Consume an input now, and do what comes of it."""
        now_ns = self.now_ns()
        one = Input(kind, now_ns, number, data)
        actions = self.core.take(one)
        if actions:
            self._act(actions, now_ns)
        if self._log is not None:
            # After the orders are on their way: the log is not what they wait for.
            self._log.write(one)
            if actions:
                self._log.write(Input(Kind.ACTIONS, now_ns, len(actions), told_actions(actions)))

    def _consume(self, kind: Kind, number: int, data: bytes) -> Said:
        self.take(kind, number, data)
        return self.core.said

    @staticmethod
    def _ignore(_frame: bytes, _receive_ns: int, _said: Taken | Reject) -> None:
        """What a frame said was consumed when it was read."""

    def _asker(self, venue: str) -> Callable[[Call], asyncio.Future[Heard]]:
        def ask(call: Call) -> asyncio.Future[Heard]:
            signed = SignedCall(call.method, call.path, call.query, (), call.body)
            return asyncio.ensure_future(self._readers[venue].ask(signed, READ_S))

        return ask

    # The gate

    def on_followed(self, told: Followed, body: bytes) -> None:
        """What the gate tells of orders and positions."""
        if told.orders or told.positions or told.whole:
            self.take(Kind.TOLD, 0, body)
        trades = told.armed and told.level is Level.RUN
        if trades != self._gate_trades:
            self._gate_trades = trades
            self._say(
                f"the gate {'trades' if trades else 'does not trade'}: {'armed' if told.armed else 'not armed'}, level {told.level.value}"
            )
            self.take(Kind.GATE, int(trades))

    def on_decided(self, numbers: Sequence[int], decided: Decided) -> None:
        """What became of proposals."""
        pairs = []
        for number, decision in zip(numbers, decided.decisions, strict=True):
            permitted = decision.result == PERMIT
            self.counts["permitted" if permitted else f"denied: {decision.rule}"] += 1
            pairs.append((number, decision.client_id if permitted else ""))
        self.take(Kind.DECIDED, 0, msgspec.msgpack.encode(pairs))

    def on_lost(self, why: str, under_way: bool) -> None:
        """The gate was lost."""
        self.counts["gate lost"] += 1
        self._say(f"the gate was lost: {why}")
        if self._gate_trades:
            self._gate_trades = False
            self.take(Kind.GATE, 0)
        if under_way:
            self.take(Kind.UNDECIDED)

    def _act(self, actions: Sequence[Action], now_ns: int) -> None:
        for one in actions:
            if isinstance(one, EdgeCollapse):
                self._tell_edge(one)
        places = [one for one in actions if isinstance(one, Place)]
        backs = tuple(one.client_id for one in actions if isinstance(one, TakeBack))
        if places and self.gate is None:
            # Nobody to propose to: what would have been proposed is a signal, and is over.
            self.counts["signals"] += len(places)
            asyncio.get_running_loop().call_soon(self.take, Kind.DECIDED, 0, msgspec.msgpack.encode([(one.seq, "") for one in places]))
        elif places:
            self.counts["proposed"] += len(places)
            assert self.gate is not None
            proposed = self.gate.propose([one.seq for one in places], [self.proposal(one, now_ns) for one in places])
            if not proposed:
                self.counts["not proposed: no gate"] += len(places)
                asyncio.get_running_loop().call_soon(self.take, Kind.DECIDED, 0, msgspec.msgpack.encode([(one.seq, "") for one in places]))
        if backs:
            self.counts["taken back"] += len(backs)
            if self.gate is None or not self.gate.take_back(backs, TAKEN_BACK):
                self.counts["not taken back: no gate"] += len(backs)

    def _tell_edge(self, collapse: EdgeCollapse) -> None:
        self.counts["edge collapsed"] += 1
        self._say(f"the edge has collapsed: measured {collapse.measured_bps} bps, expected at least {collapse.threshold_bps}")
        if self.gate is not None:
            self.gate.tell_edge(Edge(strategy=self._name, measured_bps=collapse.measured_bps, threshold_bps=collapse.threshold_bps))

    def proposal(self, place: Place, now_ns: int) -> Proposal:
        """What is proposed to the gate for an order that is wanted now."""
        instrument = self._instruments[place.instrument]
        bid, ask = self.core.side.top(place.instrument)
        boot_ns = now_ns - self._offset_ns
        # As old as it is, not as the decision: the gate judges that age.
        seen_ns = self.core.side.book_ns(place.instrument) - self._offset_ns
        book = Book(venue=instrument.venue, symbol=instrument.symbol, bid_ticks=bid, ask_ticks=ask, boot_ns=max(seen_ns, 0))
        return Proposal(
            venue=instrument.venue,
            symbol=instrument.symbol,
            side=Side(place.side),
            type=OrderType.LIMIT,
            tif=PROPOSED_TIFS[place.tif],
            ticks=place.ticks,
            lots=place.lots,
            strategy=self._name,
            sequence=self._base + place.seq,
            created_boot_ns=boot_ns,
            deadline_boot_ns=boot_ns + DEADLINE_NS,
            reduce_only=place.reduce_only,
            books=(book,),
        )

    # The loop

    async def run(self) -> None:
        """Work until cancelled."""
        if self.gate is None:
            self.take(Kind.GATE, 1)
        duties: list[Any] = [feed.run() for feed in self.feeds]
        duties.append(self._look_again_and_again())
        if self.gate is not None:
            duties.append(self.gate.run())
        try:
            async with asyncio.TaskGroup() as group:
                for duty in duties:
                    group.create_task(duty)
        finally:
            for reader in self._readers.values():
                reader.close()

    async def _look_again_and_again(self) -> None:
        """Whether each book may be used, and the strategy's timer."""
        next_ns = self.now_ns() + self._timer_ns
        while True:
            await asyncio.sleep(LOOK_S)
            for k, instrument in enumerate(self._instruments):
                fresh = isinstance(self.feeds[self._carrier[k]].freshness(instrument.symbol), Fresh)
                if fresh is (Bar.NO_BOOK in self.core.side.bars(k)):
                    self.take(Kind.FRESH, k, b"1" if fresh else b"0")
            if self._timer_ns and self.now_ns() >= next_ns:
                next_ns = self.now_ns() + self._timer_ns
                self.take(Kind.TIMER)
            if self._log is not None:
                self._log.check()
