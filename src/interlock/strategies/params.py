"""Parameters of a strategy: a frozen record with units in its names, packed into the float64 array that a kernel reads."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Params:
    """Base of parameter records; field order is array order."""

    def pack(self) -> np.ndarray:
        """The fields as float64, in order."""
        return np.array([float(getattr(self, f.name)) for f in fields(self)], dtype=np.float64)


def index_of(record: Any) -> dict[str, int]:
    """Field name to position in the packed array."""
    return {f.name: i for i, f in enumerate(fields(record))}
