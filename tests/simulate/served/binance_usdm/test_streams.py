"""The streams: a book that is rebuilt by the documented rule, subscriptions and their errors, and every private event."""

import contextlib
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from tests.simulate.served.binance_usdm.bench import Bench, eventually

from interlock.domain.errors import UsageError
from interlock.simulate.served.faults import Fault
from interlock.simulate.served.venue import SimVenue

NAME = "btcusdt@depth@100ms"


class Book:
    """A client's book, kept by the documented rule."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.last = snapshot["lastUpdateId"]
        self.sides = {side: {Decimal(p): Decimal(q) for p, q in snapshot[name]} for side, name in (("b", "bids"), ("a", "asks"))}
        self.begun = False

    def take(self, event: dict[str, Any]) -> bool:
        """False where the chain is broken."""
        if event["u"] < self.last:
            return True
        if not (event["pu"] == self.last if self.begun else event["U"] <= self.last or event["pu"] <= self.last):
            return False
        self.begun, self.last = True, event["u"]
        for side, levels in self.sides.items():
            for price, size in event[side]:
                if Decimal(size):
                    levels[Decimal(price)] = Decimal(size)
                else:
                    levels.pop(Decimal(price), None)
        return True


def _truth(venue: SimVenue, symbol: str) -> tuple[int, list[dict[Decimal, Decimal]]]:
    instrument = venue.markets[symbol].instrument
    return venue.markets[symbol].last_id, [
        {instrument.price(ticks): instrument.quantity(lots) for ticks, lots in side} for side in venue.levels(symbol, 1000)
    ]


def test_a_client_rebuilds_exactly_the_venues_book(bench: Bench) -> None:
    with bench.socket(f"/public/ws/{NAME}", "public") as socket:
        buffered = [socket.hear() for _ in range(2)]
        book = Book(bench.read("/fapi/v1/depth", symbol="BTCUSDT", limit=1000).body)
        for event in buffered:
            assert book.take(event)
        for _ in range(5):
            event = socket.hear()
            assert book.take(event)
            assert event["U"] > event["pu"] + 1
        number, (bids, asks) = bench.inside(lambda: _truth(bench.face.venue, "BTCUSDT"))
        while book.last < 3 * number:
            assert book.take(socket.hear())
    assert book.last == 3 * number
    assert (book.sides["b"], book.sides["a"]) == (bids, asks)


@pytest.mark.parametrize(("fault", "broken"), [(Fault.GAP, True), (Fault.DUPLICATE, True), (None, False)])
def test_what_is_missing_or_comes_twice_breaks_the_chain(bench: Bench, fault: Fault | None, broken: bool) -> None:
    with bench.socket(f"/public/ws/{NAME}", "public") as socket:
        book = Book(bench.read("/fapi/v1/depth", symbol="BTCUSDT", limit=1000).body)
        while not book.begun:
            assert book.take(socket.hear())
        if fault is not None:
            bench.strike(fault, symbol="BTCUSDT")
        events = [socket.hear() for _ in range(3)]
    ids = [event["u"] for event in events]
    assert (len(set(ids)) < 3) == (fault is Fault.DUPLICATE)
    assert all(book.take(event) for event in events) is not broken


SHAPES: list[tuple[str, str, set[str]]] = [
    ("public", "btcusdt@depth", {"e", "E", "T", "s", "ps", "st", "U", "u", "pu", "b", "a"}),
    ("public", "btcusdt@depth5@500ms", {"e", "E", "T", "s", "ps", "st", "U", "u", "pu", "b", "a"}),
    ("public", "!bookTicker", {"e", "u", "E", "T", "s", "b", "B", "a", "A", "st", "ps"}),
    ("market", "btcusdt@aggTrade", {"e", "E", "a", "s", "p", "q", "nq", "f", "l", "T", "m", "st"}),
    ("market", "btcusdt@trade", {"e", "E", "s", "st", "T", "t", "p", "q", "X", "m"}),
    ("market", "btcusdt@markPrice@1s", {"e", "E", "s", "p", "ap", "i", "P", "r", "T", "st"}),
    ("market", "btcusdt@kline_1m", {"e", "E", "s", "k", "st"}),
    ("market", "btcusdt@miniTicker", {"e", "E", "s", "c", "o", "h", "l", "v", "q", "ps", "st"}),
]


def test_every_stream_has_its_documented_fields(bench: Bench) -> None:
    for base in ("public", "market"):
        shapes = {name: fields for at, name, fields in SHAPES if at == base}
        with bench.socket(f"/{base}/stream?streams={'/'.join(shapes)}", "public") as socket:
            while shapes:
                message = socket.hear()
                fields = shapes.pop(message["stream"], None)
                assert fields is None or set(message["data"]) == fields, message


def test_the_wrong_base_acknowledges_and_stays_silent(bench: Bench) -> None:
    with bench.socket("/market/ws", "public") as socket:
        socket.say({"method": "SUBSCRIBE", "params": [NAME], "id": 1})
        assert socket.hear() == {"result": None, "id": 1}
        assert socket.quiet()
    with bench.socket("/public/ws", "public") as socket:
        socket.say({"method": "SUBSCRIBE", "params": [NAME], "id": 1})
        assert socket.hear() == {"result": None, "id": 1}
        assert socket.hear()["e"] == "depthUpdate"
        socket.say({"method": "UNSUBSCRIBE", "params": [NAME], "id": 2})
        socket.until(lambda found: found.get("id") == 2)
        socket.say({"method": "LIST_SUBSCRIPTIONS", "id": 3})
        assert socket.hear() == {"result": [], "id": 3}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("{", 3),
        ("[]", 2),
        ('{"method":"SHOUT","params":[],"id":1}', 2),
        ('{"method":"SUBSCRIBE","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["a"],"id":true}', 2),
    ],
)
def test_what_is_no_request_is_told_so(bench: Bench, said: str, code: int) -> None:
    with bench.socket("/public/ws", "public") as socket:
        socket.say(said)
        assert socket.hear()["error"]["code"] == code


def test_streams_of_a_connection_are_bounded(bench: Bench) -> None:
    with bench.socket("/public/ws", "public") as socket:
        for number, (count, taken) in enumerate(((1024, True), (1025, False))):
            socket.say({"method": "SUBSCRIBE", "params": [f"s{n}@aggTrade" for n in range(count)], "id": number})
            assert ("result" in socket.hear()) is taken


def test_who_talks_too_much_is_cut_off(bench: Bench) -> None:
    with bench.socket("/market/ws", "public") as socket:
        # It may be cut off before everything was said.
        with contextlib.suppress(ConnectionError):
            for number in range(25):
                socket.say({"method": "LIST_SUBSCRIPTIONS", "id": number})
        answers = []
        while (message := socket.hear()) is not None:
            answers.append(message)
    # The limit is of a second of the clock: of two of them at most, if one ended meanwhile.
    assert 10 <= len(answers) <= 20


def test_a_connection_is_pinged_and_ends_without_an_answer_or_after_a_day(bench: Bench) -> None:
    for pause_s, kind in ((181, aiohttp.WSMsgType.PING), (601, aiohttp.WSMsgType.CLOSE), (86_401, aiohttp.WSMsgType.CLOSE)):
        with bench.socket("/market/ws", "public") as socket:
            bench.clock.ahead_ns += pause_s * 1_000_000_000
            assert bench.run(socket.socket.receive(timeout=10)).type is kind


# the private stream


def test_an_orders_whole_life_is_told_in_order(bench: Bench) -> None:
    with bench.user() as user:
        bench.place(newClientOrderId="life", quantity="0.020")
        bench.strike(Fault.FILL, client_id="life", amount="0.005")
        bench.cancel("life")
        found = user.until(lambda e: e["e"] == "ORDER_TRADE_UPDATE" and e["o"]["x"] == "CANCELED")
    kinds = [e["e"] for e in found]
    assert kinds == ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE"]
    new, lite, account, trade, over = found
    assert "n" not in new["o"]
    assert (trade["o"]["X"], trade["o"]["l"], trade["o"]["N"], trade["o"]["m"]) == ("PARTIALLY_FILLED", "0.005", "USDT", True)
    assert lite["t"] == trade["o"]["t"] == bench.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT").body[-1]["id"]
    assert (over["o"]["X"], over["o"]["z"]) == ("CANCELED", "0.005")
    assert account["a"]["m"] == "ORDER"
    assert account["a"]["P"][0]["pa"] == bench.call("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT").body[0]["positionAmt"]
    wallet = {row["asset"]: row["balance"] for row in bench.call("GET", "/fapi/v3/balance").body}
    assert account["a"]["B"] == [{"a": "USDT", "wb": wallet["USDT"], "cw": wallet["USDT"], "bc": "0"}]
    assert bench.truths[-1]["is"]["trade_id"] == str(lite["t"])


def test_money_that_moves_is_told_with_its_reason(bench: Bench) -> None:
    with bench.user(events="ACCOUNT_UPDATE") as user:
        bench.strike(Fault.DEPOSIT, amount="5", currency="USDT")
        told = user.hear()["a"]
        assert (told["m"], told["B"][0]["bc"], told["P"]) == ("DEPOSIT", "5", [])
        bench.market("BUY")
        bench.strike(Fault.FUNDING, symbol="BTCUSDT", rate="0.0001")
        # The order may have been filled in several parts, each of which is told.
        assert {e["a"]["m"] for e in user.until(lambda e: e["a"]["m"] == "FUNDING_FEE")[:-1]} == {"ORDER"}
        bench.strike(Fault.REVERSE_FILL)
        # The market's own funding may fall due in between.
        assert {e["a"]["m"] for e in user.until(lambda e: e["a"]["m"] == "ADJUSTMENT")[:-1]} <= {"FUNDING_FEE"}
    kinds = [row["incomeType"] for row in bench.call("GET", "/fapi/v1/income").body]
    assert "FUNDING_FEE" in kinds
    assert "TRANSFER" in kinds


def test_a_liquidation_comes_as_the_venues_own_order(bench: Bench) -> None:
    bench.market("BUY")
    with bench.user(events="ORDER_TRADE_UPDATE") as user, bench.socket("/market/ws/!forceOrder@arr", "public") as public:
        bench.strike(Fault.LIQUIDATION, symbol="BTCUSDT")
        told = user.until(lambda e: e["o"]["X"] == "FILLED")[-1]["o"]
        assert public.hear()["o"]["S"] == "SELL"
    assert (told["x"], told["c"].startswith("autoclose-"), told["R"], told["f"]) == ("CALCULATED", True, True, "IOC")
    assert bench.call("GET", "/fapi/v1/forceOrders").body[-1]["clientOrderId"] == told["c"]


def test_what_the_venue_takes_to_cover_others_comes_as_its_own_order(bench: Bench) -> None:
    assert not bench.strike(Fault.ADL, symbol="BTCUSDT")[0]
    bench.market("BUY", "0.010")
    bench.place(newClientOrderId="rests")
    income = "/fapi/v1/income"
    before = len(bench.call("GET", income, incomeType="REALIZED_PNL").body)
    forced = len(bench.call("GET", "/fapi/v1/forceOrders", autoCloseType="ADL").body)
    with bench.user(events="ORDER_TRADE_UPDATE/ACCOUNT_UPDATE") as user:
        assert bench.strike(Fault.ADL, symbol="BTCUSDT", amount="0.004")[0]
        first, account, second = (user.hear() for _ in range(3))
    assert (first["o"]["c"], first["o"]["x"], first["o"]["X"]) == ("adl_autoclose", "NEW", "NEW")
    assert (account["a"]["m"], account["a"]["P"][0]["pa"]) == ("ORDER", "0.006")
    told = second["o"]
    assert (told["c"], told["x"], told["X"], told["S"], told["l"], told["R"]) == (
        "adl_autoclose",
        "CALCULATED",
        "FILLED",
        "SELL",
        "0.004",
        True,
    )
    told_as_forced = [row["clientOrderId"] for row in bench.call("GET", "/fapi/v1/forceOrders", autoCloseType="ADL").body]
    assert told_as_forced == ["adl_autoclose"] * (forced + 1)
    assert bench.call("GET", "/fapi/v1/forceOrders", autoCloseType="NONE").code == -1130
    # A price that has not moved since earns nothing, and nothing is no income.
    earned = int(Decimal(told["rp"]) != 0)
    assert len(bench.call("GET", income, incomeType="REALIZED_PNL").body) == before + earned
    assert bench.order("rests").body["status"] == "NEW"
    with pytest.raises(UsageError, match="at least one lot"):
        bench.strike(Fault.ADL, symbol="BTCUSDT", amount="0.0001")
    assert bench.strike(Fault.ADL, symbol="BTCUSDT")[0]
    assert [row["positionAmt"] for row in bench.call("GET", "/fapi/v3/positionRisk").body] == ["0.000"]


def test_an_event_can_be_left_out(bench: Bench) -> None:
    with bench.user(events="ORDER_TRADE_UPDATE") as user:
        bench.strike(Fault.GAP, private=True, symbol="ETHUSDT")
        bench.strike(Fault.GAP, private=True, symbol="BTCUSDT")
        bench.place(newClientOrderId="left-out")
        bench.place(newClientOrderId="told")
        assert user.hear()["o"]["c"] == "told"
    assert bench.order("left-out").body["status"] == "NEW"


SHUTDOWN = {"e": "serverShutdown"}


@pytest.mark.parametrize(
    ("path", "door", "form"),
    [
        ("/market/ws/!forceOrder@arr", "public", SHUTDOWN),
        ("/market/stream?streams=!forceOrder@arr", "public", {"stream": "!serverShutdown", "data": SHUTDOWN}),
        ("/ws-fapi/v1", "orders", {"event": SHUTDOWN}),
    ],
)
def test_a_server_that_goes_down_says_so_and_ends_every_connection(bench: Bench, path: str, door: str, form: dict[str, Any]) -> None:
    with bench.user() as user, bench.socket(path, door) as socket:
        # Answered, so that it is open before the server goes down.
        socket.say({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        socket.hear()
        bench.strike(Fault.SERVER_SHUTDOWN, ms=60_000)
        said = socket.hear()
        said.get("data", said.get("event", said)).pop("E")
        assert said == form
        assert user.hear()["e"] == "serverShutdown"
        bench.place(newClientOrderId="before")
        assert user.hear()["o"]["c"] == "before"
        bench.clock.ahead_ns += 61_000_000_000
        assert socket.hear() is None
        assert user.hear() is None
    with bench.user() as user:
        bench.place(newClientOrderId="after")
        assert user.hear()["o"]["c"] == "after"


def test_nothing_of_before_is_told_on_connecting(bench: Bench) -> None:
    bench.place()
    with bench.user() as user:
        assert user.quiet()
        bench.place(newClientOrderId="heard")
        assert user.hear()["o"]["c"] == "heard"


def test_a_listen_key_is_extended_closed_and_expires(bench: Bench) -> None:
    first = bench.listen_key().body["listenKey"]
    assert bench.listen_key().body["listenKey"] == first
    assert bench.listen_key("PUT").body == {"listenKey": first}
    with bench.user() as user:
        bench.clock.ahead_ns += 3_601_000_000_000
        message = user.hear()
        while message is None or "listenKey" not in message:
            message = user.hear()
        assert (message["e"], message["listenKey"]) == ("listenKeyExpired", first)
        bench.place()
        assert user.quiet()
    assert bench.listen_key("PUT").code == -1125
    assert bench.listen_key().body["listenKey"] != first
    assert bench.listen_key("DELETE").body == {}
    with bench.socket(f"/private/ws/{first}") as socket:
        bench.place()
        assert socket.quiet()


def test_wrapped_private_events_carry_the_listen_key(bench: Bench) -> None:
    name = bench.listen_key().body["listenKey"]
    with bench.socket("/private/stream") as socket:
        socket.say({"method": "SUBSCRIBE", "params": [name], "id": 1})
        assert socket.hear() == {"result": None, "id": 1}
        bench.place()
        message = socket.hear()
        assert (message["stream"], message["data"]["e"]) == (name, "ORDER_TRADE_UPDATE")


def test_little_margin_is_called_for(bench: Bench) -> None:
    bench.market("BUY", "1.000")
    wallet = next(row["balance"] for row in bench.call("GET", "/fapi/v3/balance").body if row["asset"] == "USDT")
    taken = str(int(float(wallet)) - 200)
    with bench.user(events="MARGIN_CALL") as user:
        bench.strike(Fault.DEPOSIT, amount=f"-{taken}", currency="USDT")
        assert user.hear()["p"][0]["s"] == "BTCUSDT"
    bench.strike(Fault.DEPOSIT, amount=taken, currency="USDT")


@pytest.mark.parametrize("fault", [Fault.SILENCE, None])
def test_silence_is_never_made_up_for(bench: Bench, fault: Fault | None) -> None:
    with bench.user(events="ORDER_TRADE_UPDATE") as user:
        if fault is not None:
            bench.strike(fault, ms=300)
        bench.place(newClientOrderId="during")
        assert eventually(lambda: bench.order("during").status == 200)
        if fault is not None:
            assert user.quiet(0.5)
        bench.cancel("during")
        assert user.hear()["o"]["x"] == ("NEW" if fault is None else "CANCELED")
