"""`interlock resume`: clear a latch, or raise the base level, having seen how things stand."""

from __future__ import annotations

from typing import Any, Literal

from interlock.cli import exit_codes
from interlock.cli.gate_client import GateClient, ServerUser, Socket, draw_nonce, note, say
from interlock.domain.errors import UsageError
from interlock.gate.frames import Resume, Role, Status
from interlock.gate.records import Level, Scope


def resume(
    *,
    socket: Socket,
    latch: str = "",
    scope: Literal["all", "account", "symbol", "strategy", "order"] = "all",
    subject: str = "",
    level: Literal["run", "reduce_only", "cancel_only"] = "run",
    server_user: ServerUser = None,
    json: bool = False,
) -> int:
    """Clear one latch, or without --latch raise the base level. A latch that still holds keeps holding.

    Parameters
    ----------
    socket
        The gate's raise socket.
    latch
        The name of the latch to clear, as `interlock status` shows it.
    scope
        The latch's scope.
    subject
        The latch's subject; none with scope all.
    level
        The base level to raise to; not with --latch.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print one JSON object instead of text.
    """
    if latch and level != "run":
        raise UsageError("--level: expected none with --latch, which changes no base level; resume twice")
    if not latch and (subject or scope != "all"):
        raise UsageError("--latch: expected the name of the latch of that scope and subject, found none")
    if latch and (scope == "all") is bool(subject):
        raise UsageError(f"--subject: expected one with every scope but all, found {subject!r} with {scope}")
    with GateClient(socket, Role.RAISE, server_user) as client:
        stands = client.status()
        cleared = _holding(stands, latch, scope, subject) if latch else []
        note(
            f"state version {stands.state_version}: "
            + (f"clears {cleared or 'nothing that is in force'}" if latch else _raises(stands, level))
        )
        report = client.done(
            Resume(
                level=Level(level),
                latch=latch,
                scope=Scope(scope),
                subject=subject,
                state_version=stands.state_version,
                nonce=draw_nonce(),
            )
        )
    result, version = "CLEARED" if latch else "RESUMED", report.get("state_version")
    told = {"cleared": cleared, "level": None if latch else level, "seen_version": stands.state_version, "state_version": version}
    say({"result": result, **told}, f"{result.lower()}; state version {version}", json=json)
    return exit_codes.DONE


def _holding(stands: Status, name: str, scope: str, subject: str) -> list[dict[str, Any]]:
    latches = stands.report.get("latches") or ()
    return [one for one in latches if (one.get("name"), one.get("scope"), one.get("subject")) == (name, scope, subject)]


def _raises(stands: Status, level: str) -> str:
    held = ", ".join(f"{one.get('name')} {one.get('scope')} {one.get('subject')}".rstrip() for one in stands.report.get("latches") or ())
    return f"raises the base level from {stands.report.get('base', 'unknown')} to {level}; latches that go on holding: {held or 'none'}"
