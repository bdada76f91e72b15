"""Faults of the world and of streams, carried out at once on one venue."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from interlock.domain.errors import UsageError
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.face import Face
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.orders import EndReason, NewOrder, Origin, Refused, SimOrder
from interlock.simulate.served.span import Span
from interlock.simulate.served.venue import SimVenue

ZERO = Decimal(0)
FARTHEST = Decimal("0.1")
"""How far a price may be put apart: well within the ladders."""


def strike_now(face: Face, spec: FaultSpec) -> bool:
    """Let a fault of the world or of a stream happen; False where it found nothing to act on.

    Raises UsageError for a fault that lacks what it needs.
    """
    happened = _stream(face, spec) if spec.fault in _STREAM else _world(face.venue, spec, face)
    if happened:
        face.parts.faults.happened[spec.fault.value] += 1
    return happened


_STREAM = frozenset(
    (Fault.GAP, Fault.DUPLICATE, Fault.REORDER, Fault.STALE_BOOK, Fault.SILENCE, Fault.DROP_SOCKETS, Fault.SERVER_SHUTDOWN),
)


def _stream(face: Face, spec: FaultSpec) -> bool:
    hub = face.parts.private if spec.private else face.parts.public
    match spec.fault:
        case Fault.GAP:
            hub.drop(spec.symbol, spec.count)
        case Fault.DUPLICATE:
            hub.double(spec.count)
        case Fault.REORDER:
            hub.swap(spec.count)
        case Fault.STALE_BOOK:
            face.parts.public.silence(spec.symbol, spec.ms)
        case Fault.SILENCE:
            face.parts.private.silence("", spec.ms)
        case Fault.SERVER_SHUTDOWN:
            return face.shut_down(spec.ms)
        case _:
            for listener in (*face.parts.public.listeners, *face.parts.private.listeners):
                passage = face.parts.passage(listener.name)
                if passage is not None:
                    passage.reset()
    return True


def _world(venue: SimVenue, spec: FaultSpec, face: Face) -> bool:
    match spec.fault:
        case Fault.CLOCK_SKEW:
            venue.skew_ns = spec.ms * 1_000_000
        case Fault.DEPOSIT:
            amount = _decimal(spec.amount, "amount")
            venue.book("deposit" if amount > 0 else "withdrawal", spec.currency or "USDT", amount)
        case Fault.ONLY_POST_ONLY:
            if not venue.rules.only_post_only:
                return False
            venue.market(spec.symbol).only_post_only = spec.ms != 0
            if spec.ms:
                face.parts.later(spec.ms, lambda: setattr(venue.market(spec.symbol), "only_post_only", False))
        case Fault.FEE:
            if spec.rate:
                venue.charges[spec.symbol] = _decimal(spec.rate, "rate")
            else:
                venue.charges.pop(spec.symbol, None)
        case Fault.HALT:
            venue.set_trading(spec.symbol, spec.ms == 0)
            if spec.ms:
                face.parts.later(spec.ms, lambda: venue.set_trading(spec.symbol, True))
        case Fault.FUNDING:
            return settle_funding(venue, spec.symbol, _decimal(spec.rate or "0.0001", "rate"))
        case Fault.LIQUIDATION:
            return _liquidate(venue, spec.symbol)
        case Fault.ADL:
            return _deleverage(venue, spec)
        case Fault.FOREIGN_ORDER:
            return _foreign(venue, spec)
        case Fault.FILL:
            return _fill(venue, spec)
        case Fault.DISLOCATE:
            return _dislocate(face, spec)
        case Fault.GRANT_DEAD_MAN:
            return face.grant_dead_man(granted=spec.count != 0)
        case Fault.REVERSE_FILL:
            done = venue.history.executions(Span(), newest_first=True)
            last = next((e for e in done if not e.reverses and e.number not in venue.history.taken_back), None)
            if last is None:
                return False
            venue.reverse(last)
        case _:
            raise UsageError(f"{spec.fault.value}: expected a fault of the world, found one that waits for a request")
    return True


def settle_funding(venue: SimVenue, symbol: str, rate: Decimal) -> bool:
    """Pay or receive funding on what is held: mark times size times rate, longs pay a positive rate. False without a position."""
    account = venue.account
    market = venue.market(symbol)
    if not isinstance(account, MarginAccount) or not account.positions[symbol].lots:
        return False
    value = market.mark * market.instrument.quantity(account.positions[symbol].lots)
    venue.book("funding", account.settle, (-value * rate).quantize(Decimal("0.00000001")), symbol)
    return True


def _liquidate(venue: SimVenue, symbol: str) -> bool:
    lots = _held(venue, symbol)
    if not lots:
        return False
    for order in venue.open_orders(symbol):
        venue.cancel(order, EndReason.LIQUIDATION)
    venue.place(_closing(venue, symbol, lots, Origin.LIQUIDATION))
    return True


def _deleverage(venue: SimVenue, spec: FaultSpec) -> bool:
    held = _held(venue, spec.symbol)
    if not held:
        return False
    lots = abs(held)
    if spec.amount:
        lots = min(lots, venue.market(spec.symbol).instrument.floor_lots(_decimal(spec.amount, "amount")))
    if lots < 1:
        raise UsageError(f"amount: expected at least one lot of {spec.symbol}, found {spec.amount}")
    for order in venue.open_orders(spec.symbol) if venue.rules.adl_cancels else ():
        venue.cancel(order, EndReason.ADL)
    venue.deleverage(_closing(venue, spec.symbol, lots if held > 0 else -lots, Origin.ADL), lots)
    return True


def _held(venue: SimVenue, symbol: str) -> int:
    """Signed lots of a position; 0 where there can be none."""
    account = venue.account
    return account.positions[symbol].lots if isinstance(account, MarginAccount) and symbol in account.positions else 0


def _closing(venue: SimVenue, symbol: str, lots: int, origin: Origin) -> NewOrder:
    """The venue's own order against so many lots of a position."""
    return NewOrder(
        symbol=symbol,
        side=Side.SELL if lots > 0 else Side.BUY,
        type=OrderType.MARKET,
        tif=TimeInForce.IOC,
        quantity=venue.market(symbol).instrument.quantity(abs(lots)),
        reduce_only=True,
        foreign=True,
        origin=origin,
    )


