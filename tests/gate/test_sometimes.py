"""Each situation that a gate must have been in before it can be trusted, reached on purpose: none of them may be vacuous.

Every test brings its situation about, shows that it was there, and ends as every example of the state machine does: everything comes to rest,
nothing was lost, and the independent checker agrees with what the journal and the venue say.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.gate import limit_cases as lc
from tests.gate.gate_life import MS, SYMBOL, S
from tests.gate.gate_machine import HOUR_NS, World

from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.journal import JournalFull
from interlock.sentinel.sweep import Do
from interlock.simulate.fake_venue.control import Ban, Strike, TakeOver
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.venues.fake import wire

IOC = TimeInForce.IOC
SITUATIONS = (
    "unknown_then_filled",
    "unknown_then_absent",
    "unknown_then_partially_filled",
    "crash_between_permit_and_send",
    "crash_between_send_and_ack",
    "crash_during_recovery_twice",
    "kill_while_leg_1_is_filled_and_leg_2_in_flight",
    "kill_during_amend",
    "cancel_rejected_because_filled",
    "late_fill_after_cancel_ack",
    "duplicate_fill_delivery",
    "fill_before_ack",
    "fill_reversal",
    "adl_during_unwind",
    "token_expiring_in_a_group",
    "epoch_change_in_a_group",
    "journal_without_room_with_open_orders",
    "ban_during_a_sweep",
    "fx_sources_disagree",
    "book_crossed",
    "metadata_change_with_an_order_under_way",
    "clock_step_forward",
    "clock_step_back",
    "foreign_order",
    "balance_jump_up",
    "dead_man_fired",
    "checker_dead",
    "two_instances_try",
    "second_sweep_finds_an_order",
    "rounding_denies",
    "worst_case_denies",
)
"""safety.md 4.4, one by one."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        made.ready()
        yield made


def only_denial(world: World, *proposals: object, **how: object) -> str:
    """The rule that denies one proposal."""
    (decided,) = world.propose(*proposals, **how)  # type: ignore[arg-type]
    assert decided.result == "DENY"
    return decided.rule


def test_every_listed_situation_has_a_test() -> None:
    here = {name.removeprefix("test_sometimes_") for name in vars(sys.modules[__name__]) if name.startswith("test_sometimes_")}
    assert here == set(SITUATIONS)


# What becomes of an order whose outcome is not known


def test_sometimes_unknown_then_filled(world: World) -> None:
    world.lie(Fault.LOSE_ACK)
    client_id = world.place()
    world.wait(3 * S)
    assert world.state_of(client_id) is OrderState.UNKNOWN
    world.check()
    world.fill(client_id)
    world.read()
    assert world.state_of(client_id) is OrderState.FILLED
    world.finish()


def test_sometimes_unknown_then_absent(world: World) -> None:
    world.lie(Fault.LOSE_REQUEST)
    lost = world.place()
    world.wait(3 * S)
    assert world.state_of(lost) is OrderState.UNKNOWN
    world.check()
    resting, ended = world.place(away=20), world.place(away=30)
    world.hear()
    world.cancel(ended)
    world.wait(S)
    world.read()
    assert world.state_of(lost) is OrderState.UNKNOWN  # one look is no proof
    world.wait(S)
    world.read()
    assert world.state_of(lost) is OrderState.ABSENT
    assert world.state_of(resting) is OrderState.OPEN
    assert lost not in world.own_orders()
    world.finish()


def test_sometimes_unknown_then_partially_filled(world: World) -> None:
    world.lie(Fault.LOSE_ACK)
    client_id = world.place(lots=2)
    world.wait(3 * S)
    world.fill(client_id, 1)
    world.read()
    assert world.state_of(client_id) is OrderState.PARTIAL
    assert world.watch.reached["unknown to partially filled"]
    world.finish()


# Crashes


@pytest.mark.parametrize("power", [None, 1])
def test_sometimes_crash_between_permit_and_send(world: World, power: int | None) -> None:
    world.hold_disk("sync")
    client_id = world.place()
    assert world.state_of(client_id) is OrderState.PERMITTED
    world.disk.release()
    world.alive.journal.settle()  # the permit is on disk, and nobody has heard of it yet
    world.crash(power=power)
    assert world.watch.reached["crash between permit and send"]
    world.boot()
    # The page cache survives a process and not a machine: there the beginning of a write may be what was lost.
    assert world.state_of(client_id) is (OrderState.NOT_SENT if power is None else OrderState.UNKNOWN)
    assert client_id not in world.own_orders()
    world.finish()


