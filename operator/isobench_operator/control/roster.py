"""Who is who: a few words about every custom resource that was heard of, so that news of a child finds its owner and metrics can count.

It is a cache of news. Decisions read the cluster; what is wrong here costs time until the next sweep, never truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from isobench_operator.cluster.ports import Key, key_of
from isobench_operator.core import naming
from isobench_operator.core.statuses import annotation, condition, condition_status

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is remembered of a custom resource.

    Attributes:
        spec: what users change.
        at_rest: whether nothing is left to do for it by itself.
        succeeded: status and reason of the condition.
        heard: the position of the news it is from.
    """

    key: Key
    spec: tuple[Any, ...]
    labels: tuple[tuple[str, str], ...]
    at_rest: bool
    succeeded: tuple[str, str]
    heard: int


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


class Roster:
    """The custom resources that were heard of, by UID."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._heard = 0

    def known(self) -> Iterable[Known]:
        """All of them."""
        return self._known.values()

    def hear(self, owner: Json) -> tuple[Known | None, Known]:
        """Remember a custom resource; returns what was known of it, and what is now."""
        metadata, uid = owner["metadata"], str(owner["metadata"]["uid"])
        succeeded = condition(owner.get("status") or {}, "Succeeded")
        before = self._known.get(uid)
        deleting = bool(metadata.get("deletionTimestamp"))
        after = self._known[uid] = Known(
            key=key_of(owner),
            spec=(metadata.get("generation"), annotation(owner, naming.RETRY_ANNOTATION), deleting),
            labels=tuple(sorted((metadata.get("labels") or {}).items())),
            at_rest=not wants_a_pass(owner),
            succeeded=(str(succeeded.get("status") or "Unknown"), str(succeeded.get("reason") or "Pending")),
            heard=self._heard,
        )
        return before, after

    def forget(self, uid: str) -> None:
        """Forget one that is gone."""
        self._known.pop(uid, None)

    def owner_of(self, child: Json) -> Known | None:
        """Whose child a Job or pod is; None where that was not heard of yet, and then its own news asks for a pass."""
        return self._known.get(str((child["metadata"].get("labels") or {}).get(naming.UID_LABEL)))

    def datasets(self, namespace: str) -> list[Key]:
        """The Datasets of a namespace."""
        return [one.key for one in self._known.values() if one.key.kind == "Dataset" and one.key.namespace == namespace]

    def mark(self) -> int:
        """A position before everything that is heard of from now on."""
        self._heard += 1
        return self._heard

    def compare(self, existing: AbstractSet[str], *, before: int) -> list[Key]:
        """Forget, and return, what was heard of before the mark and is not among the UIDs that exist: its deletion was missed."""
        gone = {uid: one.key for uid, one in self._known.items() if one.heard < before and uid not in existing}
        for uid in gone:
            self.forget(uid)
        return list(gone.values())
