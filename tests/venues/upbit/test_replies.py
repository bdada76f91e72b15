"""Answers: what is a yes, what is a no, and text that becomes numbers and times."""

from __future__ import annotations

import json
from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.upbit.talks import no, ok

from interlock.market.shipped import SHIPPED
from interlock.venues.port import Heard, Nonsense, Refused
from interlock.venues.trouble import Trouble
from interlock.venues.upbit import budgets, replies


@pytest.mark.parametrize(
    ("heard", "trouble", "code", "wait_ms"),
    [
        (no("order_not_found", 404), Trouble.ORDER_NOT_FOUND, "order_not_found", 0),
        (no(404, 404), Trouble.UNKNOWN, "404", 0),
        (no(429, 429), Trouble.RATE_LIMIT, "429", 1_000),
        (Heard(429, {"retry-after": "3"}, b"slow down"), Trouble.RATE_LIMIT, "", 3_000),
        (Heard(429, {"retry-after": "soon"}, b""), Trouble.RATE_LIMIT, "", 1_000),
        (Heard(418, {}, b""), Trouble.RATE_LIMIT, "", 60_000),
        (Heard(418, {"retry-after": "999999999"}, b""), Trouble.RATE_LIMIT, "", 86_400_000),
        (no("no_authorization_ip", 401, retry_after="5"), Trouble.IP_RESTRICTION, "no_authorization_ip", 0),
        (Heard(502, {}, b"<html>"), Trouble.NETWORK_ERROR, "", 0),
        (Heard(400, {}, b'{"error":{"name":"invalid_funds"},"uuid":"x"}'), Trouble.UNKNOWN, "", 0),
        (Heard(204, {}, b""), Trouble.UNKNOWN, "", 0),
    ],
)
def test_a_refusal_is_told_by_its_name(heard: Heard, trouble: Trouble, code: str, wait_ms: int) -> None:
    with pytest.raises(Refused) as caught:
        replies.read(heard)
    assert (caught.value.explained.trouble, caught.value.explained.code, caught.value.retry_after_ms) == (trouble, code, wait_ms)


def test_a_yes_is_handed_on_and_one_with_a_refusal_is_none() -> None:
    assert replies.read(ok([1])) == b"[1]"
    with pytest.raises(Nonsense, match="out_of_scope"):
        replies.read(no("out_of_scope", 200))


def test_what_is_too_long_or_no_text_is_not_decoded() -> None:
    for body in (b" " * (replies.MAX_BODY_BYTES + 1), b'"\xff"', b"[" * 5_000, b"{"):
        with pytest.raises(Nonsense):
            replies.decoded(json.loads, body, "body")


@pytest.mark.parametrize("text", [None, "", "-1", "+1", "1e5", "0E-8", "NaN", "Infinity", ".5", "1.", " 1", "1_0", "\u0661", "1" * 25])
def test_what_is_no_amount(text: str | None) -> None:
    with pytest.raises(Nonsense, match="plain decimal"):
        replies.amount(text, "x")


@given(st.decimals(min_value=0, max_value=10**20, places=10))
def test_an_amount_is_what_it_says_and_is_written_so(value: Decimal) -> None:
    assert replies.amount(f"{value:f}", "x") == value
    text = replies.text_of(value)
    assert Decimal(text) == value
    assert "E" not in text
    assert not (text.endswith(("0", ".")) and "." in text)


@pytest.mark.parametrize("value", [None, Decimal("NaN"), Decimal("Infinity"), Decimal(-1), Decimal("1e400"), Decimal("-0.0")])
def test_what_is_no_number_of_the_stream(value: Decimal | None) -> None:
    with pytest.raises(Nonsense):
        replies.number(value, "x")
    assert f"{replies.number(Decimal('1.16539E8'), 'x'):f}" == "116539000"


def test_sums_and_products_lose_no_digit() -> None:
    long = Decimal("1386929.37231066771348207123")
    assert replies.plus(long, Decimal("0.000000000000000000000000000001")) == Decimal("1386929.372310667713482071230000000001")
    digits = 138692937231066771348207123
    assert replies.times(long, Decimal("3.00000000000000000001")) == Decimal(digits * 300_000_000_000_000_000_001).scaleb(
        -40, Context(prec=60)
    )


def test_between_two_ticks_or_lots_is_nonsense() -> None:
    btc = SHIPPED["upbit:KRW-BTC"]
    assert (replies.ticks(btc, Decimal("50000000.0"), "x"), replies.lots(btc, Decimal("0.00000001"), "x")) == (50_000_000, 1)
    with pytest.raises(Nonsense, match="multiple of 1,"):
        replies.ticks(btc, Decimal("50000000.5"), "x")
    with pytest.raises(Nonsense, match=r"multiple of 0\.00000001,"):
        replies.lots(btc, Decimal("0.000000015"), "x")


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("2025-07-04T15:00:00+09:00", 1_751_608_800_000_000_000),
        ("2025-07-04T06:00:00Z", 1_751_608_800_000_000_000),
        ("2025-07-04T06:00:00.25Z", 1_751_608_800_250_000_000),
    ],
)
def test_a_time_has_its_zone(text: str, expected_ns: int) -> None:
    assert replies.time_ns(text, "x") == expected_ns


@pytest.mark.parametrize(
    "text", ["", "2025-07-04T15:00:00", "2025-13-04T15:00:00+09:00", "1969-01-01T00:00:00Z", "2201-01-01T00:00:00Z", "now"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Nonsense, match="expected a time"):
        replies.time_ns(text, "x")


def test_the_date_of_an_answer() -> None:
    assert replies.date_ns({"date": "Fri, 04 Jul 2025 06:00:00 GMT"}) == 1_751_608_800_000_000_000
    assert replies.date_ns({}) == 0
    for text in ("yesterday", "Fri, 04 Jul 2025 06:00:00 -0000", "Fri, 99 Jul 2025 06:00:00 GMT", "Fri, 04 Jul 1901 06:00:00 GMT"):
        with pytest.raises(Nonsense):
            replies.date_ns({"date": text})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("group=default; min=1800; sec=29", {"default": 29}),
        ("group=order-cancel-all; min=0; sec=0", {"order-cancel-all": 0}),
        ("group=unheard-of; min=1; sec=1", {}),
        ("group=default; min=1800; sec=-1", {}),
        ("", {}),
    ],
)
def test_what_is_left_of_a_group(text: str, expected: dict[str, int]) -> None:
    assert budgets.seen({"remaining-req": text}) == expected
    assert budgets.seen({}) == {}


def test_every_budget_says_how_much_in_how_long_and_of_what() -> None:
    assert all(
        most > 0 and span_ms >= 1_000 and scope in ("address", "pocket", "connection") for most, span_ms, scope in budgets.BUDGETS.values()
    )
    assert budgets.BUDGETS["order"] == (12, 1_000, "pocket")


@given(st.binary(max_size=60))
def test_any_body_is_a_name_or_none(body: bytes) -> None:
    assert isinstance(replies.refusal_name(body), str)
