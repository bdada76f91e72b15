"""Warming up: an engine of its own decides a made-up market, so that nothing is done for the first time when it counts.

Kernels are compiled before; what is left are the first calls: numba looks at the types of its arguments, the decoders build their tables, Python
specialises the code that it runs. The engine that does it has the same instruments, limits and strategy and no connection, and is thrown away:
nothing of it, neither state nor numbers nor time, reaches the one that trades.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

from interlock.domain.clock import NS_PER_MS, NS_PER_S, ManualClock
from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderState
from interlock.engine.core import told_actions
from interlock.engine.engine import PERMIT, Engine
from interlock.engine.gate_line import GateLine
from interlock.engine.inputs import Kind
from interlock.engine.lines import hot_lines
from interlock.engine.side import Place
from interlock.gate.frames import LENGTH_BYTES, CancelOwn, Decided, Decision, Followed, OrderNow, Proposal, Propose, decode, encode
from interlock.gate.records import Level
from interlock.simulate.settings import ReplaySettings
from interlock.simulate.world import Strategy
from interlock.strategies.contract import TIF_GTC
from interlock.venues.hosts import Hosts
from interlock.venues.socket import Socket

ROUNDS: Final = 32
"""Frames of each instrument. Python specialises code after a handful of calls; more makes no call faster."""
CALLS: Final = 8
STEP_NS: Final = 150 * NS_PER_MS
CENTRE_TICKS: Final = 100_000
MOVES: Final = (0, 6, -4, 12, 3, -9)
"""How far the price is from the first one, in price steps of a ten-thousandth: quotes have to follow it."""


@dataclass(frozen=True, slots=True)
class Warmed:
    """What was done: books that were taken and frames that were refused, calls of the kernel, orders that it wanted placed and taken back."""

    frames: int
    rejected: int
    decisions: int
    placed: int
    taken_back: int


def warm_up(
    instruments: Sequence[Instrument],
    settings: ReplaySettings,
    strategy: Strategy,
    strategy_name: str,
    hosts: Mapping[str, Hosts],
    at_ns: int,
) -> Warmed:
    """Decide some seconds of a made-up market from `at_ns` on (nanoseconds since the Unix epoch). Raises what the code that trades would raise."""
    clock = ManualClock(at_ns)
    gate = _Gate()
    lines = hot_lines(instruments)
    engine = Engine(
        instruments,
        settings,
        strategy,
        strategy_name,
        lines,
        hosts,
        cast(GateLine, gate),
        None,
        clock=clock,
        boot_ns=clock.now_ns,
        epoch_ns=at_ns,
        boot_offset_ns=0,
        sequence_base=0,
        connect=_nowhere,
        chance=lambda: 0.5,
        say=lambda _text: None,
    )
    gate.engine = engine
    markets = [_Market(one, at_ns) for one in instruments]
    carried = {k: number for number, line in enumerate(lines) for k in line.books}
    numbers = {one.key: k for k, one in enumerate(instruments)}
    said: Counter[bool] = Counter()
    gate.tell((), OrderState.OPEN)
    for turn in range(ROUNDS):
        for market in markets:
            k = numbers[market.instrument.key]
            clock.advance(STEP_NS // len(markets))
            for kind, data in market.told(turn, clock.now_ns()):
                engine.take(kind, carried[k], data)
                said[hasattr(engine.core.said, "rows")] += 1
            if turn == 0:
                engine.take(Kind.FRESH, k, b"1")
            gate.answer()
        engine.take(Kind.TIMER)
        gate.answer()
    _through_the_codec(engine, len(instruments), clock.now_ns())
    return Warmed(said[True], said[False], engine.core.side.decisions, engine.counts["proposed"], engine.counts["taken back"])


def _through_the_codec(engine: Engine, count: int, now_ns: int) -> None:
    """A strategy that found nothing to do in the made-up market has proposed nothing; its first order must not be the first one here either."""
    for _ in range(CALLS):
        for k in range(count):
            place = Place(slot=0, seq=0, instrument=k, side=1, tif=TIF_GTC, ticks=1, lots=1, reduce_only=False)
            told_actions([place])
            decode(encode(Propose(proposals=(engine.proposal(place, now_ns),)))[LENGTH_BYTES:])


async def _nowhere(*_: Any) -> Socket:
    raise ConnectionError("warming up needs no connection")


@dataclass
class _Gate:
    """Permits everything; each word goes through the codec of the sockets, there and back."""

    engine: Engine | None = None
    waiting: list[Callable[[], None]] = field(default_factory=list)
    orders: dict[str, Proposal] = field(default_factory=dict)

    def propose(self, numbers: Sequence[int], proposals: Sequence[Proposal]) -> bool:
        """Permit them; told later, as a gate's answers are."""
        request = decode(encode(Propose(proposals=tuple(proposals)))[LENGTH_BYTES:])
        assert isinstance(request, Propose)
        ids = tuple(f"warm{one.sequence:024d}" for one in request.proposals)
        self.orders.update(zip(ids, request.proposals, strict=True))
        self.waiting.append(lambda: self._decided(numbers, ids))
        self.waiting.append(lambda: self.tell(ids, OrderState.OPEN))
        return True

    def take_back(self, client_ids: Sequence[str], reason: str) -> bool:
        """They are cancelled; told later."""
        encode(CancelOwn(client_ids=tuple(client_ids), reason=reason))
        self.waiting.append(lambda: self.tell(client_ids, OrderState.CANCELLED))
        return True

    def answer(self) -> None:
        """Tell what is to be told, and whatever that leads to."""
        while self.waiting:
            self.waiting.pop(0)()

    def tell(self, client_ids: Sequence[str], state: OrderState) -> None:
        """How these orders stand."""
        orders = tuple(_now(one, self.orders[one], state) for one in client_ids)
        body = encode(Followed(version=1, whole=False, level=Level.RUN, armed=True, orders=orders, positions=()))[LENGTH_BYTES:]
        told = decode(body)
        assert isinstance(told, Followed)
        assert self.engine is not None
        self.engine.on_followed(told, body)

    def _decided(self, numbers: Sequence[int], ids: Sequence[str]) -> None:
        answer = Decided(decisions=tuple(Decision(result=PERMIT, rule="", client_id=one) for one in ids))
        decided = decode(encode(answer)[LENGTH_BYTES:])
        assert isinstance(decided, Decided)
        assert self.engine is not None
        self.engine.on_decided(numbers, decided)


