"""`interlock venues serve`: simulators of the three venues on this machine."""

import json as json_module
import signal
import sys
from pathlib import Path
from typing import Any

from cyclopts import App, Parameter

from interlock.cli import exit_codes
from interlock.domain.errors import UsageError

app = App(name="venues", help="Simulated venues that speak the real wire protocols.", default_parameter=Parameter(negative=()))


@app.command
def serve(
    *,
    tape: Path | None = None,
    seed: int = 1,
    faults: Path | None = None,
    tls: bool = False,
    dir: Path | None = None,  # noqa: A002 - the option's name
    follow: str | None = None,
    symbols: list[str] | None = None,
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
    follow
        Instead of a seeded market the live one: `real`, the venues' own public feeds, or a file with the first line of other simulators.
    symbols
        With --follow, what is followed, each as venue:SYMBOL; the venues that are not named have a seeded market.
    json
        Accepted as everywhere; the line is JSON in any case.
    """
    # What is imported now takes a second: whoever is told to stop meanwhile ends as well as later.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(exit_codes.DONE))
    from interlock.run.following_venue import followed_of
    from interlock.run.venues_process import VenuesConfig, serve_venues

    def tell(where: dict[str, Any]) -> None:
        sys.stdout.write(json_module.dumps(where) + "\n")
        sys.stdout.flush()

    if (follow is None) is not (symbols is None):
        raise UsageError("--follow and --symbols: expected both or neither")
    followed = {} if follow is None or symbols is None else followed_of(follow, symbols)
    if tape is not None and followed:
        raise UsageError("--tape: expected without --follow; a venue has one market")
    return serve_venues(VenuesConfig(folder=dir, tape=tape, seed=seed, faults=faults, tls=tls, follow=followed), tell)
