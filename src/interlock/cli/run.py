"""`interlock run`."""

from __future__ import annotations

import json as json_format
import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.amounts import in_dollars
from interlock.cli.config import Given, Profile
from interlock.cli.gate_client import duration_ns, note
from interlock.cli.stages import Stages
from interlock.domain.clock import NS_PER_S, SystemClock


def run(
    config: Annotated[Path, Parameter(name="CONFIG")],
    /,
    *,
    out: Path,
    mode: str | None = None,
    for_: Annotated[str | None, Parameter(name="--for")] = None,
    places: Path | None = None,
    profile: Profile = None,
    given: Given = (),
    at_stop: str = "keep",
    json: bool = False,
) -> int:
    """Run a strategy against venues: gate, sentinel, checker and engine as processes, until the time is over, Ctrl-C or SIGTERM.

    Live and at testnet it starts disarmed and halted; give it leave to trade with `interlock arm --socket DIR/run/raise.sock`. On paper and in
    shadow nothing is at stake, and nothing is sent to an account. At the end the engine stops, every order is cancelled and confirmed, and
    DIR/kpi.json says which invariants held: exit code 1 if one did not, else 130 after Ctrl-C or SIGTERM; 2 if it could not start.

    Parameters
    ----------
    config
        The configuration, a TOML file with a section [live].
    out
        The run's folder; that of a run of the same configuration is gone on with.
    mode
        paper, shadow, testnet or live. Without it, shadow if --places holds keys that read and no others; nothing else is ever chosen for you.
    for_
        How long, such as 90s, 10m or 2h; without it until it is stopped.
    places
        A file with the first line of `interlock venues serve --json`; for testnet, or for accounts to watch in shadow, one that names endpoint,
        keys and pins (docs/gate.md).
    profile
        A table [profiles.NAME] of the configuration, which is laid over the rest of it.
    given
        key=value, laid over everything else; may be given again (`interlock config show`).
    at_stop
        keep: positions stay as they are. reduce: they are brought to nothing before the gate closes, as far as it allows within twenty seconds.
    json
        Print one JSON object instead of text.
    """
    from interlock.run.at_stop import at_stop_of
    from interlock.run.interrupt import StopWish
    from interlock.run.layers import resolve
    from interlock.run.live import Running, run_live
    from interlock.run.live_folder import LiveRun
    from interlock.run.modes import Mode, choose_mode, require_runnable

    def say(running: Running) -> None:
        note(f"running; `interlock watch --run {out}` shows it, `interlock kill --socket {running.sockets['lower']}` stops it")
        if running.run.mode is Mode.SHADOW:
            note("in shadow: nothing is sent to the account; what its orders would have done is played by a paper venue")
        stands = None if running.run.on_paper else running.status()
        if stands is not None and not stands.armed:
            for one in stands.report["why_not"]:
                note(f"DISARMED, {one['rule']}: {one['message']}")
            note(f"it sends nothing until `interlock arm --socket {running.sockets['raise']} --for 10m` (docs/running.md)")

    seconds = None if for_ is None else duration_ns("--for", for_) / NS_PER_S
    parsed = resolve(config, os.environ, profile=profile, given=given).config
    chosen = choose_mode(mode, parsed, os.environ, places=places)
    if mode is None:
        note(f"no --mode, and only keys that read: {chosen.value}")
    require_runnable(chosen, parsed, config, os.environ, places=places)
    then = at_stop_of(at_stop)
    clock = SystemClock()
    with StopWish() as stop:
        result = run_live(
            LiveRun(config=config, mode=chosen, out=out, places=places, seconds=seconds, at_stop=then, profile=profile, given=given),
            os.environ,
            clock=clock,
            stop=stop,
            stage=Stages(clock),
            on_running=say,
        )
    if json:
        print(json_format.dumps(result.kpi))
    else:
        # In shadow nothing was executed; what might have been stands apart.
        name, figures = ("counterfactual ", result.kpi["counterfactual"]) if "counterfactual" in result.kpi else ("", result.kpi)
        print(
            f"{out}: {result.kpi['verdict']}, {result.kpi['permits']} permits, {figures['fills']} {name}fills, "
            f"{name}P&L {in_dollars(figures['pnl_usd'])}"
        )
        for one in result.kpi["invariants"]:
            print(f"  {one['verdict']:<8}{one['name']}: {one['detail']}")
    if not result.passed:
        return exit_codes.REFUSED
    return exit_codes.INTERRUPTED if result.interrupted else exit_codes.DONE
