"""The sentinel's own socket: kill, drill, status, and the announcement of an order that is going to rest.

A frame is a length (4 bytes, big endian) and one JSON object. One request a connection, answered by one or more objects of which each has an
`event`; the last one is followed by the end of the connection. The kernel says who is there; who may use the socket may kill.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from interlock.domain.errors import Refused
from interlock.sentinel.operation import Event

NAME = "sentinel.sock"
MAX_FRAME_BYTES = 1 << 20
REQUEST_S = 2.0
WRITE_S = 1.0
MOST_VISITORS = 64
"""How many connections are open at a time. A person has one or two, the gate one for each order that is going to rest."""
_LENGTH = struct.Struct(">I")
_UCRED = struct.Struct("3i")

Answer = Callable[[Mapping[str, Any]], Iterator[Event]]
"""The events that answer a request. Raises Refused for one that is not understood or not possible."""


def user_of(connection: socket.socket) -> int:
    """The user at the other end, as the kernel says it."""
    return int(_UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[1])


def listen(folder: Path) -> tuple[socket.socket, int]:
    """Listen in a private folder; returns the socket and the lock that says that it lives.

    Raises Refused if somebody else could put something there, or another sentinel listens.
    """
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Refused(f"{folder}: expected a folder of user {os.geteuid()}, found something else; give another one")
    folder.chmod(0o750)
    path = folder / NAME
    lock = os.open(folder / (NAME + ".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Only now is it certain that what lies there is a leftover.
        if path.is_symlink() or (path.exists() and not path.is_socket()):
            raise Refused(f"{path}: expected nothing or an old socket, found something else; remove it")
        path.unlink(missing_ok=True)
        listening = _bind(path)
    except OSError as error:
        os.close(lock)
        raise Refused(f"{path}: expected to listen there alone, found: {error.strerror or error}; is another sentinel running?") from error
    except Refused:
        os.close(lock)
        raise
    return listening, lock


def _bind(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        listening.bind(str(path))
        listening.listen(1024)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


class _Visitors:
    """The connections that are open, oldest first: at most `MOST_VISITORS`.

    A newcomer is never turned away, because it may want to stop the gate: one that has not asked for anything yet makes room for it, and only if
    there is none, the one that has been told things for longest. Whatever that one asked for goes on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silent: dict[int, socket.socket] = {}
        self._served: dict[int, socket.socket] = {}

    def add(self, connection: socket.socket) -> None:
        with self._lock:
            if len(self._silent) + len(self._served) >= MOST_VISITORS:
                some = self._silent or self._served
                with contextlib.suppress(OSError):  # it is ending by itself
                    some.pop(next(iter(some))).shutdown(socket.SHUT_RDWR)
            self._silent[id(connection)] = connection

    def serve(self, connection: socket.socket) -> None:
        """It has asked for something."""
        with self._lock:
            if self._silent.pop(id(connection), None) is not None:
                self._served[id(connection)] = connection

    def remove(self, connection: socket.socket) -> None:
        with self._lock:
            self._silent.pop(id(connection), None)
            self._served.pop(id(connection), None)


def serve(listening: socket.socket, users: frozenset[int], answer: Answer) -> None:
    """Accept until the socket is shut down; every connection has a thread of its own, so that a slow one delays nobody."""
    visitors = _Visitors()
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        visitors.add(connection)
        threading.Thread(target=_converse, args=(connection, users, answer, visitors), name="sentinel-connection", daemon=True).start()


def _converse(connection: socket.socket, users: frozenset[int], answer: Answer, visitors: _Visitors) -> None:
    with connection:
        try:
            connection.settimeout(REQUEST_S)
            request = read_frame(connection)
            connection.settimeout(WRITE_S)
            if user_of(connection) not in users:
                raise Refused(f"user {user_of(connection)} may not use this socket")
            visitors.serve(connection)
            for event in answer(request):
                connection.sendall(_frame(event))
        except Refused as no:
            _say_no(connection, str(no))
        except (OSError, EOFError):
            return  # it went away, or was too slow; whatever it asked for goes on without it
        finally:
            visitors.remove(connection)


def _say_no(connection: socket.socket, reason: str) -> None:
    try:
        connection.sendall(_frame({"event": "REFUSED", "reason": reason}))
    except OSError:
        return  # nobody is there to hear it


def _frame(data: Mapping[str, Any]) -> bytes:
    body = json.dumps(data).encode()
    return _LENGTH.pack(len(body)) + body


def read_frame(connection: socket.socket) -> dict[str, Any]:
    """One frame. Raises EOFError at the end of the connection, Refused for what is no frame, OSError."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if not 0 < length <= MAX_FRAME_BYTES:
        raise Refused(f"frame: expected 1 to {MAX_FRAME_BYTES} bytes, found {length}; this does not speak our protocol")
    try:
        data = json.loads(_exactly(connection, length))
    except ValueError as error:
        raise Refused(f"frame: expected one JSON object, found something else ({error})") from error
    if not isinstance(data, dict):
        raise Refused(f"frame: expected one JSON object, found {type(data).__name__}")
    return data


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def ask(path: Path, request: Mapping[str, Any], users: frozenset[int], silence_s: float) -> Iterator[Event]:
    """Ask the sentinel and give what it answers, as it comes.

    Raises Refused if nobody listens, the listener is of none of these `users`, or nothing comes for `silence_s`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(silence_s)
        try:
            connection.connect(str(path))
            if user_of(connection) not in users:
                raise Refused(f"{path}: expected a sentinel of user {sorted(users)}, found one of {user_of(connection)}; do not trust it")
            connection.sendall(_frame(request))
            while True:
                try:
                    yield read_frame(connection)
                except EOFError:
                    return
        except OSError as error:
            raise Refused(
                f"{path}: expected a sentinel that answers, found: {error}; a kill that it took goes on. Is it running?"
            ) from error
