"""Whether a recorder's receive clock can be used, and the constant that makes it usable."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from interlock.market.tape_info import ClockEntry

FLOOR_NS = 1_000_000
"""The smallest latency that is assumed where it cannot be measured: 1 ms."""

_ABSURD_NS = 60 * 1_000_000_000


def judge(
    latencies_ns: npt.NDArray[np.int64],
    floor_ns: int,
    tolerance_ns: int,
    clamped: int,
    *,
    received: bool = True,
) -> ClockEntry:
    """The clock entry for recorded latencies (receive time minus the venue's time of the event, one a stream frame).

    A clock whose median latency is negative or over a minute is unusable. It gets a constant that makes the smallest latency `floor_ns`;
    the jitter stays as recorded. Where nothing was `received`, and the time is that at which the venue sent (an archive), the constant is
    `floor_ns` itself: the way from the venue to us comes on top. Any other clock is left alone.
    """
    if len(latencies_ns) == 0:
        return ClockEntry(feed_latency="none", tolerance_ns=tolerance_ns, clamped=clamped)
    median, smallest = int(np.median(latencies_ns)), int(latencies_ns.min())
    unusable = not received or median < 0 or median > _ABSURD_NS
    start = smallest if received else 0
    return ClockEntry(
        feed_latency="assumed" if unusable else "measured",
        corrected=unusable,
        offset_ns=floor_ns - start if unusable else 0,
        floor_ns=floor_ns if unusable else None,
        recorded_median_latency_ns=median,
        recorded_smallest_latency_ns=smallest,
        tolerance_ns=tolerance_ns,
        clamped=clamped,
    )
