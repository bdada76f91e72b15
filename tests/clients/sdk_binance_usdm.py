"""Binance's own connector against the simulated Binance USDⓈ-M: REST, order entry over WebSocket, and both kinds of streams.

One JSON line a step, exit 0 when all went as expected. Runs in an environment of its own, where binance-sdk-derivatives-trading-usds-futures is:
`python sdk_binance_usdm.py WHERE`, WHERE a file with the first line of `interlock venues serve`.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketAPI, ConfigurationWebSocketStreams
from binance_common.errors import BadRequestError, ServerError, TooManyRequestsError, UnauthorizedError
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures
from steps import Steps, happen  # type: ignore[import-not-found]

SYMBOL = "BTCUSDT"
WHERE = json.loads(Path(sys.argv[1]).read_text())
OURS = WHERE["binance_usdm"]
STREAMS = OURS["ws_private"].removesuffix("/private")
STEPS = Steps()


def client(key: str = OURS["key"], secret: str = OURS["secret"]) -> Any:
    return DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(api_key=key, api_secret=secret, base_path=OURS["rest"], retries=0),
        config_ws_api=ConfigurationWebSocketAPI(api_key=key, api_secret=secret, stream_url=OURS["ws_trade"]),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=STREAMS),
    )


def step(name: str, act: Callable[[], Any], check: Callable[[Any], bool]) -> Any:
    """What a REST call gives, by its documented names; every name that came must be one that the connector's model knows."""
    return STEPS.expect(name, lambda: act().data(), check)


def refused(name: str, kind: type[Exception], code: int, act: Callable[[], Any]) -> None:
    try:
        found: Any = act().data()
    except Exception as error:  # noqa: BLE001 - whatever the client raises is what the step shows
        found = error
    # A failure of the server keeps no code, only its HTTP status.
    good = isinstance(found, kind) and (getattr(found, "status_code", None) == code or isinstance(found, ServerError))
    STEPS.tell(name, good, f"{type(found).__name__}: {found}")


