"""`EmbeddedCluster`: the Cluster protocol on one machine, with everything it knows in one folder.

Custom resources, Jobs and events live in memory and are written through, so that another process can go on where this one was
killed. Jobs are run by `controller.JobController`.
"""

from __future__ import annotations

import asyncio
import copy
import ctypes
import json
import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from isobench_operator.cluster.ports import Children, ClusterError, Event, Key, Rejected
from isobench_operator.cluster.sandbox import Isolation

from . import jobs, resources
from .controller import Backoff, JobController
from .folders import Places
from .gate import Gate
from .messages import timestamp
from .pods import Machine
from .private import MEMORY, PrivateFolder
from .state import Folder, JobRecord, write_atomic, writing

Json = dict[str, Any]
_SET_DUMPABLE = 4
"""prctl(2): with 0, no other process of this user reads this one's memory or environment, where keys may be."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EmbeddedCluster:
    """A cluster of one machine; an asynchronous context manager, used from one event loop.

    Args:
        directory: the output folder: `status/`, `jobs/`, `artifacts/`, `events.jsonl`.
        config_maps: data of the ConfigMaps that the manifests on disk had, by name.
        secrets: the same of Secrets; kept in memory and, while a pod that mounts one runs, in a private folder in memory.
        cache: the user's cache: `envs/`, `mirrors/`, `pip/`.
        isolation: as `sandbox.detect()` found it.
        parallelism: pods at once.
        on_change: called in the loop with the key of a custom resource when it, one of its Jobs or their pods changed.
        environ: the environment of which containers get an allow-listed part; default: this process's.
        backoff: delays after failed pods.
        now: the time, aware.
    """

    def __init__(
        self,
        directory: Path,
        *,
        config_maps: Mapping[str, Mapping[str, str]],
        secrets: Mapping[str, Mapping[str, str]],
        cache: Path,
        isolation: Isolation,
        parallelism: int,
        on_change: Callable[[Key], None],
        environ: Mapping[str, str] | None = None,
        backoff: Backoff | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._folder = Folder(Path(os.path.abspath(directory)))  # noqa: PTH100 - resolve() would need it to exist
        self._config_maps = {name: dict(data) for name, data in config_maps.items()}
        self._secrets = secrets
        self._cache = Path(os.path.abspath(cache))  # noqa: PTH100
        self._isolation = isolation
        self._gate = Gate(parallelism)
        self._on_change = on_change
        self._environ = dict(os.environ if environ is None else environ)
        self._backoff = backoff or Backoff()
        self._now = now
        self._resources: dict[Key, Json] = {}
        self._controllers: dict[str, JobController] = {}
        self._machine: Machine | None = None
        self._private: PrivateFolder | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Lock the folder, read what is there, go on with Jobs that have not ended.

        Raises:
            ClusterError: the folder is in use, cannot be written, or holds a custom resource that does not parse.
        """
        self._folder.open()
        try:
            ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
            self._machine = Machine(
                places=self._places(),
                isolation=self._isolation,
                node=socket.gethostname(),
                user=self._environ,
                now=self._now,
            )
            for resource in self._folder.resources():
                self._resources[resources.key_of(resource)] = resource
            for config_map in self._folder.config_maps():
                self._config_maps[config_map["metadata"]["name"]] = dict(config_map.get("data") or {})
            for record in await asyncio.to_thread(lambda: list(self._folder.records())):
                self._adopt(record)
        except BaseException:
            await self.close()
            raise

    def _places(self) -> Places:
        directory = self._folder.path
        shared = {
            name: self._cache / folder
            for name, folder in (("environments", "envs"), ("mirrors", "mirrors"), ("pip", "pip"))
        }
        with writing(self._cache):
            for folder in shared.values():
                folder.mkdir(parents=True, exist_ok=True)
        with writing(MEMORY):
            self._private = PrivateFolder()
        own = {"store": self._folder.artifacts, "status": self._folder.status, "dataset": directory}
        return Places(
            directory=directory,
            shared=shared | own,
            secrets=self._private.path,
            config_maps=self._config_maps,
            secret_values=self._secrets,
        )

    async def close(self) -> None:
        """End every process and let go of the folder; what was running starts again the next time, without counting."""
        await asyncio.gather(*(controller.stop() for controller in self._controllers.values()))
        self._controllers.clear()
        self._machine = None
        if self._private is not None:
            self._private.close()
            self._private = None
        self._folder.close()

    def _running(self) -> Machine:
        if self._machine is None:
            raise ClusterError(f"the runtime on {self._folder.path} is not started, or closed")
        trouble = next((one.trouble for one in self._controllers.values() if one.trouble), None)
        if trouble:
            raise ClusterError(trouble)
        return self._machine

    def _adopt(self, record: JobRecord) -> None:
        assert self._machine is not None
        controller = JobController(
            record,
            machine=self._machine,
            gate=self._gate,
            backoff=self._backoff,
            changed=lambda: self._changed(record.job),
        )
        self._controllers[record.name] = controller
        controller.start()

    def _changed(self, job: Json) -> None:
        for owner in job["metadata"].get("ownerReferences") or ():
            self._on_change(Key(owner["kind"], job["metadata"].get("namespace") or "default", owner["name"]))

    async def apply(self, manifest: Json) -> Json:
        """Create or change a custom resource as `kubectl apply` would; its status is never taken from the manifest.

        Raises:
            Rejected: the name is taken in another namespace, or the spec of an accepted Commit would change.
        """
        self._running()
        key = resources.key_of(manifest)
        path = self._folder.resource_path(key)
        if any(self._folder.resource_path(other) == path for other in self._resources if other != key):
            raise Rejected(f"{key.kind} {key.name} exists in another namespace; names are unique here")
        old = self._resources.get(key)
        new = (
            resources.created(key, manifest, uid=str(uuid.uuid4()), at=timestamp(self._now()))
            if old is None
            else resources.changed(key, old, manifest)
        )
        if new != old:
            self._folder.write_resource(key, new)
            self._resources[key] = new
            self._on_change(key)
        return copy.deepcopy(new)

    async def get(self, key: Key) -> Json | None:
        """Read a custom resource, or None where it is gone."""
        self._running()
        return copy.deepcopy(self._resources.get(key))

    async def pages(self, kind: str, namespace: str | None = None) -> AsyncIterator[list[Json]]:
        """Every custom resource of a kind, in one page."""
        self._running()
        yield [
            copy.deepcopy(resource)
            for key, resource in sorted(self._resources.items())
            if key.kind == kind and namespace in (None, key.namespace)
        ]

    async def children(self, owner: Json) -> Children:
        """The Jobs of a custom resource, and their pods."""
        self._running()
        uid = owner["metadata"]["uid"]
        records = [one.record for _, one in sorted(self._controllers.items()) if resources.belongs(one.record.job, uid)]
        return Children(
            jobs=tuple(copy.deepcopy(record.job) for record in records),
            pods=tuple(copy.deepcopy(pod) for record in records for pod in record.pods),
        )

    async def events_about(self, objects: Sequence[Json]) -> tuple[Json, ...]:  # noqa: ARG002
        """None: here a Job waits for its turn alone."""
        return ()

    async def create(self, manifest: Json) -> None:
        """Create a Job, a ConfigMap or a custom resource; one of that name that is there already is success."""
        self._running()
        name = manifest["metadata"]["name"]
        match manifest["kind"]:
            case "Job":
                if name not in self._controllers:
                    self._create_job(manifest)
            case "ConfigMap":
                if name not in self._config_maps:
                    path = self._folder.config_map_path(name)
                    with writing(path):
                        write_atomic(path, json.dumps(manifest).encode())
                    self._config_maps[name] = dict(manifest.get("data") or {})
            case _:
                if resources.key_of(manifest) not in self._resources:
                    await self.apply(manifest)

    def _create_job(self, manifest: Json) -> None:
        jobs.validate(manifest)
        job = copy.deepcopy(manifest)
        job["metadata"].setdefault("namespace", "default")
        job["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp(self._now()), "generation": 1}
        job["status"] = {"active": 0, "succeeded": 0, "failed": 0, "conditions": []}
        record = JobRecord(job, self._folder.jobs / job["metadata"]["name"])
        with writing(record.folder):
            record.save()
        self._adopt(record)
        self._changed(job)

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object and what it owns, its processes first; one that is gone is success."""
        self._running()
        if kind == "Job":
            controller = self._controllers.pop(name, None)
            if controller is not None:
                await controller.remove()
                self._changed(controller.record.job)
        elif kind == "ConfigMap":
            self._config_maps.pop(name, None)
            with writing(self._folder.path):
                self._folder.config_map_path(name).unlink(missing_ok=True)
        elif (resource := self._resources.pop(Key(kind, namespace, name), None)) is not None:
            key = Key(kind, namespace, name)
            with writing(self._folder.status):
                self._folder.resource_path(key).unlink(missing_ok=True)
            uid = resource["metadata"]["uid"]
            for job in [one for one, held in self._controllers.items() if resources.belongs(held.record.job, uid)]:
                await self.delete("Job", namespace, job)
            self._on_change(key)

    async def remove(self, owner: Json) -> None:
        """Delete a custom resource, and what it owns."""
        await self.delete(*resources.key_of(owner))

    async def suspend(self, job: Json, *, suspend: bool) -> None:
        """Suspend a Job, whose pod is killed and does not count, or resume it; one that has ended stays as it is."""
        self._running()
        controller = self._controllers.get(job["metadata"]["name"])
        if controller is not None:
            await controller.suspend(suspend=suspend)

    async def stop(self, namespace: str, name: str) -> None:  # noqa: ARG002 - there is one namespace
        """Give a Job no further pod after one that failed; one that is gone is success."""
        self._running()
        controller = self._controllers.get(name)
        if controller is not None:
            controller.give_no_further_pod()

    async def apply_status(self, owner: Json, status: Json) -> None:
        """Write the whole status of a custom resource as it was read; one that is gone needs none."""
        self._running()
        key = resources.key_of(owner)
        resource = self._resources.get(key)
        if (
            resource is None
            or resource["metadata"]["uid"] != owner["metadata"]["uid"]
            or resource.get("status") == status
        ):
            return
        new = {**resource, "status": copy.deepcopy(status)}
        self._folder.write_resource(key, new)
        self._resources[key] = new
        self._on_change(key)

    async def emit(self, owner: Json, event: Event) -> None:
        """Record an event in events.jsonl."""
        self._running()
        self._folder.append_event(resources.key_of(owner), event, timestamp(self._now()))
