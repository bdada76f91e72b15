"""pybit, unmodified, against the simulated Bybit: HTTP, the public and private streams, and order entry over WebSocket.

Run in an environment that has pybit, with the path of the JSON that `interlock venues serve` prints first. pybit has no setting for its addresses, so
its constants are replaced; its sockets are 5 ms away, for its threads race with answers that come at once (`distance`). One JSON line a step;
exit 0 if all are as expected.
"""

from __future__ import annotations

import importlib.metadata
import json
import queue
import sys
import time
from pathlib import Path
from typing import Any

from distance import distant  # type: ignore[import-not-found]
from pybit import _websocket_trading, unified_trading  # type: ignore[import-not-found]
from pybit.exceptions import FailedRequestError, InvalidRequestError  # type: ignore[import-not-found]
from steps import Steps, happen, say  # type: ignore[import-not-found]

SYMBOL = "BTCUSDT"
PATIENCE_S = 20
ONE_WAY_S = 0.005
STEPS = Steps()


def session(place: dict[str, str], **instead: Any) -> Any:
    """A client whose address is the simulator's."""
    found = unified_trading.HTTP(**{"api_key": place["key"], "api_secret": place["secret"], **instead})
    found.endpoint = place["rest"]
    return found


def refused(step: str, code: int, act: Any, kind: type[Exception] = InvalidRequestError) -> None:
    """A step that must fail with that class and code."""
    try:
        found = act()
    except (InvalidRequestError, FailedRequestError) as error:
        found = error.status_code
        STEPS.tell(step, type(error) is kind and found == code, found=type(error).__name__, code=found)
    else:
        STEPS.tell(step, False, found=found)


def wait_for(messages: queue.Queue[dict[str, Any]], fits: Any) -> dict[str, Any] | None:
    """The next message that fits, within patience."""
    until = time.monotonic() + PATIENCE_S
    while (left := until - time.monotonic()) > 0:
        try:
            found = messages.get(timeout=left)
        except queue.Empty:
            return None
        if fits(found):
            return found
    return None


def main(path: str) -> int:
    """Every step."""
    where = json.loads(Path(path).read_text())
    place = where["bybit"]
    unified_trading.PRIVATE_WSS = distant(place["ws_private"], ONE_WAY_S)
    unified_trading.PUBLIC_WSS = distant(place["ws_public"], ONE_WAY_S)
    _websocket_trading.TRADE_WSS = distant(place["ws_trade"], ONE_WAY_S)
    http = session(place)
    found = http.get_instruments_info(category="linear")["result"]["list"]
    STEPS.tell("instruments", SYMBOL in {row["symbol"] for row in found}, count=len(found))
    STEPS.tell("empty_categories", all(not http.get_instruments_info(category=c)["result"]["list"] for c in ("spot", "inverse", "option")))
    book = http.get_orderbook(category="linear", symbol=SYMBOL, limit=50)["result"]
    STEPS.tell("book", len(book["b"]) == 50 and float(book["b"][0][0]) < float(book["a"][0][0]))
    price = f"{float(book['b'][0][0]) * 0.98:.1f}"
    _http_orders(where, http, price)
    _account(http)
    _errors(where, http, price)
    _public(book)
    _private(place, http, price)
    say({"client": "pybit", "version": importlib.metadata.version("pybit"), "failed": STEPS.failed})
    return 1 if STEPS.failed else 0


