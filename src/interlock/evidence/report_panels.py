"""The parts of the page that are charts: equity, inventory, prices with our quotes and fills, premium, edge, markouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from interlock.evidence.report_axes import thin_marks
from interlock.evidence.report_bars import horizon, markout_chart, waterfall
from interlock.evidence.report_charts import Band, Level, Line, Marks, TimeChart, legend
from interlock.evidence.report_data import Equity, Fills, Inventory, Markout, Part, PremiumPanel, PricePanel, ReportData, Times
from interlock.evidence.report_numbers import MINUS, column_digits, duration, figure, fixed, money_digits, safe, utc

_MOST_PANELS = 8
_CLOSE_UP_SAMPLES = 300


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a chart may hold, so that the file stays below about 2 MB: points a series and marks a panel."""

    points: int
    marks: int

    @classmethod
    def of(cls, data: ReportData) -> Budget:
        """Share out what a file may hold among its charts."""
        prices = min(len(data.prices), _MOST_PANELS)
        premiums = min(len(data.premiums), _MOST_PANELS)
        series = 1 + min(len(data.inventories), _MOST_PANELS) + premiums + 3 * prices
        return cls(points=max(200, min(1500, 40_000 // series)), marks=max(80, min(400, 3200 // max(1, prices + premiums))))


def equity(series: Equity, budget: Budget) -> str:
    """P&L over time against its first value, with its deepest fall shaded."""
    finite = np.flatnonzero(np.isfinite(series.values))
    start = float(series.values[finite[0]]) if len(finite) else 0.0
    line = Line("equity", series.ns, series.values, "l1", area=start)
    bands, signs, caption = [], [], ""
    if len(finite) > 1:
        values = series.values[finite]
        falls = np.maximum.accumulate(values) - values
        trough = int(np.argmax(falls))
        if falls[trough] > 0:
            peak = int(np.argmax(values[: trough + 1]))
            depth = fixed(falls[trough], money_digits(float(falls[trough]), series.currency))
            from_ns, to_ns = int(series.ns[finite[peak]]), int(series.ns[finite[trough]])
            text = f"Deepest fall: {depth} {series.currency} in {duration(to_ns - from_ns)}, from {utc(from_ns)} to {utc(to_ns)} UTC"
            bands.append(Band(from_ns, to_ns, text, "fall"))
            signs.append(("deepest fall", "fall"))
            caption = f"<figcaption>{safe(text)}.</figcaption>"
    chart = TimeChart(f"Equity, {series.currency}", series.currency, [line], bands=bands, points=budget.points, include=[start], height=300)
    return _card("Equity", f"in {series.currency}", legend([line, *signs]) + _figure(chart, caption))


def inventories(items: Sequence[Inventory], budget: Budget) -> str:
    """A low chart for each instrument's signed position."""
    figures = []
    for item in items[:_MOST_PANELS]:
        line = Line("position", item.ns, item.values, "l4", step=True, area=0.0)
        chart = TimeChart(
            f"Inventory of {item.instrument}, {item.unit}", item.unit, [line], points=budget.points, include=[0.0], height=190
        )
        figures.append(f'<p class="head">{safe(item.instrument)} <span class="unit">in {safe(item.unit)}</span></p>{_figure(chart)}')
    return _card("Inventory", "signed position; above zero is long", "".join(figures) + _left_out(len(items))) if items else ""


def prices(items: Sequence[PricePanel], budget: Budget) -> str:
    """Mid, our best quotes and our fills; where a series is long, a close-up of its busiest stretch as well."""
    out = []
    for item in items[:_MOST_PANELS]:
        figures = _price_figure(item, item.ns, budget, "")
        quoted = bool(np.isfinite(item.own_bid).any() or np.isfinite(item.own_ask).any())
        window = _busiest(item.ns, item.fills.ns) if quoted else None
        if window is not None:
            figures += _price_figure(item, item.ns[window], budget, "Close-up", window)
        out.append(_card(f"Prices and fills: {item.instrument}", f"in {item.currency}", figures))
    return "".join(out) + (f'<section class="card">{_left_out(len(items))}</section>' if len(items) > _MOST_PANELS else "")


def premiums(items: Sequence[PremiumPanel], budget: Budget) -> str:
    """The premium with entries, exits, and the time something was held."""
    out = []
    for item in items[:_MOST_PANELS]:
        line = Line("premium", item.ns, item.premium_bps, "mid")
        marks = []
        for name, ns, values, shape, hollow in (
            ("entry", item.entry_ns, item.entry_bps, "diamond", False),
            ("exit", item.exit_ns, item.exit_bps, "square", True),
        ):
            chosen = thin_marks(len(ns), budget.marks)
            titles = [f"{name} at {figure(values[i], plus=True)} bp, {utc(ns[i])} UTC" for i in chosen]
            marks.append(Marks(name, ns[chosen], values[chosen], titles, shape, name, hollow))
        bands = _held(item)
        chart = TimeChart(
            f"Premium of {item.pair}, basis points",
            "bp",
            [line],
            marks=marks,
            bands=bands,
            levels=[Level(name, value) for name, value in item.levels],
            points=budget.points,
        )
        held = [("a trade is open", "band")] if bands else []
        count = f"{len(item.entry_ns):,} entries, {len(item.exit_ns):,} exits."
        shown = min(len(item.entry_ns), budget.marks) + min(len(item.exit_ns), budget.marks)
        if shown < len(item.entry_ns) + len(item.exit_ns):
            count += f" {shown:,} marks are drawn, evenly chosen."
        body = legend([line, *marks, *held]) + _figure(chart, f"<figcaption>{count}</figcaption>")
        out.append(_card(f"Premium: {item.pair}", "in basis points", body))
    return "".join(out) + (f'<section class="card">{_left_out(len(items))}</section>' if len(items) > _MOST_PANELS else "")


def edge(parts: Sequence[Part], net: Decimal, currency: str, agreement: Decimal) -> str:
    """From parts to net, the sum printed, and whether it is the net of the account."""
    digits = money_digits(max(abs(part.value) for part in parts), currency)
    total = sum((part.value for part in parts), Decimal(0))
    terms = fixed(parts[0].value, digits) + "".join(
        f" {MINUS if part.value < 0 else '+'} {fixed(abs(part.value), digits)}" for part in parts[1:]
    )
    if abs(total - net) <= agreement:
        check = "The parts sum to the net of the account."
    else:
        check = f'<span class="bad">The parts do not add up: net is {net:f} {safe(currency)}, off by {net - total:f}.</span>'
    rows = "".join(
        f'<tr><td>{safe(part.name)}</td><td class="num">{fixed(part.value, digits, plus=True)}</td>'
        f'<td class="soft">{safe(part.explanation)}</td></tr>'
        for part in parts
    )
    return _card(
        "Where the result comes from",
        f"in {currency}",
        f'<figure class="scroll">{waterfall(parts, currency, digits)}</figure>'
        f'<p class="sum">{terms} = <b>{fixed(total, digits, plus=True)} {safe(currency)}</b>. {check}</p>'
        f'<div class="scroll"><table><thead><tr><th>Part</th>'
        f'<th class="num">{safe(currency)}</th><th class="says">What it is</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>",
    )


def markouts(items: Sequence[Markout]) -> str:
    """The mid after our fills: negative means that the market moves against us."""
    digits = column_digits([value for m in items for value in (m.mean_bps, m.error_bps)])
    rows = "".join(
        f'<tr><td>{safe(horizon(m.horizon_s))}</td><td class="num">{fixed(m.mean_bps, digits, plus=True)}</td>'
        f'<td class="num">{fixed(m.error_bps, digits)}</td><td class="num">{m.fills:,}</td></tr>'
        for m in items
    )
    return (
        '<section class="card"><h2>Markouts <span class="unit">in basis points</span></h2>'
        '<p class="note">The mid after a fill against the mid at the fill; below zero the market moved against us. Whiskers: two standard '
        "errors.</p>"
        f'<figure class="scroll">{markout_chart(items)}</figure>'
        '<div class="scroll"><table><thead><tr><th>After</th><th class="num">Mean, bp</th>'
        f'<th class="num">Standard error, bp</th><th class="num">Fills</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _price_figure(item: PricePanel, ns: Times, budget: Budget, prefix: str, window: slice = slice(None)) -> str:
    drawn = [
        Line("mid", ns, item.mid[window], "mid"),
        Line("own bid", ns, item.own_bid[window], "bid", step=True),
        Line("own ask", ns, item.own_ask[window], "ask", step=True),
    ]
    lines = [line for line in drawn if np.isfinite(line.values).any()]
    fills = item.fills
    inside = np.flatnonzero((fills.ns >= ns[0]) & (fills.ns <= ns[-1])) if len(ns) else np.zeros(0, np.int64)
    chosen = inside[thin_marks(len(inside), budget.marks if prefix else budget.marks // 2)]
    marks = [_fill_marks(item, fills, chosen, buy, maker) for buy in (True, False) for maker in (True, False)]
    marks = [mark for mark in marks if len(mark.ns)]
    thinned = f", {len(chosen):,} of them drawn, evenly chosen" if len(chosen) < len(inside) else ""
    caption = f"<figcaption>{len(inside):,} fills{thinned}.</figcaption>"
    chart = TimeChart(
        f"{prefix} {item.instrument}: mid, own quotes and fills, {item.currency}",
        item.currency,
        lines,
        marks=marks,
        points=budget.points,
        height=300,
    )
    head = f'<p class="head">{safe(prefix)} <span class="unit">the busiest stretch</span></p>' if prefix else ""
    return head + legend([*lines, *marks]) + _figure(chart, caption)


def _fill_marks(item: PricePanel, fills: Fills, chosen: np.ndarray, buy: bool, maker: bool) -> Marks:
    mine = chosen[(fills.is_buy[chosen] == buy) & (fills.is_maker[chosen] == maker)]
    side, role = ("buy" if buy else "sell"), ("maker" if maker else "taker")
    titles = [
        f"{side} {figure(fills.quantities[i])} {item.quantity_unit} at {figure(fills.prices[i])} {item.currency}, {role}, "
        f"{utc(fills.ns[i], millis=True)} UTC"
        for i in mine
    ]
    return Marks(f"{side}, {role}", fills.ns[mine], fills.prices[mine], titles, "up" if buy else "down", side, hollow=not maker)


def _busiest(ns: Times, fills: Times) -> slice | None:
    """The samples with most fills, where the whole is too long to see single quotes."""
    if len(ns) < 4 * _CLOSE_UP_SAMPLES or not len(fills):
        return None
    starts = np.arange(0, len(ns) - _CLOSE_UP_SAMPLES + 1, _CLOSE_UP_SAMPLES // 4)
    before = np.searchsorted(fills, ns[starts])
    within = np.searchsorted(fills, ns[starts + _CLOSE_UP_SAMPLES - 1], side="right") - before
    start = int(starts[np.argmax(within)])
    return slice(start, start + _CLOSE_UP_SAMPLES)


def _held(item: PremiumPanel) -> list[Band]:
    """Stretches with more entries than exits behind them."""
    changes = sorted([(int(t), 1) for t in item.entry_ns] + [(int(t), -1) for t in item.exit_ns], key=lambda c: (c[0], -c[1]))
    bands: list[Band] = []
    open_now, since = 0, 0
    for at, change in changes:
        if open_now == 0 and change > 0:
            since = at
        if open_now == 1 and change < 0:
            bands.append(Band(since, at, f"open for {duration(at - since)}, {utc(since)} to {utc(at)} UTC"))
        open_now = max(0, open_now + change)
    if open_now and len(item.ns):
        end = int(item.ns[-1])
        bands.append(Band(since, max(since, end), f"open at the end, since {utc(since)} UTC"))
    return bands


def _figure(chart: TimeChart, caption: str = "") -> str:
    return f'<figure><div class="scroll">{chart.svg()}</div>{caption}</figure>'


def _left_out(count: int) -> str:
    more = count - _MOST_PANELS
    return (
        f'<p class="note">{more:,} more of {count:,} are not drawn; their series are in the run\'s Parquet files.</p>' if more > 0 else ""
    )


def _card(title: str, unit: str, body: str) -> str:
    return f'<section class="card"><h2>{safe(title)} <span class="unit">{safe(unit)}</span></h2>{body}</section>'
