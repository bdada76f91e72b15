"""Setting and reading disconnection protection: what is asked, what the answer means, and that nothing else is signed for it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.venues.bybit.talks import NOW_MS, no, ok
from tests.venues.scripted import scripted

from interlock.domain.errors import UsageError
from interlock.venues.bybit import disconnect
from interlock.venues.bybit.trade import Trade
from interlock.venues.port import Ask, Nonsense, Refused, Stamp
from interlock.venues.request import Call, Key, Method

KEY = Key("XXXXXXXXXX", "testsecret0123456789abcdefTESTSECRET")
STAMP = Stamp(timestamp_ms=NOW_MS, nonce="n", receive_window_ms=5000)
ON = {"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "10"}


def test_the_window_of_derivatives_is_asked_for() -> None:
    _, (asked,) = scripted(disconnect.set_window(10), [ok()])
    assert (asked.call.method, asked.call.path, asked.budget) == (Method.POST, "/v5/order/disconnected-cancel-all", "guard")
    assert msgspec.json.decode(asked.call.body) == {"product": "DERIVATIVES", "timeWindow": 10}
    with pytest.raises(Refused):
        scripted(disconnect.set_window(10), [no(10005)])
    with pytest.raises(UsageError, match="3 to 300 s, found 2"):
        scripted(disconnect.set_window(2), [ok()])


@pytest.mark.parametrize(
    ("infos", "window_s"),
    [
        ([ON], 10),
        ([{"product": "SPOT", "dcpStatus": "ON", "timeWindow": "5"}, ON], 10),
        ([], 0),
        ([ON | {"product": "SPOT"}], 0),
        ([ON | {"dcpStatus": "OFF"}], 0),
        ([ON, ON | {"timeWindow": "20"}], 0),
        ([ON | {"timeWindow": "-10"}], 0),
        ([ON | {"timeWindow": "10000000"}], 0),
        ([ON | {"timeWindow": ""}], 0),
    ],
)
def test_only_a_window_of_derivatives_that_is_on_counts(infos: list[dict[str, Any]], window_s: int) -> None:
    found, (asked,) = scripted(disconnect.window_s(), [ok({"dcpInfos": infos})])
    assert found == window_s
    assert (asked.call.method, asked.call.path) == (Method.GET, "/v5/account/query-dcp-info")


def test_an_answer_that_is_none_is_no_protection() -> None:
    for result in ({}, {"dcpInfos": None}, {"dcpInfos": [{"product": "DERIVATIVES"}]}):
        with pytest.raises(Nonsense):
            scripted(disconnect.window_s(), [ok(result)])


def test_nothing_else_is_signed_with_it() -> None:
    for asked in (Trade({}).guard(10), next(disconnect.window_s())):
        assert dict(disconnect.sign_switch(KEY, asked, STAMP).headers)["X-BAPI-API-KEY"] == KEY.access
    for call in (Call(Method.POST, "/v5/order/cancel-all", body=b"{}"), Call(Method.GET, "/v5/order/disconnected-cancel-all")):
        with pytest.raises(UsageError, match="not on its list"):
            disconnect.sign_switch(KEY, Ask(call), STAMP)
