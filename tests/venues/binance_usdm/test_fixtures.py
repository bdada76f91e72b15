"""Recorded and documented messages that others collected: each that we read decodes, or is refused with a reason that is named here."""

import ast
import gzip
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.venues.binance_usdm.talks import DAY_MS, INSTRUMENTS, clock, no, ok
from tests.venues.scripted import finish

from interlock.market.shipped import SHIPPED
from interlock.venues.binance_usdm.account import Account
from interlock.venues.binance_usdm.account_stream import AccountStream
from interlock.venues.binance_usdm.public import Feed
from interlock.venues.binance_usdm.trade import Trade
from interlock.venues.feed import Reject, Taken
from interlock.venues.hot import among
from interlock.venues.port import Accepted, Ask, Heard, Nonsense, Talk
from interlock.venues.trouble import Doing, Explained, Trouble

ARCHIVE = "jkorf_binance_usdfutures.tar.gz"
SOURCES = Path(__file__).parents[3] / "src" / "interlock" / "venues" / "binance_usdm"


@pytest.fixture(scope="module")
def fixtures(data_dir: Path) -> dict[str, str]:
    """Every file by its name without folders and ending, with the folder above it."""
    with tarfile.open(data_dir / "fixtures" / ARCHIVE) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {"/".join(Path(name).with_suffix("").parts[-2:]): file.read().decode("utf-8-sig") for name, file in files.items() if file}


def body(fixtures: dict[str, str], name: str) -> bytes:
    """The answer of a file: method, path and whether it is signed stand before it."""
    return json.dumps(json.loads(fixtures[name].split("\n", 3)[3])).encode()


def event(fixtures: dict[str, str], name: str) -> bytes:
    """The event of a file, after the requests that asked for it."""
    return json.dumps(json.loads(fixtures[f"UsdFutures/{name}"].split("\n=", 1)[1])).encode()


READS: dict[str, tuple[Callable[[Account], Talk[Any]], str]] = {
    "ExchangeData/GetServerTime": (lambda of: of.clock(), ""),
    "ExchangeData/GetExchangeInfo": (lambda of: of.listings(), ""),
    "ExchangeData/GetBookPrice": (lambda of: of.top("BTCUSDT"), "multiple of 0.1"),
    "ExchangeData/GetMarkPrice": (lambda of: of.top("BTCUSDT"), ""),
    "Account/GetBalances": (lambda of: of.balances(), ""),
    "Account/GetSymbolConfiguration": (lambda of: of.mode(), ""),
    "Account/GetUserCommissionRate": (lambda of: of.fees("BTCUSDT"), ""),
    "Account/GetAccountInfoV3": (lambda of: of.margin(), ""),
    "Trading/GetPositions": (lambda of: of.positions(), "one-way mode"),
    "Trading/GetOrder": (lambda of: of.order("BTCUSDT", "abc"), ""),
    "Trading/GetOpenOrder": (lambda of: of.order("BTCUSDT", "abc"), ""),
    "Trading/GetOrders": (lambda of: of.order("BTCUSDT", "abc"), ""),
    "Trading/GetOpenOrders": (lambda of: of.open_orders(), ""),
    "Trading/GetOpenConditionalOrders": (lambda of: of.open_orders(), ""),
    "Account/GetBrackets": (lambda of: of.tiers(), "margin tiers of BTCUSDT: expected one or more"),
}
PATHS = {
    "/fapi/v1/accountConfig": "Account/GetAccountConfiguration",
    "/fapi/v1/symbolConfig": "Account/GetSymbolConfiguration",
    "/fapi/v1/premiumIndex": "ExchangeData/GetMarkPrice",
}


@pytest.mark.data("fixtures")
@pytest.mark.parametrize("name", READS)
def test_answers_to_reads(fixtures: dict[str, str], name: str) -> None:
    talk, refusal = READS[name]
    path = fixtures[name].split("\n", 2)[1].strip()

    def answer(ask: Ask) -> Heard:
        if ask.call.path == path:
            return Heard(200, {}, body(fixtures, name))
        if ask.call.path.endswith("bookTicker"):
            return ok({"symbol": "BTCUSDT", "bidPrice": "4.00000000", "askPrice": "4.10000000"})
        if ask.call.path in PATHS:
            return Heard(200, {}, body(fixtures, PATHS[ask.call.path]))
        return clock() if ask.call.path.endswith("time") else ok([]) if "pen" in path and "Orders" in ask.call.path else no(-2013)

    if refusal:
        with pytest.raises(Nonsense, match=refusal):
            finish(talk(Account(INSTRUMENTS)), answer)
        return
    found = finish(talk(Account(INSTRUMENTS)), answer)
    assert found is not None
    assert not getattr(found, "unreadable", False)


