"""What a path or a method of the WebSocket API leads to: who may ask, what it weighs, what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interlock.simulate.served.binance_usdm.auth import Security
from interlock.simulate.served.binance_usdm.params import Params

Handler = Callable[[Params], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`handler` answers what is encoded as JSON, or raises. `verb` is the witness's; `orders` counts towards the limits of 10 s and of a minute."""

    handler: Handler
    security: Security
    verb: str = "read"
    weight: int | Callable[[Params], int] = 1
    orders: tuple[int, int] = (0, 0)
    funding: bool = False

    def weight_of(self, params: Params) -> int:
        """What this request weighs."""
        return self.weight if isinstance(self.weight, int) else self.weight(params)


Routes = dict[tuple[str, str], Route]
"""By (HTTP method, path)."""


def by_symbol(with_symbol: int, without: int) -> Callable[[Params], int]:
    """A weight that depends on whether a symbol is named."""
    return lambda params: with_symbol if params.values.get("symbol") else without
