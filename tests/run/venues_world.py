"""The simulators of the three real venues, and a gate with its sentinel and checker that is armed there, as processes: what the tests of their lies
share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from tests.gate.serving import INTERLOCK, Serving, command, conditions, end_all, start
from tests.simulate.served.hand import VENUES, Hand
from tests.simulate.served.process import simulators

from interlock.cli.gate_client import boot_ns
from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate import frames as f
from interlock.gate.records import Book
from interlock.gate.verbs import SELF_CLEARING
from interlock.gate.web_socket import Incoming, Opcode
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


class _Came(msgspec.Struct, frozen=True):
    """A line of the simulators' record of bytes."""

    connection: str
    direction: str
    data: bytes = msgspec.field(name="bytes")


_decode_came = msgspec.json.Decoder(_Came).decode
_PRIVATE = {"binance_usdm": b"GET /private/", "bybit": b"GET /v5/private"}
"""How the connection of a private stream begins."""


class _Streamed:
    """The messages that a venue sent on one connection."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._head: bytes | None = b""
        self._incoming = Incoming()

    def take(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            _, ended, data = self._head.partition(b"\r\n\r\n")
            if not ended:
                return
            self._head = None
        for came in self._incoming.feed(data):
            if came.opcode is Opcode.TEXT:
                self.messages.append(json.loads(came.payload))


@dataclass
class World:
    """The simulators and a gate that is armed there."""

    folder: Path
    where: dict[str, Any]
    venues: tuple[str, ...]
    entry: str
    gate: Serving = field(init=False)
    said: dict[str, Any] = field(default_factory=dict)
    coins: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hand = Hand(self.where)
        self.places = self.folder / "places.json"
        self.places.write_text(json.dumps(self.where) + "\n", encoding="utf-8")
        self.limits = limits_for(self.folder, self.venues)
        for venue in self.venues:
            self.truly(venue)

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

    def armed(self, every_s: float = 10) -> None:
        """Armed; what a person attested before is still so."""
        self.patiently(lambda: self._arm() == "ARMED", every_s=every_s)

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
        self.patiently(lambda: self.proposed(venue, side, share, **more)[0] == "PERMIT", 130, every_s=0.3)
        return str(self.said["client_id"])

    def proposed(self, venue: str, side: str = "buy", share: str = "0.99", **more: Any) -> tuple[str, str]:
        """Propose once; what came of it and the rule that denied it."""
        market, stands = MARKETS[venue], self.gate.stands()
        (best,) = (one for one in stands.report["references"] if one["venue"] == venue)
        given: dict[str, Any] = {
            "tif": TimeInForce.POST_ONLY,
            "lots": market.lots,
            "ticks": int(best["bid_ticks"] * float(share)) // market.step * market.step,
            **more,
        }
        now_ns = boot_ns()
        book = Book(venue=venue, symbol=market.symbol, **{name: best[name] for name in ("bid_ticks", "ask_ticks", "boot_ns")})
        proposal = f.Proposal(
            venue=venue,
            symbol=market.symbol,
            side=Side[side.upper()],
            type=OrderType.LIMIT,
            strategy="demo",
            sequence=now_ns // 1_000,
            created_boot_ns=now_ns,
            deadline_boot_ns=now_ns + NS_PER_S,
            books=(book,),
            **given,
        )
        answer = self.gate.ask(f.Role.INTENT, f.Propose(proposals=(proposal,)))
        assert isinstance(answer, f.Decided), answer
        (decided,) = answer.decisions
        self.said = {"result": decided.result, "rule": decided.rule, "client_id": decided.client_id}
        if decided.rule in ("level_forbids", "level_reduces"):
            self._clear_what_flapped()
        return decided.result, decided.rule

    def _clear_what_flapped(self) -> None:
        """As a person would: one gate lives through all these tests, and an interlock that trips for the third time within an hour latches."""
        for latch in self.gate.report()["latches"]:
            if latch["name"] in FLAPS:
                self._clear(latch)

    def _clear(self, latch: dict[str, Any]) -> None:
        about = ("--subject", latch["subject"]) if latch["subject"] else ()
        command("resume", "--socket", self.gate.paths["raise"], "--latch", latch["name"], "--scope", latch["scope"], *about)

    def back_to_work(self) -> None:
        """Cleared and armed by a person who has looked, as far as what was found stands in the way."""
        for latch in self.gate.report()["latches"]:
            self._clear(latch)
        grant = self.gate.report()["grant"]
        if grant is None or grant["ended"]:
            self.armed(every_s=1)

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
        # The gate counts in the venue's finest ticks, the simulator in steps of its price.
        facts = json.loads((self.folder / "gate" / "run" / "facts.json").read_text(encoding="utf-8"))
        tick = Decimal(facts[f"{venue}/{instrument.symbol}"]["tick"])
        price = int(best["bid_ticks"] * 0.97) // MARKETS[venue].step * MARKETS[venue].step * tick
        self.hand.happen(
            {
                "fault": "foreign_order",
                "venue": venue,
                "symbol": instrument.symbol,
                "side": "buy",
                "price": f"{price:f}",
                "amount": f"{instrument.lot * MARKETS[venue].lots:f}",
                "client_id": client_id,
            }
        )

    def tripped(self, name: str) -> bool:
        """Whether an interlock of a name is tripped."""
        return any(one["name"] == name for one in self.gate.report()["trips"])

    def latched(self) -> set[tuple[str, str]]:
        """The latches that are in force, but for interlocks that tripped too often: each with its level."""
        return {(one["name"], one["level"]) for one in self.gate.report()["latches"] if one["name"] not in FLAPS}

    def rests(self, venue: str, share: str = "0.985", **more: Any) -> str:
        """An order of the gate's that the venue has taken and that rests; the client id."""
        client_id = self.propose(venue, share=share, **more)
        self.until(lambda: self.order(client_id).get("state") == "open")
        return client_id

    def trades(self, venue: str, side: str, lots: int = 0) -> None:
        """Buy or sell at once, and see it booked."""
        lots = lots or MARKETS[venue].lots
        before, sign, share = self.position(venue), *((1, "1.002") if side == "buy" else (-1, "0.998"))
        client_id = self.propose(venue, side, share, tif=TimeInForce.IOC, lots=lots)
        self.until(lambda: self.over(client_id) and self.position(venue) == before + sign * lots)

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

    def records(self, client_id: str) -> list[dict[str, Any]]:
        """What the journal says of an order."""
        code, told = command("journal", "tail", self.gate.paths["journal"], "--from-lsn", "1")
        assert code == 0, told
        return [line["record"] for line in told["records"] if line["record"].get("client_id") == client_id]

    def streamed(self, venue: str) -> list[dict[str, Any]]:
        """Every message of the venue's private streams, in the order in which it was sent."""
        found: dict[str, _Streamed] = {}
        with Path(self.where["witness"]).with_name("raw.jsonl").open("rb") as kept:
            for line in kept:
                if line.endswith(b"\n"):
                    came = _decode_came(line)
                    if came.direction == "in" and came.data.startswith(_PRIVATE[venue]):
                        found[came.connection] = _Streamed()
                    elif came.direction == "out" and came.connection in found:
                        found[came.connection].take(came.data)
        return [message for each in found.values() for message in each.messages]

    def truly(self, venue: str) -> int:
        """The lots that the venue truly holds of its market; of coins, those that came since the beginning."""
        instrument = next(one for one in instruments_of(venue) if one.symbol == MARKETS[venue].symbol)
        if venue == "upbit":
            held = self.hand.state(venue)["balances"][instrument.base]
            lots = instrument.lots(Decimal(held["free"]) + Decimal(held["locked"]))
            return lots - self.coins.setdefault(venue, lots)
        return instrument.lots(Decimal(self.hand.state(venue)["positions"].get(instrument.symbol, "0")))

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
        assert code == 0, found
        assert found["violations"] == [], found


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