@pytest.mark.data("fixtures")
def test_executions_and_income(fixtures: dict[str, str]) -> None:
    rows = {"/fapi/v1/userTrades": "Trading/GetUserTrades", "/fapi/v1/income": "Account/GetIncomeHistory"}
    order = json.loads(body(fixtures, "Trading/GetOrder"))

    def answer(ask: Ask) -> Heard:
        if ask.call.path in rows:
            return Heard(200, {}, body(fixtures, rows[ask.call.path]))
        return clock(1_570_700_000_000) if ask.call.path.endswith("time") else ok({**order, "orderId": 25851813})

    account = Account({"BTCUSDT": msgspec.structs.replace(INSTRUMENTS["BTCUSDT"], quantum=INSTRUMENTS["BTCUSDT"].quantum / 10)})
    cursor = f"{1_570_700_000_000 - DAY_MS}-0"
    (fill,) = finish(account.fills(cursor), answer).found
    assert (fill.trade_id, str(fill.fee)) == ("698759", "-0.07819010")
    page = finish(account.ledger(cursor), answer)
    assert ([(each.kind, str(each.amount)) for each in page.found], page.unreadable) == ([("transfer", "-0.37500000")], False)


@pytest.mark.data("fixtures")
def test_answers_to_orders(fixtures: dict[str, str]) -> None:
    trade = Trade(INSTRUMENTS)
    answers = {
        name: trade.answered(Heard(200, {}, body(fixtures, f"{name}")), doing)
        for name, doing in (
            ("Trading/PlaceOrder", Doing.PLACE),
            ("Trading/EditOrder", Doing.AMEND),
            ("Trading/CancelOrder", Doing.CANCEL),
            ("Trading/CancelAllOrders", Doing.CANCEL),
            ("Trading/CancelAllOrdersAfterTimeout", Doing.CANCEL),
            ("Trading/CancelConditionalOrder", Doing.CANCEL),
            ("Account/ModifyPositionMode", Doing.CANCEL),
            ("Account/ChangeMarginType", Doing.CANCEL),
            ("Account/ChangeInitialLeverage", Doing.CANCEL),
            ("Account/SetMultiAssetsMode", Doing.CANCEL),
        )
    }
    assert {name for name, found in answers.items() if not isinstance(found, Accepted)} == set()
    placed, refused = trade.batch_answered(Heard(200, {}, body(fixtures, "Trading/PlaceMultipleOrders")), Doing.PLACE, 2)
    assert isinstance(placed, Accepted)
    assert isinstance(refused, Explained)
    assert refused.settled
    cancelled, unknown = trade.batch_answered(Heard(200, {}, body(fixtures, "Trading/CancelMultipleOrders")), Doing.CANCEL, 2)
    assert isinstance(cancelled, Accepted)
    assert isinstance(unknown, Explained)
    assert unknown.trouble is Trouble.ORDER_NOT_FOUND


EVENTS = {
    "AccountUpdate": "one-way mode",
    "AlgoOrderUpdate": "",
    "OrderUpdate": "",
    "Leverage": "",
    "GridUpdate": "",
    "TradeUpdate": "",
    "MarginUpdate": "",
    "MultiAssetMode": "",
    "ConditionalTrigger": "",
    "StrategyUpdate": "",
}


@pytest.mark.data("fixtures")
@pytest.mark.parametrize("name", EVENTS)
def test_events(fixtures: dict[str, str], name: str) -> None:
    told = AccountStream(INSTRUMENTS).take(event(fixtures, name))
    assert told.what != "malformed"
    assert EVENTS[name] in told.gap
    assert bool(told.gap) is bool(EVENTS[name])
    assert bool(told.events) is (name in ("AccountUpdate", "AlgoOrderUpdate", "OrderUpdate"))


@pytest.mark.data("fixtures")
def test_listen_keys(fixtures: dict[str, str]) -> None:
    stream = AccountStream({})
    assert finish(stream.opening(), lambda _: Heard(200, {}, body(fixtures, "Account/StartUserStream"))).startswith(
        "/private/ws?listenKey=pqia"
    )
    finish(stream.keeping(), lambda _: Heard(200, {}, body(fixtures, "Account/KeepAliveUserStream")))


