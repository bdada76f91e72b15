"""What the sentinel is told at its start, and what it refuses."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.sentinel.world import config_json, config_of, gate_part, heartbeat_part

from interlock.domain.errors import BadInput, UsageError
from interlock.sentinel.config import Config, clients, read_config
from interlock.sentinel.gate_process import GateIdentity
from interlock.sentinel.process import stamp
from interlock.venues.http_cancel_only import HttpCancelOnly


def changed(tmp_path: Path, **changes: Any) -> str:
    data = json.loads(config_json(config_of(tmp_path, {"bybit": 1})))
    return json.dumps({**data, **changes})


def venue(**changes: Any) -> list[dict[str, Any]]:
    return [{"venue": "bybit", "endpoint": "loopback", "port": 1, "expiry_ns": 5, **changes}]


def test_it_is_read_from_an_argument_and_from_a_file(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"bybit": 1, "upbit": 2}, gate=gate_part(os.getpid()), heartbeat=heartbeat_part(9, 5), expiry_upbit=None)
    text = config_json(config)
    assert read_config(text) == config
    (tmp_path / "c.json").write_text(text)
    assert read_config(str(tmp_path / "c.json")) == config
    assert isinstance(config.gate_identity, GateIdentity)
    assert config_of(tmp_path, {}).gate_identity is None
    assert set(clients(config, stamp)) == {"bybit", "upbit"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"typo": 1}, "typo"),
        ({"prefixes": []}, "prefixes"),
        ({"prefixes": [""]}, "every order ours"),
        ({"users": []}, "nobody"),
        ({"venues": []}, "one or more"),
        ({"venues": venue() + venue()}, "different"),
        ({"venues": venue(endpoint="real")}, "expected endpoint loopback or testnet"),
        ({"venues": venue(endpoint="Loopback")}, "expected endpoint loopback or testnet"),
        ({"venues": venue(endpoint="testnet")}, "expected credential and key_fingerprint"),
        ({"venues": venue(endpoint="testnet", port=None, places="p.json", symbols=["BTCUSDT"])}, "expected credential and key_fingerprint"),
        ({"venues": venue(endpoint="testnet", port=None, credential="/k", symbols=["BTCUSDT"])}, "expected credential and key_fingerprint"),
        ({"venues": venue(endpoint="testnet", port=None, credential="/k", key_fingerprint="0")}, "expected symbols"),
        ({"venues": venue(credential="/k")}, "no key of a person"),
        ({"venues": venue(key_fingerprint="0")}, "no key of a person"),
        ({"venues": venue(port=None)}, "either port or places, found neither"),
        ({"venues": venue(places="p.json", symbols=["BTCUSDT"])}, "either port or places, found both"),
        ({"venues": venue(port=None, places="p.json")}, "expected symbols"),
        ({"venues": venue(port=None, places="p.json", symbols=[""])}, "expected symbols"),
        ({"venues": venue(port=None, places="")}, "name of a file"),
        ({"venues": venue(expiry_ns=0)}, "expiry_ns"),
        ({"venues": venue(beat_every_ns=15, countdown_ns=30)}, "half of countdown"),
        ({"venues": venue(beat_every_ns=0)}, "half of countdown"),
        ({"request_timeout_ns": 0}, "request_timeout_ns"),
        ({"drill_bound_ns": 0}, "drill_bound_ns"),
        ({"gate": {"pid": 1, "start_ticks": 5}}, "gate process"),
        *(
            ({"heartbeat": {"url": url}}, "expected http:// or https://")
            for url in (
                "",
                "localhost:80",
                "ftp://a/",
                "http://",
                "http://me:word@a/",
                "http://a:x/",
                "http://a:0/",
                "http://a b/",
                "http://a/\n",
                "http://a..b/",
                f"http://{64 * 'a'}/",
            )
        ),
        ({"heartbeat": {"url": "https://a.example/b?c=d", "every_ns": 0}}, "every_ns"),
        ({"folder": ""}, "name of a file"),
        ({"folder": 5}, "found 5"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    assert read_config(changed(tmp_path)).venues[0].venue == "bybit"
    with pytest.raises(BadInput, match=says):
        read_config(changed(tmp_path, **changes))


PLACE = {"rest": "http://127.0.0.1:1", "ws_public": "ws://127.0.0.1:1", "ws_private": "ws://127.0.0.1:1", "key": "k", "secret": "s"}


def at_places(tmp_path: Path, written: str, name: str = "bybit") -> Config:
    (tmp_path / "p.json").write_text(written)
    part = venue(venue=name, port=None, places=str(tmp_path / "p.json"), symbols=["BTCUSDT"])
    return read_config(changed(tmp_path, venues=part))


def test_a_real_venue_is_found_by_the_file_of_its_places(tmp_path: Path) -> None:
    config = at_places(tmp_path, json.dumps({"bybit": PLACE}))
    assert read_config(config_json(config)) == config
    client = clients(config, stamp)["bybit"]()
    assert isinstance(client, HttpCancelOnly)
    client.close()


@pytest.mark.parametrize(
    ("written", "name", "says"),
    [
        ("", "bybit", "first line"),
        ("[]", "bybit", "first line"),
        ("{}", "bybit", "place of bybit"),
        (json.dumps({"okx": PLACE}), "okx", "expected one of upbit"),
        (json.dumps({"bybit": {**PLACE, "rest": "https://api.bybit.com"}}), "bybit", "address of this host"),
        (json.dumps({"bybit": {**PLACE, "secret": ""}}), "bybit", "secret"),
    ],
)
def test_places_that_are_none_end_the_start(tmp_path: Path, written: str, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        clients(at_places(tmp_path, written, name), stamp)


def test_places_that_are_not_there_end_the_start(tmp_path: Path) -> None:
    config = at_places(tmp_path, "")
    (tmp_path / "p.json").unlink()
    with pytest.raises(UsageError, match="No such file"):
        clients(config, stamp)


def test_a_bound_that_is_too_near_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="measure the worst stall"):
        read_config(changed(tmp_path, stall_bound_ns=1))


def test_no_file_and_no_json_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_config(str(tmp_path / "none.json"))
    with pytest.raises(BadInput, match="compare it with"):
        read_config("{")


def at_testnet(tmp_path: Path, name: str = "bybit", **changes: str) -> Config:
    told = {"venue": name, "endpoint": "testnet", "key": "KEY", "secret": "s", **changes}
    (tmp_path / "k").write_text(json.dumps(told))
    (tmp_path / "k").chmod(0o600)
    part = venue(
        venue=name, endpoint="testnet", port=None, credential=str(tmp_path / "k"), key_fingerprint="5ca24005b740717b", symbols=["BTCUSDT"]
    )
    return read_config(changed(tmp_path, venues=part))


def test_at_testnet_it_cancels_with_the_key_of_the_gate_and_no_other(tmp_path: Path) -> None:
    config = at_testnet(tmp_path)
    assert read_config(config_json(config)) == config
    client = clients(config, stamp)["bybit"]()
    assert isinstance(client, HttpCancelOnly)
    client.close()
    for name, changes, says in (
        ("bybit", {"key": "ANOTHER"}, "expected the key 5ca24005b740717b"),
        ("bybit", {"endpoint": "real"}, "found one for 'real'"),
        ("upbit", {}, "upbit: expected endpoint real"),
    ):
        with pytest.raises(UsageError, match=says):
            clients(at_testnet(tmp_path, name, **changes), stamp)
