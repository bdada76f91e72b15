"""A run against simulated venues as a person makes it: `interlock run` beside `interlock venues serve`, and the other commands beside them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from tests.gate.serving import ACK, INTERLOCK, bare_environment, command, conditions, end_all
from tests.simulate.served.hand import Hand
from tests.simulate.served.process import simulators

from interlock.gate import frames as f
from interlock.gate.sockets import Client

MAKING = "making-bybit.toml"


def example(name: str = MAKING) -> Path:
    """A configuration that is shipped."""
    return Path(str(resources.files("interlock.run"))) / "examples" / "live" / name


@dataclass
class LiveGround:
    """The simulators, and runs against them in `out`."""

    folder: Path
    where: dict[str, Any]
    mode: str = "live"
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out = self.folder / "run"
        self.hand = Hand(self.where)
        self.places = self.folder / "places.json"
        self.places.write_text(json.dumps(self.where) + "\n", encoding="utf-8")

    def start(
        self,
        *more: str,
        env: dict[str, str] | None = None,
        read_only: str | None = "false",
        out: Path | None = None,
        config: Path | None = None,
    ) -> subprocess.Popen[str]:
        """A run that goes on; of the shipped example, unless another configuration is named."""
        surroundings = {**bare_environment(), **(env or {})}
        if read_only is not None:
            surroundings["READ_ONLY_ENFORCED"] = read_only
        words = [
            *INTERLOCK,
            "run",
            str(config or example()),
            "--mode",
            self.mode,
            "--places",
            str(self.places),
            "--out",
            str(self.out if out is None else out),
            "--json",
            *more,
        ]
        with (self.folder / "run.stderr").open("ab") as said:
            process = subprocess.Popen(words, env=surroundings, stdout=subprocess.PIPE, stderr=said, stdin=subprocess.DEVNULL, text=True)
        self.processes.append(process)
        return process

    def until(self, so: Callable[[], object], within_s: float = 180) -> None:
        """Wait until something is so. Raises AssertionError with what the run had to say, also when one of the runs ends."""

        def so_or_ended() -> bool:
            reached = bool(so())
            assert reached or all(one.poll() is None for one in self.processes), self.said()
            return reached

        self.until_any(so_or_ended, within_s)

    def until_any(self, so: Callable[[], object], within_s: float = 180) -> None:
        """Wait until something is so, whether runs end meanwhile or not. Raises AssertionError."""
        deadline = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def said(self) -> str:
        """What the processes of the run had to say."""
        files = (self.folder / "run.stderr", self.out / "gate.log", self.out / "engine" / "engine.log")
        return "\n".join(file.read_text(encoding="utf-8")[-1500:] for file in files if file.exists())

    def engine(self) -> dict[str, Any]:
        """How the engine says that it stands; empty before it does."""
        try:
            found: dict[str, Any] = json.loads((self.out / "engine" / "engine.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def sees_books(self) -> bool:
        """Whether the engine has a book of each instrument, and a gate to talk to."""
        stands = self.engine()
        return bool(stands) and stands["gate"] and all(book["bid_ticks"] and book["ask_ticks"] for book in stands["books"])

    def arm(self) -> None:
        """A scripted ceremony, tried again while something that comes and goes is in its way."""

        def armed() -> bool:
            given = ("--scripted", "--ack", ACK, "--max-notional-usd", "1000", "--for", "10m")
            _, self.armed_with = command(
                "arm", "--socket", str(self.out / "run" / "raise.sock"), *given, env=conditions(LIVE_MAX_NOTIONAL_USD="1000"), timeout_s=120
            )
            return isinstance(self.armed_with, dict) and self.armed_with.get("result") == "ARMED"

        self.until(armed)

    def ask(self, role: f.Role, request: f.Frame) -> f.AnyFrame:
        """One request of the gate of the run."""
        with Client(self.out / "run" / f"{role.value}.sock", role, frozenset({os.geteuid()})) as client:
            return client.request(request)

    def report(self) -> dict[str, Any]:
        """How the gate of the run stands."""
        answer = self.ask(f.Role.READ, f.GetStatus())
        assert isinstance(answer, f.Status)
        return answer.report

    def witness(self) -> list[dict[str, Any]]:
        """Every request that carried a key, as the venues saw it."""
        whole, _, _ = Path(self.where["witness"]).read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def risk_written(self) -> int:
        """How many requests could raise risk."""
        return sum(line["class"] == "RISK+" for line in self.witness())

    def end(self, process: subprocess.Popen[str], number: int | None = None, within_s: float = 120) -> tuple[int, dict[str, Any]]:
        """Wait for the end, after a signal if one is given: exit code, and the figures that were printed."""
        if number is not None:
            process.send_signal(number)
        printed, _ = process.communicate(timeout=within_s)
        self.processes.remove(process)
        assert printed.count("\n") == 1, (printed, self.said())
        return process.returncode, json.loads(printed)

    def checked(self, witness: Path | None = None) -> tuple[int, Any]:
        """The violations that the independent checker finds in the journal, with the witness of the venues that were traded at."""
        code, told = command("trace", "check", str(self.out / "journal"), "--witness", str(witness or self.where["witness"]))
        return code, told["violations"]

    def decided_again(self) -> tuple[int, Any]:
        """The run decided again from what the engine wrote down."""
        return command("replay", "--from-run", str(self.out), timeout_s=180)

    def engine_pid(self) -> int:
        """The process of the engine, found by the file it was told."""
        told = str(self.out / "engine" / "config.json")
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if told.encode() in words:
                    return int(entry.name)
        raise AssertionError(f"no engine runs; {self.said()}")

    def children(self) -> dict[int, str]:
        """The processes that stand around in the run's folder, by id: venues, gate, sentinel, checker, engine, observer."""
        names = {"venues": "venues", "interlock.run.gate_process": "gate", "interlock.sentinel": "sentinel", "interlock.trace": "checker"}
        names |= {"interlock.run.engine_process": "engine", "interlock.run.observer_process": "observer"}
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_text(encoding="utf-8").split("\0")
                except OSError:
                    continue
                if any(word.startswith(str(self.out)) for word in words) and "run" not in words:
                    found[int(entry.name)] = next((names[word] for word in words if word in names), " ".join(words))
        return found

    def secrets(self) -> list[bytes]:
        """What proves the keys of the simulated venues."""
        return [place["secret"].encode() for place in self.where.values() if isinstance(place, dict)]

    def told_of(self, what: list[bytes]) -> list[str]:
        """Where any of these stands: arguments and environment of every process that knows the run's folder, and every file in it."""
        places: list[tuple[str, bytes]] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words, surroundings = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
                except OSError:
                    continue
                if str(self.folder).encode() in words:
                    places += [(f"arguments of {entry.name}", words), (f"environment of {entry.name}", surroundings)]
        places += [(str(file), file.read_bytes()) for file in self.out.rglob("*") if file.is_file()]
        return [where for where, text in places if any(one in text for one in what)]


def judged_on(kpi: dict[str, Any], name: str) -> str:
    """The verdict on one invariant of a run."""
    verdict: str = next(one["verdict"] for one in kpi["invariants"] if one["name"] == name)
    return verdict


@contextmanager
def live_ground(folder: Path, *options: str, mode: str = "live") -> Iterator[LiveGround]:
    """Simulators while the block runs; what runs against them is ended afterwards."""
    with simulators(folder, *options) as where:
        ground = LiveGround(folder, where, mode)
        try:
            yield ground
        finally:
            for process in ground.processes:
                process.send_signal(signal.SIGTERM)
                try:
                    process.communicate(timeout=60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
            end_all(ground.out)


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    found = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(os.fsdecode(one).split("=", 1) for one in found if b"=" in one)
