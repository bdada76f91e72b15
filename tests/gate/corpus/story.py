"""Writes a journal for the corpus: `python -m tests.gate.corpus.story NAME` when the schema or the fold changes, and never over one that is there.

What is expected of it is taken from the venue, which knows how every order ended and what is held, and not from the gate's own fold.
"""

from __future__ import annotations

import json
import lzma
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.gate.gate_life import S
from tests.gate.gate_machine import World

from interlock.domain.orders import Side, TimeInForce
from interlock.gate import records as r
from interlock.sentinel.sweep import Do
from interlock.simulate.fake_venue.faults import Fault

HERE = Path(__file__).parent
UNSENT = "maki0000000000000000000000000000"
"""The client id of an order that another gate permitted."""


def live(world: World) -> None:
    """Three process lives: trade, amend, lose an answer, tighten, attest, leave an order of another gate unsent, freeze; a crash with an order in
    flight; a power cut; a kill, and a gate that began anew.
    """
    world.boot()
    world.ready()
    taken = world.place(away=-5, lots=2, tif=TimeInForce.IOC)
    resting = world.place(away=20, lots=2)
    world.hear()
    world.propose(world.proposal(away=30, lots=2, amends=resting))
    world.fill(resting, 1)
    world.hear()
    world.cancel(resting)
    world.hear()
    world.lie(Fault.LOSE_ACK)
    world.place(away=40)
    world.wait(5 * S)
    world.read()
    world.place(Side.SELL, away=-5, tif=TimeInForce.IOC, reduce_only=True)
    world.hear()
    world.tighten(max_order_lots=1)
    assert world.propose(world.proposal(away=60, lots=2))[0].rule == "max_order_lots"
    world.cancel(world.place(away=60))
    world.hear()
    world.attest(withdraw=False, expires_wall_ns=0)
    world.unsent(UNSENT, permit_lsn=9)
    world.freeze(r.Level.REDUCE_ONLY)
    assert world.propose(world.proposal())[0].result == "DENY"
    world.crash()
    world.ready()
    world.place(away=50)
    world.crash(power=-1)
    world.ready()
    world.place(away=60)
    world.kill()
    while world.sweep_on() is not Do.DONE:
        pass
    world.crash()
    assert taken


def truth(world: World) -> dict[str, Any]:
    """How every order ended and what is held, as the venue has it."""
    return {
        "orders": {
            name: {"state": order.state.value, "filled_lots": order.lots - order.remaining_lots}
            for name, order in sorted(world.own_orders().items())
        },
        "lots": world.true.account.holdings["BTCUSDT"].lots,
    }


def main(name: str) -> None:
    """Live the story and write it down."""
    into = HERE / name
    into.mkdir()
    with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
        live(world)
        world.finish()
        for file in sorted((Path(folder) / "exported").glob("*.seg")):
            (into / f"{file.name}.xz").write_bytes(lzma.compress(file.read_bytes()))
        for name_of_it in ("witness.jsonl", "truth.jsonl"):
            (into / f"{name_of_it}.xz").write_bytes(lzma.compress((Path(folder) / name_of_it).read_bytes()))
        (into / "expected.json").write_text(json.dumps({"schema": r.SCHEMA, **truth(world)}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
