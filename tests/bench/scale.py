"""Hundreds of Commits on a hundred fake GPU nodes: their rate beside that of the same Jobs made by a bare loop, the operator's writes,
lag and memory, each beside its bound.

    python tests/bench/scale.py [--commits N] [--nodes N] [--at-once N] [--held N]

A real API server on etcd, real controllers and a real scheduler; nodes are KWOK's, and pods are ended by a fake kubelet as soon as they
are bound, so nothing but the control plane and the operator takes time. The bare loop creates all Jobs of all Commits at once, with as
many requests at a time as the operator, before the Commits and again after them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp

from isobench_operator.cluster.kube.api import CONCURRENCY
from isobench_operator.core.statuses import condition_status
from isobench_operator.settings import load
from support.builders import generated
from support.control_plane import ControlPlane, running
from support.fake_kubelet import client, living, watch
from support.jobs import jobs_of
from support.operators import OURS, Process
from support.stories import Story

Json = dict[str, Any]
RATIO_BOUND, WRITES_BOUND, LAG_BOUND = 0.7, 16.0, 1.0
STORE = {"url": "s3://bench/store"}
WAIT_SECONDS = 1800.0
ROLE, UID, NAME = (f"isobench.dev/{word}" for word in ("role", "commit-uid", "name"))


def commit(number: int, namespace: str, **spec: Any) -> Json:
    """A Commit with a generated test and a main."""
    body = generated(f"c{number:05}", spec=spec)
    body["metadata"] = {"name": body["metadata"]["name"], "namespace": namespace}
    return body


async def create(session: aiohttp.ClientSession, path: str, bodies: Iterable[Json]) -> None:
    """Create objects, as many at a time as the operator sends requests."""
    limit = asyncio.Semaphore(CONCURRENCY)

    async def one(body: Json) -> None:
        async with limit, session.post(path, json=body) as answer:
            assert answer.status == 201, await answer.text()

    await asyncio.gather(*map(one, bodies))


async def timed(
    begin: Callable[[], Awaitable[None]], session: aiohttp.ClientSession, path: str, *, count: int, ended: Callable[[Json], bool]
) -> float:  # fmt: skip
    """Seconds from the first request until so many objects of a path have ended."""
    found: set[str] = set()

    async def until_all() -> None:
        async for _, body in watch(session, path):
            if ended(body):
                found.add(body["metadata"]["name"])
                if len(found) == count:
                    return

    started = time.monotonic()
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.gather(until_all(), begin())
    except TimeoutError:
        sys.exit(f"after {WAIT_SECONDS:.0f} s only {len(found)} of {count} at {path} have ended")
    return time.monotonic() - started


async def bare(session: aiohttp.ClientSession, namespace: str, *, commits: int, jobs: dict[str, Json]) -> float:
    """Seconds for the Jobs of so many Commits, made by a loop."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    bodies = []
    for number in range(commits):
        for role, job in jobs.items():
            body = json.loads(json.dumps(job))
            body["metadata"] |= {"name": f"c{number:05}-{role}", "namespace": namespace}
            del body["metadata"]["ownerReferences"]
            for labels in (body["metadata"]["labels"], body["spec"]["template"]["metadata"]["labels"]):
                labels |= {UID: f"uid-{number}", NAME: f"c{number:05}"}
            bodies.append(body)

    def complete(job: Json) -> bool:
        return any(one["type"] == "Complete" and one["status"] == "True" for one in job["status"].get("conditions", ()))

    return await timed(lambda: create(session, path, bodies), session, path, count=len(bodies), ended=complete)


def succeeded(body: Json) -> bool:
    """Whether a Commit has."""
    return condition_status(body.get("status") or {}, "Succeeded") == "True"


async def commits_take(session: aiohttp.ClientSession, namespace: str, count: int) -> float:
    """Seconds until so many Commits have succeeded."""
    path = f"{OURS}/namespaces/{namespace}/commits"
    bodies = [commit(number, namespace) for number in range(count)]
    return await timed(lambda: create(session, path, bodies), session, path, count=count, ended=succeeded)


