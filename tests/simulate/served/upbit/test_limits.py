"""The venue's own rate limits: what is left in a header, 429, then 418 for who goes on, and the streams' limits."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.simulate.served.upbit.bench import Bench, told

from interlock.simulate.served.upbit.limits import rates

BASE: dict[str, Any] = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "50000000", "volume": "0.001"}


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(real_limits=True)
    # Windows are whole seconds; the clock stands just behind the beginning of one.
    made.clock.stop()
    yield made
    made.clock.go()
    made.close()


async def asked(bench: Bench, count: int, method: str, path: str, **params: Any) -> list[tuple[int, str]]:
    found = []
    for _ in range(count):
        status, _, headers = await bench.ask(method, path, **params)
        found.append((status, headers.get("Remaining-Req", "")))
    return found


def test_orders_have_a_limit_of_their_own(bench: Bench) -> None:
    found = bench.run(asked(bench, 13, "POST", "orders", **BASE))
    assert [status for status, _ in found] == [201] * 12 + [429]
    assert (found[0][1], found[11][1]) == ("group=order; min=720; sec=11", "group=order; min=720; sec=0")
    assert bench.run(asked(bench, 1, "GET", "accounts")) == [(200, "group=default; min=1800; sec=29")]
    bench.clock.ahead_ns += 1_000_000_000
    assert bench.run(asked(bench, 1, "POST", "orders", **BASE))[0][0] == 201


@pytest.mark.parametrize(
    ("method", "path", "params", "most"),
    [
        ("GET", "accounts", {}, 30),
        ("POST", "orders/test", BASE, 8),
        ("DELETE", "orders/open", {"quote_currencies": "KRW"}, 1),
        ("GET", "ticker", {"markets": "KRW-BTC"}, 10),
    ],
)
def test_every_group_has_its_limit(bench: Bench, method: str, path: str, params: dict[str, Any], most: int) -> None:
    found = [status for status, _ in bench.run(asked(bench, most + 1, method, path, **params))]
    assert (set(found[:-1]) <= {200, 201}, found[-1]) == (True, 429)


def test_a_refusal_costs_from_the_limit_too(bench: Bench) -> None:
    status, left = bench.run(asked(bench, 1, "GET", "order", uuid="00000000-0000-4000-8000-000000000000"))[0]
    assert (status, left) == (404, "group=default; min=1800; sec=29")


def test_who_goes_on_is_blocked_for_longer_each_time(bench: Bench) -> None:
    found = bench.run(asked(bench, 10 + 19 + 1 + 1, "GET", "ticker", markets="KRW-BTC"))
    assert [status for status, _ in found] == [200] * 10 + [429] * 19 + [418] * 2
    bench.clock.ahead_ns += 61_000_000_000
    again = bench.run(asked(bench, 30, "GET", "ticker", markets="KRW-BTC"))
    assert [status for status, _ in again][-1] == 418
    bench.clock.ahead_ns += 61_000_000_000
    assert bench.run(asked(bench, 1, "GET", "accounts"))[0][0] == 418
    bench.clock.ahead_ns += 61_000_000_000
    assert bench.run(asked(bench, 1, "GET", "accounts"))[0][0] == 200


def test_a_ban_that_ends_forgets_those_before_it() -> None:
    found = rates()
    first = found.ban_ms
    found.ban(0, first)
    assert found.ban_ms == 2 * first
    found.ban(0, 0)
    assert (found.ban_ms, found.banned_until_ms) == (first, 0)


def test_a_request_of_a_browser_is_let_in_every_ten_seconds(bench: Bench) -> None:
    async def status(origin: str) -> int:
        headers = {"Origin": origin} if origin else {}
        return (await bench.send("GET", "ticker", "markets=KRW-BTC", headers))[0]

    assert [bench.run(status(origin)) for origin in ("http://a", "http://a", "")] == [200, 429, 200]


def test_streams_limit_connections_and_messages(bench: Bench) -> None:
    async def seen() -> tuple[list[str], list[str]]:
        sockets, refused = [], []
        for _ in range(6):
            try:
                sockets.append(await bench.connect(bench.public))
            except Exception as error:  # noqa: BLE001 - the client's class for a refused handshake is not the matter here
                refused.append(str(getattr(error, "status", error)))
        names = []
        for _ in range(5 + 19 + 1):
            await sockets[0].send_str("nonsense")
            names.append((await told(sockets[0]))["error"]["name"])
        ended = await sockets[0].receive(5)
        assert ended.type.name in ("CLOSE", "CLOSED")
        for socket in sockets:
            await socket.close()
        return refused, names

    refused, names = bench.run(seen())
    assert refused == ["429"]
    assert names == ["WRONG_FORMAT"] * 5 + ["Too Many Requests"] * 19 + ["I'm a teapot"]
    assert bench.run(asked(bench, 1, "GET", "accounts"))[0][0] == 200
