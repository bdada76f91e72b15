"""Gates as processes, one after another in front of one venue: however they were started, none raises risk unless it granted it.

A start is one draw of three things: the environment of the process, its configuration with what lies around it, and the terminal that asks to arm.
Each gate that offers its sockets is asked for a ceremony and an order over them. What counts is what the venue's witness has seen.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.gate.serving import ACK, Serving, bare_environment, conditions, serving, until

from interlock.cli.gate_client import boot_ns, draw_nonce
from interlock.domain.errors import InterlockError
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.frames import Role
from interlock.gate.sockets import Client
from interlock.run.children import PASSED_ON
from interlock.run.gate_launch import example_limits

Config = dict[str, Any]
US = frozenset({os.geteuid()})
READ_ONLY = (None, "False", "0", "no", "yes", "true", "false ", "")
TERMINALS: dict[str, dict[str, str | None]] = {
    "no acknowledgement": {"LIVE_ARM_ACK": None},
    "another acknowledgement": {"LIVE_ARM_ACK": ACK.lower()},
    "no time": {"LIVE_ARM_AT": None},
    "an old time": {"LIVE_ARM_AT": "1800000000"},
    "a time ahead": {"LIVE_ARM_AT": "99999999999"},
    "no cap": {"LIVE_MAX_NOTIONAL_USD": None},
    "a cap too large": {"LIVE_MAX_NOTIONAL_USD": "1000.01"},
    "a cap that is no number": {"LIVE_MAX_NOTIONAL_USD": "NaN"},
}


class Ground:
    """A venue and a sentinel that stay, one checker, and the folder of a gate that has passed its drill and is gone."""

    def __init__(self, first: Serving, folder: Path, beats: int) -> None:
        self.first = first
        self.folder = folder
        self.beats = beats
        self.told: Config = json.loads((first.folder / "run" / "gate.json").read_text(encoding="utf-8"))
        self.number = 0

    def config(self) -> Config:
        """A configuration like the first gate's, to be changed; nothing ends with this gate but itself."""
        return {**json.loads(json.dumps(self.told)), "checker_fd": self.beats, "checker_pid": 0, "children": []}

    def room(self) -> Path:
        self.number += 1
        room = self.folder / f"start-{self.number}"
        room.mkdir()
        return room


@dataclass(frozen=True)
class Change:
    """What is changed about a start: the configuration's text, made in a folder of its own. `offers`: the gate comes up all the same."""

    name: str
    make: Callable[[Config, Path], str]
    offers: bool = False


def _put(**values: Any) -> Callable[[Config, Path], str]:
    return lambda config, _: json.dumps({**config, **values})


def _venue(**values: Any) -> Callable[[Config, Path], str]:
    return lambda config, _: json.dumps({**config, "venues": [{**config["venues"][0], **values}]})


def _limits(change: Callable[[str], str]) -> Callable[[Config, Path], str]:
    def make(config: Config, room: Path) -> str:
        sheet = room / "limits.toml"
        sheet.write_text(change(example_limits().read_text(encoding="utf-8")), encoding="utf-8")
        return json.dumps({**config, "limits": str(sheet)})

    return make


def _elsewhere(config: Config, room: Path) -> str:
    """Another folder, and so a journal that knows of no drill."""
    return json.dumps({**config, "folder": str(room)})


