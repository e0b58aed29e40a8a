"""The statistics that the measuring parent stops by, and that the trusted report recomputes: exact signed-rank intervals of ratios.

The unit is the round (one fresh process per revision): `d` holds ln(base / other) per round, so a positive value means that the
other revision is faster. Pure functions over lists of floats, standard library alone, CPython 3.8.

The interval inverts Wilcoxon's signed-rank test: its ends are order statistics of the Walsh averages (Hodges & Lehmann 1963;
Hollander & Wolfe, Nonparametric Statistical Methods, section 3.3).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import List, Optional, Sequence, Tuple

LOOKS = (8, 16, 32, 64, 128)
"""Rounds at which measuring may stop; each look spends ALPHA, together .05."""
ALPHA = 0.01
PRECISE, PRECISE_SHARE = 0.03, 0.1
"""A difference ends the measuring once its interval's half-width (log units) is at most 3 %, or a tenth of the effect: eight rounds
that agree by chance, or about a factor that is anywhere between 1.03 and 1.35, are worth a few more."""
MIN_ROUNDS = 6
"""Below six rounds no 95 % signed-rank interval exists (2 / 2**6 > .03; 2 / 2**5 > .05)."""


def walsh_averages(d: Sequence[float]) -> List[float]:
    """All n(n+1)/2 pairwise means, an element with itself included, sorted."""
    return sorted((d[i] + d[j]) / 2 for i in range(len(d)) for j in range(i, len(d)))


def _middle(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def hodges_lehmann(d: Sequence[float]) -> float:
    """The median of the Walsh averages: the estimate that the signed-rank interval belongs to."""
    return _middle(walsh_averages(d))


@lru_cache(maxsize=256)
def critical_value(n: int, alpha: float) -> int:
    """The largest q with P(W <= q) <= alpha / 2 for the signed-rank statistic W of n pairs; -1 where there is none."""
    chances = [1.0] + [0.0] * (n * (n + 1) // 2)
    for rank in range(1, n + 1):
        for total in range(rank * (rank + 1) // 2, -1, -1):
            chances[total] = (chances[total] + (chances[total - rank] if total >= rank else 0.0)) / 2
    below, q = 0.0, -1
    for total, chance in enumerate(chances):
        below += chance
        if below > alpha / 2:
            return q
        q = total
    return q


def signed_rank_interval(d: Sequence[float], alpha: float) -> Optional[Tuple[float, float]]:
    """The exact 1 - alpha interval of the centre of `d`; None where n is too small for that level."""
    q = critical_value(len(d), alpha)
    if q < 0:
        return None
    averages = walsh_averages(d)
    return averages[q], averages[len(averages) - 1 - q]


@dataclass(frozen=True)
class Judgement:
    """What a number of rounds says.

    Attributes:
        verdict: faster, slower, negligible, no_change or inconclusive.
        stop: whether a look that sees this may end the measuring.
        speedup: exp of the Hodges-Lehmann estimate: base's time over the other's.
        interval: of the speedup, at `level`; None below MIN_ROUNDS.
        half_width: of the interval in log units (0.01 is about 1 %).
        rounds_needed: for an interval of half-width ln(1 + delta), where the verdict is inconclusive for its width.
    """

    verdict: str
    stop: bool
    rounds: int
    speedup: float
    interval: Optional[Tuple[float, float]]
    level: float
    half_width: Optional[float]
    rounds_needed: Optional[int]


def judge(
    d: Sequence[float], *, delta: float, human_performance: float, floor: float = 0.0, alpha: float = ALPHA
) -> Judgement:
    """Apply the verdict's rules to the rounds so far.

    Args:
        d: ln(base / other) of each kept round.
        delta: the minimum effect as a fraction (0.02 for 2 %).
        floor: the node's noise floor as a fraction. An effect has to exceed it too, but noise is never evidence for no effect:
            `negligible` and `no_change` are claims about `delta` alone.
        human_performance: mean(base) / mean(other) over the raw samples; a verdict has to agree with its side of 1.
        alpha: what this look may spend.
    """
    n = len(d)
    if n == 0:
        return Judgement("inconclusive", False, 0, 1.0, None, 1 - alpha, None, None)
    theta = hodges_lehmann(d)
    interval = signed_rank_interval(d, alpha) if n >= MIN_ROUNDS else None
    if interval is None:
        return Judgement("inconclusive", False, n, math.exp(theta), None, 1 - alpha, None, None)
    low, high = interval
    margin, wanted = math.log1p(delta), math.log1p(max(delta, floor))
    excludes = low > 0 or high < 0
    narrow = signed_rank_interval(d, 2 * alpha)
    equivalent = narrow is not None and -margin < narrow[0] and narrow[1] < margin
    half_width = (high - low) / 2
    if excludes and theta >= wanted and human_performance > 1:
        verdict = "faster"
    elif excludes and theta <= -wanted and human_performance < 1:
        verdict = "slower"
    elif excludes and abs(theta) < margin:
        verdict = "negligible"
    elif equivalent:
        verdict = "no_change"
    else:
        verdict = "inconclusive"
    precise = half_width <= max(margin, PRECISE, PRECISE_SHARE * abs(theta))
    stop = (verdict in ("faster", "slower") and precise) or (equivalent and verdict in ("negligible", "no_change"))
    needed = None
    if verdict == "inconclusive" and not excludes and margin > 0:
        needed = max(n + 1, math.ceil(n * (half_width / margin) ** 2))
    return Judgement(verdict, stop, n, math.exp(theta), (math.exp(low), math.exp(high)), 1 - alpha, half_width, needed)


def last_alpha(rounds: int) -> float:
    """What the look at the end of the budget may spend: ALPHA for every planned look not spent before these rounds."""
    return ALPHA * sum(1 for look in LOOKS if look >= rounds)
