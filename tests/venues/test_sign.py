"""Signing: the venues' worked vectors, and that what is signed is what is sent. The keys are throw-away ones, published with the vectors."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.errors import UsageError
from interlock.venues.binance_usdm import sign as binance
from interlock.venues.bybit import sign as bybit
from interlock.venues.key_pair import KeyPair
from interlock.venues.request import Call, Key, Method, Pair, SignedCall
from interlock.venues.upbit import sign as upbit

BYBIT = Key("XXXXXXXXXX", "testsecret0123456789abcdefTESTSECRET")
BINANCE = Key(
    "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83", "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
)
UPBIT = Key("a7Xd92LmQW3vBtRzYpMj5CxNKeT1HuVs0fFgJcAw", "upbit-test-secret-0123456789-0123456789-0123456789-0123456789-x")
NONCE = "b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a"


def pem(
    private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    closed_by: KeySerializationEncryption | None = None,
) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, closed_by or NoEncryption()).decode("ascii")


RSA = rsa.generate_private_key(65537, 2048)
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BINANCE_ORDER = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"


def header(signed: SignedCall, name: str) -> str:
    return dict(signed.headers)[name]


# Bybit


def test_bybit_signs_a_query_as_its_vector_says() -> None:
    call = Call(Method.GET, "/v5/order/realtime", "category=option&symbol=BTC-29JUL22-25000-C")
    signed = bybit.sign(BYBIT, call, timestamp_ms=1658384314791, receive_window_ms=5000)
    assert header(signed, "X-BAPI-SIGN") == "a5aca6de741b9cec7720d28118d0c17b15d84ba96d2c271905c57f6d485334e6"
    assert signed.target == "/v5/order/realtime?category=option&symbol=BTC-29JUL22-25000-C"
    assert [name for name, _ in signed.headers] == ["X-BAPI-API-KEY", "X-BAPI-TIMESTAMP", "X-BAPI-RECV-WINDOW", "X-BAPI-SIGN"]


def test_bybit_signs_a_body_as_its_vector_says() -> None:
    body = (
        b'{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"25000",'
        b'"timeInForce":"PostOnly","orderLinkId":"arb-0001"}'
    )
    signed = bybit.sign(BYBIT, Call(Method.POST, "/v5/order/create", body=body), timestamp_ms=1658385579423, receive_window_ms=5000)
    assert header(signed, "X-BAPI-SIGN") == "6d99e2a37e49755352981f95f54c2a402f26149f8f7ec687c8cb0eff85310c37"
    assert (signed.body, header(signed, "Content-Type")) == (body, "application/json")


def test_bybit_signs_a_stream_as_its_vector_says() -> None:
    expected = "178e46b0aeb6815e190aaadaae257ee5bc08aec04f0eebe2ef31af0bba28735a"
    assert bybit.stream_auth(BYBIT, expires_ms=1662350400000) == ["XXXXXXXXXX", 1662350400000, expected]


def test_bybit_signs_no_part_and_leaves_another_unsigned() -> None:
    for call in (Call(Method.POST, "/v5/order/create", "a=b", b"{}"), Call(Method.GET, "/v5/order/realtime", body=b"{}")):
        with pytest.raises(UsageError, match="expected"):
            bybit.sign(BYBIT, call, timestamp_ms=1, receive_window_ms=1)


# Binance


def test_binance_signs_a_query_as_its_vector_says() -> None:
    call = Call(Method.POST, "/fapi/v1/order", "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC")
    signed = binance.sign(BINANCE, call, timestamp_ms=1591702613943, receive_window_ms=5000)
    assert signed.query == (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943"
        "&signature=3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    )
    assert (signed.body, signed.headers) == (b"", (("X-MBX-APIKEY", BINANCE.access),))


def test_binance_signs_query_and_body_with_nothing_between() -> None:
    call = Call(Method.POST, "/fapi/v1/order", "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC", b"quantity=1&price=9000")
    signed = binance.sign(BINANCE, call, timestamp_ms=1591702613943, receive_window_ms=5000)
    assert signed.query == call.query
    assert signed.body == (
        b"quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943"
        b"&signature=30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4"
    )


def test_binance_signs_the_key_check_of_its_wallet() -> None:
    call = Call(Method.GET, "/sapi/v1/account/apiRestrictions")
    signed = binance.sign_read(BINANCE, call, timestamp_ms=1591702613943, receive_window_ms=5000)
    assert signed.query.endswith("&signature=5581570ecf76b9b74c6f1a66ef6520c2959a75c32641affb2634d655d6e64db8")


def test_binance_signs_an_order_over_its_socket_as_its_vector_says() -> None:
    params = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTX",
        "quantity": "1",
        "price": "9000",
        "newClientOrderId": "arb-0001",
    }
    signed = binance.sign_socket(BINANCE, params, timestamp_ms=1591702613943, receive_window_ms=5000)
    assert signed["signature"] == "e70433da57e576aa0755cb7e13a95f455554d6e4edab410a17aafc2daac82329"
    assert signed.items() >= params.items()
    assert list(signed) == [*sorted(signed.keys() - {"signature"}), "signature"]
    truth = binance.sign_socket(BINANCE, {"reduceOnly": True}, timestamp_ms=1, receive_window_ms=2)
    text = f"apiKey={BINANCE.access}&recvWindow=2&reduceOnly=true&timestamp=1"
    assert truth["signature"] == hmac.new(BINANCE.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("name", ["timestamp", "recvWindow", "signature"])
def test_binance_signs_nothing_that_carries_a_stamp_already(name: str) -> None:
    for call in (Call(Method.GET, "/fapi/v1/order", f"a=b&{name}=1"), Call(Method.POST, "/fapi/v1/order", "a=b", f"{name}=1".encode())):
        with pytest.raises(UsageError, match="added here"):
            binance.sign(BINANCE, call, timestamp_ms=1, receive_window_ms=1)
    with pytest.raises(UsageError, match="added here"):
        binance.sign_socket(BINANCE, {name: "1"}, timestamp_ms=1, receive_window_ms=1)


def test_binance_listen_keys_need_the_key_alone() -> None:
    assert binance.with_key(BINANCE, Method.PUT) == SignedCall(Method.PUT, "/fapi/v1/listenKey", "", (("X-MBX-APIKEY", BINANCE.access),))
    with pytest.raises(UsageError, match="expected POST, PUT or DELETE"):
        binance.with_key(BINANCE, Method.GET)


# Pairs


def test_an_ed25519_key_signs_as_its_vectors_say() -> None:
    expected = "j7ENsMM+tRQmT2ovdVRUzr/TaHDGQAwof6KyCZEiwnGP/ZuRpFsqxmeRJKy24JsNGfRCivSZsThx2M1i4nc+Bw=="
    key = Key("test-ed25519-key", pem(ED25519))
    signed = binance.sign(key, Call(Method.POST, "/fapi/v1/order", BINANCE_ORDER), timestamp_ms=1591702613943, receive_window_ms=5000)
    proven, _, proof = signed.query.rpartition("&signature=")
    assert proven == f"{BINANCE_ORDER}&recvWindow=5000&timestamp=1591702613943"
    # Escaped, for "+" would be read as a blank.
    assert proof == expected.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    in_body = binance.sign(
        key, Call(Method.POST, "/fapi/v1/order", body=BINANCE_ORDER.encode()), timestamp_ms=1591702613943, receive_window_ms=5000
    )
    assert in_body.body.decode() == signed.query
    logon = b"apiKey=test-ed25519-key&timestamp=1591702613943"
    assert KeyPair(pem(ED25519)).proof(logon) == "Gohd6akRKIQ5g0VnCpKkNeL/xnowEkwgyDVAoV7hhDnAq6e8sjUQcsxfFMiUVZ2CjGsSMsRodRqbuiZ3kko0BQ=="


def test_an_rsa_key_signs_the_same_text() -> None:
    """There is no vector whose key is known; `tests/clients/test_signing.py` holds it against the venues' own clients."""
    key = Key("test-rsa-key", pem(RSA))
    signed = binance.sign(key, Call(Method.POST, "/fapi/v1/order", BINANCE_ORDER), timestamp_ms=1591702613943, receive_window_ms=5000)
    proven, _, proof = signed.query.rpartition("&signature=")
    assert proven == f"{BINANCE_ORDER}&recvWindow=5000&timestamp=1591702613943"
    RSA.public_key().verify(base64.b64decode(unquote(proof), validate=True), proven.encode(), padding.PKCS1v15(), SHA256())


