"""`interlock kill`: stop everything now. The sentinel is told first, and only what it has read back from the venues counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.gate_client import GateClient, ServerUser, Socket, note, say, user
from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import Refused
from interlock.gate.frames import Done, Kill, Refusal, Role
from interlock.sentinel import control

SOURCE = "interlock kill"
GATE_S = 1.0
"""How long the gate has for its answer, and how long the sentinel may keep the gate from being told."""
SILENCE_S = 10.0
NO_WAIT_S = 1.0
PATIENCE = 10
"""How often in a row, a second apart, the sentinel may say that it waits and cannot become final by waiting, until the command comes back."""
UNCONFIRMED, SWEPT, FINAL = "UNCONFIRMED", "SWEPT", "FINAL"
BY_HAND = (
    "what is still open is not known: look at each venue's own page, cancel there by hand, start the sentinel if it is not running, "
    "and repeat `interlock kill` until it says FINAL"
)
ASK_THE_VENUE = (
    "nothing is open any more, and these orders stay unresolved, however long one waits: ask the venue itself about them, then start the gate "
    "anew, which finds out or takes a person's word (`interlock release`)"
)
GOES_ON = "the sentinel goes on stopping and cancelling; `interlock kill` follows it again"


class Told:
    """The gate is told in a thread of its own: one that is stopped, slow or gone delays nothing and fails nothing."""

    def __init__(self, path: Path, server_user: int | None) -> None:
        self._path = path
        self._server_user = server_user
        self._now = threading.Event()
        self._answered = threading.Event()
        self._answer = ""
        self._end_s = time.monotonic() + 2 * GATE_S
        threading.Thread(target=self._tell, name="kill-gate", daemon=True).start()

    def now(self) -> None:
        """The sentinel has it, or will not have it: tell the gate."""
        if not self._now.is_set():
            self._end_s = time.monotonic() + GATE_S
            self._now.set()

    def _tell(self) -> None:
        self._now.wait(GATE_S)
        try:
            with GateClient(self._path, Role.LOWER, self._server_user, GATE_S) as client:
                answer = client.request(Kill(source=SOURCE))
        except Refused as error:
            self._answer = f"did not answer: {error}"
        else:
            self._answer = "told" if isinstance(answer, Done) else f"did not answer: {_words(answer)}"
        self._answered.set()

    def answer(self) -> str:
        """`told`, or why that is not known; waits no longer than the gate has."""
        self.now()
        if not self._answered.wait(max(0.0, self._end_s - time.monotonic())):
            return f"did not answer: nothing came within {GATE_S:g} s"
        return self._answer


class Reached:
    """How far the sentinel has come, by its events. What comes late undoes SWEPT; nothing undoes FINAL."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.result = UNCONFIRMED
        self.unresolved: dict[str, str] = {}
        """By venue, what the sentinel cannot find out by waiting."""
        self._open: set[str] = set()
        """Venues that are not final."""
        self._lost: set[str] = set()
        """Those that do not tell how certain orders ended. Where it is the gate that may still send, waiting is right."""
        self._waited = 0

    def see(self, event: Mapping[str, Any]) -> None:
        """Take up one event."""
        name, venue = event.get("event"), str(event.get("venue", ""))
        self._waited = self._waited + 1 if name == "WAITING" else 0
        if name != "WAITING":
            self.events.append(dict(event))
        match name:
            case "VENUE_SWEPT":
                self._open.add(venue)
            case "VENUE_FINAL":
                self._open.discard(venue)
                self._settle(venue)
            case "UNRESOLVED":
                self.unresolved[venue] = str(event.get("reason", ""))
                if event.get("client_ids"):
                    self._lost.add(venue)
                else:
                    self._lost.discard(venue)
            case "RESOLVING" | "LATE":
                self._settle(venue)
            case "SUPERSEDED":
                self._open.clear()
                self._lost.clear()
                self.unresolved.clear()
        if self.result == FINAL:
            return
        if name in (SWEPT, FINAL):
            self.result = str(name)
        elif name in ("LATE", "SUPERSEDED"):
            self.result = UNCONFIRMED

    @property
    def stuck(self) -> bool:
        """Whether nothing is open, and waiting has made nothing more certain for `PATIENCE` seconds."""
        return self.result == SWEPT and bool(self._open) and self._open <= self._lost and self._waited >= PATIENCE

    def _settle(self, venue: str) -> None:
        """What was told of a venue does not hold any more, or may not."""
        self._lost.discard(venue)
        self.unresolved.pop(venue, None)

    @property
    def taken(self) -> bool:
        """Whether the sentinel has it."""
        return any(event.get("event") == "REQUESTED" for event in self.events)


