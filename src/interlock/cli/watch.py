"""`interlock watch`: a running gate, live in the terminal."""

from __future__ import annotations

import json as json_format
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import msgspec
from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.gate_client import ServerUser, boot_ns, user
from interlock.domain.errors import BadInput, UsageError


def watch(
    *,
    socket: Annotated[Path | None, Parameter(name="--socket")] = None,
    run: Path | None = None,
    lower: Path | None = None,
    server_user: ServerUser = None,
    json: bool = False,
) -> int:
    """Watch a gate: mode, grant, latches, books and their age, quotes, positions, P&L and edge, limits' headroom, the last events.

    In a terminal K and then K or Enter kills, as `interlock kill` does; q or Ctrl-C leaves and kills nothing. Into a pipe it writes one line a
    second. A gate that does not answer is shown as gone, and nothing of its last state.

    Parameters
    ----------
    socket
        The gate's read socket (default: that of the gate in --run).
    run
        The folder of a run: for its mode, engine, journal (events, headroom, edge). Without it only what the gate itself tells is shown.
    lower
        The gate's lower socket, for the kill (default: lower.sock beside the read socket).
    server_user
        The user id that the gate must have (default: ours).
    json
        Write one JSON object a second instead of a screen or lines.
    """
    if socket is None and run is None:
        raise UsageError("expected --socket READ, --run DIR, or both; `interlock gate serve` and `interlock run` name them")
    if run is not None and not (run / "journal").is_dir():
        raise BadInput(run, "", "expected the folder of a gate or run with its journal/, found none")
    from rich.console import Console

    from interlock.cli.kill import kill_from_a_key
    from interlock.console.screen import line
    from interlock.console.view import View, Watcher
    from interlock.console.watch import watch_lines, watch_terminal
    from interlock.domain.clock import SystemClock

    read = socket or _socket_of(run)
    lowering = lower or read.with_name("lower.sock")

    def say(view: View) -> None:
        print(json_format.dumps(_plain(view), ensure_ascii=False) if json else line(view), flush=True)

    clock = SystemClock()
    # Ctrl-Z would leave the shell with our screen and our keys.
    before = [(number, signal.signal(number, handler)) for number, handler in ((signal.SIGTERM, _leave), (signal.SIGTSTP, signal.SIG_IGN))]
    try:
        with Watcher(read, frozenset({user(server_user)}), run, clock, boot_ns) as watcher:
            if json or not sys.stdout.isatty():
                watch_lines(watcher.view, say)
            keyboard = sys.stdin if sys.stdin is not None and sys.stdin.isatty() else None
            watch_terminal(watcher.view, lambda tell: kill_from_a_key(lowering, server_user, tell), clock, Console(), keyboard)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    return exit_codes.DONE


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """As Ctrl-C, so that the terminal is put back."""
    raise KeyboardInterrupt


def _socket_of(run: Path | None) -> Path:
    """The read socket of the gate in a folder, whose sockets lie elsewhere where its path is long."""
    from interlock.run.folder_names import gate_folder_of
    from interlock.run.gate_config import read_gate_config

    assert run is not None
    told = gate_folder_of(run) / "run" / "gate.json"
    if not told.exists():
        raise BadInput(told, "", "expected what a gate wrote when it began, found none; name its socket with --socket")
    return read_gate_config(told).sockets / "read.sock"


def _plain(view: Any) -> dict[str, Any]:
    told = view.told
    return {
        "wall_ns": view.wall_ns,
        "mode": view.mode or None,
        "gone": view.gone or None,
        "armed": None if view.status is None else view.status.armed,
        "gate": None if view.status is None else msgspec.to_builtins(view.status.report),
        "engine": None if view.engine is None else {"age_ns": view.engine.age_ns, "gone": view.engine.silent, **view.engine.stands},
        "events": [msgspec.to_builtins(one) for one in told.events],
        "limits": [{**one._asdict(), "verdict": one.verdict.value, "unit": one.unit.value} for one in told.limits],
        "fills": told.fills,
        "pnl_usd": None if told.pnl_usd is None else str(told.pnl_usd),
        "traded_usd": str(told.traded_usd),
        "edge_bps": None if told.edge_bps is None else str(told.edge_bps),
        "since_lsn": told.from_lsn,
        "problem": told.problem or None,
    }
