"""An engine that a gate as a process has heard of and hears of no more. Ten to twenty seconds, six of
them for the engine that stays."""

from __future__ import annotations

import os
from pathlib import Path

from tests.gate.serving import serving, until

from interlock.domain.orders import OrderState
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.following import GONE_NS
from interlock.gate.sockets import Client


def test_a_gate_takes_back_the_orders_of_an_engine_that_is_gone_and_those_of_one_that_stays_not(tmp_path: Path) -> None:
    with serving(tmp_path / "gate") as gate:
        gate.armed()
        with Client(Path(gate.paths["intent"]), f.Role.INTENT, frozenset({os.geteuid()})) as engine:
            told = engine.request(f.Follow(after=0, wait_ns=0))
            assert isinstance(told, f.Followed)
            assert (told.armed, told.level) == (True, r.Level.RUN)
            assert all(one.state.final for one in told.orders), "of the drill"
            code, decided = gate.intent()
            assert code == 0
            seen: dict[str, OrderState] = {}
            version = told.version

            def follow() -> bool:
                nonlocal version
                answer = engine.request(f.Follow(after=version, wait_ns=100_000_000))
                assert isinstance(answer, f.Followed)
                version = answer.version
                seen.update({one.client_id: one.state for one in answer.orders})
                return seen.get(decided["client_id"]) is OrderState.OPEN

            until(follow)
            # As long as it asks, nothing is taken back.
            for _ in range(2 * GONE_NS // 100_000_000):
                follow()
            assert gate.open_at_venue() == [decided["client_id"]]
        until(lambda: gate.open_at_venue() == [])
        assert [one["client_id"] for one in gate.witness() if one["verb"].startswith("cancel")][-1:] == [decided["client_id"]]
