"""The exchange's side of the matching model: market events and our requests against one instrument's true book.

Assumptions are listed in docs/model.md. In short: our orders do not move the market; a resting order fills when trades at its price have used
up the queue ahead of it, when a trade goes through its price, or when the opposite best price reaches it; a taking order walks the book and
remembers what it took until the level is refreshed by more; bars fill at the worse of the next bar's extremes within a share of its volume.
"""

from __future__ import annotations

from typing import Any

from interlock.market.book import FAR, cell_of, clear, lots_at, refresh_mid, refresh_top, set_level
from interlock.market.compiled import compiled, unsigned
from interlock.simulate import queue
from interlock.simulate.layout import (
    QUEUE_TRADE_THROUGH,
    REQUEST_PLACE,
    RESPONSE_ACCEPTED,
    RESPONSE_CANCELLED,
    RESPONSE_EXPIRED,
    RESPONSE_FILL,
    RESPONSE_REJECTED,
    RESPONSE_UNKNOWN,
    STOP_FULL,
    STOP_LIQUIDATED,
    STOP_NONE,
    STOP_OVERFLOW,
)
from interlock.simulate.reasons import Reason
from interlock.simulate.wire import count_event, overloaded, send_response
from interlock.strategies.contract import TIF_FOK, TIF_GTC, TIF_IOC, TIF_POST_ONLY

# Members of an IntEnum are frozen into compiled code as plain integers.
DEPTH, TRADE, CLEAR, MARK, FUNDING = 0, 1, 3, 4, 6
BAR_OPEN, BAR_HIGH, BAR_LOW, BAR_CLOSE, STATUS = 7, 8, 9, 10, 12

NONE = int(Reason.NONE)
PRICE_STEP = int(Reason.PRICE_STEP)
QUANTITY = int(Reason.QUANTITY)
MIN_NOTIONAL = int(Reason.MIN_NOTIONAL)
POST_ONLY_WOULD_TAKE = int(Reason.POST_ONLY_WOULD_TAKE)
IOC_REST = int(Reason.IOC_REST)
FOK_NOT_FILLABLE = int(Reason.FOK_NOT_FILLABLE)
SELF_MATCH = int(Reason.SELF_MATCH)
INSUFFICIENT_BALANCE = int(Reason.INSUFFICIENT_BALANCE)
INSUFFICIENT_MARGIN = int(Reason.INSUFFICIENT_MARGIN)
OVERLOAD = int(Reason.OVERLOAD)
HALTED = int(Reason.HALTED)
CANCELLED = int(Reason.CANCELLED)
CANCEL_TOO_LATE = int(Reason.CANCEL_TOO_LATE)
REDUCE_ONLY = int(Reason.REDUCE_ONLY)
BAR_NOT_REACHED = int(Reason.BAR_NOT_REACHED)
PRICE_BAND = int(Reason.PRICE_BAND)


@compiled(inline=True)
def price_step(world: Any, instrument: int, ticks: int) -> int:
    """The venue's price unit at a price, in ticks."""
    step = 1
    for i in range(world.control.steps):
        row = world.steps[unsigned(i)]
        if row.instrument == instrument and row.first_ticks <= ticks:
            step = row.step_ticks
    return step


@compiled(inline=True)
def _reserve(world: Any, instrument: int, slot: int, lots: int) -> None:
    """Hold (or with negative lots release) what a resting order could cost at most."""
    book = world.exchange_books[unsigned(instrument)]
    order = world.orders[unsigned(slot)]
    if order.side > 0:
        venue = world.venues[unsigned(book.venue)]
        venue.reserved_cash += lots * book.lot_unit * (order.ticks * book.price_unit)
    else:
        book.reserved_lots += lots


