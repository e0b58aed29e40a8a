"""Job manifests for tests of the embedded runtime, and what it takes to wait for their end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isobench_operator.cluster.embedded import EmbeddedCluster
from isobench_operator.cluster.embedded.controller import Backoff
from isobench_operator.cluster.ports import Key
from isobench_operator.cluster.sandbox import Isolation, none

Json = dict[str, Any]
COMMIT = Key("Commit", "default", "c")
QUICK = Backoff(first=0.05, most=0.2)


def commit(name: str = "c") -> Json:
    """A custom resource; what its spec says does not matter here."""
    return {
        "apiVersion": "isobench.dev/v1alpha1",
        "kind": "Commit",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"head": "a" * 40, "suspend": False},
    }


def container(name: str, code: str, *, mounts: Mapping[str, str] | None = None, **more: Any) -> Json:
    """A container that runs Python source; `mounts` is mount path by volume name."""
    return {
        "name": name,
        "image": "runner",
        "command": ["python", "-c", code],
        "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in (mounts or {}).items()],
        **more,
    }


def job(
    owner: Json,
    name: str,
    containers: Sequence[Json],
    *,
    spec: Mapping[str, Any] | None = None,
    pod: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
    volumes: Sequence[Json] = (),
) -> Json:
    """A Job of one pod: all containers but the last are init containers."""
    reference = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default", "ownerReferences": [reference]},
        "spec": {
            "backoffLimit": 0,
            **(spec or {}),
            "template": {
                "metadata": {"annotations": dict(annotations or {})},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 1,
                    "initContainers": list(containers[:-1]),
                    "containers": [containers[-1]],
                    "volumes": list(volumes),
                    **(pod or {}),
                },
            },
        },
    }


def cluster(
    directory: Path,
    *,
    isolation: Isolation | None = None,
    on_change: Callable[[Key], object] = repr,
    parallelism: int = 4,
    **more: Any,
) -> EmbeddedCluster:
    """A runtime with a cache beside its folder and quick delays."""
    more = {"config_maps": {}, "secrets": {}, "backoff": QUICK, "cache": directory.parent / "cache"} | more
    return EmbeddedCluster(
        directory, isolation=isolation or none("a test"), parallelism=parallelism, on_change=on_change, **more
    )


def ended(found: Json) -> Json | None:
    """The condition that a Job ended with."""
    conditions = found["status"]["conditions"]
    return next((one for one in conditions if one["type"] in ("Complete", "Failed") and one["status"] == "True"), None)


async def until_ended(runtime: EmbeddedCluster, owner: Json, *names: str, seconds: float = 60.0) -> list[Json]:
    """Wait for Jobs, in the order of their names; returns them."""
    limit = time.monotonic() + seconds
    while True:
        jobs = {one["metadata"]["name"]: one for one in (await runtime.children(owner)).jobs}
        if all(name in jobs and ended(jobs[name]) for name in names):
            return [jobs[name] for name in names]
        assert time.monotonic() < limit, f"not ended after {seconds} s: {jobs}"
        await asyncio.sleep(0.02)


async def pods_of(runtime: EmbeddedCluster, owner: Json, name: str) -> list[Json]:
    """The pods of one Job."""
    pods = (await runtime.children(owner)).pods
    return [pod for pod in pods if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == name]


def terminated(pod: Json, name: str) -> Json:
    """How a container of a pod ended."""
    status = pod["status"]
    every = [*status["initContainerStatuses"], *status["containerStatuses"]]
    found: Json = next(one["state"]["terminated"] for one in every if one["name"] == name)
    return found


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def until(condition: Callable[[], Any], *, seconds: float = 20.0) -> Any:
    """Wait for something to be true; returns it."""
    limit = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < limit, "it did not come true"
        await asyncio.sleep(0.02)
    return value
