"""From rounds to the numbers of a result: the ratio with its interval, the cold and CPU ones beside it, and what to warn of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from isobench_runner.harness import ranks

from .rounds import Round, Sample
from .shifts import Shifts, base_drift, find_shifts

MAX_DISCARDED_SHARE = 0.25
SAME_ALPHA = 0.01
"""Base beside itself counts as different where the interval of this level excludes 1, and it is off by the minimum effect or more."""
SHORT_MS = 1.0
LARGE_RATIO = 20.0
Headline = Literal["warm", "first_call"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a reader asks of the samples.

    Attributes:
        delta: the minimum effect as a fraction.
        floor: the node's noise floor as a fraction.
        alpha: of the whole interval, spent once over the rounds that are there; None: the protocol's planned looks.
    """

    delta: float
    floor: float = 0.0
    alpha: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A ratio beside the verdict's own: Hodges-Lehmann over rounds, with the interval of the verdict's level where there is one."""

    speedup: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that the raw samples say.

    Attributes:
        judgement: the verdict, the estimate and its interval.
        headline: which calls they are about: later ones, or the first ones of fresh processes where later ones live on them or may do.
        human_performance: mean(base) / mean(other) over all samples that count.
        base_ms, other_ms: those samples, in milliseconds per call, in order of measuring.
        warm, cold, cpu: ratios of later calls, of first calls of fresh processes, and of CPU time; None where a round has none.
        shifts: where a gain went or came from.
        discarded: rounds left out, each for a cause that the parent saw.
        disturbed: kept rounds in which the parent saw the machine taken away from the samples.
        waited_share: of the samples' time, how much they waited for a CPU that others held, which was taken off.
        clock_mismatch: whether the worker's clock had to be overruled.
        drift: by what fraction base's own time changed from the first third of the rounds to the last.
        differs: whether the minimum effect or more is seen and the interval at 99 % excludes 1, whatever level the verdict was reached at.
        lower_bound: whether the other's sample is so short beside base's that the ratio is more than what is told.
    """

    judgement: ranks.Judgement
    headline: Headline
    human_performance: float
    base_ms: tuple[float, ...]
    other_ms: tuple[float, ...]
    warm: Estimate
    cold: Estimate | None
    cpu: Estimate | None
    shifts: Shifts
    discarded: int
    disturbed: int
    waited_share: float
    clock_mismatch: bool
    drift: float | None
    differs: bool
    lower_bound: bool
    rule: Rule

    @property
    def base_median_ms(self) -> float:
        """Over all kept samples of base."""
        return float(median(self.base_ms))

    @property
    def other_median_ms(self) -> float:
        """Over all kept samples of the other revision."""
        return float(median(self.other_ms))

    @property
    def heavy_tail(self) -> bool:
        """Whether the ratio of means lies outside the interval of medians: the change may sit in the tail."""
        interval = self.judgement.interval
        return interval is not None and not interval[0] <= self.human_performance <= interval[1]

    @property
    def half_width_percent(self) -> float | None:
        """Half-width of the interval, in percent of the ratio."""
        half = self.judgement.half_width
        return None if half is None else math.expm1(half) * 100

    @property
    def noise_floor_percent(self) -> float | None:
        """What equal sides come out apart: the half-width, or where they are seen further apart than that, so far."""
        half = self.judgement.half_width
        return None if half is None else math.expm1(max(half, abs(math.log(self.judgement.speedup)))) * 100

    @property
    def too_many_discarded(self) -> bool:
        """Whether so many rounds were left out that the rest is no fair sample."""
        total = self.discarded + self.judgement.rounds
        return total > 0 and self.discarded / total > MAX_DISCARDED_SHARE

    @property
    def flags(self) -> dict[str, bool]:
        """The flags that follow from the samples alone, and whether each is raised."""
        return {
            "clock_mismatch": self.clock_mismatch,
            "heavy_tail": self.heavy_tail,
            "memoised": self.shifts.memoised,
            "shifted_work": self.shifts.to_startup or self.shifts.to_cores,
            "short_sample": self.lower_bound,
        }


