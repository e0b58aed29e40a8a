"""The next step of a Dataset: wait until its Commits stand still, then collect each distinct content once.

Succeeded and Finished speak of the whole: they turn True when nothing is under way and everything is collected. Collected turns True
with the first files, and stays so while further Commits are waited for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from isobench_operator.api.conditions import timestamp
from isobench_operator.api.dataset import Dataset
from isobench_runner.contract import CollectRequest, Publish, StoredFile

from . import dataset_status, manifests, naming, requests
from .observed import JobView, Outcome, hopeless, job_views, outcome
from .policies import acceptance, collecting, troubles
from .policies.conditions import Observation
from .settings import Settings
from .statuses import annotation, condition, condition_status
from .steps import Deletion, Json, LastChance, Notice, Observed, Plan, Suspension
from .volumes import Input, secret

PUBLISH = "publish"


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One Dataset in one pass.

    Attributes:
        before: its status as it was read.
        commits: that it selects.
        pace: of collections.
        now: of the pass.
    """

    observed: Observed
    dataset: Dataset
    before: Json
    commits: tuple[Mapping[str, Any], ...]
    views: tuple[JobView, ...]
    pace: collecting.Pace
    now: datetime
    settings: Settings

    @property
    def owner(self) -> Json:
        return self.observed.owner

    @property
    def changed(self) -> bool:
        """Whether the spec is another than the one that was collected by."""
        collected = self.before.get("collectedGeneration")
        return collected is not None and collected != self.owner["metadata"].get("generation")

    @property
    def whole(self) -> bool:
        """Whether every Commit has finished."""
        return all(collecting.finished_at(commit) is not None for commit in self.commits)

    def due(self, status: Json) -> datetime | None:
        return collecting.due(self.commits, status, changed=self.changed, pace=self.pace)


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
        return dataset_status.plan(
            owner, before, (*steps, *dataset_status.failed(error.reason.value, str(error))), now=now, asked=asked
        )
    assert dataset.spec.source.commits is not None
    labels = dataset.spec.source.commits.selector.match_labels
    case = _Case(
        observed=observed,
        dataset=dataset,
        before=before,
        commits=collecting.select(observed.commits, labels, namespace=owner["metadata"].get("namespace") or ""),
        views=job_views(observed.jobs, observed.pods),
        pace=collecting.Pace(settle=settings.settle_seconds, every=float(dataset.spec.collect.every_seconds)),
        now=now,
        settings=settings,
    )
    # What was begun is ended: results that come meanwhile are the next collection's, or none would ever end.
    begun = before.get("inputs") is not None and condition_status(before, "Collected") == "Unknown"
    if begun and before.get("observedGeneration") == owner["metadata"].get("generation"):
        ident = _ident(case, str(before["inputs"]), int(before.get("attempt") or 1))
        job = next((job for job in case.views if job.name == ident.name), None)
        if job is not None:
            return _follow(case, job, ident, asked=before.get("observedRetry") or "")
    return _begin(case, asked)


def _ident(case: _Case, content: str, attempt: int) -> requests.JobId:
    role = naming.collect_role(content)
    return requests.job_id(case.owner, role, attempt, secret_key=case.settings.secret)


def _begin(case: _Case, asked: str) -> Plan:
    """Wait, or start the next collection where one is due."""
    before, now = case.before, case.now
    heeded = before.get("observedRetry") or ""
    everything = _content(case, 0.0, asked)
    at = now if everything.attempt > 1 else case.due(before)
    if at is None or everything.known:
        return _rest(case, heeded)
    what = _content(case, case.pace.settle, asked)
    rest = case.pace.settle if at <= now and what.known else (at - now).total_seconds()
    if rest > 0:
        return dataset_status.plan(
            case.owner, _counted(case), dataset_status.waiting(before), now=now, asked=heeded, requeue_after=rest, delete=_stale(case.views, "")
        )  # fmt: skip
    content, attempt = what.digest, what.attempt
    ident = _ident(case, content, attempt)
    status = {**before, "inputs": content, "attempt": attempt}
    if ident.name in case.observed.rejected:
        words = case.observed.rejected[ident.name]
        came = Outcome(reason=troubles.rejected(words), tail=words)
        return _ended(case, status, came, asked=asked, delete=_stale(case.views, ident.name))
    steps: dict[str, Any] = {"delete": _stale(case.views, ident.name)}
    held = case.observed.held.get(ident.name)
    if case.dataset.spec.suspend:
        observations = dataset_status.under_way("Suspended")
    else:
        observations = dataset_status.under_way("Collecting")
        if held is not None:
            steps |= _told(trouble := troubles.held(held))
            observations = dataset_status.under_way(trouble.word, trouble.message)
        request, inputs = _request(case, ident, what.commits)
        steps["create"] = (manifests.collect_job(case.owner, request, inputs, ident, settings=case.settings.pods),)
    return dataset_status.plan(case.owner, status, observations, now=now, asked=asked, **steps)


