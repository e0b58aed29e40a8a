"""Rounds: one fresh process per revision, samples interleaved in random order on the same CPUs, until a planned look or the budget.

A round is kept or discarded whole, and only for a cause that the parent itself saw. The statistics are `ranks`'s.
"""

import contextlib
import math
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Dict, List, Optional, Sequence

from . import ranks
from .calibrate import Frozen
from .parent import Session, Worker
from .sampling import Seen, take_sample

MAX_DISCARDED = 0.25
CAUSE_SHARE = 0.10
STORED_ROUNDS = 4
DRAIN_FLOOR_NS = 500_000
DRAIN_CEILING_NS = 2_000_000
DRAIN_SHARE = 0.01


@dataclass
class Measured:
    """What the rounds left: raw lines, why they stopped, the stored results by revision, and what flags were counted from."""

    rounds: List[Dict[str, Any]] = field(default_factory=list)
    stopped: str = "rounds"
    results: Dict[str, List[str]] = field(default_factory=dict)
    samples: Dict[str, int] = field(default_factory=dict)
    mismatches: Dict[str, int] = field(default_factory=dict)
    deferred: Dict[str, int] = field(default_factory=dict)
    impossible: bool = False
    patched: List[str] = field(default_factory=list)
    lazy: List[str] = field(default_factory=list)
    gpu_seconds: float = 0.0

    def count(self, name: str, seen: Seen) -> None:
        """Take note of one sample."""
        self.samples[name] = self.samples.get(name, 0) + 1
        self.mismatches[name] = self.mismatches.get(name, 0) + seen.mismatch
        late = drained_too_much(seen.raw["drain_ns"], seen.raw["wall_ns"])
        self.deferred[name] = self.deferred.get(name, 0) + late
        self.impossible = self.impossible or seen.impossible
        if seen.lazy and seen.lazy not in self.lazy:
            self.lazy.append(seen.lazy)


def drained_too_much(drain_ns: int, wall_ns: int) -> bool:
    """Whether the idle moment after a sample was used for work: over 1 % of the sample, within what 5 ms can show."""
    return drain_ns > min(DRAIN_CEILING_NS, max(DRAIN_FLOOR_NS, DRAIN_SHARE * wall_ns))


@dataclass(frozen=True)
class Pressure:
    """What the machine's own counters say at a moment."""

    throttled: int
    steal_ticks: int
    total_ticks: int

    @classmethod
    def now(cls) -> "Pressure":
        """Read the cgroup and /proc/stat; what is not there counts as nothing."""
        throttled, ticks = 0, [0] * 10
        for path in ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat"):
            with contextlib.suppress(OSError, ValueError), open(path) as file:
                throttled += sum(int(line.split()[1]) for line in file if line.startswith("nr_throttled "))
        with contextlib.suppress(OSError, ValueError), open("/proc/stat") as file:
            ticks = [int(one) for one in file.readline().split()[1:]]
        return cls(throttled, ticks[7] if len(ticks) > 7 else 0, sum(ticks[:8]))

    def cause_since(self, before: "Pressure") -> Optional[str]:
        """Why what ran in between should not be believed, or None."""
        if self.throttled > before.throttled:
            return "the CPU quota throttled the container {} times".format(self.throttled - before.throttled)
        passed = self.total_ticks - before.total_ticks
        if passed > 0 and self.steal_ticks - before.steal_ticks > CAUSE_SHARE * passed:
            return "the host took {:.0f} % of the CPUs' time".format(
                100 * (self.steal_ticks - before.steal_ticks) / passed
            )
        return None


def waited_too_long(samples: Dict[str, List[Dict[str, Any]]]) -> Optional[str]:
    """A cause in the samples of a round: they waited for a CPU for more than a tenth of their time."""
    every = [one for several in samples.values() for one in several]
    waited, ran = sum(one["run_delay_ns"] for one in every), sum(one["parent_ns"] for one in every)
    return (
        "samples waited {:.0f} % of their time for a CPU".format(100 * waited / ran)
        if ran and waited > CAUSE_SHARE * ran
        else None
    )


