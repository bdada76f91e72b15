"""A gate with its sentinel and checker as processes, trading over the wire at the simulators of the three real venues, which lie to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tests.gate.serving import INTERLOCK, Serving, command, conditions, end_all, start
from tests.simulate.served.hand import VENUES, Hand
from tests.simulate.served.process import simulators

from interlock.gate import frames as f
from interlock.gate.verbs import SELF_CLEARING
from interlock.simulate.served.listing import instruments_of

CAP = "1000"
FLAPS = {one.value for one in SELF_CLEARING}
"""Interlocks: they trip and clear by themselves."""
UNTOLD = {
    "upbit": ("--trade", "yes", "--withdraw", "no", "--transfer", "no", "--address-bound", "yes"),
    "binance_usdm": ("--expires", "never"),
}
"""What a venue does not tell of a key, as its owner attests it."""


@dataclass(frozen=True)
class Market:
    """What a test must know of a venue's market: a step of its prices in ticks, and a size that every order there may have."""

    symbol: str
    step: int
    lots: int


MARKETS = {
    "upbit": Market("KRW-BTC", 1_000, 100_000),
    "binance_usdm": Market("BTCUSDT", 10, 2),
    "bybit": Market("BTCUSDT", 1, 2),
}


def limits_for(folder: Path, venues: tuple[str, ...]) -> Path:
    """The shipped limits of the served venues, of those alone that are named."""
    text = (resources.files("interlock.gate") / "examples" / "limits_served.toml").read_text(encoding="utf-8")
    parts = text.split("\n[")
    kept = [
        part for part in parts if not any(part.startswith((f"venues.{one}]", f'symbols."{one}:')) for one in VENUES if one not in venues)
    ]
    if "upbit" not in venues:
        kept = [part for part in kept if not part.startswith("currencies.KRW]")]
    file = folder / "limits.toml"
    file.write_text("\n[".join(kept), encoding="utf-8")
    return file


