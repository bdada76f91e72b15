"""A view as a person reads it: a screen for a terminal, a line for a pipe. What is most important comes first, as a small window ends early."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from interlock.console.view import View
from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.gate.told_limits import JudgedLimit, Unit

MICRO: Final = 1_000_000
MOST_ROWS: Final = 8
"""Of each list; how many more there are is said."""
LIMITS_SHOWN: Final = 6
KEYS: Final = "K kill   q quit"
NO_KEYS: Final = "no keys: the standard input is no terminal"
ASKING: Final = " KILL? every order of the account is cancelled and nothing new is sent: K or Enter does it, any other key does not "


def screen(view: View, *, asking: bool, killing: Sequence[str], keys: bool) -> RenderableType:
    """The whole screen. `asking`: a kill waits for its confirmation; `killing`: what became of one that was asked for, the latest last."""
    parts: list[RenderableType] = [_head(view), Text(KEYS if keys else NO_KEYS, style="dim")]
    if asking:
        parts.append(Text(ASKING, style="bold white on red"))
    parts += [Text(f"kill  {safe(line)}", style="bold red") for line in killing[-4:]]
    parts += _gone(view) if view.status is None else _stands(view)
    if view.status is not None:
        parts += _limits(view)
    parts += _events(view)
    return Group(*parts)


def line(view: View) -> str:
    """The view in one line."""
    at = _clock(view.wall_ns)
    if view.status is None:
        return f"{at} GATE GONE{_since(view)}: {safe(view.gone)}"
    report = view.status.report
    latches = ", ".join(f"{one['name']}({one['level']})" for one in (*report["latches"], *report["trips"])) or "none"
    positions = ", ".join(f"{one['venue']}:{one['symbol']} {one['lots']}" for one in report["positions"]) or "none"
    return safe(
        f"{at} {_armed(view)}; level {report['level']}; latches and trips {latches}; positions {positions}; "
        f"orders {report['orders']['live']} live, {report['orders']['unresolved']} unresolved; {_money(view)}"
    )


def safe(text: object) -> str:
    """Text of others without signs that a terminal would act on."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(text))


# The parts


def _head(view: View) -> Text:
    where = (
        ""
        if view.status is None
        else f", {view.status.report['endpoint']}, gate {view.status.report['pid']}, life {view.status.incarnation[:8]}"
    )
    return Text(safe(f"interlock watch  {view.mode or 'mode not known'}{where}  {_clock(view.wall_ns)}"), style="bold")


def _gone(view: View) -> list[RenderableType]:
    return [
        Text(safe(f"GATE GONE{_since(view)}"), style="bold white on red"),
        Text(safe(view.gone), style="red"),
        Text("How things stand is not known: nothing of its last state is shown. A kill goes to the sentinel all the same."),
    ]


def _since(view: View) -> str:
    return f" for {(view.monotonic_ns - view.gone_ns) // NS_PER_S} s" if view.gone_ns else ""


def _stands(view: View) -> list[RenderableType]:
    assert view.status is not None
    report = view.status.report
    state = Text()
    state.append(f" {_armed(view)} ", style="bold black on green" if view.status.armed else "bold black on yellow")
    state.append(f"  level {report['level']}", style="" if report["level"] == "run" else "bold red")
    state.append("" if report["killed"] == "none" else f"  KILL {report['killed']}", style="bold red")
    state.append(f"  sentinel {_yes(report['sentinel'])}, checker {_yes(report['checker'])}{', READ-ONLY' if report['read_only'] else ''}")
    held = [
        (one["name"], one["scope"], one["subject"], one["level"], f"{one['for_s']} s" if "for_s" in one else "latched")
        for one in (*report["latches"], *report["trips"])
    ]
    found: list[RenderableType] = [state, Text(safe(_money(view)))]
    found += _table("latches and trips", ("name", "scope", "subject", "level", "since"), held)
    found += _table("positions", ("market", "lots"), [(f"{one['venue']}:{one['symbol']}", one["lots"]) for one in report["positions"]])
    found += _table("books", ("market", "bid", "ask", "age", "by", "what is wrong"), _books(view))
    orders = report["orders"]
    rows = [
        (one["client_id"], f"{one['venue']}:{one['symbol']}", one["side"], one["ticks"], f"{one['filled_lots']}/{one['lots']}", one["state"],
         "cancelling" if one["cancel_wanted"] else "")
        for one in orders["list"]
    ]  # fmt: skip
    title = f"quotes: {orders['live']} live, {orders['unresolved']} unresolved, {orders['cancelling']} being cancelled"
    found += _table(title, ("client id", "market", "side", "ticks", "filled", "state", ""), rows)
    return found


