"""The measuring parent's hold on the GPU: refuses one that is shared, warms it, watches it while a round runs.

Reads through `nvml`, decides by `gpu_rules`; never changes a clock, a limit or a mode.
"""

import os
import time
from typing import Any, Callable, Dict, List, Optional, Set

from . import gpu_rules, nvml, watch

LOOKS_AT_REST = 3
REST_SECONDS = 0.15
WARM_SECONDS = 2.0


class Card:
    """The devices that workers will see, from before any of them does."""

    def __init__(self, library: nvml.Nvml) -> None:
        self._devices = library.devices
        self._watch = watch.Watch(library.devices)
        self.described = library.describe()
        self._ours: Set[int] = set()
        self._clocks: Dict[str, List[Optional[int]]] = {}
        self._queued: Dict[str, Optional[float]] = {}
        self.queues = True

    @classmethod
    def find(cls) -> "Optional[Card]":
        """None where there is no GPU."""
        library = nvml.Nvml.open(os.environ.get("CUDA_VISIBLE_DEVICES"))
        return cls(library) if library is not None else None

    def refusal(self) -> Optional[str]:
        """Why nothing may be timed on it, or None. It is watched for a moment, as another's work comes in bursts."""
        looks = []
        for number in range(LOOKS_AT_REST):
            if number:
                time.sleep(REST_SECONDS)
            looks.append([one.utilisation() for one in self._devices])
        least = [min((one for one in several if one is not None), default=None) for several in zip(*looks)]
        return gpu_rules.refusal(self.described, os.environ, at_rest=least)

    def begin(self) -> None:
        """Start to watch a round."""
        self._ours, self._clocks, self._queued = set(), {}, {}
        self._watch.begin()

    def poll(self) -> None:
        """Look while something runs."""
        self._watch.poll()

    def sampled(self, name: str) -> None:
        """Note the clock right after a sample of a revision."""
        self._clocks.setdefault(name, []).append(self._watch.poll())

    def queued(self, name: str, milliseconds: Optional[float]) -> None:
        """Note the GPU time of a call that was queued as a whole."""
        self._queued[name] = milliseconds

    def owns(self, pids: Set[int]) -> None:
        """Take note of processes that this run has started."""
        self._ours |= pids

    def end(self) -> Dict[str, Any]:
        """What the round's line says of the card."""
        return {**self._watch.end(self._ours), "sample_clocks_mhz": self._clocks, "queued_ms": self._queued}

    def warm(self, call: Callable[[], Any]) -> None:
        """Call until the clock is near its maximum or has come to rest, for two seconds at most."""
        end = time.monotonic() + WARM_SECONDS
        highest = self.described.get("sm_clock_max_mhz")
        clocks = [self._watch.poll()]
        while not gpu_rules.warm(clocks, highest) and time.monotonic() < end:
            call()
            clocks.append(self._watch.poll())
