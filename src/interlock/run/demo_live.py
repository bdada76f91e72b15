"""The demo of the whole system on this host: simulated venues, gate, sentinel, checker and engines, two faults on the way, and a kill drill.

Market making on the simulated Bybit trades through the gate, armed by a script, which only loopback allows. The arbitrage of Upbit and Binance hears
both markets and gives signals when Upbit's prices are put below the others' for some seconds, since seeded markets by themselves lie closer together
than its fees; nothing of it is sent. What is printed afterwards is counted from the run's own records.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from interlock.domain.clock import Clock
from interlock.run.control_port import ControlPort
from interlock.run.folder_names import CONFIG_FILE
from interlock.run.interrupt import StopWish
from interlock.run.layers import resolve
from interlock.run.live import Running, public_places, run_live
from interlock.run.live_folder import LiveRun, told_of
from interlock.run.live_report import REPORT_FILE, write_report
from interlock.run.modes import Mode
from interlock.run.observer_child import Stage
from interlock.run.our_verbs import arm_by_script, our_verb
from interlock.run.parent_death import end_with_us
from interlock.run.run_folder import make_empty, require_folder
from interlock.run.venue_child import ENVIRONMENT, VenueChild

EXAMPLES: Final = Path(__file__).parent / "examples" / "live"
LEAST_S: Final = 20.0
KILL_BEFORE_END_S: Final = 6.0
APART: Final = "-0.008"
"""How far Upbit's coins are put below the other venues', a fraction: well more than the fees of both legs and back."""
APART_SYMBOLS: Final = ("KRW-BTC", "KRW-ETH")
LEARNT_DECISIONS: Final = 200
"""After how many decisions the arbitrage knows what the premium is by itself."""
AGAIN_S: Final = 1.0
LOST_ANSWER, GAP = "lose_ack", "gap"
FAULTS: Final = (LOST_ANSWER, GAP)
"""What a demo has to survive."""
NOTES_FILE: Final = "demo.json"


@dataclass
class DemoNotes:
    """What happened besides the run's own figures."""

    armed: dict[str, Any] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    kill: dict[str, Any] = field(default_factory=dict)
    signals: dict[str, Any] = field(default_factory=dict)
    apart: dict[str, Any] = field(default_factory=dict)
    """Which prices were put apart, so that there is a signal to give."""
    checked: dict[str, Any] = field(default_factory=dict)
    decided_again: dict[str, Any] = field(default_factory=dict)
    venue: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """A demo that is over. `interrupted`: by Ctrl-C, in order."""

    out: Path
    kpi: Mapping[str, Any]
    notes: DemoNotes
    report: Path
    interrupted: bool

    @property
    def passed(self) -> bool:
        """Whether everything held that a demo claims."""
        return not self.failed

    @property
    def result(self) -> str:
        """PASS, FAIL, or INTERRUPTED where all that is missing is what had no time to happen, because it was stopped before."""
        return "PASS" if self.passed else "INTERRUPTED" if self.interrupted and not self._broken() else "FAIL"

    @property
    def failed(self) -> list[str]:
        """What did not hold, by name; a fault was survived only if it struck and nothing of it is left open."""
        return self._broken() + self._missing()

    def _broken(self) -> list[str]:
        notes = self.notes
        found = list(self.kpi["failed"])
        left = notes.venue.get("open_orders")
        if left != 0:
            found.append("what is open at the venue is not known" if left is None else f"{left} orders are open at the venue")
        if notes.checked.get("violations") != []:
            found.append("the independent checker found violations, or did not answer")
        if notes.decided_again.get("result") != "SAME":
            found.append("the run decided again is another one")
        if self._kill not in (None, "FINAL"):
            found.append(f"the kill drill ended with {self._kill}")
        return found

    def _missing(self) -> list[str]:
        """What has not happened, which nobody is to blame for where it was stopped before its time."""
        struck = {one["fault"] for one in self.notes.faults if one["happened"]}
        found = [f"the fault {fault} did not strike" for fault in FAULTS if fault not in struck]
        return [*found, "the kill drill was not made"] if self._kill is None else found

    @property
    def _kill(self) -> str | None:
        result: str | None = self.notes.kill.get("result")
        return result


