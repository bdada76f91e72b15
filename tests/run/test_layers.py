"""The layers of a configuration, by `interlock config show` and `freeze`, and that a replay uses the same. Cost: seconds."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.run.live_ground import example

from interlock.cli.main import main
from interlock.domain.errors import BadInput
from interlock.run.config import RunConfig, load_config
from interlock.run.frozen import freeze, frozen_text
from interlock.run.layers import key_of, resolve

PROFILES = """
[profiles.wide.making.params]
min_half_spread_bps = 5.0
skew_bps = 3.0

[profiles.small]
instruments."bybit:BTCUSDT".max_position_lots = 7
making.params.max_inventory_lots = 3
"""
EXAMPLES = [*sorted(example().parent.parent.glob("*.toml")), example(), example("signals-arbitrage.toml")]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The example of a live run with two profiles, and its limits beside it."""
    path = tmp_path / "try.toml"
    path.write_text(example().read_text(encoding="utf-8") + PROFILES, encoding="utf-8")
    limits = example("limits-making-bybit.toml")
    (tmp_path / limits.name).write_bytes(limits.read_bytes())
    return path


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    def ask(*words: str) -> tuple[int, Any]:
        code = main(["config", *words, "--json"])
        out = capsys.readouterr()
        assert out.err == ""
        return code, json.loads(out.out)

    return ask


def origins(told: Any) -> dict[str, tuple[Any, str]]:
    return {one["key"]: (one["value"], one["origin"]) for one in told["values"]}


def refused(shown: Any, config: Path, *words: str) -> str:
    code, told = shown("show", str(config), *words)
    assert code == 2
    return str(told["error"]["message"])


