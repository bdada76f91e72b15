"""What Binance's own connector puts on the wire for given parameters: `python sdk_signs.py KEY`, one JSON line a request.

KEY is JSON: `access`, `secret`, `pair` (whether the secret is a private key), `now_ms` and `window_ms`. Only the clock and the addresses are
replaced. The connector puts every parameter into the query, whatever the method, and has no request with a body.
"""

import asyncio
import json
import sys
from typing import Any

from binance_common import utils
from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketAPI
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures
from recorder import Recorder  # type: ignore[import-not-found]


def ask(there: Recorder, x: Any, window: int) -> None:
    """One request of every method that is signed, and the key's own."""
    there.case("read")
    x.query_order("BTCUSDT", orig_client_order_id="arb-0001", recv_window=window)
    there.case("read without parameters")
    x.futures_account_balance_v3(recv_window=window)
    there.case("place")
    x.new_order(
        "BTCUSDT", "BUY", "LIMIT", time_in_force="GTX", quantity=0.001, price=25000.1, new_client_order_id="arb:/0001", recv_window=window
    )
    there.case("amend")
    x.modify_order("BTCUSDT", "BUY", quantity=0.002, price=25000.1, orig_client_order_id="arb-0001", recv_window=window)
    there.case("cancel")
    x.cancel_order("BTCUSDT", orig_client_order_id="arb-0001", recv_window=window)
    there.case("listen key")
    x.start_user_data_stream()


async def talk(there: Recorder, api: Any, window: int) -> None:
    """One order over the socket."""
    await api.create_connection()
    there.case("socket")
    await api.new_order(
        "BTCUSDT", "BUY", "LIMIT", time_in_force="GTX", quantity=0.001, price=25000.1, new_client_order_id="arb-0001", recv_window=window
    )
    await api.close_connection(close_session=True)


def main(given: str) -> int:
    """Every case."""
    key: dict[str, Any] = json.loads(given)
    there = Recorder({}, lambda heard: {"id": heard["id"], "status": 200, "result": {}, "rateLimits": []})
    utils.get_timestamp = lambda: key["now_ms"]
    proof = {"api_key": key["access"], "private_key" if key["pair"] else "api_secret": key["secret"]}
    client = DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(**proof, base_path=f"http://{there.url}", retries=0),
        config_ws_api=ConfigurationWebSocketAPI(**proof, stream_url=f"ws://{there.url}"),
    )
    ask(there, client.rest_api, key["window_ms"])
    asyncio.run(talk(there, client.websocket_api, key["window_ms"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
