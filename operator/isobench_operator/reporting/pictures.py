"""Geometry of the report's pictures: numbers in, positions in percent of a box out. The template draws them as inline SVG.

Positions are percentages, so that a picture is as wide as its column while its text keeps its size, from 320 pixels to a wall.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from .folder import Json, items, mapping, number

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis from `low` to `high`, as percentages from `start` to `end`."""

    low: float
    high: float
    start: float = 0
    end: float = 100

    def at(self, value: float) -> float:
        """Where a value stands, kept inside the axis."""
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 3)

    def ticks(self, most: int = 6, suffix: str = "") -> tuple[Tick, ...]:
        """Round values within the axis, at most `most`."""
        values = _round_values(self.low, self.high, most)
        return tuple(Tick(self.at(value), f"{value:.6g}{suffix}") for value in values)


def _round_values(low: float, high: float, most: int) -> list[float]:
    if high / low > 4:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            values = [step * 10.0**power for power in decades for step in steps]
            inside = [value for value in values if low <= value <= high]
            if len(inside) <= most:
                return inside
        return inside[:: math.ceil(len(inside) / most)]
    raw = (high - low) / max(most - 1, 1)
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * nice for nice in (1, 2, 5, 10) if size * nice >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def scale_over(
    values: Iterable[float], *, start: float = 0, end: float = 100, least: float = 1.02, margin: float = 0.06
) -> Scale:
    """An axis over the values with some air around them, spanning at least a factor of `least`."""
    logs = [math.log(value) for value in values if value > 0]
    low, high = (min(logs), max(logs)) if logs else (0.0, 0.0)
    lacking = max(0.0, math.log(least) - (high - low)) / 2
    air = (high - low + 2 * lacking) * margin + lacking
    return Scale(math.exp(low - air), math.exp(high + air), start, end)


@dataclass(frozen=True)
class Bar:
    """An interval on an axis, with its estimate, and the noise floor's band around 1."""

    low: float
    high: float
    at: float
    band_low: float
    band_high: float


@dataclass(frozen=True)
class ForestAxis:
    """The axis that all Commits share; `one` is where base and head take the same time."""

    scale: Scale
    one: float
    ticks: tuple[Tick, ...]

    def bar(self, speedup: float, ends: tuple[float, float] | None, floor_percent: float | None) -> Bar:
        """One Commit's interval."""
        low, high = ends or (speedup, speedup)
        band = 1 + (floor_percent or 0) / 100
        at = self.scale.at
        return Bar(at(low), at(high), at(speedup), at(1 / band), at(band))


def forest_axis(values: Sequence[float]) -> ForestAxis:
    """An axis over all estimates and ends of intervals, 1 always on it."""
    scale = scale_over([*values, 1.0], start=2, end=98, least=1.2)
    return ForestAxis(scale, scale.at(1.0), scale.ticks(7, TIMES))


@dataclass(frozen=True)
class Dot:
    """A sample or a ratio."""

    x: float
    y: float


@dataclass(frozen=True)
class Series:
    """The samples of one revision."""

    name: str
    dots: tuple[Dot, ...]
    median_at: float


@dataclass(frozen=True)
class SamplePlot:
    """Samples over rounds, and the ratio of each round below it.

    Attributes:
        other: the revision beside base. first_calls: whether the dots are first calls of fresh processes, as the verdict is about them.
        thinned: whether each dot is a round's median because there are too many samples to show.
        ratio_band: the interval of the ratio as (top, bottom), where there is one.
        floor_band: likewise what base differs from itself on that node.
    """

    other: str
    first_calls: bool
    rounds: int
    round_ticks: tuple[Tick, ...]
    series: tuple[Series, ...]
    time_ticks: tuple[Tick, ...]
    thinned: bool
    ratios: tuple[Dot, ...]
    ratio_ticks: tuple[Tick, ...]
    ratio_one: float
    ratio_at: float | None
    ratio_band: tuple[float, float] | None
    floor_band: tuple[float, float] | None


def _milliseconds(raw: Json, name: str, loops: float, *, first_calls: bool) -> list[float]:
    if first_calls:
        taken, loops = [mapping(raw.get("cold")).get(name)], 1.0
    else:
        taken = items(mapping(raw.get("samples")).get(name))
    values = (number(mapping(sample).get("wall_ns")) for sample in taken)
    return [value / 1e6 / loops for value in values if value and value > 0]


