"""The outbound heartbeat: every half minute one line to an address of the user's, so that somebody else notices when it stops coming."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable

from interlock.sentinel.config import HeartbeatPart

CONNECT_S = 5.0


class Pulse:
    """`work` is the thread's. An address that does not answer is trouble of the heartbeat, and of nothing else."""

    def __init__(self, part: HeartbeatPart, status: Callable[[], dict[str, object]]) -> None:
        self._part = part
        self._status = status
        self._stopping = threading.Event()
        self.sent = 0
        self.trouble = ""

    def stop(self) -> None:
        """Let `work` end soon."""
        self._stopping.set()

    def work(self) -> None:
        """Send until stopped; the first at once."""
        while not self._stopping.is_set():
            try:
                with socket.create_connection((self._part.host, self._part.port), CONNECT_S) as connection:
                    connection.sendall(json.dumps(self._status()).encode() + b"\n")
                self.sent += 1
                self.trouble = ""
            except OSError as error:
                self.trouble = str(error)
            self._stopping.wait(self._part.every_ns / 1e9)
