"""One sample by the parent's clock, with the worker's own as witness, and what of the worker's words is believed.

The worker's clock is closer to the work, so its claim is taken where the parent's clock and the time that either waited for a CPU
allow it; otherwise the parent's is. Every number is checked: it comes from a process that runs untrusted code.

A sample also says how much of its time was a wait for a CPU that others held: the kernel counts it to the nanosecond
(/proc/<pid>/schedstat), and on a busy node it is most of the noise. Who takes it off, and when, is the round's.
"""

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from . import reaping
from .events import Fall
from .parent import Worker

SLACK_NS = 500_000
SLACK_SHARE = 0.01
READING_NS = 20_000
"""CPU time of reading the counters around a sample's clock: 8 µs seen."""
COUNTERS = ("cpu_ns", "minflt", "majflt", "nvcsw", "nivcsw", "wait_ns", "threads_before", "threads_after", "drain_ns")


@dataclass(frozen=True)
class Seen:
    """A raw sample and what was seen of it.

    Attributes:
        raw: its fields as rounds.jsonl has them; `wait_ns` is still in `wall_ns`.
        knows: whether `wait_ns` can be relied on.
        restless: whether the worker and what is below it worked since its last sample, when it was others' turn; None for the first.
        inputs: how many of them its calls shared. flushed: whether the caches were emptied before it, where that was asked for.
        mismatch: the worker's clock was not believed. impossible: it claimed more time than had passed.
        lazy: a type in the result that does its work later.
    """

    raw: Dict[str, Any]
    knows: bool
    restless: Optional[bool]
    inputs: int
    flushed: bool
    mismatch: bool
    impossible: bool
    lazy: Optional[str]


def take_sample(
    worker: Worker, *, seeds: List[int], loops: int, keep: bool, ring: Optional[int] = None, flush: bool = False
) -> Seen:
    """Time one sample of a worker that is set up.

    Args:
        ring: how many inputs the calls of a loop take turns with; None: as many as time and memory allow.
        flush: empty the caches of the devices before it.

    Raises:
        Fall: it did not do its part.
    """
    restless = worker.restless()
    prepared = worker.ask("prepare", seeds=seeds, loops=loops, ring=ring, flush=flush)
    delays = reaping.run_delay_ns(worker.pid), reaping.run_delay_ns(os.getpid())
    before = worker.usage()
    passed, answer = worker.go()
    now = worker.usage()
    waited = now.waited_since(before)
    parent_waited = max(0, reaping.run_delay_ns(os.getpid()) - delays[1])
    run_delay = max(0, reaping.run_delay_ns(worker.pid) - delays[0])
    after = worker.ask("after", keep=keep)
    below = worker.children()
    children_later = reaping.used_since(now.cpu, reaping.cpu_ns_each(below & now.cpu.keys()))
    numbers, claimed = after.get("sample"), answer.get("wall_ns")
    if not isinstance(numbers, dict) or type(claimed) is not int:
        raise Fall("crashed", worker.name, "the process spoke out of turn: a sample without numbers")
    believed = plausible(passed, claimed, waited + parent_waited)
    raw: Dict[str, Any] = {name: _whole(numbers.get(name)) for name in COUNTERS}
    raw["drain_ns"] += children_later
    ran = raw["cpu_ns"]
    raw["cpu_ns"] += reaping.used_since(before.cpu, {pid: used for pid, used in now.cpu.items() if pid != worker.pid})
    elsewhere = now.elsewhere_since(before)
    said, raw["wait_ns"] = raw["wait_ns"], 0
    if believed and elsewhere is not None:
        raw["wait_ns"] = others_held(
            claimed, passed, said=said, waited=waited, parent_waited=parent_waited, elsewhere=elsewhere, ran=ran
        )
    gpu_ms = numbers.get("gpu_ms")
    raw.update(
        wall_ns=claimed if believed else passed,
        parent_ns=passed,
        gpu_ms=float(gpu_ms) if isinstance(gpu_ms, (int, float)) and 0 <= gpu_ms < 1e12 else None,
        run_delay_ns=run_delay,
        parent_delay_ns=parent_waited,
        keep=keep,
    )
    lazy = after.get("lazy")
    worker.rest()
    return Seen(
        raw,
        elsewhere is not None,
        restless,
        _whole(prepared.get("inputs")),
        prepared.get("flushed") is True,
        not believed,
        claimed > passed,
        str(lazy)[:100] if lazy else None,
    )


def plausible(passed: int, claimed: int, waited: int) -> bool:
    """Whether a claim fits what the parent saw: within 0.5 ms or 1 %, and what either process waited for a CPU (all ns)."""
    return claimed > 0 and 0 <= passed - claimed <= max(SLACK_NS, int(passed * SLACK_SHARE)) + waited


def others_held(
    claimed: int, passed: int, *, said: int, waited: int, parent_waited: int, elsewhere: int, ran: int
) -> int:
    """How much of a sample's time was a wait for a CPU that others held (all ns).

    The worker says how long its thread waited inside of the clock. It is believed up to what the kernel counts for that thread,
    without what must have been before or after: a gap between both clocks that neither slack nor the parent's own wait explains.
    What ran of the worker's own meanwhile comes off: whoever waits for his helpers waits for himself. And no sample waited for longer
    than it did not run: a wait just before or after the clock would else come off, too.

    Args:
        claimed, passed: the sample's time by the worker's clock and by the parent's.
        said: that the worker's first thread waited. waited: the kernel's count of it, from the parent's word to the answer.
        elsewhere: CPU time of the worker's other threads and of everything below it.
        ran: CPU time that the worker says its process took, with what reading counters costs.
    """
    outside = max(0, passed - claimed - SLACK_NS - parent_waited)
    idle = claimed - max(0, ran - elsewhere) + READING_NS
    return max(0, min(said, waited - outside, claimed - 1, idle) - elsewhere)


def _whole(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 62 else 0
