"""What can be asked of a venue without raising anything: list, look up, cancel, beat. A client of this has no other verb."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from interlock.domain.orders import OrderState


class VenueTrouble(Exception):
    """A request was refused, not answered, or answered with nonsense; what became of it is not known.

    `retry_after_ns` is how long the venue asked to be left alone, 0 where it did not.
    """

    def __init__(self, reason: str, retry_after_ns: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_ns = retry_after_ns


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that a venue lists as open. The client id is empty where it was not placed with one."""

    venue_order_id: str
    client_id: str
    symbol: str


class CancelOnly(Protocol):
    """One account at one venue. Every call ends within the client's time limit and raises VenueTrouble for anything but a yes."""

    def open_pages(self, *, ours: bool = False) -> Iterator[tuple[OpenOrder, ...]]:
        """All open orders, stop and reserved ones included, page by page. `ours`: those in symbols that are not ours may be left out."""
        ...

    def cancel(self, orders: Sequence[OpenOrder]) -> None:
        """Ask to cancel these and no others. That one is over already, or cannot be named, is no trouble: the next list tells."""
        ...

    def cancel_everything(self) -> None:
        """Ask to cancel whatever is open in the account, whoever placed it. A venue may take fewer than there are."""
        ...

    def state_of(self, client_id: str) -> OrderState | None:
        """The state of one order; None when the venue does not know it, which proves nothing."""
        ...

    def beat(self, symbol: str, countdown_ns: int) -> None:
        """Arm the venue's dead-man for a symbol: its orders are cancelled after the countdown unless it is armed again."""
        ...

    def close(self) -> None:
        """Give the connection up; the next call makes a new one."""
        ...
