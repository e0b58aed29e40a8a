"""From readings to figures, and from figures to whether a target was met. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean, median

from isobench_runner.harness import ranks

from .readings import Reading

BIG_ERROR = math.log(1.05)
SIDED = 0.05
MIDDLE_ALPHA = 0.05


def percent(log: float) -> float:
    """A difference of logarithms as a difference in percent."""
    return math.expm1(log) * 100


def rank(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def most_by_chance(runs: int, rate: float = SIDED) -> int:
    """The fewest false claims that at least 95 of 100 series of this length stay within, where `rate` is the true rate: 13 of 160."""
    chance = Fraction(rate).limit_denominator(1000)
    below, claims = Fraction(0), -1
    while below < Fraction(95, 100):
        claims += 1
        below += math.comb(runs, claims) * chance**claims * (1 - chance) ** (runs - claims)
    return claims


@dataclass(frozen=True, kw_only=True)
class Power:
    """How one size of effect was seen.

    Attributes:
        found: claims on the right side; wrong: on the other.
        reads: the median speedup that was read, turned so that it is above 1 where it should be.
    """

    percent: int
    pairs: int
    found: int
    wrong: int
    reads: float

    @property
    def rate(self) -> float:
        """Power."""
        return self.found / self.pairs


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A tool under one level of noise.

    Attributes:
        equal: pairs without an effect; false_claims: of them.
        bound: of false claims, by chance.
        error_median, error_p95: of the ratio over all pairs, in percent; big_errors: shares of 5 % or more.
        bias: mean of ln(read / true) over effects up to 10 %, towards an effect too large, in percent.
        covered, intervals: how many intervals hold the truth, of how many.
        half_width: median, in percent.
        cpu_error_median, cpu_error_p95: of the ratio of CPU times, in percent; None where the tool reads none.
        without: pairs that came to no reading.
    """

    tool: str
    level: str
    equal: int
    false_claims: int
    powers: tuple[Power, ...]
    error_median: float
    error_p95: float
    big_errors: float
    bias: float | None
    covered: int
    intervals: int
    half_width: float | None
    seconds: float
    without: int
    cpu_error_median: float | None
    cpu_error_p95: float | None

    @property
    def bound(self) -> int:
        """Of false claims."""
        return most_by_chance(self.equal)

    def power(self, size: int) -> Power | None:
        """Of one size of effect."""
        return next((one for one in self.powers if one.percent == size), None)


def figures(readings: Sequence[Reading], tool: str, level: str) -> Figures | None:
    """The figures of a tool under a level of noise; None where it read nothing."""
    every = [one for one in readings if one.tool == tool and one.level == level]
    read = [one for one in every if one.ratio is not None]
    if not read:
        return None
    errors = [abs(_error(one)) for one in read]
    equal = [one for one in read if one.percent == 0]
    held = [one for one in read if one.low is not None and one.high is not None]
    leaning = [_error(one) * math.copysign(1, math.log(one.truth)) for one in read if 0 < one.percent <= 10]
    cpu = [abs(math.log(one.cpu_ratio / one.truth)) for one in read if one.cpu_ratio]
    widths = [math.log(one.high / one.low) / 2 for one in held if one.low and one.high]
    return Figures(
        tool=tool,
        level=level,
        equal=len(equal),
        false_claims=sum(one.claims for one in equal),
        powers=tuple(_power(read, size) for size in sorted({one.percent for one in read} - {0})),
        error_median=percent(median(errors)),
        error_p95=percent(rank(errors, 0.95)),
        big_errors=sum(error >= BIG_ERROR for error in errors) / len(errors),
        bias=percent(fmean(leaning)) if leaning else None,
        covered=sum(one.low <= one.truth <= one.high for one in held if one.low and one.high),
        intervals=len(held),
        half_width=percent(median(widths)) if widths else None,
        seconds=median(one.wall_seconds for one in read),
        without=len(every) - len(read),
        cpu_error_median=percent(median(cpu)) if cpu else None,
        cpu_error_p95=percent(rank(cpu, 0.95)) if cpu else None,
    )


def _error(reading: Reading) -> float:
    assert reading.ratio is not None
    return math.log(reading.ratio / reading.truth)


def _power(read: Sequence[Reading], size: int) -> Power:
    """Of the pairs of one size; every ratio is turned so that the effect is a speedup."""
    turned = []
    found = wrong = 0
    for one in read:
        if one.percent != size or one.ratio is None:
            continue
        side = math.copysign(1, math.log(one.truth))
        log = side * math.log(one.ratio)
        turned.append(log)
        found += one.claims and log > 0
        wrong += one.claims and log <= 0
    return Power(percent=size, pairs=len(turned), found=found, wrong=wrong, reads=math.exp(median(turned)))


@dataclass(frozen=True, kw_only=True)
class Target:
    """A number to reach and what was seen; `met` is None where nothing was measured."""

    what: str
    wanted: str
    seen: str
    met: bool | None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What 60 s of measuring shall reach: percent, and power by size of effect."""

    error_p95: float
    half_width: float
    bias: float
    power: Mapping[int, float]


WANTED = {
    "as it is": Wanted(error_p95=0.7, half_width=0.7, bias=0.3, power={2: 0.95, 5: 0.99, 10: 1.0}),
    "loaded": Wanted(error_p95=1.5, half_width=1.2, bias=0.5, power={2: 0.85, 5: 0.99, 10: 1.0}),
}


def targets(found: Figures) -> tuple[Target, ...]:
    """The numbers to reach for isobench under this level of noise, beside what was seen."""
    wanted = WANTED[found.level]
    rows = [
        Target(
            what="claims a difference between equal sides",
            wanted=f"at most {found.bound}",
            seen=f"{found.false_claims} of {found.equal}",
            met=found.false_claims <= found.bound if found.equal else None,
        ),
        Target(
            what="interval holds the truth",
            wanted="at least 95 %",
            seen=f"{found.covered} of {found.intervals}",
            met=found.covered >= 0.95 * found.intervals if found.intervals else None,
        ),
        _below("error of the ratio, 95th percentile", found.error_p95, wanted.error_p95),
        _below("half-width of the interval, median", found.half_width, wanted.half_width),
        _below("bias on a known ratio", None if found.bias is None else abs(found.bias), wanted.bias),
    ]
    for size, share in wanted.power.items():
        power = found.power(size)
        rows.append(
            Target(
                what=f"finds {size} %",
                wanted=f"at least {share:.0%}",
                seen=f"{power.found} of {power.pairs}" if power else "none measured",
                met=power.rate >= share if power else None,
            )
        )
    return tuple(rows)


def _below(what: str, seen: float | None, most: float) -> Target:
    return Target(
        what=what,
        wanted=f"at most {most:g} %",
        seen="none measured" if seen is None else f"{seen:.2f} %",
        met=None if seen is None else seen <= most,
    )


def widths_by_rounds(readings: Sequence[Reading], level: str, rounds: Sequence[int]) -> list[tuple[int, float, float]]:
    """Half-widths in percent of the 95 % interval over the first so many rounds: (rounds, median, 90th percentile), of runs that long."""
    rows = []
    for count in rounds:
        widths = []
        for one in readings:
            if one.level == level and len(one.logs) >= count:
                interval = ranks.signed_rank_interval(one.logs[:count], MIDDLE_ALPHA)
                if interval is not None:
                    widths.append(percent((interval[1] - interval[0]) / 2))
        if len(widths) >= 3:
            rows.append((count, median(widths), rank(widths, 0.9)))
    return rows
