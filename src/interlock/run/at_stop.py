"""What becomes of positions when a run stops: they are kept, or reduced before the gate closes.

The supervisor asks for it as anybody may who can speak to the intent socket, after the engine has ended: every order is taken back, then for each
position one order at a time that only reduces, at once or not at all, a little through the gate's own bid or ask. The gate judges each like any
other, under the grant or the reduce mandate, and its refusals are what is told. It is tried until nothing is held, the time is over, or somebody
interrupts.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import Refused, UsageError
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate.frames import CancelOwn, Decided, Frame, GetStatus, Proposal, Propose, Role, Status
from interlock.gate.records import Book
from interlock.gate.sockets import Client
from interlock.run.interrupt import StopWish

WITHIN_S: Final = 20.0
"""How long it may take in all."""
PAUSE_S: Final = 0.25
"""Between two attempts: what an order did is not seen at once."""
THROUGH_BPS: Final = 5
"""How far through the gate's bid or ask a reduction may go; what is not done there is tried again at the next price."""
MOST_HALVINGS: Final = 20
DEADLINE_NS: Final = NS_PER_S
REASON: Final = "positions are reduced at the stop"
MAY_REDUCE: Final = ("run", "reduce_only")


class AtStop(StrEnum):
    """What is done with positions at the stop."""

    KEEP = "keep"
    REDUCE = "reduce"


def at_stop_of(text: str) -> AtStop:
    """What was named. Raises UsageError where it is neither."""
    try:
        return AtStop(text)
    except ValueError:
        raise UsageError(f"--at-stop: expected keep or reduce, found {text!r}") from None


class Ended(StrEnum):
    """How a reduction ended."""

    FLAT = "flat"
    """Nothing is held any more, and no order is open that could still change that."""
    TIME = "time"
    """Something was left when the time was over."""
    LEVEL = "level"
    """The gate's level allows no reduction."""
    INTERRUPTED = "interrupted"
    LOST = "lost"
    """The gate did not answer any more."""


@dataclass
class Reduction:
    """What was done. Positions are signed lots by "venue:symbol"; `after` is what the gate told last; None: it told nothing."""

    before: dict[str, int] | None = None
    after: dict[str, int] | None = None
    ended: Ended = Ended.LOST
    proposed: int = 0
    permitted: int = 0
    denials: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    """How often in a row an order was denied."""

    def told(self) -> dict[str, Any]:
        """For `kpi.json`."""
        return {
            "wanted": AtStop.REDUCE.value,
            "ended": self.ended.value,
            "before_lots": self.before,
            "after_lots": self.after,
            "proposed": self.proposed,
            "permitted": self.permitted,
            "denials": dict(self.denials),
            "took_s": round(self.took_s, 3),
        }


def reduce_positions(
    sockets: Mapping[str, str], strategy: str, stop: StopWish, stage: Callable[[str, int, int], None], *, within_s: float = WITHIN_S
) -> Reduction:
    """Reduce what is held; raises nothing. A Ctrl-C during it ends it, also where one has brought about the stop."""
    found = Reduction()
    began = time.monotonic()
    stopping = stop.wanted
    try:
        _take_back(sockets)
        while True:
            status = _status(sockets)
            held = _held(status)
            found.before = held if found.before is None else found.before
            found.after = held
            open_yet = bool(status.report["orders"]["live"] or status.report["orders"]["owing"])
            if not held and not open_yet:
                found.ended = Ended.FLAT
            elif status.level.value not in MAY_REDUCE:
                found.ended = Ended.LEVEL
            elif time.monotonic() - began >= within_s:
                found.ended = Ended.TIME
            elif stop.wanted and not stopping:
                found.ended = Ended.INTERRUPTED
            else:
                stage(REASON, round(time.monotonic() - began), round(within_s))
                if not open_yet:
                    _propose(sockets, strategy, status, held, found)
                time.sleep(PAUSE_S)
                continue
            break
    except KeyboardInterrupt:
        found.ended = Ended.INTERRUPTED
    except Refused:
        found.ended = Ended.LOST
    found.took_s = time.monotonic() - began
    return found


def _propose(sockets: Mapping[str, str], strategy: str, status: Status, held: Mapping[str, int], found: Reduction) -> None:
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    proposals = []
    for number, (key, lots) in enumerate(held.items()):
        venue, _, symbol = key.partition(":")
        book = _reference(status, venue, symbol)
        if book is None:
            found.denials["no_reference"] += 1
            continue
        side = Side.SELL if lots > 0 else Side.BUY
        proposals.append(
            Proposal(
                venue=venue,
                symbol=symbol,
                side=side,
                type=OrderType.LIMIT,
                tif=TimeInForce.IOC,
                ticks=_through(book, side),
                lots=max(1, abs(lots) >> found.refused[key]),
                strategy=strategy,
                # As the engine counts: microseconds since the host's boot, so that it is above the engine's last.
                sequence=now_ns // 1_000 + number,
                created_boot_ns=now_ns,
                deadline_boot_ns=now_ns + DEADLINE_NS,
                reduce_only=True,
                books=(book,),
            )
        )
    if not proposals:
        return
    answer = _ask(sockets, Role.INTENT, Propose(proposals=tuple(proposals)))
    if not isinstance(answer, Decided):
        raise Refused(f"gate: expected decisions, found {answer}")
    found.proposed += len(proposals)
    for proposal, decision in zip(proposals, answer.decisions, strict=True):
        key = f"{proposal.venue}:{proposal.symbol}"
        if decision.result == "PERMIT":
            found.permitted += 1
            found.refused[key] = 0
        else:
            # It may be too much for one order; what stands in its way besides stands in the way of half of it too.
            found.refused[key] = min(found.refused[key] + 1, MOST_HALVINGS)
            found.denials[decision.rule] += 1


def _through(book: Book, side: Side) -> int:
    """A price a little beyond the other side, rounded to what gives less away."""
    if side is Side.SELL:
        return -(-book.bid_ticks * (10_000 - THROUGH_BPS) // 10_000)
    return book.ask_ticks * (10_000 + THROUGH_BPS) // 10_000


def _reference(status: Status, venue: str, symbol: str) -> Book | None:
    for one in status.report.get("references") or ():
        if (one["venue"], one["symbol"]) == (venue, symbol) and one.get("bid_ticks") and one.get("ask_ticks"):
            return Book(venue=venue, symbol=symbol, bid_ticks=one["bid_ticks"], ask_ticks=one["ask_ticks"], boot_ns=one["boot_ns"])
    return None


def _held(status: Status) -> dict[str, int]:
    found: Counter[str] = Counter()
    for one in status.report["positions"]:
        found[f"{one['venue']}:{one['symbol']}"] += one["lots"]
    return {key: lots for key, lots in found.items() if lots}


def _take_back(sockets: Mapping[str, str]) -> None:
    _ask(sockets, Role.INTENT, CancelOwn(client_ids=(), reason=REASON))


def _status(sockets: Mapping[str, str]) -> Status:
    answer = _ask(sockets, Role.READ, GetStatus())
    if not isinstance(answer, Status):
        raise Refused(f"gate: expected how it stands, found {answer}")
    return answer


def _ask(sockets: Mapping[str, str], role: Role, frame: Frame) -> Frame:
    with Client(Path(sockets[role.value]), role, frozenset({os.geteuid()}), 5.0) as client:
        return client.request(frame)
