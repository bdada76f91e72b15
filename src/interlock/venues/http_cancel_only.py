"""A blocking client of a real venue that can only list, look up, cancel and beat: what the sentinel needs, and no other verb.

It is put together from the venue's reads and of its orders only what lowers risk. Nothing here places, amends or changes a mode. Whatever is no yes
is VenueTrouble, also what cannot be written: the sentinel goes on with the others.

It keeps to the venue's limits (`allowance`). Lists and look-ups leave the last of them to cancels. Both wait for room that comes soon, because a
refusal costs as much as the wait, and some venues lock out who collects refusals; a cancel for which no room comes soon is asked for all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby
from time import monotonic_ns, sleep
from typing import TypeVar

import msgspec

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.domain.orders import OrderState
from interlock.venues.allowance import Allowance
from interlock.venues.budget import Spend
from interlock.venues.cancel_only import OpenOrder, VenueTrouble
from interlock.venues.endpoint import Endpoint
from interlock.venues.http_blocking import BlockingBroken, BlockingHttp
from interlock.venues.port import Accepted, Access, AccountReads, Ask, Heard, Nonsense, OrderVerbs, Refused, Stamp, Talk
from interlock.venues.request import Key, SignedCall
from interlock.venues.trouble import Doing, Explained, Trouble

T = TypeVar("T")

RESTS_MS = 1_000
"""How long a venue that limits the rate is left alone at least."""
PATIENCE_NS = 2 * NS_PER_S
"""For room that comes within so long, of one call of a method, it waits: the longest window of a venue's cancels (Upbit's of "cancel all")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """How a venue's verbs are used to empty an account.

    `batch`: orders that one cancel names. `whole`: whether one request covers all symbols; `at_once`: how many orders it takes at most, 0 for
    all of them. `one_look`: whether a client id is found without its symbol. `alone`: how the venue's ids of orders begin that no batch takes; empty
    where there are none.
    """

    batch: int
    whole: bool
    one_look: bool = False
    at_once: int = 0
    alone: str = ""


UPBIT = Lowering(batch=20, whole=True, one_look=True, at_once=300)
BINANCE_USDM = Lowering(batch=10, whole=False, alone="algo:")
BYBIT = Lowering(batch=20, whole=True, at_once=500)
LOWERING: Mapping[str, Lowering] = {"upbit": UPBIT, "binance_usdm": BINANCE_USDM, "bybit": BYBIT}
"""By venue; the figures are the venues' own."""


_OVER = frozenset((Trouble.ORDER_NOT_FOUND,))


class _Refusal(VenueTrouble):
    """A no to one request, which says nothing about the next one."""


class _Senseless(VenueTrouble):
    """An answer that makes no sense."""


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _same(said: Sequence[Accepted | Explained]) -> bool:
    """Whether the venue said the same of all, with a code: it is about the request and not about an order."""
    codes = {one.code if isinstance(one, Explained) else "" for one in said}
    return len(codes) == 1 and "" not in codes


