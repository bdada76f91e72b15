"""The parts of the live view without a terminal: what keys come to, what a journal tells, how a picture is drawn. Cost: a second."""

from __future__ import annotations

import os
import termios
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from interlock.console.keys import CONFIRM_NS, Keys, Wish
from interlock.console.screen import line, safe, screen
from interlock.console.told import EVENTS, JournalTold, Told, words_of
from interlock.console.view import STALE_NS, EngineStands, View, Watcher
from interlock.console.watch import Killing, watch_lines, watch_terminal
from interlock.domain.clock import NS_PER_S, ManualClock
from interlock.domain.orders import Liquidity, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.frames import Status
from interlock.gate.journal import Journal, Options, SystemDisk, open_journal
from interlock.gate.told_limits import of_permit

OPTIONS = Options(segment_bytes=16 << 10, batch_bytes=2 << 10, reserve_bytes=0)


class TestKeys:
    @pytest.mark.parametrize("second", ["K", "\r", "\n"])
    def test_a_capital_k_and_then_k_or_enter_kills(self, second: str) -> None:
        keys = Keys()
        assert keys.typed("K", 10) is Wish.NOTHING
        assert keys.asking(11)
        assert keys.typed(second, 12) is Wish.KILL
        assert not keys.asking(13), "and the next K begins anew"
        assert Keys().typed("KK", 10) is Wish.KILL
        assert Keys().typed("KKKK", 10) is Wish.KILL, "who hammers on it means it"

    @pytest.mark.parametrize("second", ["k", " ", "q", "x", "\x1b", "\x1b[A", "yes", ""])
    def test_nothing_else_does(self, second: str) -> None:
        keys = Keys()
        keys.typed("K", 10)
        assert keys.typed(second, 11) is not Wish.KILL
        assert keys.asking(12) is (second == "")

    def test_too_late_it_begins_anew(self) -> None:
        keys = Keys()
        keys.typed("K", 10)
        assert keys.typed("K", 11 + CONFIRM_NS) is Wish.NOTHING
        assert keys.typed("K", 12 + CONFIRM_NS) is Wish.KILL

    @given(st.lists(st.text(alphabet="kxqQ\r \x1bJ", max_size=4), max_size=8))
    def test_without_a_capital_k_nothing_kills(self, typed: list[str]) -> None:
        keys = Keys()
        assert all(keys.typed(each, at) is not Wish.KILL for at, each in enumerate(typed))

    def test_q_leaves_and_pasted_text_does_nothing(self) -> None:
        assert Keys().typed("q", 1) is Wish.QUIT
        assert Keys().typed("KKK quit", 1) is Wish.NOTHING


# A journal that is read along


def intent(client_id: str, lots: int) -> r.Intent:
    return r.Intent(
        boot_ns=1, client_id=client_id, revision=0, group="", strategy="making", venue="bybit", account="main", symbol="BTCUSDT",
        side=Side.BUY, type=OrderType.LIMIT, tif=TimeInForce.IOC, reduce_only=False, ticks=100, lots=lots, sequence=1, created_boot_ns=1,
        deadline_boot_ns=9, books=(),
    )  # fmt: skip


def permit(client_id: str, notional: str) -> r.Permit:
    told = (("max_order_lots", "2", "8"), ("max_orders", "5", "10"), ("known", "0", "0"), ("shock", "0", "0"))
    return r.Permit(
        boot_ns=2, client_id=client_id, revision=0, grant_id="g", epoch=1, mandate="", cap_usd=Decimal(100), notional_usd=Decimal(notional),
        evaluations=tuple(r.Evaluation(limit=limit, value=value, bound=bound) for limit, value, bound in told), books=(), usd_rates=(),
        body_hash="h", deadline_boot_ns=9, wall_ns=1,
    )  # fmt: skip


def fill(client_id: str, lots: int) -> r.Filled:
    return r.Filled(
        boot_ns=3, venue="bybit", account="main", symbol="BTCUSDT", trade_id=f"t{lots}", client_id=client_id, side=Side.BUY, ticks=100,
        lots=lots, liquidity=Liquidity.TAKER, fee=Decimal("0.1"), fee_currency="USDT", venue_ns=1,
    )  # fmt: skip


