"""A market maker at simulated venues whose processes die at instants that are drawn: gate, sentinel and engine, in one folder with one journal.

The processes are the real ones, started as `interlock run` starts them; this test is their supervisor, so that the death of a gate does not
cost a whole start.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.gate.serving import ACK, INTERLOCK, Serving, command, conditions, start
from tests.run.live_ground import LiveGround, example, live_ground

from interlock.cli.gate_client import draw_nonce
from interlock.domain.errors import InterlockError
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.sockets import Client
from interlock.run.gate_config import read_gate_config
from interlock.run.live import public_places
from interlock.run.venue_child import ENVIRONMENT as ENGINE_ENVIRONMENT
from interlock.sentinel.gate_process import GateIdentity, Life, look
from interlock.trace.check import check
from interlock.trace.facts import read_facts

LOT = Decimal("0.001")
"""Of BTCUSDT at Bybit."""
STRATEGY = "making"
MAY_LATCH = frozenset({"sentinel_silent", "reconnect", "feed_stale", "rate_limit", "clock", "checker_silent", "killed"})
"""What deaths in a row, or a busy machine, may latch; a person clears it. Whatever else latches is a finding."""
WITHIN_S = 120.0


class Who(StrEnum):
    """Whose death it is."""

    ENGINE = "engine"
    SENTINEL = "sentinel"
    GATE = "gate"


@dataclass(frozen=True)
class Death:
    """Somebody's, so long after the one before (or after the maker has orders at the venue)."""

    who: Who
    after_s: float


