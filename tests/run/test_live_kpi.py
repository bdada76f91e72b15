"""The invariants of a live run over what was recorded of it: each with what keeps it, and with what breaks it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.run.live_ground import example
from tests.run.small_disk import full

from interlock.cli.main import main
from interlock.domain.clock import NS_PER_S, ManualClock
from interlock.domain.errors import Refused, UsageError
from interlock.domain.orders import Liquidity, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.journal import Options, SystemDisk, open_journal
from interlock.run.evidence_files import ALWAYS, OF_GATE, OF_OBSERVER, OF_PAPER
from interlock.run.interrupt import StopWish
from interlock.run.journal_told import read_told
from interlock.run.live import LiveResult, Running, watch
from interlock.run.live_figures import Figures
from interlock.run.live_folder import LiveRun, require_untraded
from interlock.run.live_kpi import Course, write_kpi
from interlock.run.modes import Mode
from interlock.run.shadow_kpi import write_shadow_kpi

OPTIONS = Options(segment_bytes=16 << 10, batch_bytes=2 << 10, reserve_bytes=0)
HELD = ("config.toml", "limits.toml", "run.json", "engine/config.json", "engine/engine.json")
LOGS = ("gate.log", "engine/engine.log", "log/sentinel.log", "log/checker.log")
PAPERS = ("paper/places.json", "paper/witness.jsonl", "paper/truth.jsonl", "paper/venues.log")
FILLS = "simulated against venue fills"
ORDER, OTHER = "maki0towtn5000000002drgpe2z", "maki0towtn5000000007drgpe2z"


def intent(client_id: str = ORDER) -> r.Intent:
    return r.Intent(
        boot_ns=1, client_id=client_id, revision=0, group="", strategy="making", venue="bybit", account="a", symbol="BTCUSDT", side=Side.BUY,
        type=OrderType.LIMIT, tif=TimeInForce.POST_ONLY, reduce_only=False, ticks=620_142, lots=3, sequence=1, created_boot_ns=1,
        deadline_boot_ns=2, books=(),
    )  # fmt: skip


def wire(client_id: str = ORDER) -> r.WireBegin:
    return r.WireBegin(boot_ns=2, client_id=client_id, revision=0, connection="c")


def fill(trade_id: str = "t1", *, client_id: str = ORDER, ticks: int = 620_142, lots: int = 1) -> r.Filled:
    return r.Filled(
        boot_ns=3, venue="bybit", account="a", symbol="BTCUSDT", trade_id=trade_id, client_id=client_id, side=Side.BUY, ticks=ticks,
        lots=lots, liquidity=Liquidity.MAKER, fee=Decimal(0), fee_currency="USDT", venue_ns=1,
    )  # fmt: skip


def reversal(trade_id: str = "t1") -> r.FillReversed:
    return r.FillReversed(boot_ns=4, venue="bybit", account="a", symbol="BTCUSDT", trade_id=trade_id)


def executed(one: r.Filled, *, taken_back: bool = False) -> dict[str, Any]:
    """The line that a simulated venue writes of an execution."""
    content = {
        "trade_id": one.trade_id, "client_id": one.client_id, "symbol": one.symbol, "side": int(one.side), "ticks": one.ticks, "tick": "0.1",
        "lots": one.lots, "venue_ns": 1, "reversed": taken_back,
    }  # fmt: skip
    return {"wall_ns": 1, "monotonic_ns": 1, "venue": one.venue, "what": "execution", "is": content}


@dataclass
class Recorded:
    """A run that is over, as its files tell it; what is changed before `kpi` is what is wrong with it."""

    out: Path
    records: Sequence[r.Record] = ()
    made: Sequence[dict[str, Any]] = ()
    sealed: bool = True
    mode: str = "live"
    course: Course = field(default_factory=lambda: Course(gate_exit=0))

    def __post_init__(self) -> None:
        for name in (*HELD, *LOGS, "engine/inputs-1.log"):
            self.put(name)
        self.truth: Path | None = self.out / "truth.jsonl"
        self.clock = ManualClock(NS_PER_S)
        self.course.begin(self.clock, 60.0)
        for _ in range(60):
            self.clock.advance(NS_PER_S)
            self.course.beat(self.clock)
        self.course.end(self.clock)

    def put(self, name: str, text: str = "x") -> None:
        (self.out / name).parent.mkdir(parents=True, exist_ok=True)
        (self.out / name).write_text(text, encoding="utf-8")

    def kpi(self) -> dict[str, Any]:
        if self.truth is not None:
            self.truth.write_text("".join(json.dumps(line) + "\n" for line in self.made), encoding="utf-8")
        journal, _ = open_journal(SystemDisk(), self.out / "journal", schema=r.SCHEMA, incarnation=bytes(16), options=OPTIONS)
        with closing(journal):
            for one in self.records:
                journal.commit(r.encode(one))
            if not self.sealed:
                return self.judged()
        return self.judged()

    def judged(self) -> dict[str, Any]:
        found = read_told(self.out / "journal")
        return write_kpi(self.out, self.mode, "loopback", found, self.course, None, None, self.truth, final=True)

    def shadowed(self, gate: Path) -> dict[str, Any]:
        decisions, account = read_told(gate / "journal"), read_told(self.out / "journal")
        return write_shadow_kpi(self.out, gate, decisions, account, self.course, None, None, self.truth, final=True)


def verdict_on(kpi: dict[str, Any], name: str) -> tuple[str, str]:
    """What an invariant says, and the detail."""
    return next((one["verdict"], one["detail"]) for one in kpi["invariants"] if one["name"] == name)


# What the venue executed


TWO = (fill("t1"), fill("t2", lots=2), fill("t3", client_id=OTHER))
SENT = (intent(), wire(), intent(OTHER), wire(OTHER))


def test_fills_that_are_booked_as_the_venue_made_them_agree(tmp_path: Path) -> None:
    strangers = executed(fill("t9", client_id="of another run"))
    found = Recorded(tmp_path, [*SENT, *TWO, fill("t4"), reversal("t4")], [*map(executed, TWO), strangers, executed(fill("t5"))])
    found.made = [*found.made, executed(fill("t5"), taken_back=True)]
    kpi = found.kpi()
    assert verdict_on(kpi, FILLS) == ("PASS", "3 fills of 2 orders, 4 lots, each as the matching made it")
    assert FILLS not in kpi["failed"]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (TWO[:2], f"booked 3 fills of 2 orders, 4 lots; the matching made 2 fills of 1 orders, 3 lots; 1 orders differ, {OTHER} "),
        ((*TWO, fill("t4")), "the matching made 4 fills of 2 orders, 5 lots"),
        ((fill("t1", lots=2), *TWO[1:]), "booked bought 3 lots at 620142 ticks, made bought 4 lots at 620142 ticks"),
        ((fill("t1", ticks=620_141), *TWO[1:]), "made bought 1 lots at 620141 ticks, bought 2 lots at 620142 ticks"),
        ((fill("t1", client_id=OTHER), *TWO[1:]), "2 orders differ"),
    ],
)
def test_a_fill_that_is_not_as_the_venue_made_it_fails_the_run(made: Sequence[r.Filled], said: str, tmp_path: Path) -> None:
    """The control is the run above."""
    kpi = Recorded(tmp_path, [*SENT, *TWO], [executed(one) for one in made]).kpi()
    verdict, detail = verdict_on(kpi, FILLS)
    assert (verdict, kpi["verdict"]) == ("FAIL", "FAIL")
    assert FILLS in kpi["failed"]
    assert said in detail


def test_what_a_run_earned_goes_on_over_midnight(tmp_path: Path) -> None:
    """The result of a mark begins anew with its day, its equity does not: 5 lost, and then one won."""
    marks = [
        r.Marked(boot_ns=at, realised_usd=Decimal(realised), unrealised_usd=Decimal(0), equity_usd=Decimal(equity))
        for at, (realised, equity) in enumerate([(0, 1000), (-5, 995), (0, 995), (1, 996)], start=1)
    ]
    assert Recorded(tmp_path, marks).kpi()["pnl_usd"] == "-4"
    assert Recorded(tmp_path / "same day", marks[:2]).kpi()["pnl_usd"] == "-5"


def test_an_execution_of_an_order_that_the_journal_never_sent_fails_the_run(tmp_path: Path) -> None:
    kpi = Recorded(tmp_path, [*SENT[:2], intent(OTHER), TWO[0], READ], [executed(TWO[0]), executed(TWO[2])]).kpi()
    assert kpi["failed"] == [FILLS]
    assert f"{OTHER} on bybit BTCUSDT: booked nothing, made bought 1 lots at 620142 ticks" in verdict_on(kpi, FILLS)[1]


def test_a_record_of_the_venue_that_is_gone_fails_and_one_that_nobody_keeps_is_unknown(tmp_path: Path) -> None:
    """It is known where there is such a record, and never taken for granted."""
    found = Recorded(tmp_path, SENT)
    found.truth = None
    verdict, detail = verdict_on(found.kpi(), FILLS)
    assert verdict == "UNKNOWN"
    assert "known from what it told the gate alone" in detail
    found.truth = tmp_path / "gone"
    verdict, detail = verdict_on(found.judged(), FILLS)
    assert verdict == "FAIL"
    assert "expected the venue's own record" in detail


def test_of_a_run_that_proposed_nothing_nothing_is_said_to_agree(tmp_path: Path) -> None:
    assert verdict_on(Recorded(tmp_path, []).kpi(), FILLS)[0] == "UNKNOWN"


@pytest.mark.parametrize(
    ("mode", "places", "where"),
    [
        (Mode.PAPER, None, "run/paper/truth.jsonl"),
        (Mode.SHADOW, {"witness": "v/witness.jsonl"}, "run/paper/truth.jsonl"),
        (Mode.LIVE, {"witness": "v/witness.jsonl"}, "v/truth.jsonl"),
        (Mode.LIVE, {}, None),
        (Mode.TESTNET, {"endpoint": "testnet", "venues": {}}, None),
    ],
)
def test_the_record_of_the_venue_that_takes_the_orders_is_found(
    mode: Mode, places: dict[str, Any] | None, where: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("places.json")
    file.write_text(json.dumps(places), encoding="utf-8")
    run = LiveRun(config=Path("c"), mode=mode, out=Path("run"), places=None if places is None else file, seconds=None)
    assert run.truth() == (None if where is None else Path(where))


# The others


NAMES = (
    "wall clock within 1 % of plan",
    "heartbeat gap at most 65 s",
    "journal verified",
    "journal complete",
    "evidence complete",
    "fills reconciled with the venue",
    FILLS,
)
READ = r.Reconciled(boot_ns=5, venue="bybit", account="a", explained=True, differences=())
NOT_EXPLAINED = r.Reconciled(boot_ns=5, venue="bybit", account="a", explained=False, differences=(("position", "BTCUSDT"),))
TRADED = (intent(), wire(), fill(), READ)


def late(run: Recorded, by_s: float) -> None:
    """It ran so much longer than was planned."""
    run.clock.advance(round(by_s * NS_PER_S))
    run.course.end(run.clock)


def away(run: Recorded, for_s: float) -> None:
    """The supervisor looked at nothing for so long; the plan was to run that much longer."""
    assert run.course.planned_s is not None
    run.course.planned_s += for_s
    late(run, for_s)


def damaged(run: Recorded) -> None:
    """A byte of the journal is another one, with more of it behind."""
    run.kpi()
    segment = min((run.out / "journal").glob("*.seg"))
    data = bytearray(segment.read_bytes())
    at = data.index(b"BTCUSDT")
    data[at] ^= 1
    segment.write_bytes(data)


def test_a_run_of_which_everything_holds_passes(tmp_path: Path) -> None:
    """The control of all that follows."""
    kpi = Recorded(tmp_path, TRADED, [executed(fill())]).kpi()
    assert (kpi["verdict"], kpi["failed"]) == ("PASS", [])
    assert {name: verdict_on(kpi, name)[0] for name in NAMES} == dict.fromkeys(NAMES, "PASS")
    assert json.loads((tmp_path / "kpi.json").read_bytes()) == kpi


@pytest.mark.parametrize(
    ("breaks", "failed", "said"),
    [
        (lambda run: late(run, 0.7), NAMES[0], "planned 60.0 s, ran 60.7 s"),
        (lambda run: setattr(run.course, "planned_s", 61.0), NAMES[0], "planned 61.0 s, ran 60.0 s"),
        (lambda run: away(run, 65.1), NAMES[1], "longest 65.1 s"),
        (lambda run: setattr(run, "sealed", False), NAMES[3], "sealed False"),
        (lambda run: setattr(run.course, "gate_exit", 1), NAMES[3], "the gate's exit code 1"),
        (lambda run: setattr(run.course, "gate_exit", None), NAMES[3], "the gate's exit code None"),
        (lambda run: setattr(run, "records", (*TRADED, NOT_EXPLAINED)), NAMES[5], "unexplained: bybit"),
        (lambda run: setattr(run, "records", TRADED[:-1]), NAMES[5], "traded at and never read: bybit"),
    ],
)
def test_what_does_not_hold_fails_the_run_by_name(breaks: Callable[[Recorded], None], failed: str, said: str, tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    breaks(found)
    kpi = found.kpi()
    assert (kpi["verdict"], kpi["failed"]) == ("FAIL", [failed])
    assert said in verdict_on(kpi, failed)[1]


@pytest.mark.parametrize(
    "holds",
    [
        lambda run: late(run, 0.5),
        lambda run: away(run, 64.9),
        lambda run: setattr(run, "records", (*TRADED[:-1], NOT_EXPLAINED, READ)),
    ],
)
def test_what_just_holds_fails_nothing(holds: Callable[[Recorded], None], tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    holds(found)
    assert found.kpi()["failed"] == []


def test_a_journal_that_is_damaged_fails_the_run_and_says_where(tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    damaged(found)
    kpi = found.judged()
    assert kpi["failed"] == ["journal verified", "journal complete"]
    assert ".seg" in verdict_on(kpi, "journal verified")[1]
    assert verdict_on(kpi, FILLS) == ("UNKNOWN", "the journal cannot be read to its end, and what it booked is not known")


def test_what_was_stopped_or_never_sent_is_not_held_against_a_plan_or_an_account(tmp_path: Path) -> None:
    found = Recorded(tmp_path)
    found.course.interrupted = True
    found.course.planned_s = 600.0
    kpi = found.kpi()
    assert (kpi["verdict"], verdict_on(kpi, NAMES[0])[0]) == ("PASS", "UNKNOWN")
    assert verdict_on(kpi, NAMES[5]) == ("UNKNOWN", "no order was sent, and no account was read")


# Evidence


@pytest.mark.parametrize("name", [*HELD, *LOGS, "engine/inputs-1.log", "journal/00000000000000000001.seg"])
def test_a_file_of_the_run_that_is_not_there_fails_it_by_name(name: str, tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    assert found.kpi()["failed"] == [], "the control"
    (tmp_path / name).unlink()
    kpi = found.judged()
    assert "evidence complete" in kpi["failed"]
    pattern = name.replace("inputs-1", "inputs-*").replace("00000000000000000001", "*")
    assert verdict_on(kpi, "evidence complete") == ("FAIL", f"missing or empty: {pattern}")


def test_a_log_may_be_empty_and_what_has_to_hold_something_may_not(tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    for name in LOGS:
        found.put(name, "")
    assert found.kpi()["failed"] == []
    found.put("engine/inputs-1.log", "")
    kpi = found.judged()
    assert verdict_on(kpi, "evidence complete") == ("FAIL", "missing or empty: engine/inputs-*.log")
    found.put("engine/inputs-2.log")
    assert found.judged()["failed"] == [], "an engine that died at once leaves an empty one"


def test_on_paper_the_files_of_its_venue_belong_to_the_evidence(tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())], mode="paper")
    assert verdict_on(found.kpi(), "evidence complete") == ("FAIL", f"missing or empty: {', '.join(PAPERS)}")
    for name in PAPERS:
        found.put(name)
    assert found.judged()["failed"] == []


def test_in_shadow_both_journals_and_the_observers_files_belong_to_it(tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    found.kpi()
    gate = tmp_path / "counterfactual"
    said = found.shadowed(gate)
    needed = ["observer-config.json", "observer.json", "counterfactual/journal/*.seg", "paper/places.json"]
    assert set(needed) <= set(verdict_on(said, "evidence complete")[1].removeprefix("missing or empty: ").split(", "))
    shutil.copytree(tmp_path / "journal", gate / "journal")
    for name in (*PAPERS, "counterfactual/log/sentinel.log", "counterfactual/log/checker.log", "observer.log", *needed[:2]):
        found.put(name)
    said = found.shadowed(gate)
    assert verdict_on(said, "evidence complete") == ("PASS", "every file is there")


def test_the_document_names_the_files_that_are_checked_and_no_others() -> None:
    text = (Path(__file__).parents[2] / "docs" / "running.md").read_text(encoding="utf-8")
    table = text.split("## The folder of a run")[1].split("A demo's folder")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall("`([^`]+)`", row[1])}
    checked = (ALWAYS + OF_GATE + OF_PAPER + OF_OBSERVER).patterns
    while_it_runs_or_judging = {"kpi.json", "run/", "run.lock"}
    assert {name for name in named if not any(one.startswith(name) for one in checked)} == {*while_it_runs_or_judging, "counterfactual/"}
    assert [one for one in checked if not any(one.startswith(name) for name in named)] == []


# A folder that is gone on with


@pytest.mark.parametrize(
    ("mode", "folder", "sent", "refused"),
    [
        (Mode.PAPER, "", True, True),
        (Mode.PAPER, "", False, False),
        (Mode.SHADOW, "counterfactual", True, True),
        (Mode.SHADOW, "", True, False),
        (Mode.LIVE, "", True, False),
    ],
)
def test_on_paper_a_folder_that_tells_of_orders_is_not_gone_on_with(
    mode: Mode, folder: str, sent: bool, refused: bool, tmp_path: Path
) -> None:
    """The paper venue has ended with its account. An order that was proposed and never sent is known to nobody else; nor is what is no run's."""
    places = tmp_path / "places.json"
    places.write_text("{}", encoding="utf-8")
    Recorded(tmp_path / "run" / folder, SENT if sent else [intent()]).kpi()
    run = LiveRun(config=Path("c"), mode=mode, out=tmp_path / "run", places=places, seconds=None)
    with pytest.raises(UsageError, match=f"{run.out}: expected a new folder, .* a fresh folder with --out") if refused else nullcontext():
        require_untraded(run)