def mark(realised: str, unrealised: str) -> r.Marked:
    return r.Marked(
        boot_ns=4,
        realised_usd=Decimal(realised),
        unrealised_usd=Decimal(unrealised),
        equity_usd=1000 + Decimal(realised) + Decimal(unrealised),
    )


def writer(folder: Path) -> Journal:
    return open_journal(SystemDisk(), folder, schema=r.SCHEMA, incarnation=bytes(16), options=OPTIONS)[0]


def test_earned_for_traded_is_the_edge_and_what_is_not_known_is_said_to_be(tmp_path: Path) -> None:
    journal, told = writer(tmp_path / "j"), JournalTold(tmp_path / "j")
    journal.commit(r.encode(mark("0", "0")))
    assert (told.read().pnl_usd, told.read().edge_bps) == (None, None)
    for record in (intent("a", 4), permit("a", "400"), fill("a", 1), fill("a", 2), mark("1.0", "-0.4")):
        journal.commit(r.encode(record))
    found = told.read()
    assert (found.fills, found.traded_usd, found.pnl_usd) == (2, Decimal(300), Decimal("0.6"))
    assert found.edge_bps == Decimal(20)
    assert [one.limit for one in found.tightest] == ["max_orders", "max_order_lots"], "the most used first, and only what counts something"
    assert (found.from_lsn, found.last_lsn, found.problem) == (1, 6, "")
    told.close()
    journal.close()


def test_what_was_earned_goes_on_over_midnight(tmp_path: Path) -> None:
    """The result of a mark begins anew with its day, its equity does not: 5 lost, and then one won."""
    journal, told = writer(tmp_path / "j"), JournalTold(tmp_path / "j")
    tomorrow = msgspec.structs.replace(mark("0", "1"), equity_usd=Decimal(996))
    for record in (mark("0", "0"), mark("-5", "0"), tomorrow):
        journal.commit(r.encode(record))
    assert told.read().pnl_usd == -4
    told.close()
    journal.close()


def test_it_goes_on_over_segments_and_keeps_the_last_events(tmp_path: Path) -> None:
    told = JournalTold(tmp_path / "j")
    lives, each = 4, 15
    for life in range(lives):
        # Each life of a writer begins a segment.
        journal = writer(tmp_path / "j")
        for number in range(life * each, (life + 1) * each):
            latch = r.LatchSet(boot_ns=number, name=f"n{number}", scope=r.Scope.ALL, subject="", level=r.Level.HALT, reason="r", actor="me")
            journal.commit(r.encode(latch))
            if number % 7 == 0:
                told.read()
        journal.close()
    found = told.read()
    assert len(list((tmp_path / "j").glob("*.seg"))) >= lives
    assert [one.boot_ns for one in found.events] == list(range(lives * each - EVENTS, lives * each))
    assert (found.from_lsn, found.last_lsn) == (1, lives * each)
    told.close()


def test_a_journal_that_cannot_be_read_is_told_and_hides_nothing_else(tmp_path: Path) -> None:
    journal = writer(tmp_path / "j")
    journal.commit(b"no record")
    journal.close()
    told = JournalTold(tmp_path / "j")
    assert "record 1: expected a record" in told.read().problem
    assert "record 1: expected a record" in told.read().problem, "it is not passed over the next time"
    told.close()
    following = writer(tmp_path / "f")
    following.commit(r.encode(mark("0", "0")))
    told = JournalTold(tmp_path / "f")
    assert (told.read().problem, told.read().last_lsn) == ("", 1)
    following.commit(b"no record", r.encode(mark("1", "0")))
    for _ in range(2):
        found = told.read()
        assert ("record 2: expected a record" in found.problem, found.last_lsn) == (True, 1), "what was read before is still shown"
    told.close()
    following.close()
    assert "expected the folder of a journal" in JournalTold(tmp_path / "nothing").read().problem


