"""How the gate speaks with each of its venues, put together: the way out, the reads, the private stream and the limits that they share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.gate.order_wire import OrderWire
from interlock.gate.readings import Now
from interlock.gate.venue_fake import FakeWire
from interlock.gate.venue_fake_reads import FakeReads
from interlock.gate.venue_fake_stream import FakeStream
from interlock.gate.venue_http_wire import HttpOrderWire
from interlock.gate.venue_live import LiveAccess, MakeReader
from interlock.gate.venue_live_prices import LivePrices
from interlock.gate.venue_live_reads import ROUNDS_EVERY_NS, LiveReads
from interlock.gate.venue_live_stream import LiveStream
from interlock.gate.venue_reads import VenuePrices, VenueReads, VenueStream
from interlock.gate.venue_socket_wire import CONNECTIONS, SocketOrderWire
from interlock.run.gate_config import Entry, VenuePart
from interlock.run.gate_places import hosts_and_key
from interlock.venues.account_parts import feed_at, reads_at
from interlock.venues.budget import GATE, Meter, kept_for_sentinel
from interlock.venues.bybit import disconnect
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.fake import budget
from interlock.venues.http_reader import HttpReader
from interlock.venues.metering import metering_of
from interlock.venues.order_parts import verbs_at
from interlock.venues.port import FeeRates
from interlock.venues.socket import Connect, connect_picows
from interlock.venues.talking import Sign

LISTS_NS = 20 * NS_PER_S
"""How long one read of a list with all its pages may take, pauses for the venue's limits included."""
BEGINS_NS = 86_400 * NS_PER_S
"""So long before the start of a first life executions are read from; what was before is in the balances that it begins with."""
SWEPT_AT_MOST = 1_000
MOST_NONCE = 1 << 128
QUOTES_EVERY_NS = 200 * NS_PER_MS
"""How often it is looked whether anything of a market is to be asked for."""
SILENCE_NS = 2 * NS_PER_S
"""After this long without a word the private stream is asked whether it lives."""


@dataclass(frozen=True, kw_only=True)
class Paces:
    """How long between two rounds of reads at a venue, so that what reads may use of its limits suffices for all of them."""

    market_ns: int = 100 * NS_PER_MS
    equity_ns: int = NS_PER_S
    reconcile_ns: int = 5 * NS_PER_S
    slow_reads_ns: int = 60 * NS_PER_S
    """For how long reads that are slow, or fail, may be tried again and again before the account counts as not known."""
    fees_after_ns: int = 0
    """How long after its beginning a gate first reads fee rates: where they are dear, not in the minute in which it begins and is armed."""
    catches_up: bool = True
    """Whether everything is read after a gap before it is reconciled. A reconciliation reads all of it
    too, and where that is dear it is the only read."""

    @property
    def cut_good_for_ns(self) -> int:
        """How old the last consistent cut of the account may become, and the last round about the fate of orders, before nothing new is permitted."""
        return self.slow_reads_ns + 3 * self.reconcile_ns


def paces_at(venue: str) -> Paces:
    """The paces of a real venue. At Binance a list of all open orders costs a thirtieth of the weight of a minute."""
    market_ns = QUOTES_EVERY_NS
    if venue == "binance_usdm":
        return Paces(market_ns=market_ns, equity_ns=4 * NS_PER_S, reconcile_ns=30 * NS_PER_S, fees_after_ns=60 * NS_PER_S, catches_up=False)
    return Paces(market_ns=market_ns, reconcile_ns=(10 if venue == "upbit" else 5) * NS_PER_S)


