"""The control port of simulators, as whoever started them asks it: on this host, whatever the environment says of proxies."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.venues.contract.fronts import Front, proxies

from interlock.run.control_port import ControlPort


def answer(said: object) -> bytes:
    body = json.dumps(said).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)


def test_it_is_asked_itself_and_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with Front(answer=lambda _: answer({"gap": 1})) as front, proxies(monkeypatch) as proxy:
            port = ControlPort(f"http://{front.address}")
            assert await asyncio.to_thread(port.happened) == {"gap": 1}
            assert await asyncio.to_thread(port.state) == {"gap": 1}
            await asyncio.to_thread(port.strike, {"fault": "gap"})
            await front.left_alone()
            assert [line for line in bytes(front.heard).decode().splitlines() if " HTTP/" in line or "{" in line] == [
                "GET /faults HTTP/1.1",
                "GET /state HTTP/1.1",
                "POST /faults HTTP/1.1",
                '{"fault": "gap"}',
            ]
            assert proxy.connections == 0

    asyncio.run(story())


def test_what_is_no_good_answer_is_an_error() -> None:
    async def story() -> None:
        async with Front(answer=lambda _: b"HTTP/1.1 400 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as front:
            with pytest.raises(OSError, match="400"):
                await asyncio.to_thread(ControlPort(f"http://{front.address}").strike, {"fault": "no such"})

    asyncio.run(story())