class Lag:
    """When each Job's end was seen, and when the status that tells of it: by the same watcher, so only their distance counts."""

    def __init__(self, session: aiohttp.ClientSession, namespace: str) -> None:
        self._session, self._namespace = session, namespace
        self.ended: dict[tuple[str, str], float] = {}
        self.told: dict[tuple[str, str], float] = {}

    async def jobs(self) -> None:
        """Note the end of Jobs."""
        async for _, job in watch(self._session, f"/apis/batch/v1/namespaces/{self._namespace}/jobs"):
            if any(one["type"] in ("Complete", "Failed") for one in job["status"].get("conditions", ())):
                labels = job["metadata"]["labels"]
                self.ended.setdefault((labels[NAME], labels[ROLE]), time.monotonic())

    async def statuses(self) -> None:
        """Note the statuses."""
        async for _, body in watch(self._session, f"{OURS}/namespaces/{self._namespace}/commits"):
            for stage in (body.get("status") or {}).get("stages", ()):
                if stage["state"] != "Pending":
                    self.told.setdefault((body["metadata"]["name"], stage["name"]), time.monotonic())

    def seconds(self) -> list[float]:
        """The lags, sorted."""
        return sorted(max(0.0, self.told[key] - ended) for key, ended in self.ended.items() if key in self.told)


async def reads(session: aiohttp.ClientSession, namespace: str, found: list[float]) -> None:
    """Note how long a read of one small object takes, again and again: what a second is worth on this machine just now."""
    while True:
        started = time.monotonic()
        async with session.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/isobench-run") as answer:
            await answer.read()
        found.append(time.monotonic() - started)
        await asyncio.sleep(0.1)


async def lags(session: aiohttp.ClientSession, namespace: str, count: int) -> tuple[list[float], list[float]]:
    """From a Job's end to the status that tells of it, for every Job of Commits that were all applied at once; and of reads meanwhile."""
    lag = Lag(session, namespace)
    read: list[float] = []
    watching = [asyncio.create_task(one) for one in (lag.jobs(), lag.statuses(), reads(session, namespace, read))]
    await commits_take(session, namespace, count)
    await asyncio.sleep(2)
    for task in watching:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return lag.seconds(), sorted(read)


def writes(plane: ControlPlane, namespace: str) -> Counter[str]:
    """What the API server has seen of the operator in a namespace: refused and repeated requests too."""
    return Counter(
        one["objectRef"]["resource"] + ("/status" if one["objectRef"].get("subresource") == "status" else "")
        for one in plane.audit()
        if one["user"]["username"] == "operator" and one["objectRef"].get("namespace") == namespace
    )


def of_process(process: Process, what: str) -> float:
    """What the operator says of its own process."""
    found = re.search(rf"^process_{what} (\S+)", process.page("/metrics"), re.MULTILINE)
    assert found is not None, process.words()[-2000:]
    return float(found.group(1))


def memory(process: Process) -> float:
    """MiB that the operator holds."""
    return of_process(process, "resident_memory_bytes") / 2**20


def spent(process: Process) -> float:
    """Seconds of CPU that the operator has used."""
    return of_process(process, "cpu_seconds_total")


async def healthy(process: Process) -> None:
    """Wait for an operator."""
    async with asyncio.timeout(60):
        while process.page("/healthz") != "ok\n":
            assert process.running, process.words()
            await asyncio.sleep(0.2)


