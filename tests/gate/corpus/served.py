"""Writes a journal for the corpus as a gate of processes leaves it: `python -m tests.gate.corpus.served NAME`, never over one that is there.

Two venues, one of them shared. What is expected is taken from the venues, as in `story`.
"""

from __future__ import annotations

import json
import lzma
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.gate.corpus.story import HERE
from tests.gate.serving import ACK, Serving, command, conditions, serving, until

from interlock.domain.orders import Side
from interlock.gate import records as r
from interlock.run.gate_launch import example_limits
from interlock.simulate.fake_venue.control import ForeignOrder, MoveBalance

VENUES = ("binance_usdm", "bybit")
ETH_BID = 250_000


def limits(folder: Path) -> Path:
    """The example limits twice, for either venue; what others do in ETH at bybit is theirs."""
    text = example_limits().read_text(encoding="utf-8").replace("_usd = 100\n", "_usd = 1000\n")
    parts = text.split("\n[")
    again = [part.replace("bybit", "binance_usdm") for part in parts if part.startswith(("venues.bybit]", "symbols."))]
    shared = text.replace('accounts = ["main"]', 'accounts = ["main"]\nshared = true\nunmanaged_assets = ["ETH"]')
    sheet = folder / "limits.toml"
    sheet.write_text("\n[".join([shared, *again]) + "\n", encoding="utf-8")
    return sheet


def leg(venue: str, side: str, ticks: int) -> dict[str, Any]:
    """One leg of the pair, whole."""
    return {"venue": venue, "symbol": "BTCUSDT", "side": side, "tif": "ioc", "ticks": ticks, "lots": 2}


def live(gate: Serving, sheet: Path) -> None:
    """Others trade and a deposit of theirs comes; a pair is entered in two parts and answered, limits are tightened, a kill ends it."""
    given = ("arm", "--socket", gate.paths["raise"], "--scripted", "--ack", ACK, "--for", "10m")
    code, told = command(*given, env=conditions(LIVE_MAX_NOTIONAL_USD="1000"))
    assert (code, told["result"]) == (0, "ARMED"), told
    gate.tell(ForeignOrder(venue="bybit", symbol="ETHUSDT", side=Side.BUY, ticks=ETH_BID - 50, lots=1, client_id="web-1"))
    gate.tell(ForeignOrder(venue="bybit", symbol="ETHUSDT", side=Side.BUY, ticks=ETH_BID + 1, lots=1))
    gate.tell(MoveBalance(venue="bybit", kind="deposit", currency="ETH", amount="3"))
    until(lambda: float(gate.report()["shared"][0]["theirs_usd"]) > 1)
    first, second = leg("bybit", "buy", 500_100), leg("binance_usdm", "sell", 499_900)
    plan = {"legs": [first, second], "deadline_ms": 60_000, "naked_cap_usd": "200", "loss_bound_usd": "10"}
    permitted(gate.intent(**{**first, "lots": 1}, group="p", plan=plan))
    until(lambda: held(gate) == (1, 0))
    assert gate.intent(**{**second, "lots": 2}, group="p")[1]["result"] == "DENY"
    permitted(gate.intent(**{**first, "lots": 1}, group="p"))
    until(lambda: held(gate) == (2, 0))
    permitted(gate.intent(**{**second, "lots": 1}, group="p"))
    until(lambda: held(gate) == (2, -1))
    text = sheet.read_text(encoding="utf-8").replace("max_group_loss_usd = 20", "max_group_loss_usd = 15")
    tighter = sheet.with_name("tighter.toml")
    tighter.write_text(text, encoding="utf-8")
    code, told = command("tighten", "--socket", gate.paths["lower"], "--limits", str(tighter), "--reason", "for the corpus")
    assert (code, told["result"]) == (0, "TIGHTENED"), told
    permitted(gate.intent(**{**second, "lots": 1}, group="p"))
    until(lambda: held(gate) == (2, -2))
    permitted(gate.intent(side="sell", ticks=501_000, tif="gtc"))
    code, told = gate.kill()
    assert (code, told["result"]) == (0, "FINAL"), told


def permitted(answer: tuple[int, Any]) -> None:
    """Raises AssertionError for anything else."""
    assert answer[1]["result"] == "PERMIT", answer


def held(gate: Serving) -> tuple[int, int]:
    """What the gate holds at bybit and at the other venue, lots."""
    lots = {one["venue"]: one["lots"] for one in gate.report()["positions"] if one["symbol"] == "BTCUSDT"}
    return lots.get("bybit", 0), lots.get("binance_usdm", 0)


def truth(gate: Serving) -> dict[str, Any]:
    """How every order of ours ended at either venue, and what is held at the shared one."""
    found = {venue: gate.truth(venue) for venue in VENUES}
    ours = [order for one in found.values() for order in one.orders if order.client_id.startswith("demo")]
    return {
        "orders": {
            order.client_id: {"state": order.state.value, "filled_lots": order.filled_lots}
            for order in sorted(ours, key=lambda one: one.client_id)
        },
        "lots": next(one.lots for one in found["bybit"].positions if one.symbol == "BTCUSDT"),
    }


def main(name: str) -> None:
    """Live the story and write it down."""
    into = HERE / name
    into.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        sheet = limits(Path(folder))
        with serving(Path(folder) / "gate", limits=sheet) as gate:
            live(gate, sheet)
            expected = truth(gate)
            assert gate.stop() == 0
            kept = [*Path(gate.paths["journal"]).glob("*.seg"), Path(gate.paths["witness"]), Path(gate.addresses.truth)]
            for file in sorted(kept):
                (into / f"{file.name}.xz").write_bytes(lzma.compress(file.read_bytes()))
    (into / "expected.json").write_text(json.dumps({"schema": r.SCHEMA, **expected}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
