"""`interlock record`: raw recordings of public market data."""

import asyncio
import json as json_format
import random
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.gate_client import duration_ns
from interlock.cli.progress import LateProgress
from interlock.domain.clock import NS_PER_S, SystemClock
from interlock.domain.errors import BadInput
from interlock.venues.endpoint import Where


def record(
    *,
    venue: str,
    symbols: Annotated[list[str], Parameter(consume_multiple=True)],
    for_: Annotated[str, Parameter(name="--for")],
    out: Path,
    endpoint: Where = Where.REAL,
    venues: Path | None = None,
    json: bool = False,
) -> int:
    """Record books, trades and marks as they come, and what the venue says of its instruments. No key is needed and none is read.

    `interlock tape import` makes a tape of the files; a new one begins with every connection, so that none has a hole. Exit code 130 when
    interrupted: what was written until then is whole.

    Parameters
    ----------
    venue
        upbit, binance_usdm or bybit.
    symbols
        The venue's own names, such as KRW-BTC or BTCUSDT.
    for_
        How long: 90s, 10m, 2h, 1d.
    out
        The folder to write to; it must be new or empty.
    endpoint
        real, testnet, or loopback with --venues.
    venues
        A file with the first line of `interlock venues serve`, for loopback.
    json
        Print one JSON object instead of text.
    """
    from interlock.run.record import RecordConfig, Recorded
    from interlock.run.record import record as run_record
    from interlock.venues.socket import connect_picows

    seconds = duration_ns("--for", for_) / NS_PER_S
    config = RecordConfig(venue=venue, symbols=tuple(symbols), seconds=seconds, out=out, where=endpoint, places=_places(venues))
    clock = SystemClock()
    with LateProgress(clock, f"recording {venue}", int(seconds)) as bar:
        shown = 0

        def progress(passed_s: float) -> None:
            nonlocal shown
            bar(int(passed_s) - shown)
            shown = int(passed_s)

        found: Recorded = asyncio.run(run_record(config, clock, connect_picows, random.random, progress))
    if json:
        print(json_format.dumps({"out": str(out), **msgspec.to_builtins(found)}))
    else:
        print(f"{found.frames} frames in {', '.join(found.files) or 'no file'}")
        for name, one in found.streams.items():
            print(f"{name}: {one}")
    return exit_codes.DONE if found.frames else exit_codes.REFUSED


def _places(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        return msgspec.json.decode(path.read_bytes().split(b"\n", 1)[0], type=dict[str, Any])
    except OSError as error:
        raise BadInput(path, "", f"cannot be read: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise BadInput(path, "line 1", f"expected the first line of `interlock venues serve`: {error}") from error
