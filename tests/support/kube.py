"""A cluster as its user has it, for end-to-end tests: kubectl for what one types, plain HTTPS for reading states of the world often.

Waiting is always for a state, never for a time: `until` polls a read that costs the API server a millisecond, and says what it saw last.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

Json = dict[str, Any]
T = TypeVar("T")

PATHS = {
    "Commit": "/apis/isobench.dev/v1alpha1/namespaces/{}/commits",
    "Dataset": "/apis/isobench.dev/v1alpha1/namespaces/{}/datasets",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Pod": "/api/v1/namespaces/{}/pods",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Event": "/api/v1/namespaces/{}/events",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
}


class StillWaitingError(AssertionError):
    """A state of the world did not come about in time."""


def until(what: str, read: Callable[[], T], *, seconds: float = 120.0, every: float = 0.25) -> T:
    """The first true answer of `read`; an API server that is away for a moment is asked again.

    Raises:
        StillWaitingError: naming what was waited for and the last answer.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = read()
        except (OSError, urllib.error.URLError, json.JSONDecodeError) as error:
            last = error
        else:
            if found:
                return found
            last = found
        time.sleep(every)
    raise StillWaitingError(f"after {seconds:.0f} s not yet: {what}; last seen: {last!r}")


class Kube:
    """One cluster, by kubeconfig."""

    def __init__(self, kubeconfig: Path, *, kubectl: str = "kubectl", path: str = "") -> None:
        self.kubeconfig, self._kubectl = kubeconfig, kubectl
        self.environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        if path:
            self.environment["PATH"] = f"{path}:{self.environment['PATH']}"
        self._open_url()

    def _open_url(self) -> None:
        config = yaml.safe_load(self.kubeconfig.read_text())
        context = next(one for one in config["contexts"] if one["name"] == config["current-context"])["context"]
        cluster = next(one for one in config["clusters"] if one["name"] == context["cluster"])["cluster"]
        user = next(one for one in config["users"] if one["name"] == context["user"])["user"]
        self._server = str(cluster["server"]).rstrip("/")
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self._tls = ssl.create_default_context(cadata=self._material(cluster, "certificate-authority").decode())
        if "client-certificate" in user or "client-certificate-data" in user:
            with tempfile.TemporaryDirectory() as folder:
                names = []
                for name in ("client-certificate", "client-key"):
                    place = Path(folder) / name
                    place.write_bytes(self._material(user, name))
                    names.append(str(place))
                self._tls.load_cert_chain(*names)

    def _material(self, body: Mapping[str, str], name: str) -> bytes:
        if f"{name}-data" in body:
            return base64.b64decode(body[f"{name}-data"])
        return (self.kubeconfig.parent / body[name]).read_bytes()

    def read(self, path: str, *, text: bool = False) -> Any:
        """GET a path of the API; None where there is nothing."""
        request = urllib.request.Request(f"{self._server}{path}", headers=self._headers)
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=10) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return content.decode() if text else json.loads(content)

    @contextlib.contextmanager
    def stream(self, path: str, *, seconds: float = 300) -> Iterator[Iterator[bytes]]:
        """GET a path line by line, as watches are; ends after so many seconds without a line."""
        request = urllib.request.Request(f"{self._server}{path}", headers=self._headers)
        with urllib.request.urlopen(request, context=self._tls, timeout=seconds) as answer:
            yield iter(answer)

    def get(self, kind: str, name: str, namespace: str) -> Json | None:
        """An object, or None."""
        found: Json | None = self.read(f"{PATHS[kind].format(namespace)}/{name}")
        return found

    def list(self, kind: str, namespace: str, *, labels: str = "") -> list[Json]:
        """Objects of a namespace."""
        query = f"?labelSelector={urllib.parse.quote(labels)}" if labels else ""
        return list((self.read(f"{PATHS[kind].format(namespace)}{query}") or {"items": []})["items"])

    def kubectl(
        self, *arguments: str, stdin: str | bytes | None = None, check: bool = True, seconds: float = 180
    ) -> str:
        """What a user types; returns what it printed."""
        content = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [self._kubectl, *arguments], env=self.environment, input=content, capture_output=True, check=False, timeout=seconds
        )  # fmt: skip
        printed = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {printed}"
        return printed

    def apply(self, *documents: Json, namespace: str, check: bool = True) -> str:
        """`kubectl apply -f -`."""
        text = yaml.safe_dump_all(documents, sort_keys=False)
        return self.kubectl("apply", "-n", namespace, "-f", "-", stdin=text, check=check)

    def create(self, *documents: Json, namespace: str) -> str:
        """`kubectl create -f -`, for what is large or made once."""
        text = yaml.safe_dump_all(documents, sort_keys=False)
        return self.kubectl("create", "-n", namespace, "-f", "-", stdin=text)

    def pods_of(self, name: str, namespace: str, *, role: str | None = None) -> list[Json]:
        """The pods of a Commit or Dataset, of one role or of all."""
        labels = f"app.kubernetes.io/managed-by=isobench,isobench.dev/name={name}"
        return self.list("Pod", namespace, labels=labels + (f",isobench.dev/role={role}" if role else ""))

    def jobs_of(self, name: str, namespace: str) -> list[Json]:
        """The Jobs of a Commit or Dataset."""
        return self.list("Job", namespace, labels=f"app.kubernetes.io/managed-by=isobench,isobench.dev/name={name}")

    def events_of(self, name: str, namespace: str) -> list[Json]:
        """Events about an object of that name."""
        return [one for one in self.list("Event", namespace) if one["involvedObject"].get("name") == name]


def condition(body: Mapping[str, Any] | None, type_: str) -> Json:
    """A condition of an object, empty where there is none."""
    found: Iterable[Json] = ((body or {}).get("status") or {}).get("conditions") or ()
    return next((one for one in found if one["type"] == type_), {})


def is_true(body: Mapping[str, Any] | None, type_: str) -> bool:
    """Whether a condition is True."""
    return condition(body, type_).get("status") == "True"


def told(body: Mapping[str, Any] | None) -> str:
    """An object's conditions in one line each, for failures of tests."""
    lines = [
        f"{one['type']}={one['status']} {one.get('reason')} {one.get('message', '')}"
        for one in ((body or {}).get("status") or {}).get("conditions") or ()
    ]
    return "\n".join(lines) or "no conditions"
