"""The engine's connections to the gate: one to propose, one to take back, one to follow. None of them waits for another.
An edge that has collapsed goes over the second, which lowers as well.

Nothing is asked twice: a connection that ends with a proposal unanswered leaves it open whether that became an order. Then everything of ours is
taken back over a new connection, and only then is anything proposed again. Only an edge is told again until it is answered: that can only lower.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from interlock.gate.following import FOLLOW_EVERY_NS
from interlock.gate.frames import (
    LENGTH_BYTES,
    PROTOCOL,
    AnyFrame,
    CancelOwn,
    Decided,
    Done,
    Edge,
    Follow,
    Followed,
    Frame,
    Hello,
    Proposal,
    Propose,
    Refusal,
    Role,
    Welcome,
    body_length,
    decode,
    encode,
)
from interlock.gate.sockets import peer_of

AGAIN_S: Final = 0.2
ANSWER_S: Final = 5.0
"""A gate that does not answer for so long is not there."""


class GateLost(Exception):
    """A connection to the gate ended, or never began; the text says why."""


class _Connection:
    """One connection: requests out, answers in, in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.incarnation = ""

    @classmethod
    async def open(cls, path: Path, server_uid: int, strategy: str) -> _Connection:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(str(path))
                connection = cls(reader, writer)
                peer = peer_of(writer.get_extra_info("socket"))
                if peer.uid != server_uid:
                    connection.close()
                    raise GateLost(f"{path}: expected a gate of user {server_uid}, found one of user {peer.uid}; do not talk to it")
                connection.send(Hello(protocol=PROTOCOL, role=Role.INTENT, strategy=strategy))
                welcome, _ = await connection.answer()
        except (OSError, TimeoutError) as error:
            raise GateLost(f"{path}: {str(error) or 'no answer'}") from error
        if not isinstance(welcome, Welcome):
            connection.close()
            raise GateLost(f"{path}: {welcome.detail if isinstance(welcome, Refusal) else welcome}")
        connection.incarnation = welcome.incarnation
        return connection

    def send(self, frame: Frame) -> None:
        self._writer.write(encode(frame))

    async def answer(self) -> tuple[AnyFrame, bytes]:
        """The next answer, and its body."""
        try:
            body = await self._reader.readexactly(body_length(await self._reader.readexactly(LENGTH_BYTES)))
            return decode(body), body
        except (OSError, EOFError, ValueError) as error:
            raise GateLost(f"the gate's answer: {error}") from error

    def close(self) -> None:
        sock: socket.socket | None = self._writer.get_extra_info("socket")
        if sock is not None:
            self._writer.transport.abort()


OnFollowed = Callable[[Followed, bytes], None]
"""Told what the gate tells, and the body it came in."""
OnDecided = Callable[[Sequence[int], Decided], None]
OnLost = Callable[[str, bool], None]
"""Told that the gate was lost: why, and whether proposals were under way."""


