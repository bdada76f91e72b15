"""A run's report: one HTML file that needs nothing else, no network and no script, made to be understood in a minute.

Fill a `ReportData` (see `report_data` for every field and its unit) and write what `render_report` returns. The same data gives the same
bytes.
"""

from __future__ import annotations

from decimal import Decimal

from interlock.evidence import report_page as page
from interlock.evidence import report_panels as panels
from interlock.evidence.report_data import (
    NO_FILLS,
    VERDICTS,
    BreakEven,
    Count,
    Equity,
    Fills,
    Fragility,
    Inventory,
    KeyFigure,
    MakerRate,
    Markout,
    Origin,
    Part,
    PremiumPanel,
    PricePanel,
    ReportData,
    Table,
    World,
)
from interlock.evidence.report_numbers import duration, safe, utc
from interlock.evidence.report_style import STYLE

__all__ = [
    "NO_FILLS",
    "VERDICTS",
    "BreakEven",
    "Count",
    "Equity",
    "Fills",
    "Fragility",
    "Inventory",
    "KeyFigure",
    "MakerRate",
    "Markout",
    "Origin",
    "Part",
    "PremiumPanel",
    "PricePanel",
    "ReportData",
    "Table",
    "World",
    "render_report",
]

AGREEMENT = Decimal("1e-9")
"""Parts and net may differ by this much before the report says that they do not add up."""


def render_report(data: ReportData) -> str:
    """The report as an HTML document, which also is well-formed XML. The browser is told to fetch nothing whatsoever."""
    budget = panels.Budget.of(data)
    span = f"{utc(data.start_ns)} to {utc(data.end_ns)} UTC ({duration(data.end_ns - data.start_ns)})"
    body = [
        page.origin_line(data.origin),
        f'<h1>{safe(data.title)}</h1><p class="sub">{safe(data.summary)}<br/>{safe(span)}<br/>run {safe(data.run_id)}</p>',
        f'<div class="top">{page.verdict_card(data)}{page.fragility_card(data)}</div>',
        page.key_figures(data.key_figures),
        panels.equity(data.equity, budget) if data.equity is not None else "",
        panels.premiums(data.premiums, budget),
        panels.inventories(data.inventories, budget),
        panels.prices(data.prices, budget),
        panels.edge(data.parts, data.net, data.currency, AGREEMENT) if data.parts else "",
        _two_columns(
            [
                page.maker_rates(data.maker_rates, data.currency) if data.maker_rates else "",
                page.counts("Orders", "How each order ended.", data.orders) if data.orders else "",
            ],
            [
                panels.markouts(data.markouts) if data.markouts else "",
                page.counts("Refusals", "Why an order or a request was denied, by us or by the venue.", data.refusals)
                if data.refusals
                else "",
            ],
        ),
        *(page.any_table(table) for table in data.tables),
        page.facts(data.manifest) if data.manifest else "",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
        '<meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/>'
        f"<title>{safe(data.verdict)}: {safe(data.title)}</title><style>{STYLE}</style></head>\n<body><main>"
        + "\n".join(part for part in body if part)
        + "</main></body></html>\n"
    )


def _two_columns(*columns: list[str]) -> str:
    """Side by side where there is room; an empty column takes none."""
    filled = ["".join(column) for column in columns if any(column)]
    return f'<div class="pair">{"".join(f"<div>{column}</div>" for column in filled)}</div>' if filled else ""
