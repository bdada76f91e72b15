"""Who may ask: the published signatures, other kinds of keys, clocks, and keys that may not."""

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.simulate.served.binance_usdm.bench import Bench

from interlock.simulate.served.binance_usdm.auth import proven, split_signature
from interlock.simulate.served.keys import SimKey
from interlock.venues.request import Key

ACCESS = "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83"
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
STAMP_MS = 1_591_702_613_943
ORDER = f"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp={STAMP_MS}"
PUBLISHED = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"


@pytest.fixture
def then(bench: Bench) -> Bench:
    """The venue at the time of the published examples, with their key."""
    bench.face.parts.keys.add(SimKey(access=ACCESS, secret=SECRET))
    bench.face.venue.skew_ns = STAMP_MS * 1_000_000 - bench.clock.now_ns()
    return bench


HEAD, TAIL = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC", f"quantity=1&price=9000&recvWindow=5000&timestamp={STAMP_MS}"
MIXED = "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (f"{ORDER}&signature={PUBLISHED}", ""),
        ("", f"{ORDER}&signature={PUBLISHED}"),
        (f"{ORDER}&signature={PUBLISHED.upper()}", ""),
        (HEAD, f"{TAIL}&signature={MIXED}"),
    ],
)
def test_the_published_order_is_taken_far_from_the_market(then: Bench, query: str, body: str) -> None:
    found = then.raw("POST", f"http://{then.orders}/fapi/v1/order?{query}", {"X-MBX-APIKEY": ACCESS}, body.encode())
    assert (found.status, found.body["price"]) == (200, "9000.00")
    wrong = then.raw(
        "POST",
        f"http://{then.orders}/fapi/v1/order?{query.replace('BUY', 'SELL')}",
        {"X-MBX-APIKEY": ACCESS},
        body.replace("BUY", "SELL").encode(),
    )
    assert wrong.code == -1022


def test_the_published_key_check_is_taken(then: Bench) -> None:
    signature = "5581570ecf76b9b74c6f1a66ef6520c2959a75c32641affb2634d655d6e64db8"
    url = f"http://{then.orders}/sapi/v1/account/apiRestrictions?recvWindow=5000&timestamp={STAMP_MS}&signature={signature}"
    assert then.raw("GET", url, {"X-MBX-APIKEY": ACCESS}).body["enableFutures"] is True


def test_the_signature_must_be_the_last_parameter() -> None:
    assert split_signature("a=1&signature=x", "") == ("a=1", "x")
    assert split_signature("signature=x&a=1", "") == ("signature=x&a=1", "")
    assert split_signature("a=1", "b=2&signature=x") == ("a=1b=2", "x")


def _pem(public: ed25519.Ed25519PublicKey | rsa.RSAPublicKey) -> str:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RSA = rsa.generate_private_key(65537, 2048)
SIGNERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "ed25519": (_pem(ED.public_key()), ED.sign),
    "rsa": (_pem(RSA.public_key()), lambda text: RSA.sign(text, padding.PKCS1v15(), hashes.SHA256())),
}


@pytest.mark.parametrize("kind", SIGNERS)
def test_pairs_of_keys_sign_too(bench: Bench, kind: str) -> None:
    public, sign = SIGNERS[kind]
    bench.face.parts.keys.add(SimKey(access=f"pair-{kind}-key", secret=public))
    text = f"timestamp={bench.now_ms()}"
    for signed, code in ((text, 0), (text + "1", -1022)):
        signature = quote(base64.b64encode(sign(signed.encode())).decode(), safe="")
        url = f"http://{bench.orders}/fapi/v3/account?{text}&signature={signature}"
        assert bench.raw("GET", url, {"X-MBX-APIKEY": f"pair-{kind}-key"}).code == code
    assert not proven(SimKey(access="a", secret=public), text, "no base64")


def test_ed25519_gives_the_published_signature() -> None:
    expected = "j7ENsMM+tRQmT2ovdVRUzr/TaHDGQAwof6KyCZEiwnGP/ZuRpFsqxmeRJKy24JsNGfRCivSZsThx2M1i4nc+Bw=="
    assert proven(SimKey(access="a", secret=_pem(ED.public_key())), ORDER, expected)


