"""A book that a feed holds so as to know whether what it passes on still makes sense. The engine's own books are in `market.book`."""

from __future__ import annotations

from interlock.venues.feed import MAX_LEVELS, BookChange, Level, Reason, Refusal


class HeldBook:
    """Levels of two sides, ticks to lots, and the best of each.

    `usable` is False until a whole book has come, and again from `lose` until the next. A change that is refused leaves the book lost.
    """

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.usable = False
        self._bids = _Side(1)
        self._asks = _Side(-1)

    @property
    def best_bid(self) -> int:
        """Ticks of the best bid, 0 where there is none."""
        return self._bids.best

    @property
    def best_ask(self) -> int:
        """Ticks of the best ask, 0 where there is none."""
        return self._asks.best

    def levels(self, side: int) -> dict[int, int]:
        """The levels of a side, ticks to lots. side: +1 bid, -1 ask."""
        return dict((self._bids if side > 0 else self._asks).lots)

    def lose(self) -> None:
        """Forget everything: frames are missing, or one was damaged."""
        self.usable = False
        self._bids.clear()
        self._asks.clear()

    def apply(self, change: BookChange) -> None:
        """Take a change. Raises Refusal for a change without a book to change, a book that is crossed by it, and one that grows too large."""
        self._begin(change.whole)
        self._bids.apply(change.bids)
        self._asks.apply(change.asks)
        self._judge(self.best_bid, self.best_ask, max(len(self._bids.lots), len(self._asks.lots)))

    def _begin(self, whole: bool) -> None:
        """A change is about to be applied. Raises Refusal without a book to change."""
        if whole:
            self.lose()
            self.usable = True
        elif not self.usable:
            raise Refusal(Reason.NO_SNAPSHOT, "a change of a book that is not known; subscribe anew for a whole one", self.symbol)

    def _judge(self, bid: int, ask: int, most: int) -> None:
        """A change was applied: the best of each side (0: none), and how many levels the longer one has. Raises Refusal."""
        if bid and ask and bid >= ask:
            self.lose()
            raise Refusal(Reason.CROSSED, f"bid {bid} ticks is not below ask {ask}; subscribe anew for a whole book", self.symbol)
        if most > MAX_LEVELS:
            self.lose()
            raise Refusal(Reason.OVERSIZED, f"expected at most {MAX_LEVELS} levels on a side", self.symbol)


class _Side:
    """One side; `best` is 0 while it is empty."""

    def __init__(self, sign: int) -> None:
        self.lots: dict[int, int] = {}
        self.best = 0
        self._sign = sign

    def clear(self) -> None:
        self.lots.clear()
        self.best = 0

    def apply(self, levels: tuple[Level, ...]) -> None:
        best_gone = False
        for ticks, lots in levels:
            if lots == 0:
                best_gone |= self.lots.pop(ticks, 0) > 0 and ticks == self.best
                continue
            self.lots[ticks] = lots
            if self.best == 0 or (ticks - self.best) * self._sign > 0:
                self.best = ticks
        # Looking through a side is needed only when its best level went; a venue shows at most a thousand.
        if best_gone and self.best not in self.lots:
            self.best = (max if self._sign > 0 else min)(self.lots, default=0)
