"""`interlock venues serve` as a person starts it: what each option does, and what the first line promises. Two processes for all of it."""

from __future__ import annotations

import base64
import json
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.simulate.served.hand import Hand
from tests.simulate.served.process import simulators
from tests.venues.captures import save
from tests.venues.feeds import bybit_book, encoded, recorded_at

from interlock.cli import exit_codes
from interlock.cli.main import main
from interlock.venues.bybit import sign
from interlock.venues.formats import import_tape
from interlock.venues.request import Call, Key, Method

SKEW_MS = 100_000
BIDS = [90_000 + step for step in range(60)]
"""Best bids of the tape, one each tenth of a second, far from every market that is made up."""

Ask = Any


def tape(folder: Path) -> Path:
    """Six seconds of a book that only rises."""
    frames = [bybit_book("snapshot", 1, [(f"{BIDS[0]}.0", "1")], [("90100.0", "1")], 0)]
    for number, bid in enumerate(BIDS[1:], start=2):
        frames.append(bybit_book("delta", number, [(f"{bid}.0", "1")], [], 100 * (number - 1)))
    return import_tape("bybit-v5-raw", [save(folder / "c.gz", recorded_at([encoded(frame) for frame in frames]))], folder / "tape")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Simulators with every option."""
    folder = tmp_path_factory.mktemp("options")
    faults = folder / "faults.json"
    faults.write_text(json.dumps([{"fault": "clock_skew", "venue": "bybit", "ms": SKEW_MS}]), encoding="utf-8")
    with simulators(folder, "--tape", str(tape(folder)), "--faults", str(faults), "--tls", "--seed", "9") as where:
        yield where


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Simulators without any."""
    with simulators(tmp_path_factory.mktemp("plain")) as where:
        yield where


def got(where: dict[str, Any], venue: str, path: str, headers: dict[str, str] | None = None) -> Any:
    """The answer to a request, decoded; by the authority that was named, where one was."""
    context = ssl.create_default_context(cafile=where["ca"]) if "ca" in where else None
    request = urllib.request.Request(f"{where[venue]['rest']}{path}", headers=headers or {})
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return json.loads(answer.read())


def best_bid(where: dict[str, Any]) -> Decimal | None:
    book = got(where, "bybit", "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1")["result"]
    return Decimal(book["b"][0][0]) if book["b"] else None


def test_the_venue_of_a_tape_plays_it_over_and_over_and_the_others_have_markets_of_their_own(told: dict[str, Any]) -> None:
    seen: list[Decimal] = []
    until = time.monotonic() + 60
    while time.monotonic() < until:
        bid = best_bid(told)
        if bid is not None and bid not in seen[-1:]:
            seen.append(bid)
        if any(later < earlier for earlier, later in pairwise(seen)):
            break
        time.sleep(0.02)
    assert set(seen) <= {Decimal(bid) for bid in BIDS}
    assert len(set(seen)) >= 3, "it goes on"
    assert any(later < earlier for earlier, later in pairwise(seen)), "and begins again"
    other = got(told, "binance_usdm", "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT")
    assert Decimal(other["bidPrice"]) < 80_000


def test_a_fault_of_the_file_is_there_from_the_beginning(told: dict[str, Any], plain: dict[str, Any]) -> None:
    def ahead_ms(where: dict[str, Any]) -> float:
        return int(got(where, "bybit", "/v5/market/time")["result"]["timeNano"]) / 1e6 - time.time_ns() / 1e6

    assert abs(ahead_ms(told) - SKEW_MS) < 5_000
    assert abs(ahead_ms(plain)) < 5_000


def test_with_tls_everything_is_encrypted_and_known_to_its_own_authority_alone(told: dict[str, Any], plain: dict[str, Any]) -> None:
    schemes = {
        address.split(":")[0] for place in told.values() if isinstance(place, dict) for address in place.values() if "://" in address
    }
    assert schemes == {"https", "wss"}
    assert "ca" not in plain
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"{told['bybit']['rest']}/v5/market/time", timeout=10)
    assert got(told, "bybit", "/v5/market/time")["retCode"] == 0


