"""Every file of the recorded data, by name: which test reads each frame of it, or why it is refused. A file that nobody reads is noticed here."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pytest
from tests.test_safety_case import Sources
from tests.venues.binance_usdm.talks import ok
from tests.venues.scripted import finish, query
from tests.venues.upbit.talks import BOOK

from interlock.domain.errors import BadInput
from interlock.market.shipped import SHIPPED
from interlock.market.sources import no_progress
from interlock.venues import bar_files
from interlock.venues.binance_usdm import public as binance
from interlock.venues.binance_usdm.account import Account as BinanceAccount
from interlock.venues.feed import Reject
from interlock.venues.formats import Format, import_tape
from interlock.venues.hot import among
from interlock.venues.port import Ask, Heard, Nonsense, Talk
from interlock.venues.upbit.account import Account as UpbitAccount

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
HERE = "tests/venues"
SELF = f"{HERE}/test_recorded_files.py"
_COINS, _MINUTES = (
    f"{HERE}/test_bars_import.py::test_{name}" for name in ("three_coins_on_two_venues", "minutes_in_chunks_on_both_venues")
)

READ = {
    **{f"both_legs/upbit_{coin}KRW_1m_20250901_20251004.csv.gz": _COINS for coin in ("BTC", "ETH", "XRP")},
    **{f"both_legs/binance_usdm_{coin}USDT_5m_20241231_20260219.feather": _COINS for coin in ("BTC", "ETH", "XRP")},
    **{f"both_legs/binance_usdm_{coin}USDT_funding8h_20241231_20260219.feather": _COINS for coin in ("BTC", "ETH", "XRP")},
    "both_legs/binance_usdm_BTCUSDT_mark1h_20241231_20260219.feather": _COINS,
    "both_legs/binance_usdm_BTCUSDT_1m_20250504_20250603.feather": _MINUTES,
    "both_legs/binance_usdm_BTCUSDT_1m_20250525_20250624.feather": _MINUTES,
    "both_legs/binance_usdm_BTCUSDT_1m_20250706_20250717.feather": _MINUTES,
    "both_legs/upbit_BTCKRW_1m_chunks_20240824_20250824.csv.gz": _MINUTES,
    "both_legs/upbit_BTCKRW_5m_chunks_20250528_20250823.csv.gz": f"{SELF}::test_five_minutes_in_chunks",
    "binance_usdm/collect_btcusdt_20220811.dat.gz": f"{HERE}/test_binance_real.py::test_the_short_capture",
    "binance_usdm/cryptofeed_BINANCE_FUTURES.0": f"{HERE}/test_binance_real.py::test_four_symbols_with_rest_snapshots_and_their_own_filters",
    "binance_usdm/cryptofeed_BINANCE_FUTURES.http.0.0": (
        f"{HERE}/test_binance_real.py::test_four_symbols_with_rest_snapshots_and_their_own_filters"
    ),
    "binance_usdm/cryptofeed_BINANCE_FUTURES.ws.1.0": (
        f"{HERE}/test_binance_real.py::test_four_symbols_with_rest_snapshots_and_their_own_filters"
    ),
    "binance_usdm/gct_binance_http_routes.json.gz": f"{SELF}::test_recorded_answers_of_binance",
    "binance_usdm/hft_usdm_btcusdt_20240808.gz": f"{HERE}/test_binance_feed.py::test_the_real_capture_is_taken_whole_and_its_books_agree",
    "bybit/gct_v5_frames_embedded_20241108.jsonl": f"{HERE}/test_bybit_feed.py::test_the_real_pair_of_a_spot_book",
    "bybit/gct_wsTicker_202405.jsonl": f"{HERE}/test_bybit_feed.py::test_real_tickers_are_merged",
    "bybit/nautilus_2024-12-01_XRPUSDT_ob500.data.zip": (
        f"{HERE}/test_bybit_feed.py::test_every_frame_of_the_real_archive_is_taken_and_the_book_is_right"
    ),
    "fixtures/jkorf_binance_usdfutures.tar.gz": f"{HERE}/binance_usdm/test_fixtures.py::test_there_is_no_file_that_nobody_reads",
    "fixtures/jkorf_bybit_v5.tar.gz": f"{HERE}/bybit/test_documents.py::test_there_is_no_file_that_nobody_reads",
    "fixtures/jkorf_upbit.tar.gz": f"{HERE}/upbit/test_documents.py::test_there_is_no_file_that_nobody_reads",
    "upbit/cryptofeed_UPBIT.ws.62.0": f"{HERE}/test_upbit_feed.py::test_every_real_frame_is_taken_and_the_books_are_right",
    "upbit/cryptofeed_UPBIT_rest_market_all_20210417.txt": f"{SELF}::test_the_markets_of_upbit",
    "upbit/jys_upbit_books15_krw_usdt_triples_2026.jsonl.gz": f"{HERE}/test_upbit_feed.py::test_the_real_books_of_2026_with_long_names",
}
"""By file, the test that gives each frame of it to what reads it when the venue sends it."""

_BARS = "expected a name like upbit_BTCKRW_1m"
_BINANCE, _UPBIT, _BYBIT = "expected a Binance USDⓈ-M capture", "expected an Upbit capture", "expected a Bybit"
REFUSED: dict[str, tuple[Format, str]] = {
    "both_legs/binance_SPOT_BTCUSDT_5m_20250525_20250823.csv.gz": ("bars", _BARS),
    "both_legs/books_binance_SPOT_BTCUSDT_20250824T0605KST.jsonl.gz": ("binance-usdm-raw", _BINANCE),
    "both_legs/books_upbit_BTCKRW_20250824T0603KST.jsonl.gz": ("upbit-raw", _UPBIT),
    "bybit/cryptofeed_LEGACYv2_BYBIT.0": ("bybit-v5-raw", _BYBIT),
    "bybit/cryptofeed_LEGACYv2_BYBIT.ws.25.0": ("bybit-v5-raw", "expected a topic or an op, found none"),
    "bybit/cryptofeed_LEGACYv2_BYBIT.ws.26.0": ("bybit-v5-raw", "expected a topic or an op, found none"),
    "bybit/lean_cryptofuture_btcusdt_20221213_quote.zip": ("bybit-v5-raw", _BYBIT),
    "bybit/lean_cryptofuture_btcusdt_20221213_trade.zip": ("bybit-v5-raw", _BYBIT),
    "bybit/mohsen_bybit_BTCUSDT_5m.feather": ("bars", _BARS),
    "bybit/mohsen_bybit_BTCUSDT_funding.feather": ("bars", _BARS),
    "bybit/mohsen_bybit_ETHUSDT_5m.feather": ("bars", _BARS),
    "bybit/mohsen_bybit_ETHUSDT_funding.feather": ("bars", _BARS),
    "bybit/ruffle_orderbook_top5_20240701.csv": ("bybit-v5-raw", _BYBIT),
    "upbit/smtm_rest_upbit_1m_20200220_170000-20200220_202000.json.gz": ("upbit-raw", _UPBIT),
    "upbit/smtm_rest_upbit_1m_20200220_202000-20200220_210000.json.gz": ("upbit-raw", _UPBIT),
    "upbit/smtm_rest_upbit_3m_20200220_000000-20200220_100000.json.gz": ("upbit-raw", _UPBIT),
}
"""What is in no shape that we read, by the format that is nearest, and the words of its refusal."""

SPOT = {
    "binance_spot/hft_spot_btcusdt_20240808.gz": {"e": 7_281, "T": 927, "E": 1, "ignored trade": 1_791},
    "binance_spot/hft_spot_btcusdt_20240809.gz": {"e": 7_680, "T": 547, "ignored trade": 1_773},
}
"""Another market of Binance: which field of ours its messages lack, of the first so many."""
FIRST = 10_000
NO_DATA = {"README.md", "SHA256SUMS"}


def files(data_dir: Path) -> set[str]:
    found = {path.relative_to(data_dir).as_posix() for path in data_dir.rglob("*") if path.is_file()}
    return {name for name in found if name not in NO_DATA and not name.startswith("licences/")}


@pytest.mark.data("whole folder")
def test_there_is_no_file_that_nobody_reads(data_dir: Path) -> None:
    assert files(data_dir) == READ.keys() | REFUSED.keys() | SPOT.keys()
    there = Sources(ROOT).exists
    assert [test for test in READ.values() if not there(test)] == []


@pytest.mark.data("whole folder")
def test_what_is_in_no_shape_of_ours_is_refused_by_name(data_dir: Path, tmp_path: Path) -> None:
    for name, (form, words) in REFUSED.items():
        with pytest.raises(BadInput, match=re.escape(words)):
            import_tape(form, [data_dir / name], tmp_path / "t")
        assert not (tmp_path / "t").exists(), name


@pytest.mark.data("both_legs")
def test_five_minutes_in_chunks(data_dir: Path) -> None:
    table = bar_files.read(bar_files.classify(data_dir / "both_legs" / "upbit_BTCKRW_5m_chunks_20250528_20250823.csv.gz"), no_progress)
    assert {len(table.times_ns), *(len(column) for column in table.columns.values())} == {5_200}
    assert len(bar_files.candles(table, SHIPPED["upbit:KRW-BTC"]).times_ns) == 5_200


@pytest.mark.data("binance_spot")
@pytest.mark.parametrize("name", SPOT)
def test_each_frame_of_another_market_is_refused_by_what_it_lacks(data_dir: Path, name: str) -> None:
    of, found = binance.Feed(among([SHIPPED["binance_usdm:BTCUSDT"]])), Counter[str]()
    with gzip.open(data_dir / name) as lines:
        for line in islice(lines, FIRST):
            frame = line.split(b" ", 1)[1].rstrip()
            said = of.snapshot("BTCUSDT", frame) if frame.startswith(b'{"lastUpdateId"') else of.take(frame)
            lacks = re.search(r"missing required field `(\w+)`", said.detail) if isinstance(said, Reject) else None
            found[lacks[1] if lacks else said.reason.value if isinstance(said, Reject) else said.what] += 1
    assert found == SPOT[name]
    assert of.book("BTCUSDT") is None


@pytest.mark.data("upbit")
def test_a_recording_of_another_venue_makes_no_empty_tape(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "upbit" / "cryptofeed_UPBIT_rest_market_all_20210417.txt"
    with pytest.raises(BadInput, match="expected frames of the market, found none among 1"):
        import_tape("binance-usdm-raw", [path], tmp_path / "t")
    assert not (tmp_path / "t").exists()


@pytest.mark.data("upbit")
def test_the_markets_of_upbit(data_dir: Path) -> None:
    """The list is of 2021 and without the members that came later; a market without a book in the answer that follows is left out."""
    line = (data_dir / "upbit" / "cryptofeed_UPBIT_rest_market_all_20210417.txt").read_bytes()
    markets = line.split(b"\n")[0].split(b": ", 1)[1]
    won = {each["market"] for each in json.loads(markets) if each["market"].startswith("KRW-")}
    assert len(won) > 100

    def answer(ask: Ask) -> Heard:
        if ask.call.path == "/v1/market/all":
            return Heard(200, {}, markets)
        asked = query(ask)["markets"].split(",")
        assert set(asked) <= won
        if ask.call.path.endswith("instruments"):
            return ok([{"market": name, "quote_currency": "KRW", "tick_size": "1", "supported_levels": ["0"]} for name in asked])
        return ok([{**BOOK, "market": name} for name in asked])

    assert {each.symbol for each in finish(UpbitAccount({}).listings(), answer)} == won


BTC = {"BTCUSDT": SHIPPED["binance_usdm:BTCUSDT"]}
ANSWERS: dict[str, tuple[Callable[[bytes], object], list[str]]] = {
    "/fapi/v1/depth": (lambda body: binance_book().snapshot("BTCUSDT", body), ["found 11492.09", "Taken", "found 32090.35"]),
    "/fapi/v1/exchangeInfo": (lambda body: told(BinanceAccount({}).listings(), body), ["tuple"]),
    "/fapi/v1/premiumIndex": (lambda body: told(BinanceAccount(BTC).top("BTCUSDT"), body), ["TopSeen", "Expected `object`, got `array`"]),
    "/fapi/v1/ticker/bookTicker": (
        lambda body: told(BinanceAccount(BTC).top("BTCUSDT"), body),
        ["Expected `object`, got `array`", "found 19115.95"],
    ),
    "/fapi/v1/time": (lambda body: told(BinanceAccount({}).clock(), body), ["int"]),
}
"""By path that we ask, who reads what was recorded there, and what comes of each answer: its kind, or the words of its refusal. Some are of
days on which a bitcoin had finer steps, or of all symbols, for which we never ask."""
NEVER_ASKED = {"aggTrades", "fundingInfo", "fundingRate", "indexInfo", "klines", "openInterest", "ticker/24hr", "ticker/price", "trades"}


def binance_book() -> binance.Feed:
    return binance.Feed(among(list(BTC.values())))


def told(talk: Talk[T], body: bytes) -> T:
    """What a talk finds where each of its requests has that answer, but for the prices that it asks for beside it."""

    def answer(ask: Ask) -> Heard:
        if b"bidPrice" not in body and ask.call.path.endswith("bookTicker"):
            return ok({"symbol": "BTCUSDT", "bidPrice": "26780.8", "askPrice": "26780.9"})
        if b"markPrice" not in body and ask.call.path.endswith("premiumIndex"):
            return ok({"symbol": "BTCUSDT", "markPrice": "19116.00000000", "time": 1_607_294_182_164})
        return Heard(200, {}, body)

    return finish(talk, answer)


def outcome(read: Callable[[bytes], object], body: bytes) -> str:
    try:
        found = read(body)
    except Nonsense as error:
        return str(error)
    return found.detail if isinstance(found, Reject) else type(found).__name__


@pytest.mark.data("binance_usdm")
def test_recorded_answers_of_binance(data_dir: Path) -> None:
    with gzip.open(data_dir / "binance_usdm" / "gct_binance_http_routes.json.gz") as file:
        routes = json.load(file)["routes"]
    assert {path for path in routes if path.startswith("/fapi/")} == ANSWERS.keys() | {f"/fapi/v1/{name}" for name in NEVER_ASKED}
    for path, (read, expected) in ANSWERS.items():
        found = [outcome(read, json.dumps(each["data"]).encode()) for each in routes[path]["GET"]]
        assert [one in of for one, of in zip(expected, found, strict=True)] == [True] * len(expected), (path, found)
