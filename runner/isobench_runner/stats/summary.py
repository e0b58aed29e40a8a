"""From rounds to the numbers of a result: the ratio with its interval, the cold and CPU ones beside it, and what to warn of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median

from isobench_runner.harness import ranks

from .rounds import Round

MAX_DISCARDED_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that the raw samples say.

    Attributes:
        judgement: the verdict, the estimate and its interval.
        human_performance: mean(base) / mean(other) over all kept samples.
        base_ms, other_ms: those samples, in milliseconds per call, in order of measuring.
        cold_speedup: Hodges-Lehmann ratio of the first calls of fresh processes; None where none was recorded.
        cpu_speedup: the same of CPU time; None where a side used none that the clock could see.
        discarded: rounds left out, each for a cause that the parent saw.
        clock_mismatch: whether the worker's clock had to be overruled.
        delta, floor: the minimum effect and the node's noise floor that were judged by, as fractions.
    """

    judgement: ranks.Judgement
    human_performance: float
    base_ms: tuple[float, ...]
    other_ms: tuple[float, ...]
    cold_speedup: float | None
    cpu_speedup: float | None
    discarded: int
    clock_mismatch: bool
    delta: float
    floor: float

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
    def too_many_discarded(self) -> bool:
        """Whether so many rounds were left out that the rest is no fair sample."""
        total = self.discarded + self.judgement.rounds
        return total > 0 and self.discarded / total > MAX_DISCARDED_SHARE


def _ratio(pairs: list[tuple[float, float]]) -> float | None:
    usable = [math.log(base / other) for base, other in pairs if base > 0 and other > 0]
    return math.exp(ranks.hodges_lehmann(usable)) if usable and len(usable) == len(pairs) else None


def summarise(rounds: tuple[Round, ...], *, loops: int, delta: float, floor: float = 0.0) -> Summary | None:
    """Compute a result from raw rounds; None where not one was kept.

    Args:
        rounds: as parsed.
        loops: calls per sample.
        delta: the minimum effect as a fraction.
        floor: the node's noise floor as a fraction.
    """
    kept = [item for item in rounds if item.discarded is None]
    if not kept:
        return None
    d = [math.log(item.base.median_ns / item.other.median_ns) for item in kept]
    base_ms = tuple(sample.ns / loops / 1e6 for item in kept for sample in item.base.samples)
    other_ms = tuple(sample.ns / loops / 1e6 for item in kept for sample in item.other.samples)
    human_performance = fmean(base_ms) / fmean(other_ms)
    judge = partial(ranks.judge, d, delta=delta, floor=floor, human_performance=human_performance)
    judgement = judge()
    if not (len(kept) in ranks.LOOKS and judgement.stop):
        judgement = judge(alpha=ranks.last_alpha(len(kept)))
    cold = [(float(i.base.cold_ns), float(i.other.cold_ns)) for i in kept if i.base.cold_ns and i.other.cold_ns]
    return Summary(
        judgement=judgement,
        human_performance=human_performance,
        base_ms=base_ms,
        other_ms=other_ms,
        cold_speedup=_ratio(cold) if len(cold) == len(kept) else None,
        cpu_speedup=_ratio([(item.base.median_cpu_ns, item.other.median_cpu_ns) for item in kept]),
        discarded=len(rounds) - len(kept),
        clock_mismatch=any(not s.agrees for item in kept for side in (item.base, item.other) for s in side.samples),
        delta=delta,
        floor=floor,
    )
