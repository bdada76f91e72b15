"""Positions at the stop of a run: reduced before the gate closes, told truthfully where that does not come to its end, and else kept.

One set of simulators and three runs in one folder; half a minute.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.run.live_ground import LiveGround, example, live_ground

from interlock.cli.main import main
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.sockets import Peer, Sockets, only_user
from interlock.run.at_stop import REASON, Ended, reduce_positions
from interlock.run.interrupt import StopWish

LOT = Decimal("0.001")


def held_lots(ground: LiveGround) -> int:
    """What the venue says that is held."""
    return int(Decimal(ground.hand.state("bybit")["positions"].get("BTCUSDT", "0")) / LOT)


def told_lots(lots: Mapping[str, int]) -> int:
    return lots.get("bybit:BTCUSDT", 0)


def with_position(ground: LiveGround) -> None:
    """Go on until something is held and nothing is open, because the grant has ended: somebody takes one of the maker's orders."""

    def held() -> bool:
        if ground.hand.open_ids("bybit") and not held_lots(ground):
            with suppress(AssertionError):  # the order has been moved meanwhile
                ground.hand.happen({"fault": "fill", "venue": "bybit", "symbol": "BTCUSDT"})
        return held_lots(ground) != 0

    while not held_lots(ground):  # the market may take it off again before the grant has ended
        ground.arm()
        ground.until(held)
        ground.ask(f.Role.LOWER, f.Disarm(reason="enough"))
        ground.until(lambda: not ground.hand.open_ids("bybit") and not ground.report()["orders"]["live"])


def stopping(ground: LiveGround) -> bool:
    """Whether the engine has ended."""
    return bool(ground.engine().get("ended", ""))


def test_positions_are_reduced_at_the_stop_or_it_is_said_what_is_left_or_they_are_kept(tmp_path: Path) -> None:
    with live_ground(tmp_path) as ground:
        # Under the leave to reduce, which has outlived the grant.
        run = ground.start("--for", "10m", "--at-stop", "reduce")
        ground.until(ground.sees_books)
        with_position(ground)
        code, kpi = ground.end(run, signal.SIGINT)
        assert (code, kpi["verdict"], kpi["at_stop"]["ended"]) == (130, "PASS", "flat"), kpi
        assert kpi["at_stop"]["before_lots"] != {}
        assert kpi["at_stop"]["after_lots"] == {}
        assert kpi["at_stop"]["permitted"] >= 1
        assert held_lots(ground) == 0
        assert ground.checked() == (0, [])
        code, again = ground.decided_again()
        assert (code, again["result"]) == (0, "SAME"), again["mismatch"]

        # The strategy is latched, so that nothing of it is permitted; and then somebody has had enough of waiting.
        run = ground.start("--for", "10m", "--at-stop", "reduce")
        ground.until(ground.sees_books)
        with_position(ground)
        ground.ask(f.Role.LOWER, f.Freeze(scope=r.Scope.STRATEGY, subject="making", level=r.Level.CANCEL_ONLY, reason="no more"))
        run.send_signal(signal.SIGINT)
        ground.until_any(lambda: stopping(ground))
        time.sleep(1)  # some attempts
        code, kpi = ground.end(run, signal.SIGINT)
        assert code == 1, "what did not hold is told, interrupted or not"
        assert (kpi["verdict"], kpi["failed"], kpi["gate_exit_code"]) == ("FAIL", ["positions reduced at the stop"], 0), kpi
        left = kpi["at_stop"]
        assert left["ended"] == "interrupted", left
        assert left["denials"], left
        assert told_lots(left["after_lots"]) == held_lots(ground) != 0
        assert ground.hand.open_ids("bybit") == set()

        # The control: what was left stays, if nothing else is asked for.
        before = held_lots(ground)
        code, kpi = ground.end(ground.start("--for", "3s"))
        assert (code, kpi["verdict"], kpi["at_stop"]) == (0, "PASS", {"wanted": "keep"}), kpi
        assert held_lots(ground) == before


def test_a_gate_that_is_gone_is_told_as_such(tmp_path: Path) -> None:
    sockets = {role: str(tmp_path / f"{role}.sock") for role in ("intent", "read")}
    found = reduce_positions(sockets, "making", StopWish(), lambda *_: None)
    assert (found.ended, found.before, found.after) == (Ended.LOST, None, None)
    assert found.told()["wanted"] == "reduce"
    assert REASON


@pytest.mark.parametrize("named", ["Reduce", "", "flat"])
def test_anything_else_is_refused(named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given: list[Any] = [
        "run",
        str(example()),
        "--mode",
        "live",
        "--places",
        "p",
        "--out",
        str(tmp_path / "run"),
        "--at-stop",
        named,
        "--json",
    ]
    assert main(given) == 2
    assert "--at-stop: expected keep or reduce" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (tmp_path / "run").exists()


@contextmanager
def gate_that_tells(folder: Path, *told: tuple[Mapping[str, int], int]) -> Iterator[tuple[Mapping[str, str], list[f.Frame]]]:
    """A gate's sockets behind which somebody tells this, one after the other, and then the last again: lots by symbol, and how many orders live."""
    heard: list[f.Frame] = []

    async def answer(_role: f.Role, _peer: Peer, request: f.Frame) -> f.Frame:
        if not isinstance(request, f.GetStatus):
            heard.append(request)
            return f.Done(report={})
        asked = sum(isinstance(one, f.GetStatus) for one in heard)
        heard.append(request)
        held, live = told[min(asked, len(told) - 1)]
        positions = [{"venue": "bybit", "account": "main", "symbol": symbol, "lots": lots} for symbol, lots in held.items()]
        report: dict[str, Any] = {"positions": positions, "orders": {"live": live, "owing": 0}, "references": []}
        return f.Status(incarnation="life", state_version=1, level=r.Level.RUN, armed=False, report=report)

    async def serve() -> None:
        async with Sockets(folder, "life", only_user(os.geteuid()), answer) as sockets:
            paths.update({role.value: str(path) for role, path in sockets.paths.items()})
            ready.set()
            while not over.is_set():  # noqa: ASYNC110 - the thread beside it tells
                await asyncio.sleep(0.01)

    paths: dict[str, str] = {}
    ready, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield paths, heard
    finally:
        over.set()
        thread.join(10)


def reduced_at(folder: Path, *told: tuple[Mapping[str, int], int]) -> tuple[Ended, int]:
    """How a reduction ended, and how often the gate was asked how things stand."""
    with gate_that_tells(folder, *told) as (paths, heard), StopWish() as stop:
        found = reduce_positions(paths, "maki", stop, lambda *_: None, within_s=1.0)
    return found.ended, sum(isinstance(one, f.GetStatus) for one in heard)


def test_nothing_is_flat_while_an_order_may_still_be_executed(tmp_path: Path) -> None:
    """What was being taken back executes after all."""
    late: tuple[tuple[Mapping[str, int], int], ...] = (({}, 1), ({}, 1), ({"BTCUSDT": 2}, 0))
    ended, asked = reduced_at(tmp_path / "late", *late)
    assert (ended, asked > 2) == (Ended.TIME, True), "there is no price to reduce it at here, so that it is left"
    assert reduced_at(tmp_path / "open", ({}, 1))[0] is Ended.TIME
    assert reduced_at(tmp_path / "flat", ({}, 0)) == (Ended.FLAT, 1), "the control"