def _http_orders(where: dict[str, Any], http: Any, price: str) -> None:
    order = {"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.010", "price": price}
    placed = http.place_order(**order, orderLinkId="pybit-1", timeInForce="PostOnly")["result"]
    found = http.get_open_orders(category="linear", symbol=SYMBOL, orderLinkId="pybit-1")["result"]["list"]
    STEPS.tell("place", [row["orderStatus"] for row in found] == ["New"] and found[0]["orderId"] == placed["orderId"], order=found)
    http.amend_order(category="linear", symbol=SYMBOL, orderId=placed["orderId"], qty="0.020")
    found = http.get_open_orders(category="linear", symbol=SYMBOL)["result"]["list"]
    STEPS.tell("amend", [row["qty"] for row in found] == ["0.020"])
    http.cancel_order(category="linear", symbol=SYMBOL, orderLinkId="pybit-1")
    found = http.get_order_history(category="linear", orderId=placed["orderId"])["result"]["list"]
    STEPS.tell("cancel", [(row["orderStatus"], row["cancelType"]) for row in found] == [("Cancelled", "CancelByUser")])
    item = {name: value for name, value in order.items() if name != "category"}
    reply = http.place_batch_order(category="linear", request=[item, {**item, "qty": "0.0001"}])
    codes = [row["code"] for row in reply["retExtInfo"]["list"]]
    STEPS.tell("partial_batch", codes == [0, 10001] and reply["result"]["list"][1]["orderId"] == "", codes=codes)
    gone = http.cancel_all_orders(category="linear", settleCoin="USDT")["result"]
    STEPS.tell("cancel_all", len(gone["list"]) == 1 and gone["success"] == "1")
    placed = http.place_order(**order, orderLinkId="pybit-2")["result"]
    happen(where["control"], venue="bybit", fault="fill", client_id="pybit-2", amount="0.004")
    found = http.get_open_orders(category="linear", symbol=SYMBOL, orderId=placed["orderId"])["result"]["list"]
    STEPS.tell("partial_fill", [(row["orderStatus"], row["leavesQty"]) for row in found] == [("PartiallyFilled", "0.006")], order=found)
    http.cancel_order(category="linear", symbol=SYMBOL, orderId=placed["orderId"])
    fills = http.get_executions(category="linear", symbol=SYMBOL, orderId=placed["orderId"])["result"]["list"]
    position = http.get_positions(category="linear", symbol=SYMBOL)["result"]["list"][0]
    STEPS.tell("position", bool(fills) and position["side"] == "Buy" and float(position["size"]) > 0, position=position)
    http.place_order(category="linear", symbol=SYMBOL, side="Sell", orderType="Market", qty="0", reduceOnly=True, closeOnTrigger=True)
    STEPS.tell("closed", http.get_positions(category="linear", settleCoin="USDT")["result"]["list"] == [])


def _account(http: Any) -> None:
    wallet = http.get_wallet_balance(accountType="UNIFIED", coin="USDT")["result"]["list"][0]
    STEPS.tell("wallet", [coin["coin"] for coin in wallet["coin"]] == ["USDT"] and float(wallet["totalAvailableBalance"]) > 0)
    STEPS.tell("fee", http.get_fee_rates(category="linear", symbol=SYMBOL)["result"]["list"][0]["takerFeeRate"] == "0.00055")
    key = http.get_api_key_information()["result"]
    STEPS.tell("key", key["readOnly"] == 0 and key["permissions"]["Wallet"] == [], key=key)
    STEPS.tell("log", bool(http.get_transaction_log(category="linear")["result"]["list"]))
    STEPS.tell("time", int(http.get_server_time()["result"]["timeNano"]) > 0)


def _errors(where: dict[str, Any], http: Any, price: str) -> None:
    place = where["bybit"]
    order = {"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.010", "price": price}
    wrong = session(place, api_secret="not the secret")
    refused("bad_signature", 10004, lambda: wrong.get_wallet_balance(accountType="UNIFIED"))
    unknown = session(place, api_key="unknown")
    refused("unknown_key", 10003, lambda: unknown.get_wallet_balance(accountType="UNIFIED"))
    hasty = session(place, max_retries=1, retry_delay=0)
    happen(where["control"], venue="bybit", fault="clock_skew", ms=60_000)
    # pybit tries again with a wider window, and says that it gave up.
    refused("skewed_clock", 400, lambda: hasty.get_wallet_balance(accountType="UNIFIED"), FailedRequestError)
    happen(where["control"], venue="bybit", fault="clock_skew", ms=0)
    refused("insufficient", 110007, lambda: http.place_order(**{**order, "qty": "1000"}))
    refused("min_notional", 110094, lambda: http.place_order(**{**order, "price": "1"}))
    refused("price_step", 10001, lambda: http.place_order(**{**order, "price": "60000.05"}))
    refused("unknown_order", 110001, lambda: http.cancel_order(category="linear", symbol=SYMBOL, orderLinkId="nobody"))
    refused("duplicate", 110072, lambda: http.place_order(**order, orderLinkId="pybit-1"))
    refused(
        "leverage_as_it_is", 110043, lambda: http.set_leverage(category="linear", symbol="ADAUSDT", buyLeverage="20", sellLeverage="20")
    )


