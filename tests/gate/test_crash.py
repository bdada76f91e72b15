"""A fixed scenario of a gate at work, cut at every place where something becomes durable or leaves: nothing is doubled, orphaned or lost.

The gate is a real process, and so are its sentinel, its checker and the venue, which outlives every one of its deaths. One life after the other
works in one folder: each recovers what the one before left, is judged, and then runs the scenario up to the place where it is struck itself.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.gate.crash_driver import DEATHS, Life, Way, start, ways_of
from tests.gate.serving import ACK, conditions, until

from interlock.cli.gate_client import draw_nonce
from interlock.domain.clock import NS_PER_MS
from interlock.domain.errors import Refused
from interlock.domain.ids import parse_client_id
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk
from interlock.gate.journal.recover import recover
from interlock.gate.sockets import Client
from interlock.run.gate_config import read_gate_config
from interlock.run.gate_launch import example_limits
from interlock.sentinel.gate_process import GateIdentity, look
from interlock.sentinel.gate_process import Life as ProcessLife
from interlock.simulate.fake_venue.control import ClearFaults, FillOrder, SetBook
from interlock.simulate.fake_venue.faults import Fault
from interlock.trace.check import check
from interlock.trace.facts import read_facts

DRIFT_WINDOW_MS = 50
BID_TICKS, ASK_TICKS = 500_000, 500_002
LIMITS = {
    **dict.fromkeys(("max_order_notional_usd", "max_gross_notional_usd", "max_position_notional_usd", "max_daily_loss_usd"), "1000"),
    **dict.fromkeys(("max_drawdown_usd", "max_unattended_resting_usd", "max_naked_notional_usd", "naked_tolerance_usd"), "1000"),
    **dict.fromkeys(("max_orders_count", "max_identical_orders_count"), "10000"),
    **dict.fromkeys(("max_messages_count", "max_cancels_count"), "2000"),
    **dict.fromkeys(("max_reject_streak_count", "max_losing_streak_count"), "1000"),
    **dict.fromkeys(("freshness_mark_ms", "freshness_equity_ms", "freshness_rate_ms"), "10000"),
    **dict.fromkeys(("freshness_reference_ms", "freshness_engine_book_ms"), "5000"),
    "max_order_lots": "10",
    "max_position_lots": "20",
    "drift_window_ms": str(DRIFT_WINDOW_MS),
}
"""Room for many runs of the scenario by one gate, and for a machine that is busy with other things."""

STEPS: dict[str, tuple[str, ...]] = {
    "arm": ("arm",),
    "rest": ("intent", "permit", "wire", "send", "sent", "answer", "report"),
    "take": ("permit", "wire", "send", "sent", "answer", "fill"),
    "lost": ("permit", "wire", "send", "sent", "report", "unknown"),
    "amend": ("intent", "permit", "wire", "send", "sent", "answer", "report"),
    "cancel": ("cancel", "send", "cancel_sent", "cancel_answer", "report"),
}
"""A grant; an order that rests; one that fills at once; one whose answer is lost; a change of the first; a cancel of the third."""


def places_of(step: str) -> tuple[str, ...]:
    """Where a step can be cut."""
    found = []
    for kind in STEPS[step]:
        if kind == "send":
            found.append(f"send of {step}")
        else:
            name = kind if step == "arm" else f"{kind} of {step}"
            found += [f"write {name}", f"sync {name}"]
    return tuple(found)


PLACES = tuple(place for step in STEPS for place in places_of(step))
EVERY_CASE = tuple((place, way) for place in PLACES for way in ways_of(place))
SHORT = frozenset(
    {
        ("write arm", Way.PARTIAL),
        ("sync arm", Way.AFTER),
        ("write intent of rest", Way.BEFORE),
        ("write permit of rest", Way.PARTIAL),
        ("sync permit of rest", Way.BEFORE),
        ("sync permit of rest", Way.AFTER),
        ("write wire of rest", Way.BEFORE),
        ("write wire of take", Way.PARTIAL),
        ("write wire of take", Way.AFTER),
        ("send of rest", Way.BEFORE),
        ("send of take", Way.PARTIAL),
        ("send of take", Way.AFTER),
        ("sync wire of lost", Way.BEFORE),
        ("write sent of take", Way.BEFORE),
        ("write answer of rest", Way.PARTIAL),
        ("write report of rest", Way.AFTER),
        ("write fill of take", Way.BEFORE),
        ("write unknown of lost", Way.AFTER),
        ("send of amend", Way.BEFORE),
        ("send of amend", Way.AFTER),
        ("send of cancel", Way.BEFORE),
        ("send of cancel", Way.PARTIAL),
        ("write cancel_sent of cancel", Way.AFTER),
        ("sync report of cancel", Way.AFTER),
        ("write permit of rest", Way.EIO),
        ("sync permit of take", Way.EIO),
        ("sync wire of take", Way.EIO),
        ("write wire of amend", Way.ENOSPC),
        ("write cancel of cancel", Way.ENOSPC),
    }
)
"""What is run each time; the others are run by `make soak`. Every kind of place is here in every way."""


def cases(*ways: Way) -> list[Any]:
    """The cases of some ways, for pytest."""
    return [
        pytest.param(place, way, id=f"{place}, {way}", marks=() if (place, way) in SHORT else pytest.mark.soak)
        for place, way in EVERY_CASE
        if way in ways
    ]


def test_the_scenario_has_at_most_sixty_places() -> None:
    assert len(PLACES) == len(set(PLACES)) <= 60


class Ended(Exception):
    """The gate is gone, or its journal is."""


@dataclass
class Scene:
    """One folder with its venue, and the gate that lives there now."""

    folder: Path
    limits: Path
    life: Life | None = None
    orders: dict[str, str] = field(default_factory=dict)
    """Client ids of the scenario that is run, as far as they were told."""
    whole: bool = True

    def close(self) -> None:
        if self.life is None:
            return
        self.life.die()
        for pid, start_ticks, _ in read_gate_config(self.folder / "run" / "gate.json").children:
            if look(GateIdentity(pid, start_ticks)) is not ProcessLife.GONE:
                with suppress(ProcessLookupError):  # a checker ends by itself with its gate
                    os.kill(pid, signal.SIGKILL)

    @property
    def gate(self) -> Life:
        assert self.life is not None
        return self.life

    @property
    def drill_due(self) -> bool:
        """Whether a kill drill must pass first; also anew where the sources have changed since, which a grant is bound to."""
        return bool(self.gate.report()["drill_symbols"])

    # Lives

    def ready(self) -> Life:
        """A gate that is at rest, halted, with nothing latched."""
        if self.life is None:
            self.life = start(self.folder, self.limits)
            assert self.gate.paths, self.complaints()
            self.gate.tell(SetBook(venue="bybit", symbol="BTCUSDT", bid_ticks=BID_TICKS, ask_ticks=ASK_TICKS))
        self.unlatch()
        # On a busy machine a gate is ready before its checker has been heard for the first time.
        until(lambda: not any(one["rule"] == "check_sentinel" for one in self.gate.report()["why_not"]))
        if self.drill_due:
            code, told = self.gate.arm(env=conditions(LIVE_MAX_NOTIONAL_USD="1000"))
            assert code == 0, told
            self.ask(f.Role.LOWER, f.Disarm(reason="drilled"))
        return self.gate

    def unlatch(self) -> None:
        """Lift every latch."""
        for latch in self.gate.report()["latches"]:
            self.ask(
                f.Role.RAISE,
                f.Resume(
                    level=r.Level.RUN,
                    latch=latch["name"],
                    scope=r.Scope(latch["scope"]),
                    subject=latch["subject"],
                    state_version=self.gate.stands().state_version,
                    nonce=draw_nonce(),
                ),
            )

    def steady(self) -> None:
        """Wait until the price has been watched for as long as the limits want."""
        first_ns = self.gate.report()["references"][0]["boot_ns"]
        until(lambda: bool(self.gate.report()["references"][0]["boot_ns"] - first_ns >= DRIFT_WINDOW_MS * NS_PER_MS))

    def again(self, *more: str) -> Life:
        """The next life, after the end of the last."""
        self.gate.die()
        self.life = start(self.folder, self.limits, *more)
        return self.gate

    def complaints(self) -> str:
        return (self.folder / "gate.stderr").read_text(encoding="utf-8")[-2000:]

    # The scenario

    def run(self, at: str, how: Way = Way.BEFORE, *, holding: str = "") -> None:
        """The scenario up to the place where it is struck, or to its end."""
        self.orders = {}
        self.gate.tell(ClearFaults(venue="bybit"))
        self.gate.tell_it({"steps": ["rest", "take", "lost"], "at": at, "how": how, "holding": holding})
        self.steady()
        side = Side.SELL if sum(one["lots"] for one in self.gate.report()["positions"]) > 0 else Side.BUY
        away = 500 if side is Side.BUY else -500
        try:
            self.step("arm", self.arm)
            self.step("rest", lambda: self.order("rest", side, BID_TICKS - 2 * away, lots=2))
            self.step("take", lambda: self.order("take", side, BID_TICKS + 2 * side, tif=TimeInForce.IOC))
            self.gate.fault(Fault.LOSE_ACK, verb="place")
            self.step("lost", lambda: self.order("lost", side, BID_TICKS - away))
            self.step("amend", lambda: self.order("amend", side, BID_TICKS - 2 * away + 100, lots=3, amends=self.orders["rest"]))
            self.step("cancel", lambda: self.ask(f.Role.INTENT, f.CancelOwn(client_ids=(self.orders["lost"],), reason="scenario")))
        except (Ended, Refused, ConnectionError):
            until(lambda: bool(self.gate.struck()), 5)

    def step(self, name: str, begin: Callable[[], object]) -> None:
        """Begin a step, and wait until everything in it has happened. Raises Ended and Refused when the gate was struck meanwhile."""
        begin()
        wanted = set(places_of(name))
        with suppress(TimeoutError):
            until(lambda: bool(self.gate.struck()) or wanted <= self.gate.passed(), 10)
        if self.gate.struck():
            raise Ended
        missing = sorted(wanted - self.gate.passed())
        assert missing == [], f"{name}: {self.gate.report()['orders']}, {self.complaints()}"

    def ask(self, role: f.Role, request: f.Frame) -> f.AnyFrame:
        return self.gate.ask(role, request)

    def arm(self) -> None:
        """The ceremony by script, again where a busy machine kept the checker silent. Raises Refused when the gate goes away meanwhile."""
        with Client(Path(self.gate.paths["raise"]), f.Role.RAISE, frozenset({os.geteuid()})) as client:
            challenge = client.request(self.arm_begin())
            for _ in range(20):
                if not (isinstance(challenge, f.Refusal) and challenge.rule == "check_sentinel"):
                    break
                time.sleep(0.2)
                self.unlatch()
                challenge = client.request(self.arm_begin())
            assert isinstance(challenge, f.Challenge), challenge
            answer = f.ArmAnswer(
                challenge_id=challenge.challenge_id, acknowledgement=ACK, phrase=challenge.phrase, level_nonce=draw_nonce()
            )
            told = client.request(answer)
        assert isinstance(told, f.Done) or self.gate.struck(), told

    def arm_begin(self) -> f.ArmBegin:
        """What opens the ceremony in the state as it stands."""
        return f.ArmBegin(
            conditions=conditions(LIVE_MAX_NOTIONAL_USD="1000"),
            max_notional_usd="1000",
            lifetime_ns=600 * 10**9,
            mandate_ns=0,
            scripted=True,
            state_version=self.gate.stands().state_version,
            nonce=draw_nonce(),
        )

    def order(
        self, name: str, side: Side, ticks: int, *, lots: int = 1, tif: TimeInForce = TimeInForce.POST_ONLY, amends: str = ""
    ) -> f.Decision:
        """Propose an order, and remember what it is called if that is told."""
        boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        proposal = f.Proposal(
            venue="bybit",
            symbol="BTCUSDT",
            side=side,
            type=OrderType.LIMIT,
            tif=tif,
            ticks=ticks,
            lots=lots,
            strategy="demo",
            sequence=boot_ns // 1000,
            created_boot_ns=boot_ns,
            deadline_boot_ns=boot_ns + 2 * 10**9,
            amends=amends,
            books=(r.Book(venue="bybit", symbol="BTCUSDT", bid_ticks=BID_TICKS, ask_ticks=ASK_TICKS, boot_ns=boot_ns),),
        )
        told = self.ask(f.Role.INTENT, f.Propose(proposals=(proposal,)))
        assert isinstance(told, f.Decided), told
        self.orders[name] = told.decisions[0].client_id
        assert told.decisions[0].result == "PERMIT" or name == "after" or self.gate.struck(), told
        return told.decisions[0]

    # What is to be seen

    def fill_what_rests(self) -> int:
        """Let the oldest open order be filled by one lot; how many were open."""
        resting = self.gate.open_at_venue()
        if resting:
            self.gate.tell(FillOrder(venue="bybit", client_id=resting[0], lots=1))
        return len(resting)

    def settled(self) -> None:
        """Wait until the gate has made everything of what it found that can be made of it."""
        with suppress(TimeoutError):
            until(self._settled, 20)
        assert self._settled(), self.story()

    def story(self) -> str:
        """For a person who wonders why a life does not come to rest."""
        report, newest = self.gate.report(), self.gate.truth()
        self.gate.process.send_signal(signal.SIGSTOP)
        told = [str(record) for record in self.records_of_life() if isinstance(record, r.LatchSet | r.Reconciled | r.Snapshot)]
        self.gate.process.send_signal(signal.SIGCONT)
        return "\n".join([str(report), str(newest.positions), str(newest.balances), *told])

    def _settled(self) -> bool:
        there = {order.client_id: order for order in self.gate.truth().orders}
        report = self.gate.report()
        alive = {one["client_id"] for one in report["orders"]["list"]}
        return (
            all(order.state.final for order in there.values())
            and not alive & set(there)
            and not any(one["rule"] in ("not_reconciled", "market") for one in report["why_not"])
        )

    def records(self) -> list[r.AnyRecord]:
        """The whole journal; the gate must not be writing."""
        found: list[r.AnyRecord] = []
        recover(SystemDisk(), self.folder / "journal", schema=r.SCHEMA, consume=lambda _, payload: found.append(r.decode(payload)))
        return found

    def records_of_life(self) -> list[r.AnyRecord]:
        """Those of the newest life."""
        found = self.records()
        return found[max(at for at, record in enumerate(found) if isinstance(record, r.Boot)) :]

    def judge(self) -> None:
        """Hold what the gate says against what the venue holds and saw, and let the checker judge the journal. The gate stands still meanwhile."""
        gate = self.gate
        stands, truth = gate.stands(), gate.truth()
        assert (stands.armed, stands.level) == (False, r.Level.HALT)
        positions = {one["symbol"]: one["lots"] for one in stands.report["positions"]}
        assert positions == {one.symbol: one.lots for one in truth.positions if one.lots}
        assert [order.client_id for order in truth.orders if not order.state.final] == []
        gate.process.send_signal(signal.SIGSTOP)
        try:
            records = self.records()
            report = check(
                self.folder / "journal",
                witness=Path(gate.addresses.witness),
                truth=Path(gate.addresses.truth),
                facts=read_facts(self.folder / "run" / "facts.json"),
            )
        finally:
            gate.process.send_signal(signal.SIGCONT)
        assert [str(one) for one in report.violations] == []
        twice = [key for key, count in Counter(gate.raising()).items() if count > 1 and key[0]]
        assert twice == [], "no placement or amend reaches the venue twice"
        intended = {one.client_id for one in records if isinstance(one, r.Intent)}
        assert {order.client_id for order in truth.orders} <= intended, "no order of the venue is unknown here"
        assert all(parse_client_id(client_id, "demo") for client_id in intended)
        booked = Counter(one.trade_id for one in records if isinstance(one, r.Filled))
        assert booked == Counter(one.trade_id for one in truth.executions), "every execution is booked once"
        assert not any(isinstance(one, r.FillReversed | r.Foreign) for one in records)
        assert raised_unarmed(records) == []


def raised_unarmed(records: list[r.AnyRecord]) -> list[str]:
    """What raises risk and was recorded in a life before it was armed; in none may there be any."""
    found, armed = [], False
    for record in records:
        if isinstance(record, r.Boot):
            armed = False
        armed = armed or isinstance(record, r.Armed)
        if not armed and isinstance(record, r.Permit | r.WireBegin | r.Sent):
            found.append(repr(record))
    return found


def limits_in(folder: Path) -> Path:
    """The limits that are shipped, wider."""
    text = example_limits().read_text(encoding="utf-8")
    for name, value in LIMITS.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count, f"expected {name} in the shipped limits"
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    path = folder / "limits.toml"
    path.write_text(text, encoding="utf-8")
    return path


class Scenes:
    """A scene for each test; the same one for as long as what happens there is as expected and comes to rest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Scene] = []

    def scene(self) -> Scene:
        """One that is ready, and of whose orders none is left of which it is not known what became of it: an order could trade with that."""
        lived_in = bool(self._all) and self._all[-1].whole and not self._all[-1].drill_due
        lived_in = lived_in and not self._all[-1].gate.report()["orders"]["live"]
        if not lived_in:
            folder = self._folder / str(len(self._all))
            self._all.append(Scene(folder, limits_in(folder)))
        found = self._all[-1]
        found.whole = False
        found.ready()
        return found

    def close(self) -> None:
        for scene in self._all:
            scene.close()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    found = Scenes(tmp_path_factory.mktemp("crash"))
    try:
        yield found
    finally:
        found.close()


