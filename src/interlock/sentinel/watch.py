"""Whether the gate makes progress, judged by its work and not by a thread that beats while the rest stands still."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.domain.errors import UsageError

LEAST_STALLS = 3
"""How many times the worst measured stall the bound has to be at least; less would stop gates that are merely slow."""
LEAST_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a gate may stand still, nanoseconds; `boot_ns` until it has done its first round of work. Raises UsageError."""

    worst_stall_ns: int
    stall_ns: int
    boot_ns: int

    def __post_init__(self) -> None:
        if not (self.worst_stall_ns > 0 and self.stall_ns >= LEAST_STALLS * self.worst_stall_ns and self.boot_ns >= self.stall_ns):
            raise UsageError(
                f"sentinel: expected stall_bound_ns >= {LEAST_STALLS} x worst_stall_ns > 0 and boot_bound_ns >= stall_bound_ns, "
                f"found {self.stall_ns}, {self.worst_stall_ns} and {self.boot_ns}; measure the worst stall and set the bounds by it"
            )


@dataclass(slots=True)
class Progress:
    """What has been seen of one gate. Time in which we did not look ourselves counts little: a machine that slept has not shown a dead gate."""

    bounds: Bounds
    life: str = ""
    count: int = 0
    stood_ns: int = 0
    _looked_ns: int = 0

    def see(self, life: str, count: int, boot_ns: int) -> None:
        """Look once: the gate's incarnation and its count of rounds."""
        if life != self.life or count != self.count:
            self.life, self.count, self.stood_ns = life, count, 0
        else:
            self.stood_ns += min(max(boot_ns - self._looked_ns, 0), self.bounds.stall_ns // LEAST_LOOKS)
        self._looked_ns = boot_ns

    def excuse(self) -> None:
        """Begin to count anew, after a stand-still that was wanted."""
        self.stood_ns = 0

    @property
    def fresh(self) -> bool:
        """Whether a gate has done work within its bound; a gate that has not begun is not fresh."""
        return self.count > 0 and self.stood_ns <= self.bounds.stall_ns

    @property
    def stalled(self) -> bool:
        """Whether it stands still for too long."""
        return self.life != "" and self.stood_ns > (self.bounds.stall_ns if self.count > 0 else self.bounds.boot_ns)
