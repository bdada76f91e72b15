"""A gate that answers by script, in a thread or a process of its own, a sentinel that does, and what a command printed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sentinel.world import LIFE

from interlock.gate import frames as f
from interlock.gate.frames import Role
from interlock.gate.records import Level
from interlock.gate.sockets import Peer, Sockets, only_user
from interlock.sentinel import control
from interlock.sentinel.gate_process import GateIdentity, identity_of
from interlock.sentinel.operation import Event

ME = os.geteuid()
NONCE = re.compile("[0-9a-f]{32}")
ENVIRONMENT = {"LIVE_ARM_ACK": "I_UNDERSTAND_LIVE_RISK", "LIVE_ARM_AT": "1700000000", "LIVE_MAX_NOTIONAL_USD": "100"}
REFERENCE = {
    "venue": "bybit",
    "symbol": "BTCUSDT",
    "bid_ticks": 499_990,
    "ask_ticks": 500_010,
    "mark_ticks": 0,
    "boot_ns": 7,
    "problem": "",
}
REPORT: dict[str, Any] = {
    "phase": "disarmed",
    "level": "halt",
    "base": "halt",
    "endpoint": "loopback",
    "latches": [{"name": "operator", "scope": "symbol", "subject": "bybit/BTCUSDT", "level": "halt"}],
    "trips": [],
    "grant": None,
    "orders": {"live": 0, "list": []},
    "references": [REFERENCE, {**REFERENCE, "symbol": "ETHUSDT"}],
    "accounts": {"bybit": "main"},
    "strategies": ["mk"],
    "symbols": ["bybit/BTCUSDT"],
    "sentinel": True,
    "why_not": [{"rule": "check_drill", "message": "[red]none yet"}],
    "drill_symbols": [],
}
ORDER = {"venue": "bybit", "symbol": "BTCUSDT", "side": "buy", "type": "limit", "tif": "post_only", "lots": 1, "ticks": 500_000}
KEY = "0123456789abcdef"
WORDS = f"I HAVE CHECKED KEY {KEY} AT BYBIT: withdraws no"
SCRIPTED = ["--scripted", "--ack", "I_UNDERSTAND_LIVE_RISK"]


class Gate:
    """A gate on real sockets, in a thread, that answers by script and remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.report = dict(REPORT)
        self.answers: dict[type[f.Frame], f.Frame] = {
            f.ArmBegin: f.Challenge(challenge_id="c1", phrase="arm main for 100 USD 01234567"),
            f.ArmAnswer: f.Done(report={"grant_id": "g1", "cap_usd": "100", "expires_in_s": 600, "mandate_until_in_s": 87_000}),
            f.Propose: f.Decided(decisions=(f.Decision(result="PERMIT", rule="", client_id="mk010001"),)),
        }
        self.attested: dict[str, Any] = {
            "fingerprint": KEY,
            "facts": ["withdraws no"],
            "until_wall_ns": 1_800_000_000 * 10**9,
            "disarmed": False,
        }
        self.asked: list[f.Frame] = []
        self.state_version = 41

    def path(self, role: Role) -> str:
        return str(self.folder / f"{role.value}.sock")

    @property
    def wanted(self) -> list[f.Frame]:
        """What it was asked besides how it stands."""
        return [frame for frame in self.asked if not isinstance(frame, f.GetStatus)]

    async def __call__(self, role: Role, peer: Peer, request: f.Frame) -> f.Frame:
        self.asked.append(request)
        if isinstance(request, f.GetStatus) and f.GetStatus not in self.answers:
            return f.Status(incarnation=LIFE, state_version=self.state_version, level=Level.HALT, armed=False, report=self.report)
        if isinstance(request, f.Attest) and f.Attest not in self.answers:
            if not request.statement:
                return f.Dictated(fingerprint=KEY, phrase=WORDS, untold=("withdraw",))
            return f.Done(report={"state_version": 42, **self.attested})
        return self.answers.get(type(request), f.Done(report={"state_version": 42}))


