"""The keys of a live view, and a terminal that is the same afterwards as before, whatever happens in between."""

from __future__ import annotations

import os
import select
import termios
import tty
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import IO, Any, Final

from interlock.domain.clock import NS_PER_S

CONFIRM_NS: Final = 5 * NS_PER_S
"""How long the first K waits for the second."""
ENTER: Final = ("\r", "\n")


class Wish(Enum):
    """What a key asks for."""

    NOTHING = auto()
    KILL = auto()
    QUIT = auto()


@dataclass
class Keys:
    """What keys come to. A kill is a capital K and then K or Enter within five seconds: two keys that nobody hits by leaning on the keyboard, and no
    word to type in an emergency. Any other key takes the first one back."""

    asked_ns: int | None = None

    def asking(self, now_ns: int) -> bool:
        """Whether the first K was typed and still counts."""
        return self.asked_ns is not None and 0 <= now_ns - self.asked_ns <= CONFIRM_NS

    def typed(self, keys: str, now_ns: int) -> Wish:
        """What these keys ask for, typed now (monotonic)."""
        if len(keys) > 2 and set(keys) - {"K", *ENTER}:
            # Pasted text, or a key that sends several signs: none of it is meant for us. Who hammers on K is.
            self.asked_ns = None
            return Wish.NOTHING
        for key in keys:
            if self.asking(now_ns):
                self.asked_ns = None
                if key == "K" or key in ENTER:
                    return Wish.KILL
                continue
            self.asked_ns = now_ns if key == "K" else None
            if key in ("q", "Q"):
                return Wish.QUIT
        return Wish.NOTHING


class Keyboard:
    """Single keys of a terminal, without echo; Ctrl-C and the like still work. The terminal is put back at the end of the block."""

    def __init__(self, stream: IO[Any]) -> None:
        self._number = stream.fileno()
        self._before: list[Any] = []

    def __enter__(self) -> Keyboard:
        self._before = termios.tcgetattr(self._number)
        tty.setcbreak(self._number, termios.TCSANOW)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # What was typed and not read is thrown away: it must not reach the shell.
        termios.tcsetattr(self._number, termios.TCSAFLUSH, self._before)

    def read(self, within_s: float) -> str | None:
        """What was typed within a time, empty for nothing; None when the terminal is gone."""
        ready, _, _ = select.select([self._number], [], [], within_s)
        if not ready:
            return ""
        try:
            found = os.read(self._number, 1024)
        except OSError:
            return None
        return found.decode("utf-8", errors="replace") if found else None
