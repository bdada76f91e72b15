"""The files that a run has to leave behind, by what took part in it; docs/running.md says what each of them holds.

`kpi.json` says so and is none of them; sockets and locks are there only while the run goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Evidence:
    """Patterns of files below the folder of a run. `held` must hold something; of `kept` nothing may have been there to write down."""

    held: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __add__(self, other: Evidence) -> Evidence:
        """Both."""
        return Evidence(self.held + other.held, self.kept + other.kept)

    @property
    def patterns(self) -> tuple[str, ...]:
        """All of them."""
        return self.held + self.kept

    def within(self, folder: str) -> Evidence:
        """The same files in a folder of the run's."""
        return Evidence(*(tuple(f"{folder}/{pattern}" for pattern in patterns) for patterns in (self.held, self.kept)))

    def missing(self, out: Path) -> list[str]:
        """The patterns of which there is no file, or only empty ones where it must hold something."""
        absent = [pattern for pattern in self.held if not any(one.is_file() and one.stat().st_size for one in out.glob(pattern))]
        return absent + [pattern for pattern in self.kept if not any(one.is_file() for one in out.glob(pattern))]


ALWAYS: Final = Evidence(
    ("config.toml", "limits.toml", "run.json", "engine/config.json", "engine/engine.json", "engine/inputs-*.log"),
    ("gate.log", "engine/engine.log"),
)
OF_GATE: Final = Evidence(("journal/*.seg",), ("log/sentinel.log", "log/checker.log"))
OF_PAPER: Final = Evidence(("paper/places.json",), ("paper/witness.jsonl", "paper/truth.jsonl", "paper/venues.log"))
OF_OBSERVER: Final = Evidence(("journal/*.seg", "observer-config.json", "observer.json"), ("observer.log",))
