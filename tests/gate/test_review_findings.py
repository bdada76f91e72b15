"""What a review of the decision core and the way out found: each test states what must hold and did not when it was written."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import LIFE, NOW, S, World, armed_state, binding, proposal, records_until_run

from interlock.domain.orders import Liquidity, OrderState, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.connection import OrderConnection, Write, Wrote
from interlock.gate.core import DENY, PERMIT, Planned, _exposure, consequences, decide, deny_batch, recheck, want_cancels
from interlock.gate.egress import Egress
from interlock.gate.frames import Proposal
from interlock.gate.journal import Journal, JournalFailed, JournalFull, Options, SystemDisk, open_journal
from interlock.gate.keeper import Keeper
from interlock.gate.lattice import clear_latch, common_level
from interlock.gate.readings import Now, Setup
from interlock.gate.records import Level, Scope
from interlock.gate.state import GateState
from interlock.gate.venue_fake import FakeWire, answered, request_id
from interlock.gate.verbs import Cause
from interlock.venues.budget import GATE, Meter
from interlock.venues.fake import budget, wire

MS = 1_000_000
REDUCE: dict[str, Any] = {"side": Side.SELL, "tif": TimeInForce.IOC, "ticks": 400_000, "reduce_only": True}


def disarm() -> r.Disarmed:
    return r.Disarmed(boot_ns=NOW.boot_ns, reason="x", actor="ann")


def latch(level: Level, name: str = "operator") -> r.LatchSet:
    return r.LatchSet(boot_ns=NOW.boot_ns, name=name, scope=Scope.ALL, subject="", level=level, reason="test", actor="ann")


def wired(world: World, client_id: str, revision: int = 0) -> None:
    world.state.apply(r.WireBegin(boot_ns=NOW.boot_ns, client_id=client_id, revision=revision, connection="c"))
    world.state.apply(
        r.Sent(boot_ns=NOW.boot_ns, client_id=client_id, revision=revision, sign_wall_ns=NOW.wall_ns, receive_window_ns=2 * S)
    )


def report(client_id: str, state: OrderState, filled: int = 0, lots: int = 1, venue_ns: int = 1) -> r.Reported:
    return r.Reported(
        boot_ns=NOW.boot_ns,
        client_id=client_id,
        venue_order_id="v1",
        state=state,
        filled_lots=filled,
        lots=lots,
        source="stream",
        code="",
        venue_ns=venue_ns,
    )


def resting(world: World, **more: Any) -> str:
    """The world's first order, open at the venue."""
    world.proposal = proposal(**more)
    client_id = world.decide().decision.client_id
    wired(world, client_id)
    world.state.apply(report(client_id, OrderState.OPEN))
    return client_id


# The core


def test_what_the_venue_reports_as_filled_counts_before_its_executions_come() -> None:
    """Rule: safety.md S11, gate.md 5/6. `_exposure` looks at live orders only; an order that ended with executions outstanding is in no sum."""
    world = World()
    client_id = world.decide().decision.client_id
    wired(world, client_id)
    world.state.apply(report(client_id, OrderState.FILLED, filled=1))
    assert world.state.orders.worst == {("bybit", "main", "BTCUSDT"): (1, 0)}
    assert world.next(ticks=399_999).decision.result == PERMIT
    third = world.next(ticks=399_998)  # a third lot where two are the most
    assert (third.decision.result, third.decision.rule) == (DENY, "max_position_lots")


def test_a_reduction_that_is_reported_as_filled_is_not_made_twice() -> None:
    """Rule: gate.md 2.7 c, safety.md S20. The position that a reported fill has taken away is reduced once more."""
    world = World()
    client_id = world.decide().decision.client_id
    wired(world, client_id)
    world.state.apply(fill(client_id, Side.BUY, "t1"))
    world.state.apply(latch(Level.REDUCE_ONLY))
    first = world.next(**REDUCE).decision
    assert first.result == PERMIT
    wired(world, first.client_id)
    world.state.apply(report(first.client_id, OrderState.FILLED, filled=1, venue_ns=2))
    assert world.next(**REDUCE).decision.result == DENY


def fill(client_id: str, side: Side, trade_id: str) -> r.Filled:
    return r.Filled(
        boot_ns=NOW.boot_ns,
        venue="bybit",
        account="main",
        symbol="BTCUSDT",
        trade_id=trade_id,
        client_id=client_id,
        side=side,
        ticks=400_000,
        lots=1,
        liquidity=Liquidity.MAKER,
        fee=Decimal(0),
        fee_currency="USDT",
        venue_ns=1,
    )


