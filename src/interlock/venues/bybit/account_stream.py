"""Bybit's private stream (`/v5/private`), frame by frame: orders, executions, positions and the wallet of the whole account.

    {"id":"5923240c6880ab-c59f-420b-9adb-3639adc9dd90","topic":"order","creationTime":1672364262474,"data":[{...}]}

It begins with no snapshot and repeats nothing. Rows that make sense are told even where others of the same frame do not; those are a gap. What the
venue says of a refusal is not shown: it may quote the key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from interlock.venues.bybit import sign
from interlock.venues.bybit.account_facts import Wallet
from interlock.venues.bybit.replies import MaybeName, RetCode, decoded, nonsense
from interlock.venues.bybit.seen import Instruments, balance_seen, execution_seen, order_seen, position_row, position_seen
from interlock.venues.feed import MAX_FRAME_BYTES
from interlock.venues.port import AccountEvent, Greeting, Nonsense, Stamp, Talk, Told
from interlock.venues.request import Key

TOPICS: Final = ("order", "execution", "position", "wallet")
DEAD_MAN_TOPIC: Final = "dcp.future"
PING_EVERY_S: Final = 20.0
_PATH: Final = "/v5/private"


class _Head(msgspec.Struct, frozen=True, gc=False):
    """Data: {"topic":"order","data":[...]}. Answers: {"success":true,"ret_msg":"","op":"auth","conn_id":"cejreaspqfh3sjdnldmg-p"}; a failed one was
    also seen with `retCode`."""

    topic: MaybeName = ""
    op: MaybeName = ""
    success: bool | None = None
    retCode: RetCode = 0
    data: msgspec.Raw = msgspec.Raw(b"")


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_wallet = msgspec.json.Decoder(Wallet).decode


class AccountStream:
    """The private stream of one account. Implements `AccountFeed`.

    `instruments` gives ticks and lots their meaning. `dead_man_s`: subscribe to the venue's watch over connections of institutional
    accounts: then all derivative orders are cancelled when every connection that did so is silent for that window, in seconds. What
    counts is what we send, so it is pinged three times in a window however much the venue says.
    """

    lives_s = 0.0

    def __init__(self, instruments: Instruments, *, dead_man_s: int = 0) -> None:
        self.instruments = instruments
        self.ping_every_s = min(PING_EVERY_S, dead_man_s / 3) if dead_man_s else PING_EVERY_S
        self._dead_man = dead_man_s > 0
        self._topics: dict[str, Callable[[bytes], tuple[AccountEvent, ...]]] = {
            "order": lambda row: (order_seen(row, self.instruments),),
            "execution": lambda row: (execution_seen(row, self.instruments),),
            "position": lambda row: (position_seen(position_row(row), self.instruments),),
            "wallet": _wallet,
        }

    def opening(self) -> Talk[str]:
        """Asks nothing: the path is always the same."""
        return _PATH
        yield  # what makes this a talk

    def keeping(self) -> Talk[None]:
        """Asks nothing: pings keep the stream."""
        return
        yield

    def headers(self, key: Key, stamp: Stamp) -> tuple[tuple[str, str], ...]:
        """None: a frame proves who asks."""
        return ()

    def greeting(self, key: Key, stamp: Stamp) -> Greeting:
        """The proof, good until the receive window after the stamp has passed, and the subscriptions."""
        proof = sign.stream_auth(key, expires_ms=stamp.timestamp_ms + stamp.receive_window_ms)
        frames = [_frame("auth", "auth", proof), _frame("topics", "subscribe", list(TOPICS))]
        if self._dead_man:
            # Never in one request with the others: whole and categorised topics must not be mixed.
            frames.append(_frame("dead-man", "subscribe", [DEAD_MAN_TOPIC]))
        return Greeting(tuple(frames))

    def ping(self) -> bytes:
        """A ping as the venue wants it, every 20 s at the least."""
        return msgspec.json.encode({"req_id": "ping", "op": "ping"})

    def take(self, frame: bytes) -> Told:
        """What a frame says. Never raises."""
        if len(frame) > MAX_FRAME_BYTES:
            return Told("oversized", gap=f"expected at most {MAX_FRAME_BYTES} bytes, found {len(frame)}")
        try:
            frame.decode()  # the JSON decoder does not look at what it skips
            head = decoded(_decode_head, frame, "frame")
            return self._data(head) if head.topic else _answer(head)
        except (Nonsense, UnicodeDecodeError) as error:
            return Told("malformed", gap=str(error))

    def _data(self, head: _Head) -> Told:
        # execution.fast leaves out fees and client ids, so it is not subscribed to and not taken for the whole one.
        topic = head.topic if head.topic == "execution.fast" else head.topic.partition(".")[0]
        row_seen = self._topics.get(topic)
        if row_seen is None:
            return Told("unknown topic", gap=f"expected one of {', '.join(TOPICS)}, found {head.topic}")
        events: list[AccountEvent] = []
        gap = ""
        for row in decoded(_decode_rows, bytes(head.data), topic):
            try:
                events.extend(row_seen(bytes(row)))
            except Nonsense as error:
                gap = gap or str(error)
        return Told(topic, tuple(events), gap)


def _answer(head: _Head) -> Told:
    if head.op not in ("auth", "subscribe", "ping", "pong"):
        raise nonsense("frame", f"expected a topic or a known op, found {head.op!r}")
    if head.success is False or head.retCode:
        return Told("refused", gap=f"{head.op} was refused, code {head.retCode or 'none'}", over=True)
    if head.op in ("ping", "pong"):
        return Told("pong")
    if head.success is None:
        raise nonsense("frame", f"expected whether {head.op} succeeded, found nothing")
    return Told("greeted")


def _wallet(data: bytes) -> tuple[AccountEvent, ...]:
    account = decoded(_decode_wallet, data, "wallet")
    if account.accountType != "UNIFIED":
        raise nonsense("wallet", f"expected the unified account, found {account.accountType}")
    return tuple(balance_seen(coin) for coin in account.coin)


def _frame(request: str, op: str, args: list[str | int] | list[str]) -> bytes:
    return msgspec.json.encode({"req_id": request, "op": op, "args": args})
