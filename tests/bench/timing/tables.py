"""Figures as Markdown, for a terminal and a page alike. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .figures import Figures, Target, figures, targets
from .pairs import LEVELS
from .readings import Reading
from .tools import OPTIONS, WHOLE


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def every_figure(readings: Sequence[Reading]) -> tuple[Figures, ...]:
    """Of every tool under every level that was measured."""
    found = [figures(readings, tool, level) for level in LEVELS for tool in OPTIONS]
    return tuple(one for one in found if one is not None)


def compared(every: Sequence[Figures]) -> str:
    """Tools side by side, a table per level."""
    parts = []
    for level in LEVELS:
        there = [one for one in every if one.level == level]
        if not there:
            continue
        sizes = sorted({power.percent for one in there for power in one.powers})
        head = ["", "equal sides: claims", *(_size(size) for size in sizes), "error: median", "95th percentile", "off by 5 % or more",
                "bias", "interval holds the truth", "half-width", "seconds"]  # fmt: skip
        text = markdown(head, [_row(one, sizes) for one in there])
        parts.append("\n\n".join([f"### The machine {level}", text, *filter(None, map(_cpu, there))]))
    return "\n\n".join(parts)


def _cpu(one: Figures) -> str:
    if one.cpu_error_median is None:
        return ""
    return (
        f"{one.tool} reads CPU times beside the wall: their ratio is off by {one.cpu_error_median:.2f} % in the median, "
        f"{one.cpu_error_p95:.2f} % at the 95th percentile."
    )


def _size(size: int) -> str:
    return "finds 2 times" if size == 100 else f"finds {size} %"


def _row(one: Figures, sizes: Sequence[int]) -> list[str]:
    powers = []
    for size in sizes:
        power = one.power(size)
        if power is None:
            powers.append("")
            continue
        wrong = f", {power.wrong} the wrong way" if power.wrong else ""
        powers.append(f"{power.found} of {power.pairs}{wrong} (reads {power.reads:.3f})")
    return [
        one.tool + (f" ({one.without} came to nothing)" if one.without else ""),
        f"{one.false_claims} of {one.equal}",
        *powers,
        f"{one.error_median:.2f} %",
        f"{one.error_p95:.2f} %",
        f"{one.big_errors:.0%}",
        "" if one.bias is None else f"{one.bias:+.2f} %",
        f"{one.covered} of {one.intervals}" if one.intervals else "has none",
        "has none" if one.half_width is None else f"{one.half_width:.2f} %",
        f"{one.seconds:.1f}",
    ]


def against_targets(every: Sequence[Figures]) -> str:
    """isobench beside the numbers to reach, missed ones said so."""
    ours = [one for one in every if one.tool in ("isobench", WHOLE)]
    if not ours:
        return "isobench read nothing, so no target was met or missed."
    rows = [[several[0].what, *map(_seen, several)] for several in zip(*map(targets, ours), strict=True)]
    return markdown(["", *(f"{one.tool}, the machine {one.level}" for one in ours)], rows)


def _seen(target: Target) -> str:
    return f"{target.seen} ({target.wanted}{', **missed**' if target.met is False else ''})"


def how() -> str:
    """What each tool ran with."""
    return "\n".join(f"- {tool}: {words}." for tool, words in OPTIONS.items())


def report(readings: Sequence[Reading]) -> str:
    """Everything."""
    every = every_figure(readings)
    loads = sorted(one.load for one in readings)
    noise = f"Load average while measuring: {loads[0]:g} to {loads[-1]:g}, median {loads[len(loads) // 2]:g}."
    return "\n\n".join([against_targets(every), compared(every), how(), noise])
