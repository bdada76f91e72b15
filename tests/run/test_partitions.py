"""The way between gate and venue is cut while a market maker has orders there, each direction by itself, and heals.

What is sent towards a cut arrives late, as it does in a network, or never if the sender has given up. The gate stops by itself, sends nothing twice,
and permits again when it has seen the venue for long enough. One gate and one set of simulators; a minute and a half.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.run.crash_ground import Tree
from tests.run.live_ground import LiveGround, live_ground
from tests.run.relays import Cut, listen, relay

VENUE = "bybit"


def lead_through(ground: LiveGround, port: int) -> None:
    """Whoever is told the places from here on goes to the order side by way of this port."""
    place = ground.where[VENUE]
    direct = urlsplit(place["rest"]).port
    through = {name: value.replace(f":{direct}", f":{port}") for name, value in place.items()}
    assert {urlsplit(through[name]).port for name in ("rest", "ws_private", "ws_trade")} == {port}
    ground.places.write_text(json.dumps({**ground.where, VENUE: through}) + "\n", encoding="utf-8")


def holds_back(tree: Tree) -> bool:
    """Whether something that was lost holds trading back."""
    return bool(tree.report()["trips"])


def goes_on(tree: Tree) -> bool:
    """Whether nothing does any more, after a person has cleared what was lost too often in an hour."""
    tree.unlatch()
    return not holds_back(tree)


def permitted(tree: Tree) -> int:
    return int(tree.ground.engine()["counts"].get("permitted", 0))


def test_a_gate_that_is_cut_off_either_way_stops_and_goes_on_when_it_is_over(tmp_path: Path) -> None:
    cut = Cut()
    with live_ground(tmp_path) as ground, relay(listen(), urlsplit(ground.where[VENUE]["rest"]).port or 0, cut) as port:
        lead_through(ground, port)
        tree = Tree(ground)
        try:
            tree.begin()
            tree.armed()
            for to_venue, from_venue in ((True, False), (False, True)):
                tree.quoting()
                began = permitted(tree)
                tree.until(lambda began=began: permitted(tree) > began, "the control: while nothing is cut it goes on")  # type: ignore[misc]
                cut.cut(to_venue=to_venue, from_venue=from_venue)
                tree.until(lambda: holds_back(tree), f"cut to the venue {to_venue}, from it {from_venue}, and it runs on")
                time.sleep(1.5)  # the engine says each second how it stands
                held = permitted(tree)
                time.sleep(2.0)
                assert permitted(tree) == held
                cut.heal()
                tree.until(lambda: goes_on(tree), "it does not come back by itself")
            tree.quoting()
            tree.disarmed()
            tree.at_rest()
            tree.judge()
        finally:
            cut.heal()
            tree.close()
