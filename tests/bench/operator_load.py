"""The operator as a process on a real API server, without nodes: writes and lag of Commits that run at once, and its size with many at rest.

What ends Jobs is a stand-in that ends each after two to five seconds, as a kubelet does with Jobs that do nothing. etcd, API server,
operator and stand-in share this machine, and nothing else should: the lag is made of their turns on the CPUs.

    python tests/bench/operator_load.py [--at-rest N]
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
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from isobench_operator.cluster.kube import Api, Login
from isobench_runner.contract import Request
from support.apiserver import ApiServer
from support.builders import commit
from support.fake_cluster import Answer, Answers, request_of
from support.operators import OURS, ROOT, Kubelet, Process, kubelet, until
from support.stories import Story

AT_ONCE, AT_REST, JOBS = 50, 1000, 7
WRITES, LAG_SECONDS, EMPTY_MIB, RESTING_MIB, SEEN_SECONDS = 16, 1.0, 100, 160, 60
THEN = "2026-01-01T00:00:00Z"


class Clocked(Kubelet):
    """Notes when it ended which Job."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ended: dict[tuple[str, str, int], float] = {}

    async def _end(self, job: dict[str, Any], *, failed: bool) -> None:
        labels = job["metadata"]["labels"]
        await super()._end(job, failed=failed)
        key = labels["isobench.dev/name"], labels["isobench.dev/role"], request_of(job).attempt
        self.ended[key] = time.time()


def paced(story: Story) -> Answers:
    """The same story, each Job at a time of its own."""

    def answer(request: Request, job: dict[str, Any]) -> Answer | None:
        made = datetime.fromisoformat(job["metadata"]["creationTimestamp"]).timestamp()
        seconds = 2 + zlib.crc32(job["metadata"]["name"].encode()) % 300 / 100
        return story(request, job) if time.time() - made > seconds else None

    return answer


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[tuple[ApiServer, Api]]:
    """An API server with our kinds and two namespaces."""
    with ApiServer(folder) as server:
        admin = Api(Login(server.kubeconfig), concurrency=64)
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            body = yaml.safe_load(path.read_text())
            crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            await admin.apply(f"{crds}/{body['metadata']['name']}", body)
        await until("the kinds are served", lambda: admin.get(f"{OURS}/commits", {"limit": 1}))
        for namespace in ("load", "rest"):
            await admin.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
            for account in ("isobench-run", "isobench-collect"):
                await admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": account}})
        yield server, admin
        await admin.close()


async def started(process: Process) -> None:
    """Until it serves its pages and watches."""

    async def healthy() -> bool:
        return bool(process.page("/healthz")) and "isobench_queue_depth" in process.page("/metrics")

    await until("the operator is up", healthy)


