"""Listening to the checker: lines of JSON from a process that reads the journal along, each the proof that somebody looks.

What is no beat counts as silence. A violation is remembered for this process life, also when another checker beats in the place of one that died.
"""

from __future__ import annotations

import json

LONGEST_LINE_BYTES = 1 << 20


class CheckerBeats:
    """Takes bytes as they come. `first_boot_ns` is None until the first beat; `violations` are those that were told, in words, each once."""

    def __init__(self, bound_ns: int) -> None:
        self._bound_ns = bound_ns
        self._rest = b""
        self.first_boot_ns: int | None = None
        self.last_boot_ns: int | None = None
        self.ended = False
        self.violations: list[str] = []
        self._told: set[tuple[str, str]] = set()
        self.count = 0
        """How many violations there are: as many as a checker has counted, also where it told of them no more, and as all have told together."""

    def another(self) -> None:
        """What comes from here on is another checker's, which reads the journal from its start: it lives from its own first beat on."""
        self._rest = b""
        self.ended = False
        self.last_boot_ns = None

    def feed(self, data: bytes, boot_ns: int) -> None:
        """Take what has arrived; empty: the checker is gone."""
        if not data or self.ended:
            self.ended = True
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE_BYTES:
            self.ended, self._rest = True, b""
        for line in lines:
            self._line(line, boot_ns)

    def _line(self, line: bytes, boot_ns: int) -> None:
        try:
            told = json.loads(line)
            count, new = int(told["violations"]), [(str(one.get("lsn")), f"{one['invariant']}: {one['sentence']}") for one in told["new"]]
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        for one in new:
            if one not in self._told:
                self._told.add(one)
                self.violations.append(one[1])
        self.count = max(self.count, count, len(self._told))
        self.last_boot_ns = boot_ns
        if self.first_boot_ns is None:
            self.first_boot_ns = boot_ns

    def silent_ns(self, boot_ns: int) -> int | None:
        """How long ago the last beat came; None if there was none."""
        return None if self.last_boot_ns is None else boot_ns - self.last_boot_ns

    def alive(self, boot_ns: int) -> bool:
        """Whether somebody looks, and has found nothing."""
        silent_ns = self.silent_ns(boot_ns)
        return not self.ended and self.count == 0 and silent_ns is not None and 0 <= silent_ns <= self._bound_ns
