"""What an honest venue does with one request: checks in the order in which a venue makes them, then the change, then the body of the answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import OrderState, TimeInForce
from interlock.simulate.fake_venue import reads
from interlock.simulate.fake_venue.account import Account
from interlock.simulate.fake_venue.flavours import Flavour
from interlock.simulate.fake_venue.matching import Matching, Order, Rejection
from interlock.venues.fake.wire import (
    Amend,
    AnyBody,
    AnyRequest,
    BeatTaken,
    Cancel,
    CancelAll,
    CancelBatch,
    CancelledAll,
    Code,
    EndCode,
    Heartbeat,
    Instruments,
    NewOrder,
    Outcome,
    Outcomes,
    Permissions,
    Place,
    PlaceBatch,
    QueryOrder,
    ReadBalances,
    ReadExecutions,
    ReadIndex,
    ReadInstruments,
    ReadLedger,
    ReadOpenOrders,
    ReadOrderHistory,
    ReadPermissions,
    ReadPositions,
    ReadTop,
    Top,
    VerbClass,
    class_of,
    verb_of,
)

FUTURE_NS = NS_PER_S
"""How far in the future a signature time may lie."""


class Desk:
    """Takes requests. `later` runs something after a span of nanoseconds; `history_lag_ns` and `open_lag_ns` hold for every read."""

    def __init__(self, flavour: Flavour, account: Account, matching: Matching, later: Callable[[int, Callable[[], None]], None]) -> None:
        self.flavour = flavour
        self.account = account
        self.matching = matching
        self.history_lag_ns = 0
        self.open_lag_ns = 0
        self.indices = {index.currency: index for index in flavour.indices}
        self.permissions = Permissions(
            account=f"{flavour.name}-1",
            trade=True,
            withdraw=False,
            transfer=False,
            address_bound=True,
            expires_ns=0,
            position_mode="one_way",
            margin_mode="cross",
        )
        self._later = later
        self._nonces: set[str] = set()
        self._beats: dict[str, int] = {}

    def take(
        self, request: AnyRequest, venue_ns: int, steady_ns: int, *, children: int | None = None, extra_lag_ns: int = 0
    ) -> AnyBody | None:
        """Do what is asked and return the answer's body. Raises Rejection, having changed nothing but nonces.

        `children`: of a batch, only so many are taken, and only they are told. `extra_lag_ns` lets this read lag.
        """
        self._admit(request, venue_ns)
        match request:
            case Place():
                return self._place(request.order)
            case PlaceBatch():
                self._batch(len(request.orders))
                return Outcomes(children=tuple(self._child(partial(self._place, order), order) for order in request.orders[:children]))
            case Amend():
                order = self._known(request.client_id)
                self.matching.amend(order, request.revision, request.ticks, request.lots)
                return self._outcome(order)
            case Cancel():
                return self._cancel(request.client_id)
            case CancelBatch():
                self._batch(len(request.client_ids))
                ids = request.client_ids[:children]
                return Outcomes(children=tuple(self._child(partial(self._cancel, client_id), client_id) for client_id in ids))
            case CancelAll():
                return self._cancel_all(request)
            case Heartbeat():
                return self._beat(request, venue_ns)
        return self._read(request, steady_ns, extra_lag_ns)

    def _read(self, request: AnyRequest, steady_ns: int, extra_lag_ns: int) -> AnyBody | None:
        match request:
            case QueryOrder():
                return reads.query(self.matching, request, steady_ns, self.open_lag_ns + extra_lag_ns)
            case ReadOpenOrders():
                return reads.order_page(self.matching, request, steady_ns, self.open_lag_ns + extra_lag_ns)
            case ReadOrderHistory():
                return reads.order_page(self.matching, request, steady_ns, self.history_lag_ns + extra_lag_ns)
            case ReadExecutions():
                return reads.execution_page(self.account, request)
            case ReadLedger():
                return reads.ledger_page(self.account, request)
            case ReadPositions():
                return reads.positions(self.account)
            case ReadBalances():
                return reads.balances(self.account)
            case ReadInstruments():
                return Instruments(instruments=tuple(self.account.infos.values()))
            case ReadPermissions():
                return self.permissions
            case ReadTop():
                self._listed(request.symbol)
                book = self.matching.books[request.symbol]
                return Top(
                    symbol=request.symbol,
                    bid_ticks=book.bid_ticks,
                    ask_ticks=book.ask_ticks,
                    mark_ticks=book.mark_ticks,
                    trading=self.account.is_trading(request.symbol),
                )
            case ReadIndex():
                if request.currency not in self.indices:
                    raise Rejection(Code.UNKNOWN_SYMBOL, f"expected one of {', '.join(self.indices)}, found {request.currency!r}")
                return self.indices[request.currency]
        return None

    def _admit(self, request: AnyRequest, venue_ns: int) -> None:
        raising = class_of(verb_of(request)) is VerbClass.RISK_RAISING
        if self.flavour.unique_nonce and raising:
            if not request.nonce:
                raise Rejection(Code.BAD_REQUEST, "expected a nonce, found none")
            if request.nonce in self._nonces:
                raise Rejection(Code.NONCE_USED, f"nonce {request.nonce!r} was used before")
            self._nonces.add(request.nonce)
        if self.flavour.expires:
            if raising and request.receive_window_ns <= 0:
                raise Rejection(Code.BAD_REQUEST, f"expected a receive window, found {request.receive_window_ns}")
            if request.receive_window_ns > 0:
                if venue_ns > request.sign_ns + request.receive_window_ns:
                    raise Rejection(Code.REQUEST_EXPIRED, f"venue time {venue_ns} is past the receive window")
                if request.sign_ns > venue_ns + FUTURE_NS:
                    raise Rejection(Code.REQUEST_FROM_FUTURE, f"signed at {request.sign_ns}, venue time {venue_ns}")
        if raising and not self.permissions.trade:
            raise Rejection(Code.NOT_PERMITTED, "this key may not trade")

    def _place(self, new: NewOrder) -> Outcome:
        self.matching.check(new)
        crosses = self.matching.would_take(new.symbol, new.side, new.ticks, new.type)
        if new.tif is TimeInForce.POST_ONLY and crosses and not self.flavour.receipt_only:
            raise Rejection(Code.POST_ONLY_WOULD_TAKE, f"{new.ticks} ticks would take")
        return self._outcome(self.matching.place(new))

    def _cancel(self, client_id: str) -> Outcome:
        order = self._known(client_id)
        if order.state.final:
            raise Rejection(Code.ORDER_NOT_FOUND, f"{client_id} is {order.state.value}")
        self.matching.end(order, OrderState.CANCELLED)
        return self._outcome(order)

    def _cancel_all(self, request: CancelAll) -> CancelledAll:
        chosen = [
            order
            for order in self.matching.open_orders()
            if request.symbol in ("", order.symbol) and order.client_id.startswith(request.prefix)
        ][: self.flavour.cancel_all_max]
        for order in chosen:
            self.matching.end(order, OrderState.CANCELLED)
        return CancelledAll(client_ids=tuple(order.client_id for order in chosen if order.client_id), count=len(chosen))

    def _beat(self, request: Heartbeat, venue_ns: int) -> BeatTaken:
        if not self.flavour.dead_man:
            raise Rejection(Code.NOT_SUPPORTED, f"{self.flavour.name} has no dead-man")
        self._listed(request.symbol)
        if request.countdown_ns < 0:
            raise Rejection(Code.BAD_REQUEST, f"expected a countdown >= 0, found {request.countdown_ns}")
        beat = self._beats[request.symbol] = self._beats.get(request.symbol, 0) + 1
        if request.countdown_ns:
            self._later(request.countdown_ns, lambda: self._dead(request.symbol, beat))
        return BeatTaken(until_ns=venue_ns + request.countdown_ns if request.countdown_ns else 0)

    def _dead(self, symbol: str, beat: int) -> None:
        if self._beats[symbol] == beat:
            for order in self.matching.open_orders():
                if order.symbol == symbol:
                    self.matching.end(order, OrderState.CANCELLED, EndCode.DEAD_MAN)

    def _child(self, do: Callable[[], Outcome], child: NewOrder | str) -> Outcome:
        try:
            return do()
        except Rejection as no:
            client_id, revision = (child, 0) if isinstance(child, str) else (child.client_id, child.revision)
            return Outcome(
                client_id=client_id, revision=revision, venue_order_id="", state=OrderState.REJECTED, status=400, code=no.code.value
            )

    def _outcome(self, order: Order) -> Outcome:
        return Outcome(
            client_id=order.client_id,
            revision=order.revision,
            venue_order_id=order.venue_order_id,
            state=OrderState.ACKED if self.flavour.receipt_only else order.state,
        )

    def _known(self, client_id: str) -> Order:
        order = self.matching.find(client_id) if client_id else None
        if order is None:
            raise Rejection(Code.ORDER_NOT_FOUND, f"no order {client_id!r}")
        return order

    def _listed(self, symbol: str) -> None:
        if symbol not in self.matching.books:
            raise Rejection(Code.UNKNOWN_SYMBOL, f"expected one of {', '.join(self.matching.books)}, found {symbol!r}")

    def _batch(self, count: int) -> None:
        if not 1 <= count <= self.flavour.batch_max:
            raise Rejection(Code.BAD_REQUEST, f"expected 1..{self.flavour.batch_max} in a batch, found {count}")
