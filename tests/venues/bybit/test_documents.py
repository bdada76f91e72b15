"""Every documented example that we read: those of our notes and of a library's test data decode, or are refused by name."""

from __future__ import annotations

import ast
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.venues.bybit.talks import BTC, POSITION, clock, rows
from tests.venues.scripted import finish

from interlock.domain.instruments import Instrument, Status
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.venues.bybit import account, account_facts, history, rules, seen, socket_entry, trade
from interlock.venues.bybit.account import Account
from interlock.venues.bybit.account_stream import AccountStream
from interlock.venues.bybit.public import Feed
from interlock.venues.bybit.trade import Trade
from interlock.venues.feed import BookChange, Event, FundingNext, Mark, PriceLimits, Reject, Taken
from interlock.venues.feed import Trade as Traded
from interlock.venues.hot import among
from interlock.venues.port import (
    Accepted,
    Ask,
    BalanceSeen,
    FillSeen,
    Heard,
    LedgerSeen,
    Nonsense,
    OrderSeen,
    OrderWanted,
    Page,
    PositionSeen,
    Refused,
    Talk,
)
from interlock.venues.trouble import Doing, Explained


def fine(symbol: str) -> Instrument:
    return msgspec.structs.replace(BTC, symbol=symbol, quantum=Decimal("0.00001"), lot=Decimal("0.00001"))


INSTRUMENTS = {"BTCUSDT": BTC} | {symbol: fine(symbol) for symbol in ("ETHUSDT", "XRPUSDT", "ETHPERP")}
READS = Account(INSTRUMENTS)
FEED = AccountStream(INSTRUMENTS)
SOURCES = Path(__file__).parents[3] / "src" / "interlock" / "venues" / "bybit"
TRADE = Trade(INSTRUMENTS)


def read_once(talk: Talk[Any], answer: bytes) -> Any:
    """What comes of a talk that hears the clock when it asks for it, the answer once, and then an end of it."""
    pending = [answer]

    def answers(ask: Ask) -> Heard:
        if ask.call.path == "/v5/market/time":
            return clock()
        return Heard(200, {}, pending.pop()) if pending else rows()

    return finish(talk, answers)


# Our notes


def note_examples() -> dict[str, Any]:
    note = Path(__file__).resolve().parents[3] / "../shared/venues/bybit_v5.md"
    if not note.is_file():
        pytest.skip(f"{note.name} is not beside the repository")
    part = note.read_text(encoding="utf-8").partition("## 10.")[2]
    return {number: json.loads(text) for number, text in re.findall(r"^(\d+) [^\n]*\n```json\n(.*?)\n```", part, re.DOTALL | re.MULTILINE)}


def test_the_examples_of_the_notes() -> None:
    examples = {number: json.dumps(example).encode() for number, example in note_examples().items()}
    assert set(examples) == {str(number) for number in range(1, 14)}
    (order,) = FEED.take(examples["5"]).events
    assert isinstance(order, OrderSeen)
    assert (order.state, order.lots, order.filled_lots, order.ticks) == (OrderState.PARTIAL, 100, 40, 300_005)
    (fill,) = FEED.take(examples["6"]).events
    assert isinstance(fill, FillSeen)
    assert (fill.ticks, fill.lots, fill.fee, fill.fee_currency, fill.client_id) == (959_001, 500, Decimal("26.3725275"), "USDT", "")
    (position,) = FEED.take(examples["7"]).events
    assert position == PositionSeen("ETHUSDT", -1000, Decimal("3641.075"))
    (balance,) = FEED.take(examples["8"]).events
    assert balance == BalanceSeen("USDT", Decimal("9647.75537647"), None)
    written = json.loads(examples["9"])["args"][0]
    assert written.items() <= (json.loads(TRADE.place(_order_of(written)).call.body) | {"qty": "0.2"}).items()
    answer = socket_entry.take(examples["10"]).heard
    assert answer is not None
    assert TRADE.answered(answer, Doing.PLACE) == Accepted("arb-0002", "a4c1718e-fe53-4659-a118-1f6ecce04ad9", OrderState.ACKED)
    yes, gone = TRADE.batch_answered(Heard(200, {}, examples["11"]), Doing.CANCEL, 2)
    assert isinstance(yes, Accepted)
    assert isinstance(gone, Explained)
    post_only = read_once(READS.order("BTCUSDT", "YLxaWKMiHU"), examples["12"])
    assert (post_only.state, post_only.end) == (OrderState.REJECTED, "post_only")
    key = read_once(READS.key("XXXXXXXX"), examples["13"])
    assert (key.account, key.trade, key.withdraw, key.transfer, key.address_bound, key.expires_ms) == (
        "1448939",
        True,
        False,
        False,
        True,
        0,
    )


