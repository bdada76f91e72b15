"""A gate with its sentinel and checker as processes, trading over the wire at the simulators of the three real venues, which lie to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gate.serving import command
from tests.run.venues_world import MARKETS, World, world

from interlock.domain.orders import TimeInForce
from interlock.simulate.served.listing import instruments_of

WORLDS = {
    "upbit": (("upbit", "bybit"), "socket"),
    "bybit": (("bybit",), "socket"),
    "binance_usdm": (("binance_usdm",), "socket"),
    "bybit by rest": (("bybit",), "rest"),
}
"""Where a gate trades for the tests of a venue, and how orders go out. What Upbit's coins are worth in dollars is told where a dollar has a price."""
SOCKETS = {"bybit": "/v5/trade order.create", "binance_usdm": "WS order.place"}
"""Where a placement over a socket reaches a venue."""

Home = tuple[str, World]


@pytest.fixture(scope="module", params=list(WORLDS))
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with world(tmp_path_factory.mktemp("venues"), *WORLDS[request.param]) as made:
        yield request.param.partition(" ")[0], made
        made.end()


def test_an_order_rests_and_is_cancelled(home: Home) -> None:
    venue, there = home
    client_id = there.propose(venue)
    there.until(lambda: there.order(client_id).get("state") == "open")
    assert client_id in there.hand.open_ids(venue)
    there.cancel(client_id)
    there.until(lambda: there.over(client_id))
    assert client_id not in there.hand.open_ids(venue)
    (placed_at,) = there.asked(client_id, "place")
    by_socket = there.entry == "socket" and venue in SOCKETS
    assert (placed_at == SOCKETS.get(venue)) is by_socket, placed_at
    (lines,) = (one for one in there.gate.report()["order_lines"] if one["venue"] == venue)
    assert lines == {"venue": venue, "entry": "socket" if by_socket else "rest", "place": True, "cancel": True} | (
        {"spare": True} if by_socket else {}
    )


@pytest.mark.parametrize("home", list(SOCKETS), indirect=True)
def test_when_the_sockets_break_a_cancel_goes_all_the_same_and_orders_go_again(home: Home) -> None:
    venue, there = home
    rests = there.propose(venue)
    there.until(lambda: there.order(rests).get("state") == "open")
    there.hand.happen({"fault": "drop_sockets", "venue": venue})
    there.cancel(rests)
    there.until(lambda: there.over(rests))
    again = there.propose(venue, share="0.985")
    there.until(lambda: there.order(again).get("state") == "open")
    assert there.asked(again, "place") == [SOCKETS[venue]]
    there.cancel(again)
    there.until(lambda: there.over(again))


def test_what_is_bought_and_sold_is_booked_as_the_venue_made_it(home: Home) -> None:
    venue, there = home
    before = there.position(venue)
    bought = there.propose(venue, "buy", "1.002", tif=TimeInForce.IOC)
    there.until(lambda: there.over(bought) and there.position(venue) == before + MARKETS[venue].lots)
    sold = there.propose(venue, "sell", "0.998", tif=TimeInForce.IOC)
    there.until(lambda: there.over(sold) and there.position(venue) == before)
    assert not there.gate.report()["latches"]


@pytest.mark.parametrize("home", ["bybit", "upbit"], indirect=True)
def test_a_fee_that_is_not_the_one_that_was_told_freezes_its_account(home: Home) -> None:
    venue, there = home
    symbol, before = MARKETS[venue].symbol, there.position(venue)

    def fees() -> dict[str, Any]:
        return next(one for one in there.gate.report()["fees"] if (one["venue"], one["symbol"]) == (venue, symbol))

    def trade(side: str, share: str) -> None:
        compared, client_id = fees()["compared"], there.propose(venue, side, share, tif=TimeInForce.IOC)
        there.until(lambda: there.over(client_id) and fees()["compared"] > compared)

    def latches() -> list[dict[str, Any]]:
        return [one for one in there.gate.report()["latches"] if one["name"] == "fee"]

    there.until(lambda: not fees()["problem"])
    told = next(one for one in instruments_of(venue) if one.symbol == symbol).fees
    assert (fees()["maker"], fees()["taker"]) == (f"{told.maker:f}", f"{told.taker:f}")
    trade("buy", "1.002")
    assert (fees()["off"], latches()) == (0, [])
    there.hand.happen({"fault": "fee", "venue": venue, "symbol": symbol, "rate": "0.0008"})
    trade("sell", "0.998")
    there.until(latches)
    (latch,) = latches()
    assert (latch["scope"], latch["level"]) == ("account", "reduce_only")
    assert latch["subject"].startswith(f"{venue}/")
    there.refuses(venue, "level_reduces")
    there.hand.happen({"fault": "fee", "venue": venue, "symbol": symbol})
    words = ("--latch", "fee", "--scope", "account", "--subject", latch["subject"])
    there.patiently(lambda: command("resume", "--socket", there.gate.paths["raise"], *words)[0] == 0, 30)
    rests = there.propose(venue, share="0.985")
    there.cancel(rests)
    there.until(lambda: there.over(rests) and there.position(venue) == before)


