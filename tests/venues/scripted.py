"""Talks run against answers that are written down, whatever the venue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from interlock.venues.port import Ask, Heard, Talk

T = TypeVar("T")
Responder = Callable[[Ask], Heard]


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


def finish(talk: Talk[T], answer: Responder) -> T:
    """What comes of a talk whose requests `answer` answers."""
    try:
        asked = next(talk)
        while True:
            asked = talk.send(answer(asked))
    except StopIteration as end:
        result: T = end.value
        return result


def scripted(talk: Talk[T], answers: Iterable[Heard]) -> tuple[T, list[Ask]]:
    """What comes of a talk that hears these in order, and what it asked. Every one of them must be asked for."""
    asked: list[Ask] = []
    left = list(answers)

    def answer(ask: Ask) -> Heard:
        asked.append(ask)
        return left.pop(0)

    result = finish(talk, answer)
    assert not left
    return result, asked


def query(ask: Ask) -> dict[str, str]:
    """A request's query, or the form that it has as its body, by name; of a name that comes twice the last."""
    whole = ask.call.query or ask.call.body.decode()
    return dict(parse_qsl(whole, keep_blank_values=True, strict_parsing=bool(whole)))