PUBLIC = {
    "AggTrades": "malformed: BTCUSDT price: expected a multiple of 0.1, found 0.001",
    "AssetIndex": "malformed: Expected `object`, got `array`",
    "Book": "depth before the snapshot",
    "BookTicker": "ignored bookTicker",
    "CompositIndex": "ignored compositeIndex",
    "Concurrent": "ignored kline",
    "ContKlines": "ignored continuous_kline",
    "Klines": "ignored kline",
    "Liquidations": "ignored forceOrder",
    "MarkPrice": "markPriceUpdate",
    "MiniTicker": "ignored 24hrMiniTicker",
    "PartialBook": "depth before the snapshot",
    "SymbolUpdates": "ignored contractInfo",
    "Ticker": "ignored 24hrTicker",
}
"""What comes of each public message: what it is, or the reason for which it is refused. Prices are those of no bitcoin."""


@pytest.mark.data("fixtures")
@pytest.mark.parametrize("name", PUBLIC)
def test_public_messages(fixtures: dict[str, str], name: str) -> None:
    said = {outcome(Feed(among([SHIPPED["binance_usdm:BTCUSDT"]])).take(frame)) for frame in frames(fixtures[f"UsdFutures/{name}"])}
    (found,) = said
    assert found.startswith(PUBLIC[name])


@pytest.mark.data("fixtures")
def test_the_book_of_the_documents_begins_no_book_of_ours(fixtures: dict[str, str]) -> None:
    said = Feed(among([SHIPPED["binance_usdm:BTCUSDT"]])).snapshot("BTCUSDT", body(fixtures, "ExchangeData/GetOrderBook"))
    assert outcome(said).startswith("malformed: BTCUSDT price: expected a multiple of 0.1, found 4.0")


def frames(text: str) -> Iterator[bytes]:
    """The events of a file, each after a line that begins with `=`."""
    for part in re.split(r"^=[ 0-9]*", text.replace("\r", ""), flags=re.MULTILINE)[1:]:
        value, _ = json.JSONDecoder().raw_decode(part.strip())
        yield json.dumps(value).encode()


def outcome(said: Taken | Reject) -> str:
    return said.what if isinstance(said, Taken) else f"{said.reason.value}: {said.detail}"


NOT_READ = {
    "Account/GetMultiAssetsMode": "read with accountConfig",
    "Trading/EditMultipleOrders": "amends go out one by one",
    "Trading/GetConditionalOrder": "no conditional order is ours",
    "Trading/PlaceConditionalOrder": "no conditional order is ours",
}
"""Answers to requests that we do not make, although another method of the same path is used, and why not."""


@pytest.mark.data("fixtures")
def test_there_is_no_file_that_nobody_reads(fixtures: dict[str, str]) -> None:
    """Of the answers, those to a path that our code names; to any other nothing is ever asked."""
    named = {
        node.value
        for source in SOURCES.glob("*.py")
        if source.name != "sign.py"  # names what could be signed
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    events = {name.removeprefix("UsdFutures/") for name in fixtures if name.startswith("UsdFutures/")}
    assert events == EVENTS.keys() | PUBLIC.keys()
    answers = {name for name in fixtures if name.removeprefix("UsdFutures/") not in events}
    asked = {name for name in answers if fixtures[name].split("\n", 2)[1].strip() in named}
    assert len(asked) > 30
    here = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in asked if here.count(f'"{name}"') == 0} == set()
    assert NOT_READ.keys() <= asked


@pytest.mark.data("binance_usdm")
def test_recorded_contracts(data_dir: Path) -> None:
    with gzip.open(data_dir / "binance_usdm" / "gct_binance_http_routes.json.gz") as file:
        routes = json.load(file)["routes"]
    info = routes["/fapi/v1/exchangeInfo"]["GET"][0]["data"]
    perpetuals = [each for each in info["symbols"] if each["contractType"] == "PERPETUAL"]
    found = finish(Account({}).listings(), lambda _: ok(info))
    assert len(found) == len([each for each in perpetuals if each["quoteAsset"] in ("USDT", "USDC")]) > 10
    assert {each.valid_from for each in found} == {datetime.fromtimestamp(info["serverTime"] / 1000, UTC).date()}
