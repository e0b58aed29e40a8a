"""Raw JSON in, frozen views with only the fields that decisions use out; what a finished Job came to is read here and nowhere else.

Typed models of whole objects are the known bottleneck of such readers, so plain dicts are picked apart by hand. Nothing that a pod's
untrusted containers could write is believed: of messages only the one of `report`, and only with the Job's nonce.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from isobench_runner.contract import EXPLANATIONS, MessageError, Reason, Retry, decode

from . import naming

REPORTER = "report"
NOT_STARTED = frozenset({"StartError", "ContainerCannotRun"})
"""The runtime's words for a container that never ran: its message is the runtime's own."""
Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ContainerView:
    """A container that has ended.

    Attributes:
        reason: the kubelet's word: Completed, Error, OOMKilled, …
        message: the termination message; anybody's word unless the container is `report`.
        seconds: how long it ran, 0.0 where the kubelet did not say.
    """

    name: str
    exit_code: int
    reason: str
    message: str
    finished_at: str
    seconds: float
    image_id: str | None


@dataclass(frozen=True, kw_only=True)
class PodView:
    """A pod of a Job.

    Attributes:
        reason: the kubelet's word on the whole pod: Evicted, DeadlineExceeded, …
        disrupted: taken away by the cluster, for no fault of its own.
        deleting: somebody has deleted it.
        ended: its terminated containers, init containers first, in the order of the spec.
        ended_at: when the last of them ended, as RFC 3339; empty where none has.
    """

    name: str
    phase: str
    reason: str
    message: str
    node: str | None
    disrupted: bool
    deleting: bool
    ended: tuple[ContainerView, ...]
    ended_at: str

    def container(self, name: str) -> ContainerView | None:
        """The terminated container of that name."""
        return next((container for container in self.ended if container.name == name), None)


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A Job of ours.

    Attributes:
        state: `running` covers everything before the end, waiting and suspended included.
        reason: the Job controller's word where it failed: PodFailurePolicy, BackoffLimitExceeded, DeadlineExceeded.
        started: when it could first have had a pod, as RFC 3339; empty where the cluster does not say.
        queue: its queue of Kueue, which alone may resume it; empty without.
        last_chance: whether no further pod follows one that fails.
        gpus: what `measure` asks for.
        raw_pods: its pods as they came: they are read only where the Job's end is.
    """

    name: str
    namespace: str
    uid: str
    started: str
    role: str
    attempt: int
    state: Literal["running", "complete", "failed"]
    reason: str
    message: str
    suspended: bool
    queue: str
    deleting: bool
    last_chance: bool
    gpus: int
    raw_pods: tuple[Json, ...] = field(repr=False)

    @cached_property
    def pods(self) -> tuple[PodView, ...]:
        """Its pods, in the order in which they ended."""
        return tuple(sorted(map(pod_view, self.raw_pods), key=lambda pod: (pod.ended_at, pod.name)))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a finished Job came to.

    Attributes:
        reason: None for success.
        data: what `report` reported, on failure too; empty where no report can be believed.
        tail: the last lines of evidence, for people.
    """

    reason: Reason | None
    data: Mapping[str, Any] = field(default_factory=dict)
    tail: str = ""
    image_id: str | None = None
    node: str | None = None
    gpu_seconds: float = 0.0

    @property
    def retry(self) -> Retry:
        """What may be done about a failure."""
        return Retry.NEVER if self.reason is None else EXPLANATIONS[self.reason].retry


def parse_time(text: str) -> datetime | None:
    """A Kubernetes timestamp, or None where it is none."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _container(status: Json) -> ContainerView | None:
    state = status.get("state") or {}
    ended = state.get("terminated")
    if not ended:
        return None
    started, finished = parse_time(ended.get("startedAt") or ""), parse_time(ended.get("finishedAt") or "")
    if ended.get("reason") in NOT_STARTED:
        # The runtime says 1970 of a container that never ran.
        started = None
    return ContainerView(
        name=status["name"],
        exit_code=int(ended.get("exitCode", -1)),
        reason=ended.get("reason") or "",
        message=ended.get("message") or "",
        finished_at=ended.get("finishedAt") or "",
        seconds=max(0.0, (finished - started).total_seconds()) if started and finished else 0.0,
        image_id=status.get("imageID") or None,
    )