@pytest.mark.parametrize(("at", "how"), cases(*DEATHS))
def test_a_gate_that_dies_leaves_nothing_doubled_orphaned_or_lost(scenes: Scenes, at: str, how: Way) -> None:
    scene = scenes.scene()
    scene.run(at, how)
    assert scene.gate.struck() == {at}
    assert scene.gate.process.wait(5) == -signal.SIGKILL
    scene.fill_what_rests()
    before = scene.gate.raising()
    scene.again()
    scene.settled()
    scene.judge()
    assert scene.gate.raising() == before
    scene.whole = True


def test_nothing_happens_where_nothing_was_to_happen_and_the_scenario_comes_to_its_end(scenes: Scenes) -> None:
    scene = scenes.scene()
    before = len(scene.gate.raising())
    scene.run("")
    assert scene.gate.struck() == set()
    assert set(PLACES) <= scene.gate.passed()
    raised = scene.gate.raising()[before:]
    assert raised == [(scene.orders[name], int(name == "amend")) for name in ("rest", "take", "lost", "amend")]
    # What was reported last may have been what was read before the cancel arrived.
    until(lambda: scene.gate.open_at_venue() == [scene.orders["rest"]])
    assert scene.fill_what_rests() == 1
    scene.again()
    scene.settled()
    scene.judge()
    assert scene.gate.raising()[before:] == raised
    scene.whole = True


