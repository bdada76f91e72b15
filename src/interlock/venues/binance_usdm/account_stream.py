"""Binance's private stream, frame by frame: orders, executions, balances and positions of the whole account.

    {"e":"ORDER_TRADE_UPDATE","E":1568879465651,"T":1568879465650,"o":{"s":"BTCUSDT","c":"arb-0001","x":"TRADE","X":"PARTIALLY_FILLED",...}}

It begins with no snapshot and repeats nothing. Rows that make sense are told even where others of the same frame do not; those are a gap. Orders that
the venue itself places (liquidation, deleveraging, settlement) are told like any other; they and their executions say what they are.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from interlock.domain.orders import Side
from interlock.venues.binance_usdm import sign
from interlock.venues.binance_usdm.budgets import WEIGHT
from interlock.venues.binance_usdm.replies import Code, MaybeName, Name, Number, amount, count_of, decoded, nonsense, read, time_ns, whole
from interlock.venues.binance_usdm.seen import (
    LIQUIDATION,
    AlgoRow,
    Instruments,
    SideName,
    TradeRow,
    algo_seen,
    fill_seen,
    kind_of,
    position_seen,
    state_of,
    ticks_of,
)
from interlock.venues.binance_usdm.subscriptions import LIVES_S
from interlock.venues.binance_usdm.wire import SHUTDOWN
from interlock.venues.feed import MAX_FRAME_BYTES, Count
from interlock.venues.port import (
    Access,
    AccountEvent,
    Ask,
    BalanceSeen,
    FillSeen,
    Greeting,
    Nonsense,
    OrderSeen,
    Stamp,
    Talk,
    Told,
)
from interlock.venues.request import Call, Key, Method

EVENTS: Final = (
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_UPDATE",
    "ALGO_UPDATE",
    "ACCOUNT_CONFIG_UPDATE",
    "MARGIN_CALL",
    "listenKeyExpired",
)
"""What the stream is asked for. TRADE_LITE is not: it tells executions once more, without their fees."""

_PASSED_OVER: Final = frozenset(
    {"ACCOUNT_CONFIG_UPDATE", "MARGIN_CALL", "TRADE_LITE", "CONDITIONAL_ORDER_TRIGGER_REJECT", "STRATEGY_UPDATE", "GRID_UPDATE"}
)
"""They tell nothing that another event or a read does not tell."""

_EXECUTED: Final = frozenset({"TRADE", "CALCULATED"})
_KNOWN: Final = _EXECUTED | {"NEW", "CANCELED", "EXPIRED", "AMENDMENT", "REJECTED"}
_REASONS: Final = frozenset(
    {
        "DEPOSIT",
        "WITHDRAW",
        "ORDER",
        "FUNDING_FEE",
        "WITHDRAW_REJECT",
        "ADJUSTMENT",
        "INSURANCE_CLEAR",
        "ADMIN_DEPOSIT",
        "ADMIN_WITHDRAW",
        "MARGIN_TRANSFER",
        "MARGIN_TYPE_CHANGE",
        "ASSET_TRANSFER",
        "OPTIONS_PREMIUM_FEE",
        "OPTIONS_SETTLE_PROFIT",
        "AUTO_EXCHANGE",
        "COIN_SWAP_DEPOSIT",
        "COIN_SWAP_WITHDRAW",
    }
)
_COIN_MARGINED: Final = 2
_LISTEN_KEY = re.compile(r"[0-9A-Za-z_-]{1,256}", re.ASCII)


class _Head(msgspec.Struct, frozen=True, gc=False):
    """Any frame: an event, one in the wrapping of a combined stream, or an answer. `st` is 2 for what is margined in coins."""

    e: MaybeName = ""
    st: int = 0
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


class _Order(msgspec.Struct, frozen=True, gc=False):
    """`o` of ORDER_TRADE_UPDATE; N and n are absent where there is no commission.

    {"s":"BTCUSDT","c":"arb-0001","S":"BUY","o":"LIMIT","f":"GTX","q":"0.002","p":"7100.50","x":"TRADE","X":"PARTIALLY_FILLED","i":8886774,
     "l":"0.001","z":"0.001","L":"7100.50","N":"USDT","n":"0.01000000","T":1568879465650,"t":12345678,"m":true,"R":false,"er":"0"}
    """

    s: Name
    c: MaybeName
    S: SideName
    o: MaybeName
    f: MaybeName
    q: Number
    p: Number
    x: MaybeName
    X: MaybeName
    i: Count
    last: Number = msgspec.field(name="l")
    z: Number
    L: Number
    T: Count
    t: int
    m: bool
    R: bool
    N: MaybeName | None = None
    n: Number | None = None
    er: MaybeName | int = "0"


class _OrderUpdate(msgspec.Struct, frozen=True, gc=False):
    o: _Order


class _Balance(msgspec.Struct, frozen=True, gc=False):
    """{"a":"USDT","wb":"122624.12345678","cw":"100.12345678","bc":"50.12345678"}"""

    a: Name
    wb: Number


class _Position(msgspec.Struct, frozen=True, gc=False):
    """{"s":"BTCUSDT","pa":"0","ep":"0.00000","bep":"0","cr":"200","up":"0","mt":"isolated","iw":"0.00000000","ps":"BOTH"}"""

    s: Name
    pa: Number
    ep: Number
    ps: MaybeName


class _Account(msgspec.Struct, frozen=True, gc=False):
    m: MaybeName
    B: list[msgspec.Raw] = []
    P: list[msgspec.Raw] = []


class _AccountUpdate(msgspec.Struct, frozen=True, gc=False):
    a: _Account


class _Algo(msgspec.Struct, frozen=True, gc=False):
    """{"caid":"Q5xaq5EGKgXXa0fD7fs0Ip","aid":2148719,"at":"CONDITIONAL","o":"TAKE_PROFIT","s":"BNBUSDT","S":"SELL","q":"0.01","X":"NEW","p":"750",
    "R":false}"""

    caid: MaybeName
    aid: Count
    s: Name
    S: SideName
    q: Number
    X: MaybeName
    p: Number
    R: bool


class _AlgoUpdate(msgspec.Struct, frozen=True, gc=False):
    T: Count
    o: _Algo


class _ListenKey(msgspec.Struct, frozen=True):
    listenKey: str


class _Kept(msgspec.Struct, frozen=True):
    code: Code = 0


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_order = msgspec.json.Decoder(_OrderUpdate).decode
_decode_account = msgspec.json.Decoder(_AccountUpdate).decode
_decode_balance = msgspec.json.Decoder(_Balance).decode
_decode_position = msgspec.json.Decoder(_Position).decode
_decode_algo = msgspec.json.Decoder(_AlgoUpdate).decode
_decode_listen_key = msgspec.json.Decoder(_ListenKey).decode
_decode_kept = msgspec.json.Decoder(_Kept).decode


class AccountStream:
    """The private stream of one account. Implements `AccountFeed`. `instruments` gives ticks and lots their meaning.

    The venue pings every three minutes; our own pings are the protocol's. A connection lives a day at most, a listen key an hour unless it is kept.
    """

    ping_every_s = 170.0
    lives_s = LIVES_S

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments

    def opening(self) -> Talk[str]:
        """Ask for a listen key: a new one, or the one that there is, with its hour begun anew."""
        heard = yield Ask(Call(Method.POST, sign.LISTEN_KEY), Access.KEYED, WEIGHT)
        key = decoded(_decode_listen_key, read(heard), "listenKey").listenKey
        if _LISTEN_KEY.fullmatch(key) is None:
            raise nonsense("listenKey", f"expected letters and digits, found {len(key)} characters with others")
        return f"/private/ws?listenKey={key}&events={'/'.join(EVENTS)}"

    def keeping(self) -> Talk[None]:
        """Keep the listen key for another hour. Raises Refused where it is gone: connect anew."""
        heard = yield Ask(Call(Method.PUT, sign.LISTEN_KEY), Access.KEYED, WEIGHT)
        decoded(_decode_kept, read(heard), "listenKey")

    def headers(self, key: Key, stamp: Stamp) -> tuple[tuple[str, str], ...]:
        """None: the listen key in the path proves who asks."""
        return ()

    def greeting(self, key: Key, stamp: Stamp) -> Greeting:
        """Nothing is sent."""
        return Greeting(())

    def ping(self) -> bytes:
        """Empty: the protocol's ping."""
        return b""

    def take(self, frame: bytes) -> Told:
        """What a frame says. Never raises."""
        try:
            head = decoded(_decode_head, whole(frame, "frame", MAX_FRAME_BYTES), "frame")
            if head.stream and bytes(head.data):
                frame = bytes(head.data)
                head = decoded(_decode_head, frame, "frame")
            return self._event(head, frame)
        except Nonsense as error:
            return Told("malformed", gap=str(error))

    def _event(self, head: _Head, frame: bytes) -> Told:
        if head.st == _COIN_MARGINED and head.e:
            return Told(f"coin-margined {head.e}")
        if head.e == "ORDER_TRADE_UPDATE":
            return self._order(decoded(_decode_order, frame, "order").o)
        if head.e == "ACCOUNT_UPDATE":
            return self._account(decoded(_decode_account, frame, "account").a)
        if head.e == "ALGO_UPDATE":
            return self._algo(decoded(_decode_algo, frame, "conditional order"))
        if head.e == "listenKeyExpired":
            return Told(head.e, gap="the listen key expired: nothing is told on this connection any more", over=True)
        if head.e == SHUTDOWN:
            return Told(head.e, over=True)
        if head.e in _PASSED_OVER:
            return Told(head.e)
        return _answer(head)

    def _order(self, row: _Order) -> Told:
        what = f"order {row.i}"
        if row.x not in _KNOWN:
            raise nonsense(what, f"expected a known kind of event, found {row.x!r}")
        events: list[AccountEvent] = []
        gap = ""
        if row.x in _EXECUTED:
            try:
                events.append(self._fill(row))
            except Nonsense as error:
                gap = str(error)
        try:
            events.append(self._seen(row, what))
        except Nonsense as error:
            gap = gap or str(error)
        return Told(f"ORDER_TRADE_UPDATE {row.x}", tuple(events), gap)

    def _fill(self, row: _Order) -> FillSeen:
        liquidation = row.x == "CALCULATED"
        if row.t <= 0:
            raise nonsense(f"execution of order {row.i}", f"expected its id, found {row.t}")
        trade = TradeRow(row.s, row.t, row.i, row.S, row.L, row.last, row.n or "0", row.N or "", row.m, row.T)
        return fill_seen(trade, row.c, self.instruments.get(row.s), liquidation=liquidation)

    def _seen(self, row: _Order, what: str) -> OrderSeen:
        instrument = self.instruments.get(row.s)
        side = Side.BUY if row.S == "BUY" else Side.SELL
        kind = kind_of(row.c, liquidation=row.x == "CALCULATED" or row.o == LIQUIDATION)
        ticks = lots = filled = 0
        if instrument is not None:
            ticks = ticks_of(row.p, instrument, side, kind, f"{what} price")
            lots = count_of(row.q, instrument.lot, f"{what} quantity")
            filled = count_of(row.z, instrument.lot, f"{what} filled")
        state, end = state_of(row.X, tif=row.f, type_=row.o, lots=lots, filled=filled, reason=str(row.er), what=what)
        return OrderSeen(
            symbol=row.s,
            client_id=row.c,
            venue_order_id=str(row.i),
            side=side,
            ticks=ticks,
            lots=lots,
            filled_lots=filled,
            state=state,
            end=end,
            reduce_only=row.R,
            venue_ns=time_ns(row.T, f"{what} time"),
            kind=kind,
        )

    def _account(self, update: _Account) -> Told:
        events: list[AccountEvent] = []
        gap = ""
        for raw in update.B:
            try:
                balance = decoded(_decode_balance, bytes(raw), "balance")
                events.append(BalanceSeen(balance.a, amount(balance.wb, f"{balance.a} balance"), None))
            except Nonsense as error:
                gap = gap or str(error)
        for raw in update.P:
            try:
                row = decoded(_decode_position, bytes(raw), "position")
                position = position_seen(row.s, row.ps, row.pa, row.ep, self.instruments)
                if position is not None:
                    events.append(position)
            except Nonsense as error:
                gap = gap or str(error)
        reason = update.m if update.m in _REASONS else "for another reason"
        return Told(f"ACCOUNT_UPDATE {reason}", tuple(events), gap)

    def _algo(self, update: _AlgoUpdate) -> Told:
        o = update.o
        row = AlgoRow(o.s, o.aid, o.caid, o.S, o.X, o.q, o.p, o.R, update.T)
        return Told("ALGO_UPDATE", (algo_seen(row, self.instruments),))


def _answer(head: _Head) -> Told:
    if bytes(head.error):
        return Told("refused", gap="the stream refused something", over=True)
    if not head.e and bytes(head.result):
        return Told("answered")
    raise nonsense("frame", f"expected a known event, found {head.e!r}")
