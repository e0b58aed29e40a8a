"""The Jobs of a Commit and of a Dataset, whole: which containers in which order, and what each of them sees.

The table of the pod contract, row by row. Pure builders; what a container, a volume and a pod look like is said next door.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from isobench_operator.api.commit import Commit
from isobench_operator.api.pod import Resources
from isobench_runner.contract import CollectRequest, Role

from . import containers, devices, requests
from .pods import Placement, job
from .policies import deadlines
from .progress import Progress
from .requests import JobId
from .settings import ROOT, PodSettings
from .terms import Terms
from .volumes import Input, input_mounts, mounts, volumes

Json = dict[str, Any]
Owner = Mapping[str, Any]

SHM = {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108 - where PyTorch's workers look for it
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a folder


def placement(commit: Commit, *, measuring: bool) -> Placement:
    """The Commit's overrides: all of them for measuring pods; the others share the queue, the pull secrets and the priority."""
    pod = commit.spec.pod
    everywhere: dict[str, Any] = {
        "image_pull_secrets": tuple(secret.name for secret in pod.image_pull_secrets),
        "priority_class": commit.spec.priority_class_name,
        "queue": pod.queue_name,
    }
    if not measuring:
        return Placement(**everywhere)
    return Placement(
        **everywhere,
        node_selector=pod.node_selector,
        affinity=pod.affinity.to_json() if pod.affinity is not None else {},
        tolerations=tuple(toleration.to_json() for toleration in pod.tolerations),
        runtime_class=pod.runtime_class_name,
    )


def _image(commit: Commit, settings: PodSettings) -> str:
    return commit.spec.environment.image or settings.default_image


def _interpreter(commit: Commit, settings: PodSettings) -> str:
    """What runs the harness: where the Commit names a Python by its path inside an image, that one."""
    python = commit.spec.environment.python or ""
    return python if settings.runtime == "kubernetes" and python.startswith("/") else "python3"


def _own_folder(mounted: Sequence[Json], key: str) -> list[Json]:
    """Mounts with one environment's folder in place of all: an archive of one revision cannot touch another's."""
    return [
        {**mount, "mountPath": f"{mount['mountPath']}/{key}", "subPath": key}
        if mount["name"] == "environments"
        else mount
        for mount in mounted
    ]


def _amounts(resources: Resources) -> dict[str, dict[str, str]]:
    return {"limits": resources.limits, "requests": resources.requests}


def _variables(commit: Commit) -> list[Json]:
    return [{"name": one.name, "value": one.value} for one in commit.spec.pod.env]


def prepare_job(
    owner: Owner, commit: Commit, progress: Progress, ident: JobId, *, revision: Role, settings: PodSettings
) -> Json:
    """Build one revision's environment: `fetch`, untrusted `build`, `report`."""
    asked, inputs = requests.prepare(commit, progress, ident, revision=revision)
    request = containers.request_text(asked)
    # On a laptop an environment stays where it is built, and trusted containers look after the folder that holds all of them.
    here = ("environments", "pip") if settings.runtime == "embedded" else ()
    fetch = containers.trusted(
        settings, "fetch", source="inputs", target="in", request=request,
        mounts=[
            *mounts(settings, write=("in", "scratch", "store", "mirrors", *here)),
            *input_mounts(settings, inputs, container="fetch"),
        ],
    )  # fmt: skip
    build = containers.untrusted(
        settings, "build", image=_image(commit, settings), interpreter=_interpreter(commit, settings),
        arguments=["build", "--in", f"{ROOT}/in", "--out", f"{ROOT}/out"],
        mounts=mounts(settings, write=("out", "tmp", "environments", "pip"), read=("in",)),
        resources=containers.merge_resources(settings.resources["build"], _amounts(commit.spec.environment.resources)),
        env=_variables(commit), online=True,
    )  # fmt: skip
    report = containers.reporter(
        settings,
        ident.name,
        request,
        mounts(settings, write=("report", "scratch", "store", *here[:1]), read=("in", "out")),
    )
    return _assemble(
        owner, ident, settings, [fetch, build, report], inputs,
        deadlines=deadlines.prepare(commit.spec.environment.timeout_seconds, settings=settings),
        placement=placement(commit, measuring=False), untrusted=("build",), builds=settings.runtime == "kubernetes",
    )  # fmt: skip


