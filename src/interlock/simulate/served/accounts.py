"""What a simulated account holds, exactly: balances and holds of a spot account; wallet, positions and margin of a derivatives account.

Both answer the same questions, so that the venue's core need not know which it has: may this order be carried, hold what it needs, book what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from interlock.domain.instruments import Instrument
from interlock.domain.orders import Side
from interlock.simulate.served.orders import NewOrder, Refusal, Refused, SimOrder

ZERO = Decimal(0)
_GRAIN = Decimal("0.00000001")


@dataclass(slots=True)
class Balance:
    """What there is of one currency: `free`, and `locked` by orders that are open."""

    free: Decimal = ZERO
    locked: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Free and locked."""
        return self.free + self.locked


@dataclass(frozen=True, slots=True)
class Booked:
    """What an execution cost and realised."""

    fee: Decimal
    fee_currency: str
    pnl: Decimal
    before_lots: int


class Account(Protocol):
    """What the core of a venue needs of an account."""

    def check(self, new: NewOrder, instrument: Instrument, ticks: int, lots: int) -> None:
        """Raise Refused if the account cannot carry the order."""
        ...

    def hold(self, order: SimOrder, lots: int) -> None:
        """Set aside what `lots` more (negative: fewer) of an order need."""
        ...

    def book(self, order: SimOrder, ticks: int, lots: int, rate: Decimal) -> Booked:
        """Book an execution whose lots were held; `rate` is the fee as a fraction of notional. Negative lots take one back."""
        ...

    def move(self, currency: str, amount: Decimal) -> None:
        """Credit or debit a currency: deposit, withdrawal, funding, fee."""
        ...

    def balances(self) -> Mapping[str, Balance]:
        """Every currency that was ever held."""
        ...


class SpotAccount:
    """Balances and holds. A bid holds its value and the fee on it; an ask holds what it sells and pays the fee out of the proceeds."""

    def __init__(self, balances: Mapping[str, Decimal]) -> None:
        self._balances = {currency: Balance(free=amount) for currency, amount in balances.items()}

    def of(self, currency: str) -> Balance:
        """The balance of a currency."""
        return self._balances.setdefault(currency, Balance())

    def balances(self) -> Mapping[str, Balance]:
        """Every currency that was ever held."""
        return self._balances

    def check(self, new: NewOrder, instrument: Instrument, ticks: int, lots: int) -> None:
        """Raise Refused if there is too little free of what the order would hold."""
        currency, needed = self._needs(instrument, new.side, ticks, lots)
        if new.cost is not None and new.side is Side.BUY:
            needed = new.cost * (1 + instrument.fees.taker)
        free = self.of(currency).free
        if needed > free:
            raise Refused(Refusal.BALANCE, f"needs {needed} {currency}, {free} is free")

    def hold(self, order: SimOrder, lots: int) -> None:
        """Lock, or with negative lots unlock, what an order needs."""
        currency, needed = self._needs(order.instrument, order.side, order.ticks, lots)
        if order.cost is not None and order.side is Side.BUY:
            # What a bid by value holds goes down with what is left of it, so that it ends at nothing however it is filled.
            left = order.remaining_lots
            needed = self._part(order, left) - self._part(order, left - abs(lots))
            needed = needed if lots > 0 else -needed
        balance = self.of(currency)
        balance.free -= needed
        balance.locked += needed

    def book(self, order: SimOrder, ticks: int, lots: int, rate: Decimal) -> Booked:
        """Unlock what the executed part held, then exchange value, goods and fee, which is not rounded (Upbit's examples show all its digits)."""
        instrument = order.instrument
        before = self._lots(instrument)
        self.hold(order, -lots)
        value = instrument.notional(ticks, lots)
        fee = value * rate
        self.of(instrument.quote).free -= int(order.side) * value + fee
        self.of(instrument.base).free += int(order.side) * instrument.base_units(lots)
        return Booked(fee, instrument.quote, ZERO, before)

    def move(self, currency: str, amount: Decimal) -> None:
        """Credit or debit what is free."""
        self.of(currency).free += amount

    def _lots(self, instrument: Instrument) -> int:
        return instrument.floor_lots(self.of(instrument.base).total / instrument.multiplier)

    @staticmethod
    def _part(order: SimOrder, lots: int) -> Decimal:
        """The share of a bid by value that so many of its lots hold, with the fee."""
        assert order.cost is not None
        return (order.cost * (1 + order.instrument.fees.taker) * lots / (order.lots + order.prevented_lots)).quantize(_GRAIN)

    @staticmethod
    def _needs(instrument: Instrument, side: Side, ticks: int, lots: int) -> tuple[str, Decimal]:
        if side is Side.SELL:
            return instrument.base, instrument.base_units(lots)
        return instrument.quote, instrument.notional(ticks, lots) * (1 + instrument.fees.taker)


