"""An unmodified ccxt against the simulated Binance USDⓈ-M: one JSON line a step, exit 0 when all went as expected.

Runs in an environment of its own, where ccxt is: `python ccxt_binance_usdm.py WHERE`, WHERE a file with the first line of
`interlock venues serve`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import ccxt

SYMBOL = "BTC/USDT:USDT"
WHERE = json.loads(Path(sys.argv[1]).read_text())
OURS = WHERE["binance_usdm"]
FAILED: list[str] = []


class Client(ccxt.binanceusdm):
    """ccxt with another base URL. Which error a code is it looks up by the venue's own address, so that is put back there."""

    def get_exceptions_by_url(self, url: Any, exactOrBroad: str) -> Any:
        return super().get_exceptions_by_url(url.replace(OURS["rest"], "https://fapi.binance.com"), exactOrBroad)


def client(**changed: Any) -> Any:
    made = Client({"apiKey": OURS["key"], "secret": OURS["secret"], **changed})
    for name, url in made.urls["api"].items():
        if "/fapi/" in url or "/sapi/" in url:
            made.urls["api"][name] = OURS["rest"] + url[url.index("/fapi/" if "/fapi/" in url else "/sapi/") :]
    return made


def step(name: str, act: Callable[[], Any], check: Callable[[Any], bool]) -> Any:
    try:
        found = act()
    except Exception as error:  # noqa: BLE001 - whatever the client raises is what the step shows
        FAILED.append(name)
        say(name, False, f"{type(error).__name__}: {error}")
        return None
    if not check(found):
        FAILED.append(name)
    say(name, name not in FAILED, found)
    return found


def refused(name: str, kind: type[Exception], code: str, act: Callable[[], Any]) -> None:
    try:
        found: Any = act()
    except Exception as error:  # noqa: BLE001 - whatever the client raises is what the step shows
        found = error
    good = isinstance(found, kind) and code in str(found)
    if not good:
        FAILED.append(name)
    say(name, good, f"{type(found).__name__}: {found}")


def say(name: str, good: bool, found: object) -> None:
    sys.stdout.write(json.dumps({"step": name, "ok": good, "found": str(found)[:160]}) + "\n")


def strike(**fault: Any) -> None:
    urlopen(Request(f"{WHERE['control']}/faults", json.dumps(fault).encode(), {"Content-Type": "application/json"})).read()


