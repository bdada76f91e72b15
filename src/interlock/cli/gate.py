"""`interlock gate serve`: run a gate against simulated venues on this machine."""

import os
from pathlib import Path

from cyclopts import App, Parameter

from interlock.domain.errors import UsageError

app = App(name="gate", help="Run the gate.", default_parameter=Parameter(negative=()))


@app.command
def serve(
    *,
    dir: Path,  # noqa: A002 - the option's name
    venue: str = "fake",
    limits: Path | None = None,
    heartbeat: str | None = None,
    places: Path | None = None,
    json: bool = False,
) -> int:
    """Start a gate with its sentinel, its checker and a simulated venue; runs until SIGTERM or Ctrl-C.

    The first line on stdout is one JSON object with the paths of the sockets, the journal and the venue's witness; nothing else is written there.
    The environment is taken as a live gate would: unless READ_ONLY_ENFORCED is exactly `false`, every order is denied. It needs no key.

    Parameters
    ----------
    dir
        The gate's folder: sockets, journal, the venue's own record. A gate that was killed goes on there.
    venue
        `fake`: the venues that are named in the limits, played by a process of this gate. `served`: those of `interlock venues serve`, which
        speak as the real ones do; then `--places` and `--limits` are needed.
    limits
        The limits, a TOML file. Without it the shipped example is used.
    heartbeat
        An address (http or https) that the sentinel posts its status to every 30 seconds, as long as it lives.
    places
        A file with the first line that `interlock venues serve` printed: where the venues are and the keys for them.
    json
        Accepted as everywhere; the line is JSON in any case.
    """
    from interlock.run.gate_launch import launch

    if venue not in ("fake", "served"):
        raise UsageError(f"--venue: expected fake or served, found {venue!r}")
    if (venue == "served") is not (places is not None):
        raise UsageError(
            "--places: expected with --venue served and not without it; it is the first line of `interlock venues serve --json`"
        )
    if places is not None and limits is None:
        raise UsageError("--limits: expected with --venue served; the shipped example is for the fake venue")
    launch(dir, limits, os.environ, heartbeat, places)