def run_round(session: Session, index: int, frozen: Frozen, measured: Measured) -> Dict[str, Any]:
    """Run one round.

    Returns:
        The raw line: order, hashseed, pad, samples, cold, startup_ns, discarded.

    Raises:
        Fall: a worker that did not do its part.
    """
    draw = session.draw("round", index)
    order = list(session.names)
    draw.shuffle(order)
    hashseed, pad = draw.randrange(1, 1 << 32), draw.randrange(4096)
    seeds = [draw.randrange(1 << 31) for _ in range(frozen.k + 1)]
    kept_draw = draw.randrange(frozen.k)
    cpus = session.place(index, single=frozen.single)
    before = Pressure.now()
    samples: Dict[str, List[Dict[str, Any]]] = {name: [] for name in session.names}
    cold: Dict[str, Any] = {}
    startup: Dict[str, int] = {}
    workers: Dict[str, Worker] = {}
    try:
        for name in order:
            workers[name] = session.worker(name, hashseed=hashseed, pad=pad, cpus=cpus)
        for name in order:
            startup[name] = _ready(workers[name], frozen, seeds[0], cold)
        for number in range(frozen.k):
            turn = list(order)
            draw.shuffle(turn)
            for name in turn:
                seen = take_sample(
                    workers[name], seeds=[seeds[number + 1]], loops=frozen.loops, keep=number == kept_draw
                )
                samples[name].append(seen.raw)
                measured.count(name, seen)
        for name in order:
            _finish(session, workers[name], index, frozen, measured)
    finally:
        for worker in workers.values():
            worker.end()
    for name in session.names:
        cold.setdefault(name, {"wall_ns": samples[name][0]["wall_ns"], "cpu_ns": samples[name][0]["cpu_ns"]})
    cause = Pressure.now().cause_since(before) or waited_too_long(samples)
    return {
        "round": index,
        "order": order,
        "hashseed": hashseed,
        "pad": pad,
        "samples": samples,
        "cold": cold,
        "startup_ns": startup,
        "discarded": cause,
    }


def _ready(worker: Worker, frozen: Frozen, seed: int, cold: Dict[str, Any]) -> int:
    worker.load()
    worker.ask("setup", seed=seed, mode=frozen.mode)
    startup = time.monotonic_ns() - worker.started_ns
    if frozen.warmups:
        calls = worker.call([seed + 1 + number for number in range(frozen.warmups)])
        cold[worker.name] = {"wall_ns": calls.wall_ns[0], "cpu_ns": calls.cpu_ns[0]}
    return startup


def _finish(session: Session, worker: Worker, index: int, frozen: Frozen, measured: Measured) -> None:
    worker.prove_package()
    patched = worker.ask("patched").get("patched")
    if isinstance(patched, list):
        measured.patched += [str(one)[:100] for one in patched if one not in measured.patched]
    if len(measured.results.get(worker.name, [])) < STORED_ROUNDS and _is_power_of_two(index + 1):
        if frozen.loops > 1:
            worker.call([session.draw("kept", index).randrange(1 << 31)], keep=True)
        measured.results.setdefault(worker.name, []).append(worker.store("r{}".format(index)))


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def log_ratios(rounds: Sequence[Dict[str, Any]], other: str) -> List[float]:
    """ln(base / other) of the rounds' medians."""
    return [math.log(_middle(one, "base") / _middle(one, other)) for one in rounds]


def _middle(line: Dict[str, Any], name: str, clock: str = "wall_ns") -> float:
    return max(1.0, float(median(sample[clock] for sample in line["samples"][name])))


def human_performance(rounds: Sequence[Dict[str, Any]], other: str) -> float:
    """mean(base) / mean(other) over all samples."""
    totals = [sum(sample["wall_ns"] for one in rounds for sample in one["samples"][name]) for name in ("base", other)]
    return float(totals[0] / max(1, totals[1]))


def _fraction(plan: Dict[str, Any], name: str) -> float:
    return float(plan.get(name) or 0) / 100


