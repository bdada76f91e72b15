"""The names that Upbit gives: UUIDs of orders, trades and account changes, and which client identifiers were ever used.

A UUID follows from what it names, so that the same run gives the same ones. An identifier is used up by the first request that carries
it, also by one that is refused.
"""

from __future__ import annotations

import hashlib

from interlock.simulate.served.orders import SimOrder
from interlock.simulate.served.spent import Spent
from interlock.simulate.served.venue import SimVenue


class Ids:
    """The UUIDs of one venue's orders, and its used identifiers."""

    def __init__(self, venue: SimVenue) -> None:
        self._venue = venue
        self._issued = 0
        self._reserved = ""
        self._used = Spent()

    def reserve(self) -> str:
        """A UUID for the next order that is taken; it is nobody's for ever if that one is refused."""
        self._reserved = self._next()
        return self._reserved

    def release(self) -> None:
        """Let the next order have a UUID of its own."""
        self._reserved = ""

    def spare(self) -> str:
        """A UUID that no order ever has."""
        return self._next()

    def name(self, order: SimOrder) -> str:
        """The UUID of an order, given to it now if it has none."""
        if not order.name:
            self._venue.history.name(order, self._reserved or self._next())
            self._reserved = ""
        return order.name

    def find(self, uuid: str) -> SimOrder | None:
        """The order of a UUID."""
        return self._venue.history.named(uuid.lower())

    def use(self, identifier: str) -> bool:
        """Use up an identifier; False if it was before."""
        return self._venue.find(client_id=identifier) is None and self._used.use(identifier)

    def _next(self) -> str:
        self._issued += 1
        return uuid_of("order", self._issued)


def uuid_of(kind: str, number: int) -> str:
    """The UUID of the so many-th thing of a kind."""
    raw = bytearray(hashlib.sha256(f"upbit-{kind}-{number}".encode()).digest()[:16])
    # Version and variant of the random kind, which is what clients take for one.
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
