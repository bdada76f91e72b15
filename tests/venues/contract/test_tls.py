"""The same clients over TLS, with the simulators' own authority: reads, orders, both streams; and nothing without it."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.venues.contract.follower import Follower
from tests.venues.contract.market import Market
from tests.venues.contract.place import Place
from tests.venues.contract.traits import VENUES
from tests.venues.contract.truth import check_everywhere, check_order

from interlock.gate.connecting import connect_to
from interlock.venues.endpoint import Endpoint, pin_of
from interlock.venues.http_blocking import BlockingBroken, BlockingHttp
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


def signed_read(place: Place) -> SignedCall:
    return place.reads.sign(place.key, next(place.reads.balances()), place.stamp())


async def by_reads(place: Place, endpoint: Endpoint) -> None:
    with closing(HttpReader(endpoint)) as reader:
        assert (await reader.ask(signed_read(place), 10)).status == 200


async def by_the_sentinel(place: Place, endpoint: Endpoint) -> None:
    with closing(BlockingHttp(endpoint)) as http:
        assert (await asyncio.to_thread(http.ask, signed_read(place), 10_000_000_000)).status == 200


async def by_order_lines(place: Place, endpoint: Endpoint) -> None:
    (await connect_to(endpoint, "line")).abort()


async def by_streams(place: Place, endpoint: Endpoint) -> None:
    opening = await place.ask(Follower(place).feed.opening())
    (await connect_picows(replace(endpoint, port=place.hosts.private.port), opening, (), lambda _: None, lambda _: None)).close()


async def key_in_use(endpoint: Endpoint) -> str:
    _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.context())
    shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = shown.getpeercert(binary_form=True)
    writer.close()
    assert certificate is not None
    return pin_of(certificate)


@pytest.mark.parametrize("way", [by_reads, by_the_sentinel, by_order_lines, by_streams])
async def test_a_certificate_with_another_key_than_the_pinned_gets_no_request(
    place: Place, way: Callable[[Place, Endpoint], Awaitable[None]]
) -> None:
    trusted, other = place.hosts.rest, "0" * 64
    place.lines.clear()
    with pytest.raises((OSError, ReadBroken, BlockingBroken, SocketBroken), match="a key that is pinned"):
        await way(place, replace(trusted, pins=(other,)))
    assert [line["verb"] for line in place.lines] in ([], ["listen_key"])
    await way(place, replace(trusted, pins=(other, await key_in_use(trusted))))
