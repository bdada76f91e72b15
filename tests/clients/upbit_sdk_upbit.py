"""upbit-sdk, the venue's own client, unmodified, against the simulated Upbit: `python upbit_sdk_upbit.py ADDRESSES.json`.

Prints one JSON line a step; exits 0 when every step went as expected. Runs in the clients' own environment, where interlock is not installed. Retries
are switched off: with them the client repeats a placement by itself.
"""

import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import upbit  # type: ignore[import-not-found]
from steps import Steps, happen  # type: ignore[import-not-found]
from upbit import Upbit
from upbit.lib import jwt_auth  # type: ignore[import-not-found]

MARKET = "KRW-ETH"
VECTOR_KEY = "a7Xd92LmQW3vBtRzYpMj5CxNKeT1HuVs0fFgJcAw"
VECTOR_SECRET = "upbit-test-secret-0123456789-0123456789-0123456789-0123456789-x"
VECTOR_NONCE = "b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a"
VECTORS: tuple[tuple[dict[str, Any] | None, str], ...] = (
    (None, "AkVBrdDYtLXR8RPuaSE9WACu2t_Bf3vydF_h1iePte8"),
    (
        {
            "market": "KRW-BTC",
            "side": "bid",
            "volume": "0.001",
            "price": "50000000",
            "ord_type": "limit",
            "identifier": "arb-0001",
        },
        "yiolgdjyq5uRGvvk1rnPWswb6NBVC2DpDYfF_dOEfkA",
    ),
    ({"market": "KRW-BTC", "states": ["wait", "watch"], "limit": 10}, "7ir5IRZ1GSN6mFH40Ro9R31mPIiZtRZ7OnZd0PGBiOM"),
)
"""Parameters, and the signature part of the token that interlock signs for them with HS256 and the nonce above."""


def run_signing(steps: Steps, client: Upbit) -> None:
    """The client's tokens for a given nonce are, byte for byte, those that interlock signs."""
    real = uuid.uuid4
    jwt_auth.uuid.uuid4 = lambda: uuid.UUID(VECTOR_NONCE)
    try:
        for number, (params, expected) in enumerate(VECTORS, start=1):
            token = jwt_auth.create_jwt_token(VECTOR_KEY, VECTOR_SECRET, params, client.qs)
            steps.tell(f"signing vector {number}", token.rpartition(".")[2] == expected, token.rpartition(".")[2])
    finally:
        jwt_auth.uuid.uuid4 = real


