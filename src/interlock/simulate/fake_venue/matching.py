"""The orders of one venue and how they trade: simple and honest, whatever is told about it.

The book of a symbol is one best bid and ask. What crosses it fills at once, what rests fills when the book moves through it or when told to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from interlock.domain.orders import Liquidity, OrderState, OrderType, Side, TimeInForce
from interlock.simulate.fake_venue.account import Account
from interlock.venues.fake.wire import Balance, Code, EndCode, Execution, NewOrder, OrderView, Position


class Rejection(Exception):
    """The venue does not take a request; `code` says why, and nothing has changed."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(slots=True)
class Book:
    """The best bid and ask. `lots` is what one order can take (None: any), in `parts` executions; `mark_ticks` is 0 where there is no mark."""

    bid_ticks: int
    ask_ticks: int
    lots: int | None = None
    parts: int = 1
    mark_ticks: int = 0


@dataclass(slots=True)
class Order:
    """An order as it truly is. `done_lots` never falls; `reversed_lots` of them were taken back."""

    number: int
    venue_order_id: str
    client_id: str
    revision: int
    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    reduce_only: bool
    ticks: int
    lots: int
    state: OrderState = OrderState.OPEN
    code: str = ""
    done_lots: int = 0
    reversed_lots: int = 0
    views: list[tuple[int, OrderView]] = field(default_factory=list)

    @property
    def remaining_lots(self) -> int:
        """What can still execute."""
        return self.lots - self.done_lots

    def view(self, venue_ns: int) -> OrderView:
        """What the venue would show now."""
        return OrderView(
            client_id=self.client_id,
            revision=self.revision,
            venue_order_id=self.venue_order_id,
            symbol=self.symbol,
            side=self.side,
            type=self.type,
            tif=self.tif,
            reduce_only=self.reduce_only,
            ticks=self.ticks,
            lots=self.lots,
            filled_lots=self.done_lots - self.reversed_lots,
            state=self.state,
            code=self.code,
            updated_ns=venue_ns,
        )

    def view_at(self, steady_ns: int) -> tuple[int, OrderView] | None:
        """What the venue would have shown then, and since when; None before the order was known. The clock is the unskewed one."""
        for since_ns, view in reversed(self.views):
            if since_ns <= steady_ns:
                return since_ns, view
        return None


Emit = Callable[[OrderView | Execution | Position | Balance], None]


