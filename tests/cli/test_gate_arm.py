"""`interlock arm` and `interlock drill`: the ceremony by a script and by a person, and a gate that stands still and always goes on."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.gate_world import ENVIRONMENT, ME, NONCE, SCRIPTED, Away, Gate, away, error_of, says, sentinel, spawn, told
from tests.sentinel.world import Hand, config_of, ports_of, running, until

from interlock.cli import exit_codes
from interlock.cli.gate_client import refusals_of
from interlock.cli.main import main
from interlock.gate import frames as f
from interlock.gate.frames import Role
from interlock.sentinel import control
from interlock.sentinel.gate_process import Life, look
from interlock.sentinel.operation import Event
from interlock.simulate.fake_venue.server import Addresses

# Arming


@pytest.mark.usefixtures("environment")
def test_a_script_arms_with_this_terminals_environment(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["arm", "--socket", gate.path(Role.RAISE), *SCRIPTED, "--max-notional-usd", "50", "--for", "10m"]
    assert main([*line, "--json"]) == exit_codes.DONE
    assert told(capsys) == {
        "result": "ARMED",
        "grant_id": "g1",
        "cap_usd": "100",
        "expires_in_s": 600,
        "mandate_until_in_s": 87_000,
        "drill": None,
    }
    begin, answer = gate.wanted
    assert isinstance(begin, f.ArmBegin)
    assert isinstance(answer, f.ArmAnswer)
    expected = f.ArmBegin(
        conditions=ENVIRONMENT,
        max_notional_usd="50",
        lifetime_ns=600 * 10**9,
        mandate_ns=86_400 * 10**9,
        scripted=True,
        state_version=41,
        nonce=begin.nonce,
    )
    assert begin == expected
    assert (answer.challenge_id, answer.acknowledgement, answer.phrase) == ("c1", SCRIPTED[2], "arm main for 100 USD 01234567")
    assert NONCE.fullmatch(begin.nonce)
    assert NONCE.fullmatch(answer.level_nonce)
    assert begin.nonce != answer.level_nonce
    assert main([*line, "--mandate", "0s"]) == exit_codes.DONE
    assert "armed up to 100 USD for 600 s" in capsys.readouterr().out


def test_what_the_environment_does_not_have_is_not_sent(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIVE_ARM_AT", " soon ")
    assert main(["arm", "--socket", gate.path(Role.RAISE), *SCRIPTED, "--for", "1d", "--json"]) == exit_codes.DONE
    begin = gate.wanted[0]
    assert isinstance(begin, f.ArmBegin)
    assert (begin.conditions, begin.max_notional_usd) == ({"LIVE_ARM_AT": " soon "}, "")


def test_every_reason_not_to_arm_is_told(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    reasons = [{"rule": "ack_missing", "message": "expected it"}, {"rule": "check_clock", "message": "unknown"}]
    gate.answers[f.ArmBegin] = f.Refusal(rule="ack_missing", detail=json.dumps(reasons))
    line = ["arm", "--socket", gate.path(Role.RAISE), *SCRIPTED, "--for", "10m"]
    assert main([*line, "--json"]) == exit_codes.REFUSED
    assert told(capsys) == {"result": "REFUSED", "refusals": reasons}
    assert main(line) == exit_codes.REFUSED
    assert capsys.readouterr().out == "refused, ack_missing: expected it\nrefused, check_clock: unknown\n"
    gate.answers[f.ArmBegin] = f.Challenge(challenge_id="c1", phrase="p")
    gate.answers[f.ArmAnswer] = f.Refusal(rule="answer_phrase", detail="expected another")
    assert main([*line, "--json"]) == exit_codes.REFUSED
    assert told(capsys)["refusals"] == [{"rule": "answer_phrase", "message": "expected another"}]


@pytest.mark.parametrize(
    "detail", ["plain words", "[]", "7", '[{"rule": "a"}]', '{"rule": "a", "message": "b"}', '[{"rule": 1, "message": "b"}]']
)
def test_a_detail_that_is_no_list_of_refusals_is_one_refusal(detail: str) -> None:
    assert refusals_of(f.Refusal(rule="r", detail=detail)) == [{"rule": "r", "message": detail}]
    many = [{"rule": "a", "message": "b"}, {"rule": "c", "message": "d"}]
    assert refusals_of(f.Refusal(rule="r", detail=json.dumps(many))) == many


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, typed: bytes, *names: str) -> Iterator[int]:
    """A terminal behind these streams of the process, with something typed in advance."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        with open(theirs, "r+b", buffering=0, closefd=False) as raw:
            for name in names:
                mode = "r" if name == "stdin" else "w"
                monkeypatch.setattr(sys, name, open(raw.fileno(), mode, closefd=False, encoding="utf-8"))  # noqa: SIM115 - closed below
            yield ours
            for name in names:
                getattr(sys, name).close()
            monkeypatch.undo()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("screen", ["stderr", "stdout"])
