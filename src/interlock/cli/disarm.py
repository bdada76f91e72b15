"""`interlock disarm`: end the grant."""

from __future__ import annotations

from interlock.cli import exit_codes
from interlock.cli.gate_client import GateClient, ServerUser, Socket, say
from interlock.gate.frames import Disarm, Role


def disarm(*, socket: Socket, reason: str, mandate: bool = False, server_user: ServerUser = None, json: bool = False) -> int:
    """End the grant: no new risk from here on. What reduces stays allowed, unless that is ended too.

    Parameters
    ----------
    socket
        The gate's lower socket.
    reason
        Why, for the journal.
    mandate
        End the leave to reduce as well.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print one JSON object instead of text.
    """
    with GateClient(socket, Role.LOWER, server_user) as client:
        report = client.done(Disarm(reason=reason, mandate=mandate))
    left = "so is the leave to reduce" if mandate else "the leave to reduce lasts"
    say({**report, "result": "DISARMED", "mandate_ended": mandate}, f"disarmed; {left}", json=json)
    return exit_codes.DONE