def _now(client_id: str, one: Proposal, state: OrderState) -> OrderNow:
    return OrderNow(
        client_id=client_id,
        strategy=one.strategy,
        venue=one.venue,
        symbol=one.symbol,
        side=one.side,
        ticks=one.ticks,
        lots=one.lots,
        filled_lots=0,
        state=state,
        owed=False,
    )


class _Market:
    """One instrument's book, two levels a side, in the words of its venue."""

    def __init__(self, instrument: Instrument, at_ns: int) -> None:
        self.instrument = instrument
        day = datetime.fromtimestamp(at_ns // NS_PER_S, UTC).date()
        self._step = instrument.ladder_step(CENTRE_TICKS // 2, CENTRE_TICKS * 2, day)
        while self._step * 1_000 > CENTRE_TICKS:
            self._step = max(1, self._step // 10)
        self._centre = CENTRE_TICKS // self._step * self._step
        self._book: list[list[tuple[str, str]]] = [[], []]

    def told(self, turn: int, now_ns: int) -> list[tuple[Kind, bytes]]:
        """What the venue says of the book at a turn; the whole of it at the first, and then what is different."""
        one, at_ms = self.instrument, now_ns // NS_PER_MS
        move = MOVES[turn % len(MOVES)] * max(1, self._centre // self._step // 10_000) * self._step
        now = [[(self._price(move + side * n * self._step), self._size(5 + n)) for n in (1, 2)] for side in (-1, 1)]
        before, self._book = self._book, now
        gone = [[(price, "0") for price, _ in side if price not in dict(now[at])] for at, side in enumerate(before)]
        bids, asks = (gone[at] + now[at] for at in (0, 1))
        if one.venue == "bybit":
            data = {"s": one.symbol, "b": bids, "a": asks, "u": turn + 2, "seq": turn + 2}
            kind = "delta" if turn else "snapshot"
            return [_frame({"topic": f"orderbook.50.{one.symbol}", "type": kind, "ts": at_ms, "data": data, "cts": at_ms})]
        if one.venue == "upbit":
            units = [
                {"ask_price": _raw(ask[0]), "bid_price": _raw(bid[0]), "ask_size": _raw(ask[1]), "bid_size": _raw(bid[1])}
                for bid, ask in zip(*now, strict=True)
            ]
            book = {"type": "orderbook", "code": one.symbol, "timestamp": at_ms, "orderbook_units": units}
            return [_frame({**book, "stream_type": "REALTIME", "level": 0})]
        numbers = {"U": turn + 1, "u": turn + 1, "pu": turn}
        data = {"e": "depthUpdate", "E": at_ms, "T": at_ms, "s": one.symbol, **numbers, "b": bids, "a": asks}
        found = [_frame({"stream": f"{one.symbol.lower()}@depth@100ms", "data": data})]
        if turn == 0:
            whole = {"lastUpdateId": 1, "E": at_ms, "T": at_ms, "bids": now[0], "asks": now[1]}
            found.append((Kind.ANSWER, one.symbol.encode() + b"\n" + msgspec.json.encode(whole)))
        return found

    def _price(self, from_centre: int) -> str:
        return f"{self.instrument.price(self._centre + from_centre):f}"

    def _size(self, lots: int) -> str:
        return f"{self.instrument.quantity(lots):f}"


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _frame(told: Mapping[str, Any]) -> tuple[Kind, bytes]:
    return Kind.FRAME, msgspec.json.encode(told)
