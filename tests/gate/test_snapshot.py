"""Snapshots: the same state again, disarmed, or none, also under other limits; and the journal has the last word."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate import order_records as o
from tests.gate.core_world import World, armed_state, proposal
from tests.gate.disks import FakeDisk

from interlock.domain.errors import DamagedState, UsageError
from interlock.domain.orders import OrderState, Side
from interlock.gate import records as r
from interlock.gate import snapshot
from interlock.gate.arming import Phase, phase
from interlock.gate.core import PERMIT, consequences
from interlock.gate.evaluate import Denied
from interlock.gate.journal import Mark, Options, SnapshotFile, archive, recover, write_snapshot
from interlock.gate.journal.segments import SUFFIX
from interlock.gate.journal.writer import SegmentWriter
from interlock.gate.limit_sheet import LimitSheet, sheet_hash
from interlock.gate.readings import Now
from interlock.gate.records import Endpoint, Level, Record, Scope
from interlock.gate.retention import LEAST_NS, RETAIN_NS
from interlock.gate.state import NOTED, NOTED_COUNT, GateState

S = OrderState
FOLDER = Path("journal")
SMALL = Options(segment_bytes=16 * 512, batch_bytes=4 * 512, reserve_bytes=512)
S_NS = 1_000_000_000
OTHER_SHEET = lc.changed(lc.SHEET, "account", max_daily_loss_micro_usd=1)
LOOSER_SHEET = lc.changed(lc.SHEET, "account", max_daily_loss_micro_usd=1 << 50, max_drawdown_micro_usd=1 << 50)
SHEETS = (lc.SHEET, OTHER_SHEET, LOOSER_SHEET)

ORDERS: list[Record] = [
    *(
        make(name, revision)
        for name in ("a", "b")
        for revision in (0, 1)
        for make in (o.permit, o.wire, o.sent, o.unknown, o.not_sent)
    ),
    *(o.intent(name, revision, lots, side=side) for name, side in (("a", Side.BUY), ("b", Side.SELL)) for revision, lots in ((0, 10), (1, 15))),
    *(o.answer(state, name) for name in ("a", "b") for state in (S.ACKED, S.OPEN, S.REJECTED)),
    *(
        o.report(state, filled, lots, at, name)
        for name in ("a", "b")
        for state, filled, lots, at in ((S.OPEN, 0, 0, 5), (S.PARTIAL, 4, 10, 6), (S.FILLED, 10, 15, 7), (S.CANCELLED, 0, 0, 8))
    ),
    *(make(name) for name in ("a", "b") for make in (o.deny, o.absent, o.quarantined, o.cancel, o.cancel_sent)),
    *(o.fill(4, f"{name}{number}", name, side, venue_ns=number) for name, side in (("a", Side.BUY), ("b", Side.SELL)) for number in (1, 2, 3)),
    o.reversal("a1"),
    o.released(S.CANCELLED),
    o.cancel_answer(False),
    o.fill(3, "theirs", ""),
]  # fmt: skip
REST: list[Record] = [
    o.event(r.LedgerKind.FUNDING, "-1.50", "f1", venue_ns=3),
    o.event(r.LedgerKind.DEPOSIT, "500", "d1"),
    o.event(r.LedgerKind.ADL, "0", "l1", symbol=o.SYMBOL, lots=-1, ticks=90),
    o.event(r.LedgerKind.ADJUST, "1", actor="me", nonce="n1"),
    r.LedgerExpected(
        boot_ns=1,
        kind=r.LedgerKind.DEPOSIT,
        venue=o.VENUE,
        account=o.ACCOUNT,
        currency="USDT",
        amount=Decimal("500.0"),
        until_wall_ns=99,
        actor="me",
    ),
    r.Epoch(boot_ns=1, number=8),
    r.LatchSet(
        boot_ns=1, name="x", scope=Scope.SYMBOL, subject="s", level=Level.HALT, reason="", actor="", evidence={NOTED: "w", NOTED_COUNT: "2"}
    ),
    r.LatchCleared(boot_ns=1, name="x", scope=Scope.SYMBOL, subject="s", actor="me", nonce="n2", state_version=3),
    r.InterlockTripped(boot_ns=1, name="feed", scope=Scope.ALL, subject="", level=Level.REDUCE_ONLY, reason=""),
    aw.level_set(Level.RUN),
    aw.reconciled(),
    aw.reconciled(explained=False),
    aw.foreign(),
    r.Disarmed(boot_ns=1, reason="r", actor="me", symbol=aw.SYMBOL),
    r.KillRequested(boot_ns=1, source="me", wall_ns=1),
    r.DayRolled(boot_ns=1, day="2026-01-02", baseline=(("USDT", Decimal("7.10")),), baseline_usd=Decimal("7.1"), wall_ns=1),
    r.Marked(boot_ns=1, realised_usd=Decimal(-5), unrealised_usd=Decimal("0.1"), equity_usd=Decimal(9)),
    r.GroupReserved(boot_ns=1, group="g", client_ids=("a",), naked_cap_usd=Decimal("10.50"), deadline_boot_ns=1 << 60),
    r.Drilled(
        boot_ns=1,
        drill_id="d",
        kind=r.DrillKind.ORDER,
        venue=o.VENUE,
        endpoint=Endpoint.LOOPBACK,
        key="k",
        sentinel_build="b",
        authenticated=True,
        placed=1,
        cancelled=1,
        remaining=0,
        verdict="pass",
        wall_ns=5,
    ),
    r.KeyAttested(
        boot_ns=1,
        venue=o.VENUE,
        account=o.ACCOUNT,
        fingerprint="0123456789abcdef",
        trade=True,
        withdraw=False,
        transfer=None,
        address_bound=None,
        expires_wall_ns=0,
        statement="s",
        actor="me",
        scripted=False,
        nonce="n3",
        wall_ns=5,
        until_wall_ns=6,
    ),
    r.Armed(boot_ns=1, grant=aw.ceremony()[1].record.grant, wall_ns=1),
]
BOOTS: list[Record] = [aw.boot("life-a"), o.boot()]
PAUSES_NS = (0, 1_000_000_000, LEAST_NS + 1, RETAIN_NS + 1)


def fold(*found: Record) -> GateState:
    state = GateState(lc.SHEET)
    for record in found:
        state.apply(record)
    return state


def again(state: GateState) -> GateState:
    return snapshot.decode(snapshot.encode(state), state.sheet)


def same(one: GateState, two: GateState) -> None:
    """In every part that records bring about."""
    for name in GateState.__slots__:
        if name != "machine":
            assert getattr(one, name) == getattr(two, name), name
    assert (one.arming, one.lattice) == (two.arming, two.lattice)
    assert one.digest() == two.digest()


timed = st.lists(st.tuples(st.sampled_from([*ORDERS, *ORDERS, *REST, *BOOTS]), st.sampled_from(PAUSES_NS)), max_size=40)


@settings(max_examples=300)
@given(timed, st.integers(0, 40))
def test_a_fold_goes_on_from_a_snapshot_as_if_there_had_been_none(found: list[tuple[Record, int]], cut: int) -> None:
    records, now_ns = list(o.OPENED), 1
    for record, pause_ns in found:
        now_ns += pause_ns
        records.append(msgspec.structs.replace(record, boot_ns=now_ns))
    cut = min(cut, len(records))
    state = fold(*records[:cut])
    other = again(state)
    same(state, other)
    for record in records[cut:]:
        state.apply(record)
        other.apply(record)
        assert other.digest() == state.digest()
    same(state, other)
    same(fold(*records), state)


def test_every_kind_of_part_is_in_what_these_records_make() -> None:
    """The control of the one above: what it compares is not empty."""
    state = fold(*BOOTS[:1], *REST, *o.OPENED, o.permit("b"), *ORDERS[-8:])
    for part in (state.orders, state.ledger, state.throttles, state.losses, state.drills, state.lattice, state.arming):
        assert part != type(part)()
    assert (state.groups, state.noted, state.incarnation) != ({}, {}, "")


def test_a_state_from_a_snapshot_is_disarmed_and_permits_nothing() -> None:
    world = World()
    assert world.decide().decision.result == PERMIT
    state = armed_state()
    assert state.live is not None
    assert phase(state.machine, aw.BOOT_NS) is Phase.ARMED
    other = again(state)
    same(state, other)
    assert (other.live, other.machine.challenge, other.machine.asked) == (None, None, frozenset())
    assert phase(other.machine, aw.BOOT_NS) is Phase.DISARMED
    assert World(state=other).next().decision.result != PERMIT
    challenged = armed_state()
    challenged.happen(aw.challenged(nonce=aw.NONCES[9]))
    blob = snapshot.encode(challenged)
    assert aw.NONCES[9].encode() not in blob
    assert proposal().strategy.encode() not in blob


def envelope(blob: bytes) -> list[Any]:
    found = msgspec.msgpack.decode(blob)
    assert isinstance(found, list)
    return found


def changed(blob: bytes, place: int, value: object) -> bytes:
    found = envelope(blob)
    found[place] = value
    return msgspec.msgpack.encode(found)


def test_bytes_that_are_no_snapshot_of_here_are_not_believed() -> None:
    blob = snapshot.encode(fold(*o.OPENED))
    body = msgspec.msgpack.decode(envelope(blob)[3])
    more, less = msgspec.msgpack.encode([*body, 1]), msgspec.msgpack.encode(body[:-1])
    for bad, why in (
        (b"", "bytes of a snapshot"),
        (blob[:-1], "bytes of a snapshot"),
        (msgspec.msgpack.encode([*envelope(blob), 1]), "bytes of a snapshot"),
        (changed(blob, 0, "other"), "parts that a state has here"),
        (changed(blob, 1, snapshot.RULES + 1), "by rules"),
        (changed(blob, 3, more), "parts of a state"),
        (changed(blob, 3, less), "parts of a state"),
        (changed(blob, 3, b""), "parts of a state"),
    ):
        with pytest.raises(snapshot.Unfit, match=why):
            snapshot.decode(bad, lc.SHEET)
    same(snapshot.decode(blob, lc.SHEET), fold(*o.OPENED))


def test_a_snapshot_that_remembers_less_or_more_than_the_limits_ask_for_is_not_believed() -> None:
    """What was sent is remembered for a minute, ten or an hour, by the longest window of the limits: only then do two folds forget alike."""
    blob = snapshot.encode(fold(*o.OPENED))
    for window_ns, fits in ((S_NS, True), (60 * S_NS, True), (60 * S_NS + 1, False), (3_600 * S_NS, False)):
        sheet = lc.changed(
            lc.changed(lc.SHEET, "strategies", "demo", identical_orders_window_ns=S_NS), "venues", "bybit", messages_window_ns=S_NS
        )
        sheet = lc.changed(sheet, "strategies", "demo", orders_window_ns=window_ns)
        if fits:
            assert snapshot.decode(blob, sheet).digest() == fold(*o.OPENED).digest()
        else:
            with pytest.raises(
                snapshot.Unfit, match=r"what was sent in the last .* ms, as long as the limits count, found one of 60000 ms"
            ):
                snapshot.decode(blob, sheet)


def test_a_snapshot_in_slices_is_the_one_that_is_made_in_one() -> None:
    state = fold(*BOOTS[:1], *REST, *o.OPENED, o.permit("b"), *ORDERS[-8:])
    *slices, file = snapshot.in_slices(state, Mark(7, bytes(32)), r.SCHEMA)
    assert slices == [None] * 7
    assert file is not None
    assert file == snapshot.snapshot_file(state, Mark(7, bytes(32)), r.SCHEMA)
    assert file.state_hash.hex() == state.digest()
    body = msgspec.msgpack.decode(envelope(file.blob)[3])
    parts = [name for name in GateState.__slots__ if name not in ("machine", "given")]
    for part in (state.arming, state.lattice, *(getattr(state, name) for name in parts)):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(part)) in body
    assert len(body) == len(parts) + 2
    same(snapshot.decode(file.blob, lc.SHEET), state)


def test_a_sum_that_no_snapshot_can_hold_makes_none() -> None:
    state = fold(*(o.fill(1 << 40, f"t{number}", ticks=1 << 30) for number in range(3)))
    assert len(state.digest()) == 64
    with pytest.raises(OverflowError):
        snapshot.encode(state)


# Beside a journal


def write(disk: FakeDisk, *found: Record, writer: SegmentWriter | None = None) -> tuple[SegmentWriter, list[Mark]]:
    """A journal of these records, one batch each, and the places after them."""
    disk.make_directory(FOLDER)
    if writer is None:
        begin = recover(disk, FOLDER, schema=r.SCHEMA)
        writer = SegmentWriter(disk, FOLDER, SMALL, schema=r.SCHEMA, incarnation=bytes(16), found=begin)
    marks = []
    for record in found:
        if writer.write([r.encode(record)]):
            writer.prepare()
        writer.sync()
        marks.append(writer.mark)
    return writer, marks


LIFE = (aw.boot(), *o.OPENED, o.fill(4), aw.reconciled(), o.report(S.CANCELLED, 4, venue_ns=11), o.event(r.LedgerKind.FUNDING, "-1"))


def beside(state: GateState, lsn: int = len(LIFE)) -> FakeDisk:
    """A journal of `LIFE` and a little more, with a snapshot of `state` after record `lsn`."""
    disk = FakeDisk()
    _, marks = write(disk, *LIFE, aw.foreign())
    write_snapshot(disk, FOLDER, snapshot.snapshot_file(state, marks[lsn - 1], r.SCHEMA))
    return disk


def test_a_boot_from_a_snapshot_makes_the_state_of_the_whole_journal() -> None:
    disk = beside(fold(*LIFE))
    said: list[str] = []
    loaded = snapshot.load(disk, FOLDER, r.SCHEMA, lc.SHEET, said.append)
    assert loaded is not None
    assert (loaded.mark.lsn, said) == (len(LIFE), [])
    same(loaded.state, fold(*LIFE))
    found = recover(disk, FOLDER, schema=r.SCHEMA, after=loaded.mark, consume=lambda _, data: loaded.state.apply(r.decode(data)))
    assert found.records == 1
    same(loaded.state, fold(*LIFE, aw.foreign()))
    assert snapshot.verify_snapshot(disk, FOLDER, lc.SHEET) == ""


def test_a_journal_without_a_snapshot_has_none_to_load() -> None:
    disk = FakeDisk()
    write(disk, *LIFE)
    said: list[str] = []
    assert snapshot.load(disk, FOLDER, r.SCHEMA, lc.SHEET, said.append) is None
    assert (said, snapshot.verify_snapshot(disk, FOLDER, lc.SHEET)) == ([], "")


def refused(disk: FakeDisk, schema: int = r.SCHEMA) -> str:
    """Why the only snapshot is ignored."""
    said: list[str] = []
    assert snapshot.load(disk, FOLDER, schema, lc.SHEET, said.append) is None
    assert len(said) == 1
    assert "ignored" in said[0]
    return said[0]


def test_a_snapshot_that_does_not_fit_is_ignored_and_it_is_told_why() -> None:
    other = GateState(OTHER_SHEET)
    for record in LIFE:
        other.apply(record)
    disk = beside(other)
    # Whether it is the fold of the journal can be told only under the limits that it was made under.
    with pytest.raises(UsageError, match=f"--limits: expected the limits .*{sheet_hash(OTHER_SHEET)}, found {sheet_hash(lc.SHEET)}"):
        snapshot.verify_snapshot(disk, FOLDER, lc.SHEET)
    assert snapshot.verify_snapshot(disk, FOLDER, OTHER_SHEET) == ""
    assert "record schema" in refused(beside(fold(*LIFE)), r.SCHEMA + 1)


def test_a_snapshot_whose_state_is_not_the_one_it_names_is_ignored() -> None:
    disk = FakeDisk()
    _, marks = write(disk, *LIFE)
    whole = snapshot.snapshot_file(fold(*LIFE), marks[-1], r.SCHEMA)
    less = snapshot.snapshot_file(fold(*LIFE[:-1]), marks[-1], r.SCHEMA)
    write_snapshot(disk, FOLDER, SnapshotFile(whole.mark, whole.schema, whole.state_hash, less.blob))
    assert "in its bytes" in refused(disk)
    assert "in its bytes" in snapshot.verify_snapshot(disk, FOLDER, lc.SHEET)


def test_a_snapshot_of_another_record_is_found_out_by_folding_again() -> None:
    wrong = snapshot.verify_snapshot(beside(fold(*LIFE[:-1])), FOLDER, lc.SHEET)
    assert f"snapshot of record {len(LIFE)}: expected the state {fold(*LIFE).digest()}" in wrong
    assert snapshot.verify_snapshot(beside(fold(*LIFE[:-1]), len(LIFE) - 1), FOLDER, lc.SHEET) == ""


def test_a_snapshot_that_does_not_fit_the_journal_is_told_by_verification() -> None:
    disk = beside(fold(*LIFE))
    ((_, path),) = [(0, path) for path in disk.files if path.suffix == ".snap"]
    disk.files[path].durable[600] ^= 1
    assert "content is damaged" in snapshot.verify_snapshot(disk, FOLDER, lc.SHEET)


def test_a_record_that_nobody_knows_is_told_by_verification() -> None:
    disk = FakeDisk()
    writer, _ = write(disk, *LIFE)
    writer.write([b"\xc1"])
    writer.sync()
    write_snapshot(disk, FOLDER, snapshot.snapshot_file(fold(*LIFE), writer.mark, r.SCHEMA))
    with pytest.raises(DamagedState, match=f"record {len(LIFE) + 1}: expected a record of schema"):
        snapshot.verify_snapshot(disk, FOLDER, lc.SHEET)


def test_what_a_snapshot_covers_can_be_archived_and_is_still_verified() -> None:
    disk = FakeDisk()
    many = (*LIFE, *(r.Tick(boot_ns=5, wall_ns=number) for number in range(60)))
    _, marks = write(disk, *many)
    write_snapshot(disk, FOLDER, snapshot.snapshot_file(fold(*many), marks[-1], r.SCHEMA))
    assert archive(disk, FOLDER, r.SCHEMA)
    assert snapshot.verify_snapshot(disk, FOLDER, lc.SHEET) == ""
    # A boot does without the archive.
    for path in [path for path in disk.files if path.suffix == ".xz"]:
        del disk.files[path]
    said: list[str] = []
    loaded = snapshot.load(disk, FOLDER, r.SCHEMA, lc.SHEET, said.append)
    assert loaded is not None
    recover(disk, FOLDER, schema=r.SCHEMA, after=loaded.mark)
    same(loaded.state, fold(*many))
    assert all(path.name.endswith((SUFFIX, ".snap", ".tmp")) for path in disk.files)


def test_a_snapshot_is_due_at_rest_between_records_and_at_last_in_any_case() -> None:
    calm, busy = fold(*LIFE), fold(*o.PLACED)
    between, most = snapshot.RECORDS_BETWEEN, snapshot.MOST_RECORDS_BETWEEN
    assert snapshot.quiet(calm)
    assert not snapshot.quiet(busy)

    def due(state: GateState, durable_lsn: int, waiting: int = 0) -> bool:
        return snapshot.due(state, last_lsn=durable_lsn + waiting, durable_lsn=durable_lsn, snapshot_lsn=7)

    assert [due(calm, lsn) for lsn in (7, between + 6, between + 7)] == [False, False, True]
    assert not due(calm, between + 7, waiting=1)
    assert [due(busy, lsn) for lsn in (between + 7, most + 6, most + 7)] == [False, False, True]
    assert not due(busy, most + 7, waiting=1)
    for waiting in (o.LOST, (*o.OPENED, o.cancel()), (o.intent(), o.permit())):
        assert not snapshot.quiet(fold(*waiting))
    assert snapshot.quiet(fold(*o.OPENED))


# Under other limits than it was made under


def boot_under(sheet: LimitSheet, number: int, boot_ns: int = 1) -> r.Boot:
    return msgspec.structs.replace(aw.boot(f"life-{number}"), limits=sheet_hash(sheet), boot_ns=boot_ns)


def mark(realised: str, unrealised: str = "0", boot_ns: int = 1) -> r.Marked:
    return r.Marked(boot_ns=boot_ns, realised_usd=Decimal(realised), unrealised_usd=Decimal(unrealised), equity_usd=Decimal(100))


def roll(day: str, boot_ns: int = 1) -> r.DayRolled:
    return r.DayRolled(boot_ns=boot_ns, day=day, baseline=(), baseline_usd=Decimal(100), wall_ns=1)


def cleared(state: GateState, boot_ns: int) -> r.LatchCleared:
    nonce = f"{boot_ns:032x}"
    return r.LatchCleared(
        boot_ns=boot_ns, name="loss", scope=Scope.ALL, subject="", actor="me", nonce=nonce, state_version=state.lattice.version
    )


def take(state: GateState, journal: list[Record], record: Record, *, dies: bool = False) -> list[str]:
    """As a gate does: the record, and the latches that it calls for, unless it dies before them; their names."""
    state.apply(record)
    journal.append(record)
    names = []
    while not dies and (found := consequences(state, Now(record.boot_ns, 1))):
        for latch in found:
            assert isinstance(latch, r.LatchSet)
            names.append(latch.name)
            state.apply(latch)
            journal.append(latch)
    return names


def folded(sheet: LimitSheet, journal: list[Record]) -> GateState:
    state = GateState(sheet)
    for record in journal:
        state.apply(record)
    return state


def begun(sheet: LimitSheet, blob: bytes, journal: list[Record], kept: int) -> GateState:
    """As a boot under `sheet` does: from a snapshot of the first `kept` records, and the rest of the journal."""
    state = snapshot.decode(blob, sheet)
    for record in journal[kept:]:
        state.apply(record)
    return state


events = st.sampled_from(["won", "lost little", "lost", "down", "roll", "clear", "tick"])
lives = st.lists(
    st.tuples(st.sampled_from(SHEETS), st.lists(st.tuples(events, st.booleans()), max_size=8), st.booleans()), min_size=1, max_size=5
)


def event_of(kind: str, state: GateState, now_ns: int) -> Record:
    match kind:
        case "roll":
            return roll(f"2026-01-{1 + now_ns // (60 * S_NS):02d}", now_ns)
        case "clear":
            return cleared(state, now_ns)
        case "tick":
            return r.Tick(boot_ns=now_ns, wall_ns=1)
    realised, unrealised = {"won": ("9", "0"), "lost little": ("-5", "0"), "lost": ("-11", "0"), "down": ("0", "-11")}[kind]
    return mark(realised, unrealised, now_ns)


@settings(max_examples=300)
@given(lives)
def test_a_life_under_whatever_limits_begins_with_the_state_of_the_whole_journal(
    found: list[tuple[LimitSheet, list[tuple[str, bool]], bool]],
) -> None:
    """Also where the life before died between a mark and its latch."""
    journal: list[Record] = []
    kept, blob, now_ns = 0, snapshot.encode(GateState(found[0][0])), 0
    for number, (sheet, happened, dies) in enumerate(found):
        now_ns += S_NS
        state, whole = begun(sheet, blob, journal, kept), folded(sheet, journal)
        for one in (state, whole):
            one.apply(boot_under(sheet, number, now_ns))
        assert state.digest() == whole.digest()
        same(state, whole)
        journal.append(boot_under(sheet, number, now_ns))
        for at, (kind, keep) in enumerate(happened):
            now_ns += S_NS
            take(state, journal, event_of(kind, state, now_ns), dies=dies and at == len(happened) - 1)
            if keep:
                kept, blob = len(journal), snapshot.encode(state)
        same(state, folded(sheet, journal))


def test_before_its_boot_is_folded_a_state_still_says_by_which_limits_it_was_judged() -> None:
    """The control of the one above: limits do make another state of the same records."""
    journal: list[Record] = [boot_under(lc.SHEET, 1), roll("2026-01-01"), mark("-9")]
    assert len({folded(sheet, journal).digest() for sheet in (lc.SHEET, OTHER_SHEET)}) == 2
    journal.append(boot_under(OTHER_SHEET, 2))
    assert len({folded(sheet, journal).digest() for sheet in (lc.SHEET, OTHER_SHEET)}) == 1


def test_what_an_earlier_day_lost_is_not_judged_by_limits_that_came_later() -> None:
    journal: list[Record] = []
    first = GateState(lc.SHEET)
    for record in (boot_under(lc.SHEET, 1), roll("2026-01-01"), mark("-9"), roll("2026-01-02"), mark("0")):
        assert take(first, journal, record) == []
    for second in (folded(OTHER_SHEET, journal), begun(OTHER_SHEET, snapshot.encode(first), journal, len(journal))):
        more: list[Record] = []
        assert take(second, more, boot_under(OTHER_SHEET, 2)) == []
        assert take(second, more, mark("0")) == []
        assert second.losses.latched is False
        assert take(second, more, mark("-0.01")) == ["loss"], "the control: the tighter limit holds"


def test_what_this_day_lost_is_held_against_the_new_limits_from_the_first_decision_on() -> None:
    for lost, sheet, latched in (("-9", OTHER_SHEET, True), ("-9", LOOSER_SHEET, False), ("0", OTHER_SHEET, False)):
        journal: list[Record] = []
        first = GateState(lc.SHEET)
        for record in (boot_under(lc.SHEET, 1), roll("2026-01-01"), mark(lost)):
            take(first, journal, record)
        second = begun(sheet, snapshot.encode(first), journal, len(journal))
        assert take(second, journal, boot_under(sheet, 2)) == []
        assert second.losses.worst_realised_micro_usd == -1_000_000 * int(lost)
        known = msgspec.structs.replace(second.losses, marked_boot_ns=lc.NOW)
        found = lc.judge(losses=known, sheet=sheet)
        assert (found.rule if isinstance(found, Denied) else "") == "max_daily_loss_usd" * latched
        # The first mark does not show the loss any more: what is lost for good stays lost until the day ends.
        assert take(second, journal, mark("0")) == ["loss"] * latched


@pytest.mark.parametrize("sheet", SHEETS)
def test_a_loss_that_has_latched_stays_so_under_whatever_limits_until_a_person_clears_it(sheet: LimitSheet) -> None:
    journal: list[Record] = []
    first = GateState(lc.SHEET)
    take(first, journal, boot_under(lc.SHEET, 1))
    take(first, journal, roll("2026-01-01"))
    assert take(first, journal, mark("-11")) == ["loss"]
    for second in (folded(sheet, journal), begun(sheet, snapshot.encode(first), journal, len(journal))):
        more: list[Record] = []
        assert take(second, more, boot_under(sheet, 2)) == []
        take(second, more, roll("2026-01-02"))
        assert second.losses.latched is True
        assert [hold.name for hold in second.lattice.latches] == ["loss"]
    assert take(second, more, cleared(second, 9)) == []
    assert (second.losses.latched, second.lattice.latches) == (False, ())
    assert take(second, more, boot_under(LOOSER_SHEET, 3)) == []
    assert second.losses.latched is False


def read_after(disk: FakeDisk, mark: Mark) -> list[Record]:
    found: list[Record] = []
    recover(disk, FOLDER, schema=r.SCHEMA, after=mark, consume=lambda _, data: found.append(r.decode(data)))
    return found


def test_only_the_latch_on_everything_is_that_of_the_daily_loss() -> None:
    latch = r.LatchSet(boot_ns=1, name="loss", scope=Scope.ALL, subject="", level=Level.REDUCE_ONLY, reason="", actor="gate")
    for scope, name, standing in ((Scope.ALL, "loss", True), (Scope.STRATEGY, "loss", False), (Scope.ALL, "feed", False)):
        state = fold(boot_under(lc.SHEET, 1), msgspec.structs.replace(latch, scope=scope, name=name))
        assert (state.losses.latched, state.losses.standing) == (standing, standing)


def test_a_boot_under_other_limits_begins_with_the_snapshot_and_needs_no_archive() -> None:
    disk = FakeDisk()
    state = GateState(lc.SHEET)
    journal: list[Record] = []
    many = (boot_under(lc.SHEET, 1), roll("2026-01-01"), mark("-9"), *(r.Tick(boot_ns=5, wall_ns=number) for number in range(60)))
    for record in many:
        take(state, journal, record)
    after = (r.Tick(boot_ns=6, wall_ns=1), mark("0", boot_ns=7))
    writer, marks = write(disk, *journal)
    write_snapshot(disk, FOLDER, snapshot.snapshot_file(state, marks[-1], r.SCHEMA))
    write(disk, *after, writer=writer)
    assert archive(disk, FOLDER, r.SCHEMA)
    for path in [path for path in disk.files if path.suffix == ".xz"]:
        del disk.files[path]
    for sheet in SHEETS:
        said: list[str] = []
        loaded = snapshot.load(disk, FOLDER, r.SCHEMA, sheet, said.append)
        assert loaded is not None
        rest = read_after(disk, loaded.mark)
        assert (rest, said) == (list(after), [])
        whole = folded(sheet, [*journal, *after])
        for record in rest:
            loaded.state.apply(record)
        for one in (loaded.state, whole):
            one.apply(boot_under(sheet, 2))
        same(loaded.state, whole)


def test_a_journal_that_must_be_read_whole_says_which_folder_is_to_be_put_back() -> None:
    disk = beside(fold(*LIFE))
    writer, _ = write(disk, *(r.Tick(boot_ns=5, wall_ns=number) for number in range(60)))
    del writer
    first = min(path for path in disk.files if path.suffix == SUFFIX)
    del disk.files[first]
    with pytest.raises(
        DamagedState, match=r"no snapshot that can be used .* put the missing segments back, packed ones into journal/archive"
    ):
        recover(disk, FOLDER, schema=r.SCHEMA)
