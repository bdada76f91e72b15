"""A live run that may not trade writes nothing that could raise risk: read-only, after its grant has expired, and killed.

The venues' witness says so. One set of simulators and two starts in one folder; each phase has its control beside it, in which the same market and
engine do write. A run that nobody arms is in test_live_run.py.

Cost: half a minute, most of it the two starts.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gate.serving import ACK, command, conditions
from tests.run.live_ground import LiveGround, live_ground

from interlock.cli.main import main
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk, recover

ORDER = {"venue": "bybit", "symbol": "BTCUSDT", "side": "buy", "type": "limit", "tif": "post_only", "lots": 1, "strategy": "making"}
NS_PER_S = 1_000_000_000
UNDER_WAY_NS = NS_PER_S
"""So long after a grant's end an order that was decided before it may be seen at a venue, on a busy machine."""
DECISIONS = 10


@dataclass
class Run:
    """The run in the ground's folder."""

    ground: LiveGround

    def arm(self, lifetime: str) -> dict[str, Any]:
        """One try."""
        socket = str(self.ground.out / "run" / "raise.sock")
        given = ("--scripted", "--ack", ACK, "--max-notional-usd", "1000", "--for", lifetime)
        _, told = command("arm", "--socket", socket, *given, env=conditions(LIVE_MAX_NOTIONAL_USD="1000"), timeout_s=120)
        assert isinstance(told, dict), told
        return told

    def armed(self, lifetime: str) -> None:
        """Tried again while something that comes and goes is in its way."""
        self.ground.until(lambda: self.arm(lifetime).get("result") == "ARMED")

    def records(self, kind: type[Any] | tuple[type[Any], ...]) -> list[Any]:
        """Those of a kind in the journal, which goes on."""
        found: list[Any] = []

        def take(_lsn: int, payload: bytes) -> None:
            record = r.decode(payload)
            if isinstance(record, kind):
                found.append(record)

        recover(SystemDisk(), self.ground.out / "journal", schema=r.SCHEMA, consume=take)
        return found

    def by_hand(self) -> tuple[str, str]:
        """An order in the engine's name, numbered as its next one, so that the engine can go on afterwards; (result, rule)."""
        last = max((one.sequence for one in self.records((r.Intent, r.Deny)) if one.strategy == "making"), default=0)
        price = self.ground.engine()["books"][0]["bid_ticks"] - 500
        order = json.dumps({**ORDER, "ticks": price, "sequence": last + 1})
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # In this process: another one would take a good part of a short grant to start.
            main(["intent", "--socket", str(self.ground.out / "run" / "intent.sock"), order, "--json"])
        told = json.loads(printed.getvalue())
        return told["result"], told.get("rule", "")

    def denied_by(self, rule: str) -> None:
        """An order by hand is denied again and again, and at last by this rule: what comes and goes on a busy machine may deny it before."""

        def so() -> bool:
            result, found = self.by_hand()
            assert result == "DENY"
            return found == rule

        self.ground.until(so)

    def goes_on(self) -> None:
        """The engine hears the market and decides for a while."""
        before = self.ground.engine()["decisions"]
        self.ground.until(lambda: self.ground.engine()["decisions"] > before + DECISIONS)

    def writes(self, since: int = 0) -> list[dict[str, Any]]:
        """Requests that could change anything, as the venues saw them, from a line of the witness on."""
        return [line for line in self.ground.witness()[since:] if line["class"] not in ("READ", "BEAT")]

    def raising(self, since: int = 0) -> list[dict[str, Any]]:
        """Those that could raise risk."""
        return [line for line in self.writes(since) if line["class"] != "RISK-"]

    def trades(self) -> None:
        """The control: the engine's orders reach the venue, and so does one by hand, which rests far from the price."""
        since, permitted = len(self.ground.witness()), self.ground.engine()["counts"].get("permitted", 0)
        self.ground.until(lambda: self.ground.engine()["counts"].get("permitted", 0) > permitted)
        self.ground.until(lambda: self.by_hand()[0] == "PERMIT")  # the engine may have used the number meanwhile
        assert sum(line["bytes"] for line in self.raising(since)) > 0


def test_a_run_that_is_read_only_expired_or_killed_writes_nothing_that_raises_risk(tmp_path: Path) -> None:
    with live_ground(tmp_path) as ground:
        run = Run(ground)

        # Read-only, because nobody said that it is not: neither armed, nor does an order by hand get through.
        process = ground.start("--for", "10m", read_only=None)
        ground.until(ground.sees_books)
        refused = run.arm("10m")
        assert "read_only_missing" in [one["rule"] for one in refused["refusals"]], refused
        run.denied_by("read_only")
        run.goes_on()
        code, kpi = ground.end(process, signal.SIGINT)
        assert (code, kpi["permits"], kpi["verdict"]) == (130, 0, "PASS"), kpi
        assert run.writes() == []
        assert ground.witness(), "it looked all the same"

        # The same folder, market and commands, with the one variable: it trades.
        process = ground.start("--for", "10m")
        ground.until(ground.sees_books)
        run.armed("6s")
        run.trades()

        # Until the grant ends by itself: cancels, and nothing else.
        ground.until(lambda: ground.report()["phase"] != "armed" and not ground.report()["orders"]["live"])
        expired = len(ground.witness())
        run.denied_by("grant_expired")
        run.goes_on()
        assert run.writes(expired) == []
        grant = run.records(r.Armed)[-1]
        until_ns = grant.wall_ns + grant.grant.expires_boot_ns - grant.grant.minted_boot_ns
        assert grant.grant.purpose is r.Purpose.TRADE
        assert [line for line in run.raising() if line["wall_ns"] > until_ns + UNDER_WAY_NS] == []
        assert "RISK-" in {line["class"] for line in run.writes() if line["wall_ns"] > until_ns}, "what was open was taken back"
        assert ground.hand.open_ids("bybit") == set()

        # It was the grant: with another one it trades again.
        run.armed("10m")
        run.trades()

        # Killed: from FINAL on not a byte, not even of a cancel, whatever is asked for.
        code, told = command("kill", "--socket", str(ground.out / "run" / "lower.sock"))
        assert (code, told["result"]) == (0, "FINAL"), told
        killed = len(ground.witness())
        assert ground.hand.open_ids("bybit") == set()
        run.denied_by("killed")
        assert [one["rule"] for one in run.arm("10m")["refusals"]] == ["killed"]
        run.goes_on()
        assert run.writes(killed) == []
        code, kpi = ground.end(process, signal.SIGINT)
        assert (code, kpi["verdict"], kpi["kills"], kpi["gate_lives"]) == (130, "PASS", 1, 2), kpi
        assert run.writes(killed) == []
        assert ground.checked() == (0, [])
