"""What one pass of `decide` costs per Commit, at each step of its life, over 1,000 Commits: printed beside its bound.

Run: python tests/bench/decide.py [COMMITS]
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from isobench_operator.cluster.ports import Key
from isobench_operator.core.plan import Observed, decide
from support.builders import NOW, SETTINGS, generated
from support.fake_cluster import FakeCluster
from support.stories import Story

BOUND_MS = 1.0
STEPS = ("first sight: four Jobs made", "prepared: base Job made", "base stands: two Jobs made", "the end", "at rest")


async def observe(cluster: FakeCluster, key: Key) -> Observed:
    """What a pass reads."""
    owner = await cluster.get(key)
    assert owner is not None
    children = await cluster.children(owner)
    return Observed(owner=owner, jobs=children.jobs, pods=children.pods)


async def main(count: int) -> int:
    """Print the figures; 1 where one is over its bound."""
    clusters = [FakeCluster(generated(f"commit-{number}"), answers=Story(script=False)) for number in range(count)]
    worst = 0.0
    for step in STEPS:
        times = []
        for number, cluster in enumerate(clusters):
            key = Key("Commit", "bench", f"commit-{number}")
            observed = await observe(cluster, key)
            if number % 100 == 0:
                gc.collect()
            started = time.perf_counter()
            plan = decide(observed, NOW, SETTINGS)
            times.append((time.perf_counter() - started) * 1000)
            for manifest in plan.create:
                await cluster.create(manifest)
            if plan.status is not None:
                await cluster.apply_status(key, plan.status)
        mean, p99 = statistics.fmean(times), sorted(times)[int(len(times) * 0.99)]
        worst = max(worst, mean)
        print(f"{step:32} {count} Commits: mean {mean:.3f} ms, p99 {p99:.3f} ms  (bound {BOUND_MS} ms mean)")  # noqa: T201
    return 0 if worst <= BOUND_MS else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)))