def sample_plot(result: Json, other: str, *, most_dots: int, floor_percent: float | None = None) -> SamplePlot | None:
    """The picture of a result artifact, or None where it holds no rounds."""
    loops = number(mapping(result.get("plan")).get("loops")) or 1.0
    kept = [mapping(raw) for raw in items(result.get("rounds")) if not mapping(raw).get("discarded")]
    statistics = mapping(result.get("statistics"))
    first = statistics.get("headline") == "first_call"
    sides = {name: [_milliseconds(raw, name, loops, first_calls=first) for raw in kept] for name in ("base", other)}
    pairs = list(zip(sides["base"], sides[other], strict=True))
    numbered = [(number, pair) for number, pair in enumerate(pairs, 1) if all(pair)]
    if not numbered:
        return None
    thinned = sum(len(base) + len(ours) for _, (base, ours) in numbered) > most_dots
    numbered = numbered[:: math.ceil(2 * len(numbered) / most_dots)] if thinned else numbered
    used = [pair for _, pair in numbered]
    time = scale_over((value for pair in used for side in pair for value in side), start=96, end=4, least=1.1)
    width = 100 / len(used)

    def series(name: str, index: int, shift: float) -> Series:
        shown = [[median(pair[index])] if thinned else pair[index] for pair in used]
        dots = (
            Dot(round((number + 0.5 + shift) * width, 2), time.at(value))
            for number, values in enumerate(shown)
            for value in values
        )
        return Series(name, tuple(dots), time.at(median([value for pair in used for value in pair[index]])))

    ratios = [median(base) / median(ours) for base, ours in used]
    ends = [end for end in map(number, items(statistics.get("ci95"))) if end]
    speedup = number(statistics.get("speedup"))
    axis = scale_over([*ratios, 1.0, *ends], start=94, end=6, least=1.05)
    return SamplePlot(
        other=other,
        first_calls=first,
        rounds=len(kept),
        round_ticks=_round_ticks([number for number, _ in numbered]),
        series=(series("base", 0, -0.16), series(other, 1, 0.16)),
        time_ticks=time.ticks(5, " ms"),
        thinned=thinned,
        ratios=tuple(Dot(round((number + 0.5) * width, 2), axis.at(ratio)) for number, ratio in enumerate(ratios)),
        ratio_ticks=axis.ticks(5, TIMES),
        ratio_one=axis.at(1.0),
        ratio_at=axis.at(speedup) if speedup else None,
        ratio_band=(axis.at(ends[1]), axis.at(ends[0])) if len(ends) == 2 else None,
        floor_band=_floor_band(axis, floor_percent),
    )


def _round_ticks(numbers: Sequence[int]) -> tuple[Tick, ...]:
    """The numbers of the first and the last round, and of some between where there is room."""
    width = 100 / len(numbers)
    step = max(1, math.ceil(len(numbers) / 8))
    shown = [place for place in range(0, len(numbers), step) if place == 0 or len(numbers) - 1 - place >= step]
    places = sorted({*shown, len(numbers) - 1})
    return tuple(Tick(round((place + 0.5) * width, 2), str(numbers[place])) for place in places)


def _floor_band(axis: Scale, floor_percent: float | None) -> tuple[float, float] | None:
    if not floor_percent:
        return None
    band = 1 + floor_percent / 100
    return axis.at(band), axis.at(1 / band)


@dataclass(frozen=True)
class RatioRow:
    """One way to look at the change: its name, its words, and where it stands."""

    label: str
    value: str
    bar: Bar
    counts: bool


@dataclass(frozen=True)
class RatioPlot:
    """The ratios of later calls, first calls and CPU time under each other, on an axis of their own."""

    one: float
    ticks: tuple[Tick, ...]
    rows: tuple[RatioRow, ...]


def ratio_plot(
    ratios: Sequence[tuple[str, str, float, tuple[float, float] | None, bool]], floor_percent: float | None
) -> RatioPlot | None:
    """The picture of several ratios of one Commit; None where there are fewer than two.

    Args:
        ratios: (label, words, ratio, interval, whether the verdict is about it).
    """
    if len(ratios) < 2:
        return None
    axis = forest_axis([value for _, _, ratio, ends, _ in ratios for value in (ratio, *(ends or ()))])
    rows = (
        RatioRow(label, value, axis.bar(ratio, ends, floor_percent), counts)
        for label, value, ratio, ends, counts in ratios
    )
    return RatioPlot(axis.one, axis.ticks, tuple(rows))
