"""The gate's own lines for orders, over the wire against each venue and by each way that it has: one frame for one order, what its answer proves, and
nothing twice."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import pytest
from tests.venues.contract.place import Place
from tests.venues.contract.traits import VENUES
from tests.venues.contract.wired import EPOCHS, SECOND_NS, Lines, WiredPlace, intent, opened_by, state_of

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.ids import ClientId
from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.connecting import connect_to
from interlock.gate.venue_socket_wire import VENUES as WITH_SOCKET
from interlock.simulate.served.faults import Fault
from interlock.venues.budget import Spend

WAYS = [one for one in product(VENUES, (False, True), ("rest", "socket")) if one[2] == "rest" or one[0] in WITH_SOCKET]


@pytest.fixture(scope="module", params=WAYS, ids=lambda one: f"{one[0]} by {one[2]}{', TLS' if one[1] else ''}")
def opened(request: pytest.FixtureRequest) -> Iterator[Place]:
    venue, tls, way = request.param
    with opened_by(venue, tls=tls, by_socket=way == "socket") as made:
        yield made


async def test_orders_are_accepted_each_written_once(place: WiredPlace) -> None:
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


async def test_the_venue_sees_the_very_bytes_that_a_permit_is_for(place: WiredPlace) -> None:
    with Lines(place) as lines:
        order = intent(place, place.wanted())
        place.clock.advance(SECOND_NS)
        permitted = hashlib.sha256(lines.wire.body(lines.wire.placement(order, lines.now().wall_ns + SECOND_NS))).hexdigest()
        await lines.write(order)
        (seen,) = (line for line in place.lines if line["client_id"] == order.client_id)
        assert (seen["verb"], seen["body_hash"]) == ("place", permitted)


async def test_one_order_is_one_request_for_ever_and_another_is_another(place: WiredPlace) -> None:
    wire = Lines(place).wire
    order = intent(place, place.wanted())
    assert wire.placement(order, 10**18) == wire.placement(order, 10**18)
    other = msgspec.structs.replace(order, client_id=str(ClientId("line", next(EPOCHS), 1, 5)))
    assert wire.placement(other, 10**18) != wire.placement(order, 10**18)
    assert wire.number(order.client_id, 0) != wire.number(order.client_id, 1)


async def test_an_amend_changes_the_order_in_place_where_the_venue_can(place: WiredPlace) -> None:
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
async def test_cancels_end_what_they_name_and_nothing_else(place: WiredPlace, many: int) -> None:
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


async def test_a_definitive_no_is_a_rejection(place: WiredPlace) -> None:
    with Lines(place) as lines:
        much = replace(place.wanted(), lots=place.lots(4_000_000))
        said = await lines.write(intent(place, much))
        assert isinstance(said, r.Answered), said
        assert said.state is OrderState.REJECTED
        assert said.code.partition(" ")[0] in ("INSUFFICIENT_BALANCE", "INVALID_ORDER")
        assert state_of(await lines.write(intent(place, place.wanted()))) is not OrderState.REJECTED


async def test_an_id_that_an_order_has_already_decides_nothing_about_that_order(place: WiredPlace) -> None:
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


CHANGING: tuple[dict[str, Any], ...] = (
    {"fault": Fault.ACCEPT_THEN_ERROR},
    {"fault": Fault.RESET_BEFORE},
    {"fault": Fault.LOSE_ACK},
    {"fault": Fault.RESET_AT_BYTE, "count": 40},
)
"""Of these, one of each kind, for what changes an order; but for the second it has its effect."""


@pytest.mark.parametrize("first", [True, False], ids=["fresh", "reused"])
@pytest.mark.parametrize("fault", UNCLEAR, ids=lambda one: "-".join(map(str, one.values())))
async def test_what_is_no_clear_answer_leaves_the_outcome_open_and_nothing_is_written_again(
    place: WiredPlace, fault: dict[str, Any], first: bool
) -> None:
    with Lines(place) as lines:
        await on_a_line(lines, first=first)
        assert place.strike(verb="place", **fault)
        order = intent(place, place.wanted())
        said = await lines.write(order, NS_PER_S // 2)
        assert isinstance(said, str | r.SendUnknown), said
        await asyncio.sleep(0.05)
        assert place.copies(order.client_id) == 1
        place.face.parts.faults.clear()
        assert state_of(await lines.write(intent(place, place.wanted()))) is not OrderState.REJECTED, "the next line is another one"


@pytest.mark.parametrize("first", [True, False], ids=["fresh", "reused"])
@pytest.mark.parametrize("verb", ["amend", "cancel", "cancel_batch"])
async def test_what_changes_an_order_is_written_once_too_whatever_becomes_of_its_answer(place: WiredPlace, verb: str, first: bool) -> None:
    many = 2 if verb == "cancel_batch" else 1
    if verb == "amend" and not place.traits.amends:
        return
    for fault in CHANGING:
        with Lines(place) as lines:
            if many > lines.wire.cancels_at_once:
                return
            rest = place.rest_truly(many)
            ids = [one.client_id for one in rest]
            lower = intent(place, replace(place.wanted(), ticks=place.ticks(Side.BUY, "0.96")), 1, ids[0])

            async def ask(
                within_ns: int, lines: Lines = lines, ids: list[str] = ids, lower: r.Intent = lower
            ) -> list[r.Record] | r.Record | str:
                return await (lines.write(lower, within_ns) if verb == "amend" else lines.cancel(ids, place.symbol, within_ns))

            await on_a_line(lines, first=first)
            assert place.strike(verb=verb, **fault)
            said = await ask(NS_PER_S // 2)
            assert not any(
                isinstance(one, r.Answered) or getattr(one, "accepted", False) for one in (said if isinstance(said, list) else [said])
            )
            await asyncio.sleep(0.05)
            assert [place.copies(one, verb) for one in ids] == [1] * many, fault
            assert place.truth(ids[0]).state.final is (verb != "amend" and fault["fault"] is not Fault.RESET_BEFORE)
            # And nothing keeps us from asking for it again, which is another request.
            place.face.parts.faults.clear()
            lines.lost.clear()
            await ask(10 * NS_PER_S)
            assert [place.copies(one, verb) for one in ids] == [2] * many, fault
            if verb == "amend":
                truth = place.truth(ids[0])
                assert place.sim_price(truth.ticks) == place.instrument().price(lower.ticks)
            else:
                assert all(place.truth(one).state.final for one in ids)


async def on_a_line(lines: Lines, *, first: bool) -> None:
    """Where the next request is to be the first of its connection, nothing; else one is answered on it before."""
    if not first:
        assert state_of(await lines.write(intent(lines.place, lines.place.wanted()))) is not OrderState.REJECTED
        line = await lines.pool.take()
        assert line.has_room
        assert line is await lines.pool.take()
    else:
        assert lines.pool.free() is None


async def test_a_refusal_because_of_the_rate_stops_its_kind_and_leaves_cancels(place: WiredPlace) -> None:
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


async def test_what_the_venue_would_refuse_is_known_beforehand(place: WiredPlace) -> None:
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


async def test_the_least_order_is_one_that_the_venue_takes(place: WiredPlace) -> None:
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


async def test_a_line_that_idled_is_replaced_before_it_is_used(place: WiredPlace) -> None:
    with Lines(place) as lines:
        first = await lines.pool.take()
        assert await lines.pool.take() is first
        lines.boot_ns += lines.wire.idle_ns - 1
        assert await lines.pool.take() is first
        lines.boot_ns += 1
        second = await lines.pool.take()
        assert second is not first
        assert not first.connection.is_open


async def test_two_requests_take_two_lines_and_a_third_has_to_wait_only_where_they_are_answered_in_turn(place: WiredPlace) -> None:
    with Lines(place) as lines:
        assert place.strike(Fault.STALL, verb="place")
        flying, ids = [], []
        for _ in range(2):
            order = intent(place, replace(place.wanted(), tif=TimeInForce.POST_ONLY))
            frame = lines.wire.placement(order, lines.now().wall_ns)
            line = await lines.pool.take()
            line.place(frame, lambda: "")
            line.expect(1, frame, ("place", order.client_id, 0), lines.boot_ns, NS_PER_S)
            flying.append(line)
            ids.append(order.client_id)
            assert line.has_room is place.by_socket
            await lines.pool.fill()
        assert flying[0] is not flying[1]
        await place.until(lambda: all(place.copies(one) for one in ids))
        if place.by_socket:
            assert (await lines.pool.take()) in flying
            return
        third = await lines.pool.take()
        assert lines.records or lines.lost, "an answer, or the end of a line, made room"
        assert third.has_room


async def test_a_stranger_gets_no_request(place: WiredPlace) -> None:
    if not place.entry.tls:
        assert place.entry.context() is None, "without a certificate there is none to look at"
        return
    place.lines.clear()
    with pytest.raises(ssl.SSLError):
        await connect_to(replace(place.entry, authority=None), "line")
    assert place.lines == []
    with Lines(place) as lines:
        assert isinstance(await lines.write(intent(place, place.wanted())), r.Answered)
