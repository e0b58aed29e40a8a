"""Where a gain went or came from: kept from one call to the next, moved to the start of the process, moved to other cores.

Each question is a paired one over rounds, answered by the same exact signed-rank interval as the verdict; what is not certain is not
said. Pure functions over rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from isobench_runner.harness import memo, ranks

from .rounds import Round, Side

MOVED_SHARE = 0.5
STARTUP_SHARE = 0.05
MANY_CORES = 1.2
"""CPU time beyond the wall clock by which more than one core is known to have worked."""


@dataclass(frozen=True, kw_only=True)
class Gains:
    """What the other revision saves, in ms: per later call, per first call, per start of a process.

    Attributes:
        warm, warm_cpu: of a later call, by wall clock and CPU time. cold: of the first call. startup: of everything before it, in CPU time.
    """

    warm: float
    warm_cpu: float
    cold: float | None
    startup: float | None


@dataclass(frozen=True, kw_only=True)
class Shifts:
    """What was found.

    Attributes:
        memoised: later calls live on what the first one computed. unproved: nobody knows whether they do. doubted: nobody knows, and they
            collapsed so far that they would have to prove it.
        to_startup: work was moved before the first call, or into it.
        to_cores: wall time went down and CPU time did not follow.
    """

    gains: Gains
    memoised: bool
    unproved: bool
    doubted: bool
    to_startup: bool
    to_cores: bool


def _per_call(side: Side, loops: int) -> float:
    return side.median_ns / loops


def _differences(kept: Sequence[Round], take: Callable[[Side], float | None]) -> list[float] | None:
    found = []
    for one in kept:
        base, other = take(one.base), take(one.other)
        if base is None or other is None:
            return None
        found.append(base - other)
    return found


def _surely_below(values: Sequence[float] | None) -> bool:
    interval = ranks.signed_rank_interval(values, ranks.ALPHA) if values else None
    return interval is not None and interval[1] < 0


def _less(values: Sequence[float] | None, share: float, whole: Sequence[float]) -> bool:
    return values is not None and _surely_below(
        [one - share * all_of_it for one, all_of_it in zip(values, whole, strict=True)]
    )


def find_shifts(kept: Sequence[Round], *, loops: int, distinct_inputs: bool) -> Shifts:
    """Ask all three questions of the kept rounds.

    Args:
        loops: calls per sample.
        distinct_inputs: whether every call had an input of its own: then no value can have been kept, and a first call that gains
            less than later ones does work that later ones find done.
    """
    warm = _differences(kept, lambda side: _per_call(side, loops)) or []
    warm_cpu = _differences(kept, lambda side: side.median_cpu_ns / loops) or []
    cold = _differences(kept, lambda side: side.cold_ns)
    cold_cpu = _differences(kept, lambda side: side.cold_cpu_ns)
    startup = _differences(kept, lambda side: side.startup_cpu_ns)
    call = median(_per_call(one.base, loops) for one in kept)
    large = median(warm) > memo.LEAST_GAIN * call
    answer = False if distinct_inputs else _lives_on_first(warm, warm_cpu, cold, cold_cpu, call)
    moved_first = distinct_inputs and (
        _less(cold, MOVED_SHARE, warm)
        or (median(warm_cpu) > memo.LEAST_GAIN * call and _less(cold_cpu, MOVED_SHARE, warm_cpu))
    )
    longer_start = _grew(kept, startup, MOVED_SHARE * median(warm))
    other = median(_per_call(one.other, loops) for one in kept)
    return Shifts(
        gains=Gains(
            warm=median(warm) / 1e6,
            warm_cpu=median(warm_cpu) / 1e6,
            cold=median(cold) / 1e6 if cold else None,
            startup=median(startup) / 1e6 if startup else None,
        ),
        memoised=answer is True,
        unproved=answer is None,
        doubted=answer is None and memo.collapsed(call, other),
        to_startup=large and (longer_start or moved_first),
        to_cores=large and _cores(kept) > MANY_CORES and _less(warm_cpu, MOVED_SHARE, warm),
    )


def _lives_on_first(
    warm: Sequence[float],
    warm_cpu: Sequence[float],
    cold: Sequence[float] | None,
    cold_cpu: Sequence[float] | None,
    call: float,
) -> bool | None:
    """What a record without first calls can be asked is nothing: whoever measured it saw only later ones."""
    if cold is None:
        return False
    cpu = memo.Gains(cold_cpu, warm_cpu) if cold_cpu is not None else None
    return memo.lives_on_first(memo.Gains(cold, warm), cpu, call_ns=call)


def _cores(kept: Sequence[Round]) -> float:
    return median(one.other.median_cpu_ns / one.other.median_ns for one in kept)


def _grew(kept: Sequence[Round], startup: Sequence[float] | None, least: float) -> bool:
    """Whether the start costs surely more than before, by more than `least` ns and a twentieth of base's."""
    if startup is None:
        return False
    before = median(one.base.startup_cpu_ns or 0 for one in kept)
    return _surely_below([one + max(least, STARTUP_SHARE * before) for one in startup])


DRIFT = 0.03
"""A drift beyond this is told."""


def base_drift(kept: Sequence[Round]) -> float | None:
    """By what fraction base's own time changed from the first third of the rounds to the last; None below three rounds."""
    third = len(kept) // 3
    if not third:
        return None
    times = [one.base.median_ns for one in kept]
    return median(times[-third:]) / median(times[:third]) - 1