def test_new_risk_that_carries_the_reduce_flag_is_stopped_by_a_disarm_before_its_write() -> None:
    """Rule: gate.md 2.7, 3 and 4.4, safety.md S3/S20. `recheck` takes the flag for a proof; nothing is held that could be reduced."""
    world = World()
    world.proposal = proposal(**REDUCE)
    effects = world.decide()
    assert effects.planned is not None
    permit = effects.records[1]
    assert isinstance(permit, r.Permit)
    assert permit.mandate == ""  # permitted as new risk, from a flat position
    world.state.apply(disarm())
    assert world.recheck(effects.planned) == "disarmed"


def test_a_permit_dies_with_the_grant_that_it_was_given_under() -> None:
    """Rule: safety.md S3 (token of the permit is the living one, no DISARM in between). `recheck` takes whatever grant lives now."""
    world = World()
    planned = world.decide().planned
    assert planned is not None
    world.state.apply(disarm())
    asked, minted = aw.ceremony(aw.situation(binding=binding()), nonce=aw.NONCES[7])
    world.state.happen(asked)
    world.state.happen(minted)
    assert world.state.live is minted.live
    assert world.recheck(planned) != ""


def test_no_other_bytes_than_those_permitted_pass_the_last_check() -> None:
    """Rule: safety.md S2, H24 (wire hash == permit hash). Nobody compares the frame with the body hash of its permit."""
    world = World()
    planned = world.decide().planned
    assert planned is not None
    assert world.recheck(planned._replace(frame=planned.frame.replace(b" 1@", b" 9@"))) != ""


def test_the_deadline_that_counts_is_that_of_the_permit() -> None:
    """Rule: gate.md 4.4. The deadline is read from the caller's copy; the fold does not keep that of the permit."""
    world = World()
    planned = world.decide().planned
    assert planned is not None
    world.now = Now(NOW.boot_ns + 3 * S, NOW.wall_ns)
    assert world.recheck(planned) == "deadline"
    assert world.recheck(planned._replace(deadline_boot_ns=NOW.boot_ns + 60 * S)) != ""


@pytest.mark.parametrize("name", ["sentinel_alive", "checker_alive"])
def test_the_death_of_sentinel_or_checker_stops_a_write_that_waits(name: str) -> None:
    """Rule: safety.md L5 (Egress stops RISK+). `decide` asks, `recheck` does not; a permit may wait for as long as 5 s."""
    world = World()
    planned = world.decide().planned
    assert planned is not None
    setattr(world.readings, name, False)
    assert world.recheck(planned) != ""


def test_an_amend_passes_the_last_check_before_its_write() -> None:
    """Rule: gate.md 4.6, safety.md S27. `_begun` reads the `sent` of the placement also for an amend, so that no amend is ever written."""
    world = World()
    client_id = resting(world)
    planned = world.next(amends=client_id, ticks=399_999).planned
    assert planned is not None
    assert world.recheck(planned) == ""
    world.state.apply(r.WireBegin(boot_ns=NOW.boot_ns, client_id=client_id, revision=1, connection="c"))
    said = recheck(world.setup, world.state, world.readings, planned, world.now, stopped=False, lease_held=True, begun=True)
    assert said == ""


def test_an_amend_is_judged_as_the_order_that_it_changes() -> None:
    """Rule: safety.md S2/S27. The limits are evaluated for a sell while the frame changes a buy; the fold drops the intent, and its permit halts."""
    world = World()
    client_id = resting(world)
    effects = world.next(amends=client_id, side=Side.SELL, ticks=400_000)
    assert effects.decision.result == DENY
    assert consequences(world.state, world.now) == ()


def test_an_amend_whose_fate_is_unknown_holds_up_its_group() -> None:
    """Rule: safety.md S8 (after UNKNOWN no new INTENT in the same group). Only the state of placements is looked at."""
    world = World()
    client_id = resting(world, group="pair")
    world.next(amends=client_id, ticks=399_999, group="pair")
    wired(world, client_id, 1)
    world.state.apply(r.SendUnknown(boot_ns=NOW.boot_ns, client_id=client_id, revision=1, reason="timeout"))
    assert world.next(ticks=399_998, group="pair").decision.rule == "group_unresolved"