@compiled()
def fill(world: Any, instrument: int, slot: int, lots: int, ticks: int, maker: int, now_ns: int) -> None:
    """Execute `lots` of an order at `ticks`: position, cash, the record, and the answer under way to us."""
    control = world.control
    book = world.exchange_books[unsigned(instrument)]
    venue = world.venues[unsigned(book.venue)]
    order = world.orders[unsigned(slot)]
    rest = world.resting[unsigned(slot)]
    rest.leaves_lots -= lots
    if rest.leaves_lots == 0:
        rest.final_ns = now_ns
    if maker:
        _reserve(world, instrument, slot, -lots)
    book.position_lots += order.side * lots
    notional = lots * book.lot_unit * (ticks * book.price_unit)
    rate = book.maker_rate if maker else book.taker_rate
    venue.cash -= order.side * notional + rate * notional
    record = world.fills[unsigned(control.fills_n)]
    record.exchange_ns = now_ns
    record.seq = order.seq
    record.tag = order.tag
    record.instrument = instrument
    record.side = order.side
    record.maker = maker
    record.ticks = ticks
    record.lots = lots
    refresh_mid(book)
    record.mid_twice = book.mid_twice
    record.arrival_twice = rest.arrival_twice
    record.decision_twice = order.decision_twice
    record.decided_ns = order.decided_ns
    record.position_lots = book.position_lots
    control.fills_n += 1
    # One event fills at most as often as answers can be under way.
    if control.fills_n + world.responses.shape[0] >= world.fills.shape[0] and control.stop == STOP_NONE:
        control.stop = STOP_FULL
    send_response(world, RESPONSE_FILL, slot, order.seq, instrument, now_ns, lots, ticks)


@compiled(inline=True)
def span_none(book: Any) -> None:
    """None of our orders rests in the book."""
    book.own_bid_low = FAR
    book.own_bid_high = -FAR
    book.own_ask_low = FAR
    book.own_ask_high = -FAR


@compiled(inline=True)
def _span(book: Any, side: int, cell: int) -> None:
    """Widen the span of our resting orders by one; most events lie outside it and need not look at them."""
    if side > 0:
        book.own_bid_low = min(book.own_bid_low, cell)
        book.own_bid_high = max(book.own_bid_high, cell)
    else:
        book.own_ask_low = min(book.own_ask_low, cell)
        book.own_ask_high = max(book.own_ask_high, cell)


@compiled(inline=True)
def _remove_live(world: Any, instrument: int, at: int) -> None:
    """Take the order at position `at` off the instrument's list, keeping time priority."""
    book = world.exchange_books[unsigned(instrument)]
    book.live_n -= 1
    for i in range(at, book.live_n):
        ours = world.live[unsigned(instrument), unsigned(i)]
        after = world.live[unsigned(instrument), unsigned(i + 1)]
        ours.slot = after.slot
        ours.side = after.side
        ours.cell = after.cell
    span_none(book)
    for i in range(book.live_n):
        ours = world.live[unsigned(instrument), unsigned(i)]
        _span(book, ours.side, ours.cell)


@compiled()
def _taken_at(world: Any, instrument: int, side: int, cell: int) -> int:
    """Lots of a level that we took and the feed has not refreshed."""
    for i in range(world.control.taken_n):
        t = world.taken[unsigned(i)]
        if t.instrument == instrument and t.side == side and t.cell == cell:
            return t.lots
    return 0


@compiled()
def _untaken_best(world: Any, depth: Any, instrument: int, side: int) -> int:
    """The best cell of a side that shows more than we took of it; beyond all cells if there is none."""
    book = world.exchange_books[unsigned(instrument)]
    cell = book.bid_cell if side > 0 else book.ask_cell
    while 0 <= cell < book.cells:
        if lots_at(book, depth, side, cell) > _taken_at(world, instrument, side, cell):
            return cell
        cell -= side
    return -side * FAR


@compiled()
def _fill_reducing(world: Any, instrument: int, slot: int, lots: int, now_ns: int) -> None:
    """Fill a resting reduce-only order, never past flat; the part that would open a position ends the order."""
    book = world.exchange_books[unsigned(instrument)]
    order = world.orders[unsigned(slot)]
    room = min(lots, max(0, -order.side * book.position_lots))
    if room > 0:
        fill(world, instrument, slot, room, order.ticks, 1, now_ns)
    if room < lots:
        _reserve(world, instrument, slot, -world.resting[unsigned(slot)].leaves_lots)
        _end(world, RESPONSE_EXPIRED, instrument, slot, REDUCE_ONLY, now_ns)


