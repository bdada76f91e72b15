"""`interlock status`: how a running gate stands."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interlock.cli import exit_codes
from interlock.cli.gate_client import GateClient, ServerUser, Socket
from interlock.gate.frames import Role, Status


def status(*, socket: Socket, server_user: ServerUser = None, json: bool = False) -> int:
    """Show how a gate stands: whether it is armed, what holds it back, what is open.

    Parameters
    ----------
    socket
        The gate's read socket.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print the whole report as one JSON object instead of tables.
    """
    with GateClient(socket, Role.READ, server_user) as client:
        stands = client.status()
    if json:
        print(json_format.dumps(msgspec.to_builtins(stands.report), ensure_ascii=False))
    else:
        show(stands)
    return exit_codes.DONE


def show(stands: Status, console: Console | None = None) -> None:
    """One table of what is one value, then a table for each list that is not empty."""
    console = console or Console()
    summary = Table(title="interlock gate", title_justify="left", show_header=False)
    summary.add_column()
    summary.add_column(overflow="fold")
    summary.add_row("armed", "yes" if stands.armed else "no")
    lists: dict[str, list[Mapping[str, Any]]] = {}
    for name, value in _flat(stands.report):
        if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
            lists[name] = list(value)
        else:
            summary.add_row(name, _text(value))
    console.print(summary)
    for name, rows in lists.items():
        console.print(_table(name, rows))


def _flat(report: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The report's values by name, those of a map within it under `outer.inner`."""
    found: list[tuple[str, Any]] = []
    for name, value in report.items():
        if isinstance(value, Mapping):
            found.extend((f"{name}.{inner}", part) for inner, part in value.items())
        else:
            found.append((name, value))
    return found


def _table(name: str, rows: list[Mapping[str, Any]]) -> Table:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = Table(title=name, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    return table


def _text(value: object) -> Text:
    """As plain text: what a venue or strategy calls itself is not markup."""
    match value:
        case None | "" | [] | ():
            return Text("none")
        case bool():
            return Text("yes" if value else "no")
        case list() | tuple():
            return Text(", ".join(map(str, value)))
    return Text(str(value))