def test_an_amend_to_a_lower_sell_price_counts_at_that_price() -> None:
    """Rule: gate.md 6 (open and unknown orders filled in the worse direction). The higher of both prices hides what a sell at the lower one loses."""
    world = World()
    client_id = resting(world, side=Side.SELL, ticks=401_000)
    assert world.next(amends=client_id, side=Side.SELL, ticks=400_001).decision.result == PERMIT
    load = _exposure(world.state, world.readings, []).loads[("bybit", "main", "BTCUSDT")]
    assert load.lowest_sell_ticks == 400_001


def test_a_boot_has_no_epoch_until_its_own_is_recorded() -> None:
    """Rule: safety.md S7, H11. The epoch of an earlier process life goes on: its ids are given out again after the boot."""
    world = World()
    world.decide()
    world.state.apply(aw.boot("f" * 32))
    effects = world.next()
    assert effects.decision.rule == "epoch"


def test_an_epoch_that_is_recorded_twice_gives_out_no_id_twice() -> None:
    """Rule: safety.md S7. Any Epoch sets the counter back, also one that does not rise."""
    world = World()
    first = world.decide().decision.client_id
    world.state.apply(r.Epoch(boot_ns=3, number=world.state.epoch))
    assert world.next(ticks=399_999).decision.client_id != first


def test_a_denied_sequence_number_is_not_taken_again() -> None:
    """Rule: gate.md 4.2 (repeated is DENY). A batch denied whole, or any denial before the intent, leaves the number free."""
    world = World()
    batch = [proposal(sequence=1), proposal(sequence=2)]
    world.readings.read_only = True
    effects = deny_batch(world.setup, world.state, world.readings, batch, world.now)
    assert effects is not None
    for record in effects.records:
        world.state.apply(record)
    world.readings.read_only = False
    world.proposal = batch[0]
    assert world.decide().decision.rule == "repeated"


def test_a_batch_denied_whole_is_counted_under_its_own_strategies_and_rules() -> None:
    """Rule: gate.md 6 (one counted record of one (strategy, rule)). Everything is booked under the first proposal's."""
    world = World()
    batch = [proposal(strategy="demo", symbol="XRPUSDT"), proposal(strategy="other", venue="elsewhere", sequence=2)]
    effects = deny_batch(world.setup, world.state, world.readings, batch, world.now)
    assert effects is None or {record.strategy for record in effects.records if isinstance(record, r.Deny)} == {"demo", "other"}


def test_a_repeated_denial_is_one_counted_record_a_second() -> None:
    """Rule: gate.md 6, H22. Every denied proposal costs two records and stays in the order book of the fold for good."""
    world = World()
    world.state.apply(latch(Level.HALT))
    before = world.state.records
    for _ in range(200):
        assert world.next().decision.result == DENY
    assert world.state.records - before < 200


def test_duplicate_id_on_a_first_send_halts() -> None:
    """Rule: gate.md 5 (duplicate id on a first send latches HALT). It is taken for a plain rejection: the order ends and nothing stops."""
    world = World()
    client_id = world.decide().decision.client_id
    wired(world, client_id)
    reply = wire.Answer(
        request_id=1, status=400, code=wire.Code.DUPLICATE_CLIENT_ID, text="", venue_ns=1, limit=3_000, remaining=3_000, reset_ns=1
    )
    world.state.apply(answered(reply, client_id, 0, NOW.boot_ns))
    for record in consequences(world.state, world.now):
        world.state.apply(record)
    assert common_level(world.state.lattice) is Level.HALT


@pytest.mark.parametrize("own_prefix", [True, False])
def test_a_foreign_order_latches_halt(own_prefix: bool) -> None:
    """Rule: safety.md S15, gate.md 3 and 5. The record ends the grant and leaves no latch: whoever arms again goes on at RUN."""
    world = World()
    world.state.apply(msgspec.structs.replace(aw.foreign(), own_prefix=own_prefix))
    for record in consequences(world.state, world.now):
        world.state.apply(record)
    assert common_level(world.state.lattice) is Level.HALT


def test_a_latch_that_a_person_cleared_is_not_set_again_by_another_flag() -> None:
    """Rule: state.NOTED_FLAGS ("none is latched again after a person has cleared it"). A new flag latches all flags ever seen."""
    world = World()
    event = r.LedgerEvent(
        boot_ns=1,
        kind=r.LedgerKind.ADL,
        venue="bybit",
        account="main",
        venue_id="a1",
        currency="USDT",
        amount=Decimal(0),
        symbol="",
        venue_ns=1,
    )
    world.state.apply(event)
    for record in consequences(world.state, world.now):
        world.state.apply(record)
    version = world.state.lattice.version
    cleared = clear_latch(
        world.state.lattice, Cause.ADL.value, Scope.ALL, "", actor="ann", seen_version=version, nonce=aw.NONCES[12], boot_ns=NOW.boot_ns
    )
    assert isinstance(cleared, r.LatchCleared)
    world.state.apply(cleared)
    world.state.apply(msgspec.structs.replace(event, kind=r.LedgerKind.LIQUIDATION, venue_id="l1"))
    names = {record.name for record in consequences(world.state, world.now) if isinstance(record, r.LatchSet)}
    assert names == {Cause.LIQUIDATION.value}


