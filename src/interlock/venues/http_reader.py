"""A connection for reads: one request at a time, each written once, on a connection that is opened when it is needed.

No redirect is followed, no proxy of the environment is used, nothing is repeated: a read that fails says so, and whoever wanted it asks again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from interlock.venues.endpoint import Endpoint
from interlock.venues.http_wire import Answers, HttpTrouble, frame_of
from interlock.venues.port import Heard
from interlock.venues.request import SignedCall

_CHUNK = 1 << 16


class ReadBroken(Exception):
    """A read had no answer; nothing is known that was not known before."""


class HttpReader:
    """Reads from one endpoint. Those that ask at the same time wait for each other."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._context = endpoint.context()
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._answers = Answers()

    async def ask(self, signed: SignedCall, timeout_s: float) -> Heard:
        """Send a request once and return the answer, whatever its status. Raises ReadBroken, also when the time is over."""
        return await self.ask_made(lambda: signed, timeout_s)

    async def ask_made(self, make: Callable[[], SignedCall], timeout_s: float) -> Heard:
        """As `ask`, of a request that is made when it is its turn and the connection stands, so that its stamp is not older than it must be.

        What `make` raises comes out; nothing was sent then.
        """
        what, mine = self.endpoint.authority_host, False
        try:
            async with asyncio.timeout(timeout_s), self._turn:
                mine = True
                reader, writer = await self._open()
                mine = False  # whatever `make` raises, the connection is as good as it was
                signed = make()
                mine, what = True, f"{signed.method.value} {signed.path}"
                return await self._ask(signed, reader, writer)
        except TimeoutError:
            self._break(mine)
            raise ReadBroken(f"{what}: no answer within {timeout_s:g} s") from None
        except (OSError, HttpTrouble) as error:
            self._break(mine)
            raise ReadBroken(f"{what}: {error}") from error
        except asyncio.CancelledError:
            self._break(mine)  # whatever it is that still comes must not be taken for the answer to something else
            raise

    def close(self) -> None:
        """Give the connection up; the next read makes a new one."""
        streams, self._streams = self._streams, None
        if streams is not None:
            with contextlib.suppress(OSError):
                streams[1].transport.abort()

    def _break(self, mine: bool) -> None:
        """Give the connection up if it was used by whoever failed: who only waited for a turn leaves it to the one who has it."""
        if mine:
            self.close()

    async def _ask(self, signed: SignedCall, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Heard:
        frame = frame_of(signed, self.endpoint.authority_host)
        self._answers.expect(signed.method.value)
        writer.write(frame)
        await writer.drain()
        while True:
            heard = self._answers.feed(await reader.read(_CHUNK))
            if heard is not None:
                if not self._answers.keeps:
                    self.close()
                return heard

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        streams = self._streams
        if streams is not None and (streams[0].at_eof() or streams[1].is_closing()):
            self.close()
            streams = None
        if streams is None:
            streams = await asyncio.open_connection(self.endpoint.host, self.endpoint.port, ssl=self._context, limit=_CHUNK)
            self._streams, self._answers = streams, Answers()
        return streams
