"""The outbound heartbeat: every half minute a POST to an address of the user's, so that somebody else notices when it stops coming."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from interlock.sentinel.config import HeartbeatPart

WAIT_S = 5.0


class Pulse:
    """`work` is the thread's. An address that does not answer is trouble of the heartbeat, and of nothing else.

    The body is the sentinel's status as one JSON object. No redirect is followed and no proxy is asked: what is sent goes to that host alone. It
    names no key and no order.
    """

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
                self.trouble = self._post(json.dumps(self._status()).encode())
                self.sent += not self.trouble
            except Exception as error:  # noqa: BLE001 - trouble of the heartbeat must be trouble of nothing else
                self.trouble = str(error) or type(error).__name__
            self._stopping.wait(self._part.every_ns / 1e9)

    def _post(self, body: bytes) -> str:
        """What is wrong with the answer; empty if it was taken."""
        where = urlsplit(self._part.url)
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        connection = kind(where.hostname or "", where.port, timeout=WAIT_S)
        try:
            path = f"{where.path or '/'}{'?' if where.query else ''}{where.query}"
            connection.request("POST", path, body, {"Content-Type": "application/json", "Connection": "close"})
            answer = connection.getresponse()
            return "" if 200 <= answer.status < 300 else f"the address answered {answer.status} {answer.reason}"
        finally:
            connection.close()
