"""The gate's sockets with real peers: who is let in, what each role may ask, and who cannot block whom."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interlock.domain.errors import Refused
from interlock.domain.orders import OrderState
from interlock.gate import frames
from interlock.gate.frames import ALLOWED, PROTOCOL, Done, Frame, Hello, Refusal, Role, Welcome
from interlock.gate.records import Level, Scope
from interlock.gate.sockets import Client, Patience, Peer, Sockets, listen, only_user, private_folder

ME = os.geteuid()
LIFE = "ab" * 16
QUICK = Patience(hello_s=0.3, frame_s=0.3, write_s=0.3)

REQUESTS: tuple[Frame, ...] = (
    frames.Propose(proposals=()),
    frames.CancelOwn(client_ids=(), reason="test"),
    frames.Follow(after=7, wait_ns=1_000),
    frames.Edge(strategy="demo", measured_bps="1", threshold_bps="2"),
    frames.GetStatus(),
    frames.Kill(source="test"),
    frames.Freeze(scope=Scope.ALL, subject="", level=Level.HALT, reason="test"),
    frames.Disarm(reason="test"),
    frames.Tighten(limits="", reason="test"),
    frames.ArmBegin(conditions={}, max_notional_usd="100", lifetime_ns=1, mandate_ns=0, scripted=False, state_version=0, nonce="n"),
    frames.ArmAnswer(challenge_id="c", acknowledgement="a", phrase="p", level_nonce="n"),
    frames.DrillEnd(drill_id="d", verdict="PASS", cancelled={"bybit": 1}),
    frames.Resume(level=Level.RUN, latch="", scope=Scope.ALL, subject="", state_version=0, nonce="n"),
    frames.Expect(event="deposit", venue="bybit", amount="500", currency="USDT", within_ns=1, nonce="n"),
    frames.Release(client_id="c", state=OrderState.ABSENT, filled_lots=0, state_version=0, nonce="n"),
    frames.Attest(
        venue="bybit",
        account="main",
        fingerprint="0123456789abcdef",
        trade=None,
        withdraw=False,
        transfer=None,
        address_bound=None,
        expires_wall_ns=0,
        for_ns=1,
        statement="",
        scripted=True,
        state_version=1,
        nonce="n",
    ),
    frames.Adjust(venue="bybit", currency="USDT", amount="1", symbol="", lots=0, ticks=0, state_version=0, nonce="n"),
)


class Gate:
    """A handler that remembers what reached it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Role, Peer, Frame]] = []
        self.fails = False

    async def __call__(self, role: Role, peer: Peer, request: Frame) -> Frame:
        self.asked.append((role, peer, request))
        if self.fails:
            raise ZeroDivisionError
        return Done(report={"asked": type(request).__name__})


def with_gate(folder: Path, use: Callable[[Sockets, Gate], Any], uid: int = ME, patience: Patience = QUICK) -> Any:
    """Run blocking code against listening sockets; what it returns."""

    async def run() -> Any:
        gate = Gate()
        async with Sockets(folder, LIFE, only_user(uid), gate, patience) as sockets:
            return await asyncio.to_thread(use, sockets, gate)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("told", "expected", "refused"),
    [
        ("b", {"a"}, True),
        ("b", {"a", "c"}, True),
        ("a", {"a"}, False),
        ("a", {"a", "c"}, False),
        ("", {"a"}, False),
        ("b", set(), False),
    ],
)
def test_an_engine_that_decides_by_something_else_is_refused_at_its_greeting(
    tmp_path: Path, told: str, expected: set[str], *, refused: bool
) -> None:
    async def run() -> list[Any]:
        gate = Gate()
        said: list[str] = []
        async with Sockets(tmp_path, LIFE, only_user(ME), gate, QUICK, said.append, strategies=expected) as sockets:
            hello = frames.encode(Hello(protocol=PROTOCOL, role=Role.INTENT, strategy=told))
            asked = hello + frames.encode(frames.Propose(proposals=()))
            reader, writer = await asyncio.open_unix_connection(str(sockets.paths[Role.INTENT]))
            writer.write(asked)
            answers = []
            for _ in range(1 if refused else 2):
                length = frames.body_length(await reader.readexactly(frames.LENGTH_BYTES))
                answers.append(frames.decode(await reader.readexactly(length)))
            writer.close()
        assert bool(said) is refused
        assert bool(gate.asked) is not refused
        return answers

    first, *further = asyncio.run(run())
    if refused:
        assert isinstance(first, Refusal)
        assert (first.rule, further) == ("other_strategy", [])
        assert "found b: another kernel or other parameters" in first.detail
    else:
        assert isinstance(first, frames.Welcome)
        assert further == [Done(report={"asked": "Propose"})]


