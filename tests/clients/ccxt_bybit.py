"""ccxt, unmodified, against the simulated Bybit: markets, book, orders, balances, positions, and its own exceptions for what goes wrong.

Run in an environment that has ccxt, with the path of the JSON that `interlock venues serve` prints first. One JSON line a step; exit 0 if all are as
expected.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ccxt
from steps import Steps, happen, say  # type: ignore[import-not-found]

SYMBOL = "BTC/USDT:USDT"
STEPS = Steps()


def client(place: dict[str, str], **instead: Any) -> Any:
    """A client whose addresses are the simulator's."""
    found = ccxt.bybit({"apiKey": place["key"], "secret": place["secret"], "options": {"defaultType": "swap"}, **instead})
    found.urls["api"] = dict.fromkeys(found.urls["api"], place["rest"])
    return found


def main(path: str) -> int:
    """Every step."""
    where = json.loads(Path(path).read_text())
    place = where["bybit"]
    exchange = client(place)
    markets = exchange.load_markets()
    STEPS.tell("load_markets", SYMBOL in markets and len(markets) >= 5, count=len(markets))
    limits = markets[SYMBOL]["limits"]
    STEPS.tell("filters", limits["cost"]["min"] == 5 and markets[SYMBOL]["precision"] == {"amount": 0.001, "price": 0.1}, limits=limits)
    book = exchange.fetch_order_book(SYMBOL, 50)
    STEPS.tell("book", len(book["bids"]) == 50 and book["bids"][0][0] < book["asks"][0][0], best=[book["bids"][0], book["asks"][0]])
    ticker = exchange.fetch_ticker(SYMBOL)
    STEPS.tell("ticker", ticker["bid"] < ticker["ask"] and ticker["last"] > 0, last=ticker["last"])
    STEPS.tell("trades", all(t["amount"] > 0 for t in exchange.fetch_trades(SYMBOL)))
    STEPS.tell("funding", exchange.fetch_funding_rate(SYMBOL)["fundingTimestamp"] > exchange.fetch_time())
    balance = exchange.fetch_balance()
    STEPS.tell("balance", balance["USDT"]["total"] > 0 and balance["BTC"]["total"] == 1, usdt=balance["USDT"])
    STEPS.tell("flat", exchange.fetch_positions() == [])
    _orders(exchange, book)
    _filling(where, exchange, book)
    _settings(exchange)
    _errors(place, exchange, book)
    say({"client": "ccxt", "version": ccxt.__version__, "failed": STEPS.failed})
    return 1 if STEPS.failed else 0


