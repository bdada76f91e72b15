"""What is read of orders: one, several by name, the open ones, the closed ones.

A read can lag behind: it then shows every order as it was so long ago, and none that is younger. Source: the venue's reference pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from interlock.domain.orders import OrderState
from interlock.simulate.served.orders import SimOrder
from interlock.simulate.served.span import Orders
from interlock.simulate.served.upbit import views
from interlock.simulate.served.upbit.ids import Ids
from interlock.simulate.served.upbit.params import Params
from interlock.simulate.served.upbit.quotes import closed_time
from interlock.simulate.served.upbit.words import Wrong
from interlock.simulate.served.venue import SimVenue

WEEK_NS: Final = 7 * 86_400 * 1_000_000_000
BY_NAME_MAX: Final = 100
OPEN_MAX: Final = 100
CLOSED_MAX: Final = 1_000
PAGES_MAX: Final = 1_000_000


class Reads:
    """Reads of one venue's orders; `lag_ns` says how far they are behind."""

    def __init__(self, venue: SimVenue, ids: Ids, lag_ns: Callable[[], int]) -> None:
        self._venue = venue
        self._ids = ids
        self._lag_ns = lag_ns

    def named(self, params: Params, prefix: str = "") -> SimOrder:
        """The order that a request names by `uuid` or else `identifier`. Raises Wrong for none, and for one that does not exist."""
        uuid, identifier = params.get(f"{prefix}uuid"), params.get(f"{prefix}identifier")
        if not uuid and not identifier:
            raise Wrong("validation_error", text=f"expected {prefix}uuid or {prefix}identifier")
        found = self._ids.find(uuid) if uuid else self._venue.find(client_id=identifier)
        if found is None:
            raise Wrong("order_not_found")
        return found

    def several(self, params: Params, most: int) -> list[SimOrder]:
        """The orders that a request names by `uuids` or else `identifiers`, those that exist. Raises Wrong for none or too many names."""
        uuids, identifiers = params.list("uuids"), params.list("identifiers")
        if not 0 < len(uuids or identifiers) <= most:
            raise Wrong("validation_error", text=f"expected 1 to {most} uuids or identifiers")
        found = [self._ids.find(name) for name in uuids] if uuids else [self._venue.find(client_id=name) for name in identifiers]
        return list({order.number: order for order in found if order is not None}.values())

    def one(self, params: Params) -> dict[str, Any]:
        """GET /v1/order, with its trades. Raises Wrong."""
        order = self.named(params)
        if order.created_ns > self._seen_ns():
            raise Wrong("order_not_found")
        seen = views.sums(order, self._seen_ns())
        view = views.order_view(order, self._ids.name(order), seen)
        return view | {"trades": [views.trade_view(execution) for execution in seen.trades]}

    def by_name(self, params: Params) -> list[dict[str, Any]]:
        """GET /v1/orders/uuids. Raises Wrong."""
        return self._shown(self.several(params, BY_NAME_MAX), params, ("wait", "watch", "done", "cancel"))

    def open(self, params: Params) -> list[dict[str, Any]]:
        """GET /v1/orders/open, in pages. Raises Wrong."""
        states = self._states(params, ("wait", "watch"), default=("wait",))
        return self._page(self._shown(self._venue.listed(self._unsettled()), params, states), params)

    def listed(self, params: Params) -> list[dict[str, Any]]:
        """GET /v1/orders, the list that the others came after. Raises Wrong."""
        if params.list("uuids") or params.list("identifiers"):
            return self.by_name(params)
        states = self._states(params, ("wait", "watch", "done", "cancel"), default=("wait",))
        if set(states) <= {"wait", "watch"}:
            return self._page(self._shown(self._unsettled(), params, states), params)
        return self._page(self._read(Orders(), params, states), params)

    def closed(self, params: Params) -> list[dict[str, Any]]:
        """GET /v1/orders/closed: by the time at which they were placed, within seven days. Raises Wrong."""
        states = self._states(params, ("done", "cancel"), default=("done", "cancel"))
        limit = params.count("limit", 100, CLOSED_MAX)
        start, end = closed_time(params.get("start_time")), closed_time(params.get("end_time"))
        if end is None:
            end = start + WEEK_NS if start is not None else self._venue.now_ns()
        if start is None:
            start = end - WEEK_NS
        if not 0 <= end - start <= WEEK_NS:
            raise Wrong("validation_error", text="expected a start before the end, at most 7 days apart")
        # What a bid by value could not spend makes the end of a filled one a cancel.
        ended = (OrderState.FILLED,) if states == ("done",) else (OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED)
        return list(islice(self._read(Orders(begin_ns=start, end_ns=end, states=ended), params, states), limit))

    def _unsettled(self) -> list[SimOrder]:
        """The orders that reads show as not over; nothing else is."""
        return self._venue.history.unsettled(self._seen_ns())

    def _seen_ns(self) -> int:
        return self._venue.now_ns() - self._lag_ns()

    def _shown(self, orders: list[SimOrder], params: Params, states: tuple[str, ...]) -> list[dict[str, Any]]:
        """Views of the orders that are in one of the states, in the order asked for, of one market if one is named. Raises Wrong."""
        newest_first, symbols = _newest_first(params), self._symbols(params)
        ordered = sorted(orders, key=lambda order: order.number, reverse=newest_first)
        return list(self._views((order for order in ordered if symbols is None or order.symbol in symbols), states))

    def _read(self, wanted: Orders, params: Params, states: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """The same of all orders that are wanted, read as they are taken. Raises Wrong."""
        newest_first, symbols = _newest_first(params), self._symbols(params)
        return self._views(self._venue.history.orders(replace(wanted, symbols=symbols), newest_first=newest_first), states)

    def _views(self, orders: Iterable[SimOrder], states: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        seen_ns = self._seen_ns()
        for order in orders:
            if order.created_ns <= seen_ns:
                seen = views.sums(order, seen_ns)
                if seen.state in states:
                    yield views.order_view(order, self._ids.name(order), seen)

    def _symbols(self, params: Params) -> tuple[str, ...] | None:
        """The market that is named, if one is. Raises Wrong."""
        market = params.get("market")
        if market and market not in self._venue.markets:
            raise Wrong("notfoundmarket")
        return (market,) if market else None

    @staticmethod
    def _states(params: Params, allowed: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(params.list("states") or params.list("state")) or default
        if not set(found) <= set(allowed):
            raise Wrong("validation_error", text="states does not have a valid value")
        return found

    @staticmethod
    def _page(found: Iterable[dict[str, Any]], params: Params) -> list[dict[str, Any]]:
        limit, page = params.count("limit", 100, OPEN_MAX), params.count("page", 1, PAGES_MAX)
        return list(islice(found, (page - 1) * limit, page * limit))


def _newest_first(params: Params) -> bool:
    return params.one_of("order_by", ("asc", "desc"), "desc") == "desc"
