"""Money: currencies do not mix, neither for the type checker nor at run time."""

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.errors import CurrencyMismatch
from interlock.domain.fx import FxQuote, FxSource
from interlock.domain.money import KRW, USD, USDT, Money, currency

REPOSITORY = Path(__file__).resolve().parents[2]
AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, allow_infinity=False, places=8)

HEAD = """
from decimal import Decimal
from interlock.domain.fx import FxQuote
from interlock.domain.money import KRW, USD, USDT, Money

won = Money(1400, KRW)
tether = Money(1, USDT)

def turn(rate: FxQuote[USDT, KRW]) -> Money[KRW]:
    return {body}
"""


def check_types(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run the type checker on a function that returns `body` as won."""
    (tmp_path / "snippet.py").write_text(HEAD.format(body=body), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "snippet.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(REPOSITORY / "src"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("body", ["won + won", "won + rate.sell_base(tether)", "won * 2 - won"])
def test_sound_arithmetic_passes_the_type_checker(tmp_path: Path, body: str) -> None:
    done = check_types(tmp_path, body)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("won + tether", "operator"),
        ("won - tether", "operator"),
        ("tether", "return-value"),
        ("rate.sell_base(won)", "arg-type"),
        ("rate.buy_base(won)", "return-value"),
        ("won * 1.5", "operator"),
    ],
)
def test_mixing_currencies_is_a_type_error(tmp_path: Path, body: str, error: str) -> None:
    done = check_types(tmp_path, body)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"[{error}]" in done.stdout


def test_mixing_currencies_is_an_error_at_run_time() -> None:
    won: Any = Money(1400, KRW)
    comparisons: list[Callable[[], object]] = [
        lambda: won + Money(1, USDT),
        lambda: won - Money(1, USDT),
        lambda: won < Money(1, USDT),
        lambda: won <= Money(1, USD),
    ]
    for act in comparisons:
        with pytest.raises(CurrencyMismatch, match="KRW and USD"):
            act()
    with pytest.raises(TypeError, match="int"):
        won + 1
    assert won + Money(1, KRW) == Money(1401, KRW)
    assert won != Money(1400, USDT)


def test_floats_and_what_is_no_number_are_refused() -> None:
    value: Any = 0.1
    with pytest.raises(TypeError, match="found float"):
        Money(value, KRW)
    with pytest.raises(TypeError, match="times float"):
        Money(1, KRW) * value
    for text in ("NaN", "Infinity"):
        with pytest.raises(ValueError, match="finite"):
            Money(text, KRW)


def test_money_does_not_change() -> None:
    won: Any = Money(1, KRW)
    with pytest.raises(AttributeError, match="immutable"):
        won.amount = Decimal(2)


def test_a_currency_is_one_type_whoever_asks() -> None:
    assert currency("KRW") is KRW
    assert currency("DOGE") is currency("DOGE")
    for code in ("", "krw", "K-W"):
        with pytest.raises(ValueError, match="currency code"):
            currency(code)


@given(AMOUNTS, AMOUNTS)
def test_sums_are_exact_and_undo(first: Decimal, second: Decimal) -> None:
    a, b = Money(first, USDT), Money(second, USDT)
    assert a + b == b + a
    assert a + b - b == a
    assert (a - b) == -(b - a)
    assert bool(a) == (first != 0)
    assert (a < b) == (first < second)
    assert 3 * a == a + a + a


def test_conversion_names_its_side() -> None:
    quote = FxQuote(USDT, KRW, Decimal(1399), Decimal(1401), Decimal(1), FxSource.BOOK, 5)
    assert quote.sell_base(Money(2, USDT)) == Money(2798, KRW)
    assert quote.buy_base(Money(2802, KRW)) == Money(2, USDT)
    assert quote.mark_base(Money(2, USDT)) == Money(2800, KRW)
    assert quote.mark_quote(Money(2800, KRW)) == Money(2, USDT)
    assert quote.uncertainty == Decimal("1.5") / 1400
    assert quote.age_ns(7) == 2
    wrong: Any = Money(1, USD)
    with pytest.raises(CurrencyMismatch, match="expected an amount in USDT"):
        quote.sell_base(wrong)


@pytest.mark.parametrize(("bid", "ask", "tick"), [(0, 1, 0), (2, 1, 0), (1, 2, -1)])
def test_a_quote_that_cannot_be_is_refused(bid: int, ask: int, tick: int) -> None:
    with pytest.raises(ValueError, match="0 < bid <= ask"):
        FxQuote(USDT, KRW, Decimal(bid), Decimal(ask), Decimal(tick), FxSource.BOOK, 0)


@given(AMOUNTS.filter(lambda d: d > 0))
def test_a_round_trip_through_a_quote_never_gains(amount: Decimal) -> None:
    quote = FxQuote(USDT, KRW, Decimal(1399), Decimal(1401), Decimal(1), FxSource.BOOK, 0)
    assert quote.buy_base(quote.sell_base(Money(amount, USDT))) < Money(amount, USDT)
