"""What a request is about, as the witness and the faults see it, whatever the client sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from interlock.simulate.served.binance_usdm.params import Params, from_json
from interlock.simulate.served.binance_usdm.verbs import Verbs, json_list
from interlock.simulate.served.binance_usdm.views import client_id
from interlock.simulate.served.binance_usdm.words import Wrong
from interlock.simulate.served.face import Wanted
from interlock.simulate.served.orders import SimOrder
from interlock.simulate.served.venue import SimVenue


def wanted(verb: str, values: Mapping[str, str], authenticated: bool, venue: SimVenue, verbs: Verbs) -> Wanted:
    """The client ids, revisions and sizes that a request names."""
    items = list(_items(verb, values))
    ids = tuple(pair for item in items if (pair := _pair(verb, item, venue, verbs))[0])
    orders = tuple(found for item in items if "quantity" in item and (found := _size(item, venue)) is not None)
    return Wanted(verb, authenticated, values.get("symbol", ""), ids, orders if verb.startswith(("place", "amend")) else ())


def _items(verb: str, values: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The single orders of a batch; else the request itself."""
    params = Params(values)
    try:
        if verb in ("place_batch", "amend_batch"):
            yield from (from_json(item) for item in json_list(params, "batchOrders") if isinstance(item, dict))
        elif verb == "cancel_batch":
            yield from ({"orderId": str(number)} for number in json_list(params, "orderIdList"))
            yield from ({"origClientOrderId": str(name)} for name in json_list(params, "origClientOrderIdList"))
        else:
            yield values
    except Wrong:
        return


def _pair(verb: str, values: Mapping[str, str], venue: SimVenue, verbs: Verbs) -> tuple[str, int]:
    """The client id and revision that an order of a request has, or will have once it is amended."""
    if verb in ("place", "place_batch"):
        return values.get("newClientOrderId", ""), 0
    if verb == "place_conditional":
        return values.get("clientAlgoId", ""), 0
    number, name = values.get("orderId", ""), values.get("origClientOrderId", "")
    found: SimOrder | None = verbs.numbered(int(number)) if number.isdigit() and len(number) < 20 else venue.find(client_id=name)
    if found is not None:
        return client_id(found), found.revision + 1 if verb.startswith("amend") else 0
    return name, 0


def _size(values: Mapping[str, str], venue: SimVenue) -> dict[str, Any] | None:
    """Price and size in ticks and lots, as a checker reckons exposure from them; None where they are none."""
    market = venue.markets.get(values.get("symbol", ""))
    if market is None:
        return None
    try:
        price = Decimal(values["price"]) if values.get("price") else market.mark
        ticks, lots = int(price // market.instrument.quantum), market.instrument.floor_lots(Decimal(values["quantity"]))
    except (InvalidOperation, OverflowError, ValueError):
        return None
    instrument, side = market.instrument, -1 if values.get("side") == "SELL" else 1
    return {"ticks": ticks, "tick": f"{instrument.quantum:f}", "lots": lots, "symbol": instrument.symbol, "side": side}
