"""The sentinel as a process of its own at the three real venues' protocols, with their simulators as another process."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sentinel.world import MS, OURS, config_of, follow, gate, names, spawned, until
from tests.simulate.served.hand import VENUES, Hand, symbols_of
from tests.simulate.served.process import simulators

from interlock.sentinel import control
from interlock.sentinel.config import Config
from interlock.sentinel.process import stamp
from interlock.sentinel.stop_word import StopWord
from interlock.venues.binance_usdm import sign
from interlock.venues.cancel_only_at import cancel_only_on_loopback
from interlock.venues.request import Call, Key, Method


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[Hand]:
    with simulators(tmp_path) as where:
        (tmp_path / "places.json").write_text(json.dumps(where))
        yield Hand(where)


def told(tmp_path: Path, *venues: str, part: dict[str, Any] | None = None, **more: Any) -> Config:
    """What the sentinel of these venues is told, of all three by default; `part` is more of Binance's."""
    parts: dict[str, int | dict[str, Any]] = {
        venue: {"places": tmp_path / "places.json", "symbols": symbols_of(venue), **((part or {}) if venue == "binance_usdm" else {})}
        for venue in venues or VENUES
    }
    if "upbit" in parts:
        more["expiry_upbit"] = None  # a request does not expire there
    return config_of(tmp_path, parts, **{"request_timeout_ns": 1_000 * MS, **more})


def kill(path: Path, client_ids: dict[str, list[str]], last: tuple[str, ...] = ("FINAL",)) -> list[dict[str, Any]]:
    """What a person's kill tells. The orders that may be under way are named: none where there are none."""
    return follow(path, last, client_ids={**{venue: [] for venue in VENUES}, **client_ids})


def open_count(hand: Hand, venue: str) -> int:
    return sum(order["state"] in ("open", "partial") for order in hand.state(venue)["orders"])


