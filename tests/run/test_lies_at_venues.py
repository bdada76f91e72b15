"""A gate as a process at the simulators of the real venues, over the wire: one lie or blow of the venue a test, and that it struck is shown by the
venue's own record.

test_orders_at_venues.py has those that every venue and way is tried with; here each stands where it shows best.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from tests.gate.serving import command
from tests.run.venues_world import MARKETS, World, world

from interlock.domain.orders import TimeInForce

LIVES = {"bybit": (("bybit",), "socket"), "binance_usdm by rest": (("binance_usdm",), "rest"), "upbit": (("upbit", "bybit"), "socket")}
"""Where a gate lives through these tests, the first being the venue that lies, and how its orders go out. What Upbit's coins are worth in dollars is
told where a dollar has a price."""
PERPETUALS = ["bybit", "binance_usdm by rest"]
PLACED = {"bybit": "/v5/trade order.create", "binance_usdm": "POST /fapi/v1/order", "upbit": "POST /v1/orders"}
"""Where a placement reaches the venue."""

Home = tuple[str, World]


@pytest.fixture(scope="module", params=PERPETUALS)
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    venues, entry = LIVES[request.param]
    with world(tmp_path_factory.mktemp("lies"), venues, entry) as there:
        yield venues[0], there
        there.end()


@pytest.fixture
def home(life: Home) -> Iterator[Home]:
    """A gate that may trade, whatever was before; the venue is honest afterwards."""
    _, there = life
    there.back_to_work()
    yield life
    there.hand.calm()


# A gate lives on from one test to the next only where what it is chosen by has its scope: whatever names it beside something else says so.
at_bybit = pytest.mark.parametrize("life", ["bybit"], indirect=True)
at_binance = pytest.mark.parametrize("life", ["binance_usdm by rest"], indirect=True)


def struck(there: World, fault: str) -> int:
    """How often a fault happened."""
    return there.hand.happened().get(fault, 0)


def gone(there: World, venue: str, *ids: str) -> None:
    """Cancel orders, and see that the venue has none of them."""
    there.cancel(*ids)
    there.until(lambda: there.over(*ids))
    assert not there.hand.open_ids(venue) & set(ids)


# An answer that is late, cut, or never leaves


CUT: dict[str, dict[str, int]] = {"late_ack": {"ms": 5_000}, "reset_at_byte": {"count": 12}, "stall": {}}


@pytest.mark.parametrize(
    ("life", "fault", "how"),
    [
        *((life, fault, how) for life in PERPETUALS for fault, how in CUT.items()),
        *(pytest.param("upbit", fault, how, marks=() if fault == "reset_at_byte" else pytest.mark.soak) for fault, how in CUT.items()),
    ],
    indirect=["life"],
    scope="module",
)
def test_an_order_whose_answer_is_late_or_cut_is_found_and_never_sent_again(home: Home, fault: str, how: dict[str, int]) -> None:
    venue, there = home
    before = struck(there, fault)
    # The stream tells nothing either, so that the order can only be asked for.
    there.hand.happen({"fault": "silence", "venue": venue, "ms": 60_000}, {"fault": fault, "venue": venue, "verb": "place", **how})
    client_id = there.rests(venue)
    assert struck(there, fault) == before + 1
    there.hand.calm()
    after = there.rests(venue, share="0.984")
    assert (there.asked(client_id, "place"), there.asked(after, "place")) == ([PLACED[venue]], [PLACED[venue]])
    told = [record["k"] for record in there.records(client_id)]
    # Who reads of it may come before the line gives its answer up: then it never was unknown.
    assert told.count("unknown") <= 1
    assert "report" in told
    assert "answer" not in told
    gone(there, venue, client_id, after)
    assert not there.latched()


@pytest.mark.parametrize("life", ["bybit", "upbit"], indirect=True)
def test_a_cancel_that_is_swallowed_on_a_line_that_falls_silent_is_sent_again(home: Home) -> None:
    venue, there = home
    before, rests = (struck(there, "ignore_cancel"), struck(there, "stall")), there.rests(venue)
    lie = {"venue": venue, "verb": "cancel", "client_id": rests}
    there.hand.happen({"fault": "ignore_cancel", **lie}, {"fault": "stall", **lie})
    gone(there, venue, rests)
    assert (struck(there, "ignore_cancel"), struck(there, "stall")) == (before[0] + 1, before[1] + 1)
    assert len(there.asked(rests, "cancel")) > 1


@pytest.mark.parametrize("life", ["bybit", "upbit"], indirect=True)
def test_of_a_batch_of_cancels_that_is_done_in_part_the_rest_is_sent_again(home: Home) -> None:
    venue, there = home
    before, rest = struck(there, "partial_batch"), [there.rests(venue, share) for share in ("0.985", "0.984", "0.983")]
    there.hand.happen({"fault": "partial_batch", "venue": venue, "verb": "cancel_batch", "count": 1})
    gone(there, venue, *rest)
    assert struck(there, "partial_batch") == before + 1
    assert [len(there.asked(one, "cancel_batch") + there.asked(one, "cancel")) > 1 for one in rest].count(True) == 2


# Lists and streams that do not tell what is


@at_binance
def test_while_lists_lag_an_order_stays_unknown_and_is_found_when_they_show_it(home: Home) -> None:
    venue, there = home
    lag_ms = 2_500  # a list that is later than that about an order which has ended is a difference
    there.hand.happen(
        {"fault": "silence", "venue": venue, "ms": 60_000},
        {"fault": "lose_ack", "venue": venue, "verb": "place"},
        {"fault": "history_lag", "venue": venue, "verb": "read", "ms": lag_ms, "times": 0},
    )
    client_id = there.propose(venue, share="0.985")
    there.until(lambda: client_id in there.hand.open_ids(venue))
    there.until(lambda: there.order(client_id).get("state") == "open")
    assert struck(there, "history_lag")
    there.hand.calm()
    gone(there, venue, client_id)
    at_ns = {record["k"]: record["boot_ns"] for record in reversed(there.records(client_id))}
    assert at_ns["report"] - at_ns["sent"] >= lag_ms * 900_000
    assert {"unknown", "absent"} & set(at_ns) == {"unknown"}
    assert there.copies(client_id) == 1
    assert not there.latched()


@at_bybit
def test_executions_that_are_told_twice_count_once(home: Home) -> None:
    venue, there = home
    before, lots = there.position(venue), MARKETS[venue].lots
    client_id = there.rests(venue)
    there.hand.happen(
        {"fault": "duplicate", "venue": venue, "private": True, "count": 20},
        {"fault": "fill", "venue": venue, "client_id": client_id, "amount": "0.001"},
        {"fault": "fill", "venue": venue, "client_id": client_id},
    )
    there.until(lambda: there.over(client_id) and there.position(venue) == before + lots)
    rows = [
        row for one in there.streamed(venue) if one.get("topic") == "execution" for row in one["data"] if row["orderLinkId"] == client_id
    ]
    assert (len(rows), len({row["execId"] for row in rows})) == (4, 2)
    there.trades(venue, "sell")
    assert there.journal("fill").count(client_id) == 2
    assert (there.truly(venue), there.latched()) == (before, set())


@at_binance
def test_an_end_that_is_told_before_the_beginning_opens_nothing_again(home: Home) -> None:
    venue, there = home
    there.hand.happen({"fault": "reorder", "venue": venue, "private": True})
    client_id = there.rests(venue)
    gone(there, venue, client_id)
    told = [one["o"]["X"] for one in there.streamed(venue) if one.get("e") == "ORDER_TRADE_UPDATE" and one["o"]["c"] == client_id]
    assert told == ["CANCELED", "NEW"]
    # Whatever it did of that would have been before what comes next.
    after = there.rests(venue, share="0.984")
    gone(there, venue, after)
    assert (there.over(client_id), there.latched()) == (True, set())


# What the venue does to orders and positions


@pytest.mark.parametrize("life", [*PERPETUALS, "upbit"], indirect=True)
def test_an_execution_after_the_cancel_is_booked_and_halts(home: Home) -> None:
    venue, there = home
    before, lots, other = there.position(venue), MARKETS[venue].lots, there.rests(venue, share="0.98")
    client_id = there.rests(venue)
    there.hand.happen({"fault": "late_fill", "venue": venue, "verb": "cancel", "client_id": client_id, "ms": 500})
    there.cancel(client_id)
    there.until(lambda: there.position(venue) == before + lots)
    there.until(there.latched)
    assert there.latched() == {("late_fill", "halt")}
    there.refuses(venue, "level_forbids")
    there.until(lambda: there.over(client_id, other))
    assert not there.hand.open_ids(venue)
    assert (there.truly(venue), there.copies(client_id), struck(there, "late_fill")) == (before + lots, 1, 1)
    there.back_to_work()
    there.trades(venue, "sell")
    assert there.truly(venue) == before


@pytest.mark.parametrize(("life", "fault"), [("bybit", "liquidation"), ("binance_usdm by rest", "adl")], indirect=["life"], scope="module")
def test_what_the_venue_takes_of_a_position_is_booked_and_the_rest_may_be_brought_home(home: Home, fault: str) -> None:
    venue, there = home
    there.trades(venue, "buy", 2 * MARKETS[venue].lots)
    rests = there.rests(venue)
    there.hand.happen({"fault": fault, "venue": venue, "symbol": MARKETS[venue].symbol} | ({"amount": "0.002"} if fault == "adl" else {}))
    there.until(lambda: there.position(venue) == there.truly(venue) != 2 * MARKETS[venue].lots)
    there.until(there.latched)
    assert there.latched() == {(fault, "reduce_only")}
    there.until(lambda: there.over(rests))
    assert not there.hand.open_ids(venue)
    there.refuses(venue, "level_reduces")
    left = there.position(venue)
    assert left == (2 if fault == "adl" else 0)
    if left:
        home_goes = there.propose(venue, "sell", "0.998", tif=TimeInForce.IOC, lots=left, reduce_only=True)
        there.until(lambda: there.over(home_goes) and there.position(venue) == 0)
    assert (there.truly(venue), there.gate.report()["grant"]["ended"]) == (0, "")


@at_bybit
def test_an_execution_that_is_taken_back_halts_until_a_person_takes_it_into_the_books(home: Home) -> None:
    venue, there = home
    symbol, before = MARKETS[venue].symbol, there.position(venue)

    def money() -> Decimal:
        return Decimal(there.hand.state(venue)["balances"]["USDT"]["free"])

    there.trades(venue, "buy")
    rests, held = there.rests(venue), money()
    there.hand.happen({"fault": "reverse_fill", "venue": venue})
    assert there.truly(venue) == before
    there.until(there.latched)
    assert there.latched() == {("unexplained", "halt")}
    there.refuses(venue, "unexplained")
    there.until(lambda: there.over(rests))
    # Nothing is made up to close a difference.
    assert there.position(venue) == before + MARKETS[venue].lots
    bought = next(one for one in reversed(there.hand.state(venue)["executions"]) if one["reverses"])
    socket = ("ledger", "adjust", "--socket", there.gate.paths["raise"], "--venue", venue)
    lots = ("--symbol", symbol, "--lots", str(-MARKETS[venue].lots), "--ticks", str(bought["ticks"]), "--currency", "USDT")
    for about in (lots, ("--currency", "USDT", "--amount", f"{money() - held:f}")):
        code, told = command(*socket, *about)
        assert code == 0, told
    there.back_to_work()
    there.trades(venue, "buy")
    there.trades(venue, "sell")
    assert (there.position(venue), there.truly(venue)) == (before, before)


def test_an_order_of_somebody_else_halts_and_what_it_does_is_booked(home: Home) -> None:
    venue, there = home
    before, lots, rests = there.position(venue), MARKETS[venue].lots, there.rests(venue)
    there.arrive(venue, "somebody-1")
    there.until(there.latched)
    assert ("foreign_activity", "halt") in there.latched()
    there.refuses(venue, "not_armed")
    there.until(lambda: there.over(rests))
    # Theirs is left alone: only a person's kill ends what is not ours.
    assert there.hand.open_ids(venue) == {"somebody-1"}
    assert not there.asked("somebody-1", "cancel")
    there.hand.happen({"fault": "fill", "venue": venue, "client_id": "somebody-1"})
    there.until(lambda: there.position(venue) == there.truly(venue) == before + lots)
    there.hand.happen({"fault": "foreign_order", "venue": venue, "symbol": MARKETS[venue].symbol, "side": "sell", "amount": "0.002"})
    there.until(lambda: there.position(venue) == there.truly(venue) == before)
    there.back_to_work()
    gone(there, venue, there.rests(venue))


# What the venue does not take


@at_bybit
def test_a_refusal_for_the_rate_stops_reads_or_orders_and_no_cancel(home: Home) -> None:
    venue, there = home
    before, rest = struck(there, "rate_limited"), [there.rests(venue, share) for share in ("0.985", "0.984")]
    there.hand.happen({"fault": "rate_limited", "venue": venue, "verb": "place"})
    refused = there.propose(venue, share="0.983")
    there.until(lambda: there.over(refused))
    gone(there, venue, rest[0])
    after = there.rests(venue, share="0.982")
    there.hand.happen({"fault": "rate_limited", "venue": venue, "verb": "read"})
    there.until(lambda: there.tripped("rate_limit"))
    there.refuses(venue, "level_reduces")
    gone(there, venue, rest[1], after)
    assert struck(there, "rate_limited") == before + 2
    there.until(lambda: not there.tripped("rate_limit"))
    assert there.copies(refused) == 1
    (said,) = (record for record in there.records(refused) if record["k"] == "answer")
    assert (said["state"], said["code"]) == ("rejected", "RATE_LIMIT 10006")
    gone(there, venue, there.rests(venue))


@at_binance
def test_a_ban_is_obeyed_and_a_cancel_goes_when_it_is_over(home: Home) -> None:
    venue, there = home
    before, rests, ban_ms, asked_ns = struck(there, "ban"), there.rests(venue), 4_000, time.time_ns()
    there.hand.happen({"fault": "ban", "venue": venue, "verb": "read", "ms": ban_ms})
    there.until(lambda: there.tripped("rate_limit"))
    obeyed_ns, until_ns = time.time_ns(), asked_ns + ban_ms * 1_000_000
    there.cancel(rests)
    there.refuses(venue, "level_reduces")
    there.until(lambda: there.over(rests))
    assert rests not in there.hand.open_ids(venue)
    assert struck(there, "ban") == before + 1
    there.until(lambda: not there.tripped("rate_limit"))
    times_ns = [line["wall_ns"] for line in there.hand.asked(venue) if line["verb"] in ("read", "cancel")]
    assert min(times_ns) < asked_ns
    assert max(times_ns) > until_ns
    assert not [one for one in times_ns if obeyed_ns < one < until_ns]
    gone(there, venue, there.rests(venue))


@at_bybit
def test_while_the_venue_is_closed_nothing_rests_and_a_cancel_stays_owed(home: Home) -> None:
    venue, there = home
    before, rests = struck(there, "maintenance"), there.rests(venue)
    there.hand.happen({"fault": "maintenance", "venue": venue, "verb": "place", "ms": 3_000})
    refused = there.propose(venue, share="0.984")
    there.until(lambda: struck(there, "maintenance") == before + 1)
    there.cancel(rests)
    there.until(lambda: there.over(rests, refused))
    assert not there.hand.open_ids(venue)
    assert len(there.asked(rests, "cancel")) > 1
    assert there.copies(refused) == 1
    (said,) = (record for record in there.records(refused) if record["k"] == "answer")
    assert (said["state"], said["code"]) == ("rejected", "MAINTENANCE 10019")
    gone(there, venue, there.rests(venue))


@at_binance
def test_a_cancel_that_a_closed_venue_refuses_goes_when_it_is_open_again(home: Home) -> None:
    venue, there = home
    before, rests = struck(there, "maintenance"), there.rests(venue)
    there.hand.happen({"fault": "maintenance", "venue": venue, "verb": "cancel", "ms": 2_000})
    gone(there, venue, rests)
    assert struck(there, "maintenance") == before + 1
    assert len(there.asked(rests, "cancel")) > 1
    gone(there, venue, there.rests(venue))


@at_bybit
def test_a_clock_that_is_not_ours_stops_orders_and_takes_back_what_rests(home: Home) -> None:
    venue, there = home
    before, rests = struck(there, "clock_skew"), there.rests(venue)
    there.hand.happen({"fault": "clock_skew", "venue": venue, "ms": 1_500})
    assert struck(there, "clock_skew") == before + 1
    there.until(lambda: there.tripped("clock"))
    there.refuses(venue, "level_forbids")
    there.until(lambda: there.over(rests))
    assert not there.hand.open_ids(venue)
    # It stays so for as long as the clock is off.
    there.until(lambda: any(one["name"] == "clock" and one["for_s"] >= 3 for one in there.gate.report()["trips"]))
    there.hand.calm()
    there.until(lambda: not there.tripped("clock"))
    gone(there, venue, there.rests(venue))