def load_of_machine() -> str:
    """The load, for whoever reads the figures."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"


async def rates(session: aiohttp.ClientSession, plane: ControlPlane, folder: Path, *, commits: int, at_once: int) -> bool:  # fmt: skip
    """Print rate, writes and lag; returns whether all keep their bounds."""
    process = Process(plane, folder, namespaces=["commits", "lag"], verbose=False, artifacts=STORE)
    jobs = jobs_of(generated(namespace="commits"), load(process.config).decisions)
    print(f"{commits} Commits of {len(jobs)} Jobs each")
    before = await bare(session, "bare-before", commits=commits, jobs=jobs)
    print(f"bare loop, before      {commits / before:6.2f} Commits/s  {commits * len(jobs) / before:5.1f} Jobs/s  ({before:.1f} s; {load_of_machine()})", flush=True)  # fmt: skip
    with process:
        await healthy(process)
        began = spent(process)
        took = await commits_take(session, "commits", commits)
        print(f"Commits to Succeeded   {commits / took:6.2f} Commits/s  {commits * len(jobs) / took:5.1f} Jobs/s  ({took:.1f} s; {load_of_machine()})", flush=True)  # fmt: skip
        await asyncio.sleep(2)
        held, used = memory(process), spent(process) - began
        found, read = await lags(session, "lag", at_once)
    after = await bare(session, "bare-after", commits=commits, jobs=jobs)
    print(f"bare loop, after       {commits / after:6.2f} Commits/s  {commits * len(jobs) / after:5.1f} Jobs/s  ({after:.1f} s; {load_of_machine()})")  # fmt: skip
    ratio = (before + after) / 2 / took
    print(f"rate beside bare Jobs  {ratio:6.2f}  (bound ≥ {RATIO_BOUND}; beside the loop before {before / took:.2f}, after {after / took:.2f})")  # fmt: skip
    counts = writes(plane, "commits")
    each = sum(counts.values()) / commits
    print(f"writes per Commit      {each:6.2f}  (bound ≤ {WRITES_BOUND:.0f}; {', '.join(f'{name} {count / commits:.2f}' for name, count in counts.most_common())})")  # fmt: skip
    print(f"CPU per Commit         {used / commits:6.2f} s of the operator")
    (p50, p99), (short, long) = ((one[len(one) // 2], one[int(len(one) * 0.99)]) for one in (found, read))
    print(f"lag, {at_once} at once       {p99:6.2f} s p99  (bound ≤ {LAG_BOUND:.0f} s; p50 {p50:.2f} s, most {found[-1]:.2f} s, of {len(found)} Jobs; {load_of_machine()})")  # fmt: skip
    print(f"one read meanwhile     {long:6.2f} s p99  (p50 {short:.3f} s: the lag's p50 is {p50 / short:.0f} of them)")
    print(f"memory after all that  {held:6.0f} MiB")
    return ratio >= RATIO_BOUND and each <= WRITES_BOUND and p99 <= LAG_BOUND


async def resting(session: aiohttp.ClientSession, plane: ControlPlane, folder: Path, *, held: int) -> None:
    """Print the memory of a fresh operator, empty and with Commits that wait."""
    with Process(plane, folder, namespaces=["held"], verbose=False, artifacts=STORE) as process:
        await healthy(process)
        await asyncio.sleep(2)
        empty = memory(process)
        path = f"{OURS}/namespaces/held/commits"
        bodies = [commit(number, "held", suspend=True) for number in range(held)]
        took = await timed(
            lambda: create(session, path, bodies), session, path, count=held,
            ended=lambda body: condition_status(body.get("status") or {}, "Accepted") == "True",
        )  # fmt: skip
        await asyncio.sleep(2)
        full = memory(process)
        print(f"memory, empty          {empty:6.0f} MiB")
        print(
            f"memory, {held} Commits   {full:6.0f} MiB  ({(full - empty) * 1024 / held:.0f} KiB each; accepted in {took:.1f} s)"
        )


async def main(arguments: argparse.Namespace) -> int:
    """Print every figure; 1 where one misses its bound."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # or what it started would outlive it
    with tempfile.TemporaryDirectory(prefix="isobench-scale-") as name, running(Path(name)) as plane:
        plane.prepare("bare-before", "commits", "lag", "bare-after", "held")
        plane.nodes(arguments.nodes)
        print(f"{arguments.nodes} nodes of KWOK; {load_of_machine()}", flush=True)
        async with client(plane) as session, living(session, Story(script=False)):
            await resting(session, plane, Path(name) / "resting", held=arguments.held)
            kept = await rates(session, plane, Path(name) / "rates", commits=arguments.commits, at_once=arguments.at_once)  # fmt: skip
    return 0 if kept else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=50, help="Commits whose lag is measured")
    parser.add_argument("--held", type=int, default=1000, help="Commits that wait while memory is measured")
    sys.exit(asyncio.run(main(parser.parse_args())))