@dataclass(frozen=True, kw_only=True)
class VenueKit:
    """One account at one venue; nothing is connected yet. Lines of `wire` connect to `entry_at`. `spare` is another way for cancels, at `orders`,
    which also names the account's place; None: there is one way only.

    `know` reads what the symbols mean there, before anything else is asked; it raises ReadFailed. `unsweepable` says why so many open orders would
    be more than the sentinel could cancel with what is always left to it of the venue's limits; empty if it can.
    """

    part: VenuePart
    wire: OrderWire
    entry_at: Endpoint
    orders: Endpoint
    spare: OrderWire | None = None
    meter: Meter
    reads: VenueReads
    stream: VenueStream
    prices: VenuePrices | None
    """None where prices are read."""
    paces: Paces
    know: Callable[[Sequence[str]], Awaitable[None]]
    unsweepable: Callable[[int], str]
    fees: Callable[[str], Awaitable[FeeRates]] | None = None
    """Reads the account's own fee rates in a symbol; None where the venue tells none."""
    protection: DisconnectCancel | None = None
    """What cancels when the private stream is silent, where the configuration asks for that."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """How a real venue is reached besides for orders: `reader` makes a connection for reads, `hear` connects to its streams."""

    reader: MakeReader = HttpReader
    hear: Connect = connect_picows


SymbolOf = Callable[[str], str | None]
MakeKit = Callable[[VenuePart, Callable[[], Now], Callable[[], str], SymbolOf], VenueKit]
"""Makes the kit of one venue, as `kit_of` does."""


def kit_of(part: VenuePart, now: Callable[[], Now], nonce: Callable[[], str], symbol_of: SymbolOf, lines: Lines | None = None) -> VenueKit:
    """The kit of one venue. `nonce` gives 32 hexadecimal digits that never come again, `symbol_of` the symbol of an order of ours.

    Raises UsageError for a place that is none of it.
    """
    return _fake(part, now) if part.places is None else _live(part, now, nonce, symbol_of, lines or Lines())


def _fake(part: VenuePart, now: Callable[[], Now]) -> VenueKit:
    meter = Meter(budget.LIMITS, GATE)
    orders = Endpoint(Where.LOOPBACK, "127.0.0.1", part.orders_port, tls=False)

    async def know(_symbols: Sequence[str]) -> None:
        """Its messages count in ticks and lots already."""

    return VenueKit(
        part=part,
        wire=FakeWire(part.receive_window_ns),
        entry_at=orders,
        orders=orders,
        meter=meter,
        reads=FakeReads(
            part.venue, part.account, part.orders_port, now, timeout_ns=part.read_ns, receive_window_ns=part.receive_window_ns, meter=meter
        ),
        stream=FakeStream(
            part.venue,
            part.account,
            part.stream_port,
            now,
            timeout_ns=part.read_ns,
            receive_window_ns=part.receive_window_ns,
            silence_ns=SILENCE_NS,
        ),
        prices=None,
        paces=Paces(),
        know=know,
        unsweepable=_unsweepable_fake,
    )


def _live(part: VenuePart, now: Callable[[], Now], nonce: Callable[[], str], symbol_of: SymbolOf, lines: Lines) -> VenueKit:
    hosts, key = hosts_and_key(part)
    reads, verbs = reads_at(part.venue, {}, wallet=hosts.wallet is not None), verbs_at(part.venue, {})
    feed = feed_at(part.venue, {}, guard_s=part.disconnect_cancel_s)
    own = (CONNECTIONS,) if part.entry is Entry.SOCKET else ()
    meter = Meter((*metering_of(part.venue).limits, *own), GATE)

    def access_of(sign: Sign) -> LiveAccess:
        return LiveAccess(
            part.venue,
            part.account,
            reads,
            hosts,
            key,
            now,
            lambda: str(UUID(hex=nonce())),
            timeout_ns=part.read_ns,
            receive_window_ns=part.receive_window_ns,
            meter=meter,
            reader=lines.reader,
            sign=sign,
        )

    access = access_of(reads.sign)
    asked = LiveReads(access, symbol_of=symbol_of, lists_ns=LISTS_NS, begins_venue_ns=now().wall_ns - BEGINS_NS)

    async def know(symbols: Sequence[str]) -> None:
        await asked.know(symbols)
        verbs.instruments = feed.instruments = reads.instruments

    by_rest = HttpOrderWire(part.venue, verbs, key, hosts.rest, part.receive_window_ns)
    by_socket, entry_at = None, hosts.rest
    if part.entry is Entry.SOCKET:
        if hosts.trade is None:
            raise UsageError(
                f"{part.places}, {part.venue}: expected ws_trade among its addresses, found none; take the first line of this version's "
                "`interlock venues serve`, or --entry rest"
            )
        entry_at = hosts.trade
        by_socket = SocketOrderWire(part.venue, verbs, key, entry_at, part.receive_window_ns, lambda size: bytes.fromhex(nonce())[-size:])

    return VenueKit(
        part=part,
        wire=by_socket or by_rest,
        entry_at=entry_at,
        orders=hosts.rest,
        spare=None if by_socket is None else by_rest,
        meter=meter,
        reads=asked,
        stream=LiveStream(access, feed, silence_ns=SILENCE_NS, connect=lines.hear),
        prices=LivePrices(
            access,
            part.symbols,
            listed=asked.trading,
            ask_every_ns=ROUNDS_EVERY_NS[part.venue] * len(part.symbols),
            chance=lambda: int(nonce(), 16) / MOST_NONCE,
            connect=lines.hear,
        ),
        paces=paces_at(part.venue),
        know=know,
        unsweepable=_unsweepable_live,
        fees=asked.fees,
        protection=DisconnectCancel(access_of(disconnect.sign_switch), part.disconnect_cancel_s) if part.disconnect_cancel_s else None,
    )


class DisconnectCancel:
    """Bybit's disconnection protection of one account, set and read over connections of its own."""

    def __init__(self, access: LiveAccess, window_s: int) -> None:
        self.window_s = window_s
        self._access = access

    async def set_up(self) -> None:
        """Ask for the window. Raises ReadFailed."""
        await self._access.hold(disconnect.set_window(self.window_s))

    async def told_s(self) -> int:
        """The window in force, seconds, 0 for none. Raises ReadFailed."""
        return await self._access.hold(disconnect.window_s())

    def close(self) -> None:
        """Let go of the connections."""
        self._access.close()


def _unsweepable_live(open_orders: int) -> str:
    return (
        ""
        if open_orders <= SWEPT_AT_MOST
        else f"expected at most {SWEPT_AT_MOST}, which the sentinel was shown to cancel, found {open_orders}"
    )


def _unsweepable_fake(open_orders: int) -> str:
    kept, needed = kept_for_sentinel(budget.REQUESTS), budget.sweep_cost(open_orders)
    if needed <= kept:
        return ""
    return f"expected so few orders that the sentinel can cancel them with {kept} requests, found {open_orders}, which take {needed}"
