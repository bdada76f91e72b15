"""What both streams of Upbit share: requests with their limits, lists of subscriptions, the text PING, the end of a silent connection."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from interlock.simulate.served.hub import Hub, Listener
from interlock.simulate.served.rates import Rates, Verdict
from interlock.simulate.served.upbit.formats import written
from interlock.simulate.served.upbit.limits import MESSAGE_MIN, MESSAGE_S
from interlock.simulate.served.upbit.requests import Asked, BadRequest, Topic, Wish, read_request
from interlock.simulate.served.upbit.texts import encode
from interlock.simulate.served.upbit.words import error_body

SILENT_MAX_MS: Final = 120_000
STATUS_EVERY_MS: Final = 10_000
_UP: Final = encode({"status": "UP"})


class Stream:
    """One stream with its hub. `snapshot` gives the messages that a wish begins with.

    Its limits are a stream's own: a flood here bans nowhere else (chosen).
    """

    def __init__(
        self,
        hub: Hub,
        rates: Rates,
        types: Collection[str],
        symbols: Collection[str],
        snapshot: Callable[[Wish], list[bytes]],
        steady_ms: Callable[[], int],
    ) -> None:
        self.hub = hub
        self._rates = rates
        self._types = types
        self._symbols = symbols
        self._snapshot = snapshot
        self._steady_ms = steady_ms
        self._wishes: dict[Listener, tuple[Wish, ...]] = {}
        self._topics: dict[str, Topic] = {}
        self._status_ms: dict[Listener, int] = {}

    async def take(self, listener: Listener, data: bytes) -> None:
        """A message of a client."""
        if not self._admitted(listener):
            return
        if data.strip() == b"PING":
            listener.send(_UP)
            self._status_ms[listener] = self._steady_ms() + STATUS_EVERY_MS
            return
        try:
            asked = read_request(data, self._types, self._symbols)
        except BadRequest as bad:
            listener.send(encode(error_body(bad.name, bad.text)))
            return
        if asked.lists:
            self._list(listener, asked)
        if asked.wishes:
            self._subscribe(listener, asked.wishes)

    def wanted(self) -> list[Topic]:
        """Every topic that somebody listens to."""
        return [self._topics[key] for key in {key for listener in self.hub.listeners for key in listener.topics}]

    def tick(self) -> None:
        """Say that all is well to who asked, end connections that are silent, forget those that are gone."""
        now_ms, here = self._steady_ms(), set(self.hub.listeners)
        for gone in (set(self._wishes) | set(self._status_ms)) - here:
            self._wishes.pop(gone, None)
            self._status_ms.pop(gone, None)
        for listener, due_ms in list(self._status_ms.items()):
            if now_ms >= due_ms:
                listener.heard_ms = now_ms
                listener.send(_UP)
                self._status_ms[listener] = due_ms + STATUS_EVERY_MS
        for listener in here:
            if now_ms - listener.heard_ms > SILENT_MAX_MS:
                listener.send(b"")

    def _admitted(self, listener: Listener) -> bool:
        now_ms = self._steady_ms()
        verdicts = {self._rates.take(name, listener.name, now_ms) for name in (MESSAGE_S, MESSAGE_MIN)}
        if verdicts == {Verdict.TAKEN}:
            return True
        banned = Verdict.BANNED in verdicts
        name = "I'm a teapot" if banned else "Too Many Requests"
        listener.send(encode(error_body(name, name)))
        if banned:
            listener.send(b"")
        return False

    def _subscribe(self, listener: Listener, wishes: tuple[Wish, ...]) -> None:
        self._wishes[listener] = wishes
        topics = {topic.key: topic for wish in wishes if wish.realtime for topic in wish.topics}
        self._topics |= topics
        listener.topics = set(topics)
        for wish in wishes:
            if wish.snapshot:
                for message in self._snapshot(wish):
                    listener.send(message)

    def _list(self, listener: Listener, asked: Asked) -> None:
        result = [wish.shown for wish in self._wishes.get(listener, ())]
        message = {"method": "LIST_SUBSCRIPTIONS", "result": result, "ticket": asked.ticket}
        listener.send(written(message, asked.format, "list"))
