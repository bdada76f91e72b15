"""Signing, beside the venues' own clients: what pybit, Binance's connector and Upbit's SDK put on the wire, and what we put there for the same
parameters.

Each client runs unmodified in its own environment against a server that keeps what came; only its clock is set, and at Upbit, which has none, the
nonce. What is compared is the signing, so ours is fed the client's own order and spelling of parameters: pybit sorts a query by name, Binance's
connector puts everything into the query, Upbit's SDK sorts what is optional. It signs with HS256; we do with HS512, which the venue recommends
(`tests/venues/test_sign.py`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from interlock.venues.binance_usdm import sign as binance
from interlock.venues.bybit import sign as bybit
from interlock.venues.request import Call, Key, Method, SignedCall
from interlock.venues.upbit import sign as upbit

HERE = Path(__file__).resolve().parent / "signing"
PYTHON = HERE.parent.parent.parent / ".venv-clients" / "bin" / "python"
NOW_MS = 1658384314791
WINDOW_MS = 6000
BYBIT = Key("XXXXXXXXXX", "testsecret0123456789abcdefTESTSECRET")
BINANCE = Key(
    "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83", "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
)
UPBIT = Key("a7Xd92LmQW3vBtRzYpMj5CxNKeT1HuVs0fFgJcAw", "upbit-test-secret-0123456789-0123456789-0123456789-0123456789-x")
NONCE = "b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a"


@dataclass(frozen=True)
class Sent:
    """What a client sent with a key, by the name of the case. `another` key of the same kind signs otherwise."""

    key: Key
    another: Key
    cases: dict[str, dict[str, Any]]


def pem(private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def secret(kind: str) -> str:
    """A new private key."""
    return pem(rsa.generate_private_key(65537, 2048) if kind == "RSA" else ed25519.Ed25519PrivateKey.generate())


def sent_by(script: str, key: Key, kind: str) -> Sent:
    """Let a client send."""
    assert PYTHON.exists(), "expected the clients' environment; make it with `make clients`"
    another = Key(key.access, "another")
    if kind != "HMAC":
        key, another = Key(key.access, secret(kind)), Key(key.access, secret(kind))
    given = {"access": key.access, "secret": key.secret, "pair": kind != "HMAC", "now_ms": NOW_MS, "window_ms": WINDOW_MS, "nonce": NONCE}
    command = [str(PYTHON), str(HERE / script), json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Sent(key, another, {line["case"]: line for line in map(json.loads, done.stdout.splitlines())})


@pytest.fixture(scope="module", params=["HMAC", "RSA"])
def pybit(request: pytest.FixtureRequest) -> Sent:
    return sent_by("pybit_signs.py", BYBIT, request.param)


@pytest.fixture(scope="module", params=["HMAC", "RSA", "Ed25519"])
def connector(request: pytest.FixtureRequest) -> Sent:
    return sent_by("sdk_signs.py", BINANCE, request.param)


@pytest.fixture(scope="module")
def upbit_sdk() -> Sent:
    return sent_by("upbit_signs.py", UPBIT, "HMAC")


def call_of(sent: Mapping[str, Any], *without: str) -> Call:
    """The call that a client's request was made of: without what signing adds to the query."""
    path, _, query = sent["target"].partition("?")
    parts = [part for part in query.split("&") if part.partition("=")[0] not in without]
    return Call(Method(sent["method"]), path, "&".join(parts), sent["body"].encode("ascii"))


def same(signed: SignedCall, sent: Mapping[str, Any]) -> bool:
    """Whether a request of ours is the client's: method, target and body byte for byte, and each header of ours, however spelled, among theirs."""
    ours = (signed.method.value, signed.target, signed.body.decode("ascii"))
    theirs = {(name.lower(), value) for name, value in sent["headers"].items()}
    return ours == (sent["method"], sent["target"], sent["body"]) and {(name.lower(), value) for name, value in signed.headers} <= theirs


BYBIT_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "read": ("/v5/order/realtime", {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "arb-0001", "limit": "50"}),
    "read without parameters": ("/v5/user/query-api", {}),
    "place": ("/v5/order/create", {"price": "25000", "orderLinkId": "arb-0001", "reduceOnly": False}),
    "place two": ("/v5/order/create-batch", {"category": "linear"}),
    "cancel": ("/v5/order/cancel", {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "arb-0001"}),
}


@pytest.mark.parametrize("case", BYBIT_CASES)
def test_bybit_requests_are_signed_as_pybit_signs_them(pybit: Sent, case: str) -> None:
    sent, (path, asked) = pybit.cases[case], BYBIT_CASES[case]
    call = call_of(sent)
    found = json.loads(call.body) if call.body else dict(parse_qsl(call.query))
    assert call.path == path
    assert found.items() >= asked.items()
    assert same(bybit.sign(pybit.key, call, timestamp_ms=NOW_MS, receive_window_ms=WINDOW_MS), sent)
    # What is held to be the same depends on every part of it.
    assert not same(bybit.sign(pybit.another, call, timestamp_ms=NOW_MS, receive_window_ms=WINDOW_MS), sent)
    assert not same(bybit.sign(pybit.key, call, timestamp_ms=NOW_MS + 1, receive_window_ms=WINDOW_MS), sent)
    assert not same(bybit.sign(pybit.key, call, timestamp_ms=NOW_MS, receive_window_ms=WINDOW_MS + 1), sent)


