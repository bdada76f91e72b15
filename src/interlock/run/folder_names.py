"""What the folder of a run holds, by name; light enough for whoever only looks into one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CONFIG_FILE: Final = "config.toml"
LIMITS_FILE: Final = "limits.toml"
RUN_FILE: Final = "run.json"
LOCK_FILE: Final = "run.lock"
"""Stays when the run is over; the kernel unlocks it when the process dies, however it dies."""
ENGINE_FOLDER: Final = "engine"
INPUTS: Final = "inputs-*.log"
COUNTERFACTUAL: Final = "counterfactual"
"""The gate's folder within that of a run in shadow."""
PAPER_FOLDER: Final = "paper"
"""Of the paper venue."""
TRUTH_FILE: Final = "truth.jsonl"
"""What a simulated venue executed, beside its witness."""


def gate_folder_of(folder: Path) -> Path:
    """Where the gate of a run lives, which the engine proposes to."""
    shadow = folder / COUNTERFACTUAL
    return shadow if shadow.is_dir() else folder
