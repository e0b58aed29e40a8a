"""Calibration, frozen for every revision: a pilot process of each, two pilot rounds of all, and what they settle.

Pilots' samples are thrown away. The choices themselves are pure and live in `choices`.
"""

import time
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Optional, Sequence, Tuple

from . import boot, choices, gpu_rules, reaping
from .choices import MAX_WARMUPS, Frozen, collapses
from .events import Calls, Stop
from .parent import Worker
from .rounds import OneRound
from .sampling import take_sample
from .session import Session
from .tally import Measured

PILOT_SAMPLES = 3
PILOT_ROUNDS = (-2, -1)
PILOT_SHARE = 0.025
"""Of the budget, for one pilot's calls beyond the least."""
COMPILERS = ("torch", "triton", "numba", "jax", "cupy", "tensorflow", "pythran", "taichi")
STATE_NUMBER = 90
REST_SECONDS = 0.02


def first_call_seconds(session: Session) -> float:
    """How long a first call may take before it is given up."""
    return max(5.0, float(session.plan["budget_seconds"]))


@dataclass(frozen=True)
class Pilot:
    """One pilot process.

    Attributes:
        before_ns: what it cost before its first call.
        calls: made outside of the protocol, the first one cold.
        setup_ns, copy_ns: of making inputs and of copying them; the latter None where it was not asked or cannot be done.
        inputs: digests of the inputs of two seeds.
        changes: whether a short call was seen to change its input.
        restless: whether it worked before the first call, although nothing was asked of it.
        peak_bytes: of memory.
    """

    before_ns: int
    calls: Calls
    seeded: bool
    mode: str
    setup_ns: int
    copy_ns: Optional[int] = None
    children_ns: int = 0
    inputs: Sequence[Optional[str]] = (None, None)
    changes: bool = False
    restless: bool = False
    peak_bytes: int = 0

    @property
    def single(self) -> bool:
        """Whether its calls kept at most one CPU busy."""
        calls = self.calls
        return choices.single_threaded(
            calls.cpu_ns[1:] or calls.cpu_ns,
            calls.wall_ns[1:] or calls.wall_ns,
            elsewhere_ns=self.children_ns + sum(calls.cpu_ns) - sum(calls.own_ns),
        )


