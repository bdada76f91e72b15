"""A shared account: what on it is not ours to manage, and how much of our room is taken by what others do there.

The allow-list names coins. An instrument is unmanaged if its coin is on the list and the gate does not trade it, a balance if its currency is on it.
Whatever others do anywhere else halts, as it does on an account of our own. What they hold and have open only ever takes room: their worst case is
added to ours, what they have won is worth nothing here, and what they have lost counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

import msgspec

from interlock.domain.instruments import Kind
from interlock.gate import records as r
from interlock.gate.exposure import PICO, Burden, Load, Place, gross_value, valuation_of
from interlock.gate.ledger import Event, EventKey, Ledger, Position
from interlock.gate.margin import margin_need
from interlock.gate.market_watch import listing_facts
from interlock.gate.profit import Unmarked
from interlock.gate.references import Quote, is_sound
from interlock.gate.venue_reads import Holdings, Listing, ShownOrder

FOREIGN = r.LedgerKind.FOREIGN
_OURS_TOO = frozenset({r.LedgerKind.LIQUIDATION, r.LedgerKind.ADL})
"""What the venue does to one position it does because of the whole account, so that it is news about our part as well."""


class Unmanaged(msgspec.Struct, frozen=True, kw_only=True):
    """What others may be active in on one account: coins, and the instruments of those coins by symbol. Nothing on an account of our own."""

    assets: frozenset[str] = frozenset()
    listings: Mapping[str, Listing] = msgspec.field(default_factory=dict)

    def event(self, event: r.LedgerEvent) -> bool:
        """Whether a ledger event is about an unmanaged asset: of an instrument if it names one, else of its currency."""
        about = event.symbol in self.listings if event.symbol else event.currency in self.assets
        return about and event.kind not in _OURS_TOO


NOTHING_UNMANAGED = Unmanaged()


class Others(msgspec.Struct, frozen=True):
    """What is known of the others on one account. `open_orders` of None: they were not read yet."""

    unmanaged: Unmanaged
    ledger: Ledger
    open_orders: tuple[ShownOrder, ...] | None


def unmanaged_of(assets: Iterable[str], listings: Iterable[Listing], traded: Iterable[str]) -> Unmanaged:
    """What is unmanaged where these coins are on the list; `traded` are the symbols that the gate trades."""
    coins, ours = frozenset(assets), frozenset(traded)
    return Unmanaged(assets=coins, listings={one.symbol: one for one in listings if one.base in coins and one.symbol not in ours})


def at_either(before: Others, after: Others) -> Others:
    """What others had open before their holdings were read or have after it: what was executed in between stands in neither of the two alone."""
    if before.open_orders is None or after.open_orders is None:
        return msgspec.structs.replace(after, open_orders=None)
    found = {_name(order): order for order in after.open_orders}
    for order in before.open_orders:
        known = found.get(_name(order))
        found[_name(order)] = order if known is None or known.open_lots < order.open_lots else known
    return msgspec.structs.replace(after, open_orders=tuple(found.values()))


def _name(order: ShownOrder) -> tuple[str, str]:
    return order.symbol, order.report.venue_order_id


# In the journal


def booked_fill(fill: r.Filled) -> r.LedgerEvent:
    """The record of an execution of others: it moves their position, and its fee a balance."""
    return r.LedgerEvent(
        boot_ns=fill.boot_ns,
        kind=FOREIGN,
        venue=fill.venue,
        account=fill.account,
        venue_id=fill_id(fill.symbol, fill.trade_id),
        currency=fill.fee_currency,
        amount=fill.fee.copy_negate() if fill.fee else fill.fee,
        symbol=fill.symbol,
        lots=fill.side * fill.lots,
        ticks=fill.ticks,
        venue_ns=fill.venue_ns,
    )


def booked_reversal(reversal: r.FillReversed, fill: Event) -> r.LedgerEvent:
    """The record of an execution of others that was taken back; its fee stays paid, as one of ours would."""
    return r.LedgerEvent(
        boot_ns=reversal.boot_ns,
        kind=FOREIGN,
        venue=reversal.venue,
        account=reversal.account,
        venue_id=f"reversal.{reversal.symbol}.{reversal.trade_id}",
        currency=fill.currency,
        amount=Decimal(0),
        symbol=reversal.symbol,
        lots=-fill.lots,
        ticks=fill.ticks,
        venue_ns=fill.venue_ns,
    )


def booked_event(event: r.LedgerEvent) -> r.LedgerEvent:
    """The record of a ledger event of others, whose kind stays in its id."""
    return msgspec.structs.replace(event, kind=FOREIGN, venue_id=f"{event.kind}.{event.venue_id}")


def fill_id(symbol: str, trade_id: str) -> str:
    """The id under which an execution of others is booked."""
    return f"fill.{symbol}.{trade_id}"


def key_of(event: r.LedgerEvent) -> EventKey:
    """The identity of a ledger event."""
    return (event.venue, event.account, str(event.kind), event.venue_id)


# How much room it takes


def active_symbols(others: Others, where: Place, holdings: Holdings) -> list[str]:
    """The unmanaged instruments in which others hold or could come to hold something, for which prices are needed."""
    return sorted(_loads(others, where, holdings))


def burden_of(
    others: Others,
    where: Place,
    holdings: Holdings,
    quotes: Mapping[str, Quote],
    rates: Mapping[str, tuple[Decimal, Decimal]],
    *,
    shock_millionths: int,
    boot_ns: int,
) -> Burden | Unmarked:
    """The worst case of what others hold and have open, at the ask or the order's price and the dearest rate; what is missing if it is not known.

    Positions in derivatives are as the venue tells them. On spot only what others bought since the journal began counts: what lay there before is
    money of theirs that nothing of ours leans on. `where` is (venue, account), `rates` are (bid, ask) in USD by currency.
    """
    if others.open_orders is None:
        return Unmarked(("the open orders of others",))
    gross = 0
    held, missing = [], []
    for symbol, load in sorted(_loads(others, where, holdings).items()):
        listing, quote = others.unmanaged.listings[symbol], quotes.get(symbol)
        low, high = rates.get(listing.quote, (Decimal(0), Decimal(0)))
        if quote is None or not is_sound(quote) or not 0 < low <= high:
            missing.append(f"what {where[0]}/{symbol} is worth, in which others are active")
            continue
        valuation = valuation_of(listing_facts(where[0], listing), math.floor(Fraction(low) * PICO), math.ceil(Fraction(high) * PICO))
        value = gross_value(load, quote.ask_ticks, valuation)
        gross = -1 if gross < 0 or value < 0 else gross + value
        if listing.kind is Kind.PERPETUAL:
            held.append((load, quote.bid_ticks, quote.ask_ticks, valuation))
    if missing:
        return Unmarked(tuple(missing))
    need = margin_need(held, shock_millionths)
    return Burden(gross, need.initial, need.maintenance, need.notional, need.shocked, need.entry_loss, boot_ns)


def _loads(others: Others, where: Place, holdings: Holdings) -> dict[str, Load]:
    """By symbol; only what is not nothing. Selling coins on spot takes no room."""
    listings = others.unmanaged.listings
    spot = {symbol for symbol, listing in listings.items() if listing.kind is Kind.SPOT}
    lots = {one.symbol: one.lots for one in holdings.positions if one.symbol in listings and one.symbol not in spot}
    bought = {symbol: others.ledger.theirs.get((*where, symbol), Position()).lots for symbol in spot}
    lots |= {symbol: held for symbol, held in bought.items() if held > 0}
    loads = {symbol: Load(held) for symbol, held in lots.items() if held}
    for order in others.open_orders or ():
        if order.symbol in listings and order.open_lots > 0 and not (order.symbol in spot and order.side < 0):
            loads[order.symbol] = loads.get(order.symbol, Load()).with_order(order.side, order.ticks, order.open_lots)
    return loads
