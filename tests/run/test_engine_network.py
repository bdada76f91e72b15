"""An engine in a network from which no way leads to the order side of a venue: it hears the market, proposes, and that is all. A quarter of a minute.

The simulators have a public address and one for orders. The engine's network has nothing but its own loopback, at which somebody passes on what goes
to the public address; the gate is spoken to over its socket in the file system.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.run.crash_ground import Tree
from tests.run.live_ground import live_ground
from tests.run.relays import Cut, network, relay

PROBE = """
import json, socket, sys
found = {}
for port in map(int, sys.argv[1:]):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        found[port] = "answers"
    except OSError as error:
        found[port] = type(error).__name__
try:
    socket.create_connection(("192.0.2.1", 443), 5).close()
    found["else"] = "answers"
except OSError as error:
    found["else"] = error.strerror
print(json.dumps(found))
"""


def probed(prefix: tuple[str, ...], ports: list[int]) -> dict[str, str]:
    """Which ports answer there, and whether there is a way to anywhere else."""
    done = subprocess.run([*prefix, sys.executable, "-c", PROBE, *map(str, ports)], capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own takes root")
def test_an_engine_with_no_way_to_the_order_side_makes_its_market(tmp_path: Path) -> None:
    with live_ground(tmp_path) as ground:
        place = ground.where["bybit"]
        public = urlsplit(place["ws_public"]).port
        assert public is not None
        orders = sorted({urlsplit(place[name]).port or 0 for name in ("rest", "ws_private", "ws_trade")})
        assert public not in orders
        with network([public]) as away, relay(away.listening[0], public, Cut()):
            enter = ("nsenter", f"--net={away.path}", "--")
            inside = probed(enter, [public, *orders])
            assert inside == {
                str(public): "answers",
                **dict.fromkeys(map(str, orders), "ConnectionRefusedError"),
                "else": "Network is unreachable",
            }
            # The control: here the same addresses answer.
            here = probed((), [public, *orders])
            assert {here[str(port)] for port in (public, *orders)} == {"answers"}
            tree = Tree(ground, engine_prefix=enter)
            try:
                tree.begin()
                assert tree.engine is not None
                tree.armed()
                tree.quoting()
                tree.until(lambda: ground.engine()["counts"].get("permitted", 0) > 5, "the engine is permitted nothing")
                assert os.stat(f"/proc/{tree.engine.pid}/ns/net").st_ino == os.stat(away.path).st_ino
                assert os.stat(f"/proc/{tree.engine.pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino
                tree.disarmed()
                tree.at_rest()
                tree.judge()
            finally:
                tree.close()
