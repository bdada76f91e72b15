"""The sentinel's socket: who may speak, what is understood, and that a slow or rude client costs nobody anything."""

import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sentinel.world import Hand, config_of, follow, gate, names, ports_of, running, until

from interlock.domain.errors import Refused
from interlock.sentinel import control
from interlock.simulate.fake_venue.server import Addresses

ME = frozenset({os.geteuid()})


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        yield connection


@contextmanager
def served(folder: Path, answer: control.Answer, users: frozenset[int] = ME) -> Iterator[Path]:
    listening, lock = control.listen(folder)
    thread = threading.Thread(target=control.serve, args=(listening, users, answer))
    thread.start()
    try:
        yield folder / control.NAME
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        listening.close()
        os.close(lock)


def echo(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"event": "ECHO", **request}


def test_folder_and_socket_are_private_and_there_is_one_listener(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "s"
    with served(folder, echo) as path:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o750
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert [*control.ask(path, {"a": 1}, ME, 5)] == [{"event": "ECHO", "a": 1}]
        with pytest.raises(Refused, match="another sentinel"):
            control.listen(folder)
        assert [*control.ask(path, {"a": 2}, ME, 5)] == [{"event": "ECHO", "a": 2}]
    # A leftover socket of a dead one is replaced.
    assert path.is_socket()
    with served(folder, echo) as path:
        assert [*control.ask(path, {}, ME, 5)] == [{"event": "ECHO"}]


def test_what_lies_in_the_way_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / control.NAME).write_text("mine")
    with pytest.raises(Refused, match="remove it"):
        control.listen(tmp_path)
    (tmp_path / control.NAME).unlink()
    (tmp_path / control.NAME).symlink_to("elsewhere")
    with pytest.raises(Refused, match="remove it"):
        control.listen(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(Refused, match="expected a folder"):
        control.listen(tmp_path / "link")
    deep = tmp_path / ("x" * 120)
    with pytest.raises(Refused, match="listen there alone"):
        control.listen(deep)


def test_a_crowd_that_says_nothing_keeps_nobody_out_and_holds_no_more_threads_than_there_is_room_for(tmp_path: Path) -> None:
    with served(tmp_path / "s", echo) as path, ExitStack() as stack:
        crowd = [stack.enter_context(connected(path)) for _ in range(control.MOST_VISITORS + 8)]
        assert [*control.ask(path, {"a": 1}, ME, 1)] == [{"event": "ECHO", "a": 1}]
        assert [one.recv(1) for one in crowd[:8]] == [b""] * 8  # they made room
        # The thread of one that was put out is about to end when its connection has.
        deadline = time.monotonic() + 10
        while (talking := sum(one.name == "sentinel-connection" for one in threading.enumerate())) > control.MOST_VISITORS:
            assert time.monotonic() < deadline, talking
            time.sleep(0.01)
        assert talking > 1
        crowd[-1].sendall(struct.pack(">I", 8) + b'{"a": 2}')
        assert crowd[-1].recv(100)[4:] == b'{"event": "ECHO", "a": 2}'


def test_a_crowd_puts_out_the_silent_before_one_that_is_being_told_things(tmp_path: Path) -> None:
    go_on = threading.Event()

    def follow_up(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"event": "TAKEN"}
        go_on.wait(10)
        yield {"event": "FINAL"}

    with served(tmp_path / "s", follow_up) as path, ExitStack() as stack:
        told = control.ask(path, {}, ME, 10)
        assert next(told) == {"event": "TAKEN"}
        for _ in range(2 * control.MOST_VISITORS):
            stack.enter_context(connected(path))
        until(lambda: sum(one.name == "sentinel-connection" for one in threading.enumerate()) <= control.MOST_VISITORS)
        go_on.set()
        assert [*told] == [{"event": "FINAL"}]


def test_a_user_who_is_not_named_is_refused_on_both_sides(tmp_path: Path) -> None:
    with served(tmp_path / "s", echo, frozenset({os.geteuid() + 1})) as path:
        (refused,) = control.ask(path, {}, ME, 5)
        assert (refused["event"], "may not use" in refused["reason"]) == ("REFUSED", True)
        with pytest.raises(Refused, match="do not trust it"):
            list(control.ask(path, {}, frozenset({os.geteuid() + 1}), 5))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (struct.pack(">I", 0), "1 to"),
        (struct.pack(">I", 1 << 21), "1 to"),
        (struct.pack(">I", 2) + b"{x", "one JSON object"),
        (struct.pack(">I", 2) + b"\xff\xff", "one JSON object"),
        (struct.pack(">I", 2) + b"[]", "found list"),
    ],
)
def test_what_is_no_frame_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    with served(tmp_path / "s", echo) as path, connected(path) as connection:
        connection.sendall(data)
        assert says in control.read_frame(connection)["reason"]