def kill(
    *,
    socket: Socket,
    sentinel: Path | None = None,
    no_wait: Annotated[bool, Parameter(name="--no-wait")] = False,
    server_user: ServerUser = None,
    sentinel_user: Annotated[int | None, Parameter(name="--sentinel-user")] = None,
    json: bool = False,
) -> int:
    """Stop the gate and cancel every order of the account: exit 0 only when the sentinel says FINAL.

    It comes back at SWEPT where waiting cannot show how an order ended, and names those orders.

    Parameters
    ----------
    socket
        The gate's lower socket.
    sentinel
        The sentinel's socket (default: sentinel.sock beside the gate's).
    no_wait
        Come back at SWEPT, or after a second; the exit code is then 1, and the kill goes on.
    server_user
        The user id that the gate must have (default: ours).
    sentinel_user
        The user id that the sentinel must have (default: the gate's).
    json
        Print one JSON object instead of text.
    """
    begun_ns = time.monotonic_ns()
    path = sentinel or socket.with_name(control.NAME)
    expected = user(server_user if sentinel_user is None else sentinel_user)
    gate, reached = Told(socket, server_user), Reached()
    problem, interrupted = "", False
    try:
        problem = stop(path, expected, gate, reached, note, lambda: no_wait and _enough(reached, begun_ns))
    except KeyboardInterrupt:
        # The gate is told all the same: whoever wants no kill does not call for one.
        interrupted = True
    finally:
        took_ms = (time.monotonic_ns() - begun_ns) // NS_PER_MS
        # Also when nobody reads our words any more.
        told = gate.answer()
    if interrupted:
        note(f"interrupted: {GOES_ON}" if reached.taken else f"interrupted before the sentinel had it: {BY_HAND}")
    elif reached.result != FINAL:
        note(f"{problem}; {BY_HAND}" if problem else f"{ASK_THE_VENUE}; {GOES_ON}" if reached.stuck else GOES_ON)
    say(
        {"result": reached.result, "gate": told, "took_ms": took_ms, "unresolved": reached.unresolved, "events": reached.events},
        f"{reached.result} after {took_ms} ms; gate: {told}",
        json=json,
    )
    if interrupted:
        return exit_codes.INTERRUPTED
    return exit_codes.DONE if reached.result == FINAL else exit_codes.REFUSED


def stop(path: Path, expected: int, gate: Told, reached: Reached, tell: Callable[[str], None], enough: Callable[[], bool]) -> str:
    """Have the sentinel stop everything, then the gate told, and tell each event until it is FINAL, waiting cannot make it so, or it is `enough`.

    Gives what went wrong, in words for a person; empty if nothing did.
    """
    try:
        for event in _events(path, expected):
            reached.see(event)
            gate.now()
            tell(_line(event))
            if reached.result == FINAL or reached.stuck or enough():
                return ""
    except Refused as error:
        return str(error)
    return f"{path}: expected FINAL, found that the sentinel hung up"


def kill_from_a_key(socket: Path, server_user: int | None, tell: Callable[[str], None]) -> None:
    """The same as the command `kill --socket`, told line by line, for a view that goes on meanwhile."""
    gate, reached = Told(socket, server_user), Reached()
    problem = stop(socket.with_name(control.NAME), user(server_user), gate, reached, tell, lambda: False)
    tell(f"{reached.result}; gate: {gate.answer()}")
    if reached.result != FINAL:
        tell(f"{problem}; {BY_HAND}" if problem else f"{ASK_THE_VENUE}; {GOES_ON}")


def _events(path: Path, expected: int) -> Iterator[dict[str, Any]]:
    """What the sentinel tells. Raises Refused, also for one that will not do it."""
    for event in control.ask(path, {"verb": "kill", "source": SOURCE}, frozenset({expected}), SILENCE_S):
        if event.get("event") == "REFUSED":
            raise Refused(f"{path}: expected a sentinel that stops, found that it refused: {event.get('reason')}")
        yield event


def _enough(reached: Reached, begun_ns: int) -> bool:
    return reached.result == SWEPT or time.monotonic_ns() - begun_ns > NO_WAIT_S * NS_PER_S


def _words(answer: object) -> str:
    return f"it refused, {answer.rule}: {answer.detail}" if isinstance(answer, Refusal) else f"it said {type(answer).__name__}"


def _line(event: Mapping[str, Any]) -> str:
    fields = [f"{name}={value}" for name, value in event.items() if name != "event"]
    return " ".join([str(event.get("event")), *fields])
