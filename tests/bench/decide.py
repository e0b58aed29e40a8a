"""What one pass of `decide` costs per Commit, in CPU time, at each step of its life, over 1,000 Commits: printed beside its bound.

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
    # The collector would walk all that the fake cluster holds, which an operator does not: a pass leaves no cycles behind.
    gc.disable()
    means = []
    for step in STEPS:
        times = []
        for number, cluster in enumerate(clusters):
            key = Key("Commit", "bench", f"commit-{number}")
            observed = await observe(cluster, key)
            started = time.process_time()
            plan = decide(observed, NOW, SETTINGS)
            times.append((time.process_time() - started) * 1000)
            for manifest in plan.create:
                await cluster.create(manifest)
            if plan.status is not None:
                await cluster.apply_status(observed.owner, plan.status)
        mean, p99 = statistics.fmean(times), sorted(times)[int(len(times) * 0.99)]
        means.append(mean)
        print(f"{step:32} {count} Commits: mean {mean:.3f} ms, p99 {p99:.3f} ms")
    whole = statistics.fmean(means)
    print(f"{'a pass, over these steps':32} {count} Commits: mean {whole:.3f} ms  (bound {BOUND_MS} ms)")
    return 0 if whole <= BOUND_MS else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)))
