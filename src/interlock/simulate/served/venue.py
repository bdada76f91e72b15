"""One simulated venue without its wire: instruments, the floor, the account, every order, and what is told to whoever listens.

A face (a venue's REST and WebSocket protocol) turns requests into these calls and events into messages. Refusals are `Refused` with a reason that
the face words in its venue's codes. All times are the venue's own clock, nanoseconds; it is the machine's clock plus `skew_ns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

import numpy as np

from interlock.domain.clock import Clock
from interlock.domain.instruments import Instrument, Kind
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.market.columns import RowKind
from interlock.simulate.floor import Ended, Filled, Floor, Happened, Levels
from interlock.simulate.reasons import Reason
from interlock.simulate.served.accounts import Account, MarginAccount
from interlock.simulate.served.history import ENDED_KEPT, History
from interlock.simulate.served.orders import EndReason, Executed, Execution, NewOrder, Refusal, Refused, SelfMatch, SimOrder

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRules:
    """What differs from venue to venue in how orders are taken.

    `post_only_refused`: a post-only order that would take is refused at once (Binance) instead of taken and then cancelled (Bybit, Upbit).
    `fok_refused`: the same for an order that cannot fill whole. `open_max`: open orders in one symbol. `max_value`: of one order, quote currency,
    None for no bound. `band`: how far from the mark a limit price may lie on the taking side, as a fraction. `reduce_only_exempt`: whether
    reduce-only orders may be below the minimum value. `client_ids_again`: whether a client id may be used again once its order is over.
    `position_max`: what a position may be worth with the open orders that enlarge it, quote currency, None for no bound but the margin.
    `market_band`: whether a market order is refused while the best price that it would meet lies beyond the band. `only_post_only`: whether the
    venue has markets in which only post-only orders are available for a while. `adl_cancels`: whether a symbol's open orders end when the venue
    takes of its position to cover somebody else's loss (ADL).
    """

    name: str
    post_only_refused: bool
    fok_refused: bool
    open_max: int
    band: Decimal
    max_value: Decimal | None = None
    reduce_only_exempt: bool = True
    client_ids_again: bool = False
    position_max: Decimal | None = None
    market_band: bool = False
    only_post_only: bool = False
    adl_cancels: bool = False


class Change(StrEnum):
    """What happened to an order."""

    NEW = "new"
    TRADE = "trade"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    AMENDED = "amended"
    REVERSED = "reversed"
    PREVENTED = "prevented"


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """An order was taken, traded, amended, reduced because it would have met its own account, or ended; `execution` with TRADE and REVERSED.

    Balances and positions have moved already.
    """

    change: Change
    order: SimOrder
    execution: Execution | None = None


@dataclass(frozen=True, slots=True)
class Booking:
    """A change of the account that is no execution: the venue's own number, what it was, and for which symbol if any.

    kind: deposit, withdrawal, funding, fee, rebate, interest, transfer, adl, liquidation, settlement, airdrop, adjust.
    """

    number: int
    kind: str
    currency: str
    amount: Decimal
    symbol: str
    venue_ns: int


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade that everyone sees. `side` is the taker's."""

    number: int
    ticks: int
    lots: int
    side: Side
    venue_ns: int


@dataclass(slots=True)
class MarketStep:
    """What one step changed in one symbol: whole new sizes of levels (0: gone), trades, and the ids by which the venue numbers book updates.

    An update spans `first_id` to `last_id`; `previous_id` ended the one before.
    """

    symbol: str
    venue_ns: int
    first_id: int
    last_id: int
    previous_id: int
    bids: Levels = field(default_factory=list)
    asks: Levels = field(default_factory=list)
    trades: list[PublicTrade] = field(default_factory=list)
    marked: bool = False


Event = OrderChanged | Booking
Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Figures:
    """What the last trades come to: prices in ticks, `lots` together, `ticks_lots` the sum of price times size."""

    first: int
    last: int
    high: int
    low: int
    lots: int
    ticks_lots: int


