"""Writes the figures of a live run: a checkpoint of what its journals have told so far, and at the end the whole of it with the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interlock.domain.errors import Refused
from interlock.gate.frames import Status
from interlock.run.journal_told import Journaled, ReadAlong, read_told
from interlock.run.live_folder import LiveRun
from interlock.run.live_kpi import KPI_FILE, Course, write_kpi
from interlock.run.modes import Mode
from interlock.run.shadow_kpi import write_shadow_kpi


class Figures:
    """Of one run. `begin` it before the run's processes, so that what a run before has left is read while nobody has to be watched."""

    def __init__(self, run: LiveRun) -> None:
        self._run = run
        self._orders = ReadAlong(run.gate_folder / "journal")
        self._account = ReadAlong(run.out / "journal") if run.mode is Mode.SHADOW else None

    def begin(self) -> None:
        """Read what is there already."""
        for one in (self._orders, self._account):
            if one is not None:
                one.read()

    def close(self) -> None:
        """Let go of the journals."""
        for one in (self._orders, self._account):
            if one is not None:
                one.close()

    def checkpoint(self, course: Course, engine: Mapping[str, Any] | None, gate: Status | None, truth: Path | None) -> None:
        """Write how the run stands. It costs what is new. A disk that does not take it is trouble of the run, and is tried again at the next."""
        orders = self._orders.read()
        account = orders if self._account is None else self._account.read()
        try:
            self._write(orders, account, course, engine, gate, truth, final=False)
        except OSError as error:
            course.note(f"the figures could not be written: {error.strerror or error}")

    def final(self, course: Course, engine: Mapping[str, Any] | None, gate: Status | None, truth: Path | None) -> dict[str, Any]:
        """Write what came of the run, from its journals read whole, and judge it; what was written. Raises Refused if it could not be."""
        run = self._run
        orders = read_told(run.gate_folder / "journal")
        account = orders if self._account is None else read_told(run.out / "journal")
        try:
            return self._write(orders, account, course, engine, gate, truth, final=True)
        except OSError as error:
            raise Refused(
                f"{run.out}: the run has ended, and its figures could not be written: {error.strerror or error}. {KPI_FILE} there is of a "
                "checkpoint, or of none; make room, and see what became of the orders with `interlock trace check`"
            ) from error

    def _write(
        self,
        orders: Journaled,
        account: Journaled,
        course: Course,
        engine: Mapping[str, Any] | None,
        gate: Status | None,
        truth: Path | None,
        *,
        final: bool,
    ) -> dict[str, Any]:
        run = self._run
        unwritten = {} if engine is None else engine.get("unwritten") or {}
        if unwritten.get("times"):
            course.note(f"the engine could not write how it stands: {unwritten['last']}")
        if self._account is not None:
            return write_shadow_kpi(run.out, run.gate_folder, orders, account, course, engine, gate, truth, final=final)
        return write_kpi(run.out, run.mode.value, run.market[0].value, orders, course, engine, gate, truth, final=final)
