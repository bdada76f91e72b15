"""The feeds that a simulated venue follows: connected to the venue's public side, or to another simulator's, before the venue opens its doors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from interlock.domain.clock import NS_PER_S, Clock
from interlock.domain.errors import Refused, UsageError
from interlock.domain.instruments import Instrument
from interlock.run.listed import listed_instruments
from interlock.simulate.served.follow import FollowDrive, Sides
from interlock.simulate.served.house import House
from interlock.venues.endpoint import Where
from interlock.venues.feed import BookChange, Reject, Taken, is_apart
from interlock.venues.hosts import VENUES, Hosts, hosts_of, hosts_on_loopback
from interlock.venues.http_reader import HttpReader
from interlock.venues.live import Fresh, LiveFeed
from interlock.venues.port import Heard
from interlock.venues.public_parts import Line, public_lines
from interlock.venues.request import Call, SignedCall
from interlock.venues.socket import Connect

STALE_NS: Final = 2 * NS_PER_S
FIRST_BOOKS_S: Final = 30.0
LOOK_S: Final = 0.05
READ_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Followed:
    """What is followed of one venue: where it is, and its symbols."""

    hosts: Hosts
    symbols: tuple[str, ...]


def followed_of(follow: str, symbols: Sequence[str]) -> dict[str, Followed]:
    """What `--follow` and `--symbols` ask for, by venue. Raises UsageError."""
    places: dict[str, Any] | None = None
    if follow != "real":
        try:
            places = msgspec.json.decode(Path(follow).read_bytes().splitlines()[0], type=dict[str, Any])
        except (OSError, IndexError, msgspec.DecodeError) as error:
            raise UsageError(
                f"--follow: expected real, or a file with the first line of `interlock venues serve`, found: {error}"
            ) from error
    wanted: dict[str, list[str]] = {}
    for one in symbols:
        venue, _, symbol = one.partition(":")
        if not symbol or venue not in VENUES:
            raise UsageError(f"--symbols: expected venue:SYMBOL of {', '.join(VENUES)}, found {one!r}")
        if symbol in wanted.setdefault(venue, []):
            raise UsageError(f"--symbols: {one} stands there twice")
        wanted[venue].append(symbol)
    return {
        venue: Followed(hosts_of(venue, Where.REAL) if places is None else hosts_on_loopback(venue, places), tuple(some))
        for venue, some in wanted.items()
    }


class FollowedVenue:
    """One venue's feeds. `begin` before there is a house, `join` it, `keep` it until cancelled."""

    def __init__(self, venue: str, of: Followed, clock: Clock, connect: Connect, chance: Callable[[], float]) -> None:
        self.venue = venue
        self._of = of
        self._clock = clock
        self._connect = connect
        self._chance = chance
        self._reader = HttpReader(of.hosts.public_rest)
        self._feeds: list[tuple[Line, LiveFeed]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._house: House | None = None
        self._trading: dict[str, bool] = {}
        self.drive: FollowDrive | None = None

    async def begin(self) -> FollowDrive:
        """Connect, and wait for a whole book of every symbol. Raises UsageError for symbols that are not listed, Refused where no books come."""
        listed = await listed_instruments(self._reader, self.venue, self._of.symbols, self._clock)

        def resolve(symbol: str) -> Instrument:
            if symbol not in listed:
                raise ValueError(f"unknown symbol {symbol}")
            return listed[symbol]

        for line in public_lines(self.venue, self._of.symbols, resolve):
            live = LiveFeed(
                self._of.hosts.public,
                line.wire,
                line.feed,
                line.books,
                connect=self._connect,
                ask=self._ask,
                clock=self._clock,
                chance=self._chance,
                stale_ns=STALE_NS,
                on_frame=self._on_frame,
            )
            self._feeds.append((line, live))
            self._tasks.append(asyncio.ensure_future(live.run()))
        try:
            async with asyncio.timeout(FIRST_BOOKS_S):
                while (books := self._books(listed)) is None:
                    await asyncio.sleep(LOOK_S)
                    self._raise_failed()
        except TimeoutError as error:
            raise Refused(f"{self.venue}: expected whole books of {', '.join(listed)} within {FIRST_BOOKS_S:.0f} s, found none") from error
        self.drive = FollowDrive(tuple(listed.values()), books)
        self._trading = dict.fromkeys(listed, True)
        return self.drive

    def join(self, house: House) -> None:
        """From here on what is heard happens in that house."""
        self._house = house

    async def keep(self) -> None:
        """Close the markets whose books are lost or stale, and open them again, until cancelled. Raises what ended a feed."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._raise_failed()
            self._look()

    async def close(self) -> None:
        """End the feeds."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reader.close()

    def _books(self, listed: Mapping[str, Instrument]) -> dict[str, Sides] | None:
        found: dict[str, Sides] = {}
        for line, live in self._feeds:
            for symbol in line.books:
                book = line.feed.book(symbol)
                if book is None or not isinstance(live.freshness(symbol), Fresh) or not book.best_bid or not book.best_ask:
                    return None
                found[symbol] = (book.levels(1), book.levels(-1))
        return found if set(found) == set(listed) else None

    def _look(self) -> None:
        if self._house is None:
            return
        for line, live in self._feeds:
            for symbol in line.books:
                fresh = isinstance(live.freshness(symbol), Fresh)
                if fresh is not self._trading[symbol]:
                    self._trading[symbol] = fresh
                    self._house.faces[self.venue].venue.set_trading(symbol, fresh)

    def _on_frame(self, _frame: bytes, receive_ns: int, said: Taken | Reject) -> None:
        if self.drive is None:
            return
        if isinstance(said, Reject):
            self._look()
            return
        # Also before there is a house: it begins with the books as they are then.
        events = said.events
        if is_apart(said.venue_ns, receive_ns):
            self._look()
            events = tuple(event for event in events if isinstance(event, BookChange))
        rows = self.drive.told(events)
        if len(rows) and self._house is not None:
            self._house.happen(self.venue, rows)

    def _ask(self, call: Call) -> asyncio.Future[Heard]:
        return asyncio.ensure_future(self._reader.ask(SignedCall(call.method, call.path, call.query, (), call.body), READ_S))

    def _raise_failed(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()