def pod_view(pod: Json) -> PodView:
    """A pod as decisions see it."""
    status = pod.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    ended = tuple(view for view in map(_container, statuses) if view is not None)
    return PodView(
        name=pod["metadata"]["name"],
        phase=status.get("phase") or "Pending",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        node=(pod.get("spec") or {}).get("nodeName"),
        disrupted=any(
            one.get("type") == "DisruptionTarget" and one.get("status") == "True"
            for one in status.get("conditions") or ()
        ),
        deleting=bool(pod["metadata"].get("deletionTimestamp")),
        ended=ended,
        ended_at=max((container.finished_at for container in ended), default=""),
    )


def _owner_job(pod: Json) -> str | None:
    metadata = pod["metadata"]
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("kind") == "Job":
            return str(reference["name"])
    found = (metadata.get("labels") or {}).get("batch.kubernetes.io/job-name")
    return None if found is None else str(found)


def _gpus(job: Json) -> int:
    pod = (((job.get("spec") or {}).get("template") or {}).get("spec")) or {}
    for container in pod.get("initContainers") or ():
        if container.get("name") == "measure":
            return int(((container.get("resources") or {}).get("limits") or {}).get("nvidia.com/gpu", 0))
    return 0


def _job(job: Json, pods: Sequence[Json]) -> JobView:
    metadata, spec = job["metadata"], job.get("spec") or {}
    labels = metadata.get("labels") or {}
    state: Literal["running", "complete", "failed"] = "running"
    reason = message = ""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed"):
            state = "complete" if condition["type"] == "Complete" else "failed"
            reason, message = condition.get("reason") or "", condition.get("message") or ""
    return JobView(
        name=metadata["name"],
        namespace=metadata.get("namespace") or "",
        uid=str(metadata.get("uid") or ""),
        started=str((job.get("status") or {}).get("startTime") or metadata.get("creationTimestamp") or ""),
        role=labels.get(naming.ROLE_LABEL, ""),
        attempt=int(labels.get(naming.ATTEMPT_LABEL, "0")),
        state=state,
        reason=reason,
        message=message,
        suspended=bool(spec.get("suspend")),
        queue=labels.get(naming.QUEUE_LABEL, ""),
        deleting=bool(metadata.get("deletionTimestamp")),
        last_chance=spec.get("backoffLimit") == 0,
        gpus=_gpus(job),
        raw_pods=tuple(pods),
    )


def job_views(jobs: Iterable[Json], pods: Iterable[Json]) -> tuple[JobView, ...]:
    """The Jobs of one custom resource, each with its pods."""
    by_job: dict[str, list[Json]] = {}
    for pod in pods:
        owner = _owner_job(pod)
        if owner is not None:
            by_job.setdefault(owner, []).append(pod)
    return tuple(_job(job, by_job.get(job["metadata"]["name"], ())) for job in jobs)


