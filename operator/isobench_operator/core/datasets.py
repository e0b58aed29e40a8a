"""The next step of a Dataset: wait until its Commits stand still, then collect each distinct content once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from isobench_operator.api.dataset import Dataset
from isobench_runner.contract import CollectRequest, Reason

from . import manifests, naming, requests
from .observed import JobView, Outcome, job_views, outcome
from .policies import acceptance, collecting
from .policies.conditions import Observation
from .settings import Settings
from .statuses import annotation, condition_status, conditions
from .steps import Deletion, Json, Notice, Observed, Plan, Suspension


def decide_dataset(observed: Observed, now: datetime, settings: Settings) -> Plan:
    """The next step of one Dataset."""
    owner = observed.owner
    before: Json = owner.get("status") or {}
    asked = annotation(owner, naming.RETRY_ANNOTATION)
    try:
        dataset = acceptance.accept(Dataset, owner, settings)
    except acceptance.NotAcceptedError as error:
        steps = (
            Observation("Accepted", "False", error.reason.value, str(error)),
            Observation("Collected", "False", "NotAccepted"),
        )
        return _plan(owner, before, (*steps, *_failed(error.reason.value, str(error))), now=now, asked=asked)
    assert dataset.spec.source.commits is not None
    labels = dataset.spec.source.commits.selector.match_labels
    commits = collecting.select(observed.commits, labels, namespace=owner["metadata"].get("namespace") or "")
    views = job_views(observed.jobs, observed.pods)
    # A retry is heeded by a collection alone: asked for while Commits are still under way, it waits for them too.
    heeded = before.get("observedRetry") or ""
    last = collecting.finished_at(commits)
    if last is None:
        word = "Waiting" if commits else "NoCommits"
        return _plan(owner, before, _under_way(word), now=now, asked=heeded, delete=_stale(views, ""))
    rest = settings.settle_seconds - (now - last).total_seconds()
    content = collecting.content(commits, dataset.spec.to_json())
    attempt = _attempt(before, content, asked)
    known = before.get("inputs") == content and before.get("attempt") == attempt
    if known and condition_status(before, "Finished") == "True":
        return Plan(finished=True)
    if rest > 0:
        return _plan(owner, before, _under_way("Waiting"), now=now, asked=heeded, requeue_after=rest)
    role = f"collect-{content.removeprefix('sha256:')[:16]}"
    job = next((job for job in views if (job.role, job.attempt) == (role, attempt)), None)
    ident = requests.job_id(owner, role, attempt, secret_key=settings.secret)
    came = outcome(job, nonce=ident.nonce) if job is not None else None
    if ident.name in observed.rejected:
        came = Outcome(reason=Reason.SPEC_INVALID, tail=observed.rejected[ident.name])
    if came is not None:
        status = {**before, "inputs": content, "attempt": attempt}
        return _ended(owner, status, came, now=now, asked=asked, delete=_stale(views, ident.name))
    steps_: dict[str, Any] = {"delete": _stale(views, ident.name)}
    if dataset.spec.suspend:
        observations = _under_way("Suspended")
    else:
        observations = _under_way("Collecting")
        if job is None:
            request = _request(owner, dataset, ident)
            steps_["create"] = (manifests.collect_job(owner, request, ident, settings=settings.pods),)
    if job is not None and job.suspended != dataset.spec.suspend:
        raw = next(one for one in observed.jobs if one["metadata"]["name"] == job.name)
        steps_["suspend"] = (Suspension(raw, dataset.spec.suspend),)
    status = {**before, "inputs": content, "attempt": attempt}
    return _plan(owner, status, observations, now=now, asked=asked, **steps_)


def _request(owner: Json, dataset: Dataset, ident: requests.JobId) -> CollectRequest:
    assert dataset.spec.source.commits is not None
    return CollectRequest(
        commit=owner["metadata"]["name"],
        nonce=ident.nonce,
        attempt=ident.attempt,
        repository_url="",
        repository="",
        dataset=owner["metadata"]["name"],
        formats=tuple(dataset.spec.formats),
        views=tuple(dataset.spec.views),
        match_labels=tuple(sorted(dataset.spec.source.commits.selector.match_labels.items())),
    )


def _attempt(before: Json, content: str, asked: str) -> int:
    """The attempt that counts: the first for a new content, one more where it is asked for again and is not there."""
    if before.get("inputs") != content:
        return 1
    again = asked and asked != (before.get("observedRetry") or "") and condition_status(before, "Succeeded") != "True"
    return int(before.get("attempt") or 1) + (1 if again else 0)


def _stale(views: tuple[JobView, ...], name: str) -> tuple[Deletion, ...]:
    return tuple(
        Deletion(job.namespace, job.name)
        for job in views
        if job.name != name and job.state == "running" and not job.deleting
    )


def _under_way(word: str) -> tuple[Observation, ...]:
    return (
        Observation("Accepted", "True", "Accepted"),
        *(Observation(name, "Unknown", word) for name in ("Collected", "Succeeded", "Finished")),
    )


def _failed(reason: str, message: str) -> tuple[Observation, Observation]:
    return Observation("Succeeded", "False", reason, message), Observation("Finished", "True", "Failed", reason)


def _ended(
    owner: Json, status: Json, came: Outcome, *, now: datetime, asked: str, delete: tuple[Deletion, ...]
) -> Plan:
    accepted = Observation("Accepted", "True", "Accepted")
    if came.reason is not None:
        reason = came.reason.value
        observations = (
            accepted,
            Observation("Collected", "False", reason, came.tail[-300:]),
            *_failed(reason, came.tail),
        )
        return _plan(owner, status, observations, now=now, asked=asked, delete=delete)
    data: Mapping[str, Any] = came.data
    counts = {"records": int(data.get("records") or 0), "commits": int(data.get("commits") or 0)}
    files = {"files": list(data["files"])} if data.get("files") else {}
    status = {**status, "digest": data.get("dataset"), **counts, **files}
    words = came.tail or f"{counts['records']} records of {counts['commits']} Commits"
    observations = (
        accepted,
        Observation("Collected", "True", "Collected", words),
        Observation("Succeeded", "True", "Collected", words),
        Observation("Finished", "True", "Collected"),
    )
    return _plan(owner, status, observations, now=now, asked=asked, delete=delete)


def _plan(
    owner: Json, base: Json, observations: tuple[Observation, ...], *, now: datetime, asked: str, **steps: Any
) -> Plan:
    before: Json = owner.get("status") or {}
    generation = owner["metadata"].get("generation")
    found = conditions(before.get("conditions") or (), observations, now=now, generation=generation)
    status = {**base, "observedGeneration": generation, "observedRetry": asked or None, "conditions": found}
    status = {key: value for key, value in status.items() if value is not None}
    finished = condition_status(status, "Finished") == "True"
    events: tuple[Notice, ...] = ()
    if finished and condition_status(before, "Finished") != "True":
        succeeded = next(one for one in observations if one.type == "Succeeded")
        kind: Literal["Normal", "Warning"] = "Normal" if succeeded.status == "True" else "Warning"
        events = (Notice(kind, succeeded.reason, succeeded.message),)
    return Plan(status=None if status == before else status, events=events, finished=finished, **steps)
