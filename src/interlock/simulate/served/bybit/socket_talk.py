"""What the three kinds of sockets share: reading a message, and cutting off connections that say nothing for too long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from interlock.simulate.served.hub import Listener

Talk = Callable[[Listener, bytes], Awaitable[None]]
IDLE_S: Final = 600
IDLE_BOUNDS_S: Final = (30, 600)


def read_message(text: bytes) -> dict[str, Any]:
    """A client's message; empty for what is none."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def texts(message: dict[str, Any], name: str) -> list[str]:
    """A list of texts in a message; empty where there is none."""
    found = message.get(name)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


class Idle:
    """When each connection last said something. One that was silent for its `max_active_time` is cut."""

    def __init__(self) -> None:
        self._heard_ms: dict[Listener, int] = {}

    def heard(self, listener: Listener, now_ms: int) -> None:
        """A connection said something."""
        self._heard_ms[listener] = now_ms

    def cut(self, now_ms: int) -> None:
        """Cut those that were silent for too long."""
        for listener, heard_ms in list(self._heard_ms.items()):
            if listener.socket.closed:
                del self._heard_ms[listener]
            elif now_ms - heard_ms >= 1000 * idle_s(listener):
                del self._heard_ms[listener]
                listener.send(b"")


def idle_s(listener: Listener) -> int:
    """How long a connection may be silent, seconds, as its address asked for within bounds."""
    text = listener.params.get("max_active_time", "").removesuffix("s").removesuffix("m")
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        return IDLE_S
    asked = int(text) * (60 if listener.params["max_active_time"].endswith("m") else 1)
    return min(max(asked, IDLE_BOUNDS_S[0]), IDLE_BOUNDS_S[1])
