"""An account that Bybit protects: the gate sets the window, reads it back, subscribes on its own stream, and may leave orders there that the venue
cancels when everything of ours is gone. The simulators and a gate in processes; half a minute."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.gate.serving import end_all
from tests.run.test_gate_entry import EXAMPLE, kit, places
from tests.run.venues_world import World, limits_for
from tests.simulate.served.process import simulators

from interlock.domain.errors import UsageError
from interlock.gate.limit_sheet import load
from interlock.gate.records import Endpoint
from interlock.run.endpoint_rules import resolve_here
from interlock.run.gate_config import Entry, GateConfig, VenuePart, read_gate_config, write_gate_config
from interlock.run.gate_places import placed_parts
from interlock.run.places import read_named
from interlock.venues.account_parts import feed_at

WINDOW_S = 3


# What is asked for


def part(folder: Path, window_s: Any, venue: str = "bybit") -> VenuePart:
    """What comes of a file of places with a window beside the addresses of one venue; None for no such key."""
    file = places(folder)
    found = json.loads(file.read_text(encoding="utf-8"))
    if window_s is not None:
        found[venue]["disconnect_cancel_s"] = window_s
    file.write_text(json.dumps(found) + "\n", encoding="utf-8")
    sheet = load(limits_for(folder, (venue,)))
    (made,), _ = placed_parts(sheet, file, Endpoint.LOOPBACK, None, resolve_here, Entry.SOCKET)
    return made


@pytest.mark.parametrize(("window_s", "asked_for"), [(None, 0), (0, 0), (3, 3), (60, 60)])
def test_it_is_asked_for_where_the_places_say_so_and_nowhere_else(tmp_path: Path, window_s: int | None, asked_for: int) -> None:
    made = kit(part(tmp_path, window_s))
    assert (0 if made.protection is None else made.protection.window_s) == asked_for
    made.reads.close()


@pytest.mark.parametrize(
    ("window_s", "venue"), [(2, "bybit"), (61, "bybit"), (-3, "bybit"), ("10", "bybit"), (True, "bybit"), (10, "binance_usdm")]
)
def test_a_window_that_protects_nothing_is_refused_by_name(tmp_path: Path, window_s: Any, venue: str) -> None:
    with pytest.raises(UsageError, match=f"{venue}, disconnect_cancel_s: expected "):
        part(tmp_path, window_s, venue)


def test_only_a_stream_of_bybit_is_watched_by_its_venue() -> None:
    assert feed_at("bybit", {}, guard_s=10) is not None
    for venue in ("upbit", "binance_usdm"):
        assert feed_at(venue, {}) is not None
        with pytest.raises(UsageError, match="expected bybit"):
            feed_at(venue, {}, guard_s=10)


def test_a_grant_is_for_one_window_and_a_configuration_keeps_it(tmp_path: Path) -> None:
    def config(window_s: int) -> GateConfig:
        given: dict[str, Any] = {"folder": tmp_path, "sockets": tmp_path, "memory": tmp_path, "limits": EXAMPLE, "users": (1,)}
        return GateConfig(**given, venues=(part(tmp_path, window_s),), tags={"demo": "demo"}, checker_fd=1)

    assert config(10).semantic_hash() == config(10).semantic_hash() != config(20).semantic_hash()
    write_gate_config(config(10), tmp_path / "gate.json")
    assert read_gate_config(tmp_path / "gate.json") == config(10)
    write_gate_config(
        msgspec.structs.replace(config(0), venues=(msgspec.structs.replace(part(tmp_path, 0), disconnect_cancel_s=99),)), tmp_path / "g"
    )
    with pytest.raises(UsageError, match="expected 3 to 60"):
        read_gate_config(tmp_path / "g")


def test_a_file_that_names_an_endpoint_may_ask_for_it_too(tmp_path: Path) -> None:
    told = {"endpoint": "testnet", "venues": {"bybit": {"credential": "/k", "pins": {}, "disconnect_cancel_s": 10}}}
    (tmp_path / "places").write_text(json.dumps(told), encoding="utf-8")
    assert read_named(tmp_path / "places", Endpoint.TESTNET).venues["bybit"].disconnect_cancel_s == 10


# In processes


def test_what_rests_needs_no_allowance_where_the_venue_protects_it_and_is_gone_when_we_are(tmp_path: Path) -> None:
    with simulators(tmp_path) as where:
        where["bybit"]["disconnect_cancel_s"] = WINDOW_S
        there = World(tmp_path / "w", where, ("bybit",), "socket")
        text = there.limits.read_text(encoding="utf-8")
        lines = ["max_unattended_resting_usd = 0" if line.startswith("max_unattended_resting_usd") else line for line in text.splitlines()]
        assert lines != text.splitlines()
        there.limits.write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            assert not there.begins()
            assert "venue bybit, disconnect_cancel_s: the venue refused" in there.complaints()
            there.hand.happen({"fault": "grant_dead_man", "venue": "bybit"})
            there.begin()
            try:
                there.armed()
                client_id = there.propose("bybit")
                there.until(lambda: client_id in there.hand.open_ids("bybit"))
            finally:
                config = read_gate_config(there.folder / "gate" / "run" / "gate.json")
                os.kill(config.sentinel_pid, signal.SIGKILL)
                there.gate.die()
            there.until_at_venue(lambda: client_id not in there.hand.open_ids("bybit"))
            (order,) = (one for one in there.hand.state("bybit")["orders"] if one["client_id"] == client_id)
            assert order["reason"] == "dead_man", order
        finally:
            end_all(there.folder / "gate")
