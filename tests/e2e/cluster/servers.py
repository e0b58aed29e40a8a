"""What the cases talk to inside of the cluster: git's own http backend, and a server that speaks the protocols of language models.

Each is a pod of the user image with its program from a ConfigMap, and a Service whose address is written down in manifests: the test
cluster has no names.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support import fake_llm, git_server
from support.kube import Kube, is_true, until

Json = dict[str, Any]
GIT_PORT, MODEL_PORT = 8080, 8081
IMAGE = "localhost/python:3.11"


def _restricted(container: Json, volumes: list[Json]) -> Json:
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsNonRoot": True,
        "runAsUser": 10009,
    }
    resources = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    return {
        "containers": [{**container, "securityContext": security, "resources": resources}],
        "volumes": volumes,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
    }


def server(
    name: str, program: Path, arguments: list[str], port: int, *, files: Mapping[str, str] | None = None
) -> list[Json]:
    """ConfigMap, Pod and Service of a program of one file; further files lie in /files."""
    labels = {"e2e": name}
    container: Json = {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", f"/program/{program.name}", *arguments],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "env": [{"name": "HOME", "value": "/srv"}],
        "volumeMounts": [
            {"name": "program", "mountPath": "/program"},
            {"name": "files", "mountPath": "/files"},
            {"name": "srv", "mountPath": "/srv"},
        ],
    }
    volumes: list[Json] = [
        {"name": "program", "configMap": {"name": f"{name}-program"}},
        {"name": "files", "configMap": {"name": f"{name}-files"}},
        {"name": "srv", "emptyDir": {}},
    ]
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-program"}, "data": {program.name: program.read_text()}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-files"}, "data": dict(files or {})},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": _restricted(container, volumes)},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": port}]},
        },
    ]  # fmt: skip


def ready(kube: Kube, name: str, namespace: str) -> str:
    """Wait for a server; returns its Service's address."""
    until(f"pod {name} is ready", lambda: is_true(kube.get("Pod", name, namespace), "Ready"))
    found = kube.read(f"/api/v1/namespaces/{namespace}/services/{name}")
    return str(found["spec"]["clusterIP"])


class GitServer:
    """Repositories served by git's http backend."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace
        program = Path(git_server.__file__)
        kube.apply(*server("git", program, ["--root", "/srv", "--port", str(GIT_PORT)], GIT_PORT), namespace=namespace)
        self.address = ready(kube, "git", namespace)

    def serve(self, name: str, repository: Path) -> str:
        """Put a repository there, under a name; returns its URL."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.add(repository / ".git" if (repository / ".git").exists() else repository, arcname=f"{name}.git")
        self._kube.kubectl("exec", "-i", "-n", self._namespace, "git", "--", "tar", "-x", "-C", "/srv", "--no-same-owner", stdin=buffer.getvalue())  # fmt: skip
        return f"http://{self.address}/{name}.git"


class ModelServer:
    """A language model of the OpenAI protocol that answers with the script named in the prompt."""

    def __init__(self, kube: Kube, namespace: str, answers: Mapping[str, str], *, name: str = "model") -> None:
        self.kube, self.namespace, self.name = kube, namespace, name
        arguments = ["--answers", "/files", "--host", "0.0.0.0", "--port", str(MODEL_PORT)]
        self.documents = server(name, Path(fake_llm.__file__), arguments, MODEL_PORT, files=answers)
        kube.apply(*self.documents, namespace=namespace)
        self.address = ready(kube, name, namespace)

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return f"http://{self.address}/v1"

    def stop(self) -> None:
        """Take it away; its Service stays, and refuses."""
        self.kube.kubectl(
            "delete", "pod", self.name, "-n", self.namespace, "--wait=true", "--grace-period=0", "--force"
        )

    def start(self) -> None:
        """Bring it back."""
        self.kube.apply(*self.documents, namespace=self.namespace)
        ready(self.kube, self.name, self.namespace)
