"""The loop of a live view: draw, look for a key, draw again. It ends with q, Ctrl-C or the terminal, which is then as it was."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO, Any, Final

from rich.console import Console, ConsoleDimensions
from rich.live import Live

from interlock.console.keys import Keyboard, Keys, Wish
from interlock.console.screen import screen
from interlock.console.view import View
from interlock.domain.clock import Clock

DRAW_EVERY_S: Final = 0.25
LINE_EVERY_S: Final = 1.0
BEGIN_S: Final = 2.0
"""How long whoever leaves waits until a kill that was asked for has reached the sentinel."""

Say = Callable[[str], None]
Kill = Callable[[Say], None]
"""Stop everything and tell how far it has come, in lines, to the end. Runs in a thread, and never raises for what a person meets."""


class Killing:
    """A kill that was asked for with a key: once at a time, in a thread, so that the view goes on."""

    def __init__(self, kill: Kill) -> None:
        self._kill = kill
        self._thread: threading.Thread | None = None
        self._said = threading.Event()
        self.lines: list[str] = []

    def begin(self) -> None:
        """Ask for it now; while one is under way nothing more is done."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._said.clear()
        self.lines.append("asked for")
        self._thread = threading.Thread(target=self._kill, args=(self._say,), name="watch-kill", daemon=True)
        self._thread.start()

    def _say(self, text: str) -> None:
        self.lines.append(text)
        self._said.set()

    def leave(self) -> None:
        """Let it reach the sentinel before the process ends."""
        if self._thread is not None and self._thread.is_alive():
            self._said.wait(BEGIN_S)


def watch_terminal(view: Callable[[], View], kill: Kill, clock: Clock, console: Console, keyboard: IO[Any] | None) -> None:
    """Draw until a person leaves. `keyboard` None: no keys, until Ctrl-C."""
    keys, killing, wait = Keys(), Killing(kill), threading.Event()
    try:
        with ExitStack() as stack:
            typed = None if keyboard is None else stack.enter_context(Keyboard(keyboard))
            live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False))
            while True:
                _fit(console)
                asking = keys.asking(clock.monotonic_ns())
                live.update(screen(view(), asking=asking, killing=killing.lines, keys=typed is not None), refresh=True)
                if typed is None:
                    wait.wait(DRAW_EVERY_S)
                    continue
                found = typed.read(DRAW_EVERY_S)
                wish = Wish.QUIT if found is None else keys.typed(found, clock.monotonic_ns())
                if wish is Wish.KILL:
                    killing.begin()
                elif wish is Wish.QUIT:
                    return
    finally:
        killing.leave()


def _fit(console: Console) -> None:
    """Draw for the window as it is now. COLUMNS and LINES, which shells and others export, say how it once was."""
    try:
        columns, lines = os.get_terminal_size(console.file.fileno())
    except OSError:
        return
    if columns and lines:
        console.size = ConsoleDimensions(columns, lines)


def watch_lines(view: Callable[[], View], say: Callable[[View], None]) -> None:
    """Tell the view every second, until Ctrl-C or until nobody reads."""
    wait = threading.Event()
    while True:
        say(view())
        wait.wait(LINE_EVERY_S)
