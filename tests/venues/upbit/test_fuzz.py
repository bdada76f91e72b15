"""Damaged answers and frames of Upbit: each is a value, a refusal or a gap, and nothing else comes of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.scripted import finish
from tests.venues.upbit.talks import BOOK, CHANCE, INSTRUMENTS, MY_ORDER, ORDER, TRADE, clock, no, ok
from tests.venues.upbit.test_account import MARKETS, NEW_BOOK, UNITS
from tests.venues.upbit.test_account_stream import FILL
from tests.venues.upbit.test_transfers import ROW as DEPOSIT
from tests.venues.upbit.test_transfers import WITHDRAWAL

from interlock.domain.orders import OrderState
from interlock.venues.port import Accepted, Ask, Heard, LedgerSeen, Nonsense, Refused, Talk, Told
from interlock.venues.trouble import Doing, Explained
from interlock.venues.upbit import trade
from interlock.venues.upbit.account import Account
from interlock.venues.upbit.account_stream import AccountStream

READS = Account(INSTRUMENTS)
FEED = AccountStream(INSTRUMENTS)
FILLED = ORDER | {"state": "done", "executed_volume": "0.001", "paid_fee": "25", "trades": [TRADE]}
KEYS = [{"access_key": "x", "expire_at": "2027-06-01T09:00:00+09:00"}]
HOLDINGS = [{"currency": "KRW", "balance": "1000000.0", "locked": "0.5"}, {"currency": "BTC", "balance": "2.0", "locked": "0.0"}]
WALLETS = [{"currency": "BTC", "wallet_state": "working"}]
CANCELLED = {"success": {"count": 1, "orders": [{"uuid": "u", "identifier": "a"}]}, "failed": {"count": 0, "orders": []}}

TALKS: dict[str, tuple[Callable[[], Talk[Any]], list[Heard]]] = {
    "clock": (READS.clock, [ok([BOOK], date="Fri, 04 Jul 2025 06:20:01 GMT")]),
    "listings": (READS.listings, [clock(), ok(MARKETS), ok(UNITS), ok([BOOK, NEW_BOOK])]),
    "top": (lambda: READS.top("KRW-BTC"), [ok([BOOK])]),
    "statuses": (READS.statuses, [ok(MARKETS), ok(CHANCE), ok(WALLETS)]),
    "key": (lambda: READS.key("x"), [ok(KEYS)]),
    "fees": (lambda: READS.fees("KRW-BTC"), [ok(CHANCE)]),
    "margin": (READS.margin, [ok(HOLDINGS)]),
    "balances": (READS.balances, [ok(HOLDINGS)]),
    "order": (lambda: READS.order("KRW-BTC", "arb-0001"), [no("order_not_found", 404), ok([ORDER])]),
    "open": (READS.open_orders, [clock(), ok([ORDER, FILLED])]),
    "ended": (lambda: READS.ended_orders(1_751_600_000_000_000_000), [clock(), ok([FILLED]), ok([])]),
    "ledger": (lambda: READS.ledger("1 1751600000000"), [clock(), ok([DEPOSIT]), ok([WITHDRAWAL])]),
    "fills": (lambda: READS.fills("1 1751600000000"), [clock(), ok([]), ok([FILLED]), ok(FILLED)]),
}
FRAMES: list[dict[str, Any]] = [
    MY_ORDER,
    MY_ORDER | {"state": "cancel", "time_in_force": "post_only"},
    MY_ORDER | FILL,
    {"type": "myAsset", "assets": [{"currency": "KRW", "balance": 1.5, "locked": 0}], "timestamp": 1},
    {"method": "LIST_SUBSCRIPTIONS", "result": [{"type": "myOrder"}, {"type": "myAsset"}]},
    {"error": {"name": "WRONG_FORMAT"}},
    {"status": "UP"},
]

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["", "NaN", "-1", "1e5", "Infinity", "0", "0.00000000000000000001", "9" * 24, "9" * 60, "\u0663", " 1", "1_0", "+1", "1."]
    ),
    st.sampled_from(["cancel", "done", "wait", "price", "best", "ioc", "reduce", "2026-01-01", "9999-12-31T23:59:59Z", "KRW-BTC"]),
    st.sampled_from([1e-300, 1e300, 5e-324, 1e39, 1e-39]),
    st.just([]),
    st.just({}),
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a message and each of its keys."""
    found: list[tuple[Any, Any]] = []
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    for key in keys:
        found.append((value, key))
        found.extend(places(value[key]))
    return found


