"""A sheet at the exact bounds of what may stand in it, and each refusal word by word."""

from __future__ import annotations

import msgspec
import pytest
from tests.gate.limit_cases import EXAMPLE_SHEET, TEXT

from interlock.domain.errors import BadInput
from interlock.gate.limit_sheet import Asset, LimitSheet, parse, written

INSTRUMENT = TEXT[TEXT.index('[symbols."bybit:BTCUSDT"]') : TEXT.index("[assets.BTC]")]
POINT = "{ range_bps = 100, factor_bps = 10000 }"


def with_line(key: str, value: str) -> str:
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"{key} = ")]
    return TEXT.replace(f"\n{line}\n", f"\n{key} = {value}\n")


def with_first(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def read(text: str) -> LimitSheet:
    return parse(text, "my.toml")


def refusal(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        read(text)
    return str(caught.value)


AMOUNT, WHOLE, BPS, MILLIS = "an amount in USD", "a whole number", "basis points", "milliseconds"
NOTHING_WRITTEN = "expected a value, found none; no limit has a default, so write one down"


@pytest.mark.parametrize(
    ("key", "most", "place", "what"),
    [
        ("max_daily_loss_usd", 9_007_199_254, "account", AMOUNT),
        ("max_order_lots", 1 << 53, "symbols.bybit:BTCUSDT", "a whole number of lots"),
        ("max_losing_streak_count", 1 << 53, "strategies.demo", WHOLE),
        ("max_drift_bps", 10_000, "symbols.bybit:BTCUSDT", BPS),
        ("max_naked_ms", 86_400_000, "assets.BTC", MILLIS),
        ("drift_window_ms", 3_600_000, "symbols.bybit:BTCUSDT", MILLIS),
    ],
)
def test_a_number_may_be_as_large_as_its_kind_and_not_larger_and_not_nothing(key: str, most: int, place: str, what: str) -> None:
    read(with_line(key, str(most)))
    read(with_line(key, "1"))
    for value in (most + 1, 0):
        said = f"my.toml, {place}.{key}: expected {what}, above 0 and at most {most}, found {value}; correct it and start again"
        assert refusal(with_line(key, str(value))) == said


def test_what_may_be_nothing_says_so() -> None:
    key = "min_available_margin_usd"
    assert read(with_line(key, "0")).venues["bybit"].min_available_margin_micro_usd == 0
    most = 9_007_199_254
    said = f"my.toml, venues.bybit.{key}: expected an amount in USD, from 0 and at most {most}, found -1; correct it and start again"
    assert refusal(with_line(key, "-1")) == said


def test_what_must_at_least_be_is_rounded_up_and_what_may_at_most_be_down() -> None:
    least = read(with_line("min_available_margin_usd", '"10.0000001"')).venues["bybit"]
    assert least.min_available_margin_micro_usd == 10_000_001
    assert read(with_line("min_liquidation_distance_bps", '"3500.001"')).venues["bybit"].min_liquidation_distance_millionths == 350_001
    assert read(with_line("lowest_rate_usd", '"0.9700001"')).currencies["USDT"].lowest_rate_micro_usd == 970_001
    assert read(with_line("highest_rate_usd", '"1.0300009"')).currencies["USDT"].highest_rate_micro_usd == 1_030_000


def test_a_rate_may_be_fixed() -> None:
    assert read(with_line("lowest_rate_usd", '"1.03"')).currencies["USDT"].lowest_rate_micro_usd == 1_030_000
    said = refusal(with_line("lowest_rate_usd", '"1.030001"'))
    assert said.startswith("my.toml, currencies.USDT.lowest_rate_usd: expected at most highest_rate_usd, found 1030001")


def test_a_peer_is_another_instrument_of_the_sheet() -> None:
    own, other = (
        INSTRUMENT.replace('peer = "none"', 'peer = "bybit:ETHUSDT"'),
        INSTRUMENT.replace("bybit:BTCUSDT", "bybit:ETHUSDT").replace('peer = "none"', 'peer = "bybit:BTCUSDT"'),
    )
    found = read(TEXT.replace(INSTRUMENT, own + other))
    assert {name: symbol.peer for name, symbol in found.symbols.items()} == {
        "bybit:BTCUSDT": "bybit:ETHUSDT",
        "bybit:ETHUSDT": "bybit:BTCUSDT",
    }
    said = refusal(TEXT.replace(INSTRUMENT, own))
    assert said.startswith('my.toml, symbols.bybit:BTCUSDT.peer: expected another instrument of [symbols], or "none", found bybit:ETHUSDT')


def test_the_table_of_tightening_reaches_from_no_range_to_the_whole() -> None:
    def table(*points: str) -> str:
        begin = TEXT.index("tightening = [")
        return TEXT[:begin] + f"tightening = [{', '.join(points)}]\n" + TEXT[TEXT.index("\n]\n", begin) + 3 :]

    least, most = "{ range_bps = 0, factor_bps = 10000 }", "{ range_bps = 10000, factor_bps = 1 }"
    assert read(table(least, most)).symbols["bybit:BTCUSDT"].tightening == ((0, 1_000_000), (1_000_000, 100))
    beyond = "basis points, from 0 and at most 10000"
    place = "my.toml, symbols.bybit:BTCUSDT.tightening"
    assert refusal(table(least, '{ range_bps = "10000.1", factor_bps = 1 }')).startswith(f"{place}[2].range_bps: expected {beyond}, found")
    assert refusal(table('{ range_bps = "-0.1", factor_bps = 1 }')).startswith(f"{place}[1].range_bps: expected {beyond}, found")
    assert refusal(table("{ range_bps = 1 }")) == f"{place}[1].factor_bps: {NOTHING_WRITTEN}"
    unknown = refusal(table(least, "{ range_bps = 1, factor_bps = 1, factor = 2 }"))
    assert unknown == f"{place}[2].factor: expected one of range_bps, factor_bps, found factor; did you mean factor_bps?"


def test_a_word_that_is_no_text_is_refused_whatever_it_is() -> None:
    for value in ("[]", '["gtc"]', "{}", "3"):
        said = refusal(with_first('tif = "gtc"', f"tif = {value}"))
        assert said.startswith("my.toml, symbols.bybit:BTCUSDT.allow[1].tif: expected one of gtc, ")


def test_a_key_is_named_with_the_tables_around_it_and_at_the_top_with_none() -> None:
    assert refusal(TEXT + "\n[overrides]\nall = true\n").startswith("my.toml, overrides: expected one of account, venues,")
    assert refusal(TEXT.replace("[assets.BTC]", "[assets.BTC]\nzzz = 1")).startswith("my.toml, assets.BTC.zzz: expected one of ")
    assert refusal(TEXT[: TEXT.index("[strategies")]) == f"my.toml, strategies: {NOTHING_WRITTEN}"
    assert read(TEXT) == EXAMPLE_SHEET


def test_a_line_has_at_most_two_hundred_dots_wherever_it_stands() -> None:
    for line in ("# " + "." * 200, "# 1.5"):
        assert read(f"{line}\n{TEXT}\n{line}") == EXAMPLE_SHEET
    for text in (f"# {'.' * 201}\n{TEXT}", f"{TEXT}\n# {'.' * 201}"):
        assert "at most 200 dots in a line, found 201" in refusal(text)


def test_a_list_is_written_as_json() -> None:
    assert (written("accounts", ("main", "b")), written("shared", False)) == ('["main","b"]', "false")


def test_under_a_sheet_of_before_there_was_a_bound_a_group_may_lose_nothing() -> None:
    known = msgspec.to_builtins(EXAMPLE_SHEET.assets["BTC"])
    del known["max_group_loss_micro_usd"]
    assert msgspec.convert(known, Asset).max_group_loss_micro_usd == 0


@pytest.mark.parametrize(
    ("keys", "found"), [("shared = true\nunmanaged_assets = []", "none"), ('unmanaged_assets = ["XRP", "DOGE"]', "DOGE, XRP")]
)
def test_half_a_word_about_sharing_is_told_as_it_was_found(keys: str, found: str) -> None:
    assert refusal(TEXT.replace('accounts = ["main"]', f'accounts = ["main"]\n{keys}')).endswith(
        f", found {found}; correct it and start again"
    )