@pytest.mark.parametrize("fault", ["accept_then_error", "lose_ack", "garbage"])
def test_an_order_whose_answer_is_lost_is_found_and_never_sent_again(home: Home, fault: str) -> None:
    venue, there = home
    there.hand.happen({"fault": fault, "venue": venue, "verb": "place"})
    client_id = there.propose(venue, share="0.985")
    there.until(lambda: there.order(client_id).get("state") == "open")
    assert there.copies(client_id) == 1
    there.cancel(client_id)
    there.until(lambda: there.over(client_id))
    assert client_id not in there.hand.open_ids(venue)


@pytest.mark.parametrize("fault", ["error_without_accepting", "reset_before"])
@pytest.mark.parametrize("home", ["binance_usdm", "bybit"], indirect=True)
def test_an_order_that_never_arrived_is_proven_absent(home: Home, fault: str) -> None:
    venue, there = home
    there.hand.happen({"fault": fault, "venue": venue, "verb": "place"})
    client_id = there.propose(venue, share="0.985")
    there.until(lambda: there.order(client_id).get("state") == "unknown")
    # Beside it one that did arrive, of which nobody told.
    there.hand.happen({"fault": "lose_ack", "venue": venue, "verb": "place"})
    arrived = there.propose(venue, share="0.984")
    # What proves it are later orders of ours in the same lists: one that rests and one that has ended.
    ended = there.propose(venue, share="0.987")
    later = [there.propose(venue, share="0.986")]
    there.cancel(ended)

    def proven() -> bool:
        if there.over(client_id, ended):
            return True
        # On a busy machine an interlock may take back the one that rests before the lists were read.
        if there.over(later[-1]):
            later.append(there.propose(venue, share="0.986"))
        return False

    there.patiently(proven)
    there.until(lambda: there.order(arrived).get("state") == "open" or there.over(arrived))
    there.cancel(arrived, *later)
    there.until(lambda: there.over(arrived, *later))
    everything = [client_id, arrived, ended, *later]
    assert [there.copies(one) for one in everything] == [1] * len(everything)
    told = set(there.journal("absent"))
    assert client_id in told
    assert not told & set(everything[1:])


def test_a_fill_that_is_told_twice_or_not_at_all_counts_once(home: Home) -> None:
    venue, there = home
    before, market = there.position(venue), MARKETS[venue]
    for fault in ("duplicate", "gap"):
        client_id = there.propose(venue, share="0.985")
        there.until(lambda client_id=client_id: there.order(client_id).get("state") == "open")  # type: ignore[misc]
        there.hand.happen(
            {"fault": fault, "venue": venue, "private": True},
            {"fault": "fill", "venue": venue, "client_id": client_id},
            {"fault": "drop_sockets", "venue": venue},
        )
        there.until(lambda client_id=client_id: there.over(client_id) and there.position(venue) == before + market.lots)  # type: ignore[misc]
        sold = there.propose(venue, "sell", "0.998", tif=TimeInForce.IOC)
        there.until(lambda sold=sold: there.over(sold) and there.position(venue) == before)  # type: ignore[misc]


@pytest.mark.parametrize("home", ["binance_usdm"], indirect=True)
def test_a_stream_that_was_lost_counts_as_connected_when_everything_was_read_again(home: Home) -> None:
    venue, there = home
    client_id = there.propose(venue, share="0.985")
    there.until(lambda: there.order(client_id).get("state") == "open")
    before, lots = there.position(venue), MARKETS[venue].lots
    # The venue answers no read of the account, and the stream does not tell of an execution.
    there.hand.happen(
        {"fault": "error_without_accepting", "venue": venue, "verb": "read", "times": 0},
        {"fault": "gap", "venue": venue, "private": True, "count": 10},
        {"fault": "fill", "venue": venue, "client_id": client_id},
        {"fault": "drop_sockets", "venue": venue},
    )
    try:
        there.until(lambda: there.tripped("reconnect"))
        # Longer than a stream has to be back before new risk is permitted.
        time.sleep(10)
        assert there.tripped("reconnect")
        assert there.position(venue) == before
        there.refuses(venue, "level_forbids")
    finally:
        there.hand.calm()
    there.until(lambda: not there.tripped("reconnect"), 60)
    assert there.position(venue) == before + lots
    sold = there.propose(venue, "sell", "0.998", tif=TimeInForce.IOC)
    there.until(lambda: there.over(sold) and there.position(venue) == before)