@dataclass(slots=True)
class Position:
    """A signed position; `entry_value` is the sum of price times quantity at which what is held was entered, signed."""

    lots: int = 0
    entry_value: Decimal = ZERO
    realised: Decimal = ZERO
    updated_ns: int = 0

    def entry_price(self, instrument: Instrument) -> Decimal:
        """The mean entry price, quote currency; 0 without a position."""
        return self.entry_value / instrument.quantity(self.lots) if self.lots else ZERO


class MarginAccount:
    """A wallet in several currencies, one-way positions settled in one of them, cross margin at a leverage for each symbol.

    `mark` gives the price at which a symbol's position is valued. What is held for an order is its initial margin where it could enlarge the
    position. `position_max` is what a position may be worth with what would enlarge it, None for no bound. Margin tiers above the first are not
    modelled: the leverage that was set decides, as at the venues for small positions.
    """

    def __init__(
        self,
        settle: str,
        balances: Mapping[str, Decimal],
        instruments: Mapping[str, Instrument],
        mark: Callable[[str], Decimal],
        position_max: Decimal | None = None,
    ) -> None:
        self.settle = settle
        self.instruments = instruments
        self.positions = {symbol: Position() for symbol in instruments}
        self.leverage = dict.fromkeys(instruments, 20)
        self._wallet = {currency: Balance(free=amount) for currency, amount in balances.items()}
        self._mark = mark
        self._position_max = position_max
        self._held: dict[tuple[str, Side], Decimal] = {}

    def wallet(self, currency: str) -> Decimal:
        """The wallet balance of a currency, without unrealised profit."""
        return self._wallet.setdefault(currency, Balance()).free

    def balances(self) -> Mapping[str, Balance]:
        """Every currency that was ever held; nothing is ever locked here, margin is another thing."""
        return self._wallet

    def unrealised(self, symbol: str) -> Decimal:
        """Profit of a position at the mark, quote currency."""
        position, instrument = self.positions[symbol], self.instruments[symbol]
        return self._mark(symbol) * instrument.quantity(position.lots) - position.entry_value

    def position_margin(self, symbol: str) -> Decimal:
        """Initial margin of a position at the mark."""
        return self._mark(symbol) * abs(self.instruments[symbol].quantity(self.positions[symbol].lots)) / self.leverage[symbol]

    def maintenance_margin(self, symbol: str) -> Decimal:
        """Maintenance margin of a position: the first tier's share of its value, half a percent where there is none."""
        tiers = self.instruments[symbol].margin_tiers
        share = tiers[0].maintenance if tiers else Decimal("0.005")
        return self._mark(symbol) * abs(self.instruments[symbol].quantity(self.positions[symbol].lots)) * share

    def order_margin(self, symbol: str) -> Decimal:
        """Initial margin of the open orders of a symbol: of the side that could enlarge the position more."""
        held = self._mark(symbol) * self.instruments[symbol].quantity(self.positions[symbol].lots)
        worst = ZERO
        for side in Side:
            worst = max(worst, abs(held + int(side) * self._held.get((symbol, side), ZERO)) - abs(held))
        return worst / self.leverage[symbol]

    def equity(self) -> Decimal:
        """The settle currency's wallet and all unrealised profit."""
        return self.wallet(self.settle) + sum((self.unrealised(s) for s in self.positions), ZERO)

    def used_margin(self) -> Decimal:
        """Initial margin of all positions and open orders."""
        return sum((self.position_margin(s) + self.order_margin(s) for s in self.positions), ZERO)

    def available(self) -> Decimal:
        """What new orders could use, settle currency."""
        return max(ZERO, self.equity() - self.used_margin())

    def liquidation_price(self, symbol: str) -> Decimal:
        """The mark at which equity would fall to the maintenance margin, everything else unchanged; 0 where there is none above zero."""
        position, instrument = self.positions[symbol], self.instruments[symbol]
        if not position.lots:
            return ZERO
        tiers = instrument.margin_tiers
        share = tiers[0].maintenance if tiers else Decimal("0.005")
        others = sum((self.maintenance_margin(s) for s in self.positions if s != symbol), ZERO)
        cushion = self.equity() - self.unrealised(symbol) - others - position.entry_value
        size = instrument.quantity(position.lots)
        price = -cushion / (size - abs(size) * share)
        return max(ZERO, price)

    def check(self, new: NewOrder, instrument: Instrument, ticks: int, lots: int) -> None:
        """Raise Refused if the order's additional margin is more than what is available, or the position could become too large by it."""
        symbol, value = instrument.symbol, instrument.notional(ticks, lots)
        before = self.order_margin(symbol)
        self._held[symbol, new.side] = self._held.get((symbol, new.side), ZERO) + value
        extra = self.order_margin(symbol) - before
        self._held[symbol, new.side] -= value
        room = self.available()
        if extra > room:
            raise Refused(Refusal.MARGIN, f"needs {extra} {self.settle} of margin, {room} is available")
        held = self._mark(symbol) * instrument.quantity(self.positions[symbol].lots)
        worth = abs(held + int(new.side) * (self._held.get((symbol, new.side), ZERO) + value))
        if self._position_max is not None and worth > max(self._position_max, abs(held)):
            raise Refused(Refusal.POSITION_MAX, f"expected a position of at most {self._position_max} {self.settle}, could become {worth}")

    def hold(self, order: SimOrder, lots: int) -> None:
        """Count the value of open orders; reduce-only ones hold nothing."""
        if not order.reduce_only:
            key = (order.symbol, order.side)
            self._held[key] = self._held.get(key, ZERO) + order.instrument.notional(order.ticks, lots)

    def book(self, order: SimOrder, ticks: int, lots: int, rate: Decimal) -> Booked:
        """Move the position; what it closes realises the difference to the mean entry."""
        self.hold(order, -lots)
        return self.trade(order.instrument, int(order.side) * lots, ticks, rate)

    def trade(self, instrument: Instrument, signed_lots: int, ticks: int, rate: Decimal) -> Booked:
        """Move a position by signed lots at a price."""
        position = self.positions[instrument.symbol]
        before, price = position.lots, instrument.price(ticks)
        pnl = ZERO
        opened = signed_lots
        if before * signed_lots < 0:
            closed = min(abs(before), abs(signed_lots)) * (1 if signed_lots > 0 else -1)
            left = position.entry_value * closed / before
            pnl = left - price * instrument.quantity(closed)
            pnl = pnl.quantize(_GRAIN)
            position.entry_value += left
            opened = signed_lots - closed
        position.lots += signed_lots
        position.entry_value += price * instrument.quantity(opened)
        if not position.lots:
            position.entry_value = ZERO
        position.realised += pnl
        fee = (instrument.notional(ticks, abs(signed_lots)) * rate).quantize(_GRAIN)
        self.move(self.settle, pnl - fee)
        return Booked(fee, self.settle, pnl, before)

    def move(self, currency: str, amount: Decimal) -> None:
        """Credit or debit the wallet."""
        self._wallet.setdefault(currency, Balance()).free += amount
