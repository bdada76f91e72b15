"""How finished runs are shown: a table for a person, one JSON object for a program."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from interlock.run.session import Finished

_ROWS = (
    ("verdict", "verdict"),
    ("data", "data_provenance"),
    ("traded", "pnl_traded"),
    ("held opening inventory", "pnl_held"),
    ("net, USD", "total_pnl_usd"),
    ("net, KRW", "total_pnl_krw"),
    ("round trips", "round_trips_completed"),
    ("win rate, %", "win_rate_pct"),
    ("maximum drawdown", "max_drawdown"),
    ("maker share", "maker_share"),
    ("time quoting, %", "time_quoting_pct"),
)


def as_json(finished: Sequence[Finished], **more: Any) -> str:
    """One object: each run's folder, report and figures."""
    runs = [{"folder": str(f.folder), "report": str(f.report), "ending": f.ending.value, "kpi": dict(f.kpi)} for f in finished]
    return json_format.dumps({"runs": runs, **more}, ensure_ascii=False)


def _text(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return str(value)


def show(finished: Sequence[Finished], console: Console | None = None) -> None:
    """A table with one column a run, the reasons of each verdict, and where the reports are."""
    console = console or Console()
    table = Table(title="interlock replay", title_justify="left")
    table.add_column("")
    for one in finished:
        table.add_column(str(one.kpi["run_id"]), overflow="fold")
    for label, key in _ROWS:
        table.add_row(label, *[_text(one.kpi[key]) for one in finished])
    console.print(table)
    for one in finished:
        console.print(f"[bold]{one.kpi['run_id']}[/bold]: {one.kpi['verdict']}")
        for reason in one.kpi["verdict_reasons"]:
            console.print(f"  - {reason}", markup=False, highlight=False)
        console.print(f"  report: {one.report}", markup=False, highlight=False, soft_wrap=True)