def test_a_fill_that_a_silent_stream_never_tells_is_found_by_reading(home: Home) -> None:
    """Nothing on it says that anything is missing, and a new connection would be silent as well."""
    venue, there = home
    before, lots = there.position(venue), MARKETS[venue].lots
    client_id = there.propose(venue, share="0.985")
    there.until(lambda: there.order(client_id).get("state") == "open")
    there.hand.happen({"fault": "silence", "venue": venue, "ms": 60_000}, {"fault": "fill", "venue": venue, "client_id": client_id})
    try:
        there.until(lambda: there.over(client_id) and there.position(venue) == before + lots, 60)
    finally:
        there.hand.calm()
    assert there.journal("fill").count(client_id) == 1
    sold = there.propose(venue, "sell", "0.998", tif=TimeInForce.IOC)
    there.until(lambda: there.over(sold) and there.position(venue) == before)
    assert not there.gate.report()["latches"]


def test_a_gate_that_is_killed_with_orders_open_leaves_none_and_knows_them_in_its_next_life(home: Home) -> None:
    venue, there = home
    rests = there.propose(venue)
    there.until(lambda: there.order(rests).get("state") == "open")
    there.hand.happen({"fault": "lose_ack", "venue": venue, "verb": "place"})
    lost = there.propose(venue, share="0.985")
    there.until(lambda: there.copies(lost) == 1)
    there.gate.die()
    # Both were taken; the sentinel may have begun to sweep behind the gate.
    assert {rests, lost} <= {order["client_id"] for order in there.hand.state(venue)["orders"]}
    there.until_at_venue(lambda: not there.hand.open_ids(venue))
    there.patiently(there.begins)
    # The sweep may have used up what the venue lets be asked in a minute.
    there.until(lambda: there.over(rests, lost), within_s=150)
    assert (there.copies(rests), there.copies(lost)) == (1, 1)
    # The control: it is a gate that may trade again, with everything looked at afresh.
    there.armed()


def test_an_order_that_never_arrived_at_upbit_waits_for_a_person(tmp_path: Path) -> None:
    with world(tmp_path, *WORLDS["upbit"]) as made:
        # What did arrive is found, and holds nothing up.
        made.hand.happen({"fault": "lose_ack", "venue": "upbit", "verb": "place"})
        arrived = made.propose("upbit", share="0.985")
        made.until(lambda: made.order(arrived).get("state") == "open")
        made.cancel(arrived)
        made.until(lambda: made.over(arrived))
        made.hand.happen({"fault": "error_without_accepting", "venue": "upbit", "verb": "place"})
        lost = made.propose("upbit", share="0.986")
        made.until(lambda: made.order(lost).get("state") == "quarantined")
        # Nothing new is permitted there; elsewhere it is.
        made.refuses("upbit", "venue_unresolved")
        rests = made.propose("bybit", share="0.985")
        made.until(lambda: made.order(rests).get("state") == "open")
        made.cancel(rests)
        made.until(lambda: made.over(rests))
        assert made.order(lost)["state"] == "quarantined"
        released = made.release(lost)
        assert released["result"] == "RELEASED", released
        made.until(lambda: made.over(lost))
        after = made.propose("upbit", share="0.987")
        made.until(lambda: made.order(after).get("state") == "open")
        made.cancel(after)
        made.until(lambda: made.over(after))
        assert [made.copies(one) for one in (arrived, lost, after)] == [1, 1, 1]
        assert (made.journal("absent"), made.journal("release")) == ([], [lost])
        assert not made.gate.report()["latches"]
        # It was under way all the same, and arrives.
        made.arrive("upbit", lost)
        made.until(lambda: made.gate.report()["latches"])
        (latch,) = made.gate.report()["latches"]
        assert (latch["level"], latch["scope"]) == ("halt", "all"), latch
        # What nobody can explain ends the grant as well.
        made.refuses("bybit", "not_armed")
        made.until(lambda: lost not in made.hand.open_ids("upbit"))
        made.until(lambda: made.over(lost))
