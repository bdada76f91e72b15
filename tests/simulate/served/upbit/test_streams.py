"""The public stream, read by our own connector: books and trades exactly as the venue has them, formats, mistakes, keep-alive."""

from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
from tests.simulate.served.upbit.bench import Bench, many, told, until

from interlock.simulate.floor import Levels
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.upbit.formats import written
from interlock.simulate.served.upbit.texts import MS, encode
from interlock.simulate.served.venue import MarketStep
from interlock.venues.feed import BookChange, Taken
from interlock.venues.upbit.public import Feed

BTC = {"type": "orderbook", "codes": ["KRW-BTC"]}


def feed(bench: Bench) -> Feed:
    return Feed(lambda symbol: bench.venue.markets[symbol].instrument)


@pytest.mark.parametrize("form", ["DEFAULT", "SIMPLE"])
def test_a_reader_of_the_stream_has_the_venues_book(bench: Bench, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    books: dict[int, tuple[Levels, Levels]] = {}
    publish = bench.face.on_market

    def noted(steps: Sequence[MarketStep]) -> None:
        books.update({step.venue_ns // MS: bench.venue.levels("KRW-BTC", 30) for step in steps if step.symbol == "KRW-BTC"})
        publish(steps)

    monkeypatch.setattr(bench.face, "on_market", noted)

    async def seen() -> list[BookChange]:
        reader = feed(bench)
        found: list[BookChange] = []
        wanted = [{**BTC, "is_only_realtime": True}, {"type": "trade", "codes": ["KRW-BTC"]}]
        socket = await bench.session.ws_connect(bench.public)
        await socket.send_json([{"ticket": "t"}, *wanted, {"format": form}])
        while len(found) < 8:
            taken = reader.take((await socket.receive(5)).data)
            assert isinstance(taken, Taken), taken
            found += [change for change in taken.events if isinstance(change, BookChange)]
        await socket.close()
        return found

    for change in bench.run(seen()):
        assert (list(change.bids), list(change.asks)) == books[change.exchange_ns // MS]


def test_trades_are_told_once_each_and_the_takers_side_is_right(bench: Bench) -> None:
    async def seen() -> list[Any]:
        socket = await bench.subscribed(bench.public, {"type": "trade", "codes": ["KRW-XRP"], "is_only_realtime": True})
        found = await many(socket, 6)
        await socket.close()
        return found

    messages = bench.run(seen())
    sides = {trade.venue_ns // 1_000_000 * 10_000 + trade.number % 10_000: trade for trade in bench.venue.markets["KRW-XRP"].trades}
    for message in messages:
        trade = sides[message["sequential_id"]]
        assert (message["ask_bid"], message["stream_type"]) == ("BID" if trade.side > 0 else "ASK", "REALTIME")
        assert message["trade_price"] == bench.venue.markets["KRW-XRP"].instrument.price(trade.ticks)
    assert len({message["sequential_id"] for message in messages}) == 6


def test_every_public_type_comes_in_every_format(bench: Bench) -> None:
    async def first(kind: str, form: str) -> Any:
        socket = await bench.session.ws_connect(bench.public)
        await socket.send_json([{"ticket": "t"}, {"type": kind, "codes": ["KRW-BTC"]}, {"format": form}])
        found = await told(socket)
        await socket.close()
        return found

    while not bench.venue.markets["KRW-BTC"].trades:
        bench.house.step()
    for kind in ("ticker", "trade", "orderbook", "candle.1s", "candle.240m"):
        plain, listed = bench.run(first(kind, "DEFAULT")), bench.run(first(kind, "JSON_LIST"))[0]
        short, short_listed = bench.run(first(kind, "SIMPLE")), bench.run(first(kind, "SIMPLE_LIST"))[0]
        assert (plain["type"], plain["code"], plain["stream_type"]) == (kind, "KRW-BTC", "SNAPSHOT")
        assert plain.keys() == listed.keys()
        assert (short["ty"], short["cd"], short["st"]) == (kind, "KRW-BTC", "SNAPSHOT")
        assert short.keys() == short_listed.keys()
        assert not set(short) & set(plain)
        assert len(short) == len(plain)


def test_tickers_and_candles_follow_the_trades(bench: Bench) -> None:
    async def seen() -> list[Any]:
        types = [{"type": kind, "codes": ["KRW-BTC"], "is_only_realtime": True} for kind in ("ticker", "candle.1m")]
        socket = await bench.subscribed(bench.public, *types)
        found = await many(socket, 6)
        await socket.close()
        return found

    messages = bench.run(seen())
    prices = {bench.venue.markets["KRW-BTC"].instrument.price(trade.ticks) for trade in bench.venue.markets["KRW-BTC"].trades}
    assert {message["type"] for message in messages} == {"ticker", "candle.1m"}
    assert {message["stream_type"] for message in messages} == {"REALTIME"}
    assert {message["trade_price"] for message in messages} <= prices


def test_a_request_replaces_what_was_asked_for_before(bench: Bench) -> None:
    async def seen() -> tuple[Any, set[str]]:
        socket = await bench.subscribed(bench.public, BTC)
        ether = {"type": "orderbook", "codes": ["KRW-ETH.5"], "is_only_realtime": True}
        await socket.send_json([{"ticket": "t"}, ether])
        await socket.send_json([{"ticket": "list"}, {"method": "LIST_SUBSCRIPTIONS"}])
        message = await told(socket)
        while "method" not in message:
            message = await told(socket)
        codes = {(await told(socket))["code"] for _ in range(3)}
        await socket.close()
        return message, codes

    listed, codes = bench.run(seen())
    assert listed == {
        "method": "LIST_SUBSCRIPTIONS",
        "result": [{"type": "orderbook", "codes": ["KRW-ETH.5"], "level": 0}],
        "ticket": "list",
    }
    assert codes == {"KRW-ETH"}


def test_a_snapshot_alone_has_the_units_and_the_level_asked_for(bench: Bench) -> None:
    async def seen() -> list[Any]:
        socket = await bench.subscribed(
            bench.public, {"type": "orderbook", "codes": ["KRW-BTC.5", "KRW-ETH.1"], "level": 10000, "is_only_snapshot": True}
        )
        with pytest.raises(TimeoutError):
            await socket.receive(0.4)
        early = bench.early
        silent = await bench.subscribed(bench.public, {"type": "orderbook", "codes": ["KRW-BTC"], "level": 7, "is_only_snapshot": True})
        assert bench.early == []
        await socket.close()
        await silent.close()
        return early

    found = bench.run(seen())
    assert [(m["code"], len(m["orderbook_units"]), m["level"]) for m in found] == [("KRW-BTC", 5, 10000), ("KRW-ETH", 1, 10000)]


@pytest.mark.parametrize(
    ("name", "request_text"),
    [
        ("WRONG_FORMAT", "nonsense"),
        ("WRONG_FORMAT", '{"ticket":"t"}'),
        ("WRONG_FORMAT", '[{"ticket":"t"},{"type":"ticker","codes":["KRW-BTC"]},{"format":"XML"}]'),
        ("NO_TICKET", '[{"type":"ticker","codes":["KRW-BTC"]}]'),
        ("NO_TYPE", '[{"ticket":"t"}]'),
        ("NO_CODES", '[{"ticket":"t"},{"type":"ticker"}]'),
        ("INVALID_PARAM", '[{"ticket":"t"},{"type":"ticker","codes":["KRW-NONE"]}]'),
        ("INVALID_PARAM", '[{"ticket":"t"},{"type":"ticker","codes":["krw-btc"]}]'),
        ("INVALID_PARAM", '[{"ticket":"t"},{"type":"ticker","codes":"KRW-BTC"}]'),
        ("INVALID_PARAM", '[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC.7"]}]'),
        ("INVALID_PARAM", '[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC"],"level":"x"}]'),
        ("INVALID_PARAM", '[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC"],"level":-1}]'),
        ("INVALID_PARAM", '[{"ticket":"t"},{"type":"myOrder"}]'),
        ("INVALID_PARAM", '[{"ticket":"\\ud800"},{"type":"ticker","codes":["\\ud800"]}]'),
        ("INVALID_PARAM", '[{"ticket":"t"},{"type":["ticker"]}]'),
    ],
)
def test_a_request_that_makes_no_sense_is_told_so(bench: Bench, name: str, request_text: str) -> None:
    async def answered() -> Any:
        socket = await bench.session.ws_connect(bench.public)
        await socket.send_str(request_text)
        error = await told(socket)
        await socket.send_json([{"ticket": "t"}, BTC])
        after = await told(socket)
        await socket.close()
        return error, after

    error, after = bench.run(answered())
    assert error["error"]["name"] == name
    assert after["type"] == "orderbook"


def test_ping_is_answered_and_a_silent_connection_ends(bench: Bench) -> None:
    def connections() -> int:
        return len(bench.face.parts.public.listeners)

    async def pass_s(seconds: int) -> None:
        bench.clock.ahead_ns += seconds * 1_000_000_000
        bench.house.step()

    async def seen() -> list[int]:
        talking, silent = await bench.session.ws_connect(bench.public), await bench.session.ws_connect(bench.public)
        before = connections()
        await talking.send_str("PING")
        assert await told(talking) == {"status": "UP"}
        await pass_s(11)
        assert await told(talking) == {"status": "UP"}
        await pass_s(100)
        listener = bench.face.parts.public.listeners[-1]
        heard_ms = listener.heard_ms
        await silent.ping()
        await until(lambda: listener.heard_ms != heard_ms)
        await pass_s(100)
        still = connections()
        await pass_s(30)
        assert (await silent.receive(5)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        await talking.close()
        return [before, still]

    before, still = bench.run(seen())
    assert before == still


def test_gaps_and_silence_are_seen_on_the_stream(bench: Bench) -> None:
    async def stamps(messages: int, *, strike: Fault | None = None, **spec: Any) -> list[int]:
        socket = await bench.subscribed(bench.public, {**BTC, "is_only_realtime": True})
        if strike is not None:
            bench.house.strike([FaultSpec(fault=strike, **spec)])
        found = [message["timestamp"] for message in await many(socket, messages)]
        await socket.close()
        return found

    honest = bench.run(stamps(4))
    doubled = bench.run(stamps(4, strike=Fault.DUPLICATE))
    late = bench.venue.now_ms()
    gap = bench.run(stamps(1, strike=Fault.GAP, symbol="KRW-BTC", count=4))
    assert len(set(honest)) == 4
    assert len(set(doubled)) == 3
    assert gap[0] - late > 350


def test_a_message_without_a_table_keeps_its_names() -> None:
    assert written({"type": "announcement", "body": []}, "SIMPLE") == encode({"type": "announcement", "body": []})
