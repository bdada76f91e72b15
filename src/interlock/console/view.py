"""What is known of a gate and its run at one moment, and the thread that finds it out.

Nobody who looks waits for it: a gate that hangs holds up this thread, and the view says how long there was no answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from interlock.console.told import JournalTold, Told
from interlock.domain.clock import NS_PER_S, Clock
from interlock.domain.errors import Refused
from interlock.gate.frames import GetStatus, Refusal, Role, Status
from interlock.gate.sockets import Client
from interlock.run.folder_names import gate_folder_of

ASK_EVERY_S: Final = 0.5
TIMEOUT_S: Final = 2.0
STALE_NS: Final = 3 * NS_PER_S
"""An answer so old is not shown as how things stand."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The gate's last answer, and when it came by the monotonic clock; or why there is none, and since when."""

    status: Status | None
    heard_ns: int
    gone: str = ""


@dataclass(frozen=True, slots=True)
class EngineStands:
    """What the engine wrote last, and how long ago that was, nanoseconds."""

    stands: dict[str, Any]
    age_ns: int

    @property
    def silent(self) -> bool:
        """Whether it has said nothing for so long that it counts as gone."""
        return self.age_ns > STALE_NS or bool(self.stands.get("ended"))


@dataclass(frozen=True, slots=True)
class View:
    """One moment. `status` is None while the gate is gone, then `gone` says why and `gone_ns` since when (monotonic); 0: it was never there."""

    wall_ns: int
    monotonic_ns: int
    boot_ns: int
    status: Status | None
    gone: str
    gone_ns: int
    mode: str = ""
    engine: EngineStands | None = None
    told: Told = field(default_factory=Told)


class Watcher:
    """Asks in a thread, again and again, while the block runs. `run` is the folder of a run, None where only the gate's socket is known."""

    def __init__(self, socket: Path, server_uids: frozenset[int], run: Path | None, clock: Clock, boot_ns: Callable[[], int]) -> None:
        self._socket = socket
        self._uids = server_uids
        self._run = run
        self._clock = clock
        self._boot_ns = boot_ns
        self._answer = Answer(None, 0, "not asked yet")
        self._told = Told()
        self._stop = threading.Event()
        self._looked = threading.Event()
        self._thread = threading.Thread(target=self._ask_again_and_again, name="watch", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        # So that the first picture has something to show; a gate that hangs does not hold it up for long.
        self._looked.wait(ASK_EVERY_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(ASK_EVERY_S)

    def view(self) -> View:
        """How things stand now, as far as is known."""
        answer, now_ns = self._answer, self._clock.monotonic_ns()
        fresh = answer.status is not None and not answer.gone and now_ns - answer.heard_ns <= STALE_NS
        return View(
            wall_ns=self._clock.now_ns(),
            monotonic_ns=now_ns,
            boot_ns=self._boot_ns(),
            status=answer.status if fresh else None,
            gone="" if fresh else answer.gone or "it does not answer",
            gone_ns=0 if fresh else answer.heard_ns,
            mode=self._mode(),
            engine=self._engine(),
            told=self._told,
        )

    def _ask_again_and_again(self) -> None:
        client: Client | None = None
        journal = None if self._run is None else JournalTold(gate_folder_of(self._run) / "journal")
        while True:
            client = self._ask(client)
            if journal is not None:
                self._told = journal.read()
            self._looked.set()
            if self._stop.wait(ASK_EVERY_S):
                break
        for held in (client, journal):
            if held is not None:
                held.close()

    def _ask(self, client: Client | None) -> Client | None:
        try:
            client = client or Client(self._socket, Role.READ, self._uids, TIMEOUT_S)
            answer = client.request(GetStatus())
        except Refused as error:
            if client is not None:
                client.close()
            self._answer = Answer(None, self._answer.heard_ns, str(error))
            return None
        if isinstance(answer, Status):
            self._answer = Answer(answer, self._clock.monotonic_ns())
        else:
            said = answer.detail if isinstance(answer, Refusal) else type(answer).__name__
            self._answer = Answer(None, self._answer.heard_ns, f"it answered otherwise than expected: {said}")
        return client

    def _mode(self) -> str:
        found = None if self._run is None else _read(self._run / "run.json")
        return "" if found is None else str(found.get("mode", ""))

    def _engine(self) -> EngineStands | None:
        if self._run is None:
            return None
        path = self._run / "engine" / "engine.json"
        found = _read(path)
        if found is None:
            return None
        try:
            written_ns = path.stat().st_mtime_ns
        except OSError:
            return None
        return EngineStands(found, max(0, self._clock.now_ns() - written_ns))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
