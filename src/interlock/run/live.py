"""A run against venues: gate, sentinel, checker and engine as processes, started in order, watched, and ended in order.

On paper the gate's venue is a paper venue. In shadow it is that too, and its folder is named for what it is, counterfactual: what watches the account
is another process (`observer_process`), which reads and has no way to order.

This process holds no key and decides nothing. It starts the gate (which starts sentinel and checker, and recovers and reconciles before it is ready),
then the engine; it restarts an engine that dies, writes down every minute how the run stands, and at the end lets the engine stop first, so that
nothing new comes while the gate takes everything back.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from interlock.domain.clock import NS_PER_S, Clock
from interlock.domain.errors import BadInput, Refused, UsageError
from interlock.gate.frames import GetStatus, Role, Status
from interlock.gate.sockets import Client
from interlock.run.at_stop import AtStop, reduce_positions
from interlock.run.build import strategy_digest
from interlock.run.config import RunConfig, load_config
from interlock.run.folder_names import CONFIG_FILE, ENGINE_FOLDER, LIMITS_FILE, PAPER_FOLDER
from interlock.run.interrupt import StopWish
from interlock.run.layers import resolve
from interlock.run.live_figures import Figures
from interlock.run.live_folder import LiveRun, require_untraded, told_of
from interlock.run.live_kpi import Course
from interlock.run.live_plan import file_digest
from interlock.run.modes import Mode, require_places, require_runnable
from interlock.run.observed import endpoint_named
from interlock.run.observer_child import ObserverChild, Stage
from interlock.run.our_verbs import GATE_ENVIRONMENT, arm_by_script
from interlock.run.parent_death import end_with_us
from interlock.run.run_folder import fill_folder, hold_folder, put, require_folder
from interlock.run.spinning import cores, take_right
from interlock.run.venue_child import ENVIRONMENT as ENGINE_ENVIRONMENT
from interlock.run.venue_child import VenueChild
from interlock.venues.endpoint import Where

READY_S: Final = 120.0
"""How long the gate may take to be ready; it waits for the venues' limits by itself."""
ENGINE_READY_S: Final = 240.0
"""How long the engine may take: the first start of a version compiles."""
LEAVE_S: Final = 30.0
LOOK_S: Final = 0.1
CHECKPOINT_S: Final = 60.0
HEARTBEAT_S: Final = 1.0
MOST_RESTARTS: Final = 20


