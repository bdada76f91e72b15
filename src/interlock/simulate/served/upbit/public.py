"""The public stream: books, trades, tickers and candles as they change, each once at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from interlock.simulate.served.upbit import books
from interlock.simulate.served.upbit.formats import written
from interlock.simulate.served.upbit.requests import Topic, Wish
from interlock.simulate.served.upbit.statistics import History
from interlock.simulate.served.upbit.streams import Stream
from interlock.simulate.served.upbit.texts import MS
from interlock.simulate.served.venue import MarketStep, PublicTrade, SimVenue

ZERO = Decimal(0)


class PublicMessages:
    """Makes the messages of the public stream of one venue."""

    def __init__(self, venue: SimVenue, histories: Mapping[str, History]) -> None:
        self._venue = venue
        self._histories = histories

    def snapshot(self, wish: Wish) -> list[bytes]:
        """What a wish begins with; nothing of a market without trades for trades and candles."""
        return [message for topic in wish.topics for message in self._of(topic, "SNAPSHOT", None)]

    def publish(self, stream: Stream, steps: Sequence[MarketStep]) -> None:
        """Tell what steps of the market changed."""
        by_symbol = {step.symbol: step for step in steps}
        for topic in stream.wanted():
            step = by_symbol.get(topic.code)
            if step is not None:
                for message in self._of(topic, "REALTIME", step):
                    stream.hub.publish(topic.key, message, topic.code)

    def _of(self, topic: Topic, stream_type: str, step: MarketStep | None) -> list[bytes]:
        kind, _, unit = topic.type.partition(".")
        if kind == "orderbook":
            found = self._book(topic, step)
        elif kind == "trade":
            found = self._trades(topic, step)
        elif kind == "ticker":
            found = self._ticker(topic, step)
        else:
            found = self._candle(topic, unit, step)
        return [written({**message, "stream_type": stream_type}, topic.format) for message in found]

    def _book(self, topic: Topic, step: MarketStep | None) -> list[dict[str, Any]]:
        instrument = self._venue.markets[topic.code].instrument
        unchanged = step is not None and not step.bids and not step.asks
        if unchanged or (topic.level and topic.level not in books.supported_levels(self._venue, instrument)):
            return []
        now_ns = self._venue.now_ns() if step is None else step.venue_ns
        sides = books.book(self._venue, topic.code, topic.units, topic.level)
        return [{"type": "orderbook", "code": topic.code, "timestamp": now_ns // MS, **sides}]

    def _trades(self, topic: Topic, step: MarketStep | None) -> list[dict[str, Any]]:
        history = self._histories[topic.code]
        latest = history.latest
        trades: list[PublicTrade] = step.trades if step is not None else ([latest] if latest is not None else [])
        now_ns = self._venue.now_ns() if step is None else step.venue_ns
        return [books.trade_message(self._venue, history, trade, now_ns) for trade in trades]

    def _ticker(self, topic: Topic, step: MarketStep | None) -> list[dict[str, Any]]:
        if step is not None and not step.trades:
            return []
        return [books.ticker_message(self._histories[topic.code], self._venue.now_ns(), "ACTIVE")]

    def _candle(self, topic: Topic, unit: str, step: MarketStep | None) -> list[dict[str, Any]]:
        if step is not None and not step.trades:
            return []
        candles = self._histories[topic.code].candles(unit)
        if not candles:
            return []
        row = books.candle_row(topic.code, candles[-1])
        del row["market"]
        return [{"type": topic.type, "code": topic.code, **row}]
