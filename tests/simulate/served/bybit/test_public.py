"""The market for everyone: REST, and streams that a client rebuilds the venue's books from."""

import itertools
from decimal import Decimal
from typing import Any

import pytest
from tests.simulate.served.bybit.wire import Bench, Socket

MARKET = "/v5/market"


class Follower:
    """A client that follows the documented rules: a snapshot replaces, a difference overwrites, size 0 deletes, a gap is a gap."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}
        self.update = self.seq = 0
        self.gaps = self.repeats = self.snapshots = 0

    def take(self, message: dict[str, Any]) -> None:
        data = message["data"]
        if message["type"] == "snapshot":
            self.sides = {"b": {}, "a": {}}
            self.snapshots += 1
        elif data["u"] <= self.update:
            self.repeats += 1
            return
        elif data["u"] != self.update + 1:
            self.gaps += 1
        self.update, self.seq = data["u"], data["seq"]
        for name, side in self.sides.items():
            for price, size in data[name]:
                if Decimal(size):
                    side[Decimal(price)] = Decimal(size)
                elif self.gaps:
                    side.pop(Decimal(price), None)
                else:
                    del side[Decimal(price)]

    def levels(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        return sorted(self.sides["b"].items(), reverse=True), sorted(self.sides["a"].items())


def true_levels(bench: Bench, depth: int, symbol: str = "BTCUSDT") -> tuple[list[tuple[Decimal, Decimal]], ...]:
    instrument = bench.face.venue.markets[symbol].instrument
    sides = bench.face.venue.levels(symbol, depth)
    return tuple([(instrument.price(ticks), instrument.quantity(lots)) for ticks, lots in side] for side in sides)


def followed(stream: Socket, follower: Follower) -> Follower:
    for message in stream.waiting():
        follower.take(message)
    return follower


@pytest.mark.parametrize("depth", [1, 50, 200, 1000])
def test_a_book_that_is_followed_is_the_venues(bench: Bench, depth: int) -> None:
    stream, follower = bench.market(f"orderbook.{depth}.BTCUSDT"), Follower()
    assert followed(stream, follower).snapshots == 1
    for _ in range(30):
        bench.step()
        before = follower.update
        # The deepest book is told every other step; what is told is what there is then.
        if followed(stream, follower).update != before or depth < 1000:
            assert follower.levels() == true_levels(bench, depth)
    assert follower.gaps == follower.repeats == 0
    assert (follower.snapshots > 1) is (depth == 1)


def test_a_later_client_joins_where_the_stream_is(bench: Bench) -> None:
    first, one = bench.market("orderbook.50.BTCUSDT"), Follower()
    bench.step(3)
    second, other = bench.market("orderbook.50.BTCUSDT"), Follower()
    bench.step(3)
    followed(first, one)
    followed(second, other)
    assert one.levels() == other.levels() == true_levels(bench, 50)
    assert (one.update, one.gaps, other.gaps) == (other.update, 0, 0)


def test_the_book_of_rest_is_that_of_the_deepest_stream(bench: Bench) -> None:
    stream, follower = bench.market("orderbook.1000.BTCUSDT"), Follower()
    bench.step(5)
    followed(stream, follower)
    book = bench.public(f"{MARKET}/orderbook", "category=linear&symbol=BTCUSDT&limit=1000").result
    assert book["u"] == follower.update
    assert [(Decimal(p), Decimal(q)) for p, q in book["b"]] == follower.levels()[0]
    assert len(bench.public(f"{MARKET}/orderbook", "category=linear&symbol=BTCUSDT").result["a"]) == 25
    assert bench.public(f"{MARKET}/orderbook", "category=linear&symbol=BTCUSDT&limit=1001").code == 10001
    assert bench.public(f"{MARKET}/orderbook", "category=spot&symbol=BTCUSDT").code == 10001


def test_a_message_that_is_left_out_is_seen_as_a_gap_and_mended_by_a_new_snapshot(bench: Bench) -> None:
    topic = "orderbook.50.BTCUSDT"
    stream, follower = bench.market(topic), Follower()
    bench.step(2)
    assert followed(stream, follower).gaps == 0
    bench.strike(fault="gap", symbol="BTCUSDT", count=1)
    bench.step(2)
    assert followed(stream, follower).gaps == 1
    assert stream.ask({"op": "unsubscribe", "args": [topic]})["success"]
    assert stream.ask({"op": "subscribe", "args": [topic]})["success"]
    assert followed(stream, follower).levels() == true_levels(bench, 50)


def test_a_message_can_come_twice_and_out_of_turn(bench: Bench) -> None:
    stream, follower = bench.market("orderbook.50.BTCUSDT"), Follower()
    bench.strike(fault="duplicate", count=1)
    bench.step(2)
    assert followed(stream, follower).repeats == 1
    assert follower.levels() == true_levels(bench, 50)
    bench.strike(fault="reorder", count=1)
    bench.step(2)
    updates = [message["data"]["u"] for message in stream.waiting()]
    assert updates == sorted(updates, reverse=True)
    assert len(updates) == 2


def test_a_book_can_stand_still_while_the_market_goes_on(bench: Bench) -> None:
    stream = bench.market("orderbook.50.BTCUSDT", "orderbook.50.ETHUSDT")
    stream.waiting()
    bench.strike(fault="stale_book", symbol="BTCUSDT", ms=1_000)
    bench.step(5)
    assert {message["data"]["s"] for message in stream.waiting()} == {"ETHUSDT"}
    bench.advance(1)
    bench.step(1)
    assert {message["data"]["s"] for message in stream.waiting()} == {"BTCUSDT", "ETHUSDT"}


def test_the_best_levels_are_told_again_when_nothing_changes(bench: Bench) -> None:
    stream = bench.market("orderbook.1.BTCUSDT")
    first = stream.next()
    bench.advance(3)
    (_, again) = bench.face.desk.books.due([], even=True)[0]
    assert (again["type"], again["data"]) == ("snapshot", first["data"])
    bench.advance(1)
    assert bench.face.desk.books.due([], even=True) == []


def test_after_a_closure_the_books_begin_anew(bench: Bench) -> None:
    stream, status = bench.market("orderbook.50.BTCUSDT"), bench.socket("/v5/public/misc/status", public=True)
    assert status.ask({"op": "subscribe", "args": ["system.status"]})["success"]
    stream.waiting()
    bench.strike(fault="maintenance", verb="place", ms=5_000)
    bench.post("/v5/order/create", bench.order())
    bench.step()
    assert status.next()["data"][0]["state"] == "ongoing"
    assert bench.public("/v5/system/status").rows[0]["state"] == "ongoing"
    bench.advance(5)
    bench.step()
    assert status.next()["data"][0]["state"] == "completed"
    assert bench.public("/v5/system/status").rows == []
    last = stream.waiting()[-1]
    assert (last["type"], last["data"]["u"]) == ("snapshot", 1)
    follower = Follower()
    follower.take(last)
    bench.step(2)
    assert followed(stream, follower).levels() == true_levels(bench, 50)
    assert follower.gaps == 0


def test_trades_and_tickers_are_told(bench: Bench) -> None:
    stream = bench.market("publicTrade.BTCUSDT", "tickers.BTCUSDT", "priceLimit.BTCUSDT")
    merged = stream.upto("tickers.BTCUSDT")["data"]
    trades = []
    bench.step(60)
    for message in stream.waiting():
        if message["topic"] == "publicTrade.BTCUSDT":
            trades += message["data"]
        elif message["topic"] == "tickers.BTCUSDT":
            assert message["type"] == "delta"
            changed = {name: value for name, value in message["data"].items() if merged[name] != value}
            assert changed == {name: value for name, value in message["data"].items() if name != "symbol"}
            merged |= message["data"]
        else:
            assert Decimal(message["data"]["sellLmt"]) < Decimal(merged["markPrice"]) < Decimal(message["data"]["buyLmt"])
    listed = bench.public(f"{MARKET}/recent-trade", f"category=linear&symbol=BTCUSDT&limit={len(trades)}").rows
    assert [row["execId"] for row in listed] == [trade["i"] for trade in reversed(trades)]
    assert [(row["price"], row["size"], row["side"]) for row in reversed(listed)] == [(t["p"], t["v"], t["S"]) for t in trades]
    for earlier, later in itertools.pairwise(trades):
        rises = Decimal(later["p"]) - Decimal(earlier["p"])
        expected = {"PlusTick"} if rises > 0 else {"MinusTick"} if rises < 0 else {"ZeroPlusTick", "ZeroMinusTick"}
        assert later["L"] in expected
    ticker = bench.public(f"{MARKET}/tickers", "category=linear&symbol=BTCUSDT").rows[0]
    assert {name: ticker[name] for name in ticker if name in merged} == {name: merged[name] for name in ticker if name in merged}
    assert len(bench.public(f"{MARKET}/tickers", "category=linear").rows) == len(bench.face.venue.markets)
    assert len(bench.public(f"{MARKET}/tickers", "category=linear&baseCoin=ETH").rows) == 1


def test_instruments_are_listed_with_their_filters(bench: Bench) -> None:
    path = f"{MARKET}/instruments-info"
    (row,) = bench.public(path, "category=linear&symbol=BTCUSDT").rows
    assert row["priceFilter"] == {"minPrice": "0.1", "maxPrice": "1999999.8", "tickSize": "0.1"}
    assert (row["lotSizeFilter"]["qtyStep"], row["lotSizeFilter"]["minNotionalValue"]) == ("0.001", "5")
    assert (row["fundingInterval"], row["settleCoin"], row["status"], row["priceScale"]) == (480, "USDT", "Trading", "1")
    found, cursor = [], ""
    for _ in range(3):
        answer = bench.public(path, f"category=linear&limit=2{'&cursor=' + cursor if cursor else ''}")
        found += [entry["symbol"] for entry in answer.rows]
        cursor = answer.result["nextPageCursor"]
    assert (found, cursor) == (list(bench.face.venue.markets), "")
    assert all(bench.public(path, f"category={category}").rows == [] for category in ("spot", "inverse", "option"))
    assert "nextPageCursor" not in bench.public(path, "category=spot").result
    assert bench.public(path, "category=linear&symbol=NO").code == 10001
    bench.strike(fault="halt", symbol="ADAUSDT", ms=60_000)
    assert "ADAUSDT" not in [entry["symbol"] for entry in bench.public(path, "category=linear").rows]
    assert [entry["status"] for entry in bench.public(path, "category=linear&symbol=ADAUSDT").rows] == ["Closed"]
    assert [entry["symbol"] for entry in bench.public(path, "category=linear&status=Closed").rows] == ["ADAUSDT"]
    bench.strike(fault="halt", symbol="ADAUSDT", ms=0)


def test_the_rest_of_the_market_is_answered_truly(bench: Bench) -> None:
    now = bench.public(f"{MARKET}/time").result
    assert now == {"timeSecond": str(bench.clock.now_ns() // 10**9), "timeNano": str(bench.clock.now_ns())}
    one = "category=linear&symbol=BTCUSDT"
    limits = bench.public(f"{MARKET}/price-limit", one).result
    assert bench.post("/v5/order/create", bench.order(side="Buy", price=limits["buyLmt"], qty="0.001")).code == 0
    assert bench.post("/v5/order/create", bench.order(side="Sell", price=limits["sellLmt"], qty="0.001")).code == 0
    tiers = bench.public(f"{MARKET}/risk-limit", one).rows
    assert [row["isLowestRisk"] for row in tiers] == [1] + [0] * (len(tiers) - 1)
    assert bench.public(f"{MARKET}/kline", f"{one}&interval=1").rows == []
    assert bench.public(f"{MARKET}/kline", one).code == 10001
    assert bench.public(f"{MARKET}/open-interest", f"{one}&intervalTime=5min").rows == []
    assert bench.public("/v5/order/realtime").status == 404


def test_a_settlement_of_funding_is_remembered(bench: Bench) -> None:
    path, one = f"{MARKET}/funding/history", "category=linear&symbol=BTCUSDT"
    assert bench.public(path, one).rows == []
    bench.step()
    due_ms = bench.face.venue.markets["BTCUSDT"].next_funding_ns // 1_000_000
    bench.advance(8 * 3600)
    bench.step(2)
    assert [row["fundingRateTimestamp"] for row in bench.public(path, one).rows] == [str(due_ms)]
    assert bench.public(path, f"{one}&startTime=0&endTime={due_ms - 1}").rows == []
    assert bench.public(path, f"{one}&startTime=0").code == 10001


@pytest.mark.parametrize(
    ("category", "args", "words"),
    [
        ("linear", [], "args is required"),
        ("linear", ["orderbook.500.BTCUSDT"], "handler not found,topic:orderbook.500.BTCUSDT"),
        ("linear", ["orderbook.50.NOUSDT"], "handler not found"),
        ("linear", ["tickers.BTCUSDT", "nothing"], "topic:nothing"),
        ("linear", ["tickers.x.BTCUSDT"], "handler not found"),
        ("linear", ["tickers.BTCUSDT" + "," * 21_000], "exceed"),
        ("spot", ["tickers.BTCUSDT"], "handler not found"),
        ("spot", [f"tickers.{n}" for n in range(11)], "args size >10"),
        ("misc/status", ["tickers.BTCUSDT"], "handler not found"),
    ],
)
def test_what_cannot_be_subscribed_is_refused_whole(bench: Bench, category: str, args: list[str], words: str) -> None:
    stream = bench.socket(f"/v5/public/{category}", public=True)
    reply = stream.ask({"op": "subscribe", "req_id": "7", "args": args})
    assert (reply["success"], reply["req_id"], reply["op"]) == (False, "7", "subscribe")
    assert words in reply["ret_msg"]
    bench.step(2)
    assert stream.waiting() == []


def test_a_public_socket_answers_what_it_is_asked(bench: Bench) -> None:
    stream = bench.market("kline.1.BTCUSDT", "allLiquidation.BTCUSDT")
    pong = stream.ask({"op": "ping", "req_id": "100001"})
    assert (pong["success"], pong["ret_msg"], pong["req_id"], pong["op"]) == (True, "pong", "100001", "ping")
    assert "already subscribed" in stream.ask({"op": "subscribe", "args": ["kline.1.BTCUSDT"]})["ret_msg"]
    for wrong in ({"op": "auth"}, {}):
        assert stream.ask(wrong)["success"] is False
    bench.run(stream.socket.send_str("no JSON"))
    assert stream.next()["success"] is False