@dataclass
class World:
    """The simulators and a gate that is armed there."""

    folder: Path
    where: dict[str, Any]
    venues: tuple[str, ...]
    entry: str
    gate: Serving = field(init=False)
    said: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hand = Hand(self.where)
        self.places = self.folder / "places.json"
        self.places.write_text(json.dumps(self.where) + "\n", encoding="utf-8")
        self.limits = limits_for(self.folder, self.venues)

    def begin(self) -> None:
        words = (
            *INTERLOCK,
            "gate",
            "serve",
            "--venue",
            "served",
            "--places",
            str(self.places),
            "--dir",
            str(self.folder / "gate"),
            "--entry",
            self.entry,
            "--json",
        )
        self.gate = start(self.folder / "gate", limits=self.limits, command=words)

    def begins(self) -> bool:
        """Begin, or say why not: behind a gate that died what was used of a venue's limits or of the host's time may hold up the next one."""
        try:
            self.begin()
        except AssertionError as refused:
            self.said = {"refused": str(refused)}
            return False
        return True

    def ready(self) -> None:
        """Attested and armed; what a venue's limits hold up is tried again."""
        for venue in self.venues:
            if venue in UNTOLD:
                self.patiently(lambda venue=venue: self._attest(venue) == "ATTESTED")  # type: ignore[misc]
        self.armed()

    def armed(self) -> None:
        """Armed; what a person attested before is still so."""
        self.patiently(lambda: self._arm() == "ARMED", every_s=10)

    def _attest(self, venue: str) -> str:
        given = ("attest", "--socket", self.gate.paths["raise"], "--venue", venue, "--for", "30d", "--scripted", *UNTOLD[venue])
        _, told = command(*given, "--statement", "nothing yet")
        words = [one["message"].split("'")[1] for one in told["refusals"] if one["rule"] == "statement"]
        self.said = told
        if not words:
            return "REFUSED"
        _, self.said = command(*given, "--statement", words[0])
        return str(self.said["result"])

    def _arm(self) -> str:
        """Behind a start the state goes on changing: whoever arms looks again, and repeats it."""
        given = ("--scripted", "--ack", "I_UNDERSTAND_LIVE_RISK", "--max-notional-usd", CAP, "--for", "2h")
        for _ in range(5):
            _, self.said = command(
                "arm", "--socket", self.gate.paths["raise"], *given, env=conditions(LIVE_MAX_NOTIONAL_USD=CAP), timeout_s=120
            )
            if {one["rule"] for one in self.said.get("refusals", ())} != {"stale_version"}:
                break
        if self.said["result"] != "ARMED":
            self._clear_what_flapped()
        return str(self.said["result"])

    def patiently(self, done: Callable[[], bool], within_s: float = 150, every_s: float = 1) -> None:
        deadline = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < deadline, json.dumps([self.standing(), self.said, self.complaints()])
            time.sleep(every_s)

    def until(self, so: Callable[[], object], within_s: float = 90) -> None:
        deadline = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline, json.dumps([self.standing(), self.complaints()])
            time.sleep(0.05)

    def until_at_venue(self, so: Callable[[], object], within_s: float = 90) -> None:
        """The same while there is no gate that could be asked."""
        deadline = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline, (self.hand.state(self.venues[0])["orders"], self.complaints())
            time.sleep(0.05)

    def standing(self) -> dict[str, Any]:
        found = self.gate.report()
        return {name: found[name] for name in ("level", "latches", "trips", "orders", "references", "venues") if name in found}

    def complaints(self) -> str:
        return (self.folder / "gate" / "gate.stderr").read_text(encoding="utf-8")[-1500:]

    # Orders

    def propose(self, venue: str, side: str = "buy", share: str = "0.99", **more: Any) -> str:
        """Propose until it is permitted, at a part of the best bid; the client id.

        Interlocks come and go: behind several reconnects Binance's weight may be used up, and then its book comes in the next minute.
        """
        self.patiently(lambda: self.proposed(venue, side, share, **more)[0] == "PERMIT", 130)
        return str(self.said["client_id"])

    def proposed(self, venue: str, side: str = "buy", share: str = "0.99", **more: Any) -> tuple[str, str]:
        """Propose once; what came of it and the rule that denied it."""
        market = MARKETS[venue]
        (best,) = (one for one in self.gate.report()["references"] if one["venue"] == venue)
        given: dict[str, Any] = {
            "venue": venue,
            "symbol": market.symbol,
            "side": side,
            "type": "limit",
            "tif": "post_only",
            "lots": market.lots,
            "ticks": int(best["bid_ticks"] * float(share)) // market.step * market.step,
        }
        _, self.said = command("intent", "--socket", self.gate.paths["intent"], json.dumps({**given, **more}))
        if self.said["rule"] == "level_forbids":
            self._clear_what_flapped()
        return self.said["result"], self.said["rule"]

    def _clear_what_flapped(self) -> None:
        """As a person would: one gate lives through all these tests, and an interlock that trips for the third time within an hour latches."""
        for latch in self.gate.report()["latches"]:
            if latch["name"] in FLAPS:
                about = ("--subject", latch["subject"]) if latch["subject"] else ()
                command("resume", "--socket", self.gate.paths["raise"], "--latch", latch["name"], "--scope", latch["scope"], *about)

    def refuses(self, venue: str, rule: str) -> None:
        """Propose until it is denied by that rule: on a busy machine an intent may be old before it is looked at. It is never permitted."""

        def denied() -> bool:
            result, by = self.proposed(venue, share="0.985")
            assert result == "DENY"
            return by == rule

        self.patiently(denied, 30)

    def release(self, client_id: str) -> dict[str, Any]:
        """A person looked at the venue, and says that an order never was there."""
        words = ("release", client_id, "--socket", self.gate.paths["raise"], "--state", "absent", "--filled-lots", "0")
        told: dict[str, Any] = command(*words)[1]
        return told

    def arrive(self, venue: str, client_id: str) -> None:
        """An order of that name comes to rest at the venue, far below the market, without a request that its witness could see."""
        instrument = next(one for one in instruments_of(venue) if one.symbol == MARKETS[venue].symbol)
        (best,) = (one for one in self.gate.report()["references"] if one["venue"] == venue)
        ticks = int(best["bid_ticks"] * 0.97) // MARKETS[venue].step * MARKETS[venue].step
        self.hand.happen(
            {
                "fault": "foreign_order",
                "venue": venue,
                "symbol": instrument.symbol,
                "side": "buy",
                "price": f"{instrument.price(ticks):f}",
                "amount": f"{instrument.lot * MARKETS[venue].lots:f}",
                "client_id": client_id,
            }
        )

    def tripped(self, name: str) -> bool:
        """Whether an interlock of a name is tripped."""
        return any(one["name"] == name for one in self.gate.report()["trips"])

    def order(self, client_id: str) -> dict[str, Any]:
        """How the gate has the order; empty once it is over and done with."""
        return next((one for one in self.gate.report()["orders"]["list"] if one["client_id"] == client_id), {})

    def cancel(self, *ids: str) -> None:
        self.gate.ask(f.Role.INTENT, f.CancelOwn(client_ids=ids, reason="the test is over"))

    def over(self, *ids: str) -> bool:
        return not any(self.order(one) for one in ids)

    def asked(self, client_id: str, verb: str) -> list[str]:
        """Where the requests that name it reached its venue."""
        return [
            line["target"]
            for line in self.gate.witness()
            if line["verb"] == verb and client_id in json.dumps([line["client_id"], line["children"]])
        ]

    def copies(self, client_id: str) -> int:
        """How often a placement of it reached its venue."""
        return len(self.asked(client_id, "place"))

    def journal(self, kind: str) -> list[str]:
        """The client ids of the records of a kind."""
        code, told = command("journal", "tail", self.gate.paths["journal"], "--from-lsn", "1")
        assert code == 0, told
        return [line["record"]["client_id"] for line in told["records"] if line["record"]["k"] == kind]

    def position(self, venue: str) -> int:
        return sum(int(one["lots"]) for one in self.gate.report()["positions"] if one["venue"] == venue)

    def end(self) -> None:
        """A kill leaves nothing, and what the venues saw is what the journal says."""
        code, told = self.gate.kill()
        assert (code, told["result"]) == (0, "FINAL"), told
        assert {venue: self.hand.open_ids(venue) for venue in self.venues} == {venue: set() for venue in self.venues}
        facts = self.folder / "gate" / "run" / "facts.json"
        truth = Path(self.gate.paths["witness"]).with_name("truth.jsonl")
        code, found = command(
            "trace",
            "check",
            self.gate.paths["journal"],
            "--witness",
            self.gate.paths["witness"],
            "--truth",
            str(truth),
            "--facts",
            str(facts),
        )
        assert (code, found["violations"]) == (0, []), found