def test_over_a_socket_the_proof_of_a_pair_is_not_escaped() -> None:
    signed = binance.sign_socket(Key("a", pem(ED25519)), {"symbol": "BTCUSDT"}, timestamp_ms=1, receive_window_ms=2)
    proof = base64.b64decode(str(signed["signature"]), validate=True)
    ED25519.public_key().verify(proof, b"apiKey=a&recvWindow=2&symbol=BTCUSDT&timestamp=1")


def test_bybit_signs_the_same_text_with_rsa_and_takes_no_ed25519() -> None:
    key, public = Key("XXXXXXXXXX", pem(RSA)), RSA.public_key()
    for call, text in ((Call(Method.GET, "/x", "a=b"), b"a=b"), (Call(Method.POST, "/x", body=b'{"a":"b"}'), b'{"a":"b"}')):
        proof = header(bybit.sign(key, call, timestamp_ms=1, receive_window_ms=5000), "X-BAPI-SIGN")
        public.verify(base64.b64decode(proof, validate=True), b"1XXXXXXXXXX5000" + text, padding.PKCS1v15(), SHA256())
    access, expires_ms, proof = map(str, bybit.stream_auth(key, expires_ms=7))
    assert (access, expires_ms) == ("XXXXXXXXXX", "7")
    public.verify(base64.b64decode(proof, validate=True), b"GET/realtime7", padding.PKCS1v15(), SHA256())
    with pytest.raises(UsageError, match="RSA, found a private key"):
        bybit.stream_auth(Key("a", pem(ED25519)), expires_ms=7)


