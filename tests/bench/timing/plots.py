"""Plots as SVG, written by hand: a handful of axes and marks needs no library, and the same readings give the same bytes. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from .figures import widths_by_rounds
from .pairs import LEVELS
from .readings import Reading
from .tools import WHOLE

COLOURS = {"as it is": "#2b6cb0", "loaded": "#c05621"}
ROUNDS = (6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
SHARES = (0.4, 2.5)
STYLE = "font-family: system-ui, sans-serif; font-size: 12px; background: #fff"


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis over pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value stands, kept inside."""
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass
class Drawing:
    """Marks on a canvas."""

    width: int
    height: int
    title: str
    _parts: list[str] = field(default_factory=list)

    def line(self, points: Sequence[tuple[float, float]], colour: str, *, width: float = 1, dash: str = "") -> None:
        """Straight pieces through points."""
        text = " ".join(f"{x:g},{y:g}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
        )

    def dot(self, x: float, y: float, colour: str) -> None:
        """One reading."""
        self._parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="2.6" fill="{colour}" fill-opacity="0.55"/>')

    def text(self, x: float, y: float, words: str, *, anchor: str = "middle", colour: str = "#222") -> None:
        """A label."""
        self._parts.append(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>')

    def svg(self) -> str:
        """The file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" role="img" aria-label="{escape(self.title)}" style="{STYLE}">'
        )
        return "\n".join([head, f"<title>{escape(self.title)}</title>", *self._parts, "</svg>", ""])


def _axes(drawing: Drawing, x: Axis, y: Axis, xs: Sequence[tuple[float, str]], ys: Sequence[tuple[float, str]]) -> None:
    for value, label in xs:
        drawing.line([(x.at(value), y.start), (x.at(value), y.end)], "#e5e5e5")
        drawing.text(x.at(value), y.start + 16, label)
    for value, label in ys:
        drawing.line([(x.start, y.at(value)), (x.end, y.at(value))], "#e5e5e5")
        drawing.text(x.start - 6, y.at(value) + 4, label, anchor="end")


def rounds_against_width(readings: Sequence[Reading]) -> str:
    """How narrow isobench's interval gets with rounds: the median and, dashed, what nine of ten runs stay within."""
    drawing = Drawing(640, 360, "Half-width of the 95 % interval against rounds")
    x, y = Axis(ROUNDS[0], ROUNDS[-1], 64, 610), Axis(0.2, 50, 310, 40)
    _axes(
        drawing,
        x,
        y,
        [(one, str(one)) for one in ROUNDS],
        [(one, f"{one:g} %") for one in (0.2, 0.5, 1, 2, 5, 10, 20, 50)],
    )
    drawing.text(337, 350, "rounds")
    drawing.text(64, 22, f"{drawing.title} (of runs that long): median, and dashed nine of ten", anchor="start")
    for number, level in enumerate(LEVELS):
        rows = widths_by_rounds([one for one in readings if one.tool == WHOLE], level, ROUNDS)
        if not rows:
            continue
        drawing.line([(x.at(n), y.at(middle)) for n, middle, _ in rows], COLOURS[level], width=2.5)
        drawing.line([(x.at(n), y.at(most)) for n, _, most in rows], COLOURS[level], dash="5 4")
        drawing.text(605, 58 + 18 * number, f"the machine {level}", anchor="end", colour=COLOURS[level])
    return drawing.svg()


def estimate_against_truth(readings: Sequence[Reading], tools: Sequence[str]) -> str:
    """Every reading of every tool, a panel per tool; on the line is right."""
    there = [tool for tool in tools if any(one.tool == tool and one.ratio for one in readings)]
    levels = [level for level in LEVELS if any(one.level == level for one in readings)]
    size, gap = 210, 46
    drawing = Drawing(gap + (size + gap) * max(1, len(there)), size + 112, "Speedup as read against the true one")
    drawing.text(
        gap, 20, f"{drawing.title}; what lies beyond {SHARES[0]} and {SHARES[-1]} is drawn at the edge", anchor="start"
    )
    for number, tool in enumerate(there):
        left = gap + number * (size + gap)
        x, y = Axis(SHARES[0], SHARES[-1], left, left + size), Axis(SHARES[0], SHARES[-1], size + 56, 56)
        labels = [(one, f"{one:g}") for one in (0.5, 0.7, 1, 1.4, 2)]
        _axes(drawing, x, y, labels, labels)
        drawing.line([(x.start, y.start), (x.end, y.end)], "#888")
        drawing.text(left + size / 2, 46, tool)
        drawing.text(left + size / 2, size + 88, "true")
        for one in readings:
            if one.tool == tool and one.ratio:
                drawing.dot(x.at(one.truth), y.at(one.ratio), COLOURS[one.level])
    for number, level in enumerate(levels):
        drawing.text(gap + 160 * number, size + 106, f"the machine {level}", anchor="start", colour=COLOURS[level])
    return drawing.svg()
