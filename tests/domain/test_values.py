"""FX quotes, clocks, client order ids, order states and fills."""

import re
import time
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domain.test_instruments import instrument

from interlock.domain.clock import Clock, ManualClock, SystemClock
from interlock.domain.errors import CurrencyMismatch, UsageError
from interlock.domain.fills import Fill
from interlock.domain.fx import FxQuote, FxSource
from interlock.domain.ids import ID_WIDTH, ClientId, next_epoch, parse_client_id
from interlock.domain.money import BTC, KRW, USDT, Money
from interlock.domain.orders import Liquidity, OrderState, Side

QUOTE = FxQuote(USDT, KRW, Decimal(1400), Decimal(1402), Decimal(1), FxSource.BOOK, 1_000)


def test_conversion_goes_at_the_side_that_costs() -> None:
    assert QUOTE.sell_base(Money(10, USDT)) == Money(14_000, KRW)
    assert QUOTE.buy_base(Money(14_020, KRW)) == Money(10, USDT)
    assert QUOTE.mark_base(Money(10, USDT)) == Money(14_010, KRW)
    assert QUOTE.mark_quote(Money(14_010, KRW)) == Money(10, USDT)
    assert QUOTE.sell_base(QUOTE.buy_base(Money(14_020, KRW))) < Money(14_020, KRW)


def test_uncertainty_is_half_the_spread_and_half_a_tick() -> None:
    assert QUOTE.uncertainty == Decimal("1.5") / 1401
    assert QUOTE.age_ns(1_500) == 500
    assert QUOTE.age_ns(400) == -600


def test_the_wrong_currency_is_refused() -> None:
    with pytest.raises(CurrencyMismatch, match="expected an amount in USDT, found KRW"):
        QUOTE.sell_base(Money(10, KRW))  # type: ignore[arg-type]
    with pytest.raises(CurrencyMismatch):
        QUOTE.buy_base(Money(10, BTC))  # type: ignore[arg-type]


@pytest.mark.parametrize(("bid", "ask", "tick"), [("0", "1", "0"), ("-1", "1", "0"), ("2", "1", "0"), ("1", "1", "-1")])
def test_a_quote_is_positive_and_not_crossed(bid: str, ask: str, tick: str) -> None:
    with pytest.raises(ValueError, match="0 < bid <= ask"):
        FxQuote(USDT, KRW, Decimal(bid), Decimal(ask), Decimal(tick), FxSource.BOOK, 0)
    FxQuote(USDT, KRW, Decimal(1), Decimal(1), Decimal(0), FxSource.CONFIGURED, 0)


def test_the_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(100)
    ports: list[Clock] = [clock, SystemClock()]
    assert [type(port.now_ns()) for port in ports] == [int, int]
    assert (clock.now_ns(), clock.monotonic_ns()) == (100, 0)
    clock.advance(5)
    clock.jump_wall(-50)
    assert (clock.now_ns(), clock.monotonic_ns()) == (55, 5)
    with pytest.raises(ValueError, match="jump_wall"):
        clock.advance(-1)


def test_the_system_clock_is_the_machine_s() -> None:
    clock = SystemClock()
    before = time.time_ns()
    assert before <= clock.now_ns() <= time.time_ns()
    first = clock.monotonic_ns()
    assert clock.monotonic_ns() >= first


tags = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=4)
ids = st.builds(ClientId, tags, st.integers(0, 36**7 - 1), st.integers(0, 36**9 - 1), st.integers(0, 2**36 - 1))


@given(ids)
def test_an_id_reads_back_as_it_was_written(made: ClientId) -> None:
    text = str(made)
    assert len(text) == ID_WIDTH <= 36
    assert re.fullmatch(r"[.A-Z:/a-z0-9_-]{1,36}", text)
    assert parse_client_id(text, made.tag) == made


@given(ids, ids)
def test_two_ids_are_two_texts(a: ClientId, b: ClientId) -> None:
    assert (str(a) == str(b)) == (a == b)


@given(ids, tags)
def test_an_id_of_another_tag_is_foreign(made: ClientId, tag: str) -> None:
    assert (parse_client_id(str(made), tag) is None) == (tag != made.tag)


GOOD = str(ClientId("mm01", 1, 2, 3))


@pytest.mark.parametrize("text", ["", "mm01", GOOD[:-1], GOOD + "0", GOOD.upper(), GOOD[:-1] + "-", "web_" + GOOD[4:], " " + GOOD[1:]])
def test_what_is_not_ours_is_foreign(text: str) -> None:
    assert parse_client_id(text, "mm01") is None
    assert parse_client_id(GOOD, "mm01") == ClientId("mm01", 1, 2, 3)


@pytest.mark.parametrize("tag", ["", "abc", "abcde", "ABCD", "ab-d", "abc "])
def test_tags_are_four_of_the_alphabet(tag: str) -> None:
    with pytest.raises(UsageError, match="strategy tag"):
        ClientId(tag, 0, 0, 0)


@pytest.mark.parametrize("parts", [(36**7, 0, 0), (0, 36**9, 0), (0, 0, 36**7), (-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_parts_that_do_not_fit_their_width_are_refused(parts: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="client id"):
        str(ClientId("mm01", *parts))


def test_an_epoch_rises_even_when_the_clock_went_back() -> None:
    assert next_epoch(0, 1_700_000_000) == 1_700_000_000
    assert next_epoch(1_700_000_000, 1_700_000_000) == 1_700_000_001
    assert next_epoch(1_700_000_000, 5) == 1_700_000_001


def test_final_states_and_only_they_are_final() -> None:
    final = {"not_sent", "filled", "cancelled", "expired", "rejected", "absent"}
    assert {state.value for state in OrderState if state.final} == final
    # What is unknown may still change the position.
    assert not OrderState.UNKNOWN.final
    assert not OrderState.QUARANTINED.final


def test_a_side_is_the_sign_of_what_it_does_to_the_position() -> None:
    assert (Side.BUY, Side.SELL) == (1, -1)
    assert Side.BUY.opposite is Side.SELL
    assert Side.SELL.opposite is Side.BUY


def fill(ticks: int = 100, lots: int = 5, trade_id: str = "t1") -> Fill:
    krw = instrument(lot=Decimal("0.1"))
    return Fill(krw, "main", trade_id, GOOD, Side.BUY, ticks, lots, Liquidity.MAKER, Money(0, KRW), 1, 2)


def test_a_fill_knows_its_exact_value_and_its_identity() -> None:
    assert (fill().price, fill().quantity) == (Decimal("1.00"), Decimal("0.5"))
    assert fill().notional == Money(Decimal("0.5"), KRW)
    assert fill().key == fill().key == ("upbit", "main", "KRW-A", "t1")
    assert fill(trade_id="t2").key != fill().key
    assert fill().instrument.valid_from == date(1970, 1, 1)
    for ticks, lots in ((0, 1), (1, 0), (-1, 1), (1, -1)):
        with pytest.raises(ValueError, match="expected ticks > 0"):
            fill(ticks, lots)