@pytest.mark.parametrize("power", [None, 2])
@pytest.mark.parametrize("lose", [False, True])
def test_sometimes_crash_between_send_and_ack(world: World, power: int | None, lose: bool) -> None:
    world.hold_network(out=True)
    client_id = world.place()
    assert world.state_of(client_id) is OrderState.SENT
    world.crash(power=power, lose=lose)
    assert world.watch.reached["crash between send and ack"]
    assert (client_id in world.own_orders()) is not lose
    world.boot()
    assert world.state_of(client_id) is (OrderState.UNKNOWN if lose else OrderState.OPEN)
    world.finish()


FLIPS: dict[str, Callable[[World], object]] = {
    "stop word": lambda world: world.kill(told=False),
    "kill": lambda world: world.kill(),
    "disarm": lambda world: world.disarm(),
    "disarm one symbol": lambda world: world.disarm(symbol=f"{world.venue}/{SYMBOL}"),
    "freeze": lambda world: world.freeze(cancel=False),
    "reduce only": lambda world: world.freeze(r.Level.REDUCE_ONLY, cancel=False),
    "cancel wanted": lambda world: world.cancel(),
    "another grant": lambda world: world.arm(),
    "deadline": lambda world: world.stand_still(1_500 * MS),
    "clock": lambda world: world.step_wall(3 * S),
    "sleep": lambda world: world.sleep(1_500 * MS),
    "lease": lambda world: setattr(world.alive.fuse, "lease", False),
    "read only": lambda world: setattr(world.alive.readings, "read_only", True),
    "sentinel": lambda world: setattr(world.alive.readings, "sentinel_alive", False),
    "foreign order": lambda world: [world.foreign(Side.BUY, 50, 1), world.hear()],  # type: ignore[func-returns-value]
    "difference": lambda world: world.true.account.balances.update(USDT=Decimal(1)) or world.reconcile(),
}


@pytest.mark.parametrize("flip", FLIPS)
def test_nothing_leaves_when_something_changes_while_the_permit_waits(world: World, flip: str) -> None:
    world.place(away=30)
    for changes in (False, True):
        # First the control: with nothing changed, what waited for the disk leaves.
        world.hold_disk("sync")
        client_id = world.place()
        assert world.state_of(client_id) is OrderState.PERMITTED
        if changes:
            FLIPS[flip](world)
        world.free_disk()
        assert (client_id in world.own_orders()) is not changes
        assert (world.state_of(client_id) is OrderState.NOT_SENT) is changes
        world.check()
    world.finish()


@pytest.mark.parametrize("power", [None, 1])
def test_no_frame_leaves_before_the_system_has_the_beginning_of_its_write(world: World, power: int | None) -> None:
    world.place(away=30)
    world.hold_disk("write", after=2)  # the intent, the permit, and then the beginning of the write
    client_id = world.place()
    world.wait(100 * MS)
    assert world.state_of(client_id) is OrderState.SENT
    assert client_id not in world.own_orders()
    world.crash(power=power)
    world.boot()
    assert client_id not in world.own_orders()
    assert world.state_of(client_id) is (OrderState.NOT_SENT if power is None else OrderState.UNKNOWN)
    world.finish()


@pytest.mark.parametrize("fuse", range(9))
def test_a_crash_at_any_look_at_the_clock_on_the_way_out(world: World, fuse: int) -> None:
    """Between any two steps of a write: what the venue has, the journal knows; what it knows as not sent, the venue has not."""
    world.light(fuse)
    world.propose(world.proposal())
    assert (world.life is None) is (fuse < 9)
    world.check()
    if world.life is None:
        world.boot()
    states = {order.state for order in world.alive.state.orders.by_id.values()}
    assert states <= {OrderState.NOT_SENT, OrderState.OPEN}
    assert (OrderState.OPEN in states) is bool(world.own_orders())
    world.finish()


