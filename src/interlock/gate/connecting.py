"""Opens an order connection to an endpoint: to its host and no other, encrypted where it says so, without a proxy and without a second attempt."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from interlock.gate.connection import OrderConnection
from interlock.gate.sealing import TlsSeal
from interlock.venues.endpoint import Endpoint

CONNECT_S = 2.0
"""How long the name, the connection and the handshake may take together."""

MakeSocket = Callable[[int, int], socket.socket]
"""(family, type)."""


async def connect_to(endpoint: Endpoint, name: str, make: MakeSocket = socket.socket) -> OrderConnection:
    """Connect. Raises OSError (ssl.SSLError is one) and TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_S):
        found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        family, kind, _, _, address = found[0]
        connection = make(family, kind)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, address)
            context = endpoint.context()
            seal = None if context is None else TlsSeal(context, endpoint.host)
            if seal is not None:
                await seal.handshake(connection)
        except BaseException:
            connection.close()
            raise
    return OrderConnection(connection, name, seal)
