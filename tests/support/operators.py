"""Operators as processes against an API server, and a stand-in for what ends Jobs there: the Job controller, the scheduler and a kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml

from isobench_operator.cluster.kube import Api
from isobench_operator.cluster.ports import ClusterError
from support.apiserver import ApiServer, free_ports
from support.fake_cluster import Answers, FakeCluster, request_of

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
OURS = "/apis/isobench.dev/v1alpha1"


def rights() -> list[Json]:
    """The rules that the chart gives its operator, read from its template."""
    text = (ROOT / "helm/isobench/templates/_rbac.tpl").read_text()
    blocks = re.findall(r"{{- define [^}]*}}\n(.*?){{- end }}", text, re.DOTALL)
    return [rule for block in blocks for rule in yaml.safe_load(block)]


async def until(what: str, read: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """The first true answer of an asynchronous read; an API server that is away is asked again."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            last = await read()
        except ClusterError as error:
            last = error
        else:
            if last:
                return last
        await asyncio.sleep(0.1)
    raise AssertionError(f"after {seconds:.0f} s not yet: {what}; last seen: {last!r}")


class Process:
    """`python -m isobench_operator` on this machine; a context manager."""

    def __init__(
        self, server: ApiServer, folder: Path, *, namespaces: list[str], user: str = "operator", verbose: bool = True, **more: Any
    ) -> None:  # fmt: skip
        self.metrics_port, self.health_port = free_ports(2)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key").write_text("a key of the tests that is long enough")
        self.config = folder / "config.yaml"
        body = {
            "watch": {"namespaces": namespaces},
            "workNamespaces": namespaces,
            "nonceKeyFile": str(folder / "key"),
            "metrics": {"port": self.metrics_port},
            "health": {"port": self.health_port},
            **more,
        }
        self._verbose = verbose
        self.config.write_text(yaml.safe_dump(body))
        self._kubeconfig = server.kubeconfig_of(user)
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        arguments = [sys.executable, "-m", "isobench_operator", "--config", str(self.config), "--kubeconfig", str(self._kubeconfig), *(["-v"] if self._verbose else [])]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(arguments, stdout=log, stderr=log, env={**os.environ, "KUBECONFIG": ""})
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.stop(signal.SIGKILL)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(40)

    def page(self, path: str) -> str:
        """A page that it serves; empty while it does not."""
        port = self.health_port if path == "/healthz" else self.metrics_port
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                text: str = answer.read().decode()
        except (OSError, urllib.error.URLError):
            return ""
        return text

    def words(self) -> str:
        """Its log."""
        return self.log.read_text()


class Kubelet:
    """Ends Jobs as a story tells: makes the pod with its statuses, then the Job's conditions, as the API server accepts them."""

    def __init__(self, admin: Api, namespace: str, answers: Answers) -> None:
        self._admin, self._namespace, self._answers = admin, namespace, answers
        self.seen: list[str] = []

    async def run(self) -> None:
        """End Jobs until cancelled."""
        while True:
            with contextlib.suppress(ClusterError):
                await self.once()
            await asyncio.sleep(0.1)

    async def once(self) -> None:
        """End every Job that a story ends now."""
        found = await self._admin.get(f"/apis/batch/v1/namespaces/{self._namespace}/jobs")
        for job in found.get("items", ()):
            name = job["metadata"]["name"]
            if name in self.seen or job["spec"].get("suspend") or job["metadata"].get("deletionTimestamp"):
                continue
            answer = self._answers(request_of(job), job)
            if answer is None:
                continue
            self.seen.append(name)
            fake = FakeCluster()
            fake.jobs[name] = job
            fake.end(job, answer)
            (pod,) = fake.pods.values()
            await self._pod(job, pod)
            await self._end(job, failed=pod["status"]["phase"] == "Failed")

    async def _pod(self, job: Json, pod: Json) -> None:
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}  # fmt: skip
        body = {"apiVersion": "v1", "kind": "Pod", **pod, "metadata": {**pod["metadata"], "ownerReferences": [owner]}}
        status = body.pop("status")
        await self._admin.post(path, body)
        for kind in ("initContainerStatuses", "containerStatuses"):
            for one in status[kind]:
                one |= {"image": "image", "imageID": one.get("imageID") or "image", "ready": False, "restartCount": 0}
        await self._admin.merge(f"{path}/{pod['metadata']['name']}/status", {"status": status})

    async def _end(self, job: Json, *, failed: bool) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        words = ("FailureTarget", "Failed") if failed else ("SuccessCriteriaMet", "Complete")
        conditions = [
            {"type": word, "status": "True", "lastTransitionTime": now, "lastProbeTime": now, "reason": "ByTheTest", "message": ""}
            for word in words
        ]  # fmt: skip
        status: Json = {"startTime": now, "conditions": conditions, "failed": int(failed), "succeeded": int(not failed)}
        if not failed:
            status["completionTime"] = now
        path = f"/apis/batch/v1/namespaces/{self._namespace}/jobs/{job['metadata']['name']}/status"
        await self._admin.merge(path, {"status": status})


K = TypeVar("K", bound=Kubelet)


@asynccontextmanager
async def kubelet(admin: Api, namespace: str, answers: Answers, *, kind: type[K] = Kubelet) -> AsyncIterator[K]:
    """Something that ends Jobs in the background."""
    found = kind(admin, namespace, answers)
    running = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