def _damaged_journal(config: Config, room: Path) -> str:
    shutil.copytree(Path(config["folder"]) / "journal", room / "journal")
    segment = min((room / "journal").glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[600] ^= 0xFF
    segment.write_bytes(data)
    return json.dumps({**config, "folder": str(room)})


GOOD = Change("nothing", lambda config, _: json.dumps(config), offers=True)
CHANGES = (
    Change("half of the configuration", lambda config, _: json.dumps(config)[:200]),
    Change("no configuration", lambda _config, _room: "gate"),
    Change("a field that nobody knows", _put(armed=True)),
    Change("a missing field", lambda config, _: json.dumps({name: value for name, value in config.items() if name != "users"})),
    Change("a real endpoint", _venue(endpoint="real")),
    Change("an endpoint for tests", _venue(endpoint="testnet")),
    Change("an endpoint that nobody knows", _venue(endpoint="LOOPBACK")),
    Change("no venue", _put(venues=[])),
    Change("one venue twice", lambda config, _: json.dumps({**config, "venues": config["venues"] * 2})),
    Change("a symbol that is not listed", _venue(symbols=["XRPUSDT"])),
    Change("a symbol without limits", _venue(symbols=["BTCUSDT", "ETHUSDT"])),
    Change("another account", _venue(account="other")),
    Change("another strategy", _put(tags={"other": "othe"})),
    Change("a port where nobody listens", _venue(orders_port=1)),
    Change("limits that are not there", lambda config, room: json.dumps({**config, "limits": str(room / "none.toml")})),
    Change("a limit that nobody knows", _limits(lambda text: text.replace("[account]\n", "[account]\nmax_luck_usd = 7\n"))),
    Change("a limit too few", _limits(lambda text: text.replace("max_drawdown_usd = 10\n", ""))),
    Change("a limit that is no number", _limits(lambda text: text.replace("max_order_lots = 2", "max_order_lots = nan"))),
    Change("a journal that is damaged", _damaged_journal),
    Change("a segment that is too small", _put(segment_bytes=1_000)),
    Change("no folder for the lock", lambda config, room: json.dumps({**config, "lock_folder": str(room / "none")})),
    Change("another user", _put(users=[65_534]), offers=True),
    Change("another folder", _elsewhere, offers=True),
)


@dataclass(frozen=True)
class Start:
    """One draw. Only what is good in all three ways may be granted."""

    change: Change = GOOD
    read_only: str | None = "false"
    terminal: str = ""

    @property
    def good(self) -> bool:
        return self == Start()

    def __str__(self) -> str:
        return f"{self.change.name} changed, READ_ONLY_ENFORCED={self.read_only!r}, {self.terminal or 'a good terminal'}"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("ground")
    with serving(folder / "gate") as first:
        first.armed()
        first.die()
        read_end, write_end = os.pipe()
        words = [sys.executable, "-m", "interlock.trace", first.paths["journal"], "--witness", first.paths["witness"]]
        checker = subprocess.Popen(words, stdout=write_end, stdin=subprocess.DEVNULL, env=bare_environment())
        os.close(write_end)
        try:
            yield Ground(first, folder, read_end)
        finally:
            checker.kill()
            checker.wait(10)
            os.close(read_end)


@contextmanager
def started(ground: Ground, start: Start) -> Iterator[tuple[subprocess.Popen[str], dict[str, str] | None]]:
    """The gate's process, and the paths that it offers, None if it ended instead."""
    room = ground.room()
    file = room / "gate.json"
    file.write_text(start.change.make(ground.config(), room), encoding="utf-8")
    env = {name: value for name, value in bare_environment().items() if name in PASSED_ON}
    if start.read_only is not None:
        env["READ_ONLY_ENFORCED"] = start.read_only
    with (room / "stderr").open("wb") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "interlock.run.gate_process", str(file)],
            env=env,
            pass_fds=(ground.beats,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield process, json.loads(line) if line else None
    finally:
        process.kill()
        process.communicate(timeout=10)


def arm(paths: dict[str, str], terminal: dict[str, str]) -> f.AnyFrame:
    """A ceremony over the raise socket, answered rightly."""
    with Client(Path(paths["raise"]), Role.RAISE, US) as hand:
        stands = hand.request(f.GetStatus())
        assert isinstance(stands, f.Status)
        asked = hand.request(
            f.ArmBegin(
                conditions=terminal,
                max_notional_usd="",
                lifetime_ns=600 * 10**9,
                mandate_ns=0,
                scripted=True,
                state_version=stands.state_version,
                nonce=draw_nonce(),
            )
        )
        if not isinstance(asked, f.Challenge):
            return asked
        return hand.request(
            f.ArmAnswer(challenge_id=asked.challenge_id, acknowledgement=ACK, phrase=asked.phrase, level_nonce=draw_nonce())
        )


def propose(paths: dict[str, str]) -> f.Decision:
    """One order over the intent socket, as soon as prices have been steady for long enough."""
    found: list[f.Decision] = []

    def decided() -> bool:
        found.append(_propose(paths))
        return found[-1].rule != "max_drift"

    until(decided)
    return found[-1]


def _propose(paths: dict[str, str]) -> f.Decision:
    now_ns = boot_ns()
    proposal = f.Proposal(
        venue="bybit",
        symbol="BTCUSDT",
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.POST_ONLY,
        ticks=500_000,
        lots=1,
        strategy="demo",
        sequence=now_ns,
        created_boot_ns=now_ns,
        deadline_boot_ns=now_ns + 10**9,
        books=(r.Book(venue="bybit", symbol="BTCUSDT", bid_ticks=500_000, ask_ticks=500_001, boot_ns=now_ns),),
    )
    with Client(Path(paths["intent"]), Role.INTENT, US) as engine:
        decided = engine.request(f.Propose(proposals=(proposal,)))
    assert isinstance(decided, f.Decided), decided
    return decided.decisions[0]


def try_everything(paths: dict[str, str], start: Start) -> tuple[bool, str]:
    """Whether the gate granted, and what became of the order: its client id if it was permitted, else why not."""
    granted = False
    try:
        answer = arm(paths, conditions(**TERMINALS.get(start.terminal, {})))
        granted = isinstance(answer, f.Done)
        decision = propose(paths)
    except InterlockError as error:
        return granted, str(error)
    refused = f"{decision.rule}: {decision.detail}, after {answer}"
    return granted, decision.client_id if decision.result == "PERMIT" else refused


def run(ground: Ground, start: Start) -> str:
    """Start a gate, try it, and end it; what became of it. Raises AssertionError for an order that nobody granted, or that did not go out."""
    before = ground.first.raising()
    with started(ground, start) as (process, paths):
        if paths is None:
            assert not start.change.offers, f"{start}: it did not start"
            assert process.wait(20) != 0, f"{start}: it ended well"
            assert ground.first.raising() == before, f"{start}: it sent something before it ended"
            return "not started"
        assert start.change.offers, f"{start}: it started"
        granted, client_id = try_everything(paths, start)
        if start.good:
            assert (granted, client_id[:4]) == (True, "demo"), f"{start}: granted {granted}, {client_id}"
            until(lambda: ground.first.raising() == [*before, (client_id, 0)])
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, f"{start}: ended with {process.returncode}"
    expected = [*before, (client_id, 0)] if start.good else before
    assert ground.first.raising() == expected, f"{start}: {ground.first.raising()[len(before) :]}"
    assert granted is start.good, f"{start}: granted {granted}"
    return "sent" if start.good else "offered and refused"


SMALL = (
    Start(),
    Start(read_only=None),
    Start(read_only="False"),
    Start(terminal="an old time"),
    Start(change=CHANGES[0]),
    Start(change=next(change for change in CHANGES if change.name == "a limit that nobody knows")),
    Start(change=next(change for change in CHANGES if change.name == "another user")),
    Start(change=next(change for change in CHANGES if change.name == "another folder")),
)


def test_eight_gates_and_only_the_one_that_granted_sent_anything(ground: Ground) -> None:
    ends = Counter(run(ground, start) for start in SMALL)
    assert ends == {"sent": 1, "offered and refused": 5, "not started": 2}


def draw(seed: int, count: int) -> list[Start]:
    """Starts of which about every third is good, and every change, value and terminal is among them."""
    chance = random.Random(seed)
    ways: list[Callable[[], Start]] = [
        Start,
        Start,
        lambda: Start(change=chance.choice(CHANGES)),
        lambda: Start(read_only=chance.choice(READ_ONLY)),
        lambda: Start(terminal=chance.choice(list(TERMINALS))),
        lambda: Start(chance.choice((GOOD, *CHANGES)), chance.choice(READ_ONLY), chance.choice(("", *TERMINALS))),
    ]
    every = [*(Start(change=change) for change in CHANGES), *(Start(read_only=value) for value in READ_ONLY)]
    every += [Start(terminal=name) for name in TERMINALS]
    drawn = [*every, *(chance.choice(ways)() for _ in range(count - len(every)))]
    chance.shuffle(drawn)
    return drawn


@pytest.mark.soak
def test_two_hundred_gates_and_only_those_that_granted_sent_anything(ground: Ground) -> None:
    starts = draw(seed=7, count=200)
    ends = Counter(run(ground, start) for start in starts)
    assert ends["sent"] == sum(start.good for start in starts) > 20, ends
    assert ends.total() == 200
