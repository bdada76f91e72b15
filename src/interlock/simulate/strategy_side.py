"""Our side of the wire: what we learn from the feed and the venue's answers, and how intents become requests.

Nothing here reads the exchange's book or queue. The numeric limits are those of the gate, compiled.
"""

from __future__ import annotations

from typing import Any

from interlock.market.book import FAR, PRICE_CHANGED, SIZE_CHANGED, UNCHANGED, cell_of, clear, refresh_side, set_level
from interlock.market.compiled import compiled, unsigned
from interlock.simulate.gate_limits import exceeds_collar, exceeds_position
from interlock.simulate.layout import (
    FINAL_CANCELLED,
    FINAL_EXPIRED,
    FINAL_FILLED,
    FINAL_REJECTED,
    NEVER_ARRIVED,
    REQUEST_CANCEL,
    REQUEST_PLACE,
    RESPONSE_ACCEPTED,
    RESPONSE_CANCELLED,
    RESPONSE_EXPIRED,
    RESPONSE_FILL,
    RESPONSE_UNKNOWN,
    STOP_FULL,
    STOP_NONE,
)
from interlock.simulate.reasons import Reason
from interlock.simulate.wire import send_request, take_budget
from interlock.strategies.contract import (
    CANCEL,
    PLACE,
    REPLACE,
    STATUS_CANCELLING,
    STATUS_FREE,
    STATUS_OPEN,
    STATUS_SENT,
    WAKE_ACCEPTED,
    WAKE_BAR,
    WAKE_CANCELLED,
    WAKE_ENDED,
    WAKE_FILL,
    WAKE_FRAME,
    WAKE_PRICE,
    WAKE_SIZE,
    WAKE_TRADE,
)

DEPTH, TRADE, CLEAR, MARK, FUNDING_NEXT, FUNDING = 0, 1, 3, 4, 5, 6
BAR_OPEN, BAR_HIGH, BAR_LOW, BAR_CLOSE, STATUS = 7, 8, 9, 10, 12

NONE = int(Reason.NONE)
BAD_INTENT = int(Reason.BAD_INTENT)
ORDER_SIZE = int(Reason.ORDER_SIZE)
POSITION_CAP = int(Reason.POSITION_CAP)
OPEN_ORDERS = int(Reason.OPEN_ORDERS)
COLLAR = int(Reason.COLLAR)
RATE_BUDGET = int(Reason.RATE_BUDGET)
NO_SLOT = int(Reason.NO_SLOT)
NOT_CANCELLABLE = int(Reason.NOT_CANCELLABLE)
NOT_TRADING = int(Reason.NOT_TRADING)

LARGEST = 1 << 53
"""Ticks and lots above it make no order: sums and differences of fewer than a thousand such fit 64 bits."""


@compiled()
def _refresh_step(world: Any, instrument: int, ticks: int) -> None:
    """Write the price unit in force at a price, and where its band begins and ends."""
    book = world.books[unsigned(instrument)]
    first = 0
    end = FAR
    step = 1
    for i in range(world.control.steps):
        row = world.steps[unsigned(i)]
        if row.instrument != instrument:
            continue
        if row.first_ticks <= ticks:
            first = row.first_ticks
            step = row.step_ticks
        elif row.first_ticks < end:
            end = row.first_ticks
    book.step_ticks = step
    book.band_first_ticks = first
    book.band_end_ticks = end


@compiled()
def _on_other_row(world: Any, depth: Any, row: Any) -> int:
    """Rows that are neither depth nor trades, as our side learns them; returns wake bits."""
    book = world.books[unsigned(row.instrument)]
    kind = row.kind
    if kind == BAR_OPEN:
        book.bar_open = row.ticks
    elif kind == BAR_HIGH:
        book.bar_high = row.ticks
    elif kind == BAR_LOW:
        book.bar_low = row.ticks
    elif kind == BAR_CLOSE:
        # Until the next bar, the worse extremes of this one are the executable prices we reckon with.
        book.bar_close = row.ticks
        book.bar_lots = row.lots
        book.bar_count += 1
        book.bar_ns = row.receive_ns
        book.mid_twice = 2 * row.ticks
        book.bid_ticks = book.bar_low
        book.ask_ticks = book.bar_high
        share = row.lots * book.participation_millionths // 1_000_000
        book.bid_lots = share
        book.ask_lots = share
        _refresh_step(world, row.instrument, row.ticks)
        return WAKE_BAR
    elif kind == FUNDING_NEXT:
        book.funding_next = row.lots
        book.funding_known = 1
        return WAKE_BAR
    elif kind == FUNDING:
        book.funding_last = row.lots
        book.funding_last_ns = row.exchange_ns
        return WAKE_BAR
    elif kind == MARK:
        book.mark_twice = 2 * row.ticks
    elif kind == STATUS:
        book.trading = row.lots
    elif kind == CLEAR:
        clear(book, depth)
        return WAKE_PRICE | WAKE_SIZE
    return 0


