"""Every documented example that we read: those of our notes and of a library's test data decode, or are refused by name."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.venues.bybit.talks import BTC, clock, rows
from tests.venues.scripted import finish

from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.venues.bybit import account, account_facts, history, rules, seen, socket_entry, trade
from interlock.venues.bybit.account import Account
from interlock.venues.bybit.account_stream import AccountStream
from interlock.venues.bybit.trade import Trade
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

GAPS = {"Subscriptions/V5/Private/Position.txt", "Subscriptions/V5/Private/MinimalUserTrades.txt"}
"""Hedge mode, and a topic that is not subscribed to."""


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
        elif name in GAPS:
            met.add(name)
            assert FEED.take(bodies(text)[-1]).gap, name
    assert met == OURS.keys() | GAPS


@pytest.mark.data("fixtures")
def test_a_ticker_of_another_symbol_is_refused_by_name(data_dir: Path) -> None:
    (ticker,) = [text for name, text in fixtures(data_dir) if name == rest("GetLinearInverseTickers", "ExchangeData")]
    with pytest.raises(Nonsense, match=r"expected BTCUSDT, found BTCUSD$"):
        read_once(READS.top("BTCUSDT"), bodies(ticker)[-1])


@pytest.mark.data("fixtures")
def test_every_other_fixture_is_refused_or_read_and_nothing_else(data_dir: Path) -> None:
    count = 0
    talks = (READS.clock, READS.listings, READS.margin, READS.balances, READS.positions, READS.open_orders, READS.mode)
    for _, text in fixtures(data_dir):
        for body in bodies(text):
            count += 1
            FEED.take(body)
            socket_entry.take(body)
            place(body)
            batch(body)
            for talk in talks:
                try:
                    read_once(talk(), body)
                except (Nonsense, Refused):
                    continue
    assert count > 100


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
