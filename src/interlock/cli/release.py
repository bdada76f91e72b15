"""`interlock release`: a person's word for an order of which nobody else can say what became of it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.gate_client import GateClient, ServerUser, Socket, draw_nonce, note, say, whole
from interlock.domain.errors import UsageError
from interlock.domain.orders import OrderState
from interlock.gate.frames import Release, Role


def release(
    client_id: Annotated[str, Parameter(name="CLIENT_ID")],
    /,
    *,
    socket: Socket,
    state: OrderState,
    filled_lots: str,
    server_user: ServerUser = None,
    json: bool = False,
) -> int:
    """Take an order out of quarantine under your name, after you have looked at the venue.

    Parameters
    ----------
    client_id
        The order's client id.
    socket
        The gate's raise socket.
    state
        How it ended.
    filled_lots
        How much of it was filled, in lots.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print one JSON object instead of text.
    """
    lots = whole("--filled-lots", filled_lots)
    if lots < 0:
        raise UsageError(f"--filled-lots: expected 0 or more, found {lots}")
    if not state.final:
        raise UsageError(f"--state: expected an end, as absent, cancelled or filled, found {state.value}")
    with GateClient(socket, Role.RAISE, server_user) as client:
        seen = client.status().state_version
        note(f"state version {seen}: releases {client_id} as {state.value} with {lots} lots filled")
        report = client.done(Release(client_id=client_id, state=state, filled_lots=lots, state_version=seen, nonce=draw_nonce()))
    told = {**report, "result": "RELEASED", "client_id": client_id, "state": state.value, "filled_lots": lots, "seen_version": seen}
    say(told, f"{client_id} is released as {state.value}", json=json)
    return exit_codes.DONE
