"""`interlock drill`: prove that the sentinel cancels a real order while the gate stands still."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.gate_ceremony import Hand, Wish, hand, hold
from interlock.cli.gate_client import GateClient, GateRefused, ServerUser, Socket, note, say, user
from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import Refused, UsageError
from interlock.gate.frames import DrillEnd, Role, Status
from interlock.sentinel import control
from interlock.sentinel.gate_process import GateIdentity, Life, identity_of, look

DRILL_LIFETIME_NS = 60 * NS_PER_S
SILENCE_S = 10.0
STANDS_S = 1.0
_GO_ON_FIRST = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def drill(
    *,
    socket: Socket,
    symbol: str = "",
    max_notional_usd: str = "",
    scripted: bool = False,
    ack: str = "",
    sentinel: Path | None = None,
    server_user: ServerUser = None,
    sentinel_user: Annotated[int | None, Parameter(name="--sentinel-user")] = None,
    json: bool = False,
) -> int:
    """Place one real order, stop the gate's process, let the sentinel cancel the order, let the gate go on: exit 0 only if that is proven.

    Parameters
    ----------
    socket
        The gate's raise socket.
    symbol
        VENUE/SYMBOL of the order (default: every one for which a drill is due).
    max_notional_usd
        A smaller cap than the environment's.
    scripted
        No person answers; only where every endpoint is loopback.
    ack
        With --scripted: the acknowledgement.
    sentinel
        The sentinel's socket (default: the one that the gate names).
    server_user
        The user id that the gate must have (default: ours).
    sentinel_user
        The user id that the sentinel must have (default: the gate's).
    json
        Print one JSON object instead of text.
    """
    who = hand(scripted=scripted, ack=ack, json=json)
    wish = Wish(max_notional_usd, DRILL_LIFETIME_NS, 0)
    runs: list[dict[str, Any]] = []
    refusals: list[dict[str, str]] = []
    with GateClient(socket, Role.RAISE, server_user) as client:
        symbols = (symbol,) if symbol else due(client.status())
        if not symbols:
            raise UsageError("--symbol: expected one, as no drill is due; name VENUE/SYMBOL")
        expected = server_user if sentinel_user is None else sentinel_user
        try:
            run_drills(client, symbols, wish, who, sentinel=sentinel, sentinel_user=expected, runs=runs)
        except GateRefused as no:
            refusals = no.refusals
    if refusals:
        told: dict[str, Any] = {"result": "REFUSED", "refusals": refusals, "drills": runs}
    else:
        told = {"result": verdict_of(runs), "drills": runs}
    lines = [f"{one['symbol']}: {one['verdict']}, {one['cancelled']} of {one['placed']} cancelled; {one['detail']}" for one in runs]
    say(told, "\n".join([*lines, *(f"refused, {one['rule']}: {one['message']}" for one in refusals)]), json=json)
    return exit_codes.DONE if told["result"] == "PASS" else exit_codes.REFUSED


def due(stands: Status) -> tuple[str, ...]:
    """The "venue/symbol" of every drill that the gate says is needed, one for each venue."""
    return tuple(map(str, stands.report.get("drill_symbols") or ()))


def verdict_of(runs: Sequence[dict[str, Any]]) -> str:
    """The worst verdict of several drills; none at all is UNKNOWN."""
    verdicts = {one["verdict"] for one in runs}
    if verdicts == {"PASS"}:
        return "PASS"
    return "UNKNOWN" if verdicts <= {"PASS", "UNKNOWN"} else "FAIL"


def run_drills(
    client: GateClient,
    symbols: Sequence[str],
    wish: Wish,
    who: Hand,
    *,
    sentinel: Path | None,
    sentinel_user: int | None,
    runs: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """One drill after the other, up to the first that does not pass; each as it ended. Raises GateRefused and Refused.

    What was done before a refusal stands in `runs`, if that is given.
    """
    done = [] if runs is None else runs
    with _handle(client.server.pid) as handle:
        for symbol in symbols:
            # Whoever answers from here on is the process of the handle: had it ended, its connection would have ended with it.
            begun = hold(client, replace(wish, drill_symbol=symbol), who)
            done.append({"symbol": symbol, **_run(client, begun, handle, sentinel, sentinel_user)})
            if done[-1]["verdict"] != "PASS":
                break
    return done


@contextmanager
def _handle(pid: int) -> Iterator[int]:
    """A hold on the gate's process, so that no other one can be meant. Raises Refused for a process that must not or cannot be stopped."""
    if pid <= 1 or pid == os.getpid():
        raise Refused(
            f"drill: expected the gate in a process of its own that can be seen from here, found process {pid}; run it beside the gate"
        )
    try:
        handle = os.pidfd_open(pid)
    except OSError as error:
        raise Refused(f"drill: expected to hold the gate's process {pid}, found: {error.strerror}; run it beside the gate") from error
    try:
        yield handle
    finally:
        os.close(handle)


def _run(client: GateClient, begun: dict[str, Any], handle: int, sentinel: Path | None, sentinel_user: int | None) -> dict[str, Any]:
    """From the resting order to the gate's verdict. However it fails, the gate goes on and is told that the drill is over."""
    verdict, problem = "UNKNOWN", ""
    cancelled: dict[str, int] = {}
    drill_id, pid = str(begun.get("drill_id", "")), client.server.pid
    try:
        if begun.get("pid") != pid:
            raise Refused(f"expected the gate's process to be {pid}, which listens, found {begun.get('pid')!r} in its answer")
        path = sentinel or Path(str(begun.get("sentinel") or client.path.with_name(control.NAME)))
        with _standing(identity_of(pid), handle):
            verdict, cancelled = _cancelled_by_sentinel(path, user(sentinel_user))
    except (OSError, Refused) as error:
        problem = str(error)
    finally:
        report = client.done(DrillEnd(drill_id=drill_id, verdict=verdict, cancelled=cancelled))
    judged = str(report.get("verdict"))
    if judged == "PASS" and (problem or verdict == "FAIL"):
        judged = "FAIL"
    return {
        "drill_id": drill_id,
        "client_id": str(begun.get("client_id", "")),
        "verdict": judged if judged in ("PASS", "FAIL", "UNKNOWN") else "UNKNOWN",
        **{name: report.get(name, 0) for name in ("placed", "cancelled", "remaining")},
        "detail": "; ".join(part for part in (problem, str(report.get("detail", ""))) if part),
        "sentinel": verdict,
    }


@contextmanager
def _standing(gate: GateIdentity, handle: int) -> Iterator[None]:
    """Stop the gate's process and let it go on, also when this command is ended meanwhile. Raises Refused if it does not stand."""

    def go_on() -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGCONT)

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        # First of all, whatever else the interruption hits.
        go_on()
        raise KeyboardInterrupt

    # Python lets only the main thread hear signals; elsewhere the `finally` has to do.
    heard = _GO_ON_FIRST if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, interrupted) for number in heard}
    try:
        _stop(gate, handle)
        yield
    finally:
        go_on()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _stop(gate: GateIdentity, handle: int) -> None:
    try:
        signal.pidfd_send_signal(handle, signal.SIGSTOP)
    except OSError as error:
        raise Refused(f"drill: expected to stop process {gate.pid}, found: {error.strerror}; run it as the gate's user") from error
    end_s = time.monotonic() + STANDS_S
    while (life := look(gate)) is not Life.STOPPED:
        if life is Life.GONE or time.monotonic() > end_s:
            raise Refused(f"drill: expected process {gate.pid} to stand, found it {life.value}; begin again")
        time.sleep(0.001)


def _cancelled_by_sentinel(path: Path, sentinel_user: int) -> tuple[str, dict[str, int]]:
    """Let the sentinel drill; its verdict and how many orders it cancelled, by venue. Raises Refused."""
    for event in control.ask(path, {"verb": "drill", "source": "interlock drill"}, frozenset({sentinel_user}), SILENCE_S):
        note(" ".join(f"{name}={value}" if name != "event" else str(value) for name, value in event.items()))
        if event.get("event") == "REFUSED":
            raise Refused(f"the sentinel refused: {event.get('reason')}")
        if event.get("event") == "DRILLED":
            try:
                return str(event.get("verdict")), msgspec.convert(event.get("cancelled"), dict[str, int])
            except msgspec.ValidationError as error:
                raise Refused(
                    f"expected counts by venue from the sentinel, found something else ({error}); which one is running?"
                ) from error
    raise Refused("expected the sentinel to end the drill, found that it hung up; is it running?")
