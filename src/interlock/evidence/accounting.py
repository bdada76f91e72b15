"""The exact account of a run, per instrument and per (venue, currency) (docs/model.md, accounting).

Every sum is made of integers, fills as twice a price in ticks times lots, and becomes a Decimal once, by the instrument's unit:

    net = trades + fees + rebates + funding + closing x mid_T - opening x mid_0 + liquidation

What merely holding the opening position would have given is set apart, so that a position which was only there is no result of trading:

    held   = opening x (mid_T - mid_0) + funding of the opening position + liquidation of the opening position
    traded = net - held

`held` is the net of the same account over the same time without a single order: it does not depend on fills. See `settlements` for its
funding. Without fills `traded` is exactly 0; an instrument that was not traded adds exactly 0 to it.

Amounts are signed as they change the account: what is paid is negative. A derivative's opening position is opened at the first mid, so
it brings no profit of its own and no value; a coin that is held at the start is part of the opening equity, at the first mid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Kind
from interlock.evidence.exact import Ints, PerCurrency, added, decimal_sum, exact, times, total
from interlock.evidence.settlements import NO_SETTLEMENTS, held_payments
from interlock.simulate.outcome import Outcome
from interlock.simulate.settings import ReplaySettings
from interlock.simulate.world import fee_rates

HALF = Decimal("0.5")
RATE_UNIT = Decimal("1e-12")


@dataclass(frozen=True, slots=True)
class ClosingQuote:
    """Where an instrument stands for the account: first mid, last mid and last executable sides; prices in ticks, mids twice."""

    first_mid_twice: int
    mid_twice: int
    bid_ticks: int
    ask_ticks: int


@dataclass(frozen=True, slots=True)
class InstrumentAccount:
    """One instrument's part of the account, in its quote currency.

    `unit` is the value of half a tick times one lot. The four turnovers are sums of 2 x ticks x lots. held_payments: what the opening lots
    alone would have paid and received (FUNDING_PAYMENT).
    """

    instrument: Instrument
    maker_rate: Decimal
    taker_rate: Decimal
    unit: Decimal
    opening_lots: int
    closing_lots: int
    quote: ClosingQuote
    maker_buy: int
    maker_sell: int
    taker_buy: int
    taker_sell: int
    funding: Decimal
    fills: int
    held_payments: np.ndarray

    @property
    def currency(self) -> str:
        """The code of the quote currency."""
        return self.instrument.quote

    @property
    def maker_turnover(self) -> Decimal:
        """Traded as a maker, both sides."""
        return self.unit * (self.maker_buy + self.maker_sell)

    @property
    def taker_turnover(self) -> Decimal:
        """Traded as a taker, both sides; the closing of what is left is not in it."""
        return self.unit * (self.taker_buy + self.taker_sell)

    @property
    def trades(self) -> Decimal:
        """Sales less purchases."""
        return self.unit * (self.maker_sell + self.taker_sell - self.maker_buy - self.taker_buy)

    @property
    def fees(self) -> Decimal:
        """Fees paid, at most 0: rate x turnover where the rate is positive."""
        return -(max(self.maker_rate, Decimal(0)) * self.maker_turnover + max(self.taker_rate, Decimal(0)) * self.taker_turnover)

    @property
    def rebates(self) -> Decimal:
        """Rebates received, at least 0: a negative fee, booked on its own."""
        return max(-self.maker_rate, Decimal(0)) * self.maker_turnover + max(-self.taker_rate, Decimal(0)) * self.taker_turnover

    @property
    def opening_value(self) -> Decimal:
        """The coins held at the start at the first mid; 0 for a derivative."""
        return self._value(self.opening_lots, self.quote.first_mid_twice) if self.is_spot else Decimal(0)

    @property
    def closing_value(self) -> Decimal:
        """The coins held at the end at the last mid; 0 for a derivative."""
        return self._value(self.closing_lots, self.quote.mid_twice) if self.is_spot else Decimal(0)

    @property
    def is_spot(self) -> bool:
        """Whether what is bought is owned."""
        return self.instrument.kind is Kind.SPOT

    @property
    def price_move(self) -> Decimal:
        """Profit before costs at the last mid: trades + closing x mid_T - opening x mid_0."""
        held = self._value(self.closing_lots, self.quote.mid_twice) - self._value(self.opening_lots, self.quote.first_mid_twice)
        return self.trades + held

    @property
    def closing_turnover(self) -> Decimal:
        """What closing the rest trades at executable prices."""
        return self._value(abs(self.closing_lots), self._executable_twice(self.closing_lots))

    @property
    def fee_turnover(self) -> Decimal:
        """What trading pays fees on: turnover of fills, and the change that fills made to the turnover of closing the rest."""
        opening = self._value(abs(self.opening_lots), self._executable_twice(self.opening_lots))
        return self.maker_turnover + self.taker_turnover + self.closing_turnover - opening

    @property
    def liquidation(self) -> Decimal:
        """The cost of closing what is left, at most 0: best executable price against the mid, and the taker fee."""
        return self._liquidation(self.closing_lots)

    @property
    def net(self) -> Decimal:
        """Final at liquidation value less initial equity."""
        return self.price_move + self.fees + self.rebates + self.funding + self.liquidation

    @property
    def held_funding(self) -> Decimal:
        """Funding on the opening position at every settlement: -opening x mark x rate."""
        return funding_received(self.held_payments, self.unit)

    @property
    def held_liquidation(self) -> Decimal:
        """The cost of closing the opening position at the end, as `liquidation`."""
        return self._liquidation(self.opening_lots)

    @property
    def held(self) -> Decimal:
        """What holding the opening position gave: opening x (mid_T - mid_0) + its funding + its closing."""
        moved = self._value(self.opening_lots, self.quote.mid_twice - self.quote.first_mid_twice)
        return moved + self.held_funding + self.held_liquidation

    @property
    def traded(self) -> Decimal:
        """What trading gave: net less what holding would have given."""
        return self.net - self.held

    def _liquidation(self, lots: int) -> Decimal:
        price = self._executable_twice(lots)
        slipped = self._value(lots, price - self.quote.mid_twice)
        return min(slipped, Decimal(0)) - max(self.taker_rate, Decimal(0)) * self._value(abs(lots), price)

    def _executable_twice(self, lots: int) -> int:
        if lots == 0:
            return self.quote.mid_twice
        side = self.quote.bid_ticks if lots > 0 else self.quote.ask_ticks
        return 2 * side if side > 0 else self.quote.mid_twice

    def _value(self, lots: int, twice: int) -> Decimal:
        return self.unit * (lots * twice)


@dataclass(frozen=True, slots=True)
class VenueAccount:
    """One currency on one venue. `derivatives`: their price moves at the last mid; `inventory_*`: coins at mid, not part of the cash."""

    venue: str
    currency: str
    opening_cash: Decimal
    spot_trades: Decimal
    derivatives: Decimal
    fees: Decimal
    rebates: Decimal
    funding: Decimal
    inventory_opening: Decimal
    inventory_closing: Decimal
    liquidation: Decimal

    @property
    def closing_cash(self) -> Decimal:
        """The balance at the end, open derivatives marked at mid."""
        return self.opening_cash + self.spot_trades + self.derivatives + self.fees + self.rebates + self.funding

    @property
    def initial_equity(self) -> Decimal:
        """Opening cash and coins."""
        return self.opening_cash + self.inventory_opening

    @property
    def final_equity_mid(self) -> Decimal:
        """Closing cash and coins at mid."""
        return self.closing_cash + self.inventory_closing

    @property
    def final_equity(self) -> Decimal:
        """Closing cash and coins at liquidation value."""
        return self.final_equity_mid + self.liquidation


@dataclass(frozen=True)
class Ledger:
    """The account of a run: by instrument, and by venue and currency. Sums are by currency; nothing is translated here."""

    instruments: tuple[InstrumentAccount, ...]
    venues: tuple[VenueAccount, ...]

    @exact
    def by_currency(self, amount: Callable[[InstrumentAccount], Decimal]) -> dict[str, Decimal]:
        """The sum of some amount of the instruments in each quote currency, for example `lambda a: a.fees`."""
        return _summed((account.currency, amount(account)) for account in self.instruments)

    @property
    @exact
    def net(self) -> PerCurrency:
        """Final less initial equity, by currency."""
        return _summed((v.currency, v.final_equity - v.initial_equity) for v in self.venues)

    @property
    @exact
    def held(self) -> PerCurrency:
        """What holding the opening position gave, by currency."""
        return self.by_currency(lambda a: a.held)

    @property
    @exact
    def traded(self) -> PerCurrency:
        """What trading gave, by currency: net less held."""
        return self.by_currency(lambda a: a.traded)

    @property
    def opened_with_inventory(self) -> bool:
        """Whether anything but cash was held at the start."""
        return any(a.opening_lots for a in self.instruments)

    @property
    @exact
    def initial_equity(self) -> PerCurrency:
        """By currency: cash and coins of every venue."""
        return _summed((v.currency, v.initial_equity) for v in self.venues)

    @property
    @exact
    def opening_cash(self) -> PerCurrency:
        """By currency: cash of every venue at the start."""
        return _summed((v.currency, v.opening_cash) for v in self.venues)

    @property
    @exact
    def final_equity(self) -> PerCurrency:
        """By currency, at liquidation value."""
        return _summed((v.currency, v.final_equity) for v in self.venues)

    @property
    @exact
    def final_equity_mid(self) -> PerCurrency:
        """By currency, at mid."""
        return _summed((v.currency, v.final_equity_mid) for v in self.venues)


def _summed(parts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    return added(*({code: amount} for code, amount in parts))


@exact
def build_ledger(
    instruments: Sequence[Instrument],
    settings: ReplaySettings,
    outcome: Outcome,
    quotes: Sequence[ClosingQuote],
    settlements: np.ndarray = NO_SETTLEMENTS,
) -> Ledger:
    """Account the records of a run. `quotes` goes by instrument number, `settlements` are those of the tape (`tape_settlements`).

    Raises UsageError where a position has no price.
    """
    accounts = tuple(
        _instrument_account(k, instrument, settings, outcome, quotes[k], settlements[settlements["instrument"] == k])
        for k, instrument in enumerate(instruments)
    )
    venues = []
    for venue in sorted({i.venue for i in instruments}):
        own = [a for a in accounts if a.instrument.venue == venue]
        # A venue's opening cash is in the quote currency of its first instrument, as in the matching model.
        cash_currency = own[0].currency
        for code in sorted({a.currency for a in own}):
            here = [a for a in own if a.currency == code]
            venues.append(
                VenueAccount(
                    venue=venue,
                    currency=code,
                    opening_cash=settings.venues[venue].cash if code == cash_currency else Decimal(0),
                    spot_trades=decimal_sum(a.trades for a in here if a.is_spot),
                    derivatives=decimal_sum(a.price_move for a in here if not a.is_spot),
                    fees=decimal_sum(a.fees for a in here),
                    rebates=decimal_sum(a.rebates for a in here),
                    funding=decimal_sum(a.funding for a in here),
                    inventory_opening=decimal_sum(a.opening_value for a in here),
                    inventory_closing=decimal_sum(a.closing_value for a in here),
                    liquidation=decimal_sum(a.liquidation for a in here),
                )
            )
    return Ledger(accounts, tuple(venues))


def _instrument_account(
    k: int, instrument: Instrument, settings: ReplaySettings, outcome: Outcome, quote: ClosingQuote, settlements: np.ndarray
) -> InstrumentAccount:
    fills = outcome.fills[outcome.fills["instrument"] == k]
    values = times(2 * fills["ticks"], fills["lots"])
    buy, maker = fills["side"] > 0, fills["maker"] > 0
    opening = settings.instruments[instrument.key].start_lots
    closing = opening + total(times(fills["side"].astype(np.int64), fills["lots"]))
    if (opening != 0 and quote.first_mid_twice == 0) or (closing != 0 and quote.mid_twice == 0):
        raise UsageError(
            f"{instrument.key}: expected a price for its position ({opening} lots at the start, {closing} at the end), found none "
            "in the tape; use a tape that has its book, or start without the position"
        )
    maker_rate, taker_rate = fee_rates(instrument, settings)
    unit = instrument.quantum * instrument.lot * HALF
    payments = outcome.fundings[outcome.fundings["instrument"] == k]
    return InstrumentAccount(
        instrument=instrument,
        maker_rate=maker_rate,
        taker_rate=taker_rate,
        unit=unit,
        opening_lots=opening,
        closing_lots=closing,
        quote=quote,
        maker_buy=_masked(values, buy & maker),
        maker_sell=_masked(values, ~buy & maker),
        taker_buy=_masked(values, buy & ~maker),
        taker_sell=_masked(values, ~buy & ~maker),
        funding=funding_received(payments, unit),
        fills=len(fills),
        held_payments=held_payments(opening, payments, settlements, outcome.end_ns),
    )


def _masked(values: Ints, mask: np.ndarray) -> int:
    return total(values[mask])


def funding_received(payments: np.ndarray, unit: Decimal) -> Decimal:
    """Funding received, negative where paid: -position x mark x rate (docs/model.md, costs). A positive rate means that longs pay."""
    owed = times(times(payments["position_lots"], payments["mark_twice"]), payments["rate"])
    return -unit * RATE_UNIT * total(owed)
