"""The next step of a Commit: fold what has ended into progress, see whether that decides it, else create what may run now.

The rules are in `policies/`; this module only applies them in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from isobench_operator.api.commit import Commit
from isobench_runner.contract import Reason, Role

from . import manifests, naming, requests
from .observed import JobView, Outcome, job_views, outcome
from .policies import acceptance, conditions, generation, measuring, prepare, retries
from .progress import STAGES, Progress
from .settings import Settings
from .statuses import annotation, condition_status
from .statuses import conditions as condition_list
from .steps import Deletion, Json, Notice, Observed, Plan, Suspension
from .terms import Terms

Jobs = Mapping[tuple[str, int], JobView]
_ROLES: dict[str, Role] = {"base": "base", "head": "head", "main": "main"}


def decide_commit(observed: Observed, now: datetime, settings: Settings) -> Plan:
    """The next step of one Commit."""
    owner, status = observed.owner, observed.owner.get("status") or {}
    asked = annotation(owner, naming.RETRY_ANNOTATION)
    if _at_rest(owner, status, asked):
        return Plan(finished=True, delete=_running(observed, settings))
    progress = Progress.from_status(status)
    try:
        commit = acceptance.accept(Commit, owner, settings)
    except acceptance.NotAcceptedError as error:
        refused = conditions.refused(error.reason, str(error))
        return _plan(owner, replace(progress, retry=asked), refused, now=now, delete=_running(observed, settings))
    terms = requests.terms(commit, incomparable=settings.incomparable_retries)
    if asked and asked != progress.retry and condition_status(status, "Finished") == "True":
        progress = retries.reopen(progress, terms, annotation=asked)
    jobs = {(job.role, job.attempt): job for job in job_views(observed.jobs, observed.pods)}
    progress = _fold(progress, jobs, observed=observed, terms=terms, settings=settings)
    ended = conditions.end(progress, terms)
    delete: tuple[Deletion, ...] = ()
    if ended is not None:
        under_way = _under_way(progress, jobs)
        progress = retries.cancel(progress, frozenset(under_way))
        delete = tuple(Deletion(job.namespace, job.name) for job in under_way.values() if not job.deleting)
    suspended = commit.spec.suspend
    create = (
        () if suspended or ended is not None else _create(owner, commit, progress, jobs, terms=terms, settings=settings)
    )
    observations = conditions.observations(progress, terms, ended=ended, suspended=suspended)
    suspend = () if ended is not None else _suspend(observed, progress, jobs, suspended=suspended)
    return _plan(owner, progress, observations, now=now, create=create, delete=delete, suspend=suspend)


def _at_rest(owner: Json, status: Json, asked: str) -> bool:
    """Whether nothing can change any more: finished, for this spec, with no retry asked for since."""
    return (
        condition_status(status, "Finished") == "True"
        and status.get("observedGeneration") == owner["metadata"].get("generation")
        and (not asked or asked == status.get("observedRetry"))
    )


def _running(observed: Observed, settings: Settings) -> tuple[Deletion, ...]:
    """Jobs that still run although the Commit is decided: a deletion that an earlier pass did not get through.

    None in a namespace that is not, or no longer, prepared: nothing may be deleted there, and a refusal would hold up the status.
    """
    if settings.namespaces is not None and observed.owner["metadata"].get("namespace") not in settings.namespaces:
        return ()
    views = job_views(observed.jobs, ())
    return tuple(Deletion(job.namespace, job.name) for job in views if job.state == "running" and not job.deleting)


def _under_way(progress: Progress, jobs: Jobs) -> dict[str, JobView]:
    found = {}
    for name in STAGES:
        stage = progress.stage(name)
        job = jobs.get((name, stage.attempt))
        if stage.state == "Pending" and job is not None and job.state == "running":
            found[name] = job
    return found


def _fold(progress: Progress, jobs: Jobs, *, observed: Observed, terms: Terms, settings: Settings) -> Progress:
    """Take in every Job that has ended and is not taken in yet; one end may make another attempt count, so until none is left."""
    folded = True
    while folded:
        folded = False
        for name in STAGES:
            stage = progress.stage(name)
            if stage.state != "Pending":
                continue
            job = jobs.get((name, stage.attempt))
            if not observed.rejected and (job is None or job.state == "running"):
                continue
            ident = requests.job_id(observed.owner, name, stage.attempt, secret_key=settings.secret)
            came: Outcome | None = None
            if ident.name in observed.rejected:
                came = Outcome(reason=Reason.SPEC_INVALID, tail=observed.rejected[ident.name])
            elif job is not None:
                came = outcome(job, nonce=ident.nonce)
            if came is not None:
                progress, folded = _fold_one(progress, name, came, terms), True
        progress = prepare.settle_main(progress, terms)
    return progress


def _fold_one(progress: Progress, name: str, came: Outcome, terms: Terms) -> Progress:
    if name.startswith("prepare-"):
        return prepare.fold(progress, name.removeprefix("prepare-"), came, generated=terms.generated)
    if name == "generate":
        return generation.fold(progress, came)
    return measuring.fold(progress, name, came, terms)


def _create(
    owner: Json, commit: Commit, progress: Progress, jobs: Jobs, *, terms: Terms, settings: Settings
) -> tuple[Json, ...]:
    found = []
    for name in measuring.wanted(progress, terms):
        attempt = progress.stage(name).attempt
        if (name, attempt) in jobs:
            continue
        ident = requests.job_id(owner, name, attempt, secret_key=settings.secret)
        if name.startswith("prepare-"):
            revision = _ROLES[name.removeprefix("prepare-")]
            built = manifests.prepare_job(owner, commit, progress, ident, revision=revision, settings=settings.pods)
        elif name == "generate":
            built = manifests.generate_job(owner, commit, progress, ident, allowed=terms, settings=settings.pods)
        else:
            built = manifests.measure_job(owner, commit, progress, ident, role=_ROLES[name], settings=settings.pods)
        found.append(built)
    return tuple(found)


def _suspend(observed: Observed, progress: Progress, jobs: Jobs, *, suspended: bool) -> tuple[Suspension, ...]:
    """Running Jobs follow the spec, but a Job under Kueue is resumed by Kueue alone."""
    raw = {job["metadata"]["name"]: job for job in observed.jobs}
    return tuple(
        Suspension(raw[job.name], suspended)
        for job in _under_way(progress, jobs).values()
        if job.suspended != suspended and (suspended or not job.queued)
    )


def _plan(
    owner: Json, progress: Progress, observations: tuple[conditions.Observation, ...], *, now: datetime, **steps: Any
) -> Plan:
    before: Json = owner.get("status") or {}
    generation_ = owner["metadata"].get("generation")
    status: Json = {
        "observedGeneration": generation_,
        "conditions": condition_list(before.get("conditions") or (), observations, now=now, generation=generation_),
        **progress.to_status(),
    }
    status = {key: value for key, value in status.items() if value is not None}
    by_type = {one.type: one for one in observations}
    finished = by_type["Finished"].status == "True"
    turned = finished != (condition_status(before, "Finished") == "True")
    events: tuple[Notice, ...] = ()
    if finished and turned:
        succeeded = by_type["Succeeded"]
        kind: Literal["Normal", "Warning"] = "Normal" if succeeded.status == "True" else "Warning"
        events = (Notice(kind, succeeded.reason, succeeded.message),)
    return Plan(status=None if status == before else status, events=events, finished=finished, turned=turned, **steps)
