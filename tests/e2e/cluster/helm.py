"""The release as its user handles it: `helm install`, `upgrade`, `uninstall`."""

from __future__ import annotations

import subprocess
from typing import Any

import yaml

from support.kube import Kube, until

from .lab import ROOT, helm_values

CHART = ROOT / "helm" / "isobench"


class Helm:
    """One release and its work namespace."""

    def __init__(self, kube: Kube, *, binary: str, release: str, namespace: str, work: str) -> None:
        self.kube, self.release, self.namespace, self.work = kube, release, namespace, work
        self._binary = binary

    def run(self, *arguments: str, values: str = "", check: bool = True) -> str:
        """Helm; returns what it printed."""
        done = subprocess.run(
            [self._binary, *arguments, "-n", self.namespace],
            env=self.kube.environment, input=values, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(self, more: dict[str, Any] | None = None) -> str:
        """Install or upgrade with the session's values and these on top; waits until it stands."""
        values = helm_values(workNamespaces=[self.work], **(more or {}))
        return self.run("upgrade", "--install", self.release, str(CHART), "-f", "-", "--wait", "--timeout", "2m", values=values)  # fmt: skip

    upgrade = install

    def uninstall(self) -> None:
        """Take the release away."""
        self.run("uninstall", self.release, "--wait")

    def test(self) -> str:
        """`helm test`."""
        return self.run("test", self.release, "--logs")

    def clean(self) -> None:
        """Both namespaces as new, for a session that follows an interrupted one."""
        self.run("uninstall", self.release, "--wait", "--ignore-not-found", check=False)
        for name in (self.work, self.namespace, "servers", "elsewhere"):
            self.kube.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=true", check=False)
        until("the namespaces are gone", lambda: self.kube.read(f"/api/v1/namespaces/{self.work}") is None)
        for name in (self.namespace, self.work):
            body = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
            }
            self.kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body))
