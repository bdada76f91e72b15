"""`interlock run --mode testnet`: what can be said of it without a network, which is how it starts and what it refuses. Takes a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.run.live_ground import example
from tests.run.test_gate_endpoints import named

from interlock.cli.main import main
from interlock.domain.errors import UsageError
from interlock.gate.records import Endpoint
from interlock.run.build import strategy_digest
from interlock.run.config import load_config
from interlock.run.endpoint_rules import without_evidence
from interlock.run.folder_names import CONFIG_FILE
from interlock.run.live import engine_told, gate_words
from interlock.run.live_folder import LiveRun
from interlock.run.modes import Mode, require_runnable
from interlock.run.observed import only_read_keys
from interlock.venues.endpoint import Where


def run_at(folder: Path, mode: Mode, endpoint: str) -> LiveRun:
    return LiveRun(config=example(), mode=mode, out=folder / "run", places=named(folder, "bybit", endpoint=endpoint), seconds=None)


def test_gate_and_engine_are_told_of_the_test_hosts_and_the_engine_of_no_key(tmp_path: Path) -> None:
    run = run_at(tmp_path, Mode.TESTNET, "testnet")
    assert run.places is not None
    require_runnable(run.mode, load_config(example()), example(), {}, places=run.places)
    run.out.mkdir(parents=True, exist_ok=True)
    (run.out / CONFIG_FILE).write_bytes(example().read_bytes())
    words = gate_words(run, run.places)
    assert words[words.index("--venue") + 1] == "testnet"
    assert words[words.index("--strategy") + 1] == f"making={strategy_digest(load_config(example()).digest)}"
    assert words[words.index("--places") + 1] == str(run.places)
    told = engine_told(run, "making", {"intent": "intent.sock"})
    assert (told["where"], told["places"]) == ("testnet", None)
    assert not run.on_paper, "nothing is armed by a script"


@pytest.mark.parametrize(("mode", "endpoint", "where"), [(Mode.TESTNET, "testnet", Where.TESTNET), (Mode.SHADOW, "real", Where.REAL)])
def test_the_market_is_heard_where_the_account_is(mode: Mode, endpoint: str, where: Where, tmp_path: Path) -> None:
    assert run_at(tmp_path, mode, endpoint).market == (where, None)


@pytest.mark.parametrize(
    ("mode", "endpoint", "said"),
    [
        (Mode.TESTNET, "real", "expected endpoint testnet, as was asked for, found real"),
        (Mode.SHADOW, "testnet", "expected endpoint real, or simulators, found testnet"),
    ],
)
def test_places_of_another_endpoint_are_refused(mode: Mode, endpoint: str, said: str, tmp_path: Path) -> None:
    run = run_at(tmp_path, mode, endpoint)
    with pytest.raises(UsageError, match=said):
        require_runnable(run.mode, load_config(example()), example(), {}, places=run.places)


def test_a_file_that_names_real_accounts_chooses_shadow_and_nothing_more(tmp_path: Path) -> None:
    places = named(tmp_path, "bybit", endpoint="real")
    assert only_read_keys(places, frozenset({"bybit"})), "what the key may do is for the venue to say, before anything begins"


def test_that_nothing_can_be_armed_there_stands_in_the_status() -> None:
    (one,) = without_evidence((Endpoint.TESTNET,))
    assert one.rule == "evidence_missing"
    assert "not built" in one.message
    assert "simulators can be" in one.message
    assert without_evidence((Endpoint.LOOPBACK, Endpoint.LOOPBACK)) == ()


@pytest.mark.parametrize(
    ("config", "places", "said"),
    [
        ("making-bybit.toml", {"endpoint": "testnet"}, "expected an endpoint, and credential and pins"),
        ("signals-arbitrage.toml", {"endpoint": "testnet", "venues": {}}, "Upbit has no testnet"),
    ],
)
def test_what_does_not_fit_is_refused(
    config: str, places: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "places.json").write_text(json.dumps(places), encoding="utf-8")
    words = ["run", str(example(config)), "--mode", "testnet", "--places", str(tmp_path / "places.json"), "--out", str(tmp_path / "run")]
    assert main([*words, "--json"]) == 2
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (tmp_path / "run").exists()
