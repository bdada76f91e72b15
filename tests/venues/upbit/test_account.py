"""Reads of an account: what is asked, and what comes of the answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.venues.scripted import finish, query, scripted
from tests.venues.upbit.talks import BOOK, BTC, CHANCE, INSTRUMENTS, MS, NOW_MS, ORDER, Order, SmallVenue, clock, no, ok

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Status
from interlock.domain.orders import OrderState
from interlock.venues.port import Access, AccountMode, Ask, BalanceSeen, FeeRates, Heard, MarginSeen, Nonsense, Refused, Stamp
from interlock.venues.request import Call, Key, Method
from interlock.venues.upbit.account import Account

ACCOUNT = Account(INSTRUMENTS)
KEY = Key("access", "secret")
STAMP = Stamp(NOW_MS, "b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a", 1000)
MARKETS = [{"market": "KRW-BTC"}, {"market": "KRW-NEW"}, {"market": "BTC-ETH"}]
UNITS: list[dict[str, Any]] = [
    {"market": "KRW-BTC", "quote_currency": "KRW", "tick_size": "1000", "supported_levels": ["0"]},
    {"market": "KRW-NEW", "quote_currency": "KRW", "tick_size": 0.1, "supported_levels": ["0"]},
]
NEW_BOOK = BOOK | {"market": "KRW-NEW", "orderbook_units": [{"ask_price": 55.2, "bid_price": 0, "ask_size": 1, "bid_size": 0}]}


def asked_paths(asked: list[Ask]) -> list[str]:
    return [ask.call.path for ask in asked]


# Signing


def test_only_reads_are_signed_and_public_ones_carry_nothing() -> None:
    public = ACCOUNT.sign(KEY, Ask(Call(Method.GET, "/v1/orderbook", "markets=KRW-BTC"), Access.PUBLIC), STAMP)
    assert (public.headers, public.target) == ((), "/v1/orderbook?markets=KRW-BTC")
    signed = ACCOUNT.sign(KEY, Ask(Call(Method.GET, "/v1/accounts")), STAMP)
    assert signed.headers[0][1].startswith("Bearer ")
    for ask in (
        Ask(Call(Method.GET, "/v1/accounts"), Access.PUBLIC),
        Ask(Call(Method.POST, "/v1/orders", body=b"{}")),
        Ask(Call(Method.DELETE, "/v1/order", "uuid=a")),
        Ask(Call(Method.DELETE, "/v1/order", "uuid=a"), Access.PUBLIC),
        Ask(Call(Method.GET, "/v1/withdraws/chance")),
    ):
        with pytest.raises(UsageError, match="not on its list"):
            ACCOUNT.sign(KEY, ask, STAMP)


# The venue


def test_the_clock_is_the_latest_moment_that_an_answer_shows() -> None:
    now, asked = scripted(ACCOUNT.clock(), [clock()])
    assert now == NOW_MS * MS
    assert (asked[0].access, asked[0].budget, asked[0].call.query) == (Access.PUBLIC, "orderbook", "markets=KRW-BTC&count=1")
    date = "Fri, 04 Jul 2025 06:20:01 GMT"
    assert scripted(ACCOUNT.clock(), [ok([BOOK], date=date)])[0] == NOW_MS * MS + 1_000 * MS
    for heard in (ok([]), ok([BOOK | {"timestamp": 0}]), ok([BOOK], date="today"), ok({}), ok([BOOK | {"timestamp": -1}])):
        with pytest.raises(Nonsense):
            scripted(ACCOUNT.clock(), [heard])


def test_the_markets_of_won_are_listed_with_their_units() -> None:
    answers = [clock(), ok(MARKETS), ok(UNITS), ok([BOOK, NEW_BOOK])]
    found, asked = scripted(ACCOUNT.listings(), answers)
    assert [
        (each.symbol, each.quantum, each.price_step(Decimal(price), each.valid_from))
        for each, price in zip(found, (10**8, 55), strict=True)
    ] == [
        ("KRW-BTC", Decimal(1), Decimal(1000)),
        ("KRW-NEW", Decimal("0.0001"), Decimal("0.1")),
    ]
    assert found[0].min_price == BTC.min_price
    assert asked_paths(asked) == ["/v1/orderbook", "/v1/market/all", "/v1/orderbook/instruments", "/v1/orderbook"]
    assert asked[2].call.query == "markets=KRW-BTC,KRW-NEW"


def test_a_table_of_units_is_what_was_told_of_each_band_last() -> None:
    account = Account(INSTRUMENTS)

    def table(tick: Any, ask_price: float) -> list[Decimal]:
        units, books = (
            [UNITS[0] | {"tick_size": tick}],
            [BOOK | {"orderbook_units": [BOOK["orderbook_units"][0] | {"bid_price": ask_price}]}],
        )
        (found,) = scripted(account.listings(), [clock(), ok(MARKETS[:1]), ok(units), ok(books)])[0]
        return [found.price_step(Decimal(price), found.valid_from) for price in (600_000, 10**8)]

    assert table(1000, 10**8) == [Decimal(500), Decimal(1000)], "the documented one"
    assert table(100, 600_000) == [Decimal(100), Decimal(1000)]
    assert table(1000, 10**8) == [Decimal(100), Decimal(1000)], "what was told of a band is kept while the price is in another one"
    assert table(500, 600_000) == [Decimal(500), Decimal(1000)]


def test_a_market_that_makes_no_sense_is_left_out_unless_it_is_ours() -> None:
    def listed(units: Any, books: Any) -> list[str]:
        return [each.symbol for each in scripted(ACCOUNT.listings(), [clock(), ok(MARKETS), ok(units), ok(books)])[0]]

    assert listed(UNITS[:1], [BOOK, NEW_BOOK]) == ["KRW-BTC"]
    assert listed(UNITS, [BOOK]) == ["KRW-BTC"]
    assert listed(UNITS, [BOOK, NEW_BOOK | {"orderbook_units": []}]) == ["KRW-BTC"]
    assert listed([UNITS[0], UNITS[1] | {"tick_size": "NaN"}], [BOOK, NEW_BOOK]) == ["KRW-BTC"]
    for units, books in ((UNITS[1:], [BOOK, NEW_BOOK]), ([UNITS[0] | {"tick_size": 0}, UNITS[1]], [BOOK, NEW_BOOK]), (UNITS, [NEW_BOOK])):
        with pytest.raises(Nonsense, match="KRW-BTC"):
            listed(units, books)


def test_many_markets_are_asked_about_in_parts() -> None:
    names = [f"KRW-X{number:03}" for number in range(130)]
    sizes: list[int] = []

    def answer(ask: Ask) -> Heard:
        some = [pair.partition("=")[2].split(",") for pair in ask.call.query.split("&") if pair.startswith("markets=")]
        if ask.call.path == "/v1/market/all":
            return ok([{"market": name} for name in names])
        if ask.call.path == "/v1/orderbook":
            return ok([NEW_BOOK | {"market": name} for name in some[0]])
        sizes.append(len(some[0]))
        return ok([UNITS[1] | {"market": name} for name in some[0]])

    assert len(finish(Account({}).listings(), answer)) == 130
    assert sizes == [100, 30]


def test_the_top_of_a_book() -> None:
    top, asked = scripted(ACCOUNT.top("KRW-BTC"), [ok([BOOK])])
    assert (top.bid_ticks, top.ask_ticks, top.mark, top.trading) == (148_490_000, 148_520_000, Decimal(0), True)
    assert asked[0].access is Access.PUBLIC
    empty, _ = scripted(ACCOUNT.top("KRW-BTC"), [ok([BOOK | {"orderbook_units": []}])])
    assert (empty.bid_ticks, empty.ask_ticks, empty.trading) == (0, 0, False)
    one_side = BOOK | {"orderbook_units": [{"ask_price": 0, "bid_price": 148490000, "ask_size": 0, "bid_size": 1}]}
    thin, _ = scripted(ACCOUNT.top("KRW-BTC"), [ok([one_side])])
    assert (thin.bid_ticks, thin.ask_ticks, thin.trading) == (148_490_000, 0, True)
    halted = Account({"KRW-BTC": msgspec.structs.replace(BTC, status=Status.HALTED)})
    assert not scripted(halted.top("KRW-BTC"), [ok([BOOK])])[0].trading


def test_a_book_that_makes_no_sense() -> None:
    crossed = {"ask_price": 148490000, "bid_price": 148490000, "ask_size": 1, "bid_size": 1}
    level = BOOK["orderbook_units"][0]
    for book in (
        BOOK | {"market": "KRW-ETH"},
        BOOK | {"orderbook_units": [crossed]},
        BOOK | {"orderbook_units": [level | {"bid_price": 0.5}]},
        BOOK | {"orderbook_units": [level | {"bid_price": -5}]},
        BOOK | {"orderbook_units": [level | {"bid_price": "NaN"}]},
        BOOK | {"orderbook_units": [level] * 1001},
    ):
        with pytest.raises(Nonsense):
            scripted(ACCOUNT.top("KRW-BTC"), [ok([book])])
    with pytest.raises(UsageError, match="expected one of KRW-BTC"):
        scripted(ACCOUNT.top("KRW-ETH"), [])


def test_what_takes_orders_and_what_moves() -> None:
    wallets = [
        {"currency": "BTC", "wallet_state": "working", "block_state": "normal", "net_type": "BTC"},
        {"currency": "USDT", "wallet_state": "paused", "net_type": "ETH"},
        {"currency": "USDT", "wallet_state": "working", "net_type": "TRX"},
        {"currency": "ORCA", "wallet_state": "withdraw_only"},
        {"currency": "NEW", "wallet_state": "something else"},
    ]
    expected = {"wallet:BTC": "trading", "wallet:USDT": "trading", "wallet:ORCA": "halted", "wallet:NEW": "halted"}
    found, asked = scripted(ACCOUNT.statuses(), [ok(MARKETS), ok(CHANCE), ok(wallets)])
    assert found == {"KRW-BTC": "trading"} | expected
    assert asked[1].call.query == "market=KRW-BTC"
    closed = CHANCE | {"market": CHANCE["market"] | {"state": "preview"}}
    assert scripted(ACCOUNT.statuses(), [ok(MARKETS), ok(closed), ok([])])[0] == {"KRW-BTC": "halted"}
    assert scripted(ACCOUNT.statuses(), [ok(MARKETS[1:]), ok([])])[0] == {"KRW-BTC": "halted"}


# The account


def test_a_key_tells_when_it_expires_and_nothing_else() -> None:
    keys = [{"access_key": name, "expire_at": "2027-06-01T09:00:00+09:00"} for name in ("access", "other")]
    found, _ = scripted(ACCOUNT.key("access"), [ok(keys)])
    assert found.expires_ms == 1_811_808_000_000
    assert (found.trade, found.withdraw, found.transfer, found.address_bound) == (None, None, None, None)
    again, _ = scripted(ACCOUNT.key("other"), [ok(keys[::-1])])
    assert again.account == found.account
    assert scripted(ACCOUNT.key("access"), [ok(keys[:1])])[0].account != found.account
    for answer in (ok(keys[1:]), ok([keys[0] | {"expire_at": "soon"}]), ok({})):
        with pytest.raises(Nonsense):
            scripted(ACCOUNT.key("access"), [answer])


def test_a_spot_account_has_no_modes_and_no_positions() -> None:
    assert scripted(ACCOUNT.mode(), [])[0] == AccountMode(position="spot", margin="spot", leverage={})
    assert scripted(ACCOUNT.positions(), [])[0] == ()


def test_fees_are_the_higher_of_both_sides() -> None:
    assert scripted(ACCOUNT.fees("KRW-BTC"), [ok(CHANCE)])[0] == FeeRates(Decimal("0.0003"), Decimal("0.0005"))
    for changed in (CHANCE | {"bid_fee": "1"}, CHANCE | {"bid_fee": "-1"}, CHANCE | {"market": {"id": "KRW-ETH", "state": "active"}}):
        with pytest.raises(Nonsense):
            scripted(ACCOUNT.fees("KRW-BTC"), [ok(changed)])


def test_balances_are_what_is_free_and_what_is_locked() -> None:
    rows = [
        {
            "currency": "KRW",
            "balance": "1386929.37231066771348207123",
            "locked": "0.000000000000000000000000000001",
            "unit_currency": "KRW",
        },
        {"currency": "BTC", "balance": "2.0", "locked": "0.5", "avg_buy_price": "140000000"},
    ]
    krw = Decimal("1386929.37231066771348207123")
    assert scripted(ACCOUNT.balances(), [ok(rows)])[0] == (
        BalanceSeen("KRW", Decimal("1386929.372310667713482071230000000001"), krw),
        BalanceSeen("BTC", Decimal("2.5"), Decimal(2)),
    )
    assert scripted(ACCOUNT.margin(), [ok(rows)])[0] == MarginSeen(krw, krw, Decimal(0))
    assert scripted(ACCOUNT.margin(), [ok(rows[1:])])[0] == MarginSeen(Decimal(0), Decimal(0), Decimal(0))
    for answer in (ok([rows[0], rows[0]]), ok([rows[0] | {"locked": "-1"}]), ok([{"currency": "KRW"}])):
        with pytest.raises(Nonsense):
            scripted(ACCOUNT.balances(), [answer])


# Orders


def test_an_order_is_looked_for_by_itself_and_in_the_list() -> None:
    found, asked = scripted(ACCOUNT.order("KRW-BTC", "arb-0001"), [ok(ORDER)])
    assert found is not None
    assert (found.client_id, found.state) == ("arb-0001", OrderState.OPEN)
    assert asked[0].call.query == "identifier=arb-0001"
    anywhere, _ = scripted(ACCOUNT.order("", "arb-0001"), [ok(ORDER)])
    assert anywhere == found
    missing = no("order_not_found", 404)
    found, asked = scripted(ACCOUNT.order("KRW-BTC", "arb-0001"), [missing, ok([ORDER])])
    assert found is not None
    assert asked[1].call.query == "identifiers[]=arb-0001"
    assert scripted(ACCOUNT.order("KRW-BTC", "arb-0001"), [missing, missing])[0] is None
    assert scripted(ACCOUNT.order("KRW-BTC", "arb-0001"), [missing, ok([])])[0] is None


@pytest.mark.parametrize(
    "answers",
    [
        [ok(ORDER | {"identifier": "arb-0002"})],
        [ok(ORDER | {"identifier": None})],
        [ok(ORDER | {"market": "KRW-ETH"})],
        [ok([ORDER])],
        [no("order_not_found", 404), ok([ORDER, ORDER])],
        [no("order_not_found", 404), ok(ORDER)],
    ],
)
def test_another_order_is_not_taken_for_it(answers: list[Heard]) -> None:
    with pytest.raises(Nonsense):
        scripted(ACCOUNT.order("KRW-BTC", "arb-0001"), answers)


def test_a_refusal_is_no_absence() -> None:
    for answers in ([no("server_error", 500)], [no(404, 404)], [no("order_not_found", 404), no("too_many_requests", 429)]):
        with pytest.raises(Refused):
            scripted(ACCOUNT.order("KRW-BTC", "arb-0001"), answers)
    for client_id in ("", "a b", "x" * 65, "a&uuid=b"):
        with pytest.raises(UsageError, match="client id"):
            scripted(ACCOUNT.order("KRW-BTC", client_id), [])


def test_open_orders_are_read_to_the_end() -> None:
    venue = SmallVenue()
    for number in range(250):
        venue.orders[f"o{number}"] = Order(f"o{number}", NOW_MS - 1_000 * number, 100)
    page = finish(ACCOUNT.open_orders(), venue)
    assert (len(page.found), page.unreadable, page.venue_ns) == (250, False, NOW_MS * MS)
    # Twice, because orders move from page to page when one ends.
    assert [ask.call.query.partition("page=")[2] for ask in venue.asked[1:]] == [f"{n}&limit=100&order_by=asc" for n in (1, 2, 3, 1, 2, 3)]
    short = SmallVenue()
    short.orders["a"] = Order("a", NOW_MS, 100)
    assert len(finish(ACCOUNT.open_orders(), short).found) == 1
    assert len(short.asked) == 2


def test_an_order_that_slips_between_two_pages_is_found_all_the_same() -> None:
    venue = SmallVenue()
    for number in range(150):
        venue.orders[f"o{number:03}"] = Order(f"o{number:03}", NOW_MS + 1_000 * number, 100)

    def answer(ask: Ask) -> Heard:
        heard = venue(ask)
        if "page=1&" in ask.call.query and not venue.orders["o000"].ended:
            venue.orders["o000"].ended = "cancel"  # the order 100 is now the last of page 1
        return heard

    page = finish(ACCOUNT.open_orders(), answer)
    assert {each.client_id for each in page.found} == {f"o{number:03}" for number in range(1, 150)}
    assert not page.unreadable


def test_a_list_that_does_not_hold_still_says_so() -> None:
    venue = SmallVenue()
    for number in range(150):
        venue.orders[f"o{number:03}"] = Order(f"o{number:03}", NOW_MS + 1_000 * number, 100)
    ends = iter(range(150))

    def answer(ask: Ask) -> Heard:
        heard = venue(ask)
        if "page=2&" in ask.call.query:
            venue.orders[f"o{next(ends):03}"].ended = "cancel"
        return heard

    page = finish(ACCOUNT.open_orders(), answer)
    assert page.unreadable
    assert len(page.found) == 150


def test_a_list_that_goes_on_for_ever_or_repeats_itself_is_nonsense() -> None:
    pages = iter(range(10_000))

    def endless(ask: Ask) -> Heard:
        if ask.call.path == "/v1/orderbook":
            return clock()
        page = next(pages)
        return ok([ORDER | {"uuid": f"{page}-{number}"} for number in range(100)])

    with pytest.raises(Nonsense, match="found more"):
        finish(ACCOUNT.open_orders(), endless)
    with pytest.raises(Nonsense, match="those of the pages before"):
        finish(ACCOUNT.open_orders(), lambda ask: clock() if ask.call.path == "/v1/orderbook" else ok([ORDER] * 100))


def test_an_order_that_makes_no_sense_is_left_out_and_told_of() -> None:
    page, _ = scripted(ACCOUNT.open_orders(), [clock(), ok([ORDER, ORDER | {"uuid": "b", "ord_type": "odd"}])])
    assert ([each.venue_order_id for each in page.found], page.unreadable) == ([ORDER["uuid"]], True)


@pytest.mark.parametrize("row", [{}, ORDER | {"uuid": ""}, ORDER | {"created_at": "x"}, ORDER | {"executed_volume": "x"}, 5])
def test_a_row_that_cannot_be_told_apart_spoils_the_list(row: Any) -> None:
    with pytest.raises(Nonsense):
        scripted(ACCOUNT.open_orders(), [clock(), ok([row])])


def test_ended_orders_are_found_by_windows_of_a_week() -> None:
    day_ms = 86_400_000
    venue = SmallVenue()
    for number in range(40):
        venue.orders[f"o{number}"] = Order(f"o{number}", NOW_MS - number * day_ms, 100, ended="cancel")
    page = finish(ACCOUNT.ended_orders((NOW_MS - 3 * day_ms) * MS), venue)
    assert {each.client_id for each in page.found} == {f"o{number}" for number in range(11)}
    assert (page.unreadable, page.venue_ns) == (False, NOW_MS * MS)
    everything = finish(ACCOUNT.ended_orders(0), venue)
    assert {each.client_id for each in everything.found} == {f"o{number}" for number in range(29)}


def test_a_window_that_is_full_is_asked_in_halves() -> None:
    venue = SmallVenue()
    for number in range(2_500):
        venue.orders[f"o{number}"] = Order(f"o{number}", NOW_MS - 1_000 * number, 100, ended="cancel")
    assert len(finish(ACCOUNT.ended_orders((NOW_MS - 60_000) * MS), venue).found) == 2_500
    for order in venue.orders.values():
        order.created_ms = NOW_MS
    with pytest.raises(Nonsense, match="of one second"):
        finish(ACCOUNT.ended_orders(NOW_MS * MS), venue)


def test_ended_orders_that_never_come_to_an_end_are_nonsense() -> None:
    full, none = ok([ORDER | {"uuid": f"u{number}"} for number in range(1_000)]), ok([])

    def answer(ask: Ask) -> Heard:
        if ask.call.path == "/v1/orderbook":
            return clock()
        about = query(ask)
        return full if int(about["end_time"]) - int(about["start_time"]) > 60_000 else none

    with pytest.raises(Nonsense, match="within 200 answers"):
        finish(ACCOUNT.ended_orders(0), answer)