def test_request_numbers_differ_however_often_an_order_was_changed() -> None:
    """Rule: safety.md S9, H21. After 256 amends the number is that of the next order: its answer is booked to the wrong one."""
    world = World()
    first, second = world.decide().decision.client_id, world.next(ticks=399_999).decision.client_id
    assert request_id(first, 256) != request_id(second, 0)


# The keeper


class PaperJournal:
    """A journal in memory that can be told to take nothing."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.failure: JournalFailed | None = None
        self.asks = False
        self.full_after = 1 << 30
        self.full_for_all = False
        self.synced = 1 << 30

    @property
    def last_lsn(self) -> int:
        return len(self.payloads)

    @property
    def written_lsn(self) -> int:
        """Everything, unless `flush` is to be asked each time."""
        return 0 if self.asks else self.last_lsn

    @property
    def durable_lsn(self) -> int:
        return min(self.synced, self.last_lsn)

    def append(self, payload: bytes, *, reserve: bool = False) -> int:
        if self.failure is not None:
            raise self.failure
        if len(self.payloads) >= self.full_after and (self.full_for_all or not reserve):
            raise JournalFull("no room")
        self.payloads.append(payload)
        return len(self.payloads)

    def flush(self, *, wait: bool = True) -> bool:
        if self.failure is not None:
            raise self.failure
        return True

    def subscribe(self, callback: Callable[[Any], None]) -> Callable[[], None]:
        return lambda: None

    def folded(self) -> GateState:
        state = GateState(lc.SHEET)
        for payload in self.payloads:
            state.apply(r.decode(payload))
        return state


def paper_keeper(state: GateState) -> tuple[Keeper, PaperJournal]:
    journal = PaperJournal()
    return Keeper(state, journal), journal  # type: ignore[arg-type]


def test_a_disarm_while_the_grant_becomes_durable_is_not_lost() -> None:
    """Rule: safety.md S3/S12 (no DISARM between ARM and wire; live state == fold). The journal says ARM, DISARM; the fold saw them the other way."""
    state = GateState(lc.SHEET)
    keeper, journal = paper_keeper(state)
    keeper.take(*records_until_run(), now=NOW)
    asked, minted = aw.ceremony(aw.situation(binding=binding()))
    state.happen(asked)
    keeper.mint(minted)
    keeper.take(disarm(), now=NOW)  # while the record of the grant is being synced
    assert journal.folded().arming.ended
    assert state.arming.ended


def test_an_intent_that_the_journal_took_gets_its_answer() -> None:
    """Rule: safety.md S27 (every INTENT ends in DENY or PERMIT), `Keeper.take` ("nothing of it is folded then"). The permit finds no room."""
    world = World()
    keeper, journal = paper_keeper(world.state)
    effects = decide(world.setup, world.state, world.readings, world.proposal, world.now)
    journal.full_after = 1
    with pytest.raises(JournalFull):
        keeper.take(*effects.records, now=NOW)
    assert [order.state for order in world.state.orders.by_id.values() if order.state is OrderState.INTENDED] == []


def test_a_latch_that_found_no_room_is_in_the_journal_before_anything_that_follows() -> None:
    """Rule: safety.md S16/S12. `unwritten` is never written: the journal goes on without the latch, and a boot forgets it."""
    state = GateState(lc.SHEET)
    keeper, journal = paper_keeper(state)
    keeper.take(*records_until_run(), now=NOW)
    journal.full_after, journal.full_for_all = journal.last_lsn, True
    keeper.take(latch(Level.HALT), now=NOW)
    journal.full_after = 1 << 30  # the next segment is ready
    keeper.take(r.Tick(boot_ns=NOW.boot_ns, wall_ns=1), now=NOW)
    assert common_level(state.lattice) is Level.HALT
    assert common_level(journal.folded().lattice) is Level.HALT


def test_a_journal_error_latches_halt() -> None:
    """Rule: safety.md H13 (any journal error = latch HALT), gate.md 3. Cause.JOURNAL is set nowhere."""
    state = armed_state()
    keeper, journal = paper_keeper(state)
    journal.failure = JournalFailed("I/O error")
    with pytest.raises(JournalFailed):
        keeper.take(r.Tick(boot_ns=NOW.boot_ns, wall_ns=1), now=NOW)
    assert common_level(state.lattice) is Level.HALT


@pytest.mark.parametrize(
    "record",
    [
        r.LevelSet(boot_ns=NOW.boot_ns, level=Level.HALT, reason="stop", actor="ann", human=True),
        aw.foreign(),
        aw.reconciled(explained=False),
    ],
    ids=["level", "foreign", "unexplained"],
)
def test_what_lowers_risk_is_folded_although_the_journal_is_full(record: r.Record) -> None:
    """Rule: gate.md 4.8 (lowering never waits; on a journal error keep it in memory). These are refused like an order."""
    state = armed_state()
    keeper, journal = paper_keeper(state)
    journal.full_after = 0
    version = state.lattice.version
    keeper.take(record, now=NOW)
    assert state.lattice.version > version


def test_a_proposal_whose_denial_is_too_long_for_the_journal_is_denied_all_the_same(tmp_path: Path) -> None:
    """Rule: safety.md S27. Texts of a proposal are unbounded: the denial quotes them, no batch holds it, and UsageError escapes."""
    journal, _ = open_journal(
        SystemDisk(), tmp_path / "journal", schema=r.SCHEMA, incarnation=bytes.fromhex(LIFE), options=Options(8 << 20, 1 << 20, 1 << 20)
    )
    try:
        world = World(proposal=proposal(amends="\0" * (1 << 19)))  # fits in a frame of the socket
        keeper = Keeper(world.state, journal)
        effects = decide(world.setup, world.state, world.readings, world.proposal, world.now)
        assert effects.decision.result == DENY
        keeper.take(*effects.records, now=NOW)
    finally:
        journal.close()


def small() -> Options:
    return Options(1 << 18, 1 << 16, 1 << 16)


def test_waiting_for_the_hand_over_leaves_the_loop_free() -> None:
    """Rule: gate.md 4.8 (a stalled disk delays no cancel). While the writer thread is inside its write, written == durable: the wait is a spin."""

    class BusyJournal(PaperJournal):
        """The writer thread has claimed a batch and its write takes 0.3 s."""

        def __init__(self) -> None:
            super().__init__()
            self.done = threading.Event()
            threading.Timer(0.3, self.done.set).start()

        def flush(self, *, wait: bool = True) -> bool:
            return self.done.is_set()

    async def run() -> None:
        journal = BusyJournal()
        keeper = Keeper(GateState(lc.SHEET), journal)  # type: ignore[arg-type]
        ran: list[bool] = []
        asyncio.get_running_loop().call_later(0.02, lambda: ran.append(journal.done.is_set()))
        await keeper.handed_over(1)
        await asyncio.sleep(0)
        assert ran == [False]

    asyncio.run(run())


def test_the_loop_never_syncs(tmp_path: Path) -> None:
    """Rule: gate.md 4.8 (sync runs in a writer thread). The flush before a placement goes on to the next segment, with all its syncs, in the loop."""
    here = threading.get_ident()
    synced: list[str] = []

    class Spy:
        def __init__(self, file: Any) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def sync(self) -> None:
            if watching and threading.get_ident() == here:
                synced.append("sync")
            self._file.sync()

    class SpyDisk(SystemDisk):
        def create(self, path: Path) -> Any:
            return Spy(super().create(path))

    watching: list[bool] = []

    async def run(journal: Journal) -> None:
        keeper = Keeper(GateState(lc.SHEET), journal)
        end = keeper.attach(asyncio.get_running_loop())
        watching.append(True)
        for number in range(200):
            while not journal.room().spare_ready:  # noqa: ASYNC110 - so small a segment is full before a busy disk has made the next one
                await asyncio.sleep(0.001)
            lsn = keeper.journal.append(r.encode(latch(Level.HALT, name=f"{number}" + "x" * 8_000)), reserve=True)
            await keeper.handed_over(lsn)
            await keeper.durable(lsn)
            if synced:
                break
        watching.clear()
        end()

    journal, _ = open_journal(SpyDisk(), tmp_path / "journal", schema=r.SCHEMA, incarnation=bytes.fromhex(LIFE), options=small())
    try:
        asyncio.run(run(journal))
    finally:
        journal.close()
    assert synced == []


# The way out


class Switches:
    """Stop word and lease; `hook` is called whenever the stop word is read."""

    def __init__(self) -> None:
        self.hook: Callable[[], None] = lambda: None

    def stopped(self) -> bool:
        self.hook()
        return False

    def lease_held(self) -> bool:
        return True


class Peer:
    """A venue's end that a test reads and answers by hand."""

    def __init__(self) -> None:
        self.ours: list[socket.socket] = []
        self.ends: list[socket.socket] = []
        self.problem: BaseException | None = None
        self.hang = False
        self.slow_s = 0.0
        self.small = False
        self.wrap: Callable[[socket.socket, str], OrderConnection] = OrderConnection
        self.lines: list[str] = []

    async def connect(self, name: str) -> OrderConnection:
        if self.problem is not None:
            raise self.problem
        if self.hang:
            await asyncio.Event().wait()
        await asyncio.sleep(self.slow_s)
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.socket()
            if self.small:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            ours.connect(server.getsockname())
            end, _ = server.accept()
        self.ours.append(ours)
        self.ends.append(end)
        self.lines.append(name)
        return self.wrap(ours, name)

    def got(self, line: int, within: float = 0.2) -> bytes:
        """What arrived on the connection of this number."""
        data = b""
        while select.select([self.ends[line]], [], [], within)[0]:
            try:
                piece = self.ends[line].recv(1 << 16)
            except ConnectionResetError:
                break
            if not piece:
                break
            data += piece
        return data

    def close(self) -> None:
        for end in self.ends:
            end.close()


