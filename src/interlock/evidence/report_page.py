"""The parts of the page in words and tables: origin line, verdict, fragility, key figures, counts, facts."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from interlock.evidence.report_bars import table_bar
from interlock.evidence.report_data import BreakEven, Count, KeyFigure, MakerRate, Origin, ReportData, Table
from interlock.evidence.report_numbers import NONE, Number, column_digits, figure, fixed, money_digits, safe

_SAYS = {
    "PASS": "It earned money here, and no check found a reason to doubt that.",
    "FAIL": "It did not earn money, or it broke a rule.",
    "INDICATIVE": "A hint, no evidence: what went in limits what may come out.",
    "INSUFFICIENT": "Too little happened to judge.",
    "SUSPECT": "Too good, or too fragile, to believe without another look.",
}

# Drawn in a box of 24: a verdict is recognised by its sign, also without colour.
_SIGNS = {
    "PASS": '<path d="M6.5 12.5l4 4 7.5-8.5"/>',
    "FAIL": '<path d="M7.5 7.5l9 9m0-9l-9 9"/>',
    "INDICATIVE": '<path d="M12 11v6M12 7v.1"/>',
    "INSUFFICIENT": '<path d="M7 12v.1M12 12v.1M17 12v.1"/>',
    "SUSPECT": '<path d="M9 9.2a3 3 0 1 1 4.4 2.7c-1 .5-1.4 1-1.4 2.1M12 17.2v.1"/>',
}


def origin_line(origin: Origin) -> str:
    """The first line: where flow, fees, latencies and data come from; what limits the result is said in words."""
    parts = [
        f"<span><i>{name}</i> <b>{safe(value)}</b></span>"
        for name, value in (
            ("flow_venue", origin.flow_venue),
            ("fee_venue", origin.fee_venue),
            ("latency_source", origin.latency_source),
            ("provenance", origin.provenance),
        )
    ]
    if origin.flow_venue != origin.fee_venue:
        parts.append('<span class="odd">order flow and fees are of different venues</span>')
    if origin.provenance != "real":
        parts.append(f'<span class="odd">{safe(origin.provenance)} data, no recording of a venue</span>')
    return f'<p class="origin">{"".join(parts)}</p>'


def verdict_card(data: ReportData) -> str:
    """The verdict with its sign, the net result, and the reasons."""
    word = data.verdict
    reasons = "".join(f"<li>{safe(reason)}</li>" for reason in data.verdict_reasons)
    sign = '<path d="M12 1.5L22.5 12 12 22.5 1.5 12z"/>' if word == "SUSPECT" else '<circle cx="12" cy="12" r="10.5"/>'
    digits = money_digits(data.net, data.currency)
    headline, what = (data.net, "net") if data.traded is None else (data.traded, "from trading")
    below = "" if data.traded is None else f"<p>{fixed(data.net, digits, plus=True)} {safe(data.currency)} with the inventory held.</p>"
    return (
        f'<section class="card verdict {word.lower()}"><h2 class="ink">Verdict</h2>'
        f'<div class="word"><svg viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2" '
        f'stroke-linecap="round" stroke-linejoin="round">{sign}{_SIGNS[word]}</svg>{word}</div>'
        f'<div class="ink"><div class="net">{fixed(headline, digits, plus=True)} <span class="unit">{safe(data.currency)} {what}</span></div>'
        f"{below}<p>{_SAYS[word]}</p>{f'<ul>{reasons}</ul>' if reasons else ''}</div></section>"
    )


def fragility_card(data: ReportData) -> str:
    """How the result fares in other worlds, and where it breaks even."""
    worlds = data.fragility.worlds
    positive = sum(world.positive for world in worlds)
    nets = [world.net for world in worlds if world.net is not None]
    digits = money_digits(max((abs(net) for net in nets), default=Decimal(0)), data.currency)
    low, high = float(min(nets, default=Decimal(0))), float(max(nets, default=Decimal(0)))
    rows = []
    for world in worlds:
        trips = NONE if world.round_trips is None else f"{world.round_trips:,}"
        bar = table_bar(None if world.net is None else float(world.net), low, high)
        rows.append(
            f'<tr class="{"base" if world.base else "other"}"><td>{safe(world.name)}{_note(world.note)}</td><td>{bar}</td>'
            f'<td class="num {_sign(world.net)}">{fixed(world.net, digits, plus=True)}</td><td class="num">{trips}</td></tr>'
        )
    table = (
        f'<div class="scroll"><table><thead><tr><th>World</th><th></th><th class="num">Net, {safe(data.currency)}</th>'
        f'<th class="num">Round trips</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        if rows
        else '<p class="none">No other world was tried.</p>'
    )
    return (
        '<section class="card"><h2>Fragility</h2>'
        + (f'<p class="count">Positive in {positive} of {len(worlds)} worlds</p>' if rows else "")
        + table
        + _break_evens(data.fragility.break_evens)
        + "</section>"
    )


def key_figures(figures: Sequence[KeyFigure]) -> str:
    """A tile for each figure; the last row is filled up, so that the grid has no holes."""
    tiles = [
        f'<div class="figure"><div class="label">{safe(f.label)}</div>'
        f'<div class="value">{safe(f.value)} <span class="unit">{safe(f.unit)}</span></div>{_note(f.note)}</div>'
        for f in figures
    ]
    tiles += ['<div class="fill"></div>'] * 4
    return f'<section class="card figures" aria-label="Key figures">{"".join(tiles)}</section>' if figures else ""


def maker_rates(rates: Sequence[MakerRate], currency: str) -> str:
    """Net at each maker rate; the same fills, other fees."""
    digits = money_digits(max((max(abs(r.net), abs(r.fees)) for r in rates), default=Decimal(0)), currency)
    low, high = float(min(r.net for r in rates)), float(max(r.net for r in rates))
    rows = "".join(
        f'<tr><td>{safe(r.name)}{_note(r.source)}</td><td class="num">{fixed(r.rate_bps, column_digits([r.rate_bps for r in rates]))}</td>'
        f'<td class="num">{fixed(r.fees, digits)}</td><td>{table_bar(float(r.net), low, high)}</td>'
        f'<td class="num {_sign(r.net)}">{fixed(r.net, digits, plus=True)}</td></tr>'
        for r in rates
    )
    return (
        '<section class="card"><h2>Net at other maker rates</h2><p class="note">A negative rate or fee is a rebate.</p>'
        '<div class="scroll"><table><thead><tr><th>Maker rate</th><th class="num">Rate, bp</th>'
        f'<th class="num">Fees, {safe(currency)}</th><th></th><th class="num">Net, {safe(currency)}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def counts(title: str, note: str, items: Sequence[Count]) -> str:
    """How often each thing happened, with its share of all."""
    total = sum(item.count for item in items)
    most = float(max((item.count for item in items), default=0))
    rows = "".join(
        f"<tr><td>{safe(item.name)}{_note(item.meaning)}</td>"
        f'<td>{_plain_bar(item.count, most)}</td><td class="num">{item.count:,}</td>'
        f'<td class="num">{fixed(100 * item.count / total, 1) if total else NONE}</td></tr>'
        for item in items
    )
    return (
        f'<section class="card"><h2>{safe(title)}</h2><p class="note">{safe(note)}</p>'
        '<div class="scroll"><table><thead><tr><th></th><th></th>'
        f'<th class="num">Count</th><th class="num">Share, %</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def any_table(table: Table) -> str:
    """A table as it comes; numbers to the right."""
    # A column is numeric when no cell of it is text.
    numeric = [not any(isinstance(row[i], str) for row in table.rows) for i in range(len(table.columns))]
    digits = [column_digits(v for row in table.rows if not isinstance(v := row[i], str)) for i in range(len(table.columns))]
    style = ['class="num"' if is_numeric else "" for is_numeric in numeric]
    head = "".join(
        f"<th {s}>{safe(name)}{f', {safe(unit)}' if unit else ''}</th>" for (name, unit), s in zip(table.columns, style, strict=True)
    )
    rows = "".join(
        "<tr>" + "".join(f"<td {s}>{_cell(c, d)}</td>" for c, s, d in zip(row, style, digits, strict=True)) + "</tr>" for row in table.rows
    )
    note = f'<p class="note">{safe(table.note)}</p>' if table.note else ""
    return (
        f'<section class="card long"><h2>{safe(table.title)}</h2>{note}<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def facts(lines: Sequence[tuple[str, str]]) -> str:
    """The manifest's facts."""
    rows = "".join(f"<div><dt>{safe(name)}</dt><dd>{safe(text)}</dd></div>" for name, text in lines)
    return f'<section class="card long"><h2>Manifest</h2><dl class="facts">{rows}</dl></section>'


def _break_evens(items: Sequence[BreakEven]) -> str:
    if not items:
        return ""
    rows = "".join(
        f"<tr><td>{safe(item.name)}{_note(item.note)}</td>"
        f'<td class="num">{"none in range" if item.value is None else figure(item.value) + " " + safe(item.unit)}</td></tr>'
        for item in items
    )
    return f'<table><thead><tr><th>Net is zero at</th><th class="num">Break-even</th></tr></thead><tbody>{rows}</tbody></table>'


def _note(text: str) -> str:
    return f'<div class="note">{safe(text)}</div>' if text else ""


def _sign(value: Decimal | None) -> str:
    return "" if value is None or value == 0 else "plus" if value > 0 else "minus"


def _plain_bar(value: int, most: float) -> str:
    width = 160 * value / most if most else 0
    return (
        f'<svg class="bar" viewBox="0 0 160 14" aria-hidden="true"><rect class="net" y="2" width="{width:.1f}" height="10" rx="1.5"/></svg>'
    )


def _cell(value: str | Number | None, digits: int) -> str:
    return safe(value) if isinstance(value, str) else fixed(value, digits)