def pilot(
    session: Session,
    name: str,
    *,
    number: int,
    calls: int,
    mode: Optional[str],
    preload: Sequence[str] = (),
) -> Pilot:
    """Run one pilot process of a revision; the same number gives every revision the same seeds.

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
        worker.rest()
        time.sleep(REST_SECONDS)
        restless = worker.restless() is True
        first = worker.call(seeds[:1], seconds=first_call_seconds(session))
        later = worker.call(seeds[1 : 1 + _affordable(session, first.wall_ns[0], least=2)])
        children_ns = reaping.cpu_ns(worker.children())
        joined = Calls(
            first.wall_ns + later.wall_ns,
            first.cpu_ns + later.cpu_ns,
            first.new_modules,
            first.lazy or later.lazy,
            later.gpu,
            gpu_below=later.gpu_below,
            own_ns=[*first.own_ns, *later.own_ns],
        )
        found = Pilot(
            before_ns, joined, bool(loaded.get("seeded")), str(settled.get("mode")), _whole(settled.get("setup_ns"))
        )
        found = _closer_look(worker, found, draw, settle=mode is None)
        worker.prove_package()
        found = replace(found, children_ns=children_ns, restless=restless, peak_bytes=reaping.peak_bytes(worker.pid))
        keep = True
    finally:
        worker.end(keep_code_cache=keep and name not in session.code_caches)
    return found


def _affordable(session: Session, call_ns: int, *, least: int) -> int:
    return max(least, int(PILOT_SHARE * float(session.plan["budget_seconds"]) * 1e9 / max(1, call_ns)))


def _closer_look(worker: Worker, found: Pilot, draw: Any, *, settle: bool) -> Pilot:
    """Settle where inputs come from, and see whether seeds make a difference."""
    call_ns = median(found.calls.wall_ns[1:] or found.calls.wall_ns)
    looped = call_ns < choices.SHORT_NS
    if settle:
        copy = worker.ask("copy").get("copy_ns")
        copy_ns = copy if type(copy) is int and copy >= 0 else None
        sample_ns = max(call_ns, choices.LONG_ENOUGH_NS) if looped else call_ns
        mode = choices.inputs_mode(
            seeded=found.seeded, setup_ns=found.setup_ns, copy_ns=copy_ns, sample_ns=sample_ns, looped=looped
        )
        found = replace(found, mode=mode, copy_ns=copy_ns)
    if found.mode == "seed":
        digests = worker.ask("digests", seeds=[draw.randrange(1 << 31) for _ in range(2)]).get("digests")
        if isinstance(digests, list) and len(digests) == 2:
            found = replace(found, inputs=[str(one) if one else None for one in digests])
    if looped and found.mode != "once":
        changes = worker.ask("changes", seed=draw.randrange(1 << 31)).get("changes")
        found = replace(found, changes=changes is True)
    return found


def _whole(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0


def state_between_calls(session: Session, name: str, mode: Optional[str], seen: Pilot) -> Tuple[bool, str]:
    """Whether a collapse after the first call is state rather than warm-up.

    Imports that the first call made are made before it in a second process; compilers at first use are warm-up by definition.
    """
    if not collapses(seen.calls.wall_ns):
        return False, "calls 1, 2, 3 took {} ms".format(_ms(seen.calls.wall_ns))
    loaded = {module.partition(".")[0] for module in seen.calls.new_modules}
    again = pilot(session, name, number=STATE_NUMBER, calls=3, mode=mode, preload=seen.calls.new_modules)
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
    """Run a pilot process of each revision and two pilot rounds, and settle what all are measured with.

    Raises:
        Fall: a revision that cannot run the test.
        Stop: NotDeterministic, Incomparable, where both are not given the same inputs.
    """
    session.modules = boot.compile_all(session)
    base = pilot(session, "base", number=0, calls=MAX_WARMUPS, mode=None)
    state, words = state_between_calls(session, "base", base.mode, base)
    session.check("state_between_calls", not state, words)
    other = pilot(session, session.other, number=0, calls=MAX_WARMUPS, mode=base.mode)
    pilots, once = [base, other], state or base.mode == "once"
    call_ns, other_call_ns = (_call_ns(one, state=state) for one in pilots)
    changes = any(one.changes for one in pilots)
    loops, ring = (1, None) if once else _loops(session, base.mode, call_ns, other_call_ns, changes=changes)
    if state:
        session.flag("state_between_calls")
    if loops > 1 or call_ns < choices.SHORT_NS:
        session.flag("short_sample")
    if any(one.calls.lazy for one in pilots):
        session.flag("lazy_result")
    _same_inputs(session, base, other)
    gpu = any(one.calls.gpu for one in pilots)
    cold = gpu_rules.cold_cache(
        call_ns, gpu=any(one.calls.gpu and not one.calls.gpu_below for one in pilots), loops=loops
    )
    frozen = Frozen(
        warmups=0 if state else max(choices.warmups_needed(one.calls) for one in pilots),
        k=1 if once else min(PILOT_SAMPLES, _affordable(session, loops * call_ns, least=2)),
        loops=loops,
        ring=ring,
        mode=base.mode,
        seeded=base.seeded,
        distinct=_distinct(base),
        single=not gpu and all(one.single for one in pilots),
        together=_together(session, base, other),
        call_ns=call_ns,
        other_call_ns=other_call_ns,
        state=state,
        never_rests=all(one.restless for one in pilots),
        gpu=gpu,
        cache=("cold" if cold else "warm") if gpu else None,
    )
    return _with_samples(session, frozen)


def _with_samples(session: Session, frozen: Frozen) -> Frozen:
    """Settle the samples per round by two rounds as they will be."""
    measured = Measured()
    one_round = OneRound(session, frozen, measured)
    lines = [one_round(index) for index in PILOT_ROUNDS]
    frozen = one_round.frozen
    spent = [line["spent_ns"] for line in lines]
    round_ns = median(one["start"] + one["end"] for one in spent)
    sample_ns = median(one["samples"] / frozen.k for one in spent)
    ratio = choices.variance_ratio(
        [[[one["wall_ns"] for one in line["samples"][name]] for name in session.names] for line in lines]
    )
    k = frozen.k if frozen.k == 1 else choices.samples_per_round(round_ns, sample_ns, ratio)
    repeats = measured.fewest_inputs is not None and measured.fewest_inputs < frozen.loops
    distinct = False if repeats else frozen.distinct
    return replace(
        frozen, k=k, round_ns=int(round_ns), sample_ns=int(sample_ns), variance_ratio=round(ratio, 3), distinct=distinct
    )


def _call_ns(seen: Pilot, *, state: bool) -> int:
    walls = seen.calls.wall_ns
    return int(walls[0] if state else median(walls[1:] or walls))


def _loops(
    session: Session, mode: str, call_ns: int, other_call_ns: int, *, changes: bool
) -> Tuple[int, Optional[int]]:
    """Calls per sample, and how many inputs they take turns with (None for one call).

    Args:
        changes: whether a call changes its input, so that no two calls may share one.
    """
    draw = session.draw("loops")
    budget = float(session.plan["budget_seconds"])
    if (
        call_ns >= choices.SHORT_NS
        and choices.loops_for_both(1, base_ns=call_ns, other_ns=other_call_ns, budget_seconds=budget) == 1
    ):
        return 1, None
    with session.worker("base") as worker:
        worker.load()
        worker.ask("setup", seed=draw.randrange(1 << 31), mode=mode)

        def sample_ns(loops: int) -> int:
            raw = take_sample(worker, seeds=[draw.randrange(1 << 31)], loops=loops, keep=False).raw
            return int(raw["wall_ns"]) - int(raw["run_delay_ns"])

        ring = _ring(worker, draw.randrange(1 << 31))
        most = ring if changes else choices.MAX_LOOPS
        loops = choices.loops_needed(call_ns, sample_ns, most=most)
        loops = choices.loops_for_both(loops, base_ns=call_ns, other_ns=other_call_ns, budget_seconds=budget, most=most)
    if changes:
        words = "a call changes its input, so no two calls of a sample share one of the {} that there is time and memory for"
        session.check("inputs_change", None, words.format(ring))
    return loops, min(ring, loops) if loops > 1 else None


def _ring(worker: Worker, seed: int) -> int:
    """How many inputs there is time and memory for."""
    found = worker.ask("prepare", seeds=[seed], loops=choices.MAX_LOOPS, ring=None, flush=False).get("inputs")
    return max(1, _whole(found))


def _distinct(seen: Pilot) -> Optional[bool]:
    if seen.mode != "seed":
        return False
    return None if None in seen.inputs else seen.inputs[0] != seen.inputs[1]


def _same_inputs(session: Session, base: Pilot, other: Pilot) -> None:
    """Both revisions have to be given the same values; what only one of them can say is not known."""
    if None in (*base.inputs, *other.inputs):
        session.check("same_inputs", None, "the inputs are objects of other packages and were not compared")
        return
    if list(base.inputs) == list(other.inputs):
        session.check("same_inputs", True, "the same seed gives both revisions the same inputs")
        return
    reason, words = (
        (
            "NotDeterministic",
            "the same seed gives two processes of base different inputs: setup may depend on its seed alone",
        )
        if session.plan["role"] == "base"
        else (
            "Incomparable",
            "the same seed gives base and {} different inputs, so they are not given the same work: setup may not use what the commit changed".format(
                session.other
            ),
        )
    )
    session.check("same_inputs", False, words)
    raise Stop(reason, words)


def _together(session: Session, base: Pilot, other: Pilot) -> bool:
    peaks = [base.peak_bytes, other.peak_bytes]
    fits = choices.fit_together(peaks, session.data_bytes)
    words = "processes of base and {} take up to {} and {} MiB".format(session.other, *(one >> 20 for one in peaks))
    session.check("memory", fits, words if fits else words + ": too much for both at once")
    alone = session.card is not None and gpu_rules.one_context_alone(session.card.described)
    return fits and not (alone and (base.calls.gpu or other.calls.gpu))


def too_long(session: Session, call_ns: float) -> Optional[str]:
    """Words for a call that the budget holds too few of."""
    limit = choices.longest_sample_ns(float(session.plan["budget_seconds"]))
    if call_ns <= limit:
        return None
    return "one call of experiment takes {:.2f} s; with a budget of {:g} s at most {:.2f} s fit".format(
        call_ns / 1e9, session.plan["budget_seconds"], limit / 1e9
    )
