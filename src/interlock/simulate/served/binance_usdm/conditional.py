"""Conditional orders: they wait beside the book until a price is reached, and then place an order.

Trailing stops are not served. How a trigger is found: with each step of the market, against the mark or the last trade.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from interlock.domain.instruments import Instrument
from interlock.domain.orders import Side
from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.binance_usdm.auth import Security
from interlock.simulate.served.binance_usdm.params import Params
from interlock.simulate.served.binance_usdm.routes import Route, Routes, by_symbol
from interlock.simulate.served.binance_usdm.taking import client_id_of, instrument_of, new_order, one_way, price_of, side_of, size_of
from interlock.simulate.served.binance_usdm.verbs import Verbs
from interlock.simulate.served.binance_usdm.views import order_id, side_word
from interlock.simulate.served.binance_usdm.words import Wrong, mean, plain, price_text, size_text
from interlock.simulate.served.face import Face
from interlock.simulate.served.orders import SimOrder

OPEN_MAX: Final = 200
ALGO_IDS: Final = 2_000_000
_KINDS: Final = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")


@dataclass(slots=True, kw_only=True)
class Conditional:
    """One conditional order. `above` says on which side of now the trigger lies; `quantity` None closes whatever is held."""

    number: int
    instrument: Instrument
    kind: str
    side: Side
    trigger: Decimal
    above: bool
    price: Decimal | None
    quantity: Decimal | None
    client_id: str
    working: str
    values: dict[str, str]
    created_ms: int
    updated_ms: int
    state: str = "NEW"
    triggered_ms: int = 0
    remark: str = ""
    order: SimOrder | None = field(default=None, repr=False)


class Conditionals:
    """The conditional orders of the account. `tell` takes an event for the private stream."""

    def __init__(self, face: Face, account: MarginAccount, verbs: Verbs, tell: Callable[[dict[str, Any]], None]) -> None:
        self._face = face
        self._venue = face.venue
        self._account = account
        self._verbs = verbs
        self._tell = tell
        self._all: list[Conditional] = []

    def routes(self) -> Routes:
        """Its paths."""
        trade, signed, path = Security.TRADE, Security.SIGNED, "/fapi/v1/algoOrder"
        return {
            ("POST", path): Route(handler=self.place, security=trade, verb="place_conditional", orders=(1, 1)),
            ("DELETE", path): Route(handler=self.cancel, security=trade, verb="cancel"),
            ("GET", path): Route(handler=lambda p: self._row(self._one(p, -2013)), security=signed),
            ("DELETE", "/fapi/v1/algoOpenOrders"): Route(handler=self.cancel_all, security=trade, verb="cancel_all"),
            ("GET", "/fapi/v1/openAlgoOrders"): Route(handler=self.open, security=signed, weight=by_symbol(1, 40)),
            ("GET", "/fapi/v1/allAlgoOrders"): Route(handler=self.all, security=signed, weight=5),
        }

    def place(self, params: Params) -> dict[str, Any]:
        """Let a conditional order wait."""
        params.choice("algoType", ("CONDITIONAL",), -1130)
        instrument, kind = instrument_of(self._venue, params.text("symbol")), params.choice("type", _KINDS, -1116)
        side, working = side_of(params), params.choice("workingType", ("MARK_PRICE", "CONTRACT_PRICE"), -1130, "CONTRACT_PRICE")
        one_way(params)
        trigger = price_of(params, instrument, "triggerPrice")
        limit = not kind.endswith("_MARKET")
        whole = params.flag("closePosition")
        quantity = None if whole and not limit else size_of(params, instrument)
        client_id = client_id_of(params, "clientAlgoId", self._venue) if params.maybe("clientAlgoId") else f"algo{len(self._all) + 1:016d}"
        waiting = [one for one in self._all if one.state == "NEW"]
        if len(waiting) >= OPEN_MAX:
            raise Wrong(-4045)
        if any(one.client_id == client_id for one in waiting):
            raise Wrong(-4116)
        above = (side is Side.BUY) == kind.startswith("STOP")
        if self._reached(instrument, working, trigger, above):
            raise Wrong(-2021)
        now_ms = self._venue.now_ms()
        found = Conditional(
            number=ALGO_IDS + len(self._all) + 1,
            instrument=instrument,
            kind=kind,
            side=side,
            trigger=trigger,
            above=above,
            price=price_of(params, instrument) if limit else None,
            quantity=quantity,
            client_id=client_id,
            working=working,
            values=dict(params.values),
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        self._all.append(found)
        self._changed(found, "NEW")
        return self._row(found)

    def cancel(self, params: Params) -> dict[str, Any]:
        """Take back one that waits."""
        found = self._one(params, -2011)
        if found.state != "NEW":
            raise Wrong(-2011)
        self._take_back(found)
        return {"algoId": found.number, "clientAlgoId": found.client_id, "code": "200", "msg": "success"}

    def cancel_all(self, params: Params) -> dict[str, Any]:
        """Take back all that wait in a symbol."""
        symbol = params.text("symbol")
        instrument_of(self._venue, symbol)
        for one in self._waiting(symbol):
            self._take_back(one)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def open(self, params: Params) -> list[dict[str, Any]]:
        """Those that wait, of a symbol or of all."""
        return [self._row(one) for one in self._waiting(params.maybe("symbol"))]

    def all(self, params: Params) -> list[dict[str, Any]]:
        """All that there were in a symbol, newest last."""
        symbol, limit = params.text("symbol"), params.limit(500, 1000)
        return [self._row(one) for one in self._all if one.instrument.symbol == symbol][-limit:]

    def watch(self) -> None:
        """Trigger what has come due."""
        for one in self._waiting():
            if self._reached(one.instrument, one.working, one.trigger, one.above):
                self._trigger(one)

    def _trigger(self, one: Conditional) -> None:
        one.triggered_ms = self._venue.now_ms()
        self._changed(one, "TRIGGERING")
        try:
            new = new_order(Params(self._asked(one)), self._venue, "LIMIT" if one.price is not None else "MARKET")
            new.words.update({"origType": one.kind, "stopPrice": plain(one.trigger), "workingType": one.working})
            one.order = self._verbs.take(new)
        except Wrong as wrong:
            one.remark = wrong.text
            self._changed(one, "REJECTED")
            return
        self._changed(one, "TRIGGERED")
        self._changed(one, "FINISHED")

    def _asked(self, one: Conditional) -> dict[str, str]:
        """The order that it becomes, as a client would ask for it."""
        held = one.instrument.quantity(abs(self._account.positions[one.instrument.symbol].lots))
        names = ("selfTradePreventionMode", "reduceOnly", "goodTillDate")
        asked = {name: one.values[name] for name in names if one.values.get(name)}
        asked |= {"symbol": one.instrument.symbol, "side": side_word(one.side), "newClientOrderId": one.client_id}
        asked["quantity"] = plain(held if one.quantity is None else one.quantity)
        if one.quantity is None:
            asked["reduceOnly"] = "true"
        if one.price is not None:
            asked |= {"price": plain(one.price), "timeInForce": one.values.get("timeInForce", "GTC")}
        return asked

    def _reached(self, instrument: Instrument, working: str, trigger: Decimal, above: bool) -> bool:
        market = self._venue.markets[instrument.symbol]
        last = instrument.price(market.trades[-1].ticks) if market.trades else market.mark
        price = market.mark if working == "MARK_PRICE" else last
        return price >= trigger if above else price <= trigger

    def _waiting(self, symbol: str = "") -> list[Conditional]:
        return [one for one in self._all if one.state == "NEW" and (not symbol or one.instrument.symbol == symbol)]

    def _one(self, params: Params, code: int) -> Conditional:
        number, client_id = params.integer("algoId"), params.maybe("clientAlgoId")
        if number is None and not client_id:
            raise Wrong(-1102, "algoId' or 'clientAlgoId")
        for one in reversed(self._all):
            if one.number == number or (number is None and one.client_id == client_id):
                return one
        raise Wrong(code)

    def _take_back(self, one: Conditional) -> None:
        if not self._venue.ignores_cancels:
            self._changed(one, "CANCELED")

    def _changed(self, one: Conditional, state: str) -> None:
        one.state, one.updated_ms = state, self._venue.now_ms()
        self._tell({"e": "ALGO_UPDATE", "o": self._event(one)})

    def _event(self, one: Conditional) -> dict[str, Any]:
        order = one.order
        return {
            "caid": one.client_id,
            "aid": one.number,
            "at": "CONDITIONAL",
            "o": one.kind,
            "s": one.instrument.symbol,
            "S": side_word(one.side),
            "ps": "BOTH",
            "f": one.values.get("timeInForce", "GTC"),
            "q": plain(one.quantity or Decimal(0)),
            "X": one.state,
            "ai": str(order_id(order)) if order else "",
            "ap": mean(order.average_price) if order else "0.00000",
            "aq": plain(order.filled) if order else "0.00000",
            "act": "0",
            "tp": plain(one.trigger),
            "p": plain(one.price or Decimal(0)),
            "V": one.values.get("selfTradePreventionMode", "EXPIRE_MAKER"),
            "wt": one.working,
            "pm": "NONE",
            "cp": one.quantity is None,
            "pP": False,
            "R": one.values.get("reduceOnly", "false") == "true",
            "tt": one.triggered_ms,
            "gtd": int(one.values.get("goodTillDate", "0")),
            "rm": one.remark,
        }

    def _row(self, one: Conditional) -> dict[str, Any]:
        i, order = one.instrument, one.order
        return {
            "algoId": one.number,
            "clientAlgoId": one.client_id,
            "algoType": "CONDITIONAL",
            "orderType": one.kind,
            "symbol": i.symbol,
            "side": side_word(one.side),
            "positionSide": "BOTH",
            "timeInForce": one.values.get("timeInForce", "GTC"),
            "quantity": size_text(i, one.quantity or Decimal(0)),
            "algoStatus": one.state,
            "actualOrderId": str(order_id(order)) if order else "",
            "actualPrice": price_text(i, order.average_price if order else Decimal(0)),
            "triggerPrice": price_text(i, one.trigger),
            "price": price_text(i, one.price or Decimal(0)),
            "icebergQuantity": None,
            "selfTradePreventionMode": one.values.get("selfTradePreventionMode", "EXPIRE_MAKER"),
            "workingType": one.working,
            "priceMatch": "NONE",
            "closePosition": one.quantity is None,
            "priceProtect": False,
            "reduceOnly": one.values.get("reduceOnly", "false") == "true",
            "createTime": one.created_ms,
            "updateTime": one.updated_ms,
            "triggerTime": one.triggered_ms,
            "goodTillDate": int(one.values.get("goodTillDate", "0")),
        }
