"""One life of a gate, put together in this process against a real venue."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from tests.run.gate_host import ACK, Around, Host, ground, life, run

from interlock.domain.errors import DamagedState, Refused, UsageError
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import frames as f
from interlock.gate.attendant import HUNG_NS
from interlock.gate.clock_watch import ClockReading
from interlock.gate.frames import Decided, Done, Proposal, Propose, Refusal, Role
from interlock.gate.journal import Options, SystemDisk, archive, open_journal
from interlock.gate.limit_sheet import load, sheet_hash
from interlock.gate.records import SCHEMA, Book, Level, Scope, Tick, encode
from interlock.gate.snapshot import snapshot_file
from interlock.gate.venue_reads import VenueReads
from interlock.run import gate_process
from interlock.run.children import PASSED_ON
from interlock.run.gate_config import GateConfig, VenuePart, read_gate_config, tags_of, write_gate_config
from interlock.run.gate_journal import open_and_fold
from interlock.run.gate_kits import VenueKit, kit_of
from interlock.run.gate_launch import example_limits, prepare
from interlock.sentinel.stop_word import StopWord
from interlock.simulate.fake_venue.client import ControlClient, SocketLink, VenueClient
from interlock.simulate.fake_venue.control import ArmFault, DropConnections, ForeignOrder, MoveBalance, SetBook, SetPermissions
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.server import Addresses
from interlock.trace.check import check
from interlock.venues.fake.wire import Cancel, ReadPermissions


async def drilled(host: Host, addresses: Addresses, venue: str = "bybit") -> f.Frame:
    """A drill whose order is cancelled at the venue by somebody else, as the sentinel does it."""
    for _ in range(3):
        challenge = await host.begin_arming(drill_symbol=f"{venue}/BTCUSDT")
        assert isinstance(challenge, f.Challenge), challenge
        begun = await host.answer(challenge)
        if not (isinstance(begun, f.Refusal) and "level_forbids" in begun.detail):
            break
        # On a busy machine an interlock may have tripped meanwhile; it clears itself.
        await host.until(lambda: names(host, "trips") == set(), 60)
    assert isinstance(begun, Done), begun
    cancel_elsewhere(addresses, venue, begun.report["client_id"])
    return await host.ask(Role.RAISE, f.DrillEnd(drill_id=begun.report["drill_id"], verdict="PASS", cancelled={venue: 1}))


def cancel_elsewhere(addresses: Addresses, venue: str, client_id: str) -> None:
    client = VenueClient(SocketLink(addresses.venues[venue].orders))
    assert client.request(Cancel(client_id=client_id, sign_ns=time.time_ns())).ok
    assert isinstance(client.link, SocketLink)
    client.link.close()


async def armed(host: Host, addresses: Addresses, *venues: str, **wish: Any) -> None:
    for venue in venues or ("bybit",):
        ended = await drilled(host, addresses, venue)
        assert isinstance(ended, Done), ended
        assert ended.report["verdict"] == "PASS", ended
    challenge = await host.begin_arming(**wish)
    assert isinstance(challenge, f.Challenge), challenge
    answer = await host.answer(challenge)
    assert isinstance(answer, Done), answer
    assert host.status().armed


def proposal(host: Host, **changes: Any) -> Proposal:
    now = gate_process.now().boot_ns
    venue = changes.get("venue", "bybit")
    (top,) = [one for one in host.status().report["references"] if one["venue"] == venue]
    fields: dict[str, Any] = {
        "venue": venue,
        "symbol": "BTCUSDT",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "tif": TimeInForce.POST_ONLY,
        "ticks": 500_000,
        "lots": 1,
        "strategy": "demo",
        "sequence": now // 1_000,
        "created_boot_ns": now,
        "deadline_boot_ns": now + 10**9,
        "books": (Book(venue=venue, symbol="BTCUSDT", bid_ticks=top["bid_ticks"], ask_ticks=top["ask_ticks"], boot_ns=top["boot_ns"]),),
    }
    return Proposal(**{**fields, **changes})


async def propose(host: Host, *proposals: Proposal, **changes: Any) -> list[str]:
    """The rule of each decision, PERMIT for a permit."""
    answer = await host.ask(Role.INTENT, Propose(proposals=proposals or (proposal(host, **changes),)))
    assert isinstance(answer, Decided), answer
    return [one.rule or one.result for one in answer.decisions]


def names(host: Host, what: str) -> set[str]:
    return {one["name"] for one in host.status().report[what]}


def test_the_end_of_a_grant_is_told_before_it_comes(tmp_path: Path) -> None:
    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around) as host:
            await armed(host, addresses, lifetime_ns=122 * 10**9)
            assert not any("min" in line for line in host.said)
            await host.until(lambda: any("min" in line for line in host.said))
            (told,) = [line for line in host.said if "min" in line]
            assert f"the grant {host.status().report['grant']['grant_id']} ends in 2 min" in told
            assert host.status().report["grant"]["warnings_min"] == [2]

    with ground(tmp_path) as (config, around, addresses):
        run(use(config, around, addresses))


def test_a_whole_life(tmp_path: Path) -> None:
    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around) as host:
            report = host.status().report
            assert {one["rule"] for one in report["why_not"]} == {"undrilled"}
            assert report["drill_symbols"] == ["bybit/BTCUSDT"]
            assert await propose(host) == ["not_armed"]
            assert await propose(host) == ["not_armed"]
            await armed(host, addresses)
            report = host.status().report
            assert report["why_not"] == []
            assert report["grant"]["cap_usd"] == "100"
            assert await propose(host) == ["PERMIT"]
            await host.until(lambda: [one["state"] for one in host.status().report["orders"]["list"]] == ["open"])
            sells = {"side": Side.SELL, "ticks": 500_001}
            assert await propose(host, proposal(host, **sells), proposal(host, sequence=1)) == ["PERMIT", "repeated"]
            answer = await host.ask(Role.INTENT, f.CancelOwn(client_ids=(), reason=""))
            assert isinstance(answer, Done)
            await host.until(lambda: host.status().report["orders"]["live"] == 0)
            assert await propose(host, tif=TimeInForce.IOC, ticks=500_001) == ["PERMIT"]
            await host.until(lambda: bool(host.status().report["positions"]))
            told = await host.ask(Role.INTENT, f.Edge(strategy="demo", measured_bps="0.4", threshold_bps="1"))
            assert told == Done(report={"collapsed": True})
            assert await propose(host) == ["level_reduces"]
            sell = {"side": Side.SELL, "tif": TimeInForce.IOC, "ticks": 500_000, "reduce_only": True}
            assert await propose(host, **sell) == ["PERMIT"]
            await host.until(lambda: not host.status().report["positions"])
            assert (await host.ask(Role.LOWER, f.Disarm(reason="", mandate=True))).report["disarmed"]  # type: ignore[attr-defined]
            assert await propose(host) == ["not_armed"]
            assert host.world.paths()["journal"] == str(config.journal)
        async with life(config, around) as host:
            assert names(host, "latches") == {"edge"}
            assert host.status().report["drill_symbols"] == []

    with ground(tmp_path) as (config, around, addresses):
        run(use(config, around, addresses))


def test_two_venues_and_a_dead_man(tmp_path: Path) -> None:
    text = example_limits().read_text(encoding="utf-8")
    second = text[text.index("[venues.bybit]") : text.index("[assets.BTC]")].replace("bybit", "binance_usdm")
    second = second.replace("max_unattended_resting_usd = 200", "max_unattended_resting_usd = 0")
    sheet = tmp_path / "limits.toml"
    sheet.write_text(text.replace("[assets.BTC]", second + "[assets.BTC]"), encoding="utf-8")
    answers: list[Mapping[str, Any]] = [{"event": "NOT_ARMED"}]

    def sentinel(request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request["verb"] == "rest":
            return answers[-1]
        return {"beats": {"binance_usdm": {"confirmed_ns": {"BTCUSDT": gate_process.now().boot_ns}}}} if len(answers) > 1 else {}

    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around, answer=sentinel) as host:
            challenge = await host.begin_arming(drill_symbol="binance_usdm/BTCUSDT")
            assert isinstance(challenge, f.Challenge)
            refused = await host.answer(challenge)
            assert isinstance(refused, Refusal), "its order may not rest where nobody would cancel it"
            assert "max_unattended_resting_usd" in refused.detail
            answers.append({"event": "ARMED"})
            await host.world.rooms.dead_man.refresh()
            await armed(host, addresses, "bybit", "binance_usdm")
            assert await propose(host, venue="binance_usdm") == ["PERMIT"]
            await host.until(lambda: [one["state"] for one in host.status().report["orders"]["list"]] == ["open"])

    with ground(tmp_path, ("bybit", "binance_usdm"), limits=sheet) as (config, around, addresses):
        run(use(config, around, addresses))


def test_what_goes_wrong_stops_by_its_name(tmp_path: Path) -> None:
    def tell(addresses: Addresses, command: Any) -> None:
        hand = ControlClient(addresses.control)
        hand.command(command)
        hand.close()

    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around) as host:
            await armed(host, addresses)
            assert await propose(host) == ["PERMIT"]
            around.sentinel = False
            await host.until(lambda: "sentinel_silent" in names(host, "trips"))
            await host.until(lambda: host.status().report["orders"]["live"] == 0)
            assert await propose(host) != ["PERMIT"]
            around.sentinel = True
            await host.until(lambda: names(host, "trips") == set())
            tell(addresses, DropConnections(venue="bybit"))
            await host.until(lambda: "reconnect" in names(host, "trips"))
            await host.until(lambda: names(host, "trips") == set(), 30)
            assert await propose(host) == ["PERMIT"]
            tell(addresses, SetBook(venue="bybit", symbol="BTCUSDT", bid_ticks=600_000, ask_ticks=600_001))
            await host.until(lambda: "feed_stale" in names(host, "trips") or host.status().report["references"][0]["bid_ticks"] == 600_000)
            assert (await propose(host))[0] in {"engine_books", "max_drift", "level_reduces", "collar_reference"}
            tell(addresses, MoveBalance(venue="bybit", kind="airdrop", currency="USDT", amount="5"))
            tell(addresses, ForeignOrder(venue="bybit", symbol="BTCUSDT", side=Side.BUY, ticks=400_000, lots=1))
            await host.until(lambda: "foreign_activity" in names(host, "latches"))
            await host.until(lambda: host.status().report["orders"]["live"] == 0)
            around.violations = 1
            await host.until(lambda: "violation" in names(host, "latches"))
            assert not host.status().report["checker"]

    with ground(tmp_path) as (config, around, addresses):
        run(use(config, around, addresses))


class Mute:
    """The reads of a venue, one verb of which does not answer while it is muted."""

    def __init__(self, reads: VenueReads) -> None:
        self._reads = reads
        self.verb = ""
        self.heard = asyncio.Event()

    def mute(self, verb: str) -> None:
        self.verb = verb
        self.heard.clear()

    def unmute(self) -> None:
        self.verb = ""
        self.heard.set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._reads, name)
        if name != self.verb:
            return found

        async def waits(*given: Any) -> Any:
            await self.heard.wait()
            return await found(*given)

        return waits


@pytest.mark.parametrize(
    ("verb", "what"),
    [("executions", "the last consistent cut of bybit/main is "), ("history", "the last look at orders of unknown fate of bybit/main is ")],
)
def test_a_read_that_never_answers_holds_trading_back_until_it_does(tmp_path: Path, verb: str, what: str) -> None:
    mutes: list[Mute] = []

    def kit(part: VenuePart, *given: Any) -> VenueKit:
        made = kit_of(part, *given)
        mutes.append(Mute(made.reads))
        paces = replace(made.paces, reconcile_ns=2 * 10**8, slow_reads_ns=34 * 10**8)
        return replace(made, reads=cast(VenueReads, mutes[-1]), paces=paces)

    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around, kit=kit) as host:
            await armed(host, addresses)
            desk = host.world.rooms.desks["bybit"]
            sells = {"side": Side.SELL, "ticks": 500_001}
            assert await propose(host, **sells) == ["PERMIT"]
            await host.until(lambda: [one["state"] for one in host.status().report["orders"]["list"]] == ["open"])
            assert (desk.unread, names(host, "trips")) == ("", set())
            mutes[-1].mute(verb)
            hand = ControlClient(addresses.control)
            # An order that the venue never had is looked for in every list.
            hand.command(ArmFault(venue="bybit", spec=FaultSpec(fault=Fault.LOSE_REQUEST, verb="place")))
            hand.close()
            assert await propose(host, ticks=499_999) == ["PERMIT"]
            await host.until(lambda: "reconnect" in names(host, "trips"))
            assert desk.unread.startswith(what)
            assert await propose(host, **sells) == ["level_reduces"]
            await host.until(lambda: "open" not in [one["state"] for one in host.status().report["orders"]["list"]])
            mutes[-1].unmute()
            await host.until(lambda: names(host, "trips") == set(), 30)
            assert desk.unread == ""
            assert await propose(host, **sells) == ["PERMIT"]

    with ground(tmp_path) as (config, around, addresses):
        run(use(config, around, addresses))


def test_a_gate_one_of_whose_own_duties_hangs_shows_the_sentinel_no_progress(tmp_path: Path) -> None:
    sheet = tmp_path / "limits.toml"
    sheet.write_text(example_limits().read_text(encoding="utf-8").replace("bybit", "binance_usdm"), encoding="utf-8")
    ahead_ns: list[int] = [0]
    silent: list[bool] = []
    goes_on = asyncio.Event()

    def clocks() -> ClockReading:
        found, more = gate_process.clocks(), sum(ahead_ns)
        return ClockReading(boot_ns=found.boot_ns + more, mono_ns=found.mono_ns + more, wall_ns=found.wall_ns + more)

    async def patience(_request: Mapping[str, Any]) -> None:
        if silent:
            silent.append(True)
            await goes_on.wait()

    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around, clocks=clocks, patience=patience) as host:
            word = StopWord.attach(config.stop_word)
            # All duties are late at once, as on a host that stood still: they go on, and the gate is not taken for one that hangs.
            ahead_ns.append(2 * HUNG_NS)
            before = word.progress
            await host.until(lambda: word.progress > before + 20)
            silent.append(True)
            await host.until(lambda: len(silent) > 1)
            ahead_ns.append(HUNG_NS)
            await host.until(lambda: "duties: hung, no progress is shown: dead-man" in host.said)
            shown = word.progress
            host.world.rooms.attendant.look()
            assert word.progress == shown
            silent.clear()
            goes_on.set()
            await host.until(lambda: word.progress > shown)
            assert host.said[-1] == "duties: go on after they hung"

    with ground(tmp_path, ("binance_usdm",), limits=sheet) as (config, around, addresses):
        run(use(config, around, addresses))


def test_a_lock_that_somebody_replaced_halts_the_account_for_good(tmp_path: Path) -> None:
    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around) as host:
            await armed(host, addresses)
            assert await propose(host) == ["PERMIT"]
            assert host.status().report["latches"] == []
            (lock,) = config.lock_folder.glob("interlock-bybit-*.lock")
            kept = lock.rename(tmp_path / "kept")
            lock.touch()
            await host.until(lambda: "second_writer" in names(host, "latches"))
            assert not host.status().armed, "the grant is over, not only the order denied"
            await host.until(lambda: host.status().report["orders"]["live"] == 0)
            kept.rename(lock)
            (hold,) = host.status().report["latches"]
            assert (hold["scope"], hold["subject"], hold["level"]) == ("account", "bybit/main", "halt")
            assert await propose(host) != ["PERMIT"], "held again, and latched still"
            cleared = f.Resume(
                level=Level.RUN,
                latch="second_writer",
                scope=Scope.ACCOUNT,
                subject="bybit/main",
                state_version=host.status().state_version,
                nonce=host.nonce(),
            )
            assert isinstance(await host.ask(Role.RAISE, cleared), Done)
            assert host.status().report["latches"] == []

    with ground(tmp_path) as (config, around, addresses):
        run(use(config, around, addresses))


def test_a_stop_is_heeded_at_once_and_the_sentinel_takes_over(tmp_path: Path) -> None:
    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around) as host:
            await armed(host, addresses)
            assert await propose(host) == ["PERMIT"]
            answer = await host.ask(Role.LOWER, f.Kill(source="test"))
            assert isinstance(answer, Done)
            await host.until(lambda: [request["verb"] for request in host.asked if request["verb"] == "kill"] == ["kill"])
            assert host.status().report["killed"] == "requested"
            await host.until(lambda: host.status().report["orders"]["live"] == 0)
            word = StopWord.attach(config.stop_word)
            word.begin_sweep(1)
            word.stop(1)
            began = time.monotonic()
            await host.until(lambda: word.acknowledged)
            assert time.monotonic() - began < 1
            word.close()
            assert host.status().report["killed"] == "effective"
            assert await propose(host) == ["killed"]

    with ground(tmp_path) as (config, around, addresses):
        run(use(config, around, addresses))


def test_a_person_freezes_resumes_and_keeps_the_books(tmp_path: Path) -> None:
    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around) as host:

            def version() -> int:
                return host.status().state_version

            async def rule(request: f.Frame) -> str:
                answer = await host.ask(Role.RAISE, request)
                return answer.rule if isinstance(answer, Refusal) else "done"

            frozen = await host.ask(Role.LOWER, f.Freeze(scope=Scope.ALL, subject="", level=Level.CANCEL_ONLY, reason="look"))
            assert isinstance(frozen, Done)
            assert await rule(f.Freeze(scope=Scope.ALL, subject="x", level=Level.HALT, reason="")) == "subject"
            assert await rule(f.Freeze(scope=Scope.ALL, subject="", level=Level.RUN, reason="")) == "level"
            resume: dict[str, Any] = {"level": Level.RUN, "latch": "operator", "scope": Scope.ALL, "subject": "", "nonce": host.nonce()}
            assert await rule(f.Resume(**resume, state_version=0)) == "stale_version"
            assert await rule(f.Resume(**resume, state_version=version())) == "done"
            raised: dict[str, Any] = {"level": Level.RUN, "latch": "", "scope": Scope.ALL, "subject": ""}
            assert await rule(f.Resume(**raised, nonce="short", state_version=version())) == "nonce_malformed"
            assert await rule(f.Resume(**raised, nonce=host.nonce(), state_version=version())) == "done"
            expect: dict[str, Any] = {"venue": "bybit", "currency": "USDT", "within_ns": 10**9}
            assert await rule(f.Expect(event="deposit", amount="5", nonce=host.nonce(), **expect)) == "done"
            assert await rule(f.Expect(event="gift", amount="5", nonce=host.nonce(), **expect)) == "expect"
            assert await rule(f.Expect(event="deposit", amount="NaN", nonce=host.nonce(), **expect)) == "expect"
            late: dict[str, Any] = {**expect, "within_ns": 0}
            assert await rule(f.Expect(event="withdrawal", amount="5", nonce=host.nonce(), **late)) == "expect_within"
            adjust: dict[str, Any] = {"venue": "bybit", "currency": "USDT", "symbol": "", "lots": 0, "ticks": 0}
            assert await rule(f.Adjust(amount="0", state_version=version(), nonce=host.nonce(), **adjust)) == "done"
            assert await rule(f.Adjust(amount="x", state_version=version(), nonce=host.nonce(), **adjust)) == "adjust"
            lots: dict[str, Any] = {**adjust, "symbol": "BTCUSDT", "lots": 1}
            assert await rule(f.Adjust(amount="0", state_version=version(), nonce=host.nonce(), **lots)) == "adjust"
            release: dict[str, Any] = {"client_id": "none", "state": OrderState.ABSENT, "filled_lots": 0}
            assert await rule(f.Release(**release, state_version=version(), nonce=host.nonce())) == "not_quarantined"
            assert await rule(f.Hello(protocol=1, role=Role.READ)) == "request"
            assert await rule(f.ArmAnswer(challenge_id="x", acknowledgement="", phrase="", level_nonce="")) == "challenge"
            assert await rule(f.DrillEnd(drill_id="x", verdict="PASS", cancelled={})) == "drill"
            challenge = await host.begin_arming(drill_symbol="bybit/BTCUSDT")
            assert isinstance(challenge, f.Challenge)
            bad = await host.answer(challenge, level_nonce="short")
            assert isinstance(bad, Refusal)
            assert bad.rule == "nonce_malformed"

    with ground(tmp_path) as (config, around, addresses):
        run(use(config, around, addresses))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"trade": False}, "check_key_scope"),
        ({"withdraw": True}, "check_key_scope"),
        ({"transfer": True}, "check_key_scope"),
        ({"address_bound": False}, "check_key_scope"),
        ({"expires_ns": 1}, "check_key_scope"),
        ({"position_mode": "hedge"}, "check_account_mode"),
        ({"margin_mode": "odd"}, "check_account_mode"),
    ],
)
def test_a_key_or_an_account_that_is_not_as_it_must_be_forbids_arming(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around) as host:
            assert isinstance(await host.begin_arming(drill_symbol="bybit/BTCUSDT"), f.Challenge)
            client = VenueClient(SocketLink(addresses.venues["bybit"].orders))
            permissions = client.request(ReadPermissions(sign_ns=time.time_ns())).body
            assert isinstance(client.link, SocketLink)
            client.link.close()
            assert permissions is not None
            hand = ControlClient(addresses.control)
            hand.command(SetPermissions(venue="bybit", permissions=msgspec.structs.replace(permissions, **change)))  # type: ignore[arg-type]
            hand.close()
            refused = await host.begin_arming(drill_symbol="bybit/BTCUSDT")
            assert isinstance(refused, Refusal)
            assert rule in {one["rule"] for one in json.loads(refused.detail)}

    with ground(tmp_path) as (config, around, addresses):
        run(use(config, around, addresses))


def test_start_conditions_that_do_not_hold(tmp_path: Path) -> None:
    async def begin(config: GateConfig, around: Around) -> None:
        async with life(config, around):
            pass

    with ground(tmp_path) as (config, around, _addresses):
        unknown = msgspec.structs.replace(config.venues[0], symbols=("DOGEUSDT",))
        with pytest.raises(UsageError, match="to be listed"):
            asyncio.run(begin(msgspec.structs.replace(config, venues=(unknown,)), around))
        uncovered = msgspec.structs.replace(config.venues[0], symbols=("ETHUSDT",))
        with pytest.raises(UsageError, match="missing"):
            asyncio.run(begin(msgspec.structs.replace(config, venues=(uncovered,)), around))
        nobody = msgspec.structs.replace(config.venues[0], orders_port=1)
        with pytest.raises(UsageError, match="expected an answer"):
            asyncio.run(begin(msgspec.structs.replace(config, venues=(nobody,)), around))

        async def twice() -> None:
            async with life(config, around):
                with pytest.raises(Refused, match="another gate has it"):
                    await begin(config, around)

        asyncio.run(twice())


# The process


def test_the_process_says_one_line_and_ends_by_a_signal(tmp_path: Path) -> None:
    said: list[str] = []
    with ground(tmp_path) as (config, _around, _addresses):

        def say(line: str) -> None:
            said.append(line)
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)

        code = asyncio.run(gate_process.serve(config, {"READ_ONLY_ENFORCED": "false"}, gate_process.Machine.real(), say))
    assert code == 130
    (line,) = said
    assert set(json.loads(line)) == {"intent", "read", "lower", "raise", "journal", "witness"}


def test_a_journal_with_a_record_that_is_none_ends_the_start_by_its_name(tmp_path: Path) -> None:
    """The batch is whole and the chain right: only whoever reads records finds it. Nothing is written, nothing is sent, and no socket opens."""

    def files(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    async def one_life(config: GateConfig, around: Around) -> None:
        async with life(config, around) as host:
            assert host.status().level is Level.HALT

    with ground(tmp_path) as (config, around, addresses):
        sizes = Options(segment_bytes=config.segment_bytes, batch_bytes=config.batch_bytes, reserve_bytes=config.reserve_bytes)
        journal, _ = open_journal(SystemDisk(), config.journal, schema=SCHEMA, incarnation=b"x" * 16, options=sizes)
        journal.commit(encode(Tick(boot_ns=1, wall_ns=1)))
        journal.close()
        run(one_life(config, around))  # a record before its first keeps nobody from starting
        kept = files(config.journal)
        journal, found = open_journal(SystemDisk(), config.journal, schema=SCHEMA, incarnation=b"y" * 16, options=sizes)
        journal.commit(b"no record")
        journal.close()
        before = files(config.journal)
        write_gate_config(msgspec.structs.replace(config, checker_fd=-1), tmp_path / "gate.json")
        done = subprocess.run(
            [sys.executable, "-P", "-m", "interlock.run.gate_process", str(tmp_path / "gate.json")],
            env={**{name: os.environ[name] for name in PASSED_ON if name in os.environ}, "READ_ONLY_ENFORCED": "false"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (3, "")
        newest = max(config.journal.glob("*.seg"))
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"gate: cannot start: {newest}, record {found.mark.lsn + 1}: expected a record of schema {SCHEMA} ")
        assert files(config.journal) == before != kept
        assert not list(config.sockets.glob("*.sock"))
        seen = [json.loads(one) for one in Path(addresses.witness).read_text(encoding="utf-8").splitlines()]
        assert seen, "what a gate asks is seen"
        assert not [one for one in seen if one["class"] == "RISK+"]


def test_a_configuration_survives_its_file_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    with ground(tmp_path) as (config, _around, _addresses):
        path = tmp_path / "gate.json"
        write_gate_config(config, path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert read_gate_config(path) == config
        assert config.semantic_hash() == msgspec.structs.replace(config, checker_fd=9).semantic_hash()
        assert config.semantic_hash() != msgspec.structs.replace(config, venues=()).semantic_hash()
        assert config.strategy_hash() != msgspec.structs.replace(config, tags={}).strategy_hash()
        assert config.strategy_hash() != msgspec.structs.replace(config, strategies={"demo": "a" * 64}).strategy_hash()
        told = json.loads(path.read_text(encoding="utf-8"))
    for change, what in (
        ({"surprise": 1}, "surprise"),
        ({"venues": []}, "one or more"),
        ({"venues": [{**told["venues"][0], "endpoint": "real"}]}, "found missing"),
        ({"folder": 7}, "folder"),
    ):
        path.write_text(json.dumps({**told, **change}), encoding="utf-8")
        with pytest.raises(UsageError, match=what):
            read_gate_config(path)
    with pytest.raises(UsageError, match="gate serve"):
        read_gate_config(tmp_path / "none.json")


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["/nowhere/gate.json"]])
def test_a_process_that_is_told_nothing_does_not_start(arguments: list[str]) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    try:
        assert gate_process.main(arguments) == 2
    finally:
        signal.signal(signal.SIGCHLD, before)


# What is started around it


def test_what_stands_around_a_gate_is_found_again_or_started(tmp_path: Path) -> None:
    from tests.gate.serving import end_all

    folder, started = tmp_path / ("long" * 30), list[subprocess.Popen[bytes]]()
    try:
        first = read_gate_config(prepare(folder, None, started))
        assert first.sockets != folder / "run", "a path too long for a socket gets a short one"
        with pytest.raises(UsageError, match="another gate has it"):
            prepare(folder, None, started)
        os.close(first.lock_fd)
        again = read_gate_config(prepare(folder, None, started))
        pids = [pid for pid, _, _ in first.children]
        assert [pid for pid, _, _ in again.children][1:] == pids[1:]
        assert [new for _, _, new in first.children] == [True, True, True]
        assert [new for _, _, new in again.children] == [True, False, False]
        os.close(again.lock_fd)
        os.close(first.checker_fd)
        os.close(again.checker_fd)
        text = example_limits().read_text(encoding="utf-8")
        sheet = tmp_path / "limits.toml"
        sheet.write_text(text.replace("bybit", "binance_usdm"), encoding="utf-8")
        with pytest.raises(UsageError, match="take another folder"):
            prepare(folder, sheet)
    finally:
        end_all(folder)
        for process in started:
            process.kill()
            process.wait(10)


def test_limits_for_what_nobody_plays_are_refused_before_anything_starts(tmp_path: Path) -> None:
    text = example_limits().read_text(encoding="utf-8")
    sheet = tmp_path / "limits.toml"
    for before, after, what in (
        ("bybit", "kraken", "expected one of"),
        ("bybit:BTCUSDT", "bybit:DOGEUSDT", "symbols among"),
        ('accounts = ["main"]', 'accounts = ["main", "spare"]', "one account"),
        ("[strategies.demo]", "[strategies.demo]\n[strategies.demolition]", "expected"),
    ):
        sheet.write_text(text.replace(before, after), encoding="utf-8")
        with pytest.raises(UsageError, match=what):
            prepare(tmp_path / "g", sheet)
        assert not (tmp_path / "g").exists()


def test_tags_are_the_first_letters_and_differ() -> None:
    from tests.gate import limit_cases as lc

    limit = lc.SHEET.strategies["demo"]
    sheet = msgspec.structs.replace(lc.SHEET, strategies={"Maker-1": limit, "ab": limit})
    assert tags_of(sheet) == {"Maker-1": "make", "ab": "ab00"}
    with pytest.raises(UsageError, match="differ"):
        tags_of(msgspec.structs.replace(lc.SHEET, strategies={"making-a": limit, "making-b": limit}))
    assert not any(name.startswith("LIVE_") for name in PASSED_ON)


def test_the_thread_that_beats_ends(tmp_path: Path) -> None:
    with ground(tmp_path) as (_config, around, _addresses):
        assert threading.active_count() > 1
    assert not around._thread.is_alive()


def test_tighter_limits_end_with_their_life_and_the_next_one_says_what_is_looser(tmp_path: Path) -> None:
    text = example_limits().read_text(encoding="utf-8")
    tighter = f.Tighten(limits="\n".join(line for line in text.splitlines() if '"gtc"' not in line), reason="test")
    looser = "symbols.bybit:BTCUSDT.allow"
    resting = {"tif": TimeInForce.GTC, "ticks": 499_000}

    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around) as host:
            await armed(host, addresses)
            assert await propose(host, **resting) == ["PERMIT"]
            await host.until(lambda: [one["state"] for one in host.status().report["orders"]["list"]] == ["open"])
            answer = await host.ask(Role.LOWER, tighter)
            assert isinstance(answer, Done)
            assert answer.report["cancelling"] == 1
            await host.until(lambda: host.status().report["orders"]["live"] == 0)
            assert await propose(host, **resting) == ["allow"]
            assert await propose(host, ticks=499_000) == ["PERMIT"]
            stands = host.status().report["limits"]
            assert (stands["hash"], stands["began_with"]) == (answer.report["after"], answer.report["before"])
            assert stands["looser_than_before"] == []
        for _ in range(2):
            async with life(config, around) as host:
                stands = host.status().report["limits"]
                assert (stands["hash"], stands["tightened_at"]) == (stands["began_with"], "")
                assert [one.partition(":")[0] for one in stands["looser_than_before"]] == ["symbols.bybit"]
                assert [line for line in host.said if looser in line]
                assert not host.status().armed
        async with life(config, around) as host:
            await armed(host, addresses)
            assert host.status().report["limits"]["looser_than_before"] == []
        async with life(config, around) as host:
            assert host.status().report["limits"]["looser_than_before"] == []
            assert not [line for line in host.said if "looser" in line]

    with ground(tmp_path) as (config, around, addresses):
        run(use(config, around, addresses))


def limits_of_two(folder: Path) -> Path:
    """The shipped limits, the same for a second venue, with room for both legs of a pair."""
    shipped = example_limits().read_text(encoding="utf-8")
    tables = [f"[{table}" for table in shipped.split("\n[")[1:]]
    second = [table.replace("bybit", "binance_usdm") for table in tables if "bybit" in table.partition("\n")[0]]
    path = folder / "limits.toml"
    text = "\n".join([*tables, *second])
    for bound in ("gross_notional_usd = 100", "position_notional_usd = 100"):
        text = text.replace(bound, f"{bound}0")
    path.write_text(text, encoding="utf-8")
    return path


def pair_of(host: Host, group: str, lots: int = 1) -> Proposal:
    """Buy on one venue, to be answered on the other."""
    first = proposal(host, group=group, tif=TimeInForce.IOC, ticks=500_001, lots=lots)
    here: dict[str, Any] = {"symbol": "BTCUSDT", "tif": TimeInForce.IOC, "lots": lots}
    plan = f.Plan(
        legs=(
            f.PlannedLeg(venue="bybit", side=Side.BUY, ticks=500_001, **here),
            f.PlannedLeg(venue="binance_usdm", side=Side.SELL, ticks=500_000, **here),
        ),
        deadline_boot_ns=first.created_boot_ns + 5 * 10**9,
        naked_cap_usd=Decimal(60),
        loss_bound_usd=Decimal(5),
    )
    books = (*first.books, *proposal(host, venue="binance_usdm").books)
    return msgspec.structs.replace(first, plan=plan, books=books)


def test_a_pair_from_its_plan_to_the_end(tmp_path: Path) -> None:
    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around) as host:
            wish = {"LIVE_ARM_ACK": ACK, "LIVE_ARM_AT": str(int(time.time())), "LIVE_MAX_NOTIONAL_USD": "400"}
            await armed(host, addresses, "bybit", "binance_usdm", conditions=wish, max_notional_usd="400")
            answers = {"venue": "binance_usdm", "side": Side.SELL, "tif": TimeInForce.IOC, "ticks": 500_000, "group": "p"}
            assert await propose(host, pair_of(host, "p")) == ["PERMIT"]
            await host.until(lambda: bool(host.status().report["positions"]))
            told = [{"venue": "binance_usdm", "symbol": "BTCUSDT", "side": "sell", "ticks": 500_000, "lots": 1}]
            assert host.status().report["reserved"] == told
            assert await propose(host, **answers, lots=2) == ["pair_not_proven"]
            assert await propose(host, **answers) == ["PERMIT"]
            await host.until(lambda: len(host.status().report["positions"]) == 2)
            assert host.status().report["reserved"] == []
            resting = pair_of(host, "q")
            assert resting.plan is not None
            first, second = (msgspec.structs.replace(leg, tif=TimeInForce.POST_ONLY) for leg in resting.plan.legs)
            later = msgspec.structs.replace(resting.plan, legs=(first, second), deadline_boot_ns=resting.created_boot_ns + 3 * 10**9)
            waits = msgspec.structs.replace(resting, plan=later, tif=TimeInForce.POST_ONLY, ticks=499_990)
            assert await propose(host, waits) == ["PERMIT"]
            await host.until(lambda: host.status().report["orders"]["live"] == 0)
            assert host.status().report["reserved"] == [], "what was not entered in time is cancelled, and the pair is over"

    with ground(tmp_path, ("bybit", "binance_usdm"), limits=limits_of_two(tmp_path)) as (config, around, addresses):
        run(use(config, around, addresses))
    report = check(config.journal)
    assert not report.violations, [str(one) for one in report.violations]


def test_a_start_with_other_limits_reads_no_more_than_what_came_after_the_snapshot(tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    text = example_limits().read_text(encoding="utf-8")
    limits.write_text(text, encoding="utf-8")

    async def use(config: GateConfig, around: Around, addresses: Addresses) -> None:
        async with life(config, around) as host:
            await armed(host, addresses)
            assert await propose(host, tif=TimeInForce.IOC, ticks=500_001) == ["PERMIT"]
            await host.until(lambda: host.status().report["positions"] != [])
            held = host.status().report["positions"]
        opened = open_and_fold(config, SystemDisk(), load(config.limits), "0" * 32, fail)
        opened.journal.flush()
        kept = snapshot_file(opened.state, opened.journal.durable_mark, SCHEMA)
        opened.journal.write_snapshot(kept.mark, kept.state_hash, kept.blob)
        opened.journal.close()
        assert archive(SystemDisk(), config.journal, SCHEMA)
        away = (config.journal / "archive").rename(tmp_path / "away")

        limits.write_text(text.replace("max_daily_loss_usd = 10", "max_daily_loss_usd = 9"), encoding="utf-8")
        async with life(config, around) as host:
            assert [line for line in host.said if "snapshot" in line] == []
            assert host.status().report["positions"] == held
            stands = host.status().report["limits"]
            assert stands["began_with"] == sheet_hash(load(limits)) != sheet_hash(load(example_limits()))

        # The control: without the snapshot what was archived is read, and must be there.
        for path in config.journal.glob("*.snap"):
            path.unlink()
        with pytest.raises(DamagedState, match=f"put the missing segments back, packed ones into {config.journal}/archive"):
            async with life(config, around):
                pass
        away.rename(config.journal / "archive")
        async with life(config, around) as host:
            assert host.status().report["positions"] == held

    with ground(tmp_path, limits=limits) as (config, around, addresses):
        run(use(config, around, addresses))


def fail(said: str) -> None:
    raise AssertionError(said)