def _order_of(body: dict[str, str]) -> OrderWanted:
    instrument = INSTRUMENTS[body["symbol"]]
    return OrderWanted(
        instrument=instrument,
        client_id=body["orderLinkId"],
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.POST_ONLY,
        ticks=instrument.ticks(Decimal(body["price"])),
        lots=instrument.lots(Decimal(body["qty"])),
    )


# A library's test data


def fixtures(data_dir: Path) -> Iterator[tuple[str, str]]:
    archive = data_dir / "fixtures" / "jkorf_bybit_v5.tar.gz"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not among the recorded data")
    with tarfile.open(archive) as packed:
        for member in packed:
            found = packed.extractfile(member)
            if found is not None:
                yield member.name.partition("/")[2], found.read().decode(errors="replace")


def bodies(text: str) -> list[bytes]:
    """The JSON values of a script, whatever stands between them."""
    decode = json.JSONDecoder().raw_decode
    found, at = [], text.find("{")
    while at >= 0:
        value, end = decode(text, at)
        found.append(json.dumps(value).encode())
        at = text.find("{", end)
    return found


def rest(name: str, category: str = "Trading") -> str:
    return f"Endpoints/V5Api/{category}/{name}.txt"


def cancel(body: bytes) -> Any:
    return TRADE.answered(Heard(200, {}, body), Doing.CANCEL)


def place(body: bytes) -> Any:
    return TRADE.answered(Heard(200, {}, body), Doing.PLACE)


def batch(body: bytes) -> Any:
    return TRADE.batch_answered(Heard(200, {}, body), Doing.CANCEL, 2)


OURS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bool]]] = {
    rest("CancelAllOrder"): (cancel, lambda found: isinstance(found, Accepted)),
    rest("CancelOrder"): (cancel, lambda found: found.client_id == "linear-004"),
    rest("EditOrder"): (place, lambda found: found.client_id == "linear-004"),
    rest("PlaceOrder"): (place, lambda found: found.client_id == "spot-test-postonly"),
    rest("SetDisconnectCancelAll"): (cancel, lambda found: isinstance(found, Accepted)),
    rest("CancelMultipleOrders"): (batch, lambda found: [type(each) for each in found] == [Accepted, Explained]),
    rest("PlaceMultipleOrders"): (batch, lambda found: [type(each) for each in found] == [Accepted, Accepted]),
    rest("GetOrders"): (lambda body: read_once(READS.open_orders(), body), lambda found: found.found[0].client_id == "test-000005"),
    rest("GetOrderHistory"): (lambda body: read_once(READS.ended_orders(0), body), lambda found: found.found[0].end == "post_only"),
    rest("GetUserTrades"): (lambda body: read_once(READS.fills(""), body), lambda found: found.found[0].fee == Decimal("0.071409")),
    rest("GetPositions"): (lambda body: read_once(READS.positions(), body), lambda found: found[0].symbol == "BTCUSD"),
    rest("SetLeverage", "Account"): (cancel, lambda found: isinstance(found, Accepted)),
    rest("SwitchPositionMode", "Account"): (cancel, lambda found: isinstance(found, Accepted)),
    rest("SetMarginMode", "Account"): (cancel, lambda found: found.code == "3400045"),
    rest("GetApiKeyInfo", "Account"): (
        lambda body: read_once(READS.key("x"), body),
        lambda found: found.transfer and not found.address_bound,
    ),
    rest("GetBalances", "Account"): (
        lambda body: read_once(READS.balances(), body),
        lambda found: found == (BalanceSeen("BTC", Decimal(0), None),),
    ),
    rest("GetFeeRate", "Account"): (lambda body: read_once(READS.fees("ETHUSDT"), body), lambda found: found.taker == Decimal("0.0006")),
    rest("GetTransactionHistory", "Account"): (lambda body: history_of(body), lambda found: found == [None, None, None]),
    rest("GetLinearInverseSymbols", "ExchangeData"): (
        lambda body: read_once(READS.listings(), body),
        lambda found: [each.symbol for each in found] == ["BTCUSDT"],
    ),
    rest("GetLinearInverseSymbolsPreListing", "ExchangeData"): (
        lambda body: read_once(READS.listings(), body),
        lambda found: found[0].status == "halted",
    ),
    rest("GetOrderPriceLimit", "ExchangeData"): (
        lambda body: read_once(READS.price_limit("BTCUSDT"), body),
        lambda found: found.highest_bid_ticks == 1_058_781,
    ),
    "Subscriptions/V5/Private/Balance.txt": (FEED.take, lambda told: told.events[0].currency == "BTC"),
    "Subscriptions/V5/Private/Order.txt": (FEED.take, lambda told: told.events[0].symbol == "option:ETH-30DEC22-1400-C"),
    "Subscriptions/V5/Private/UserTrades.txt": (FEED.take, lambda told: told.events[0].fee_currency == "USDT"),
}
"""How each is read, and what must come of it."""


