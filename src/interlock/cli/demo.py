"""`interlock demo`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from interlock.cli import exit_codes
from interlock.cli.results import as_json, show
from interlock.cli.stages import Stages
from interlock.domain.clock import NS_PER_S, SystemClock
from interlock.run.demo import REAL_PARTS, SYNTHETIC_PARTS, real_tapes, synthetic_tapes
from interlock.run.interrupt import StopWish
from interlock.run.session import Finished, replay_session

DATA_VARIABLE = "INTERLOCK_DATA"
DEFAULT_DATA = "../shared/data"


def demo(*, replay: bool = True, out: Path = Path("runs"), seed: int = 1, synthetic: bool = False, json: bool = False) -> int:
    """Run both strategies on recorded markets and write a report of each.

    Making quotes a recording of Binance BTCUSDT; arbitrage trades 33 days of joint Upbit and Binance bars. The recordings are looked for in
    the folder that INTERLOCK_DATA names (default ../shared/data); without it a seeded synthetic market stands in, and every result says so.

    Parameters
    ----------
    replay
        The demo on recordings; for now the only one.
    out
        Where tapes and the folders of the runs are put.
    seed
        The seed of the synthetic market.
    synthetic
        Use the synthetic market even if there are recordings.
    json
        Print one JSON object instead of text.
    """
    clock = SystemClock()
    stages = Stages(clock)
    data = Path(os.environ.get(DATA_VARIABLE, DEFAULT_DATA))
    use_real = data.is_dir() and not synthetic
    note = (
        f"recordings of {data.name}" if use_real else f"no recordings: a SYNTHETIC market of seed {seed}, which proves nothing about profit"
    )
    if not json:
        print(f"demo: {note}", flush=True)
    with StopWish() as stop:
        stages("preparing the tapes", 0, 0)
        if use_real:

            def imported(_bytes: int) -> None:
                if stop.wanted:
                    raise KeyboardInterrupt  # an import leaves nothing half-written
                stages("importing the recordings", 0, 0)

            tapes = real_tapes(data, out / "tapes", imported)
        else:
            tapes = synthetic_tapes(out / "tapes", seed)
        session = f"{datetime.fromtimestamp(clock.now_ns() / NS_PER_S, UTC):%Y%m%dT%H%M%S}-demo"
        finished: list[Finished] = []
        for part in REAL_PARTS if use_real else SYNTHETIC_PARTS:
            if stop.wanted:
                break
            finished.append(replay_session(part.config, tapes[part.tape], out, clock=clock, stop=stop, stage=stages, session_id=session))
        interrupted = stop.wanted
    if json:
        print(as_json(finished, data=note))
    else:
        show(finished)
    return exit_codes.INTERRUPTED if interrupted else exit_codes.DONE
