"""Answers of Binance USDⓈ-M: a body or `{"code":-1121,"msg":"Invalid symbol."}`, rows that are read one by one, and text that becomes numbers.

`msg` is never read and never shown: the codes are universal, and the words vary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import quote

import msgspec

from interlock.market.numbers import Scale
from interlock.venues.binance_usdm.budgets import WEIGHT, wait_ms
from interlock.venues.binance_usdm.errors import classify
from interlock.venues.feed import NS_PER_MS, Count
from interlock.venues.port import Access, Ask, Heard, Nonsense, Refused
from interlock.venues.recorded import LATEST_NS
from interlock.venues.request import Call, Method
from interlock.venues.trouble import Doing

T = TypeVar("T")

MAX_BODY_BYTES: Final = 8 << 20
"""A longer answer is refused unread. The longest we ask for, exchangeInfo, is below 2 MB."""

_SHOWN = 160
_AMOUNT = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
MaybeName = Annotated[str, msgspec.Meta(max_length=64)]
Number = Annotated[str, msgspec.Meta(max_length=48)]
"""A number as text, not looked at yet."""
Code = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)]


class _Coded(msgspec.Struct, frozen=True):
    """{"code":-1121,"msg":"Invalid symbol."}; a yes is 200, and of conditional orders the text "200"."""

    code: Code | Literal["200"] | None = None


class _Time(msgspec.Struct, frozen=True):
    """{"serverTime":1499827319559}"""

    serverTime: Count


_decode_coded = msgspec.json.Decoder(_Coded).decode
_decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_time = msgspec.json.Decoder(_Time).decode


def nonsense(what: str, error: object) -> Nonsense:
    """The exception for something that cannot be meant."""
    return Nonsense(f"{what}: {error}"[:_SHOWN])


def decoded(decode: Callable[[bytes], T], data: bytes, what: str) -> T:
    """Decode a part of a message. Raises Nonsense for whatever does not fit."""
    try:
        return decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise nonsense(what, error) from error


def whole(data: bytes, what: str, most: int = MAX_BODY_BYTES) -> bytes:
    """The bytes of a message. Raises Nonsense for too many, and for what is not UTF-8: the JSON decoder does not look at what it skips."""
    if len(data) > most:
        raise nonsense(what, f"expected at most {most} bytes, found {len(data)}")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise nonsense(what, error) from error
    return data


def code_of(body: bytes) -> str:
    """The code in a body as text, empty for a body that has none. Raises Nonsense for an object that cannot be read."""
    if not body.lstrip().startswith(b"{"):
        return ""
    code = decoded(_decode_coded, body, "answer").code
    return "" if code in (None, 200, "200") else str(code)


def read(heard: Heard) -> bytes:
    """The body of the answer to a read. Raises Refused where the venue says no, and Nonsense for what it cannot mean."""
    try:
        body = whole(heard.body, "answer")
        code = code_of(body)
    except Nonsense:
        if heard.status == 200:
            raise
        body, code = b"", ""
    if code or heard.status != 200:
        raise Refused(classify(heard.status, code, Doing.READ), wait_ms(heard.status, heard.headers))
    return body


def ask(path: str, query: str = "", *, weight: int = 1, access: Access = Access.SIGNED, budget: str = WEIGHT) -> Ask:
    """A read."""
    return Ask(Call(Method.GET, path, query), access, budget, weight)


def public(path: str, query: str = "", *, weight: int = 1) -> Ask:
    """A read that needs no key."""
    return ask(path, query, weight=weight, access=Access.PUBLIC)


def text(value: str) -> str:
    """A value as it stands in a query or a form: there are symbols that are not ASCII."""
    return quote(value, safe="")


def rows(body: bytes, what: str) -> Sequence[bytes]:
    """The rows of a list, undecoded. Raises Nonsense for what is no list."""
    return [bytes(row) for row in decoded(_decode_rows, body, what)]


def readable(listed: Sequence[bytes], row_seen: Callable[[bytes], T]) -> tuple[list[T], list[bytes]]:
    """The rows that make sense, read, and the others."""
    found: list[T] = []
    others: list[bytes] = []
    for row in listed:
        try:
            found.append(row_seen(row))
        except Nonsense:
            others.append(row)
    return found, others


def server_ms(heard: Heard) -> int:
    """The venue's time in the answer to GET /fapi/v1/time."""
    return time_ns(decoded(_decode_time, read(heard), "time").serverTime, "serverTime") // NS_PER_MS


def amount(number: str, what: str) -> Decimal:
    """A decimal with at most 18 digits on either side of the point. Raises Nonsense for any other text."""
    if _AMOUNT.fullmatch(number) is None:
        raise nonsense(what, f"expected a plain decimal number, found {number[:40]!r}")
    return Decimal(number)


def count_of(number: str, unit: Decimal, what: str) -> int:
    """How many units a number is. Raises Nonsense for no number, a negative one, and one between two units."""
    try:
        return Scale(unit, what)[number]
    except ValueError as error:
        raise nonsense(what, error) from error


def time_ns(ms: int, what: str) -> int:
    """A time from ms. Raises Nonsense for one that is not between 1970 and 2200."""
    if not 0 < ms < LATEST_NS // NS_PER_MS:
        raise nonsense(what, f"expected a time in ms between 1970 and 2200, found {ms}")
    return ms * NS_PER_MS
