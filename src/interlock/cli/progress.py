"""A progress bar on stderr for what takes longer than a person likes to wait without a word."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import Progress, TaskID

from interlock.domain.clock import NS_PER_S, Clock

_SILENT_NS = 2 * NS_PER_S


class LateProgress:
    """Appears on a terminal after two seconds, if the work is not done by then. A context manager; call it with each amount done."""

    def __init__(self, clock: Clock, what: str, total: int, console: Console | None = None) -> None:
        self._clock = clock
        self._console = console or Console(stderr=True)
        self._what = what
        self._total = total
        self._done = 0
        self._begun_ns = clock.monotonic_ns()
        self._bar: tuple[Progress, TaskID] | None = None

    def __call__(self, amount: int) -> None:
        """Note that `amount` more is done."""
        self._done += amount
        if not self._console.is_terminal:
            return  # nobody watches, and a bar in a log file is noise
        if self._bar is None and self._clock.monotonic_ns() - self._begun_ns > _SILENT_NS:
            progress = Progress(console=self._console, transient=True)
            progress.start()
            self._bar = progress, progress.add_task(self._what, total=self._total)
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, completed=self._done)

    def __enter__(self) -> LateProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar[0].stop()
