"""Disconnection protection: every open order is cancelled once all private connections that subscribed to it are down or silent for the window.

The venue grants it to institutions on request, so it is off until `enabled` is set. It ends orders at once here; the venue takes some ten seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

DEFAULT_WINDOW_S: Final = 10
TOPICS: Final = ("dcp.future", "dcp.spot")


@dataclass(slots=True)
class DeadMan:
    """The switch of derivatives. `heard_ms` is when a subscribed connection last said something, a steady time; None while nobody listens to it."""

    enabled: bool = False
    windows_s: dict[str, int] = field(default_factory=dict)
    heard_ms: int | None = None

    def heard(self, now_ms: int) -> None:
        """A connection that subscribed said something."""
        self.heard_ms = now_ms

    def due(self, now_ms: int) -> bool:
        """Whether it fires now; it does so once, until a connection subscribes again."""
        window_ms = 1000 * self.windows_s.get("DERIVATIVES", DEFAULT_WINDOW_S)
        if not self.enabled or self.heard_ms is None or now_ms - self.heard_ms < window_ms:
            return False
        self.heard_ms = None
        return True