def _public(book: dict[str, Any]) -> None:
    messages: queue.Queue[dict[str, Any]] = queue.Queue()
    stream = unified_trading.WebSocket(channel_type="linear", testnet=False)
    stream.orderbook_stream(50, SYMBOL, messages.put)
    found = [wait_for(messages, lambda m: m["topic"] == f"orderbook.50.{SYMBOL}") for _ in range(3)]
    STEPS.tell("public_book", all(m is not None and len(m["data"]["b"]) >= 50 for m in found))
    stream.trade_stream(SYMBOL, messages.put)
    stream.ticker_stream(SYMBOL, messages.put)
    STEPS.tell("public_trades", wait_for(messages, lambda m: m["topic"] == f"publicTrade.{SYMBOL}") is not None)
    STEPS.tell("public_ticker", wait_for(messages, lambda m: m["topic"] == f"tickers.{SYMBOL}" and "markPrice" in m["data"]) is not None)
    stream.exit()


def _private(place: dict[str, str], http: Any, price: str) -> None:
    messages: queue.Queue[dict[str, Any]] = queue.Queue()
    keys = {"api_key": place["key"], "api_secret": place["secret"], "testnet": False, "private_auth_expire": 30}
    stream = unified_trading.WebSocket(channel_type="private", **keys)
    for subscribe in (stream.order_stream, stream.execution_stream, stream.position_stream, stream.wallet_stream):
        subscribe(messages.put)
    # The acknowledgements are pybit's own; an order that is told proves that they came.
    time.sleep(1)
    trading = unified_trading.WebSocketTrading(**keys)
    answers: queue.Queue[dict[str, Any]] = queue.Queue()
    order = {"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.010", "price": price}
    while not trading.auth:
        time.sleep(0.05)
    trading.place_order(answers.put, answers.put, **order, orderLinkId="pybit-ws-1")
    placed = wait_for(answers, lambda m: m["op"] == "order.create")
    STEPS.tell("ws_place", placed is not None and placed["retCode"] == 0, answer=placed)
    STEPS.tell("order_event", wait_for(messages, lambda m: m["topic"] == "order" and m["data"][0]["orderStatus"] == "New") is not None)
    trading.amend_order(answers.put, answers.put, category="linear", symbol=SYMBOL, orderLinkId="pybit-ws-1", qty="0.011")
    amended = wait_for(answers, lambda m: m["op"] == "order.amend")
    STEPS.tell("ws_amend", amended is not None and amended["retCode"] == 0, answer=amended)
    trading.cancel_order(answers.put, answers.put, category="linear", symbol=SYMBOL, orderLinkId="pybit-ws-1")
    STEPS.tell("ws_cancel", (wait_for(answers, lambda m: m["op"] == "order.cancel") or {}).get("retCode") == 0)
    STEPS.tell(
        "cancel_event", wait_for(messages, lambda m: m["topic"] == "order" and m["data"][0]["orderStatus"] == "Cancelled") is not None
    )
    trading.cancel_order(answers.put, answers.put, category="linear", symbol=SYMBOL, orderLinkId="pybit-ws-1")
    STEPS.tell("ws_unknown_order", (wait_for(answers, lambda m: m["op"] == "order.cancel") or {}).get("retCode") == 110001)
    http.place_order(category="linear", symbol=SYMBOL, side="Buy", orderType="Market", qty="0.010")
    STEPS.tell(
        "execution_event", wait_for(messages, lambda m: m["topic"] == "execution" and m["data"][0]["execType"] == "Trade") is not None
    )
    STEPS.tell("position_event", wait_for(messages, lambda m: m["topic"] == "position" and m["data"][0]["side"] == "Buy") is not None)
    STEPS.tell("wallet_event", wait_for(messages, lambda m: m["topic"] == "wallet") is not None)
    http.place_order(category="linear", symbol=SYMBOL, side="Sell", orderType="Market", qty="0.010", reduceOnly=True)
    trading.exit()
    stream.exit()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
