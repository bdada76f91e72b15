"""What the fake venue says, and what of it is evidence."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.gate.limit_cases import intent

from interlock.domain.ids import ClientId
from interlock.domain.orders import Liquidity, OrderState, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate import venue_fake as v
from interlock.gate.order_wire import ToCancel
from interlock.venues.fake import wire

CID = str(ClientId("demo", 1_800_000_000, 77, 5))


def answer(body: wire.Outcome | None = None, status: int = 200, code: str = "") -> wire.Answer:
    return wire.Answer(request_id=1, status=status, code=code, text="", venue_ns=1, limit=3_000, remaining=3_000, reset_ns=1, body=body)


def outcome(**more: Any) -> wire.Outcome:
    given: dict[str, Any] = {"client_id": CID, "revision": 0, "venue_order_id": "v1", "state": OrderState.ACKED, **more}
    return wire.Outcome(**given)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (answer(outcome()), OrderState.ACKED),
        (answer(outcome(state=OrderState.OPEN)), OrderState.OPEN),
        (answer(status=400, code="post_only_would_take"), OrderState.REJECTED),
        (answer(status=429, code="rate_limited"), OrderState.REJECTED),
        # Everything else decides nothing.
        (answer(outcome(state=OrderState.FILLED)), None),
        (answer(outcome(client_id="somebody else's")), None),
        (answer(outcome(revision=1)), None),
        (answer(outcome(code="e77_unlisted")), None),
        (answer(outcome(status=500)), None),
        (answer(), None),
        (answer(outcome(), status=504), None),
        (answer(status=500, code="internal_error"), None),
        (answer(status=400, code="order_not_found"), None),
        (answer(status=400, code="e77_unlisted"), None),
        (answer(status=200, code="e77_unlisted"), None),
    ],
)
def test_only_a_clear_yes_or_a_listed_no_decides(said: wire.Answer, state: OrderState | None) -> None:
    found = v.answered(said, CID, 0, 5)
    if state is None:
        assert isinstance(found, r.SendUnknown)
    else:
        assert isinstance(found, r.Answered)
        assert found.state is state
        assert found.client_id == CID


def test_a_cancel_that_was_not_found_is_only_an_answer() -> None:
    assert v.cancel_answered(answer(outcome()), CID, 5).accepted
    refused = v.cancel_answered(answer(status=400, code="order_not_found"), CID, 5)
    assert (refused.accepted, refused.code) == (False, "order_not_found")


def view(state: OrderState) -> wire.OrderView:
    return wire.OrderView(
        client_id=CID,
        revision=0,
        venue_order_id="v1",
        symbol="BTCUSDT",
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.GTC,
        reduce_only=False,
        ticks=1,
        lots=2,
        filled_lots=1,
        state=state,
        code="",
        updated_ns=9,
    )


@pytest.mark.parametrize("state", list(OrderState))
def test_a_report_keeps_only_states_that_an_order_at_a_venue_can_have(state: OrderState) -> None:
    found = v.reported(view(state), "stream", 5)
    at_venue = {"open", "partial", "filled", "cancelled", "expired", "rejected"}
    assert found.state is (state if state.value in at_venue else OrderState.UNKNOWN)
    assert (found.filled_lots, found.lots, found.venue_ns, found.source) == (1, 2, 9, "stream")


def execution(**more: Any) -> wire.Execution:
    given: dict[str, Any] = {
        "trade_id": "t1",
        "client_id": CID,
        "venue_order_id": "v1",
        "symbol": "BTCUSDT",
        "side": Side.SELL,
        "ticks": 10,
        "lots": 3,
        "liquidity": Liquidity.TAKER,
        "fee": "0.25",
        "fee_currency": "USDT",
        "venue_ns": 9,
        **more,
    }
    return wire.Execution(**given)


def test_executions_and_their_reversals() -> None:
    fill = v.executed(execution(), "bybit", "main", 5)
    assert isinstance(fill, r.Filled)
    assert (fill.fee, fill.lots, fill.side) == (Decimal("0.25"), 3, Side.SELL)
    back = v.executed(execution(reversed=True), "bybit", "main", 5)
    assert isinstance(back, r.FillReversed)
    assert back.trade_id == fill.trade_id
    for fee in ("NaN", "Infinity", "a lot", ""):
        assert v.executed(execution(fee=fee), "bybit", "main", 5) is None


def test_ledger_entries_of_known_kinds_with_real_amounts() -> None:
    entry = wire.LedgerEntry(venue_id="l1", kind="funding", currency="USDT", amount="-1.5", symbol="BTCUSDT", venue_ns=9)
    found = v.booked(entry, "bybit", "main", 5)
    assert found is not None
    assert (found.kind, found.amount) == (r.LedgerKind.FUNDING, Decimal("-1.5"))
    assert v.booked(msgspec.structs.replace(entry, kind="windfall"), "bybit", "main", 5) is None
    assert v.booked(msgspec.structs.replace(entry, amount="NaN"), "bybit", "main", 5) is None


def test_frames_say_what_was_intended_and_ids_keep_requests_apart() -> None:
    made = v.FakeWire(2_000_000_000)
    order = intent(client_id=CID)
    placed = wire.decode_request(made.placement(order, 123))
    assert isinstance(placed, wire.Place)
    assert (placed.order.client_id, placed.order.lots, placed.order.ticks, placed.sign_ns) == (CID, order.lots, order.ticks, 123)
    amended = wire.decode_request(made.amendment(intent(client_id=CID, revision=2, lots=5), 124))
    assert isinstance(amended, wire.Amend)
    assert (amended.client_id, amended.revision, amended.lots, amended.receive_window_ns) == (CID, 2, 5, 2_000_000_000)
    assert len({v.request_id(CID, 0), v.request_id(CID, 2), v.request_id(str(ClientId("demo", 1, 78, 5)), 0)}) == 3
    cancelled = wire.decode_request(made.cancellation([ToCancel(CID, "BTCUSDT")], 9, 125).frame)
    assert isinstance(cancelled, wire.Cancel)
    assert (cancelled.client_id, cancelled.request_id) == (CID, 9)
    assert made.placement(order, 123) == made.placement(order, 123)


def test_texts_without_end_decide_nothing_and_fit_a_record() -> None:
    endless = "x" * (1 << 20)
    for said in (answer(outcome(venue_order_id=endless)), answer(status=400, code=endless)):
        found = v.answered(said, CID, 0, 5)
        assert isinstance(found, r.SendUnknown)
        assert len(r.encode(found)) < 1_000
    assert len(r.encode(v.cancel_answered(answer(status=400, code=endless), CID, 5))) < 1_000
