"""Charts over time as inline SVG: lines with gaps, steps, marks that differ in shape, bands, levels.

Colours are classes of the style sheet. Nothing here needs a script: values under the pointer are `<title>` elements, which browsers
show as tooltips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interlock.evidence.report_axes import Scale, last_known, thin, tick_text, time_ticks, value_range, value_ticks
from interlock.evidence.report_data import Floats, Times
from interlock.evidence.report_numbers import clock, duration, figure, safe, utc

WIDTH = 1040
_TOP, _RIGHT, _BOTTOM = 14, 14, 44
_COLUMNS = 96
_MOST_BANDS = 400


@dataclass(frozen=True, slots=True)
class Line:
    """A series; `style` is a class (`l1` ... `l4`, `mid`), `step` holds each value until the next, `area` fills toward the level."""

    name: str
    ns: Times
    values: Floats
    style: str
    step: bool = False
    area: float | None = None


@dataclass(frozen=True, slots=True)
class Marks:
    """Points of one kind, each with its own tooltip. `shape`: up, down, diamond or square; `hollow` draws the outline only."""

    name: str
    ns: Times
    values: Floats
    titles: Sequence[str]
    shape: str
    style: str
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A shaded stretch of time."""

    start_ns: int
    end_ns: int
    title: str
    style: str = "band"


@dataclass(frozen=True, slots=True)
class Level:
    """A dashed horizontal line with its name at the right end."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class TimeChart:
    """What one chart shows: `label` for readers that cannot see it, `unit` of the value axis, `height` in pixels."""

    label: str
    unit: str
    lines: Sequence[Line]
    marks: Sequence[Marks] = ()
    bands: Sequence[Band] = ()
    levels: Sequence[Level] = ()
    height: int = 280
    points: int = 1500
    include: Sequence[float] = ()

    def svg(self) -> str:
        """The chart; a sentence instead where no series has a value."""
        if not any(np.isfinite(line.values).any() for line in self.lines):
            return '<p class="none">No values to draw.</p>'
        ends = [int(t) for line in self.lines if len(line.ns) for t in (line.ns[0], line.ns[-1])]
        low_ns, high_ns = min(ends), max(ends)
        if low_ns == high_ns:
            low_ns, high_ns = low_ns - 500_000_000, high_ns + 500_000_000
        low, high = value_range(
            [line.values for line in self.lines] + [mark.values for mark in self.marks],
            [level.value for level in self.levels] + list(self.include),
        )
        ticks, digits = value_ticks(low, high, max(3, self.height // 50))
        labels = [tick_text(tick, digits) for tick in ticks]
        left = 16 + round(7.2 * max((len(label) for label in labels), default=4))
        bottom = self.height - _BOTTOM
        # Times relative to the start: a float holds those exactly, and not nanoseconds since 1970.
        x = Scale(0.0, float(high_ns - low_ns), left, WIDTH - _RIGHT)
        y = Scale(low, high, bottom, _TOP)
        parts = [f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{safe(self.label)}">']
        parts += _value_axis(ticks, labels, y, left)
        parts += _time_axis(low_ns, high_ns, x, bottom, self.height)
        parts += [_band(band, low_ns, high_ns, x, bottom) for band in self.bands[:_MOST_BANDS]]
        named = [
            f'<line class="level" x1="{left}" x2="{WIDTH - _RIGHT}" y1="{y(level.value):.1f}" y2="{y(level.value):.1f}"/>'
            f'<text class="over" x="{WIDTH - _RIGHT - 4}" y="{y(level.value) - 5:.1f}" text-anchor="end">'
            f"{safe(level.name)} {figure(level.value)} {safe(self.unit)}</text>"
            for level in self.levels
        ]
        for line in self.lines:
            parts.append(_line(line, low_ns, x, y, self.points))
        parts += named
        parts += self._columns(low_ns, high_ns, x, bottom)
        for marks in self.marks:
            parts.append(_marks(marks, low_ns, high_ns, x, y))
        parts.append("</svg>")
        return "".join(parts)

    def _columns(self, low_ns: int, high_ns: int, x: Scale, bottom: float) -> list[str]:
        """Invisible columns whose tooltips tell every line's value at their middle."""
        parts = ['<g class="hits">']
        width = (x.end - x.start) / _COLUMNS
        precise = high_ns - low_ns < _COLUMNS * 2_000_000_000
        for i in range(_COLUMNS):
            at = low_ns + round((high_ns - low_ns) * (i + 0.5) / _COLUMNS)
            told = []
            for line in self.lines:
                value = last_known(line.ns, line.values, at)
                told.append(f"{line.name}: {figure(value)} {self.unit}" if math.isfinite(value) else f"{line.name}: none")
            title = "\n".join([f"{utc(at, millis=precise)} UTC", *told])
            parts.append(
                f'<rect x="{x.start + i * width:.1f}" y="{_TOP}" width="{width:.1f}" height="{bottom - _TOP:.0f}">'
                f"<title>{safe(title)}</title></rect>"
            )
        parts.append("</g>")
        return parts


