"""The gate's own lines for orders, over the wire against each venue: one frame for one order, what its answer proves, and nothing twice."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import count, product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.venues.contract.place import WINDOW_MS, Place
from tests.venues.contract.traits import VENUES

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.ids import ClientId
from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.connecting import connect_to
from interlock.gate.connection import Wrote
from interlock.gate.order_line import LinePool, OrderLine
from interlock.gate.order_wire import ToCancel
from interlock.gate.readings import Now
from interlock.gate.venue_http_wire import HttpOrderWire
from interlock.simulate.served.faults import Fault
from interlock.venues.budget import GATE, Meter, Spend
from interlock.venues.metering import metering_of
from interlock.venues.port import OrderWanted

EPOCHS = count(1_800_000_001)
SECOND_NS = NS_PER_S


@pytest.fixture(scope="module", params=list(product(VENUES, (False, True))), ids=lambda one: f"{one[0]}{', TLS' if one[1] else ''}")
def opened(request: pytest.FixtureRequest) -> Iterator[Place]:
    venue, tls = request.param
    with tempfile.TemporaryDirectory(prefix="lines-") as folder:
        made = Place(VENUES[venue], Path(folder), tls=tls)
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

    def __init__(self, place: Place) -> None:
        self.place = place
        self.wire = HttpOrderWire(place.traits.venue, place.verbs, place.key, place.hosts.rest, WINDOW_MS * NS_PER_MS)
        self.meter = Meter(metering_of(place.traits.venue).limits, GATE)
        self.records: list[r.Record] = []
        self.lost: list[str] = []
        self.cancels = 0
        self.boot_ns = SECOND_NS
        self.pool: LinePool[Sequence[Any]] = LinePool(2, self.wire.idle_ns, self.now, self._line)

    def now(self) -> Now:
        return Now(self.boot_ns, self.place.sim.now_ms() * NS_PER_MS)

    async def _line(self) -> OrderLine[Sequence[Any]]:
        return OrderLine(
            await connect_to(self.place.hosts.rest, "line"),
            self.wire.reader(),
            self.now,
            heard=self._heard,
            lost=lambda about, why: self.lost.append(f"{about[1]}: {why}"),
            changed=self.pool.stir,
        )

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
        assert line.connection.place(frame, lambda: "").wrote is Wrote.WHOLE
        line.expect(1, frame, ("place", wanted.client_id, wanted.revision), self.boot_ns, within_ns)
        return await self._outcome()

    async def cancel(self, ids: Sequence[str], symbol: str) -> list[r.Record]:
        self.place.clock.advance(SECOND_NS)
        self.cancels += 1
        asked = self.wire.cancellation([ToCancel(one, symbol) for one in ids], self.cancels, self.now().wall_ns)
        line = await self.pool.take()
        assert line.connection.lower(asked.frame).wrote is Wrote.WHOLE
        line.expect(2, asked.frame, ("cancel", *ids), self.boot_ns, 10 * SECOND_NS)
        await self.place.until(lambda: len(self.records) >= len(ids) or self.lost)
        found, self.records = self.records, []
        return found

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


async def test_orders_are_accepted_each_written_once(place: Place) -> None:
    with Lines(place) as lines:
        for side in (Side.BUY, Side.SELL):
            order = intent(place, place.wanted(side))
            assert lines.wire.objection(order, lines.now().wall_ns) == ""
            said = await lines.write(order)
            assert state_of(said) in (OrderState.ACKED, OrderState.OPEN)
            truth = place.truth(order.client_id)
            assert truth.side is side
            assert place.copies(order.client_id) == 1
        assert any(used for used, _ in lines.meter.standing(lines.boot_ns).values()), "the venue told what was used"


async def test_one_order_is_one_request_for_ever_and_another_is_another(place: Place) -> None:
    wire = Lines(place).wire
    order = intent(place, place.wanted())
    assert wire.placement(order, 10**18) == wire.placement(order, 10**18)
    other = msgspec.structs.replace(order, client_id=str(ClientId("line", next(EPOCHS), 1, 5)))
    assert wire.placement(other, 10**18) != wire.placement(order, 10**18)
    assert wire.number(order.client_id, 0) != wire.number(order.client_id, 1)


async def test_an_amend_changes_the_order_in_place_where_the_venue_can(place: Place) -> None:
    with Lines(place) as lines:
        wanted = place.wanted()
        order = intent(place, wanted)
        await lines.write(order)
        lower = intent(place, replace(wanted, ticks=place.ticks(Side.BUY, "0.96"), lots=wanted.lots * 2), 1, order.client_id)
        if not place.traits.amends:
            assert "amends nothing in place" in lines.wire.objection(lower, lines.now().wall_ns)
            return
        assert lines.wire.objection(lower, lines.now().wall_ns) == ""
        assert state_of(await lines.write(lower)) in (OrderState.ACKED, OrderState.OPEN)
        truth = place.truth(order.client_id)
        assert (truth.lots, place.sim_price(truth.ticks)) == (lower.lots, place.instrument().price(lower.ticks))


@pytest.mark.parametrize("many", [1, 5])
async def test_cancels_end_what_they_name_and_nothing_else(place: Place, many: int) -> None:
    with Lines(place) as lines:
        rest = place.rest_truly(many + 1)
        said = await lines.cancel([one.client_id for one in rest[:many]], place.symbol)
        assert [(one.client_id, one.accepted) for one in said if isinstance(one, r.CancelAnswered)] == [
            (one.client_id, True) for one in rest[:many]
        ]
        assert [not place.truth(one.client_id).state.final for one in rest] == [False] * many + [True]
        again = await lines.cancel([rest[0].client_id], place.symbol)
        assert isinstance(again[0], r.CancelAnswered)
        # Some take a cancel of what is over; none of them says by it that an order ended.
        assert not place.truth(rest[-1].client_id).state.final


async def test_a_definitive_no_is_a_rejection(place: Place) -> None:
    with Lines(place) as lines:
        much = replace(place.wanted(), lots=place.lots(4_000_000))
        said = await lines.write(intent(place, much))
        assert isinstance(said, r.Answered), said
        assert said.state is OrderState.REJECTED
        assert said.code.partition(" ")[0] in ("INSUFFICIENT_BALANCE", "INVALID_ORDER")
        assert state_of(await lines.write(intent(place, place.wanted()))) is not OrderState.REJECTED


async def test_an_id_that_an_order_has_already_decides_nothing_about_that_order(place: Place) -> None:
    with Lines(place) as lines:
        order = intent(place, place.wanted())
        await lines.write(order)
        other = msgspec.structs.replace(order, ticks=place.ticks(Side.BUY, "0.95"))
        # The gate never writes one twice; a wire that is new knows no nonce of the old one.
        nonced = Lines(place)
        nonced.wire._key = place.add_key(trade=True) if place.traits.venue == "upbit" else place.key
        with nonced:
            said = await nonced.write(other)
        assert isinstance(said, r.SendUnknown), said
        assert not place.truth(order.client_id).state.final


UNCLEAR: tuple[dict[str, Any], ...] = (
    {"fault": Fault.ACCEPT_THEN_ERROR},
    {"fault": Fault.ERROR_WITHOUT_ACCEPTING},
    {"fault": Fault.GARBAGE},
    {"fault": Fault.RESET_BEFORE},
    {"fault": Fault.LOSE_ACK},
    *({"fault": Fault.RESET_AT_BYTE, "count": at} for at in (0, 40)),
)


@pytest.mark.parametrize("fault", UNCLEAR, ids=lambda one: "-".join(map(str, one.values())))
async def test_what_is_no_clear_answer_leaves_the_outcome_open_and_nothing_is_written_again(place: Place, fault: dict[str, Any]) -> None:
    with Lines(place) as lines:
        assert place.strike(verb="place", **fault)
        order = intent(place, place.wanted())
        said = await lines.write(order, NS_PER_S // 2)
        assert isinstance(said, str | r.SendUnknown), said
        await asyncio.sleep(0.05)
        assert place.copies(order.client_id) == 1
        place.face.parts.faults.clear()
        assert state_of(await lines.write(intent(place, place.wanted()))) is not OrderState.REJECTED, "the next line is another one"


async def test_a_refusal_because_of_the_rate_stops_its_kind_and_leaves_cancels(place: Place) -> None:
    with Lines(place) as lines:
        rest = place.rest_truly(1)
        assert place.strike(Fault.RATE_LIMITED, verb="place")
        said = await lines.write(intent(place, place.wanted()))
        assert not isinstance(said, str)
        assert lines.meter.refused_ns(Spend.PLACE, lines.boot_ns) > 0
        assert lines.meter.refused_ns(Spend.LOWER, lines.boot_ns) == 0
        place.face.parts.faults.clear()
        await lines.cancel([rest[0].client_id], place.symbol)
        assert place.truth(rest[0].client_id).state.final


async def test_what_the_venue_would_refuse_is_known_beforehand(place: Place) -> None:
    wire, far = Lines(place).wire, place.wanted()
    wall_ns = place.sim.now_ms() * NS_PER_MS

    def objection(**changes: Any) -> str:
        return wire.objection(msgspec.structs.replace(intent(place, far), **changes), wall_ns)

    assert objection() == ""
    assert "not listed" in objection(symbol="NOT-THERE")
    assert "is broken" in objection(lots=1 << 52)
    step = place.instrument().price_step(place.instrument().price(far.ticks), place.sim.day) if place.traits.venue == "upbit" else None
    if step is not None and step > place.instrument().quantum:
        assert "price_step" in objection(ticks=far.ticks + 1)
    if not place.traits.derivatives:
        assert objection(reduce_only=True) != ""


async def test_the_least_order_is_one_that_the_venue_takes(place: Place) -> None:
    with Lines(place) as lines:
        for side, share in ((Side.BUY, "0.9613"), (Side.SELL, "1.0387")):
            instrument = place.instrument()
            about = int(place.best(side) * Decimal(share) / instrument.quantum)
            ticks, lots = lines.wire.least_order(place.symbol, side, about, lines.now().wall_ns)
            assert (ticks <= about) if side is Side.BUY else (ticks >= about)
            order = intent(place, replace(place.wanted(side), ticks=ticks, lots=lots))
            assert lines.wire.objection(order, lines.now().wall_ns) == ""
            assert state_of(await lines.write(order)) is not OrderState.REJECTED
            fewer = intent(place, replace(place.wanted(side), ticks=ticks, lots=lots - 1))
            assert lots == instrument.min_lots == 1 or lines.wire.objection(fewer, lines.now().wall_ns) != ""


async def test_a_line_that_idled_is_replaced_before_it_is_used(place: Place) -> None:
    with Lines(place) as lines:
        first = await lines.pool.take()
        assert await lines.pool.take() is first
        lines.boot_ns += lines.wire.idle_ns - 1
        assert await lines.pool.take() is first
        lines.boot_ns += 1
        second = await lines.pool.take()
        assert second is not first
        assert not first.connection.is_open


async def test_two_requests_need_two_lines_and_a_third_waits_for_an_answer(place: Place) -> None:
    with Lines(place) as lines:
        assert place.strike(Fault.STALL, verb="place")
        flying = []
        for _ in range(2):
            order = intent(place, replace(place.wanted(), tif=TimeInForce.POST_ONLY))
            frame = lines.wire.placement(order, lines.now().wall_ns)
            line = await lines.pool.take()
            line.connection.place(frame, lambda: "")
            line.expect(1, frame, ("place", order.client_id, 0), lines.boot_ns, NS_PER_S)
            flying.append(line)
            assert not line.has_room
        assert flying[0] is not flying[1]
        third = await lines.pool.take()
        assert lines.records or lines.lost, "an answer, or the end of a line, made room"
        assert third.has_room


async def test_a_stranger_gets_no_request(place: Place) -> None:
    if not place.hosts.rest.tls:
        assert place.hosts.rest.context() is None, "without a certificate there is none to look at"
        return
    place.lines.clear()
    with pytest.raises(ssl.SSLError):
        await connect_to(replace(place.hosts.rest, authority=None), "line")
    assert place.lines == []
    with Lines(place) as lines:
        assert isinstance(await lines.write(intent(place, place.wanted())), r.Answered)