def _kubelet_reason(job: JobView, pod: PodView | None) -> tuple[Reason, str]:
    """Why a Job failed whose `report` never spoke, from the fields that only the kubelet and the Job controller write."""
    if pod is None:
        reason = Reason.DEADLINE_EXCEEDED if job.reason == "DeadlineExceeded" else Reason.REPORT_MISSING
        return reason, job.message or f"Job {job.name} failed ({job.reason or 'no reason'}) and left no pod"
    killed = next((container for container in pod.ended if container.reason == "OOMKilled"), None)
    if killed is not None:
        return Reason.OUT_OF_MEMORY, f"container {killed.name} of pod {pod.name} was killed for its memory"
    if pod.reason == "Evicted":
        # The node's own shortage is worded otherwise than a limit of the pod's that was passed.
        reason = Reason.DISK_FULL if "exceed" in pod.message else Reason.EVICTED
        return reason, f"pod {pod.name}: {pod.message}"
    if "DeadlineExceeded" in (pod.reason, job.reason):
        return Reason.DEADLINE_EXCEEDED, f"pod {pod.name}: {pod.message or job.message}"
    unstarted = next((one for one in pod.ended if one.reason in NOT_STARTED), None)
    if unstarted is not None:
        absent = any(words in unstarted.message for words in ("executable file not found", "no such file or directory"))
        reason = Reason.INTERPRETER_NOT_FOUND if absent else Reason.CONTAINER_FAILED
        return reason, f"container {unstarted.name} of pod {pod.name} could not be started: {unstarted.message}"
    if pod.reason and not pod.ended:
        return Reason.NODE_REFUSED, f"pod {pod.name}: {pod.reason}: {pod.message}"
    fallen = next((one for one in pod.ended if one.exit_code != 0 and one.name != REPORTER), None)
    if fallen is not None:
        return (
            Reason.CONTAINER_FAILED,
            f"container {fallen.name} of pod {pod.name} ended with exit code {fallen.exit_code}",
        )
    reporter = pod.container(REPORTER)
    ending = "never ran" if reporter is None else f"ended with exit code {reporter.exit_code}"
    return Reason.REPORT_MISSING, f"container {REPORTER} of pod {pod.name} {ending} and left no message"


def hopeless(job: JobView) -> bool:
    """Whether a Job would go on trying though its next pod would end as the last one did: too little memory or time, no such program.

    The exit code of `report` says so of what it has seen; of what kept it from running only the kubelet can, after the fact.
    """
    failed = [pod for pod in job.pods if pod.phase == "Failed" and not pod.disrupted and not pod.deleting]
    if job.state != "running" or job.last_chance or not failed or failed[-1].container(REPORTER) is not None:
        return False
    return EXPLANATIONS[_kubelet_reason(job, failed[-1])[0]].retry is Retry.NEVER


def _reported(pod: PodView, nonce: str) -> tuple[Reason | None, Mapping[str, Any], str] | str:
    """The reason, data and tail that `report` sent, or why its message is not believed."""
    reporter = pod.container(REPORTER)
    if reporter is None or not reporter.message:
        return ""
    try:
        body = decode(reporter.message, nonce=nonce)
        reason = None if body["reason"] is None else Reason(body["reason"])
        data, tail = body["data"], body.get("tail", "")
    except (MessageError, ValueError, KeyError) as error:
        return f"the message of pod {pod.name} is not believed: {error}"
    if not isinstance(data, dict) or not isinstance(tail, str):
        return f"the message of pod {pod.name} has no data"
    return reason, data, tail


def outcome(job: JobView, *, nonce: str) -> Outcome | None:
    """What a Job came to, read from the pod of it that ended last; None while it runs.

    Args:
        job: the Job with its pods.
        nonce: the one that this Job's request carries; a message without it is nobody's.
    """
    if job.state == "running":
        return None
    pods = [pod for pod in job.pods if pod.ended_at or pod.phase in ("Succeeded", "Failed")]
    pod = pods[-1] if pods else None
    seconds = 0.0
    for one in pods:
        measured = one.container("measure")
        seconds += measured.seconds * job.gpus if measured is not None else 0.0
    user = (pod.container("measure") or pod.container("build")) if pod is not None else None
    image_id, node = (user.image_id if user is not None else None), (pod.node if pod is not None else None)
    reported = _reported(pod, nonce) if pod is not None else ""
    if isinstance(reported, str):
        reason, tail = (
            _kubelet_reason(job, pod) if job.state == "failed" and not reported else (Reason.REPORT_MISSING, reported)
        )
        if pod is not None and not tail:
            tail = f"container {REPORTER} of pod {pod.name} left no message"
        return Outcome(reason=reason, tail=tail, image_id=image_id, node=node, gpu_seconds=seconds)
    return Outcome(
        reason=reported[0], data=reported[1], tail=reported[2], image_id=image_id, node=node, gpu_seconds=seconds
    )
