"""`interlock arm`: the ceremony that gives the gate leave to take new risk."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.drill import DRILL_LIFETIME_NS, due, run_drills, verdict_of
from interlock.cli.gate_ceremony import Hand, Wish, hand, hold
from interlock.cli.gate_client import GateClient, GateRefused, ServerUser, Socket, duration_ns, note, say
from interlock.gate.frames import Role


def arm(
    *,
    socket: Socket,
    lifetime: Annotated[str, Parameter(name="--for")],
    max_notional_usd: str = "",
    mandate: str = "24h",
    scripted: bool = False,
    ack: str = "",
    server_user: ServerUser = None,
    json: bool = False,
) -> int:
    """Arm a running gate: exit 0 when it is armed, 1 with every reason when it is not.

    LIVE_ARM_ACK, LIVE_ARM_AT and LIVE_MAX_NOTIONAL_USD are read from this terminal's environment, and nowhere else.

    Parameters
    ----------
    socket
        The gate's raise socket.
    lifetime
        How long the grant lives: 90s, 10m, 2h, at most 24h.
    max_notional_usd
        A smaller cap than the environment's.
    mandate
        How long the leave to reduce outlives the grant, at most 24h.
    scripted
        No person answers; only where every endpoint is loopback. A kill drill that is due is run first.
    ack
        With --scripted: the acknowledgement.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print one JSON object instead of text.
    """
    wish = Wish(max_notional_usd, duration_ns("--for", lifetime), duration_ns("--mandate", mandate))
    who = hand(scripted=scripted, ack=ack, json=json)
    with GateClient(socket, Role.RAISE, server_user) as client:
        try:
            drill = _drilled(client, wish, who, server_user)
            report = hold(client, wish, who)
        except GateRefused as no:
            told: dict[str, Any] = {"result": "REFUSED", "refusals": no.refusals}
            say(told, "\n".join(f"refused, {one['rule']}: {one['message']}" for one in no.refusals), json=json)
            return exit_codes.REFUSED
    armed = {
        "result": "ARMED",
        **{name: report.get(name) for name in ("grant_id", "cap_usd", "expires_in_s", "mandate_until_in_s")},
        "drill": drill,
    }
    text = f"armed up to {armed['cap_usd']} USD for {armed['expires_in_s']} s, grant {armed['grant_id']}"
    say(armed, f"{text}\nleave to reduce: {armed['mandate_until_in_s']} s", json=json)
    return exit_codes.DONE


def _drilled(client: GateClient, wish: Wish, who: Hand, server_user: int | None) -> dict[str, Any] | None:
    """The kill drills that are due, for a script; a person is told to run them. Raises GateRefused unless all passed."""
    symbols = due(client.status())
    if not symbols:
        return None
    if not who.scripted:
        note(f"a kill drill is due: run `interlock drill` on {', '.join(symbols)} first")
        return None
    drill_wish = Wish(wish.max_notional_usd, DRILL_LIFETIME_NS, 0)
    runs = run_drills(client, symbols, drill_wish, who, sentinel=None, sentinel_user=server_user)
    verdict = verdict_of(runs)
    if verdict != "PASS":
        failed = [one for one in runs if one["verdict"] != "PASS"]
        raise GateRefused([{"rule": "drill", "message": f"{one['symbol']}: {one['verdict']}, {one['detail']}"} for one in failed])
    return {"verdict": verdict, "runs": runs}
