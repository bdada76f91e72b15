"""An edge that has collapsed, on its way to the gate: told until it is answered, by whichever gate, and then no more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.gate.flip_ports import until

from interlock.engine.gate_line import GateLine
from interlock.gate import frames as f
from interlock.gate.sockets import Peer, Sockets, only_user

COLLAPSED = f.Edge(strategy="making", measured_bps="-3", threshold_bps="0")
Answer = Callable[[f.AnyFrame], f.Frame | None]


async def talk(folder: Path, answer: Answer, use: Callable[[GateLine, list[f.AnyFrame]], Awaitable[None]]) -> list[str]:
    """A gate that says what `answer` says, and hangs up where that is None; why it was lost, each time."""
    heard: list[f.AnyFrame] = []
    lost: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = f.body_length(await reader.readexactly(f.LENGTH_BYTES))
                asked = f.decode(await reader.readexactly(length))
                heard.append(asked)
                if isinstance(asked, f.Follow):
                    await asyncio.sleep(60)
                said = f.Welcome(protocol=f.PROTOCOL, incarnation="i" * 32) if isinstance(asked, f.Hello) else answer(asked)
                if said is None:
                    break
                writer.write(f.encode(said))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, folder / "gate.sock")
    line = GateLine(
        folder / "gate.sock",
        on_followed=lambda _told, _body: None,
        on_decided=lambda _numbers, _decided: None,
        on_lost=lambda why, _under_way: lost.append(why),
    )
    work = asyncio.ensure_future(line.run())
    try:
        async with asyncio.timeout(30):
            await use(line, heard)
    finally:
        work.cancel()
        server.close()
        await asyncio.gather(work, return_exceptions=True)
    return lost


def test_an_engine_of_another_strategy_is_told_why_and_proposes_nothing(tmp_path: Path) -> None:
    asked: list[f.Frame] = []

    async def handle(_role: f.Role, _peer: Peer, request: f.Frame) -> f.Frame:
        asked.append(request)
        if isinstance(request, f.Follow):
            await asyncio.sleep(60)
        return f.Done()

    async def run(strategy: str) -> tuple[bool, list[str]]:
        lost: list[str] = []
        async with Sockets(tmp_path, "i" * 32, only_user(os.geteuid()), handle, strategies={"granted"}) as sockets:
            line = GateLine(
                sockets.paths[f.Role.INTENT],
                on_followed=lambda _told, _body: None,
                on_decided=lambda _numbers, _decided: None,
                on_lost=lambda why, _under_way: lost.append(why),
                strategy=strategy,
            )
            work = asyncio.ensure_future(line.run())
            async with asyncio.timeout(30):
                await until(lambda: line.there or bool(lost))
            there = line.there
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        return there, lost

    there, lost = asyncio.run(run("another"))
    assert not there
    assert "expected an engine that decides by granted" in lost[0]
    assert asked == []
    there, lost = asyncio.run(run("granted"))
    assert there
    assert lost == []


def edges(heard: list[f.AnyFrame]) -> int:
    return sum(isinstance(one, f.Edge) for one in heard)


def backs(heard: list[f.AnyFrame]) -> int:
    return sum(isinstance(one, f.CancelOwn) for one in heard)


def test_what_no_gate_has_answered_is_told_to_the_next_one_and_then_no_more(tmp_path: Path) -> None:
    hung_up: list[f.AnyFrame] = []

    def answer(asked: f.AnyFrame) -> f.Frame | None:
        if isinstance(asked, f.Edge) and len(hung_up) < 2:
            hung_up.append(asked)
            return None
        return f.Done()

    async def use(line: GateLine, heard: list[f.AnyFrame]) -> None:
        line.tell_edge(COLLAPSED)  # before there is any gate
        await until(lambda: edges(heard) == 3)
        assert {one for one in heard if isinstance(one, f.Edge)} == {COLLAPSED}
        await until(lambda: line.there)
        before = backs(heard)
        line.take_back(("a",), "why")
        await until(lambda: backs(heard) == before + 1)
        line.take_back(("b",), "why")
        await until(lambda: backs(heard) == before + 2)
        assert edges(heard) == 3
        assert line.edge_refused == ""

    assert len(asyncio.run(talk(tmp_path, answer, use))) == 2


def test_one_that_is_refused_is_said_to_be_and_holds_nothing_up(tmp_path: Path) -> None:
    def answer(asked: f.AnyFrame) -> f.Frame:
        return f.Refusal(rule="known", detail="not configured") if isinstance(asked, f.Edge) else f.Done()

    async def use(line: GateLine, heard: list[f.AnyFrame]) -> None:
        await until(lambda: line.there)
        line.take_back(("a",), "why")
        line.tell_edge(COLLAPSED)
        line.take_back(("b",), "why")
        await until(lambda: bool(line.edge_refused))
        assert line.edge_refused == "not configured"
        await until(lambda: backs(heard) == 3)
        assert line.connections == 1

    assert asyncio.run(talk(tmp_path, answer, use)) == []


def test_a_cancel_that_is_refused_is_a_gate_that_is_lost(tmp_path: Path) -> None:
    """The control of the test above: of an edge alone a refusal is taken."""

    def answer(asked: f.AnyFrame) -> f.Frame:
        return f.Refusal(rule="role", detail="not here") if isinstance(asked, f.CancelOwn) and asked.client_ids else f.Done()

    async def use(line: GateLine, _heard: list[f.AnyFrame]) -> None:
        await until(lambda: line.there)
        line.take_back(("a",), "why")
        await until(lambda: line.connections == 2)

    (why,) = asyncio.run(talk(tmp_path, answer, use))
    assert why.startswith("expected Done")
