"""Amounts as a person reads them."""

import pytest

from interlock.cli.amounts import in_dollars


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "not known"),
        ("0", "0.0000 USD"),
        ("-0.0105101220244153721800000", "-0.0105 USD"),
        ("-0.00001", "0.0000 USD"),
        ("1E+6", "1000000.0000 USD"),
        ("12.00005000001", "12.0001 USD"),
    ],
)
def test_an_amount_is_shown_to_a_hundredth_of_a_cent(amount: str | None, shown: str) -> None:
    assert in_dollars(amount) == shown
