"""Money: an exact amount that knows its currency.

Adding KRW to USDT is a type error (`Money[KRW]` and `Money[USDT]` do not unify under mypy) and a
runtime error (`CurrencyMismatch`). Conversion is only possible through `interlock.domain.fx.FxQuote`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Generic, TypeVar

from interlock.domain.errors import CurrencyMismatch


class Currency:
    """A currency as a type; subclasses are the known ones and are never instantiated."""

    code: str = ""
    decimals: int = 8


class KRW(Currency):
    """South Korean won."""

    code, decimals = "KRW", 0


class USD(Currency):
    """United States dollar."""

    code, decimals = "USD", 2


class USDT(Currency):
    """Tether's dollar token; not the same thing as USD."""

    code, decimals = "USDT", 8


class BTC(Currency):
    """Bitcoin."""

    code, decimals = "BTC", 8


C = TypeVar("C", bound=Currency)

_KNOWN: dict[str, type[Currency]] = {c.code: c for c in (KRW, USD, USDT, BTC)}


def currency(code: str) -> type[Currency]:
    """Return the currency type for a code; an unknown code gets a type of its own, once."""
    if not code or not code.isalnum() or code != code.upper():
        raise ValueError(f"currency code: expected upper-case letters and digits, found {code!r}")
    if code not in _KNOWN:
        _KNOWN[code] = type(code, (Currency,), {"code": code, "__doc__": f"The asset {code}."})
    return _KNOWN[code]


class Money(Generic[C]):
    """An immutable exact amount of one currency.

    `amount` is a Decimal (or int, or decimal text; never float) in whole units of the currency. Arithmetic
    stays within one currency and raises `CurrencyMismatch` otherwise. Scaling is by int or Decimal.
    """

    __slots__ = ("amount", "currency")

    amount: Decimal
    currency: type[C]

    def __init__(self, amount: Decimal | int | str, currency: type[C]) -> None:
        if isinstance(amount, float):
            raise TypeError(f"Money: expected Decimal, int or text, found float {amount!r}; use Decimal(str(x))")
        value = Decimal(amount)
        if not value.is_finite():
            raise ValueError(f"Money: expected a finite amount, found {amount!r}")
        object.__setattr__(self, "amount", value)
        object.__setattr__(self, "currency", currency)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Money is immutable")

    def _same(self, other: Money[Any], verb: str) -> None:
        if not isinstance(other, Money):
            raise TypeError(f"cannot {verb} Money and {type(other).__name__}")
        if other.currency is not self.currency:
            raise CurrencyMismatch(f"cannot {verb} {self.currency.code} and {other.currency.code}: convert with an FxQuote first")

    def __add__(self, other: Money[C]) -> Money[C]:
        self._same(other, "add")
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money[C]) -> Money[C]:
        self._same(other, "subtract")
        return Money(self.amount - other.amount, self.currency)

    def __neg__(self) -> Money[C]:
        return Money(-self.amount, self.currency)

    def __mul__(self, factor: int | Decimal) -> Money[C]:
        if isinstance(factor, float) or not isinstance(factor, (int, Decimal)):
            raise TypeError(f"Money times {type(factor).__name__}: expected int or Decimal")
        return Money(self.amount * factor, self.currency)

    __rmul__ = __mul__

    def __lt__(self, other: Money[C]) -> bool:
        self._same(other, "compare")
        return self.amount < other.amount

    def __le__(self, other: Money[C]) -> bool:
        self._same(other, "compare")
        return self.amount <= other.amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.currency is self.currency and other.amount == self.amount

    def __hash__(self) -> int:
        return hash((self.amount, self.currency.code))

    def __bool__(self) -> bool:
        return self.amount != 0

    def __repr__(self) -> str:
        return f"Money({self.amount} {self.currency.code})"

    def __str__(self) -> str:
        return f"{self.amount} {self.currency.code}"
