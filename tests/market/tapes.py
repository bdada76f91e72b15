"""Small tapes for tests, and ways to damage them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from interlock.domain.instruments import Instrument
from interlock.market.columns import ROW, RowKind
from interlock.market.shipped import SHIPPED
from interlock.market.tape import Rows, file_digest

BTC: Instrument = SHIPPED["binance_usdm:BTCUSDT"]
KRW_BTC: Instrument = SHIPPED["upbit:KRW-BTC"]


def rows_of(*rows: tuple[int, int, RowKind, int, int, int]) -> Rows:
    """Rows from (exchange_ns, receive_ns, kind, side, ticks, lots) of instrument 0."""
    result = np.zeros(len(rows), ROW)
    for i, (exchange_ns, receive_ns, kind, side, ticks, lots) in enumerate(rows):
        result[i] = (exchange_ns, receive_ns, ticks, lots, 0, 0, kind, side)
    return result


def random_rows(seed: int, count: int, instruments: int) -> Rows:
    """Trades at random times with many ties, in no order; `ticks` numbers them as given."""
    draw = np.random.default_rng(seed)
    rows = np.zeros(count, ROW)
    rows["exchange_ns"] = draw.integers(0, 20, count)
    rows["receive_ns"] = draw.integers(0, 20, count)
    rows["instrument"] = draw.integers(0, instruments, count)
    rows["kind"], rows["side"] = RowKind.TRADE, 1
    rows["ticks"] = np.arange(1, count + 1)
    rows["lots"] = 1
    return rows


def tamper(tape: Path, name: str, change: Callable[[npt.NDArray[Any]], None]) -> None:
    """Change an array of a tape and make the digests fit again, as a faulty importer would have."""
    array = np.load(tape / name)
    change(array)
    np.save(tape / name, array)
    edit_description(tape, lambda text: reseal(tape, text))


def edit_description(tape: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change tape.json as a dict."""
    text = json.loads((tape / "tape.json").read_text())
    change(text)
    (tape / "tape.json").write_text(json.dumps(text))


def reseal(tape: Path, text: dict[str, Any]) -> None:
    """Set the sizes and digests of all files to what they are."""
    for name in text["files"]:
        text["files"][name] = {"bytes": (tape / name).stat().st_size, "sha256": file_digest(tape / name)}
