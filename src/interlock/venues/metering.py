"""The venues' limits for a `Meter`: what each venue declares, what a request costs, and what an answer says of what is used.

The figures are those of each venue's `budgets`. What tells how much is left is taken for a window that begins anew as late as it can, so that what is
known of it is never better than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.venues.binance_usdm import budgets as binance
from interlock.venues.budget import Cost, Limit, Meter, NoRoom, Spend
from interlock.venues.bybit import budgets as bybit
from interlock.venues.bybit.replies import left_alone_ms as bybit_left_alone_ms
from interlock.venues.port import Access, Ask, Heard, Refused
from interlock.venues.trouble import Explained, Trouble
from interlock.venues.upbit import budgets as upbit

UNNAMED_NS: Final = NS_PER_S
"""How long a venue that limits the rate without naming a time is left alone."""


HEAVY: Final = 20
PUBLIC_READS_AT_UPBIT: Final = 700
"""Thousandths of its groups for markets and books, which no order uses; a book is what tells its time."""
READS_AT_BINANCE: Final = 600
"""Thousandths of its weight: an order weighs nothing there, a batch of them five, a cancel one. A sentinel needs some 420 to stop a gate, besides its
beats: 10 each ten seconds for every symbol."""
LISTS: Final = Limit("weight-lists", 900, 60 * NS_PER_S, alone=True)
"""Our own, for Binance's signed reads that weigh `HEAVY` or more: what reads may use in a minute less what prices need, which go stale behind
lists. The whole book by which the stream of prices begins weighs as much, and is no list."""


@dataclass(frozen=True, slots=True)
class Metering:
    """The limits of one venue. `cost` is what a request takes of them; `banned` are the statuses after which nothing at all is asked.

    `left_alone_ms`: for how long the venue wants to be left alone after a refusal, 0 where it does not say. `aligned`: whether its windows begin at
    whole multiples of their length, by its own clock. `markets`: as what reads of prices and of the venue's clock count, without which nothing
    is traded, where they share a limit with reads of the account.
    """

    limits: tuple[Limit, ...]
    cost: Callable[[Ask], Cost]
    told: Callable[[Ask, Heard], Mapping[str, tuple[int, int]]]
    """By limit (how much it is, how much of it all together have used), as an answer says."""
    banned: frozenset[int]
    left_alone_ms: Callable[[Heard, Explained], int]
    aligned: bool = False
    markets: Spend = Spend.READ

    def interval_ns(self, name: str) -> int:
        """How long the windows of a limit are."""
        return next(limit.interval_ns for limit in self.limits if limit.name == name)


def _limits(
    budgets: Mapping[str, tuple[int, int, str]], alone: frozenset[str], reads: Mapping[str, int] | None = None
) -> tuple[Limit, ...]:
    more = {name: {"reads": share} for name, share in (reads or {}).items()}
    return tuple(Limit(name, units, ms * NS_PER_MS, alone=name in alone, **more.get(name, {})) for name, (units, ms, _) in budgets.items())


def _own(asked: Ask) -> Cost:
    return {asked.budget: asked.weight} if asked.budget else {}


def _binance_cost(asked: Ask) -> Cost:
    own = _own(asked)
    heavy = own.get(binance.WEIGHT, 0) >= HEAVY and asked.access is not Access.PUBLIC
    return {**own, LISTS.name: asked.weight} if heavy else own


def _bybit_cost(asked: Ask) -> Cost:
    return {bybit.IP: 1, **_own(asked)}


def _upbit_told(_: Ask, heard: Heard) -> Mapping[str, tuple[int, int]]:
    return {name: (upbit.BUDGETS[name][0], upbit.BUDGETS[name][0] - left) for name, left in upbit.seen(heard.headers).items()}


def _binance_told(_: Ask, heard: Heard) -> Mapping[str, tuple[int, int]]:
    return {name: (binance.BUDGETS[name][0], used) for name, used in binance.seen(heard.headers).items()}


def _bybit_told(asked: Ask, heard: Heard) -> Mapping[str, tuple[int, int]]:
    if asked.budget in ("", bybit.IP):
        return {}
    most = heard.headers.get("x-bapi-limit", "")
    units = int(most) if most.isascii() and most.isdigit() and len(most) <= 9 else 0
    units = units or bybit.BUDGETS[asked.budget][0]
    return {name: (units, units - left) for name, left in bybit.seen(heard.headers, asked.budget).items()}


METERING: Final[Mapping[str, Metering]] = {
    "upbit": Metering(
        _limits(upbit.BUDGETS, frozenset(), dict.fromkeys((upbit.MARKET, upbit.ORDERBOOK), PUBLIC_READS_AT_UPBIT)),
        _own,
        _upbit_told,
        frozenset({418}),
        lambda heard, _: upbit.wait_ms(heard.status, heard.headers),
    ),
    "binance_usdm": Metering(
        (*_limits(binance.BUDGETS, frozenset({binance.ORDERS, binance.ORDERS_1M}), {binance.WEIGHT: READS_AT_BINANCE}), LISTS),
        _binance_cost,
        _binance_told,
        frozenset({403, 418}),
        lambda heard, _: binance.wait_ms(heard.status, heard.headers),
        aligned=True,
        # Behind lists that have used up their share the clock went stale, which holds everything up for half a minute more. An order weighs nothing.
        markets=Spend.PLACE,
    ),
    "bybit": Metering(
        _limits(bybit.BUDGETS, frozenset({"create", "create-batch", "amend"})),
        _bybit_cost,
        _bybit_told,
        frozenset({403}),
        bybit_left_alone_ms,
    ),
}
"""By venue. Alone are limits of placements, of which the sentinel makes none, and of our own lists."""


def metering_of(venue: str) -> Metering:
    """Raises UsageError for a venue that is none of ours."""
    if venue not in METERING:
        raise UsageError(f"limits: expected one of {', '.join(METERING)}, found {venue!r}")
    return METERING[venue]


def refusal_ns(refused: Refused) -> int:
    """How long a refusal because of the rate wants us to stay away; 0 for a refusal of another kind."""
    if refused.explained.trouble is not Trouble.RATE_LIMIT:
        return 0
    return refused.retry_after_ms * NS_PER_MS or UNNAMED_NS


def take_told(meter: Meter, metering: Metering, asked: Ask, heard: Heard, *, asked_ns: int, now_ns: int) -> None:
    """Tell a meter what an answer says of the limits; its request went out at `asked_ns`."""
    for name, (units, used) in metering.told(asked, heard).items():
        reset_ns = _reset_ns(heard, metering.interval_ns(name)) if metering.aligned else 0
        meter.told(name, units=units, used=used, reset_in_ns=reset_ns, asked_ns=asked_ns, now_ns=now_ns)


def take_refused(meter: Meter, metering: Metering, spend: Spend, refused: Refused, now_ns: int) -> None:
    """Tell a meter of a refusal: because of the rate, this kind of request stops for a while, and all kinds after a ban."""
    if for_ns := refusal_ns(refused):
        meter.refused(spend, for_ns, now_ns, banned=refused.explained.status in metering.banned)


class MeteredPace:
    """Holds talks to a meter that is shared with whoever else asks the venue. Implements `Pace`. `now_ns` is the clock of the meter."""

    def __init__(self, meter: Meter, metering: Metering, now_ns: Callable[[], int], spend: Spend = Spend.READ) -> None:
        self._meter = meter
        self._metering = metering
        self._now_ns = now_ns
        self._spend = spend

    def wait_ns(self, asked: Ask) -> int:
        """0 if there is room now, or else how long until there is. Raises NoRoom while the venue wants to be left alone: nobody waits for that."""
        if left_ns := self.refused_ns():
            raise NoRoom(left_ns)
        spend = self._metering.markets if self._spend is Spend.READ and asked.access is Access.PUBLIC else self._spend
        return self._meter.wait_ns(spend, self._metering.cost(asked), self._now_ns())

    def goes(self, asked: Ask) -> int:
        """It counts from here on, whatever becomes of it."""
        now_ns = self._now_ns()
        self._meter.spent(self._metering.cost(asked), now_ns)
        return now_ns

    def came(self, asked: Ask, heard: Heard, went_ns: int) -> None:
        """Take what the answer says of the limits. Whether it is a refusal the talk finds out: `refused`."""
        take_told(self._meter, self._metering, asked, heard, asked_ns=went_ns, now_ns=self._now_ns())

    def refused(self, refused: Refused) -> None:
        """The venue refused a request of this kind."""
        take_refused(self._meter, self._metering, self._spend, refused, self._now_ns())

    def refused_ns(self) -> int:
        """For how long the venue still wants to be left alone."""
        return self._meter.refused_ns(self._spend, self._now_ns())


def _reset_ns(heard: Heard, interval_ns: int) -> int:
    """How long until the window of an answer is over at the latest, by its own date of whole seconds; 0 where it has none."""
    try:
        at_ns = int(parsedate_to_datetime(heard.headers.get("date", "")).timestamp()) * NS_PER_S
    except (ValueError, TypeError, OverflowError, OSError, IndexError):
        return 0
    return interval_ns - at_ns % interval_ns
