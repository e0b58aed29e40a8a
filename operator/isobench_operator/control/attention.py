"""Which news of the cluster asks for a pass over which custom resource. Pure but for a small memory of who is who.

A cluster tells of every heartbeat of every pod. A pass costs reads, so what changes no decision wakes nobody: a pod that goes on as it
should, a Job that is made or has one pod more, our own writes. A wrong guess here costs time, never truth: the sweep comes anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isobench_operator.cluster.ports import Key, key_of
from isobench_operator.core import naming
from isobench_operator.core.statuses import annotation, condition_status

Json = Mapping[str, Any]
STARTING = frozenset({"", "PodInitializing", "ContainerCreating"})
"""Why a container of a healthy pod waits."""


def wants_a_pass(owner: Json) -> bool:
    """Whether anything may be left to do for a custom resource, by itself alone."""
    metadata, status = owner["metadata"], owner.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return False
    if (owner.get("spec") or {}).get("ttlSecondsAfterFinished") is not None or owner.get("kind") == "Dataset":
        return True
    asked = annotation(owner, naming.RETRY_ANNOTATION)
    return (
        condition_status(status, "Finished") != "True"
        or status.get("observedGeneration") != metadata.get("generation")
        or bool(asked and asked != status.get("observedRetry"))
    )


@dataclass(frozen=True)
class _Owner:
    """What is remembered of a custom resource."""

    key: Key
    spec: tuple[Any, ...]
    labels: tuple[tuple[str, str], ...]
    at_rest: bool


class Attention:
    """Turns events of a watch into passes.

    Args:
        enqueue: asks for a pass now.
        look: asks for a pass after everything that was asked for now.
        follow: asks for a pass over a Dataset whose Commits have changed.
    """

    def __init__(
        self, *, enqueue: Callable[[Key], None], look: Callable[[Key], None], follow: Callable[[Key], None]
    ) -> None:
        self._enqueue, self._look, self._follow = enqueue, look, follow
        self._owners: dict[str, _Owner] = {}
        self._troubled: dict[str, tuple[str, ...]] = {}

    def owner(self, kind: str | None, owner: Json) -> None:
        """A custom resource was listed (None), ADDED, MODIFIED or DELETED."""
        metadata = owner["metadata"]
        key, uid = key_of(dict(owner)), str(metadata["uid"])
        known = self._owners.get(uid)
        if kind == "DELETED":
            self._owners.pop(uid, None)
            self._enqueue(key)
            self._datasets_of(key)
            return
        asked = annotation(owner, naming.RETRY_ANNOTATION)
        new = _Owner(
            key=key,
            spec=(metadata.get("generation"), asked, bool(metadata.get("deletionTimestamp"))),
            labels=tuple(sorted((metadata.get("labels") or {}).items())),
            at_rest=not wants_a_pass(owner),
        )
        self._owners[uid] = new
        if known is None and kind is None:
            if not new.at_rest:
                self._look(key)
        elif known is None or known.spec != new.spec:
            self._enqueue(key)
        if (known is None and kind is not None) or (known is not None and known.labels != new.labels):
            self._datasets_of(key)

    def job(self, kind: str | None, job: Json) -> None:
        """A Job was listed, ADDED, MODIFIED or DELETED."""
        owner = self._owner_of(job)
        if owner is None:
            return
        over = any(
            condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True"
            for condition in (job.get("status") or {}).get("conditions") or ()
        )
        if owner.at_rest and (over or kind == "DELETED"):
            return
        if kind is None:
            self._look(owner.key)
        elif over or kind == "DELETED":
            self._enqueue(owner.key)

    def pod(self, kind: str | None, pod: Json) -> None:
        """A pod was listed, ADDED, MODIFIED or DELETED: only what is wrong with it is news, and that it no longer is."""
        uid = str(pod["metadata"].get("uid"))
        trouble = () if kind == "DELETED" else troubles(pod)
        if trouble == self._troubled.get(uid, ()):
            return
        if trouble:
            self._troubled[uid] = trouble
        else:
            del self._troubled[uid]
        owner = self._owner_of(pod)
        if owner is not None and not owner.at_rest:
            (self._look if kind is None else self._enqueue)(owner.key)

    def _owner_of(self, child: Json) -> _Owner | None:
        # One that is not known yet is listed or told of in a moment, and its pass reads its children.
        return self._owners.get(str((child["metadata"].get("labels") or {}).get(naming.UID_LABEL)))

    def _datasets_of(self, key: Key) -> None:
        if key.kind != "Commit":
            return
        for other in self._owners.values():
            if other.key.kind == "Dataset" and other.key.namespace == key.namespace:
                self._follow(other.key)


def troubles(pod: Json) -> tuple[str, ...]:
    """What keeps a pod from running, in the cluster's words; empty for one that is merely on its way."""
    status = pod.get("status") or {}
    if status.get("phase") not in (None, "Pending", "Running"):
        return ()
    found = [
        str(condition.get("reason"))
        for condition in status.get("conditions") or ()
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
    ]
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        reason = ((container.get("state") or {}).get("waiting") or {}).get("reason") or ""
        if reason not in STARTING:
            found.append(str(reason))
    return tuple(found)
