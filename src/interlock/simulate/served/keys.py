"""The API keys of a simulated venue: what each may do, and what it has used up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from interlock.simulate.served.spent import Spent


@dataclass(slots=True, kw_only=True)
class SimKey:
    """A key. `addresses` empty: bound to none; `expires_ns` 0: never; `locked` keys are refused like unknown ones.

    `sees_deposits`, `sees_withdrawals`: whether it may read what came and what went, where that is a right of its own (Upbit).
    """

    access: str
    secret: str = field(repr=False)
    trade: bool = True
    withdraw: bool = False
    transfer: bool = False
    sees_deposits: bool = True
    sees_withdrawals: bool = False
    addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    expires_ns: int = 0
    created_ns: int = 0
    locked: bool = False
    nonces: Spent = field(default_factory=Spent, repr=False, compare=False)


class KeyRing:
    """The keys of one venue, by their public part."""

    def __init__(self, keys: Iterable[SimKey]) -> None:
        self._keys = {key.access: key for key in keys}

    def find(self, access: str) -> SimKey | None:
        """The key of that name."""
        return self._keys.get(access)

    def add(self, key: SimKey) -> None:
        """Add a key, or replace the one of its name."""
        self._keys[key.access] = key

    def all(self) -> list[SimKey]:
        """Every key, in the order in which they were added."""
        return list(self._keys.values())
