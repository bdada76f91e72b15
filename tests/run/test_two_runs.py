"""Two runs at one account: at most one ever sends. A run that trades and three starts beside it; half a minute."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from tests.gate.serving import INTERLOCK, bare_environment, end_all
from tests.run.live_ground import LiveGround, example, live_ground


def refused(process: subprocess.Popen[str]) -> str:
    """What a run that cannot start says, once it has ended."""
    printed, _ = process.communicate(timeout=180)
    assert process.returncode == 2, printed
    told = json.loads(printed)["error"]
    assert told["kind"] in ("UsageError", "Refused")
    return str(told["message"])


def once(ground: LiveGround, out: Path, *more: str) -> str:
    """What a run says that is refused."""
    words = [*INTERLOCK, "run", str(example()), "--mode", "live", "--places", str(ground.places), "--out", str(out), "--json", *more]
    return refused(
        subprocess.Popen(
            words,
            env={**bare_environment(), "READ_ONLY_ENFORCED": "false"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
        )
    )


def has_intents(out: Path) -> bool:
    return any(b"making" in segment.read_bytes() for segment in (out / "journal").glob("*"))


def test_of_two_runs_at_one_account_one_trades_and_the_other_is_refused(tmp_path: Path) -> None:
    with live_ground(tmp_path) as ground:
        won = ground.start("--for", "10m")
        ground.until(ground.sees_books)
        ground.arm()
        ground.until(lambda: ground.engine()["counts"].get("permitted", 0) > 3)
        # At the account, and in its folder, which stays as it was.
        other, asked = tmp_path / "other", (ground.out / "run.json").read_bytes()
        said = once(ground, other)
        assert "account on bybit: another gate has it (pid " in said
        assert "stop that one first" in said
        assert "another run has it (pid " in once(ground, ground.out, "--for", "5s")
        assert (ground.out / "run.json").read_bytes() == asked
        permits = ground.engine()["counts"]["permitted"]
        ground.until(lambda: ground.engine()["counts"]["permitted"] > permits)
        assert not has_intents(other)
        # What the control needs at the end: a position, which the one run explains and the other could not.
        ground.until(lambda: ground.hand.state("bybit")["positions"])
        code, kpi = ground.end(won, signal.SIGINT)
        assert (code, kpi["verdict"], kpi["freeze_triggered_total"]) == (130, "PASS", {}), kpi
        assert ground.checked() == (0, []), "every request that raised risk is of the one that had the account"
        assert ground.risk_written() >= kpi["permits"] - 1
        # The control: with the account free the same folder runs, and nobody has to tidy up after the dead. What the other one did there is not
        # in its own journal, and stops it: so two writers would have been noticed too, and later than by the lock.
        ground.out = other
        code, kpi = ground.end(ground.start("--for", "3s"))
        assert (code, kpi["gate_lives"], kpi["failed"]) == (1, 1, ["fills reconciled with the venue"]), kpi
        assert "own_prefix_unknown" in kpi["freeze_triggered_total"]
        end_all(other)
