"""The signed-rank interval against scipy's exact test, and the verdict's rules."""

from __future__ import annotations

import math
import random

import pytest
from scipy.stats import wilcoxon

from isobench_runner.harness import ranks


def test_interval_excludes_zero_exactly_when_scipys_exact_test_rejects() -> None:
    rng = random.Random(20260101)
    for _ in range(3000):
        n = rng.randint(ranks.MIN_ROUNDS, 24)
        shift = rng.choice([0.0, 0.3, 1.0])
        d = [rng.gauss(shift, 1) for _ in range(n)]
        alpha = rng.choice([0.01, 0.02, 0.05])
        interval = ranks.signed_rank_interval(d, alpha)
        rejects = bool(wilcoxon(d, method="exact").pvalue <= alpha)
        assert rejects == (interval is not None and (interval[0] > 0 or interval[1] < 0))


@pytest.mark.parametrize(
    ("n", "alpha", "q"),
    [(5, 0.05, -1), (6, 0.05, 0), (8, 0.05, 3), (8, 0.01, 0), (10, 0.05, 8), (20, 0.05, 52), (25, 0.01, 68)],
)
def test_critical_values_are_those_of_the_published_tables(n: int, alpha: float, q: int) -> None:
    assert ranks.critical_value(n, alpha) == q


def test_estimate_is_the_median_of_the_pairwise_means() -> None:
    assert ranks.hodges_lehmann([1.0, 2.0, 10.0]) == pytest.approx(3.75)


@pytest.mark.parametrize(
    ("centre", "spread", "n", "delta", "human", "verdict", "stop"),
    [
        (0.30, 0.01, 8, 0.02, 1.35, "faster", True),
        (-0.30, 0.01, 8, 0.02, 0.74, "slower", True),
        (0.50, 0.80, 8, 0.02, 1.65, "faster", False),
        (0.50, 0.10, 8, 0.02, 1.65, "faster", True),
        (2.00, 0.40, 8, 0.02, 7.39, "faster", True),
        (0.30, 0.01, 8, 0.02, 0.99, "inconclusive", False),
        (0.010, 0.0001, 16, 0.02, 1.01, "negligible", True),
        (0.0, 0.001, 16, 0.02, 1.0, "no_change", True),
        (0.0, 0.5, 16, 0.02, 1.0, "inconclusive", False),
        (0.30, 0.01, 5, 0.02, 1.35, "inconclusive", False),
    ],
)
def test_verdict_follows_interval_effect_and_raw_means(
    centre: float, spread: float, n: int, delta: float, human: float, verdict: str, stop: bool
) -> None:
    d = [centre + spread * (i - (n - 1) / 2) / n for i in range(n)]
    judged = ranks.judge(d, delta=delta, human_performance=human)
    assert (judged.verdict, judged.stop) == (verdict, stop)
    assert judged.speedup == pytest.approx(math.exp(centre))


@pytest.mark.parametrize(
    ("centre", "spread", "verdict"),
    [
        (0.30, 0.01, "faster"),
        (0.10, 0.01, "inconclusive"),
        (-0.10, 0.01, "inconclusive"),
        (0.01, 0.001, "negligible"),
        (0.0, 0.2, "inconclusive"),
        (0.0, 0.001, "no_change"),
    ],
)
def test_a_noisy_node_makes_effects_harder_to_claim_and_never_their_absence_easier(
    centre: float, spread: float, verdict: str
) -> None:
    d = [centre + spread * (i - 7.5) / 16 for i in range(16)]
    assert ranks.judge(d, delta=0.02, floor=0.25, human_performance=math.exp(centre)).verdict == verdict


def test_a_wide_interval_says_how_many_rounds_would_do() -> None:
    rng = random.Random(7)
    judged = ranks.judge([rng.gauss(0, 0.1) for _ in range(16)], delta=0.02, human_performance=1.0)
    assert judged.verdict == "inconclusive"
    assert judged.rounds_needed is not None
    assert judged.rounds_needed > 16


@pytest.mark.parametrize(
    ("rounds", "alpha"), [(7, 0.05), (8, 0.05), (9, 0.04), (16, 0.04), (20, 0.03), (100, 0.01), (128, 0.01)]
)
def test_the_last_look_spends_what_earlier_looks_left(rounds: int, alpha: float) -> None:
    spent = ranks.ALPHA * sum(1 for look in ranks.LOOKS if look < rounds)
    assert ranks.last_alpha(rounds) == pytest.approx(alpha)
    assert spent + ranks.last_alpha(rounds) == pytest.approx(0.05)


def test_equal_sides_are_called_different_no_more_often_than_promised() -> None:
    rng = random.Random(42)
    wrong = 0
    for _ in range(400):
        d: list[float] = []
        for look in ranks.LOOKS[:3]:
            d += [rng.gauss(0, 0.03) for _ in range(look - len(d))]
            low, high = ranks.signed_rank_interval(d, ranks.ALPHA) or (-1, 1)
            if low > 0 or high < 0:
                wrong += 1
                break
    assert wrong <= 24  # 3 looks at 1 %: 12 expected; 24 is beyond the 99.9th percentile of Binomial(400, .03)
