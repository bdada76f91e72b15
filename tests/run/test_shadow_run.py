"""`interlock run --mode shadow`: a real account, played by simulators, is watched with a key that reads, and what would have been done is on paper.

The module shares one process of simulators. It costs a minute, nearly all of it the run that is watched and its control; refusals take a second.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from tests.gate.serving import INTERLOCK, bare_environment, command
from tests.run.live_ground import LiveGround, example, judged_on, live_ground
from tests.run.venues_world import limits_for

from interlock.cli.main import main
from interlock.domain.errors import UsageError
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk, recover
from interlock.gate.limit_sheet import load
from interlock.gate.records import Endpoint
from interlock.gate.state import GateState
from interlock.gate.venue_reads import KeyScope
from interlock.run.config import load_config
from interlock.run.interrupt import StopWish
from interlock.run.journal_told import read_told
from interlock.run.layers import resolve
from interlock.run.live_folder import LiveRun, told_of
from interlock.run.modes import Mode, choose_mode
from interlock.run.observed import observed
from interlock.run.observer import AccountObserver
from interlock.run.observer_child import ObserverChild
from interlock.run.observer_process import WAYS_OUT, now
from interlock.run.run_folder import fill_folder, require_folder


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGround]:
    with live_ground(tmp_path_factory.mktemp("shadow"), mode="shadow") as made:
        yield made


def records_of(journal: Path) -> list[r.Record]:
    found: list[r.Record] = []
    recover(SystemDisk(), journal, schema=r.SCHEMA, consume=lambda _, payload: found.append(r.decode(payload)))
    return found


def writes(ground: LiveGround, since: int = 0) -> list[dict[str, Any]]:
    """Whatever the account's venue was asked that could change something there, from the line `since` of its witness on."""
    return [line for line in ground.witness()[since:] if line["class"] not in ("READ", "BEAT")]


def observer_pid(out: Path) -> int:
    told = str(out / "observer-config.json").encode()
    return next(int(one.parent.name) for one in Path("/proc").glob("[0-9]*/cmdline") if told in one.read_bytes().split(b"\0"))


def only_reading(ground: LiveGround, path: Path) -> Path:
    """The file of places without the keys that trade."""
    kept = {
        name: {part: value for part, value in place.items() if part not in ("key", "secret")} if isinstance(place, dict) else place
        for name, place in ground.where.items()
    }
    path.write_text(json.dumps(kept) + "\n", encoding="utf-8")
    return path


