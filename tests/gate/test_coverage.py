"""Whether the limit sheet covers what is to be traded."""

import msgspec
import pytest
from tests.gate import limit_cases as lc

from interlock.gate.coverage import Wanted, uncovered
from interlock.gate.evaluate import REQUIRED

COVERED: Wanted = ("bybit", "main", "BTCUSDT", "demo", "BTC", "USDT")


def test_what_the_sheet_covers_is_not_named() -> None:
    assert uncovered(lc.SHEET, ()) == ()
    assert uncovered(lc.SHEET, (COVERED,)) == ()
    assert uncovered(lc.SHEET, (("bybit", "main", "BTCUSDT", "demo", "BTC", "USD"),)) == (), "a dollar needs no rate"


@pytest.mark.parametrize(
    ("place", "name", "missing"),
    [
        (0, "upbit", ("[venues.upbit]", '[symbols."upbit:BTCUSDT"]')),
        (1, "other", ("[venues.bybit] accounts: other",)),
        (2, "XRPUSDT", ('[symbols."bybit:XRPUSDT"]',)),
        (3, "making", ("[strategies.making]",)),
        (4, "XRP", ("[assets.XRP]",)),
        (5, "KRW", ("[currencies.KRW]",)),
    ],
)
def test_each_table_that_is_missing_is_named(place: int, name: str, missing: tuple[str, ...]) -> None:
    asked = list(COVERED)
    asked[place] = name
    wanted: Wanted = (asked[0], asked[1], asked[2], asked[3], asked[4], asked[5])
    assert set(uncovered(lc.SHEET, (COVERED, wanted, wanted))) == set(missing)


def test_what_is_named_at_the_start_is_what_every_order_would_be_denied_for() -> None:
    assert "known" in REQUIRED
    for change, said in (("strategies", "[strategies.demo]"), ("assets", "[assets.BTC]"), ("symbols", '[symbols."bybit:BTCUSDT"]')):
        sheet = msgspec.structs.replace(lc.SHEET, **{change: {}})
        assert uncovered(sheet, (COVERED,)) == (said,)
        assert lc.rule(lc.judge(sheet=sheet)) == "known"
