"""Bybit's instruments, rounding toward less risk, and the check before anything is sent."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.venues.bybit.talks import BTC, ENTRY, no, ok, rows
from tests.venues.scripted import encoded

from interlock.domain.instruments import Instrument, Kind, Status
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.market.shipped import SHIPPED
from interlock.venues.bybit import rules
from interlock.venues.port import Nonsense, OrderWanted

DAY = date(2026, 11, 21)


def described(**changes: Any) -> Instrument | None:
    return rules.instrument(encoded(ENTRY | changes), DAY)


def perpetual(base: str) -> Instrument:
    found = described(symbol=f"{base}USDT", baseCoin=base)
    assert found is not None
    return found


def wanted(**changes: Any) -> OrderWanted:
    order: dict[str, Any] = {
        "instrument": BTC,
        "client_id": "arb-0001",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "tif": TimeInForce.GTC,
        "ticks": 300_005,
        "lots": 1,
    }
    return OrderWanted(**(order | changes))


def test_an_instrument_is_what_the_venue_describes() -> None:
    btc = described()
    assert btc is not None
    shipped = SHIPPED["bybit:BTCUSDT"]
    same = ("key", "base", "quote", "quantum", "lot", "min_price", "max_price", "min_lots", "max_lots", "max_market_lots", "min_notional")
    assert [getattr(btc, name) for name in same] == [getattr(shipped, name) for name in same]
    assert (btc.funding_interval_h, btc.status, btc.valid_from, btc.inferred, btc.kind) == (8, Status.TRADING, DAY, False, Kind.PERPETUAL)
    assert "assumed" in btc.source


def test_figures_that_do_not_fit_lots_are_taken_toward_less() -> None:
    sizes = {"maxOrderQty": "10.0015", "maxMktOrderQty": "99", "minOrderQty": "0.0015", "qtyStep": "0.001"}
    found = described(lotSizeFilter=sizes, priceFilter={"minPrice": "0", "maxPrice": "9", "tickSize": "0.5"}, fundingInterval=90)
    assert found is not None
    assert (found.min_lots, found.max_lots, found.max_market_lots, found.min_notional) == (2, 10_001, 10_001, Decimal(0))
    assert (found.min_price, found.funding_interval_h) == (Decimal("0.5"), 2)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "Trading"}, Status.TRADING),
        ({"status": "Trading", "preListingInfo": None}, Status.TRADING),
        ({"status": "Trading", "preListingInfo": {"curAuctionPhase": "ContinuousTrading"}}, Status.TRADING),
        ({"status": "Trading", "preListingInfo": {"curAuctionPhase": "CallAuction"}}, Status.HALTED),
        ({"status": "PreLaunch"}, Status.HALTED),
        ({"status": "Delivering"}, Status.HALTED),
        ({"status": "Closed"}, Status.HALTED),
    ],
)
def test_what_takes_orders(changes: dict[str, Any], status: Status) -> None:
    found = described(**changes)
    assert found is not None
    assert found.status is status


@pytest.mark.parametrize(
    "changes", [{"contractType": "LinearFutures"}, {"quoteCoin": "USDC", "settleCoin": "USDC"}, {"settleCoin": "USDC"}]
)
def test_other_contracts_are_not_ours(changes: dict[str, Any]) -> None:
    assert described(**changes) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"priceFilter": {"minPrice": "0.10", "maxPrice": "1", "tickSize": "NaN"}},
        {"priceFilter": {"minPrice": "0.10", "maxPrice": "1", "tickSize": "0"}},
        {"priceFilter": {"minPrice": "0.10", "maxPrice": "0.01", "tickSize": "0.1"}},
        {"priceFilter": {"minPrice": "0.10", "maxPrice": "1e9", "tickSize": "0.1"}},
        {"lotSizeFilter": {"maxOrderQty": "0", "minOrderQty": "1", "qtyStep": "1"}},
        {"lotSizeFilter": {"maxOrderQty": "1", "minOrderQty": "1"}},
        {"fundingInterval": "480"},
        {"symbol": ""},
    ],
)
def test_what_makes_no_sense_is_no_instrument(changes: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        described(**changes)


def test_instruments_of_a_page_as_it_came() -> None:
    body = rows(ENTRY, ENTRY | {"contractType": "LinearFutures"}, time=1_707_186_451_514).body
    (btc,) = rules.instruments(body)
    assert (btc.symbol, str(btc.valid_from)) == ("BTCUSDT", "2024-02-06")
    for wrong in (rows(ENTRY, time=0), no(10001), rows(ENTRY | {"symbol": 1}), ok()):
        with pytest.raises(Nonsense):
            rules.instruments(wrong.body)


# Coins


@pytest.mark.parametrize(
    ("base", "coin", "many"),
    [
        ("BTC", "BTC", 1),
        ("1000PEPE", "PEPE", 1000),
        ("10000SATS", "SATS", 10000),
        ("1000000MOG", "MOG", 1000000),
        ("SHIB1000", "SHIB", 1000),
        ("1INCH", "1INCH", 1),
        ("100X", "100X", 1),
        ("1000X", "1000X", 1),
    ],
)
def test_the_coin_of_a_contract(base: str, coin: str, many: int) -> None:
    assert rules.coin_of(base) == (coin, Decimal(many))


# The check


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({}, ""),
        ({"instrument": msgspec.structs.replace(BTC, status=Status.HALTED)}, "status"),
        ({"client_id": "ä"}, "client_id"),
        ({"client_id": "x" * 37}, "client_id"),
        ({"cost": Decimal(5)}, "cost"),
        ({"lots": 0}, "min_lots"),
        ({"lots": 1_190_000}, ""),
        ({"lots": 1_190_001}, "max_lots"),
        ({"ticks": 0}, "price_range"),
        ({"ticks": 19_999_998}, ""),
        ({"ticks": 19_999_999}, "price_range"),
        ({"ticks": 49_999}, "min_notional"),
        ({"ticks": 50_000}, ""),
        ({"ticks": 10, "reduce_only": True}, ""),
        ({"type": OrderType.MARKET, "ticks": 0, "tif": TimeInForce.IOC}, ""),
        ({"type": OrderType.MARKET, "ticks": 0, "tif": TimeInForce.IOC, "lots": 500_001}, "max_lots"),
        ({"type": OrderType.MARKET, "ticks": 0}, "market_tif"),
        ({"type": OrderType.MARKET, "ticks": 1, "tif": TimeInForce.IOC}, "price_range"),
    ],
)
def test_what_an_order_is_refused_for(changes: dict[str, Any], refusal: str) -> None:
    assert rules.check(wanted(**changes), on=DAY) == refusal


def test_a_price_between_steps_is_refused() -> None:
    coarse = msgspec.structs.replace(BTC, quantum=Decimal("0.01"))
    assert rules.check(wanted(instrument=coarse, ticks=3_000_050), on=DAY) == ""
    assert rules.check(wanted(instrument=coarse, ticks=3_000_051), on=DAY) == "price_step"


def test_the_venues_price_limit() -> None:
    limit = rules.PriceLimit(highest_bid_ticks=300_005, lowest_ask_ticks=290_000)
    assert rules.check(wanted(), on=DAY, limit=limit) == ""
    assert rules.check(wanted(ticks=300_006), on=DAY, limit=limit) == "price_limit"
    assert rules.check(wanted(ticks=300_006), on=DAY) == ""
    assert rules.check(wanted(side=Side.SELL, ticks=290_000), on=DAY, limit=limit) == ""
    assert rules.check(wanted(side=Side.SELL, ticks=289_999), on=DAY, limit=limit) == "price_limit"


@pytest.mark.parametrize(
    ("side", "position", "refusal"), [(1, -5, ""), (1, -4, "reduce_only"), (1, 5, "reduce_only"), (-1, 5, ""), (-1, 0, "reduce_only")]
)
def test_a_reduction_does_no_more_than_end_a_position(side: int, position: int, refusal: str) -> None:
    order = wanted(side=Side(side), lots=5, reduce_only=True)
    assert rules.check(order, on=DAY, position_lots=position) == refusal
    assert rules.check(order, on=DAY) == ""
    assert rules.check(wanted(side=Side(side), lots=5), on=DAY, position_lots=position) == ""


def test_the_samples_of_the_structures_decode() -> None:
    for structure in (rules.PriceFilter, rules.LotSizeFilter, rules.LinearInstrument, rules.PreListing):
        text = structure.__doc__ or ""
        assert isinstance(
            msgspec.json.decode(json.dumps(json.loads(text[text.index("{") : text.rindex("}") + 1])), type=structure), structure
        )
