"""The limits file: complete or refused, by key, with no default anywhere."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.gate.limit_cases import EXAMPLE, TEXT
from tests.gate.limit_cases import EXAMPLE_SHEET as SHEET

from interlock.domain.errors import BadInput
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate import limit_sheet
from interlock.gate.limit_sheet import Allow, key_of, load, parse, sheet_hash

NUMBER = re.compile(r'^(\w+_(?:usd|bps|ms|lots|count)) = ("?[\d.]+"?)$', re.MULTILINE)
KEYS = [(match.start(), match[1]) for match in NUMBER.finditer(TEXT)]
LINES = [line for line in TEXT.splitlines() if re.match(r"\w+ = ", line)]


def refusal(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        parse(text, "my.toml")
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith("my.toml")
    return str(caught.value)


def without(line: str) -> str:
    """The example without one entry, which may run over several lines."""
    at = TEXT.index(f"\n{line}\n") + 1
    end = TEXT.index("\n]\n", at) + 3 if line.endswith("[") else at + len(line) + 1
    return TEXT[:at] + TEXT[end:]


def with_value(key: str, value: str, nth: int = 0) -> str:
    found = list(re.finditer(rf"^{key} = .*$", TEXT, re.MULTILINE))[nth]
    return TEXT[: found.start()] + f"{key} = {value}" + TEXT[found.end() :]


def test_the_example_is_read_exactly() -> None:
    assert parse(TEXT, "x") == SHEET
    assert SHEET.account.max_gross_notional_micro_usd == 100_000_000
    assert SHEET.account.freshness_mark_ns == 5_000_000_000
    assert SHEET.venues["bybit"].accounts == ("main",)
    symbol = SHEET.symbols["bybit:BTCUSDT"]
    assert symbol.collar_reference_millionths == 5_000
    assert symbol.tightening == ((10_000, 1_000_000), (20_000, 500_000))
    assert Allow(side=Side.SELL, type=OrderType.LIMIT, tif=TimeInForce.IOC, reduce_only=True) in symbol.allow
    assert Allow(side=Side.SELL, type=OrderType.LIMIT, tif=TimeInForce.FOK, reduce_only=True) not in symbol.allow
    assert SHEET.currencies["USDT"].lowest_rate_micro_usd == 970_000


@pytest.mark.parametrize("line", sorted(set(LINES)))
def test_every_key_is_required(line: str) -> None:
    key = line.partition(" ")[0]
    message = refusal(without(line))
    assert f"{key}: expected a value, found none" in message
    assert "no limit has a default" in message


@pytest.mark.parametrize("key", sorted({key for _, key in KEYS}))
@pytest.mark.parametrize("value", ['"NaN"', '"Infinity"', "0.5", "true", '"ten"', "[]", "-1", '"-0.000001"', '"1e300"', "nan", "inf"])
def test_a_value_that_is_no_number_of_its_kind_is_refused(key: str, value: str) -> None:
    message = refusal(with_value(key, value))
    assert f".{key}: expected" in message
    assert "found" in message


@pytest.mark.parametrize("key", sorted({key for _, key in KEYS}))
def test_nothing_may_be_zero_but_what_can_mean_it(key: str) -> None:
    if key in {"max_unattended_resting_usd", "min_available_margin_usd", "naked_tolerance_usd"}:
        parse(with_value(key, "0"), "x")
    else:
        assert f".{key}: expected" in refusal(with_value(key, "0"))


@pytest.mark.parametrize("key", sorted({key for _, key in KEYS if key.endswith(("_ms", "_lots", "_count"))}))
def test_what_is_counted_is_whole(key: str) -> None:
    assert f".{key}: expected" in refusal(with_value(key, '"1.5"'))


@pytest.mark.parametrize("key", sorted({key for _, key in KEYS}))
def test_a_key_without_its_unit_is_unknown_and_the_right_one_is_named(key: str) -> None:
    bare = key.rpartition("_")[0]
    message = refusal(TEXT.replace(f"\n{key} = ", f"\n{bare} = ", 1))
    assert f".{bare}: expected one of" in message
    assert f"found {bare}; did you mean" in message


def test_an_unknown_key_that_resembles_nothing_is_named() -> None:
    message = refusal(TEXT.replace("\n[account]\n", "\n[account]\nzzz = 1\n"))
    assert "account.zzz" in message
    assert "did you mean" not in message
    assert "overrides" in refusal(TEXT + "\n[overrides]\nall = true\n")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("cancel_reserve_count", "200", "less than max_messages_count"),
        ("peer", '"bybit:ETHUSDT"', "another instrument"),
        ("peer", '"bybit:BTCUSDT"', "another instrument"),
        ("peer", "7", "a name in quotes"),
        ("peer", '" none"', "a name in quotes"),
        ("accounts", '"main"', "a list"),
        ("accounts", '["main", ""]', "accounts[2]"),
        ("lowest_rate_usd", '"1.04"', "at most highest_rate_usd"),
        ("collar_reference_bps", "10001", "at most 10000"),
        ("messages_window_ms", "3600001", "at most 3600000"),
        ("max_naked_ms", "86400001", "at most 86400000"),
        ("max_daily_loss_usd", '"0.0000001"', "at least one usd"),
    ],
)
def test_values_that_do_not_fit_are_refused(key: str, value: str, says: str) -> None:
    assert says in refusal(with_value(key, value))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('side = "buy", type', 'side = "long", type', "allow[1].side: expected one of buy, sell"),
        ('type = "limit"', 'type = "market"', "allow[1].type: expected one of limit"),
        ('tif = "gtc"', "tif = 3", "allow[1].tif: expected one of"),
        ("reduce_only = false", 'reduce_only = "false"', "expected true or false"),
        ("reduce_only = false", "reduceonly = false", "did you mean reduce_only"),
        ("range_bps = 200", "range_bps = 100", "ranges rising"),
        ("factor_bps = 5000", "factor_bps = 10001", "factor_bps"),
        ("factor_bps = 10000", "factor_bps = 4000", "factors never rising"),
        ("range_bps = 100", "range_bps = -1", "from 0"),
        ('[symbols."bybit:BTCUSDT"]', '[symbols."bybt:BTCUSDT"]', "a venue of [venues]"),
        ('[symbols."bybit:BTCUSDT"]', '[symbols."bybit"]', "VENUE:SYMBOL"),
        ("[account]", "[account", "expected TOML"),
        ("[assets.BTC]", "[assets]", "a table"),
        ("[assets.BTC]", "[asset.BTC]", "did you mean assets"),
    ],
)
def test_tables_that_do_not_fit_are_refused(old: str, new: str, says: str) -> None:
    assert old in TEXT
    assert says in refusal(TEXT.replace(old, new, 1))


def test_a_sheet_without_any_instrument_is_refused() -> None:
    head, _, rest = TEXT.partition('[symbols."bybit:BTCUSDT"]')
    tail = rest[rest.index("[assets.BTC]") :]
    assert "symbols: expected at least one table" in refusal(head + "[symbols]\n" + tail)
    assert "at least one point" in refusal(re.sub(r"tightening = \[.*?\n\]", "tightening = []", TEXT, flags=re.DOTALL))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="readable file"):
        load(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="readable file"):
        load(tmp_path / "binary.toml")
    assert load(EXAMPLE) == SHEET


def test_the_hash_ignores_formatting_and_nothing_else() -> None:
    assert len(sheet_hash(SHEET)) == 64
    spelled = with_value("max_daily_loss_usd", '"10.00"').replace("# Limits", "# Other words")
    assert sheet_hash(parse(spelled, "other")) == sheet_hash(SHEET)
    sections = re.split(r"(?m)^(?=\[)", TEXT)
    assert sheet_hash(parse("\n".join(reversed(sections[1:])), "x")) == sheet_hash(SHEET)
    hashes = {sheet_hash(SHEET)}
    for key in {key for _, key in KEYS} - {"cancel_reserve_count", "lowest_rate_usd"}:
        value = tomllib.loads(with_value(key, "1"))
        assert value
        hashes.add(sheet_hash(parse(with_value(key, '"3"' if key == "highest_rate_usd" else _other(key)), "x")))
    assert len(hashes) == 1 + len({key for _, key in KEYS} - {"cancel_reserve_count", "lowest_rate_usd"})


def _other(key: str) -> str:
    found = re.search(rf"^{key} = \"?([\d.]+)\"?$", TEXT, re.MULTILINE)
    assert found
    number: Any = int(float(found[1]))
    return str(number - 1 if number > 1 else number + 1)


def test_amounts_round_toward_less_risk() -> None:
    sheet = parse(with_value("max_daily_loss_usd", '"9.9999999"'), "x")
    assert sheet.account.max_daily_loss_micro_usd == 9_999_999
    sheet = parse(with_value("lowest_rate_usd", '"0.9700001"'), "x")
    assert sheet.currencies["USDT"].lowest_rate_micro_usd == 970_001


def test_every_attribute_has_a_key_with_a_unit() -> None:
    for table in (
        limit_sheet.Account,
        limit_sheet.Venue,
        limit_sheet.Symbol,
        limit_sheet.Asset,
        limit_sheet.Currency,
        limit_sheet.Strategy,
    ):
        for field in set(table.__struct_fields__) - {"shared", "unmanaged_assets"}:
            key = key_of(field)
            assert key.endswith(("_usd", "_units", "_bps", "_ms", "_lots", "_count")) or key in {
                "accounts",
                "expected_reject_codes",
                "allow",
                "peer",
                "tightening",
            }
