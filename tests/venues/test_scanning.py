"""The compiled readers of numbers, against the plain ones: what they take is the same number, and they take every usual one."""

from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interlock.market.numbers import Scale, decimals
from interlock.market.shipped import SHIPPED
from interlock.venues import scanning
from interlock.venues.scanning import DIGITS, NOT_MINE, facts, integer, match, number, same
from interlock.venues.upbit.public import plain

UNITS = st.sampled_from([Decimal(unit) for unit in ("0.1", "0.5", "0.001", "0.00000001", "1", "1000", "0.025", "0.000000000001")])
DIGIT = st.sampled_from("00000123456789")
DIGITS_TEXT = st.text(DIGIT, min_size=1, max_size=21)
PLAIN = st.one_of(DIGITS_TEXT, st.tuples(DIGITS_TEXT, st.text(DIGIT, max_size=21)).map(".".join))
SHORT = st.builds(
    lambda whole, fraction: f"{whole}.{fraction}" if fraction else str(whole), st.integers(0, 10**6), st.text(DIGIT, max_size=9)
)
ODD = st.text('0123456789.eE+-," \x00n', max_size=24)


def count(text: str, unit: Decimal, *, exponents: bool = False) -> int | None:
    """What is read where a text stands between others; None for what is left to the decoder, or where something is left over."""
    frame = b"[" + text.encode() + b"]"
    places = decimals(unit)
    found, at = number(frame, 1, places, int(unit.scaleb(places)), exponents)
    return None if found == NOT_MINE or at != len(frame) - 1 else int(found)


@given(st.one_of(PLAIN, SHORT, ODD), UNITS)
@example("007", Decimal(1))
@example("1.", Decimal(1))
@example(".5", Decimal("0.5"))
@example("999999999999999999", Decimal(1))
@example("1000000000000000000", Decimal(1))
@example("99999999999999999", Decimal("0.1"))
@example("100000000000000000", Decimal("0.1"))
def test_a_number_that_is_read_is_what_the_table_says(text: str, unit: Decimal) -> None:
    found = count(text, unit)
    if found is not None:
        assert found == Scale(unit, "x")[text]


@given(SHORT, UNITS)
def test_every_usual_number_is_read(text: str, unit: Decimal) -> None:
    try:
        expected = Scale(unit, "x")[text]
    except ValueError:
        assert count(text, unit) is None
    else:
        assert count(text, unit) == expected


@given(st.one_of(SHORT, st.tuples(SHORT, st.integers(-45, 45)).map(lambda parts: f"{parts[0]}E{parts[1]}"), ODD), UNITS)
@example("0E99", Decimal(1))
@example("0E41", Decimal(1))
@example("0.00000E-36", Decimal(1))
@example("1E-0", Decimal(1))
@example("1.16539E8", Decimal(1000))
@example("9.9E-7", Decimal("0.00000001"))
def test_a_json_number_that_is_read_is_what_the_decoder_says(text: str, unit: Decimal) -> None:
    found = count(text, unit, exponents=True)
    if found is not None:
        assert found == Scale(unit, "x")[plain(Decimal(text))]


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [("1.16539E8", "1000", 116_539), ("9.9E-7", "0.00000001", 99), ("1.0e+2", "0.1", 1000), ("109950000.0", "1000", 109_950)],
)
def test_the_exponents_that_a_double_is_written_with_are_read(text: str, unit: str, expected: int) -> None:
    assert count(text, Decimal(unit), exponents=True) == expected
    if "." not in text[-2:]:
        assert count(text, Decimal(unit)) is None, "not where they may not be"


@given(st.one_of(DIGITS_TEXT, ODD))
def test_an_integer_is_read_whole_or_not_at_all(text: str) -> None:
    frame = b"[" + text.encode() + b"]"
    found, at = integer(frame, 1)
    usual = text.isascii() and text.isdigit() and len(text) <= DIGITS and (len(text) == 1 or text[0] != "0")
    assert (found != NOT_MINE and at == len(frame) - 1) == usual
    if usual:
        assert found == int(text)


@given(st.binary(max_size=12), st.integers(0, 14), st.binary(min_size=1, max_size=4), st.integers(0, 14), st.integers(0, 5))
def test_nothing_is_found_past_the_end(frame: bytes, at: int, text: bytes, other: int, length: int) -> None:
    assert match(frame, at, text) == (frame[at : at + len(text)] == text)
    inside = at + length <= len(frame) and other + length <= len(frame)
    assert same(frame, at, other, length) == (inside and frame[at : at + length] == frame[other : other + length])


def test_units_that_do_not_fit_are_left_to_the_decoder() -> None:
    usual = SHIPPED["bybit:BTCUSDT"]
    found = facts(usual, 3, 5, 9)
    assert found is not None
    assert found.tolist() == [(1, 1, 3, 1, 3, 5, 9)]
    for unit in (Decimal("1e-13"), Decimal("1e18")):
        assert facts(msgspec.structs.replace(usual, lot=unit), 0) is None
    assert scanning.FACTS.itemsize == 7 * np.int64().itemsize
