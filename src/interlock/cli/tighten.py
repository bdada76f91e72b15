"""`interlock tighten`: tighter limits for a running gate, in force at once."""

from __future__ import annotations

from pathlib import Path

from interlock.cli import exit_codes
from interlock.cli.gate_client import GateClient, ServerUser, Socket, say
from interlock.domain.errors import BadInput
from interlock.gate.frames import Role, Tighten
from interlock.gate.limit_sheet import parse

_NOTHING = "nothing differs from what is in force"


def tighten(*, socket: Socket, limits: Path, reason: str, server_user: ServerUser = None, json: bool = False) -> int:
    """Put tighter limits in force, without a restart; refused whole if any of them is looser than what is in force.

    Parameters
    ----------
    socket
        The gate's lower socket.
    limits
        A whole file of limits.
    reason
        Why, for the journal.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print one JSON object instead of text.
    """
    try:
        text = limits.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(limits, "", f"expected a readable file of limits, found {error}") from error
    parse(text, limits)  # so that what is no sheet is told with the name of the file, and nothing is sent
    with GateClient(socket, Role.LOWER, server_user) as client:
        report = client.done(Tighten(limits=text, reason=reason))
    changed = report.get("changed") or []
    told = {**report, "result": "TIGHTENED" if changed else "UNCHANGED"}
    lines = [f"{one['key']}: {one['was']} -> {one['now']}" for one in changed]
    lines.append(f"in force: {report.get('after')}; {report.get('cancelling')} orders are being cancelled" if changed else _NOTHING)
    say(told, "\n".join(lines), json=json)
    return exit_codes.DONE
