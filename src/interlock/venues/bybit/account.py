"""Reads of a unified account at Bybit v5, category linear, as talks.

Orders, positions and executions are those of the linear contracts, in USDT and USDC: the scope of a key that may trade nothing else. What happens in
other categories of the account is told by the private stream and shows in the balances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final
from urllib.parse import quote

import msgspec

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, MarginTier, Status
from interlock.venues.bybit import history, rules, sign
from interlock.venues.bybit.account_facts import fee_rates, key_facts, margin_mode, margin_seen, wallet
from interlock.venues.bybit.budgets import IP
from interlock.venues.bybit.history import SETTLED_IN
from interlock.venues.bybit.replies import MaybeName, Number, amount, ask, count_of, day_of, decoded, listed, nonsense, read
from interlock.venues.bybit.seen import PositionRow, balance_seen, order_seen, position_row, position_seen
from interlock.venues.dollars import inverted
from interlock.venues.feed import NS_PER_MS
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
    Nonsense,
    OrderSeen,
    Page,
    PositionSeen,
    RateSeen,
    Refused,
    Stamp,
    Talk,
    TopSeen,
)
from interlock.venues.request import Key, Method, SignedCall, require_read
from interlock.venues.tiering import in_order
from interlock.venues.trouble import Trouble

_PUBLIC: Final = frozenset(
    (Method.GET, f"/v5/market/{what}") for what in ("time", "instruments-info", "tickers", "price-limit", "risk-limit")
)
_INSTRUMENTS: Final = "/v5/market/instruments-info"
_DOLLAR_SYMBOL: Final = "USDCUSDT"


class _Time(msgspec.Struct, frozen=True):
    """{"timeSecond":"1688639403","timeNano":"1688639403423213947"}"""

    timeNano: MaybeName


class _Rows(msgspec.Struct, frozen=True):
    rows: list[msgspec.Raw] = msgspec.field(name="list")


class _Ticker(msgspec.Struct, frozen=True):
    """{"symbol":"BTCUSDT","markPrice":"16596.00","bid1Price":"16596.00","ask1Price":"16597.50"}"""

    symbol: MaybeName
    markPrice: Number
    bid1Price: Number
    ask1Price: Number


class _SpotTicker(msgspec.Struct, frozen=True):
    """{"symbol":"USDCUSDT","bid1Price":"0.9998","bid1Size":"25000","ask1Price":"0.9999","usdIndexPrice":"0.99990102"}"""

    symbol: MaybeName
    bid1Price: Number
    ask1Price: Number


class _RiskLimit(msgspec.Struct, frozen=True):
    """{"id":1,"symbol":"BTCUSDT","riskLimitValue":"2000000","maintenanceMargin":"0.005","initialMargin":"0.01","isLowestRisk":1,
    "maxLeverage":"100.00","mmDeduction":""}"""

    symbol: MaybeName
    riskLimitValue: Number
    maintenanceMargin: Number
    initialMargin: Number


class _PriceLimit(msgspec.Struct, frozen=True):
    """{"symbol":"BTCUSDT","buyLmt":"105878.10","sellLmt":"103781.60","ts":"1750302284491"}"""

    symbol: MaybeName
    buyLmt: Number
    sellLmt: Number


_decode_time = msgspec.json.Decoder(_Time).decode
_decode_rows = msgspec.json.Decoder(_Rows).decode
_decode_ticker = msgspec.json.Decoder(_Ticker).decode
_decode_risk_limit = msgspec.json.Decoder(_RiskLimit).decode
_decode_spot = msgspec.json.Decoder(_SpotTicker).decode
_decode_price_limit = msgspec.json.Decoder(_PriceLimit).decode


class Account:
    """One account. Implements `AccountReads`; `mode` asks about every one of `instruments`."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.instruments = instruments

    def sign(self, key: Key, ask: Ask, stamp: Stamp) -> SignedCall:
        """Sign a request of a talk; a public one carries nothing of the key. Raises UsageError for anything that is no read."""
        if ask.access is Access.PUBLIC:
            require_read(_PUBLIC, ask.call)
            return SignedCall(ask.call.method, ask.call.path, ask.call.query, ())
        return sign.sign_read(key, ask.call, timestamp_ms=stamp.timestamp_ms, receive_window_ms=stamp.receive_window_ms)

    # The venue

    def clock(self) -> Talk[int]:
        """The venue's time, nanoseconds."""
        answer = read((yield ask("/v5/market/time", "", IP)))
        text = decoded(_decode_time, answer.result, "time").timeNano
        if not (text.isascii() and text.isdigit() and len(text) == 19):
            raise nonsense("time", f"expected nanoseconds since 1970, found {text[:40]!r}")
        return int(text)

    def listings(self) -> Talk[tuple[Instrument, ...]]:
        """Every USDT perpetual that takes orders. An entry that makes no sense is left out, unless it is one of `instruments`: then Nonsense."""
        found = yield from listed(_INSTRUMENTS, "category=linear&limit=1000", IP)
        on = day_of(found.venue_ms)
        return tuple(each for row in found.rows if (each := self._listing(row, on)) is not None)

    def rulebook(self) -> Talk[tuple[Listed, ...]]:
        """What `listings` tells, and how many orders may be open. The price limits are told by the stream and by `price_limit`."""
        found = yield from self.listings()
        return tuple(Listed(each, most_open=rules.MOST_OPEN) for each in found)

    def _listing(self, row: bytes, on: date) -> Instrument | None:
        symbol = decoded(rules.decode_symbol, row, "instrument").symbol
        try:
            return rules.instrument(row, on)
        except Nonsense:
            if symbol in self.instruments:
                raise
            return None

    def top(self, symbol: str) -> Talk[TopSeen]:
        """Best bid and ask, mark, status. Raises Nonsense for a crossed book."""
        instrument = self._known(symbol)
        heard = yield ask("/v5/market/tickers", _of(symbol), IP)
        ticker = decoded(_decode_ticker, _only(read(heard).result, "tickers"), "ticker")
        if ticker.symbol != symbol:
            raise nonsense("ticker", f"expected {symbol}, found {ticker.symbol}")
        bid = count_of(ticker.bid1Price or "0", instrument.quantum, f"{symbol} bid")
        best = count_of(ticker.ask1Price or "0", instrument.quantum, f"{symbol} ask")
        mark = amount(ticker.markPrice or "0", f"{symbol} mark")
        if (best and bid >= best) or mark < 0:
            raise nonsense("ticker", f"expected a bid below the ask and a mark, found {bid}, {best} and {mark}")
        heard = yield ask(_INSTRUMENTS, _of(symbol), IP)
        answer = read(heard)
        now = rules.instrument(_only(answer.result, "instruments"), day_of(answer.venue_ms))
        return TopSeen(symbol, bid, best, mark, now is not None and now.symbol == symbol and now.status is Status.TRADING)

    def dollars(self, currency: str) -> Talk[RateSeen]:
        """USDT in USD, by the spot market of USDC. Raises UsageError for any other currency."""
        if currency != "USDT":
            raise UsageError(f"rate: expected USDT, which a market of this venue tells, found {currency!r}")
        heard = yield ask("/v5/market/tickers", f"category=spot&symbol={_DOLLAR_SYMBOL}", IP)
        ticker = decoded(_decode_spot, _only(read(heard).result, "tickers"), "ticker")
        if ticker.symbol != _DOLLAR_SYMBOL:
            raise nonsense("ticker", f"expected {_DOLLAR_SYMBOL}, found {ticker.symbol}")
        bid, best = amount(ticker.bid1Price or "0", "bid"), amount(ticker.ask1Price or "0", "ask")
        return inverted(currency, bid, best, f"bybit {_DOLLAR_SYMBOL} spot inverted, USDC as USD")

    def price_limit(self, symbol: str) -> Talk[rules.PriceLimit]:
        """The highest bid and the lowest ask that the venue takes now."""
        instrument = self._known(symbol)
        heard = yield ask("/v5/market/price-limit", _of(symbol), IP)
        found = decoded(_decode_price_limit, read(heard).result, "price limit")
        if found.symbol != symbol:
            raise nonsense("price limit", f"expected {symbol}, found {found.symbol}")
        highest = count_of(found.buyLmt or "0", instrument.quantum, f"{symbol} buyLmt")
        return rules.PriceLimit(highest, count_of(found.sellLmt or "0", instrument.quantum, f"{symbol} sellLmt"))

    def statuses(self) -> Talk[Mapping[str, Status]]:
        """Which symbols take orders. The list has none but those that trade, so one of `instruments` that is not in it is halted."""
        found = yield from self.listings()
        return dict.fromkeys(self.instruments, Status.HALTED) | {each.symbol: each.status for each in found}

    # The account

    def key(self, access: str) -> Talk[KeyFacts]:
        """What the key that asks may do; `access` is not needed for that."""
        return key_facts(read((yield ask("/v5/user/query-api", "", "key"))).result)

    def mode(self) -> Talk[AccountMode]:
        """Position mode and leverage as each symbol's position shows them, flat ones included, and the account's margin mode."""
        if not self.instruments:
            raise UsageError("account mode: expected instruments to ask about, found none; Bybit tells the position mode by symbol")
        margin = margin_mode(read((yield ask("/v5/account/info", "", "account"))).result)
        hedged = False
        leverage = {}
        for symbol in self.instruments:
            found = yield from listed("/v5/position/list", f"{_of(symbol)}&limit=200", "position")
            rows = [self._position(row, symbol) for row in found.rows]
            if not rows:
                raise nonsense("positions", f"expected one of {symbol}, found none")
            hedged = hedged or any(row.positionIdx for row in rows)
            told = [amount(row.leverage, f"{symbol} leverage") for row in rows if row.leverage]
            if told:
                leverage[symbol] = max(told)
        return AccountMode(position="hedge" if hedged else "one_way", margin=margin, leverage=leverage)

    def _position(self, data: bytes, symbol: str) -> PositionRow:
        row = position_row(data)
        if row.symbol != symbol:
            raise nonsense("positions", f"expected {symbol}, found {row.symbol}")
        return row

    def fees(self, symbol: str) -> Talk[FeeRates]:
        """The account's own fee rates."""
        return fee_rates(read((yield ask("/v5/account/fee-rate", _of(symbol), "fee-rate"))).result, symbol)

    def tiers(self) -> Talk[Mapping[str, tuple[MarginTier, ...]]]:
        """Margin tiers of our symbols: everybody's."""
        found = {}
        for symbol in self.instruments:
            listed_rows = yield from listed("/v5/market/risk-limit", _of(symbol), IP)
            rows = [decoded(_decode_risk_limit, row, "risk limit") for row in listed_rows.rows]
            if {row.symbol for row in rows} != {symbol}:
                raise nonsense("risk limit", f"expected those of {symbol}, found none or others")
            found[symbol] = in_order(
                symbol,
                [
                    (amount(row.riskLimitValue, symbol), amount(row.initialMargin, symbol), amount(row.maintenanceMargin, symbol))
                    for row in rows
                ],
            )
        return found

    def margin(self) -> Talk[MarginSeen]:
        """Equity and margin in USDT."""
        return margin_seen(wallet(read((yield _WALLET)).result))

    def balances(self) -> Talk[tuple[BalanceSeen, ...]]:
        """Every coin that the account has or had."""
        return tuple(balance_seen(coin) for coin in wallet(read((yield _WALLET)).result).coin)

    def positions(self) -> Talk[tuple[PositionSeen, ...]]:
        """Every position that is not flat. Raises Nonsense in hedge mode."""
        found: list[PositionSeen] = []
        for coin in SETTLED_IN:
            page = yield from listed("/v5/position/list", f"category=linear&settleCoin={coin}&limit=200", "position")
            rows = [position_row(row) for row in page.rows]
            found.extend(position_seen(row, self.instruments) for row in rows if row.side in ("Buy", "Sell") or amount(row.size, "size"))
        if len({each.symbol for each in found}) < len(found):
            raise nonsense("positions", "expected one of each symbol, found two")
        return tuple(found)

    # Orders

    def order(self, symbol: str, client_id: str) -> Talk[OrderSeen | None]:
        """One order by its client id: among open and lately ended ones, then in the history of 7 days. Raises UsageError for what is no client id.

        The venue finds an id also where another symbol was named, so with "" any is taken as it comes.
        """
        if rules.CLIENT_ID.fullmatch(client_id) is None:
            raise UsageError(f"client id: expected 1 to 36 of [A-Za-z0-9_-], found {client_id!r}")
        for place in ("realtime", "history"):
            for at in (symbol,) if symbol else self.instruments:
                rows = yield from _rows_or_none(place, f"{_of(at)}&orderLinkId={client_id}")
                found = [order_seen(row, self.instruments) for row in rows]
                if not found:
                    continue
                if len(found) > 1 or found[0].client_id != client_id or symbol not in ("", found[0].symbol):
                    raise nonsense("order", f"expected {client_id} of {symbol} alone, found {len(found)} orders or another one")
                return found[0]
        return None

    def open_orders(self, symbols: Sequence[str] = ()) -> Talk[Page[OrderSeen]]:
        """All open linear orders, whoever placed them, conditional ones included."""
        rows: list[bytes] = []
        stamps: list[int] = []
        for coin in SETTLED_IN:
            page = yield from listed("/v5/order/realtime", f"category=linear&settleCoin={coin}&openOnly=0&limit=50", "realtime")
            rows.extend(page.rows)
            stamps.append(page.venue_ms)
        found, others = history.readable(rows, lambda row: order_seen(row, self.instruments))
        return Page(tuple(found), "", min(stamps) * NS_PER_MS, bool(others))

    def ended_orders(self, since_ns: int, symbols: Sequence[str] = ()) -> Talk[Page[OrderSeen]]:
        """Orders that ended since then. Of those placed before it the latest 500 are listed, none after a restart of theirs; `order` finds each."""
        now_ms = (yield from self.clock()) // NS_PER_MS
        return (yield from history.ended_orders(self.instruments, since_ns, now_ms))

    # Executions and the ledger

    def fills(self, cursor: str) -> Talk[Page[FillSeen]]:
        """Executions after a cursor; those of its last minute are told again. Funding is none of them: `ledger` tells it."""
        now_ms = (yield from self.clock()) // NS_PER_MS
        return (yield from history.fills(self.instruments, cursor, now_ms))

    def ledger(self, cursor: str) -> Talk[Page[LedgerSeen]]:
        """Ledger events after a cursor; those of its last five minutes are told again."""
        now_ms = (yield from self.clock()) // NS_PER_MS
        return (yield from history.ledger(self.instruments, cursor, now_ms))

    def cursor_at(self, venue_ns: int) -> str:
        """See `history`."""
        return history.cursor_at(venue_ns)

    def _known(self, symbol: str) -> Instrument:
        if symbol not in self.instruments:
            raise UsageError(
                f"{symbol}: expected one of {len(self.instruments)} instruments, found none of this name; read the listings first"
            )
        return self.instruments[symbol]


_WALLET: Final = ask("/v5/account/wallet-balance", "accountType=UNIFIED", "wallet")


def _of(symbol: str) -> str:
    return f"category=linear&symbol={quote(symbol, safe='')}"


def _rows_or_none(place: str, query: str) -> Talk[tuple[bytes, ...]]:
    """The rows of a list of orders, none where the venue plainly says that there is no such order."""
    try:
        return (yield from listed(f"/v5/order/{place}", query, place)).rows
    except Refused as refused:
        if refused.explained.trouble is not Trouble.ORDER_NOT_FOUND:
            raise
        return ()


def _only(result: bytes, what: str) -> bytes:
    rows = decoded(_decode_rows, result, what).rows
    if len(rows) != 1:
        raise nonsense(what, f"expected one entry, found {len(rows)}")
    return bytes(rows[0])
