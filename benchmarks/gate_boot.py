"""The gate's boot: a journal of many records, its snapshot and what the boot then takes, with the archived part left alone.

The records are those of a gate at 20 orders a second: most are cancelled, some are filled, every one goes through permit, wire and report. They are
folded as they are written, snapshots are written as the gate would, and what they cover is archived. The disk is the one that holds the folder.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from tests.gate import limit_cases as lc
from tests.gate.core_world import LIFE, NOW, World, proposal, records_until_run

from benchmarks import machine
from interlock.domain.ids import INCARNATION_BITS, ClientId
from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.gate import records as r
from interlock.gate import snapshot
from interlock.gate.core import decide
from interlock.gate.journal import START, Journal, JournalFull, Options, SystemDisk, archive, open_journal
from interlock.gate.state import GateState

_HERE = Path(__file__).parent
ORDER_EVERY_NS = 50_000_000
FILLED_EVERY = 5
"""One order in so many is filled; the others are cancelled."""
RECORDS = 10**7
LONGEST_BOOT_S = 5.0
_BATCH = 1_000


def order_lives() -> Iterator[tuple[r.Record, ...]]:
    """The records of one order after the other, without end."""
    world = World()
    template = decide(world.setup, world.state, world.readings, proposal(sequence=1_000, ticks=399_500), world.now).records
    intent = next(record for record in template if isinstance(record, r.Intent))
    permit = next(record for record in template if isinstance(record, r.Permit))
    epoch, bits = world.state.epoch, int(LIFE, 16) & ((1 << INCARNATION_BITS) - 1)
    number = 0
    while True:
        number += 1
        at = NOW.boot_ns + number * ORDER_EVERY_NS
        venue_ns = NOW.wall_ns + number * ORDER_EVERY_NS
        about: dict[str, Any] = {"boot_ns": at, "client_id": str(ClientId("demo", epoch, number, bits))}
        ticks = 399_000 + number % 1_000
        placed: tuple[r.Record, ...] = (
            msgspec.structs.replace(intent, **about, sequence=2_000 + number, ticks=ticks),
            msgspec.structs.replace(permit, **about),
            r.WireBegin(**about, revision=0, connection="c", sign_wall_ns=venue_ns, receive_window_ns=10**9),
            r.Sent(**about, revision=0, sign_wall_ns=venue_ns, receive_window_ns=10**9),
            r.Answered(**about, revision=0, state=OrderState.OPEN, venue_order_id=f"v{number}", code=""),
        )
        told: dict[str, Any] = {**about, "venue_order_id": f"v{number}", "lots": 1, "source": "stream", "code": "", "venue_ns": venue_ns}
        if number % FILLED_EVERY:
            yield (
                *placed,
                r.CancelWanted(**about, reason="engine", actor="engine"),
                r.CancelSent(**about, attempt=1),
                r.CancelAnswered(**about, accepted=True, code=""),
                r.Reported(**told, state=OrderState.CANCELLED, filled_lots=0),
            )
        else:
            execution = r.Filled(
                **about,
                venue=intent.venue,
                account=intent.account,
                symbol=intent.symbol,
                trade_id=f"t{number}",
                side=Side.BUY,
                ticks=ticks,
                lots=1,
                liquidity=Liquidity.MAKER,
                fee=Decimal("0.0123"),
                fee_currency="USDT",
                venue_ns=venue_ns,
            )
            yield (*placed, execution, r.Reported(**told, state=OrderState.FILLED, filled_lots=1))


class Writer:
    """Fills a journal and keeps the state beside it, as the keeper does; `pauses_ns` are the times that a snapshot held it up."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.state = GateState(lc.SHEET)
        self.snapshot_lsn = 0
        self.pauses_ns: list[int] = []
        self.blob_bytes = 0

    def take(self, *found: r.Record) -> None:
        """Append and fold, at the pace of the disk."""
        for record in found:
            payload = r.encode(record)
            while True:
                try:
                    self.journal.append(payload)
                    break
                except JournalFull:
                    self.journal.prepare()
                    self.journal.wait_durable(self.journal.last_lsn, 10 * 10**9)
                    time.sleep(0.01)
            self.state.apply(record)

    def rest(self) -> None:
        """Let the disk catch up, and write a snapshot if one is due."""
        self.journal.commit()
        mark = self.journal.durable_mark
        if snapshot.due(self.state, last_lsn=self.journal.last_lsn, durable_lsn=mark.lsn, snapshot_lsn=self.snapshot_lsn):
            began = time.perf_counter_ns()
            file = snapshot.snapshot_file(self.state, mark, r.SCHEMA)
            self.pauses_ns.append(time.perf_counter_ns() - began)
            self.journal.write_snapshot(file.mark, file.state_hash, file.blob)
            self.snapshot_lsn = mark.lsn
            self.blob_bytes = len(file.blob)


