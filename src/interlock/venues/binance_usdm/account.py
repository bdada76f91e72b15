"""The reads of one account at Binance USDⓈ-M, as talks. Paths under `/sapi/` are answered by the wallet's host, all others by that of futures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, MarginTier, Status
from interlock.venues.binance_usdm import history, market_reads, sign
from interlock.venues.binance_usdm.budgets import WALLET
from interlock.venues.binance_usdm.replies import MaybeName, Name, Number, amount, ask, decoded, nonsense, read, readable, rows, text
from interlock.venues.binance_usdm.rules import CLIENT_ID
from interlock.venues.binance_usdm.seen import (
    algo_row,
    algo_seen,
    balance_row,
    balance_seen,
    order_row,
    order_seen,
    position_row,
    position_seen,
)
from interlock.venues.feed import NS_PER_MS, Count
from interlock.venues.port import (
    Access,
    AccountMode,
    Ask,
    BalanceSeen,
    FeeRates,
    FillSeen,
    KeyFacts,
    LedgerSeen,
    Listed,
    MarginSeen,
    OrderSeen,
    Page,
    PositionSeen,
    RateSeen,
    Refused,
    Stamp,
    Talk,
    TopSeen,
)
from interlock.venues.request import Key, Method, SignedCall
from interlock.venues.tiering import in_order, share_of
from interlock.venues.trouble import Trouble

ALL_SYMBOLS_WEIGHT: Final = 40
WALLET_PREFIX: Final = "/sapi/"

_MARGIN_TYPES: Final = {"CROSSED": "cross", "ISOLATED": "isolated"}


class _KeyRow(msgspec.Struct, frozen=True):
    """{"ipRestrict":true,"createTime":1698645219000,"enableReading":true,"enableWithdrawals":false,"enableInternalTransfer":false,
    "enableFutures":true,"permitsUniversalTransfer":false,"enableSpotAndMarginTrading":false,"enableMargin":false,"enableVanillaOptions":false,
    "enablePortfolioMarginTrading":false,"enableFixApiTrade":false}; older pages have tradingAuthorityExpirationTime as well."""

    ipRestrict: bool | None = None
    enableReading: bool | None = None
    enableWithdrawals: bool | None = None
    enableInternalTransfer: bool | None = None
    permitsUniversalTransfer: bool | None = None
    enableFutures: bool | None = None
    enableSpotAndMarginTrading: bool | None = None
    enableMargin: bool | None = None
    enableVanillaOptions: bool | None = None
    enablePortfolioMarginTrading: bool | None = None
    enableFixApiTrade: bool | None = None
    tradingAuthorityExpirationTime: Count | None = None


class _Config(msgspec.Struct, frozen=True):
    """{"feeTier":0,"canTrade":true,"dualSidePosition":true,"updateTime":0,"multiAssetsMargin":false,"tradeGroupId":-1}"""

    dualSidePosition: bool
    multiAssetsMargin: bool


class _SymbolConfig(msgspec.Struct, frozen=True):
    """{"symbol":"BTCUSDT","marginType":"CROSSED","isAutoAddMargin":"false","leverage":21,"maxNotionalValue":"1000000"}"""

    symbol: Name
    marginType: MaybeName
    leverage: Count


class _Fees(msgspec.Struct, frozen=True):
    """{"symbol":"BTCUSDT","makerCommissionRate":"0.0002","takerCommissionRate":"0.0004","rpiCommissionRate":"0.00005"}"""

    symbol: Name
    makerCommissionRate: Number
    takerCommissionRate: Number


class _Bracket(msgspec.Struct, frozen=True):
    """{"bracket":1,"initialLeverage":75,"notionalCap":10000,"notionalFloor":0,"maintMarginRatio":0.0065,"cum":0.0}"""

    initialLeverage: Decimal
    notionalCap: Decimal
    maintMarginRatio: Decimal


class _Brackets(msgspec.Struct, frozen=True):
    """{"symbol":"ETHUSDT","notionalCoef":1.50,"brackets":[]}; the coefficient of an account is in its brackets already."""

    symbol: Name
    brackets: list[_Bracket]


class _Margin(msgspec.Struct, frozen=True):
    """{"totalMarginBalance":"103.12345678","availableBalance":"103.12345678","totalMaintMargin":"0.00000000"}"""

    totalMarginBalance: Number
    availableBalance: Number
    totalMaintMargin: Number


_decode_key = msgspec.json.Decoder(_KeyRow).decode
_decode_config = msgspec.json.Decoder(_Config).decode
_decode_symbol_configs = msgspec.json.Decoder(list[_SymbolConfig]).decode
_decode_fees = msgspec.json.Decoder(_Fees).decode
_decode_brackets = msgspec.json.Decoder(list[_Brackets]).decode
_decode_margin = msgspec.json.Decoder(_Margin).decode


class Account:
    """One account. Implements `AccountReads`. `wallet`: whether there is a wallet's host, which alone tells what a key may do; a testnet has none."""

    def __init__(self, instruments: Mapping[str, Instrument], *, wallet: bool = True) -> None:
        self.instruments = instruments
        self._wallet = wallet
        self._fills = history.Fills()

    def sign(self, key: Key, asked: Ask, stamp: Stamp) -> SignedCall:
        """Sign a read, or name the key for a listen key that is made or kept. Raises UsageError for anything else."""
        call = asked.call
        if asked.access is Access.KEYED and call.path == sign.LISTEN_KEY and call.method in (Method.POST, Method.PUT):
            return sign.with_key(key, call.method)
        return sign.sign_read(key, call, timestamp_ms=stamp.timestamp_ms, receive_window_ms=stamp.receive_window_ms)

    # What everybody is told

    def clock(self) -> Talk[int]:
        """The venue's time, nanoseconds."""
        now_ms = yield from market_reads.clock_ms()
        return now_ms * NS_PER_MS

    def rulebook(self) -> Talk[tuple[Listed, ...]]:
        """Every perpetual in USDT or USDC, with the rules that an instrument does not hold."""
        return (yield from market_reads.rulebook(self.instruments))

    def listings(self) -> Talk[tuple[Instrument, ...]]:
        """Every perpetual in USDT or USDC."""
        found = yield from self.rulebook()
        return tuple(each.instrument for each in found)

    def top(self, symbol: str) -> Talk[TopSeen]:
        """Best bid and ask and the mark price; whether it trades is as the instruments have it, because only `statuses` asks for that."""
        if symbol not in self.instruments:
            raise UsageError(f"{symbol}: expected one of {', '.join(self.instruments) or 'no symbols'}")
        return (yield from market_reads.top(self.instruments[symbol]))

    def statuses(self) -> Talk[Mapping[str, Status]]:
        """Which symbols take orders."""
        return (yield from market_reads.statuses(self.instruments))

    def dollars(self, currency: str) -> Talk[RateSeen]:
        """USDT in USD, by the perpetual of USDC."""
        return (yield from market_reads.dollars(currency))

    # What the account is

    def key(self, access: str) -> Talk[KeyFacts]:
        """What the key may do, and the account's alias. It may transfer where it may move funds inside the venue in either way.

        Raises Nonsense for an account that never had a balance: its alias is told with its balances only.
        """
        heard = yield ask("/fapi/v3/balance", weight=5)
        aliases = {balance_row(row).accountAlias for row in rows(read(heard), "balance")}
        if len(aliases) != 1 or "" in aliases:
            raise nonsense("balance", f"expected one alias of the account, found {len(aliases)}; fund the account first")
        facts = _KeyRow()
        if self._wallet:
            heard = yield ask("/sapi/v1/account/apiRestrictions", budget=WALLET)
            facts = decoded(_decode_key, read(heard), "apiRestrictions")
        return KeyFacts(
            account=aliases.pop(),
            trade=_both(facts.enableReading, facts.enableFutures),
            withdraw=facts.enableWithdrawals,
            transfer=_either(facts.enableInternalTransfer, facts.permitsUniversalTransfer),
            address_bound=facts.ipRestrict,
            expires_ms=facts.tradingAuthorityExpirationTime,
            reads_only=_reads_only(facts),
        )

    def mode(self) -> Talk[AccountMode]:
        """Position and margin mode, leverage of our symbols; of all symbols where we have none yet. Multi-assets mode is "portfolio", and "mixed" is
        what our symbols have in different ways."""
        heard = yield ask("/fapi/v1/accountConfig", weight=5)
        config = decoded(_decode_config, read(heard), "accountConfig")
        heard = yield ask("/fapi/v1/symbolConfig", weight=5)
        found = decoded(_decode_symbol_configs, read(heard), "symbolConfig")
        mine = [each for each in found if each.symbol in self.instruments or not self.instruments]
        margins = {_MARGIN_TYPES.get(each.marginType, "") for each in mine}
        if not margins or "" in margins:
            raise nonsense("symbolConfig", f"expected CROSSED or ISOLATED for our symbols, found {[each.marginType for each in mine[:3]]}")
        margin = margins.pop() if len(margins) == 1 else "mixed"
        return AccountMode(
            position="hedge" if config.dualSidePosition else "one_way",
            margin="portfolio" if config.multiAssetsMargin else margin,
            leverage={each.symbol: Decimal(each.leverage) for each in mine},
        )

    def fees(self, symbol: str) -> Talk[FeeRates]:
        """The account's own fee rates. A discount for fees in BNB is not in them."""
        heard = yield ask("/fapi/v1/commissionRate", f"symbol={text(symbol)}", weight=20)
        found = decoded(_decode_fees, read(heard), "commissionRate")
        maker, taker = amount(found.makerCommissionRate, "maker rate"), amount(found.takerCommissionRate, "taker rate")
        if found.symbol != symbol or not (abs(maker) < 1 and 0 <= taker < 1):
            raise nonsense("commissionRate", f"expected rates of {symbol}, found {found.symbol} {maker} {taker}")
        return FeeRates(maker, taker)

    def tiers(self) -> Talk[Mapping[str, tuple[MarginTier, ...]]]:
        """Margin tiers of our symbols, as they hold for this account."""
        heard = yield ask("/fapi/v1/leverageBracket")
        listed = {each.symbol: each.brackets for each in decoded(_decode_brackets, read(heard), "leverageBracket")}
        return {
            symbol: in_order(
                symbol,
                [(row.notionalCap, share_of(row.initialLeverage), row.maintMarginRatio) for row in listed.get(symbol, ())],
            )
            for symbol in self.instruments
        }

    def margin(self) -> Talk[MarginSeen]:
        """Equity and margin: of USDT, or of all currencies in USD in multi-assets mode."""
        heard = yield ask("/fapi/v3/account", weight=5)
        found = decoded(_decode_margin, read(heard), "account")
        return MarginSeen(
            amount(found.totalMarginBalance, "totalMarginBalance"),
            amount(found.availableBalance, "availableBalance"),
            amount(found.totalMaintMargin, "totalMaintMargin"),
        )

    def balances(self) -> Talk[tuple[BalanceSeen, ...]]:
        """Every currency that the account has or had."""
        heard = yield ask("/fapi/v3/balance", weight=5)
        return tuple(balance_seen(balance_row(row)) for row in rows(read(heard), "balance"))

    def positions(self) -> Talk[tuple[PositionSeen, ...]]:
        """Every position that is not flat. Raises Nonsense for one of hedge mode. One of another symbol than ours has 0 lots and an entry price."""
        heard = yield ask("/fapi/v3/positionRisk", weight=5)
        found = []
        for row in map(position_row, rows(read(heard), "positionRisk")):
            seen = position_seen(row.symbol, row.positionSide, row.positionAmt, row.entryPrice, self.instruments)
            if seen is not None and amount(row.positionAmt, "size"):
                found.append(seen)
        return tuple(found)

    # Its orders and what has happened

    def order(self, symbol: str, client_id: str) -> Talk[OrderSeen | None]:
        """One order, by its id, then among the open ones, then among the newest of the symbol. Where an id was used twice it is the newest."""
        if CLIENT_ID.fullmatch(client_id) is None:
            raise UsageError(f"client id: expected 1 to 36 of [.A-Z:/a-z0-9_-], found {client_id!r}")
        if not symbol:
            for each in self.instruments:
                if (seen := (yield from self.order(each, client_id))) is not None:
                    return seen
            return None
        for path in ("/fapi/v1/order", "/fapi/v1/openOrder"):
            heard = yield ask(path, f"symbol={text(symbol)}&origClientOrderId={text(client_id)}")
            try:
                body = read(heard)
            except Refused as refused:
                if refused.explained.trouble is not Trouble.ORDER_NOT_FOUND:
                    raise
                continue
            found = order_row(body)
            if (found.symbol, found.clientOrderId) != (symbol, client_id):
                raise nonsense("order", f"expected {client_id} of {symbol}, found {found.clientOrderId} of {found.symbol}")
            return order_seen(found, self.instruments)
        heard = yield ask("/fapi/v1/allOrders", f"symbol={text(symbol)}&limit={history.MOST_ROWS}", weight=5)
        listed = [order_row(row) for row in rows(read(heard), "allOrders")]
        named = [row for row in listed if (row.symbol, row.clientOrderId) == (symbol, client_id)]
        return order_seen(max(named, key=lambda row: row.orderId), self.instruments) if named else None

    def open_orders(self, symbols: Sequence[str] = ()) -> Talk[Page[OrderSeen]]:
        """All open orders, conditional ones included; the time is from before the lists were made. Of one symbol a list weighs 1, of all 40."""
        now_ms = yield from market_reads.clock_ms()
        found: list[OrderSeen] = []
        unreadable = False
        parts = (
            [(f"symbol={text(symbol)}", 1) for symbol in symbols] if 0 < len(symbols) < ALL_SYMBOLS_WEIGHT else [("", ALL_SYMBOLS_WEIGHT)]
        )
        for query, weight in parts:
            heard = yield ask("/fapi/v1/openOrders", query, weight=weight)
            orders, others = readable(rows(read(heard), "openOrders"), lambda row: order_seen(order_row(row), self.instruments))
            heard = yield ask("/fapi/v1/openAlgoOrders", query, weight=weight)
            waiting, strange = readable(rows(read(heard), "openAlgoOrders"), lambda row: algo_seen(algo_row(row), self.instruments))
            found += [*orders, *(order for order in waiting if not order.state.final)]
            unreadable = unreadable or bool(others or strange)
        return Page(tuple(found), "", now_ms * NS_PER_MS, unreadable)

    def ended_orders(self, since_ns: int, symbols: Sequence[str] = ()) -> Talk[Page[OrderSeen]]:
        """See `history`."""
        return (yield from history.ended_orders(self.instruments, since_ns, symbols))

    def fills(self, cursor: str) -> Talk[Page[FillSeen]]:
        """See `history`."""
        return (yield from self._fills.read(self.instruments, cursor))

    def ledger(self, cursor: str) -> Talk[Page[LedgerSeen]]:
        """See `history`."""
        return (yield from history.ledger(cursor))

    def cursor_at(self, venue_ns: int) -> str:
        """See `history`."""
        return history.cursor_at(venue_ns)


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _reads_only(facts: _KeyRow) -> bool | None:
    """Not known where one of the two kinds of orders that every key is told about is not; the others are told as far as the venue has them."""
    known = (facts.enableFutures, facts.enableSpotAndMarginTrading)
    others = (facts.enableMargin, facts.enableVanillaOptions, facts.enablePortfolioMarginTrading, facts.enableFixApiTrade)
    if any((*known, *others)):
        return False
    return None if None in known else True


def _either(one: bool | None, other: bool | None) -> bool | None:
    if one or other:
        return True
    return None if one is None or other is None else False
