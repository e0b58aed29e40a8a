"""The life of one Job: its pods one after the other, its turn, its delays and deadlines, and its state on disk at every step.

A pod that was running when the process ended is begun again without counting. What a pod's end means is `jobs`' to say.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isobench_operator.cluster.ports import ClusterError

from . import jobs
from .folders import remove_tree
from .gate import Gate
from .messages import timestamp
from .pods import Machine, PodRun
from .state import JobRecord, trouble

Json = dict[str, Any]
_WRITE_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Delays after failed pods, in seconds: shorter than a cluster's 10 and 360, as nobody else waits for this machine."""

    first: float = 0.5
    most: float = 30.0


class JobController:
    """Runs one Job.

    Attributes:
        record: the Job and its pods.
        trouble: why its state could not be written last time, in words; None where it was.
    """

    def __init__(
        self, record: JobRecord, *, machine: Machine, gate: Gate, backoff: Backoff, changed: Callable[[], None]
    ) -> None:
        self.record = record
        self.trouble: str | None = None
        self._machine = machine
        self._gate = gate
        self._backoff = backoff
        self._changed = changed
        self._task: asyncio.Task[None] | None = None

    def _now(self) -> str:
        return timestamp(self._machine.now())

    def start(self) -> None:
        """Begin, or go on; a Job that has ended or is suspended does nothing."""
        for pod in self._active():
            self.record.pods.remove(pod)
        if not jobs.finished(self.record.job) and not self.record.job["spec"].get("suspend") and self._task is None:
            self._task = asyncio.create_task(self._guarded(), name=f"job {self.record.name}")

    async def stop(self) -> None:
        """Kill what runs; the state on disk stays as it is."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def suspend(self, *, suspend: bool) -> None:
        """Suspend or resume. The pod of a suspended Job is gone and does not count.

        Raises:
            ClusterError: the state cannot be written.
        """
        job = self.record.job
        if jobs.finished(job) or bool(job["spec"].get("suspend")) == suspend:
            return
        if suspend:
            await self.stop()
            if jobs.finished(job):
                return
        job["spec"]["suspend"] = suspend
        for pod in self._active():
            self.record.pods.remove(pod)
        reason, words = ("JobSuspended", "Job suspended") if suspend else ("JobResumed", "Job resumed")
        job["status"] = {
            **jobs.with_condition(
                job["status"], type_="Suspended", value=suspend, reason=reason, message=words, at=self._now()
            ),
            "active": 0,
        }
        job["status"].pop("startTime", None)
        await self._save()
        self._changed()
        if not suspend:
            self.start()

    def give_no_further_pod(self) -> None:
        """Let the Job fail with the pod that failed last; one that runs ends as it ends."""
        self.record.job["spec"]["backoffLimit"] = 0

    def _active(self) -> list[Json]:
        return [pod for pod in self.record.pods if pod["status"]["phase"] not in ("Succeeded", "Failed")]

    async def _save(self) -> None:
        """Write the state, again and again until it is there: what is not on disk has not happened."""
        while True:
            try:
                self.record.save()
            except OSError as error:
                self.trouble = trouble(self.record.folder, error)
                self._changed()
                await asyncio.sleep(_WRITE_AGAIN_SECONDS)
            else:
                self.trouble = None
                return

    async def _guarded(self) -> None:
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001 - a bug here must end one Job, in words, and no other
            words = f"{type(error).__name__}: {error}"
            await self._finish("Failed", "InternalError", words, failed=self.record.failed)

    async def _run(self) -> None:
        job = self.record.job
        left = job["spec"].get("activeDeadlineSeconds")
        loop = asyncio.get_running_loop()
        while True:
            async with self._gate.turn(exclusive=jobs.exclusive(job)):
                began = loop.time()
                pod = await self._begin()
                await self._run_pod(pod, left)
            if left is not None:
                left -= loop.time() - began
                if left <= 0 and pod["status"]["phase"] != "Succeeded":
                    # As in Kubernetes, a Job's own deadline takes the pod with it.
                    self.record.pods.remove(pod)
                    words = "Job was active longer than specified deadline"
                    await self._finish("Failed", "DeadlineExceeded", words, failed=self.record.failed + 1)
                    return
            decision = jobs.after_pod(job, pod, failed=self.record.failed)
            failed = self.record.failed + (1 if decision.counts else 0)
            if decision.action == "complete":
                await self._finish(
                    "Complete", "CompletionsReached", "Reached expected number of succeeded pods", failed=failed
                )
                return
            if decision.action == "fail":
                await self._finish("Failed", decision.reason, decision.message, failed=failed)
                return
            job["status"] |= {"active": 0, "failed": failed}
            await self._save()
            self._changed()
            pause = jobs.delay(max(1, failed), first=self._backoff.first, most=self._backoff.most)
            await asyncio.sleep(pause if left is None else max(0.0, min(pause, left)))
            if failed and job["spec"].get("backoffLimit") == 0:
                words = "Job has reached the specified backoff limit"
                await self._finish("Failed", "BackoffLimitExceeded", words, failed=failed)
                return
            if left is not None:
                left -= pause

    async def _begin(self) -> Json:
        record, at = self.record, self._now()
        uid = str(uuid.uuid4())
        pod = jobs.new_pod(record.job, name=f"{record.name}-{uid[:5]}", uid=uid, node=self._machine.node, at=at)
        record.pods.append(pod)
        record.job["status"] |= {"active": 1}
        record.job["status"].setdefault("startTime", at)
        await self._save()
        self._changed()
        return pod

    async def _run_pod(self, pod: Json, left: float | None) -> None:
        record = self.record
        limits = [
            one
            for one in (record.job["spec"]["template"]["spec"].get("activeDeadlineSeconds"), left)
            if one is not None
        ]
        root = record.folder / f"attempt-{record.attempts + 1}"
        run = PodRun(record.job, pod, root=root, machine=self._machine)
        try:
            await run.run(seconds=max(0.0, min(limits)) if limits else None)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug here must end one pod, in words, and no other Job
            pod["status"] |= {
                "phase": "Failed",
                "reason": "ContainerStatusUnknown",
                "message": f"{type(error).__name__}: {error}",
            }
        record.attempts += 1

    async def _finish(self, kind: str, reason: str, message: str, *, failed: int) -> None:
        at = self._now()
        status = jobs.with_condition(
            self.record.job["status"], type_=kind, value=True, reason=reason, message=message, at=at
        )
        status |= {"active": 0, "failed": failed, "succeeded": int(kind == "Complete")}
        if kind == "Complete":
            status["completionTime"] = at
        self.record.job["status"] = status
        await self._save()
        self._changed()

    async def remove(self) -> None:
        """Stop, and remove its folder. Raises ClusterError."""
        await self.stop()
        try:
            await asyncio.to_thread(remove_tree, self.record.folder)
        except OSError as error:
            raise ClusterError(trouble(self.record.folder, error)) from error
