"""`interlock replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.results import as_json, show
from interlock.cli.stages import Stages
from interlock.domain.clock import SystemClock
from interlock.run.interrupt import StopWish
from interlock.run.session import replay_session


def replay(
    config: Annotated[Path, Parameter(name="CONFIG")],
    /,
    *,
    tape: Path,
    out: Path,
    full: bool = False,
    require_pass: bool = False,
    json: bool = False,
) -> int:
    """Replay a tape through a strategy and write the evidence.

    Exit code 0 when the run is done, whatever its verdict (see --require-pass); 130 when interrupted, with what was done so far sealed.

    Parameters
    ----------
    config
        The configuration, a TOML file.
    tape
        The tape's folder, as `interlock tape import` makes it.
    out
        Where the run's folder is put; made if it is not there.
    full
        Event by event in Python instead of the fast loop: the same orders and fills, much slower.
    require_pass
        Exit 1 unless the verdict is PASS.
    json
        Print one JSON object instead of text.
    """
    clock = SystemClock()
    with StopWish() as stop:
        finished = replay_session(config, tape, out, clock=clock, stop=stop, stage=Stages(clock), full=full)
    if json:
        print(as_json([finished]))
    else:
        show([finished])
    if finished.interrupted:
        return exit_codes.INTERRUPTED
    if require_pass and finished.kpi["verdict"] != "PASS":
        return exit_codes.REFUSED
    return exit_codes.DONE
