"""A recorded line taken apart a second time, by other code than the import's: for `tape verify`."""

from __future__ import annotations

import re
from decimal import Decimal

_LINE = re.compile(
    rb"(?:(?P<digits>[0-9]{13,19}) |(?:(?P<url>https?://\S+) -> )?(?P<seconds>[0-9]+(?:\.[0-9]+)?): )(?P<body>.*)",
    re.DOTALL,
)


def time_and_body(line: bytes) -> tuple[int, bytes]:
    """The recorded time in ns and the frame of a line. Raises ValueError for a line without a time in front."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"no recorded line: {line[:60]!r}")
    if match["digits"]:
        time = int(match["digits"]) * 10 ** (19 - len(match["digits"]))
    else:
        time = int(Decimal(match["seconds"].decode()) * 10**9)
    return time, match["body"]
