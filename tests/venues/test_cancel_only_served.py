"""What the sentinel can ask of the three venues, over the wire against their simulators, with a thousand orders open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.simulate.served.hand import VENUES, Hand, symbols_of
from tests.simulate.served.process import simulators

from interlock.domain.orders import OrderState
from interlock.sentinel.process import stamp
from interlock.venues.cancel_only import OpenOrder, VenueTrouble
from interlock.venues.cancel_only_at import cancel_only_on_loopback
from interlock.venues.http_cancel_only import HttpCancelOnly


class Served(Hand):
    """The simulators as a process, and clients of them."""

    @contextmanager
    def client(self, venue: str, secret: str = "") -> Iterator[HttpCancelOnly]:
        place = self.where[venue]
        where = {**self.where, venue: {**place, "secret": secret or place["secret"]}}
        with closing(cancel_only_on_loopback(venue, where, symbols_of(venue), 10_000_000_000, stamp)()) as found:
            yield found


@pytest.fixture(scope="module")
def served_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with simulators(tmp_path_factory.mktemp("served")) as where:
        yield Served(where)


@pytest.fixture
def served(served_once: Served) -> Iterator[Served]:
    """The simulators, honest before and after."""
    yield served_once
    served_once.calm()


def rest(trouble: VenueTrouble) -> None:
    """Leave the venue alone for as long as it asked, at most 2 s."""
    time.sleep(min(trouble.retry_after_ns / 1e9, 2.0) or 0.1)


def patiently(ask: Callable[[], object]) -> None:
    """Ask until the venue's rate limit lets it pass, for at most 30 s. Raises any other VenueTrouble."""
    deadline = time.monotonic() + 30
    while True:
        try:
            ask()
            return
        except VenueTrouble as trouble:
            if not trouble.reason.startswith("RATE_LIMIT") or time.monotonic() > deadline:
                raise
            rest(trouble)


def swept(client: HttpCancelOnly, within_s: float) -> int:
    """Cancel everything, as a sweep does, until two whole lists are empty; how many passes it took."""
    deadline, empty, passes = time.monotonic() + within_s, 0, 0
    while empty < 2:
        assert time.monotonic() < deadline, "not empty in time"
        try:
            found = [order for page in client.open_pages() for order in page]
            empty = 0 if found else empty + 1
            if found:
                passes += 1
                client.cancel_everything()
        except VenueTrouble as trouble:
            rest(trouble)
    return passes


@pytest.mark.parametrize("venue", VENUES)
def test_a_thousand_open_orders_are_gone(served: Served, venue: str) -> None:
    ids = served.rest_orders(venue, 1_000, f"{venue[:2]}k-")
    assert served.open_ids(venue) >= set(ids)
    with served.client(venue) as client:
        listed = [order.client_id for page in client.open_pages() for order in page]
        assert set(ids) <= set(listed)
        assert len(listed) == len(set(listed))
        swept(client, 60)
        assert served.open_ids(venue) == set()


@pytest.mark.parametrize("venue", VENUES)
def test_named_orders_are_cancelled_and_no_others(served: Served, venue: str) -> None:
    mine, others = served.rest_orders(venue, 30, f"{venue[:2]}m-"), served.rest_orders(venue, 10, f"{venue[:2]}o-")
    with served.client(venue) as client:
        listed = [order for page in client.open_pages() for order in page]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            left = [order for order in listed if order.client_id in set(mine) & served.open_ids(venue)]
            if not left:
                break
            try:
                client.cancel(left)
            except VenueTrouble as trouble:
                rest(trouble)
        assert served.open_ids(venue) == set(others)
        assert client.state_of(mine[0]) is OrderState.CANCELLED
        assert client.state_of(others[0]) is OrderState.OPEN
        assert client.state_of("never-was") is None
        patiently(
            partial(client.cancel, [order for order in listed if order.client_id in mine[:3]])
        )  # that they are over already is no trouble
        swept(client, 30)


