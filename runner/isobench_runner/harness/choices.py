"""What calibration decides, as pure functions of the pilots' times: warm-ups, samples per round, loops, inputs, CPUs, company."""

import math
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Sequence

from .events import Calls

MAX_WARMUPS = 5
STEADY_SHARE = 0.05
MAX_SAMPLES = 10
SHORT_NS = 1_000_000
LONG_ENOUGH_NS = 10_000_000
MAX_LOOPS = 1 << 20
RING = 8
"""Distinct inputs that a looped sample has at least."""
LARGE_RATIO = 20
SINGLE_THREAD_RATIO = 1.05
COLLAPSE = 5.0
COLLAPSE_NS = 1_000_000
EXPENSIVE_SETUP = 20
SAMPLES_IN_BUDGET = 32
PRIOR_DEGREES = 4.0
MAX_VARIANCE_RATIO = 4.0
MEMORY_MARGIN = 1.1


@dataclass(frozen=True)
class Frozen:
    """What all revisions are measured with.

    Attributes:
        warmups: calls before the first sample, on another input than any sample's.
        k: samples per process and round.
        loops: calls per sample. ring: inputs that the calls of a loop take turns with.
        mode: where inputs come from: seed, copy, setup or once.
        seeded: whether setup takes a seed. distinct: whether different seeds were seen to give different inputs, and every call
            has one of its own.
        single: whether no revision keeps more than one CPU busy.
        together: whether the revisions' processes live side by side; else one after the other.
        call_ns, other_call_ns: one call on base and on the other, warm.
        round_ns, sample_ns: what a round costs beside its samples, and what a sample of both revisions costs.
        variance_ratio: within processes over between them.
        state: calls after the first do less work than it did.
        never_rests: whether processes of every revision are busy before the first call.
        gpu: whether a device is in use. cache: of the GPU before a sample, cold or warm; None without one.
    """

    warmups: int
    k: int
    loops: int
    mode: str
    seeded: bool
    distinct: Optional[bool]
    single: bool
    together: bool
    call_ns: int
    other_call_ns: int
    state: bool
    ring: Optional[int] = None
    round_ns: int = 0
    sample_ns: int = 0
    variance_ratio: float = 1.0
    never_rests: bool = False
    gpu: bool = False
    cache: Optional[str] = None

    def as_dict(self) -> Dict[str, Any]:
        """For run.json."""
        return asdict(self)

    def apart(self) -> "Frozen":
        """The same with one process at a time."""
        return replace(self, together=False)


def warmups_needed(calls: Calls) -> int:
    """Calls until two successive ones differ by less than 5 %, at least one, at most five.

    What competes for the CPUs changes wall time at every call and would always cost five: where the calls are the CPU's work,
    successive CPU times that agree are enough.
    """
    cpu_bound = not calls.gpu and 2 * sum(calls.cpu_ns) > sum(calls.wall_ns)
    for index in range(1, len(calls.wall_ns)):
        if any(_steady(clock, index) for clock in ([calls.wall_ns, calls.cpu_ns] if cpu_bound else [calls.wall_ns])):
            return min(index, MAX_WARMUPS)
    return min(len(calls.wall_ns), MAX_WARMUPS)


def _steady(times: Sequence[int], index: int) -> bool:
    return abs(times[index] - times[index - 1]) < STEADY_SHARE * times[index - 1]


def collapses(walls: Sequence[int]) -> bool:
    """Whether the first call did work that later ones did not: far more than a warm-up gives."""
    if len(walls) < 3:
        return False
    later = median(walls[1:3])
    return walls[0] > COLLAPSE * later and walls[0] - later > COLLAPSE_NS


def samples_per_round(round_ns: float, sample_ns: float, variance_ratio: float = 1.0) -> int:
    """Kalibera and Jones' optimum: what a process costs over what a sample costs, times the variance within over that between."""
    return max(1, min(MAX_SAMPLES, round(math.sqrt(variance_ratio * round_ns / max(1.0, sample_ns)))))


def variance_ratio(rounds: Sequence[Sequence[Sequence[int]]]) -> float:
    """Variance of samples within a process over the variance between processes, from pilot rounds.

    What moves both sides of a round together is no variance of its ratio. A few rounds say little, so both variances are drawn
    towards each other as if four more degrees of freedom had found them equal, and the ratio stays between a quarter and four.

    Args:
        rounds: per round its two sides, each with its samples in ns.
    """
    within, degrees, ratios, sizes = 0.0, 0, [], []
    for sides in rounds:
        logs = [[math.log(max(1, one)) for one in samples] for samples in sides]
        means = [sum(one) / len(one) for one in logs]
        within += sum((value - mean) ** 2 for one, mean in zip(logs, means) for value in one)
        degrees += sum(len(one) - 1 for one in logs)
        ratios.append(means[0] - means[1])
        sizes += [len(one) for one in logs]
    if len(ratios) < 2 or not degrees:
        return 1.0
    inside = within / degrees
    centre = sum(ratios) / len(ratios)
    spread = sum((one - centre) ** 2 for one in ratios) / (len(ratios) - 1)
    between = max(0.0, spread / 2 - inside / min(sizes))
    common = PRIOR_DEGREES * (inside + between) / 2
    if common <= 0:
        return 1.0
    ratio = ((degrees * inside + common) / (degrees + PRIOR_DEGREES)) / (
        ((len(ratios) - 1) * between + common) / (len(ratios) - 1 + PRIOR_DEGREES)
    )
    return max(1 / MAX_VARIANCE_RATIO, min(MAX_VARIANCE_RATIO, ratio))


