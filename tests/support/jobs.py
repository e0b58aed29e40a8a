"""The Jobs that a Commit and a Dataset can have, built by the decisions themselves from a status in which everything is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from isobench_operator.core import naming
from isobench_operator.core.plan import Observed, decide
from isobench_operator.core.settings import Settings

from .builders import NOW, SETTINGS, commit, dataset, digest, generated, merge, prepared
from .fake_cluster import role_of

Json = dict[str, Any]
RICH = {
    "repository": {"credentialsSecretRef": {"name": "git"}},
    "extraction": {"configMapKeyRef": {"name": "x", "key": "extraction.json"}},
    "priorityClassName": "low",
    "pod": {
        "resources": {"limits": {"memory": "64Gi", "nvidia.com/gpu": 2}},
        "nodeSelector": {"gpu": "h200"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}},
        "runtimeClassName": "nvidia",
        "env": [{"name": "HF_HOME", "value": "/weights"}],
        "imagePullSecrets": [{"name": "registry"}],
        "volumes": [{"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "weights"}}],
        "shmSize": "8Gi",
    },
}  # fmt: skip


def status() -> Json:
    """The status of a Commit whose environments and test are there."""
    return {
        "stages": [{"name": f"prepare-{name}", "attempt": 1, "state": "Succeeded"} for name in ("base", "head", "main")]
        + [
            {"name": "generate", "attempt": 1, "state": "Succeeded"},
            {"name": "base", "attempt": 1, "state": "Succeeded"},
        ],
        "revisions": [
            {"name": name, **{key: prepared(name)[key] for key in ("sha", "environment", "key")}}
            for name in ("base", "head", "main")
        ],
        "artifacts": {"inputs": digest("inputs")},
        "test": {"digest": digest("test"), "origin": "generated"},
    }


def jobs_of(owner: Json, settings: Settings = SETTINGS) -> dict[str, Json]:
    """Every Job that the Commit can have, by role."""
    measuring = {**owner, "status": status()}
    validating = merge(measuring, {"status": {"stages": status()["stages"][:-1]}})
    found = [
        job for body in (owner, validating, measuring) for job in decide(Observed(owner=body), NOW, settings).create
    ]
    return {role_of(job): job for job in found}


def every_job(settings: Settings) -> Iterator[Json]:
    """Every Job of a plain Commit, of one that sets every override, and of a Dataset."""
    yield from jobs_of(commit(), settings).values()
    yield from jobs_of(generated(spec=RICH), settings).values()
    ended = {"conditions": [{"type": "Finished", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    observed = Observed(owner=dataset(), commits=({**commit(), "status": ended},))
    yield from decide(observed, NOW, settings).create


def containers(job: Json) -> list[Json]:
    """A Job's containers in the order of their start."""
    pod = job["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


def untrusted(job: Json) -> set[str]:
    """The names of those that run what users or models wrote."""
    names = job["spec"]["template"]["metadata"]["annotations"].get(naming.UNTRUSTED, "")
    return {name for name in names.split(",") if name}
