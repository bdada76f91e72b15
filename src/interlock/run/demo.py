"""The demo's material: which recordings it replays, or the synthetic market that stands in where there are none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from interlock.domain.errors import DamagedState, UsageError
from interlock.market.shipped import SHIPPED
from interlock.market.tape import Tape
from interlock.market.tape_write import write_tape
from interlock.simulate.synthetic import generate
from interlock.simulate.synthetic_bars import generate_bars
from interlock.venues.formats import Format, import_tape

EXAMPLES = Path(__file__).parent / "examples"
COINS = ("BTC", "ETH", "XRP")
SYNTHETIC_LEVEL_SETS = 300_000
SYNTHETIC_DAYS = 30
FLOOR_NS = 1_000_000


@dataclass(frozen=True)
class Part:
    """One run of the demo: a configuration, and the tape in the demo's folder that it replays."""

    config: Path
    tape: str


REAL_PARTS = (Part(EXAMPLES / "making-btcusdt.toml", "btcusdt"), Part(EXAMPLES / "arbitrage-bars.toml", "bars"))
SYNTHETIC_PARTS = (Part(EXAMPLES / "making-synthetic.toml", "btcusdt"), Part(EXAMPLES / "arbitrage-bars.toml", "bars"))

Progress = Callable[[int], None]


def recordings(data: Path) -> dict[str, tuple[Format, list[Path]]]:
    """The recordings of the demo within a data folder, by the name of the tape they become."""
    legs = data / "both_legs"
    bars = [
        path
        for coin in COINS
        for path in (
            legs / f"upbit_{coin}KRW_1m_20250901_20251004.csv.gz",
            legs / f"binance_usdm_{coin}USDT_5m_20241231_20260219.feather",
            legs / f"binance_usdm_{coin}USDT_funding8h_20241231_20260219.feather",
        )
    ]
    return {
        "btcusdt": ("binance-usdm-raw", [data / "binance_usdm" / "hft_usdm_btcusdt_20240808.gz"]),
        "bars": ("bars", [*bars, legs / "binance_usdm_BTCUSDT_mark1h_20241231_20260219.feather"]),
    }


def real_tapes(data: Path, folder: Path, progress: Progress) -> dict[str, Path]:
    """Import the demo's recordings, or use the tapes of an earlier demo if they were made of the same bytes."""
    tapes: dict[str, Path] = {}
    for name, (form, files) in recordings(data).items():
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise UsageError(f"the data folder {data} is there but lacks {', '.join(missing)}; complete it, or move it away")
        tapes[name] = folder / name
        if not _made_of(tapes[name], files):
            folder.mkdir(parents=True, exist_ok=True)
            import_tape(form, files, tapes[name], instrument_file=None, floor_ns=FLOOR_NS, progress=progress)
    return tapes


def _made_of(tape: Path, files: list[Path]) -> bool:
    if not tape.exists():
        return False
    try:
        with Tape.open(tape) as opened:
            made = {source.name: source.sha256 for source in opened.info.sources}
    except (UsageError, DamagedState) as error:
        raise UsageError(f"{tape} cannot be used again ({error}); remove it or choose another --out") from error
    same = made == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    if not same:
        raise UsageError(f"{tape} was made of other recordings; remove it or choose another --out")
    return same


def synthetic_tapes(folder: Path, seed: int) -> dict[str, Path]:
    """Write the synthetic markets of the demo; the same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    tapes = {name: folder / f"synthetic-{name}-{seed}" for name in ("btcusdt", "bars")}
    note = (f"synthetic market of seed {seed}: evidence of plumbing, none of profit",)
    if not tapes["btcusdt"].exists():
        quoted = (SHIPPED["binance_usdm:BTCUSDT"],)
        write_tape(tapes["btcusdt"], generate(SYNTHETIC_LEVEL_SETS, seed), quoted, "synthetic", notes=note)
    if not tapes["bars"].exists():
        keys = (*(f"binance_usdm:{coin}USDT" for coin in COINS), *(f"upbit:KRW-{coin}" for coin in COINS))
        instruments = tuple(SHIPPED[key] for key in keys)
        pairs = [(len(COINS) + i, i) for i in range(len(COINS))]
        rows = generate_bars(pairs, instruments, (100_000.0, 4_000.0, 2.5), SYNTHETIC_DAYS, seed)
        write_tape(tapes["bars"], rows, instruments, "synthetic", bar_interval_s=300, notes=note)
    return tapes