def history_of(body: bytes) -> list[LedgerSeen | None]:
    return [history.log_seen(json.dumps(row).encode()) for row in json.loads(body)["result"]["list"]]


@pytest.mark.data("fixtures")
def test_every_fixture_of_what_we_read_decodes(data_dir: Path) -> None:
    met = set()
    for name, text in fixtures(data_dir):
        if name in OURS:
            met.add(name)
            read, right = OURS[name]
            assert right(read(bodies(text)[-1])), name
    assert met == OURS.keys()


ONE = Account({"BTCUSDT": BTC})
REFUSED: dict[str, tuple[Callable[[bytes], Any], str]] = {
    rest("GetLinearInverseTickers", "ExchangeData"): (lambda body: read_once(ONE.top("BTCUSDT"), body), "expected BTCUSDT, found BTCUSD$"),
    rest("GetOptionTickers", "ExchangeData"): (lambda body: read_once(ONE.top("BTCUSDT"), body), "found BTC-30DEC22-18000-C$"),
    rest("GetSpotTickers", "ExchangeData"): (lambda body: read_once(ONE.dollars("USDT"), body), "expected USDCUSDT, found BTCUSDT$"),
    rest("GetSpotSymbols", "ExchangeData"): (lambda body: read_once(ONE.listings(), body), "missing required field `qtyStep`"),
    rest("GetRiskLimit", "ExchangeData"): (lambda body: read_once(ONE.tiers(), body), "expected those of BTCUSDT, found none or others$"),
}
"""Those of other categories or symbols than were asked for, and why each is none of ours."""


@pytest.mark.data("fixtures")
@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_of_another_category_or_symbol_is_refused_by_name(data_dir: Path, name: str) -> None:
    read, refusal = REFUSED[name]
    with pytest.raises(Nonsense, match=refusal):
        read(bodies(dict(fixtures(data_dir))[name])[-1])


PUBLIC = {
    "Linear/Liquidations": ["subscribe answered", "ignored allLiquidation"],
    "Linear/Ticker": ["subscribe answered", "tickers snapshot"],
    "Linear/Trades": ["subscribe answered", "publicTrade"],
    "Option/Book": ["malformed: expected a topic or an op, found none", "orderbook snapshot"],
    "Option/Klines": ["malformed: expected a topic or an op, found none", "ignored kline"],
    "Option/Ticker": [
        "malformed: expected a topic or an op, found none",
        "malformed: expected the symbol of the topic (BTC), found BTC-6JAN23-17500-C",
    ],
    "Option/Trades": [
        "malformed: expected a topic or an op, found none",
        "malformed: expected the symbol of the topic (BTC), found BTCUSDT",
    ],
    "Spot/Concurrent": ["subscribe answered", "subscribe answered", "ignored kline", "ignored kline"],
    "Spot/PriceLimit": ["subscribe answered", "priceLimit"],
    "Spot/SystemStatus": ["subscribe answered", "ignored system"],
    "Spot/Ticker": ["subscribe answered", "tickers snapshot"],
    "Spot/Trades": ["subscribe answered", "publicTrade"],
}
"""What comes of each thing that the public streams say: what it is, or the reason for which it is refused. What we ask is linear alone."""


