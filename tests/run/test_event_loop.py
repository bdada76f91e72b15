"""The event loop of engine and gate: it does everything that another one does, collects cycles when nothing waits, and may spin."""

from __future__ import annotations

import asyncio
import gc
import os
import selectors
import signal
import socket
import threading
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from interlock.run.event_loop import EVERY_NS, LATEST_NS, Collector, QuietSelector, quiet_loop

S = 1_000_000_000


class Time:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.ns = S

    def __call__(self) -> int:
        return self.ns


class Node:
    """Something in a cycle with itself."""

    def __init__(self) -> None:
        self.me = self


def dropped() -> weakref.ref[Node]:
    """A cycle that nobody knows any more."""
    return weakref.ref(Node())


def run(work: Coroutine[Any, Any, Any], selector: QuietSelector) -> Any:
    with asyncio.Runner(loop_factory=lambda: quiet_loop(selector)) as runner:
        return runner.run(work)


@pytest.mark.parametrize("spin", [False, True])
def test_timers_connections_threads_and_signals_work(spin: bool) -> None:
    async def work() -> list[str]:
        loop = asyncio.get_running_loop()
        found: list[str] = []
        loop.call_later(0.02, found.append, "later")
        loop.call_later(0.01, found.append, "soon")
        left, right = socket.socketpair()
        left.setblocking(False)
        right.setblocking(False)
        loop.add_signal_handler(signal.SIGUSR1, found.append, "signal")
        try:
            await loop.sock_sendall(right, b"heard")
            found.append((await loop.sock_recv(left, 10)).decode())
            found.append(await asyncio.to_thread(lambda: "thread"))
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(0.05)
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)
            left.close()
            right.close()
        return found

    found = run(work(), QuietSelector(Collector(), spin=spin))
    assert found[:2] == ["heard", "thread"] or found.index("heard") < found.index("thread")
    assert sorted(found) == ["heard", "later", "signal", "soon", "thread"]
    assert found.index("soon") < found.index("later")


def test_only_one_that_spins_asks_again_and_again() -> None:
    asked = {}
    for spin in (False, True):
        selector = QuietSelector(Collector(), spin=spin)
        run(asyncio.sleep(0.1), selector)
        asked[spin] = selector.polls
    assert asked[False] < 20
    assert asked[True] > 2 * asked[False]


@pytest.mark.parametrize("spin", [False, True])
def test_cycles_are_collected_when_nothing_waits_and_not_while_something_does(spin: bool) -> None:
    """With the collector of Python switched off; what was there before is frozen."""
    time = Time()
    collector = Collector(time)
    collected: list[bool] = []

    async def work() -> None:
        left, right = socket.socketpair()
        heard: list[bool] = []
        often = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hear() -> None:
            heard.append(gone() is None)
            if len(heard) == 50:
                loop.remove_reader(left)
                often.set()

        try:
            gone = dropped()
            right.send(b"x")
            loop.add_reader(left, hear)  # nobody reads it, so that it is ready in every turn of the loop
            time.ns += EVERY_NS[0]
            await often.wait()
            busy = any(heard)
            await asyncio.sleep(0.01)
            collected.extend([busy, gone() is None])
        finally:
            left.close()
            right.close()

    before = gc.isenabled()
    with collector.on_duty():
        assert not gc.isenabled()
        assert collector.frozen > 1_000
        assert gc.get_freeze_count() > 1_000
        run(work(), QuietSelector(collector, spin=spin))
    assert gc.isenabled() is before
    assert collected == [False, True]
    assert sum(collector.counts) >= 1
    assert collector.found >= 1


def test_what_is_under_way_holds_a_collection_up() -> None:
    time, waiting = Time(), [True]
    collector = Collector(time, waits=lambda: waiting[0])

    async def work() -> list[bool]:
        gone = dropped()
        time.ns += EVERY_NS[0]
        await asyncio.sleep(0.01)
        kept = gone() is not None
        waiting[0] = False
        await asyncio.sleep(0.01)
        return [kept, gone() is None]

    with collector.on_duty():
        assert run(work(), QuietSelector(collector)) == [True, True]


def test_a_loop_that_never_rests_is_collected_all_the_same() -> None:
    time = Time()
    collector = Collector(time, waits=lambda: True)
    with collector.on_duty():
        gone = dropped()
        time.ns += EVERY_NS[0] + LATEST_NS - 1
        collector.overdue()
        assert gone() is not None, "the control: it has some time left"
        time.ns += 1
        collector.overdue()
        assert gone() is None
        time.ns += EVERY_NS[2]
        collector.overdue()
    collector.overdue()
    assert collector.counts == [1, 0, 1], "the older ones too"


def test_older_generations_come_less_often_and_take_the_younger_with_them() -> None:
    time = Time()
    collector = Collector(time)
    with collector.on_duty():
        for _ in range(120):
            time.ns += EVERY_NS[0]
            assert collector.due()
            collector.collect()
            assert not collector.due()
    young, middle, old = collector.counts
    assert (old, middle) == (2, 10)
    assert young == 120 - middle - old
    assert collector.told()["collections"] == [young, middle, old]


def test_cycles_that_outlive_the_young_do_not_pile_up() -> None:
    """What is dropped only after it has grown old is found by the oldest generation, within its time."""
    time = Time()
    collector = Collector(time)
    with collector.on_duty():
        kept = [Node() for _ in range(100)]
        refs = [weakref.ref(one) for one in kept]
        for _ in range(15):
            time.ns += EVERY_NS[0]
            collector.collect()
        kept.clear()
        time.ns += EVERY_NS[0]
        collector.collect()
        assert any(one() is not None for one in refs), "the control: the young alone do not show them"
        for _ in range(60):
            time.ns += EVERY_NS[0]
            collector.collect()
        assert all(one() is None for one in refs)


def test_off_duty_nothing_is_due() -> None:
    time = Time()
    collector = Collector(time)
    time.ns += 10 * EVERY_NS[2]
    assert not collector.due()
    with collector.on_duty():
        time.ns += EVERY_NS[0]
        assert collector.due()


def test_a_selector_without_a_time_limit_waits_for_what_comes() -> None:
    time = Time()
    collector = Collector(time)
    left, right = socket.socketpair()
    answers: list[Any] = []
    with left, right, QuietSelector(collector, spin=True) as selector, collector.on_duty():
        selector.register(left, selectors.EVENT_READ)
        time.ns += EVERY_NS[0]
        assert selector.select(None) == [], "a collection was due, and the timers are looked at again"
        threading.Timer(0.02, right.send, (b"x",)).start()
        answers = selector.select(None)
    assert [key.fileobj for key, _ in answers] == [left]