@contextmanager
def listening(folder: Path, make: Callable[[Path], Gate] = Gate) -> Iterator[Gate]:
    """A scripted gate in a thread."""
    made = make(folder)
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with Sockets(made.folder, LIFE, only_user(ME), made):
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield made
    loop.call_soon_threadsafe(over.set)
    thread.join(10)
    assert not thread.is_alive()
    loop.close()


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one object on stdout."""
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    return found


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    found = told(capsys)
    assert set(found) == {"error"}
    return str(found["error"]["message"])


def spawn(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "interlock", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    )


GATE = """
import asyncio, json, os, sys
from pathlib import Path
from interlock.gate import frames as f
from interlock.gate.records import Level
from interlock.gate.sockets import Sockets, only_user
from interlock.sentinel.stop_word import StopWord

folder, script = Path(sys.argv[1]), json.loads(sys.argv[2])
word = StopWord.create(folder / "stop", "0123456789abcdef" * 2)
due, begun = list(script["due"]), []

async def answer(role, peer, request):
    match request:
        case f.GetStatus():
            return f.Status(incarnation="a" * 32, state_version=len(begun), level=Level.HALT, armed=False, report={"drill_symbols": due})
        case f.ArmBegin() if script["refuse"]:
            return f.Refusal(rule="killed", detail=json.dumps(script["refuse"]))
        case f.ArmBegin():
            begun.append(request)
            return f.Challenge(challenge_id=request.nonce, phrase="p")
        case f.ArmAnswer() if not begun[-1].drill_symbol:
            return f.Done(report={"grant_id": "g", "cap_usd": "100", "expires_in_s": 1, "mandate_until_in_s": 2})
        case f.ArmAnswer():
            return f.Done(report={"drill_id": "d", "client_id": "mk01000000", "pid": os.getpid(), **script["report"]})
        case f.DrillEnd():
            due[:] = due[1:]
            seen = {"drill_id": request.drill_id, "verdict": request.verdict, "cancelled": request.cancelled}
            with open(folder / "ends", "a") as file:
                file.write(json.dumps(seen) + "\\n")
            counted = sum(request.cancelled.values())
            verdict = script.get("verdict") or ("PASS" if request.verdict == "PASS" else "FAIL")
            return f.Done(report={"verdict": verdict, "placed": 1, "cancelled": counted, "remaining": 1 - counted, "detail": "seen"})
        case f.Kill():
            return f.Done(report={})

async def run():
    async with Sockets(folder / "run", "a" * 32, only_user(os.geteuid()), answer):
        print("ready", flush=True)
        while not word.stopped:
            word.advance()
            await asyncio.sleep(0.005)
        word.acknowledge(7)
        await asyncio.sleep(600)

asyncio.run(run())
"""


class Away:
    """A scripted gate in a process of its own; everything lies in one folder."""

    def __init__(self, folder: Path, pid: int) -> None:
        self.folder = folder
        self.identity: GateIdentity = identity_of(pid)

    def path(self, role: Role) -> str:
        return str(self.folder / "run" / f"{role.value}.sock")

    def ends(self) -> list[dict[str, Any]]:
        """The `DrillEnd`s that it got."""
        file = self.folder / "ends"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@contextmanager
def away(
    folder: Path, *due: str, report: Mapping[str, Any] | None = None, verdict: str = "", refuse: Sequence[Mapping[str, str]] = ()
) -> Iterator[Away]:
    script = json.dumps({"due": due, "report": report or {}, "verdict": verdict, "refuse": refuse})
    command = [sys.executable, "-c", GATE, str(folder), script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Away(folder, process.pid)
        finally:
            process.kill()


@contextmanager
def sentinel(folder: Path, answer: Callable[[Mapping[str, Any]], Iterator[Event]]) -> Iterator[Path]:
    """A sentinel on a real socket that answers by script."""
    listening, lock = control.listen(folder)
    thread = threading.Thread(target=control.serve, args=(listening, frozenset({ME}), answer))
    thread.start()
    try:
        yield folder / control.NAME
    finally:
        listening.shutdown(2)
        thread.join(10)
        listening.close()
        os.close(lock)


def says(*events: Event, then: float = 0.0) -> Callable[[Mapping[str, Any]], Iterator[Event]]:
    """Events, and then silence for a while before it hangs up."""

    def answer(_request: Mapping[str, Any]) -> Iterator[Event]:
        yield from events
        end = time.monotonic() + then
        while time.monotonic() < end:
            yield {"event": "WAITING"}
            time.sleep(0.02)

    return answer
