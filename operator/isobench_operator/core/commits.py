"""The next step of a Commit: fold what has ended into progress, see whether that decides it, else create what may run now.

The rules are in `policies/`; this module only applies them in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from isobench_operator.api.commit import Commit
from isobench_runner.contract import Role

from . import manifests, naming, requests
from .observed import JobView, Outcome, hopeless, job_views, outcome
from .policies import acceptance, conditions, generation, measuring, prepare, retries, troubles
from .progress import STAGES, Progress
from .settings import Settings
from .statuses import annotation, condition, condition_status
from .statuses import conditions as condition_list
from .steps import Deletion, Json, LastChance, Notice, Observed, Plan, Suspension
from .terms import Terms

Trouble = troubles.Trouble
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
    suspended = commit.spec.suspend
    waits = _Waits() if suspended else _waits(observed, commit, progress, jobs, now=now, settings=settings)
    progress = _fold(progress, jobs, waits, observed=observed, terms=terms, settings=settings)
    ended = conditions.end(progress, terms)
    if ended is not None:
        progress = retries.cancel(progress, frozenset(_under_way(progress, jobs)))
    create = (
        () if suspended or ended is not None else _create(owner, commit, progress, jobs, terms=terms, settings=settings)
    )
    observations = conditions.observations(
        progress, terms, ended=ended, suspended=suspended, troubles=waits.of(progress)
    )
    suspend = () if ended is not None else _suspend(observed, progress, jobs, suspended=suspended)
    return _plan(
        owner, progress, observations, now=now, create=create, delete=_left_over(progress, jobs), suspend=suspend,
        stop=tuple(LastChance(job.namespace, job.name) for job in _under_way(progress, jobs).values() if hopeless(job)),
        warning=waits.warning(progress, observations) if ended is None else None,
        requeue_after=waits.again,
    )  # fmt: skip


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


def _left_over(progress: Progress, jobs: Jobs) -> tuple[Deletion, ...]:
    """Jobs that still run and that nobody waits for: their stage has ended, or counts a later attempt."""
    return tuple(
        Deletion(job.namespace, job.name)
        for (role, attempt), job in jobs.items()
        if job.state == "running" and not job.deleting and role in STAGES
        and ((stage := progress.stage(role)).attempt > attempt or (stage.attempt == attempt and stage.state != "Pending"))
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Waits:
    """What keeps the Jobs that should run from running.

    Attributes:
        found: by stage and attempt.
        over: those that have lasted too long.
        again: seconds until the next one has.
    """

    found: Mapping[tuple[str, int], Trouble] = field(default_factory=dict)
    over: frozenset[tuple[str, int]] = frozenset()
    again: float | None = None

    def of(self, progress: Progress) -> dict[str, Trouble]:
        """Of the stages that still wait."""
        return {
            name: trouble
            for (name, attempt), trouble in self.found.items()
            if (stage := progress.stage(name)).state == "Pending" and stage.attempt == attempt
        }

    def warning(self, progress: Progress, observations: tuple[conditions.Observation, ...]) -> Notice | None:
        """What somebody has to be told, if the summary says it."""
        succeeded = next(one for one in observations if one.type == "Succeeded")
        for trouble in self.of(progress).values():
            if trouble.warns and trouble.word == succeeded.reason:
                return Notice("Warning", trouble.word, succeeded.message)
        return None


def _waits(
    observed: Observed, commit: Commit, progress: Progress, jobs: Jobs, *, now: datetime, settings: Settings
) -> _Waits:
    found: dict[tuple[str, int], Trouble] = {}
    required = commit.spec.environment.requires.words()
    for name, job in _under_way(progress, jobs).items():
        trouble = troubles.find(job, observed.events, required=required if name in _ROLES else "")
        if trouble is not None:
            found[name, job.attempt] = trouble
    for name in STAGES:
        attempt = progress.stage(name).attempt
        ident = requests.job_id(observed.owner, name, attempt, secret_key=settings.secret)
        if ident.name in observed.held:
            found[name, attempt] = troubles.held(observed.held[ident.name])
    left = {key: trouble.left(now, bound=settings.waiting_seconds) for key, trouble in found.items()}
    untold = {key: trouble.untold(now) for key, trouble in found.items()}
    ahead = [seconds for seconds in (*left.values(), *untold.values()) if seconds is not None and seconds > 0]
    return _Waits(
        found={key: trouble for key, trouble in found.items() if untold[key] == 0},
        over=frozenset(key for key, seconds in left.items() if seconds is not None and seconds <= 0),
        again=min(ahead, default=None),
    )


def _fold(
    progress: Progress, jobs: Jobs, waits: _Waits, *, observed: Observed, terms: Terms, settings: Settings
) -> Progress:
    """Take in every Job that has ended, or never came to run, and is not taken in yet; one end may make another attempt count, so until none is left."""
    folded = True
    while folded:
        folded = False
        for name in STAGES:
            stage = progress.stage(name)
            if stage.state != "Pending":
                continue
            job = jobs.get((name, stage.attempt))
            over = (name, stage.attempt) in waits.over
            if not observed.rejected and not over and (job is None or job.state == "running"):
                continue
            ident = requests.job_id(observed.owner, name, stage.attempt, secret_key=settings.secret)
            came: Outcome | None = None
            if ident.name in observed.rejected:
                words = observed.rejected[ident.name]
                came = Outcome(reason=troubles.rejected(words), tail=words)
            elif over:
                trouble = waits.found[name, stage.attempt]
                came = Outcome(reason=trouble.reason, tail=trouble.message)
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
        if job.suspended != suspended and (suspended or not job.queue)
    )


def _plan(
    owner: Json,
    progress: Progress,
    observations: tuple[conditions.Observation, ...],
    *,
    now: datetime,
    warning: Notice | None = None,
    **steps: Any,
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
    # Once per trouble: the summary names it from the pass that tells of it on.
    told = str(condition(before, "Succeeded").get("reason"))
    events: tuple[Notice, ...] = () if warning is None or warning.reason == told else (warning,)
    if finished and turned:
        succeeded = by_type["Succeeded"]
        kind: Literal["Normal", "Warning"] = "Normal" if succeeded.status == "True" else "Warning"
        events = (Notice(kind, succeeded.reason, succeeded.message),)
    return Plan(status=None if status == before else status, events=events, finished=finished, turned=turned, **steps)
