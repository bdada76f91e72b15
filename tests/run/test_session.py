"""A replay that is stopped while the other worlds of its fragility card run: whole records, and figures that say that it was stopped."""

import json
from pathlib import Path

import pytest

from interlock.domain.clock import ManualClock
from interlock.market.shipped import SHIPPED
from interlock.market.tape_write import write_tape
from interlock.run.config import RunConfig
from interlock.run.demo import EXAMPLES
from interlock.run.interrupt import StopWish
from interlock.run.layers import resolve
from interlock.run.session import Finished, replay_session
from interlock.simulate.outcome import Ending
from interlock.simulate.synthetic import generate

MAKING = EXAMPLES / "making-synthetic.toml"


def session(tmp_path: Path, stop_in_world: int, config: RunConfig | None = None) -> tuple[Finished, list[str]]:
    """A replay of a short tape; a person stops it when the given world begins (0: never)."""
    tape = tmp_path / "tape"
    write_tape(tape, generate(20_000, 6), (SHIPPED["binance_usdm:BTCUSDT"],), "synthetic")
    stages: list[str] = []
    with StopWish() as stop:

        def stage(what: str, _done: int, _total: int) -> None:
            stages.append(what)
            if stop_in_world and f"in world {stop_in_world}:" in what:
                stop.wanted = True

        clock = ManualClock(1_700_000_000_000_000_000)
        finished = replay_session(MAKING, tape, tmp_path / "runs", clock=clock, stop=stop, stage=stage, config=config)
    return finished, stages


@pytest.mark.parametrize(("stop_in_world", "exit_code"), [(0, 0), (2, 130)])
def test_a_stop_among_the_other_worlds_is_in_the_figures(tmp_path: Path, stop_in_world: int, exit_code: int) -> None:
    finished, stages = session(tmp_path, stop_in_world)
    kpi = json.loads((finished.folder / "kpi.json").read_text())
    assert kpi["exit_code"] == exit_code
    assert finished.interrupted is bool(stop_in_world)
    assert finished.ending is Ending.COMPLETE  # the replay itself was done
    assert any("in world 3:" in what for what in stages) is not bool(stop_in_world)


def test_the_evidence_has_the_digest_of_what_the_layers_came_to(tmp_path: Path) -> None:
    resolved = resolve(MAKING, {}, given=("seed=9",))
    finished, _ = session(tmp_path, 1, resolved.config)
    manifest, config = (json.loads((finished.folder / name).read_text()) for name in ("manifest.json", "config.json"))
    assert (manifest["config_digest"], manifest["seed"], config["seed"]) == (resolved.digest, 9, 9)
    assert resolved.digest != resolve(MAKING, {}).digest
