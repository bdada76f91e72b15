"""The public streams: subscriptions, books, trades, tickers, price limits, and the venue's own state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from interlock.simulate.served.bybit.books import DEPTHS
from interlock.simulate.served.bybit.desk import Desk, FundingSettled
from interlock.simulate.served.bybit.public import status_view
from interlock.simulate.served.bybit.public_views import price_limit_view, stream_trade_view, ticker_view
from interlock.simulate.served.bybit.socket_talk import Talk, read_message, texts
from interlock.simulate.served.hub import Listener
from interlock.simulate.served.venue import MarketStep

ARGS_CHARACTERS: Final = 21_000
SPOT_ARGS: Final = 10
STATUS: Final = "system.status"
TRADES_A_MESSAGE: Final = 1024
PRICE_LIMIT_EVERY: Final = 3
"""Steps of a tenth of a second between two messages of a price limit."""


class PublicStream:
    """Answers on the public sockets and tells what happens. Topics of liquidations and bars are taken and say nothing: there are none here."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._hub = desk.parts.public
        self._tickers: dict[str, dict[str, Any]] = {}
        self._steps = 0
        self._funding_ns = dict.fromkeys(desk.venue.markets, 0)

    def talk(self, category: str, connection: str) -> Talk:
        """What answers one connection's messages."""

        async def on_text(listener: Listener, text: bytes) -> None:
            message = read_message(text)
            op, req_id = message.get("op"), message.get("req_id", "")
            head = {"conn_id": connection, "req_id": req_id, "op": op}
            if op == "ping":
                listener.send(_encoded({"success": True, "ret_msg": "pong", **head}))
            elif op == "subscribe":
                self._subscribe(category, listener, texts(message, "args"), head)
            elif op == "unsubscribe":
                listener.topics.difference_update(texts(message, "args"))
                listener.send(_encoded({"success": True, "ret_msg": "", **head}))
            else:
                listener.send(_encoded({"success": False, "ret_msg": "error:request type invalid", **head}))

        return on_text

    def on_market(self, steps: Sequence[MarketStep]) -> None:
        """Tell the changes of a step."""
        self._steps += 1
        desk = self._desk
        for book, message in desk.books.due([s.symbol for s in steps], even=self._steps % 2 == 0):
            self._publish(book.topic, message, book.symbol)
        for step in steps:
            self._trades(step)
            self._ticker(step.symbol)
        if self._steps % PRICE_LIMIT_EVERY == 0:
            for symbol in desk.venue.markets:
                self._publish(f"priceLimit.{symbol}", self._price_limit(symbol), symbol)
        self._note_funding()

    def on_closure(self, closed: bool) -> None:
        """Tell that the venue closes or opens; when it opens, the books begin anew."""
        now_ms = self._desk.venue.now_ms()
        view = status_view(self._desk.parts.closed_until_ms if closed else now_ms, now_ms)
        self._publish(STATUS, {"topic": STATUS, "ts": now_ms, "data": [view]}, "")
        if not closed:
            for book, message in self._desk.books.restart():
                self._publish(book.topic, message, book.symbol)

    def _subscribe(self, category: str, listener: Listener, topics: list[str], head: dict[str, Any]) -> None:
        used = sum(map(len, listener.topics)) + sum(map(len, topics))
        wrong = ""
        if not topics:
            wrong = "error:args is required"
        elif category == "spot" and len(topics) > SPOT_ARGS:
            wrong = "args size >10"
        elif used > ARGS_CHARACTERS:
            wrong = "error:args characters exceed the limit"
        elif unknown := [topic for topic in topics if not self._known(category, topic)]:
            wrong = f"error:handler not found,topic:{unknown[0]}"
        elif twice := [topic for topic in topics if topic in listener.topics]:
            wrong = f"error:already subscribed,topic:{twice[0]}"
        if wrong:
            listener.send(_encoded({"success": False, "ret_msg": wrong, **head}))
            return
        listener.send(_encoded({"success": True, "ret_msg": "subscribe" if category == "spot" else "", **head}))
        for topic in dict.fromkeys(topics):
            listener.topics.add(topic)
            for first in self._first(topic):
                listener.send(_encoded(first))

    def _known(self, category: str, topic: str) -> bool:
        if category == "status":
            return topic == STATUS
        kind, _, rest = topic.partition(".")
        if category != "linear" or rest.rpartition(".")[2] not in self._desk.venue.markets:
            return False
        if kind == "orderbook":
            depth = rest.partition(".")[0]
            return depth in map(str, DEPTHS) and rest.count(".") == 1
        if kind == "kline":
            return rest.count(".") == 1
        return kind in ("publicTrade", "tickers", "priceLimit", "liquidation", "allLiquidation") and "." not in rest

    def _first(self, topic: str) -> Iterable[dict[str, Any]]:
        """What a connection is told at once when it subscribes."""
        kind, _, rest = topic.partition(".")
        if kind == "orderbook":
            depth, _, symbol = rest.partition(".")
            return [self._desk.books.snapshot(self._desk.books.book(symbol, int(depth)))]
        if kind == "tickers":
            self._tickers.setdefault(rest, ticker_view(self._desk, self._desk.venue.markets[rest]))
            return [self._ticker_message(rest, "snapshot", self._tickers[rest])]
        if kind == "priceLimit":
            return [self._price_limit(rest)]
        return []

    def _trades(self, step: MarketStep) -> None:
        topic, market = f"publicTrade.{step.symbol}", self._desk.venue.markets[step.symbol]
        for at in range(0, len(step.trades), TRADES_A_MESSAGE):
            views = [stream_trade_view(market, trade, self._desk.books.next_seq()) for trade in step.trades[at : at + TRADES_A_MESSAGE]]
            message = {"topic": topic, "type": "snapshot", "ts": self._desk.venue.now_ms(), "data": views}
            self._publish(topic, message, step.symbol)

    def _ticker(self, symbol: str) -> None:
        before = self._tickers.get(symbol)
        if before is None:
            return
        now = self._tickers[symbol] = ticker_view(self._desk, self._desk.venue.markets[symbol])
        changed = {name: value for name, value in now.items() if before[name] != value}
        if changed:
            message = self._ticker_message(symbol, "delta", {"symbol": symbol, **changed})
            self._publish(f"tickers.{symbol}", message, symbol)

    def _ticker_message(self, symbol: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        now_ms = self._desk.venue.now_ms()
        return {"topic": f"tickers.{symbol}", "type": kind, "data": data, "cs": self._desk.books.seq, "ts": now_ms}

    def _price_limit(self, symbol: str) -> dict[str, Any]:
        view = price_limit_view(self._desk, self._desk.venue.markets[symbol])
        return {"topic": f"priceLimit.{symbol}", "ts": self._desk.venue.now_ms(), "data": view}

    def _publish(self, topic: str, message: dict[str, Any], symbol: str) -> None:
        """Tell a message; one that nobody listens to is none, so that faults strike what is told."""
        if any(topic in listener.topics for listener in self._hub.listeners):
            self._hub.publish(topic, _encoded(message), symbol)

    def _note_funding(self) -> None:
        for symbol, market in self._desk.venue.markets.items():
            before = self._funding_ns[symbol]
            if before and market.next_funding_ns != before:
                self._desk.settled.append(FundingSettled(symbol, market.funding_rate, before // 1_000_000))
            self._funding_ns[symbol] = market.next_funding_ns


def _encoded(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message)
