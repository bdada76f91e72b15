"""Requests whose answer is lost, late, broken or a lie: the outcome is unknown, reading finds the order or finds none, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from tests.venues.contract.place import Place
from tests.venues.contract.traits import DERIVATIVES
from tests.venues.contract.truth import check_order

from interlock.domain.orders import Side
from interlock.simulate.served.faults import Fault
from interlock.simulate.served.orders import EndReason
from interlock.venues.port import Accepted, Ask, Heard, Nonsense, Refused
from interlock.venues.trouble import Doing, Explained, Trouble

CARRIED_OUT: tuple[dict[str, Any], ...] = (
    {"fault": Fault.ACCEPT_THEN_ERROR},
    {"fault": Fault.GARBAGE},
    *({"fault": Fault.RESET_AT_BYTE, "count": count} for count in (0, 1, 40, 200)),
)
NOT_CARRIED_OUT: tuple[dict[str, Any], ...] = ({"fault": Fault.ERROR_WITHOUT_ACCEPTING}, {"fault": Fault.RESET_BEFORE})
UNANSWERED: tuple[dict[str, Any], ...] = ({"fault": Fault.LOSE_ACK}, {"fault": Fault.STALL})


def name_of(fault: dict[str, Any]) -> str:
    return "-".join(map(str, fault.values()))


async def given_up(place: Place, asked: Ask, client_id: str) -> Heard:
    """A request that is given up when it has long had its effect, and has no answer."""
    task = asyncio.create_task(place.heard(asked))
    await place.until(lambda: place.sim.find(client_id=client_id))
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return Heard(0)


def check_unknown(said: object) -> None:
    assert isinstance(said, Explained)
    assert (said.trouble, said.settled) == (Trouble.UNKNOWN_OUTCOME, False)


async def test_the_same_order_without_a_fault_is_accepted_and_sent_once(place: Place) -> None:
    want = place.wanted()
    said = await place.do(place.verbs.place(want), Doing.PLACE)
    assert isinstance(said, Accepted)
    assert place.copies(want.client_id) == 1


@pytest.mark.parametrize("fault", CARRIED_OUT, ids=name_of)
async def test_a_placement_that_was_carried_out_is_found(place: Place, fault: dict[str, Any]) -> None:
    want = place.wanted()
    assert place.strike(**fault, verb="place")
    check_unknown(await place.do(place.verbs.place(want), Doing.PLACE))
    check_order(place, await place.ask(place.reads.order(place.symbol, want.client_id)), place.truth(want.client_id))
    assert place.copies(want.client_id) == 1


@pytest.mark.parametrize("fault", UNANSWERED, ids=name_of)
async def test_a_placement_without_an_answer_is_found(place: Place, fault: dict[str, Any]) -> None:
    want = place.wanted()
    assert place.strike(**fault, verb="place")
    heard = await given_up(place, place.verbs.place(want), want.client_id)
    check_unknown(place.verbs.answered(heard, Doing.PLACE))
    check_order(place, await place.ask(place.reads.order(place.symbol, want.client_id)), place.truth(want.client_id))
    assert place.copies(want.client_id) == 1


@pytest.mark.parametrize("fault", NOT_CARRIED_OUT, ids=name_of)
async def test_a_placement_that_was_not_carried_out_is_not_found(place: Place, fault: dict[str, Any]) -> None:
    want = place.wanted()
    assert place.strike(**fault, verb="place")
    check_unknown(await place.do(place.verbs.place(want), Doing.PLACE))
    assert place.sim.find(client_id=want.client_id) is None
    assert await place.ask(place.reads.order(place.symbol, want.client_id)) is None
    assert place.copies(want.client_id) == 1


async def test_a_late_answer_is_the_answer(place: Place) -> None:
    want = place.wanted()
    assert place.strike(Fault.LATE_ACK, verb="place", ms=100)
    assert isinstance(await place.do(place.verbs.place(want), Doing.PLACE), Accepted)
    assert place.copies(want.client_id) == 1


@pytest.mark.parametrize("fault", CARRIED_OUT, ids=name_of)
async def test_a_cancel_that_was_carried_out_is_seen_in_the_order(place: Place, fault: dict[str, Any]) -> None:
    order = await place.placed(place.wanted())
    assert place.strike(**fault, verb="cancel")
    said = await place.do(place.verbs.cancel(order.symbol, client_id=order.client_id), Doing.CANCEL)
    assert isinstance(said, Explained)
    assert said.trouble in (Trouble.UNKNOWN_OUTCOME, Trouble.UNKNOWN)
    assert order.reason is EndReason.USER
    check_order(place, await place.ask(place.reads.order(order.symbol, order.client_id)), order)
    assert place.copies(order.client_id, "cancel") == 1


@pytest.mark.parametrize("fault", NOT_CARRIED_OUT, ids=name_of)
async def test_a_cancel_that_was_not_carried_out_leaves_the_order(place: Place, fault: dict[str, Any]) -> None:
    order = await place.placed(place.wanted())
    assert place.strike(**fault, verb="cancel")
    assert isinstance(await place.do(place.verbs.cancel(order.symbol, client_id=order.client_id), Doing.CANCEL), Explained)
    assert order.open
    check_order(place, await place.ask(place.reads.order(order.symbol, order.client_id)), order)


@DERIVATIVES
@pytest.mark.parametrize("fault", [*CARRIED_OUT, *NOT_CARRIED_OUT], ids=name_of)
async def test_an_amend_without_a_good_answer_is_seen_in_the_order(place: Place, fault: dict[str, Any]) -> None:
    want = place.wanted(lots=place.lots() * 2)
    order = await place.placed(want)
    assert place.strike(**fault, verb="amend")
    check_unknown(await place.do(place.verbs.amend(replace(want, lots=want.lots - 1), ""), Doing.AMEND))
    assert order.revision == (1 if fault in CARRIED_OUT else 0)
    check_order(place, await place.ask(place.reads.order(order.symbol, order.client_id)), order)
    assert place.copies(order.client_id, "amend") == 1


@DERIVATIVES
@pytest.mark.parametrize("fault", [*CARRIED_OUT, *NOT_CARRIED_OUT], ids=name_of)
async def test_a_batch_without_a_good_answer_is_of_unknown_outcome_in_all_its_orders(place: Place, fault: dict[str, Any]) -> None:
    wants = tuple(place.wanted(side) for side in Side)
    assert place.strike(**fault, verb="place_batch")
    said = place.verbs.batch_answered(await place.heard(place.verbs.place_batch(wants)), Doing.PLACE, len(wants))
    for want, each in zip(wants, said, strict=True):
        check_unknown(each)
        seen = await place.ask(place.reads.order(place.symbol, want.client_id))
        assert (seen is not None) is (fault in CARRIED_OUT)
        assert place.copies(want.client_id) == 1


@pytest.mark.parametrize("fault", [*CARRIED_OUT[:2], *NOT_CARRIED_OUT[:1]], ids=name_of)
async def test_a_read_that_is_answered_badly_says_so_and_invents_nothing(place: Place, fault: dict[str, Any]) -> None:
    order = await place.placed(place.wanted())
    assert place.strike(**fault, verb="read")
    with pytest.raises((Refused, Nonsense)) as failed:
        await place.ask(place.reads.order(order.symbol, order.client_id))
    if isinstance(failed.value, Refused):
        assert failed.value.explained.trouble is Trouble.NETWORK_ERROR
    check_order(place, await place.ask(place.reads.order(order.symbol, order.client_id)), order)


async def test_an_order_that_a_lagging_list_does_not_show_yet_is_shown_later(place: Place) -> None:
    order = await place.placed(place.wanted())
    assert place.strike(Fault.HISTORY_LAG, verb="read", ms=60_000, times=3)
    assert await place.ask(place.reads.order(order.symbol, order.client_id)) is None
    place.face.parts.faults.clear()
    check_order(place, await place.ask(place.reads.order(order.symbol, order.client_id)), order)
