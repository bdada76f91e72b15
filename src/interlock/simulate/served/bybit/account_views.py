"""The wallet and the positions as Bybit shows them: a unified account with cross margin and one-way positions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from interlock.simulate.served.accounts import MarginAccount, Position
from interlock.simulate.served.bybit.desk import Desk
from interlock.simulate.served.bybit.envelope import ms, shown, trimmed

ZERO = Decimal(0)
RISK_LIMIT = "2000000"


def usd_price(desk: Desk, currency: str) -> Decimal:
    """What a coin is worth in USD: the mark of its perpetual; 1 of the settle currency, 0 of what is not listed."""
    if currency == desk.account.settle:
        return Decimal(1)
    market = desk.venue.markets.get(f"{currency}{desk.account.settle}")
    return market.mark if market is not None else ZERO


def wallet_view(desk: Desk, coins: tuple[str, ...] = ()) -> dict[str, Any]:
    """The unified account. Only the settle currency is collateral here; other coins count towards equity and nothing else."""
    account = desk.account
    equity, used, kept = account.equity(), account.used_margin(), _maintenance(account)
    other = sum((b.total * usd_price(desk, c) for c, b in account.balances().items() if c != account.settle), ZERO)
    wallet = account.wallet(account.settle)
    profit = sum((account.unrealised(s) for s in account.positions), ZERO)
    return {
        "accountType": "UNIFIED",
        "accountLTV": "0",
        "accountIMRate": trimmed(used / equity, 4) if equity > 0 else "0",
        "accountMMRate": trimmed(kept / equity, 4) if equity > 0 else "0",
        "accountIMRateByMp": trimmed(used / equity, 4) if equity > 0 else "0",
        "accountMMRateByMp": trimmed(kept / equity, 4) if equity > 0 else "0",
        "totalEquity": trimmed(equity + other),
        "totalWalletBalance": trimmed(wallet + other),
        "totalMarginBalance": trimmed(equity),
        "totalAvailableBalance": trimmed(account.available()),
        "totalPerpUPL": trimmed(profit),
        "totalInitialMargin": trimmed(used),
        "totalInitialMarginByMp": trimmed(used),
        "totalMaintenanceMargin": trimmed(kept),
        "totalMaintenanceMarginByMp": trimmed(kept),
        "coin": [_coin(desk, currency) for currency in account.balances() if not coins or currency in coins],
    }


def _coin(desk: Desk, currency: str) -> dict[str, Any]:
    account = desk.account
    settles = currency == account.settle
    symbols = list(account.positions) if settles else []
    wallet = account.wallet(currency)
    profit = sum((account.unrealised(s) for s in symbols), ZERO)
    return {
        "coin": currency,
        "equity": trimmed(wallet + profit),
        "usdValue": trimmed((wallet + profit) * usd_price(desk, currency)),
        "walletBalance": trimmed(wallet),
        "free": "",
        "locked": "0",
        "spotHedgingQty": "0",
        "borrowAmount": "0",
        "availableToBorrow": "",
        "availableToWithdraw": "",
        "accruedInterest": "0",
        "totalOrderIM": trimmed(sum((account.order_margin(s) for s in symbols), ZERO)),
        "totalPositionIM": trimmed(sum((account.position_margin(s) for s in symbols), ZERO)),
        "totalPositionMM": trimmed(sum((account.maintenance_margin(s) for s in symbols), ZERO)),
        "unrealisedPnl": trimmed(profit),
        "cumRealisedPnl": trimmed(sum((account.positions[s].realised for s in symbols), ZERO)),
        "bonus": "0",
        "collateralSwitch": settles,
        "marginCollateral": settles,
        "spotBorrow": "0",
    }


def position_view(desk: Desk, symbol: str, *, stream: bool) -> dict[str, Any]:
    """The one-way position of a symbol, flat or not. The stream says `entryPrice` where the read says `avgPrice`."""
    account, market = desk.account, desk.venue.markets[symbol]
    position, instrument = account.positions[symbol], market.instrument
    size = instrument.quantity(position.lots)
    liquidation = account.liquidation_price(symbol)
    created, updated = desk.venue.history.between_ns(symbol)
    found = {
        "positionIdx": 0,
        "tradeMode": 0,
        "riskId": 1,
        "riskLimitValue": RISK_LIMIT,
        "symbol": symbol,
        "side": _side(position),
        "size": shown(abs(size)),
        "entryPrice" if stream else "avgPrice": trimmed(position.entry_price(instrument)),
        "positionValue": trimmed(abs(position.entry_value)),
        "leverage": str(account.leverage[symbol]),
        "markPrice": shown(market.mark),
        "breakEvenPrice": "",
        "positionBalance": "0",
        "positionIM": trimmed(account.position_margin(symbol)),
        "positionMM": trimmed(account.maintenance_margin(symbol)),
        "positionIMByMp": trimmed(account.position_margin(symbol)),
        "positionMMByMp": trimmed(account.maintenance_margin(symbol)),
        "liqPrice": trimmed(liquidation, 4) if liquidation else "",
        "bustPrice": "",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "tpslMode": "Full",
        "unrealisedPnl": trimmed(account.unrealised(symbol)),
        "curRealisedPnl": trimmed(position.realised),
        "cumRealisedPnl": trimmed(position.realised),
        "sessionAvgPrice": "",
        "positionStatus": "Normal",
        "adlRankIndicator": 2 if position.lots else 0,
        "autoAddMargin": 0,
        "isReduceOnly": False,
        "leverageSysUpdatedTime": "",
        "mmrSysUpdatedTime": "",
        "createdTime": ms(created),
        "updatedTime": ms(updated),
        "seq": desk.books.seq,
    }
    if stream:
        found |= {"category": "linear", "openTime": created // 1_000_000}
    return found


def _side(position: Position) -> str:
    if not position.lots:
        return ""
    return "Buy" if position.lots > 0 else "Sell"


def _maintenance(account: MarginAccount) -> Decimal:
    return sum((account.maintenance_margin(s) for s in account.positions), ZERO)
