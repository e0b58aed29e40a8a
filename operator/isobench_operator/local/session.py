"""A run: the resources are applied to the embedded cluster, the loop decides until every one has ended, and what came of it is told.

Everything is in the output folder, so the same call after a crash or an interrupt goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isobench_operator.cluster.embedded import EmbeddedCluster
from isobench_operator.cluster.ports import ClusterError, Key
from isobench_operator.cluster.sandbox import Isolation
from isobench_operator.control.loop import Loop
from isobench_operator.control.reconciler import Pass, Reconciler
from isobench_operator.core.naming import RETRY_ANNOTATION
from isobench_operator.core.settings import PodSettings, Settings

from .display import Display, finished, succeeded

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to run.

    Attributes:
        resources: Commits and Datasets, in the form of the API server.
        secrets: by name; never written below the output folder.
        parallelism: builds and generations at once; measuring is always alone.
        retry_failed: whether Commits that failed are tried again.
    """

    resources: Sequence[Json]
    config_maps: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Mapping[str, str]]
    out: Path
    cache: Path
    isolation: Isolation
    parallelism: int
    retry_failed: bool = False


def _nonce_key(folder: Path) -> str:
    """The key of nonces: the same for every run on this folder, so that a Job begun before a crash is still believed after it."""
    path = folder / "jobs" / ".nonce-key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text()


def _settings(job: Job) -> Settings:
    pods = PodSettings(runtime="embedded", isolation=job.isolation.kind, node=socket.gethostname())
    return Settings(secret=_nonce_key(job.out), pods=pods, settle_seconds=0.0)


def _again(resource: Json, existing: Json | None) -> Json:
    """The same resource with the annotation that asks for another try, where the one that is there has failed."""
    if existing is None or not finished(existing) or succeeded(existing):
        return resource
    annotations = dict(existing["metadata"].get("annotations") or {})
    annotations[RETRY_ANNOTATION] = str(int(annotations.get(RETRY_ANNOTATION, "0")) + 1)
    return {**resource, "metadata": {**resource["metadata"], "annotations": annotations}}


class StoppedError(Exception):
    """This machine can no longer be written to; what is finished is kept, and the same run goes on once it can."""


async def run(job: Job, display: Display) -> list[Json]:
    """Run until every resource has ended or the process is asked to stop.

    Returns:
        The resources as they are then; those that have not ended go on in the next run.

    Raises:
        ClusterError: the folder cannot be used.
        Rejected: a resource of that name is there already and its spec differs.
        StoppedError: the folder could be used at first, and then no longer: a full disk, most likely.
    """
    stop = asyncio.Event()
    # Before anything is on disk: whoever interrupts is told from where it goes on.
    running = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        running.add_signal_handler(number, stop.set)
    told: dict[Key, Json] = {}
    wake: list[Callable[[Key], None]] = []
    troubles: list[ClusterError] = []

    def on_change(key: Key) -> None:
        for call in wake:
            call(key)

    cluster = EmbeddedCluster(
        job.out,
        config_maps=job.config_maps,
        secrets=job.secrets,
        cache=job.cache,
        isolation=job.isolation,
        parallelism=job.parallelism,
        on_change=on_change,
    )

    def observer(done: Pass) -> None:
        if done.owner is None or done.key not in keys:
            return
        told[done.key] = done.owner
        display.show(done.owner)
        if len(told) == len(keys) and all(finished(resource) for resource in told.values()):
            stop.set()

    def troubled(error: ClusterError) -> None:
        troubles.append(error)
        stop.set()

    keys: set[Key] = set()
    async with cluster:
        loop = Loop(cluster, Reconciler(cluster, _settings(job)), observer=observer, troubled=troubled)
        for resource in job.resources:
            key = Key(
                resource["kind"], resource["metadata"].get("namespace") or "default", resource["metadata"]["name"]
            )
            existing = await cluster.get(key) if job.retry_failed and resource["kind"] == "Commit" else None
            await cluster.apply(_again(resource, existing))
            keys.add(key)
            # A sweep passes over what has ended, and here the end of each is waited for.
            loop.enqueue(key)
        wake.append(loop.enqueue)
        await loop.run(stop)
        if troubles:
            raise StoppedError(str(troubles[0]))
        found = [await cluster.get(key) for key in sorted(keys)]
    return [resource for resource in found if resource is not None]
