"""What the page-like renderers share: the paper as plain dictionaries with everything spelled out, curves as SVG, cells that no spreadsheet runs."""

from datetime import datetime
from html import escape
from typing import Any

import msgspec

from server.reports.paper import Curve, Paper, Pictures, Sheet, Table, head_rows, shown
from server.reports.period import DAY_MS, local

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 680, 190, 34, 18
_COLOURS = ("#1f4e79", "#8a5a00", "#356859", "#6b4e8a")


class FormError(ValueError):
    """An operator's form cannot be used; the sentence says which and why."""


def spelled(paper: Paper) -> dict[str, Any]:
    """The paper for templates: headings placed, cells as text, curves drawn."""
    whole: dict[str, Any] = msgspec.to_builtins(paper)
    whole["generated_label"] = f"{local(paper.generated_at):%Y-%m-%d %H:%M}"
    whole["origin"] = origin(paper)
    for sheet, plain in zip(paper.sheets, whole["sheets"], strict=True):
        _spell(sheet, plain)
    return whole


def origin(paper: Paper) -> str:
    """Which program made the paper, for whom and when: on every page, so that a copy tells where it came from."""
    person = f"由 {paper.made_for} " if paper.made_for else ""
    return f"{paper.generator} {person}生成于 {local(paper.generated_at):%Y-%m-%d %H:%M}"


def svg(curve: Curve) -> str:
    """A small chart: band as a ground, one line per series, gaps left open, days and values on the axes."""
    values = [value for line in curve.lines for value in line.values if value is not None]
    edges = [*values, *(edge for edge in (curve.low, curve.high) if edge is not None)] or [0.0, 1.0]
    low, high = min(edges), max(edges)
    room = max((high - low) * 0.06, 0.5)
    frame = _Frame(low - room, high + room, max((len(line.values) for line in curve.lines), default=1))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="Noto Sans SC" font-size="9">']
    if curve.low is not None or curve.high is not None:
        top, bottom = frame.y(frame.high if curve.high is None else curve.high), frame.y(frame.low if curve.low is None else curve.low)
        parts.append(f'<rect x="{_LEFT}" y="{top:.1f}" width="{_WIDTH - _LEFT - 4}" height="{bottom - top:.1f}" fill="#dfe9e2"/>')
    parts += [*frame.grid(curve), *(frame.line(line.values, index, line.dashed) for index, line in enumerate(curve.lines))]
    for index, line in enumerate(curve.lines):
        x = _LEFT + 8 + 92 * index
        dash = ' stroke-dasharray="4 3"' if line.dashed else ""
        parts.append(f'<path d="M{x} 8h16" stroke="{_COLOURS[index % 4]}" stroke-width="1.6" fill="none"{dash}/>')
        parts.append(f'<text x="{x + 20}" y="11">{escape(line.name)}</text>')
    return "".join([*parts, "</svg>"])


class _Frame:
    def __init__(self, low: float, high: float, count: int) -> None:
        self.low, self.high, self.count = low, high, max(count, 2)

    def x(self, index: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 4) * index / (self.count - 1)

    def y(self, value: float) -> float:
        return 14 + (_HEIGHT - _BOTTOM - 14) * (self.high - value) / (self.high - self.low)

    def grid(self, curve: Curve) -> list[str]:
        step = next((s for s in (1, 2, 5, 10, 20, 50) if (self.high - self.low) / s <= 6), 100)
        first = int(self.low // step + 1) * step
        parts = []
        for value in range(first, int(self.high) + 1, step):
            y = self.y(value)
            parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 4}" stroke="#c4c4c4" stroke-width=".4"/>')
            parts.append(f'<text x="{_LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{value}</text>')
        marks = min(9, self.count)
        for mark in range(marks):
            index = (self.count - 1) * mark / max(marks - 1, 1)
            day = local(curve.since + round(index) * curve.step_ms)
            anchor = "start" if mark == 0 else "end" if mark == marks - 1 else "middle"
            parts.append(f'<text x="{self.x(index):.1f}" y="{_HEIGHT - 5}" text-anchor="{anchor}">{self.label(curve, day)}</text>')
        parts.append(f'<path d="M{_LEFT} 14V{_HEIGHT - _BOTTOM}H{_WIDTH - 4}" stroke="#222" stroke-width=".7" fill="none"/>')
        return parts

    @staticmethod
    def label(curve: Curve, at: datetime) -> str:
        """The day; within two days the clock."""
        short = max(len(line.values) for line in curve.lines) * curve.step_ms <= 2 * DAY_MS
        return f"{at:%H:%M}" if short else f"{at.month}/{at.day}"

    def line(self, values: tuple[float | None, ...], index: int, dashed: bool) -> str:
        path, pen = [], "M"
        for place, value in enumerate(values):
            if value is None:
                pen = "M"
                continue
            path.append(f"{pen}{self.x(place):.1f} {self.y(value):.1f}")
            pen = "L"
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        return f'<path d="{"".join(path) or "M0 0"}" stroke="{_COLOURS[index % 4]}" stroke-width="1.1" fill="none" stroke-linejoin="round"{dash}/>'


def _spell(sheet: Sheet, plain: dict[str, Any]) -> None:
    for block, target in zip(sheet.blocks, plain["blocks"], strict=True):
        if isinstance(block, Table):
            target["head"] = [[cell._asdict() | {"row": level} for cell in row] for level, row in enumerate(head_rows(block.columns))]
            target["cells"] = [[shown(value, column) for value, column in zip(row, block.columns, strict=True)] for row in block.rows]
        elif isinstance(block, Curve):
            target["svg"] = svg(block)
        elif isinstance(block, Pictures):
            for picture, drawn in zip(block.pictures, target["pictures"], strict=True):
                drawn["image"] = list(picture.image)  # typst takes bytes as numbers only