class Bench:
    """Egress with a paper journal against a peer."""

    def __init__(self, answer_ns: int, meter: Meter | None = None, wire: FakeWire | None = None) -> None:
        self.peer = Peer()
        self.world = World()
        self.wire = FakeWire(2 * S) if wire is None else wire
        self.world.setup = Setup(
            accounts={"bybit": "main"},
            wires={"bybit": self.wire},
            absence=self.world.setup.absence,
            tags={"demo": "demo"},
        )
        self.keeper, self.journal = paper_keeper(self.world.state)
        self.switches = Switches()
        self.sequence = 0
        self.egress = Egress(
            "bybit",
            self.wire,
            self.world.setup,
            self.keeper,
            self.world.readings,
            self.switches,
            self.peer.connect,
            lambda: self.world.now,
            answer_ns=answer_ns,
            meter=meter or Meter(budget.LIMITS, GATE),
        )

    def permit(self, **more: Any) -> tuple[Planned, int]:
        self.sequence += 1
        asked: Proposal = proposal(sequence=self.sequence, **more)
        effects = decide(self.world.setup, self.keeper.state, self.world.readings, asked, self.world.now)
        assert effects.planned is not None, effects.decision
        return effects.planned, self.keeper.take(*effects.records, now=self.world.now)

    def state(self, client_id: str) -> OrderState:
        return self.keeper.state.orders.by_id[client_id].state

    def answer(self, line: int, planned: Planned, state: OrderState = OrderState.ACKED) -> None:
        body = wire.Outcome(client_id=planned.client_id, revision=planned.revision, venue_order_id="v", state=state)
        number = request_id(planned.client_id, planned.revision)
        reply = wire.Answer(
            request_id=number, status=200, code="", text="", venue_ns=1, limit=3_000, remaining=3_000, reset_ns=1, body=body
        )
        self.peer.ends[line].sendall(wire.encode(reply))


