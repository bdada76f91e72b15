"""What has happened in an account: windows, cursors, client ids of executions, the ledger."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.binance_usdm.talks import BTC, DAY_MS, INCOME, INSTRUMENTS, MS, NOW_MS, ORDER, TRADE, clock, mutated, no, ok
from tests.venues.scripted import finish, query, scripted

from interlock.domain.errors import UsageError
from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.venues.binance_usdm import history
from interlock.venues.binance_usdm.account import Account
from interlock.venues.port import Ask, End, FillKind, FillSeen, Heard, LedgerSeen, Nonsense, Page, Refused, Talk

CURSOR = f"{NOW_MS - 5000}-0"
FILL = FillSeen(
    symbol="BTCUSDT",
    trade_id="698759",
    client_id="arb-0001",
    venue_order_id="22542179",
    side=Side.SELL,
    ticks=78190,
    lots=2,
    liquidity=Liquidity.TAKER,
    fee=Decimal("0.07819010"),
    fee_currency="USDT",
    kind=FillKind.TRADE,
    venue_ns=(NOW_MS - 1000) * MS,
)
FUNDING = LedgerSeen(
    kind="funding",
    venue_id="FUNDING_FEE:9689322392:USDT:BTCUSDT",
    currency="USDT",
    amount=Decimal("-0.375"),
    symbol="BTCUSDT",
    venue_ns=(NOW_MS - 1000) * MS,
)


class Venue:
    """Answers from lists, by the windows that are asked for; refuses a window that is too long, and cuts a list at the limit."""

    def __init__(self, **lists: list[dict[str, Any]]) -> None:
        self.lists = lists
        self.orders: dict[int, Heard] = {}
        self.asked: list[Ask] = []
        self.now_ms = NOW_MS

    def answer(self, ask: Ask) -> Heard:
        self.asked.append(ask)
        name = ask.call.path.rpartition("/")[2]
        fields = query(ask)
        if name == "time":
            return clock(self.now_ms)
        if name == "order":
            return self.orders.get(int(fields["orderId"]), ok({**ORDER, "orderId": int(fields["orderId"])}))
        start, end, limit = (int(fields[each]) for each in ("startTime", "endTime", "limit"))
        assert end - start < 7 * DAY_MS
        rows = [row for row in self.lists.get(name, []) if start <= row.get("time", start) <= end]
        return ok(rows[:limit])

    def names(self) -> list[str]:
        return [ask.call.path.rpartition("/")[2] for ask in self.asked]


def fills(venue: Venue, cursor: str = CURSOR, account: Account | None = None) -> Page[FillSeen]:
    return finish((account or Account(INSTRUMENTS)).fills(cursor), venue.answer)


def ledger(venue: Venue, cursor: str = CURSOR) -> Page[LedgerSeen]:
    return finish(Account(INSTRUMENTS).ledger(cursor), venue.answer)


def test_an_execution_with_the_client_id_of_its_order() -> None:
    venue = Venue(userTrades=[TRADE])
    page = fills(venue)
    assert page == Page((FILL,), f"{NOW_MS - 1000}-1", NOW_MS * MS, False)
    assert venue.names() == ["time", "userTrades", "order"]
    assert int(query(venue.asked[1])["startTime"]) == NOW_MS - 65_000
    assert [ask.weight for ask in venue.asked] == [1, 5, 1]


def test_an_order_is_looked_up_once() -> None:
    account, venue = Account(INSTRUMENTS), Venue(userTrades=[TRADE, {**TRADE, "id": 698760}])
    first = fills(venue, "", account)
    again = fills(venue, first.cursor, account)
    assert again == first
    assert venue.names().count("order") == 1
    assert len(first.found) == 2


def test_thousands_of_names_are_forgotten_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_MOST_NAMES", 2)
    account = Account(INSTRUMENTS)
    venue = Venue(userTrades=[{**TRADE, "id": number, "orderId": number} for number in (1, 2, 3)])
    fills(venue, CURSOR, account)
    fills(venue, CURSOR, account)
    assert venue.names().count("order") == 6


def test_two_reads_with_nothing_between_them_have_one_cursor() -> None:
    venue = Venue(userTrades=[TRADE])
    page = fills(venue)
    venue.now_ms += 30_000
    assert fills(venue, page.cursor).cursor == page.cursor
    venue.lists["userTrades"].append({**TRADE, "id": 698760})
    assert fills(venue, page.cursor).cursor != page.cursor, "one of the same millisecond"


def test_a_row_from_the_future_does_not_hide_what_comes_before_it() -> None:
    venue = Venue(userTrades=[{**TRADE, "time": NOW_MS + DAY_MS}])
    page = fills(venue)
    assert page.cursor == f"{NOW_MS + 60_000}-1"
    venue.lists["userTrades"].append({**TRADE, "id": 2, "time": NOW_MS + 1})
    assert [each.trade_id for each in fills(venue, page.cursor).found] == ["2", "698759"]


def test_an_account_at_rest_moves_its_cursor_by_the_day() -> None:
    venue = Venue()
    page = fills(venue, "")
    assert page.cursor == f"{NOW_MS // DAY_MS * DAY_MS - DAY_MS}-0"
    assert page.found == ()
    assert venue.names().count("userTrades") == 13
    venue.asked.clear()
    assert fills(venue, page.cursor).cursor == page.cursor
    assert venue.names().count("userTrades") == 1
    late = Venue(userTrades=[TRADE])
    assert fills(late, page.cursor).found == (FILL,)


def test_every_row_of_every_window_is_found() -> None:
    rows = [{**TRADE, "id": number, "time": NOW_MS - 80 * DAY_MS + number * 60_000} for number in range(2_500)]
    venue = Venue(userTrades=rows[::-1])
    page = fills(venue, "")
    assert [each.trade_id for each in page.found] == [str(number) for number in range(2_500)]
    assert venue.names().count("order") == 1


def test_a_list_that_does_not_end_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    same = Venue(userTrades=[{**TRADE, "id": number} for number in range(1_000)])
    with pytest.raises(Nonsense, match="fewer than"):
        fills(same)

    def always(ask: Ask) -> Heard:
        return clock() if ask.call.path.endswith("time") else ok([TRADE] * 1_000)

    with pytest.raises(Nonsense, match="fewer than"):
        finish(Account(INSTRUMENTS).fills(CURSOR), always)
    with pytest.raises(Nonsense, match="fewer than"):
        scripted(Account(INSTRUMENTS).fills(CURSOR), [clock(), ok([TRADE] * 1_001)])
    monkeypatch.setattr(history, "MOST_ASKS", 12)
    with pytest.raises(Nonsense, match="that ends"):
        fills(Venue(), "")


@pytest.mark.parametrize("cursor", ["x", "1", "-1-1", "1-", "1-1-1", "9" * 15 + "-1", "\u0663-1"])
def test_a_cursor_of_another(cursor: str) -> None:
    with pytest.raises(UsageError, match="cursor"):
        fills(Venue(), cursor)
    with pytest.raises(UsageError, match="cursor"):
        ledger(Venue(), cursor)


@pytest.mark.parametrize(
    ("client_id", "kind"),
    [
        ("autoclose-1234567890", FillKind.LIQUIDATION),
        ("adl_autoclose", FillKind.ADL),
        ("adl_autoclose-7", FillKind.ADL),
        ("settlement_autoclose-7", FillKind.SETTLEMENT),
        ("web_1", FillKind.TRADE),
    ],
)
def test_what_made_an_execution(client_id: str, kind: FillKind) -> None:
    venue = Venue(userTrades=[{**TRADE, "price": "7819.01"} if kind is not FillKind.TRADE else TRADE])
    venue.orders[22542179] = ok({**ORDER, "clientOrderId": client_id})
    (fill,) = fills(venue).found
    assert (fill.kind, fill.client_id, fill.ticks) == (kind, client_id, 78190), "a sale of the venue's own is rounded down"


def test_fees_in_another_currency_and_rebates() -> None:
    rows = [{**TRADE, "commission": "-0.001", "commissionAsset": "BNB", "maker": True}, {**TRADE, "id": 2, "commissionAsset": ""}]
    first, second = fills(Venue(userTrades=rows)).found
    assert (first.fee, first.fee_currency, first.liquidity) == (Decimal("-0.001"), "BNB", Liquidity.MAKER)
    assert second.fee_currency == "USDT"


def test_an_order_that_is_not_shown_yet_is_waited_for_and_an_old_one_is_a_strangers() -> None:
    venue = Venue(userTrades=[{**TRADE, "time": NOW_MS - 3000}, {**TRADE, "id": 2, "orderId": 2}])
    venue.orders[22542179] = no(-2013)
    page = fills(venue)
    assert [each.trade_id for each in page.found] == ["2"]
    assert (page.unreadable, page.cursor) == (True, f"{NOW_MS - 3000}-1")
    venue.now_ms += history.FRESH_MS
    page = fills(venue, page.cursor)
    assert [(each.trade_id, each.client_id) for each in page.found] == [("698759", ""), ("2", "arb-0001")]
    assert not page.unreadable


@pytest.mark.parametrize("answer", [no(-1003, 429), ok({**ORDER, "orderId": 9}), ok({**ORDER, "symbol": "X"}), ok({}), Heard(200)])
def test_an_order_that_cannot_be_looked_up(answer: Heard) -> None:
    venue = Venue(userTrades=[TRADE])
    venue.orders[22542179] = answer
    with pytest.raises((Nonsense, Refused)):
        fills(venue)


@pytest.mark.parametrize(
    "changes",
    [
        {"price": "7819.05"},
        {"price": "0"},
        {"qty": "0"},
        {"qty": "NaN"},
        {"commission": "1e-5"},
        {"side": "BOTH"},
        {"id": -1},
        {"symbol": "ETHUSDT"},
    ],
)
def test_an_execution_that_makes_no_sense_is_read_again(changes: dict[str, Any]) -> None:
    odd = {**TRADE, **changes, "time": NOW_MS - 3000}
    page = fills(Venue(userTrades=[odd, {**TRADE, "id": 2}]))
    assert (page.unreadable, page.cursor) == (True, f"{NOW_MS - 3000}-1")
    assert [each.trade_id for each in page.found] == ["2"]
    good = fills(Venue(userTrades=[TRADE]))
    assert not good.unreadable


def test_what_does_not_even_tell_its_time_keeps_the_cursor() -> None:
    for odd in ({}, {"time": "x"}, {"time": 0}):
        answers = (clock(), ok([odd, TRADE]), ok(ORDER))
        page, _ = scripted(Account(INSTRUMENTS).fills(CURSOR), [*answers])
        assert (page.unreadable, page.cursor) == (True, f"{NOW_MS - 5000}-1")
    whole = [ok([odd])] + [ok([])] * 12
    page, _ = scripted(Account(INSTRUMENTS).fills(""), [clock(), *whole])
    assert (page.unreadable, page.cursor) == (True, "")


# Orders


def test_orders_that_ended() -> None:
    since = NOW_MS - 2 * DAY_MS
    rows = [
        {**ORDER, "orderId": 1, "status": "CANCELED", "time": NOW_MS - 8 * DAY_MS, "updateTime": NOW_MS - DAY_MS, "executedQty": "0.001"},
        {**ORDER, "orderId": 2, "status": "FILLED", "executedQty": "10", "time": since, "updateTime": since},
        {**ORDER, "orderId": 3, "status": "CANCELED", "time": since - 5, "updateTime": since - 1},
        {**ORDER, "orderId": 4, "time": NOW_MS - 1},
    ]
    venue = Venue(allOrders=rows)
    page = finish(Account(INSTRUMENTS).ended_orders(since * MS), venue.answer)
    assert [(each.venue_order_id, each.state, each.end, each.filled_lots) for each in page.found] == [
        ("2", OrderState.FILLED, End.FILLED, 10_000),
        ("1", OrderState.CANCELLED, End.CANCELLED, 1),
    ]
    assert (page.venue_ns, page.unreadable) == (NOW_MS * MS, False)
    venue.lists["allOrders"].append({**ORDER, "status": "NEWER"})
    assert finish(Account(INSTRUMENTS).ended_orders(since * MS), venue.answer).unreadable


def test_the_newest_report_of_an_order_is_told() -> None:
    rows = [
        {**ORDER, "status": "CANCELED", "updateTime": NOW_MS - 5, "executedQty": "0.002"},
        {**ORDER, "status": "CANCELED", "updateTime": NOW_MS - 9},
    ]
    page = finish(Account(INSTRUMENTS).ended_orders((NOW_MS - DAY_MS) * MS), Venue(allOrders=rows).answer)
    assert [each.filled_lots for each in page.found] == [2]


# The ledger


def test_funding() -> None:
    venue = Venue(income=[INCOME])
    assert ledger(venue) == Page((FUNDING,), f"{NOW_MS - 1000}-1", NOW_MS * MS, False)
    assert (venue.asked[1].weight, query(venue.asked[1])["startTime"]) == (30, str(NOW_MS - 605_000))


def test_funding_that_is_told_late_is_found() -> None:
    venue = Venue(income=[{**INCOME, "incomeType": "TRANSFER", "tranId": "1"}])
    page = ledger(venue)
    venue.lists["income"].append({**INCOME, "time": NOW_MS - 300_000})
    assert [each.kind for each in ledger(venue, page.cursor).found] == ["funding", "transfer"]


@pytest.mark.parametrize(("name", "kind"), sorted(history._KINDS.items()))
def test_kinds(name: str, kind: str) -> None:
    (event,) = ledger(Venue(income=[{**INCOME, "incomeType": name, "symbol": "", "income": "0.00000000"}])).found
    assert (event.kind, event.venue_id, event.amount) == (kind, f"{name}:9689322392:USDT", Decimal(0))


def test_what_executions_tell_is_left_out() -> None:
    rows = [{**INCOME, "incomeType": name} for name in ("COMMISSION", "REALIZED_PNL")]
    page = ledger(Venue(income=rows))
    assert (page.found, page.unreadable) == ((), False)


def test_an_exchange_of_currencies_is_two_events() -> None:
    rows = [{**INCOME, "incomeType": "AUTO_EXCHANGE", "symbol": "", "asset": asset} for asset in ("BNB", "USDT", "USDT")]
    assert [each.currency for each in ledger(Venue(income=rows)).found] == ["BNB", "USDT"]


@pytest.mark.parametrize(
    "changes", [{"incomeType": "NEW_KIND"}, {"incomeType": ""}, {"tranId": ""}, {"tranId": None}, {"income": "1e5"}, {"asset": ""}]
)
def test_a_ledger_event_that_makes_no_sense_is_read_again(changes: dict[str, Any]) -> None:
    page = ledger(Venue(income=[{**INCOME, **changes}]))
    assert (page.found, page.unreadable, page.cursor) == ((), True, CURSOR)


# Whatever comes


@given(st.sampled_from([("userTrades", TRADE), ("income", INCOME), ("allOrders", ORDER), ("order", ORDER)]), st.data())
def test_no_answer_breaks_a_talk(case: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    name, row = case
    body = data.draw(mutated(row if name == "order" else [row]))

    def answer(ask: Ask) -> Heard:
        path = ask.call.path.rpartition("/")[2]
        if path == name:
            return Heard(200, {}, body)
        return clock() if path == "time" else ok(ORDER) if path == "order" else ok([TRADE] if path == "userTrades" else [])

    account = Account(INSTRUMENTS)
    talks: list[Talk[Page[Any]]] = [account.fills(CURSOR), account.ledger(CURSOR), account.ended_orders((NOW_MS - 1000) * MS)]
    for talk in talks:
        try:
            found = finish(talk, answer)
        except (Nonsense, Refused):
            continue
        assert "NaN" not in repr(found)
        json.dumps(found.cursor)


def test_the_example_is_of_the_instrument() -> None:
    assert BTC.price(FILL.ticks) == Decimal(TRADE["price"])
