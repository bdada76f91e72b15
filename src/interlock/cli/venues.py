"""`interlock venues serve`: simulators of the three venues on this machine."""

import json as json_module
import sys
from pathlib import Path
from typing import Any

from cyclopts import App, Parameter

app = App(name="venues", help="Simulated venues that speak the real wire protocols.", default_parameter=Parameter(negative=()))


@app.command
def serve(
    *,
    tape: Path | None = None,
    seed: int = 1,
    faults: Path | None = None,
    tls: bool = False,
    dir: Path | None = None,  # noqa: A002 - the option's name
    json: bool = False,
) -> int:
    """Serve Upbit, Binance USDⓈ-M and Bybit v5 on loopback until SIGTERM or Ctrl-C.

    The first line on stdout is one JSON object with every address, key and file; nothing else is written there. The keys are good for nothing else.

    Parameters
    ----------
    tape
        A tape that drives the venues it has order books of, over and over; the others have a seeded market.
    seed
        Of the markets and keys: the same seed gives the same.
    faults
        A JSON file of faults to begin with (docs/venues.md).
    tls
        Serve https and wss with a throw-away certificate; the authority's file is `ca` in the first line.
    dir
        Where witness and raw bytes go; a fresh folder among the temporary files unless named.
    json
        Accepted as everywhere; the line is JSON in any case.
    """
    from interlock.run.venues_process import VenuesConfig, serve_venues

    def tell(where: dict[str, Any]) -> None:
        sys.stdout.write(json_module.dumps(where) + "\n")
        sys.stdout.flush()

    return serve_venues(VenuesConfig(folder=dir, tape=tape, seed=seed, faults=faults, tls=tls), tell)