def test_keys_are_made_of_the_seed(told: dict[str, Any], plain: dict[str, Any]) -> None:
    for venue in ("upbit", "binance_usdm", "bybit"):
        assert told[venue]["key"] != plain[venue]["key"]
        assert told[venue]["secret"] != plain[venue]["secret"]


def test_accounts_markets_and_levels_are_what_is_promised(plain: dict[str, Any]) -> None:
    hand = Hand(plain)
    held = {venue: {name: Decimal(one) for name, one in _balances(hand, venue).items()} for venue in ("upbit", "binance_usdm", "bybit")}
    assert held["upbit"]["KRW"] >= 10_000_000
    assert held["upbit"]["BTC"] >= 1
    assert held["binance_usdm"]["USDT"] >= 100_000
    assert held["bybit"]["USDT"] >= 100_000
    for symbol in ("BTCUSDT", "ETHUSDT", "XRPUSDT"):
        depth = got(plain, "binance_usdm", f"/fapi/v1/depth?symbol={symbol}&limit=50")
        book = got(plain, "bybit", f"/v5/market/orderbook?category=linear&symbol={symbol}&limit=50")["result"]
        assert [len(side) for side in (depth["bids"], depth["asks"], book["b"], book["a"])] == [50] * 4, symbol
        if symbol == "BTCUSDT":
            assert min(Decimal(depth["bids"][0][0]), Decimal(book["b"][0][0])) > 50_000
    markets = "KRW-BTC,KRW-USDT,KRW-ETH,KRW-XRP"
    for one in got(plain, "upbit", f"/v1/orderbook?markets={markets}"):
        assert len(one["orderbook_units"]) >= 15, one["market"]


def _balances(hand: Hand, venue: str) -> dict[str, str]:
    found = hand.state(venue)["balances"]
    return {name: str(one["free"] if isinstance(one, dict) else one) for name, one in found.items()}


def test_the_bytes_of_a_request_lie_beside_its_line_in_the_witness(plain: dict[str, Any]) -> None:
    place = plain["bybit"]
    call = Call(Method.GET, "/v5/account/wallet-balance", query="accountType=UNIFIED&coin=USDT")
    signed = sign.sign(Key(place["key"], place["secret"]), call, timestamp_ms=time.time_ns() // 1_000_000, receive_window_ms=5_000)
    assert got(plain, "bybit", signed.target, dict(signed.headers))["retCode"] == 0
    witness = Path(plain["witness"])
    assert [line for line in Hand(plain).asked("bybit") if line["verb"] == "read" or line["class"] == "READ"]
    lines = [json.loads(line) for line in (witness.with_name("raw.jsonl")).read_bytes().splitlines() if line.endswith(b"}")]
    came, went = (b"".join(base64.b64decode(one["bytes"]) for one in lines if one["direction"] == way) for way in ("in", "out"))
    assert f"GET {signed.target} HTTP/1.1".encode() in came
    assert b'"retCode":0' in went
    assert place["secret"].encode() not in came + went


@pytest.mark.parametrize(("option", "wanted"), [("--tape", "expected a tape"), ("--faults", "cannot be read")])
def test_what_was_named_and_is_not_there_is_one_error_and_nothing_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, wanted: str
) -> None:
    missing, folder = tmp_path / "missing", tmp_path / "v"
    assert main(["venues", "serve", option, str(missing), "--dir", str(folder)]) == exit_codes.USAGE
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert str(missing) in said.err
    assert wanted in said.err
    assert not folder.exists()


def test_who_is_told_to_stop_before_it_serves_ends_as_well(tmp_path: Path) -> None:
    """Right after its first import, long before its first line."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "interlock", "venues", "serve", "--dir", str(tmp_path / "v")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    while b"interlock.run.venues_process" not in process.stderr.readline().replace(b"numba", b"interlock.run.venues_process"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, b"")