def generate_job(
    owner: Owner, commit: Commit, progress: Progress, ident: JobId, *, allowed: Terms, settings: PodSettings
) -> Json:
    """Ask the models for a test: `fetch`, trusted `generate` with the keys, `report`. Nothing here runs what was answered."""
    asked, inputs = requests.generate(commit, progress, ident, allowed=allowed)
    request = containers.request_text(asked)
    fetch = containers.trusted(
        settings, "fetch", source="inputs", target="in", request=request,
        mounts=[
            *mounts(settings, write=("in", "scratch", "store", "mirrors")),
            *input_mounts(settings, inputs, container="fetch"),
        ],
    )  # fmt: skip
    generate = containers.trusted(
        settings, "generate", source="in", target="out", request=request,
        mounts=[
            *mounts(settings, write=("out", "scratch", "store"), read=("in",)),
            *input_mounts(settings, inputs, container="generate"),
        ],
    )  # fmt: skip
    report = containers.reporter(
        settings, ident.name, request, mounts(settings, write=("report", "scratch", "store"), read=("in", "out"))
    )
    return _assemble(
        owner, ident, settings, [fetch, generate, report], inputs,
        deadlines=deadlines.deadlines(settings.generate_seconds, settings=settings),
        placement=placement(commit, measuring=False),
    )  # fmt: skip


def measure_job(
    owner: Owner, commit: Commit, progress: Progress, ident: JobId, *, role: Role, settings: PodSettings
) -> Json:
    """Time a revision beside base: `fetch`, on a cluster `unpack` per environment, untrusted offline `measure`, `report`."""
    asked = requests.measure(commit, progress, ident, role=role)
    request = containers.request_text(asked)
    image, interpreter, pod = _image(commit, settings), _interpreter(commit, settings), commit.spec.pod
    fetch = containers.trusted(
        settings, "fetch", source="inputs", target="in", request=request,
        mounts=mounts(settings, write=("in", "scratch", "store"), read=("environments",) if settings.runtime == "embedded" else ()),
    )  # fmt: skip
    unpack = [] if settings.runtime == "embedded" else [
        containers.untrusted(
            settings, f"unpack-{revision.name}", image=image, interpreter=interpreter,
            arguments=["unpack", "--in", f"{ROOT}/in", "--out", f"{settings.environments.path}/{revision.key}"],
            mounts=_own_folder(mounts(settings, write=("tmp", "environments"), read=("in",)), revision.key),
            resources=containers.merge_resources(settings.resources["unpack"], {}),
        )
        for revision in {one.key: one for one in reversed(asked.revisions)}.values()
    ]  # fmt: skip
    default = settings.resources["measure"]
    if settings.runtime == "kubernetes" and settings.gpus:
        default = containers.merge_resources(default, {"limits": {"nvidia.com/gpu": str(settings.gpus)}})
    # What is asked for is the limit too: a measuring pod is Guaranteed.
    asked_for = {"limits": {**pod.resources.requests, **pod.resources.limits}}
    amounts = containers.merge_resources(default, asked_for)
    place = placement(commit, measuring=True)
    if devices.asks_for_gpu(amounts):
        place = replace(place, affinity=devices.with_devices(place.affinity, commit.spec.environment.requires))
    user_mounts, user_volumes = _user_volumes(commit)
    measure = containers.untrusted(
        settings, "measure", image=image, interpreter=interpreter,
        arguments=["measure", "--in", f"{ROOT}/in", "--out", f"{ROOT}/out"],
        mounts=[*mounts(settings, write=("out", "tmp"), read=("in", "environments")), *user_mounts],
        resources=amounts,
        env=_variables(commit),
    )  # fmt: skip
    report = containers.reporter(
        settings, ident.name, request, mounts(settings, write=("report", "scratch", "store"), read=("in", "out"))
    )
    return _assemble(
        owner, ident, settings, [fetch, *unpack, measure, report], [],
        deadlines=deadlines.measure(commit.spec.measurement.timeout_seconds, settings=settings),
        placement=place, untrusted=(*(one["name"] for one in unpack), "measure"),
        offline=("measure",), exclusive=True, extra=user_volumes,
    )  # fmt: skip


