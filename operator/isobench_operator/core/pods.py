"""From containers to a complete Job: what every pod of ours has in common, whatever its role. Pure builders of the API server's JSON.

The pod contract is kept here and in `containers.py`: `restricted` Pod Security, one UID per trust level, no token, no service
links, untrusted containers as init containers, `report` last and alone believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isobench_runner.contract import EXIT_NEVER

from . import naming
from .observed import REPORTER
from .settings import PodSettings

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where and how a pod may run: the Commit's overrides, None and empty where it has none."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    affinity: Mapping[str, Any] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    runtime_class: str | None = None
    image_pull_secrets: Sequence[str] = ()
    priority_class: str | None = None
    queue: str | None = None


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """Seconds a pod and its Job may take; the stage's own limit is below both, so that its evidence survives."""

    pod: int
    job: int


def _builder_affinity(settings: PodSettings) -> Json:
    """Builds keep off hosts that are measuring."""
    term = {"labelSelector": {"matchLabels": {naming.EXCLUSIVE: "true"}}, "topologyKey": "kubernetes.io/hostname"}
    if settings.build_affinity == "required":
        return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]
        }
    }


def _on_one_host(affinity: Mapping[str, Any]) -> Json:
    """Every pod of ours on the host that the first one was put on: the store's claim can be mounted nowhere else."""
    term = {"labelSelector": {"matchLabels": {"app.kubernetes.io/managed-by": naming.MANAGED_BY}}, "topologyKey": "kubernetes.io/hostname"}  # fmt: skip
    ours = dict(affinity.get("podAffinity") or {})
    wanted = "requiredDuringSchedulingIgnoredDuringExecution"
    return {**affinity, "podAffinity": {**ours, wanted: [*(ours.get(wanted) or ()), term]}}


def _failure_policy() -> Json:
    """Our "do not retry" fails the Job at once, disruptions never count, the rest backs off."""
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": REPORTER, "operator": "In", "values": [EXIT_NEVER]},
            },
            {"action": "Count", "onExitCodes": {"operator": "NotIn", "values": [0]}},
        ]
    }


def job(
    owner: Mapping[str, Any],
    *,
    name: str,
    role: str,
    attempt: int,
    settings: PodSettings,
    containers: Sequence[Json],
    volumes: Sequence[Json],
    deadlines: Deadlines,
    placement: Placement,
    untrusted: Sequence[str] = (),
    offline: Sequence[str] = (),
    exclusive: bool = False,
    builds: bool = False,
    service_account: str | None = None,
) -> Json:
    """A Job of one pod at a time: all containers but the last are init containers, the last is `report`.

    Args:
        owner: the custom resource's JSON.
        untrusted: names of containers that run what users or models wrote.
        offline: names of those that reach no network.
        exclusive: nothing of ours may run beside it on the same host.
        builds: keeps off hosts that run exclusive pods.
        service_account: default: the one without rights.
    """
    labels = naming.labels(owner, role=role, attempt=attempt)
    if exclusive:
        labels[naming.EXCLUSIVE] = "true"
    annotations = {naming.UNTRUSTED: ",".join(untrusted), naming.OFFLINE: ",".join(offline)}
    if exclusive:
        annotations[naming.EXCLUSIVE] = "true"
    annotations = {key: value for key, value in annotations.items() if value}
    pod: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "serviceAccountName": service_account or settings.service_account,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "activeDeadlineSeconds": deadlines.pod,
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroup": settings.fs_group,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": list(containers[:-1]),
        "containers": [containers[-1]],
        "volumes": list(volumes),
    }
    affinity = dict(placement.affinity) or (_builder_affinity(settings) if builds else {})
    if settings.one_host:
        affinity = _on_one_host(affinity)
    secrets = [
        *placement.image_pull_secrets,
        *(one for one in settings.pull_secrets if one not in placement.image_pull_secrets),
    ]
    optional = {
        "nodeSelector": dict(placement.node_selector),
        "affinity": affinity,
        "tolerations": [dict(toleration) for toleration in placement.tolerations],
        "runtimeClassName": placement.runtime_class,
        "imagePullSecrets": [{"name": secret} for secret in secrets],
        "priorityClassName": placement.priority_class or settings.priority_class,
    }
    if settings.host_users is not None:
        pod["hostUsers"] = settings.host_users
    pod.update({key: value for key, value in optional.items() if value})
    spec: Json = {
        "backoffLimit": settings.backoff_limit,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": deadlines.job,
        "podFailurePolicy": _failure_policy(),
        "template": {"metadata": {"labels": dict(labels), "annotations": dict(annotations)}, "spec": pod},
    }
    if settings.ttl_seconds is not None:
        spec["ttlSecondsAfterFinished"] = settings.ttl_seconds
    if placement.queue is not None:
        labels[naming.QUEUE_LABEL] = placement.queue
        spec["suspend"] = True
    metadata = {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": labels,
        "annotations": annotations,
        "ownerReferences": [naming.owner_reference(owner)],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
