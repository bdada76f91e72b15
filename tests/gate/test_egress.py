"""Egress against the served fake venue: durable before the wire, at most once, unknown stays unknown, cancels always."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gate.core_world import LIFE, World, armed_state, proposal

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.account_lock import AccountName, take_local
from interlock.gate.cancels import due
from interlock.gate.connection import OrderConnection
from interlock.gate.core import decide, want_cancels
from interlock.gate.egress import Egress, Way
from interlock.gate.journal import Options, SystemDisk, open_journal, recover
from interlock.gate.keeper import Keeper
from interlock.gate.order_line import OrderLine
from interlock.gate.readings import Now, Setup
from interlock.gate.venue_fake import FakeReader, FakeWire
from interlock.simulate.fake_venue.client import ControlClient
from interlock.simulate.fake_venue.control import ArmFault, Done
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.launch import served
from interlock.simulate.fake_venue.server import Addresses
from interlock.simulate.fake_venue.witness import read_lines
from interlock.venues.budget import GATE, Meter
from interlock.venues.fake import budget

MS = 1_000_000


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    with served(tmp_path_factory.mktemp("venue"), ["bybit"]) as addresses:
        yield addresses


async def settle(reached: Callable[[], bool]) -> None:
    """Wait until something is so. Raises TimeoutError if it does not become so."""
    deadline = time.monotonic() + 10
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.005)


class Switches:
    """Stop word and lease, to be flipped."""

    def __init__(self) -> None:
        self.stop = False
        self.lease = True

    def stopped(self) -> bool:
        return self.stop

    def lease_held(self) -> bool:
        return self.lease


class Bench:
    """A gate's state, journal and egress against the served venue."""

    def __init__(self, keeper: Keeper, world: World, egress: Egress, switches: Switches, addresses: Addresses) -> None:
        self.keeper = keeper
        self.world = world
        self.egress = egress
        self.switches = switches
        self.addresses = addresses
        self.sequence = 0

    def now(self) -> Now:
        return Now(self.world.now.boot_ns, time.time_ns())

    def permit(self, **more: Any) -> tuple[str, asyncio.Future[str]]:
        """Decide about one order, and queue it; its client id and what becomes of the write."""
        self.sequence += 1
        asked = proposal(sequence=self.sequence, **more)
        effects = decide(self.world.setup, self.keeper.state, self.world.readings, asked, self.now())
        assert effects.planned is not None, effects.decision
        self.keeper.take(*effects.records, now=self.now())
        return effects.decision.client_id, self.egress.send(effects.planned)

    def state(self, client_id: str) -> OrderState:
        return self.keeper.state.orders.by_id[client_id].state

    async def until(self, client_id: str, *wanted: OrderState) -> None:
        await settle(lambda: self.state(client_id) in wanted)

    def witnessed(self, client_id: str) -> list[str]:
        """The verbs under which the venue saw an order."""
        return [str(line["verb"]) for line in read_lines(Path(self.addresses.witness)) if line["client_id"] == client_id]

    def fault(self, fault: Fault, **more: Any) -> None:
        control = ControlClient(self.addresses.control)
        reply = control.command(ArmFault(venue="bybit", spec=FaultSpec(fault=fault, **more)))
        assert isinstance(reply, Done), reply
        control.close()


EPOCHS = iter(range(1_800_000_001, 1_900_000_000))


def with_bench(
    folder: Path,
    venue: Addresses,
    use: Callable[[Bench], Awaitable[None]],
    answer_ns: int = 1_000 * MS,
    meter: Meter | None = None,
    *,
    wire: FakeWire | None = None,
    spare: FakeWire | None = None,
    shut: Collection[str] = (),
) -> None:
    """Run `use` with everything open. Each run has an epoch of its own, so that client ids differ.

    `spare` is what is spoken on a second way for cancels. Connections for what is in `shut` when they are made (place, cancel, spare) fail.
    """
    spoken = wire or FakeWire(2_000 * MS)

    async def run() -> None:
        world = World(state=armed_state())
        world.state.apply(r.Epoch(boot_ns=3, number=next(EPOCHS)))
        world.setup = Setup(
            accounts={"bybit": "main"},
            wires={"bybit": spoken},
            absence=world.setup.absence,
            tags={"demo": "demo"},
        )
        journal, _ = open_journal(
            SystemDisk(), folder / "journal", schema=r.SCHEMA, incarnation=bytes.fromhex(LIFE), options=Options(1 << 20, 1 << 16, 1 << 16)
        )
        keeper = Keeper(world.state, journal)
        keeper.attach(asyncio.get_running_loop())
        switches = Switches()

        async def connect(name: str) -> OrderConnection:
            if name.split(".")[1] in shut:
                raise ConnectionRefusedError(name)
            return OrderConnection(socket.create_connection(("127.0.0.1", venue.venues["bybit"].orders)), name)

        bench: Bench
        clock = lambda: bench.now()  # noqa: E731 - the bench needs the egress first
        egress = Egress(
            "bybit",
            spoken,
            world.setup,
            keeper,
            world.readings,
            switches,
            connect,
            clock,
            answer_ns=answer_ns,
            meter=meter or Meter(budget.LIMITS, GATE),
            spare=None if spare is None else Way(spare, connect),
        )
        bench = Bench(keeper, world, egress, switches, venue)
        await egress.open()
        try:
            await use(bench)
        finally:
            egress.close()
            journal.close()

    asyncio.run(run())