def with_bench(use: Callable[[Bench], Awaitable[None]], answer_ns: int = 5_000 * MS, meter: Meter | None = None) -> None:
    async def run() -> None:
        bench = Bench(answer_ns, meter)
        await bench.egress.open()
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        try:
            await use(bench)
        finally:
            bench.journal.failure, bench.journal.full_after = None, 1 << 30
            bench.egress.close()
            bench.peer.close()

    asyncio.run(run())


def test_other_bytes_than_permitted_do_not_leave() -> None:
    """Rule: safety.md S2, H24 (byte flip between permit and wire is refused)."""

    async def use(bench: Bench) -> None:
        planned, _ = bench.permit()
        twice = planned.frame.replace(b"lots\x01", b"lots\x02")
        assert twice != planned.frame
        said = await bench.egress.send(planned._replace(frame=twice))
        assert (said != "", bench.peer.got(1)) == (True, b"")

    with_bench(use)


def test_no_order_leaves_on_the_word_of_its_caller_that_it_is_durable() -> None:
    """Rule: safety.md S2 (barrier >= the permit's number). Egress waits for the number that it is told, not for that of the permit."""

    async def use(bench: Bench) -> None:
        planned, _ = bench.permit()
        bench.journal.synced = 0
        written = bench.egress.send(planned)
        await asyncio.wait([written], timeout=0.2)
        assert bench.peer.got(1) == b""
        written.cancel()

    with_bench(use)


