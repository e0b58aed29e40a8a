"""One sample by the parent's clock, with the worker's own as witness, and what of the worker's words is believed.

The worker's clock is closer to the work, so its claim is taken where the parent's clock and the time that either waited for a CPU
allow it; otherwise the parent's is. Every number is checked: it comes from a process that runs untrusted code.

Where no revision uses more than one CPU, what a sample waited for it is no time of the sample: others held it. The kernel counts that
wait to the nanosecond (/proc/<pid>/schedstat), and on a busy node it is most of the noise.
"""

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from . import reaping
from .events import Fall
from .parent import Worker

SLACK_NS = 500_000
SLACK_SHARE = 0.01
COUNTERS = ("cpu_ns", "minflt", "majflt", "nvcsw", "nivcsw", "wait_ns", "threads_before", "threads_after", "drain_ns")


@dataclass(frozen=True)
class Seen:
    """A raw sample and what was seen of it.

    Attributes:
        raw: its fields as rounds.jsonl has them.
        restless: whether the worker and what is below it worked since its last sample, when it was others' turn; None for the first.
        repeats: whether calls of a loop share inputs.
        mismatch: the worker's clock was not believed. impossible: it claimed more time than had passed.
        lazy: a type in the result that does its work later.
    """

    raw: Dict[str, Any]
    restless: Optional[bool]
    repeats: bool
    mismatch: bool
    impossible: bool
    lazy: Optional[str]


def take_sample(
    worker: Worker, *, seeds: List[int], loops: int, keep: bool, single: bool = False, flush: bool = False
) -> Seen:
    """Time one sample of a worker that is set up.

    Args:
        single: whether no revision uses more than one CPU: waiting for it does not count.
        flush: empty the caches of the devices before it.

    Raises:
        Fall: it did not do its part.
    """
    restless = worker.restless()
    inputs = worker.ask("prepare", seeds=seeds, loops=loops, flush=flush).get("inputs")
    before = reaping.run_delay_ns(worker.pid), reaping.run_delay_ns(os.getpid())
    children_before = reaping.cpu_ns(worker.children())
    passed, answer = worker.go()
    waited = max(0, reaping.run_delay_ns(worker.pid) - before[0])
    parent_waited = max(0, reaping.run_delay_ns(os.getpid()) - before[1])
    children = worker.children()
    children_cpu = reaping.cpu_ns(children)
    after = worker.ask("after", keep=keep)
    children_later = max(0, reaping.cpu_ns(children) - children_cpu)
    numbers, claimed = after.get("sample"), answer.get("wall_ns")
    if not isinstance(numbers, dict) or type(claimed) is not int:
        raise Fall("crashed", worker.name, "the process spoke out of turn: a sample without numbers")
    believed = plausible(passed, claimed, waited + parent_waited)
    raw: Dict[str, Any] = {name: _whole(numbers.get(name)) for name in COUNTERS}
    raw["drain_ns"] += children_later
    raw["cpu_ns"] += max(0, children_cpu - children_before)
    wall_ns = claimed if believed else passed
    raw["wait_ns"] = taken_off(wall_ns, raw["cpu_ns"], said=raw["wait_ns"], seen=waited) if single and believed else 0
    gpu_ms = numbers.get("gpu_ms")
    raw.update(
        wall_ns=wall_ns - raw["wait_ns"],
        parent_ns=passed,
        gpu_ms=float(gpu_ms) if isinstance(gpu_ms, (int, float)) and 0 <= gpu_ms < 1e12 else None,
        run_delay_ns=waited,
        parent_delay_ns=parent_waited,
        keep=keep,
    )
    lazy = after.get("lazy")
    worker.rest()
    return Seen(
        raw, restless, _whole(inputs) < loops, not believed, claimed > passed, str(lazy)[:100] if lazy else None
    )


def plausible(passed: int, claimed: int, waited: int) -> bool:
    """Whether a claim fits what the parent saw: within 0.5 ms or 1 %, and what either process waited for a CPU (all ns)."""
    return claimed > 0 and 0 <= passed - claimed <= max(SLACK_NS, int(passed * SLACK_SHARE)) + waited


def taken_off(wall_ns: int, cpu_ns: int, *, said: int, seen: int) -> int:
    """How much of a sample's time is a wait for its CPU that others held (all ns).

    Never more than the kernel told the parent, and never so much that less is left than the CPU time of the process and its
    children: whoever competes with threads of his own waits for himself.

    Args:
        said: what the worker's thread says that it waited inside of the sample.
        seen: what all of its threads waited from the parent's word to the answer.
    """
    return max(0, min(said, seen, wall_ns - cpu_ns, wall_ns - 1))


def _whole(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 62 else 0
