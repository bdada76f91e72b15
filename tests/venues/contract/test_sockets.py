"""Order entry by WebSocket: the frames of our client at the simulated venues that have it, read as the answers of REST are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from tests.venues.contract.place import Place
from tests.venues.contract.traits import DERIVATIVES
from tests.venues.contract.truth import check_everywhere, check_order

from interlock.domain.errors import UsageError
from interlock.domain.orders import Side, TimeInForce
from interlock.simulate.served.faults import Fault
from interlock.simulate.served.orders import EndReason
from interlock.venues.binance_usdm import socket_entry as binance
from interlock.venues.bybit import socket_entry as bybit
from interlock.venues.port import Accepted, Ask, Heard, Stamp
from interlock.venues.request import Key
from interlock.venues.socket import Socket, connect_picows
from interlock.venues.trouble import Doing, Explained, Trouble

pytestmark = DERIVATIVES


@dataclass
class Entry:
    """One connection for orders."""

    place: Place
    frame: Callable[[Ask, Stamp], bytes]
    take: Callable[[bytes], binance.Replied | bybit.Replied]
    said: list[binance.Replied | bybit.Replied] = field(default_factory=list)
    ended: str = ""
    socket: Socket | None = None

    def on_frame(self, data: bytes) -> None:
        self.said.append(self.take(data))

    def on_end(self, reason: str) -> None:
        self.ended = reason

    async def ask(self, asked: Ask, stamp: Stamp | None = None) -> Heard:
        """Send a request once; status 0 where the connection ended instead of an answer."""
        stamp = stamp or self.place.stamp()
        assert self.socket is not None
        self.place.clock.advance(250_000_000)
        stamp = replace(stamp, timestamp_ms=self.place.sim.now_ms())
        self.socket.send(self.frame(asked, stamp))
        await self.place.until(lambda: self.ended or any(each.request_id == stamp.nonce for each in self.said))
        return next((each.heard for each in self.said if each.request_id == stamp.nonce and each.heard is not None), Heard(0))

    async def do(self, asked: Ask, doing: Doing) -> Accepted | Explained:
        return self.place.verbs.answered(await self.ask(asked), doing)


@asynccontextmanager
async def entry(place: Place, key: Key | None = None) -> AsyncIterator[Entry]:
    key = key or place.key
    if place.traits.venue == "bybit":
        made, path = Entry(place, bybit.frame, bybit.take), bybit.PATH
    else:
        made, path = Entry(place, lambda asked, stamp: binance.frame(key, asked, stamp), binance.take), binance.PATH
    made.socket = await connect_picows(place.hosts.private, path, (), made.on_frame, made.on_end)
    if place.traits.venue == "bybit":
        made.socket.send(bybit.greeting(key, place.stamp()))
        await place.until(lambda: made.said)
    yield made
    made.socket.close()
    await place.until(lambda: made.ended)


async def test_an_order_is_placed_amended_and_cancelled(place: Place) -> None:
    async with entry(place) as made:
        want = place.wanted(lots=place.lots() * 2)
        said = await made.do(place.verbs.place(want), Doing.PLACE)
        assert isinstance(said, Accepted)
        assert said.client_id == want.client_id
        order = place.truth(want.client_id)
        await check_everywhere(place, order)
        again = replace(want, lots=want.lots - 1)
        for name in (said.venue_order_id, ""):
            amended = await made.do(place.verbs.amend(again, name), Doing.AMEND)
            assert isinstance(amended, Accepted), amended
            assert order.lots == again.lots
            again = replace(again, lots=again.lots - 1)
        assert isinstance(await made.do(place.verbs.cancel(order.symbol, venue_order_id=said.venue_order_id), Doing.CANCEL), Accepted)
        assert order.reason is EndReason.USER
        other = place.wanted(Side.SELL, tif=TimeInForce.POST_ONLY)
        assert isinstance(await made.do(place.verbs.place(other), Doing.PLACE), Accepted)
        assert isinstance(await made.do(place.verbs.cancel(order.symbol, client_id=other.client_id), Doing.CANCEL), Accepted)
        assert not place.truth(other.client_id).open
        assert not made.ended


async def test_a_batch_goes_where_the_socket_takes_it(place: Place) -> None:
    wants = tuple(place.wanted(side) for side in Side)
    async with entry(place) as made:
        if place.traits.venue == "binance_usdm":
            with pytest.raises(UsageError, match="by REST"):
                await made.ask(place.verbs.place_batch(wants))
            return
        said = place.verbs.batch_answered(await made.ask(place.verbs.place_batch(wants)), Doing.PLACE, len(wants))
        assert [each.client_id for each in said if isinstance(each, Accepted)] == [want.client_id for want in wants]
        heard = await made.ask(place.verbs.cancel_batch(place.symbol, tuple(want.client_id for want in wants)))
        done = place.verbs.batch_answered(heard, Doing.CANCEL, len(wants))
        assert all(isinstance(each, Accepted) for each in done)
        assert not place.sim.open_orders()


async def test_refusals_are_called_as_by_rest(place: Place) -> None:
    async with entry(place) as made:
        dear = place.wanted()
        dear = replace(dear, lots=dear.instrument.max_lots)
        by_socket, by_rest = await made.do(place.verbs.place(dear), Doing.PLACE), await place.do(place.verbs.place(dear), Doing.PLACE)
        assert isinstance(by_socket, Explained)
        assert isinstance(by_rest, Explained)
        assert (by_socket.trouble, by_socket.settled) == (by_rest.trouble, by_rest.settled) == (Trouble.INSUFFICIENT_BALANCE, True)
        gone = await made.do(place.verbs.cancel(place.symbol, client_id=place.link()), Doing.CANCEL)
        assert isinstance(gone, Explained)
        assert gone.trouble is Trouble.ORDER_NOT_FOUND


@pytest.mark.parametrize("carried_out", [True, False])
async def test_without_a_good_answer_the_outcome_is_unknown_and_found_by_reading(place: Place, carried_out: bool) -> None:
    async with entry(place) as made:
        want = place.wanted()
        assert place.strike(Fault.ACCEPT_THEN_ERROR if carried_out else Fault.ERROR_WITHOUT_ACCEPTING, verb="place")
        said = await made.do(place.verbs.place(want), Doing.PLACE)
        assert isinstance(said, Explained)
        assert (said.trouble, said.settled) == (Trouble.UNKNOWN_OUTCOME, False)
        seen = await place.ask(place.reads.order(place.symbol, want.client_id))
        assert (seen is not None) is carried_out
        assert place.copies(want.client_id) == 1


async def test_a_connection_that_breaks_leaves_the_outcome_unknown(place: Place) -> None:
    async with entry(place) as made:
        want = place.wanted()
        assert place.strike(Fault.RESET_AT_BYTE, verb="place", count=0)
        said = await made.do(place.verbs.place(want), Doing.PLACE)
        assert made.ended
        assert isinstance(said, Explained)
        assert (said.trouble, said.settled) == (Trouble.UNKNOWN_OUTCOME, False)
        check_order(place, await place.ask(place.reads.order(place.symbol, want.client_id)), place.truth(want.client_id))
        assert place.copies(want.client_id) == 1


async def test_a_key_that_is_not_good_places_nothing(place: Place) -> None:
    async with entry(place, Key(place.key.access, "another" + place.key.secret[7:])) as made:
        want = place.wanted()
        if place.traits.venue == "bybit":
            assert [(each.what, each.over) for each in made.said] == [("refused", True)]
        else:
            said = await made.do(place.verbs.place(want), Doing.PLACE)
            assert isinstance(said, Explained)
            assert (said.trouble, said.settled) == (Trouble.INVALID_KEY, True)
        assert place.sim.find(client_id=want.client_id) is None