def run_rounds(session: Session, measured: Measured, one_round: Any) -> None:
    """Run rounds until a planned look sees a verdict, the budget is spent or the last look is done.

    Args:
        one_round: index to raw line.
    """
    begin = time.monotonic()
    budget = float(session.plan["budget_seconds"])
    delta, floor = _fraction(session.plan, "minimum_effect_percent"), _fraction(session.plan, "floor_percent")
    kept: List[Dict[str, Any]] = []
    index, slowest = 0, 0.0
    while len(kept) < ranks.LOOKS[-1]:
        spent = time.monotonic() - begin
        short = len(kept) >= ranks.MIN_ROUNDS and session.left() < 3 * slowest + 1
        if short or (index and spent + 0.9 * slowest > budget):
            measured.stopped = "budget"
            return
        started = time.monotonic()
        line = one_round(index)
        slowest = max(0.7 * slowest, time.monotonic() - started)
        discarded = sum(1 for one in measured.rounds if one["discarded"])
        if line["discarded"] and discarded + 1 > MAX_DISCARDED * (index + 1):
            line["discarded"] = None
        measured.rounds.append(line)
        index += 1
        if line["discarded"]:
            continue
        kept.append(line)
        if len(kept) in ranks.LOOKS:
            ratio = human_performance(kept, session.other)
            ratios = log_ratios(kept, session.other)
            verdict = ranks.look_verdict(ratios, delta=delta, floor=floor, human_performance=ratio)
            if verdict != "inconclusive":
                measured.stopped = "verdict"
                return
    measured.stopped = "rounds"


def raise_flags(session: Session, measured: Measured, loops: int) -> None:
    """Turn what was counted over all samples into flags and checks."""
    wrong = [name for name, count in measured.mismatches.items() if count >= 3 and count > 0.2 * measured.samples[name]]
    if wrong or measured.impossible:
        session.flag("clock_mismatch")
    total = sum(measured.mismatches.values())
    session.check(
        "clock",
        not (wrong or measured.impossible),
        "{} of {} samples were timed by the parent's clock instead".format(total, sum(measured.samples.values())),
    )
    late = [name for name, count in measured.deferred.items() if count >= 2 and count > 0.5 * measured.samples[name]]
    if late:
        session.flag("deferred_work")
    session.check(
        "deferred_work",
        not late,
        "work went on after experiment had returned on {}".format(" and ".join(late))
        if late
        else "nothing ran on after a sample",
    )
    if measured.patched:
        session.flag("patched_timer")
    session.check(
        "timers",
        not measured.patched,
        "replaced: {}".format(", ".join(measured.patched)) if measured.patched else "no clock was replaced",
    )
    if measured.lazy:
        session.flag("lazy_result")
    kept = [one for one in measured.rounds if not one["discarded"]]
    if len(kept) >= ranks.MIN_ROUNDS:
        _memoised(session, kept, loops)
        _heavy_tail(session, kept)


def _memoised(session: Session, kept: List[Dict[str, Any]], loops: int) -> None:
    """First calls gain less than half of what later ones gain: a cache of values, not an imported module, which costs both alike.

    Wall and CPU time are both asked: the first sees devices, the second is steady where the machine is busy.
    """
    memoised, words = False, []
    for clock in ("wall_ns", "cpu_ns"):
        warm = [(_middle(one, "base", clock) - _middle(one, session.other, clock)) / loops for one in kept]
        cold = [float(one["cold"]["base"][clock] - one["cold"][session.other][clock]) for one in kept]
        call = median(_middle(one, "base", clock) for one in kept) / loops
        interval = ranks.signed_rank_interval([c - 0.5 * w for c, w in zip(cold, warm)], ranks.ALPHA)
        memoised = memoised or (median(warm) > 0.1 * call and interval is not None and interval[1] < 0)
        words.append(
            "{}: first calls gain {:.3g} ms, later ones {:.3g} ms".format(
                clock[:-3], median(cold) / 1e6, median(warm) / 1e6
            )
        )
    if memoised:
        session.flag("memoised")
    session.check("memoised", not memoised, "; ".join(words))


def _heavy_tail(session: Session, kept: List[Dict[str, Any]]) -> None:
    """The ratio of means lies outside of the interval of the medians' ratio: what differs may be the tail."""
    interval = ranks.signed_rank_interval(log_ratios(kept, session.other), 0.01)
    mean = math.log(human_performance(kept, session.other))
    if interval is not None:
        width = interval[1] - interval[0]
        heavy = not interval[0] - width <= mean <= interval[1] + width
        if heavy:
            session.flag("heavy_tail")
        session.check(
            "heavy_tail",
            not heavy,
            "means give {:.4f}, medians {:.4f} to {:.4f}".format(
                math.exp(mean), math.exp(interval[0]), math.exp(interval[1])
            ),
        )
