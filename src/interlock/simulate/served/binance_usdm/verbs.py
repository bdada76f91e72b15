"""The order verbs: place, test, modify, cancel, batches of them, cancel all of a symbol, and the dead man's switch.

Chosen: a change of an order that is no limit order is refused as that (-5025) also when the order is over, which a market order always is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from interlock.domain.orders import OrderType
from interlock.simulate.served.binance_usdm import seen
from interlock.simulate.served.binance_usdm.amends import Amendment, Amends
from interlock.simulate.served.binance_usdm.auth import Security
from interlock.simulate.served.binance_usdm.params import Params, from_json
from interlock.simulate.served.binance_usdm.routes import Route, Routes
from interlock.simulate.served.binance_usdm.taking import CONDITIONAL, check_amended, instrument_of, new_order, price_of, side_of, size_of
from interlock.simulate.served.binance_usdm.views import ORDER_IDS, client_id, order_id, order_reply
from interlock.simulate.served.binance_usdm.words import Wrong, worded
from interlock.simulate.served.face import Face
from interlock.simulate.served.orders import EndReason, NewOrder, Refusal, Refused, SelfMatch, SimOrder

BATCH_PLACE_MAX: Final = 5
BATCH_CANCEL_MAX: Final = 10
AMENDS_MAX: Final = 10_000


class Verbs:
    """Carries out what clients ask of orders. `amends` are the changes that were done."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._venue = face.venue
        self.amends = Amends()
        self._countdowns: dict[str, int] = {}
        self._amending: set[int] = set()

    def routes(self) -> Routes:
        """Its paths."""
        order, batch = "/fapi/v1/order", "/fapi/v1/batchOrders"
        trade = Security.TRADE
        return {
            ("POST", order): Route(handler=self.place, security=trade, verb="place", weight=0, orders=(1, 1)),
            ("POST", "/fapi/v1/order/test"): Route(handler=self.test, security=trade, weight=1),
            ("PUT", order): Route(handler=self.modify, security=trade, verb="amend", weight=0, orders=(1, 1)),
            ("DELETE", order): Route(handler=self.cancel, security=trade, verb="cancel"),
            ("POST", batch): Route(handler=self.place_batch, security=trade, verb="place_batch", weight=5, orders=(5, 1)),
            ("PUT", batch): Route(handler=self.modify_batch, security=trade, verb="amend_batch", weight=5, orders=(5, 1)),
            ("DELETE", batch): Route(handler=self.cancel_batch, security=trade, verb="cancel_batch"),
            ("DELETE", "/fapi/v1/allOpenOrders"): Route(handler=self.cancel_all, security=trade, verb="cancel_all"),
            ("POST", "/fapi/v1/countdownCancelAll"): Route(handler=self.countdown, security=trade, verb="heartbeat", weight=10),
        }

    # one order

    def place(self, params: Params) -> dict[str, Any]:
        """Place an order. The answer says NEW unless the result is asked for."""
        new = self._asked(params)
        result = params.choice("newOrderRespType", ("ACK", "RESULT"), -1130, "ACK") == "RESULT"
        order = self.take(new)
        return order_reply(seen.now(order) if result else seen.accepted(order))

    def take(self, new: NewOrder) -> SimOrder:
        """Let the core take an order. Raises Wrong."""
        try:
            return self._venue.place(new)
        except Refused as refused:
            raise self._worded(refused, new) from refused

    def test(self, params: Params) -> dict[str, Any]:
        """Check an order and do nothing."""
        new = self._asked(params)
        try:
            self._venue.check(new)
        except Refused as refused:
            raise self._worded(refused, new) from refused
        return {}

    def modify(self, params: Params) -> dict[str, Any]:
        """Give an open limit order another price and size; the order is cancelled where the change cannot be."""
        instrument = instrument_of(self._venue, params.text("symbol"))
        side = side_of(params)
        quantity, price, modify_id = size_of(params, instrument), price_of(params, instrument), params.integer("modifyId")
        order = self.find(params)
        if order is not None and order.type is not OrderType.LIMIT:
            raise Wrong(-5025)
        if order is None or not order.open:
            raise Wrong(-2013)
        if order.side is not side:
            raise Wrong(-1117)
        if order.number in self._amending:
            raise Wrong(-5043)
        if order.revision >= AMENDS_MAX:
            raise Wrong(-5026)
        try:
            self._venue.ticks_of(instrument, price)
            self._venue.lots_of(instrument, quantity)
            check_amended(self._venue, instrument, side, price, quantity, order.reduce_only)
            self._amend(order, price, quantity, "" if modify_id is None else str(modify_id))
        except Refused as refused:
            if refused.refusal not in (Refusal.POST_ONLY, Refusal.AMEND_BELOW_FILLED):
                raise self.worded(refused, order.symbol, price) from refused
            self._venue.cancel(order)
            return order_reply(seen.now(order))
        named = self.last_modify_id()
        return order_reply(seen.now(order)) | ({"modifyId": int(named)} if named else {})

    def _amend(self, order: SimOrder, price: Decimal, quantity: Decimal, modify_id: str) -> None:
        amendment = Amendment(
            number=self.amends.count + 1,
            symbol=order.symbol,
            order_id=order_id(order),
            client_id=client_id(order),
            at_ms=self._venue.now_ms(),
            price=(order.price, price),
            quantity=(order.quantity, quantity),
            count=order.revision + 1,
            modify_id=modify_id,
        )
        # The stream tells its name while the amend is carried out; without the amend there is none.
        self.amends.add(amendment)
        kept = (order.self_match, order.words["stp"]) if "stp" in order.words else (order.self_match, "NONE")
        order.self_match, order.words["stp"] = SelfMatch.NONE, "NONE"
        try:
            self._venue.amend(order, price=price, quantity=quantity)
        except Refused:
            self.amends.take_back()
            order.self_match, order.words["stp"] = kept
            raise

    def amends_until(self, order: SimOrder, ms: int) -> None:
        """A change of the order is under way for so long; another one is refused meanwhile."""
        self._amending.add(order.number)
        self._face.parts.later(ms, lambda: self._amending.discard(order.number))

    def last_modify_id(self) -> str:
        """The client's name of the last amend, if it gave one."""
        return self.amends.latest.modify_id if self.amends.latest is not None else ""

    def cancel(self, params: Params) -> dict[str, Any]:
        """Cancel an open order; one that is over is unknown."""
        instrument_of(self._venue, params.text("symbol"))
        order = self.find(params)
        if order is None or not order.open:
            raise Wrong(-2011)
        self._venue.cancel(order)
        return order_reply(seen.now(order))

    def find(self, params: Params) -> SimOrder | None:
        """The order of the symbol with the venue's number, or else with the client id. Raises Wrong where neither is named."""
        number = params.integer("orderId")
        client_id = params.maybe("origClientOrderId")
        if number is None and not client_id:
            raise Wrong(-1102, "orderId' or 'origClientOrderId")
        order = self.numbered(number) if number is not None else self._venue.find(client_id=client_id)
        return order if order is not None and order.symbol == params.values.get("symbol", order.symbol) else None

    def numbered(self, number: int) -> SimOrder | None:
        """The order with the venue's number."""
        return self._venue.find(number=number - ORDER_IDS) if number > ORDER_IDS else None

    # many orders

    def place_batch(self, params: Params) -> list[dict[str, Any]]:
        """Place up to five orders, one by one; each has its own answer."""
        return self._each(_items(params), params, self.place)

    def modify_batch(self, params: Params) -> list[dict[str, Any]]:
        """Modify up to five orders, one by one."""
        return self._each(_items(params), params, self.modify)

    def cancel_batch(self, params: Params) -> list[dict[str, Any]]:
        """Cancel up to ten orders of a symbol, one by one."""
        symbol = params.text("symbol")
        instrument_of(self._venue, symbol)
        numbers, ids = json_list(params, "orderIdList"), json_list(params, "origClientOrderIdList")
        named: list[Mapping[str, Any]] = [{"orderId": n} for n in numbers] or [{"origClientOrderId": i} for i in ids]
        if not named:
            raise Wrong(-1102, "orderIdList' or 'origClientOrderIdList")
        if len(named) > BATCH_CANCEL_MAX:
            raise Wrong(-4082)
        return self._each([{"symbol": symbol, **one} for one in named], params, self.cancel)

    def cancel_all(self, params: Params) -> dict[str, Any]:
        """Cancel every open order of a symbol."""
        symbol = params.text("symbol")
        instrument_of(self._venue, symbol)
        self._venue.cancel_all(symbol)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _each(self, items: list[Mapping[str, Any]], params: Params, act: Callable[[Params], dict[str, Any]]) -> list[dict[str, Any]]:
        cut = len(items) if self._face.batch_cut is None else self._face.batch_cut
        found: list[dict[str, Any]] = []
        for at, item in enumerate(items):
            try:
                if at >= cut:
                    raise Wrong(-1008)
                found.append(act(Params(from_json(item), params.key)))
            except Wrong as wrong:
                found.append(wrong.body)
        return found

    # the dead man's switch

    def countdown(self, params: Params) -> dict[str, Any]:
        """Cancel everything of a symbol when this is not said again in time; 0 ends it."""
        symbol, after_ms = params.text("symbol"), params.whole("countdownTime")
        instrument_of(self._venue, symbol)
        mark = self._countdowns[symbol] = self._countdowns.get(symbol, 0) + 1
        if after_ms:
            self._face.parts.later(after_ms, lambda: self._run_out(symbol, mark))
        return {"symbol": symbol, "countdownTime": str(after_ms)}

    def _run_out(self, symbol: str, mark: int) -> None:
        if self._countdowns[symbol] == mark:
            self._venue.cancel_all(symbol, EndReason.DEAD_MAN)

    def expire(self) -> None:
        """End the orders whose date has come."""
        now_ms = self._venue.now_ms()
        for order in self._venue.open_orders():
            until = int(order.words.get("goodTillDate", "0"))
            if until and now_ms >= until:
                self._venue.cancel(order, EndReason.TIME)

    # words

    def _asked(self, params: Params) -> NewOrder:
        kind = params.text("type")
        if kind in CONDITIONAL:
            raise Wrong(-4120)
        if kind not in ("LIMIT", "MARKET"):
            raise Wrong(-1116)
        return new_order(params, self._venue, kind)

    def _worded(self, refused: Refused, new: NewOrder) -> Wrong:
        return self.worded(refused, new.symbol, new.price)

    def worded(self, refused: Refused, symbol: str, price: Decimal | None) -> Wrong:
        """The venue's words for a refusal of the core."""
        market = self._venue.markets[symbol]
        return worded(refused, market.instrument, market.mark, self._venue.rules.band, price)


def _items(params: Params) -> list[Mapping[str, Any]]:
    items = json_list(params, "batchOrders")
    if not 1 <= len(items) <= BATCH_PLACE_MAX or not all(isinstance(item, dict) for item in items):
        raise Wrong(-4082)
    return items


def json_list(params: Params, name: str) -> list[Any]:
    """A parameter that is a JSON list; empty if not there. The venue takes these names in lower case too."""
    text = params.values.get(name) or params.values.get(name.lower()) or ""
    if not text:
        return []
    try:
        return msgspec.json.decode(text, type=list[Any])
    except msgspec.DecodeError as error:
        raise Wrong(-1130, name) from error
