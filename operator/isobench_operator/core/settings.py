"""What whoever installs isobench decides, as frozen values: read by `settings.py` or the command line, passed in, never looked up here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ROOT = "$(ISOBENCH_ROOT)"
RELEASE = "0.1.0"


@dataclass(frozen=True, kw_only=True)
class Storage:
    """A place that several Jobs share.

    Attributes:
        path: where containers see it: absolute, or below `$(ISOBENCH_ROOT)`; also the value of its variable.
        source: the Kubernetes volume source; on a laptop a `hostPath` of the same absolute path.
    """

    path: str
    source: Mapping[str, Any]


def _empty(path: str, size: str) -> Storage:
    return Storage(path=f"{ROOT}/{path}", source={"emptyDir": {"sizeLimit": size}})


def claimed(name: str) -> Storage:
    """The artifact store in a PersistentVolumeClaim, which is mounted whole."""
    return Storage(path=f"{ROOT}/store", source={"persistentVolumeClaim": {"claimName": name}})


def _resources(cpu: str, memory: str, disk: str) -> dict[str, dict[str, str]]:
    """Requests equal limits, so that a pod is Guaranteed and a static CPU manager may pin it."""
    amounts = {"cpu": cpu, "memory": memory, "ephemeral-storage": disk}
    return {"requests": dict(amounts), "limits": dict(amounts)}


@dataclass(frozen=True, kw_only=True)
class CaBundle:
    """A ConfigMap, in every work namespace, with the certificates that builds and trusted containers trust."""

    config_map: str
    key: str


@dataclass(frozen=True, kw_only=True)
class PodSettings:
    """How Jobs become pods here.

    Attributes:
        runtime: `embedded` leaves out what only a cluster has: GPUs as resources, `unpack`, the API token.
        root: where mount paths begin; on a laptop embedded.py maps it to the Job's folder.
        runner_image: trusted containers.
        pull_policy: of runner_image.
        pull_secrets: names of image pull Secrets, under the Commit's own.
        default_image: untrusted containers of a Commit that names none.
        isolation: what the record says of untrusted containers: `pod`, `bubblewrap` or `none`.
        node: name of this machine; None takes the node's from the pod's fields.
        environments: prepared environments, `ISOBENCH_ENVS`.
        store, mirrors, pip, status, dataset: the named volumes of the pod contract.
        store_url: the artifact store as an fsspec URL; None for the volume `store`.
        store_credentials: a Secret with an entry per variable of the store's client; with store_url.
        one_host: whether the store's claim can be mounted on one host only (ReadWriteOnce), to which all pods are then held.
        ca_bundle: certificates of a proxy or a private index.
        trusted_env: further variables of trusted containers: index, proxies; never a key.
        untrusted_path: PATH of untrusted containers; None leaves the image's.
        resources: by container, under the Commit's own.
        gpus: `nvidia.com/gpu` of a measuring container that does not say otherwise.
        backoff_limit: how often a Job's pod is tried again.
        ttl_seconds: after which a finished Job is deleted; None leaves it until its owner goes.
        host_users: false asks for a user namespace in every pod; None leaves it to the cluster.
        priority_class: of Jobs whose Commit names none.
        generate_seconds, collect_seconds: pod deadlines of the Jobs whose spec has none.
        patience_seconds: added to every pod's deadline, where pods that are stuck are waited for longer than usual.
        build_affinity: whether builds keep off measuring hosts by preference or by force.
    """

    runtime: Literal["kubernetes", "embedded"] = "kubernetes"
    root: str = "/isobench"
    runner_image: str = f"ghcr.io/isobench/runner:{RELEASE}"
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    default_image: str = "docker.io/library/python:3.11-slim"
    isolation: Literal["pod", "bubblewrap", "none"] = "pod"
    node: str | None = None
    environments: Storage = field(default_factory=lambda: _empty("env", "60Gi"))
    store: Storage = field(default_factory=lambda: claimed("isobench-store"))
    mirrors: Storage = field(default_factory=lambda: _empty("mirrors", "20Gi"))
    pip: Storage = field(default_factory=lambda: _empty("pip", "20Gi"))
    status: Storage = field(default_factory=lambda: _empty("status", "1Gi"))
    dataset: Storage = field(default_factory=lambda: _empty("dataset", "10Gi"))
    store_url: str | None = None
    store_credentials: str | None = None
    one_host: bool = False
    ca_bundle: CaBundle | None = None
    trusted_env: Mapping[str, str] = field(default_factory=dict)
    untrusted_path: str | None = None
    resources: Mapping[str, Mapping[str, Mapping[str, str]]] = field(
        default_factory=lambda: {
            "trusted": _resources("500m", "1Gi", "4Gi"),
            "build": _resources("4", "16Gi", "40Gi"),
            "unpack": _resources("1", "1Gi", "4Gi"),
            "measure": _resources("4", "16Gi", "20Gi"),
        }
    )
    gpus: int = 1
    service_account: str = "isobench-run"
    collect_service_account: str = "isobench-collect"
    trusted_uid: int = 10002
    untrusted_uid: int = 10001
    fs_group: int = 10000
    backoff_limit: int = 2
    ttl_seconds: int | None = None
    host_users: bool | None = None
    priority_class: str | None = None
    generate_seconds: int = 7200
    collect_seconds: int = 7200
    patience_seconds: int = 0
    build_affinity: Literal["preferred", "required"] = "preferred"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decisions need beside what they observe.

    Attributes:
        secret: the key of nonces; a restart has to find the same one.
        pods: how Jobs become pods.
        namespaces: where Jobs may run; None for anywhere.
        incomparable_retries: how often a role is measured again after Incomparable.
        waiting_seconds: how long a pod that cannot start is waited for, where somebody has to act (`policies/troubles.py`).
        settle_seconds: how long a Dataset's Commits have to stand still before they are collected.
    """

    secret: str = field(repr=False)
    pods: PodSettings = field(default_factory=PodSettings)
    namespaces: frozenset[str] | None = None
    incomparable_retries: int = 1
    waiting_seconds: float = 1800.0
    settle_seconds: float = 5.0
