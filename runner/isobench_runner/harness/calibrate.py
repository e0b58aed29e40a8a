"""Calibration on base, frozen for every revision: warm-ups, samples per round, inner loops, where inputs come from, which CPUs.

The choices are pure functions of the pilots' times; `calibrate` runs the pilots, whose samples are thrown away.
"""

import math
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .events import Calls
from .parent import Session, Worker
from .sampling import take_sample

MAX_WARMUPS = 5
STEADY_SHARE = 0.05
MAX_SAMPLES = 10
SHORT_CALL_NS = 1_000_000
LONG_ENOUGH_NS = 10_000_000
MAX_LOOPS = 1 << 20
SINGLE_THREAD_RATIO = 1.05
COLLAPSE = 5.0
COLLAPSE_NS = 1_000_000
COMPILERS = ("torch", "triton", "numba", "jax", "cupy", "tensorflow", "pythran", "taichi")
EXPENSIVE_SETUP = 20


@dataclass(frozen=True)
class Frozen:
    """What all revisions are measured with.

    Attributes:
        warmups: calls before the first sample, on another input than any sample's.
        k: samples per process and round.
        loops: calls per sample.
        mode: where inputs come from: seed, copy, setup or once.
        seeded: whether setup takes a seed.
        single: whether base keeps at most one CPU busy.
        call_ns: one call on base, warm. round_ns: what a process costs before its first sample.
        state: calls after the first do less work than it did.
    """

    warmups: int
    k: int
    loops: int
    mode: str
    seeded: bool
    single: bool
    call_ns: int
    round_ns: int
    state: bool

    def as_dict(self) -> Dict[str, Any]:
        """For run.json."""
        return asdict(self)


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


def samples_per_round(round_ns: float, call_ns: float) -> int:
    """Kalibera and Jones' optimum with equal variances within and between processes, 1 to 10."""
    return max(1, min(MAX_SAMPLES, round(math.sqrt(round_ns / max(1.0, call_ns)))))


def loops_needed(call_ns: float, sample_ns: Callable[[int], int]) -> int:
    """Calls per sample: one, or for calls below 1 ms a power of two, doubled until a sample takes 10 ms.

    Args:
        sample_ns: times one sample of so many calls.
    """
    loops = 1
    if call_ns < SHORT_CALL_NS:
        while loops * call_ns < LONG_ENOUGH_NS / 2 and loops < MAX_LOOPS:
            loops *= 2
        while sample_ns(loops) < LONG_ENOUGH_NS and loops < MAX_LOOPS:
            loops *= 2
    return loops


def _loops(session: Session, mode: str, call_ns: int) -> int:
    draw = session.draw("loops")
    with session.worker("base") as worker:
        worker.load()
        worker.ask("setup", seed=draw.randrange(1 << 31), mode=mode)

        def sample_ns(loops: int) -> int:
            seen = take_sample(worker, seeds=[draw.randrange(1 << 31)], loops=loops, keep=False)
            return int(seen.raw["wall_ns"])

        return loops_needed(call_ns, sample_ns)


def collapses(walls: Sequence[int]) -> bool:
    """Whether the first call did work that later ones did not: far more than a warm-up gives."""
    if len(walls) < 3:
        return False
    later = median(walls[1:3])
    return walls[0] > COLLAPSE * later and walls[0] - later > COLLAPSE_NS


def first_call_seconds(session: Session) -> float:
    """How long a first call may take before it is given up."""
    return max(5.0, float(session.plan["budget_seconds"]))


@dataclass(frozen=True)
class Pilot:
    """One pilot process: what it cost before its first sample, and its calls."""

    before_ns: int
    calls: Calls
    mode: str
    seeded: bool


def pilot(
    session: Session, name: str, *, number: int, calls: int, mode: Optional[str], preload: Sequence[str] = ()
) -> Pilot:
    """Run one pilot process of a revision.

    Raises:
        Fall: as any worker; `late` where the first call is given up.
    """
    draw = session.draw("pilot", number)
    seeds = [draw.randrange(1 << 31) for _ in range(calls)]
    worker = session.worker(name, hashseed=draw.randrange(1, 1 << 32))
    keep = False
    try:
        loaded = worker.load(preload=preload)
        settled = worker.ask("setup", seed=seeds[0], mode=mode)
        before_ns = time.monotonic_ns() - worker.started_ns
        first = worker.call(seeds[:1], seconds=first_call_seconds(session))
        later = _enough(session, worker, seeds[1:], first)
        worker.prove_package()
        keep = True
    finally:
        worker.end(keep_code_cache=keep and name not in session.code_caches)
    joined = Calls(
        first.wall_ns + later.wall_ns,
        first.cpu_ns + later.cpu_ns,
        first.new_modules,
        first.lazy or later.lazy,
        later.gpu,
    )
    setup_ns = settled.get("setup_ns")
    settled_mode = str(settled.get("mode"))
    expensive = settled_mode == "seed" and type(setup_ns) is int and setup_ns > EXPENSIVE_SETUP * median(joined.wall_ns)
    return Pilot(before_ns, joined, "copy" if expensive else settled_mode, bool(loaded.get("seeded")))