def _foreign(venue: SimVenue, spec: FaultSpec) -> bool:
    symbol = spec.symbol or next(iter(venue.markets))
    new = NewOrder(
        symbol=symbol,
        side=Side.SELL if spec.side.lower() in ("sell", "ask") else Side.BUY,
        type=OrderType.LIMIT if spec.price else OrderType.MARKET,
        tif=TimeInForce.GTC if spec.price else TimeInForce.IOC,
        price=_decimal(spec.price, "price") if spec.price else None,
        quantity=_decimal(spec.amount, "amount"),
        client_id=spec.client_id,
        words={"reserved": "yes"} if spec.reserved else {},
        foreign=True,
    )
    try:
        venue.place(new)
    except Refused as refused:
        raise UsageError(f"foreign_order: {refused.text}") from refused
    return True


def _fill(venue: SimVenue, spec: FaultSpec) -> bool:
    order: SimOrder | None = venue.find(client_id=spec.client_id) if spec.client_id else next(iter(venue.open_orders(spec.symbol)), None)
    if order is None:
        return False
    lots = order.instrument.floor_lots(_decimal(spec.amount, "amount")) if spec.amount else order.remaining_lots
    return venue.fill(order, lots) is not None


def _dislocate(face: Face, spec: FaultSpec) -> bool:
    fraction = _decimal(spec.rate, "rate")
    if not abs(fraction) <= FARTHEST:
        raise UsageError(
            f"rate: expected a fraction from -{FARTHEST} to {FARTHEST}, found {spec.rate}; farther is no price of the same coin"
        )
    return face.parts.dislocate(spec.symbol, float(fraction))


def _decimal(text: str, what: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise UsageError(f"{what}: expected a decimal number, found {text!r}") from error
    if not value.is_finite():
        raise UsageError(f"{what}: expected a finite number, found {text!r}")
    return value