def collect_job(
    owner: Owner, asked: CollectRequest, inputs: Sequence[Input], ident: JobId, *, settings: PodSettings
) -> Json:
    """Assemble a Dataset: `list` (which alone has a token of the API server), `collect`, where asked for `publish` (which alone has
    the Hub's), `report`."""
    cluster, request = settings.runtime == "kubernetes", containers.request_text(asked)
    source, token = ([], [{"name": "token", "mountPath": TOKEN, "readOnly": True}]) if cluster else (["status"], [])
    listing = containers.trusted(
        settings, "list", source="status", target="in", request=request,
        mounts=[*mounts(settings, write=("in", "scratch"), read=source), *token],
    )  # fmt: skip
    collect = containers.trusted(
        settings, "collect", source="in", target="out", request=request,
        mounts=mounts(settings, write=("out", "scratch", "store", "dataset"), read=("in",)),
    )  # fmt: skip
    publish = [] if asked.publish is None else [
        containers.trusted(
            settings, "publish", source="dataset", target="out", request=request,
            mounts=[
                *mounts(settings, write=("out", "scratch"), read=("in", "dataset")),
                *input_mounts(settings, inputs, container="publish"),
            ],
        )
    ]  # fmt: skip
    report = containers.reporter(
        settings,
        ident.name,
        request,
        mounts(settings, write=("report", "scratch", "store"), read=("in", "out", "dataset")),
    )
    return _assemble(
        owner, ident, settings, [listing, collect, *publish, report], inputs,
        deadlines=deadlines.deadlines(settings.collect_seconds, settings=settings),
        placement=Placement(), service_account=settings.collect_service_account,
        extra=[_token_volume()] if cluster else [],
    )  # fmt: skip


def _token_volume() -> Json:
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    return {"name": "token", "projected": {"defaultMode": 0o440, "sources": sources}}


def _user_volumes(commit: Commit) -> tuple[list[Json], list[Json]]:
    """Mounts and volumes of weights and data, read-only, and of a larger /dev/shm."""
    found: list[Json] = []
    mounted: list[Json] = []
    for volume in commit.spec.pod.volumes:
        source = volume.to_json()
        name = f"user-{source.pop('name')}"
        mount = {"name": name, "mountPath": source.pop("mountPath"), "readOnly": True}
        sub_path = source.pop("subPath", None)
        mounted.append(mount if sub_path is None else {**mount, "subPath": sub_path})
        if "persistentVolumeClaim" in source:
            source["persistentVolumeClaim"] = {**source["persistentVolumeClaim"], "readOnly": True}
        found.append({"name": name, **source})
    if commit.spec.pod.shm_size is not None:
        mounted.append(dict(SHM))
        found.append({"name": SHM["name"], "emptyDir": {"medium": "Memory", "sizeLimit": commit.spec.pod.shm_size}})
    return mounted, found


def _assemble(
    owner: Owner,
    ident: JobId,
    settings: PodSettings,
    found: Sequence[Json],
    inputs: Sequence[Input],
    *,
    extra: Sequence[Json] = (),
    service_account: str | None = None,
    **pod: Any,
) -> Json:
    return job(
        owner, name=ident.name, role=ident.role, attempt=ident.attempt, settings=settings, containers=found,
        volumes=[*volumes(settings, found, inputs), *extra], service_account=service_account, **pod,
    )  # fmt: skip