@compiled()
def _take(world: Any, instrument: int, side: int, cell: int, lots: int) -> None:
    """Remember that we took lots of a level."""
    control = world.control
    for i in range(control.taken_n):
        t = world.taken[unsigned(i)]
        if t.instrument == instrument and t.side == side and t.cell == cell:
            t.lots += lots
            return
    if control.taken_n == world.taken.shape[0]:
        control.stop = STOP_OVERFLOW
        return
    t = world.taken[unsigned(control.taken_n)]
    t.instrument = instrument
    t.side = side
    t.cell = cell
    t.lots = lots
    control.taken_n += 1
    world.exchange_books[unsigned(instrument)].taken_n += 1


@compiled()
def _refresh_taken(world: Any, instrument: int, side: int, cell: int, before_lots: int, now_lots: int) -> None:
    """A level changed: growth beyond what was displayed refreshes it, a shrinking level shrinks what we remember."""
    control = world.control
    for i in range(control.taken_n):
        t = world.taken[unsigned(i)]
        if t.instrument == instrument and t.side == side and t.cell == cell:
            if now_lots <= before_lots and now_lots > 0:
                t.lots = min(t.lots, now_lots)
                return
            control.taken_n -= 1
            world.taken[unsigned(i)] = world.taken[unsigned(control.taken_n)]
            world.exchange_books[unsigned(instrument)].taken_n -= 1
            return


@compiled()
def _meet_depth(world: Any, depth: Any, instrument: int, side: int, cell: int, before: int, lots: int, now_ns: int) -> None:
    """A level that concerns our orders was set. Kept out of the hot path: few events come here."""
    control = world.control
    book = world.exchange_books[unsigned(instrument)]
    best = book.bid_cell if side > 0 else book.ask_cell
    if book.taken_n > 0:
        best = _untaken_best(world, depth, instrument, side)
    at = 0
    while at < book.live_n:
        ours = world.live[unsigned(instrument), unsigned(at)]
        reached = False
        if ours.side == side:
            if ours.cell == cell:
                queue.on_depth(world.resting[unsigned(ours.slot)], before, lots, control.queue_model, control.queue_power)
        elif side < 0:
            reached = best <= ours.cell
        else:
            reached = best >= ours.cell
        if reached:
            slot = ours.slot
            if world.orders[unsigned(slot)].reduce_only != 0:
                _fill_reducing(world, instrument, slot, world.resting[unsigned(slot)].leaves_lots, now_ns)
            else:
                fill(world, instrument, slot, world.resting[unsigned(slot)].leaves_lots, world.orders[unsigned(slot)].ticks, 1, now_ns)
            _remove_live(world, instrument, at)
        else:
            at += 1


@compiled(inline=True)
def on_depth(world: Any, depth: Any, instrument: int, side: int, ticks: int, lots: int, now_ns: int) -> None:
    """A level of the true book is set; resting orders queue, or are reached by the opposite best price."""
    book = world.exchange_books[unsigned(instrument)]
    cell = cell_of(book, ticks)
    before = depth[unsigned((book.bids_at if side > 0 else book.asks_at) + cell)]
    set_level(book, depth, side, cell, lots)
    if book.taken_n > 0:
        _refresh_taken(world, instrument, side, cell, before, lots)
    # Nearly every event lies outside the span of our orders and brings no best price to them; no branch on the side here.
    bid_low = book.own_bid_low
    bid_high = book.own_bid_high
    ask_low = book.own_ask_low
    ask_high = book.own_ask_high
    bid_reach = book.bid_cell - ask_low
    ask_reach = bid_high - book.ask_cell
    low = bid_low if side > 0 else ask_low
    high = bid_high if side > 0 else ask_high
    reach = bid_reach if side > 0 else ask_reach
    if ((cell < low) | (cell > high)) & (reach < 0):
        return
    _meet_depth(world, depth, instrument, side, cell, before, lots, now_ns)


