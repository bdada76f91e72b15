"""Holds a talk with a venue: waits for room in its limits, signs each request with a fresh stamp, sends it once, hands over what was heard.

A long talk waits between its requests, so that it does not run into the venue's refusal; where the wait is longer than the time that is left, it ends
at once. Between the last look at the limits and the first byte nothing is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import UsageError
from interlock.venues.budget import NoRoom
from interlock.venues.http_reader import HttpReader
from interlock.venues.port import Access, Ask, Heard, Stamp, Talk
from interlock.venues.request import Key, SignedCall

__all__ = ("NoRoom", "Pace", "Sign", "Talker")
T = TypeVar("T")
Sign = Callable[[Key, Ask, Stamp], SignedCall]


class Pace(Protocol):
    """When a request may go out, and what its answer says of that."""

    def wait_ns(self, asked: Ask) -> int:
        """0 if the request may go out now, or else how long to wait at least before asking again. Raises NoRoom where waiting is of no use."""
        ...

    def goes(self, asked: Ask) -> int:
        """The request goes out now; the time of that."""
        ...

    def came(self, asked: Ask, heard: Heard, went_ns: int) -> None:
        """The answer came to a request that went out then."""
        ...


class _Unpaced:
    def wait_ns(self, asked: Ask) -> int:
        return 0

    def goes(self, asked: Ask) -> int:
        return 0

    def came(self, asked: Ask, heard: Heard, went_ns: int) -> None:
        pass


class Talker:
    """Talks over one connection. Without a key only what is public can be asked; `stamp` makes each request unlike every other.

    `pace` holds the talks to the venue's limits; `route` names another connection for requests that another host answers, or that should not wait
    for others.
    """

    def __init__(
        self,
        reader: HttpReader,
        sign: Sign,
        key: Key | None,
        stamp: Callable[[], Stamp],
        *,
        timeout_s: float,
        pace: Pace | None = None,
        route: Callable[[Ask], HttpReader] | None = None,
    ) -> None:
        self._sign = sign
        self._key = key
        self._stamp = stamp
        self._timeout_s = timeout_s
        self._pace = pace or _Unpaced()
        self._route = route or (lambda _: reader)

    async def hold(self, talk: Talk[T], *, timeout_s: float = 0.0, on_send: Callable[[], None] = lambda: None) -> T:
        """Hold a talk to its end within the time limit, all its requests together, and return what came of it.

        `timeout_s` takes the place of the usual limit; `on_send` is called right before each request is written. Raises NoRoom and ReadBroken
        without an answer, Refused and Nonsense as the talk does, UsageError for what must be signed without a key.
        """
        until = asyncio.get_running_loop().time() + (timeout_s or self._timeout_s)
        try:
            asked = next(talk)
            while True:
                asked = talk.send(await self._ask(asked, until, on_send))
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        finally:
            talk.close()

    async def _ask(self, asked: Ask, until: float, on_send: Callable[[], None]) -> Heard:
        loop = asyncio.get_running_loop()
        went_ns = 0

        def made() -> SignedCall:
            nonlocal went_ns
            if wait_ns := self._pace.wait_ns(asked):
                raise NoRoom(wait_ns)
            signed = self._signed(asked)
            went_ns = self._pace.goes(asked)
            on_send()
            return signed

        while True:
            left_s = until - loop.time()
            if wait_ns := self._pace.wait_ns(asked):
                if wait_ns > left_s * NS_PER_S:
                    raise NoRoom(wait_ns)
                await asyncio.sleep(wait_ns / NS_PER_S)
                continue
            try:
                heard = await self._route(asked).ask_made(made, max(left_s, 0.001))
            except NoRoom:
                continue  # others took the room while this one waited for its turn
            self._pace.came(asked, heard, went_ns)
            return heard

    def _signed(self, asked: Ask) -> SignedCall:
        call = asked.call
        if asked.access is Access.PUBLIC:
            return SignedCall(call.method, call.path, call.query, (), call.body)
        if self._key is None:
            raise UsageError(f"{call.method} {call.path}: expected a key, found none; what is public needs none")
        return self._sign(self._key, asked, self._stamp())
