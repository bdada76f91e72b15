"""A server on loopback that keeps what a client sends, byte for byte: requests, and the messages of sockets. It takes part in no test by itself.

Runs in the clients' own environment, where interlock is not installed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web


class Recorder:
    """`url` is where it listens, without a scheme. `answer` says what a request is answered with, `reply` what a message of a socket is."""

    def __init__(self, answer: dict[str, Any] | list[Any], reply: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._answer, self._reply = answer, reply
        self._case = ""
        self._up = threading.Event()
        self.url = ""
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        if not self._up.wait(20):
            raise TimeoutError("expected a server on loopback within 20 s")

    def case(self, name: str) -> None:
        """What the next request is told under."""
        self._case = name

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"127.0.0.1:{runner.addresses[0][1]}"
        self._up.set()
        await asyncio.Event().wait()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    tell({"case": self._case, "message": message.data})
                    await socket.send_json(self._reply(json.loads(message.data)))
            return socket
        body = (await request.read()).decode("ascii")
        headers = {name.decode("ascii"): value.decode("ascii") for name, value in request.raw_headers}
        tell({"case": self._case, "method": request.method, "target": request.raw_path, "headers": headers, "body": body})
        return web.json_response(self._answer)


def tell(line: dict[str, Any]) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
