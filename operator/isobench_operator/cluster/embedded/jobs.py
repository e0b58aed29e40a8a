"""What Kubernetes' Job controller and kubelet would decide, as pure functions over their own JSON: what is accepted, what counts as
a failure, when a Job is finished, how long to wait before the next pod.

No process, file or clock may enter: times are passed in as RFC 3339.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from isobench_operator.cluster.ports import Rejected

Json = dict[str, Any]

UNTRUSTED = "isobench.dev/untrusted"
OFFLINE = "isobench.dev/offline"
EXCLUSIVE = "isobench.dev/exclusive"
DEFAULT_BACKOFF_LIMIT = 6
"""Kubernetes' own default of `backoffLimit`."""
DEFAULT_GRACE_SECONDS = 30
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SOURCES = {"emptyDir", "configMap", "secret", "hostPath", "persistentVolumeClaim"}


@dataclass(frozen=True)
class Decision:
    """What a pod's end means for its Job.

    Attributes:
        action: `complete`; `fail` for good; `again` after a delay.
        counts: whether the pod counts against the backoff limit.
    """

    action: Literal["complete", "fail", "again"]
    reason: str = ""
    message: str = ""
    counts: bool = False


def containers(job: Mapping[str, Any]) -> Iterator[tuple[Json, bool]]:
    """A Job's containers in the order of their start, each with whether it is an init container."""
    spec = job["spec"]["template"]["spec"]
    for container in spec.get("initContainers") or ():
        yield container, True
    for container in spec["containers"]:
        yield container, False


def _names(job: Mapping[str, Any], annotation: str) -> frozenset[str]:
    text = (job["spec"]["template"].get("metadata", {}).get("annotations") or {}).get(annotation, "")
    return frozenset(word.strip() for word in text.split(",") if word.strip())


def untrusted(job: Mapping[str, Any]) -> frozenset[str]:
    """Names of the containers that run what users or models wrote."""
    return _names(job, UNTRUSTED)


def offline(job: Mapping[str, Any]) -> frozenset[str]:
    """Names of the containers that may reach no network."""
    return _names(job, OFFLINE)


def exclusive(job: Mapping[str, Any]) -> bool:
    """Whether the Job's pods run alone."""
    metadata = job["spec"]["template"].get("metadata", {})
    return "true" in ((metadata.get(kind) or {}).get(EXCLUSIVE) for kind in ("annotations", "labels"))


def memory_bytes(container: Mapping[str, Any]) -> int | None:
    """The memory limit of a container, None where it has none."""
    text = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return None if text is None else quantity(str(text))


def quantity(text: str) -> int:
    """A Kubernetes quantity as a number.

    Raises:
        Rejected: it is none.
    """
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    try:
        return int(float(text.removesuffix(unit)) * _UNITS.get(unit, 1))
    except (ValueError, OverflowError) as error:
        raise Rejected(f"quantity {text!r} is none; write for instance 512Mi") from error


def validate(job: Mapping[str, Any]) -> None:
    """Refuse what this runtime would not run as Kubernetes does, rather than run it otherwise.

    Raises:
        Rejected: names field, value and remedy.
    """
    name = job.get("metadata", {}).get("name", "")
    if (
        not isinstance(name, str)
        or not name
        or len(name) > 63
        or not all(c.isascii() and (c.isalnum() or c == "-") for c in name)
    ):
        raise Rejected(f"metadata.name {name!r} is no DNS-1123 label of at most 63 characters")
    spec = job["spec"]
    for field in ("completions", "parallelism"):
        if spec.get(field, 1) != 1:
            raise Rejected(f"Job {name}: spec.{field} {spec[field]!r} cannot be run here; one pod at a time can")
    pod = spec["template"]["spec"]
    if pod.get("restartPolicy") != "Never":
        raise Rejected(f"Job {name}: restartPolicy {pod.get('restartPolicy')!r} cannot be run here; Never can")
    volumes = {}
    for volume in pod.get("volumes") or ():
        sources = volume.keys() - {"name"}
        if not sources <= _SOURCES:
            raise Rejected(f"Job {name}: volume {volume['name']} is a {min(sources)}, which cannot be had here")
        volumes[volume["name"]] = volume
    seen: set[str] = set()
    for container, init in containers(job):
        _validate_container(
            name, container, init=init, volumes=volumes, trusted=container["name"] not in untrusted(job)
        )
        if container["name"] in seen:
            raise Rejected(f"Job {name}: two containers are named {container['name']}")
        seen.add(container["name"])


