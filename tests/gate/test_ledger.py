"""The ledger: positions, money, identity of executions and events, expectations, the day."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.gate.order_records import ACCOUNT, SYMBOL, VENUE, boot, event, fill, reversal

from interlock.domain.orders import Liquidity, Side
from interlock.gate import records as r
from interlock.gate.ledger import FILL_FEE, Day, Flag, Ledger, apply, cash, exact_sum, position_lots, unexpected_transfers

K = r.LedgerKind
MARKET = (VENUE, ACCOUNT, SYMBOL)


def book(*records: r.Record) -> Ledger:
    ledger = Ledger()
    for record in records:
        assert apply(ledger, record) is ledger
    return ledger


def held(ledger: Ledger) -> tuple[int, int, Decimal | int, Decimal | int]:
    p = ledger.positions[MARKET]
    return (p.lots, p.cash, p.cost, p.realised)


def sell(lots: int, trade_id: str, ticks: int = 110) -> r.Filled:
    return fill(lots, trade_id, side=Side.SELL, ticks=ticks)


def test_a_position_is_opened_shrunk_turned_and_closed() -> None:
    ledger = book(fill(10))
    assert held(ledger) == (10, -1_000, 1_000, 0)
    apply(ledger, sell(4, "t2"))
    assert held(ledger) == (6, -560, 600, 40)
    apply(ledger, sell(8, "t3", 120))
    assert held(ledger) == (-2, 400, -240, 160)
    apply(ledger, fill(2, "t4", ticks=100))
    assert held(ledger) == (0, 200, 0, 200)


def test_cost_that_leaves_is_rounded_to_a_billionth_and_the_rest_stays_with_the_rest() -> None:
    ledger = book(fill(2, ticks=3), fill(1, "t2", ticks=4), sell(1, "t3", 5))
    lots, paid, cost, realised = held(ledger)
    assert (lots, cost, realised) == (2, Decimal("6.666666667"), Decimal("1.666666667"))
    assert paid == realised - cost


def test_an_execution_told_twice_counts_once_and_a_changed_one_is_flagged() -> None:
    ledger = book(fill(4), fill(4))
    assert (position_lots(ledger, *MARKET), ledger.duplicates, ledger.flags) == (4, 1, {})
    apply(ledger, fill(5))
    assert (position_lots(ledger, *MARKET), ledger.flags) == (4, {(Flag.CONFLICT, "t1"): 1})
    # Whether it made or took is not told by every list of every venue: it makes no other execution.
    known = book(fill(4), replace(fill(4), liquidity=Liquidity.MAKER))
    assert (fill(4).liquidity, known.duplicates, known.flags) == (Liquidity.TAKER, 1, {})
    # The controls: another id, another symbol, another account are other executions.
    for other in (fill(4, "t2"), fill(4, symbol="ETHUSDT"), fill(4, account="second")):
        assert len(book(fill(4), other).fills) == 2


@pytest.mark.parametrize("bad", [fill(0), fill(-1), fill(1, ticks=0), fill(1, fee="NaN"), fill(1, fee="Infinity")])
def test_nonsense_is_refused_and_flagged(bad: r.Filled) -> None:
    ledger = book(bad)
    assert (ledger.positions, ledger.fills, ledger.flags) == ({}, {}, {(Flag.REFUSED, "t1"): 1})


def test_an_execution_that_is_not_ours_is_booked_and_flagged() -> None:
    ledger = book(fill(4, client_id=""))
    assert (position_lots(ledger, *MARKET), ledger.flags) == (4, {(Flag.FOREIGN_FILL, "t1"): 1})


def test_a_reversal_undoes_its_execution_whichever_comes_first() -> None:
    for records in ((fill(4), reversal(), reversal()), (reversal(), fill(4), reversal())):
        ledger = book(*records)
        assert (held(ledger), ledger.duplicates) == ((0, 0, 0, 0), 1)
        assert ledger.flags == {(Flag.REVERSAL, "t1"): 1}
        assert ledger.reversals == {(*MARKET, "t1"): True}


def test_fees_in_any_currency_and_other_flows_are_summed_up_apart() -> None:
    ledger = book(
        fill(1, fee="0.1"), fill(1, "t2", fee="-0.02"), fill(1, "t3", fee="0.001", fee_currency="BNB"), event(K.FUNDING, "-3"),
        event(K.FUNDING, "-3"), event(K.FUNDING, "1", "e2"), event(K.DEPOSIT, "500"),
    )  # fmt: skip
    assert ledger.duplicates == 1
    assert ledger.flows[(VENUE, ACCOUNT, "USDT", FILL_FEE)] == Decimal("-0.08")
    assert ledger.flows[(VENUE, ACCOUNT, "USDT", "funding")] == Decimal(-2)
    assert cash(ledger, VENUE, ACCOUNT) == {"USDT": Decimal("497.92"), "BNB": Decimal("-0.001")}
    assert cash(ledger, VENUE, "second") == {}


def test_an_event_told_twice_with_other_content_is_flagged() -> None:
    ledger = book(event(K.FUNDING, "1"), event(K.FUNDING, "2"), event(K.INTEREST, "2"))
    assert (ledger.flags, cash(ledger, VENUE, ACCOUNT)) == ({(Flag.CONFLICT, "e1"): 1}, {"USDT": Decimal(3)})


def signed(amount: str = "0", lots: int = 0, ticks: int = 0, symbol: str = SYMBOL, actor: str = "me", nonce: str = "n") -> r.LedgerEvent:
    return event(K.ADJUST, amount, "", symbol=symbol, lots=lots, ticks=ticks, actor=actor, nonce=nonce)


@pytest.mark.parametrize(
    "bad",
    [
        signed("5", actor=""),
        signed("5", nonce=""),
        signed(lots=1),
        signed(lots=1, ticks=-1),
        signed(lots=1, ticks=1, symbol=""),
        signed("NaN"),
        event(K.FUNDING, "5", ""),
        event(K.FUNDING, "Infinity"),
    ],
)
def test_what_cannot_be_booked_is_refused(bad: r.LedgerEvent) -> None:
    ledger = book(bad)
    assert (ledger.positions, ledger.flows, ledger.events) == ({}, {}, {})
    assert [flag for flag, _ in ledger.flags] == [Flag.REFUSED]


def test_a_signed_adjustment_adopts_a_balance_and_a_position_once() -> None:
    ledger = book(signed("5", lots=3, ticks=100), signed("5", lots=3, ticks=100))
    assert (held(ledger), cash(ledger, VENUE, ACCOUNT), ledger.duplicates) == ((3, -300, 300, 0), {"USDT": Decimal(5)}, 1)


@pytest.mark.parametrize(("kind", "flags"), [(K.ADL, [Flag.ADL]), (K.LIQUIDATION, [Flag.LIQUIDATION]), (K.SETTLEMENT, [])])
def test_what_the_venue_does_to_a_position_is_booked(kind: r.LedgerKind, flags: list[Flag]) -> None:
    ledger = book(fill(4), event(kind, "0", symbol=SYMBOL, lots=-3, ticks=90))
    assert held(ledger) == (1, -130, 100, -30)
    assert [flag for flag, _ in ledger.flags] == flags
    unpriced = book(fill(4), event(kind, "-30", symbol=SYMBOL, lots=-3))
    assert held(unpriced) == (1, -100, 100, 0)
    assert [flag for flag, _ in unpriced.flags] == [*flags, Flag.UNPRICED]
    assert book(event(kind, "0", symbol=SYMBOL, lots=-3)).positions[MARKET].lots == -3


def test_the_position_at_a_time() -> None:
    ledger = book(fill(4, venue_ns=10), sell(1, "t2"), fill(2, "t3", venue_ns=30), fill(9, "t4", venue_ns=40, symbol="ETHUSDT"))
    assert [position_lots(ledger, *MARKET, at) for at in (9, 10, 29, 30, None)] == [0, 3, 3, 5, 5]
    assert position_lots(ledger, VENUE, ACCOUNT, "NONE", 10) == 0
    flows = book(event(K.FUNDING, "1", venue_ns=10), event(K.FUNDING, "2", "e2", venue_ns=20))
    assert cash(flows, VENUE, ACCOUNT, 10) == {"USDT": Decimal(1)}
    assert cash(flows, VENUE, ACCOUNT, 20) == {"USDT": Decimal(3)}


def expect(
    amount: str = "500", until: int = 100, kind: r.LedgerKind = K.DEPOSIT, currency: str = "USDT", account: str = ACCOUNT
) -> r.Record:
    return r.LedgerExpected(
        boot_ns=1, kind=kind, venue=VENUE, account=account, currency=currency, amount=Decimal(amount), until_wall_ns=until, actor="me"
    )


def test_an_announced_transfer_is_matched_by_all_that_was_announced() -> None:
    came = event(K.DEPOSIT, "500.0", venue_ns=100)
    assert unexpected_transfers(book(expect(), came)) == []
    assert unexpected_transfers(book(came, expect())) == []
    for other in (expect("499"), expect(until=99), expect(kind=K.TRANSFER), expect(currency="KRW"), expect(account="second")):
        assert unexpected_transfers(book(other, came)) == [(VENUE, ACCOUNT, "deposit", "e1")]
    # A notice serves once, and what is no transfer needs none.
    assert unexpected_transfers(book(expect(), came, event(K.DEPOSIT, "500", "e2", venue_ns=100))) == [(VENUE, ACCOUNT, "deposit", "e2")]
    assert unexpected_transfers(book(event(K.AIRDROP, "1"), event(K.FUNDING, "1"))) == []


def test_the_urgent_notice_is_used_first() -> None:
    both = (event(K.DEPOSIT, "500", "e1", venue_ns=10), event(K.DEPOSIT, "500", "e2", venue_ns=90))
    for notices in ((expect(until=100), expect(until=20)), (expect(until=20), expect(until=100))):
        assert unexpected_transfers(book(*notices, *both)) == []


def rolled(day: str, usd: str) -> r.DayRolled:
    return r.DayRolled(boot_ns=1, day=day, baseline=(("USDT", Decimal(usd)),), baseline_usd=Decimal(usd), wall_ns=1)


def marked(realised: str, unrealised: str = "0") -> r.Marked:
    return r.Marked(boot_ns=1, realised_usd=Decimal(realised), unrealised_usd=Decimal(unrealised), equity_usd=Decimal(0))


def test_the_baseline_is_fixed_at_the_roll_and_the_worst_loss_survives_a_boot() -> None:
    ledger = book(rolled("2026-01-02", "7"), marked("-5", "-1"), marked("3"), boot(), rolled("2026-01-02", "9"), rolled("2026-01-01", "9"))
    assert ledger.day == Day("2026-01-02", (("USDT", Decimal(7)),), Decimal(7), Decimal(6))
    apply(ledger, rolled("2026-01-03", "4"))
    assert (ledger.day.baseline_usd, ledger.day.max_loss_usd) == (Decimal(4), Decimal(0))


@given(st.lists(st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 50), st.integers(1, 1_000)), max_size=30))
def test_money_is_conserved_and_cost_is_the_average(trades: list[tuple[Side, int, int]]) -> None:
    ledger = Ledger()
    lots, cost, realised = 0, Fraction(0), Fraction(0)
    for i, (side, size, ticks) in enumerate(trades):
        apply(ledger, fill(size, f"t{i}", side=side, ticks=ticks))
        signed_lots = side * size
        closing = side * min(size, abs(lots)) if lots * side < 0 else 0
        leaving = cost * abs(closing) / abs(lots) if closing else Fraction(0)
        realised += -closing * ticks - leaving
        cost += (signed_lots - closing) * ticks - leaving
        lots += signed_lots
    position = ledger.positions.get(MARKET)
    if position is None:
        assert not trades
        return
    assert position.lots == lots
    assert position.cash == -sum(side * size * ticks for side, size, ticks in trades)
    assert position.cash == position.realised - position.cost
    # Each part that leaves is rounded by less than a billionth of a tick-lot.
    assert abs(Fraction(position.cost) - cost) <= Fraction(len(trades), 10**9)
    if lots == 0:
        assert position.cost == 0


PIECES: list[r.Record] = [
    *(fill(i + 1, f"t{i}", "a" if i % 3 else "", Side.BUY if i % 2 else Side.SELL, 90 + i, fee=f"0.{i}", venue_ns=i) for i in range(8)),
    fill(4, "t3", "", Side.BUY, 93, fee="0.3", venue_ns=3),
    *(reversal(f"t{i}") for i in (2, 5, 5, 99)),
    event(K.FUNDING, "-1.25"),
    event(K.DEPOSIT, "500", "d", venue_ns=50),
    event(K.AIRDROP, "0.00000000000000000000000000000000000000001", "x", "XYZ"),
    event(K.FEE, "-1000000000000000000000000000", "y", "XYZ"),
    event(K.SETTLEMENT, "2", "s", symbol=SYMBOL, lots=2, ticks=77),
    expect(),
    expect("1", 3),
]


@given(st.permutations(PIECES))
def test_any_order_of_delivery_gives_the_same_but_for_the_split_by_average_cost(pieces: list[r.Record]) -> None:
    def comparable(ledger: Ledger) -> tuple[object, ...]:
        positions = {market: (p.lots, p.cash, p.realised - p.cost) for market, p in ledger.positions.items()}
        timeline = {account: sorted(changes) for account, changes in ledger.timeline.items()}
        rest = (ledger.flows, ledger.fills, ledger.events, ledger.reversals, ledger.expected, ledger.flags, ledger.duplicates)
        return (positions, timeline, rest, unexpected_transfers(ledger))

    assert comparable(book(*pieces)) == comparable(book(*PIECES))


@given(st.permutations(PIECES))
def test_the_position_is_what_was_executed_less_what_was_taken_back_and_what_the_venue_did(pieces: list[r.Record]) -> None:
    ledger = book(*pieces)
    executed = sum(b.signed_lots for b in ledger.fills.values())
    back = sum(ledger.fills[key].signed_lots for key, counted in ledger.reversals.items() if counted)
    assert position_lots(ledger, *MARKET) == executed - back + sum(e.lots for e in ledger.events.values())
    assert book(*pieces).digest_parts() == ledger.digest_parts()


def test_sums_are_exact() -> None:
    assert exact_sum(Decimal("1E+40"), Decimal("1E-40")) - Decimal("1E+40") != 1
    assert exact_sum(exact_sum(Decimal("1E+40"), Decimal("1E-40")), Decimal("-1E+40")) == Decimal("1E-40")
