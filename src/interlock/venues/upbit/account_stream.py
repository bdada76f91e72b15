"""The private stream of Upbit, in its DEFAULT format: `myOrder` tells orders and executions, `myAsset` balances.

Nothing is told on connecting and nothing is repeated. A request is not answered either: that nothing was refused before it is what the first answer
to a ping says, or the first event.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, Literal

import msgspec

from interlock.domain.orders import Side
from interlock.venues.feed import MAX_FRAME_BYTES, Count
from interlock.venues.port import AccountEvent, BalanceSeen, Greeting, Nonsense, OrderSeen, Stamp, Talk, Told
from interlock.venues.request import Key
from interlock.venues.upbit import sign
from interlock.venues.upbit.replies import Name, Text, decoded, ms_ns, nonsense, number, plus, refusal_name, times
from interlock.venues.upbit.seen import Amounts, Instruments, OrdType, SmpType, Tif, fee_at_rate, fill, measured, standing

PATH: Final = "/websocket/v1/private"
TYPES: Final = ("myOrder", "myAsset")

_SIDES: Final = {"BID": Side.BUY, "ASK": Side.SELL}
_ZERO = Decimal(0)


class MyOrder(msgspec.Struct, frozen=True, gc=False):
    """An event of an order. With state `trade`, `price` and `volume` are the trade's, else the order's.

    {"type":"myOrder","code":"KRW-BTC","uuid":"ac2dc2a3-fce9-40a2-a4f6-5987c25c438f","ask_bid":"BID","order_type":"limit","state":"trade",
     "trade_uuid":"68315169-fba4-4175-ade3-aff14a616657","price":0.001453,"volume":30925891.29839369,"executed_volume":30925891.29839369,
     "time_in_force":null,"trade_fee":22.467660028283017,"is_maker":true,"identifier":"test-1","smp_type":"cancel_maker",
     "prevented_volume":1.174291929,"trade_timestamp":1710751590421,"order_timestamp":1710751590000,"timestamp":1710751597500}
    """

    code: Name
    uuid: Name
    ask_bid: Literal["ASK", "BID"]
    order_type: OrdType
    state: Literal["wait", "watch", "trade", "done", "cancel", "prevented"]
    timestamp: Count
    price: Decimal | None = None
    volume: Decimal | None = None
    executed_volume: Decimal | None = None
    prevented_volume: Decimal | None = None
    time_in_force: Tif | None = None
    smp_type: SmpType | None = None
    identifier: Text | None = None
    trade_uuid: Text | None = None
    trade_fee: Decimal | None = None
    is_maker: bool | None = None
    trade_timestamp: Count | None = None


class _Asset(msgspec.Struct, frozen=True):
    currency: Name
    balance: Decimal
    locked: Decimal


class _MyAsset(msgspec.Struct, frozen=True):
    """{"type":"myAsset","assets":[{"currency":"KRW","balance":1386929.37231066771348207123,"locked":10329.670127489597585685}],
    "timestamp":1710146517267}"""

    assets: list[_Asset]


class _Subscribed(msgspec.Struct, frozen=True):
    type: Text


class _Head(msgspec.Struct, frozen=True):
    """{"status":"UP"}, {"error":{"name":"WRONG_FORMAT"}}, {"method":"LIST_SUBSCRIPTIONS","result":[{"type":"myOrder"}]}"""

    type: Text = ""
    status: Text = ""
    method: Text = ""
    result: list[_Subscribed] = []
    error: msgspec.Raw = msgspec.Raw(b"null")


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_order = msgspec.json.Decoder(MyOrder).decode
_decode_asset = msgspec.json.Decoder(_MyAsset).decode


class AccountStream:
    """The private stream of one account. Implements `AccountFeed`; `instruments` gives ticks and lots their meaning."""

    ping_every_s = 20.0
    lives_s = 0.0

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        self._types: dict[str, Callable[[bytes], tuple[AccountEvent, ...]]] = {"myOrder": self._order, "myAsset": _assets}

    def opening(self) -> Talk[str]:
        """Asks nothing: the path is always the same."""
        return PATH
        yield  # what makes this a talk

    def keeping(self) -> Talk[None]:
        """Asks nothing: pings keep the stream."""
        return
        yield

    def headers(self, key: Key, stamp: Stamp) -> tuple[tuple[str, str], ...]:
        """The token that proves who asks. There must be no Origin beside it: with one the venue allows a request in 10 s."""
        return (sign.stream_auth(key, nonce=stamp.nonce),)

    def greeting(self, key: Key, stamp: Stamp) -> Greeting:
        """The subscriptions, all in one frame: another one would replace them. The venue does not answer it; a ping does."""
        subscription = msgspec.json.encode([{"ticket": stamp.nonce}, *({"type": each} for each in TYPES), {"format": "DEFAULT"}])
        return Greeting((subscription,), pinged=True)

    def ping(self) -> bytes:
        """A ping as text, which is answered: then and from then on every 10 s. The venue closes after 120 s without traffic."""
        return b"PING"

    def take(self, frame: bytes) -> Told:
        """What a frame says. Never raises. The answer to a ping is "greeted": the venue reads in order and had refused what came before."""
        if len(frame) > MAX_FRAME_BYTES:
            return Told("oversized", gap=f"expected at most {MAX_FRAME_BYTES} bytes, found {len(frame)}")
        try:
            head = decoded(_decode_head, frame, "frame")
            if bytes(head.error) != b"null":
                return Told("refused", gap=f"the venue refused: {refusal_name(frame) or 'it does not say what'}", over=True)
            if head.type in self._types:
                return Told(head.type, self._types[head.type](frame))
            return _answer(head)
        except Nonsense as error:
            return Told("malformed", gap=str(error))

    def _order(self, frame: bytes) -> tuple[AccountEvent, ...]:
        message = decoded(_decode_order, frame, "myOrder")
        return (self._trade(message),) if message.state == "trade" else (self._standing(message),)

    def _standing(self, message: MyOrder) -> OrderSeen:
        what = f"order {message.uuid}"
        amounts = Amounts(
            message.order_type,
            message.time_in_force,
            message.smp_type,
            # A market buy has no volume; whether that is null or 0 is not documented.
            number(message.volume, f"{what} volume") if message.volume else None,
            number(message.executed_volume, f"{what} executed_volume"),
            number(message.prevented_volume, f"{what} prevented_volume") if message.prevented_volume else _ZERO,
        )
        state, end = standing(message.state, amounts, what)
        price = number(message.price, f"{what} price") if message.price is not None else None
        at, size, filled = measured(self.instruments.get(message.code), amounts, price, what)
        return OrderSeen(
            symbol=message.code,
            client_id=message.identifier or "",
            venue_order_id=message.uuid,
            side=_SIDES[message.ask_bid],
            ticks=at,
            lots=size,
            filled_lots=filled,
            state=state,
            end=end,
            reduce_only=False,
            venue_ns=ms_ns(message.timestamp, what),
        )

    def _trade(self, message: MyOrder) -> AccountEvent:
        what = f"trade {message.trade_uuid}"
        price, volume, fee = (number(each, what) for each in (message.price, message.volume, message.trade_fee))
        if not message.trade_uuid or message.is_maker is None or message.trade_timestamp is None or not price or not volume:
            raise nonsense(what, "expected an id, a price, a size, a side of the book and a time, found one missing")
        funds = times(price, volume)
        return fill(
            self.instruments,
            symbol=message.code,
            trade_id=message.trade_uuid,
            client_id=message.identifier or "",
            venue_order_id=message.uuid,
            side=_SIDES[message.ask_bid],
            price=price,
            volume=volume,
            fee=fee_at_rate(funds, fee, funds),
            maker=message.is_maker,
            venue_ns=ms_ns(message.trade_timestamp, what),
        )


def _answer(head: _Head) -> Told:
    if head.status == "UP":
        return Told("greeted")
    if head.method == "LIST_SUBSCRIPTIONS":
        missing = sorted(set(TYPES) - {each.type for each in head.result})
        return Told("not subscribed", gap=f"not subscribed to {', '.join(missing)}", over=True) if missing else Told("greeted")
    if head.type == "announcement":
        return Told("announcement")
    raise nonsense("frame", f"expected {', '.join(TYPES)} or an answer, found {head.type or head.method or head.status or 'neither'!r}")


def _assets(frame: bytes) -> tuple[AccountEvent, ...]:
    found = []
    for each in decoded(_decode_asset, frame, "myAsset").assets:
        free = number(each.balance, f"{each.currency} balance")
        found.append(BalanceSeen(each.currency, plus(free, number(each.locked, f"{each.currency} locked")), free))
    return tuple(found)
