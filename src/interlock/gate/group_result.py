"""What a group of orders has come to, in USD and at worst: its own net exposure, and what it has lost since it began.

Losses are realised and marked as one: executions at their prices, what they leave at the gate's own reference (longs at the bid, shorts at the
ask), and the fees that were charged. The order that is judged counts as filled at its own price, as do open orders of the group where that is a loss,
with fees at the highest rate that the group has met. A result of one instrument is converted as one, a gain at the low rate and a loss at the high
one. What cannot be reckoned is not a number, which refuses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from interlock.gate.exposure import PICO, Place, Universe, Valuation, naked_value
from interlock.gate.limits import widest
from interlock.gate.order_state import Order
from interlock.gate.records import Intent
from interlock.gate.references import References
from interlock.gate.state import GateState, Group

UNKNOWN_USD = Decimal("NaN")
"""Refuses wherever it is compared."""


class Trade(NamedTuple):
    """Signed lots at a price, executed or taken for executed."""

    place: Place
    signed_lots: int
    ticks: int


class Charge(NamedTuple):
    """The fee of an execution."""

    trade: Trade
    fee: Decimal
    currency: str


class _Unknown(Exception):
    """Something is missing to reckon with; private to this module."""


def naked_usd(
    state: GateState, universe: Universe, prices: Mapping[Place, tuple[int, Valuation]], group: Group, intent: Intent
) -> tuple[Decimal, Decimal]:
    """The group's worst net exposure in the order's coin without the order and with it; not a number where it cannot be reckoned."""
    asset = universe.facts[intent.venue, intent.symbol].asset
    low = high = 0
    for client_id in group.client_ids:
        order = state.orders.by_id.get(client_id)
        facts = None if order is None else universe.facts.get((order.venue, order.symbol))
        if order is None or facts is None:
            return UNKNOWN_USD, UNKNOWN_USD
        if facts.asset == asset:
            units = universe.units_per_lot[facts.place]
            net, open_units = order.side * order.filled_lots * units, order.reserved_lots * units
            low += net - open_units * (order.side < 0)
            high += net + open_units * (order.side > 0)
    adds = intent.lots * universe.units_per_lot[intent.venue, intent.symbol]
    found = []
    for worst in (widest(low, high), widest(low - adds * (intent.side < 0), high + adds * (intent.side > 0))):
        value = naked_value(worst, universe, prices, asset)
        found.append(UNKNOWN_USD if value < 0 else Decimal(value).scaleb(-6))
    return found[0], found[1]


def loss_usd(state: GateState, references: References, group: Group, intent: Intent) -> Decimal:
    """What the group will have lost once the order has filled, rounded up; negative for a gain, not a number where it cannot be reckoned."""
    try:
        orders = list(_orders(state, group))
        charges = [charge for order in orders for charge in _executions(state, order)]
        ahead = [Trade((intent.venue, intent.symbol), intent.side * intent.lots, intent.ticks)]
        ahead += [trade for order in orders for trade in _still_open(references, order)]
        paid = [(_fee_usd(references, charge), _worth_usd(references, charge.trade)) for charge in charges]
        rate = max((fee / worth for fee, worth in paid), default=Fraction(0))
        fees = sum((fee for fee, _ in paid), Fraction(0)) + max(rate, Fraction(0)) * sum(_worth_usd(references, trade) for trade in ahead)
        loss = fees - _result_usd(references, [*(charge.trade for charge in charges), *ahead])
    except _Unknown:
        return UNKNOWN_USD
    return Decimal(math.ceil(loss * 1_000_000)).scaleb(-6)


def _orders(state: GateState, group: Group) -> Iterator[Order]:
    for client_id in group.client_ids:
        order = state.orders.by_id.get(client_id)
        if order is None:
            raise _Unknown
        yield order


def _executions(state: GateState, order: Order) -> Iterator[Charge]:
    for trade_id in order.trade_ids:
        key = (*order.market, trade_id)
        booked = state.ledger.fills.get(key)
        if booked is None:
            raise _Unknown
        trade = Trade((order.venue, order.symbol), booked.signed_lots, booked.ticks)
        if key not in state.ledger.reversals:
            yield Charge(trade, booked.fee, booked.fee_currency)


def _still_open(references: References, order: Order) -> Iterator[Trade]:
    """An open order where its execution would be a loss; at the worse of two prices that it may have."""
    if order.reserved_lots:
        place = (order.venue, order.symbol)
        bid, ask, _ = _seen(references, place)
        ticks = order.ticks if order.amend is None else order.side * max(order.side * order.ticks, order.side * order.amend.ticks)
        if (ticks - (bid if order.side > 0 else ask)) * order.side > 0:
            yield Trade(place, order.side * order.reserved_lots, ticks)


def _seen(references: References, place: Place) -> tuple[int, int, Valuation]:
    reference, valuation = references.references.get(place), references.valuations.get(place)
    if reference is None or valuation is None or place not in references.universe.facts:
        raise _Unknown
    return reference.quote.bid_ticks, reference.quote.ask_ticks, valuation


def _result_usd(references: References, trades: list[Trade]) -> Fraction:
    total = Fraction(0)
    for place in {trade.place for trade in trades}:
        bid, ask, valuation = _seen(references, place)
        lots = sum(trade.signed_lots for trade in trades if trade.place == place)
        cash = -sum(trade.signed_lots * trade.ticks for trade in trades if trade.place == place)
        tick_lots = cash + lots * (bid if lots > 0 else ask)
        pico = valuation.low_pico_usd if tick_lots > 0 else valuation.high_pico_usd
        total += tick_lots * Fraction(references.universe.facts[place].quote_per_tick_lot) * Fraction(pico, PICO)
    return total


def _worth_usd(references: References, trade: Trade) -> Fraction:
    valuation = _seen(references, trade.place)[2]
    quote = Fraction(references.universe.facts[trade.place].quote_per_tick_lot)
    return abs(trade.signed_lots) * trade.ticks * quote * Fraction(valuation.high_pico_usd, PICO)


def _fee_usd(references: References, charge: Charge) -> Fraction:
    """A fee in USD; one in a coin at the dearest price that is known of it. A rebate counts as little as it can be worth."""
    if not charge.fee:
        return Fraction(0)
    found = []
    for place, facts in references.universe.facts.items():
        if charge.currency not in (facts.quote, facts.asset) or place not in references.valuations:
            continue
        valuation = references.valuations[place]
        pico = valuation.high_pico_usd if charge.fee > 0 else valuation.low_pico_usd
        price = Fraction(1)
        if charge.currency != facts.quote:
            if place not in references.references:
                continue
            quote = references.references[place].quote
            ticks = quote.ask_ticks if charge.fee > 0 else quote.bid_ticks
            price = ticks * Fraction(facts.quote_per_tick_lot) / Fraction(facts.asset_per_lot)
        found.append(Fraction(charge.fee) * price * Fraction(pico, PICO))
    if not found:
        raise _Unknown
    return max(found)
