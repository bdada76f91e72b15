"""How orders go to a venue, as the gate is told of it: over its socket, or over HTTP."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from interlock.cli.gate import serve
from interlock.domain.errors import UsageError
from interlock.gate.limit_sheet import LimitSheet, load
from interlock.gate.readings import Now
from interlock.gate.venue_http_wire import HttpOrderWire
from interlock.gate.venue_socket_wire import CONNECTIONS, SocketOrderWire
from interlock.gate.venue_wire import VenueWire
from interlock.run.gate_config import Entry, GateConfig, VenuePart
from interlock.run.gate_kits import VenueKit, kit_of
from interlock.run.gate_launch import example_limits
from interlock.run.gate_places import placed_part

EXAMPLE = example_limits().with_name("limits_served.toml")


@pytest.fixture(scope="module")
def sheet() -> LimitSheet:
    return load(EXAMPLE)


def places(folder: Path, **without: str) -> Path:
    """What simulators would say of themselves; `without` names an address of a venue that is missing."""
    found: dict[str, dict[str, str]] = {}
    for number, venue in enumerate(("upbit", "binance_usdm", "bybit")):
        at = f"127.0.0.1:{9_000 + number}"
        found[venue] = {"rest": f"http://{at}", "ws_public": f"ws://{at}", "ws_private": f"ws://{at}", "key": "k", "secret": "s"}
        if venue != "upbit":
            found[venue]["ws_trade"] = f"ws://127.0.0.1:{9_100 + number}/there"
        found[venue].pop(without.get(venue, ""), None)
    file = folder / "places.json"
    file.write_text(json.dumps({**found, "witness": "w", "control": "c"}) + "\n", encoding="utf-8")
    return file


def kit(part: VenuePart) -> VenueKit:
    numbers = count(1)
    return kit_of(part, lambda: Now(1, 1), lambda: f"{next(numbers):032x}", lambda _: None)


def test_over_the_socket_where_there_is_one_and_cancels_over_http_too(tmp_path: Path, sheet: LimitSheet) -> None:
    for venue, wire, has_spare in (
        ("bybit", SocketOrderWire, True),
        ("binance_usdm", SocketOrderWire, True),
        ("upbit", HttpOrderWire, False),
    ):
        made = kit(placed_part(venue, sheet, places(tmp_path), Entry.SOCKET))
        assert type(made.wire) is wire
        assert isinstance(made.spare, HttpOrderWire) is has_spare
        assert made.entry_at.port == made.orders.port + (100 if has_spare else 0)
        assert (CONNECTIONS.name in made.meter.standing(1)) is has_spare
        made.reads.close()


def test_over_http_if_that_is_wanted(tmp_path: Path, sheet: LimitSheet) -> None:
    for venue in ("bybit", "binance_usdm", "upbit"):
        made = kit(placed_part(venue, sheet, places(tmp_path), Entry.REST))
        assert (type(made.wire), made.spare, made.entry_at) == (HttpOrderWire, None, made.orders)
        made.reads.close()


def test_each_mask_and_key_is_drawn_anew(tmp_path: Path, sheet: LimitSheet) -> None:
    made = kit(placed_part("bybit", sheet, places(tmp_path), Entry.SOCKET))
    assert isinstance(made.wire, VenueWire)
    first, second = made.wire.reader(), made.wire.reader()
    assert first.begin(1) != second.begin(1)
    assert len({first.wrap(b"{}") for _ in range(100)}) == 100
    made.reads.close()


def test_a_venue_whose_socket_is_nowhere_is_refused_by_name(tmp_path: Path, sheet: LimitSheet) -> None:
    part = placed_part("bybit", sheet, places(tmp_path, bybit="ws_trade"), Entry.SOCKET)
    with pytest.raises(UsageError, match="expected ws_trade among its addresses, found none"):
        kit(part)


def test_a_grant_is_for_one_way(tmp_path: Path, sheet: LimitSheet) -> None:
    def hashed(entry: Entry) -> str:
        part = placed_part("bybit", sheet, places(tmp_path), entry)
        given: dict[str, Any] = {"folder": tmp_path, "sockets": tmp_path, "memory": tmp_path, "limits": EXAMPLE, "users": (1,)}
        return GateConfig(**given, venues=(part,), tags={"demo": "demo"}, checker_fd=1).semantic_hash()

    assert hashed(Entry.SOCKET) == hashed(Entry.SOCKET)
    assert hashed(Entry.SOCKET) != hashed(Entry.REST)


def test_a_configuration_keeps_the_way(tmp_path: Path, sheet: LimitSheet) -> None:
    part = placed_part("bybit", sheet, places(tmp_path), Entry.SOCKET)
    written = msgspec.json.encode(part, enc_hook=str)
    assert msgspec.json.decode(written, type=VenuePart, dec_hook=lambda _, found: Path(found)) == part


def test_the_fake_venue_has_no_ways_to_choose_from(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--entry: expected with --places alone"):
        serve(dir=tmp_path, entry="rest")


def test_another_way_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--entry: expected socket or rest, found 'fix'"):
        serve(dir=tmp_path, venue="served", places=tmp_path / "p", limits=EXAMPLE, entry="fix")