def client(sockets: Sockets, role: Role) -> Client:
    return Client(sockets.paths[role], role, frozenset({ME}), timeout_s=5)


def raw(sockets: Sockets, role: Role, data: bytes) -> bytes:
    """Send bytes that no client of ours would, and read until the gate hangs up."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        peer.connect(str(sockets.paths[role]))
        peer.sendall(data)
        answer = b""
        try:
            while piece := peer.recv(1 << 16):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_its_own_requests_and_no_others(tmp_path: Path, role: Role) -> None:
    def use(sockets: Sockets, gate: Gate) -> None:
        with client(sockets, role) as ours:
            assert ours.incarnation == LIFE
            for request in REQUESTS:
                gate.asked.clear()
                answer = ours.request(request)
                if isinstance(request, ALLOWED[role]):
                    assert answer == Done(report={"asked": type(request).__name__})
                    assert [(r, p.uid, q) for r, p, q in gate.asked] == [(role, ME, request)]
                else:
                    assert isinstance(answer, Refusal)
                    assert answer.rule == "role"
                    assert gate.asked == []

    with_gate(tmp_path, use)


def test_every_request_but_a_look_has_exactly_one_socket() -> None:
    listed = [kind for kinds in ALLOWED.values() for kind in kinds if kind is not frames.GetStatus] + [frames.GetStatus]
    assert all(frames.GetStatus in kinds for kinds in ALLOWED.values())
    assert sorted(kind.__name__ for kind in listed) == sorted(type(request).__name__ for request in REQUESTS)


def test_a_stranger_is_refused_before_a_word(tmp_path: Path) -> None:
    def use(sockets: Sockets, gate: Gate) -> None:
        with pytest.raises(Refused, match="may not use the raise socket"):
            client(sockets, Role.RAISE)
        assert gate.asked == []

    with_gate(tmp_path, use, uid=ME + 1)


def test_a_client_does_not_talk_to_somebody_elses_gate(tmp_path: Path) -> None:
    def use(sockets: Sockets, gate: Gate) -> None:
        with pytest.raises(Refused, match="do not talk to it"):
            Client(sockets.paths[Role.READ], Role.READ, frozenset({ME + 1}))

    with_gate(tmp_path, use)


def _framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


HELLO = frames.encode(Hello(protocol=PROTOCOL, role=Role.READ))


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "frame"),
        (struct.pack(">I", 0), "frame"),
        (_framed(b"\xc1"), "frame"),
        (_framed(b"\x81\xa1k\xa5hello"), "frame"),
        (frames.encode(frames.GetStatus()), "hello"),
        (frames.encode(Hello(protocol=PROTOCOL + 1, role=Role.READ)), "protocol"),
        (frames.encode(Hello(protocol=PROTOCOL, role=Role.RAISE)), "role"),
        (HELLO + b"\xff\xff\xff\xff", "frame"),
        (HELLO + _framed(b"\x82\xa1k\xa6status\xa1x\x01"), "frame"),
    ],
)
def test_whoever_does_not_speak_the_protocol_is_told_and_hung_up_on(tmp_path: Path, said: bytes, rule: str) -> None:
    def use(sockets: Sockets, gate: Gate) -> None:
        answer = raw(sockets, Role.READ, said)
        last = b""
        while answer:
            length = frames.body_length(answer[:4])
            last, answer = answer[4 : 4 + length], answer[4 + length :]
        told = frames.decode(last)
        assert isinstance(told, Refusal)
        assert told.rule == rule
        assert gate.asked == []
        # And the gate still answers who does.
        with client(sockets, Role.READ) as ours:
            assert isinstance(ours.request(frames.GetStatus()), Done)

    with_gate(tmp_path, use)


@pytest.mark.parametrize("said", [b"", HELLO[:3], HELLO + b"\x00\x00"], ids=["nothing", "half a hello", "half a frame"])
def test_a_silent_peer_loses_its_connection_and_blocks_nobody(tmp_path: Path, said: bytes) -> None:
    def use(sockets: Sockets, gate: Gate) -> None:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.settimeout(5)
            silent.connect(str(sockets.paths[Role.READ]))
            silent.sendall(said)
            with client(sockets, Role.READ) as ours:
                for _ in range(20):
                    assert isinstance(ours.request(frames.GetStatus()), Done)
            try:
                while silent.recv(1 << 16):
                    pass  # a welcome, then the end
            except ConnectionResetError:
                pass

    with_gate(tmp_path, use)


def test_a_peer_that_does_not_read_is_given_up(tmp_path: Path) -> None:
    def use(sockets: Sockets, gate: Gate) -> None:
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.settimeout(5)
            deaf.connect(str(sockets.paths[Role.READ]))
            request = frames.encode(frames.GetStatus())
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                deaf.sendall(HELLO + request * 200_000)
        with client(sockets, Role.READ) as ours:
            assert isinstance(ours.request(frames.GetStatus()), Done)

    with_gate(tmp_path, use)


def test_a_failing_handler_is_not_swallowed(tmp_path: Path) -> None:
    async def run() -> None:
        gate = Gate()
        gate.fails = True
        async with Sockets(tmp_path, LIFE, only_user(ME), gate, QUICK) as sockets:

            def ask() -> None:
                with client(sockets, Role.READ) as ours, pytest.raises(Refused, match="look at `status` before you try again"):
                    ours.request(frames.GetStatus())

            await asyncio.to_thread(ask)
            assert sockets.failed is not None
            with pytest.raises(ZeroDivisionError):
                await sockets.failed

    asyncio.run(run())


def test_folder_and_sockets_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "gate"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)

    def use(sockets: Sockets, gate: Gate) -> None:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o750
        for path in sockets.paths.values():
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
        # The second gate in the same folder does not get in, nor does it harm the first.
        with pytest.raises(Refused, match="another process listens there"):
            listen(sockets.paths[Role.READ])
        with client(sockets, Role.READ) as ours:
            assert isinstance(ours.request(frames.GetStatus()), Done)

    with_gate(folder, use)
    assert not any(path.suffix == ".sock" for path in folder.iterdir())
    with_gate(folder, use)  # and a leftover lock file does not keep the next one out


def test_a_folder_or_socket_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises((Refused, FileExistsError)):
        private_folder(tmp_path / "file")
    with pytest.raises(Refused, match="expected a folder, found something else"):
        private_folder(tmp_path / "link")
    (tmp_path / "real" / "read.sock").symlink_to(tmp_path / "file")
    with pytest.raises(Refused, match="expected nothing or an old socket"):
        listen(tmp_path / "real" / "read.sock")
    with pytest.raises(Refused, match="a shorter path may be needed"):
        listen(tmp_path / ("x" * 120))
    listening, lock = listen(tmp_path / "real" / "fine.sock")
    listening.close()
    os.close(lock)


def test_a_frame_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="send fewer at once"):
        frames.encode(Refusal(rule="x", detail="y" * (frames.MAX_FRAME_BYTES + 1)))
    assert frames.decode(frames.encode(Welcome(protocol=1, incarnation=LIFE))[4:]) == Welcome(protocol=1, incarnation=LIFE)


def test_nobody_at_the_socket_is_a_clear_refusal(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="is it running"):
        Client(tmp_path / "none.sock", Role.READ, frozenset({ME}))
