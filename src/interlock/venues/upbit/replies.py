"""Answers of Upbit: the refusal that any of them may be, and text that becomes numbers and times.

    {"error":{"name":"insufficient_funds_bid","message":"주문가능한 금액(KRW)이 부족합니다."}}

Only the name counts, on quotation endpoints it may be an integer. The message is never read and never shown: it is Korean and not stable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, localcontext
from email.utils import parsedate_to_datetime
from typing import Annotated, Final, TypeVar

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.domain.instruments import Instrument
from interlock.market.numbers import Scale
from interlock.venues.feed import NS_PER_MS
from interlock.venues.port import Access, Ask, Heard, Nonsense, Refused
from interlock.venues.recorded import LATEST_NS
from interlock.venues.request import Call, Method
from interlock.venues.trouble import Doing
from interlock.venues.upbit.budgets import wait_ms
from interlock.venues.upbit.errors import classify
from interlock.venues.upbit.public import plain

T = TypeVar("T")

MAX_BODY_BYTES: Final = 4 << 20
"""A longer answer is refused unread. The longest that is asked for, 1000 orders that ended, is below 1 MiB."""

_SHOWN = 200
_DIGITS = 400
_AMOUNT = re.compile(r"[0-9]{1,24}(?:\.[0-9]{1,40})?", re.ASCII)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=64)]
Number = Annotated[str, msgspec.Meta(max_length=80)]
"""A number as text, not looked at yet; empty where the venue sends nothing."""


class _Problem(msgspec.Struct, frozen=True):
    name: Text | int = ""


class _Refusal(msgspec.Struct, frozen=True):
    error: _Problem = _Problem()
    uuid: Text = ""


_decode_refusal = msgspec.json.Decoder(_Refusal).decode


def nonsense(what: str, error: object) -> Nonsense:
    """The exception for something that cannot be meant."""
    return Nonsense(f"{what}: {error}"[:_SHOWN])


def decoded(decode: Callable[[bytes], T], data: bytes, what: str) -> T:
    """Decode a body or a part of one. Raises Nonsense for whatever does not fit."""
    if len(data) > MAX_BODY_BYTES:
        raise nonsense(what, f"expected at most {MAX_BODY_BYTES} bytes, found {len(data)}")
    try:
        data.decode()  # the JSON decoder does not look at what it skips
        return decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise nonsense(what, error) from error


def refusal_name(body: bytes) -> str:
    """`error.name` as text; empty where there is none that can be read, and where an order is named beside it."""
    try:
        found = decoded(_decode_refusal, body, "refusal")
    except Nonsense:
        return ""
    return "" if found.uuid else str(found.error.name)


def read(heard: Heard) -> bytes:
    """The body of the answer to a read. Raises Refused where the venue says no, and Nonsense for a yes that is none."""
    if heard.status == 200:
        if name := refusal_name(heard.body):
            raise nonsense("answer", f"expected a yes or a no, found HTTP 200 with the refusal {name}")
        return heard.body
    raise Refused(classify(heard.status, refusal_name(heard.body), Doing.READ), wait_ms(heard.status, heard.headers))


def ask(path: str, query: str, budget: str, access: Access = Access.SIGNED) -> Ask:
    """A read. The query is on the wire as it is hashed: there is nothing in it that has to be escaped."""
    return Ask(Call(Method.GET, path, query), access, budget)


# Numbers


def amount(text: str | None, what: str) -> Decimal:
    """A number of a REST answer, which are texts. Raises Nonsense for any but plain decimals from 0."""
    if text is None or _AMOUNT.fullmatch(text) is None:
        raise nonsense(what, f"expected a plain decimal number from 0, found {str(text)[:40]!r}")
    return Decimal(text)


def number(value: Decimal | None, what: str) -> Decimal:
    """A number of a stream or of a quotation, which are JSON numbers, some with an exponent. Raises Nonsense for others, also below 0."""
    if value is None:
        raise nonsense(what, "expected a number, found null")
    try:
        return Decimal(plain(value))
    except ValueError as error:
        raise nonsense(what, error) from error


def ticks(instrument: Instrument, price: Decimal, what: str) -> int:
    """Ticks of a price. Raises Nonsense for one between two."""
    return _count(price, instrument.quantum, f"{what} price")


def lots(instrument: Instrument, size: Decimal, what: str) -> int:
    """Lots of a size. Raises Nonsense for one between two."""
    return _count(size, instrument.lot, f"{what} size")


def _count(value: Decimal, unit: Decimal, what: str) -> int:
    try:
        return Scale(unit, what)[f"{value:f}"]
    except ValueError as error:
        raise nonsense(what, error) from error


def plus(one: Decimal, other: Decimal) -> Decimal:
    """The sum, exactly: balances have more digits than a Decimal keeps by default."""
    with localcontext(prec=_DIGITS):
        return one + other


def times(one: Decimal, other: Decimal) -> Decimal:
    """The product, exactly."""
    with localcontext(prec=_DIGITS):
        return one * other


def text_of(value: Decimal) -> str:
    """A number as Upbit takes it: plain digits, no exponent, no zeros at the end of a fraction."""
    digits = f"{value:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


# Times


def time_ns(text: str, what: str) -> int:
    """A time such as 2025-07-04T15:00:00+09:00. Raises Nonsense for one without its zone, or that is not between 1970 and 2200."""
    try:
        if _TIME.fullmatch(text) is None:
            raise ValueError(f"found {text[:40]!r}")
        moment = datetime.fromisoformat(text)
        found = int(moment.timestamp()) * NS_PER_S + moment.microsecond * 1_000
    except (ValueError, OverflowError, OSError) as error:
        raise nonsense(what, f"expected a time with its zone; {error}") from error
    return _between(found, what)


def ms_ns(time_ms: int, what: str) -> int:
    """A time from ms. Raises Nonsense for one that is not between 1970 and 2200."""
    return _between(time_ms * NS_PER_MS, what)


def date_ns(headers: Mapping[str, str]) -> int:
    """The `Date` of an answer, whole seconds; 0 where it has none. Raises Nonsense for what is no date."""
    text = headers.get("date", "")
    if not text:
        return 0
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        found = int(moment.timestamp()) * NS_PER_S
    except (ValueError, TypeError, OverflowError, OSError, IndexError) as error:
        raise nonsense("Date", f"expected a date with its zone, found {text[:40]!r}") from error
    return _between(found, "Date")


def _between(found: int, what: str) -> int:
    if not 0 < found < LATEST_NS:
        raise nonsense(what, f"expected a time between 1970 and 2200, found {found} ns")
    return found