@compiled()
def _meet_trade(world: Any, instrument: int, side: int, ticks: int, lots: int, now_ns: int) -> None:
    """A trade at or through the price of an order of ours. Kept out of the hot path."""
    control = world.control
    book = world.exchange_books[unsigned(instrument)]
    used = 0
    at = 0
    while at < book.live_n:
        if world.live[unsigned(instrument), unsigned(at)].side == side:
            at += 1
            continue
        slot = world.live[unsigned(instrument), unsigned(at)].slot
        order = world.orders[unsigned(slot)]
        rest = world.resting[unsigned(slot)]
        lots_filled = 0
        better = (order.ticks - ticks) * order.side
        if better > 0:
            lots_filled = rest.leaves_lots
        elif better == 0 and control.queue_model != QUEUE_TRADE_THROUGH:
            queue.on_trade(rest, lots)
            reached = queue.reached_lots(rest)
            if reached > 0:
                if control.partial_fills == 0:
                    lots_filled = rest.leaves_lots
                else:
                    # Earlier orders of ours at this price had this part of the trade.
                    lots_filled = min(rest.leaves_lots, max(reached - used, 0))
                    used += lots_filled
                rest.front_lots = 0.0
        if lots_filled > 0:
            if order.reduce_only != 0:
                _fill_reducing(world, instrument, slot, lots_filled, now_ns)
            else:
                fill(world, instrument, slot, lots_filled, order.ticks, 1, now_ns)
        if lots_filled > 0 and rest.leaves_lots == 0:
            _remove_live(world, instrument, at)
        else:
            at += 1


@compiled(inline=True)
def on_trade(world: Any, instrument: int, side: int, ticks: int, lots: int, now_ns: int) -> None:
    """A trade prints: our orders at a better price fill whole, those at its price as far as it went past the queue ahead."""
    book = world.exchange_books[unsigned(instrument)]
    cell = cell_of(book, ticks)
    if cell > book.own_bid_high and cell < book.own_ask_low:
        return
    _meet_trade(world, instrument, side, ticks, lots, now_ns)


@compiled()
def _on_clear(world: Any, depth: Any, instrument: int) -> None:
    """The book is emptied before a snapshot. Resting orders keep their queue; nothing is reached by an empty side."""
    book = world.exchange_books[unsigned(instrument)]
    clear(book, depth)


@compiled()
def _on_bar(world: Any, instrument: int, kind: int, ticks: int, lots: int, now_ns: int) -> None:
    """A bar grows row by row; when complete, waiting orders fill at its worse extreme within a share of its volume, or expire."""
    book = world.exchange_books[unsigned(instrument)]
    if kind == BAR_OPEN:
        book.bar_open = ticks
        return
    if kind == BAR_HIGH:
        book.bar_high = ticks
        return
    if kind == BAR_LOW:
        book.bar_low = ticks
        return
    # The bar that orders were decided on is the one before, and a bar without volume shows no price that was there.
    left = lots * book.participation_millionths // 1_000_000 if book.bar_lots > 0 else 0
    book.bar_close = ticks
    book.bar_lots = lots
    book.bar_count += 1
    book.mid_twice = 2 * ticks
    at = 0
    while book.live_n > 0:
        slot = world.live[unsigned(instrument), unsigned(at)].slot
        order = world.orders[unsigned(slot)]
        rest = world.resting[unsigned(slot)]
        price = book.bar_high if order.side > 0 else book.bar_low
        _reserve(world, instrument, slot, -rest.leaves_lots)
        if (order.ticks - price) * order.side >= 0 and left > 0:
            lots_filled = min(left, rest.leaves_lots)
            if order.reduce_only != 0:
                lots_filled = min(lots_filled, max(0, -order.side * book.position_lots))
            if order.tif == TIF_FOK and lots_filled < order.lots:
                lots_filled = 0
            if lots_filled > 0:
                left -= lots_filled
                fill(world, instrument, slot, lots_filled, price, 0, now_ns)
        if rest.leaves_lots > 0:
            _end(world, RESPONSE_EXPIRED, instrument, slot, BAR_NOT_REACHED, now_ns)
        _remove_live(world, instrument, at)


