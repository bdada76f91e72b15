"""Who may ask: the venue's worked signatures, its checks in their order, and what each kind of key may do."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.simulate.served.bybit.wire import Answer, Bench

from interlock.simulate.served.bybit.auth import check_request
from interlock.simulate.served.bybit.words import Failed
from interlock.simulate.served.keys import KeyRing, SimKey
from interlock.venues.bybit.sign import stream_auth
from interlock.venues.request import Call, Key, Method

WALLET = ("/v5/account/wallet-balance", "accountType=UNIFIED")
VECTOR_KEY = SimKey(access="XXXXXXXXXX", secret="testsecret0123456789abcdefTESTSECRET")
QUERY = b"category=option&symbol=BTC-29JUL22-25000-C"
BODY = (
    b'{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"25000",'
    b'"timeInForce":"PostOnly","orderLinkId":"arb-0001"}'
)
VECTORS = (
    (QUERY, 1658384314791, "a5aca6de741b9cec7720d28118d0c17b15d84ba96d2c271905c57f6d485334e6"),
    (BODY, 1658385579423, "6d99e2a37e49755352981f95f54c2a402f26149f8f7ec687c8cb0eff85310c37"),
)


def vector_headers(stamp: int, proof: str) -> dict[str, str]:
    return {
        "X-BAPI-API-KEY": VECTOR_KEY.access,
        "X-BAPI-TIMESTAMP": str(stamp),
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": proof,
    }


@pytest.mark.parametrize(("payload", "stamp", "proof"), VECTORS)
def test_the_worked_signatures_are_taken_and_of_other_bytes_refused(payload: bytes, stamp: int, proof: str) -> None:
    keys = KeyRing([VECTOR_KEY])
    assert check_request(keys, vector_headers(stamp, proof), payload, stamp) is VECTOR_KEY
    with pytest.raises(Failed, match="error sign"):
        check_request(keys, vector_headers(stamp, proof), payload.replace(b"category", b"Category"), stamp)


def test_an_rsa_key_signs_in_base64() -> None:
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    keys, stamp = KeyRing([replace(VECTOR_KEY, secret=public)]), 1658384314791
    proof = base64.b64encode(private.sign(f"{stamp}{VECTOR_KEY.access}5000".encode() + QUERY, padding.PKCS1v15(), SHA256())).decode()
    assert check_request(keys, vector_headers(stamp, proof), QUERY, stamp).access == VECTOR_KEY.access
    for wrong in ("AAAA", "no base64"):
        with pytest.raises(Failed, match="error sign"):
            check_request(keys, vector_headers(stamp, wrong), QUERY, stamp)


@pytest.mark.parametrize(("shift_ms", "code"), [(-5000, 0), (-5001, 10002), (999, 0), (1000, 10002)])
def test_a_time_stamp_counts_within_its_window(bench: Bench, shift_ms: int, code: int) -> None:
    assert bench.get(*WALLET, shift_ms=shift_ms).code == code


def test_the_receive_window_is_the_clients(bench: Bench) -> None:
    assert bench.get(*WALLET, shift_ms=-9_000, window_ms=10_000).code == 0
    assert bench.get(*WALLET, shift_ms=-9_000).code == 10002


def test_a_clock_that_moves_is_the_venues(bench: Bench) -> None:
    assert bench.get(*WALLET, shift_ms=0).code == 0
    headers = bench.headers(Call(Method.GET, *WALLET))
    bench.strike(fault="clock_skew", ms=60_000)
    answer = bench.bare("GET", *WALLET, headers=headers)
    assert answer.code == 10002
    assert f"server_timestamp[{bench.now_ms() + 60_000}]" in answer.body["retMsg"]
    assert answer.body["time"] == bench.now_ms() + 60_000


def key_of(bench: Bench, **what: object) -> Key:
    made = SimKey(access=f"key-{len(bench.face.parts.keys.all())}", secret="another secret".replace(" ", ""))
    for name, value in what.items():
        setattr(made, name, value)
    bench.face.parts.keys.add(made)
    return Key(made.access, made.secret)


CASES: dict[str, tuple[int, int, Callable[[Bench], Answer]]] = {
    "no headers": (401, 401, lambda b: b.bare("GET", *WALLET)),
    "no signature": (401, 401, lambda b: b.bare("GET", *WALLET, headers={"X-BAPI-API-KEY": "k", "X-BAPI-TIMESTAMP": "1"})),
    "no time": (200, 10001, lambda b: b.bare("GET", *WALLET, headers=vector_headers(1, "x") | {"X-BAPI-TIMESTAMP": "now"})),
    "unknown key": (200, 10003, lambda b: b.get(*WALLET, key=Key("unknown", "secret"))),
    "locked key": (200, 10003, lambda b: b.get(*WALLET, key=key_of(b, locked=True))),
    "expired key": (200, 33004, lambda b: b.get(*WALLET, key=key_of(b, expires_ns=1))),
    "other address": (200, 10010, lambda b: b.get(*WALLET, key=key_of(b, addresses=("192.0.2.1",)))),
    "wrong secret": (200, 10004, lambda b: b.get(*WALLET, key=Key(b.key.access, "wrong"))),
    "key that only reads": (200, 10005, lambda b: b.post("/v5/order/create", b.order(), key=key_of(b, trade=False))),
    "no route": (404, 10017, lambda b: b.get("/v5/nowhere")),
    "wrong method": (404, 10017, lambda b: b.get("/v5/order/create")),
    "body of a GET": (403, 403, lambda b: b.bare("GET", *WALLET, body=b"{}", headers=b.headers(Call(Method.GET, *WALLET)))),
}


@pytest.mark.parametrize("name", CASES)
def test_who_may_not_ask_is_told_so(bench: Bench, name: str) -> None:
    status, code, act = CASES[name]
    answer = act(bench)
    assert (answer.status, answer.code) == (status, code), answer.body
    assert bench.get(*WALLET).code == 0


def test_a_key_that_only_reads_may_read(bench: Bench) -> None:
    key = key_of(bench, trade=False)
    assert bench.get(*WALLET, key=key).code == 0
    assert bench.get("/v5/user/query-api", key=key).result["readOnly"] == 1


def test_what_a_key_may_do_is_shown(bench: Bench) -> None:
    plain = bench.get("/v5/user/query-api").result
    assert (plain["readOnly"], plain["permissions"]["Wallet"], plain["ips"]) == (0, [], ["127.0.0.1", "::1"])
    assert plain["apiKey"] == bench.key.access
    later = bench.clock.now_ns() + 3 * 86_400_000_000_000
    mighty = bench.get("/v5/user/query-api", key=key_of(bench, withdraw=True, transfer=True, addresses=(), expires_ns=later)).result
    assert mighty["permissions"]["Wallet"] == ["AccountTransfer", "SubMemberTransfer", "Withdraw"]
    assert (mighty["ips"], mighty["deadlineDay"]) == (["*"], 3)


@pytest.mark.parametrize("path", ["/v5/private", "/v5/trade"])
def test_a_socket_takes_one_proof_of_a_time_to_come(bench: Bench, path: str) -> None:
    soon = bench.now_ms() + 1000
    good = stream_auth(bench.key, expires_ms=soon)

    def code(args: object) -> int:
        reply = bench.socket(path).ask({"op": "auth", "req_id": "1", "args": args})
        return 0 if reply.get("success") else int(reply["retCode"])

    assert code(good) == 0
    assert code([good[0], str(soon), good[2]]) == 0
    assert code(stream_auth(bench.key, expires_ms=bench.now_ms())) == 10004
    assert code([good[0], soon + 1, good[2]]) == 10004
    assert code(["unknown", *good[1:]]) == 10003
    assert code([good[0], True, good[2]]) == 10001
    assert code(good[:2]) == 10001