def _orders(exchange: Any, book: dict[str, Any]) -> None:
    price = exchange.price_to_precision(SYMBOL, book["bids"][0][0] * 0.98)
    placed = exchange.create_order(SYMBOL, "limit", "buy", 0.01, price, {"clientOrderId": "ccxt-1", "timeInForce": "PostOnly"})
    STEPS.tell("place", bool(placed["id"]) and placed["clientOrderId"] == "ccxt-1", id=placed["id"])
    opened = exchange.fetch_open_order(placed["id"], SYMBOL)
    STEPS.tell(
        "query", opened["status"] == "open" and opened["amount"] == 0.01 and opened["clientOrderId"] == "ccxt-1", order=opened["info"]
    )
    STEPS.tell("open_orders", [o["id"] for o in exchange.fetch_open_orders(SYMBOL)] == [placed["id"]])
    exchange.edit_order(placed["id"], SYMBOL, "limit", "buy", 0.02, price)
    STEPS.tell("amend", exchange.fetch_open_order(placed["id"], SYMBOL)["amount"] == 0.02)
    exchange.cancel_order(placed["id"], SYMBOL)
    found = next(o for o in exchange.fetch_canceled_orders(SYMBOL) if o["id"] == placed["id"])
    STEPS.tell("cancel", found["status"] == "canceled" and found["filled"] == 0, order=found["info"])
    both = exchange.create_orders(
        [
            {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": float(price)},
            {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.002, "price": float(price)},
        ]
    )
    STEPS.tell("batch", len(both) == 2 and all(order["id"] for order in both))
    gone = exchange.cancel_all_orders(SYMBOL)
    STEPS.tell("cancel_all", {o["id"] for o in gone} == {o["id"] for o in both} and exchange.fetch_open_orders(SYMBOL) == [])


def _filling(where: dict[str, Any], exchange: Any, book: dict[str, Any]) -> None:
    price = float(exchange.price_to_precision(SYMBOL, book["bids"][0][0] * 0.97))
    placed = exchange.create_order(SYMBOL, "limit", "buy", 0.01, price, {"clientOrderId": "ccxt-2"})
    happen(where["control"], venue="bybit", fault="fill", client_id="ccxt-2", amount="0.004")
    found = exchange.fetch_open_order(placed["id"], SYMBOL)
    STEPS.tell("partial_fill", found["status"] == "open" and found["filled"] == 0.004 and found["remaining"] == 0.006, order=found["info"])
    exchange.cancel_order(placed["id"], SYMBOL)
    found = exchange.fetch_order(placed["id"], SYMBOL, {"acknowledged": True})
    STEPS.tell("cancel_rest", found["status"] == "canceled" and found["filled"] == 0.004, order=found["info"])
    fills = exchange.fetch_my_trades(SYMBOL)
    STEPS.tell("executions", abs(sum(f["amount"] for f in fills if f["order"] == placed["id"]) - found["filled"]) < 1e-9, fills=len(fills))
    position = exchange.fetch_positions([SYMBOL])[0]
    STEPS.tell("position", position["side"] == "long" and position["contracts"] == found["filled"], position=position["info"])
    exchange.create_order(SYMBOL, "market", "sell", position["contracts"], None, {"reduceOnly": True})
    STEPS.tell("closed", exchange.fetch_positions() == [])
    rows = exchange.fetch_ledger("USDT")
    STEPS.tell("ledger", bool(rows) and rows[-1]["currency"] == "USDT", rows=len(rows))


def _settings(exchange: Any) -> None:
    exchange.set_leverage(7, SYMBOL)
    STEPS.tell("leverage", exchange.fetch_leverage(SYMBOL)["longLeverage"] == 7)
    STEPS.tell("fee", exchange.fetch_trading_fee(SYMBOL)["taker"] == 0.00055)
    STEPS.tell("time", exchange.fetch_time() > 0)
    permissions = exchange.privateGetV5UserQueryApi()["result"]
    STEPS.tell(
        "key",
        str(permissions["readOnly"]) == "0" and permissions["permissions"]["Wallet"] == [] and permissions["ips"] != [],
        found=permissions,
    )


def _errors(place: dict[str, str], exchange: Any, book: dict[str, Any]) -> None:
    price = float(exchange.price_to_precision(SYMBOL, book["bids"][0][0] * 0.98))
    wrong = client(place, secret="not the secret")
    STEPS.refused("bad_signature", ccxt.AuthenticationError, wrong.fetch_balance)
    unknown = client(place, apiKey="unknown")
    STEPS.refused("unknown_key", ccxt.AuthenticationError, unknown.fetch_balance)
    skewed = client(place)
    skewed.nonce = lambda: skewed.milliseconds() - 60_000
    STEPS.refused("skewed_clock", ccxt.InvalidNonce, skewed.fetch_balance)
    STEPS.refused("insufficient", ccxt.InsufficientFunds, lambda: exchange.create_order(SYMBOL, "limit", "buy", 1000, price))
    STEPS.refused("min_notional", ccxt.InvalidOrder, lambda: exchange.create_order(SYMBOL, "limit", "buy", 0.001, 1))
    STEPS.refused(
        "duplicate", ccxt.InvalidOrder, lambda: exchange.create_order(SYMBOL, "limit", "buy", 0.01, price, {"clientOrderId": "ccxt-1"})
    )
    nobody = "00000000-0000-0000-0000-000000000000"
    STEPS.refused("unknown_order", ccxt.OrderNotFound, lambda: exchange.cancel_order(nobody, SYMBOL))
    body = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "60000.05"}
    STEPS.refused("price_step", ccxt.BadRequest, lambda: exchange.privatePostV5OrderCreate(body))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