def rest() -> None:
    x = client().rest_api
    step("ping", x.test_connectivity, lambda _: True)
    step("time", x.check_server_time, lambda t: t.server_time > 1_600_000_000_000)
    step("exchange_info", x.exchange_information, lambda i: any(s.symbol == SYMBOL and s.price_precision == 2 for s in i.symbols))
    book = step("book", lambda: x.order_book(SYMBOL, limit=5), lambda b: len(b.bids) == 5 and b.last_update_id > 0)
    bid, ask = float(book.bids[0][0]), float(book.asks[0][0])
    far = round(bid * 0.97, 1)
    step("mark", lambda: x.mark_price(SYMBOL), lambda m: m.actual_instance.symbol == SYMBOL)
    step("day", lambda: x.ticker24hr_price_change_statistics(SYMBOL), lambda t: t.actual_instance.symbol == SYMBOL)
    step("candles", lambda: x.kline_candlestick_data(SYMBOL, "1m"), lambda k: isinstance(k, list))
    step("balance", x.futures_account_balance_v3, lambda b: any(float(one.balance) > 0 for one in b))
    step("account", x.account_information_v3, lambda a: float(a.total_wallet_balance) > 0)
    step("account_v2", x.account_information_v2, lambda a: a.can_trade is True)
    step("config", x.futures_account_configuration, lambda c: c.dual_side_position is False)
    step("symbol_config", lambda: x.symbol_configuration(SYMBOL), lambda c: c[0].margin_type == "CROSSED")
    step("brackets", lambda: x.notional_and_leverage_brackets(SYMBOL), lambda b: b.actual_instance[0].symbol == SYMBOL)
    step("commission", lambda: x.user_commission_rate(SYMBOL), lambda c: c.maker_commission_rate == "0.0002")

    def place(price: float = far, quantity: float = 0.01, tif: str = "GTC", **more: Any) -> Any:
        return x.new_order(SYMBOL, "BUY", "LIMIT", time_in_force=tif, quantity=quantity, price=price, **more)

    order = step(
        "rest", lambda: place(tif="GTX", new_client_order_id="sdk-1"), lambda o: o.status == "NEW" and o.client_order_id == "sdk-1"
    )
    step("query", lambda: x.query_order(SYMBOL, orig_client_order_id="sdk-1"), lambda o: o.order_id == order.order_id)
    step("open", lambda: x.current_all_open_orders(SYMBOL), lambda o: [one.client_order_id for one in o] == ["sdk-1"])
    step(
        "modify",
        lambda: x.modify_order(SYMBOL, "BUY", quantity=0.02, price=far, orig_client_order_id="sdk-1"),
        lambda o: o.orig_qty == "0.020" and o.status == "NEW",
    )
    step("amends", lambda: x.get_order_modify_history(SYMBOL), lambda a: a[0].amendment.orig_qty.after == "0.020")
    happen(WHERE["control"], fault="fill", venue="binance_usdm", client_id="sdk-1", amount="0.005")
    step("partial", lambda: x.query_order(SYMBOL, orig_client_order_id="sdk-1"), lambda o: o.status == "PARTIALLY_FILLED")
    step("positions", x.position_information_v3, lambda p: any(one.symbol == SYMBOL for one in p))
    step("fills", lambda: x.account_trade_list(SYMBOL), lambda t: t[-1].qty == "0.005" and t[-1].maker is True)
    step("cancel", lambda: x.cancel_order(SYMBOL, orig_client_order_id="sdk-1"), lambda o: o.status == "CANCELED")
    step(
        "flatten",
        lambda: x.new_order(SYMBOL, "SELL", "MARKET", quantity=0.005, reduce_only="true", new_order_resp_type="RESULT"),
        lambda o: o.status == "FILLED",
    )
    step("again", lambda: place(new_client_order_id="sdk-1"), lambda o: o.order_id != order.order_id)
    step("cancel_all", lambda: x.cancel_all_open_orders(SYMBOL), lambda r: r.code == 200)
    step("history", lambda: x.all_orders(SYMBOL), lambda o: o[-1].status == "CANCELED")
    step("income", x.get_income_history, lambda rows: any(one.income_type == "COMMISSION" for one in rows))
    step("leverage", lambda: x.change_initial_leverage(SYMBOL, 15), lambda r: r.leverage == 15)
    step("dead_man", lambda: x.auto_cancel_all_open_orders(SYMBOL, 0), lambda r: r.countdown_time == "0")
    step("limits", x.query_user_rate_limit, lambda r: len(r) == 2)
    step("key", lambda: x.start_user_data_stream(), lambda k: len(k.listen_key) == 64)

    refused("bad_signature", BadRequestError, -1022, client(secret="x" * 64).rest_api.futures_account_balance_v3)
    refused("bad_key", UnauthorizedError, -2015, client(key="k" * 64).rest_api.futures_account_balance_v3)
    refused("margin", BadRequestError, -2019, lambda: place(quantity=900))
    refused("tick", BadRequestError, -4014, lambda: place(price=round(far + 0.05, 2)))
    refused("notional", BadRequestError, -4164, lambda: place(quantity=0.001))
    refused("post_only", BadRequestError, -5022, lambda: place(price=round(ask * 1.01, 1), tif="GTX"))
    refused("unknown", BadRequestError, -2013, lambda: x.query_order(SYMBOL, order_id=8_999_999_999))
    refused("cancel_unknown", BadRequestError, -2011, lambda: x.cancel_order(SYMBOL, order_id=8_999_999_999))
    happen(WHERE["control"], fault="clock_skew", venue="binance_usdm", ms=60_000)
    refused("skewed", BadRequestError, -1021, x.futures_account_balance_v3)
    happen(WHERE["control"], fault="clock_skew", venue="binance_usdm", ms=0)
    happen(WHERE["control"], fault="rate_limited", venue="binance_usdm", verb="read")
    refused("limited", TooManyRequestsError, -1003, x.futures_account_balance_v3)
    happen(WHERE["control"], fault="accept_then_error", venue="binance_usdm", verb="place")
    refused("timeout", ServerError, -1007, lambda: place(new_client_order_id="sdk-lost"))
    step("not_lost", lambda: x.query_order(SYMBOL, orig_client_order_id="sdk-lost"), lambda o: o.status == "NEW")
    step("clean", lambda: x.cancel_all_open_orders(SYMBOL), lambda r: r.code == 200)


