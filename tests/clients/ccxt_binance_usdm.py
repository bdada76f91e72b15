"""An unmodified ccxt against the simulated Binance USDⓈ-M: one JSON line a step, exit 0 when all went as expected.

Runs in an environment of its own, where ccxt is: `python ccxt_binance_usdm.py WHERE`, WHERE a file with the first line of
`interlock venues serve`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import ccxt
from steps import Steps, happen  # type: ignore[import-not-found]

SYMBOL = "BTC/USDT:USDT"
WHERE = json.loads(Path(sys.argv[1]).read_text())
OURS = WHERE["binance_usdm"]
STEPS = Steps()


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


def main() -> int:
    x = client()
    STEPS.expect("load_markets", x.load_markets, lambda m: m[SYMBOL]["swap"] and m[SYMBOL]["precision"]["price"] == 0.1)
    STEPS.expect("time", x.fetch_time, lambda t: t > 1_600_000_000_000)
    STEPS.expect("status", x.fetch_status, lambda s: s["status"] == "ok")
    book = STEPS.expect(
        "book", lambda: x.fetch_order_book(SYMBOL, 50), lambda b: len(b["bids"]) == 50 and b["bids"][0][0] < b["asks"][0][0]
    )
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    STEPS.expect("ticker", lambda: x.fetch_ticker(SYMBOL), lambda t: t["last"] > 0)
    STEPS.expect("tickers", x.fetch_bids_asks, lambda t: t[SYMBOL]["bid"] > 0)
    STEPS.expect("trades", lambda: x.fetch_trades(SYMBOL), lambda t: isinstance(t, list))
    STEPS.expect("candles", lambda: x.fetch_ohlcv(SYMBOL, "1m"), lambda c: isinstance(c, list))
    STEPS.expect("funding", lambda: x.fetch_funding_rate(SYMBOL), lambda f: f["markPrice"] > 0)
    STEPS.expect("funding_history", lambda: x.fetch_funding_rate_history(SYMBOL), lambda f: len(f) == 1)
    STEPS.expect("balance", x.fetch_balance, lambda b: b["USDT"]["total"] > 0)
    far = round(bid * 0.97, 1)
    resting = STEPS.expect(
        "rest",
        lambda: x.create_order(SYMBOL, "limit", "buy", 0.01, far, {"clientOrderId": "ccxt-1", "postOnly": True}),
        lambda o: o["status"] == "open" and o["clientOrderId"] == "ccxt-1",
    )
    STEPS.expect("query", lambda: x.fetch_order(resting["id"], SYMBOL), lambda o: o["price"] == far and o["filled"] == 0)
    STEPS.expect("open", lambda: x.fetch_open_orders(SYMBOL), lambda o: [one["id"] for one in o] == [resting["id"]])
    STEPS.expect("edit", lambda: x.edit_order(resting["id"], SYMBOL, "limit", "buy", 0.02, far), lambda o: o["amount"] == 0.02)
    happen(WHERE["control"], fault="fill", venue="binance_usdm", client_id="ccxt-1", amount="0.005")
    STEPS.expect("partial", lambda: x.fetch_order(resting["id"], SYMBOL), lambda o: o["filled"] == 0.005 and o["status"] == "open")
    STEPS.expect("cancel", lambda: x.cancel_order(resting["id"], SYMBOL), lambda o: o["status"] == "canceled")
    STEPS.expect("after", lambda: x.fetch_order(resting["id"], SYMBOL), lambda o: o["status"] == "canceled" and o["filled"] == 0.005)
    STEPS.expect("fills", lambda: x.fetch_my_trades(SYMBOL), lambda t: t[-1]["amount"] == 0.005 and t[-1]["fee"]["currency"] == "USDT")
    STEPS.expect(
        "market", lambda: x.create_order(SYMBOL, "market", "sell", 0.015), lambda o: o["status"] == "closed" and o["filled"] == 0.015
    )
    STEPS.expect("position", lambda: x.fetch_positions([SYMBOL]), lambda p: p[0]["side"] == "short" and p[0]["contracts"] == 0.01)
    STEPS.expect("reduce", lambda: x.create_order(SYMBOL, "market", "buy", 0.01, None, {"reduceOnly": True}), lambda o: o["filled"] == 0.01)
    STEPS.expect("flat", lambda: x.fetch_positions([SYMBOL]), lambda p: p == [])
    both = [
        {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": far, "params": {"clientOrderId": f"ccxt-b{n}"}}
        for n in range(2)
    ]
    placed = STEPS.expect("batch", lambda: x.create_orders(both), lambda o: [one["status"] for one in o] == ["open", "open"])
    STEPS.expect("cancel_some", lambda: x.cancel_orders([placed[0]["id"]], SYMBOL), lambda o: o[0]["status"] == "canceled")
    STEPS.expect("cancel_all", lambda: x.cancel_all_orders(SYMBOL), lambda o: isinstance(o, list))
    STEPS.expect("none_open", lambda: x.fetch_open_orders(SYMBOL), lambda o: o == [])
    STEPS.expect("history", lambda: x.fetch_orders(SYMBOL), lambda o: len(o) >= 5)
    STEPS.expect(
        "conditional", lambda: x.create_order(SYMBOL, "STOP_MARKET", "sell", 0.01, None, {"stopPrice": far}), lambda o: bool(o["id"])
    )
    STEPS.expect("leverage", lambda: x.set_leverage(10, SYMBOL), lambda r: r["leverage"] == "10" or r["leverage"] == 10)
    STEPS.expect("position_mode", lambda: x.fetch_position_mode(SYMBOL), lambda r: r["hedged"] is False)
    STEPS.expect("margin_mode", lambda: x.fetch_margin_modes([SYMBOL]), lambda r: r[SYMBOL]["marginMode"] == "cross")
    STEPS.expect("tiers", lambda: x.fetch_leverage_tiers([SYMBOL]), lambda t: len(t[SYMBOL]) > 1)
    STEPS.expect("fee", lambda: x.fetch_trading_fee(SYMBOL), lambda f: f["maker"] == 0.0002)
    STEPS.expect("income", lambda: x.fetch_ledger("USDT"), lambda rows: len(rows) > 0)
    STEPS.expect("key", x.sapiGetAccountApiRestrictions, lambda r: r["enableFutures"] is True and r["enableWithdrawals"] is False)
    STEPS.expect(
        "dead_man",
        lambda: x.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 0}),
        lambda r: r["countdownTime"] == "0",
    )
    STEPS.expect("listen_key", x.fapiPrivatePostListenKey, lambda r: len(r["listenKey"]) == 64)

    def place(kind: str = "limit", amount: float = 0.01, price: float = far, params: dict[str, Any] | None = None) -> Any:
        return x.create_order(SYMBOL, kind, "buy", amount, price, params or {})

    STEPS.refused("bad_signature", ccxt.AuthenticationError, client(secret="x" * 64).fetch_balance, "-1022")
    STEPS.refused("bad_key", ccxt.AuthenticationError, client(apiKey="k" * 64).fetch_balance, "-2015")
    skewed = client()
    skewed.nonce = lambda: x.milliseconds() - 60_000
    STEPS.refused("skewed", ccxt.InvalidNonce, skewed.fetch_balance, "-1021")
    STEPS.refused("margin", ccxt.InsufficientFunds, lambda: place(amount=900), "-2019")
    STEPS.refused("notional", ccxt.InvalidOrder, lambda: place(amount=0.001), "-4164")
    STEPS.refused("band", ccxt.BadRequest, lambda: place(price=round(ask * 1.2, 1)), "-4016")
    # As the venue is asked: ccxt would round price and size itself.
    raw = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010", "price": f"{far}"}
    STEPS.refused("price_step", ccxt.BadRequest, lambda: x.fapiPrivatePostOrder({**raw, "price": f"{far}5"}), "-4014")
    STEPS.refused("lot_step", ccxt.BadRequest, lambda: x.fapiPrivatePostOrder({**raw, "quantity": "0.0105"}), "-1111")
    STEPS.refused("no_size", ccxt.BadRequest, lambda: x.fapiPrivatePostOrder({**raw, "quantity": "0"}), "-4003")
    STEPS.refused("symbol", ccxt.BadSymbol, lambda: x.fapiPrivatePostOrder({**raw, "symbol": "NOPEUSDT"}), "-1121")
    STEPS.refused("unknown", ccxt.OrderNotFound, lambda: x.fetch_order("8999999999", SYMBOL), "-2013")
    STEPS.refused("cancel_unknown", ccxt.OrderNotFound, lambda: x.cancel_order("8999999999", SYMBOL), "-2011")
    STEPS.refused("post_only", ccxt.OrderNotFillable, lambda: place(price=round(ask * 1.01, 1), params={"postOnly": True}), "-5022")
    STEPS.refused("fok", ccxt.OrderNotFillable, lambda: place(params={"timeInForce": "FOK"}), "-5021")
    happen(WHERE["control"], fault="rate_limited", venue="binance_usdm", verb="read")
    STEPS.refused("limited", ccxt.DDoSProtection, x.fetch_balance, "-1003")
    happen(WHERE["control"], fault="error_without_accepting", venue="binance_usdm", verb="read")
    STEPS.refused("down", ccxt.OperationFailed, x.fetch_balance, "-1001")
    return 1 if STEPS.failed else 0


if __name__ == "__main__":
    sys.exit(main())
