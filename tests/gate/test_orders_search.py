"""All short sequences of records, and long random ones: what must hold whatever comes in whatever order."""

import itertools
import timeit

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate.order_records import (
    ACCOUNT,
    OPENED,
    SYMBOL,
    VENUE,
    absent,
    answer,
    boot,
    cancel,
    cancel_answer,
    cancel_sent,
    deny,
    fill,
    fold,
    intent,
    naive_worst,
    not_sent,
    permit,
    quarantined,
    released,
    report,
    reversal,
    sent,
    unknown,
    violations,
    wire,
)

from interlock.domain.orders import OrderState, Side
from interlock.gate import records as r
from interlock.gate.order_state import Orders
from interlock.gate.orders import apply, may_send, recovery_records, worst_case

S = OrderState


def alphabet(client_id: str, side: Side) -> list[r.Record]:
    states = (S.OPEN, S.PARTIAL, S.FILLED, S.CANCELLED, S.EXPIRED, S.REJECTED, S.ACKED)
    return [
        *(make(client_id, revision) for make in (permit, wire, not_sent, sent, unknown) for revision in (0, 1)),
        *(intent(client_id, revision, lots, side=side) for revision, lots in ((0, 10), (1, 4), (1, 15), (2, 7))),
        *(answer(state, client_id, revision) for state in (S.ACKED, S.OPEN, S.REJECTED, S.FILLED) for revision in (0, 1)),
        *(
            report(state, filled, lots, at, client_id)
            for state in states
            for filled, lots, at in ((0, 0, 5), (4, 10, 6), (10, 15, 7), (16, 0, 8))
        ),
        *(fill(lots, f"{client_id}{lots}", client_id, side) for lots in (1, 4, 10)),
        *(reversal(f"{client_id}{lots}") for lots in (1, 4)),
        *(released(state, filled, client_id=client_id) for state in (S.FILLED, S.CANCELLED, S.ABSENT) for filled in (0, 10)),
        *(make(client_id) for make in (deny, absent, quarantined, cancel, cancel_sent)),
        cancel_answer(False, client_id),
        cancel_answer(True, client_id),
    ]


ANY = [*alphabet("a", Side.BUY), *alphabet("b", Side.SELL), boot()]
PREFIXES: list[tuple[r.Record, ...]] = [
    (),
    (intent(), permit()),
    (intent(), permit(), wire(), sent()),
    OPENED,
    (*OPENED, intent("a", 1, 15), permit("a", 1), wire("a", 1)),
    (intent(), permit(), wire(), unknown(), quarantined()),
]


def check(orders: Orders) -> None:
    """What holds in every state that can be reached."""
    assert orders.worst == naive_worst(orders)
    for order in orders.by_id.values():
        assert order.filled_lots >= 0
        assert (order.client_id in orders.live) == (not order.state.final)
        if order.state.final:
            assert order.amend is None
        if order.wired_revision >= 0:
            assert not may_send(orders, order.client_id, order.wired_revision)
        if not orders.violations and order.state is not S.FILLED:
            assert order.filled_lots <= order.largest_lots


def test_every_two_records_after_every_stage() -> None:
    letters = alphabet("a", Side.BUY)
    reached = set()
    for prefix in PREFIXES:
        for tail in itertools.product([*letters, boot()], repeat=2):
            orders = fold(*prefix, *tail)
            check(orders)
            reached |= {order.state for order in orders.by_id.values()}
    assert reached == set(S)


@settings(max_examples=500)
@given(st.sampled_from(PREFIXES), st.lists(st.sampled_from(ANY), max_size=40))
def test_long_random_histories(prefix: tuple[r.Record, ...], tail: list[r.Record]) -> None:
    orders = fold(*prefix)
    for record in tail:
        finals = {client_id: order.state for client_id, order in orders.by_id.items() if order.state.final}
        known = len(orders.violations)
        apply(orders, record)
        check(orders)
        for client_id, state in finals.items():
            assert orders.by_id[client_id].state is state or len(orders.violations) > known
    again = fold(*prefix, *tail)
    assert again == orders
    assert again.digest_parts() == orders.digest_parts()


@settings(max_examples=500)
@given(st.sampled_from(PREFIXES), st.lists(st.sampled_from(ANY), max_size=20), st.booleans(), st.booleans())
def test_recovery_after_any_history(prefix: tuple[r.Record, ...], tail: list[r.Record], same: bool, io_error: bool) -> None:
    orders = fold(*prefix, *tail, boot())
    before = worst_case(orders, VENUE, ACCOUNT, SYMBOL)
    known = violations(orders)
    for record in recovery_records(orders, same, io_error, 9):
        apply(orders, record)
    after = worst_case(orders, VENUE, ACCOUNT, SYMBOL)
    assert after[0] <= before[0]
    assert after[1] <= before[1]
    assert violations(orders) == known
    assert recovery_records(orders, same, io_error, 9) == []
    assert not any(may_send(orders, client_id, revision) for client_id in orders.by_id for revision in range(4))


def test_at_most_one_wire_write_over_all_lives() -> None:
    """All interleavings of two sends, two boots and a permit told again: the second write never had leave."""
    steps: list[r.Record] = [intent(), permit(), boot(), permit(), intent()]
    for order in itertools.permutations(steps):
        orders = Orders()
        writes = 0
        for record in order:
            apply(orders, record)
            if may_send(orders, "a", 0):
                apply(orders, wire())
                writes += 1
        assert writes <= 1
    assert may_send(fold(*steps[:2]), "a", 0)


def test_the_worst_case_costs_microseconds_at_a_thousand_orders() -> None:
    orders = Orders()
    for i in range(1_000):
        for record in (intent(f"o{i}"), permit(f"o{i}"), wire(f"o{i}"), sent(f"o{i}"), answer(S.OPEN, f"o{i}")):
            apply(orders, record)
    assert worst_case(orders, VENUE, ACCOUNT, SYMBOL) == (10_000, 0)
    each_s = min(timeit.repeat(lambda: worst_case(orders, VENUE, ACCOUNT, SYMBOL), number=1_000, repeat=5)) / 1_000
    assert each_s < 50e-6
