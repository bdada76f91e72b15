"""Bars as inline SVG: the waterfall from parts to net, markouts by horizon, and the small bars within tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

from interlock.evidence.report_axes import Scale, tick_text, value_ticks
from interlock.evidence.report_charts import WIDTH
from interlock.evidence.report_data import Markout, Part
from interlock.evidence.report_numbers import figure, fixed, safe

_ROW = 30
_NARROW = 490


def waterfall(parts: Sequence[Part], currency: str, digits: int) -> str:
    """Each part as a bar that begins where the one before ended; the last row is their sum from zero."""
    running, spans = Decimal(0), []
    for part in parts:
        spans.append((part.name, float(running), float(running + part.value), part.value, part.explanation))
        running += part.value
    spans.append(("Net", 0.0, float(running), running, "the sum of the parts"))
    low = min(0.0, *(min(a, b) for _, a, b, _, _ in spans))
    high = max(0.0, *(max(a, b) for _, a, b, _, _ in spans))
    if low == high:
        high = low + 1.0
    left = 40 + 7.4 * max(len(name) for name, *_ in spans)
    x = Scale(low, high, min(left, 320.0), WIDTH - 130)
    height = _ROW * len(spans) + 42
    out = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{safe(f"From parts to net, {currency}")}">']
    out += _axis_across(x, height - 38, currency)
    for i, (name, a, b, value, explanation) in enumerate(spans):
        top, net = 6 + _ROW * i, i == len(spans) - 1
        kind = "net" if net or value == 0 else "gain" if value > 0 else "loss"
        start, width = x(min(a, b)), max(1.5, abs(x(b) - x(a)))
        text = fixed(value, digits, plus=True)
        out.append(
            f'<text class="{"name strong" if net else "name"}" x="{x.start - 12:.0f}" y="{top + 17}" text-anchor="end">{safe(name)}</text>'
        )
        out.append(
            f'<rect class="{kind}" x="{start:.1f}" y="{top}" width="{width:.1f}" height="{_ROW - 8}" rx="2">'
            f"<title>{safe(f'{name}: {value:f} {currency}; {explanation}')}</title></rect>"
        )
        out.append(f'<text class="{"value strong" if net else "value"}" x="{max(x(a), x(b)) + 8:.1f}" y="{top + 17}">{safe(text)}</text>')
        if not net:
            out.append(f'<line class="link" x1="{x(b):.1f}" x2="{x(b):.1f}" y1="{top}" y2="{top + _ROW}"/>')
    out.append("</svg>")
    return "".join(out)


def markout_chart(markouts: Sequence[Markout]) -> str:
    """A bar for each horizon with two standard errors either way."""
    reach = [(m.mean_bps, 2 * (m.error_bps or 0.0)) for m in markouts if math.isfinite(m.mean_bps)]
    low = min([0.0, *(mean - error for mean, error in reach)])
    high = max([0.0, *(mean + error for mean, error in reach)])
    air = (high - low) * 0.1 or 1.0
    height, left, bottom, right = 240, 52.0, 196.0, _NARROW - 6
    y = Scale(low - air, high + air, bottom, 10)
    ticks, digits = value_ticks(y.low, y.high, 5)
    out = [f'<svg class="narrow" viewBox="0 0 {_NARROW} {height}" role="img" aria-label="Markout by horizon, basis points">']
    for tick in ticks:
        out.append(f'<line class="{"zero" if tick == 0 else "grid"}" x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        out.append(f'<text class="tick" x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{safe(tick_text(tick, digits))}</text>')
    slot = (right - left) / max(1, len(markouts))
    for i, m in enumerate(markouts):
        middle = left + slot * (i + 0.5)
        wide = min(70.0, slot * 0.5)
        if math.isfinite(m.mean_bps):
            top, base = sorted((y(m.mean_bps), y(0.0)))
            error = "" if m.error_bps is None else f" ± {figure(m.error_bps)}"
            title = f"{horizon(m.horizon_s)} after the fill: {figure(m.mean_bps, plus=True)}{error} bp, {m.fills:,} fills"
            out.append(
                f'<rect class="{"gain" if m.mean_bps > 0 else "loss"}" x="{middle - wide / 2:.1f}" y="{top:.1f}" width="{wide:.1f}" '
                f'height="{max(1.5, base - top):.1f}" rx="2"><title>{safe(title)}</title></rect>'
            )
            if m.error_bps is not None:
                a, b = y(m.mean_bps - 2 * m.error_bps), y(m.mean_bps + 2 * m.error_bps)
                out.append(
                    f'<path class="whisker" d="M{middle:.1f} {a:.1f}V{b:.1f}M{middle - 7:.1f} {a:.1f}h14M{middle - 7:.1f} {b:.1f}h14"/>'
                )
        out.append(f'<text class="tick" x="{middle:.1f}" y="{bottom + 18}" text-anchor="middle">{safe(horizon(m.horizon_s))}</text>')
    out.append(f'<text class="caption" x="{(left + right) / 2:.0f}" y="{height - 6}" text-anchor="middle">time after the fill</text></svg>')
    return "".join(out)


def table_bar(value: float | None, low: float, high: float) -> str:
    """A bar of 160 by 14 pixels from zero to a value, on a scale shared by all rows of a table."""
    low, high = min(low, 0.0), max(high, 0.0)
    if value is None or not math.isfinite(value) or low == high:
        return ""
    x = Scale(low, high, 1.0, 159.0)
    a, b = sorted((x(0.0), x(value)))
    kind = "gain" if value > 0 else "loss"
    return (
        f'<svg class="bar" viewBox="0 0 160 14" aria-hidden="true">'
        f'<rect class="{kind}" x="{a:.1f}" y="2" width="{max(1.0, b - a):.1f}" height="10" rx="1.5"/>'
        f'<line class="zero" x1="{x(0.0):.1f}" x2="{x(0.0):.1f}" y1="0" y2="14"/></svg>'
    )


def horizon(seconds: float) -> str:
    """A markout horizon: 100 ms, 5 s, 10 min."""
    if seconds < 1:
        return f"{figure(round(seconds * 1000, 3))} ms"
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g} min"
    return f"{seconds:g} s"


def _axis_across(x: Scale, bottom: float, unit: str) -> list[str]:
    ticks, digits = value_ticks(x.low, x.high, 6)
    out = []
    for tick in ticks:
        at = x(tick)
        out.append(f'<line class="{"zero" if tick == 0 else "grid"}" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{bottom}"/>')
        out.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{safe(tick_text(tick, digits))}</text>')
    out.append(f'<text class="caption" x="{(x.start + x.end) / 2:.0f}" y="{bottom + 33}" text-anchor="middle">{safe(unit)}</text>')
    return out