def main() -> int:
    x = client()
    step("load_markets", x.load_markets, lambda m: m[SYMBOL]["swap"] and m[SYMBOL]["precision"]["price"] == 0.1)
    step("time", x.fetch_time, lambda t: t > 1_600_000_000_000)
    step("status", x.fetch_status, lambda s: s["status"] == "ok")
    book = step("book", lambda: x.fetch_order_book(SYMBOL, 50), lambda b: len(b["bids"]) == 50 and b["bids"][0][0] < b["asks"][0][0])
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    step("ticker", lambda: x.fetch_ticker(SYMBOL), lambda t: t["last"] > 0)
    step("tickers", x.fetch_bids_asks, lambda t: t[SYMBOL]["bid"] > 0)
    step("trades", lambda: x.fetch_trades(SYMBOL), lambda t: isinstance(t, list))
    step("candles", lambda: x.fetch_ohlcv(SYMBOL, "1m"), lambda c: isinstance(c, list))
    step("funding", lambda: x.fetch_funding_rate(SYMBOL), lambda f: f["markPrice"] > 0)
    step("funding_history", lambda: x.fetch_funding_rate_history(SYMBOL), lambda f: len(f) == 1)
    step("balance", x.fetch_balance, lambda b: b["USDT"]["total"] > 0)
    far = round(bid * 0.97, 1)
    resting = step(
        "rest",
        lambda: x.create_order(SYMBOL, "limit", "buy", 0.01, far, {"clientOrderId": "ccxt-1", "postOnly": True}),
        lambda o: o["status"] == "open" and o["clientOrderId"] == "ccxt-1",
    )
    step("query", lambda: x.fetch_order(resting["id"], SYMBOL), lambda o: o["price"] == far and o["filled"] == 0)
    step("open", lambda: x.fetch_open_orders(SYMBOL), lambda o: [one["id"] for one in o] == [resting["id"]])
    step("edit", lambda: x.edit_order(resting["id"], SYMBOL, "limit", "buy", 0.02, far), lambda o: o["amount"] == 0.02)
    strike(fault="fill", venue="binance_usdm", client_id="ccxt-1", amount="0.005")
    step("partial", lambda: x.fetch_order(resting["id"], SYMBOL), lambda o: o["filled"] == 0.005 and o["status"] == "open")
    step("cancel", lambda: x.cancel_order(resting["id"], SYMBOL), lambda o: o["status"] == "canceled")
    step("after", lambda: x.fetch_order(resting["id"], SYMBOL), lambda o: o["status"] == "canceled" and o["filled"] == 0.005)
    step("fills", lambda: x.fetch_my_trades(SYMBOL), lambda t: t[-1]["amount"] == 0.005 and t[-1]["fee"]["currency"] == "USDT")
    step("market", lambda: x.create_order(SYMBOL, "market", "sell", 0.015), lambda o: o["status"] == "closed" and o["filled"] == 0.015)
    step("position", lambda: x.fetch_positions([SYMBOL]), lambda p: p[0]["side"] == "short" and p[0]["contracts"] == 0.01)
    step("reduce", lambda: x.create_order(SYMBOL, "market", "buy", 0.01, None, {"reduceOnly": True}), lambda o: o["filled"] == 0.01)
    step("flat", lambda: x.fetch_positions([SYMBOL]), lambda p: p == [])
    both = [
        {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": far, "params": {"clientOrderId": f"ccxt-b{n}"}}
        for n in range(2)
    ]
    placed = step("batch", lambda: x.create_orders(both), lambda o: [one["status"] for one in o] == ["open", "open"])
    step("cancel_some", lambda: x.cancel_orders([placed[0]["id"]], SYMBOL), lambda o: o[0]["status"] == "canceled")
    step("cancel_all", lambda: x.cancel_all_orders(SYMBOL), lambda o: isinstance(o, list))
    step("none_open", lambda: x.fetch_open_orders(SYMBOL), lambda o: o == [])
    step("history", lambda: x.fetch_orders(SYMBOL), lambda o: len(o) >= 5)
    step("conditional", lambda: x.create_order(SYMBOL, "STOP_MARKET", "sell", 0.01, None, {"stopPrice": far}), lambda o: bool(o["id"]))
    step("leverage", lambda: x.set_leverage(10, SYMBOL), lambda r: r["leverage"] == "10" or r["leverage"] == 10)
    step("position_mode", lambda: x.fetch_position_mode(SYMBOL), lambda r: r["hedged"] is False)
    step("margin_mode", lambda: x.fetch_margin_modes([SYMBOL]), lambda r: r[SYMBOL]["marginMode"] == "cross")
    step("tiers", lambda: x.fetch_leverage_tiers([SYMBOL]), lambda t: len(t[SYMBOL]) > 1)
    step("fee", lambda: x.fetch_trading_fee(SYMBOL), lambda f: f["maker"] == 0.0002)
    step("income", lambda: x.fetch_ledger("USDT"), lambda rows: len(rows) > 0)
    step("key", x.sapiGetAccountApiRestrictions, lambda r: r["enableFutures"] is True and r["enableWithdrawals"] is False)
    step(
        "dead_man",
        lambda: x.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 0}),
        lambda r: r["countdownTime"] == "0",
    )
    step("listen_key", x.fapiPrivatePostListenKey, lambda r: len(r["listenKey"]) == 64)

    def place(kind: str = "limit", amount: float = 0.01, price: float = far, params: dict[str, Any] | None = None) -> Any:
        return x.create_order(SYMBOL, kind, "buy", amount, price, params or {})

    refused("bad_signature", ccxt.AuthenticationError, "-1022", client(secret="x" * 64).fetch_balance)
    refused("bad_key", ccxt.AuthenticationError, "-2015", client(apiKey="k" * 64).fetch_balance)
    skewed = client()
    skewed.nonce = lambda: x.milliseconds() - 60_000
    refused("skewed", ccxt.InvalidNonce, "-1021", skewed.fetch_balance)
    refused("margin", ccxt.InsufficientFunds, "-2019", lambda: place(amount=900))
    refused("notional", ccxt.ExchangeError, "-4164", lambda: place(amount=0.001))
    refused("band", ccxt.ExchangeError, "-4016", lambda: place(price=round(ask * 1.2, 1)))
    refused("unknown", ccxt.OrderNotFound, "-2013", lambda: x.fetch_order("8999999999", SYMBOL))
    refused("cancel_unknown", ccxt.OrderNotFound, "-2011", lambda: x.cancel_order("8999999999", SYMBOL))
    refused("post_only", ccxt.ExchangeError, "-5022", lambda: place(price=round(ask * 1.01, 1), params={"postOnly": True}))
    refused("fok", ccxt.ExchangeError, "-5021", lambda: place(params={"timeInForce": "FOK"}))
    strike(fault="rate_limited", venue="binance_usdm", verb="read")
    refused("limited", ccxt.DDoSProtection, "-1003", x.fetch_balance)
    strike(fault="error_without_accepting", venue="binance_usdm", verb="read")
    refused("down", ccxt.OperationFailed, "-1001", x.fetch_balance)
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