@compiled(inline=True)
def _mark_twice(book: Any) -> int:
    """Twice the mark price; where none is published, the mid of this instant stands for it."""
    if book.mark_twice > 0:
        return book.mark_twice
    refresh_mid(book)
    return book.mid_twice


@compiled()
def _on_funding(world: Any, instrument: int, ticks: int, rate: int, now_ns: int) -> None:
    """Funding settles: paid on mark times size by what is held at this instant, and by nothing else."""
    control = world.control
    book = world.exchange_books[unsigned(instrument)]
    if book.position_lots == 0:
        return
    mark = 2 * ticks if ticks > 0 else _mark_twice(book)
    record = world.fundings[unsigned(control.fundings_n)]
    record.exchange_ns = now_ns
    record.instrument = instrument
    record.position_lots = book.position_lots
    record.mark_twice = mark
    record.rate = rate
    control.fundings_n += 1
    if control.fundings_n == world.fundings.shape[0] and control.stop == STOP_NONE:
        control.stop = STOP_FULL
    paid = book.position_lots * book.lot_unit * (mark * 0.5 * book.price_unit) * (rate * 1e-12)
    world.venues[unsigned(book.venue)].cash -= paid


@compiled()
def _tier(tiers: Any, count: int, instrument: int, notional: float, maintenance: bool) -> float:
    """Margin required for a notional, by the bracket it falls into; 0 for an instrument without tiers."""
    required = 0.0
    for i in range(count):
        row = tiers[i]
        if row.instrument == instrument:
            required = notional * (row.maintenance if maintenance else row.initial)
            if notional <= row.max_notional:
                break
    return required


@compiled()
def equity(world: Any, number: int) -> float:
    """A venue account at mark prices (mids where no mark is published), quote currency."""
    total = world.venues[unsigned(number)].cash
    for k in range(world.control.instruments):
        book = world.exchange_books[unsigned(k)]
        if book.venue == number and book.position_lots != 0:
            mark = _mark_twice(book)
            total += book.position_lots * book.lot_unit * mark * 0.5 * book.price_unit
    return total


@compiled()
def margin_required(world: Any, number: int, maintenance: bool) -> float:
    """Initial or maintenance margin of a venue's derivative positions, quote currency."""
    total = 0.0
    for k in range(world.control.instruments):
        book = world.exchange_books[unsigned(k)]
        if book.venue == number and book.is_spot == 0 and book.position_lots != 0:
            mark = _mark_twice(book)
            total += _tier(
                world.tiers, world.control.tiers, k, abs(book.position_lots) * book.lot_unit * mark * 0.5 * book.price_unit, maintenance
            )
    return total


@compiled()
def _all_priced(world: Any, number: int) -> bool:
    """Whether every position of a venue has a price yet; an opening position has none before its market's first."""
    for k in range(world.control.instruments):
        book = world.exchange_books[unsigned(k)]
        if book.venue == number and book.position_lots != 0 and _mark_twice(book) <= 0:
            return False
    return True


@compiled()
def check_liquidation(world: Any) -> None:
    """Stop the run if any margined account is at or below its maintenance margin; remember the peak margin used."""
    for number in range(world.control.venues):
        venue = world.venues[unsigned(number)]
        if venue.margin == 0:
            continue
        used = margin_required(world, number, False)
        if used > venue.peak_margin:
            venue.peak_margin = used
        needed = margin_required(world, number, True)
        if needed > 0.0 and equity(world, number) <= needed and _all_priced(world, number):
            world.control.stop = STOP_LIQUIDATED


