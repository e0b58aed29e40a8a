"""A fake kubelet for many nodes at once: pods that the scheduler bound run for no time and end as a story tells.

Nothing is executed. Messages are encoded as the runner encodes them, with the nonce of the request in the pod's own environment, so
an operator believes them for the reasons for which it believes real ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp

from .apiserver import ApiServer
from .fake_cluster import Answers, FakeCluster, request_of

Json = dict[str, Any]
BOUND = "spec.nodeName!=,status.phase=Pending"
AT_ONCE = 32
MERGE = {"Content-Type": "application/merge-patch+json"}


@asynccontextmanager
async def client(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests as the administrator."""
    tls = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(server.ca)), limit=0)
    headers = {"Authorization": "Bearer token-of-admin"}
    async with aiohttp.ClientSession(
        f"https://127.0.0.1:{server.port}", connector=tls, headers=headers, timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        yield session


async def watch(session: aiohttp.ClientSession, path: str, **query: str) -> AsyncIterator[tuple[str, Json]]:
    """Type and object of what there is and of what changes, for ever; what there is comes again after a break."""
    while True:
        async with session.get(path, params=query) as answer:
            answer.raise_for_status()
            listed = json.loads(await answer.read())
        for one in listed["items"]:
            yield "ADDED", one
        version = listed["metadata"]["resourceVersion"]
        async with session.get(path, params={**query, "watch": "1", "resourceVersion": version}) as answer:
            answer.raise_for_status()
            rest = b""
            async for chunk, _ in answer.content.iter_chunks():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    yield event["type"], event["object"]


class FakeKubelet:
    """Runs and ends pods.

    Args:
        session: requests.
        answers: what a pod comes to; `None` leaves it running.
    """

    def __init__(self, session: aiohttp.ClientSession, answers: Answers) -> None:
        self._session, self._answers = session, answers
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._seen: set[str] = set()

    async def run(self) -> None:
        """Take care of every pod until cancelled."""
        async with asyncio.TaskGroup() as group:
            async for type_, pod in watch(self._session, "/api/v1/pods", fieldSelector=BOUND):
                uid = pod["metadata"]["uid"]
                if type_ != "DELETED" and uid not in self._seen:
                    self._seen.add(uid)
                    group.create_task(self._live(pod))

    async def _live(self, pod: Json) -> None:
        async with self._limit:
            names = [one["name"] for one in pod["spec"]["initContainers"]]
            started = _now()
            running = [{**_container(name), "state": {"running": {"startedAt": started}}} for name in names]
            waiting = {**_container("report"), "state": {"waiting": {"reason": "PodInitializing"}}}
            begun = {"phase": "Running", "startTime": started, "initContainerStatuses": running, "containerStatuses": [waiting]}  # fmt: skip
            await self._tell(pod, begun)
            job = {
                "metadata": {**pod["metadata"]},
                "spec": {"template": {"spec": pod["spec"]}},
            }
            answer = self._answers(request_of(job), job)
            if answer is None:
                return
            fake = FakeCluster()
            fake.jobs[job["metadata"]["name"]] = job
            fake.end(job, answer)
            (ended,) = fake.pods.values()
            status: Json = {"phase": ended["status"]["phase"]}
            for kind in ("initContainerStatuses", "containerStatuses"):
                status[kind] = [{**_container(one["name"]), "state": one["state"]} for one in ended["status"][kind]]
                for one in status[kind]:
                    one["state"]["terminated"] |= {"startedAt": started, "finishedAt": _now()}
            await self._tell(pod, status)

    async def _tell(self, pod: Json, status: Json) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        body = json.dumps({"status": status})
        async with self._session.patch(path, data=body, headers=MERGE) as answer:
            if answer.status != 404:
                assert answer.status == 200, await answer.text()


def _container(name: str) -> Json:
    return {"name": name, "image": "fake", "imageID": "fake", "ready": False, "restartCount": 0}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@asynccontextmanager
async def living(session: aiohttp.ClientSession, answers: Answers) -> AsyncIterator[FakeKubelet]:
    """A fake kubelet in the background."""
    found = FakeKubelet(session, answers)
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
