"""A simulator of one venue, in a process of its own, that is kept from nothing: its limits are out of reach, and with `--market` its market goes on
as fast as its clients take what it sends.

`python -m benchmarks.sped_up VENUE FOLDER [--market]` prints where it is as one JSON line and serves until SIGTERM. It writes down what the served
ones do.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interlock.domain.clock import SystemClock
from interlock.simulate.fake_venue.witness import LineFile
from interlock.simulate.served.house import House, face_makers
from interlock.simulate.served.rates import Rates
from interlock.simulate.served.witness import Witness

OUT_OF_REACH = 10**9
MOST_WAITING = 500
"""Messages that may wait for a client before the market goes on: enough that it never waits for the market, and far below where it is cut off."""


async def _hurry(house: House, venue: str) -> None:
    hub = house.faces[venue].parts.public
    while True:
        if all(listener.queue.qsize() < MOST_WAITING for listener in hub.listeners):
            house.step()
        await asyncio.sleep(0)


async def _serve(venue: str, folder: Path, *, hurries: bool) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    clock = SystemClock()
    files = [LineFile(folder / name) for name in ("witness.jsonl", "truth.jsonl", "raw.jsonl")]
    maker, rates = face_makers()[venue]

    def boundless() -> Rates:
        return Rates(tuple(replace(limit, most=OUT_OF_REACH) for limit in rates().limits.values()))

    house = House(folder, clock, Witness(clock, *(file.write for file in files)), makers={venue: (maker, boundless)}, paced=not hurries)
    found = (await house.open())[venue]
    base = {"upbit": "/websocket/v1", "binance_usdm": "", "bybit": "/v5/public/linear"}[venue]
    place = {"rest": f"http://{found.orders}", "ws_public": f"ws://{found.public}{base}", "key": found.access, "secret": found.secret}
    sys.stdout.write(json.dumps(place) + "\n")
    sys.stdout.flush()
    hurrying = asyncio.create_task(_hurry(house, venue)) if hurries else None
    ends = [asyncio.create_task(stop.wait()), house.failure, *([hurrying] if hurrying else [])]
    done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for ended in done:
        ended.result()
    if hurrying is not None:
        hurrying.cancel()
        await asyncio.gather(hurrying, return_exceptions=True)
    await house.close()
    for file in files:
        file.close()


def main(arguments: Sequence[str]) -> int:
    """Serve."""
    parser = argparse.ArgumentParser(prog="benchmarks.sped_up", description=__doc__)
    parser.add_argument("venue", choices=tuple(face_makers()))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--market", action="store_true", help="let the market go on as fast as clients read")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_serve(options.venue, options.folder, hurries=options.market))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
