"""Amends are found by symbol and by either id of their order, the latest first; one that was not done after all is forgotten."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice

from interlock.simulate.served.binance_usdm.amends import Amendment, Amends


def amendment(number: int, order: int, symbol: str = "BTCUSDT") -> Amendment:
    return Amendment(
        number=number,
        symbol=symbol,
        order_id=order,
        client_id=f"c{order}",
        at_ms=1_000 * number,
        price=(Decimal("60000.10"), Decimal(f"{60000 + number}.1")),
        quantity=(Decimal("0.010"), Decimal("0.020")),
        count=number,
        modify_id=str(number),
    )


def test_amends_are_found_as_they_were_the_latest_first() -> None:
    amends = Amends()
    assert (amends.latest, amends.count) == (None, 0)
    assert list(amends.newest("BTCUSDT", order_id=None, client_id="")) == []
    done = [amendment(number, number % 3, "ETHUSDT" if number % 3 == 2 else "BTCUSDT") for number in range(1, 10)]
    for one in done:
        amends.add(one)
    assert (amends.latest, amends.count) == (done[-1], 9)
    latest = done[::-1]
    assert list(amends.newest("BTCUSDT", order_id=None, client_id="")) == [one for one in latest if one.symbol == "BTCUSDT"]
    assert list(amends.newest("BTCUSDT", order_id=1, client_id="")) == [one for one in latest if one.order_id == 1]
    assert list(amends.newest("BTCUSDT", order_id=None, client_id="c0")) == [one for one in latest if one.order_id == 0]
    assert list(amends.newest("BTCUSDT", order_id=2, client_id="")) == []
    assert list(amends.newest("BTCUSDT", order_id=1, client_id="c0")) == []
    assert list(amends.newest("BTCUSDT", order_id=(1 << 64), client_id="\ud800")) == []
    assert next(islice(amends.newest("ETHUSDT", order_id=None, client_id=""), 1, 2)) == done[4]


def test_an_amend_that_was_not_done_is_forgotten() -> None:
    amends = Amends()
    amends.add(amendment(1, 1))
    amends.add(amendment(2, 1))
    amends.take_back()
    assert (amends.latest, amends.count) == (amendment(1, 1), 1)
    amends.add(amendment(2, 5))
    assert [one.order_id for one in amends.newest("BTCUSDT", order_id=None, client_id="")] == [5, 1]