@contextmanager
def world(folder: Path, venues: tuple[str, ...], entry: str = "socket") -> Iterator[World]:
    with simulators(folder) as where:
        made = World(folder / "w", where, venues, entry)
        try:
            made.begin()
            try:
                made.ready()
                yield made
            finally:
                made.gate.die()
        finally:
            end_all(folder / "w" / "gate")


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
    bought = there.propose(venue, "buy", "1.002", tif="ioc")
    there.until(lambda: there.over(bought) and there.position(venue) == before + MARKETS[venue].lots)
    sold = there.propose(venue, "sell", "0.998", tif="ioc")
    there.until(lambda: there.over(sold) and there.position(venue) == before)
    assert not there.gate.report()["latches"]


@pytest.mark.parametrize("home", ["bybit", "upbit"], indirect=True)
def test_a_fee_that_is_not_the_one_that_was_told_freezes_its_account(home: Home) -> None:
    venue, there = home
    symbol, before = MARKETS[venue].symbol, there.position(venue)

    def fees() -> dict[str, Any]:
        return next(one for one in there.gate.report()["fees"] if (one["venue"], one["symbol"]) == (venue, symbol))

    def trade(side: str, share: str) -> None:
        compared, client_id = fees()["compared"], there.propose(venue, side, share, tif="ioc")
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
        sold = there.propose(venue, "sell", "0.998", tif="ioc")
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
    sold = there.propose(venue, "sell", "0.998", tif="ioc")
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
    sold = there.propose(venue, "sell", "0.998", tif="ioc")
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
