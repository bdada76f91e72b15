"""A fill as a value: what a venue says was traded, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from interlock.domain.instruments import Instrument
from interlock.domain.money import Money, currency
from interlock.domain.orders import Liquidity, Side


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of one order. `fee` is positive when paid and negative when it is a rebate.

    Identity over all sources is (venue, account, symbol, trade_id). Raises ValueError unless ticks and lots
    are positive.
    """

    instrument: Instrument
    account: str
    trade_id: str
    client_id: str
    side: Side
    ticks: int
    lots: int
    liquidity: Liquidity
    fee: Money[Any]
    exchange_ns: int
    receive_ns: int

    def __post_init__(self) -> None:
        if self.ticks <= 0 or self.lots <= 0:
            raise ValueError(f"Fill: expected ticks > 0 and lots > 0, found {self.ticks} and {self.lots}")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """(venue, account, symbol, trade id): two fills with one key are one fill told twice."""
        return (self.instrument.venue, self.account, self.instrument.symbol, self.trade_id)

    @property
    def price(self) -> Decimal:
        """The price in the quote currency for one base unit of the instrument."""
        return self.instrument.price(self.ticks)

    @property
    def quantity(self) -> Decimal:
        """The size in the instrument's own units (before the multiplier)."""
        return self.instrument.quantity(self.lots)

    @property
    def notional(self) -> Money[Any]:
        """Price times quantity, in the quote currency."""
        return Money(self.price * self.quantity, currency(self.instrument.quote))
