"""Foreign exchange as a quote with two sides, a source and an age; never a constant."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Generic, TypeVar

from interlock.domain.errors import CurrencyMismatch
from interlock.domain.money import Currency, Money

B = TypeVar("B", bound=Currency)
Q = TypeVar("Q", bound=Currency)


class FxSource(StrEnum):
    """Where a rate comes from, from the most to the least trustworthy for a decision."""

    BOOK = "book"
    """An executable order book, for example Upbit's KRW-USDT."""
    IMPLIED = "implied"
    """The ratio of one coin's prices on two venues; holds the coin's own premium."""
    CONFIGURED = "configured"
    """A figure that a person wrote down; for reporting only."""


@dataclass(frozen=True, slots=True)
class FxQuote(Generic[B, Q]):
    """The price of one unit of `base` in `quote`, to sell (`bid`) and to buy (`ask`).

    `tick` is the price unit of the source (0 if it has none) and `as_of_ns` its time, nanoseconds UTC.
    Raises ValueError when crossed, not positive, or without a source.
    """

    base: type[B]
    quote: type[Q]
    bid: Decimal
    ask: Decimal
    tick: Decimal
    source: FxSource
    as_of_ns: int

    def __post_init__(self) -> None:
        if not (self.bid > 0 and self.ask >= self.bid and self.tick >= 0):
            raise ValueError(
                f"FxQuote {self.base.code}/{self.quote.code}: expected 0 < bid <= ask and tick >= 0, "
                f"found bid {self.bid}, ask {self.ask}, tick {self.tick}"
            )

    @property
    def mid(self) -> Decimal:
        """The middle of the two sides, in `quote` for one `base`; for marking only."""
        return (self.bid + self.ask) / 2

    @property
    def uncertainty(self) -> Decimal:
        """Half the spread plus half a tick, as a fraction of the mid (model.md 3: entry threshold)."""
        return ((self.ask - self.bid) / 2 + self.tick / 2) / self.mid

    def age_ns(self, now_ns: int) -> int:
        """Nanoseconds since the source's time stamp; negative if the stamp lies in the future."""
        return now_ns - self.as_of_ns

    def sell_base(self, amount: Money[B]) -> Money[Q]:
        """What selling `amount` of the base brings, at the bid."""
        self._expect(amount, self.base)
        return Money(amount.amount * self.bid, self.quote)

    def buy_base(self, amount: Money[Q]) -> Money[B]:
        """How much base `amount` of the quote currency buys, at the ask."""
        self._expect(amount, self.quote)
        return Money(amount.amount / self.ask, self.base)

    def mark_base(self, amount: Money[B]) -> Money[Q]:
        """The value of `amount` of the base at the mid; for reports, never for decisions."""
        self._expect(amount, self.base)
        return Money(amount.amount * self.mid, self.quote)

    def mark_quote(self, amount: Money[Q]) -> Money[B]:
        """The value of `amount` of the quote currency in the base, at the mid."""
        self._expect(amount, self.quote)
        return Money(amount.amount / self.mid, self.base)

    @staticmethod
    def _expect(amount: Money[Currency] | Money[B] | Money[Q], wanted: type[Currency]) -> None:
        if amount.currency is not wanted:
            raise CurrencyMismatch(f"expected an amount in {wanted.code}, found {amount.currency.code}")
