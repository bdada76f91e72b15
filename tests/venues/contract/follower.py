"""Our client on a private stream of a simulated venue, and what it is told, frame by frame."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Self, TypeVar

from tests.venues.contract.place import Place
from tests.venues.contract.truth import totals

from interlock.simulate.served.faults import Fault
from interlock.venues.port import AccountEvent, AccountFeed, BalanceSeen, FillSeen, LedgerSeen, OrderSeen, Told
from interlock.venues.socket import Socket, connect_picows

E = TypeVar("E", bound=AccountEvent)


class Unwelcome(Exception):
    """The venue did not take what we said after connecting."""


class Follower(AbstractAsyncContextManager["Follower"]):
    """Follows the private stream while it is entered. `told` is everything that it was told, `ended` why the connection is over."""

    def __init__(self, place: Place, feed: AccountFeed | None = None) -> None:
        self.place = place
        self.feed = feed or place.traits.feed(place.reads.instruments)
        self.frames: list[bytes] = []
        self.told: list[Told] = []
        self.ended = ""
        self.socket: Socket | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.socket is not None:
            self.socket.close()
            await self.place.until(lambda: self.ended)
            await self.place.until(lambda: not self.place.face.parts.private.listeners)

    async def connect(self) -> None:
        """Connect, and be greeted. The ping after each frame is what a venue without answers to requests answers."""
        place, feed = self.place, self.feed
        self.ended = ""
        self.told = [replace(each, over=False) for each in self.told]
        path = await place.ask(feed.opening())
        headers = feed.headers(place.key, place.stamp())
        self.socket = await connect_picows(place.hosts.private, path, headers, self._on_frame, self._on_end)
        await place.until(lambda: place.face.parts.private.listeners or self.over)
        for number, frame in enumerate(feed.greeting(place.key, place.stamp()).frames, 1):
            before = self.count("greeted")
            self.socket.send(frame)
            self.socket.send(feed.ping())
            await place.until(lambda before=before: self.count("greeted") > before or self.over)  # type: ignore[misc]
            if self.over:
                raise Unwelcome(f"frame {number}: {self.ended}, {self.told}")

    @property
    def over(self) -> bool:
        """Whether the connection ended, or was told that it is of no use."""
        return bool(self.ended) or any(each.over for each in self.told)

    def _on_frame(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.told.append(self.feed.take(frame))

    def _on_end(self, reason: str) -> None:
        self.ended = reason

    def count(self, what: str) -> int:
        """How many frames of a kind came."""
        return sum(each.what == what for each in self.told)

    @property
    def gaps(self) -> list[str]:
        """What may have been missed, as the feed tells it."""
        return [each.gap for each in self.told if each.gap]

    def events(self, kind: type[E]) -> list[E]:
        """Everything of a kind that was told, in its order."""
        return [event for told in self.told for event in told.events if isinstance(event, kind)]

    def orders(self, client_id: str) -> list[OrderSeen]:
        """What was told of an order."""
        return [each for each in self.events(OrderSeen) if each.client_id == client_id]

    def fills(self, client_id: str = "") -> list[FillSeen]:
        """The executions that were told, each once, in their order."""
        found = {each.trade_id: each for each in self.events(FillSeen) if not client_id or each.client_id == client_id}
        return list(found.values())

    def payments(self) -> list[LedgerSeen]:
        """Ledger events that were told."""
        return self.events(LedgerSeen)

    def balance(self, currency: str) -> BalanceSeen | None:
        """The newest that was told of a currency."""
        return next((each for each in reversed(self.events(BalanceSeen)) if each.currency == currency), None)

    async def caught_up(self) -> None:
        """Everything that happened until now was told: a deposit after it is."""
        place, currency = self.place, self.place.traits.settle
        assert place.strike(Fault.DEPOSIT, currency=currency, amount="1001")
        await place.until(lambda: (seen := self.balance(currency)) is not None and seen.total == totals(place)[currency])