@pytest.mark.parametrize(("at", "how"), cases(Way.EIO, Way.ENOSPC))
def test_a_gate_whose_disk_fails_halts_and_goes_on_cancelling(scenes: Scenes, at: str, how: Way) -> None:
    scene = scenes.scene()
    scene.run(at, how)
    gate = scene.gate
    assert gate.struck() == {at}
    assert not gate.dead
    until(lambda: gate.stands().level is r.Level.HALT)
    until(lambda: not gate.open_at_venue())
    before = gate.raising()
    assert scene.order("after", Side.BUY, BID_TICKS - 1_000).result == "DENY"
    assert gate.report()["journal"]["failure"]
    scene.again()
    scene.settled()
    scene.judge()
    assert gate.raising() == before
    scene.whole = True


RECOVERY = (
    ("write zeros", Way.PARTIAL),
    ("write header", Way.PARTIAL),
    ("sync header", Way.BEFORE),
    ("rename segment", Way.BEFORE),
    ("rename segment", Way.AFTER),
    ("sync names", Way.BEFORE),
    ("write boot", Way.PARTIAL),
    ("write boot", Way.AFTER),
    ("sync boot", Way.AFTER),
    ("write epoch", Way.BEFORE),
    ("write fill", Way.BEFORE),
    ("sync fill", Way.AFTER),
    ("write report", Way.AFTER),
    ("write cancel", Way.BEFORE),
    ("sync cancel", Way.BEFORE),
    ("send cancel", Way.BEFORE),
    ("send cancel", Way.AFTER),
    ("write cancel_sent", Way.AFTER),
    ("write recon", Way.BEFORE),
    ("sync header", Way.EIO),
    ("write zeros", Way.ENOSPC),
    ("sync boot", Way.EIO),
)
"""Where a life can end that recovers what another one left, in the order in which it comes by."""
SHORT_RECOVERY = frozenset(
    {
        ("sync names", Way.BEFORE),
        ("write boot", Way.PARTIAL),
        ("sync fill", Way.AFTER),
        ("send cancel", Way.BEFORE),
        ("send cancel", Way.AFTER),
        ("sync boot", Way.EIO),
    }
)


