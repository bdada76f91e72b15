"""`interlock replay`."""

from __future__ import annotations

import json as json_format
import os
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.cli.config import Given, Profile
from interlock.cli.gate_client import note
from interlock.cli.results import as_json, show
from interlock.cli.stages import Stages
from interlock.domain.clock import SystemClock
from interlock.domain.errors import UsageError
from interlock.run.interrupt import StopWish
from interlock.run.layers import resolve
from interlock.run.replay_gate import load_limits
from interlock.run.session import replay_session


def replay(
    config: Annotated[Path | None, Parameter(name="CONFIG")] = None,
    /,
    *,
    tape: Path | None = None,
    out: Path | None = None,
    from_run: Path | None = None,
    full: bool = False,
    gate: Path | None = None,
    require_pass: bool = False,
    profile: Profile = None,
    given: Given = (),
    json: bool = False,
) -> int:
    """Replay a tape through a strategy and write the evidence; or decide a live run again and compare every decision with its journal.

    Exit code 0 when the run is done, whatever its verdict (see --require-pass); 130 when interrupted, with what was done so far sealed.

    Parameters
    ----------
    config
        The configuration, a TOML file.
    tape
        The tape's folder, as `interlock tape import` makes it.
    out
        Where the run's folder is put; made if it is not there.
    from_run
        The folder of a live run, instead of a configuration, a tape and a place for the evidence. Exit code 1 at the first decision that differs.
    full
        Event by event in Python instead of the fast loop: the same orders and fills, much slower.
    gate
        A file of limits: every order then passes the gate's own decision under them, on the tape's time; what it denies is counted by rule. Event by
        event, and so are the other worlds of the fragility card.
    require_pass
        Exit 1 unless the verdict is PASS.
    profile
        A table [profiles.NAME] of the configuration, which is laid over the rest of it.
    given
        key=value, laid over everything else; may be given again (`interlock config show`).
    json
        Print one JSON object instead of text.
    """
    if from_run is not None:
        if (
            config is not None
            or tape is not None
            or out is not None
            or full
            or gate is not None
            or require_pass
            or profile is not None
            or given
        ):
            raise UsageError(
                "--from-run: expected no configuration, tape or other option beside it; the run's folder holds all that is read"
            )
        return _from_run(from_run, json=json)
    if config is None or tape is None or out is None:
        raise UsageError("expected CONFIG, --tape and --out, or --from-run alone")
    resolved = resolve(config, os.environ, profile=profile, given=given)
    limits = None if gate is None else load_limits(gate)
    clock = SystemClock()
    with StopWish() as stop:
        finished = replay_session(
            config, tape, out, clock=clock, stop=stop, stage=Stages(clock), full=full, config=resolved.config, limits=limits
        )
    if json:
        print(as_json([finished]))
    else:
        show([finished])
    if finished.interrupted:
        return exit_codes.INTERRUPTED
    if require_pass and finished.kpi["verdict"] != "PASS":
        return exit_codes.REFUSED
    return exit_codes.DONE


def _from_run(folder: Path, *, json: bool) -> int:
    from interlock.run.from_run import decide_run_again

    found = decide_run_again(folder, note)
    if json:
        print(json_format.dumps({"result": "SAME" if found.mismatch is None else "DIFFERENT", **msgspec.to_builtins(found)}))
    else:
        print(
            f"{found.logs} engine lives, {found.inputs} inputs ({found.frames} frames), {found.decisions} decisions, "
            f"{found.proposals} proposals and {found.cancels} cancels decided again; {found.intents} intents of the journal compared"
        )
        if found.cut:
            lost = f"; {found.beyond} intents of the journal are of that moment, and not compared" if found.beyond else ""
            print(f"{found.cut} logs were cut off: the engine was killed, and its last moment is not there{lost}")
        if found.other_code:
            print("other code decided then than now: kernels or books have changed since that run")
        if found.mismatch is None:
            print("every decision is the same")
        else:
            print(f"first difference, {found.mismatch.log}, {found.mismatch.what}")
            print(f"  journal: {found.mismatch.journal}")
            print(f"  again:   {found.mismatch.again}")
    return exit_codes.DONE if found.mismatch is None else exit_codes.REFUSED
