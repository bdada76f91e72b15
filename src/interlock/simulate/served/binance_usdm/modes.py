"""Settings of the account: leverage, margin type, position mode, assets mode, payment of fees in BNB.

The account trades one way, in one asset and pays fees in it: a change to anything else is refused as not authorised. Margin type is remembered
and shown, but the margin of an isolated position is reckoned like that of a crossed one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.binance_usdm.auth import Security
from interlock.simulate.served.binance_usdm.params import Params
from interlock.simulate.served.binance_usdm.routes import Route, Routes
from interlock.simulate.served.binance_usdm.taking import instrument_of
from interlock.simulate.served.binance_usdm.words import Wrong
from interlock.simulate.served.venue import SimVenue

LEVERAGE_MAX: Final = 125


class Modes:
    """Reads and changes settings. `tell` takes an event for the private stream."""

    def __init__(self, venue: SimVenue, account: MarginAccount, tell: Callable[[dict[str, Any]], None]) -> None:
        self._venue = venue
        self._account = account
        self._tell = tell
        self.isolated: set[str] = set()
        self.max_notional = f"{venue.rules.position_max}"
        """What a position may be worth, as the venue tells it; at every leverage the same here."""

    def routes(self) -> Routes:
        """Its paths."""
        trade, signed = Security.TRADE, Security.SIGNED
        dual, multi, burn = "/fapi/v1/positionSide/dual", "/fapi/v1/multiAssetsMargin", "/fapi/v1/feeBurn"
        return {
            ("POST", "/fapi/v1/leverage"): Route(handler=self.leverage, security=trade, verb="leverage"),
            ("POST", "/fapi/v1/marginType"): Route(handler=self.margin_type, security=trade, verb="margin_mode"),
            ("GET", dual): Route(handler=lambda _: {"dualSidePosition": False}, security=signed, weight=30),
            ("POST", dual): Route(handler=_only("dualSidePosition", -4059), security=trade, verb="position_mode"),
            ("GET", multi): Route(handler=lambda _: {"multiAssetsMargin": False}, security=signed, weight=30),
            ("POST", multi): Route(handler=_only("multiAssetsMargin", -4171), security=trade, verb="assets_mode"),
            ("GET", burn): Route(handler=lambda _: {"feeBurn": False}, security=signed),
            ("POST", burn): Route(handler=_fee_burn, security=trade, verb="fee_mode"),
        }

    def leverage(self, params: Params) -> dict[str, Any]:
        """Set the leverage of a symbol, unless what is held needs more margin then than there is."""
        symbol, wanted = params.text("symbol"), params.whole("leverage")
        instrument_of(self._venue, symbol)
        if not 1 <= wanted <= LEVERAGE_MAX:
            raise Wrong(-4028, wanted)
        before = self._account.leverage[symbol]
        self._account.leverage[symbol] = wanted
        if wanted < before and self._account.used_margin() > self._account.equity():
            self._account.leverage[symbol] = before
            raise Wrong(-2028)
        if wanted != before:
            self._tell({"e": "ACCOUNT_CONFIG_UPDATE", "ac": {"s": symbol, "l": wanted}})
        return {"symbol": symbol, "leverage": wanted, "maxNotionalValue": self.max_notional}

    def margin_type(self, params: Params) -> dict[str, Any]:
        """Set a symbol's margin type, while nothing is held or waits in it."""
        symbol = params.text("symbol")
        wanted = params.choice("marginType", ("ISOLATED", "CROSSED"), -1130)
        instrument_of(self._venue, symbol)
        if (wanted == "ISOLATED") == (symbol in self.isolated):
            raise Wrong(-4046)
        if self._venue.open_orders(symbol):
            raise Wrong(-4047)
        if self._account.positions[symbol].lots:
            raise Wrong(-4048)
        if wanted == "ISOLATED":
            self.isolated.add(symbol)
        else:
            self.isolated.discard(symbol)
        return {"code": 200, "msg": "success"}

    def symbol_config(self, symbol: str) -> dict[str, Any]:
        """The settings of a symbol."""
        return {
            "symbol": symbol,
            "marginType": "ISOLATED" if symbol in self.isolated else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": self._account.leverage[symbol],
            "maxNotionalValue": self.max_notional,
        }


def _only(name: str, already: int) -> Callable[[Params], dict[str, Any]]:
    """A setting that can only be what it is."""

    def refuse(params: Params) -> dict[str, Any]:
        params.text(name)
        raise Wrong(-1002 if params.flag(name) else already)

    return refuse


def _fee_burn(params: Params) -> dict[str, Any]:
    params.text("feeBurn")
    if params.flag("feeBurn"):
        raise Wrong(-1002)
    return {"code": 200, "msg": "success"}