@pytest.mark.parametrize(
    ("at", "how"),
    [pytest.param(*case, id=", ".join(case), marks=() if case in SHORT_RECOVERY else pytest.mark.soak) for case in RECOVERY],
)
def test_a_gate_that_dies_while_it_recovers_is_recovered_all_the_same(scenes: Scenes, at: str, how: Way) -> None:
    scene = scenes.scene()
    scene.run("send of lost", Way.AFTER)
    scene.fill_what_rests()
    before = scene.gate.raising()
    second = scene.again("--die-at", at, "--how", how)
    assert (second.process.wait(60) == -signal.SIGKILL) is (how in DEATHS)
    assert second.struck() == {at}
    scene.again()
    scene.settled()
    scene.judge()
    assert scene.gate.raising() == before
    scene.whole = True


def test_a_third_start_finds_nothing_to_do(scenes: Scenes) -> None:
    scene = scenes.scene()
    scene.run("sync report of cancel", Way.AFTER)
    scene.fill_what_rests()
    before = scene.gate.raising()
    did = []
    for _ in range(2):
        scene.again()
        scene.settled()
        scene.judge()
        scene.gate.die()
        did.append({str(record.__struct_config__.tag) for record in scene.records_of_life()})
    assert scene.gate.raising() == before
    assert {"fill", "cancel", "cancel_sent", "report"} <= did[0]
    assert did[1] <= {"boot", "epoch", "snap", "recon", "mark", "day", "trip", "untrip", "latch"}
    scene.again()
    scene.whole = True


