"""The self-test shut in as measuring containers are here, and as Jobs for the nodes of a cluster. The test itself is the runner's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isobench_operator.cluster import sandbox
from isobench_operator.cluster.embedded.folders import hand_over
from isobench_runner.selftest import Shut

Json = dict[str, Any]
NAME = "isobench-selftest"
UID = 10001
"""The user of untrusted containers."""
LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "isobench"}
AMOUNTS = {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "1Gi"}
GPU = "nvidia.com/gpu"
TMP = "/tmp"  # noqa: S108 - a volume of the pod's own


def shut_in(isolation: sandbox.Isolation, folder: Path) -> Shut | None:
    """How the harness is started here: in bubblewrap, seeing its own folder and the interpreter alone, without network.

    Args:
        folder: the one of the whole self-test.
    """
    if isolation.kind == "none":
        return None
    interpreter = Path(sys.base_prefix)

    def shut(place: Path, command: Sequence[str]) -> list[str]:
        shown = (place / "in", folder / "env", interpreter, interpreter.resolve())
        view = sandbox.View(
            read_only=tuple((one, one) for one in dict.fromkeys(shown) if not one.is_relative_to("/usr")),
            writable=tuple((place / name, place / name) for name in ("out", "tmp")),
            folder=place / "tmp",
            devices=sandbox.gpu_devices(),
        )
        if isolation.uid is not None:
            hand_over(view, isolation.uid)
        return sandbox.command(isolation, view, command)

    return shut


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the Jobs are to be.

    Attributes:
        nodes: names of nodes, a Job each; empty: one Job of `count` pods, no two on a node.
    """

    image: str
    budget_seconds: int
    nodes: tuple[str, ...] = ()
    count: int = 1
    namespace: str | None = None
    gpu: bool = False


def jobs(asked: Asked) -> list[Json]:
    """The Jobs, ready for kubectl apply in a namespace that enforces Pod Security `restricted`."""
    if not asked.nodes:
        return [_job(asked, NAME, node=None)]
    return [_job(asked, _named(node), node=node) for node in asked.nodes]


def _named(node: str) -> str:
    return f"{NAME}-{node.replace('.', '-')}"[:63].rstrip("-")


def _job(asked: Asked, name: str, *, node: str | None) -> Json:
    amounts = {**AMOUNTS, **({GPU: "1"} if asked.gpu else {})}
    labels = {**LABELS, "app.kubernetes.io/instance": name}
    pod: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": UID, "runAsGroup": UID, "fsGroup": UID, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "selftest",
                "image": asked.image,
                "command": ["isobench", "selftest", "--json", "--budget", str(asked.budget_seconds)],
                "env": [
                    {"name": "ISOBENCH_ISOLATION", "value": "pod"},
                    {"name": "ISOBENCH_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {"name": "HOME", "value": TMP},
                    {"name": "TMPDIR", "value": TMP},
                ],
                "resources": {"requests": dict(amounts), "limits": dict(amounts)},
                "securityContext": {
                    "runAsNonRoot": True, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumeMounts": [{"name": "tmp", "mountPath": TMP}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
    }  # fmt: skip
    if asked.gpu:
        pod["tolerations"] = [{"key": GPU, "operator": "Exists"}]
    spec: Json = {"backoffLimit": 0, "activeDeadlineSeconds": 10 * asked.budget_seconds + 600}
    if node is not None:
        pod["nodeSelector"] = {"kubernetes.io/hostname": node}
    else:
        spec |= {
            "completionMode": "Indexed",
            "completions": asked.count,
            "parallelism": asked.count,
            "backoffLimitPerIndex": 0,
        }
        del spec["backoffLimit"]
        term = {"labelSelector": {"matchLabels": dict(labels)}, "topologyKey": "kubernetes.io/hostname"}
        pod["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    spec["template"] = {"metadata": {"labels": dict(labels)}, "spec": pod}
    metadata: Json = {"name": name, "labels": labels}
    if asked.namespace is not None:
        metadata["namespace"] = asked.namespace
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