def _enough(session: Session, worker: Worker, seeds: List[int], first: Calls) -> Calls:
    allowed = max(2, int(0.1 * float(session.plan["budget_seconds"]) * 1e9 / max(1, first.wall_ns[0])))
    return worker.call(seeds[:allowed])


def state_between_calls(session: Session, name: str, mode: Optional[str], seen: Pilot) -> Tuple[bool, str]:
    """Whether a collapse after the first call is state rather than warm-up.

    Imports that the first call made are made before it in a second process; compilers at first use are warm-up by definition.
    """
    if not collapses(seen.calls.wall_ns):
        return False, "calls 1, 2, 3 took {} ms".format(_ms(seen.calls.wall_ns))
    loaded = {module.partition(".")[0] for module in seen.calls.new_modules}
    again = pilot(session, name, number=90, calls=3, mode=mode, preload=seen.calls.new_modules)
    if not collapses(again.calls.wall_ns):
        return False, "calls 1, 2, 3 took {} ms: imports of the first call".format(_ms(seen.calls.wall_ns))
    if again.calls.gpu or loaded & set(COMPILERS):
        return False, "calls 1, 2, 3 took {} ms: compiled or loaded onto the device at first use".format(
            _ms(again.calls.wall_ns)
        )
    words = "calls 1, 2, 3 in one process took {} ms: later calls find the work done, so each sample gets a process of its own"
    return True, words.format(_ms(again.calls.wall_ns))


def _ms(walls: Sequence[int]) -> str:
    return ", ".join("{:.3g}".format(one / 1e6) for one in walls[:3])


def calibrate(session: Session) -> Frozen:
    """Run the pilots of every revision and settle what all are measured with.

    Raises:
        Fall: a revision that cannot run the test.
    """
    seen = pilot(session, "base", number=0, calls=MAX_WARMUPS, mode=None)
    state, words = state_between_calls(session, "base", None, seen)
    session.check("state_between_calls", not state, words)
    again = pilot(session, "base", number=1, calls=MAX_WARMUPS, mode=seen.mode)
    pilots = [seen, again]
    other = pilot(session, session.other, number=2, calls=MAX_WARMUPS, mode=seen.mode)
    warmups = max(warmups_needed(one.calls) for one in (*pilots, other))
    warm = [wall for one in pilots for wall in one.calls.wall_ns[1:]]
    busy = [cpu for one in pilots for cpu in one.calls.cpu_ns[1:]]
    gpu = any(one.calls.gpu for one in (*pilots, other))
    call_ns = int(median(one.calls.wall_ns[0] for one in pilots) if state else median(warm))
    round_ns = int(median(one.before_ns for one in pilots)) + warmups * call_ns
    loops = 1 if state else _loops(session, seen.mode, call_ns)
    if state:
        session.flag("state_between_calls")
    if loops > 1:
        session.flag("short_sample")
    if any(one.calls.lazy for one in (*pilots, other)):
        session.flag("lazy_result")
    once = seen.mode == "once" or state
    return Frozen(
        warmups=0 if state else warmups,
        k=1 if once else samples_per_round(round_ns, call_ns * loops),
        loops=loops,
        mode=seen.mode,
        seeded=seen.seeded,
        single=not gpu and sum(busy) <= SINGLE_THREAD_RATIO * sum(warm),
        call_ns=call_ns,
        round_ns=round_ns,
        state=state,
    )


def too_long(session: Session, call_ns: float) -> Optional[str]:
    """Words for a call that the budget holds too few of: sixteen samples are the first look of two revisions, and half goes to the rest."""
    limit = float(session.plan["budget_seconds"]) / (16 * 2)
    if call_ns / 1e9 <= limit:
        return None
    return "one call of experiment takes {:.2f} s; with a budget of {:g} s at most {:.2f} s fit".format(
        call_ns / 1e9, session.plan["budget_seconds"], limit
    )