def journaled(folder: Path) -> list[r.Record]:
    """What the journal holds, in order."""
    found: list[r.Record] = []
    recover(SystemDisk(), folder / "journal", schema=r.SCHEMA, consume=lambda _lsn, payload: found.append(r.decode(payload)))
    return found


def test_an_order_goes_out_once_and_its_records_say_how(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        client_id, written = bench.permit()
        assert await written == ""
        await bench.until(client_id, OrderState.ACKED)
        assert bench.witnessed(client_id) == ["place"]

    with_bench(tmp_path, venue, use)
    kinds = [type(record).__name__ for record in journaled(tmp_path)]
    assert kinds == ["Intent", "Permit", "WireBegin", "Sent", "Answered"]


def test_the_permit_is_durable_before_the_venue_sees_the_order(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        order: list[str] = []
        bench.keeper.journal.subscribe(lambda progress: order.append(f"durable {progress.durable_lsn}"))
        client_id, written = bench.permit()
        permit_lsn = bench.keeper.journal.last_lsn
        assert bench.witnessed(client_id) == []
        await written
        assert f"durable {permit_lsn}" in order
        assert bench.keeper.journal.written_lsn > permit_lsn  # the WireBegin is with the operating system
        await bench.until(client_id, OrderState.ACKED)

    with_bench(tmp_path, venue, use)


@pytest.mark.parametrize("flip", ["stop", "lease", "cancel", "read only", "late"])
def test_what_changes_after_the_permit_stops_the_write(tmp_path: Path, venue: Addresses, flip: str) -> None:
    async def use(bench: Bench) -> None:
        client_id, written = bench.permit()
        if flip == "stop":
            bench.switches.stop = True
        elif flip == "lease":
            bench.switches.lease = False
        elif flip == "read only":
            bench.world.readings.read_only = True
        elif flip == "late":
            bench.world.now = Now(bench.world.now.boot_ns + 2_000 * MS, 0)
        else:
            bench.keeper.take(*want_cancels(bench.keeper.state, (client_id,), "changed our mind", "engine", bench.now()), now=bench.now())
        assert await written != ""
        assert bench.state(client_id) is OrderState.NOT_SENT
        await asyncio.sleep(0.05)
        assert bench.witnessed(client_id) == []

    with_bench(tmp_path, venue, use)


def test_a_gate_that_lost_the_account_places_nothing_and_still_cancels(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        account = AccountName("bybit", "uid 4711")
        lease = take_local(account, "one", tmp_path)
        resting, written = bench.permit()
        assert await written == ""
        await bench.until(resting, OrderState.ACKED)
        (tmp_path / account.file_name).unlink()
        another = take_local(account, "another", tmp_path)
        bench.switches.lease = lease.held()
        late, written = bench.permit(ticks=399_999)
        assert await written == "lease"
        bench.keeper.take(*want_cancels(bench.keeper.state, (resting,), "the account is lost", "gate", bench.now()), now=bench.now())
        bench.egress.cancel_due([resting])
        await settle(lambda: bench.witnessed(resting) == ["place", "cancel"])
        assert bench.witnessed(late) == []
        for one in (lease, another):
            one.release()

    with_bench(tmp_path, venue, use)


@pytest.mark.parametrize(
    ("fault", "reached"),
    [
        (Fault.LOSE_ACK, True),
        (Fault.LOSE_REQUEST, True),
        (Fault.ACCEPT_THEN_ERROR, True),
        (Fault.UNLISTED_CODE, True),
        (Fault.GARBAGE_FRAME, True),
        (Fault.RESET_BEFORE_ACCEPTING, True),
    ],
)
def test_an_unclear_outcome_is_unknown_and_nothing_is_sent_again(tmp_path: Path, venue: Addresses, fault: Fault, reached: bool) -> None:
    async def use(bench: Bench) -> None:
        bench.fault(fault, verb="place")
        client_id, written = bench.permit()
        await written
        await bench.until(client_id, OrderState.UNKNOWN)
        await asyncio.sleep(0.3)
        assert bench.witnessed(client_id) == ["place"]
        # And the next order, on a new connection where the old one was cut, is an order of its own.
        other, written = bench.permit(ticks=399_999)
        await written
        await bench.until(other, OrderState.ACKED)
        assert bench.witnessed(other) == ["place"]
        assert bench.state(client_id) is OrderState.UNKNOWN

    with_bench(tmp_path, venue, use, answer_ns=200 * MS)


def test_a_definitive_no_is_a_rejection(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        bench.fault(Fault.DEFINITIVE_REJECT, verb="place", code="insufficient_margin")
        client_id, written = bench.permit()
        await written
        await bench.until(client_id, OrderState.REJECTED)

    with_bench(tmp_path, venue, use)


def test_cancels_go_out_whatever_is_disarmed_until_the_order_has_ended(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        client_id, written = bench.permit()
        await written
        await bench.until(client_id, OrderState.ACKED)
        bench.switches.stop = True
        bench.world.readings.read_only = True
        bench.keeper.take(*want_cancels(bench.keeper.state, (), "freeze", "gate", bench.now()), now=bench.now())
        bench.egress.cancel_due(due(bench.keeper.state.orders, bench.now().boot_ns, 10))
        await settle(lambda: "cancel" in bench.witnessed(client_id))
        order = bench.keeper.state.orders.by_id[client_id]
        assert order.cancel is not None  # accepted is not ended: it is owed until the venue reports the end
        assert due(bench.keeper.state.orders, bench.now().boot_ns, 10) == []
        assert due(bench.keeper.state.orders, bench.now().boot_ns + 300 * MS, 10) == [client_id]

    with_bench(tmp_path, venue, use)


def test_orders_leave_in_the_order_of_the_journal(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        first, one = bench.permit()
        second, two = bench.permit(ticks=399_999)
        await asyncio.gather(one, two)
        await bench.until(second, OrderState.ACKED)
        placed = [line["client_id"] for line in read_lines(Path(bench.addresses.witness)) if line["client_id"] in (first, second)]
        assert placed == [first, second]

    with_bench(tmp_path, venue, use)


def test_a_write_of_which_the_journal_has_no_permit_does_not_happen(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        asked = proposal(sequence=1)
        effects = decide(bench.world.setup, bench.keeper.state, bench.world.readings, asked, bench.now())
        assert effects.planned is not None
        assert await bench.egress.send(effects.planned) == "no permit whose write is not over"
        assert bench.witnessed(effects.decision.client_id) == []

    with_bench(tmp_path, venue, use)


def test_a_cancel_that_finds_no_line_stays_owed_until_there_is_one(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        client_id, written = bench.permit()
        await written
        await bench.until(client_id, OrderState.ACKED)
        bench.keeper.take(*want_cancels(bench.keeper.state, (), "freeze", "gate", bench.now()), now=bench.now())
        await bench.egress.restore()  # nothing was lost: nothing happens
        assert bench.egress.can_cancel
        bench.egress.close()
        assert not bench.egress.can_cancel
        bench.egress.cancel_due([client_id])
        assert due(bench.keeper.state.orders, bench.now().boot_ns, 10) == [client_id]
        await bench.egress.restore()
        bench.egress.cancel_due(due(bench.keeper.state.orders, bench.now().boot_ns, 10))
        await settle(lambda: "cancel" in bench.witnessed(client_id))

    with_bench(tmp_path, venue, use)


def test_a_line_whose_peer_went_while_bytes_waited_gives_up_all_that_is_in_flight() -> None:
    """The kernel forgets a closed descriptor by itself; nothing in flight may be lost because of that."""
    lost: list[tuple[tuple[str, int], str]] = []

    async def run() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            connection = OrderConnection(ours, "c")
            line: OrderLine[tuple[str, int]] = OrderLine(
                connection,
                FakeReader(),
                lambda: Now(1, 1),
                heard=lambda _answer, _about, _asked: None,
                lost=lambda about, reason: lost.append((about, reason)),
            )
            line.expect(1, b"", ("a", 0), 1, 10_000 * MS)
            line.expect(2, b"", ("b", 0), 1, 10_000 * MS)
            line.write_on()
            connection.abort()
            line.abort("the peer went")
            line.abort("again")

    asyncio.run(run())
    assert lost == [(("a", 0), "the peer went"), (("b", 0), "the peer went")]