def _validate_container(
    job: str, container: Mapping[str, Any], *, init: bool, volumes: Mapping[str, Json], trusted: bool
) -> None:
    where = f"Job {job}: container {container['name']}"
    if init and container.get("restartPolicy"):
        raise Rejected(f"{where}: restartPolicy makes it a sidecar, which cannot be run here")
    if container.get("envFrom"):
        raise Rejected(f"{where}: envFrom cannot be run here; name the variables in env")
    if not container.get("command"):
        raise Rejected(f"{where}: command is missing, and here is no image to take it from")
    memory_bytes(container)
    for mount in container.get("volumeMounts") or ():
        volume = volumes.get(mount["name"])
        if volume is None:
            raise Rejected(f"{where}: no volume is named {mount['name']}")
        if not trusted and "secret" in volume:
            raise Rejected(f"{where} runs untrusted code and mounts the Secret of volume {mount['name']}")
    for entry in container.get("env") or ():
        source = entry.get("valueFrom") or {}
        if not trusted and "secretKeyRef" in source:
            raise Rejected(f"{where} runs untrusted code and takes {entry['name']} from a Secret")
        if source and not source.keys() & {"fieldRef", "configMapKeyRef", "secretKeyRef"}:
            raise Rejected(f"{where}: env {entry['name']} comes from a {min(source)}, which cannot be had here")


def _terminated(pod: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    status = pod["status"]
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        ended = one["state"].get("terminated")
        if ended:
            yield one["name"], ended["exitCode"]


def _matches(rule: Mapping[str, Any], pod: Mapping[str, Any]) -> tuple[str, int] | None:
    wanted = rule.get("onExitCodes")
    if not wanted:
        # Disruptions, which is what the conditions are about, do not exist on one machine.
        return None
    for name, code in _terminated(pod):
        if code == 0 or wanted.get("containerName") not in (None, name):
            continue
        if (code in wanted["values"]) == (wanted["operator"] == "In"):
            return name, code
    return None


def after_pod(job: Mapping[str, Any], pod: Mapping[str, Any], *, failed: int) -> Decision:
    """What a Job does when its pod has ended.

    Args:
        failed: pods that counted as failed before this one.
    """
    if pod["status"]["phase"] == "Succeeded":
        return Decision("complete")
    spec = job["spec"]
    for index, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules") or ()):
        match = _matches(rule, pod)
        if match is None:
            continue
        if rule["action"] == "FailJob":
            where = f"{pod['metadata'].get('namespace', 'default')}/{pod['metadata']['name']}"
            words = f"Container {match[0]} for pod {where} failed with exit code {match[1]} matching FailJob rule at index {index}"
            return Decision("fail", "PodFailurePolicy", words, counts=True)
        if rule["action"] == "Ignore":
            return Decision("again")
        break
    if failed + 1 > spec.get("backoffLimit", DEFAULT_BACKOFF_LIMIT):
        return Decision("fail", "BackoffLimitExceeded", "Job has reached the specified backoff limit", counts=True)
    return Decision("again", counts=True)


def delay(failures: int, *, first: float, most: float) -> float:
    """Seconds before the pod that follows on `failures` failed ones (at least 1): doubling, bounded."""
    return min(most, first * 2.0 ** min(failures - 1, 30))


def finished(job: Mapping[str, Any]) -> bool:
    """Whether a Job has ended."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)


def with_condition(status: Mapping[str, Any], *, type_: str, value: bool, reason: str, message: str, at: str) -> Json:
    """A Job's status with one condition set."""
    others = [one for one in status.get("conditions") or () if one["type"] != type_]
    condition = {"type": type_, "status": "True" if value else "False", "reason": reason, "message": message}
    condition |= {"lastProbeTime": at, "lastTransitionTime": at}
    return {**status, "conditions": [*others, condition]}


def new_pod(job: Mapping[str, Any], *, name: str, uid: str, node: str, at: str) -> Json:
    """A pod of a Job, pending, with all its containers waiting."""
    template = job["spec"]["template"]
    metadata = template.get("metadata") or {}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    labels = {
        **(metadata.get("labels") or {}),
        "batch.kubernetes.io/job-name": job["metadata"]["name"],
        "batch.kubernetes.io/controller-uid": job["metadata"]["uid"],
    }

    def waiting(each: Sequence[Mapping[str, Any]]) -> list[Json]:
        return [
            {"name": one["name"], "image": one.get("image", ""), "imageID": "", "ready": False, "restartCount": 0,
             "state": {"waiting": {"reason": "PodInitializing"}}}
            for one in each
        ]  # fmt: skip

    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": job["metadata"].get("namespace", "default"),
            "uid": uid,
            "creationTimestamp": at,
            "labels": labels,
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {**template["spec"], "nodeName": node},
        "status": {
            "phase": "Pending",
            "startTime": at,
            "initContainerStatuses": waiting(template["spec"].get("initContainers") or ()),
            "containerStatuses": waiting(template["spec"]["containers"]),
        },
    }