class Matching:
    """Every order that was ever taken. `emit` is called for each change, in the order in which they happen; `clock` gives the venue's time,
    which may jump, and `steady` a time that does not.
    """

    def __init__(self, account: Account, emit: Emit, clock: Callable[[], int], steady: Callable[[], int]) -> None:
        self.account = account
        self.orders: list[Order] = []
        self.books = {listing.info.symbol: Book(listing.bid_ticks, listing.ask_ticks) for listing in account.flavour.listings}
        self._by_client_id: dict[str, Order] = {}
        self._by_venue_id: dict[str, Order] = {}
        self._open: dict[int, Order] = {}
        self._emit = emit
        self._clock = clock
        self._steady = steady

    def find(self, client_id: str, venue_order_id: str = "") -> Order | None:
        """The order with this client id, or where that is empty with this id of the venue."""
        return self._by_client_id.get(client_id) if client_id else self._by_venue_id.get(venue_order_id)

    def open_orders(self) -> list[Order]:
        """The orders that are not over, oldest first."""
        return list(self._open.values())

    def check(self, new: NewOrder) -> None:
        """Raise Rejection unless the order can be taken as it stands."""
        if new.symbol not in self.books:
            raise Rejection(Code.UNKNOWN_SYMBOL, f"expected one of {', '.join(self.books)}, found {new.symbol!r}")
        self._check_trading(new.symbol)
        priced = new.ticks > 0 if new.type is OrderType.LIMIT else new.ticks == 0
        if new.lots < 1 or not priced or not new.client_id or new.revision < 0:
            raise Rejection(Code.BAD_REQUEST, "expected lots >= 1, ticks > 0 (0 for a market order), a client id and revision >= 0")
        if new.type is OrderType.MARKET and new.tif not in (TimeInForce.IOC, TimeInForce.FOK):
            raise Rejection(Code.BAD_REQUEST, f"expected ioc or fok for a market order, found {new.tif.value}")
        if new.client_id in self._by_client_id:
            raise Rejection(Code.DUPLICATE_CLIENT_ID, f"{new.client_id} was used before")
        if len(self._open) >= self.account.flavour.open_max:
            raise Rejection(Code.TOO_MANY_ORDERS, f"expected at most {self.account.flavour.open_max} open orders")
        if new.reduce_only and not 0 < new.lots <= self._reducible(new.symbol, new.side):
            raise Rejection(Code.REDUCE_ONLY_REJECTED, f"{new.lots} lots do not reduce {self.account.holdings[new.symbol].lots}")

    def would_take(self, symbol: str, side: Side, ticks: int, order_type: OrderType) -> bool:
        """Whether an order at this price crosses the book."""
        book = self.books[symbol]
        if order_type is OrderType.MARKET:
            return True
        return ticks >= book.ask_ticks if side is Side.BUY else ticks <= book.bid_ticks

    def place(self, new: NewOrder) -> Order:
        """Take an order that `check` let pass, and let it trade."""
        number = len(self.orders) + 1
        order = Order(
            number=number,
            venue_order_id=f"{self.account.flavour.name}-o{number}",
            client_id=new.client_id,
            revision=new.revision,
            symbol=new.symbol,
            side=new.side,
            type=new.type,
            tif=new.tif,
            reduce_only=new.reduce_only,
            ticks=new.ticks,
            lots=new.lots,
        )
        self.orders.append(order)
        self._open[number] = order
        self._by_venue_id[order.venue_order_id] = order
        if order.client_id:
            self._by_client_id[order.client_id] = order
        self.note(order)
        self._trade(order)
        return order

    def amend(self, order: Order, revision: int, ticks: int, lots: int) -> None:
        """Change price and total size. Raises Rejection, and changes nothing, when the order cannot become that."""
        if order.state.final:
            raise Rejection(Code.ORDER_NOT_FOUND, f"{order.client_id} is {order.state.value}")
        self._check_trading(order.symbol)
        if revision <= order.revision:
            raise Rejection(Code.STALE_REVISION, f"expected a revision above {order.revision}, found {revision}")
        if ticks < 1 or lots < 1:
            raise Rejection(Code.BAD_REQUEST, f"expected ticks and lots >= 1, found {ticks} and {lots}")
        if lots <= order.done_lots:
            raise Rejection(Code.AMEND_BELOW_FILLED, f"expected more than the {order.done_lots} lots that are done, found {lots}")
        if order.reduce_only and lots - order.done_lots > self._reducible(order.symbol, order.side):
            raise Rejection(Code.REDUCE_ONLY_REJECTED, f"{lots} lots do not reduce {self.account.holdings[order.symbol].lots}")
        if order.tif is TimeInForce.POST_ONLY and self.would_take(order.symbol, order.side, ticks, order.type):
            raise Rejection(Code.POST_ONLY_WOULD_TAKE, f"{ticks} ticks would take")
        order.revision, order.ticks, order.lots = revision, ticks, lots
        self.note(order)
        self._trade(order)

    def end(self, order: Order, state: OrderState, code: str = "") -> None:
        """Bring an order to a final state."""
        order.state, order.code = state, code
        self.note(order)

    def move_book(self, symbol: str, book: Book) -> None:
        """Set the best bid and ask; what it moves through fills at its own price, oldest first."""
        self.books[symbol] = book
        for order in self.open_orders():
            if order.symbol == symbol and self.would_take(symbol, order.side, order.ticks, order.type):
                self.fill(order, order.remaining_lots, order.ticks, Liquidity.MAKER)

    def fill(self, order: Order, lots: int, ticks: int, liquidity: Liquidity) -> int:
        """Execute up to `lots` of an order, also of one that is over; returns how many it were."""
        wanted = min(lots, order.remaining_lots)
        done = max(0, min(wanted, self._reducible(order.symbol, order.side)) if order.reduce_only else wanted)
        if done:
            execution = self.account.execute(
                client_id=order.client_id,
                venue_order_id=order.venue_order_id,
                symbol=order.symbol,
                side=order.side,
                ticks=ticks,
                lots=done,
                liquidity=liquidity,
                venue_ns=self._clock(),
            )
            order.done_lots += done
            if not order.state.final:
                order.state = OrderState.PARTIAL if order.remaining_lots else OrderState.FILLED
            self._emit(execution)
            self.note(order)
            self.tell_holdings(order.symbol)
        if done < wanted and not order.state.final:
            self.end(order, OrderState.CANCELLED, EndCode.REDUCE_ONLY)
        return done

    def reverse(self, execution: Execution) -> None:
        """Take an execution back; its order stays over, and what was taken back cannot execute again."""
        undone = self.account.reverse(execution, self._clock())
        self._emit(undone)
        order = self._by_venue_id.get(execution.venue_order_id)
        if order is not None:
            order.reversed_lots += execution.lots
            self.note(order)
        self.tell_holdings(execution.symbol)

    def tell_holdings(self, symbol: str) -> None:
        """Tell what an execution changed besides its order."""
        info = self.account.infos[symbol]
        self._emit(self.account.balance(info.base) if self.account.flavour.spot else self.account.position(symbol))
        self._emit(self.account.balance(info.quote))

    def note(self, order: Order) -> None:
        """Remember and tell how an order now looks."""
        if order.state.final:
            self._open.pop(order.number, None)
        view = order.view(self._clock())
        order.views.append((self._steady(), view))
        self._emit(view)

    def _trade(self, order: Order) -> None:
        if not self.would_take(order.symbol, order.side, order.ticks, order.type):
            if order.tif in (TimeInForce.IOC, TimeInForce.FOK):
                self._expire(order)
            return
        if order.tif is TimeInForce.POST_ONLY:
            self.end(order, OrderState.CANCELLED, EndCode.POST_ONLY)
            return
        book = self.books[order.symbol]
        available = order.remaining_lots if book.lots is None else min(book.lots, order.remaining_lots)
        if order.tif is TimeInForce.FOK and available < order.remaining_lots:
            self._expire(order)
            return
        ticks = book.ask_ticks if order.side is Side.BUY else book.bid_ticks
        for part in range(book.parts, 0, -1):
            share = -(-available // part)
            if share and not order.state.final:
                available -= self.fill(order, share, ticks, Liquidity.TAKER)
        if order.tif in (TimeInForce.IOC, TimeInForce.FOK) and not order.state.final:
            self._expire(order)

    def _check_trading(self, symbol: str) -> None:
        if not self.account.is_trading(symbol):
            raise Rejection(Code.NOT_TRADING, f"{symbol} is {self.account.infos[symbol].status}")

    def _expire(self, order: Order) -> None:
        self.end(order, OrderState.EXPIRED, EndCode.FOK_UNFILLABLE if order.tif is TimeInForce.FOK else EndCode.IOC_REMAINDER)

    def _reducible(self, symbol: str, side: Side) -> int:
        """How many lots of this side would bring the position towards nothing."""
        return -int(side) * self.account.holdings[symbol].lots
