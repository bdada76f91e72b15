"""What the journal and the venue's side must say alike: sends one by one, kills by the time of arrival, executions by their trade ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from interlock.trace.exposure import held_at_the_venue
from interlock.trace.facts import Facts
from interlock.trace.state import Request, State
from interlock.trace.values import Finding, Key
from interlock.trace.witness import Execution, Line

_NS_PER_S: Final = 1_000_000_000
UNREADABLE: Final = "unreadable"
"""The verb of bytes that were no request."""
IN_FLIGHT_NS: Final = _NS_PER_S
"""How long after a kill something sent before it may still arrive where no receive window bounds it further."""


class Join:
    """Remembers what the venue saw. Lines are given after the journal was read as far as it went, so that a send's record comes first."""

    def __init__(self, facts: Facts | None = None) -> None:
        self._facts = Facts() if facts is None else facts
        self.seen: dict[Key, int] = {}
        self.executions: dict[tuple[str, str, str], tuple[int, Execution]] = {}
        self.undone: set[tuple[str, str, str]] = set()
        """Executions that the venue took back."""
        self.waiting: dict[Key, int] = {}
        """Sends whose beginning is in no record yet, with the line of the witness."""
        self.cancelled: dict[str, int] = {}
        """By client id: how often a cancel of it came."""
        self.pieces: dict[str, int] = {}
        """By venue: how often bytes came that were no request."""
        self.unpriced_requests: set[str] = set()
        self.unpriced_executions: set[str] = set()
        """Instruments, "venue/symbol", whose prices the witness tells in ticks of its own: without facts of them they cannot be compared."""

    def line(self, state: State, number: int, line: Line) -> Iterator[Finding]:
        """S1, S8, S11, S17 and S24 for one request that reached the venue."""
        if line.raising:
            if not line.keys and not self._piece(state, line):
                yield Finding("S1", f"expected requests that name their orders, found {line.verb!r} without one", witness_line=number)
            for at, key in enumerate(line.keys):
                yield from self._send(state, number, line, key, at)
        elif line.verb in ("cancel", "cancel_batch"):
            for client_id, _ in line.keys:
                self.cancelled[client_id] = self.cancelled.get(client_id, 0) + 1
                if client_id not in state.orders and not state.killing_lsn and not state.kills:
                    yield Finding("S24", f"expected cancels of own orders before any kill, found one of {client_id!r}", witness_line=number)

    def _piece(self, state: State, line: Line) -> bool:
        """Whether bytes that were no request can be a piece of a frame that was cut off: a write was begun, and its end is in no record."""
        if line.verb != UNREADABLE:
            return False
        begun = sum(
            request.wire is not None
            and request.sent is None
            and not request.not_sent
            and key not in self.seen
            and bool(request.intent.fields["venue"] == line.venue)
            for key, request in state.requests.items()
        )
        begun += sum(
            max(0, max(1, state.cancels_sent.get(client_id, 0)) - self.cancelled.get(client_id, 0))
            for client_id, order in state.orders.items()
            if order.cancel_wanted and order.market[0] == line.venue
        )
        self.pieces[line.venue] = self.pieces.get(line.venue, 0) + 1
        return bool(self.pieces[line.venue] <= begun)

    def _send(self, state: State, number: int, line: Line, key: Key, at: int) -> Iterator[Finding]:
        if key in self.seen:
            yield Finding("S8", f"expected {key} at the venue once, found it there since line {self.seen[key]}", witness_line=number)
            return
        self.seen[key] = number
        request = state.requests.get(key)
        if request is None:
            yield _no_beginning(key, number)
            return
        if request.wire is None:
            # The next life may say that the power took the record; until then nothing is told.
            self.waiting[key] = number
        if request.permit is not None and request.permit.fields["body_hash"] != line.body_hash:
            yield Finding("S1", f"expected the bytes that were permitted for {key}, found others", witness_line=number)
        if request.not_sent:
            yield Finding("S1", f"expected nothing of {key}, which is recorded as not sent, found it at the venue", witness_line=number)
        yield from self._asked(request, number, line, at)
        window_ns = 0 if request.sent is None else request.sent["receive_window_ns"]
        for begin, end in state.kills:
            if begin + max(window_ns, IN_FLIGHT_NS) < line.wall_ns and not 0 < end <= line.wall_ns:
                yield Finding("S17", f"expected nothing to arrive after the kill, found {key}", witness_line=number)

    def _asked(self, request: Request, number: int, line: Line, at: int) -> Iterator[Finding]:
        """S11: the venue was asked for what was permitted, and for no more."""
        if at >= len(line.orders):
            return
        asked, intent = line.orders[at], request.intent.fields
        ticks = self._facts.in_our_ticks(line.venue, intent["symbol"], asked.ticks, asked.tick)
        if ticks is None:
            self.unpriced_requests.add(f"{line.venue}/{intent['symbol']}")
            ticks = intent["ticks"]
        place = (asked.symbol or intent["symbol"], asked.side or intent["side"], ticks, asked.lots)
        wanted = (intent["symbol"], intent["side"], intent["ticks"], intent["lots"])
        if place != wanted:
            yield Finding("S11", f"expected the venue to be asked for {wanted}, found {place}", witness_line=number)

    def _ticks(self, venue: str, execution: Execution, journaled: int) -> int | str:
        found = self._facts.in_our_ticks(venue, execution.symbol, execution.ticks, execution.tick)
        if found is None:
            self.unpriced_executions.add(f"{venue}/{execution.symbol}")
            return journaled
        return found

    def settle(self, state: State, *, patient: bool) -> Iterator[Finding]:
        """S1 for sends whose beginning was in no record: told once a later life has begun and does not account for them, or without patience."""
        for key, number in list(self.waiting.items()):
            request = state.requests[key]
            life = request.permit_life or request.life
            if request.wire is not None or state.power_took_the_beginning(request):
                del self.waiting[key]
            elif not patient or (state.life > life and state.epoch is not None):
                del self.waiting[key]
                yield _no_beginning(key, number)

    def told(self, key: Key) -> list[Finding]:
        """A send that waited for long enough."""
        number = self.waiting.pop(key, 0)
        return [_no_beginning(key, number)] if number else []

    def finish(self, state: State) -> Iterator[Finding]:
        """S1 the other way round: what is recorded as sent was seen, unless its outcome is unknown."""
        yield from self.settle(state, patient=False)
        for key, request in state.requests.items():
            if request.sent is not None and not request.unknown and not request.not_sent and key not in self.seen:
                yield Finding("S1", f"expected {key}, recorded as sent, at the venue, found it nowhere", lsn=request.intent.lsn)

    def execution(self, number: int, venue: str, execution: Execution) -> None:
        """Take up what was really executed."""
        key = (venue, execution.symbol, execution.trade_id)
        if execution.reversed:
            self.executions.pop(key, None)
            self.undone.add(key)
        else:
            self.executions[key] = (number, execution)

    def compare(self, state: State) -> Iterator[Finding]:
        """S10, S11 and S14 from the venue's own executions."""
        yield from held_at_the_venue(state, self.executions.values())
        filled: dict[str, int] = {}
        taken_back = {(venue, symbol, trade_id) for venue, _, symbol, trade_id in state.reversals}
        journaled = {(venue, symbol, trade_id) for venue, _, symbol, trade_id in state.fills}
        for (venue, symbol, trade_id), (number, execution) in self.executions.items():
            filled[execution.client_id] = filled.get(execution.client_id, 0) + execution.lots
            order = state.orders.get(execution.client_id)
            if order is not None and filled[execution.client_id] > order.lots:
                sentence = f"expected at most {order.lots} lots of {execution.client_id}, the venue executed {filled[execution.client_id]}"
                yield Finding("S10", sentence, witness_line=number)
            known = order is None or (venue, symbol, trade_id) in journaled
            if not known and execution.venue_ns <= state.cuts.get(venue, -1):
                yield Finding(
                    "S14", f"expected execution {trade_id} of {venue} in the journal before it was found explained", witness_line=number
                )
        adjusted = Counter(state.adjusted)
        for (venue, account, symbol, trade_id), (client_id, signed, ticks) in state.fills.items():
            _, there = self.executions.get((venue, symbol, trade_id), (0, None))
            if there is None and (venue, symbol, trade_id) in taken_back:
                continue
            by_hand = (venue, account, symbol, -signed)
            if there is None and (venue, symbol, trade_id) in self.undone and adjusted[by_hand]:
                adjusted[by_hand] -= 1  # the venue has no word for it: a person saw it, and took it into the books
                continue
            owner = "" if there is None or _is_strangers(there, client_id, state) else there.client_id
            if there is None or (owner, there.side * there.lots, self._ticks(venue, there, ticks)) != (client_id, signed, ticks):
                yield Finding("S14", f"expected execution {trade_id} of {client_id!r} on {venue} {symbol} as the venue made it, found none")


def _is_strangers(execution: Execution, booked_as: str, state: State) -> bool:
    """Whether an execution is rightly booked as nobody's: its order is none of the journal's, whatever its owner calls it."""
    return not booked_as and execution.client_id not in state.orders


def _no_beginning(key: Key, number: int) -> Finding:
    return Finding("S1", f"expected the beginning of the write of {key} in the journal, found none", witness_line=number)