def test_sometimes_crash_during_recovery_twice(world: World) -> None:
    world.hold_network(out=True)
    client_id = world.place()
    world.crash()
    assert not world.boot(dies_in=12)
    assert not world.boot(dies_in=14, power=3)
    assert world.watch.reached["crash during recovery"] == 2
    world.boot()
    assert world.state_of(client_id) is OrderState.OPEN
    world.finish()


# Kills


def test_sometimes_kill_while_leg_1_is_filled_and_leg_2_in_flight(world: World) -> None:
    first = world.place(Side.BUY, away=-5, group="pair")
    world.hear()
    assert world.state_of(first) is OrderState.FILLED
    world.hold_network(out=True)
    second = world.place(Side.SELL, away=-5, group="pair")
    assert world.state_of(second) is OrderState.SENT
    world.kill()
    assert world.watch.reached["kill between legs"]
    assert only_denial(world, world.proposal(Side.SELL)) == "killed"
    world.free_network()
    world.hear()
    assert world.state_of(second) is OrderState.FILLED  # it was under way: the kill could not take it back
    world.finish()


def test_sometimes_kill_during_amend(world: World) -> None:
    client_id = world.place()
    world.hear()
    world.hold_network(out=True)
    world.place(amends=client_id, away=20)
    amend = world.alive.state.orders.by_id[client_id].amend
    assert amend is not None
    assert amend.state is OrderState.SENT
    world.kill()
    assert world.watch.reached["kill during amend"]
    world.free_network()
    while world.sweep_on() is not Do.DONE:
        pass
    world.read()
    assert world.state_of(client_id) is OrderState.CANCELLED
    assert world.own_orders()[client_id].revision == 1
    world.finish()


def test_sometimes_second_sweep_finds_an_order(world: World) -> None:
    world.hold_network(out=True)
    client_id = world.place()
    world.kill()
    while world.sweep is None or not world.sweep.swept:
        world.sweep_on()
    assert client_id not in world.own_orders()
    world.free_network()  # what was under way arrives after the first zero
    assert world.own_orders()[client_id].state is OrderState.OPEN
    while world.sweep_on() is not Do.DONE:
        pass
    assert world.watch.reached["a later sweep finds an order"]
    assert world.own_orders()[client_id].state is OrderState.CANCELLED
    world.finish()


def test_sometimes_ban_during_a_sweep(world: World) -> None:
    client_id = world.place()
    world.command(Ban(venue=world.venue, for_ns=3 * S))
    world.kill()
    world.sweep_on(2)
    assert world.watch.reached["418 during sweep"]
    assert world.own_orders()[client_id].state is OrderState.OPEN
    while world.sweep_on() is not Do.DONE:
        pass
    assert world.own_orders()[client_id].state is OrderState.CANCELLED
    world.finish()


# Executions


def test_sometimes_cancel_rejected_because_filled(world: World) -> None:
    client_id = world.place()
    world.hear()
    world.fill(client_id)
    world.cancel(client_id)
    assert world.state_of(client_id) is OrderState.UNKNOWN  # "not found" ends nothing
    world.hear()
    assert world.state_of(client_id) is OrderState.FILLED
    refused = [one for one in map(r.decode, world.watch.payloads) if isinstance(one, r.CancelAnswered)]
    assert [one.accepted for one in refused] == [False]
    world.finish()


def test_sometimes_late_fill_after_cancel_ack(world: World) -> None:
    client_id = world.place()
    world.hear()
    world.cancel(client_id)
    world.hear()
    assert world.state_of(client_id) is OrderState.CANCELLED
    world.fill(client_id)
    world.hear()
    assert world.watch.late_fills()
    assert only_denial(world, world.proposal()) == "level_forbids"
    for _ in range(2):
        assert [hold.name for hold in world.alive.state.lattice.latches] == ["late_fill"]
        world.crash()
        world.boot()  # a latch outlives the process
    world.finish()


def test_sometimes_duplicate_fill_delivery(world: World) -> None:
    world.lie(Fault.STREAM_TWICE, count=8)
    client_id = world.place(lots=2)
    world.fill(client_id)
    heard = world.hear()
    assert heard > world.true.stream.next_sequence - 1  # more than ever happened
    assert world.alive.state.orders.by_id[client_id].filled_lots == 1
    fills = [one for one in map(r.decode, world.watch.payloads) if isinstance(one, r.Filled)]
    assert len(fills) == 1
    world.finish()


