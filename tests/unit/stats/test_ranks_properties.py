"""Interval, equivalence and spending of the signed-rank rule against scipy's exact distributions, over drawn samples."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from isobench_runner.harness import ranks


def sample(n: int, centre: float, spread: float, seed: int) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(centre, spread) for _ in range(n)]


drawn = st.builds(
    sample, st.integers(ranks.MIN_ROUNDS, 24), st.floats(-0.1, 0.1), st.floats(0.001, 0.2), st.integers(0, 10**6)
)
levels = st.sampled_from([0.01, 0.02, 0.03, 0.04, 0.05, 0.1])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn, levels, st.floats(-0.2, 0.2))
def test_the_interval_holds_exactly_the_shifts_that_the_exact_test_does_not_reject(
    d: list[float], alpha: float, shift: float
) -> None:
    moved = [one - shift for one in d]
    if 0.0 in moved or len({abs(one) for one in moved}) < len(moved):
        return
    interval = ranks.signed_rank_interval(d, alpha)
    rejected = bool(wilcoxon(moved, method="exact").pvalue <= alpha)
    assert rejected == (interval is not None and not interval[0] <= shift <= interval[1])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn, st.floats(0.005, 0.2))
def test_no_change_is_two_one_sided_tests_at_the_looks_alpha(d: list[float], delta: float) -> None:
    margin = math.log1p(delta)
    shifted = [[one + margin for one in d], [margin - one for one in d]]
    if any(0.0 in one or len({abs(v) for v in one}) < len(one) for one in shifted):
        return
    equivalent = all(wilcoxon(one, alternative="greater", method="exact").pvalue <= ranks.ALPHA for one in shifted)
    judged = ranks.judge(d, delta=delta, human_performance=1.0)
    if judged.verdict == "no_change":
        assert equivalent
    elif judged.verdict == "inconclusive" and judged.interval is not None:
        assert not equivalent or not judged.interval[0] <= 1 <= judged.interval[1]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 400))
def test_all_looks_together_never_spend_more_than_five_percent(end: int) -> None:
    spent = sum(ranks.ALPHA for look in ranks.LOOKS if look < end)
    last = ranks.last_alpha(end)
    assert spent + last <= 0.05 + 1e-12
    assert last > 0 or end > ranks.LOOKS[-1]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn, levels)
def test_a_higher_level_never_narrows_the_interval(d: list[float], alpha: float) -> None:
    wide, narrow = ranks.signed_rank_interval(d, alpha / 2), ranks.signed_rank_interval(d, alpha)
    if wide is not None:
        assert narrow is not None
        assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn)
def test_swapping_the_sides_turns_estimate_and_interval_round(d: list[float]) -> None:
    there = ranks.judge(d, delta=0.02, human_performance=1.0)
    back = ranks.judge([-one for one in d], delta=0.02, human_performance=1.0)
    assert there.speedup * back.speedup == pytest.approx(1)
    if there.interval is not None and back.interval is not None:
        assert there.interval[0] * back.interval[1] == pytest.approx(1)


@pytest.mark.parametrize("n", [6, 8, 16, 32, 64, 128])
@pytest.mark.parametrize("alpha", [0.01, 0.02, 0.05])
def test_the_critical_value_is_where_the_exact_distribution_passes_half_of_alpha(n: int, alpha: float) -> None:
    q = ranks.critical_value(n, alpha)
    counts = [1]
    for rank in range(1, n + 1):
        longer = [*counts, *[0] * rank]
        for total, count in enumerate(counts):
            longer[total + rank] += count
        counts = longer
    half = Fraction(alpha).limit_denominator(1000) / 2
    assert Fraction(sum(counts[: q + 2]), 2**n) > half
    assert Fraction(sum(counts[: q + 1]), 2**n) <= half
