"""Endpoints by name: what a file of places and the file of a key must say, and that nothing is asked of anybody before all of it is right."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.gate.serving import command
from tests.run.venues_world import limits_for

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import InterlockError, UsageError
from interlock.gate.limit_sheet import load
from interlock.gate.readings import Now
from interlock.gate.records import Endpoint
from interlock.run import gate_launch
from interlock.run.endpoint_rules import MISSING_AT_REAL, require_abroad, resolve_here
from interlock.run.gate_config import Entry, GateConfig, VenuePart, read_gate_config, write_gate_config
from interlock.run.gate_kits import kit_of
from interlock.run.gate_places import hosts_and_key, placed_parts
from interlock.venues.account_parts import reads_at
from interlock.venues.credentials import MOST_BYTES, read_credential
from interlock.venues.endpoint import Where
from interlock.venues.hosts import hosts_of
from interlock.venues.port import Heard

SECRET = "S3CRET"
PIN = "ab" * 32
PINS = {
    "bybit": {"api-testnet.bybit.com": [PIN], "stream-testnet.bybit.com": [PIN, "cd" * 32]},
    "binance_usdm": {"demo-fapi.binance.com": [PIN], "fstream.binancefuture.com": [PIN], "testnet.binancefuture.com": [PIN]},
    "upbit": {"api.upbit.com": [PIN]},
}
PUBLIC = "1.1.1.1"
BALANCE = (
    b'[{"accountAlias":"a1","asset":"USDT","balance":"1","crossWalletBalance":"1","crossUnPnl":"0","availableBalance":"1",'
    b'"maxWithdrawAmount":"1","marginAvailable":true,"updateTime":1}]'
)


class Names:
    """Resolves names without asking anybody, and counts."""

    def __init__(self, **answers: str) -> None:
        self.asked: list[str] = []
        self._answers = answers

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return [answer for answer in self._answers.get(host.partition("-")[0], PUBLIC).split() if answer]


def write_key(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps({"venue": "bybit", "endpoint": "testnet", "key": "KEY", "secret": SECRET, **changes}))
    path.chmod(0o600)
    return path


def named(folder: Path, *venues: str, endpoint: str = "testnet", **changes: Any) -> Path:
    """A file of places with a key for each venue."""
    told = {one: {"credential": str(write_key(folder / f"{one}.key", venue=one, endpoint=endpoint)), "pins": PINS[one]} for one in venues}
    (folder / "places.json").write_text(json.dumps({"endpoint": endpoint, "venues": told, **changes}, indent=1))
    return folder / "places.json"


def parts_of(
    folder: Path,
    places: Path,
    *venues: str,
    names: Names | None = None,
    endpoint: Endpoint = Endpoint.TESTNET,
    credentials: Path | None = None,
) -> tuple[VenuePart, ...]:
    sheet = load(limits_for(folder, venues))
    return placed_parts(sheet, places, endpoint, credentials, names or Names(), Entry.SOCKET)[0]


def config_of(folder: Path, *parts: VenuePart) -> Path:
    config = GateConfig(
        folder=folder,
        sockets=folder,
        memory=folder,
        limits=folder / "limits.toml",
        venues=parts,
        tags={"making": "maki"},
        users=(1,),
        checker_fd=-1,
    )
    write_gate_config(config, folder / "gate.json")
    return folder / "gate.json"


@pytest.fixture
def part(tmp_path: Path) -> VenuePart:
    (one,) = parts_of(tmp_path, named(tmp_path, "bybit"), "bybit")
    return one


@pytest.fixture(autouse=True)
def no_connection_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever these tests try, nothing but loopback is connected to."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        assert not isinstance(address, tuple) or address[0] in ("127.0.0.1", "::1"), address
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


# The file of a key


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_is_read_from_a_file_that_its_owner_alone_can_read(tmp_path: Path, mode: int) -> None:
    path = write_key(tmp_path / "k")
    path.chmod(mode)
    key = read_credential(path, "bybit", Where.TESTNET)
    assert (key.access, key.secret) == ("KEY", SECRET)
    assert key.fingerprint == "5ca24005b740717b"
    assert SECRET not in repr(key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o660, 0o666, 0o777, 0o601])
def test_a_key_that_others_could_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_key(tmp_path / "k")
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"mode 0600, found .* mode {mode:04o}"):
        read_credential(path, "bybit", Where.TESTNET)
    path.chmod(0o600)
    assert read_credential(path, "bybit", Where.TESTNET).access == "KEY"


def test_what_is_no_ordinary_file_is_no_key(tmp_path: Path) -> None:
    path = write_key(tmp_path / "k")
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(0o700)
    for name, says in (("link", "a link is none"), ("pipe", "no ordinary file"), ("folder", "no ordinary file"), ("none", "No such file")):
        with pytest.raises(UsageError, match=says):
            read_credential(tmp_path / name, "bybit", Where.TESTNET)
    path.write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(UsageError, match="expected at most"):
        read_credential(path, "bybit", Where.TESTNET)


@pytest.mark.parametrize(
    ("changes", "where", "says"),
    [
        ({}, Where.REAL, "a key for bybit real, found one for 'testnet'"),
        ({"endpoint": "real"}, Where.TESTNET, "a key for bybit testnet, found one for 'real'"),
        ({"endpoint": "live"}, Where.TESTNET, "found one for 'live'"),
        ({"venue": "upbit"}, Where.TESTNET, "a key of bybit, found one of 'upbit'"),
        ({"key": ""}, Where.TESTNET, "access key: expected printable"),
        ({"secret": f"{SECRET}\n"}, Where.TESTNET, "secret: expected printable"),
        ({"typo": SECRET}, Where.TESTNET, "found something else"),
        ({"secret": 5}, Where.TESTNET, "found something else"),
    ],
)
def test_a_key_is_used_where_it_was_made_and_what_it_holds_is_never_told(
    tmp_path: Path, changes: dict[str, Any], where: Where, says: str
) -> None:
    path = write_key(tmp_path / "k", **changes)
    with pytest.raises(UsageError, match=says) as refused:
        read_credential(path, "bybit", where)
    told: BaseException | None = refused.value
    assert SECRET not in str(told)
    assert told is not None
    assert told.__suppress_context__ or told.__cause__ is None


# The file of places


def test_a_file_names_endpoint_keys_and_pins_and_the_venue_s_own_hosts_are_taken(tmp_path: Path) -> None:
    names = Names()
    parts = parts_of(tmp_path, named(tmp_path, "bybit", "binance_usdm"), "bybit", "binance_usdm", names=names)
    assert [(one.venue, one.endpoint, one.account) for one in parts] == [
        ("binance_usdm", Endpoint.TESTNET, "main"),
        ("bybit", Endpoint.TESTNET, "main"),
    ]
    assert sorted(set(names.asked)) == sorted({*PINS["bybit"], *PINS["binance_usdm"]})
    hosts, key = hosts_and_key(parts[1])
    assert key.fingerprint == parts[1].key_fingerprint
    assert {one.host: list(one.pins) for one in hosts.all} == PINS["bybit"]
    kit = kit_of(parts[1], lambda: Now(NS_PER_S, NS_PER_S), lambda: "0" * 32, lambda _: None)
    assert (kit.orders.host, kit.orders.port, kit.orders.tls, kit.orders.pins) == ("api-testnet.bybit.com", 443, True, (PIN,))
    assert SECRET not in (tmp_path / "places.json").read_text()
    assert SECRET not in config_of(tmp_path, *parts).read_text()


def test_a_key_can_be_a_credential_that_systemd_gives(tmp_path: Path) -> None:
    venues = {"bybit": {"credential": "bybit.key", "pins": PINS["bybit"]}}
    places = named(tmp_path, "bybit", venues=venues)
    with pytest.raises(UsageError, match="expected CREDENTIALS_DIRECTORY"):
        parts_of(tmp_path, places, "bybit")
    (one,) = parts_of(tmp_path, places, "bybit", credentials=tmp_path)
    assert one.credential == tmp_path / "bybit.key"
    for wrong in ("", "../bybit.key", "a/b", ".hidden"):
        places = named(tmp_path, "bybit", venues={"bybit": {**venues["bybit"], "credential": wrong}})
        with pytest.raises(UsageError, match="a whole path or the name of a credential"):
            parts_of(tmp_path, places, "bybit", credentials=tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"endpoint": "loopback"}, "expected endpoint testnet, as was asked for, found loopback"),
        ({"endpoint": "real"}, "expected endpoint testnet, as was asked for, found real"),
        ({"endpoint": "live"}, "Invalid enum value 'live'"),
        ({"endpoint": "api-testnet.bybit.com"}, "Invalid enum value"),
        ({"host": "api.bybit.com"}, "unknown field `host`"),
        ({"venues": {}}, "expected bybit, which the limits name, found none"),
        ({"venues": {"bybit": {"credential": "/k", "pins": {}, "host": "h"}}}, "unknown field `host`"),
        ({"venues": {"bybit": {"credential": "/k", "pins": {}, "secret": SECRET}}}, "unknown field `secret`"),
        ({"venues": {"bybit": {"credential": "/k"}}}, "missing required field `pins`"),
        ({"venues": {"bybit": {"credential": "/k", "pins": {}}}}, "found none for api-testnet.bybit.com, stream-testnet.bybit.com"),
        (
            {"venues": {"bybit": {"credential": "/k", "pins": {**PINS["bybit"], "stream-testnet.bybit.com": []}}}},
            "found none for stream-testnet.bybit.com",
        ),
        (
            {"venues": {"bybit": {"credential": "/k", "pins": {**PINS["bybit"], "api.bybit.com": [PIN]}}}},
            "found api.bybit.com; there are no other hosts",
        ),
        ({"venues": {"bybit": {"credential": "/k", "pins": {one: ["x"] for one in PINS["bybit"]}}}}, "64 hexadecimal digits"),
        ({"venues": {"bybit": {"credential": "/nowhere/k", "pins": PINS["bybit"]}}}, "No such file"),
    ],
)
def test_a_file_that_is_not_right_starts_nothing_and_asks_nobody(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    names = Names()
    places, limits = named(tmp_path, "bybit", **changes), limits_for(tmp_path, ("bybit",))
    with pytest.raises(UsageError, match=says):
        gate_launch.prepare(tmp_path / "gate", limits, places=places, endpoint=Endpoint.TESTNET, resolve=names)
    assert not names.asked
    assert not (tmp_path / "gate").exists()
    parts_of(tmp_path, named(tmp_path, "bybit"), "bybit", names=names)
    assert names.asked


def test_upbit_has_no_testnet(tmp_path: Path) -> None:
    names = Names()
    with pytest.raises(UsageError, match=r"upbit: expected endpoint real, found 'testnet'; the venue has no other world"):
        parts_of(tmp_path, named(tmp_path, "upbit"), "upbit", names=names)
    assert not names.asked


def test_at_a_real_endpoint_nothing_starts_and_what_is_missing_is_named(tmp_path: Path) -> None:
    names = Names()
    places, limits = named(tmp_path, "bybit", endpoint="real"), limits_for(tmp_path, ("bybit",))
    with pytest.raises(UsageError) as refused:
        gate_launch.prepare(tmp_path / "gate", limits, places=places, endpoint=Endpoint.REAL, resolve=names)
    assert all(one in str(refused.value) for one in MISSING_AT_REAL)
    assert not names.asked
    assert not (tmp_path / "gate").exists()
    more = ("--places", str(places), "--limits", str(limits), "--dir", str(tmp_path / "gate"))
    code, told = command("gate", "serve", "--venue", "real", *more)
    assert (code, MISSING_AT_REAL[0] in json.dumps(told)) == (2, True)
    code, told = command("gate", "serve", "--venue", "testnet", *more)
    assert (code, "as was asked for" in json.dumps(told)) == (2, True)
    code, told = command("gate", "serve", "--venue", "live", *more)
    assert (code, "found 'live'" in json.dumps(told)) == (2, True)
    assert not (tmp_path / "gate").exists()


@pytest.mark.parametrize(
    "where", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.2", "169.254.1.1", "0.0.0.0", "fe80::1%lo", f"{PUBLIC} 127.0.0.1", ""]
)
def test_a_host_that_leads_somewhere_else_is_redirected_and_refused(tmp_path: Path, where: str) -> None:
    names = Names(stream=where)
    with pytest.raises(UsageError, match=r"stream-testnet\.bybit\.com: expected addresses of the public network"):
        parts_of(tmp_path, named(tmp_path, "bybit"), "bybit", names=names)
    assert names.asked == ["api-testnet.bybit.com", "stream-testnet.bybit.com"]
    assert parts_of(tmp_path, named(tmp_path, "bybit"), "bybit")


def test_a_name_that_nobody_knows_is_refused() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(UsageError, match=r"expected an address, found: .*not known"):
        require_abroad([("api-testnet.bybit.com", 443)], unknown)
    assert resolve_here("127.0.0.1", 80) == ["127.0.0.1"]


def test_a_folder_stays_at_its_endpoint(tmp_path: Path, part: VenuePart) -> None:
    names, places, limits = Names(stream="127.0.0.1"), named(tmp_path, "bybit"), limits_for(tmp_path, ("bybit",))
    (tmp_path / "gate" / "run").mkdir(parents=True)

    def prepared(last: Endpoint) -> str:
        config_of(tmp_path / "gate" / "run", msgspec.structs.replace(part, endpoint=last))
        with pytest.raises(UsageError) as refused:
            gate_launch.prepare(tmp_path / "gate", limits, places=places, endpoint=Endpoint.TESTNET, resolve=names)
        return str(refused.value)

    assert "expected a folder of a gate at testnet, found one at loopback" in prepared(Endpoint.LOOPBACK)
    assert not names.asked
    # The control goes on to the next thing that stands in its way.
    assert "somebody redirects" in prepared(Endpoint.TESTNET)


def test_a_world_without_a_wallet_s_host_is_not_asked_what_a_key_may_do() -> None:
    for wallet, asked in ((True, ["/fapi/v3/balance", "/sapi/v1/account/apiRestrictions"]), (False, ["/fapi/v3/balance"])):
        talk = reads_at("binance_usdm", {}, wallet=wallet).key("KEY")
        paths = [next(talk).call.path]
        with suppress(StopIteration):
            paths.append(talk.send(Heard(200, {}, BALANCE)).call.path)
        assert paths == asked
        talk.close()
    assert (hosts_of("binance_usdm", Where.TESTNET).wallet, hosts_of("binance_usdm", Where.REAL).wallet is None) == (None, False)


# What the gate's own process takes


def test_a_gate_is_told_of_testnet_whole_or_not_at_all(tmp_path: Path, part: VenuePart) -> None:
    assert read_gate_config(config_of(tmp_path, part)).venues == (part,)
    for changes, says in (
        ({"credential": None}, "found not all of them"),
        ({"key_fingerprint": ""}, "found not all of them"),
        ({"pins": {}}, "found not all of them"),
        ({"places": None}, "either two ports or places"),
        ({"places": None, "orders_port": 1, "stream_port": 2}, "found not all of them"),
        ({"pins": {"api-testnet.bybit.com": (PIN,)}}, "found none for stream-testnet"),
        ({"venue": "upbit"}, "upbit: expected endpoint real"),
        ({"endpoint": Endpoint.LOOPBACK}, "no key of a person is used there"),
        ({"endpoint": Endpoint.REAL}, "found missing: users of their own"),
    ):
        with pytest.raises(InterlockError, match=says):
            read_gate_config(config_of(tmp_path, msgspec.structs.replace(part, **changes)))


def test_simulated_and_real_venues_are_never_mixed(tmp_path: Path, part: VenuePart) -> None:
    simulated = VenuePart(
        venue="upbit", account="main", endpoint=Endpoint.LOOPBACK, symbols=("KRW-BTC",), dead_man=False, places=tmp_path / "served.json"
    )
    with pytest.raises(UsageError, match="expected one endpoint for all, found loopback, testnet"):
        read_gate_config(config_of(tmp_path, part, simulated))
    assert read_gate_config(config_of(tmp_path, simulated)).venues == (simulated,)


def test_what_a_grant_is_bound_to_holds_endpoint_key_and_pins(tmp_path: Path, part: VenuePart) -> None:
    def bound(**changes: Any) -> str:
        changed = msgspec.structs.replace(part, **changes)
        return GateConfig(
            folder=tmp_path,
            sockets=tmp_path,
            memory=tmp_path,
            limits=tmp_path,
            venues=(changed,),
            tags={"making": "maki"},
            users=(1,),
            checker_fd=-1,
        ).semantic_hash()

    others = [
        bound(key_fingerprint="0" * 16),
        bound(pins={**part.pins, "api-testnet.bybit.com": ("cd" * 32,)}),
        bound(endpoint=Endpoint.REAL),
    ]
    assert bound() == bound(credential=tmp_path / "elsewhere")
    assert len({bound(), *others}) == 4


def test_a_key_that_was_changed_since_the_start_is_not_taken(tmp_path: Path, part: VenuePart) -> None:
    assert hosts_and_key(part)[1].access == "KEY"
    write_key(tmp_path / "bybit.key", key="ANOTHER")
    with pytest.raises(UsageError, match=f"expected the key {part.key_fingerprint}, found"):
        hosts_and_key(part)
