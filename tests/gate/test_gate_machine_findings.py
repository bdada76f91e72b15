"""What the state machine found: each test states what must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import World as Moment
from tests.gate.core_world import proposal
from tests.gate.gate_life import S
from tests.gate.gate_machine import World

from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.order_state import Orders
from interlock.gate.orders import apply, recovery_records
from interlock.gate.state import GateState
from interlock.simulate.fake_venue.faults import Fault


def test_a_mint_that_an_unexplained_account_refuses_is_folded_once() -> None:
    """S12: the record of a grant that does not live is in the journal once, and so it is folded once."""
    live, again = GateState(lc.SHEET), GateState(lc.SHEET)
    records: list[r.Record] = [aw.boot(), aw.reconciled(explained=False)]
    asked, minted = aw.ceremony()
    for record in records:
        live.apply(record)
    live.happen(asked)
    live.happen(minted)
    for record in [*records, minted.record]:
        again.apply(record)
    assert live.live is None
    assert live.lattice.version == again.lattice.version
    assert live.digest() == again.digest()


@pytest.mark.parametrize("poison", [{"lots": -1}, {"ticks": -1}, {"lots": 1 << 60}, {"ticks": 1 << 53}])
def test_no_figure_out_of_range_enters_the_journal(poison: dict[str, Any]) -> None:
    """S26: what a proposal says is looked at before any of it goes into a record."""
    moment = Moment()
    moment.proposal = proposal(**poison)
    for record in moment.decide().records:
        if isinstance(record, r.Intent):
            assert 0 <= record.lots < 1 << 53
            assert 0 <= record.ticks < 1 << 53


def test_an_intent_of_nothing_is_answered_although_the_process_ends() -> None:
    """S27. Orders ignore an intent without a size, so that nobody denies it in the next process life."""
    moment = Moment()
    moment.proposal = proposal(lots=0)
    intents = [one for one in moment.decide().records if isinstance(one, r.Intent)]
    orders = Orders()
    for record in (aw.boot(), *intents, aw.boot("life-b")):
        apply(orders, record)
    answered = [one.client_id for one in recovery_records(orders, True, False, 9) if isinstance(one, r.Deny)]
    assert answered == [one.client_id for one in intents]


def test_a_checker_takes_a_reversal_for_what_it_is(tmp_path: Path) -> None:
    """S14 of the checker: an execution that journal and venue both know to be taken back is no difference between them."""
    with World(tmp_path) as world:
        world.ready()
        world.place(away=-5)
        world.hear()
        world.reverse()
        world.hear()
        world.quiet()
        world.shut_down()
        assert [str(one) for one in world.judged().violations] == []


def test_a_checker_takes_a_piece_of_a_cut_frame_for_what_it_is(tmp_path: Path) -> None:
    """S1 of the checker: bytes that are no request placed nothing, and the journal says that the outcome is unknown."""
    with World(tmp_path) as world:
        world.ready()
        for cable in world.alive.cables:
            cable.near.takes = 40
        client_id = world.place()
        assert world.state_of(client_id) is OrderState.UNKNOWN
        world.quiet()
        world.shut_down()
        assert [str(one) for one in world.judged().violations] == []


def test_an_order_that_was_in_flight_at_a_crash_may_be_proven_absent(tmp_path: Path) -> None:
    """S1 and S9 of the checker: what a process had in flight when it ended is unknown to the next one, and may be proven never to have arrived."""
    with World(tmp_path) as world:
        world.ready()
        world.lie(Fault.LOSE_REQUEST)
        world.hold_network(back=True)
        lost = world.place()
        assert world.state_of(lost) is OrderState.SENT
        world.crash()
        world.ready()
        world.wait(S)
        assert world.state_of(lost) is OrderState.UNKNOWN
        ended = world.place(away=30)
        world.place(away=20)
        world.hear()
        world.cancel(ended)
        for _ in range(3):
            world.wait(2 * S)
            world.read()
        assert world.state_of(lost) is OrderState.ABSENT
        world.quiet()
        world.shut_down()
        assert [str(one) for one in world.judged().violations] == []


def test_a_checker_lets_a_reduction_pass_that_a_lower_cap_found_already_too_much(tmp_path: Path) -> None:
    """S11 of the checker: a worst case that was there before the cap, and that the order cannot worsen, is no reason against bringing it home."""
    with World(tmp_path) as world:
        world.ready()
        for _ in range(2):
            world.place(away=-5, lots=2)
        world.hear()
        assert world.arm(cap="30") == ""
        assert world.propose(world.proposal())[0].rule == "max_gross_notional_usd"  # nothing new fits
        world.place(Side.SELL, away=-5, tif=TimeInForce.IOC, reduce_only=True)
        world.hear()
        world.quiet()
        world.shut_down()
        assert [str(one) for one in world.judged().violations] == []


def test_a_checker_knows_that_a_power_cut_may_take_the_beginning_of_a_write(tmp_path: Path) -> None:
    """S1 of the checker: that record is written before the first byte and not synced; a durable permit, and UNKNOWN at the next boot, are enough."""
    with World(tmp_path) as world:
        world.ready()
        world.place(away=30)
        world.hold_disk("sync", after=2)  # intent and permit are durable, what follows is not
        client_id = world.place()
        assert world.own_orders()[client_id].state is OrderState.OPEN
        world.crash(power=-1)
        world.boot()
        told = [type(one).__name__ for one in map(r.decode, world.watch.payloads) if getattr(one, "client_id", "") == client_id]
        assert told[:3] == ["Intent", "Permit", "SendUnknown"]
        world.quiet()
        world.shut_down()
        assert [str(one) for one in world.judged().violations] == []