def _armed(view: View) -> str:
    assert view.status is not None
    grant = view.status.report["grant"]
    if not view.status.armed or grant is None:
        ended = f" ({grant['ended']})" if grant is not None and grant["ended"] else ""
        return f"NOT ARMED{ended}"
    until = _clock(view.wall_ns + grant["expires_in_s"] * NS_PER_S)
    return f"ARMED until {until} ({grant['expires_in_s']} s left), cap {grant['cap_usd']} USD"


def _books(view: View) -> Iterable[tuple[object, ...]]:
    """The gate's own references, and the engine's books beside them."""
    assert view.status is not None
    for one in view.status.report["references"]:
        yield (
            f"{one['venue']}:{one['symbol']}",
            one["bid_ticks"],
            one["ask_ticks"],
            _age(view.boot_ns - one["boot_ns"]),
            "gate",
            one["problem"],
        )
    if view.engine is None:
        return
    if view.engine.silent:
        yield "", "", "", _age(view.engine.age_ns), "engine", "the engine is gone"
        return
    for one in view.engine.stands.get("books", ()):
        bars = ", ".join(one.get("bars", ()))
        # As old as it was when the engine told of it, and what has passed since.
        age = _age(view.engine.stands["now_ns"] - one["book_ns"] + view.engine.age_ns) if one["book_ns"] else ""
        yield f"{one['venue']}:{one['symbol']}", one["bid_ticks"], one["ask_ticks"], age, "engine", bars


def _money(view: View) -> str:
    assert view.status is not None
    loss, told = view.status.report["loss"], view.told
    edge = "not known" if told.edge_bps is None else f"{told.edge_bps:+.2f} bps of {told.traded_usd:.2f} USD traded"
    pnl = "not known" if told.pnl_usd is None else f"{told.pnl_usd:+.4f} USD since record {told.from_lsn}"
    return f"P&L {pnl}; loss of the day {loss['now_usd']} USD, drawdown {loss['drawdown_usd']} USD; edge {edge}; {told.fills} fills{_measured(view)}"


def _measured(view: View) -> str:
    """What the engine measures of its last fills, where it is asked to."""
    found = None if view.engine is None or view.engine.silent else view.engine.stands.get("edge")
    if not found:
        return ""
    now = "not known" if found["edge_bps"] is None else f"{found['edge_bps']} bps"
    return f"; measured {now} over {found['fills']} fills, at least {found['threshold_bps']} bps; collapsed {found['collapses']} times"


def _limits(view: View) -> list[RenderableType]:
    told = view.told
    rows = [
        (one.limit, _figure(one, one.value), _figure(one, one.bound), _figure(one, one.headroom), f"{_share(one)} %")
        for one in told.tightest
    ]
    title = f"limits at the last permit, {_age(view.boot_ns - told.limits_boot_ns)} ago"
    return _table(title, ("limit", "value", "bound", "headroom", "used"), rows[:LIMITS_SHOWN])


def _events(view: View) -> list[RenderableType]:
    """What the journal says has happened: it stays true when the gate is gone."""
    told = view.told
    found: list[RenderableType] = [Text(safe(told.problem), style="red")] if told.problem else []
    if told.events:
        found.append(Text("last events, from the journal", style="bold"))
    for event in reversed(told.events[-MOST_ROWS:]):
        at = _clock(view.wall_ns - (view.boot_ns - event.boot_ns))
        found.append(Text(safe(f"{at} {event.words}"), overflow="ellipsis", no_wrap=True))
    return found


def _share(one: JudgedLimit) -> int:
    return 100 * (one.value or 0) // (one.bound or 1)


def _figure(one: JudgedLimit, value: int | None) -> str:
    if value is None:
        return ""
    match one.unit:
        case Unit.MICRO_USD:
            return f"{value / MICRO:.2f} USD"
        case Unit.NS:
            return _age(value)
        case Unit.MILLIONTHS:
            return f"{value / 100:.2f} bps"
        case Unit.LOTS:
            return f"{value} lots"
    return str(value)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[RenderableType]:
    """A table of the first rows, with how many more there are; nothing where there are none."""
    found = list(rows)
    if not found:
        return []
    left = len(found) - MOST_ROWS
    table = Table(title=Text(safe(title), style="bold"), title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="ellipsis", no_wrap=True, header_style="dim")
    for row in found[:MOST_ROWS]:
        table.add_row(*(Text(safe(part)) for part in row))
    return [table, *([Text(f"and {left} more", style="dim")] if left > 0 else [])]


def _clock(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // NS_PER_S).astimezone().strftime("%H:%M:%S")


def _age(ns: int) -> str:
    return f"{ns / NS_PER_S:.1f} s" if ns >= NS_PER_S else f"{ns // NS_PER_MS} ms"


def _yes(value: object) -> str:
    return "yes" if value is True else "NO" if value is False else str(value)
