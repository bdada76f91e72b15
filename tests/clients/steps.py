"""What every script here says of its steps, and how it lets the simulator do something. Runs in the clients' own environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

LONGEST = 300


class Steps:
    """Tells each step as one line of JSON; `failed` are those that did not go as expected."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def tell(self, name: str, as_expected: bool, detail: object = "", **more: Any) -> None:
        """What came of a step."""
        if not as_expected:
            self.failed.append(name)
        say({"step": name, "ok": bool(as_expected), "detail": str(detail)[:LONGEST], **more})

    def expect(self, name: str, act: Callable[[], Any], check: Callable[[Any], bool]) -> Any:
        """A step that gives something; None where it raised."""
        try:
            found = act()
        except Exception as error:  # noqa: BLE001 - whatever the client raises is what the step shows
            self.tell(name, False, f"{type(error).__name__}: {error}")
            return None
        self.tell(name, check(found), found)
        return found

    def refused(self, name: str, kind: type[Exception], act: Callable[[], Any], text: str = "") -> None:
        """A step that must fail with that very class, not with one below it, and with a text in its message."""
        try:
            found = act()
        except Exception as error:  # noqa: BLE001 - whatever the client raises is what is looked at
            self.tell(name, type(error) is kind and text in str(error), f"{type(error).__name__}: {error}")
        else:
            self.tell(name, False, f"expected {kind.__name__}, found {found}")


def say(line: dict[str, Any]) -> None:
    """One line."""
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()


def happen(control: str, **fault: Any) -> None:
    """Let the simulator do something of its own accord, or wrong."""
    urlopen(Request(f"{control}/faults", json.dumps(fault).encode(), method="POST"), timeout=10).read()
