"""The gate's own lines to a simulated venue, by one of the ways that it has, and what came of each write."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.venues.contract.place import WINDOW_MS, Place
from tests.venues.contract.traits import VENUES

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.ids import ClientId
from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.connecting import connect_to
from interlock.gate.connection import Wrote
from interlock.gate.order_line import LinePool, OrderLine
from interlock.gate.order_wire import ToCancel
from interlock.gate.readings import Now
from interlock.gate.venue_http_wire import HttpOrderWire
from interlock.gate.venue_socket_wire import CONNECTIONS, SocketOrderWire
from interlock.venues.budget import GATE, Meter, Spend
from interlock.venues.endpoint import Endpoint
from interlock.venues.metering import metering_of
from interlock.venues.port import OrderWanted

EPOCHS = count(1_800_000_001)
SECOND_NS = NS_PER_S


@dataclass(slots=True)
class WiredPlace(Place):
    """A venue, and the way on which orders go to it."""

    by_socket: bool = False

    @property
    def entry(self) -> Endpoint:
        found = self.hosts.trade if self.by_socket else self.hosts.rest
        assert found is not None
        return found

    def wire(self) -> HttpOrderWire | SocketOrderWire:
        given = (self.traits.venue, self.verbs, self.key, self.entry, WINDOW_MS * NS_PER_MS)
        return SocketOrderWire(*given, self._chance) if self.by_socket else HttpOrderWire(*given)

    def _chance(self, size: int) -> bytes:
        self.nonces += 1
        return hashlib.sha256(str(self.nonces).encode()).digest()[:size]


@contextmanager
def opened_by(venue: str, *, tls: bool, by_socket: bool) -> Iterator[WiredPlace]:
    """The simulated venue, and its gate's way to it."""
    with tempfile.TemporaryDirectory(prefix="lines-") as folder:
        made = WiredPlace(VENUES[venue], Path(folder), tls=tls, by_socket=by_socket)
        made.open()
        yield made
        made.close()


def intent(place: Place, order: OrderWanted, revision: int = 0, client_id: str = "", **instead: Any) -> r.Intent:
    given: dict[str, Any] = {
        "boot_ns": 1,
        "client_id": client_id or str(ClientId("line", next(EPOCHS), 1, 5)),
        "revision": revision,
        "group": "",
        "strategy": "s",
        "venue": place.traits.venue,
        "account": "main",
        "symbol": order.instrument.symbol,
        "side": order.side,
        "type": order.type,
        "tif": order.tif,
        "reduce_only": order.reduce_only,
        "ticks": order.ticks,
        "lots": order.lots,
        "sequence": 1,
        "created_boot_ns": 1,
        "deadline_boot_ns": 2,
        "books": (),
    }
    return r.Intent(**{**given, **instead})


class Lines:
    """The wire of a place, lines that are opened when they are needed, and what came of each write."""

    def __init__(self, place: WiredPlace) -> None:
        self.place = place
        self.wire = place.wire()
        self.meter = Meter((*metering_of(place.traits.venue).limits, CONNECTIONS), GATE)
        self.records: list[r.Record] = []
        self.lost: list[str] = []
        self.cancels = 0
        self.boot_ns = SECOND_NS
        self.pool: LinePool[Sequence[Any]] = LinePool(2, self.wire.idle_ns, self.now, self._line)

    def now(self) -> Now:
        return Now(self.boot_ns, self.place.sim.now_ms() * NS_PER_MS)

    async def _line(self) -> OrderLine[Sequence[Any]]:
        line = OrderLine(
            await connect_to(self.place.entry, "line"),
            self.wire.reader(),
            self.now,
            heard=self._heard,
            lost=lambda about, why: self.lost.append(f"{about[1]}: {why}"),
            changed=self.pool.stir,
        )
        await line.opened()
        return line

    def _heard(self, answer: object, about: Sequence[Any], asked_ns: int) -> None:
        what, *ids = about
        spend = Spend.LOWER if what == "cancel" else Spend.PLACE
        self.wire.count(self.meter, spend, answer, asked_ns=asked_ns, now_ns=self.boot_ns)
        if what == "cancel":
            self.records += self.wire.cancels_answered(answer, ids, self.boot_ns)
        else:
            self.records.append(self.wire.answered(answer, ids[0], ids[1], self.boot_ns))

    async def write(self, wanted: r.Intent, within_ns: int = 10 * SECOND_NS) -> r.Record | str:
        """Write an order, and what its answer is as a record; or why there was none."""
        self.place.clock.advance(SECOND_NS)
        make = self.wire.amendment if wanted.revision else self.wire.placement
        frame = make(wanted, self.now().wall_ns)
        line = await self.pool.take()
        assert line.place(frame, lambda: "").wrote is Wrote.WHOLE
        line.expect(1, frame, ("place", wanted.client_id, wanted.revision), self.boot_ns, within_ns)
        return await self._outcome()

    async def cancel(self, ids: Sequence[str], symbol: str, within_ns: int = 10 * SECOND_NS) -> list[r.Record]:
        self.place.clock.advance(SECOND_NS)
        for at in range(0, len(ids), self.wire.cancels_at_once):
            some = ids[at : at + self.wire.cancels_at_once]
            self.cancels += 1
            asked = self.wire.cancellation([ToCancel(one, symbol) for one in some], self.cancels, self.now().wall_ns)
            line = await self.pool.take()
            assert line.lower(asked.frame).wrote is Wrote.WHOLE
            line.expect(1 + self.cancels, asked.frame, ("cancel", *some), self.boot_ns, within_ns)
        await self.place.until(lambda: len(self.records) >= len(ids) or self.lost)
        found, self.records = self.records, []
        return sorted(found, key=lambda one: ids.index(one.client_id) if isinstance(one, r.CancelAnswered) else -1)

    async def _outcome(self) -> r.Record | str:
        await self.place.until(lambda: self.records or self.lost)
        return self.records.pop() if self.records else self.lost.pop()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.abort("the test ends")


def state_of(said: r.Record | str) -> OrderState:
    assert isinstance(said, r.Answered), said
    return said.state
