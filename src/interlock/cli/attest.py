"""`interlock attest`: a person says what a venue does not tell of a running gate's key, in the words that the gate dictates."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, TextIO

import msgspec
from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.gate_ceremony import screen, typed
from interlock.cli.gate_client import GateClient, GateRefused, ServerUser, Socket, draw_nonce, duration_ns, say
from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import Refused, UsageError
from interlock.gate.frames import Attest, Dictated, Role, Status

YesNo = Literal["yes", "no"]
_NEVER = "never"


def attest(
    *,
    socket: Socket,
    venue: str,
    lifetime: Annotated[str, Parameter(name="--for")],
    trade: YesNo | None = None,
    withdraw: YesNo | None = None,
    transfer: YesNo | None = None,
    address_bound: YesNo | None = None,
    expires: str = "",
    scripted: bool = False,
    statement: str = "",
    server_user: ServerUser = None,
    json: bool = False,
) -> int:
    """Say what the key may do where the venue does not tell, having looked there: exit 0 when it is recorded, 1 with every reason when it is not.

    What is left out is not said. What the venue tells counts, whatever is said.

    Parameters
    ----------
    socket
        The gate's raise socket.
    venue
        Whose key.
    lifetime
        How long it is to hold: 12h, 7d, at most 30d.
    trade
        Whether the key may trade.
    withdraw
        Whether it may withdraw.
    transfer
        Whether it may transfer.
    address_bound
        Whether it is bound to an address.
    expires
        The day on which it ends, as 2027-01-31 (it counts as ended when that day begins in UTC), or never.
    scripted
        No person types; only where every endpoint is loopback.
    statement
        With --scripted: the words that the gate dictates.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print one JSON object instead of text.
    """
    if scripted and not statement:
        raise UsageError("--statement: expected the words that the gate dictates with --scripted, found nothing")
    if statement and not scripted:
        raise UsageError("--statement: expected only with --scripted; a person types it when it is asked for")
    for_ns, expires_wall_ns = duration_ns("--for", lifetime), None if not expires else _ends_wall_ns(expires)
    where = None if scripted else screen("--scripted --statement WORDS", json=json)
    with GateClient(socket, Role.RAISE, server_user) as client:
        stands = client.status()
        accounts = dict(stands.report.get("accounts") or {})
        if venue not in accounts:
            raise UsageError(f"--venue: expected one of {', '.join(sorted(accounts)) or 'none'}, found {venue!r}")
        asked = Attest(
            venue=venue,
            account=str(accounts[venue]),
            fingerprint="",
            trade=_flag(trade),
            withdraw=_flag(withdraw),
            transfer=_flag(transfer),
            address_bound=_flag(address_bound),
            expires_wall_ns=expires_wall_ns,
            for_ns=for_ns,
            statement="",
            scripted=scripted,
            state_version=stands.state_version,
            nonce=draw_nonce(),
        )
        try:
            dictated = client.ask(asked, Dictated)
            said = statement if where is None else _said(dictated, asked, lifetime, where)
            asked = msgspec.structs.replace(asked, fingerprint=dictated.fingerprint, statement=said, nonce=draw_nonce())
            report = client.done(msgspec.structs.replace(asked, state_version=_version_now(client, stands, venue)))
        except GateRefused as no:
            told: dict[str, Any] = {"result": "REFUSED", "refusals": no.refusals}
            say(told, "\n".join(f"refused, {one['rule']}: {one['message']}" for one in no.refusals), json=json)
            return exit_codes.REFUSED
    until = datetime.fromtimestamp(int(report["until_wall_ns"]) // NS_PER_S, UTC).isoformat()
    attested: dict[str, Any] = {
        "result": "ATTESTED",
        "venue": venue,
        "account": asked.account,
        "until": until,
        **{name: report.get(name) for name in ("fingerprint", "facts", "disarmed", "state_version")},
    }
    text = f"attested of key {attested['fingerprint']} at {venue} until {until}"
    say(attested, f"{text}\nthe grant was ended: it leaned on more" if attested["disarmed"] else text, json=json)
    return exit_codes.DONE


def _said(dictated: Dictated, asked: Attest, lifetime: str, where: TextIO) -> str:
    """What the person types, having read whose key it is."""
    rows = {
        "to do": f"attest the key of {asked.venue} {asked.account} for {lifetime}",
        "key": f"{dictated.fingerprint} (the first 16 hexadecimal digits of SHA-256 of the access key)",
        "what the venue does not tell": ", ".join(dictated.untold),
    }
    print("\n".join(f"{name}: {value}" for name, value in rows.items()), file=where)
    print(f"\nLook at the venue, and if it is so type this:\n  {dictated.phrase}", file=where, flush=True)
    return typed("nothing was attested")


def _version_now(client: GateClient, before: Status, venue: str) -> int:
    """The state's version after the person has typed. A market that goes stale meanwhile is no matter of the key; what was attested of it is.

    Raises Refused where that changed: somebody else attests, too.
    """
    stands = client.status()
    if _of(stands, venue) != _of(before, venue):
        raise Refused(
            f"{venue}: expected what is attested of its key as it was before you typed, found it changed; look again, then repeat"
        )
    return stands.state_version


def _of(stands: Status, venue: str) -> list[tuple[str, ...]]:
    """What is attested of a venue's key, and until when."""
    listed = stands.report.get("attestations")
    found = [one for one in listed if one.get("venue") == venue] if isinstance(listed, list | tuple) else []
    return [tuple(str(one.get(name)) for name in ("account", "fingerprint", "facts", "until")) for one in found]


def _flag(said: YesNo | None) -> bool | None:
    return None if said is None else said == "yes"


def _ends_wall_ns(text: str) -> int:
    """The midnight (UTC) with which a day begins, nanoseconds since the Unix epoch; 0 for never. Raises UsageError."""
    if text == _NEVER:
        return 0
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--expires: expected a day such as 2027-01-31, or never, found {text!r}") from error
    found = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS_PER_S
    if found <= 0:
        raise UsageError(f"--expires: expected a day to come, found {text!r}")
    return found
