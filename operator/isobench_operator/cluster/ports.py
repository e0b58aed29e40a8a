"""What control needs of a cluster: the one Protocol behind which effects live (`kube.py` on a cluster, `embedded.py` on a laptop).

Objects are plain dicts in the API server's JSON. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

Json = dict[str, Any]


class Key(NamedTuple):
    """The identity of a custom resource; also what the queue holds."""

    kind: str
    namespace: str
    name: str


def key_of(owner: Mapping[str, Any]) -> Key:
    """The key of a custom resource."""
    metadata = owner["metadata"]
    return Key(owner["kind"], metadata.get("namespace") or "", metadata["name"])


@dataclass(frozen=True)
class Event:
    """An event on a custom resource: a Warning where a human must act, a Normal one at the end."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Children:
    """What belongs to one custom resource: its Jobs, and the pods of those Jobs."""

    jobs: tuple[Json, ...] = ()
    pods: tuple[Json, ...] = ()


class ClusterError(Exception):
    """The cluster did not do what it was asked; trying again later is right."""


class Rejected(ClusterError):  # noqa: N818 - named after the event, as the API server words it
    """The cluster refused an object for good (admission, validation); the message says why."""


class HeldBack(ClusterError):  # noqa: N818 - named after the event
    """The cluster does not take an object for now (a quota is used up); the message says why, and waiting may cure it."""


class Outdated(ClusterError):  # noqa: N818 - named after the event
    """A custom resource was changed or replaced since it was read: what was decided of it may be another's, so it is read again."""


class Cluster(Protocol):
    """Effects. Every method may raise ClusterError."""

    async def get(self, key: Key) -> Json | None:
        """Read a custom resource, or None where it is gone."""

    def pages(self, kind: str, namespace: str | None = None) -> AsyncIterator[list[Json]]:
        """Every custom resource of a kind, some hundreds at a time; one that changes meanwhile may come twice."""

    async def children(self, owner: Json) -> Children:
        """The Jobs and pods that carry the owner's UID in their labels; the pods no older than the Jobs."""

    async def events_about(self, objects: Sequence[Json]) -> tuple[Json, ...]:
        """The core/v1 events about these Jobs and pods: why one of them does not come to run."""

    async def create(self, manifest: Json) -> None:
        """Create a Job or ConfigMap; one of that name that is there already is success. Raises Rejected and HeldBack."""

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object and what it owns; one that is gone is success."""

    async def remove(self, owner: Json) -> None:
        """Delete a custom resource as it was read, and what it owns; one that is gone is success.

        Raises:
            Outdated: it was changed or replaced since it was read.
        """

    async def suspend(self, job: Json, *, suspend: bool) -> None:
        """Suspend or resume a Job."""

    async def stop(self, namespace: str, name: str) -> None:
        """Give a Job no further pod after one that failed; one that is gone is success."""

    async def apply_status(self, owner: Json, status: Json) -> None:
        """Write the whole status of a custom resource as it was read; one that is gone needs none.

        Raises:
            Outdated: it was changed or replaced since it was read.
        """

    async def emit(self, owner: Json, event: Event) -> None:
        """Record an event on a custom resource, whose status is the one that the event is about."""
