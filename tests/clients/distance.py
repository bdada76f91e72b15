"""The way to a venue: a relay on loopback that holds every byte back for a while, in both directions. Runs in the clients' own environment.

For a client that is only right where an answer takes longer than its own next line: pybit sends a request and notes whom the answer is for after it,
so that on bare loopback about one run in four lost an answer.
"""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlsplit


def distant(address: str, one_way_s: float) -> str:
    """The same address behind a relay that lives as long as this process."""
    parts = urlsplit(address)
    there = (str(parts.hostname), int(str(parts.port)))
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, there, one_way_s), daemon=True).start()
    return parts._replace(netloc=f"127.0.0.1:{listener.getsockname()[1]}").geturl()


def _accept(listener: socket.socket, there: tuple[str, int], one_way_s: float) -> None:
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(there)
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=_carry, args=(source, sink, one_way_s), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket, one_way_s: float) -> None:
    try:
        while chunk := source.recv(65536):
            time.sleep(one_way_s)
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # Either side is gone: so is the other.
        source.close()
        sink.close()