def test_in_shadow_orders_live_on_paper_and_nothing_reaches_the_account(ground: LiveGround) -> None:
    run = ground.start()
    ground.until(lambda: ground.engine().get("counts", {}).get("permitted", 0) > 3)
    ground.until(lambda: ground.engine().get("open_orders", 0) > 0)
    pid = observer_pid(ground.out)
    assert not {name for name in Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0") if "KEY" in name or "READ_ONLY" in name}
    again = subprocess.run(
        [*INTERLOCK, "run", str(example()), "--mode", "shadow", "--places", str(ground.places), "--out", str(ground.out), "--json"],
        env=bare_environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert again.returncode == 2
    assert "another run has it" in json.loads(again.stdout)["error"]["message"]
    code, kpi = ground.end(run, signal.SIGINT)
    assert (code, kpi["verdict"], kpi["failed"], kpi["mode"]) == (130, "PASS", [], "shadow"), kpi
    assert judged_on(kpi, "simulated against venue fills") == "PASS"
    # The account: read all the time, never written to.
    assert writes(ground) == []
    assert ground.witness(), "it was read"
    stood = json.loads((ground.out / "observer.json").read_bytes())
    assert stood["ways_out"] == []
    told = stood["accounts"][0]
    assert (told["reads_only"], told["stream"], told["explained"]) == (True, True, True)
    # No process of the run was given a key of the account in a file of the run.
    places = ground.where["bybit"]
    files = [file.read_bytes() for file in ground.out.rglob("*") if file.is_file() and file.suffix in (".json", ".log", ".toml", ".jsonl")]
    assert not [secret for secret in (places["secret"], places["read_secret"]) for held in files if secret.encode() in held]
    assert any(json.loads((ground.out / "paper" / "places.json").read_bytes())["bybit"]["secret"].encode() in held for held in files)
    # Its journal: what was permitted was not sent, and that is no order and no position.
    found = records_of(ground.out / "journal")
    unsent = [one for one in found if isinstance(one, r.Unsent)]
    permits = [one for one in records_of(ground.out / "counterfactual" / "journal") if isinstance(one, r.Permit)]
    assert [one.client_id for one in unsent] == [one.client_id for one in permits]
    assert (len(unsent), kpi["permits"]) == (kpi["not_sent"], kpi["not_sent"])
    assert not [one for one in found if isinstance(one, r.WireBegin | r.Sent | r.SendUnknown | r.Filled | r.Permit)]
    state = GateState(load(ground.out / "limits.toml"))
    for one in found:
        state.apply(one)
    assert not state.orders.by_id
    assert not [position for position in state.ledger.positions.values() if position.lots]
    assert ground.checked() == (0, []), "with the witness of the account's venue"
    code, shown = command("journal", "tail", str(ground.out / "journal"), "--from-lsn", "1")
    assert code == 0
    assert sum(line["record"]["k"] == "unsent" for line in shown["records"]) == len(unsent)
    # What is counterfactual says so, and nothing else of executions is claimed.
    assert (kpi["fills"], kpi["pnl_usd"], kpi["net_lots_traded"]) == (None, None, None)
    assert {"fills", "pnl_usd"} <= set(kpi["not_applicable"])
    assert kpi["counterfactual"]["pnl_usd"] is not None
    assert kpi["account"]["writes"] == 0
    paper = ground.out / "paper" / "witness.jsonl"
    assert sum(json.loads(line)["class"] == "RISK+" for line in paper.read_text(encoding="utf-8").splitlines()) >= kpi["permits"] - 1
    assert command("trace", "check", str(ground.out / "counterfactual" / "journal"), "--witness", str(paper))[1]["violations"] == []
    code, same = ground.decided_again()
    assert (code, same["result"]) == (0, "SAME"), same
    # The control: the same account, market and configuration, live.
    since = len(ground.witness())
    ground.mode, ground.out = "live", ground.folder / "control"
    try:
        control = ground.start("--for", "10m")
        ground.until(ground.sees_books)
        ground.arm()
        ground.until(lambda: any(line["class"] == "RISK+" for line in writes(ground, since)))
        assert ground.end(control, signal.SIGINT)[0] == 130
    finally:
        ground.mode, ground.out = "shadow", ground.folder / "run"


def test_without_a_mode_shadow_is_started_and_refuses_a_key_that_may_trade(ground: LiveGround, tmp_path: Path) -> None:
    key, since = ground.where["bybit"]["read_key"], len(ground.witness())
    only = only_reading(ground, tmp_path / "only.json")
    ground.hand.permit("bybit", key, trade=True)
    try:
        code, told = command("run", str(example()), "--out", str(tmp_path / "run"), "--places", str(only), timeout_s=120)
    finally:
        ground.hand.permit("bybit", key)
    assert code == 2
    assert "expected a key that only reads, found: it may trade" in told["error"]["message"]
    assert not [left for left in ("journal", "paper", "counterfactual") if (tmp_path / "run" / left).exists()], "nothing was begun"
    assert writes(ground, since) == []


@pytest.mark.parametrize(
    ("keys", "env", "said"),
    [
        (False, {}, ""),
        (True, {}, "--mode: expected one of replay, paper"),
        (False, {"BYBIT_API_KEY": "x"}, "--mode: expected one of replay"),
    ],
)
def test_only_keys_that_read_choose_a_mode(ground: LiveGround, keys: bool, env: dict[str, str], said: str, tmp_path: Path) -> None:
    places = ground.places if keys else only_reading(ground, tmp_path / "only.json")
    with pytest.raises(UsageError, match=said) if said else nullcontext():
        assert choose_mode(None, load_config(example()), env, places=places) is Mode.SHADOW
    assert choose_mode("live", load_config(example()), {}, places=places) is Mode.LIVE
    with pytest.raises(UsageError, match="--mode: expected one of replay"):
        choose_mode(None, load_config(example()), {}, places=None)


def looked_at(places: Path, venue: str = "bybit", key_every_s: float = 10.0) -> AccountObserver:
    """What watches a venue's account with the key that a file of places holds."""
    limits = example().parent / "limits-making-bybit.toml" if venue == "bybit" else limits_for(places.parent, (venue,))
    (one,) = observed(load(limits), places, Endpoint.LOOPBACK, None, lambda _host, _port: [])
    return AccountObserver(one, ("maki",), now, lambda: token_hex(16), key_every_s)


async def met(observer: AccountObserver) -> KeyScope:
    try:
        return await observer.meet()
    finally:
        observer.close()


@pytest.mark.parametrize(
    ("may", "said"),
    [
        ({}, ""),
        ({"withdraw": True}, "it may withdraw"),
        ({"transfer": True}, "it may transfer"),
        ({"trade": True, "withdraw": True}, "it may trade; it may withdraw"),
    ],
)
@pytest.mark.parametrize("venue", ["bybit", "binance_usdm"])
def test_a_key_that_may_more_than_look_is_refused(ground: LiveGround, venue: str, may: dict[str, bool], said: str, tmp_path: Path) -> None:
    (tmp_path / "places.json").write_bytes(ground.places.read_bytes())
    key = ground.where[venue]["read_key"]
    ground.hand.permit(venue, key, **may)
    try:
        with pytest.raises(UsageError, match=f"expected a key that only reads, found: {said}; make one") if said else nullcontext():
            assert asyncio.run(met(looked_at(tmp_path / "places.json", venue))).reads_only is True
    finally:
        ground.hand.permit(venue, key)


def test_a_venue_that_does_not_tell_what_a_key_may_do_is_refused(ground: LiveGround, tmp_path: Path) -> None:
    (tmp_path / "places.json").write_bytes(ground.places.read_bytes())
    with pytest.raises(UsageError, match=r"upbit, key [0-9a-f]+: .* does not tell whether it may trade; .* whether it may withdraw"):
        asyncio.run(met(looked_at(tmp_path / "places.json", "upbit")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"read_key": None}, "bybit: expected a read_key, found none"),
        ({"read_key": "unknown"}, "venue bybit: expected an answer, found: the venue refused"),
        ({"rest": "http://127.0.0.1:1"}, "venue bybit: expected an answer, found: 127.0.0.1:1"),
    ],
)
def test_places_that_lead_to_no_account_are_refused(ground: LiveGround, changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    places = tmp_path / "places.json"
    mine = {name: value for name, value in {**ground.where["bybit"], **changes}.items() if value is not None}
    places.write_text(json.dumps({**ground.where, "bybit": mine}) + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        asyncio.run(met(looked_at(places)))


def test_a_key_that_may_more_meanwhile_is_noticed(ground: LiveGround) -> None:
    key = ground.where["bybit"]["read_key"]

    async def noticed() -> None:
        observer = looked_at(ground.places, key_every_s=0.2)
        try:
            await observer.meet()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(observer.look_at_key(), 1)
            ground.hand.permit("bybit", key, withdraw=True)
            await asyncio.wait_for(observer.look_at_key(), 30)
        finally:
            observer.close()

    try:
        with pytest.raises(UsageError, match="it may withdraw"):
            asyncio.run(noticed())
    finally:
        ground.hand.permit("bybit", key)


def watching(ground: LiveGround, folder: Path) -> ObserverChild:
    """What watches the account, alone; there is no gate whose journal it could read."""
    return ObserverChild.start(
        folder,
        bare_environment(),
        limits=example().parent / "limits-making-bybit.toml",
        places=ground.places,
        endpoint=Endpoint.LOOPBACK,
        counterfactual=folder / "counterfactual" / "journal",
        config="c" * 64,
        before=lambda: None,
    )


def test_the_lock_of_a_dead_observer_is_none_and_its_journal_goes_on(ground: LiveGround, tmp_path: Path) -> None:
    def start() -> ObserverChild:
        return watching(ground, tmp_path)

    with StopWish() as stop:
        first = start()
        first.ready(stop, lambda *_: None)
        second = start()
        with pytest.raises(UsageError, match="another run has it"):
            second.ready(stop, lambda *_: None)
        second.end()
        first.process.kill()
        first.end()
        third = start()
        assert third.ready(stop, lambda *_: None)["accounts"][0]["reads_only"] is True
        assert third.end() == 0
    assert [type(one) for one in records_of(tmp_path / "journal")].count(r.Boot) == 2
    assert command("trace", "check", str(tmp_path / "journal"))[1]["violations"] == []


@pytest.mark.soak
def test_a_key_that_may_more_meanwhile_ends_the_run_in_order(tmp_path: Path) -> None:
    """A minute: a whole run. That the key is asked after is shown above in a second."""
    with live_ground(tmp_path, mode="shadow") as ground:
        run = ground.start()
        ground.until(lambda: ground.engine().get("counts", {}).get("permitted", 0) > 0)
        ground.hand.permit("bybit", ground.where["bybit"]["read_key"], trade=True)
        code, kpi = ground.end(run)
        assert (code, kpi["verdict"]) == (1, "FAIL"), kpi
        assert "the account was watched to the end" in kpi["failed"]
        assert "it may trade" in kpi["trouble"][0]
        assert kpi["gate_exit_code"] == 0, "the gate took everything back"


@pytest.mark.parametrize(("prefix", "own"), [("maki" + 22 * "0", 1), ("byhand", 0)])
def test_an_order_on_the_account_that_looks_like_ours_is_told_apart_from_others(prefix: str, own: int, tmp_path: Path) -> None:
    """With simulators of its own, since the orders stay there."""
    with live_ground(tmp_path) as ground, StopWish() as stop:
        observer = watching(ground, tmp_path)
        observer.ready(stop, lambda *_: None)
        assert json.loads((tmp_path / "observer.json").read_bytes())["latches"] == []
        ground.hand.rest_orders("bybit", 1, prefix)
        ground.until(lambda: json.loads((tmp_path / "observer.json").read_bytes())["latches"] != [])
        assert observer.end() == 0
    told = read_told(tmp_path / "journal").told
    assert (told.own_strangers, told.wires, told.unsent) == (own, 0, 0)
    assert command("trace", "check", str(tmp_path / "journal"), "--witness", ground.where["witness"])[1]["violations"] == []


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (("--mode", "shadow"), {}, "--places: expected"),
        (("--mode", "shadow", "--places", "none-such"), {}, "expected a file of where the venues are"),
        (("--mode", "shadow", "--places", "none-such"), {"BYBIT_API_KEY": "x"}, "found BYBIT_API_KEY in the environment"),
        (("--mode", "testnet"), {}, "--places: expected a file that names endpoint testnet"),
        (("--mode", "testnet", "--places", "none-such"), {}, "expected a file of where the venues are"),
        ((), {}, "expected one of replay, paper, shadow, testnet, live, found none"),
    ],
)
def test_what_does_not_fit_is_refused(
    words: tuple[str, ...],
    env: dict[str, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert main(["run", str(example()), "--out", str(tmp_path / "run"), *words, "--json"]) == 2
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (tmp_path / "run").exists()


def test_a_live_run_does_not_go_on_in_the_folder_of_a_shadow(tmp_path: Path) -> None:
    places = tmp_path / "places.json"
    places.write_text("{}\n", encoding="utf-8")
    limits = example().parent / "limits-making-bybit.toml"
    resolved = resolve(example(), {})
    shadow = LiveRun(config=example(), mode=Mode.SHADOW, out=tmp_path / "run", places=places, seconds=None)
    live = LiveRun(config=example(), mode=Mode.LIVE, out=tmp_path / "run", places=places, seconds=None)
    (tmp_path / "run").mkdir()
    fill_folder(shadow.out, resolved, limits, told_of(shadow, resolved))
    with pytest.raises(UsageError, match="found one of mode shadow"):
        require_folder(live.out, resolved, told_of(live, resolved), prepared=False)
    require_folder(shadow.out, resolved, told_of(shadow, resolved), prepared=False)


def test_the_process_that_holds_the_key_has_no_way_to_order() -> None:
    look = "import sys, {}; from interlock.run.observer_process import ways_out; print(*ways_out(sys.modules))"

    def found(module: str) -> list[str]:
        words = [sys.executable, "-P", "-c", look.format(module)]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout.split()

    assert found("interlock.run.observer_process") == []
    assert set(found("interlock.run.gate_process")) == set(WAYS_OUT) - {"interlock.venues.cancel_only_at"}
