"""Who may ask: our own signer against the venue's own checks, and every refusal of a token."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest
from tests.simulate.served.upbit.bench import Bench, query_of, told

from interlock.venues.request import Key
from interlock.venues.upbit.sign import Algorithm, token


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("GET", "accounts", {}),
        ("GET", "orders/open", {"states": ["wait", "watch"], "market": "KRW-BTC", "limit": 10}),
        ("GET", "orders/closed", {"start_time": "2026-01-01T00:00:00+09:00"}),
        ("GET", "orders/closed", {"states": ["done"], "order_by": "asc"}),
    ],
)
def test_what_our_signer_signs_is_accepted(bench: Bench, algorithm: Algorithm, method: str, path: str, params: dict[str, Any]) -> None:
    status, body, _ = bench.run(bench.ask(method, path, algorithm=algorithm, **params))
    assert (status, type(body)) == (200, list)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_signed_placement_is_accepted(bench: Bench, algorithm: Algorithm) -> None:
    order: dict[str, Any] = {"market": "KRW-BTC", "side": "bid", "volume": "0.01", "price": bench.low(), "ord_type": "limit"}
    status, body, _ = bench.run(bench.ask("POST", "orders", algorithm=algorithm, **order))
    assert (status, body["state"]) == (201, "wait")


def test_brackets_may_come_with_percent_signs(bench: Bench) -> None:
    plain = "states[]=wait&states[]=watch"
    value = f"Bearer {token(bench.key, plain, nonce=str(uuid4()), algorithm=Algorithm.HS512)}"
    status, body, _ = bench.run(bench.send("GET", "orders/open", plain.replace("[]", "%5B%5D"), {"Authorization": value}))
    assert (status, body) == (200, [])


def signed(key: Key, plain: str = "", nonce: str = "") -> dict[str, str]:
    return {"Authorization": f"Bearer {token(key, plain, nonce=nonce or str(uuid4()), algorithm=Algorithm.HS512)}"}


def claims(**members: Any) -> dict[str, str]:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, members)]
    return {"Authorization": f"Bearer {'.'.join(parts)}."}


REFUSALS: dict[str, tuple[str, Callable[[Bench], tuple[str, Mapping[str, str]]]]] = {
    "no header": ("no_authorization_token", lambda bench: ("", {})),
    "another scheme": ("no_authorization_token", lambda bench: ("", {"Authorization": "Basic abc"})),
    "no token at all": ("jwt_verification", lambda bench: ("", {"Authorization": "Bearer abc"})),
    "unsigned token": ("jwt_verification", lambda bench: ("", claims(access_key=bench.key.access, nonce="n"))),
    "unknown key": ("invalid_access_key", lambda bench: ("", signed(Key("nobody", "s")))),
    "locked key": ("invalid_access_key", lambda bench: ("", signed(bench.add_key("locked", locked=True)))),
    "expired key": ("expired_access_key", lambda bench: ("", signed(bench.add_key("old", expires_ns=1)))),
    "another secret": ("jwt_verification", lambda bench: ("", signed(Key(bench.key.access, "wrong")))),
    "hash of something else": ("invalid_query_payload", lambda bench: ("market=KRW-BTC", signed(bench.key, "market=KRW-ETH"))),
    "parameters without a hash": ("invalid_query_payload", lambda bench: ("market=KRW-BTC", signed(bench.key))),
    "a hash without parameters": ("invalid_query_payload", lambda bench: ("", signed(bench.key, "market=KRW-BTC"))),
    "no nonce": ("jwt_verification", lambda bench: ("", without_nonce(bench.key))),
    "another address": ("no_authorization_ip", lambda bench: ("", signed(bench.add_key("far", addresses=("192.0.2.1",))))),
}


def without_nonce(key: Key) -> dict[str, str]:
    import hashlib
    import hmac

    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "HS256"}, {"access_key": key.access})
    ]
    proof = hmac.new(key.secret.encode(), ".".join(parts).encode(), hashlib.sha256).digest()
    return {"Authorization": f"Bearer {'.'.join(parts)}.{base64.urlsafe_b64encode(proof).rstrip(b'=').decode()}"}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_token_that_is_not_good_is_refused_by_name(bench: Bench, case: str) -> None:
    name, made = REFUSALS[case]
    query, headers = made(bench)
    status, body, _ = bench.run(bench.send("GET", "orders/open", query, headers))
    assert (status, body["error"]["name"]) == (401, name)


def test_a_nonce_is_good_once_and_is_not_used_up_by_a_bad_signature(bench: Bench) -> None:
    nonce = str(uuid4())
    bad, good = signed(Key(bench.key.access, "wrong"), nonce=nonce), signed(bench.key, nonce=nonce)
    found = [bench.run(bench.send("GET", "accounts", headers=headers))[0] for headers in (bad, good)]
    again = bench.run(bench.send("GET", "accounts", headers=good))
    assert found == [401, 200]
    assert (again[0], again[1]["error"]["name"]) == (401, "nonce_used")


@pytest.mark.parametrize(
    ("method", "path", "params", "permission"),
    [
        ("POST", "orders", {"market": "KRW-BTC", "side": "bid", "ord_type": "price", "price": "10000"}, "trade"),
        ("DELETE", "orders/open", {"quote_currencies": "KRW"}, "trade"),
        ("GET", "deposits", {}, "sees_deposits"),
        ("GET", "withdraws", {}, "sees_withdrawals"),
        ("GET", "withdraws/chance", {"currency": "KRW"}, "sees_withdrawals"),
        ("GET", "pockets/api_keys", {}, "transfer"),
    ],
)
def test_a_key_may_do_only_what_it_was_given(bench: Bench, method: str, path: str, params: dict[str, Any], permission: str) -> None:
    without = bench.add_key("without", **{permission: False})
    allowed = bench.add_key("allowed", **{permission: True})
    assert bench.refusal(method, path, key=without, **params) == (401, "out_of_scope")
    assert bench.run(bench.ask(method, path, key=allowed, **params))[0] in (200, 201)


def test_only_a_manager_of_pockets_reads_permissions_and_addresses(bench: Bench) -> None:
    manager = bench.add_key("manager", trade=False, transfer=True)
    groups = bench.run(bench.ask("GET", "pockets/api_keys", key=manager))[1]
    found = {key["access_key"]: key for key in groups[0]["keys"]}
    assert "make_orders" in found[bench.key.access]["permissions"]
    assert "withdraw" not in found[bench.key.access]["permissions"]
    assert found[bench.key.access]["allowed_ips"] == ["127.0.0.1", "::1"]
    assert "manage_pockets" in found["manager"]["permissions"]
    assert {key["access_key"] for key in bench.call("GET", "api_keys")} >= {bench.key.access, "manager"}


def test_the_private_stream_asks_for_a_token_too(bench: Bench) -> None:
    async def names() -> list[str]:
        found = []
        for value in ("", "Bearer abc"):
            socket = await bench.connect(bench.private, token=value)
            found.append((await told(socket))["error"]["name"])
            assert (await socket.receive(5)).type.name == "CLOSE"
        return found

    assert bench.run(names()) == ["INVALID_AUTH", "INVALID_AUTH"]
    assert bench.lines[-1]["verb"] == "auth"


def test_the_public_address_serves_nothing_that_needs_a_key(bench: Bench) -> None:
    async def status(base: str) -> int:
        async with bench.session.get(f"{base}/v1/accounts", headers=signed(bench.key)) as answer:
            return answer.status

    assert (bench.run(status(bench.quotes)), bench.run(status(bench.rest))) == (404, 200)


def test_a_get_may_carry_its_parameters_in_the_body(bench: Bench) -> None:
    uuid = bench.place()["uuid"]
    plain = query_of({"uuid": uuid})
    headers = signed(bench.key, plain) | {"Content-Type": "application/x-www-form-urlencoded"}
    assert bench.run(bench.send("GET", "order", "", headers, plain.encode()))[1]["uuid"] == uuid
