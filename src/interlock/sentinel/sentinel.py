"""The sentinel itself: watches the gate, stops it, sweeps every venue in a thread of its own.

Its threads exist before they are needed. One that dies is told, and replaced by the watching thread; while one is missing, the beat that the
gate looks for stands still, and the gate takes no new risk.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import InterlockError, Refused
from interlock.sentinel.config import Config, VenuePart
from interlock.sentinel.drive import drive
from interlock.sentinel.gate_process import GateIdentity, Life, kernel_boot_id, kill, look
from interlock.sentinel.note import Disk, Stop, note_beside
from interlock.sentinel.note_keeper import NoteKeeper
from interlock.sentinel.operation import Operation
from interlock.sentinel.stop_word import StopWord
from interlock.sentinel.sweep import Scope, Sweep, Task
from interlock.sentinel.watch import Progress
from interlock.venues.cancel_only import CancelOnly

ACKNOWLEDGE_NS = 50 * NS_PER_MS
"""How long a gate has to say that it has seen the stop, before it is killed."""
LOOK_EVERY_S = 0.01
DEATH_S = 0.05
AGAIN_S = 0.2
SWEEP_AFTER_S = 0.15
"""When the sweeps begin at the latest, whatever became of stopping the gate."""
REPLACE_NS = NS_PER_S
FEW_SYMBOLS = 3
"""Up to so many, a list of ours alone is short enough that a wider stop need not wait for its end."""
_WHAT = {Scope.OWN: 1, Scope.ALL: 2}


class Sentinel:
    """`tend` is the watching thread's work; `kill`, `drill` and `status` may be called from any thread."""

    def __init__(self, config: Config, make: Mapping[str, Callable[[], CancelOnly]], boot_ns: Callable[[], int], disk: Disk) -> None:
        self.config = config
        self.boot_ns = boot_ns
        self.progress = Progress(config.bounds)
        self.current: Operation | None = None
        self.word: StopWord | None = None
        self.stopping = False
        self._new = threading.Condition(threading.RLock())
        self._note = NoteKeeper(note_beside(config.stop_word), config.stop_note, disk)
        self._noted: tuple[Operation, int, StopWord | None] | None = None
        self._former_gate: GateIdentity | None = None
        self._file = (0, 0)
        self._unreadable = ""
        self._look_for_end_ns = 0
        self._gone_since_ns: int | None = None
        self._not_before: dict[str, int] = {}
        self._work: dict[str, Callable[[], None]] = {"gate": self._stop_gates, "note": self._note.work}
        self._threads: dict[str, tuple[threading.Thread, int]] = {}
        for part in config.venues:
            self._work[part.venue] = self._sweeper(part, make[part.venue])

    def employ(self, name: str, work: Callable[[], None]) -> None:
        """A further thread without which the sentinel does not count as alive. To be said before `start`."""
        self._work[name] = work

    def start(self) -> None:
        """Start the threads, and go on with a stop that an earlier life of the sentinel did not finish."""
        # Before anybody can ask: a drill that began without the gate's word would not know that the gate stands.
        self._attach()
        self._resume()
        for name in self._work:
            self._replace(name)

    def _resume(self) -> None:
        """Go on with the stop that word or note tell of. The word has it from its first moment, the note its orders, and what outlives the host.

        What cannot be read is one too.
        """
        left = self._note.read()
        in_word = 0 if self.word is None else self.word.unfinished
        if left is None and not in_word and not self._unreadable:
            return
        if left is not None:
            self._former_gate = left.gate_identity
        everything = in_word == _WHAT[Scope.ALL] or (left is not None and left.scope is Scope.ALL)
        operation = self.kill(Scope.ALL if everything else Scope.OWN, "resumed", {} if left is None else left.client_ids)
        for reason in filter(None, (self._unreadable, self._note.unreadable)):
            operation.tell("UNREADABLE", self.boot_ns(), reason=reason)

    def join(self) -> None:
        """Let the threads end, after `stopping` was set; the venues are left as they are."""
        with self._new:
            self.stopping = True
            self._new.notify_all()
            if self.current is not None:
                self.current.end()
        self._note.stop()
        for thread, _ in self._threads.values():
            thread.join(self.config.request_timeout_ns / NS_PER_S + 1)

    @property
    def gate_is_fresh(self) -> bool:
        """Whether the gate works and may go on."""
        return self.word is not None and not self.word.stopped and self.progress.fresh

    # what may be asked

    def kill(self, scope: Scope, source: str, client_ids: Mapping[str, tuple[str, ...]]) -> Operation:
        """Stop the gate and sweep. One that is under way and asks for no less is joined instead."""
        with self._new:
            now_ns = self.boot_ns()
            running = self._running()
            names = dict(client_ids)
            if running is not None and not running.drill:
                widens = scope is Scope.ALL and running.scope is Scope.OWN
                names = {venue: _merged(running.client_ids.get(venue), client_ids.get(venue)) for venue in {*running.client_ids, *names}}
                if not widens and names == running.client_ids:
                    return running
                scope = Scope.ALL if Scope.ALL in (scope, running.scope) else Scope.OWN
            # The word first: everything else may fail without letting anything new out.
            problem = self._set_word(scope, now_ns)
            operation = Operation([part.venue for part in self.config.venues], scope, source, now_ns, names)
            operation.tell("REQUESTED", now_ns, scope=scope.value, source=source)
            operation.tell("STOP_WORD_SET" if not problem else "NO_STOP_WORD", self.boot_ns(), reason=problem)
            self._begin(operation, running)
            return operation

    def name(self, client_ids: Mapping[str, tuple[str, ...]]) -> bool:
        """Take orders into a stop under way that it has to see the last of; whether there is one. Its scope stays what it was."""
        with self._new:
            running = self._running()
            if running is None or running.drill:
                return False
            names = {venue: _merged(running.client_ids.get(venue), client_ids.get(venue)) for venue in {*running.client_ids, *client_ids}}
            if names != running.client_ids:
                operation = Operation([p.venue for p in self.config.venues], running.scope, running.source, running.begun_ns, names)
                operation.tell("NAMED", self.boot_ns(), count=sum(map(len, names.values())))
                self._begin(operation, running)
            return True

    def drill(self, source: str) -> Operation:
        """Cancel our orders and read back, without a stop. Raises Refused while a stop is under way."""
        with self._new:
            running = self._running()
            if running is not None:
                raise Refused(f"drill: expected nothing under way, found {'a drill' if running.drill else 'a stop'}; wait for its end")
            operation = Operation([p.venue for p in self.config.venues], Scope.OWN, source, self.boot_ns(), {}, drill=True)
            operation.tell("DRILL", self.boot_ns(), source=source, gate=self._gate_life())
            operation.may_sweep = True
            self._begin(operation, None)
            return operation

    def status(self) -> dict[str, object]:
        """How things stand, as plain data."""
        running = self._running()
        return {
            "gate": self._gate_life(),
            "incarnation": "" if self.word is None else self.word.incarnation,
            "stopped": self.word is not None and self.word.stopped,
            "progress": self.progress.count,
            "stood_ns": self.progress.stood_ns,
            "beat": 0 if self.word is None else self.word.sentinel_beat,
            "missing": [name for name, (thread, _) in list(self._threads.items()) if not thread.is_alive()],
            "stuck": running is not None and running.stuck,
            "in_vain": running is not None and running.in_vain,
            "note": self._note.status(),
            "under_way": None if running is None else ("drill" if running.drill else running.scope.value),
        }

    # the watching thread

    def tend(self) -> None:
        """Look until stopped."""
        while not self.stopping:
            self.look_once()
            time.sleep(LOOK_EVERY_S)

    def look_once(self) -> None:
        """One look: at our own threads, at the gate, at an operation that is over."""
        now_ns = self.boot_ns()
        missing = [name for name, (thread, _) in self._threads.items() if not thread.is_alive()]
        for name in missing:
            self._replace(name)
        self._attach()
        if self.word is not None:
            if not missing:
                self.word.beat()
            self.progress.see(self.word.incarnation, self.word.progress, now_ns)
        self._close_up(now_ns)
        self._note_down()
        self._retire(now_ns)
        if self.progress.stalled and self.word is not None and not self.word.stopped and not self._in_drill():
            self.kill(Scope.OWN, f"the gate stands still for {self.progress.stood_ns} ns", {})

    def _retire(self, now_ns: int) -> None:
        after_ns = self.config.retire_after_ns
        if after_ns is None or now_ns < self._look_for_end_ns:
            return
        self._look_for_end_ns = now_ns + NS_PER_S
        if self._running() is not None or (self._gate() is not None and self._gate_life() is not Life.GONE):
            self._gone_since_ns = None
        elif self._gone_since_ns is None:
            self._gone_since_ns = now_ns
        elif now_ns - self._gone_since_ns >= after_ns:
            self.stopping = True

    def _in_drill(self) -> bool:
        running = self._running()
        return running is not None and running.drill

    def _running(self) -> Operation | None:
        return None if self.current is None or self.current.over else self.current

    def _close_up(self, now_ns: int) -> None:
        with self._new:
            running = self._running()
            if running is None:
                return
            if running.drill:
                late = now_ns > running.begun_ns + self.config.drill_bound_ns
                if running.all_final or late:
                    running.tell("DRILLED", now_ns, **self._drilled(running))
                    running.end()
                    self.progress.excuse()
            elif running.all_final:
                running.tell("FINAL", now_ns)
                if self.word is not None:
                    self.word.finish_sweep(now_ns)
                self._is_over(running)

    def _drilled(self, operation: Operation) -> dict[str, object]:
        ends = {venue: list(sweep.ended.values()) for venue, sweep in operation.sweeps.items()}
        cancelled = {part.venue: sum(end == "cancelled" for end in ends.get(part.venue, ())) for part in self.config.venues}
        gate = [operation.events[0]["gate"], self._gate_life()]
        verdict = "PASS" if all(cancelled.values()) else "UNKNOWN"
        if not operation.all_final or gate != [Life.STOPPED, Life.STOPPED] or sum(map(len, ends.values())) != sum(cancelled.values()):
            verdict = "FAIL"
        return {"verdict": verdict, "cancelled": cancelled, "gate": gate, "finished": operation.all_final}

    # the gate

    def _attach(self) -> None:
        """Keep to the word of the newest life. What cannot be read leaves the old word, whose progress then stands still."""
        try:
            found = os.lstat(self.config.stop_word)
        except OSError:
            return
        if (found.st_dev, found.st_ino) == self._file:
            return
        try:
            word = StopWord.attach(self.config.stop_word)
        except (OSError, InterlockError) as error:
            self._unreadable = str(error)
            return
        with self._new:
            self.word, self._file, self._unreadable = word, (found.st_dev, found.st_ino), ""
            running = self._running()
            if running is None or running.drill:
                return
            if running.stuck:
                # Waiting will not end it, and a new life of the gate begins disarmed: a person has to come by anyway.
                running.tell("ENDED_UNRESOLVED", self.boot_ns())
                self._is_over(running)
                return
            # A gate that begins in the middle of a stop begins stopped.
            word.begin_sweep(_WHAT[running.scope])
            word.stop(self.boot_ns())

    def _set_word(self, scope: Scope, now_ns: int) -> str:
        self._attach()
        if self.word is None:
            return f"{self.config.stop_word}: no stop word of a gate"
        self.word.begin_sweep(_WHAT[scope])
        self.word.stop(now_ns)
        return ""

    def _note_down(self) -> None:
        """Note what a next sentinel has to go on with, where it is not what was noted last. The word is set before, and waits for no note."""
        with self._new:
            running = self._running()
            if running is None or running.drill or self._noted == (running, running.resolved, self.word):
                return
            self._noted = running, running.resolved, self.word
            gate = self._gate()
            self._note.keep(
                Stop(
                    scope=running.scope,
                    client_ids=running.unresolved(),
                    gate=None if gate is None else (gate.pid, gate.start_ticks, gate.pid_namespace),
                    kernel_boot_id="" if gate is None else gate.kernel_boot_id or kernel_boot_id(),
                )
            )

    def _is_over(self, running: Operation) -> None:
        self._noted = self._former_gate = None
        self._note.keep(None)
        running.end()

    def _gate(self) -> GateIdentity | None:
        # Whoever has a word began after the one that a note tells of was gone.
        return (self._former_gate if self.word is None else self.word.gate) or self.config.gate_identity

    def _gate_life(self) -> Life:
        gate = self._gate()
        return Life.UNSEEN if gate is None else look(gate)

    def _begin(self, operation: Operation, before: Operation | None) -> None:
        self.current = operation
        if before is not None:
            before.supersede(operation, self.boot_ns())
        self._new.notify_all()
        self._note_down()

    def _await_operation(self, is_for_me: Callable[[Operation], bool]) -> Operation | None:
        with self._new:
            while not self.stopping:
                running = self._running()
                if running is not None and is_for_me(running):
                    return running
                self._new.wait()
        return None

    def _stop_gates(self) -> None:
        while operation := self._await_operation(lambda running: not running.drill and running.quiet_ns is None):
            word = self.word
            while word is not None and not word.acknowledged and self.boot_ns() < operation.begun_ns + ACKNOWLEDGE_NS:
                time.sleep(0.001)
            gate = self._gate()
            if word is not None and word.acknowledged:
                operation.tell("STOPPED", self.boot_ns())
            elif gate is None:
                operation.tell_once("GATE_UNCONFIRMED", self.boot_ns(), "", "neither a stop word nor a process of a gate is known")
                self._pause(operation)
                continue
            else:
                life, problem = look(gate), kill(gate, DEATH_S)
                if problem:
                    operation.tell_once("GATE_UNCONFIRMED", self.boot_ns(), "", problem)
                    self._pause(operation)
                    continue
                operation.tell("GATE_GONE" if life is Life.GONE else "GATE_KILLED", self.boot_ns())
            operation.gate_is_quiet(self.boot_ns())
            operation.let_sweep()

    def _pause(self, operation: Operation) -> None:
        operation.let_sweep()
        with operation.changed:
            operation.changed.wait_for(lambda: operation.ended, AGAIN_S)

    # the venues

    def _sweeper(self, part: VenuePart, make: Callable[[], CancelOnly]) -> Callable[[], None]:
        venue, few = part.venue, 0 < len(part.symbols) <= FEW_SYMBOLS

        def work() -> None:
            client = make()
            try:
                while operation := self._await_operation(lambda running: not running.is_final(venue)):
                    with operation.changed:
                        operation.changed.wait_for(operation.ready, SWEEP_AFTER_S)
                    ids = operation.client_ids.get(venue)
                    task = Task(operation.scope, self.config.prefixes, part.expiry_ns, ids, operation.drill, few)
                    sweep = Sweep(task, not_before_ns=self._not_before.get(venue, 0))
                    drive(venue, client, sweep, operation, self.boot_ns)
                    self._not_before[venue] = sweep.banned_until_ns
                    client.close()
            finally:
                client.close()

        return work

    def _replace(self, name: str) -> None:
        now_ns = self.boot_ns()
        _, since_ns = self._threads.get(name, (None, -REPLACE_NS))
        if now_ns - since_ns >= REPLACE_NS:
            thread = threading.Thread(target=self._work[name], name=f"sentinel-{name}", daemon=True)
            self._threads[name] = (thread, now_ns)
            thread.start()


def _merged(known: Iterable[str] | None, more: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(known or ()), *(more or ()))))
