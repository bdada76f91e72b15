"""What Upbit's own SDK puts on the wire for given parameters: `python upbit_signs.py KEY`, one JSON line a request.

KEY is JSON: `access`, `secret` and `nonce`. Only the nonce and the address are replaced. Retries are switched off: with them the client repeats a
placement by itself.
"""

import json
import sys
import uuid
from typing import Any

import upbit  # type: ignore[import-not-found]
from recorder import Recorder  # type: ignore[import-not-found]
from upbit.lib import jwt_auth  # type: ignore[import-not-found]


def ask(there: Recorder, client: Any) -> None:
    """One request of every method that is signed."""
    there.case("read")
    client.orders.list_open(market="KRW-BTC", states=["wait", "watch"], limit=100)
    there.case("read without parameters")
    client.accounts.list()
    there.case("place")
    client.orders.create(
        market="KRW-BTC",
        side="bid",
        ord_type="limit",
        volume="0.001",
        price="50000000",
        time_in_force="post_only",
        smp_type="none",
        identifier="arb-0001",
    )
    there.case("cancel")
    client.orders.cancel(identifier="arb-0001")


def main(given: str) -> int:
    """Every case."""
    key: dict[str, Any] = json.loads(given)
    there = Recorder([], lambda heard: heard)
    jwt_auth.uuid.uuid4 = lambda: uuid.UUID(key["nonce"])
    ask(there, upbit.Upbit(access_key=key["access"], secret_key=key["secret"], base_url=f"http://{there.url}", max_retries=0))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
