"""What a venue lets one account ask in a time, who may use how much of it, and what is given up first when it runs short.

A venue declares its limits as data (`Limit`: so many units in an interval, each request costs some of some of them); whoever asks keeps a `Meter` by
them. The limits are split once and for all (`Part`): of every limit that both use the gate's placements may take three quarters and its reads a half,
or what the limit says where placements use next to nothing. So a quarter is always left to the sentinel for a sweep, whatever the gate has done.
Reads are given up first, then placements. What lowers risk (cancels, dead-man beats) is given up by nobody here: only the venue itself stops it, by a
refusal, and until the time that it names. A cancel of the gate that goes beyond its part spends what is kept on what it is kept for.

A meter holds what it has seen go out in the last interval to what was declared, which bounds every window of that length, fixed or rolling. Besides
it holds what the venue says was used, and what went out since, to what the venue says that the limit is: that is also what others have used, and it
shrinks the part of whoever is told. No word of the venue makes a limit larger than it was declared. All times are of one clock of the caller,
nanoseconds; nothing here asks one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from interlock.domain.errors import UsageError

LEAST_REFUSAL_NS = 100_000_000
"""A venue that wants to be left alone is left alone for so long, however odd the time is that it names."""
LONGEST_REFUSAL_NS = 600_000_000_000
"""A refusal for longer is a number that makes no sense, or one that a person has to look at; it is asked again after that."""

MOST_PLACED = 750
"""Thousandths of a limit that the gate's placements may use; the rest is the sentinel's."""


class NoRoom(Exception):
    """The limits leave no room for a request in the time that it has. Nothing was sent; `wait_ns` is how long to wait at least."""

    def __init__(self, wait_ns: int) -> None:
        super().__init__(f"what may be used of the venue's limits is used up for {wait_ns} ns")
        self.wait_ns = wait_ns


class Spend(StrEnum):
    """What a request is for, in the order in which it is given up."""

    READ = "read"
    PLACE = "place"
    LOWER = "lower"
    """Cancels and dead-man beats."""


_ORDER = (Spend.READ, Spend.PLACE, Spend.LOWER)

Cost = Mapping[str, int]
"""Units by the name of the limit that they are taken from."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many units in an interval. `alone`: only the gate is held to it, so that nothing of it is kept for the sentinel. `reads`: what the gate's
    reads may use of it, thousandths.

    Raises UsageError for one that would let nothing through, has no interval, or leaves its placements less than its reads.
    """

    name: str
    units: int
    interval_ns: int
    alone: bool = False
    reads: int = 500

    def __post_init__(self) -> None:
        if not (self.units > 0 and self.interval_ns > 0):
            raise UsageError(f"limit {self.name}: expected units and an interval above 0, found {self.units} in {self.interval_ns} ns")
        if not 0 < self.reads <= MOST_PLACED:
            raise UsageError(f"limit {self.name}: expected reads up to {MOST_PLACED} thousandths of it, found {self.reads}")


@dataclass(frozen=True, slots=True)
class Part:
    """How far up one side may use a limit, thousandths of its units, by what for; what lowers risk has no bound but the venue's. `read` is None where
    each limit says it."""

    read: int | None
    place: int

    def ceiling(self, limit: Limit, spend: Spend, units: int) -> int | None:
        """Up to how many of `units` may be used; None for no bound."""
        if spend is Spend.LOWER or (limit.alone and not self.place):
            return None
        if limit.alone:
            return units
        read = limit.reads if self.read is None else self.read
        return units * (read if spend is Spend.READ else self.place) // 1_000


GATE = Part(read=None, place=MOST_PLACED)
SENTINEL = Part(read=900, place=0)
"""It lists until a tenth is left, which is for its cancels, and never places."""


def kept_for_sentinel(limit: Limit) -> int:
    """The units of a limit that no read or placement of the gate ever uses; 0 of one that the sentinel never uses."""
    ceiling = GATE.ceiling(limit, Spend.PLACE, limit.units)
    return limit.units - (limit.units if ceiling is None else ceiling)


@dataclass(slots=True)
class _Used:
    """What is known of one limit. `units` is what the venue says that it is now, never more than was declared."""

    limit: Limit
    units: int
    sent: deque[tuple[int, int]] = field(default_factory=deque)
    """(when, units), by time."""
    total: int = 0
    told_units: int = 0
    told_asked_ns: int = 0
    told_until_ns: int = 0

    def forget(self, now_ns: int) -> None:
        """Leave out what no window that holds the present can hold."""
        while self.sent and self.sent[0][0] <= now_ns - self.limit.interval_ns:
            self.total -= self.sent.popleft()[1]

    def since(self, at_ns: int) -> int:
        """What went out from a time on, as far as it still counts."""
        found = 0
        for sent_ns, units in reversed(self.sent):
            if sent_ns < at_ns:
                break
            found += units
        return found

    def used(self, now_ns: int) -> int:
        """What counts in the venue's own window: what it told and what went out since it was asked. In a window of which it told nothing yet only
        what went out."""
        self.forget(now_ns)
        if now_ns < self.told_until_ns:
            return self.told_units + self.since(self.told_asked_ns + 1)
        return self.since(self.told_until_ns)

    def wait_ns(self, part: Part, spend: Spend, units: int, now_ns: int) -> int:
        """How long until so many units are free at the earliest, as far as is known; 0: now."""
        told, declared = part.ceiling(self.limit, spend, self.units), part.ceiling(self.limit, spend, self.limit.units)
        if told is None or declared is None:
            return 0
        return self.free_in_ns(units, told, declared, now_ns, asks=spend is Spend.READ)

    def free_in_ns(self, units: int, told: int, declared: int, now_ns: int, *, asks: bool = False) -> int:
        """How long until so many units are below both ceilings. `asks`: it is a question, whose answer tells what is left."""
        window = self.used(now_ns) + units - told
        if asks and 0 < self.told_until_ns <= now_ns and not self.since(self.told_until_ns):
            window = 0  # one question in each of the venue's windows, or a limit too small to ask by is never told anew
        ours = self.total + units - declared
        if window <= 0 and ours <= 0:
            return 0
        in_window_ns = self.told_until_ns - now_ns if window > 0 else 0
        return max(in_window_ns, self._expiry_ns(max(ours, 1 if in_window_ns <= 0 else 0)) - now_ns, 1)

    def _expiry_ns(self, missing: int) -> int:
        """When so many of the units that went out count no more; 0 for none of them."""
        at_ns = 0
        for sent_ns, units in self.sent:
            if missing <= 0:
                break
            missing -= units
            at_ns = sent_ns + self.limit.interval_ns
        return at_ns


class Meter:
    """One side's account of one venue's limits. For one thread; it holds no more than went out in the longest interval."""

    def __init__(self, limits: Sequence[Limit], part: Part) -> None:
        self.part = part
        self._used = {limit.name: _Used(limit, limit.units) for limit in limits}
        self._refused_until_ns = dict.fromkeys(Spend, 0)
        if len(self._used) != len(limits):
            raise UsageError(f"limits: expected different names, found {', '.join(limit.name for limit in limits)}")

    def refused_ns(self, spend: Spend, now_ns: int) -> int:
        """For how long the venue still wants no request of this kind; 0 if it does."""
        return max(0, self._refused_until_ns[spend] - now_ns)

    def wait_ns(self, spend: Spend, cost: Cost, now_ns: int, pending: int = 0) -> int:
        """0 if a request may go out now, or else how long to wait at least before asking again.

        `pending` others of the same cost were promised room and have not gone out. Raises KeyError for a limit that was not declared.
        """
        wait_ns = self.refused_ns(spend, now_ns)
        for name, units in cost.items():
            wait_ns = max(wait_ns, self._used[name].wait_ns(self.part, spend, (pending + 1) * units, now_ns))
        return wait_ns

    def free(self, name: str, now_ns: int) -> int:
        """The units of a limit that nobody has used, as far as is known: for whoever cuts a request to what fits. Raises KeyError as `wait_ns`."""
        one = self._used[name]
        return max(0, min(one.units - one.used(now_ns), one.limit.units - one.total))

    def fits_in_ns(self, cost: Cost, now_ns: int) -> int:
        """How long until the limits have room for a request, whatever it is for and whoever it is kept for; 0 if they have. Raises KeyError as
        `wait_ns`."""
        wait_ns = 0
        for name, units in cost.items():
            one = self._used[name]
            wait_ns = max(wait_ns, one.free_in_ns(units, one.units, one.limit.units, now_ns))
        return wait_ns

    def spent(self, cost: Cost, now_ns: int) -> None:
        """A request goes out: from here on it counts, whatever becomes of it. Raises KeyError for a limit that was not declared."""
        for name, units in cost.items():
            one = self._used[name]
            one.forget(now_ns)
            # Never earlier than what is there, so that they stay in order; later only lengthens what counts.
            one.sent.append((max(now_ns, one.sent[-1][0]) if one.sent else now_ns, units))
            one.total += units

    def told(self, name: str, *, units: int, used: int, reset_in_ns: int, asked_ns: int, now_ns: int) -> None:
        """Take what an answer says of a limit: how large it is, what all together have used, and in what time that is forgotten.

        `asked_ns` is when the request of that answer went out. A limit of nothing is no limit that a venue has, and a reset that is over or beyond
        the interval none that its window has: then the declared ones are taken. Raises KeyError for a limit that was not declared.
        """
        one = self._used[name]
        one.units = min(units, one.limit.units) if units > 0 else one.limit.units
        one.told_units = max(used, 0)
        one.told_asked_ns = asked_ns
        one.told_until_ns = now_ns + (reset_in_ns if 0 < reset_in_ns <= one.limit.interval_ns else one.limit.interval_ns)

    def refused(self, spend: Spend, for_ns: int, now_ns: int, *, banned: bool = False) -> None:
        """The venue refused a request because of the rate: its kind stops, and what is given up before it; after a ban everything does."""
        last = Spend.LOWER if banned else spend
        until_ns = now_ns + min(max(for_ns, LEAST_REFUSAL_NS), LONGEST_REFUSAL_NS)
        for one in _ORDER[: _ORDER.index(last) + 1]:
            self._refused_until_ns[one] = max(self._refused_until_ns[one], until_ns)

    def standing(self, now_ns: int) -> Mapping[str, tuple[int, int]]:
        """By limit: (used, units) as far as is known."""
        return MappingProxyType({name: (one.used(now_ns), one.units) for name, one in self._used.items()})
