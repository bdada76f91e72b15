"""What a request is about, as the witness and the faults see it, whatever the client sent."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from interlock.simulate.served.bybit.ids import Of, number_of
from interlock.simulate.served.face import Wanted
from interlock.simulate.served.venue import SimVenue

_AMENDS = ("amend", "amend_batch")


def wanted_of(venue: SimVenue, verb: str, fields: Mapping[str, Any]) -> Wanted:
    """What an authenticated request with these parameters is about."""
    items = fields.get("request")
    children = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else [fields]
    if verb in ("read", "cancel_all"):
        return Wanted(verb, True, _text(fields, "symbol"))
    ids = tuple(pair for item in children if (pair := _id(venue, verb, item))[0])
    orders = tuple(found for item in children if (found := _order(venue, verb, item)) is not None)
    return Wanted(verb, True, _text(children[0], "symbol") if children else "", ids, orders)


def _id(venue: SimVenue, verb: str, item: Mapping[str, Any]) -> tuple[str, int]:
    """The client id that a request names, by the venue's id where it names that, and the revision: an amend makes the next one."""
    client_id = _text(item, "orderLinkId")
    number = number_of(Of.ORDER, _text(item, "orderId"))
    order = venue.find(number=number) if number else venue.find(client_id=client_id)
    if number and order is not None:
        client_id = order.client_id
    return client_id, order.revision + 1 if verb in _AMENDS and order is not None else 0


def _order(venue: SimVenue, verb: str, item: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a request asks for, in ticks and lots; None where it asks for nothing that can be counted."""
    market = venue.markets.get(_text(item, "symbol"))
    if market is None or verb not in ("place", "place_batch", *_AMENDS):
        return None
    instrument = market.instrument
    try:
        ticks = instrument.ticks(Decimal(_text(item, "price") or "0"))
        lots = instrument.lots(Decimal(_text(item, "qty") or "0"))
    except (InvalidOperation, ValueError, OverflowError):
        return None
    if verb in _AMENDS:
        return {"ticks": ticks, "tick": f"{instrument.quantum:f}", "lots": lots}
    side = 1 if _text(item, "side") == "Buy" else -1
    return {"symbol": instrument.symbol, "side": side, "ticks": ticks, "tick": f"{instrument.quantum:f}", "lots": lots}


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    return value if isinstance(value, str) else ""
