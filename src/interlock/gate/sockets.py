"""The gate's sockets: one by role in a private folder, each peer known by its user before it says a word.

A folder that others could write to, a symbolic link, or a socket that a living gate listens on is refused. A peer that is slow, or silent in
the middle of a frame, loses its connection and blocks nobody: every connection is a task of its own, and what cannot be written within its
time is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.domain.errors import Refused
from interlock.gate.frames import (
    ALLOWED,
    LENGTH_BYTES,
    PROTOCOL,
    AnyFrame,
    Frame,
    Hello,
    Refusal,
    Role,
    Welcome,
    body_length,
    decode,
    encode,
)

FOLDER_MODE = 0o750
MOST_CONNECTIONS = 16
"""Of one role at once: so many that no honest use needs more, and so few that a flood on one socket leaves descriptors for the others."""
ACCEPT_AGAIN_S = 0.1
_UMASK = 0o117
_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel says it."""

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a peer may take, seconds."""

    hello_s: float = 2.0
    frame_s: float = 5.0
    """From the first byte of a frame to its last."""
    write_s: float = 1.0


RoleTable = Mapping[Role, frozenset[int]]
"""Which users may use which socket."""

Handler = Callable[[Role, Peer, Frame], Awaitable[Frame]]
"""Answers one request; whatever it raises closes that connection and is not swallowed."""


def only_user(uid: int) -> RoleTable:
    """A role table for one user, as on loopback."""
    return {role: frozenset({uid}) for role in Role}


def peer_of(connection: socket.socket) -> Peer:
    """Ask the kernel who is at the other end of a Unix socket."""
    return Peer(*_UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))


def private_folder(path: Path) -> Path:
    """Make a folder for sockets, or check the one that is there. Raises Refused if somebody else could put something into it."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise Refused(f"{path}: expected a folder, found something else; give another place")
    if found.st_uid != os.geteuid():
        raise Refused(f"{path}: expected a folder of user {os.geteuid()}, found one of user {found.st_uid}; give another place")
    if found.st_mode & 0o027:
        path.chmod(FOLDER_MODE)
    return path