def rss(process: Process) -> float:
    """Its memory, in MiB."""
    assert process._process is not None
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process._process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def counted(page: str, name: str, *, without: str = "\0") -> float:
    """The sum of a metric's samples."""
    lines = [line for line in page.splitlines() if line.startswith(f"{name}{{") and without not in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def load(server: ApiServer, admin: Api, folder: Path) -> tuple[float, float, float, float, float]:
    """Commits per second, writes and seconds of CPU per Commit, and the lag from a Job's end to the status: median and 99th percentile."""
    with Process(server, folder, namespaces=["load"], user="admin") as process:
        await started(process)
        async with kubelet(admin, "load", paced(Story()), kind=Clocked) as hands:
            began = time.monotonic()
            for number in range(AT_ONCE):
                body = {**commit(), "metadata": {"name": f"c{number}", "namespace": "load"}}
                await admin.post(f"{OURS}/namespaces/load/commits", body)

            async def done() -> bool:
                page = process.page("/metrics")
                return counted(page, "isobench_verdicts_total") >= AT_ONCE

            await until("all have ended", done, seconds=600)
            seconds = time.monotonic() - began
        page = process.page("/metrics")
        writes = counted(page, "isobench_api_requests_total", without='verb="GET"') / AT_ONCE
        cpu = re.search(r"^process_cpu_seconds_total (\S+)", page, re.MULTILINE)
        assert cpu is not None, page
        process.stop()
    lags = []
    for line in map(json.loads, process.words().splitlines()):
        for end in line.get("ended", ()):
            at = hands.ended[line["name"], end["role"], end["attempt"]]
            lags.append(datetime.fromisoformat(line["time"]).timestamp() - at)
    lags.sort()
    return AT_ONCE / seconds, writes, float(cpu[1]) / AT_ONCE, lags[len(lags) // 2], lags[int(len(lags) * 0.99)]


async def rest(server: ApiServer, admin: Api, folder: Path, at_rest: int) -> tuple[float, float, float]:
    """Memory without a Commit and with many that have ended, and seconds until a new process has heard of all."""
    with Process(server, folder / "empty", namespaces=["rest"], user="admin") as process:
        await started(process)
        await asyncio.sleep(3)
        empty = rss(process)
        process.stop()
    few = asyncio.Semaphore(48)

    async def one(number: int) -> None:
        async with few:
            await ended(admin, number)

    await asyncio.gather(*(one(number) for number in range(at_rest)))
    with Process(server, folder / "full", namespaces=["rest"], user="admin") as process:
        began = time.monotonic()

        async def seen() -> bool:
            return counted(process.page("/metrics"), "isobench_commits") >= at_rest

        await until("all are heard of", seen, seconds=300)
        seconds = time.monotonic() - began
        await asyncio.sleep(10)
        full = rss(process)
        process.stop()
    return empty, full, seconds


async def ended(admin: Api, number: int) -> None:
    """A Commit that has ended, with its Jobs."""
    path, jobs = f"{OURS}/namespaces/rest/commits", "/apis/batch/v1/namespaces/rest/jobs"
    owner = await admin.post(path, {**commit(), "metadata": {"name": f"c{number}", "namespace": "rest"}})
    words = {"reason": "Faster", "message": "x" * 300, "lastTransitionTime": THEN}
    conditions = [{"type": kind, "status": "True", **words} for kind in ("Succeeded", "Finished")]
    await admin.merge(f"{path}/c{number}/status", {"status": {"observedGeneration": 1, "conditions": conditions}})
    labels = {"app.kubernetes.io/managed-by": "isobench", "isobench.dev/commit-uid": owner["metadata"]["uid"]}
    container = {"name": "report", "image": "i", "env": [{"name": "ISOBENCH_REQUEST", "value": "x" * 1500}]}
    template = {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    done = {"status": "True", "reason": "r", "message": "", "lastTransitionTime": THEN, "lastProbeTime": THEN}
    status = {
        "startTime": THEN,
        "completionTime": THEN,
        "succeeded": 1,
        "conditions": [{"type": kind, **done} for kind in ("SuccessCriteriaMet", "Complete")],
    }
    for job in range(JOBS):
        name = f"c{number}-{job}"
        await admin.post(jobs, {"metadata": {"name": name, "labels": labels}, "spec": {"template": template}})
        await admin.merge(f"{jobs}/{name}/status", {"status": status})


async def main(at_rest: int) -> int:
    """Print the figures; 1 where one is over its bound."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # or what it started would outlive it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with world(folder) as (server, admin):
            rate, writes, cpu, median, late = await load(server, admin, folder / "load")
            empty, full, seen = await rest(server, admin, folder / "rest", at_rest)
    print(
        f"{AT_ONCE} Commits at once, given test, with main: {rate:.1f} Commits/s (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs)"
    )
    rows: list[tuple[str, float, str, float]] = [
        ("writes per Commit", writes, "", WRITES),
        ("lag from a Job's end to its status, 99th percentile", late, " s", LAG_SECONDS),
        ("memory without a Commit", empty, " MiB", EMPTY_MIB),
        (f"memory with {at_rest} Commits that have ended, {JOBS} Jobs each", full, " MiB", RESTING_MIB),
        ("from its start until it has heard of them", seen, " s", SEEN_SECONDS),
    ]
    for what, value, unit, bound in rows:
        print(f"{what:62} {value:7.2f}{unit}  (bound {bound:g}{unit})")
    print(f"{'the same lag, median':62} {median:7.2f} s")
    print(f"{'CPU of the operator per Commit, its start included':62} {cpu:7.2f} s")
    return int(any(value > bound for _, value, _, bound in rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--at-rest", type=int, default=AT_REST, help="Commits that have ended; the bounds are those of the default"
    )
    sys.exit(asyncio.run(main(parser.parse_args().at_rest)))