class GateLine:
    """Keeps the connections while `run` runs. `propose` and `take_back` say whether there was a gate to be told; both return at once.

    `strategy` is the digest of what the engine decides by, which the gate holds against what it was started for.

    The callbacks are called from the loop, in the order in which the gate said things on one connection.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_followed: OnFollowed,
        on_decided: OnDecided,
        on_lost: OnLost,
        server_uid: int | None = None,
        strategy: str = "",
    ) -> None:
        self._path = path
        self._uid = os.geteuid() if server_uid is None else server_uid
        self._strategy = strategy
        self._on_followed = on_followed
        self._on_decided = on_decided
        self._on_lost = on_lost
        self._proposing: _Connection | None = None
        self._cancelling: _Connection | None = None
        self._asked: asyncio.Queue[tuple[int, ...]] = asyncio.Queue()
        self._lowering: deque[CancelOwn | Edge] = deque()
        """What was asked over the connection for cancels and is not answered."""
        self._edge: Edge | None = None
        """The latest collapse that no gate has answered."""
        self.connections = 0
        self.edge_refused = ""
        self.incarnation = ""

    @property
    def there(self) -> bool:
        """Whether there is a gate that takes proposals."""
        return self._proposing is not None

    def propose(self, numbers: Sequence[int], proposals: Sequence[Proposal]) -> bool:
        """Propose orders; `numbers` are ours, told again with what was decided."""
        if self._proposing is None:
            return False
        self._asked.put_nowait(tuple(numbers))
        self._proposing.send(Propose(proposals=tuple(proposals)))
        return True

    def take_back(self, client_ids: Sequence[str], reason: str) -> bool:
        """Ask for cancels; with no id for all of ours."""
        if self._cancelling is None:
            return False
        self._lower(self._cancelling, CancelOwn(client_ids=tuple(client_ids), reason=reason))
        return True

    def tell_edge(self, edge: Edge) -> None:
        """Tell of an edge that has collapsed: now, or to the next gate that there is. `edge_refused` says what a gate had against it."""
        self._edge = edge
        if self._cancelling is not None:
            self._lower(self._cancelling, edge)

    async def run(self) -> None:
        """Keep talking to the gate until cancelled. What a callback raises ends it."""
        while True:
            try:
                await self._life()
            except GateLost as lost:
                why = str(lost)
            under_way = not self._asked.empty()
            while not self._asked.empty():
                self._asked.get_nowait()
            self._on_lost(why, under_way)
            await asyncio.sleep(AGAIN_S)

    async def _life(self) -> None:
        """Until one of the connections ends, which raises GateLost."""
        opened: list[_Connection] = []
        try:
            for _ in range(3):
                opened.append(await _Connection.open(self._path, self._uid, self._strategy))
            proposing, cancelling, following = opened
            if len({one.incarnation for one in opened}) > 1:
                raise GateLost("the gate began anew meanwhile")
            # What an engine before this one left behind, or a proposal whose answer was lost: nobody knows of it any more.
            cancelling.send(CancelOwn(client_ids=(), reason="an engine begins"))
            await self._expect(cancelling, Done)
            self.incarnation = proposing.incarnation
            self.connections += 1
            self._cancelling, self._proposing = cancelling, proposing
            self._lowering.clear()
            if self._edge is not None:
                self._lower(cancelling, self._edge)
            tasks = [asyncio.ensure_future(one) for one in (self._decisions(proposing), self._cancels(cancelling), self._follow(following))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            for error in ended:
                if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError | GateLost):
                    raise error
            raise next((one for one in ended if isinstance(one, GateLost)), GateLost("the connection ended"))
        finally:
            self._proposing = self._cancelling = None
            for one in opened:
                one.close()

    async def _decisions(self, connection: _Connection) -> None:
        while True:
            numbers = await self._asked.get()
            try:
                async with asyncio.timeout(ANSWER_S):
                    answer, _ = await connection.answer()
            except BaseException as error:
                self._asked.put_nowait(numbers)  # it is under way still
                if isinstance(error, TimeoutError):
                    raise GateLost("the gate did not answer a proposal") from error
                raise
            if not isinstance(answer, Decided) or len(answer.decisions) != len(numbers):
                self._asked.put_nowait(numbers)
                raise GateLost(f"expected {len(numbers)} decisions, found {answer}")
            self._on_decided(numbers, answer)

    def _lower(self, connection: _Connection, request: CancelOwn | Edge) -> None:
        self._lowering.append(request)
        connection.send(request)

    async def _cancels(self, connection: _Connection) -> None:
        while True:
            answer, _ = await connection.answer()
            asked = self._lowering.popleft() if self._lowering else None
            if isinstance(asked, Edge):
                if isinstance(answer, Refusal):
                    # It was told, and will be refused as often as it is: nothing else is held up by that.
                    self.edge_refused = answer.detail
                    answer = Done()
                if self._edge is asked:
                    self._edge = None
            if not isinstance(answer, Done):
                raise GateLost(f"expected Done, found {answer}")

    async def _follow(self, connection: _Connection) -> None:
        version = 0
        while True:
            connection.send(Follow(after=version, wait_ns=FOLLOW_EVERY_NS))
            told, body = await self._expect_body(connection)
            version = told.version
            self._on_followed(told, body)

    @staticmethod
    async def _expect(connection: _Connection, kind: type[Frame]) -> None:
        await _within(GateLine._answered(connection, kind))

    @staticmethod
    async def _answered(connection: _Connection, kind: type[Frame]) -> None:
        answer, _ = await connection.answer()
        if not isinstance(answer, kind):
            raise GateLost(f"expected {kind.__name__}, found {answer}")

    @staticmethod
    async def _expect_body(connection: _Connection) -> tuple[Followed, bytes]:
        answer, body = await _answer_within(connection)
        if not isinstance(answer, Followed):
            raise GateLost(f"expected Followed, found {answer}")
        return answer, body


async def _within(waiting: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(ANSWER_S):
            await waiting
    except TimeoutError as error:
        raise GateLost("the gate did not answer") from error


async def _answer_within(connection: _Connection) -> tuple[AnyFrame, bytes]:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await connection.answer()
    except TimeoutError as error:
        raise GateLost("the gate did not answer") from error