def test_sometimes_fill_before_ack(world: World) -> None:
    world.hold_network(back=True)
    client_id = world.place(away=-5)
    assert world.state_of(client_id) is OrderState.SENT
    world.hear()
    assert world.watch.reached["fill before ack"]
    assert world.state_of(client_id) is OrderState.FILLED
    world.free_network()
    assert world.state_of(client_id) is OrderState.FILLED
    world.finish()


def test_sometimes_fill_reversal(world: World) -> None:
    client_id = world.place(away=-5)
    world.hear()
    assert world.state_of(client_id) is OrderState.FILLED
    world.reverse()
    world.hear()
    assert world.watch.reached["fill reversal"]
    assert only_denial(world, world.proposal()) == "level_forbids"
    world.finish()


def test_sometimes_adl_during_unwind(world: World) -> None:
    world.place(away=-5, lots=2)
    world.hear()
    world.hold_network(out=True)
    unwinding = world.place(Side.SELL, away=-5, lots=2, tif=IOC, reduce_only=True)
    world.command(TakeOver(venue=world.venue, symbol=SYMBOL, kind="adl"))
    world.hear()
    assert world.watch.reached["adl during unwind"]
    assert "adl" in {hold.name for hold in world.alive.state.lattice.latches}
    world.free_network()
    world.hear()
    assert world.state_of(unwinding) is OrderState.REJECTED  # there is nothing left to reduce
    world.finish()


# Groups


def test_sometimes_token_expiring_in_a_group(world: World) -> None:
    assert world.arm(lifetime_ns=2 * S, mandate_ns=HOUR_NS) == ""
    world.place(away=-5, group="pair")
    world.hear()
    world.wait(3 * S)
    assert only_denial(world, world.proposal(Side.SELL, away=-5, lots=2, group="pair")) == "grant_expired"
    # The control: what the mandate allows is still permitted, the missing half of the pair.
    closing = world.place(Side.SELL, away=-5, tif=IOC, group="pair")
    world.hear()
    assert world.state_of(closing) is OrderState.FILLED
    world.finish()


def test_sometimes_epoch_change_in_a_group(world: World) -> None:
    world.hold_network(out=True)
    first = world.place(group="pair")
    world.crash(lose=True)
    world.ready()
    assert world.watch.reached["epoch change in a group"]
    assert world.state_of(first) is OrderState.UNKNOWN
    assert only_denial(world, world.proposal(Side.SELL, group="pair")) == "group_unresolved"
    alone = world.place(Side.SELL)  # the control
    assert alone[4:11] > first[4:11]
    world.finish()


# Disk


def test_sometimes_journal_without_room_with_open_orders(world: World) -> None:
    client_id = world.place()
    world.hear()
    world.disk.free = 0

    def fill_up() -> None:
        while True:
            world.alive.take(r.Tick(boot_ns=world.now().boot_ns, wall_ns=world.now().wall_ns))

    with pytest.raises(JournalFull):
        world.alive.run(fill_up)
    assert only_denial(world, world.proposal()) == "journal"
    world.cancel(client_id)  # what lowers risk has room kept for it
    world.hear()
    assert world.state_of(client_id) is OrderState.CANCELLED
    world.finish()


# Readings


def test_sometimes_fx_sources_disagree(world: World) -> None:
    at = world.now().boot_ns
    agreeing = [lc.rate(at=at), lc.rate(bid="1.001", ask="1.001", at=at, name="b")]
    disagreeing = [lc.rate(at=at), lc.rate(bid="1.02", ask="1.02", at=at, name="b")]
    assert only_denial(world, world.proposal(), rates=disagreeing) == "usd_rates"
    assert world.propose(world.proposal(), rates=agreeing)[0].result == "PERMIT"
    world.finish()


def test_sometimes_book_crossed(world: World) -> None:
    bid, ask = world.book
    world.book = (ask, bid)
    assert only_denial(world, world.proposal()) == "freshness_reference"
    world.book = (bid, ask)
    assert world.propose(world.proposal())[0].result == "PERMIT"
    world.finish()


