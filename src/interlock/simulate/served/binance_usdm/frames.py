"""What a client says on a stream's connection, and what it is answered: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from interlock.simulate.served.binance_usdm.limits import MESSAGES, STREAMS_MAX
from interlock.simulate.served.face import Face
from interlock.simulate.served.hub import Listener
from interlock.simulate.served.rates import Verdict

_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a connection was opened: on which base (public, market, private), and whether its messages are wrapped with the stream's name."""

    base: str
    combined: bool

    @property
    def form(self) -> str:
        """The part of a topic that keeps wrapped and bare messages apart."""
        return "combined" if self.combined else "raw"


def silent(name: str) -> str:
    """The topic of a stream that was subscribed to and will never tell anything."""
    return f"silent|{name}"


class Talk:
    """Answers the frames of connections. `topics_of` gives the topics of a stream's name at a place."""

    def __init__(self, face: Face, topics_of: Callable[[Listener, Place, str], set[str]]) -> None:
        self._face = face
        self._topics_of = topics_of
        self._names: dict[Listener, dict[str, set[str]]] = {}

    def begin(self, listener: Listener, place: Place, names: list[str]) -> None:
        """A connection opened that names streams in its address."""
        self._names[listener] = {}
        self._subscribe(listener, place, names)

    def end(self, listener: Listener) -> None:
        """A connection ended."""
        self._names.pop(listener, None)

    def hear(self, listener: Listener, place: Place, data: bytes) -> None:
        """A frame came. Who says too much is cut off."""
        if self._face.parts.rates.take(MESSAGES.name, listener.name, self._face.venue.now_ms()) is not Verdict.TAKEN:
            listener.send(b"")
            return
        try:
            frame = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            listener.send(_json({"error": {"code": 3, "msg": f"Invalid JSON: {error}"}}))
            return
        listener.send(_json(self._answer(listener, place, frame)))

    def _answer(self, listener: Listener, place: Place, frame: Any) -> dict[str, Any]:
        if not isinstance(frame, dict):
            return _wrong("expected an object", None)
        method, names, number = frame.get("method"), frame.get("params"), frame.get("id")
        if isinstance(number, bool) or not isinstance(number, int | str | None):
            return _wrong("request ID must be an unsigned integer", None)
        if method not in _METHODS:
            return _wrong(f"unknown variant `{method}`, expected one of {', '.join(f'`{one}`' for one in _METHODS)}", number)
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(self._names[listener]), "id": number}
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return _wrong("missing field `params`" if names is None else "invalid type of `params`, expected a list of strings", number)
        if method == "UNSUBSCRIBE":
            self._unsubscribe(listener, names)
        elif len(self._names[listener].keys() | set(names)) > STREAMS_MAX:
            return _wrong(f"too many streams, expected at most {STREAMS_MAX}", number)
        else:
            self._subscribe(listener, place, names)
        return {"result": None, "id": number}

    def _subscribe(self, listener: Listener, place: Place, names: list[str]) -> None:
        for name in names:
            topics = self._topics_of(listener, place, name) or {silent(name)}
            self._names[listener][name] = topics
            listener.topics |= topics

    def _unsubscribe(self, listener: Listener, names: list[str]) -> None:
        for name in names:
            listener.topics -= self._names[listener].pop(name, set())


def _wrong(text: str, number: Any) -> dict[str, Any]:
    return {"error": {"code": 2, "msg": f"Invalid request: {text}"}, "id": number}


def _json(content: Any) -> bytes:
    return msgspec.json.encode(content)
