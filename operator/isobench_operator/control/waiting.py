"""Which Jobs wait for something without a word: whose events are worth a question, and when to look again.

A pod that cannot be made, placed or started changes little or nothing of its own, so no watch tells of it. Asking costs one request per
object, so only what stands still for a while is asked about, and the longer it stands the more seldom it is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from isobench_operator.cluster.ports import Json
from isobench_operator.core.observed import parse_time

PATIENCE_SECONDS = 10.0
"""A pod that is placed and whose images are there starts within a few seconds."""
MOST_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What stands still.

    Attributes:
        objects: Jobs without a pod and pods without a running container that have been so for longer than is usual.
        again: seconds until the next look; None where nothing waits.
    """

    objects: tuple[Json, ...] = ()
    again: float | None = None


def waiting(jobs: Sequence[Json], pods: Iterable[Json], now: datetime) -> Waiting:
    """What stands still among the Jobs of one custom resource.

    Args:
        jobs: of one owner.
        pods: of these Jobs.
        now: an aware time.
    """
    by_job: dict[str, list[Json]] = {}
    for pod in pods:
        for reference in pod["metadata"].get("ownerReferences") or ():
            by_job.setdefault(str(reference.get("uid")), []).append(pod)
    still: list[tuple[Json, float]] = []
    for job in jobs:
        if _ended(job) or (job.get("spec") or {}).get("suspend") or job["metadata"].get("deletionTimestamp"):
            continue
        active = [pod for pod in by_job.get(str(job["metadata"].get("uid")), ()) if not _over(pod)]
        found = [pod for pod in active if not _runs(pod)] if active else [job]
        still += [(one, age) for one in found if (age := _age(one, now)) is not None]
    if not still:
        return Waiting()
    youngest = min(age for _, age in still)
    return Waiting(
        objects=tuple(one for one, age in still if age >= PATIENCE_SECONDS),
        again=min(MOST_SECONDS, max(PATIENCE_SECONDS, youngest / 2)),
    )


def _ended(job: Json) -> bool:
    return any(
        condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True"
        for condition in (job.get("status") or {}).get("conditions") or ()
    )


def _over(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") or bool(
        pod["metadata"].get("deletionTimestamp")
    )


def _runs(pod: Json) -> bool:
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return any((container.get("state") or {}).get("running") for container in containers)


def _age(one: Json, now: datetime) -> float | None:
    """Seconds since it could have begun; None where the cluster says no time."""
    started = (one.get("status") or {}).get("startTime") or one["metadata"].get("creationTimestamp")
    at = parse_time(started) if started else None
    return None if at is None else max(0.0, (now - at).total_seconds())