@pytest.mark.parametrize(("ahead_ms", "code"), [(-4_000, 0), (-6_000, -1021), (900, 0), (1_500, -1021)])
def test_a_clock_that_is_off_is_refused_beyond_the_window(bench: Bench, ahead_ms: int, code: int) -> None:
    assert bench.send(bench.signed("GET", "/fapi/v3/balance", {}, ahead_ms=ahead_ms)).code == code


@pytest.mark.parametrize(
    ("key", "reads", "trades"),
    [
        (SimKey(access="plain-key-1", secret="s"), 0, 0),
        (SimKey(access="read-only-1", secret="s", trade=False), 0, -2015),
        (SimKey(access="locked-key", secret="s", locked=True), -2017, -2017),
        (SimKey(access="elsewhere-1", secret="s", addresses=("203.0.113.1",)), -2015, -2015),
        (SimKey(access="anywhere-1", secret="s", addresses=()), 0, 0),
        (SimKey(access="expired-key", secret="s", expires_ns=1), -2015, -2015),
    ],
    ids=lambda value: value.access if isinstance(value, SimKey) else None,
)
def test_what_a_key_may_do(bench: Bench, key: SimKey, reads: int, trades: int) -> None:
    bench.face.parts.keys.add(key)
    mine = Key(key.access, "s")
    assert bench.call("GET", "/fapi/v3/balance", mine).code == reads
    assert bench.call("DELETE", "/fapi/v1/allOpenOrders", mine, symbol="BTCUSDT").code == (trades or 200)
    told = bench.call("GET", "/sapi/v1/account/apiRestrictions", mine)
    if reads == 0:
        assert (told.body["ipRestrict"], told.body["enableFutures"]) == (bool(key.addresses), key.trade)
        assert told.body["enableWithdrawals"] is False


def test_the_clock_is_looked_at_before_the_key_and_the_key_before_the_signature(bench: Bench) -> None:
    def ask(stamp_ms: int, access: str) -> int:
        url = f"http://{bench.orders}/fapi/v3/balance?timestamp={stamp_ms}&signature=00"
        return bench.raw("GET", url, {"X-MBX-APIKEY": access}).code

    assert [ask(1, "nobodys-key"), ask(bench.now_ms(), "nobodys-key"), ask(bench.now_ms(), bench.key.access)] == [-1021, -2015, -1022]


def test_a_socket_logs_on_with_ed25519_only(bench: Bench) -> None:
    public, sign = SIGNERS["ed25519"]
    bench.face.parts.keys.add(SimKey(access="logon-key-1", secret=public))
    with bench.socket("/ws-fapi/v1") as socket:
        stamp = bench.now_ms()
        assert bench.ask(socket, "account.status", signed=False, timestamp=stamp)["error"]["code"] == -2014
        signature = base64.b64encode(sign(f"apiKey=logon-key-1&timestamp={stamp}".encode())).decode()
        logon = {"apiKey": "logon-key-1", "timestamp": stamp, "signature": signature}
        assert bench.ask(socket, "session.logon", signed=False, **logon)["result"]["apiKey"] == "logon-key-1"
        assert bench.ask(socket, "account.status", signed=False, timestamp=bench.now_ms())["status"] == 200
        bench.face.parts.keys.add(SimKey(access="logon-key-1", secret=public, locked=True))
        assert bench.ask(socket, "account.status", signed=False, timestamp=bench.now_ms())["error"]["code"] == -2017
        assert bench.ask(socket, "session.logout", signed=False)["result"]["apiKey"] is None
        assert bench.ask(socket, "session.logon")["error"]["code"] == -4056


def test_the_published_frame_is_taken(then: Bench) -> None:
    params = {
        "apiKey": ACCESS,
        "newClientOrderId": "arb-0001",
        "price": "9000",
        "quantity": "1",
        "recvWindow": 5000,
        "side": "BUY",
        "symbol": "BTCUSDT",
        "timeInForce": "GTX",
        "timestamp": STAMP_MS,
        "type": "LIMIT",
        "signature": "e70433da57e576aa0755cb7e13a95f455554d6e4edab410a17aafc2daac82329",
    }
    with then.socket("/ws-fapi/v1") as socket:
        found = then.ask(socket, "order.place", signed=False, **params)
        assert (found["status"], found["result"]["clientOrderId"]) == (200, "arb-0001")
        assert [row["rateLimitType"] for row in found["rateLimits"]] == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
        assert then.ask(socket, "order.place", signed=False, **params | {"price": "9001"})["error"]["code"] == -1022