async def sockets() -> None:
    x = client()
    bid = float(x.rest_api.order_book(SYMBOL, limit=5).data().bids[0][0])
    listen_key = x.rest_api.start_user_data_stream().data().listen_key
    streams = await x.websocket_streams.create_connection()
    told: dict[str, list[Any]] = {"depth": [], "mark": [], "user": []}
    depth = await streams.diff_book_depth_streams("btcusdt", update_speed="100ms")
    depth.on("message", told["depth"].append)
    mark = await streams.mark_price_stream("btcusdt", update_speed="1s")
    mark.on("message", told["mark"].append)
    user = await streams.user_data(listen_key)
    user.on("message", told["user"].append)
    await asyncio.sleep(1)
    api = await x.websocket_api.create_connection()
    placed = await api.new_order(
        SYMBOL, "BUY", "LIMIT", quantity=0.01, price=round(bid * 0.97, 1), time_in_force="GTX", new_client_order_id="sdk-ws-1"
    )
    STEPS.tell("ws_place", placed.data().result.status == "NEW", placed.data())
    STEPS.tell("ws_limits", len(placed.rate_limits) == 3, placed.rate_limits)
    queried = await api.query_order(SYMBOL, orig_client_order_id="sdk-ws-1")
    STEPS.tell("ws_query", queried.data().result.client_order_id == "sdk-ws-1", queried.data())
    happen(WHERE["control"], fault="fill", venue="binance_usdm", client_id="sdk-ws-1", amount="0.004")
    changed = await api.modify_order(SYMBOL, "BUY", quantity=0.02, price=round(bid * 0.96, 1), orig_client_order_id="sdk-ws-1")
    STEPS.tell("ws_modify", changed.data().result.orig_qty == "0.020", changed.data())
    cancelled = await api.cancel_order(SYMBOL, orig_client_order_id="sdk-ws-1")
    STEPS.tell("ws_cancel", cancelled.data().result.status == "CANCELED", cancelled.data())
    balance = await api.futures_account_balance_v2()
    STEPS.tell("ws_balance", any(one.asset == "USDT" for one in balance.data().result), balance.data())
    missed = await api.cancel_order(SYMBOL, orig_client_order_id="sdk-ws-1")
    STEPS.tell("ws_cancel_unknown", "-2011" in str(missed.data()), missed.data())
    await asyncio.sleep(1.5)
    STEPS.tell("depth", len(told["depth"]) > 5 and all(one.s == SYMBOL for one in told["depth"]), len(told["depth"]))
    STEPS.tell("mark", len(told["mark"]) >= 1, told["mark"][:1])
    found = [one.actual_instance for one in told["user"]]
    kinds = [f"{type(one).__name__} {one.o.x if type(one).__name__ == 'OrderTradeUpdate' else ''}".strip() for one in found]
    for kind in ("NEW", "TRADE", "AMENDMENT", "CANCELED"):
        STEPS.tell(f"user_{kind}", f"OrderTradeUpdate {kind}" in kinds, kinds)
    STEPS.tell("user_account", "AccountUpdate" in kinds and "TradeLite" in kinds, kinds)
    flat = await api.new_order(SYMBOL, "SELL", "MARKET", quantity=0.004, reduce_only="true", new_order_resp_type="RESULT")
    STEPS.tell("ws_flatten", flat.data().result.status == "FILLED", flat.data())
    await streams.close_connection(close_session=True)
    await x.websocket_api.close_connection(close_session=True)


def main() -> int:
    logging.disable(logging.CRITICAL)
    rest()
    asyncio.run(sockets())
    return 1 if STEPS.failed else 0


if __name__ == "__main__":
    sys.exit(main())
