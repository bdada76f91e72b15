"""The commands that talk to a running gate: what they send, what they print, how they end when the gate does not play along."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from tests.cli.gate_world import ME, NONCE, ORDER, REFERENCE, REPORT, SCRIPTED, Gate, error_of, told

from interlock.cli import exit_codes
from interlock.cli.gate_client import boot_ns
from interlock.cli.main import VERBS, main
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import frames as f
from interlock.gate.frames import Role
from interlock.gate.records import Book, Level, Scope
from interlock.run.gate_launch import example_limits

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "gate.md"

# What every command has in common

EVERY: dict[str, tuple[Role, list[str]]] = {
    "arm": (Role.RAISE, ["arm", "--for", "10m", *SCRIPTED]),
    "attest": (Role.RAISE, ["attest", "--venue", "bybit", "--withdraw", "no", "--for", "30d", "--scripted", "--statement", "w"]),
    "disarm": (Role.LOWER, ["disarm", "--reason", "r"]),
    "drill": (Role.RAISE, ["drill", "--symbol", "bybit/BTCUSDT", *SCRIPTED]),
    "freeze": (Role.LOWER, ["freeze", "--reason", "r"]),
    "intent": (Role.INTENT, ["intent", json.dumps(ORDER)]),
    "ledger expect": (Role.RAISE, ["ledger", "expect", "deposit", "500", "USDT", "--venue", "bybit", "--within", "1h"]),
    "ledger adjust": (Role.RAISE, ["ledger", "adjust", "--venue", "bybit", "--currency", "USDT", "--amount", "-0.5"]),
    "release": (Role.RAISE, ["release", "mk010001", "--state", "absent", "--filled-lots", "0"]),
    "resume": (Role.RAISE, ["resume"]),
    "status": (Role.READ, ["status"]),
    "tighten": (Role.LOWER, ["tighten", "--limits", str(example_limits()), "--reason", "r"]),
}
each_command = pytest.mark.parametrize(("role", "arguments"), EVERY.values(), ids=EVERY)


@each_command
def test_nobody_there_is_one_refusal(tmp_path: Path, role: Role, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--socket", str(tmp_path / "none.sock"), "--json"]) == exit_codes.REFUSED
    assert "is it running?" in error_of(capsys)


@each_command
def test_a_gate_of_another_user_is_not_talked_to(gate: Gate, role: Role, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    line = [*arguments, "--socket", gate.path(role), "--json", "--server-user"]
    assert main([*line, str(ME + 1)]) == exit_codes.REFUSED
    assert "do not talk to it" in error_of(capsys)
    assert gate.asked == []
    main([*line, str(ME)])
    # Only a drill of a gate in this very process is refused before it asks.
    assert gate.asked or "process of its own" in error_of(capsys)


@each_command
def test_the_socket_of_another_role_is_refused(gate: Gate, role: Role, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    other = Role.LOWER if role is Role.READ else Role.READ
    assert main([*arguments, "--socket", gate.path(other), "--json"]) == exit_codes.REFUSED
    assert f"this is the {other.value} socket, not {role.value}" in error_of(capsys)
    assert gate.asked == []


REFUSED_AT: dict[str, type[f.Frame]] = {
    "arm": f.ArmBegin,
    "attest": f.Attest,
    "disarm": f.Disarm,
    "freeze": f.Freeze,
    "intent": f.Propose,
    "ledger expect": f.Expect,
    "ledger adjust": f.Adjust,
    "release": f.Release,
    "resume": f.Resume,
    "status": f.GetStatus,
    "tighten": f.Tighten,
}


@pytest.mark.parametrize("name", REFUSED_AT)
def test_a_refusal_of_the_gate_is_told_by_its_rule(gate: Gate, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    role, arguments = EVERY[name]
    line = [*arguments, "--socket", gate.path(role), "--json"]
    gate.answers[REFUSED_AT[name]] = f.Refusal(rule="stale_version", detail="expected state version 42, found 41; look again")
    assert main(line) == exit_codes.REFUSED
    found = told(capsys)
    said = found["refusals"] if name in ("arm", "attest") else found["error"]["message"]
    assert "stale_version" in str(said)
    assert "expected state version 42, found 41" in str(said)
    del gate.answers[REFUSED_AT[name]]
    gate.answers.setdefault(f.Propose, f.Decided(decisions=(f.Decision(result="PERMIT", rule="", client_id="a"),)))
    gate.answers.setdefault(f.ArmBegin, f.Challenge(challenge_id="c", phrase="p"))
    assert main(line) == exit_codes.DONE


@pytest.mark.parametrize("name", ["disarm", "status"])
def test_an_answer_that_was_not_expected_is_refused(gate: Gate, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    role, arguments = EVERY[name]
    gate.answers[REFUSED_AT[name]] = f.Decided(decisions=())
    assert main([*arguments, "--socket", gate.path(role), "--json"]) == exit_codes.REFUSED
    assert "found Decided" in error_of(capsys)


WRONG: dict[str, list[str]] = {
    "arm, no duration": ["arm", *SCRIPTED, "--for", "10"],
    "arm, mandate": ["arm", *SCRIPTED, "--for", "10m", "--mandate", "1.5h"],
    "arm, script without its words": ["arm", "--scripted", "--for", "10m"],
    "arm, words without a script": ["arm", "--ack", "x", "--for", "10m"],
    "drill, script without its words": ["drill", "--scripted"],
    "freeze, all with a subject": ["freeze", "--reason", "r", "--subject", "x"],
    "freeze, a symbol without one": ["freeze", "--reason", "r", "--scope", "symbol"],
    "freeze at run": ["freeze", "--reason", "r", "--level", "run"],
    "disarm without a reason": ["disarm"],
    "tighten without a reason": ["tighten", "--limits", str(example_limits())],
    "tighten by a file that is not there": ["tighten", "--limits", "nowhere.toml", "--reason", "r"],
    "tighten by what is no sheet": ["tighten", "--limits", __file__, "--reason", "r"],
    "resume, a scope without a latch": ["resume", "--scope", "symbol", "--subject", "x"],
    "resume, a latch and a level": ["resume", "--latch", "loss", "--level", "reduce_only"],
    "resume, a scope without its subject": ["resume", "--latch", "loss", "--scope", "symbol"],
    "release, half a lot": ["release", "a", "--state", "absent", "--filled-lots", "0.6"],
    "release, less than none": ["release", "a", "--state", "absent", "--filled-lots", "-1"],
    "release, no end": ["release", "a", "--state", "open", "--filled-lots", "0"],
    "expect nothing": ["ledger", "expect", "deposit", "0", "USDT", "--venue", "v", "--within", "1h"],
    "expect no number": ["ledger", "expect", "deposit", "NaN", "USDT", "--venue", "v", "--within", "1h"],
    "expect less than nothing": ["ledger", "expect", "deposit", "-5", "USDT", "--venue", "v", "--within", "1h"],
    "expect a gift": ["ledger", "expect", "airdrop", "5", "USDT", "--venue", "v", "--within", "1h"],
    "adjust nothing": ["ledger", "adjust", "--venue", "v"],
    "adjust both": ["ledger", "adjust", "--venue", "v", "--currency", "c", "--amount", "1", "--symbol", "s", "--lots", "1", "--ticks", "1"],
    "adjust, no currency": ["ledger", "adjust", "--venue", "v", "--amount", "1"],
    "adjust, no price": ["ledger", "adjust", "--venue", "v", "--symbol", "s", "--lots", "1"],
    "adjust, a price of 0": ["ledger", "adjust", "--venue", "v", "--symbol", "s", "--lots", "1", "--ticks", "0"],
    "adjust, rounded lots": ["ledger", "adjust", "--venue", "v", "--symbol", "s", "--lots", "1.5", "--ticks", "1"],
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_wrong_usage_asks_the_gate_for_nothing(gate: Gate, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    role = Role.LOWER if arguments[0] in ("freeze", "disarm", "tighten") else Role.RAISE
    assert main([*arguments, "--socket", gate.path(role), "--json"]) == exit_codes.USAGE
    assert "expected" in error_of(capsys) or arguments[0] in ("freeze", "disarm", "ledger", "tighten")
    assert gate.asked == []


def test_a_number_that_no_frame_can_carry_is_wrong_usage(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["arm", *SCRIPTED, "--for", "9999999d", "--socket", gate.path(Role.RAISE), "--json"]) == exit_codes.USAGE
    assert "below 2**64" in error_of(capsys)
    assert gate.wanted == []


# Lowering, and the plain raising requests

CHANGED = [{"key": "account.max_drawdown_usd", "was": "10", "now": "9"}]


def test_tightening_prints_what_changed_and_how_many_orders_go(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["tighten", "--socket", gate.path(Role.LOWER), "--limits", str(example_limits()), "--reason", "why"]
    gate.answers[f.Tighten] = f.Done(report={"before": "aa", "after": "bb", "changed": CHANGED, "journaled": True, "cancelling": 2})
    assert main([*line, "--json"]) == exit_codes.DONE
    assert gate.wanted == [f.Tighten(limits=example_limits().read_text(encoding="utf-8"), reason="why")]
    expected = {"result": "TIGHTENED", "before": "aa", "after": "bb", "changed": CHANGED, "journaled": True, "cancelling": 2}
    assert told(capsys) == expected
    assert main(line) == exit_codes.DONE
    assert capsys.readouterr().out == "account.max_drawdown_usd: 10 -> 9\nin force: bb; 2 orders are being cancelled\n"
    gate.answers[f.Tighten] = f.Done(report={"before": "bb", "after": "bb", "changed": [], "journaled": True, "cancelling": 0})
    assert main([*line, "--json"]) == exit_codes.DONE
    assert told(capsys)["result"] == "UNCHANGED"
    assert main(line) == exit_codes.DONE
    assert capsys.readouterr().out == "nothing differs from what is in force\n"


SENT: dict[str, tuple[Role, list[str], f.Frame, dict[str, Any]]] = {
    "disarm": (Role.LOWER, ["disarm", "--reason", "why"], f.Disarm(reason="why"), {"result": "DISARMED", "mandate_ended": False}),
    "disarm, mandate": (
        Role.LOWER,
        ["disarm", "--reason", "why", "--mandate"],
        f.Disarm(reason="why", mandate=True),
        {"result": "DISARMED", "mandate_ended": True},
    ),
    "freeze": (
        Role.LOWER,
        ["freeze", "--reason", "why"],
        f.Freeze(scope=Scope.ALL, subject="", level=Level.HALT, reason="why"),
        {"result": "FROZEN", "scope": "all", "level": "halt"},
    ),
    "freeze a symbol": (
        Role.LOWER,
        ["freeze", "--reason", "why", "--scope", "symbol", "--subject", "bybit/BTCUSDT", "--level", "cancel_only"],
        f.Freeze(scope=Scope.SYMBOL, subject="bybit/BTCUSDT", level=Level.CANCEL_ONLY, reason="why"),
        {"result": "FROZEN", "subject": "bybit/BTCUSDT"},
    ),
    "resume": (
        Role.RAISE,
        ["resume"],
        f.Resume(level=Level.RUN, latch="", scope=Scope.ALL, subject="", state_version=41, nonce=""),
        {"result": "RESUMED", "level": "run", "cleared": [], "seen_version": 41, "state_version": 42},
    ),
    "resume a latch": (
        Role.RAISE,
        ["resume", "--latch", "operator", "--scope", "symbol", "--subject", "bybit/BTCUSDT"],
        f.Resume(level=Level.RUN, latch="operator", scope=Scope.SYMBOL, subject="bybit/BTCUSDT", state_version=41, nonce=""),
        {"result": "CLEARED", "level": None, "cleared": REPORT["latches"]},
    ),
    "release": (
        Role.RAISE,
        ["release", "mk010001", "--state", "not_sent", "--filled-lots", "0"],
        f.Release(client_id="mk010001", state=OrderState.NOT_SENT, filled_lots=0, state_version=41, nonce=""),
        {"result": "RELEASED", "client_id": "mk010001", "state": "not_sent", "seen_version": 41},
    ),
    "expect": (
        Role.RAISE,
        ["ledger", "expect", "deposit", "500", "USDT", "--venue", "bybit", "--within", "1h"],
        f.Expect(event="deposit", venue="bybit", amount="500", currency="USDT", within_ns=3_600 * 10**9, nonce=""),
        {"result": "EXPECTED", "amount": "500", "within": "1h"},
    ),
    "expect a transfer away": (
        Role.RAISE,
        ["ledger", "expect", "transfer", "-0.25", "BTC", "--venue", "bybit", "--within", "90s"],
        f.Expect(event="transfer", venue="bybit", amount="-0.25", currency="BTC", within_ns=90 * 10**9, nonce=""),
        {"result": "EXPECTED", "amount": "-0.25"},
    ),
    "adjust money": (
        Role.RAISE,
        ["ledger", "adjust", "--venue", "bybit", "--currency", "USDT", "--amount", "-0.5"],
        f.Adjust(venue="bybit", currency="USDT", amount="-0.5", symbol="", lots=0, ticks=0, state_version=41, nonce=""),
        {"result": "ADJUSTED", "amount": "-0.5", "seen_version": 41},
    ),
    "adjust lots": (
        Role.RAISE,
        ["ledger", "adjust", "--venue", "bybit", "--symbol", "BTCUSDT", "--lots", "-3", "--ticks", "500000", "--currency", "USDT"],
        f.Adjust(venue="bybit", currency="USDT", amount="0", symbol="BTCUSDT", lots=-3, ticks=500_000, state_version=41, nonce=""),
        {"result": "ADJUSTED", "lots": -3},
    ),
}


@pytest.mark.parametrize(("role", "arguments", "frame", "result"), SENT.values(), ids=SENT)
def test_a_request_is_what_was_typed(
    gate: Gate, role: Role, arguments: list[str], frame: f.Frame, result: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*arguments, "--socket", gate.path(role)]
    assert main([*line, "--json"]) == exit_codes.DONE
    found = told(capsys)
    assert {name: found[name] for name in result} == result
    (sent,) = gate.wanted
    nonce = getattr(sent, "nonce", None)
    assert sent == (frame if nonce is None else msgspec.structs.replace(frame, nonce=nonce))
    assert main(line) == exit_codes.DONE
    assert capsys.readouterr().out.count("\n") == 1
    if nonce is not None:
        assert NONCE.fullmatch(nonce)
        assert msgspec.structs.asdict(gate.wanted[1])["nonce"] != nonce


def test_resume_says_what_it_clears_and_what_goes_on_holding(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    latch = ["--latch", "operator", "--scope", "symbol", "--subject"]
    assert main(["resume", "--socket", gate.path(Role.RAISE), *latch, "bybit/BTCUSDT"]) == exit_codes.DONE
    assert "state version 41: clears [{'name': 'operator'" in capsys.readouterr().err
    main(["resume", "--socket", gate.path(Role.RAISE), *latch, "upbit/BTC"])
    assert "clears nothing that is in force" in capsys.readouterr().err
    main(["resume", "--socket", gate.path(Role.RAISE)])
    assert "latches that go on holding: operator symbol bybit/BTCUSDT" in capsys.readouterr().err


def test_status_for_a_person_and_for_a_script(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--socket", gate.path(Role.READ), "--json"]) == exit_codes.DONE
    assert told(capsys) == REPORT
    assert main(["status", "--socket", gate.path(Role.READ)]) == exit_codes.DONE
    shown = capsys.readouterr().out
    for word in ("disarmed", "accounts.bybit", "bybit/BTCUSDT", "499990", "check_drill", "[red]none yet", "armed"):
        assert word in shown


# Intents


def test_an_intent_is_decided_on_the_gates_own_top(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    before_ns = boot_ns()
    assert main(["intent", "--socket", gate.path(Role.INTENT), json.dumps(ORDER), "--json"]) == exit_codes.DONE
    assert told(capsys) == {"result": "PERMIT", "rule": "", "client_id": "mk010001"}
    (sent,) = gate.wanted
    assert isinstance(sent, f.Propose)
    (proposal,) = sent.proposals
    assert before_ns <= proposal.created_boot_ns <= boot_ns()
    assert proposal == f.Proposal(
        venue="bybit",
        symbol="BTCUSDT",
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.POST_ONLY,
        ticks=500_000,
        lots=1,
        strategy="mk",
        sequence=proposal.created_boot_ns // 1000,
        created_boot_ns=proposal.created_boot_ns,
        deadline_boot_ns=proposal.created_boot_ns + 10**9,
        books=(Book(venue="bybit", symbol="BTCUSDT", bid_ticks=499_990, ask_ticks=500_010, boot_ns=7),),
    )


def test_everything_about_an_intent_can_be_said(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    book = {"venue": "upbit", "symbol": "BTC", "bid_ticks": 1, "ask_ticks": 2, "boot_ns": 3}
    more = {"strategy": "other", "group": "g", "reduce_only": True, "amends": "mk01", "deadline_ms": 20, "sequence": 9, "books": [book]}
    assert main(["intent", "--json", json.dumps({**ORDER, "side": "sell", **more}), "--socket", gate.path(Role.INTENT)]) == exit_codes.DONE
    told(capsys)
    (sent,) = gate.wanted
    assert isinstance(sent, f.Propose)
    (proposal,) = sent.proposals
    assert (proposal.side, proposal.strategy, proposal.group, proposal.reduce_only) == (Side.SELL, "other", "g", True)
    assert (proposal.amends, proposal.sequence, proposal.books) == ("mk01", 9, (Book(**book),))  # type: ignore[arg-type]
    assert proposal.deadline_boot_ns - proposal.created_boot_ns == 20_000_000


PLAN: dict[str, Any] = {
    "legs": [
        {"venue": "bybit", "symbol": "BTCUSDT", "side": "buy", "tif": "ioc", "ticks": 500_010, "lots": 2},
        {"venue": "upbit", "symbol": "KRW-BTC", "side": "sell", "tif": "ioc", "ticks": 9, "lots": 1, "reduce_only": True},
    ],
    "deadline_ms": 1500,
    "naked_cap_usd": "50",
    "loss_bound_usd": "2.5",
}


def test_a_pair_is_planned_with_its_first_order(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["intent", "--socket", gate.path(Role.INTENT), "--json"]
    assert main([*line, json.dumps({**ORDER, "group": "p", "plan": PLAN})]) == exit_codes.DONE
    told(capsys)
    (sent,) = gate.wanted
    assert isinstance(sent, f.Propose)
    (proposal,) = sent.proposals
    assert proposal.plan == f.Plan(
        legs=(
            f.PlannedLeg(venue="bybit", symbol="BTCUSDT", side=Side.BUY, tif=TimeInForce.IOC, ticks=500_010, lots=2),
            f.PlannedLeg(venue="upbit", symbol="KRW-BTC", side=Side.SELL, tif=TimeInForce.IOC, ticks=9, lots=1, reduce_only=True),
        ),
        deadline_boot_ns=proposal.created_boot_ns + 1_500_000_000,
        naked_cap_usd=Decimal(50),
        loss_bound_usd=Decimal("2.5"),
    )
    assert [book.symbol for book in proposal.books] == ["BTCUSDT"], "the gate has no reference of the other leg to decide on"


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("legs", [PLAN["legs"][0]], "plan.legs"),
        ("legs", "both", "plan.legs"),
        ("legs", [PLAN["legs"][0], {"venue": "upbit"}], "plan.legs"),
        ("legs", [PLAN["legs"][0], {**PLAN["legs"][1], "more": 1}], "plan.legs"),
        ("legs", [PLAN["legs"][0], {**PLAN["legs"][1], "side": "up"}], "plan.legs.side"),
        ("legs", [PLAN["legs"][0], {**PLAN["legs"][1], "lots": "1"}], "plan.legs.lots"),
        ("deadline_ms", -1, "plan.deadline_ms"),
        ("naked_cap_usd", 5, "plan.naked_cap_usd"),
        ("naked_cap_usd", "five", "plan.naked_cap_usd"),
        ("loss_bound_usd", "NaN", "plan.loss_bound_usd"),
        ("loss_bound_usd", "0", "plan.loss_bound_usd"),
        ("more", "1", "plan"),
    ],
)
def test_a_plan_that_is_none_names_what_is_wrong(
    gate: Gate, key: str, value: object, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps({**ORDER, "group": "p", "plan": {**PLAN, key: value}})
    assert main(["intent", "--socket", gate.path(Role.INTENT), text, "--json"]) == exit_codes.USAGE
    assert error_of(capsys).startswith(f"{named}: expected")
    assert gate.wanted == []


def test_a_denial_has_its_rule_on_stdout_and_its_detail_beside_it(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    gate.answers[f.Propose] = f.Decided(decisions=(f.Decision(result="DENY", rule="halted", client_id="", detail="level is halt"),))
    line = ["intent", "--socket", gate.path(Role.INTENT), json.dumps(ORDER)]
    assert main([*line, "--json"]) == exit_codes.REFUSED
    shown = capsys.readouterr()
    assert (json.loads(shown.out), shown.err) == ({"result": "DENY", "rule": "halted", "client_id": ""}, "level is halt\n")
    assert main(line) == exit_codes.REFUSED
    assert capsys.readouterr().out == "DENY halted\n"


def test_a_batch_is_proposed_together(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    yes, no = f.Decision(result="PERMIT", rule="", client_id="a"), f.Decision(result="DENY", rule="cap", client_id="")
    gate.answers[f.Propose] = f.Decided(decisions=(yes, no))
    line = ["intent", "--socket", gate.path(Role.INTENT), json.dumps([ORDER, {**ORDER, "symbol": "NONE"}]), "--json"]
    assert main(line) == exit_codes.REFUSED
    decisions = [{"result": "PERMIT", "rule": "", "client_id": "a"}, {"result": "DENY", "rule": "cap", "client_id": ""}]
    assert told(capsys) == {"decisions": decisions}
    (sent,) = gate.wanted
    assert isinstance(sent, f.Propose)
    first, second = sent.proposals
    assert second.sequence == first.sequence + 1
    assert second.books == ()
    gate.answers[f.Propose] = f.Decided(decisions=(yes, yes))
    assert main(line) == exit_codes.DONE
    told(capsys)
    gate.answers[f.Propose] = f.Decided(decisions=(yes,))
    assert main(line) == exit_codes.REFUSED
    assert "expected 2 decisions, found 1" in error_of(capsys)


def changed(key: str, value: str) -> str:
    return json.dumps({**ORDER, key: "@"}).replace('"@"', value)


WRONG_JSON: dict[str, tuple[str, str]] = {
    "no JSON": ("JSON", "{"),
    "nothing in it": ("JSON", "[]"),
    "a number": ("JSON", "7"),
    "a list in a list": ("proposal 1, JSON", "[[]]"),
    "too deep": ("JSON", "[" * 200_000),
    "unknown": ("colour", changed("colour", "1")),
    "twice": ("lots", json.dumps(ORDER)[:-1] + ', "lots": 2}'),
    "missing": ("ticks", json.dumps({key: value for key, value in ORDER.items() if key != "ticks"})),
    "a float for ticks": ("ticks", changed("ticks", "500000.0")),
    "NaN": ("lots", changed("lots", "NaN")),
    "infinite": ("ticks", changed("ticks", "-Infinity")),
    "negative": ("lots", changed("lots", "-1")),
    "a bool for a number": ("lots", changed("lots", "true")),
    "text for a number": ("ticks", changed("ticks", '"5"')),
    "null": ("ticks", changed("ticks", "null")),
    "too large": ("ticks", changed("ticks", str(2**63))),
    "far too large": ("ticks", changed("ticks", "9" * 10_000)),
    "a number for text": ("venue", changed("venue", "1")),
    "an unknown side": ("side", changed("side", '"up"')),
    "no text for a side": ("side", changed("side", "[]")),
    "an unknown type": ("type", changed("type", '"stop"')),
    "an unknown time in force": ("tif", changed("tif", '"day"')),
    "a number for a bool": ("reduce_only", changed("reduce_only", "1")),
    "no time at all": ("deadline_ms", changed("deadline_ms", "0")),
    "books that are no list": ("books", changed("books", "{}")),
    "half a book": ("books", changed("books", '[{"venue": "bybit"}]')),
    "a float in a book": (
        "books.bid_ticks",
        changed("books", '[{"venue": "v", "symbol": "s", "bid_ticks": 1.5, "ask_ticks": 2, "boot_ns": 3}]'),
    ),
    "the second of two": ("proposal 2, lots", f"[{json.dumps(ORDER)}, {changed('lots', '-1')}]"),
}


@pytest.mark.parametrize(("key", "text"), WRONG_JSON.values(), ids=WRONG_JSON)
def test_json_that_is_not_right_names_the_key(gate: Gate, key: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["intent", "--socket", gate.path(Role.INTENT), "--json"]
    assert main([*line, text]) == exit_codes.USAGE
    assert error_of(capsys).startswith(f"{key}: expected")
    assert gate.asked == []
    assert main([*line, json.dumps(ORDER)]) == exit_codes.DONE


@pytest.mark.parametrize("strategies", [[], ["mk", "arb"]])
def test_a_strategy_must_be_named_unless_there_is_only_one(gate: Gate, strategies: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    gate.report["strategies"] = strategies
    assert main(["intent", "--socket", gate.path(Role.INTENT), json.dumps(ORDER), "--json"]) == exit_codes.USAGE
    assert error_of(capsys).startswith("strategy: expected")
    assert gate.wanted == []


def test_a_reference_that_makes_no_sense_is_not_decided_on(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    gate.report["references"] = [{**REFERENCE, "bid_ticks": None}]
    assert main(["intent", "--socket", gate.path(Role.INTENT), json.dumps(ORDER), "--json"]) == exit_codes.REFUSED
    assert "bid_ticks" in error_of(capsys)
    assert gate.wanted == []


# What stands in the documentation


def test_every_frame_with_every_field_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"Protocol {f.PROTOCOL}" in text
    described = msgspec.inspect.multi_type_info([*get_args(f.AnyFrame), f.Proposal, f.Plan, f.PlannedLeg, f.Decision, f.Executed])
    for frame in described:
        assert isinstance(frame, msgspec.inspect.StructType)
        kind = frame.cls.__struct_config__.tag
        section = text.partition(f"\n| `{kind or frame.cls.__name__}` |")[2].partition("\n|")[0]
        assert section, f"{frame.cls.__name__} has no row"
        for field in frame.fields:
            assert f"`{field.name}`" in section, f"{frame.cls.__name__}.{field.name}"


def test_every_command_is_documented_and_light() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    ours = [verb for verb, _, _ in VERBS if verb in {name.split()[0] for name in EVERY} | {"kill"}]
    assert len(ours) == 12
    for verb in ours:
        assert f"interlock {verb}" in text
    program = "import sys, importlib; [importlib.import_module(f'interlock.cli.{v}') for v in sys.argv[1:]]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, *ours], capture_output=True, text=True, check=True)
    assert not {"numpy", "numba", "pyarrow", "pydantic", "aiohttp"} & set(done.stdout.split())
