"""What the clients of one account may still ask of a real venue: how each venue counts, and what all of them share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from interlock.venues.allowance import Allowance
from interlock.venues.binance_usdm.trade import Trade as BinanceTrade
from interlock.venues.budget import SENTINEL, Spend
from interlock.venues.bybit.trade import Trade as BybitTrade
from interlock.venues.metering import METERING, metering_of
from interlock.venues.port import Ask, Heard, OrderVerbs, Refused
from interlock.venues.request import Call, Method
from interlock.venues.trouble import Doing, Explained
from interlock.venues.upbit.trade import Trade as UpbitTrade

S = 1_000_000_000
MS = 1_000_000
UPBIT, BINANCE, BYBIT = UpbitTrade({}), BinanceTrade({}), BybitTrade({})
VERBS: dict[str, OrderVerbs] = {"upbit": UPBIT, "binance_usdm": BINANCE, "bybit": BYBIT}
IDS = tuple(f"mk01{number}" for number in range(20))


class Clock:
    def __init__(self) -> None:
        self.now_ns = 100 * S

    def __call__(self) -> int:
        return self.now_ns


def made(venue: str) -> tuple[Allowance, Clock]:
    clock = Clock()
    return Allowance(metering_of(venue), SENTINEL, clock), clock


def read(budget: str, weight: int = 1) -> Ask:
    return Ask(Call(Method.GET, "/"), budget=budget, weight=weight)


def taken(of: Allowance, ask: Ask, spend: Spend, most: int = 1_000) -> int:
    """As many as go out at one moment."""
    return next((number for number in range(most) if of.take(ask, spend)), most)


@pytest.mark.parametrize(
    ("venue", "ask", "cost"),
    [
        ("upbit", UPBIT.cancel_all(""), {"order-cancel-all": 1}),
        ("upbit", UPBIT.cancel_batch("", IDS), {"default": 1}),
        ("binance_usdm", BINANCE.cancel_batch("BTCUSDT", IDS[:10]), {"weight": 1}),
        ("binance_usdm", BINANCE.beat("BTCUSDT", 1_000), {"weight": 10}),
        ("bybit", BYBIT.cancel_batch("BTCUSDT", IDS), {"ip": 1, "cancel-batch": 20}),
        ("bybit", read("ip"), {"ip": 1}),
    ],
)
def test_what_a_request_takes(venue: str, ask: Ask, cost: dict[str, int]) -> None:
    assert METERING[venue].cost(ask) == cost


@pytest.mark.parametrize(
    ("venue", "ask", "headers", "name", "left", "forgotten_s"),
    [
        ("upbit", read("default"), {"remaining-req": "group=default; min=1800; sec=12"}, "default", 12, 1),
        ("binance_usdm", read("weight"), {"x-mbx-used-weight-1m": "2000"}, "weight", 400, 15),
        ("bybit", read("realtime"), {"x-bapi-limit": "50", "x-bapi-limit-status": "4"}, "realtime", 4, 1),
    ],
)
def test_what_an_answer_tells_holds_until_the_venue_s_window_is_over(
    venue: str, ask: Ask, headers: dict[str, str], name: str, left: int, forgotten_s: int
) -> None:
    of, clock = made(venue)
    whole = of.free(name)
    of.heard(ask, Heard(200), clock.now_ns)
    assert of.free(name) == whole
    of.heard(ask, Heard(200, headers | {"date": "Sat, 21 Nov 2026 12:00:45 GMT"}), clock.now_ns)
    clock.now_ns += forgotten_s * S - 1
    assert of.free(name) == left
    clock.now_ns += 1
    assert of.free(name) == whole


@pytest.mark.parametrize(
    ("venue", "heard", "wait_ms"),
    [
        ("upbit", Heard(429), 1_000),
        ("upbit", Heard(418), 60_000),
        ("binance_usdm", Heard(429, {"retry-after": "7"}, b'{"code":-1003,"msg":""}'), 7_000),
        ("binance_usdm", Heard(418), 120_000),
        ("bybit", Heard(403), 600_000),
        ("bybit", Heard(200, {"x-bapi-limit-reset-timestamp": "1800000000250"}, b'{"retCode":10006,"time":1800000000000}'), 250),
        ("bybit", Heard(200, {"x-bapi-limit-reset-timestamp": "1800000000250"}, b'{"retCode":10018,"time":1800000000000}'), 250),
        ("bybit", Heard(200, {"x-bapi-limit-reset-timestamp": "1800000000250"}, b'{"retCode":110001,"time":1800000000000}'), 0),
        ("bybit", Heard(429, {"x-bapi-limit-reset-timestamp": "1800000000250"}, b"<html>"), 0),
    ],
)
def test_for_how_long_a_refused_cancel_leaves_the_venue_alone(venue: str, heard: Heard, wait_ms: int) -> None:
    said = VERBS[venue].answered(heard, Doing.CANCEL)
    assert isinstance(said, Explained)
    assert METERING[venue].left_alone_ms(heard, said) == wait_ms


def test_lists_stop_before_cancels() -> None:
    of, clock = made("upbit")
    assert taken(of, read("default"), Spend.READ) == 27
    cancel = UPBIT.cancel_batch("", IDS)
    assert taken(of, cancel, Spend.LOWER) == 3
    # A cancel that the venue would refuse waits, unless somebody insists; either counts.
    assert of.wait_ns(cancel, Spend.LOWER) == S
    of.insist(cancel)
    clock.now_ns += S
    assert of.free("default") == 30
    assert of.take(cancel, Spend.LOWER) == 0


def test_what_others_used_leaves_less_to_cut_a_batch_to() -> None:
    of, clock = made("bybit")
    batch = BYBIT.cancel_batch("BTCUSDT", IDS)
    assert of.free("cancel-batch") == 10
    assert of.wait_ns(batch, Spend.LOWER) > 0
    of.heard(batch, Heard(200, {"x-bapi-limit-status": "4"}), asked_ns=clock.now_ns)
    clock.now_ns += MS
    assert of.free("cancel-batch") == 4
    assert of.take(BYBIT.cancel_batch("BTCUSDT", IDS[:4]), Spend.LOWER) == 0
    assert of.free("cancel-batch") == 0


def test_what_the_gate_keeps_for_its_prices_holds_no_list_of_the_sentinel_back() -> None:
    of, _ = made("binance_usdm")
    assert taken(of, read("weight", 40), Spend.READ) == 54  # nine tenths of 2,400


@pytest.mark.parametrize(
    ("venue", "budget", "status", "stopped"),
    [
        ("binance_usdm", "weight", 429, {Spend.READ}),
        ("binance_usdm", "weight", 418, {Spend.READ, Spend.LOWER}),
        ("upbit", "default", 418, {Spend.READ, Spend.LOWER}),
        ("bybit", "realtime", 403, {Spend.READ, Spend.LOWER}),
    ],
)
def test_a_refused_list_stops_lists_and_a_ban_everything(venue: str, budget: str, status: int, stopped: set[Spend]) -> None:
    of, clock = made(venue)
    said = VERBS[venue].answered(Heard(status), Doing.CANCEL)
    assert isinstance(said, Explained)
    of.refused(Spend.READ, Refused(said, 5_000))
    for spend in (Spend.READ, Spend.LOWER):
        assert of.refused_ns(spend) == (5 * S if spend in stopped else 0)
        assert (of.take(read(budget), spend) > 0) is (spend in stopped)
    clock.now_ns += 5 * S
    assert not any(of.take(read(budget), spend) for spend in (Spend.READ, Spend.LOWER))


def test_threads_that_share_it_take_no_more_than_there_is() -> None:
    of, _ = made("upbit")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: of.take(read("default"), Spend.READ) == 0, range(400)))
    assert found.count(True) == 27
