"""A WebSocket connection behind a port of our own, so that only this module knows which library speaks it (picows).

No redirect is followed, no proxy is used, nothing is compressed, and a connection that ends stays ended: whoever needs it connects anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from picows import WSCloseCode, WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from interlock.venues.endpoint import Endpoint
from interlock.venues.feed import MAX_FRAME_BYTES
from interlock.venues.http_wire import redirect_of

HANDSHAKE_S: Final = 5.0


class SocketBroken(Exception):
    """No connection came about; the text says why."""


class Socket(Protocol):
    """An open connection. Sending on one that has ended does nothing: its end was told."""

    def send(self, text: bytes) -> None:
        """Send a text frame."""
        ...

    @property
    def pongs(self) -> int:
        """How many pings of the protocol were answered."""
        ...

    def ping(self) -> None:
        """Send a ping of the protocol; the answer is counted in `pongs`."""
        ...

    def close(self) -> None:
        """End it at once; what is still under way is lost."""
        ...


OnFrame = Callable[[bytes], None]
"""Told the payload of every text or binary message, whole."""
OnEnd = Callable[[str], None]
"""Told once, with a reason, when the connection is over, by whomever."""
Connect = Callable[[Endpoint, str, Sequence[tuple[str, str]], OnFrame, OnEnd], Awaitable[Socket]]
"""Connects to a path with headers. Raises SocketBroken."""


class _Listener(WSListener):
    """Puts fragments together and tells whole messages. What a callback raises ends the connection and is told as its reason.

    `transport` is there once the connection is. One that nobody wants any more ends where it comes about, and tells nothing.
    """

    def __init__(self, on_frame: OnFrame, on_end: OnEnd) -> None:
        super().__init__()
        self._on_frame = on_frame
        self._on_end = on_end
        self._parts = bytearray()
        self._reason = ""
        self._unwanted = False
        self.pongs = 0
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """It has come about."""
        self.transport = transport
        if self._unwanted:
            transport.disconnect(graceful=False)

    def abandon(self) -> None:
        """Nobody wants it any more: it ends now, or as soon as it has come about."""
        self._unwanted = True
        if self.transport is not None:
            self.transport.disconnect(graceful=False)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame came."""
        if self._unwanted:
            return
        kind = frame.msg_type
        if kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            data = frame.get_payload_as_bytes()
            if self._parts or not frame.fin:
                self._parts += data
                if len(self._parts) > MAX_FRAME_BYTES:
                    self.end(transport, f"expected a message of at most {MAX_FRAME_BYTES} bytes, found a longer one")
                    return
                if not frame.fin:
                    return
                data = bytes(self._parts)
                self._parts.clear()
            self._on_frame(data)
        elif kind is WSMsgType.PONG:
            self.pongs += 1
        elif kind is WSMsgType.CLOSE:
            self.end(transport, f"the venue closed it ({frame.get_close_code().value})")

    def end(self, transport: WSTransport, reason: str) -> None:
        """End it for a reason of ours."""
        self._reason = self._reason or reason
        transport.disconnect(graceful=False)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """It is over."""
        if self._unwanted:
            return
        self._on_end(self._reason or "the connection was lost")


class _PicowsSocket:
    def __init__(self, transport: WSTransport, listener: _Listener) -> None:
        self._transport = transport
        self._listener = listener

    @property
    def pongs(self) -> int:
        return self._listener.pongs

    def send(self, text: bytes) -> None:
        if not self._transport.is_disconnected:
            self._transport.send(WSMsgType.TEXT, text)

    def ping(self) -> None:
        if not self._transport.is_disconnected:
            self._transport.send_ping()

    def close(self) -> None:
        if not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.GOING_AWAY)
            self._listener.end(self._transport, "we closed it")


async def connect_picows(endpoint: Endpoint, path: str, headers: Sequence[tuple[str, str]], on_frame: OnFrame, on_end: OnEnd) -> Socket:
    """The `Connect` of every real connection. `path` has its query."""
    scheme = "wss" if endpoint.tls else "ws"
    where = f"{endpoint.authority_host}{path.partition('?')[0]}"
    listener = _Listener(on_frame, on_end)
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            transport, _ = await ws_connect(
                lambda request, response: listener,
                f"{scheme}://{endpoint.authority_host}{path}",
                ssl_context=endpoint.context(),
                websocket_handshake_timeout=HANDSHAKE_S,
                logger_name=_silent(),
                max_frame_size=MAX_FRAME_BYTES,
                extra_headers=[("User-Agent", "interlock"), *headers],
                max_redirects=0,
                use_aiofastnet=False,
            )
    except TimeoutError:
        listener.abandon()
        raise SocketBroken(f"{where}: no connection within {HANDSHAKE_S} s") from None
    except (OSError, WSError) as error:
        raise SocketBroken(f"{where}: {_said(error)}") from error
    except BaseException:
        # The library leaves a connection open whose caller was cancelled while the venue was answering.
        listener.abandon()
        raise
    if listener.transport is None:
        # So the library says that the other side went away before it had answered.
        raise SocketBroken(f"{where}: the venue closed it before it was open")
    return _PicowsSocket(transport, listener)


def _said(error: OSError | WSError) -> str:
    if isinstance(error, WSHandshakeError) and error.response is not None:
        redirect = redirect_of(int(error.response.status), error.response.headers.get("Location") or "")
        if redirect:
            return f"expected a WebSocket, found {redirect}"
    return str(error) or type(error).__name__


def _silent() -> logging.Logger:
    """The library's own log: what matters of it is told by exceptions and reasons, and it may hold a key."""
    logger = logging.getLogger("picows.interlock")
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False
    return logger