def test_a_full_disk_keeps_new_risk_out_and_cancels_and_a_kill_in(scenes: Scenes) -> None:
    scene = scenes.scene()
    scene.run("")
    gate = scene.gate
    assert gate.open_at_venue() == [scene.orders["rest"]]
    gate.tell_it({"full": True})
    until(lambda: gate.stands().level is r.Level.REDUCE_ONLY)
    assert [trip["name"] for trip in gate.report()["trips"]] == ["disk_room"]
    until(lambda: not gate.open_at_venue())
    before = gate.raising()
    assert scene.order("after", Side.BUY, BID_TICKS - 1_000).rule == "level_reduces"
    assert gate.kill()[1]["result"] == "FINAL"

    refused = scene.again("--full")
    assert refused.process.wait(15) > 0, "there is no room to begin in"
    scene.again()
    scene.settled()
    scene.judge()
    assert gate.raising() == before
    scene.ready()
    scene.run("")
    assert scene.gate.raising()[len(before) :], "with room it works again"
    scene.whole = True


def test_a_kill_needs_no_journal(scenes: Scenes) -> None:
    scene = scenes.scene()
    scene.run("write permit of take", Way.ENOSPC)
    assert scene.gate.kill()[1]["result"] == "FINAL"
    assert scene.gate.open_at_venue() == []
    scene.again()
    scene.settled()
    scene.judge()
    scene.whole = True