def _follow(case: _Case, job: JobView, ident: requests.JobId, *, asked: str) -> Plan:
    """See a collection to its end."""
    came = outcome(job, nonce=ident.nonce)
    if came is not None:
        return _ended(case, case.before, came, asked=asked, delete=_stale(case.views, ident.name))
    suspend = case.dataset.spec.suspend
    steps: dict[str, Any] = {"delete": _stale(case.views, ident.name)}
    if job.suspended != suspend:
        raw = next(one for one in case.observed.jobs if one["metadata"]["name"] == job.name)
        steps["suspend"] = (Suspension(raw, suspend),)
    trouble = None if suspend else troubles.find(job, case.observed.events)
    observations = dataset_status.under_way("Suspended" if suspend else "Collecting")
    if trouble is not None:
        left = trouble.left(case.now, bound=case.settings.waiting_seconds)
        if left is not None and left <= 0:
            came = Outcome(reason=trouble.reason, tail=trouble.message)
            return _ended(case, case.before, came, asked=asked, delete=_stale(case.views, ""))
        untold = trouble.untold(case.now)
        steps["requeue_after"] = untold or left
        if not untold:
            steps |= _told(trouble)
            observations = dataset_status.under_way(trouble.word, trouble.message)
    if hopeless(job):
        steps["stop"] = (LastChance(job.namespace, job.name),)
    return dataset_status.plan(case.owner, case.before, observations, now=case.now, asked=asked, **steps)


def _told(trouble: troubles.Trouble) -> dict[str, Any]:
    return {"warning": Notice("Warning", trouble.word, trouble.message)} if trouble.warns else {}


def _rest(case: _Case, asked: str) -> Plan:
    """There is nothing that the last collection has not seen."""
    before, status = case.before, _counted(case)
    failed = condition_status(before, "Collected") == "False" and condition_status(before, "Finished") == "True"
    if case.changed and not failed:
        status["collectedGeneration"] = case.owner["metadata"].get("generation")
    observations: tuple[Observation, ...]
    if failed:
        observations = dataset_status.same(before)
    elif before.get("digest") is None:
        observations = dataset_status.under_way("Waiting" if case.commits else "NoCommits")
    elif not case.whole:
        observations = dataset_status.waiting(before)
    elif condition_status(before, "Finished") == "True":
        observations = dataset_status.same(before)
    else:
        words = str(condition(before, "Collected").get("message") or "")
        observations = (
            *dataset_status.kept(before),
            Observation("Succeeded", "True", "Collected", words),
            dataset_status.FINISHED,
        )
    return dataset_status.plan(
        case.owner, status, observations, now=case.now, asked=asked, delete=_stale(case.views, "")
    )


def _counted(case: _Case) -> Json:
    """The status, for as many finished Commits as there still are: one that finishes anew is then more than there were."""
    ended = sum(collecting.finished_at(commit) is not None for commit in case.commits)
    known = case.before.get("finished")
    return {**case.before} if known is None else {**case.before, "finished": min(int(known), ended)}


def _request(
    case: _Case, ident: requests.JobId, ready: Sequence[Mapping[str, Any]]
) -> tuple[CollectRequest, list[Input]]:
    source = case.dataset.spec.source.commits
    assert source is not None
    metadata, spec, files = case.owner["metadata"], case.dataset.spec, case.before.get("files") or ()
    remembers = case.settings.pods.runtime == "embedded"
    publish, inputs = _publish(case.dataset)
    request = CollectRequest(
        commit=metadata["name"],
        nonce=ident.nonce,
        attempt=ident.attempt,
        repository_url="",
        repository="",
        dataset=naming.file_stem(metadata["name"]),
        formats=tuple(spec.formats),
        views=tuple(spec.views),
        match_labels=tuple(sorted(source.selector.match_labels.items())),
        files=None if remembers else tuple(StoredFile(name=one["name"], digest=one["digest"]) for one in files),
        folder=None if remembers else f"{metadata['namespace']}/{metadata['name']}",
        finished=len(ready),
        through=collecting.through(ready),
        publish=publish,
    )
    return request, inputs


