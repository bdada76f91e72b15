"""A gate as a person runs it: `interlock gate serve` with its venue, sentinel and checker as processes, and the other commands beside it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from interlock.gate import frames as f
from interlock.gate.sockets import Client
from interlock.run.gate_config import read_gate_config
from interlock.sentinel.gate_process import GateIdentity, Life, look
from interlock.simulate.fake_venue.client import ControlClient
from interlock.simulate.fake_venue.control import AnyCommand, ArmFault, AskTruth, Reply, Truth
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.server import Addresses

INTERLOCK = (sys.executable, "-m", "interlock")
ACK = "I_UNDERSTAND_LIVE_RISK"
ORDER: Mapping[str, Any] = {
    "venue": "bybit",
    "symbol": "BTCUSDT",
    "side": "buy",
    "type": "limit",
    "tif": "post_only",
    "lots": 1,
    "ticks": 500_000,
}


def conditions(**changes: str | None) -> dict[str, str]:
    """The environment of a terminal that may arm, with changes; None leaves a variable out."""
    found: dict[str, str | None] = {"LIVE_ARM_ACK": ACK, "LIVE_ARM_AT": str(int(time.time())), "LIVE_MAX_NOTIONAL_USD": "100"}
    return {name: value for name, value in {**found, **changes}.items() if value is not None}


def bare_environment() -> dict[str, str]:
    """Ours, without anything that the gate or a ceremony reads."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LIVE_") and name != "READ_ONLY_ENFORCED"}


def until(reached: Callable[[], bool], within_s: float = 15.0) -> None:
    """Wait until something is so. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {within_s} s")
        time.sleep(0.01)


def command(*arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 60) -> tuple[int, Any]:
    """Run a verb with --json; its exit code and what it printed, parsed."""
    done = subprocess.run(
        [*INTERLOCK, *arguments, "--json"],
        env={**bare_environment(), **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.stdout.count("\n") <= 1, done.stdout
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr


@dataclass
class Serving:
    """A running gate. `paths` are those that it printed."""

    folder: Path
    process: subprocess.Popen[str]
    paths: dict[str, str] = field(default_factory=dict)

    @property
    def addresses(self) -> Addresses:
        return msgspec.json.decode((self.folder / "venue" / "addresses.json").read_bytes(), type=Addresses)

    def arm(self, *more: str, env: Mapping[str, str] | None = None) -> tuple[int, Any]:
        given = ["--scripted", "--ack", ACK, "--max-notional-usd", "100", "--for", "10m", *more]
        return command("arm", "--socket", self.paths["raise"], *given, env=conditions() if env is None else env)

    def armed(self) -> None:
        code, told = self.arm()
        assert (code, told["result"]) == (0, "ARMED"), told

    def intent(self, **changes: Any) -> tuple[int, Any]:
        return command("intent", "--socket", self.paths["intent"], json.dumps({**ORDER, **changes}))

    def kill(self) -> tuple[int, Any]:
        return command("kill", "--socket", self.paths["lower"])

    def ask(self, role: f.Role, request: f.Frame) -> f.AnyFrame:
        with Client(Path(self.paths[role.value]), role, frozenset({os.geteuid()})) as client:
            return client.request(request)

    def stands(self) -> f.Status:
        answer = self.ask(f.Role.READ, f.GetStatus())
        assert isinstance(answer, f.Status)
        return answer

    def report(self) -> dict[str, Any]:
        return self.stands().report

    def tell(self, order: AnyCommand) -> Reply:
        hand = ControlClient(self.addresses.control)
        try:
            return hand.command(order)
        finally:
            hand.close()

    def fault(self, fault: Fault, venue: str = "bybit", **more: Any) -> None:
        self.tell(ArmFault(venue=venue, spec=FaultSpec(fault=fault, **more)))

    def truth(self, venue: str = "bybit") -> Truth:
        found = self.tell(AskTruth(venue=venue))
        assert isinstance(found, Truth)
        return found

    def open_at_venue(self, venue: str = "bybit") -> list[str]:
        return [order.client_id for order in self.truth(venue).orders if not order.state.final]

    def witness(self) -> list[dict[str, Any]]:
        # The venue may be in the middle of its last line.
        whole, _, _ = Path(self.paths["witness"]).read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def raising(self) -> list[tuple[str, int]]:
        """(client id, revision) of every frame that could raise risk, as the venue saw it."""
        return [(line["client_id"], line["revision"]) for line in self.witness() if line["class"] == "RISK+"]

    def checked(self) -> tuple[int, Any]:
        return command("trace", "check", self.paths["journal"], "--witness", self.paths["witness"])

    def stop(self, number: int = signal.SIGTERM, within_s: float = 30) -> int:
        self.process.send_signal(number)
        return self.process.wait(within_s)

    def die(self) -> None:
        """The gate alone, at once."""
        self.process.kill()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


def start(folder: Path, *, read_only: str | None = "false", limits: Path | None = None, command: Sequence[str] | None = None) -> Serving:
    """Start a gate and wait for its line. Raises AssertionError with its complaints if there is none."""
    env = bare_environment()
    if read_only is not None:
        env["READ_ONLY_ENFORCED"] = read_only
    words = list(command or (*INTERLOCK, "gate", "serve", "--venue", "fake", "--dir", str(folder), "--json"))
    if limits is not None:
        words += ["--limits", str(limits)]
    folder.mkdir(parents=True, exist_ok=True)
    complaints = folder / "gate.stderr"
    with complaints.open("ab") as stderr:
        process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=stderr, stdin=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    paths = json.loads(line) if line else {}
    if "read" not in paths:
        process.wait(30)
        process.stdout.close()
        raise AssertionError(f"exit {process.returncode}: {paths} {complaints.read_text(encoding='utf-8')[-2000:]}")
    return Serving(folder, process, paths)


@contextmanager
def serving(folder: Path, *, read_only: str | None = "false", limits: Path | None = None) -> Iterator[Serving]:
    """A gate while the block runs; every process of its folder is ended afterwards, each known by its start."""
    try:
        gate = start(folder, read_only=read_only, limits=limits)
        try:
            yield gate
        finally:
            gate.die()
    finally:
        end_all(folder)


def end_all(folder: Path) -> None:
    """End venue, sentinel and checker of a folder."""
    told = folder / "run" / "gate.json"
    if not told.exists():
        return
    config = read_gate_config(told)
    for pid, start_ticks, _ in config.children:
        # Its id may be another's by now.
        if look(GateIdentity(pid, start_ticks)) is Life.GONE:
            continue
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(config.memory, ignore_errors=True)
