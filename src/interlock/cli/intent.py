"""`interlock intent`: propose orders to a running gate from the shell."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.gate_client import GateClient, ServerUser, Socket, boot_ns, note, say
from interlock.domain.clock import NS_PER_MS
from interlock.domain.errors import Refused, UsageError
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate.frames import Decided, Decision, Plan, PlannedLeg, Proposal, Propose, Role, Status
from interlock.gate.records import Book

LARGEST = 2**63 - 1
DEADLINE_MS = 1000
_US_NS = 1000
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_TEXTS = ("venue", "symbol", "strategy", "group", "amends")
_NUMBERS = ("ticks", "lots", "deadline_ms", "sequence")
_NEEDED = ("venue", "symbol", "side", "type", "tif", "lots", "ticks")
_BOOK_TEXTS = ("venue", "symbol")
_BOOK_NUMBERS = ("bid_ticks", "ask_ticks", "boot_ns")
_KNOWN = frozenset((*_TEXTS, *_NUMBERS, *_NEEDED, "reduce_only", "books", "plan"))
_LEG_NEEDED = ("venue", "symbol", "side", "tif", "ticks", "lots")
_PLAN_KEYS = ("legs", "deadline_ms", "naked_cap_usd", "loss_bound_usd")


def intent(
    proposal: Annotated[str, Parameter(name="JSON")],
    /,
    *,
    socket: Socket,
    server_user: ServerUser = None,
    json: bool = False,
) -> int:
    """Propose one order, or a list of them to be decided together: exit 0 if all are permitted, 1 if not.

    Parameters
    ----------
    proposal
        An object with venue, symbol, side, type, tif, lots and ticks; or a list of such objects.
    socket
        The gate's intent socket.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print one JSON object instead of text.
    """
    wanted, one = parse(proposal)
    with GateClient(socket, Role.INTENT, server_user) as client:
        stands = client.status()
        now_ns = boot_ns()
        proposals = tuple(_proposal(each, stands, now_ns, number) for number, each in enumerate(wanted))
        decisions = client.ask(Propose(proposals=proposals), Decided).decisions
    if len(decisions) != len(proposals):
        raise Refused(f"{socket}: expected {len(proposals)} decisions, found {len(decisions)}; look at the status before you try again")
    for decision in decisions:
        if decision.detail:
            note(decision.detail)
    told = [{"result": decision.result, "rule": decision.rule, "client_id": decision.client_id} for decision in decisions]
    say(told[0] if one else {"decisions": told}, "\n".join(map(_line, decisions)), json=json)
    return exit_codes.DONE if all(decision.result == "PERMIT" for decision in decisions) else exit_codes.REFUSED


def _line(decision: Decision) -> str:
    return f"{decision.result} {decision.rule or decision.client_id}".rstrip()


def parse(text: str) -> tuple[list[dict[str, Any]], bool]:
    """The proposals in a JSON text, and whether it is one and no list. Raises UsageError, naming the key that is wrong."""
    try:
        found = json_format.loads(text, object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer)
    except (json_format.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"JSON: expected an object or a list of objects, found something else ({error})") from error
    if isinstance(found, Mapping):
        return [_checked(found, "")], True
    if not isinstance(found, list) or not found:
        raise UsageError(f"JSON: expected an object or a list of objects, found {text[:80]!r}")
    return [_checked(each, f"proposal {number}, ") for number, each in enumerate(found, start=1)], False


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise UsageError(f"{key}: expected once, found twice; leave one out")
        found[key] = value
    return found


def _constant(name: str) -> float:
    # Kept as a float, so that the key it stands under is named.
    return float(name)


def _integer(text: str) -> float:
    # What is too large for any key need not be exact.
    return int(text) if len(text) <= 40 else float(text)


def _checked(found: object, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise UsageError(f"{where}JSON: expected an object, found {type(found).__name__}")
    for key in found:
        if key not in _KNOWN:
            raise UsageError(f"{where}{key}: expected one of {', '.join(sorted(_KNOWN))}; leave it out")
    for key in _NEEDED:
        if key not in found:
            raise UsageError(f"{where}{key}: expected it, found nothing; add it")
    for key, value in found.items():
        _check_value(f"{where}{key}", key, value)
    if found.get("deadline_ms") == 0:
        raise UsageError(f"{where}deadline_ms: expected 1 or more, found 0")
    return found


def _check_value(name: str, key: str, value: object) -> None:
    choices = {"side": tuple(_SIDES), "type": tuple(OrderType), "tif": tuple(TimeInForce)}
    if key in choices:
        if not isinstance(value, str) or value not in choices[key]:
            raise UsageError(f"{name}: expected one of {', '.join(choices[key])}, found {value!r:.60}")
    elif key in (*_TEXTS, *_BOOK_TEXTS):
        if not isinstance(value, str):
            raise UsageError(f"{name}: expected text, found {value!r:.60}")
    elif key in (*_NUMBERS, *_BOOK_NUMBERS):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
            raise UsageError(f"{name}: expected a whole number from 0 to 2**63-1, found {value!r:.60}")
    elif key == "reduce_only":
        if not isinstance(value, bool):
            raise UsageError(f"{name}: expected true or false, found {value!r:.60}")
    elif key == "plan":
        _check_plan(name, value)
    else:
        _check_books(name, value)


def _check_plan(name: str, value: object) -> None:
    if not isinstance(value, dict) or set(value) != set(_PLAN_KEYS):
        raise UsageError(f"{name}: expected an object with exactly {', '.join(_PLAN_KEYS)}, found {value!r:.160}")
    for key in ("naked_cap_usd", "loss_bound_usd"):
        if not isinstance(value[key], str) or _amount(value[key]) is None:
            raise UsageError(f"{name}.{key}: expected an amount of USD as text, above 0, found {value[key]!r:.60}")
    _check_value(f"{name}.deadline_ms", "deadline_ms", value["deadline_ms"])
    legs = value["legs"]
    if not isinstance(legs, list) or len(legs) != 2:
        raise UsageError(f"{name}.legs: expected two legs, found {legs!r:.160}")
    for leg in legs:
        if not isinstance(leg, dict) or not set(_LEG_NEEDED) <= set(leg) <= {*_LEG_NEEDED, "reduce_only"}:
            raise UsageError(f"{name}.legs: expected each with {', '.join(_LEG_NEEDED)} and perhaps reduce_only, found {leg!r:.160}")
        for key, part in leg.items():
            _check_value(f"{name}.legs.{key}", key, part)


def _amount(text: str) -> Decimal | None:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount > 0 else None


def _check_books(name: str, value: object) -> None:
    if not isinstance(value, list):
        raise UsageError(f"{name}: expected a list of tops, found {value!r:.60}")
    keys = (*_BOOK_TEXTS, *_BOOK_NUMBERS)
    for book in value:
        if not isinstance(book, dict) or set(book) != set(keys):
            raise UsageError(f"{name}: expected each with exactly {', '.join(keys)}, found {book!r:.160}")
        for key, part in book.items():
            _check_value(f"{name}.{key}", key, part)


def _proposal(found: Mapping[str, Any], stands: Status, now_ns: int, number: int) -> Proposal:
    books = found.get("books")
    return Proposal(
        venue=found["venue"],
        symbol=found["symbol"],
        side=_SIDES[found["side"]],
        type=OrderType(found["type"]),
        tif=TimeInForce(found["tif"]),
        ticks=found["ticks"],
        lots=found["lots"],
        strategy=found["strategy"] if "strategy" in found else _only_strategy(stands),
        sequence=found.get("sequence", now_ns // _US_NS + number),
        created_boot_ns=now_ns,
        # What is too far away to be a time at all is as far away as a frame can say; the gate denies it.
        deadline_boot_ns=min(now_ns + found.get("deadline_ms", DEADLINE_MS) * NS_PER_MS, LARGEST),
        group=found.get("group", ""),
        reduce_only=found.get("reduce_only", False),
        amends=found.get("amends", ""),
        books=_books(found, stands) if books is None else tuple(Book(**book) for book in books),
        plan=_plan(found.get("plan"), now_ns),
    )


def _plan(found: Mapping[str, Any] | None, now_ns: int) -> Plan | None:
    if found is None:
        return None
    first, second = (PlannedLeg(**{**leg, "side": _SIDES[leg["side"]], "tif": TimeInForce(leg["tif"])}) for leg in found["legs"])
    return Plan(
        legs=(first, second),
        deadline_boot_ns=min(now_ns + found["deadline_ms"] * NS_PER_MS, LARGEST),
        naked_cap_usd=Decimal(found["naked_cap_usd"]),
        loss_bound_usd=Decimal(found["loss_bound_usd"]),
    )


def _books(found: Mapping[str, Any], stands: Status) -> tuple[Book, ...]:
    """The gate's own tops of the order's instrument, and of both legs where it plans a pair."""
    legs = found.get("plan", {}).get("legs", ())
    places = dict.fromkeys([(found["venue"], found["symbol"]), *((leg["venue"], leg["symbol"]) for leg in legs)])
    return tuple(book for venue, symbol in places for book in _references(stands, venue, symbol))


def _only_strategy(stands: Status) -> str:
    strategies = list(map(str, stands.report.get("strategies") or ()))
    if len(strategies) != 1:
        raise UsageError(f"strategy: expected it, as the gate knows {', '.join(strategies) or 'none'}; add it")
    return strategies[0]


def _references(stands: Status, venue: str, symbol: str) -> tuple[Book, ...]:
    """The gate's own top of that instrument; without one the gate denies, and says so."""
    keys = (*_BOOK_TEXTS, *_BOOK_NUMBERS)
    there = [one for one in stands.report.get("references") or () if (one.get("venue"), one.get("symbol")) == (venue, symbol)]
    try:
        return msgspec.convert([{key: one.get(key) for key in keys} for one in there], tuple[Book, ...])
    except msgspec.ValidationError as error:
        raise Refused(f"status: expected a reference of {symbol} with {', '.join(keys)}, found otherwise ({error}); give books") from error