@pytest.mark.parametrize("venue", VENUES)
def test_whatever_is_no_yes_is_trouble(served: Served, venue: str) -> None:
    with served.client(venue) as client:
        assert list(client.open_pages()), "the same key, and the venue in order"
        with pytest.raises(VenueTrouble, match="INVALID_KEY"), served.client(venue, "not-the-secret-of-this-key") as stranger:
            list(stranger.open_pages())
        for fault in ("reset_before", "error_without_accepting", "garbage"):
            served.happen({"fault": fault, "venue": venue, "verb": "read"})
            with pytest.raises(VenueTrouble):
                list(client.open_pages())
        assert list(client.open_pages()), "and it goes on"
        served.happen({"fault": "rate_limited", "venue": venue, "verb": "read"})
        with pytest.raises(VenueTrouble) as limited:
            list(client.open_pages())
        assert limited.value.retry_after_ns > 0
        served.calm()


@pytest.mark.parametrize("venue", VENUES)
def test_a_yes_that_cancels_nothing_is_seen_in_the_list_and_what_a_list_hides_by_its_name(served: Served, venue: str) -> None:
    served.forget_limits()
    mine = served.rest_orders(venue, 6, f"{venue[:2]}l-")
    with served.client(venue) as client:

        def listed() -> list[OpenOrder]:
            return [order for page in client.open_pages() for order in page if order.client_id in mine]

        served.happen({"fault": "ignore_cancel", "venue": venue, "times": 0})
        client.cancel_everything()
        client.cancel(listed())
        assert {order.client_id for order in listed()} == set(mine) <= served.open_ids(venue)
        served.happen({"fault": "hide_orders", "venue": venue, "verb": "read", "count": 2, "times": 0})
        assert {order.client_id for order in listed()} == set(mine[:-2])
        assert client.state_of(mine[-1]) is OrderState.OPEN
        # The control: the same requests of a venue that is honest.
        served.calm()
        assert {order.client_id for order in listed()} == set(mine)
        patiently(partial(client.cancel, listed()))
        assert not served.open_ids(venue) & set(mine)


@pytest.mark.parametrize("status", [200, 403, 404, 502, 503])
@pytest.mark.parametrize("venue", VENUES)
def test_a_page_of_html_is_no_answer(served: Served, venue: str, status: int) -> None:
    served.forget_limits()
    (mine,) = served.rest_orders(venue, 1, f"{venue[:2]}p-{status}-")
    page = {"fault": "error_page", "venue": venue, "count": status, "times": 0}
    with served.client(venue) as client:
        (order,) = [order for page in client.open_pages() for order in page if order.client_id == mine]
        served.happen(page)
        for ask in (lambda: list(client.open_pages()), client.cancel_everything, lambda: client.cancel([order])):
            with pytest.raises(VenueTrouble):
                ask()
        with pytest.raises(VenueTrouble):
            client.state_of(mine)
        assert mine in served.open_ids(venue)
    served.calm()
    # The control: another client, since some pages are a ban, which ours obeys.
    with served.client(venue) as client:
        patiently(partial(client.cancel, [order]))
        assert mine not in served.open_ids(venue)


def test_a_page_must_have_a_status(served: Served) -> None:
    with pytest.raises(AssertionError, match="expected as `count` an HTTP status from 200 to 599, found 1"):
        served.happen({"fault": "error_page", "verb": "read"})


def test_the_dead_man_cancels_what_rests(served: Served) -> None:
    ids = served.rest_orders("binance_usdm", 6, "bd-")
    with served.client("binance_usdm") as client:
        client.beat("BTCUSDT", 300_000_000)
        deadline = time.monotonic() + 10
        while ids[0] in served.open_ids("binance_usdm"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert set(ids[1:]) <= served.open_ids("binance_usdm"), "the other symbols were not armed"
        swept(client, 30)
        for venue in ("upbit", "bybit"):
            with pytest.raises(VenueTrouble, match="dead-man"), served.client(venue) as other:
                other.beat("BTCUSDT", 300_000_000)


def test_the_place_is_told(served: Served, tmp_path: Path) -> None:
    assert set(served.where) == {*VENUES, "witness", "control"}
    assert Path(served.where["witness"]).is_file()
