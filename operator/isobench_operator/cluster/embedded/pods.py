"""One pod attempt: its containers in Kubernetes' order, each with its folders, variables and sandbox, and its status as the kubelet
writes it.

What a pod's end means for its Job is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import errno
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from isobench_operator.cluster.ports import ClusterError
from isobench_operator.cluster.sandbox import Isolation, View, command

from . import jobs, variables
from .folders import Binds, Places, PodFolders, hand_over
from .locks import KeyLocks
from .messages import log_tail, read_message, timestamp
from .process import Command, Ended, base_interpreter, interpreter_folders, run
from .state import trouble

Json = dict[str, Any]
UNTRUSTED_LIMITS = {"nproc": 4096, "nofile": 8192, "core": 0, "fsize": 16 << 30}
"""rlimits of untrusted containers: as many threads as a BLAS on a large host starts, and no file larger than any wheel."""
_PYTHON = ("python", "python3")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What pods have in common on this machine.

    Attributes:
        user: the environment of the process, of which containers get what `variables` allows.
        now: the time, for status.
    """

    places: Places
    isolation: Isolation
    node: str
    user: Mapping[str, str] = field(repr=False)
    now: Callable[[], datetime]


class _ContainerError(Exception):
    """A container could not be made; carries the kubelet's word and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PodRun:
    """Runs one pod to its end.

    Args:
        job: its Job.
        pod: as `jobs.new_pod` makes it; its status is kept up to date in place.
        root: the pod's folder, ISOBENCH_ROOT.
    """

    def __init__(self, job: Json, pod: Json, *, root: Path, machine: Machine) -> None:
        self.pod = pod
        self._job = job
        self._machine = machine
        self._folders = PodFolders(pod, root=root, places=machine.places)
        self._root = root
        self._locks = KeyLocks()
        self._untrusted = jobs.untrusted(job)
        self._offline = jobs.offline(job)
        self._grace = float(pod["spec"].get("terminationGracePeriodSeconds", jobs.DEFAULT_GRACE_SECONDS))
        self._deadline: asyncio.Timeout | None = None
        self._began = 0.0

    def _now(self) -> str:
        return timestamp(self._machine.now())

    async def run(self, *, seconds: float | None) -> None:
        """Run to the end, whatever it is; the pod's status says what happened.

        Args:
            seconds: what is left of the pod's and its Job's deadlines.

        Raises:
            asyncio.CancelledError: after all of its processes have ended.
        """
        status = self.pod["status"]
        status["startTime"] = self._now()
        status["phase"] = "Running"
        try:
            async with asyncio.timeout(seconds) as self._deadline:
                await self._attempt()
        except TimeoutError:
            status["phase"] = "Failed"
            status["reason"] = "DeadlineExceeded"
            status["message"] = "Pod was active on the node longer than the specified deadline"
        finally:
            self._locks.release()
            self._folders.close()

    async def _attempt(self) -> None:
        status = self.pod["status"]
        self._began = time.time()
        try:
            await asyncio.to_thread(self._folders.make)
        except (OSError, ClusterError) as error:
            self._refuse(error)
            return
        first = [container for container, init in jobs.containers(self._job) if init]
        rest = [container for container, init in jobs.containers(self._job) if not init]
        index = 0
        while index < len(first):
            if await self._lock_environments(first[index]):
                # Another builder was at work since `fetch` looked; what it found no longer holds.
                self._began = time.time()
                await asyncio.to_thread(self._folders.make)
                index = 0
                continue
            if not await self._container(first[index], "initContainerStatuses"):
                status["phase"] = "Failed"
                return
            index += 1
        ended = await asyncio.gather(*(self._container(one, "containerStatuses") for one in rest))
        if "reason" not in status:
            status["phase"] = "Succeeded" if all(ended) else "Failed"

    def _refuse(self, error: OSError | ClusterError) -> None:
        status = self.pod["status"]
        status["phase"] = "Failed"
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        status["reason"] = "Evicted" if full else "CreateContainerConfigError"
        status["message"] = trouble(self._root, error) if isinstance(error, OSError) else str(error)

    async def _lock_environments(self, container: Json) -> bool:
        """Lock what an untrusted container is to write; true where the containers before it have to look again."""
        if container["name"] not in self._untrusted:
            return False
        environments = self._machine.places.shared.get("environments")
        try:
            wanted = [
                one for one in self._folders.binds().writable if environments and one.is_relative_to(environments)
            ]
            waited = await self._locks.take(wanted)
        except (OSError, ClusterError):
            return False
        if waited is None:
            return False
        if waited and self._deadline is not None and (when := self._deadline.when()) is not None:
            self._deadline.reschedule(when + waited)
        # Between fetch's look and our lock a whole build may have begun and ended.
        markers = [one.with_name(f"{one.name}.ready.json") for one in wanted]
        return bool(waited) or any(one.exists() and one.stat().st_mtime >= self._began for one in markers)

    async def _container(self, container: Json, group: str) -> bool:
        entry = next(one for one in self.pod["status"][group] if one["name"] == container["name"])
        started = self._now()
        entry["state"] = {"running": {"startedAt": started}}
        message_file = self._folders.terminations / container["name"]
        log = self._folders.logs / f"{container['name']}.log"
        cut = False
        try:
            prepared = await self._prepare(container, message_file, log)
            ended, cut = await run(prepared)
            reason, message = self._words(container, ended, message_file, log)
        except _ContainerError as error:
            ended, reason, message = Ended(exit_code=128), error.reason, str(error)
        except OSError as error:
            ended, reason, message = Ended(exit_code=128), "StartError", trouble(self._root, error)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._refuse(error)
        entry["state"] = {
            "terminated": {
                "exitCode": ended.exit_code,
                "reason": reason,
                "message": message,
                "startedAt": started,
                "finishedAt": self._now(),
            }
        }
        if cut:
            raise asyncio.CancelledError
        return ended.exit_code == 0

    def _words(self, container: Json, ended: Ended, message_file: Path, log: Path) -> tuple[str, str]:
        if ended.error is not None:
            return "StartError" if ended.exit_code == 128 else "Error", ended.error
        message = "" if container["name"] in self._untrusted else read_message(message_file)
        if not message and ended.exit_code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = log_tail(log)
        if ended.oom:
            return "OOMKilled", message
        return ("Error" if ended.exit_code else "Completed"), message

    async def _prepare(self, container: Json, message_file: Path, log: Path) -> Command:
        name = container["name"]
        try:
            self._folders.mount(container)
            view = self._view(container) if name in self._untrusted else None
            values = self._variables(container, message_file)
            self._fresh(values, message_file)
            if view is not None and self._machine.isolation.uid is not None:
                await asyncio.to_thread(hand_over, view, self._machine.isolation.uid)
        except ClusterError as error:
            raise _ContainerError("CreateContainerConfigError", str(error)) from error
        words = [*container["command"], *(container.get("args") or ())]
        argv = [variables.expand(str(word), values.get) for word in words]
        shared: dict[str, Any] = {
            "env": values,
            "log": log,
            "memory_bytes": jobs.memory_bytes(container),
            "grace_seconds": self._grace,
        }
        if view is None:
            if argv[0] in _PYTHON:
                argv[0] = sys.executable
            return Command(argv=argv, folder=self._folder(container), limits={"core": 0}, **shared)
        if argv[0] in _PYTHON:
            argv[0] = str(base_interpreter())
        isolation = self._machine.isolation
        shut_in = command(isolation, view, argv)
        folder = self._root if isolation.kind == "none" else Path("/")
        return Command(argv=shut_in, folder=folder, limits=UNTRUSTED_LIMITS, uid=isolation.uid, **shared)

    def _fresh(self, values: Mapping[str, str], message_file: Path) -> None:
        for variable in ("TMPDIR", "HOME"):
            folder = Path(values.get(variable, ""))
            if folder.is_relative_to(self._root):
                folder.mkdir(parents=True, exist_ok=True)
        message_file.unlink(missing_ok=True)
        message_file.touch()

    def _folder(self, container: Json) -> Path:
        wanted = container.get("workingDir")
        return Path(wanted) if wanted and Path(wanted).is_dir() else self._root

    def _view(self, container: Json) -> View:
        if self._machine.isolation.kind == "none":
            binds = Binds()
        else:
            binds = self._folders.binds()
            missing = next((one for one in binds.read_only if not one.exists()), None)
            if missing is not None:
                raise ClusterError(f"in/binds.json: {missing} is not there")
        return self._folders.view(
            container, binds=binds, interpreter=interpreter_folders(), offline=container["name"] in self._offline
        )

    def _variables(self, container: Json, message_file: Path) -> dict[str, str]:
        name = container["name"]
        shared = self._folders.shared_variables()
        declared = container.get("env") or ()
        forced = {"ISOBENCH_ROOT": str(self._root)}
        named = {entry["name"] for entry in declared} | {"ISOBENCH_ENVS"}
        forced |= {variable: path for variable, path in shared.items() if variable in named}
        user = self._machine.user
        if name in self._untrusted:
            base = variables.untrusted_base(user, root=self._root, offline=name in self._offline)
        else:
            base = variables.trusted_base(user, container=name, root=self._root)
            forced |= {
                "ISOBENCH_RUNTIME": "embedded",
                "ISOBENCH_ISOLATION": self._machine.isolation.kind,
                "ISOBENCH_NODE": self._machine.node,
                "ISOBENCH_TERMINATION": str(message_file),
            }
            if name == "fetch" and "HOME" in user:
                forced["HOME"] = user["HOME"]
        return base | variables.container_variables(declared, forced=forced, value_from=self._value_from)

    def _value_from(self, source: Mapping[str, Any]) -> str | None:
        if "fieldRef" in source:
            return self._field(source["fieldRef"]["fieldPath"])
        places = self._machine.places
        kind, data = (
            ("ConfigMap", places.config_maps) if "configMapKeyRef" in source else ("Secret", places.secret_values)
        )
        reference = source.get("configMapKeyRef") or source["secretKeyRef"]
        value = (data.get(reference["name"]) or {}).get(reference["key"])
        if value is None and not reference.get("optional"):
            raise ClusterError(f"{kind} {reference['name']} has no key {reference['key']}; add it to the manifests")
        return value

    def _field(self, path: str) -> str:
        metadata = self.pod["metadata"]
        known = {
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata["namespace"],
            "metadata.uid": metadata["uid"],
            "spec.nodeName": self._machine.node,
            "status.podIP": "127.0.0.1",
            "status.hostIP": "127.0.0.1",
        }
        for group in ("labels", "annotations"):
            known |= {f"metadata.{group}['{key}']": value for key, value in metadata[group].items()}
        if path not in known:
            raise ClusterError(f"fieldRef {path} cannot be had here; known are {', '.join(sorted(known))}")
        return str(known[path])
