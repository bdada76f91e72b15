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

CAP = "1000"
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
    gate: Serving = field(init=False)

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
            "--json",
        )
        self.gate = start(self.folder / "gate", limits=self.limits, command=words)

    def ready(self) -> None:
        """Attested and armed; what a venue's limits hold up is tried again."""
        for venue in self.venues:
            if venue in UNTOLD:
                self.patiently(lambda venue=venue: self._attest(venue) == "ATTESTED")  # type: ignore[misc]
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
        given = ("--scripted", "--ack", "I_UNDERSTAND_LIVE_RISK", "--max-notional-usd", CAP, "--for", "10m")
        _, self.said = command(
            "arm", "--socket", self.gate.paths["raise"], *given, env=conditions(LIVE_MAX_NOTIONAL_USD=CAP), timeout_s=120
        )
        return str(self.said["result"])

    def patiently(self, done: Callable[[], bool], within_s: float = 150, every_s: float = 1) -> None:
        deadline = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < deadline, (getattr(self, "said", ""), self.complaints())
            time.sleep(every_s)

    def until(self, so: Callable[[], object], within_s: float = 40) -> None:
        deadline = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline, (self.gate.report()["orders"], self.gate.report()["latches"], self.complaints())
            time.sleep(0.05)

    def complaints(self) -> str:
        return (self.folder / "gate" / "gate.stderr").read_text(encoding="utf-8")[-1500:]

    # Orders

    def propose(self, venue: str, side: str = "buy", share: str = "0.99", **more: Any) -> str:
        """Propose until it is permitted (interlocks come and go), at a part of the best bid; the client id."""
        market = MARKETS[venue]
        given: dict[str, Any] = {
            "venue": venue,
            "symbol": market.symbol,
            "side": side,
            "type": "limit",
            "tif": "post_only",
            "lots": market.lots,
        }

        def permitted() -> bool:
            (best,) = (one for one in self.gate.report()["references"] if one["venue"] == venue)
            ticks = int(best["bid_ticks"] * float(share)) // market.step * market.step
            _, self.said = command("intent", "--socket", self.gate.paths["intent"], json.dumps({**given, "ticks": ticks, **more}))
            return bool(self.said["result"] == "PERMIT")

        self.patiently(permitted, 60)
        return str(self.said["client_id"])

    def order(self, client_id: str) -> dict[str, Any]:
        """How the gate has the order; empty once it is over and done with."""
        return next((one for one in self.gate.report()["orders"]["list"] if one["client_id"] == client_id), {})

    def cancel(self, *ids: str) -> None:
        self.gate.ask(f.Role.INTENT, f.CancelOwn(client_ids=ids, reason="the test is over"))

    def over(self, *ids: str) -> bool:
        return not any(self.order(one) for one in ids)

    def copies(self, client_id: str) -> int:
        """How often a placement of it reached its venue."""
        return sum(
            line["verb"] == "place" and client_id in json.dumps([line["client_id"], line["children"]]) for line in self.gate.witness()
        )

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
def world(folder: Path, venues: tuple[str, ...]) -> Iterator[World]:
    with simulators(folder) as where:
        made = World(folder / "w", where, venues)
        try:
            made.begin()
            try:
                made.ready()
                yield made
            finally:
                made.gate.die()
        finally:
            end_all(folder / "w" / "gate")


WORLDS = {"upbit": ("upbit", "bybit"), "bybit": ("bybit",), "binance_usdm": ("binance_usdm",)}
"""Where a gate trades for the tests of a venue. What Upbit's coins are worth in dollars is told where a dollar has a price."""

Home = tuple[str, World]


@pytest.fixture(scope="module", params=list(WORLDS))
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with world(tmp_path_factory.mktemp("venues"), WORLDS[request.param]) as made:
        yield request.param, made
        made.end()


def test_an_order_rests_and_is_cancelled(home: Home) -> None:
    venue, there = home
    client_id = there.propose(venue)
    there.until(lambda: there.order(client_id).get("state") == "open")
    assert client_id in there.hand.open_ids(venue)
    there.cancel(client_id)
    there.until(lambda: there.over(client_id))
    assert client_id not in there.hand.open_ids(venue)
    assert there.copies(client_id) == 1


def test_what_is_bought_and_sold_is_booked_as_the_venue_made_it(home: Home) -> None:
    venue, there = home
    before = there.position(venue)
    bought = there.propose(venue, "buy", "1.002", tif="ioc")
    there.until(lambda: there.over(bought) and there.position(venue) == before + MARKETS[venue].lots)
    sold = there.propose(venue, "sell", "0.998", tif="ioc")
    there.until(lambda: there.over(sold) and there.position(venue) == before)
    assert not there.gate.report()["latches"]


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


@pytest.mark.parametrize("home", ["bybit"], indirect=True)
def test_an_order_that_never_arrived_is_proven_absent(home: Home) -> None:
    venue, there = home
    there.hand.happen({"fault": "error_without_accepting", "venue": venue, "verb": "place"})
    client_id = there.propose(venue, share="0.985")
    there.until(lambda: there.order(client_id).get("state") == "unknown")
    # What proves it are later orders of ours in the same lists: one that rests and one that has ended.
    rests, ended = (there.propose(venue, share=share) for share in ("0.986", "0.987"))
    there.until(lambda: there.order(ended).get("state") == "open")
    there.cancel(ended)
    there.until(lambda: there.over(client_id, ended), 100)
    there.cancel(rests)
    there.until(lambda: there.over(rests))
    assert there.copies(client_id) == 1


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


def test_a_gate_that_is_killed_with_an_answer_under_way_finds_its_orders_again(tmp_path: Path) -> None:
    with world(tmp_path, ("bybit",)) as made:
        rests = made.propose("bybit")
        made.until(lambda: made.order(rests).get("state") == "open")
        made.hand.happen({"fault": "lose_ack", "venue": "bybit", "verb": "place"})
        lost = made.propose("bybit", share="0.985")
        made.until(lambda: made.copies(lost) == 1)
        made.gate.die()
        assert made.hand.open_ids("bybit") == {rests, lost}
        made.begin()
        # The sentinel has swept behind a gate that is gone; what was sent is known, and over.
        made.until(lambda: made.over(rests, lost) and not made.hand.open_ids("bybit"))
        assert (made.copies(rests), made.copies(lost)) == (1, 1)
        made.end()
