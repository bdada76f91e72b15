"""`interlock freeze`: set a latch by hand."""

from __future__ import annotations

from typing import Literal

from interlock.cli import exit_codes
from interlock.cli.gate_client import GateClient, ServerUser, Socket, say
from interlock.domain.errors import UsageError
from interlock.gate.frames import Freeze, Role
from interlock.gate.records import Level, Scope


def freeze(
    *,
    socket: Socket,
    reason: str,
    scope: Literal["all", "account", "symbol", "strategy", "order"] = "all",
    subject: str = "",
    level: Literal["halt", "cancel_only", "reduce_only"] = "halt",
    server_user: ServerUser = None,
    json: bool = False,
) -> int:
    """Hold everything, or one subject, down to a level until a person clears the latch with `interlock resume`.

    Parameters
    ----------
    socket
        The gate's lower socket.
    reason
        Why, for the journal.
    scope
        What the latch holds for.
    subject
        Which account, symbol, strategy or order; none with scope all.
    level
        What is still let through.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print one JSON object instead of text.
    """
    if (scope == "all") is bool(subject):
        raise UsageError(f"--subject: expected one with every scope but all, found {subject!r} with {scope}")
    with GateClient(socket, Role.LOWER, server_user) as client:
        report = client.done(Freeze(scope=Scope(scope), subject=subject, level=Level(level), reason=reason))
    told = {**report, "result": "FROZEN", "scope": scope, "subject": subject, "level": level}
    say(told, f"{scope} {subject}".rstrip() + f" is held at {level}", json=json)
    return exit_codes.DONE
