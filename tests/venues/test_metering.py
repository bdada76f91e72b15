"""Talks held to the venue's limits: what a request costs, what an answer says, and that a long talk waits and runs into no refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from interlock.domain.errors import UsageError
from interlock.venues.binance_usdm.errors import classify as binance_refusal
from interlock.venues.budget import GATE, MOST_PLACED, Limit, Meter, Spend
from interlock.venues.bybit.errors import classify as bybit_refusal
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.http_reader import HttpReader
from interlock.venues.metering import METERING, READS_AT_BINANCE, MeteredPace, Metering, metering_of, refusal_ns
from interlock.venues.port import Access, Ask, Heard, Refused, Stamp, Talk
from interlock.venues.request import Call, Key, Method, SignedCall
from interlock.venues.talking import NoRoom, Talker
from interlock.venues.trouble import Doing
from interlock.venues.upbit.errors import classify as upbit_refusal

MS, S = 1_000_000, 1_000_000_000
DATE = {"date": "Sat, 21 Nov 2026 12:00:50 GMT"}


def asked(budget: str, weight: int = 1, path: str = "/a", access: Access = Access.PUBLIC) -> Ask:
    return Ask(Call(Method.GET, path), access, budget, weight)


class Clock:
    def __init__(self) -> None:
        self.ns = 1_000 * S

    def __call__(self) -> int:
        return self.ns


def paced(venue: str, clock: Callable[[], int] = lambda: 1_000 * S) -> tuple[Meter, MeteredPace]:
    metering = metering_of(venue)
    meter = Meter(metering.limits, GATE)
    return meter, MeteredPace(meter, metering, clock)


def test_prices_and_clock_go_on_behind_reads_of_the_account_that_have_used_up_their_share() -> None:
    meter, pace = paced("binance_usdm")
    account = asked("weight", 5, access=Access.SIGNED)
    clock = asked("weight")
    used = 0
    while not pace.wait_ns(account):
        pace.goes(account)
        used += 5
    assert used == 2_400 * READS_AT_BINANCE // 1_000
    while not pace.wait_ns(clock):
        pace.goes(clock)
        used += 1
    # And what is kept for the sentinel they leave alone.
    assert used == 2_400 * MOST_PLACED // 1_000
    assert meter.wait_ns(Spend.LOWER, {"weight": 100}, 1_000 * S) == 0


def test_where_placements_share_the_limit_prices_are_reads_like_others() -> None:
    _, pace = paced("bybit")
    clock = asked("ip")
    used = 0
    while not pace.wait_ns(clock):
        pace.goes(clock)
        used += 1
    assert used == 300


# What is declared and told


@pytest.mark.parametrize(
    ("venue", "budget", "limit", "cost"),
    [
        ("binance_usdm", "weight", (2_400, 60 * S), {"weight": 3}),
        ("binance_usdm", "wallet", (60, 60 * S), {"wallet": 3}),
        ("bybit", "position", (50, S), {"ip": 1, "position": 3}),
        ("bybit", "ip", (600, 5 * S), {"ip": 3}),
        ("upbit", "orderbook", (10, S), {"orderbook": 3}),
    ],
)
def test_a_request_costs_what_its_venue_declares(venue: str, budget: str, limit: tuple[int, int], cost: dict[str, int]) -> None:
    metering = METERING[venue]
    assert limit == next((one.units, one.interval_ns) for one in metering.limits if one.name == budget)
    assert metering.cost(asked(budget, 3)) == cost
    meter, pace = paced(venue)
    pace.goes(asked(budget, 3))
    assert meter.standing(1_000 * S)[budget][0] == 3


def test_only_a_venue_of_ours_has_limits() -> None:
    with pytest.raises(UsageError, match="expected one of upbit"):
        metering_of("elsewhere")


@pytest.mark.parametrize(
    ("venue", "budget", "headers", "used"),
    [
        ("binance_usdm", "weight", {"x-mbx-used-weight-1m": "777"}, (777, 2_400)),
        ("binance_usdm", "wallet", {"x-sapi-used-ip-weight-1m": "33"}, (33, 60)),
        ("bybit", "position", {"x-bapi-limit": "20", "x-bapi-limit-status": "4"}, (16, 20)),
        ("bybit", "position", {"x-bapi-limit": "200", "x-bapi-limit-status": "4"}, (196, 50)),
        ("bybit", "position", {"x-bapi-limit-status": "4"}, (46, 50)),
        ("bybit", "ip", {"x-bapi-limit": "20", "x-bapi-limit-status": "4"}, (0, 600)),
        ("upbit", "orderbook", {"remaining-req": "group=orderbook; min=599; sec=2"}, (8, 10)),
        ("upbit", "orderbook", {"remaining-req": "group=else; min=599; sec=2"}, (0, 10)),
    ],
)
def test_what_an_answer_says_of_a_limit_counts(venue: str, budget: str, headers: dict[str, str], used: tuple[int, int]) -> None:
    meter, pace = paced(venue)
    pace.came(asked(budget), Heard(200, headers), 999 * S)
    assert meter.standing(1_000 * S)[budget] == used


def test_the_window_of_an_answer_ends_by_its_date() -> None:
    clock = Clock()
    meter, pace = paced("binance_usdm", clock)
    used = {"x-mbx-used-weight-1m": "2000"}
    for headers, until_s in ((used | DATE, 10), (used, 60), (used | {"date": "yesterday"}, 60)):
        pace.came(asked("weight"), Heard(200, headers), clock.ns)
        assert meter.standing(clock.ns + until_s * S - 1)["weight"][0] == 2_000
        assert meter.standing(clock.ns + until_s * S)["weight"][0] == 0
        clock.ns += 1_000 * S


@pytest.mark.parametrize(
    ("refused", "read_ns", "lower_ns"),
    [
        (Refused(binance_refusal(429, "-1003", Doing.READ), 7_000), 7 * S, 0),
        (Refused(binance_refusal(418, "-1003", Doing.READ), 90_000), 90 * S, 90 * S),
        (Refused(binance_refusal(400, "-1102", Doing.READ), 9_000), 0, 0),
    ],
)
def test_a_refusal_because_of_the_rate_stops_reads_and_a_ban_everything(refused: Refused, read_ns: int, lower_ns: int) -> None:
    meter, pace = paced("binance_usdm")
    pace.refused(refused)
    assert pace.refused_ns() == meter.refused_ns(Spend.READ, 1_000 * S) == read_ns
    assert meter.refused_ns(Spend.PLACE, 1_000 * S) == lower_ns
    assert meter.refused_ns(Spend.LOWER, 1_000 * S) == lower_ns


@pytest.mark.parametrize("code", ["10006", "10018"])
def test_a_rate_refusal_without_a_time_is_one_for_a_second(code: str) -> None:
    assert refusal_ns(Refused(bybit_refusal(200, code, Doing.READ))) == S
    assert refusal_ns(Refused(bybit_refusal(200, "10002", Doing.READ))) == 0
    assert refusal_ns(Refused(upbit_refusal(429, "too_many_requests", Doing.READ), 1_000)) == S


def test_long_lists_leave_a_part_of_the_minute_s_weight_to_light_reads() -> None:
    clock = Clock()
    _, pace = paced("binance_usdm", clock)
    a_list, a_book = asked("weight", 40, access=Access.SIGNED), asked("weight", 20)
    heavy = 0
    while not pace.wait_ns(a_list):
        pace.goes(a_list)
        heavy += 40
    assert heavy == 880
    assert pace.wait_ns(a_list) > 0
    assert pace.wait_ns(a_book) == 0, "the book with which prices begin is no list"
    light = 0
    for _ in range(50):
        while not pace.wait_ns(asked("weight", 10)) and light < 560:
            pace.goes(asked("weight", 10))
            light += 10
        clock.ns += S
    assert (heavy, light) == (880, 560)
    clock.ns += 10 * S
    assert pace.wait_ns(a_list) == 0, "a minute later lists have room again"
    # What is not weighed by the minute is not held back by it.
    assert pace.wait_ns(asked("wallet")) == 0


# Talks that wait


@asynccontextmanager
async def counting(seen: list[str]) -> AsyncIterator[HttpReader]:
    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen.append(head.split()[1].decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(come, "127.0.0.1", 0)
    async with server:
        reader = HttpReader(Endpoint(Where.LOOPBACK, "127.0.0.1", server.sockets[0].getsockname()[1], tls=False))
        try:
            yield reader
        finally:
            reader.close()
            await asyncio.sleep(0)  # whoever served it ends


def unsigned(key: Key, one: Ask, stamp: Stamp) -> SignedCall:
    raise AssertionError("nothing here is signed")


def no_stamp() -> Stamp:
    raise AssertionError("nothing here is signed")


def long_talk(requests: int) -> Talk[int]:
    for number in range(requests):
        yield asked("few", path=f"/{number}")
    return requests


def few(units: int, interval_ms: int) -> Metering:
    limits = (Limit("few", units, interval_ms * MS, alone=True),)
    return Metering(limits, lambda one: {"few": one.weight}, lambda one, heard: {}, frozenset(), lambda heard, said: 0)


def talker(reader: HttpReader, metering: Metering, meter: Meter, timeout_s: float = 10) -> Talker:
    def now_ns() -> int:
        return int(asyncio.get_running_loop().time() * S)

    return Talker(reader, unsigned, None, no_stamp, timeout_s=timeout_s, pace=MeteredPace(meter, metering, now_ns))


def test_talks_that_share_a_limit_wait_for_it_and_never_go_beyond() -> None:
    seen: list[str] = []
    at: list[float] = []

    async def story() -> None:
        async with counting(seen) as reader:
            metering = few(4, 150)
            meter = Meter(metering.limits, GATE)
            loop = asyncio.get_running_loop()
            talks = [talker(reader, metering, meter).hold(long_talk(6), on_send=lambda: at.append(loop.time())) for _ in range(2)]
            assert await asyncio.gather(*talks) == [6, 6]
            assert len(seen) == 12
            assert all(later - earlier >= 0.15 for earlier, later in zip(at, at[4:], strict=False))

    asyncio.run(story())


def test_a_wait_that_is_longer_than_the_time_left_ends_a_talk_without_a_byte() -> None:
    seen: list[str] = []

    async def story() -> None:
        async with counting(seen) as reader:
            metering = few(2, 60_000)
            meter = Meter(metering.limits, GATE)
            with pytest.raises(NoRoom) as full:
                await talker(reader, metering, meter, timeout_s=5).hold(long_talk(3))
            assert 50 * S < full.value.wait_ns <= 60 * S
            assert seen == ["/0", "/1"]
            # The control: a talk that has room.
            assert await talker(reader, few(2, 60_000), Meter(few(2, 60_000).limits, GATE)).hold(long_talk(2)) == 2

    asyncio.run(story())


def test_a_request_goes_to_the_connection_that_it_is_routed_to() -> None:
    mine: list[str] = []
    other: list[str] = []

    async def story() -> None:
        async with counting(mine) as reader, counting(other) as wallet:
            routed = Talker(reader, unsigned, None, no_stamp, timeout_s=5, route=lambda one: wallet if one.call.path == "/1" else reader)
            assert await routed.hold(long_talk(3)) == 3
            assert (mine, other) == (["/0", "/2"], ["/1"])

    asyncio.run(story())
