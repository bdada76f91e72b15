"""Queue models: how many lots stand ahead of our resting order, and when a trade reaches us.

Both start behind everything displayed at our price. **Risk-averse**: only trades at our price move us forward; a level that shrinks below
our estimate caps it. **Power probability** (n): a shrinking level also removes orders ahead of us, with probability
back^n / (back^n + front^n) that a removal was behind us. Trades are counted once: what already moved us as a trade is taken out of the depth
change that follows it. The formulas are those that hftbacktest documents for RiskAdverseQueueModel and PowerProbQueueModel, so that equal
streams give equal fills.
"""

from __future__ import annotations

from typing import Any

from interlock.market.compiled import compiled
from interlock.simulate.layout import QUEUE_RISK_AVERSE


@compiled(inline=True)
def join(resting: Any, displayed_lots: int) -> None:
    """Our order arrives behind all that is displayed at its price."""
    resting.front_lots = displayed_lots
    resting.traded_lots = 0.0


@compiled(inline=True)
def on_trade(resting: Any, lots: int) -> None:
    """A trade of `lots` at our price, against our side."""
    resting.front_lots -= lots
    resting.traded_lots += lots


@compiled(inline=True)
def on_depth(resting: Any, before_lots: int, now_lots: int, model: int, power: float) -> None:
    """The displayed size at our price changed from `before_lots` to `now_lots`."""
    front = resting.front_lots
    if model == QUEUE_RISK_AVERSE:
        if now_lots < front:
            resting.front_lots = now_lots
        return
    removed = before_lots - now_lots - resting.traded_lots
    resting.traded_lots = 0.0
    if removed < 0:
        # The level grew: whatever was added stands behind us.
        resting.front_lots = min(front, float(now_lots))
        return
    back = before_lots - front
    if back < 0.0:
        back = 0.0
    # The usual power needs no logarithm; a square is exact either way.
    back_weight = back * back if power == 2.0 else back**power
    total = back_weight
    if front > 0.0:
        total += front * front if power == 2.0 else front**power
    behind = back_weight / total if total > 0.0 else 1.0
    ahead = front - (1.0 - behind) * removed + min(back - behind * removed, 0.0)
    resting.front_lots = min(ahead, float(now_lots))


@compiled(inline=True)
def reached_lots(resting: Any) -> int:
    """Lots by which trades went past the queue ahead of us; half a lot counts as one, as in hftbacktest."""
    return int(-resting.front_lots + 0.5) if resting.front_lots < 0.0 else 0
