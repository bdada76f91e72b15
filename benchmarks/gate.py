"""The gate: what a decision costs, what durability costs beside the bare disk, how fast a journal is read back, a boot, a kill.

Everything but the kill runs in this one process, one measurement after the other, several times in turn; figures are medians and 99th percentiles in
microseconds. The disk is the one that holds the folder given with `--dir` (default: a temporary folder beside this file).
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import LIFE, NOW, S, World, binding, proposal, records_until_run

from benchmarks import gate_boot, machine
from benchmarks.gate_kill import ORDERS as KILL_ORDERS
from benchmarks.gate_kill import kill_times
from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.arming import Minted
from interlock.gate.ceremony import answer, ask
from interlock.gate.core import PERMIT, decide
from interlock.gate.journal import Options, SystemDisk, open_journal, recover
from interlock.gate.state import GateState

_HERE = Path(__file__).parent
_ROOT = _HERE.parent
RECORD_BYTES = 300
OPEN_ORDERS = 20
BURST = 64


def percentiles(samples_ns: Sequence[int]) -> dict[str, float]:
    """Median and 99th percentile, microseconds."""
    ordered = sorted(samples_ns)
    return {"p50_us": round(ordered[len(ordered) // 2] / 1e3, 1), "p99_us": round(ordered[len(ordered) * 99 // 100] / 1e3, 1)}


def timed(count: int, do: Callable[[], object]) -> list[int]:
    """The time of each of `count` calls, nanoseconds."""
    found = []
    for _ in range(count):
        began = time.perf_counter_ns()
        do()
        found.append(time.perf_counter_ns() - began)
    return found


def busy_world() -> World:
    """A gate at RUN with `OPEN_ORDERS` permitted orders that count as open."""
    sheet = lc.changed(lc.SHEET, "symbols", "bybit:BTCUSDT", max_open_orders_count=64, max_position_lots=64)
    sheet = lc.changed(sheet, "symbols", "bybit:BTCUSDT", max_position_notional_micro_usd=10**9)
    sheet = lc.changed(sheet, "account", max_gross_notional_micro_usd=10**9)
    sheet = lc.changed(sheet, "venues", "bybit", max_gross_notional_micro_usd=10**9)
    sheet = lc.changed(sheet, "assets", "BTC", max_naked_notional_micro_usd=10**9, naked_tolerance_micro_usd=10**9)
    state = GateState(sheet)
    for record in records_until_run():
        state.apply(record)
    state.apply(_mark())
    now = aw.situation(binding=binding())
    asked = ask(aw.wish(), {**aw.ENVIRON, "LIVE_MAX_NOTIONAL_USD": "1000"}, now, aw.NONCES[5])
    state.happen(asked)
    minted = answer(asked.challenge, aw.reply(asked), now)  # type: ignore[union-attr,arg-type]
    assert isinstance(minted, Minted)
    state.happen(minted)
    world = World(state=state)
    for number in range(OPEN_ORDERS):
        effects = world.next(ticks=399_000 + number)
        assert effects.decision.result == PERMIT, effects.decision
    return world


def _mark() -> r.Marked:
    return r.Marked(boot_ns=NOW.boot_ns - 1, realised_usd=Decimal(0), unrealised_usd=Decimal(0), equity_usd=Decimal(1_000))


def decisions(count: int) -> dict[str, Any]:
    """A proposal that is permitted with `OPEN_ORDERS` open, decided again and again without being folded; and one that read-only denies."""
    world = busy_world()
    asked = proposal(sequence=1_000, ticks=399_500)
    assert decide(world.setup, world.state, world.readings, asked, world.now).decision.result == PERMIT
    permitted = timed(count, lambda: decide(world.setup, world.state, world.readings, asked, world.now))
    world.readings.read_only = True
    denied = timed(count, lambda: decide(world.setup, world.state, world.readings, asked, world.now))
    return {"open_orders": OPEN_ORDERS, "permit": percentiles(permitted), "deny": percentiles(denied)}


def durability(folder: Path, count: int) -> dict[str, Any]:
    """A record made durable, alone and in a burst, beside a bare write and fdatasync of one block on the same disk in the same minutes."""
    payload = bytes(range(256)) * 2
    payload = payload[:RECORD_BYTES]
    journal, _ = open_journal(SystemDisk(), folder / "journal", schema=r.SCHEMA, incarnation=bytes.fromhex(LIFE), options=Options(64 << 20))
    bare = os.open(folder / "bare", os.O_RDWR | os.O_CREAT)
    block = bytes(512)
    os.pwrite(bare, bytes(1 << 20), 0)
    os.fsync(bare)
    raw: list[int] = []
    alone: list[int] = []
    through: list[int] = []
    burst: list[int] = []
    trickle: list[int] = []
    try:
        at = 0

        def bare_write() -> None:
            nonlocal at
            os.pwrite(bare, block, at)
            os.fdatasync(bare)
            at = (at + 512) % (1 << 20)

        def by_thread() -> None:
            journal.wait_durable(journal.append(payload), 10 * S)

        def in_burst() -> None:
            for _ in range(BURST - 1):
                journal.append(payload)
            journal.wait_durable(journal.append(payload), 10 * S)

        for _ in range(count // 50):
            raw += timed(50, bare_write)
            alone += timed(50, lambda: journal.commit(payload))
            through += timed(50, by_thread)
            burst += timed(10, lambda: journal.commit(*[payload] * BURST))
            trickle += timed(10, in_burst)
    finally:
        journal.close()
        os.close(bare)
    found: dict[str, Any] = {
        "raw_fdatasync": percentiles(raw),
        "commit": percentiles(alone),
        "append_and_wait": percentiles(through),
        f"burst_of_{BURST}": percentiles(burst),
        f"{BURST}_appends_and_wait": percentiles(trickle),
    }
    found["ratio_commit_raw"] = round(found["commit"]["p50_us"] / found["raw_fdatasync"]["p50_us"], 2)
    found["ratio_burst_commit"] = round(found[f"burst_of_{BURST}"]["p50_us"] / found["commit"]["p50_us"], 2)
    return found


def folding(folder: Path, orders: int) -> dict[str, Any]:
    """Reading a journal of whole order lives back into a state: records a second."""
    world = busy_world()
    journal, _ = open_journal(SystemDisk(), folder / "fold", schema=r.SCHEMA, incarnation=bytes.fromhex(LIFE), options=Options(64 << 20))
    written = 0

    def keep(record: r.Record) -> None:
        nonlocal written
        written += 1
        put = journal.append if written % 256 else journal.commit  # commit waits, so that the disk keeps up
        put(r.encode(record))

    for record in records_until_run():
        keep(record)
    template = decide(world.setup, world.state, world.readings, proposal(sequence=1_000, ticks=399_500), world.now).records
    intent, permit = template
    for number in range(orders):
        client_id = f"demo{number:023d}"
        boot_ns = NOW.boot_ns + number * 1_000_000
        keep(msgspec.structs.replace(intent, client_id=client_id, boot_ns=boot_ns, sequence=2_000 + number))
        keep(msgspec.structs.replace(permit, client_id=client_id, boot_ns=boot_ns))
        keep(r.WireBegin(boot_ns=boot_ns, client_id=client_id, revision=0, connection="c"))
        keep(r.Sent(boot_ns=boot_ns, client_id=client_id, revision=0, sign_wall_ns=1, receive_window_ns=1))
        keep(r.Answered(boot_ns=boot_ns, client_id=client_id, revision=0, state=OrderState.ACKED, venue_order_id="v", code=""))
        keep(
            r.Reported(
                boot_ns=boot_ns,
                client_id=client_id,
                venue_order_id="v",
                state=OrderState.CANCELLED,
                filled_lots=0,
                lots=1,
                source="stream",
                code="",
                venue_ns=number,
            )
        )
    journal.close()
    state = GateState(world.state.sheet)
    began = time.perf_counter()
    recover(SystemDisk(), folder / "fold", schema=r.SCHEMA, consume=lambda _lsn, payload: state.apply(r.decode(payload)))
    took_s = time.perf_counter() - began
    assert state.records == written
    return {"records": written, "records_per_s": round(written / took_s), "seconds": round(took_s, 2)}


def booting(folder: Path, records: int) -> dict[str, Any]:
    """A boot with a long journal: its snapshot and what follows it; the state must be the one that was there at the end."""
    written = gate_boot.fill(folder / "boot", records)
    found = gate_boot.boot_seconds(folder / "boot")
    assert written.pop("digest") == found.pop("digest")
    return {"journal": written, "boot": found}


def main(arguments: Sequence[str]) -> int:
    """Measure, write the result, print it."""
    parser = argparse.ArgumentParser(prog="benchmarks.run gate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few repetitions, no result file")
    parser.add_argument("--boot-records", type=int, default=None, help="how many records the journal of the boot holds (10,000,000)")
    parser.add_argument("--dir", type=Path, default=None, help="a folder on the disk to measure")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the result is always one JSON object")
    options = parser.parse_args(arguments)
    count, orders = (200, 500) if options.quick else (5_000, 50_000)
    boot_records = options.boot_records if options.boot_records is not None else 20_000 if options.quick else gate_boot.RECORDS
    now = datetime.now(UTC)
    began = {"date": now.isoformat(timespec="seconds"), **machine.facts()}
    cache = _HERE / ".cache"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.dir or cache) as folder:
        figures = {
            "gate": {
                "decide": decisions(count),
                "durable": durability(Path(folder), count),
                "fold": folding(Path(folder), orders),
                "boot": booting(Path(folder), boot_records),
                "kill": kill_times(Path(folder), KILL_ORDERS if not options.quick else 50, 1 if options.quick else 5),
                "machine": began,
            }
        }
    text = json.dumps(figures, indent=2)
    folder_out = cache if options.quick else _HERE / "results"
    path = folder_out / f"{now.date()}-gate{'-quick' if options.quick else ''}.json"
    path.write_text(text + "\n", encoding="utf-8")
    print(text)
    print(f"bench: written to {path.relative_to(_ROOT)}", file=sys.stderr)
    return 0
