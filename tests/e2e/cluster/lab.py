"""A prepared namespace and what the cases put into it: Commits over a small repository, and waiting for what becomes of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from support.kube import Kube, condition, is_true, told, until
from support.tiny import SCRIPT, Tiny

from .servers import GitServer

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]
IMAGE = "localhost/python:3.11"
RUNNER = "localhost/isobench-runner:e2e"
BUDGET = 15
"""Seconds: a clear effect takes a third of it on a machine that has nothing else to do."""


def script_for(name: str, body: str) -> str:
    """The six functions with another `experiment`: `body` is its text, indented by four."""
    start = SCRIPT.index("def experiment(data):")
    end = SCRIPT.index("def store_result")
    return f"{SCRIPT[:start]}def experiment(data):\n{body}\n\n\n{SCRIPT[end:]}".replace("Times tinywork.work.", name)


@dataclass
class Lab:
    """One work namespace.

    Attributes:
        release: the namespace of the operator.
        url: of the small repository as pods see it.
        main: the commit of its branch `next`.
    """

    kube: Kube
    namespace: str
    release: str
    git: GitServer
    tiny: Tiny
    url: str
    main: str

    def documents(
        self, name: str, *, script: str | None = SCRIPT, labels: Mapping[str, str] | None = None, **spec: Any
    ) -> list[Json]:
        """A Commit over the small repository and the ConfigMap of its script; `spec` replaces fields."""
        fields: Json = {
            "repository": {"url": self.url, "name": "tests/tiny"},
            "head": self.tiny.head,
            "environment": {"image": IMAGE, "inherit": "none", "package": "tinywork", "path": ["."]},
            "measurement": {"budgetSeconds": BUDGET, "minimumEffectPercent": "10", "revisions": ["base", "head"]},
        }
        found: list[Json] = []
        if script is not None:
            config_map = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"{name}-test"},
                "data": {"test.py": script},
            }
            found.append(config_map)
            fields["test"] = {"script": {"configMapKeyRef": {"name": f"{name}-test", "key": "test.py"}}}
        metadata = {"name": name, "labels": {"e2e": "yes", **(labels or {})}}
        found.append(
            {"apiVersion": "isobench.dev/v1alpha1", "kind": "Commit", "metadata": metadata, "spec": {**fields, **spec}}
        )
        return found

    def commit(self, name: str, **fields: Any) -> str:
        """Apply such a Commit; returns its name."""
        self.kube.apply(*self.documents(name, **fields), namespace=self.namespace)
        return name

    def get(self, name: str) -> Json | None:
        """The Commit as it is."""
        return self.kube.get("Commit", name, self.namespace)

    def when(self, name: str, what: str, holds: Callable[[Json], Any], *, seconds: float = 240) -> Json:
        """Wait until something holds of a Commit; its conditions are in the failure's words."""
        seen: list[Json] = []

        def read() -> Json | None:
            found = self.get(name)
            if found is None:
                return None
            seen[:] = [found]
            return found if holds(found) else None

        try:
            return until(f"{name}: {what}", read, seconds=seconds)
        except AssertionError as error:
            pods = "\n".join(
                f"{pod['metadata']['name']}: {pod['status'].get('phase')}"
                for pod in self.kube.pods_of(name, self.namespace)
            )
            raise AssertionError(f"{what} did not come about\n{told(seen[0] if seen else None)}\n{pods}") from error

    def finished(self, name: str, *, seconds: float = 300) -> Json:
        """Wait for the end of a Commit."""
        return self.when(name, "Finished", lambda body: is_true(body, "Finished"), seconds=seconds)

    def ended_as(self, name: str, reason: str, *, seconds: float = 300) -> Json:
        """Wait for the end of a Commit, which has to be this reason."""
        body = self.finished(name, seconds=seconds)
        assert condition(body, "Succeeded").get("reason") == reason, told(body)
        return body

    def running(
        self, name: str, role: str, *, container: str | None = None, ended: bool = False, seconds: float = 180
    ) -> Json:
        """Wait until a pod of a role runs (a container of it, where one is named), or with `ended` has run; returns the pod."""
        states = {"running", "terminated"} if ended else {"running"}

        def read() -> Json | None:
            for pod in self.kube.pods_of(name, self.namespace, role=role):
                statuses = [
                    *(pod["status"].get("initContainerStatuses") or ()),
                    *(pod["status"].get("containerStatuses") or ()),
                ]
                if any(
                    states & set(one["state"]) and (container is None or one["name"] == container) for one in statuses
                ):
                    return pod
            return None

        return until(f"{name}: {container or 'a container'} of {role} runs", read, seconds=seconds)

    def roles_run(self, name: str) -> dict[str, int]:
        """How many Jobs each role had."""
        counts: dict[str, int] = {}
        for job in self.kube.jobs_of(name, self.namespace):
            role = job["metadata"]["labels"]["isobench.dev/role"]
            counts[role] = counts.get(role, 0) + 1
        return counts

    def isobench(self, *arguments: str, seconds: float = 180) -> str:
        """The command line, against this cluster; returns what it printed."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("isobench")), *arguments],
            env=self.kube.environment, capture_output=True, text=True, check=False, timeout=seconds, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def records(self, dataset: str, folder: Path) -> list[Json]:
        """The rows of a Dataset, pulled."""
        self.isobench("pull", f"dataset/{dataset}", "-n", self.namespace, "--out", str(folder))
        return [json.loads(line) for line in (folder / f"{dataset}.jsonl").read_text().splitlines()]

    def embedded(self, name: str, folder: Path) -> Json:
        """The record of the same Commit from `isobench run` on this machine, its image ignored."""
        folder.mkdir(parents=True)
        (folder / "test.py").write_text(SCRIPT)
        (commit,) = self.documents(name, script=None, test={"script": {"file": "test.py"}})
        commit["spec"]["repository"]["url"] = str(self.tiny.repository.path)
        (folder / "commit.yaml").write_text(yaml.safe_dump(commit))
        self.isobench("run", str(folder / "commit.yaml"), "--out", str(folder / "out"), "--ignore-image", seconds=280)
        (record,) = [json.loads(line) for line in (folder / "out" / "dataset.jsonl").read_text().splitlines()]
        return dict(record)


def helm_values(**more: Any) -> str:
    """The values of the end-to-end release: small, with fake GPUs, and the way out of this machine's network."""
    values = yaml.safe_load((Path(__file__).parent / "values.yaml").read_text())
    return yaml.safe_dump({**values, **here(), **more})


def here() -> Json:
    """What depends on the machine: its resolver and package index by address, the certificates that it trusts, our servers."""
    nameservers = [
        line.split()[1] for line in Path("/etc/resolv.conf").read_text().splitlines() if line.startswith("nameserver")
    ]
    index = urlsplit(os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple"))
    port = index.port or (443 if index.scheme == "https" else 80)
    found = {entry[4][0] for host in (index.hostname, "files.pythonhosted.org") for entry in _resolve(host or "", port)}
    servers = [{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "servers"}}}]}]
    values: Json = {
        "networkPolicy": {
            "dns": [_to(nameservers, 53, "UDP"), _to(nameservers, 53, "TCP")],
            "index": [_to(sorted(found), port, "TCP")],
            "git": servers,
            "model": servers,
        }
    }
    bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    return values | ({"caBundle": {"pem": Path(bundle).read_text()}} if bundle else {})


def _to(addresses: list[str], port: int, protocol: str) -> Json:
    blocks = [{"ipBlock": {"cidr": f"{one}/32"}} for one in addresses if ":" not in one]
    return {"to": blocks, "ports": [{"port": port, "protocol": protocol}]}


def _resolve(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, socket.AF_INET)
    except OSError:
        return []
