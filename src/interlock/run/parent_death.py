"""A child is asked to end when whoever started it dies, also by kill -9: nobody would watch it, and nobody else would ever end it."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from typing import Final

LEFT_ALONE: Final = signal.SIGUSR1
"""To one that is to outlive the others for a while, who still need it when they end."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def end_with_us(number: int = signal.SIGTERM) -> Callable[[], None]:
    """For `preexec_fn` of a process without threads: the child gets this signal when we are gone."""
    parent = os.getpid()

    def before() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)  # we died before it was asked for, and nobody tells it

    return before
