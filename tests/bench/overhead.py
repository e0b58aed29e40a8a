"""What the embedded runtime costs beyond the work: seconds per Commit in which no container ran, and the start of the command line.

    python tests/bench/overhead.py [--runs N]

Prints each figure beside its bound. The package is a tiny one, so that the stages' own work is small and what lies between them shows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.tiny import Tiny

OVERHEAD_BOUND = 2.0
HELP_BOUND = 0.3


def busy(out: Path) -> float:
    """Seconds during which at least one container ran."""
    spans: list[tuple[float, float]] = []
    for path in (out / "jobs").glob("*/job.json"):
        for pod in json.loads(path.read_text())["pods"]:
            status = pod["status"]
            for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
                ended = container["state"].get("terminated")
                if ended:
                    first, last = (
                        datetime.fromisoformat(ended[name]).timestamp() for name in ("startedAt", "finishedAt")
                    )
                    spans.append((first, last))
    total, until = 0.0, 0.0
    for first, last in sorted(spans):
        total += max(0.0, last - max(first, until))
        until = max(until, last)
    return total


def overhead(cache: Path) -> tuple[float, float]:
    """Wall seconds of one Commit, and how many of them no container used."""
    with tempfile.TemporaryDirectory() as folder:
        tiny = Tiny.create(Path(folder))
        tiny.commit(measurement={"budgetSeconds": 5, "minimumEffectPercent": "10"})
        start = time.perf_counter()
        code, printed = tiny.run(cache=cache)
        wall = time.perf_counter() - start
        if code != 0:
            sys.exit(f"the Commit did not succeed:\n{printed}")
        return wall, wall - busy(Path(folder) / "out")


def help_seconds() -> float:
    """`isobench --help`, best of five: the machine is shared."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "isobench_operator.cli", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as cache:
        figures = [overhead(Path(cache)) for _ in range(runs)]
    walls, idle = zip(*figures, strict=True)
    print(f"wall seconds per Commit: {', '.join(f'{wall:.1f}' for wall in walls)}")
    print(f"overhead per Commit beyond its stages: median {statistics.median(idle):.2f} s (bound {OVERHEAD_BOUND} s)")
    print(f"isobench --help: {help_seconds():.3f} s (bound {HELP_BOUND} s)")


if __name__ == "__main__":
    main()