class TestShow:
    def test_each_layer_wins_over_those_before_it(self, config: Path, shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        key = "making.params.skew_bps"

        def found(*words: str) -> tuple[Any, str]:
            return origins(shown("show", str(config), *words)[1])[key]

        assert found() == (1.5, "file")
        assert found("--profile", "wide") == (3.0, "profile")
        monkeypatch.setenv("INTERLOCK_CONFIG__MAKING__PARAMS__SKEW_BPS", "4")
        assert found("--profile", "wide") == (4.0, "environment")
        assert found("--profile", "wide", "--set", f"{key}=5") == (5.0, "argument")
        assert found("--set", f"{key}=5", "--set", f"{key}=6") == (6.0, "argument")

    def test_what_nobody_gave_is_a_default_parameters_included(self, config: Path, shown: Any) -> None:
        told = origins(shown("show", str(config))[1])
        assert told["venues.bybit.place_weight"] == (1, "default")
        assert told["making.params.micro_weight"] == (0.6, "default")
        assert told["venues.bybit.order_latency_ms"] == (5.0, "file")
        assert told["venues.bybit.rate_limits.0.messages"] == (80, "file")
        assert told["reporting.usd_per_usdt"] == (None, "default")

    def test_a_profile_changes_what_it_names_and_nothing_else(self, config: Path, shown: Any) -> None:
        plain, small = (origins(shown("show", str(config), *words)[1]) for words in ((), ("--profile", "small")))
        changed = {key for key in plain if plain[key] != small[key]}
        assert changed == {"instruments.bybit:BTCUSDT.max_position_lots", "making.params.max_inventory_lots"}
        assert not any(key.startswith("profiles") for key in plain)

    def test_keys_with_other_signs_in_them(self, config: Path, shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INTERLOCK_CONFIG__INSTRUMENTS__BYBIT_BTCUSDT__COLLAR_BPS", "44")
        told = origins(shown("show", str(config), "--set", 'instruments."bybit:BTCUSDT".max_position_lots=9')[1])
        assert told["instruments.bybit:BTCUSDT.collar_bps"] == (44.0, "environment")
        assert told["instruments.bybit:BTCUSDT.max_position_lots"] == (9, "argument")

    def test_amounts_stay_exact_and_lists_are_given_whole(self, config: Path, shown: Any) -> None:
        given = ("--set", "venues.bybit.cash=0.1", "--set", "venues.bybit.rate_limits=[{messages=5, window_s=1.0, cancel_reserve=1}]")
        told = origins(shown("show", str(config), *given)[1])
        assert told["venues.bybit.cash"] == ("0.1", "argument")
        assert told["venues.bybit.rate_limits.0.messages"] == (5, "argument")

    def test_for_a_person(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["config", "show", str(config), "--origin", "--set", "seed=7"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert any(line.startswith("seed = 7 ") and line.endswith("# argument --set seed") for line in lines)
        assert any(line.startswith('environment = "local" ') and line.endswith("# default") for line in lines)
        assert lines[-1] == f"digest {resolve(config, {}, given=('seed=7',)).digest}"
        assert main(["config", "show", str(config)]) == 0
        assert "# default" not in capsys.readouterr().out

    def test_the_digest_is_over_the_result(self, config: Path) -> None:
        by_argument = resolve(config, {}, given=("making.params.skew_bps=3", "making.params.min_half_spread_bps=5"))
        by_environment = resolve(
            config, {"INTERLOCK_CONFIG__MAKING__PARAMS__SKEW_BPS": "3.0", "INTERLOCK_CONFIG__MAKING__PARAMS__MIN_HALF_SPREAD_BPS": "5"}
        )
        assert resolve(config, {}, profile="wide").digest == by_argument.digest == by_environment.digest
        assert resolve(config, {}).digest == load_config(example()).digest != by_argument.digest


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("making.min_half_spread_bps=3", "--set making.min_half_spread_bps: unknown key"),
            ("making.min_half_spread_bps=3", "did you mean making.params.min_half_spread_bps?"),
            ("making.params.half_spread_bps=3", "did you mean min_half_spread_bps?"),
            ("venues.bybit.order_latency_s=5", "did you mean order_latency_ms?"),
            ("venues.bybit.order_latency_ms=5ms", "the unit stands in the name (ms)"),
            ("venues.bybit.order_latency_ms=-5", "greater than or equal to 0"),
            ("making.params.skew_bps=-1", "skew_bps >= 0"),
            ("making.instrument.deeper=1", "expected a table at making.instrument"),
            ("live.place=1", "--set live.place: unknown key"),
            ("profiles.wide.seed=1", "chosen with --profile"),
            ("seed", "expected key=value"),
            ("=1", "expected key=value"),
            ("a..b=1", "expected key=value"),
        ],
    )
    def test_an_argument_is_one_error_that_names_it(self, config: Path, shown: Any, given: str, says: str) -> None:
        assert says in refused(shown, config, "--set", given)

    def test_a_profile_that_is_not_there_names_those_that_are(self, config: Path, shown: Any) -> None:
        assert "expected one of small, wide, found 'narrow'" in refused(shown, config, "--profile", "narrow")
        assert "expected one of no profiles" in refused(shown, example(), "--profile", "narrow")

    def test_a_profile_that_nobody_chose_is_checked_too(self, config: Path, shown: Any) -> None:
        config.write_text(config.read_text(encoding="utf-8") + "\n[profiles.wrong.venues.bybit]\norder_latency = 1\n", encoding="utf-8")
        assert "profiles.wrong.venues.bybit.order_latency: unknown key" in refused(shown, config)

    def test_a_variable_is_named_and_its_value_never_told(self, config: Path, shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in (("MAKING__PARAMZ", "hunter2"), ("SEED", "hunter2"), ("VENUES__BYBIT__CASH", "hunter2"), ("MAKING", "hunter2")):
            with monkeypatch.context() as patch:
                patch.setenv(f"INTERLOCK_CONFIG__{name}", value)
                said = refused(shown, config)
            assert said.startswith(f"INTERLOCK_CONFIG__{name}: ")
            assert "hunter2" not in said

    def test_other_variables_are_none_of_it(self, config: Path, shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        before = shown("show", str(config))
        for name in ("UPBIT_SECRET_KEY", "INTERLOCK_CONFIG", "INTERLOCK_SEED", "SEED"):
            monkeypatch.setenv(name, "hunter2")
        assert shown("show", str(config)) == before
        assert "hunter2" not in json.dumps(before)


class TestFreeze:
    def test_one_file_says_it_all_and_has_the_same_digest(self, config: Path, tmp_path: Path, shown: Any) -> None:
        out = tmp_path / "frozen"
        code, told = shown("freeze", "first", str(config), "--out", str(out), "--profile", "wide", "--set", "seed=7")
        assert (code, sorted(one.name for one in out.iterdir())) == (0, ["first.toml", "limits-making-bybit.toml"])
        frozen = out / "first.toml"
        assert load_config(frozen).digest == told["digest"] == resolve(config, {}, profile="wide", given=("seed=7",)).digest
        assert told["digest"] in frozen.read_text(encoding="utf-8")
        layers = {one["origin"] for one in shown("show", str(frozen))[1]["values"] if one["value"] is not None}
        assert layers <= {"file", "default"}

    def test_nothing_is_overwritten_and_nothing_is_left_half_done(self, config: Path, tmp_path: Path, shown: Any) -> None:
        out = tmp_path / "frozen"
        assert shown("freeze", "first", str(config), "--out", str(out))[0] == 0
        before = (out / "first.toml").read_bytes()
        code, told = shown("freeze", "first", str(config), "--out", str(out), "--set", "seed=8")
        assert code == 2
        assert "never overwritten" in told["error"]["message"]
        assert (out / "first.toml").read_bytes() == before
        (out / "limits-making-bybit.toml").write_text("other", encoding="utf-8")
        assert "found other limits" in shown("freeze", "second", str(config), "--out", str(out))[1]["error"]["message"]
        assert sorted(one.name for one in out.iterdir()) == ["first.toml", "limits-making-bybit.toml"]

    def test_of_two_at_once_one_wins(self, config: Path, tmp_path: Path) -> None:
        came: list[object] = []

        def one(seed: int) -> None:
            try:
                came.append(freeze(resolve(config, {}, given=(f"seed={seed}",)), "same", tmp_path / "frozen"))
            except BadInput as error:
                came.append(error)

        threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(isinstance(each, Path) for each in came) == 1, came
        assert load_config(tmp_path / "frozen" / "same.toml").seed in range(4)

    @pytest.mark.parametrize("label", ["../x", "a/b", "", ".x", "a" * 65])
    def test_a_label_is_a_name(self, config: Path, shown: Any, label: str) -> None:
        assert shown("freeze", label, str(config))[0] == 2

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
    def test_every_example_survives(self, path: Path, tmp_path: Path) -> None:
        config = load_config(path)
        again = tmp_path / "again.toml"
        again.write_text(frozen_text(config), encoding="utf-8")
        assert load_config(again).canonical() == config.canonical()

    @given(st.text(max_size=30), st.floats(allow_nan=False, allow_infinity=False), st.text(min_size=1, max_size=10))
    def test_any_text_and_number_survive(self, text: str, number: float, name: str) -> None:
        raw = load_config(example()).canonical()
        raw["environment"] = text
        raw["making"]["params"] = {name: number}
        config = RunConfig.model_validate(raw)
        assert frozen_text(config)

    @given(st.lists(st.text('ab.="', min_size=1, max_size=4).filter(lambda part: '"' not in part), min_size=1, max_size=4))
    def test_a_key_is_written_so_that_it_is_read_the_same(self, parts: list[str]) -> None:
        from interlock.run.layers import _argument

        if parts[0] == "profiles":
            return
        assert _argument(f"{key_of(tuple(parts))}=1") == (tuple(parts), "1")


def test_a_replay_is_resolved_the_same(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is told before the tape is looked for; with a tape the digest of the evidence is the one of `config show` (test_session)."""
    words = ["replay", str(config), "--tape", str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--json"]
    assert main([*words, "--set", "seeds=1"]) == 2
    assert "--set seeds: unknown key" in capsys.readouterr().out
    assert main([*words, "--set", "seed=1"]) == 2
    assert "--set" not in capsys.readouterr().out
    assert main(["replay", "--from-run", str(tmp_path), "--set", "seed=1", "--json"]) == 2
    assert "expected no configuration" in capsys.readouterr().out


def test_a_run_goes_on_only_with_what_its_layers_came_to(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder holds a run of seed 7. The control is refused later, by the gate, for its places."""
    out, places = tmp_path / "out", tmp_path / "places.json"
    out.mkdir()
    places.write_text('{"bybit": {}}', encoding="utf-8")
    (out / "config.toml").write_text(frozen_text(resolve(config, {}, given=("seed=7",)).config), encoding="utf-8")
    words = ["run", str(config), "--mode", "live", "--places", str(places), "--out", str(out), "--json"]
    assert main(words) == 2
    assert "found one of another" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (out / "gate.log").exists()
    assert main([*words, "--set", "seed=7"]) != 0
    assert "the gate did not start" in json.loads(capsys.readouterr().out)["error"]["message"]
    told = json.loads((out / "run.json").read_bytes())
    assert (told["config_digest"], told["laid_over"]) == (resolve(config, {}, given=("seed=7",)).digest, {"seed": "argument"})
