"""The shapes of recorded lines of Upbit (`venues.recorded` says how each looks).

A playback of cryptofeed has the frames as Python literals, `1618678263.010785: b'{...}'`, because Upbit sends binary frames; the literal
is read without Python.
"""

from __future__ import annotations

import re

from interlock.market.numbers import Scale
from interlock.venues.recorded import RECORDER, Parts, Shape, Shapes, split_playback

_LITERAL = re.compile(rb"b(?:'((?:[ -&(-\[\]-~]|\\.)*)'|\"((?:[ !#-\[\]-~]|\\.)*)\")", re.DOTALL)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def _split(line: bytes, seconds: Scale) -> Parts:
    time, url, body = split_playback(line, seconds)
    if body.startswith(b"b"):
        literal = _LITERAL.fullmatch(body)
        if literal is None:
            raise ValueError("a literal b'...' that does not end")
        body = _ESCAPE.sub(_unescaped, literal[1] if literal[1] is not None else literal[2])
    return time, url, body


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    if len(code) == 3:
        return bytes([int(code[1:], 16)])
    if code not in _ESCAPED:
        raise ValueError(f"an escape that Python does not write: {escape[0]!r}")
    return _ESCAPED[code]


PLAYBACK = Shape("playback", re.compile(rb"wss?://|[0-9]+(\.[0-9]+)?: (\{|b['\"])"), _split)
SHAPES = Shapes(
    (RECORDER, PLAYBACK),
    "expected an Upbit capture (`<receive time> {json}`, or `<seconds>: {json}` or `<seconds>: b'{json}'` after a wss:// line)",
)
