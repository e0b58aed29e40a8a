"""`KubeCluster`: the Cluster protocol over the API server."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from isobench_operator.cluster.ports import Children, ClusterError, Event, Json, Key, Outdated
from isobench_operator.core import naming
from isobench_runner.contract import cut_bytes

from .api import MANAGER, Api, Conflict, Expired, NotFound, path_of

PAGE = 500
MAX_EVENT_MESSAGE = 1024
_OURS = f"/apis/{naming.API_VERSION}"
_PLURALS = {
    "Commit": (_OURS, "commits"),
    "Dataset": (_OURS, "datasets"),
    "Job": ("/apis/batch/v1", "jobs"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "Pod": ("/api/v1", "pods"),
    "Event": ("/api/v1", "events"),
}


def _path(kind: str, namespace: str | None, *names: str) -> str:
    prefix, plural = _PLURALS[kind]
    return path_of(prefix, namespace, plural, *names)


class KubeCluster:
    """Effects on a cluster.

    Args:
        api: requests.
        instance: this process, in the events that it writes.
    """

    def __init__(self, api: Api, *, instance: str = MANAGER) -> None:
        self._api = api
        self._instance = instance

    async def close(self) -> None:
        """Close every connection."""
        await self._api.close()

    async def ready(self, namespaces: Sequence[str] | None) -> None:
        """Make sure that our kinds can be read.

        Raises:
            ClusterError: the API server does not answer, does not know the kinds, or does not let us read them.
        """
        for kind in ("Commit", "Dataset"):
            for namespace in namespaces or (None,):
                try:
                    await self._api.get(_path(kind, namespace), {"limit": 1})
                except NotFound as error:
                    raise ClusterError(
                        f"the API server knows no {kind} yet; apply the CRDs of the chart (crds.enabled: true)"
                    ) from error

    async def get(self, key: Key) -> Json | None:
        """Read a custom resource, or None where it is gone."""
        try:
            return _known(await self._api.get(_path(key.kind, key.namespace, key.name)), key.kind)
        except NotFound:
            return None

    async def pages(self, kind: str, namespace: str | None = None) -> AsyncIterator[list[Json]]:
        """Every custom resource of a kind, some hundreds at a time; one that changes meanwhile may come twice."""
        query: dict[str, str | int] = {"limit": PAGE}
        while True:
            try:
                page = await self._api.get(_path(kind, namespace), query)
            except Expired:
                if "continue" not in query:
                    raise
                del query["continue"]
                continue
            yield [_known(one, kind) for one in page.get("items") or ()]
            position = (page.get("metadata") or {}).get("continue")
            if not position:
                return
            query["continue"] = position

    async def children(self, owner: Json) -> Children:
        """The Jobs and pods that carry the owner's UID in their labels."""
        namespace = owner["metadata"]["namespace"]
        query = {"labelSelector": f"{naming.UID_LABEL}={owner['metadata']['uid']}"}
        jobs, pods = await asyncio.gather(*(self._api.get(_path(kind, namespace), query) for kind in ("Job", "Pod")))
        if not reported(jobs.get("items") or (), pods.get("items") or ()):
            pods = await self._api.get(_path("Pod", namespace), query)
        return Children(jobs=tuple(jobs.get("items") or ()), pods=tuple(pods.get("items") or ()))

    async def events_about(self, objects: Sequence[Json]) -> tuple[Json, ...]:
        """The core/v1 events about these Jobs and pods."""
        found = await asyncio.gather(
            *(
                self._api.get(
                    _path("Event", one["metadata"]["namespace"]),
                    {"fieldSelector": f"involvedObject.uid={one['metadata']['uid']}", "limit": PAGE},
                )
                for one in objects
            )
        )
        return tuple(event for page in found for event in page.get("items") or ())

    async def create(self, manifest: Json) -> None:
        """Create an object; one of that name that is there already is success. Raises Rejected and HeldBack."""
        try:
            await self._api.post(_path(manifest["kind"], manifest["metadata"]["namespace"]), manifest)
        except Conflict as error:
            if not error.exists:
                raise

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object and what it owns; one that is gone is success."""
        try:
            await self._api.delete(_path(kind, namespace, name))
        except NotFound:
            return

    async def remove(self, owner: Json) -> None:
        """Delete a custom resource as it was read, and what it owns; one that is gone is success.

        Raises:
            Outdated: it was changed or replaced since it was read.
        """
        metadata = owner["metadata"]
        same = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        try:
            await self._api.delete(_path(owner["kind"], metadata["namespace"], metadata["name"]), same)
        except NotFound:
            return
        except Conflict as error:
            raise Outdated(str(error)) from error

    async def suspend(self, job: Json, *, suspend: bool) -> None:
        """Suspend or resume a Job; one that is gone stays so."""
        path = _path("Job", job["metadata"]["namespace"], job["metadata"]["name"])
        try:
            await self._api.merge(path, {"spec": {"suspend": suspend}})
        except NotFound:
            return

    async def stop(self, namespace: str, name: str) -> None:
        """Give a Job no further pod after one that failed; one that is gone is success."""
        try:
            await self._api.merge(_path("Job", namespace, name), {"spec": {"backoffLimit": 0}})
        except NotFound:
            return

    async def apply_status(self, owner: Json, status: Json) -> None:
        """Write the whole status of a custom resource as it was read; one that is gone needs none.

        Raises:
            Outdated: it was changed or replaced since it was read.
        """
        metadata = owner["metadata"]
        # The version keeps a status off an object that is no longer the one it was decided for.
        body = {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "status": status,
        }
        try:
            await self._api.apply(_path(owner["kind"], metadata["namespace"], metadata["name"], "status"), body)
        except NotFound:
            return
        except Conflict as error:
            raise Outdated(str(error)) from error

    async def emit(self, owner: Json, event: Event) -> None:
        """Record an event once, however often and by however many it is asked for."""
        metadata = owner["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": _event_name(owner, event), "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": event.type,
            "reason": event.reason,
            "message": cut_bytes(event.message, MAX_EVENT_MESSAGE),
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": MANAGER},
            "reportingComponent": MANAGER,
            "reportingInstance": self._instance,
        }
        await self.create(body)


def reported(jobs: Sequence[Json], pods: Sequence[Json]) -> bool:
    """Whether every Job that has ended has a pod that has, and none that has not: pods read before their Job could lack its report."""
    over: dict[str, list[bool]] = {}
    for pod in pods:
        for owner in pod["metadata"].get("ownerReferences") or ():
            over.setdefault(owner["uid"], []).append((pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"))
    ended = (job for job in jobs if any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in (job.get("status") or {}).get("conditions") or ()))  # fmt: skip
    return all(all(found) and found for found in (over.get(job["metadata"]["uid"], []) for job in ended))


def _known(item: Json, kind: str) -> Json:
    """An object as decisions read it: items of a list lack their kind, and nobody reads who manages which field."""
    item["metadata"].pop("managedFields", None)
    return {"apiVersion": naming.API_VERSION, "kind": kind, **item}


def _event_name(owner: Json, event: Event) -> str:
    """A name that is the same for the same end of the same object, and another for its next."""
    status = {name: value for name, value in (owner.get("status") or {}).items() if name != "conditions"}
    parts = [owner["metadata"]["uid"], event.type, event.reason, event.message, status]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return f"{owner['metadata']['name'][:200]}.{digest}"
