"""Hearing one checker after the other: the pipe of each that was started, in the event loop, into one memory of what was told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from interlock.gate.checker_beats import CheckerBeats

_MOST_BYTES: Final = 1 << 16


class CheckerLine:
    """Feeds `beats` from `begin` to `end`. `first_fd` is where the first checker's can be read and stays the caller's; -1 for nowhere.

    Another checker is heard only after the end of the one before was judged (`go_on`), so that no death passes unseen however fast the next one is.
    """

    def __init__(self, beats: CheckerBeats, first_fd: int, boot_ns: Callable[[], int]) -> None:
        self._beats = beats
        self._fd = first_fd
        self._boot_ns = boot_ns
        self._ours = False
        self._next_fd = -1
        self._over = False

    def begin(self) -> None:
        """Hear the first one, in the running loop."""
        if self._fd >= 0:
            self._listen()

    def hear(self, beats_fd: int) -> None:
        """Another checker was started in the place of one that is gone. The descriptor is closed here, and the checker ends by it."""
        if self._over:
            os.close(beats_fd)
            return
        self._drop_next()
        self._next_fd = beats_fd
        # What the dead one told last may not have been read yet; then comes its end.
        while self._fd >= 0 and not self._beats.ended and self._take():
            pass
        self._beats.feed(b"", self._boot_ns())

    def go_on(self) -> None:
        """The end of the last one was judged: hear the next, if there is one."""
        if self._next_fd >= 0:
            self._let_go()
            self._fd, self._ours, self._next_fd = self._next_fd, True, -1
            self._beats.another()
            self._listen()

    def end(self) -> None:
        """Hear nothing more."""
        self._over = True
        self._let_go()
        self._drop_next()

    def _listen(self) -> None:
        os.set_blocking(self._fd, False)
        asyncio.get_running_loop().add_reader(self._fd, self._take)

    def _take(self) -> bool:
        """Read what is there; whether there may be more."""
        try:
            data = os.read(self._fd, _MOST_BYTES)
        except BlockingIOError:
            return False
        self._beats.feed(data, self._boot_ns())
        if not data:
            asyncio.get_running_loop().remove_reader(self._fd)
        return bool(data)

    def _let_go(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            if self._ours:
                os.close(self._fd)
        self._fd, self._ours = -1, False

    def _drop_next(self) -> None:
        if self._next_fd >= 0:
            os.close(self._next_fd)
        self._next_fd = -1