def test_what_is_everyday_is_no_event() -> None:
    assert words_of(permit("a", "1")) == ""
    assert words_of(fill("a", 2)) == "fill buy 2 lots bybit:BTCUSDT at 100 ticks, taker"
    assert "NOT explained: position" in words_of(
        r.Reconciled(boot_ns=1, venue="bybit", account="main", explained=False, differences=(("position", "2 lots"),))
    )


# The picture


def report(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "pid": 1, "endpoint": "loopback", "level": "run", "killed": "none", "latches": [], "trips": [], "positions": [], "references": [],
        "sentinel": True, "checker": True, "read_only": False, "loss": {"now_usd": "0", "drawdown_usd": "0"},
        "grant": {"cap_usd": "100", "ended": "", "expires_in_s": 60},
        "orders": {"live": 0, "unresolved": 0, "cancelling": 0, "list": []},
    }  # fmt: skip
    return {**whole, **changes}


def view(stands: dict[str, Any] | None, **changes: Any) -> View:
    status = None if stands is None else Status(incarnation="abcdef0123", state_version=1, level=r.Level.RUN, armed=True, report=stands)
    fields: dict[str, Any] = {"wall_ns": NS_PER_S, "monotonic_ns": 20 * NS_PER_S, "boot_ns": NS_PER_S, "gone": "", "gone_ns": 0}
    return View(status=status, **{**fields, **changes})