def _publish(dataset: Dataset) -> tuple[Publish | None, list[Input]]:
    wanted = dataset.spec.publish
    if wanted is None:
        return None, []
    token = secret("hub", wanted.secret_key_ref.name, wanted.secret_key_ref.key, container=PUBLISH)
    publish = Publish(
        repository=wanted.repository,
        token_file=token.path,
        private=wanted.private,
        keep=wanted.keep,
        dry_run=wanted.dry_run,
    )
    return publish, [token]


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What could be collected.

    Attributes:
        commits: whose end it is.
        attempt: the first for a new content, one more where it is asked for again and has failed.
        known: whether that collection has ended.
    """

    commits: tuple[Mapping[str, Any], ...]
    digest: str
    attempt: int
    known: bool


def _content(case: _Case, settle: float, asked: str) -> _Content:
    """What has ended so many seconds ago, or longer."""
    before = case.before
    commits = collecting.settled(case.commits, now=case.now, settle=settle)
    digest = collecting.content(commits, case.dataset.spec.to_json())
    if before.get("inputs") != digest:
        return _Content(commits=commits, digest=digest, attempt=1, known=False)
    again = (
        bool(asked)
        and asked != (before.get("observedRetry") or "")
        and condition_status(before, "Succeeded") == "False"
    )
    ended = condition_status(before, "Collected") != "Unknown"
    attempt = int(before.get("attempt") or 1) + (1 if again else 0)
    return _Content(commits=commits, digest=digest, attempt=attempt, known=ended and not again)


def _stale(views: tuple[JobView, ...], name: str) -> tuple[Deletion, ...]:
    return tuple(
        Deletion(job.namespace, job.name)
        for job in views
        if job.name != name and job.state == "running" and not job.deleting
    )


def _ended(case: _Case, status: Json, came: Outcome, *, asked: str, delete: tuple[Deletion, ...]) -> Plan:
    """Record what a collection came to; files that were collected count, whatever became of their publication."""
    data: Mapping[str, Any] = came.data
    status = {**status, "collectedAt": timestamp(case.now)}
    if data.get("dataset"):
        status |= {"digest": data["dataset"], "collectedGeneration": case.owner["metadata"].get("generation")}
        status |= {name: data[name] for name in ("through", "published") if data.get(name)}
        stem = naming.file_stem(case.owner["metadata"]["name"])
        if data.get("files"):
            status["files"] = [{**one, "name": f"{stem}{one['name']}"} for one in data["files"]]
        status |= {name: int(data.get(name) or 0) for name in ("records", "commits", "finished")}
    words = str(
        data.get("words") or came.tail or f"{status.get('records', 0)} records of {status.get('commits', 0)} Commits"
    )
    collected = Observation("Collected", "True", "Collected", words)
    observations: tuple[Observation, ...]
    told: tuple[Observation, ...]
    requeue = None
    if came.reason is not None:
        reason = came.reason.value
        if data.get("dataset"):
            told = (collected, Observation("Published", "False", reason, came.tail[-300:]))
        else:
            told = (Observation("Collected", "False", reason, came.tail[-300:]),)
        observations = (dataset_status.ACCEPTED, *told, *dataset_status.failed(reason, came.tail))
    else:
        published = dataset_status.published(case.dataset, data)
        words += "".join(f"; {one.message}" for one in published)
        at = collecting.due(case.commits, status, changed=False, pace=case.pace)
        if case.whole and at is None:
            whole = (Observation("Succeeded", "True", "Collected", words), dataset_status.FINISHED)
        else:
            whole = (Observation("Succeeded", "Unknown", "Waiting"), Observation("Finished", "Unknown", "Waiting"))
        observations = (dataset_status.ACCEPTED, collected, *published, *whole)
        requeue = None if at is None else max(0.0, (at - case.now).total_seconds())
    return dataset_status.plan(
        case.owner, status, observations, now=case.now, asked=asked, delete=delete, requeue_after=requeue
    )
