"""A blocking client of the fake venue that can only list, look up, cancel and beat."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from time import monotonic_ns

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import OrderState
from interlock.venues.budget import SENTINEL, Meter
from interlock.venues.cancel_only import OpenOrder, VenueTrouble
from interlock.venues.fake import budget
from interlock.venues.fake.budget import BATCH, PAGE
from interlock.venues.fake.wire import (
    Answer,
    Assembler,
    Cancel,
    CancelAll,
    CancelBatch,
    Code,
    Heartbeat,
    Orders,
    OrderView,
    QueryOrder,
    ReadOpenOrders,
    WireError,
    decode_message,
    encode,
    verb_of,
)

MOST_PAGES = 1_000
_CHUNK = 1 << 16
Verb = Cancel | CancelAll | CancelBatch | Heartbeat | QueryOrder | ReadOpenOrders


class FakeCancelOnly:
    """Connects to 127.0.0.1 when first asked. After any trouble the connection is given up, because what comes on it is not certain any more.

    Lists and look-ups leave the last of the venue's limits to cancels and beats, which are held back by nothing but the venue.
    """

    def __init__(self, port: int, timeout_ns: int) -> None:
        self._address = ("127.0.0.1", port)
        self._timeout_ns = timeout_ns
        self._socket: socket.socket | None = None
        self._assembler = Assembler()
        self._last_id = 0
        self._meter = Meter(budget.LIMITS, SENTINEL)

    def open_pages(self, *, ours: bool = False) -> Iterator[tuple[OpenOrder, ...]]:
        """All open orders. A list that does not end, or whose cursor stands still, is trouble."""
        cursor = ""
        for _ in range(MOST_PAGES):
            body = self._ask(ReadOpenOrders(request_id=0, cursor=cursor, limit=PAGE)).body
            if not isinstance(body, Orders):
                raise self._trouble("expected a page of orders, found something else")
            yield tuple(OpenOrder(order.venue_order_id, order.client_id, order.symbol) for order in body.orders)
            if not body.cursor:
                return
            if body.cursor == cursor:
                break
            cursor = body.cursor
        raise self._trouble("the list of open orders does not end")

    def cancel(self, orders: Sequence[OpenOrder]) -> None:
        """Ask by client id, in batches; orders without one are left to `cancel_everything`."""
        ids = [order.client_id for order in orders if order.client_id]
        for start in range(0, len(ids), BATCH):
            self._ask(CancelBatch(request_id=0, client_ids=tuple(ids[start : start + BATCH])))

    def cancel_everything(self) -> None:
        """Ask to cancel every symbol and every client id."""
        self._ask(CancelAll(request_id=0))

    def state_of(self, client_id: str) -> OrderState | None:
        """Ask for one order by its client id."""
        answer = self._ask(QueryOrder(request_id=0, client_id=client_id), accept=Code.ORDER_NOT_FOUND)
        if answer.code == Code.ORDER_NOT_FOUND:
            return None
        if not isinstance(answer.body, OrderView) or answer.body.client_id != client_id:
            raise self._trouble(f"expected order {client_id}, found something else")
        return answer.body.state

    def beat(self, symbol: str, countdown_ns: int) -> None:
        """Arm the dead-man of a symbol."""
        self._ask(Heartbeat(request_id=0, symbol=symbol, countdown_ns=countdown_ns))

    def close(self) -> None:
        """Give the connection up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _trouble(self, reason: str, retry_after_ns: int = 0) -> VenueTrouble:
        self.close()
        return VenueTrouble(reason, retry_after_ns)

    def _ask(self, request: Verb, accept: Code = Code.OK) -> Answer:
        self._last_id += 1
        frame = encode(msgspec.structs.replace(request, request_id=self._last_id))
        spend, asked_ns = budget.spend_of(verb_of(request)), monotonic_ns()
        # Nothing was refused, so that no cancel has to wait for it.
        if self._meter.wait_ns(spend, budget.REQUEST, asked_ns) > self._meter.refused_ns(spend, asked_ns):
            raise VenueTrouble("what is left of the venue's limits is for cancels")
        self._meter.spent(budget.REQUEST, asked_ns)
        try:
            answer = self._answer(frame, asked_ns + self._timeout_ns)
        except (OSError, WireError) as error:
            raise self._trouble(f"no answer: {error}") from error
        budget.take(self._meter, spend, answer, asked_ns=asked_ns, now_ns=monotonic_ns())
        if budget.is_refusal(answer):
            # At least a moment, however odd the times are.
            raise self._trouble(answer.code or str(answer.status), max(budget.refused_for_ns(answer), 1))
        if not answer.ok and answer.code != accept:
            raise self._trouble(f"refused: {answer.code or answer.status} {answer.text}".strip())
        return answer

    def _answer(self, frame: bytes, deadline_ns: int) -> Answer:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, self._timeout_ns / NS_PER_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._assembler = Assembler()
        self._patience(self._socket, deadline_ns)
        self._socket.sendall(frame)
        while True:
            while (piece := self._assembler.take()) is not None:
                message = decode_message(piece)
                if isinstance(message, Answer) and message.request_id == self._last_id:
                    return message
            self._patience(self._socket, deadline_ns)
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionResetError("the venue closed the connection")
            self._assembler.feed(data)

    def _patience(self, connection: socket.socket, deadline_ns: int) -> None:
        left_ns = deadline_ns - monotonic_ns()
        if left_ns <= 0:
            raise TimeoutError("the venue did not answer in time")
        connection.settimeout(left_ns / NS_PER_S)
