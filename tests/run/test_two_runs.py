"""Runs at one account: at most one ever sends, whether they start at the same moment or later. Two minutes: a run that trades, four starts that are
refused, and one that comes after it, which takes a minute to begin at an account that it cannot explain."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tests.gate.serving import INTERLOCK, bare_environment, end_all
from tests.run.live_ground import LiveGround, example, live_ground

from interlock.domain.errors import Refused, UsageError
from interlock.gate.account_lock import AccountName, take_local
from interlock.run.run_folder import hold_folder


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


def test_of_runs_at_one_account_one_trades_and_no_other_ever_sends(tmp_path: Path) -> None:
    with live_ground(tmp_path) as ground:
        # At the same moment two reach for one folder, and a third in a folder of its own for the same account. Which of them has it is chance.
        mine, other = ground.out, tmp_path / "other"
        started = [(ground.start("--for", "10m", out=folder), folder) for folder in (mine, mine, other)]
        ground.until_any(lambda: sum(process.poll() is None for process, _ in started) <= 1)
        going = [one for one in started if one[0].poll() is None]
        for process, _ in started:
            if process.poll() is not None:
                ground.processes.remove(process)
                refused(process)
        assert len(going) == 1, "refusing each other would keep the account from everybody"
        won, ground.out = going[0]
        other = other if ground.out == mine else mine
        ground.until(ground.sees_books)
        ground.arm()
        ground.until(lambda: ground.engine()["counts"].get("permitted", 0) > 3)
        # Later, at the account, and in its folder, which stays as it was.
        asked = (ground.out / "run.json").read_bytes()
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
        assert (code, kpi["verdict"], kpi["gate_lives"]) == (130, "PASS", 1), kpi
        assert kpi["freeze_triggered_total"] == kpi["interlock_trips_total"], "on a busy host an interlock may trip, and nothing latched"
        assert ground.checked() == (0, []), "every request that raised risk is of the one that had the account"
        assert ground.risk_written() >= kpi["permits"] - 1 > 0, "and it did trade"
        # The control: with the account free the same folder runs, and nobody has to tidy up after the dead. What the other one did there is not
        # in its own journal, and stops it: so two writers would have been noticed too, and later than by the lock.
        ground.out = other
        code, kpi = ground.end(ground.start("--for", "3s"))
        assert (code, kpi["gate_lives"], kpi["failed"]) == (1, 1, ["fills reconciled with the venue"]), kpi
        assert "own_prefix_unknown" in kpi["freeze_triggered_total"]
        end_all(other)


@contextmanager
def account(folder: Path) -> Iterator[None]:
    lease = take_local(AccountName("bybit", "1"), "a gate", folder)
    try:
        assert lease.held()
        yield
    finally:
        lease.release()


@pytest.mark.parametrize("take", [hold_folder, account], ids=["a folder", "an account"])
def test_of_many_that_reach_for_it_at_the_same_moment_exactly_one_has_it(
    take: Callable[[Path], AbstractContextManager[None]], tmp_path: Path
) -> None:
    many, rounds = 6, 40
    together, tried = threading.Barrier(many, timeout=30), threading.Barrier(many, timeout=30)
    had: list[int] = []
    refusals: list[str] = []

    def reach() -> None:
        for turn in range(rounds):
            together.wait()
            try:
                with take(tmp_path):
                    had.append(turn)
                    tried.wait()
            except (UsageError, Refused) as refusal:
                refusals.append(str(refusal))
                tried.wait()

    with ThreadPoolExecutor(many) as pool:
        for one in [pool.submit(reach) for _ in range(many)]:
            one.result()
    assert had == list(range(rounds)), "one each time, so that it is taken again after it was given back"
    assert len(refusals) == rounds * (many - 1)
    assert all("another" in said for said in refusals)
