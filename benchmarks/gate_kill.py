"""A kill of a real gate with many orders open: from the request to the gate closed, the first cancel at the venue, nothing open, and FINAL.

The gate, its sentinel and the simulated venue are processes, as `interlock gate serve` starts them. The orders are put at the venue under the gate's
own ids by another way, because the cap of a grant leaves no room for so many; so the gate itself has halted before the kill, and the sentinel has
the same work as it would have with orders of the gate. Times are CLOCK_BOOTTIME of the host, and the venue's own record of what arrived.
"""

import os
import time
from pathlib import Path
from typing import Any

from tests.gate.serving import serving, until

from interlock.domain.ids import ClientId
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.sentinel import control
from interlock.simulate.fake_venue.client import SocketLink, VenueClient
from interlock.simulate.fake_venue.control import SetRate
from interlock.venues.fake.wire import NewOrder, Place

ORDERS = 1_000


def kill_times(folder: Path, orders: int, rounds: int) -> dict[str, Any]:
    """Milliseconds from the request, the median and the worst of `rounds`."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        for name, ms in _one(folder / f"kill-{number}", orders).items():
            found.setdefault(name, []).append(ms)
    return {
        "orders": orders,
        "rounds": rounds,
        **{
            name: {"median_ms": round(sorted(times)[len(times) // 2], 1), "worst_ms": round(max(times), 1)} for name, times in found.items()
        },
    }


def _one(folder: Path, orders: int) -> dict[str, float]:
    with serving(folder) as gate:
        gate.tell(SetRate(venue="bybit", requests=1_000_000, window_ns=10**9, ban_after=1_000_000))
        client = VenueClient(SocketLink(gate.addresses.venues["bybit"].orders))
        for number in range(orders):
            order = NewOrder(
                client_id=str(ClientId("demo", 1, number, 1)),
                symbol="BTCUSDT",
                side=Side.BUY,
                type=OrderType.LIMIT,
                tif=TimeInForce.GTC,
                reduce_only=False,
                ticks=400_000 + number,
                lots=1,
            )
            client.send(Place(sign_ns=time.time_ns(), receive_window_ns=2 * 10**9, nonce=f"n{number}", order=order))
        until(lambda: len(gate.open_at_venue()) == orders)
        before = len(gate.witness())
        began_boot_ns, began_wall_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns()
        events: dict[str, int] = {}
        for event in control.ask(
            Path(gate.paths["lower"]).with_name("sentinel.sock"), {"verb": "kill", "source": "bench"}, frozenset({os.geteuid()}), 30.0
        ):
            events.setdefault(event["event"], event.get("boot_ns", 0))
        assert "FINAL" in events, events
        assert gate.open_at_venue() == []
        cancels = [line["wall_ns"] for line in gate.witness()[before:] if line["verb"].startswith("cancel")]
        closed = events.get("STOPPED", events.get("GATE_KILLED", 0))
        assert isinstance(client.link, SocketLink)
        client.link.close()
        return {
            "gate_closed": (closed - began_boot_ns) / 1e6,
            "first_cancel": (min(cancels) - began_wall_ns) / 1e6,
            "confirmed_zero": (events["SWEPT"] - began_boot_ns) / 1e6,
            "final": (events["FINAL"] - began_boot_ns) / 1e6,
        }
