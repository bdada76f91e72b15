"""What pybit, unmodified, puts on the wire for given parameters: `python pybit_signs.py KEY`, one JSON line a request.

KEY is JSON: `access`, `secret`, `pair` (whether the secret is a private key), `now_ms` and `window_ms`. Only the clock and the
addresses are replaced.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from pybit import _helpers, unified_trading  # type: ignore[import-not-found]
from recorder import Recorder  # type: ignore[import-not-found]

ORDER = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001", "price": "25000"}


def main(given: str) -> int:
    """Every case."""
    key: dict[str, Any] = json.loads(given)
    answer = {"retCode": 0, "retMsg": "OK", "result": {}, "retExtInfo": {}, "time": key["now_ms"]}
    there = Recorder(answer, lambda heard: {"op": heard["op"], "success": True, "ret_msg": "", "conn_id": "1", "retCode": 0})
    _helpers.generate_timestamp = lambda: key["now_ms"]
    keys = {"api_key": key["access"], "api_secret": key["secret"], "rsa_authentication": key["pair"]}
    http = unified_trading.HTTP(**keys, recv_window=key["window_ms"])
    http.endpoint = f"http://{there.url}"
    there.case("read")
    http.get_open_orders(category="linear", symbol="BTCUSDT", orderLinkId="arb-0001", limit=50)
    there.case("read without parameters")
    http.get_api_key_information()
    there.case("place")
    http.place_order(**ORDER, timeInForce="PostOnly", orderLinkId="arb-0001", reduceOnly=False)
    there.case("place two")
    item = {name: value for name, value in ORDER.items() if name != "category"}
    http.place_batch_order(category="linear", request=[item, {**item, "qty": "0.002"}])
    there.case("cancel")
    http.cancel_order(category="linear", symbol="BTCUSDT", orderLinkId="arb-0001")
    there.case("socket")
    unified_trading.PRIVATE_WSS = f"ws://{there.url}/v5/private"
    stream = unified_trading.WebSocket(channel_type="private", testnet=False, **keys, private_auth_expire=1)
    until = time.monotonic() + 20
    while not stream.auth and time.monotonic() < until:
        time.sleep(0.02)
    stream.exit()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