@dataclass
class Tree:
    """The processes that are alive, and what was seen of deaths."""

    ground: LiveGround
    gate: Serving | None = None
    engine: subprocess.Popen[bytes] | None = None
    engine_prefix: tuple[str, ...] = ()
    """What the engine's command is put behind."""
    with_orders: Counter[Who] = field(default_factory=Counter)
    """How often somebody died while orders of ours were open at the venue."""
    deaths: Counter[Who] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    # Lives

    def begin(self) -> None:
        """Everything that does not live is started; comes back when the gate can be spoken to."""
        if self.engine is None:
            self.engine = self._start_engine()
        if self.gate is None:
            limits = example().with_name("limits-making-bybit.toml")
            given = ("--dir", str(self.ground.out), "--venue", "served", "--places", str(self.ground.places), "--limits", str(limits))
            self.gate = start(self.ground.out, command=[*INTERLOCK, "gate", "serve", *given, "--json"])

    def _start_engine(self) -> subprocess.Popen[bytes]:
        folder = self.ground.out / "engine"
        folder.mkdir(parents=True, exist_ok=True)
        told = {
            "config": str(example()),
            "out": str(folder),
            "where": "loopback",
            "strategy": STRATEGY,
            "intent": str(self.ground.out / "run" / "intent.sock"),
            "places": public_places(json.loads(self.ground.places.read_bytes())),
        }
        (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
        with (folder / "engine.log").open("ab") as log:
            return subprocess.Popen(
                [*self.engine_prefix, sys.executable, "-P", "-m", "interlock.run.engine_process", str(folder / "config.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: os.environ[name] for name in ENGINE_ENVIRONMENT if name in os.environ},
            )

    def close(self) -> None:
        """Nobody is left."""
        if self.engine is not None:
            self.engine.kill()
            self.engine.wait()
        if self.gate is not None:
            self.gate.die()

    def sentinel(self) -> GateIdentity | None:
        """The sentinel that is written down, if it lives."""
        config = read_gate_config(self.ground.out / "run" / "gate.json")
        found = (GateIdentity(pid, ticks) for pid, ticks, _ in config.children if pid == config.sentinel_pid)
        return next((one for one in found if look(one) is not Life.GONE), None)

    # Deaths

    def die(self, deaths: Sequence[Death]) -> None:
        """These die, one after the other."""
        for death in deaths:
            time.sleep(death.after_s)
            open_ids = self.ground.hand.open_ids("bybit")
            if self._kill(death.who):
                self.deaths[death.who] += 1
                self.with_orders[death.who] += bool(open_ids)

    def _kill(self, who: Who) -> bool:
        match who:
            case Who.ENGINE if self.engine is not None:
                self.engine.kill()
                self.engine.wait()
                # As the supervisor does it, at once.
                self.engine = self._start_engine()
            case Who.GATE if self.gate is not None:
                self.gate.die()
                self.gate = None
            case Who.SENTINEL:
                self.until(lambda: self.sentinel() is not None, "no sentinel was started in the place of the last one")
                found = self.sentinel()
                assert found is not None
                os.kill(found.pid, signal.SIGKILL)
            case _:
                return False
        return True

    # Recovery

    def armed(self) -> None:
        """Cleared and armed by a script; the first time with the kill drill."""
        self.unlatch()
        said: list[Any] = []
        if self.report()["drill_symbols"]:
            given = ("--scripted", "--ack", ACK, "--max-notional-usd", "1000", "--for", "1h")
            raising = str(self.ground.out / "run" / "raise.sock")
            # On a busy machine a feed or a clock is usable only after a while, and a drill that begins before does not pass.
            self.until(lambda: not self.report()["trips"], "something trips for good")

            def drilled() -> bool:
                said.append(command("arm", "--socket", raising, *given, env=conditions(LIVE_MAX_NOTIONAL_USD="1000"), timeout_s=120))
                return bool(said[-1][0] == 0)

            self.until(drilled, "the gate would not be armed", said)
            return

        def done() -> bool:
            self.unlatch()
            said.append(self._ceremony())
            return isinstance(said[-1], f.Done)

        self.until(done, "the gate would not be armed", said)

    def _ceremony(self) -> f.AnyFrame:
        assert self.gate is not None
        with Client(Path(self.gate.paths["raise"]), f.Role.RAISE, frozenset({os.geteuid()})) as client:
            challenge = client.request(
                f.ArmBegin(
                    conditions=conditions(LIVE_MAX_NOTIONAL_USD="1000"),
                    max_notional_usd="1000",
                    lifetime_ns=3_600 * 10**9,
                    mandate_ns=0,
                    scripted=True,
                    state_version=self.gate.stands().state_version,
                    nonce=draw_nonce(),
                )
            )
            if not isinstance(challenge, f.Challenge):
                return challenge
            return client.request(
                f.ArmAnswer(challenge_id=challenge.challenge_id, acknowledgement=ACK, phrase=challenge.phrase, level_nonce=draw_nonce())
            )

    def unlatch(self) -> None:
        """What a person does after the third silence of an hour. Raises AssertionError for a latch that no death explains."""
        assert self.gate is not None
        for latch in self.report()["latches"]:
            assert latch["name"] in MAY_LATCH, (latch, self.ground.said())
            self.gate.ask(
                f.Role.RAISE,
                f.Resume(
                    level=r.Level.RUN,
                    latch=latch["name"],
                    scope=r.Scope(latch["scope"]),
                    subject=latch["subject"],
                    state_version=self.gate.stands().state_version,
                    nonce=draw_nonce(),
                ),
            )

    def disarmed(self) -> None:
        """A gate that lived on takes everything back; one that was started again is disarmed already."""
        assert self.gate is not None
        if self.gate.stands().armed:
            self.gate.ask(f.Role.LOWER, f.Disarm(reason="judging"))

    def quoting(self) -> None:
        """Wait until the maker has an order at the venue."""

        def quotes() -> bool:
            if self.ground.hand.open_ids("bybit"):
                return True
            self.unlatch()
            return False

        self.until(quotes, "the maker has no order at the venue")

    def report(self) -> dict[str, Any]:
        assert self.gate is not None
        return self.gate.report()

    def until(self, so: Callable[[], object], what: str, said: Sequence[object] = ()) -> None:
        """Wait until something is so. Raises AssertionError with what the processes had to say."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            why: object = ""
            try:
                if so():
                    return
            except InterlockError as error:
                why = error  # a gate that is busy; whether it comes to itself is what is waited for
            assert time.monotonic() < deadline, (what, why, said[-1:], self.ground.said(), self.complaints())
            assert self.gate is None or self.gate.process.poll() is None, (what, self.complaints())
            time.sleep(0.05)

    def complaints(self) -> str:
        """What gate and sentinel had to say."""
        files = (self.ground.out / "gate.stderr", self.ground.out / "log" / "sentinel.log")
        return "\n".join(file.read_text(encoding="utf-8")[-2000:] for file in files if file.exists())

    # Judging

    def at_rest(self) -> None:
        """Wait until a gate that was started again has made of what it found all that can be made of it.

        What the venue never had stays unknown until a later order of ours is in its lists, which takes a gate that is armed.
        """

        def rests() -> bool:
            report = self.report()
            unsettled = any(one["rule"] in ("not_reconciled", "market") for one in report["why_not"])
            alive = {one["client_id"] for one in report["orders"]["list"]}
            known = {order["client_id"] for order in self.ground.hand.state("bybit")["orders"]}
            return not unsettled and not alive & known and not self.ground.hand.open_ids("bybit")

        seen: list[Any] = []

        def rests_or_why() -> bool:
            if rests():
                return True
            report = self.report()
            seen.append((report["orders"], report["why_not"], self.ground.hand.open_ids("bybit")))
            return False

        self.until(rests_or_why, "orders are left at the venue or in the gate", seen)

    def judge(self) -> int:
        """Hold the journal against all that the venue knows, while nothing is armed; how many records it has."""
        stands = {one["symbol"]: one["lots"] * LOT for one in self.report()["positions"] if one["lots"]}
        held = {symbol: Decimal(size) for symbol, size in self.ground.hand.state("bybit")["positions"].items() if Decimal(size)}
        assert stands == held, "positions differ from the venue's"
        found = judged(self.ground.out, Path(self.ground.where["witness"]), self.journal_now())
        assert found.problems == []
        return found.records

    def journal_now(self) -> Path:
        """The journal as it is at one moment, in a folder of its own; the gate stands still meanwhile, too briefly for its sentinel to mind."""
        assert self.gate is not None
        copy = self.ground.folder / "journal-now"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        self.gate.process.send_signal(signal.SIGSTOP)
        try:
            *ended, newest = sorted((self.ground.out / "journal").glob("*.seg"))
            for file in (*ended, *(self.ground.out / "journal").glob("*.snap")):
                os.link(file, copy / file.name)  # nobody writes there any more
            shutil.copy(newest, copy)
        finally:
            self.gate.process.send_signal(signal.SIGCONT)
        return copy


@dataclass(frozen=True)
class Judged:
    """What was found in a journal, and how long it is."""

    problems: list[str]
    records: int


def judged(out: Path, witness: Path, journal: Path | None = None) -> Judged:
    """What is wrong with a journal beside a witness, in words: every violation of the checker, and every write that came twice."""
    report = check(
        out / "journal" if journal is None else journal,
        witness=witness,
        truth=witness.with_name("truth.jsonl"),
        facts=read_facts(out / "run" / "facts.json"),
    )
    whole, _, _ = witness.read_text(encoding="utf-8").rpartition("\n")
    raising = Counter((line["client_id"], line["revision"]) for line in map(json.loads, whole.splitlines()) if line.get("class") == "RISK+")
    twice = [f"{key} reached the venue {count} times" for key, count in raising.items() if count > 1]
    return Judged([*map(str, report.violations), *twice], report.records)


@contextmanager
def crashing(folder: Path) -> Iterator[Tree]:
    """Simulators and a tree of processes that has begun, armed for the first time."""
    with live_ground(folder) as ground:
        tree = Tree(ground)
        try:
            tree.begin()
            yield tree
        finally:
            tree.close()


def deaths_of(chance: random.Random, whom: Sequence[Who], most_s: Mapping[Who, float]) -> list[Death]:
    """One death each, in an order and at instants that are drawn."""
    order = list(whom)
    chance.shuffle(order)
    return [Death(who, chance.uniform(0.0, most_s[who])) for who in order]