def run_demo(
    out: Path, seconds: float | None, environ: Mapping[str, str], *, clock: Clock, stop: StopWish, stage: Stage, seed: int
) -> DemoResult:
    """Run it in `out`, a new or empty folder; `seconds` None until it is stopped. Raises UsageError and Refused before anything trades."""
    surroundings = {**environ, "READ_ONLY_ENFORCED": "false"}
    run = LiveRun(
        config=EXAMPLES / "making-bybit.toml", mode=Mode.LIVE, out=out, places=out / "places.json", seconds=seconds, prepared=True
    )
    resolved = resolve(run.config, surroundings)
    # Before anything is started: a folder that is of no use is said at once.
    require_folder(out, resolved, told_of(run, resolved), prepared=True)
    make_empty(out)
    stage("starting the simulated venues (the first start of a version compiles, some 20 s)", 0, 0)
    venues = VenueChild.start(out, environ, "--seed", str(seed))
    observer: subprocess.Popen[bytes] | None = None
    notes = DemoNotes()

    def arm(running: Running) -> None:
        notes.armed.update(arm_by_script(running.sockets["raise"], running.status, surroundings, stop=stop, stage=stage))

    try:
        where: dict[str, Any] = json.loads(venues.where(stop, stage).read_bytes())
        observer = _start_observer(out, where, environ)
        happenings = _Happenings(notes, where, seconds, stage)
        result = run_live(
            run,
            surroundings,
            clock=clock,
            stop=stop,
            stage=stage,
            on_running=arm,
            on_look=happenings.look,
        )
        notes.faults = happenings.struck()
        notes.venue = _venue(where)
        notes.signals = _signals(out)
    finally:
        if observer is not None:
            _end(observer)
        venues.end()
    stage("checking the journal and deciding the run again", 0, 0)
    notes.checked = our_verb(environ, "trace", "check", str(out / "journal"), "--witness", str(out / "witness.jsonl"))
    notes.decided_again = our_verb(environ, "replay", "--from-run", str(out))
    demo = DemoResult(out, result.kpi, notes, out / REPORT_FILE, result.interrupted)
    told = {**vars(notes), "failed": demo.failed}
    (out / NOTES_FILE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    write_report(out, result.kpi, told)
    return demo


# The arbitrage that only looks


def _start_observer(out: Path, where: dict[str, Any], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    folder = out / "signals"
    folder.mkdir()
    config = folder / CONFIG_FILE
    config.write_bytes((EXAMPLES / "signals-arbitrage.toml").read_bytes())
    told = {
        "config": str(config.absolute()),
        "out": str(folder.absolute()),
        "where": "loopback",
        "strategy": "arbitrage",
        "intent": None,
        "places": public_places(where),
    }
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    kept = {name: environ[name] for name in ENVIRONMENT if name in environ}
    with (folder / "engine.log").open("ab") as log:
        command = [sys.executable, "-P", "-m", "interlock.run.engine_process", str(folder / "config.json")]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=kept,
            start_new_session=True,
            preexec_fn=end_with_us(),  # noqa: PLW1509 - this process has no threads
        )


def _signals(out: Path) -> dict[str, Any]:
    try:
        stands = json.loads((out / "signals" / "engine.json").read_bytes())
    except (OSError, ValueError):
        return {"decisions": None, "signals": None}
    return {
        "decisions": stands["decisions"],
        "signals": stands["counts"].get("signals", 0),
        "frames": sum(f["frames"] for f in stands["feeds"]),
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# The ceremony, the faults, the kill


class _Happenings:
    """The faults and the kill, each once, at their share of the time."""

    def __init__(self, notes: DemoNotes, where: Mapping[str, Any], seconds: float | None, stage: Stage) -> None:
        self._notes = notes
        self._control = ControlPort(str(where["control"]))
        self._stage = stage
        until = 60.0 if seconds is None else seconds
        # Each says whether it happened; what could not yet is tried again.
        self._due: list[tuple[float, Callable[[Running], bool]]] = [
            (0.25 * until, self._lose_an_ack),
            (0.35 * until, self._move_apart),
            (0.5 * until, self._break_the_feed),
        ]
        if seconds is not None:
            self._due.append((max(seconds - KILL_BEFORE_END_S, 0.7 * seconds), self._kill))

    def look(self, running: Running, passed_s: float) -> None:
        """What is due now."""
        while self._due and passed_s >= self._due[0][0]:
            _, happen = self._due.pop(0)
            if not happen(running):
                self._due = sorted([*self._due, (passed_s + AGAIN_S, happen)], key=lambda one: one[0])

    def struck(self) -> list[dict[str, Any]]:
        """The faults that were asked for, with how often the venues say that each happened."""
        happened = self._control.happened()
        return [{**one, "happened": happened.get(one["fault"], 0)} for one in self._notes.faults]

    def _lose_an_ack(self, _running: Running) -> bool:
        return self._happen({"fault": LOST_ANSWER, "venue": "bybit", "verb": "place"}, "the answer to an order is lost")

    def _break_the_feed(self, _running: Running) -> bool:
        return self._happen({"fault": GAP, "venue": "bybit", "symbol": "BTCUSDT", "count": 3}, "three messages of the feed are missing")

    def _move_apart(self, running: Running) -> bool:
        """Put Upbit's coins below the other venues', once the arbitrage has learnt where they are by themselves; False if it has not yet."""
        if (_signals(running.run.out)["decisions"] or 0) < LEARNT_DECISIONS:
            return False
        for symbol in APART_SYMBOLS:
            self._control.strike({"fault": "dislocate", "venue": "upbit", "symbol": symbol, "rate": APART})
        self._notes.apart = {"venue": "upbit", "symbols": list(APART_SYMBOLS), "rate": APART}
        return True

    def _happen(self, fault: dict[str, Any], words: str) -> bool:
        self._control.strike(fault)
        self._notes.faults.append({**fault, "words": words})
        return True

    def _kill(self, running: Running) -> bool:
        self._stage("kill drill: everything is cancelled from another process", 0, 0)
        # The command is for a person; here it runs in this one's place.
        self._notes.kill = our_verb(os.environ, "kill", "--socket", running.sockets["lower"])
        return True


def _venue(where: Mapping[str, Any]) -> dict[str, Any]:
    """What is true at the venue, by its own account."""
    state = ControlPort(str(where["control"])).state()["bybit"]
    return {
        "open_orders": sum(order["state"] in ("open", "partial") for order in state["orders"]),
        "positions": state["positions"],
    }
