"""A cluster in memory that speaks the whole Protocol: objects are JSON, children are found by label, names are unique.

What a Job comes to is scripted: its request is read from the manifest as the runner reads it, the report is encoded as the runner
encodes it. So a test that passes here has proved manifests, requests, nonces and messages too.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from isobench_operator.cluster.ports import Children, ClusterError, Event, Json, Key, key_of
from isobench_operator.core import naming
from isobench_runner.contract import REQUEST_VARIABLE, Reason, Report, Request, exit_code, parse_request

STARTED, ENDED = "2026-01-02T03:00:00Z", "2026-01-02T03:01:00Z"


@dataclass(frozen=True, kw_only=True)
class Said:
    """`report` ran and said this."""

    reason: Reason | None = None
    data: dict[str, Any] = field(default_factory=dict)
    tail: str = ""
    image_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Killed:
    """A container before `report` ended badly; its own message, if any, is a forgery."""

    container: str = "measure"
    reason: str = "OOMKilled"
    exit_code: int = 137
    pod_reason: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """`report` ran and its message arrived like this."""

    message: str
    exit_code: int = 0


Answer = Said | Killed | Sent
Answers = Callable[[Request, Json], "Answer | None"]


def request_of(job: Json) -> Request:
    """The request of a Job, as Kubernetes would hand it to the containers."""
    report = job["spec"]["template"]["spec"]["containers"][0]
    text = next(one["value"] for one in report["env"] if one["name"] == REQUEST_VARIABLE)
    held = text.replace("$$", "\0").replace("$(ISOBENCH_ROOT)", "/isobench").replace("\0", "$")
    return parse_request(held)


def role_of(job: Json) -> str:
    """The role of a Job."""
    return str(job["metadata"]["labels"][naming.ROLE_LABEL])


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _terminated(name: str, *, code: int, reason: str, message: str = "", image_id: str = "") -> Json:
    ended = {"exitCode": code, "reason": reason, "message": message, "startedAt": STARTED, "finishedAt": ENDED}
    return {"name": name, "imageID": image_id, "state": {"terminated": ended}}


class FakeCluster:
    """The Protocol over dicts.

    Attributes:
        answers: what a Job comes to; None leaves it running.
        on_change: called with the owner's key after something that belongs to it has changed.
        calls: how often each method was called.
        failures: errors to raise, by method, one per call.
        happenings: core/v1 events about Jobs and pods, by the UID of what they are about.
    """

    def __init__(self, *owners: Json, answers: Answers | None = None) -> None:
        self.objects: dict[Key, Json] = {}
        self.jobs: dict[str, Json] = {}
        self.pods: dict[str, Json] = {}
        self.events: list[tuple[Key, Event]] = []
        self.created: list[str] = []
        self.deleted: list[str] = []
        self.calls: Counter[str] = Counter()
        self.failures: dict[str, list[ClusterError]] = {}
        self.happenings: dict[str, list[Json]] = {}
        self.answers = answers
        self.on_change: Callable[[Key], None] | None = None
        for owner in owners:
            self.put(owner)

    def put(self, owner: Json) -> Key:
        """Apply a custom resource."""
        key = key_of(owner)
        self.objects[key] = _copy(owner)
        return key

    def status(self, key: Key) -> Json:
        """The status of a custom resource."""
        found: Json = self.objects[key].get("status", {})
        return found

    def condition(self, key: Key, type_: str) -> tuple[str, str]:
        """The status and reason of a condition."""
        found = next(one for one in self.status(key)["conditions"] if one["type"] == type_)
        return found["status"], found["reason"]

    def roles(self) -> list[str]:
        """The roles of the Jobs in the order of their creation."""
        return self.created

    def job(self, role: str) -> Json:
        """The latest Job of a role."""
        found = [job for job in self.jobs.values() if role_of(job) == role]
        return max(found, key=lambda job: int(job["metadata"]["labels"][naming.ATTEMPT_LABEL]))

    def _called(self, method: str) -> None:
        self.calls[method] += 1
        waiting = self.failures.get(method)
        if waiting:
            raise waiting.pop(0)

    async def get(self, key: Key) -> Json | None:
        self._called("get")
        return _copy(self.objects.get(key))

    async def pages(self, kind: str, namespace: str | None = None) -> AsyncIterator[list[Json]]:
        self._called("pages")
        found = [one for key, one in self.objects.items() if key.kind == kind and namespace in (None, key.namespace)]
        for one in found:
            yield [_copy(one)]

    async def children(self, owner: Json) -> Children:
        self._called("children")
        uid = owner["metadata"]["uid"]
        jobs = [job for job in self.jobs.values() if job["metadata"]["labels"][naming.UID_LABEL] == uid]
        names = {job["metadata"]["name"] for job in jobs}
        pods = [pod for pod in self.pods.values() if pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] in names]
        return Children(tuple(map(_copy, jobs)), tuple(map(_copy, pods)))

    async def events_about(self, objects: Sequence[Json]) -> tuple[Json, ...]:
        self._called("events_about")
        return tuple(event for one in objects for event in self.happenings.get(one["metadata"]["uid"], ()))

    async def create(self, manifest: Json) -> None:
        self._called("create")
        name = manifest["metadata"]["name"]
        if name in self.jobs:
            return
        job = self.jobs[name] = _copy(manifest)
        job["metadata"]["uid"] = f"uid-of-{name}"
        self.created.append(role_of(job))
        self._run(job)

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        self._called("delete")
        job = self.jobs.pop(name, None)
        if job is not None:
            self.deleted.append(role_of(job))
            self._tell(job)

    async def remove(self, owner: Json) -> None:
        self._called("remove")
        self.objects.pop(key_of(owner), None)

    async def suspend(self, job: Json, *, suspend: bool) -> None:
        self._called("suspend")
        held = self.jobs[job["metadata"]["name"]]
        held["spec"]["suspend"] = suspend
        self._run(held)

    async def stop(self, namespace: str, name: str) -> None:
        self._called("stop")
        if name in self.jobs:
            self.jobs[name]["spec"]["backoffLimit"] = 0

    async def apply_status(self, owner: Json, status: Json) -> None:
        self._called("apply_status")
        self.objects[key_of(owner)]["status"] = _copy(status)

    async def emit(self, owner: Json, event: Event) -> None:
        self._called("emit")
        self.events.append((key_of(owner), event))

    def _run(self, job: Json) -> None:
        if self.answers is None or job["spec"].get("suspend"):
            return
        answer = self.answers(request_of(job), job)
        if answer is not None:
            self.end(job, answer)

    def _tell(self, job: Json) -> None:
        if self.on_change is not None:
            reference = job["metadata"]["ownerReferences"][0]
            key = Key(reference["kind"], job["metadata"]["namespace"], reference["name"])
            asyncio.get_running_loop().call_soon(self.on_change, key)

    def end(self, job: Json, answer: Answer) -> None:
        """End a Job as the Job controller and the kubelet would."""
        held = self.jobs[job["metadata"]["name"]]
        spec = held["spec"]["template"]["spec"]
        names = [one["name"] for one in spec["initContainers"]]
        code, pod_reason, reporter = 0, "", None
        match answer:
            case Said(reason=reason, data=data, tail=tail, image_id=image_id):
                code = exit_code(reason)
                message = Report(reason=reason, data=data, tail=tail).message(request_of(held))
                reporter = _terminated("report", code=code, reason="Error" if code else "Completed", message=message)
                init = [_terminated(name, code=0, reason="Completed", image_id=image_id) for name in names]
            case Sent(message=message, exit_code=code):
                reporter = _terminated("report", code=code, reason="Completed", message=message)
                init = [_terminated(name, code=0, reason="Completed") for name in names]
            case Killed(container=container, reason=word, exit_code=code, pod_reason=pod_reason, message=message):
                at = names.index(container)
                init = [_terminated(name, code=0, reason="Completed") for name in names[:at]]
                init.append(_terminated(container, code=code, reason=word, message=message))
        name = f"{held['metadata']['name']}-x1"
        status: Json = {"phase": "Failed" if code else "Succeeded", "reason": pod_reason, "initContainerStatuses": init}
        status["containerStatuses"] = [] if reporter is None else [reporter]
        labels = {**held["metadata"]["labels"], "batch.kubernetes.io/job-name": held["metadata"]["name"]}
        owner = {"kind": "Job", "name": held["metadata"]["name"], "uid": held["metadata"]["uid"]}
        self.pods[name] = {
            "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
            "spec": {**_copy(spec), "nodeName": "node-1"},
            "status": status,
        }
        word = "Failed" if code else "Complete"
        held["status"] = {
            "conditions": [{"type": word, "status": "True", "reason": "BackoffLimitExceeded" if code else ""}]
        }
        self._tell(held)