@dataclass(slots=True)
class Market:
    """The public facts of one symbol. `funding_rate` is the one predicted for `next_funding_ns`."""

    number: int
    instrument: Instrument
    last_id: int
    trades: list[PublicTrade] = field(default_factory=list)
    mark: Decimal = ZERO
    index: Decimal = ZERO
    funding_rate: Decimal = ZERO
    next_funding_ns: int = 0
    trading: bool = True
    only_post_only: bool = False
    _figures: tuple[list[PublicTrade], Figures] | None = None

    def figures(self) -> Figures | None:
        """Of the trades that are kept; None without any. Worked out once for each list of trades, since it is shown with every step."""
        trades = self.trades
        if not trades:
            return None
        if self._figures is None or self._figures[0] is not trades:
            ticks = [trade.ticks for trade in trades]
            worth = sum(trade.ticks * trade.lots for trade in trades)
            self._figures = trades, Figures(ticks[0], ticks[-1], max(ticks), min(ticks), sum(trade.lots for trade in trades), worth)
        return self._figures[1]


TRADES_KEPT = 1000
_FINAL_REASONS: Mapping[Reason, tuple[OrderState, EndReason]] = {
    Reason.POST_ONLY_WOULD_TAKE: (OrderState.CANCELLED, EndReason.POST_ONLY),
    Reason.IOC_REST: (OrderState.EXPIRED, EndReason.IOC_REST),
    Reason.FOK_NOT_FILLABLE: (OrderState.EXPIRED, EndReason.FOK),
    Reason.REDUCE_ONLY: (OrderState.EXPIRED, EndReason.REDUCE_ONLY),
    Reason.CANCELLED: (OrderState.CANCELLED, EndReason.USER),
}


