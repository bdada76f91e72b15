from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.market.numbers import Scale, decimals

UNITS = [Decimal(u) for u in ("0.1", "0.10", "0.001", "0.00000001", "1", "5", "0.5", "1000", "0.25")]


@given(st.sampled_from(UNITS), st.integers(0, 2**62 - 1), st.integers(0, 6))
def test_every_multiple_of_the_unit_is_found_again(unit: Decimal, count: int, zeros: int) -> None:
    scale = Scale(unit, "price")
    with localcontext(prec=60):
        text = format(unit * count, "f")
    text += "0" * zeros if "." in text else ""
    assert scale[text] == count
    assert scale[text] == count  # from the table


@given(st.sampled_from(UNITS), st.decimals(min_value=0, max_value=10**9, places=9))
def test_a_value_between_two_units_is_refused(unit: Decimal, value: Decimal) -> None:
    scale = Scale(unit, "size")
    if value % unit == 0:
        assert scale[format(value, "f")] == int(value / unit)
    else:
        with pytest.raises(ValueError, match="size: expected a multiple of"):
            scale[format(value, "f")]


@pytest.mark.parametrize("text", ["-1", "+1", "NaN", "nan", "Infinity", "1e5", "1E-3", "", ".", "1.", ".5", " 1", "1 ", "1_0", "٣", "0x1"])
def test_what_is_not_a_plain_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a plain decimal number"):
        Scale(Decimal("0.1"), "price")[text]


@pytest.mark.parametrize("text", ["9" * 19, "9" * 100, "9" * 5000])
def test_what_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="fewer than"):
        Scale(Decimal(1), "size")[text]


def test_the_table_does_not_grow_without_end() -> None:
    """A process has two for each instrument, and sizes have as many values as there are frames: what it may hold, it will."""
    scale = Scale(Decimal(1), "size")
    most = 0
    for count in range(20_000):
        assert scale[str(count)] == count
        most = max(most, len(scale))
    assert 1_000 < most < 5_000


def test_decimals_of_a_unit() -> None:
    assert [decimals(u) for u in UNITS] == [1, 1, 3, 8, 0, 0, 1, 0, 2]
    with pytest.raises(ValueError, match="finite"):
        decimals(Decimal("NaN"))
    with pytest.raises(ValueError, match="positive unit"):
        Scale(Decimal(0), "price")
