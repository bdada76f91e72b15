"""Reads of the account: wallet, positions, fees, settings, what the key may do; and the settings that can be changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from interlock.simulate.served.bybit.account_views import position_view, wallet_view
from interlock.simulate.served.bybit.ask import Ask
from interlock.simulate.served.bybit.desk import Desk
from interlock.simulate.served.bybit.envelope import Done, ms, shown
from interlock.simulate.served.bybit.paging import page
from interlock.simulate.served.bybit.words import NO_PERMISSION, PARAMS, Failed
from interlock.simulate.served.keys import SimKey

MAX_LEVERAGE: Final = 100
USER_ID: Final = 1


def wallet(desk: Desk, ask: Ask) -> Done:
    """The unified account's balances."""
    ask.choice("accountType", ("UNIFIED",))
    coins = tuple(coin for coin in ask.text("coin").split(",") if coin)
    return Done({"list": [wallet_view(desk, coins)]})


def info(desk: Desk, ask: Ask) -> Done:
    """What kind of account it is."""
    return Done(
        {
            "marginMode": "REGULAR_MARGIN",
            "unifiedMarginStatus": 6,
            "dcpStatus": "ON" if desk.dead_man.enabled else "OFF",
            "timeWindow": desk.dead_man.windows_s.get("DERIVATIVES", 0),
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
            "updatedTime": ms(desk.began_ns),
        }
    )


def fee_rate(desk: Desk, ask: Ask) -> Done:
    """The fees of each listed symbol, or of one."""
    category, symbol = ask.category(), ask.text("symbol")
    markets = desk.venue.markets if category == "linear" else {}
    if symbol and symbol not in markets:
        raise Failed(PARAMS, "params error: symbol invalid")
    rows = [
        {"symbol": m.instrument.symbol, "takerFeeRate": shown(m.instrument.fees.taker), "makerFeeRate": shown(m.instrument.fees.maker)}
        for m in markets.values()
        if not symbol or m.instrument.symbol == symbol
    ]
    return Done({"category": category, "list": rows})


def smp_group(desk: Desk, ask: Ask) -> Done:
    """No group of accounts."""
    return Done({"smpGroup": 0})


