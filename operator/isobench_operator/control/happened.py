"""What a pass changed, as facts for logs and metrics: stages that ended, conditions that turned, what was spent. Pure.

Everything is read from what was observed and what was written, so nothing is counted twice after a restart: a pass that found the
status as it should be changed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from isobench_operator.core import requests
from isobench_operator.core.observed import JobView, job_views, outcome, parse_time
from isobench_operator.core.progress import STAGES, Progress, Usage
from isobench_operator.core.statuses import condition_status

from .reconciler import Pass

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StageEnd:
    """A Job whose end this pass took in.

    Attributes:
        stage: prepare, generate, base, head, main or collect.
        role: as in the label, with the revision.
        reason: None where it succeeded.
        seconds: from the Job's start to its end; None where the cluster does not say.
        at: when it ended.
    """

    stage: str
    role: str
    attempt: int
    reason: str | None
    tail: str
    seconds: float | None
    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A condition that is other than it was, in status or in reason."""

    type: str
    status: str
    reason: str
    message: str


def stage_of(role: str) -> str:
    """The stage of a role: one word of few."""
    return role if role in ("generate", "base", "head", "main") else role.split("-", 1)[0]


def _before(done: Pass) -> Json:
    return {} if done.observed is None else (done.observed.owner.get("status") or {})


def stage_ends(done: Pass, *, secret: str) -> tuple[StageEnd, ...]:
    """The Jobs whose end this pass took in."""
    if done.observed is None or done.plan.status is None:
        return ()
    owner = done.observed.owner
    found = []
    for job in job_views(done.observed.jobs, done.observed.pods):
        if job.state == "running" or not _taken_in(done, job):
            continue
        ident = requests.job_id(owner, job.role, job.attempt, secret_key=secret)
        came = outcome(job, nonce=ident.nonce)
        raw = next(one for one in done.observed.jobs if one["metadata"]["name"] == job.name)
        started, ended = parse_time(str((raw.get("status") or {}).get("startTime") or "")), ended_at(raw)
        reason = None if came is None or came.reason is None else came.reason.value
        found.append(
            StageEnd(
                stage=stage_of(job.role),
                role=job.role,
                attempt=job.attempt,
                reason=reason,
                tail="" if came is None else came.tail,
                seconds=max(0.0, (ended - started).total_seconds()) if started and ended else None,
                at=ended,
            )
        )
    return tuple(found)


def _taken_in(done: Pass, job: JobView) -> bool:
    before, after = _before(done), done.plan.status or {}
    if done.key.kind == "Dataset":
        # A Dataset's status says `attempt` of `inputs` while it is collected, and the end turns its condition.
        ended = condition_status(after, "Succeeded") != "Unknown"
        return ended and (condition_status(before, "Succeeded") == "Unknown" or before.get("inputs") != after.get("inputs"))  # fmt: skip
    if job.role not in STAGES:
        return False
    old = Progress.from_status(before).stage(job.role)
    return old.attempt == job.attempt and old.state == "Pending" and Progress.from_status(after).stage(job.role) != old


def ended_at(job: Json) -> datetime | None:
    """When a Job ended, by its condition."""
    for one in (job.get("status") or {}).get("conditions") or ():
        if one.get("type") in ("Complete", "Failed") and one.get("status") == "True":
            return parse_time(str(one.get("lastTransitionTime") or ""))
    return None


def turns(done: Pass) -> tuple[Turn, ...]:
    """The conditions that this pass changed."""
    if done.plan.status is None:
        return ()
    old = {one["type"]: (one["status"], one["reason"]) for one in _before(done).get("conditions") or ()}
    return tuple(
        Turn(type=one["type"], status=one["status"], reason=one["reason"], message=one.get("message") or "")
        for one in done.plan.status.get("conditions") or ()
        if old.get(one["type"]) != (one["status"], one["reason"])
    )


def spent(done: Pass) -> Usage:
    """What was added to a Commit's usage."""
    if done.plan.status is None or done.key.kind != "Commit":
        return Usage()
    old, new = Progress.from_status(_before(done)).usage, Progress.from_status(done.plan.status).usage
    return Usage(
        prompt_tokens=max(0, new.prompt_tokens - old.prompt_tokens),
        completion_tokens=max(0, new.completion_tokens - old.completion_tokens),
        usd=max(new.usd - old.usd, Usage().usd),
        gpu_seconds=max(new.gpu_seconds - old.gpu_seconds, Usage().gpu_seconds),
    )