@compiled()
def sample(world: Any, depth: Any, now_ns: int) -> None:
    """Record position, top and our own best quotes of every instrument, and check margins; once per sample period."""
    control = world.control
    for k in range(world.control.instruments):
        book = world.exchange_books[unsigned(k)]
        refresh_top(book, depth)
        record = world.samples[unsigned(control.samples_n)]
        record.exchange_ns = now_ns
        record.instrument = k
        record.position_lots = book.position_lots
        record.bid_ticks = book.bar_low if book.is_bars else book.bid_ticks
        record.ask_ticks = book.bar_high if book.is_bars else book.ask_ticks
        record.mid_twice = book.mid_twice
        own_bid = 0
        own_ask = 0
        for i in range(book.live_n):
            order = world.orders[unsigned(world.live[unsigned(k), unsigned(i)].slot)]
            if order.side > 0:
                own_bid = max(own_bid, order.ticks)
            elif own_ask == 0 or order.ticks < own_ask:
                own_ask = order.ticks
        record.own_bid_ticks = own_bid
        record.own_ask_ticks = own_ask
        control.samples_n += 1
    if control.samples_n + world.control.instruments > world.samples.shape[0] and control.stop == STOP_NONE:
        control.stop = STOP_FULL
    control.next_sample_ns = (now_ns // control.sample_period_ns + 1) * control.sample_period_ns
    check_liquidation(world)


@compiled()
def _on_other_row(world: Any, depth: Any, k: int, kind: int, ticks: int, lots: int, now_ns: int) -> None:
    """Rows that are neither depth nor trades happen at the exchange."""
    if BAR_OPEN <= kind <= BAR_CLOSE:
        _on_bar(world, k, kind, ticks, lots, now_ns)
    elif kind == FUNDING:
        _on_funding(world, k, ticks, lots, now_ns)
    elif kind == MARK:
        world.exchange_books[unsigned(k)].mark_twice = 2 * ticks
        check_liquidation(world)
    elif kind == CLEAR:
        _on_clear(world, depth, k)
    elif kind == STATUS:
        world.exchange_books[unsigned(k)].trading = lots


@compiled(inline=True)
def on_row(world: Any, depth: Any, row: Any) -> None:
    """One market event happens at the exchange."""
    now_ns = row.exchange_ns
    if now_ns >= world.control.next_sample_ns:
        sample(world, depth, now_ns)
    k = row.instrument
    kind = row.kind
    if world.control.track_feed != 0:
        count_event(world.venues[unsigned(world.exchange_books[unsigned(k)].venue)], now_ns)
    if kind == DEPTH:
        on_depth(world, depth, k, row.side, row.ticks, row.lots, now_ns)
    elif kind == TRADE:
        on_trade(world, k, row.side, row.ticks, row.lots, now_ns)
    else:
        _on_other_row(world, depth, k, kind, row.ticks, row.lots, now_ns)


@compiled()
def _resting_lots(world: Any, instrument: int, side: int, reducing: bool) -> int:
    """Lots of our resting orders on a side; with `reducing` only those that may only reduce."""
    total = 0
    for i in range(world.exchange_books[unsigned(instrument)].live_n):
        ours = world.live[unsigned(instrument), unsigned(i)]
        if ours.side == side and (not reducing or world.orders[unsigned(ours.slot)].reduce_only != 0):
            total += world.resting[unsigned(ours.slot)].leaves_lots
    return total


@compiled(inline=True)
def _refusal(world: Any, instrument: int, slot: int, now_ns: int) -> int:
    """Why the exchange refuses a new order, or NONE; the checks in the order in which a venue answers."""
    control = world.control
    book = world.exchange_books[unsigned(instrument)]
    venue = world.venues[unsigned(book.venue)]
    order = world.orders[unsigned(slot)]
    rest = world.resting[unsigned(slot)]
    if book.trading == 0:
        return HALTED
    if overloaded(control, venue):
        return OVERLOAD
    step = price_step(world, instrument, order.ticks)
    if order.ticks <= 0 or (step != 1 and order.ticks % step != 0):
        return PRICE_STEP
    if order.ticks < book.min_ticks or order.ticks > book.max_ticks:
        return PRICE_BAND
    if order.lots < book.min_lots or order.lots > book.max_lots:
        return QUANTITY
    if order.reduce_only != 0:
        room = -order.side * book.position_lots - _resting_lots(world, instrument, order.side, True)
        if order.lots > room:
            return REDUCE_ONLY
    notional = order.lots * book.lot_unit * (order.ticks * book.price_unit)
    # The tolerance: a value exactly at the minimum may come out a rounding error below it.
    if notional < book.min_notional * (1.0 - 1e-12) and order.reduce_only == 0:
        return MIN_NOTIONAL
    if venue.check_funds != 0 and book.is_spot != 0:
        if order.side < 0:
            if order.lots > book.position_lots - book.reserved_lots:
                return INSUFFICIENT_BALANCE
        elif notional * (1.0 + book.taker_rate) > venue.cash - venue.reserved_cash:
            return INSUFFICIENT_BALANCE
    if venue.margin != 0 and book.is_spot == 0 and world.control.tiers > 0:
        after = abs(book.position_lots + order.side * (order.lots + _resting_lots(world, instrument, order.side, False)))
        if after > abs(book.position_lots):
            tiers = world.tiers
            extra = _tier(tiers, control.tiers, instrument, after * book.lot_unit * order.ticks * book.price_unit, False)
            mark = _mark_twice(book)
            held = abs(book.position_lots) * book.lot_unit * mark * 0.5 * book.price_unit
            others = margin_required(world, book.venue, False) - _tier(tiers, control.tiers, instrument, held, False)
            if extra + others > equity(world, book.venue):
                return INSUFFICIENT_MARGIN
    for i in range(book.live_n):
        other = world.live[unsigned(instrument), unsigned(i)]
        if control.self_match != 0 and other.side == -order.side and (rest.cell - other.cell) * order.side >= 0:
            return SELF_MATCH
    return NONE


@compiled()
def _takeable(world: Any, depth: Any, instrument: int, slot: int) -> int:
    """Lots that a taking order could get within its limit, less what we took before."""
    book = world.exchange_books[unsigned(instrument)]
    order = world.orders[unsigned(slot)]
    rest = world.resting[unsigned(slot)]
    total = 0
    if order.side > 0:
        cell = book.ask_cell
        while cell < book.cells and cell <= rest.cell:
            total += max(0, depth[unsigned(book.asks_at + cell)] - _taken_at(world, instrument, -1, cell))
            cell += 1
    else:
        cell = book.bid_cell
        while cell >= 0 and cell >= rest.cell:
            total += max(0, depth[unsigned(book.bids_at + cell)] - _taken_at(world, instrument, 1, cell))
            cell -= 1
    return total


@compiled()
def _walk(world: Any, depth: Any, instrument: int, slot: int, now_ns: int) -> None:
    """Take from the best level toward the limit, one fill a level."""
    book = world.exchange_books[unsigned(instrument)]
    order = world.orders[unsigned(slot)]
    rest = world.resting[unsigned(slot)]
    cell = book.ask_cell if order.side > 0 else book.bid_cell
    if world.control.partial_fills == 0:
        fill(world, instrument, slot, rest.leaves_lots, book.base_ticks + cell * book.cell_ticks, 0, now_ns)
        return
    while 0 <= cell < book.cells and (rest.cell - cell) * order.side >= 0 and rest.leaves_lots > 0 and world.control.stop != STOP_OVERFLOW:
        shown = lots_at(book, depth, -order.side, cell)
        if shown > 0:
            lots = min(rest.leaves_lots, shown - _taken_at(world, instrument, -order.side, cell))
            if lots > 0:
                _take(world, instrument, -order.side, cell, lots)
                fill(world, instrument, slot, lots, book.base_ticks + cell * book.cell_ticks, 0, now_ns)
        cell += order.side


@compiled()
def _end(world: Any, kind: int, instrument: int, slot: int, reason: int, now_ns: int) -> None:
    """The order is at its end without (further) fills; tell the strategy's side why."""
    rest = world.resting[unsigned(slot)]
    rest.leaves_lots = 0
    rest.final_ns = now_ns
    rest.reason = reason
    world.counts[unsigned(reason)] += 1
    send_response(world, kind, slot, world.orders[unsigned(slot)].seq, instrument, now_ns, 0, reason)


@compiled(inline=True)
def _on_place(world: Any, depth: Any, instrument: int, slot: int, now_ns: int) -> None:
    """A new order arrives at the exchange."""
    book = world.exchange_books[unsigned(instrument)]
    order = world.orders[unsigned(slot)]
    rest = world.resting[unsigned(slot)]
    rest.leaves_lots = order.lots
    rest.cell = cell_of(book, order.ticks)
    rest.arrived_ns = now_ns
    refresh_mid(book)
    rest.arrival_twice = book.mid_twice
    rest.final_ns = 0
    rest.reason = NONE
    reason = _refusal(world, instrument, slot, now_ns)
    if reason != NONE:
        _end(world, RESPONSE_REJECTED, instrument, slot, reason, now_ns)
        return
    if book.is_bars == 0:
        crosses = book.ask_cell <= rest.cell if order.side > 0 else book.bid_cell >= rest.cell
        if crosses and order.tif == TIF_POST_ONLY:
            _end(world, RESPONSE_EXPIRED, instrument, slot, POST_ONLY_WOULD_TAKE, now_ns)
            return
        if order.tif == TIF_FOK and _takeable(world, depth, instrument, slot) < order.lots:
            _end(world, RESPONSE_EXPIRED, instrument, slot, FOK_NOT_FILLABLE, now_ns)
            return
        if crosses:
            _walk(world, depth, instrument, slot, now_ns)
        if rest.leaves_lots == 0:
            return
        if order.tif == TIF_IOC or order.tif == TIF_FOK:
            _end(world, RESPONSE_EXPIRED, instrument, slot, IOC_REST, now_ns)
            return
        queue.join(rest, lots_at(book, depth, order.side, rest.cell))
    if book.live_n == world.live.shape[1]:
        world.control.stop = STOP_OVERFLOW
        return
    ours = world.live[unsigned(instrument), unsigned(book.live_n)]
    ours.slot = slot
    ours.side = order.side
    ours.cell = rest.cell
    _span(book, order.side, rest.cell)
    book.live_n += 1
    _reserve(world, instrument, slot, rest.leaves_lots)
    if order.tif == TIF_GTC or order.tif == TIF_POST_ONLY or book.is_bars != 0:
        send_response(world, RESPONSE_ACCEPTED, slot, order.seq, instrument, now_ns, 0, 0)


@compiled(inline=True)
def _on_cancel(world: Any, instrument: int, slot: int, seq: int, now_ns: int) -> None:
    """A cancel arrives; if the order has ended meanwhile it is too late and changes nothing."""
    book = world.exchange_books[unsigned(instrument)]
    for at in range(book.live_n):
        if world.live[unsigned(instrument), unsigned(at)].slot == slot and world.orders[unsigned(slot)].seq == seq:
            _reserve(world, instrument, slot, -world.resting[unsigned(slot)].leaves_lots)
            _remove_live(world, instrument, at)
            _end(world, RESPONSE_CANCELLED, instrument, slot, CANCELLED, now_ns)
            return
    world.counts[unsigned(CANCEL_TOO_LATE)] += 1
    if world.orders[unsigned(slot)].seq == seq and world.resting[unsigned(slot)].arrived_ns == 0:
        # It overtook its order. Without this answer our side would wait for a cancellation that never comes.
        send_response(world, RESPONSE_UNKNOWN, slot, seq, instrument, now_ns, 0, 0)


@compiled()
def on_request(world: Any, depth: Any) -> None:
    """The next request of the ring arrives at its venue."""
    control = world.control
    message = world.requests[unsigned(control.request_head & (world.requests.shape[0] - 1))]
    control.request_head += 1
    if message.kind == REQUEST_PLACE:
        _on_place(world, depth, message.instrument, message.slot, message.due_ns)
    else:
        _on_cancel(world, message.instrument, message.slot, message.seq, message.due_ns)
