"""`interlock why` over a real recorded run: market making at a simulated Bybit, an order by hand that fills, one that is denied, and the engine's
orders after it, which the gate denies as repeated because a higher number was used.

Cost: one run for the whole module, about a minute; what is asked of it takes seconds.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.gate.serving import command
from tests.run.live_ground import example, live_ground
from tests.run.recorded_run import SMALL, RecordedRun

from interlock.cli.main import main
from interlock.engine.again import decide_again
from interlock.engine.inputs import InputsRead
from interlock.engine.moment import moment_of
from interlock.gate import records as r
from interlock.gate.evaluate import REQUIRED
from interlock.gate.journal import SystemDisk, open_journal, recover
from interlock.gate.limit_sheet import load as load_sheet
from interlock.gate.told_limits import UNITS, Verdict, of_denial
from interlock.run.config import load_config
from interlock.run.layers import resolve
from interlock.run.live_plan import live_plan
from interlock.run.why_journal import JournalRead


@dataclass
class Recorded:
    """A run that is over."""

    folder: Path
    witness: list[dict[str, Any]]
    records: list[tuple[int, r.AnyRecord]]

    def of(self, kind: type[Any]) -> list[Any]:
        return [record for _, record in self.records if isinstance(record, kind)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    with live_ground(tmp_path_factory.mktemp("why")) as ground:
        run = ground.start("--for", "10m")
        ground.until(ground.sees_books)
        ground.arm()
        ground.until(lambda: ground.engine()["counts"].get("taken back", 0) > 1)
        order = {"venue": "bybit", "symbol": "BTCUSDT", "side": "buy", "type": "limit", "tif": "ioc", "strategy": "making"}
        socket = str(ground.out / "run" / "intent.sock")

        def traded() -> bool:
            price = ground.engine()["books"][0]["ask_ticks"] + 500
            command("intent", "--socket", socket, json.dumps({**order, "lots": 1, "ticks": price}))
            return bool(ground.hand.state("bybit")["positions"].get("BTCUSDT", "0") not in ("0", "0.000"))

        ground.until(traded)

        def denied() -> bool:
            # Tried again: what comes and goes, such as the venue's budget, denies before the limits are looked at.
            price = ground.engine()["books"][0]["bid_ticks"]
            return "max_order_lots" in json.dumps(
                command("intent", "--socket", socket, json.dumps({**order, "lots": 1000, "ticks": price}))
            )

        ground.until(denied)
        ground.until(lambda: ground.engine()["counts"].get("denied: repeated", 0) > 2)
        code, _ = ground.end(run, signal.SIGINT)
        assert code == 130
        records: list[tuple[int, r.AnyRecord]] = []
        recover(
            SystemDisk(),
            ground.out / "journal",
            schema=r.SCHEMA,
            consume=lambda lsn, payload: records.append((lsn, r.decode(payload))),
        )
        yield Recorded(ground.out, ground.witness(), records)


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main(["why", *words, "--json"])
    shown = capsys.readouterr()
    assert shown.out.count("\n") == 1
    return code, json.loads(shown.out)


def text(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["why", *words]) == 0
    return capsys.readouterr().out


def engines(recorded: Recorded) -> r.Intent:
    """An order of the engine that was permitted, sent and cancelled again because the strategy wanted it."""
    cancelled = {one.client_id for one in recorded.of(r.CancelWanted) if one.reason == "the strategy"}
    found: r.Intent = next(one for one in recorded.of(r.Intent) if one.client_id in cancelled and one.sequence > 1_000)
    return found


def test_an_order_is_told_from_its_frame_to_its_end(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    intent = engines(recorded)
    code, told = asked(capsys, intent.client_id, "--from-run", str(recorded.folder))
    assert (code, told["result"], told["engine_missing"], told["denial"]) == (0, "PERMIT", None, None)
    # The engine's half is decided again from its log; the journal's half says independently what the engine proposed on.
    assert (told["book"]["bid_ticks"], told["book"]["ask_ticks"]) == (intent.books[0].bid_ticks, intent.books[0].ask_ticks)
    assert told["book"]["bids"][0]["ticks"] == intent.books[0].bid_ticks
    assert told["book"]["bids"][0]["lots"] == told["book"]["bid_lots"] > 0
    decided_at, book = told["frame"]["decided_at"], told["frame"]["book_changed_by"]
    assert decided_at["boot_ns"] == intent.created_boot_ns
    assert (book["venue"], book["symbol"], book["age_ns"]) == ("bybit", "BTCUSDT", intent.created_boot_ns - intent.books[0].boot_ns)
    assert json.loads(book["text"])["data"]["u"] == book["venue_sequence"] if book["bytes"] < 2000 else book["venue_sequence"] > 0
    decision = told["decision"]
    assert decision["same_as_then"]
    assert (decision["wanted"]["ticks"], decision["making"]["ticks"], decision["making"]["agrees"]) == (intent.ticks, intent.ticks, True)
    making = decision["making"]
    assert making["mid_ticks"] == (told["book"]["bid_ticks"] + told["book"]["ask_ticks"]) / 2
    assert making["edge_after_fee_bps"] == pytest.approx(making["edge_to_fair_bps"] - making["maker_fee_bps"])
    assert making["edge_to_fair_bps"] >= making["half_spread_bps"] - abs(making["lean"]) * 1.5 - 1e-9


def test_its_limits_permit_wire_and_end_are_those_of_the_journal(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    intent = engines(recorded)
    permit = next(one for one in recorded.of(r.Permit) if one.client_id == intent.client_id)
    _, told = asked(capsys, intent.client_id, "--from-run", str(recorded.folder))
    assert [one["limit"] for one in told["limits"]] == list(REQUIRED)
    assert [(str(one["value"]), str(one["bound"])) for one in told["limits"]] == [(e.value, e.bound) for e in permit.evaluations]
    assert all(one["headroom"] == one["bound"] - one["value"] >= 0 and not one["again"] for one in told["limits"])
    assert told["permit"]["body_hash"] == permit.body_hash
    assert [one["k"] for one in told["wire"]] == ["wire", "sent"]
    assert "answer" in {one["k"] for one in told["venue"]}
    assert told["cancel"][0]["reason"] == "the strategy"
    assert told["end"]["final"]
    assert told["end"]["state"] in ("cancelled", "filled")
    assert any(line.get("client_id") == intent.client_id for line in recorded.witness), "and the venue saw it"
    by_number = asked(capsys, "--intent", str(intent.sequence), "--from-run", str(recorded.folder))
    assert by_number == (0, told)
    shown = text(capsys, intent.client_id, "--from-run", str(recorded.folder))
    for part in ("frame     decided at input", "book      bid", "fair", "max_order_lots: ", "headroom", "permit    worth", "end       "):
        assert part in shown
    assert f"body {permit.body_hash[:16]}" in shown


def test_an_order_that_filled_tells_its_fills(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    """It was typed by hand, so that no engine decided it; that is said, and not made up."""
    fill = next(one for one in recorded.of(r.Filled) if one.client_id)
    code, told = asked(capsys, fill.client_id, "--from-run", str(recorded.folder))
    mine = [one for one in recorded.of(r.Filled) if one.client_id == fill.client_id]
    assert (code, [one["trade_id"] for one in told["fills"]]) == (0, [one.trade_id for one in mine])
    if told["engine_missing"] is not None:
        assert "holds no decision of that number" in told["engine_missing"]
        assert (told["frame"], told["book"], told["decision"]) == (None, None, None)
    assert told["end"]["filled_lots"] == sum(one.lots for one in mine)
    assert "fills     fill" in text(capsys, fill.client_id, "--from-run", str(recorded.folder))


def test_a_denial_names_its_limit_and_what_can_be_evaluated_again(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    deny = next(one for one in recorded.of(r.Deny) if one.rule == "max_order_lots")
    code, told = asked(capsys, "--intent", str(deny.sequence), "--from-run", str(recorded.folder))
    assert (code, told["result"], told["denial"]["rule"], told["permit"], told["end"]) == (0, "DENY", "max_order_lots", None, None)
    verdicts = {one["limit"]: one["verdict"] for one in told["limits"]}
    assert (verdicts["max_drift"], verdicts["max_order_lots"], verdicts["max_order_notional_usd"]) == ("held", "denied", "not reached")
    again = {one["limit"]: one for one in told["limits"] if one["again"]}
    assert again["max_orders"]["bound"] == 6000
    assert again["max_orders"]["value"] > 1
    assert not {"collar_reference", "max_order_notional_usd", "shock"} & set(again), "those need what no journal keeps"
    assert asked(capsys, told["client_id"], "--from-run", str(recorded.folder)) == (0, told)
    shown = text(capsys, "--intent", str(deny.sequence), "--from-run", str(recorded.folder))
    assert "denied    max_order_lots: " in shown
    assert "evaluated again from the journal" in shown


def test_what_is_evaluated_again_is_what_the_permits_say(recorded: Recorded) -> None:
    """For every order that was permitted: the fold before it and the gate's own stages give the figures that its permit embeds."""
    instruments = InputsRead(next((recorded.folder / "engine").glob("inputs-*.log"))).header.instruments
    read = JournalRead(recorded.folder / "journal", load_sheet(recorded.folder / "limits.toml"), instruments)
    for permit in recorded.of(r.Permit):
        stood = read.of_id(permit.client_id).stood
        assert stood is not None
        embedded = {one.limit: one for one in permit.evaluations}
        assert len(stood.again) == 11, stood.not_again
        assert [embedded[one.limit] for one in stood.again] == list(stood.again)


