"""What goes wrong in the simulated day: a seeded plan of faults, each of which brings itself about, and what each of them is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.day.host import Host, S
from tests.day.venue import SYMBOL, VENUE

from interlock.gate import frames as f

MS = 1_000_000
JUMP_TICKS = 260
"""So far the price jumps where an order is to be provoked: beyond the strategy's tolerance, and through its quotes."""

Happen = Callable[[Host], Awaitable[None]]


async def wait(seconds: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(seconds)


def provoke(host: Host, times: int = 1) -> None:
    """Let the price jump to and fro, so that the strategy moves its quotes."""
    sign = host.chance.choice((-1, 1))
    for _ in range(times):
        host.venue.market.jumps += [sign * JUMP_TICKS, 0, -sign * JUMP_TICKS, 0]


def of_requests(fault: str, verb: str, times: int = 1, **more: Any) -> Happen:
    """A fault that waits for a request of this kind, and orders that make it."""

    async def happen(host: Host) -> None:
        host.venue.strike(fault=fault, verb=verb, times=times, **more)
        if verb != "read":
            provoke(host, 2)
        await wait(12)

    return happen


def of_streams(fault: str, **more: Any) -> Happen:
    """A fault of a stream, while orders move."""

    async def happen(host: Host) -> None:
        provoke(host)
        host.counts[fault] += host.venue.strike(fault=fault, **more)
        await wait(10)

    return happen


async def taken(host: Host, lots: str) -> bool:
    """Somebody takes of an order of ours that rests; whether one did rest within a minute and a half."""
    for at in range(45):
        if at % 5 == 4:
            provoke(host)
        resting = [order for order in host.venue.true.open_orders(SYMBOL) if order.remaining_lots > 1 and order.client_id]
        if resting:
            return host.venue.strike("fill", client_id=resting[0].client_id, amount=lots)
        await wait(2)
    return False


async def partial_fill(host: Host) -> None:
    """Somebody takes a part of an order that rests."""
    host.counts["partial_fill"] += await taken(host, "0.001")
    await wait(5)


async def funding(host: Host) -> None:
    """Funding is settled on what is held; where that is nothing, a part of an order is taken first."""
    for _ in range(4):
        if host.venue.strike("funding", symbol=SYMBOL, rate="0.0001"):
            return
        await taken(host, "0.002")


async def unreachable(host: Host) -> None:
    """Nothing reaches the venue, and nothing comes from there."""
    provoke(host)
    host.venue.reachable = False
    host.venue.cut_all()
    await wait(host.chance.uniform(4, 12))
    host.venue.reachable = True


async def slow_network(host: Host) -> None:
    """Everything takes long to cross."""
    host.latency_ns = 150 * MS
    provoke(host, 2)
    await wait(20)
    host.latency_ns = 2 * MS


async def gate_dies(host: Host) -> None:
    """The gate's process dies in the middle of moving its quotes; another one begins from its journal."""
    provoke(host)
    await wait(host.chance.uniform(0, 4))
    async with host.hands:
        if host.gate is not None:
            await host.crash_gate()
    await wait(host.chance.uniform(1, 8))
    async with host.hands:
        if host.gate is None:
            await host.start_gate()


async def gate_restarts(host: Host) -> None:
    """The gate is ended in order, and started again."""
    async with host.hands:
        if host.gate is not None:
            host.counts["left by the gate"] += await host.gate.end()
            host.gate = None
    await wait(5)
    async with host.hands:
        if host.gate is None:
            await host.start_gate()


async def engine_dies(host: Host) -> None:
    """The engine's process dies with its orders out, and another one begins."""
    provoke(host)
    await wait(host.chance.uniform(0, 4))
    await host.stop_engine()
    await wait(5)
    await host.start_engine()


async def disk_full(host: Host) -> None:
    """Nothing new fits on the disk for a while."""
    host.disk.fill(True)
    provoke(host)
    await wait(60)
    host.disk.fill(False)


async def wall_steps(host: Host) -> None:
    """Somebody sets the wall clock, and sets it back."""
    step_ns = host.chance.choice((-1, 1)) * 3 * S
    host.loop.virtual.step_wall(step_ns)
    await wait(20)
    host.loop.virtual.step_wall(-step_ns)


async def venue_clock(host: Host) -> None:
    """The venue's clock is apart from ours for a while."""
    host.counts["clock_skew"] += host.venue.strike(fault="clock_skew", ms=host.chance.choice((-1, 1)) * 900)
    await wait(20)
    host.venue.strike(fault="clock_skew", ms=0)


async def host_sleeps(host: Host) -> None:
    """The host sleeps; the venue does not."""
    provoke(host)
    host.sleep(round(host.chance.uniform(20, 90) * S))
    await wait(5)


async def deposit(host: Host) -> None:
    """A deposit that was announced arrives."""
    async with host.hands:
        if host.gate is None:
            return
        said = await host.ask(f.Expect(venue=VENUE, currency="USDT", event="deposit", amount="250", within_ns=600 * S, nonce=host.nonce()))
        assert isinstance(said, f.Done), said
    host.counts["deposit"] += host.venue.strike(fault="deposit", currency="USDT", amount="250")


async def foreign_order(host: Host) -> None:
    """Somebody places by hand in our account, and takes it back when we ask."""
    price = f"{host.venue.instrument.price(round(host.venue.market.middle * 0.98)):f}"
    host.counts["foreign_order"] += host.venue.strike(fault="foreign_order", symbol=SYMBOL, side="buy", price=price, amount="0.002")
    await wait(30)
    for order in host.venue.true.open_orders(SYMBOL):
        if not order.client_id:
            host.venue.true.cancel(order)


KINDS: dict[str, Happen] = {
    # Answers that are lost, late, wrong, or a refusal
    "lose_ack": of_requests("lose_ack", "place"),
    "lose_ack of a cancel": of_requests("lose_ack", "cancel"),
    "late_ack": of_requests("late_ack", "place", ms=2_500),
    "accept_then_error": of_requests("accept_then_error", "place"),
    "error_without_accepting": of_requests("error_without_accepting", "place"),
    "reset_before": of_requests("reset_before", "place"),
    "reset_at_byte": of_requests("reset_at_byte", "place", count=40),
    "stall": of_requests("stall", "place"),
    "garbage": of_requests("garbage", "place"),
    "rate_limited": of_requests("rate_limited", "place"),
    "maintenance": of_requests("maintenance", "place", ms=8_000),
    "late_fill": of_requests("late_fill", "cancel", ms=300),
    "history_lag": of_requests("history_lag", "read", times=20, ms=3_000),
    "error of a read": of_requests("error_without_accepting", "read", times=5),
    "ban": of_requests("ban", "read", ms=30_000),
    # Streams
    "gap": of_streams("gap", symbol=SYMBOL, count=3),
    "gap of the account": of_streams("gap", count=3, private=True),
    "duplicate": of_streams("duplicate", count=5),
    "duplicate of the account": of_streams("duplicate", count=6, private=True),
    "reorder": of_streams("reorder", count=3),
    "reorder of the account": of_streams("reorder", count=3, private=True),
    "stale_book": of_streams("stale_book", symbol=SYMBOL, ms=12_000),
    "silence": of_streams("silence", ms=8_000),
    "drop_sockets": of_streams("drop_sockets"),
    # The venue and the account
    "partial_fill": partial_fill,
    "halt": of_streams("halt", symbol=SYMBOL, ms=8_000),
    "funding": funding,
    "deposit": deposit,
    "foreign_order": foreign_order,
    "clock_skew": venue_clock,
    # The network and the host
    "unreachable": unreachable,
    "slow_network": slow_network,
    "gate_dies": gate_dies,
    "gate_restarts": gate_restarts,
    "engine_dies": engine_dies,
    "disk_full": disk_full,
    "wall_steps": wall_steps,
    "host_sleeps": host_sleeps,
}


def plan(seed: int, rounds: int, kinds: Sequence[str]) -> list[tuple[float, str]]:
    """Which fault begins when, as a part of the time that there is: each kind `rounds` times, in an order and at times that the seed draws."""
    chance = random.Random(f"{seed} faults")
    names: list[str] = []
    for _ in range(rounds):
        names += chance.sample(kinds, len(kinds))
    return [((at + chance.uniform(0, 0.5)) / len(names), name) for at, name in enumerate(names)]
