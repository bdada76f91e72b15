"""Client order ids: `<tag><epoch><sequence><incarnation>`, fixed width, base 36.

An id is never reused, not even after a restored backup: the epoch rises at every boot and the incarnation
bits are random per process life. A foreign order is recognised because its id does not parse with our tag.
The alphabet and length (27) fit Binance (`^[.A-Z:/a-z0-9_-]{1,36}$`), Bybit (36) and Upbit identifiers.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.domain.errors import UsageError

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = tuple(high + low for high in _DIGITS for low in _DIGITS)
"""Two digits at a time, because an id is made with every decision."""
TAG_WIDTH = 4
EPOCH_WIDTH = 7
SEQUENCE_WIDTH = 9
INCARNATION_WIDTH = 7
INCARNATION_BITS = 36
ID_WIDTH = TAG_WIDTH + EPOCH_WIDTH + SEQUENCE_WIDTH + INCARNATION_WIDTH


def _encode(value: int, width: int, what: str) -> str:
    if not 0 <= value < 36**width:
        raise UsageError(f"client id {what}: expected 0 <= value < 36^{width}, found {value}")
    text = ""
    while value:
        value, pair = divmod(value, 36 * 36)
        text = _PAIRS[pair] + text
    return text[-width:].zfill(width)


@dataclass(frozen=True, slots=True)
class ClientId:
    """The parts of a client order id; `str()` gives the text that goes to the venue."""

    tag: str
    epoch: int
    sequence: int
    incarnation: int

    def __post_init__(self) -> None:
        if len(self.tag) != TAG_WIDTH or any(c not in _DIGITS for c in self.tag):
            raise UsageError(f"strategy tag: expected {TAG_WIDTH} of [0-9a-z], found {self.tag!r}")

    def __str__(self) -> str:
        return (
            self.tag
            + _encode(self.epoch, EPOCH_WIDTH, "epoch")
            + _encode(self.sequence, SEQUENCE_WIDTH, "sequence")
            + _encode(self.incarnation, INCARNATION_WIDTH, "incarnation")
        )


def parse_client_id(text: str, tag: str) -> ClientId | None:
    """Take an id apart, or return None if it is not one of ours under `tag`."""
    if len(text) != ID_WIDTH or not text.startswith(tag) or any(c not in _DIGITS for c in text):
        return None
    a, b = TAG_WIDTH + EPOCH_WIDTH, TAG_WIDTH + EPOCH_WIDTH + SEQUENCE_WIDTH
    return ClientId(tag, int(text[TAG_WIDTH:a], 36), int(text[a:b], 36), int(text[b:], 36))


def next_epoch(last_epoch: int, boot_unix_s: int) -> int:
    """The epoch of a new process life: larger than any before, and at least the wall clock at boot."""
    return max(last_epoch + 1, boot_unix_s)