def test_a_person_sees_what_is_asked_for_and_types_the_answer(
    gate: Gate, screen: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gate.report["drill_symbols"] = ["bybit/BTCUSDT"]
    typed = b"I_UNDERSTAND_LIVE_RISK\narm it for me\n"
    more = ["--json"] if screen == "stderr" else []
    with terminal(monkeypatch, typed, "stdin", screen) as ours:
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        code = main(["arm", "--socket", gate.path(Role.RAISE), "--for", "10m", *more])
        shown = ""
        while "01234567\r\n" not in shown and select.select([ours], [], [], 5)[0]:
            shown += os.read(ours, 1 << 16).decode()
    assert code == exit_codes.DONE
    for word in ("bybit main", "cap, USD: 100", "bybit/BTCUSDT", "lifetime, s: 600", "arm main for 100 USD 01234567", "I_UNDERSTAND"):
        assert word in shown
    if screen == "stderr":
        assert told(capsys)["result"] == "ARMED"
        assert "run `interlock drill` on bybit/BTCUSDT first" in shown
    begin, answer = gate.wanted
    assert isinstance(begin, f.ArmBegin)
    assert isinstance(answer, f.ArmAnswer)
    assert not begin.scripted
    assert (answer.acknowledgement, answer.phrase) == ("I_UNDERSTAND_LIVE_RISK", "arm it for me")


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        (None, "not told"),
        ({"looser_than_before": []}, "none"),
        ({"looser_than_before": ["account.max_drawdown_usd: expected at most 9", "b"]}, "account.max_drawdown_usd: expected at most 9; b"),
    ],
)
def test_a_person_who_arms_sees_which_limits_are_looser_than_before(
    gate: Gate, limits: Any, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.report["limits"] = limits
    with terminal(monkeypatch, b"I_UNDERSTAND_LIVE_RISK\narm it for me\n", "stdin", "stdout") as ours:
        assert main(["arm", "--socket", gate.path(Role.RAISE), "--for", "10m"]) == exit_codes.DONE
        seen = ""
        while "01234567\r\n" not in seen and select.select([ours], [], [], 5)[0]:
            seen += os.read(ours, 1 << 16).decode()
    assert f"limits looser than in the life before: {shown}\r\n" in seen


def test_a_person_who_hangs_up_arms_nothing(gate: Gate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal(monkeypatch, b"I_UNDERSTAND_LIVE_RISK\n\x04", "stdin", "stderr"):
        assert main(["arm", "--socket", gate.path(Role.RAISE), "--for", "10m", "--json"]) == exit_codes.REFUSED
    assert "end of the input" in error_of(capsys)
    assert [type(frame) for frame in gate.wanted] == [f.ArmBegin]


@pytest.mark.parametrize("streams", [(), ("stdin",), ("stderr",), ("stdin", "stdout")])
def test_no_person_at_a_terminal_is_refused(
    gate: Gate, streams: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # With --json a terminal on stdout alone is none: nothing but the object may stand there.
    with terminal(monkeypatch, b"", *streams):
        assert main(["arm", "--socket", gate.path(Role.RAISE), "--for", "10m", "--json"]) == exit_codes.REFUSED
        sys.stdout.flush()
    assert gate.asked == []


# The drill, with a gate in a process of its own


@pytest.mark.usefixtures("environment")
def test_a_drill_stops_the_gate_and_lets_the_sentinel_cancel(tmp_path: Path, fake: Addresses, capsys: pytest.CaptureFixture[str]) -> None:
    hand = Hand(fake)
    config = config_of(tmp_path, {"bybit": ports_of(fake)["bybit"]})
    with away(tmp_path, "bybit/BTCUSDT", report={"sentinel": str(config.folder / control.NAME)}) as there, running(config):
        hand.place("bybit", 1)
        line = ["--socket", there.path(Role.RAISE), *SCRIPTED, "--json"]
        assert main(["arm", *line, "--for", "10m"]) == exit_codes.DONE
        found = told(capsys)
        run = {"symbol": "bybit/BTCUSDT", "drill_id": "d", "client_id": "mk01000000", "verdict": "PASS"}
        counts = {"placed": 1, "cancelled": 1, "remaining": 0, "detail": "seen", "sentinel": "PASS"}
        assert (found["result"], found["drill"]) == ("ARMED", {"verdict": "PASS", "runs": [{**run, **counts}]})
        assert hand.open("bybit") == []
        assert there.ends() == [{"drill_id": "d", "verdict": "PASS", "cancelled": {"bybit": 1}}]
        assert look(there.identity) is Life.RUNS
        # Nothing rests this time: the sentinel proves nothing, and the gate's word is what counts.
        assert main(["drill", *line, "--symbol", "bybit/BTCUSDT"]) == exit_codes.REFUSED
        found = told(capsys)
        assert (found["result"], found["drills"][0]["sentinel"]) == ("FAIL", "UNKNOWN")
        assert main(["drill", *line]) == exit_codes.USAGE
        assert "no drill is due" in error_of(capsys)
    hand.close()


DRILLED: Event = {"event": "DRILLED", "verdict": "PASS", "cancelled": {"bybit": 1}}
PROVES_LESS: dict[str, tuple[Callable[[Mapping[str, Any]], Iterator[Event]], str, str, str]] = {
    "it passed": (says({"event": "DRILL"}, DRILLED), "", "PASS", "seen"),
    "the gate does not know": (says(DRILLED), "UNKNOWN", "UNKNOWN", "seen"),
    "the gate says nonsense": (says(DRILLED), "pass", "UNKNOWN", "seen"),
    "the sentinel failed, whatever the gate says": (says({**DRILLED, "verdict": "FAIL"}), "PASS", "FAIL", "seen"),
    "the sentinel refuses": (says({"event": "REFUSED", "reason": "a stop is under way"}), "PASS", "FAIL", "a stop is under way"),
    "the sentinel hangs up": (says({"event": "DRILL"}), "PASS", "FAIL", "hung up"),
    "the sentinel counts nonsense": (says({**DRILLED, "cancelled": {"bybit": "1"}}), "PASS", "FAIL", "counts by venue"),
}


@pytest.mark.parametrize(("answer", "verdict", "result", "says_so"), PROVES_LESS.values(), ids=PROVES_LESS)
def test_a_drill_that_proves_less_is_no_pass_and_the_gate_goes_on(
    tmp_path: Path,
    answer: Callable[[Mapping[str, Any]], Iterator[Event]],
    verdict: str,
    result: str,
    says_so: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with sentinel(tmp_path / "run", answer), away(tmp_path, "bybit/BTCUSDT", "upbit/BTC", verdict=verdict) as there:
        code = main(["drill", "--socket", there.path(Role.RAISE), *SCRIPTED, "--json"])
        found = told(capsys)
        assert (code, found["result"]) == (exit_codes.DONE if result == "PASS" else exit_codes.REFUSED, result)
        assert says_so in found["drills"][0]["detail"]
        # One that did not pass is the last.
        assert len(there.ends()) == len(found["drills"]) == (2 if result == "PASS" else 1)
        assert look(there.identity) is Life.RUNS


def test_a_script_does_not_arm_after_a_drill_that_did_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sentinel(tmp_path / "run", says(DRILLED)), away(tmp_path, "bybit/BTCUSDT", verdict="FAIL") as there:
        assert main(["arm", "--socket", there.path(Role.RAISE), *SCRIPTED, "--for", "10m", "--json"]) == exit_codes.REFUSED
        assert told(capsys) == {"result": "REFUSED", "refusals": [{"rule": "drill", "message": "bybit/BTCUSDT: FAIL, seen"}]}


def test_no_sentinel_and_the_wrong_process_end_the_drill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with away(tmp_path, "bybit/BTCUSDT", verdict="PASS") as there:
        line = ["drill", "--socket", there.path(Role.RAISE), *SCRIPTED, "--json"]
        assert main([*line, "--sentinel", str(tmp_path / "none")]) == exit_codes.REFUSED
        assert "Is it running" in told(capsys)["drills"][0]["detail"]
        assert main([*line, "--symbol", "bybit/BTCUSDT", "--sentinel-user", str(ME + 1)]) == exit_codes.REFUSED
        told(capsys)
        assert [end["verdict"] for end in there.ends()] == ["UNKNOWN", "UNKNOWN"]
        assert look(there.identity) is Life.RUNS
    other = tmp_path / "other"
    other.mkdir()
    with sentinel(other / "run", says(DRILLED)), away(other, "bybit/BTCUSDT", report={"pid": os.getpid()}, verdict="PASS") as there:
        assert main(["drill", "--socket", there.path(Role.RAISE), *SCRIPTED, "--json"]) == exit_codes.REFUSED
        assert f"found {os.getpid()} in its answer" in told(capsys)["drills"][0]["detail"]
        assert there.ends() == [{"drill_id": "d", "verdict": "UNKNOWN", "cancelled": {}}]


def test_a_gate_in_our_own_process_is_not_stopped(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--socket", gate.path(Role.RAISE), "--symbol", "bybit/BTCUSDT", *SCRIPTED, "--json"]) == exit_codes.REFUSED
    assert "process of its own" in error_of(capsys)
    assert gate.wanted == []


def test_a_refused_ceremony_of_a_drill_places_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reasons = [{"rule": "killed", "message": "start anew"}]
    with away(tmp_path, "bybit/BTCUSDT", refuse=reasons) as there:
        line = ["drill", "--socket", there.path(Role.RAISE), *SCRIPTED]
        assert main([*line, "--json"]) == exit_codes.REFUSED
        assert told(capsys) == {"result": "REFUSED", "refusals": reasons, "drills": []}
        assert main(line) == exit_codes.REFUSED
        assert capsys.readouterr().out == "refused, killed: start anew\n"
        assert there.ends() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_drill_that_is_interrupted_lets_the_gate_go_on(tmp_path: Path, number: signal.Signals) -> None:
    with sentinel(tmp_path / "run", says({"event": "DRILL"}, then=60)), away(tmp_path, "bybit/BTCUSDT") as there:
        command = spawn("drill", "--socket", there.path(Role.RAISE), *SCRIPTED, "--json")
        until(lambda: look(there.identity) is Life.STOPPED)
        command.send_signal(number)
        out, _ = command.communicate(timeout=20)
        assert command.returncode == exit_codes.INTERRUPTED
        assert json.loads(out)["error"]["kind"] == "Interrupted"
        assert look(there.identity) is Life.RUNS
        assert there.ends() == [{"drill_id": "d", "verdict": "UNKNOWN", "cancelled": {}}]


def test_an_interrupted_drill_in_this_process_leaves_its_signals_as_they_were(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(_request: Mapping[str, Any]) -> Iterator[Event]:
        yield {"event": "DRILL"}
        os.kill(os.getpid(), signal.SIGTERM)
        yield from says(then=60)({})

    before = signal.getsignal(signal.SIGTERM)
    with sentinel(tmp_path / "run", answer), away(tmp_path, "bybit/BTCUSDT") as there:
        assert main(["drill", "--socket", there.path(Role.RAISE), *SCRIPTED, "--json"]) == exit_codes.INTERRUPTED
        assert look(there.identity) is Life.RUNS
        assert [end["verdict"] for end in there.ends()] == ["UNKNOWN"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_gate_that_dies_in_its_drill_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gates: list[Away] = []

    def answer(_request: Mapping[str, Any]) -> Iterator[Event]:
        os.kill(gates[0].identity.pid, signal.SIGKILL)
        yield {"event": "DRILLED", "verdict": "PASS", "cancelled": {"bybit": 1}}

    with sentinel(tmp_path / "run", answer), away(tmp_path, "bybit/BTCUSDT") as there:
        gates.append(there)
        assert main(["drill", "--socket", there.path(Role.RAISE), *SCRIPTED, "--json"]) == exit_codes.REFUSED
    assert "look at `status`" in error_of(capsys)
