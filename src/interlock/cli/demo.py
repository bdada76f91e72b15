"""`interlock demo`."""

from __future__ import annotations

import json as json_format
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interlock.cli import exit_codes
from interlock.cli.amounts import in_dollars
from interlock.cli.results import as_json, show
from interlock.cli.stages import Stages
from interlock.domain.clock import NS_PER_S, SystemClock
from interlock.domain.errors import UsageError
from interlock.run.demo import REAL_PARTS, SYNTHETIC_PARTS, real_tapes, synthetic_tapes
from interlock.run.interrupt import StopWish
from interlock.run.run_folder import make_folder
from interlock.run.session import Finished, replay_session

DATA_VARIABLE = "INTERLOCK_DATA"
DEFAULT_DATA = "../shared/data"


def demo(
    *,
    replay: bool = False,
    seconds: int = 60,
    hold: bool = False,
    out: Path | None = None,
    seed: int = 1,
    synthetic: bool = False,
    json: bool = False,
) -> int:
    """Run the whole system on this host for a minute; with --replay both strategies on recorded markets.

    The whole system: three simulated venues, market making on Bybit through gate, sentinel and checker, arbitrage signals over Upbit and Binance, a
    lost answer and a gap in the feed on the way, and a kill drill at the end. Everything stays on loopback. Exit code 0 if every invariant held,
    both faults struck and nothing was left open, 130 if Ctrl-C stopped it before all of it had happened, 1 if something did not hold, with its name.

    With --replay: making quotes a recording of Binance BTCUSDT; arbitrage trades 33 days of joint Upbit and Binance bars. The recordings are looked
    for in the folder that INTERLOCK_DATA names (default ../shared/data); without it a seeded synthetic market stands in, and every result says so.

    Parameters
    ----------
    replay
        The demo on recordings.
    seconds
        How long the whole system runs.
    hold
        Run it until Ctrl-C instead; there is no kill drill then.
    out
        The run's folder, new or empty (default: a new one in `runs`); with --replay where tapes and the folders of the runs are put.
    seed
        The seed of the simulated or synthetic market.
    synthetic
        With --replay: use the synthetic market even if there are recordings.
    json
        Print one JSON object instead of text.
    """
    if not replay:
        if synthetic:
            raise UsageError("--synthetic: expected with --replay")
        return _whole_system(out, seconds, hold=hold, seed=seed, json=json)
    return _on_recordings(out or Path("runs"), seed, synthetic=synthetic, json=json)


def _on_recordings(out: Path, seed: int, *, synthetic: bool, json: bool) -> int:
    clock = SystemClock()
    stages = Stages(clock)
    make_folder(out / "tapes")
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


def _whole_system(out: Path | None, seconds: int, *, hold: bool, seed: int, json: bool) -> int:
    from interlock.run.demo_live import LEAST_S, run_demo

    if not hold and seconds < LEAST_S:
        raise UsageError(f"--seconds: expected at least {LEAST_S:.0f}, found {seconds}; the faults and the kill drill need their time")
    clock = SystemClock()
    folder = out or Path("runs") / f"{datetime.fromtimestamp(clock.now_ns() / NS_PER_S, UTC):%Y%m%dT%H%M%S}-demo"
    if not json:
        print(f"demo: the whole system on loopback, {'until Ctrl-C' if hold else f'{seconds} s'}, in {folder}", flush=True)
    with StopWish() as stop:
        result = run_demo(folder, None if hold else float(seconds), os.environ, clock=clock, stop=stop, stage=Stages(clock), seed=seed)
    kpi, notes = result.kpi, result.notes
    if json:
        print(
            json_format.dumps(
                {
                    "result": result.result,
                    "failed": result.failed,
                    "out": str(result.out),
                    "report": str(result.report),
                    "kpi": kpi,
                    **vars(notes),
                }
            )
        )
    else:
        print("\n".join(_lines(kpi, vars(notes))))
        print(f"verdict  {result.result}{''.join(f'; {one}' for one in result.failed)}")
        print(f"report   {result.report}")
    if result.result == "FAIL":
        return exit_codes.REFUSED
    return exit_codes.INTERRUPTED if result.interrupted else exit_codes.DONE


def _lines(kpi: Mapping[str, Any], notes: Mapping[str, Any]) -> list[str]:
    """What happened, for a person."""
    engine = kpi["engine"] or {"counts": {}, "decisions": 0, "feeds": []}
    frames = sum(feed["frames"] for feed in engine["feeds"])
    denied = ", ".join(f"{rule} {count}" for rule, count in kpi["denials"].items()) or "none"
    kill, checked, again = notes["kill"], notes["checked"], notes["decided_again"]
    drilled = notes["armed"].get("drill") or {}
    found = [
        f"armed    by a script, after a kill drill: {drilled.get('verdict')}",
        f"making   {frames} frames, {engine['decisions']} decisions, {kpi['permits']} orders permitted, denied: {denied}",
        f"fills    {kpi['fills']} ({kpi['maker_fills']} as maker), fees {kpi['fees']}",
        f"signals  arbitrage: {notes['signals'].get('decisions')} decisions, {notes['signals'].get('signals')} signals, none of them sent"
        + ("; Upbit's coins were put 0.8 % below the others' on the way" if notes["apart"] else ""),
    ]
    found += [f"fault    {one['words']} ({one['fault']}): happened {one['happened']} times" for one in notes["faults"]]
    found += [
        f"unknown  {kpi['orders_of_unknown_outcome']} orders of unknown outcome",
        f"kill     {kill.get('result', 'not made')}" + (f" after {kill['took_ms']} ms" if "took_ms" in kill else ""),
        f"venue    {notes['venue'].get('open_orders')} orders open afterwards, positions {notes['venue'].get('positions')}",
        f"checker  {len(checked.get('checked', {}))} invariants over {checked.get('records')} records, violations: {checked.get('violations')}",
        f"again    {again.get('result')}: {again.get('decisions')} decisions from the log alone, {again.get('intents')} intents compared",
    ]
    found += [f"{one['verdict']:<8} {one['name']}: {one['detail']}" for one in kpi["invariants"]]
    return [*found, f"P&L      {in_dollars(kpi['pnl_usd'])} in a simulated market: it says nothing about a real one"]
