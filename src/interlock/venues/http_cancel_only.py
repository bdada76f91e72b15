"""A blocking client of a real venue that can only list, look up, cancel and beat: what the sentinel needs, and no other verb.

It is put together from the venue's reads and of its orders only what lowers risk. Nothing here places, amends or changes a mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from interlock.domain.clock import NS_PER_MS
from interlock.domain.errors import UsageError
from interlock.domain.orders import OrderState
from interlock.venues.cancel_only import OpenOrder, VenueTrouble
from interlock.venues.endpoint import Endpoint
from interlock.venues.http_blocking import BlockingBroken, BlockingHttp
from interlock.venues.port import Accepted, Access, AccountReads, Ask, Heard, Nonsense, OrderVerbs, Refused, Stamp, Talk
from interlock.venues.request import Key, SignedCall
from interlock.venues.trouble import Doing, Explained, Trouble

T = TypeVar("T")

RESTS_MS = 1_000
"""How long a venue that limits the rate without naming a time is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """How a venue's verbs are used to empty an account.

    `batch`: orders that one cancel names. `whole`: whether one request covers all symbols; `at_once`: how many orders it takes at most, 0 for
    all of them.
    """

    batch: int
    whole: bool
    at_once: int = 0


UPBIT = Lowering(batch=20, whole=True, at_once=300)
BINANCE_USDM = Lowering(batch=10, whole=False)
BYBIT = Lowering(batch=20, whole=True, at_once=500)
LOWERING: Mapping[str, Lowering] = {"upbit": UPBIT, "binance_usdm": BINANCE_USDM, "bybit": BYBIT}
"""By venue; the figures are the venues' own."""


_OVER = frozenset((Trouble.ORDER_NOT_FOUND,))


def _same(said: Sequence[Accepted | Explained]) -> bool:
    """Whether the venue said the same of all, with a code: it is about the request and not about an order."""
    codes = {one.code if isinstance(one, Explained) else "" for one in said}
    return len(codes) == 1 and "" not in codes


class HttpCancelOnly:
    """One account at one venue (`CancelOnly`). `symbols` are those in which an order is looked up by client id alone."""

    def __init__(
        self,
        endpoint: Endpoint,
        key: Key,
        reads: AccountReads,
        verbs: OrderVerbs,
        lowering: Lowering,
        *,
        symbols: Sequence[str],
        stamp: Callable[[], Stamp],
        timeout_ns: int,
    ) -> None:
        self._http = BlockingHttp(endpoint)
        self._key = key
        self._reads = reads
        self._verbs = verbs
        self._lowering = lowering
        self._symbols = tuple(symbols)
        self._stamp = stamp
        self._timeout_ns = timeout_ns

    def open_pages(self) -> Iterator[tuple[OpenOrder, ...]]:
        """All open orders, read to the end of the list before the first is told."""
        page = self._hold(self._reads.open_orders())
        if page.unreadable:
            raise VenueTrouble("the list of open orders holds one that makes no sense")
        yield tuple(OpenOrder(order.venue_order_id, order.client_id, order.symbol) for order in page.found)

    def cancel(self, orders: Sequence[OpenOrder]) -> None:
        """Ask to cancel these, those with a client id together, the others one by one."""
        named = [order for order in orders if order.client_id]
        for symbol, mine in groupby(sorted(named, key=lambda order: order.symbol), key=lambda order: order.symbol):
            ids = [order.client_id for order in mine]
            for start in range(0, len(ids), self._lowering.batch):
                part = tuple(ids[start : start + self._lowering.batch])
                heard = self._send(self._verbs.cancel_batch(symbol, part), self._verbs.sign)
                # What is said of one order ends none, and the next list tells; a refusal of all of them is another thing.
                said = self._verbs.batch_answered(heard, Doing.CANCEL, len(part))
                if all(isinstance(one, Explained) and one.trouble not in _OVER for one in said) and (heard.status >= 300 or _same(said)):
                    self._require(said[0])
        for order in orders:
            if not order.client_id:
                self._lower(self._verbs.cancel(order.symbol, venue_order_id=order.venue_order_id))

    def cancel_everything(self) -> None:
        """Ask to cancel whatever is open, as often as the venue takes a part of it at a time."""
        if not self._lowering.whole:
            open_orders = [order for page in self.open_pages() for order in page]
            for symbol in sorted({order.symbol for order in open_orders}):
                self._lower(self._verbs.cancel_all(symbol))
            return
        self._lower(self._verbs.cancel_all(""))

    def state_of(self, client_id: str) -> OrderState | None:
        """Look in every symbol; None if it is in none, which proves nothing."""
        for symbol in self._symbols:
            found = self._hold(self._reads.order(symbol, client_id))
            if found is not None:
                return found.state
        return None

    def beat(self, symbol: str, countdown_ns: int) -> None:
        """Arm the venue's dead-man for a symbol; trouble where it has none."""
        try:
            asked = self._verbs.beat(symbol, countdown_ns // NS_PER_MS)
        except UsageError as error:
            raise VenueTrouble(str(error)) from error
        self._lower(asked)

    def close(self) -> None:
        """Give the connection up."""
        self._http.close()

    def _hold(self, talk: Talk[T]) -> T:
        try:
            asked = next(talk)
            while True:
                asked = talk.send(self._send(asked, self._reads.sign))
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        except Refused as refused:
            raise self._trouble(refused.explained, refused.retry_after_ms) from refused
        except Nonsense as error:
            self._http.close()
            raise VenueTrouble(str(error)) from error
        finally:
            talk.close()

    def _lower(self, asked: Ask) -> None:
        """Ask for something that lowers risk."""
        self._require(self._verbs.answered(self._send(asked, self._verbs.sign), Doing.CANCEL))

    def _require(self, said: Accepted | Explained) -> None:
        """Raise VenueTrouble for a refusal; that an order is over already is none."""
        if isinstance(said, Explained) and said.trouble not in _OVER:
            raise self._trouble(said, 0)

    def _send(self, asked: Ask, sign: Callable[[Key, Ask, Stamp], SignedCall]) -> Heard:
        call = asked.call
        if asked.access is Access.PUBLIC:
            signed = SignedCall(call.method, call.path, call.query, (), call.body)
        else:
            signed = sign(self._key, asked, self._stamp())
        try:
            return self._http.ask(signed, self._timeout_ns)
        except BlockingBroken as error:
            raise VenueTrouble(f"no answer: {error}") from error

    def _trouble(self, explained: Explained, retry_after_ms: int) -> VenueTrouble:
        limited = explained.trouble is Trouble.RATE_LIMIT
        rests_ms = max(retry_after_ms, RESTS_MS) if limited else retry_after_ms
        return VenueTrouble(
            f"{explained.trouble.value}: {explained.hint} (HTTP {explained.status}, {explained.code})", rests_ms * NS_PER_MS
        )
