"""What an account truly holds: positions, balances, the list of executions, the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import msgspec

from interlock.domain.orders import Liquidity, Side
from interlock.simulate.fake_venue.flavours import Flavour
from interlock.venues.fake.wire import TRADING, Balance, Execution, InstrumentInfo, LedgerEntry, Position

_CENT = Decimal("0.00000001")


@dataclass(slots=True)
class Holding:
    """A signed position; `cost` is the sum of ticks times lots at which it was entered."""

    lots: int = 0
    cost: Fraction = Fraction(0)


class Account:
    """Books executions and ledger entries; every change goes through one of the two."""

    def __init__(self, flavour: Flavour) -> None:
        self.flavour = flavour
        self.infos = {listing.info.symbol: listing.info for listing in flavour.listings}
        self.holdings = {symbol: Holding() for symbol in self.infos}
        self.balances = {currency: Decimal(amount) for currency, amount in flavour.balances}
        self.executions: list[Execution] = []
        self.ledger: list[LedgerEntry] = []
        self.reversed: set[str] = set()

    def execute(
        self, *, client_id: str, venue_order_id: str, symbol: str, side: Side, ticks: int, lots: int, liquidity: Liquidity, venue_ns: int
    ) -> Execution:
        """Book one execution and its fee; the trade id is new."""
        info = self.infos[symbol]
        rate = Decimal(self.flavour.maker_fee if liquidity is Liquidity.MAKER else self.flavour.taker_fee)
        fee = (self._notional(info, ticks, lots) * rate).quantize(_CENT)
        execution = Execution(
            trade_id=f"{self.flavour.name}-t{len(self.executions) + 1}",
            client_id=client_id,
            venue_order_id=venue_order_id,
            symbol=symbol,
            side=side,
            ticks=ticks,
            lots=lots,
            liquidity=liquidity,
            fee=str(fee),
            fee_currency=info.quote,
            venue_ns=venue_ns,
        )
        self.executions.append(execution)
        self._move(info, int(side) * lots, ticks, fee)
        return execution

    def last_standing(self) -> Execution | None:
        """The latest execution that was not taken back."""
        for execution in reversed(self.executions):
            if not execution.reversed and execution.trade_id not in self.reversed:
                return execution
        return None

    def reverse(self, execution: Execution, venue_ns: int) -> Execution:
        """Take an execution back, fee included; the position moves as if it had not been."""
        self.reversed.add(execution.trade_id)
        undone = msgspec.structs.replace(execution, reversed=True, venue_ns=venue_ns)
        self.executions.append(undone)
        self._move(self.infos[execution.symbol], -int(execution.side) * execution.lots, execution.ticks, -Decimal(execution.fee))
        return undone

    def enter(self, kind: str, currency: str, amount: Decimal, symbol: str, venue_ns: int) -> LedgerEntry:
        """Book a change of a balance that is no execution. Raises ValueError for an amount that is no number."""
        if not amount.is_finite():
            raise ValueError(f"ledger: expected an amount, found {amount}")
        entry = LedgerEntry(
            venue_id=f"{self.flavour.name}-l{len(self.ledger) + 1}",
            kind=kind,
            currency=currency,
            amount=str(amount),
            symbol=symbol,
            venue_ns=venue_ns,
        )
        self.ledger.append(entry)
        self._credit(currency, amount)
        return entry

    def set_status(self, symbol: str, status: str) -> None:
        """Let the venue take orders in a symbol, or stop it."""
        self.infos[symbol] = msgspec.structs.replace(self.infos[symbol], status=status)

    def is_trading(self, symbol: str) -> bool:
        """Whether the venue takes orders in a symbol."""
        return self.infos[symbol].status == TRADING

    def position(self, symbol: str) -> Position:
        """The position as the venue shows it."""
        holding = self.holdings[symbol]
        entry = "0"
        if holding.lots:
            entry = str((_decimal(holding.cost / holding.lots) * Decimal(self.infos[symbol].tick)).quantize(_CENT))
        return Position(symbol=symbol, lots=holding.lots, entry_price=entry)

    def balance(self, currency: str) -> Balance:
        """The balance as the venue shows it."""
        return Balance(currency=currency, amount=str(self.balances.get(currency, Decimal(0))))

    def _move(self, info: InstrumentInfo, lots: int, ticks: int, fee: Decimal) -> None:
        holding = self.holdings[info.symbol]
        self._credit(info.quote, -fee)
        if self.flavour.spot:
            self._credit(info.base, lots * Decimal(info.lot))
            self._credit(info.quote, -self._notional(info, ticks, lots))
        elif holding.lots * lots < 0:
            closed = min(abs(lots), abs(holding.lots)) * (1 if lots > 0 else -1)
            # What is closed leaves at the average entry; the difference to this price is realised.
            released = holding.cost * closed / holding.lots
            self._credit(info.quote, _decimal((released - closed * ticks) * _quantum(info)).quantize(_CENT))
            holding.lots += closed
            holding.cost += released
            lots -= closed
        holding.lots += lots
        holding.cost += lots * ticks

    def _credit(self, currency: str, amount: Decimal) -> None:
        self.balances[currency] = self.balances.get(currency, Decimal(0)) + amount

    @staticmethod
    def _notional(info: InstrumentInfo, ticks: int, lots: int) -> Decimal:
        return ticks * lots * Decimal(info.tick) * Decimal(info.lot)


def _quantum(info: InstrumentInfo) -> Fraction:
    return Fraction(info.tick) * Fraction(info.lot)


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)
