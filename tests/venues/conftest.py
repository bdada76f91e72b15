"""Tapes of the real captures, each made once."""

from pathlib import Path

import pytest

from interlock.venues.bars import import_bars
from interlock.venues.binance_usdm.importer import import_capture
from interlock.venues.formats import import_tape


@pytest.fixture(scope="session")
def hft_tape(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BTCUSDT, 5 min 44 s, nanosecond receive clock, snapshot in the stream."""
    capture = data_dir / "binance_usdm" / "hft_usdm_btcusdt_20240808.gz"
    return import_capture([capture], tmp_path_factory.mktemp("hft") / "tape")


@pytest.fixture(scope="session")
def bars_tape(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three coins on two venues, 33 days of 5-minute bars, with funding."""
    folder = data_dir / "both_legs"
    paths = [
        *(folder / f"upbit_{coin}KRW_1m_20250901_20251004.csv.gz" for coin in ("BTC", "ETH", "XRP")),
        *(
            folder / f"binance_usdm_{coin}USDT_{what}_20241231_20260219.feather"
            for coin in ("BTC", "ETH", "XRP")
            for what in ("5m", "funding8h")
        ),
        folder / "binance_usdm_BTCUSDT_mark1h_20241231_20260219.feather",
    ]
    return import_bars(paths, tmp_path_factory.mktemp("bars") / "tape")


@pytest.fixture(scope="session")
def upbit_tape(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five markets, 29 s, SIMPLE frames as Python literals."""
    return import_tape("upbit-raw", [data_dir / "upbit" / "cryptofeed_UPBIT.ws.62.0"], tmp_path_factory.mktemp("upbit") / "tape")


@pytest.fixture(scope="session")
def bybit_tape(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XRPUSDT, 5 s, 500 levels, the venue's archive."""
    archive = data_dir / "bybit" / "nautilus_2024-12-01_XRPUSDT_ob500.data.zip"
    return import_tape("bybit-v5-raw", [archive], tmp_path_factory.mktemp("bybit") / "tape")
