"""`interlock run --mode paper` against a live feed: simulators play the real venues, and nothing but their public side is ever asked."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.run.live_ground import example, judged_on, live_ground
from tests.simulate.served.hand import Hand

from interlock.cli.main import main
from interlock.domain.errors import UsageError
from interlock.run.config import load_config
from interlock.run.modes import Mode, require_runnable


def top_of(where: dict[str, Any]) -> tuple[str, str]:
    """The best bid and ask of BTCUSDT that a simulated Bybit tells, as it writes them."""
    base = where["bybit"]["ws_public"].replace("ws://", "http://").split("/v5")[0]
    with urllib.request.urlopen(f"{base}/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1", timeout=10) as answer:
        book = json.load(answer)["result"]
    return book["b"][0][0], book["a"][0][0]


def test_paper_plays_against_the_live_book_and_sends_nothing_to_its_venue(tmp_path: Path) -> None:
    with live_ground(tmp_path, mode="paper") as ground:
        run = ground.start("--for", "20s")
        ground.until(lambda: (ground.out / "paper" / "places.json").exists())
        paper = json.loads((ground.out / "paper" / "places.json").read_bytes())
        ground.until(lambda: ground.engine().get("counts", {}).get("permitted", 0) > 3)
        ground.until(lambda: top_of(paper) == top_of(ground.where))
        # The feed stands still: so does the market, and our quotes go.
        ground.hand.happen({"fault": "stale_book", "venue": "bybit", "symbol": "BTCUSDT", "ms": 4_000})
        ground.until(lambda: ground.engine()["books"][0]["bars"] == ["no fresh book"])
        ground.until(lambda: Hand(paper).open_ids("bybit") == set())
        ground.until(lambda: ground.engine()["books"][0]["bars"] == [])
        code, kpi = ground.end(run)
        assert (code, kpi["verdict"], kpi["mode"], kpi["endpoint"]) == (0, "PASS", "paper", "paper"), kpi["invariants"]
        assert kpi["permits"] > 3
        assert judged_on(kpi, "simulated against venue fills") == "PASS"
        assert ground.witness() == [], "no request with a key reached the venue that is followed"
        written = [json.loads(line) for line in (ground.out / "paper" / "witness.jsonl").read_text(encoding="utf-8").splitlines()]
        assert sum(line["class"] == "RISK+" for line in written) >= kpi["permits"] - 1
        assert ground.checked(ground.out / "paper" / "witness.jsonl") == (0, [])
        code, again = ground.decided_again()
        assert (code, again["result"]) == (0, "SAME"), again


@pytest.mark.parametrize(("mode", "refused"), [(Mode.PAPER, False), (Mode.LIVE, True)])
def test_a_dry_run_allows_paper_and_nothing_beyond_shadow(mode: Mode, refused: bool) -> None:
    config = load_config(example())
    with pytest.raises(UsageError, match="DRY_RUN") if refused else nullcontext():
        require_runnable(mode, config, example(), {"DRY_RUN": "true"}, places=Path("p"))


@pytest.mark.parametrize("name", ["BYBIT_API_KEY", "SECRET", "UPBIT_ACCESS_KEY", "bybit_secret_key"])
def test_paper_refuses_to_start_where_a_key_lies_about(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "x")
    assert main(["run", str(example()), "--mode", "paper", "--out", str(tmp_path / "run"), "--json"]) == 2
    assert f"found {name} in the environment" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--follow", "real"), "--follow and --symbols: expected both or neither"),
        (("--symbols", "bybit:BTCUSDT"), "--follow and --symbols: expected both or neither"),
        (("--follow", "none-such", "--symbols", "bybit:BTCUSDT"), "--follow: expected real, or a file"),
        (("--follow", "real", "--symbols", "bybit"), "--symbols: expected venue:SYMBOL"),
        (("--follow", "real", "--symbols", "kraken:BTC"), "--symbols: expected venue:SYMBOL"),
        (("--follow", "real", "--symbols", "bybit:X", "--symbols", "bybit:X"), "stands there twice"),
    ],
)
def test_what_is_to_be_followed_is_refused_by_name(options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["venues", "serve", *options, "--json"]) == 2
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_symbol_that_is_not_listed_ends_the_start(tmp_path: Path) -> None:
    from tests.gate.serving import command

    with live_ground(tmp_path) as ground:
        began = time.monotonic()
        code, told = command("venues", "serve", "--follow", str(ground.places), "--symbols", "bybit:NOSUCH")
        assert code == 2
        assert "expected symbols that it lists" in told["error"]["message"]
        assert time.monotonic() - began < 60


def asked_to_end(pid: int) -> bool:
    """Whether a process that stands still has a SIGTERM waiting."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    waiting = next(line.split()[1] for line in lines if line.startswith("ShdPnd:"))
    return bool(int(waiting, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("how", ["killed", "interrupted twice"])
def test_nothing_of_a_paper_run_lives_on_when_its_supervisor_ends_in_no_order(how: str, tmp_path: Path) -> None:
    """By kill -9, or by the second Ctrl-C while it waits for an engine that stands still."""
    with live_ground(tmp_path, mode="paper") as ground:
        run = ground.start("--for", "10m")
        ground.until(lambda: ground.engine().get("counts", {}).get("permitted", 0) > 0)
        # The control: all are found.
        ground.until(lambda: sorted(ground.children().values()) == ["checker", "engine", "gate", "sentinel", "venues"])
        ground.processes.remove(run)
        engine = ground.engine_pid()
        if how == "killed":
            run.kill()
        else:
            os.kill(engine, signal.SIGSTOP)
            run.send_signal(signal.SIGINT)
            ground.until_any(lambda: asked_to_end(engine))
            run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
        if how == "interrupted twice":
            assert run.returncode == 130
            os.kill(engine, signal.SIGCONT)
        ground.until_any(lambda: ground.children() == {})
        # And what it has left cannot be gone on with: its venue has ended, with the account that the journal tells of.
        code, told = ground.end(ground.start("--for", "5s"))
        assert (code, ground.children()) == (2, {}), told
        assert f"{ground.out}: expected a new folder" in told["error"]["message"]