def conditional(hand: Hand) -> None:
    """A conditional order at Binance, which is not among the orders there."""
    place = hand.where["binance_usdm"]
    fields = "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP_MARKET&quantity=0.01&triggerPrice=30000&clientAlgoId=handmade"
    call = Call(Method.POST, "/fapi/v1/algoOrder", body=fields.encode())
    signed = sign.sign(Key(place["key"], place["secret"]), call, timestamp_ms=time.time_ns() // MS, receive_window_ms=5_000)
    request = urllib.request.Request(f"{place['rest']}{signed.target}", signed.body, dict(signed.headers), method="POST")
    urllib.request.urlopen(request, timeout=10).close()


def listed(hand: Hand, venue: str) -> list[str]:
    """The venue's ids of all that it lists as open, conditional orders included."""
    client = cancel_only_on_loopback(venue, hand.where, symbols_of(venue), 5_000 * MS, stamp)()
    try:
        return [order.venue_order_id for page in client.open_pages() for order in page]
    finally:
        client.close()


def test_a_kill_leaves_nothing_of_a_thousand_orders_at_each_venue(tmp_path: Path, hand: Hand) -> None:
    ids = {venue: hand.rest_orders(venue, 1_000, f"{OURS}{venue[:2]}") for venue in VENUES}
    reserved = hand.rest_orders("upbit", 30, f"{OURS}reserved", reserved=True)
    for venue in VENUES:
        hand.rest_orders(venue, 3, "")
    conditional(hand)
    assert [open_count(hand, venue) for venue in VENUES] == [1_033, 1_003, 1_003]
    assert sum(one.startswith("algo:") for one in listed(hand, "binance_usdm")) == 1
    named = {venue: found[:2] for venue, found in ids.items()}
    named["upbit"].append(reserved[0])
    with gate(tmp_path / "stop", "fine"), spawned(told(tmp_path)) as (process, path):
        events = kill(path, named)
        at = {event["event"]: event["boot_ns"] for event in events}
        assert names(events).index("SWEPT") < names(events).index("FINAL") == len(events) - 1
        assert [open_count(hand, venue) for venue in VENUES] == [0, 0, 0]
        assert listed(hand, "binance_usdm") == []
        ended = {event["venue"]: event["ended"] for event in events if event["event"] == "VENUE_FINAL"}
        assert ended == {venue: dict.fromkeys(found, "cancelled") for venue, found in named.items()}
        # It kept to the limits, so that nothing was refused. What Upbit takes at once and how often bounds the time, with two lists at its pace.
        assert "TROUBLE" not in names(events)
        assert at["SWEPT"] - at["REQUESTED"] < (-(-1_033 // 300) * 2_000 + 2 * 1_000) * MS
        assert [line["verb"] for line in hand.asked("upbit")].count("cancel_all") <= -(-1_033 // 300)
        process.terminate()
        assert process.wait(10) == 0
    assert not path.exists()


def test_strangers_survive_a_trip_and_not_a_persons_kill(tmp_path: Path, hand: Hand) -> None:
    for venue in VENUES:
        hand.rest_orders(venue, 40, OURS)
        hand.rest_orders(venue, 10, "hand")
        hand.rest_orders(venue, 2, "")
        hand.happen({"fault": "partial_batch", "venue": venue, "verb": "cancel_batch", "count": 3})
    conditional(hand)
    bounds: dict[str, Any] = {"worst_stall_ns": 50 * MS, "stall_bound_ns": 200 * MS}
    with gate(tmp_path / "stop", "deaf") as stand_in, spawned(told(tmp_path, **bounds)) as (_, path):
        word = StopWord.attach(tmp_path / "stop")
        time.sleep(0.5)
        # The control: while the gate works, nothing happens to anybody.
        assert [open_count(hand, venue) for venue in VENUES] == [52, 52, 52]
        assert not word.stopped
        os.kill(stand_in.pid, signal.SIGSTOP)
        until(lambda: not any(set(hand.open_ids(venue)) & {f"{OURS}{n}" for n in range(40)} for venue in VENUES), 30)
        assert stand_in.wait(5) == -signal.SIGKILL
        assert hand.happened()["partial_batch"] == 3
        for venue in VENUES:
            assert hand.open_ids(venue) == {"", *(f"hand{number}" for number in range(10))}
            assert open_count(hand, venue) == 12
            assert "cancel_all" not in [line["verb"] for line in hand.asked(venue)]
        assert sum(one.startswith("algo:") for one in listed(hand, "binance_usdm")) == 1
        assert names(kill(path, {}))[-1] == "FINAL"
        assert [open_count(hand, venue) for venue in VENUES] == [0, 0, 0]
        assert listed(hand, "binance_usdm") == []
        word.close()


@pytest.mark.parametrize(
    "fault",
    [
        "rate_limited",
        "reset_before",
        "error_without_accepting",
        "error_page",
        "accept_then_error",
        "lose_ack",
        "garbage",
        "reset_at_byte",
        "stall",
    ],
)
def test_every_lie_of_a_venue_ends_at_zero(tmp_path: Path, hand: Hand, fault: str) -> None:
    # Binance's limit of the rate is over at the end of a minute, which no test outlasts.
    venues = ("upbit", "bybit") if fault == "rate_limited" else VENUES
    for venue in venues:
        hand.rest_orders(venue, 30, OURS)
        count = 200 if fault == "error_page" else 9
        hand.happen(*({"fault": fault, "venue": venue, "verb": verb, "count": count} for verb in ("cancel_all", "read")))
    config = told(tmp_path, *venues, request_timeout_ns=400 * MS)
    with gate(tmp_path / "stop", "fine"), spawned(config) as (_, path):
        events = kill(path, {})
        assert names(events)[-1] == "FINAL"
        assert sum(open_count(hand, venue) for venue in venues) == 0
        # The control: each fault struck, and each venue's was told.
        assert hand.happened()[fault] == 2 * len(venues)
        assert {event["venue"] for event in events if event["event"] == "TROUBLE"} == set(venues)


def test_a_yes_to_a_cancel_that_cancels_nothing_is_not_believed(tmp_path: Path, hand: Hand) -> None:
    for venue in VENUES:
        hand.rest_orders(venue, 12, OURS)
        hand.happen({"fault": "ignore_cancel", "venue": venue, "times": 0})
    conditional(hand)
    with gate(tmp_path / "stop", "fine"), spawned(told(tmp_path)) as (_, path):

        def seen_through(events: list[dict[str, Any]]) -> bool:
            """Every venue was asked for everything, and then by name for what it had said was gone."""
            named = {event["venue"] for event in events if event["event"] == "CANCELLING" and not event["everything"]}
            return named == set(VENUES)

        events = follow(path, seen_through, client_ids={venue: [] for venue in VENUES})
        assert not {"TROUBLE", "VENUE_SWEPT", "SWEPT", "VENUE_FINAL", "FINAL"} & set(names(events))
        until(lambda: {line["verb"] for line in hand.asked("binance_usdm")} >= {"cancel_all", "cancel_batch", "cancel"})
        assert [open_count(hand, venue) for venue in VENUES] == [12, 12, 12]
        # The control: the same stop, of venues that do what they say.
        hand.calm()
        assert names(kill(path, {}))[-1] == "FINAL"
        assert [open_count(hand, venue) for venue in VENUES] == [0, 0, 0]
        assert listed(hand, "binance_usdm") == []


@pytest.mark.parametrize("lie", ["hide_orders", "history_lag"])
def test_what_no_list_shows_is_found_by_its_name_before_anything_is_final(tmp_path: Path, hand: Hand, lie: str) -> None:
    """With a cancel of everything that does nothing, an account with orders looks empty. Its gate named them, as one that lives does."""
    ids = {venue: hand.rest_orders(venue, 2, f"{OURS}{venue[:2]}") for venue in VENUES}
    for venue in VENUES:
        hand.happen(
            {"fault": "ignore_cancel", "venue": venue, "verb": "cancel_all", "times": 0},
            {"fault": lie, "venue": venue, "verb": "read", "times": 0, "count": 1_000, "ms": 600_000},
        )
    # Binance's lists are few in a minute: those that only wait for the last moment of acceptance are spared.
    config = told(tmp_path, expiry_binance_usdm=MS, expiry_bybit=MS)
    with gate(tmp_path / "stop", "fine"), spawned(config) as (_, path):
        if lie == "history_lag":
            # Reads of one order lag as well. That a venue does not know an order is no end of it.
            unresolved: set[str] = set()

            def all_unresolved(events: list[dict[str, Any]]) -> bool:
                unresolved.update(event["venue"] for event in events if event["event"] == "UNRESOLVED")
                return unresolved == set(VENUES)

            events = follow(path, all_unresolved, client_ids=ids)
            assert "SWEPT" in names(events)
            assert not {"VENUE_FINAL", "FINAL"} & set(names(events))
            assert [open_count(hand, venue) for venue in VENUES] == [2, 2, 2]
            hand.calm()
        events = kill(path, ids)
        assert names(events).index("SWEPT") < names(events).index("FINAL") == len(events) - 1
        assert [open_count(hand, venue) for venue in VENUES] == [0, 0, 0]
        ended = {event["venue"]: event["ended"] for event in events if event["event"] == "VENUE_FINAL"}
        assert ended == {venue: dict.fromkeys(found, "cancelled") for venue, found in ids.items()}
        found = {event["venue"]: event["found"] for event in reversed(events) if event["event"] == "VENUE_SWEPT"}
        assert found == dict.fromkeys(VENUES, 0), "the lists showed none when they were first believed"


def test_a_venue_that_is_closed_is_swept_when_it_opens(tmp_path: Path, hand: Hand) -> None:
    for venue in VENUES:
        hand.rest_orders(venue, 30, OURS)
        hand.happen({"fault": "maintenance", "venue": venue, "ms": 1_500, "verb": "cancel_all"})
    with gate(tmp_path / "stop", "fine"), spawned(told(tmp_path)) as (_, path):
        events = kill(path, {}, ("TROUBLE",))
        assert events[-1]["reason"].startswith("cancel_everything: MAINTENANCE")
        assert sum(open_count(hand, venue) for venue in VENUES) > 0
        assert names(kill(path, {}))[-1] == "FINAL"
        assert [open_count(hand, venue) for venue in VENUES] == [0, 0, 0]


def test_a_ban_is_obeyed_for_as_long_as_the_venue_says(tmp_path: Path, hand: Hand) -> None:
    """Binance names the time. Where no time is told it is the least that the venue's pages say, which no test outlasts."""
    for venue in VENUES:
        hand.rest_orders(venue, 30, OURS)
        hand.happen({"fault": "ban", "venue": venue, "verb": "cancel_all", "ms": 1_000})
    with gate(tmp_path / "stop", "fine"), spawned(told(tmp_path)) as (process, path):
        events = follow(path, ("VENUE_FINAL",), client_ids={venue: [] for venue in VENUES})
        assert events[-1]["venue"] == "binance_usdm"
        assert {event["venue"] for event in events if event["event"] == "TROUBLE"} == set(VENUES)
        asked = {venue: hand.asked(venue) for venue in VENUES}
        assert asked["binance_usdm"][1]["monotonic_ns"] - asked["binance_usdm"][0]["monotonic_ns"] >= 1_000 * MS
        assert asked["binance_usdm"][1]["verb"] == "cancel_all"
        assert [[line["verb"] for line in asked[venue]] for venue in ("upbit", "bybit")] == [["cancel_all"], ["cancel_all"]]
        assert [open_count(hand, venue) for venue in VENUES] == [30, 0, 30]
        process.terminate()
        assert process.wait(10) == 0


def test_an_account_is_emptied_although_no_list_can_be_read(tmp_path: Path, hand: Hand) -> None:
    hand.rest_orders("binance_usdm", 60, OURS)
    hand.happen({"fault": "error_without_accepting", "venue": "binance_usdm", "verb": "read", "times": 0})
    with gate(tmp_path / "stop", "fine"), spawned(told(tmp_path, "binance_usdm")) as (_, path):
        events = kill(path, {}, ("TROUBLE",))
        until(lambda: open_count(hand, "binance_usdm") == 0)
        assert "SWEPT" not in names(events)
        hand.calm()
        assert names(kill(path, {}))[-1] == "FINAL"


def test_what_is_left_of_the_limits_is_for_cancels(tmp_path: Path, hand: Hand) -> None:
    ids = hand.rest_orders("binance_usdm", 60, OURS)
    # All of it has to happen within one of the venue's minutes.
    while time.time() % 60 > 40:
        time.sleep(0.1)
    # Somebody else at the same address uses up what the venue gives in a minute, but for a few.
    for _ in range(58):
        urllib.request.urlopen(f"{hand.where['binance_usdm']['rest']}/fapi/v1/ticker/24hr", timeout=10).close()
    with gate(tmp_path / "stop", "fine"), spawned(told(tmp_path, "binance_usdm")) as (_, path):
        assert hand.open_ids("binance_usdm") == set(ids)
        events = kill(path, {}, ("TROUBLE",))
        assert "for cancels" in events[-1]["reason"]
        until(lambda: open_count(hand, "binance_usdm") == 0)
        assert {line["verb"] for line in hand.asked("binance_usdm")} <= {"cancel_all"}


def test_orders_where_nobody_thought_of_them_are_found(tmp_path: Path, hand: Hand) -> None:
    ids = hand.rest_orders("binance_usdm", 60, OURS)
    with gate(tmp_path / "stop", "fine"), spawned(told(tmp_path, "binance_usdm", part={"symbols": ("BTCUSDT",)})) as (_, path):
        assert hand.open_ids("binance_usdm") == set(ids)
        assert names(kill(path, {}))[-1] == "FINAL"
        assert open_count(hand, "binance_usdm") == 0


def test_a_clock_that_is_off_delays_a_kill_and_no_more(tmp_path: Path, hand: Hand) -> None:
    venues = ("binance_usdm", "bybit")
    for venue in venues:
        hand.rest_orders(venue, 30, OURS)
        hand.happen({"fault": "clock_skew", "venue": venue, "ms": 60_000})
    with gate(tmp_path / "stop", "fine"), spawned(told(tmp_path, *venues)) as (_, path):
        events = kill(path, {})
        assert names(events)[-1] == "FINAL"
        assert [open_count(hand, venue) for venue in venues] == [0, 0]
        # The control: at first both refused it.
        assert {event["venue"] for event in events if "CLOCK_SKEW" in event.get("reason", "")} == set(venues)


def test_the_dead_man_of_binance_is_armed_while_all_is_well_and_fires_when_we_are_gone(tmp_path: Path, hand: Hand) -> None:
    for venue in VENUES:
        hand.rest_orders(venue, 6, OURS)
    beats = {"dead_man_symbols": ("BTCUSDT", "ETHUSDT"), "countdown_ns": 2_000 * MS, "beat_every_ns": 500 * MS}
    with gate(tmp_path / "stop", "fine"), spawned(told(tmp_path, part=beats)) as (process, path):
        users = frozenset({os.geteuid()})
        rest = {"verb": "rest", "venue": "binance_usdm", "symbol": "BTCUSDT"}
        assert next(iter(control.ask(path, rest, users, 5.0))) == {"event": "ARMED"}
        assert next(iter(control.ask(path, {**rest, "venue": "bybit"}, users, 5.0))) == {"event": "NOT_ARMED"}
        until(lambda: [line["verb"] for line in hand.asked("binance_usdm")].count("heartbeat") > 10)
        assert [open_count(hand, venue) for venue in VENUES] == [6, 6, 6], "armed for longer than the countdown, and beaten"
        assert "heartbeat" not in [line["verb"] for venue in ("upbit", "bybit") for line in hand.asked(venue)]
        process.kill()
        until(lambda: open_count(hand, "binance_usdm") == 4)
        assert [open_count(hand, venue) for venue in VENUES] == [6, 4, 6]
        symbols = {order["symbol"] for order in hand.state("binance_usdm")["orders"] if order["state"] == "open"}
        assert not symbols & {"BTCUSDT", "ETHUSDT"}


def test_one_that_is_killed_in_the_middle_is_finished_by_the_next(tmp_path: Path, hand: Hand) -> None:
    for venue in VENUES:
        hand.rest_orders(venue, 600, OURS)
        hand.happen({"fault": "maintenance", "venue": venue, "ms": 1_000, "verb": "cancel_all"})
    with gate(tmp_path / "stop", "fine"):
        word = StopWord.attach(tmp_path / "stop")
        config = told(tmp_path)
        with spawned(config) as (process, path):
            kill(path, {}, ("TROUBLE",))
            process.kill()
            process.wait(5)
        assert word.unfinished == 2
        assert sum(open_count(hand, venue) for venue in VENUES) > 0
        with spawned(config):
            until(lambda: not any(open_count(hand, venue) for venue in VENUES), 30)
        word.close()
