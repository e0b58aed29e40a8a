"""The operator's Deployment, as a case treats it badly."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from support.kube import Kube, is_true, until

Json = dict[str, Any]


class Operator:
    """The release's operator."""

    def __init__(self, kube: Kube, namespace: str, name: str = "isobench-operator") -> None:
        self.kube, self.namespace, self.name = kube, namespace, name

    def pods(self) -> list[Json]:
        """Its pods that are not on their way out."""
        labels = "app.kubernetes.io/name=isobench,app.kubernetes.io/component=operator"
        return [
            pod
            for pod in self.kube.list("Pod", self.namespace, labels=labels)
            if "deletionTimestamp" not in pod["metadata"]
        ]

    def ready(self, count: int = 1) -> list[Json]:
        """Wait until so many are ready."""

        def read() -> list[Json] | None:
            found = [pod for pod in self.pods() if is_true(pod, "Ready")]
            return found if len(found) == count else None

        return until(f"{count} operators are ready", read, seconds=120)

    def kill(self) -> None:
        """SIGKILL, without a moment of grace; its Deployment starts another."""
        for pod in self.pods():
            self.kube.kubectl(
                "delete", "pod", "-n", self.namespace, pod["metadata"]["name"], "--grace-period=0", "--force"
            )

    @contextlib.contextmanager
    def scaled(self, replicas: int) -> Iterator[None]:
        """So many at once."""
        self.kube.kubectl("scale", "-n", self.namespace, f"deployment/{self.name}", f"--replicas={replicas}")
        try:
            self.ready(replicas)
            yield
        finally:
            self.kube.kubectl("scale", "-n", self.namespace, f"deployment/{self.name}", "--replicas=1")
            self.ready(1)

    def logs(self) -> str:
        """What it has logged since it started."""
        return self.kube.kubectl("logs", "-n", self.namespace, f"deployment/{self.name}", "--tail=-1")