@pytest.mark.parametrize("private", [RSA, ED25519], ids=["RSA", "Ed25519"])
def test_upbit_takes_no_pair(private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> None:
    for act in (
        lambda: upbit.sign(Key("a", pem(private)), Call(Method.GET, "/v1/accounts"), nonce=NONCE),
        lambda: upbit.stream_auth(Key("a", pem(private)), nonce=NONCE),
    ):
        with pytest.raises(UsageError, match="this venue issued, found a private key"):
            act()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (pem(RSA)[:400], "cannot be read"),
        (pem(ED25519, BestAvailableEncryption(b"zx81")), "without a passphrase"),
        (pem(rsa.generate_private_key(65537, 1024)), "2048 bits or more, found 1024"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "another kind"),
        ("-----BEGIN PRIVATE KEY-----\n\u00e4", "ASCII"),
    ],
    ids=["cut", "closed", "short", "another kind", "no ASCII"],
)
def test_a_private_key_that_cannot_be_used_is_refused_and_not_shown(found: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        Key("a", found)
    body = found.splitlines()[1]
    assert body not in str(refused.value)
    assert refused.value.__cause__ is None
    assert body not in repr(Key("a", pem(ED25519)))


def test_the_name_of_a_pair_is_checked_as_any_other() -> None:
    with pytest.raises(UsageError, match="access key"):
        Key("a b", pem(ED25519))
    assert Key("a", pem(ED25519)).pair(tuple(Pair)) is not None


# Upbit

VECTORS: list[tuple[Call, str, str]] = [
    (
        Call(Method.GET, "/v1/accounts"),
        "0JT_ego0S2SKPJtz8qIn7tzFVyydg0Q5ZeQL998qosZneMtgYIT3jWA2l3moexOUZfP36l1atLcvBW2SNRbWTA",
        "AkVBrdDYtLXR8RPuaSE9WACu2t_Bf3vydF_h1iePte8",
    ),
    (
        Call(
            Method.POST,
            "/v1/orders",
            body=b'{"market":"KRW-BTC","side":"bid","volume":"0.001","price":"50000000","ord_type":"limit","identifier":"arb-0001"}',
        ),
        "PTjSzeeG3dVTb5gQ-vlKEbW66TjsHpPH1NJHRGBevqkY4Z5Q18z-XYVaKbAkXxer3jO9E4iIq_9aeRwBiWxYyw",
        "yiolgdjyq5uRGvvk1rnPWswb6NBVC2DpDYfF_dOEfkA",
    ),
    (
        Call(Method.GET, "/v1/orders/open", "market=KRW-BTC&states[]=wait&states[]=watch&limit=10"),
        "AgNuOzP1Axpcl33xC0ptZ31taqV23H-XrJ9RVhNW_AzJ536W_xotBnlqLyF0ATnPOSj2tZvsUD1veyAsuynVLg",
        "7ir5IRZ1GSN6mFH40Ro9R31mPIiZtRZ7OnZd0PGBiOM",
    ),
]


def claims(signed: SignedCall) -> dict[str, Any]:
    part = header(signed, "Authorization").removeprefix("Bearer ").split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


@pytest.mark.parametrize(("call", "hs512", "hs256"), VECTORS, ids=["nothing", "a body", "a query"])
def test_upbit_signs_as_its_vectors_say(call: Call, hs512: str, hs256: str) -> None:
    for algorithm, expected in ((upbit.Algorithm.HS512, hs512), (upbit.Algorithm.HS256, hs256)):
        signed = upbit.sign(UPBIT, call, nonce=NONCE, algorithm=algorithm)
        assert header(signed, "Authorization").rpartition(".")[2] == expected
        assert (signed.query, signed.body) == (call.query, call.body)
        assert list(claims(signed)) == ["access_key", "nonce", *(["query_hash", "query_hash_alg"] if call.query or call.body else [])]


def test_upbit_signs_its_private_stream_like_a_request_without_parameters() -> None:
    name, value = upbit.stream_auth(UPBIT, nonce=NONCE, algorithm=upbit.Algorithm.HS256)
    assert (name, value.rpartition(".")[2]) == ("Authorization", VECTORS[0][2])


def test_upbit_hashes_what_the_server_reads_from_a_query() -> None:
    plain = "pairs=KRW-BTC,KRW-ETH&states[]=wait"
    sent = "pairs=KRW-BTC%2CKRW-ETH&states[]=wait"
    signed = upbit.sign(UPBIT, Call(Method.DELETE, "/v1/orders/open", sent), nonce=NONCE)
    assert claims(signed)["query_hash"] == hashlib.sha512(plain.encode()).hexdigest()
    assert signed.target == f"/v1/orders/open?{sent}"


@pytest.mark.parametrize("body", [b"[1]", b'{"a": {"b": 1}}', b'{"a": 1.5}', b"a=b", b'{"a": null}'])
def test_upbit_signs_no_body_that_the_server_could_read_otherwise(body: bytes) -> None:
    with pytest.raises(UsageError, match="flat JSON object"):
        upbit.sign(UPBIT, Call(Method.POST, "/v1/orders", body=body), nonce=NONCE)
    with pytest.raises(UsageError, match="found both"):
        upbit.sign(UPBIT, Call(Method.POST, "/v1/orders", "a=b", body), nonce=NONCE)
    assert upbit.parameters(Call(Method.POST, "/v1/orders", body=b'{"a": true, "b": 3}')) == "a=true&b=3"


# All of them


@pytest.mark.parametrize(
    ("reads", "forbidden"),
    [
        (bybit.READS, [(Method.POST, "/v5/order/create"), (Method.POST, "/v5/order/cancel"), (Method.GET, "/v5/order/create")]),
        (binance.READS, [(Method.POST, "/fapi/v1/order"), (Method.DELETE, "/fapi/v1/order"), (Method.POST, "/fapi/v1/leverage")]),
        (upbit.READS, [(Method.POST, "/v1/orders"), (Method.DELETE, "/v1/order"), (Method.POST, "/v1/withdraws/krw")]),
    ],
)
def test_only_reads_are_signed_for_whoever_may_only_look(reads: frozenset[tuple[Method, str]], forbidden: list[tuple[Method, str]]) -> None:
    room = {bybit.READS: bybit, binance.READS: binance, upbit.READS: upbit}[reads]
    stamp: dict[str, Any] = {"nonce": NONCE} if room is upbit else {"timestamp_ms": 1, "receive_window_ms": 5000}
    key = UPBIT if room is upbit else BYBIT
    for method, path in sorted(reads):
        assert method is Method.GET
        assert room.sign_read(key, Call(method, path), **stamp).path == path
    for method, path in forbidden:
        with pytest.raises(UsageError, match="nothing was signed"):
            room.sign_read(key, Call(method, path), **stamp)
        assert room.sign(key, Call(method, path), **stamp).path == path


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
PARAMS = st.dictionaries(
    st.from_regex(r"[a-zA-Z]{1,8}", fullmatch=True).filter(lambda n: n not in ("timestamp", "signature")), TEXTS, max_size=5
)


@given(PARAMS, st.integers(0, 2**53), st.integers(1, 60_000))
def test_what_is_signed_is_what_is_sent(params: dict[str, str], timestamp_ms: int, window_ms: int) -> None:
    """The proof recomputed from the bytes on the wire alone, as a venue does it."""
    query = urlencode(params, quote_via=quote)
    signed = bybit.sign(BYBIT, Call(Method.GET, "/x", query), timestamp_ms=timestamp_ms, receive_window_ms=window_ms)
    text = header(signed, "X-BAPI-TIMESTAMP") + header(signed, "X-BAPI-API-KEY") + header(signed, "X-BAPI-RECV-WINDOW")
    seen = signed.target.partition("?")[2]
    assert header(signed, "X-BAPI-SIGN") == hmac.new(BYBIT.secret.encode(), (text + seen).encode(), hashlib.sha256).hexdigest()

    signed = binance.sign(BINANCE, Call(Method.GET, "/x", query), timestamp_ms=timestamp_ms, receive_window_ms=window_ms)
    proven, _, proof = signed.target.partition("?")[2].rpartition("&signature=")
    assert proof == hmac.new(BINANCE.secret.encode(), proven.encode(), hashlib.sha256).hexdigest()
    assert dict(parse_qsl(proven, keep_blank_values=True)) == {**params, "recvWindow": str(window_ms), "timestamp": str(timestamp_ms)}

    signed = upbit.sign(UPBIT, Call(Method.GET, "/x", query), nonce=NONCE)
    plain = "&".join(f"{name}={value}" for name, value in parse_qsl(signed.query, keep_blank_values=True))
    assert claims(signed).get("query_hash") == (hashlib.sha512(plain.encode()).hexdigest() if plain else None)


@pytest.mark.parametrize(
    ("access", "secret"), [("", "zx81"), ("a", ""), ("a\n", "zx81"), ("a", "zx81\r\n"), ("a b", "zx81"), ("a", "zx81\u00e4")]
)
def test_a_key_that_was_copied_badly_is_refused(access: str, secret: str) -> None:
    with pytest.raises(UsageError, match="copy it anew") as refused:
        Key(access, secret)
    assert "zx81" not in str(refused.value)


def test_no_secret_and_no_signature_is_shown() -> None:
    signed = binance.sign(BINANCE, Call(Method.GET, "/fapi/v1/order", "symbol=BTCUSDT"), timestamp_ms=1, receive_window_ms=1)
    shown = repr([BINANCE, BYBIT, UPBIT, signed])
    for secret in (BINANCE.secret, BYBIT.secret, UPBIT.secret, signed.query, "signature"):
        assert secret not in shown
    assert BYBIT.access in shown