@pytest.mark.data("fixtures")
@pytest.mark.parametrize("name", PUBLIC)
def test_public_messages(data_dir: Path, name: str) -> None:
    feed = Feed(among([BTC]))
    frames = said_by_the_venue(dict(fixtures(data_dir))[f"Subscriptions/V5/{name}.txt"])
    assert [outcome(feed.take(frame)) for frame in frames] == PUBLIC[name]
    assert all(FEED.take(frame).events == () for frame in frames)


@pytest.mark.data("fixtures")
def test_what_the_public_fixtures_hold_is_what_the_feed_tells(data_dir: Path) -> None:
    feed, packed = Feed(among([BTC])), dict(fixtures(data_dir))
    told: list[Event] = []
    for name in ("Linear/Ticker", "Linear/Trades", "Option/Book", "Spot/PriceLimit"):
        taken = feed.take(said_by_the_venue(packed[f"Subscriptions/V5/{name}.txt"])[-1])
        assert isinstance(taken, Taken)
        told.extend(taken.events)
    found: dict[type, Any] = {type(event): event for event in told}
    trade, book, limits = found[Traded], found[BookChange], found[PriceLimits]
    assert (trade.ticks, trade.lots, trade.side) == (165_785, 1, 1)
    assert (book.bids[0], book.asks[-1]) == ((164_935, 6), (166_120, 213))
    assert (limits.highest_bid_ticks, limits.lowest_ask_ticks) == (1_144_500, 1_035_500)
    assert (found[Mark].ticks, found[FundingNext].rate) == (172_173, -212_000_000)


PRIVATE = {
    "Balance": "wallet",
    "Greeks": "unknown topic: expected one of order, execution, position, wallet, found greeks",
    "MinimalUserTrades": "unknown topic: expected one of order, execution, position, wallet, found execution.fast",
    "Order": "order",
    "Position": "position: position BTCUSDT: expected one position with a side unless it is flat, found '' 0 at 0, 2",
    "SpreadUserTrade": "unknown topic: expected one of order, execution, position, wallet, found spread.execution",
    "UserTrades": "execution",
}
"""What comes of each event of the private streams: what it is, or the gap that it leaves. Hedge mode is none of ours, nor are other topics."""


@pytest.mark.data("fixtures")
@pytest.mark.parametrize("name", PRIVATE)
def test_private_messages(data_dir: Path, name: str) -> None:
    *answers, event = said_by_the_venue(dict(fixtures(data_dir))[f"Subscriptions/V5/Private/{name}.txt"])
    assert [FEED.take(answer).what for answer in answers] == ["greeted", "greeted"]
    told = FEED.take(event)
    assert (f"{told.what}: {told.gap}" if told.gap else told.what) == PRIVATE[name]
    assert len(told.events) == (0 if told.gap else 1)
    assert outcome(Feed(among([BTC])).take(event)).startswith("ignored ")


def said_by_the_venue(text: str) -> list[bytes]:
    """The frames of a script that the venue sends: what we ask there has arguments."""
    return [body for body in bodies(text) if "args" not in json.loads(body)]


def outcome(said: Taken | Reject) -> str:
    return said.what if isinstance(said, Taken) else f"{said.reason.value}: {said.detail}"


# What nobody asks for

NOT_READ = {
    rest("GetMarginAccountInfo", "Account"): "in test_the_margin_mode_of_a_library_s_data",
    rest("GetOptionSymbols", "ExchangeData"): "in test_a_listing_of_options_has_none_of_ours",
}
"""Of paths that our code names, those that are read in a test of their own."""

