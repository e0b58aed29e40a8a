"""One sample in the worker: inputs made before the clock, the call or the loop of calls inside it, and what went on afterwards.

Its clock is a witness; the parent's is the other, and decides where they disagree.
"""

import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import calls, gpu, probes

_sleep = time.sleep
IDLE_SECONDS = 0.005
COMMAND_NS = 200_000
"""CPU time that reading a command takes at most."""
RING = 8
MAX_RING = 512
RING_SECONDS = 0.25
RING_KILOBYTES = 256 << 10


class Sampler:
    """What is kept of a sample from one command of the parent to the next.

    Attributes:
        flushed: whether the devices' caches were emptied before it, where that was asked for.
    """

    def __init__(self, devices: gpu.Devices) -> None:
        self._devices = devices
        self.flushed = True
        self._inputs: List[Any] = []
        self._loops = 1
        self._result: Any = None
        self._marks: Optional[gpu.Marks] = None
        self._before = self._after = probes.Counters(0)
        self._own_ns = self._idle_ns = 0
        self._sample: Dict[str, Any] = {}

    def prepare(
        self, contract: calls.Contract, seeds: List[int], loops: int, *, ring: Optional[int], flush: bool
    ) -> int:
        """Make the inputs, a ring of distinct ones where the sample loops; returns how many.

        Args:
            ring: so many, the same for every revision; None: as many as time and memory allow.
        """
        begin = probes.perf_counter_ns()
        self._inputs = []
        held = probes.peak_kilobytes()
        for index in range(min(loops, ring or MAX_RING)):
            if ring is None and index >= RING and self._enough(begin, held):
                break
            self._inputs.append(contract.fresh(seeds[index % len(seeds)] + index))
        self._loops = loops
        self._result = None
        probes.collect()
        probes.freeze()
        self._devices.look()
        self._devices.synchronize()
        self.flushed = not flush or self._devices.flush()
        return len(self._inputs)

    @staticmethod
    def _enough(begin: int, held: int) -> bool:
        late = probes.perf_counter_ns() - begin > RING_SECONDS * 1e9
        return late or probes.peak_kilobytes() - held > RING_KILOBYTES

    def run(self, function: Callable[[Any], Any]) -> int:
        """Time it; returns nanoseconds. What the call raises is raised after the clock and the counters were read."""
        inputs, loops, devices = self._inputs, self._loops, self._devices
        result, error = None, None
        marks = devices.marks()
        before = probes.Counters(0)
        cpu_ns = probes.process_time_ns()
        begin = probes.perf_counter_ns()
        try:
            if marks:
                marks.begin()
            if loops == 1:
                result = function(inputs[0])
            else:
                ring = len(inputs)
                for index in range(loops - 1, -1, -1):  # the last result, which may be kept, is of the first input
                    result = function(inputs[index % ring])
            if marks:
                marks.end()
            devices.synchronize()
        except BaseException as raised:
            error = raised
        end = probes.perf_counter_ns()
        self._own_ns = probes.thread_time_ns()
        self._after = probes.Counters(probes.process_time_ns())
        if error is not None:
            raise error
        before.cpu_ns += cpu_ns
        self._before, self._marks, self._result = before, marks, result
        return end - begin

    def settle(self) -> None:
        """What the parent need not wait for: differences of counters, and the events' time."""
        gpu_ms = self._marks.milliseconds() if self._marks else None
        self._sample = dict(self._after.since(self._before), gpu_ms=gpu_ms)
        self._marks = None
        self._idle_ns = probes.thread_time_ns()

    def after(self) -> Tuple[Dict[str, Any], Any]:
        """What the sample used, with what ran on in the idle moment after it, and its result, which is forgotten here."""
        _sleep(IDLE_SECONDS)
        idle = max(0, probes.thread_time_ns() - self._idle_ns - COMMAND_NS)  # a signal's handler runs in this thread
        waited = probes.own_wait_ns(self._devices.synchronize)
        now = probes.Counters(probes.process_time_ns())
        own = probes.thread_time_ns() - self._own_ns
        drain_ns = max(0, now.cpu_ns - self._after.cpu_ns - own) + idle + (waited if self._devices.look() else 0)
        result, self._result = self._result, None
        self._inputs = []
        return dict(self._sample, drain_ns=drain_ns), result
