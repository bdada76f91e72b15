"""`interlock gate serve`: run a gate against simulated venues on this machine, or at the venues' own test hosts."""

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
    entry: str | None = None,
    strategy: list[str] | None = None,
    json: bool = False,
) -> int:
    """Start a gate with its sentinel and its checker, and a simulated venue where one is wanted; runs until SIGTERM or Ctrl-C.

    The first line on stdout is one JSON object with the paths of the sockets, the journal and the venue's witness; nothing else is written there.
    The environment is taken as a live gate would: unless READ_ONLY_ENFORCED is exactly `false`, every order is denied. On this machine it
    needs no key.

    Parameters
    ----------
    dir
        The gate's folder: sockets, journal, the venue's own record. A gate that was killed goes on there.
    venue
        `fake`: the venues that are named in the limits, played by a process of this gate. `served`: those of `interlock venues serve`, which
        speak as the real ones do. `testnet`: the venues' own test hosts, with a person's keys. `real`: refused, naming what is not built. With
        all but `fake`, `--places` and `--limits` are needed.
    limits
        The limits, a TOML file. Without it the shipped example is used.
    heartbeat
        An address (http or https) that the sentinel posts its status to every 30 seconds, as long as it lives.
    places
        Where the venues are and the keys for them. With `served` a file with the first line that `interlock venues serve` printed, else one that
        names the endpoint, the files of the keys and the pins of the hosts.
    entry
        With `--places`, how orders go out: `socket` (the default), over the venue's WebSocket where it has one for orders (Upbit has none) and
        cancels over HTTP too; or `rest`, all over HTTP.
    strategy
        `NAME=DIGEST`, once for each strategy of the limits that an engine proposes for: the digest of what it decides by, sources and parameters. A
        grant is bound to it, and an engine that tells another one is refused. `interlock run` says it by itself.
    json
        Accepted as everywhere; the line is JSON in any case.
    """
    from interlock.gate.records import Endpoint
    from interlock.run.gate_config import Entry
    from interlock.run.gate_launch import launch

    endpoints = {"fake": Endpoint.LOOPBACK, "served": Endpoint.LOOPBACK, "testnet": Endpoint.TESTNET, "real": Endpoint.REAL}
    if venue not in endpoints:
        raise UsageError(f"--venue: expected one of {', '.join(endpoints)}, found {venue!r}")
    if (venue == "fake") is not (places is None):
        raise UsageError(
            "--places: expected with every --venue but fake; for served it is the first line of `interlock venues serve --json`, for the others see "
            "docs/gate.md"
        )
    if places is not None and limits is None:
        raise UsageError(f"--limits: expected with --venue {venue}; the shipped example is for the fake venue")
    if entry is not None and entry not in tuple(Entry):
        raise UsageError(f"--entry: expected socket or rest, found {entry!r}")
    if entry is not None and places is None:
        raise UsageError("--entry: expected with --places alone; the fake venue has one way for orders")
    strategies = dict(_name_and_digest(one) for one in strategy or ())
    launch(dir, limits, os.environ, heartbeat, places, endpoints[venue], Entry.SOCKET if entry is None else Entry(entry), strategies)


def _name_and_digest(text: str) -> tuple[str, str]:
    name, found, digest = text.partition("=")
    if not found:
        raise UsageError(f"--strategy: expected NAME=DIGEST, found {text!r}")
    return name, digest