def test_a_client_that_goes_away_or_never_speaks_delays_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "REQUEST_S", 0.2)

    def refuse(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        until(gone.is_set)
        raise Refused("no")
        yield {}

    gone = threading.Event()
    with served(tmp_path / "s", echo) as path, connected(path) as silent, connected(path) as half:
        half.sendall(b"\x00\x00")
        start = time.monotonic()
        assert [*control.ask(path, {}, ME, 5)] == [{"event": "ECHO"}]
        assert time.monotonic() - start < 0.2
        with pytest.raises(EOFError):
            control.read_frame(silent)
    with served(tmp_path / "s", refuse) as path:
        with connected(path) as connection:
            connection.sendall(struct.pack(">I", 2) + b"{}")
        gone.set()
        # The answer to the one who left finds nobody; the next one is heard.
        (refused,) = control.ask(path, {}, ME, 5)
        assert refused == {"event": "REFUSED", "reason": "no"}


def test_nobody_there_is_said(tmp_path: Path) -> None:
    enough = threading.Event()

    def slow(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        enough.wait(5)
        yield {}

    with pytest.raises(Refused, match="Is it running"):
        list(control.ask(tmp_path / "none", {}, ME, 1))
    with served(tmp_path / "s", slow) as path:
        with pytest.raises(Refused, match="a kill that it took"):
            list(control.ask(path, {}, ME, 0.1))
        enough.set()


def test_verbs_that_are_not_known_are_refused_and_a_kill_is_not_for_its_garnish(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 2)
    with gate(tmp_path / "stop", "fine"), running(config_of(tmp_path, ports_of(fake))) as sentinel:
        for verb in ("place", "KILL", "", None, 5):
            (refused,) = control.ask(sentinel.path, {"verb": verb}, ME, 5)
            assert refused["event"] == "REFUSED"
        assert len(hand.open("bybit")) == 2
        for wrong in (5, {"bybit": "x"}, {"bybit": [5]}, {"bybit": [""]}, [["bybit"]]):
            events = follow(sentinel.path, client_ids=wrong, source=7, more="x")
            assert names(events)[0] == "IGNORED"
            assert names(events)[-1] == "FINAL"
        assert not hand.open("bybit")


def test_a_kill_goes_on_without_the_one_who_asked(tmp_path: Path, fake: Addresses, hand: Hand) -> None:
    hand.place("bybit", 20)
    with gate(tmp_path / "stop", "fine"), running(config_of(tmp_path, ports_of(fake))) as sentinel:
        with connected(sentinel.path) as connection:
            connection.sendall(struct.pack(">I", 15) + b'{"verb":"kill"}')
        until(lambda: sentinel.sentinel.current is not None and sentinel.sentinel.current.over)
        assert not hand.open("bybit")


def test_who_follows_is_told_that_it_still_waits(tmp_path: Path, fake: Addresses) -> None:
    config = config_of(tmp_path, ports_of(fake), expiry_bybit=3_000_000_000)
    with gate(tmp_path / "stop", "fine"), running(config) as sentinel:
        events = []
        for event in control.ask(sentinel.path, {"verb": "kill"}, ME, 10):
            events.append(event["event"])
            if events[-1] == "WAITING":
                break
        assert "SWEPT" in events
        assert "FINAL" not in events
