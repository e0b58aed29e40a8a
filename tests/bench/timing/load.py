"""A neighbour: bursts of work of random length, half of the time, one process per CPU. Ends when its parent does.

python tests/bench/timing/load.py SEED DUTY
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

DUTY = 0.5
BURST_SECONDS = (0.02, 0.5)
SETTLE_SECONDS = 0.5


@contextmanager
def neighbours(seed: int, *, duty: float = DUTY) -> Iterator[None]:
    """Keep every CPU busy for a share of the time while the body runs."""
    count = len(os.sched_getaffinity(0))
    started = [
        subprocess.Popen([sys.executable, __file__, f"{seed}{number}", str(duty)], stdin=subprocess.DEVNULL)
        for number in range(count)
    ]
    try:
        time.sleep(SETTLE_SECONDS)
        yield
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait()


def bursts(seed: str, duty: float) -> Iterator[tuple[float, float]]:
    """Seconds to work and to sleep, over and over; over a long time the share of work is `duty`."""
    draw = random.Random(seed)
    while True:
        busy = draw.uniform(*BURST_SECONDS)
        yield busy, busy * (1 - duty) / duty * draw.uniform(0.5, 1.5)


def main(seed: str, duty: float) -> None:
    """Work and sleep until the parent is gone."""
    parent = os.getppid()
    for busy, idle in bursts(seed, duty):
        if os.getppid() != parent:
            return
        end = time.monotonic() + busy
        while time.monotonic() < end:
            sum(range(1000))
        time.sleep(idle)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