def fill(folder: Path, records: int) -> dict[str, Any]:
    """Make a journal of at least so many records with its snapshots, and archive what they cover."""
    disk = SystemDisk()
    journal, _ = open_journal(disk, folder, schema=r.SCHEMA, incarnation=bytes.fromhex(LIFE), options=Options())
    writer = Writer(journal)
    began = time.perf_counter()
    try:
        writer.take(*records_until_run())
        for number, life in enumerate(order_lives(), start=1):
            writer.take(*life)
            if number % (_BATCH // 10) == 0:
                writer.rest()
            if writer.state.records >= records:
                break
    finally:
        journal.close()
    took_s = time.perf_counter() - began
    packed = archive(disk, folder, r.SCHEMA)
    orders = writer.state.orders
    pauses = sorted(writer.pauses_ns)
    return {
        "records": writer.state.records,
        "written_in_s": round(took_s, 1),
        "orders_forgotten": orders.forgotten,
        "orders_remembered": len(orders.by_id),
        "snapshots": len(pauses),
        "snapshot_bytes": writer.blob_bytes,
        "snapshot_pause_ms": [round(pause / 1e6, 1) for pause in (pauses[len(pauses) // 2], pauses[-1])] if pauses else [],
        "segments_archived": len(packed),
        "digest": writer.state.digest(),
    }


def boot_seconds(folder: Path) -> dict[str, Any]:
    """What a boot does with a journal: load the snapshot, become the writer, fold the rest. The state's digest is for the caller to compare."""
    disk = SystemDisk()
    said: list[str] = []
    began, began_cpu = time.perf_counter(), time.process_time()
    loaded = snapshot.load(disk, folder, r.SCHEMA, lc.SHEET, said.append)
    loaded_s = time.perf_counter() - began
    state = GateState(lc.SHEET) if loaded is None else loaded.state

    def fold(_lsn: int, payload: bytes) -> None:
        state.apply(r.decode(payload))

    after = START if loaded is None else loaded.mark
    journal, found = open_journal(disk, folder, schema=r.SCHEMA, incarnation=bytes(16), consume=fold, after=after)
    took_s, took_cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    journal.close()
    return {
        "seconds": round(took_s, 2),
        "cpu_seconds": round(took_cpu_s, 2),
        "snapshot_seconds": round(loaded_s, 2),
        "records_folded": found.records,
        "ignored": said,
        "digest": state.digest(),
    }


def main(arguments: Sequence[str]) -> int:
    """Measure and print; exit code 1 where the boot took longer than it may, or made another state."""
    parser = argparse.ArgumentParser(prog="benchmarks.gate_boot", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--dir", type=Path, default=None, help="a folder on the disk to measure")
    options = parser.parse_args(arguments)
    cache = _HERE / ".cache"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.dir or cache) as name:
        written = fill(Path(name), options.records)
        boot = boot_seconds(Path(name))
    same = written.pop("digest") == boot.pop("digest")
    print(json.dumps({"gate_boot": {"journal": written, "boot": boot, "same_state": same, "machine": machine.facts()}}, indent=2))
    if not same or boot["seconds"] > LONGEST_BOOT_S:
        print(f"bench: expected the same state within {LONGEST_BOOT_S} s", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
