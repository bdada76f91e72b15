"""`interlock tape`: make, look at, check and pass on tapes."""

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from interlock.cli import exit_codes
from interlock.cli.progress import LateProgress
from interlock.domain.clock import SystemClock
from interlock.market.tape import Tape
from interlock.market.tape_parquet import export_parquet
from interlock.market.tape_verify import VerifyReport, verify
from interlock.venues.formats import FRAME_READERS, Format, import_tape

app = App(name="tape", help="Make, look at, check and pass on tapes.", default_parameter=Parameter(negative=()))


@app.command(name="import")
def import_(
    form: Annotated[Format, Parameter(name="FORMAT")],
    files: Annotated[list[Path], Parameter(name="FILE", consume_multiple=True)],
    /,
    *,
    out: Path,
    instrument: Path | None = None,
    assumed_latency_ms: float = 1.0,
    json: bool = False,
) -> int:
    """Make a tape from recorded files.

    Parameters
    ----------
    form
        binance-usdm-raw: captures of Binance USDⓈ-M. upbit-raw: captures of Upbit's WebSocket. bybit-v5-raw: captures of Bybit's public v5
        WebSocket, or its order book archive. bars: candles, marks and funding. parquet: a file of `tape export`.
    files
        The files of one recording; several are put together.
    out
        The folder to make; it must be new or empty.
    instrument
        A JSON file with one instrument or a list, instead of the shipped table.
    assumed_latency_ms
        The smallest feed latency to assume where the recorder's clock cannot be used.
    json
        Print one JSON object instead of text.
    """
    total = sum(file.stat().st_size for file in files if file.is_file())
    with LateProgress(SystemClock(), f"importing {out.name}", total) as progress:
        import_tape(
            form,
            files,
            out,
            instrument_file=instrument,
            floor_ns=round(assumed_latency_ms * 1e6),
            progress=progress,
        )
    return info(out, json=json)


@app.command
def info(tape: Annotated[Path, Parameter(name="DIR")], /, *, json: bool = False) -> int:
    """Print what a tape says about itself.

    Parameters
    ----------
    tape
        The tape's folder.
    json
        Print one JSON object instead of text.
    """
    with Tape.open(tape) as opened:
        described: dict[str, Any] = {"tape": str(tape), "digest": opened.digest, **msgspec.to_builtins(opened.info)}
    if json:
        print(json_format.dumps(described, ensure_ascii=False))
    else:
        described["instruments"] = [f"{i['venue']}:{i['symbol']}" for i in described["instruments"]]
        for name, value in described.items():
            print(f"{name}: {_plain(value)}")
    return exit_codes.DONE


@app.command(name="verify")
def verify_(tape: Annotated[Path, Parameter(name="DIR")], /, *, json: bool = False) -> int:
    """Check a tape against its raw frames and its own digests; exit code 1 if something is wrong.

    Parameters
    ----------
    tape
        The tape's folder.
    json
        Print one JSON object instead of text.
    """
    report: VerifyReport = verify(tape, FRAME_READERS)
    if json:
        print(msgspec.json.encode(report).decode())
    else:
        for check in report.checks:
            state = "not applicable" if not check.applies else f"{check.defects} wrong of {check.checked}"
            print(f"{check.name}: {state}{f': {check.first}' if check.first else ''}")
        print("passed" if report.passed else "failed")
    return exit_codes.DONE if report.passed else exit_codes.REFUSED


@app.command
def export(tape: Annotated[Path, Parameter(name="DIR")], /, *, out: Path, json: bool = False) -> int:
    """Write a tape's rows to a Parquet file.

    Parameters
    ----------
    tape
        The tape's folder.
    out
        The file to make; it must be new.
    json
        Print one JSON object instead of text.
    """
    with Tape.open(tape) as opened:
        export_parquet(opened, out)
        done = {"file": str(out), "rows": opened.info.rows, "bytes": out.stat().st_size, "digest": opened.digest}
    print(json_format.dumps(done) if json else f"{out}: {done['rows']} rows, {done['bytes']} bytes")
    return exit_codes.DONE


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={_plain(item)}" for name, item in value.items())
    return str(value)