def test_a_write_that_fails_leaves_no_other_answer_open() -> None:
    """Rule: safety.md H60, S27. The sender dies with the first exception; whoever waits behind it is never told."""

    async def use(bench: Bench) -> None:
        one, two = bench.permit(), bench.permit(ticks=399_999)
        bench.egress._placing.abort("test")
        bench.peer.problem = OSError("no route")
        waiting = [bench.egress.send(one[0]), bench.egress.send(two[0])]
        _, pending = await asyncio.wait(waiting, timeout=0.5)
        for each in waiting:
            if each.done():
                each.exception()
        assert not pending

    with_bench(use)


def test_an_order_for_which_there_was_no_connection_is_recorded_as_not_sent() -> None:
    """Rule: gate.md 4.4 and 5 (failing before the write is NOT_SENT, which releases). It stays PERMITTED with its reservation."""

    async def use(bench: Bench) -> None:
        planned, _ = bench.permit()
        bench.egress._placing.abort("test")
        bench.peer.problem = OSError("no route")
        with pytest.raises(OSError, match="no route"):
            await bench.egress.send(planned)
        assert bench.state(planned.client_id) is OrderState.NOT_SENT

    with_bench(use)


def test_a_connection_that_never_comes_holds_no_order_beyond_its_deadline() -> None:
    """Rule: gate.md 4.2/4.7, safety.md L12. Connecting has no bound: the order, its reservation and all behind it wait for ever."""

    async def use(bench: Bench) -> None:
        planned, _ = bench.permit(deadline_boot_ns=NOW.boot_ns + 50 * MS)
        bench.egress._placing.abort("test")
        bench.peer.hang = True
        written = bench.egress.send(planned)
        await asyncio.sleep(0.1)
        bench.world.now = Now(NOW.boot_ns + 100 * MS, NOW.wall_ns)
        await asyncio.wait([written], timeout=0.5)
        assert written.done()

    with_bench(use)


def test_after_a_failed_write_the_next_connection_is_listened_to() -> None:
    """Rule: gate.md 4.7 (a reconnect starts clean), safety.md L6. The dead line stays registered; the new socket gets its number and no reader."""

    async def use(bench: Bench) -> None:
        reads = 0

        def broken() -> None:
            nonlocal reads
            reads += 1
            if reads == 2:  # the check right before the first byte
                bench.peer.ours[1].shutdown(socket.SHUT_WR)

        first = bench.permit()
        bench.switches.hook = broken
        assert "failed" in await bench.egress.send(first[0])
        bench.switches.hook = lambda: None
        second, _ = bench.permit(ticks=399_999)
        assert await bench.egress.send(second) == ""
        assert bench.peer.got(2)
        bench.answer(2, second)
        await asyncio.sleep(0.2)
        assert bench.state(second.client_id) is OrderState.ACKED

    with_bench(use)


def test_what_flies_on_a_connection_that_fails_in_a_write_is_unknown_at_once() -> None:
    """Rule: gate.md 4.7 (everything in flight on an aborted connection is then UNKNOWN). Until its timer it counts as sent."""

    async def use(bench: Bench) -> None:
        flying, _ = bench.permit()
        assert await bench.egress.send(flying) == ""
        reads = 0

        def broken() -> None:
            nonlocal reads
            reads += 1
            if reads == 2:
                bench.peer.ours[1].shutdown(socket.SHUT_WR)

        second = bench.permit(ticks=399_999)
        bench.switches.hook = broken
        assert "failed" in await bench.egress.send(second[0])
        await asyncio.sleep(0.1)
        assert bench.state(flying.client_id) is OrderState.UNKNOWN

    with_bench(use)


def test_a_frame_written_in_part_keeps_its_time_of_signature() -> None:
    """Rule: safety.md L6, gate.md 5. Without the signature's time no evidence can ever prove the order absent in this process life."""

    class Partial(OrderConnection):
        def place(self, frame: bytes, recheck: Callable[[], str]) -> Write:
            assert recheck() == ""
            self.abort()
            return Write(Wrote.PART, "half of it")

    async def use(bench: Bench) -> None:
        bench.peer.wrap = Partial
        planned, _ = bench.permit()
        bench.egress._placing.abort("test")
        await bench.egress.send(planned)
        assert bench.state(planned.client_id) is OrderState.UNKNOWN
        assert bench.keeper.state.orders.by_id[planned.client_id].sign_wall_ns == planned.sign_wall_ns

    with_bench(use)