def run(steps: Steps, client: Upbit, control: str, key: str) -> None:
    steps.tell("markets", MARKET in [pair.market for pair in client.trading_pairs.list(is_details=True)])
    units = client.orderbooks.list(markets=MARKET)[0].orderbook_units
    best_bid, best_ask = float(units[0].bid_price), float(units[0].ask_price)
    steps.tell("book", best_bid < best_ask and len(units) == 30, (best_bid, best_ask))
    rules = client.orderbooks.list_instruments(markets=MARKET)[0]
    unit = float(rules.tick_size)
    steps.tell("price unit", unit == 1000 and "0" in rules.supported_levels, rules.tick_size)
    held = {account.currency: account for account in client.accounts.list()}
    steps.tell("balances", float(held["KRW"].balance) > 0 and held["ETH"].locked == "0.0", held["KRW"].balance)
    chance = client.orders.retrieve_chance(market=MARKET)
    steps.tell("chance", chance.bid_fee == "0.0005" and chance.market.state == "active", chance.market.id)
    steps.tell("keys", client.api_keys.list()[0].access_key == key)
    steps.tell("wallets", len(client.wallet_status.list()) > 0)

    low = str(int(best_bid * 0.9 // unit * unit))
    mine = f"sdk-{time.time_ns()}"
    order = client.orders.create(market=MARKET, side="bid", ord_type="limit", price=low, volume="0.02", identifier=mine)
    steps.tell("place, rests", order.state == "wait" and order.smp_type == "cancel_maker", order.uuid)
    steps.tell("query by identifier", client.orders.retrieve(identifier=mine).uuid == order.uuid)
    steps.tell("open orders", [o.uuid for o in client.orders.list_open(market=MARKET).items] == [order.uuid])
    happen(control, fault="fill", venue="upbit", client_id=mine, amount="0.015")
    part = client.orders.retrieve(uuid=order.uuid)
    steps.tell("partial fill", (part.state, part.executed_volume) == ("wait", "0.015"), part.executed_volume)
    happen(control, fault="fill", venue="upbit", client_id=mine)
    done = client.orders.retrieve(uuid=order.uuid)
    steps.tell("then the rest", done.state == "done" and len(done.trades or []) == 2, done.paid_fee)
    steps.tell("closed orders", order.uuid in [o.uuid for o in client.orders.list_closed(market=MARKET, states=["done"])])
    steps.tell("by uuids", len(client.orders.list_by_uuids(uuids=[order.uuid])) == 1)

    uuids = [client.orders.create(market=MARKET, side="bid", ord_type="limit", price=low, volume="0.01").uuid for _ in range(3)]
    gone = client.orders.cancel(uuid=uuids[0])
    steps.tell("cancel", gone.uuid == uuids[0] and client.orders.retrieve(uuid=uuids[0]).state == "cancel")
    several = client.orders.cancel_by_uuids(uuids=uuids[:2])
    steps.tell("cancel several", (several.success.count, several.failed.count) == (1, 1), several.failed.orders[0].uuid)
    swept = client.orders.cancel_open(quote_currencies="KRW", count=300)
    steps.tell("cancel all", swept.success.count == 1 and not client.orders.list_open().items, swept.success.count)
    dry = client.orders.test_create(market=MARKET, side="bid", ord_type="price", price="10000")
    steps.refused("a dry run leaves nothing", upbit.NotFoundError, lambda: client.orders.retrieve(uuid=dry.uuid), "order_not_found")

    def limit(price: str, volume: str, **more: Any) -> Any:
        return client.orders.create(market=MARKET, side="bid", ord_type="limit", price=price, volume=volume, **more)

    time.sleep(1)  # twelve orders a second
    too_much = {"market": MARKET, "side": "ask", "ord_type": "limit", "price": str(int(best_ask)), "volume": "150"}
    steps.refused("insufficient funds", upbit.BadRequestError, lambda: client.orders.create(**too_much), "insufficient_funds_ask")
    steps.refused("too small", upbit.BadRequestError, lambda: limit(low, "0.0001"), "under_min_total_bid")
    steps.refused("price unit", upbit.BadRequestError, lambda: limit(str(int(low) + 1), "0.01"), "invalid_price_bid")
    steps.refused("identifier again", upbit.BadRequestError, lambda: limit(low, "0.01", identifier=mine), "duplicated_identifier")
    nobody = "00000000-0000-4000-8000-000000000000"
    steps.refused("unknown order", upbit.NotFoundError, lambda: client.orders.retrieve(uuid=nobody), "order_not_found")
    steps.refused("pockets", upbit.AuthenticationError, client.pockets.list, "out_of_scope")
    bad = client.copy(secret_key="x" * 64)
    steps.refused("bad signature", upbit.AuthenticationError, bad.accounts.list, "jwt_verification")
    steps.refused("unknown key", upbit.AuthenticationError, client.copy(access_key="nobody").accounts.list, "invalid_access_key")


def run_streams(steps: Steps, client: Upbit) -> None:
    with client.ws_stream.subscribe(orderbook=[f"{MARKET}.5"], trade=[MARKET]) as public:
        message = next(message for message in public if message.type == "orderbook")
        steps.tell("book stream", message.type == "orderbook" and len(message.orderbook_units) == 5, message.stream_type)
        listed = public.list_subscriptions()
        steps.tell("subscriptions", {entry.type for entry in listed.result} == {"orderbook", "trade"}, listed.result)
    with client.ws_stream.subscribe_private(my_order=[], my_asset=True) as private:
        time.sleep(1)  # the subscription is not acknowledged
        order = client.orders.create(market=MARKET, side="ask", ord_type="limit", price="6000000", volume="0.01")
        first, second = private.recv(), private.recv()
        steps.tell("order stream", (first.type, first.uuid, first.state) == ("myOrder", order.uuid, "wait"), first.state)
        steps.tell("balance stream", second.type == "myAsset" and float(second.assets[0].locked) == 0.01, second.assets)
        client.orders.cancel(uuid=order.uuid)
        steps.tell("cancel on the stream", private.recv().state == "cancel")


def main(path: str) -> int:
    places = json.loads(Path(path).read_text())
    where = places["upbit"]
    stream = where["ws_private"].removesuffix("/websocket/v1/private")
    client = Upbit(access_key=where["key"], secret_key=where["secret"], base_url=where["rest"], websocket_base_url=stream, max_retries=0)
    steps = Steps()
    run_signing(steps, client)
    run(steps, client, places["control"], where["key"])
    run_streams(steps, client)
    return 1 if steps.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
