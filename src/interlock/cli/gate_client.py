"""What the commands that talk to a running gate share: who is spoken to, one request and its answer, how a value is typed, what is printed."""

from __future__ import annotations

import json as json_format
import os
import re
import secrets
import sys
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from cyclopts import Parameter

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import Refused, UsageError
from interlock.gate.frames import Done, Frame, GetStatus, Refusal, Role, Status
from interlock.gate.sockets import Client, Peer, peer_of

TIMEOUT_S = 30.0
"""A ceremony reads the venue twice and waits for an order to rest; every other answer comes at once."""

Socket = Annotated[Path, Parameter(name="--socket")]
ServerUser = Annotated[int | None, Parameter(name="--server-user")]

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(0|[1-9][0-9]{0,6})([smhd])")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_AMOUNT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?")
_Answer = TypeVar("_Answer", bound=Frame)


class GateRefused(Refused):
    """The gate said no. `refusals` are all its reasons, each with `rule` and `message`."""

    def __init__(self, refusals: list[dict[str, str]]) -> None:
        self.refusals = refusals
        super().__init__("; ".join(f"{one['rule']}: {one['message']}" for one in refusals))


class GateClient(Client):
    """One connection to a socket of a gate. `request` is the bare exchange; what is below says what was expected of it."""

    def __init__(self, path: Path, role: Role, server_user: int | None, timeout_s: float = TIMEOUT_S) -> None:
        self.path = path
        super().__init__(path, role, frozenset({user(server_user)}), timeout_s)

    def __enter__(self) -> GateClient:
        return self

    @property
    def server(self) -> Peer:
        """The process that listens, as the kernel names it."""
        return peer_of(self._socket)

    def ask(self, frame: Frame, expected: type[_Answer]) -> _Answer:
        """One request and the answer that it has to have. Raises GateRefused, Refused, and UsageError for a number that no frame can carry."""
        try:
            answer = self.request(frame)
        except OverflowError as error:
            raise UsageError(f"expected whole numbers below 2**64, found a larger one ({error})") from error
        if isinstance(answer, Refusal):
            raise GateRefused(refusals_of(answer))
        if not isinstance(answer, expected):
            raise Refused(
                f"{self.path}: expected {expected.__name__}, found {type(answer).__name__}; use the interlock that the gate is of"
            )
        return answer

    def done(self, frame: Frame) -> dict[str, Any]:
        """What came of a request that was done. Raises as `ask`."""
        return self.ask(frame, Done).report

    def status(self) -> Status:
        """How things stand. Raises as `ask`."""
        return self.ask(GetStatus(), Status)


def user(server_user: int | None) -> int:
    """The user whom we expect to listen: ours unless another is named."""
    return os.geteuid() if server_user is None else server_user


def refusals_of(refusal: Refusal) -> list[dict[str, str]]:
    """Every reason of a refusal. Several come as a JSON list of {"rule", "message"} in its detail; any other text is one reason."""
    one = [{"rule": refusal.rule, "message": refusal.detail}]
    try:
        told = msgspec.json.decode(refusal.detail, type=list[dict[str, str]])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return one
    if not told or any(set(each) != {"rule", "message"} for each in told):
        return one
    return told


def draw_nonce() -> str:
    """A nonce that was never used: 32 hexadecimal digits by chance."""
    return secrets.token_hex(16)


def boot_ns() -> int:
    """Nanoseconds since the machine's boot, time asleep included: the clock of every frame."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def duration_ns(option: str, text: str) -> int:
    """The nanoseconds of `90s`, `10m`, `2h` or `1d`. Raises UsageError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"{option}: expected a duration such as 90s, 10m, 2h or 1d, found {text!r}")
    return int(found[1]) * _UNIT_S[found[2]] * NS_PER_S


def whole(option: str, text: str) -> int:
    """A whole number as it was typed: nothing is rounded. Raises UsageError."""
    if _WHOLE.fullmatch(text) is None:
        raise UsageError(f"{option}: expected a whole number of at most 18 digits, found {text!r}")
    return int(text)


def amount(option: str, text: str) -> str:
    """An amount of money as plain decimal text, not zero. Raises UsageError."""
    if _AMOUNT.fullmatch(text) is None or not Decimal(text):
        raise UsageError(f"{option}: expected a plain decimal that is not 0, such as 500 or -0.25, found {text!r}")
    return text


def say(told: Mapping[str, Any], text: str, *, json: bool) -> None:
    """The result of a command: one JSON object on one line, or words for a person."""
    print(json_format.dumps(msgspec.to_builtins(told), ensure_ascii=False) if json else text)


def note(text: str) -> None:
    """Words beside the result, on stderr."""
    print(text, file=sys.stderr, flush=True)
