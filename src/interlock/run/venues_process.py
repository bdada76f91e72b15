"""`interlock venues serve`: the simulated venues as a process of this machine, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from interlock.domain.clock import SystemClock
from interlock.domain.errors import BadInput
from interlock.market.tape import Tape
from interlock.run.following_venue import Followed, FollowedVenue
from interlock.run.parent_death import LEFT_ALONE
from interlock.simulate.fake_venue.witness import LineFile
from interlock.simulate.served.faults import FaultSpec, read_faults
from interlock.simulate.served.house import Addresses, House
from interlock.simulate.served.tls import make_authority
from interlock.simulate.served.witness import Witness
from interlock.venues.socket import connect_picows

EXIT_DONE, EXIT_INTERRUPTED = 0, 130
ALONE_S: Final = 20.0
"""How long they go on when whoever started them has died: a gate that ends with it takes its orders back meanwhile."""


@dataclass(frozen=True, kw_only=True)
class VenuesConfig:
    """What is asked for. `folder` None: a fresh one among the temporary files."""

    folder: Path | None
    tape: Path | None
    seed: int
    faults: Path | None
    tls: bool
    follow: Mapping[str, Followed] = field(default_factory=dict)
    """By venue: the live market that it has, instead of a seeded one."""


def serve_venues(config: VenuesConfig, tell: Callable[[dict[str, Any]], None]) -> int:
    """Serve until told to stop; `tell` is called once, with where everything is. Returns the exit code."""
    # What was named and cannot be used ends it before anything is written.
    specs = _faults(config.faults)
    tape = None if config.tape is None else Tape.open(config.tape)
    folder = Path(tempfile.mkdtemp(prefix="interlock-venues-")) if config.folder is None else config.folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return asyncio.run(_serve(config, specs, folder, tape, tell))


def _faults(path: Path | None) -> list[FaultSpec]:
    if path is None:
        return []
    try:
        return read_faults(path.read_bytes())
    except OSError as error:
        raise BadInput(path, "", f"cannot be read: {error.strerror or error}") from error


async def _serve(
    config: VenuesConfig, specs: list[FaultSpec], folder: Path, tape: Tape | None, tell: Callable[[dict[str, Any]], None]
) -> int:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()
    for number, code in ((signal.SIGTERM, EXIT_DONE), (signal.SIGINT, EXIT_INTERRUPTED)):
        loop.add_signal_handler(number, _once(stop, code))
    loop.add_signal_handler(LEFT_ALONE, loop.call_later, ALONE_S, _once(stop, EXIT_DONE))
    clock = SystemClock()
    files = [LineFile(folder / name) for name in ("witness.jsonl", "truth.jsonl", "raw.jsonl")]
    witness = Witness(clock, *(file.write for file in files))
    tls, authority = make_authority(folder, datetime.now(UTC)) if config.tls else (None, None)
    sys.stderr.write("venues: preparing the matching model (some 20 s once for each version, else under a second)\n")
    followed = [FollowedVenue(venue, of, clock, connect_picows, random.random) for venue, of in config.follow.items()]
    keeping: list[asyncio.Task[None]] = []
    house: House | None = None
    try:
        drives = {one.venue: await one.begin() for one in followed}
        house = House(folder, clock, witness, seed=config.seed, tape=tape, tls=tls, followed=drives)
        for one in followed:
            one.join(house)
            keeping.append(loop.create_task(one.keep()))
        addresses = await house.open()
        control = await house.open_control()
        house.strike(specs)
        tell(where(addresses, folder / "witness.jsonl", control, tls=config.tls, authority=authority))
        ends: list[asyncio.Future[Any]] = [stop, house.failure, *keeping]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for ended in ends[1:]:
            if ended.done():
                ended.result()
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        for venue in followed:
            await venue.close()
        if house is not None:
            await house.close()
        for file in files:
            file.close()
        if tape is not None:
            tape.close()
    return stop.result()


def _once(stop: asyncio.Future[int], code: int) -> Callable[[], None]:
    def end() -> None:
        if not stop.done():
            stop.set_result(code)

    return end


def where(addresses: dict[str, Addresses], witness: Path, control: str, *, tls: bool, authority: Path | None) -> dict[str, Any]:
    """The first line on stdout: every address, key and file."""
    http, ws = ("https", "wss") if tls else ("http", "ws")
    upbit, binance, bybit = addresses["upbit"], addresses["binance_usdm"], addresses["bybit"]
    found: dict[str, Any] = {
        "upbit": {
            "rest": f"{http}://{upbit.orders}",
            "ws_public": f"{ws}://{upbit.public}/websocket/v1",
            "ws_private": f"{ws}://{upbit.orders}/websocket/v1/private",
        },
        "binance_usdm": {
            "rest": f"{http}://{binance.orders}",
            "ws_public": f"{ws}://{binance.public}",
            "ws_private": f"{ws}://{binance.orders}/private",
            "ws_trade": f"{ws}://{binance.orders}/ws-fapi/v1",
        },
        "bybit": {
            "rest": f"{http}://{bybit.orders}",
            "ws_public": f"{ws}://{bybit.public}/v5/public/linear",
            "ws_private": f"{ws}://{bybit.orders}/v5/private",
            "ws_trade": f"{ws}://{bybit.orders}/v5/trade",
        },
        "witness": str(witness),
        "control": f"http://{control}",
    }
    for name, place in addresses.items():
        found[name] |= {"key": place.access, "secret": place.secret, "read_key": place.read_access, "read_secret": place.read_secret}
    if authority is not None:
        found["ca"] = str(authority)
    return found
