"""A command in a terminal of its own: a pseudo-terminal that it controls, the keys that are typed there, and the screen that it drew last."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

_HOME = "\x1b[H"
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]")


class Terminal:
    """`text` is everything that was written, `screen` the last whole picture without colours."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], columns: int = 140, lines: int = 50) -> None:
        self._master, self._slave = os.openpty()
        self.resize(columns, lines)
        self.before: list[Any] = termios.tcgetattr(self._slave)
        self._written = b""
        self.process = subprocess.Popen(
            words,
            # The last two are wrong on purpose: the window says how large it is.
            env={**env, "TERM": "xterm-256color", "COLUMNS": "33", "LINES": "7"},
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the child begins at once
        )

    @property
    def text(self) -> str:
        """All that came so far."""
        while select.select([self._master], [], [], 0)[0]:
            self._written += os.read(self._master, 65_536)
        return self._written.decode("utf-8", errors="replace")

    @property
    def screen(self) -> str:
        """The last picture that is whole: the one before the last that was begun."""
        pictures = self.text.split(_HOME)
        return _SEQUENCE.sub("", pictures[-2]) if len(pictures) > 2 else ""

    @property
    def attributes(self) -> list[Any]:
        """How the terminal is set now."""
        return termios.tcgetattr(self._slave)

    def type(self, keys: str) -> None:
        """Type something."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Make the window another size; the kernel tells whoever runs there."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def until(self, so: Callable[[], object], within_s: float = 60) -> None:
        """Wait until something is so. Raises AssertionError with the screen."""
        deadline = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline, self.screen or self.text
            time.sleep(0.05)

    def shows(self, *texts: str) -> None:
        """Wait until the screen has all of these."""
        # A line that is too long goes on in the next one, wherever that is: temporary folders have names of different lengths.
        self.until(lambda: all(text in self.screen or text in " ".join(self.screen.split()) for text in texts))

    def draws_anew(self) -> None:
        """Wait for pictures that were begun after what was typed so far has been read."""
        drawn = self.text.count(_HOME)
        self.until(lambda: self.text.count(_HOME) > drawn + 2)

    def end(self, within_s: float = 30) -> int:
        """Wait for the end; the exit code."""
        deadline = time.monotonic() + within_s
        while self.process.poll() is None:
            _ = self.text  # a process that waits for its output to be read would never end
            assert time.monotonic() < deadline, self.screen
            time.sleep(0.05)
        return self.process.returncode

    def close(self) -> None:
        """End what runs there."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._master)
        os.close(self._slave)


@contextmanager
def terminal(words: Sequence[str], env: Mapping[str, str]) -> Iterator[Terminal]:
    """A terminal while the block runs."""
    made = Terminal(words, env)
    try:
        yield made
    finally:
        made.close()
