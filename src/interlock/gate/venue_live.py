"""How the gate asks one account at a real venue, and what the venue's words are in the gate's own terms.

The venues have one vocabulary (`venues/port.py`). What of it makes no sense here is not passed on: its size, its texts, a kind that no ledger knows.
Of a symbol that is none of the account's instruments the size is not known. That there is an order is told all the same, with one lot open.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, TypeVar

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.gate import foreign
from interlock.gate import records as r
from interlock.gate.limit_sheet import LARGEST
from interlock.gate.readings import Now
from interlock.gate.venue_reads import ReadFailed, ShownOrder
from interlock.venues.budget import GATE, LEAST_REFUSAL_NS, LONGEST_REFUSAL_NS, Meter
from interlock.venues.endpoint import Endpoint
from interlock.venues.hosts import Hosts
from interlock.venues.http_reader import HttpReader, ReadBroken
from interlock.venues.metering import MeteredPace, metering_of, refusal_ns
from interlock.venues.port import Access, AccountReads, Ask, End, FillKind, FillSeen, LedgerSeen, Nonsense, OrderSeen, Refused, Stamp, Talk
from interlock.venues.request import Key
from interlock.venues.talking import NoRoom, Sign, Talker

LONGEST_TEXT: Final = 128
"""What a venue says beyond it makes no sense, and must not become a record that no journal can hold."""
LONGEST_REASON: Final = 300
MOST_DIGITS: Final = 30
"""A number with more digits before or after its point is none of money."""
WALLET_PATHS: Final = "/sapi/"
"""What Binance's wallet host answers."""

MakeReader = Callable[[Endpoint], HttpReader]
"""Makes a connection for reads."""

T = TypeVar("T")