def legend(items: Sequence[Line | Marks | tuple[str, str]]) -> str:
    """The names of lines and marks with the sign each is drawn with; a pair is (name, band style)."""
    parts = []
    for item in items:
        if isinstance(item, Line):
            name, sign = item.name, f'<path class="line {item.style}" d="M0 6H24"/>'
        elif isinstance(item, Marks):
            name, sign = item.name, f'<path class="{_mark_class(item)}" d="{_shape(item.shape, 12, 6)}"/>'
        else:
            name, sign = item[0], f'<rect class="{item[1]}" x="0" y="0" width="24" height="12"/>'
        parts.append(f'<span><svg class="sign" viewBox="0 0 24 12" aria-hidden="true">{sign}</svg>{safe(name)}</span>')
    return f'<div class="legend">{"".join(parts)}</div>'


def _value_axis(ticks: list[float], labels: list[str], y: Scale, left: float) -> list[str]:
    parts = []
    for tick, label in zip(ticks, labels, strict=True):
        at = y(tick)
        style = "zero" if tick == 0 else "grid"
        parts.append(f'<line class="{style}" x1="{left}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{safe(label)}</text>')
    return parts


def _time_axis(low_ns: int, high_ns: int, x: Scale, bottom: float, height: int) -> list[str]:
    ticks, step = time_ticks(low_ns, high_ns, 9)
    parts = [f'<line class="axis" x1="{x.start}" x2="{x.end}" y1="{bottom}" y2="{bottom}"/>']
    for tick in ticks:
        at = x(float(tick - low_ns))
        # Labels are centred; at the edges they would be cut.
        near = min(at - x.start, x.end - at)
        anchor = "middle" if near > 24 else ("start" if at - x.start < 25 else "end")
        parts.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 18}" text-anchor="{anchor}">{safe(clock(tick, step))}</text>')
    text = f"time, UTC, {utc(low_ns)} to {utc(high_ns)} ({duration(high_ns - low_ns)})"
    parts.append(f'<text class="caption" x="{(x.start + x.end) / 2:.0f}" y="{height - 6}" text-anchor="middle">{safe(text)}</text>')
    return parts


def _band(band: Band, low_ns: int, high_ns: int, x: Scale, bottom: float) -> str:
    a, b = (x(float(min(max(t, low_ns), high_ns) - low_ns)) for t in (band.start_ns, band.end_ns))
    return (
        f'<rect class="{band.style}" x="{a:.1f}" y="{_TOP}" width="{max(0.8, b - a):.1f}" height="{bottom - _TOP:.0f}">'
        f"<title>{safe(band.title)}</title></rect>"
    )


def _line(line: Line, low_ns: int, x: Scale, y: Scale, points: int) -> str:
    ns, values = thin(line.ns, line.values, points)
    pieces: list[str] = []
    areas: list[str] = []
    run: list[tuple[float, float]] = []

    def close() -> None:
        if not run:
            return
        path = _path(run, line.step)
        if line.area is not None and len(run) > 1:
            base = y(line.area)
            areas.append(f"M{run[0][0]:.1f} {base:.1f}L{path[1:]}V{base:.1f}Z")
        # A single point has no length: a round cap makes it a dot.
        pieces.append(path if len(run) > 1 else path + "h0")
        run.clear()

    for at, value in zip((ns - low_ns).tolist(), values.tolist(), strict=True):
        if math.isfinite(value):
            run.append((x(float(at)), y(value)))
        else:
            if run and line.step:
                run.append((x(float(at)), run[-1][1]))
            close()
    close()
    area = f'<path class="area {line.style}" d="{"".join(areas)}"/>' if areas else ""
    return f'{area}<path class="line {line.style}" d="{"".join(pieces)}"/>'


def _path(points: list[tuple[float, float]], step: bool) -> str:
    out = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    last_y = f"{points[0][1]:.1f}"
    for px, py in points[1:]:
        now_y = f"{py:.1f}"
        if step:
            out.append(f"H{px:.1f}" if now_y == last_y else f"H{px:.1f}V{now_y}")
        else:
            out.append(f"L{px:.1f} {now_y}")
        last_y = now_y
    return "".join(out)


def _marks(marks: Marks, low_ns: int, high_ns: int, x: Scale, y: Scale) -> str:
    parts = [f'<g class="{_mark_class(marks)}">']
    for at, value, title in zip(marks.ns.tolist(), marks.values.tolist(), marks.titles, strict=True):
        if math.isfinite(value) and low_ns <= at <= high_ns:
            parts.append(f'<path d="{_shape(marks.shape, x(float(at - low_ns)), y(value))}"><title>{safe(title)}</title></path>')
    parts.append("</g>")
    return "".join(parts)


def _mark_class(marks: Marks) -> str:
    return f"mark {marks.style}{' hollow' if marks.hollow else ''}"


def _shape(shape: str, px: float, py: float) -> str:
    match shape:
        case "up":
            return f"M{px:.1f} {py - 5.5:.1f}l5 9h-10z"
        case "down":
            return f"M{px:.1f} {py + 5.5:.1f}l5-9h-10z"
        case "diamond":
            return f"M{px:.1f} {py - 5.5:.1f}l5.5 5.5-5.5 5.5-5.5-5.5z"
        case _:
            return f"M{px - 4.5:.1f} {py - 4.5:.1f}h9v9h-9z"
