"""`interlock watch` in a real terminal beside a real gate at a fake venue: what it shows, the key that kills, and how it leaves the terminal.

Cost: two gates, some ten seconds each.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.console.terminal import Terminal, terminal
from tests.gate.serving import INTERLOCK, Serving, bare_environment, command, serving

from interlock.cli.main import main


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gate that nobody arms and nobody kills."""
    with serving(tmp_path_factory.mktemp("watched")) as made:
        yield made


def watching(gate: Serving) -> list[str]:
    return [*INTERLOCK, "watch", "--run", str(gate.folder)]


def left_as_it_was(shown: Terminal) -> bool:
    """Whether the terminal is set as before, shows its own screen again, and its cursor."""
    text = shown.text
    return shown.attributes == shown.before and text.rindex("\x1b[?1049l") > text.rindex("\x1b[?1049h") and "\x1b[?25h" in text


def test_a_gate_from_its_grant_to_its_kill_and_its_death(tmp_path: Path) -> None:
    with serving(tmp_path / "gate") as gate, terminal(watching(gate), bare_environment()) as shown:
        shown.shows("NOT ARMED", "level halt", "bybit:BTCUSDT", "K kill")
        gate.armed()
        shown.shows(" ARMED until ", "s left), cap 100 USD", "level run", "armed for 600 s (trade)")
        # An order that fills and leaves a position, and one that rests.
        code, filled = gate.intent(tif="ioc", ticks=500_001)
        assert (code, filled["result"]) == (0, "PERMIT"), filled
        shown.shows("positions", "fill buy 1 lots bybit:BTCUSDT", "1 fills", "max_order_notional_usd", "headroom")
        code, rests = gate.intent(side="sell", ticks=500_002)
        assert (code, rests["result"]) == (0, "PERMIT"), rests
        shown.shows(rests["client_id"], "1 live", "open")
        frozen = ("--level", "reduce_only", "--reason", "a look", "--scope", "symbol", "--subject", "bybit/BTCUSDT")
        code, told = command("freeze", "--socket", gate.paths["lower"], *frozen)
        assert code == 0, told
        shown.shows("latches and trips", "latched", "LATCH")
        # A smaller window is used as it is: the state stays in sight, nothing is wider than it.
        shown.resize(60, 12)
        shown.until(lambda: shown.screen and max(len(line) for line in shown.screen.splitlines()) <= 60)
        shown.shows("ARMED until")
        shown.resize(140, 50)
        # The gate stands still: it is gone, and nothing of its last state is shown.
        os.kill(gate.process.pid, signal.SIGSTOP)
        try:
            shown.shows("GATE GONE", "nothing of its last state is shown")
            assert "ARMED until" not in shown.screen
            assert rests["client_id"] not in shown.screen.split("last events")[0]
        finally:
            os.kill(gate.process.pid, signal.SIGCONT)


def test_a_kill_by_two_keys_goes_through_the_sentinel(tmp_path: Path) -> None:
    with serving(tmp_path / "gate") as gate, terminal(watching(gate), bare_environment()) as shown:
        gate.armed()
        code, rests = gate.intent()
        assert (code, rests["result"]) == (0, "PERMIT"), rests
        shown.shows(" ARMED until ", rests["client_id"])
        # One K alone, or with another key after it, kills nobody.
        shown.type("K")
        shown.shows("KILL? every order of the account is cancelled")
        shown.type("x")
        shown.until(lambda: "KILL?" not in shown.screen)
        for keys in ("k", "\x1b[A", "\r", "q K"):
            shown.type(keys)
            shown.draws_anew()
        assert gate.open_at_venue() == [rests["client_id"]]
        assert gate.report()["killed"] == "none"
        shown.type("K")
        shown.shows("KILL?")
        shown.type("K")
        shown.shows("kill  FINAL", "KILL effective", "NOT ARMED")
        assert gate.open_at_venue() == []
        gate.die()
        shown.shows("GATE GONE", "kill  FINAL")
        assert "KILL effective" not in shown.screen
        shown.type("\x03")
        assert shown.end() == 130
        assert left_as_it_was(shown)


@pytest.mark.parametrize(("how", "code"), [("q", 0), ("\x03", 130), (signal.SIGTERM, 130)], ids=["q", "ctrl-c", "sigterm"])
def test_it_leaves_the_terminal_as_it_was_and_the_gate_alone(gate: Serving, how: str | int, code: int) -> None:
    with terminal(watching(gate), bare_environment()) as shown:
        shown.shows("NOT ARMED")
        assert shown.attributes != shown.before, "it reads single keys meanwhile"
        shown.type("\x1a")
        shown.draws_anew()
        if isinstance(how, str):
            shown.type(how)
        else:
            shown.process.send_signal(how)
        assert shown.end() == code
        assert left_as_it_was(shown)
    assert gate.report()["killed"] == "none"


@pytest.mark.parametrize("as_json", [False, True])
def test_into_a_pipe_it_writes_a_line_a_second(gate: Serving, as_json: bool) -> None:
    words = [*watching(gate), *(["--json"] if as_json else [])]
    with subprocess.Popen(words, env=bare_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "\x1b" not in "".join(lines) + rest
    if as_json:
        told = json.loads(lines[1])
        assert (told["gone"], told["armed"], told["gate"]["level"]) == (None, False, "halt")
        assert told["events"][0]["words"].startswith("gate began")
    else:
        assert "NOT ARMED; level halt; latches and trips none; positions none; orders 0 live" in lines[1]


def test_without_a_run_it_shows_what_the_gate_tells(gate: Serving) -> None:
    with terminal([*INTERLOCK, "watch", "--socket", gate.paths["read"]], bare_environment()) as shown:
        shown.shows("NOT ARMED", "bybit:BTCUSDT", "mode not known")
        shown.type("q")
        assert shown.end() == 0


def test_a_gate_that_is_not_there_is_gone_from_the_beginning(tmp_path: Path) -> None:
    with terminal([*INTERLOCK, "watch", "--socket", str(tmp_path / "read.sock")], bare_environment()) as shown:
        shown.shows("GATE GONE", "is it running?")
        # And the kill says what could not be done.
        shown.type("KK")
        shown.shows("UNCONFIRMED", "start the sentinel if it is not running")
        shown.type("q")
        assert shown.end() == 0


def test_what_is_asked_for_wrongly_is_a_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--json"]) == 2
    assert "expected --socket READ, --run DIR" in capsys.readouterr().out
    assert main(["watch", "--run", str(tmp_path), "--json"]) == 2
    assert "expected the folder of a gate or run" in capsys.readouterr().out
    (tmp_path / "journal").mkdir()
    assert main(["watch", "--run", str(tmp_path), "--json"]) == 2
    assert "name its socket with --socket" in capsys.readouterr().out