def query_api(desk: Desk, ask: Ask) -> Done:
    """What the key that asks may do."""
    assert ask.key is not None
    key = ask.key
    created = datetime.fromtimestamp(key.created_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    expires = datetime.fromtimestamp(key.expires_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    left_days = (key.expires_ns - desk.venue.now_ns()) // 86_400_000_000_000 if key.expires_ns else -2
    return Done(
        {
            "id": "1",
            "note": "simulated",
            "apiKey": key.access,
            "readOnly": 0 if key.trade else 1,
            "secret": "",
            "permissions": _permissions(key),
            "ips": list(key.addresses) or ["*"],
            "type": 1,
            "deadlineDay": left_days,
            "expiredAt": expires,
            "createdAt": created,
            "unified": 0,
            "uta": 1,
            "userID": USER_ID,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": key.secret if key.secret.startswith("-----BEGIN PUBLIC KEY-----") else "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_1",
            "kycRegion": "",
        }
    )


def positions(desk: Desk, ask: Ask) -> Done:
    """The position of a symbol, flat or not; of a coin those that are not flat."""
    category, symbol = ask.category(), ask.text("symbol")
    if category != "linear":
        return Done({"list": [], "nextPageCursor": "", "category": category})
    account, markets = desk.account, desk.venue.markets
    if not (symbol or ask.text("settleCoin")):
        raise Failed(PARAMS, "params error: symbol or settleCoin is required")
    if symbol and symbol not in markets:
        raise Failed(PARAMS, "params error: symbol invalid")
    found = [
        s
        for s, market in markets.items()
        if (s == symbol if symbol else account.positions[s].lots and market.instrument.settle == ask.text("settleCoin"))
    ]
    shown_now, cursor = page(ask, found, lambda s: len(markets) - markets[s].number, default=20, most=200)
    rows = [position_view(desk, s, stream=False) for s in shown_now]
    return Done({"list": rows, "nextPageCursor": cursor, "category": category})


def set_leverage(desk: Desk, ask: Ask) -> Done:
    """Set a symbol's leverage, the same for both sides. Raises Failed if margin would not suffice."""
    symbol = _linear_symbol(desk, ask)
    buy, sell = ask.decimal("buyLeverage"), ask.decimal("sellLeverage")
    if buy is None or buy != sell or buy < 1 or buy != buy.to_integral_value():
        raise Failed(PARAMS, "params error: buyLeverage and sellLeverage invalid")
    if buy > MAX_LEVERAGE:
        raise Failed(110013, "cannot set leverage due to risk limit level")
    account, before = desk.account, desk.account.leverage[symbol]
    if int(buy) == before:
        raise Failed(110043, "leverage not modified")
    account.leverage[symbol] = int(buy)
    if account.used_margin() > account.equity():
        account.leverage[symbol] = before
        raise Failed(110044, "available margin is insufficient")
    return Done({})


def switch_mode(desk: Desk, ask: Ask) -> Done:
    """Position mode: one-way is all there is here, so that setting it changes nothing."""
    if ask.category() != "linear":
        raise Failed(PARAMS, "Illegal category")
    symbol, coin = ask.text("symbol"), ask.text("coin")
    if not (symbol or coin):
        raise Failed(PARAMS, "params error: symbol or coin is required")
    if symbol and symbol not in desk.venue.markets:
        raise Failed(PARAMS, "params error: symbol invalid")
    if ask.choice("mode", ("0", "3")) == "0":
        raise Failed(110025, "Position mode is not modified")
    meant = [symbol] if symbol else [s for s, m in desk.venue.markets.items() if m.instrument.settle == coin]
    if any(desk.account.positions[s].lots for s in meant):
        raise Failed(110024, "You have an existing position, so the position mode cannot be switched")
    if any(desk.venue.open_orders(s) for s in meant):
        raise Failed(110028, "You have existing open orders, so the position mode cannot be switched")
    raise Failed(110029, "Hedge mode is not supported for this symbol")


def set_margin_mode(desk: Desk, ask: Ask) -> Done:
    """Margin mode of the account: cross margin is all there is here."""
    if ask.choice("setMarginMode", ("ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN")) == "REGULAR_MARGIN":
        return Done({"reasons": []})
    raise Failed(110073, "Set margin mode failed")


def dead_man(desk: Desk, ask: Ask) -> Done:
    """Set the window of disconnection protection, seconds."""
    if not desk.dead_man.enabled:
        raise Failed(NO_PERMISSION, "Permission denied: disconnection protection is not enabled for this account")
    product = ask.choice("product", ("DERIVATIVES", "SPOT", "OPTIONS"), "OPTIONS")
    window = ask.whole("timeWindow", 0, 3, 300)
    if not window:
        raise Failed(PARAMS, "params error: timeWindow is required")
    desk.dead_man.windows_s[product] = window
    return Done({})


def dead_man_info(desk: Desk, ask: Ask) -> Done:
    """Which products have disconnection protection; none where it is not enabled."""
    products = desk.dead_man.windows_s if desk.dead_man.enabled else {}
    rows = [{"product": product, "dcpStatus": "ON", "timeWindow": str(window)} for product, window in products.items()]
    return Done({"dcpInfos": rows})


def _permissions(key: SimKey) -> dict[str, Any]:
    moves = ["AccountTransfer", "SubMemberTransfer"] if key.transfer else []
    return {
        "ContractTrade": ["Order", "Position"],
        "Spot": ["SpotTrade"],
        "Wallet": [*moves, *(["Withdraw"] if key.withdraw else [])],
        "Options": [],
        "Derivatives": ["DerivativesTrade"],
        "CopyTrading": [],
        "BlockTrade": [],
        "Exchange": [],
        "NFT": [],
        "Affiliate": [],
        "Earn": [],
    }


def _linear_symbol(desk: Desk, ask: Ask) -> str:
    symbol = ask.need("symbol")
    if ask.category() != "linear" or symbol not in desk.venue.markets:
        raise Failed(PARAMS, "params error: symbol invalid")
    return symbol
