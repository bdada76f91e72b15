"""The least that anything on this host can take: one byte there and back between two processes, over TCP on loopback.

`python -m benchmarks.loopback COUNT`: one JSON object, nanoseconds of each round trip.
"""

import json
import os
import socket
import sys
import time


def round_trips(count: int) -> list[int]:
    """Nanoseconds of each round trip, blocking sockets, no delay."""
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        there, _ = listener.accept()
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while said := there.recv(1):
            there.sendall(said)
        os._exit(0)
    here = socket.create_connection(listener.getsockname())
    here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found = []
    for _ in range(count):
        began_ns = time.perf_counter_ns()
        here.sendall(b"x")
        here.recv(1)
        found.append(time.perf_counter_ns() - began_ns)
    here.close()
    listener.close()
    os.waitpid(child, 0)
    return found


if __name__ == "__main__":
    print(json.dumps(round_trips(int(sys.argv[1]))))
