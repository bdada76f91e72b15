"""The sweep without a venue: a model that loses, lags, bans and lets orders land late, and single steps of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.orders import OrderState
from interlock.sentinel.sweep import MOST_BACKOFF_NS, MOST_OBEYED_NS, POLL_NS, STUCK_POLL_NS, UNDER_WAY_NS, Do, Scope, Step, Sweep, Task
from interlock.venues.cancel_only import OpenOrder

MS = 1_000_000
S = 1_000_000_000
OURS = "mk01"
EXPIRY_NS = 2 * S


def order(number: int, client_id: str = "", symbol: str = "BTCUSDT") -> OpenOrder:
    return OpenOrder(f"v{number}", client_id or f"{OURS}{number}", symbol)


def task(
    scope: Scope = Scope.OWN,
    expiry_ns: int | None = EXPIRY_NS,
    ids: tuple[str, ...] | None = None,
    *,
    drill: bool = False,
    few: bool = True,
) -> Task:
    return Task(scope, (OURS,), expiry_ns, ids, drill, few=few)


def zero(sweep: Sweep, now_ns: int) -> None:
    sweep.listed((), whole=True, asked_ns=now_ns, now_ns=now_ns)


class Venue:
    """A model of a venue: what is open, what lands late, and which requests fail and how."""

    def __init__(self, orders: list[OpenOrder], late: list[tuple[int, OpenOrder]], failures: list[int], cut: int) -> None:
        self.open = list(orders)
        self.late = list(late)
        self.failures = failures
        self.cut = cut
        self.requests: list[tuple[int, Do]] = []
        self.banned_until_ns = 0
        self.broke_ban = False

    def land(self, now_ns: int) -> None:
        self.open += [late for at_ns, late in self.late if at_ns <= now_ns]
        self.late = [(at_ns, late) for at_ns, late in self.late if at_ns > now_ns]

    def carry_out(self, step: Step, sweep: Sweep, now_ns: int) -> None:
        self.land(now_ns)
        self.broke_ban |= now_ns < self.banned_until_ns
        self.requests.append((now_ns, step.do))
        failure = self.failures.pop() if self.failures else 0
        if failure:
            retry_after_ns = 0
            if failure == 2:
                retry_after_ns = 3 * S
                self.banned_until_ns = now_ns + retry_after_ns
            if step.do is Do.LIST:
                sweep.listed(self._listed(step)[: self.cut], whole=False, asked_ns=now_ns, now_ns=now_ns, ours=step.ours)
            elif failure == 3:
                self._do(step)  # it was done and the answer lost
            sweep.failed(step, retry_after_ns, now_ns)
        elif step.do is Do.LIST:
            sweep.listed(self._listed(step), whole=True, asked_ns=now_ns, now_ns=now_ns, ours=step.ours)
        else:
            self._do(step)
            sweep.cancelled()

    def _listed(self, step: Step) -> tuple[OpenOrder, ...]:
        return tuple(one for one in self.open if not step.ours or one.symbol == "BTCUSDT")

    def _do(self, step: Step) -> None:
        if step.do is Do.CANCEL_EVERYTHING:
            del self.open[:3]  # like a venue that takes a few at a time
        else:
            self.open = [one for one in self.open if one not in step.orders]


@given(
    scope=st.sampled_from(Scope),
    ours=st.integers(0, 12),
    strangers=st.integers(0, 4),
    late=st.lists(st.integers(1, EXPIRY_NS - 1), max_size=3),
    failures=st.lists(st.sampled_from((0, 1, 2, 3)), max_size=12),
    cut=st.integers(0, 5),
    elsewhere=st.booleans(),
)
def test_final_means_that_nothing_is_left_whatever_happens_on_the_way(
    scope: Scope, ours: int, strangers: int, late: list[int], failures: list[int], cut: int, elsewhere: bool
) -> None:
    symbol = "OLDUSDT" if elsewhere else "BTCUSDT"  # one that the limits no longer name
    foreign = [order(100 + number, "hand" if number % 2 else "") for number in range(strangers)]
    foreign = [OpenOrder(one.venue_order_id, "" if number % 2 else "hand", one.symbol) for number, one in enumerate(foreign)]
    venue = Venue(
        [*(order(number) for number in range(ours)), *foreign],
        [(at, order(200 + n, symbol=symbol)) for n, at in enumerate(late)],
        list(failures),
        cut,
    )
    sweep = Sweep(task(scope), quiet_ns=0)
    now_ns = 0
    for _ in range(2_000):
        step = sweep.next(now_ns)
        if step.do is Do.DONE:
            break
        if step.do is Do.WAIT:
            assert step.until_ns > now_ns
            now_ns = step.until_ns
        else:
            venue.carry_out(step, sweep, now_ns)
            now_ns += MS
    assert sweep.final
    assert not venue.late
    assert now_ns >= EXPIRY_NS
    assert not venue.broke_ban
    left = [one.venue_order_id for one in venue.open]
    assert left == ([] if scope is Scope.ALL else [one.venue_order_id for one in foreign])
    if scope is Scope.OWN:
        assert Do.CANCEL_EVERYTHING not in {do for _, do in venue.requests}
    assert len(venue.requests) < 80


def test_while_it_waits_for_what_may_land_late_it_looks_at_our_symbols_alone() -> None:
    late = 3 * EXPIRY_NS // 4
    venue = Venue([order(1)], [(late, order(2))], [], 0)
    sweep = Sweep(task(), quiet_ns=0)
    now_ns = 0
    lists: list[tuple[int, bool]] = []
    while (step := sweep.next(now_ns)).do is not Do.DONE:
        if step.do is Do.WAIT:
            now_ns = step.until_ns
            continue
        if step.do is Do.LIST:
            lists.append((now_ns, step.ours))
        venue.carry_out(step, sweep, now_ns)
    gap_ns = 20 * MS
    # Until it is swept whole lists; then of ours, twice a second; anew behind what landed; and from when nothing can land whole ones again.
    found_ns = gap_ns + 3 * POLL_NS
    assert lists == [
        (0, False),
        (0, False),
        (gap_ns, False),
        *((gap_ns + n * POLL_NS, True) for n in (1, 2, 3)),
        (found_ns, False),
        (found_ns + gap_ns, False),
        (found_ns + gap_ns + POLL_NS, False),
        (found_ns + gap_ns + POLL_NS + gap_ns, False),
    ]


@pytest.mark.parametrize(("scope", "few"), [(Scope.ALL, True), (Scope.OWN, False), (Scope.OWN, True)])
def test_a_person_who_cancels_everything_and_an_account_of_many_symbols_have_whole_lists(scope: Scope, few: bool) -> None:
    sweep = Sweep(task(scope, few=few), quiet_ns=0)
    sweep.cancelled()
    zero(sweep, 0)
    zero(sweep, 1)
    step = sweep.next(EXPIRY_NS - 1)
    assert (step.do, step.ours) == (Do.LIST, scope is Scope.OWN and few)


def test_it_waits_in_vain_only_when_somebody_looked_well_after_the_gate_had_stopped() -> None:
    sweep = Sweep(task(expiry_ns=None))
    for at_ns in (0, 1):
        zero(sweep, at_ns)
    assert (bool(sweep.stuck), sweep.in_vain) == (True, False)
    sweep.quiet_ns = S
    assert (bool(sweep.stuck), sweep.in_vain) == (True, False), "what it saw was before the gate had stopped"
    zero(sweep, S + UNDER_WAY_NS - 1)
    assert not sweep.in_vain
    zero(sweep, S + UNDER_WAY_NS)
    assert sweep.in_vain
    sweep.listed((order(1),), whole=True, asked_ns=9 * S, now_ns=9 * S)
    assert not sweep.in_vain
    # Where requests expire waiting is not in vain.
    expires = Sweep(task(), quiet_ns=0)
    for at_ns in (UNDER_WAY_NS - 2, UNDER_WAY_NS - 1):
        zero(expires, at_ns)
    assert (expires.swept, expires.in_vain) == (True, False)


def test_nothing_in_our_symbols_is_no_zero_but_in_a_drill() -> None:
    for drill in (False, True):
        sweep = Sweep(task(drill=drill), quiet_ns=-EXPIRY_NS)
        for at_ns in range(4):
            sweep.listed((), whole=True, asked_ns=at_ns, now_ns=at_ns, ours=True)
        assert sweep.swept is drill
        assert not drill or sweep.final
        assert sweep.not_before_ns > 3


def test_a_kill_cancels_before_it_lists_and_a_trip_lists_first() -> None:
    assert Sweep(task(Scope.ALL)).next(0).do is Do.CANCEL_EVERYTHING
    assert Sweep(task(Scope.OWN)).next(0).do is Do.LIST


def test_the_two_ways_to_cancel_take_turns_until_the_list_is_empty() -> None:
    sweep = Sweep(task(Scope.ALL))
    done = []
    now_ns = 0
    for _ in range(4):
        step = sweep.next(now_ns)
        done.append(step.do)
        sweep.cancelled()
        assert sweep.next(now_ns).do is Do.LIST
        sweep.listed((order(1),), whole=True, asked_ns=now_ns, now_ns=now_ns)
        now_ns += 10 * S
    assert done == [Do.CANCEL_EVERYTHING, Do.CANCEL, Do.CANCEL_EVERYTHING, Do.CANCEL]


def test_orders_that_stay_are_cancelled_ever_more_slowly_but_for_ever() -> None:
    sweep = Sweep(task())
    now_ns, waits = 0, []
    for _ in range(20):
        sweep.listed((order(1),), whole=True, asked_ns=now_ns, now_ns=now_ns)
        step = sweep.next(now_ns)
        if step.do is Do.WAIT:
            waits.append(step.until_ns - now_ns)
            now_ns = step.until_ns
            step = sweep.next(now_ns)
        assert step.do is Do.CANCEL
        sweep.cancelled()
    assert waits == sorted(waits)
    assert waits[-1] == MOST_BACKOFF_NS


def test_half_a_list_without_orders_is_no_zero() -> None:
    sweep = Sweep(task(), quiet_ns=0)
    for _ in range(5):
        sweep.listed((), whole=False, asked_ns=10 * S, now_ns=10 * S)
        sweep.failed(Step(Do.LIST), 0, 10 * S)
    assert not sweep.swept
    zero(sweep, 20 * S)
    assert not sweep.swept
    zero(sweep, 20 * S)
    assert sweep.swept


@pytest.mark.parametrize(("retry_after_ns", "waits_ns"), [(0, 50 * MS), (7 * S, 7 * S), (10**30, MOST_OBEYED_NS)])
def test_the_venues_own_wait_is_obeyed_within_reason(retry_after_ns: int, waits_ns: int) -> None:
    sweep = Sweep(task(Scope.ALL))
    sweep.failed(sweep.next(0), retry_after_ns, 0)
    assert sweep.next(0) == Step(Do.WAIT, until_ns=waits_ns)
    assert sweep.next(waits_ns).do is (Do.CANCEL_EVERYTHING if retry_after_ns else Do.LIST)
    assert sweep.banned_until_ns == (waits_ns if retry_after_ns else 0)


def test_zero_before_the_gate_is_quiet_and_the_window_has_passed_is_not_final() -> None:
    sweep = Sweep(task())
    for at_ns in range(4):
        zero(sweep, at_ns)
    assert (sweep.swept, sweep.final, sweep.stuck) == (True, False, "it is not certain that the gate has stopped")
    sweep.quiet_ns = S
    for at_ns in (S, S + EXPIRY_NS - 1):
        zero(sweep, at_ns)
        assert (sweep.final, sweep.stuck) == (False, "")
    zero(sweep, S + EXPIRY_NS)
    assert not sweep.final
    zero(sweep, S + EXPIRY_NS)
    assert sweep.final
    assert sweep.next(0).do is Do.DONE


def test_a_venue_without_expiry_is_final_only_for_named_ids() -> None:
    nobody, none, one = (Sweep(task(expiry_ns=None, ids=ids), quiet_ns=0) for ids in (None, (), (f"{OURS}1",)))
    for sweep in (nobody, none, one):
        zero(sweep, S)
        zero(sweep, S)
    assert (nobody.final, none.final, one.final) == (False, True, False)
    assert "do not expire" in nobody.stuck
    one.found_as(f"{OURS}1", OrderState.FILLED, S)
    assert one.final


def test_an_id_is_looked_up_until_it_has_ended() -> None:
    name = f"{OURS}7"
    sweep = Sweep(task(ids=(name, f"{OURS}8")), quiet_ns=-EXPIRY_NS)
    now_ns = 0
    for state in (None, OrderState.CANCELLED):
        zero(sweep, now_ns)
        zero(sweep, now_ns)
        assert sweep.next(sweep.not_before_ns) == Step(Do.FIND, client_id=name)
        sweep.found_as(name, None, now_ns)
        assert sweep.next(sweep.not_before_ns).client_id == f"{OURS}8"
        sweep.found_as(f"{OURS}8", state, now_ns)
        assert not sweep.final
        now_ns = sweep.not_before_ns
    assert name in sweep.stuck
    assert f"{OURS}8" not in sweep.stuck
    # A look-up that fails is asked again after the next list.
    zero(sweep, now_ns)
    sweep.failed(sweep.next(sweep.not_before_ns), 0, now_ns)
    assert sweep.next(sweep.not_before_ns).do is Do.LIST
    # Open, though no list shows it: cancelled by its id, and zero has to be proven again.
    zero(sweep, now_ns)
    sweep.found_as(name, OrderState.OPEN, now_ns)
    assert sweep.next(sweep.not_before_ns) == Step(Do.CANCEL, orders=(OpenOrder("", name, ""),))
    sweep.cancelled()
    assert not sweep.swept
    zero(sweep, now_ns)
    zero(sweep, now_ns)
    sweep.found_as(name, OrderState.CANCELLED, now_ns)
    assert sweep.final


def test_one_that_is_stuck_looks_seldom() -> None:
    sweep = Sweep(task())
    zero(sweep, 0)
    zero(sweep, 0)
    zero(sweep, 0)
    assert sweep.not_before_ns == STUCK_POLL_NS


def test_a_drill_reads_back_every_order_that_it_found() -> None:
    sweep = Sweep(task(drill=True))
    sweep.listed((order(1), order(2, "hand")), whole=True, asked_ns=0, now_ns=0)
    assert sweep.next(0).orders == (order(1),)
    sweep.cancelled()
    zero(sweep, 0)
    zero(sweep, 0)
    assert sweep.next(sweep.not_before_ns) == Step(Do.FIND, client_id=f"{OURS}1")
    assert sweep.unresolved == (f"{OURS}1",)
    sweep.found_as(f"{OURS}1", OrderState.CANCELLED, 0)
    assert sweep.final


@pytest.mark.parametrize("prefixes", [(), ("",), (OURS, "")])
def test_a_prefix_that_fits_everything_is_refused(prefixes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="not empty"):
        Task(Scope.OWN, prefixes, None)


def test_a_venue_that_takes_a_few_at_a_time_is_asked_for_the_next_ones_at_once() -> None:
    orders = [OpenOrder(str(number), f"{OURS}{number}", "BTCUSDT") for number in range(9)]
    for step, waits in ((1, False), (0, True)):
        sweep = Sweep(Task(Scope.OWN, (OURS,), 0))
        left = orders
        for _ in range(4):
            sweep.listed(left, whole=True, asked_ns=5, now_ns=5)
            if sweep.next(5).do is Do.CANCEL:
                sweep.cancelled()
            left = left[step:]
        assert (sweep.next(5).do is Do.WAIT) is waits, "the control: where none goes away it waits"


def test_look_ups_that_fail_are_tried_again_more_and_more_slowly() -> None:
    name = f"{OURS}1"
    sweep = Sweep(Task(Scope.OWN, (OURS,), 0, client_ids=(name,)), quiet_ns=0)
    now_ns, pauses = 0, []
    for _ in range(6):
        while (step := sweep.next(now_ns)).do is not Do.FIND:
            if step.do is Do.WAIT:
                now_ns = step.until_ns
            else:
                sweep.listed([], whole=True, asked_ns=now_ns, now_ns=now_ns)
        sweep.failed(step, 0, now_ns)
        pauses.append((sweep.not_before_ns - now_ns) // MS)
    assert pauses == [500, 1_000, 2_000, 4_000, 5_000, 5_000]
    now_ns = sweep.not_before_ns
    sweep.listed([], whole=True, asked_ns=now_ns, now_ns=now_ns)
    sweep.found_as(name, OrderState.CANCELLED, now_ns)
    assert sweep.final
