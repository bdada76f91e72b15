"""The pieces of the simulated day by themselves: lives of a gate on one host, time that passes, a market."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.day.host import Host, S
from tests.day.loop import MemoryLoop, VirtualTime


def on_a_host(folder: Path, use: Callable[[Host], Awaitable[None]]) -> None:
    loop = MemoryLoop(VirtualTime(5_000 * S, 1_800_000_000 * S))

    async def all_of_it() -> None:
        host = Host(loop, folder, seed=1, calm_ticks=0.0)
        try:
            await use(host)
        finally:
            host.close()

    try:
        loop.run_until_complete(all_of_it())
        assert loop.unforeseen == []
    finally:
        loop.end()


def test_a_gate_whose_disk_refuses_at_its_end_leaves_the_account_to_the_next_one(tmp_path: Path) -> None:
    async def use(host: Host) -> None:
        await host.start_gate()
        first = host.gate
        assert first is not None
        host.gate = None
        await host.start_gate()
        assert "another gate has it" in host.said[-1], "as long as it lives the account is its own"
        first.disk.gone = True
        host.gate = first
        await host.crash_gate()
        await host.start_gate()
        assert host.gate is not None, host.said
        assert host.gate.begun
        assert await host.gate.end() == 0
        host.gate = None

    on_a_host(tmp_path, use)


def test_time_goes_on_only_when_nothing_is_left_to_do() -> None:
    loop = MemoryLoop(VirtualTime(5_000 * S, 1_800_000_000 * S))
    rang: list[tuple[str, int]] = []

    async def use() -> None:
        begin_ns = loop.virtual.boot_ns

        def note(what: str) -> None:
            rang.append((what, loop.virtual.boot_ns - begin_ns))

        loop.slack_ns = 2 * S
        loop.call_later(0.5, note, "late")
        loop.call_later(0.001, note, "short")
        loop.arrive(begin_ns + 3 * S // 2, note, "exact")
        await asyncio.sleep(3)
        note("slept")

    loop.run_until_complete(use())
    loop.end()
    assert [what for what, _ in rang] == ["short", "exact", "late", "slept"]
    times = dict(rang)
    assert times["short"] < 2_000_000
    assert times["exact"] == 3 * S // 2
    assert times["late"] >= 2 * S
    assert times["slept"] >= 3 * S
