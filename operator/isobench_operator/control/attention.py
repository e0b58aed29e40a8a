"""Which news of the cluster asks for a pass over which custom resource.

A cluster tells of every heartbeat of every pod. A pass costs reads, so what changes no decision wakes nobody: a pod that goes on as it
should, a Job that is made or has one pod more, our own writes. A wrong guess here costs time, never truth: the sweep comes anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from isobench_operator.cluster.ports import Key, key_of
from isobench_operator.core import naming
from isobench_operator.core.policies.troubles import PULLING, STARTING

from .roster import Roster

Json = Mapping[str, Any]


class Passes(Protocol):
    """Where passes are asked for: the loop."""

    def enqueue(self, key: Key, *, first: bool = False) -> None:
        """Ask for a pass now; `first` before those whose news can wait."""

    def look(self, key: Key) -> None:
        """Ask for a pass after everything that was asked for now."""

    def follow(self, dataset: Key) -> None:
        """Ask for a pass over a Dataset whose Commits have changed."""


class Attention:
    """Turns events of a watch into passes. The type of an event is ADDED, MODIFIED, DELETED, or None where it was merely listed."""

    def __init__(self, passes: Passes, roster: Roster) -> None:
        self._passes = passes
        self._roster = roster
        self._troubled: dict[str, tuple[str, ...]] = {}

    def owner(self, kind: str | None, owner: Json) -> None:
        """An event of a custom resource."""
        if kind == "DELETED":
            self._roster.forget(str(owner["metadata"]["uid"]))
            key = key_of(owner)
            self._passes.enqueue(key)
            self._tell_datasets(key)
            return
        before, after = self._roster.hear(owner)
        if before is None and kind is None:
            if not after.at_rest:
                self._passes.look(after.key)
        elif before is None or before.spec != after.spec:
            self._passes.enqueue(after.key)
        if (before is None and kind is not None) or (before is not None and before.labels != after.labels):
            self._tell_datasets(after.key)

    def job(self, kind: str | None, job: Json) -> None:
        """An event of a Job: its end is news, that it is gone, and that Kueue has let it begin."""
        owner = self._roster.owner_of(job)
        if owner is None:
            return
        over = kind == "DELETED" or any(
            one.get("type") in ("Complete", "Failed") and one.get("status") == "True"
            for one in (job.get("status") or {}).get("conditions") or ()
        )
        if owner.at_rest and over:
            return
        if kind is None:
            self._passes.look(owner.key)
        elif over or _let_in(job):
            self._begun(owner.key)

    def pod(self, kind: str | None, pod: Json) -> None:
        """An event of a pod: what is wrong with it is news, and that it no longer is."""
        uid = str(pod["metadata"].get("uid"))
        trouble = () if kind == "DELETED" else troubles(pod)
        if trouble == self._troubled.get(uid, ()):
            return
        if trouble:
            self._troubled[uid] = trouble
        else:
            del self._troubled[uid]
        owner = self._roster.owner_of(pod)
        if owner is not None and not owner.at_rest:
            (self._passes.look if kind is None else self._begun)(owner.key)

    def _begun(self, key: Key) -> None:
        """What has begun goes before what is yet to begin: a thousand new Commits delay nobody's status."""
        self._passes.enqueue(key, first=True)

    def _tell_datasets(self, key: Key) -> None:
        if key.kind == "Commit":
            for dataset in self._roster.datasets(key.namespace):
                self._passes.follow(dataset)


def _let_in(job: Json) -> bool:
    """Whether a Job under Kueue may run and has no pod yet: if none comes, nothing more is told of it."""
    queued = naming.QUEUE_LABEL in (job["metadata"].get("labels") or {})
    return queued and not (job.get("spec") or {}).get("suspend") and not (job.get("status") or {}).get("active")


def troubles(pod: Json) -> tuple[str, ...]:
    """What keeps a pod from running, in a few words, or ended it before its report; empty for one that is merely on its way."""
    status = pod.get("status") or {}
    if status.get("phase") == "Failed":
        ended = [(one.get("state") or {}).get("terminated") or {} for one in status.get("initContainerStatuses") or ()]
        return tuple(
            filter(None, (status.get("reason"), *(str(one.get("reason")) for one in ended if one.get("exitCode"))))
        )
    if status.get("phase") not in (None, "Pending", "Running"):
        return ()
    found = [
        str(one.get("reason"))
        for one in status.get("conditions") or ()
        if one.get("type") == "PodScheduled" and one.get("status") == "False"
    ]
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        reason = ((container.get("state") or {}).get("waiting") or {}).get("reason") or ""
        if reason not in STARTING:
            # One word for the two between which an image that does not come goes back and forth.
            found.append("ImagePull" if reason in PULLING else str(reason))
    return tuple(found)
