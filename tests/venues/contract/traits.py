"""What differs between the venues for whoever uses the vocabulary that they share: their parts, and what one does not have or not tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderState
from interlock.simulate.served import binance_usdm as binance_face
from interlock.simulate.served import bybit as bybit_face
from interlock.simulate.served import upbit as upbit_face
from interlock.simulate.served.face import Face, Parts
from interlock.simulate.served.rates import Rates
from interlock.venues.binance_usdm.account import Account as BinanceAccount
from interlock.venues.binance_usdm.account_stream import AccountStream as BinanceStream
from interlock.venues.binance_usdm.trade import Trade as BinanceTrade
from interlock.venues.bybit.account import Account as BybitAccount
from interlock.venues.bybit.account_stream import AccountStream as BybitStream
from interlock.venues.bybit.trade import Trade as BybitTrade
from interlock.venues.port import AccountFeed, AccountReads, OrderVerbs
from interlock.venues.upbit.account import Account as UpbitAccount
from interlock.venues.upbit.account_stream import AccountStream as UpbitStream
from interlock.venues.upbit.trade import Trade as UpbitTrade

Instruments = Mapping[str, Instrument]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """A venue's parts, and what its users must know of it.

    `post_only_state`, `self_match_state`: how an order stands that would have taken, or have met one of its account, and was ended for it.
    `post_only_refused`, `fok_refused`: it is refused instead. `tells_rights`: whether the venue tells what a key may do; `tells_makers`: its list
    of executions tells who made. `trades_tell_orders`: the stream tells the order with its execution. `resolution_ns`: of its times.
    `book_levels`: of a side, as far as our feed follows it. `open_page`, `fills_page`, `ledger_page`: rows of one page.
    """

    venue: str
    maker: tuple[Callable[[Parts], Face], Callable[[], Rates]]
    account: Callable[[Instruments], AccountReads]
    trade: Callable[[Instruments], OrderVerbs]
    feed: Callable[[Instruments], AccountFeed]
    symbols: tuple[str, ...]
    settle: str
    post_only_state: OrderState = OrderState.CANCELLED
    self_match_state: OrderState = OrderState.CANCELLED
    post_only_refused: bool = False
    fok_refused: bool = False
    amends: bool = True
    batches: bool = True
    beats: bool = False
    derivatives: bool = True
    buys_by_cost: bool = False
    tells_rights: bool = True
    trades_tell_orders: bool = True
    tells_key_ends: bool = True
    mixed_modes: bool = False
    tells_makers: bool = True
    resolution_ns: int = NS_PER_MS
    clock_late_ns: int = NS_PER_MS
    book_levels: int = 50
    open_page: int = 50
    fills_page: int = 100
    ledger_page: int = 50

    def margin_of_some(self, seen: str, wanted: str) -> str:
        """The margin mode of the symbols that were set: a venue with a mode for each symbol tells "mixed" where others have another one."""
        return wanted if self.mixed_modes and seen == "mixed" else seen


BYBIT = Traits(
    venue="bybit",
    maker=(bybit_face.make, bybit_face.rates),
    account=BybitAccount,
    trade=BybitTrade,
    feed=BybitStream,
    symbols=("BTCUSDT", "ETHUSDT", "XRPUSDT"),
    settle="USDT",
    post_only_state=OrderState.REJECTED,
)

BINANCE = Traits(
    venue="binance_usdm",
    maker=(binance_face.make, binance_face.rates),
    account=BinanceAccount,
    trade=BinanceTrade,
    feed=BinanceStream,
    symbols=("BTCUSDT", "ETHUSDT", "XRPUSDT"),
    settle="USDT",
    self_match_state=OrderState.EXPIRED,
    post_only_refused=True,
    fok_refused=True,
    beats=True,
    tells_key_ends=False,
    mixed_modes=True,
    ledger_page=1000,
    fills_page=1000,
)

UPBIT = Traits(
    venue="upbit",
    maker=(upbit_face.make, upbit_face.rates),
    account=UpbitAccount,
    trade=UpbitTrade,
    feed=UpbitStream,
    symbols=("KRW-BTC", "KRW-ETH", "KRW-XRP"),
    settle="KRW",
    amends=False,
    batches=False,
    derivatives=False,
    buys_by_cost=True,
    tells_rights=False,
    trades_tell_orders=False,
    tells_makers=False,
    resolution_ns=NS_PER_S,
    clock_late_ns=NS_PER_S,
    book_levels=15,
    open_page=100,
    ledger_page=100,
)

VENUES = {each.venue: each for each in (UPBIT, BINANCE, BYBIT)}


def at(*venues: str) -> pytest.MarkDecorator:
    """Lets a test run at these venues alone, because others do not have what it is about."""
    return pytest.mark.parametrize("opened", venues, indirect=True, scope="module")


DERIVATIVES = at("binance_usdm", "bybit")
