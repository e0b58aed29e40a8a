"""What ends a Job before its backoff limit does: what the reconciler does about it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from isobench_operator.cluster.ports import Key
from isobench_operator.control.reconciler import Reconciler
from support.builders import NOW, SETTINGS, commit
from support.fake_cluster import FakeCluster

Json = dict[str, Any]
KEY = Key("Commit", "bench", "speedup-1")


async def one_pass(cluster: FakeCluster, now: datetime = NOW) -> Any:
    return await Reconciler(cluster, SETTINGS, clock=lambda: now).reconcile(KEY)


async def test_a_job_that_would_only_run_out_of_memory_again_gets_no_further_pod() -> None:
    cluster = FakeCluster(commit())
    await one_pass(cluster)
    job = cluster.job("prepare-head")
    name = job["metadata"]["name"]
    killed = {"name": "build", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    cluster.pods["p"] = {
        "metadata": {"name": "p", "labels": {"batch.kubernetes.io/job-name": name}, "ownerReferences": [{"kind": "Job", "name": name}]},
        "spec": {},
        "status": {"phase": "Failed", "initContainerStatuses": [killed]},
    }  # fmt: skip
    await one_pass(cluster)
    assert cluster.jobs[name]["spec"]["backoffLimit"] == 0
    assert cluster.calls["stop"] == 1
    await one_pass(cluster)
    assert cluster.calls["stop"] == 1
    cluster.jobs[name]["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    await one_pass(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", "OutOfMemory")
