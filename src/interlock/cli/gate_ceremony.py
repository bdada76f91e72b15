"""The ceremony of arming as a command holds it: the environment of this terminal, a challenge, an answer by a person or by a script."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

from interlock.cli.gate_client import GateClient, draw_nonce
from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import Refused, UsageError
from interlock.gate.conditions import ACK_NAME, ACKNOWLEDGEMENT, AT_NAME, CAP_NAME
from interlock.gate.frames import ArmAnswer, ArmBegin, Challenge, Status

Reply = Callable[[str], tuple[str, str]]
"""The acknowledgement and the phrase that answer a challenge, given the phrase that the gate chose."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. `max_notional_usd` is empty where the environment's cap is meant; a drill names "venue/symbol"."""

    max_notional_usd: str
    lifetime_ns: int
    mandate_ns: int
    drill_symbol: str = ""


@dataclass(frozen=True, slots=True)
class Hand:
    """Who answers: a script with its acknowledgement, or a person who reads on `screen`."""

    ack: str
    screen: TextIO | None

    @property
    def scripted(self) -> bool:
        """Whether no person is there."""
        return self.screen is None

    def show(self, text: str) -> None:
        """Words for the person; a script reads nothing."""
        if self.screen is not None:
            print(text, file=self.screen, flush=True)

    def reply(self, phrase: str) -> tuple[str, str]:
        """The answer to a challenge. Raises Refused if the person hangs up."""
        if self.screen is None:
            return self.ack, phrase
        self.show(f"\nType the acknowledgement ({ACKNOWLEDGEMENT}):")
        acknowledgement = typed()
        self.show(f"Type this phrase within two minutes:\n  {phrase}")
        return acknowledgement, typed()


def hand(*, scripted: bool, ack: str, json: bool) -> Hand:
    """Who answers, by the options. Raises UsageError for half a script, Refused where a person would be needed and none is there."""
    if scripted:
        if not ack:
            raise UsageError(f"--ack: expected {ACKNOWLEDGEMENT} with --scripted, found nothing")
        return Hand(ack, None)
    if ack:
        raise UsageError("--ack: expected only with --scripted; a person types the acknowledgement when it is asked for")
    return Hand("", screen(f"--scripted --ack {ACKNOWLEDGEMENT}", json=json))


def screen(otherwise: str, *, json: bool) -> TextIO:
    """Where a person reads who types what is asked for. Raises Refused where none is there; `otherwise` is how a script does it on loopback."""
    found = sys.stderr if sys.stderr.isatty() else None if json else sys.stdout
    if not sys.stdin.isatty() or found is None or not found.isatty():
        raise Refused(
            "terminal: expected a person at a terminal, found input or output that is none; run it in a terminal, or on loopback with "
            f"{otherwise}"
        )
    return found


def hold(client: GateClient, wish: Wish, who: Hand) -> dict[str, Any]:
    """The whole ceremony; what the gate's `Done` reports. Raises GateRefused with every reason, and Refused."""
    stands = client.status()
    who.show(_shown(stands, wish))
    challenge = client.ask(
        ArmBegin(
            conditions={name: os.environ[name] for name in (ACK_NAME, AT_NAME, CAP_NAME) if name in os.environ},
            max_notional_usd=wish.max_notional_usd,
            lifetime_ns=wish.lifetime_ns,
            mandate_ns=wish.mandate_ns,
            scripted=who.scripted,
            state_version=stands.state_version,
            nonce=draw_nonce(),
            drill_symbol=wish.drill_symbol,
        ),
        Challenge,
    )
    acknowledgement, phrase = who.reply(challenge.phrase)
    return client.done(
        ArmAnswer(challenge_id=challenge.challenge_id, acknowledgement=acknowledgement, phrase=phrase, level_nonce=draw_nonce())
    )


SHARED = " (shared: a kill cancels everybody's orders)"


def _shown(stands: Status, wish: Wish) -> str:
    report = stands.report
    accounts = report.get("accounts") or {}
    shared = {one.get("venue") for one in report.get("shared") or () if isinstance(one, dict)}
    told = [f"{venue} {account}{SHARED if venue in shared else ''}" for venue, account in dict(accounts).items()]
    rows = {
        "to do": f"kill drill on {wish.drill_symbol}: one order that the sentinel cancels" if wish.drill_symbol else "arm",
        "endpoint": report.get("endpoint", "not told"),
        "account": ", ".join(told) or "not told",
        "symbols": wish.drill_symbol or ", ".join(map(str, report.get("symbols") or ())) or "not told",
        "cap, USD": wish.max_notional_usd or os.environ.get(CAP_NAME, "not set"),
        "lifetime, s": wish.lifetime_ns // NS_PER_S,
        "leave to reduce after that, s": wish.mandate_ns // NS_PER_S,
        "limits looser than in the life before": _looser(report.get("limits")),
    }
    return "\n".join(f"{name}: {value}" for name, value in rows.items())


def _looser(limits: object) -> str:
    """What the gate tells of limits that had been tightened; whoever arms takes them as they are."""
    told = limits.get("looser_than_before") if isinstance(limits, dict) else None
    return "not told" if not isinstance(told, list | tuple) else "; ".join(map(str, told)) or "none"


def typed(nothing: str = "nothing was armed") -> str:
    """A line that the person types. Raises Refused if they hang up; `nothing` is what has not happened then."""
    try:
        return input()
    except EOFError as error:
        raise Refused(f"answer: expected a line, found the end of the input; {nothing}, begin again") from error
