"""What asks for orders: place, dry run, cancel one, several or all, cancel and place anew.

Source: the venue's pages on orders. Chosen: the order of the checks (form, market, identifier, then what the core checks: price, size, value,
funds); an order that is over cannot be found by a cancel; what excludes each other
though each of it is valid is an `invalid_parameter`; what is wrong with the form of a new order leaves the old one alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.simulate.served.orders import NewOrder, Refused, SelfMatch, SimOrder
from interlock.simulate.served.upbit import views
from interlock.simulate.served.upbit.ids import Ids
from interlock.simulate.served.upbit.params import Params
from interlock.simulate.served.upbit.texts import text
from interlock.simulate.served.upbit.words import Wrong, wording
from interlock.simulate.served.venue import SimVenue

IDENTIFIER_MAX: Final = 64
CANCEL_IDS_MAX: Final = 20
CANCEL_OPEN_MAX: Final = 300
PAIRS_MAX: Final = 20
_SIDES: Final = {"bid": Side.BUY, "ask": Side.SELL}
_TIFS: Final = {"": TimeInForce.GTC, "ioc": TimeInForce.IOC, "fok": TimeInForce.FOK, "post_only": TimeInForce.POST_ONLY}
_SELF_MATCH: Final = {
    "none": SelfMatch.NONE,
    "cancel_maker": SelfMatch.CANCEL_MAKER,
    "cancel_taker": SelfMatch.CANCEL_TAKER,
    "reduce": SelfMatch.REDUCE,
}


class Entry:
    """The order desk of one venue. `accepted` gives the view of an order at the moment in which it was taken."""

    def __init__(self, venue: SimVenue, ids: Ids, accepted: Callable[[SimOrder], dict[str, Any]]) -> None:
        self._venue = venue
        self._ids = ids
        self._accepted = accepted

    def place(self, params: Params) -> dict[str, Any]:
        """POST /v1/orders. Raises Wrong. The answer shows the order as it was taken, whatever it met."""
        new = self.read(params)
        identifier = new.client_id
        if identifier and not self._ids.use(identifier):
            raise Wrong("duplicated_identifier")
        return self._accepted(self._enter(new))

    def test(self, params: Params) -> dict[str, Any]:
        """POST /v1/orders/test: everything but the order. Raises Wrong."""
        new = self.read(params)
        try:
            market, ticks, lots = self._venue.check(new)
        except Refused as refused:
            raise wording(refused, new.side) from refused
        now_ns = self._venue.now_ns()
        order = SimOrder(
            number=0,
            instrument=market.instrument,
            side=new.side,
            type=new.type,
            tif=new.tif,
            ticks=ticks,
            lots=lots,
            client_id=new.client_id,
            reduce_only=False,
            self_match=new.self_match,
            words=dict(new.words),
            created_ns=now_ns,
            updated_ns=now_ns,
            cost=new.cost,
        )
        return views.order_view(order, self._ids.spare(), views.sums(order))

    def cancel(self, order: SimOrder) -> dict[str, Any]:
        """DELETE /v1/order: the order as it was when the cancel was taken. Raises Wrong if it is over."""
        view = views.order_view(order, self._ids.name(order), views.sums(order))
        try:
            self._venue.cancel(order)
        except Refused as refused:
            raise wording(refused, order.side) from refused
        return view

    def cancel_several(self, orders: list[SimOrder], cut: int | None) -> dict[str, Any]:
        """Cancel orders one by one; those that are over, and all beyond `cut`, are in `failed`."""
        done: list[dict[str, str]] = []
        failed: list[dict[str, str]] = []
        for order in orders:
            named = views.named(order, self._ids.name(order))
            if order.open and (cut is None or len(done) < cut):
                self._venue.cancel(order)
                done.append(named)
            else:
                failed.append(named)
        return {"success": {"count": len(done), "orders": done}, "failed": {"count": len(failed), "orders": failed}}

    def cancel_open(self, params: Params, cut: int | None) -> dict[str, Any]:
        """DELETE /v1/orders/open: the newest, or oldest, so many of what the filters leave. Reserved orders stay. Raises Wrong."""
        side = params.one_of("cancel_side", ("all", "bid", "ask"), "all")
        count = params.count("count", 20, CANCEL_OPEN_MAX)
        newest_first = params.one_of("order_by", ("asc", "desc"), "desc") == "desc"
        quotes, pairs, excluded = (params.list(name) for name in ("quote_currencies", "pairs", "excluded_pairs"))
        if quotes and pairs:
            raise Wrong("invalid_parameter")
        if max(len(pairs), len(excluded)) > PAIRS_MAX:
            raise Wrong("validation_error", text=f"expected at most {PAIRS_MAX} pairs")
        for pair in (*pairs, *excluded):
            if pair not in self._venue.markets:
                raise Wrong("notfoundmarket")
        found = [
            order
            for order in sorted(self._venue.open_orders(), key=lambda order: order.number, reverse=newest_first)
            if views.resting(order) == "wait"
            and side in ("all", "bid" if order.side is Side.BUY else "ask")
            and (not quotes or order.instrument.quote in quotes)
            and (not pairs or order.symbol in pairs)
            and order.symbol not in excluded
        ]
        return self.cancel_several(found[:count], cut)

    def replace(self, params: Params, old: SimOrder) -> dict[str, Any]:
        """POST /v1/orders/cancel_and_new: cancel, then place in the same market and on the same side.

        The answer is the old order and the name of the new one, which exists only if it was taken. Raises Wrong, with the old order as it was.
        """
        if not old.open:
            raise Wrong("order_not_found")
        new = self._read_new(params, old)
        identifier = new.client_id
        if identifier and not self._ids.use(identifier):
            raise Wrong("duplicated_identifier")
        view = self.cancel(old)
        view["new_order_uuid"] = self._ids.reserve()
        if identifier:
            view["new_order_identifier"] = identifier
        try:
            self._enter(new)
        except Wrong:
            pass  # as at the venue, the client learns of it by asking for the new order
        finally:
            self._ids.release()
        return view

    def read(self, params: Params) -> NewOrder:
        """The order that a request asks for. Raises Wrong for a form that no order has."""
        symbol = params.required("market")
        side = params.one_of("side", _SIDES)
        params.required("side")
        identifier = params.get("identifier")
        if len(identifier) > IDENTIFIER_MAX:
            raise Wrong("validation_error", text=f"identifier is longer than {IDENTIFIER_MAX}")
        if symbol not in self._venue.markets:
            raise Wrong("notfoundmarket")
        return self._shaped(
            symbol,
            _SIDES[side],
            ord_type=params.one_of("ord_type", ("limit", "price", "market", "best")) or params.required("ord_type"),
            tif=params.one_of("time_in_force", _TIFS, wrong="invalid_time_in_force"),
            smp=params.one_of("smp_type", _SELF_MATCH),
            price=params.decimal("price"),
            volume=params.decimal("volume"),
            identifier=identifier,
        )

    def _read_new(self, params: Params, old: SimOrder) -> NewOrder:
        renamed = {"new_ord_type", "new_price", "new_volume", "new_time_in_force", "new_smp_type", "new_identifier"}
        pairs = [("market", old.symbol), ("side", "bid" if old.side is Side.BUY else "ask")]
        for name, value in params.pairs:
            if name in renamed:
                remaining = (name, value) == ("new_volume", "remain_only")
                pairs.append((name.removeprefix("new_"), text(old.remaining) if remaining else value))
        return self.read(Params(tuple(pairs)))

    def _shaped(
        self,
        symbol: str,
        side: Side,
        *,
        ord_type: str,
        tif: str,
        smp: str,
        price: Decimal | None,
        volume: Decimal | None,
        identifier: str,
    ) -> NewOrder:
        by_sum = ord_type == "price" or (ord_type == "best" and side is Side.BUY)
        _check_form(ord_type, side, tif, smp, wants_price=ord_type == "limit" or by_sum, price=price, volume=volume, by_sum=by_sum)
        # Since November 2026 an order that says nothing of self-matches cancels the resting one; a post-only order has none.
        smp = smp or ("none" if tif == "post_only" else "cancel_maker")
        new = NewOrder(
            symbol=symbol,
            side=side,
            type=OrderType.MARKET if ord_type in ("price", "market") else OrderType.LIMIT,
            tif=_TIFS[tif],
            price=price if ord_type == "limit" else None,
            quantity=volume,
            cost=price if by_sum else None,
            client_id=identifier,
            self_match=_SELF_MATCH[smp],
            words={"ord_type": ord_type, "time_in_force": tif, "smp_type": smp},
        )
        return self._at_best(new) if ord_type == "best" else new

    def _at_best(self, new: NewOrder) -> NewOrder:
        """A best-price order is a limit order at the other side's best price; a bid's size is what its sum buys there."""
        instrument = self._venue.markets[new.symbol].instrument
        bids, asks = self._venue.levels(new.symbol, 1)
        levels = asks if new.side is Side.BUY else bids
        if not levels:
            raise Wrong("market_offline")
        ticks = levels[0][0]
        quantity = new.quantity
        if new.cost is not None:
            quantity = instrument.quantity(max(1, int(new.cost // instrument.notional(ticks, 1))))
        return replace(new, price=instrument.price(ticks), quantity=quantity)

    def _enter(self, new: NewOrder) -> SimOrder:
        try:
            return self._venue.place(new)
        except Refused as refused:
            raise wording(refused, new.side) from refused


def _check_form(
    ord_type: str, side: Side, tif: str, smp: str, *, wants_price: bool, price: Decimal | None, volume: Decimal | None, by_sum: bool
) -> None:
    """Raise Wrong unless exactly the members that the type needs are there."""
    if (ord_type == "price" and side is Side.SELL) or (ord_type == "market" and side is Side.BUY):
        raise Wrong("validation_error", text=f"ord_type {ord_type} is not for this side")
    if (price is not None) is not wants_price or (volume is None) is not by_sum:
        raise Wrong("validation_error", text=f"price or volume is missing, or one too many for ord_type {ord_type}")
    allowed = {"limit": ("", "ioc", "fok", "post_only"), "best": ("ioc", "fok")}.get(ord_type, ("",))
    if tif not in allowed:
        raise Wrong("invalid_time_in_force")
    if tif == "post_only" and smp not in ("", "none"):
        raise Wrong("invalid_post_only")