def test_bybit_sockets_are_opened_as_pybit_opens_them(pybit: Sent) -> None:
    message = json.loads(pybit.cases["socket"]["message"])
    assert message == {"op": "auth", "args": bybit.stream_auth(pybit.key, expires_ms=NOW_MS + 1000)}
    assert message["args"] != bybit.stream_auth(pybit.another, expires_ms=NOW_MS + 1000)


ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTX",
    "quantity": "0.001",
    "price": "25000.1",
    "newClientOrderId": "arb:/0001",
}
BINANCE_CASES: dict[str, tuple[str, str, dict[str, str]]] = {
    "read": ("GET", "/fapi/v1/order", {"symbol": "BTCUSDT", "origClientOrderId": "arb-0001"}),
    "read without parameters": ("GET", "/fapi/v3/balance", {}),
    "place": ("POST", "/fapi/v1/order", ORDER),
    "amend": ("PUT", "/fapi/v1/order", {"origClientOrderId": "arb-0001", "quantity": "0.002"}),
    "cancel": ("DELETE", "/fapi/v1/order", {"symbol": "BTCUSDT", "origClientOrderId": "arb-0001"}),
}


@pytest.mark.parametrize("case", BINANCE_CASES)
def test_binance_requests_are_signed_as_its_connector_signs_them(connector: Sent, case: str) -> None:
    sent, (method, path, asked) = connector.cases[case], BINANCE_CASES[case]
    call = call_of(sent, "recvWindow", "timestamp", "signature")
    assert (call.method.value, call.path) == (method, path)
    assert dict(parse_qsl(call.query)).items() >= asked.items()
    assert same(binance.sign(connector.key, call, timestamp_ms=NOW_MS, receive_window_ms=WINDOW_MS), sent)
    assert not same(binance.sign(connector.another, call, timestamp_ms=NOW_MS, receive_window_ms=WINDOW_MS), sent)
    assert not same(binance.sign(connector.key, call, timestamp_ms=NOW_MS + 1, receive_window_ms=WINDOW_MS), sent)
    assert not same(binance.sign(connector.key, call, timestamp_ms=NOW_MS, receive_window_ms=WINDOW_MS + 1), sent)


def test_binance_listen_keys_are_asked_for_as_its_connector_asks(connector: Sent) -> None:
    assert same(binance.with_key(connector.key, Method.POST), connector.cases["listen key"])
    assert not same(binance.with_key(Key("another", "secret"), Method.POST), connector.cases["listen key"])


def test_binance_orders_over_the_socket_are_signed_as_its_connector_signs_them(connector: Sent) -> None:
    message = json.loads(connector.cases["socket"]["message"])
    theirs: dict[str, Any] = message["params"]
    asked = {name: value for name, value in theirs.items() if name not in ("apiKey", "recvWindow", "timestamp", "signature")}
    assert (message["method"], asked) == ("order.place", {**ORDER, "newClientOrderId": "arb-0001"})
    ours = binance.sign_socket(connector.key, asked, timestamp_ms=NOW_MS, receive_window_ms=WINDOW_MS)
    # The connector writes the window as text; what is signed is text in any case.
    assert [(name, str(value)) for name, value in ours.items()] == [(name, str(value)) for name, value in theirs.items()]
    later = binance.sign_socket(connector.key, asked, timestamp_ms=NOW_MS + 1, receive_window_ms=WINDOW_MS)
    assert later["signature"] != theirs["signature"]


UPBIT_CASES: dict[str, tuple[str, str, dict[str, str]]] = {
    "read": ("GET", "/v1/orders/open", {"market": "KRW-BTC", "states[]": "watch", "limit": "100"}),
    "read without parameters": ("GET", "/v1/accounts", {}),
    "place": ("POST", "/v1/orders", {"side": "bid", "price": "50000000", "time_in_force": "post_only", "identifier": "arb-0001"}),
    "cancel": ("DELETE", "/v1/order", {"identifier": "arb-0001"}),
}


@pytest.mark.parametrize("case", UPBIT_CASES)
def test_upbit_requests_are_signed_as_its_sdk_signs_them(upbit_sdk: Sent, case: str) -> None:
    sent, (method, path, asked) = upbit_sdk.cases[case], UPBIT_CASES[case]
    call = call_of(sent)
    found = json.loads(call.body) if call.body else dict(parse_qsl(call.query))
    assert (call.method.value, call.path) == (method, path)
    assert found.items() >= asked.items()
    assert same(upbit.sign(upbit_sdk.key, call, nonce=NONCE, algorithm=upbit.Algorithm.HS256), sent)
    assert not same(upbit.sign(upbit_sdk.another, call, nonce=NONCE, algorithm=upbit.Algorithm.HS256), sent)
    assert not same(upbit.sign(upbit_sdk.key, call, nonce=NONCE[::-1], algorithm=upbit.Algorithm.HS256), sent)
    assert not same(upbit.sign(upbit_sdk.key, call, nonce=NONCE), sent)
