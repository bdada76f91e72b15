"""What a public feed says in the engine's own terms, whichever venue it comes from: events in ticks and lots, or a refusal with its reason.

A feed takes the bytes of one frame and answers with `Taken` or `Reject`, and with nothing else: no frame raises. It neither reads nor
waits, so the same code serves a recording and a connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.market.numbers import RATE_UNIT
from interlock.venues.recorded import LATEST_NS

MAX_FRAME_BYTES = 1 << 20
"""A longer frame is refused unread. The largest book that a venue here sends, 1000 levels a side, is below 100 KiB."""

MAX_LEVELS = 10_000
"""More levels on one side of a frame or of a book are refused: no venue here shows so many."""

EXCHANGE_TOLERANCE_NS = 1_000_000_000
"""The venue's own time of a stream may go back by this much (it is then set to the one before)."""

NS_PER_MS = 1_000_000

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""An id or a time on the wire."""

Level = tuple[int, int]
"""(ticks, lots)."""

_RATES_PER_ONE = round(1 / RATE_UNIT)
_REMEMBERED = 1024
_SHOWN = 200


class Reason(StrEnum):
    """Why a frame was refused."""

    MALFORMED = "malformed"
    """It does not decode, or says what the venue cannot mean (a price of 0, a level twice, a size between two lots)."""
    OVERSIZED = "oversized"
    UNKNOWN_SYMBOL = "unknown symbol"
    NO_SNAPSHOT = "no snapshot"
    """A change of something whose beginning is not known, or was lost."""
    GAP = "gap"
    """Frames are missing in front of it."""
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out of order"
    """It is older than one that was taken before."""
    CROSSED = "crossed"
    """With it the best bid is not below the best ask."""


class Reject(msgspec.Struct, frozen=True):
    """A frame that was not taken: no event came of it. `symbol` is empty where the frame does not tell, and every book is in doubt."""

    reason: Reason
    detail: str
    symbol: str = ""


class BookChange(msgspec.Struct, frozen=True, gc=False):
    """Levels of a book: all of it where `whole`, else those that changed; 0 lots delete a level. exchange_ns: the venue's time of it."""

    symbol: str
    exchange_ns: int
    whole: bool
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A trade; `side` is the aggressor's, +1 bought, -1 sold. `in_book` is False for one beside the book (block, RPI)."""

    symbol: str
    exchange_ns: int
    side: int
    ticks: int
    lots: int
    in_book: bool = True


class Mark(msgspec.Struct, frozen=True, gc=False):
    """The mark price, in the nearest tick: it has more decimals than a price."""

    symbol: str
    exchange_ns: int
    ticks: int


class FundingNext(msgspec.Struct, frozen=True, gc=False):
    """The funding rate predicted for the next settlement, in units of 1e-12."""

    symbol: str
    exchange_ns: int
    rate: int


class PriceLimits(msgspec.Struct, frozen=True, gc=False):
    """What the venue takes now: no bid above `highest_bid_ticks`, no ask below `lowest_ask_ticks`; 0 where it sets none."""

    symbol: str
    exchange_ns: int
    highest_bid_ticks: int
    lowest_ask_ticks: int


Event = BookChange | Trade | Mark | FundingNext | PriceLimits


class Taken(msgspec.Struct, frozen=True, gc=False):
    """A frame that was taken.

    `what` names its kind for a count, such as `orderbook` or `ignored ticker`. `venue_ns` is the venue's own time of the message as it was
    sent, 0 where it has none. The update ids are the venue's, 0 where it numbers nothing.
    """

    what: str
    events: tuple[Event, ...] = ()
    venue_ns: int = 0
    first_update: int = 0
    last_update: int = 0
    previous_update: int = 0


APART_NS: Final = 5 * NS_PER_S
"""A message whose own time is further than this from ours is of a stream that lags, or one of the two clocks is wrong."""


def is_apart(venue_ns: int, now_ns: int) -> bool:
    """Whether what the venue says of the time of a message is too far from ours, the wall clock's. One without a time is not."""
    return venue_ns != 0 and abs(now_ns - venue_ns) > APART_NS


