"""Processes that keep every CPU busy, for as long as the body of a `with` runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SPIN = "import os\nwhile os.getppid() == {parent}: sum(range(10000))"


@contextmanager
def rivals() -> Iterator[None]:
    """One for each CPU."""
    command = [sys.executable, "-c", SPIN.format(parent=os.getpid())]
    started = [subprocess.Popen(command) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()
