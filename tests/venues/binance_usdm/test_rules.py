"""What Binance lets be ordered: contracts as instruments, rounding toward less risk, refusals before sending."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from tests.venues.binance_usdm.talks import INSTRUMENTS, NOW_MS, SYMBOL, info, mutated
from tests.venues.scripted import scripted

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Status
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.venues.binance_usdm import rules
from interlock.venues.binance_usdm.account import Account
from interlock.venues.binance_usdm.rules import Bounds, bounds, check
from interlock.venues.binance_usdm.wire import ExchangeInfo, SymbolInfo, decode_exchange_info
from interlock.venues.port import Heard, Listed, Nonsense, OrderWanted, Refused

ON = date(2025, 5, 3)


def symbol(**changes: Any) -> dict[str, Any]:
    return {**SYMBOL, **changes}


def filtered(kind: str, **changes: Any) -> dict[str, Any]:
    return symbol(filters=[{**each, **changes} if each["filterType"] == kind else each for each in SYMBOL["filters"]])


def listed(entry: dict[str, Any]) -> Listed:
    return rules.listing(msgspec.convert(entry, SymbolInfo), ON)


BTC = listed(SYMBOL).instrument
PEPE = listed(symbol(symbol="1000PEPEUSDT", baseAsset="1000PEPE")).instrument


def wanted(of: Instrument = BTC, **changes: Any) -> OrderWanted:
    whole: dict[str, Any] = {
        "instrument": of,
        "client_id": "arb-0001",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "tif": TimeInForce.POST_ONLY,
        "ticks": of.ticks(Decimal("60000.00")),
        "lots": 2,
    }
    return OrderWanted(**{**whole, **changes})


def test_a_contract_with_all_its_filters() -> None:
    found = listed(SYMBOL)
    assert (BTC.quantum, BTC.lot, BTC.min_price, BTC.max_price) == (Decimal("0.01"), Decimal("0.001"), Decimal("261.1"), Decimal(809484))
    assert (BTC.price_step(Decimal(60000), ON), BTC.min_lots, BTC.max_lots, BTC.max_market_lots) == (Decimal("0.1"), 1, 1_000_000, 120_000)
    assert (BTC.min_notional, BTC.status, BTC.multiplier, BTC.valid_from) == (Decimal(100), Status.TRADING, Decimal(1), ON)
    assert (found.bid_most, found.ask_least, found.most_open) == (Decimal("1.05"), Decimal("0.95"), 200)
    assert "assumed" in BTC.source


def test_a_filter_of_0_is_none() -> None:
    found = listed(filtered("PRICE_FILTER", minPrice="0", maxPrice="0")).instrument
    assert (found.min_price, found.max_price) == (Decimal("0.1"), Decimal("0.01") * 2**53)
    bare = listed(symbol(filters=[each for each in SYMBOL["filters"] if each["filterType"] in ("PRICE_FILTER", "LOT_SIZE")]))
    assert (bare.bid_most, bare.ask_least, bare.most_open, bare.instrument.min_notional) == (Decimal(0), Decimal(0), 0, Decimal(0))
    assert bare.instrument.max_market_lots == bare.instrument.max_lots


@pytest.mark.parametrize("changes", [{"stepSize": "0.002", "minQty": "0.002"}, {"minQty": "0.01"}])
def test_no_market_order_fits_where_its_sizes_are_others(changes: dict[str, str]) -> None:
    assert listed(filtered("MARKET_LOT_SIZE", **changes)).instrument.max_market_lots == 0


@pytest.mark.parametrize(
    "entry",
    [
        symbol(filters=[]),
        filtered("PRICE_FILTER", tickSize="0"),
        filtered("PRICE_FILTER", minPrice="261.15"),
        filtered("PRICE_FILTER", maxPrice="1"),
        filtered("PRICE_FILTER", maxPrice="1e6"),
        filtered("LOT_SIZE", stepSize="0"),
        filtered("LOT_SIZE", minQty="0.0015"),
        filtered("LOT_SIZE", maxQty="0"),
        filtered("PERCENT_PRICE", multiplierUp="NaN"),
        symbol(pricePrecision=400),
        symbol(pricePrecision=10**12),
    ],
)
def test_a_contract_that_cannot_be(entry: dict[str, Any]) -> None:
    with pytest.raises(Nonsense, match=r"BTCUSDT|number"):
        listed(entry)


def test_which_contracts_are_ours() -> None:
    account = Account(INSTRUMENTS)
    answer = info(
        SYMBOL,
        symbol(symbol="BTCUSDC", quoteAsset="USDC", marginAsset="USDC"),
        symbol(symbol="1000PEPEUSDT", baseAsset="1000PEPE", status="SETTLING"),
        symbol(symbol="BTCUSDT_260925", contractType="CURRENT_QUARTER"),
        symbol(symbol="XAUUSDT", contractType="TRADIFI_PERPETUAL"),
        symbol(symbol="BTCBUSD", quoteAsset="BUSD", marginAsset="BUSD"),
        symbol(symbol="ODDUSDT", filters=[]),
        {"symbol": "NEWUSDT"},
    )
    found, (asked,) = scripted(account.listings(), [answer])
    assert [(each.symbol, each.status) for each in found] == [
        ("BTCUSDT", Status.TRADING),
        ("BTCUSDC", Status.TRADING),
        ("1000PEPEUSDT", Status.HALTED),
    ]
    assert (asked.call.path, asked.access, asked.weight) == ("/fapi/v1/exchangeInfo", "public", 1)
    assert found[0].valid_from == datetime.fromtimestamp(NOW_MS / 1000, UTC).date()


def test_what_makes_no_sense_of_our_own_contract_is_told() -> None:
    account = Account(INSTRUMENTS)
    for answer in (
        info(symbol(filters=[])),
        info({"symbol": "BTCUSDT"}),
        info(SYMBOL, SYMBOL),
        info({}),
        info(SYMBOL, time=2**60),
        Heard(200),
    ):
        with pytest.raises(Nonsense):
            scripted(account.listings(), [answer])


def test_a_symbol_that_is_not_listed_is_halted() -> None:
    found, _ = scripted(Account(INSTRUMENTS).statuses(), [info(symbol(symbol="ETHUSDT"))])
    assert found == {"BTCUSDT": Status.HALTED, "ETHUSDT": Status.TRADING}


def test_recorded_contracts_keep_what_they_are_quoted_in() -> None:
    listed_info = decode_exchange_info(info(SYMBOL, symbol(symbol="BTCBUSD", quoteAsset="BUSD"), symbol(contractType="")).body)
    assert [each.symbol for each in rules.instruments(listed_info)] == ["BTCUSDT", "BTCBUSD"]
    odd = msgspec.convert(filtered("PRICE_FILTER", minPrice="261.15"), SymbolInfo)
    (found,) = rules.instruments(ExchangeInfo(NOW_MS, [odd]))
    assert found.min_price == Decimal("261.15"), "it can be recorded, and not traded"
    with pytest.raises(Nonsense, match="serverTime"):
        rules.instruments(ExchangeInfo(10**18, [msgspec.convert(SYMBOL, SymbolInfo)]))


@pytest.mark.parametrize(("base", "coin", "many"), [("BTC", "BTC", 1), ("1000PEPE", "PEPE", 1000), ("1000X", "X", 1000)])
def test_coins_of_multiplied_contracts(base: str, coin: str, many: int) -> None:
    found = listed(symbol(baseAsset=base)).instrument
    assert (found.base, found.multiplier) == (coin, Decimal(many))


def test_bounds_are_rounded_to_the_strict_side() -> None:
    found = bounds(listed(SYMBOL), Decimal("60000.33"))
    assert (found.highest_bid_ticks, found.lowest_ask_ticks) == (6_300_034, 5_700_032)
    assert (found.mark, found.most_open) == (Decimal("60000.33"), 200)
    for mark in ("0", "-1", "NaN", "Infinity"):
        with pytest.raises(UsageError, match="mark price"):
            bounds(listed(SYMBOL), Decimal(mark))


NOW = Bounds(6_300_000, 5_700_000, Decimal(60000), 200)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, ""),
        ({"instrument": msgspec.structs.replace(BTC, status=Status.HALTED)}, "status"),
        ({"client_id": "a b"}, "client_id"),
        ({"client_id": "x" * 37}, "client_id"),
        ({"client_id": ".A:/z_-9"}, ""),
        ({"cost": Decimal(100)}, "cost"),
        ({"type": OrderType.MARKET, "ticks": 0}, "market_tif"),
        ({"type": OrderType.MARKET, "tif": TimeInForce.IOC, "ticks": 0}, ""),
        ({"type": OrderType.MARKET, "tif": TimeInForce.IOC}, "price_range"),
        ({"type": OrderType.MARKET, "tif": TimeInForce.IOC, "ticks": 0, "lots": 120_000}, ""),
        ({"type": OrderType.MARKET, "tif": TimeInForce.IOC, "ticks": 0, "lots": 120_001}, "max_lots"),
        ({"type": OrderType.MARKET, "tif": TimeInForce.IOC, "ticks": 0, "lots": 1}, "min_notional"),
        ({"lots": 0}, "min_lots"),
        ({"lots": 1_000_000}, ""),
        ({"lots": 1_000_001}, "max_lots"),
        ({"ticks": 26_100}, "price_range"),
        ({"ticks": 80_948_410}, "price_range"),
        ({"ticks": 6_000_001}, "price_step"),
        ({"ticks": 6_300_000}, ""),
        ({"ticks": 6_300_010}, "price_limit"),
        ({"ticks": 6_300_010, "side": Side.SELL}, ""),
        ({"ticks": 5_700_000, "side": Side.SELL}, ""),
        ({"ticks": 5_699_990, "side": Side.SELL}, "price_limit"),
        ({"ticks": 5_699_990}, ""),
        ({"lots": 1}, "min_notional"),
        ({"lots": 1, "reduce_only": True}, ""),
    ],
)
def test_the_rule_that_an_order_breaks(changes: dict[str, Any], name: str) -> None:
    assert check(wanted(**changes), on=ON, now=NOW) == name


def test_a_market_order_needs_a_mark_price() -> None:
    order = wanted(type=OrderType.MARKET, tif=TimeInForce.IOC, ticks=0)
    assert check(order, on=ON) == "min_notional"
    assert check(order, on=ON, now=Bounds(mark=Decimal(60000))) == ""


def test_reductions_and_the_number_of_open_orders() -> None:
    selling = wanted(side=Side.SELL, reduce_only=True)
    assert [check(selling, on=ON, position_lots=lots) for lots in (3, 2, 1, 0, -2)] == ["", "", "reduce_only", "reduce_only", "reduce_only"]
    assert [check(wanted(), on=ON, now=NOW, open_orders=count) for count in (199, 200)] == ["", "max_orders"]
    assert check(wanted(type=OrderType.MARKET, tif=TimeInForce.IOC, ticks=0), on=ON, now=NOW, open_orders=200) == ""


@given(mutated({"serverTime": NOW_MS, "symbols": [SYMBOL]}))
def test_no_answer_makes_listings_break(body: bytes) -> None:
    try:
        found, _ = scripted(Account(INSTRUMENTS).listings(), [Heard(200, {}, body)])
    except (Nonsense, Refused):
        return
    assert all(each.quantum > 0 and each.lot > 0 and each.max_price.is_finite() for each in found)
