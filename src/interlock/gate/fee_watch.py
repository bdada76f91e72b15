"""Watching the fees: the account's own rates as the venue tells them, and every execution of ours held against them.

Live trading reckons with the account's own rates. Where another one is charged every edge is another than was reckoned, so that the account takes no
new risk until a person has looked. What cannot be compared, because a rate was not read or a fee is in another currency, is no difference: it is
counted, and told in the status.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import Liquidity
from interlock.gate import records as r
from interlock.gate.core import LONGEST_DETAIL
from interlock.gate.exposure import Place
from interlock.gate.profit import Worth
from interlock.gate.readings import Now
from interlock.gate.state import GateState
from interlock.gate.verbs import Cause, latch_for
from interlock.venues.port import FeeRates

EVERY_NS: Final = 3_600 * NS_PER_S
"""Venues change what an account pays once a day."""
AGAIN_NS: Final = 10 * NS_PER_S
"""Between two reads at one venue, one of which may weigh as much as twenty others."""
COMPARABLE_NS: Final = 2 * EVERY_NS
"""A rate says nothing of an execution that lies further away from when it was read."""
MOST_OFF: Final = Fraction(1, 100_000)
"""A tenth of a basis point, of what was traded."""
MOST_HELD: Final = 1_000
"""So many executions wait for a rate that was not read yet; of more the oldest are not compared."""
LIQUIDITY_UNTOLD: Final = frozenset({"upbit"})
"""Venues whose lists do not tell who made: there either of the two rates is right."""

_NEVER_NS = -(1 << 62)


@dataclass(slots=True)
class _Known:
    """What is known of one instrument. `why` is why nothing is; `uncompared` counts executions of ours by what kept them from being compared."""

    rates: FeeRates | None = None
    read_boot_ns: int = _NEVER_NS
    read_wall_ns: int = _NEVER_NS
    asked_boot_ns: int = _NEVER_NS
    why: str = "not read yet"
    uncompared: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    off: int = 0


class FeeWatch:
    """Holds rates, and executions until they were compared. `worths` are those of the gate's instruments; of `telling` venues rates are read.

    All of it belongs to one event loop.
    """

    def __init__(self, worths: Mapping[Place, Worth], telling: Iterable[str], clock: Callable[[], Now]) -> None:
        self._worths = worths
        self._clock = clock
        self._telling = frozenset(telling)
        self._known = {place: _Known(why="not read yet" if place[0] in self._telling else "the venue tells none") for place in worths}
        self._waiting: deque[r.Filled] = deque()
        self._off: list[tuple[r.Filled, dict[str, str]]] = []

    # The rates

    def due(self, venue: str) -> str:
        """The symbol whose rates are to be read now, the one that was asked for longest ago; empty for none."""
        if venue not in self._telling:
            return ""
        now_ns = self._clock().boot_ns
        mine = sorted((known.asked_boot_ns, place[1]) for place, known in self._known.items() if place[0] == venue)
        if not mine or now_ns - mine[-1][0] < AGAIN_NS:
            return ""
        waits = [(asked_ns, symbol) for asked_ns, symbol in mine if self._wants(self._known[venue, symbol], now_ns)]
        return waits[0][1] if waits else ""

    def asked(self, place: Place) -> None:
        """A venue is being asked for the rates of an instrument."""
        self._known[place].asked_boot_ns = self._clock().boot_ns

    def take(self, place: Place, rates: FeeRates) -> None:
        """The rates as the venue tells them now."""
        known = self._known[place]
        now = self._clock()
        known.rates, known.read_boot_ns, known.read_wall_ns, known.why = rates, now.boot_ns, now.wall_ns, ""

    def failed(self, place: Place, why: str) -> None:
        """They were not told. What was read before stays as long as it is comparable."""
        self._known[place].why = why

    # The executions

    def note(self, record: r.Record) -> None:
        """Take in a record that was folded: an execution of an order of ours is to be compared."""
        if not isinstance(record, r.Filled) or not record.client_id:
            return
        known = self._known.get((record.venue, record.symbol))
        if known is None:
            return
        if record.venue not in self._telling:
            known.uncompared["the venue tells no rates"] += 1
        elif not self._compared(known, record):
            self._waiting.append(record)
            while len(self._waiting) > MOST_HELD:
                self._uncompared(self._waiting.popleft(), "no rates were read")

    def turn(self, state: GateState) -> tuple[r.LatchSet, ...]:
        """The latches that are due: one for each account that was charged something else and is not held for it already."""
        for _ in range(len(self._waiting)):
            fill = self._waiting.popleft()
            if not self._compared(self._known[fill.venue, fill.symbol], fill):
                self._waiting.append(fill)
        off, self._off = self._off, []
        held = {hold.subject for hold in state.lattice.latches if hold.name == Cause.FEE.value and hold.scope is r.Scope.ACCOUNT}
        found = {}
        for fill, evidence in off:
            subject = f"{fill.venue}/{fill.account}"
            if subject not in held:
                held.add(subject)
                found[subject] = self._latch(subject, evidence)
        return tuple(found.values())

    def told(self) -> list[dict[str, Any]]:
        """By instrument what is known of its rates, for the status."""
        now_ns, found = self._clock().boot_ns, []
        for (venue, symbol), known in sorted(self._known.items()):
            rates = known.rates if self._holds(known, now_ns) else None
            waiting = sum((fill.venue, fill.symbol) == (venue, symbol) for fill in self._waiting)
            found.append(
                {
                    "venue": venue,
                    "symbol": symbol,
                    "maker": "not known" if rates is None else f"{rates.maker:f}",
                    "taker": "not known" if rates is None else f"{rates.taker:f}",
                    "read_s_ago": None if rates is None else (now_ns - known.read_boot_ns) // NS_PER_S,
                    "problem": known.why,
                    "compared": known.compared,
                    "off": known.off,
                    "waiting": waiting,
                    "not_compared": [f"{count} {why}" for why, count in sorted(known.uncompared.items())],
                }
            )
        return found

    def _wants(self, known: _Known, now_ns: int) -> bool:
        return bool(known.why) or now_ns - known.read_boot_ns >= EVERY_NS

    def _holds(self, known: _Known, now_ns: int) -> bool:
        return 0 <= now_ns - known.read_boot_ns <= COMPARABLE_NS

    def _compared(self, known: _Known, fill: r.Filled) -> bool:
        """Whether nothing is left to be done about an execution: it was compared, or never can be."""
        worth = self._worths[fill.venue, fill.symbol]
        if not (fill.ticks and fill.lots and fill.fee.is_finite()):
            self._uncompared(fill, "of a size, price or fee that makes no sense")
            return True
        if fill.fee and fill.fee_currency != worth.currency:
            self._uncompared(fill, f"charged in {fill.fee_currency}")
            return True
        rates = known.rates
        if rates is None or not self._holds(known, self._clock().boot_ns):
            return False
        if abs(known.read_wall_ns - fill.venue_ns) > COMPARABLE_NS:
            self._uncompared(fill, "of another time than the rates")
            return True
        known.compared += 1
        measured = Fraction(fill.fee) / (Fraction(worth.tick_lot) * fill.ticks * fill.lots)
        expected = {rates.maker if fill.liquidity is Liquidity.MAKER else rates.taker}
        if fill.venue in LIQUIDITY_UNTOLD:
            expected = {rates.maker, rates.taker}
        if all(abs(measured - Fraction(rate)) > MOST_OFF for rate in expected):
            known.off += 1
            self._off.append((fill, _evidence(fill, measured, max(expected), self._clock().boot_ns - known.read_boot_ns)))
        return True

    def _uncompared(self, fill: r.Filled, why: str) -> None:
        self._known[fill.venue, fill.symbol].uncompared[why] += 1

    def _latch(self, subject: str, evidence: dict[str, str]) -> r.LatchSet:
        reason = (
            f"{evidence['symbol']}: charged {evidence['measured']} as {evidence['liquidity']}, told {evidence['expected']} "
            f"{evidence['read_s_ago']} s ago; look at the account's fees, and at what the strategies reckon with"
        )
        return latch_for(
            Cause.FEE,
            scope=r.Scope.ACCOUNT,
            subject=subject,
            reason=reason[:LONGEST_DETAIL],
            actor="gate",
            boot_ns=self._clock().boot_ns,
            evidence=evidence,
        )


def _evidence(fill: r.Filled, measured: Fraction, expected: Decimal, age_ns: int) -> dict[str, str]:
    """What was charged and what was told, as fractions of what was traded."""
    return {
        "symbol": fill.symbol,
        "trade_id": fill.trade_id,
        "liquidity": fill.liquidity.value,
        "measured": f"{round(measured * 10**9) / Decimal(10**9):f}",
        "expected": f"{expected:f}",
        "fee": f"{fill.fee:f} {fill.fee_currency}",
        "read_s_ago": str(age_ns // NS_PER_S),
    }