class HttpCancelOnly:
    """One account at one venue (`CancelOnly`). `symbols` are those in which an order is looked up by client id alone, and which are emptied unseen
    where the venue empties symbol by symbol. All clients of an account share its `allowance`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: Key,
        reads: AccountReads,
        verbs: OrderVerbs,
        lowering: Lowering,
        allowance: Allowance,
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
        self._allowance = allowance
        self._symbols = tuple(symbols)
        self._stamp = stamp
        self._timeout_ns = timeout_ns
        self._listed: frozenset[str] = frozenset()
        self._found_in: dict[str, str] = {}
        self._ahead_ms = 0
        self._mistimed = False
        self._patient_until_ns = 0

    def open_pages(self, *, ours: bool = False) -> Iterator[tuple[OpenOrder, ...]]:
        """All open orders, read to the end of the list before the first is told. One that makes no sense is trouble, after the others were told.

        `ours`: those in symbols that are not ours may be left out.
        """
        self._begin()
        page = self._hold(self._reads.open_orders(self._symbols if ours else ()))
        self._listed = frozenset(order.symbol for order in page.found)
        yield tuple(OpenOrder(order.venue_order_id, order.client_id, order.symbol) for order in page.found)
        if page.unreadable:
            raise VenueTrouble("the list of open orders holds one that makes no sense")

    def cancel(self, orders: Sequence[OpenOrder]) -> None:
        """Ask to cancel these, those with a client id together, the others one by one. Those for which no room comes are left to the next list."""
        self._begin()
        known = [replace(order, symbol=order.symbol or self._found_in.get(order.client_id, "")) for order in orders]
        together = [order for order in known if self._fits_in_a_batch(order)]
        alone = [order for order in known if not self._fits_in_a_batch(order)]
        self._attempt(chain(self._batches(together), (partial(self._cancel_one, order) for order in alone)))

    def cancel_everything(self) -> None:
        """Ask to cancel whatever is open, as often as the venue takes a part of it at a time: of the account, or of each symbol that is ours or was
        in the last list. It needs no list before."""
        self._begin()
        symbols = ("",) if self._lowering.whole else sorted({*self._symbols, *self._listed})
        self._attempt(partial(self._cancel_all, symbol) for symbol in symbols)

    def state_of(self, client_id: str) -> OrderState | None:
        """Look in every symbol, unless one look finds it anywhere; None if it is in none, which proves nothing."""
        self._begin()
        odd: _Senseless | None = None
        for symbol in ("",) if self._lowering.one_look else self._symbols:
            try:
                found = self._hold(self._reads.order(symbol, client_id))
            except UsageError as error:
                raise VenueTrouble(str(error)) from error
            except _Senseless as error:
                # A venue may find an id whatever symbol it is asked for, and its order is then that of another one.
                odd = odd or error
                continue
            if found is not None:
                self._found_in[client_id] = found.symbol
                return found.state
        if odd is not None:
            raise odd
        return None

    def beat(self, symbol: str, countdown_ns: int) -> None:
        """Arm the venue's dead-man for a symbol; trouble where it has none."""
        self._begin()
        self._lower(lambda: self._verbs.beat(symbol, countdown_ns // NS_PER_MS))

    def close(self) -> None:
        """Give the connection up."""
        self._http.close()

    # Cancels

    def _fits_in_a_batch(self, order: OpenOrder) -> bool:
        if not order.client_id or (self._lowering.alone and order.venue_order_id.startswith(self._lowering.alone)):
            return False
        try:
            self._verbs.cancel_batch(order.symbol, (order.client_id,))
        except UsageError:
            return False  # an id that we would never have made; the venue has one of its own for that order
        return True

    def _batches(self, orders: Sequence[OpenOrder]) -> Iterator[Callable[[], None]]:
        """As many as find room. Each is cut when its turn comes, to what the venue has room for if it counts each order."""
        is_first = True
        for symbol, mine in groupby(sorted(orders, key=lambda order: order.symbol), key=lambda order: order.symbol):
            ids = tuple(order.client_id for order in mine)
            while ids:
                whole, one = (self._verbs.cancel_batch(symbol, ids[:most]) for most in (self._lowering.batch, 1))
                counts_each = whole.weight > one.weight
                wait_ns = self._allowance.wait_ns(one, Spend.LOWER)
                # Where each order counts so few fit at a time that whoever asked had better look for another way than wait for more.
                if wait_ns and not is_first and (counts_each or not self._is_soon(wait_ns)):
                    return
                if wait_ns and self._is_soon(wait_ns):
                    sleep(wait_ns / NS_PER_S)
                most = max(1, self._allowance.free(one.budget)) if counts_each else self._lowering.batch
                part, ids = ids[: min(most, self._lowering.batch)], ids[min(most, self._lowering.batch) :]
                is_first = False
                yield partial(self._cancel_together, symbol, part)

    def _cancel_together(self, symbol: str, ids: tuple[str, ...]) -> None:
        heard = self._send(self._verbs.cancel_batch(symbol, ids), self._verbs.sign, Spend.LOWER)
        if heard.status < 300 and not _is_json(heard.body):
            raise _Refusal(f"the answer to a batch of cancels is no JSON (HTTP {heard.status})")
        # What is said of one order ends none, and the next list tells; a refusal of all of them is another thing.
        said = self._verbs.batch_answered(heard, Doing.CANCEL, len(ids))
        if all(isinstance(one, Explained) and one.trouble not in _OVER for one in said) and (heard.status >= 300 or _same(said)):
            self._require(said[0], heard)

    def _cancel_one(self, order: OpenOrder) -> None:
        self._lower(lambda: self._verbs.cancel(order.symbol, client_id=order.client_id, venue_order_id=order.venue_order_id))

    def _cancel_all(self, symbol: str) -> None:
        self._lower(lambda: self._verbs.cancel_all(symbol))

    def _lower(self, write: Callable[[], Ask]) -> None:
        """Ask for something that lowers risk. That it cannot be written is a refusal, too."""
        try:
            asked = write()
        except UsageError as error:
            raise _Refusal(str(error)) from error
        heard = self._send(asked, self._verbs.sign, Spend.LOWER)
        self._require(self._verbs.answered(heard, Doing.CANCEL), heard)

    @staticmethod
    def _attempt(requests: Iterable[Callable[[], None]]) -> None:
        """All of them. A no to one keeps none of the others from being asked, and is raised after them."""
        refusal: _Refusal | None = None
        for request in requests:
            try:
                request()
            except _Refusal as refused:
                refusal = refusal or refused
        if refusal is not None:
            raise refusal

    def _require(self, said: Accepted | Explained, heard: Heard) -> None:
        """Raise VenueTrouble for a refusal; that an order is over already is none."""
        if isinstance(said, Explained) and said.trouble not in _OVER:
            raise self._trouble(Refused(said, self._allowance.metering.left_alone_ms(heard, said)), Spend.LOWER)

    # Requests

    def _begin(self) -> None:
        """A method is called: it may wait for so long in all. If the venue refused our time before, it is asked for its own."""
        self._patient_until_ns = monotonic_ns() + PATIENCE_NS
        if self._mistimed:
            venue_ms = self._hold(self._reads.clock()) // NS_PER_MS
            self._ahead_ms = venue_ms - self._stamp().timestamp_ms
            self._mistimed = False

    def _hold(self, talk: Talk[T]) -> T:
        try:
            asked = next(talk)
            while True:
                asked = talk.send(self._send(asked, self._reads.sign, Spend.READ))
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        except Refused as refused:
            raise self._trouble(refused, Spend.READ) from refused
        except Nonsense as error:
            self._http.close()
            raise _Senseless(str(error)) from error
        finally:
            talk.close()

    def _send(self, asked: Ask, sign: Callable[[Key, Ask, Stamp], SignedCall], spend: Spend) -> Heard:
        self._await_room(asked, spend)
        stamp, asked_ns, call = self._stamp(), monotonic_ns(), asked.call
        stamp = replace(stamp, timestamp_ms=stamp.timestamp_ms + self._ahead_ms)
        if asked.access is Access.PUBLIC:
            signed = SignedCall(call.method, call.path, call.query, (), call.body)
        else:
            signed = sign(self._key, asked, stamp)
        try:
            heard = self._http.ask(signed, self._timeout_ns)
        except BlockingBroken as error:
            raise VenueTrouble(f"no answer: {error}") from error
        self._allowance.heard(asked, heard, asked_ns)
        return heard

    def _await_room(self, asked: Ask, spend: Spend) -> None:
        """Until the request counts. Raises VenueTrouble while the venue wants none of its kind, and for a read for which no room comes soon."""
        while wait_ns := self._allowance.take(asked, spend):
            if refused_ns := self._allowance.refused_ns(spend):
                raise VenueTrouble("the venue wants to be left alone", refused_ns)
            if self._is_soon(wait_ns):
                sleep(wait_ns / NS_PER_S)
            elif spend is Spend.LOWER:
                self._allowance.insist(asked)
                return
            else:
                # Nothing was refused, so that no cancel has to wait for it.
                raise VenueTrouble("what is left of the venue's limits is for cancels")

    def _is_soon(self, wait_ns: int) -> bool:
        return monotonic_ns() + wait_ns <= self._patient_until_ns

    def _trouble(self, refused: Refused, spend: Spend) -> VenueTrouble:
        explained = refused.explained
        self._mistimed = self._mistimed or explained.trouble is Trouble.CLOCK_SKEW
        if explained.trouble is Trouble.RATE_LIMIT:
            refused = Refused(explained, max(refused.retry_after_ms, RESTS_MS))
            self._allowance.refused(spend, refused)
        kind = VenueTrouble if refused.retry_after_ms else _Refusal
        said = f"{explained.trouble.value}: {explained.hint} (HTTP {explained.status}, {explained.code})"
        return kind(said, refused.retry_after_ms * NS_PER_MS)
