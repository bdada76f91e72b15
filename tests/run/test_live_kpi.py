"""The invariants of a live run over what was recorded of it: each with what keeps it, and with what breaks it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from interlock.domain.clock import NS_PER_S, ManualClock
from interlock.domain.orders import Liquidity, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.journal import Options, SystemDisk, open_journal
from interlock.run.live_folder import LiveRun
from interlock.run.live_kpi import Course, write_kpi
from interlock.run.modes import Mode

OPTIONS = Options(segment_bytes=16 << 10, batch_bytes=2 << 10, reserve_bytes=0)
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
    course: Course = field(default_factory=lambda: Course(gate_exit=0))

    def __post_init__(self) -> None:
        for name in ("config.toml", "limits.toml", "run.json", "gate.log", "engine/config.json", "engine/engine.json", "engine/engine.log"):
            self.put(name)
        self.put("engine/inputs-1.log")
        self.truth: Path | None = self.out / "truth.jsonl"
        clock = ManualClock(NS_PER_S)
        self.course.begin(clock, 60.0)
        for _ in range(60):
            clock.advance(NS_PER_S)
            self.course.beat(clock)
        self.course.end(clock)

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
        return write_kpi(self.out, "live", "loopback", self.course, None, None, self.truth, final=True)


def verdict_on(kpi: dict[str, Any], name: str) -> tuple[str, str]:
    """What an invariant says, and the detail."""
    return next((one["verdict"], one["detail"]) for one in kpi["invariants"] if one["name"] == name)


# What the venue executed


TWO = (fill("t1"), fill("t2", lots=2), fill("t3", client_id=OTHER))
SENT = (wire(), wire(OTHER))


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
