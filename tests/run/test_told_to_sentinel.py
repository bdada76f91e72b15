"""What a gate tells its sentinel of a venue: how long a final zero has to wait."""

from __future__ import annotations

import pytest

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.gate.records import Endpoint
from interlock.run.gate_config import VenuePart
from interlock.run.gate_places import CLOCKS_APART_NS, lands_within_ns, told_to_sentinel
from interlock.sentinel.sweep import Do, Scope, Sweep, Task
from interlock.venues.cancel_only import OpenOrder

PART = VenuePart(
    venue="bybit",
    account="main",
    endpoint=Endpoint.LOOPBACK,
    symbols=("BTCUSDT",),
    dead_man=False,
    visibility_lag_ns=NS_PER_S,
)
LATE = OpenOrder("v1", "demo1", "BTCUSDT")


def swept(expiry_ns: int, listed_ns: int) -> tuple[bool, int]:
    """Sweep a venue whose lists show an order from `listed_ns` on: whether it was cancelled, and when the sweep was final."""
    sweep = Sweep(Task(Scope.OWN, ("demo",), expiry_ns), quiet_ns=0)
    now_ns, cancelled = 0, False
    while (step := sweep.next(now_ns)).do is not Do.DONE:
        match step.do:
            case Do.WAIT:
                now_ns = step.until_ns
            case Do.LIST:
                there = () if cancelled or now_ns < listed_ns else (LATE,)
                sweep.listed(there, whole=True, asked_ns=now_ns, now_ns=now_ns, ours=step.ours)
            case _:
                cancelled = True
                sweep.cancelled()
        now_ns += NS_PER_MS
    return cancelled, now_ns


def test_an_order_that_is_taken_in_the_last_moment_and_listed_late_is_found_before_final() -> None:
    """Signed just before the gate died, taken as the receive window ends by a clock that is behind, and listed after the longest lag."""
    told = told_to_sentinel(PART)["expiry_ns"]
    listed_ns = PART.receive_window_ns + CLOCKS_APART_NS + PART.visibility_lag_ns - 1
    assert swept(told, listed_ns)[0]
    # The control: a wait that leaves the lag out ends before it.
    cancelled, final_ns = swept(told - PART.visibility_lag_ns, listed_ns)
    assert not cancelled
    assert final_ns < listed_ns


@pytest.mark.parametrize("venue", ["upbit"])
def test_where_requests_do_not_expire_no_wait_is_long_enough(venue: str) -> None:
    part = VenuePart(**{**{name: getattr(PART, name) for name in PART.__struct_fields__}, "venue": venue})
    assert told_to_sentinel(part)["expiry_ns"] is None
    assert lands_within_ns(PART) > PART.receive_window_ns
