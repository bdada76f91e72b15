"""Reads of the account: balances, positions, margin, fees, brackets, limits, and what a key may do."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from interlock.domain.instruments import Instrument
from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.binance_usdm.auth import Security
from interlock.simulate.served.binance_usdm.limits import limit_rows
from interlock.simulate.served.binance_usdm.modes import LEVERAGE_MAX, Modes
from interlock.simulate.served.binance_usdm.params import Params
from interlock.simulate.served.binance_usdm.routes import Route, Routes
from interlock.simulate.served.binance_usdm.taking import instrument_of
from interlock.simulate.served.binance_usdm.views import ALIAS, position_row
from interlock.simulate.served.binance_usdm.words import eight, plain
from interlock.simulate.served.venue import SimVenue

ZERO = Decimal(0)


class Holdings:
    """What the account holds and may do."""

    def __init__(self, venue: SimVenue, account: MarginAccount, modes: Modes) -> None:
        self._venue = venue
        self._account = account
        self._modes = modes

    def routes(self) -> Routes:
        """Its paths."""
        reads: dict[str, tuple[Callable[[Params], Any], int]] = {
            "/fapi/v3/balance": (self.balance, 5),
            "/fapi/v2/balance": (self.balance, 5),
            "/fapi/v3/positionRisk": (self.positions, 5),
            "/fapi/v2/positionRisk": (self.positions_v2, 5),
            "/fapi/v3/account": (self.account, 5),
            "/fapi/v2/account": (self.account_v2, 5),
            "/fapi/v1/accountConfig": (self.config, 5),
            "/fapi/v1/symbolConfig": (self.symbol_config, 5),
            "/fapi/v1/leverageBracket": (self.brackets, 1),
            "/fapi/v1/commissionRate": (self.commission, 20),
            "/fapi/v1/rateLimit/order": (lambda _: [row for row in limit_rows() if row["rateLimitType"] == "ORDERS"], 1),
            "/fapi/v1/adlQuantile": (self.adl, 5),
            "/fapi/v1/positionMargin/history": (lambda _: [], 1),
            "/fapi/v1/apiTradingStatus": (lambda _: {"indicators": {}, "updateTime": self._venue.now_ms()}, 1),
            "/sapi/v1/account/apiRestrictions": (self.restrictions, 1),
            "/sapi/v1/account/apiTradingStatus": (self.trading_status, 1),
            # What clients read of the wallet beside futures to list currencies: there is none.
            "/sapi/v1/capital/config/getall": (lambda _: [], 10),
            "/sapi/v1/margin/allPairs": (lambda _: [], 1),
            "/sapi/v1/margin/isolated/allPairs": (lambda _: [], 10),
        }
        return {("GET", path): Route(handler=handler, security=Security.SIGNED, weight=w) for path, (handler, w) in reads.items()}

    def balance(self, _params: Params) -> list[dict[str, Any]]:
        """Every asset."""
        rows = []
        for row in self._assets():
            rows.append(
                {
                    "accountAlias": ALIAS,
                    "asset": row["asset"],
                    "balance": row["walletBalance"],
                    "crossWalletBalance": row["crossWalletBalance"],
                    "crossUnPnl": row["crossUnPnl"],
                    "availableBalance": row["availableBalance"],
                    "maxWithdrawAmount": row["maxWithdrawAmount"],
                    "marginAvailable": True,
                    "updateTime": row["updateTime"],
                }
            )
        return rows

    def positions(self, params: Params) -> list[dict[str, Any]]:
        """The symbols with a position or an open order."""
        return [row for row in self._positions(params) if Decimal(row["positionAmt"]) or self._venue.open_orders(row["symbol"])]

    def positions_v2(self, params: Params) -> list[dict[str, Any]]:
        """Every symbol, with its settings."""
        rows = []
        for row in self._positions(params):
            symbol = row["symbol"]
            rows.append(
                {name: row[name] for name in _V2_NAMES}
                | {
                    "leverage": str(self._account.leverage[symbol]),
                    "maxNotionalValue": self._modes.max_notional,
                    "marginType": "isolated" if symbol in self._modes.isolated else "cross",
                    "isAutoAddMargin": "false",
                }
            )
        return rows

    def account(self, _params: Params) -> dict[str, Any]:
        """Totals, assets, and the symbols with a position or an open order."""
        rows = self.positions(Params({}))
        return self._totals() | {"assets": self._assets(), "positions": [{n: row[m] for n, m in _V3_NAMES.items()} for row in rows]}

    def account_v2(self, params: Params) -> dict[str, Any]:
        """The same with the account's settings, and every symbol."""
        positions = []
        for row in self._positions(Params({})):
            symbol = row["symbol"]
            positions.append(
                {n: row[m] for n, m in _V3_NAMES.items()}
                | {
                    "positionInitialMargin": row["positionInitialMargin"],
                    "openOrderInitialMargin": row["openOrderInitialMargin"],
                    "leverage": str(self._account.leverage[symbol]),
                    "isolated": symbol in self._modes.isolated,
                    "entryPrice": row["entryPrice"],
                    "breakEvenPrice": row["breakEvenPrice"],
                    "maxNotional": self._modes.max_notional,
                    "bidNotional": row["bidNotional"],
                    "askNotional": row["askNotional"],
                }
            )
        config = self.config(params)
        del config["dualSidePosition"]
        assets = [{**row, "marginAvailable": True} for row in self._assets()]
        return config | {"feeBurn": False} | self._totals() | {"assets": assets, "positions": positions}

    def config(self, _params: Params) -> dict[str, Any]:
        """The account's settings. That it can withdraw says nothing of the key."""
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": False,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def symbol_config(self, params: Params) -> list[dict[str, Any]]:
        """Margin type and leverage, of a symbol or of all."""
        return [self._modes.symbol_config(i.symbol) for i in self._instruments(params)]

    def brackets(self, params: Params) -> list[dict[str, Any]]:
        """The margin tiers, of a symbol or of all."""
        return [{"symbol": i.symbol, "notionalCoef": "1.00", "brackets": _brackets(i)} for i in self._instruments(params)]

    def commission(self, params: Params) -> dict[str, Any]:
        """The account's own fees in a symbol."""
        instrument = instrument_of(self._venue, params.text("symbol"))
        return {
            "symbol": instrument.symbol,
            "makerCommissionRate": plain(instrument.fees.maker),
            "takerCommissionRate": plain(instrument.fees.taker),
            "rpiCommissionRate": "0.00005",
        }

    def adl(self, params: Params) -> list[dict[str, Any]]:
        """Where the positions stand for deleveraging: always at the far end."""
        held = [i.symbol for i in self._instruments(params) if self._account.positions[i.symbol].lots]
        return [{"symbol": symbol, "adlQuantile": {"LONG": 0, "SHORT": 0, "BOTH": 1}} for symbol in held]

    def restrictions(self, params: Params) -> dict[str, Any]:
        """What the key that asks may do."""
        key = params.key
        assert key is not None
        return {
            "ipRestrict": bool(key.addresses),
            "createTime": key.created_ns // 1_000_000,
            "enableReading": True,
            "enableWithdrawals": key.withdraw,
            "enableInternalTransfer": key.transfer,
            "enableMargin": False,
            "enableFutures": key.trade,
            "permitsUniversalTransfer": key.transfer,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": False,
            "enablePortfolioMarginTrading": False,
        }

    def trading_status(self, _params: Params) -> dict[str, Any]:
        """The spot account's standing: nothing against it."""
        condition = {"GCR": 150, "IFER": 150, "UFR": 300}
        return {"data": {"isLocked": False, "plannedRecoverTime": 0, "triggerCondition": condition, "updateTime": 0}}

    def _instruments(self, params: Params) -> list[Instrument]:
        symbol = params.maybe("symbol")
        return [instrument_of(self._venue, symbol)] if symbol else [m.instrument for m in self._venue.markets.values()]

    def _positions(self, params: Params) -> list[dict[str, Any]]:
        return [
            position_row(self._account, i, self._venue.markets[i.symbol].mark, self._venue.open_orders(i.symbol))
            for i in self._instruments(params)
        ]

    def _sums(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """Margin of positions, of orders, to be maintained, and unrealised profit, all in the settle currency."""
        account = self._account
        return (
            sum((account.position_margin(s) for s in account.positions), ZERO),
            sum((account.order_margin(s) for s in account.positions), ZERO),
            sum((account.maintenance_margin(s) for s in account.positions), ZERO),
            sum((account.unrealised(s) for s in account.positions), ZERO),
        )

    def _totals(self) -> dict[str, Any]:
        account = self._account
        held, waiting, maintained, profit = self._sums()
        wallet, available = account.wallet(account.settle), account.available()
        return {
            "totalInitialMargin": eight(held + waiting),
            "totalMaintMargin": eight(maintained),
            "totalWalletBalance": eight(wallet),
            "totalUnrealizedProfit": eight(profit),
            "totalMarginBalance": eight(wallet + profit),
            "totalPositionInitialMargin": eight(held),
            "totalOpenOrderInitialMargin": eight(waiting),
            "totalCrossWalletBalance": eight(wallet),
            "totalCrossUnPnl": eight(profit),
            "availableBalance": eight(available),
            "maxWithdrawAmount": eight(min(available, max(wallet, ZERO))),
        }

    def _assets(self) -> list[dict[str, Any]]:
        account, rows = self._account, []
        for currency in account.balances():
            wallet = account.wallet(currency)
            settles = currency == account.settle
            held, waiting, maintained, profit = self._sums() if settles else (ZERO,) * 4
            available = account.available() if settles else wallet
            rows.append(
                {
                    "asset": currency,
                    "walletBalance": eight(wallet),
                    "unrealizedProfit": eight(profit),
                    "marginBalance": eight(wallet + profit),
                    "maintMargin": eight(maintained),
                    "initialMargin": eight(held + waiting),
                    "positionInitialMargin": eight(held),
                    "openOrderInitialMargin": eight(waiting),
                    "crossWalletBalance": eight(wallet),
                    "crossUnPnl": eight(profit),
                    "availableBalance": eight(available),
                    "maxWithdrawAmount": eight(min(available, max(wallet, ZERO))),
                    "updateTime": self._venue.now_ms(),
                }
            )
        return rows


_V2_NAMES = (
    "symbol",
    "positionSide",
    "positionAmt",
    "entryPrice",
    "breakEvenPrice",
    "markPrice",
    "unRealizedProfit",
    "liquidationPrice",
    "isolatedMargin",
    "notional",
    "isolatedWallet",
    "updateTime",
)
_V3_NAMES = {
    "symbol": "symbol",
    "positionSide": "positionSide",
    "positionAmt": "positionAmt",
    "unrealizedProfit": "unRealizedProfit",
    "isolatedMargin": "isolatedMargin",
    "notional": "notional",
    "isolatedWallet": "isolatedWallet",
    "initialMargin": "initialMargin",
    "maintMargin": "maintMargin",
    "updateTime": "updateTime",
}


def _brackets(instrument: Instrument) -> list[dict[str, Any]]:
    rows, floor, cum, before = [], ZERO, ZERO, ZERO
    for number, tier in enumerate(instrument.margin_tiers, start=1):
        cum += floor * (tier.maintenance - before)
        rows.append(
            {
                "bracket": number,
                "initialLeverage": min(LEVERAGE_MAX, int(1 / tier.initial)),
                "notionalCap": int(tier.max_notional),
                "notionalFloor": int(floor),
                # Numbers and not text: these four are the only amounts that the venue prints so.
                "maintMarginRatio": float(tier.maintenance),
                "cum": float(cum),
            }
        )
        floor, before = tier.max_notional, tier.maintenance
    return rows