def drawn(one: View, width: int = 120, **options: Any) -> str:
    console = Console(width=width, height=60, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(screen(one, **{"asking": False, "killing": (), "keys": True, **options}))
    return capture.get()


def test_a_long_list_says_how_many_more_there_are() -> None:
    positions = [{"venue": "bybit", "symbol": f"S{n}", "lots": n + 1} for n in range(20)]
    text = drawn(view(report(positions=positions)))
    assert "bybit:S7" in text
    assert "bybit:S8" not in text
    assert "and 12 more" in text


def test_what_others_call_themselves_moves_no_cursor() -> None:
    text = drawn(view(report(latches=[{"name": "\x1b[2Jx", "scope": "all", "subject": "[bold]", "level": "halt"}])))
    assert "\x1b" not in text
    assert "?[2Jx" in text
    assert "[bold]" in text
    assert safe("a\nb\x07") == "a?b?"


def test_nothing_of_a_gate_that_is_gone_is_shown() -> None:
    limits = of_permit(permit("a", "1").evaluations)
    gone = view(None, gone="no answer", gone_ns=17 * NS_PER_S, told=Told(limits=limits, limits_boot_ns=1))
    assert "GATE GONE for 3 s" in drawn(gone)
    assert "max_orders" not in drawn(gone)
    assert "max_orders" in drawn(view(report(), told=Told(limits=limits, limits_boot_ns=1)))
    assert line(gone) == line(gone).splitlines()[0]
    assert "GATE GONE for 3 s: no answer" in line(gone)


def test_an_engine_that_says_nothing_is_gone_too() -> None:
    book = {"venue": "bybit", "symbol": "BTCUSDT", "bid_ticks": 1, "ask_ticks": 2, "bars": ["no fresh book"], "book_ns": 1}
    stands = {"now_ns": 1, "books": [book]}
    assert "no fresh book" in drawn(view(report(), engine=EngineStands(stands, 0)))
    silent = drawn(view(report(), engine=EngineStands(stands, STALE_NS + 1)))
    assert "the engine is gone" in silent
    assert "no fresh book" not in silent
    assert "the engine is gone" in drawn(view(report(), engine=EngineStands({**stands, "ended": "stopped"}, 0)))


@pytest.mark.parametrize(("changed_s", "written_s", "age"), [(3, 0, "4.0 s"), (3, 2, "6.0 s"), (7, 0, "0 ms"), (0, 0, "")])
def test_a_book_of_the_engine_is_as_old_as_its_last_change(changed_s: int, written_s: int, age: str) -> None:
    """Not as the file that tells of it, which is written each second whatever the market does."""
    book = {"venue": "bybit", "symbol": "ETHUSDT", "bid_ticks": 1, "ask_ticks": 2, "bars": [], "book_ns": changed_s * NS_PER_S}
    stands = {"now_ns": 7 * NS_PER_S, "books": [book]}
    text = drawn(view(report(), engine=EngineStands(stands, written_s * NS_PER_S)))
    row = next(one for one in text.splitlines() if "ETHUSDT" in one)
    assert row.split() == ["bybit:ETHUSDT", "1", "2", *age.split(), "engine"]


@given(st.integers(10, 200))
def test_it_fits_every_width(width: int) -> None:
    text = drawn(view(report(positions=[{"venue": "bybit", "symbol": "BTCUSDT", "lots": 1}])), width, asking=True, killing=("FINAL",))
    assert max(len(one) for one in text.splitlines()) <= width


def test_of_a_run_whose_gate_is_gone_the_folder_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    stands = tmp_path / "engine" / "engine.json"
    stands.write_text('{"books": []}', encoding="utf-8")
    (tmp_path / "run.json").write_text('{"mode": "paper"}', encoding="utf-8")
    journal = writer(tmp_path / "journal")
    journal.commit(r.encode(r.KillEffective(boot_ns=7)))
    journal.close()
    clock = ManualClock(stands.stat().st_mtime_ns)
    with Watcher(tmp_path / "read.sock", frozenset({0}), tmp_path, clock, lambda: 9) as watcher:
        found = watcher.view()
        assert (found.status, found.gone_ns, found.mode) == (None, 0, "paper")
        assert "is it running?" in found.gone
        assert [one.words for one in found.told.events] == ["KILL in force"]
        assert found.engine is not None
        assert not found.engine.silent
        clock.advance(STALE_NS + 1)
        later = watcher.view().engine
        assert later is not None
        assert later.silent
        stands.write_text("half", encoding="utf-8")
        assert watcher.view().engine is None


def test_one_kill_at_a_time_and_leaving_waits_until_it_has_begun() -> None:
    began, go_on = threading.Event(), threading.Event()
    asked: list[str] = []

    def kill(say: Callable[[str], None]) -> None:
        asked.append("kill")
        began.set()
        go_on.wait(10)
        say("REQUESTED")

    killing = Killing(kill)
    killing.leave()
    killing.begin()
    assert began.wait(10)
    killing.begin()
    assert asked == ["kill"]
    go_on.set()
    killing.leave()
    assert killing.lines == ["asked for", "REQUESTED"]


def test_the_loop_draws_reads_keys_and_kills_once(tmp_path: Path) -> None:
    """In this process, at one end of a pseudo-terminal; each picture types the next key at the other."""
    master, slave = os.openpty()
    try:
        typed = iter(("K", "x", "K", "K", "", "q"))
        killed: list[str] = []

        def next_view() -> View:
            os.write(master, next(typed).encode())
            return view(report())

        def kill(say: Callable[[str], None]) -> None:
            killed.append("kill")
            say("FINAL")

        before = termios.tcgetattr(slave)
        termios.tcsetwinsize(slave, (30, 100))
        with os.fdopen(os.dup(slave), "r") as keyboard, os.fdopen(os.dup(slave), "w") as screen_file:
            console = Console(file=screen_file, force_terminal=True)
            watch_terminal(next_view, kill, ManualClock(), console, keyboard)
            assert console.size == (100, 30)
        assert killed == ["kill"]
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_lines_are_told_until_somebody_stops_them() -> None:
    told: list[View] = []

    def say(one: View) -> None:
        told.append(one)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch_lines(lambda: view(report()), say)
    assert len(told) == 1


def test_the_edge_that_the_engine_measures_is_shown_where_it_measures_one() -> None:
    found = {"edge_bps": "-1.2500", "fills": 7, "threshold_bps": "0.5", "collapses": 2}
    stands = {"counts": {}, "books": [], "decisions": 1, "open_orders": 0, "gate": True}

    def shown(edge: object) -> str:
        return " ".join(drawn(view(report(), engine=EngineStands({**stands, "edge": edge}, 0))).split())

    assert "-1.2500 bps over 7 fills" in shown(found)
    assert "not known over 7 fills" in shown({**found, "edge_bps": None})
    assert "measured" not in shown(None)
