"""Spinning: off unless a configuration asks for it, refused where there is no core to spare, and of no influence on what is decided.

Cost: an engine for some seconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.gate.serving import until
from tests.run.live_ground import example
from tests.simulate.served.process import simulators

from interlock.cli.main import main
from interlock.domain.errors import UsageError
from interlock.engine.again import decide_again
from interlock.engine.inputs import InputsRead
from interlock.run import engine_process
from interlock.run.config import load_config
from interlock.run.frozen import frozen_text
from interlock.run.layers import resolve
from interlock.run.live import public_places
from interlock.run.live_plan import live_plan
from interlock.run.spinning import cores, take_right


def test_it_is_off_until_a_configuration_says_otherwise_and_then_it_is_another_one() -> None:
    plain, spinning = resolve(example(), {}), resolve(example(), {}, given=("live.spin=true",))
    assert [resolved.config.live.spin for resolved in (plain, spinning) if resolved.config.live is not None] == [False, True]
    assert plain.digest != spinning.digest
    assert "spin" not in plain.config.canonical()["live"], "runs from before there was such a thing are decided again"
    assert tomllib.loads(frozen_text(spinning.config))["live"]["spin"] is True
    shown = {value.key: (value.value, value.origin.layer.value) for value in plain.values()}
    assert shown["live.spin"] == (False, "default")


@pytest.mark.parametrize("of_cores", [0, 1])
def test_a_core_that_others_need_is_not_spun_on(of_cores: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"expected 2 cores or more, found {of_cores}"):
        take_right(of_cores, tmp_path)


@pytest.mark.parametrize(("of_cores", "rights"), [(2, 1), (3, 1), (4, 2)])
def test_one_process_of_two_cores_has_the_right(of_cores: int, rights: int, tmp_path: Path) -> None:
    held = [take_right(of_cores, tmp_path) for _ in range(rights)]
    with pytest.raises(UsageError, match=f"fewer than {rights} spinning processes on {of_cores} cores, found process {os.getpid()}"):
        take_right(of_cores, tmp_path)
    held[0].release()
    take_right(of_cores, tmp_path).release()
    for one in held:
        one.release()


def test_a_place_without_locks_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a lock at .*: No such file or directory"):
        take_right(2, tmp_path / "nowhere")


@pytest.mark.parametrize(("spin", "said"), [("true", "live.spin: expected 2 cores or more, found 1"), ("false", "--places")])
def test_a_run_that_may_not_spin_is_refused_before_anything_starts(
    spin: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The control is refused later, for another reason."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    words = ["run", str(example()), "--mode", "live", "--places", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    assert main([*words, "--set", f"live.spin={spin}", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["message"].startswith(said)
    assert not (tmp_path / "run").exists()


class Engine:
    """An engine process without a gate, whose orders are signals; and what it says of itself."""

    def __init__(self, folder: Path, where: dict[str, Any], locks: Path, *, spin: bool) -> None:
        folder.mkdir()
        self.folder = folder
        told = {
            "config": str(example()),
            "out": str(folder),
            "where": "loopback",
            "strategy": "making",
            "intent": None,
            "places": public_places(where),
            "spin": spin,
            "lock_folder": str(locks),
        }
        (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "interlock.run.engine_process", str(folder / "config.json")]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def stands(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / "engine.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def decides(self) -> bool:
        assert self.process.poll() is None, self.end()
        return bool(self.stands().get("decisions", 0) > 20)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.mark.skipif(cores() < 2, reason="nobody may spin on one core")
def test_an_engine_that_spins_decides_the_same_and_no_second_one_may(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locks = tmp_path / "locks"
    locks.mkdir()
    with simulators(tmp_path) as where:
        one = Engine(tmp_path / "one", where, locks, spin=True)
        try:
            until(one.decides, within_s=120)
            others = [take_right(cores(), locks) for _ in range(cores() // 2 - 1)]
            assert engine_process.main(["engine", str(one.folder / "config.json")], {}) == 2
            assert f"process {one.process.pid}" in capsys.readouterr().err
            for other in others:
                other.release()
            stands = one.stands()
            code, said = one.end()
        finally:
            one.process.kill()
            one.process.communicate()
    assert (code, stands["spins"]) == (0, True), said
    take_right(cores(), locks).release()  # whoever is gone has none
    assert one.stands()["ended"] == "stopped", "the last word is written too"
    # It was warm before it heard anything, and nothing is collected but where nothing waits.
    assert stands["warmed"]["decisions"] > 0
    assert stands["warmed"]["placed"] > 0
    assert stands["warmed"]["rejected"] == 0
    assert said.index("warmed up") >= 0
    assert stands["collector"]["frozen"] > 10_000
    (log,) = (tmp_path / "one").glob("inputs-*.log")
    read = InputsRead(log)
    assert stands["warmed_ns"] <= read.header.epoch_ns == stands["started_ns"] <= next(iter(read)).now_ns
    plan = live_plan(load_config(example()), example(), read.header.instruments)
    _, again = decide_again(log, plan.settings, plan.strategy)
    assert (again.difference, again.cut) == (None, False)
    assert again.decisions > 20
