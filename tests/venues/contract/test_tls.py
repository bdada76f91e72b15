"""The same clients over TLS, with the simulators' own authority: reads, orders, both streams; and nothing without it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.venues.contract.follower import Follower
from tests.venues.contract.market import Market
from tests.venues.contract.place import Place
from tests.venues.contract.traits import VENUES
from tests.venues.contract.truth import check_everywhere, check_order

from interlock.venues.http_reader import HttpReader, ReadBroken
from interlock.venues.request import SignedCall
from interlock.venues.socket import SocketBroken, connect_picows


@pytest.fixture(scope="module", params=list(VENUES))
def opened(request: pytest.FixtureRequest) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        made = Place(VENUES[request.param], Path(folder), tls=True)
        made.open()
        yield made
        made.close()


async def test_orders_reads_and_streams_go_over_tls(place: Place) -> None:
    assert place.hosts.rest.tls
    async with Follower(place) as follower, Market(place, (place.symbol,)) as market:
        order = await place.placed(place.wanted())
        await check_everywhere(place, order)
        await follower.caught_up()
        check_order(place, follower.orders(order.client_id)[-1], order)
        await market.settled()


async def test_an_authority_that_is_not_known_gets_no_request(place: Place) -> None:
    place.lines.clear()
    stranger = replace(place.hosts.rest, authority=None)
    asked = next(place.reads.balances())
    signed = place.reads.sign(place.key, asked, place.stamp())
    reader = HttpReader(stranger)
    with pytest.raises(ReadBroken):
        await reader.ask(SignedCall(signed.method, signed.path, signed.query, signed.headers, signed.body), 10)
    with pytest.raises(SocketBroken):
        await connect_picows(stranger, await place.ask(Follower(place).feed.opening()), (), lambda _: None, lambda _: None)
    # The one line is that of the listen key, which was asked for over the connection that is good.
    assert [line["verb"] for line in place.lines] in ([], ["listen_key"])
    assert await place.ask(place.reads.balances())
    assert place.lines[-1]["verb"] == "read"
