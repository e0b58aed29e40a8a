"""An interval that is told beside the exact one and decides nothing: Student's t over the rounds' log ratios, which readers know.

It leans on normal noise: where it disagrees with the signed-rank interval, the noise has heavy tails. A bootstrap is left out: below
some twenty rounds it is too narrow, and above them it says what these two say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from .rounds import Round

LEVEL = 0.95


def t_quantile(p: float, degrees: int) -> float:
    """The p-quantile (p above one half) of Student's t, by bisection of its exact distribution function."""
    low, high = 0.0, 1.0
    while _t_below(high, degrees) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_below(middle, degrees) < p else (low, middle)
    return (low + high) / 2


def _t_below(t: float, degrees: int) -> float:
    """P(T <= t) for t >= 0: the finite sums of Abramowitz & Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2 == 1
    term, total = (cosine, cosine) if odd else (1.0, 1.0)
    if odd and degrees == 1:
        total = 0.0
    for step in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    within = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + within / 2


def log_t_interval(kept: Sequence[Round], level: float = LEVEL) -> tuple[float, float] | None:
    """The interval of the geometric mean of the rounds' ratios; None below three rounds."""
    d = [math.log(item.base.median_ns / item.other.median_ns) for item in kept]
    if len(d) < 3:
        return None
    half = t_quantile((1 + level) / 2, len(d) - 1) * stdev(d) / math.sqrt(len(d))
    centre = fmean(d)
    return math.exp(centre - half), math.exp(centre + half)
