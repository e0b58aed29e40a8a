"""The interval beside the exact one, against scipy."""

from __future__ import annotations

import math
import random

import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from isobench_runner.stats.rounds import Round, Sample, Side
from isobench_runner.stats.secondary import log_t_interval, t_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 7, 8, 15, 30, 31, 127])
@pytest.mark.parametrize("p", [0.9, 0.975, 0.995, 0.9995])
def test_quantiles_are_students(degrees: int, p: float) -> None:
    assert t_quantile(p, degrees) == pytest.approx(student.ppf(p, degrees), rel=1e-9)


def kept(rounds: int, ratio: float, noise: float, seed: int = 5) -> list[Round]:
    rng = random.Random(seed)

    def side(scale: float) -> Side:
        times = [int(50e6 * scale * math.exp(rng.gauss(0, noise))) for _ in range(4)]
        return Side(tuple(Sample(one, one, one) for one in times), None, None)

    return [Round(side(1), side(1 / ratio), None) for _ in range(rounds)]


def test_the_t_interval_is_scipys() -> None:
    for n in (3, 8, 40):
        rounds = kept(n, 1.2, 0.1)
        low, high = log_t_interval(rounds) or (0, 0)
        ratios = [math.log(one.base.median_ns / one.other.median_ns) for one in rounds]
        expected = ttest_1samp(ratios, 0).confidence_interval(0.95)
        assert (math.log(low), math.log(high)) == pytest.approx((expected.low, expected.high))
    assert log_t_interval(kept(2, 1.2, 0.1)) is None