class Refusal(Exception):
    """Within a feed: the frame in hand cannot be taken."""

    def __init__(self, reason: Reason, detail: str, symbol: str = "") -> None:
        self.reject = Reject(reason, detail[:_SHOWN], symbol)
        super().__init__(detail)


def answer(read: Callable[[bytes], Taken], frame: bytes) -> Taken | Reject:
    """What `read` makes of a frame; whatever it raises over the content of a frame becomes a Reject."""
    if len(frame) > MAX_FRAME_BYTES:
        return Reject(Reason.OVERSIZED, f"expected at most {MAX_FRAME_BYTES} bytes, found {len(frame)}")
    try:
        frame.decode()  # the JSON decoder does not look at what it skips
        return read(frame)
    except Refusal as refusal:
        return refusal.reject
    except (ValueError, ArithmeticError, RecursionError, msgspec.DecodeError) as error:
        return Reject(Reason.MALFORMED, (str(error) or type(error).__name__)[:_SHOWN])


def possible_ns(time_ms: int, symbol: str) -> int:
    """A time of the wire in ns. Raises Refusal for one that no venue means."""
    time_ns = time_ms * NS_PER_MS
    if not 0 < time_ns < LATEST_NS:
        raise Refusal(Reason.MALFORMED, f"expected a time in ms between 1970 and 2200, found {time_ms}", symbol)
    return time_ns


class StreamTime:
    """The venue's time of one stream, which does not go back."""

    def __init__(self) -> None:
        self.latest_ns = 0

    def checked(self, time_ms: int, symbol: str) -> int:
        """The time in ns, set to the latest where it is a little older. Raises Refusal. The latest moves only with `keep`."""
        time_ns = possible_ns(time_ms, symbol)
        if time_ns < self.latest_ns - EXCHANGE_TOLERANCE_NS:
            raise Refusal(Reason.OUT_OF_ORDER, f"expected a time of at least {self.latest_ns // NS_PER_MS} ms, found {time_ms}", symbol)
        return max(time_ns, self.latest_ns)

    def keep(self, time_ns: int) -> None:
        """The frame with this time was taken."""
        self.latest_ns = time_ns

    def begin(self) -> None:
        """A new connection: what was the latest on the old one, perhaps a damaged time, holds nothing back."""
        self.latest_ns = 0


class Recent:
    """The last ids of a stream, at most 1,024: enough to see one that comes again.

    It is full within minutes, so that a process soon stops growing by it.
    """

    def __init__(self) -> None:
        self._order: deque[str | int] = deque()
        self._known: set[str | int] = set()

    def __contains__(self, item: str | int) -> bool:
        return item in self._known

    def add(self, item: str | int) -> None:
        """Remember one more, forget the oldest."""
        if len(self._order) >= _REMEMBERED:
            self._known.discard(self._order.popleft())
        self._order.append(item)
        self._known.add(item)


def nearest_ticks(price: Decimal, quantum: Decimal, what: str) -> int:
    """The tick next to a price that may lie between two. Raises ValueError for one that is no price."""
    if not (price.is_finite() and price > 0 and abs(price.adjusted()) < 20):
        raise ValueError(f"{what}: expected a positive price, found {price}")
    return int((price / quantum).to_integral_value())


def bound_ticks(price: str, quantum: Decimal, rounding: str, what: str) -> int:
    """A price limit in ticks, rounded as `decimal` names it; 0 for an empty one. Raises ValueError for one that is no price."""
    found = Decimal(price or "0")
    if not (found.is_finite() and found >= 0 and abs(found.adjusted()) < 20):
        raise ValueError(f"{what}: expected a price or nothing, found {price}")
    return int((found / quantum).to_integral_value(rounding))


def rate_units(rate: Decimal, what: str) -> int:
    """A funding rate in units of 1e-12. Raises ValueError for one outside -1 to 1."""
    if not (rate.is_finite() and abs(rate) <= 1):
        raise ValueError(f"{what}: expected a rate between -1 and 1, found {rate}")
    return int(rate * _RATES_PER_ONE)
