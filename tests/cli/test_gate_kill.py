"""`interlock kill`: the sentinel first, the gate beside it, and nothing is done before FINAL."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.gate_world import ME, Gate, away, says, sentinel, spawn, told
from tests.sentinel.world import VENUES, Hand, config_of, gate_part, ports_of, running, until

from interlock.cli import exit_codes
from interlock.cli.kill import PATIENCE, Reached
from interlock.cli.main import main
from interlock.gate import frames as f
from interlock.gate.frames import Role
from interlock.sentinel.operation import Event
from interlock.simulate.fake_venue.server import Addresses

# Kill


def test_a_kill_is_done_when_the_sentinel_says_final(tmp_path: Path, fake: Addresses, capsys: pytest.CaptureFixture[str]) -> None:
    hand = Hand(fake)
    for venue in VENUES:
        hand.place(venue, 3)
    config = msgspec.structs.replace(config_of(tmp_path, ports_of(fake)), folder=tmp_path / "run")
    with away(tmp_path) as there, running(config):
        assert main(["kill", "--socket", there.path(Role.LOWER), "--json"]) == exit_codes.DONE
        shown = capsys.readouterr()
    found = json.loads(shown.out)
    names = [event["event"] for event in found["events"]]
    assert (found["result"], found["gate"], found["unresolved"]) == ("FINAL", "told", {})
    assert set(found) == {"result", "gate", "took_ms", "unresolved", "events"}
    assert (names[0], names[-1]) == ("REQUESTED", "FINAL")
    assert "SWEPT" in names
    assert "VENUE_SWEPT boot_ns=" in shown.err
    assert not any(hand.open(venue) for venue in VENUES)
    hand.close()


def test_a_gate_that_stands_still_delays_no_kill(tmp_path: Path, fake: Addresses, capsys: pytest.CaptureFixture[str]) -> None:
    with away(tmp_path) as there:
        config = config_of(tmp_path, ports_of(fake), gate=gate_part(there.identity.pid))
        with running(config) as process:
            os.kill(there.identity.pid, signal.SIGSTOP)
            line = ["kill", "--socket", there.path(Role.LOWER), "--sentinel", str(process.path)]
            assert main([*line, "--json"]) == exit_codes.DONE
    found = told(capsys)
    assert found["result"] == "FINAL"
    assert found["gate"].startswith("did not answer: ")


REQUESTED: Event = {"event": "REQUESTED", "scope": "all"}
NOT_FINAL: dict[str, tuple[Callable[[Mapping[str, Any]], Iterator[Event]], str, str]] = {
    "it hangs up at once": (says(), "UNCONFIRMED", "hung up"),
    "it refuses": (says({"event": "REFUSED", "reason": "who are you"}), "UNCONFIRMED", "who are you"),
    "it swept": (says(REQUESTED, {"event": "SWEPT"}), "SWEPT", "by hand"),
    "something came late": (says(REQUESTED, {"event": "SWEPT"}, {"event": "LATE"}), "UNCONFIRMED", "by hand"),
    "a wider one took over": (says(REQUESTED, {"event": "SWEPT"}, {"event": "SUPERSEDED"}, REQUESTED), "UNCONFIRMED", "by hand"),
}


@pytest.mark.parametrize(("answer", "result", "says_so"), NOT_FINAL.values(), ids=NOT_FINAL)
def test_nothing_is_done_before_final(
    gate: Gate,
    answer: Callable[[Mapping[str, Any]], Iterator[Event]],
    result: str,
    says_so: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with sentinel(gate.folder, answer):
        assert main(["kill", "--socket", gate.path(Role.LOWER), "--json"]) == exit_codes.REFUSED
        shown = capsys.readouterr()
        found = json.loads(shown.out)
        assert (found["result"], found["gate"]) == (result, "told")
        assert says_so in shown.err
        assert "all clear" not in shown.out + shown.err
        assert gate.wanted == [f.Kill(source="interlock kill")]


def test_without_a_sentinel_the_gate_is_told_anyway(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kill", "--socket", gate.path(Role.LOWER), "--json"]) == exit_codes.REFUSED
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert (found["result"], found["gate"], found["events"]) == ("UNCONFIRMED", "told", [])
    assert "cancel there by hand" in shown.err
    assert gate.wanted == [f.Kill(source="interlock kill")]
    # Nor to one of another user.
    with sentinel(gate.folder, says(REQUESTED, {"event": "FINAL"})):
        line = ["kill", "--socket", gate.path(Role.LOWER)]
        assert main([*line, "--sentinel-user", str(ME + 1)]) == exit_codes.REFUSED
        assert "do not trust it" in capsys.readouterr().err
        assert main(line) == exit_codes.DONE
        assert capsys.readouterr().out.startswith("FINAL after ")


def test_a_sentinel_that_is_silent_does_not_keep_the_gate_from_being_told(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    def silent(_request: Mapping[str, Any]) -> Iterator[Event]:
        until(lambda: gate.wanted != [])
        yield REQUESTED
        yield {"event": "FINAL"}

    with sentinel(gate.folder, silent):
        assert main(["kill", "--socket", gate.path(Role.LOWER), "--json"]) == exit_codes.DONE
    assert told(capsys)["gate"] == "told"


@pytest.mark.parametrize(
    ("answer", "says_so"),
    [(f.Refusal(rule="internal_error", detail="broke"), "it refused, internal_error: broke"), (f.Decided(decisions=()), "it said Decided")],
)
def test_a_gate_that_does_not_do_it_fails_no_kill(gate: Gate, answer: f.Frame, says_so: str, capsys: pytest.CaptureFixture[str]) -> None:
    gate.answers[f.Kill] = answer
    with sentinel(gate.folder, says(REQUESTED, {"event": "FINAL"})):
        assert main(["kill", "--socket", gate.path(Role.LOWER), "--json"]) == exit_codes.DONE
    assert told(capsys)["gate"] == f"did not answer: {says_so}"


def test_no_wait_comes_back_and_is_not_done(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["kill", "--socket", gate.path(Role.LOWER), "--no-wait", "--json"]
    with sentinel(gate.folder, says(REQUESTED, {"event": "SWEPT"}, then=60)):
        assert main(line) == exit_codes.REFUSED
        shown = capsys.readouterr()
        assert json.loads(shown.out)["result"] == "SWEPT"
        assert "goes on" in shown.err
    with sentinel(gate.folder, says(REQUESTED, then=60)):
        assert main(line) == exit_codes.REFUSED
        found = told(capsys)
        assert found["result"] == "UNCONFIRMED"
        assert 1000 <= found["took_ms"] < 5000
    with sentinel(gate.folder, says(REQUESTED, {"event": "FINAL"})):
        assert main(line) == exit_codes.DONE


VENUES_SWEPT = ({"event": "VENUE_SWEPT", "venue": "a"}, {"event": "VENUE_SWEPT", "venue": "b"}, {"event": "SWEPT"})
STUCK = {"event": "UNRESOLVED", "venue": "a", "reason": "the venue does not tell how these ended: x1", "client_ids": ["x1"]}
UNSURE = {"event": "UNRESOLVED", "venue": "a", "reason": "it is not certain that the gate has stopped", "client_ids": []}
B_IS_FINAL = {"event": "VENUE_FINAL", "venue": "b"}
WAITED = ({"event": "WAITING"},) * PATIENCE


def test_what_waiting_makes_no_clearer_is_named_and_not_waited_for(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["kill", "--socket", gate.path(Role.LOWER), "--json"]
    with sentinel(gate.folder, says(REQUESTED, *VENUES_SWEPT, STUCK, B_IS_FINAL, *WAITED, then=60)):
        assert main(line) == exit_codes.REFUSED
        shown = capsys.readouterr()
        found = json.loads(shown.out)
        assert (found["result"], found["unresolved"]) == ("SWEPT", {"a": STUCK["reason"]})
        assert "ask the venue itself about them" in shown.err


@pytest.mark.parametrize(
    "events",
    [
        (*VENUES_SWEPT, *WAITED),  # nothing is stuck yet
        (*VENUES_SWEPT, STUCK, *WAITED),  # the other venue may still become final
        (*VENUES_SWEPT, STUCK, B_IS_FINAL, *WAITED[1:]),
        (*VENUES_SWEPT, STUCK, B_IS_FINAL, *WAITED[1:], {"event": "TROUBLE"}, *WAITED[1:]),
        (*VENUES_SWEPT, STUCK, B_IS_FINAL, {"event": "LATE", "venue": "a"}, *WAITED),
        (*VENUES_SWEPT, STUCK, B_IS_FINAL, {"event": "RESOLVING", "venue": "a"}, *WAITED),
        (*VENUES_SWEPT, STUCK, B_IS_FINAL, {"event": "SUPERSEDED"}, *VENUES_SWEPT, *WAITED),
        # Where it is the gate that may still send, nobody is told that nothing is open any more.
        (*VENUES_SWEPT, UNSURE, B_IS_FINAL, *WAITED),
        (*VENUES_SWEPT, STUCK, B_IS_FINAL, UNSURE, *WAITED),
    ],
)
def test_what_may_still_become_final_is_waited_for(gate: Gate, events: tuple[Event, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with sentinel(gate.folder, says(REQUESTED, *events, {"event": "FINAL"})):
        assert main(["kill", "--socket", gate.path(Role.LOWER), "--json"]) == exit_codes.DONE
    assert told(capsys)["result"] == "FINAL"


def test_ctrl_c_ends_the_command_and_not_the_kill(gate: Gate) -> None:
    with sentinel(gate.folder, says(REQUESTED, then=60)):
        command = spawn("kill", "--socket", gate.path(Role.LOWER), "--json")
        assert command.stderr is not None
        assert command.stderr.readline()
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=20)
    assert command.returncode == exit_codes.INTERRUPTED
    found = json.loads(out)
    assert (found["result"], found["gate"]) == ("UNCONFIRMED", "told")
    assert "the sentinel goes on stopping" in err


@pytest.mark.parametrize(("events", "says_so"), [((REQUESTED,), "goes on stopping"), ((), "before the sentinel had it")])
def test_an_interruption_says_whether_the_sentinel_has_it(
    gate: Gate, events: tuple[Event, ...], says_so: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(_request: Mapping[str, Any]) -> Iterator[Event]:
        yield from events
        until(lambda: gate.wanted != [] or not events)
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: gate.wanted != [])

    with sentinel(gate.folder, answer):
        assert main(["kill", "--socket", gate.path(Role.LOWER), "--json"]) == exit_codes.INTERRUPTED
    shown = capsys.readouterr()
    assert json.loads(shown.out)["gate"] == "told"
    assert says_so in shown.err


def test_what_comes_after_final_changes_nothing() -> None:
    reached = Reached()
    for name in ("REQUESTED", "SWEPT", "LATE", "SWEPT", "FINAL", "LATE"):
        reached.see({"event": name})
    assert (reached.result, reached.taken) == ("FINAL", True)
