"""The gate's lines over the venues' sockets, where they differ from HTTP: many requests at once, one end for all, a pulse, a proof at first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from tests.venues.contract.place import Place
from tests.venues.contract.wired import Lines, WiredPlace, intent, opened_by, state_of

from interlock.domain.clock import NS_PER_S
from interlock.gate import records as r
from interlock.gate.connection import Wrote
from interlock.gate.order_line import OrderLine
from interlock.gate.venue_socket_wire import BEAT_EVERY_NS, IDLE_NS
from interlock.gate.venue_socket_wire import VENUES as WITH_SOCKET
from interlock.simulate.served.faults import Fault
from interlock.simulate.served.hub import Listener
from interlock.venues.request import Key


@pytest.fixture(
    scope="module", params=list(product(sorted(WITH_SOCKET), (False, True))), ids=lambda one: f"{one[0]}{', TLS' if one[1] else ''}"
)
def opened(request: pytest.FixtureRequest) -> Iterator[Place]:
    venue, tls = request.param
    with opened_by(venue, tls=tls, by_socket=True) as made:
        yield made


def listeners(place: WiredPlace) -> list[Listener]:
    """The connections for orders, as the venue has them."""
    face: Any = place.face
    hub = face.trade_stream.hub if place.traits.venue == "bybit" else face.parts.private
    return list(hub.listeners)


def send(lines: Lines, line: OrderLine[Any], within_ns: int = 10 * NS_PER_S) -> str:
    """Write an order, and do not wait for its answer; its client id."""
    order = intent(lines.place, lines.place.wanted())
    frame = lines.wire.placement(order, lines.now().wall_ns)
    assert line.place(frame, lambda: "").wrote is Wrote.WHOLE
    line.expect(lines.wire.number(order.client_id, 0) + lines.place.links, frame, ("place", order.client_id, 0), lines.boot_ns, within_ns)
    return order.client_id


async def test_many_are_under_way_on_one_connection_and_each_answer_finds_its_order(place: WiredPlace) -> None:
    with Lines(place) as lines:
        line = await lines.pool.take()
        # Bybit's answer to the first overtakes none or all of the others; whose it is stands in it.
        place.strike(Fault.LATE_ACK, verb="place", ms=50)
        ids = [send(lines, line) for _ in range(4)]
        assert line.in_flight == 4
        await place.until(lambda: len(lines.records) == 4)
        answered = {one.client_id: one for one in lines.records if isinstance(one, r.Answered)}
        assert set(answered) == set(ids)
        assert len({one.venue_order_id for one in answered.values()}) == 4
        assert [place.copies(one) for one in ids] == [1, 1, 1, 1]


async def test_sockets_that_are_dropped_leave_all_that_is_under_way_open_and_nothing_is_written_again(place: WiredPlace) -> None:
    with Lines(place) as lines:
        line = await lines.pool.take()
        place.strike(Fault.STALL, verb="place")
        ids = [send(lines, line) for _ in range(3)]
        await place.until(lambda: place.copies(ids[0]))
        place.strike(Fault.DROP_SOCKETS)
        await place.until(lambda: len(lines.lost) == 3)
        assert lines.records == []
        lines.lost.clear()
        place.face.parts.faults.clear()
        await asyncio.sleep(0.05)
        assert all(place.copies(one) <= 1 for one in ids)
        assert place.copies(ids[0]) == 1
        assert not state_of(await lines.write(intent(place, place.wanted()))).final, "the next line is another one"


async def test_an_answer_that_is_late_counts_until_its_time_is_over(place: WiredPlace) -> None:
    with Lines(place) as lines:
        place.strike(Fault.LATE_ACK, verb="place", ms=100)
        assert not state_of(await lines.write(intent(place, place.wanted()))).final
        place.strike(Fault.LATE_ACK, verb="place", ms=200)
        order = intent(place, place.wanted())
        assert await lines.write(order, NS_PER_S // 20) == f"{order.client_id}: no answer in time"
        await asyncio.sleep(0.3)
        assert lines.records == [], "and not after it"
        assert place.copies(order.client_id) == 1


async def test_the_venue_hears_a_pulse_and_its_own_pings_are_answered(place: WiredPlace) -> None:
    with Lines(place) as lines:
        await lines.pool.fill()
        for _ in range(4):
            lines.boot_ns += BEAT_EVERY_NS
            before_ms = place.face.parts.steady_ms()
            place.clock.advance(NS_PER_S)
            await lines.pool.fill()
            await place.until(lambda before_ms=before_ms: all(one.heard_ms > before_ms for one in listeners(place)))  # type: ignore[misc]
            await asyncio.sleep(0.02)
        assert 4 * BEAT_EVERY_NS > IDLE_NS
        assert len(listeners(place)) == 2, "the same ones all the time"
        if place.traits.venue == "binance_usdm":
            place.clock.advance(181 * NS_PER_S)
            await place.step()
            await place.until(lambda: all(one.pongs for one in listeners(place)))
        assert not state_of(await lines.write(intent(place, place.wanted()))).final


async def test_before_the_venue_ends_a_connection_another_one_has_taken_its_place(place: WiredPlace) -> None:
    with Lines(place) as lines:
        await lines.pool.fill()
        first = await lines.pool.take()
        if place.traits.venue == "bybit":
            assert lines.wire.reader().lives_ns == 0
            return
        place.strike(Fault.LATE_ACK, verb="place", ms=200)
        order = send(lines, first)
        place.strike(Fault.SERVER_SHUTDOWN, ms=60_000)
        await place.until(lambda: not first.stands)
        await lines.pool.fill()
        second = await lines.pool.take()
        assert second is not first
        await place.until(lambda: lines.records)
        assert [one.client_id for one in lines.records if isinstance(one, r.Answered)] == [order], "what was under way was answered"
        assert lines.lost == []
        await place.until(lambda: not first.connection.is_open)
        lines.records.clear()
        assert not state_of(await lines.write(intent(place, place.wanted()))).final


async def test_a_key_that_is_not_good_lets_nothing_in(place: WiredPlace) -> None:
    good = place.key
    with Lines(place) as lines:
        lines.wire._key = Key(good.access, "another" + good.secret[7:])
        order = intent(place, place.wanted())
        if place.traits.venue == "bybit":
            with pytest.raises(ConnectionError, match="expected to be let in"):
                await lines.pool.take()
        else:
            said = await lines.write(order)
            assert isinstance(said, r.Answered), said
            assert said.code.startswith("INVALID_KEY")
        assert place.sim.find(client_id=order.client_id) is None
        lines.wire._key = good
        assert not state_of(await lines.write(intent(place, place.wanted()))).final


async def test_cancels_have_room_whatever_is_under_way(place: WiredPlace) -> None:
    with Lines(place) as placing, Lines(place) as lines:
        rest = place.rest_truly(3)
        line = await placing.pool.take()
        place.strike(Fault.STALL, verb="place")
        lost = send(placing, line, NS_PER_S // 5)
        said = await lines.cancel([one.client_id for one in rest], place.symbol)
        assert [one.accepted for one in said if isinstance(one, r.CancelAnswered)] == [True] * 3
        assert all(place.truth(one.client_id).state.final for one in rest)
        await place.until(lambda: placing.lost)
        assert place.copies(lost) == 1