LIKE_OURS = {
    rest("CancelSpreadOrder"),
    rest("EditMultipleOrders"),
    rest("EditSpreadOrder"),
    rest("PlaceOrder", "Earn"),
    rest("PlaceSpreadOrder"),
    rest("PreCheckOrder"),
}
"""Yeses to requests that we never make, in the form of those to ours. A yes counts for the request that it answers, and for the client id in it."""


@pytest.mark.data("fixtures")
def test_the_margin_mode_of_a_library_s_data(data_dir: Path) -> None:
    info = bodies(dict(fixtures(data_dir))[rest("GetMarginAccountInfo", "Account")])[-1]
    found = finish(ONE.mode(), lambda ask: Heard(200, {}, info) if ask.call.path == "/v5/account/info" else rows(POSITION))
    assert found.margin == "cross"


@pytest.mark.data("fixtures")
def test_a_listing_of_options_has_none_of_ours(data_dir: Path) -> None:
    packed = dict(fixtures(data_dir))
    options, ours = (bodies(packed[rest(name, "ExchangeData")])[-1] for name in ("GetOptionSymbols", "GetLinearInverseSymbols"))
    assert read_once(ONE.statuses(), options) == {"BTCUSDT": Status.HALTED}
    assert read_once(ONE.statuses(), ours) == {"BTCUSDT": Status.TRADING}


@pytest.mark.data("fixtures")
def test_an_answer_to_what_we_never_ask_is_nothing_to_our_streams_and_orders(data_dir: Path) -> None:
    alike = set()
    others = {name: text for name, text in fixtures(data_dir) if name.startswith("Endpoints/") and name not in OURS}
    assert len(others) > 100
    for name, text in others.items():
        body = bodies(text)[-1]
        told = FEED.take(body)
        assert (told.events, told.gap) == ((), "frame: expected a topic or a known op, found ''")
        assert outcome(Feed(among([BTC])).take(body)) == "malformed: expected a topic or an op, found none"
        assert socket_entry.take(body).heard is None
        for talk in (READS.listings, READS.balances, READS.positions, READS.open_orders):
            with suppress(Nonsense, Refused):
                found = read_once(talk(), body)
                assert (found.found if isinstance(found, Page) else found) == (), name
        said = [place(body), cancel(body), *batch(body)]
        if any(isinstance(each, Accepted) for each in (place(body), *batch(body))):
            alike.add(name)
        else:
            assert all(isinstance(each, Explained) or not each.client_id for each in said), name
    assert alike == LIKE_OURS


@pytest.mark.data("fixtures")
def test_there_is_no_file_that_nobody_reads(data_dir: Path) -> None:
    """Of the answers, those to a path that our code names; to any other nothing is ever asked."""
    named = {
        node.value
        for source in SOURCES.glob("*.py")
        if source.name != "sign.py"  # names what could be signed
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    packed = dict(fixtures(data_dir))
    streams = {name for name in packed if name.startswith("Subscriptions/")}
    assert streams == {f"Subscriptions/V5/{name}.txt" for name in PUBLIC} | {f"Subscriptions/V5/Private/{name}.txt" for name in PRIVATE}
    paths = {name: text.split("\n", 2)[1].strip() for name, text in packed.items() if name.startswith("Endpoints/")}
    # What is done with an order is written there as one word.
    asked = {name for name, path in paths.items() if path in named or path.removeprefix("/v5/order/") in named}
    answered = OURS.keys() - streams
    assert asked == answered | REFUSED.keys() | NOT_READ.keys()
    assert streams | paths.keys() == packed.keys()


# The samples beside the structures


def test_the_samples_of_the_structures_decode() -> None:
    found = 0
    for module in (rules, seen, account, account_facts, history, trade, socket_entry):
        for name, structure in vars(module).items():
            if isinstance(structure, type) and issubclass(structure, msgspec.Struct) and structure.__module__ == module.__name__:
                text = structure.__doc__ or ""
                if "{" in text:
                    sample = re.sub(r"\n\s*", "", text[text.index("{") :])
                    value, _ = json.JSONDecoder().raw_decode(sample)
                    assert isinstance(msgspec.json.decode(json.dumps(value), type=structure), structure), name
                    found += 1
    assert found >= 12
