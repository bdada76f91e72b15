"""Damaged answers and frames of Bybit: each is a value, a refusal or a gap, and nothing else comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.bybit.talks import COIN, ENTRY, EXECUTION, INSTRUMENTS, LOG, ORDER, POSITION, clock, ok, rows
from tests.venues.bybit.test_account import KEY_FACTS, TICKER
from tests.venues.scripted import finish

from interlock.domain.errors import UsageError
from interlock.venues.bybit import disconnect
from interlock.venues.bybit.account import Account
from interlock.venues.bybit.account_stream import AccountStream
from interlock.venues.port import Ask, Heard, Nonsense, Refused, Talk

READS = Account(INSTRUMENTS)
FEED = AccountStream(INSTRUMENTS)
WALLET = {"accountType": "UNIFIED", "totalAvailableBalance": "1", "totalMaintenanceMargin": "1", "coin": [COIN]}
FUNDING = EXECUTION | {"execType": "Funding"}
DOLLARS = {"symbol": "USDCUSDT", "bid1Price": "0.9998", "ask1Price": "0.9999"}
LIMITS = {"symbol": "BTCUSDT", "buyLmt": "105878.10", "sellLmt": "103781.60", "ts": "1750302284491"}
TIER = {"symbol": "BTCUSDT", "riskLimitValue": "2000000", "maintenanceMargin": "0.005", "initialMargin": "0.01"}

TALKS: dict[str, tuple[Callable[[], Talk[Any]], list[Heard]]] = {
    "clock": (READS.clock, [clock()]),
    "listings": (READS.listings, [rows(ENTRY)]),
    "top": (lambda: READS.top("BTCUSDT"), [rows(TICKER), rows(ENTRY)]),
    "key": (lambda: READS.key("x"), [ok(KEY_FACTS)]),
    "mode": (READS.mode, [ok({"marginMode": "REGULAR_MARGIN"}), rows(POSITION)]),
    "fees": (lambda: READS.fees("BTCUSDT"), [rows({"symbol": "BTCUSDT", "takerFeeRate": "0.1", "makerFeeRate": "0"})]),
    "margin": (READS.margin, [rows(WALLET)]),
    "balances": (READS.balances, [rows(WALLET)]),
    "positions": (READS.positions, [rows(POSITION), rows()]),
    "order": (lambda: READS.order("BTCUSDT", "arb-0001"), [rows(ORDER)]),
    "open": (READS.open_orders, [rows(ORDER, ORDER), rows()]),
    "ended": (lambda: READS.ended_orders(1_746_270_300_000_000_000), [clock(), rows(ORDER), rows(), rows(ORDER)]),
    "fills": (lambda: READS.fills("1746270400000-1"), [clock(), rows(EXECUTION, FUNDING)]),
    "ledger": (lambda: READS.ledger("1746270400000-1"), [clock(), rows(FUNDING), rows(LOG)]),
    "dollars": (lambda: READS.dollars("USDT"), [rows(DOLLARS)]),
    "price limit": (lambda: READS.price_limit("BTCUSDT"), [ok(LIMITS)]),
    "tiers": (READS.tiers, [rows(TIER)]),
    "window": (disconnect.window_s, [ok({"dcpInfos": [{"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "10"}]})]),
}
FRAMES = [
    {"topic": "order", "data": [ORDER | {"category": "linear"}]},
    {"topic": "execution", "data": [EXECUTION | {"category": "linear"}, FUNDING]},
    {"topic": "position", "data": [POSITION]},
    {"topic": "wallet", "data": [WALLET]},
    {"op": "auth", "success": True, "retCode": 0},
]

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "NaN", "-1", "1e5", "Infinity", "0", "0.00000000000000000001", "9" * 40, "9" * 50, "٣", " 1", "1_0", "+1", "1."]),
    st.sampled_from(["Funding", "BustTrade", "Cancelled", "Filled", "None", "spot", "2026-01-01", "9999-12-31T23:59:59Z"]),
    st.just([]),
    st.just({}),
)


@st.composite
def damaged(draw: st.DrawFn, value: Any) -> Any:
    """The value with a few of its parts replaced, left out or doubled."""
    found = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, 3))):
        at = found
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = at[key]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                at = inner
                continue
            what = draw(st.integers(0, 5))
            if what == 0:
                del at[key]
            elif what == 1 and isinstance(at, list):
                at.append(inner)
            else:
                at[key] = draw(ODD)
            break
    return found


def spoiled(draw: st.DrawFn, value: Any) -> bytes:
    text = json.dumps(draw(damaged(value))).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.binary(max_size=3)) + text[at + draw(st.integers(0, 3)) :]
    return text


def assert_sane(value: Any) -> None:
    """No number in it is NaN or infinite, and counts stay below 2**62."""
    if isinstance(value, Decimal):
        assert value.is_finite()
    elif isinstance(value, int):
        assert abs(value) < 2**63
    elif isinstance(value, tuple | list):
        for each in value:
            assert_sane(each)
    elif isinstance(value, Mapping):
        assert_sane(tuple(value.values()))
    elif is_dataclass(value):
        for each in fields(value):
            assert_sane(getattr(value, each.name))


@settings(max_examples=8 * settings().max_examples)
@given(st.data(), st.sampled_from(sorted(TALKS)))
def test_a_read_of_damaged_answers_is_a_value_or_refused(data: st.DataObject, name: str) -> None:
    talk, script = TALKS[name]
    answers = iter(script)
    asked = 0

    def answer(_: Ask) -> Heard:
        nonlocal asked
        asked += 1
        heard = next(answers, None)
        if heard is None:
            return rows()
        body = data.draw(st.composite(lambda draw: spoiled(draw, json.loads(heard.body)))())
        return Heard(data.draw(st.sampled_from([200, 200, 200, 200, 403, 429, 500, 0])), {"x-bapi-limit-reset-timestamp": "x"}, body)

    with suppress(Nonsense, Refused):
        assert_sane(finish(talk(), answer))
    assert asked < 250


@settings(max_examples=8 * settings().max_examples)
@given(st.data(), st.sampled_from(FRAMES))
def test_a_damaged_frame_is_events_or_a_gap(data: st.DataObject, frame: dict[str, Any]) -> None:
    told = FEED.take(data.draw(st.composite(lambda draw: spoiled(draw, frame))()))
    assert_sane(told.events)


@given(st.binary(max_size=300))
def test_noise_is_a_gap(noise: bytes) -> None:
    told = FEED.take(noise)
    assert told.gap
    assert told.events == ()
    for talk, _ in TALKS.values():
        with pytest.raises(Nonsense):
            finish(talk(), lambda _: Heard(200, {}, noise))


@given(st.text(min_size=1, max_size=40).filter(lambda text: "-" not in text))
def test_a_cursor_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cursor"):
        finish(READS.fills(text), lambda _: clock())
