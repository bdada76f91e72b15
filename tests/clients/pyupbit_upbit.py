"""pyupbit, unmodified but for its address, against the simulated Upbit: `python pyupbit_upbit.py ADDRESSES.json`.

Prints one JSON line a step; exits 0 when every step went as expected. Runs in the clients' own environment, where interlock is not installed. The
client has no setting for its address, so what it sends through is given another base; it sends a query's parameters in the body of a GET.
"""

import asyncio
import contextlib
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyupbit  # type: ignore[import-not-found]
import requests  # type: ignore[import-untyped]
import websockets  # type: ignore[import-not-found]
from pyupbit import errors, request_api
from steps import Steps, happen  # type: ignore[import-not-found]

TICKER = "KRW-XRP"
REAL = "https://api.upbit.com"


class SwallowingSteps(Steps):
    """The client swallows much of what it is told."""

    def swallowed(self, name: str, expected: str, act: Callable[[], Any]) -> None:
        """The client prints the class of what it caught and gives None, or returns the refusal as it came."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            found = act()
        self.tell(name, expected in f"{said.getvalue()} {found}", f"{said.getvalue().strip()} {found}")


def turn_to(rest: str, stream: str) -> None:
    """Have every request and connection of the client go to the simulator."""
    for name in ("get", "post", "delete"):
        real = getattr(requests, name)

        def there(url: str, real: Callable[..., Any] = real, **options: Any) -> Any:
            return real(url.replace(REAL, rest).replace("//v1", "/v1"), **options)

        setattr(request_api.requests, name, there)
    connect = websockets.connect
    websockets.connect = lambda _uri, **options: connect(stream, **options)


def run(steps: SwallowingSteps, where: dict[str, str], control: str) -> None:
    steps.tell("markets", TICKER in pyupbit.get_tickers(fiat="KRW"))
    book = pyupbit.get_orderbook(TICKER)
    best_bid, best_ask = book["orderbook_units"][0]["bid_price"], book["orderbook_units"][0]["ask_price"]
    steps.tell("book", best_bid < best_ask and len(book["orderbook_units"]) == 30, (best_bid, best_ask))
    steps.tell("current price", pyupbit.get_current_price(TICKER) > 0)
    client = pyupbit.Upbit(where["key"], where["secret"])
    steps.tell("balances", client.get_balance("KRW") > 0 and client.get_balance("XRP") > 0, client.get_balance("KRW"))
    chance = client.get_chance(TICKER)
    steps.tell("chance", chance["bid_fee"] == "0.0005" and chance["market"]["bid"]["min_total"] == "5000", chance["market"]["id"])

    low = int(best_bid * 0.9)
    order = client.buy_limit_order(TICKER, low, 10)
    steps.tell("place, rests", order["state"] == "wait" and order["side"] == "bid", order["uuid"])
    steps.tell("query", client.get_order(order["uuid"])["state"] == "wait")
    steps.tell("list of open orders", [o["uuid"] for o in client.get_order(TICKER)] == [order["uuid"]])
    happen(control, fault="fill", venue="upbit", symbol=TICKER, amount="4")
    part = client.get_individual_order(order["uuid"])
    steps.tell("partial fill", (part["state"], part["executed_volume"], len(part["trades"])) == ("wait", "4", 1), part["executed_volume"])
    happen(control, fault="fill", venue="upbit", symbol=TICKER)
    steps.tell("then the rest", client.get_order(order["uuid"])["state"] == "done")
    steps.tell("mean price", client.get_avg_buy_price("XRP") > 0, client.get_avg_buy_price("XRP"))

    ask = client.sell_limit_order(TICKER, int(best_ask * 1.1), 10)
    steps.tell("cancel", client.cancel_order(ask["uuid"])["uuid"] == ask["uuid"])
    steps.tell("cancelled", client.get_order(ask["uuid"])["state"] == "cancel")
    time.sleep(1)  # twelve orders a second
    bought = client.buy_market_order(TICKER, 100_000)
    after = client.get_order(bought["uuid"])
    steps.tell(
        "market buy by value", after["state"] in ("cancel", "done") and float(after["executed_funds"]) > 90_000, after["executed_funds"]
    )
    sold = client.sell_market_order(TICKER, 10)
    steps.tell("market sell", client.get_order(sold["uuid"])["state"] == "done")
    steps.tell("keys", client.get_api_key_list()[0]["access_key"] == where["key"])
    steps.tell("wallets", len(client.get_deposit_withdraw_status()) > 0)

    steps.swallowed("insufficient funds", "InsufficientFundsAsk", lambda: client.sell_limit_order(TICKER, int(best_ask), 200_000))
    steps.swallowed("too small", "UnderMinTotalBid", lambda: client.buy_limit_order(TICKER, low, 1))
    steps.swallowed("price unit", "invalid_price_bid", lambda: client.buy_limit_order(TICKER, low + 0.5, 10))
    steps.swallowed("unknown order", "UpbitError", lambda: client.get_order("00000000-0000-4000-8000-000000000000"))
    steps.refused("bad signature", errors.JwtVerification, pyupbit.Upbit(where["key"], "x" * 64).get_balances)
    # The client has no class for a key that does not exist: it goes on to read a limit that such an answer does not carry.
    steps.refused("unknown key", errors.RemainingReqParsingError, pyupbit.Upbit("nobody", where["secret"]).get_balances)
    steps.swallowed("withdrawals", "OutOfScope", lambda: client.get_withdraw_list("KRW"))


async def run_stream(steps: SwallowingSteps) -> None:
    """What the client's own WebSocketClient sends and reads, without the process that it runs in."""
    async with websockets.connect("wss://api.upbit.com/websocket/v1", ping_interval=60) as socket:
        await socket.send(json.dumps([{"ticket": "abc"}, {"type": "ticker", "codes": [TICKER], "isOnlyRealtime": True}]))
        data = await asyncio.wait_for(socket.recv(), 20)
        assert isinstance(data, bytes)  # the client decodes what it takes for bytes
        found = json.loads(data.decode("utf8"))
        steps.tell("ticker stream", found["code"] == TICKER and found["stream_type"] == "REALTIME", found["trade_price"])


def main(path: str) -> int:
    places = json.loads(Path(path).read_text())
    where = places["upbit"]
    turn_to(where["rest"], where["ws_public"])
    steps = SwallowingSteps()
    run(steps, where, places["control"])
    asyncio.run(run_stream(steps))
    return 1 if steps.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
