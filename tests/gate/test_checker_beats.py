"""What counts as a sign of life of the checker, and what does not."""

from __future__ import annotations

import json

import pytest

from interlock.gate.checker_beats import LONGEST_LINE_BYTES, CheckerBeats

S = 1_000_000_000


def line(violations: int = 0, *new: str) -> bytes:
    found = [{"invariant": "S8", "lsn": 1, "sentence": one} for one in new]
    return json.dumps({"beat": 1, "wall_ns": 1, "lsn": 5, "violations": violations, "new": found}).encode() + b"\n"


def test_it_lives_from_its_first_beat_until_it_is_silent_for_too_long() -> None:
    beats = CheckerBeats(S)
    assert not beats.alive(0)
    assert beats.silent_ns(0) is None
    beats.feed(line()[:10], 1)
    assert not beats.alive(1)
    beats.feed(line()[10:], 5)
    assert beats.alive(5)
    assert (beats.first_boot_ns, beats.silent_ns(7)) == (5, 2)
    assert beats.alive(5 + S)
    assert not beats.alive(6 + S)
    beats.feed(line(), 2 * S)
    assert beats.alive(2 * S)
    assert beats.first_boot_ns == 5


def test_a_violation_is_told_in_words_and_ends_its_trust_for_this_life() -> None:
    beats = CheckerBeats(S)
    beats.feed(line() + line(1, "sent twice"), 1)
    assert beats.violations == ["S8: sent twice"]
    assert not beats.alive(1)
    beats.feed(line(0), 2)
    assert not beats.alive(2)


@pytest.mark.parametrize(
    "said", [b"\n", b"no json\n", b"[]\n", b"{}\n", b'{"violations": "x", "new": []}\n', b'{"violations": 0, "new": [3]}\n']
)
def test_what_is_no_beat_is_silence(said: bytes) -> None:
    beats = CheckerBeats(S)
    beats.feed(said, 1)
    assert not beats.alive(1)
    beats.feed(line(), 2)
    assert beats.alive(2)


def test_one_that_is_gone_or_never_ends_its_line_does_not_live() -> None:
    beats = CheckerBeats(S)
    beats.feed(line(), 1)
    beats.feed(b"", 1)
    assert not beats.alive(1)
    endless = CheckerBeats(S)
    endless.feed(line() + b"x" * (LONGEST_LINE_BYTES + 1), 1)
    assert not endless.alive(1)