def test_an_answer_that_the_journal_has_no_room_for_is_not_lost_in_silence() -> None:
    """Rule: safety.md H13/H60. The exception ends in the loop's handler: no timer, no record, no latch; the order counts as sent for ever."""

    async def use(bench: Bench) -> None:
        planned, _ = bench.permit()
        assert await bench.egress.send(planned) == ""
        bench.journal.full_after = 0
        bench.answer(1, planned)
        await asyncio.sleep(0.3)
        sure = bench.state(planned.client_id) is not OrderState.SENT
        assert sure or common_level(bench.keeper.state.lattice) is Level.HALT

    with_bench(use, answer_ns=100 * MS)


def test_each_of_several_orders_in_flight_is_given_up_although_one_record_fails() -> None:
    """Rule: gate.md 4.7, safety.md H60. The first record that the journal refuses ends the loop over what was in flight."""

    async def use(bench: Bench) -> None:
        one, two = bench.permit(), bench.permit(ticks=399_999)
        for each in (one, two):
            assert await bench.egress.send(each[0]) == ""
        takes = bench.keeper.take

        def once(*found: r.Record, now: Now) -> int:
            bench.keeper.take = takes  # type: ignore[method-assign]
            raise JournalFull("no room")

        bench.keeper.take = once  # type: ignore[method-assign]
        bench.peer.ends[1].close()
        await asyncio.sleep(0.3)
        assert bench.state(two[0].client_id) is OrderState.UNKNOWN

    with_bench(use)


def _frames(data: bytes) -> int:
    assembler, count = wire.Assembler(), 0
    assembler.feed(data)
    while assembler.take() is not None:
        count += 1
    return count


def test_no_cancel_leaves_for_an_order_that_is_not_ours() -> None:
    """Rule: safety.md S24, H65. The frame is written before anybody looks whether the journal knows the order."""

    async def use(bench: Bench) -> None:
        with pytest.raises(KeyError):
            bench.egress.cancel_due(["somebody else's order"])
        assert bench.peer.got(0) == b""

    with_bench(use)


def test_after_a_kill_is_effective_the_gate_sends_no_cancel() -> None:
    """Rule: gate.md 3 (after KILL: cancel own by the sentinel). The way out does not look."""

    async def use(bench: Bench) -> None:
        planned, _ = bench.permit()
        await bench.egress.send(planned)
        now = bench.world.now
        bench.keeper.take(*want_cancels(bench.keeper.state, (), "kill", "ann", now), now=now)
        bench.keeper.take(r.KillRequested(boot_ns=1, source="ann", wall_ns=1), r.KillEffective(boot_ns=1), now=now)
        bench.egress.cancel_due([planned.client_id])
        assert bench.peer.got(0) == b""

    with_bench(use)


def test_the_rest_of_a_cancel_follows_when_the_kernel_takes_bytes_again() -> None:
    """Rule: gate.md 4.8 and 5, safety.md L2. Nobody calls `flush`: what did not fit waits until the line is aborted."""

    async def use(bench: Bench) -> None:
        bench.peer.small = True
        bench.egress._cancelling.abort("test")
        await bench.egress.restore()
        planned, _ = bench.permit()
        await bench.egress.send(planned)
        now = bench.world.now
        bench.keeper.take(*want_cancels(bench.keeper.state, (), "freeze", "ann", now), now=now)
        standing = bench.egress._cancelling.free()
        assert standing is not None
        written, line = 0, standing.connection
        while not line._tail:
            bench.egress.cancel_due([planned.client_id])
            written += 1
        data = b""
        for _ in range(10):
            data += bench.peer.got(2, 0.02)
            await asyncio.sleep(0.02)
        assert _frames(data) == written

    with_bench(use)


@pytest.mark.parametrize("where", ["durable", "handed_over"])
def test_a_journal_that_fails_before_the_first_byte_leaves_the_order_not_sent_and_halts(where: str) -> None:
    async def use(bench: Bench) -> None:
        planned, _ = bench.permit()

        async def fails(*_: Any) -> None:
            bench.journal.failure = JournalFailed("I/O error")
            raise bench.journal.failure

        setattr(bench.keeper, where, fails)
        with pytest.raises(JournalFailed):
            await bench.egress.send(planned)
        assert bench.state(planned.client_id) is OrderState.NOT_SENT
        assert common_level(bench.keeper.state.lattice) is Level.HALT
        assert bench.peer.got(1) == b""

    with_bench(use)