def _log_ratios(pairs: Sequence[tuple[float | None, float | None]]) -> list[float] | None:
    found = []
    for base, other in pairs:
        if not base or not other:
            return None
        found.append(math.log(base / other))
    return found


def _waited_share(samples: Sequence[Sample]) -> float:
    waited = sum(sample.wait_ns for sample in samples)
    return waited / (waited + sum(sample.wall_ns for sample in samples))


def _estimate(d: Sequence[float] | None, level: float) -> Estimate | None:
    if not d:
        return None
    interval = ranks.signed_rank_interval(d, 1 - level) if len(d) >= ranks.MIN_ROUNDS else None
    return Estimate(
        speedup=math.exp(ranks.hodges_lehmann(d)),
        interval=(math.exp(interval[0]), math.exp(interval[1])) if interval else None,
    )


def _judge(d: Sequence[float], rule: Rule, human_performance: float) -> ranks.Judgement:
    def judge(alpha: float) -> ranks.Judgement:
        return ranks.judge(d, delta=rule.delta, floor=rule.floor, human_performance=human_performance, alpha=alpha)

    if rule.alpha is not None:
        return judge(rule.alpha)
    judgement = judge(ranks.ALPHA)
    return judgement if len(d) in ranks.LOOKS and judgement.stop else judge(ranks.last_alpha(len(d)))


def summarise(rounds: tuple[Round, ...], *, loops: int, rule: Rule, distinct_inputs: bool = True) -> Summary | None:
    """Compute a result from raw rounds; None where not one was kept.

    Args:
        rounds: as parsed.
        loops: calls per sample.
        distinct_inputs: whether every call had an input of its own.
    """
    kept = [item for item in rounds if item.discarded is None]
    if not kept:
        return None
    warm = [math.log(item.base.median_ns / item.other.median_ns) for item in kept]
    cold = _log_ratios([(item.base.cold_ns, item.other.cold_ns) for item in kept])
    cpu = _log_ratios([(item.base.median_cpu_ns, item.other.median_cpu_ns) for item in kept])
    shifts = find_shifts(kept, loops=loops, distinct_inputs=distinct_inputs)
    headline: Headline = "first_call" if (shifts.memoised or shifts.doubted) and cold is not None else "warm"
    if headline == "first_call":
        base_ms = tuple((item.base.cold_ns or 0) / 1e6 for item in kept)
        other_ms = tuple((item.other.cold_ns or 0) / 1e6 for item in kept)
    else:
        base_ms = tuple(sample.ns / loops / 1e6 for item in kept for sample in item.base.samples)
        other_ms = tuple(sample.ns / loops / 1e6 for item in kept for sample in item.other.samples)
    human_performance = fmean(base_ms) / fmean(other_ms)
    counted = cold if headline == "first_call" and cold is not None else warm
    judgement = _judge(counted, rule, human_performance)
    same = ranks.signed_rank_interval(counted, SAME_ALPHA)
    sample_ms = median(other_ms) * (loops if headline == "warm" else 1)
    samples = [sample for item in kept for side in (item.base, item.other) for sample in side.samples]
    warm_estimate = _estimate(warm, judgement.level)
    assert warm_estimate is not None
    return Summary(
        judgement=judgement,
        headline=headline,
        human_performance=human_performance,
        base_ms=base_ms,
        other_ms=other_ms,
        warm=warm_estimate,
        cold=_estimate(cold, judgement.level),
        cpu=_estimate(cpu, judgement.level),
        shifts=shifts,
        discarded=len(rounds) - len(kept),
        disturbed=sum(item.cause is not None for item in kept),
        waited_share=_waited_share(samples),
        clock_mismatch=any(not sample.agrees for sample in samples),
        drift=base_drift(kept),
        differs=same is not None
        and not same[0] <= 0 <= same[1]
        and abs(math.log(judgement.speedup)) >= math.log1p(rule.delta),
        lower_bound=judgement.speedup > LARGE_RATIO and sample_ms < SHORT_MS,
        rule=rule,
    )