@st.composite
def damaged(draw: st.DrawFn, message: Any) -> bytes:
    """The message with one to three of its parts replaced or taken out, or its bytes cut or changed."""
    message = copy.deepcopy(message)
    for _ in range(draw(st.integers(1, 3))):
        if not (found := places(message)):
            break
        container, key = draw(st.sampled_from(found))
        if draw(st.booleans()):
            container[key] = draw(ODD)
        else:
            del container[key]
    data = bytearray(json.dumps(message).encode())
    if draw(st.booleans()) and data:
        at = draw(st.integers(0, len(data) - 1))
        data[at:] = data[at + 1 :] if draw(st.booleans()) else draw(st.binary(max_size=3))
    return bytes(data)


def sound(value: Any) -> None:
    """Nothing in a value is NaN or infinite, and no count or fee is below 0."""
    if isinstance(value, Decimal):
        assert value.is_finite()
        assert value >= 0
    elif isinstance(value, bool):
        return
    elif isinstance(value, LedgerSeen):
        assert value.amount.is_finite()
        assert 0 < value.venue_ns < 2**63
    elif isinstance(value, int) and type(value) is int:
        assert 0 <= value < 2**63
    elif is_dataclass(value):
        for each in fields(value):
            sound(getattr(value, each.name))
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            sound(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            sound(one)
    elif isinstance(value, dict):
        for one in value.values():
            sound(one)


@pytest.mark.parametrize("name", TALKS)
@given(data=st.data())
def test_a_damaged_answer_is_a_value_a_refusal_or_nonsense(name: str, data: st.DataObject) -> None:
    talk, answers = TALKS[name]
    at = data.draw(st.integers(0, len(answers) - 1))
    status = data.draw(st.sampled_from([answers[at].status] * 4 + [200, 404, 500]))
    body = data.draw(st.one_of(damaged(json.loads(answers[at].body)), st.binary(max_size=30)))
    heard = [*answers[:at], Heard(status, answers[at].headers, body), *answers[at + 1 :]]
    count = iter(range(1_000))

    def answer(_: Ask) -> Heard:
        number = next(count)
        return heard[number] if number < len(heard) else ok([])

    with suppress(Nonsense, Refused):
        sound(finish(talk(), answer))


@pytest.mark.parametrize("name", TALKS)
def test_an_answer_that_is_not_damaged_is_a_value(name: str) -> None:
    talk, answers = TALKS[name]
    left = iter(answers)
    sound(finish(talk(), lambda _: next(left)))


@pytest.mark.parametrize("frame", FRAMES)
@given(data=st.data())
def test_a_damaged_frame_is_told_or_a_gap(frame: dict[str, Any], data: st.DataObject) -> None:
    found = FEED.take(data.draw(st.one_of(damaged(frame), st.binary(max_size=30))))
    assert isinstance(found, Told)
    sound(found.events)
    assert not (found.gap and found.events)


@given(data=st.data())
def test_a_damaged_answer_to_an_order_is_never_more_than_it_says(data: st.DataObject) -> None:
    message = data.draw(st.sampled_from([ORDER, FILLED, CANCELLED, {"error": {"name": "insufficient_funds_bid"}}]))
    heard = Heard(data.draw(st.sampled_from([200, 201, 400, 401, 429, 500])), {}, data.draw(damaged(message)))
    verbs = trade.Trade(INSTRUMENTS)
    for doing in (Doing.PLACE, Doing.CANCEL):
        found = verbs.answered(heard, doing)
        assert isinstance(found, Accepted | Explained)
        sound(found)
        if doing is Doing.PLACE and isinstance(found, Accepted):
            assert found.client_id
        if doing is Doing.CANCEL and isinstance(found, Accepted):
            assert found.state is OrderState.ACKED
    assert len(verbs.batch_answered(heard, Doing.CANCEL, 2)) == 2
