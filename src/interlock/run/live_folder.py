"""What is to be run, and how that is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.domain.errors import UsageError
from interlock.gate.records import Endpoint
from interlock.run.at_stop import AtStop
from interlock.run.folder_names import COUNTERFACTUAL, PAPER_FOLDER, TRUTH_FILE
from interlock.run.journal_told import has_sent
from interlock.run.layers import Resolved
from interlock.run.modes import Mode
from interlock.run.observed import endpoint_named
from interlock.run.places import read_places
from interlock.venues.endpoint import Where


@dataclass(frozen=True, kw_only=True)
class LiveRun:
    """What is to be run. `seconds` None: until it is stopped."""

    config: Path
    mode: Mode
    out: Path
    places: Path | None
    seconds: float | None
    at_stop: AtStop = AtStop.KEEP
    prepared: bool = False
    """The folder was made for this run by whoever calls, who has put files of his own there."""
    profile: str | None = None
    given: tuple[str, ...] = ()
    """What is laid over the configuration (`layers.resolve`)."""

    @property
    def gate_folder(self) -> Path:
        """Where the gate lives."""
        return self.out / COUNTERFACTUAL if self.mode is Mode.SHADOW else self.out

    @property
    def on_paper(self) -> bool:
        """Whether orders are played by a paper venue, and nothing is at stake at the gate."""
        return self.mode in (Mode.PAPER, Mode.SHADOW)

    @property
    def market(self) -> tuple[Where, Path | None]:
        """Where the market is heard, and the file that says where that is on loopback."""
        if self.mode is Mode.TESTNET:
            return Where.TESTNET, None
        if self.places is None or (self.mode is Mode.SHADOW and endpoint_named(self.places) is Endpoint.REAL):
            return Where.REAL, None
        return Where.LOOPBACK, self.places

    def truth(self) -> Path | None:
        """Where the simulated venue that takes the orders writes what it executed; None where the venue is none. Raises UsageError for places that
        cannot be read."""
        if self.on_paper:
            return self.out / PAPER_FOLDER / TRUTH_FILE
        if self.places is None or self.market[0] is not Where.LOOPBACK:
            return None
        witness = read_places(self.places).get("witness")
        return Path(witness).with_name(TRUTH_FILE) if isinstance(witness, str) and witness else None


def told_of(run: LiveRun, resolved: Resolved) -> dict[str, Any]:
    """What the folder of a run says of it."""
    return {
        "mode": run.mode.value,
        "endpoint": run.market[0].value,
        "planned_s": run.seconds,
        "config_digest": resolved.digest,
        "profile": run.profile,
        "laid_over": resolved.given(),
    }


def require_untraded(run: LiveRun) -> None:
    """Raise UsageError for a run on paper in the folder of one that has sent orders: the account that they belong to has ended with its venue."""
    if run.on_paper and has_sent(run.gate_folder / "journal"):
        raise UsageError(
            f"{run.out}: expected a new folder, found that of a run on paper that has sent orders; its venue ended with it, and another one knows "
            "nothing of its orders and positions. Name a fresh folder with --out"
        )