@compiled(inline=True)
def on_row(world: Any, depth: Any, row: Any) -> int:
    """A row of the feed reaches us; returns wake bits."""
    k = row.instrument
    book = world.books[unsigned(k)]
    wake = WAKE_FRAME
    if row.kind == DEPTH:
        changed = set_level(book, depth, row.side, cell_of(book, row.ticks), row.lots)
        if changed != UNCHANGED:
            refresh_side(book, depth, row.side)
            if changed == PRICE_CHANGED:
                wake |= WAKE_PRICE | WAKE_SIZE
                if world.control.steps > world.control.instruments:
                    _refresh_step(world, k, book.mid_twice // 2)
            elif changed == SIZE_CHANGED:
                wake |= WAKE_SIZE
    elif row.kind == TRADE:
        book.last_trade_ticks = row.ticks
        wake |= WAKE_TRADE
    else:
        wake |= _on_other_row(world, depth, row)
    book.exchange_ns = row.exchange_ns
    book.receive_ns = row.receive_ns
    if world.control.track_feed != 0:
        world.venues[unsigned(book.venue)].feed_latency_ns = row.receive_ns - row.exchange_ns
    return wake


@compiled(inline=True)
def _finish(world: Any, slot: int, final_state: int, reason: int, now_ns: int) -> None:
    """The order has ended as far as we know: record it and free its slot."""
    control = world.control
    order = world.orders[unsigned(slot)]
    book = world.books[unsigned(order.instrument)]
    if order.side > 0:
        book.open_buy_lots -= order.leaves_lots
    else:
        book.open_sell_lots -= order.leaves_lots
    book.open_orders -= 1
    record = world.order_records[unsigned(control.orders_n)]
    record.seq = order.seq
    record.tag = order.tag
    record.instrument = order.instrument
    record.side = order.side
    record.tif = order.tif
    record.ticks = order.ticks
    record.lots = order.lots
    record.filled_lots = order.lots - order.leaves_lots
    record.decided_ns = order.decided_ns
    arrived_ns = world.resting[unsigned(slot)].arrived_ns
    record.arrived_after_us = (arrived_ns - order.decided_ns) // 1000 if arrived_ns > 0 else NEVER_ARRIVED
    record.final_ns = now_ns
    record.final_state = final_state
    record.reason = reason
    control.orders_n += 1
    if control.orders_n + world.orders.shape[0] >= world.order_records.shape[0] and control.stop == STOP_NONE:
        control.stop = STOP_FULL
    order.status = STATUS_FREE
    order.tag = -1
    view = world.moment[0]
    while view.orders_high > 0 and world.orders[unsigned(view.orders_high - 1)].status == STATUS_FREE:
        view.orders_high -= 1


@compiled()
def on_response(world: Any) -> int:
    """The next answer of a venue reaches us; returns wake bits (0 if it concerns nothing we still know)."""
    control = world.control
    message = world.responses[unsigned(control.response_head & (world.responses.shape[0] - 1))]
    control.response_head += 1
    slot = message.slot
    order = world.orders[unsigned(slot)]
    if order.status == STATUS_FREE or order.seq != message.seq:
        return 0
    kind = message.kind
    wake = WAKE_ENDED
    if kind == RESPONSE_ACCEPTED:
        wake = WAKE_ACCEPTED
        if order.status == STATUS_SENT:
            order.status = STATUS_OPEN
    elif kind == RESPONSE_FILL:
        book = world.books[unsigned(order.instrument)]
        order.leaves_lots -= message.lots
        book.position_lots += order.side * message.lots
        if order.side > 0:
            book.open_buy_lots -= message.lots
        else:
            book.open_sell_lots -= message.lots
        control.local_fills += 1
        wake = WAKE_FILL
        if order.leaves_lots == 0:
            _finish(world, slot, FINAL_FILLED, NONE, message.due_ns)
    elif kind == RESPONSE_CANCELLED:
        wake = WAKE_CANCELLED
        _finish(world, slot, FINAL_CANCELLED, message.ticks, message.due_ns)
    elif kind == RESPONSE_UNKNOWN:
        # Our cancel overtook the order, which is still on its way: its own answer will wake the strategy.
        order.status = STATUS_SENT
        wake = 0
    elif kind == RESPONSE_EXPIRED:
        _finish(world, slot, FINAL_EXPIRED, message.ticks, message.due_ns)
    else:
        _finish(world, slot, FINAL_REJECTED, message.ticks, message.due_ns)
    return wake


@compiled(inline=True)
def _free_slot(world: Any) -> int:
    """The lowest free slot, or -1."""
    for slot in range(world.orders.shape[0]):
        if world.orders[unsigned(slot)].status == STATUS_FREE:
            return slot
    return -1


@compiled(inline=True)
def _denial(world: Any, intent: Any) -> int:
    """Why our own limits deny a new order, or NONE. The order that a REPLACE gives up still counts: its cancel may come too late."""
    control = world.control
    if intent.instrument < 0 or intent.instrument >= world.control.instruments:
        return BAD_INTENT
    if intent.ticks > LARGEST or intent.lots > LARGEST:
        return BAD_INTENT
    if intent.lots <= 0 or intent.ticks <= 0 or (intent.side != 1 and intent.side != -1) or intent.tif < 0 or intent.tif > 3:
        return BAD_INTENT
    book = world.books[unsigned(intent.instrument)]
    if book.trading == 0:
        return NOT_TRADING
    if intent.lots > book.max_lots:
        return ORDER_SIZE
    if exceeds_position(book.position_lots, book.open_buy_lots, book.open_sell_lots, intent.side, intent.lots, book.max_position_lots):
        return POSITION_CAP
    if book.open_orders >= control.max_open_orders:
        return OPEN_ORDERS
    if book.collar_millionths > 0 and exceeds_collar(intent.side, intent.ticks, book.mid_twice, book.collar_millionths):
        return COLLAR
    return NONE


@compiled(inline=True)
def _place(world: Any, intent: Any, slot: int, now_ns: int) -> None:
    """Give an admitted order its slot and number and put it on the wire."""
    control = world.control
    book = world.books[unsigned(intent.instrument)]
    order = world.orders[unsigned(slot)]
    order.seq = control.next_seq
    control.next_seq += 1
    control.submitted += 1
    order.status = STATUS_SENT
    order.tag = intent.tag
    order.instrument = intent.instrument
    order.side = intent.side
    order.tif = intent.tif
    order.ticks = intent.ticks
    order.lots = intent.lots
    order.leaves_lots = intent.lots
    order.decided_ns = now_ns
    order.decision_twice = book.mid_twice
    order.reduce_only = intent.reduce_only
    world.resting[unsigned(slot)].leaves_lots = 0
    world.resting[unsigned(slot)].arrived_ns = 0
    view = world.moment[0]
    if slot >= view.orders_high:
        view.orders_high = slot + 1
    if intent.side > 0:
        book.open_buy_lots += intent.lots
    else:
        book.open_sell_lots += intent.lots
    book.open_orders += 1
    send_request(world, REQUEST_PLACE, slot, order.seq, intent.instrument, now_ns, False)


@compiled(inline=True)
def _cancel(world: Any, slot: int, now_ns: int) -> None:
    """Put a cancel on the wire."""
    order = world.orders[unsigned(slot)]
    order.status = STATUS_CANCELLING
    send_request(world, REQUEST_CANCEL, slot, order.seq, order.instrument, now_ns, True)


@compiled(inline=True)
def _cancellable(world: Any, slot: int) -> bool:
    return 0 <= slot < world.orders.shape[0] and (
        world.orders[unsigned(slot)].status == STATUS_OPEN or world.orders[unsigned(slot)].status == STATUS_SENT
    )


@compiled()
def apply_intents(world: Any, n: int, now_ns: int) -> None:
    """Admit or deny each intent by limits and message budget and send what is admitted. A denied REPLACE leaves the old order alone."""
    for i in range(n):
        intent = world.intents[unsigned(i)]
        if intent.kind == CANCEL:
            if not _cancellable(world, intent.slot):
                world.counts[unsigned(NOT_CANCELLABLE)] += 1
                continue
            venue = world.venues[world.books[world.orders[unsigned(intent.slot)].instrument].venue]
            if not take_budget(venue, now_ns, venue.cancel_weight, True):
                world.counts[unsigned(RATE_BUDGET)] += 1
                continue
            _cancel(world, intent.slot, now_ns)
            continue
        if intent.kind != PLACE and intent.kind != REPLACE:
            world.counts[unsigned(BAD_INTENT)] += 1
            continue
        if intent.kind == REPLACE and not _cancellable(world, intent.slot):
            world.counts[unsigned(NOT_CANCELLABLE)] += 1
            continue
        reason = _denial(world, intent)
        if reason == NONE and intent.kind == REPLACE and world.orders[unsigned(intent.slot)].instrument != intent.instrument:
            reason = BAD_INTENT
        if reason != NONE:
            world.counts[unsigned(reason)] += 1
            continue
        slot = _free_slot(world)
        if slot < 0:
            world.counts[unsigned(NO_SLOT)] += 1
            continue
        venue = world.venues[unsigned(world.books[unsigned(intent.instrument)].venue)]
        weight = venue.place_weight
        if intent.kind == REPLACE:
            weight += venue.cancel_weight
        if not take_budget(venue, now_ns, weight, False):
            world.counts[unsigned(RATE_BUDGET)] += 1
            continue
        if intent.kind == REPLACE:
            _cancel(world, intent.slot, now_ns)
        _place(world, intent, slot, now_ns)
