"""Answers of Bybit v5: the envelope that every one comes in, lists by pages, and text that becomes numbers.

    {"retCode":0,"retMsg":"OK","result":{},"retExtInfo":{},"time":1672211918471}

Business errors come with HTTP 200. `retMsg` is never read and never shown: the refusal of a signature quotes the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Final, TypeVar
from urllib.parse import quote

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.market.numbers import Scale
from interlock.venues.bybit.budgets import BANNED_MS, IP, wait_ms
from interlock.venues.bybit.errors import classify
from interlock.venues.feed import NS_PER_MS, Count
from interlock.venues.port import Access, Ask, Heard, Nonsense, Refused, Talk
from interlock.venues.recorded import LATEST_NS
from interlock.venues.request import Call, Method
from interlock.venues.trouble import Doing, Explained, Trouble

T = TypeVar("T")

MAX_BODY_BYTES: Final = 4 << 20
"""A longer answer is refused unread. The longest we ask for, 1000 instruments, is about 1.2 MB."""

MOST_PAGES: Final = 500
"""A list that goes on for longer makes no sense: 50 open orders a page, at most 500 a symbol."""

_SHOWN = 160
_AMOUNT = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_SAFE = "%-._~:,"
_LONGEST_CURSOR = 1024

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
MaybeName = Annotated[str, msgspec.Meta(max_length=64)]
Number = Annotated[str, msgspec.Meta(max_length=48)]
"""A number as text, not looked at yet; empty where the venue sends nothing."""
RetCode = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)]


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    retCode: RetCode
    result: msgspec.Raw = msgspec.Raw(b"{}")
    retExtInfo: msgspec.Raw = msgspec.Raw(b"{}")
    time: Count = 0


class _Page(msgspec.Struct, frozen=True):
    rows: list[msgspec.Raw] = msgspec.field(name="list")
    nextPageCursor: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an envelope holds. `venue_ms` is the venue's time of it, 0 where it tells none."""

    code: int
    result: bytes
    more: bytes
    venue_ms: int


@dataclass(frozen=True, slots=True)
class Listed:
    """All rows of a list, undecoded, and the venue's time of the first page: what came about later may be missing."""

    rows: tuple[bytes, ...]
    venue_ms: int


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_page = msgspec.json.Decoder(_Page).decode


def nonsense(what: str, error: object) -> Nonsense:
    """The exception for something that cannot be meant."""
    return Nonsense(f"{what}: {error}"[:_SHOWN])


def decoded(decode: Callable[[bytes], T], data: bytes, what: str) -> T:
    """Decode a part of a message. Raises Nonsense for whatever does not fit."""
    try:
        return decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise nonsense(what, error) from error


def envelope(body: bytes) -> Answer:
    """Take an answer apart. Raises Nonsense for one that is too long, not UTF-8, or no envelope."""
    if len(body) > MAX_BODY_BYTES:
        raise nonsense("answer", f"expected at most {MAX_BODY_BYTES} bytes, found {len(body)}")
    try:
        body.decode()  # the JSON decoder does not look at what it skips
    except UnicodeDecodeError as error:
        raise nonsense("answer", error) from error
    found = decoded(_decode_envelope, body, "answer")
    return Answer(found.retCode, bytes(found.result), bytes(found.retExtInfo), found.time)


def read(heard: Heard) -> Answer:
    """The answer to a read. Raises Refused where the venue says no, and Nonsense for what it cannot mean."""
    try:
        answer = envelope(heard.body)
    except Nonsense:
        if heard.status == 200:
            raise
        explained = classify(heard.status, "", Doing.READ)
        raise Refused(explained, left_alone_ms(heard, explained)) from None
    if answer.code:
        explained = classify(heard.status, str(answer.code), Doing.READ)
        raise Refused(explained, left_alone_ms(heard, explained))
    if heard.status != 200:
        raise nonsense("answer", f"expected HTTP 200 with retCode 0, found HTTP {heard.status}")
    return answer


def left_alone_ms(heard: Heard, explained: Explained) -> int:
    """For how long a refusal, of whatever was asked, wants the venue to be left alone; 0 where it does not say."""
    if heard.status == 403:
        return BANNED_MS
    if explained.trouble is not Trouble.RATE_LIMIT:
        return 0
    try:
        return wait_ms(heard.headers, envelope(heard.body).venue_ms)
    except Nonsense:
        return 0


def ask(path: str, query: str, budget: str) -> Ask:
    """A read: a signed one, or a public one where it uses nothing but the address's budget."""
    return Ask(Call(Method.GET, path, query), Access.PUBLIC if budget == IP else Access.SIGNED, budget)


def listed(path: str, query: str, budget: str) -> Talk[Listed]:
    """All pages of a list. Raises Nonsense where a cursor comes twice or the list does not end."""
    rows: list[bytes] = []
    cursors = {""}
    cursor = ""
    venue_ms = 0
    for number in range(MOST_PAGES):
        # A cursor comes with its percent signs and goes back with them; anything else that has a meaning in a query is escaped.
        heard = yield ask(path, f"{query}&cursor={quote(cursor, safe=_SAFE)}" if cursor else query, budget)
        answer = read(heard)
        venue_ms = venue_ms if number else answer.venue_ms
        page = decoded(_decode_page, answer.result, path)
        rows.extend(bytes(row) for row in page.rows)
        cursor = page.nextPageCursor
        if not cursor or not page.rows:
            return Listed(tuple(rows), venue_ms)
        if cursor in cursors or len(cursor) > _LONGEST_CURSOR:
            break
        cursors.add(cursor)
    raise nonsense(path, "expected a list that ends, found a cursor that comes again, is too long, or never ends")


def amount(text: str, what: str) -> Decimal:
    """A decimal with at most 18 digits on either side of the point. Raises Nonsense for any other text."""
    if _AMOUNT.fullmatch(text) is None:
        raise nonsense(what, f"expected a plain decimal number, found {text[:40]!r}")
    return Decimal(text)


def count_of(text: str, unit: Decimal, what: str) -> int:
    """How many units a number is. Raises Nonsense for no number, a negative one, and one between two units."""
    try:
        return Scale(unit, what)[text]
    except ValueError as error:
        raise nonsense(what, error) from error


def time_ns(text: str, what: str) -> int:
    """A time from ms as text. Raises Nonsense for one that is not between 1970 and 2200."""
    found = int(text) * NS_PER_MS if text.isascii() and text.isdigit() and len(text) <= 16 else 0
    if not 0 < found < LATEST_NS:
        raise nonsense(what, f"expected a time in ms between 1970 and 2200, found {text[:40]!r}")
    return found


def day_of(venue_ms: int) -> date:
    """The day (UTC) of an answer. Raises Nonsense where it tells no time between 1970 and 2200."""
    return datetime.fromtimestamp(time_ns(str(venue_ms), "answer time") // NS_PER_S, UTC).date()
