"""By which each peer calls two sides different: its published rule, over the samples that it took. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import scipy.stats

GSO_FACTOR = 1.2
"""GSO's threshold on the mean over tests (arXiv 2505.23671); it has no test of significance."""
ASV_P, ASV_FACTOR = 0.002, 1.1
WELCH_P = 0.05


def log_ratio(base: float, head: float) -> float:
    """ln(base / head)."""
    return math.log(base / head)


def gso_claims(ratio: float) -> bool:
    """Either way, so that a slowdown counts as much."""
    return ratio >= GSO_FACTOR or ratio <= 1 / GSO_FACTOR


def pyperf_claims(comparison: str) -> bool:
    """Whether `pyperf compare_to` calls it significant, in its own words."""
    text = comparison.lower()
    return "not significant" not in text and "no change" not in text and "hidden because not" not in text


def welch_claims(base: Sequence[float], head: Sequence[float]) -> bool:
    """hyperfine's scripts/welch_ttest.py: Welch's t test over the runs, p < .05."""
    return bool(scipy.stats.ttest_ind(base, head, equal_var=False).pvalue < WELCH_P)


def asv_claims(base: Sequence[float], head: Sequence[float]) -> bool:
    """asv's rule of `asv compare` and `asv continuous`, either way.

    asv/commands/compare.py calls a result better or worse where `is_different` (asv/_stats.py: a two-sided Mann-Whitney U test over all
    samples of both, exact up to 20 a side, p < 0.002) says so and the medians differ by more than the factor, 1.1 by default. Ties,
    which asv breaks the conservative way, do not occur between samples of nanoseconds.
    """
    different = mann_whitney_p(base, head) < ASV_P
    return different and abs(log_ratio(_median(base), _median(head))) > math.log(ASV_FACTOR)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def mann_whitney_p(one: Sequence[float], other: Sequence[float]) -> float:
    """The exact two-sided p of the Mann-Whitney U test; a tie counts for the side that makes the difference smaller."""
    above = sum(x > y for x in one for y in other)
    ties = sum(x == y for x in one for y in other)
    total = len(one) * len(other)
    least = min(above + ties, total - above)
    least = min(least, total // 2)
    orders = math.comb(len(one) + len(other), len(one))
    return min(1.0, 2 * sum(_orderings(len(one), len(other), u) for u in range(least + 1)) / orders)


@cache
def _orderings(m: int, n: int, u: int) -> int:
    """Orderings of m and n values with the statistic u."""
    if u < 0:
        return 0
    if m == 0 or n == 0:
        return int(u == 0)
    return _orderings(m - 1, n, u - n) + _orderings(m, n - 1, u)