def loops_needed(call_ns: float, sample_ns: Callable[[int], int], *, most: int = MAX_LOOPS) -> int:
    """Calls per sample: one, or for calls below 1 ms a power of two, doubled until a sample takes 10 ms.

    Args:
        sample_ns: times one sample of so many calls.
        most: calls that a sample may have.
    """
    loops = 1
    if call_ns < SHORT_NS:
        while loops * call_ns < LONG_ENOUGH_NS / 2 and 2 * loops <= most:
            loops *= 2
        while sample_ns(loops) < LONG_ENOUGH_NS and 2 * loops <= most:
            loops *= 2
    return loops


def loops_for_both(loops: int, *, base_ns: float, other_ns: float, budget_seconds: float, most: int = MAX_LOOPS) -> int:
    """More calls per sample where the other revision is so much faster that its sample would last less than a millisecond.

    Both get them, as long as the budget holds enough of base's samples.
    """
    if base_ns <= LARGE_RATIO * other_ns:
        return loops
    while (
        loops * other_ns < SHORT_NS and 2 * loops * base_ns <= longest_sample_ns(budget_seconds) and 2 * loops <= most
    ):
        loops *= 2
    return loops


def longest_sample_ns(budget_seconds: float) -> float:
    """Sixteen samples are the first look of two revisions, and half of the time goes to the rest."""
    return budget_seconds * 1e9 / SAMPLES_IN_BUDGET


def inputs_mode(*, seeded: bool, setup_ns: int, copy_ns: Optional[int], sample_ns: float, looped: bool) -> str:
    """Where a sample's inputs come from.

    `seed` (setup with the sample's seed), `copy` (a deep copy of the first), `setup` (setup again), or `once`: none of them costs
    less than twenty samples, so a process makes one sample of its only input.

    Args:
        copy_ns: of a deep copy; None where the inputs cannot be copied.
    """
    allowed = EXPENSIVE_SETUP * sample_ns / (RING if looped else 1)
    if seeded and setup_ns <= allowed:
        return "seed"
    if copy_ns is not None and copy_ns <= allowed:
        return "copy"
    return "setup" if not seeded and setup_ns <= allowed else "once"


def single_threaded(cpu_ns: Sequence[int], wall_ns: Sequence[int], *, elsewhere_ns: int = 0) -> bool:
    """Whether calls keep at most one CPU busy.

    Where others hold the CPUs, work on two of them takes no more CPU time than wall time, so work outside of the calling thread
    counts too.

    Args:
        elsewhere_ns: CPU time of other threads and of children.
    """
    least = sum(cpu_ns) + elsewhere_ns
    return sum(cpu_ns) <= SINGLE_THREAD_RATIO * sum(wall_ns) and elsewhere_ns <= (SINGLE_THREAD_RATIO - 1) * least


def fit_together(peaks: Sequence[int], limit: Optional[int]) -> bool:
    """Whether processes with these peaks of memory (bytes) can live side by side."""
    return limit is None or MEMORY_MARGIN * sum(peaks) <= limit


def worker_cpus(cpus: Sequence[int], round_index: int, *, single: bool) -> List[int]:
    """The CPUs of a round's workers: one where no revision uses more, else all but the parent's; another parent's CPU every round.

    Of two CPUs none is kept from workers that use both: the parent sleeps while they run.
    """
    if single:
        return [cpus[round_index % len(cpus)]]
    return (
        [one for one in cpus if one not in parent_cpus(cpus, round_index, single=False)]
        if len(cpus) > 2
        else list(cpus)
    )


def starting_cpus(cpus: Sequence[int], later: Sequence[int], count: int) -> List[List[int]]:
    """Where so many workers start and import at the same time: each on a CPU of its own, where they will share one; else where they stay.

    The parent only waits meanwhile, so its CPU is given to them, too.
    """
    if len(later) > 1 or len(cpus) < count:
        return [list(later)] * count
    first = cpus.index(later[0])
    return [[cpus[(first + number) % len(cpus)]] for number in range(count)]


def parent_cpus(cpus: Sequence[int], round_index: int, *, single: bool) -> List[int]:
    """The parent's CPUs of a round: one that no worker uses, where there is one."""
    if len(cpus) > 2 or (single and len(cpus) > 1):
        return [cpus[(round_index + 1) % len(cpus)]]
    return list(cpus)