# Exit codes


@pytest.mark.parametrize(("holds", "interrupted", "code"), [(True, False, 0), (True, True, 130), (False, False, 1), (False, True, 1)])
def test_a_run_of_which_something_does_not_hold_is_exit_code_1_and_names_it(
    holds: bool, interrupted: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Recorded(tmp_path / "run", TRADED, [executed(fill())] if holds else [])
    kpi = found.kpi()
    monkeypatch.setattr("interlock.run.live.run_live", lambda *_, **__: LiveResult(found.out, kpi, interrupted))
    places = tmp_path / "places.json"
    places.write_text("{}", encoding="utf-8")
    assert main(["run", str(example()), "--mode", "live", "--places", str(places), "--out", str(found.out)]) == code
    lines = capsys.readouterr().out.splitlines()
    assert f"{found.out}: {'PASS' if holds else 'FAIL'}, " in lines[0]
    assert [line for line in lines if line.startswith("  FAIL")] == ([] if holds else [f"  FAIL    {FILLS}: {verdict_on(kpi, FILLS)[1]}"])


# While it runs


@dataclass
class Watched:
    """A run whose processes live and do nothing, on a clock that is moved as it is looked at."""

    folder: Recorded
    steps_s: Iterable[float]
    clock: ManualClock = field(default_factory=ManualClock)
    seen: list[tuple[float, dict[str, Any] | None]] = field(default_factory=list)
    """At each look: the seconds that have passed, and `kpi.json`."""
    said: list[str] = field(default_factory=list)
    """What was being done, as a person is told."""
    deaths: int = 0
    """How often the engine is killed, once at a look."""

    def watch(self) -> Course:
        run = LiveRun(config=Path("c"), mode=Mode.LIVE, out=self.folder.out, places=None, seconds=None)
        idle = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
        running = Running(run, Figures(run), {"read": str(self.folder.out / "none.sock")}, idle[0], idle[1])
        stop = StopWish()
        steps = iter(self.steps_s)

        def look(running: Running, passed_s: float) -> None:
            if self.deaths:
                self.deaths -= 1
                assert running.engine is not None
                running.engine.kill()
                running.engine.wait()
            path = self.folder.out / "kpi.json"
            self.seen.append((passed_s, json.loads(path.read_bytes()) if path.exists() else None))
            step_s = next(steps, None)
            stop.wanted = step_s is None
            self.clock.advance(round((step_s or 0) * NS_PER_S))

        try:
            running.course.begin(self.clock, None)
            watch(running, {}, clock=self.clock, stop=stop, stage=lambda what, *_: self.said.append(what), on_look=look)
            running.course.end(self.clock)
        finally:
            running.figures.close()
            assert running.engine is not None
            for process in (*idle, running.engine):
                process.kill()
                process.wait()
        running.course.gate_exit = 0
        return running.course


def test_every_minute_the_figures_are_put_down_whole_and_judge_nothing_yet(tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    found.kpi()
    (tmp_path / "kpi.json").unlink()
    watched = Watched(found, (59.9, 0.1, 59.0, 1.0))
    watched.watch()
    at = dict(watched.seen)
    assert [round(passed_s, 3) for passed_s in at] == [0, 59.9, 60, 119, 120]
    none, still_none, first, same, second = at.values()
    assert none is None
    assert still_none is None, "a minute has not passed"
    assert first is not None
    assert second is not None
    assert (first["final"], first["verdict"], first["invariants"], first["ended_wall_ns"]) == (False, None, [], None)
    assert (first["fills"], first["permits"]) == (1, 0)
    assert 59 <= first["ran_s"] <= 60, "as of the last heartbeat"
    assert same == first
    assert (second["final"], second["ran_s"]) == (False, 120.0)
    assert not list(tmp_path.glob("*.part"))


def test_a_checkpoint_does_not_read_again_what_was_read(tmp_path: Path) -> None:
    """A day's journal takes a quarter of a minute. What was read is spoilt here, and only the whole reading at the end finds that."""
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    found.kpi()
    watched = Watched(found, (60.0, 60.0))
    steps = iter(watched.steps_s)

    def spoilt() -> Iterator[float]:
        yield next(steps)
        segment = min((tmp_path / "journal").glob("*.seg"))
        journal, _ = open_journal(SystemDisk(), tmp_path / "journal", schema=r.SCHEMA, incarnation=bytes([1] * 16), options=OPTIONS)
        with closing(journal):
            journal.commit(r.encode(fill("t2")))
        content = bytearray(segment.read_bytes())
        content[600] ^= 1
        segment.write_bytes(content)
        yield next(steps)

    watched.steps_s = spoilt()
    watched.watch()
    fills = [None if kpi is None else kpi["fills"] for _, kpi in watched.seen]
    assert fills == [1, 1, 2]
    assert "journal verified" in found.judged()["failed"]


def test_whoever_has_the_figures_open_keeps_a_whole_file_when_they_are_replaced(tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    before = found.kpi()
    with (tmp_path / "kpi.json").open("rb") as held:
        Watched(found, (60.0,)).watch()
        assert json.loads(held.read()) == before
    assert json.loads((tmp_path / "kpi.json").read_bytes())["final"] is False


def test_a_disk_that_is_full_ends_no_run_and_is_told_of(small_disk: Path) -> None:
    found = Recorded(small_disk, TRADED, [executed(fill())])
    found.kpi()
    (small_disk / "kpi.json").unlink()
    said: list[str] = []

    def steps() -> Iterator[float]:
        full(small_disk)
        yield 60.0
        (small_disk / "full").unlink()
        yield 60.0

    watched = Watched(found, steps(), said=said)
    course = watched.watch()
    none, still_none, written = (kpi for _, kpi in watched.seen)
    assert (none, still_none) == (None, None)
    assert written is not None, "the next turn has tried it again"
    assert (written["fills"], written["trouble"], course.cut_short) == (
        1,
        ["the figures could not be written: No space left on device"],
        "",
    )
    assert "running; trouble: the figures could not be written: No space left on device" in said


def test_figures_that_cannot_be_put_down_at_the_end_are_one_error(small_disk: Path) -> None:
    found = Recorded(small_disk, TRADED, [executed(fill())])
    found.kpi()
    figures = Figures(LiveRun(config=Path("c"), mode=Mode.LIVE, out=small_disk, places=None, seconds=None))
    full(small_disk)
    with pytest.raises(Refused, match="its figures could not be written: No space left on device"):
        figures.final(found.course, None, None, found.truth)
    (small_disk / "full").unlink()
    assert figures.final(found.course, None, None, found.truth)["verdict"] == "PASS", "the control: with room they are"


def test_what_the_engine_could_not_say_is_trouble_of_the_run(tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    found.kpi()
    figures = Figures(LiveRun(config=Path("c"), mode=Mode.LIVE, out=tmp_path, places=None, seconds=None))
    for times, trouble in ((0, []), (3, ["the engine could not write how it stands: No space left on device"])):
        engine = {"unwritten": {"times": times, "last": "No space left on device" if times else ""}}
        for _ in range(2):
            figures.checkpoint(found.course, engine, None, None)
        assert json.loads((tmp_path / "kpi.json").read_bytes())["trouble"] == trouble
    figures.close()


@pytest.mark.parametrize(("deaths", "failed"), [(20, []), (21, ["ended by its time or by hand"])])
def test_an_engine_that_dies_again_and_again_ends_the_run_in_order(deaths: int, failed: list[str], tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    watched = Watched(found, [1.0] * 30, deaths=deaths)
    found.course = watched.watch()
    found.put("engine/engine.json")
    kpi = found.kpi()
    assert (kpi["failed"], kpi["verdict"], kpi["final"]) == (failed, "FAIL" if failed else "PASS", True)
    told = "the engine ended 21 times, and is not started again"
    assert [one for one in kpi["trouble"] if told in one] == ([f"{told}; see {tmp_path}/engine/engine.log"] if failed else [])
    assert kpi["trouble"].count("the engine ended by itself with exit code -9") == deaths


@pytest.mark.parametrize(("away_s", "failed"), [(66.0, ["heartbeat gap at most 65 s"]), (64.0, [])])
def test_a_supervisor_that_was_away_for_too_long_is_told_on(away_s: float, failed: list[str], tmp_path: Path) -> None:
    found = Recorded(tmp_path, TRADED, [executed(fill())])
    found.course = Watched(found, (1.0, away_s, 1.0)).watch()
    assert found.kpi()["failed"] == failed