class SimVenue:
    """A venue that keeps the truth. `around` is each symbol's first price, `ended_kept` how many orders that are over stay in memory.

    `history` has all orders and executions. `bookings` are a few a day and whatever somebody asks of the control port, and all in memory.
    """

    def __init__(
        self,
        rules: VenueRules,
        instruments: Sequence[Instrument],
        around: Mapping[str, Decimal],
        account: Account,
        clock: Clock,
        *,
        ended_kept: int = ENDED_KEPT,
    ) -> None:
        self.rules = rules
        self.account = account
        self.skew_ns = 0
        self.ignores_cancels = False
        """Whether a client's cancel is taken and does nothing: a lie, for as long as a fault says so."""
        self.charges: dict[str, Decimal] = {}
        """By symbol, "" for every one: at what rate executions are charged, whatever the account is told; for as long as a fault says so."""
        self._hidden: frozenset[int] = frozenset()
        self._clock = clock
        self._listeners: list[Listener] = []
        self.day = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).date()
        self.floor = Floor(instruments, around, self.day)
        # Update ids begin anywhere at the venues; never at one, which Bybit gives a meaning.
        self.markets = {
            i.symbol: Market(k, i, last_id=1_000_000 * (k + 1), mark=around[i.symbol], index=around[i.symbol])
            for k, i in enumerate(instruments)
        }
        self.history = History(instruments, ended_kept)
        self.bookings: list[Booking] = []
        self._moved: dict[str, Decimal] = {}
        self._by_slot: dict[int, SimOrder] = {}
        self._public_trades = 0
        self._numbers = 0

    # time and listeners

    def now_ns(self) -> int:
        """The venue's clock, nanoseconds since the Unix epoch."""
        return self._clock.now_ns() + self.skew_ns

    def now_ms(self) -> int:
        """The venue's clock, milliseconds."""
        return self.now_ns() // 1_000_000

    def close(self) -> None:
        """Let go of what is on disk."""
        self.history.close()

    def listen(self, listener: Listener) -> None:
        """Have every event told to `listener`, in the order in which things happen."""
        self._listeners.append(listener)

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    # the market

    def market(self, symbol: str) -> Market:
        """The market of a symbol. Raises Refused for an unknown one."""
        found = self.markets.get(symbol)
        if found is None:
            raise Refused(Refusal.UNKNOWN_SYMBOL, f"expected one of {', '.join(self.markets)}, found {symbol!r}")
        return found

    def levels(self, symbol: str, count: int) -> tuple[Levels, Levels]:
        """Best bids and asks, (ticks, lots)."""
        return self.floor.levels(self.market(symbol).number, count)

    def step(self, rows: np.ndarray) -> list[MarketStep]:
        """Let market rows happen (their instruments numbered as the venue's), tell what they did to our orders, and return what everyone sees."""
        now_ns = self.now_ns()
        rows = rows.copy()
        rows["exchange_ns"] = rows["receive_ns"] = now_ns
        events = self.floor.rows(rows)
        steps: list[MarketStep] = []
        for market in self.markets.values():
            own = rows[rows["instrument"] == market.number]
            if len(own):
                steps.append(self._seen(market, own, now_ns))
        self._follow(events, now_ns)
        return steps

    def _seen(self, market: Market, rows: np.ndarray, now_ns: int) -> MarketStep:
        step = MarketStep(market.instrument.symbol, now_ns, market.last_id + 1, market.last_id, market.last_id)
        changed: dict[tuple[int, int], int] = {}
        for row in rows:
            kind, side, ticks, lots = int(row["kind"]), int(row["side"]), int(row["ticks"]), int(row["lots"])
            if kind == RowKind.DEPTH:
                changed[side, ticks] = lots
            elif kind == RowKind.TRADE:
                self._public_trades += 1
                step.trades.append(PublicTrade(self._public_trades, ticks, lots, Side(side), now_ns))
            elif kind == RowKind.MARK:
                market.mark = market.index = market.instrument.price(ticks)
                step.marked = True
        step.bids = sorted(((t, n) for (s, t), n in changed.items() if s > 0), reverse=True)
        step.asks = sorted((t, n) for (s, t), n in changed.items() if s < 0)
        step.last_id = market.last_id = market.last_id + max(1, len(changed))
        if step.trades:
            market.trades = [*market.trades, *step.trades][-TRADES_KEPT:]
        return step

    # orders: what a face asks for

    def find(self, *, number: int = 0, client_id: str = "") -> SimOrder | None:
        """An order by the venue's number or else by client id."""
        if number:
            return self.history.numbered(number)
        return self.history.of_client(client_id) if client_id else None

    def open_orders(self, symbol: str = "") -> list[SimOrder]:
        """The orders that can still execute and are ours, oldest first; of one symbol or of all."""
        return [o for o in self._by_slot.values() if o.open and (not symbol or o.symbol == symbol)]

    def hide(self, count: int) -> None:
        """Leave so many open orders out of lists from now on, the newest that there are now: a lie."""
        self._hidden = frozenset(sorted(order.number for order in self.open_orders())[-count:] if count else ())

    def listed(self, orders: Iterable[SimOrder]) -> list[SimOrder]:
        """Those of the orders that a list of open ones may show."""
        return [order for order in orders if order.number not in self._hidden]

    def ticks_of(self, instrument: Instrument, price: Decimal) -> int:
        """An order price as ticks. Raises Refused if the venue takes no such price."""
        if not price.is_finite() or price <= 0 or price < instrument.min_price or price > instrument.max_price:
            raise Refused(Refusal.PRICE_RANGE, f"expected a price from {instrument.min_price} to {instrument.max_price}, found {price}")
        step = instrument.price_step(price, self.day)
        if price % step:
            raise Refused(Refusal.PRICE_STEP, f"expected a multiple of {step}, found {price}")
        return instrument.ticks(price)

    def lots_of(self, instrument: Instrument, quantity: Decimal) -> int:
        """A size as lots. Raises Refused if the venue takes no such size."""
        if not quantity.is_finite() or quantity % instrument.lot:
            raise Refused(Refusal.LOT_STEP, f"expected a multiple of {instrument.lot}, found {quantity}")
        lots = instrument.lots(quantity)
        if lots < instrument.min_lots:
            raise Refused(Refusal.QUANTITY_LOW, f"expected at least {instrument.quantity(instrument.min_lots)}, found {quantity}")
        if lots > instrument.max_lots:
            raise Refused(Refusal.QUANTITY_HIGH, f"expected at most {instrument.quantity(instrument.max_lots)}, found {quantity}")
        return lots

    def crosses(self, symbol: str, side: Side, ticks: int) -> bool:
        """Whether an order at this price would take what the market shows."""
        bids, asks = self.levels(symbol, 1)
        return bool(asks and ticks >= asks[0][0]) if side is Side.BUY else bool(bids and ticks <= bids[0][0])

    def check(self, new: NewOrder) -> tuple[Market, int, int]:
        """The market, ticks and lots of an order that could be taken as it stands. Raises Refused; nothing changes."""
        market = self.market(new.symbol)
        instrument = market.instrument
        if not market.trading:
            raise Refused(Refusal.HALTED, f"{new.symbol} takes no orders now")
        if market.only_post_only and new.tif is not TimeInForce.POST_ONLY:
            raise Refused(Refusal.ONLY_POST_ONLY, f"{new.symbol} takes only post-only orders now")
        ticks = self._limit_ticks(market, new)
        lots = self._lots(market, new, ticks)
        value = new.cost
        if value is None:
            value = instrument.notional(ticks if new.type is OrderType.LIMIT else instrument.ticks(self._rounded_mark(market)), lots)
        if value < instrument.min_notional and not (new.reduce_only and self.rules.reduce_only_exempt):
            raise Refused(Refusal.MIN_NOTIONAL, f"expected a value of at least {instrument.min_notional} {instrument.quote}, found {value}")
        if self.rules.max_value is not None and value > self.rules.max_value:
            raise Refused(Refusal.MAX_NOTIONAL, f"expected a value of at most {self.rules.max_value} {instrument.quote}, found {value}")
        used = self.find(client_id=new.client_id)
        if used is not None and (used.open or not self.rules.client_ids_again):
            raise Refused(Refusal.DUPLICATE_CLIENT_ID, f"{new.client_id} was used before")
        if sum(1 for _ in self.open_orders(new.symbol)) >= self.rules.open_max:
            raise Refused(Refusal.OPEN_ORDERS, f"expected at most {self.rules.open_max} open orders in {new.symbol}")
        if new.reduce_only:
            self._check_reducing(market, new, lots)
        elif not new.foreign:
            self.account.check(new, instrument, ticks, lots)
        if new.tif is TimeInForce.POST_ONLY and self.rules.post_only_refused and self.crosses(new.symbol, new.side, ticks):
            raise Refused(Refusal.POST_ONLY, f"{new.price} would take")
        if new.tif is TimeInForce.FOK and self.rules.fok_refused and self._takeable(new, ticks) < lots:
            raise Refused(Refusal.FOK, f"cannot fill {new.quantity} at once")
        return market, ticks, lots

    def place(self, new: NewOrder) -> SimOrder:
        """Take an order and let it trade. Raises Refused."""
        market, ticks, lots = self.check(new)
        order = self._taken(new, market, ticks, lots)
        if self._self_match(order):
            return order
        tif = TimeInForce.IOC if new.type is OrderType.MARKET else new.tif
        now_ns = order.created_ns
        order.slot, events = self.floor.place(
            market.number, side=new.side, tif=tif, ticks=ticks, lots=order.lots, reduce_only=new.reduce_only, now_ns=now_ns
        )
        self._by_slot[order.slot] = order
        self._follow(events, now_ns)
        return order

    def deleverage(self, new: NewOrder, lots: int) -> SimOrder:
        """Take lots off a position beside the book, whole and at the mark, as a venue does to cover what somebody else lost."""
        market = self.market(new.symbol)
        ticks = market.instrument.ticks(self._rounded_mark(market))
        order = self._taken(new, market, ticks, lots)
        self._execute(order, ticks, lots, False, order.created_ns)
        self.floor.set_position(market.number, self._position(market.instrument))
        return order

    def _taken(self, new: NewOrder, market: Market, ticks: int, lots: int) -> SimOrder:
        """An order that was taken, told and held for, and has met nobody yet."""
        now_ns = self.now_ns()
        order = SimOrder(
            number=self.history.taken + 1,
            instrument=market.instrument,
            side=new.side,
            type=new.type,
            tif=new.tif,
            ticks=ticks,
            lots=lots,
            client_id=new.client_id,
            reduce_only=new.reduce_only,
            self_match=new.self_match,
            words=dict(new.words),
            created_ns=now_ns,
            updated_ns=now_ns,
            foreign=new.foreign,
            origin=new.origin,
            cost=new.cost,
            fee_currency=market.instrument.quote,
        )
        self.history.take(order)
        self.account.hold(order, lots)
        self._tell(OrderChanged(Change.NEW, order))
        return order

    def cancel(self, order: SimOrder, reason: EndReason = EndReason.USER) -> None:
        """End an open order. Raises Refused if it is over."""
        if not order.open:
            raise Refused(Refusal.NOT_FOUND, f"{order.number} is {order.state.value}")
        if self.ignores_cancels and reason is EndReason.USER:
            return
        now_ns = self.now_ns()
        self.floor.cancel(order.slot, now_ns)
        self._end(order, OrderState.CANCELLED, reason, now_ns)

    def cancel_all(self, symbol: str = "", reason: EndReason = EndReason.USER) -> list[SimOrder]:
        """End every open order, of one symbol or of all; returns them."""
        found = self.open_orders(symbol)
        for order in found:
            self.cancel(order, reason)
        return found

    def amend(self, order: SimOrder, *, price: Decimal | None, quantity: Decimal | None) -> None:
        """Change price or whole size in place. A smaller size at the same price keeps its place in the queue. Raises Refused."""
        if not order.open:
            raise Refused(Refusal.NOT_FOUND, f"{order.number} is {order.state.value}")
        instrument = order.instrument
        ticks = order.ticks if price is None else self.ticks_of(instrument, price)
        lots = order.lots if quantity is None else self.lots_of(instrument, quantity)
        if (ticks, lots) == (order.ticks, order.lots):
            raise Refused(Refusal.UNCHANGED, "expected another price or size")
        if lots <= order.filled_lots:
            raise Refused(Refusal.AMEND_BELOW_FILLED, f"expected more than the {order.filled} that is done, found {quantity}")
        if order.tif is TimeInForce.POST_ONLY and self.rules.post_only_refused and self.crosses(order.symbol, order.side, ticks):
            raise Refused(Refusal.POST_ONLY, f"{price} would take")
        now_ns, left = self.now_ns(), lots - order.filled_lots
        self._reprice(order, instrument, ticks, left)
        order.revision, order.updated_ns = order.revision + 1, now_ns
        if ticks == order.ticks and lots < order.lots:
            self.floor.shrink(order.slot, order.lots - lots)
            order.lots = lots
            self._tell(OrderChanged(Change.AMENDED, order))
            return
        self.floor.cancel(order.slot, now_ns)
        self._drop(order)
        order.ticks, order.lots = ticks, lots
        self._tell(OrderChanged(Change.AMENDED, order))
        order.slot, events = self.floor.place(
            self.markets[order.symbol].number,
            side=order.side,
            tif=order.tif,
            ticks=ticks,
            lots=left,
            reduce_only=order.reduce_only,
            now_ns=now_ns,
        )
        self._by_slot[order.slot] = order
        self._follow(events, now_ns)

    def book(self, kind: str, currency: str, amount: Decimal, symbol: str = "") -> Booking:
        """Change the account other than by an execution, and tell it."""
        self.account.move(currency, amount)
        booking = Booking(len(self.bookings) + 1, kind, currency, amount, symbol, self.now_ns())
        self.bookings.append(booking)
        self._tell(booking)
        return booking

    def fill(self, order: SimOrder, lots: int, ticks: int | None = None) -> Execution | None:
        """Execute lots of an order as if somebody had met it, also of one that is over (a late fill); None if nothing is left of it."""
        lots = min(lots, order.remaining_lots)
        if lots < 1:
            return None
        now_ns, late = self.now_ns(), not order.open
        if late:
            self.account.hold(order, lots)
        elif lots < self.floor.leaves_lots(order.slot):
            self.floor.shrink(order.slot, lots)
        else:
            self.floor.cancel(order.slot, now_ns)
        execution = self._execute(order, order.ticks if ticks is None else ticks, lots, True, now_ns)
        self.floor.set_position(self.markets[order.symbol].number, self._position(order.instrument))
        if not late and not order.open:
            self._drop(order)
        return execution

    def reverse(self, execution: Execution) -> Execution:
        """Take an execution back, fee included; its order stays as it is."""
        order, now_ns = execution.order, self.now_ns()
        account = self.account
        pnl, closed_lots = ZERO, 0
        if isinstance(account, MarginAccount):
            signed_lots = -int(order.side) * execution.lots
            booked = account.trade(order.instrument, signed_lots, execution.ticks, ZERO)
            pnl, closed_lots = booked.pnl, _closed(booked.before_lots, signed_lots)
        else:
            account.move(order.instrument.quote, int(order.side) * order.instrument.notional(execution.ticks, execution.lots))
            account.move(order.instrument.base, -int(order.side) * order.instrument.base_units(execution.lots))
        account.move(execution.fee_currency, execution.fee)
        undone = Executed(
            number=self.history.executed + 1,
            ticks=execution.ticks,
            lots=-execution.lots,
            maker=execution.maker,
            fee=-execution.fee,
            fee_currency=execution.fee_currency,
            pnl=pnl,
            venue_ns=now_ns,
            reverses=execution.number,
            mark=self.markets[order.symbol].mark,
            closed_lots=closed_lots,
            moved=self._move(execution.fee_currency, pnl + execution.fee),
        )
        order.undone.append(undone)
        reversal = Execution.of(order, undone)
        self.history.execute(reversal)
        self.floor.set_position(self.markets[order.symbol].number, self._position(order.instrument))
        self._tell(OrderChanged(Change.REVERSED, order, reversal))
        return reversal

    def set_trading(self, symbol: str, trading: bool) -> None:
        """Open or close the market of a symbol."""
        market = self.market(symbol)
        market.trading = trading
        self.floor.set_trading(market.number, trading)

    # inside

    def _limit_ticks(self, market: Market, new: NewOrder) -> int:
        instrument = market.instrument
        if new.type is OrderType.LIMIT:
            if new.price is None or new.quantity is None:
                raise Refused(Refusal.BAD_REQUEST, "a limit order needs price and quantity")
            ticks = self.ticks_of(instrument, new.price)
            if self.rules.band and new.side is Side.BUY and new.price > market.mark * (1 + self.rules.band):
                raise Refused(Refusal.PRICE_BAND_HIGH, f"{new.price} is too far above the mark {market.mark}")
            if self.rules.band and new.side is Side.SELL and new.price < market.mark * (1 - self.rules.band):
                raise Refused(Refusal.PRICE_BAND_LOW, f"{new.price} is too far below the mark {market.mark}")
            return ticks
        if self.rules.market_band:
            self._check_market_band(market, new)
        # The worst price that a market order may reach here: what the band lets a limit order ask for, within the ladder.
        reach = self.rules.band or Decimal("0.1")
        low, high = self.floor.ladder(market.number)
        edge = market.mark * (1 + int(new.side) * reach)
        return min(max(instrument.round_price(edge, new.side, self.day), low), high)

    def _check_market_band(self, market: Market, new: NewOrder) -> None:
        bids, asks = self.levels(new.symbol, 1)
        best = asks if new.side is Side.BUY else bids
        if best and (market.instrument.price(best[0][0]) / market.mark - 1) * int(new.side) > self.rules.band:
            raise Refused(Refusal.MARKET_BAND, f"the best price lies too far from the mark {market.mark}")

    def _lots(self, market: Market, new: NewOrder, ticks: int) -> int:
        instrument = market.instrument
        if new.quantity is not None:
            lots = self.lots_of(instrument, new.quantity)
            if new.type is OrderType.MARKET and lots > instrument.max_market_lots:
                raise Refused(
                    Refusal.QUANTITY_HIGH, f"expected at most {instrument.quantity(instrument.max_market_lots)}, found {new.quantity}"
                )
            return lots
        if new.cost is None or not new.cost.is_finite() or new.cost <= 0:
            raise Refused(Refusal.BAD_REQUEST, "expected a quantity, or a positive value to spend")
        left, lots = new.cost, 0
        bids, asks = self.floor.levels(market.number, 500)
        for level_ticks, level_lots in asks if new.side is Side.BUY else bids:
            if (level_ticks - ticks) * int(new.side) > 0:
                break
            take = min(level_lots, int(left // instrument.notional(level_ticks, 1)))
            lots, left = lots + take, left - instrument.notional(level_ticks, take)
            if take < level_lots:
                break
        if lots < instrument.min_lots:
            raise Refused(Refusal.MIN_NOTIONAL, f"expected a value that buys at least {instrument.quantity(instrument.min_lots)}")
        return lots

    def _takeable(self, new: NewOrder, ticks: int) -> int:
        bids, asks = self.levels(new.symbol, 500)
        side = asks if new.side is Side.BUY else bids
        return sum(lots for level, lots in side if (ticks - level) * int(new.side) >= 0)

    def _rounded_mark(self, market: Market) -> Decimal:
        step = market.instrument.price_step(market.mark, self.day)
        return market.mark // step * step

    def _check_reducing(self, market: Market, new: NewOrder, lots: int) -> None:
        held = self.floor.position(market.number)
        room = -int(new.side) * held - sum(o.remaining_lots for o in self.open_orders(new.symbol) if o.reduce_only and o.side is new.side)
        if lots > room:
            raise Refused(Refusal.REDUCE_ONLY, f"{new.quantity} does not reduce the position of {market.instrument.quantity(held)}")

    def _self_match(self, order: SimOrder) -> bool:
        """Act on orders of ours that this one would meet; True if it is over by that."""
        if order.self_match is SelfMatch.NONE:
            return False
        reach = self._reach(order)
        met = [
            other
            for other in self.open_orders(order.symbol)
            if other.side is not order.side and (reach - other.ticks) * int(order.side) >= 0
        ]
        if not met:
            return False
        if order.self_match is SelfMatch.REDUCE:
            for other in sorted(met, key=lambda other: (other.ticks * int(other.side) * -1, other.number)):
                lots = min(order.remaining_lots, other.remaining_lots)
                self._prevent(other, lots)
                self._prevent(order, lots)
                if not order.open:
                    return True
            return False
        if order.self_match is not SelfMatch.CANCEL_TAKER:
            for other in met:
                self.cancel(other, EndReason.SELF_MATCH)
        if order.self_match is SelfMatch.CANCEL_MAKER:
            return False
        self._end(order, OrderState.EXPIRED, EndReason.SELF_MATCH, self.now_ns())
        return True

    def _reach(self, order: SimOrder) -> int:
        """The worst price at which an order could trade: its own, but of a market order only as far into the book as its size goes."""
        if order.type is OrderType.MARKET:
            left = order.lots
            bids, asks = self.levels(order.symbol, 500)
            for ticks, lots in asks if order.side is Side.BUY else bids:
                left -= lots
                if left <= 0:
                    return ticks
        return order.ticks

    def _prevent(self, order: SimOrder, lots: int) -> None:
        """Take lots off an order that would have met one of the same account; with the last of them it ends."""
        if lots == order.remaining_lots:
            if order.slot >= 0:
                self.floor.cancel(order.slot, self.now_ns())
            self._end(order, OrderState.CANCELLED, EndReason.SELF_MATCH, self.now_ns())
            return
        self.account.hold(order, -lots)
        if order.slot >= 0:
            self.floor.shrink(order.slot, lots)
        order.lots -= lots
        order.prevented_lots += lots
        order.updated_ns = self.now_ns()
        self._tell(OrderChanged(Change.PREVENTED, order))

    def _reprice(self, order: SimOrder, instrument: Instrument, ticks: int, left: int) -> None:
        """Hold what the amended order needs instead of what it held. Raises Refused, having changed nothing."""
        new = NewOrder(symbol=order.symbol, side=order.side, type=order.type, tif=order.tif)
        self.account.hold(order, -order.remaining_lots)
        try:
            if not order.reduce_only:
                self.account.check(new, instrument, ticks, left)
        except Refused:
            self.account.hold(order, order.remaining_lots)
            raise
        before, order.ticks = order.ticks, ticks
        self.account.hold(order, left)
        order.ticks = before

    def _follow(self, events: Iterable[Happened], now_ns: int) -> None:
        for event in events:
            order = self._by_slot.get(event.slot)
            if order is None:
                continue
            if isinstance(event, Filled):
                self._execute(order, event.ticks, event.lots, event.maker, now_ns)
            elif isinstance(event, Ended):
                state, reason = _FINAL_REASONS.get(event.reason, (OrderState.EXPIRED, EndReason.NONE))
                if order.type is OrderType.MARKET and reason is EndReason.IOC_REST:
                    reason = EndReason.MARKET_REST
                self._end(order, state, reason, now_ns)
            if not order.open:
                self._drop(order)

    def _execute(self, order: SimOrder, ticks: int, lots: int, maker: bool, now_ns: int) -> Execution:
        fees = order.instrument.fees
        told = fees.maker if maker else fees.taker
        booked = self.account.book(order, ticks, lots, self.charges.get(order.symbol, self.charges.get("", told)))
        executed = Executed(
            number=self.history.executed + 1,
            ticks=ticks,
            lots=lots,
            maker=maker,
            fee=booked.fee,
            fee_currency=booked.fee_currency,
            pnl=booked.pnl,
            venue_ns=now_ns,
            mark=self.markets[order.symbol].mark,
            closed_lots=_closed(booked.before_lots, int(order.side) * lots),
            moved=self._move(booked.fee_currency, booked.pnl - booked.fee),
        )
        order.executed.append(executed)
        order.add_up(executed)
        order.updated_ns = now_ns
        if order.open:
            order.state = OrderState.PARTIAL if order.remaining_lots else OrderState.FILLED
        execution = Execution.of(order, executed)
        self.history.execute(execution)
        self._tell(OrderChanged(Change.TRADE, order, execution))
        return execution

    def _end(self, order: SimOrder, state: OrderState, reason: EndReason, now_ns: int) -> None:
        self.account.hold(order, -order.remaining_lots)
        if reason is EndReason.SELF_MATCH:
            order.prevented_lots += order.remaining_lots
        order.state, order.reason, order.updated_ns = state, reason, now_ns
        self._drop(order)
        self._tell(OrderChanged(Change.EXPIRED if state is OrderState.EXPIRED else Change.CANCELLED, order))

    def _drop(self, order: SimOrder) -> None:
        if self._by_slot.get(order.slot) is order:
            del self._by_slot[order.slot]
            self.floor.free(order.slot)
        order.slot = -1

    def _move(self, currency: str, amount: Decimal) -> Decimal:
        """Count what an execution moves of its fee currency; what all of them moved until now."""
        moved = self._moved[currency] = self._moved.get(currency, ZERO) + amount
        return moved

    def _position(self, instrument: Instrument) -> int:
        account = self.account
        if instrument.kind is Kind.SPOT or not isinstance(account, MarginAccount):
            return self.floor.position(self.markets[instrument.symbol].number)
        return account.positions[instrument.symbol].lots


def _closed(before_lots: int, signed_lots: int) -> int:
    """How much of a position signed lots take off it."""
    return min(abs(before_lots), abs(signed_lots)) if before_lots * signed_lots < 0 else 0