@dataclass
class Running:
    """A run that goes on: the processes, and where the gate is spoken to."""

    run: LiveRun
    figures: Figures
    sockets: Mapping[str, str]
    gate: subprocess.Popen[bytes]
    engine: subprocess.Popen[bytes] | None
    observer: ObserverChild | None = None
    truth: Path | None = None
    """Where the simulated venue of the orders writes what it executed."""
    restarts: int = 0
    course: Course = field(default_factory=Course)

    def status(self) -> Status | None:
        """How the gate stands; None if it does not answer."""
        try:
            with Client(Path(self.sockets["read"]), Role.READ, frozenset({os.geteuid()}), 2.0) as client:
                answer = client.request(GetStatus())
        except Refused:
            return None
        return answer if isinstance(answer, Status) else None

    def engine_stands(self) -> dict[str, Any] | None:
        """How the engine said last that it stands."""
        try:
            found: dict[str, Any] = json.loads((self.run.out / ENGINE_FOLDER / "engine.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found


OnRunning = Callable[[Running], None]
"""Told when everything runs, once; a demo arms then."""
OnLook = Callable[[Running, float], None]
"""Told again and again while it runs, with the seconds since it began."""


@dataclass(frozen=True, slots=True)
class LiveResult:
    """What came of a run: its figures, and the exit code of the gate."""

    out: Path
    kpi: Mapping[str, Any]
    interrupted: bool

    @property
    def passed(self) -> bool:
        """Whether every invariant of the run held."""
        return bool(self.kpi["verdict"] == "PASS")


def run_live(
    run: LiveRun,
    environ: Mapping[str, str],
    *,
    clock: Clock,
    stop: StopWish,
    stage: Stage,
    on_running: OnRunning | None = None,
    on_look: OnLook | None = None,
) -> LiveResult:
    """Run to the end, and write `kpi.json`. Raises UsageError and Refused before anything trades; whatever was started then is ended again."""
    resolved = resolve(run.config, environ, profile=run.profile, given=run.given)
    config = resolved.config
    require_runnable(run.mode, config, run.config, environ, places=run.places)
    assert config.live is not None
    assert run.places is not None or run.mode is Mode.PAPER
    if config.live.spin:
        # Taken by the engine when it begins; that there is none is said before anything does.
        take_right(cores()).release()
    limits = run.config.parent / config.live.limits
    if not limits.is_file():
        raise BadInput(run.config, "live.limits", f"expected a file of limits at {limits}, found none")
    told = told_of(run, resolved)
    require_folder(run.out, resolved, told, prepared=run.prepared)
    if run.places is not None and run.market[0] is Where.LOOPBACK:
        require_places(run.places, config)
    with hold_folder(run.out):
        require_untraded(run)
        fill_folder(run.out, resolved, limits, told)
        return _run(run, config, environ, clock=clock, stop=stop, stage=stage, on_running=on_running, on_look=on_look)


def _run(
    run: LiveRun,
    config: RunConfig,
    environ: Mapping[str, str],
    *,
    clock: Clock,
    stop: StopWish,
    stage: Stage,
    on_running: OnRunning | None,
    on_look: OnLook | None,
) -> LiveResult:
    """A run in a folder that is its own."""
    assert config.live is not None
    paper: VenueChild | None = None
    observer: ObserverChild | None = None
    gate: subprocess.Popen[bytes] | None = None
    running: Running | None = None
    watched: int | None = None
    traded = run.places
    figures = Figures(run)
    try:
        figures.begin()
        if run.mode is Mode.SHADOW:
            # First, so that nothing else begins with a key that may do more than look.
            stage("looking at the key and the account", 0, 0)
            observer = _start_observer(run, environ)
            observer.ready(stop, stage)
        if run.on_paper:
            environ = {**environ, "READ_ONLY_ENFORCED": "false"}
            stage("starting the paper venue", 0, 0)
            paper = _start_paper(run, sorted(config.instruments), environ)
            traded = paper.where(stop, stage)
        assert traded is not None
        stage("starting the gate", 0, 0)
        gate = _start_gate(run, traded, environ)
        sockets = _sockets(gate, run.out, stop, stage)
        running = Running(run, figures, sockets, gate, None, observer, run.truth())
        put(
            run.out / ENGINE_FOLDER / "config.json",
            msgspec.json.encode(engine_told(run, config.live.strategy, sockets, spin=config.live.spin)),
        )
        running.engine = _start_engine(run, environ)
        _await_engine(running, stop, stage)
        if run.on_paper and not stop.wanted:
            # Nothing is at stake: what a person has to do elsewhere is done by a script.
            arm_by_script(running.sockets["raise"], running.status, environ, stop=stop, stage=stage)
        if on_running is not None and not stop.wanted:
            on_running(running)
        running.course.begin(clock, run.seconds)
        watch(running, environ, clock=clock, stop=stop, stage=stage, on_look=on_look)
        running.course.interrupted = stop.wanted
        running.course.end(clock)
    finally:
        stage("stopping: the engine, then the gate with its orders", 0, 0)
        if running is not None and running.engine is not None:
            _stop(running.engine)
        if running is not None and run.at_stop is AtStop.REDUCE:
            running.course.reduction = reduce_positions(running.sockets, config.live.strategy, stop, stage)
        last = None if running is None else running.status()
        code = _end(gate)
        if observer is not None:
            # After the gate, so that it has seen the last permit.
            watched = observer.end()
        if paper is not None:
            paper.end()
        figures.close()
    assert running is not None
    running.course.gate_exit = code
    running.course.observer_exit = watched
    running.course.restarts = running.restarts
    stage("writing the figures of the run", 0, 0)
    kpi = figures.final(running.course, running.engine_stands(), last, running.truth)
    return LiveResult(run.out, kpi, running.course.interrupted)


# The beginning


def _start_paper(run: LiveRun, symbols: Sequence[str], environ: Mapping[str, str]) -> VenueChild:
    """Simulated venues whose market is the live one: the venues' own feeds, or those of the simulators that `places` names.

    They listen to the feeds that the engine listens to, and play our orders by the matching model of the replay. That nobody reacts to our orders,
    and that a real way to a venue is longer than this host's loopback, flatters; the figures say that it was paper.
    """
    where, places = run.market
    follow = where.value if places is None else str(places)
    # Keys of its own: simulators of one seed have the same, and those that are followed must not take what is signed for paper.
    seed = str(secrets.randbits(31))
    return VenueChild.start(
        run.out / PAPER_FOLDER, environ, "--seed", seed, "--follow", follow, *(word for one in symbols for word in ("--symbols", one))
    )


def _start_observer(run: LiveRun, environ: Mapping[str, str]) -> ObserverChild:
    assert run.places is not None
    return ObserverChild.start(
        run.out,
        environ,
        limits=run.out / LIMITS_FILE,
        places=run.places,
        endpoint=endpoint_named(run.places),
        counterfactual=run.gate_folder / "journal",
        config=file_digest(run.out / CONFIG_FILE),
        before=end_with_us(),
    )


def gate_words(run: LiveRun, places: Path) -> list[str]:
    """The command of the gate. On paper and in shadow `places` are those of the paper venue."""
    venue = "testnet" if run.mode is Mode.TESTNET else "served"
    words = ["gate", "serve", "--dir", str(run.gate_folder), "--venue", venue]
    config = load_config(run.out / CONFIG_FILE)
    assert config.live is not None
    # What the engine will say of itself: it reads the same file.
    words += ["--strategy", f"{config.live.strategy}={strategy_digest(config.digest)}"]
    return [*words, "--places", str(places), "--limits", str(run.out / LIMITS_FILE), "--json"]


def _start_gate(run: LiveRun, places: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    passed = (*GATE_ENVIRONMENT, "CREDENTIALS_DIRECTORY") if run.mode is Mode.TESTNET else GATE_ENVIRONMENT
    kept = {name: environ[name] for name in passed if name in environ}
    command = [sys.executable, "-P", "-m", "interlock", *gate_words(run, places)]
    with (run.out / "gate.log").open("ab") as log:
        # A session of its own: Ctrl-C is for us, and we end the gate in order.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=kept,
            start_new_session=True,
            preexec_fn=end_with_us(),  # noqa: PLW1509 - this process has no threads
        )


def _sockets(gate: subprocess.Popen[bytes], out: Path, stop: StopWish, stage: Stage) -> Mapping[str, str]:
    assert gate.stdout is not None
    until = time.monotonic() + READY_S
    line = b""
    while not line.endswith(b"\n"):
        stage("waiting for the gate to recover and reconcile", 0, 0)
        if stop.wanted:
            raise KeyboardInterrupt
        if time.monotonic() > until:
            raise Refused(f"the gate was not ready after {READY_S:.0f} s; see {out / 'gate.log'}")
        piece = _read_some(gate.stdout)
        if piece == b"" and gate.poll() is not None:
            raise _gate_refused(gate, out)
        line += piece or b""
    found: dict[str, Any] = json.loads(line)
    if "error" in found:
        # Asked for JSON, the gate says there why it does not begin.
        problem = found["error"]
        gate.wait(LEAVE_S)
        error = UsageError if gate.returncode == 2 else Refused
        raise error(f"the gate did not start (exit code {gate.returncode}): {problem['message']}; see {out / 'gate.log'}")
    return found


def _read_some(pipe: IO[bytes]) -> bytes | None:
    """What is there within a moment; None if there is nothing, b"" at the end."""
    ready, _, _ = select.select([pipe], [], [], LOOK_S)
    return os.read(pipe.fileno(), 65_536) if ready else None


def _gate_refused(gate: subprocess.Popen[bytes], out: Path) -> Refused:
    lines = (out / "gate.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = lines[-1] if lines else "nothing"
    error = UsageError if gate.returncode == 2 else Refused
    return error(f"the gate did not start (exit code {gate.returncode}): {said}; see {out / 'gate.log'}")  # type: ignore[return-value]


def engine_told(run: LiveRun, strategy: str, sockets: Mapping[str, str], *, spin: bool = False) -> dict[str, Any]:
    """What the engine is told: nothing of a key, and of no address but public ones."""
    where, places = run.market
    return {
        "config": str((run.out / CONFIG_FILE).absolute()),
        "out": str((run.out / ENGINE_FOLDER).absolute()),
        "where": where.value,
        "strategy": strategy,
        "intent": sockets["intent"],
        "places": None if places is None else public_places(json.loads(places.read_bytes())),
        "spin": spin,
    }


def public_places(places: dict[str, Any]) -> dict[str, Any]:
    """The simulators' places without what the engine must not hold: no key, no secret, no address of the order side."""
    found: dict[str, Any] = {}
    for name, place in places.items():
        if isinstance(place, dict):
            # The private addresses are there by name, since a place without them is none; they lead to the public side.
            public = place["ws_public"]
            rest = public.replace("wss://", "https://").replace("ws://", "http://").split("/", 3)
            found[name] = {"rest": "/".join(rest[:3]), "ws_public": public, "ws_private": public}
    if "ca" in places:
        found["ca"] = places["ca"]
    return found


def _start_engine(run: LiveRun, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    kept = {name: environ[name] for name in ENGINE_ENVIRONMENT if name in environ}
    folder = run.out / ENGINE_FOLDER
    (folder / "engine.json").unlink(missing_ok=True)
    with (folder / "engine.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "interlock.run.engine_process", str(folder / "config.json")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=kept,
            start_new_session=True,
            preexec_fn=end_with_us(),  # noqa: PLW1509 - this process has no threads
        )


def _await_engine(running: Running, stop: StopWish, stage: Stage) -> None:
    """Until every book was seen once."""
    until = time.monotonic() + ENGINE_READY_S
    while not stop.wanted:
        stage("waiting for the engine's books (the first start of a version compiles, half a minute)", 0, 0)
        stands = running.engine_stands()
        if stands is not None and all(book["bid_ticks"] and book["ask_ticks"] for book in stands["books"]):
            return
        assert running.engine is not None
        if running.engine.poll() is not None:
            raise _engine_refused(running)
        if time.monotonic() > until:
            raise Refused(f"the engine saw no book in {ENGINE_READY_S:.0f} s; see {running.run.out / ENGINE_FOLDER / 'engine.log'}")
        time.sleep(LOOK_S)


def _engine_refused(running: Running) -> Refused:
    assert running.engine is not None
    log = running.run.out / ENGINE_FOLDER / "engine.log"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    error = UsageError if running.engine.returncode == 2 else Refused
    said = lines[-1] if lines else "nothing"
    return error(f"the engine did not start (exit code {running.engine.returncode}): {said}; see {log}")  # type: ignore[return-value]


# While it runs


def watch(running: Running, environ: Mapping[str, str], *, clock: Clock, stop: StopWish, stage: Stage, on_look: OnLook | None) -> None:
    """Look after a run that has begun until its time is over, somebody wants it to stop, or one of its processes ends that must not; write a
    checkpoint of its figures every CHECKPOINT_S."""
    began_ns = beat_ns = checkpoint_ns = clock.monotonic_ns()
    seconds = running.run.seconds
    while not stop.wanted:
        now_ns = clock.monotonic_ns()
        passed_s = (now_ns - began_ns) / NS_PER_S
        if seconds is not None and passed_s >= seconds:
            return
        if running.gate.poll() is not None:
            running.course.cut(f"the gate ended by itself with exit code {running.gate.returncode}")
            return
        if running.observer is not None and running.observer.process.poll() is not None:
            running.course.cut(f"the account is not watched any more: {running.observer.last_words()}")
            return
        if not _keep_engine(running, environ):
            return
        if now_ns - beat_ns >= HEARTBEAT_S * NS_PER_S:
            beat_ns = now_ns
            running.course.beat(clock)
            stage(_stands(running.course), round(passed_s), 0 if seconds is None else round(seconds))
        if now_ns - checkpoint_ns >= CHECKPOINT_S * NS_PER_S:
            checkpoint_ns = now_ns
            running.figures.checkpoint(running.course, running.engine_stands(), running.status(), running.truth)
        if on_look is not None:
            on_look(running, passed_s)
        time.sleep(LOOK_S if seconds is None else max(0.0, min(LOOK_S, seconds - passed_s)))


def _stands(course: Course) -> str:
    """For whoever looks on: that it runs, and what went wrong last."""
    return f"running; trouble: {course.trouble[-1]}" if course.trouble else "running"


def _keep_engine(running: Running, environ: Mapping[str, str]) -> bool:
    """Start an engine anew that died; False where it has died too often, which ends the run. The gate has taken its orders back, or does so now."""
    if running.engine is not None and running.engine.poll() is None:
        return True
    code = None if running.engine is None else running.engine.returncode
    running.course.trouble.append(f"the engine ended by itself with exit code {code}")
    if running.restarts >= MOST_RESTARTS:
        log = running.run.out / ENGINE_FOLDER / "engine.log"
        running.course.cut(f"the engine ended {running.restarts + 1} times, and is not started again; see {log}")
        return False
    running.restarts += 1
    running.engine = _start_engine(running.run, environ)
    return True


# The end


def _end(gate: subprocess.Popen[bytes] | None) -> int | None:
    """Stop the gate; its exit code."""
    if gate is None:
        return None
    code = _stop(gate)
    if gate.stdout is not None:
        gate.stdout.close()
    return code


def _stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
