"""Ctrl-C and SIGTERM as a wish to stop, asked about between blocks of work; a second one ends the process at once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any


class StopWish:
    """A context in which the first interrupt only sets `wanted`, so that a run can be closed and sealed."""

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[int, Any] = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True

    def __enter__(self) -> StopWish:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
