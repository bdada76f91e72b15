"""`interlock attest`: what it sends, what a person reads and types, what a script has to know, and how it is refused."""

from __future__ import annotations

import json
import os
import select
from pathlib import Path
from typing import Any

import pytest
from tests.cli.gate_world import KEY, NONCE, WORDS, Gate, error_of, listening, told
from tests.cli.test_gate_arm import terminal

from interlock.cli import exit_codes
from interlock.cli.main import main
from interlock.gate import frames as f
from interlock.gate.frames import Role
from interlock.gate.sockets import Peer

SCRIPT = ["--scripted", "--statement", WORDS]
DAY_NS = 86_400 * 10**9


def line(gate: Gate, *more: str) -> list[str]:
    return ["attest", "--socket", gate.path(Role.RAISE), "--venue", "bybit", "--for", "30d", *more]


def wanted(gate: Gate) -> list[f.Attest]:
    found = [one for one in gate.wanted if isinstance(one, f.Attest)]
    assert len(found) == len(gate.wanted)
    return found


def test_a_script_says_what_the_gate_dictates(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--trade", "yes", "--withdraw", "no", "--transfer", "no", "--address-bound", "yes", "--expires", "2027-01-31"]
    assert main(line(gate, *options, *SCRIPT, "--json")) == exit_codes.DONE
    assert told(capsys) == {
        "result": "ATTESTED",
        "venue": "bybit",
        "account": "main",
        "until": "2027-01-15T08:00:00+00:00",
        "fingerprint": KEY,
        "facts": ["withdraws no"],
        "disarmed": False,
        "state_version": 42,
    }
    asked, said = wanted(gate)
    about: dict[str, Any] = {"venue": "bybit", "account": "main", "for_ns": 30 * DAY_NS, "scripted": True, "state_version": 41}
    facts: dict[str, Any] = {"trade": True, "withdraw": False, "transfer": False, "address_bound": True}
    facts["expires_wall_ns"] = 1_801_353_600 * 10**9
    assert asked == f.Attest(**about, **facts, fingerprint="", statement="", nonce=asked.nonce)
    assert said == f.Attest(**about, **facts, fingerprint=KEY, statement=WORDS, nonce=said.nonce)
    assert NONCE.fullmatch(asked.nonce)
    assert NONCE.fullmatch(said.nonce)
    assert asked.nonce != said.nonce


def test_what_is_left_out_is_not_said(gate: Gate) -> None:
    assert main(line(gate, "--expires", "never", *SCRIPT)) == exit_codes.DONE
    (said, _) = wanted(gate)
    assert (said.trade, said.withdraw, said.transfer, said.address_bound, said.expires_wall_ns) == (None, None, None, None, 0)
    assert main(line(gate, "--withdraw", "yes", *SCRIPT)) == exit_codes.DONE
    said = wanted(gate)[-1]
    assert (said.withdraw, said.expires_wall_ns) == (True, None)


def test_a_person_reads_whose_key_it_is_and_types_the_words(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, f"{WORDS}\n".encode(), "stdin", "stdout") as ours:
        assert main(line(gate, "--withdraw", "no")) == exit_codes.DONE
        shown = ""
        while "until 2027" not in shown and select.select([ours], [], [], 5)[0]:
            shown += os.read(ours, 1 << 16).decode()
    for word in (
        "bybit main for 30d",
        f"key: {KEY} (",
        "does not tell: withdraw",
        f"type this:\r\n  {WORDS}\r\n",
        f"attested of key {KEY}",
    ):
        assert word in shown
    asked, said = wanted(gate)
    assert (asked.scripted, said.scripted, said.statement) == (False, False, WORDS)


class Typing(Gate):
    """While a person types, the state moves on, and somebody else attests if `other` says so."""

    other: dict[str, Any] | None = None

    async def __call__(self, role: Role, peer: Peer, request: f.Frame) -> f.Frame:
        answer = await super().__call__(role, peer, request)
        if isinstance(answer, f.Dictated):
            self.state_version += 5
            self.report = {**self.report, "attestations": [self.other] if self.other else []}
        return answer


def test_what_happens_to_the_state_while_a_person_types_spends_no_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(tmp_path, Typing) as gate, terminal(monkeypatch, f"{WORDS}\n".encode(), "stdin", "stderr"):
        assert main(line(gate, "--withdraw", "no", "--json")) == exit_codes.DONE
    assert [one.state_version for one in wanted(gate)] == [41, 46]
    monkeypatch.setattr(Typing, "other", {"venue": "bybit", "account": "main", "fingerprint": KEY, "facts": ["x"], "until": "2027"})
    capsys.readouterr()
    with listening(tmp_path, Typing) as gate, terminal(monkeypatch, f"{WORDS}\n".encode(), "stdin", "stderr"):
        assert main(line(gate, "--withdraw", "no", "--json")) == exit_codes.REFUSED
    assert "found it changed" in error_of(capsys)
    assert [one.state_version for one in wanted(gate)] == [41], "only asked for the words"


def test_a_person_who_hangs_up_attests_nothing(gate: Gate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal(monkeypatch, b"\x04", "stdin", "stderr"):
        assert main(line(gate, "--withdraw", "no", "--json")) == exit_codes.REFUSED
    assert "nothing was attested" in error_of(capsys)
    assert len(wanted(gate)) == 1


def test_no_person_at_a_terminal_is_refused(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line(gate, "--withdraw", "no", "--json")) == exit_codes.REFUSED
    assert "--scripted --statement WORDS" in error_of(capsys)
    assert gate.asked == []


def test_every_reason_of_a_refusal_is_told(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    many = [{"rule": "scripted", "message": "m"}, {"rule": "attest_for", "message": "n"}]
    gate.answers[f.Attest] = f.Refusal(rule="scripted", detail=json.dumps(many))
    assert main(line(gate, "--withdraw", "no", *SCRIPT, "--json")) == exit_codes.REFUSED
    assert told(capsys) == {"result": "REFUSED", "refusals": many}
    assert main(line(gate, "--withdraw", "no", *SCRIPT)) == exit_codes.REFUSED
    assert capsys.readouterr().out == "refused, scripted: m\nrefused, attest_for: n\n"


def test_an_ended_grant_is_told(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line(gate, "--withdraw", "no", *SCRIPT)) == exit_codes.DONE
    assert capsys.readouterr().out == f"attested of key {KEY} at bybit until 2027-01-15T08:00:00+00:00\n"
    gate.answers[f.Attest] = f.Dictated(fingerprint=KEY, phrase=WORDS, untold=())
    assert main(line(gate, "--withdraw", "no", *SCRIPT)) == exit_codes.REFUSED, "no Done came"
    assert "expected Done, found Dictated" in capsys.readouterr().err
    del gate.answers[f.Attest]
    gate.attested["disarmed"] = True
    assert main(line(gate, "--withdraw", "no", *SCRIPT)) == exit_codes.DONE
    assert "the grant was ended" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--scripted"], "--statement: expected the words"),
        (["--statement", WORDS], "--statement: expected only with --scripted"),
        ([*SCRIPT, "--expires", "2027-02-30"], "--expires: expected a day such as 2027-01-31, or never"),
        ([*SCRIPT, "--expires", "1970-01-01"], "--expires: expected a day to come"),
        ([*SCRIPT, "--expires", "1903-01-01"], "--expires: expected a day to come"),
        ([*SCRIPT, "--for", "30x"], "--for: expected a duration"),
        ([*SCRIPT, "--venue", "upbit"], "--venue: expected one of bybit, found 'upbit'"),
        ([*SCRIPT, "--withdraw", "perhaps"], "withdraw"),
    ],
)
def test_wrong_usage_attests_nothing(gate: Gate, more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = [one for one in line(gate) if one not in ("--for", "30d")] if "--for" in more else line(gate)
    if "--venue" in more:
        given = [one for one in given if one not in ("--venue", "bybit")]
    assert main([*given, *more, "--json"]) == exit_codes.USAGE
    assert said in error_of(capsys)
    assert gate.wanted == []
