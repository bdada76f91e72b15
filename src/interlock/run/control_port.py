"""The control port of simulated venues, for whoever started them: what is true there, and faults. No proxy is asked for it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

WAIT_S: Final = 10.0


class ControlPort:
    """`address` is `control` in the first line of `interlock venues serve`. Every method raises OSError where it is not answered well."""

    def __init__(self, address: str) -> None:
        self._address = address
        # Whoever sits behind a proxy has it in the environment, and it would be asked for this host too.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def state(self) -> dict[str, Any]:
        """What is true, by venue."""
        return self._ask("/state")

    def happened(self) -> dict[str, int]:
        """How often each fault happened."""
        return self._ask("/faults")

    def strike(self, fault: Mapping[str, Any]) -> None:
        """Let a fault wait or happen."""
        self._ask("/faults", json.dumps(dict(fault)).encode())

    def _ask(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        with self._opener.open(f"{self._address}{path}", body, WAIT_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