def listen(path: Path) -> tuple[socket.socket, int]:
    """Bind and listen; returns the socket and the descriptor of the lock that says that it lives. Raises Refused if another process listens there."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused(f"{path}: another process listens there; stop it, or give another folder") from error
        # Only now is it certain that what lies there is a leftover.
        if path.is_symlink() or (path.exists() and not path.is_socket()):
            raise Refused(f"{path}: expected nothing or an old socket, found something else; remove it")
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(_UMASK)
        try:
            listening.bind(str(path))
        except OSError as error:
            listening.close()
            raise Refused(f"{path}: {error.strerror or error}; a shorter path may be needed") from error
        finally:
            os.umask(before)
        listening.listen(64)
        listening.setblocking(False)
    except BaseException:
        os.close(lock)
        raise
    return listening, lock


Listen = Callable[[Path], tuple[socket.socket, int]]
"""Listens at a path, as `listen` does."""


class Sockets:
    """The listening sockets of a gate. `async with`; `paths` are there from the beginning to the end of it.

    `strategies` are digests of what engines decide by: one that tells another is refused. Empty where nobody said what the gate was started for.
    """

    def __init__(
        self,
        folder: Path,
        incarnation: str,
        roles: RoleTable,
        handler: Handler,
        patience: Patience | None = None,
        on_refused: Callable[[str], None] | None = None,
        listen: Listen = listen,
        strategies: Collection[str] = (),
    ) -> None:
        self._folder = folder
        self._incarnation = incarnation
        self._roles = roles
        self._handler = handler
        self._patience = patience or Patience()
        self._on_refused = on_refused or (lambda _detail: None)
        self._listen = listen
        self._strategies = strategies
        self._listening: list[socket.socket] = []
        self._locks: list[int] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._open: dict[Role, dict[asyncio.Task[None], None]] = {role: {} for role in Role}
        self._busy: set[asyncio.Task[Any]] = set()
        """Connections whose request is being answered."""
        self.failed: asyncio.Future[None] | None = None
        """Completed with the first exception of the handler: whoever runs the gate must look at it."""

    @property
    def paths(self) -> dict[Role, Path]:
        """Where each role connects."""
        return {role: self._folder / f"{role.value}.sock" for role in Role}

    async def __aenter__(self) -> Sockets:
        private_folder(self._folder)
        self.failed = asyncio.get_running_loop().create_future()
        try:
            for role, path in self.paths.items():
                listening, lock = self._listen(path)
                self._locks.append(lock)
                self._listening.append(listening)
                asyncio.get_running_loop().add_reader(listening, self._accept, role, listening)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for listening in self._listening:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        ending = tuple(self._connections)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for path in self.paths.values():
            path.unlink(missing_ok=True)
        for lock in self._locks:
            os.close(lock)
        self._listening.clear()
        self._locks.clear()

    def _accept(self, role: Role, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, ConnectionError):
            return  # it hung up before its turn
        except OSError as error:
            # Out of descriptors: look again in a while, instead of being called for it all the time.
            self._on_refused(f"{role.value}: {error.strerror or error}")
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            loop.call_later(ACCEPT_AGAIN_S, self._listen_again, role, listening)
            return
        open_now = self._open[role]
        if len(open_now) >= MOST_CONNECTIONS:
            self._on_refused(f"{role.value}: {MOST_CONNECTIONS} connections are open")
            idle = next((one for one in open_now if one not in self._busy), None)
            if role is not Role.LOWER or idle is None:
                connection.close()
                return
            # Nobody who says nothing keeps a stop out: the one that was there first makes room.
            del open_now[idle]
            idle.cancel()
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._serve(role, connection))
        open_now[task] = None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda ended: open_now.pop(ended, None))
        # A task that is cancelled before its first step closes nothing itself.
        task.add_done_callback(lambda _task: connection.close())

    def _listen_again(self, role: Role, listening: socket.socket) -> None:
        if listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._accept, role, listening)

    async def _serve(self, role: Role, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            await self._converse(role, reader, writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError) as error:
            self._on_refused(f"{role.value}: {type(error).__name__}")
        except Exception as error:
            if self.failed is not None and not self.failed.done():
                self.failed.set_exception(error)
            raise
        finally:
            writer.transport.abort()

    async def _converse(self, role: Role, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.get_extra_info("socket"))
        async with asyncio.timeout(self._patience.hello_s):
            # Its hello is read even of a stranger: hanging up on unread words would take our answer with it.
            refusal = await self._wrong_hello(role, reader)
            refusal = self._stranger(role, peer) or refusal
        if refusal is not None:
            self._on_refused(f"{role.value}: {refusal.rule} (pid {peer.pid}, user {peer.uid})")
            await self._write(writer, refusal)
            return
        await self._write(writer, Welcome(protocol=PROTOCOL, incarnation=self._incarnation))
        while True:
            try:
                request = await _read(reader, self._patience.frame_s)
            except ValueError as error:
                await self._write(writer, Refusal(rule="frame", detail=str(error)))
                return  # what follows cannot be told apart from the damage
            if request is None:
                return
            if type(request) not in ALLOWED[role]:
                answer: Frame = Refusal(rule="role", detail=f"{type(request).__name__} is not for the {role.value} socket")
            else:
                answer = await self._answered(role, peer, request)
            await self._write(writer, answer)

    async def _answered(self, role: Role, peer: Peer, request: Frame) -> Frame:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            return await self._handler(role, peer, request)
        finally:
            self._busy.discard(task)

    def _stranger(self, role: Role, peer: Peer) -> Refusal | None:
        if peer.uid in self._roles.get(role, frozenset()):
            return None
        return Refusal(rule="peer", detail=f"user {peer.uid} may not use the {role.value} socket")

    async def _wrong_hello(self, role: Role, reader: asyncio.StreamReader) -> Refusal | None:
        try:
            frame = await _read(reader, None)
        except ValueError as error:
            return Refusal(rule="frame", detail=str(error))
        if not isinstance(frame, Hello):
            return Refusal(rule="hello", detail="expected Hello first")
        if frame.protocol != PROTOCOL:
            return Refusal(rule="protocol", detail=f"expected protocol {PROTOCOL}, found {frame.protocol}; update the older side")
        if frame.role is not role:
            return Refusal(rule="role", detail=f"this is the {role.value} socket, not {frame.role.value}")
        if frame.strategy and self._strategies and frame.strategy not in self._strategies:
            return Refusal(
                rule="other_strategy",
                detail=f"expected an engine that decides by {', '.join(sorted(self._strategies))}, which this gate and its grants are for, found "
                f"{frame.strategy}: another kernel or other parameters; start gate and engine anew from one configuration, and arm",
            )
        return None

    async def _write(self, writer: asyncio.StreamWriter, frame: Frame) -> None:
        try:
            data = encode(frame)
        except ValueError as error:
            data = encode(Refusal(rule="answer", detail=str(error)))
        writer.write(data)
        async with asyncio.timeout(self._patience.write_s):
            await writer.drain()


async def _read(reader: asyncio.StreamReader, frame_s: float | None) -> AnyFrame | None:
    """The next frame, None at a clean end. Raises ValueError for what is no frame, TimeoutError if one stops in its middle."""
    try:
        first = await reader.readexactly(1)
    except asyncio.IncompleteReadError:
        return None
    async with asyncio.timeout(frame_s):
        rest = await reader.readexactly(LENGTH_BYTES - 1)
        return decode(await reader.readexactly(body_length(first + rest)))


class Client:
    """A blocking client of one socket, for commands and tests. Checks who listens before it says a word."""

    def __init__(self, path: Path, role: Role, server_uids: frozenset[int], timeout_s: float = 10.0) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            try:
                self._socket.connect(str(path))
            except OSError as error:
                raise Refused(f"{path}: expected a gate that listens, found: {error.strerror or error}; is it running?") from error
            server = peer_of(self._socket)
            if server.uid not in server_uids:
                raise Refused(f"{path}: expected a gate of user {sorted(server_uids)}, found one of user {server.uid}; do not talk to it")
            welcome = self.request(Hello(protocol=PROTOCOL, role=role))
            if not isinstance(welcome, Welcome):
                raise Refused(f"{path}: {welcome.detail if isinstance(welcome, Refusal) else welcome}")
            self.incarnation = welcome.incarnation
        except BaseException:
            self._socket.close()
            raise

    def request(self, frame: Frame) -> AnyFrame:
        """Send one request and wait for its answer. Raises Refused if the gate goes away or is silent: then it is not known whether it was done."""
        try:
            self._socket.sendall(encode(frame))
            return decode(self._exactly(body_length(self._exactly(LENGTH_BYTES))))
        except (OSError, ValueError) as error:
            raise Refused(f"{self._path}: expected an answer, found: {error}; look at `status` before you try again") from error

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            if not piece:
                raise ConnectionError("the gate closed the connection")
            data += piece
        return data

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