class LiveAccess:
    """One account at one venue: its connections for reads, its key, its share of the venue's limits.

    `timeout_ns` is the limit of a read with all its requests; `receive_window_ns` bounds when the venue still takes one that is signed. `nonce` gives
    a UUID that was never used, as text. The meter is to be shared with whoever else asks the venue for this account. What is public has a connection
    of its own, so that prices do not wait for lists. `sign` takes the place of what signs the reads, for talks that are none.
    """

    def __init__(
        self,
        venue: str,
        account: str,
        reads: AccountReads,
        hosts: Hosts,
        key: Key,
        clock: Callable[[], Now],
        nonce: Callable[[], str],
        *,
        timeout_ns: int,
        receive_window_ns: int,
        meter: Meter | None = None,
        reader: MakeReader = HttpReader,
        sign: Sign | None = None,
    ) -> None:
        self.venue = venue
        self.account = account
        self.reads = reads
        self.hosts = hosts
        self.key = key
        self.clock = clock
        self.timeout_ns = timeout_ns
        metering = metering_of(venue)
        self.meter = meter or Meter(metering.limits, GATE)
        """What the gate keeps of the venue's limits."""
        self._nonce = nonce
        self._window_ms = receive_window_ns // NS_PER_MS
        self._pace = MeteredPace(self.meter, metering, lambda: clock().boot_ns)
        self._public, self._signed = reader(hosts.rest), reader(hosts.rest)
        self._wallet = reader(hosts.wallet) if hosts.wallet is not None else self._signed
        self._talker = Talker(
            self._signed, sign or reads.sign, key, self.stamp, timeout_s=timeout_ns / NS_PER_S, pace=self._pace, route=self._reader_for
        )

    def stamp(self) -> Stamp:
        """What makes a signed request unlike every other."""
        return Stamp(self.clock().wall_ns // NS_PER_MS, self._nonce(), self._window_ms)

    async def hold(self, talk: Talk[T], *, timeout_ns: int = 0, on_send: Callable[[], None] = lambda: None) -> T:
        """Hold a talk to its end; `timeout_ns` takes the place of the usual limit. Raises ReadFailed for whatever did not come to a good end."""
        began, limit_ns = self.clock().boot_ns, timeout_ns or self.timeout_ns
        try:
            found = await self._talker.hold(talk, timeout_s=limit_ns / NS_PER_S, on_send=on_send)
        except NoRoom as full:
            limited = self._pace.refused_ns() > 0
            why = "the venue limited the rate and is left alone" if limited else "the venue's limits leave no room for this read"
            raise ReadFailed(why, retry_after_ns=full.wait_ns, limited=limited, unasked=not limited) from full
        except Refused as refused:
            self._pace.refused(refused)
            raise _failed(refused) from refused
        except (Nonsense, ReadBroken, UsageError) as error:
            raise ReadFailed(str(error)[:LONGEST_REASON]) from error
        if self.clock().boot_ns - began > limit_ns:
            # The timer stands still while the host sleeps; what was said before that is old.
            raise ReadFailed("the answer came too late")
        return found

    def close(self) -> None:
        """Give the connections up. What is under way on them fails; the next read opens new ones."""
        for reader in (self._public, self._signed, self._wallet):
            reader.close()

    def _reader_for(self, asked: Ask) -> HttpReader:
        if asked.call.path.startswith(WALLET_PATHS):
            return self._wallet
        return self._public if asked.access is Access.PUBLIC else self._signed


def _failed(refused: Refused) -> ReadFailed:
    rest_ns = refusal_ns(refused)
    if rest_ns:
        rest_ns = min(max(rest_ns, LEAST_REFUSAL_NS), LONGEST_REFUSAL_NS)
    told_ns = min(refused.retry_after_ms * NS_PER_MS, LONGEST_REFUSAL_NS)
    return ReadFailed(
        f"the venue refused: {refused}"[:LONGEST_REASON], retry_after_ns=rest_ns or told_ns, limited=rest_ns > 0, refused=not rest_ns
    )


# What the venue says


def shown(seen: OrderSeen, source: str, boot_ns: int) -> ShownOrder | None:
    """An order of a list ("open", "history") or the stream; None if it makes no sense. Why it is over is told as its code, in our words."""
    counted = 0 <= seen.lots < LARGEST and 0 <= seen.filled_lots < LARGEST and 0 <= seen.ticks < LARGEST and seen.venue_ns >= 0
    if not (counted and seen.symbol and is_short(seen.client_id, seen.venue_order_id, seen.symbol)):
        return None
    report = r.Reported(
        boot_ns=boot_ns,
        client_id=seen.client_id,
        venue_order_id=seen.venue_order_id,
        state=seen.state,
        filled_lots=seen.filled_lots,
        lots=seen.lots,
        source=source,
        code="" if seen.end is End.FILLED else seen.end.value,
        venue_ns=seen.venue_ns,
    )
    left = max(seen.lots - seen.filled_lots, 0) if seen.lots else 1
    return ShownOrder(report=report, symbol=seen.symbol, side=seen.side, ticks=seen.ticks, open_lots=0 if seen.state.final else left)


_BY_VENUE: Final = {
    FillKind.LIQUIDATION: r.LedgerKind.LIQUIDATION,
    FillKind.ADL: r.LedgerKind.ADL,
    FillKind.SETTLEMENT: r.LedgerKind.SETTLEMENT,
}
"""What the venue made itself is no execution of an order that anybody could have sent: it moves a position by a ledger event, and is flagged."""


def told(seen: FillSeen, venue: str, account: str, boot_ns: int) -> r.Filled | r.LedgerEvent | None:
    """An execution; None if it makes no sense, or is of a symbol whose lots are not known."""
    sized = 0 < seen.lots < LARGEST and 0 < seen.ticks < LARGEST and seen.venue_ns >= 0
    texts = (seen.trade_id, seen.client_id, seen.symbol, seen.fee_currency)
    if not (sized and seen.trade_id and seen.symbol and seen.fee_currency and is_short(*texts) and is_amount(seen.fee)):
        return None
    kind = _BY_VENUE.get(seen.kind)
    if kind is not None:
        return r.LedgerEvent(
            boot_ns=boot_ns,
            kind=kind,
            venue=venue,
            account=account,
            venue_id=foreign.fill_id(seen.symbol, seen.trade_id),
            currency=seen.fee_currency,
            amount=seen.fee.copy_negate() if seen.fee else seen.fee,
            symbol=seen.symbol,
            lots=seen.side * seen.lots,
            ticks=seen.ticks,
            venue_ns=seen.venue_ns,
        )
    return r.Filled(
        boot_ns=boot_ns,
        venue=venue,
        account=account,
        symbol=seen.symbol,
        trade_id=seen.trade_id,
        client_id=seen.client_id,
        side=seen.side,
        ticks=seen.ticks,
        lots=seen.lots,
        liquidity=seen.liquidity,
        fee=seen.fee,
        fee_currency=seen.fee_currency,
        venue_ns=seen.venue_ns,
    )


def entered(seen: LedgerSeen, venue: str, account: str, boot_ns: int) -> r.LedgerEvent | None:
    """A change of a balance; None if its kind, amount or texts make no sense. What is foreign is for the gate to say, by its own list."""
    known = seen.kind in set(r.LedgerKind) - {r.LedgerKind.FOREIGN}
    sound = seen.venue_id and seen.currency and is_short(seen.venue_id, seen.currency, seen.symbol) and seen.venue_ns >= 0
    if not (known and sound and is_amount(seen.amount)):
        return None
    return r.LedgerEvent(
        boot_ns=boot_ns,
        kind=r.LedgerKind(seen.kind),
        venue=venue,
        account=account,
        venue_id=seen.venue_id,
        currency=seen.currency,
        amount=seen.amount,
        symbol=seen.symbol,
        venue_ns=seen.venue_ns,
    )


def is_short(*texts: str) -> bool:
    """Whether a journal can hold them."""
    return all(len(text) <= LONGEST_TEXT for text in texts)


def is_amount(value: Decimal) -> bool:
    """Whether a number is one of money. Arithmetic with `1E+999999` would not end."""
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -MOST_DIGITS and value.adjusted() <= MOST_DIGITS
