"""From each currency to the currency of the report, with rates that name their source and time (docs/model.md, accounting)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from interlock.domain.errors import CurrencyMismatch
from interlock.evidence.exact import PerCurrency, decimal_sum, exact
from interlock.evidence.facts import Reporting


@dataclass(frozen=True, slots=True)
class Translation:
    """Factors into one currency: what one unit of each known currency is worth in `into`."""

    into: str
    factors: PerCurrency

    def knows(self, codes: Iterable[str]) -> bool:
        """Whether every one of these currencies can be translated."""
        return all(code in self.factors for code in codes)

    @exact
    def sum(self, amounts: PerCurrency) -> Decimal:
        """Amounts of several currencies as one. Raises CurrencyMismatch where a rate is missing and the amount is not 0."""
        missing = [code for code, amount in amounts.items() if amount != 0 and code not in self.factors]
        if missing:
            raise CurrencyMismatch(
                f"expected rates into {self.into} for {sorted(amounts)}, found none for {missing}; give a reporting rate"
            )
        return decimal_sum(amount * self.factors[code] for code, amount in amounts.items() if amount != 0)


@exact
def translation(into: str, reporting: Reporting) -> Translation:
    """The factors that the reporting rates allow. A currency is always worth one of itself; USDT is never taken for USD."""
    usdt: dict[str, Decimal] = {"USDT": Decimal(1)}
    """What one unit of each currency is worth in USDT."""
    if reporting.usd_per_usdt is not None:
        usdt["USD"] = 1 / reporting.usd_per_usdt.value
    if reporting.krw_per_usdt is not None:
        usdt["KRW"] = 1 / reporting.krw_per_usdt.value
    if into not in usdt:
        return Translation(into, {into: Decimal(1)})
    into_per_usdt = {
        "USDT": Decimal(1),
        "USD": reporting.usd_per_usdt.value if reporting.usd_per_usdt else Decimal(0),
        "KRW": reporting.krw_per_usdt.value if reporting.krw_per_usdt else Decimal(0),
    }[into]
    factors = {code: value * into_per_usdt for code, value in usdt.items()}
    factors[into] = Decimal(1)
    return Translation(into, factors)


def report_translation(codes: Iterable[str], reporting: Reporting) -> Translation:
    """USD if every currency can be translated into it, else USDT, else the one currency there is.

    Raises CurrencyMismatch where there are several currencies and no rates between them.
    """
    codes = set(codes)
    for into in ("USD", "USDT"):
        candidate = translation(into, reporting)
        if candidate.knows(codes) and (into == "USD" or into in codes):
            return candidate
    if len(codes) == 1:
        return translation(next(iter(codes)), reporting)
    raise CurrencyMismatch(
        f"expected reporting rates between {sorted(codes)}, found {reporting}; give krw_per_usdt with its source and time "
        "(a KRW-USDT book in the tape, or a configured rate)"
    )
