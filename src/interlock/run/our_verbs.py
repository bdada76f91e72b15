"""Our own commands, asked as a script would ask them, and the ceremony that a script may hold on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from interlock.domain.errors import Refused
from interlock.gate.frames import Status
from interlock.run.interrupt import StopWish
from interlock.run.observer_child import Stage
from interlock.run.venue_child import ENVIRONMENT as ENGINE_ENVIRONMENT

GATE_ENVIRONMENT: Final = (
    "HOME",
    "LANG",
    "LC_ALL",
    "PATH",
    "PYTHONDONTWRITEBYTECODE",
    "READ_ONLY_ENFORCED",
    "TMPDIR",
    "TZ",
    "XDG_CACHE_HOME",
)
"""What a gate inherits of the environment."""
CAP_USD: Final = "1000"
ARMED_FOR: Final = "24h"
CLEARS_WITHIN_S: Final = 90.0
"""How long a script waits for an interlock to clear itself: the longest quarantine is half a minute, and a second one may begin meanwhile."""
MOST_TRIES: Final = 5
"""How often it tries where nothing is tripped: what comes and goes, such as a clock that is read anew."""


def arm_by_script(
    socket: str, status: Callable[[], Status | None], environ: Mapping[str, str], *, stop: StopWish, stage: Stage
) -> dict[str, Any]:
    """Hold the ceremony by a script, with its kill drill first, which the gate takes on loopback alone; what it said.

    A gate that begins on a busy host may have interlocks tripped; they clear themselves, and it is tried again then, unless
    somebody wants it to stop. Raises Refused with what stands against it.
    """
    stage("arming by a script, with a kill drill first", 0, 0)
    conditions = {"LIVE_ARM_ACK": "I_UNDERSTAND_LIVE_RISK", "LIVE_ARM_AT": str(int(time.time())), "LIVE_MAX_NOTIONAL_USD": CAP_USD}
    given = ("--scripted", "--ack", conditions["LIVE_ARM_ACK"], "--max-notional-usd", CAP_USD, "--for", ARMED_FOR)
    deadline, tries = time.monotonic() + CLEARS_WITHIN_S, 0
    while True:
        said = our_verb({**environ, **conditions}, "arm", "--socket", socket, *given)
        if said.get("result") == "ARMED" or stop.wanted:
            return said
        stands = status()
        tripped = [f"{one['name']} {one['subject']}".strip() for one in stands.report["trips"]] if stands is not None else []
        # What was refused because of a trip says nothing about what comes behind it.
        tries = 0 if tripped or stands is None else tries + 1
        if time.monotonic() > deadline or tries >= MOST_TRIES:
            raise Refused(f"the gate would not be armed: {said}")
        if tripped:
            stage(f"waiting for the gate's interlocks to clear: {', '.join(tripped)}", 0, 0)
        time.sleep(1)


def our_verb(environ: Mapping[str, str], *words: str) -> dict[str, Any]:
    """One of our own commands; what it printed."""
    kept = {name: value for name, value in environ.items() if name in {*GATE_ENVIRONMENT, *ENGINE_ENVIRONMENT} or name.startswith("LIVE_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "interlock", *words, "--json"], env=kept, capture_output=True, text=True, timeout=300, check=False
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"result": "FAILED", "detail": done.stderr[-500:]}
    return found
