"""A real API server on etcd, without nodes or controllers: what takes, refuses and authorizes objects, in four seconds.

For tests of manifests and admission. Whatever needs a kubelet or a controller is an end-to-end test on the cluster of tests/cluster.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .helm import tool

Json = dict[str, Any]
START_SECONDS = 60
TOKEN = "the-administrator"


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on just now."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in found]


@dataclass(frozen=True)
class ApiServer:
    """A running server.

    Attributes:
        kubeconfig: of an administrator.
        ca: its certificate.
    """

    kubeconfig: Path
    port: int
    ca: Path

    def kubectl(self, *arguments: str, stdin: Any = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator; `stdin` is an object or a list of objects."""
        objects = stdin if isinstance(stdin, list) else [stdin]
        return subprocess.run(
            [tool("kubectl"), *arguments], input=yaml.safe_dump_all(objects) if stdin is not None else None,
            check=False, capture_output=True, text=True, env={**os.environ, "KUBECONFIG": str(self.kubeconfig)}, timeout=120,
        )  # fmt: skip

    def ok(self, *arguments: str, stdin: Any = None) -> str:
        """Run kubectl; returns what it printed.

        Raises:
            AssertionError: it failed; with its words.
        """
        done = self.kubectl(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, *arguments: str) -> Json:
        """An object, or a list of objects."""
        found: Json = json.loads(self.ok("get", *arguments, "-o", "json"))
        return found

    def namespace(self, name: str, **labels: str) -> str:
        """Create a namespace under Pod Security `restricted`."""
        security = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**security, **labels}}}
        self.ok("create", "-f", "-", stdin=body)
        return name


@contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """Start etcd and the API server below a folder; both are gone at the end.

    Raises:
        AssertionError: it was not ready in time; with the end of its log.
    """
    client, peer, port = free_ports(3)
    key = folder / "sa.key"
    subprocess.run(
        [shutil.which("openssl") or "openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True
    )
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n', encoding="utf-8")
    url = f"http://127.0.0.1:{client}"
    commands = {
        "etcd": [
            "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--listen-client-urls", url, "--advertise-client-urls", url,
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"default=http://127.0.0.1:{peer}",
        ],
        "kube-apiserver": [
            "--etcd-servers", url, "--cert-dir", str(folder / "certificates"), "--bind-address", "127.0.0.1", "--secure-port", str(port),
            "--service-account-key-file", str(key), "--service-account-signing-key-file", str(key), "--service-account-issuer", "https://tests",
            "--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16",
        ],
    }  # fmt: skip
    ca = folder / "certificates" / "apiserver.crt"
    server = ApiServer(kubeconfig=folder / "kubeconfig", port=port, ca=ca)
    server.kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "tests",
                "clusters": [
                    {
                        "name": "tests",
                        "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(ca)},
                    }
                ],
                "users": [{"name": "admin", "user": {"token": TOKEN}}],
                "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
            }
        ),
        encoding="utf-8",
    )
    with ExitStack() as stack:
        for name, arguments in commands.items():
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            process = subprocess.Popen([tool(name), *arguments], stdout=log, stderr=subprocess.STDOUT)
            stack.callback(process.wait)
            stack.callback(process.kill)
        end = time.monotonic() + START_SECONDS
        while server.kubectl("get", "--raw", "/readyz").returncode != 0:
            tail = (folder / "kube-apiserver.log").read_text(encoding="utf-8")[-800:]
            assert time.monotonic() < end, f"no API server after {START_SECONDS} s: {tail}"
            time.sleep(0.2)
        yield server