def test_under_other_limits_nothing_is_evaluated_again(recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(recorded.folder, copy, ignore=shutil.ignore_patterns("run", "*.sock"))
    sheet = copy / "limits.toml"
    sheet.write_text(sheet.read_text(encoding="utf-8").replace("max_orders_count = 6000", "max_orders_count = 5999"), encoding="utf-8")
    deny = next(one for one in recorded.of(r.Deny) if one.rule == "max_order_lots")
    _, told = asked(capsys, "--intent", str(deny.sequence), "--from-run", str(copy))
    assert not any(one["again"] for one in told["limits"])
    assert "limits.toml of the run's folder is not the sheet" in told["gate"]["not_again"]
    assert "none evaluated again" in text(capsys, "--intent", str(deny.sequence), "--from-run", str(copy))


def test_denials_without_an_intent_and_without_a_record_are_told_too(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_ones = [one for one in recorded.of(r.Deny) if one.rule == "repeated" and one.sequence > 0]
    code, told = asked(capsys, "--intent", str(recorded_ones[0].sequence), "--from-run", str(recorded.folder))
    assert (code, told["result"], told["denial"]["recorded"], told["intent"], told["client_id"]) == (0, "DENY", True, None, None)
    assert told["decision"]["same_as_then"]
    assert told["gate"]["not_again"] == "there is no record of the intent"
    # Two quotes are wanted at once, and of two denials within a second one is recorded.
    known = {one.sequence for one in recorded.of(r.Deny)} | {one.sequence for one in recorded.of(r.Intent)}
    beside = next(one for one in sorted(proposed(recorded.folder)) if one > recorded_ones[0].sequence and one not in known)
    code, told = asked(capsys, "--intent", str(beside), "--from-run", str(recorded.folder))
    assert (code, told["result"], told["denial"]["recorded"]) == (0, "DENY", False)
    assert told["denial"]["before"]["rule"] == "repeated"
    assert told["gate"]["level"] == "run"
    assert "without a record of its own" in text(capsys, "--intent", str(beside), "--from-run", str(recorded.folder))


def test_a_drill_s_order_was_decided_by_no_engine(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    drills = {one.grant.grant_id for one in recorded.of(r.Armed) if one.grant.purpose is r.Purpose.DRILL}
    order = next(one.client_id for one in recorded.of(r.Permit) if one.grant_id in drills)
    code, told = asked(capsys, order, "--from-run", str(recorded.folder))
    assert (code, told["decision"]) == (0, None)
    assert "kill drill" in told["engine_missing"]
    assert "kill drill" in text(capsys, order, "--from-run", str(recorded.folder))


def test_who_is_not_known_is_refused_with_those_near_it(recorded: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    intent = engines(recorded)
    code, told = asked(capsys, intent.client_id[:-1] + "~", "--from-run", str(recorded.folder))
    assert (code, told["error"]["kind"]) == (1, "Refused")
    assert f"near it: {intent.client_id}" in told["error"]["message"]
    code, told = asked(capsys, "--intent", str(intent.sequence - 500_000), "--from-run", str(recorded.folder))
    assert code == 1
    assert "expected the number of an intent or denial" in told["error"]["message"]
    assert f"({intent.client_id})" in told["error"]["message"]


def test_the_help_says_how_to_ask_for_a_denial(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "--help"]) == 0
    assert "the way to ask for a denial" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_what_is_asked_for_wrongly_is_a_wrong_usage(recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "--from-run", str(recorded.folder))[0] == 2
    assert asked(capsys, "x", "--intent", "1", "--from-run", str(recorded.folder))[0] == 2
    code, told = asked(capsys, "x", "--from-run", str(tmp_path))
    assert code == 2
    assert "expected the folder of a run with config.toml" in told["error"]["message"]


def test_damage_is_exit_code_3(recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    intent = engines(recorded)
    for name, offset in (("journal/*.seg", 700), ("engine/inputs-*.log", 40)):
        copy = tmp_path / name[:6]
        shutil.copytree(recorded.folder, copy, ignore=shutil.ignore_patterns("run", "*.sock"))
        assert asked(capsys, intent.client_id, "--from-run", str(copy))[0] == 0, "whole, it is told"
        file = min(copy.glob(name))
        damaged = bytearray(file.read_bytes())
        damaged[offset] ^= 0xFF
        file.write_bytes(damaged)
        code, told = asked(capsys, intent.client_id, "--from-run", str(copy))
        assert (code, told["error"]["kind"]) == (3, "DamagedState"), name


def test_a_record_that_is_none_is_exit_code_3(recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    intent, copy = engines(recorded), tmp_path / "copy"
    shutil.copytree(recorded.folder, copy, ignore=shutil.ignore_patterns("run", "*.sock"))
    journal, _ = open_journal(SystemDisk(), copy / "journal", schema=r.SCHEMA, incarnation=b"x" * 16, options=SMALL)
    journal.commit(r.encode(r.Tick(boot_ns=1, wall_ns=1)))
    assert asked(capsys, intent.client_id, "--from-run", str(copy))[0] == 0, "with a record more it is told"
    journal.commit(b"no record")
    journal.close()
    code, told = asked(capsys, intent.client_id, "--from-run", str(copy))
    assert (code, told["error"]["kind"]) == (3, "DamagedState")
    assert f"record {recorded.records[-1][0] + 2}: expected a record of schema" in told["error"]["message"]


def test_an_engine_that_was_killed_before_it_began_keeps_nobody_from_asking(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its log has no header yet, and stands behind all others."""
    intent = engines(recorded)
    copy = tmp_path / "copy"
    shutil.copytree(recorded.folder, copy, ignore=shutil.ignore_patterns("run", "*.sock"))
    (copy / "engine" / "inputs-9999999999999999999.log").write_bytes(b"interlock inp")
    assert asked(capsys, intent.client_id, "--from-run", str(copy)) == asked(capsys, intent.client_id, "--from-run", str(recorded.folder))


def test_another_configuration_is_noticed(recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    intent = engines(recorded)
    copy = tmp_path / "copy"
    shutil.copytree(recorded.folder, copy, ignore=shutil.ignore_patterns("run", "*.sock"))
    config = copy / "config.toml"
    config.write_text(
        config.read_text(encoding="utf-8").replace("min_half_spread_bps = 0.8", "min_half_spread_bps = 3.0"), encoding="utf-8"
    )
    code, told = asked(capsys, intent.client_id, "--from-run", str(copy))
    assert code == 2
    assert "expected the configuration that inputs-" in told["error"]["message"]
    # And decided under it all the same, the decision is not called the same.
    log = next((copy / "engine").glob("inputs-*.log"))
    first = min(one.sequence for one in recorded.of(r.Intent) if one.sequence > 1_000)
    for path, same in ((recorded.folder / "config.toml", True), (config, False)):
        plan = live_plan(load_config(path), path, _instruments(log))
        moment = moment_of(log, plan.settings, plan.strategy, first)
        assert moment is not None
        assert moment.same is same


def proposed(folder: Path) -> set[int]:
    """The numbers of all proposals of the run's engine."""
    path, log = folder / "config.toml", next((folder / "engine").glob("inputs-*.log"))
    plan = live_plan(load_config(path), path, _instruments(log))
    _, found = decide_again(log, plan.settings, plan.strategy)
    return set(found.proposals)


def _instruments(log: Path) -> Any:
    return InputsRead(log).header.instruments


def test_the_run_names_the_digest_of_what_its_configuration_came_to(recorded: Recorded) -> None:
    digest = resolve(example(), {}).digest
    assert json.loads((recorded.folder / "run.json").read_bytes())["config_digest"] == digest
    assert load_config(recorded.folder / "config.toml").digest == digest
    assert InputsRead(next((recorded.folder / "engine").glob("inputs-*.log"))).header.config == digest
    assert command("replay", "--from-run", str(recorded.folder), timeout_s=180)[1]["result"] == "SAME"


def test_a_difference_planted_in_the_journal_of_a_real_run_is_named(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The control is the test above."""
    intent = engines(recorded)
    copy = RecordedRun(tmp_path / "copy", [record for _, record in recorded.records])
    shutil.copytree(recorded.folder, copy.folder, ignore=shutil.ignore_patterns("run", "*.sock", "*.log"))
    shutil.copytree(recorded.folder / "engine", copy.folder / "engine", dirs_exist_ok=True)
    for planted, journal in (
        ([msgspec.structs.replace(intent, ticks=intent.ticks - 1)], intent.ticks - 1),
        ([], None),
    ):
        copy.records = [new for _, one in recorded.records for new in (planted if one == intent else [one])]
        copy.write_journal()
        assert main(["replay", "--from-run", str(copy.folder), "--json"]) == 1
        told = json.loads(capsys.readouterr().out)["mismatch"]
        assert told["what"] == f"sequence {intent.sequence}, client id {intent.client_id}"
        assert (told["journal"].get("ticks"), told["again"]["ticks"]) == (journal, intent.ticks)


def test_a_denial_tells_of_every_limit_once_and_in_order() -> None:
    assert tuple(UNITS) == REQUIRED
    for number, rule in enumerate(REQUIRED):
        verdicts = [one.verdict for one in of_denial(rule, ())]
        left = len(REQUIRED) - number - 1
        assert verdicts == [Verdict.HELD] * number + [Verdict.DENIED] + [Verdict.NOT_REACHED] * left
    assert {one.verdict for one in of_denial("not_armed", ())} == {Verdict.NOT_REACHED}