def test_sometimes_metadata_change_with_an_order_under_way(world: World) -> None:
    world.hold_disk("sync")
    client_id = world.place()
    world.alive.metadata = "m2"
    world.alive.look()
    world.free_disk()
    assert world.state_of(client_id) is OrderState.NOT_SENT
    assert only_denial(world, world.proposal()) == "metadata_changed"
    world.alive.metadata = "m1"
    assert world.propose(world.proposal())[0].result == "PERMIT"
    world.finish()


def step_of_the_wall_clock(world: World, direction: int) -> None:
    world.step_wall(direction * 500 * MS)
    assert world.propose(world.proposal())[0].result == "PERMIT"  # the control: a small one is slewing
    world.step_wall(direction * 2 * S)
    assert world.alive.state.arming.ended == "clock_wall_jumped"
    assert only_denial(world, world.proposal()) == "disarmed"


def test_sometimes_clock_step_forward(world: World) -> None:
    step_of_the_wall_clock(world, 1)
    world.finish()


def test_sometimes_clock_step_back(world: World) -> None:
    step_of_the_wall_clock(world, -1)
    world.finish()


def test_sometimes_checker_dead(world: World) -> None:
    world.hold_disk("sync")
    client_id = world.place()
    world.alive.readings.checker_alive = False
    world.free_disk()
    assert world.state_of(client_id) is OrderState.NOT_SENT
    assert client_id not in world.own_orders()
    other = world.place()  # the control: it lives again
    assert other in world.own_orders()
    world.finish()


# Other hands


def test_sometimes_foreign_order(world: World) -> None:
    world.foreign(Side.BUY, 50, 1)
    world.hear()
    assert world.watch.reached["foreign order"]
    assert only_denial(world, world.proposal()) == "not_armed"
    assert [hold.name for hold in world.alive.state.lattice.latches] == ["foreign_activity"]
    world.finish()


def test_sometimes_balance_jump_up(world: World) -> None:
    world.command(Strike(venue=world.venue, spec=FaultSpec(fault=Fault.DEPOSIT, amount="500")))
    said = world.reconcile()
    assert said is not None
    assert said.explained  # the control: the venue's own ledger tells what it was
    world.true.account.balances["USDT"] += 500  # and of this it tells nothing
    said = world.reconcile()
    assert said is not None
    assert not said.explained
    assert only_denial(world, world.proposal()) == "unexplained"
    world.finish()


def test_sometimes_dead_man_fired(tmp_path: Path) -> None:
    with World(tmp_path, "binance_usdm") as world:
        world.ready()
        client_id = world.place()
        world.hear()
        world.beat(5 * S)
        world.crash()
        world.wait(6 * S)
        assert world.own_orders()[client_id].state is OrderState.CANCELLED
        world.boot()
        assert world.state_of(client_id) is OrderState.CANCELLED
        assert world.own_orders()[client_id].code == wire.EndCode.DEAD_MAN
        world.finish()


def test_sometimes_two_instances_try(world: World) -> None:
    assert "another process writes there" in world.second_gate()
    client_id = world.place()  # the first one goes on
    world.alive.fuse.lease = False
    assert only_denial(world, world.proposal()) == "lease"
    assert list(world.own_orders()) == [client_id]
    world.finish()


# Bounds


def test_sometimes_rounding_denies(world: World) -> None:
    """Exactly, the order is worth less than the cap; rounded against us, it is worth more."""
    dear = "1.000000005"
    rates = [lc.rate(bid=dear, ask=dear, at=world.now().boot_ns)]
    ticks, lots = world.book[0] + 11, 2
    exactly = ticks * lots * Decimal("0.0001") * Decimal(dear)
    cap = "20.00221"
    assert exactly < Decimal(cap)
    assert world.arm(cap=cap) == ""
    assert only_denial(world, world.proposal(away=-11, lots=lots), rates=rates) == "max_order_notional_usd"
    assert world.arm(cap="20.00223") == ""  # the control
    assert world.propose(world.proposal(away=-11, lots=lots), rates=rates)[0].result == "PERMIT"
    world.finish()


def test_sometimes_worst_case_denies(world: World) -> None:
    for away in (10, 20, 30):
        world.place(away=away, lots=2)
    assert only_denial(world, world.proposal(away=40)) == "max_position_lots"
    assert world.watch.reached["worst case denies"]  # nothing of it is held
    assert world.alive.state.ledger.positions == {}
    world.finish()
