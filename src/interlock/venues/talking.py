"""Holds a talk with a venue: signs each request with a fresh stamp, sends it once, hands over what was heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from interlock.domain.errors import UsageError
from interlock.venues.http_reader import HttpReader
from interlock.venues.port import Access, Ask, Stamp, Talk
from interlock.venues.request import Key, SignedCall

T = TypeVar("T")
Sign = Callable[[Key, Ask, Stamp], SignedCall]


class Talker:
    """Talks over one connection. Without a key only what is public can be asked; `stamp` makes each request unlike every other."""

    def __init__(self, reader: HttpReader, sign: Sign, key: Key | None, stamp: Callable[[], Stamp], *, timeout_s: float) -> None:
        self._reader = reader
        self._sign = sign
        self._key = key
        self._stamp = stamp
        self._timeout_s = timeout_s

    async def hold(self, talk: Talk[T]) -> T:
        """Hold a talk to its end within the time limit, all its requests together, and return what came of it.

        Raises ReadBroken without an answer, Refused and Nonsense as the talk does, UsageError for what must be signed without a key.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeout_s
        try:
            asked = next(talk)
            while True:
                heard = await self._reader.ask(self._signed(asked), max(until - loop.time(), 0.001))
                asked = talk.send(heard)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        finally:
            talk.close()

    def _signed(self, asked: Ask) -> SignedCall:
        call = asked.call
        if asked.access is Access.PUBLIC:
            return SignedCall(call.method, call.path, call.query, (), call.body)
        if self._key is None:
            raise UsageError(f"{call.method} {call.path}: expected a key, found none; what is public needs none")
        return self._sign(self._key, asked, self._stamp())
